"""The demo data set: is it laid out like the published data, and does it hold what it says it
holds?
"""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
import wave
from pathlib import Path

import fake_results
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy.io import loadmat
from scipy.stats import rankdata
from sklearn.linear_model import RidgeCV

from aud_dnn.demo import __main__ as command
from aud_dnn.demo import make_demo, making, read_truth, summaries
from aud_dnn.demo.model import (
    NOVELTY,
    copy_state,
    draw_cascade,
    draw_read_outs,
    read_out,
    repeat_with_noise,
    whiten,
)
from aud_dnn.demo.sounds import (
    PARAMETERS,
    SAMPLING_RATE,
    SOUNDS_PER_CATEGORY,
    draw_sounds,
    synthesise,
)
from aud_dnn.demo.truth import LAYERS, NETWORK, TRUTH_FILE
from aud_dnn.demo.voxels import (
    RELIABILITY_NEAR_NOISELESS,
    RELIABILITY_RANGE,
    VoxelPlan,
    describe_voxels,
    plain_table,
)
from aud_dnn.errors import InputError
from aud_dnn.models.registry import MODELS
from aud_dnn.paths import ProjectPaths
from aud_dnn.splits import published_splits
from aud_dnn.store.comparisons import read_analysis
from aud_dnn.targets.categories import SOUND_CATEGORIES
from aud_dnn.targets.facts import COMPONENTS, ROIS

ALPHAS = np.logspace(-3, 6, 19)


# --- reading, as plainly as can be --------------------------------------------------------------


def sound_ids(root: Path) -> list[str]:
    stimuli = np.load(root / "data/neural/NH2015/neural_stim_meta.npy", allow_pickle=False)
    return [name.decode().removesuffix(".wav") for name in stimuli["filename"]]


def responses_of(root: Path, target: str) -> np.ndarray:
    array = np.load(root / f"data/neural/{target}/voxel_features_array.npy", allow_pickle=False)
    if target == "B2021":
        return array[:165]
    meta = np.load(root / "data/neural/NH2015/voxel_features_meta.npy", allow_pickle=False)
    return array[:, meta["n_reps"] == 3]


def table_of(root: Path, target: str) -> pd.DataFrame:
    return pd.read_pickle(root / f"data/neural/{target}/df_roi_meta.pkl")


def layers_of(root: Path, model: str, suffix: str = "") -> dict[str, np.ndarray]:
    with h5py.File(root / f"model-actv/{model}/natsound_activations{suffix}.h5") as file:
        return {
            name.decode(): file[name.decode()][:].astype(float) for name in file["layer_list"][:]
        }


def components_of(root: Path) -> np.ndarray:
    """Profiles (165, 6) in stimulus order."""
    mat = loadmat(root / "data/neural/NH2015comp/components.mat")
    row_of = {cell[0]: row for row, cell in enumerate(mat["stim_names"][0])}
    return mat["R"][[row_of[sound] for sound in sound_ids(root)]]


def squared_r(x: np.ndarray, y: np.ndarray, n_splits: int = 3) -> np.ndarray:
    """Mean over some published splits of the squared test correlation of scikit-learn's
    leave-one-out ridge, per column.
    """
    splits = published_splits()
    scores = []
    for train, test in zip(splits.train[:n_splits], splits.test):
        fit = RidgeCV(ALPHAS, alpha_per_target=True).fit(x[train], y[train])
        predicted, measured = fit.predict(x[test]), y[test]
        predicted, measured = predicted - predicted.mean(axis=0), measured - measured.mean(axis=0)
        norms = np.linalg.norm(predicted, axis=0) * np.linalg.norm(measured, axis=0)
        scores.append(np.maximum(0, (predicted * measured).sum(axis=0) / norms) ** 2)
    return np.mean(scores, axis=0)


def rdm_ranks(features: np.ndarray) -> np.ndarray:
    """Standardised ranks of the pairwise correlations between sounds (rows), so that a mean product
    is Spearman's rho.
    """
    spread = features.std(axis=0)
    standardised = (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1)
    ranks = rankdata(np.corrcoef(standardised)[np.triu_indices(len(features), 1)])
    return (ranks - ranks.mean()) / ranks.std()


@pytest.fixture(scope="module")
def layer_scores(demo_root):
    """Squared r of every layer of the driving network (rows) for every kept NH2015 voxel."""
    layers = layers_of(demo_root, NETWORK)
    voxels = responses_of(demo_root, "NH2015").mean(axis=2)
    return np.array([squared_r(layers[name], voxels) for name in LAYERS])


@pytest.fixture(scope="module")
def demo_with_sounds(tmp_path_factory):
    root = tmp_path_factory.mktemp("sounds") / "demo"
    make_demo(root, seed=0)
    return root


# --- layout -------------------------------------------------------------------------------------


def test_the_folders_hold_the_published_files_and_no_others(demo_root):
    neural = {
        path.relative_to(demo_root / "data").as_posix()
        for path in (demo_root / "data").rglob("*")
        if path.is_file()
    }
    assert neural == {
        "demo_truth.json",
        "stimuli/df_stimuli_meta.pkl",
        "neural/NH2015/neural_stim_meta.npy",
        "neural/NH2015/voxel_features_array.npy",
        "neural/NH2015/voxel_features_meta.npy",
        "neural/NH2015/df_roi_meta.pkl",
        "neural/B2021/stim_info_v4.mat",
        "neural/B2021/voxel_features_array.npy",
        "neural/B2021/voxel_features_meta.npy",
        "neural/B2021/df_roi_meta.pkl",
        "neural/NH2015comp/components.mat",
        "neural/NH2015comp/df_roi_meta.pkl",
    }
    activations = {
        path.relative_to(demo_root / "model-actv").as_posix()
        for path in (demo_root / "model-actv").glob("*/*")
    }
    assert activations == {
        "Kell2018word/natsound_activations.h5",
        "Kell2018word/natsound_activations_randnetw.h5",
        "spectemp/natsound_activations.h5",
        "mymodel/natsound_activations.h5",
        *(
            f"DCASE2020/{sound}_activations{suffix}.pkl"
            for sound in sound_ids(demo_root)
            for suffix in ("", "_randnetw")
        ),
    }


def test_stimulus_list_has_the_published_fields_in_ascending_order(demo_root):
    stimuli = np.load(demo_root / "data/neural/NH2015/neural_stim_meta.npy", allow_pickle=False)
    assert stimuli.dtype.names == (
        "filename",
        "id",
        "fmri_stim_num",
        "cat_assignment_idx",
        "cat_assignment",
    )
    assert stimuli.dtype["filename"].kind == "S" and stimuli.dtype[4].kind == "U"
    assert len(stimuli) == 165
    numbers = [int(sound.removeprefix("stim").split("_")[0]) for sound in sound_ids(demo_root)]
    assert numbers == sorted(set(numbers)) == stimuli["fmri_stim_num"].tolist()
    assert sound_ids(demo_root) != sorted(
        sound_ids(demo_root)
    )  # so that sorting by text shows up in tests
    assert set(stimuli["cat_assignment"]) == set(SOUND_CATEGORIES)
    assert {
        name: int((stimuli["cat_assignment"] == name).sum()) for name in SOUND_CATEGORIES
    } == SOUNDS_PER_CATEGORY
    category_table = pd.read_pickle(demo_root / "data/stimuli/df_stimuli_meta.pkl")
    assert category_table.index.tolist() == sound_ids(demo_root)
    assert category_table["category_label"].tolist() == stimuli["cat_assignment"].tolist()


def test_nh2015_third_repetitions_are_missing_where_the_metadata_says_so(demo_root):
    array = np.load(demo_root / "data/neural/NH2015/voxel_features_array.npy", allow_pickle=False)
    meta = np.load(demo_root / "data/neural/NH2015/voxel_features_meta.npy", allow_pickle=False)
    assert array.dtype == np.float64 and array.shape == (165, len(meta), 3)
    assert meta.dtype["hemi"].kind == "S"
    np.testing.assert_array_equal(
        np.isnan(array).any(axis=0), (meta["n_reps"] < 3)[:, None] & (np.arange(3) == 2)
    )
    kept, table = meta[meta["n_reps"] == 3], table_of(demo_root, "NH2015")
    assert len(kept) == 400 and len(meta) > 400
    for column in ("voxel_id", "subj_idx", "x_ras", "y_ras"):
        assert table[column].tolist() == kept[column].tolist()
    assert table["hemi"].tolist() == [hemi.decode() for hemi in kept["hemi"]]
    assert table["voxel_id"].tolist() != list(range(400))  # ids are not positions
    # voxels are dropped inside participants too, not only whole participants
    dropped = meta[meta["n_reps"] < 3]
    assert set(dropped["subj_idx"]) == set(meta["subj_idx"]) and set(kept["subj_idx"]) < set(
        meta["subj_idx"]
    )


def test_b2021_lists_192_sounds_of_which_the_first_are_the_stimuli(demo_root):
    array = np.load(demo_root / "data/neural/B2021/voxel_features_array.npy", allow_pickle=False)
    ids = np.load(demo_root / "data/neural/B2021/voxel_features_meta.npy", allow_pickle=False)
    stim_info = loadmat(demo_root / "data/neural/B2021/stim_info_v4.mat")["stim_info"][0, 0]
    names = [cell[0][0] for cell in stim_info["stim_names"]]
    assert array.dtype == np.float64 and array.shape == (192, 600, 3) and np.isfinite(array).all()
    assert len(set(names)) == 192 and names[:165] == sound_ids(demo_root)
    assert (
        ids.dtype.kind == "i" and ids.tolist() == table_of(demo_root, "B2021")["voxel_id"].tolist()
    )


def test_components_come_in_another_order_grouped_by_category(demo_root):
    mat = loadmat(demo_root / "data/neural/NH2015comp/components.mat")
    names = [cell[0] for cell in mat["stim_names"][0]]
    assert mat["R"].shape == (165, 6)
    assert tuple(cell[0][0] for cell in mat["component_names"]) == COMPONENTS
    assert sorted(names) == sorted(sound_ids(demo_root)) and names != sound_ids(demo_root)
    labels = [cell[0] for cell in mat["category_labels"][0]]
    stimuli = np.load(demo_root / "data/neural/NH2015/neural_stim_meta.npy", allow_pickle=False)
    assert labels == [
        dict(zip(sound_ids(demo_root), stimuli["cat_assignment"].tolist()))[name] for name in names
    ]
    assert (
        np.count_nonzero(np.diff(np.unique(labels, return_inverse=True)[1]))
        == len(SOUND_CATEGORIES) - 1
    )
    assert table_of(demo_root, "NH2015comp").to_dict("list") == {
        "comp": list(COMPONENTS),
        "comp_idx": list(range(6)),
        "voxel_id": list(range(6)),
    }


@pytest.mark.parametrize(
    ("target", "n_participants", "n_voxels"), [("NH2015", 8, 400), ("B2021", 20, 600)]
)
def test_voxel_tables_are_complete_and_consistent(demo_root, target, n_participants, n_voxels):
    table = table_of(demo_root, target)
    masks = ["tonotopic", "pitch", "music", "speech", "any_roi"] if target == "NH2015" else []
    assert set(table.columns) == {
        "subj_idx",
        "hemi",
        "x_ras",
        "y_ras",
        "voxel_id",
        "kell_r_reliability",
        "pearson_r_reliability",
        "voxel_variability_mean_reps",
        "voxel_variability_std",
        "coord_id",
        "shared_by",
        "roi_label_fname",
        "roi_label_specific",
        "roi_label_general",
        "roi_anat_hemi",
        *masks,
    }
    assert len(table) == n_voxels and table["subj_idx"].nunique() == n_participants
    assert table["voxel_id"].is_monotonic_increasing and table["voxel_id"].is_unique
    assert set(table["roi_label_general"].dropna()) == set(ROIS)
    per_participant = table.groupby(["subj_idx", "roi_label_general"]).size().unstack()
    assert per_participant.shape == (n_participants, 4) and per_participant.min(axis=None) >= 4
    unlabelled = table["roi_label_general"].isna()
    assert 0 < unlabelled.sum() < len(table) / 2
    for column in ("roi_label_fname", "roi_label_specific", "roi_anat_hemi"):
        assert table[column].isna().equals(unlabelled)
    labelled = table[~unlabelled]
    assert (
        labelled["roi_anat_hemi"] == labelled["roi_label_general"] + "_" + labelled["hemi"]
    ).all()
    # a coordinate lies in one hemisphere and one region, and once per participant
    assert (
        table["coord_id"] == table["x_ras"].astype(str) + "_" + table["y_ras"].astype(str)
    ).all()
    for column in ("hemi", "roi_label_general"):
        assert (table.groupby("coord_id")[column].nunique(dropna=False) == 1).all()
    assert not table.duplicated(["subj_idx", "coord_id"]).any()
    assert (table["shared_by"] == table["coord_id"].map(table["coord_id"].value_counts())).all()
    assert table["shared_by"].max() > 1
    if masks:
        assert set(np.unique(table[masks])) == {0, 1}
        assert (table["any_roi"] == table[masks[:4]].max(axis=1)).all()
    for column in ("hemi", "coord_id", "roi_label_general"):
        assert table[column].dtype == object  # as pandas 1 wrote the published tables


def test_activation_files_follow_the_registry(demo_root):
    trained, permuted = (
        layers_of(demo_root, "Kell2018word", suffix) for suffix in ("", "_randnetw")
    )
    assert list(trained) == ["input_after_preproc", *LAYERS]
    assert {name: x.shape for name, x in trained.items()} == {
        name: x.shape for name, x in permuted.items()
    }
    assert (
        min(x.shape[1] for x in trained.values()) < 83 < max(x.shape[1] for x in trained.values())
    )
    assert "avgpool" in layers_of(demo_root, "spectemp")
    assert list(layers_of(demo_root, "mymodel")) == ["convolution", "recurrent", "embedding"]
    for path in (demo_root / "model-actv").glob("*/*.h5"):
        with h5py.File(path) as file:
            assert file["layer_list"].dtype.kind == "S"
            for name in file["layer_list"][:]:
                assert file[name.decode()].dtype == np.float32 and len(file[name.decode()]) == 165
                assert np.isfinite(file[name.decode()][:]).all()


@pytest.mark.parametrize("suffix", ["", "_randnetw"])
def test_external_pickles_hold_the_stored_keys(demo_root, suffix):
    records = [
        pickle.loads(
            (demo_root / f"model-actv/DCASE2020/{sound}_activations{suffix}.pkl").read_bytes()
        )
        for sound in sound_ids(demo_root)
    ]
    keys = [layer.stored_key for layer in MODELS["DCASE2020"].layers]
    assert all(list(record) == keys for record in records)
    for key in keys:
        stacked = np.stack([record[key] for record in records])
        assert stacked.dtype == np.float32 and stacked.ndim == 2 and np.isfinite(stacked).all()


# --- sounds -------------------------------------------------------------------------------------


def test_wav_files_are_two_seconds_mono_16_bit(demo_with_sounds):
    files = sorted((demo_with_sounds / "data/stimuli").glob("*.wav"))
    assert [file.stem for file in files] == sorted(sound_ids(demo_with_sounds))
    for file in files[::20]:
        with wave.open(str(file)) as sound:
            assert sound.getparams()[:4] == (1, 2, 44100, 88200)
            samples = np.frombuffer(sound.readframes(88200), "<i2").astype(float)
        assert np.sqrt(np.mean(samples**2)) > 100 and np.abs(samples).max() < 32767


def parameters(**values):
    return np.array([values.get(name, 0.0) for name in PARAMETERS])


def test_acoustic_parameters_are_heard_in_the_waveforms():
    def sound(**values):
        return synthesise(parameters(**values), np.random.default_rng(0)).astype(float)

    def centroid(x):
        power = np.abs(np.fft.rfft(x)) ** 2
        return (np.fft.rfftfreq(len(x), 1 / SAMPLING_RATE) * power).sum() / power.sum()

    def flatness(x):
        power = np.abs(np.fft.rfft(x))[100:40000] ** 2
        return np.exp(np.log(power).mean()) / power.mean()

    def dominant_frequency(x, part):
        piece = x[part] * np.hanning(len(x[part]))
        return np.abs(np.fft.rfft(piece))[50:].argmax() + 50

    assert centroid(sound(pitch=1.5)) > 2 * centroid(sound(pitch=-1.5))
    assert centroid(sound(harmonicity=3, brightness=2)) > 1.2 * centroid(
        sound(harmonicity=3, brightness=-2)
    )
    assert flatness(sound(harmonicity=-3)) > 10 * flatness(sound(harmonicity=3))
    steady = {"harmonicity": 4, "brightness": -2, "sharpness": -3}
    first, last = slice(0, 44100), slice(44100, None)
    rising, falling = (sound(glide=glide, **steady) for glide in (1, -1))
    assert dominant_frequency(rising, last) > dominant_frequency(rising, first)
    assert dominant_frequency(falling, last) < dominant_frequency(falling, first)
    # the events: twice the rate, twice the line in the spectrum of the power; sharper events, more
    # silence
    for rate, expected_hz in ((0.0, 4), (1.0, 8)):
        power = sound(rate=rate, sharpness=1) ** 2
        assert (
            np.abs(np.fft.rfft(power - power.mean()))[:100].argmax() == expected_hz * 2
        )  # bins of 0.5 Hz
    assert np.median(np.abs(sound(sharpness=2))) < 0.1 * np.median(np.abs(sound(sharpness=-2)))


def test_sound_names_are_unique_and_categories_keep_their_size_under_any_seed():
    first, second = (draw_sounds(np.random.default_rng(seed)) for seed in (0, 1))
    names = [{sound.split("_", 1)[1] for sound in sounds.ids} for sounds in (first, second)]
    assert len(names[0]) == 165 and names[0] == names[1] and first.ids != second.ids
    assert sorted(first.categories) == sorted(second.categories)


# --- the generative model -----------------------------------------------------------------------


def shared(a, b):
    """Share of the variance of one white state that another holds."""
    return np.linalg.norm(a.T @ b / len(a)) ** 2 / a.shape[1]


def test_white_factors_have_unit_variance_and_no_correlation():
    factors = whiten(
        np.random.default_rng(0).standard_normal((165, 6)) @ np.diag([1, 2, 3, 4, 5, 6]) + 7
    )
    np.testing.assert_allclose(factors.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(factors.T @ factors / 165, np.eye(6), atol=1e-12)


def test_stages_share_the_stated_variance():
    # over 20 cascades the mean is within a few standard errors of rho^|j - k|, plus what chance
    # adds (6 factors, 165 sounds)
    rng = np.random.default_rng(0)
    cascades = [
        draw_cascade(whiten(rng.standard_normal((165, 6))), [150] * 5, rng).states
        for _ in range(20)
    ]
    for distance in range(5):
        mean = np.mean([shared(states[0], states[distance]) for states in cascades])
        rho = (1 - NOVELTY) ** distance
        assert mean == pytest.approx(rho + (1 - rho) * 6 / 164, abs=0.03)


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_copied_states_share_what_they_should(share):
    rng = np.random.default_rng(1)
    state = whiten(rng.standard_normal((5000, 6)))
    assert shared(copy_state(state, share, rng), state) == pytest.approx(share, abs=0.02)


def test_read_outs_cover_the_factors_evenly():
    weights = draw_read_outs(12, np.random.default_rng(0))
    np.testing.assert_allclose(weights.T @ weights, 2 * np.eye(6), atol=1e-12)
    assert draw_read_outs(7, np.random.default_rng(0)).shape == (7, 6)
    signal = read_out(whiten(np.random.default_rng(1).standard_normal((165, 6))), weights)
    np.testing.assert_allclose(signal.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(signal.var(axis=0), 1, atol=1e-12)


def test_repetitions_correlate_as_reliably_as_asked():
    rng = np.random.default_rng(2)
    reliability = np.array([0.0, 0.3, 0.8, 1.0])
    signal = whiten(rng.standard_normal((50_000, 4)))
    repetitions = repeat_with_noise(signal, reliability, rng)
    for v, expected in enumerate(reliability):
        np.testing.assert_allclose(
            np.corrcoef(repetitions[:, v].T)[np.triu_indices(3, 1)], expected, atol=0.02
        )
    np.testing.assert_allclose(repetitions.var(axis=0), 1, atol=0.03)


def test_described_reliabilities_worked_by_hand():
    u, v = np.array([1.0, -1, 1, -1]), np.array([1.0, 1, -1, -1])
    # voxel 0: three equal repetitions; voxel 1: the third has nothing in common with the first two
    responses = np.stack([np.stack([u, u, u], axis=1), np.stack([u, u, v], axis=1)], axis=1) + 5
    places = plain_table(
        {
            "subj_idx": [1, 2],
            "hemi": ["lh", "lh"],
            "x_ras": [-40, -40],
            "y_ras": [0, 0],
            "roi_label_specific": ["A1", np.nan],
            "roi_label_general": ["Primary", np.nan],
        }
    )
    table = describe_voxels(
        VoxelPlan(places, np.zeros(2, int), np.ones(2)), np.array([3, 8]), responses
    )
    np.testing.assert_allclose(table["kell_r_reliability"], [1, 0], atol=1e-12)
    np.testing.assert_allclose(table["pearson_r_reliability"], [1, 0], atol=1e-12)
    np.testing.assert_allclose(table["voxel_variability_mean_reps"], 1)
    assert table["shared_by"].tolist() == [2, 2] and table["coord_id"].tolist() == ["-40_0"] * 2
    assert table["roi_anat_hemi"].tolist()[0] == "Primary_lh" and pd.isna(table["roi_anat_hemi"][1])


# --- the planted truth --------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["NH2015", "B2021"])
def test_truth_lists_the_voxels_of_the_table(demo_root, demo_truth, target):
    voxels, table = demo_truth.voxels[target], table_of(demo_root, target)
    assert voxels.voxel_id.tolist() == table["voxel_id"].tolist()
    for roi, layer in demo_truth.roi_layers.items():
        assert set(voxels.layer[table["roi_label_general"] == roi]) == {layer}
    n_participants = table["subj_idx"].nunique()
    nothing, clean = voxels.layer == "", voxels.reliability == RELIABILITY_NEAR_NOISELESS
    assert (
        nothing.sum() == clean.sum() == n_participants and (voxels.reliability[nothing] == 0).all()
    )
    ordinary = voxels.reliability[~nothing & ~clean]
    low, high = RELIABILITY_RANGE
    assert low <= ordinary.min() < low + 0.05 and high - 0.05 < ordinary.max() <= high


@pytest.mark.parametrize("target", ["NH2015", "B2021"])
def test_measured_reliabilities_are_the_stated_ones(demo_root, demo_truth, target):
    responses, stated = responses_of(demo_root, target), demo_truth.voxels[target].reliability
    z = (responses - responses.mean(axis=0)) / responses.std(axis=0)
    measured = np.mean(
        [(z[:, :, a] * z[:, :, b]).mean(axis=0) for a, b in ((0, 1), (0, 2), (1, 2))], axis=0
    )
    # standard error of one correlation over 165 sounds; the mean of three lies closer
    deviation = (measured - stated) / ((1 - stated**2) / np.sqrt(164))
    assert np.abs(deviation).max() < 4.5
    assert np.abs((measured - stated).mean()) < 0.01


def test_ridge_finds_the_planted_layer_of_nearly_every_voxel(demo_root, demo_truth, layer_scores):
    voxels, table = demo_truth.voxels["NH2015"], table_of(demo_root, "NH2015")
    best = np.array(LAYERS)[layer_scores.argmax(axis=0)]
    for roi in ROIS:
        own = (table["roi_label_general"] == roi).to_numpy()
        assert (best[own] == voxels.layer[own]).mean() > 0.95
    assert (best == voxels.layer)[voxels.layer != ""].mean() > 0.95


def test_noise_free_voxels_follow_the_closed_form_over_layers(demo_truth, layer_scores):
    voxels = demo_truth.voxels["NH2015"]
    clean = np.flatnonzero(voxels.reliability == RELIABILITY_NEAR_NOISELESS)
    planted = [LAYERS.index(voxels.layer[v]) for v in clean]
    assert layer_scores[planted, clean].min() > 0.95
    expected = np.array(
        [[demo_truth.shared_variance(layer, voxels.layer[v]) for v in clean] for layer in LAYERS]
    )
    # single read-outs scatter around the mean over read-outs; 83 training sounds cost a little
    assert np.corrcoef(expected.ravel(), layer_scores[:, clean].ravel())[0, 1] > 0.9
    assert np.mean(layer_scores[:, clean] - expected) == pytest.approx(0, abs=0.1)


def test_driven_voxels_reach_their_reliability_and_pure_noise_nothing(demo_truth, layer_scores):
    voxels = demo_truth.voxels["NH2015"]
    driven = np.flatnonzero(voxels.layer != "")
    planted = [LAYERS.index(voxels.layer[v]) for v in driven]
    ceiling = (
        3 * voxels.reliability[driven] / (1 + 2 * voxels.reliability[driven])
    )  # Spearman-Brown, three repetitions
    assert 0.9 < np.median(layer_scores[planted, driven] / ceiling) < 1.02
    noise = voxels.layer == ""
    assert np.median(layer_scores[:, noise]) < 0.02 and layer_scores[:, noise].mean() < 0.05


def test_trained_network_beats_the_baseline_and_the_baseline_the_permuted_twin(
    demo_root, demo_truth, layer_scores
):
    voxels, driven = (
        responses_of(demo_root, "NH2015").mean(axis=2),
        demo_truth.voxels["NH2015"].layer != "",
    )
    baseline = squared_r(layers_of(demo_root, "spectemp")["avgpool"], voxels)[driven]
    permuted = layers_of(demo_root, NETWORK, "_randnetw")
    best_permuted = np.max([squared_r(permuted[name], voxels) for name in LAYERS[:3]], axis=0)[
        driven
    ]
    best_trained = layer_scores.max(axis=0)[driven]
    assert (
        0.05 < np.median(best_permuted) < np.median(baseline) - 0.05 < np.median(best_trained) - 0.3
    )


def test_ridge_finds_the_planted_layer_of_every_component(demo_root, demo_truth):
    layers, components = layers_of(demo_root, NETWORK), components_of(demo_root)
    scores = np.array([squared_r(layers[name], components, n_splits=10) for name in LAYERS])
    assert (
        dict(zip(COMPONENTS, np.array(LAYERS)[scores.argmax(axis=0)]))
        == demo_truth.component_layers
    )
    assert scores.max(axis=0) == pytest.approx(
        0.87, abs=0.07
    )  # 0.9 is signal, 83 sounds cost a little


def test_speech_and_music_components_prefer_speech_and_music(demo_root):
    stimuli = np.load(demo_root / "data/neural/NH2015/neural_stim_meta.npy", allow_pickle=False)
    components = components_of(demo_root)
    for component, categories in (
        ("speech", ("EngSpeech", "ForSpeech")),
        ("music", ("Music", "Song")),
    ):
        profile = components[:, COMPONENTS.index(component)]
        own = np.isin(stimuli["cat_assignment"], categories)
        assert profile[own].mean() > profile[~own].mean() + 0.7 * profile.std()


@pytest.mark.parametrize("target", ["NH2015", "B2021"])
def test_rdms_of_the_regions_are_most_similar_to_the_planted_layers(demo_root, demo_truth, target):
    layers, table = layers_of(demo_root, NETWORK), table_of(demo_root, target)
    model = np.array([rdm_ranks(layers[name]) for name in LAYERS])
    voxels = responses_of(demo_root, target).mean(axis=2)
    hits = []
    for (_, roi), rows in table.groupby(["subj_idx", "roi_label_general"]).indices.items():
        similarity = model @ rdm_ranks(voxels[:, rows]) / model.shape[1]
        hits.append(LAYERS[similarity.argmax()] == demo_truth.roi_layers[roi])
    assert np.mean(hits) > 0.9


# --- making it ----------------------------------------------------------------------------------


def test_same_seed_gives_the_same_bytes_with_or_without_sounds(demo_root, demo_with_sounds):
    files = [
        path for path in demo_root.rglob("*") if path.is_file() and path.name != TRUTH_FILE.name
    ]
    assert len(files) == 345
    for path in files:
        assert path.read_bytes() == (demo_with_sounds / path.relative_to(demo_root)).read_bytes(), (
            path
        )
    first, second = (
        json.loads((root / TRUTH_FILE).read_text()) for root in (demo_root, demo_with_sounds)
    )
    sounds = set(second.pop("files")) - set(first.pop("files"))
    assert first == second
    assert sounds == {f"data/stimuli/{sound}.wav" for sound in sound_ids(demo_root)}
    assert sum(path.stat().st_size for path in demo_with_sounds.rglob("*")) < 45e6


def test_an_earlier_demo_is_replaced_only_when_asked_and_only_when_nothing_else_is_there(
    demo_root, tmp_path
):
    root = tmp_path / "demo"
    shutil.copytree(demo_root, root)
    with pytest.raises(InputError, match=r"demo of seed 0.*--overwrite"):
        make_demo(root, seed=3, sounds=False)
    truth = make_demo(root, seed=3, sounds=False, overwrite=True)
    written = read_truth(root)
    assert written.seed == truth.seed == 3 and sound_ids(root) != sound_ids(demo_root)
    for target in ("NH2015", "B2021"):
        for name in ("voxel_id", "layer", "reliability"):
            np.testing.assert_array_equal(
                getattr(written.voxels[target], name), getattr(truth.voxels[target], name)
            )
    assert (written.roi_layers, written.component_layers) == (
        truth.roi_layers,
        truth.component_layers,
    )
    (root / "results").mkdir()
    (root / "results/mine.csv").write_text("1")
    with pytest.raises(InputError, match=r"results/mine\.csv"):
        make_demo(root, overwrite=True, sounds=False)
    assert read_truth(root).seed == 3 and [path.name for path in tmp_path.iterdir()] == ["demo"]


def test_the_demo_that_is_there_already_is_left_alone_with_what_was_made_from_it(
    demo_root, tmp_path, monkeypatch, capsys
):
    root = tmp_path / "demo"
    shutil.copytree(demo_root, root)
    made = root / "model-actv" / "spectemp_sounds" / "natsound_activations.h5"  # by `make demo`
    made.parent.mkdir()
    made.write_bytes(b"made")
    (root / "results").mkdir()
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    monkeypatch.setattr(
        making, "make_demo", lambda root, seed, overwrite: make_demo(root, seed, sounds=False)
    )
    assert command.main(["--root", str(root)]) == 0
    assert (
        f"The demo was already there, in {root}: NH2015 with 400 voxels" in capsys.readouterr().out
    )
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
    with pytest.raises(InputError, match=r"lacks \.wav files.*--overwrite"):
        make_demo(root)
    (root / "data" / "neural" / "NH2015" / "df_roi_meta.pkl").unlink()
    with pytest.raises(
        InputError, match=r"lacks data/neural/NH2015/df_roi_meta\.pkl\. Add --overwrite"
    ):
        make_demo(root, sounds=False)


@pytest.mark.parametrize("overwrite", [False, True])
def test_files_of_others_are_never_touched(tmp_path, overwrite):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match=r"thesis\.tex"):
        make_demo(tmp_path, overwrite=overwrite)
    with pytest.raises(InputError, match="is a file"):
        make_demo(tmp_path / "thesis.tex", overwrite=overwrite)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["years of work"]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"made_by": "someone"}', '{"made_by": "aud_dnn.demo", "files": 3}']
)
def test_a_damaged_record_is_an_error_and_no_licence_to_overwrite(tmp_path, text):
    (tmp_path / TRUTH_FILE).parent.mkdir()
    (tmp_path / TRUTH_FILE).write_text(text)
    with pytest.raises(InputError, match="damaged"):
        make_demo(tmp_path, overwrite=True)
    with pytest.raises(InputError, match="damaged"):
        read_truth(tmp_path)
    assert (tmp_path / TRUTH_FILE).read_text() == text


def test_a_failure_in_the_middle_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(making, "_write_dcase", fail)
    with pytest.raises(OSError, match="No space"):
        make_demo(tmp_path / "demo", sounds=False)
    assert list(tmp_path.iterdir()) == []


def test_reading_the_truth_where_there_is_none_says_how_to_make_it(tmp_path):
    with pytest.raises(InputError, match=r"python -m aud_dnn\.demo --root"):
        read_truth(tmp_path)


def test_an_empty_folder_is_filled_but_not_one_with_folders_in_it(tmp_path):
    (tmp_path / "empty").mkdir()
    make_demo(tmp_path / "empty", sounds=False)
    assert read_truth(tmp_path / "empty").seed == 0
    (tmp_path / "used/results").mkdir(parents=True)
    for overwrite in (False, True):
        with pytest.raises(InputError, match="results"):
            make_demo(tmp_path / "used", sounds=False, overwrite=overwrite)


def test_a_negative_seed_is_refused(tmp_path):
    with pytest.raises(InputError, match="seed"):
        make_demo(tmp_path / "demo", seed=-1)


def test_command_line(tmp_path, monkeypatch, capsys):
    real = make_demo
    monkeypatch.setattr(
        making,
        "make_demo",
        lambda root, seed, overwrite: real(root, seed, overwrite=overwrite, sounds=False),
    )
    assert command.main(["--root", str(tmp_path / "demo"), "--seed", "5"]) == 0
    assert read_truth(tmp_path / "demo").seed == 5
    assert "NH2015 with 400 voxels" in capsys.readouterr().out


def test_command_line_reports_a_refusal_without_a_traceback(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    run = subprocess.run(
        [sys.executable, "-m", "aud_dnn.demo", "--root", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=Path(command.__file__).parents[2],
        timeout=120,
    )
    assert (
        run.returncode == 2 and run.stderr.startswith("error: ") and "Traceback" not in run.stderr
    )


def test_the_report_takes_rsa_scores_from_the_sealed_file(tmp_path: Path) -> None:
    paths = ProjectPaths(tmp_path)
    fake_results.write_fake_rsa(paths, {NETWORK: LAYERS, "spectemp": ("avgpool",)}, ("NH2015",))
    summary = summaries.rsa_summary(paths)
    stored = read_analysis(paths.rsa_results, "NH2015").sel(condition="trained", model=NETWORK)
    assert (
        summary.index.tolist() == [NETWORK, "spectemp", "(noise ceiling)"]
        and summary["(noise ceiling)"] == 0.7
    )
    assert summary[NETWORK] == pytest.approx(
        stored["best_layer_rsa_median_across_splits"].mean().item()
    )
    path = paths.rsa_results / "rsa_NH2015_All.nc"
    path.write_bytes(path.read_bytes()[:-100] + bytes(100))
    with pytest.raises(InputError, match=r"rsa_NH2015_All\.nc"):
        summaries.rsa_summary(paths)

"""The front door: ``import aud_dnn``. Its numbers are those of the scripts."""

from __future__ import annotations

import doctest
import importlib
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import roots
import xarray as xr
from scipy.io import loadmat
from sklearn.linear_model import RidgeCV

import aud_dnn
from aud_dnn.AUD_main import main
from aud_dnn.errors import InputError, MissingDataError
from aud_dnn.paths import ProjectPaths
from aud_dnn.runs.comparisons import run_comparison
from aud_dnn.splits import given_splits

REPOSITORY = Path(aud_dnn.__file__).parents[1]
LAYERS = ("relu0", "relu2")
SCORES = ("r_test", "r2_test", "r2_test_c", "r2_train", "alphas")


@pytest.fixture(scope="module")
def root(demo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo with two layers fitted to voxels, one of them to the components, as the baseline."""
    root = roots.borrow(demo_root, tmp_path_factory.mktemp("api") / "root")
    log = logging.getLogger("aud_dnn")
    before = log.handlers, log.level, log.propagate
    for model, layers, target in (
        ("Kell2018word", LAYERS, "NH2015"),
        ("Kell2018word", ("relu2",), "NH2015comp"),
        ("spectemp", ("avgpool",), "NH2015"),
        ("spectemp", ("avgpool",), "NH2015comp"),
    ):
        arguments = ["--root", str(root), "--source_model", model, "--target", target]
        main([*arguments, "--source_layer", *layers, "--save_preds", "False"])
    log.handlers, log.level, log.propagate = before
    return root


@pytest.fixture(autouse=True)
def _here(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUD_DNN_ROOT", str(root))


@pytest.fixture(scope="module")
def target(root: Path) -> aud_dnn.Target:
    return aud_dnn.load_target("NH2015comp", root=root)


@pytest.fixture(scope="module")
def features() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((165, 30))


def own_target(
    n_sounds: int = 40, n_neuroids: int = 9, n_repetitions: int = 3, **given
) -> aud_dnn.Target:
    rng = np.random.default_rng(1)
    responses = rng.standard_normal((n_sounds, n_neuroids, n_repetitions))
    sounds = [f"sound{i}" for i in range(n_sounds)]
    return aud_dnn.Target.from_arrays(responses, sounds, name="own", **given)


# --- the door -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", aud_dnn.__all__)
def test_every_name_is_there_and_documented(name: str) -> None:
    assert name in dir(aud_dnn)
    assert len(getattr(aud_dnn, name).__doc__) > 200


def test_other_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="module 'aud_dnn' has no attribute 'scores'"):
        _ = aud_dnn.scores


def test_the_import_loads_nothing() -> None:
    program = (
        "import sys, aud_dnn; assert dir(aud_dnn)\n"
        "print(any(name in sys.modules for name in ('numpy', 'aud_dnn.api')))"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("module", ["aud_dnn", *sorted({*aud_dnn._HOMES.values()})])
def test_examples_run(
    module: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One of the examples fits a model: it gets a root of its own.
    monkeypatch.setenv("AUD_DNN_ROOT", str(roots.borrow(root, tmp_path / "root")))
    failed, tried = doctest.testmod(importlib.import_module(module))
    assert tried and not failed


@pytest.mark.parametrize(
    "name", [name for name in aud_dnn.__all__ if name not in ("Target", "read_target")]
)
def test_every_function_has_an_example(name: str) -> None:
    function = getattr(importlib.import_module(aud_dnn._HOMES[name]), name)
    assert ">>> " in function.__doc__


def test_the_first_python_of_the_readme_has_four_lines_and_runs() -> None:
    block = re.search(
        r"```python\n(.*?)```", (REPOSITORY / "README.md").read_text(encoding="utf-8"), re.DOTALL
    )
    example = doctest.DocTestParser().get_doctest(block[1], {}, "README.md", "README.md", 0)
    assert len(example.examples) == 4 and "aud_dnn.score(" in block[1]
    assert doctest.DocTestRunner().run(example).failed == 0


# --- score --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["NH2015", "NH2015comp"])
def test_scores_are_to_the_bit_those_of_the_script(name: str) -> None:
    activations = aud_dnn.open_activations("Kell2018word")
    layers = {
        layer: activations.read(layer) for layer in LAYERS if name == "NH2015" or layer == "relu2"
    }
    scores = aud_dnn.score(layers, name)
    assert scores["layer"].values.tolist() == list(layers)
    for layer in layers:
        written = aud_dnn.read_result("Kell2018word", layer, name).scores
        for variable in SCORES:
            if variable != "r2_test_c" or name == "NH2015":
                np.testing.assert_array_equal(
                    scores[variable].sel(layer=layer), written[variable], err_msg=variable
                )
    np.testing.assert_array_equal(scores["voxel"], written["voxel_id"])
    assert ("r2_test_c" in scores) == (name == "NH2015")
    assert scores.attrs == {"target": name, "splits": "published", "alphalimit": 50}


@pytest.mark.parametrize(
    "layout", [np.asfortranarray, lambda a: a[:, ::-1][:, ::-1], lambda a: a.tolist(), xr.DataArray]
)
def test_how_an_array_lies_in_memory_changes_nothing(layout, features: np.ndarray) -> None:
    expected = aud_dnn.score(features, "NH2015comp")
    xr.testing.assert_identical(aud_dnn.score(layout(features), "NH2015comp"), expected)


def test_activations_are_scored_layer_by_layer() -> None:
    activations = aud_dnn.open_activations("mymodel")
    expected = aud_dnn.score(dict(activations.items()), "NH2015comp")
    xr.testing.assert_identical(aud_dnn.score(activations, "NH2015comp"), expected)


@pytest.mark.parametrize("ending", ["", ".wav"])
def test_rows_are_matched_by_sound(
    ending: str, features: np.ndarray, target: aud_dnn.Target
) -> None:
    order = np.random.default_rng(2).permutation(165)
    ids = [target.stimuli.ids[row] + ending for row in order]
    extra = np.full((2, 30), np.nan)  # of sounds that the target does not have: never looked at
    shuffled = np.vstack([extra[:1], features[order], extra[1:]])
    scores = aud_dnn.score(shuffled, target, ids=["other", *ids, "another"])
    xr.testing.assert_identical(scores, aud_dnn.score(features, target))


def test_the_metadata_are_coordinates_and_all_can_be_saved(
    features: np.ndarray, tmp_path: Path
) -> None:
    scores = aud_dnn.score(features, "NH2015", alphalimit=5)
    table = aud_dnn.load_target("NH2015").metadata
    np.testing.assert_array_equal(scores["subj_idx"], table["subj_idx"])
    assert (scores["n_repetitions"] == 3).all()
    scores.to_netcdf(tmp_path / "scores.nc", engine="h5netcdf")
    again = xr.load_dataset(tmp_path / "scores.nc", engine="h5netcdf")
    np.testing.assert_array_equal(again["r2_test_c"], scores["r2_test_c"])
    assert (scores["alphas"] <= 1e4).all()


def test_a_target_of_ones_own_brings_its_splits(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    train = np.zeros((3, 40), dtype=bool)
    for mask, size in zip(train, (15, 20, 25)):
        mask[rng.permutation(40)[:size]] = True
    test = ~train
    test[:, 0] = False
    neuroids = {"neuroid": list("abcdefghi"), "region": ["A"] * 4 + ["B"] * 5}
    target = own_target(n_repetitions=1, splits=given_splits(train, test), neuroids=neuroids)
    features = target.responses[:, :6, 0] + rng.standard_normal((40, 6))
    file = aud_dnn.write_target(tmp_path / "own.nc", target)
    ids = np.array(target.stimuli.ids)[::-1]
    scores = aud_dnn.score(features[::-1], file, ids=ids, alphalimit=3)
    assert scores.attrs["splits"] == "given" and "r2_test_c" not in scores
    assert scores["neuroid"].values.tolist() == neuroids["neuroid"]
    for split in range(3):
        for voxel in range(9):
            y, (on, off) = target.responses[:, voxel, 0], (train[split], test[split])
            model = RidgeCV(alphas=10.0 ** np.arange(-3, 3)).fit(features[on], y[on])
            r = np.corrcoef(model.predict(features[off]), y[off])[0, 1]
            found = scores.isel(layer=0, voxel=voxel, split=split)
            if found["alphas"] == model.alpha_ < 100:  # beyond that alphas tie
                np.testing.assert_allclose(found["r_test"], max(r, 0), rtol=1e-7)


def test_a_missing_repetition_is_left_out_and_counted() -> None:
    target = own_target()
    responses = target.responses.copy()
    responses[:, 2, 1] = np.nan
    responses[:, 3, 1:] = np.nan
    gaps = aud_dnn.Target.from_arrays(responses, target.stimuli.ids, name="gaps")
    features = np.random.default_rng(4).standard_normal((40, 15))
    scores, whole = (aud_dnn.score(features, each).isel(layer=0) for each in (gaps, target))
    assert scores["n_repetitions"].values.tolist() == [3, 3, 2, 1, 3, 3, 3, 3, 3]
    np.testing.assert_array_equal(
        np.isnan(scores["r2_test_c"]).all("split").values, np.arange(9) == 3
    )
    rest = [0, 1, 4, 5, 6, 7, 8]
    np.testing.assert_allclose(scores["r2_test_c"][rest], whole["r2_test_c"][rest], rtol=1e-9)
    assert not np.allclose(scores["r2_train"][2], whole["r2_train"][2])


# --- compare ------------------------------------------------------------------------------------


def test_similarities_are_those_of_the_script(root: Path) -> None:
    paths = ProjectPaths(root)
    run = run_comparison(
        paths,
        targets=["NH2015"],
        rois=["All"],
        conditions=["trained"],
        models=["Kell2018word"],
        jobs=1,
        progress=False,
    )
    written = run.datasets["NH2015", "All"].sel(model="Kell2018word", condition="trained")
    found = aud_dnn.compare(dict(aud_dnn.open_activations("Kell2018word").items()), "NH2015")
    for ours, theirs in {
        "train": "all_layer_train_correlations",
        "test": "all_layer_test_correlations",
        "all_sounds": "all_data_rsa_for_best_layer",
        "all_layers": "all_model_features_rsa",
        "best_layer_test": "best_layer_test_value",
        "best_layer_position": "best_layer_position",
        "ceiling_pearson": "leave_one_out_neural_r_cv_test_splits",
        "ceiling_spearman": "leave_one_out_neural_spearman_cv_test_splits",
        "ceiling_pearson_all_sounds": "leave_one_out_neural_r_all_sounds",
        "ceiling_spearman_all_sounds": "leave_one_out_neural_spearman_all_sounds",
        "n_voxels": "n_voxels",
    }.items():
        np.testing.assert_array_equal(
            found[ours], written[theirs].transpose(*found[ours].dims), err_msg=ours
        )
    chosen = found["layer"].values[written["best_layer_idx"].values.astype(int)]
    np.testing.assert_array_equal(found["best_layer"], chosen)
    np.testing.assert_array_equal(found["participant"], written["participant"])


def test_components_count_as_one_participant(features: np.ndarray) -> None:
    found = aud_dnn.compare(features, "NH2015comp")
    assert (
        found["participant"].values.tolist() == ["all"]
        and found["best_layer_position"].isnull().all()
    )
    assert found["ceiling_pearson"].isnull().all() and found["test"].notnull().all()


def test_sounds_of_ones_own_stay_as_they_are_and_rows_are_matched() -> None:
    target = own_target(neuroids={"participant": ["S1"] * 4 + ["S2"] * 5})
    mine = target.responses[:, :4].mean(axis=2)
    found = aud_dnn.compare({"same": mine, "other": mine[::-1]}, target)
    assert found["participant"].values.tolist() == ["participant_S1", "participant_S2"]
    np.testing.assert_allclose(found["test"].sel(layer="same", participant="participant_S1"), 1)
    assert (found["best_layer"].sel(participant="participant_S1") == "same").all()
    again = aud_dnn.compare(mine[::-1], target, ids=target.stimuli.ids[::-1])
    np.testing.assert_allclose(again["train"][0], found["train"].sel(layer="same"), rtol=1e-12)


def test_published_sounds_without_categories_take_those_of_the_root(
    target: aud_dnn.Target, features: np.ndarray, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    arrays = aud_dnn.Target.from_arrays(
        target.responses, target.stimuli.ids, name="mine", published=target.stimuli.ids
    )
    expected = aud_dnn.compare(features, target)["test"]
    np.testing.assert_array_equal(aud_dnn.compare(features, arrays)["test"], expected)
    monkeypatch.setenv("AUD_DNN_ROOT", str(tmp_path))
    with pytest.raises(InputError, match="sounds grouped by category"):
        aud_dnn.compare(features, arrays)


FEW = np.arange(40) < 3
UNUSABLE = {
    "three sounds": (
        own_target(splits=given_splits(FEW[None])),
        "four sounds at least in each half of a split; one half has 3",
    ),
    "single voxels": (
        own_target(neuroids={"participant": list(range(9))}),
        "no participant has two voxels",
    ),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_targets_that_have_no_rdm_are_refused(case: str) -> None:
    unusable, message = UNUSABLE[case]
    with pytest.raises(InputError, match=message):
        aud_dnn.compare(np.random.default_rng(0).standard_normal((40, 5)), unusable)


# --- bad input ----------------------------------------------------------------------------------

GOOD = np.random.default_rng(5).standard_normal((165, 4))
BAD = {
    "NaN": (
        np.where(np.arange(165)[:, None] == 3, np.nan, GOOD),
        r"layer features hold NaN or inf for 1 sound\(s\): stim",
    ),
    "inf": (
        {"a": GOOD, "b": GOOD * np.array([1, np.inf, 1, 1])},
        r"layer b hold NaN or inf for 165 sound",
    ),
    "other rows": (GOOD[:80], r"80 rows, but NH2015comp has 165 sounds.*ids=\["),
    "time axis": (GOOD[:, None], r"shape \(165, 1, 4\). Average over time"),
    "one number a sound": (GOOD[:, 0], r"found float64 of shape \(165,\)"),
    "no units": (GOOD[:, :0], r"shape \(165, 0\)"),
    "complex": (GOOD.astype(complex), "real numbers.*complex128"),
    "text": (GOOD.astype(str), "must be real numbers"),
    "objects": (GOOD.astype(object), "found object"),
    "true and false": (GOOD > 0, "found bool"),
    "ragged": ([[1.0, 2.0]] * 164 + [[1.0]], "cannot be made an array"),
    "nothing": (None, "must be real numbers"),
    "no layers": ({}, "empty mapping"),
    "one name twice": ({1: GOOD, "1": GOOD}, "same name"),
    "masked": (np.ma.masked_greater(GOOD, 1), "masked entries"),
}


@pytest.mark.parametrize("use", [aud_dnn.score, aud_dnn.compare])
@pytest.mark.parametrize("case", BAD)
def test_bad_features_are_refused(case: str, use) -> None:
    features, message = BAD[case]
    with pytest.raises(InputError, match=message):
        use(features, "NH2015comp")


BAD_IDS = {
    "too few": (
        lambda ids: ids[:-1],
        "There are 164 ids, but features of layer features have 165 rows|1 of 165 sounds",
    ),
    "one missing": (lambda ids: [*ids[:-1], "other"], "1 of 165 sounds are missing: stim"),
    "one twice": (lambda ids: [*ids[:-1], ids[0]], "occur more than once: stim"),
    "unknown": (
        lambda ids: [f"x{i}" for i in ids],
        "165 of 165 sounds are missing.*Not known as a stimulus: x",
    ),
    "text": (lambda ids: "stim1", "must be a list of sound ids"),
    "numbers": (lambda ids: list(range(165)), "165 of 165 sounds are missing"),
    "two columns": (lambda ids: np.array([ids, ids]), "must be a list"),
}


@pytest.mark.parametrize("case", BAD_IDS)
def test_bad_ids_are_refused(case: str, target: aud_dnn.Target) -> None:
    make, message = BAD_IDS[case]
    with pytest.raises(InputError, match=message):
        aud_dnn.score(GOOD, target, ids=make(list(target.stimuli.ids)))


def test_more_ids_than_rows_are_refused(target: aud_dnn.Target) -> None:
    with pytest.raises(
        InputError, match="There are 166 ids, but features of layer features have 165 rows"
    ):
        aud_dnn.score(GOOD, target, ids=[*target.stimuli.ids, "other"])


BAD_TARGETS = {
    "a misspelled name": (
        "NH2015com",
        "Unknown target: 'NH2015com'. Did you mean NH2015comp.*path of its file",
    ),
    "no such file": ("somewhere/mine.nc", "mine.nc"),
    "a number": (3, "A target is a name, a path or a Target; got a int"),
    "nothing": (None, "got a NoneType"),
}


@pytest.mark.parametrize("case", BAD_TARGETS)
def test_bad_targets_are_refused(case: str) -> None:
    name, message = BAD_TARGETS[case]
    with pytest.raises(InputError, match=message):
        aud_dnn.score(GOOD, name)


@pytest.mark.parametrize("limit", [0, 101])
def test_a_grid_without_alphas_is_refused(limit: int) -> None:
    with pytest.raises(InputError, match=f"alphalimit must be between 1 and 100; got {limit}"):
        aud_dnn.score(GOOD, "NH2015comp", alphalimit=limit)


# --- what is on disk ----------------------------------------------------------------------------


def test_the_table_holds_every_result(root: Path) -> None:
    table = aud_dnn.results()
    assert table.columns.tolist() == [
        "model",
        "layer",
        "position",
        "condition",
        "target",
        "alphalimit",
        "n_voxels",
        "median_r2",
        "median_r2_c",
        "folder",
    ]
    one_layer = table["model"] == "spectemp"
    assert table.loc[one_layer, ["layer", "target"]].values.tolist() == [
        ["avgpool", "NH2015"],
        ["avgpool", "NH2015comp"],
    ]
    assert np.isnan(table.loc[one_layer, "position"]).all()
    assert table.loc[~one_layer, ["layer", "target", "position"]].values.tolist() == [
        ["relu0", "NH2015", 0.0],
        ["relu2", "NH2015", 0.5],
        ["relu2", "NH2015comp", 0.5],
    ]
    for row in table.itertuples():
        result = aud_dnn.read_result(row.model, row.layer, row.target)
        assert row.folder == str(result.folder) and row.n_voxels == len(result.table)
        assert row.median_r2 == result.table["median_r2_test"].median()
        if row.target == "NH2015":
            assert row.median_r2_c == result.table["median_r2_test_c"].median()
        else:
            assert np.isnan(row.median_r2_c)
        xr.testing.assert_identical(aud_dnn.read_result(row.folder).scores, result.scores)
    assert len(aud_dnn.results("Kell2018word", target="NH2015", randnetw=False, root=root)) == 2
    assert aud_dnn.results(randnetw=True).empty and aud_dnn.results(target="B2021").empty


def test_unknown_results_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"Unknown model in results/: 'Kell2018wort'\. Did you mean Kell2018word"
    ):
        aud_dnn.results("Kell2018wort")
    with pytest.raises(MissingDataError, match="no finished result"):
        aud_dnn.read_result("Kell2018word", "relu4", "NH2015")
    with pytest.raises(InputError, match="Name model, layer and target"):
        aud_dnn.read_result("Kell2018word", "relu2")


def test_a_root_without_results_has_an_empty_table(tmp_path: Path) -> None:
    assert aud_dnn.results(root=tmp_path).empty


# --- real responses -----------------------------------------------------------------------------

SONG = REPOSITORY.parent / "shared" / "data" / "song_ecog"
ECOG_R2 = (0.53, 0.59, 0.17, 0.48, 0.29, 0.57, 0.47, 0.64, 0.50, 0.37, 0.31, 0.40, 0.34, 0.31, 0.60)
FMRI_R2 = {
    "lowfreq": 0.81,
    "highfreq": 0.70,
    "envsounds": 0.61,
    "pitch": 0.68,
    "speech": 0.57,
    "music": 0.29,
}


@pytest.mark.skipif(not SONG.is_dir(), reason="the ECoG responses are not beside the repository")
def test_real_responses_of_others_have_the_known_scores(real_root: Path) -> None:
    """ECoG components (Norman-Haignere et al. 2022) from the baseline; fMRI components from a
    description of the sounds that others made."""
    content = loadmat(SONG / "ecog_component_responses.mat")
    sounds = [name[0].removesuffix(".wav") for name in content["stim_names"].ravel()]
    responses = content["R"][:, content["t"].ravel() < 2].mean(axis=1)
    ecog = aud_dnn.Target.from_arrays(responses, sounds, name="song-ecog")
    assert ecog.splits.kind == "published"
    baseline = aud_dnn.open_activations("spectemp", root=real_root).read("avgpool")
    scores = aud_dnn.score(baseline, ecog, root=real_root)
    np.testing.assert_array_equal(scores["r2_test"].median("split")[0].round(2), ECOG_R2)
    acoustics = loadmat(SONG / "acoustic_features.mat")
    described = np.hstack([acoustics["F_coch"], acoustics["F_mod"].reshape(165, -1)])
    scores = aud_dnn.score(described, "NH2015comp", ids=sounds, root=real_root)
    found = scores["r2_test"].median("split")[0].round(2)
    assert dict(zip(found["comp"].values.tolist(), found.values.tolist())) == FMRI_R2

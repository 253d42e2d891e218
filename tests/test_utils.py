"""Stimuli, targets and activations: every format and special name, rows by sound id."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import roots
from scipy.io import loadmat

from aud_dnn.activations import arrays as activations_room
from aud_dnn.errors import InputError, MissingDataError
from aud_dnn.io.pickles import safe_pickle
from aud_dnn.models.registry import MODELS
from aud_dnn.paths import ProjectPaths, find_root
from aud_dnn.targets.categories import SOUND_CATEGORIES
from aud_dnn.targets.facts import COMPONENTS
from aud_dnn.utils import (
    Stimuli,
    few,
    load_stimuli,
    load_target,
    models_on_disk,
    open_activations,
    rows_in_order,
)


@pytest.fixture(scope="module")
def stimuli(demo_root: Path) -> Stimuli:
    return load_stimuli(ProjectPaths(demo_root))


@pytest.fixture
def empty(tmp_path: Path) -> ProjectPaths:
    """A root with nothing in it."""
    return ProjectPaths(tmp_path)


def features(n_units: int = 7, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((165, n_units)).astype(np.float32)


# --- where the data are -------------------------------------------------------------------------


def test_root_is_the_argument_else_the_variable_else_the_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "variable").mkdir()
    (tmp_path / "argument").mkdir()
    monkeypatch.setenv("AUD_DNN_ROOT", str(tmp_path / "variable"))
    assert find_root(tmp_path / "argument").root == (tmp_path / "argument").resolve()
    assert find_root().root == (tmp_path / "variable").resolve()
    monkeypatch.setenv("AUD_DNN_ROOT", str(tmp_path / "gone"))
    with pytest.raises(MissingDataError, match=r"gone.*\$AUD_DNN_ROOT"):
        find_root()
    monkeypatch.setenv("AUD_DNN_ROOT", "")
    assert (find_root().root / "aud_dnn" / "paths.py").is_file()


def test_both_names_of_the_activations_folder_work(empty: ProjectPaths, stimuli: Stimuli) -> None:
    assert empty.activations.name == "model-actv"  # what is written where there is none
    roots.write_h5(empty.root / "model_actv" / "old" / "natsound_activations.h5", {"a": features()})
    assert empty.activations.name == "model_actv" and models_on_disk(empty) == ["old"]
    roots.write_h5(
        empty.root / "model-actv" / "new" / "natsound_activations.h5", {"a": features(seed=1)}
    )
    assert empty.activations.name == "model-actv"
    for model, seed in (("old", 0), ("new", 1)):
        np.testing.assert_array_equal(
            open_activations(empty, model, stimuli).read("a"), features(seed=seed)
        )
    roots.write_h5(
        empty.root / "model-actv" / "old" / "natsound_activations.h5", {"a": features(seed=2)}
    )
    np.testing.assert_array_equal(
        open_activations(empty, "old", stimuli).read("a"), features(seed=2)
    )


def test_models_on_disk_are_listed_in_the_order_of_the_registry(empty: ProjectPaths) -> None:
    for name in ("zebra", "spectemp", "AST", "Kell2018word", ".hidden", "antelope"):
        (empty.root / "model-actv" / name).mkdir(parents=True)
    (empty.root / "model-actv" / "README.md").write_text("")
    expected = [name for name in MODELS if name in ("spectemp", "AST", "Kell2018word")]
    assert models_on_disk(empty) == [*expected, "antelope", "zebra"]
    assert models_on_disk(ProjectPaths(empty.root / "nowhere")) == []


# --- stimuli ------------------------------------------------------------------------------------


def test_stimuli_by_field_name_and_by_position(
    demo_root: Path, tmp_path: Path, stimuli: Stimuli
) -> None:
    assert len(stimuli) == len(set(stimuli.ids)) == 165 and not any(
        name.endswith(".wav") for name in stimuli.ids
    )
    assert set(stimuli.categories) == set(SOUND_CATEGORIES)
    records = np.load(demo_root / "data/neural/NH2015/neural_stim_meta.npy")
    assert stimuli.ids[3] == records["filename"][3].decode().removesuffix(".wav")
    paths = ProjectPaths(tmp_path)
    file = paths.neural("NH2015") / "neural_stim_meta.npy"
    file.parent.mkdir(parents=True)
    names = ("file", "b", "c", "d", "category")
    np.save(file, records.view([(name, records.dtype[i]) for i, name in enumerate(names)]))
    assert load_stimuli(paths) == stimuli
    # by name also where the fields have other places
    swapped = np.zeros(
        165,
        dtype=[
            ("cat_assignment", "<U10"),
            ("x", "i4"),
            ("y", "i4"),
            ("z", "i4"),
            ("filename", "<U50"),
        ],
    )
    swapped["cat_assignment"], swapped["filename"] = (
        records["cat_assignment"],
        records["filename"].astype(str),
    )
    np.save(file, swapped)
    assert load_stimuli(paths) == stimuli


def test_stimuli_of_the_published_file(golden_root: Path, golden_expected: Path) -> None:
    assert load_stimuli(ProjectPaths(golden_root)).ids == tuple(
        np.load(golden_expected / "splits.npz")["stimuli"]
    )


def test_rows_are_matched_by_name() -> None:
    assert rows_in_order(["c", "a", "b"], ["a", "b", "c"], "here") == [1, 2, 0]
    with pytest.raises(InputError, match=r"here: 1 sound.*more than once: a\."):
        rows_in_order(["a", "a", "b"], ["a", "b"], "here")
    with pytest.raises(
        InputError, match=r"here: 2 of 3 sounds are missing: b, c\. Not known as a stimulus: x\."
    ):
        rows_in_order(["a", "x"], ["a", "b", "c"], "here")
    with pytest.raises(InputError, match=r"here: 2 sound\(s\) are not among the 1 stimuli: x, y\."):
        rows_in_order(["y", "a", "x"], ["a"], "here")


def test_long_lists_are_shortened() -> None:
    assert few([1, 2]) == "1, 2" and few([1, 2, 3, 4]) == "1, 2, 3, … (4 in all)" and few([]) == ""


# --- targets ------------------------------------------------------------------------------------


def test_nh2015_keeps_voxels_with_three_repetitions(demo_root: Path, stimuli: Stimuli) -> None:
    folder = demo_root / "data/neural/NH2015"
    meta, array = (
        np.load(folder / "voxel_features_meta.npy"),
        np.load(folder / "voxel_features_array.npy"),
    )
    target = load_target(ProjectPaths(demo_root), "NH2015")
    keep = meta["n_reps"] == 3
    assert 0 < keep.sum() < len(keep) and target.n_voxels == keep.sum()
    np.testing.assert_array_equal(target.responses, array[:, keep])
    np.testing.assert_array_equal(target.ids, meta["voxel_id"][keep])
    assert (
        target.has_repetitions
        and target.stimuli == stimuli
        and target.responses.dtype == np.float64
    )
    table = target.metadata
    np.testing.assert_array_equal(table["voxel_id"], target.ids)
    np.testing.assert_array_equal(table["subj_idx"], meta["subj_idx"][keep])
    assert {
        "hemi",
        "x_ras",
        "y_ras",
        "coord_id",
        "shared_by",
        "roi_label_general",
        "tonotopic",
        "any_roi",
    } <= set(table.columns)
    assert table["roi_label_general"].isna().any() and table.index.tolist() == list(
        range(len(table))
    )


def test_b2021_keeps_the_first_165_sounds(demo_root: Path) -> None:
    array = np.load(demo_root / "data/neural/B2021/voxel_features_array.npy")
    target = load_target(ProjectPaths(demo_root), "B2021")
    assert array.shape[0] == 192
    np.testing.assert_array_equal(target.responses, array[:165])
    np.testing.assert_array_equal(target.metadata["voxel_id"], target.ids)
    assert target.has_repetitions and "tonotopic" not in target.metadata


def test_components_are_put_into_stimulus_order(demo_root: Path, stimuli: Stimuli) -> None:
    content = loadmat(demo_root / "data/neural/NH2015comp/components.mat")
    names = [str(cell[0]) for cell in content["stim_names"].ravel()]
    assert names != list(stimuli.ids)
    target = load_target(ProjectPaths(demo_root), "NH2015comp")
    for row in (0, 1, 80, 164):
        np.testing.assert_array_equal(
            target.responses[row, :, 0], content["R"][names.index(stimuli.ids[row])]
        )
    assert target.responses.shape == (165, 6, 1) and not target.has_repetitions
    assert target.metadata["comp"].tolist() == list(COMPONENTS) and target.ids.tolist() == list(
        range(6)
    )


@pytest.mark.parametrize("target", ["NH2015", "B2021", "NH2015comp"])
def test_targets_in_the_published_files(
    target: str, golden_root: Path, golden_expected: Path
) -> None:
    """Ids, and the standard deviations of measured responses that the published code found."""
    loaded = load_target(ProjectPaths(golden_root), target)
    expected = (
        np.load(golden_expected / f"ridge__{target}__spectemp__avgpool__trained.npz")
        if target != "NH2015comp"
        else np.load(golden_expected / "ridge__NH2015comp__Kell2018word__relu2__trained.npz")
    )
    train = np.load(golden_expected / "splits.npz")["is_train"]
    np.testing.assert_array_equal(loaded.ids, expected["voxel_id"])
    deviation = np.stack(
        [loaded.responses.mean(axis=2)[mask].std(axis=0) for mask in train], axis=1
    )
    np.testing.assert_allclose(deviation, expected["y_train_std_mean"], rtol=1e-12, atol=1e-15)


def test_real_components(real_root: Path) -> None:
    target = load_target(ProjectPaths(real_root), "NH2015comp")
    assert target.responses.shape == (165, 6, 1) and target.stimuli.ids[0] == "stim5_alarm_clock"
    numbers = [int(name.split("_")[0].removeprefix("stim")) for name in target.stimuli.ids]
    assert numbers == sorted(numbers)


# --- activations in HDF5 ------------------------------------------------------------------------


def test_registered_h5_model(demo_root: Path, stimuli: Stimuli) -> None:
    paths = ProjectPaths(demo_root)
    trained = open_activations(paths, "Kell2018word", stimuli)
    assert (
        trained.layers == MODELS["Kell2018word"].layer_names and trained.stimulus_ids == stimuli.ids
    )
    permuted = open_activations(paths, "Kell2018word", stimuli, randnetw=True)
    with (
        h5py.File(demo_root / "model-actv/Kell2018word/natsound_activations.h5") as a,
        h5py.File(demo_root / "model-actv/Kell2018word/natsound_activations_randnetw.h5") as b,
    ):
        for layer, array in trained.items():
            assert array.dtype == np.float32
            np.testing.assert_array_equal(array, a[layer][()])
            np.testing.assert_array_equal(permuted.read(layer), b[layer][()])
    # stored, but not one of the layers that are analysed
    assert open_activations(paths, "Kell2018word", stimuli, layers=["input_after_preproc"]).read(
        "input_after_preproc"
    ).shape == (165, 48)


@pytest.mark.parametrize(
    ("model", "layer", "key"),
    [
        ("Kell2018speaker", "final", "final/signal/speaker_int"),
        ("ResNet50audioset", "final", "final/noise/labels_binary_via_int"),
        ("Kell2018word", "final", "final"),
        ("ResNet50multitask", "final_word", "final/signal/word_int"),
        ("ResNet50multitask", "final_speaker", "final/signal/speaker_int"),
        ("Kell2018multitask", "final_audioset", "final/noise/labels_binary_via_int"),
        ("Kell2018multitask", "final/signal/word_int", "final/signal/word_int"),
        ("Kell2018speakerSeed2", "final/signal/speaker_int", "final/signal/speaker_int"),
        ("ResNet50music", "conv1_relu1", "relu1"),
        ("ResNet50music", "relu1", "relu1"),
        ("ResNet50word", "conv1_relu1", "conv1_relu1"),
        ("ResNet50music", "conv1_relu1", "conv1_relu1"),  # extracted again, under its own name
    ],
)
def test_special_layer_names(
    model: str, layer: str, key: str, empty: ProjectPaths, stimuli: Stimuli
) -> None:
    roots.write_h5(
        empty.root / "model-actv" / model / "natsound_activations.h5",
        {"other": features(seed=1), key: features()},
    )
    activations = open_activations(empty, model, stimuli, layers=[layer])
    assert activations.layers == (layer,)
    np.testing.assert_array_equal(activations.read(layer), features())


def test_seed_twins_have_no_alias_for_final(empty: ProjectPaths, stimuli: Stimuli) -> None:
    roots.write_h5(
        empty.root / "model-actv/Kell2018speakerSeed2/natsound_activations.h5",
        {"final/signal/speaker_int": features()},
    )
    with pytest.raises(
        InputError,
        match=r"Unknown layer of Kell2018speakerSeed2: 'final'.*final/signal/speaker_int",
    ):
        open_activations(empty, "Kell2018speakerSeed2", stimuli, layers=["final"])


def test_published_h5_with_the_old_key(golden_root: Path) -> None:
    paths = ProjectPaths(golden_root)
    stimuli = load_stimuli(paths)
    activations = open_activations(paths, "ResNet50music", stimuli)
    assert activations.layers[0] == "conv1_relu1" and activations.read("conv1_relu1").shape == (
        165,
        130,
    )
    types = {
        layer: array.dtype
        for layer, array in open_activations(paths, "Kell2018word", stimuli).items()
    }
    assert types["relu3"] == np.float64 and types["relu2"] == np.float32


def test_own_h5_model_keeps_the_order_of_its_layer_list(
    empty: ProjectPaths, stimuli: Stimuli
) -> None:
    layers = {"zeta": features(seed=1), "alpha": features(seed=2), "block/2": features(seed=3)}
    roots.write_h5(
        empty.root / "model-actv/net/natsound_activations.h5",
        {**layers, "notes": np.zeros(3)},
        layer_list=list(layers),
    )
    activations = open_activations(empty, "net", stimuli)
    assert activations.layers == tuple(layers)
    for layer, array in activations.items():
        np.testing.assert_array_equal(array, layers[layer])
    roots.write_h5(empty.root / "model-actv/bare/natsound_activations.h5", layers)
    assert set(open_activations(empty, "bare", stimuli).layers) == set(layers)


def test_rows_with_sound_ids_are_put_in_order(empty: ProjectPaths, stimuli: Stimuli) -> None:
    order = np.random.default_rng(0).permutation(165)
    roots.write_h5(
        empty.root / "model-actv/net/natsound_activations.h5",
        {"a": features()[order]},
        sound_ids=[stimuli.ids[row] for row in order],
    )
    activations = open_activations(empty, "net", stimuli)
    assert activations.layers == ("a",)
    np.testing.assert_array_equal(activations.read("a"), features())


def test_names_may_be_strings_of_any_length(empty: ProjectPaths, stimuli: Stimuli) -> None:
    path = roots.write_h5(
        empty.root / "model-actv/net/natsound_activations.h5", {"a": features()[::-1]}
    )
    with h5py.File(path, "r+") as file:
        file.create_dataset("layer_list", data=["a"], dtype=h5py.string_dtype())
        file.create_dataset(
            "sound_ids", data=list(reversed(stimuli.ids)), dtype=h5py.string_dtype()
        )
    np.testing.assert_array_equal(open_activations(empty, "net", stimuli).read("a"), features())


def test_a_layer_under_two_names_is_found_under_both(empty: ProjectPaths, stimuli: Stimuli) -> None:
    path = roots.write_h5(
        empty.root / "model-actv/net/natsound_activations.h5",
        {"a": features()},
        layer_list=["a", "b"],
    )
    with h5py.File(path, "r+") as file:
        file["b"] = file["a"]
    assert open_activations(empty, "net", stimuli).layers == ("a", "b")
    np.testing.assert_array_equal(
        open_activations(empty, "net", stimuli, layers=["b"]).read("b"), features()
    )


@pytest.mark.parametrize("dtype", ["f2", ">f4", "f8", "i4", "u1"])
def test_numbers_of_other_types_keep_their_values(
    dtype: str, empty: ProjectPaths, stimuli: Stimuli
) -> None:
    values = np.round(np.abs(features()) * 10).astype(dtype)
    roots.write_h5(empty.root / "model-actv/net/natsound_activations.h5", {"a": values})
    read = open_activations(empty, "net", stimuli).read("a")
    assert read.dtype.kind == "f"
    np.testing.assert_array_equal(read, values)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ({"layer_list": ["a", "gone"]}, "lacks layer gone of net"),
        ({"layer_list": []}, "holds no layers"),
    ],
)
def test_layer_lists_that_promise_too_much(
    names: dict, says: str, empty: ProjectPaths, stimuli: Stimuli
) -> None:
    path = roots.write_h5(empty.root / "model-actv/net/natsound_activations.h5", {"a": features()})
    with h5py.File(path, "r+") as file:
        file["layer_list"] = np.array([name.encode() for name in names["layer_list"]], dtype="S9")
    with pytest.raises(InputError, match=f"natsound_activations.h5.*{says}"):
        open_activations(empty, "net", stimuli)


def test_scalar_layer_list_is_refused(empty: ProjectPaths, stimuli: Stimuli) -> None:
    path = roots.write_h5(empty.root / "model-actv/net/natsound_activations.h5", {"a": features()})
    with h5py.File(path, "r+") as file:
        file["layer_list"] = "a"
    with pytest.raises(InputError, match=r"layer_list must be a list of names"):
        open_activations(empty, "net", stimuli)


def test_a_file_replaced_meanwhile_is_noticed(empty: ProjectPaths, stimuli: Stimuli) -> None:
    path = roots.write_h5(empty.root / "model-actv/net/natsound_activations.h5", {"a": features()})
    activations = open_activations(empty, "net", stimuli)
    roots.write_h5(path, {"b": features()})
    with pytest.raises(InputError, match="disappeared"):
        activations.read("a")


# --- activations in pickles ---------------------------------------------------------------------


@pytest.mark.parametrize("randnetw", [False, True])
def test_registered_pickled_model(randnetw: bool, demo_root: Path, stimuli: Stimuli) -> None:
    suffix = "_randnetw" if randnetw else ""
    activations = open_activations(ProjectPaths(demo_root), "DCASE2020", stimuli, randnetw=randnetw)
    assert activations.layers == MODELS["DCASE2020"].layer_names
    stored = [
        pd.read_pickle(demo_root / f"model-actv/DCASE2020/{sound}_activations{suffix}.pkl")
        for sound in stimuli.ids
    ]
    for layer in MODELS["DCASE2020"].layers:
        np.testing.assert_array_equal(
            activations.read(layer.name), [sound[layer.stored_key] for sound in stored]
        )


def test_all_layers_are_read_in_one_pass(
    demo_root: Path, stimuli: Stimuli, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    load = safe_pickle.load_pickle
    monkeypatch.setattr(
        activations_room,
        "load_pickle",
        lambda path, **how: opened.append(path) or load(path, **how),
    )
    activations = open_activations(ProjectPaths(demo_root), "DCASE2020", stimuli)
    assert len(opened) == 1  # to see which layers there are
    assert len(dict(activations.items())) == 5 and len(opened) == 1 + 165
    activations.read("Linear")
    assert len(opened) == 1 + 165


def test_layers_by_stored_key_and_other_stored_layers(
    empty: ProjectPaths, stimuli: Stimuli
) -> None:
    key = MODELS["DS2"].other_stored_layers["LSTM_2"]
    roots.write_pickles(empty.root / "model-actv/DS2", stimuli.ids, {key: features()})
    for name in ("LSTM_2", key):
        np.testing.assert_array_equal(
            open_activations(empty, "DS2", stimuli, layers=[name]).read(name), features()
        )
    with pytest.raises(InputError, match="lacks layer Tanh_1 of DS2"):
        open_activations(empty, "DS2", stimuli)


def test_own_pickled_model(empty: ProjectPaths, stimuli: Stimuli) -> None:
    layers = {
        "second": features(seed=1),
        "first": features(3, seed=2).astype(np.float64),
        "counts": np.arange(330).reshape(165, 2),
    }
    folder = roots.write_pickles(empty.root / "model-actv/net", stimuli.ids, layers)
    (folder / ".DS_Store_activations.pkl").write_bytes(b"not ours")
    (folder / "README.txt").write_text("mine")
    roots.write_pickles(
        folder, stimuli.ids, {"second": features(seed=9)}, "_activations_randnetw.pkl"
    )
    activations = open_activations(empty, "net", stimuli)
    assert activations.layers == tuple(layers)
    for layer, array in activations.items():
        assert array.dtype.kind == "f"
        np.testing.assert_array_equal(array, layers[layer])
    np.testing.assert_array_equal(
        open_activations(empty, "net", stimuli, randnetw=True).read("second"), features(seed=9)
    )


def test_external_model_in_h5_under_its_layer_names(empty: ProjectPaths, stimuli: Stimuli) -> None:
    layers = {name: features(seed=i) for i, name in enumerate(MODELS["DCASE2020"].layer_names)}
    roots.write_h5(empty.root / "model-actv/DCASE2020/natsound_activations.h5", layers)
    for layer, array in open_activations(empty, "DCASE2020", stimuli).items():
        np.testing.assert_array_equal(array, layers[layer])


def test_an_empty_folder_says_what_belongs_there(empty: ProjectPaths, stimuli: Stimuli) -> None:
    (empty.root / "model-actv/net").mkdir(parents=True)
    with pytest.raises(
        MissingDataError, match=r"neither natsound_activations\.h5 nor <sound id>_activations\.pkl"
    ):
        open_activations(empty, "net", stimuli)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc"])
def test_paths_are_no_model_names(name: str, empty: ProjectPaths, stimuli: Stimuli) -> None:
    with pytest.raises(InputError, match="not the name of a model"):
        open_activations(empty, name, stimuli)

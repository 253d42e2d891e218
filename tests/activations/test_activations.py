"""Activations of a user's own: order of layers and of rows, types, shapes; what is doubtful is
said.
"""

from __future__ import annotations

import io
import pickle
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import roots

from aud_dnn import AUD_main
from aud_dnn.activations.layer_order import is_alphabetical, natural_key, read_layer_order
from aud_dnn.activations.statements import (
    confirm_stimulus_order,
    keep_statements,
    state_layer_order,
)
from aud_dnn.checks.findings import report
from aud_dnn.checks.installation import check_installation
from aud_dnn.errors import InputError
from aud_dnn.paths import ProjectPaths
from aud_dnn.runs.comparisons import run_comparison
from aud_dnn.store.h5_results import read_provenance
from aud_dnn.store.regression_names import result_folder
from aud_dnn.utils import Stimuli, activation_files, load_stimuli, open_activations

ENCODERS = [f"encoder.{number}" for number in range(12)]
SHUFFLED = [ENCODERS[place] for place in (3, 11, 0, 7, 2, 10, 1, 9, 4, 8, 6, 5)]


@pytest.fixture(scope="module")
def stimuli(demo_root: Path) -> Stimuli:
    return load_stimuli(ProjectPaths(demo_root))


@pytest.fixture
def paths(demo_root: Path, tmp_path: Path) -> ProjectPaths:
    """A root with the demo's neural data and no activations."""
    shutil.copytree(demo_root / "data" / "neural", tmp_path / "data" / "neural")
    return ProjectPaths(tmp_path)


def features(n_units: int = 7, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((165, n_units)).astype(np.float32)


def write_h5(
    paths: ProjectPaths,
    layers,
    *,
    suffix: str = "",
    values: np.ndarray | None = None,
    track_order: bool = False,
    **more,
) -> Path:
    """An activation file, layers made in the order given; ``more``: datasets, or attributes
    (``at_…``).
    """
    path = paths.root / f"model-actv/net/natsound_activations{suffix}.h5"
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", track_order=track_order) as file:
        for place, layer in enumerate(layers):
            file[layer] = features(3, place) if values is None else values
        for key, names in more.items():
            (file.attrs if key.startswith("at_") else file)[key.removeprefix("at_")] = np.array(
                names, dtype="S"
            )
    return path


def said(remarks) -> str:
    return " | ".join(map(str, remarks))


def look(paths: ProjectPaths) -> tuple[int, str]:
    out = io.StringIO()
    return report(check_installation(paths, models=["net"]), out), out.getvalue()


# --- order of layers ----------------------------------------------------------------------------


def test_natural_order() -> None:
    names = [
        "b",
        "a10",
        "a9",
        "a",
        "a09x",
        "1",
        "10",
        "2",
        "a10.2",
        "a10.10",
        "é3",
        "a" + "9" * 5000,
        "",
    ]
    assert sorted(names, key=natural_key) == [
        "",
        "1",
        "2",
        "10",
        "a",
        "a9",
        "a09x",
        "a10",
        "a10.2",
        "a10.10",
        "a" + "9" * 5000,
        "b",
        "é3",
    ]
    assert is_alphabetical(["e.1", "e.10", "e.2"]) and not is_alphabetical(["e.1", "e.2", "e.10"])
    assert not is_alphabetical(["a", "b", "c"]) and not is_alphabetical(["b", "a"])


def test_layers_come_in_natural_order_with_a_remark_where_nothing_states_it(
    paths: ProjectPaths, stimuli: Stimuli
) -> None:
    write_h5(paths, SHUFFLED)
    activations = open_activations(paths, "net", stimuli)
    assert (
        activations.layers == activations.order.names == tuple(ENCODERS)
    )  # alphabetical: encoder.10 before .2
    assert "order of the layers is not stated" in said(activations.remarks)
    assert "--layer_order FILE" in said(activations.remarks)
    status, shown = look(paths)
    assert status == 0 and "note: the order of the layers is not stated" in shown
    assert [line.split()[1] for line in shown.splitlines() if line.startswith("net: ")] == ENCODERS


def test_layers_come_in_the_order_they_were_made_where_that_is_tracked(
    paths: ProjectPaths, stimuli: Stimuli
) -> None:
    write_h5(paths, SHUFFLED, track_order=True)
    activations = open_activations(paths, "net", stimuli)
    assert activations.layers == tuple(SHUFFLED) and "order of the layers" not in said(
        activations.remarks
    )
    assert activations.order.origin == "order of creation in natsound_activations.h5"


def nested(paths: ProjectPaths, *, track_inner: bool) -> None:
    with h5py.File(write_h5(paths, [], track_order=True), "w", track_order=True) as file:
        file["stem"] = features()
        block = file.create_group("block", track_order=track_inner)
        for name in ("10", "2", "1"):
            block[name] = features()
        file["another"] = features()


def test_nested_layers_are_in_the_order_of_their_groups(
    paths: ProjectPaths, stimuli: Stimuli
) -> None:
    nested(paths, track_inner=True)
    activations = open_activations(paths, "net", stimuli)
    assert activations.layers == ("stem", "block/10", "block/2", "block/1", "another")
    assert "order of the layers" not in said(activations.remarks)
    nested(paths, track_inner=False)  # h5py does not track groups that it makes on the way
    assert "order of the layers is not stated" in said(
        open_activations(paths, "net", stimuli).remarks
    )


@pytest.mark.parametrize("key", ["layer_list", "layer_order", "at_layer_list", "at_layer_order"])
def test_a_list_in_the_file_is_the_order(key: str, paths: ProjectPaths, stimuli: Stimuli) -> None:
    write_h5(paths, ENCODERS, **{key: SHUFFLED})
    activations = open_activations(paths, "net", stimuli)
    assert activations.layers == tuple(SHUFFLED) and "order" not in said(activations.order.remarks)
    assert activations.order.origin == f"{key.removeprefix('at_')} of natsound_activations.h5"


def test_lists_that_contradict_each_other_or_are_none_are_refused(
    paths: ProjectPaths, stimuli: Stimuli
) -> None:
    write_h5(paths, ENCODERS, layer_list=ENCODERS, at_layer_order=SHUFFLED)
    with pytest.raises(InputError, match=r"layer_list and layer_order contradict each other"):
        open_activations(paths, "net", stimuli)
    with h5py.File(write_h5(paths, ENCODERS), "r+") as file:
        file.attrs["layer_list"] = "encoder.0, encoder.1"
    with pytest.raises(InputError, match=r"layer_list must be a list of names"):
        open_activations(paths, "net", stimuli)


def test_a_list_that_a_program_sorted_is_kept_and_doubted(
    paths: ProjectPaths, stimuli: Stimuli
) -> None:
    write_h5(paths, ENCODERS, layer_list=sorted(ENCODERS))
    activations = open_activations(paths, "net", stimuli)
    assert activations.layers == tuple(sorted(ENCODERS))
    assert "alphabetical order" in said(
        activations.remarks
    ) and "encoder.11 before encoder.2" in said(activations.remarks)


def test_layers_that_a_list_leaves_out_are_named(paths: ProjectPaths, stimuli: Stimuli) -> None:
    write_h5(paths, ENCODERS, layer_list=ENCODERS[:11])
    activations = open_activations(paths, "net", stimuli)
    assert activations.layers == tuple(ENCODERS[:11])
    assert "stored but not listed" in said(activations.remarks) and "encoder.11" in said(
        activations.remarks
    )


@pytest.mark.parametrize(
    ("keys", "order", "doubted"),
    [
        (SHUFFLED, SHUFFLED, False),
        (sorted(ENCODERS), ENCODERS, True),  # sorted() or json.dumps(sort_keys=True) on the way
        (["b", "a"], ["b", "a"], False),
        (["only"], ["only"], False),
    ],
)
def test_pickles_have_the_order_of_their_keys_unless_those_were_sorted(
    keys, order, doubted, paths: ProjectPaths, stimuli: Stimuli
) -> None:
    roots.write_pickles(
        paths.root / "model-actv/net", stimuli.ids, {key: features() for key in keys}
    )
    activations = open_activations(paths, "net", stimuli)
    assert activations.layers == tuple(order)
    assert ("order of the layers is not stated" in said(activations.remarks)) is doubted


def test_one_layer_needs_no_order(paths: ProjectPaths, stimuli: Stimuli) -> None:
    write_h5(paths, ["only"], sound_ids=stimuli.ids)
    assert open_activations(paths, "net", stimuli).remarks == ()


def test_the_order_is_said_once_and_holds_for_both_conditions_and_formats(
    paths: ProjectPaths, stimuli: Stimuli, tmp_path: Path
) -> None:
    said_in = tmp_path / "order.txt"
    said_in.write_text(
        "\ufeff# from the network's code\n"
        + "\r\n".join(f"  {layer} " for layer in SHUFFLED)
        + "\n\n",
        encoding="utf-8",
    )
    write_h5(paths, ENCODERS, layer_list=ENCODERS)
    roots.write_pickles(
        paths.root / "model-actv/net",
        stimuli.ids,
        {key: features() for key in ENCODERS},
        "_activations_randnetw.pkl",
    )
    keep_statements(paths, ["net"], said_in)
    said_in.unlink()
    for randnetw in (False, True):
        activations = open_activations(paths, "net", stimuli, randnetw=randnetw)
        assert (
            activations.layers == tuple(SHUFFLED) and activations.order.origin == "layer_order.txt"
        )
        assert "order" not in said(activations.order.remarks)
        files = activation_files(paths, "net", randnetw=randnetw)
        assert files[-1].name == "layer_order.txt" and len(files) == (166 if randnetw else 2)
    assert "nothing reads them" not in look(paths)[1]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"encoder.0\nencoder.1\nencoder.0\n", r"names encoder\.0 more than once"),
        (b"# nothing\n\n", r"names no layer"),
        (b"\xff\xfe\x00", r"not text in UTF-8"),
        (b"encoder.0\nencoder.12\n", r"lacks layer encoder\.12"),
        (b"x" * 2_000_000, r"not a list of layers: 2,000,000 bytes"),
        (None, r"cannot be read: No such file"),
    ],
)
def test_a_list_of_layers_that_is_wrong_is_not_kept(
    content, says, paths: ProjectPaths, tmp_path: Path
) -> None:
    write_h5(paths, ENCODERS)
    if content is not None:
        (tmp_path / "order.txt").write_bytes(content)
    with pytest.raises(InputError, match=says):
        state_layer_order(paths, "net", tmp_path / "order.txt")
    assert not (paths.root / "model-actv/net/layer_order.txt").exists()


def test_statements_are_about_models_of_ones_own(paths: ProjectPaths, tmp_path: Path) -> None:
    (tmp_path / "order.txt").write_text("a\n")
    assert read_layer_order(tmp_path / "order.txt") == ("a",)
    with pytest.raises(InputError, match="layers of Kell2018word are in the order of the paper"):
        keep_statements(paths, ["Kell2018word"], tmp_path / "order.txt")
    with pytest.raises(InputError, match="about one model, but 2 models"):
        keep_statements(paths, ["net", "other"], tmp_path / "order.txt")
    with pytest.raises(InputError, match="about certain models"):
        keep_statements(paths, [], None, assume_stimulus_order=True)


# --- order of rows ------------------------------------------------------------------------------


def test_rows_without_sound_ids_are_doubted_until_they_are_confirmed(
    paths: ProjectPaths, stimuli: Stimuli
) -> None:
    path = write_h5(paths, ["a", "b"], track_order=True)
    assert "rows are taken to be in stimulus order" in said(
        open_activations(paths, "net", stimuli).remarks
    )
    assert "rows are taken to be in stimulus order" in look(paths)[1]
    confirm_stimulus_order(paths, "net")
    activations = open_activations(paths, "net", stimuli)
    assert (
        activations.remarks == ()
        and activations.sounds_from == "confirmed with --assume_stimulus_order"
    )
    assert activations.provenance["sounds_from"] == activations.sounds_from
    status, shown = look(paths)
    assert status == 0 and "rows" not in shown and "nothing reads them" not in shown
    with h5py.File(path, "r+") as file:  # other rows: the statement was not about these
        for layer in ("a", "b"):
            file[layer][...] = file[layer][()][::-1]
    assert open_activations(paths, "net", stimuli).sounds_from == "assumed"
    confirm_stimulus_order(paths, "net")
    (path.parent / "stimulus_order.json").write_text("{")
    assert open_activations(paths, "net", stimuli).sounds_from == "assumed"


def test_a_confirmation_needs_a_layer_that_tells_sounds_apart(
    paths: ProjectPaths, stimuli: Stimuli
) -> None:
    path = write_h5(paths, ["flat"], values=np.ones((165, 2)))
    with pytest.raises(InputError, match="no order to confirm"):
        confirm_stimulus_order(paths, "net")
    with h5py.File(path, "r+") as file:
        file["varied"] = features(50)
    confirm_stimulus_order(paths, "net")
    assert open_activations(paths, "net", stimuli).sounds_from.startswith("confirmed")


@pytest.mark.parametrize(
    ("model", "names", "doubted"),
    [
        ("Kell2018word", {"layer_list": ["relu2"]}, False),  # as published
        ("Kell2018word", {}, True),
        ("DCASE2020", {"layer_list": ["relu2"]}, True),  # published as pickles
        ("mine", {"layer_list": ["relu2"]}, True),
    ],
)
def test_only_published_files_need_no_sound_ids(
    model, names, doubted, paths: ProjectPaths, stimuli: Stimuli
) -> None:
    roots.write_h5(
        paths.root / f"model-actv/{model}/natsound_activations.h5", {"relu2": features()}, **names
    )
    remarks = open_activations(paths, model, stimuli, layers=["relu2"]).remarks
    assert ("rows are taken to be in stimulus order" in said(remarks)) is doubted


@pytest.mark.parametrize("ending", [".wav", ".WAV"])
def test_sound_ids_may_be_file_names(ending: str, paths: ProjectPaths, stimuli: Stimuli) -> None:
    write_h5(
        paths,
        ["a"],
        values=features()[::-1],
        sound_ids=[f"{sound}{ending}" for sound in reversed(stimuli.ids)],
    )
    np.testing.assert_array_equal(open_activations(paths, "net", stimuli).read("a"), features())
    assert look(paths)[0] == 0
    shutil.rmtree(paths.root / "model-actv")
    roots.write_pickles(
        paths.root / "model-actv/net", stimuli.ids, {"a": features()}, f"{ending}_activations.pkl"
    )
    np.testing.assert_array_equal(open_activations(paths, "net", stimuli).read("a"), features())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda sound: f"sounds/{sound}.wav",
            r"165 ids become stimuli without folder and ending, for example 'sounds/stim",
        ),
        (lambda sound: f"{sound}.flac", r"165 ids become stimuli without folder and ending"),
        (
            lambda sound: f"{sound}_x",
            r"Not known as a stimulus: .*The stimuli are stim.*is one of the two files the wrong "
            r"one",
        ),
    ],
)
def test_other_ids_are_compared_with_the_stimuli(
    change, says, paths: ProjectPaths, stimuli: Stimuli
) -> None:
    write_h5(paths, ["a"], sound_ids=[change(sound) for sound in stimuli.ids])
    with pytest.raises(InputError, match=rf"sound_ids\): 165 of 165 sounds are missing.*{says}"):
        open_activations(paths, "net", stimuli)


def test_sound_ids_may_be_an_attribute(paths: ProjectPaths, stimuli: Stimuli) -> None:
    write_h5(paths, ["a"], values=features()[::-1], at_sound_ids=stimuli.ids[::-1])
    np.testing.assert_array_equal(open_activations(paths, "net", stimuli).read("a"), features())


# --- types and shapes ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "says"),
    [
        ("f2", "stored in 16 bits"),
        ("i2", "whole numbers"),
        ("u1", "whole numbers"),
        ("f4", None),
        (">f4", None),
        ("f8", None),
    ],
)
def test_types_that_may_have_cost_something_are_said(
    dtype: str, says: str | None, paths: ProjectPaths, stimuli: Stimuli
) -> None:
    values = np.abs(features() * 10).astype(dtype)
    write_h5(paths, ["a"], values=values, sound_ids=stimuli.ids)
    roots.write_pickles(
        paths.root / "model-actv/net", stimuli.ids, {"a": values}, "_activations_randnetw.pkl"
    )
    for randnetw in (False, True):
        remarks = said(open_activations(paths, "net", stimuli, randnetw=randnetw).remarks)
        assert says in remarks if says else not remarks
    assert (
        says is None
        or look(paths)[1].count(f"note: layers {'are' if dtype == 'f2' else 'hold'}") >= 1
    )


def test_inf_in_half_precision_is_explained(paths: ProjectPaths, stimuli: Stimuli) -> None:
    write_h5(paths, ["a"], values=np.full((165, 2), np.inf, "f2"))
    with pytest.raises(InputError, match=r"NaN or inf.*float16 holds nothing above 65504"):
        open_activations(paths, "net", stimuli).read("a")


WRONG = [
    (np.zeros((7, 165), "f4"), r"transposed: store array\.T"),
    (
        np.zeros((165, 5, 7), "f4"),
        r"Please average over time, for \(sounds, time, units\) \.mean\(axis=1\)",
    ),
    (np.zeros((5, 165, 7), "f4"), r"np\.moveaxis\(array, 1, 0\)\), then average over time"),
    (np.zeros((7, 5, 165), "f4"), r"np\.moveaxis\(array, 2, 0\)\), then average over time"),
    (np.zeros((165, 7, 1), "f4"), r"drop the axes of length 1: \.reshape\(165, -1\)"),
    (np.zeros((1, 165, 7), "f4"), r"np\.moveaxis\(array, 1, 0\)\), then drop the axes of length 1"),
    (np.zeros(165, "f4"), r"store array\[:, None\]"),
    (np.zeros((164, 7), "f4"), r"All 165 sounds must be there"),
    (np.zeros((165, 7), "c8"), r"np\.abs"),
    (np.zeros((165, 7), "?"), r"astype\('float32'\)"),
    (np.zeros((165, 7), "V2"), r"perhaps bfloat16.*tensor\.float\(\)\.numpy\(\)"),
    (np.full((165, 7), b"a"), r"Store float32"),
]


@pytest.mark.parametrize(
    ("values", "says"), WRONG, ids=[f"{values.dtype.kind}{values.shape}" for values, _ in WRONG]
)
def test_wrong_shapes_and_types_come_with_what_mends_them(
    values, says, paths: ProjectPaths, stimuli: Stimuli
) -> None:
    write_h5(paths, ["a"], values=values)
    with pytest.raises(
        InputError, match=rf"layer a \(dataset 'a'\) must hold .* \(165 sounds, units\).*{says}"
    ):
        open_activations(paths, "net", stimuli)
    status, shown = look(paths)
    assert status == 1 and "must hold numbers of shape (165 sounds, units)" in shown


@pytest.mark.parametrize(
    ("vector", "says"),
    [
        (np.zeros((5, 7)), r"Average over time, for \(time, units\) \.mean\(axis=0\)"),
        (np.zeros((1, 7)), r"flatten it: \.ravel"),
        (np.zeros((5, 7, 2)), r"Average over time"),
        (np.float64(1), r"np\.atleast_1d"),
        (np.zeros(7, "c8"), r"np\.abs"),
        ([[1.0], [1.0, 2.0]], r"inhomogeneous"),
        ("text", "Store float32"),
        (None, "plain array of floats"),
    ],
)
def test_wrong_vectors_come_with_what_mends_them(
    vector, says, paths: ProjectPaths, stimuli: Stimuli
) -> None:
    folder = roots.write_pickles(paths.root / "model-actv/net", stimuli.ids, {"a": features()})
    (folder / f"{stimuli.ids[0]}_activations.pkl").write_bytes(pickle.dumps({"a": vector}))
    with pytest.raises(InputError, match=rf"layer a must be a 1-D array.*{says}"):
        open_activations(paths, "net", stimuli).read("a")
    assert look(paths)[0] == 1


# --- keys, tensors ------------------------------------------------------------------------------


def test_integer_keys_are_taken_as_their_text(paths: ProjectPaths, stimuli: Stimuli) -> None:
    roots.write_pickles(
        paths.root / "model-actv/net",
        stimuli.ids,
        {key: features(seed=key) for key in (0, 1, 10, 2)},
    )
    activations = open_activations(paths, "net", stimuli)
    assert activations.layers == ("0", "1", "2", "10")
    np.testing.assert_array_equal(activations.read("10"), features(seed=10))
    assert look(paths)[0] == 0


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({1.5: [1.0]}, r"its key 1\.5 is of type float"),
        ({True: [1.0]}, r"its key True is of type bool"),
        ({None: [1.0]}, r"type NoneType"),
        ({"1": [1.0], 1: [2.0]}, r"holds the layer '1' twice"),
        ([1.0], r"found list"),
        ({(1, 2): [1.0]}, r"type tuple"),
    ],
)
def test_other_keys_are_named(content, says, paths: ProjectPaths, stimuli: Stimuli) -> None:
    folder = roots.write_pickles(paths.root / "model-actv/net", stimuli.ids, {"a": features()})
    (folder / f"{stimuli.ids[0]}_activations.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(InputError, match=says):
        open_activations(paths, "net", stimuli)


def tensor_pickle() -> bytes:
    """What ``pickle.dumps({"a": torch.zeros(2)})`` begins with: enough to see that it asks for
    PyTorch.
    """
    return b"\x80\x02}X\x01\x00\x00\x00actorch._utils\n_rebuild_tensor_v2\n(tRs."


def test_archives_in_place_of_pickles_are_named(paths: ProjectPaths, stimuli: Stimuli) -> None:
    folder = roots.write_pickles(paths.root / "model-actv/net", stimuli.ids, {"a": features()})
    with (folder / f"{stimuli.ids[0]}_activations.pkl").open("wb") as file:
        np.savez(file, a=np.zeros(3))
    with pytest.raises(
        InputError, match=r"not a pickle but a zip archive, as written by torch\.save.*\.numpy\(\)"
    ):
        open_activations(paths, "net", stimuli)


def test_files_of_other_names_are_named(paths: ProjectPaths, stimuli: Stimuli) -> None:
    (paths.root / "model-actv/net").mkdir(parents=True)
    (paths.root / "model-actv/net/activations.npz").write_bytes(b"PK")
    with pytest.raises(
        InputError,
        match=r"neither natsound_activations\.h5 nor .*, but activations\.npz\. Write them",
    ):
        open_activations(paths, "net", stimuli)


def test_tensors_are_answered_with_numpy_and_counted_once(
    paths: ProjectPaths, stimuli: Stimuli
) -> None:
    folder = paths.root / "model-actv/net"
    folder.mkdir(parents=True)
    for sound in stimuli.ids:
        (folder / f"{sound}_activations.pkl").write_bytes(tensor_pickle())
    with pytest.raises(InputError, match=r"PyTorch tensors.*\.numpy\(\)") as error:
        open_activations(paths, "net", stimuli)
    assert "npz" not in str(error.value)
    status, shown = look(paths)
    assert status == 1 and shown.count("PROBLEM:") == 1 and "(and 164 more like this)" in shown


def test_doubts_reach_the_report_of_the_rsa(paths: ProjectPaths) -> None:
    """Also where everything is loaded."""
    write_h5(paths, ["b10", "b2"], values=features(8))
    for done in ("computed", "loaded"):
        report = run_comparison(
            paths,
            targets=["NH2015"],
            rois=["All"],
            conditions=["trained"],
            models=["net"],
            jobs=1,
            progress=False,
        ).report
        assert len(getattr(report, done)) == 1
        for doubt in (
            "order of the layers is not stated",
            "rows are taken to be in stimulus order",
        ):
            assert sum(doubt in note and "net (trained)" in note for note in report.notes) == 1
    confirm_stimulus_order(paths, "net")
    write_order = paths.root / "model-actv/net/layer_order.txt"
    write_order.write_text("b10\nb2\n")
    report = run_comparison(
        paths,
        targets=["NH2015"],
        rois=["All"],
        conditions=["trained"],
        models=["net"],
        jobs=1,
        progress=False,
    ).report
    assert not [note for note in report.notes if "stated" in note or "stimulus order" in note]


# --- in the run and its results -----------------------------------------------------------------


def test_doubts_reach_the_closing_table_and_the_result(
    paths: ProjectPaths, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    write_h5(paths, ["b10", "b2"], values=features(8).astype("f2"))
    order = tmp_path / "order.txt"
    order.write_text("b10\nb2\n")
    argv = [
        "--root",
        str(paths.root),
        "--source_model",
        "net",
        "--source_layer",
        "all",
        "--target",
        "NH2015comp",
    ]
    folder = result_folder(paths, "net", "b2", "NH2015comp", False)
    for _ in ("fitted", "already there"):
        assert AUD_main.main(argv) == 0
        shown = capsys.readouterr().out
        for doubt in (
            "order of the layers is not stated",
            "rows are taken to be in stimulus order",
            "stored in 16 bits",
        ):
            assert doubt in shown and any(
                doubt in remark for remark in read_provenance(folder)["remarks"]
            )
    recorded = read_provenance(folder)["activations"]
    assert recorded["layer_order"] == ["b2", "b10"] and recorded["sounds_from"] == "assumed"
    assert (
        AUD_main.main(
            [*argv, "--layer_order", str(order), "--assume_stimulus_order", "True", "--overwrite"]
        )
        == 0
    )
    shown = capsys.readouterr().out
    assert (
        "order of the layers" not in shown
        and "stimulus order" not in shown
        and "stored in 16 bits" in shown
    )
    recorded = read_provenance(folder)["activations"]
    assert (recorded["layer_order"], recorded["layer_order_from"]) == (
        ["b10", "b2"],
        "layer_order.txt",
    )
    assert recorded["sounds_from"] == "confirmed with --assume_stimulus_order"

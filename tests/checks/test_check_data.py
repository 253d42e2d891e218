"""The inspection of an installation: every defect is found and named, and nothing else."""

from __future__ import annotations

import io
import pickle
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import fake_results
import h5py
import made_data
import numpy as np
import pytest
import roots

from aud_dnn.activations.opening import open_activations
from aud_dnn.activations.statements import confirm_stimulus_order
from aud_dnn.checks.activations import check_model, inspect_layer
from aud_dnn.checks.findings import Finding, report
from aud_dnn.checks.installation import check_installation, check_sounds
from aud_dnn.paths import ProjectPaths
from aud_dnn.store.comparison_parts import write_part
from aud_dnn.tables.own_models import notes_on_activations
from aud_dnn.utils import load_stimuli

SCRIPT = Path(__file__).resolve().parents[2] / "setup_utils" / "check_data.py"
IDS = made_data.NAMES


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    root = tmp_path_factory.mktemp("whole")
    made_data.write_tree(root, made_data.data_files())
    files = made_data.activation_files()
    return made_data.write_tree(
        root, {name.replace("model_actv", "model-actv"): data for name, data in files.items()}
    )


@pytest.fixture
def root(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "root")
    return tmp_path / "root"


def look(root: Path, **options) -> tuple[int, str]:
    out = io.StringIO()
    return report(check_installation(ProjectPaths(root), **options), out), out.getvalue()


def test_a_whole_installation(whole):
    status, shown = look(whole)
    assert status == 0 and "PROBLEM" not in shown
    assert "165 sounds × 24 voxels × 3 repetitions, 8 participants" in shown
    for where, what in [
        ("spectemp: avgpool", "165 × 5 float32"),
        ("DCASE2020 (permuted): GRU_2", "165 × 6 float32"),
        ("Kell2018word: relufc", "165 × 13 float32"),
    ]:
        (line,) = [line for line in shown.splitlines() if line.startswith(f"{where} ")]
        assert what in line and line.endswith("ok")
    layers = [line.split()[1] for line in shown.splitlines() if line.startswith("Kell2018word: ")]
    assert layers[:3] == ["relu0", "maxpool0", "relu1"]  # in network order


def test_the_script(whole, tmp_path):
    done = subprocess.run([sys.executable, SCRIPT, "--root", whole], capture_output=True, text=True)
    assert done.returncode == 0 and "0 problems" in done.stdout
    main = runpy.run_path(str(SCRIPT))["main"]
    assert main(["--root", str(whole), "--models", "spectemp"]) == 0
    assert main(["--root", str(whole), "--models", "NoSuchModel"]) == 1


@pytest.mark.parametrize(
    "words", [("spectemp", "DCASE2020"), ("spectemp,DCASE2020",)], ids=["apart", "commas"]
)
def test_several_models(whole, words, capsys):
    runpy.run_path(str(SCRIPT))["main"](["--root", str(whole), "--models", *words])
    shown = capsys.readouterr().out
    assert "spectemp" in shown and "DCASE2020" in shown and "Kell2018word" not in shown


def change_h5(root: Path, change, model="Kell2018word", suffix=""):
    with h5py.File(root / f"model-actv/{model}/natsound_activations{suffix}.h5", "a") as file:
        change(file)


def replace(name, array):
    def change(file):
        del file[name]
        file[name] = array

    return change


def _nan(file):
    file["relu1"][7, 3] = np.nan


def _external(file):
    del file["relu1"]
    file["relu1"] = h5py.ExternalLink("/etc/elsewhere.h5", "relu1")


def _virtual(file):
    del file["relu1"]
    layout = h5py.VirtualLayout((165, 4), dtype="f4")
    layout[:] = h5py.VirtualSource("elsewhere.h5", "x", shape=(165, 4))
    file.create_virtual_dataset("relu1", layout)


def _stored_elsewhere(file):
    del file["relu1"]
    file.create_dataset(
        "relu1", (165, 4), "f4", external=[("/etc/hostname", 0, h5py.h5f.UNLIMITED)]
    )


def _soft(file):
    del file["relu1"]
    file["relu1"] = h5py.SoftLink("/relu0")


def _huge(file):
    del file["relu1"]
    file.create_dataset("relu1", (165, 10**10), "f4", chunks=(1, 1000))


H5_DEFECTS = {
    "nan": (_nan, rf"1 values are NaN or inf, in 1 sounds: {IDS[7]}"),
    "rows": (replace("relu1", np.ones((164, 4), "f4")), r"164 × 4 float32.*PROBLEM"),
    "text": (replace("relu1", np.array([b"a"] * 165)), r"165 \|S1.*PROBLEM"),
    "lacking": (
        lambda file: file.__delitem__("relu1"),
        r"layer relu1 \(stored as 'relu1'\) is missing",
    ),
    "listed": (
        replace("layer_list", np.array([b"relu0", b"nowhere"])),
        r"names 'nowhere', which is not in the file",
    ),
    "ids": (
        lambda file: file.__setitem__("sound_ids", np.array([b"x"] * 165)),
        r"occur more than once",
    ),
    "external link": (_external, r"is missing|may lead to another file"),
    "virtual": (_virtual, r"lie in another file"),
    "external storage": (_stored_elsewhere, r"lie in another file"),
    "soft link": (_soft, r"is missing|may lead to another file"),
    "promises too much": (_huge, r"but only \d+ are stored"),
    "no units": (replace("relu1", np.ones((165, 0), "f4")), r"no units"),
}


@pytest.mark.parametrize("defect", H5_DEFECTS)
def test_defects_of_h5_files(root, defect):
    change, words = H5_DEFECTS[defect]
    change_h5(root, change)
    status, shown = look(root, models=["Kell2018word"])
    assert status == 1
    import re

    assert re.search(words, shown), shown


def change_pickle(root: Path, change, sound=IDS[3]):
    path = root / f"model-actv/DCASE2020/{sound}_activations.pkl"
    content = pickle.loads(path.read_bytes())
    change(content)
    path.write_bytes(pickle.dumps(content))


GRU = "GRU(512, 256, batch_first=True)--0--hidden"  # GRU_4

PICKLE_DEFECTS = {
    "nan": (
        lambda c: c[GRU].__setitem__(2, np.inf),
        rf"1 values are NaN or inf, in 1 sounds: {IDS[3]}",
    ),
    "units": (
        lambda c: c.__setitem__(GRU, np.ones(5)),
        rf"unequal numbers of units: \[5, 8\], e.g. {IDS[3]}",
    ),
    "matrix": (
        lambda c: c.__setitem__(GRU, np.ones((2, 4))),
        r"must be a 1-D array.*float64 of shape \(2, 4\)\. Average over time",
    ),
    "lacking": (lambda c: c.__delitem__(GRU), r"in 164 of 165 files only"),
}


@pytest.mark.parametrize("defect", PICKLE_DEFECTS)
def test_defects_of_pickles(root, defect):
    import re

    change, words = PICKLE_DEFECTS[defect]
    change_pickle(root, change)
    status, shown = look(root, models=["DCASE2020"])
    assert status == 1 and re.search(words, shown), shown


def test_missing_extra_and_unreadable_pickles(root):
    folder = root / "model-actv/DCASE2020"
    (folder / f"{IDS[0]}_activations.pkl").rename(folder / "stim9999_nothing_activations.pkl")
    (folder / f"{IDS[1]}_activations.pkl").write_bytes(b"\x80\x04garbage")
    (folder / f"{IDS[2]}_activations.pkl").write_bytes(pickle.dumps([1, 2]))
    # ValueError("x"); pickle.dumps writes it in another way once Dask has been imported
    (folder / f"{IDS[4]}_activations.pkl").write_bytes(
        b"\x80\x02cbuiltins\nValueError\nX\x01\x00\x00\x00x\x85R."
    )
    status, shown = look(root, models=["DCASE2020"])
    assert status == 1
    for words in (
        f"1 of 165 sounds are missing: {IDS[0]}",
        "stim9999_nothing",
        "must be a dict from layer key to a 1-D array; found list",
        "asks for `builtins.ValueError`",
        f"{IDS[1]}_activations.pkl",
    ):
        assert words in shown


def test_two_formats_at_once(root):
    folder = root / "model-actv/DCASE2020"
    (folder / "natsound_activations.h5").write_bytes(
        (root / "model-actv/spectemp/natsound_activations.h5").read_bytes()
    )
    assert look(root, models=["DCASE2020"])[0] == 1


@pytest.mark.parametrize(
    "array, problems, notes",
    [
        (np.random.default_rng(0).random((165, 3)), 0, []),
        (np.zeros((165, 3)), 0, ["does not vary"]),
        (np.ones((165, 3), int), 0, ["does not vary"]),
        (np.column_stack([np.arange(165.0), np.ones(165)]), 0, ["1 unit"]),
        (np.repeat(np.arange(83.0), 2)[:165, None], 0, ["164 sounds share their features"]),
        (np.full((165, 2), np.nan), 1, []),
        (np.ones((165, 0)), 1, []),
    ],
)
def test_one_layer(array, problems, notes):
    found, noted = inspect_layer(array, IDS)
    assert len(found) == problems and len(noted) == len(notes)
    assert all(words in sentence for words, sentence in zip(notes, noted))


def test_trained_and_permuted_that_do_not_match(root):
    change_h5(
        root, replace("relu1", np.random.default_rng(0).random((165, 3), "f4")), suffix="_randnetw"
    )
    status, shown = look(root, models=["Kell2018word"])
    assert status == 0 and "layers differ: relu1" in shown


def test_a_model_of_ones_own(root):
    folder = root / "model-actv/mymodel"
    folder.mkdir()
    (folder / "natsound_activations.h5").write_bytes(
        made_data.h5_bytes({"first": np.random.rand(165, 4), "deep/second": np.random.rand(165, 3)})
    )
    findings = check_model(ProjectPaths(root), "mymodel", load_stimuli(ProjectPaths(root)))
    assert not any(finding.problems for finding in findings)
    assert [f.where for f in findings] == [
        "mymodel",
        "mymodel: first",
        "mymodel: deep/second",
        "mymodel (permuted)",
    ]
    assert (
        findings[0].what
        == "2 layers; order: layer_list of natsound_activations.h5; sounds: assumed"
    )
    assert (
        len(findings[0].notes) == 1
        and "does not name its sounds (sound_ids)" in findings[0].notes[0]
    )


SOUND_DEFECTS = {
    "missing": (lambda folder: (folder / f"{IDS[0]}.wav").unlink(), "1 sounds are missing"),
    "cut": (
        lambda folder: (folder / f"{IDS[0]}.wav").write_bytes(made_data.made_wav(0)[:-50]),
        "is cut off: it holds",
    ),
    "garbage": (
        lambda folder: (folder / f"{IDS[0]}.wav").write_bytes(b"garbage"),
        "cannot be read as a wav",
    ),
    "empty": (
        lambda folder: (folder / f"{IDS[0]}.wav").write_bytes(b""),
        "cannot be read as a wav",
    ),
    "twice": (
        lambda folder: (folder / f"{IDS[0]}.wav").write_bytes(made_data.made_wav(1)),
        "the same sound under 2 names",
    ),
    "silent": (
        lambda folder: (folder / f"{IDS[0]}.wav").write_bytes(
            made_data.made_wav(1)[:44] + bytes(800)
        ),
        "is silent",
    ),
}


@pytest.mark.parametrize("defect", SOUND_DEFECTS)
def test_defects_of_sounds(root, defect):
    change, words = SOUND_DEFECTS[defect]
    change(root / "data/stimuli")
    finding = check_sounds(ProjectPaths(root), IDS)
    assert any(words in problem for problem in finding.problems)


@pytest.mark.parametrize(
    "name",
    [
        "NH2015/voxel_features_array.npy",
        "NH2015/voxel_features_meta.npy",
        "NH2015/df_roi_meta.pkl",
        "B2021/stim_info_v4.mat",
        "B2021/voxel_features_meta.npy",
        "NH2015comp/components.mat",
        "NH2015/neural_stim_meta.npy",
    ],
)
@pytest.mark.parametrize("damage", ["missing", "cut", "garbage"])
def test_defects_of_targets(root, name, damage):
    path = root / "data/neural" / name
    raw = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(raw[: len(raw) // 2] if damage == "cut" else b"garbage")
    status, shown = look(root)
    assert status == 1 and path.name in shown


def test_constant_voxels_and_repeated_sounds_are_noted(root):
    path = root / "data/neural/B2021/voxel_features_array.npy"
    array = np.load(path)
    array[:, 5] = 3
    array[11] = array[10]
    np.save(path, array)
    status, shown = look(root)
    assert status == 0
    assert "constant over sounds: 1 voxel, voxel_id 12" in shown
    assert f"2 sounds share their responses with another: {IDS[10]} = {IDS[11]}" in shown


def test_results_are_looked_at(root):
    from test_convert import published_result

    folder = published_result(root / "results")
    published_result(root / "results", "relu0")
    status, shown = look(root)
    assert status == 0 and "results: Kell2018word" in shown and "2 results" in shown
    (folder / "ds.pkl").write_bytes((folder / "ds.pkl").read_bytes()[:-9])
    (root / "results/Kell2018word" / folder.name.replace("relu2", "relu4")).mkdir()
    status, shown = look(root)
    assert status == 1 and "ds.pkl" in shown and "1 result not whole" in shown


def test_results_on_assumed_rows_are_told_from_those_confirmed_since(tmp_path):
    paths = ProjectPaths(tmp_path)
    fake_results.write_fake_data(paths)
    features = np.random.default_rng(0).random((165, 3))
    roots.write_h5(tmp_path / "model-actv/mine/natsound_activations.h5", {"conv1": features})
    target = fake_results.fake_target("NH2015comp")
    activations = open_activations(paths, "mine", fake_results.fake_stimuli())
    folder = fake_results.write_fake_layer(
        paths,
        "mine",
        "conv1",
        fake_results.fake_scores("mine", target, 0, 1, randnetw=False),
        target,
        randnetw=False,
        provenance={**fake_results.fake_provenance(target), "activations": activations.provenance},
    )
    _, shown = look(tmp_path)
    assert (
        "note: 1 result fitted while the order of sounds was assumed; it still is: conv1 / "
        "NH2015comp" in shown
    )
    assert "does not name its sounds" in " ".join(notes_on_activations(paths, ["mine"], False))
    confirm_stimulus_order(paths, "mine")
    _, shown = look(tmp_path)
    assert (
        "provenance.json keeps saying so, figures go by what holds now (confirmed with "
        "--assume_stimulus_order)" in shown
    )
    assert notes_on_activations(paths, ["mine"], False) == []
    (folder / "ds.nc").write_bytes((folder / "ds.nc").read_bytes() + b"x")
    assert "ds.nc" in look(tmp_path)[1].partition("PROBLEM: ")[2].splitlines()[0]


def test_changed_predictions_are_found(root):
    fake_results.write_fake_model(ProjectPaths(root), "spectemp", ["NH2015comp"])
    folder = next((root / "results/spectemp").glob("*NH2015comp*"))
    (folder / "y_preds.nc").write_bytes(b"other")
    status, shown = look(root)
    assert status == 1 and "y_preds.nc" in shown


def test_parts_of_the_rsa_are_looked_at(root):
    parts = ProjectPaths(root).rsa_results / "parts"
    key = {"model": "my_model", "condition": "trained"}
    write_part(parts / "models/my_model_trained.npz", {"rdms": np.ones(3)}, key)
    write_part(
        parts / "NH2015/All/my_model_trained.npz",
        {"best": np.ones(3)},
        {**key, "target": "NH2015", "roi": "All"},
    )
    write_part(
        parts / "NH2015/All/neural.npz", {"rdms": np.ones(3)}, {"target": "NH2015", "roi": "All"}
    )
    write_part(
        parts / "NH2015/Primary/neural.npz",
        {"rdms": np.ones(3)},
        {"target": "NH2015", "roi": "Primary", "numerics_version": 0},
    )
    status, shown = look(root)
    assert status == 0 and "RSA: parts" in shown and "4 parts" in shown
    assert "1 part of another version of the numerics" in shown
    shutil.copy(parts / "models/my_model_trained.npz", parts / "models/other_trained.npz")
    with (parts / "NH2015/All/neural.npz").open("r+b") as file:
        file.seek(200)
        file.write(b"x")
    status, shown = look(root)
    assert status == 1 and "holds the results of my_model, trained, not of other, trained" in shown
    assert "NH2015/All/neural.npz" in shown and "3 parts" in shown


def test_names_cannot_command_the_terminal(capsys):
    report([Finding("a\x1b[2J", "b\x1b[2J", ("bad \x1b]0;x\x07",), ("worse \x1b[31m",))])
    shown = capsys.readouterr().out
    assert "\x1b" not in shown and "\x07" not in shown and r"bad \x1b]0;x\x07" in shown


def test_other_files(root):
    surface = root / "data/fsavg_surf"
    surface.mkdir()
    (surface / "lh.white").write_bytes(b"x")
    assert look(root)[0] == 0
    (surface / "empty.npy").write_bytes(b"")
    (surface / "cut.mat").write_bytes(made_data.components_mat()[:300])
    status, shown = look(root)
    assert status == 1 and "empty.npy is empty" in shown and "cut.mat is damaged" in shown


def test_what_repeats_is_counted(capsys):
    long = (
        "a sentence that is long enough to be tiresome to read when it is printed for each of the "
        "layers of a model"
    )
    alike = tuple(f"stim{number}_x_activations.pkl is no dict" for number in range(165))
    report(
        [
            Finding("a", "b", alike, (long, "short")),
            Finding("c", "d", ("layer one is missing", "layer two is missing"), (long, "short")),
        ]
    )
    shown = capsys.readouterr().out
    assert (
        shown.count("is no dict") == 1
        and "stim0_x_activations.pkl is no dict (and 164 more like this)" in shown
    )
    assert (
        shown.count(long) == 1
        and f"note: {long[:60]}… as for a" in shown
        and shown.count("note: short") == 2
    )
    assert "layer one is missing" in shown and "layer two is missing" in shown
    assert "2 places looked at: 167 problems, 4 notes." in shown


def test_the_exit_status_is_that_of_the_worst_finding(capsys):
    assert report([Finding("a", "b")]) == 0
    assert report([Finding("a", "b", notes=("n",))]) == 0
    assert report([Finding("a", "b"), Finding("c", "d", ("p",))]) == 1
    assert "2 places looked at: 1 problem, 0 notes." in capsys.readouterr().out

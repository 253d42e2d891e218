"""Targets of one's own through the scripts: other sounds, splits, repetitions and a time axis;
their figures.
"""

from __future__ import annotations

import json
import re
import runpy
import shutil
import time
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from made_targets import MODEL, voxels

from aud_dnn.analyze.AUD_plot_main import main as draw
from aud_dnn.analyze.rsa_matrix_calculation_all_models import main as compare
from aud_dnn.AUD_main import main as fit
from aud_dnn.errors import InputError
from aud_dnn.methods.ridge.leave_one_out import alpha_grid, reduce_features
from aud_dnn.methods.ridge.scoring import decompose_splits, score_responses
from aud_dnn.paths import ProjectPaths, find_root
from aud_dnn.splits import given_splits
from aud_dnn.store.regression import read_result
from aud_dnn.store.regression_names import result_folder
from aud_dnn.tables.own_targets import OwnScores
from aud_dnn.targets.arrays import target_from_arrays
from aud_dnn.targets.facts import TargetFacts
from aud_dnn.targets.target_files import read_target, write_target
from aud_dnn.utils import load_stimuli, open_activations
from setup_utils.check_data import main as check_data

CHECKOUT = Path(__file__).resolve().parents[2]
ECOG = CHECKOUT.parent / "shared" / "data" / "song_ecog"


@pytest.fixture(scope="module")
def root(own_root: Path) -> Path:
    """The root with both targets fitted."""
    assert run(own_root, "voxels90.nc", "sensors.nc") == 0
    return own_root


@pytest.fixture
def fresh(root: Path, tmp_path: Path) -> Path:
    """A copy of the root that a test may change."""
    return Path(shutil.copytree(root, tmp_path / "root"))


def run(
    root: Path, *targets: str, model: str = MODEL, layer: str = "all", more: tuple[str, ...] = ()
) -> int:
    named = [str(root / target) if "." in target else target for target in targets]
    return fit(
        [
            "--source_model",
            model,
            "--source_layer",
            layer,
            "--target",
            *named,
            "--root",
            str(root),
            *more,
        ]
    )


def draw_targets(root: Path, *targets: str, out: Path | None = None) -> int:
    where = [] if out is None else ["--out", str(out)]
    one = ["--jobs", "1", "--formats", "svg"]
    return draw(["--root", str(root), "--target", *targets, *one, *where])


def result(root: Path, layer: str, target: str):
    return read_result(result_folder(ProjectPaths(root), MODEL, layer, target, False))


def test_scores_are_those_of_the_matched_rows(root: Path) -> None:
    target = read_target(root / "voxels90.nc")
    with h5py.File(root / "model-actv" / MODEL / "natsound_activations.h5") as file:
        row_of = {name: row for row, name in enumerate(file["sound_ids"].asstr()[()])}
        features = file["late"][()][[row_of[sound] for sound in target.stimuli.ids]]
    expected, predictions = score_responses(
        decompose_splits(reduce_features(features), target.splits, alpha_grid(50)),
        target.responses,
        target.splits,
    )
    found = result(root, "late", "voxels90")
    np.testing.assert_array_equal(found.values("r2_test_c"), expected.r2_test_c)
    assert found.table["subj_idx"].tolist() == ["p1", "p2"] * 6
    assert np.isnan(found.table["median_r2_test_c"]).tolist() == [row == 3 for row in range(12)]
    assert found.table["median_r2_test_c"].median() > 0.9
    assert result(root, "early", "voxels90").table["median_r2_test_c"].median() < 0.3
    predicted = found.predictions()
    assert predicted.shape == (90, 10, 12)
    for split, mask in enumerate(target.splits.test):
        np.testing.assert_array_equal(np.isnan(predicted[:, split, 0]), ~mask)
    assert predictions is not None


def test_provenance_says_what_the_target_was(root: Path) -> None:
    record = result(root, "late", "voxels90").provenance["target"]
    assert (
        record["name"] == "voxels90"
        and record["unit"] == "neuroid"
        and record["noise_corrected"] is True
    )
    assert record["splits"]["kind"] == "random halves" and record["splits"]["count"] == 10
    assert record["splits"]["seed"] == 0
    assert len(record["file"]["sha256"]) == 64


def test_time_points_are_rows_with_their_time(root: Path) -> None:
    table = result(root, "late", "sensors").table
    assert table["neuroid"].tolist() == [name for name in "abc" for _ in range(5)]
    assert np.allclose(table["time"], np.tile(np.arange(5) / 10, 3))
    best = table.groupby("time")["median_r2_test"].median()
    assert best.idxmax() == pytest.approx(0.2) and best.max() > 0.8
    assert result(root, "late", "sensors").provenance["target"]["has_time"] is True


def test_a_second_run_keeps_the_results_and_a_changed_target_is_refused(
    fresh: Path, capsys
) -> None:
    assert run(fresh, "voxels90.nc") == 0
    assert capsys.readouterr().out.count("already there") == 2
    target = read_target(fresh / "voxels90.nc")
    target.responses[0, 0, 0] += 1
    write_target(fresh / "voxels90.nc", target)
    with pytest.raises(InputError, match="other responses"):
        run(fresh, "voxels90.nc")
    assert run(fresh, "voxels90.nc", more=("--overwrite", "True")) == 0


def test_other_splits_make_a_result_stale(fresh: Path) -> None:
    target = read_target(fresh / "voxels90.nc")
    again = target_from_arrays(
        target.responses,
        target.stimuli.ids,
        name="voxels90",
        neuroids={"participant": ["p1", "p2"] * 6, "region": ["front"] * 6 + ["back"] * 6},
        splits=given_splits(target.splits.test, target.splits.train),
    )
    write_target(fresh / "voxels90.nc", again)
    with pytest.raises(InputError, match="other splits"):
        run(fresh, "voxels90.nc")


@pytest.mark.slow
def test_halves_of_unequal_size_and_sounds_in_neither(fresh: Path) -> None:
    ids = list(load_stimuli(ProjectPaths(fresh)).ids)
    train = np.zeros((3, 90), dtype=bool)
    test = np.zeros((3, 90), dtype=bool)
    for split, size in enumerate((40, 50, 60)):
        train[split, :size], test[split, size : size + 20 + split] = True, True
    target, _ = voxels(ids, splits=given_splits(train, test))
    write_target(fresh / "unequal.nc", type(target)(**{**vars(target), "name": "unequal"}))
    assert run(fresh, "unequal.nc", more=("--legacy_pickles", "True", "--save_plot", "True")) == 0
    predicted = result(fresh, "late", "unequal").predictions(rescaled=True)
    np.testing.assert_array_equal(np.isnan(predicted[:, :, 0]), ~test.T)
    assert (
        result_folder(ProjectPaths(fresh), MODEL, "late", "unequal", False)
        / "plots"
        / "overview.png"
    ).is_file()


def test_a_folder_beside_a_published_target_in_one_call(fresh: Path) -> None:
    target = read_target(fresh / "voxels90.nc")
    folder = fresh / "as-folder.d"
    folder.mkdir()
    np.save(folder / "responses.npy", target.responses)
    pd.DataFrame({"stimulus": target.stimuli.ids}).to_csv(folder / "stimuli.csv", index=False)
    pd.DataFrame({"neuroid": range(12)}).to_csv(folder / "neuroids.csv", index=False)
    # a model of the 165 sounds only, by which the published target can be scored, too
    shutil.copyfile(fresh / "model-actv" / MODEL / "natsound_activations.h5", fresh / "own.h5")
    stimuli = load_stimuli(ProjectPaths(fresh))
    features = np.random.default_rng(0).standard_normal((165, 5))
    model = fresh / "model-actv" / "unnamed"
    model.mkdir()
    with h5py.File(model / "natsound_activations.h5", "w") as file:
        file["only"] = features
    assert run(fresh, "as-folder.d", "NH2015", model="unnamed") == 0
    paths = ProjectPaths(fresh)
    found = read_result(result_folder(paths, "unnamed", "only", "as-folder.d", False))
    assert found.provenance["target"]["splits"]["kind"] == "random halves"
    rows = [stimuli.ids.index(sound) for sound in target.stimuli.ids]
    splits = read_target(folder).splits
    expected, _ = score_responses(
        decompose_splits(reduce_features(features[rows]), splits, alpha_grid(50)),
        target.responses,
        splits,
    )
    np.testing.assert_array_equal(found.values("r_test"), expected.r_test)
    assert (
        "target"
        not in read_result(result_folder(paths, "unnamed", "only", "NH2015", False)).provenance
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [("NH2015", "name of a published target"), ("b2021", "name of a published target")],
)
def test_published_names_are_taken(fresh: Path, name: str, message: str) -> None:
    target = read_target(fresh / "voxels90.nc")
    write_target(fresh / "x.nc", type(target)(**{**vars(target), "name": name}))
    with pytest.raises(InputError, match=message):
        run(fresh, "x.nc")


def test_two_files_of_one_name_are_refused(fresh: Path) -> None:
    shutil.copyfile(fresh / "voxels90.nc", fresh / "copy.nc")
    with pytest.raises(InputError, match="both called voxels90"):
        run(fresh, "voxels90.nc", "copy.nc")


@pytest.mark.parametrize("name", ["NH2051", "", "x" * 5000, "a\0b"])
def test_a_name_that_is_neither_target_nor_file(root: Path, name: str) -> None:
    with pytest.raises(InputError, match="A target of your own is a file or a folder"):
        fit(["--source_model", MODEL, "--target", name, "--root", str(root)])


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        (0, r"for 0 of the 90 sounds of the target \(it holds "),
        (70, r"of the 90 sounds of the target \(missing are "),
    ],
)
def test_sounds_without_activations_are_named(fresh: Path, keep: int, message: str) -> None:
    path = fresh / "model-actv" / MODEL / "natsound_activations.h5"
    with h5py.File(path, "r+") as file:
        names = [
            name if row < keep else f"unknown{row}"
            for row, name in enumerate(file["sound_ids"].asstr()[()])
        ]
        del file["sound_ids"]
        file["sound_ids"] = names
    with pytest.raises(InputError, match=message):
        run(fresh, "voxels90.nc")


def test_own_sounds_need_ids_in_the_activations(fresh: Path) -> None:
    path = fresh / "model-actv" / MODEL / "natsound_activations.h5"
    with h5py.File(path, "r+") as file:
        del file["sound_ids"]
    shutil.rmtree(fresh / "data")
    with pytest.raises(InputError, match="does not name its sounds"):
        run(fresh, "voxels90.nc")


def test_own_targets_need_no_published_data(fresh: Path) -> None:
    shutil.rmtree(fresh / "data")
    shutil.rmtree(fresh / "results")
    (fresh / "data").mkdir()
    assert run(fresh, "voxels90.nc") == 0


def test_pickled_activations_may_hold_more_sounds(fresh: Path) -> None:
    paths = ProjectPaths(fresh)
    target = read_target(fresh / "voxels90.nc")
    folder = fresh / "model-actv" / "pickled"
    folder.mkdir()
    import pickle

    for number, sound in enumerate([*target.stimuli.ids, "another", "onemore"]):
        with (folder / f"{sound}_activations.pkl").open("wb") as file:
            pickle.dump({"layer": np.arange(3.0) + number}, file)
    opened = open_activations(paths, "pickled", target.stimuli, subset_of=())
    np.testing.assert_array_equal(opened.read("layer")[:, 0], np.arange(90.0))


@pytest.mark.parametrize(
    "damage",
    [{"name": "another"}, {"unit": 3}, {"splits": None}, {"file": {}}, {"has_time": "yes"}],
)
def test_results_that_do_not_say_their_target_are_refused(fresh: Path, damage: dict) -> None:
    folder = result_folder(ProjectPaths(fresh), MODEL, "late", "voxels90", False)
    path = folder / "provenance.json"
    provenance = json.loads(path.read_text())
    provenance["target"] |= damage
    path.write_text(json.dumps(provenance))
    with pytest.raises(InputError, match="does not say what its target is"):
        read_result(folder)


# --- check_data and figures ---------------------------------------------------------------------


def test_check_data_describes_a_target(root: Path, capsys) -> None:
    assert (
        check_data(
            ["--target", str(root / "voxels90.nc"), str(root / "sensors.nc"), "--root", str(root)]
        )
        == 0
    )
    printed = capsys.readouterr().out
    for text in (
        "90 sounds, 12 neuroids, 2 repetitions",
        "10 splits: random halves, 45 sounds train, 45 test, seed 0",
        "repetitions of a neuroid: 1 to 2",
        "participants: p1, p2",
        "regions: back, front",
        "165 sounds, 3 neuroids, 1 repetition, 5 times",
        "10 splits: published, 83 sounds train, 82 test, seed 0",
        "times: 0 to 0.4 s",
    ):
        assert text in printed, text


def test_check_data_says_what_is_no_target(tmp_path: Path, capsys) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    assert check_data(["--target", str(tmp_path / "notes.txt")]) == 1
    assert "PROBLEM" in capsys.readouterr().out


@pytest.fixture(scope="module")
def figures(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("figures")
    assert draw_targets(root, "voxels90", "sensors", out=out) == 0
    return out / "PLOTS_across-models"


def test_every_figure_that_applies_is_drawn(figures: Path) -> None:
    assert {path.name for path in figures.glob("*.svg")} == {
        "across-models_voxels90_median_r2_test_c.svg",
        "across-layers_twolayers_voxels90_median_r2_test_c.svg",
        "best-layer_by-region_twolayers_voxels90.svg",
        "across-models_sensors_median_r2_test.svg",
        "across-layers_twolayers_sensors_median_r2_test.svg",
        "latency_twolayers_sensors_median_r2_test.svg",
    }


def test_latency_has_its_peak_where_the_response_is_driven(root: Path, figures: Path) -> None:
    table = pd.read_csv(figures / "latency_twolayers_sensors_median_r2_test.csv", index_col="time")
    assert float(table.loc["peak", "late"]) == pytest.approx(0.2)
    rows = result(root, "late", "sensors").table
    expected = rows.groupby("time")["median_r2_test"].median()
    np.testing.assert_allclose(table["late"].drop("peak").astype(float), expected)


def test_curves_and_bars_are_means_over_participants(root: Path, figures: Path) -> None:
    table = result(root, "late", "voxels90").table.dropna(subset="median_r2_test_c")
    medians = np.minimum(table["median_r2_test_c"], 1).groupby(table["subj_idx"]).median()
    curve = pd.read_csv(
        figures / "across-layers_twolayers_voxels90_median_r2_test_c.csv", index_col=0
    )
    assert curve.loc["late", "trained_mean"] == pytest.approx(medians.mean())
    assert np.isfinite(curve["trained_yerr"]).all()
    regions = pd.read_csv(figures / "best-layer_by-region_twolayers_voxels90.csv", index_col=0)
    assert (
        regions.loc[["p1", "p2"], ["back", "front"]].eq(1).all(axis=None)
    )  # the last layer everywhere


def test_figures_say_what_a_target_lacks(root: Path, tmp_path: Path, capsys) -> None:
    assert draw_targets(root, "sensors", out=tmp_path) == 0
    printed = capsys.readouterr().out
    assert "sensors has no participants" in printed and "sensors has no regions" in printed


@pytest.mark.parametrize("changed", ["file of the target", "activations"])
def test_figures_say_what_is_out_of_date(fresh: Path, capsys, changed: str) -> None:
    provenances = list((fresh / "results" / MODEL).glob("*voxels90*/provenance.json"))
    for path in provenances:  # results name the file by its path; the root was copied
        record = json.loads(path.read_text())
        record["target"]["file"]["path"] = str(fresh / "voxels90.nc")
        path.write_text(json.dumps(record))
    assert draw_targets(fresh, "voxels90") == 0
    assert "Not current" not in capsys.readouterr().out
    if changed == "activations":
        with h5py.File(fresh / "model-actv" / MODEL / "natsound_activations.h5", "r+") as file:
            file["late"][...] = file["late"][()] + 1
    else:
        target = read_target(fresh / "voxels90.nc")
        target.responses[0, 0, 0] += 1
        write_target(fresh / "voxels90.nc", target)
    assert draw_targets(fresh, "voxels90") == 0
    assert f"Not current (other {changed}): twolayers. Fit again." in capsys.readouterr().out


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/full", "gone.nc"])
def test_a_device_named_as_the_file_of_a_target_is_not_read(fresh: Path, capsys, path: str) -> None:
    """What is neither a file nor a folder cannot be compared."""
    for record in (fresh / "results" / MODEL).glob("*voxels90*/provenance.json"):
        content = json.loads(record.read_text())
        content["target"]["file"]["path"] = path
        record.write_text(json.dumps(content))
    assert draw_targets(fresh, "voxels90") == 0
    assert "other file" not in capsys.readouterr().out


def test_figures_of_an_unknown_target(root: Path) -> None:
    with pytest.raises(InputError, match=r"Known: NH2015, B2021, sensors, voxels90"):
        draw(["--root", str(root), "--target", "sensor"])


@pytest.mark.parametrize("n_splits", [1, 3, 10])
def test_best_layers_are_scored_on_other_splits_than_they_are_chosen_on(n_splits: int) -> None:
    scores = np.zeros((4, 2, n_splits))
    scores[:, 1] = 0.5
    scores[:, 0, 0] = 0.4
    facts = TargetFacts("mine", "neuroid", noise_corrected=False)
    found = OwnScores("m", facts, ("a", "b"), pd.DataFrame(index=range(4)), scores, {})
    score, position = found.best_layer()
    assert score.tolist() == [0.5] * 4 and position.tolist() == [1.0] * 4


def test_the_page_word_for_word(
    demo_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (CHECKOUT / "docs" / "own_target.md").read_text(encoding="utf-8")
    shutil.copytree(demo_root, tmp_path / "demo")
    monkeypatch.chdir(tmp_path)
    blocks = {
        kind: [
            text
            for found, text in re.findall(r"```(\w*)\n(.*?)```", page, re.DOTALL)
            if found == kind
        ]
        for kind in ("python", "")
    }
    exec(blocks["python"][0], {})
    scripts = {
        "setup_utils/check_data.py": check_data,
        "aud_dnn/AUD_main.py": fit,
        "aud_dnn/analyze/AUD_plot_main.py": draw,
        "aud_dnn/analyze/rsa_matrix_calculation_all_models.py": compare,
    }
    for block in blocks[""]:
        _, script, *arguments = block.split()
        one = ["--jobs", "1"] if scripts[script] in (draw, compare) else []
        assert scripts[script]([*arguments, *one]) == 0
    table = pd.read_csv(
        "demo/results/PLOTS_across-models/latency_mymodel_sensors_median_r2_test_c.csv",
        index_col="time",
    )
    assert table.loc["peak"].astype(float).round(2).tolist() == [0.12, 0.20, 0.28]


# --- real data ----------------------------------------------------------------------------------

COMPONENTS_SCORES = [
    0.53, 0.59, 0.17, 0.48, 0.29, 0.57, 0.47, 0.64, 0.50, 0.37, 0.31, 0.40, 0.34, 0.31, 0.60,
]  # fmt: skip


@pytest.mark.skipif(not ECOG.is_dir(), reason="the ECoG data are not beside the repository")
def test_ecog_example(real_root: Path) -> None:
    example = runpy.run_path(str(CHECKOUT / "docs" / "examples" / "ecog_target.py"))
    assert example["main"]([str(ECOG), "--root", str(real_root)]) == 0
    paths = find_root(real_root)

    def medians(model: str, layer: str, target: str) -> pd.DataFrame:
        return read_result(result_folder(paths, model, layer, target, False)).table

    means = medians("spectemp", "avgpool", "ecog-components-mean")["median_r2_test"]
    assert means.round(2).tolist() == COMPONENTS_SCORES
    table = medians("spectemp", "avgpool", "ecog-components")
    assert (
        len(table) == 15 * 75 and len(medians("spectemp", "avgpool", "ecog-electrodes")) == 33 * 300
    )
    both = medians("acoustics", "frequency-and-modulation", "NH2015comp")["median_r2_test"]
    assert both.round(2).tolist() == [.81, .70, .61, .68, .57, .29]  # fmt: skip

    target = read_target(real_root / "data" / "own" / "ecog-components.nc")
    features = open_activations(paths, "spectemp", target.stimuli).read("avgpool")
    started = time.process_time()
    score_responses(
        decompose_splits(reduce_features(features), target.splits, alpha_grid(50)),
        target.responses,
        target.splits,
    )
    assert time.process_time() - started < 2

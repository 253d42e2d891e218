"""Running the RSA on the demo data: planted truth, resuming, restricting, reporting, refusing;
files and tables.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from aud_dnn.analyze.rsa_matrix_calculation_all_models import main
from aud_dnn.errors import InputError, MissingDataError
from aud_dnn.io import atomic
from aud_dnn.models.registry import MODELS
from aud_dnn.paths import ProjectPaths, find_root
from aud_dnn.runs import comparison_workers, comparisons
from aud_dnn.runs.comparison_report import ComparisonRun
from aud_dnn.runs.comparisons import run_comparison
from aud_dnn.store.comparison_parts import (
    model_part_path,
    neural_part_path,
    read_part,
    score_part_path,
)
from aud_dnn.store.comparisons import analysis_path, read_analysis, write_analysis
from aud_dnn.store.published_rsa import ALL_VOXELS_FILE, BEST_LAYER_FILE, read_published_rsa
from aud_dnn.tables.comparison_models import comparison_table, model_errors, position_test_table
from aud_dnn.tables.comparisons import all_tables
from aud_dnn.targets.facts import ROIS


@pytest.fixture(scope="module")
def finished(demo_root, tmp_path_factory) -> tuple[ProjectPaths, ComparisonRun]:
    """The whole set on the demo data, by worker processes. Do not write to it."""
    root = tmp_path_factory.mktemp("rsa") / "root"
    shutil.copytree(demo_root, root)
    paths = find_root(root)
    return paths, run_comparison(paths, jobs=2, progress=False)


@pytest.fixture
def paths(demo_root, tmp_path) -> ProjectPaths:
    shutil.copytree(demo_root, tmp_path / "root")
    return find_root(tmp_path / "root")


SMALL = {
    "targets": ("NH2015",),
    "models": ("spectemp", "Kell2018word"),
    "conditions": ("trained",),
    "jobs": 1,
    "progress": False,
}


def small(paths: ProjectPaths, **changes):
    return run_comparison(paths, **{**SMALL, "rois": ("All",), **changes})


# --- the whole set ------------------------------------------------------------------------------


def test_the_planted_layers_are_found_in_every_region(finished, demo_truth):
    _, run = finished
    layers = list(MODELS["Kell2018word"].layer_names)
    for target in ("NH2015", "B2021"):
        for roi in ROIS:
            position = run.datasets[target, roi]["best_layer_position"].sel(
                model="Kell2018word", condition="trained"
            )
            planted = layers.index(demo_truth.roi_layers[roi]) / (len(layers) - 1)
            assert float(position.median()) == pytest.approx(planted), (target, roi)


def test_order_of_models_is_as_planted(finished):
    _, run = finished
    for target in ("NH2015", "B2021"):
        score = (
            run.datasets[target, "All"]["best_layer_rsa_median_across_splits"]
            .mean("participant")
            .to_pandas()
        )
        assert (
            score.loc["trained", "Kell2018word"]
            > score.loc["trained", "spectemp"]
            > score.loc["trained", "DCASE2020"]
        )
        assert score.loc["trained", "Kell2018word"] > score.loc["permuted", "Kell2018word"]
        assert (
            score.loc["permuted", "spectemp"] == score.loc["trained", "spectemp"]
        )  # it stands in for itself


def test_report_names_what_was_computed_and_what_is_missing(finished):
    _, run = finished
    assert (
        len(run.report.computed) == (2 + 2 + 1) * 2 * 5
        and not run.report.loaded
        and not run.report.failed
    )
    assert {model for model, _ in run.report.missing} == set(MODELS) - {
        "Kell2018word",
        "DCASE2020",
        "spectemp",
    }
    summary = run.report.summary()
    assert (
        "computed: 50 results of Kell2018word, DCASE2020, spectemp (trained)" in summary
        and "AST" in summary
    )


def test_workers_and_one_process_agree_bit_by_bit(finished, paths):
    _, run = finished
    alone = small(paths, models=("Kell2018word",), rois=("All", "Primary"))
    for pair, dataset in alone.datasets.items():
        whole = (
            run.datasets[pair].sel(model=["Kell2018word"]).isel(layer=slice(dataset.sizes["layer"]))
        )
        for name in ("all_layer_test_correlations", "best_layer_idx", "all_model_features_rsa"):
            np.testing.assert_array_equal(
                whole[name].sel(condition="trained"), dataset[name].sel(condition="trained")
            )


def test_files_hold_every_quantity_of_the_published_record(finished):
    paths, run = finished
    record = {
        "best_layer_test_value",
        "best_layer_idx",
        "all_layer_test_correlations",
        "model_layers",
        "best_layer_rsa_median_across_splits",
        "splits_median_distance_all_layers",
        "splits_median_best_layer_idx",
        "all_data_corr_mat_fmri",
        "leave_one_out_neural_r_cv_test_splits",
        "all_data_rsa_for_best_layer",
        "all_model_features_rsa",
    }
    for (target, roi), dataset in run.datasets.items():
        stored = read_analysis(paths.rsa_results, target, roi)
        assert record <= set(stored.data_vars)
        assert stored.equals(dataset)
        assert all(
            variable.attrs.get("long_name")
            for name, variable in stored.data_vars.items()
            if name in record
        )


# --- tables -------------------------------------------------------------------------------------


def test_tables_have_one_row_per_observation(finished):
    paths, run = finished
    parts = {
        key: read_part(model_part_path(paths.rsa_results, *key))
        for key in {unit[:2] for unit in run.report.computed}
    }
    tables = all_tables(run.datasets, parts)
    n_participants = sum(
        dataset.sizes["participant"] for pair, dataset in run.datasets.items() if pair[1] == "All"
    )
    conditions = 2 + 2 + 2  # the baseline stands in for its permuted version
    assert len(tables["participants"]) == n_participants * 5 * conditions
    assert len(tables["splits"]) == 10 * len(tables["participants"])
    layers = 2 * (9 + 5 + 1)
    assert len(tables["layers_splits"]) == n_participants * 5 * layers * 10
    assert len(tables["effective_dimensionality_models"]) == 2 * (9 + 5) + 1
    row = (
        tables["layers_splits"]
        .query(
            "target == 'B2021' and roi == 'Lateral' and model == 'DCASE2020' and split == 3 and "
            "condition == 'permuted' and layer == 'GRU_2'"
        )
        .iloc[4]
    )
    cell = run.datasets["B2021", "Lateral"]["all_layer_test_correlations"].sel(
        model="DCASE2020", condition="permuted", participant=row["participant"], split=3, layer=1
    )
    assert row["test_similarity"] == float(cell) and row["layer_index"] == 1
    best = tables["splits"].iloc[17]
    assert best["best_layer"] == MODELS[best["model"]].layer_names[best["best_layer_index"]]


def test_error_bars_published_and_over_participants():
    scores = np.random.default_rng(0).standard_normal((5, 8))  # models x participants
    errors = model_errors(scores)
    spread = (scores - scores.mean(axis=0)).std(axis=1)
    np.testing.assert_allclose(errors["sem_published"], spread / np.sqrt(4))
    np.testing.assert_allclose(errors["sem_participants"], spread / np.sqrt(7))
    gap = np.insert(scores, 3, np.nan, axis=1)  # a participant without voxels is left out
    gap = np.insert(gap, 2, np.nan, axis=0)  # and a model without any score stays undefined
    for name, values in model_errors(gap).items():
        assert np.isnan(values[2])
        np.testing.assert_allclose(np.delete(values, 2), model_errors(scores)[name])


def test_comparisons_hold_the_published_and_the_paired_test(finished):
    _, run = finished
    table = comparison_table(
        run.datasets, [("Kell2018word", "DCASE2020"), ("DCASE2020", "Kell2018word"), ("AST", "DS2")]
    )
    assert len(table) == 2 * 2 * 2  # two pairs are there, two targets, two conditions
    trained = table[table["condition"] == "trained"]
    better = trained[trained["model_a"] == "Kell2018word"]
    assert (better["p_published"] == 0).all()  # as published, p can be 0
    assert (better["p_published_plus_one"] == 1 / 10_001).all() and (
        better["p_bootstrap"] == 1 / 10_001
    ).all()
    nh2015 = better[better["target"] == "NH2015"].iloc[0]
    assert nh2015["p_sign_flip"] == pytest.approx(
        2.0 ** -nh2015["n_participants"]
    )  # exact for few participants
    assert (trained[trained["model_a"] == "DCASE2020"]["p_sign_flip"] == 1).all()


def test_position_tests_are_asymptotic_and_exact():
    rng = np.random.default_rng(0)
    primary = rng.uniform(0, 0.5, 15)
    positions = pd.DataFrame(
        [
            {
                "target": "NH2015",
                "condition": "trained",
                "roi": roi,
                "model": f"m{i}",
                "position": primary[i] + shift * (1 + 0.01 * i),
            }
            for roi, shift in (("Primary", 0), ("Lateral", 0.3))
            for i in range(15)
        ]
    )
    row = position_test_table(positions).iloc[0]
    assert (row["w"], row["n_models"]) == (0, 15)
    assert row["p_asymptotic"] == pytest.approx(0.00065, abs=1e-5) and row[
        "p_exact"
    ] == pytest.approx(2 / 2**15)
    assert row["rank_biserial"] == 1 and row["cohens_d"] > 0 and row["cles"] > 0.5


# --- resuming and restricting -------------------------------------------------------------------


def test_what_is_there_is_loaded_and_only_the_rest_is_computed(paths, monkeypatch):
    first = small(paths)
    assert len(first.report.computed) == 2
    score_part_path(paths.rsa_results, "NH2015", "All", "spectemp", "trained").unlink()
    computed = []
    original = comparison_workers.score_one
    monkeypatch.setattr(
        comparison_workers,
        "score_one",
        lambda *arguments: computed.append(arguments[1:]) or original(*arguments),
    )
    second = small(paths)
    assert computed == [("spectemp", "trained", [("NH2015", "All")])]
    assert [unit.model for unit in second.report.loaded] == ["Kell2018word"]
    assert second.datasets["NH2015", "All"].equals(first.datasets["NH2015", "All"])
    computed.clear()
    third = small(paths)
    assert not computed and len(third.report.loaded) == 2
    small(paths, overwrite=True)
    assert len(computed) == 2


def test_a_new_region_leaves_the_old_results_alone(paths):
    small(paths)
    old = score_part_path(paths.rsa_results, "NH2015", "All", "Kell2018word", "trained")
    stamp = old.stat().st_mtime_ns
    run = small(paths, rois=("All", "Primary"))
    assert {unit.roi for unit in run.report.computed} == {"Primary"} and {
        unit.roi for unit in run.report.loaded
    } == {"All"}
    assert old.stat().st_mtime_ns == stamp


def test_results_alone_are_enough_once_everything_is_computed(paths):
    first = small(paths)
    shutil.rmtree(paths.data)
    shutil.rmtree(paths.activations)
    again = small(paths)
    assert len(again.report.loaded) == 2 and again.datasets["NH2015", "All"].equals(
        first.datasets["NH2015", "All"]
    )
    assert any(
        "Not there any longer" in note and "Kell2018word" in note for note in again.report.notes
    )


def test_a_kill_between_two_models_loses_nothing_finished(paths, monkeypatch):
    original = comparison_workers.score_one

    def killed(shared, model, condition, pairs):
        if model == "spectemp":
            raise KeyboardInterrupt
        return original(shared, model, condition, pairs)

    monkeypatch.setattr(comparison_workers, "score_one", killed)
    with pytest.raises(KeyboardInterrupt):
        small(paths)
    assert not analysis_path(paths.rsa_results, "NH2015", "All").exists()
    monkeypatch.setattr(comparison_workers, "score_one", original)
    run = small(paths)
    assert [unit.model for unit in run.report.loaded] == ["Kell2018word"]
    assert [unit.model for unit in run.report.computed] == ["spectemp"]


def test_a_users_own_model_joins(paths):
    run = small(paths, models=("Kell2018word", "mymodel"), conditions=("trained", "permuted"))
    dataset = run.datasets["NH2015", "All"]
    assert dataset["model"].values.tolist() == ["Kell2018word", "mymodel"]
    assert np.isfinite(
        dataset["best_layer_rsa_median_across_splits"].sel(model="mymodel", condition="trained")
    ).all()
    assert ("mymodel", "permuted") in run.report.missing
    assert not dataset["available"].sel(model="mymodel", condition="permuted")


# --- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"targets": ("NH2016",)}, "NH2015"),
        ({"rois": ("primary",)}, "Did you mean Primary"),
        ({"models": ("Kell2018wrod",)}, "Kell2018word"),
        ({"models": ("../other",)}, "name of its folder"),
        ({"conditions": ("random",)}, "permuted"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(paths, changes, message):
    with pytest.raises(InputError, match=message):
        small(paths, **changes)
    assert not paths.rsa_results.exists()


def test_nothing_to_analyse_says_which_download_brings_it(paths):
    with pytest.raises(MissingDataError, match="get_model_actv"):
        small(paths, models=("AST", "wav2vec"))


def edit_activations(paths: ProjectPaths, layer: str, change) -> None:
    with h5py.File(paths.activations / "Kell2018word" / "natsound_activations.h5", "r+") as file:
        values = file[layer][()]
        del file[layer]
        file[layer] = change(values)


def test_nan_activations_stop_only_their_model(paths):
    edit_activations(
        paths,
        "relu2",
        lambda values: np.where(np.arange(len(values))[:, None] == 7, np.nan, values),
    )
    run = small(paths)
    assert [unit.model for unit in run.report.computed] == ["spectemp"]
    assert (
        "relu2" in run.report.failed["Kell2018word", "trained"] and "FAILED" in run.report.summary()
    )
    arguments = [
        "--root",
        str(paths.root),
        "--target",
        "NH2015",
        "--roi",
        "All",
        "--randnetw",
        "False",
        "--jobs",
        "1",
        "--figures",
        "False",
        "--progress",
        "False",
    ]
    assert main(arguments) == 1


def test_an_undefined_layer_is_named_and_never_the_best(paths):
    """Constant sounds: the layer's RDM is undefined, its similarity NaN, the other layers go on."""
    edit_activations(paths, "relu2", lambda values: np.ones_like(values))
    run = small(paths)
    record = run.datasets["NH2015", "All"].sel(model="Kell2018word", condition="trained")
    index = MODELS["Kell2018word"].layer_names.index("relu2")
    assert np.isnan(record["all_layer_test_correlations"].sel(layer=index)).all()
    assert (record["best_layer_idx"] != index).all() and np.isfinite(
        record["best_layer_rsa_median_across_splits"]
    ).all()
    assert np.isfinite(record["all_model_features_rsa"]).all()
    assert any("undefined" in note and "relu2" in note for note in run.report.notes)


def test_identical_sounds_and_units_constant_on_a_half_are_reported_not_refused(paths):
    def change(values):
        values[20] = values[30]
        values[:, 0] = 0.0
        values[5, 0] = 1.0  # varies over the sounds, but not over the training half of some splits
        return values

    edit_activations(paths, "relu2", change)
    run = small(paths)
    assert np.isfinite(
        run.datasets["NH2015", "All"]["all_layer_test_correlations"].sel(
            model="Kell2018word", condition="trained"
        )
    ).all()
    assert any("training sounds" in note for note in run.report.notes)


def edit_rois(paths: ProjectPaths, change) -> None:
    path = paths.neural("NH2015") / "df_roi_meta.pkl"
    table = pd.read_pickle(path)
    change(table)
    table.to_pickle(path)


def test_a_participant_without_voxels_in_a_region_is_nan_and_left_out_of_means(paths):
    def change(table):
        first = table["subj_idx"] == table["subj_idx"].min()
        table.loc[first & (table["roi_label_general"] == "Primary"), "roi_label_general"] = np.nan

    edit_rois(paths, change)
    run = small(paths, rois=("All", "Primary"))
    dataset = run.datasets["NH2015", "Primary"]
    scores = dataset["best_layer_rsa_median_across_splits"].sel(condition="trained")
    assert np.isnan(scores[:, 0]).all() and np.isfinite(scores[:, 1:]).all()
    assert (
        np.isnan(dataset["all_data_corr_mat_fmri"][0]).all() and dataset["n_voxels"].values[0] == 0
    )
    ceiling = dataset["leave_one_out_neural_r_cv_test_splits"].values
    assert np.isnan(ceiling[0]).all() and np.isfinite(ceiling[1:]).all()
    assert any("Primary" in note and "fewer than two voxels" in note for note in run.report.notes)
    tables = all_tables(run.datasets, {})
    models = tables["models"].query("roi == 'Primary' and condition == 'trained'")
    assert (
        np.isfinite(models["score"]).all()
        and (models["n_participants"] == dataset.sizes["participant"] - 1).all()
    )


def test_a_region_that_no_participant_has_is_refused_before_anything_is_computed(paths):
    def change(table):
        table.loc[table["roi_label_general"] == "Primary", "roi_label_general"] = np.nan

    edit_rois(paths, change)
    with pytest.raises(InputError, match="Leave this ROI out with --roi"):
        small(paths, rois=("Primary",))
    assert not neural_part_path(paths.rsa_results, "NH2015", "Primary").exists()


def test_a_model_with_one_layer_has_scores_but_no_position(finished):
    _, run = finished
    record = run.datasets["NH2015", "Primary"].sel(model="spectemp", condition="trained")
    assert (record["best_layer_idx"] == 0).all() and np.isfinite(
        record["best_layer_rsa_median_across_splits"]
    ).all()
    assert np.isnan(record["best_layer_position"]).all()


def test_a_damaged_result_file_is_named(paths):
    small(paths)
    path = analysis_path(paths.rsa_results, "NH2015", "All")
    path.write_bytes(b"not a netCDF file")
    with pytest.raises(InputError, match=r"rsa_NH2015_All\.nc"):
        read_analysis(paths.rsa_results, "NH2015")
    run = small(paths)  # everything is there in parts: nothing is computed, the file is made again
    assert not run.report.computed and read_analysis(paths.rsa_results, "NH2015").equals(
        run.datasets["NH2015", "All"]
    )
    with pytest.raises(MissingDataError, match="rsa_matrix_calculation_all_models"):
        read_analysis(paths.rsa_results, "B2021")


# --- disks, memory, signals ---------------------------------------------------------------------


@pytest.mark.parametrize(("number", "jobs"), [(errno.EDQUOT, 1), (errno.ENOSPC, 2)])
def test_a_disk_that_fills_is_an_error_that_names_the_file(paths, monkeypatch, number, jobs):
    """Noticed by fsync, which knows no name: of a part in this process, of the dataset after the
    workers.
    """

    def fail(descriptor):
        raise OSError(number, os.strerror(number))

    def write_on_a_full_disk(*arguments):
        monkeypatch.setattr(os, "fsync", fail)
        write_analysis(*arguments)

    if jobs == 1:
        monkeypatch.setattr(os, "fsync", fail)
    else:
        monkeypatch.setattr(comparisons, "write_analysis", write_on_a_full_disk)
    with pytest.raises(OSError) as caught:
        small(paths, jobs=jobs)
    name = Path(caught.value.filename)
    assert (
        caught.value.errno == number
        and name.is_relative_to(paths.rsa_results)
        and not name.name.startswith(".")
    )
    assert not any(path.name.startswith(".") for path in paths.rsa_results.rglob("*"))


def test_what_a_kill_left_half_written_goes_with_the_next_run(paths):
    asked = score_part_path(paths.rsa_results, "NH2015", "All", "spectemp", "trained")
    not_asked = score_part_path(paths.rsa_results, "B2021", "Primary", "AST", "trained")
    half = [
        atomic._beside(path, mark, f"{atomic._host()}-dead")
        for mark in (atomic.STAGING_MARK, atomic._LOCK_MARK)
        for path in (asked, not_asked, analysis_path(paths.rsa_results, "NH2015", "All"))
    ]
    for path in half:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    small(paths)
    assert not any(path.exists() for path in half)


def test_a_failed_allocation_says_what_is_needed(paths, monkeypatch):
    def exhausted(*arguments):
        raise MemoryError

    monkeypatch.setattr(comparison_workers, "model_side", exhausted)
    with pytest.raises(InputError, match=r"not enough memory.*kept.*MB for each process"):
        small(paths)
    monkeypatch.setattr(comparisons, "load_target", exhausted)
    with pytest.raises(InputError, match=r"not enough memory.*MB"):
        small(paths)


def test_processes_are_as_many_as_memory_has_room_for(paths, monkeypatch):
    tasks = [("Kell2018word", "trained"), ("DCASE2020", "trained"), ("AST", "trained")]
    needed = comparison_workers.memory_needed(paths, tasks)
    assert needed > comparison_workers.memory_needed(paths, tasks[2:])
    for free, jobs in ((None, 8), (3 * needed, 3), (100 * needed, 8), (1, 1)):
        monkeypatch.setattr(comparison_workers, "available_memory", lambda free=free: free)
        assert comparison_workers.jobs_that_fit(paths, tasks, 8) == jobs


def test_a_plain_script_without_a_main_guard_may_use_workers(paths, tmp_path):
    (tmp_path / "script.py").write_text(
        "from aud_dnn.paths import find_root\nfrom aud_dnn.runs.comparisons import run_comparison\n"
        f"run = run_comparison(find_root({str(paths.root)!r}), targets=['NH2015'], rois=['All'], "
        "conditions=['trained'],\n"
        "              models=['spectemp', 'Kell2018word'], jobs=2, "
        "progress=False)\nprint(len(run.report.computed))\n"
    )
    done = subprocess.run(
        [sys.executable, str(tmp_path / "script.py")],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(Path(comparisons.__file__).parents[2])},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "2\n", "")


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("seconds", [0.4, 1.5, 4])
def test_ctrl_c_is_one_line_and_leaves_nothing_half_written(paths, seconds):
    """While libraries are imported, while workers start, while they work; the terminal sends it to
    all of them.
    """
    script = (
        Path(comparisons.__file__).parents[1] / "analyze" / "rsa_matrix_calculation_all_models.py"
    )
    run = subprocess.Popen(
        [
            sys.executable,
            str(script),
            "--root",
            str(paths.root),
            "--jobs",
            "2",
            "--progress",
            "False",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    time.sleep(seconds)
    os.killpg(run.pid, signal.SIGINT)
    _, said = run.communicate(timeout=60)
    assert (run.returncode, said.count("\n")) == (130, 1) and said.startswith("Stopped.")
    assert not any(path.name.startswith(".") for path in paths.rsa_results.rglob("*"))


def test_the_script_imports_nothing_heavy_before_main():
    """Ctrl-C while libraries are imported is then heard by ``run_script``, and ``--help`` answers
    at once.
    """
    program = (
        "import sys, aud_dnn.analyze.rsa_matrix_calculation_all_models\n"
        "print(sorted({'numpy', 'pandas', 'xarray', 'matplotlib', 'scipy', 'tqdm'} & "
        "set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(comparisons.__file__).parents[2])},
    )
    assert done.stdout == "[]\n", done.stderr


# --- the script ---------------------------------------------------------------------------------


def test_script_writes_results_tables_and_legacy_pickles(paths, capsys):
    arguments = [
        "--root",
        str(paths.root),
        "--target",
        "NH2015",
        "--roi",
        "All",
        "Primary",
        "--models",
        "Kell2018word",
        "spectemp",
        "AST",
        "--figures",
        "False",
        "--legacy_pickles",
        "True",
        "--jobs",
        "1",
    ]
    assert main(arguments) == 0
    printed, logged = capsys.readouterr()
    assert "\r" not in logged and logged.splitlines()[-1].endswith(
        ", 6 of 6 results"
    )  # stderr is no terminal
    assert (
        "computed: 6 results" in printed
        and "missing (no activations on disk, left out): AST" in printed
    )
    folder: Path = paths.rsa_results
    assert {path.name for path in folder.glob("*.nc")} == {
        "rsa_NH2015_All.nc",
        "rsa_NH2015_Primary.nc",
    }
    csv, parquet = (
        pd.read_csv(folder / "tables" / "participants.csv"),
        pd.read_parquet(folder / "tables" / "participants.parquet"),
    )
    pd.testing.assert_frame_equal(csv, parquet, check_dtype=False)
    for name, roi in ((ALL_VOXELS_FILE, "All"), (BEST_LAYER_FILE, "Primary")):
        again = read_published_rsa(folder / name)["NH2015", roi]
        stored = read_analysis(folder, "NH2015", roi)
        for variable in (
            "best_layer_rsa_median_across_splits",
            "best_layer_idx",
            "all_data_corr_mat_fmri",
            "model_layers",
        ):
            np.testing.assert_array_equal(again[variable].values, stored[variable].values)
    assert main(arguments) == 0
    assert "loaded: 6 results" in capsys.readouterr().out


def test_a_file_that_is_not_a_published_result_is_refused(tmp_path):
    for content in (
        {"NH2015": {"neither": {}}},
        {"NH2015": {"trained": {"m": {"participant_1": {"split_0": {}}}}}},
        [1],
    ):
        pd.to_pickle(content, tmp_path / "x.pckl")
        with pytest.raises(InputError, match=r"x\.pckl"):
            read_published_rsa(tmp_path / "x.pckl")

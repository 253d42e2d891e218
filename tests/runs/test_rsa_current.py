"""An RSA result is current while the data that it was made from are there, whole and its own. And
equal results are equal files, in whatever pieces they were made.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from aud_dnn.analyze.figure_options import FigureOptions
from aud_dnn.analyze.rsa_panels import figure_2_rsa
from aud_dnn.errors import DamagedFileError, MissingDataError
from aud_dnn.io import digests
from aud_dnn.paths import ProjectPaths, find_root
from aud_dnn.runs import comparison_origins, own_targets
from aud_dnn.runs.comparison_origins import Origins
from aud_dnn.runs.comparison_report import ComparisonRun
from aud_dnn.runs.comparisons import run_comparison
from aud_dnn.store.comparison_parts import (
    model_part_path,
    neural_part_path,
    read_score_part,
    score_part_path,
)
from aud_dnn.store.comparisons import analysis_path, read_analysis
from aud_dnn.store.layer_dimensionality import layer_dimensionality
from aud_dnn.store.published_rsa import ALL_VOXELS_FILE, read_rsa, write_published_rsa
from aud_dnn.tables.comparison_dimensionality import model_parts
from aud_dnn.tables.comparisons import all_tables, write_tables

KELL = ("NH2015", "All", "Kell2018word", "trained")


def small(paths: ProjectPaths, **changes) -> ComparisonRun:
    return run_comparison(
        paths,
        **{
            "targets": ("NH2015",),
            "rois": ("All",),
            "models": ("Kell2018word", "spectemp"),
            "conditions": ("trained",),
            "jobs": 1,
            "progress": False,
            **changes,
        },
    )


@pytest.fixture(scope="module")
def finished(demo_root, tmp_path_factory) -> Path:
    """A root with the results of :func:`small`. Do not write to it."""
    root = tmp_path_factory.mktemp("current") / "root"
    shutil.copytree(demo_root, root)
    small(find_root(root), rois=("All", "Primary"))
    return root


@pytest.fixture
def paths(finished, tmp_path) -> ProjectPaths:
    shutil.copytree(finished, tmp_path / "root")
    return find_root(tmp_path / "root")


def computed(run: ComparisonRun) -> set[tuple[str, str]]:
    return {(unit.model, unit.roi) for unit in run.report.computed}


def keep_times(path: Path, change: Callable[[Path], None], *, older: bool = False) -> None:
    before = path.stat()
    change(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns - older * 10**12))


# --- what it was made from ----------------------------------------------------------------------


def shuffle_responses(path: Path) -> None:
    np.save(path, np.load(path)[np.random.default_rng(0).permutation(165)])


def shuffle_regions(path: Path) -> None:
    table = pd.read_pickle(path)
    table["roi_label_general"] = np.random.default_rng(0).permutation(
        table["roi_label_general"].to_numpy()
    )
    table.to_pickle(path)


def exchange_categories(path: Path) -> None:
    records = np.load(path)
    field = "cat_assignment" if "cat_assignment" in records.dtype.names else records.dtype.names[4]
    records[field] = records[field][::-1]
    np.save(path, records)


@pytest.mark.parametrize(
    ("name", "change", "what", "older"),
    [
        ("voxel_features_array.npy", shuffle_responses, "responses", False),
        ("df_roi_meta.pkl", shuffle_regions, "metadata", False),
        ("neural_stim_meta.npy", exchange_categories, "stimuli", True),
    ],
)
def test_other_neural_data_are_noticed_even_if_nothing_is_left_to_compute(
    paths, name, change, what, older
):
    before = small(paths, rois=("All", "Primary"))
    assert len(before.report.loaded) == 4 and not before.report.notes
    keep_times(paths.neural("NH2015") / name, change, older=older)
    [note, *_] = Origins(paths).changes(before.datasets["NH2015", "All"])
    assert what in note and "rsa_matrix_calculation_all_models" in note
    run = small(paths, rois=("All", "Primary"))
    assert len(run.report.computed) == 4 and any(
        what in note and "NH2015" in note for note in run.report.notes
    )
    scratch = small(paths, rois=("All", "Primary"), overwrite=True)
    for pair, dataset in run.datasets.items():
        assert dataset.identical(scratch.datasets[pair])
    assert not run.datasets["NH2015", "Primary"].equals(before.datasets["NH2015", "Primary"])
    assert not small(paths, rois=("All", "Primary")).report.computed


def new_values(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["relu2"][:] = np.random.default_rng(0).standard_normal(file["relu2"].shape)


def kell(paths: ProjectPaths) -> Path:
    return paths.activations / "Kell2018word" / "natsound_activations.h5"


@pytest.mark.parametrize("older", [False, True])
def test_other_activations_are_noticed_whatever_their_time(paths, older):
    keep_times(kell(paths), new_values, older=older)
    [note] = Origins(paths).changes(read_analysis(paths.rsa_results, "NH2015"))
    assert "Kell2018word" in note and "spectemp" not in note
    run = small(paths)
    assert computed(run) == {("Kell2018word", "All")} and any(
        "activations of Kell2018word" in n for n in run.report.notes
    )
    assert run.datasets["NH2015", "All"].identical(
        small(paths, overwrite=True).datasets["NH2015", "All"]
    )


def test_layers_in_another_order_are_other_activations(paths, monkeypatch):
    spec = own_targets.open_activations

    def reversed_layers(*arguments, **named):
        opened = spec(*arguments, **named)
        opened.layers = opened.layers[::-1]
        return opened

    now = Origins(paths).activations("Kell2018word", "trained", "NH2015")
    monkeypatch.setattr(own_targets, "open_activations", reversed_layers)
    assert Origins(paths).activations("Kell2018word", "trained", "NH2015") != now


def test_a_new_time_alone_changes_nothing(paths):
    for path in (kell(paths), paths.neural("NH2015") / "voxel_features_array.npy"):
        os.utime(path)
    run = small(paths)
    assert not run.report.computed and not run.report.notes


def test_untouched_files_are_not_read_again(paths, monkeypatch):
    monkeypatch.setattr(digests, "_SETTLED_NS", 0)
    small(paths)
    monkeypatch.setattr(
        comparison_origins, "activations_digest", lambda layers: pytest.fail("read again")
    )
    monkeypatch.setattr(
        comparison_origins, "load_target", lambda *arguments: pytest.fail("read again")
    )
    assert len(small(paths).report.loaded) == 2


def test_the_report_and_the_dataset_agree(paths):
    """A model whose activations changed is left out of a run for another, with a note, and comes
    back.
    """
    keep_times(kell(paths), new_values, older=True)
    alone = small(paths, models=("spectemp",))
    dataset = alone.datasets["NH2015", "All"]
    assert (
        [unit.model for unit in alone.report.loaded]
        == ["spectemp"]
        == dataset["model"].values.tolist()
    )
    assert any(
        "left out" in note and "--models Kell2018word" in note for note in alone.report.notes
    )
    both = small(paths)
    assert computed(both) == {("Kell2018word", "All")} and len(both.report.loaded) == 1
    assert both.datasets["NH2015", "All"]["model"].values.tolist() == ["Kell2018word", "spectemp"]
    shutil.copy(analysis_path(paths.rsa_results, "NH2015", "All"), paths.root / "kept")
    small(paths, models=("DCASE2020",))
    shutil.copy(
        paths.root / "kept", analysis_path(paths.rsa_results, "NH2015", "All")
    )  # an earlier file comes back
    again = small(paths, models=("DCASE2020",))
    assert not again.report.computed and again.datasets["NH2015", "All"].sizes["model"] == 3


# --- whole, and its own -------------------------------------------------------------------------


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def other_part(paths: ProjectPaths) -> None:
    shutil.copy(
        score_part_path(paths.rsa_results, "NH2015", "All", "spectemp", "trained"),
        score_part_path(paths.rsa_results, *KELL),
    )


def other_region(paths: ProjectPaths) -> None:
    shutil.copy(
        score_part_path(paths.rsa_results, "NH2015", "Primary", "Kell2018word", "trained"),
        score_part_path(paths.rsa_results, *KELL),
    )


def other_neural(paths: ProjectPaths) -> None:
    shutil.copy(
        neural_part_path(paths.rsa_results, "NH2015", "Primary"),
        neural_part_path(paths.rsa_results, "NH2015", "All"),
    )


@pytest.mark.parametrize(
    "spoil",
    [
        other_part,
        other_region,
        other_neural,
        lambda paths: flip(score_part_path(paths.rsa_results, *KELL)),
        lambda paths: score_part_path(paths.rsa_results, *KELL).write_bytes(b"PK"),
        lambda paths: flip(neural_part_path(paths.rsa_results, "NH2015", "All")),
        lambda paths: flip(model_part_path(paths.rsa_results, "Kell2018word", "trained")),
        lambda paths: model_part_path(paths.rsa_results, "Kell2018word", "trained").unlink(),
    ],
)
def test_a_part_that_is_damaged_lost_or_anothers_is_computed_again(paths, spoil):
    before = contents(paths.rsa_results)
    spoil(paths)
    run = small(paths)
    assert ("Kell2018word", "All") in computed(run) and not run.report.failed
    assert contents(paths.rsa_results) == before


def test_readers_refuse_what_is_damaged_or_anothers(paths):
    other_part(paths)
    with pytest.raises(DamagedFileError, match=r"spectemp.*not of Kell2018word.*rsa_matrix"):
        read_score_part(paths.rsa_results, *KELL)
    shutil.copy(
        model_part_path(paths.rsa_results, "spectemp", "trained"),
        model_part_path(paths.rsa_results, "Kell2018word", "trained"),
    )
    with pytest.raises(DamagedFileError, match="rsa_matrix"):
        layer_dimensionality(paths, ["Kell2018word"], "trained", "raw")
    shutil.copy(
        analysis_path(paths.rsa_results, "NH2015", "Primary"),
        analysis_path(paths.rsa_results, "NH2015", "All"),
    )
    with pytest.raises(DamagedFileError, match="NH2015 Primary, not of NH2015 All"):
        read_rsa(paths, "NH2015")


def test_dimensionality_of_other_activations_is_said(paths):
    assert layer_dimensionality(paths, ["Kell2018word", "spectemp"], "trained", "raw")[1] == []
    keep_times(kell(paths), new_values, older=True)
    [note] = layer_dimensionality(paths, ["Kell2018word", "spectemp"], "trained", "raw")[1]
    assert "Kell2018word" in note and "--models Kell2018word" in note


def test_published_files_are_read_again_when_their_content_changes(paths):
    one = small(paths, models=("spectemp",))
    path = paths.results / "RSA" / ALL_VOXELS_FILE
    write_published_rsa(path.parent, one.datasets)
    for file in paths.rsa_results.glob("*.nc"):
        file.unlink()
    assert read_rsa(paths, "NH2015").sizes["model"] == 2

    def replace(path: Path) -> None:
        dataset = one.datasets["NH2015", "All"].isel(model=[0])
        write_published_rsa(path.parent, {("NH2015", "All"): dataset})

    keep_times(path, replace)
    assert read_rsa(paths, "NH2015").sizes["model"] == 1
    path.unlink()
    with pytest.raises(MissingDataError):
        read_rsa(paths, "NH2015")


# --- what figures say ---------------------------------------------------------------------------


def test_figures_say_that_data_have_changed_and_what_can_be_done(paths):
    options = FigureOptions(own_models=("mymodel",), targets=("NH2015",), conditions=(False, True))
    keep_times(kell(paths), new_values, older=True)
    notes = figure_2_rsa(paths, options).notes
    assert any("activations of Kell2018word (trained) have changed" in note for note in notes)
    assert any(
        "No trained RSA results of mymodel" in note and "--models mymodel" in note for note in notes
    )
    [permuted] = [note for note in notes if "No permuted RSA results of mymodel" in note]
    assert (
        "natsound_activations_randnetw.h5" in permuted and "rsa_matrix_calculation" not in permuted
    )


# --- order --------------------------------------------------------------------------------------


def content(path: Path) -> bytes | str:
    """Of a netCDF file what it holds: old versions of HDF5 leave chance bytes between the data."""
    if path.suffix != ".nc":
        return path.read_bytes()
    with xr.open_dataset(path) as dataset:
        return str(dataset.to_dict())


def contents(folder: Path) -> dict[str, bytes | str]:
    return {
        str(path.relative_to(folder)): content(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


WHOLE = {
    "rois": ("All", "Primary"),
    "conditions": ("trained", "permuted"),
    "models": ("Kell2018word", "spectemp", "mymodel"),
}


def with_tables(paths: ProjectPaths, **changes) -> dict[str, bytes | str]:
    run = small(paths, **{**WHOLE, **changes})
    write_tables(
        paths.rsa_results / "tables",
        all_tables(run.datasets, model_parts(paths.rsa_results, run.datasets)),
    )
    return contents(paths.rsa_results)


def test_a_run_in_pieces_leaves_the_files_of_a_run_in_one_go(demo_root, tmp_path):
    roots = {}
    for name in ("once", "pieces"):
        shutil.copytree(demo_root, tmp_path / name)
        roots[name] = find_root(tmp_path / name)
    once = with_tables(roots["once"], jobs=2)
    pieces = roots["pieces"]
    small(pieces, **{**WHOLE, "rois": ("Primary",), "models": ("mymodel", "spectemp")})
    small(pieces, **{**WHOLE, "conditions": ("permuted",), "models": ("Kell2018word",)})
    small(pieces, **{**WHOLE, "rois": ("All",), "models": ("spectemp", "Kell2018word")})
    score_part_path(pieces.rsa_results, "NH2015", "Primary", "Kell2018word", "permuted").unlink()
    neural_part_path(pieces.rsa_results, "NH2015", "All").unlink()
    analysis_path(pieces.rsa_results, "NH2015", "Primary").unlink()
    assert (
        with_tables(pieces, rois=("Primary", "All"), models=("mymodel", "spectemp", "Kell2018word"))
        == once
    )
    assert {"tables/participants.csv", "tables/participants.parquet", "rsa_NH2015_All.nc"} <= set(
        once
    )


def test_datasets_stand_in_one_order_whatever_was_computed_or_asked_first(paths):
    run = small(paths, targets=("B2021", "NH2015"), rois=("Primary", "All"), models=("spectemp",))
    assert {unit.target for unit in run.report.computed} == {"B2021"}
    assert {unit.target for unit in run.report.loaded} == {"NH2015"}
    assert list(run.datasets) == [
        (target, roi) for target in ("NH2015", "B2021") for roi in ("All", "Primary")
    ]


def test_a_table_that_is_empty_now_leaves_nothing_of_an_earlier_run(tmp_path):
    table = pd.DataFrame({"a": [1]})
    write_tables(tmp_path, {"one": table, "two": table})
    write_tables(tmp_path, {"one": table, "two": table.iloc[:0]})
    assert {path.name for path in tmp_path.iterdir()} == {"one.csv", "one.parquet"}

"""Predictions that were not stored come back from activations, responses and chosen alphas."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import roots
from made_targets import MODEL

from aud_dnn.AUD_main import main
from aud_dnn.errors import MissingDataError
from aud_dnn.paths import ProjectPaths
from aud_dnn.store.regression import read_result
from aud_dnn.store.regression_names import result_folder


@pytest.fixture
def root(own_root: Path, tmp_path: Path) -> Path:
    """Voxels with two repetitions, and sensors at five times, with predictions."""
    ignore = shutil.ignore_patterns("results")
    root = Path(shutil.copytree(own_root, tmp_path / "root", ignore=ignore))
    targets = [str(root / "voxels90.nc"), str(root / "sensors.nc")]
    arguments = ["--source_model", MODEL, "--source_layer", "late", "--target", *targets]
    assert main(["--root", str(root), *arguments]) == 0
    return root


def folder_of(root: Path, target: str) -> Path:
    return result_folder(ProjectPaths(root), MODEL, "late", target, False, 50)


def sd_per_voxel(predictions: np.ndarray) -> np.ndarray:
    return np.nanstd(predictions, axis=(0, 1))


@pytest.mark.parametrize("target", ["voxels90", "sensors"])
@pytest.mark.parametrize("rescaled", [False, True])
def test_they_are_those_of_the_fit(root: Path, target: str, rescaled: bool) -> None:
    folder = folder_of(root, target)
    stored = read_result(folder).predictions(rescaled=rescaled)
    some = [3, 0, 3]
    picked = read_result(folder).predictions(rescaled=rescaled, rows=some)
    (folder / "y_preds.nc").unlink()
    remade = read_result(folder).predictions(rescaled=rescaled)
    np.testing.assert_array_equal(np.isnan(remade), np.isnan(stored))
    # stored with 24 bits; a level takes some of them
    bound = 2.0**-22 * np.nanmax(np.abs(stored), axis=(0, 1))
    assert np.all(np.nanmax(np.abs(remade - stored), axis=(0, 1)) <= bound)
    assert np.all(bound < 1e-3 * sd_per_voxel(stored))
    again = read_result(folder).predictions(rescaled=rescaled, rows=some)
    assert np.all(np.nanmax(np.abs(again - picked), axis=(0, 1)) <= bound[some])


def other_activations(root: Path) -> None:
    with h5py.File(root / "model-actv" / MODEL / "natsound_activations.h5", "r+") as file:
        file["late"][0, 0] += 1.0


def no_activations(root: Path) -> None:
    shutil.rmtree(root / "model-actv" / MODEL)


def other_responses(root: Path) -> None:
    with h5py.File(root / "voxels90.nc", "r+") as file:
        file["responses"][0, 0] += 1.0


def no_responses(root: Path) -> None:
    (root / "voxels90.nc").unlink()


def other_place(root: Path) -> None:
    shutil.copytree(root / "results" / MODEL, root / "elsewhere" / MODEL)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (other_activations, "the activations are other ones now"),
        (no_activations, MODEL),
        (other_responses, "the responses are other ones now"),
        (no_responses, r"voxels90\.nc"),
    ],
)
def test_of_other_input_none_are_made(root: Path, spoil, says: str) -> None:
    folder = folder_of(root, "voxels90")
    (folder / "y_preds.nc").unlink()
    before = roots.snapshot(folder)
    spoil(root)
    with pytest.raises(MissingDataError, match=f"cannot be made again: .*{says}.*--save_preds"):
        read_result(folder).predictions()
    assert roots.snapshot(folder) == before


def test_a_result_elsewhere_says_what_it_needs(root: Path) -> None:
    (folder_of(root, "voxels90") / "y_preds.nc").unlink()
    other_place(root)
    folder = root / "elsewhere" / MODEL / folder_of(root, "voxels90").name
    with pytest.raises(MissingDataError, match="not lie in the results folder of a root"):
        read_result(folder).predictions()

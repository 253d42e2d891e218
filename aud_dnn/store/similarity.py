"""Ten measures of similarity of a model and a target, on disk.

``results/<model>/similarity/<target>_<region>_<condition>.nc`` (netCDF-4):

* ``scores`` (layer, measure, participant), ``ceilings`` (measure, participant),
* ``null`` (measure, draw): layers with their sounds in random order, mean over participants,
* the attribute ``made_from``: a digest of everything that went in.

A file is written whole, with its checksum behind its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import numpy as np

from aud_dnn.conditions import Condition
from aud_dnn.errors import DamagedFileError
from aud_dnn.io.atomic import atomic_file
from aud_dnn.io.files import h5_dataset, open_h5, require_seal, seal
from aud_dnn.io.h5_structure import h5_array
from aud_dnn.io.netcdf import write_netcdf
from aud_dnn.paths import ProjectPaths

if TYPE_CHECKING:
    import h5py

FOLDER = "similarity"
_ARRAYS = ("scores", "ceilings", "null")


def similarity_path(
    paths: ProjectPaths, model: str, target: str, part: str, randnetw: bool
) -> Path:
    """The file of one model, target and region."""
    name = f"{target}_{quote(part, safe='')}_{Condition.of(randnetw).value}.nc"
    return paths.results / model / FOLDER / name


def write_similarity(
    path: Path,
    arrays: dict[str, np.ndarray],
    *,
    layers: Sequence[str],
    measures: Sequence[str],
    participants: Sequence[str],
    made_from: str,
) -> None:
    """Write one file, whole or not at all; ``arrays`` are named as in the module's text."""
    import xarray as xr

    dims = {
        "scores": ("layer", "measure", "participant"),
        "ceilings": ("measure", "participant"),
        "null": ("measure", "draw"),
    }
    dataset = xr.Dataset(
        {name: (dims[name], arrays[name]) for name in _ARRAYS},
        coords={
            "layer": list(layers),
            "measure": list(measures),
            "participant": list(participants),
        },
        attrs={"made_from": made_from},
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as staging:
        write_netcdf(staging, dataset, {})
        seal(staging)


def read_similarity(
    path: Path, shape: tuple[int, int, int], made_from: str
) -> dict[str, np.ndarray] | None:
    """The arrays, if they are there and were made from just this.

    Parameters
    ----------
    path : Path
    shape : tuple
        Numbers of layers, measures and participants.
    made_from : str

    Raises
    ------
    DamagedFileError
        The file is not as it was written.
    """
    if not path.is_file():
        return None
    require_seal(path)
    with open_h5(path) as file:
        if file.attrs.get("made_from") != made_from:
            return None
        found = {name: _array(file, path, name) for name in _ARRAYS}
    expected = (shape, shape[1:])
    if (found["scores"].shape, found["ceilings"].shape) != expected:
        raise DamagedFileError(
            f"{path} is about other layers or participants. Remove it; it is made again."
        )
    return found


def _array(file: h5py.File, path: Path, name: str) -> np.ndarray:
    dataset = h5_dataset(file, name)
    if dataset is None or dataset.dtype.kind != "f":
        raise DamagedFileError(
            f"{path} lacks {name}, or it is no array of numbers. Remove the file; it is made again."
        )
    return np.asarray(h5_array(dataset), dtype=np.float64)

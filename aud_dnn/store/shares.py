"""What several feature spaces explain of a target, on disk: a file per layer, target and spaces.

``results/<model>/unique_variance/<target>_<layer>_against-<spaces>_<condition>.nc``, netCDF-4, with
the dimensions ``spaces`` (every set of them), ``voxel`` and ``split``:

* ``r2_test``, ``r2_test_c``, ``explained``, ``explained_c``, ``loo_r2_train``, ``alphas``
  (:class:`aud_dnn.methods.ridge.banded.SubsetScores`),
* ``weight`` (spaces, voxel, split, space): the chosen γ,
* ``voxel_id``, and the attribute ``made_from``: a digest of everything that went in.

A file is written whole, with its checksum behind its end, and computed again when anything that it
was made from changes.
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
from aud_dnn.methods.ridge.banded import Subset, SubsetScores, mixtures, subsets
from aud_dnn.paths import ProjectPaths

if TYPE_CHECKING:
    import h5py

_SCORES = ("r2_test", "r2_test_c", "explained", "explained_c", "loo_r2_train", "alphas")
_PACKED = {"zlib": True, "complevel": 1, "shuffle": True}
_MADE_FROM = "made_from"


def shares_folder(paths: ProjectPaths, model: str) -> Path:
    """Where the files and tables of a model lie."""
    return paths.results / model / "unique_variance"


def shares_path(
    paths: ProjectPaths, model: str, layer: str, target: str, against: Sequence[str], randnetw: bool
) -> Path:
    """The file of one layer; ``against`` are ``model:layer`` of the other spaces."""
    others = "+".join(quote(one, safe="") for one in against)
    name = f"{target}_{quote(layer, safe='')}_against-{others}_{Condition.of(randnetw).value}.nc"
    return shares_folder(paths, model) / name


def write_shares(
    path: Path,
    found: dict[Subset, SubsetScores],
    names: Sequence[str],
    voxel_ids: np.ndarray,
    made_from: str,
) -> None:
    """Write one file, whole or not at all.

    Parameters
    ----------
    path : Path
    found : dict
        From :func:`aud_dnn.methods.ridge.banded.score_spaces`.
    names : sequence of str
        Of the spaces.
    voxel_ids : array of shape (n_voxels,)
    made_from : str
        A digest of everything that went in.
    """
    import xarray as xr

    grid = mixtures(len(names))
    dims = ("spaces", "voxel", "split")
    variables = {
        name: (dims, np.stack([getattr(one, name) for one in found.values()])) for name in _SCORES
    }
    weights = np.stack([grid[one.mixture] for one in found.values()])
    dataset = xr.Dataset(
        {**variables, "weight": ((*dims, "space"), weights.astype(np.float32))},
        coords={
            "spaces": [" + ".join(names[place] for place in members) for members in found],
            "space": list(names),
            "voxel_id": ("voxel", np.asarray(voxel_ids)),
        },
        attrs={_MADE_FROM: made_from},
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as staging:
        write_netcdf(staging, dataset, dict.fromkeys((*_SCORES, "weight"), _PACKED))
        seal(staging)


def is_current(path: Path, made_from: str) -> bool:
    """Whether the file is there, undamaged, and made from just this."""
    if not path.is_file():
        return False
    require_seal(path)
    with open_h5(path) as file:
        return file.attrs.get(_MADE_FROM) == made_from


def read_shares(path: Path, n_spaces: int, n_voxels: int) -> dict[Subset, dict[str, np.ndarray]]:
    """The scores of every set of spaces, each of shape (n_voxels, n_splits).

    Raises
    ------
    DamagedFileError
        The file is not as it was written, or about other spaces or voxels.
    """
    require_seal(path)
    members = subsets(n_spaces)
    with open_h5(path) as file:
        values = {name: _values(file, path, name) for name in _SCORES}
    for name, value in values.items():
        if value.shape[:2] != (len(members), n_voxels):
            raise DamagedFileError(
                f"{path}: {name} is about {value.shape[:2]} sets of spaces and voxels; expected "
                f"{(len(members), n_voxels)}. Remove the file; it is made again."
            )
    return {
        one: {name: value[place] for name, value in values.items()}
        for place, one in enumerate(members)
    }


def read_mixtures(path: Path, n_spaces: int) -> dict[Subset, np.ndarray]:
    """The mixture of every voxel and split, rows of :func:`aud_dnn.methods.ridge.banded.mixtures`.

    Of a file that :func:`read_shares` has read.
    """
    with open_h5(path) as file:
        dataset = h5_dataset(file, "weight")
        if dataset is None or dataset.ndim != 4 or dataset.shape[-1] != n_spaces:
            raise DamagedFileError(
                f"{path} lacks weight, the mixtures of the spaces. Remove the file; it is made "
                "again."
            )
        weight = np.asarray(h5_array(dataset))
    place = np.zeros(weight.shape[:-1], dtype=int)
    for number, mixture in enumerate(mixtures(n_spaces)):  # stored in single precision
        place[np.abs(weight - mixture).max(axis=-1) < 1e-6] = number
    return dict(zip(subsets(n_spaces), place))


def _values(file: h5py.File, path: Path, name: str) -> np.ndarray:
    dataset = h5_dataset(file, name)
    if dataset is None or dataset.ndim != 3 or dataset.dtype.kind != "f":
        raise DamagedFileError(
            f"{path} lacks {name}, or it is no array of numbers. Remove the file; it is made again."
        )
    return np.asarray(h5_array(dataset), dtype=np.float64)

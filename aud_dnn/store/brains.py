"""What other brains predict of a target, on disk: ``results/brains/<target>.nc`` (netCDF-4).

``by_source`` (source, voxel) and ``together`` (voxel), see
:class:`aud_dnn.methods.brains.BrainScores`; ``source``, the labels of the participants;
``voxel_id``. The attribute ``made_from`` is a digest of everything that went in, and the checksum
of the file stands behind its end.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from aud_dnn.errors import DamagedFileError
from aud_dnn.io.atomic import atomic_file
from aud_dnn.io.files import h5_dataset, open_h5, require_seal, seal
from aud_dnn.io.h5_structure import h5_array
from aud_dnn.io.netcdf import write_netcdf
from aud_dnn.methods.brains import BrainScores
from aud_dnn.paths import ProjectPaths


def brains_folder(paths: ProjectPaths) -> Path:
    """Where files and tables lie."""
    return paths.results / "brains"


def write_brains(path: Path, found: BrainScores, voxel_ids: np.ndarray, made_from: str) -> None:
    """Write one file, whole or not at all."""
    import xarray as xr

    dataset = xr.Dataset(
        {
            "by_source": (("source", "voxel"), found.by_source),
            "together": (("voxel",), found.together),
        },
        coords={
            "source": [str(label) for label in found.participants],
            "voxel_id": ("voxel", np.asarray(voxel_ids)),
        },
        attrs={"made_from": made_from},
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as staging:
        write_netcdf(staging, dataset, {"by_source": {"zlib": True, "complevel": 1}})
        seal(staging)


def read_brains(path: Path, owner: np.ndarray, made_from: str) -> BrainScores | None:
    """The scores, if they are there and were made from just this.

    Parameters
    ----------
    path : Path
    owner : array of shape (n_voxels,)
        The participant of each voxel.
    made_from : str

    Raises
    ------
    DamagedFileError
        The file is not as it was written.
    """
    if not path.is_file():
        return None
    require_seal(path)
    participants = np.unique(owner)
    with open_h5(path) as file:
        if file.attrs.get("made_from") != made_from:
            return None
        stored = [h5_dataset(file, name) for name in ("by_source", "together")]
        shapes = [None if one is None else one.shape for one in stored]
        if shapes != [(len(participants), len(owner)), (len(owner),)]:
            raise DamagedFileError(f"{path} is about other voxels. Remove it; it is made again.")
        return BrainScores(participants, *(np.asarray(h5_array(one), float) for one in stored))

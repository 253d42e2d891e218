"""Targets of one's own.

Responses of any brain to any sounds, from arrays, a netCDF file, or a folder of plain files.

**The file** (netCDF-4, which is HDF5; ``xarray`` reads and writes it). One variable ``responses``
of dimensions ``stimulus, neuroid[, repetition][, time]``, in any order, with

* ``stimulus`` (stimulus): sound ids, as in the activations; optional ``category`` and ``group``
  (stimulus);
* ``neuroid`` (neuroid): ids of voxels, electrodes, sensors, components; optional ``participant``,
  ``region`` and any
  other column (neuroid);
* ``time`` (time), increasing, where there is a time axis: seconds from the beginning of the sound;
* optional masks ``train`` and ``test`` (split, stimulus), 0 and 1;
* optional attributes ``name``, ``what``, ``unit``, ``source``, ``licence``.

**The folder**: ``responses.npy`` of shape sounds × neuroids [× repetitions] [× times];
``stimuli.csv`` with the columns ``stimulus`` [``category``, ``group``]; ``neuroids.csv`` with one
row per neuroid [``neuroid``, ``participant``, ``region``, …]; ``times.csv`` with the column
``time`` where there is a time axis.

In results and tables ``participant`` and ``region`` have the names of the published tables,
``subj_idx`` and ``roi_label_general``. With a time axis every neuroid and time point is a row, with
the columns ``neuroid`` and ``time``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aud_dnn.errors import DamagedFileError, InputError, few
from aud_dnn.io.atomic import atomic_file
from aud_dnn.io.digests import combined_digest, file_digest
from aud_dnn.io.files import h5_dataset, open_h5, read_npy, require_file
from aud_dnn.io.h5_structure import h5_array, require_dimension_lists, require_honest_chunks
from aud_dnn.io.netcdf import write_netcdf
from aud_dnn.splits import Splits, given_splits
from aud_dnn.targets.arrays import ABOUT, NAMES_IN_RESULTS, RESPONSES, target_from_arrays
from aud_dnn.targets.loading import Target

if TYPE_CHECKING:
    import pandas as pd

_LARGEST_TABLE = 256 << 20  # bytes of a csv


def read_target(path: str | Path, *, published: Sequence[str] = ()) -> Target:
    """A target from a netCDF file or a folder (see the module's notes).

    Its name, where none is stored, is the file's.

    Parameters
    ----------
    path : str or Path
    published : sequence of str, optional
        See :func:`target_from_arrays`.

    Raises
    ------
    InputError
        Anything that is not as described; the message names file and field.

    Examples
    --------
    See :func:`aud_dnn.write_target`.
    """
    path = Path(path)
    if path.is_dir():
        return _read_folder(path, published)
    require_file(
        path,
        "A target is a netCDF file or a folder with responses.npy, stimuli.csv and neuroids.csv.",
    )
    return _read_netcdf(path, published)


def content_digest(path: Path) -> str:
    """Digest of a target's file, or of all files of its folder."""
    if path.is_file():
        return file_digest(path)
    files = sorted(file for file in path.iterdir() if file.suffix in (".npy", ".csv"))
    return combined_digest(f"{file.name} {file_digest(file)}" for file in files)


def _read_netcdf(path: Path, published: Sequence[str]) -> Target:
    with path.open("rb") as file:
        if file.read(3) == b"CDF":
            raise InputError(
                f"{path} is a netCDF-3 file. Save it as netCDF-4, for example with "
                "aud_dnn.write_target or xarray's to_netcdf(engine='h5netcdf')."
            )
    with open_h5(path) as file:
        for name in file:  # nothing that is a link, lies elsewhere, or expands without bound
            dataset = h5_dataset(file, name)
            if dataset is not None:
                require_dimension_lists(dataset)
            if dataset is not None and dataset.dtype.kind == "O":
                h5_array(dataset)
            elif dataset is not None:
                require_honest_chunks(dataset)
    import xarray as xr

    try:
        dataset = xr.load_dataset(path, engine="h5netcdf")
    except Exception as error:  # xarray and h5netcdf raise many kinds on garbage
        raise DamagedFileError(
            f"{path} cannot be read as netCDF ({type(error).__name__}: {error}). Write it with "
            "aud_dnn.write_target."
        ) from error
    if RESPONSES not in dataset:
        raise InputError(
            f"{path} has no variable {RESPONSES}; it has "
            f"{few(list(map(str, dataset.data_vars)), 6) or 'none'}."
        )
    responses = dataset[RESPONSES]
    if "stimulus" not in dataset.coords:
        raise InputError(f"{path} has no coordinate stimulus with the ids of the sounds.")

    def along(dim: str) -> dict[str, np.ndarray]:
        return {
            str(name): variable.to_numpy()
            for name, variable in dataset.variables.items()
            if variable.dims == (dim,) and name != RESPONSES
        }

    stimuli, neuroids = along("stimulus"), along("neuroid")
    splits = None
    if "train" in dataset:
        try:
            masks = [
                dataset[name].transpose("split", "stimulus").to_numpy()
                for name in ("train", "test")
                if name in dataset
            ]
            splits = _described(given_splits(*masks), dataset["train"].attrs)
        except (ValueError, InputError) as error:
            raise InputError(f"{path}: {error}") from error
    return target_from_arrays(
        responses.to_numpy(),
        stimuli["stimulus"],
        name=str(dataset.attrs.get("name", _name_of(path))),
        neuroids=neuroids or None,
        dims=responses.dims,
        times=dataset["time"].to_numpy() if "time" in dataset.coords else None,
        categories=stimuli.get("category"),
        groups=stimuli.get("group"),
        splits=splits,
        about={name: str(dataset.attrs[name]) for name in ABOUT if name in dataset.attrs},
        published=published,
        where=str(path),
    )


def _described(splits: Splits, attributes: Mapping[str, Any]) -> Splits:
    """Splits of a file, with how they were made where :func:`write_target` has said so."""
    kind, seed = str(attributes.get("kind", "")), attributes.get("seed")
    if not kind.startswith("random halves") or not isinstance(seed, int | np.integer):
        return splits
    return replace(splits, kind=kind[:60], seed=int(seed))


def _name_of(path: Path) -> str:
    """The name of a file or folder as the name of a target."""
    return (
        re.sub(r"[^A-Za-z0-9.+-]+", "-", path.stem if path.is_file() else path.name).strip("-.+")[
            :60
        ]
        or "target"
    )


def _read_folder(folder: Path, published: Sequence[str]) -> Target:
    remedy = "A folder with a target holds responses.npy, stimuli.csv and neuroids.csv."
    responses = read_npy(require_file(folder / "responses.npy", remedy))
    stimuli = _read_csv(folder / "stimuli.csv", "stimulus", remedy)
    neuroids = _read_csv(folder / "neuroids.csv", None, remedy)
    times_path = folder / "times.csv"
    times = (
        _read_csv(times_path, "time", remedy)["time"].to_numpy() if times_path.is_file() else None
    )
    columns = {name: stimuli[name].tolist() for name in ("category", "group") if name in stimuli}
    return target_from_arrays(
        responses,
        stimuli["stimulus"].tolist(),
        name=_name_of(folder),
        neuroids=neuroids,
        times=times,
        categories=columns.get("category"),
        groups=columns.get("group"),
        published=published,
        where=str(folder),
    )


def _read_csv(path: Path, needed: str | None, remedy: str) -> pd.DataFrame:
    import pandas as pd

    require_file(path, remedy)
    if path.stat().st_size > _LARGEST_TABLE:
        raise InputError(f"{path} is larger than any table of sounds or neuroids should be.")
    try:
        table = pd.read_csv(path)
    except (ValueError, UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path} cannot be read as a table ({error}).") from error
    if needed is not None and needed not in table:
        raise InputError(f"{path} has no column {needed}; it has {few(table.columns.tolist(), 6)}.")
    return table


def write_target(path: str | Path, target: Target) -> Path:
    """Write a target as a netCDF file that :func:`read_target` reads back; whole or not at all.

    Parameters
    ----------
    path : str or Path
        Ends in ``.nc`` by custom.
    target : Target

    Returns
    -------
    Path

    Examples
    --------
    >>> import aud_dnn, numpy as np, pathlib, tempfile
    >>> responses = np.random.default_rng(0).standard_normal((40, 12))
    >>> sounds = [f"sound{i}" for i in range(40)]
    >>> target = aud_dnn.Target.from_arrays(responses, sounds, name="electrodes")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = aud_dnn.write_target(pathlib.Path(folder) / "electrodes.nc", target)
    ...     again = aud_dnn.read_target(file)
    >>> bool((again.responses == target.responses).all())
    True
    """
    import xarray as xr

    path = Path(path)
    metadata = target.metadata.rename(
        columns={ours: theirs for theirs, ours in NAMES_IN_RESULTS.items()}
    ).drop(columns="voxel_id")
    values = target.responses
    dims: tuple[str, ...] = ("stimulus", "neuroid", "repetition")
    coords: dict[str, Any] = {"stimulus": list(target.stimuli.ids)}
    if "time" in metadata:
        times = metadata["time"].unique()
        values = values.reshape(len(values), -1, len(times), values.shape[2])
        metadata = metadata.iloc[:: len(times)].drop(columns="time")
        dims, coords["time"] = ("stimulus", "neuroid", "time", "repetition"), times
    if "neuroid" not in metadata:
        metadata = metadata.assign(neuroid=target.ids)
    for name in metadata:
        column = metadata[name]
        text = column.dtype.kind not in "biuf"
        coords[name] = (
            "neuroid",
            column.map(str, na_action="ignore").fillna("").tolist() if text else column.to_numpy(),
        )
    if any(target.stimuli.categories):
        coords["category"] = ("stimulus", list(target.stimuli.categories))
    variables = {RESPONSES: (dims, values, {"unit": target.about.get("unit", "")})}
    if target.splits.kind != "published":
        seed = target.splits.seed
        made = {"kind": target.splits.kind} | ({} if seed is None else {"seed": seed})
        variables |= {
            name: (("split", "stimulus"), getattr(target.splits, name).astype(np.int8), made)
            for name in ("train", "test")
        }
    dataset = xr.Dataset(
        variables, coords, {"name": target.name, "format": "aud_dnn target 1", **target.about}
    )
    with atomic_file(path) as staging:
        write_netcdf(staging, dataset, {RESPONSES: {"zlib": True, "complevel": 1, "shuffle": True}})
    return path

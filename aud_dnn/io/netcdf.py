"""netCDF-4 files, written with h5py.

xarray says what a dataset is on disk (:func:`xarray.conventions.cf_encoder`: fill values, truth
values as numbers, which variables are coordinates); only the container is made here. A file of
h5netcdf with twenty variables takes 0.1 s however small it is, since every variable asks all
dimensions for their length again; a result of six components is such a file. This takes a tenth of
that. The layout is that of the netCDF-4 format: a dimension is an HDF5 dimension scale with its
number in ``_Netcdf4Dimid``, and objects keep the order in which they were made.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import h5py
    import xarray as xr

_NO_VARIABLE = "This is a netCDF dimension but not a netCDF variable.{:10d}"


def write_netcdf(
    path: Path, dataset: xr.Dataset, encoding: Mapping[str, Mapping[str, Any]]
) -> None:
    """Write a dataset as netCDF-4.

    It is made in memory first: the HDF5 library crashes when a disk fills under it.

    Parameters
    ----------
    path : Path
    dataset : xarray.Dataset
        Numbers, truth values and text.
    encoding : mapping
        Of variables that are packed: ``zlib``, ``complevel``, ``shuffle``, ``chunksizes``.
    """
    import h5py
    from xarray import conventions

    variables, attributes = conventions.cf_encoder(*conventions.encode_dataset_coordinates(dataset))
    memory = io.BytesIO()
    with h5py.File(memory, "w", track_order=True) as file:
        _write_attributes(file, attributes)
        scales: dict[str, h5py.Dataset] = {}
        for number, (dim, length) in enumerate(dataset.sizes.items()):
            name = str(dim)
            if name in variables:
                scales[name] = _write_variable(file, name, variables[name], encoding.get(name, {}))
                scales[name].make_scale(name)
            else:
                scales[name] = file.create_dataset(name, (length,), ">f4")
                scales[name].make_scale(_NO_VARIABLE.format(length))
            scales[name].attrs["_Netcdf4Dimid"] = np.int32(number)
        for name, variable in variables.items():
            if name not in scales:
                written = _write_variable(file, name, variable, encoding.get(name, {}))
                for axis, dim in enumerate(variable.dims):
                    written.dims[axis].attach_scale(scales[dim])
    path.write_bytes(memory.getbuffer())


def _write_variable(
    file: h5py.File, name: str, variable: xr.Variable, encoding: Mapping[str, Any]
) -> h5py.Dataset:
    import h5py

    values = variable.values
    if values.dtype.kind in "UO":
        values = values.astype(object)
        dtype = h5py.string_dtype()
    else:
        dtype = values.dtype
    packed = (
        {
            "compression": "gzip",
            "compression_opts": encoding["complevel"],
            "shuffle": encoding.get("shuffle", True),
            "chunks": encoding.get("chunksizes", True),
        }
        if encoding.get("zlib") and values.size
        else {}
    )
    fill = variable.attrs.get("_FillValue")
    written = file.create_dataset(
        name, data=values, dtype=dtype, fillvalue=fill, track_order=True, **packed
    )
    _write_attributes(written, variable.attrs)
    return written


def _write_attributes(node: h5py.HLObject, attributes: Mapping[Any, Any]) -> None:
    import h5py

    for name, value in attributes.items():
        if isinstance(value, str):
            node.attrs[name] = value
            continue
        values = np.atleast_1d(value)
        if values.dtype.kind in "UO":
            node.attrs.create(name, values.astype(object), dtype=h5py.string_dtype())
        else:
            node.attrs[name] = values

"""Files that we write are those of h5netcdf: the same dataset, types and encoding when read."""

import h5py
import numpy as np
import pytest
import xarray as xr

from aud_dnn.io.netcdf import write_netcdf

PACKED = {"zlib": True, "complevel": 1, "shuffle": True}


@pytest.fixture
def dataset():
    rng = np.random.default_rng(0)
    values = rng.standard_normal((7, 3, 5))
    values[0, 1] = np.nan
    about = {"long_name": "score", "range": [0.0, 1.0], "n": 3, "names": ["a", "b"], "empty": ""}
    return xr.Dataset(
        {
            "score": (("voxel", "split", "time"), values, about),
            "single": (("voxel",), values[:, 0, 0].astype("f4")),
            "count": (("voxel", "split"), rng.integers(0, 9, (7, 3))),
            "mask": (("split", "voxel"), rng.random((3, 7)) > 0.5),
            "label": (("voxel",), np.array(["ä", "b", "", "d", "e", "f", "g"], dtype=object)),
            "name": ((), "one text"),
            "number": ((), 2.5),
            "nothing": (("none",), np.zeros(0)),
        },
        coords={
            "split": range(3),
            "time": np.linspace(0, 1, 5),
            "region": ("voxel", list("aabbbcc")),
            "target": "NH",
        },
        attrs={
            "title": "made up",
            "version": 2,
            "list": [1, 2, 3],
            "when": "",
            **{f"attribute_{i}": i for i in range(12)},
        },
    )


def test_what_is_read_is_what_h5netcdf_writes(dataset, tmp_path):
    encoding = {"score": {**PACKED, "chunksizes": (1, 3, 5)}, "count": PACKED}
    write_netcdf(tmp_path / "ours.nc", dataset, encoding)
    dataset.to_netcdf(tmp_path / "theirs.nc", engine="h5netcdf", encoding=encoding)
    ours, theirs = (
        xr.load_dataset(tmp_path / f"{name}.nc", engine="h5netcdf") for name in ("ours", "theirs")
    )
    xr.testing.assert_identical(ours, theirs)
    assert list(ours.attrs) == list(theirs.attrs)
    for name in theirs.variables:
        assert ours[name].dtype == theirs[name].dtype
        assert list(ours[name].attrs) == list(theirs[name].attrs)
        for key in ("dtype", "_FillValue", "zlib", "complevel", "shuffle", "coordinates"):
            assert str(ours[name].encoding.get(key)) == str(theirs[name].encoding.get(key)), name
    assert ours["score"].encoding["chunksizes"] == (1, 3, 5)


def test_the_container_is_netcdf4(dataset, tmp_path):
    """Dimensions are scales with numbers; every variable knows the scales of its axes."""
    write_netcdf(tmp_path / "a.nc", dataset, {})
    with h5py.File(tmp_path / "a.nc") as file:
        assert file["/"].id.get_create_plist().get_link_creation_order()
        numbers = {
            name: int(node.attrs["_Netcdf4Dimid"])
            for name, node in file.items()
            if "_Netcdf4Dimid" in node.attrs
        }
        assert numbers == {str(dim): i for i, dim in enumerate(dataset.sizes)}
        assert file["voxel"].attrs["NAME"] == (
            b"This is a netCDF dimension but not a netCDF variable.         7"
        )
        for name, variable in dataset.variables.items():
            if name not in dataset.sizes:
                axes = tuple(file[name].dims[axis][0].name[1:] for axis in range(variable.ndim))
                assert axes == variable.dims


def test_equal_datasets_are_equal_files(dataset, tmp_path):
    for name in "ab":
        write_netcdf(tmp_path / name, dataset, {"score": PACKED})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()

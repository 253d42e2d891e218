"""Pickles are opened right: the published ones, and everything that arrays, tables and datasets can
hold.
"""

from __future__ import annotations

import io
import pickle
import tarfile
import time
import warnings
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from aud_dnn.errors import UnsafePickleError
from aud_dnn.io.pickles.safe_pickle import load_pickle

PROTOCOLS = (2, 3, 4, 5)
PUBLISHED = "published_pickles/results"


# The published files


@pytest.fixture(scope="module")
def golden() -> Path:
    for folder in Path(__file__).resolve().parents:
        if (folder / "shared" / "golden" / "published_pickles.tar.gz").is_file():
            return folder / "shared" / "golden"
    pytest.skip("the reference outputs are not here")


@pytest.fixture(scope="module")
def unpacked(golden, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("golden")
    for name in ("published_pickles.tar.gz", "inputs.tar.gz"):
        with tarfile.open(golden / name) as archive:
            wanted = [member for member in archive if member.name.endswith((".pkl", ".pckl"))]
            archive.extractall(
                folder,
                members=wanted,
                **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}),
            )
    return folder


def equal(a, b) -> bool:
    """Whether two nests of plain values are equal, bit for bit and type for type (an ordered
    dictionary counts as one).
    """
    if isinstance(b, dict):
        return (
            isinstance(a, dict) and list(a) == list(b) and all(equal(a[key], b[key]) for key in b)
        )
    if type(a) is not type(b):
        return False
    if isinstance(b, list | tuple):
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b))
    if isinstance(b, np.ndarray) and b.dtype != object:
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(b, np.ndarray):
        return a.shape == b.shape and equal(a.ravel().tolist(), b.ravel().tolist())
    if isinstance(b, float | np.floating) and b != b:
        return bool(a != a)
    return bool(a == b)


def plain(path: Path):
    with warnings.catch_warnings(), path.open("rb") as file:
        warnings.simplefilter("ignore")
        return pickle.load(file)


def test_published_activations_equal_a_plain_unpickle_and_open_fast(unpacked):
    files = sorted(unpacked.glob("**/model_actv/**/*_activations*.pkl"))
    assert len(files) >= 165
    started = time.perf_counter()
    opened = [load_pickle(path) for path in files]
    # 0.1 s for 330 files of a handful of layers; the bound leaves room for a busy machine.
    assert time.perf_counter() - started < 3
    for path, content in zip(files, opened):
        assert equal(content, plain(path))


def test_an_activation_pickle_of_many_units_takes_milliseconds():
    layers = {
        f"layer{i}": np.random.default_rng(i).standard_normal(70_000).astype("f4")
        for i in range(10)
    }
    data = pickle.dumps(layers, protocol=4)
    started = time.perf_counter()
    opened = load_pickle(io.BytesIO(data))
    assert time.perf_counter() - started < 0.2  # about 2 ms
    assert equal(opened, layers)


def test_published_rsa_results_equal_a_plain_unpickle(unpacked):
    files = sorted((unpacked / PUBLISHED / "RSA").glob("*.pckl"))
    assert len(files) == 2
    for path in files:
        assert equal(load_pickle(path), plain(path))


def test_published_predictions_equal_a_plain_unpickle(unpacked):
    files = sorted((unpacked / PUBLISHED).glob("**/y_preds*.pkl"))
    assert len(files) == 4
    for path in files:
        assert equal(load_pickle(path), plain(path))


def test_published_tables_equal_a_plain_unpickle(unpacked):
    files = sorted(unpacked.glob("**/df_*.pkl"))
    assert len(files) == 7
    for path in files:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wanted = pd.read_pickle(path)
        pd.testing.assert_frame_equal(load_pickle(path, allow="tables"), wanted)


def test_published_table_equals_its_csv(unpacked, golden):
    (path,) = (unpacked / PUBLISHED).glob("**/*NH2015_SOURCE-Kell2018word-relu2*/df_output.pkl")
    table = load_pickle(path, allow="tables")
    csv = pd.read_csv(golden / "expected" / "df_output__NH2015__Kell2018word__relu2__trained.csv")
    shared = [column for column in table if column in csv and table[column].dtype.kind in "fi"]
    assert len(shared) >= 20
    for column in shared:
        # the csv has ten significant digits
        np.testing.assert_allclose(
            table[column].to_numpy(), csv[column].to_numpy(), rtol=1e-9, err_msg=column
        )


@pytest.mark.parametrize(
    "run",
    ["NH2015__Kell2018word__relu2", "NH2015comp__spectemp__avgpool", "B2021__spectemp__avgpool"],
)
def test_published_datasets_hold_the_reference_numbers(unpacked, golden, run):
    target, model, layer = run.split("__")
    (path,) = (unpacked / PUBLISHED).glob(f"**/*TARGET-{target}_SOURCE-{model}-{layer}_*/ds.pkl")
    dataset = load_pickle(path, allow="dataset")
    expected = np.load(golden / "expected" / f"ridge__{run}__trained.npz")
    n_voxels = len(expected["voxel_id"])
    assert isinstance(dataset, xr.Dataset)
    assert dict(dataset.sizes)["vox_idx"] == n_voxels and dict(dataset.sizes)["split_idx"] == 10
    np.testing.assert_array_equal(dataset["voxel_id"], expected["voxel_id"])
    np.testing.assert_array_equal(np.round(np.log10(dataset["alphas"])), expected["alpha_log10"])
    compared = [name for name in dataset.data_vars if name in expected]
    assert len(compared) >= 10
    for name in compared:
        # rtol: the reference is the same run on the same machine; only float formatting could
        # differ.
        np.testing.assert_allclose(dataset[name].values, expected[name], rtol=1e-12, err_msg=name)
    assert set(dataset["source_model"].values) == {model} and set(
        dataset["source_layer"].values
    ) == {layer}
    for half, n_sounds in (("all_train_idxs", 83), ("all_test_idxs", 82)):
        assert (
            dataset.attrs[half].shape == (165, 10)
            and (dataset.attrs[half].sum(axis=0) == n_sounds).all()
        )


# Round trips with the installed versions


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_plain_values_and_arrays_come_back_as_they_were(protocol):
    rng = np.random.default_rng(0)
    shared = [1, "two"]
    content = OrderedDict(
        plain=[
            None,
            True,
            -1,
            2**40,
            -(2**70),
            0.1,
            float("nan"),
            1 + 2j,
            "é\ud800",
            b"bytes",
            (),
            (1,),
            {"a", 2},
        ],
        keys={(1, "a"): 1, 2.5: 2, None: 3, np.int64(4): 4, b"x": 5},
        shared=[shared, shared],
        scalars=[
            np.float64(0.1),
            np.int32(-3),
            np.bool_(True),
            np.complex128(1j),
            np.str_("é"),
            np.bytes_(b"x"),
        ],
        zero_d=np.array(3.5),
        empty=np.zeros((0, 3)),
        fortran=np.asfortranarray(rng.standard_normal((3, 4))),
        permuted=rng.standard_normal((2, 3, 4)).transpose(1, 0, 2),
        strided=np.arange(20.0)[::3],
        objects=np.array([["a", None], [np.nan, 3]], dtype=object),
        objects_fortran=np.asfortranarray(
            np.array([["a", "b", "c"], ["d", "e", "f"]], dtype=object)
        ),
        **{
            code: rng.integers(0, 2, 5).astype(code)
            for code in (*"?bBhHiIqQefdFD", ">f8", ">i4", "S3", "U4", ">U2")
        },
    )
    assert equal(load_pickle(io.BytesIO(pickle.dumps(content, protocol=protocol))), content)


def test_arrays_are_new_aligned_and_writable():
    for protocol in PROTOCOLS:
        array = load_pickle(io.BytesIO(pickle.dumps(["x", np.arange(1000.0)], protocol=protocol)))[
            1
        ]
        array[0] = 5
        assert array.flags.writeable and array.flags.aligned


def test_shared_containers_stay_shared():
    shared = [1, 2]
    opened = load_pickle(io.BytesIO(pickle.dumps([shared, shared])))
    assert opened[0] is opened[1]


def tables() -> dict[str, pd.DataFrame]:
    rows = pd.Index([4, 5, 6], name="voxel_id")
    made = {
        "mixed": pd.DataFrame(
            {"i": [1, 2, 3], "f": [1, np.nan, 2], "s": list("abc"), "b": [True, False, True]}, rows
        ),
        "objects": pd.DataFrame(
            {"o": pd.Series(["a", None, np.nan, 2.5, True], dtype=object), "n": np.arange(5.0)}
        ),
        "text rows": pd.DataFrame(
            {"x": [1.0, 2.0]}, index=pd.Index(["stim1", "stim2"], name="stim")
        ),
        "numbered columns": pd.DataFrame(np.arange(12.0).reshape(3, 4)),
        "repeated columns": pd.DataFrame({"a": [1, 2], "b": [3.0, 4.0]})[["a", "b", "a"]],
        "sliced": pd.DataFrame({"s": list("abcdef"), "x": range(6)}).iloc[2:5],
        "concatenated": pd.concat(
            [pd.DataFrame({"a": [1], "s": ["x"]}), pd.DataFrame({"a": [2], "s": [None]})]
        ),
        "one by one": pd.DataFrame({"a": [1]}).assign(b=2.5, c="x", d=4),
        "no rows": pd.DataFrame({"a": [], "b": []}),
        "nothing": pd.DataFrame(),
        "categories": pd.DataFrame(
            {"c": pd.Categorical(["x", "y", None, "x"], ordered=True), "n": [1, 2, 3, 4]}
        ),
        "masked": pd.DataFrame(
            {
                "i": pd.array([1, None], "Int64"),
                "f": pd.array([0.5, None], "Float64"),
                "b": pd.array([True, None], "boolean"),
            }
        ),
        "python text": pd.DataFrame({"s": pd.array(["x", "é", None], pd.StringDtype("python"))}),
        "arrow text": pd.DataFrame({"s": pd.array(["x", "é", None], pd.StringDtype("pyarrow"))}),
    }
    if int(pd.__version__.split(".")[0]) >= 3:
        kind = pd.StringDtype("python", na_value=np.nan)
        rows = pd.Index(list("abc"), dtype=kind)
        made["text without arrow"] = pd.DataFrame(
            {"s": pd.array(["x", "é", None], kind)}, index=rows
        )
    made["mixed"].attrs = {"note": "kept", "masks": [1, 2]}
    return made


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", tables())
def test_tables_come_back_as_they_were(name, protocol):
    table = tables()[name]
    opened = load_pickle(io.BytesIO(pickle.dumps(table, protocol=protocol)), allow="tables")
    pd.testing.assert_frame_equal(opened, table)
    assert opened.attrs == table.attrs


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_series_and_indexes_come_back_as_they_were(protocol):
    series = pd.Series([1.5, 2.5], index=["a", "b"], name="q")
    index = pd.Index(["a", "b"], name="stim")
    opened = load_pickle(
        io.BytesIO(pickle.dumps([series, index], protocol=protocol)), allow="tables"
    )
    pd.testing.assert_series_equal(opened[0], series)
    pd.testing.assert_index_equal(opened[1], index)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_datasets_come_back_as_they_were(protocol):
    dataset = xr.Dataset(
        {"v": (("x", "y"), np.arange(6.0).reshape(2, 3)), "w": ("x", np.array(["a", "bc"]))},
        coords={
            "x": [1, 2],
            "y": ["a", "bcd", "e"],
            "k": 3,
            "z": ("x", np.array(["p", None], dtype=object)),
        },
        attrs={"masks": np.ones((2, 2)), "note": "text"},
    )
    opened = load_pickle(io.BytesIO(pickle.dumps(dataset, protocol=protocol)), allow="dataset")
    xr.testing.assert_identical(opened, dataset)
    assert [v.dtype for v in opened.variables.values()] == [
        dataset.variables[name].dtype for name in opened.variables
    ]


def test_the_smaller_lists_refuse_tables_and_datasets():
    table = pickle.dumps(pd.DataFrame({"a": [1]}))
    dataset = pickle.dumps(xr.Dataset({"a": ("x", [1.0])}))
    with pytest.raises(
        UnsafePickleError,
        match=r"`pandas\..*DataFrame`.*a pandas table, where plain arrays are expected",
    ):
        load_pickle(io.BytesIO(table))
    with pytest.raises(
        UnsafePickleError,
        match=r"`xarray\.core\.dataset\.Dataset`.*where plain tables are expected",
    ):
        load_pickle(io.BytesIO(dataset), allow="tables")
    with pytest.raises(ValueError, match="allow must be"):
        load_pickle(io.BytesIO(table), allow="all")

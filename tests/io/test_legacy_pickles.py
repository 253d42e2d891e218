"""Pickles for the published programs: what they name, and that they come back equal.
``legacy_matrix.py`` opens them.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from aud_dnn.errors import InputError
from aud_dnn.io.pickles.safe_pickle import load_pickle
from aud_dnn.io.pickles.writing import GLOBALS, write_pickle
from aud_dnn.store.published import _published_dataset
from aud_dnn.store.published_rsa import ALL_VOXELS_FILE, read_published_rsa, write_published_rsa
from aud_dnn.store.regression_writing import _as_published
from aud_dnn.store.schema import Check

# What NumPy 1.19 to 2, pandas 1.1 to 3 and xarray 0.12 to 2026 have under these names; seen by
# opening (make test-matrix).
OLD_NAMES = {
    "numpy.core.multiarray _reconstruct",
    "numpy.core.multiarray scalar",
    "numpy ndarray",
    "numpy dtype",
    "pandas.core.frame DataFrame",
    "pandas.core.internals.managers BlockManager",
    "pandas.core.indexes.base _new_Index",
    "pandas.core.indexes.base Index",
    "xarray.core.dataset Dataset",
}


def written(content: Any) -> bytes:
    file = io.BytesIO()
    write_pickle(content, file)
    return file.getvalue()


def names_in(data: bytes) -> set[str]:
    """The globals that a pickle asks for; its texts are found whether written or recalled."""
    named, memory, last = set(), [], []
    for code, argument, _ in pickletools.genops(data):
        assert code.proto <= 4, code.name
        assert code.name not in ("GLOBAL", "INST", "EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID")
        if code.name == "MEMOIZE":
            memory.append(last[-1] if last else None)
        elif code.name in ("BINGET", "LONG_BINGET"):
            last.append(memory[argument])
        elif code.name == "STACK_GLOBAL":
            named.add(f"{last[-2]} {last[-1]}")
            last.append(None)
        else:
            last.append(argument)
    return named


def same(a: Any, b: Any) -> bool:
    """Equal, of the same types and, for arrays, dtypes; NaN equals NaN."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray):
        return (
            a.dtype == b.dtype
            and a.shape == b.shape
            and (
                all(map(same, a.ravel().tolist(), b.ravel().tolist()))
                if a.dtype.kind == "O"
                else a.tobytes() == b.tobytes()
            )
        )
    if isinstance(a, pd.DataFrame):
        pd.testing.assert_frame_equal(a, b)
        return a.columns.dtype == b.columns.dtype and a.index.name == b.index.name
    if isinstance(a, xr.Dataset):
        return (
            a.identical(b)
            and list(a.variables) == list(b.variables)
            and all(a[name].dtype == b[name].dtype for name in a.variables)
        )
    return bool(a == b) or (a != a and b != b)


def test_recorded_names_are_those_that_may_be_written() -> None:
    assert {" ".join(name) for name in GLOBALS} == OLD_NAMES


def test_names_in_a_pickle_are_found() -> None:
    data = pickle.dumps([np.arange(3), np.arange(2), Path, io.BytesIO], protocol=4)
    assert {"numpy ndarray", "numpy dtype", "_io BytesIO"} <= names_in(data)


@pytest.mark.parametrize(
    ("pattern", "allow"),
    [
        ("*/*/df_output.pkl", "tables"),
        ("*/*/ds.pkl", "dataset"),
        ("*/*/y_preds_test*.pkl", "arrays"),
        ("RSA/*.pckl", "arrays"),
    ],
)
def test_published_files_written_again_hold_the_same(
    pattern: str, allow: str, golden_root: Path
) -> None:
    """Values, dtypes, index, order of columns, attributes; by plain unpickling and by our own
    reader.
    """
    paths = sorted((golden_root / "published_pickles" / "results").glob(pattern))
    assert len(paths) >= 2
    for path in paths:
        content = load_pickle(path, allow=allow)
        data = written(content)
        assert names_in(data) <= OLD_NAMES
        assert same(load_pickle(io.BytesIO(data), allow=allow), content)
        assert same(pickle.loads(data), content)
        assert len(data) < 1.05 * path.stat().st_size + 1000


def test_scores_have_the_published_layout(golden_root: Path) -> None:
    for path in (golden_root / "published_pickles" / "results").glob("*/*/ds.pkl"):
        published = load_pickle(path, allow="dataset")
        again = _as_published(_published_dataset(published, Check(path, "")))
        xr.testing.assert_identical(again, published)
        assert {name: again[name].dtype for name in again.variables} == {
            name: published[name].dtype for name in published.variables
        }
        assert list(again.data_vars) == list(published.data_vars)


def test_rsa_pickles_name_old_globals_only_and_hold_each_matrix_once(
    golden_root: Path, tmp_path: Path
) -> None:
    for path in sorted((golden_root / "published_pickles" / "results" / "RSA").glob("*.pckl")):
        [again] = write_published_rsa(tmp_path, read_published_rsa(path))
        assert names_in(again.read_bytes()) <= OLD_NAMES
        if path.name == ALL_VOXELS_FILE:
            assert again.stat().st_size < 1.1 * path.stat().st_size
        assert same(load_pickle(again), load_pickle(path))


_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=300)
    | st.binary(max_size=300)
    | st.sampled_from(
        [
            2**31,
            -(2**31),
            -(2**31) - 1,
            255,
            256,
            2**63,
            -(2**63),
            np.float64(1.5),
            np.int64(-1),
            np.float32(0.1),
            np.bool_(True),
        ]
    )
)
_arrays = st.sampled_from(
    [
        np.arange(6.0),
        np.arange(6, dtype=">i4").reshape(2, 3),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.float32(3.5),
        np.array(["a", "bcé"]),
        np.array([b"a", b"bc"]),
        np.array(["a", None, 1.5, True, 7], dtype=object),
        np.zeros((0, 3)),
        np.array([1 + 2j]),
        np.array([True, False]),
        np.arange(10)[::2],
        np.array(2.0),
        np.array([["a", "b"], ["c", "d"]], dtype=object),
    ]
)


@settings(max_examples=150, deadline=None)
@given(
    st.recursive(
        _scalars | _arrays,
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.tuples(inner, inner)
            | st.dictionaries(st.text(max_size=5), inner, max_size=4)
        ),
        max_leaves=20,
    )
)
def test_plain_content_comes_back(content: Any) -> None:
    data = written(content)
    assert names_in(data) <= OLD_NAMES

    def little(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return np.ascontiguousarray(value.astype(value.dtype.newbyteorder("<"))).reshape(
                value.shape
            )
        if isinstance(value, dict):
            return {key: little(part) for key, part in value.items()}
        return type(value)(map(little, value)) if isinstance(value, list | tuple) else value

    assert same(pickle.loads(data), little(content))


def test_one_object_in_many_places_is_written_once_and_stays_one() -> None:
    matrix = np.random.default_rng(0).standard_normal((165, 165))
    data = written({"a": [matrix, matrix], "b": {"c": matrix}})
    assert len(data) < matrix.nbytes + 1000
    back = pickle.loads(data)
    assert back["a"][0] is back["a"][1] is back["b"]["c"]


def test_more_than_256_texts_and_arrays() -> None:
    content = [[np.full(3, number), str(number), str(number)] for number in range(400)]
    assert same(pickle.loads(written(content)), content)


def test_columns_of_newer_pandas_become_columns_of_old_ones() -> None:
    table = pd.DataFrame(
        {
            "text": pd.Series(["a", None, "c"], dtype="string"),
            "category": pd.Categorical(["x", "y", "x"]),
            "numbers": pd.Categorical([3, 1, 3]),
            "whole": pd.array([1, 2, 3], dtype="Int32"),
            "gap": pd.array([1, None, 3], dtype="Int64"),
            "yes": pd.array([True, False, True], dtype="boolean"),
            "day": pd.to_datetime(["2020-01-01"] * 3).astype("datetime64[ns]"),
            "mixed": pd.Series(["a", 1, None], dtype=object),
            "small": np.arange(3, dtype=np.int8),
            "plain": [1.0, np.nan, 3.0],
        }
    )
    table.index = pd.Index(["i", "j", "k"], name="key")
    data = written(table)
    assert names_in(data) <= OLD_NAMES
    back = pickle.loads(data)
    assert back["text"].tolist()[::2] == ["a", "c"] and np.isnan(back["text"].iloc[1])
    assert back["category"].tolist() == ["x", "y", "x"] and back["numbers"].tolist() == [3, 1, 3]
    assert (
        back["gap"].tolist()[::2] == [1.0, 3.0]
        and back["day"].tolist() == ["2020-01-01 00:00:00"] * 3
    )
    assert {name: str(dtype) for name, dtype in back.dtypes.items()} == {
        "text": "object",
        "category": "object",
        "numbers": "int64",
        "whole": "int32",
        "gap": "float64",
        "yes": "bool",
        "day": "object",
        "mixed": "object",
        "small": "int8",
        "plain": "float64",
    }
    assert (
        back.index.name == "key"
        and back.index.tolist() == ["i", "j", "k"]
        and list(back.columns) == list(table.columns)
    )
    assert same(load_pickle(io.BytesIO(data), allow="tables"), back)


@pytest.mark.parametrize(
    "content",
    [
        {1, 2},
        object(),
        lambda: None,
        np.array([1], dtype="M8[s]"),
        np.zeros(1, dtype="i4,i4"),
        np.array([object()]),
        pd.Timestamp("2020-01-01"),
        np.longdouble(1),
    ],
    ids=lambda content: type(content).__name__,
)
def test_anything_else_is_refused(content: object) -> None:
    with pytest.raises(TypeError, match="no place in a published pickle"):
        written([content])


@pytest.mark.parametrize(
    "arguments",
    [
        b"(}}t",
        b"(}}]t",
        b"(]}}t",
        b"(}X\x01\x00\x00\x00xK\x01s}}t",
        b"(}X\x01\x00\x00\x00x(]K\x01ts}}t",
        b"(}X\x01\x00\x00\x00x(K\x01\x85K\x01ts}}t",
    ],
)
def test_reader_refuses_a_dataset_of_something_else(arguments: bytes) -> None:
    data = b"\x80\x04\x8c\x13xarray.core.dataset\x8c\x07Dataset\x93" + arguments + b"R."
    with pytest.raises(InputError):
        load_pickle(io.BytesIO(data), allow="dataset")

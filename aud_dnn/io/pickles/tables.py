"""Make pandas tables and xarray datasets again from the records of their pickles (see
:mod:`aud_dnn.io.pickles.safe_pickle`).

pandas pickles a table as a block manager: the column labels, the row labels, and blocks of values
of one dtype, each with the columns that it fills. pandas 1.1 writes blocks as plain arrays in a
state tuple, pandas 2 and 3 as calls; text columns are arrays of objects, NumPy-backed text or Arrow
buffers. xarray pickles a dataset as a dictionary of variables, the names that are coordinates, and
attributes. All of these are read here into columns and variables, checked, and given to the public
constructors.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from aud_dnn.io.pickles.arrow_text import arrow_text_of, is_call, state_of, text_of

from .records import Call, DamageError, Name, RefusalError
from .safe_pickle import Builder

MAX_COLUMNS = 10_000  # a result table has some thirty
_MASKED = [f"{sign}Int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)] + [
    "Float32",
    "Float64",
    "Boolean",
]

TABLE_NAMES = {
    ("pandas", "NA"): "NA",
    ("pandas._libs.missing", "NA"): "NA",
    ("pandas", "DataFrame"): "DataFrame",
    ("pandas.core.frame", "DataFrame"): "DataFrame",
    ("pandas", "Series"): "Series",
    ("pandas.core.series", "Series"): "Series",
    ("pandas.core.internals.managers", "BlockManager"): "BlockManager",
    ("pandas.core.internals.managers", "SingleBlockManager"): "BlockManager",
    ("pandas._libs.internals", "_unpickle_block"): "_unpickle_block",
    ("pandas.core.indexes.base", "_new_Index"): "_new_Index",
    ("pandas.core.indexes.base", "Index"): "Index",
    ("pandas", "Index"): "Index",
    **{
        ("pandas.core.indexes.numeric", f"{kind}Index"): "Index"
        for kind in ("Int64", "UInt64", "Float64")
    },
    ("pandas.core.indexes.range", "RangeIndex"): "RangeIndex",
    ("pandas", "RangeIndex"): "RangeIndex",
    ("pandas._libs.arrays", "__pyx_unpickle_NDArrayBacked"): "_backed",
    ("pandas.core.arrays.categorical", "Categorical"): "Categorical",
    ("pandas", "Categorical"): "Categorical",
    ("pandas.core.dtypes.dtypes", "CategoricalDtype"): "CategoricalDtype",
    ("pandas", "CategoricalDtype"): "CategoricalDtype",
    **{
        (module, name): "StringArray"
        for module in ("pandas.core.arrays.string_", "pandas.arrays")
        for name in ("StringArray", "StringArrayNumpySemantics")
    },
    **{
        (module, name): "ArrowStringArray"
        for module in ("pandas.core.arrays.string_arrow", "pandas.arrays")
        for name in ("ArrowStringArray", "ArrowStringArrayNumpySemantics")
    },
    ("pandas.core.arrays.string_", "StringDtype"): "StringDtype",
    ("pandas", "StringDtype"): "StringDtype",
    **{
        (module, f"{kind}Array"): "MaskedArray"
        for kind in ("Integer", "Floating", "Boolean")
        for module in (f"pandas.core.arrays.{kind.lower()}", "pandas.arrays")
    },
    **{
        (module, f"{name}Dtype"): "MaskedDtype"
        for name in _MASKED
        for module in (
            "pandas",
            *(f"pandas.core.arrays.{kind}" for kind in ("integer", "floating", "boolean")),
        )
    },
    ("pyarrow.lib", "_restore_array"): "_restore_array",
    ("pyarrow.lib", "type_for_alias"): "type_for_alias",
    ("pyarrow.lib", "py_buffer"): "py_buffer",
}


# Columns


def _backed(builder: Builder, record: Call) -> Any:
    """A categorical or NumPy-backed text column of pandas 1.3 and later."""
    family = record.arguments[0] if record.arguments else None
    state = record.state
    if type(family) is not Name or type(state) is not tuple or len(state) not in (2, 3):
        raise DamageError("holds a column without its contents")
    dtype, values = state[0], array_of(builder, state[1], n_dims=1)
    builder.budget.spend(len(values))
    if family.kind == "Categorical":
        return _categories(builder, dtype, values)
    if family.kind == "StringArray":
        return text_of(values, dtype)
    raise RefusalError(f"asks for a column of the kind `{family.asked}`")


def _categories(builder: Builder, dtype: Any, codes: np.ndarray) -> pd.Categorical:
    if not is_call(dtype, "CategoricalDtype") or codes.dtype.kind != "i":
        raise DamageError("holds a categorical column without its categories")
    state = state_of(dtype)
    categories = builder.build(state.get("categories"))
    if not isinstance(categories, pd.Index):
        raise DamageError("holds a categorical column without its categories")
    return pd.Categorical.from_codes(
        codes, categories=categories, ordered=state.get("ordered") is True
    )


def _categorical(builder: Builder, record: Call) -> pd.Categorical:
    """A categorical column of pandas before 1.3."""
    state = state_of(record)
    return _categories(
        builder, state.get("_dtype"), array_of(builder, state.get("_codes"), n_dims=1)
    )


def _masked(builder: Builder, record: Call) -> Any:
    state = state_of(record)
    values, mask = (array_of(builder, state.get(key), n_dims=1) for key in ("_data", "_mask"))
    make = {"b": pd.arrays.BooleanArray, "f": pd.arrays.FloatingArray}.get(
        values.dtype.kind, pd.arrays.IntegerArray
    )
    return make(values, mask)


def array_of(builder: Builder, record: Any, n_dims: int | None = None) -> np.ndarray:
    """The array that a record becomes; refused if it is something else."""
    array = builder.build(record)
    if type(array) is not np.ndarray or (n_dims is not None and array.ndim != n_dims):
        raise DamageError("holds something else where an array belongs")
    return array


# Rows, columns and tables


def _index(builder: Builder, record: Call) -> pd.Index:
    if (
        len(record.arguments) != 2
        or type(record.arguments[0]) is not Name
        or type(record.arguments[1]) is not dict
    ):
        raise RefusalError(f"calls {record.asked} with arguments that plain tables never need")
    family, parts = record.arguments
    name = builder.atom(parts.get("name"))
    if family.kind == "RangeIndex":
        bounds = [parts.get(key) for key in ("start", "stop", "step")]
        if not all(type(bound) is int and abs(bound) < 2**62 for bound in bounds) or bounds[2] == 0:
            raise DamageError("holds row numbers without proper bounds")
        builder.budget.spend(len(range(*bounds)))
        return pd.RangeIndex(*bounds, name=name)
    if family.kind != "Index":
        raise RefusalError(f"asks for labels of the kind `{family.asked}`")
    labels = builder.build(parts.get("data"))
    if getattr(labels, "ndim", 0) != 1:
        raise DamageError("holds labels that are not a list")
    return pd.Index(
        labels, dtype=labels.dtype, name=name
    )  # old text labels stay objects, as in a plain unpickle


def _placement(builder: Builder, record: Any, n_columns: int) -> list[int]:
    """The columns that a block fills."""
    if is_call(record, "slice"):
        if len(record.arguments) != 3 or not all(
            type(part) is int or part is None for part in record.arguments
        ):
            raise DamageError("holds a table whose columns are out of place")
        return list(range(n_columns))[slice(*record.arguments)]
    columns = array_of(builder, record, n_dims=1)
    if columns.dtype.kind not in "iu":
        raise DamageError("holds a table whose columns are out of place")
    return columns.tolist()


def _blocks(manager: Any) -> tuple[list, list[tuple[Any, Any]]]:
    """The axes and the (values, placement) of each block, from any version of pandas."""
    if not is_call(manager, "BlockManager"):
        raise DamageError("holds a table without its contents")
    if len(manager.arguments) == 2:
        blocks, axes = manager.arguments
        if type(blocks) is tuple and all(
            is_call(block, "_unpickle_block") and len(block.arguments) == 3 for block in blocks
        ):
            return axes, [block.arguments[:2] for block in blocks]
    elif (
        type(manager.state) is tuple and len(manager.state) >= 4 and type(manager.state[3]) is dict
    ):
        layout = manager.state[3].get(
            "0.14.1"
        )  # pandas has written its layout under this key since that version
        if (
            type(layout) is dict
            and type(layout.get("blocks")) is list
            and all(type(b) is dict for b in layout["blocks"])
        ):
            return layout.get("axes"), [
                (block.get("values"), block.get("mgr_locs")) for block in layout["blocks"]
            ]
    raise DamageError("holds a table in an unknown layout")


def _axes(builder: Builder, axes: Any, n_axes: int) -> list[pd.Index]:
    if type(axes) is not list or len(axes) != n_axes:
        raise DamageError("holds a table without its row and column labels")
    axes = [builder.build(axis) for axis in axes]
    if not all(isinstance(axis, pd.Index) for axis in axes):
        raise DamageError("holds a table without its row and column labels")
    return axes


def _pay_for_copy(builder: Builder, column: Any) -> None:
    """Many tables may share one block in a pickle, but each gets a copy here.

    An object counts as the byte that it took.
    """
    plain = type(column) is np.ndarray and column.dtype.kind != "O"
    builder.budget.spend(column.nbytes if plain else len(column))


def _frame(builder: Builder, record: Call) -> pd.DataFrame:
    state = state_of(record)
    axes, blocks = _blocks(state.get("_mgr", state.get("_data")))
    columns, rows = _axes(builder, axes, 2)
    if len(columns) > MAX_COLUMNS:
        raise RefusalError(
            f"holds a table of {len(columns)} columns; at most {MAX_COLUMNS} are read"
        )
    builder.budget.spend(1000 + 100 * len(columns))
    series: dict[int, pd.Series] = {}
    for values, placement in blocks:
        values = builder.build(values)
        placement = _placement(builder, placement, len(columns))
        block = values if type(values) is np.ndarray and values.ndim == 2 else [values]
        if len(placement) != len(block):
            raise DamageError("holds a table whose blocks and columns do not match")
        for column, content in zip(placement, block):
            if (
                column in series
                or not 0 <= column < len(columns)
                or getattr(content, "shape", None) != (len(rows),)
            ):
                raise DamageError(
                    "holds a table whose columns are out of place or not as long as its rows"
                )
            _pay_for_copy(builder, content)
            series[column] = pd.Series(content, index=rows, dtype=content.dtype, copy=False)
    if len(series) != len(columns):
        raise DamageError(
            f"holds a table of {len(columns)} columns with {len(series)} of them filled"
        )
    frame = pd.DataFrame({column: series[column] for column in sorted(series)}, index=rows)
    frame.columns = columns
    frame.attrs = dict(builder.build(state.get("attrs") or {}))
    return frame


def _series(builder: Builder, record: Call) -> pd.Series:
    state = state_of(record)
    axes, blocks = _blocks(state.get("_mgr", state.get("_data")))
    (rows,) = _axes(builder, axes, 1)
    if len(blocks) != 1:
        raise DamageError("holds a column in more than one piece")
    values = builder.build(blocks[0][0])
    if getattr(values, "shape", None) != (len(rows),):
        raise DamageError("holds a column that is not as long as its rows")
    name = builder.atom(state.get("_name", state.get("name")))
    builder.budget.spend(1000)
    _pay_for_copy(builder, values)
    return pd.Series(values, index=rows, dtype=values.dtype, name=name)


TABLE_BUILDERS = {
    "NA": lambda builder, record: pd.NA,
    "_backed": _backed,
    "Categorical": _categorical,
    "ArrowStringArray": arrow_text_of,
    "MaskedArray": _masked,
    "_new_Index": _index,
    "DataFrame": _frame,
    "Series": _series,
}


# Datasets

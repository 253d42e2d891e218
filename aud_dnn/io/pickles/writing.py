"""Write pickles that the published programs open.

Python 3.6, NumPy 1.19, pandas 1.1, xarray 0.12, and all later ones.

What ``pickle.dump`` writes depends on the installed libraries (``numpy._core``, Arrow strings, new
index classes), and older ones do not know it. This module writes the instructions itself: protocol
4, plain containers, and nothing but the globals of :data:`GLOBALS`, in the form in which the
authors' own files have them. Only xarray's own form has changed since; a dataset is written as a
call of its constructor with plain arrays, which every release takes.

A file is a sequence of instructions for a stack machine; the module ``pickletools`` of Python
describes each.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

GLOBALS = frozenset(
    {
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy.core.multiarray", "scalar"),
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("pandas.core.frame", "DataFrame"),
        ("pandas.core.internals.managers", "BlockManager"),
        ("pandas.core.indexes.base", "_new_Index"),
        ("pandas.core.indexes.base", "Index"),
        ("xarray.core.dataset", "Dataset"),
    }
)
"""All that a written file may name, and all that the programs which open it must have."""

_PROTO, _STOP, _MARK, _REDUCE, _NEWOBJ, _BUILD, _MEMOIZE = (
    b"\x80\x04",
    b".",
    b"(",
    b"R",
    b"\x81",
    b"b",
    b"\x94",
)
_NONE, _TRUE, _FALSE, _TUPLE, _STACK_GLOBAL = b"N", b"\x88", b"\x89", b"t", b"\x93"
_EMPTY_LIST, _APPENDS, _EMPTY_DICT, _SETITEMS, _EMPTY_TUPLE = b"]", b"e", b"}", b"u", b")"
_NO_FIELDS = (None, None, None)


def write_pickle(content: Any, file: BinaryIO) -> None:
    """Write plain containers, numbers, text, NumPy arrays, pandas tables and xarray datasets as one
    pickle.

    Equal objects that are one object in memory are written once. Extension columns of a table
    become NumPy columns: text is of dtype object, with NaN for missing values.

    Parameters
    ----------
    content : object
    file : binary file

    Raises
    ------
    TypeError
        There is something else in it.
    """
    writer = _Writer(file.write)
    file.write(_PROTO)
    writer.put(content)
    file.write(_STOP)


class _Writer:
    def __init__(self, write: Callable[[bytes], Any]) -> None:
        self._write = write
        self._places: dict[
            Any, int
        ] = {}  # id of an object, or a global, or a text -> its place in the reader's memory
        self._kept: list[Any] = []  # so that no id is used twice

    def put(self, value: Any) -> None:
        """Leave ``value`` on the reader's stack."""
        if isinstance(value, np.str_ | np.bytes_):
            value = value.item()
        elif isinstance(value, np.generic):
            self._scalar(value)
            return
        put = _PUT.get(type(value)) or next(
            (put for name, put in _PUT_BY_NAME.items() if _is(value, name)), None
        )
        if put is None:
            raise TypeError(f"a {type(value).__name__} has no place in a published pickle")
        put(self, value)

    # memory

    def _recalled(self, key: Any) -> bool:
        place = self._places.get(key)
        if place is None:
            return False
        self._write(b"h" + bytes([place]) if place < 256 else b"j" + struct.pack("<I", place))
        return True

    def _remember(self, key: Any, value: Any = None) -> None:
        self._write(_MEMOIZE)
        self._places[key] = len(self._places)
        self._kept.append(value)

    # plain values

    def _integer(self, value: int) -> None:
        if -(2**31) <= value < 2**31:
            self._write(b"J" + struct.pack("<i", value))
        else:
            content = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
            self._write(b"\x8a" + bytes([len(content)]) + content)

    def _float(self, value: float) -> None:
        self._write(b"G" + struct.pack(">d", value))

    def _text(self, value: str) -> None:
        key = ("text", str(value))
        if not self._recalled(key):
            content = value.encode("utf-8", "surrogatepass")
            self._write(b"X" + struct.pack("<I", len(content)) + content)
            self._remember(key)

    def _bytes(self, value: bytes | memoryview) -> None:
        size = len(value)
        self._write(
            b"B" + struct.pack("<I", size) if size < 2**32 else b"\x8e" + struct.pack("<Q", size)
        )
        self._write(value)

    # containers

    def _shared(self, value: Any, empty: bytes, items: list, close: bytes) -> None:
        key = id(value)
        if not self._recalled(key):
            self._write(empty)
            self._remember(key, value)
            if items:
                self._write(_MARK)
                for item in items:
                    self.put(item)
                self._write(close)

    def _list(self, value: list) -> None:
        self._shared(value, _EMPTY_LIST, value, _APPENDS)

    def _dict(self, value: Mapping) -> None:
        self._shared(
            value, _EMPTY_DICT, [part for item in value.items() for part in item], _SETITEMS
        )

    def _tuple(self, value: tuple) -> None:
        self._write(_MARK)
        for item in value:
            self.put(item)
        self._write(_TUPLE)

    # names and calls

    def _global(self, module: str, name: str) -> None:
        if (module, name) not in GLOBALS:
            raise ValueError(f"{module}.{name} is not on the list")
        key = ("global", module, name)
        if not self._recalled(key):
            self._text(module)
            self._text(name)
            self._write(_STACK_GLOBAL)
            self._remember(key)

    # NumPy

    def _dtype(self, dtype: np.dtype) -> None:
        key = ("dtype", dtype.str)
        if self._recalled(key):
            return
        if dtype.kind not in "biufcSUO" or dtype.str[1:] in ("f16", "c32"):
            raise TypeError(f"an array of {dtype} has no place in a published pickle")
        size = dtype.itemsize // 4 if dtype.kind == "U" else dtype.itemsize
        self._global("numpy", "dtype")
        self._tuple((f"{dtype.kind}{size}", False, True))
        self._write(_REDUCE)
        state = {"U": (dtype.itemsize, 4, 8), "S": (dtype.itemsize, 1, 0), "O": (-1, -1, 63)}.get(
            dtype.kind, (-1, -1, 0)
        )
        self._tuple((3, dtype.str[0], *_NO_FIELDS, *state))
        self._write(_BUILD)
        self._remember(key)

    def _array(self, value: np.ndarray) -> None:
        key = id(value)
        if self._recalled(key):
            return
        array = _little_endian(value)
        self._global("numpy.core.multiarray", "_reconstruct")
        self._write(_MARK)
        self._global("numpy", "ndarray")
        self._tuple((0,))
        self._write(b"C\x01b")
        self._write(_TUPLE + _REDUCE)
        self._remember(key, value)
        self._write(_MARK)
        self._integer(1)
        self._tuple(array.shape)
        self._dtype(array.dtype)
        self._write(_FALSE)
        if array.dtype.kind == "O":
            self._list(array.ravel().tolist())
        else:
            self._bytes(array.tobytes())
        self._write(_TUPLE + _BUILD)

    def _scalar(self, value: np.generic) -> None:
        array = _little_endian(np.asarray(value))
        self._global("numpy.core.multiarray", "scalar")
        self._write(_MARK)
        self._dtype(array.dtype)
        self._bytes(array.tobytes())
        self._write(_TUPLE + _REDUCE)

    # pandas

    def _index(self, index: pd.Index) -> None:
        self._global("pandas.core.indexes.base", "_new_Index")
        self._write(_MARK)
        self._global("pandas.core.indexes.base", "Index")
        self._dict({"data": _plain(index), "name": index.name})
        self._write(_TUPLE + _REDUCE)

    def _table(self, table: pd.DataFrame) -> None:
        """As pandas 1.1 writes a table; its blocks hold the columns of one dtype each."""
        blocks: dict[str, list[int]] = {}
        columns = [_plain(table.iloc[:, position]) for position in range(table.shape[1])]
        for position, column in enumerate(columns):
            blocks.setdefault(column.dtype.str, []).append(position)
        self._global("pandas.core.frame", "DataFrame")
        self._write(_EMPTY_TUPLE + _NEWOBJ + _EMPTY_DICT + _MARK)
        self._text("_mgr")
        self._global("pandas.core.internals.managers", "BlockManager")
        self._write(_EMPTY_TUPLE + _NEWOBJ + _MARK)
        for _ in range(3):
            self._write(_EMPTY_LIST)  # the layout of pandas before 0.14
        self._write(_EMPTY_DICT + _MARK)
        self._text("0.14.1")
        self._dict(
            {
                "axes": [table.columns, table.index],
                "blocks": [
                    {
                        "values": np.stack([columns[position] for position in positions]),
                        "mgr_locs": np.array(positions, dtype=np.int64),
                    }
                    for positions in blocks.values()
                ],
            }
        )
        self._write(_SETITEMS + _TUPLE + _BUILD)
        for name, content in (("_typ", "dataframe"), ("_metadata", []), ("attrs", {})):
            self._text(name)
            self.put(content)
        self._write(_SETITEMS + _BUILD)

    # xarray

    def _dataset(self, dataset: xr.Dataset) -> None:
        """``Dataset(data_vars, coords, attrs)``, each variable as its dimensions and values."""
        self._global("xarray.core.dataset", "Dataset")
        self._tuple(
            tuple(
                {
                    str(name): (variable.dims, variable.to_numpy())
                    for name, variable in variables.items()
                }
                for variables in (dataset.data_vars, dataset.coords)
            )
            + (dict(dataset.attrs),)
        )
        self._write(_REDUCE)


def _little_endian(array: np.ndarray) -> np.ndarray:
    return array.astype(array.dtype.newbyteorder("<"), copy=False)


def _plain(column: pd.Series | pd.Index) -> np.ndarray:
    """The values of a column or of labels as an array of a dtype that the oldest pandas has."""
    missing = column.isna()
    kind = column.dtype.kind
    if kind in "biufc":
        if isinstance(column.dtype, np.dtype):
            return column.to_numpy()
        return (
            column.to_numpy(dtype=float, na_value=np.nan)
            if missing.any()
            else column.to_numpy(dtype=f"{kind}{column.dtype.itemsize}")
        )
    values = np.asarray(column)
    if values.dtype.kind in "biufc":  # a categorical column of numbers
        return values
    if values.dtype.kind in "mM":  # of nanoseconds, NumPy makes plain numbers
        values = values.astype(f"{values.dtype.kind}8[us]")
    plain = np.empty(len(values), dtype=object)
    plain[:] = [
        np.nan
        if absent
        else value
        if type(value) in _PUT or isinstance(value, np.generic)
        else str(value)
        for value, absent in zip(values.tolist(), missing)
    ]
    return plain


def _is(value: Any, name: str) -> bool:
    """Of a class of pandas or xarray, which are not imported for this.

    Who has such an object has done it.
    """
    return any(
        f"{kind.__module__.partition('.')[0]}.{kind.__name__}" == name
        for kind in type(value).__mro__
    )


_PUT: dict[type, Callable[[_Writer, Any], None]] = {
    type(None): lambda writer, value: writer._write(_NONE),
    bool: lambda writer, value: writer._write(_TRUE if value else _FALSE),
    int: _Writer._integer,
    float: _Writer._float,
    str: _Writer._text,
    bytes: _Writer._bytes,
    list: _Writer._list,
    tuple: _Writer._tuple,
    dict: _Writer._dict,
    np.ndarray: _Writer._array,
}
_PUT_BY_NAME: dict[str, Callable[[_Writer, Any], None]] = {
    "pandas.Index": _Writer._index,
    "pandas.DataFrame": _Writer._table,
    "xarray.Dataset": _Writer._dataset,
}

"""Text columns that pandas keeps in Arrow arrays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from .records import Call, DamageError, RefusalError
from .safe_pickle import Builder


def text_of(values: list | np.ndarray, dtype: Any) -> Any:
    """A text column in the nearest dtype that the installed pandas has.

    ``dtype`` is the record of a ``StringDtype``.
    """
    if not is_call(dtype, "StringDtype"):
        raise DamageError("holds a text column without its dtype")
    state = dtype.state if type(dtype.state) is dict else {}
    arguments = (*dtype.arguments, None, None)
    storage = arguments[0] or state.get("storage")
    nan = (
        storage == "pyarrow_numpy"
        or type(arguments[1]) is float
        or type(state.get("_na_value")) is float
    )
    missing = np.nan if nan else pd.NA
    values = [value if type(value) is str else _no_text(value, missing) for value in values]
    for backing in ("pyarrow", "python") if storage != "python" else ("python",):
        try:
            kind = pd.StringDtype(backing, na_value=missing) if nan else pd.StringDtype(backing)
        except ImportError:  # no pyarrow here
            continue
        except (
            TypeError
        ):  # pandas 2.0 to 2.2 has no text dtype with NaN; there such columns are objects
            return objects_of(values)
        return pd.array(values, dtype=kind)
    raise DamageError("holds a text column of an unknown kind")


def _no_text(value: Any, missing: Any) -> Any:
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return missing
    raise DamageError("holds a text column with something other than text")


def arrow_text_of(builder: Builder, record: Call) -> Any:
    """A text column in Arrow's layout.

    The ends of the texts, all texts in a row, and a bit for each that is there.
    """
    state = state_of(record)
    chunk = state.get("_pa_array", state.get("_data"))
    if (
        not is_call(chunk, "_restore_array")
        or len(chunk.arguments) != 1
        or type(chunk.arguments[0]) is not tuple
    ):
        raise DamageError("holds a text column without its contents")
    kind, length, _, start, buffers = (*chunk.arguments[0], *[None] * 5)[:5]
    alias = kind.arguments[0] if is_call(kind, "type_for_alias") and kind.arguments else None
    if alias not in ("string", "large_string"):
        raise RefusalError("asks for an Arrow column of another type than text")
    if (
        not all(type(number) is int and 0 <= number < 2**48 for number in (length, start))
        or type(buffers) is not list
    ):
        raise DamageError("holds a text column of an impossible length")
    bits, ends, text = (_buffer(buffer) for buffer in (*buffers, None, None, None)[:3])
    if length == 0:
        return text_of([], state.get("_dtype"))
    width = np.dtype("<i4" if alias == "string" else "<i8")
    if (start + length + 1) * width.itemsize > len(ends) or (
        len(bits) and start + length > 8 * len(bits)
    ):
        raise DamageError("holds a text column that is longer than its data")
    ends = np.frombuffer(ends, width, count=length + 1, offset=start * width.itemsize)
    if ends[0] < 0 or ends[-1] > len(text) or (np.diff(ends) < 0).any():
        raise DamageError("holds a text column whose texts overlap")
    there = np.ones(length, bool)
    if len(bits):
        there = np.unpackbits(
            np.frombuffer(bits, np.uint8), count=start + length, bitorder="little"
        )[start:].astype(bool)
    builder.budget.spend(length + len(text))
    text, ends = bytes(text), ends.tolist()
    values = [
        text[a:b].decode() if ok else None for a, b, ok in zip(ends[:-1], ends[1:], there.tolist())
    ]
    return text_of(values, state.get("_dtype"))


def _buffer(record: Any) -> bytes | memoryview:
    if record is None:
        return b""
    if (
        not is_call(record, "py_buffer")
        or len(record.arguments) != 1
        or type(record.arguments[0]) not in (bytes, memoryview)
    ):
        raise DamageError("holds a text column without its contents")
    return record.arguments[0]


def is_call(value: Any, kind: str) -> bool:
    """Whether a value is the record of a call of this kind."""
    return type(value) is Call and value.kind == kind


def state_of(record: Call) -> dict:
    """The attributes that a record was to be given.

    A dictionary, or (None, dictionary) from a class with slots.
    """
    state = record.state
    if type(state) is tuple and len(state) == 2 and state[0] is None:
        state = state[1]
    if type(state) is not dict:
        raise DamageError(f"holds a {record.asked} without its contents")
    return state


def objects_of(values: list) -> np.ndarray:
    """An array of objects, whatever they are."""
    objects = np.empty(len(values), object)
    objects[:] = values
    return objects

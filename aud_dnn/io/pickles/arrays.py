"""Make arrays from the records of their pickles (see :mod:`aud_dnn.io.pickles.safe_pickle`)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

import numpy as np

from .records import Budget, Call, DamageError, Name, RefusalError

if TYPE_CHECKING:
    from .safe_pickle import Builder

LARGEST_TEXT_ARRAY = (
    1 << 27
)  # letters, of four bytes each, that a list may have as an array; lists of names have thousands
ATOMS = frozenset({type(None), bool, int, float, complex, str, bytes})
_DTYPE = re.compile(
    r"(?P<kind>b(?=1$)|[iu](?=[1248]$)|f(?=[248]$)|c(?=(?:8|16)$)|[SU](?=[1-9])|O(?=8?$|4$))(?P<size>[0-9]{0,7})"
)


def scalar(arguments: tuple, budget: Budget) -> np.generic:
    """A NumPy scalar from its type and its bytes."""
    dtype, payload = arguments
    dtype = dtype_of(dtype)
    payload = _payload(payload)
    if dtype.kind == "O" or len(payload) != dtype.itemsize:
        raise TypeError
    budget.spend(dtype.itemsize)
    return _from_bytes(payload, dtype)[0]


def dtype_of(record: Any) -> np.dtype:
    """Return the dtype that a record describes; only plain, unstructured ones are known."""
    if type(record) is not Call or record.kind != "dtype":
        raise DamageError("holds an array whose dtype is missing")
    code, *rest = record.arguments
    match = _DTYPE.fullmatch(code) if type(code) is str else None
    state = record.state
    if match is None or tuple(rest) not in ((), (False, True)):
        shown = ascii(code[:40]) if type(code) is str else "of an odd form"
        raise RefusalError(f"asks for an array of the dtype {shown}, which is not on the list")
    if state is None:
        state = (3, "=", None, None, None, -1, -1, 0)
    if (
        type(state) is not tuple
        or len(state) != 8
        or state[0] != 3
        or state[2:5] != (None, None, None)
    ):
        raise RefusalError(
            f"asks for the dtype {code!r} with fields, a shape or metadata, which plain arrays do "
            "not have"
        )
    if state[1] not in ("<", ">", "=", "|"):
        raise DamageError(f"holds the dtype {code!r} with an unknown byte order")
    if match["kind"] == "O":
        return np.dtype(object)
    dtype = np.dtype(match["kind"] + match["size"]).newbyteorder(state[1])
    if type(state[5]) is not int or state[5] not in (-1, dtype.itemsize):
        raise DamageError(f"holds the dtype {code!r} with another item size")
    return dtype


def _payload(value: Any) -> memoryview | bytes:
    if type(value) not in (memoryview, bytes):
        raise DamageError("holds an array without its bytes")
    return value


def _from_bytes(payload: memoryview | bytes, dtype: np.dtype) -> np.ndarray:
    """A new one-dimensional array.

    What the dtype cannot hold (a boolean 7, an impossible character) does not get in.
    """
    if dtype.kind == "b":
        return np.frombuffer(payload, np.uint8) != 0
    if dtype.kind == "U":
        codes = np.frombuffer(payload, np.dtype("u4").newbyteorder(dtype.byteorder))
        if codes.size and codes.max() > 0x10FFFF:
            raise DamageError("holds text with characters that do not exist")
    return np.frombuffer(payload, dtype).copy()


def _shape(value: Any) -> tuple[int, ...]:
    if (
        type(value) is not tuple
        or len(value) > 32
        or not all(type(n) is int and 0 <= n < 2**48 for n in value)
    ):
        raise DamageError("holds an array with an impossible shape")
    return value


def _numeric(
    builder: Builder, payload: Any, dtype: np.dtype, shape: tuple[int, ...], order: str
) -> np.ndarray:
    payload = _payload(payload)
    if math.prod(shape) * dtype.itemsize != len(payload):
        raise DamageError(
            f"holds an array of shape {shape} and dtype {dtype} with {len(payload)} bytes of data"
        )
    builder.budget.spend(
        max(len(payload), *shape, 0)
    )  # an empty array may not have an enormous side either
    return _from_bytes(payload, dtype).reshape(shape, order=order)


def _reconstruct(builder: Builder, record: Call) -> np.ndarray:
    """The regular pickle of an array: ``_reconstruct(ndarray, (0,), b"b")`` and then its state."""
    arguments = record.arguments
    if (
        len(arguments) != 3
        or type(arguments[0]) is not Name
        or arguments[0].kind != "ndarray"
        or arguments[1] != (0,)
    ):
        raise RefusalError(f"calls {record.asked} with arguments that plain arrays never need")
    if type(record.state) is not tuple or len(record.state) != 5 or record.state[0] != 1:
        raise DamageError("holds an array without its contents")
    _, shape, dtype, fortran, payload = record.state
    shape, dtype = _shape(shape), dtype_of(dtype)
    if dtype.kind != "O":
        return _numeric(builder, payload, dtype, shape, "F" if fortran is True else "C")
    if type(payload) is not list or len(payload) != math.prod(shape):
        raise DamageError(f"holds an array of {math.prod(shape)} objects without as many objects")
    builder.budget.spend(len(payload))
    objects = np.empty(len(payload), object)
    objects[:] = [item if type(item) in ATOMS else builder.atom(item) for item in payload]
    require_modest_text(objects)
    return objects.reshape(shape)  # the list is in C order whatever the flag says


def require_modest_text(items: Collection[Any]) -> int:
    """Letters of the longest text among plain scalars, after refusing what would become enormous as
    an array.
    """
    longest = max((len(item) for item in items if isinstance(item, str | bytes)), default=1)
    require_modest(len(items), longest)
    return longest


def require_modest(count: int, longest: int) -> None:
    """In an array every entry takes the room of the longest text."""
    if count * longest > LARGEST_TEXT_ARRAY:
        raise RefusalError(
            f"lists {count} things beside a text of {longest} letters, which no data need"
        )


def _frombuffer(builder: Builder, record: Call) -> np.ndarray:
    """The pickle of a contiguous array by protocol 5.

    ``"K"`` is NumPy's word for an array with permuted axes.
    """
    if len(record.arguments) not in (4, 5) or record.filled:
        raise RefusalError(f"calls {record.asked} with arguments that plain arrays never need")
    payload, dtype, shape, order, *axes = record.arguments
    shape, dtype = _shape(shape), dtype_of(dtype)
    if dtype.kind == "O" or order not in ("C", "F", "K"):
        raise RefusalError(f"calls {record.asked} with arguments that plain arrays never need")
    array = _numeric(builder, payload, dtype, shape, "F" if order == "F" else "C")
    if order == "K" and axes != [None] and axes:
        array = array.transpose(_shape(axes[0]))
    return array


ARRAY_BUILDERS: dict[str, Callable[[Builder, Any], Any]] = {
    "_reconstruct": _reconstruct,
    "_frombuffer": _frombuffer,
}

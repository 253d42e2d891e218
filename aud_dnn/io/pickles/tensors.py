"""Single numbers that a file holds as PyTorch tensors, read without PyTorch.

Some of the authors' tables of numbers were pickled before the numbers were taken out of their
tensors. Such a tensor is a call of ``torch._utils._rebuild_tensor_v2`` on a storage, and the
storage is a file of its own in a string of bytes, in PyTorch's old format: pickles, then the number
of elements, then the elements as they lie in memory. Only the kind of number and the element are
read from that string; the pickles in it are not opened.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from .records import Call, DamageError, RefusalError
from .safe_pickle import Builder

TENSOR_NAMES = {
    ("torch._utils", "_rebuild_tensor_v2"): "tensor",
    ("torch.storage", "_load_from_bytes"): "storage",
}

_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # how PyTorch's old format begins
_KINDS = {
    b"Float": "<f4",
    b"Double": "<f8",
    b"Half": "<f2",
    b"Long": "<i8",
    b"Int": "<i4",
    b"ComplexFloat": "<c8",
    b"ComplexDouble": "<c16",
}
_STORAGE = re.compile(rb"ctorch\n([A-Za-z]+)Storage\n")
_END_OF_PICKLES = b"a."  # the last pickle is a list of one name: append, stop
_MOST_ELEMENTS = 2**16  # a number may be a view into a vector of them


def _storage(payload: bytes) -> np.ndarray:
    kinds = set(_STORAGE.findall(payload))
    if not payload.startswith(_MAGIC) or len(kinds) != 1 or not kinds <= _KINDS.keys():
        raise RefusalError("holds a PyTorch storage of an unknown kind")
    dtype = np.dtype(_KINDS[kinds.pop()])
    for count in range(1, min(_MOST_ELEMENTS, (len(payload) - 8) // dtype.itemsize) + 1):
        start = len(payload) - count * dtype.itemsize
        if payload[start - 8 : start] == count.to_bytes(8, "little") and payload[
            : start - 8
        ].endswith(_END_OF_PICKLES):
            return np.frombuffer(payload, dtype, offset=start)
    raise DamageError("holds a PyTorch storage that is cut short or corrupt")


def _number(builder: Builder, record: Call) -> np.generic:
    """The only element of a tensor."""
    storage, offset, shape, *_ = (*record.arguments, None, None, None)
    if type(storage) is not Call or storage.kind != "storage" or len(storage.arguments) != 1:
        raise RefusalError(f"calls {record.asked} with arguments that plain numbers never need")
    payload: Any = storage.arguments[0]
    if (
        type(payload) not in (bytes, memoryview)
        or type(offset) is not int
        or type(shape) is not tuple
        or any(side != 1 for side in shape)
    ):
        raise RefusalError(
            "holds a PyTorch tensor of more than one number, where single numbers belong"
        )
    builder.budget.spend(len(payload))
    values = _storage(bytes(payload))
    if not 0 <= offset < len(values):
        raise DamageError("holds a PyTorch tensor that points outside of its storage")
    return values[offset]


TENSOR_BUILDERS = {"tensor": _number}

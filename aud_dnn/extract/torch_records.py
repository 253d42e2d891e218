"""What the records of a PyTorch file become: storages, tensors, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import torch

from aud_dnn.io.pickles.machine import key_of
from aud_dnn.io.pickles.records import Budget, DamageError

_MOST_AXES = 64


DTYPES = {
    "Double": torch.float64,
    "Float": torch.float32,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
    "ComplexFloat": torch.complex64,
    "ComplexDouble": torch.complex128,
}


class Storage:
    """Numbers in a row; where they lie is known when they are asked for."""

    def __init__(
        self, dtype: torch.dtype, key: str, read: Callable[[Storage], bytes | memoryview]
    ) -> None:
        self.dtype, self.key, self._read = dtype, key, read
        self._values: torch.Tensor | None = None

    def values(self) -> torch.Tensor:
        """The numbers; all tensors of a storage share them."""
        if self._values is None:
            content = bytearray(self._read(self))
            if len(content) % self.dtype.itemsize:
                raise DamageError(
                    f"holds a storage of {len(content)} bytes for numbers of {self.dtype.itemsize}"
                )
            kind = torch.uint8 if self.dtype is torch.bool else self.dtype
            values = (
                torch.frombuffer(content, dtype=kind) if content else torch.empty(0, dtype=kind)
            )
            self._values = values != 0 if self.dtype is torch.bool else values
        return self._values


class Tensor:
    """A tensor that was asked for: a view of a storage."""

    def __init__(
        self, storage: Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]
    ) -> None:
        self.storage, self.offset, self.shape, self.strides = storage, offset, shape, strides

    def make(self, budget: Budget) -> torch.Tensor:
        values = self.storage.values()
        count = 1
        for side in self.shape:
            count *= side
        last = self.offset + sum(
            (side - 1) * stride for side, stride in zip(self.shape, self.strides)
        )
        if count and last >= len(values):
            raise DamageError("holds a tensor that points outside of its storage")
        budget.spend(count * self.storage.dtype.itemsize)
        if not count:
            return torch.empty(self.shape, dtype=self.storage.dtype)
        return values.as_strided(self.shape, self.strides, self.offset)


def rebuild_tensor(arguments: tuple) -> Tensor:
    """What ``torch._utils._rebuild_tensor_v2`` would make."""
    storage, offset, shape, strides = arguments[:4]
    if type(storage) is not Storage or type(offset) is not int or not 0 <= offset < 2**48:
        raise TypeError
    for numbers in (shape, strides):
        if (
            type(numbers) is not tuple
            or len(numbers) != len(shape)
            or len(shape) > _MOST_AXES
            or not all(type(number) is int and 0 <= number < 2**48 for number in numbers)
        ):
            raise TypeError
    return Tensor(storage, offset, shape, strides)


def rebuild_parameter(arguments: tuple) -> Tensor:
    """The tensor of a parameter."""
    if type(arguments[0]) is not Tensor:
        raise TypeError
    return arguments[0]


def ordered_dict(arguments: tuple) -> dict:
    """A dictionary of what an ordered one holds."""
    return {key_of(key): value for key, value in arguments[0]} if arguments else {}


KINDS = {
    ("collections", "OrderedDict"): "OrderedDict",
    ("torch", "Size"): "Size",
    ("torch._utils", "_rebuild_tensor"): "tensor",
    ("torch._utils", "_rebuild_tensor_v2"): "tensor",
    ("torch._utils", "_rebuild_parameter"): "parameter",
    ("torch.storage", "_load_from_bytes"): "embedded",
}

"""Tensors from the files of ``torch.save``, read without PyTorch's loader and without running what
a file asks for.

Such a file is a pickle that names functions to be called, and beside it the numbers ("storages"):
in a zip archive, after the pickle in the old format, or inside of it in a plain pickle. The pickle
is read by :class:`~aud_dnn.io.pickles.machine.PickleMachine`, which imports and calls nothing. It
keeps what tensors need; everything else that is asked for becomes an inert
:class:`~aud_dnn.io.pickles.records.Name` or :class:`~aud_dnn.io.pickles.records.Call`, on which
nothing has an effect: no attribute of a live object can be set.

A file cannot ask for more memory than it is long: storages lie in it as they are, uncompressed, and
tensors together may take no more than a few times its length (several may share one storage; one
that repeats a few values without end is refused).
"""

from __future__ import annotations

import mmap
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch

from aud_dnn.extract.torch_records import (
    DTYPES,
    KINDS,
    Storage,
    Tensor,
    ordered_dict,
    rebuild_parameter,
    rebuild_tensor,
)
from aud_dnn.io.pickles.machine import PickleMachine, key_of
from aud_dnn.io.pickles.opcodes import steps_by_code
from aud_dnn.io.pickles.records import Budget, Call, DamageError, Name, RefusalError

TORCH_MAGIC = 0x1950A86A20F9469CFC6C
_DEEPEST = 4  # containers within containers that are looked through for tensors
_MOST_RECORDS = 100_000


_AT_ONCE: dict[str, Callable[[tuple], Any]] = {
    "OrderedDict": ordered_dict,
    "Size": lambda arguments: tuple(arguments[0]) if arguments else (),
    "tensor": rebuild_tensor,
    "parameter": rebuild_parameter,
}


class _TensorMachine(PickleMachine):
    """Keeps tensors and plain containers; whatever else is asked for has no effect.

    Parameters
    ----------
    data, budget
        See :class:`~aud_dnn.io.pickles.machine.PickleMachine`.
    read : callable
        From a storage to its bytes.
    embedded : bool
        This pickle is a storage inside another pickle, and may not hold a further one.
    """

    def __init__(
        self,
        data: bytes | mmap.mmap,
        budget: Budget,
        read: Callable[[Storage], bytes | memoryview],
        *,
        embedded: bool = False,
    ) -> None:
        at_once = _AT_ONCE if embedded else {**_AT_ONCE, "embedded": self._embedded}
        super().__init__(data, KINDS, at_once, budget)
        self._read, self.storages = read, {}

    def _named(self, module: Any, name: Any) -> None:
        known = type(module) is str and type(name) is str
        self._stack.append(
            Name(
                f"{module}.{name}"[:200] if known else "?",
                KINDS.get((module, name), "") if known else "",
            )
        )

    def _call(self, new: bool) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        at_once = self._calls.get(function.kind) if type(function) is Name else None
        if at_once is not None and type(arguments) is tuple:
            try:
                self._stack.append(at_once(arguments))
            except (TypeError, ValueError, IndexError):
                raise DamageError(
                    f"calls {function.asked} with arguments that tensors never need"
                ) from None
        else:
            self._inert(function)

    def _inert(self, function: Any) -> None:
        self._count()
        self._stack.append(Call(function if type(function) is Name else Name("?", ""), ()))

    def _call_with_names(self) -> None:  # NEWOBJ_EX: class, arguments, named arguments
        _, _, function = self._stack.pop(), self._stack.pop(), self._stack.pop()
        self._inert(function)

    def _build(self) -> None:
        self._stack.pop()  # the state of the object below, which has none

    def _extend(self, items: list) -> None:
        if type(self._stack[-1]) is list:
            super()._extend(items)

    def _set_items(self, items: list) -> None:
        target = self._stack[-1]
        if type(target) is dict:
            for key, value in zip(items[::2], items[1::2]):
                if type(key) not in (
                    Call,
                    Name,
                    Storage,
                    Tensor,
                ):  # keys that are objects lead to no tensor
                    target[key_of(key)] = value

    def _add_items(self) -> None:
        self._items()

    def _frozenset(self) -> None:
        self._items()
        self._inert(None)

    def _discard(self) -> None:  # POP: the top of the stack, or an open mark
        if self._stack:
            self._stack.pop()
        else:
            self._items()

    def _persistent(self) -> None:
        """An object that the pickle leaves to its loader: a storage, or a class with its source."""
        about = self._stack.pop()
        if type(about) is not tuple or not about:
            raise DamageError("holds an object by an unknown persistent id")
        kind, *rest = about
        if kind == "module":
            return self._stack.append(rest[0] if rest else None)
        if (
            kind != "storage"
            or len(rest) not in (4, 5)
            or type(rest[0]) is not Name
            or type(rest[1]) is not str
        ):
            raise DamageError("holds a storage by an unknown persistent id")
        dtype = DTYPES.get(rest[0].asked.rpartition(".")[2].removesuffix("Storage"))
        if dtype is None or (len(rest) == 5 and rest[4] is not None):
            return self._inert(rest[0])  # quantised numbers, or a view into another storage
        self._stack.append(self._storage(dtype, rest[1]))

    def _storage(self, dtype: torch.dtype, key: str) -> Storage:
        storage = self.storages.setdefault(key, Storage(dtype, key, self._read))
        if storage.dtype is not dtype:
            raise DamageError("reads one storage as two kinds of numbers")
        return storage

    def _embedded(self, arguments: tuple) -> Storage:
        """A storage inside a plain pickle is a file of ``torch.save`` of its own."""
        if type(arguments[0]) not in (bytes, memoryview):
            raise TypeError
        payload = bytes(arguments[0])
        self._budget.spend(len(payload))
        storage = _legacy(payload, self._budget, embedded=True)
        if type(storage) is not Storage:
            raise TypeError
        return storage

    steps: ClassVar = {
        **PickleMachine.steps,
        **steps_by_code(
            {
                "BINPERSID": lambda machine: machine._persistent(),
                "NEWOBJ_EX": lambda machine: machine._call_with_names(),
                "LONG4": lambda machine: machine._stack.append(machine._long_number()),
                "SHORT_BINSTRING": lambda machine: machine._stack.append(machine._old_text(1)),
                "BINSTRING": lambda machine: machine._stack.append(machine._old_text(4)),
                "FROZENSET": lambda machine: machine._frozenset(),
                "POP": lambda machine: machine._discard(),
                "POP_MARK": lambda machine: machine._items(),
                "DUP": lambda machine: machine._stack.append(machine._stack[-1]),
            }
        ),
    }

    def _long_number(self) -> int:
        return int.from_bytes(
            self._take(int.from_bytes(self._take(4), "little")), "little", signed=True
        )

    def _old_text(self, width: int) -> str:  # the text of Python 2
        return str(
            self._take(int.from_bytes(self._take(width), "little")), "utf-8", "surrogateescape"
        )


def read_torch_file(path: Path) -> Any:
    """What a file of ``torch.save``, or a plain pickle of tensors, holds.

    Tensors, plain containers, and inert records.

    Raises
    ------
    DamageError, RefusalError, OSError, zipfile.BadZipFile
        It is damaged, or asks for more than it can hold.
    """
    if zipfile.is_zipfile(path):
        return _zipped(path)
    with path.open("rb") as file:
        if not path.stat().st_size:
            raise DamageError("is empty")
        data = mmap.mmap(
            file.fileno(), 0, access=mmap.ACCESS_READ
        )  # let go of with the last view of it
    budget = Budget(len(data))
    content, _ = _TensorMachine(data, budget, _no_storage).run_from(0)
    if type(content) is int and content == TORCH_MAGIC:
        content = _legacy(data, budget)
    return _made(content, budget)


def _no_storage(storage: Storage) -> bytes:
    raise DamageError("refers to numbers that are not in the file")


def _legacy(data: bytes | mmap.mmap, budget: Budget, embedded: bool = False) -> Any:
    """The old format: magic number, version, facts about the system, content, keys of the storages.

    Then the storages.
    """
    places: dict[str, tuple[int, int]] = {}

    def read(storage: Storage) -> bytes:
        if storage.key not in places:
            raise DamageError("refers to numbers that are not in the file")
        start, stop = places[storage.key]
        return data[start:stop]

    at, parts, storages = 0, [], {}
    for _ in range(5):
        machine = _TensorMachine(data, budget, read, embedded=embedded)
        part, at = machine.run_from(at)
        parts.append(part)
        storages |= machine.storages
    magic, _, system, content, keys = parts
    if magic != TORCH_MAGIC or type(keys) is not list or not all(type(key) is str for key in keys):
        raise DamageError("was not written by torch.save")
    if type(system) is dict and system.get("little_endian") is False:
        raise RefusalError("was written by a big-endian computer")
    for key in keys:
        if key not in storages or at + 8 > len(data):
            raise DamageError("is cut short, or holds numbers that belong to nothing")
        count = int.from_bytes(data[at : at + 8], "little")
        stop = at + 8 + count * storages[key].dtype.itemsize
        if stop > len(data):
            raise DamageError(
                f"is cut short: {stop - at - 8} bytes of numbers announced, {len(data) - at - 8} "
                "there"
            )
        places[key] = (at + 8, stop)
        at = stop
    return content


def _zipped(path: Path) -> Any:
    budget = Budget(path.stat().st_size)
    with zipfile.ZipFile(path) as archive:
        records = {record.filename: record for record in archive.infolist()}
        if len(records) > _MOST_RECORDS:
            raise RefusalError(f"holds more than {_MOST_RECORDS:,} records")
        mains = [name for name in records if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(mains) != 1:
            raise DamageError("is a zip archive, but none of torch.save")
        folder = mains[0].removesuffix("data.pkl")

        def content_of(name: str) -> bytes:
            record = records.get(name)
            if record is None:
                raise DamageError(f"lacks the record {name}")
            if record.compress_type != zipfile.ZIP_STORED or record.flag_bits & 1:
                raise RefusalError(
                    f"holds the compressed record {name}; torch.save compresses nothing"
                )
            budget.spend(record.file_size)
            return archive.read(record)  # compared with its checksum

        if f"{folder}byteorder" in records and content_of(f"{folder}byteorder") != b"little":
            raise RefusalError("was written by a big-endian computer")
        machine = _TensorMachine(
            content_of(mains[0]), budget, lambda storage: content_of(f"{folder}data/{storage.key}")
        )
        return _made(machine.run(), budget)


def _made(content: Any, budget: Budget) -> Any:
    """The content with its tensors made, also those in containers within containers."""
    finished: dict[
        tuple[int, int], Any
    ] = {}  # shared containers once: a few could stand for any number

    def made(value: Any, depth: int) -> Any:
        if type(value) not in (Tensor, dict, list, tuple) or (
            type(value) is not Tensor and depth == _DEEPEST
        ):
            return value
        at = (id(value), depth)
        if at not in finished:
            if type(value) is Tensor:
                finished[at] = value.make(budget)
            elif type(value) is dict:
                finished[at] = {key: made(item, depth + 1) for key, item in value.items()}
            else:
                finished[at] = type(value)(made(item, depth + 1) for item in value)
        return finished[at]

    return made(content, 0)


def holds_objects(content: Any, deepest: int = _DEEPEST) -> bool:
    """Whether the content, or something in its containers, is an object that was left inert."""
    level, seen = [content], set()
    for _ in range(deepest + 1):
        below = []
        for part in level:
            if type(part) in (Call, Name):
                return True
            if id(part) in seen:  # shared containers once
                continue
            seen.add(id(part))
            below += (
                part.values()
                if isinstance(part, Mapping)
                else part
                if isinstance(part, (list, tuple))
                else ()
            )
        level = below
    return False

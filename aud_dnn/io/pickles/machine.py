"""Read the instructions of a pickle without carrying out any call that they ask for.

A pickle is a small program for a stack machine. Python's own machine imports whatever the program
names and calls it; even one that is held to a list of names hands hostile arguments to real
constructors, sets attributes on what they return, hashes what the program made, and reserves as
much memory as a length field claims. This machine therefore does none of that. It understands only
the instructions that protocols 2 to 5 write for data, and the only objects it makes are None, bool,
int, float, str, bytes, list, dict, set, tuple, and two inert records of ours: :class:`Name` (a
global that was asked for; never imported) and :class:`Call` (a name with the arguments and the
state that were meant for it; never called). What the records mean is decided afterwards, in
:mod:`aud_dnn.io.pickles.safe_pickle`.

Bounds that hold for any file:

* a name that is not in the caller's table stops the reading at once;
* extension codes, persistent ids, out-of-band buffers and the text instructions of protocols 0 and
  1 are refused;
* state can be given once, and only to a :class:`Call`;
* keys of dictionaries and elements of sets are plain scalars or flat, short tuples of them, so that
  hashing is cheap (a
  tuple nested a million times would crash the interpreter when hashed);
* nothing is reserved ahead of the bytes that fill it, long byte strings are views of the file, and
  copies are paid from
  a :class:`Budget` in proportion to the length of the file;
* the numbers of instructions, of containers and of remembered objects are bounded, and with them
  the time.
"""

from __future__ import annotations

import mmap
import pickletools
import struct
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NoReturn

import numpy as np

from aud_dnn.io.pickles.opcodes import bytes_of, describe, number_of, steps_by_code, text_of

from .records import Budget, Call, DamageError, Name, RefusalError

MAX_STEPS = (
    5_000_000  # instructions: some three seconds, and half a gigabyte where each makes an object
)
MAX_MEMO = 2_000_000  # objects that are remembered to be met again
MAX_TUPLES = 2_000_000
# lists, dicts, sets and calls; the largest published file needs some hundred thousand
MAX_RECORDS = 1_000_000
MAX_MARKS = 1000  # containers that are open at the same time
MAX_KEY_TUPLE = 32
_INT_KEYS = range(-(2**63), 2**64)
_INSTRUCTION_NAMES = {ord(code.code): code.name for code in pickletools.opcodes}


def key_of(value: Any) -> Any:
    """Return ``value`` as a key of a dictionary, or refuse it."""
    kind = type(value)
    if kind in (str, float, bool, bytes) or value is None or isinstance(value, np.generic):
        return value
    if kind is int and value in _INT_KEYS:
        return value
    if kind is memoryview:
        return bytes(value)
    if (
        kind is tuple
        and len(value) <= MAX_KEY_TUPLE
        and not any(type(part) is tuple for part in value)
    ):
        return tuple(key_of(part) for part in value)
    raise RefusalError(
        "uses something other than plain scalars as the key of a dictionary or element of a set"
    )


class PickleMachine:
    """Run the instructions of one pickle.

    Parameters
    ----------
    data : bytes
        The whole file.
    names : mapping of (module, name) to str
        The globals that may be asked for, and our name for each.
    calls : mapping of str to callable
        What to do at once for a call of a kind: a function of ours from the tuple of arguments to a
        plain value. Calls of other kinds become a :class:`Call`.
    budget : Budget
        Pays for copies.
    """

    steps: ClassVar[Mapping[int, Callable[[Any], None]]]  # set below

    def __init__(
        self,
        data: bytes | mmap.mmap,
        names: Mapping[tuple[str, str], str],
        calls: Mapping[str, Callable[[tuple], Any]],
        budget: Budget,
    ) -> None:
        self._data = data
        self._view = memoryview(data)
        self._names = names
        self._calls = calls
        self._budget = budget
        self._at = self._begin = 0
        self._records = self._tuples = 0
        self._stack: list = []
        self._below: list[list] = []  # the stacks under the open marks
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        """Return what the pickle describes, with :class:`Name` and :class:`Call` for everything
        that is not plain.

        Raises
        ------
        RefusalError, DamageError
            See the module's description.
        """
        content, end = self.run_from(0)
        if end != len(self._data):
            raise DamageError(f"ends at byte {end}, but the file has {len(self._data)}")
        return content

    def run_from(self, start: int) -> tuple[Any, int]:
        """The same for a pickle that begins at byte ``start``; also the byte after its end."""
        data, steps = self._data, self.steps
        self._at, self._begin = start, start
        try:
            for _ in range(MAX_STEPS):
                code = data[self._at]
                if code == _STOP:
                    break
                self._at += 1
                step = steps.get(code)
                if step is None:
                    self._refuse(code)
                step(self)
            else:
                raise RefusalError(f"has more than {MAX_STEPS:,} instructions")
        except (IndexError, struct.error, UnicodeDecodeError):
            raise DamageError(
                f"is cut short or corrupt near byte {self._at} of {len(data)}"
            ) from None
        if len(self._stack) != 1 or self._below:
            raise DamageError("does not end with exactly one object")
        return self._stack.pop(), self._at + 1

    def _refuse(self, code: int) -> NoReturn:
        name = _INSTRUCTION_NAMES.get(code)
        if name is None or self._at == self._begin + 1:
            raise DamageError(
                f"is not a pickle, or is corrupt (byte {self._at - 1} is {code:#04x})"
            )
        if name == "INST":
            raise RefusalError(f"asks for {self._global(self._line(), self._line())}")
        if name in ("EXT1", "EXT2", "EXT4"):
            raise RefusalError(f"asks for an entry of the extension registry ({name})")
        if name in ("PERSID", "BINPERSID"):
            raise RefusalError(f"asks for an object by a persistent id ({name})")
        if name in ("NEXT_BUFFER", "READONLY_BUFFER"):
            raise RefusalError(f"asks for a buffer kept outside of the file ({name})")
        raise RefusalError(
            f"uses the instruction {name}, which protocols 2 to 5 do not write for plain data"
        )

    # reading

    def _unpack(self, form: struct.Struct) -> int:
        (number,) = form.unpack_from(self._data, self._at)
        self._at += form.size
        return number

    def _take(self, length: int) -> memoryview:
        start, stop = self._at, self._at + length
        if stop > len(self._data):
            raise DamageError(
                f"is cut short: {length} bytes announced at byte {start}, "
                f"{len(self._data) - start} there"
            )
        self._at = stop
        return self._view[start:stop]

    def _line(self) -> str:
        stop = self._data.find(b"\n", self._at)
        if stop < 0:
            raise DamageError(f"is cut short near byte {self._at}")
        return str(self._take(stop + 1 - self._at)[:-1], "utf-8")

    def _count(self) -> None:
        self._records += 1
        if self._records > MAX_RECORDS:
            raise RefusalError(f"makes more than {MAX_RECORDS} containers")

    def _count_tuple(self) -> None:
        self._tuples += 1
        if self._tuples > MAX_TUPLES:
            raise RefusalError(f"makes more than {MAX_TUPLES} tuples")

    # plain values

    def _protocol(self) -> None:
        protocol = self._unpack(_U1)
        if protocol > 5:
            raise DamageError(f"claims pickle protocol {protocol}; 2 to 5 are known")

    def _frame(self) -> None:
        length = self._unpack(_U8)
        if length > len(self._data) - self._at:
            raise DamageError(
                f"is cut short: a frame of {length} bytes announced, {len(self._data) - self._at} "
                "there"
            )

    def _long(self) -> None:
        self._stack.append(int.from_bytes(self._take(self._unpack(_U1)), "little", signed=True))

    def _empty(self, make: Callable[[], Any]) -> None:
        self._count()
        self._stack.append(make())

    # containers

    def _mark(self) -> None:
        if len(self._below) == MAX_MARKS:
            raise RefusalError(f"nests more than {MAX_MARKS} containers")
        self._below.append(self._stack)
        self._stack = []

    def _items(self) -> list:
        items, self._stack = self._stack, self._below.pop()
        return items

    def _tuple(self, length: int) -> None:
        stack = self._stack
        if len(stack) < length:
            raise IndexError
        self._count_tuple()
        stack[-length:] = [tuple(stack[-length:])]

    def _marked_tuple(self) -> None:
        self._count_tuple()
        items = tuple(self._items())
        self._stack.append(items)

    def _extend(self, items: list) -> None:
        target = self._stack[-1]
        if type(target) is not list:
            raise RefusalError(f"appends to something that is not a list ({describe(target)})")
        target.extend(items)

    def _set_items(self, items: list) -> None:
        target = self._stack[-1]
        if type(target) is not dict:
            raise RefusalError(
                f"sets items of something that is not a dictionary ({describe(target)})"
            )
        if len(items) % 2:
            raise DamageError("holds a dictionary with a key but no value")
        for key, value in zip(items[::2], items[1::2]):
            target[key_of(key)] = value

    def _add_items(self) -> None:
        items = self._items()
        target = self._stack[-1]
        if type(target) is not set:
            raise RefusalError(f"adds to something that is not a set ({describe(target)})")
        target.update(map(key_of, items))

    def _set_item(self) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._set_items([key, value])

    def _frozenset(self) -> None:
        self._count()
        items = frozenset(map(key_of, self._items()))
        self._stack.append(items)

    # memory

    def _recall(self, index: int) -> None:
        try:
            self._stack.append(self._memo[index])
        except KeyError:
            raise DamageError(f"refers to entry {index} of its memory, which is empty") from None

    def _memoize(self, index: int) -> None:
        if len(self._memo) >= MAX_MEMO:
            raise RefusalError(f"remembers more than {MAX_MEMO:,} objects")
        self._memo[index] = self._stack[-1]

    # names and calls

    def _global(self, module: Any, name: Any) -> str:
        text = (
            f"{module}.{name}"
            if isinstance(module, str) and isinstance(name, str)
            else "a global with no proper name"
        )
        return f"`{ascii(text)[1:-1][:160]}`"

    def _named(self, module: Any, name: Any) -> None:
        # The type is checked first: a record, a list or a deep tuple must not be hashed.
        kind = (
            self._names.get((module, name)) if type(module) is str and type(name) is str else None
        )
        if kind is None:
            raise RefusalError(f"asks for {self._global(module, name)}")
        self._stack.append(Name(f"{module}.{name}", kind))

    def _stack_global(self) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        self._named(module, name)

    def _call(self, new: bool) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        if type(function) is not Name:
            raise RefusalError(
                f"calls something that is not a known function ({describe(function)})"
            )
        if type(arguments) is not tuple:
            raise DamageError(f"calls {function.asked} without a tuple of arguments")
        at_once = self._calls.get(function.kind)
        if at_once is None:
            self._count()
            self._stack.append(Call(function, arguments))
        elif new:
            raise RefusalError(f"makes a new {function.asked} in a way that plain data never need")
        else:
            try:
                self._stack.append(at_once(arguments))
            except (TypeError, ValueError):
                raise RefusalError(
                    f"calls {function.asked} with arguments that plain data never need"
                ) from None

    def _build(self) -> None:
        state, target = self._stack.pop(), self._stack[-1]
        if type(target) is not Call or target.filled:
            raise RefusalError(f"sets the state of something that takes none ({describe(target)})")
        target.state = state
        target.filled = True


_U1, _U2, _I4 = struct.Struct("<B"), struct.Struct("<H"), struct.Struct("<i")
_U4, _U8, _F8 = struct.Struct("<I"), struct.Struct("<Q"), struct.Struct(">d")
_STOP = ord(".")


_BY_NAME: dict[str, Callable[[PickleMachine], None]] = {
    "PROTO": PickleMachine._protocol,
    "FRAME": PickleMachine._frame,
    "NONE": lambda machine: machine._stack.append(None),
    "NEWTRUE": lambda machine: machine._stack.append(True),
    "NEWFALSE": lambda machine: machine._stack.append(False),
    "BININT": number_of(_I4),
    "BININT1": number_of(_U1),
    "BININT2": number_of(_U2),
    "LONG1": PickleMachine._long,
    "BINFLOAT": number_of(_F8),
    "SHORT_BINUNICODE": text_of(_U1),
    "BINUNICODE": text_of(_U4),
    "BINUNICODE8": text_of(_U8),
    "SHORT_BINBYTES": bytes_of(_U1),
    "BINBYTES": bytes_of(_U4),
    "BINBYTES8": bytes_of(_U8),
    "BYTEARRAY8": bytes_of(_U8),
    "EMPTY_TUPLE": lambda machine: machine._stack.append(()),
    "TUPLE1": lambda machine: machine._tuple(1),
    "TUPLE2": lambda machine: machine._tuple(2),
    "TUPLE3": lambda machine: machine._tuple(3),
    "TUPLE": PickleMachine._marked_tuple,
    "MARK": PickleMachine._mark,
    "EMPTY_LIST": lambda machine: machine._empty(list),
    "APPEND": lambda machine: machine._extend([machine._stack.pop()]),
    "APPENDS": lambda machine: machine._extend(machine._items()),
    "EMPTY_DICT": lambda machine: machine._empty(dict),
    "SETITEM": PickleMachine._set_item,
    "SETITEMS": lambda machine: machine._set_items(machine._items()),
    "EMPTY_SET": lambda machine: machine._empty(set),
    "ADDITEMS": lambda machine: machine._add_items(),
    "FROZENSET": PickleMachine._frozenset,
    "MEMOIZE": lambda machine: machine._memoize(len(machine._memo)),
    "BINPUT": lambda machine: machine._memoize(machine._unpack(_U1)),
    "LONG_BINPUT": lambda machine: machine._memoize(machine._unpack(_U4)),
    "BINGET": lambda machine: machine._recall(machine._unpack(_U1)),
    "LONG_BINGET": lambda machine: machine._recall(machine._unpack(_U4)),
    "GLOBAL": lambda machine: machine._named(machine._line(), machine._line()),
    "STACK_GLOBAL": PickleMachine._stack_global,
    "REDUCE": lambda machine: machine._call(new=False),
    "NEWOBJ": lambda machine: machine._call(new=True),
    "BUILD": lambda machine: machine._build(),
}


PickleMachine.steps = steps_by_code(_BY_NAME)

"""The instructions of pickles, and how their arguments are read."""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .records import Call, Name

if TYPE_CHECKING:
    from .machine import PickleMachine


def describe(value: Any) -> str:
    """What a value is, for messages."""
    return value.asked if isinstance(value, Name | Call) else type(value).__name__


def number_of(form: struct.Struct) -> Callable[[PickleMachine], None]:
    """The step that pushes a number."""
    return lambda machine: machine._stack.append(machine._unpack(form))


def text_of(form: struct.Struct) -> Callable[[PickleMachine], None]:
    """The step that pushes a text."""

    def step(machine: PickleMachine) -> None:
        start = machine._at + form.size
        stop = start + form.unpack_from(machine._data, machine._at)[0]
        if stop > len(machine._data):
            raise IndexError
        machine._at = stop
        machine._stack.append(str(machine._data[start:stop], "utf-8", "surrogatepass"))

    return step


def bytes_of(form: struct.Struct) -> Callable[[PickleMachine], None]:
    """The step that pushes bytes."""
    return lambda machine: machine._stack.append(machine._take(machine._unpack(form)))


def steps_by_code(by_name: Mapping[str, Callable[[Any], None]]) -> dict[int, Callable[[Any], None]]:
    """What to do for each instruction, by its byte instead of its name."""
    return {
        ord(code.code): by_name[code.name] for code in pickletools.opcodes if code.name in by_name
    }

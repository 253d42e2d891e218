"""What a pickle asked for, as inert records.

What may be copied out of it; and the two ways in which it can be wrong.
"""

from __future__ import annotations

from typing import Any


class RefusalError(Exception):
    """The pickle asks for something that plain data never need."""


class DamageError(Exception):
    """The pickle is cut short or contradicts itself."""


class Name:
    """A global that a pickle asked for. ``asked`` is its name in the file, ``kind`` ours for it."""

    __slots__ = ("asked", "kind")

    def __init__(self, asked: str, kind: str) -> None:
        self.asked = asked
        self.kind = kind


class Call:
    """A call that a pickle asked for and that was not made."""

    __slots__ = ("arguments", "asked", "filled", "kind", "state")

    def __init__(self, name: Name, arguments: tuple) -> None:
        self.asked = name.asked
        self.kind = name.kind
        self.arguments = arguments
        self.state: Any = None
        self.filled = False


class Budget:
    """How much may still be copied out of a pickle.

    A file cannot legitimately hold much more than its own length.
    """

    def __init__(self, n_bytes: int) -> None:
        self.total = (
            4 * n_bytes + 2**20
        )  # protocol 2 needs two copies (text to bytes to array); small files get some slack
        self.left = self.total

    def spend(self, amount: int) -> None:
        """Take ``amount`` off; raise :class:`RefusalError` when nothing is left."""
        self.left -= amount
        if self.left < 0:
            raise RefusalError("describes far more data than its own length could hold")

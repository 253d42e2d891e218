"""What is odd about the input but no error: readers attach it to what they read.

Scripts, results, figures show it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Remark:
    """Something odd that is no error: what, and where with counts and first ids."""

    what: str
    where: str

    def __str__(self) -> str:
        return f"{self.what}: {self.where}"

"""What a run of a comparison did, in words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import xarray as xr

from aud_dnn.conditions import CONDITIONS


class Unit(NamedTuple):
    """What can be computed, loaded or missing by itself."""

    model: str
    condition: str
    target: str
    roi: str


@dataclass
class RunReport:
    """What a run did.

    Attributes
    ----------
    computed, loaded : list of Unit
    missing : dict
        (model, condition) without activations -> why.
    failed : dict
        (model, condition) -> the error that its activations gave. Everything else was still
        computed.
    notes : list of str
        Things to know that are not errors.
    """

    computed: list[Unit] = field(default_factory=list)
    loaded: list[Unit] = field(default_factory=list)
    missing: dict[tuple[str, str], str] = field(default_factory=dict)
    failed: dict[tuple[str, str], str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def summary(self) -> str:
        """The list that the script prints at the end."""
        lines = []
        for title, units in (("computed", self.computed), ("loaded", self.loaded)):
            models = by_model(dict.fromkeys(unit[:2] for unit in units))
            lines.append(f"{title}: {len(units)} results" + (f" of {models}" if models else ""))
        lines.append(
            f"missing (no activations on disk, left out): {by_model(self.missing) or 'none'}"
        )
        lines += [
            f"FAILED: {model} ({condition}): {why}"
            for (model, condition), why in self.failed.items()
        ]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


def by_model(pairs: Iterable[tuple[str, str]]) -> str:
    """``A, B (trained)``: a condition is named where a model has only one."""
    conditions: dict[str, list[str]] = {}
    for model, condition in pairs:
        conditions.setdefault(model, []).append(condition)
    return ", ".join(
        model if len(found) == len(CONDITIONS) else f"{model} ({found[0]})"
        for model, found in conditions.items()
    )


@dataclass(frozen=True)
class ComparisonRun:
    """Outcome of a run: the report, and the dataset of every (target, region)."""

    report: RunReport
    datasets: dict[tuple[str, str], xr.Dataset]

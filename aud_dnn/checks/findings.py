"""What an inspection finds, and the table that people read."""

from __future__ import annotations

import hashlib
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TextIO

import numpy as np

from aud_dnn.utils import few


@dataclass(frozen=True)
class Finding:
    """What was found in one place.

    Attributes
    ----------
    where : str
        The target, the layer of a model, the folder.
    what : str
        Shape, type, counts.
    problems, notes : tuple of str
        One sentence each.
    """

    where: str
    what: str
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def count(number: int, noun: str) -> str:
    """``3 voxels``, ``1 voxel``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def first(names: Iterable[object], how_many: int = 3) -> str:
    """The first few names."""
    return few(list(names), how_many)


def repeated_rows(array: np.ndarray, ids: Sequence[str], what: str) -> list[str]:
    """A note when several sounds have the same row; no note otherwise."""
    same: dict[bytes, list[str]] = defaultdict(list)
    for sound, row in zip(ids, array):
        same[hashlib.sha256(np.ascontiguousarray(row)).digest()].append(sound)
    groups = [group for group in same.values() if len(group) > 1]
    if not groups:
        return []
    return [f"{sum(map(len, groups))} sounds share their {what} with another: {' = '.join(groups[0][:3])}"]


def report(findings: Iterable[Finding], stream: TextIO | None = None) -> int:
    """Print the findings as a table; 1 if there is a problem, else 0."""
    out = stream or sys.stdout
    n_findings = n_problems = n_notes = 0
    print(f"{'where':44} {'what':60} state", file=out)
    for finding in findings:
        state = "PROBLEM" if finding.problems else "note" if finding.notes else "-" if "here" in finding.what else "ok"
        where = finding.where if len(finding.where) <= 44 else finding.where[:43] + "…"
        print(f"{where:44} {finding.what:60} {state}", file=out, flush=True)
        for kind, sentences in (("PROBLEM", finding.problems), ("note", finding.notes)):
            for sentence in sentences:
                print(f"    {kind}: {sentence}", file=out)
        n_findings += 1
        n_problems += len(finding.problems)
        n_notes += len(finding.notes)
    print(f"{count(n_findings, 'place')} looked at: {count(n_problems, 'problem')}, {count(n_notes, 'note')}.", file=out)
    return 1 if n_problems else 0

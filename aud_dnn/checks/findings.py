"""What an inspection finds, and the table that people read."""

from __future__ import annotations

import hashlib
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TextIO

import numpy as np

from aud_dnn.errors import printable
from aud_dnn.utils import few

_OF_A_KIND = 3  # so many sentences of a kind are shown in full


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
    return [
        f"{sum(map(len, groups))} sounds share their {what} with another: "
        f"{' = '.join(groups[0][:3])}"
    ]


def counted(sentences: Sequence[str]) -> list[str]:
    """The sentences, with many of a kind (but for sounds, files, sizes: words with a digit) shown
    once and counted.
    """
    kinds: dict[str, list[str]] = defaultdict(list)
    for sentence in sentences:
        kinds[re.sub(r"\S*\d\S*", "#", sentence)].append(sentence)
    return [
        line
        for same in kinds.values()
        for line in (
            same if len(same) <= _OF_A_KIND else [f"{same[0]} (and {len(same) - 1} more like this)"]
        )
    ]


def report(findings: Iterable[Finding], stream: TextIO | None = None) -> int:
    """Print the findings as a table; 1 if there is a problem, else 0."""
    out = stream or sys.stdout
    n_findings = n_problems = n_notes = 0
    said: dict[str, str] = {}  # long sentences, and where they were said first
    print(f"{'where':44} {'what':60} state", file=out)
    for finding in findings:
        state = (
            "PROBLEM"
            if finding.problems
            else "note"
            if finding.notes
            else "-"
            if "here" in finding.what
            else "ok"
        )
        where = finding.where if len(finding.where) <= 44 else finding.where[:43] + "…"
        print(printable(f"{where:44} {finding.what:60} {state}"), file=out, flush=True)
        for kind, sentences in (("PROBLEM", finding.problems), ("note", finding.notes)):
            for sentence in counted(sentences):
                if sentence in said:
                    sentence = f"{sentence[:60]}… as for {said[sentence]}"
                elif len(sentence) > 100:
                    said[sentence] = finding.where
                print(f"    {kind}: {printable(sentence)}", file=out)
        n_findings += 1
        n_problems += len(finding.problems)
        n_notes += len(finding.notes)
    print(
        f"{count(n_findings, 'place')} looked at: {count(n_problems, 'problem')}, "
        f"{count(n_notes, 'note')}.",
        file=out,
    )
    return 1 if n_problems else 0

"""What a target of one's own is: sounds, neuroids, repetitions, times, splits, and oddities."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from aud_dnn.checks.findings import Finding, count, first
from aud_dnn.errors import InputError
from aud_dnn.methods.repetitions import measured_repetitions
from aud_dnn.targets.facts import TARGETS
from aud_dnn.targets.loading import Target
from aud_dnn.targets.target_files import read_target


def check_target_file(path: str | Path, published: Sequence[str] = ()) -> Finding:
    """Read a target as the analyses do, and describe it.

    Parameters
    ----------
    path : str or Path
        A file or folder.
    published : sequence of str, optional
        Ids of the published stimuli of an installation, in order.
    """
    try:
        target = read_target(path, published=published)
    except InputError as error:
        return Finding(str(path), "no target", (str(error),))
    problems = []
    if target.name.casefold() in {name.casefold() for name in TARGETS}:
        problems.append(f"{target.name} is the name of a published target; give this one another")
    return Finding(
        target.name, _shape(target), tuple(problems), (*_facts(target), *map(str, target.remarks))
    )


def _shape(target: Target) -> str:
    neuroids, times = _neuroids_and_times(target)
    parts = [
        count(len(target.stimuli), "sound"),
        count(neuroids, "neuroid"),
        count(target.responses.shape[2], "repetition"),
    ]
    return ", ".join(parts + ([count(len(times), "time")] if target.facts.has_time else []))


def _neuroids_and_times(target: Target) -> tuple[int, np.ndarray]:
    times = target.metadata["time"].unique() if target.facts.has_time else np.zeros(1)
    return target.n_voxels // len(times), times


def _facts(target: Target) -> list[str]:
    """One sentence each."""
    splits = target.splits
    train, test = splits.train.sum(axis=1), splits.test.sum(axis=1)
    _, times = _neuroids_and_times(target)
    facts = [
        f"{count(len(splits), 'split')}: {splits.kind}, {_range(train)} sounds train, "
        f"{_range(test)} test" + ("" if splits.seed is None else f", seed {splits.seed}"),
        "scores are corrected for noise"
        if target.has_repetitions
        else "one repetition: scores are not corrected for noise",
    ]
    if target.has_repetitions:
        number = measured_repetitions(target.responses).sum(axis=1)
        facts.append(f"repetitions of a neuroid: {_range(number)}")
    if target.facts.has_time:
        facts.append(f"times: {times[0]:g} to {times[-1]:g} s")
    for column, what in (("subj_idx", "participants"), ("roi_label_general", "regions")):
        if column in target.metadata:
            labels = target.metadata[column].dropna().astype(str).unique()
            facts.append(f"{what}: {first(sorted(labels), 6)}")
        else:
            facts.append(f"no {what}")
    facts += [f"{key}: {text}" for key, text in target.about.items()]
    return facts


def _range(numbers: np.ndarray) -> str:
    low, high = int(numbers.min()), int(numbers.max())
    return str(low) if low == high else f"{low} to {high}"

"""One model in one condition: read it, score it on everything asked for, write it.

In this process or in several.

The neural side is in memory once, however many processes there are
(:class:`aud_dnn.io.shared_arrays.SharedArrays`). Every number is computed in one way, whatever else
is asked for and however many processes share the work: each target and region by itself, with one
thread of the linear-algebra library. Equal input gives equal files, bit by bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

import numpy as np

from aud_dnn.conditions import Condition
from aud_dnn.errors import InputError
from aud_dnn.io.digests import array_digest, combined_digest
from aud_dnn.io.files import open_h5
from aud_dnn.io.h5_structure import h5_dataset_names
from aud_dnn.io.memory import available_memory
from aud_dnn.io.processes import run_in_processes
from aud_dnn.io.shared_arrays import SharedArrays
from aud_dnn.methods.comparing.sides import Vectors, model_side, score_model
from aud_dnn.methods.method import Comparison, find_method
from aud_dnn.methods.threads import one_blas_thread
from aud_dnn.paths import ProjectPaths
from aud_dnn.runs.comparison_origins import ACTIVATIONS
from aud_dnn.runs.own_targets import open_for_targets
from aud_dnn.splits import Splits
from aud_dnn.store.comparison_parts import (
    model_arrays,
    model_part_path,
    score_arrays,
    score_part_path,
    write_part,
)
from aud_dnn.targets.facts import TARGETS
from aud_dnn.utils import Activations, Stimuli, activation_files, few

Tasks = dict[tuple[str, str], list[tuple[str, str]]]
"""(model, condition) -> the (target, region)s to score it on."""

_PER_PROCESS = 250 << 20  # bytes: the interpreter with its libraries, and the vectors of a model
_VECTORS = ("all_sounds", "train", "test")


@dataclass(frozen=True)
class Sounds:
    """The sounds of a target, and their splits.

    Attributes
    ----------
    stimuli : Stimuli
    order : int array
        From the order of ``stimuli`` to that of the splits.
    splits : Splits
    """

    stimuli: Stimuli
    order: np.ndarray
    splits: Splits


@dataclass(frozen=True)
class Shared:
    """What every model is scored with.

    Attributes
    ----------
    paths : ProjectPaths
    folder : Path
        Where the results of the method go.
    method_name : str
        Name or file; workers find the method by it.
    published : Stimuli or None
        The published sounds of this installation.
    pairs : sequence of (target, region)
    arrays : sequence of arrays
        The vectors of each pair in turn, three arrays each.
    made_from : mapping from target to its digests
    sounds : mapping from target to Sounds
    """

    paths: ProjectPaths
    folder: Path
    method_name: str
    published: Stimuli | None
    pairs: Sequence[tuple[str, str]]
    arrays: Sequence[np.ndarray]
    made_from: Mapping[str, Mapping[str, str]]
    sounds: Mapping[str, Sounds]

    @property
    def method(self) -> Comparison:
        """How representations are compared."""
        return _method(self.method_name)

    def open(self, model: str, condition: str, target: str) -> Activations:
        """The activations of a model for the sounds of a target."""
        return open_for_targets(
            self.paths,
            model,
            {target: self.sounds[target].stimuli},
            self.published,
            randnetw=condition == Condition.PERMUTED,
            layers=None,
        )[target]

    def vectors(self, pair: tuple[str, str]) -> Vectors:
        """The neural side of one target and region."""
        start = len(_VECTORS) * self.pairs.index(pair)
        return Vectors(**{name: self.arrays[start + place] for place, name in enumerate(_VECTORS)})


@cache
def _method(name: str) -> Comparison:
    return find_method(name, Comparison)


def flat(vectors: Mapping[tuple[str, str], Vectors]) -> list[np.ndarray]:
    """All arrays of all pairs, as :class:`Shared` has them."""
    return [getattr(item, name) for item in vectors.values() for name in _VECTORS]


@dataclass(frozen=True)
class Remarks:
    """What is worth a note about one model in one condition.

    And the digest of its activations for each target.
    """

    activations: dict[str, str]
    undefined_layers: list[str] = field(default_factory=list)
    n_constant: int = 0
    n_constant_on_training_half: int = 0


def score_one(shared: Shared, model: str, condition: str, pairs: list[tuple[str, str]]) -> Remarks:
    """Compute and write everything asked for about one model in one condition.

    Returns what is worth a note.
    """
    digests: dict[str, str] = {}
    undefined: list[str] = []
    n_constant = n_sometimes = 0
    for targets in _of_the_same_sounds(shared, [target for target, _ in pairs]):
        first, sounds = targets[0], shared.sounds[targets[0]]
        layer_digests: list[str] = []

        def layers(
            target: str = first, found: list[str] = layer_digests
        ) -> Iterator[tuple[str, np.ndarray]]:
            for name, array in shared.open(model, condition, target).items():
                found.append(f"{name} {array_digest(array)}")
                yield name, array

        try:
            side = model_side(layers(), sounds.order, sounds.splits, shared.method)
        except ValueError as error:
            raise InputError(f"{model} ({condition}), {first}: {error}") from error
        digest = combined_digest(layer_digests)
        digests |= dict.fromkeys(targets, digest)
        for target, roi in pairs:
            if target in targets:
                scores = score_model(shared.vectors((target, roi)), side)
                write_part(
                    score_part_path(shared.folder, target, roi, model, condition),
                    {"layers": np.array(side.layers), **score_arrays(scores)},
                    {
                        "model": model,
                        "condition": condition,
                        "target": target,
                        "roi": roi,
                        "made_from": {**shared.made_from[target], ACTIVATIONS: digest},
                    },
                )
        for own in dict.fromkeys("" if target in TARGETS else target for target in targets):
            write_part(
                model_part_path(shared.folder, model, condition, own),
                model_arrays(side),
                {
                    "model": model,
                    "condition": condition,
                    **({"target": own} if own else {}),
                    "made_from": {
                        ACTIVATIONS: digest,
                        "stimuli": shared.made_from[own or first]["stimuli"],
                    },
                },
            )
        undefined += [
            layer
            for layer, rdm in zip(side.layers, side.rdms)
            if np.isnan(rdm).any() and layer not in undefined
        ]
        sometimes = side.n_constant_units_train.max(axis=1, initial=0) - side.n_constant_units
        n_constant = max(n_constant, int(side.n_constant_units.sum()))
        n_sometimes = max(n_sometimes, int(sometimes.sum()))
    return Remarks(digests, undefined, n_constant, n_sometimes)


def _of_the_same_sounds(shared: Shared, targets: Sequence[str]) -> list[list[str]]:
    """Targets that share the side of a model: the same sounds in the same splits."""
    groups: dict[tuple[object, ...], list[str]] = {}
    for target in dict.fromkeys(targets):
        sounds = shared.sounds[target]
        key = (
            sounds.stimuli.ids,
            sounds.order.tobytes(),
            sounds.splits.train.tobytes(),
            sounds.splits.test.tobytes(),
            shared.made_from[target]["stimuli"],
        )
        groups.setdefault(key, []).append(target)
    return list(groups.values())


def notes_on(remarks: dict[tuple[str, str], Remarks]) -> list[str]:
    """One note of each kind, with the first few places."""
    notes = []
    undefined = [
        f"{model} ({condition}) {layer}"
        for (model, condition), found in remarks.items()
        for layer in found.undefined_layers
    ]
    if undefined:
        notes.append(
            f"{len(undefined)} layer(s) have an undefined RDM (a sound has the same value in all "
            f"units), hence no similarity, and are never the best: {few(undefined)}."
        )
    for kind, consequence in (
        ("n_constant", "do not vary over the sounds and carry nothing"),
        (
            "n_constant_on_training_half",
            "vary over the sounds but not over the training sounds of "
            "some split; there they keep their own scale, as published",
        ),
    ):
        counts = {
            f"{model} ({condition})": getattr(found, kind)
            for (model, condition), found in remarks.items()
        }
        places = [f"{name} {count}" for name, count in counts.items() if count]
        if places:
            notes.append(f"{sum(counts.values())} unit(s) {consequence}: {few(places)}.")
    return notes


# --- in processes -------------------------------------------------------------------------------


def score_task(
    shared: Shared, task: tuple[str, str, list[tuple[str, str]]]
) -> Remarks | InputError:
    """:func:`score_one`; an error in the input of a task is its outcome."""
    try:
        with one_blas_thread():
            return score_one(shared, *task)
    except InputError as error:
        return error
    except MemoryError as error:
        model, condition, _ = task
        raise MemoryError(f"{model} ({condition})") from error


def score_all(
    shared: Shared, tasks: Tasks, jobs: int
) -> Iterator[tuple[tuple[str, str], Remarks | InputError]]:
    """Score every task, in ``jobs`` processes; outcomes come as they are finished.

    Raises
    ------
    WorkerEndedError
        Memory ran out.
    """
    keys = list(tasks)
    work = partial(score_task, shared)
    share = shared.arrays.descriptors if isinstance(shared.arrays, SharedArrays) else ()
    needs = f"about {memory_needed(shared.paths, keys) / 1e6:.0f} MB for each process"
    for index, outcome in run_in_processes(
        work, [(*key, pairs) for key, pairs in tasks.items()], jobs, share=share, needs=needs
    ):
        yield keys[index], outcome


def memory_needed(paths: ProjectPaths, tasks: Sequence[tuple[str, str]]) -> int:
    """Bytes that a process needs for the largest of some models: an estimate."""
    return _PER_PROCESS + max((_working_set(paths, *task) for task in tasks), default=0)


def _working_set(paths: ProjectPaths, model: str, condition: str) -> int:
    try:
        files = activation_files(paths, model, randnetw=condition == Condition.PERMUTED)
        if files and files[0].suffix == ".h5":
            with open_h5(
                files[0]
            ) as file:  # layer by layer: as stored, in the order of the splits, in double precision
                return max(
                    (
                        file[name].size * (2 * file[name].dtype.itemsize + 8)
                        for name in h5_dataset_names(file)
                    ),
                    default=0,
                )
        return 4 * sum(path.stat().st_size for path in files)  # pickles are read whole
    except (InputError, OSError):
        return 0


def jobs_that_fit(paths: ProjectPaths, tasks: Sequence[tuple[str, str]], jobs: int) -> int:
    """``jobs``, or as many as the memory that is free has room for; one at least."""
    free = available_memory()
    return jobs if free is None else max(1, min(jobs, free // memory_needed(paths, tasks)))

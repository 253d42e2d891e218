"""One model in one condition: read it, score it on everything asked for, write it.

In this process or in several.

The neural side is in memory once, however many processes there are
(:class:`aud_dnn.io.processes.SharedArrays`). Every number is computed in one way, whatever else is
asked for and however many processes share the work: each target and region by itself, with one
thread of the linear-algebra library. Equal input gives equal files, bit by bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from aud_dnn.errors import InputError
from aud_dnn.io.digests import array_digest, combined_digest
from aud_dnn.io.files import h5_dataset_names, open_h5
from aud_dnn.io.memory import available_memory
from aud_dnn.io.processes import SharedArrays, run_in_processes
from aud_dnn.methods.rsa.analysis import Vectors, model_side, score_model
from aud_dnn.methods.threads import one_blas_thread
from aud_dnn.paths import ProjectPaths
from aud_dnn.runs.rsa_origins import ACTIVATIONS
from aud_dnn.store.rsa import (
    CONDITIONS,
    model_arrays,
    model_part_path,
    score_arrays,
    score_part_path,
    write_part,
)
from aud_dnn.utils import Stimuli, activation_files, few, open_activations

Tasks = dict[tuple[str, str], list[tuple[str, str]]]
"""(model, condition) -> the (target, region)s to score it on."""

_PER_PROCESS = 250 << 20  # bytes: the interpreter with its libraries, and the vectors of a model
_VECTORS = ("all_sounds", "train", "test")


@dataclass(frozen=True)
class Shared:
    """What every model is scored with.

    Attributes
    ----------
    paths : ProjectPaths
    stimuli : Stimuli
    pairs : sequence of (target, region)
    arrays : sequence of arrays
        The vectors of each pair in turn, three arrays each.
    made_from : mapping from target to its digests (:func:`aud_dnn.runs.rsa_origins.neural_digests`)
    order, train : arrays
    """

    paths: ProjectPaths
    stimuli: Stimuli
    pairs: Sequence[tuple[str, str]]
    arrays: Sequence[np.ndarray]
    made_from: Mapping[str, dict[str, str]]
    order: np.ndarray
    train: np.ndarray

    def vectors(self, pair: tuple[str, str]) -> Vectors:
        """The neural side of one target and region."""
        start = len(_VECTORS) * self.pairs.index(pair)
        return Vectors(**{name: self.arrays[start + place] for place, name in enumerate(_VECTORS)})


def flat(vectors: Mapping[tuple[str, str], Vectors]) -> list[np.ndarray]:
    """All arrays of all pairs, as :class:`Shared` has them."""
    return [getattr(item, name) for item in vectors.values() for name in _VECTORS]


@dataclass(frozen=True)
class Remarks:
    """What is worth a note about one model in one condition, and the digest of its activations."""

    activations: str
    undefined_layers: list[str] = field(default_factory=list)
    n_constant: int = 0
    n_constant_on_training_half: int = 0


def score_one(shared: Shared, model: str, condition: str, pairs: list[tuple[str, str]]) -> Remarks:
    """Compute and write everything asked for about one model in one condition.

    Returns what is worth a note.
    """
    activations = open_activations(
        shared.paths, model, shared.stimuli, randnetw=condition == CONDITIONS[1]
    )
    digests: list[str] = []

    def layers() -> Iterator[tuple[str, np.ndarray]]:
        for name, array in activations.items():
            digests.append(f"{name} {array_digest(array)}")
            yield name, array

    side = model_side(layers(), shared.order, shared.train)
    digest = combined_digest(digests)
    folder = shared.paths.rsa_results
    for target, roi in pairs:
        scores = score_model(shared.vectors((target, roi)), side)
        write_part(
            score_part_path(folder, target, roi, model, condition),
            {"layers": np.array(side.layers), **score_arrays(scores)},
            {
                "model": model,
                "condition": condition,
                "target": target,
                "roi": roi,
                "made_from": {**shared.made_from[target], ACTIVATIONS: digest},
            },
        )
    stimuli = next(iter(shared.made_from.values()))["stimuli"]
    write_part(
        model_part_path(folder, model, condition),
        model_arrays(side),
        {
            "model": model,
            "condition": condition,
            "made_from": {ACTIVATIONS: digest, "stimuli": stimuli},
        },
    )
    undefined = [layer for layer, rdm in zip(side.layers, side.rdms) if np.isnan(rdm).any()]
    sometimes = side.n_constant_units_train.max(axis=1, initial=0) - side.n_constant_units
    return Remarks(digest, undefined, int(side.n_constant_units.sum()), int(sometimes.sum()))


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
        files = activation_files(paths, model, randnetw=condition == CONDITIONS[1])
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

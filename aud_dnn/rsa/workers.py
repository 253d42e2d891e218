"""The workers of the RSA: each takes one model in one condition, reads it, scores it on everything asked for, writes it.

The neural side lies as plain arrays in a folder and is mapped into every worker's memory: it is there once, however many
workers there are.
"""

from __future__ import annotations

import hashlib
import itertools
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from aud_dnn.errors import InputError
from aud_dnn.paths import ProjectPaths
from aud_dnn.rsa.analysis import Vectors, model_side, score_model
from aud_dnn.rsa.results import CONDITIONS, model_arrays, model_part_path, score_arrays, score_part_path, write_part
from aud_dnn.utils import Stimuli, few, open_activations

Tasks = dict[tuple[str, str], list[tuple[str, str]]]
"""(model, condition) -> the (target, region)s to score it on."""

_VECTOR_FILES = ("all_sounds", "train", "test")


@dataclass(frozen=True)
class Shared:
    """What every worker needs; the vectors lie in ``folder`` as ``.npy`` files that are mapped, not copied."""

    paths: ProjectPaths
    stimuli: Stimuli
    folder: str
    rows: dict[tuple[str, str], slice]
    digests: dict[str, str]
    order: np.ndarray
    train: np.ndarray

    def vectors(self) -> Vectors:
        """The neural side, mapped from the files."""
        return Vectors(*(np.load(Path(self.folder) / f"{name}.npy", mmap_mode="r") for name in _VECTOR_FILES))


def lay_down(folder: str, vectors: dict[tuple[str, str], Vectors]) -> dict[tuple[str, str], slice]:
    """Write all neural vectors, stacked, into ``folder``; returns the rows of every (target, region)."""
    stops = list(itertools.accumulate(len(item.all_sounds) for item in vectors.values()))
    rows = {key: slice(start, stop) for key, start, stop in zip(vectors, [0, *stops], stops)}
    for name in _VECTOR_FILES:
        stacked = np.concatenate([getattr(item, name) for item in vectors.values()], axis=-2)
        try:
            with (Path(folder) / f"{name}.npy").open("wb") as file:     # np.save does not notice when the disk is full
                np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(stacked))
                file.write(stacked.data)
        except OSError as error:
            raise InputError(f"{folder} cannot hold {stacked.nbytes / 1e6:.0f} MB that workers share ({error.strerror}). "
                             "Make room, or point TMPDIR to a larger disk.") from error
    return rows


def digest_of_arrays(*arrays: np.ndarray) -> str:
    """A checksum of arrays: values, types and shapes."""
    state = hashlib.blake2b(digest_size=16)
    for array in arrays:
        array = np.ascontiguousarray(array)
        state.update(f"{array.dtype}{array.shape}".encode())
        state.update(memoryview(array).cast("B"))
    return state.hexdigest()


_worker: tuple[Shared, Vectors] | None = None


def _start_worker(shared: Shared) -> None:
    global _worker
    threadpool_limits(1)  # the workers share the cores among themselves
    _worker = shared, shared.vectors()


def _work(model: str, condition: str, pairs: list[tuple[str, str]]) -> Remarks:
    assert _worker is not None
    return score_one(*_worker, model, condition, pairs)


def score_one(shared: Shared, vectors: Vectors, model: str, condition: str, pairs: list[tuple[str, str]]) -> Remarks:
    """Compute and write everything asked for about one model in one condition; returns what is worth a note."""
    activations = open_activations(shared.paths, model, shared.stimuli, randnetw=condition == CONDITIONS[1])
    digests: list[str] = []

    def layers() -> Iterator[tuple[str, np.ndarray]]:
        for name, array in activations.items():
            digests.append(digest_of_arrays(array))
            yield name, array

    side = model_side(layers(), shared.order, shared.train)
    digest = hashlib.blake2b("".join(digests).encode(), digest_size=16).hexdigest()
    scores = score_model(vectors, side)  # all targets and regions in one product
    folder = shared.paths.rsa_results
    for target, roi in pairs:
        rows = shared.rows[target, roi]
        arrays = {name: array[rows] for name, array in score_arrays(scores).items()}
        write_part(score_part_path(folder, target, roi, model, condition), {"layers": np.array(side.layers), **arrays},
                   {"model": model, "condition": condition, "target": target, "roi": roi,
                    "neural_digest": shared.digests[target], "activations_digest": digest})
    write_part(model_part_path(folder, model, condition), model_arrays(side),
               {"model": model, "condition": condition, "activations_digest": digest})
    undefined = [layer for layer, rdm in zip(side.layers, side.rdms) if np.isnan(rdm).any()]
    sometimes = side.n_constant_units_train.max(axis=1, initial=0) - side.n_constant_units
    return Remarks(undefined, int(side.n_constant_units.sum()), int(sometimes.sum()))


@dataclass(frozen=True)
class Remarks:
    """What is worth a note about one model in one condition."""

    undefined_layers: list[str]
    n_constant: int
    n_constant_on_training_half: int


def notes_on(remarks: dict[tuple[str, str], Remarks]) -> list[str]:
    """One note of each kind, with the first few places."""
    notes = []
    undefined = [f"{model} ({condition}) {layer}" for (model, condition), found in remarks.items()
                 for layer in found.undefined_layers]
    if undefined:
        notes.append(f"{len(undefined)} layer(s) have an undefined RDM (a sound has the same value in all units), hence no "
                     f"similarity, and are never the best: {few(undefined)}.")
    for kind, consequence in (("n_constant", "do not vary over the sounds and carry nothing"),
                              ("n_constant_on_training_half", "vary over the sounds but not over the training sounds of "
                               "some split; there they keep their own scale, as published")):
        counts = {f"{model} ({condition})": getattr(found, kind) for (model, condition), found in remarks.items()}
        places = [f"{name} {count}" for name, count in counts.items() if count]
        if places:
            notes.append(f"{sum(counts.values())} unit(s) {consequence}: {few(places)}.")
    return notes


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_here(shared: Shared, tasks: Tasks) -> Iterator[tuple[tuple[str, str], Remarks | InputError]]:
    """Work in this process, task after task; an error in the input of a task is its outcome."""
    vectors = shared.vectors()
    for task, pairs in tasks.items():
        try:
            yield task, score_one(shared, vectors, *task, pairs)
        except InputError as error:
            yield task, error


def run_in_workers(jobs: int, shared: Shared, tasks: Tasks) -> Iterator[tuple[tuple[str, str], Remarks | InputError]]:
    """Work in ``jobs`` processes; outcomes come in the order in which they are finished."""
    # spawn: a forked child of a process with running library threads can hang
    executor = ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"), initializer=_start_worker,
                                   initargs=(shared,))
    try:
        futures = {executor.submit(_work, *task, pairs): task for task, pairs in tasks.items()}
        for future in as_completed(futures):
            error = future.exception()
            if error is not None and not isinstance(error, InputError):
                raise error
            yield futures[future], error if error is not None else future.result()
    finally:
        executor.shutdown(wait=True, cancel_futures=True)

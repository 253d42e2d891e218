"""How long a run will take, how much memory and disk: estimates, before anything is computed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from aud_dnn.conditions import Condition
from aud_dnn.errors import InputError
from aud_dnn.methods.threads import available_cores, one_blas_thread
from aud_dnn.paths import ProjectPaths
from aud_dnn.runs.comparison_report import Unit
from aud_dnn.splits import N_SOUNDS, N_SPLITS
from aud_dnn.utils import activation_files

_PER_MODEL = 0.5  # seconds to open, check and write, beside the arithmetic
_BYTES_PER_VALUE = 4  # of activations as they are stored
_PARTICIPANTS = 20
_PER_LAYER = 0.2  # seconds: eigenvalues of ten splits, digests
_MULTIPLICATIONS_PER_VOXEL = 5e6  # ten splits, 100 alphas, three repetitions
_WRITE_PER_VOXEL = 3e-5  # seconds: scores are packed, predictions are not
_PROCESS = 200 << 20  # bytes: the interpreter with its libraries


@dataclass(frozen=True)
class Estimate:
    """Attributes
    ----------
    seconds : float
    memory : int
        Bytes that one process needs.
    disk : int
        Bytes that results will take, at most.
    jobs : int
    """

    seconds: float
    memory: int
    disk: int
    jobs: int = 1

    def __str__(self) -> str:
        processes = "" if self.jobs == 1 else f" in each of {self.jobs} processes"
        return (
            f"about {duration(self.seconds)}, {self.memory / 1e6:,.0f} MB of memory{processes}, "
            f"up to {self.disk / 1e6:,.0f} MB on disk"
        )


def duration(seconds: float) -> str:
    """``40 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@cache
@one_blas_thread()
def multiplications_per_second() -> float:
    """What a core of this machine does, measured on the product that RSA and ridge consist of."""
    block = np.random.default_rng(0).standard_normal((N_SOUNDS, 2048))
    out = np.empty((N_SOUNDS, N_SOUNDS))
    np.matmul(block, block.T, out=out)
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < 0.02:
        np.matmul(block, block.T, out=out)
        count += 1
    return count * N_SOUNDS**2 * block.shape[1] / (time.perf_counter() - started)


def units_stored(paths: ProjectPaths, model: str, condition: str) -> float:
    """Units of all layers of a model, guessed from the size of its files."""
    try:
        files = activation_files(paths, model, randnetw=condition == Condition.PERMUTED)
        return sum(path.stat().st_size for path in files) / (_BYTES_PER_VALUE * N_SOUNDS)
    except (InputError, OSError):
        return 0.0


def comparison_estimate(
    paths: ProjectPaths, to_do: Sequence[Unit], *, jobs: int, memory: int
) -> Estimate:
    """Of a comparison of models with targets.

    The arithmetic is one product of all sounds and two of half of them for each split; passes over
    the activations cost about as much again.
    """
    keys = dict.fromkeys(unit[:2] for unit in to_do)
    n_units = sum(units_stored(paths, *key) for key in keys)
    multiplications = n_units * N_SOUNDS**2 * (1 + N_SPLITS / 2)
    seconds = 2 * multiplications / multiplications_per_second() + _PER_MODEL * len(keys)
    pairs = N_SOUNDS * (N_SOUNDS - 1) // 2
    layers = 15
    disk = len(keys) * 8 * layers * pairs + len(to_do) * 8 * layers * _PARTICIPANTS * (
        4 * N_SPLITS + 8
    )
    return Estimate(seconds / max(jobs, 1), memory, disk, jobs)


def fit_estimate(
    paths: ProjectPaths,
    model: str,
    *,
    randnetw: bool,
    layers: Sequence[str],
    columns: int,
    responses: int,
    disk: int,
) -> Estimate:
    """Of fits of layers to targets.

    Parameters
    ----------
    paths, model, randnetw
        Whose activations.
    layers : sequence of str
        To be decomposed.
    columns : int
        Voxels to be fitted, over all layers and targets.
    responses : int
        Bytes of the responses of all targets.
    disk : int
        Bytes of the results.
    """
    n_units = units_stored(paths, model, Condition.of(randnetw))
    rate = multiplications_per_second()
    seconds = 2 * n_units * N_SOUNDS**2 / rate + _PER_LAYER * len(layers)
    seconds += columns * (_MULTIPLICATIONS_PER_VOXEL / rate + _WRITE_PER_VOXEL)
    memory = _PROCESS + 3 * responses + int(3 * 8 * N_SOUNDS * n_units / max(len(layers), 1))
    return Estimate(seconds / available_cores(), memory, disk)

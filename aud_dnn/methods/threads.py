"""How many threads there are to use, and keeping the linear-algebra library to one: one rule for everything."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

LIMIT_VARIABLE = "OMP_NUM_THREADS"


def available_cores() -> int:
    """Cores that this process may use: those it may run on, at most ``OMP_NUM_THREADS`` if set."""
    has_affinity = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    limit = os.environ.get(LIMIT_VARIABLE, "")
    return max(1, min(cores, int(limit))) if limit.isdigit() else cores


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Linear algebra inside runs on one thread.

    Matrices of 165 sounds are too small to share among BLAS threads, which then mostly wait for
    each other; and one thread adds in one order, so that results do not depend on the machine's
    number of cores. Whoever wants more threads starts one per split, voxel block or layer.
    """
    with threadpool_limits(1, user_api="blas"):
        yield

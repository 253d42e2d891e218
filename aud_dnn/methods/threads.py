"""How many threads there are to use, and linear algebra on one: the only rule for both."""

from __future__ import annotations

import os
import threading
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


class _Limit:
    """The limit in force, which is the process's and not a thread's, and how many hold it."""

    def __init__(self) -> None:
        self.lock, self.holders, self.set = threading.Lock(), 0, None


_limit = _Limit()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Linear algebra inside runs on one thread. Also a decorator: ``@one_blas_thread()``.

    Matrices of 165 sounds are too small to share among BLAS threads, which then mostly wait for
    each other; and one thread adds in one order, so that results do not depend on the machine's
    number of cores. Whoever wants more threads starts one per split, voxel block or layer.

    Inside itself it costs nothing, and threads may enter and leave it in any order.
    """
    with _limit.lock:
        _limit.holders += 1
        if _limit.holders == 1:
            _limit.set = threadpool_limits(1, user_api="blas")
    try:
        yield
    finally:
        with _limit.lock:
            _limit.holders -= 1
            if not _limit.holders:
                _limit.set.restore_original_limits()

"""How many threads there are: one rule; and array functions that see to their own."""

from __future__ import annotations

import os

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from aud_dnn.methods import threads
from aud_dnn.methods.ridge import leave_one_out
from aud_dnn.methods.threads import available_cores, one_blas_thread


def blas_threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


@pytest.mark.parametrize(("limit", "expected"), [
    ("1", 1), ("3", 3), ("64", 4), ("0", 1), ("", 4), ("two", 4), ("-1", 4), (None, 4)])
def test_cores_are_those_of_the_affinity_at_most_the_variable(limit: str | None, expected: int,
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda _: {0, 2, 3, 5}, raising=False)
    if limit is None:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    else:
        monkeypatch.setenv("OMP_NUM_THREADS", limit)
    assert available_cores() == expected


def test_without_affinity_every_core_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert available_cores() == (os.cpu_count() or 1)


def test_linear_algebra_is_kept_to_one_thread_and_given_back() -> None:
    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        with one_blas_thread():
            assert blas_threads() == {1}
        assert blas_threads() == before


def test_reducing_features_sees_to_its_own_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    qr = np.linalg.qr

    def watched(*given, **named):
        seen.append(blas_threads())
        return qr(*given, **named)

    monkeypatch.setattr(leave_one_out.np.linalg, "qr", watched)
    features = np.random.default_rng(0).standard_normal((20, 5000))
    with threadpool_limits(2, user_api="blas"):
        leave_one_out.reduce_features(features)
    assert seen and all(threads == {1} for threads in seen)

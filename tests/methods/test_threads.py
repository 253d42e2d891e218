"""How many threads there are: one rule; and array functions that see to their own."""

from __future__ import annotations

import os

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from aud_dnn.methods import threads
from aud_dnn.methods.cka import centred_gram
from aud_dnn.methods.comparing.sides import model_side, neural_side
from aud_dnn.methods.dimensionality import effective_dimensionality
from aud_dnn.methods.ridge.estimator import VoxelwiseRidgeCV
from aud_dnn.methods.ridge.leave_one_out import reduce_features
from aud_dnn.methods.rsa import METHOD as RSA
from aud_dnn.methods.rsa import rdm_triangles
from aud_dnn.methods.threads import available_cores, one_blas_thread
from aud_dnn.splits import published_splits


def blas_threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


@pytest.mark.parametrize(
    ("limit", "expected"),
    [("1", 1), ("3", 3), ("64", 4), ("0", 1), ("", 4), ("two", 4), ("-1", 4), (None, 4)],
)
def test_cores_are_those_of_the_affinity_at_most_the_variable(
    limit: str | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_it_ends_when_the_last_thread_leaves() -> None:
    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        first, second = one_blas_thread(), one_blas_thread()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert blas_threads() == {1}
        second.__exit__(None, None, None)
        assert blas_threads() == before
        with pytest.raises(KeyError), one_blas_thread(), one_blas_thread():
            raise KeyError
        assert blas_threads() == before


X = np.random.default_rng(0).standard_normal((20, 30))
SPLITS = published_splits(20, 10, 2)
ARRAY_FUNCTIONS = {
    "reduce_features": lambda: reduce_features(X),
    "estimator": lambda: VoxelwiseRidgeCV().fit(X, X[:, :2]),
    "rdm_triangles": lambda: rdm_triangles(X, SPLITS.train),
    "dimensionality": lambda: effective_dimensionality(X, center_units=True),
    "Gram matrix": lambda: centred_gram(X),
    "model side": lambda: model_side([("layer", X)], np.arange(20), SPLITS, RSA),
    "neural side": lambda: neural_side(X, np.zeros(30), [0], SPLITS, RSA),
}


@pytest.mark.parametrize("name", ARRAY_FUNCTIONS)
def test_array_functions_see_to_their_own_threads_once(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = []

    def noted(*given, **named):
        limits.append((given, named))
        return threadpool_limits(*given, **named)

    monkeypatch.setattr(threads, "threadpool_limits", noted)
    ARRAY_FUNCTIONS[name]()
    assert limits == [((1,), {"user_api": "blas"})]

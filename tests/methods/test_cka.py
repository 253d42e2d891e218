"""Unbiased linear CKA: the published estimator written out, invariances, noise."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aud_dnn.methods import cka
from aud_dnn.methods.cka import centred_gram, u_centred_triangle, unbiased_cka, unit_vectors


def hsic(first, second):
    """Song et al. (2012), equation 5, term by term."""
    k, m = first @ first.T, second @ second.T
    np.fill_diagonal(k, 0)
    np.fill_diagonal(m, 0)
    n, one = len(k), np.ones(len(k))
    cross = (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2))
    return (np.trace(k @ m) + cross - 2 / (n - 2) * (one @ k @ m @ one)) / (n * (n - 3))


@pytest.mark.parametrize("shape", [(4, 3, 2), (20, 5, 7), (50, 300, 2), (83, 1000, 40)])
def test_equals_the_estimator_written_out(shape):
    n, p, q = shape
    rng = np.random.default_rng(0)
    first, second = rng.standard_normal((n, p)) + 3, rng.standard_normal((n, q))
    second[:, 0] += first[:, 0]
    expected = hsic(first, second) / np.sqrt(hsic(first, first) * hsic(second, second))
    assert unbiased_cka(first, second) == pytest.approx(expected, abs=1e-10)


@settings(max_examples=30, deadline=None)
@given(st.integers(5, 30), st.integers(1, 20), st.floats(1e-3, 1e3), st.integers(0, 99))
def test_rotation_shift_and_scale_change_nothing(n, p, scale, seed):
    rng = np.random.default_rng(seed)
    first, second = rng.standard_normal((n, p)), rng.standard_normal((n, 6))
    rotation, _ = np.linalg.qr(rng.standard_normal((p, p)))
    plain = unbiased_cka(first, second)
    assert unbiased_cka(scale * first @ rotation + rng.standard_normal(p), second) == pytest.approx(
        plain, abs=1e-9
    )
    assert unbiased_cka(second, first) == pytest.approx(plain, abs=1e-12)
    order = rng.permutation(n)
    assert unbiased_cka(first[order], second[order]) == pytest.approx(plain, abs=1e-9)
    assert unbiased_cka(first, first) == pytest.approx(1.0, abs=1e-9)


def test_independent_noise_is_zero_on_average_where_the_biased_estimate_is_not():
    rng = np.random.default_rng(0)
    values, biased = [], []
    for _ in range(40):
        first, second = rng.standard_normal((60, 800)), rng.standard_normal((60, 200))
        values.append(unbiased_cka(first, second))
        k, m = centred_gram(first), centred_gram(second)
        biased.append((k * m).sum() / np.sqrt((k * k).sum() * (m * m).sum()))
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(40)
    assert np.std(values) < 0.03 and min(biased) > 0.8


def test_a_representation_that_does_not_vary_has_no_cka():
    rng = np.random.default_rng(0)
    assert np.isnan(unbiased_cka(np.full((20, 5), 0.1), rng.standard_normal((20, 3))))


def test_vectors_of_many_representations_give_all_values_in_one_product():
    rng = np.random.default_rng(0)
    items = [rng.standard_normal((30, p)) for p in (2, 10, 100)]
    vectors = unit_vectors(np.stack([u_centred_triangle(centred_gram(item)) for item in items]))
    product = vectors @ vectors.T
    for i in range(3):
        for j in range(3):
            assert product[i, j] == pytest.approx(unbiased_cka(items[i], items[j]), abs=1e-12)


def test_units_at_once_and_integers_change_nothing(monkeypatch):
    features = np.random.default_rng(0).integers(-50, 50, (20, 301)).astype(np.int8)
    whole = centred_gram(features)
    monkeypatch.setattr(cka, "_UNITS_AT_ONCE", 7)
    np.testing.assert_allclose(centred_gram(features), whole, rtol=1e-12)
    np.testing.assert_allclose(centred_gram(features.astype(np.float32)), whole, rtol=1e-12)


def test_three_sounds_are_too_few():
    with pytest.raises(ValueError, match="four sounds"):
        unbiased_cka(np.eye(3), np.eye(3))


def test_the_example_runs():
    assert doctest.testmod(cka).failed == 0

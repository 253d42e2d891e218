"""Effective dimensionality against eigenvalues, closed cases and invariances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aud_dnn.methods.dimensionality import (
    effective_dimensionality,
    participation_ratio,
    raw_and_centered_dimensionality,
)
from aud_dnn.methods.rsa import UNITS_AT_ONCE, rdm_triangles

VARIANTS = [{}, {"center_units": True}, {"standardize_units": True}]


def by_eigenvalues(
    features: np.ndarray, center_units: bool = False, standardize_units: bool = False
) -> float:
    """The definition, step by step."""
    if center_units or standardize_units:
        features = features - features.mean(axis=0)
    if standardize_units:
        scale = features.std(axis=0)
        features = features / np.where(scale > 0, scale, 1)
    eigenvalues = np.linalg.eigvalsh(np.cov(features))
    return eigenvalues.sum() ** 2 / (eigenvalues**2).sum()


@pytest.mark.parametrize("how", VARIANTS)
@pytest.mark.parametrize("shape", [(20, 7), (20, 20), (12, 2 * UNITS_AT_ONCE + 5)])
def test_equals_the_eigenvalues_of_the_covariance(shape, how):
    rng = np.random.default_rng(0)
    features = rng.standard_normal(shape) * rng.uniform(0.1, 5, shape[1]) + rng.uniform(
        -20, 20, shape[1]
    )
    assert effective_dimensionality(features, **how) == pytest.approx(
        by_eigenvalues(features, **how), rel=1e-10
    )


def test_orthogonal_directions_of_equal_variance_count_fully():
    sounds, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((30, 9)))
    units, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((50, 10)) - 0.0)
    units = units - units.mean(axis=0)  # sounds are centred over units
    units, _ = np.linalg.qr(units)
    assert effective_dimensionality(sounds @ units[:, :9].T) == pytest.approx(9, rel=1e-10)


def test_a_line_has_dimension_one():
    rng = np.random.default_rng(0)
    line = np.outer(rng.standard_normal(20), rng.standard_normal(40))
    assert effective_dimensionality(line) == pytest.approx(1, rel=1e-12)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10_000), factor=st.floats(0.01, 100))
def test_bounds_and_invariances(seed, factor):
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((10, 25))
    for how in VARIANTS:
        value = effective_dimensionality(features, **how)
        assert 1 <= value <= 10
        changed = factor * features[rng.permutation(10)][:, rng.permutation(25)]
        assert effective_dimensionality(changed, **how) == pytest.approx(value, rel=1e-9)
    scaled = features * rng.uniform(0.1, 10, 25) + rng.uniform(-5, 5, 25)
    assert effective_dimensionality(scaled, standardize_units=True) == pytest.approx(
        effective_dimensionality(features, standardize_units=True), rel=1e-9
    )


def test_moments_of_the_rdm_give_the_standardized_variant():
    features = np.random.default_rng(0).standard_normal((15, 30)) * 7 + 2
    moments = rdm_triangles(features).moments
    assert participation_ratio(moments.products, moments.sums, moments.n_units) == pytest.approx(
        effective_dimensionality(features, standardize_units=True), rel=1e-10
    )


def test_large_offsets_cost_no_digits():
    features = np.random.default_rng(0).standard_normal((15, 30))
    assert effective_dimensionality(features + 1e5) == pytest.approx(
        effective_dimensionality(features), rel=1e-8
    )
    offsets = 1e5 * np.random.default_rng(1).standard_normal(30)
    centered = effective_dimensionality(features, center_units=True)
    assert effective_dimensionality(features + offsets, center_units=True) == pytest.approx(
        centered, rel=1e-8
    )


def test_units_that_do_not_vary_carry_nothing_and_nothing_is_undefined():
    features = np.random.default_rng(0).standard_normal((15, 30))
    zeros, constant = np.zeros((15, 4)), np.full((15, 4), 0.1)
    expected = effective_dimensionality(np.hstack([features, zeros]), standardize_units=True)
    assert effective_dimensionality(
        np.hstack([features, constant]), standardize_units=True
    ) == pytest.approx(expected)
    assert np.isnan(raw_and_centered_dimensionality(np.ones((5, 6)))).all()
    assert np.isnan(
        effective_dimensionality(np.tile(np.arange(5.0)[:, None], 6))
    )  # sounds flat over units
    with pytest.raises(ValueError, match="two units"):
        effective_dimensionality(np.ones((5, 1)))
    with pytest.raises(ValueError, match="NaN"):
        effective_dimensionality(np.array([[1.0, np.nan], [1, 2]]))

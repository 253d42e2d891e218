"""Spearman–Brown, floors, medians of pairs."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from aud_dnn.methods.ridge.noise_correction import (
    PREDICTION_FLOOR,
    RESPONSE_FLOOR,
    floored_reliability,
    median_of_pairs,
    noise_corrected_r2,
    spearman_brown,
)


@pytest.mark.parametrize("r", [0.1, 0.5, 0.9])
def test_spearman_brown_is_the_reliability_of_a_mean(r: float) -> None:
    """Of responses with signal variance r and noise variance 1 − r, three averaged."""
    assert spearman_brown(np.array(r), 3) == pytest.approx(r / (r + (1 - r) / 3))


def test_spearman_brown_holds_in_simulation() -> None:
    rng = np.random.default_rng(0)
    signal = rng.standard_normal(400_000)
    first, second = (
        np.mean([signal + 1.5 * rng.standard_normal(signal.size) for _ in range(3)], axis=0)
        for _ in range(2)
    )
    single = 1 / (1 + 1.5**2)
    assert np.corrcoef(first, second)[0, 1] == pytest.approx(
        float(spearman_brown(np.array(single), 3)), abs=0.005
    )


@pytest.mark.parametrize(
    ("r", "expected"),
    [
        (np.nan, 0.182),
        (-0.2, 0.182),
        (-0.5, 0.182),
        (0.01, 0.182),
        (0.0, 0.182),
        (1.0, 1.0),
        (-0.75, 4.5),
    ],
)
def test_floor(r: float, expected: float) -> None:
    """NaN and the pole count as below the floor; beyond the pole the published formula is large and
    positive.
    """
    assert floored_reliability(np.array(r), 3, RESPONSE_FLOOR) == pytest.approx(expected)


def test_corrected_r2_divides_by_both_reliabilities_and_may_exceed_one() -> None:
    assert noise_corrected_r2(np.array(0.5), np.array(0.5), np.array(0.8)) == pytest.approx(
        0.5 / (0.75 * 12 / 13)
    )
    assert noise_corrected_r2(np.array(0.9), np.array(np.nan), np.array(np.nan)) == pytest.approx(
        0.9 / (RESPONSE_FLOOR * PREDICTION_FLOOR)
    )


@given(
    arrays(
        np.float64,
        st.tuples(st.integers(1, 5), st.integers(1, 6)),
        elements=st.one_of(st.floats(-1, 1), st.just(np.nan)),
    )
)
def test_median_of_pairs_equals_nanmedian(correlations: np.ndarray) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        expected = np.nanmedian(correlations, axis=0)
    np.testing.assert_allclose(median_of_pairs(correlations), expected, rtol=0, atol=1e-15)

"""Noise-corrected R²: explained variance relative to what the reliability of data and predictions
allows.

Tuckute et al. (2023), Methods, "Noise correction": r² of measured and predicted responses, divided
by the reliability of the measured responses and by the reliability of the predictions, each from
the median correlation between pairs of scan repetitions, carried to the mean of the repetitions
with the Spearman–Brown formula and kept above a floor.
"""

from __future__ import annotations

import numpy as np

RESPONSE_FLOOR = 0.182
PREDICTION_FLOOR = 0.183
"""The two floors differ in the published analysis; the numbers depend on it."""


def spearman_brown(r: np.ndarray, n_repetitions: int) -> np.ndarray:
    """Reliability of the mean of ``n_repetitions`` from the correlation of two single ones, ρ = n r
    / (1 + (n − 1) r).

    For three repetitions ρ is negative for −0.5 < r < 0 and, beyond the pole, large and positive
    for r < −0.5. The published analysis keeps those values (see ``docs/departures.md``).

    Parameters
    ----------
    r : array of shape (...)
        Correlation between two single repetitions.
    n_repetitions : int
        Number of repetitions that are averaged.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return n_repetitions * r / (1 + (n_repetitions - 1) * r)


def floored_reliability(r: np.ndarray, n_repetitions: int, floor: float) -> np.ndarray:
    """:func:`spearman_brown`, but at least ``floor``.

    NaN (a constant response) counts as below the floor.
    """
    reliability = spearman_brown(r, n_repetitions)
    return np.where(reliability > floor, reliability, floor)


def noise_corrected_r2(
    r2: np.ndarray, response_r: np.ndarray, prediction_r: np.ndarray, n_repetitions: int = 3
) -> np.ndarray:
    """R² / (reliability of the responses × reliability of the predictions). May exceed 1.

    Parameters
    ----------
    r2 : array of shape (...)
        Squared correlation of measured and predicted responses to the test sounds.
    response_r : array of shape (...)
        Median correlation between pairs of measured repetitions (training sounds).
    prediction_r : array of shape (...)
        Median correlation between pairs of predictions from single repetitions (test sounds).
    """
    return r2 / (
        floored_reliability(response_r, n_repetitions, RESPONSE_FLOOR)
        * floored_reliability(prediction_r, n_repetitions, PREDICTION_FLOOR)
    )


def median_of_pairs(correlations: np.ndarray) -> np.ndarray:
    """Median over the first axis, NaN ignored; NaN where all are NaN.

    Parameters
    ----------
    correlations : array of shape (n_pairs, ...)
    """
    undefined = np.isnan(correlations)
    ordered = np.sort(correlations, axis=0)  # NaN last
    n_defined = len(correlations) - undefined.sum(axis=0)
    if not undefined.any():
        middle = len(correlations) // 2
        return (
            ordered[middle]
            if len(correlations) % 2
            else (ordered[middle - 1] + ordered[middle]) / 2
        )
    lower = np.take_along_axis(ordered, np.maximum(n_defined - 1, 0)[None] // 2, axis=0)[0]
    upper = (
        np.take_along_axis(ordered, n_defined[None] // 2, axis=0)[0]
        if len(correlations) > 1
        else lower
    )
    return np.where(n_defined > 0, (lower + np.where(n_defined > 0, upper, lower)) / 2, np.nan)

"""Effective dimensionality of a representation: over how many directions its variance is spread.

Source: Tuckute, Feather, Boebinger & McDermott (2023), PLoS Biology 21(12): e3002366, Methods,
"Effective dimensionality".
"""

from __future__ import annotations

import numpy as np

from aud_dnn.methods.rsa import UNITS_AT_ONCE
from aud_dnn.methods.threads import one_blas_thread

_NEGLIGIBLE = (
    1e-12  # variance below this part of the power is what rounding leaves of a subtraction
)


def participation_ratio(products: np.ndarray, sums: np.ndarray, n_units: int) -> float:
    """Participation ratio of the eigenvalues of the sounds x sounds covariance over units.

    With C the covariance between sounds (each sound centred over the units, divisor n_units - 1)
    and lambda its eigenvalues, ED = (sum lambda)^2 / sum lambda^2. That is trace(C)^2 / ||C||_F^2:
    no eigenvalue has to be found, and none can come out complex, as the published solver allowed.
    The divisor cancels.

    Parameters
    ----------
    products : array of shape (n_sounds, n_sounds)
        Inner products of the sounds over units.
    sums : array of shape (n_sounds,)
        Sum of each sound over units.
    n_units : int

    Returns
    -------
    float
        Between 1 and min(n_sounds, n_units - 1); NaN if no sound varies over the units.
    """
    covariance = products - np.outer(sums, sums / n_units)
    trace = np.trace(covariance)
    if trace <= _NEGLIGIBLE * np.trace(products) or trace == 0:
        return float("nan")
    return float(trace**2 / np.sum(covariance**2))


def effective_dimensionality(
    features: np.ndarray, *, center_units: bool = False, standardize_units: bool = False
) -> float:
    """Effective dimensionality of the sounds' representation (see :func:`participation_ratio`).

    Parameters
    ----------
    features : array of shape (n_sounds, n_units)
    center_units : bool
        Subtract every unit's mean over sounds first (the regression analyses). Together with the
        centring of each sound this centres the matrix twice, as published.
    standardize_units : bool
        Divide every unit by its population standard deviation, too (the RSA analyses); implies
        ``center_units``. A unit that does not vary becomes 0.

    Returns
    -------
    float
        NaN if no sound varies over the units.

    Raises
    ------
    ValueError
        ``features`` is not a matrix of two units at least, or holds a NaN or an infinity.
    """
    if standardize_units:
        features = np.asarray(features, dtype=np.float64)
        _check(features)
        mean, scale = features.mean(axis=0), features.std(axis=0)
        constant = scale <= _NEGLIGIBLE * np.abs(features).max(axis=0)
        features = np.where(constant, 0.0, (features - mean) / np.where(constant, 1.0, scale))
    raw, centered = raw_and_centered_dimensionality(features)
    return centered if center_units or standardize_units else raw


@one_blas_thread()
def raw_and_centered_dimensionality(features: np.ndarray) -> tuple[float, float]:
    """Effective dimensionality of the units as they are and with each unit's mean subtracted, from
    one matrix product.

    With D the matrix centred both ways and m the unit means less their mean, the sounds centred
    over *raw* units are D + 1 m'. So their inner products follow from those of D without any
    cancellation.

    Parameters
    ----------
    features : array of shape (n_sounds, n_units)

    Returns
    -------
    raw, centered : float
    """
    features = np.asarray(features)
    _check(features)
    n_sounds, n_units = features.shape
    unit_means = features.mean(axis=0, dtype=np.float64)
    sound_means = features.mean(axis=1, dtype=np.float64)
    mean = sound_means.mean()
    products, along_means, power = np.zeros((n_sounds, n_sounds)), np.zeros(n_sounds), 0.0
    offsets = unit_means - mean
    for start in range(0, n_units, UNITS_AT_ONCE):
        block = features[:, start : start + UNITS_AT_ONCE].astype(np.float64)
        power += np.vdot(block, block)
        block -= unit_means[start : start + UNITS_AT_ONCE]
        block -= (sound_means - mean)[:, None]
        products += block @ block.T
        along_means += block @ offsets[start : start + UNITS_AT_ONCE]
    raw = products + along_means[:, None] + along_means[None, :] + np.sum(offsets**2)
    no_sums = np.zeros(n_sounds)
    return tuple(
        float("nan")
        if np.trace(centred) <= _NEGLIGIBLE**2 * power
        else participation_ratio(centred, no_sums, n_units)
        for centred in (raw, products)
    )


def _check(features: np.ndarray) -> None:
    if features.ndim != 2 or features.shape[1] < 2:
        raise ValueError(
            f"features must be (n_sounds, n_units) with two units at least, got {features.shape}."
        )
    if not np.isfinite(features).all():
        raise ValueError("features holds NaN or infinite values.")

"""Effective dimensionality of a representation: over how many directions its variance is spread.

Source: Tuckute, Feather, Boebinger & McDermott (2023), PLoS Biology 21(12): e3002366, Methods, "Effective dimensionality".
"""

from __future__ import annotations

import numpy as np

_NEGLIGIBLE = 1e-12  # variance below this part of the power is what rounding leaves of a subtraction


def participation_ratio(products: np.ndarray, sums: np.ndarray, n_units: int) -> float:
    """Participation ratio of the eigenvalues of the sounds x sounds covariance over units.

    With C the covariance between sounds (each sound centred over the units, divisor n_units - 1) and lambda its
    eigenvalues, ED = (sum lambda)^2 / sum lambda^2. That is trace(C)^2 / ||C||_F^2: no eigenvalue has to be found, and none
    can come out complex, as the published solver allowed. The divisor cancels.

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


def effective_dimensionality(features: np.ndarray, *, center_units: bool = False, standardize_units: bool = False) -> float:
    """Effective dimensionality of the sounds' representation (see :func:`participation_ratio`).

    Parameters
    ----------
    features : array of shape (n_sounds, n_units)
    center_units : bool
        Subtract every unit's mean over sounds first (the regression analyses). Together with the centring of each sound
        this centres the matrix twice, as published.
    standardize_units : bool
        Divide every unit by its population standard deviation, too (the RSA analyses); implies ``center_units``. A unit
        that does not vary becomes 0.

    Returns
    -------
    float
        NaN if no sound varies over the units.

    Raises
    ------
    ValueError
        ``features`` is not a matrix of two units at least, or holds a NaN or an infinity.
    """
    features = np.asarray(features, dtype=np.float64)
    if features.ndim != 2 or features.shape[1] < 2:
        raise ValueError(f"features must be (n_sounds, n_units) with two units at least, got {features.shape}.")
    if not np.isfinite(features).all():
        raise ValueError("features holds NaN or infinite values.")
    if center_units or standardize_units:
        size = np.abs(features).max(axis=0)
        features = features - features.mean(axis=0)
        scale = features.std(axis=0)
        constant = scale <= 1e-12 * size
        features = np.where(constant, 0.0, features)
        if standardize_units:
            features /= np.where(constant, 1.0, scale)
    centred = features - features.mean(axis=1, keepdims=True)
    # centred here, in the data, and not by the subtraction of sums, which would lose digits where offsets are large
    if np.square(centred).sum() <= _NEGLIGIBLE**2 * np.square(features).sum():
        return float("nan")
    return participation_ratio(centred @ centred.T, np.zeros(len(centred)), features.shape[1])

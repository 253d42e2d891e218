"""Effective dimensionality of a representation: how many directions share its variance.

Source: Tuckute, Feather, Boebinger & McDermott (2023), PLoS Biology 21(12): e3002366, Methods, "Effective dimensionality".
"""

from __future__ import annotations

import numpy as np


def effective_dimensionality(features: np.ndarray, *, center_units: bool = False, standardize_units: bool = False) -> float:
    """Participation ratio of the eigenvalues of the sounds x sounds covariance.

    With C the covariance between sounds over units (each sound centred over the units, divisor n_units - 1) and lambda its
    eigenvalues, ED = (sum lambda)^2 / sum lambda^2. That is trace(C)^2 / ||C||_F^2, so no eigenvalue has to be found, and
    none can come out complex, as the published solver allowed. ED is 1 if all sounds lie on a line and at most
    min(n_sounds, n_units - 1).

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
        NaN if no sound varies over the units (C is zero).

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
    power = np.square(features).sum()
    if center_units or standardize_units:
        root_mean_square = np.sqrt(np.mean(features**2, axis=0))
        features = features - features.mean(axis=0)
    if standardize_units:
        scale = features.std(axis=0)
        constant = scale <= 1e-12 * root_mean_square
        features = np.where(constant, 0.0, features / np.where(constant, 1.0, scale))
        power = np.square(features).sum()
    features = features - features.mean(axis=1, keepdims=True)
    covariance = features @ features.T / (features.shape[1] - 1)
    total = np.trace(covariance)
    if total * (features.shape[1] - 1) <= 1e-24 * power or total == 0:
        return float("nan")
    return float(total**2 / np.sum(covariance**2))

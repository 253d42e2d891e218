"""Similarity by a map from the layer to the voxels, fitted to training sounds, tested on others.

*Orthogonal Procrustes* (Schönemann 1966; as a measure of representations: Williams et al. 2021,
NeurIPS 34). The map is a rotation (and reflection) Q from units to voxels: it may turn, not stretch
the layer. With X, Y the training responses, centred, and XᵀY = U S Vᵀ, the best is Q = U Vᵀ. On the
test sounds, centred by the means of the training sounds,

    score = ⟨X' Q, Y'⟩ / (‖X'‖ ‖Y'‖).

On the sounds that Q was fitted to the score would be high for any layer with more units than
sounds, noise included; on others it is 0 on average without a relation.

*Partial least squares* (PLS2 regression, the map that Brain-Score uses). Component by component:
w, the leading left singular vector of the cross-products of what is left of the layer with the
voxels; the score t = Xw; both are deflated by t. The score is the Pearson correlation between
predicted and measured response over the test sounds, mean over voxels and splits.

Both depend on the layer through the inner products of its sounds only, so a layer of any width is
first turned into as many coordinates as there are training sounds: the test sounds have no part in
them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

from aud_dnn.splits import Splits

N_COMPONENTS = 10
"""Of partial least squares; fewer where the training sounds span fewer dimensions."""

_RANK = 1e-10  # of the largest eigenvalue; below is rounding


@dataclass(frozen=True)
class Coordinates:
    """A representation in one split, in the dimensions that its training sounds span.

    Attributes
    ----------
    train : array of shape (n_train, n_dimensions)
        Principal components of the training sounds.
    test : array of shape (n_test, n_dimensions)
        The test sounds along them.
    test_power : float
        Sum of squares of the test sounds in all dimensions.
    back : array of shape (n_train, n_dimensions)
        Centred training responses, transposed, times this give the axes: their unit vectors.
    """

    train: np.ndarray
    test: np.ndarray
    test_power: float
    back: np.ndarray


def coordinates(products: np.ndarray, splits: Splits) -> list[Coordinates]:
    """The coordinates of a representation in every split.

    Parameters
    ----------
    products : array of shape (n_sounds, n_sounds)
        Inner products of the sounds over units.
    splits : Splits
    """
    found = []
    for train, test in zip(splits.train, splits.test):
        fitted, tested = np.flatnonzero(train), np.flatnonzero(test)
        towards = products[:, fitted].mean(axis=1)
        centred = products - towards[:, None] - towards + towards[fitted].mean()
        values, vectors = eigh(centred[np.ix_(fitted, fitted)])
        kept = values > max(values[-1] * _RANK, 0)
        lengths, axes = np.sqrt(values[kept]), vectors[:, kept]
        found.append(
            Coordinates(
                axes * lengths,
                centred[np.ix_(tested, fitted)] @ axes / lengths,
                float(centred[tested, tested].sum()),
                axes / lengths,
            )
        )
    return found


def procrustes(source: Coordinates, target: Coordinates) -> float:
    """Cosine between the rotated test sounds of the source and those of the target.

    NaN where one does not vary.
    """
    length = np.sqrt(source.test_power * target.test_power)
    if not (source.train.size and target.train.size and length > 0):
        return np.nan
    left, values, right = np.linalg.svd(source.train.T @ target.train, full_matrices=False)
    related = values > _RANK * values[0]
    turned = (source.test @ left[:, related]) * (target.test @ right[related].T)
    return float(turned.sum() / length)


def pls_coefficients(
    source: np.ndarray, target: np.ndarray, n_components: int = N_COMPONENTS
) -> np.ndarray:
    """Coefficients of partial least squares regression (PLS2), for centred data.

    Parameters
    ----------
    source : array of shape (n_sounds, n_dimensions)
    target : array of shape (n_sounds, n_outputs)
    n_components : int

    Returns
    -------
    array of shape (n_dimensions, n_outputs)

    Notes
    -----
    Only the cross-products change under deflation, so the sounds are not looked at again:
    p = Gw / wᵀGw and q = Mᵀw / wᵀGw with G = XᵀX and M = XᵀY, then G − (wᵀGw) ppᵀ, M − (wᵀGw) pqᵀ.
    """
    within, across = source.T @ source, source.T @ target
    largest = np.abs(across).max(initial=0.0)
    weights, loadings, outputs = [], [], []
    for _ in range(min(n_components, *source.shape)):
        if np.abs(across).max(initial=0.0) <= _RANK * largest:
            break
        last = len(within) - 1
        direction = eigh(across @ across.T, subset_by_index=(last, last))[1][:, 0]
        pulled = within @ direction
        power = direction @ pulled
        if not power > 0:
            break
        loading, output = pulled / power, across.T @ direction / power
        within = within - power * np.outer(loading, loading)
        across = across - power * np.outer(loading, output)
        weights.append(direction)
        loadings.append(loading)
        outputs.append(output)
    if not weights:
        return np.zeros((source.shape[1], target.shape[1]))
    weight = np.array(weights).T
    return weight @ np.linalg.solve(np.array(loadings) @ weight, np.array(outputs))


def pls(
    source: Coordinates,
    target: Coordinates,
    axes: np.ndarray,
    measured: np.ndarray,
    n_components: int = N_COMPONENTS,
) -> float:
    """Correlation of predicted and measured responses to the test sounds, mean over voxels.

    Parameters
    ----------
    source, target : Coordinates
    axes : array of shape (n_dimensions, n_voxels)
        Of the target's coordinates.
    measured : array of shape (n_test, n_voxels)
    n_components : int

    Returns
    -------
    float
        NaN where no voxel varies. A voxel that is predicted to be constant counts as 0.
    """
    predicted = source.test @ pls_coefficients(source.train, target.train, n_components) @ axes
    predicted -= predicted.mean(axis=0)
    measured = measured - measured.mean(axis=0)
    power = np.einsum("ij,ij->j", measured, measured)
    length = np.sqrt(np.einsum("ij,ij->j", predicted, predicted) * power)
    varies = power > 0
    if not varies.any():
        return np.nan
    shared = np.einsum("ij,ij->j", predicted, measured)
    return float(
        np.divide(shared, length, out=np.zeros_like(length), where=length > 0)[varies].mean()
    )

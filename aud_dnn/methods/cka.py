"""Unbiased linear CKA: how alike two representations are, up to rotation and a common scale.

Linear centred kernel alignment (Kornblith et al. 2019) compares the Gram matrices K = XXᵀ and L =
YYᵀ of two representations of the same sounds,

    CKA = HSIC(K, L) / √(HSIC(K, K) · HSIC(L, L)).

With many more units than sounds the usual (biased) estimate of HSIC makes any two representations
look alike: for 165 sounds, 7,000 units and 960 voxels of independent noise it is 0.91. The estimate
used here is the unbiased one of Song et al. (2012),

    HSIC₁ = [ tr(K̃L̃) + (1ᵀK̃1)(1ᵀL̃1) / ((n−1)(n−2)) − 2 · 1ᵀK̃L̃1 / (n−2) ] / (n (n−3)),      K̃
    = K with a zero diagonal,

which is 0 on average for independent representations, and can be negative. Székely & Rizzo (2014)
write it as an inner product: with the U-centred matrix Ǩ_ij = K_ij − Σ_l K_il / (n−2) − Σ_k K_kj /
(n−2) + Σ_kl K_kl / ((n−1)(n−2)) for i ≠ j, HSIC₁ = Σ_{i≠j} Ǩ_ij Ľ_ij / (n (n−3)). So CKA is the
cosine of the entries above the diagonal of the two U-centred Gram matrices, and all similarities of
many representations are one matrix product, as in RSA.

Unlike RSA it weighs units by their variance (nothing is z-scored) and compares values, not ranks.
"""

from __future__ import annotations

import numpy as np

from aud_dnn.methods.threads import one_blas_thread

_CONSTANT = 1e-12  # of the power that a centred Gram matrix keeps; below is rounding
_UNITS_AT_ONCE = 2048


def u_centred_triangle(products: np.ndarray) -> np.ndarray:
    """Entries above the diagonal of the U-centred Gram matrix.

    Parameters
    ----------
    products : array of shape (n_sounds, n_sounds)
        Inner products of the sounds over units; four sounds at least.

    Returns
    -------
    array of shape (n_sounds * (n_sounds - 1) / 2,)
    """
    n = len(products)
    if n < 4:
        raise ValueError(f"Unbiased CKA needs four sounds at least; got {n}.")
    matrix = np.array(products, dtype=np.float64)
    np.fill_diagonal(matrix, 0.0)
    rows = matrix.sum(axis=1) / (n - 2)
    matrix -= rows[:, None] + rows[None, :]
    matrix += rows.sum() / (n - 1)
    return matrix[np.triu_indices(n, k=1)]


@one_blas_thread()
def centred_gram(features: np.ndarray, sounds: np.ndarray | None = None) -> np.ndarray:
    """Inner products of the sounds after every unit had its mean over these sounds subtracted.

    CKA does not depend on the mean; without it the products keep their digits.

    Parameters
    ----------
    features : array of shape (n_sounds, n_units)
        Any real type; computed in float64.
    sounds : bool array of shape (n_sounds,), optional
        The sounds to use; all by default.
    """
    chosen = features if sounds is None else features[sounds]
    products = np.zeros((len(chosen), len(chosen)))
    for start in range(0, chosen.shape[1], _UNITS_AT_ONCE):
        block = chosen[:, start : start + _UNITS_AT_ONCE].astype(np.float64)
        block -= block.mean(axis=0)
        products += block @ block.T
    return products


def unit_vectors(triangles: np.ndarray) -> np.ndarray:
    """Triangles divided by their length: inner products of these are CKA.

    Parameters
    ----------
    triangles : array of shape (..., n_pairs)

    Returns
    -------
    array of shape (..., n_pairs)
        NaN for a representation that does not vary over the sounds.
    """
    length = np.sqrt(np.einsum("...i,...i->...", triangles, triangles))[..., None]
    return triangles / np.where(length > 0, length, np.nan)


def unbiased_cka(first: np.ndarray, second: np.ndarray) -> float:
    """Unbiased linear CKA of two representations.

    Parameters
    ----------
    first, second : arrays of shape (n_sounds, n_units) and (n_sounds, n_voxels)

    Returns
    -------
    float
        1 for representations that are equal up to rotation, translation and scale; 0 on average for
        independent ones; NaN where one does not vary over the sounds.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((50, 20))
    >>> rotation, _ = np.linalg.qr(rng.standard_normal((20, 20)))
    >>> round(unbiased_cka(x, 3 * x @ rotation + 1), 6)
    1.0
    """
    vectors = [unit_vectors(_triangle(np.asarray(item))) for item in (first, second)]
    return float(np.clip(vectors[0] @ vectors[1], -1.0, 1.0))


def _triangle(features: np.ndarray) -> np.ndarray:
    """U-centred triangle; zeros where only rounding varies."""
    products = centred_gram(features)
    power = float(np.einsum("ij,ij->", features, features, dtype=np.float64))
    if np.trace(products) <= _CONSTANT * power:
        return np.zeros(len(products) * (len(products) - 1) // 2)
    return u_centred_triangle(products)

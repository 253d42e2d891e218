"""Unbiased linear CKA: how alike two representations are, up to rotation and a common scale.

Linear centred kernel alignment (Kornblith et al. 2019) compares the Gram matrices K = XXᵀ and L =
YYᵀ of two representations of the same sounds,

    CKA = HSIC(K, L) / √(HSIC(K, K) · HSIC(L, L)).

With many more units than sounds the usual (biased) estimate of HSIC makes any two representations
look alike: for 165 sounds, 7,000 units and 960 voxels of independent noise it is 0.91. The estimate
used here is the unbiased one of Song et al. (2012),

    HSIC₁ = [ tr(K̃L̃) + (1ᵀK̃1)(1ᵀL̃1) / ((n−1)(n−2)) − 2 · 1ᵀK̃L̃1 / (n−2) ] / (n (n−3)),

    K̃ = K with a zero diagonal,

which is 0 on average for independent representations, and can be negative. Székely & Rizzo (2014)
write it as an inner product: with the U-centred matrix Ǩ_ij = K_ij − Σ_l K_il / (n−2) − Σ_k K_kj /
(n−2) + Σ_kl K_kl / ((n−1)(n−2)) for i ≠ j, HSIC₁ = Σ_{i≠j} Ǩ_ij Ľ_ij / (n (n−3)). So CKA is the
cosine of the entries above the diagonal of the two U-centred Gram matrices, and all similarities of
many representations are one matrix product, as in RSA.

Unlike RSA it weighs units by their variance (nothing is z-scored) and compares values, not ranks.
"""

from __future__ import annotations

import numpy as np

from aud_dnn.methods.comparing.triangles import Moments, Triangles, padded
from aud_dnn.methods.method import Ceiling, Comparison, comparison_fields
from aud_dnn.methods.threads import one_blas_thread
from aud_dnn.splits import Splits

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
    vectors = [
        _triangle(centred_gram(item), float(np.einsum("ij,ij->", item, item)))
        for item in (np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64))
    ]
    return float(np.clip(vectors[0] @ vectors[1], -1.0, 1.0))


# --- the method ---------------------------------------------------------------------------------


def prepare(features: np.ndarray, splits: Splits) -> Triangles:
    """U-centred Gram triangles over all sounds and both halves of every split.

    U-centring takes the mean of every unit out over whatever sounds there are. So each half is by
    itself, and its Gram matrix is a part of that of all sounds.

    Parameters
    ----------
    features : array of shape (n_sounds, n_units)
    splits : Splits

    Raises
    ------
    ValueError
        A half has fewer than four sounds.
    """
    features = np.asarray(features)
    products = centred_gram(features)
    power = np.einsum("ij,ij->i", features, features, dtype=np.float64)
    constant = [np.count_nonzero((features == features[:1]).all(axis=0))]
    rows: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for train, test in zip(splits.train, splits.test):
        trained = features[train]
        constant.append(np.count_nonzero((trained == trained[:1]).all(axis=0)))
        for found, half in zip(rows, (train, test)):
            found.append(_triangle(products[np.ix_(half, half)], power[half].sum()))
    return Triangles(
        _triangle(products, power.sum()),
        padded(rows[0]),
        padded(rows[1]),
        np.array([[len(row) for row in half] for half in rows], dtype=int),
        Moments(products, products.sum(axis=1), features.shape[1]),
        np.array(constant),
    )


def _triangle(products: np.ndarray, power: float) -> np.ndarray:
    """U-centred triangle of unit length, so that all participants weigh the same in a mean.

    NaN where only rounding varies, beside the power of the features.
    """
    n = len(products)
    if np.trace(products) - products.sum() / n <= _CONSTANT * power:
        return np.full(n * (n - 1) // 2, np.nan)
    return unit_vectors(u_centred_triangle(products))


def _layers_together(moments: Moments) -> np.ndarray:
    """Of all layers side by side, whose Gram matrix is the sum of theirs."""
    return _triangle(moments.products, np.trace(moments.products))


METHOD = Comparison(
    name="CKA",
    label="Unbiased linear CKA, human vs. model",
    limits=(-0.1, 1.0),
    fields=comparison_fields("Unbiased linear CKA"),
    prepare=prepare,
    triangle=_layers_together,
    vector=unit_vectors,
    ceilings=(Ceiling("CKA", "cka", "unbiased linear CKA", unit_vectors),),
)
"""Unbiased linear CKA. Its ceiling is in CKA, too: the mean of the others' Gram matrices, each of
unit length.
"""

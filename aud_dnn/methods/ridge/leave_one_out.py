r"""Leave-one-out ridge regression of many responses on the same features.

All alphas at once, arrays in, arrays out.

**The problem** (Tuckute et al. 2023, Methods). For training features X (n sounds × p units) and one
response y, for every α of a grid: minimise ‖y − b − Xw‖² + α‖w‖² with a free intercept b; take the
α with the smallest mean squared leave-one-out error; predict the test sounds.

**What is shared.** X is the same for all responses. Let X − mean = U S Wᵀ, with U completed to an
orthonormal basis of the n − 1 dimensions orthogonal to the constant vector (which takes the
intercept out), λ = S² (0 where X has no direction left), z = Uᵀy. Then with d_j = α / (λ_j + α)

    residual           y − ŷ        = U (d ∘ z)
    1 − leverage       h_i          = Σ_j U_ij² d_j
    leave-one-out      e_i          = [U (d ∘ z)]_i / h_i
    test prediction    X_test w     = T (S / (λ + α) ∘ z),   T = X_test W

(the leverage of sound i includes the intercept; the second and third are exact: Golub, Heath &
Wahba 1979; Allen 1974),

so each alpha is a fixed n × (n−1) matrix A_α = diag(1/h) U diag(d) applied to z, and the error is
‖A_α z‖² / n. The best one is found in :mod:`aud_dnn.methods.ridge.choosing_alpha`. What is left of
it, 1 − ‖A_α z‖² / ‖z‖² (:func:`leave_one_out_r2`), says how well the layer does without a look at
the test sounds.

**Limits.** Predictions are formed without the intercept and scaled only after they were scored, so
for α → ∞ (a response without signal) r is the limit of r, not rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aud_dnn.methods.ridge.choosing_alpha import Screen, build_screen
from aud_dnn.methods.threads import one_blas_thread

_UNITS_PER_PASS = 2048  # a pass stays in cache
_ALPHA_RANGE = (1e-250, 1e250)
LARGEST_ALPHALIMIT = 100  # of :func:`alpha_grid`


def alpha_grid(limit: int) -> np.ndarray:
    """The published grid: 10^(L−1), 10^(L−2), …, 10^(−L), from the largest to the smallest.

    Parameters
    ----------
    limit : int
        L; 50 in the paper, which gives 100 alphas.
    """
    return np.array([float(f"1e{exponent}") for exponent in range(limit - 1, -limit - 1, -1)])


@dataclass(frozen=True)
class Design:
    """Source features reduced to what ridge regression needs of them.

    Attributes
    ----------
    factor : float64 array of shape (n_sounds, k), k = min(n_units, n_sounds)
        Rows have the same inner products as the features (each unit centred on all sounds) divided
        by ``scale``.
    scale : float
        A power of two; keeps the squares of very large or very small features in range.
    n_units : int
        Number of units of the layer.
    n_constant_units : int
        How many of them do not vary over the sounds (they carry nothing).
    """

    factor: np.ndarray
    scale: float
    n_units: int
    n_constant_units: int

    @property
    def is_constant(self) -> bool:
        """No unit varies over the sounds: nothing can be predicted."""
        return self.n_constant_units == self.n_units


@one_blas_thread()
def reduce_features(features: np.ndarray) -> Design:
    """Reduce features to at most n_sounds columns with the same inner products between sounds.

    With more units than sounds this is the triangular factor of an orthogonal decomposition, taken
    over the units a few thousand at a time. Unlike the Gram matrix it does not square the features,
    so small singular values keep their digits.

    Parameters
    ----------
    features : array of shape (n_sounds, n_units)
        Finite; any floating-point type (computed in float64).
    """
    n_sounds, n_units = features.shape
    low, high = features.min(axis=0), features.max(axis=0)
    varies = low < high
    largest = float(max(np.abs(low).max(), np.abs(high).max()))
    scale = 2.0 ** np.ceil(np.log2(largest)) if largest > 0 else 1.0

    def centred(columns: slice) -> np.ndarray:
        part = features[:, columns].astype(np.float64) / scale
        part -= part.mean(axis=0)
        part[:, ~varies[columns]] = (
            0.0  # the mean of equal numbers need not equal them to the last bit
        )
        return part

    if n_units <= n_sounds:
        factor = centred(slice(None))
    else:
        triangle = np.empty((0, n_sounds))
        for start in range(0, n_units, _UNITS_PER_PASS):
            stacked = np.vstack([triangle, centred(slice(start, start + _UNITS_PER_PASS)).T])
            triangle = np.linalg.qr(stacked, mode="r")
        factor = np.ascontiguousarray(triangle.T)
    return Design(factor, scale, n_units, int(np.count_nonzero(~varies)))


def centring_basis(n: int) -> np.ndarray:
    """Orthonormal basis, shape (n, n − 1), of the vectors that sum to zero (Helmert)."""
    basis = np.zeros((n, n - 1))
    for j in range(1, n):
        basis[:j, j - 1] = 1.0
        basis[j, j - 1] = -j
    return basis / np.linalg.norm(basis, axis=0)


@dataclass(frozen=True)
class SplitRidge:
    """Ridge regression on one train/test split, decomposed for all responses and alphas.

    Made by :func:`decompose`.

    Attributes
    ----------
    alphas : array of shape (n_alphas,)
        From the largest to the smallest.
    basis : array of shape (n_train, n_train − 1)
        U of the module's notes.
    damping : array of shape (n_train − 1, n_alphas)
        d of the module's notes, times a factor for each alpha, which cancels in d / h.
    leverage_left : array of shape (n_train, n_alphas)
        h of the module's notes, times the same factor.
    shrinkage : array of shape (n_train − 1, n_alphas)
        S / (λ + α), times ``1 / prediction_scale`` (of order one for every alpha).
    prediction_scale : array of shape (n_alphas,)
    singular : array of shape (n_train − 1,)
        S, with zeros where the features have no direction left.
    test_scores : array of shape (n_test, n_train − 1)
        T, each column centred on the test sounds.
    test_means : array of shape (n_train − 1,)
        The means that were taken out of T.
    distinct : tuple of int
        Alphas (positions in ``alphas``) whose operators differ in float64; each is the largest of
        its run.
    """

    alphas: np.ndarray
    basis: np.ndarray
    damping: np.ndarray
    leverage_left: np.ndarray
    singular: np.ndarray
    shrinkage: np.ndarray
    prediction_scale: np.ndarray
    test_scores: np.ndarray
    test_means: np.ndarray
    distinct: tuple[int, ...]
    operators: np.ndarray  # (n_distinct, n_train, n_train − 1): A_α
    operator_norms: np.ndarray  # (n_distinct,) Frobenius
    screen: Screen

    @property
    def n_train(self) -> int:
        return len(self.basis)


def decompose(
    design: Design, train: np.ndarray, test: np.ndarray, alphas: np.ndarray
) -> SplitRidge:
    """Decompose one split.

    Parameters
    ----------
    design : Design
    train, test : bool array of shape (n_sounds,)
    alphas : array of shape (n_alphas,)
        Positive, from the largest to the smallest.
    """
    if np.any(alphas <= 0) or np.any(np.diff(alphas) >= 0):
        raise ValueError("alphas must be positive and given from the largest to the smallest")
    factor = design.factor
    train_rows, test_rows = factor[train], factor[test]
    train_mean = train_rows.mean(axis=0)
    helmert = centring_basis(len(train_rows))
    n_free = helmert.shape[1]
    left, values, right = np.linalg.svd(
        helmert.T @ (train_rows - train_mean), full_matrices=factor.shape[1] < n_free
    )
    # directions below the rounding of the decomposition carry nothing
    resolved = len(factor) * np.finfo(float).eps * np.linalg.norm(factor)
    rank = int(np.count_nonzero(values > resolved))
    singular = np.zeros(n_free)
    singular[:rank] = values[:rank]
    basis = helmert @ left
    if rank < n_free:
        _clear_unreachable_sounds(basis, rank)
    scores = np.zeros((len(test_rows), n_free))
    scores[:, :rank] = (test_rows - train_mean) @ right[:rank].T
    means = scores.mean(axis=0)
    scores -= means
    scores[:, np.linalg.norm(scores, axis=0) <= resolved] = 0.0

    eigenvalues = singular**2
    with np.errstate(over="ignore", under="ignore"):
        scaled_alphas = np.clip(alphas / design.scale / design.scale, *_ALPHA_RANGE)
    prediction_scale = 1.0 / (eigenvalues[0] + scaled_alphas)
    shrinkage = singular[:, None] / ((eigenvalues[:, None] + scaled_alphas) * prediction_scale)
    # a common factor of d cancels in A_α: keep d in (0, 1]
    damping = (eigenvalues[-1] + scaled_alphas[:, None]) / (eigenvalues + scaled_alphas[:, None])
    leverage_left = damping @ (basis**2).T
    operators = basis * damping[:, None, :] / leverage_left[:, :, None]
    distinct = _distinct(operators)
    operators = operators[list(distinct)]
    norms = np.linalg.norm(operators, axis=(1, 2))
    return SplitRidge(
        alphas,
        basis,
        np.ascontiguousarray(damping.T),
        np.ascontiguousarray(leverage_left.T),
        singular,
        shrinkage,
        prediction_scale,
        scores,
        means,
        distinct,
        operators,
        norms,
        build_screen(operators, norms, alphas[list(distinct)]),
    )


def _clear_unreachable_sounds(basis: np.ndarray, rank: int) -> None:
    """Set to zero what rounding left of sounds that the null space of the features does not reach.

    Such a sound (say, the only one that a unit responds to) has leverage 1 as α → 0; its
    leave-one-out error is finite, but the quotient of two rounding errors is not.
    """
    reach = np.linalg.norm(basis[:, rank:], axis=1)
    basis[reach < 1e-8, rank:] = 0.0


def _distinct(operators: np.ndarray) -> tuple[int, ...]:
    """First of each run of alphas whose operators agree to the last bits."""
    kept = [0]
    for i in range(1, len(operators)):
        reference = operators[kept[-1]]
        if np.linalg.norm(operators[i] - reference) > 4 * np.finfo(float).eps * np.linalg.norm(
            reference
        ):
            kept.append(i)
    return tuple(kept)


def project(split: SplitRidge, responses: np.ndarray) -> np.ndarray:
    """z = Uᵀy: training responses in the basis of the split, shape (n_train − 1, …).

    Parameters
    ----------
    responses : array of shape (n_train, …)
    """
    flat = responses.reshape(len(responses), -1)
    return (split.basis.T @ flat).reshape(split.basis.shape[1], *responses.shape[1:])


def leave_one_out_mse(split: SplitRidge, z: np.ndarray) -> np.ndarray:
    """Mean squared leave-one-out error for every alpha of the grid, in float64.

    Shape (n_alphas, n_responses).

    Parameters
    ----------
    z : array of shape (n_train − 1, n_responses)
        From :func:`project`.
    """
    error = np.sum((split.operators @ z) ** 2, axis=1) / split.n_train
    run = np.searchsorted(split.distinct, np.arange(len(split.alphas)), side="right") - 1
    return error[run]


def leave_one_out_r2(split: SplitRidge, z: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """1 − ‖A_α z‖² / ‖z‖²: leave-one-out error over the variance that the training mean leaves.

    Exact, in float64. 0 for a response that does not vary. Predicting each sound by the mean of the
    others gives 1 − (n / (n − 1))², −0.024 for 83 sounds: the least that the best alpha can give.

    Parameters
    ----------
    z : array of shape (n_train − 1, n_responses)
        From :func:`project`.
    chosen : int array of shape (n_responses,)
        Position of the alpha of every response in ``split.alphas``.

    Returns
    -------
    array of shape (n_responses,)
    """
    errors = split.basis @ (np.take(split.damping, chosen, axis=1) * z)
    errors /= np.take(split.leverage_left, chosen, axis=1)
    variance = np.einsum("jv,jv->v", z, z)
    left = np.einsum("iv,iv->v", errors, errors)
    return np.where(variance > 0, 1.0 - left / np.where(variance > 0, variance, 1.0), 0.0)

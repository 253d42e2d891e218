r"""Leave-one-out ridge regression of many responses on the same features: all alphas at once, arrays in, arrays out.

**The problem** (Tuckute et al. 2023, Methods). For training features X (n sounds × p units) and one response y, for every α
of a grid: minimise ‖y − b − Xw‖² + α‖w‖² with a free intercept b; take the α with the smallest mean squared leave-one-out
error; predict the test sounds.

**What is shared.** X is the same for all responses. Let X − mean = U S Wᵀ, with U completed to an orthonormal basis of the
n − 1 dimensions orthogonal to the constant vector (which takes the intercept out), λ = S² (0 where X has no direction
left), z = Uᵀy. Then with d_j = α / (λ_j + α)

    residual           y − ŷ        = U (d ∘ z)
    1 − leverage       h_i          = Σ_j U_ij² d_j                      (leverage of sound i, intercept included)
    leave-one-out      e_i          = [U (d ∘ z)]_i / h_i                (exact: Golub, Heath & Wahba 1979; Allen 1974)
    test prediction    X_test w     = T (S / (λ + α) ∘ z),   T = X_test W

so each alpha is a fixed n × (n−1) matrix A_α = diag(1/h) U diag(d) applied to z, and the error is ‖A_α z‖² / n.

**Exact choice, mostly in single precision.** With A_αᵀA_α = CᵀC (C upper triangular), ‖A_α z‖ = ‖C z‖. All ‖C z‖ are first
computed in float32, each with a bound on its error; only alphas whose interval overlaps that of the best are computed again,
in float64. Alphas at the two ends of the grid, where A_α hardly changes, are screened by one representative whose
interval is widened by the largest ‖A_α − A_rep‖_F. In the run at the largest alphas, A_α is nearly linear in 1/α:
A_α = A_0 + t (A_end − A_0) + E_α, t from 0 to 1, E_α small. With r₀, r_end the residuals at its ends and c = r_end − r₀,

    ‖A_α z‖ ≥ √(‖r₀‖² + 2 t r₀·c + t² ‖c‖²) − ‖E_α‖_F ‖z‖,

which mostly shows from the ends alone that no alpha between them can be chosen. So the choice is that of float64 throughout.

**Plateaus.** Two alphas cannot be told apart in float64 when the intervals ‖A_α z‖ ± n·u·‖A_α‖_F ‖z‖ overlap (u: unit
roundoff). Of those that cannot be told apart from the best, the largest alpha is taken. Predictions are formed without the
intercept and scaled only after they were scored, so for α → ∞ (a response without signal) r is the limit of r, not rounding.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_UNITS_PER_PASS = 2048      # a pass stays in cache
_ROW_BLOCKS = 4             # row blocks of the triangular factor: skips 3/8 of the arithmetic
_SCREEN_FROM = 512          # below so many responses screening does not pay
_GROUP_TOLERANCE = 1e-3     # relative change of A_α within a group of alphas screened together
_SMALLEST_SCREENED = 1e-12  # norm of a response relative to the largest of its voxel
_ALPHA_RANGE = (1e-250, 1e250)


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
        Rows have the same inner products as the features (each unit centred on all sounds) divided by ``scale``.
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


def reduce_features(features: np.ndarray) -> Design:
    """Reduce features to at most n_sounds columns with the same inner products between sounds.

    With more units than sounds this is the triangular factor of an orthogonal decomposition, taken over the units a few
    thousand at a time. Unlike the Gram matrix it does not square the features, so small singular values keep their digits.

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
        part[:, ~varies[columns]] = 0.0     # the mean of equal numbers need not equal them to the last bit
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
class _Screen:
    """Single-precision form of the leave-one-out operators (see the module's notes)."""

    runs: tuple[tuple[int, int], ...]       # per screened operator: first and end of the distinct operators it stands for
    row_blocks: tuple[np.ndarray, ...]      # float32, (n_screened * rows of the block, columns from the block on)
    row_starts: tuple[int, ...]
    slack: np.ndarray                       # (n_screened,) half-width of the interval per unit of ‖z‖
    line: np.ndarray                        # t of the module's notes for the alphas of the first run
    departure: np.ndarray                   # ‖E_α‖_F for each of them


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
        Alphas (positions in ``alphas``) whose operators differ in float64; each is the largest of its run.
    """

    alphas: np.ndarray
    basis: np.ndarray
    singular: np.ndarray
    shrinkage: np.ndarray
    prediction_scale: np.ndarray
    test_scores: np.ndarray
    test_means: np.ndarray
    distinct: tuple[int, ...]
    operators: np.ndarray           # (n_distinct, n_train, n_train − 1): A_α
    operator_norms: np.ndarray      # (n_distinct,) Frobenius
    screen: _Screen

    @property
    def n_train(self) -> int:
        return len(self.basis)


def decompose(design: Design, train: np.ndarray, test: np.ndarray, alphas: np.ndarray) -> SplitRidge:
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
    left, values, right = np.linalg.svd(helmert.T @ (train_rows - train_mean), full_matrices=factor.shape[1] < n_free)
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
    operators = _leave_one_out_operators(basis, eigenvalues, scaled_alphas)
    distinct = _distinct(operators)
    operators = operators[list(distinct)]
    norms = np.linalg.norm(operators, axis=(1, 2))
    return SplitRidge(alphas, basis, singular, shrinkage, prediction_scale, scores, means, distinct, operators, norms,
                      _build_screen(operators, norms, alphas[list(distinct)]))


def _clear_unreachable_sounds(basis: np.ndarray, rank: int) -> None:
    """Set to zero what rounding left of sounds that the null space of the features does not reach.

    Such a sound (say, the only one that a unit responds to) has leverage 1 as α → 0; its leave-one-out error is finite, but
    the quotient of two rounding errors is not.
    """
    reach = np.linalg.norm(basis[:, rank:], axis=1)
    basis[reach < 1e-8, rank:] = 0.0


def _leave_one_out_operators(basis: np.ndarray, eigenvalues: np.ndarray, alphas: np.ndarray) -> np.ndarray:
    """A_α for every alpha, shape (n_alphas, n_train, n_train − 1). A common factor of d cancels in A_α: keep d in (0, 1]."""
    d = (eigenvalues[-1] + alphas[:, None]) / (eigenvalues + alphas[:, None])
    h = d @ (basis**2).T
    return basis * d[:, None, :] / h[:, :, None]


def _distinct(operators: np.ndarray) -> tuple[int, ...]:
    """First of each run of alphas whose operators agree to the last bits."""
    kept = [0]
    for i in range(1, len(operators)):
        reference = operators[kept[-1]]
        if np.linalg.norm(operators[i] - reference) > 4 * np.finfo(float).eps * np.linalg.norm(reference):
            kept.append(i)
    return tuple(kept)


def _build_screen(operators: np.ndarray, norms: np.ndarray, alphas: np.ndarray) -> _Screen:
    n_alphas, _, n_free = operators.shape

    def close_to(representative: int) -> np.ndarray:
        distance = np.linalg.norm(operators - operators[representative], axis=(1, 2))
        return np.where(distance <= _GROUP_TOLERANCE * norms[representative] / np.sqrt(n_free), distance, np.inf)

    top, bottom = close_to(0), close_to(n_alphas - 1)
    # runs from either end only: 1 + last of the leading run, first of the trailing run
    n_top = int(np.argmin(np.isfinite(top))) if not np.isfinite(top).all() else n_alphas
    trailing = np.isfinite(bottom[::-1])
    n_bottom = 0 if n_top == n_alphas else int(np.argmin(trailing)) if not trailing.all() else n_alphas
    n_bottom = min(n_bottom, n_alphas - n_top)
    singles = range(n_top, n_alphas - n_bottom)
    runs = [(0, n_top), *((i, i + 1) for i in singles)]
    representatives = [0, *singles]
    spread = [float(top[:n_top].max()), *(0.0 for _ in singles)]
    if n_bottom:
        runs.append((n_alphas - n_bottom, n_alphas))
        representatives.append(n_alphas - 1)
        spread.append(float(bottom[n_alphas - n_bottom:].max()))

    chosen = operators[representatives]
    gram = chosen.transpose(0, 2, 1) @ chosen
    # a ridge of 1e-14 of the trace keeps the factorisation real; it moves ‖Cz‖ by at most 1e-7 ‖A‖ ‖z‖
    gram += 1e-14 * (norms[representatives]**2)[:, None, None] * np.eye(n_free)
    triangles = np.linalg.cholesky(gram).transpose(0, 2, 1)
    edges = np.linspace(0, n_free, min(_ROW_BLOCKS, n_free) + 1).astype(int)
    blocks = tuple(np.ascontiguousarray(triangles[:, a:b, a:].reshape(-1, n_free - a), dtype=np.float32)
                   for a, b in itertools.pairwise(edges))
    # rounding of a dot product of n_free float32 terms, its operands and the sum of squares: |fl(Cz) − Cz| ≤ n u |C||z|
    magnitude = np.abs(triangles)
    bound = np.sqrt(magnitude.sum(axis=1).max(axis=1) * magnitude.sum(axis=2).max(axis=1))      # ≥ ‖ |C| ‖₂
    rounding = (1.5 * n_free + 8) * np.finfo(np.float32).eps / 2
    slack = rounding * bound + 1e-7 * norms[representatives] + np.array(spread)
    end = n_top - 1
    line = (1 / alphas[:n_top] - 1 / alphas[0]) / (1 / alphas[end] - 1 / alphas[0]) if end else np.zeros(1)
    straight = operators[0] + line[:, None, None] * (operators[end] - operators[0])
    departure = np.linalg.norm(operators[:n_top] - straight, axis=(1, 2))
    return _Screen(tuple(runs), blocks, tuple(int(a) for a in edges[:-1]), slack, line, departure)


def project(split: SplitRidge, responses: np.ndarray) -> np.ndarray:
    """z = Uᵀy: training responses in the basis of the split, shape (n_train − 1, …).

    Parameters
    ----------
    responses : array of shape (n_train, …)
    """
    flat = responses.reshape(len(responses), -1)
    return (split.basis.T @ flat).reshape(split.basis.shape[1], *responses.shape[1:])


def leave_one_out_mse(split: SplitRidge, z: np.ndarray) -> np.ndarray:
    """Mean squared leave-one-out error for every alpha of the grid, in float64; shape (n_alphas, n_responses).

    Parameters
    ----------
    z : array of shape (n_train − 1, n_responses)
        From :func:`project`.
    """
    error = np.sum((split.operators @ z)**2, axis=1) / split.n_train
    run = np.searchsorted(split.distinct, np.arange(len(split.alphas)), side="right") - 1
    return error[run]


@dataclass(frozen=True)
class AlphaChoice:
    """The best alpha of every response.

    Attributes
    ----------
    index : array of int, shape (n_series, n_responses)
        Position in ``SplitRidge.alphas``: the smallest mean squared leave-one-out error, the largest alpha on a plateau.
    on_plateau : bool array of shape (n_series, n_responses)
        Another alpha of the grid cannot be told apart from the chosen one in float64.
    """

    index: np.ndarray
    on_plateau: np.ndarray


def select_alphas(split: SplitRidge, z: np.ndarray, *, average_too: bool = False) -> AlphaChoice:
    """Choose alpha for every response.

    Parameters
    ----------
    split : SplitRidge
    z : float64 array of shape (n_train − 1, n_series, n_responses)
        From :func:`project`; a response per series (scan repetition) and voxel.
    average_too : bool
        The series are followed by their mean in ``z``: series 0 is the mean of series 1, 2, …. Its screening then costs
        next to nothing, since the residual of a mean is the mean of the residuals.

    """
    n_free, n_series, n_responses = z.shape
    norm = np.sqrt(np.einsum("jsv,jsv->sv", z, z))
    flat, flat_norm = z.reshape(n_free, -1), norm.ravel()
    runs = np.array(split.screen.runs)
    if flat_norm.size < _SCREEN_FROM:
        best, tied = _select_among(split, flat, flat_norm, np.ones((len(runs), flat_norm.size), dtype=bool))
    else:
        candidates = _screen_candidates(split.screen, z, norm, average_too).reshape(len(runs), -1)
        first = candidates.argmax(axis=0)
        best = runs[first, 0]
        tied = np.zeros(best.shape, dtype=bool)
        unsettled = np.flatnonzero((candidates.sum(axis=0) > 1) | (runs[first, 1] - best > 1))
        if unsettled.size:
            best[unsettled], tied[unsettled] = _select_among(split, flat.take(unsettled, axis=1), flat_norm[unsettled],
                                                             candidates.take(unsettled, axis=1))
    shape = (n_series, n_responses)
    tied |= np.diff(split.distinct, append=len(split.alphas))[best] > 1
    return AlphaChoice(np.array(split.distinct)[best].reshape(shape), tied.reshape(shape))


def _screen_candidates(screen: _Screen, z: np.ndarray, norm: np.ndarray, average_too: bool) -> np.ndarray:
    """Which screened operators may hold the best alpha, (n_screened, n_series, n_responses)."""
    n_screened = len(screen.runs)
    n_free, n_series, n_responses = z.shape
    scale = norm.max(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    first = 1 if average_too else 0
    scaled = (z[:, first:] / scale).astype(np.float32).reshape(n_free, -1)
    squares = np.zeros((n_screened, n_series, n_responses), dtype=np.float32)
    # one buffer for all row blocks: new memory of this size costs as much as the arithmetic on it
    buffer = np.empty((max(len(block) for block in screen.row_blocks), scaled.shape[1]), dtype=np.float32)
    for block, start in zip(screen.row_blocks, screen.row_starts):
        product = np.matmul(block, scaled[start:], out=buffer[:len(block)])
        residual = product.reshape(n_screened, -1, n_series - first, n_responses)
        squares[:, first:] += np.einsum("airv,airv->arv", residual, residual)
        if average_too:
            total = residual[:, :, 0]
            for series in range(1, n_series - 1):
                total += residual[:, :, series]
            squares[:, 0] += np.einsum("aiv,aiv->av", total, total)
    if average_too:
        squares[:, 0] /= (n_series - 1)**2
    error = np.sqrt(squares)
    relative_norm = (norm / scale).astype(np.float32)
    if average_too:         # its rounding is that of the series it was averaged from
        relative_norm[0] = relative_norm[1:].mean(axis=0)
    slack = screen.slack.astype(np.float32)[:, None, None] * relative_norm
    candidates = error - slack <= (error + slack).min(axis=0)
    # squares of a repetition that is tiny beside the others vanish in single precision
    return candidates | (relative_norm < _SMALLEST_SCREENED)


def _select_among(split: SplitRidge, z: np.ndarray, norm: np.ndarray,
                  candidates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Choose in float64 among the candidates, (n_screened, n_responses); on a plateau the largest alpha.

    Returns positions in ``split.distinct`` and whether there was more than one to take, each of shape (n_responses,).
    """
    n_distinct, n_train, _ = split.operators.shape
    lower = np.full((n_distinct, len(norm)), np.inf)
    upper = np.full((n_distinct, len(norm)), np.inf)
    rounding = n_train * np.finfo(float).eps / 2
    by_response = np.ascontiguousarray(z.T)     # whole rows are picked faster

    def residuals(members: Sequence[int] | slice, columns: np.ndarray) -> np.ndarray:
        operators = split.operators[members]
        return (operators.reshape(-1, len(z)) @ by_response.take(columns, axis=0).T).reshape(len(operators), n_train, -1)

    def record(members: Sequence[int] | slice, columns: np.ndarray, residual: np.ndarray) -> None:
        error = np.sqrt(np.einsum("aiv,aiv->av", residual, residual))
        slack = rounding * split.operator_norms[members, None] * norm[columns]
        rows = np.arange(n_distinct)[members, None]
        lower[rows, columns] = error - slack
        upper[rows, columns] = error + slack

    for (start, stop), which in zip(split.screen.runs, candidates):
        columns = np.flatnonzero(which)
        if start == 0 and stop > 2 and columns.size:
            ends = [0, stop - 1]
            residual = residuals(ends, columns)
            record(ends, columns, residual)
            columns = columns[~_settled_by_ends(split, residual, rounding * split.operator_norms[0], norm[columns])]
            start, stop = 1, stop - 1
        if columns.size:
            record(slice(start, stop), columns, residuals(slice(start, stop), columns))
    as_good = lower <= upper.min(axis=0)
    return np.argmax(as_good, axis=0), np.count_nonzero(as_good, axis=0) > 1


def _settled_by_ends(split: SplitRidge, residual: np.ndarray, rounding: float, norm: np.ndarray) -> np.ndarray:
    """For which responses no alpha between the ends of the first run can be chosen, nor makes a plateau.

    By the bound of the module's notes such an alpha is either worse than the better end by more than all rounding, or it is
    no better than the first, which is larger and hence preferred. The second does not tell whether the two tie; it is used
    only where the first is on a plateau anyway, since several alphas share its operator.

    Parameters
    ----------
    split : SplitRidge
    residual : array of shape (2, n_train, n_responses)
        At the two ends.
    rounding : float
        Of ‖A_α z‖, per unit of ``norm``.
    norm : array of shape (n_responses,)
        ‖z‖.
    """
    first, change = residual[0], residual[1] - residual[0]
    t, departure = split.screen.line[1:-1, None], split.screen.departure[1:-1, None]
    level, slope, curve = (np.einsum("iv,iv->v", *pair) for pair in ((first, first), (first, change), (change, change)))
    rounding_of_sums = len(first) * np.finfo(float).eps * (level + t**2 * curve)
    least = np.sqrt(np.maximum(level + 2 * t * slope + t**2 * curve - rounding_of_sums, 0.0)) - departure * norm
    at_first, at_last = np.sqrt(level), np.linalg.norm(residual[1], axis=0)
    # 4: of this residual, of that at the ends, and the half-widths of the two intervals
    settled = least > np.minimum(at_first, at_last) + 4 * rounding * norm
    if split.distinct[1] > 1:
        settled |= least >= at_first - 0.25 * rounding * norm
    return settled.all(axis=0)

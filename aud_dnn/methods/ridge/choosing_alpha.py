r"""Which alpha is the best for a response: exact, mostly in single precision.

By the notes of :mod:`aud_dnn.methods.ridge.leave_one_out` the mean squared leave-one-out error of
an alpha is ‖A_α z‖² / n. The n × (n−1) matrix A_α is the same for all responses z.

**Exact choice, mostly in single precision.** With A_αᵀA_α = CᵀC (C upper triangular), ‖A_α z‖ = ‖C
z‖. All ‖C z‖ are first computed in float32, each with a bound on its error; only alphas whose
interval overlaps that of the best are computed again, in float64. Alphas at the two ends of the
grid, where A_α hardly changes, are screened by one representative whose interval is widened by the
largest ‖A_α − A_rep‖_F. In the run at the largest alphas, A_α is nearly linear in 1/α: A_α = A_0 +
t (A_end − A_0) + E_α, t from 0 to 1, E_α small. With r₀, r_end the residuals at its ends and c =
r_end − r₀,

    ‖A_α z‖ ≥ √(‖r₀‖² + 2 t r₀·c + t² ‖c‖²) − ‖E_α‖_F ‖z‖,

which mostly shows from the ends alone that no alpha between them can be chosen. So the choice is
that of float64 throughout.

**Plateaus.** Two alphas cannot be distinguished in float64 when the intervals ‖A_α z‖ ± n·u·‖A_α‖_F
‖z‖ overlap (u: unit roundoff). Of those that cannot be distinguished from the best, the largest is
taken.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from aud_dnn.methods.ridge.leave_one_out import SplitRidge

_ROW_BLOCKS = 4  # row blocks of the triangular factor: skips 3/8 of the arithmetic
_SCREEN_FROM = 512  # below so many responses screening does not pay
_GROUP_TOLERANCE = 1e-3  # relative change of A_α within a group of alphas screened together
_SMALLEST_SCREENED = 1e-12  # norm of a response relative to the largest of its voxel


@dataclass(frozen=True)
class Screen:
    """Single-precision form of the leave-one-out operators (see the module's notes)."""

    runs: tuple[
        tuple[int, int], ...
    ]  # per screened operator: first and end of the distinct operators it stands for
    row_blocks: tuple[
        np.ndarray, ...
    ]  # float32, (n_screened * rows of the block, columns from the block on)
    row_starts: tuple[int, ...]
    slack: np.ndarray  # (n_screened,) half-width of the interval per unit of ‖z‖
    line: np.ndarray  # t of the module's notes for the alphas of the first run
    departure: np.ndarray  # ‖E_α‖_F for each of them


def build_screen(operators: np.ndarray, norms: np.ndarray, alphas: np.ndarray) -> Screen:
    """Prepare the screening of one split.

    Parameters
    ----------
    operators : array of shape (n_alphas, n_train, n_train − 1)
        A_α, all different.
    norms : array of shape (n_alphas,)
        Their Frobenius norms.
    alphas : array of shape (n_alphas,)
        From the largest to the smallest.
    """
    n_alphas, _, n_free = operators.shape

    def close_to(representative: int) -> np.ndarray:
        distance = np.linalg.norm(operators - operators[representative], axis=(1, 2))
        return np.where(
            distance <= _GROUP_TOLERANCE * norms[representative] / np.sqrt(n_free), distance, np.inf
        )

    top, bottom = close_to(0), close_to(n_alphas - 1)
    # runs from either end only: 1 + last of the leading run, first of the trailing run
    n_top = int(np.argmin(np.isfinite(top))) if not np.isfinite(top).all() else n_alphas
    trailing = np.isfinite(bottom[::-1])
    n_bottom = (
        0 if n_top == n_alphas else int(np.argmin(trailing)) if not trailing.all() else n_alphas
    )
    n_bottom = min(n_bottom, n_alphas - n_top)
    singles = range(n_top, n_alphas - n_bottom)
    runs = [(0, n_top), *((i, i + 1) for i in singles)]
    representatives = [0, *singles]
    spread = [float(top[:n_top].max()), *(0.0 for _ in singles)]
    if n_bottom:
        runs.append((n_alphas - n_bottom, n_alphas))
        representatives.append(n_alphas - 1)
        spread.append(float(bottom[n_alphas - n_bottom :].max()))

    chosen = operators[representatives]
    gram = chosen.transpose(0, 2, 1) @ chosen
    # a ridge of 1e-14 of the trace keeps the factorisation real; it moves ‖Cz‖ by at most 1e-7 ‖A‖
    # ‖z‖
    gram += 1e-14 * (norms[representatives] ** 2)[:, None, None] * np.eye(n_free)
    triangles = np.linalg.cholesky(gram).transpose(0, 2, 1)
    edges = np.linspace(0, n_free, min(_ROW_BLOCKS, n_free) + 1).astype(int)
    blocks = tuple(
        np.ascontiguousarray(triangles[:, a:b, a:].reshape(-1, n_free - a), dtype=np.float32)
        for a, b in itertools.pairwise(edges)
    )
    # rounding of a dot product of n_free float32 terms, its operands and the sum of squares:
    # |fl(Cz) − Cz| ≤ n u |C||z|
    magnitude = np.abs(triangles)
    bound = np.sqrt(
        magnitude.sum(axis=1).max(axis=1) * magnitude.sum(axis=2).max(axis=1)
    )  # ≥ ‖ |C| ‖₂
    rounding = (1.5 * n_free + 8) * np.finfo(np.float32).eps / 2
    slack = rounding * bound + 1e-7 * norms[representatives] + np.array(spread)
    end = n_top - 1
    line = (
        (1 / alphas[:n_top] - 1 / alphas[0]) / (1 / alphas[end] - 1 / alphas[0])
        if end
        else np.zeros(1)
    )
    straight = operators[0] + line[:, None, None] * (operators[end] - operators[0])
    departure = np.linalg.norm(operators[:n_top] - straight, axis=(1, 2))
    return Screen(tuple(runs), blocks, tuple(int(a) for a in edges[:-1]), slack, line, departure)


@dataclass(frozen=True)
class AlphaChoice:
    """The best alpha of every response.

    Attributes
    ----------
    index : array of int, shape (n_series, n_responses)
        Position in ``SplitRidge.alphas``: the smallest mean squared leave-one-out error, the
        largest alpha on a plateau.
    on_plateau : bool array of shape (n_series, n_responses)
        Another alpha of the grid cannot be distinguished from the chosen one in float64.
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
        The series are followed by their mean in ``z``: series 0 is the mean of series 1, 2, …. Its
        screening then costs next to nothing, since the residual of a mean is the mean of the
        residuals.

    """
    n_free, n_series, n_responses = z.shape
    norm = np.sqrt(np.einsum("jsv,jsv->sv", z, z))
    flat, flat_norm = z.reshape(n_free, -1), norm.ravel()
    runs = np.array(split.screen.runs)
    if flat_norm.size < _SCREEN_FROM:
        best, tied = _select_among(
            split, flat, flat_norm, np.ones((len(runs), flat_norm.size), dtype=bool)
        )
    else:
        candidates = _screen_candidates(split.screen, z, norm, average_too).reshape(len(runs), -1)
        first = candidates.argmax(axis=0)
        best = runs[first, 0]
        tied = np.zeros(best.shape, dtype=bool)
        unsettled = np.flatnonzero((candidates.sum(axis=0) > 1) | (runs[first, 1] - best > 1))
        if unsettled.size:
            best[unsettled], tied[unsettled] = _select_among(
                split,
                flat.take(unsettled, axis=1),
                flat_norm[unsettled],
                candidates.take(unsettled, axis=1),
            )
    shape = (n_series, n_responses)
    tied |= np.diff(split.distinct, append=len(split.alphas))[best] > 1
    return AlphaChoice(np.array(split.distinct)[best].reshape(shape), tied.reshape(shape))


def _screen_candidates(
    screen: Screen, z: np.ndarray, norm: np.ndarray, average_too: bool
) -> np.ndarray:
    """Which screened operators may hold the best alpha, (n_screened, n_series, n_responses)."""
    n_screened = len(screen.runs)
    n_free, n_series, n_responses = z.shape
    scale = norm.max(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    first = 1 if average_too else 0
    scaled = (z[:, first:] / scale).astype(np.float32).reshape(n_free, -1)
    squares = np.zeros((n_screened, n_series, n_responses), dtype=np.float32)
    # one buffer for all row blocks: new memory of this size costs as much as the arithmetic on it
    buffer = np.empty(
        (max(len(block) for block in screen.row_blocks), scaled.shape[1]), dtype=np.float32
    )
    for block, start in zip(screen.row_blocks, screen.row_starts):
        product = np.matmul(block, scaled[start:], out=buffer[: len(block)])
        residual = product.reshape(n_screened, -1, n_series - first, n_responses)
        squares[:, first:] += np.einsum("airv,airv->arv", residual, residual)
        if average_too:
            total = residual[:, :, 0]
            for series in range(1, n_series - 1):
                total += residual[:, :, series]
            squares[:, 0] += np.einsum("aiv,aiv->av", total, total)
    if average_too:
        squares[:, 0] /= (n_series - 1) ** 2
    error = np.sqrt(squares)
    relative_norm = (norm / scale).astype(np.float32)
    if average_too:  # its rounding is that of the series it was averaged from
        relative_norm[0] = relative_norm[1:].mean(axis=0)
    slack = screen.slack.astype(np.float32)[:, None, None] * relative_norm
    candidates = error - slack <= (error + slack).min(axis=0)
    # squares of a repetition that is tiny beside the others vanish in single precision
    return candidates | (relative_norm < _SMALLEST_SCREENED)


def _select_among(
    split: SplitRidge, z: np.ndarray, norm: np.ndarray, candidates: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Choose in float64 among the candidates, (n_screened, n_responses).

    On a plateau the largest alpha.

    Returns positions in ``split.distinct`` and whether there was more than one to take, each of
    shape (n_responses,).
    """
    n_distinct, n_train, _ = split.operators.shape
    lower = np.full((n_distinct, len(norm)), np.inf)
    upper = np.full((n_distinct, len(norm)), np.inf)
    rounding = n_train * np.finfo(float).eps / 2
    by_response = np.ascontiguousarray(z.T)  # whole rows are picked faster

    def residuals(members: Sequence[int] | slice, columns: np.ndarray) -> np.ndarray:
        operators = split.operators[members]
        return (operators.reshape(-1, len(z)) @ by_response.take(columns, axis=0).T).reshape(
            len(operators), n_train, -1
        )

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
            columns = columns[
                ~_settled_by_ends(
                    split, residual, rounding * split.operator_norms[0], norm[columns]
                )
            ]
            start, stop = 1, stop - 1
        if columns.size:
            record(slice(start, stop), columns, residuals(slice(start, stop), columns))
    as_good = lower <= upper.min(axis=0)
    return np.argmax(as_good, axis=0), np.count_nonzero(as_good, axis=0) > 1


def _settled_by_ends(
    split: SplitRidge, residual: np.ndarray, rounding: float, norm: np.ndarray
) -> np.ndarray:
    """For which responses no alpha between the ends of the first run can be chosen, nor makes a
    plateau.

    By the bound of the module's notes such an alpha is either worse than the better end by more
    than all rounding, or it is no better than the first, which is larger and hence preferred. The
    second does not tell whether the two tie; it is used only where the first is on a plateau
    anyway, since several alphas share its operator.

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
    level, slope, curve = (
        np.einsum("iv,iv->v", *pair) for pair in ((first, first), (first, change), (change, change))
    )
    # each of the three sums is off by at most n·u times the magnitudes of its terms, and 2 t
    # |slope| ≤ level + t² curve
    rounding_of_sums = len(first) * np.finfo(float).eps * (level + t**2 * curve)
    least = (
        np.sqrt(np.maximum(level + 2 * t * slope + t**2 * curve - rounding_of_sums, 0.0))
        - departure * norm
    )
    at_first, at_last = np.sqrt(level), np.linalg.norm(residual[1], axis=0)
    # 4: of this residual, of that at the ends, and the half-widths of the two intervals
    settled = least > np.minimum(at_first, at_last) + 4 * rounding * norm
    # two errors closer than their half-widths (one rounding each) tie, and of ties the first,
    # largest alpha is taken; a quarter of a half-width is well inside
    if split.distinct[1] > 1:
        settled |= least >= at_first - 0.25 * rounding * norm
    return settled.all(axis=0)

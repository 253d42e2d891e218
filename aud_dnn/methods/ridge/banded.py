r"""What each of several feature spaces explains alone, and what only one of them explains.

**The question.** A network layer (A) predicts a voxel, and so does an acoustic account of the
sounds (B). How much does A explain that B does not?

**Banded ridge regression** (Nunez-Elizalde, Huth & Gallant 2019; Dupré la Tour et al. 2022): the
spaces are joined, each with a penalty of its own. With the features of each space centred and
scaled to a total variance of 1 over the sounds, and X_i X_iᵀ = K_i, that is ridge regression with
the kernel

    K = Σ_i γ_i K_i,   γ_i ≥ 0,  Σ_i γ_i = 1,

and one α; the penalty of space i is α / γ_i. Mixtures γ (:func:`mixtures`) and α are chosen for
every voxel and split by the exact leave-one-out error of the training sounds; the mixtures where
only one space has weight are plain ridge regression on it. A set of spaces may use every mixture of
its members, so on the training sounds more spaces never do worse (leave-one-out).

**Measures**, on the test sounds of each split:

    r2_test    squared correlation of predicted and measured responses, as in the paper
    explained  1 − Σ (y − ŷ)² / Σ (y − ȳ)²,  ȳ the mean of the training sounds

The second knows the size of a prediction and may be negative; of the two it is the one whose parts
are parts of a variance. Noise-corrected: r2_test as in the paper
(:mod:`aud_dnn.methods.ridge.noise_correction`), explained divided by the reliability of the
measured responses, with the same floor. With R²(·) either measure, for two spaces

    unique A = R²(A∪B) − R²(B),   shared = R²(A) + R²(B) − R²(A∪B),

and for more the shares of all combinations by inclusion and exclusion (:func:`parts`). What the
spaces share is what either could explain; nothing says which of them the brain uses.

For the predictions of single repetitions, which the noise correction needs, the mixture is that of
the mean response; alpha is chosen anew for each, as in the paper.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from aud_dnn.methods.repetitions import mean_response, measured_repetitions
from aud_dnn.methods.ridge.choosing_alpha import select_alphas
from aud_dnn.methods.ridge.leave_one_out import (
    Design,
    SplitRidge,
    alpha_grid,
    leave_one_out_r2,
    project,
    reduce_features,
)
from aud_dnn.methods.ridge.noise_correction import (
    RESPONSE_FLOOR,
    floored_reliability,
    median_of_pairs,
)
from aud_dnn.methods.ridge.scores import TestPredictions
from aud_dnn.methods.ridge.scoring import (
    VOXELS_PER_BLOCK,
    busy_threads,
    decompose_splits,
    score_responses,
)
from aud_dnn.methods.ridge.split_scores import does_not_vary, power_of_two
from aud_dnn.methods.threads import available_cores
from aud_dnn.splits import Splits

Subset = tuple[int, ...]
"""Which spaces are used, by their place; (0, 1) is A∪B."""

_LEVELS = {2: 10.0 ** (-np.arange(10) / 3), 3: 10.0 ** -np.arange(3.0)}
"""Weights of a space relative to the largest: thirds of a decade down to 1/1000 for two spaces,
decades down to 1/100 for three."""


def mixtures(n_spaces: int) -> np.ndarray:
    """The grid of γ, shape (n_mixtures, n_spaces); rows sum to 1.

    Every space alone first, then mixtures: 21 for two spaces, 37 for three.
    """
    if n_spaces not in _LEVELS:
        raise ValueError(f"two or three spaces can be compared; got {n_spaces}")
    levels = (0.0, *_LEVELS[n_spaces])
    rows = [row for row in itertools.product(levels, repeat=n_spaces) if max(row) == 1.0]
    rows.sort(key=lambda row: (np.count_nonzero(row), [-value for value in row]))
    weights = np.array(rows)
    return weights / weights.sum(axis=1, keepdims=True)


def subsets(n_spaces: int) -> list[Subset]:
    """Every set of spaces, single ones first."""
    return [
        chosen
        for size in range(1, n_spaces + 1)
        for chosen in itertools.combinations(range(n_spaces), size)
    ]


@dataclass(frozen=True)
class SubsetScores:
    """How well one set of spaces predicts, every array of shape (n_voxels, n_splits).

    Attributes
    ----------
    r2_test, r2_test_c : see :class:`aud_dnn.methods.ridge.scores.LayerScores`
    explained, explained_c : cross-validated explained variance, raw and noise-corrected (zeros
        where the target has no repetitions)
    loo_r2_train : the leave-one-out R² by which mixture and alpha were chosen
    alphas : chosen alpha
    mixture : int array; row of :func:`mixtures`
    """

    r2_test: np.ndarray
    r2_test_c: np.ndarray
    explained: np.ndarray
    explained_c: np.ndarray
    loo_r2_train: np.ndarray
    alphas: np.ndarray
    mixture: np.ndarray


_COPIED = ("r2_test", "r2_test_c", "loo_r2_train", "alphas")
MEASURES = ("r2_test", "r2_test_c", "explained", "explained_c")


def space_factor(features: np.ndarray) -> np.ndarray:
    """A space, centred, scaled to a total variance of 1 and reduced to (n_sounds, k).

    Rows have the inner products of the scaled features.

    Raises
    ------
    ValueError
        No unit varies over the sounds.
    """
    factor = reduce_features(features).factor
    variance = np.square(factor).sum() / len(factor)
    if variance == 0:
        raise ValueError("no unit of a space varies over the sounds")
    return factor / np.sqrt(variance)


def joint_design(factors: Sequence[np.ndarray], weights: np.ndarray) -> Design:
    """The spaces side by side, each times √γ: inner products are Σ γ_i K_i."""
    return reduce_features(
        np.hstack(
            [factor * np.sqrt(weight) for factor, weight in zip(factors, weights) if weight > 0]
        )
    )


def score_spaces(
    spaces: Sequence[np.ndarray],
    responses: np.ndarray,
    splits: Splits,
    *,
    alphalimit: int = 50,
    n_threads: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> dict[Subset, SubsetScores]:
    """Banded ridge regression on every set of the spaces (see the module).

    Parameters
    ----------
    spaces : sequence of two or three arrays of shape (n_sounds, n_units)
    responses : array of shape (n_sounds, n_voxels, n_repetitions)
        As for :func:`aud_dnn.methods.ridge.scoring.score_responses`.
    splits : Splits
    alphalimit : int
        The grid of alpha is 10^(L−1), …, 10^(−L).
    n_threads : int, optional
        All available cores if not given. The results do not depend on it.
    progress : callable, optional
        Called with 1 after every mixture, twice for each.

    Raises
    ------
    ValueError
        One space, or more than three; a space that does not vary.
    """
    grid = mixtures(len(spaces))
    factors = [space_factor(features) for features in spaces]
    alphas = alpha_grid(alphalimit)
    n_voxels, n_splits = responses.shape[1], len(splits)

    def decomposed(weights: np.ndarray) -> list[SplitRidge]:
        return decompose_splits(joint_design(factors, weights), splits, alphas, n_threads)

    loo_r2 = np.empty((len(grid), n_voxels, n_splits))
    for number, weights in enumerate(grid):
        loo_r2[number] = _best_leave_one_out(decomposed(weights), responses, splits, n_threads)
        if progress is not None:
            progress(1)
    chosen = {}
    for members in subsets(len(spaces)):
        others = [space for space in range(len(spaces)) if space not in members]
        allowed = np.flatnonzero((grid[:, others] == 0).all(axis=1))
        chosen[members] = allowed[loo_r2[allowed].argmax(axis=0)]
    del loo_r2

    shape = (n_voxels, n_splits)
    found = {
        members: SubsetScores(
            **{name: np.zeros(shape) for name in (*_COPIED, "explained", "explained_c")},
            mixture=mixture,
        )
        for members, mixture in chosen.items()
    }
    reliability = _response_reliability(responses, splits)
    for number, weights in enumerate(grid):
        cells = {members: mixture == number for members, mixture in chosen.items()}
        needed = np.any(list(cells.values()), axis=0)
        if needed.any():  # decomposed once more: all mixtures together would take 0.6 GB
            scores, predictions = score_responses(
                decomposed(weights), responses, splits, cells=needed, n_threads=n_threads
            )
            assert predictions is not None
            explained = _explained(predictions, responses, splits, needed)
            corrected = explained / reliability if reliability is not None else 0 * explained
            for members, mine in cells.items():
                into = found[members]
                for name in _COPIED:
                    getattr(into, name)[mine] = getattr(scores, name)[mine]
                into.explained[mine], into.explained_c[mine] = explained[mine], corrected[mine]
        if progress is not None:
            progress(1)
    return found


def parts(values: dict[Subset, np.ndarray]) -> dict[Subset, np.ndarray]:
    """The share of every combination of spaces, from what every set of them explains.

    ``parts[(0,)]`` is what only space 0 explains, ``parts[(0, 1)]`` what 0 and 1 share (and, of
    three, 2 does not). They sum to what all explain together. By inclusion and exclusion: the share
    of S is Σ over T ⊆ S of (−1)^(|T|+1) R²(rest ∪ T), rest the spaces outside of S, R²(∅) = 0.

    Parameters
    ----------
    values : mapping from every set of spaces (:func:`subsets`) to arrays of one shape
    """
    everything = max(values, key=len)
    found = {}
    for shared in values:
        rest = tuple(space for space in everything if space not in shared)
        total = np.zeros_like(next(iter(values.values())))
        for size in range(len(shared) + 1):
            for some in itertools.combinations(shared, size):
                members = tuple(sorted((*rest, *some)))
                if members:
                    total = total + (-1) ** (size + 1) * values[members]
        found[shared] = total
    return found


# --- steps --------------------------------------------------------------------------------------


def _best_leave_one_out(
    decomposed: Sequence[SplitRidge],
    responses: np.ndarray,
    splits: Splits,
    n_threads: int | None,
) -> np.ndarray:
    """The leave-one-out R² of the mean response at its best alpha, (n_voxels, n_splits)."""
    n_sounds, n_voxels, _ = responses.shape
    found = np.empty((n_voxels, len(splits)))

    def run(start: int) -> None:
        block = slice(start, start + VOXELS_PER_BLOCK)
        measured = mean_response(responses[:, block])
        magnitude = np.nanmax(np.abs(responses[:, block]), axis=(0, 2))
        unit = power_of_two(magnitude)
        measured, magnitude = measured / unit, magnitude / unit
        for s, (split, train) in enumerate(zip(decomposed, splits.train)):
            centred = measured[train] - measured[train].mean(axis=0)
            z = project(split, centred)
            z[:, does_not_vary(centred, magnitude, n_sounds)] = 0.0
            alpha = select_alphas(split, z[:, None]).index[0]
            found[block, s] = leave_one_out_r2(split, z, alpha)

    with busy_threads(), ThreadPoolExecutor(n_threads or available_cores()) as threads:
        list(threads.map(run, range(0, n_voxels, VOXELS_PER_BLOCK)))
    return found


def _explained(
    predictions: TestPredictions, responses: np.ndarray, splits: Splits, cells: np.ndarray
) -> np.ndarray:
    """1 − Σ (y − ŷ)² / Σ (y − ȳ)² over the test sounds; 0 where the responses do not vary."""
    measured = mean_response(responses)
    found = np.zeros(cells.shape)
    for s, (train, test) in enumerate(zip(splits.train, splits.test)):
        voxels = np.flatnonzero(cells[:, s])
        y = measured[:, voxels]
        y = y[test] - y[train].mean(axis=0)
        total = np.einsum("iv,iv->v", y, y)
        y -= predictions.values[s, : len(y), voxels].T
        left = np.einsum("iv,iv->v", y, y)
        found[voxels, s] = np.where(total > 0, 1 - left / np.where(total > 0, total, 1), 0.0)
    return found


def _response_reliability(responses: np.ndarray, splits: Splits) -> np.ndarray | None:
    """Reliability of the mean response from the training sounds, (n_voxels, n_splits).

    None where there is one repetition. That of the paper's noise correction, with its floor; NaN
    for a voxel that has only one repetition of several.
    """
    _, n_voxels, n_repetitions = responses.shape
    if n_repetitions == 1:
        return None
    found = np.full((n_voxels, len(splits)), np.nan)
    there = measured_repetitions(responses)
    for pattern in np.unique(there, axis=0):
        voxels = np.flatnonzero((there == pattern).all(axis=1))
        repetitions = np.flatnonzero(pattern)
        if len(repetitions) < 2:
            continue
        for s, train in enumerate(splits.train):
            y = responses[train][:, voxels][:, :, repetitions].astype(np.float64)
            y = y - y.mean(axis=0)
            norm = np.sqrt(np.einsum("ivr,ivr->vr", y, y))
            with np.errstate(divide="ignore", invalid="ignore"):
                r = np.stack(
                    [
                        np.einsum("iv,iv->v", y[..., a], y[..., b]) / norm[:, a] / norm[:, b]
                        for a, b in itertools.combinations(range(len(repetitions)), 2)
                    ]
                )
            found[voxels, s] = floored_reliability(
                median_of_pairs(r), len(repetitions), RESPONSE_FLOOR
            )
    return found

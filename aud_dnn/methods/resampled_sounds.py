r"""Scores in resamples of the sounds, without a new fit.

The sounds are drawn with replacement; every sound counts as often as it was drawn wherever it is a
test sound, in all splits and for all voxels and models alike. With these counts as weights w of the
test sounds of a split, that sum to 1, and measured and predicted responses y and p,

    R² = max(0, Σ w y p − Σ w y · Σ w p)² / [(Σ w y² − (Σ w y)²) (Σ w p² − (Σ w p)²)],

so that all sums of all resamples and voxels are one matrix product. Medians over splits and over
the voxels of a participant follow as always. What is fixed: the fits (weights of the regression,
penalties, splits, chosen layers) and the noise correction of every voxel and split.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np

from aud_dnn.methods.threads import available_cores, one_blas_thread
from aud_dnn.splits import Splits

_VOXELS_PER_BLOCK, _RESAMPLES_PER_BLOCK = 128, 512  # what the cache of a core holds
_NOTHING = 1e-6  # product of two variances that were 1 before the resampling


def sound_weights(n_sounds: int, n_resamples: int, seed: int = 0) -> np.ndarray:
    """How often every sound is drawn in every resample, shape (n_resamples, n_sounds); each row
    sums to ``n_sounds``. Drawn at once, so nothing depends on how the work is cut up.
    """
    rng = np.random.default_rng(seed)
    return rng.multinomial(n_sounds, np.full(n_sounds, 1 / n_sounds), size=n_resamples)


def resampled_scores(
    measured: np.ndarray,
    predicted: np.ndarray,
    splits: Splits,
    owner: np.ndarray,
    weights: np.ndarray,
    *,
    correction: np.ndarray | None = None,
    n_threads: int | None = None,
) -> np.ndarray:
    """Score of every participant in every resample of the sounds: the median over its voxels.

    Takes what :func:`resampled_parts` takes, but ``parts``.

    Returns
    -------
    array of shape (n_resamples, n_participants)
    """
    everywhere = np.ones(len(owner), dtype=bool)
    return resampled_parts(
        measured,
        predicted,
        splits,
        owner,
        weights,
        [everywhere],
        correction=correction,
        n_threads=n_threads,
    )[..., 0]


def resampled_parts(
    measured: np.ndarray,
    predicted: np.ndarray,
    splits: Splits,
    owner: np.ndarray,
    weights: np.ndarray,
    parts: Sequence[np.ndarray],
    *,
    correction: np.ndarray | None = None,
    mean: bool = False,
    n_threads: int | None = None,
) -> np.ndarray:
    """Score of every participant in parts of its voxels (regions), in every resample of the sounds.

    Parameters
    ----------
    measured : array of shape (n_sounds, n_voxels)
        Mean responses.
    predicted : array of shape (n_sounds, n_splits, n_voxels)
        Predictions for the test sounds; NaN elsewhere
        (:meth:`aud_dnn.store.regression.RegressionResult.predictions`).
    splits : Splits
    owner : array of shape (n_voxels,)
        The participant of each voxel.
    weights : array of shape (n_resamples, n_sounds)
        :func:`sound_weights`; a row of ones gives the score itself.
    parts : sequence of bool arrays of shape (n_voxels,)
        They may overlap.
    correction : array of shape (n_voxels, n_splits), optional
        Noise-corrected R² over R²; scores are then limited to 1 after the median over splits.
    mean : bool
        The mean over voxels in place of the median, for shares of variance, which then add up.
    n_threads : int, optional
        All available cores if not given. The results do not depend on it.

    Returns
    -------
    array of shape (n_resamples, n_participants, n_parts)
        Participants in the order of ``np.unique(owner)``; NaN where one has no voxel in a part. A
        voxel's R² is 0 for a split of which a resample holds too few different sounds for a
        correlation, and where the chosen alpha is so large that the
        prediction is constant to the last digit (the stored score is that of the limit; on NH2015
        that moves a participant's median by some thousandths).
    """
    people = np.unique(owner)
    by_person = [np.flatnonzero(owner == person) for person in people]
    found = np.full((len(weights), len(people), len(parts)), np.nan)
    tests = [np.flatnonzero(test) for test in splits.test]
    # Single precision: responses are centred and scaled first, so a score is off by some 1e-7, and
    # by 5e-6 where one sound holds nearly all of the variance (Cauchy).
    shares = [_shares(weights[:, test]) for test in tests]

    def r2_of(voxels: np.ndarray) -> np.ndarray:
        """Medians over splits, (n_resamples, n_voxels)."""
        moments = []
        for s, test in enumerate(tests):
            y = _standardized(measured[np.ix_(test, voxels)])
            p = _standardized(predicted[np.ix_(test, np.array([s]), voxels)][:, 0])
            moments.append(np.hstack([y, p, y * y, p * p, y * p]))
        medians = np.empty((len(weights), len(voxels)), dtype=np.float32)
        for start in range(0, len(weights), _RESAMPLES_PER_BLOCK):
            rows = slice(start, start + _RESAMPLES_PER_BLOCK)
            every = []
            for s, moment in enumerate(moments):
                r2 = _r2(shares[s][rows] @ moment)
                if correction is not None:
                    r2 *= correction[voxels, s].astype(np.float32)
                every.append(r2)
            medians[rows] = _median(every)
        return medians if correction is None else np.minimum(medians, 1, out=medians)

    def run(place: int) -> None:
        voxels = by_person[place]
        blocks = [
            r2_of(voxels[start : start + _VOXELS_PER_BLOCK])
            for start in range(0, len(voxels), _VOXELS_PER_BLOCK)
        ]
        r2 = np.concatenate(blocks, axis=1)
        for number, part in enumerate(parts):
            if (inside := part[voxels]).any():
                some = r2[:, inside]
                found[:, place, number] = (
                    some.mean(axis=1, dtype=np.float64) if mean else np.median(some, axis=1)
                )

    with one_blas_thread(), ThreadPoolExecutor(n_threads or available_cores()) as threads:
        list(threads.map(run, range(len(people))))
    return found


def _shares(weights: np.ndarray) -> np.ndarray:
    """Weights of the test sounds of a split that sum to 1 in every resample."""
    return (weights / np.maximum(weights.sum(axis=1), 1)[:, None]).astype(np.float32)


def _r2(moments: np.ndarray) -> np.ndarray:
    """Squared positive correlation, from the means of y, p, y², p² and y·p side by side, which are
    overwritten.
    """
    my, mp, yy, pp, yp = np.split(moments, 5, axis=1)
    yp -= my * mp
    np.maximum(yp, 0, out=yp)
    yp *= yp
    my *= my
    yy -= my
    mp *= mp
    pp -= mp
    yy *= pp
    nothing = yy <= _NOTHING  # of a resample with next to no different sounds nothing is left
    if nothing.any():
        yp[nothing], yy[nothing] = 0, 1
    return np.divide(yp, yy)


@lru_cache(maxsize=8)
def _comparisons(n: int) -> tuple[tuple[int, int], ...]:
    """Pairs of places to be put in order, one after the other, so that the middle of ``n`` values
    is where it would be if all were sorted (Batcher's odd-even merge sort, without the comparisons
    that the middle does not need).
    """
    pairs = []
    p = 1
    while p < n:
        k = p
        while k >= 1:
            for j in range(k % p, n - k, 2 * k):
                for i in range(min(k, n - j - k)):
                    if (i + j) // (2 * p) == (i + j + k) // (2 * p):
                        pairs.append((i + j, i + j + k))
            k //= 2
        p *= 2
    needed, kept = {(n - 1) // 2, n // 2}, []
    for pair in reversed(pairs):
        if needed & set(pair):
            needed |= set(pair)
            kept.append(pair)
    return tuple(reversed(kept))


def _median(values: list[np.ndarray]) -> np.ndarray:
    """Median of arrays of one shape, which are overwritten. The same as :func:`numpy.median` over
    a new axis, in a third of the time: whole arrays are put in order, two at a time.
    """
    spare = np.empty_like(values[0])
    for low, high in _comparisons(len(values)):
        np.minimum(values[low], values[high], out=spare)
        np.maximum(values[low], values[high], out=values[high])
        values[low], spare = spare, values[low]
    return (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2


def _standardized(values: np.ndarray) -> np.ndarray:
    """Columns of mean 0 and variance 1, in single precision; 0 where they do not vary."""
    values = values - values.mean(axis=0)
    spread = values.std(axis=0)
    return (values / np.where(spread > 0, spread, 1)).astype(np.float32)


def correction_factors(r2_test: np.ndarray, r2_test_c: np.ndarray) -> np.ndarray:
    """Noise-corrected R² over R², (n_voxels, n_splits); the voxel's median where R² is 0.

    Parameters
    ----------
    r2_test, r2_test_c : arrays of shape (n_voxels, n_splits)
    """
    known = (r2_test > 0) & np.isfinite(r2_test_c)
    factors = np.where(known, r2_test_c / np.where(known, r2_test, 1), np.nan)
    some = known.any(axis=1)
    typical = np.ones(len(factors))
    typical[some] = np.nanmedian(factors[some], axis=1)
    return np.where(np.isfinite(factors), factors, typical[:, None])


def unit_resample(n_sounds: int) -> np.ndarray:
    """Every sound once, as :func:`resampled_scores` takes it."""
    return np.ones((1, n_sounds), dtype=int)

"""One layer against all voxels of a target.

Predictions, scores, noise correction (Tuckute et al. 2023, Methods).

The same ten splits, the same decomposition of the layer per split, for every voxel, repetition and
alpha.

**What does not vary.** Responses to one half of a split do not vary if they are all equal, whatever
their level, or if they differ by no more than rounding: by n·eps of the voxel's largest response.
Taking a mean out of equal numbers leaves equal numbers, so this does not depend on what was
subtracted before. Such responses are fitted by nothing (training half) and predicted by nothing
(test half): r is NaN, every score 0, the standard deviation exactly 0.

**Missing repetitions.** Voxels that have the same repetitions are scored together, with those only:
means are over them, and the noise correction is that of their number.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from aud_dnn.methods.repetitions import mean_response, measured_repetitions
from aud_dnn.methods.ridge.choosing_alpha import select_alphas
from aud_dnn.methods.ridge.leave_one_out import (
    Design,
    SplitRidge,
    decompose,
    leave_one_out_r2,
    project,
)
from aud_dnn.methods.ridge.noise_correction import median_of_pairs, noise_corrected_r2
from aud_dnn.methods.ridge.scores import LayerScores, TestPredictions, positive_part, r2_of
from aud_dnn.methods.threads import available_cores, one_blas_thread
from aud_dnn.splits import Splits

VOXELS_PER_BLOCK = 512  # their responses and residuals stay in a core's cache
_NEARLY_CONSTANT = (
    1e-13  # of SciPy's warning about nearly constant input, which the published code counted
)


@contextmanager
def _busy_threads() -> Iterator[None]:
    """One BLAS thread per worker.

    Workers hand over at once (the default of 5 ms is as long as a whole step here).
    """
    interval = sys.getswitchinterval()
    sys.setswitchinterval(2e-4)
    try:
        with one_blas_thread():
            yield
    finally:
        sys.setswitchinterval(interval)


def decompose_splits(
    design: Design, splits: Splits, alphas: np.ndarray, n_threads: int | None = None
) -> list[SplitRidge]:
    """Decompose a layer for every split; serves all targets.

    Parameters
    ----------
    design : Design
        From :func:`aud_dnn.methods.ridge.leave_one_out.reduce_features`.
    splits : Splits
    alphas : array of shape (n_alphas,)
    n_threads : int, optional
        All available cores if not given.
    """
    with _busy_threads(), ThreadPoolExecutor(n_threads or available_cores()) as threads:
        return list(
            threads.map(
                lambda halves: decompose(design, *halves, alphas), zip(splits.train, splits.test)
            )
        )


def score_responses(
    decomposed: Sequence[SplitRidge],
    responses: np.ndarray,
    splits: Splits,
    *,
    keep_predictions: bool = True,
    n_threads: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> tuple[LayerScores, TestPredictions | None]:
    """Predict and score all voxels.

    Parameters
    ----------
    decomposed : sequence of SplitRidge
        From :func:`decompose_splits`.
    responses : array of shape (n_sounds, n_voxels, n_repetitions)
        With one repetition (components) there is no noise correction. A repetition that a voxel
        lacks is NaN for all sounds.
    splits : Splits
        Halves may differ in size; sounds in neither are left out.
    keep_predictions : bool
        Also return the predictions for the test sounds.
    n_threads : int, optional
        All available cores if not given. The results do not depend on it.
    progress : callable, optional
        Called with the number of voxels of each block that is done.

    Returns
    -------
    LayerScores, TestPredictions or None
    """
    n_sounds, n_voxels, _ = responses.shape
    blocks = _blocks(responses)
    if n_sounds != splits.train.shape[1]:
        raise ValueError(f"responses have {n_sounds} sounds, the splits {splits.train.shape[1]}")
    scores = LayerScores.empty(n_voxels, len(splits))
    predictions = None
    if keep_predictions:
        n_test = int(splits.test.sum(axis=1).max())
        predictions = TestPredictions(
            np.full((len(splits), n_test, n_voxels), np.nan, dtype=np.float32),
            np.empty((len(splits), n_voxels)),
        )

    def run(block: _Block) -> int:
        measured = responses[:, block.voxels][:, :, block.repetitions]
        _score_block(decomposed, measured, splits, block.voxels, scores, predictions)
        if (
            measured.shape[2] == 1 < responses.shape[2]
        ):  # zeros would count as scores beside those of the others
            scores.r2_test_c[block.voxels] = np.nan
        return measured.shape[1]

    with _busy_threads(), ThreadPoolExecutor(n_threads or available_cores()) as threads:
        try:
            for done in threads.map(run, blocks):
                if progress is not None:
                    progress(done)
        except BaseException:
            threads.shutdown(cancel_futures=True)
            raise
    return scores, predictions


@dataclass(frozen=True)
class _Block:
    """Voxels that are scored together, and the repetitions that they have."""

    voxels: slice | np.ndarray
    repetitions: slice | np.ndarray


def _blocks(responses: np.ndarray) -> list[_Block]:
    n_voxels = responses.shape[1]
    starts = range(0, n_voxels, VOXELS_PER_BLOCK)
    there = measured_repetitions(responses)
    if there.all():
        return [
            _Block(slice(start, min(start + VOXELS_PER_BLOCK, n_voxels)), slice(None))
            for start in starts
        ]
    patterns, pattern_of = np.unique(there, axis=0, return_inverse=True)
    blocks = []
    for number, pattern in enumerate(patterns):
        if not pattern.any():
            raise ValueError("a voxel has no response at all")
        members = np.flatnonzero(pattern_of.ravel() == number)
        blocks += [
            _Block(members[start : start + VOXELS_PER_BLOCK], np.flatnonzero(pattern))
            for start in range(0, len(members), VOXELS_PER_BLOCK)
        ]
    return blocks


@one_blas_thread()
def predict_mean_responses(
    decomposed: Sequence[SplitRidge],
    responses: np.ndarray,
    splits: Splits,
    alphas: np.ndarray | None = None,
) -> np.ndarray:
    """Predictions of the mean responses to all sounds, training sounds included, with the training
    mean added back.

    :func:`score_responses` keeps predictions for the test sounds. NaN for sounds in neither half.

    Parameters
    ----------
    decomposed : sequence of SplitRidge
    responses : array of shape (n_sounds, n_voxels, n_repetitions)
    splits : Splits
    alphas : array of shape (n_voxels, n_splits), optional
        Penalties that were chosen before (``LayerScores.alphas``); else they are chosen here.

    Returns
    -------
    array of shape (n_splits, n_sounds, n_voxels)

    Raises
    ------
    ValueError
        A penalty is not of the grid.
    """
    magnitude = np.nanmax(np.abs(responses), axis=(0, 2))
    unit = _power_of_two(magnitude)
    magnitude = magnitude / unit
    measured = mean_response(responses / unit[:, None])
    predicted = np.full((len(splits), *measured.shape), np.nan)
    for s, (split, train, test) in enumerate(zip(decomposed, splits.train, splits.test)):
        level = measured[train].mean(axis=0)
        centred = measured[train] - level
        z = project(split, centred[:, None])
        z[:, 0, _does_not_vary(centred, magnitude, len(measured))] = 0.0
        chosen = (
            select_alphas(split, z).index[0]
            if alphas is None
            else _position_in_grid(split.alphas, alphas[:, s])
        )
        weights = split.shrinkage[:, chosen] * z[:, 0] * split.prediction_scale[chosen]
        predicted[s, train] = split.basis @ (split.singular[:, None] * weights) + level
        predicted[s, test] = split.test_scores @ weights + split.test_means @ weights + level
    return predicted * unit


def _position_in_grid(grid: np.ndarray, alphas: np.ndarray) -> np.ndarray:
    """Where alphas stand in a grid that runs from the largest to the smallest."""
    index = np.minimum(np.searchsorted(-grid, -alphas), len(grid) - 1)
    if not np.array_equal(grid[index], alphas):
        raise ValueError("an alpha is not of the grid")
    return index


def _power_of_two(largest: np.ndarray) -> np.ndarray:
    """Of the order of ``largest``, so that dividing by it changes no digits but keeps squares and
    sums in range.
    """
    return np.ldexp(1.0, np.clip(np.frexp(largest)[1], -1000, 1000))


def _score_block(
    decomposed: Sequence[SplitRidge],
    responses: np.ndarray,
    splits: Splits,
    voxels: slice | np.ndarray,
    scores: LayerScores,
    predictions: TestPredictions | None,
) -> None:
    """All splits for a block of voxels, ``responses`` of shape (n_sounds, voxels of the block,
    n_repetitions).
    """
    block = np.array(
        responses.transpose(0, 2, 1), dtype=np.float64, order="C"
    )  # a copy: changed in place
    magnitude = np.maximum(block.max(axis=0), -block.min(axis=0))
    unit = _power_of_two(magnitude.max(axis=0))
    block /= unit
    level = block.mean(axis=0)
    block -= level
    mean_response = block.mean(axis=1) if block.shape[1] > 1 else block[:, 0]
    for s, (split, train, test) in enumerate(zip(decomposed, splits.train, splits.test)):
        # take, unlike indexing, lets the other threads run
        _score_split(
            split,
            block.take(np.flatnonzero(train), axis=0),
            mean_response.take(np.flatnonzero(test), axis=0),
            _Removed(level, magnitude / unit, unit),
            (voxels, s),
            scores,
            predictions,
        )


def _norm(columns: np.ndarray) -> np.ndarray:
    """Euclidean norm over the first axis."""
    return np.sqrt(np.einsum("i...,i...->...", columns, columns))


def _correlation(
    a: np.ndarray, b: np.ndarray, norm_a: np.ndarray, norm_b: np.ndarray
) -> np.ndarray:
    """Correlation over the first axis of columns that are already centred.

    NaN where a norm is given as 0.
    """
    product = np.einsum("i...,i...->...", a, b)
    with np.errstate(divide="ignore", invalid="ignore"):
        r = np.clip(product / norm_a / norm_b, -1.0, 1.0)
    r[(norm_a == 0) | (norm_b == 0)] = np.nan  # rounding / 0 would be ±1
    return r


def _does_not_vary(responses: np.ndarray, magnitude: np.ndarray, n_sounds: int) -> np.ndarray:
    """Whether the responses to one half of a split, shape (n, …), are equal, or equal but for
    rounding (see the module).

    Parameters
    ----------
    responses : array
        With anything subtracted that is the same for all sounds.
    magnitude : array of shape (…)
        The largest absolute response of the voxel, before that.
    n_sounds : int
        Number of sounds of both halves.
    """
    spread = responses - responses.mean(axis=0)
    return (responses == responses[0]).all(axis=0) | (
        _norm(spread) <= n_sounds * np.finfo(float).eps * magnitude
    )


@dataclass(frozen=True)
class _Removed:
    """What a block of responses was relieved of.

    Attributes
    ----------
    level : array of shape (n_repetitions, n_voxels)
        Mean over all sounds, in units of ``unit``.
    magnitude : array of shape (n_repetitions, n_voxels)
        The largest absolute response before that, in units of ``unit``.
    unit : array of shape (n_voxels,)
        A power of two.
    """

    level: np.ndarray
    magnitude: np.ndarray
    unit: np.ndarray


def _score_split(
    split: SplitRidge,
    train: np.ndarray,
    test: np.ndarray,
    removed: _Removed,
    where: tuple[slice | np.ndarray, int],
    scores: LayerScores,
    predictions: TestPredictions | None,
) -> None:
    """One split for one block.

    ``train`` (n_train, n_repetitions, n_voxels) and ``test`` (n_test, n_voxels; the mean over
    repetitions) have had ``removed`` taken out. Series 0 below is the mean over repetitions; 1, 2,
    … are the single repetitions.
    """
    voxels, s = where
    n_train, n_test = len(train), len(test)
    level, unit = removed.level.mean(axis=0), removed.unit
    magnitude = removed.magnitude.max(axis=0)
    z = project(split, train)
    flat = _does_not_vary(train, removed.magnitude, n_train + n_test)
    if z.shape[1] > 1:
        z = np.concatenate([z.mean(axis=1, keepdims=True), z], axis=1)
        flat = np.concatenate(
            [_does_not_vary(train.mean(axis=1), magnitude, n_train + n_test)[None], flat]
        )
    n_series = z.shape[1]
    z[:, flat] = 0.0
    norm_z = _norm(z)

    choice = select_alphas(split, z, average_too=n_series > 1)
    weights = np.take(split.shrinkage, choice.index, axis=1)
    weights *= z
    columns = weights.reshape(len(weights), -1)
    predicted = (split.test_scores @ columns).reshape(
        n_test, *z.shape[1:]
    )  # centred on the test sounds
    predicted_mean = (split.test_means @ columns).reshape(z.shape[1:])
    norm_predicted = _norm(predicted)
    constant = (norm_predicted == 0) | (norm_predicted < _NEARLY_CONSTANT * np.abs(predicted_mean))
    norm_predicted[constant] = 0.0
    scale = split.prediction_scale[choice.index[0]]

    measured = test - test.mean(axis=0)
    norm_measured = _norm(measured)
    norm_measured[_does_not_vary(test, magnitude, n_train + n_test)] = 0.0
    r = _correlation(predicted[:, 0], measured, norm_predicted[0], norm_measured)
    fitted = split.singular[:, None] * weights[:, 0]  # training predictions, in the basis
    norm_fitted = _norm(fitted)
    r_train = _correlation(fitted, z[:, 0], norm_fitted, norm_z[0])

    scores.r_prior_zero[voxels, s] = r
    scores.r_test[voxels, s] = positive_part(r)
    scores.r2_test[voxels, s] = r2 = r2_of(r)
    scores.r2_train[voxels, s] = r2_of(r_train)
    scores.loo_r2_train[voxels, s] = leave_one_out_r2(split, z[:, 0], choice.index[0])
    scores.alphas[voxels, s] = split.alphas[choice.index[0]]
    scores.y_pred_test_std_mean[voxels, s] = norm_predicted[0] * scale / np.sqrt(n_test) * unit
    scores.y_pred_train_std_mean[voxels, s] = norm_fitted * scale / np.sqrt(n_train) * unit
    scores.y_test_std_mean[voxels, s] = norm_measured / np.sqrt(n_test) * unit
    scores.y_train_std_mean[voxels, s] = norm_z[0] / np.sqrt(n_train) * unit
    scores.warning_constant_mean[voxels, s] = constant[0]
    scores.warning_alphas[voxels, s] = (choice.index[0] == 0) + 2 * (
        choice.index[0] == len(split.alphas) - 1
    )
    scores.alpha_on_plateau[voxels, s] = choice.on_plateau[0]
    if n_series > 1:
        pairs = list(itertools.combinations(range(1, n_series), 2))
        response_r = np.stack(
            [_correlation(z[:, a], z[:, b], norm_z[a], norm_z[b]) for a, b in pairs]
        )
        prediction_r = np.stack(
            [
                _correlation(predicted[:, a], predicted[:, b], norm_predicted[a], norm_predicted[b])
                for a, b in pairs
            ]
        )
        scores.r2_test_c[voxels, s] = noise_corrected_r2(
            r2, median_of_pairs(response_r), median_of_pairs(prediction_r), n_series - 1
        )
        scores.warning_constant_splits[voxels, s] = constant[1:].sum(axis=0)
    if predictions is not None:
        predictions.values[s, :n_test][:, voxels] = (
            (predicted[:, 0] + predicted_mean[0]) * scale * unit
        )
        predictions.train_means[s, voxels] = (level + train.mean(axis=(0, 1))) * unit

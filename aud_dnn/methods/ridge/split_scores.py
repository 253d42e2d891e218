"""Scores of a block of voxels on the splits: correlations, noise correction, standard deviations.

The arithmetic behind :mod:`aud_dnn.methods.ridge.scoring`, which cuts voxels into blocks.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from aud_dnn.methods.ridge.choosing_alpha import select_alphas
from aud_dnn.methods.ridge.leave_one_out import SplitRidge, leave_one_out_r2, project
from aud_dnn.methods.ridge.noise_correction import median_of_pairs, noise_corrected_r2
from aud_dnn.methods.ridge.scores import LayerScores, TestPredictions, positive_part, r2_of
from aud_dnn.splits import Splits

_NEARLY_CONSTANT = (
    1e-13  # of SciPy's warning about nearly constant input, which the published code counted
)


def power_of_two(largest: np.ndarray) -> np.ndarray:
    """Of the order of ``largest``, so that dividing by it changes no digits but keeps squares and
    sums in range.
    """
    return np.ldexp(1.0, np.clip(np.frexp(largest)[1], -1000, 1000))


def score_block(
    decomposed: Sequence[SplitRidge],
    responses: np.ndarray,
    splits: Splits,
    voxels: slice | np.ndarray,
    scores: LayerScores,
    predictions: TestPredictions | None,
    on: Iterable[int],
) -> None:
    """Some splits for a block of voxels, ``responses`` of shape (n_sounds, voxels of the block,
    n_repetitions); the scores go to their place in ``scores``.
    """
    block = np.array(
        responses.transpose(0, 2, 1), dtype=np.float64, order="C"
    )  # a copy: changed in place
    magnitude = np.maximum(block.max(axis=0), -block.min(axis=0))
    unit = power_of_two(magnitude.max(axis=0))
    block /= unit
    level = block.mean(axis=0)
    block -= level
    mean_response = block.mean(axis=1) if block.shape[1] > 1 else block[:, 0]
    for s in on:
        split, train, test = decomposed[s], splits.train[s], splits.test[s]
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


def does_not_vary(responses: np.ndarray, magnitude: np.ndarray, n_sounds: int) -> np.ndarray:
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
    flat = does_not_vary(train, removed.magnitude, n_train + n_test)
    if z.shape[1] > 1:
        z = np.concatenate([z.mean(axis=1, keepdims=True), z], axis=1)
        flat = np.concatenate(
            [does_not_vary(train.mean(axis=1), magnitude, n_train + n_test)[None], flat]
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
    norm_measured[does_not_vary(test, magnitude, n_train + n_test)] = 0.0
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

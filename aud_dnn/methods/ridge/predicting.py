"""Predicted mean responses, for looking at voxels and for making predictions again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from aud_dnn.methods.repetitions import mean_response
from aud_dnn.methods.ridge.banded import Subset, joint_design, mixtures, space_factor
from aud_dnn.methods.ridge.choosing_alpha import select_alphas
from aud_dnn.methods.ridge.leave_one_out import SplitRidge, alpha_grid, project
from aud_dnn.methods.ridge.scoring import VOXELS_PER_BLOCK, busy_threads, decompose_splits
from aud_dnn.methods.ridge.split_scores import does_not_vary, power_of_two
from aud_dnn.methods.threads import available_cores, one_blas_thread
from aud_dnn.splits import Splits

_SMALLEST = float(np.finfo(float).tiny)


@one_blas_thread()
def predict_mean_responses(
    decomposed: Sequence[SplitRidge],
    responses: np.ndarray,
    splits: Splits,
    alphas: np.ndarray | None = None,
    *,
    around_mean: bool = True,
) -> np.ndarray:
    """Predictions of the mean responses to all sounds, training sounds included, with the training
    mean added back.

    :func:`aud_dnn.methods.ridge.scoring.score_responses` keeps predictions for the test sounds. NaN
    for sounds in neither half.

    Parameters
    ----------
    decomposed : sequence of SplitRidge
    responses : array of shape (n_sounds, n_voxels, n_repetitions)
    splits : Splits
    alphas : array of shape (n_voxels, n_splits), optional
        Penalties that were chosen before (``LayerScores.alphas``); else they are chosen here.
    around_mean : bool
        Add the training mean. The largest penalties leave 1e-50 of a prediction, which is lost
        beside it.

    Returns
    -------
    array of shape (n_splits, n_sounds, n_voxels)

    Raises
    ------
    ValueError
        A penalty is not of the grid.
    """
    magnitude = np.nanmax(np.abs(responses), axis=(0, 2))
    unit = power_of_two(magnitude)
    magnitude = magnitude / unit
    measured = mean_response(responses / unit[:, None])
    predicted = np.full((len(splits), *measured.shape), np.nan)
    for s, (split, train, test) in enumerate(zip(decomposed, splits.train, splits.test)):
        level = measured[train].mean(axis=0)
        centred = measured[train] - level
        z = project(split, centred[:, None])
        z[:, 0, does_not_vary(centred, magnitude, len(measured))] = 0.0
        chosen = (
            select_alphas(split, z).index[0]
            if alphas is None
            else _position_in_grid(split.alphas, alphas[:, s])
        )
        weights = split.shrinkage[:, chosen] * z[:, 0] * split.prediction_scale[chosen]
        level = level if around_mean else 0 * level
        predicted[s, train] = split.basis @ (split.singular[:, None] * weights) + level
        predicted[s, test] = split.test_scores @ weights + split.test_means @ weights + level
    return predicted * unit


def _position_in_grid(grid: np.ndarray, alphas: np.ndarray) -> np.ndarray:
    """Where alphas stand in a grid that runs from the largest to the smallest."""
    index = np.minimum(np.searchsorted(-grid, -alphas), len(grid) - 1)
    if not np.array_equal(grid[index], alphas):
        raise ValueError("an alpha is not of the grid")
    return index


def predict_spaces(
    spaces: Sequence[np.ndarray],
    responses: np.ndarray,
    splits: Splits,
    mixture: Mapping[Subset, np.ndarray],
    penalties: Mapping[Subset, np.ndarray],
    *,
    alphalimit: int = 50,
    n_threads: int | None = None,
) -> dict[Subset, np.ndarray]:
    """Banded ridge regression with mixtures and alphas that were chosen before
    (:func:`aud_dnn.methods.ridge.banded.score_spaces`): predictions of the mean responses, up to a
    factor.

    Parameters
    ----------
    spaces, responses, splits, alphalimit, n_threads
        As they were then.
    mixture, penalties : mapping from sets of spaces to arrays of shape (n_voxels, n_splits)
        ``SubsetScores.mixture`` and ``SubsetScores.alphas``.

    Returns
    -------
    dict of float32 arrays of shape (n_sounds, n_splits, n_voxels)
        NaN for training sounds. For correlations only: every split and voxel is without its
        training mean and divided by its largest magnitude, since 1e-50 has no place in a float32.
    """
    factors = [space_factor(features) for features in spaces]
    n_sounds, n_voxels, _ = responses.shape
    found = {
        members: np.full((n_sounds, len(splits), n_voxels), np.nan, dtype=np.float32)
        for members in mixture
    }

    def fill(decomposed: list[SplitRidge], number: int, members: Subset, block: slice) -> None:
        mine = mixture[members][block] == number
        voxels = block.start + np.flatnonzero(mine.any(axis=1))
        if not len(voxels):
            return
        predicted = predict_mean_responses(
            decomposed,
            responses[:, voxels],
            splits,
            penalties[members][voxels],
            around_mean=False,
        )
        for s, test in enumerate(splits.test):
            here = mixture[members][voxels, s] == number
            values = predicted[s][test][:, here]
            values = values / np.maximum(np.abs(values).max(axis=0, initial=0), _SMALLEST)
            found[members][np.ix_(test, np.array([s]), voxels[here])] = values[:, None]

    blocks = [slice(at, at + VOXELS_PER_BLOCK) for at in range(0, n_voxels, VOXELS_PER_BLOCK)]
    for number, weights in enumerate(mixtures(len(spaces))):
        if not any((one == number).any() for one in mixture.values()):
            continue
        decomposed = decompose_splits(
            joint_design(factors, weights), splits, alpha_grid(alphalimit), n_threads
        )
        with busy_threads(), ThreadPoolExecutor(n_threads or available_cores()) as threads:
            jobs = [
                threads.submit(fill, decomposed, number, members, block)
                for members in mixture
                for block in blocks
            ]
            for job in jobs:
                job.result()
    return found

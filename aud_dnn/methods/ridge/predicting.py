"""Predicted mean responses, for looking at voxels and for making predictions again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from aud_dnn.methods.repetitions import mean_response
from aud_dnn.methods.ridge.choosing_alpha import select_alphas
from aud_dnn.methods.ridge.leave_one_out import SplitRidge, project
from aud_dnn.methods.ridge.split_scores import does_not_vary, power_of_two
from aud_dnn.methods.threads import one_blas_thread
from aud_dnn.splits import Splits


@one_blas_thread()
def predict_mean_responses(
    decomposed: Sequence[SplitRidge],
    responses: np.ndarray,
    splits: Splits,
    alphas: np.ndarray | None = None,
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
        predicted[s, train] = split.basis @ (split.singular[:, None] * weights) + level
        predicted[s, test] = split.test_scores @ weights + split.test_means @ weights + level
    return predicted * unit


def _position_in_grid(grid: np.ndarray, alphas: np.ndarray) -> np.ndarray:
    """Where alphas stand in a grid that runs from the largest to the smallest."""
    index = np.minimum(np.searchsorted(-grid, -alphas), len(grid) - 1)
    if not np.array_equal(grid[index], alphas):
        raise ValueError("an alpha is not of the grid")
    return index

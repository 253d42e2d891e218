"""From vectors of representations to similarities, best layers and noise ceilings.

Every method of comparison turns a representation into a vector of unit length, whatever that means
to it, so that the similarity of two representations is an inner product, and all similarities of
many with many others are one matrix product (:func:`similarities`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


def similarities(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Similarities of every representation of one set with every one of another.

    One matrix product for all.

    Parameters
    ----------
    first, second : arrays of shape (..., n_first, n_pairs) and (..., n_second, n_pairs)
        Vectors of unit length (``Comparison.vector``), both of the same method. Leading axes
        (splits) are matched.

    Returns
    -------
    array of shape (..., n_first, n_second)
    """
    return np.clip(first @ np.swapaxes(second, -1, -2), -1.0, 1.0)


def leave_one_out(
    triangles: np.ndarray,
    vector: Callable[[np.ndarray], np.ndarray],
    *,
    own: np.ndarray | None = None,
    n_pairs: np.ndarray | None = None,
) -> np.ndarray:
    """Similarity of each participant with the mean of the others: the noise ceiling.

    Participants without a triangle (no voxel in the region) have NaN and do not enter the mean of
    the others.

    Parameters
    ----------
    triangles : array of shape (n_participants, ..., n_pairs)
    vector : callable
        Turns triangles into vectors of unit length whose inner product is the similarity. The
        published ceiling takes Pearson although the models are scored with Spearman; the right one
        takes the measure of the score.
    own : array of shape (n_participants, ..., n_pairs), optional
        ``vector(triangles)`` if it is there already.
    n_pairs : int array of shape (n_splits,), optional
        Where the last axis but one is the splits: how many entries of each row count.

    Returns
    -------
    array of shape (n_participants, ...)
        NaN for all where fewer than two participants have a triangle.
    """
    triangles = np.asarray(triangles, dtype=np.float64)
    if n_pairs is not None and (n_pairs < triangles.shape[-1]).any():
        return np.stack(
            [
                leave_one_out(triangles[..., split, :count], vector)
                for split, count in enumerate(n_pairs)
            ],
            axis=-1,
        )
    present = ~np.isnan(triangles).any(axis=-1, keepdims=True)
    known = np.where(present, triangles, 0.0)
    n_others = np.broadcast_to(present.sum(axis=0) - 1, present.shape)
    others = (known.sum(axis=0) - known) / np.where(n_others > 0, n_others, np.nan)
    own = vector(triangles) if own is None else own
    return np.clip(np.einsum("...i,...i->...", own, vector(others)), -1.0, 1.0)


# --- layers -------------------------------------------------------------------------------------


def first_best(scores: np.ndarray) -> np.ndarray:
    """Index of the largest entry along the last axis.

    NaN is ignored, the first of equals wins, -1 where all are NaN.
    """
    scores = np.asarray(scores, dtype=np.float64)
    best = np.argmax(np.where(np.isnan(scores), -np.inf, scores), axis=-1)
    return np.where(np.isnan(scores).all(axis=-1), -1, best)


@dataclass(frozen=True)
class BestLayer:
    """The layer chosen on the training sounds and its score on the test sounds.

    Attributes
    ----------
    index : int array of shape (n_participants, n_splits)
        -1 where no layer has a similarity.
    value : array of shape (n_participants, n_splits)
        NaN where there is no layer, or the chosen one has no similarity on the test sounds.
    median_value, median_index : arrays of shape (n_participants,)
        Medians over the splits that have one.
    """

    index: np.ndarray
    value: np.ndarray
    median_value: np.ndarray
    median_index: np.ndarray


def select_layer(train: np.ndarray, test: np.ndarray) -> BestLayer:
    """Choose each participant's best layer on the training sounds of every split and read its score
    on the test sounds.

    Parameters
    ----------
    train, test : arrays of shape (n_participants, n_splits, n_layers)
        Similarity of every layer's RDM with the participant's.

    Returns
    -------
    BestLayer
    """
    index = first_best(train)
    found = index >= 0
    value = np.take_along_axis(test, np.maximum(index, 0)[..., None], axis=-1)[..., 0]
    value = np.where(found, value, np.nan)
    return BestLayer(
        index, value, median_of_known(value), median_of_known(np.where(found, index, np.nan))
    )


def median_of_known(values: np.ndarray, axis: int = 1) -> np.ndarray:
    """Median along ``axis`` without the NaNs; NaN where there is nothing else."""
    values = np.asarray(values, dtype=np.float64)
    unknown = np.isnan(values).all(axis=axis, keepdims=True)
    return np.where(
        np.squeeze(unknown, axis), np.nan, np.nanmedian(np.where(unknown, 0.0, values), axis=axis)
    )


def best_layer_position(scores: np.ndarray) -> np.ndarray:
    """Relative position of the best layer, 0 (first) to 1 (last).

    Index of the maximum / (n_layers - 1).

    Parameters
    ----------
    scores : array of shape (..., n_layers)
        Similarities with all sounds.

    Returns
    -------
    array of shape (...)
        NaN where no layer has a similarity, and for a model with a single layer, which has no
        positions.
    """
    best = first_best(scores)
    n_layers = np.shape(scores)[-1]
    if n_layers < 2:
        return np.full(best.shape, np.nan)
    return np.where(best >= 0, best / (n_layers - 1), np.nan)

"""Representational similarity analysis (RSA).

Similarity matrices, their comparison, best layers, noise ceilings.

Arrays in, arrays out. A *representation* is an array of shape (n_sounds, n_units): the voxels of a
participant or the units of a layer. Its *RDM* is the matrix of Pearson correlations r between the
sounds (figures draw the distance 1 - r). RDMs are handled as *triangles*: the entries above the
diagonal, row by row. Two RDMs are compared by correlating their triangles.

Ranks of a triangle do not depend on what it is compared with. So every triangle is turned once into
a vector of zero mean and unit length (:func:`comparable`), and all similarities of many RDMs with
many others are one matrix product (:func:`similarities`).

Source: Tuckute, Feather, Boebinger & McDermott (2023), PLoS Biology 21(12): e3002366, Methods,
"Representational similarity analysis".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aud_dnn.methods.threads import one_blas_thread

UNITS_AT_ONCE = 512
"""Units that are standardised together: 165 sounds x 512 units fit a core's cache."""

DECIMALS = 12
"""Correlations are kept to this many decimals, so that pairs of sounds that tie in exact arithmetic (identical sounds,
layers of two units) also tie here, whatever the order in which the linear-algebra library adds."""

# a unit whose standard deviation is below this part of its root mean square does not vary
_CONSTANT = 1e-12
# a variance below this part of the unit's variance over all sounds is computed again, in two passes
_CANCELLATION = 1e-6


# --- representation -> RDM ----------------------------------------------------------------------


@dataclass(frozen=True)
class Moments:
    """Inner products and sums over the units of a standardised representation.

    Those of several layers, added, are the moments of the layers side by side: this is how the
    model with all layers concatenated gets its RDM without ever being in memory.

    Attributes
    ----------
    products : array of shape (n_sounds, n_sounds)
    sums : array of shape (n_sounds,)
    n_units : int
    """

    products: np.ndarray
    sums: np.ndarray
    n_units: int

    def __add__(self, other: Moments) -> Moments:
        return Moments(
            self.products + other.products, self.sums + other.sums, self.n_units + other.n_units
        )


@dataclass(frozen=True)
class Triangles:
    """The RDM triangles of one representation.

    Attributes
    ----------
    all_sounds : array of shape (n_pairs,)
        Standardised with the statistics of all sounds.
    train, test : arrays of shape (n_splits, n_train_pairs) and (n_splits, n_test_pairs)
        Both halves standardised with the statistics of the training half.
    moments : Moments
        Of all sounds, for concatenation.
    n_constant : int array of shape (1 + n_splits,)
        Units that do not vary over all sounds, and over the training half of each split.
    """

    all_sounds: np.ndarray
    train: np.ndarray
    test: np.ndarray
    moments: Moments
    n_constant: np.ndarray


def upper_triangle(matrices: np.ndarray) -> np.ndarray:
    """Entries above the diagonal, row by row: (..., n, n) -> (..., n * (n - 1) / 2)."""
    matrices = np.asarray(matrices)
    rows, columns = np.triu_indices(matrices.shape[-1], k=1)
    return matrices[..., rows, columns]


def square_matrix(triangle: np.ndarray, diagonal: float = 1.0) -> np.ndarray:
    """Inverse of :func:`upper_triangle`: (..., n_pairs) -> symmetric (..., n, n).

    Raises
    ------
    ValueError
        ``n_pairs`` is not n * (n - 1) / 2 for any n.
    """
    triangle = np.asarray(triangle)
    n_pairs = triangle.shape[-1]
    n = (1 + math.isqrt(1 + 8 * n_pairs)) // 2
    if n * (n - 1) // 2 != n_pairs:
        raise ValueError(f"{n_pairs} entries are not the triangle of a square matrix.")
    rows, columns = np.triu_indices(n, k=1)
    matrix = np.full((*triangle.shape[:-1], n, n), diagonal, dtype=float)
    matrix[..., rows, columns] = triangle
    matrix[..., columns, rows] = triangle
    return matrix


def correlation_matrix(moments: Moments) -> np.ndarray:
    """Pearson correlation between sounds over units, (n_sounds, n_sounds).

    A sound with the same value in all units has no correlation with any other: its row and column
    are NaN, the diagonal too. So is everything for a representation of a single unit.
    """
    mean = moments.sums / moments.n_units
    centred = moments.products - moments.n_units * np.outer(mean, mean)
    power = np.diag(moments.products)
    variance = np.diag(centred)
    # what rounding leaves: of a sound that is flat over units, and of one that is zero beside the
    # others
    floor = np.maximum(_CONSTANT * power, _CONSTANT**2 * power.max())
    length = np.sqrt(np.where(variance > floor, variance, np.nan))
    matrix = centred / length[:, None] / length[None, :]
    np.fill_diagonal(matrix, np.where(np.isnan(length), np.nan, 1.0))
    return np.clip(np.round(matrix, DECIMALS), -1.0, 1.0)


@one_blas_thread()
def rdm_triangles(
    features: np.ndarray, train: np.ndarray | None = None, *, standardize: bool = True
) -> Triangles:
    """RDM triangles of a representation, over all sounds and over both halves of every split.

    Every unit has its mean subtracted and is divided by its population standard deviation: over all
    sounds for the RDM of all sounds, over the *training* sounds for both halves of a split. A unit
    that does not vary over the sounds that give the statistics is divided by 1 (as published). So a
    unit that never varies carries nothing, and one that varies on the test half only enters the
    test RDM on its own scale.

    Parameters
    ----------
    features : array of shape (n_sounds, n_units)
        Finite numbers, any real type; computed in float64.
    train : bool array of shape (n_splits, n_sounds), optional
        Training half of each split; every split has the same number of training sounds. The test
        half is the rest.
    standardize : bool
        False leaves the units as they are (neither mean nor scale changed).

    Returns
    -------
    Triangles

    Raises
    ------
    ValueError
        ``features`` is not a matrix with two sounds and one unit at least, or the masks do not fit.
    """
    features = np.asarray(features)
    if features.ndim != 2 or features.shape[0] < 2 or features.shape[1] < 1:
        raise ValueError(
            "features must be (n_sounds, n_units), two sounds and one unit at least; got "
            f"{features.shape}."
        )
    n_sounds, n_units = features.shape
    train = np.zeros((0, n_sounds), dtype=bool) if train is None else np.asarray(train, dtype=bool)
    n_train = _training_sounds(train, n_sounds)
    orders = [np.r_[np.flatnonzero(mask), np.flatnonzero(~mask)] for mask in train]
    masks = np.vstack([np.ones((1, n_sounds), dtype=bool), train])

    whole = np.zeros((n_sounds, n_sounds))
    whole_sums = np.zeros(n_sounds)
    halves = [np.zeros((len(train), n, n)) for n in (n_train, n_sounds - n_train)]
    half_sums = np.zeros((len(train), n_sounds))
    n_constant = np.zeros(len(masks), dtype=np.int64)
    buffer = np.empty(
        (n_sounds, min(n_units, UNITS_AT_ONCE))
    )  # one for all: fresh memory costs more than the arithmetic
    for start in range(0, n_units, UNITS_AT_ONCE):
        block = np.array(features[:, start : start + UNITS_AT_ONCE], dtype=np.float64, order="C")
        ones = np.ones(block.shape[1])
        values = (
            buffer[:, : block.shape[1]]
            if block.shape[1] == buffer.shape[1]
            else np.empty_like(block)
        )
        if standardize:
            mean, scale, constant = _unit_statistics(block, masks)
            n_constant += constant.sum(axis=1)
            factor = 1.0 / scale
            np.subtract(block, mean[0], out=values)
            values *= factor[0]
        else:
            values[:] = block
        whole += values @ values.T
        whole_sums += values @ ones
        for split, order in enumerate(orders):
            np.take(
                block, order, axis=0, out=values, mode="clip"
            )  # the default mode makes a copy first
            if standardize:
                values -= mean[split + 1]
                values *= factor[split + 1]
            half_sums[split] += values @ ones
            for products, half in zip(halves, (values[:n_train], values[n_train:])):
                products[split] += half @ half.T
    moments = Moments(whole, whole_sums, n_units)
    triangles = [np.empty((len(train), n * (n - 1) // 2)) for n in (n_train, n_sounds - n_train)]
    for split in range(len(train)):
        for products, sums, rows in zip(halves, np.split(half_sums[split], [n_train]), triangles):
            rows[split] = upper_triangle(
                correlation_matrix(Moments(products[split], sums, n_units))
            )
    return Triangles(upper_triangle(correlation_matrix(moments)), *triangles, moments, n_constant)


def _training_sounds(train: np.ndarray, n_sounds: int) -> int:
    """How many training sounds every split has, after checking that the masks fit."""
    if train.ndim != 2 or train.shape[1] != n_sounds:
        raise ValueError(f"train must be (n_splits, {n_sounds}), got {train.shape}.")
    counts = np.unique(train.sum(axis=1))
    if len(counts) > 1 or (len(counts) and not 2 <= counts[0] <= n_sounds - 2):
        raise ValueError(
            "Every split needs the same number of training sounds, and two sounds at least in "
            f"each half; got {counts.tolist()} training sounds of {n_sounds}."
        )
    return int(counts[0]) if len(counts) else 0


def _unit_statistics(
    block: np.ndarray, masks: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, divisor and "does not vary" of every unit over the sounds of every mask.

    Each (n_masks, n_units).

    All masks at once by two matrix products on deviations from the mean over all sounds. Where that
    loses digits (a unit that varies much less over the masked sounds than over all), the two-pass
    formula takes over.
    """
    weights = masks / masks.sum(axis=1, keepdims=True)
    grand_mean = block.mean(axis=0)
    deviation = block - grand_mean
    shift = weights @ deviation
    np.square(deviation, out=deviation)
    variance = weights @ deviation - shift**2
    mean = shift + grand_mean
    for row, unit in zip(*np.nonzero(variance <= _CANCELLATION * variance[0])):
        values = block[masks[row], unit]
        # the mean of equal numbers can differ from them in the last digit
        mean[row, unit] = values[0] if np.all(values == values[0]) else values.mean()
        variance[row, unit] = np.mean((values - mean[row, unit]) ** 2)
    scale = np.sqrt(np.maximum(variance, 0.0))
    constant = scale <= _CONSTANT * np.sqrt(mean**2 + variance)
    scale[constant] = 1.0
    return mean, scale, constant


def concatenated_triangle(layers: Sequence[Moments]) -> np.ndarray:
    """RDM triangle of all layers side by side, (n_pairs,), from the moments of each over all
    sounds.
    """
    if not layers:
        raise ValueError("There are no layers to concatenate.")
    return upper_triangle(correlation_matrix(sum(layers[1:], start=layers[0])))


# --- RDM against RDM ----------------------------------------------------------------------------

MEASURES = ("spearman", "pearson")


def average_ranks(triangles: np.ndarray) -> np.ndarray:
    """Ranks along the last axis, from 1, ties averaged; NaN everywhere in a row that holds a NaN."""
    triangles = np.asarray(triangles, dtype=np.float64)
    rows = triangles.reshape(-1, triangles.shape[-1])
    n = rows.shape[1]
    ranks = np.empty_like(rows)
    ascending = np.arange(1.0, n + 1)
    for values, out in zip(rows, ranks):
        order = np.argsort(values)
        ordered = values[order]
        if np.isnan(ordered[-1]):  # sorted last
            out[:] = np.nan
            continue
        first = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        if len(first) == n:
            out[order] = ascending
        else:
            stop = np.r_[first[1:], n]
            out[order] = np.repeat(0.5 * (first + 1 + stop), stop - first)
    return ranks.reshape(triangles.shape)


def comparable(triangles: np.ndarray, measure: str = "spearman") -> np.ndarray:
    """Triangles as vectors of zero mean and unit length, of their ranks (Spearman) or values
    (Pearson).

    The inner product of two such vectors is the correlation of the triangles, with ties averaged as
    SciPy does. Spearman suits RDMs that are related by a monotone function; Pearson asks for a
    linear one.

    Parameters
    ----------
    triangles : array of shape (..., n_pairs)
    measure : {"spearman", "pearson"}

    Returns
    -------
    array of shape (..., n_pairs)
        NaN for a triangle that holds a NaN or does not vary.
    """
    if measure not in MEASURES:
        raise ValueError(f"measure must be one of {MEASURES}, got {measure!r}.")
    values = (
        average_ranks(triangles) if measure == "spearman" else np.array(triangles, dtype=np.float64)
    )
    power = np.einsum("...i,...i->...", values, values)[..., None]
    values -= values.mean(axis=-1, keepdims=True)
    squared = np.einsum("...i,...i->...", values, values)[..., None]
    return values / np.sqrt(np.where(squared > _CONSTANT * power, squared, np.nan))


def similarities(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Correlations of every RDM of one set with every RDM of another, by one matrix product.

    Parameters
    ----------
    first, second : arrays of shape (..., n_first, n_pairs) and (..., n_second, n_pairs)
        From :func:`comparable`, both with the same measure. Leading axes (splits) are matched.

    Returns
    -------
    array of shape (..., n_first, n_second)
    """
    return np.clip(first @ np.swapaxes(second, -1, -2), -1.0, 1.0)


def leave_one_out(
    triangles: np.ndarray, measure: str, *, own: np.ndarray | None = None
) -> np.ndarray:
    """Correlation of each participant's RDM with the mean RDM of the others.

    The noise ceiling of a participant.

    The published ceiling takes Pearson although the models are scored with Spearman; the right one
    takes the measure of the score. Participants without an RDM (no voxel in the region) have NaN
    and do not enter the mean of the others.

    Parameters
    ----------
    triangles : array of shape (n_participants, ..., n_pairs)
    measure : {"spearman", "pearson"}
    own : array of shape (n_participants, ..., n_pairs), optional
        ``comparable(triangles, measure)`` if it is there already.

    Returns
    -------
    array of shape (n_participants, ...)
        NaN for all where fewer than two participants have an RDM.
    """
    triangles = np.asarray(triangles, dtype=np.float64)
    present = ~np.isnan(triangles).any(axis=-1, keepdims=True)
    known = np.where(present, triangles, 0.0)
    n_others = np.broadcast_to(present.sum(axis=0) - 1, present.shape)
    others = (known.sum(axis=0) - known) / np.where(n_others > 0, n_others, np.nan)
    own = comparable(triangles, measure) if own is None else own
    return np.clip(np.einsum("...i,...i->...", own, comparable(others, measure)), -1.0, 1.0)


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


def region_similarity(triangles: np.ndarray, measure: str = "spearman") -> np.ndarray:
    """Similarity of the RDMs of regions within each participant.

    Parameters
    ----------
    triangles : array of shape (n_participants, n_regions, n_pairs)
        All sounds.
    measure : {"spearman", "pearson"}

    Returns
    -------
    array of shape (n_participants, n_regions, n_regions)
    """
    vectors = comparable(triangles, measure)
    return similarities(vectors, vectors)

"""Representational similarity analysis (RSA): RDMs, and their comparison.

Arrays in, arrays out. The *RDM* of a representation is the matrix of Pearson correlations r between
the sounds (figures draw the distance 1 - r). Two RDMs are compared by correlating their triangles.
Ranks of a triangle do not depend on what it is compared with, so every triangle is turned once into
a vector of zero mean and unit length (:func:`comparable`).

Source: Tuckute, Feather, Boebinger & McDermott (2023), PLoS Biology 21(12): e3002366, Methods,
"Representational similarity analysis".
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from aud_dnn.methods.comparing.similarity import similarities
from aud_dnn.methods.comparing.triangles import Moments, Triangles, padded, upper_triangle
from aud_dnn.methods.method import Ceiling, Comparison, comparison_fields
from aud_dnn.methods.threads import one_blas_thread
from aud_dnn.splits import Splits

UNITS_AT_ONCE = 512
"""Units that are standardised together: 165 sounds x 512 units fit a core's cache."""

DECIMALS = 12
"""Correlations are kept to this many decimals.

So pairs of sounds that tie in exact arithmetic (identical sounds, layers of two units) also tie
here, whatever the order in which the linear-algebra library adds.
"""

# a unit whose standard deviation is below this part of its root mean square does not vary
_CONSTANT = 1e-12
# a variance below this part of the unit's variance over all sounds is computed again, in two passes
_CANCELLATION = 1e-6


def category_order(categories: Sequence[str], plotting_order: Sequence[str]) -> np.ndarray:
    """Indices that group the sounds by category, in plotting order.

    Within a category the order stays.

    The published analysis groups the sounds *before* it applies the split masks, so the same masks
    pick other sounds here than in the regression.

    Raises
    ------
    ValueError
        A category is not in ``plotting_order``.
    """
    place = {name: index for index, name in enumerate(plotting_order)}
    unknown = sorted(set(categories) - set(place))
    if unknown:
        raise ValueError(
            f"Unknown sound categories: {', '.join(map(repr, unknown))}. Known: "
            f"{', '.join(plotting_order)}."
        )
    return np.argsort([place[name] for name in categories], kind="stable")


# --- representation -> RDM ----------------------------------------------------------------------


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


def rdm_triangle(moments: Moments) -> np.ndarray:
    """RDM triangle, (n_pairs,), from the moments of a representation over the sounds."""
    return upper_triangle(correlation_matrix(moments))


@one_blas_thread()
def rdm_triangles(
    features: np.ndarray,
    train: np.ndarray | None = None,
    test: np.ndarray | None = None,
    *,
    standardize: bool = True,
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
    train, test : bool arrays of shape (n_splits, n_sounds), optional
        The halves of each split; what is not trained on is tested on, if ``test`` is not given.
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
    train, test = halves_of(train, test, n_sounds)
    rows = [(np.flatnonzero(half), np.flatnonzero(other)) for half, other in zip(train, test)]
    masks = np.vstack([np.ones((1, n_sounds), dtype=bool), train])

    whole = np.zeros((n_sounds, n_sounds))
    whole_sums = np.zeros(n_sounds)
    products = [[np.zeros((len(half), len(half))) for half in halves] for halves in rows]
    sums = [np.zeros(sum(map(len, halves))) for halves in rows]
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
        for split, halves in enumerate(rows):
            n_train, n_both = len(halves[0]), len(sums[split])
            chosen = values[:n_both]
            # the default mode of take makes a copy first
            np.take(block, np.concatenate(halves), axis=0, out=chosen, mode="clip")
            if standardize:
                chosen -= mean[split + 1]
                chosen *= factor[split + 1]
            sums[split] += chosen @ ones
            for product, half in zip(products[split], (chosen[:n_train], chosen[n_train:])):
                product += half @ half.T
    moments = Moments(whole, whole_sums, n_units)
    triangles: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for split, halves in enumerate(rows):
        for found, product, part in zip(
            triangles, products[split], np.split(sums[split], [len(halves[0])])
        ):
            found.append(rdm_triangle(Moments(product, part, n_units)))
    return Triangles(
        rdm_triangle(moments),
        padded(triangles[0]),
        padded(triangles[1]),
        np.array([[len(half) for half in half_of_all] for half_of_all in triangles], dtype=int),
        moments,
        n_constant,
    )


def halves_of(
    train: np.ndarray | None, test: np.ndarray | None, n_sounds: int
) -> tuple[np.ndarray, np.ndarray]:
    """Both halves of every split as masks, after checking that they fit.

    Raises
    ------
    ValueError
        Another number of sounds; a sound in both halves; fewer than two sounds in a half.
    """
    train = np.zeros((0, n_sounds), dtype=bool) if train is None else np.asarray(train, dtype=bool)
    test = ~train if test is None else np.asarray(test, dtype=bool)
    if train.ndim != 2 or train.shape[1] != n_sounds or test.shape != train.shape:
        raise ValueError(
            f"train and test must be (n_splits, {n_sounds}), got {train.shape} and {test.shape}."
        )
    fewest = min(int(half.sum(axis=1).min(initial=n_sounds)) for half in (train, test))
    if (train & test).any() or (len(train) and fewest < 2):
        raise ValueError(
            "Every split needs two sounds at least in each half, and none in both; the smallest "
            f"half has {fewest} of {n_sounds}."
        )
    return train, test


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


# --- RDM against RDM ----------------------------------------------------------------------------

MEASURES = ("spearman", "pearson")


def average_ranks(triangles: np.ndarray) -> np.ndarray:
    """Ranks along the last axis, from 1, ties averaged; all NaN in a row that holds a NaN."""
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


# --- the method ---------------------------------------------------------------------------------


def prepare(features: np.ndarray, splits: Splits) -> Triangles:
    """RDM triangles over all sounds and both halves of every split."""
    return rdm_triangles(features, splits.train, splits.test)


METHOD = Comparison(
    name="RSA",
    label="Spearman R Human vs. Model RSA",
    limits=(0.0, 1.0),
    fields=comparison_fields("Spearman similarity"),
    prepare=prepare,
    triangle=rdm_triangle,
    vector=comparable,
    ceilings=(
        Ceiling("pearson", "r", "Pearson", partial(comparable, measure="pearson")),
        Ceiling("spearman", "spearman", "Spearman", comparable),
    ),
    correlations=True,
)
"""RSA as published: scores in Spearman, the published ceiling in Pearson."""

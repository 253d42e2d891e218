"""From scores of every voxel, layer and split to the numbers that the figures show.

Arrays in, arrays out.

Letters: ``n_rows`` voxels or components, ``n_layers`` layers in network order, ten splits,
``n_iterations`` random halvings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aud_dnn.stats import within_participant_sem
from aud_dnn.tables.halvings import Halvings, SplitMedians

N_ITERATIONS = 10
ROI_ORDER = ("Anterior", "Primary", "Lateral", "Posterior")
"""Columns of the best-layer tables (not the order of :data:`aud_dnn.targets.facts.ROIS`)."""

ROI_HEMI_ORDER = tuple(f"{roi}_{hemi}" for roi in ROI_ORDER for hemi in ("rh", "lh"))


@dataclass(frozen=True)
class BestLayers:
    """The layer with the largest value, for every row.

    Attributes
    ----------
    index : int array of shape (n_rows,)
        Counted from 0.
    value : array of shape (n_rows,)
        The maximum.
    n_tied : int array of shape (n_rows,)
        How many layers share the maximum; 0 where one layer alone has it.
    n_layers : int
    """

    index: np.ndarray
    value: np.ndarray
    n_tied: np.ndarray
    n_layers: int

    @property
    def position(self) -> np.ndarray:
        """1 for the first layer, ``n_layers`` for the last."""
        return self.index + 1

    @property
    def relative_position(self) -> np.ndarray:
        """0 for the first layer, 1 for the last."""
        return relative_position(self.index, self.n_layers)


def relative_position(index: np.ndarray, n_layers: int) -> np.ndarray:
    """Position between the first layer (0) and the last (1).

    A single layer is given 1, as the published baseline is.
    """
    index = np.asarray(index, dtype=np.float64)
    return index / (n_layers - 1) if n_layers > 1 else np.ones_like(index)


def best_layers(matrix: np.ndarray, *, seed: int = 0) -> BestLayers:
    """The best layer of every row; exact ties are broken at random on the published stream.

    A legacy generator is seeded freshly for the call; each tied row, in order, draws one of its
    tied layers (``rng.choice(tied)``). Rows without a tie draw nothing.

    Parameters
    ----------
    matrix : array of shape (n_rows, n_layers)
        NaN is skipped.

    Raises
    ------
    ValueError
        A row is all NaN.
    """
    matrix = np.asarray(matrix, dtype=np.float64)
    filled = np.where(np.isnan(matrix), -np.inf, matrix)
    value = filled.max(axis=1)
    if np.isneginf(value).any():
        raise ValueError(
            f"Row {int(np.flatnonzero(np.isneginf(value))[0])} has no value at any layer."
        )
    is_best = filled == value[:, None]
    count = is_best.sum(axis=1)
    index = is_best.argmax(axis=1)
    tied = np.flatnonzero(count > 1)
    if tied.size:
        # one broadcast call draws for row after row what single calls of choice would draw
        drawn = np.random.RandomState(seed).randint(0, count[tied])
        place = is_best[tied].cumsum(axis=1) - 1
        index[tied] = ((place == drawn[:, None]) & is_best[tied]).argmax(axis=1)
    return BestLayers(
        index=index, value=value, n_tied=np.where(count > 1, count, 0), n_layers=matrix.shape[1]
    )


@dataclass(frozen=True)
class CrossValidatedLayers:
    """Best layer chosen on one half of the splits and read out on the other, for every iteration.

    Attributes
    ----------
    score : array of shape (n_iterations, n_rows)
        Median over the five readout splits at the chosen layer.
    index : int array of shape (n_iterations, n_rows)
        The chosen layer, counted from 0.
    n_layers : int
    """

    score: np.ndarray
    index: np.ndarray
    n_layers: int

    @property
    def position(self) -> np.ndarray:
        """Counted from 1."""
        return self.index + 1.0

    @property
    def relative_position(self) -> np.ndarray:
        return relative_position(self.index, self.n_layers)


def cross_validated_best_layer(
    scores: np.ndarray, halvings: Halvings, *, clip: bool
) -> CrossValidatedLayers:
    """The scheme "CV-splits-nit-10" (Methods: best layer chosen on independent splits).

    In each iteration every layer of every row has its own random halving of the ten splits. The
    median over one half chooses the layer, the median over the other half is the score. *Kept for
    the numbers:* halvings differ between layers; only for the chosen layer are choice and readout
    disjoint, and the ten splits share sounds.

    Parameters
    ----------
    scores : array of shape (n_rows, n_layers, 10)
    halvings : Halvings
        Of the same number of rows.
    clip : bool
        Limit the medians to 1 (noise-corrected values), after the median, before the choice.

    Returns
    -------
    CrossValidatedLayers
    """
    scores = np.asarray(scores, dtype=np.float64)
    if len(scores) != halvings.n_rows:
        raise ValueError(f"{len(scores)} rows of scores, but halvings of {halvings.n_rows} rows.")
    medians = SplitMedians(scores)
    rows = np.arange(len(scores))
    chosen, read = [], []
    for iteration in range(halvings.n_iterations):
        selection, readout = medians.of_halves(halvings.masks(iteration, scores.shape[1]))
        if clip:
            selection, readout = np.minimum(selection, 1), np.minimum(readout, 1)
        best = best_layers(selection).index
        chosen.append(best)
        read.append(readout[rows, best])
    return CrossValidatedLayers(
        score=np.stack(read), index=np.stack(chosen), n_layers=scores.shape[1]
    )


def participant_medians(
    values: np.ndarray, participants: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Median over the voxels of each participant.

    Parameters
    ----------
    values : array of shape (..., n_rows)
    participants : array of shape (n_rows,)
        Arbitrary labels.

    Returns
    -------
    labels : array of shape (n_participants,), sorted
    medians : array of shape (..., n_participants)
    """
    labels, owner = np.unique(participants, return_inverse=True)
    values = np.asarray(values, dtype=np.float64)
    medians = np.stack(
        [np.median(values[..., owner == person], axis=-1) for person in range(labels.size)], axis=-1
    )
    return labels, medians


@dataclass(frozen=True)
class OverIterations:
    """Mean, standard deviation (ddof 1) and standard error over the first axis."""

    mean: np.ndarray
    std: np.ndarray
    sem: np.ndarray


def over_iterations(values: np.ndarray) -> OverIterations:
    """Summary over iterations.

    The error speaks about re-halving the same splits, not about participants or sounds.

    Parameters
    ----------
    values : array of shape (n_iterations, ...)
    """
    values = np.asarray(values, dtype=np.float64)
    std = values.std(axis=0, ddof=1)
    return OverIterations(values.mean(axis=0), std, std / np.sqrt(len(values)))


@dataclass(frozen=True)
class ParticipantTable:
    """Participants x conditions with the within-participant standard error of each condition."""

    participants: np.ndarray
    values: np.ndarray
    sem: np.ndarray


def scores_across_layers(
    medians: np.ndarray, participants: np.ndarray, keep: np.ndarray | None = None
) -> ParticipantTable:
    """Median over voxels of each participant at every layer.

    Parameters
    ----------
    medians : array of shape (n_rows, n_layers)
        Median over splits, clipped.
    participants : array of shape (n_rows,)
    keep : bool array of shape (n_rows,), optional
        The voxels of one region.

    Raises
    ------
    ValueError
        A participant has no voxel left.
    """
    medians, participants = np.asarray(medians), np.asarray(participants)
    everyone = np.unique(participants)
    if keep is not None:
        medians, participants = medians[keep], participants[keep]
    lost = sorted(set(everyone) - set(participants))
    if lost:
        raise ValueError(
            f"Participants without a voxel in the region: {', '.join(map(str, lost))}."
        )
    labels, values = participant_medians(medians.T, participants)
    return ParticipantTable(labels, values.T, within_participant_sem(values.T))


def region_medians(
    values: np.ndarray,
    participants: np.ndarray,
    regions: np.ndarray,
    order: tuple[str, ...] = ROI_ORDER,
) -> ParticipantTable:
    """Median over voxels by participant and region, for example of relative best-layer positions
    (Figure 7).

    Parameters
    ----------
    values, participants, regions : arrays of shape (n_rows,)
        ``regions`` may be missing (NaN or None) where a voxel has no label.
    order : tuple of str
        Columns of the result.

    Raises
    ------
    ValueError
        A participant has no voxel in one of the regions.
    """
    values, participants, regions = (
        np.asarray(values),
        np.asarray(participants),
        np.asarray(regions, dtype=object),
    )
    labels = np.unique(participants)
    table = np.full((labels.size, len(order)), np.nan)
    for column, region in enumerate(order):
        inside = regions == region
        for row, person in enumerate(labels):
            own = values[inside & (participants == person)]
            if not own.size:
                raise ValueError(f"Participant {person} has no voxel labelled {region}.")
            table[row, column] = np.median(own)
    return ParticipantTable(labels, table, within_participant_sem(table))


@dataclass(frozen=True)
class CoordinateMap:
    """One value per place on the voxel grid.

    ``first`` is the row that each place appeared at first, ``count`` how many participants have a
    voxel there.
    """

    first: np.ndarray
    value: np.ndarray
    count: np.ndarray


def coordinate_medians(values: np.ndarray, coordinates: np.ndarray) -> CoordinateMap:
    """Median over the participants that share a coordinate; places in order of first appearance.

    Parameters
    ----------
    values : array of shape (n_rows,)
    coordinates : array of shape (n_rows,)
        ``coord_id``.
    """
    values = np.asarray(values, dtype=np.float64)
    _, first, place, count = np.unique(
        np.asarray(coordinates, dtype=str),
        return_index=True,
        return_inverse=True,
        return_counts=True,
    )
    by_place = np.lexsort((values, place))
    start = np.concatenate([[0], np.cumsum(count)[:-1]])
    ordered = values[by_place]
    median = (ordered[start + (count - 1) // 2] + ordered[start + count // 2]) / 2
    appearance = np.argsort(first)
    return CoordinateMap(first[appearance], median[appearance], count[appearance])


def layer_counts(index: np.ndarray, n_layers: int) -> np.ndarray:
    """How many rows prefer each layer, shape (n_layers,)."""
    return np.bincount(index, minlength=n_layers)


def most_frequent_layer(
    index: np.ndarray, n_layers: int, rng: np.random.RandomState, names: tuple[str, ...]
) -> int:
    """The layer chosen in most iterations (Figure 4).

    Several layers that share a top count above 1 are drawn from with ``rng``, ascending by name as
    they are counted in the published tables; where every layer was chosen once, the alphabetically
    first one is taken.

    Parameters
    ----------
    index : int array of shape (n_iterations,)
    n_layers : int
    rng : RandomState
        Seeded once per figure; consumed only by ties.
    names : tuple of str
        Layer names, for the order among ties.
    """
    counts = layer_counts(index, n_layers)
    tied = sorted(np.flatnonzero(counts == counts.max()), key=lambda layer: names[layer])
    if len(tied) == 1 or counts.max() == 1:
        return int(tied[0])
    return int(tied[rng.randint(0, len(tied))])

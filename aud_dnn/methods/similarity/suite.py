"""One layer, all participants, ten measures; each with a ceiling and a null of its own.

==================  ==========================================  ===================================
measure             the layer                                   a participant
==================  ==========================================  ===================================
Pearson, Spearman,  correlations between sounds over units      the same over voxels
cosine, rho-a,      (units z-scored over the sounds)
tau-a
crossnobis          squared distances between sounds, units     squared distances across
                    z-scored; Pearson                           repetitions, voxels weighed by noise
cv-correlation      correlations; Pearson                       correlations across repetitions
CKA                 inner products, U-centred; cosine           the same
Procrustes, PLS     a map to the voxels, tested on sounds that it was not fitted to
==================  ==========================================  ===================================

The cosine is taken of correlations, plus 1 / (n − 1): n sounds that are z-scored together and have
nothing in common correlate by −1 / (n − 1) on average, in the layer and in the brain, which the
cosine would take for similarity (0.1 for 165 sounds and many units). Crossnobis distances are
compared by Pearson, because the cosine of *distances* is near 1 for any layer: all distances are
positive, and those of noise are about equal.

**Ceiling**: each participant against all others by the same measure: their mean triangle (each on
one scale), their summed inner products (each with unit trace). It is the lower bound of the usual
noise ceiling (Nili et al. 2014).

**Null**: the layer with its sounds in random order, against all participants: independent of the
responses, with the layer's own geometry. A measure whose null is not 0 rewards geometry alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aud_dnn.methods.cka import centred_gram, u_centred_triangle, unit_vectors
from aud_dnn.methods.comparing.triangles import upper_triangle
from aud_dnn.methods.repetitions import mean_response
from aud_dnn.methods.rsa import rdm_triangles
from aud_dnn.methods.similarity.maps import Coordinates, coordinates, pls, procrustes
from aud_dnn.methods.similarity.rdm_measures import RDM_MEASURES, alike, rdm_similarity
from aud_dnn.methods.similarity.repeated import between_repetitions, crossnobis
from aud_dnn.methods.threads import one_blas_thread
from aud_dnn.splits import Splits

MEASURES = (*RDM_MEASURES, "crossnobis", "cv-correlation", "CKA", "Procrustes", "PLS")
FROM_REPETITIONS = ("crossnobis", "cv-correlation")


@dataclass(frozen=True)
class Geometry:
    """What the measures see of a representation of the sounds.

    Attributes
    ----------
    correlations : array of shape (n_pairs,)
        Between sounds, over units that were z-scored over the sounds.
    distances : array of shape (n_pairs,)
        Squared, over the same units, divided by their number.
    products : array of shape (n_sounds, n_sounds)
        Inner products over units, centred over the sounds.
    """

    correlations: np.ndarray
    distances: np.ndarray
    products: np.ndarray

    def shuffled(self, order: np.ndarray) -> Geometry:
        """With the sounds in another order."""
        rows = np.triu_indices(len(order), 1)

        def of(triangle: np.ndarray) -> np.ndarray:
            square = np.zeros_like(self.products)
            square[rows] = triangle
            return upper_triangle((square + square.T)[np.ix_(order, order)])

        products = self.products[np.ix_(order, order)]
        return Geometry(of(self.correlations), of(self.distances), products)


def geometry(features: np.ndarray) -> Geometry:
    """What the measures need of a layer, or of mean responses.

    Parameters
    ----------
    features : array of shape (n_sounds, n_units)
    """
    found = rdm_triangles(features)
    products = found.moments.products
    squared = np.diag(products)
    distances = (squared[:, None] + squared - 2 * products) / found.moments.n_units
    return Geometry(found.all_sounds, upper_triangle(distances), centred_gram(features))


@dataclass(frozen=True)
class Participant:
    """One participant, ready to be compared.

    Attributes
    ----------
    label : object
    triangles : dict
        Measure of triangles -> array of shape (n_pairs,).
    products : array of shape (n_sounds, n_sounds)
    splits : list of Coordinates
    axes : list of arrays of shape (n_dimensions, n_voxels)
        Of the coordinates, per split.
    measured : list of arrays of shape (n_test, n_voxels)
        Responses to the test sounds, per split.
    """

    label: object
    triangles: dict[str, np.ndarray]
    products: np.ndarray
    splits: list[Coordinates]
    axes: list[np.ndarray]
    measured: list[np.ndarray]


def measures_of(responses: np.ndarray) -> tuple[str, ...]:
    """The measures that a target allows: those across repetitions need two of them.

    Parameters
    ----------
    responses : array of shape (n_sounds, n_voxels, n_repetitions)
    """
    several = responses.shape[2] > 1
    return tuple(name for name in MEASURES if several or name not in FROM_REPETITIONS)


@one_blas_thread()
def participants_of(responses: np.ndarray, owner: np.ndarray, splits: Splits) -> list[Participant]:
    """Every participant with two voxels or more.

    Parameters
    ----------
    responses : array of shape (n_sounds, n_voxels, n_repetitions)
    owner : array of shape (n_voxels,)
        The participant of each voxel.
    splits : Splits
    """
    found = []
    for label in np.unique(owner):
        own = responses[:, owner == label]
        if own.shape[1] < 2:
            continue
        mean = mean_response(own)
        seen = geometry(mean)
        triangles = dict.fromkeys(RDM_MEASURES, seen.correlations)
        triangles["cosine"] = _beyond_chance(seen)
        if responses.shape[2] > 1:
            triangles["crossnobis"] = crossnobis(own)
            triangles["cv-correlation"] = between_repetitions(own)
        triangles["CKA"] = _cka_vector(seen.products)
        by_split = coordinates(seen.products, splits)
        axes = [
            one.back.T @ (mean[train] - mean[train].mean(axis=0))
            for one, train in zip(by_split, splits.train)
        ]
        measured = [mean[test] for test in splits.test]
        found.append(Participant(label, triangles, seen.products, by_split, axes, measured))
    return found


@one_blas_thread()
def layer_scores(
    layer: Geometry,
    participants: Sequence[Participant],
    splits: Splits,
    measures: Sequence[str] = MEASURES,
) -> np.ndarray:
    """Similarity of a layer with every participant, by every measure.

    Returns
    -------
    array of shape (n_measures, n_participants)
    """
    seen = dict.fromkeys((*RDM_MEASURES, "cv-correlation"), layer.correlations)
    seen |= {"cosine": _beyond_chance(layer), "crossnobis": layer.distances}
    seen["CKA"] = _cka_vector(layer.products)
    return _scores(seen, coordinates(layer.products, splits), participants, measures)


@one_blas_thread()
def ceilings(
    participants: Sequence[Participant], splits: Splits, measures: Sequence[str] = MEASURES
) -> np.ndarray:
    """Every participant against the others together, by every measure.

    Returns
    -------
    array of shape (n_measures, n_participants)
        NaN for a single participant.
    """
    if len(participants) < 2:
        return np.full((len(measures), len(participants)), np.nan)
    columns = []
    for one in participants:
        others = [
            other
            for other in participants
            if other is not one and np.trace(other.products) > 0  # a constant one says nothing
        ]
        if not others:
            columns.append(np.full(len(measures), np.nan))
            continue
        seen = {
            name: _mean_of_known(
                alike(
                    np.stack([other.triangles[name] for other in others]),
                    _how(name),
                )
            )
            for name in one.triangles
        }
        together = sum(other.products / np.trace(other.products) for other in others)
        columns.append(_scores(seen, coordinates(together, splits), [one], measures)[:, 0])
    return np.stack(columns, axis=1)


def null_scores(
    layers: Sequence[Geometry],
    participants: Sequence[Participant],
    splits: Splits,
    measures: Sequence[str],
    seed: np.random.SeedSequence,
) -> np.ndarray:
    """One draw of the null: a random layer with its sounds in random order.

    Returns
    -------
    array of shape (n_measures,)
        Mean over participants.
    """
    rng = np.random.default_rng(seed)
    layer = layers[int(rng.integers(len(layers)))]
    shuffled = layer.shuffled(rng.permutation(len(layer.products)))
    return _mean_of_known(layer_scores(shuffled, participants, splits, measures).T)


def _scores(
    seen: dict[str, np.ndarray],
    by_split: Sequence[Coordinates],
    participants: Sequence[Participant],
    measures: Sequence[str],
) -> np.ndarray:
    scores = np.empty((len(measures), len(participants)))
    for column, one in enumerate(participants):
        for row, name in enumerate(measures):
            if name == "Procrustes":
                values = [procrustes(*pair) for pair in zip(by_split, one.splits)]
                scores[row, column] = np.mean(values)
            elif name == "PLS":
                values = [pls(*item) for item in zip(by_split, one.splits, one.axes, one.measured)]
                scores[row, column] = np.mean(values)
            else:
                scores[row, column] = rdm_similarity(seen[name], one.triangles[name], _how(name))
    return scores


def _beyond_chance(seen: Geometry) -> np.ndarray:
    return seen.correlations + 1 / (len(seen.products) - 1)


def _how(measure: str) -> str:
    """By which measure of triangles."""
    if measure in RDM_MEASURES:
        return measure
    return "cosine" if measure == "CKA" else "Pearson"


def _cka_vector(products: np.ndarray) -> np.ndarray:
    triangle = u_centred_triangle(products)
    return unit_vectors(triangle) if np.trace(products) > 0 else np.full_like(triangle, np.nan)


def _mean_of_known(rows: np.ndarray) -> np.ndarray:
    """Mean over the rows, of what is not NaN; NaN where nothing is known."""
    known = np.isfinite(rows)
    counts = known.sum(axis=0)
    return np.where(known, rows, 0).sum(axis=0) / np.where(counts, counts, np.nan)

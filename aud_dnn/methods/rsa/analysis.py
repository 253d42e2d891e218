"""The RSA of the paper.

The neural side, the model side, their comparison (:mod:`aud_dnn.methods.rsa.similarity`).

Arrays in, arrays out. The neural side does not depend on the model, and the model side does not
depend on the target or the region: each is made once and then compared at the price of a matrix
product.

Source: Tuckute, Feather, Boebinger & McDermott (2023), PLoS Biology 21(12): e3002366, Methods,
"Representational similarity analysis".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from aud_dnn.methods.dimensionality import participation_ratio, raw_and_centered_dimensionality
from aud_dnn.methods.rsa.similarity import (
    BestLayer,
    Triangles,
    best_layer_position,
    comparable,
    concatenated_triangle,
    leave_one_out,
    median_of_known,
    rdm_triangles,
    select_layer,
    similarities,
)
from aud_dnn.methods.threads import one_blas_thread

DIMENSIONALITY_VARIANTS = ("raw", "centered", "standardized")
"""Units as they are; with their mean subtracted (regression analyses); z-scored (RSA analyses)."""


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


def participant_labels(subjects: Sequence) -> list[str]:
    """How results name the participants."""
    return [
        f"participant_{subject:g}" if isinstance(subject, np.floating) else f"participant_{subject}"
        for subject in subjects
    ]


@dataclass(frozen=True)
class Vectors:
    """Triangles made comparable (zero mean, unit length, of ranks), of a set of RDMs.

    Attributes
    ----------
    all_sounds : array of shape (n_rdms, n_pairs)
    train, test : arrays of shape (n_splits, n_rdms, n_pairs of the half)
    """

    all_sounds: np.ndarray
    train: np.ndarray
    test: np.ndarray


def _vectors(triangles: Sequence[Triangles]) -> Vectors:
    """Vectors of several representations, ranked one representation at a time."""
    return Vectors(
        np.stack([comparable(item.all_sounds) for item in triangles]),
        np.stack([comparable(item.train) for item in triangles], axis=1),
        np.stack([comparable(item.test) for item in triangles], axis=1),
    )


# --- neural side --------------------------------------------------------------------------------


@dataclass(frozen=True)
class NeuralSide:
    """RDMs and ceilings of the participants in one region.

    Attributes
    ----------
    rdms : array of shape (n_participants, n_pairs)
        Correlations between all sounds, upper triangle; NaN for a participant with fewer than two
        voxels here.
    vectors : Vectors
    n_voxels : int array of shape (n_participants,)
    ceiling_pearson, ceiling_spearman : arrays of shape (n_participants, n_splits)
        Each participant's test RDM against the mean of the others': in Pearson as published, in
        Spearman as the models are scored.
    ceiling_pearson_all_sounds, ceiling_spearman_all_sounds : arrays of shape (n_participants,)
        The same for the RDMs of all sounds.
    effective_dimensionality : array of shape (3,)
        Of the voxels of all participants together, in the order of :data:`DIMENSIONALITY_VARIANTS`.
    """

    rdms: np.ndarray
    vectors: Vectors
    n_voxels: np.ndarray
    ceiling_pearson: np.ndarray
    ceiling_spearman: np.ndarray
    ceiling_pearson_all_sounds: np.ndarray
    ceiling_spearman_all_sounds: np.ndarray
    effective_dimensionality: np.ndarray


@one_blas_thread()
def neural_side(
    responses: np.ndarray,
    participant: np.ndarray,
    participants: Sequence,
    train: np.ndarray,
    *,
    in_region: np.ndarray | None = None,
) -> NeuralSide:
    """RDMs of every participant's voxels, ready to be compared, and the noise ceilings.

    Parameters
    ----------
    responses : array of shape (n_sounds, n_voxels)
        Mean over scan repetitions; sounds in the order that the masks refer to (grouped by
        category).
    participant : array of shape (n_voxels,)
        Whose voxel it is.
    participants : sequence
        The participants, in the order of the results. One without a voxel in the region stays, with
        NaN.
    train : bool array of shape (n_splits, n_sounds)
    in_region : bool array of shape (n_voxels,), optional
        The voxels to use; all by default.

    Returns
    -------
    NeuralSide
    """
    n_sounds = len(responses)
    use = np.ones(responses.shape[1], dtype=bool) if in_region is None else in_region
    chosen = [np.flatnonzero(use & (participant == label)) for label in participants]
    triangles = [
        rdm_triangles(responses[:, voxels] if len(voxels) else np.zeros((n_sounds, 1)), train)
        for voxels in chosen
    ]
    test = np.stack([item.test for item in triangles])
    rdms = np.stack([item.all_sounds for item in triangles])
    vectors = _vectors(triangles)
    return NeuralSide(
        rdms=rdms,
        vectors=vectors,
        n_voxels=np.array([len(voxels) for voxels in chosen]),
        ceiling_pearson=leave_one_out(test, "pearson"),
        ceiling_spearman=leave_one_out(test, "spearman", own=np.swapaxes(vectors.test, 0, 1)),
        ceiling_pearson_all_sounds=leave_one_out(rdms, "pearson"),
        ceiling_spearman_all_sounds=leave_one_out(rdms, "spearman", own=vectors.all_sounds),
        effective_dimensionality=_pooled_dimensionality(responses[:, use], triangles),
    )


def _pooled_dimensionality(responses: np.ndarray, triangles: Sequence[Triangles]) -> np.ndarray:
    """Effective dimensionality of all voxels together.

    Those z-scored are there already, as the participants' moments.
    """
    if responses.shape[1] < 2:
        return np.full(3, np.nan)
    pooled = sum((item.moments for item in triangles[1:]), start=triangles[0].moments)
    return np.array(
        [
            *raw_and_centered_dimensionality(responses),
            participation_ratio(pooled.products, pooled.sums, responses.shape[1]),
        ]
    )


# --- model side ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class ModelSide:
    """RDMs of the layers of one model in one condition.

    Attributes
    ----------
    layers : tuple of str
    rdms : array of shape (n_layers, n_pairs)
        Correlations between all sounds, upper triangle; NaN where undefined.
    vectors : Vectors
    concatenated_rdm : array of shape (n_pairs,)
        Of all layers side by side.
    concatenated : array of shape (1, n_pairs)
        The same, ready to be compared.
    n_units : int array of shape (n_layers,)
    n_constant_units : int array of shape (n_layers,)
        Units that do not vary over the sounds.
    n_constant_units_train : int array of shape (n_layers, n_splits)
        Units that do not vary over the training sounds of a split (those included that never vary).
    effective_dimensionality : array of shape (n_layers, 3)
        In the order of :data:`DIMENSIONALITY_VARIANTS`.
    """

    layers: tuple[str, ...]
    rdms: np.ndarray
    vectors: Vectors
    concatenated_rdm: np.ndarray
    concatenated: np.ndarray
    n_units: np.ndarray
    n_constant_units: np.ndarray
    n_constant_units_train: np.ndarray
    effective_dimensionality: np.ndarray


@one_blas_thread()
def model_side(
    layers: Iterable[tuple[str, np.ndarray]], order: np.ndarray, train: np.ndarray
) -> ModelSide:
    """RDMs of all layers, ready to be compared. Only one layer's activations are needed at a time.

    Parameters
    ----------
    layers : iterable of (str, array of shape (n_sounds, n_units))
        Name and activations of every layer.
    order : int array of shape (n_sounds,)
        Brings the sounds into the order that the masks refer to.
    train : bool array of shape (n_splits, n_sounds)

    Returns
    -------
    ModelSide
    """
    names, triangles, n_units, dimensionality = [], [], [], []
    for name, features in layers:
        features = np.asarray(features)[order].astype(np.float64, copy=False)
        item = rdm_triangles(features, train)
        names.append(name)
        triangles.append(item)
        n_units.append(features.shape[1])
        single = features.shape[1] < 2
        dimensionality.append(
            [np.nan] * 3
            if single
            else [
                *raw_and_centered_dimensionality(features),
                participation_ratio(item.moments.products, item.moments.sums, item.moments.n_units),
            ]
        )
    n_constant = np.stack([item.n_constant for item in triangles])
    concatenated = concatenated_triangle([item.moments for item in triangles])
    return ModelSide(
        layers=tuple(names),
        rdms=np.stack([item.all_sounds for item in triangles]),
        vectors=_vectors(triangles),
        concatenated_rdm=concatenated,
        concatenated=comparable(concatenated[None]),
        n_units=np.array(n_units),
        n_constant_units=n_constant[:, 0],
        n_constant_units_train=n_constant[:, 1:],
        effective_dimensionality=np.array(dimensionality),
    )


# --- both ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RSAScores:
    """Everything about one model in one condition and one region of one target.

    All similarities are Spearman correlations of RDM triangles.

    Attributes
    ----------
    layer_train, layer_test : arrays of shape (n_participants, n_splits, n_layers)
    best : BestLayer
        Chosen on the training sounds, scored on the test sounds.
    layer_test_median : array of shape (n_participants, n_layers)
        Median over splits of ``layer_test``.
    layer_all_sounds : array of shape (n_participants, n_layers)
    concatenated_all_sounds : array of shape (n_participants,)
        All layers side by side.
    best_layer_position : array of shape (n_participants,)
        Argmax of ``layer_all_sounds`` / (n_layers - 1).
    """

    layer_train: np.ndarray
    layer_test: np.ndarray
    best: BestLayer
    layer_test_median: np.ndarray
    layer_all_sounds: np.ndarray
    concatenated_all_sounds: np.ndarray
    best_layer_position: np.ndarray


@one_blas_thread()
def score_model(neural: Vectors, model: ModelSide) -> RSAScores:
    """Compare every participant's RDMs with those of every layer."""
    train = np.swapaxes(similarities(neural.train, model.vectors.train), 0, 1)
    test = np.swapaxes(similarities(neural.test, model.vectors.test), 0, 1)
    all_sounds = similarities(neural.all_sounds, model.vectors.all_sounds)
    return RSAScores(
        layer_train=train,
        layer_test=test,
        best=select_layer(train, test),
        layer_test_median=median_of_known(test),
        layer_all_sounds=all_sounds,
        concatenated_all_sounds=similarities(neural.all_sounds, model.concatenated)[:, 0],
        best_layer_position=best_layer_position(all_sounds),
    )

"""A comparison of the layers of a model with the participants: the neural side, the model side.

Arrays in, arrays out. The neural side does not depend on the model, and the model side does not
depend on the region: each is made once and then compared at the price of a matrix product.

Source: Tuckute, Feather, Boebinger & McDermott (2023), PLoS Biology 21(12): e3002366, Methods,
"Representational similarity analysis".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from aud_dnn.methods.comparing.similarity import (
    BestLayer,
    best_layer_position,
    leave_one_out,
    median_of_known,
    select_layer,
    similarities,
)
from aud_dnn.methods.comparing.triangles import Triangles, of_each_split
from aud_dnn.methods.dimensionality import participation_ratio, raw_and_centered_dimensionality
from aud_dnn.methods.method import Comparison
from aud_dnn.methods.threads import one_blas_thread
from aud_dnn.splits import Splits

DIMENSIONALITY_VARIANTS = ("raw", "centered", "standardized")
"""Units as they are; with their mean subtracted (regression analyses); z-scored (RSA analyses)."""


def participant_labels(subjects: Sequence) -> list[str]:
    """How results name the participants."""
    return [
        f"participant_{subject:g}" if isinstance(subject, np.floating) else f"participant_{subject}"
        for subject in subjects
    ]


@dataclass(frozen=True)
class Vectors:
    """Vectors of unit length of a set of representations.

    Attributes
    ----------
    all_sounds : array of shape (n_representations, n_pairs)
    train, test : arrays of shape (n_splits, n_representations, n_pairs of the half)
    """

    all_sounds: np.ndarray
    train: np.ndarray
    test: np.ndarray


def _vectors(triangles: Sequence[Triangles], method: Comparison) -> Vectors:
    """Vectors of several representations, made one representation at a time."""

    def of_half(half: int) -> np.ndarray:
        name = ("train", "test")[half]
        return np.stack(
            [
                of_each_split(method.vector, getattr(item, name), item.n_pairs[half])
                for item in triangles
            ],
            axis=1,
        )

    return Vectors(
        np.stack([method.vector(item.all_sounds) for item in triangles]), of_half(0), of_half(1)
    )


# --- neural side --------------------------------------------------------------------------------


@dataclass(frozen=True)
class NeuralSide:
    """Triangles and ceilings of the participants in one region.

    Attributes
    ----------
    rdms : array of shape (n_participants, n_pairs)
        Triangles of all sounds (of RSA: correlations); NaN for a participant with fewer than two
        voxels here.
    vectors : Vectors
    n_voxels : int array of shape (n_participants,)
    ceilings : dict of arrays of shape (n_participants, n_splits)
        By the name of the ceiling: each participant's test triangle against the mean of the
        others'.
    ceilings_all_sounds : dict of arrays of shape (n_participants,)
        The same for all sounds.
    effective_dimensionality : array of shape (3,)
        Of the voxels of all participants together, in the order of :data:`DIMENSIONALITY_VARIANTS`.
        NaN unless the method compares correlations.
    """

    rdms: np.ndarray
    vectors: Vectors
    n_voxels: np.ndarray
    ceilings: dict[str, np.ndarray]
    ceilings_all_sounds: dict[str, np.ndarray]
    effective_dimensionality: np.ndarray


@one_blas_thread()
def neural_side(
    responses: np.ndarray,
    participant: np.ndarray,
    participants: Sequence,
    splits: Splits,
    method: Comparison,
    *,
    in_region: np.ndarray | None = None,
) -> NeuralSide:
    """Triangles of every participant's voxels, ready to be compared, and the noise ceilings.

    Parameters
    ----------
    responses : array of shape (n_sounds, n_voxels)
        Mean over scan repetitions; sounds in the order that the splits refer to.
    participant : array of shape (n_voxels,)
        Whose voxel it is.
    participants : sequence
        The participants, in the order of the results. One without a voxel in the region stays, with
        NaN.
    splits : Splits
    method : Comparison
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
        _defined_only(
            method.prepare(
                responses[:, voxels] if len(voxels) else np.zeros((n_sounds, 1)), splits
            ),
            len(voxels) > 1,
        )
        for voxels in chosen
    ]
    test = np.stack([item.test for item in triangles])
    rdms = np.stack([item.all_sounds for item in triangles])
    vectors = _vectors(triangles, method)
    own, n_pairs = method.own_ceiling, triangles[0].n_pairs[1]
    own_test = np.swapaxes(vectors.test, 0, 1)
    return NeuralSide(
        rdms=rdms,
        vectors=vectors,
        n_voxels=np.array([len(voxels) for voxels in chosen]),
        ceilings={
            ceiling.name: leave_one_out(
                test, ceiling.vector, own=own_test if ceiling is own else None, n_pairs=n_pairs
            )
            for ceiling in method.ceilings
        },
        ceilings_all_sounds={
            ceiling.name: leave_one_out(
                rdms, ceiling.vector, own=vectors.all_sounds if ceiling is own else None
            )
            for ceiling in method.ceilings
        },
        effective_dimensionality=_pooled_dimensionality(responses[:, use], triangles)
        if method.correlations
        else np.full(3, np.nan),
    )


def _defined_only(item: Triangles, defined: bool) -> Triangles:
    """The triangles, or NaN for a participant who has too few voxels to be compared."""
    if defined:
        return item
    nothing = {
        name: np.full_like(getattr(item, name), np.nan) for name in ("all_sounds", "train", "test")
    }
    return replace(item, **nothing)


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
    """Triangles of the layers of one model in one condition.

    Attributes
    ----------
    layers : tuple of str
    rdms : array of shape (n_layers, n_pairs)
        Triangles of all sounds (of RSA: correlations); NaN where undefined.
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
        In the order of :data:`DIMENSIONALITY_VARIANTS`. NaN unless the method compares
        correlations.
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
    layers: Iterable[tuple[str, np.ndarray]],
    order: np.ndarray,
    splits: Splits,
    method: Comparison,
) -> ModelSide:
    """Triangles of all layers, ready to be compared.

    Only one layer's activations are needed at a time.

    Parameters
    ----------
    layers : iterable of (str, array of shape (n_sounds, n_units))
        Name and activations of every layer.
    order : int array of shape (n_sounds,)
        Brings the sounds into the order that the splits refer to.
    splits : Splits
    method : Comparison

    Returns
    -------
    ModelSide
    """
    names, triangles, n_units, dimensionality = [], [], [], []
    for name, features in layers:
        features = np.asarray(features)[order].astype(np.float64, copy=False)
        item = method.prepare(features, splits)
        names.append(name)
        triangles.append(item)
        n_units.append(features.shape[1])
        dimensionality.append(
            [
                *raw_and_centered_dimensionality(features),
                participation_ratio(item.moments.products, item.moments.sums, item.moments.n_units),
            ]
            if method.correlations and features.shape[1] > 1
            else [np.nan] * 3
        )
    n_constant = np.stack([item.n_constant for item in triangles])
    moments = [item.moments for item in triangles]
    concatenated = method.triangle(sum(moments[1:], start=moments[0]))
    return ModelSide(
        layers=tuple(names),
        rdms=np.stack([item.all_sounds for item in triangles]),
        vectors=_vectors(triangles, method),
        concatenated_rdm=concatenated,
        concatenated=method.vector(concatenated[None]),
        n_units=np.array(n_units),
        n_constant_units=n_constant[:, 0],
        n_constant_units_train=n_constant[:, 1:],
        effective_dimensionality=np.array(dimensionality),
    )


# --- both ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ComparisonScores:
    """Everything about one model in one condition and one region of one target.

    Attributes
    ----------
    layer_train, layer_test : arrays of shape (n_participants, n_splits, n_layers)
        Similarities.
    best_index, best_value : arrays of shape (n_participants, n_splits)
        The layer chosen on the training sounds (-1 for none), and its similarity on the test
        sounds.
    best_median, best_median_index : arrays of shape (n_participants,)
        Medians over the splits that have one.
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
    best_index: np.ndarray
    best_value: np.ndarray
    best_median: np.ndarray
    best_median_index: np.ndarray
    layer_test_median: np.ndarray
    layer_all_sounds: np.ndarray
    concatenated_all_sounds: np.ndarray
    best_layer_position: np.ndarray


@one_blas_thread()
def score_model(neural: Vectors, model: ModelSide) -> ComparisonScores:
    """Compare every participant with every layer."""
    train = np.swapaxes(similarities(neural.train, model.vectors.train), 0, 1)
    test = np.swapaxes(similarities(neural.test, model.vectors.test), 0, 1)
    all_sounds = similarities(neural.all_sounds, model.vectors.all_sounds)
    best: BestLayer = select_layer(train, test)
    return ComparisonScores(
        layer_train=train,
        layer_test=test,
        best_index=best.index,
        best_value=best.value,
        best_median=best.median_value,
        best_median_index=best.median_index,
        layer_test_median=median_of_known(test),
        layer_all_sounds=all_sounds,
        concatenated_all_sounds=similarities(neural.all_sounds, model.concatenated)[:, 0],
        best_layer_position=best_layer_position(all_sounds),
    )

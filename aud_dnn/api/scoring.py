"""Score arrays against a target: by ridge regression, and by comparison (RSA, CKA)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from aud_dnn.api.features import Features, layers_in_order
from aud_dnn.api.reading import Root, load_target, stimuli_of
from aud_dnn.errors import InputError
from aud_dnn.methods.comparing.sides import model_side, neural_side, score_model
from aud_dnn.methods.method import Comparison, find_method
from aud_dnn.methods.repetitions import measured_repetitions
from aud_dnn.methods.ridge.leave_one_out import LARGEST_ALPHALIMIT
from aud_dnn.methods.ridge.method import METHOD as RIDGE
from aud_dnn.runs.comparison_targets import comparison_target

if TYPE_CHECKING:
    import xarray as xr

    from aud_dnn.targets.loading import Target

_SCORES = ("r_test", "r2_test", "r2_test_c", "r2_train", "alphas")


def score(
    features: Features,
    target: str | PathLike[str] | Target,
    *,
    ids: Sequence[str] | None = None,
    alphalimit: int = 50,
    root: Root = None,
) -> xr.Dataset:
    """Predict a target from features by ridge regression, and score the predictions.

    For every split of the sounds, a ridge regression from the training half, with a penalty per
    voxel chosen by leave-one-out, predicts the test half. The same numbers as those that
    ``aud_dnn/AUD_main.py`` writes for the same features.

    Parameters
    ----------
    features : array of shape (n_sounds, n_units), or mapping from layer to such arrays
        Or what :func:`aud_dnn.open_activations` gives. Arrays of any real type; computed in
        float64.
    target : str, path or Target
        See :func:`aud_dnn.load_target`. Its ``splits`` say which sounds train and test.
    ids : sequence of str of length n_sounds, optional
        Sounds of the rows, matched with ``target.stimuli.ids``; other sounds are left out. Without
        it rows must be in the order of ``target.stimuli.ids``, which cannot be checked but for
        their number.
    alphalimit : int
        L: penalties are 10^(L−1), 10^(L−2), …, 10^(−L).
    root : path, optional
        The folder that holds ``data/``; see :func:`aud_dnn.paths.find_root`.

    Returns
    -------
    xarray.Dataset
        ``r_test``, ``r2_test``, ``r2_test_c`` (noise-corrected, only where the target has
        repetitions), ``r2_train`` and ``alphas``, all of dimensions (layer, voxel, split) and
        without unit. The metadata of the target are coordinates of ``voxel``; ``n_repetitions``
        says how many repetitions of a voxel the correction is for.

    Raises
    ------
    InputError
        An unknown target; features that are not real numbers of shape (sounds, units), have NaN or
        inf, another number of rows than the target has sounds, or lack sounds of the target.

    References
    ----------
    Tuckute, Feather, Boebinger & McDermott (2023), PLoS Biology 21(12): e3002366, Methods,
    "Regression" and "Noise correction".

    Examples
    --------
    >>> import aud_dnn
    >>> features = aud_dnn.open_activations("Kell2018word").read("relu2")
    >>> scores = aud_dnn.score(features, "NH2015comp")
    >>> dict(scores["r2_test"].sizes)
    {'layer': 1, 'voxel': 6, 'split': 10}
    >>> scores["comp"].values.tolist()
    ['lowfreq', 'highfreq', 'envsounds', 'pitch', 'speech', 'music']
    """
    import xarray as xr

    if not 1 <= alphalimit <= LARGEST_ALPHALIMIT:
        raise InputError(
            f"alphalimit must be between 1 and {LARGEST_ALPHALIMIT}; got {alphalimit}."
        )
    target = load_target(target, root=root)
    found = {}
    for layer, array in layers_in_order(features, target, ids):
        prepared = RIDGE.prepare(array, target.splits, alphalimit=alphalimit)
        found[layer] = RIDGE.score(prepared, target.responses)
    variables = {
        field.name: (
            ("layer", *field.dims),
            np.stack([getattr(scores, field.name) for scores in found.values()]),
            {"long_name": field.meaning},
        )
        for field in RIDGE.fields
        if field.name in _SCORES and (field.name != "r2_test_c" or target.has_repetitions)
    }
    coordinates = {
        **_voxel_coordinates(target, {*variables, "layer", "voxel", "split"}),
        "layer": list(found),
        "voxel": target.ids,
        "split": np.arange(len(target.splits)),
    }
    return xr.Dataset(variables, coordinates, {**_about(target), "alphalimit": alphalimit})


def compare(
    features: Features,
    target: str | PathLike[str] | Target,
    *,
    ids: Sequence[str] | None = None,
    method: str = "RSA",
    root: Root = None,
) -> xr.Dataset:
    """Compare the similarity structure of features with that of every participant.

    In RSA a representation's matrix (RDM) holds the correlations between sounds; the similarity of
    two of them is their Spearman correlation. The same numbers as those of the script
    ``aud_dnn/analyze/rsa_matrix_calculation_all_models.py`` for all voxels.

    Parameters
    ----------
    features, target, ids, root
        See :func:`aud_dnn.score`. Participants are those of the column ``subj_idx`` of the
        target's metadata; a target without it (components) counts as one, named ``all``. Published
        sounds are grouped by category before the splits are applied, as published.
    method : str
        ``RSA``, ``CKA`` (unbiased linear), or a file with a method of your own
        (``docs/methods.md``).

    Returns
    -------
    xarray.Dataset
        All without unit:

        - ``train``, ``test`` (layer, participant, split): similarity over the halves of a split
        - ``all_sounds`` (layer, participant): over all sounds
        - ``all_layers`` (participant): of all layers side by side, over all sounds
        - ``best_layer`` (participant, split): name of the most similar layer on the training
          sounds, "" for none; ``best_layer_test``: its similarity on the test sounds
        - ``best_layer_position`` (participant): of the largest ``all_sounds``, from 0 (first layer)
          to 1 (last); NaN for a single layer
        - ``ceiling_pearson``, ``ceiling_spearman`` (participant, split): similarity of the
          participant's test matrix and the mean of the others', as published and in the measure of
          the scores (of CKA: ``ceiling_CKA``); the same ``…_all_sounds`` (participant). NaN for a
          single participant.

    Raises
    ------
    InputError
        As in :func:`aud_dnn.score`; also an unknown method, or fewer than four sounds in a half of
        a split.

    References
    ----------
    Tuckute, Feather, Boebinger & McDermott (2023), PLoS Biology 21(12): e3002366, Methods,
    "Representational similarity analysis".

    Examples
    --------
    >>> import aud_dnn
    >>> layers = dict(aud_dnn.open_activations("Kell2018word").items())
    >>> similarity = aud_dnn.compare(layers, "NH2015")
    >>> dict(similarity["test"].sizes)
    {'layer': 9, 'participant': 8, 'split': 10}
    >>> similarity["all_sounds"].mean("participant").idxmax("layer").item()
    'relu2'
    """
    import xarray as xr

    compared = find_method(method, Comparison)
    target = load_target(target, root=root)
    ready = comparison_target(target, {}, stimuli_of(root))
    neural = neural_side(
        ready.responses, ready.participant, np.unique(ready.participant), ready.splits, compared
    )
    model = model_side(layers_in_order(features, target, ids), ready.order, ready.splits, compared)
    scores = score_model(neural.vectors, model)
    names = np.array([*model.layers, ""], dtype=object)  # -1 is the last
    per_split, per_participant = ("participant", "split"), ("participant",)
    return xr.Dataset(
        {
            "train": (("layer", *per_split), np.moveaxis(scores.layer_train, 2, 0)),
            "test": (("layer", *per_split), np.moveaxis(scores.layer_test, 2, 0)),
            "all_sounds": (("layer", "participant"), scores.layer_all_sounds.T),
            "all_layers": (per_participant, scores.concatenated_all_sounds),
            "best_layer": (per_split, names[scores.best_index]),
            "best_layer_test": (per_split, scores.best_value),
            "best_layer_position": (per_participant, scores.best_layer_position),
            **{f"ceiling_{name}": (per_split, v) for name, v in neural.ceilings.items()},
            **{
                f"ceiling_{name}_all_sounds": (per_participant, v)
                for name, v in neural.ceilings_all_sounds.items()
            },
        },
        {
            "layer": list(model.layers),
            "participant": list(ready.labels),
            "split": np.arange(len(ready.splits)),
            "n_voxels": (per_participant, neural.n_voxels),
        },
        {**_about(target), "method": compared.name},
    )


def _about(target: Target) -> dict[str, Any]:
    return {"target": target.name, "splits": target.splits.kind}


def _voxel_coordinates(target: Target, taken: set[str]) -> Mapping[str, Any]:
    """The target's metadata; text where a column is not of plain numbers, to be saved."""
    coordinates: dict[str, Any] = {}
    for name, column in target.metadata.items():
        if str(name) in taken:
            continue
        values = column.to_numpy()
        if values.dtype.kind not in "biuf":
            values = column.map(str, na_action="ignore").astype(object).fillna("").to_numpy(object)
        coordinates[str(name)] = ("voxel", values)
    if target.has_repetitions:
        counts = measured_repetitions(target.responses).sum(axis=1)
        coordinates["n_repetitions"] = ("voxel", counts)
    return coordinates

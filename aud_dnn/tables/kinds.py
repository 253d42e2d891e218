"""Scores per kind of sound from results on disk (:mod:`aud_dnn.methods.kinds`)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from aud_dnn.conditions import Condition
from aud_dnn.errors import InputError
from aud_dnn.methods.kinds import FEW_SOUNDS, responses_by_kind, similarity_by_kind
from aud_dnn.methods.repetitions import mean_response
from aud_dnn.methods.rsa import rdm_triangles
from aud_dnn.paths import ProjectPaths
from aud_dnn.store.regression import read_result
from aud_dnn.tables.model_results import digest_memo, layer_folders, load_model_results
from aud_dnn.tables.parts import ALL, mean_and_interval
from aud_dnn.tables.predicted import mean_over_splits
from aud_dnn.targets.facts import COMPONENT_TARGET
from aud_dnn.utils import load_target, open_activations


def kinds_table(
    paths: ProjectPaths,
    model: str,
    target_name: str,
    randnetw: bool,
    labels: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Every kind of sound, at the layer with the largest median score over all rows.

    Predictions that were not stored are made again.

    Parameters
    ----------
    paths : ProjectPaths
    model, target_name : str
    randnetw : bool
    labels : sequence of str, optional
        A kind for every sound, in stimulus order; the paper's categories by default.

    Returns
    -------
    DataFrame
        One row per part (component, or all voxels) and kind: ``n_sounds``, ``few_sounds``,
        ``measured``, ``predicted``, ``bias``, ``error``, ``r`` and, of voxels, ``rsa`` and
        ``rsa_ceiling``. Of voxels: medians over voxels, means over participants; ``…_interval`` is
        half a 95 % interval over participants.

    Raises
    ------
    InputError
        There are no results; predictions cannot be made again; another number of labels.
    """
    target = load_target(paths, target_name)
    labels = tuple(target.stimuli.categories if labels is None else labels)
    if len(labels) != len(target.stimuli.ids):
        raise InputError(
            f"{len(labels)} labels were given for the {len(target.stimuli.ids)} sounds of "
            f"{target_name}; give one for each, in stimulus order."
        )
    randnetw = randnetw and Condition.of(True).exists_for(model)
    results = load_model_results(paths, model, target_name, randnetw)
    layer = results.layers[int(results.clipped_medians.mean(axis=0).argmax())]
    folder = layer_folders(paths, model, target_name, randnetw)[layer]
    predictions = read_result(folder, memo=digest_memo(paths)).predictions(rescaled=True)
    predicted = mean_over_splits(predictions)
    del predictions
    measured = mean_response(target.responses)
    tested = np.isfinite(predicted).all(axis=1)
    kept = [label for label, good in zip(labels, tested) if good]
    found = responses_by_kind(measured[tested], predicted[tested], kept)
    about = {
        "source_model": model,
        "source_layer": layer,
        "target": target_name,
        "randnetw": str(randnetw),
    }
    values = {
        name: getattr(found, name) for name in ("measured", "predicted", "bias", "error", "r")
    }
    if target_name == COMPONENT_TARGET:
        table = pd.DataFrame(
            [
                {"part": part, "kind": kind, "n_sounds": found.n_sounds[place]}
                | {name: value[place, row] for name, value in values.items()}
                for row, part in enumerate(target.metadata["comp"])
                for place, kind in enumerate(found.kinds)
            ]
        )
    else:
        people = target.metadata["subj_idx"].to_numpy()
        features = open_activations(
            paths, model, target.stimuli, randnetw=randnetw, layers=[layer]
        ).read(layer)
        triangles = [
            rdm_triangles(measured[:, people == person]).all_sounds for person in np.unique(people)
        ]
        rsa = similarity_by_kind(rdm_triangles(features).all_sounds, np.stack(triangles), labels)
        rows = []
        for place, kind in enumerate(found.kinds):
            row: dict = {"part": ALL, "kind": kind, "n_sounds": found.n_sounds[place]}
            for name, value in values.items():
                row |= _over_participants(name, _medians(value[place], people))
            other = rsa.kinds.index(kind)
            row |= _over_participants("rsa", rsa.similarity[other])
            row |= _over_participants("rsa_ceiling", rsa.ceiling[other])
            rows.append(row)
        table = pd.DataFrame(rows)
    table.insert(3, "few_sounds", table["n_sounds"] < FEW_SOUNDS)
    return table.assign(**about)


def _medians(values: np.ndarray, people: np.ndarray) -> np.ndarray:
    """Median over the voxels of every participant, NaN left out."""
    return pd.Series(values).groupby(people).median().to_numpy()


def _over_participants(name: str, values: np.ndarray) -> dict[str, float]:
    mean, half = mean_and_interval(values)
    return {name: mean, f"{name}_interval": half}

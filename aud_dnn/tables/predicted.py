"""Predicted responses to every sound, from the splits in which it was a test sound."""

from __future__ import annotations

import numpy as np

from aud_dnn.conditions import Condition
from aud_dnn.errors import InputError
from aud_dnn.paths import ProjectPaths
from aud_dnn.store.regression import read_result
from aud_dnn.store.regression_names import result_folder
from aud_dnn.store.schema import ResultKey
from aud_dnn.tables.model_results import ALPHALIMIT, digest_memo
from aud_dnn.targets.facts import COMPONENT_TARGET


def predicted_responses(paths: ProjectPaths, model: str, layer: str, randnetw: bool) -> np.ndarray:
    """Predicted component responses, mean over the splits in which a sound was a test sound, shape
    (n_sounds, 6).
    """
    key = ResultKey(
        model,
        layer,
        COMPONENT_TARGET,
        randnetw and Condition.of(True).exists_for(model),
        ALPHALIMIT,
    )
    folder = result_folder(paths, key.model, key.layer, key.target, key.randnetw, key.alphalimit)
    predictions = read_result(folder, memo=digest_memo(paths)).predictions(rescaled=True)
    means = mean_over_splits(predictions)
    if np.isnan(means).any():
        raise InputError(
            f"{folder}: some sounds were a test sound in no split; Figure 4 needs the published "
            "ten splits."
        )
    return means


def mean_over_splits(predictions: np.ndarray) -> np.ndarray:
    """Mean over the splits in which a sound was a test sound, shape (n_sounds, n_rows).

    Parameters
    ----------
    predictions : array of shape (n_sounds, n_splits, n_rows)
        NaN for training sounds; a sound that was a test sound in no split has a mean of NaN.
    """
    tested = np.isfinite(predictions)
    with np.errstate(invalid="ignore"):
        return np.where(tested, predictions, 0).sum(axis=1) / tested.sum(axis=1)

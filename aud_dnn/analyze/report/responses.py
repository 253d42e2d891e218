"""Predicted responses beside measured ones, sound by sound."""

from __future__ import annotations

import numpy as np
import pandas as pd

from aud_dnn.analyze.report.content import TargetPart
from aud_dnn.conditions import Condition
from aud_dnn.errors import InputError, MissingDataError
from aud_dnn.paths import ProjectPaths
from aud_dnn.store.regression import read_result
from aud_dnn.store.regression_names import result_folder
from aud_dnn.tables.model_files import VALUE
from aud_dnn.tables.model_results import ALPHALIMIT, digest_memo
from aud_dnn.tables.parts import ALL
from aud_dnn.tables.predicted import mean_over_splits, predicted_responses
from aud_dnn.targets.categories import SOUND_CATEGORIES
from aud_dnn.targets.facts import COMPONENT_TARGET, ROIS
from aud_dnn.targets.loading import Target, load_target

COLUMNS = ("part", "sound", "category", "measured", "predicted")


def responses_of(paths: ProjectPaths, model: str, part: TargetPart) -> pd.DataFrame:
    """Of the components, or of a few voxels: see the two functions below."""
    function = component_responses if part.target == COMPONENT_TARGET else voxel_responses
    try:
        return function(paths, model, part)
    except MissingDataError:  # the sounds or responses are not here any more
        return pd.DataFrame(columns=COLUMNS)


def component_responses(paths: ProjectPaths, model: str, part: TargetPart) -> pd.DataFrame:
    """Measured and predicted responses of the components, each at its best layer.

    A prediction is the mean over the splits in which a sound was a test sound.

    Parameters
    ----------
    paths : ProjectPaths
    model : str
    part : TargetPart
        Of the components.

    Returns
    -------
    DataFrame
        One row per component and sound, with :data:`COLUMNS`; empty where the results hold no
        predictions.
    """
    target = load_target(paths, COMPONENT_TARGET)
    measured = target.responses.reshape(len(target.stimuli), len(part.parts), -1).mean(axis=2)
    tables = []
    for i, name in enumerate(part.parts):
        layer = part.layers[name, Condition.TRAINED.value]
        try:
            predicted = predicted_responses(paths, model, layer, False)
        except InputError:  # fitted without predictions
            return pd.DataFrame(columns=COLUMNS)
        tables.append(_table(name, target, measured[:, i], predicted[:, i]))
    return pd.concat(tables, ignore_index=True)


def voxel_responses(paths: ProjectPaths, model: str, part: TargetPart) -> pd.DataFrame:
    """Measured and predicted responses of one voxel of every region, at the region's best layer.

    The voxel is the one with the median score of its region at that layer (the lower of two), so
    that it is neither a good nor a bad case. Without regions it is one of all voxels. Measured is
    the mean over the scans, predicted the mean over the splits in which a sound was a test sound.

    Parameters
    ----------
    paths : ProjectPaths
    model : str
    part : TargetPart
        Of a target with voxels.

    Returns
    -------
    DataFrame
        One row per voxel and sound, with :data:`COLUMNS`; empty where the results hold no
        predictions.
    """
    regions = [roi for roi in ROIS if (roi, Condition.TRAINED.value) in part.layers]
    target = load_target(paths, part.target)
    tables = []
    for region in regions or [ALL]:
        layer = part.layers[region, Condition.TRAINED.value]
        folder = result_folder(paths, model, layer, part.target, False, ALPHALIMIT)
        try:
            result = read_result(folder, memo=digest_memo(paths))
            row = _median_voxel(result.table, region, VALUE[part.target])
            predictions = result.predictions(rescaled=True, rows=[row])
        except MissingDataError:  # tables alone, or fitted without predictions
            return pd.DataFrame(columns=COLUMNS)
        voxel = result.table.iloc[row]
        column = np.flatnonzero(target.ids == voxel["voxel_id"])
        if len(column) != 1:  # the results are of other data than those here
            return pd.DataFrame(columns=COLUMNS)
        tables.append(
            _table(
                f"{region}: participant {voxel['subj_idx']}, voxel {voxel['voxel_id']}",
                target,
                target.responses[:, column[0]].mean(axis=1),
                mean_over_splits(predictions)[:, 0],
            )
        )
    return pd.concat(tables, ignore_index=True)


def wide(table: pd.DataFrame) -> pd.DataFrame:
    """One row per sound, two columns per component or voxel: a third of the size as a CSV."""
    values = table.pivot(
        index=["sound", "category"], columns="part", values=["measured", "predicted"]
    )
    values.columns = [f"{part}, {which}" for which, part in values.columns]
    names = [f"{part}, {which}" for part in table["part"].unique() for which in COLUMNS[-2:]]
    return values[names].reset_index()


def _median_voxel(table: pd.DataFrame, region: str, value: str) -> int:
    """Row of the voxel with the median score of its region."""
    keep = np.arange(len(table))
    if region != ALL:
        keep = np.flatnonzero((table["roi_label_general"] == region).to_numpy())
    order = np.argsort(table[value].to_numpy()[keep], kind="stable")
    return int(keep[order[(len(order) - 1) // 2]])


def _table(name: str, target: Target, measured: np.ndarray, predicted: np.ndarray) -> pd.DataFrame:
    categories = [
        SOUND_CATEGORIES[name].display_name if name in SOUND_CATEGORIES else name
        for name in target.stimuli.categories
    ]
    return pd.DataFrame(
        {
            "part": name,
            "sound": target.stimuli.ids,
            "category": categories,
            "measured": measured,
            "predicted": predicted,
        }
    )

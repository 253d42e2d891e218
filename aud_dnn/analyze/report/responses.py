"""Predicted responses beside measured ones, sound by sound; scores on the cortex."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from aud_dnn.analyze.report.content import ALL_VOXELS, TargetPart
from aud_dnn.conditions import Condition
from aud_dnn.errors import InputError
from aud_dnn.paths import ProjectPaths
from aud_dnn.store.regression import RegressionResult, read_result
from aud_dnn.store.regression_names import result_folder
from aud_dnn.tables.model_results import digest_memo
from aud_dnn.tables.surface import median_by_coordinate
from aud_dnn.targets.categories import SOUND_CATEGORIES
from aud_dnn.targets.facts import COMPONENT_TARGET, ROIS
from aud_dnn.targets.loading import Target, load_target

COLUMNS = ("part", "sound", "category", "measured", "predicted")
_HEMISPHERES = {"lh": "left hemisphere", "rh": "right hemisphere"}


def responses_of(paths: ProjectPaths, model: str, part: TargetPart) -> pd.DataFrame:
    """Measured and predicted responses of the components, each at its best layer, or of one voxel
    of every region.

    A prediction is the mean over the splits in which a sound was a test sound. The voxel of a
    region is the one with the median score there, at the layer that is best for all voxels.

    Parameters
    ----------
    paths : ProjectPaths
    model : str
    part : TargetPart

    Returns
    -------
    DataFrame
        One row per component or voxel and sound, with :data:`COLUMNS`; empty where the results hold
        no predictions.
    """
    try:
        if part.target == COMPONENT_TARGET:
            chosen = [
                (name, row, part.layers[name, Condition.TRAINED.value])
                for row, name in enumerate(part.parts)
            ]
        else:
            chosen = _voxels(paths, model, part)
        target = load_target(paths, part.target)
        tables = []
        for layer in dict.fromkeys(layer for _, _, layer in chosen):
            rows = [(name, row) for name, row, where in chosen if where == layer]
            result = _result(paths, model, layer, part.target)
            tables.append(_table(target, result, rows))
    except InputError:  # fitted without predictions, or the target is not here
        return pd.DataFrame(columns=COLUMNS)
    whole = pd.concat(tables, ignore_index=True)
    order = {name: place for place, (name, _, _) in enumerate(chosen)}
    return whole.sort_values("part", key=lambda names: names.map(order), kind="stable")


def _result(paths: ProjectPaths, model: str, layer: str, target: str) -> RegressionResult:
    folder = result_folder(paths, model, layer, target, False)
    return read_result(folder, memo=digest_memo(paths))


def _voxels(paths: ProjectPaths, model: str, part: TargetPart) -> list[tuple[str, int, str]]:
    """Name, row and layer of the voxel that stands for every region."""
    layer = part.layers[ALL_VOXELS, Condition.TRAINED.value]
    table = _result(paths, model, layer, part.target).table
    scores = table["median_r2_test_c"].to_numpy(dtype=float)
    regions = table["roi_label_general"].to_numpy(dtype=object)
    chosen = []
    for roi in ROIS:
        rows = np.flatnonzero((regions == roi) & np.isfinite(scores))
        if len(rows):
            row = rows[np.argsort(scores[rows], kind="stable")[len(rows) // 2]]
            who = f"voxel {table['voxel_id'].iloc[row]}, participant {table['subj_idx'].iloc[row]}"
            chosen.append((f"{roi} ({who})", int(row), layer))
    return chosen


def _table(
    target: Target, result: RegressionResult, chosen: Sequence[tuple[str, int]]
) -> pd.DataFrame:
    rows = [row for _, row in chosen]
    responses = target.responses.reshape(len(target.stimuli), target.n_voxels, -1)
    measured = responses[:, rows].mean(axis=2)
    predictions = result.predictions(rescaled=True, rows=rows)
    predicted = np.nanmean(predictions, axis=1)
    categories = [
        SOUND_CATEGORIES[name].display_name if name in SOUND_CATEGORIES else name
        for name in target.stimuli.categories
    ]
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "part": name,
                    "sound": target.stimuli.ids,
                    "category": categories,
                    "measured": measured[:, column],
                    "predicted": predicted[:, column],
                }
            )
            for column, (name, _) in enumerate(chosen)
        ],
        ignore_index=True,
    )


def score_map(paths: ProjectPaths, model: str, part: TargetPart) -> pd.DataFrame:
    """Scores by place on the flattened cortex, at the layer that is best for all voxels.

    Parameters
    ----------
    paths : ProjectPaths
    model : str
    part : TargetPart

    Returns
    -------
    DataFrame
        Columns ``hemisphere``, ``x``, ``y`` (mm), ``score`` (median over the participants with a
        voxel there, of corrected scores limited to 1), ``participants``, ``region``; empty for
        components, and where the metadata have no coordinates.
    """
    columns = ["hemisphere", "x", "y", "score", "participants", "region"]
    if part.target == COMPONENT_TARGET:
        return pd.DataFrame(columns=columns)
    layer = part.layers[ALL_VOXELS, Condition.TRAINED.value]
    table = _result(paths, model, layer, part.target).table.reset_index(drop=True)
    try:
        values = np.minimum(table["median_r2_test_c"].to_numpy(dtype=float), 1)
        places = median_by_coordinate(values, table)
    except InputError:  # no coordinates
        return pd.DataFrame(columns=columns)
    regions = table.drop_duplicates("coord_id").set_index("coord_id")["roi_label_general"]
    return pd.DataFrame(
        {
            "hemisphere": places["hemi"].map(_HEMISPHERES).fillna(places["hemi"]),
            "x": places["x_ras"].astype(float),
            "y": places["y_ras"].astype(float),
            "score": places["median_plot_val"].astype(float).round(4),
            "participants": places["shared_by"].astype(int),
            "region": places["coord_id"].map(regions).fillna("–"),
        }
    )

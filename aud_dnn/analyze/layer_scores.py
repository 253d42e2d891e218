"""Every layer (or model) as one row: regression, RSA and dimensionality side by side, for scatter plots."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr

from aud_dnn.aggregate.figure_inputs import collect_layers, collect_regions, collect_scores
from aud_dnn.aggregate.tables import has_condition
from aud_dnn.errors import MissingDataError
from aud_dnn.paths import ProjectPaths
from aud_dnn.resources import ROIS
from aud_dnn.rsa.results import ALL_VOXELS, condition_name, model_part_path, published_score, read_analysis, read_part
from aud_dnn.rsa.tables import dimensionality_table, position_table
from aud_dnn.stats import within_participant_sem

METHODS = ("regression", "RSA")


def _rsa(paths: ProjectPaths, target: str, roi: str = ALL_VOXELS) -> xr.Dataset | None:
    try:
        return read_analysis(paths.rsa_results, target, roi)
    except MissingDataError:
        return None


def _summary(scores: pd.DataFrame, name: str) -> pd.DataFrame:
    """Mean over participants and within-participant error of participants x rows, all rows as conditions."""
    return pd.DataFrame({name: scores.mean(axis=0), f"{name}_yerr": within_participant_sem(scores.to_numpy())},
                        index=scores.columns)


def model_scores(paths: ProjectPaths, models: Sequence[str], target: str, randnetw: bool, method: str) -> pd.DataFrame:
    """Participants x models; empty where there are no results. Models with a NaN are left out.

    One undefined model would make the within-participant errors of all others undefined.
    """
    models = [model for model in models if has_condition(model, randnetw)]
    if method == "regression":
        data = collect_scores(paths, models, target, randnetw)
        return data.scores if data is not None else pd.DataFrame()
    dataset = _rsa(paths, target)
    if dataset is None:
        return pd.DataFrame()
    scores = published_score(dataset, condition_name(randnetw))
    present = [model for model in models if model in scores["model"].values]
    return pd.DataFrame({model: scores.sel(model=model).values for model in present}, index=dataset["participant"].values
                        ).dropna(axis=1)


def layer_scores(paths: ProjectPaths, models: Sequence[str], target: str, randnetw: bool, method: str) -> pd.DataFrame:
    """Participants x layers of all models; columns are (model, layer). Layers with a NaN are left out."""
    columns: dict[tuple[str, str], np.ndarray] = {}
    dataset = _rsa(paths, target) if method == "RSA" else None
    index = None
    for model in models:
        if not has_condition(model, randnetw):
            continue
        if method == "regression":
            try:
                table, _ = collect_layers(paths, model, target, randnetw)
            except MissingDataError:
                continue
        else:
            table = _rsa_layers(dataset, model, condition_name(randnetw))
            if table is None:
                continue
        index = table.index
        columns |= {(model, layer): table[layer].to_numpy(dtype=float) for layer in table}
    if not columns:
        return pd.DataFrame()
    return pd.DataFrame(columns, index=index).dropna(axis=1)


def _rsa_layers(dataset: xr.Dataset | None, model: str, condition: str) -> pd.DataFrame | None:
    if dataset is None or model not in dataset["model"].values:
        return None
    one = dataset.sel(model=model, condition=condition)
    if not bool(one["available"]):
        return None
    names = [name for name in one["model_layers"].values.tolist() if name]
    return pd.DataFrame(one["all_data_rsa_for_best_layer"].transpose("participant", "layer").values[:, :len(names)],
                        index=dataset["participant"].values, columns=names)


def both(first: pd.DataFrame, second: pd.DataFrame, names: tuple[str, str]) -> pd.DataFrame:
    """Means and errors of the columns that both have, as ``x`` and ``y`` columns named ``names``."""
    shared = [column for column in first.columns if column in second.columns]
    if not shared:
        return pd.DataFrame()
    return _summary(first[shared], names[0]).join(_summary(second[shared], names[1]))


def mean_table(paths: ProjectPaths, models: Sequence[str], targets: Sequence[str]) -> pd.DataFrame:
    """Models x (method, target, condition): mean score over participants; NaN where there are no results."""
    columns = {}
    for method in METHODS:
        for target in targets:
            for randnetw in (False, True):
                scores = model_scores(paths, models, target, randnetw, method)
                columns[f"{method}_{target}_{condition_name(randnetw)}"] = (
                    scores.mean(axis=0) if len(scores) else pd.Series(dtype=float))
    return pd.DataFrame(columns).reindex(list(models))


def best_layer_positions(paths: ProjectPaths, models: Sequence[str], target: str, randnetw: bool) -> pd.DataFrame:
    """Relative best-layer position by regression and by RSA, one row per (model, region), each region once."""
    data = collect_regions(paths, models, target, randnetw)
    regression = {(model, roi): float(table[model].mean()) for roi, table in data.positions.items() for model in table} \
        if data is not None else {}
    datasets = {(target, roi): dataset for roi in ROIS if (dataset := _rsa(paths, target, roi)) is not None}
    rsa = {}
    if datasets:
        rows = position_table(datasets, models)
        rows = rows[rows["condition"] == condition_name(randnetw)] if len(rows) else rows
        rsa = {(row.model, row.roi): row.position for row in rows.itertuples()}
    keys = [(model, roi) for model in models for roi in ROIS if (model, roi) in regression or (model, roi) in rsa]
    return pd.DataFrame({"source_model": [model for model, _ in keys], "roi": [roi for _, roi in keys],
                         "regression": [regression.get(key, np.nan) for key in keys],
                         "RSA": [rsa.get(key, np.nan) for key in keys]})


def dimensionality_scores(paths: ProjectPaths, models: Sequence[str], target: str, randnetw: bool, method: str
                          ) -> pd.DataFrame:
    """Effective dimensionality and score of every layer.

    Regression goes with the dimensionality of centred units and the median noise-corrected R², RSA with that of z-scored
    units and the similarity over all sounds.

    Returns
    -------
    DataFrame
        ``source_model, source_layer, dimensionality, score, score_yerr``; empty where either side is missing.
    """
    condition = condition_name(randnetw)
    parts = {}
    for model in models:
        part = read_part(model_part_path(paths.rsa_results, model, condition)) if has_condition(model, randnetw) else None
        if part is not None:
            parts[model, condition] = part
    scores = layer_scores(paths, models, target, randnetw, method)
    if not parts or scores.empty:
        return pd.DataFrame()
    column = f"effective_dimensionality_{'centered' if method == 'regression' else 'standardized'}"
    sizes = {(row.model, row.layer): getattr(row, column) for row in dimensionality_table(parts).itertuples()}
    table = _summary(scores, "score")
    keys = list(scores.columns)
    return pd.DataFrame({"source_model": [model for model, _ in keys], "source_layer": [layer for _, layer in keys],
                         "dimensionality": [sizes.get(key, np.nan) for key in keys],
                         "score": table["score"].to_numpy(), "score_yerr": table["score_yerr"].to_numpy()})

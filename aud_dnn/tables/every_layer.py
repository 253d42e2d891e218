"""Every layer (or model) as one row.

Regression, RSA and dimensionality side by side, for scatter plots.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from aud_dnn.conditions import Condition
from aud_dnn.errors import MissingDataError
from aud_dnn.models.registry import BASELINE_MODEL
from aud_dnn.paths import ProjectPaths
from aud_dnn.runs.comparison_origins import Origins
from aud_dnn.stats import within_participant_sem
from aud_dnn.store.comparison_schema import SCRIPT as RSA_SCRIPT
from aud_dnn.store.comparisons import ALL_VOXELS, published_score
from aud_dnn.store.layer_dimensionality import layer_dimensionality
from aud_dnn.store.published_rsa import read_rsa
from aud_dnn.tables.across_models import same_participants
from aud_dnn.tables.comparison_models import position_table
from aud_dnn.tables.current_tables import source_notes
from aud_dnn.tables.figure_inputs import (
    collect_layers,
    collect_regions,
    collect_scores,
    model_fit_command,
    score_versions,
)
from aud_dnn.tables.model_files import VALUE, VERSION_COLUMNS
from aud_dnn.tables.model_results import same_versions
from aud_dnn.targets.facts import ROIS

METHODS = ("regression", "RSA")
RSA_MODEL_VALUE = "best_layer_rsa_median_across_splits"
"""Similarity of the cross-validated best layer."""

RSA_LAYER_VALUE = "all_data_rsa_for_best_layer"
"""Similarity of one layer, all sounds."""

Source = tuple[str, str, bool]
"""(method, target, permuted)"""


def layer_value(method: str, target: str) -> str:
    """Name of the score of a layer."""
    return VALUE[target] if method == "regression" else RSA_LAYER_VALUE


def model_value(method: str, target: str) -> str:
    """Name of the score of a model."""
    return VALUE[target] if method == "regression" else RSA_MODEL_VALUE


def rsa_dataset(paths: ProjectPaths, target: str, roi: str = ALL_VOXELS) -> xr.Dataset | None:
    """The RSA of one target and region, ours or the published; None if there is none."""
    try:
        return read_rsa(paths, target, roi)
    except MissingDataError:
        return None


def summarize(scores: pd.DataFrame, name: str) -> pd.DataFrame:
    """Mean over participants and within-participant error of participants x rows, all rows as
    conditions.
    """
    return pd.DataFrame(
        {name: scores.mean(axis=0), f"{name}_yerr": within_participant_sem(scores.to_numpy())},
        index=scores.columns,
    )


# --- which data and code the scores came from ---------------------------------------------------


def _rsa_versions(dataset: xr.Dataset) -> dict[str, str]:
    """As regression tables have them.

    Empty where the file does not say which responses it came from.
    """
    if "responses_sha256" not in dataset.attrs:
        return {}
    return dict(
        zip(
            VERSION_COLUMNS,
            (f"v{dataset.attrs['numerics_version']}", dataset.attrs["responses_sha256"][:12]),
        )
    )


def _remedy(target: str, randnetw: bool = False) -> Callable[[str], str]:
    """What makes results again, by the names that :func:`version_notes` gives them."""

    def command(name: str) -> str:
        if name.startswith("RSA"):
            return RSA_SCRIPT
        model, _, kind = name.partition(" (regression, ")
        return model_fit_command(target, randnetw or kind.startswith("permuted"))(model)

    return command


def version_notes(
    paths: ProjectPaths,
    models: Sequence[str],
    sources: Iterable[Source],
    rois: Sequence[str] = (ALL_VOXELS,),
) -> list[str]:
    """What must be said beside a figure in which all these scores stand together.

    Call it after the scores were collected. ``rois`` are the regions whose RSA is shown.

    Raises
    ------
    InputError
        Scores of one target came from different data, or scores from different versions of the
        numerics.
    """
    by_target: dict[str, dict[str, dict[str, str]]] = {}
    origins, changes = Origins(paths), []
    for method, target, randnetw in sources:
        found = by_target.setdefault(target, {})
        if method == "RSA":
            for roi in rois:
                dataset = rsa_dataset(paths, target, roi)
                if dataset is not None:
                    version = _rsa_versions(dataset)  # both conditions in one file
                    found["RSA" if found.get("RSA", version) == version else f"RSA, {roi}"] = (
                        version
                    )
                    changes += origins.changes(dataset, models)
        else:
            found |= {
                f"{model} (regression, {Condition.of(randnetw)})": version
                for model, version in score_versions(paths, models, target, randnetw).items()
            }
            changes += source_notes(paths, models, target, randnetw)
    notes = [
        note
        for target, versions in by_target.items()
        for note in same_versions(versions, target, _remedy(target))
    ]
    numerics = {
        f"{name} on {target}": {
            key: value for key, value in version.items() if key == VERSION_COLUMNS[0]
        }
        for target, versions in by_target.items()
        for name, version in versions.items()
    }
    same_versions(
        numerics, " and ".join(by_target), lambda name: _remedy(name.rpartition(" on ")[2])(name)
    )
    return list(dict.fromkeys([*changes, *notes]))


# --- models -------------------------------------------------------------------------------------


def model_scores(
    paths: ProjectPaths, models: Sequence[str], target: str, randnetw: bool, method: str
) -> pd.DataFrame:
    """Participants x models; empty where there are no results. Models with a NaN are left out.

    One undefined model would make the within-participant errors of all others undefined. Among
    permuted networks the trained baseline stands in for its own, as in Figure 2: errors refer to
    all models of the figure. :func:`with_condition` drops it.
    """
    if method == "regression":
        data = collect_scores(paths, models, target, randnetw)
        return data.scores if data is not None else pd.DataFrame()
    dataset = rsa_dataset(paths, target)
    if dataset is None:
        return pd.DataFrame()
    scores = published_score(dataset, Condition.of(randnetw))
    present = [model for model in models if model in scores["model"].values]
    return pd.DataFrame(
        {model: scores.sel(model=model).values for model in present},
        index=dataset["participant"].values,
    ).dropna(axis=1)


def with_condition(table: pd.DataFrame, randnetw: bool) -> pd.DataFrame:
    """The models (rows) that have this condition of their own."""
    return table.drop(index=BASELINE_MODEL, errors="ignore") if randnetw else table


def mean_table(paths: ProjectPaths, models: Sequence[str], targets: Sequence[str]) -> pd.DataFrame:
    """Models x (method, target, condition): mean score over participants.

    NaN where there are no results.
    """
    columns = {}
    for method in METHODS:
        for target in targets:
            for randnetw in (False, True):
                scores = model_scores(paths, models, target, randnetw, method)
                columns[f"{method}_{target}_{Condition.of(randnetw)}"] = (
                    with_condition(scores.mean(axis=0), randnetw)
                    if len(scores)
                    else pd.Series(dtype=float)
                )
    return pd.DataFrame(columns).reindex(list(models))


# --- layers -------------------------------------------------------------------------------------


def layer_tables(
    paths: ProjectPaths, models: Sequence[str], target: str, randnetw: bool, method: str
) -> dict[str, tuple[pd.DataFrame, pd.Series]]:
    """Every model's participants x layers, and the error of each layer with the model's layers as
    conditions.

    Raises
    ------
    InputError
        Participants differ between models.
    """
    found = {}
    dataset = rsa_dataset(paths, target) if method == "RSA" else None
    for model in models:
        if not Condition.of(randnetw).exists_for(model):
            continue
        if method == "regression":
            try:
                found[model] = collect_layers(paths, model, target, randnetw)
            except MissingDataError:
                continue
        else:
            table = _rsa_layers(dataset, model, Condition.of(randnetw))
            if table is not None:
                found[model] = (
                    table,
                    pd.Series(within_participant_sem(table.to_numpy()), table.columns),
                )
    if found:
        same_participants(
            {model: table.index for model, (table, _) in found.items()},
            f"{method}, {target}",
            _remedy(target, randnetw) if method == "regression" else lambda model: RSA_SCRIPT,
        )
    return found


def layer_scores(
    paths: ProjectPaths, models: Sequence[str], target: str, randnetw: bool, method: str
) -> pd.DataFrame:
    """Participants x layers of all models; columns are (model, layer).

    Layers with a NaN are left out.
    """
    tables = layer_tables(paths, models, target, randnetw, method)
    if not tables:
        return pd.DataFrame()
    return pd.concat({model: table for model, (table, _) in tables.items()}, axis=1).dropna(axis=1)


def _rsa_layers(dataset: xr.Dataset | None, model: str, condition: str) -> pd.DataFrame | None:
    if dataset is None or model not in dataset["model"].values:
        return None
    one = dataset.sel(model=model, condition=condition)
    if not bool(one["available"]):
        return None
    names = [name for name in one["model_layers"].values.tolist() if name]
    return pd.DataFrame(
        one[RSA_LAYER_VALUE].transpose("participant", "layer").values[:, : len(names)],
        index=dataset["participant"].values,
        columns=names,
    )


def both(first: pd.DataFrame, second: pd.DataFrame, names: tuple[str, str]) -> pd.DataFrame:
    """Means of the columns that both have, as columns named ``names``, and errors with just these
    as conditions.
    """
    shared = [column for column in first.columns if column in second.columns]
    if not shared:
        return pd.DataFrame()
    return summarize(first[shared], names[0]).join(summarize(second[shared], names[1]))


# --- best layers --------------------------------------------------------------------------------


def best_layer_positions(
    paths: ProjectPaths, models: Sequence[str], target: str, randnetw: bool
) -> pd.DataFrame:
    """Relative best-layer position by regression and by RSA, one row per (model, region), each
    region once.
    """
    data = collect_regions(paths, models, target, randnetw)
    regression = (
        {
            (model, roi): float(table[model].mean())
            for roi, table in data.positions.items()
            for model in table
        }
        if data is not None
        else {}
    )
    datasets = {
        (target, roi): dataset
        for roi in ROIS
        if (dataset := rsa_dataset(paths, target, roi)) is not None
    }
    rsa = {}
    if datasets:
        rows = position_table(datasets, models)
        rows = rows[rows["condition"] == Condition.of(randnetw)] if len(rows) else rows
        rsa = {(row.model, row.roi): row.position for row in rows.itertuples()}
    keys = [
        (model, roi)
        for model in models
        for roi in ROIS
        if (model, roi) in regression or (model, roi) in rsa
    ]
    return pd.DataFrame(
        {
            "source_model": [model for model, _ in keys],
            "roi": [roi for _, roi in keys],
            "regression": [regression.get(key, np.nan) for key in keys],
            "RSA": [rsa.get(key, np.nan) for key in keys],
        }
    )


# --- dimensionality -----------------------------------------------------------------------------


def dimensionality_scores(
    paths: ProjectPaths, models: Sequence[str], target: str, method: str
) -> tuple[pd.DataFrame, list[str]]:
    """Effective dimensionality and score of every layer that has a score, trained and permuted.

    Regression goes with the dimensionality of centred units and the median noise-corrected R², RSA
    with that of z-scored units and the similarity over all sounds.

    Returns
    -------
    table : DataFrame
        One row per layer: ``source_model, source_layer``, then for each condition
        ``dimensionality_trained, score_trained`` (mean over participants) and
        ``score_trained_yerr`` (within-participant error, the layers of a model as conditions). NaN
        where something is missing, as all permuted columns of the baseline. Empty without any
        score.
    notes : list of str
        What must be said beside a figure of these numbers.
    """
    variant = "centered" if method == "regression" else "standardized"
    pieces, notes = [], []
    for randnetw in (False, True):
        condition = Condition.of(randnetw)
        tables = layer_tables(paths, models, target, randnetw, method)
        if not tables:
            continue
        sizes, published = layer_dimensionality(paths, list(tables), condition, variant)
        notes += published
        keys = [(model, layer) for model, (table, _) in tables.items() for layer in table]
        pieces.append(
            pd.DataFrame(
                {
                    f"dimensionality_{condition}": [sizes.get(key, np.nan) for key in keys],
                    f"score_{condition}": np.concatenate(
                        [table.mean(axis=0) for table, _ in tables.values()]
                    ),
                    f"score_{condition}_yerr": np.concatenate(
                        [error[table.columns] for table, error in tables.values()]
                    ),
                },
                index=pd.MultiIndex.from_tuples(keys, names=["source_model", "source_layer"]),
            )
        )
    if not pieces:
        return pd.DataFrame(), []
    columns = [
        f"{name}_{Condition.of(randnetw)}{end}"
        for randnetw in (False, True)
        for name, end in (("dimensionality", ""), ("score", ""), ("score", "_yerr"))
    ]
    table = pd.concat(pieces, axis=1).reindex(columns=columns)
    order = {model: place for place, model in enumerate(models)}
    table = table.reset_index().sort_values(
        "source_model", key=lambda column: column.map(order), kind="stable"
    )
    notes += version_notes(paths, models, [(method, target, False), (method, target, True)])
    return table.reset_index(drop=True), list(dict.fromkeys(notes))

"""One tidy table of everything that a sweep has fitted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from aud_dnn.conditions import Condition
from aud_dnn.errors import InputError
from aud_dnn.paths import ProjectPaths
from aud_dnn.runs.sweep_plan import SweepPlan, SweepUnit
from aud_dnn.store.regression import RegressionResult, read_result
from aud_dnn.store.regression_names import is_complete, result_folder
from aud_dnn.tables.model_results import digest_memo
from aud_dnn.tables.parts import mean_and_interval
from aud_dnn.tables.scores import participant_medians
from aud_dnn.targets.facts import COMPONENT_TARGET, ROIS, facts_of

ALL = "all"
COLUMNS = (
    "model",
    "layer",
    "position",
    "condition",
    "target",
    "part",
    "n",
    "score",
    "noise_corrected",
    "error",
    "seconds",
    "warnings",
)


def sweep_table(paths: ProjectPaths, plan: SweepPlan) -> tuple[pd.DataFrame, list[SweepUnit]]:
    """Scores of all units of a sweep that have results, whoever fitted them.

    Parameters
    ----------
    paths : ProjectPaths
    plan : SweepPlan

    Returns
    -------
    table : DataFrame
        One row per unit, target and part, with :data:`COLUMNS`. ``part`` is a component, a region
        (``roi_label_general``) or ``all``; ``position`` counts layers from 0. ``score`` of a
        component is its median R² over splits. Of voxels it is the mean over ``n`` participants of
        their median over voxels of the median over splits, of the noise-corrected R² limited to 1
        where there are repetitions (``noise_corrected``); ``error`` is half its 95 % interval
        (Student's t). Of voxels without participants the median over ``n`` voxels.
    lacking : list of SweepUnit
        Units without a result for some target.
    """
    memo = digest_memo(paths)
    rows: list[dict[str, Any]] = []
    lacking = []
    for unit in plan.units:
        for target in plan.options.target_names:
            folder = result_folder(paths, unit.model, unit.layer, target, unit.randnetw)
            if not is_complete(folder):
                lacking.append(unit)
                continue
            try:
                result = read_result(folder, memo=memo)
                parts = _parts(result, target)
            except InputError:  # damaged: to be fitted again, and named
                lacking.append(unit)
                continue
            provenance = result.provenance or {}
            about = {
                "model": unit.model,
                "layer": unit.layer,
                "position": unit.position,
                "condition": Condition.of(unit.randnetw).value,
                "target": target,
            }
            done = {
                "seconds": provenance.get("seconds", np.nan),
                "warnings": len(provenance.get("remarks", ())),
            }
            rows += [{**about, **part, **done} for part in parts]
    memo.save()
    return pd.DataFrame(rows, columns=list(COLUMNS)), list(dict.fromkeys(lacking))


def _parts(result: RegressionResult, target: str) -> list[dict[str, Any]]:
    """Scores of one result, component by component or region by region."""
    table = result.table
    if target == COMPONENT_TARGET:
        return [
            {"part": name, "n": 1, "score": score, "noise_corrected": False, "error": np.nan}
            for name, score in zip(table["comp"], table["median_r2_test"].astype(float))
        ]
    corrected = facts_of(target, result.provenance).noise_corrected
    column = "median_r2_test_c" if corrected else "median_r2_test"
    values = table[column].to_numpy(dtype=float)
    values = np.minimum(values, 1) if corrected else values
    regions = (
        table["roi_label_general"].to_numpy(dtype=object) if "roi_label_general" in table else None
    )
    people = table["subj_idx"].to_numpy() if "subj_idx" in table else None
    parts = []
    for name in (ALL, *(ROIS if regions is not None else ())):
        keep = np.isfinite(values) if name == ALL else np.isfinite(values) & (regions == name)
        if keep.any():
            summary = _summary(values[keep], None if people is None else people[keep])
            parts.append({"part": name, "noise_corrected": corrected, **summary})
    return parts


def _summary(values: np.ndarray, people: np.ndarray | None) -> dict[str, Any]:
    """Mean over participants with its interval; the median of voxels that belong to nobody."""
    if people is None:
        return {"n": len(values), "score": float(np.median(values)), "error": np.nan}
    _, medians = participant_medians(values, people)
    mean, error = mean_and_interval(medians)
    return {"n": len(medians), "score": mean, "error": error}


def closing_table(table: pd.DataFrame, targets: Sequence[str]) -> str:
    """The best layer of every model, condition and target, for the terminal.

    Parameters
    ----------
    table : DataFrame
        See :func:`sweep_table`.
    targets : sequence of str
    """
    whole = table[table["part"] == ALL]
    components = table[table["target"] == COMPONENT_TARGET]
    keys = ["model", "condition", "target", "layer", "position"]
    means = components.groupby(keys, sort=False)["score"].mean().reset_index()
    scores = pd.concat([whole[[*keys, "score"]], means], ignore_index=True)
    if scores.empty:
        return "No results yet."
    counts = table.groupby(["model", "condition"], sort=False)["layer"].nunique()
    best = scores.loc[scores.groupby(keys[:3], sort=False)["score"].idxmax()]
    best["text"] = [f"{row.score:.3f} ({row.layer})" for row in best.itertuples()]
    shown = best.pivot(index=keys[:2], columns="target", values="text")
    shown = shown[[name for name in targets if name in shown]].reindex(counts.index)
    shown.insert(0, "layers", counts)
    return shown.rename_axis(columns=None).fillna("–").reset_index().to_string(index=False)

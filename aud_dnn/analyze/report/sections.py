"""What a report says about each target: tables, and the words around the charts."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from aud_dnn.analyze.report.charts import shows_ceiling
from aud_dnn.analyze.report.content import TargetPart, rank_among_published
from aud_dnn.analyze.report.measured import BASELINE
from aud_dnn.conditions import Condition
from aud_dnn.tables.parts import ALL
from aud_dnn.targets.facts import COMPONENT_TARGET

INTERVAL, SEM = "interval_95_over_participants", "sem_within_participants"
"""Names in the CSVs: half of the recommended interval, and the paper's statistic."""


def report_table(parts: Sequence[TargetPart]) -> pd.DataFrame:
    """One row per component or target: what the first table of the report shows.

    Returns
    -------
    DataFrame
        Columns ``score`` at the best layer, ``error`` (components: standard error over re-halvings
        of the splits; voxels: half a 95 % interval over participants), ``layer``, ``twin`` (the
        permuted control), ``baseline``, ``baseline_is_read`` (from the paper's figure), ``rank``
        among the paper's models, ``rank_low`` and ``rank_high`` (if every value is off by its
        error), ``n_models``.
    """
    rows = pd.DataFrame([row for part in parts for row in rank_rows(part)])
    return rows.drop(columns="sem").set_index("name")


def number(value: float, digits: int = 3) -> str:
    """As text; a dash where there is none."""
    return f"{value:.{digits}f}" if np.isfinite(value) else "–"


def value_name(part: TargetPart) -> str:
    """What the scores of a target are."""
    return "R²" if part.target == COMPONENT_TARGET else "noise-corrected R²"


def rank_rows(part: TargetPart) -> list[dict[str, Any]]:
    """Rows of the first table: see :func:`report_table`; ``sem`` is the paper's statistic."""
    rows = []
    for name in part.parts:
        score, error = part.score(name, Condition.TRAINED)
        trained = part.best["condition"] == Condition.TRAINED
        sem = part.best.loc[trained & (part.best["part"] == name), "sem"]
        twin, _ = part.score(name, Condition.PERMUTED)
        rank = rank_among_published(part, name)
        rows.append(
            {
                "name": part.target if name == ALL else name,
                "score": score,
                "error": error,
                "sem": float(sem.iloc[0]) if len(sem) else np.nan,
                "layer": part.layers.get((name, Condition.TRAINED.value), ""),
                "twin": twin,
                "baseline": part.baseline.get(name, np.nan),
                "baseline_is_read": part.baseline_is_read,
                "rank": rank.place if rank else np.nan,
                "rank_low": rank.low if rank else np.nan,
                "rank_high": rank.high if rank else np.nan,
                "n_models": rank.n_models if rank else np.nan,
            }
        )
    return rows


_UNCORRECTED = (
    "The components come as estimates without repetitions: their scores are not corrected for "
    "noise, and there is no ceiling to draw."
)
_CEILING = (
    "Scores of voxels are corrected for noise: 1 is the ceiling, all that could be explained given "
    "how reliable the voxels are"
)


def section(model: str, part: TargetPart, value: str) -> dict[str, Any]:
    """What the page says about one target."""
    components = part.target == COMPONENT_TARGET
    table = _table(model, part)
    best = {name: part.score(name, Condition.TRAINED)[0] for name in part.parts}
    spoken = ", ".join(f"{name} {score:.2f}" for name, score in best.items())
    rule = (
        " (the dashed rule). " if shows_ceiling(part) else "; it lies above what the curves show. "
    )
    return {
        "id": part.target,
        "components": components,
        "heading": "The six response components (NH2015)"
        if components
        else f"Voxels of {part.target}",
        "notes": part.notes,
        "bars_alt": f"Bars: {value} at the best layer. " + "; ".join(_spoken_bars(part)) + ".",
        "bars_note": _bars_note(part),
        "bars": part.bars.to_dict("records"),
        "bars_csv": encoded_csv(_bars_table(part)),
        "layers_alt": f"{value} at every layer of {model}, trained and permuted. At the best "
        f"layers: {spoken}.",
        "layers_note": f"Median over splits. {_UNCORRECTED}"
        if components
        else "Median over splits and voxels, mean over participants with its 95 % interval "
        f"(Student's t). {_CEILING}{rule}The CSV and the charts' labels hold the paper's error, "
        "too, the standard error within participants (over layers).",
        "place_alt": f"{model} among the models of the paper. {spoken}.",
        "errors_note": "Bars: standard error over ten re-halvings of the splits for this model, "
        "the reading error for the paper's."
        if components
        else "Bars: 95 % interval over participants for this model, the reading error for the "
        "paper's.",
        "responses_alt": "Predicted against measured responses to every sound, one panel for every "
        f"{'component' if components else 'voxel'}, coloured by the category of the sound.",
        "responses_note": "Every point is a sound; its prediction is the mean over the splits in "
        "which it was a test sound, at the "
        + (
            "component's best layer."
            if components
            else "region's best layer. Of every region the voxel with the median score at that "
            "layer is shown, so neither a good nor a bad case. Measured: mean over the scans."
        ),
        "layers_csv": encoded_csv(_named(part, part.curves)),
        "place_csv": encoded_csv(table),
        "columns": list(table.columns),
        "rows": [
            {
                "ours": row[0] == model,
                "cells": [f"{cell:.3f}" if isinstance(cell, float) else cell for cell in row],
            }
            for row in table.itertuples(index=False)
        ],
    }


def _spoken_bars(part: TargetPart) -> list[str]:
    return [
        f"{name}: " + ", ".join(f"{row.condition} {row.score:.2f}" for row in rows.itertuples())
        for name, rows in part.bars.groupby("part", sort=False)
    ]


def _bars_note(part: TargetPart) -> str:
    read = (
        " The baseline is read from the paper's figure, with the reading error; there are no "
        "results of it here."
        if part.baseline_is_read
        else ""
    )
    if part.target == COMPONENT_TARGET:
        return (
            f"Lines: standard error over ten re-halvings of the splits.{_nested_note(part)}{read}"
        )
    together = list(dict.fromkeys(part.bars.loc[part.bars["sem"].notna(), "condition"]))
    paper = (
        " Beside it in the table stands the paper's error, the standard error within participants, "
        f"which depends on what stands together: here {', '.join(together)}."
        if together
        else ""
    )
    return (
        "Best layer of every voxel, median over voxels, mean over participants. Lines: 95 % "
        f"interval over participants (Student's t).{paper}{_nested_note(part)}{read}"
    )


def _nested_note(part: TargetPart) -> str:
    """What the scores are where the test sounds have no part in the choice of the layer."""
    if not part.nested:
        return ""
    values = ", ".join(
        f"{name} {score:.3f} instead of {part.score(name, Condition.TRAINED)[0]:.3f}"
        for name, score in part.nested.items()
    )
    return (
        " The layer is chosen as published, on splits that share sounds with those of the score. "
        f"Chosen within each split by its training sounds (nested): {values}."
    )


def _bars_table(part: TargetPart) -> pd.DataFrame:
    """Bars for the CSV, which says what every error is."""
    read = (part.bars["condition"] == BASELINE) & part.baseline_is_read
    ours = (
        "standard error over re-halvings of the splits"
        if part.target == COMPONENT_TARGET
        else "half a 95 % interval over participants"
    )
    table = part.bars.assign(error_is=np.where(read, "reading error of the figure", ours))
    return table.rename(columns={"sem": SEM}).dropna(axis=1, how="all")


def _named(part: TargetPart, curves: pd.DataFrame) -> pd.DataFrame:
    """Curves for the CSV, their errors by name."""
    if part.target == COMPONENT_TARGET:
        return curves.drop(columns=["error", "sem"])
    return curves.rename(columns={"error": INTERVAL, "sem": SEM})


def _table(model: str, part: TargetPart) -> pd.DataFrame:
    """Models x parts, trained and permuted below each other, best mean first."""
    ours = part.best.assign(label=model, value=part.best["score"])
    rows = pd.concat([ours, part.published])[["label", "condition", "part", "value"]]
    rows = rows[rows["part"].isin(part.parts)]
    wide = rows.pivot_table(index=["label", "condition"], columns="part", values="value")
    wide = wide[part.parts]
    if len(part.parts) > 1:
        wide.insert(0, "mean", wide.mean(axis=1))
    wide = wide.sort_values(wide.columns[0], ascending=False).reset_index()
    return wide.rename(columns={"label": "model"}).rename_axis(columns=None)


def encoded_csv(table: pd.DataFrame) -> str:
    """A table for a link that needs no file (base64); numbers have nine digits."""
    return base64.b64encode(table.to_csv(index=False, float_format="%.9g").encode()).decode()

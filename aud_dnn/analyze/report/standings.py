"""Every model that has results, and those of the paper, in one table: who explains most."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from aud_dnn import __version__
from aud_dnn.analyze.report.content import gather
from aud_dnn.analyze.report.page import REPORT_FILE, template
from aud_dnn.conditions import Condition
from aud_dnn.errors import MissingDataError
from aud_dnn.io.atomic import atomic_file
from aud_dnn.models.kinds import architecture_and_task
from aud_dnn.models.published import SOURCE, published_scores
from aud_dnn.models.registry import MODELS
from aud_dnn.paths import ProjectPaths
from aud_dnn.tables.figure_inputs import models_with_results
from aud_dnn.tables.parts import ALL
from aud_dnn.targets.facts import ROIS, TARGETS

PAGE_FILE = "leaderboard.html"
TABLE_FILE = "leaderboard.csv"
MEASURED, READ = "here", "paper's figure"

COLUMNS = (
    "target",
    "part",
    "model",
    "label",
    "architecture",
    "task",
    "score",
    "error",
    "twin",
    "rank",
    "rank_low",
    "rank_high",
    "n_models",
    "source",
)


def standings(paths: ProjectPaths) -> pd.DataFrame:
    """The trained networks with results, and those of the paper.

    Returns
    -------
    DataFrame
        One row per model and component, target or region of its voxels (regions only of models
        with results: the paper's figures do not show them), best first: ``target``, ``part``,
        ``model``, ``label``, ``architecture``, ``task``, ``score`` at the best layer, ``error``
        (voxels: half a 95 % interval over participants; components: standard error over re-halvings
        of the
        splits; read values: the reading error), ``twin`` (the permuted control), ``rank`` with
        ``rank_low`` and ``rank_high`` (the places that are possible if every value is off by its
        error), ``n_models``, ``source``.

    Raises
    ------
    MissingDataError
        There are no results of any model.
    """
    models = models_with_results(paths)
    if not models:
        raise MissingDataError(
            f"There are no results in {paths.results}. Score a model first: python "
            "aud_dnn/score_model.py"
        )
    rows = [row for model in models for row in _measured(paths, model)]
    done = {(row["target"], row["part"], row["model"]) for row in rows}
    rows += [
        row
        for target in TARGETS
        for row in _published(target)
        if (target, row["part"], row["model"]) not in done
    ]
    table = pd.DataFrame(rows)
    ranked = [_ranked(group) for _, group in table.groupby(["target", "part"], sort=False)]
    return pd.concat(ranked, ignore_index=True)[list(COLUMNS)]


def _measured(paths: ProjectPaths, model: str) -> list[dict[str, object]]:
    label = MODELS[model].display_name if model in MODELS else model
    architecture, task = architecture_and_task(model)
    found: list[dict[str, object]] = []
    for part in gather(paths, model, brief=True)[0]:
        bars = part.bars
        twins = bars[bars["condition"] == Condition.PERMUTED].set_index("part")["score"]
        for row in bars[bars["condition"] == Condition.TRAINED].to_dict("records"):
            found.append(
                {
                    "target": part.target,
                    "part": row["part"],
                    "model": model,
                    "label": label,
                    "architecture": architecture,
                    "task": task,
                    "score": row["score"],
                    "error": row["error"],
                    "twin": twins.get(row["part"], np.nan),
                    "source": MEASURED,
                }
            )
    return found


def _published(target: str) -> list[dict[str, object]]:
    table = published_scores(target)
    twins = table[table["condition"] == Condition.PERMUTED].set_index(["part", "model"])["value"]
    found: list[dict[str, object]] = []
    for row in table[table["condition"] != Condition.PERMUTED].to_dict("records"):
        architecture, task = architecture_and_task(row["model"])
        key = row["part"], row["model"]
        found.append(
            {
                "target": target,
                "part": ALL if row["part"] == "All" else row["part"],
                "model": row["model"],
                "label": row["label"],
                "architecture": architecture,
                "task": task,
                "score": row["value"],
                "error": row["reading_error"],
                "twin": twins.get(key, np.nan),
                "source": READ,
            }
        )
    return found


def _ranked(group: pd.DataFrame) -> pd.DataFrame:
    """Places in one target and part, and the places that errors leave possible."""
    group = group.sort_values("score", ascending=False)
    score, error = group["score"].to_numpy(), group["error"].fillna(0.0).to_numpy()
    low, high = score - error, score + error
    could_be_above = high > low[:, None]
    np.fill_diagonal(could_be_above, False)
    return group.assign(
        rank=1 + (score > score[:, None]).sum(axis=1),
        rank_low=1 + (low > high[:, None]).sum(axis=1),
        rank_high=1 + could_be_above.sum(axis=1),
        n_models=len(group),
    )


def write_standings(paths: ProjectPaths) -> tuple[pd.DataFrame, Path]:
    """Write ``results/leaderboard.html`` and ``results/leaderboard.csv``.

    Returns
    -------
    table : DataFrame
        See :func:`standings`.
    page : Path
    """
    table = standings(paths)
    with atomic_file(paths.results / TABLE_FILE) as staging:
        table.to_csv(staging, index=False)
    rows = table.round(4).replace({np.nan: None}).to_dict("records")
    for row in rows:
        report = paths.results / str(row["model"]) / REPORT_FILE
        row["report"] = f"{row['model']}/{REPORT_FILE}" if report.is_file() else None
    text = template("leaderboard.html").render(
        rows=rows,
        parts=list(dict.fromkeys((row["target"], row["part"]) for row in rows)),
        has_regions=bool(table["part"].isin(ROIS).any()),
        architectures=sorted({str(row["architecture"]) for row in rows} - {""}),
        tasks=sorted({str(row["task"]) for row in rows} - {""}),
        data=json.dumps(rows).replace("<", "\\u003c"),
        source=SOURCE,
        measured=MEASURED,
        version=__version__,
    )
    page = paths.results / PAGE_FILE
    with atomic_file(page) as staging:
        staging.write_text(text, encoding="utf-8")
    return table, page

"""The report as one HTML file that needs no network."""

from __future__ import annotations

import base64
import importlib.util
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from aud_dnn import NUMERICS_VERSION, __version__
from aud_dnn.analyze.report import charts as drawn
from aud_dnn.analyze.report.content import (
    ALL_VOXELS,
    TargetPart,
    gather,
    rank_among_published,
    verdict,
)
from aud_dnn.analyze.report.oddities import chaos, oddities, origins, results_of
from aud_dnn.analyze.report.paired import paired_table, paired_verdict
from aud_dnn.analyze.report.responses import responses_of, score_map
from aud_dnn.conditions import Condition
from aud_dnn.errors import InputError, MissingDataError
from aud_dnn.io.atomic import atomic_file
from aud_dnn.models.published import SOURCE
from aud_dnn.paths import ProjectPaths
from aud_dnn.targets.facts import COMPONENT_TARGET

REPORT_FILE = "report.html"
_TEMPLATES = Path(__file__).with_name("templates")
_READING = "±0.004 to ±0.005 of R²"


def write_report(
    paths: ProjectPaths,
    model: str,
    targets: Sequence[str],
    command: str,
    other: str | None = None,
) -> tuple[Path, list[TargetPart], list[str]]:
    """Write ``results/<model>/report.html``.

    Parameters
    ----------
    paths : ProjectPaths
    model : str
        Folder of its results.
    targets : sequence of str
    command : str
        What makes the report again.
    other : str, optional
        Another model with results, to stand beside this one.

    Returns
    -------
    path : Path
    parts : list of TargetPart
    verdict : list of str

    Raises
    ------
    InputError
        Altair, vl-convert or Jinja2 is not installed; results are damaged.
    """
    parts, missing = gather(paths, model, targets)
    beside = {} if other is None else _beside(paths, parts, model, other)
    results = results_of(paths, model, [part.target for part in parts])
    responses = {part.target: responses_of(paths, model, part) for part in parts}
    missing += [
        f"The results of {model} on {target} hold no predictions to show beside the measured "
        "responses (--save_preds True --overwrite True of AUD_main.py makes them)."
        for target, table in responses.items()
        if table.empty
    ]
    html = render(
        model,
        parts,
        missing,
        command,
        odd=chaos(paths, model) + oddities(results),
        made=origins(results),
        responses=responses,
        maps={part.target: score_map(paths, model, part) for part in parts},
        beside=beside,
        other=other or "",
    )
    path = paths.results / model / REPORT_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as staging:
        staging.write_text(html, encoding="utf-8")
    said = [paired_verdict(model, other or "", target, table) for target, table in beside.items()]
    return path, parts, verdict(model, parts) + said


def _beside(
    paths: ProjectPaths, parts: Sequence[TargetPart], model: str, other: str
) -> dict[str, pd.DataFrame]:
    """Paired differences, by target."""
    others = {part.target: part for part in gather(paths, other, [p.target for p in parts])[0]}
    if not others:
        raise MissingDataError(
            f"There are no results of {other} on the targets of {model}. Score it first: python "
            f"aud_dnn/score_model.py {other}"
        )
    return {
        part.target: paired_table(paths, part, others[part.target], model, other)
        for part in parts
        if part.target in others
    }


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
    return pd.DataFrame([row for part in parts for row in _ranks(part)]).set_index("name")


def render(
    model: str,
    parts: Sequence[TargetPart],
    missing: Sequence[str],
    command: str,
    *,
    odd: Sequence[str] = (),
    made: Sequence[str] = (),
    responses: Mapping[str, pd.DataFrame] | None = None,
    maps: Mapping[str, pd.DataFrame] | None = None,
    beside: Mapping[str, pd.DataFrame] | None = None,
    other: str = "",
) -> str:
    """The page as text.

    Parameters
    ----------
    model : str
    parts : sequence of TargetPart
    missing : sequence of str
        What the report lacks, in sentences.
    command : str
    odd, made : sequence of str
        What is odd about the results, and how they were made.
    responses : mapping, optional
        Target -> measured and predicted responses
        (:func:`aud_dnn.analyze.report.responses.responses_of`).
    maps : mapping, optional
        Target -> scores by place (:func:`aud_dnn.analyze.report.responses.score_map`).
    beside : mapping, optional
        Target -> differences from the model ``other``
        (:func:`aud_dnn.analyze.report.paired.paired_table`).
    other : str
    """
    charts: dict[str, Any] = {}
    shown = []
    for part in parts:
        value = _value(part)
        charts[f"{part.target}-layers"] = drawn.layer_chart(part, value)
        charts[f"{part.target}-place"] = drawn.place_chart(part, model, value)
        section = _section(model, part, value)
        answers = (responses or {}).get(part.target)
        if answers is not None and len(answers):
            charts[f"{part.target}-responses"] = drawn.response_chart(answers)
            charts[f"{part.target}-categories"] = drawn.category_chart(answers)
            section["responses_csv"] = encoded_csv(answers)
        places = (maps or {}).get(part.target)
        if places is not None and len(places):
            charts[f"{part.target}-map"] = drawn.map_chart(places)
            section["map_csv"] = encoded_csv(places)
        shown.append(section)
    if parts:
        charts["bars"] = drawn.bar_chart(parts)
    library, data = scripts(charts)
    return template("page.html").render(
        number=_number,
        label=model,
        missing=missing,
        verdict=verdict(model, parts),
        parts=shown,
        ranks=[row for part in parts for row in _ranks(part)],
        reading=_READING,
        source=SOURCE,
        command=command,
        method=(
            "Ridge regression over ten splits of the 165 sounds; the best layer of each voxel or "
            "component is chosen on five splits and scored on the other five, ten times."
        ),
        odd=odd,
        other=other,
        beside=[
            {"target": target, **row}
            for target, table in (beside or {}).items()
            for row in table.to_dict("records")
        ],
        beside_said=[
            paired_verdict(model, other, target, table) for target, table in (beside or {}).items()
        ],
        beside_csv=encoded_csv(pd.concat(beside, names=["target"]).reset_index("target"))
        if beside
        else "",
        provenance=[
            f"Page made with auditory_brain_dnn {__version__}, numerics {NUMERICS_VERSION}.",
            *made,
        ],
        library=library,
        charts=data,
    )


def scripts(charts: Mapping[str, Any]) -> tuple[Any, Any]:
    """What draws the charts of a page, and the charts, ready to stand in script elements.

    Raises
    ------
    InputError
        Altair, vl-convert or Jinja2 is not installed.
    """
    try:
        import altair
        import vl_convert
        from markupsafe import Markup
    except ModuleNotFoundError as error:
        raise _not_installed(error.name) from error
    # The page draws with the Vega-Lite for which Altair writes ("v5.20.1": 5.20).
    vega_lite = ".".join(altair.SCHEMA_VERSION.lstrip("v").split(".")[:2])
    library = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vega_lite)
    return Markup(_script(library)), Markup(_data(charts))


def template(name: str) -> Any:
    """A page to fill in; every value is escaped.

    Raises
    ------
    InputError
        Jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, FileSystemLoader
    except ModuleNotFoundError as error:
        raise _not_installed(error.name) from error
    loader = FileSystemLoader(_TEMPLATES, encoding="utf-8")
    pages = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return pages.get_template(name)


def check_installed() -> None:
    """Refuse, before any long work, where a package that the report needs is not installed."""
    for name in ("altair", "vl_convert", "jinja2"):
        if importlib.util.find_spec(name) is None:
            raise _not_installed(name)


def _not_installed(name: str | None) -> InputError:
    return InputError(
        f"The report needs {name}: pip install -e '.[report]'. (AUD_main.py fits without a report.)"
    )


def _script(text: str) -> str:
    """Code that may stand in a script element: nothing in it ends the element."""
    return text.replace("</script", "<\\/script")


def _data(value: Any) -> str:
    """JSON that may stand in a script element, whatever names it holds."""
    return json.dumps(value).replace("<", "\\u003c")


def _number(value: float, digits: int = 3) -> str:
    """As text; a dash where there is none."""
    return f"{value:.{digits}f}" if np.isfinite(value) else "–"


def _value(part: TargetPart) -> str:
    return "R²" if part.target == COMPONENT_TARGET else "noise-corrected R²"


def _ranks(part: TargetPart) -> list[dict[str, Any]]:
    rows = []
    for name in part.parts:
        score, error = part.score(name, Condition.TRAINED)
        twin, _ = part.score(name, Condition.PERMUTED)
        rank = rank_among_published(part, name)
        rows.append(
            {
                "name": part.target if name == ALL_VOXELS else name,
                "score": score,
                "error": error,
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


def _section(model: str, part: TargetPart, value: str) -> dict[str, Any]:
    components = part.target == COMPONENT_TARGET
    table = _table(model, part)
    best = {name: part.score(name, Condition.TRAINED)[0] for name in part.parts}
    spoken = ", ".join(f"{name} {score:.2f}" for name, score in best.items())
    return {
        "id": part.target,
        "heading": "The six response components (NH2015)"
        if components
        else f"Voxels of {part.target}",
        "notes": part.notes,
        "layers_alt": f"{value} at every layer of {model}, trained and permuted. At the best "
        f"layers: {spoken}.",
        "layers_note": "Median over splits"
        + (
            "."
            if components
            else " and voxels, mean over participants with its 95 % interval (Student's t). Scores "
            "are corrected for noise: 1 is all that could be explained. The paper's statistic, the "
            "within-participant standard error, stands in the CSV (published_error)."
        ),
        "responses_note": "at the component's best layer. The components have no repetitions, and "
        "so no ceiling."
        if components
        else "at the layer that is best for all voxels. The voxel of a region is the one with the "
        "median score there.",
        "place_alt": f"{model} among the models of the paper. {spoken}.",
        "errors_note": "Bars: standard error over ten re-halvings of the splits for this model, "
        "the reading error for the paper's."
        if components
        else "Bars: 95 % interval over participants for this model, the reading error for the "
        "paper's.",
        "layers_csv": encoded_csv(part.curves),
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
    """A table for a link that needs no file (base64)."""
    return base64.b64encode(table.to_csv(index=False).encode()).decode()

"""The report as one HTML file that needs no network."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from aud_dnn import NUMERICS_VERSION, __version__
from aud_dnn.analyze.report import charts as drawn
from aud_dnn.analyze.report.beyond import beyond_scores
from aud_dnn.analyze.report.content import TargetPart, gather, verdict
from aud_dnn.analyze.report.cortex import Cortex, cortex_chart, cortex_of
from aud_dnn.analyze.report.oddities import chaos, oddities, origins, results_of
from aud_dnn.analyze.report.paired import paired_table, paired_verdict
from aud_dnn.analyze.report.responses import responses_of, wide
from aud_dnn.analyze.report.sections import (
    encoded_csv,
    number,
    rank_rows,
    section,
    value_name,
)
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
    html = render(
        model,
        parts,
        missing,
        command,
        odd=chaos(paths, model) + oddities(results),
        made=origins(results),
        responses={part.target: responses_of(paths, model, part) for part in parts},
        cortex=cortex_of(paths, model, [part.target for part in parts]),
        beside=beside,
        other=other or "",
        beyond={part.target: beyond_scores(paths, model, part.target) for part in parts},
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


def render(
    model: str,
    parts: Sequence[TargetPart],
    missing: Sequence[str],
    command: str,
    *,
    odd: Sequence[str] = (),
    made: Sequence[str] = (),
    responses: Mapping[str, pd.DataFrame] | None = None,
    cortex: Cortex | None = None,
    beside: Mapping[str, pd.DataFrame] | None = None,
    other: str = "",
    beyond: Mapping[str, Sequence[str]] | None = None,
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
    cortex : Cortex, optional
        Scores by place, and the viewer.
    beside : mapping, optional
        Target -> differences from the model ``other``
        (:func:`aud_dnn.analyze.report.paired.paired_table`).
    other : str
    beyond : mapping, optional
        Target -> sentences (:func:`aud_dnn.analyze.report.beyond.beyond_scores`).
    """
    charts: dict[str, Any] = {}
    shown = []
    for part in parts:
        value = value_name(part)
        charts[f"{part.target}-bars"] = drawn.bar_chart(part, value)
        charts[f"{part.target}-layers"] = drawn.layer_chart(part, value)
        charts[f"{part.target}-place"] = drawn.place_chart(part, model, value)
        shown.append(section(model, part, value) | {"beyond": (beyond or {}).get(part.target, ())})
        answers = (responses or {}).get(part.target)
        if answers is not None and len(answers):
            charts[f"{part.target}-responses"] = drawn.response_chart(answers)
            if part.target == COMPONENT_TARGET:  # of a few voxels it would say nothing
                charts[f"{part.target}-categories"] = drawn.category_chart(answers)
            shown[-1]["responses_csv"] = encoded_csv(wide(answers))
        if cortex is not None and part.target in cortex.maps:
            found = cortex.maps[part.target]
            charts[f"{part.target}-cortex"] = cortex_chart(found, value)
            shown[-1]["cortex"] = True
            shown[-1]["viewer"] = part.target == cortex.viewed
            shown[-1]["cortex_note"] = cortex.note(part.target)
    library, data = scripts(charts)
    ranks = [row for part in parts for row in rank_rows(part)]
    return template("page.html").render(
        number=number,
        label=model,
        missing=missing,
        verdict=verdict(model, parts),
        parts=shown,
        ranks=ranks,
        has_sem=any(np.isfinite(row["sem"]) for row in ranks),
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
        viewer=_between_single_quotes(cortex.viewer) if cortex else "",
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


def _between_single_quotes(text: str) -> Any:
    """A page that may stand in an attribute between single quotes.

    Escaping what need not be escaped there would make it 0.4 MB longer.
    """
    from markupsafe import Markup

    return Markup(text.replace("&", "&amp;").replace("'", "&#39;"))


def _data(value: Any) -> str:
    """JSON that may stand in a script element, whatever names it holds."""
    return json.dumps(value).replace("<", "\\u003c")

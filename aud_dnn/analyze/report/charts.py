"""The charts of a report: Vega-Lite, made with Altair.

Altair is the choice because its charts are plain JSON that a reader can take out of the page, and
because everything that draws them is 0.9 MB in one script that is put into the page once (Bokeh 1.3
MB, Plotly 4.8 MB).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from aud_dnn.analyze.report.content import TargetPart
from aud_dnn.analyze.report.measured import BASELINE
from aud_dnn.conditions import CONDITIONS, Condition
from aud_dnn.targets.categories import SOUND_CATEGORIES
from aud_dnn.targets.facts import COMPONENT_TARGET

if TYPE_CHECKING:
    import altair as alt

# Okabe & Ito: safe for colour-blind readers, on light and dark ground
OURS, TWIN, THEIRS = "#D55E00", "#E69F00", "#0072B2"
_WIDTH, _HEIGHT = 300, 190


_CEILING_FROM = 0.6
"""Curves that come closer than this to the ceiling keep their shape with a rule at 1."""


def shows_ceiling(part: TargetPart) -> bool:
    """Whether the curves of a target hold the rule at 1.

    Components have none, and a rule far above the curves would flatten them.
    """
    highest = (part.curves["score"] + part.curves["error"].fillna(0.0)).max()
    return part.target != COMPONENT_TARGET and bool(highest >= _CEILING_FROM)


def layer_chart(part: TargetPart, value: str) -> dict[str, Any]:
    """Score at every layer, trained and permuted, a panel for every component or region.

    A dashed rule at 1 where :func:`shows_ceiling`.

    Parameters
    ----------
    part : TargetPart
    value : str
        What the scores are, for the axis.

    Returns
    -------
    dict
        A Vega-Lite specification.
    """
    import altair as alt

    data = part.curves.assign(
        low=part.curves["score"] - part.curves["error"],
        high=part.curves["score"] + part.curves["error"],
    )
    legend = alt.Legend(symbolOpacity=1)
    colors = alt.Scale(domain=list(CONDITIONS), range=[OURS, TWIN])
    layers = data.drop_duplicates("position").sort_values("position")["layer"].tolist()
    base = alt.Chart().encode(
        x=alt.X("layer:N", sort=layers, title=None, axis=alt.Axis(labelAngle=-45, labelLimit=110)),
    )
    line = base.mark_line(point=True).encode(
        color=alt.Color("condition:N", scale=colors, title=None, legend=legend),
        y=alt.Y("score:Q", title=value, scale=alt.Scale(zero=True)),
        tooltip=[
            alt.Tooltip("layer:N"),
            alt.Tooltip("condition:N"),
            alt.Tooltip("score:Q", format=".3f"),
            *_error_tooltips(part),
        ],
    )
    band = base.mark_area(opacity=0.2).encode(
        y=alt.Y("low:Q", title=value),
        y2="high:Q",
        color=alt.Color("condition:N", scale=colors, title=None, legend=legend),
    )
    layers_drawn = [band, line]
    if shows_ceiling(part):
        once = alt.Chart().transform_aggregate(n="count()")  # not once for every point
        layers_drawn.append(once.mark_rule(strokeDash=[4, 3], color="gray").encode(y=alt.datum(1)))
    chart = alt.layer(*layers_drawn, data=data).properties(width=_WIDTH, height=_HEIGHT)
    names = list(dict.fromkeys(data["part"]))
    return specification(chart.facet(alt.Facet("part:N", sort=names, title=None), columns=2))


def _error_tooltips(part: TargetPart) -> list[alt.Tooltip]:
    import altair as alt

    if part.target == COMPONENT_TARGET:
        return []
    return [
        alt.Tooltip("error:Q", format=".3f", title="95 % interval ±"),
        alt.Tooltip("sem:Q", format=".3f", title="within-participant s.e.m."),
    ]


def bar_chart(part: TargetPart, value: str) -> dict[str, Any]:
    """Scores at the best layer: trained, permuted, baseline, a group for every component or region.

    Parameters
    ----------
    part : TargetPart
    value : str
        What the scores are, for the axis.
    """
    import altair as alt

    error = part.bars["error"].fillna(0.0)
    data = part.bars.assign(low=part.bars["score"] - error, high=part.bars["score"] + error)
    shown = {**dict(zip(CONDITIONS, (OURS, TWIN))), BASELINE: THEIRS}
    shown = {name: color for name, color in shown.items() if name in set(data["condition"])}
    parts = list(dict.fromkeys(data["part"]))
    base = alt.Chart(data).encode(
        x=alt.X("part:N", sort=parts, title=None, axis=alt.Axis(labelAngle=0)),
        xOffset=alt.XOffset("condition:N", sort=list(shown)),
    )
    bars = base.mark_bar().encode(
        y=alt.Y("score:Q", title=value, scale=alt.Scale(zero=True)),
        color=alt.Color(
            "condition:N",
            scale=alt.Scale(domain=list(shown), range=list(shown.values())),
            title=None,
            legend=alt.Legend(orient="top"),
        ),
        tooltip=[
            "part:N",
            "condition:N",
            alt.Tooltip("score:Q", format=".3f"),
            *(_error_tooltips(part) or [alt.Tooltip("error:Q", format=".3f", title="±")]),
        ],
    )
    whiskers = base.mark_rule(color="gray", strokeWidth=2).encode(y="low:Q", y2="high:Q")
    width = 90 * len(parts)
    return specification((bars + whiskers).properties(width=width, height=_HEIGHT + 40))


def place_chart(part: TargetPart, label: str, value: str) -> dict[str, Any]:
    """The model among those of the paper, trained and permuted, best first.

    Parameters
    ----------
    part : TargetPart
    label : str
        Name of the model.
    value : str
        What the scores are.
    """
    import altair as alt

    ours = part.best.assign(label=label, whose="this model", error=part.best["error"].fillna(0.0))
    theirs = part.published.assign(whose="paper", score=part.published["value"])
    theirs = theirs.assign(error=theirs["reading_error"])
    theirs = theirs[theirs["part"].isin(part.parts)]
    columns = ["part", "label", "condition", "whose", "score", "error"]
    data = pd.concat([ours[columns], theirs[columns]], ignore_index=True)
    data["condition"] = data["condition"].replace({"none": "acoustic"})
    data["low"], data["high"] = data["score"] - data["error"], data["score"] + data["error"]
    charts = []
    for name in part.parts:
        rows = data[data["part"] == name]
        order = (
            rows[rows["condition"] != Condition.PERMUTED]
            .sort_values("score", ascending=False)["label"]
            .tolist()
        )
        base = alt.Chart(rows, title=name).encode(
            y=alt.Y("label:N", sort=order, title=None),
            color=alt.Color(
                "whose:N",
                scale=alt.Scale(domain=["this model", "paper"], range=[OURS, THEIRS]),
                title=None,
            ),
        )
        points = base.mark_point(filled=True, size=55).encode(
            x=alt.X("score:Q", title=value, scale=alt.Scale(zero=True)),
            shape=alt.Shape(
                "condition:N",
                scale=alt.Scale(
                    domain=["trained", "permuted", "acoustic"], range=["circle", "cross", "diamond"]
                ),
                title=None,
            ),
            tooltip=[
                alt.Tooltip("label:N", title="model"),
                alt.Tooltip("condition:N"),
                alt.Tooltip("score:Q", format=".3f"),
                alt.Tooltip("error:Q", format=".3f", title="±"),
            ],
        )
        bars = base.mark_rule().encode(x="low:Q", x2="high:Q")
        charts.append((points + bars).properties(width=_WIDTH, height=16 * len(order) + 20))
    return specification(alt.concat(*charts, columns=2))


def _category_scale() -> alt.Scale:
    import altair as alt

    categories = SOUND_CATEGORIES.values()
    return alt.Scale(
        domain=[one.display_name for one in categories], range=[one.color for one in categories]
    )


def response_chart(responses: pd.DataFrame) -> dict[str, Any]:
    """Predicted against measured responses, a point for every sound.

    Parameters
    ----------
    responses : DataFrame
        See :func:`aud_dnn.analyze.report.responses.component_responses`.
    """
    import altair as alt

    chart = (
        alt.Chart(responses)
        .mark_point(filled=True, size=30, opacity=0.8)
        .encode(
            x=alt.X("measured:Q", title="measured", scale=alt.Scale(zero=False)),
            y=alt.Y("predicted:Q", title="predicted", scale=alt.Scale(zero=False)),
            color=alt.Color("category:N", scale=_category_scale(), title=None),
            tooltip=["sound:N", "category:N"]
            + [alt.Tooltip(f"{name}:Q", format=".2f") for name in ("measured", "predicted")],
        )
        .properties(width=220, height=220)
    )
    names = list(dict.fromkeys(responses["part"]))
    return specification(
        chart.facet(alt.Facet("part:N", sort=names, title=None), columns=3).resolve_scale(
            x="independent", y="independent"
        )
    )


def category_chart(responses: pd.DataFrame) -> dict[str, Any]:
    """Mean response to every category of sounds, measured and predicted.

    Parameters
    ----------
    responses : DataFrame
        See :func:`response_chart`.
    """
    import altair as alt

    means = (
        responses.groupby(["part", "category"], sort=False)[["measured", "predicted"]]
        .mean()
        .reset_index()
        .melt(["part", "category"], var_name="response", value_name="mean")
    )
    order = [one.display_name for one in SOUND_CATEGORIES.values()]
    chart = (
        alt.Chart(means)
        .mark_point(filled=True, size=60)
        .encode(
            x=alt.X("mean:Q", title="mean response"),
            y=alt.Y("category:N", sort=order, title=None),
            color=alt.Color(
                "response:N",
                scale=alt.Scale(domain=["measured", "predicted"], range=[THEIRS, OURS]),
                title=None,
            ),
            shape=alt.Shape(
                "response:N",
                scale=alt.Scale(domain=["measured", "predicted"], range=["circle", "diamond"]),
                title=None,
            ),
            tooltip=["category:N", "response:N", alt.Tooltip("mean:Q", format=".2f")],
        )
        .properties(width=180, height=190)
    )
    names = list(dict.fromkeys(means["part"]))
    return specification(
        chart.facet(alt.Facet("part:N", sort=names, title=None), columns=3).resolve_scale(
            x="independent"
        )
    )


def specification(chart: alt.TopLevelMixin) -> dict[str, Any]:
    """As JSON, without a ground of its own, so that it stands on light and dark pages.

    The data are written as CSV, a third of the size: names of columns stand once, and numbers have
    six digits.
    """
    found = chart.configure(background="transparent").to_dict()
    found["datasets"] = {
        name: pd.DataFrame(rows).to_csv(index=False, float_format="%.6g", lineterminator="\n")
        for name, rows in found["datasets"].items()
    }
    _declare_csv(found)
    return found


def _declare_csv(part: Any) -> None:
    """Say of every data set that is named in a specification that it is CSV."""
    if isinstance(part, list):
        for one in part:
            _declare_csv(one)
    elif isinstance(part, dict):
        data = part.get("data")
        if isinstance(data, dict) and "name" in data:
            data["format"] = {"type": "csv"}
        for name, one in part.items():
            if name != "datasets":
                _declare_csv(one)

"""Scores of a series of checkpoints against the training step, on one page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aud_dnn.analyze.report.charts import OURS, THEIRS, TWIN, specification
from aud_dnn.analyze.report.page import scripts, template
from aud_dnn.analyze.report.sections import encoded_csv
from aud_dnn.conditions import CONDITIONS
from aud_dnn.io.atomic import atomic_file
from aud_dnn.paths import ProjectPaths

if TYPE_CHECKING:
    import pandas as pd

SERIES_FILE = "checkpoints.html"
_NUMBER = re.compile(r"\d+")


def checkpoint_steps(files: Sequence[str]) -> tuple[list[int], list[str]]:
    """Training steps and short names of checkpoints, from their paths without endings.

    The step is the last number in the paths that differs between all of them; where there is none,
    the files are counted in the order given.

    Examples
    --------
    >>> checkpoint_steps(["run2/step_100", "run2/step_2000"])
    ([100, 2000], ['step_100', 'step_2000'])
    >>> checkpoint_steps(["run/10/model", "run/20/model"])
    ([10, 20], ['10_model', '20_model'])
    >>> checkpoint_steps(["first", "last"])
    ([1, 2], ['first', 'last'])
    """
    split = [file.split("/") for file in files]
    for depth in range(1, max(map(len, split)) + 1):
        labels = ["_".join(parts[-depth:]) for parts in split]
        if len(set(labels)) == len(files):
            break
    numbers = [_NUMBER.findall(file) for file in files]
    if len(set(map(len, numbers))) == 1:
        for column in reversed(list(zip(*numbers))):
            steps = list(map(int, column))
            if len(set(steps)) == len(files):
                return steps, labels
    return list(range(1, len(files) + 1)), labels


def series_chart(table: pd.DataFrame) -> dict[str, Any]:
    """Score at the best layer against the training step, a panel for every component or target.

    Parameters
    ----------
    table : DataFrame
        Columns ``step``, ``name``, ``score``, ``error``, ``twin``, ``baseline``, ``layer``.

    Returns
    -------
    dict
        A Vega-Lite specification.
    """
    import altair as alt

    long = table.rename(columns=dict(zip(("score", "twin"), CONDITIONS))).melt(
        ["step", "name", "error", "layer"],
        [*CONDITIONS, "baseline"],
        var_name="which",
        value_name="value",
    )
    long["which"] = long["which"].replace({"baseline": "acoustic baseline"})
    of_network = long["which"] == CONDITIONS[0]
    error = long["error"].where(of_network, 0.0).fillna(0.0)
    long = long.assign(low=long["value"] - error, high=long["value"] + error).dropna(
        subset=["value"]
    )
    long["layer"] = long["layer"].where(of_network, "")
    looks = {CONDITIONS[0]: (OURS, [1, 0]), CONDITIONS[1]: (TWIN, [6, 3])}
    looks["acoustic baseline"] = THEIRS, [2, 2]
    shown = [name for name in looks if name in set(long["which"])]
    colors = alt.Scale(domain=shown, range=[looks[name][0] for name in shown])
    dashes = alt.Scale(domain=shown, range=[looks[name][1] for name in shown])
    base = alt.Chart().encode(
        x=alt.X("step:Q", title="training step"),
        color=alt.Color("which:N", scale=colors, title=None, legend=alt.Legend(symbolOpacity=1)),
    )
    line = base.mark_line(point=True).encode(
        y=alt.Y("value:Q", title="score at the best layer", scale=alt.Scale(zero=True)),
        strokeDash=alt.StrokeDash("which:N", scale=dashes, legend=None),
        tooltip=["step:Q", "which:N", alt.Tooltip("value:Q", format=".3f"), "layer:N"],
    )
    band = base.mark_area(opacity=0.2).encode(y="low:Q", y2="high:Q")
    chart = alt.layer(band, line, data=long).properties(width=300, height=190)
    names = list(dict.fromkeys(table["name"]))
    return specification(chart.facet(alt.Facet("name:N", sort=names, title=None), columns=2))


def write_series(paths: ProjectPaths, name: str, table: pd.DataFrame, command: str) -> Path:
    """Write ``results/<name>/checkpoints.html`` and ``checkpoints.csv``.

    Parameters
    ----------
    paths : ProjectPaths
    name : str
    table : DataFrame
        See :attr:`aud_dnn.api.score_checkpoints.CheckpointSeries.table`.
    command : str
        What makes the page again.

    Returns
    -------
    Path
        The page.
    """
    best = table.loc[table.groupby("name", sort=False)["score"].idxmax()]
    last = table[table["step"] == table["step"].max()].set_index("name")["score"]
    library, charts = scripts({"series": series_chart(table)})
    html = template("series.html").render(
        label=name,
        n_checkpoints=table["model"].nunique(),
        rows=[
            {
                "name": row["name"],
                "best": f"{row['score']:.3f}",
                "step": row["step"],
                "layer": row["layer"],
                "last": f"{last[row['name']]:.3f}",
            }
            for row in best.to_dict("records")
        ],
        models=list(dict.fromkeys(zip(table["step"], table["model"]))),
        csv=encoded_csv(table),
        command=command,
        library=library,
        charts=charts,
    )
    path = paths.results / name / SERIES_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path.with_suffix(".csv")) as staging:
        table.to_csv(staging, index=False)
    with atomic_file(path) as staging:
        staging.write_text(html, encoding="utf-8")
    return path

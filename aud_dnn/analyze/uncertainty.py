"""Models in order, with intervals over participants, sounds and both, and of their ranks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from aud_dnn.analyze.figure_options import FigureOptions
from aud_dnn.analyze.plotting.drawings import Drawing, Drawings, new_figure
from aud_dnn.analyze.plotting.print_style import paper_style
from aud_dnn.analyze.plotting.style import display_name, note_below
from aud_dnn.models.figure_sets import FIGURE_2_MODELS
from aud_dnn.paths import ProjectPaths
from aud_dnn.tables.uncertainty import Uncertainty, uncertainty_of

_LEGEND: dict = {
    "loc": "lower center",
    "bbox_to_anchor": (0.5, 1.0),
    "ncol": 3,
    "frameon": False,
    "fontsize": 9,
}
_MOST_SHOWN = 40
# thin on top of thick, so that none is hidden, whichever is the longest
_WIDTHS = {"participants": (7, "#7fa6c4"), "sounds": (3.5, "#e08e45"), "both": (1.2, "#222222")}


def figure_uncertainty(paths: ProjectPaths, options: FigureOptions | None = None) -> Drawings:
    """Pictures and tables of every data set: scores with intervals, and all differences of networks
    and of regions.
    """
    options = options or FigureOptions()
    drawings = Drawings()
    for target in options.targets:
        with drawings.attempt():
            found = uncertainty_of(
                paths, options.models(FIGURE_2_MODELS), target, conditions=options.conditions
            )
            drawings.notes += [f"Not drawn: {line}" for line in found.missing[:1]]
            drawings.append(_picture(found, target))
            if len(found.differences):
                drawings.append(_differences(found.differences, "differences", target))
            if len(found.regions):
                drawings.append(_differences(found.regions, "regions", target))
    return drawings


def _lines(ax: Axes, rows: pd.DataFrame, value: str) -> None:
    places = np.arange(len(rows))[::-1]
    for over, (width, colour) in _WIDTHS.items():
        ax.hlines(
            places,
            rows[f"low_{over}"],
            rows[f"high_{over}"],
            linewidth=width,
            color=colour,
            label=f"over {over}",
        )
    ax.plot(rows[value], places, "o", color="black", markersize=4)
    ax.set_ylim(-0.7, len(rows) - 0.3)


def _shown(network: str) -> str:
    model, _, condition = network.partition(" (")
    return f"{display_name(model)}{f' ({condition}' if condition else ''}"


def _picture(found: Uncertainty, target: str) -> Drawing:
    rows = found.scores.sort_values("score", ascending=False, kind="stable")
    with paper_style():
        figure = new_figure(8, 1.8 + 0.34 * len(rows))
        left, right = figure.subplots(1, 2, width_ratios=(3, 1), sharey=True)
        _lines(left, rows, "score")
        places = np.arange(len(rows))[::-1]
        left.set_yticks(places, [_shown(name) for name in rows["network"]], fontsize=10)
        left.set_xlabel("noise-corrected R²")
        right.hlines(places, rows["rank_low"], rows["rank_high"], linewidth=4, color="black")
        right.plot(rows["rank_low"], places, "|", color="black")
        right.set_xlim(0.5, len(rows) + 0.5)
        right.set_xlabel("rank")
        left.legend(
            loc="lower center", bbox_to_anchor=(0.5, 1.02), ncol=3, frameon=False, fontsize=9
        )
        figure.suptitle(target, y=1.06)
        note_below(figure, [_NOTE])
    return Drawing(figure, f"uncertainty_{target}", rows.set_index("network"), ("png", "svg"))


def _pair(row: pd.Series, name: Callable[[str], str]) -> str:
    if "region" in row:
        return f"{name(row['network'])}: {row['region']} − {row['other']}"
    return f"{name(row['network'])} − {name(row['other'])}"


def _differences(table: pd.DataFrame, what: str, target: str) -> Drawing:
    """The largest differences, of networks or regions; the table holds all."""
    rows = table.reindex(table["difference"].abs().sort_values(ascending=False).index)
    rows = rows.assign(pair=rows.apply(_pair, axis=1, name=str))
    shown = rows.head(_MOST_SHOWN)
    with paper_style():
        figure = new_figure(8, 1.8 + 0.3 * len(shown))
        ax = figure.add_subplot()
        _lines(ax, shown, "difference")
        ax.set_yticks(
            np.arange(len(shown))[::-1], shown.apply(_pair, axis=1, name=_shown), fontsize=8
        )
        ax.axvline(0, color="black", linewidth=0.8)
        ax.set_xlabel("difference of noise-corrected R²")
        ax.legend(**_LEGEND)
        ax.set_title(target, pad=32)  # points, above the legend however tall the picture is
        more = "" if len(shown) == len(rows) else f" The largest {len(shown)} of {len(rows)} pairs."
        note_below(figure, [_NOTE + more])
    return Drawing(figure, f"uncertainty-{what}_{target}", rows.set_index("pair"), ("png", "svg"))


_NOTE = (
    "95 % intervals: Student's t over participants; bootstrap over test sounds for fixed fits; "
    "both, corrected (Schütt et al. 2023). Layer with the best leave-one-out R² of the training "
    "sounds in each split. Ranks: all pairs, both factors, Holm."
)

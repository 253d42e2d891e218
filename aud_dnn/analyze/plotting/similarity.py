"""Layers by ten measures of similarity, and where the measures disagree."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib import colormaps

from aud_dnn.analyze.plotting.drawings import Drawing, new_figure
from aud_dnn.analyze.plotting.print_style import paper_style
from aud_dnn.analyze.plotting.style import note_below

_LONGEST = 14  # layers whose names stand below the axis


def layer_lines(table: pd.DataFrame, *, stem: str) -> Drawing:
    """A panel per measure, a line per model; the ceiling dashed, the null grey.

    Parameters
    ----------
    table : DataFrame
        :func:`aud_dnn.tables.similarity.layers_table` of one target, part and condition.
    stem : str
        Of the file name.
    """
    measures, models = (list(dict.fromkeys(table[name])) for name in ("measure", "model"))
    colours = colormaps["turbo"](np.linspace(0.08, 0.92, len(models)))
    n_columns = 5
    n_rows = -(-len(measures) // n_columns)
    with paper_style():
        figure = new_figure(3.0 * n_columns, 2.9 * n_rows + 0.4)
        grid = figure.subplots(
            n_rows,
            n_columns,
            squeeze=False,
            gridspec_kw={"hspace": 0.75 if len(models) == 1 else 0.4},
        )
        for ax in grid.ravel()[len(measures) :]:
            ax.set_axis_off()
        for ax, measure in zip(grid.ravel(), measures):
            here = table[table["measure"] == measure]
            for model, colour in zip(models, colours):
                rows = here[here["model"] == model]
                alone = len(models) == 1
                x = np.arange(len(rows)) if alone else rows["position"].fillna(0.5)
                score, error = rows["score"].to_numpy(), rows["error"].fillna(0).to_numpy()
                ax.plot(x, score, marker="o", markersize=3, color=colour, label=model)
                if len(rows) == 1:
                    ax.errorbar(x, score, error, color=colour, capsize=2)
                ax.fill_between(x, score - error, score + error, color=colour, alpha=0.18, lw=0)
                if alone and len(rows) <= _LONGEST:
                    ax.set_xticks(x, rows["layer"], rotation=90, fontsize=6)
            null, spread = here["null"].mean(), here["null_sd"].mean()
            ax.axhspan(null - 2 * spread, null + 2 * spread, color="#b9b9b9", alpha=0.5, lw=0)
            ax.axhline(here["ceiling"].iloc[0], color="black", linestyle="--", linewidth=1)
            ax.set_title(measure, fontsize=10)
            ax.tick_params(labelsize=8)
        for ax in grid[:, 0]:
            ax.set_ylabel("similarity", fontsize=9)
        last = "layer" if len(models) == 1 else "relative position of the layer"
        figure.supxlabel(last, fontsize=9, y=-0.08 if len(models) == 1 else 0.0)
        target, part, condition = (table[name].iloc[0] for name in ("target", "part", "condition"))
        named = models[0] if len(models) == 1 else f"{len(models)} models"
        figure.suptitle(f"{named} ({condition}) and {target}, {part}", y=1.0)
        if len(models) > 1:
            handles, labels = grid[0, 0].get_legend_handles_labels()
            figure.legend(
                handles, labels, loc="center left", bbox_to_anchor=(0.92, 0.5), frameon=False
            )
        note_below(
            figure,
            [
                f"Mean over {table['n'].max()} participants, band: 95 % interval. Dashed: each "
                "participant against the others, by the same measure. Grey: layers with their "
                "sounds in random order, mean ± 2 standard deviations.",
            ],
        )
    return Drawing(figure, stem, table, formats=("png", "svg"))


def agreement_map(table: pd.DataFrame, *, stem: str) -> Drawing | None:
    """Kendall's tau of every pair of measures: models above the diagonal, layers below it.

    Parameters
    ----------
    table : DataFrame
        :func:`aud_dnn.tables.similarity.agreement_table` of one target, part and condition.
    stem : str

    Returns
    -------
    Drawing or None
        None where neither three models nor three layers can be ordered.
    """
    if table.empty or not table[["models", "layers"]].notna().any(axis=None):
        return None
    names = list(dict.fromkeys([*table["first"], *table["second"]]))
    values = np.full((len(names), len(names)), np.nan)
    for row in table.itertuples():
        first, second = names.index(row.first), names.index(row.second)
        values[first, second], values[second, first] = row.models, row.layers
    with paper_style():
        figure = new_figure(7.2, 6.2)
        ax = figure.subplots()
        image = ax.imshow(values, cmap="RdBu_r", vmin=-1, vmax=1)
        for y, x in zip(*np.nonzero(np.isfinite(values))):
            shade = "white" if abs(values[y, x]) > 0.7 else "black"
            ax.text(x, y, f"{values[y, x]:.2f}", ha="center", va="center", fontsize=8, color=shade)
        ax.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
        ax.set_yticks(range(len(names)), names)
        ax.tick_params(labelsize=9)
        bar = figure.colorbar(image, ax=ax, shrink=0.8)
        bar.set_label("Kendall's tau-b", fontsize=9)
        bar.ax.tick_params(labelsize=8)
        target, part, condition = (table[name].iloc[0] for name in ("target", "part", "condition"))
        ax.set_title(f"Do measures agree? {target}, {part} ({condition})", fontsize=11)
        note_below(
            figure,
            [
                "Above the diagonal: order of the models, if there are three at least "
                f"(here {table['n_models'].iloc[0]}).",
                "Below it: order of the layers of a model, mean over models.",
            ],
        )
    return Drawing(figure, stem, table, formats=("png", "svg"))

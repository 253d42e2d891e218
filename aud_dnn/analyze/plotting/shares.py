"""What a network and other feature spaces explain: unique and shared variance, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from aud_dnn.analyze.plotting.drawings import Drawing, new_figure
from aud_dnn.analyze.plotting.print_style import paper_style
from aud_dnn.analyze.plotting.style import note_below
from aud_dnn.methods.ridge.banded import subsets
from aud_dnn.tables.unique_variance import set_name, share_name

_COLOURS = {
    2: ("#33658a", "#e08e45", "#b9b9b9"),
    3: ("#33658a", "#e08e45", "#6a994e", "#b9b9b9", "#9fb8c9", "#d9c2ad", "#7f7f7f"),
}
"""Unique to each space, then shared."""

_MOST_PANELS = 12

LABELS = {
    "r2_test": "R²",
    "r2_test_c": "R², noise-corrected",
    "explained": "explained variance",
    "explained_c": "explained variance, noise-corrected",
}


def shares_bars(
    table: pd.DataFrame, others: Sequence[str], *, model: str, measure: str, stem: str
) -> Drawing:
    """Stacked bars, one per layer and one panel per part; a line where all spaces explain together.

    Parameters
    ----------
    table : DataFrame
        :func:`aud_dnn.tables.unique_variance.shares_table` of one model, target and condition.
    others : sequence of str
        The other spaces, ``model:layer``.
    model, measure : str
    stem : str
        Of the file name.
    """
    table = table[table["measure"] == measure]
    table = table[table["time"].isna()]
    layers = list(dict.fromkeys(table["layer"]))
    every = list(dict.fromkeys(table["part"]))
    panels = every[:_MOST_PANELS]
    members = subsets(1 + len(others))
    colours = _COLOURS[1 + len(others)]
    places = np.arange(len(layers))
    short = (model, *(other.partition(":")[0] for other in others))
    names = [share_name(one, short) for one in members]
    with paper_style():
        width = max(2.2, 0.26 * len(layers) + 1.2)
        figure = new_figure(width * len(panels) + 2.2, 4.2)
        axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for ax, part in zip(axes, panels):
            here = table[table["part"] == part].set_index(["layer", "share"])["value"]
            spaces = [(f"{model}:{layer}", *others) for layer in layers]
            below, above = np.zeros(len(layers)), np.zeros(len(layers))
            for one, colour, name in zip(members, colours, names):
                heights = np.array(
                    [here[layer, share_name(one, of)] for layer, of in zip(layers, spaces)]
                )
                start = np.where(heights < 0, below, above)
                ax.bar(places, heights, 0.8, bottom=start, color=colour, label=name)
                below, above = (
                    below + np.minimum(heights, 0),
                    above + np.maximum(heights, 0),
                )
            together = [here[layer, set_name(members[-1], of)] for layer, of in zip(layers, spaces)]
            ax.plot(
                places,
                together,
                linestyle="none",
                marker="_",
                markersize=9,
                color="black",
                label="explained together",
            )
            ax.axhline(0, color="black", linewidth=0.8)
            ax.set_xticks(places, layers, rotation=60, ha="right", rotation_mode="anchor")
            ax.set_title(str(part), fontsize=11)
        top = max(1.0, axes[0].get_ylim()[1]) if measure.startswith("r2") else None
        axes[0].set_ylim(top=top)
        axes[0].set_ylabel(LABELS[measure])
        axes[-1].legend(loc="center left", bbox_to_anchor=(1.03, 0.5), frameon=False, fontsize=9)
        target, condition = table["target"].iloc[0], table["condition"].iloc[0]
        figure.suptitle(f"{model} ({condition}) beyond {' and '.join(others)}: {target}", y=1.03)
        note_below(
            figure,
            [
                "Banded ridge regression. Of every voxel the median over splits, means over voxels "
                "and participants: parts add up. A share below zero is drawn below the axis.",
                *(
                    [f"The first {len(panels)} of {len(every)} parts; the csv file has all."]
                    if len(every) > len(panels)
                    else []
                ),
            ],
        )
    return Drawing(figure, stem, table, formats=("png", "svg"))

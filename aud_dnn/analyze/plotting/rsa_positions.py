"""Relative positions of the best layers by region (Figure 7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from aud_dnn.analyze.plotting.drawings import Drawing, new_figure
from aud_dnn.analyze.plotting.print_style import paper_style
from aud_dnn.analyze.plotting.rsa_scores import FORMATS, MOST_BARS, finish
from aud_dnn.analyze.plotting.style import display_name, identity_line, model_styles, suffix
from aud_dnn.models.figure_sets import FIGURE_7_MODELS
from aud_dnn.stats import check_statistics
from aud_dnn.tables.comparison_models import position_table, position_test_table

_SMALLEST_IN_FULL = 0.5e-5  # with five decimals, a smaller p would read 0.00000


def position_scatter(
    datasets: Mapping[tuple[str, str], xr.Dataset],
    target: str,
    condition: str,
    *,
    models: Sequence[str] = FIGURE_7_MODELS,
    prefix: str = "FIG7_15Models_",
    statistics: str = "published",
    palette: str = "paper",
) -> Drawing:
    """Relative position of the best layer, Primary against each other region, one point per model.

    Parameters
    ----------
    datasets : mapping from (target, region) to Dataset
    target : str
    condition : {"trained", "permuted"}
    models : sequence of str
        Models with a single layer have no positions and are left out.
    prefix : str
    statistics : {"published", "recommended"}
        Published: errors over sqrt(models - 1) and the asymptotic Wilcoxon p. Recommended:
        95 % intervals over participants and the exact p. The effect sizes are the same.
    palette : str
    """
    check_statistics(statistics)
    published = statistics == "published"
    positions = position_table(
        {pair: dataset for pair, dataset in datasets.items() if pair[0] == target}, models
    )
    positions = positions[positions["condition"] == condition]
    tests = position_test_table(positions)
    error = "sem_published" if published else "interval_participants"
    wide = positions.pivot(index="model", columns="roi", values=["position", error])
    shown = [model for model in models if model in wide.index]
    styles = model_styles(shown, palette)
    title = f"{prefix}{target}_{condition.capitalize()}"
    with paper_style():
        figure = new_figure(12, 4)
        axes = figure.subplots(1, 3)
        for ax, roi in zip(axes, ("Anterior", "Lateral", "Posterior")):
            if (target, roi) not in datasets or (target, "Primary") not in datasets:
                ax.set_axis_off()
                continue
            for model in shown:
                row, style = wide.loc[model], styles[model]
                ax.errorbar(
                    row["position", "Primary"],
                    row["position", roi],
                    xerr=row[error, "Primary"],
                    yerr=row[error, roi],
                    fmt=style.marker,
                    color=style.color,
                    markersize=7,
                    elinewidth=1.5,
                )
            _position_axes(ax, roi)
            test = tests[tests["roi"] == roi] if len(tests) else tests
            if len(test):
                row = test.iloc[0]
                p = row["p_asymptotic" if published else "p_exact"]
                effects = (
                    f"\nrank-biserial {row['rank_biserial']:.2f}, CLES {row['cles']:.2f}, d "
                    f"{row['cohens_d']:.2f}"
                    if np.isfinite(row["rank_biserial"])
                    else ""
                )
                p_value = f"{p:.1e}" if p < _SMALLEST_IN_FULL else f"{p:.5f}"
                ax.set_title(
                    f"{prefix}{roi}\nWilcoxon Test {row['w']:g}, p-value: {p_value}{effects}",
                    fontsize=9,
                )
        figure.suptitle(title, y=1.04, fontsize=12)
        figure.legend(
            handles=[
                Line2D(
                    [],
                    [],
                    linestyle="none",
                    marker=styles[model].marker,
                    color=styles[model].color,
                    markersize=8,
                    label=display_name(model),
                )
                for model in shown
            ],
            loc="center left",
            bbox_to_anchor=(0.92, 0.5),
            frameon=False,
            fontsize=9,
            ncols=1 + (len(shown) > MOST_BARS),
        )
        figure.subplots_adjust(wspace=0.3, bottom=0.16)
        finish(
            figure,
            [
                (
                    "As published: errors over √(models − 1); p from the normal approximation."
                    if published
                    else "Recommended: errors are 95 % intervals over participants (Student's t); "
                    "exact p."
                )
                + " Effect sizes: region of the y axis above Primary."
            ],
            [model for model in models if model not in shown],
            "layer positions",
        )
    table = (
        positions.merge(
            tests.drop(columns=["reference"]), how="left", on=["target", "condition", "roi"]
        )
        if len(tests)
        else positions
    )
    return Drawing(
        figure, f"{title}__all_roi_scatter{suffix(statistics)}", table.set_index("model"), FORMATS
    )


def _position_axes(ax: Axes, roi: str) -> None:
    ax.set(
        xlim=(-0.03, 1.03),
        ylim=(-0.03, 1.03),
        xticks=np.linspace(0, 1, 6),
        yticks=np.linspace(0, 1, 6),
        xlabel="Relative best layer, Primary",
        ylabel=f"Relative best layer, {roi}",
    )
    ax.set_box_aspect(1)
    identity_line(ax, alpha=0.6)

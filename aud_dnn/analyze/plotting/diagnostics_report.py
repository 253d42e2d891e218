"""How well the fits of a model went: a page for each layer, and what changes over the layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from aud_dnn.analyze.plotting.drawings import Drawing, new_figure
from aud_dnn.analyze.plotting.print_style import paper_style
from aud_dnn.analyze.plotting.style import display_name, layer_legend, mark_incomplete, roi_color
from aud_dnn.conditions import Condition
from aud_dnn.tables.fit_diagnostics import N_SINGLE_FITS
from aud_dnn.targets.facts import COMPONENT_TARGET, COMPONENTS

N_BINS = 500
_ACTUAL_AND_PREDICTED = {"paper": ("blue", "red"), "colorblind": ("#0072b2", "#d55e00")}
_OVERVIEW = (
    (
        "Constant predictions (%)",
        {
            "warning_constant_mean_PERC": "mean of repetitions",
            "warning_constant_splits_PERC": "single repetitions",
        },
    ),
    (
        "Mean over voxels of the median",
        {
            "r2_train_no_constant_warning_mean_MEDIAN": "$R^2$ train",
            "r2_test_no_constant_warning_mean_MEDIAN": "$R^2$ test",
        },
    ),
    ("Alpha at the edge (number)", {"total": "both ends", "upper": "largest", "lower": "smallest"}),
    (
        "Alpha at the edge (% of voxels × splits)",
        {
            "perc": "both ends",
            "warning_alphas_upper_PERC": "largest",
            "warning_alphas_lower_PERC": "smallest",
        },
    ),
    (
        "Median score by alpha",
        {"{value}_affected": "alpha at the edge in some split", "{value}_unaffected": "in none"},
    ),
    (
        "Share of all fits (%)",
        {"exceed1_r2_test_c_PERC": "corrected $R^2$ above 1", "neg_r_test_PERC": "negative r"},
    ),
    ("Voxels with median corrected $R^2$ above 1", {"exceed1_median_r2_test_c_COUNT": "number"}),
    (
        "Voxels with median corrected $R^2$ above 1 (%)",
        {"exceed1_median_r2_test_c_PERC": "percentage"},
    ),
)
_ONE_LINE = [label for label, lines in _OVERVIEW if len(lines) == 1]
_PERCENT_LIMIT = {"exceed1_median_r2_test_c_PERC": 50}


def _title(model: str, target: str, randnetw: bool, layer: str | None = None) -> str:
    what = f"{display_name(model)}{' randnetw' * randnetw}"
    return (
        f"{what}, {target}" if layer is None else f"{what}, {layer_legend(model, layer)}, {target}"
    )


# --- one layer ----------------------------------------------------------------------------------


def _compare(
    line: Axes,
    histogram: Axes,
    pairs: Sequence[tuple[pd.Series, str, str]],
    half: str,
    names: Sequence[str] | None,
) -> None:
    """Standard deviations of all voxels, one after the other and as histograms with common bins."""
    edges = np.histogram_bin_edges(np.concatenate([values for values, _, _ in pairs]), bins=N_BINS)
    for values, color, label in pairs:
        line.plot(
            np.arange(len(values)),
            values,
            color=color,
            label=label,
            rasterized=True,
            **({"marker": "o"} if names else {"linewidth": 0.4, "alpha": 0.7}),
        )
        histogram.hist(
            values,
            bins=edges,
            color=color,
            alpha=0.6,
            label=label,
            histtype="stepfilled",
            rasterized=True,
        )
    line.set(
        ylabel="Median std of responses", ylim=(0, None), xlabel="Component" if names else "Voxel"
    )
    line.set_title(f"{half} sounds", fontsize=12)
    if names:
        line.set_xticks(np.arange(len(names)), names)
    histogram.set(
        xlabel=f"Median std of responses, {half.lower()} sounds",
        ylabel="Components" if names else "Voxels",
    )


def layer_page(
    table: pd.DataFrame,
    *,
    model: str,
    layer: str,
    target: str,
    randnetw: bool,
    stem: str,
    reliability: str | None = None,
    palette: str = "paper",
) -> Drawing:
    """Everything about the fits of one layer, voxel by voxel.

    Parameters
    ----------
    table : DataFrame
        One row per voxel or component, columns of
        :func:`aud_dnn.tables.fit_diagnostics.voxel_diagnostics`.
    model, layer, target, stem : str
    randnetw : bool
    reliability : str, optional
        The column with the voxels' reliability; its panels are left out without one (components).
    """
    colors = _ACTUAL_AND_PREDICTED[palette]
    names = COMPONENTS if target == COMPONENT_TARGET else None
    n_rows = 3 if reliability else 2
    with paper_style():
        figure = new_figure(13, 3.6 * n_rows)
        grid = figure.add_gridspec(
            n_rows,
            6,
            left=0.07,
            right=0.985,
            bottom=0.2 / n_rows,
            top=1 - 0.23 / n_rows,
            wspace=1.3,
            hspace=0.35,
        )
        for column, half in enumerate(("test", "train")):
            line, histogram = (
                figure.add_subplot(grid[row, 3 * column : 3 * column + 3]) for row in (0, 1)
            )
            pairs = [
                (table[f"median_y_{kind}{half}_std_mean"], color, label)
                for kind, color, label in zip(("", "pred_"), colors, ("actual", "predicted"))
            ]
            _compare(line, histogram, pairs, {"test": "Test", "train": "Training"}[half], names)
        figure.legend(
            handles=[
                Patch(color=color, label=label)
                for color, label in zip(colors, ("actual", "predicted"))
            ],
            loc="upper right",
            ncols=2,
            frameon=False,
            fontsize=11,
            bbox_to_anchor=(0.985, 1),
        )
        if reliability:
            panels = (
                ("median_alphas", "Median alpha", None),
                ("n_warning_constant_mean", "Constant predictions (of 10)", 10),
                (
                    "n_warning_constant_splits",
                    f"Single repetitions (of {10 * N_SINGLE_FITS})",
                    10 * N_SINGLE_FITS,
                ),
            )
            for place, (column, label, most) in enumerate(panels):
                ax = figure.add_subplot(grid[2, 2 * place : 2 * place + 2])
                ax.scatter(
                    table[reliability],
                    table[column],
                    s=5,
                    alpha=0.4,
                    linewidths=0,
                    color=roi_color("none", palette),
                    rasterized=True,
                )
                ax.set(xlabel="Reliability of the voxel", ylabel=label)
                if most is None:
                    ax.set_yscale("log")
                else:
                    ax.set_ylim(-0.03 * most, 1.03 * most)
        figure.suptitle(_title(model, target, randnetw, layer), y=0.995)
    return Drawing(figure, stem, table, formats=("png",))


# --- over the layers ----------------------------------------------------------------------------


def _label_layers(ax: Axes, model: str, layers: Sequence[str]) -> None:
    ax.set_xticks(
        np.arange(len(layers)),
        [layer_legend(model, layer) for layer in layers],
        rotation=60,
        ha="right",
        rotation_mode="anchor",
        fontsize=7 if len(layers) > 20 else 9,
    )
    ax.set_xlim(-0.5, len(layers) - 0.5)


def fit_overview(
    table: pd.DataFrame,
    *,
    model: str,
    target: str,
    randnetw: bool,
    stem: str,
    palette: str = "paper",
    notes: Sequence[str] = (),
) -> Drawing:
    """Panels over the layers.

    Constant predictions, train against test, alphas at the edge, scores above 1.

    Parameters
    ----------
    table : DataFrame
        One row per layer, columns of :func:`aud_dnn.tables.fit_diagnostics.fit_statistics` and
        :func:`aud_dnn.tables.fit_diagnostics.alpha_statistics`. Panels without a column are left
        out.
    notes : sequence of str
        What to say below the picture.
    """
    value = next(
        (
            column.removesuffix("_affected")
            for column in table
            if column.endswith("_affected") and column.startswith("median_")
        ),
        "median_",
    )  # named after the score: voxels, components
    panels = [
        (label, found)
        for label, lines in _OVERVIEW
        if (
            found := {
                column: name
                for key, name in lines.items()
                if (column := key.format(value=value)) in table
            }
        )
    ]
    colors = (roi_color("none", palette), roi_color("any_roi", palette), "0.55")
    n_rows = -(-len(panels) // 2)
    with paper_style():
        figure = new_figure(13, 2.9 * n_rows + 1.2)
        figure.set_layout_engine("constrained")
        axes = figure.subplots(n_rows, 2, sharex=True, squeeze=False).ravel()
        for ax, (label, lines) in zip(axes, panels):
            values = table[list(lines)].astype(float)
            for color, width, (column, name) in zip(colors, (3, 1.5, 1.5), lines.items()):
                ax.plot(
                    np.arange(len(table)),
                    values[column],
                    marker="o",
                    markersize=4,
                    color=color,
                    label=name,
                    linewidth=width,
                )
            if not values.notna().any(axis=None):
                ax.text(
                    0.5, 0.5, "none", transform=ax.transAxes, ha="center", va="center", color="grey"
                )
            highest = values.max(axis=None)
            limit = max((_PERCENT_LIMIT.get(column, 0) for column in lines), default=0)
            top = max(limit, 1.05 * highest) if highest > 0 or limit else 1
            ax.set_ylim(-0.02 * top, top)
            ax.set_title(label, fontsize=11)
            if label not in _ONE_LINE:
                ax.legend(frameon=False, fontsize=9)
        for ax in axes[len(panels) :]:
            ax.set_axis_off()
        for ax in axes[max(len(panels) - 2, 0) :]:
            ax.tick_params(labelbottom=True)
            _label_layers(ax, model, list(table.index))
        figure.suptitle(_title(model, target, randnetw))
        figure.draw_without_rendering()
        mark_incomplete(figure, (), notes=notes)
    return Drawing(figure, stem, table)


def statistic_lines(
    tables: Mapping[str, pd.DataFrame],
    name: str,
    *,
    model: str,
    target: str,
    stem: str,
    palette: str = "paper",
) -> Drawing:
    """One number at every layer, trained and permuted.

    Parameters
    ----------
    tables : mapping of condition to DataFrame
        ``{"trained": …, "permuted": …}`` with one row per layer and the column ``name``.
    """
    with paper_style():
        figure = new_figure(7, 5)
        ax = figure.add_subplot()
        for condition, table in tables.items():
            ax.plot(
                np.arange(len(table)),
                table[name].astype(float),
                marker="o",
                markersize=4,
                color=roi_color("none", palette),
                alpha=0.3 if condition == Condition.PERMUTED else 1,
                label=f"{condition.capitalize()} network",
            )
        first = next(iter(tables.values()))
        _label_layers(ax, model, list(first.index))
        ax.set_ylabel(name, fontsize=10)
        ax.set_title(_title(model, target, False), fontsize=12)
        ax.legend(frameon=False, fontsize=10)
    return Drawing(
        figure, stem, pd.DataFrame({condition: table[name] for condition, table in tables.items()})
    )

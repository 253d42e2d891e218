"""Models (or layers) as points.

Seeds, layer positions, components against each other, consistency, dimensionality.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MultipleLocator

from aud_dnn import stats
from aud_dnn.analyze.plotting.style import (
    Drawing,
    PointStyle,
    component_name,
    condition_suffix,
    display_name,
    format_p,
    identity_line,
    mark_incomplete,
    model_styles,
    new_figure,
    paper_style,
    value_label,
)
from aud_dnn.models.registry import MODELS
from aud_dnn.tables.across_models import AcrossModels, ComponentScores, RegionPositions
from aud_dnn.tables.per_model import CV_NAME
from aud_dnn.targets.facts import COMPONENT_TARGET, COMPONENTS

_OVER_POINTS = {
    "zorder": 3,
    "bbox": {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1},
}
"""Keeps text legible where a point lies beneath it."""


@dataclass(frozen=True)
class Limits:
    """Axis limits of the paper; None leaves them to the data, equal on both axes where ``equal``.

    ``step`` is the distance of ticks on an axis that has its limits.
    """

    x: tuple[float, float] | None = None
    y: tuple[float, float] | None = None
    equal: bool = True
    step: float | None = None

    def apply(self, ax: Axes, x: np.ndarray, y: np.ndarray) -> None:
        """Set them; limits that would hide a point are given up for automatic ones."""
        chosen = {}
        for name, limits, values in (("x", self.x, x), ("y", self.y, y)):
            if limits is not None and values.min() >= limits[0] and values.max() <= limits[1]:
                chosen[f"{name}lim"] = limits
        if self.equal and len(chosen) < 2:
            low = min(ax.get_xlim()[0], ax.get_ylim()[0])
            high = max(ax.get_xlim()[1], ax.get_ylim()[1])
            margin = 0.03 * (high - low)  # that of the narrower axis is too little here
            chosen = dict.fromkeys(("xlim", "ylim"), (low - margin, high + margin))
        elif self.step is not None:
            for name in chosen:
                getattr(ax, f"{name[0]}axis").set_major_locator(MultipleLocator(self.step))
        ax.set(**chosen)


def draw_points(
    ax: Axes,
    x: np.ndarray,
    y: np.ndarray,
    styles: Sequence[PointStyle],
    *,
    xerr: np.ndarray | None = None,
    yerr: np.ndarray | None = None,
    size: float = 7.5,
    bar_width: float = 1.5,
) -> None:
    """One marker per point, with error bars without caps."""
    for place, style in enumerate(styles):
        fill = style.color if style.filled else "none"
        ax.errorbar(
            x[place],
            y[place],
            xerr=None if xerr is None else xerr[place],
            yerr=None if yerr is None else yerr[place],
            fmt=style.marker,
            markersize=size,
            color=style.color,
            markerfacecolor=fill,
            markeredgecolor=style.color,
            elinewidth=bar_width,
            capsize=0,
        )


def legend_right(
    ax: Axes,
    labels: Sequence[str],
    styles: Sequence[PointStyle],
    *,
    size: float = 10,
    columns: int = 1,
) -> None:
    """A legend of points right of the axis."""
    handles = [
        Line2D(
            [],
            [],
            linestyle="none",
            marker=style.marker,
            color=style.color,
            markersize=8,
            markerfacecolor=style.color if style.filled else "none",
        )
        for style in styles
    ]
    ax.legend(
        handles,
        labels,
        loc="center left",
        bbox_to_anchor=(1.02, 0.5),
        frameon=False,
        fontsize=size,
        ncols=columns,
    )


def label_points(
    ax: Axes, x: np.ndarray, y: np.ndarray, names: Sequence[str], styles: Sequence[PointStyle]
) -> None:
    """Names in a column right of the axis, each joined to its point.

    From bottom to top as the points are.
    """
    gap = min(0.065, 1 / len(names))
    low, high = ax.get_ylim()
    order = np.lexsort((-np.asarray(x), y))
    heights = (np.asarray(y)[order] - low) / (high - low)
    for place in range(1, len(heights)):
        heights[place] = max(heights[place], heights[place - 1] + gap)
    ceiling = 1.0
    for place in reversed(range(len(heights))):
        heights[place] = ceiling = min(heights[place], ceiling)
        ceiling -= gap
    for place, height in zip(order, heights):
        ax.annotate(
            names[place],
            (x[place], y[place]),
            xytext=(1.06, height),
            textcoords="axes fraction",
            va="center",
            fontsize=9 if gap > 0.05 else 7,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": styles[place].color,
                "linewidth": 0.8,
                "shrinkB": 4,
                "relpos": (0, 0.5),
            },
        )


def correlation_text(x: np.ndarray, y: np.ndarray, decimals: int = 2) -> str:
    """``$R^2$=0.92, p=1.2e-05``: square of Pearson's r and its p."""
    r, p, _ = stats.pearson(x, y)
    return f"$R^2$={r**2:.{decimals}f}, {format_p(p)}" if r == r else "too few points to correlate"


def seed_scatter(
    data: AcrossModels,
    pairs: Sequence[tuple[str, str]],
    *,
    limits: Limits,
    suffix: str = "",
    palette: str = "paper",
) -> Drawing | None:
    """First against second training run of the same networks (Figure 2).

    Errors are within-participant errors over the plotted models only. None where no pair has both
    results.
    """
    present = [(a, b) for a, b in pairs if a in data.scores and b in data.scores]
    if not present:
        return None
    summary = data.summary([model for pair in present for model in pair])
    mean, error = f"{data.value}_mean", f"{data.value}_yerr"
    first, second = [a for a, _ in present], [b for _, b in present]
    x, y = summary.loc[first, mean].to_numpy(), summary.loc[second, mean].to_numpy()
    styles = [model_styles(first, palette)[model] for model in first]
    with paper_style():
        figure = new_figure(7, 7)
        ax = figure.add_subplot()
        draw_points(
            ax,
            x,
            y,
            styles,
            xerr=summary.loc[first, error].to_numpy(),
            yerr=summary.loc[second, error].to_numpy(),
            size=10,
            bar_width=2,
        )
        limits.apply(ax, x, y)
        identity_line(ax, color="black")
        ax.set_box_aspect(1)
        ax.text(
            0.95,
            0.05,
            correlation_text(x, y),
            transform=ax.transAxes,
            ha="right",
            va="bottom",
            **_OVER_POINTS,
        )
        ax.set_xlabel(f"{value_label(data.value)} Seed 1")
        ax.set_ylabel(f"{value_label(data.value)} Seed 2")
        ax.set_title(f"{data.target}{' randnetw' if data.randnetw else ''}")
        legend_right(ax, first, styles)
        mark_incomplete(
            figure,
            [model for model in data.missing if any(model in pair for pair in pairs)],
            notes=data.notes,
        )
    r, p, n = stats.pearson(x, y)
    table = summary.rename_axis("source_model").assign(
        models1=", ".join(first),
        models2=", ".join(second),
        r=r,
        r2=r**2,
        p=p,
        target=data.target,
        randnetw=str(data.randnetw),
    )
    stem = (
        f"across-models_roi-None_{data.target}{condition_suffix(data.randnetw)}_{CV_NAME}_within_subject_sem_"
        f"n-models={n}_{data.value}{suffix}"
    )
    return Drawing(figure, stem, table)


def component_seed_scatter(
    data: ComponentScores,
    pairs: Sequence[tuple[str, str]],
    *,
    limits: Limits,
    suffix: str = "",
    palette: str = "paper",
) -> Drawing | None:
    """First against second training run on each component (supplement); errors over iterations."""
    present = [(a, b) for a, b in pairs if a in data.mean and b in data.mean]
    if not present:
        return None
    first, second = [a for a, _ in present], [b for _, b in present]
    styles = [model_styles(first, palette)[model] for model in first]
    rows = []
    with paper_style():
        figure = new_figure(28, 6)
        for ax, component in zip(figure.subplots(1, len(COMPONENTS)), COMPONENTS):
            x, y = (
                data.mean.loc[component, first].to_numpy(),
                data.mean.loc[component, second].to_numpy(),
            )
            draw_points(
                ax,
                x,
                y,
                styles,
                xerr=data.sem.loc[component, first].to_numpy(),
                yerr=data.sem.loc[component, second].to_numpy(),
            )
            limits.apply(ax, x, y)
            identity_line(ax, color="black")
            ax.set_box_aspect(1)
            ax.text(
                0.95,
                0.05,
                correlation_text(x, y),
                transform=ax.transAxes,
                ha="right",
                va="bottom",
                **_OVER_POINTS,
            )
            ax.set(xlabel="Seed 1", ylabel="Seed 2", title=component)
            r, p, _ = stats.pearson(x, y)
            rows += [
                {
                    "comp": component,
                    "source_model": model,
                    data.value: data.mean.loc[component, model],
                    f"{data.value}_sem_over_it": data.sem.loc[component, model],
                    "r": r,
                    "r2": r**2,
                    "p": p,
                }
                for model in (*first, *second)
            ]
        legend_right(ax, [display_name(model) for model in first], styles)
        mark_incomplete(
            figure,
            [model for model in data.missing if any(model in pair for pair in pairs)],
            notes=data.notes,
        )
    stem = (
        f"across-models_roi-None_NH2015comp{condition_suffix(data.randnetw)}_{CV_NAME}_{data.value}_sem_over_it_"
        f"n-models={len(rows)}{data.value}{suffix}"
    )
    return Drawing(figure, stem, pd.DataFrame(rows).set_index("comp"))


def region_scatter(
    data: RegionPositions,
    x: str,
    y: str,
    *,
    palette: str = "paper",
    annotate: bool = False,
    narrow: bool = True,
    suffix: str = "",
) -> Drawing:
    """Relative best-layer position in two regions, one point per model (Figure 7, regression).

    Limits are -0.02 to 1.02; with ``narrow`` (the published selection of models) they are 0.1 to
    0.9 for trained models, unless that would hide a point.
    """
    table = data.pair(x, y)
    means = table[["primary_mean", "non_primary_mean"]].to_numpy()
    narrow = narrow and not data.randnetw and means.min() >= 0.1 and means.max() <= 0.9
    styles = [model_styles(table.index, palette)[model] for model in table.index]
    with paper_style():
        figure = new_figure(10, 5)
        ax = figure.add_subplot()
        identity_line(ax, alpha=0.4)
        draw_points(
            ax,
            means[:, 0],
            means[:, 1],
            styles,
            xerr=table["primary_yerr"].to_numpy(),
            yerr=table["non_primary_yerr"].to_numpy(),
        )
        ax.set_aspect("equal")
        limits = (0.1, 0.9) if narrow else (-0.02, 1.02)
        ax.set(xlim=limits, ylim=limits)
        ticks = np.arange(0.1, 1, 0.2) if narrow else np.arange(0, 1.1, 0.2)
        ax.set_xticks(ticks)
        ax.set_yticks(ticks)
        ax.set_xlabel(f"Relative best layer: {x}", fontsize=17)
        ax.set_ylabel(f"Relative best layer: {y}", fontsize=17)
        ax.set_title(
            f"{data.target}{' randnetw' if data.randnetw else ''} collapse: median, rel_pos",
            fontsize=12,
        )
        names = [display_name(model) for model in table.index]
        if annotate:
            label_points(ax, means[:, 0], means[:, 1], names, styles)
        else:
            legend_right(ax, names, styles, size=9)
        mark_incomplete(figure, data.missing, notes=data.notes)
    stem = (
        f"across-models_scatter{'_annotated' if annotate else ''}{suffix}_within_subject_sem_roi_label_general_{x}-{y}_"
        f"{data.target}{condition_suffix(data.randnetw)}_rel_pos-median_{data.value}"
    )
    return Drawing(figure, stem, table.assign(target=data.target, randnetw=str(data.randnetw)))


def _marker_style(model: str, palette: str) -> PointStyle:
    """Black markers by task for the networks of Figure 9.

    Clean twins open, other models as in the other figures.
    """
    task = model.removesuffix("Seed2")
    if task in MODELS and task.endswith("Clean"):
        return PointStyle("black", MODELS[task.removesuffix("Clean")].marker or "o", filled=False)
    marker = MODELS[model].marker if model in MODELS else None
    if marker:
        return PointStyle("black", marker, filled=marker != "o")
    return model_styles([model], palette)[model]


def component_pair_scatter(
    data: ComponentScores,
    x: str,
    y: str,
    order: Sequence[str],
    *,
    suffix: str = "",
    palette: str = "paper",
) -> Drawing:
    """Two components against each other, one black marker per in-house network (Figure 9B).

    Shape is the task.
    """
    models = [model for model in order if model in data.models]
    models += [model for model in data.models if model not in models]
    styles = [_marker_style(model, palette) for model in models]
    number = {component: place for place, component in enumerate(COMPONENTS, start=1)}
    limits = (0, 1) if data.randnetw else (0.5, 1)
    with paper_style():
        figure = new_figure(6, 6)
        ax = figure.add_subplot()
        identity_line(ax)
        points = data.mean.loc[x, models].to_numpy(), data.mean.loc[y, models].to_numpy()
        draw_points(ax, *points, styles, size=8.7)
        Limits(limits, limits).apply(ax, *points)
        ax.set_box_aspect(1)
        for axis, component in ((ax.xaxis, x), (ax.yaxis, y)):
            axis.set_label_text(
                f"{value_label(data.value)} Component {number[component]}: "
                f'"{component_name(component)}"'
            )
        ax.set_title(f"{COMPONENT_TARGET}{' randnetw' if data.randnetw else ''}", fontsize=12)
        legend_right(ax, models, styles)
        mark_incomplete(figure, data.missing, notes=data.notes)
    table = pd.DataFrame(
        {component: data.mean.loc[component, models] for component in (x, y)}
    ).rename_axis("source_model")
    stem = (
        f"Component-{number[x]}-Component-{number[y]}_scatter_NH2015comp{condition_suffix(data.randnetw)}{suffix}"
        "_symbols-True_black-True"
    )
    return Drawing(figure, stem, table)


def _side_by_side(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points of the same place moved apart along x by little more than a marker."""
    step = 0.025
    place = pd.DataFrame({"x": x, "y": y}).groupby(["x", "y"])
    order, count = place.cumcount().to_numpy(), place["x"].transform("size").to_numpy()
    return x + step * (order - (count - 1) / 2), y


def value_scatter(
    table: pd.DataFrame,
    x: str,
    y: str,
    models: Sequence[str],
    *,
    stem: str,
    labels: tuple[str, str],
    title: str,
    limits: Limits,
    palette: str = "paper",
    identity: bool = True,
    size: tuple[float, float] = (8, 8),
    xerr: str | None = None,
    yerr: str | None = None,
    wanted: Sequence[str] = (),
    notes: Sequence[str] = (),
    text_at: tuple[float, float] | None = None,
    corner_size: float = 16,
    spread: bool = False,
) -> Drawing | None:
    """Two columns of a table against each other, one point per row coloured by its model
    (consistency, dimensionality).

    Parameters
    ----------
    table : DataFrame
        One row per model or per layer. Rows with a NaN in either column are left out.
    x, y, xerr, yerr : str
        Columns.
    models : sequence of str
        The model of each row.
    wanted : sequence of str
        The models that belong in the figure; those without a point are named below it.
    notes : sequence of str
        Further lines below it.
    text_at : (float, float), optional
        Write r² and p here (in parts of the axes) and not in the title and the lower right corner.
    corner_size : float
        Points of the text in the corner.
    spread : bool
        Draw points at the very same place side by side, and say so; the table keeps the place.
    stem, labels, title, limits, identity, size : see the figures that use this

    Returns
    -------
    Drawing or None
        None where fewer than two rows are complete.
    """
    known = table[[x, y]].notna().all(axis=1).to_numpy()
    shown, owners = table[known], [model for model, use in zip(models, known) if use]
    if len(shown) < 2:
        return None
    unique = list(dict.fromkeys(owners))
    styles = model_styles(unique, palette)
    points = shown[x].to_numpy(dtype=float), shown[y].to_numpy(dtype=float)
    r, p, n = stats.pearson(*points)
    with paper_style():
        figure = new_figure(*size)
        ax = figure.add_subplot()
        places = _side_by_side(*points) if spread else points
        if not np.array_equal(places[0], points[0]):
            notes = [*notes, "Points at the same place are drawn side by side."]
        draw_points(
            ax,
            *places,
            [styles[model] for model in owners],
            bar_width=1,
            xerr=shown[xerr].to_numpy() if xerr else None,
            yerr=shown[yerr].to_numpy() if yerr else None,
        )
        limits.apply(ax, *points)
        if identity:
            identity_line(ax)
        ax.set_box_aspect(1)
        ax.set(xlabel=labels[0], ylabel=labels[1])
        said = correlation_text(*points, decimals=3)
        if text_at:
            ax.set_title(f"{title}, n={n}", fontsize=12)
            ax.text(*text_at, said, transform=ax.transAxes, fontsize=10, **_OVER_POINTS)
        else:
            ax.set_title(f"{title}\n{said}, n={n}", fontsize=12)
            if r == r:
                ax.text(
                    0.97,
                    0.03,
                    f"$R^2$={r**2:.2f}",
                    transform=ax.transAxes,
                    ha="right",
                    va="bottom",
                    fontsize=corner_size,
                    **_OVER_POINTS,
                )
        legend_right(
            ax,
            [display_name(model) for model in unique],
            [styles[model] for model in unique],
            size=9,
        )
        mark_incomplete(figure, [model for model in wanted if model not in unique], notes=notes)
    return Drawing(figure, stem, table.assign(r=r, r2=r**2, p=p, n=n))


def correlation_matrix(
    table: pd.DataFrame,
    names: Sequence[str],
    *,
    stem: str,
    title: str,
    missing: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> Drawing:
    """Correlations between columns as coloured squares, from -1 (red) to 1 (blue), with the number
    in each.

    Parameters
    ----------
    table : DataFrame
        Square; NaN stays empty.
    names : sequence of str
        Of the columns.
    stem, title : str
    missing, notes : sequences of str
        For the lines below the figure.
    """
    with paper_style():
        figure = new_figure(3 + 0.8 * len(names), 2 + 0.8 * len(names))
        ax = figure.add_subplot()
        image = ax.imshow(table.to_numpy(), cmap="RdBu", vmin=-1, vmax=1)
        for row, values in enumerate(table.to_numpy()):
            for column, value in enumerate(values):
                ax.text(
                    column,
                    row,
                    "–" if value != value else f"{value:.2f}",
                    ha="center",
                    va="center",
                    fontsize=10,
                    color="white" if abs(value) > 0.7 else "black",
                )
        ax.set_xticks(
            range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor", fontsize=10
        )
        ax.set_yticks(range(len(names)), names, fontsize=10)
        ax.set_title(title, fontsize=12)
        ax.spines[:].set_visible(False)
        figure.colorbar(image, ax=ax, label="Pearson r", shrink=0.8)
        mark_incomplete(figure, missing, notes=notes)
    return Drawing(figure, stem, table)

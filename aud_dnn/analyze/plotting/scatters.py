"""Models (or layers) as points.

Seeds, layer positions, components against each other, consistency, dimensionality.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from aud_dnn import stats
from aud_dnn.analyze.plotting.drawings import Drawing, new_figure
from aud_dnn.analyze.plotting.points import (
    Limits,
    correlation_text,
    draw_points,
    label_points,
    legend_right,
)
from aud_dnn.analyze.plotting.print_style import paper_style
from aud_dnn.analyze.plotting.style import (
    PointStyle,
    display_name,
    identity_line,
    mark_incomplete,
    model_styles,
    value_label,
)
from aud_dnn.conditions import Condition
from aud_dnn.models.registry import MODELS
from aud_dnn.tables.across_models import AcrossModels, RegionPositions

OVER_POINTS = {
    "zorder": 3,
    "bbox": {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1},
}
"""Keeps text legible where a point lies beneath it."""


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
            **OVER_POINTS,
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
        f"across-models_roi-None_{data.target}{Condition.of(data.randnetw).suffix}_"
        f"{data.aggregation}_within_subject_sem_n-models={n}_{data.value}{suffix}"
    )
    return Drawing(figure, stem, table)


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
        f"across-models_scatter{'_annotated' if annotate else ''}{suffix}_within_subject_sem_"
        f"roi_label_general_{x}-{y}_"
        f"{data.target}{Condition.of(data.randnetw).suffix}_rel_pos-median_{data.value}"
    )
    return Drawing(figure, stem, table.assign(target=data.target, randnetw=str(data.randnetw)))


def marker_style(model: str, palette: str) -> PointStyle:
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
            ax.text(*text_at, said, transform=ax.transAxes, fontsize=10, **OVER_POINTS)
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
                    **OVER_POINTS,
                )
        legend_right(
            ax,
            [display_name(model) for model in unique],
            [styles[model] for model in unique],
            size=9,
        )
        mark_incomplete(figure, [model for model in wanted if model not in unique], notes=notes)
    return Drawing(figure, stem, table.assign(r=r, r2=r**2, p=p, n=n))

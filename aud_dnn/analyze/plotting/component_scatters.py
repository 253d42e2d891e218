"""Scatters of the response components: training runs and pairs of components."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from aud_dnn import stats
from aud_dnn.analyze.plotting.drawings import Drawing, new_figure
from aud_dnn.analyze.plotting.points import Limits, correlation_text, draw_points, legend_right
from aud_dnn.analyze.plotting.print_style import paper_style
from aud_dnn.analyze.plotting.scatters import OVER_POINTS, marker_style
from aud_dnn.analyze.plotting.style import (
    component_name,
    display_name,
    identity_line,
    mark_incomplete,
    model_styles,
    note_below,
    value_label,
)
from aud_dnn.conditions import Condition
from aud_dnn.tables.across_models import ComponentScores
from aud_dnn.tables.choices import choice_note
from aud_dnn.targets.facts import COMPONENT_TARGET, COMPONENTS


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
                **OVER_POINTS,
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
        f"across-models_roi-None_NH2015comp{Condition.of(data.randnetw).suffix}_{data.aggregation}_{data.value}_sem_over_it_"
        f"n-models={len(rows)}{data.value}{suffix}"
    )
    return Drawing(figure, stem, pd.DataFrame(rows).set_index("comp"))


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
    styles = [marker_style(model, palette) for model in models]
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
        note_below(figure, choice_note(data.layer_choice))
    table = pd.DataFrame(
        {component: data.mean.loc[component, models] for component in (x, y)}
    ).rename_axis("source_model")
    stem = (
        f"Component-{number[x]}-Component-{number[y]}_scatter_NH2015comp{Condition.of(data.randnetw).suffix}{suffix}"
        "_symbols-True_black-True"
    )
    return Drawing(figure, stem, table)


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

"""Lines: scores across layers, and components over models (Figure 9B)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from aud_dnn.analyze.plotting.drawings import Drawing, new_figure
from aud_dnn.analyze.plotting.print_style import paper_style
from aud_dnn.analyze.plotting.style import (
    component_name,
    display_name,
    layer_legend,
    mark_incomplete,
    model_styles,
    roi_color,
    value_label,
)
from aud_dnn.conditions import Condition
from aud_dnn.models.registry import BASELINE_MODEL
from aud_dnn.tables.across_models import ComponentScores
from aud_dnn.targets.facts import COMPONENT_TARGET, COMPONENTS

ALL_VOXELS_COLOR_KEY = "none"


def across_layers(
    curves: Mapping[str, tuple[pd.DataFrame, pd.Series]],
    *,
    model: str,
    target: str,
    value: str,
    stem: str,
    by_region: bool = False,
    palette: str = "paper",
    notes: Sequence[str] = (),
) -> Drawing:
    """Score at every layer of one model (supplement).

    Parameters
    ----------
    curves : mapping of str -> (participants x layers, error by layer)
        ``{"trained": …, "permuted": …}``, or one entry per region with ``by_region``.
    model, target, value, stem : str
    by_region : bool
        Colour the lines by region instead of drawing trained and permuted.
    """
    with paper_style():
        figure = new_figure(7, 5)
        ax = figure.add_subplot()
        rows = {}
        for name, (table, error) in curves.items():
            color = roi_color(name if by_region else ALL_VOXELS_COLOR_KEY, palette)
            label = name if by_region else Condition(name).label
            mean = table.mean(axis=0)
            ax.errorbar(
                np.arange(table.shape[1]),
                mean,
                yerr=error[table.columns],
                color=color,
                label=label,
                capsize=0,
                alpha=0.3 if name == Condition.PERMUTED else 1,
                marker="o",
                markersize=3,
            )
            rows[f"{name}_mean"], rows[f"{name}_yerr"] = mean, error[table.columns]
        layers = list(table.columns)
        _layer_ticks(ax, model, layers)
        ax.set(ylim=(0, 1), ylabel=value_label(value), xlim=(-0.5, len(layers) - 0.5))
        ax.set_box_aspect(0.6)
        ax.set_title(
            f"{display_name(model)}, {target}, "
            f"{'roi_label_general' if by_region else 'all voxels'}",
            fontsize=12,
        )
        ax.legend(frameon=False, fontsize=10, loc="best")
        mark_incomplete(figure, (), notes=notes)
    return Drawing(figure, stem, pd.DataFrame(rows).rename_axis("source_layer"), formats=("svg",))


def components_across_models(
    data: ComponentScores,
    order: Sequence[str],
    *,
    suffix: str = "",
    palette: str = "paper",
    baseline: bool = True,
) -> Drawing:
    """All components side by side, one dot per model, dots of a model joined by a faint line
    (Figure 9B).
    """
    models = [model for model in order if model in data.models]
    models += [model for model in data.models if model not in models]
    styles = model_styles(models, palette)
    places = np.linspace(0, 2.5, len(COMPONENTS))
    with paper_style():
        figure = new_figure(9, 5)
        ax = figure.add_subplot()
        handles = []
        for model in models:
            values = data.mean.loc[list(COMPONENTS), model].to_numpy()
            ax.plot(places, values, color=styles[model].color, alpha=0.3, zorder=1)
            ax.scatter(
                places,
                values,
                s=50,
                color=styles[model].color,
                marker=styles[model].marker,
                zorder=2,
            )
            handles.append(
                Line2D(
                    [],
                    [],
                    linestyle="none",
                    marker=styles[model].marker,
                    color=styles[model].color,
                    label=display_name(model),
                )
            )
        if baseline and BASELINE_MODEL in data.mean:
            ax.plot(
                places,
                data.mean.loc[list(COMPONENTS), BASELINE_MODEL],
                color="grey",
                linestyle="--",
                zorder=0,
            )
            handles.append(
                Line2D([], [], color="grey", linestyle="--", label=display_name(BASELINE_MODEL))
            )
        ax.set_xticks(
            places,
            [component_name(component) for component in COMPONENTS],
            rotation=30,
            ha="right",
            rotation_mode="anchor",
        )
        ax.set(ylim=(0, 1), ylabel=value_label(data.value))
        ax.set_title(
            f"{COMPONENT_TARGET}{' randnetw' if data.randnetw else ''} ({data.aggregation})",
            fontsize=12,
        )
        ax.legend(
            handles=handles,
            loc="center left",
            bbox_to_anchor=(1.02, 0.5),
            frameon=False,
            fontsize=10,
        )
        mark_incomplete(figure, data.missing, notes=data.notes)
    stem = (
        f"across-models_scatter_{data.aggregation}_NH2015comp{Condition.of(data.randnetw).suffix}"
        f"{suffix}_{data.value}"
    )
    return Drawing(figure, stem, data.mean.T.rename_axis("source_model"))


def dimensionality_across_layers(
    table: pd.DataFrame, *, model: str, variant: str, stem: str
) -> Drawing:
    """Effective dimensionality at every layer of one model (supplement), with the range of the
    published version.

    Parameters
    ----------
    table : DataFrame
        Layers x ``trained``, ``permuted``.
    model : str
    variant : str
        What was done to the units: ``centered`` or ``standardized``.
    stem : str
    """
    with paper_style():
        figure = new_figure(7, 5)
        ax = figure.add_subplot()
        for condition in table:
            ax.plot(
                np.arange(len(table)),
                table[condition],
                marker="o",
                markersize=3,
                color=roi_color(ALL_VOXELS_COLOR_KEY),
                alpha=0.3 if condition == Condition.PERMUTED else 1,
                label=f"{condition.capitalize()} network",
            )
        _layer_ticks(ax, model, list(table.index))
        ax.set(ylim=(-1, 155), ylabel="Effective dimensionality", xlim=(-0.5, len(table) - 0.5))
        ax.set_box_aspect(0.6)
        ax.set_title(f"{display_name(model)}, {variant} units, 165 sounds", fontsize=12)
        ax.legend(frameon=False, fontsize=10, loc="best")
    return Drawing(figure, stem, table.rename_axis("source_layer"))


def _layer_ticks(ax: Axes, model: str, layers: Sequence[str]) -> None:
    ax.set_xticks(
        np.arange(len(layers)),
        [layer_legend(model, layer) for layer in layers],
        rotation=45,
        ha="right",
        rotation_mode="anchor",
        fontsize=7 if len(layers) > 20 else 10,
    )

"""Figures of a target of one's own: models, layers, best layers by region, scores over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd

from aud_dnn.analyze.latency import Latency
from aud_dnn.analyze.plotting.bars import BAR_SPACING, BAR_WIDTH, BarLayout, draw_bars
from aud_dnn.analyze.plotting.drawings import Drawing, new_figure
from aud_dnn.analyze.plotting.print_style import paper_style
from aud_dnn.analyze.plotting.style import (
    display_name,
    layer_legend,
    mark_incomplete,
    model_styles,
    suffix,
    value_label,
)
from aud_dnn.conditions import Condition
from aud_dnn.stats import (
    check_statistics,
    participant_interval,
    recommended_errors,
    within_participant_sem,
)
from aud_dnn.targets.facts import TargetFacts

_MOST_NAMED = 12  # layers in the legend of a latency figure, evenly chosen among more


def _errors(table: pd.DataFrame, statistics: str) -> np.ndarray | None:
    """Error bars of the columns; None where there are no participants to vary."""
    check_statistics(statistics)
    if len(table) < 2 or (statistics == "published" and table.shape[1] < 2):
        return None
    function = within_participant_sem if statistics == "published" else participant_interval
    return function(table.to_numpy())


def _said(errors: np.ndarray | None, n_participants: int, statistics: str) -> list[str]:
    """What the error bars are."""
    if errors is None:
        return []
    if statistics == "published":
        return [
            f"As in the paper: errors are SD over {n_participants} participants (within) / "
            "√(participants − 1)."
        ]
    return [recommended_errors(n_participants)]


def target_model_bars(
    table: pd.DataFrame,
    facts: TargetFacts,
    randnetw: bool,
    *,
    participants: bool,
    palette: str,
    statistics: str,
    notes: Sequence[str],
) -> Drawing:
    """Score at the best layer of each model, best model first.

    Parameters
    ----------
    table : DataFrame
        Participants (or one row ``all``) × models.
    facts : TargetFacts
    randnetw, participants : bool
        Permuted networks; draw every participant.
    palette, statistics : str
    notes : sequence of str
    """
    table = table[table.mean(axis=0).sort_values(ascending=False, kind="stable").index]
    errors = _errors(table, statistics)
    top = max(1.0, float(table.to_numpy().max()) * 1.05)
    with paper_style():
        figure = new_figure(6, 7.5)
        ax = figure.add_subplot()
        draw_bars(
            ax,
            list(table.columns),
            table.mean(axis=0).to_numpy(),
            errors,
            layout=BarLayout(y_limits=(0, top)),
            points=table.to_numpy() if participants else None,
            palette=palette,
        )
        ax.set_ylabel(value_label(facts.value), fontsize=15)
        ax.set_title(
            f"Best layer of each model{' (permuted)' if randnetw else ''}\n{facts.name}",
            fontsize=12,
        )
        mark_incomplete(figure, (), notes=[*_said(errors, len(table), statistics), *notes])
    written = table.T.add_prefix("participant_")
    written.insert(0, f"{facts.value}_mean", table.mean(axis=0))
    written.insert(1, f"{facts.value}_yerr", np.nan if errors is None else errors)
    stem = (
        f"across-models_{facts.name}{Condition.of(randnetw).suffix}_{facts.value}"
        f"{suffix(statistics)}"
    )
    return Drawing(figure, stem, written.rename_axis("source_model"))


def target_layer_curves(
    tables: Mapping[bool, pd.DataFrame],
    model: str,
    facts: TargetFacts,
    *,
    palette: str,
    statistics: str,
    notes: Sequence[str],
) -> Drawing:
    """Score at every layer of one model.

    Parameters
    ----------
    tables : mapping from whether weights are permuted to a DataFrame
        Participants (or ``all``) × layers.
    model : str
    facts : TargetFacts
    palette, statistics : str
    notes : sequence of str
    """
    color = model_styles([model], palette)[model].color
    rows = {}
    with paper_style():
        figure = new_figure(7, 5)
        ax = figure.add_subplot()
        for randnetw, table in tables.items():
            name = Condition.of(randnetw).value
            mean, errors = table.mean(axis=0), _errors(table, statistics)
            said = _said(errors, len(table), statistics)
            ax.errorbar(
                np.arange(table.shape[1]),
                mean,
                yerr=errors,
                color=color,
                alpha=0.3 if randnetw else 1,
                marker="o",
                markersize=3,
                label=f"{name.capitalize()} network",
            )
            rows[f"{name}_mean"] = mean
            rows[f"{name}_yerr"] = pd.Series(
                np.nan if errors is None else errors, index=table.columns
            )
        layers = list(next(iter(tables.values())).columns)
        ax.set_xticks(
            np.arange(len(layers)),
            [layer_legend(model, layer) for layer in layers],
            rotation=45,
            ha="right",
            rotation_mode="anchor",
            fontsize=7 if len(layers) > 20 else 10,
        )
        ax.set(ylim=(0, None), ylabel=value_label(facts.value), xlim=(-0.5, len(layers) - 0.5))
        ax.set_title(f"{display_name(model)}, {facts.name}", fontsize=12)
        ax.legend(frameon=False, fontsize=10)
        mark_incomplete(figure, (), notes=[*said, *notes])
    stem = f"across-layers_{model}_{facts.name}_{facts.value}{suffix(statistics)}"
    return Drawing(figure, stem, pd.DataFrame(rows).rename_axis("source_layer"))


def target_region_bars(
    table: pd.DataFrame,
    model: str,
    facts: TargetFacts,
    randnetw: bool,
    *,
    statistics: str,
    notes: Sequence[str],
) -> Drawing:
    """Relative position of the best layer in every region of the target.

    Parameters
    ----------
    table : DataFrame
        Participants (or ``all``) × regions; participants without a region have NaN there.
    model : str
    facts : TargetFacts
    randnetw : bool
    statistics : str
    notes : sequence of str
    """
    whole = table.dropna()
    errors = _errors(whole, statistics)
    lacking = (
        [
            f"Participants without one of the regions count for the means, not for the errors: "
            f"{', '.join(table.index.difference(whole.index))}"
        ]
        if len(whole) < len(table)
        else []
    )
    with paper_style():
        figure = new_figure(max(4, 1 + 0.6 * table.shape[1]), 5)
        ax = figure.add_subplot()
        centers = BAR_SPACING * np.arange(table.shape[1])
        colors = mpl.colormaps["tab10"](np.arange(table.shape[1]) % 10)
        ax.bar(
            centers, table.mean(axis=0), BAR_WIDTH, yerr=errors, color=colors, alpha=0.8, zorder=2
        )
        ax.set_xticks(centers, table.columns, rotation=45, ha="right", rotation_mode="anchor")
        ax.set(ylim=(0, 1), ylabel=value_label("rel_pos"))
        ax.set_title(
            f"{display_name(model)}{' (permuted)' if randnetw else ''}\n{facts.name}", fontsize=12
        )
        mark_incomplete(
            figure, (), notes=[*_said(errors, len(whole), statistics), *notes, *lacking]
        )
    written = table.copy()
    written.loc["mean"] = table.mean(axis=0)
    written.loc["yerr"] = np.nan if errors is None else errors
    stem = (
        f"best-layer_by-region_{model}{Condition.of(randnetw).suffix}_{facts.name}"
        f"{suffix(statistics)}"
    )
    return Drawing(figure, stem, written.rename_axis("subj_idx"))


def latency_curves(
    found: Latency, model: str, facts: TargetFacts, randnetw: bool, *, notes: Sequence[str]
) -> Drawing:
    """Score over time of every layer, the peak of each marked; early layers are dark.

    Parameters
    ----------
    found : Latency
    model : str
    facts : TargetFacts
    randnetw : bool
    notes : sequence of str
    """
    layers = list(found.scores.columns)
    shades = mpl.colormaps["viridis"](np.linspace(0, 0.9, len(layers)))
    named = {
        layers[place]
        for place in np.linspace(0, len(layers) - 1, min(len(layers), _MOST_NAMED))
        .round()
        .astype(int)
    }
    with paper_style():
        figure = new_figure(8, 5)
        ax = figure.add_subplot()
        for layer, shade in zip(layers, shades):
            curve, peak = found.scores[layer], found.peak[layer]
            label = layer_legend(model, layer)
            if np.isfinite(peak):
                ax.plot(
                    peak,
                    curve[peak],
                    marker="v",
                    color=shade,
                    markersize=7,
                    clip_on=False,
                    zorder=3,
                )
                label += f" (peak {peak:g} s)"
            ax.plot(
                curve.index,
                curve,
                color=shade,
                linewidth=1.5,
                label=label if layer in named else None,
            )
        ax.set(
            xlabel="Time (s)",
            ylabel=value_label(facts.value),
            ylim=(0, None),
            xlim=(found.scores.index.min(), found.scores.index.max()),
        )
        ax.set_title(
            f"{display_name(model)}{' (permuted)' if randnetw else ''}, {facts.name}: "
            "median over neuroids",
            fontsize=12,
        )
        ax.legend(loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False, fontsize=9)
        mark_incomplete(figure, (), notes=notes)
    written = found.scores.copy()
    written.loc["peak"] = found.peak
    stem = f"latency_{model}{Condition.of(randnetw).suffix}_{facts.name}_{facts.value}"
    return Drawing(figure, stem, written.rename_axis("time"))

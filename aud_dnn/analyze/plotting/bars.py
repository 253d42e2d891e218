"""Bars over models with the acoustic baseline (Figures 2, 5, 8, 9A) and best layers by region."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from aud_dnn.analyze.plotting.drawings import Drawing, new_figure
from aud_dnn.analyze.plotting.print_style import paper_style
from aud_dnn.analyze.plotting.style import (
    baseline_band,
    display_name,
    mark_incomplete,
    model_styles,
    note_below,
    roi_color,
    value_label,
)
from aud_dnn.conditions import Condition
from aud_dnn.models.figure_sets import FIGURE_8_MODELS, FIGURE_9_MODELS
from aud_dnn.models.registry import BASELINE_MODEL
from aud_dnn.tables.across_models import AcrossModels, ComponentScores
from aud_dnn.tables.choices import PUBLISHED_CHOICE, choice_note
from aud_dnn.targets.facts import COMPONENT_TARGET, COMPONENTS

BAR_WIDTH, BAR_SPACING = 0.3, 0.5
GROUPED_CENTERS = dict(zip(FIGURE_8_MODELS, (0, 0.35, 1.05, 1.40, 2.10, 2.45, 3.15, 3.50)))
"""Figure 8: a network and its clean-speech twin stand together."""

GAPPED_CENTERS = dict(zip(FIGURE_9_MODELS, (0, 0.4, 1.0, 1.4, 2.0, 2.4, 3.0, 3.4, 4.5, 4.9)))
"""Figure 9A: pairs of architectures, and a gap before the multi-task networks."""

_OWN_MODEL_GAP = 0.7


@dataclass(frozen=True)
class BarLayout:
    """Where bars stand and what lies behind them.

    ``centers`` are the places of the published models; without them bars are equally spaced.
    """

    centers: Mapping[str, float] | None = None
    margin: float = 0.25
    y_limits: tuple[float, float] = (0, 1)
    box_aspect: float = 0.8
    label_size: float = 13
    hatch_clean: bool = False

    def positions(self, models: Sequence[str]) -> np.ndarray:
        """Bar centres from left to right.

        Where a model is missing its neighbours close up to the widest gap between them, so that
        pairs stay pairs; models without a place of their own follow at the right.
        """
        if self.centers is None:
            return BAR_SPACING * np.arange(len(models))
        slots, places = list(self.centers), list(self.centers.values())
        at = [slots.index(model) if model in slots else None for model in models]
        steps = [
            BAR_SPACING
            if before is None and after is None
            else _OWN_MODEL_GAP
            if before is None or after is None or after <= before
            else max(places[slot] - places[slot - 1] for slot in range(before + 1, after + 1))
            for before, after in pairwise(at)
        ]
        return np.concatenate([[0.0], np.cumsum(steps)])

    def ends(self, models: Sequence[str]) -> tuple[float, float]:
        """Where the baseline begins and stops."""
        centers = self.positions(models)
        return centers[0] - self.margin, centers[-1] + self.margin


def grouped_layout(**look: float) -> BarLayout:
    """Figure 8."""
    return BarLayout(centers=GROUPED_CENTERS, hatch_clean=True, **look)


def gapped_layout() -> BarLayout:
    """Figure 9A."""
    return BarLayout(centers=GAPPED_CENTERS, margin=0.2, y_limits=(0.2, 1))


def draw_bars(
    ax: Axes,
    models: Sequence[str],
    means: np.ndarray,
    errors: np.ndarray | None,
    *,
    layout: BarLayout,
    baseline: tuple[float, float] | None = None,
    points: np.ndarray | None = None,
    palette: str = "paper",
) -> None:
    """Bars with errors on an axis.

    Parameters
    ----------
    ax : Axes
    models : sequence of str
        From left to right.
    means, errors : arrays of shape (n_models,)
    layout : BarLayout
    baseline : (mean, error), optional
        The grey line and band.
    points : array of shape (n_points, n_models), optional
        Single participants, drawn as small circles joined by nothing.
    palette : str
    """
    centers = layout.positions(models)
    styles = model_styles(models, palette)
    bars = ax.bar(
        centers,
        means,
        BAR_WIDTH,
        yerr=errors,
        color=[styles[model].color for model in models],
        capsize=0,
        error_kw={"elinewidth": 1.5, "ecolor": "black"},
        zorder=2,
    )
    if layout.hatch_clean:
        for model, bar in zip(models, bars):
            if model.removesuffix("Seed2").endswith("Clean"):
                bar.set(hatch="///", edgecolor="white", linewidth=0)
    if points is not None:
        # a fixed spread across the bar keeps participants at the same place in every bar
        offsets = (
            np.linspace(-0.35, 0.35, len(points)) * BAR_WIDTH if len(points) > 1 else np.zeros(1)
        )
        ax.scatter(
            centers[None, :] + offsets[:, None],
            points,
            s=9,
            facecolor="white",
            edgecolor="black",
            linewidth=0.6,
            zorder=3,
            clip_on=False,
        )
    if baseline is not None:
        baseline_band(ax, *layout.ends(models), *baseline)
    ax.set_xticks(
        centers,
        [display_name(model) for model in models],
        rotation=80,
        ha="right",
        rotation_mode="anchor",
        fontsize=layout.label_size,
    )
    start, stop = layout.ends(models)
    ax.set(xlim=(start - 0.1, stop + 0.1), ylim=layout.y_limits)
    ax.tick_params(axis="y", labelsize=15)
    ax.set_box_aspect(layout.box_aspect)


def model_bars(
    data: AcrossModels,
    order: Sequence[str] | None = None,
    *,
    layout: BarLayout | None = None,
    suffix: str = "",
    palette: str = "paper",
    participants: bool = False,
) -> Drawing:
    """Predictivity of all models on one data set (Figures 2 and 8, regression).

    Bars are means over participants. Published error bars are within-participant errors over all
    models of ``data``, the baseline among them; ``data.statistics`` chooses. The grey line and band
    are the baseline.

    Parameters
    ----------
    data : AcrossModels
    order : sequence of str, optional
        From left to right; by descending mean if not given. Models of ``data`` that it does not
        name stand at the right.
    layout : BarLayout, optional
    suffix : str
        At the end of the file name.
    palette : {"paper", "colorblind"}
    participants : bool
        Draw every participant as a point.

    Returns
    -------
    Drawing
        The table is alphabetical and holds the baseline, as in the published csv.
    """
    layout = layout or BarLayout()
    summary = data.summary()
    mean, error = f"{data.value}_mean", f"{data.value}_yerr"
    if order is None:
        models = sorted(data.models, key=lambda model: -summary.loc[model, mean])
    else:
        models = [model for model in order if model in data.models]
        models += [model for model in data.models if model not in models]
    baseline = (
        tuple(summary.loc[BASELINE_MODEL, [mean, error]])
        if BASELINE_MODEL in summary.index
        else None
    )
    with paper_style():
        figure = new_figure(6, 7.5)
        ax = figure.add_subplot()
        draw_bars(
            ax,
            models,
            summary.loc[models, mean].to_numpy(),
            summary.loc[models, error].to_numpy(),
            layout=layout,
            baseline=baseline,
            points=data.scores[models].to_numpy() if participants else None,
            palette=palette,
        )
        ax.set_ylabel(value_label(data.value), fontsize=15)
        ax.set_title(
            f"{value_label(data.value)} across models\nAll voxels, {data.target} "
            f"{'randnetw ' if data.randnetw else ''}({data.aggregation})",
            fontsize=12,
        )
        mark_incomplete(figure, data.missing, notes=data.notes)
    sorting = "performance_sorted" if order is None else "manually_sorted"
    table = summary.sort_index().rename_axis("source_model")
    table = table.assign(
        roi="None",
        target=data.target,
        randnetw=str(data.randnetw),
        aggregation=data.aggregation,
        yerr_type="within_subject_sem"
        if data.statistics == "published"
        else "confidence_interval_95",
        value_of_interest=data.value,
        sort_by=sorting,
        add_savestr=suffix,
        n_models=len(table),
    )
    if participants:
        table = table.join(data.scores.T.add_prefix("participant_"))
    stem = (
        f"across-models_roi-None_{data.target}{Condition.of(data.randnetw).suffix}_{data.aggregation}_"
        f"within_subject_sem_{data.value}_{sorting}{suffix}"
    )
    return Drawing(figure, stem, table)


def component_table(data: ComponentScores, models: Sequence[str], **columns: str) -> pd.DataFrame:
    """One row per model and component, the baseline last."""
    models = list(
        dict.fromkeys([*models, *([BASELINE_MODEL] if BASELINE_MODEL in data.mean else [])])
    )
    table = pd.concat(
        [
            pd.DataFrame(
                {
                    data.value: data.mean[model],
                    f"{data.value}_sem_over_it": data.sem[model],
                    "source_model": model,
                }
            ).rename_axis("comp")
            for model in models
        ]
    )
    return table.assign(target=COMPONENT_TARGET, randnetw=str(data.randnetw), **columns)


def component_errors(data: ComponentScores) -> str:
    """What the error bars of components are."""
    if data.layer_choice == PUBLISHED_CHOICE:
        return (
            "Errors are standard errors over ten re-halvings of the splits, as published. "
            "Components have no participants; there is no other version."
        )
    return "Errors are SD over the splits / √(splits − 1). Components have no participants."


def component_bars(
    data: ComponentScores,
    order: Sequence[str],
    *,
    layout: BarLayout | None = None,
    suffix: str = "",
    palette: str = "paper",
) -> Drawing:
    """Predictivity of all models on each component (Figures 5 and 9A).

    Error bars are standard errors over the ten re-halvings of the splits, or over the splits where
    layers were chosen within them.
    """
    layout = layout or BarLayout()
    models = [model for model in order if model in data.models]
    models += [model for model in data.models if model not in models]
    models = models or [BASELINE_MODEL]  # alone, the baseline is shown as bars
    if len(models) > 12:  # the six axes leave no room for large names
        layout = replace(layout, label_size=min(layout.label_size, 9.5))
    with paper_style():
        figure = new_figure(28, 8)
        axes = figure.subplots(1, len(COMPONENTS))
        for number, (ax, component) in enumerate(zip(axes, COMPONENTS), start=1):
            baseline = (
                (data.mean.loc[component, BASELINE_MODEL], data.sem.loc[component, BASELINE_MODEL])
                if BASELINE_MODEL in data.mean
                else None
            )
            draw_bars(
                ax,
                models,
                data.mean.loc[component, models].to_numpy(),
                data.sem.loc[component, models].to_numpy(),
                layout=layout,
                baseline=baseline,
                palette=palette,
            )
            ax.set_title(f'Component number {number}, "{component}"', fontsize=12)
        axes[0].set_ylabel(value_label(data.value), fontsize=15)
        figure.suptitle(
            f"{value_label(data.value)} across models manually_sorted\nNH2015comp"
            f"{' randnetw' if data.randnetw else ''}",
            y=0.79,
        )
        mark_incomplete(figure, data.missing, notes=data.notes)
        note_below(figure, [component_errors(data), *choice_note(data.layer_choice)])
    stem = (
        f"across-models_barplot_components_NH2015comp{Condition.of(data.randnetw).suffix}_"
        f"{data.aggregation}_{data.value}_sem_over_it_{data.value}_manually_sorted{suffix}"
    )
    return Drawing(
        figure,
        stem,
        component_table(
            data,
            models,
            aggregation=data.aggregation,
            sort_by="manually_sorted",
            yerr_type="sem_over_it",
            statistics="published",
        ),
    )


def region_bars(
    table: pd.DataFrame,
    error: pd.Series,
    *,
    model: str,
    target: str,
    randnetw: bool,
    stem: str,
    palette: str = "paper",
) -> Drawing:
    """Relative best-layer position by region of one model (supplement).

    Parameters
    ----------
    table : DataFrame of shape (n_participants, n_regions)
    error : Series
        Within-participant error with the regions as conditions.
    """
    with paper_style():
        figure = new_figure(4, 5)
        ax = figure.add_subplot()
        centers = BAR_SPACING * np.arange(table.shape[1])
        ax.bar(
            centers,
            table.mean(axis=0),
            BAR_WIDTH,
            yerr=error[table.columns],
            alpha=0.8,
            zorder=2,
            color=[roi_color(roi, palette) for roi in table.columns],
        )
        ax.set_xticks(centers, table.columns, rotation=45, ha="right", rotation_mode="anchor")
        ax.set(ylim=(0, 1), ylabel=value_label("rel_pos"))
        ax.set_title(
            f"{display_name(model)}{' (permuted)' if randnetw else ''}\n{target}", fontsize=12
        )
    written = table.copy()
    written.loc["mean"], written.loc["yerr"] = table.mean(axis=0), error
    return Drawing(figure, stem, written.rename_axis("subj_idx"), formats=("svg",))

"""RSA scores: bars over models (Figures 2 and 8), first against second training run, best layers by
region (Figure 7).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from aud_dnn.analyze.plotting.bars import BarLayout, draw_bars, grouped_layout
from aud_dnn.analyze.plotting.drawings import Drawing, file_stem, new_figure
from aud_dnn.analyze.plotting.points import correlation_text
from aud_dnn.analyze.plotting.print_style import paper_style
from aud_dnn.analyze.plotting.style import (
    CEILING_BAND,
    baseline_band,
    display_name,
    format_p,
    identity_line,
    mark_incomplete,
    model_styles,
    note_below,
    suffix,
)
from aud_dnn.conditions import Condition
from aud_dnn.methods.rsa import METHOD as RSA
from aud_dnn.models.figure_sets import FIGURE_8_MODELS
from aud_dnn.models.registry import BASELINE_MODEL
from aud_dnn.stats import check_statistics, pearson
from aud_dnn.store.compared_by import compared_by
from aud_dnn.tables.comparison_models import comparison_table
from aud_dnn.tables.comparison_summaries import (
    performance_order,
    summarize_scores,
)

FORMATS = ("pdf", "svg")
TRAINED_SEED_LIMITS = (0.35, 0.55)
MOST_BARS = 20  # more than these and the figure grows wider


def _title(prefix: str, dataset: xr.Dataset, condition: str, what: str) -> str:
    return f"{prefix}{dataset.attrs['target']}_{condition.capitalize()}: {what}"


def finish(
    figure: Figure, note: Sequence[str], missing: Sequence[str], what: str = "results"
) -> None:
    """Below everything that is drawn: how the numbers were made, and the models left out."""
    note_below(figure, note)
    mark_incomplete(figure, missing, what)


def rsa_bars(
    dataset: xr.Dataset,
    condition: str,
    models: Sequence[str],
    *,
    prefix: str = "ALL_MODELS_",
    order: Sequence[str] | None = None,
    layout: BarLayout | None = None,
    statistics: str = "published",
    palette: str = "paper",
    participants: bool = False,
    notes: Sequence[str] = (),
) -> Drawing:
    """RSA score of all models of a figure on one data set, with ceiling and acoustic baseline.

    Parameters
    ----------
    dataset : Dataset
        All voxels of one target.
    condition : {"trained", "permuted"}
        The baseline has no permuted version; its trained one is shown in both.
    models : sequence of str
    prefix : str
        Of title and file name.
    order : sequence of str, optional
        From left to right. By default the trained models by descending score, for the permuted
        models, too.
    layout : BarLayout, optional
    statistics : {"published", "recommended"}
        Which error bars and ceiling (:func:`aud_dnn.tables.comparison_summaries.summarize_scores`).
    palette : {"paper", "colorblind"}
    participants : bool
        Draw every participant as a point.
    notes : sequence of str
        Further lines below the figure.
    """
    with_baseline = list(dict.fromkeys([*models, BASELINE_MODEL]))
    summary = summarize_scores(dataset, condition, with_baseline, statistics=statistics)
    wanted = (
        performance_order(dataset, models)
        if order is None
        else [model for model in order if model != BASELINE_MODEL]
    )
    shown = [model for model in wanted if model in summary.table.index]
    by = compared_by(dataset)
    title = _title(prefix, dataset, condition, f"Human-Model {by.name}")
    stretch = max(1.0, len(shown) / MOST_BARS)
    layout = layout or BarLayout(label_size=12, box_aspect=0.8 / stretch)
    with paper_style():
        figure = new_figure(6 * stretch, 7.5)
        ax = figure.add_subplot()
        if shown:
            draw_bars(
                ax,
                shown,
                summary.table.loc[shown, "score"].to_numpy(),
                summary.table.loc[shown, "error"].to_numpy(),
                layout=layout,
                baseline=summary.baseline,
                palette=palette,
                points=summary.participants[shown].to_numpy() if participants else None,
            )
            baseline_band(
                ax,
                *layout.ends(shown),
                *summary.ceiling,
                color="black",
                band=CEILING_BAND,
                linestyle="--",
            )
        ax.set_ylim(layout.y_limits if by.name == RSA.name else by.limits)
        ax.set_ylabel(by.label, fontsize=13)
        ax.set_title(title, fontsize=11, pad=12)
        finish(figure, [f"{summary.errors_are} {summary.ceiling_is}", *notes], summary.missing)
    table = summary.table.assign(
        target=dataset.attrs["target"],
        roi=dataset.attrs["roi"],
        condition=condition,
        statistics=statistics,
        ceiling_mean=summary.ceiling[0],
        ceiling_error=summary.ceiling[1],
    )
    if participants:
        table = table.join(summary.participants.T)
    return Drawing(figure, file_stem(title) + suffix(statistics), table, FORMATS)


def clean_speech_bars(
    dataset: xr.Dataset,
    condition: str,
    models: Sequence[str] = FIGURE_8_MODELS,
    *,
    statistics: str = "published",
    palette: str = "paper",
    participants: bool = False,
) -> Drawing:
    """Networks trained with background noise beside their twins trained on clean speech (Figure 8,
    RSA).

    ``models`` may hold further ones, which stand at the right. The comparison of each pair is
    printed below: the published bootstrap or, recommended, the paired sign-flip test.
    """
    check_statistics(statistics)
    comparisons = comparison_table({(dataset.attrs["target"], dataset.attrs["roi"]): dataset})
    notes = []
    if len(comparisons):
        rows = comparisons[comparisons["condition"] == condition]
        column = "p_published" if statistics == "published" else "p_sign_flip"
        smallest = (
            1 / int(rows["n_resamples"].iloc[0]) if len(rows) else 1
        )  # the published p may be 0 of so many
        test = (
            "bootstrap of the clean model's participants"
            if statistics == "published"
            else "paired sign-flip test over participants"
        )
        notes = [
            f"Noise-trained above clean-trained, one-sided, {test}:",
            "; ".join(
                f"{display_name(row.model_a)} {format_p(getattr(row, column), floor=smallest)}"
                for row in rows.itertuples()
            ),
        ]
    return rsa_bars(
        dataset,
        condition,
        models,
        prefix="FIG8_CleanSpeechModels_",
        order=models,
        layout=grouped_layout(label_size=12),
        statistics=statistics,
        palette=palette,
        participants=participants,
        notes=notes,
    )


def seed_scatter(
    dataset: xr.Dataset,
    condition: str,
    pairs: Sequence[tuple[str, str]],
    *,
    prefix: str,
    statistics: str = "published",
    palette: str = "paper",
) -> Drawing:
    """Score of the first against the second training run of the same networks.

    Parameters
    ----------
    dataset : Dataset
    condition : {"trained", "permuted"}
    pairs : sequence of (first, second)
    prefix : str
    statistics, palette : str
    """
    names = [model for pair in pairs for model in pair]
    summary = summarize_scores(dataset, condition, names, statistics=statistics)
    shown = [pair for pair in pairs if set(pair) <= set(summary.table.index)]
    first, second = (summary.table.loc[[pair[index] for pair in shown]] for index in (0, 1))
    r, p, _ = pearson(first["score"], second["score"])
    styles = model_styles(names, palette)
    by = compared_by(dataset)
    title = _title(prefix, dataset, condition, f"ModelVsModel {by.name}")
    with paper_style():
        figure = new_figure(7, 7)
        ax = figure.add_subplot()
        for (model, _), x, y in zip(shown, first.itertuples(), second.itertuples()):
            style = styles[model]
            ax.errorbar(
                x.score,
                y.score,
                xerr=x.error,
                yerr=y.error,
                fmt=style.marker,
                markersize=10,
                color=style.color,
                elinewidth=2,
                capsize=0,
                label=model,
            )
        limits = _square_limits(
            first,
            second,
            TRAINED_SEED_LIMITS if condition == Condition.TRAINED and by.name == RSA.name else None,
        )
        ax.set(
            xlim=limits,
            ylim=limits,
            xlabel=f"{by.label}, Seed 1",
            ylabel=f"{by.label}, Seed 2",
        )
        ax.set_box_aspect(1)
        identity_line(ax, color="black")
        ax.text(
            0.95,
            0.05,
            correlation_text(first["score"], second["score"]),
            transform=ax.transAxes,
            ha="right",
            va="bottom",
        )
        ax.set_title(title, fontsize=12)
        if shown:
            ax.legend(loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False, fontsize=9)
        finish(figure, [summary.errors_are], summary.missing)
    table = pd.DataFrame(
        {
            "models1": [a for a, _ in shown],
            "models2": [b for _, b in shown],
            "score1": first["score"].to_numpy(),
            "error1": first["error"].to_numpy(),
            "score2": second["score"].to_numpy(),
            "error2": second["error"].to_numpy(),
        }
    )
    table = table.assign(
        r=r,
        r2=r**2,
        p=p,
        target=dataset.attrs["target"],
        condition=condition,
        statistics=statistics,
    )
    return Drawing(
        figure, file_stem(title) + suffix(statistics), table.set_index("models1"), FORMATS
    )


def _square_limits(
    first: pd.DataFrame, second: pd.DataFrame, wanted: tuple[float, float] | None
) -> tuple[float, float]:
    """The published limits where all points lie inside, else limits around the points, equal on
    both axes.
    """
    both = pd.concat([first, second])
    low, high = (both["score"] - both["error"]).min(), (both["score"] + both["error"]).max()
    if not np.isfinite([low, high]).all():
        return wanted or (0.0, 1.0)
    if wanted is not None and wanted[0] <= low and high <= wanted[1]:
        return wanted
    margin = 0.05 * max(high - low, 0.02)
    return low - margin, high + margin


# --- Figure 7 -----------------------------------------------------------------------------------

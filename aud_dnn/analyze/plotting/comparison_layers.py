"""Similarity of every layer with the brain: one picture per model and target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from aud_dnn.analyze.plotting.drawings import Drawing, file_stem, new_figure
from aud_dnn.analyze.plotting.print_style import paper_style
from aud_dnn.analyze.plotting.style import CEILING_BAND, display_name, note_below, roi_color, suffix
from aud_dnn.conditions import Condition
from aud_dnn.stats import check_statistics, participant_interval, recommended_errors
from aud_dnn.store.compared_by import compared_by
from aud_dnn.store.comparisons import ALL_VOXELS
from aud_dnn.tables.comparison_models import mean_and_sem
from aud_dnn.tables.comparisons import regions_in_order

FORMATS = ("pdf", "svg")
_ALL_COLOR = "#000000"
_FURTHER_COLORS = ("#1b9e77", "#d95f02", "#7570b3", "#e7298a", "#66a61e", "#a6761d")


def layer_curves(
    datasets: Mapping[tuple[str, str], xr.Dataset],
    models: Sequence[str],
    *,
    conditions: Sequence[str] = tuple(Condition),
    statistics: str = "published",
    palette: str = "paper",
) -> Iterator[Drawing]:
    """Similarity of the layers of models, all voxels and every region.

    Lines are means over participants of the median over splits on the test sounds, with standard
    errors over participants; permuted networks are dashed. The band is the noise ceiling of all
    voxels in the measure of the method.

    Parameters
    ----------
    datasets : mapping from (target, region) to Dataset
    models : sequence of str
    conditions : sequence of str
    statistics : {"published", "recommended"}
        Error bars: standard errors, or 95 % intervals, of the mean over participants.
    palette : str
    """
    for target in dict.fromkeys(target for target, _ in datasets):
        for model in models:
            table = _layer_table(datasets, target, model, conditions, statistics)
            if table["layer"].nunique() > 1:
                yield _curves(datasets, target, model, table, statistics, palette)


def _mean(values: np.ndarray, statistics: str) -> tuple[float, float, int]:
    """Mean of the known values, its error bar, and their number."""
    check_statistics(statistics)
    mean, error, n = mean_and_sem(values)
    if statistics == "recommended":
        error = float(participant_interval(values[np.isfinite(values)][:, None])[0])
    return mean, error, n


def _layer_table(
    datasets: Mapping[tuple[str, str], xr.Dataset],
    target: str,
    model: str,
    conditions: Sequence[str],
    statistics: str,
) -> pd.DataFrame:
    """Mean over participants of every layer, with its error."""
    rois = [ALL_VOXELS, *regions_in_order(datasets, target)]
    rows = []
    for roi in [roi for roi in rois if (target, roi) in datasets]:
        dataset = datasets[target, roi]
        for condition in conditions:
            if model not in dataset["model"].values:
                continue
            one = dataset.sel(model=model, condition=condition)
            if not bool(one["available"]):
                continue
            values = one["splits_median_distance_all_layers"].transpose("layer", "participant")
            for index, layer in enumerate(one["model_layers"].values.tolist()):
                if layer:
                    mean, error, n = _mean(values.values[index], statistics)
                    rows.append(
                        {
                            "roi": roi,
                            "condition": condition,
                            "layer": layer,
                            "layer_index": index,
                            "similarity": mean,
                            "error": error,
                            "n_participants": n,
                        }
                    )
    columns = ["roi", "condition", "layer", "layer_index", "similarity", "error", "n_participants"]
    return pd.DataFrame(rows, columns=columns)


def _curves(
    datasets: Mapping[tuple[str, str], xr.Dataset],
    target: str,
    model: str,
    table: pd.DataFrame,
    statistics: str,
    palette: str,
) -> Drawing:
    first = datasets[target, table["roi"].iloc[0]]
    by = compared_by(first)
    layers = table.drop_duplicates("layer_index").sort_values("layer_index")
    title = f"{target}_{model}_layers_{by.name}"
    with paper_style():
        figure = new_figure(max(6.0, 2.5 + 0.45 * len(layers)), 4.6)
        ax = figure.add_subplot()
        colors = _colors(list(dict.fromkeys(table["roi"])), palette)
        for (roi, condition), rows in table.groupby(["roi", "condition"], sort=False):
            ax.errorbar(
                rows["layer_index"],
                rows["similarity"],
                yerr=rows["error"],
                color=colors[roi],
                linestyle="-" if condition == Condition.TRAINED else "--",
                linewidth=2.2 if roi == ALL_VOXELS else 1.3,
                label=f"{'all voxels' if roi == ALL_VOXELS else roi}, {condition}",
                capsize=0,
            )
        ceiling = _mean(first[by.ceilings[by.own_ceiling][0]].median("split").values, statistics)
        if np.isfinite(ceiling[0]):
            low, high = (
                ceiling[0] - np.nan_to_num(ceiling[1]),
                ceiling[0] + np.nan_to_num(ceiling[1]),
            )
            ax.axhspan(low, high, color=CEILING_BAND, zorder=0)
            ax.axhline(ceiling[0], color="black", linestyle=":", linewidth=1, label="noise ceiling")
        ax.set_xticks(
            layers["layer_index"],
            layers["layer"],
            rotation=45,
            ha="right",
            rotation_mode="anchor",
            fontsize=8,
        )
        ax.set_ylabel(by.label)
        ax.set_title(f"{display_name(model)}, {target}: {by.name} of every layer", fontsize=11)
        ax.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.02, 0.5))
        note_below(
            figure,
            [
                "Median over splits on the test sounds; mean over participants.",
                "Errors are SD over participants / √(participants − 1)."
                if statistics == "published"
                else recommended_errors(int(table["n_participants"].max())),
            ],
        )
    return Drawing(
        figure,
        f"layers/{file_stem(title)}{suffix(statistics)}",
        table.assign(model=model, target=target, method=by.name, statistics=statistics).set_index(
            "layer"
        ),
        FORMATS,
    )


def _colors(rois: Sequence[str], palette: str) -> dict[str, str]:
    """Those of the paper for its regions, others for others."""
    found, further = {ALL_VOXELS: _ALL_COLOR}, iter(_FURTHER_COLORS * len(rois))
    for roi in rois:
        if roi != ALL_VOXELS:
            try:
                found[roi] = roi_color(roi, palette)
            except (KeyError, ValueError):
                found[roi] = next(further)
    return found

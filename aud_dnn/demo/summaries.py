"""What the pipeline found in the demo, beside what was planted."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from aud_dnn.conditions import Condition
from aud_dnn.demo import read_truth
from aud_dnn.demo.truth import NETWORK
from aud_dnn.models.registry import BASELINE_MODEL, MODELS
from aud_dnn.paths import ProjectPaths
from aud_dnn.store.comparisons import read_analysis
from aud_dnn.store.regression import read_table
from aud_dnn.store.regression_names import is_complete, result_folder
from aud_dnn.tables.comparison_summaries import summarize_scores
from aud_dnn.targets.facts import ROIS, TARGETS, VOXEL_TARGETS

FIGURE = "demo_overview"
EXTRACTED = {"spectemp_sounds": ("avgpool",), "smallnet": ("filters", "patterns", "combinations")}
"""Names under which ``make demo`` stores what it extracts from the sounds; scored layers."""

RSA_FIGURE = "ALL_MODELS_NH2015_Trained_Human-ModelRSA"


def _score_column(target: str) -> str:
    return "median_r2_test_c" if target in VOXEL_TARGETS else "median_r2_test"


def layer_scores(
    paths: ProjectPaths, model: str, target: str, randnetw: bool, roi: str | None = None
) -> pd.Series:
    """Median score over voxels (of one region) or components, per layer."""
    medians = {}
    for layer in MODELS[model].layer_names:
        table = read_table(result_folder(paths, model, layer, target, randnetw))
        if roi is not None:
            table = table[table["roi_label_general"] == roi]
        medians[layer] = float(table[_score_column(target)].median())
    return pd.Series(medians)


def score_summary(paths: ProjectPaths) -> pd.DataFrame:
    """Median scores of every layer of the demo's network, trained and permuted, and of the
    baseline.
    """
    columns = {
        (target, Condition.of(randnetw).value): layer_scores(paths, NETWORK, target, randnetw)
        for target in TARGETS
        for randnetw in (False, True)
    }
    summary = pd.DataFrame(columns)
    for target in TARGETS:
        summary.loc[f"({BASELINE_MODEL})", (target, Condition.TRAINED)] = layer_scores(
            paths, BASELINE_MODEL, target, False
        ).iloc[0]
    return summary


def extracted_scores(paths: ProjectPaths) -> pd.DataFrame:
    """Median scores of what was extracted from the demo's sounds.

    The small network only where it was run to its end.
    """
    rows = {}
    for model, layers in EXTRACTED.items():
        for layer in layers:
            for randnetw in (False, True):
                row = {
                    target: result_folder(paths, model, layer, target, randnetw)
                    for target in TARGETS
                }
                if all(is_complete(folder) for folder in row.values()):
                    rows[model, layer, "permuted" if randnetw else "as it is"] = {
                        target: float(read_table(folder)[_score_column(target)].median())
                        for target, folder in row.items()
                    }
    return pd.DataFrame(rows, index=list(TARGETS)).T


def best_layers(paths: ProjectPaths) -> pd.DataFrame:
    """Best layer of the trained network per region, per data set, and the one that was planted."""
    planted = read_truth(paths.root).roi_layers
    found = {
        target: {roi: layer_scores(paths, NETWORK, target, False, roi).idxmax() for roi in ROIS}
        for target in VOXEL_TARGETS
    }
    return pd.DataFrame({"planted": {roi: planted[roi] for roi in ROIS}, **found})


def plot_overview(paths: ProjectPaths) -> Path:
    """Score per layer, trained and permuted, and per region; saved below ``results/``."""
    from aud_dnn.analyze.plotting.drawings import new_figure, save_figure
    from aud_dnn.analyze.plotting.print_style import paper_style
    from aud_dnn.analyze.plotting.style import BASELINE_COLOR, layer_legend, roi_color

    planted = read_truth(paths.root).roi_layers
    layers = MODELS[NETWORK].layer_names
    rows = {}
    with paper_style():
        figure = new_figure(12, 4.8, layout="constrained")
        axes = figure.subplots(1, 2, sharey=True)
        for condition in Condition:
            scores = layer_scores(paths, NETWORK, "NH2015", condition.randnetw)
            rows[condition.label] = scores
            axes[0].plot(
                scores.to_numpy(),
                "o-",
                color="darkslateblue",
                alpha=0.35 if condition.randnetw else 1,
                label=condition.label,
            )
        baseline = layer_scores(paths, BASELINE_MODEL, "NH2015", False).iloc[0]
        axes[0].axhline(
            baseline, color=BASELINE_COLOR, linestyle="--", label="SpectroTemporal", zorder=0
        )
        axes[0].legend(frameon=False, fontsize=10, loc="upper left")
        axes[0].set(title="All voxels", ylabel="Median noise-corrected $R^2$", ylim=(0, 1.05))
        for roi in ROIS:
            rows[roi] = scores = layer_scores(paths, NETWORK, "NH2015", False, roi)
            axes[1].plot(scores.to_numpy(), "o-", color=roi_color(roi), label=roi)
            axes[1].plot(
                layers.index(planted[roi]),
                0.04,
                "^",
                color=roi_color(roi),
                markersize=10,
                clip_on=False,
            )
        axes[1].legend(frameon=False, fontsize=10, loc="center left", bbox_to_anchor=(1.0, 0.5))
        axes[1].set_title("By region (▲: the layer that drives it)")
        for axis in axes:
            axis.set_xticks(
                range(len(layers)),
                [layer_legend(NETWORK, layer) for layer in layers],
                rotation=45,
                ha="right",
                rotation_mode="anchor",
            )
        figure.suptitle("Demo data (simulated), NH2015")
    written = save_figure(figure, paths.results / FIGURE, pd.DataFrame(rows).rename_axis("layer"))
    return written[-1]


def rsa_summary(paths: ProjectPaths) -> pd.Series:
    """RSA score of the trained models and the noise ceiling (NH2015, all voxels)."""
    summary = summarize_scores(read_analysis(paths.rsa_results, "NH2015"), Condition.TRAINED)
    return pd.concat([summary.table["score"], pd.Series({"(noise ceiling)": summary.ceiling[0]})])

"""Pictures for looking at one regression run.

Predicted against measured responses, and an overview of scores and alphas.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from aud_dnn.analyze.plotting.drawings import new_figure, save_figure
from aud_dnn.analyze.plotting.print_style import paper_style
from aud_dnn.methods.repetitions import mean_response
from aud_dnn.methods.ridge.leave_one_out import SplitRidge
from aud_dnn.methods.ridge.predicting import predict_mean_responses
from aud_dnn.methods.ridge.scores import LayerScores
from aud_dnn.splits import Splits
from aud_dnn.utils import Target

EVERY_NTH_VOXEL = 500


def save_diagnostics(
    folder: Path,
    scores: LayerScores,
    decomposed: Sequence[SplitRidge],
    target: Target,
    splits: Splits,
    title: str,
) -> None:
    """Save ``overview.png`` and ``voxel-<id>.png`` for every 500th voxel (every component) into
    ``folder``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    figure = plot_overview(
        scores,
        decomposed[0].alphas,
        title=f"{title}, {target.name}",
        noise_corrected=target.has_repetitions,
    )
    save_figure(figure, folder / "overview", formats=("png",))
    few = target.n_voxels < EVERY_NTH_VOXEL and not target.has_repetitions  # components: every one
    chosen = np.arange(0, target.n_voxels, 1 if few else EVERY_NTH_VOXEL)
    predicted = predict_mean_responses(decomposed, target.responses[:, chosen], splits)
    measured = mean_response(target.responses[:, chosen])
    unit = target.facts.unit
    for column, voxel in enumerate(chosen):
        r2 = float(np.median(scores.r2_test[voxel]))
        figure = plot_predicted_against_measured(
            measured[:, column],
            predicted[:, :, column],
            splits,
            title=f"{title}, {target.name} {unit} {target.ids[voxel]}: median $R^2$ {r2:.2f}",
        )
        save_figure(figure, folder / f"{unit}-{target.ids[voxel]}", formats=("png",))


def plot_predicted_against_measured(
    measured: np.ndarray, predicted: np.ndarray, splits: Splits, *, title: str
) -> Figure:
    """Predicted against measured responses of one voxel, test and training sounds, one shade per
    split.

    Parameters
    ----------
    measured : array of shape (n_sounds,)
    predicted : array of shape (n_splits, n_sounds)
    splits : Splits
    title : str
    """
    with paper_style():
        figure = new_figure(10, 5, layout="constrained")
        axes = figure.subplots(1, 2, sharex=True, sharey=True)
        shades = mpl.colormaps["viridis"](np.linspace(0, 0.9, len(splits)))
        limits = [min(measured.min(), predicted.min()), max(measured.max(), predicted.max())]
        for axis, masks, half in zip(axes, (splits.test, splits.train), ("Test", "Training")):
            for split, (mask, shade) in enumerate(zip(masks, shades)):
                axis.scatter(
                    measured[mask],
                    predicted[split, mask],
                    s=10,
                    color=shade,
                    alpha=0.6,
                    linewidths=0,
                    label=f"split {split}",
                )
            axis.plot(limits, limits, color="grey", linestyle="--", linewidth=1, zorder=0)
            axis.set(title=f"{half} sounds", xlabel="Measured response", box_aspect=1)
        axes[0].set_ylabel("Predicted response")
        axes[1].legend(
            loc="center left",
            bbox_to_anchor=(1.0, 0.5),
            fontsize="small",
            frameon=False,
            markerscale=2,
        )
        figure.suptitle(title)
    return figure


def plot_overview(
    scores: LayerScores, alphas: np.ndarray, *, title: str, noise_corrected: bool
) -> Figure:
    """Histograms of median R² (raw, corrected), test against training R², and how often each alpha
    was chosen.

    Parameters
    ----------
    scores : LayerScores
    alphas : array of shape (n_alphas,)
        The grid.
    title : str
    noise_corrected : bool
        Whether the target has noise-corrected scores.
    """
    r2, r2_train = np.median(scores.r2_test, axis=1), np.median(scores.r2_train, axis=1)
    with paper_style():
        figure = new_figure(14, 4.2, layout="constrained")
        axes = figure.subplots(1, 3)
        kinds = [("$R^2$", r2)]
        if noise_corrected:
            kinds.append(
                (
                    "noise-corrected $R^2$, shown up to 1.5",
                    np.minimum(np.median(scores.r2_test_c, axis=1), 1.5),
                )
            )
        for label, values in kinds:
            axes[0].hist(
                values,
                bins=np.linspace(0, max(1.0, values.max()), 41),
                alpha=0.6,
                label=f"{label} (median {np.median(values):.2f})",
            )
        axes[0].set(
            xlabel="Median over splits",
            ylabel="Voxels" if noise_corrected else "Components",
            title="Scores on test sounds",
        )
        axes[0].legend(fontsize="small", frameon=False)
        axes[1].scatter(
            r2_train,
            r2,
            s=4 if len(r2) > 500 else 20,
            alpha=0.4,
            linewidths=0,
            color="darkslateblue",
        )
        axes[1].plot([0, 1], [0, 1], color="grey", linestyle="--", linewidth=1)
        axes[1].set(
            xlabel="Median $R^2$, training sounds",
            ylabel="Median $R^2$, test sounds",
            xlim=(0, 1),
            ylim=(0, 1),
            box_aspect=1,
            title="Test against training",
        )
        exponents = np.round(np.log10(scores.alphas)).astype(int)
        counts = np.bincount(
            (exponents - int(np.round(np.log10(alphas[-1])))).ravel(), minlength=len(alphas)
        )
        axes[2].bar(np.round(np.log10(alphas[::-1])), counts, width=1.0, color="darkslateblue")
        axes[2].set(
            xlabel="log$_{10}$ α",
            ylabel="Fits (voxels × splits)",
            title="Chosen alphas",
            yscale="symlog",
        )
        figure.suptitle(title)
    return figure

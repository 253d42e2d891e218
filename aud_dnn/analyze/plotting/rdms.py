"""Pictures of RDMs.

The participants' mean per region, region against region, and a page of all layers of a model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Patch

from aud_dnn.analyze.plotting.drawings import Drawing, new_figure
from aud_dnn.analyze.plotting.print_style import paper_style
from aud_dnn.analyze.plotting.style import category_styles, display_name, layer_legend
from aud_dnn.methods.comparing.triangles import square_matrix
from aud_dnn.store.comparison_parts import Part
from aud_dnn.store.comparisons import ALL_VOXELS
from aud_dnn.tables.comparisons import region_table, regions_in_order
from aud_dnn.targets.categories import SOUND_CATEGORIES
from aud_dnn.targets.facts import ROIS

FORMATS = ("pdf", "svg")
STRIP_WIDTH = 6
NEURAL_LIMITS = (0.0, 1.5)
NAME_SIZE = 2
DISTANCE_LABEL = "1 − Pearson r"
_HOW = (
    "corr-pearson_distance-spearman_meansub-True_withstd-True"  # part of the published folder names
)
NEURAL_FOLDER = f"fmri-data-comparison_{_HOW}"


def _model_folder(target: str, model: str, condition: str) -> str:
    return (
        f"{target}/{model}_rand-{condition == 'permuted'}_roi-{ALL_VOXELS}_{_HOW}-noisecorrect-"
        "False"
    )


def draw_rdm(
    ax: Axes,
    triangle: np.ndarray,
    categories: Sequence[str],
    *,
    limits: tuple[float, float] | None = None,
    names: Sequence[str] | None = None,
    palette: str = "paper",
) -> AxesImage:
    """One matrix of distances 1 - r in grey, first sound below left, with strips in category
    colours left and below.

    Parameters
    ----------
    ax : Axes
    triangle : array of shape (n_pairs,)
        Correlations, upper triangle.
    categories : sequence of str
        Of every sound, in the order of the matrix.
    limits : (low, high), optional
        Of the grey scale; those of the data by default.
    names : sequence of str, optional
        Names of the sounds, in 2-point type.
    palette : str
    """
    distances = 1.0 - square_matrix(triangle)
    n_sounds = len(distances)
    low, high = limits or (None, None)
    image = ax.imshow(
        distances,
        cmap="gray",
        origin="lower",
        extent=(0, n_sounds, 0, n_sounds),
        vmin=low,
        vmax=high,
        interpolation="nearest",
        aspect="equal",
    )
    styles = category_styles(palette)
    colors = np.array(
        [
            _rgb(styles[category].color if category in styles else "#ffffff")
            for category in categories
        ]
    )
    ax.imshow(
        colors[:, None, :],
        origin="lower",
        extent=(-STRIP_WIDTH, 0, 0, n_sounds),
        interpolation="nearest",
        aspect="equal",
    )
    ax.imshow(
        colors[None, :, :],
        origin="lower",
        extent=(0, n_sounds, -STRIP_WIDTH, 0),
        interpolation="nearest",
        aspect="equal",
    )
    ax.set(xlim=(-STRIP_WIDTH, n_sounds), ylim=(-STRIP_WIDTH, n_sounds))
    for side in ax.spines.values():
        side.set_visible(False)
    ax.set(xticks=[], yticks=[])
    # plain texts: as tick labels they would be measured over and over while the figure is laid out
    for place, name in enumerate(names or ()):
        ax.text(
            place + 0.5,
            -STRIP_WIDTH - 1,
            name,
            rotation=90,
            ha="center",
            va="top",
            fontsize=NAME_SIZE,
        )
        ax.text(-STRIP_WIDTH - 1, place + 0.5, name, ha="right", va="center", fontsize=NAME_SIZE)
    return image


def _rgb(color: str) -> tuple[float, float, float]:
    return tuple(int(color[start : start + 2], 16) / 255 for start in (1, 3, 5))


def _color_bar(figure: Figure, image: AxesImage, ax: Axes) -> None:
    bar = figure.colorbar(image, cax=ax)
    bar.set_label(DISTANCE_LABEL, fontsize=9)
    bar.ax.tick_params(labelsize=8)


def _category_legend(figure: Figure, categories: Sequence[str], palette: str, **placement) -> None:
    styles = category_styles(palette)
    shown = [name for name in SOUND_CATEGORIES if name in set(categories)]
    if shown:
        figure.legend(
            handles=[
                Patch(color=styles[name].color, label=SOUND_CATEGORIES[name].display_name)
                for name in shown
            ],
            frameon=False,
            fontsize=8,
            **placement,
        )


def neural_rdms(
    datasets: Mapping[tuple[str, str], xr.Dataset],
    target: str,
    *,
    rois: Sequence[str] = ROIS,
    names: bool = False,
    palette: str = "paper",
) -> Drawing:
    """RDM of every region, mean over participants, all sounds.

    Parameters
    ----------
    datasets : mapping from (target, region) to Dataset
    target : str
    rois : sequence of str
        ``("All",)`` for all voxels.
    names : bool
        With the names of the sounds.
    palette : str
    """
    shown = [roi for roi in rois if (target, roi) in datasets]
    side = 5.5 if names else 3.6
    means = {
        roi: np.nanmean(datasets[target, roi]["all_data_corr_mat_fmri"].values, axis=0)
        for roi in shown
    }
    categories = datasets[target, shown[0]]["category"].values.tolist()
    sounds = datasets[target, shown[0]]["sound"].values.tolist()
    with paper_style():
        figure = new_figure(side * len(shown) + 1.8, side + 0.4)
        axes = np.atleast_1d(figure.subplots(1, len(shown)))
        for ax, roi in zip(axes, shown):
            image = draw_rdm(
                ax,
                means[roi],
                categories,
                limits=NEURAL_LIMITS,
                names=sounds if names else None,
                palette=palette,
            )
            n_participants = int(
                np.isfinite(datasets[target, roi]["all_data_corr_mat_fmri"].values)
                .all(axis=1)
                .sum()
            )
            label = "All voxels" if roi == ALL_VOXELS else roi
            ax.set_title(f"{target}, {label} ({n_participants} participants)", fontsize=10)
        width = side * len(shown) + 1.8
        figure.subplots_adjust(
            left=0.5 / width,
            right=1 - 2.0 / width,
            bottom=0.08,
            top=0.9,
            wspace=0.15 if names else 0.08,
        )
        bar_axis = figure.add_axes([1 - 1.85 / width, 0.58, 0.12 / width, 0.3])
        _color_bar(figure, image, bar_axis)
        _category_legend(
            figure, categories, palette, loc="upper left", bbox_to_anchor=(1 - 1.95 / width, 0.52)
        )
    label = "-".join(shown)
    stem = f"{label}{'_with_sound_names' if names else ''}_individual_roi_neural_rdms"
    return Drawing(figure, f"{target}/{NEURAL_FOLDER}/{stem}", None, FORMATS)


def region_matrix(datasets: Mapping[tuple[str, str], xr.Dataset], target: str) -> Drawing:
    """Similarity of the regions' RDMs, mean over participants, shown from 0 to 1."""
    table = region_table({pair: dataset for pair, dataset in datasets.items() if pair[0] == target})
    rois = regions_in_order(datasets, target)
    mean = table.pivot_table(
        index="roi_a", columns="roi_b", values="similarity", aggfunc="mean"
    ).loc[rois, rois]
    with paper_style():
        figure = new_figure(5.2, 4.4)
        ax = figure.add_subplot()
        image = ax.imshow(mean.to_numpy(), cmap="gray", vmin=0, vmax=1)
        for row, column in np.ndindex(mean.shape):
            value = mean.iloc[row, column]
            ax.text(
                column,
                row,
                f"{value:.2f}",
                ha="center",
                va="center",
                color="black" if value > 0.5 else "white",
            )
        ax.set_xticks(range(len(rois)), rois, rotation=45, ha="right", rotation_mode="anchor")
        ax.set_yticks(range(len(rois)), rois)
        ax.tick_params(length=0)
        for side in ax.spines.values():
            side.set_visible(False)
        figure.colorbar(image, label="Spearman similarity of RDMs")
        ax.set_title(
            f"{target}: regions against regions\nmean over participants, all sounds", fontsize=11
        )
    return Drawing(figure, f"{target}/{NEURAL_FOLDER}/roi_correlations", mean, FORMATS)


def model_page(part: Part, dataset: xr.Dataset, *, palette: str = "paper") -> Drawing:
    """All layers of one model in one condition.

    RDM, and similarity with the brain, mean over participants.

    The best layer on average is framed.

    Parameters
    ----------
    part : Part
        RDMs of the layers (``parts/models/…``).
    dataset : Dataset
        Scores on all voxels of one target.
    palette : str
    """
    model, condition = part.about["model"], part.about["condition"]
    record = dataset.sel(model=model, condition=condition)
    n_layers = len(part.layers)
    all_sounds = _known_mean(record["all_data_rsa_for_best_layer"].values[:, :n_layers])
    test = _known_mean(record["splits_median_distance_all_layers"].values[:, :n_layers])
    categories = dataset["category"].values.tolist()
    columns = min(6, max(1, int(np.ceil(np.sqrt(n_layers)))))
    rows = -(-n_layers // columns)
    best = int(np.nanargmax(all_sounds)) if np.isfinite(all_sounds).any() else -1
    width, height = 2.1 * columns + 1.7, max(2.5 * rows + 0.7, 3.6)
    with paper_style():
        figure = new_figure(width, height)
        axes = np.atleast_1d(figure.subplots(rows, columns)).ravel()
        low, high = 1 - np.nanmax(part.arrays["rdms"]), 1 - np.nanmin(part.arrays["rdms"])
        for ax, layer, triangle, index in zip(
            axes, part.layers, part.arrays["rdms"], range(n_layers)
        ):
            image = draw_rdm(ax, triangle, categories, limits=(low, high), palette=palette)
            ax.set_title(
                f"{layer_legend(model, layer)}\nall {all_sounds[index]:.3f}, test "
                f"{test[index]:.3f}",
                fontsize=8,
                fontweight="bold" if index == best else "normal",
            )
            if index == best:
                for side in ax.spines.values():
                    side.set(visible=True, color="red", linewidth=1.5)
        for ax in axes[n_layers:]:
            ax.set_axis_off()
        figure.subplots_adjust(
            left=0.01,
            right=1 - 1.7 / width,
            top=1 - 0.85 / height,
            bottom=0.01,
            hspace=0.28,
            wspace=0.06,
        )
        bar_axis = figure.add_axes([1 - 1.5 / width, 1 - 1.9 / height, 0.12 / width, 1.1 / height])
        _color_bar(figure, image, bar_axis)
        _category_legend(
            figure,
            categories,
            palette,
            loc="upper left",
            bbox_to_anchor=(1 - 1.6 / width, 1 - 2.0 / height),
            borderaxespad=0,
            handlelength=1,
        )
        concatenated = float(_known_mean(record["all_model_features_rsa"].values[:, None])[0])
        figure.suptitle(
            f"{display_name(model)} ({condition}), {dataset.attrs['target']}: Spearman similarity, "
            f"mean over participants\nall layers concatenated {concatenated:.3f}",
            fontsize=10,
            x=0.02,
            ha="left",
            y=1 - 0.08 / height,
        )
    table = pd.DataFrame(
        {
            "layer": list(part.layers),
            "similarity_all_sounds": all_sounds,
            "test_similarity_median": test,
        }
    )
    folder = _model_folder(dataset.attrs["target"], model, condition)
    return Drawing(
        figure, f"{folder}/full_data_correlation_matrix", table.set_index("layer"), FORMATS
    )


def best_layer_rdm(part: Part, dataset: xr.Dataset, *, palette: str = "paper") -> Drawing:
    """RDM of the layer most similar to the brain on average, with the names of the sounds."""
    model, condition = part.about["model"], part.about["condition"]
    scores = _known_mean(
        dataset.sel(model=model, condition=condition)["all_data_rsa_for_best_layer"].values[
            :, : len(part.layers)
        ]
    )
    best = int(np.nanargmax(scores)) if np.isfinite(scores).any() else 0
    categories = dataset["category"].values.tolist()
    with paper_style():
        figure = new_figure(7.4, 6)
        ax = figure.add_subplot()
        image = draw_rdm(
            ax,
            part.arrays["rdms"][best],
            categories,
            names=dataset["sound"].values.tolist(),
            palette=palette,
        )
        ax.set_title(
            f"{display_name(model)} ({condition}), {layer_legend(model, part.layers[best])}\n"
            f"{dataset.attrs['target']}: Spearman similarity {scores[best]:.3f} (all sounds)",
            fontsize=10,
        )
        figure.subplots_adjust(left=0.07, right=0.76, bottom=0.1, top=0.92)
        _color_bar(figure, image, figure.add_axes([0.79, 0.6, 0.02, 0.3]))
        _category_legend(figure, categories, palette, loc="upper left", bbox_to_anchor=(0.77, 0.56))
    folder = _model_folder(dataset.attrs["target"], model, condition)
    return Drawing(figure, f"{folder}/best_layer_correlation_matrix_with_labels", None, FORMATS)


def _known_mean(values: np.ndarray) -> np.ndarray:
    """Mean over participants without the NaNs; NaN where there is nothing else."""
    known = np.isfinite(values)
    count = known.sum(axis=0)
    total = np.where(known, values, 0.0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)

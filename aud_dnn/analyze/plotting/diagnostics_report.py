"""How well the fits of a model went, layer by layer."""

from __future__ import annotations

import numpy as np
import pandas as pd

from aud_dnn.analyze.plotting.style import Drawing, display_name, layer_legend, new_figure, paper_style, roi_color

_PANELS = (
    ("Constant predictions (%)", {"warning_constant_mean_PERC": "mean of repetitions",
                                  "warning_constant_splits_PERC": "single repetitions"}),
    ("Alpha at the edge (%)", {"warning_alphas_upper_PERC": "largest", "warning_alphas_lower_PERC": "smallest"}),
    ("Share of all fits (%)", {"exceed1_r2_test_c_PERC": "corrected $R^2$ above 1", "neg_r_test_PERC": "negative r"}),
    ("Mean over voxels of the median", {"r2_train_no_constant_warning_mean_MEDIAN": "$R^2$ train",
                                        "r2_test_no_constant_warning_mean_MEDIAN": "$R^2$ test"}),
)


def fit_overview(table: pd.DataFrame, *, model: str, target: str, randnetw: bool, stem: str,
                 palette: str = "paper") -> Drawing:
    """Four panels over the layers: constant predictions, alphas at the edge, odd scores, train against test.

    Parameters
    ----------
    table : DataFrame
        One row per layer, columns of :func:`aud_dnn.aggregate.fit_diagnostics.fit_statistics`.
    """
    layers = list(table.index)
    places = np.arange(len(layers))
    colors = (roi_color("none", palette), roi_color("any_roi", palette))
    with paper_style():
        figure = new_figure(13, 8)
        for ax, (label, lines) in zip(figure.subplots(2, 2).ravel(), _PANELS):
            for color, (column, name) in zip(colors, lines.items()):
                if column in table:
                    ax.plot(places, table[column].astype(float), marker="o", markersize=4, color=color, label=name)
            ax.set_xticks(places, [layer_legend(model, layer) for layer in layers], rotation=60, ha="right",
                          rotation_mode="anchor", fontsize=7 if len(layers) > 20 else 9)
            ax.set(ylabel=label, ylim=(0, None))
            ax.legend(frameon=False, fontsize=9)
        figure.suptitle(f"{display_name(model)}{' randnetw' if randnetw else ''}, {target}")
        figure.tight_layout()
    return Drawing(figure, stem, table)

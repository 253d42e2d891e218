"""Predicted against measured component responses (Figure 4)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from aud_dnn import stats
from aud_dnn.analyze.plotting.drawings import Drawing, new_figure
from aud_dnn.analyze.plotting.print_style import paper_style
from aud_dnn.analyze.plotting.style import category_styles, component_name, layer_legend
from aud_dnn.conditions import Condition
from aud_dnn.targets.categories import SOUND_CATEGORIES
from aud_dnn.targets.facts import COMPONENTS


def common_limits(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Limits that hold both, with the published margin (the upper one is reckoned from the widened
    lower limit).
    """
    low, high = float(min(x.min(), y.min())), float(max(x.max(), y.max()))
    low -= 0.05 * (high - low)
    return low, high + 0.05 * (high - low)


def response_scatter(
    measured: np.ndarray,
    predicted: np.ndarray,
    categories: Sequence[str],
    sounds: Sequence[str],
    *,
    component: str,
    model: str,
    layer: str,
    randnetw: bool,
    r2: float,
    value: str,
    suffix: str = "",
    palette: str = "paper",
) -> Drawing:
    """One dot per sound, coloured by its category.

    Parameters
    ----------
    measured, predicted : arrays of shape (n_sounds,)
        ``predicted`` is the mean over the splits in which the sound was a test sound.
    categories, sounds : sequences of str
        Of each sound.
    component, model, layer : str
    randnetw : bool
    r2 : float
        The cross-validated score of Figure 5, a mean over iterations that may involve several
        layers; it is *not* the R² of the dots.
    """
    number = COMPONENTS.index(component) + 1
    styles = category_styles(palette)
    legend = layer_legend(model, layer)
    label = f"{r2:.2g}"
    limits = common_limits(measured, predicted)
    with paper_style():
        figure = new_figure(7, 5)
        ax = figure.add_subplot()
        for category, style in styles.items():
            chosen = [place for place, name in enumerate(categories) if name == category]
            ax.scatter(
                measured[chosen], predicted[chosen], s=22, color=style.color, marker=style.marker
            )
        ax.set_box_aspect(1)
        ax.set(xlim=limits, ylim=limits)
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(MaxNLocator(5))
        ax.set_xlabel("Actual", fontsize=15)
        ax.set_ylabel("Predicted", fontsize=15)
        ax.set_title(
            f'Component {number}: "{component_name(component)}"{" randnetw" if randnetw else ""}\n'
            f"{model} {legend}, median $R^2$: {label}",
            fontsize=11,
        )
        ax.text(0.035, 0.93, legend, transform=ax.transAxes, fontsize=15, ha="left", va="center")
        ax.text(
            0.98,
            0.02,
            f"$R^2$: {label}",
            transform=ax.transAxes,
            fontsize=15,
            ha="right",
            va="bottom",
        )
        handles = [
            Line2D(
                [],
                [],
                linestyle="none",
                marker=style.marker,
                color=style.color,
                label=SOUND_CATEGORIES[category].display_name,
            )
            for category, style in styles.items()
        ]
        ax.legend(
            handles=handles,
            loc="center left",
            bbox_to_anchor=(1.02, 0.5),
            frameon=False,
            fontsize=10,
        )
    table = pd.DataFrame(
        {"measured": measured, "predicted": predicted, "category": list(categories)},
        index=pd.Index(sounds, name="sound"),
    )
    table = table.assign(
        comp=component,
        source_model=model,
        source_layer=layer,
        randnetw=str(randnetw),
        **{value: r2},
    )
    stem = (
        f"scatter-comp-{component}_resp-vs-pred_{model}{Condition.of(randnetw).suffix}_{layer}_NH2015comp_"
        f"{value}{suffix}"
    )
    return Drawing(figure, stem, table, formats=("svg",))


def category_correlations(
    measured: np.ndarray, predicted: np.ndarray, categories: Sequence[str]
) -> pd.DataFrame:
    """Correlation of predicted with measured responses within each sound category and each broad
    class.

    Returns
    -------
    DataFrame
        ``category, r, r2, p, n, mean_measured, mean_predicted``; r is NaN for categories of fewer
        than three sounds.
    """
    broad = [SOUND_CATEGORIES[name].broad for name in categories]
    rows = []
    for labels, names in (
        (list(categories), list(SOUND_CATEGORIES)),
        (broad, list(dict.fromkeys(broad))),
    ):
        for name in names:
            chosen = np.array([label == name for label in labels])
            r, p, n = stats.pearson(measured[chosen], predicted[chosen])
            rows.append(
                {
                    "category": name,
                    "r": r,
                    "r2": r**2,
                    "p": p,
                    "n": n,
                    "mean_measured": measured[chosen].mean() if n else np.nan,
                    "mean_predicted": predicted[chosen].mean() if n else np.nan,
                }
            )
    return pd.DataFrame(rows)

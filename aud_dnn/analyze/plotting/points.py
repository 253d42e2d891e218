"""Points of models with error bars, their legend and their labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MultipleLocator

from aud_dnn import stats
from aud_dnn.analyze.plotting.style import (
    PointStyle,
    format_p,
)


@dataclass(frozen=True)
class Limits:
    """Axis limits of the paper; None leaves them to the data, equal on both axes where ``equal``.

    ``step`` is the distance of ticks on an axis that has its limits.
    """

    x: tuple[float, float] | None = None
    y: tuple[float, float] | None = None
    equal: bool = True
    step: float | None = None

    def apply(self, ax: Axes, x: np.ndarray, y: np.ndarray) -> None:
        """Set them; limits that would hide a point are given up for automatic ones."""
        chosen = {}
        for name, limits, values in (("x", self.x, x), ("y", self.y, y)):
            if limits is not None and values.min() >= limits[0] and values.max() <= limits[1]:
                chosen[f"{name}lim"] = limits
        if self.equal and len(chosen) < 2:
            low = min(ax.get_xlim()[0], ax.get_ylim()[0])
            high = max(ax.get_xlim()[1], ax.get_ylim()[1])
            margin = 0.03 * (high - low)  # that of the narrower axis is too little here
            chosen = dict.fromkeys(("xlim", "ylim"), (low - margin, high + margin))
        elif self.step is not None:
            for name in chosen:
                getattr(ax, f"{name[0]}axis").set_major_locator(MultipleLocator(self.step))
        ax.set(**chosen)


def draw_points(
    ax: Axes,
    x: np.ndarray,
    y: np.ndarray,
    styles: Sequence[PointStyle],
    *,
    xerr: np.ndarray | None = None,
    yerr: np.ndarray | None = None,
    size: float = 7.5,
    bar_width: float = 1.5,
) -> None:
    """One marker per point, with error bars without caps."""
    for place, style in enumerate(styles):
        fill = style.color if style.filled else "none"
        ax.errorbar(
            x[place],
            y[place],
            xerr=None if xerr is None else xerr[place],
            yerr=None if yerr is None else yerr[place],
            fmt=style.marker,
            markersize=size,
            color=style.color,
            markerfacecolor=fill,
            markeredgecolor=style.color,
            elinewidth=bar_width,
            capsize=0,
        )


def legend_right(
    ax: Axes,
    labels: Sequence[str],
    styles: Sequence[PointStyle],
    *,
    size: float = 10,
    columns: int = 1,
) -> None:
    """A legend of points right of the axis."""
    handles = [
        Line2D(
            [],
            [],
            linestyle="none",
            marker=style.marker,
            color=style.color,
            markersize=8,
            markerfacecolor=style.color if style.filled else "none",
        )
        for style in styles
    ]
    ax.legend(
        handles,
        labels,
        loc="center left",
        bbox_to_anchor=(1.02, 0.5),
        frameon=False,
        fontsize=size,
        ncols=columns,
    )


def label_points(
    ax: Axes, x: np.ndarray, y: np.ndarray, names: Sequence[str], styles: Sequence[PointStyle]
) -> None:
    """Names in a column right of the axis, each joined to its point.

    From bottom to top as the points are.
    """
    gap = min(0.065, 1 / len(names))
    low, high = ax.get_ylim()
    order = np.lexsort((-np.asarray(x), y))
    heights = (np.asarray(y)[order] - low) / (high - low)
    for place in range(1, len(heights)):
        heights[place] = max(heights[place], heights[place - 1] + gap)
    ceiling = 1.0
    for place in reversed(range(len(heights))):
        heights[place] = ceiling = min(heights[place], ceiling)
        ceiling -= gap
    for place, height in zip(order, heights):
        ax.annotate(
            names[place],
            (x[place], y[place]),
            xytext=(1.06, height),
            textcoords="axes fraction",
            va="center",
            fontsize=9 if gap > 0.05 else 7,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": styles[place].color,
                "linewidth": 0.8,
                "shrinkB": 4,
                "relpos": (0, 0.5),
            },
        )


def correlation_text(x: np.ndarray, y: np.ndarray, decimals: int = 2) -> str:
    """``$R^2$=0.92, p=1.2e-05``: square of Pearson's r and its p."""
    r, p, _ = stats.pearson(x, y)
    return f"$R^2$={r**2:.{decimals}f}, {format_p(p)}" if r == r else "too few points to correlate"

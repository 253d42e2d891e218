"""Maps of the cortical surface (Figure 6) and histograms of preferred layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aud_dnn.analyze.plotting.drawings import Drawing, new_figure
from aud_dnn.analyze.plotting.print_style import paper_style
from aud_dnn.analyze.plotting.style import display_name, mark_incomplete
from aud_dnn.tables.surface import HEMISPHERES, FlatVertices, project_to_vertices, value_grid

HEMISPHERE_NAMES = {"lh": "left", "rh": "right"}
_MESH = "fsaverage5"  # comes with nilearn; its vertices are the first 10,242 of fsaverage
_MARGIN, _SMALLEST_VIEW = 20.0, 130.0  # mm of cortex around the voxels
_ZOOM = 1.9  # fills the axes with what lies within the limits


def _colors(palette: str) -> mpl.colors.Colormap:
    """From early (blue) to late (red) along a part of the colour wheel, or a map safe for
    colour-blind readers.
    """
    if palette == "colorblind":
        return mpl.colormaps[
            "plasma"
        ]  # colourful all the way: cividis is grey in the middle, like the cortex
    wheel = mpl.colormaps["hsv"](np.linspace(0.66, 0.0, 256))  # reversed, and cut before it closes
    return mpl.colors.ListedColormap(wheel, name="inverse truncated wheel")


@dataclass(frozen=True)
class Scale:
    """How values become colours.

    Attributes
    ----------
    label : str
        Beside the colour bar.
    limits : (low, high)
        Values beyond get the colour of the nearer end.
    names : mapping of int -> (name, colour), optional
        For codes instead of quantities: one colour each, named on the colour bar. ``limits`` are
        not used then.
    """

    label: str
    limits: tuple[float, float] = (0.0, 1.0)
    names: Mapping[int, tuple[str, str]] | None = None

    def colors(self, palette: str) -> tuple[mpl.colors.Colormap, tuple[float, float]]:
        """Colour map and the values at its ends."""
        if self.names is None:
            return _colors(palette), self.limits
        codes = range(min(self.names), max(self.names) + 1)
        return (
            mpl.colors.ListedColormap([self.names[code][1] for code in codes]),
            (codes.start - 0.5, codes.stop - 0.5),
        )

    def bar(self, figure: Figure, palette: str, **place) -> None:
        """Draw the colour bar."""
        colors, limits = self.colors(palette)
        bar = figure.colorbar(mpl.cm.ScalarMappable(mpl.colors.Normalize(*limits), colors), **place)
        bar.set_label(self.label, fontsize=11)
        bar.ax.tick_params(labelsize=10)
        if self.names is not None:
            bar.set_ticks(list(self.names), labels=[name for name, _ in self.names.values()])
        elif limits[1] - limits[0] <= 12 and all(float(limit).is_integer() for limit in limits):
            bar.set_ticks(np.arange(limits[0], limits[1] + 1))


def flat_map(
    table: pd.DataFrame,
    column: str,
    scale: Scale,
    *,
    title: str,
    stem: str,
    palette: str = "paper",
    missing: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> Drawing:
    """One picture per hemisphere on the voxel grid; white where there is no voxel.

    Parameters
    ----------
    table : DataFrame
        One row per coordinate: ``x_ras, y_ras, hemi`` and ``column``.
    column : str
    scale : Scale
    title, stem : str
    missing : sequence of str
        Models that a map over models lacks.
    """
    colors, limits = scale.colors(palette)
    with paper_style():
        figure = new_figure(9, 3.6)
        figure.set_layout_engine("constrained")
        axes = figure.subplots(1, 2)
        for ax, hemi in zip(axes, HEMISPHERES):
            own = table[table["hemi"] == hemi]
            ax.set_title(f"{HEMISPHERE_NAMES[hemi]} hemisphere", fontsize=12)
            if own.empty:
                ax.set_axis_off()
                continue
            x, y, grid = value_grid(own["x_ras"], own["y_ras"], own[column])
            ax.pcolormesh(
                x,
                y,
                grid,
                cmap=colors,
                vmin=limits[0],
                vmax=limits[1],
                shading="nearest",
                rasterized=True,
            )
            ax.set_aspect("equal")
            ax.set(
                xlabel="x on the flat map",
                ylabel="y on the flat map" if hemi == HEMISPHERES[0] else "",
            )
        figure.suptitle(title, fontsize=12)
        scale.bar(figure, palette, ax=axes, shrink=0.8)
        # lays the axes out, so that the notes find the place below them
        figure.draw_without_rendering()
        mark_incomplete(figure, missing, notes=notes)
    return Drawing(figure, stem, table.set_index("coord_id"))


def _look_at(ax: Axes, places: np.ndarray) -> None:
    """Fill the axes with the surroundings of ``places`` (vertices x 3, in mm).

    The whole hemisphere where there is none.
    """
    ax.set_proj_type("ortho")
    ax.set_title("")
    if not len(places):
        return
    low, high = places.min(axis=0), places.max(axis=0)
    half = max(_MARGIN + (high - low)[1:].max() / 2, _SMALLEST_VIEW / 2)
    for middle, limit in zip((low + high) / 2, (ax.set_xlim, ax.set_ylim, ax.set_zlim)):
        limit(middle - half, middle + half)
    ax.set_box_aspect((1, 1, 1), zoom=_ZOOM)


def surface_map(
    table: pd.DataFrame,
    column: str,
    vertices: Mapping[str, FlatVertices],
    scale: Scale,
    *,
    title: str,
    stem: str,
    palette: str = "paper",
    missing: Sequence[str] = (),
) -> Drawing:
    """The same on the inflated fsaverage surface, lateral view.

    Needs nilearn (``pip install -e '.[surface]'``).

    Parameters
    ----------
    vertices : mapping of hemisphere to FlatVertices
        Of :func:`aud_dnn.tables.surface.read_flat_vertices`.
    """
    from nilearn.datasets import fetch_surf_fsaverage
    from nilearn.plotting import plot_surf
    from nilearn.surface import load_surf_mesh

    mesh = fetch_surf_fsaverage(_MESH)
    if scale.names is not None:  # the code 0 means "none": nothing is drawn there
        scale = replace(scale, names={code: entry for code, entry in scale.names.items() if code})
    colors, limits = scale.colors(palette)
    with paper_style():
        figure = new_figure(9.4, 4.6)
        for place, hemi in enumerate(HEMISPHERES):
            ax = figure.add_axes((0.01 + 0.45 * place, 0.01, 0.43, 0.88), projection="3d")
            side = HEMISPHERE_NAMES[hemi]
            figure.text(
                0.225 + 0.45 * place,
                0.9,
                f"{side} hemisphere",
                ha="center",
                va="bottom",
                fontsize=12,
            )
            surface = mesh[f"infl_{side}"]
            own = table[table["hemi"] == hemi]
            if own.empty:
                ax.set_axis_off()
                continue
            coordinates = np.asarray(load_surf_mesh(surface).coordinates)
            values = project_to_vertices(
                own["x_ras"], own["y_ras"], own[column], vertices[hemi], len(coordinates)
            )
            # the median of a triangle's corners, not their mean, which between regions would be the
            # code of a third one
            plot_surf(
                surface,
                values,
                hemi=side,
                view="lateral",
                bg_map=mesh[f"sulc_{side}"],
                bg_on_data=False,
                cmap=colors,
                avg_method="median",
                vmin=limits[0],
                vmax=limits[1],
                colorbar=False,
                axes=ax,
                figure=figure,
            )
            _look_at(ax, coordinates[np.isfinite(values)])
        scale.bar(figure, palette, cax=figure.add_axes((0.915, 0.1, 0.016, 0.7)))
        figure.suptitle(title, fontsize=12, y=0.99)
        mark_incomplete(figure, missing)
    return Drawing(figure, stem, table.set_index("coord_id"), formats=("png",))


def layer_histogram(
    counts: pd.DataFrame, *, model: str, target: str, randnetw: bool, stem: str
) -> Drawing:
    """How many voxels prefer each layer: one bar per layer, centred on its position."""
    total = int(counts["pos"].sum())
    with paper_style():
        figure = new_figure(7, 5)
        ax = figure.add_subplot()
        places = np.arange(1, len(counts) + 1)
        ax.bar(places, counts["pos"], width=1, edgecolor="white")
        ax.set_xticks(
            places,
            counts["layer_legend"],
            rotation=70,
            ha="right",
            rotation_mode="anchor",
            fontsize=7 if len(counts) > 20 else 10,
        )
        ax.set(ylabel="Number of voxels")
        ax.set_title(
            f"{display_name(model)}{' randnetw' if randnetw else ''}, {target}: preferred layer of "
            f"{total} voxels",
            fontsize=12,
        )
    return Drawing(figure, stem, counts.set_index("layer_pos"))

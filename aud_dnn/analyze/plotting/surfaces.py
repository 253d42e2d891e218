"""Maps of the cortical surface (Figure 6) and histograms of preferred layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd

from aud_dnn.aggregate.surface import HEMISPHERES, FlatVertices, project_to_vertices, value_grid
from aud_dnn.analyze.plotting.style import Drawing, display_name, mark_incomplete, new_figure, paper_style

HEMISPHERE_NAMES = {"lh": "left", "rh": "right"}
_MESH = "fsaverage5"    # comes with nilearn; its vertices are the first 10,242 of fsaverage


def _colors(palette: str) -> mpl.colors.Colormap:
    """From early (blue) to late (red) along a part of the colour wheel, or a map safe for colour-blind readers."""
    if palette == "colorblind":
        return mpl.colormaps["cividis"]
    wheel = mpl.colormaps["hsv"](np.linspace(0.66, 0.0, 256))     # reversed, and cut before it closes
    return mpl.colors.ListedColormap(wheel, name="inverse truncated wheel")


def flat_map(table: pd.DataFrame, column: str, *, title: str, label: str, limits: tuple[float, float], stem: str,
             palette: str = "paper", missing: Sequence[str] = (), notes: Sequence[str] = ()) -> Drawing:
    """One picture per hemisphere on the voxel grid; white where there is no voxel.

    Parameters
    ----------
    table : DataFrame
        One row per coordinate: ``x_ras, y_ras, hemi`` and ``column``.
    column, title, label, stem : str
    limits : (low, high)
        Of the colour scale.
    missing : sequence of str
        Models that a map over models lacks.
    """
    with paper_style():
        figure = new_figure(9, 4)
        figure.set_layout_engine("constrained")
        axes = figure.subplots(1, 2)
        for ax, hemi in zip(axes, HEMISPHERES):
            own = table[table["hemi"] == hemi]
            ax.set_title(f"{HEMISPHERE_NAMES[hemi]} hemisphere", fontsize=12)
            if own.empty:
                ax.set_axis_off()
                continue
            x, y, grid = value_grid(own["x_ras"], own["y_ras"], own[column])
            image = ax.pcolormesh(x, y, grid, cmap=_colors(palette), vmin=limits[0], vmax=limits[1], shading="nearest",
                                  rasterized=True)
            ax.set_aspect("equal")
            ax.set(xlabel="x on the flat map", ylabel="y on the flat map" if hemi == HEMISPHERES[0] else "")
        figure.suptitle(title, fontsize=12)
        figure.colorbar(image, ax=axes, label=label, shrink=0.8)
        mark_incomplete(figure, missing, notes=notes)
    return Drawing(figure, stem, table.set_index("coord_id"))


def surface_map(table: pd.DataFrame, column: str, vertices: Mapping[str, FlatVertices], *, title: str, label: str,
                limits: tuple[float, float], stem: str, palette: str = "paper", missing: Sequence[str] = ()) -> Drawing:
    """The same on the inflated fsaverage surface, lateral view; needs nilearn (``pip install auditory-brain-dnn[surface]``).

    Parameters
    ----------
    vertices : mapping of hemisphere to FlatVertices
        Of :func:`aud_dnn.aggregate.surface.read_flat_vertices`.
    """
    from nilearn.datasets import fetch_surf_fsaverage
    from nilearn.plotting import plot_surf_stat_map
    from nilearn.surface import load_surf_mesh

    mesh = fetch_surf_fsaverage(_MESH)
    with paper_style():
        figure = new_figure(10, 4.5)
        for place, hemi in enumerate(HEMISPHERES, start=1):
            ax = figure.add_subplot(1, 2, place, projection="3d")
            side = HEMISPHERE_NAMES[hemi]
            surface = mesh[f"infl_{side}"]
            own = table[table["hemi"] == hemi]
            values = project_to_vertices(own["x_ras"], own["y_ras"], own[column], vertices[hemi],
                                         len(load_surf_mesh(surface).coordinates))
            plot_surf_stat_map(surface, values, hemi=side, view="lateral", bg_map=mesh[f"sulc_{side}"], bg_on_data=False,
                               cmap=_colors(palette), vmin=limits[0], vmax=limits[1], symmetric_cbar=False, colorbar=False,
                               axes=ax, figure=figure)
            ax.set_title(f"{side} hemisphere", fontsize=12)
        scale = mpl.cm.ScalarMappable(mpl.colors.Normalize(*limits), _colors(palette))
        figure.colorbar(scale, ax=figure.axes, label=label, shrink=0.7)
        figure.suptitle(title, fontsize=12)
        mark_incomplete(figure, missing)
    return Drawing(figure, stem, table.set_index("coord_id"), formats=("png",))


def layer_histogram(counts: pd.DataFrame, *, model: str, target: str, randnetw: bool, stem: str) -> Drawing:
    """How many voxels prefer each layer: one bar per layer, centred on its position."""
    total = int(counts["pos"].sum())
    with paper_style():
        figure = new_figure(7, 5)
        ax = figure.add_subplot()
        places = np.arange(1, len(counts) + 1)
        ax.bar(places, counts["pos"], width=1, edgecolor="white")
        ax.set_xticks(places, counts["layer_legend"], rotation=70, ha="right", rotation_mode="anchor",
                      fontsize=7 if len(counts) > 20 else 10)
        ax.set(ylabel="Number of voxels")
        ax.set_title(f"{display_name(model)}{' randnetw' if randnetw else ''}, {target}: preferred layer of {total} voxels",
                     fontsize=12)
    return Drawing(figure, stem, counts.set_index("layer_pos"))

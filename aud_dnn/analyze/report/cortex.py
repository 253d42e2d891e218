"""Where on the cortex a model's scores lie: voxel by voxel on the flat map, and on fsaverage.

The flat map is drawn like the other charts. The interactive brain is nilearn's viewer, put into the
page as it is (2.8 MB, of which Plotly is half, so once per page). It needs to know where vertices
of fsaverage lie on the flat map, which is a file of the published data.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from aud_dnn.analyze.report.charts import specification
from aud_dnn.conditions import Condition
from aud_dnn.errors import InputError
from aud_dnn.paths import ProjectPaths
from aud_dnn.tables.model_results import load_model_results
from aud_dnn.tables.per_model import row_scores
from aud_dnn.tables.surface import (
    GRID_STEP,
    HEMISPHERES,
    VERTEX_FILE,
    median_by_coordinate,
    project_to_vertices,
    read_flat_vertices,
)
from aud_dnn.targets.facts import VOXEL_TARGETS

if TYPE_CHECKING:
    import altair as alt

INSTALL = "For these scores on an inflated brain that turns, pip install -e '.[surface]'."
DOWNLOAD = (
    "For these scores on an inflated brain that turns, python setup_utils/download_files.py "
    "--get_vox_matrix True (where the voxels lie on it)."
)
_COLORS: Literal["plasma"] = (
    "plasma"  # colourful all the way: cividis and viridis have greys like the cortex
)
_MESH = "fsaverage5"  # comes with nilearn
_GAP = 6.0  # mm between the inflated hemispheres, which overlap as they come
_SIDES = {"lh": "left", "rh": "right"}
_WIDTH, _LARGEST = 280, 14  # pixels: of a hemisphere at most, of a grid point at most
_LINKS = re.compile(r"<link\b[^<>]*\bhref=[^<>]*>")


@dataclass(frozen=True)
class CortexMap:
    """Scores of the trained network by place.

    Attributes
    ----------
    target : str
    table : DataFrame
        One row per coordinate: ``coord_id, x_ras, y_ras, hemi, shared_by`` (number of
        participants) and ``score`` (their median).
    """

    target: str
    table: pd.DataFrame

    @property
    def top(self) -> float:
        """Upper end of the colours: a tenth, so that scales stay comparable."""
        return max(0.1, float(np.ceil(self.table["score"].max() * 10)) / 10)


def cortex_map(paths: ProjectPaths, model: str, target: str) -> CortexMap | None:
    """The score of every place at its voxels' best layers, chosen and read out on different splits.

    None where the voxels have no coordinates, or wrong ones, or there are tables alone.
    """
    try:
        results = load_model_results(paths, model, target, Condition.TRAINED.randnetw)
        table = median_by_coordinate(row_scores(results), results.metadata.reset_index(drop=True))
    except InputError:  # figures of the surface say what is wrong with them
        return None
    return CortexMap(target, table.rename(columns={"median_plot_val": "score"}))


@dataclass(frozen=True)
class Cortex:
    """The maps of a report, and the one that turns.

    Attributes
    ----------
    maps : dict of target -> CortexMap
    viewed : str
        Target that the viewer shows; empty where there is no viewer.
    viewer : str
        The page of :func:`cortex_viewer`.
    missing : str
        How to get the viewer, or what is wrong with its files.
    """

    maps: dict[str, CortexMap]
    viewed: str = ""
    viewer: str = ""
    missing: str = ""

    def note(self, target: str) -> str:
        """What to say below the map of a target."""
        if self.missing or target == self.viewed:
            return self.missing
        return f"The brain that turns is in this page once, with {self.viewed}."


def cortex_of(paths: ProjectPaths, model: str, targets: Iterable[str]) -> Cortex:
    """The maps of all targets with coordinates, the first of them in the viewer."""
    voxels = [target for target in targets if target in VOXEL_TARGETS]
    found = {target: cortex_map(paths, model, target) for target in voxels}
    maps = {target: one for target, one in found.items() if one is not None}
    if not maps:
        return Cortex({})
    viewed = next(iter(maps))
    viewer, missing = cortex_viewer(paths, maps[viewed])
    return Cortex(maps, viewed if viewer else "", viewer, missing)


def cortex_chart(found: CortexMap, value: str) -> dict[str, Any]:
    """The flat map, left and right hemisphere, a square for every place."""
    import altair as alt

    table = found.table.rename(columns={"x_ras": "x", "y_ras": "y"})
    scale = alt.Scale(scheme=_COLORS, domain=[0, found.top])
    axis = alt.Axis(grid=False)
    by_side = table.groupby("hemi")["x"]
    columns = (by_side.max() - by_side.min()).max() / GRID_STEP + 1
    pixels = min(_LARGEST, _WIDTH / columns)  # of a grid point, the same on both sides
    y_scale, height = _axis_of(table["y"], pixels)
    shown = table[["x", "y", "hemi", "score", "shared_by"]]  # once for both sides, and as the CSV
    panels = []
    for hemi in HEMISPHERES:
        own = table[table["hemi"] == hemi]
        if own.empty:
            continue
        x_scale, width = _axis_of(own["x"], pixels)
        panels.append(
            alt.Chart(shown, title=f"{_SIDES[hemi]} hemisphere")
            .transform_filter(alt.datum.hemi == hemi)
            .mark_square(size=pixels**2, opacity=1)
            .encode(
                x=alt.X("x:Q", scale=x_scale, axis=axis, title="x on the flat map"),
                y=alt.Y("y:Q", scale=y_scale, axis=axis, title="y on the flat map"),
                color=alt.Color("score:Q", scale=scale, title=value),
                tooltip=[
                    alt.Tooltip("score:Q", format=".3f"),
                    alt.Tooltip("shared_by:Q", title="participants"),
                ],
            )
            .properties(width=width, height=height)
        )
    return specification(alt.hconcat(*panels))


def _axis_of(places: pd.Series, pixels: float) -> tuple[alt.Scale, float]:
    """A scale that holds every square whole, and its length in pixels."""
    import altair as alt

    low, high = float(places.min()) - GRID_STEP / 2, float(places.max()) + GRID_STEP / 2
    return alt.Scale(domain=[low, high], nice=False), pixels * (high - low) / GRID_STEP


def cortex_viewer(paths: ProjectPaths, found: CortexMap) -> tuple[str, str]:
    """Nilearn's viewer of the map on inflated fsaverage, as a page of its own.

    Returns
    -------
    html : str
        Empty where it cannot be made.
    note : str
        What is missing then.
    """
    try:
        from nilearn.datasets import fetch_surf_fsaverage
        from nilearn.plotting import view_surf
        from nilearn.surface import load_surf_data, load_surf_mesh
    except ImportError:
        return "", INSTALL
    path = paths.surface / VERTEX_FILE
    if not path.is_file():
        return "", DOWNLOAD
    try:
        vertices = read_flat_vertices(path)
    except InputError as error:
        return "", str(error)
    files = fetch_surf_fsaverage(_MESH)
    meshes = [load_surf_mesh(files[f"infl_{_SIDES[hemi]}"]) for hemi in HEMISPHERES]
    places = [np.asarray(mesh.coordinates) for mesh in meshes]
    values = [
        _at_vertices(found.table, hemi, vertices[hemi], len(xyz))
        for hemi, xyz in zip(HEMISPHERES, places)
    ]
    # One mesh of both hemispheres, moved apart: the viewer of every nilearn since 0.10 shows that.
    apart = [[-places[0][:, 0].max() - _GAP / 2, 0, 0], [-places[1][:, 0].min() + _GAP / 2, 0, 0]]
    coordinates = np.concatenate([xyz + shift for xyz, shift in zip(places, apart)])
    faces = np.concatenate([meshes[0].faces, meshes[1].faces + len(places[0])])
    sulci = np.concatenate([load_surf_data(files[f"sulc_{_SIDES[hemi]}"]) for hemi in HEMISPHERES])
    try:
        view = view_surf(
            [coordinates, faces],
            np.concatenate(values),
            bg_map=sulci,
            cmap=_COLORS,
            symmetric_cmap=False,
            vmin=0,
            vmax=found.top,
            colorbar_fontsize=14,
        )
    except ImportError:  # newer versions want Plotly's package beside its script
        return "", INSTALL
    # Its icon would be asked for from the network.
    return _LINKS.sub("", view.html), ""


def _at_vertices(table: pd.DataFrame, hemi: str, vertices: Any, n_vertices: int) -> np.ndarray:
    own = table[table["hemi"] == hemi]
    if own.empty:
        return np.full(n_vertices, np.nan)
    # 0 stands for "no voxel" in the projection: scores are put above it, and taken back
    raised = project_to_vertices(own["x_ras"], own["y_ras"], own["score"] + 1, vertices, n_vertices)
    return raised - 1

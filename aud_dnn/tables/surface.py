"""Values of voxels on the cortical surface (Figure 6).

Tables by place, the published ``.mat`` dumps, fsaverage vertices.

Voxels lie on a flattened 2-unit grid per hemisphere (``x_ras``, ``y_ras``). Where vertices of
fsaverage lie on that flat map is recorded in ``voxel_matrix_for_alex.mat``, which can be
downloaded; without it maps are drawn on the grid itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.io import savemat
from scipy.spatial import cKDTree

from aud_dnn.errors import InputError, unknown_name
from aud_dnn.io.atomic import atomic_file
from aud_dnn.io.files import mat_variables, read_mat
from aud_dnn.tables import scores as aggregate
from aud_dnn.tables.per_model import ModelResults, numbers_of

HEMISPHERES = ("lh", "rh")
GRID_STEP = 2
VERTEX_FILE = "voxel_matrix_for_alex.mat"
ROI_CODES = {"Primary": 1, "Anterior": 2, "Lateral": 3, "Posterior": 4}
"""Regions as integers in surface files; 0 is none."""

UPPER_LIMITS = {
    **{f"Kell2018{task}": 6 for task in ("word", "speaker", "music", "audioset", "multitask")},
    **{
        f"ResNet50{task}": limit
        for task, limit in (
            ("word", 5),
            ("speaker", 5),
            ("music", 6),
            ("audioset", 6),
            ("multitask", 6),
        )
    },
    "wav2vec": 5,
    "AST": 7,
    "DCASE2020": 2,
    "DS2": 8,
    "VGGish": 11,
    "ZeroSpeech2020": 4,
    "S2T": 10,
    "sepformer": 22,
    "metricGAN": 4,
}
"""Largest layer position on the colour scale of the published maps; the smallest is always 1."""


@dataclass(frozen=True)
class FlatVertices:
    """Where vertices of fsaverage lie on the flat map of one hemisphere.

    Attributes
    ----------
    position : array of shape (n_vertices, 2)
        ``x_ras, y_ras``.
    index : int array of shape (n_vertices,)
        Vertex numbers of fsaverage, from 0.
    """

    position: np.ndarray
    index: np.ndarray


# --- tables by place ----------------------------------------------------------------------------


def median_by_coordinate(values: np.ndarray, metadata: pd.DataFrame) -> pd.DataFrame:
    """Median over the participants who share a coordinate, one row per coordinate in order of first
    appearance.

    Parameters
    ----------
    values : array of shape (n_voxels,)
    metadata : DataFrame
        ``coord_id, x_ras, y_ras, hemi, shared_by`` of each voxel.

    Raises
    ------
    InputError
        A coordinate lies in two hemispheres, or ``shared_by`` is not the number of participants
        there.
    """
    lacking = [
        name for name in ("coord_id", "x_ras", "y_ras", "hemi", "shared_by") if name not in metadata
    ]
    if lacking:
        raise InputError(f"Surface maps need the metadata column(s) {', '.join(lacking)}.")
    for name in ("x_ras", "y_ras", "shared_by"):
        numbers_of(metadata, name, "Surface maps")
    holed = [name for name in ("coord_id", "hemi") if metadata[name].isna().any()]
    if holed:
        raise InputError(
            f"Surface maps: the metadata column(s) {', '.join(holed)} have missing values."
        )
    found = aggregate.coordinate_medians(values, metadata["coord_id"].to_numpy())
    table = metadata.iloc[found.first][
        ["coord_id", "x_ras", "y_ras", "hemi", "shared_by"]
    ].reset_index(drop=True)
    by_place = metadata.groupby("coord_id", sort=False)
    if (by_place["hemi"].nunique() > 1).any():
        place = by_place["hemi"].nunique().idxmax()
        raise InputError(
            f"Coordinate {place} lies in both hemispheres; check coord_id and hemi in df_roi_meta."
        )
    if not np.array_equal(table["shared_by"].to_numpy(dtype=float), found.count.astype(float)):
        wrong = table["coord_id"][table["shared_by"].to_numpy(dtype=float) != found.count].iloc[0]
        raise InputError(
            f"shared_by of coordinate {wrong} is not the number of voxels there; check df_roi_meta."
        )
    return table.assign(median_plot_val=found.value)


def median_over_models(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Median over models of the maps of relative position, times 10, plus 1 (so that no layer is 0,
    which means "none").

    Raises
    ------
    InputError
        The models' coordinates differ.
    """
    (first, reference), *others = tables.items()
    for model, table in others:
        if table["coord_id"].tolist() != reference["coord_id"].tolist():
            raise InputError(
                f"{model} and {first} have different coordinates; fit one of the two again on the "
                "same data."
            )
    values = np.stack([table["median_plot_val"].to_numpy() for table in tables.values()])
    return reference.assign(median_plot_val=np.median(values, axis=0) * 10 + 1)


def direct_values(metadata: pd.DataFrame, name: str) -> np.ndarray:
    """A column of the metadata as surface values.

    Reliabilities times 10, regions as integers, other columns as they are.
    """
    if name not in metadata:
        raise InputError(
            f"There is no column {name} in the metadata; columns: "
            f"{', '.join(map(str, metadata.columns))}."
        )
    if name == "roi_label_general":
        return metadata[name].map(ROI_CODES).fillna(0).to_numpy(dtype=float)
    values = numbers_of(metadata, name, "Surface maps", holes=True)
    return values * 10 if "reliability" in name else values


def layer_values(results: ModelResults, layer: str) -> np.ndarray:
    """Score of one layer as surface values.

    Median over splits (limited to 1), times 10, plus 1, so that 0 stays "none".
    """
    if layer not in results.layers:
        raise unknown_name(f"layer of {results.model}", layer, results.layers)
    return results.clipped_medians[:, results.layers.index(layer)] * 10 + 1


def best_median_layer(results: ModelResults) -> str:
    """The layer with the largest mean over participants of the median over voxels.

    The first on ties.
    """
    scores = aggregate.scores_across_layers(
        results.clipped_medians, results.metadata["subj_idx"].to_numpy()
    )
    return results.layers[int(scores.values.mean(axis=0).argmax())]


def layer_histogram(
    index: np.ndarray, layers: Sequence[str], legends: Sequence[str]
) -> pd.DataFrame:
    """Number of voxels that prefer each layer; 0 where none does."""
    counts = aggregate.layer_counts(index, len(layers))
    return pd.DataFrame(
        {
            "layer_pos": list(layers),
            "pos": counts,
            "layer_legend": list(legends),
            "num_layers": len(layers),
        }
    )


def color_scale_row(
    index: np.ndarray, layers: Sequence[str], legends: Sequence[str]
) -> dict[str, object]:
    """The most preferred layer of a model (first on ties) and the next one, the upper limit of its
    colour scale.
    """
    best = int(aggregate.layer_counts(index, len(layers)).argmax())
    row: dict[str, object] = {}
    for suffix, place in (("", best), ("_plus1", best + 1)):
        inside = place < len(layers)
        row[f"argmax_pos{suffix}"] = place + 1 if inside else np.nan
        row[f"argmax_rel_pos{suffix}"] = (
            float(aggregate.relative_position(place, len(layers))) if inside else np.nan
        )
        row[f"argmax_layer{suffix}"] = layers[place] if inside else None
        row[f"argmax_legend{suffix}"] = legends[place] if inside else None
    return row


# --- published dumps ----------------------------------------------------------------------------


def write_dump(
    path: Path, values: np.ndarray, x_ras: np.ndarray, y_ras: np.ndarray, *, truncate: bool = False
) -> Path:
    """One ``.mat`` file with ``vals``, ``x_ras``, ``y_ras``.

    ``truncate`` cuts values to integers, as the published participant-median maps were; halves are
    lost by that.
    """
    values = np.asarray(values, dtype=float)
    content = {
        "vals": np.trunc(values) if truncate else values,
        "x_ras": np.asarray(x_ras, dtype=np.int64),
        "y_ras": np.asarray(y_ras, dtype=np.int64),
    }
    with atomic_file(path) as staging, staging.open("wb") as file:
        savemat(file, content)
    return path


def write_hemispheres(
    folder: Path, stem: str, table: pd.DataFrame, column: str, *, truncate: bool = False
) -> list[Path]:
    """One dump per hemisphere of a table with ``x_ras``, ``y_ras``, ``hemi``."""
    written = []
    for hemi in HEMISPHERES:
        own = table[table["hemi"] == hemi]
        if len(own):
            written.append(
                write_dump(
                    folder / f"{stem}_{hemi}.mat",
                    own[column],
                    own["x_ras"],
                    own["y_ras"],
                    truncate=truncate,
                )
            )
    return written


# --- onto the grid and onto fsaverage -----------------------------------------------------------


def value_grid(
    x_ras: np.ndarray, y_ras: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values on the regular grid between the smallest and the largest coordinate.

    NaN where there is no voxel.

    Returns
    -------
    x, y : arrays of shape (n_x,), (n_y,)
    grid : array of shape (n_y, n_x)

    Raises
    ------
    InputError
        A coordinate lies off the 2-unit grid.
    """
    x_ras, y_ras = np.asarray(x_ras, dtype=int), np.asarray(y_ras, dtype=int)
    columns, rows = x_ras - x_ras.min(), y_ras - y_ras.min()
    if (columns % GRID_STEP).any() or (rows % GRID_STEP).any():
        raise InputError(f"Coordinates x_ras, y_ras must lie on a grid of step {GRID_STEP}.")
    x = np.arange(x_ras.min(), x_ras.max() + 1, GRID_STEP)
    y = np.arange(y_ras.min(), y_ras.max() + 1, GRID_STEP)
    grid = np.full((len(y), len(x)), np.nan)
    grid[rows // GRID_STEP, columns // GRID_STEP] = values
    return x, y, grid


def project_to_vertices(
    x_ras: np.ndarray,
    y_ras: np.ndarray,
    values: np.ndarray,
    vertices: FlatVertices,
    n_vertices: int,
) -> np.ndarray:
    """Values at the vertices of fsaverage, shape (n_vertices,).

    Nearest grid point, NaN outside the grid and off the voxels.

    As in the published projection, grid points without a voxel are 0 and whatever is below 1e-10
    becomes NaN, so a value of 0 cannot be shown: add an offset first.
    """
    x, y, grid = value_grid(x_ras, y_ras, values)
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    _, nearest = cKDTree(points).query(vertices.position)
    sampled = np.nan_to_num(grid.ravel())[nearest]
    half = GRID_STEP / 2
    inside = (
        (vertices.position >= [x[0] - half, y[0] - half])
        & (vertices.position <= [x[-1] + half, y[-1] + half])
    ).all(axis=1)
    sampled = np.where(inside & (np.abs(sampled) >= 1e-10), sampled, np.nan)
    full = np.full(n_vertices, np.nan)
    use = vertices.index < n_vertices
    full[vertices.index[use]] = sampled[use]
    return full


def read_flat_vertices(path: Path) -> dict[str, FlatVertices]:
    """Vertex positions on the flat maps, by hemisphere.

    Understood are, per hemisphere, an (n, 2) or (n, 3) array ``vras_lh``/``vras_rh`` of positions
    with the vertex numbers (from 0) ``vnums_lh``/``vnums_rh``; or structs ``lh``/``rh`` with the
    fields ``vras`` and ``vnums``.

    Raises
    ------
    InputError
        The file is damaged or holds something else; what it holds is listed.
    """
    names = set(mat_variables(path))
    found = {}
    for hemi in HEMISPHERES:
        fields = (f"vras_{hemi}", f"vnums_{hemi}")
        if names.issuperset(fields):
            position, index = read_mat(path, fields).values()
        else:
            record = read_mat(path, (hemi,))[hemi].ravel()[:1] if hemi in names else np.empty(0)
            if not len(record) or not {"vras", "vnums"} <= set(record.dtype.names or ()):
                raise InputError(
                    f"{path} holds no vertex positions in a known form ({' and '.join(fields)}); "
                    f"it holds: {', '.join(sorted(names))}. Maps can be drawn on the voxel grid "
                    "instead."
                )
            position, index = record[0]["vras"], record[0]["vnums"]
        position, index = (
            np.asarray(position, dtype=float),
            np.asarray(index).ravel().astype(np.int64),
        )
        if (
            position.ndim != 2
            or position.shape[1] < 2
            or len(position) != len(index)
            or (index < 0).any()
        ):
            raise InputError(
                f"{path}: positions of shape {position.shape} and {len(index)} vertex numbers do "
                "not go together."
            )
        found[hemi] = FlatVertices(position[:, :2], index)
    return found

"""Surface maps of preferred layers (Figure 6): tables, published ``.mat`` dumps, pictures."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from aud_dnn.analyze.figure_options import FigureOptions
from aud_dnn.analyze.plotting.drawings import Drawing, Drawings, file_stem
from aud_dnn.analyze.plotting.style import display_name, roi_color, value_label
from aud_dnn.analyze.plotting.surfaces import Scale, flat_map, layer_histogram, surface_map
from aud_dnn.conditions import Condition
from aud_dnn.errors import InputError, MissingDataError, unknown_name
from aud_dnn.models.figure_sets import FIGURE_2_MODELS, FIGURE_7_MODELS
from aud_dnn.paths import ProjectPaths
from aud_dnn.tables import surface
from aud_dnn.tables.current_tables import source_notes
from aud_dnn.tables.model_files import VALUE, write_table
from aud_dnn.tables.model_results import layer_folders, load_model_results
from aud_dnn.tables.own_models import notes_on_activations
from aud_dnn.tables.per_model import ModelResults, argmax_layers
from aud_dnn.utils import load_target

GROUP_MODEL = "all-good-models"
FLAT_NOTE = (
    "Drawn on the voxel grid: voxel_matrix_for_alex.mat (download_files.py --get_vox_matrix True) "
    "and nilearn put it on fsaverage."
)
_DIRECT_TITLES = {
    "roi_label_general": "Anatomical regions",
    "shared_by": "Participants who share a place",
    "kell_r_reliability": "Reliability of the responses",
}
_DIRECT_LABELS = {"shared_by": "Number of participants", "kell_r_reliability": "Reliability × 10"}


@dataclass(frozen=True)
class _Painter:
    """Draws a map on fsaverage where the vertex positions and nilearn are there, else on the voxel
    grid.
    """

    vertices: dict[str, surface.FlatVertices] | None
    note: str
    palette: str

    def __call__(
        self, table: pd.DataFrame, scale: Scale, *, missing: Sequence[str] = (), **what
    ) -> Drawing:
        if self.vertices is not None:
            return surface_map(
                table,
                "median_plot_val",
                self.vertices,
                scale,
                palette=self.palette,
                missing=missing,
                **what,
            )
        return flat_map(
            table,
            "median_plot_val",
            scale,
            palette=self.palette,
            missing=missing,
            notes=(self.note,),
            **what,
        )


def _painter(paths: ProjectPaths, palette: str) -> _Painter:
    path = paths.surface / surface.VERTEX_FILE
    if not path.is_file():
        return _Painter(None, FLAT_NOTE, palette)
    try:
        import nilearn  # noqa: F401
    except ImportError:
        return _Painter(None, "Drawn on the voxel grid: nilearn is not installed.", palette)
    try:
        return _Painter(surface.read_flat_vertices(path), "", palette)
    except InputError as error:
        warnings.warn(str(error), stacklevel=2)
        return _Painter(None, f"Drawn on the voxel grid: {path.name} is not understood.", palette)


def _dump_average(
    paths: ProjectPaths, name: str, kind: str, table: pd.DataFrame, *, truncate: bool = False
) -> tuple[pd.DataFrame, str]:
    """Write a map over participants as ``{kind}/{name}_subj-avg_{hemi}.mat``.

    Returns
    -------
    table : DataFrame
        With what was dumped as ``vals``.
    stem : str
        Published name of that table, and of the picture.
    """
    values = table["median_plot_val"]
    surface.write_hemispheres(
        paths.surface / name / kind, f"{name}_subj-avg", table, "median_plot_val", truncate=truncate
    )
    return table.assign(vals=np.trunc(values) if truncate else values), f"{kind}_{name}_subj-avg"


def _folder(paths: ProjectPaths) -> Path:
    return paths.results / "PLOTS_SURF_across-models"


def _map_one(
    paths: ProjectPaths, results: ModelResults, paint: _Painter
) -> tuple[Drawings, pd.DataFrame, np.ndarray]:
    """Everything about one model: dumps, tables, histogram and map.

    Also the relative-position map and the best layers.
    """
    model, target, value = results.model, results.target, results.value
    name = f"{model}{Condition.of(results.randnetw).suffix}"
    title = f"{display_name(model)}{' randnetw' * results.randnetw}, {target}"
    found = argmax_layers(results)
    metadata = results.metadata.reset_index(drop=True)
    drawings = Drawings(
        notes=notes_on_activations(
            paths, [model], results.randnetw, positions=True, results_on=target
        )
    )
    if "roi_label_general" in metadata:
        labelled = metadata["roi_label_general"].notna().to_numpy()
        tied = 100 * (found.n_tied[labelled] > 0).mean() if labelled.any() else 0
        drawings.notes.append(
            f"{display_name(model)}{' (permuted)' if results.randnetw else ''} on {target}: "
            f"{tied:.1f} % of the voxels in a labelled region have several best layers; one is "
            "drawn at random."
        )
    counts = surface.layer_histogram(found.index, results.layers, results.legends)
    drawings.append(
        layer_histogram(
            counts,
            model=model,
            target=target,
            randnetw=results.randnetw,
            stem=f"hist-preferred-layer_TYPE=subj-argmax_METRIC={value}_{name}_{target}",
        )
    )
    maps = {}
    for kind, values in (
        ("pos", found.position.astype(float)),
        ("rel_pos", found.relative_position),
    ):
        maps[kind] = surface.median_by_coordinate(values, metadata)
        write_table(
            _folder(paths)
            / f"surf_coords_full_{model}_{target}_{results.randnetw}_{value}_{kind}.csv",
            maps[kind],
            index=False,
        )
        each = paths.surface / name / f"TYPE=subj-argmax_METRIC={value}_PLOTVAL={kind}_{target}"
        for person, own in metadata.assign(vals=values).groupby("subj_idx"):
            surface.write_hemispheres(each, f"{model}_{person}", own, "vals")
        # the published participant-median maps were cut to integers; positions keep that, fractions
        # would all become 0
        dumped, stem = _dump_average(
            paths,
            name,
            f"TYPE=subj-median-argmax_METRIC={value}_PLOTVAL={kind}_{target}",
            maps[kind],
            truncate=kind == "pos",
        )
        if kind == "pos":
            upper = surface.UPPER_LIMITS.get(model.removesuffix("Seed2"), len(results.layers))
            scale = Scale("Position of the best layer", (1, max(upper, 2)))
            drawings.append(paint(dumped, scale, title=title, stem=stem))
        else:
            write_table(_folder(paths) / f"{file_stem(stem)}.csv", dumped, index=False)
    return drawings, maps["rel_pos"], found.index


def _map_layer(paths: ProjectPaths, results: ModelResults, layer: str, paint: _Painter) -> Drawing:
    """How well one layer predicts, place by place: R² times 10 plus 1."""
    name = f"{results.model}{Condition.of(results.randnetw).suffix}"
    values = surface.layer_values(results, layer)
    table = surface.median_by_coordinate(values, results.metadata.reset_index(drop=True))
    in_name = layer.replace("/", "--")
    dumped, stem = _dump_average(
        paths,
        name,
        f"TYPE=subj-median-direct_PLOTVAL={results.value}*10+1_{in_name}_{results.target}",
        table,
    )
    legend = results.legends[results.layers.index(layer)]
    title = (
        f"{display_name(results.model)}{' randnetw' * results.randnetw}, {results.target}: score "
        f"of {legend}"
    )
    return paint(
        dumped, Scale(f"{value_label(results.value)} × 10 + 1", (1, 11)), title=title, stem=stem
    )


def _require_layers(paths: ProjectPaths, layers: Mapping[str, str], options: FigureOptions) -> None:
    """Refuse a chosen layer that no result is of, before anything is drawn."""
    for model, layer in layers.items():
        known: dict[str, Path] = {}
        for target in options.targets:
            for randnetw in options.conditions:
                try:
                    known |= layer_folders(paths, model, target, randnetw)
                except MissingDataError as error:
                    missing = error
        if not known:
            raise missing
        if layer not in known:
            raise unknown_name(f"layer of {model}", layer, known)


def surface_figures(
    paths: ProjectPaths,
    options: FigureOptions | None = None,
    *,
    layers: Mapping[str, str] | None = None,
) -> Drawings:
    """Maps and histograms of every model with results, the median over the models of Figure 7, and
    the colour scales.

    Parameters
    ----------
    layers : mapping of model to layer, optional
        The layer whose R² is mapped; of other models the one with the best median.
    """
    options, layers = options or FigureOptions(), layers or {}
    _require_layers(paths, layers, options)
    paint = _painter(paths, options.palette)
    drawings = Drawings(notes=[paint.note] if paint.note else [])
    scales: dict[tuple[str, bool], list[dict]] = {}
    for randnetw in options.conditions:
        pooled: dict[str, tuple[ModelResults, list[np.ndarray]]] = {}
        for target in options.targets:
            relative = {}
            for model in dict.fromkeys((*options.models(FIGURE_2_MODELS, baseline=False), *layers)):
                with drawings.attempt():
                    try:
                        results = load_model_results(paths, model, target, randnetw)
                    except MissingDataError:
                        continue
                    own, relative[model], index = _map_one(paths, results, paint)
                    own.notes += source_notes(paths, [model], target, randnetw)
                    drawings.add(own)
                    pooled.setdefault(model, (results, []))[1].append(index)
                    layer = layers.get(model) or surface.best_median_layer(results)
                    drawings.append(_map_layer(paths, results, layer, paint))
            group = {model: table for model, table in relative.items() if model in FIGURE_7_MODELS}
            if group:
                drawings += _group_map(paths, group, target, randnetw, paint)
                if len(group) < len(FIGURE_7_MODELS):
                    drawings.notes.append(
                        f"The map over models on {target} is of {len(group)} of the "
                        f"{len(FIGURE_7_MODELS)} published models."
                    )
        drawings += _merged_histograms(pooled, options.targets, randnetw)
        scales[("-".join(options.targets), randnetw)] = [
            {
                "source_model": model,
                **surface.color_scale_row(np.concatenate(indices), results.layers, results.legends),
            }
            for model, (results, indices) in pooled.items()
        ]
    drawings += _voxel_maps(paths, options)
    for (target, randnetw), rows in scales.items():
        if rows:
            name = (
                f"layer_pref_colorscale_TYPE=subj-argmax_METRIC={VALUE['NH2015']}_{target}"
                f"{Condition.of(randnetw).suffix}.csv"
            )
            write_table(_folder(paths) / name, pd.DataFrame(rows), index=False)
    return drawings


def _group_map(
    paths: ProjectPaths,
    tables: dict[str, pd.DataFrame],
    target: str,
    randnetw: bool,
    paint: _Painter,
) -> list[Drawing]:
    """Median over models; dumped as it is and rounded half to even ("quantized")."""
    table = surface.median_over_models(tables)
    name = f"{GROUP_MODEL}{Condition.of(randnetw).suffix}"
    kind = f"TYPE=subj-median-argmax-model-median_METRIC={VALUE[target]}_PLOTVAL=rel_pos*10+1"
    quantized, stem = _dump_average(
        paths,
        name,
        f"{kind}-quantized_{target}",
        table.assign(median_plot_val=np.rint(table["median_plot_val"])),
    )
    write_table(_folder(paths) / f"{file_stem(stem)}.csv", quantized, index=False)
    dumped, stem = _dump_average(paths, name, f"{kind}_{target}", table)
    return [
        paint(
            dumped,
            Scale("Relative best layer × 10 + 1", (1, 11)),
            stem=stem,
            title=f"Median over {len(tables)} "
            f"model{'s' * (len(tables) > 1)}{' randnetw' * randnetw}, {target}",
            missing=[model for model in FIGURE_7_MODELS if model not in tables],
        )
    ]


def _merged_histograms(
    pooled: dict[str, tuple[ModelResults, list[np.ndarray]]],
    targets: tuple[str, ...],
    randnetw: bool,
) -> list[Drawing]:
    """Preferred layers of the voxels of all data sets together."""
    target = "-".join(targets)
    drawings = []
    for model, (results, indices) in pooled.items():
        if len(indices) == len(targets) > 1:
            counts = surface.layer_histogram(
                np.concatenate(indices), results.layers, results.legends
            )
            stem = (
                f"hist-preferred-layer_TYPE=subj-argmax_METRIC={results.value}_{model}"
                f"{Condition.of(randnetw).suffix}_{target}"
            )
            drawings.append(
                layer_histogram(counts, model=model, target=target, randnetw=randnetw, stem=stem)
            )
    return drawings


def _voxel_maps(paths: ProjectPaths, options: FigureOptions) -> Drawings:
    """Regions and number of participants per place, where the metadata are there."""
    drawings = Drawings()
    for target in options.targets:
        try:
            metadata = load_target(paths, target).metadata
        except MissingDataError as error:
            drawings.notes.append(f"No maps of voxel properties: {error}")
            continue
        columns = tuple(
            name
            for name in ("roi_label_general", "shared_by", "kell_r_reliability")
            if name in metadata
        )
        drawings += direct_maps(paths, metadata, target, columns, palette=options.palette)
    return drawings


def _direct_scale(column: str, values: pd.Series, palette: str) -> Scale:
    if column == "roi_label_general":
        names = {code: (roi, roi_color(roi, palette)) for roi, code in surface.ROI_CODES.items()}
        return Scale("", names={0: ("none", "lightgrey")} | names)
    low = math.floor(values.min())
    return Scale(_DIRECT_LABELS.get(column, column), (low, max(math.ceil(values.max()), low + 1)))


def direct_maps(
    paths: ProjectPaths,
    metadata: pd.DataFrame,
    target: str,
    columns: tuple[str, ...],
    *,
    palette: str = "paper",
) -> Drawings:
    """Maps of voxel properties (reliability, region, how many participants share a place), with
    their dumps.
    """
    paint = _painter(paths, palette)
    drawings = Drawings()
    for column in columns:
        table = surface.median_by_coordinate(surface.direct_values(metadata, column), metadata)
        kind = f"TYPE=subj-median-direct_PLOTVAL={column}_{target}"
        dumped, _ = _dump_average(paths, column, kind, table)
        drawings.append(
            paint(
                dumped,
                _direct_scale(column, table["median_plot_val"], palette),
                stem=f"{kind}_subj-avg",
                title=f"{_DIRECT_TITLES.get(column, column)}, {target}",
            )
        )
    return drawings

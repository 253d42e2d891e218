"""Surface maps of preferred layers (Figure 6): tables, published ``.mat`` dumps, pictures."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from aud_dnn.aggregate import surface
from aud_dnn.aggregate.figure_inputs import load_model_results
from aud_dnn.aggregate.tables import VALUE, ModelResults, argmax_layers, write_table
from aud_dnn.analyze.figures import FigureOptions
from aud_dnn.analyze.plotting.style import Drawing, Drawings, display_name
from aud_dnn.analyze.plotting.surfaces import flat_map, layer_histogram, surface_map
from aud_dnn.errors import InputError, MissingDataError
from aud_dnn.paths import ProjectPaths
from aud_dnn.resources import FIGURE_2_MODELS, FIGURE_7_MODELS
from aud_dnn.utils import load_target

GROUP_MODEL = "all-good-models"
FLAT_NOTE = ("Drawn on the voxel grid: voxel_matrix_for_alex.mat (download_files.py --get_vox_matrix True) and nilearn "
             "put it on fsaverage.")


@dataclass(frozen=True)
class _Painter:
    """Draws a map on fsaverage where the vertex positions and nilearn are there, else on the voxel grid."""

    vertices: dict[str, surface.FlatVertices] | None
    note: str
    palette: str

    def __call__(self, table: pd.DataFrame, *, missing: Sequence[str] = (), **what) -> Drawing:
        if self.vertices is not None:
            return surface_map(table, "median_plot_val", self.vertices, palette=self.palette, missing=missing, **what)
        return flat_map(table, "median_plot_val", palette=self.palette, missing=missing, notes=(self.note,), **what)


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


def _map_one(paths: ProjectPaths, results: ModelResults, paint: _Painter) -> tuple[Drawings, pd.DataFrame, np.ndarray]:
    """Everything about one model: dumps, tables, histogram and map. Also the relative-position map and the best layers."""
    model, target, value = results.model, results.target, results.value
    suffix = "_randnetw" if results.randnetw else ""
    folder = paths.results / "PLOTS_SURF_across-models"
    found = argmax_layers(results)
    metadata = results.metadata.reset_index(drop=True)
    drawings = Drawings()
    if "roi_label_general" in metadata:
        labelled = metadata["roi_label_general"].notna().to_numpy()
        tied = 100 * (found.n_tied[labelled] > 0).mean() if labelled.any() else 0
        drawings.notes.append(f"{display_name(model)}{' (permuted)' if results.randnetw else ''} on {target}: {tied:.1f} % "
                              "of the voxels in a labelled region have several best layers; one is drawn at random.")
    maps = {}
    for name, values in (("pos", found.position.astype(float)), ("rel_pos", found.relative_position)):
        maps[name] = surface.median_by_coordinate(values, metadata)
        write_table(folder / f"surf_coords_full_{model}_{target}_{results.randnetw}_{value}_{name}.csv", maps[name],
                    index=False)
        dumps = paths.surface / f"{model}{suffix}"
        each = dumps / f"TYPE=subj-argmax_METRIC={value}_PLOTVAL={name}_{target}"
        for person, own in metadata.assign(vals=values).groupby("subj_idx"):
            surface.write_hemispheres(each, f"{model}_{person}", own, "vals")
        # the published participant-median maps were cut to integers; positions keep that, fractions would all become 0
        surface.write_hemispheres(dumps / f"TYPE=subj-median-argmax_METRIC={value}_PLOTVAL={name}_{target}",
                                  f"{model}_subj-avg", maps[name], "median_plot_val", truncate=name == "pos")
    counts = surface.layer_histogram(found.index, results.layers, results.legends)
    drawings.append(layer_histogram(counts, model=model, target=target, randnetw=results.randnetw,
                                    stem=f"hist-preferred-layer_TYPE=subj-argmax_METRIC={value}_{model}{suffix}_{target}"))
    upper = surface.UPPER_LIMITS.get(model.removesuffix("Seed2"), len(results.layers))
    drawings.append(paint(maps["pos"], title=f"{display_name(model)}{' randnetw' if results.randnetw else ''}, {target}",
                          label="Position of the best layer", limits=(1, max(upper, 2)),
                          stem=f"TYPE=subj-median-argmax_METRIC={value}_PLOTVAL=pos_{model}{suffix}_{target}"))
    return drawings, maps["rel_pos"], found.index


def surface_figures(paths: ProjectPaths, options: FigureOptions | None = None) -> Drawings:
    """Maps and histograms of every model with results, the median over the models of Figure 7, and the colour scales."""
    options = options or FigureOptions()
    paint = _painter(paths, options.palette)
    drawings = Drawings(notes=[paint.note] if paint.note else [])
    scales: dict[tuple[str, bool], list[dict]] = {}
    for randnetw in options.conditions:
        pooled: dict[str, tuple[ModelResults, list[np.ndarray]]] = {}
        for target in options.targets:
            relative = {}
            for model in options.models(FIGURE_2_MODELS, baseline=False):
                try:
                    results = load_model_results(paths, model, target, randnetw)
                except MissingDataError:
                    continue
                own, relative[model], index = _map_one(paths, results, paint)
                drawings += own
                drawings.notes += own.notes
                pooled.setdefault(model, (results, []))[1].append(index)
            group = {model: table for model, table in relative.items() if model in FIGURE_7_MODELS}
            if group:
                drawings += _group_map(paths, group, target, randnetw, paint)
                if len(group) < len(FIGURE_7_MODELS):
                    drawings.notes.append(f"The map over models on {target} is of {len(group)} of the "
                                          f"{len(FIGURE_7_MODELS)} published models.")
        drawings += _merged_histograms(pooled, options.targets, randnetw)
        scales[("-".join(options.targets), randnetw)] = [
            {"source_model": model, **surface.color_scale_row(np.concatenate(indices), results.layers, results.legends)}
            for model, (results, indices) in pooled.items()]
    drawings += _voxel_maps(paths, options)
    for (target, randnetw), rows in scales.items():
        if rows:
            name = f"layer_pref_colorscale_TYPE=subj-argmax_METRIC={VALUE['NH2015']}_{target}{'_randnetw' * randnetw}.csv"
            write_table(paths.results / "PLOTS_SURF_across-models" / name, pd.DataFrame(rows), index=False)
    return drawings


def _group_map(paths: ProjectPaths, tables: dict[str, pd.DataFrame], target: str, randnetw: bool, paint: _Painter
               ) -> list[Drawing]:
    """Median over models; dumped as it is and rounded half to even ("quantized")."""
    table = surface.median_over_models(tables)
    value, suffix = VALUE[target], "_randnetw" * randnetw
    folder = paths.surface / f"{GROUP_MODEL}{suffix}"
    for name, values in (("", table["median_plot_val"]), ("-quantized", np.rint(table["median_plot_val"]))):
        kind = f"TYPE=subj-median-argmax-model-median_METRIC={value}_PLOTVAL=rel_pos*10+1{name}_{target}"
        surface.write_hemispheres(folder / kind, f"{GROUP_MODEL}_subj-avg", table.assign(median_plot_val=values),
                                  "median_plot_val")
    return [paint(table, title=f"Median over {len(tables)} model(s){' randnetw' if randnetw else ''}, {target}",
                  label="Relative position of the best layer × 10 + 1", limits=(1, 11),
                  stem=f"TYPE=subj-median-argmax-model-median_METRIC={value}_PLOTVAL=rel_pos_{GROUP_MODEL}{suffix}_"
                       f"{target}", missing=[model for model in FIGURE_7_MODELS if model not in tables])]


def _merged_histograms(pooled: dict[str, tuple[ModelResults, list[np.ndarray]]], targets: tuple[str, ...], randnetw: bool
                       ) -> list[Drawing]:
    """Preferred layers of the voxels of all data sets together."""
    target = "-".join(targets)
    drawings = []
    for model, (results, indices) in pooled.items():
        if len(indices) == len(targets) > 1:
            counts = surface.layer_histogram(np.concatenate(indices), results.layers, results.legends)
            stem = (f"hist-preferred-layer_TYPE=subj-argmax_METRIC={results.value}_{model}{'_randnetw' * randnetw}_{target}")
            drawings.append(layer_histogram(counts, model=model, target=target, randnetw=randnetw, stem=stem))
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
        columns = tuple(name for name in ("roi_label_general", "shared_by", "kell_r_reliability") if name in metadata)
        drawings += direct_maps(paths, metadata, target, columns, palette=options.palette)
    return drawings


def direct_maps(paths: ProjectPaths, metadata: pd.DataFrame, target: str, columns: tuple[str, ...], *,
                palette: str = "paper") -> Drawings:
    """Maps of voxel properties (reliability, region, how many participants share a place), with their dumps."""
    paint = _painter(paths, palette)
    drawings = Drawings()
    for column in columns:
        table = surface.median_by_coordinate(surface.direct_values(metadata, column), metadata)
        surface.write_hemispheres(paths.surface / column / f"TYPE=subj-median-direct_PLOTVAL={column}_{target}",
                                  f"{column}_subj-avg", table, "median_plot_val")
        values = table["median_plot_val"]
        drawings.append(paint(table, title=f"{column}, {target}", label=column,
                              limits=(float(values.min()), max(float(values.max()), float(values.min()) + 1e-6)),
                              stem=f"TYPE=subj-median-direct_PLOTVAL={column}_{target}"))
    return drawings

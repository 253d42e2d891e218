"""All tables of one model, written below ``results/{model}/outputs/``."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from aud_dnn.paths import ProjectPaths
from aud_dnn.tables import scores as aggregate
from aud_dnn.tables.layer_choice import choices_table, nested_layers, nested_splits_table
from aud_dnn.tables.model_files import Labels, model_table_paths, write_table
from aud_dnn.tables.per_model import (
    ModelResults,
    across_layers_table,
    argmax_layers,
    argmax_table,
    best_layer_by_region,
    best_layer_tables,
    component_layer_tables,
    region_table,
)
from aud_dnn.targets.facts import ROIS


def labels_of(metadata: pd.DataFrame) -> Labels:
    """Which region labels every participant has, and whether all have both hemispheres."""
    return Labels(
        _everyone_has(metadata, "roi_label_general", ROIS), has_every_hemisphere(metadata)
    )


def write_model_tables(paths: ProjectPaths, results: ModelResults) -> list[Path]:
    """All per-model tables that the figures read (:func:`model_table_paths`)."""
    model, target, randnetw = results.model, results.target, results.randnetw
    best, labels = best_layer_tables(results), labels_of(results.metadata)
    content = [best.summary, best.iterations]
    if results.loo_r2 is not None:
        content.append(choices_table(results, best))
    if results.is_components:
        content += component_layer_tables(results)
        if results.loo_r2 is not None:
            content.append(nested_splits_table(results))
    else:
        found = argmax_layers(results)
        content += [
            across_layers_table(results, roi) for roi in (None, *(ROIS if labels.regions else ()))
        ]
        if labels.regions:
            content.append(best_layer_by_region(results))
        if labels.regions and len(results.layers) > 1:
            content += [
                region_table(results, found.relative_position),
                argmax_table(results, found),
            ]
            if labels.hemispheres:
                content.append(region_table(results, found.relative_position, by_hemisphere=True))
            if results.loo_r2 is not None:
                chosen = nested_layers(results.loo_r2, results.scores)
                content.append(region_table(results, chosen.relative_position))
    names = model_table_paths(
        paths,
        model,
        target,
        randnetw,
        len(results.layers),
        labels,
        nested=results.loo_r2 is not None,
    )
    return [write_table(path, table) for path, table in zip(names, content, strict=True)]


def has_every_hemisphere(metadata: pd.DataFrame) -> bool:
    """Whether every participant has voxels in all four regions of both hemispheres, as the table by
    hemisphere needs.
    """
    return _everyone_has(metadata, "roi_anat_hemi", aggregate.ROI_HEMI_ORDER)


def _everyone_has(metadata: pd.DataFrame, column: str, wanted: tuple[str, ...]) -> bool:
    """Whether every participant has a voxel with each of the labels."""
    if column not in metadata:
        return False
    labelled = metadata[metadata[column].isin(wanted)]
    found = (
        labelled.groupby("subj_idx")[column]
        .nunique()
        .reindex(metadata["subj_idx"].unique(), fill_value=0)
    )
    return bool((found == len(wanted)).all())

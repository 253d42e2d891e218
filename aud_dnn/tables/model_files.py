"""Names of the tables of one model, and reading them back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from aud_dnn.conditions import Condition
from aud_dnn.errors import InputError
from aud_dnn.io.atomic import atomic_file
from aud_dnn.paths import ProjectPaths
from aud_dnn.tables.choices import CV_NAME
from aud_dnn.targets.facts import COMPONENT_TARGET, PUBLISHED, ROIS

_MAKE_AGAIN = "Remove it; it is made again from results/."
VALUE = {name: facts.value for name, facts in PUBLISHED.items()}
"""The value that figures show for each target."""
SPLIT_VALUE = {name: facts.split_value for name, facts in PUBLISHED.items()}
"""The same before the median over splits."""
VERSION_COLUMNS = ("numerics_version", "data_version")
"""What tells apart results that must not be compared; missing in published tables."""
MANY_ROWS = 1_000


def _suffix(model: str, randnetw: bool) -> str:
    condition = Condition.of(randnetw)
    return condition.suffix if condition.exists_for(model) else ""


def outputs_folder(paths: ProjectPaths, model: str) -> Path:
    """Where the tables of one model lie."""
    return paths.results / model / "outputs"


def best_layer_path(
    paths: ProjectPaths, model: str, target: str, randnetw: bool, *, stats: bool = False
) -> Path:
    """The table of cross-validated best layers; ``stats``: its twin with one row per iteration."""
    name = (
        f"{model}{_suffix(model, randnetw)}_{target}_{VALUE[target]}{'_stats' if stats else ''}.csv"
    )
    start = (
        f"best-layer-{CV_NAME}_per-comp"
        if target == COMPONENT_TARGET
        else f"best-layer_{CV_NAME}_roi-None"
    )
    return outputs_folder(paths, model) / f"{start}_{name}"


def best_layer_regions_path(paths: ProjectPaths, model: str, target: str, randnetw: bool) -> Path:
    """Cross-validated best-layer scores by participant and region; the paper has no such table."""
    name = f"{model}{_suffix(model, randnetw)}_{target}_{VALUE[target]}.csv"
    return outputs_folder(paths, model) / f"best-layer_{CV_NAME}_roi-each_{name}"


def layer_choice_path(paths: ProjectPaths, model: str, target: str, randnetw: bool) -> Path:
    """Scores under every way to choose a layer; the paper has no such table."""
    name = f"{model}{_suffix(model, randnetw)}_{target}_{VALUE[target]}.csv"
    return outputs_folder(paths, model) / f"layer-choice_{name}"


def nested_splits_path(paths: ProjectPaths, model: str, randnetw: bool) -> Path:
    """The layer of every component in every split by nested choice; the paper has no such table."""
    name = f"{model}{_suffix(model, randnetw)}_{COMPONENT_TARGET}_{VALUE[COMPONENT_TARGET]}.csv"
    return outputs_folder(paths, model) / f"layer-choice_splits_{name}"


def across_layers_path(
    paths: ProjectPaths, model: str, target: str, randnetw: bool, roi: str | None = None
) -> Path:
    """Scores at every layer, by participant (voxels; all or one region) or by component."""
    start = "across-layers" if target == COMPONENT_TARGET else f"across-layers_roi-{roi}"
    name = f"{start}_{model}{_suffix(model, randnetw)}_{target}_{VALUE[target]}.csv"
    return outputs_folder(paths, model) / name


def argmax_components_path(paths: ProjectPaths, model: str, randnetw: bool) -> Path:
    """The table of the best layer of every component."""
    name = (
        f"best-layer-argmax_per-comp_{model}{_suffix(model, randnetw)}_{COMPONENT_TARGET}_"
        f"{VALUE[COMPONENT_TARGET]}.csv"
    )
    return outputs_folder(paths, model) / name


def region_path(
    paths: ProjectPaths,
    model: str,
    target: str,
    randnetw: bool,
    *,
    by_hemisphere: bool = False,
    voxels: bool = False,
    nested: bool = False,
) -> Path:
    """Relative best-layer position by participant and region.

    ``voxels`` is its twin with one row per voxel; ``nested`` that of nested layer choice.
    """
    condition = "roi_anat_hemi" if by_hemisphere else "roi_label_general"
    name = (
        f"best-layer_barplot_{condition}_{model}{_suffix(model, randnetw)}_{target}_within_"
        "subject_sem_rel_pos-median_"
        f"{VALUE[target]}_layer-exclude-None{'_df-plot' if voxels else ''}"
        f"{'_nested-layers' if nested else ''}.csv"
    )
    return outputs_folder(paths, model) / name


def made_from_path(paths: ProjectPaths, model: str, target: str, randnetw: bool) -> Path:
    """The record of what the tables of a model on a target were made from."""
    return (
        outputs_folder(paths, model) / f"made-from_{model}{_suffix(model, randnetw)}_{target}.json"
    )


def write_table(path: Path, table: pd.DataFrame, *, index: bool = True) -> Path:
    """Write a csv, whole or not at all.

    Tables of voxels go through Arrow, which is eight times as fast.
    """
    with atomic_file(path) as staging:
        if len(table) < MANY_ROWS:
            table.to_csv(staging, index=index)
        else:
            import pyarrow as pa
            from pyarrow import csv

            rows = table.reset_index() if index else table
            csv.write_csv(pa.Table.from_pandas(rows, preserve_index=False), staging)
    return path


def model_table_paths(
    paths: ProjectPaths,
    model: str,
    target: str,
    randnetw: bool,
    n_layers: int,
    labels: Labels,
    *,
    nested: bool,
) -> list[Path]:
    """The tables that belong to one model, in the order in which :func:`write_model_tables` makes
    them; ``nested``: those of nested layer choice, too.
    """
    best = [best_layer_path(paths, model, target, randnetw, stats=stats) for stats in (False, True)]
    if nested:
        best.append(layer_choice_path(paths, model, target, randnetw))
    if target == COMPONENT_TARGET:
        return [
            *best,
            across_layers_path(paths, model, target, randnetw),
            argmax_components_path(paths, model, randnetw),
            *([nested_splits_path(paths, model, randnetw)] if nested else []),
        ]
    regions = ROIS if labels.regions else ()
    found = [
        *best,
        *(across_layers_path(paths, model, target, randnetw, roi) for roi in (None, *regions)),
    ]
    if regions:
        found.append(best_layer_regions_path(paths, model, target, randnetw))
    if regions and n_layers > 1:  # a single layer has no best one
        found += [
            region_path(paths, model, target, randnetw, voxels=voxels) for voxels in (False, True)
        ]
        if labels.hemispheres:
            found.append(region_path(paths, model, target, randnetw, by_hemisphere=True))
        if nested:
            found.append(region_path(paths, model, target, randnetw, nested=True))
    return found


# By default pandas 1 and 2 lose the last bits of a number.
_EXACT: Any = {} if int(pd.__version__.split(".")[0]) > 2 else {"float_precision": "round_trip"}


def read_table(path: Path, index: str | int, needed: tuple[str, ...] = ()) -> pd.DataFrame:
    """Read one of the tables, ours or a published one.

    Raises
    ------
    InputError
        It cannot be read, lacks a column, or holds NaN in a needed one.
    """
    try:
        # a digest may look like a number
        table = pd.read_csv(
            path, dtype=dict.fromkeys(("randnetw", *VERSION_COLUMNS), str), **_EXACT
        )
    except (ValueError, UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path} cannot be read as a table ({error}). {_MAKE_AGAIN}") from error
    if isinstance(index, int) and table.shape[1] > index:
        index = table.columns[index]
    missing = [name for name in (index, *needed) if name not in table.columns]
    if missing:
        raise InputError(
            f"{path} lacks the column(s) {', '.join(map(str, missing))}. {_MAKE_AGAIN}"
        )
    holed = [name for name in needed if table[name].isna().any()]
    if holed:
        raise InputError(f"{path} holds NaN in {', '.join(holed)}. {_MAKE_AGAIN}")
    return table.set_index(index)


def read_participant_frame(path: Path) -> tuple[pd.DataFrame, pd.Series]:
    """Participants x conditions, and the stored ``yerr`` row."""
    table = read_table(path, 0).astype(float)
    table.index = table.index.astype(str)
    if "yerr" not in table.index or table.isna().any(axis=None):
        raise InputError(f"{path} must have a last row yerr and no missing value. {_MAKE_AGAIN}")
    return table.drop(index="yerr"), table.loc["yerr"]


@dataclass(frozen=True)
class Labels:
    """Which labels the voxels of everyone have.

    Whether all regions, and whether all of them in both hemispheres.
    """

    regions: bool
    hemispheres: bool

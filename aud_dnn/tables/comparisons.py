"""Tidy tables of the RSA, for pandas, R or a spreadsheet.

One row per observation, every column named.

Published and recommended quantities stand beside each other (``docs/departures.md``):

=================== ============================== =====================================
quantity            published                      recommended
=================== ============================== =====================================
noise ceiling       Pearson                        Spearman, the measure of the scores
error bar           ``sem_published``:             ``interval_participants``: half width of
                    / sqrt(models - 1)             the 95 % interval of the mean
model against model ``p_published``: unpaired,     ``p_bootstrap``, ``p_sign_flip``: paired
                    one model fixed
layer position      ``p_asymptotic``               ``p_exact``
=================== ============================== =====================================
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from aud_dnn.io.atomic import atomic_file
from aud_dnn.methods.method import Comparison
from aud_dnn.methods.rsa import METHOD as RSA
from aud_dnn.models.figure_sets import FIGURE_7_MODELS
from aud_dnn.stats import STATISTICS
from aud_dnn.store.compared_by import compared_by
from aud_dnn.store.comparison_parts import Part
from aud_dnn.store.comparisons import ALL_VOXELS
from aud_dnn.tables.comparison_dimensionality import (
    dimensionality_table,
    neural_dimensionality_table,
)
from aud_dnn.tables.comparison_models import (
    Datasets,
    comparison_table,
    mean_and_sem,
    model_table,
    position_table,
    position_test_table,
)
from aud_dnn.targets.facts import ROIS


def regions_in_order(datasets: Datasets, target: str) -> list[str]:
    """The regions of a target that have results: those of the paper first, in its order."""
    there = [roi for name, roi in datasets if name == target and roi != ALL_VOXELS]
    return [roi for roi in ROIS if roi in there] + [roi for roi in there if roi not in ROIS]


# --- one row per observation --------------------------------------------------------------------


def _each(datasets: Datasets) -> Iterable[tuple[dict[str, str], xr.Dataset, int, int]]:
    """Every (model, condition) that has results: its labels, its dataset and its two indices."""
    for (target, roi), dataset in datasets.items():
        available = dataset["available"].values
        for c, condition in enumerate(dataset["condition"].values):
            for m, model in enumerate(dataset["model"].values):
                if available[c, m]:
                    yield (
                        {
                            "target": target,
                            "roi": roi,
                            "model": str(model),
                            "condition": str(condition),
                        },
                        dataset,
                        c,
                        m,
                    )


def _long(
    datasets: Datasets, variables: Mapping[str, str], *, by_split: bool, by_layer: bool
) -> pd.DataFrame:
    """Rows participant (x split) (x layer) of the named variables (column -> variable)."""
    columns: dict[str, list[np.ndarray]] = {}
    pieces: list[tuple[dict[str, str], int]] = []
    raw = {}
    for labels, dataset, c, m in _each(datasets):
        key = labels["target"], labels["roi"]
        if key not in raw:
            raw[key] = {name: dataset[variable].values for name, variable in variables.items()} | {
                "layers": dataset["model_layers"].values,
                "participants": dataset["participant"].values.astype(str),
                "splits": dataset["split"].values,
            }
        values = raw[key]
        layers = np.array([name for name in values["layers"][c, m] if name], dtype=str)
        axes = [
            values["participants"],
            *([values["splits"]] if by_split else []),
            *([layers] if by_layer else []),
        ]
        names = ["participant", *(["split"] if by_split else []), *(["layer"] if by_layer else [])]
        grid = np.meshgrid(*axes, indexing="ij")
        for name, column in zip(names, grid):
            columns.setdefault(name, []).append(column.ravel())
        if by_layer:
            index = np.broadcast_to(np.arange(len(layers)), grid[0].shape)
            columns.setdefault("layer_index", []).append(index.ravel())
        for name in variables:
            cell = values[name][c, m]
            columns.setdefault(name, []).append(
                (cell[..., : len(layers)] if by_layer else cell).ravel()
            )
        pieces.append((labels, grid[0].size))
    counts = [count for _, count in pieces]
    table = {
        name: np.repeat(np.array([labels[name] for labels, _ in pieces], dtype=str), counts)
        for name in ("target", "roi", "model", "condition")
    }
    table |= {name: np.concatenate(column) for name, column in columns.items()}
    return pd.DataFrame(table)


def participant_table(datasets: Datasets) -> pd.DataFrame:
    """One row per participant x model x condition x target x region: the scores."""
    return _long(
        datasets,
        {
            "score": "best_layer_rsa_median_across_splits",
            "median_best_layer_index": "splits_median_best_layer_idx",
            "best_layer_position": "best_layer_position",
            "concatenated_all_sounds": "all_model_features_rsa",
        },
        by_split=False,
        by_layer=False,
    )


def split_table(datasets: Datasets) -> pd.DataFrame:
    """One row per participant x split x …: the layer chosen and its score."""
    table = _long(
        datasets,
        {"best_layer_index": "best_layer_idx", "test_similarity": "best_layer_test_value"},
        by_split=True,
        by_layer=False,
    )
    names = {
        (target, roi, condition, model): list(dataset["model_layers"].values[c, m])
        for (target, roi), dataset in datasets.items()
        for c, condition in enumerate(dataset["condition"].values.tolist())
        for m, model in enumerate(dataset["model"].values.tolist())
    }
    keys = zip(
        table["target"], table["roi"], table["condition"], table["model"], table["best_layer_index"]
    )
    table["best_layer"] = [names[key[:4]][key[4]] if key[4] >= 0 else "" for key in keys]
    return table


def layer_table(datasets: Datasets) -> pd.DataFrame:
    """One row per participant x layer x …: medians over splits, and all sounds."""
    return _long(
        datasets,
        {
            "test_similarity_median": "splits_median_distance_all_layers",
            "similarity_all_sounds": "all_data_rsa_for_best_layer",
        },
        by_split=False,
        by_layer=True,
    )


def layer_split_table(datasets: Datasets) -> pd.DataFrame:
    """One row per participant x split x layer x ….

    The similarities on both halves (the longest table).
    """
    return _long(
        datasets,
        {
            "train_similarity": "all_layer_train_correlations",
            "test_similarity": "all_layer_test_correlations",
        },
        by_split=True,
        by_layer=True,
    )


def ceiling_participant_table(datasets: Datasets) -> pd.DataFrame:
    """One row per participant x split x measure: the noise ceilings on the test sounds."""
    rows = []
    for (target, roi), dataset in datasets.items():
        for measure, (variable, _, _) in compared_by(dataset).ceilings.items():
            values = dataset[variable].to_series().rename("ceiling").reset_index()
            rows.append(
                values.assign(
                    target=target,
                    roi=roi,
                    measure=measure,
                    n_voxels=values["participant"].map(dataset["n_voxels"].to_series()),
                )
            )
    table = pd.concat(rows, ignore_index=True)
    return table[["target", "roi", "measure", "participant", "n_voxels", "split", "ceiling"]]


def region_table(datasets: Datasets, method: Comparison = RSA) -> pd.DataFrame:
    """One row per participant x pair of regions.

    Similarity of the regions (in RSA the Spearman correlation of their RDMs), all sounds.
    """
    rows = []
    for target in dict.fromkeys(target for target, _ in datasets):
        rois = regions_in_order(datasets, target)
        if len(rois) < 2:
            continue
        participants = datasets[target, rois[0]]["participant"].values.astype(str)
        rdms = np.stack(
            [datasets[target, roi]["all_data_corr_mat_fmri"].values for roi in rois], axis=1
        )
        vectors = method.vector(rdms)
        values = method.score(vectors, vectors)
        grid = np.meshgrid(participants, rois, rois, indexing="ij")
        rows.append(
            pd.DataFrame(
                {
                    "target": target,
                    "participant": grid[0].ravel(),
                    "roi_a": grid[1].ravel(),
                    "roi_b": grid[2].ravel(),
                    "similarity": values.ravel(),
                }
            )
        )
    columns = ["target", "participant", "roi_a", "roi_b", "similarity"]
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=columns)


# --- over participants --------------------------------------------------------------------------


def ceiling_table(datasets: Datasets) -> pd.DataFrame:
    """Noise ceilings: mean and standard error over participants, in Pearson (published) and
    Spearman (recommended).
    """
    rows = []
    for (target, roi), dataset in datasets.items():
        by = compared_by(dataset)
        for measure, (variable, all_sounds, _) in by.ceilings.items():
            for sounds, values in (
                ("test", dataset[variable].median("split", skipna=True).values),
                ("all", dataset[all_sounds].values),
            ):
                mean, sem, n = mean_and_sem(values)
                rows.append(
                    {
                        "target": target,
                        "roi": roi,
                        "sounds": sounds,
                        "measure": measure,
                        "role": STATISTICS[int(measure == by.own_ceiling)],
                        "mean": mean,
                        "sem": sem,
                        "n_participants": n,
                    }
                )
    return pd.DataFrame(rows)


# --- what the dimensionality table is made from -------------------------------------------------


# --- files --------------------------------------------------------------------------------------

PARQUET_ONLY = ("layers_splits",)
"""Too long for csv (about a million rows for the whole set)."""


def all_tables(
    datasets: Datasets,
    model_parts: Mapping[tuple[str, str], Part],
    method: Comparison = RSA,
) -> dict[str, pd.DataFrame]:
    """Every table of a method, by file name; empty ones have nothing to show."""
    positions = position_table(datasets, FIGURE_7_MODELS)
    return {
        "participants": participant_table(datasets),
        "splits": split_table(datasets),
        "layers": layer_table(datasets),
        "layers_splits": layer_split_table(datasets),
        "ceiling_participants": ceiling_participant_table(datasets),
        "ceilings": ceiling_table(datasets),
        "models": model_table(datasets),
        "comparisons_clean_speech": comparison_table(datasets),
        "best_layer_positions": position_table(datasets),
        "best_layer_position_tests": position_test_table(positions),
        "region_similarity": region_table(datasets, method),
        **(
            {
                "effective_dimensionality_models": dimensionality_table(model_parts),
                "effective_dimensionality_voxels": neural_dimensionality_table(datasets),
            }
            if method.correlations
            else {}
        ),
    }


def write_tables(folder: Path, tables: Mapping[str, pd.DataFrame]) -> list[Path]:
    """Write every table as parquet, and as csv unless it is too long for that.

    Empty tables are not written, and what an earlier run wrote in their place is removed: it came
    from other results.
    """
    written = []
    for name, table in tables.items():
        path = Path(folder) / f"{name}.parquet"
        if not len(table):
            for earlier in (path, path.with_suffix(".csv")):
                earlier.unlink(missing_ok=True)
            continue
        with atomic_file(path) as staging:
            table.to_parquet(staging, index=False)
        written.append(path)
        if name not in PARQUET_ONLY:
            with atomic_file(path.with_suffix(".csv")) as staging:
                table.to_csv(staging, index=False)
            written.append(path.with_suffix(".csv"))
    return written

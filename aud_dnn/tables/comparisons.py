"""Tidy tables of the RSA, for pandas, R or a spreadsheet.

One row per observation, every column named.

Published and recommended quantities stand beside each other (``docs/departures.md``):

=================== ============================== =====================================
quantity            published                      recommended
=================== ============================== =====================================
noise ceiling       Pearson                        Spearman, the measure of the scores
error bar           ``sem_published``:             ``sem_participants``:
                    / sqrt(models - 1)             / sqrt(participants - 1)
model against model ``p_published``: unpaired,     ``p_bootstrap``, ``p_sign_flip``: paired
                    one model fixed
layer position      ``p_asymptotic``               ``p_exact``
=================== ============================== =====================================
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from aud_dnn.io.atomic import atomic_file
from aud_dnn.methods.comparing.sides import DIMENSIONALITY_VARIANTS
from aud_dnn.methods.method import Comparison
from aud_dnn.methods.rsa import METHOD as RSA
from aud_dnn.models.figure_sets import CLEAN_PAIRS, FIGURE_7_MODELS
from aud_dnn.stats import (
    add_adjusted,
    bootstrap_paired,
    bootstrap_published,
    effect_sizes,
    sign_flip_test,
    wilcoxon_signed_rank,
    within_participant_sem,
)
from aud_dnn.store.comparison_parts import Part
from aud_dnn.store.comparison_schema import CONDITIONS
from aud_dnn.store.comparisons import (
    ALL_VOXELS,
    canonical_models,
    compared_by,
    matching_model_part,
    published_score,
)
from aud_dnn.targets.facts import ROIS, TARGETS

Datasets = Mapping[tuple[str, str], xr.Dataset]

STATISTICS = ("published", "recommended")


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


def dimensionality_table(parts: Mapping[tuple[str, str], Part]) -> pd.DataFrame:
    """One row per model x condition x layer.

    Effective dimensionality of raw, centred and z-scored units.
    """
    rows = [
        {
            "model": model,
            "condition": condition,
            "layer": layer,
            "layer_index": index,
            "n_units": int(part.arrays["n_units"][index]),
            **{
                f"effective_dimensionality_{name}": part.arrays["effective_dimensionality"][
                    index, column
                ]
                for column, name in enumerate(DIMENSIONALITY_VARIANTS)
            },
        }
        for (model, condition), part in parts.items()
        for index, layer in enumerate(part.layers)
    ]
    return pd.DataFrame(rows)


def neural_dimensionality_table(datasets: Datasets) -> pd.DataFrame:
    """One row per target x region.

    Effective dimensionality of the voxels of all participants together.
    """
    return pd.DataFrame(
        [
            {
                "target": target,
                "roi": roi,
                "n_voxels": int(dataset["n_voxels"].sum()),
                **{
                    f"effective_dimensionality_{name}": float(
                        dataset["effective_dimensionality"].sel(variant=name)
                    )
                    for name in DIMENSIONALITY_VARIANTS
                },
            }
            for (target, roi), dataset in datasets.items()
        ]
    )


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


def mean_and_sem(values: np.ndarray) -> tuple[float, float, int]:
    """Mean, standard error (population standard deviation / sqrt(n - 1)) and number of the known
    values.
    """
    known = values[np.isfinite(values)]
    if not known.size:
        return float("nan"), float("nan"), 0
    sem = known.std() / np.sqrt(known.size - 1) if known.size > 1 else float("nan")
    return float(known.mean()), float(sem), int(known.size)


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


def _complete(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Masks of the models and participants that leave no gap.

    Models without any score go first, then participants.
    """
    models = np.isfinite(scores).any(axis=1)
    participants = (
        np.isfinite(scores[models]).all(axis=0)
        if models.any()
        else np.zeros(scores.shape[1], dtype=bool)
    )
    return models, participants


def model_errors(scores: np.ndarray) -> dict[str, np.ndarray]:
    """Mean over participants and both error bars of every model.

    ``sem_published`` divides the spread over participants (after each one's mean over models is
    taken out) by sqrt(*models* - 1), ``sem_participants`` by sqrt(participants - 1).

    Parameters
    ----------
    scores : array of shape (n_models, n_participants)
        All models that stand together; which ones they are changes the error bars. Participants
        without a score (no voxel in the region) are left out.

    Returns
    -------
    dict of arrays of shape (n_models,)
        ``mean``, ``sem_published``, ``sem_participants``.
    """
    scores = np.asarray(scores, dtype=np.float64)
    models, participants = _complete(scores)
    found = {
        name: np.full(len(scores), np.nan) for name in ("mean", "sem_published", "sem_participants")
    }
    kept = scores[np.ix_(models, participants)]
    if kept.size:
        found["mean"][models] = kept.mean(axis=1)
        found["sem_published"][models] = within_participant_sem(kept.T, n_divisor=len(kept))
        found["sem_participants"][models] = within_participant_sem(kept.T)
    return found


def model_table(datasets: Datasets) -> pd.DataFrame:
    """One row per model x condition x target x region.

    Mean score and both error bars, over all models there.
    """
    rows = []
    for (target, roi), dataset in datasets.items():
        for condition in CONDITIONS:
            scores = published_score(dataset, condition)
            values = scores.transpose("model", "participant").values
            errors = model_errors(values)
            rows.append(
                pd.DataFrame(
                    {
                        "target": target,
                        "roi": roi,
                        "condition": condition,
                        "model": scores["model"].values.astype(str),
                        "score": errors["mean"],
                        "sem_published": errors["sem_published"],
                        "sem_participants": errors["sem_participants"],
                        "n_participants": int(_complete(values)[1].sum()),
                        "n_models": len(values),
                    }
                )
            )
    return pd.concat(rows, ignore_index=True)


def comparison_table(
    datasets: Datasets, pairs: Sequence[tuple[str, str]] = CLEAN_PAIRS, *, seed: int = 0
) -> pd.DataFrame:
    """Ask of pairs of models whether A is above B over all voxels.

    The published bootstrap, and two paired tests.

    Parameters
    ----------
    datasets : mapping
    pairs : sequence of (model A, model B)
        The networks trained with background noise against their twins trained on clean speech, by
        default.
    seed : int
        Of every test. The published bootstrap continued the global generator, whose state depended
        on what had been loaded before; here every comparison starts from the seed.
    """
    rows = []
    for (target, roi), dataset in datasets.items():
        if roi != ALL_VOXELS:
            continue
        for condition in CONDITIONS:
            scores = published_score(dataset, condition)
            present = set(scores["model"].values.tolist())
            for model_a, model_b in pairs:
                if not {model_a, model_b} <= present:
                    continue
                a, b = (scores.sel(model=model).values for model in (model_a, model_b))
                known = np.isfinite(a) & np.isfinite(b)
                if known.sum() < 2:
                    continue
                a, b = a[known], b[known]
                published, paired = (
                    bootstrap_published(a, b, rng=seed),
                    bootstrap_paired(a, b, seed=seed),
                )
                rows.append(
                    {
                        "target": target,
                        "condition": condition,
                        "model_a": model_a,
                        "model_b": model_b,
                        "n_participants": len(a),
                        "mean_a": published.mean_a,
                        "mean_b": published.mean_b,
                        "p_published": published.p,
                        "p_published_plus_one": published.p_plus_one,
                        "difference": paired.difference,
                        "difference_low": paired.low,
                        "difference_high": paired.high,
                        "p_bootstrap": paired.p,
                        "p_sign_flip": sign_flip_test(a, b, seed=seed),
                        "n_resamples": published.n_resamples,
                        "seed": seed,
                    }
                )
    table = pd.DataFrame(rows)
    return (
        add_adjusted(table, "p_sign_flip", family=["target", "condition"]) if len(table) else table
    )


def position_table(datasets: Datasets, models: Sequence[str] | None = None) -> pd.DataFrame:
    """One row per model x region.

    Mean over participants of the best layer's relative position, and both error bars.

    Models with a single layer have no positions and are left out; so are all but ``models`` where
    those are given, and the error bars refer to the models that are left.
    """
    rows = []
    for (target, roi), dataset in datasets.items():
        if roi == ALL_VOXELS:
            continue
        for condition in CONDITIONS:
            available = dataset["available"].sel(condition=condition).values
            positions = (
                dataset["best_layer_position"]
                .sel(condition=condition)
                .isel(model=np.flatnonzero(available))
            )
            keep = [
                model
                for model in positions["model"].values.tolist()
                if (models is None or model in models)
                and np.isfinite(positions.sel(model=model)).any()
            ]
            positions = positions.sel(model=keep)
            errors = model_errors(positions.transpose("model", "participant").values)
            rows.append(
                pd.DataFrame(
                    {
                        "target": target,
                        "condition": condition,
                        "roi": roi,
                        "model": keep,
                        "position": errors["mean"],
                        "sem_published": errors["sem_published"],
                        "sem_participants": errors["sem_participants"],
                    }
                )
            )
    columns = [
        "target",
        "condition",
        "roi",
        "model",
        "position",
        "sem_published",
        "sem_participants",
    ]
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=columns)


_EFFECT_COLUMNS = {"Cohen's d": "cohens_d", "rank-biserial": "rank_biserial", "CLES": "cles"}
_FEWEST_PAIRS = 3  # with fewer models there is nothing to resample


def position_test_table(positions: pd.DataFrame, reference: str = "Primary") -> pd.DataFrame:
    """Primary against every other region over models.

    Both Wilcoxon p-values, and effect sizes (other above reference).
    """
    rows = []
    for (target, condition), group in positions.groupby(["target", "condition"], sort=False):
        wide = group.pivot(index="model", columns="roi", values="position")
        for roi in ROIS:
            if roi == reference or roi not in wide or reference not in wide:
                continue
            both = wide[[reference, roi]].dropna()
            if not len(both):
                continue
            first, other = both[reference].to_numpy(), both[roi].to_numpy()
            test = wilcoxon_signed_rank(first, other)
            row = {
                "target": target,
                "condition": condition,
                "reference": reference,
                "roi": roi,
                "n_models": len(both),
                "mean_reference": first.mean(),
                "mean_roi": other.mean(),
                "w": test.w,
                "p_asymptotic": test.p,
                "p_exact": test.p_exact,
                "n_different": test.n,
            }
            row |= {
                f"{name}{end}": np.nan
                for name in _EFFECT_COLUMNS.values()
                for end in ("", "_low", "_high")
            }
            for effect in effect_sizes(other, first) if len(both) >= _FEWEST_PAIRS else ():
                name = _EFFECT_COLUMNS[effect.name]
                row |= {name: effect.value, f"{name}_low": effect.low, f"{name}_high": effect.high}
            rows.append(row)
    table = pd.DataFrame(rows)
    return add_adjusted(table, "p_exact", family=["target", "condition"]) if len(table) else table


# --- what the dimensionality table is made from -------------------------------------------------


def model_parts(folder: Path, datasets: Datasets) -> dict[tuple[str, str], Part]:
    """The models' own sides that belong to the datasets' scores, in canonical order.

    Of the published sounds; those of users' own targets are not among them.

    Raises
    ------
    DamagedFileError
        One of the files is not as it was written.
    """
    scored: dict[tuple[str, str], xr.Dataset] = {}
    for (target, _), dataset in datasets.items():
        if target not in TARGETS:
            continue
        for c, condition in enumerate(dataset["condition"].values.tolist()):
            for m, model in enumerate(dataset["model"].values.tolist()):
                if dataset["available"].values[c, m]:
                    scored.setdefault((model, condition), dataset)
    keys = [
        (model, condition)
        for model in canonical_models(model for model, _ in scored)
        for condition in CONDITIONS
    ]
    return {
        key: part
        for key in keys
        if key in scored
        and (part := matching_model_part(Path(folder), scored[key], *key)) is not None
    }


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

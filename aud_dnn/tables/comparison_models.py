"""Models of a comparison side by side: means, errors, tests, positions of best layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from aud_dnn.conditions import CONDITIONS
from aud_dnn.effect_sizes import add_adjusted, effect_sizes
from aud_dnn.models.figure_sets import CLEAN_PAIRS
from aud_dnn.stats import (
    bootstrap_paired,
    bootstrap_published,
    participant_interval,
    sign_flip_test,
    wilcoxon_signed_rank,
    within_participant_sem,
)
from aud_dnn.store.comparisons import (
    ALL_VOXELS,
    published_score,
)
from aud_dnn.targets.facts import ROIS

_EFFECT_COLUMNS = {"Cohen's d": "cohens_d", "rank-biserial": "rank_biserial", "CLES": "cles"}
_FEWEST_PAIRS = 3  # with fewer models there is nothing to resample
Datasets = Mapping[tuple[str, str], xr.Dataset]


ERROR_BARS = ("sem_published", "sem_participants", "interval_participants")


def mean_and_sem(values: np.ndarray) -> tuple[float, float, int]:
    """Mean, standard error (population standard deviation / sqrt(n - 1)) and number of the known
    values.
    """
    known = values[np.isfinite(values)]
    if not known.size:
        return float("nan"), float("nan"), 0
    sem = known.std() / np.sqrt(known.size - 1) if known.size > 1 else float("nan")
    return float(known.mean()), float(sem), int(known.size)


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
    """Mean over participants and the error bars of every model.

    ``sem_published`` divides the spread over participants (after each one's mean over models is
    taken out) by sqrt(*models* - 1), ``sem_participants`` by sqrt(participants - 1).
    ``interval_participants`` is the half width of the 95 % interval of each mean by itself.

    Parameters
    ----------
    scores : array of shape (n_models, n_participants)
        All models that stand together; which ones they are changes the error bars. Participants
        without a score (no voxel in the region) are left out.

    Returns
    -------
    dict of arrays of shape (n_models,)
        ``mean``, ``sem_published``, ``sem_participants``, ``interval_participants``.
    """
    scores = np.asarray(scores, dtype=np.float64)
    models, participants = _complete(scores)
    found = {name: np.full(len(scores), np.nan) for name in ("mean", *ERROR_BARS)}
    kept = scores[np.ix_(models, participants)]
    if kept.size:
        found["mean"][models] = kept.mean(axis=1)
        found["sem_published"][models] = within_participant_sem(kept.T, n_divisor=len(kept))
        found["sem_participants"][models] = within_participant_sem(kept.T)
        found["interval_participants"][models] = participant_interval(kept.T)
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
                        **{name: errors[name] for name in ERROR_BARS},
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
                        **{name: errors[name] for name in ERROR_BARS},
                    }
                )
            )
    columns = [
        "target",
        "condition",
        "roi",
        "model",
        "position",
        *ERROR_BARS,
    ]
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=columns)


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

"""What the RSA figures show.

Scores, error bars and ceilings of the models of one figure, published or recommended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from aud_dnn.conditions import Condition
from aud_dnn.models.registry import BASELINE_MODEL
from aud_dnn.stats import check_statistics, participant_interval, recommended_errors
from aud_dnn.store.compared_by import compared_by
from aud_dnn.store.comparisons import published_score
from aud_dnn.tables.comparison_models import mean_and_sem, model_errors


@dataclass(frozen=True)
class ScoreSummary:
    """Mean scores of the models of one figure.

    Attributes
    ----------
    table : DataFrame
        Index model; columns ``score``, ``error``. In the order asked for; the baseline is among
        them if it was asked for.
    participants : DataFrame of shape (n_participants, n_models)
    ceiling : (mean, error)
    missing : tuple of str
        Models asked for that have no results.
    errors_are, ceiling_is : str
        A sentence on what the error bars are (and on published files, if the scores are theirs),
        and one on the ceiling.
    """

    table: pd.DataFrame
    participants: pd.DataFrame
    ceiling: tuple[float, float]
    missing: tuple[str, ...]
    errors_are: str
    ceiling_is: str

    @property
    def baseline(self) -> tuple[float, float] | None:
        """Score and error of the acoustic baseline."""
        if BASELINE_MODEL not in self.table.index:
            return None
        score, error = self.table.loc[BASELINE_MODEL, ["score", "error"]]
        return float(score), float(error)


def summarize_scores(
    dataset: xr.Dataset,
    condition: str,
    models: Sequence[str] | None = None,
    *,
    statistics: str = "published",
) -> ScoreSummary:
    """Mean score of every model with its error bar, and the ceiling.

    Parameters
    ----------
    dataset : Dataset
        One target and region, from :func:`aud_dnn.store.comparisons.read_analysis`.
    condition : {"trained", "permuted"}
    models : sequence of str, optional
        All that have results by default.
    statistics : {"published", "recommended"}
        Published: the spread over participants, after each one's mean over *all models of the data
        set* is taken out, over sqrt(models - 1), and a ceiling in Pearson. Recommended: the 95 %
        interval of every mean over participants, and a ceiling in the measure of the scores, with
        its interval.

    Returns
    -------
    ScoreSummary
    """
    check_statistics(statistics)
    scores = published_score(dataset, condition).transpose("participant", "model").to_pandas()
    wanted = list(scores.columns) if models is None else list(models)
    present = [model for model in wanted if model in scores.columns]
    published = statistics == "published"
    among = scores if published else scores[present]
    errors = model_errors(among.to_numpy().T)
    table = pd.DataFrame(
        {
            "score": errors["mean"],
            "error": errors["sem_published" if published else "interval_participants"],
        },
        index=pd.Index(among.columns, name="model"),
    ).loc[present]
    by = compared_by(dataset)
    variable, _, measure = by.ceilings[by.published_ceiling if published else by.own_ceiling]
    ceilings = dataset[variable].median("split", skipna=True).values
    mean, ceiling_error, n_with_ceiling = mean_and_sem(ceilings)
    if not published:
        ceiling_error = float(participant_interval(ceilings[np.isfinite(ceilings)][:, None])[0])
    if published:
        errors_are = (
            f"As published: errors are SD over participants (within, {among.shape[1]} models) / "
            "√(models − 1)."
        )
        ceiling_is = (
            f"The ceiling is a {measure} correlation."
            if by.published_ceiling != by.own_ceiling
            else f"The ceiling is in {measure}, like the scores."
        )
    else:
        n_participants = among.notna().all(axis=1).sum()
        errors_are = recommended_errors(n_participants)
        ceiling_is = (
            f"The ceiling is in {measure}, like the scores."
            if n_with_ceiling
            else f"The {measure} ceiling is not known."
        )
    if "read_from" in dataset.attrs:
        errors_are = f"Scores of the published {dataset.attrs['read_from']}. {errors_are}"
    return ScoreSummary(
        table,
        scores[present],
        (mean, ceiling_error),
        tuple(model for model in wanted if model not in present),
        errors_are,
        ceiling_is,
    )


def performance_order(dataset: xr.Dataset, models: Sequence[str]) -> list[str]:
    """The models of a figure by descending score of their *trained* version.

    Those without one come last.
    """
    trained = (
        summarize_scores(dataset, Condition.TRAINED, models)
        .table["score"]
        .drop(BASELINE_MODEL, errors="ignore")
    )
    ordered = list(trained.sort_values(ascending=False, kind="stable").index)
    return ordered + [model for model in models if model not in ordered and model != BASELINE_MODEL]

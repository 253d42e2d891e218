"""Effect sizes of paired samples, and adjustment of p-values for several tests."""

from __future__ import annotations

import gc
import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.multitest import multipletests

from aud_dnn.stats import pair


@dataclass(frozen=True)
class EffectSize:
    """An effect size with its bootstrap interval."""

    name: str
    value: float
    low: float
    high: float


def cohens_d_paired(a: np.ndarray, b: np.ndarray, axis: int = -1) -> np.ndarray:
    """Mean difference over the root mean of the two variances (d_av, Cumming 2012).

    NaN without any variance.
    """
    if np.shape(a)[axis] < 2:
        return np.full(np.delete(np.shape(a), axis), np.nan)
    variance = (np.var(a, axis=axis, ddof=1) + np.var(b, axis=axis, ddof=1)) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(
            variance > 0,
            (np.mean(a, axis=axis) - np.mean(b, axis=axis)) / np.sqrt(variance),
            np.nan,
        )


def rank_biserial_paired(a: np.ndarray, b: np.ndarray, axis: int = -1) -> np.ndarray:
    """Matched-pairs rank-biserial correlation (Kerby 2014).

    Favourable minus unfavourable share of the rank sum.

    1 where every pair has A above B, -1 where none has. Zero differences are left out; 0 where all
    are zero.
    """
    difference = np.asarray(a) - np.asarray(b)
    kept = np.where(difference == 0, np.nan, np.abs(difference))
    ranks = np.nan_to_num(stats.rankdata(kept, axis=axis, nan_policy="omit"))
    total = ranks.sum(axis=axis)
    return np.where(
        total > 0, (ranks * np.sign(difference)).sum(axis=axis) / np.where(total > 0, total, 1), 0.0
    )


def common_language_effect(a: np.ndarray, b: np.ndarray, axis: int = -1) -> np.ndarray:
    """Probability that a value of A is above a value of B, ties counting half (McGraw & Wong 1992;
    Vargha & Delaney).
    """
    a, b = np.moveaxis(np.asarray(a), axis, -1), np.moveaxis(np.asarray(b), axis, -1)
    above = a[..., :, None] > b[..., None, :]
    equal = a[..., :, None] == b[..., None, :]
    return (above + 0.5 * equal).mean(axis=(-2, -1))


_EFFECTS = {
    "Cohen's d": cohens_d_paired,
    "rank-biserial": rank_biserial_paired,
    "CLES": common_language_effect,
}


def effect_sizes(
    a: np.ndarray,
    b: np.ndarray,
    *,
    confidence: float = 0.95,
    n_resamples: int = 2_000,
    seed: int = 0,
) -> list[EffectSize]:
    """Effect sizes of A against B with percentile bootstrap intervals.

    Pairs are resampled together.

    Parameters
    ----------
    a, b : arrays of shape (n_pairs,)

    Returns
    -------
    list of EffectSize
        Cohen's d for paired values, the matched-pairs rank-biserial correlation, the
        common-language effect size.
    """
    a, b = pair(a, b, paired=True)
    found = []
    for name, statistic in _EFFECTS.items():
        low = high = float("nan")
        if a.size > 1:
            # resamples of a single participant have no variance and hence no d; they say nothing
            # about the interval
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", stats.DegenerateDataWarning)
                resampled = stats.bootstrap(
                    (a, b),
                    statistic,
                    paired=True,
                    vectorized=True,
                    method="percentile",
                    n_resamples=n_resamples,
                    random_state=np.random.default_rng(seed),
                ).bootstrap_distribution
            tails = [(1 - confidence) / 2, (1 + confidence) / 2]
            if np.isfinite(resampled).any():
                low, high = (float(bound) for bound in np.nanquantile(resampled, tails))
        found.append(EffectSize(name, float(statistic(a, b)), low, high))
    return found


def adjust_p_values(p: np.ndarray, method: str = "holm") -> np.ndarray:
    """P-values adjusted for multiple comparisons (statsmodels).

    Parameters
    ----------
    p : array
        NaN stays NaN and does not count as a comparison.
    method : {"holm", "fdr_bh"}
        Holm's step-down (family-wise error) or Benjamini and Hochberg's false discovery rate.
    """
    if method not in ("holm", "fdr_bh"):
        raise ValueError(f"Unknown correction {method!r}; known: holm, fdr_bh.")
    p = np.asarray(p, dtype=np.float64)
    adjusted = np.full(p.shape, np.nan)
    known = np.isfinite(p)
    if known.any():
        # statsmodels collects garbage in every call, a fifth of a second with some figures in
        # memory
        gc.freeze()
        try:
            adjusted[known] = multipletests(p[known], method=method)[1]
        finally:
            gc.unfreeze()
    return adjusted


def add_adjusted(
    table: pd.DataFrame, column: str, *, family: list[str] | None = None
) -> pd.DataFrame:
    """A copy of ``table`` with ``{column}_holm`` and ``{column}_fdr`` beside a column of p-values.

    Parameters
    ----------
    family : list of str, optional
        Columns that separate families of comparisons; all rows are one family by default.
    """
    table = table.copy()
    groups = (
        [table.index]
        if not family
        else [rows.index for _, rows in table.groupby(family, sort=False)]
    )
    for suffix, method in (("holm", "holm"), ("fdr", "fdr_bh")):
        adjusted = pd.Series(np.nan, index=table.index)
        for rows in groups:
            adjusted.loc[rows] = adjust_p_values(table.loc[rows, column].to_numpy(), method)
        table[f"{column}_{suffix}"] = adjusted
    return table

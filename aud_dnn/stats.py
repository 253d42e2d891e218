"""Statistics on participants, models and iterations.

The published tests, and better ones beside them.

Everything takes arrays and returns arrays or a small record. What SciPy and statsmodels have comes
from there; what is written out here follows the random stream of the published analysis (legacy
NumPy generators) to the last draw.
"""

from __future__ import annotations

import gc
import warnings
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.multitest import multipletests

N_RESAMPLES = 10_000


@dataclass(frozen=True)
class ResamplingTest:
    """Outcome of a one-sided resampling test of "A is above B".

    Attributes
    ----------
    mean_a, mean_b : float
        Observed means.
    reference : float
        Mean of the resampled statistic.
    p : float
        As published: share of resamples strictly beyond the observation. It can be exactly 0.
    p_plus_one : float
        ``(b + 1) / (m + 1)`` with ``b`` resamples at or beyond the observation out of ``m``. Never
        0.
    n_resamples : int
    """

    mean_a: float
    mean_b: float
    reference: float
    p: float
    p_plus_one: float
    n_resamples: int


@dataclass(frozen=True)
class PairedTest:
    """A paired, one-sided comparison "A is above B" over participants, with an interval for the
    mean difference.

    ``p`` is ``(b + 1) / (m + 1)``; ``low`` and ``high`` bound the mean difference with the stated
    confidence.
    """

    difference: float
    low: float
    high: float
    p: float
    n_resamples: int


@dataclass(frozen=True)
class SignedRank:
    """Two-sided Wilcoxon signed-rank test.

    Attributes
    ----------
    w : float
        The smaller of the two signed rank sums.
    p : float
        Normal approximation without continuity correction, as published.
    p_exact : float
        Exact distribution (by enumeration of signs where there are ties).
    n : int
        Pairs that differ; the others carry no sign and are dropped.
    """

    w: float
    p: float
    p_exact: float
    n: int


@dataclass(frozen=True)
class EffectSize:
    """An effect size with its bootstrap interval."""

    name: str
    value: float
    low: float
    high: float


def _pair(a: np.ndarray, b: np.ndarray, *, paired: bool) -> tuple[np.ndarray, np.ndarray]:
    a, b = (np.asarray(values, dtype=np.float64) for values in (a, b))
    if a.ndim != 1 or b.ndim != 1 or not a.size or not b.size:
        raise ValueError(
            f"Two non-empty one-dimensional arrays are compared, not shapes {a.shape} and "
            f"{b.shape}."
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("Statistics need finite values; there is NaN or inf among these.")
    if paired and a.shape != b.shape:
        raise ValueError(f"Paired values must be equally many: {a.size} and {b.size}.")
    return a, b


def within_participant_sem(values: np.ndarray, *, n_divisor: int | None = None) -> np.ndarray:
    """Standard error over participants after removing every participant's own mean over conditions.

    ``sem_c = std_p(x_pc - mean_c x_pc) / sqrt(n - 1)`` with the population standard deviation. No
    Morey correction.

    Parameters
    ----------
    values : array of shape (n_participants, n_conditions)
        Which conditions (models, layers, regions) stand together changes the result.
    n_divisor : int, optional
        The ``n`` of the formula; the number of participants by default. The published RSA figures
        put the number of models here.

    Returns
    -------
    array of shape (n_conditions,)
        NaN where ``n`` is 1.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2:
        raise ValueError(f"Expected participants x conditions, got shape {values.shape}.")
    n = values.shape[0] if n_divisor is None else n_divisor
    spread = (values - values.mean(axis=1, keepdims=True)).std(axis=0)
    return spread / np.sqrt(n - 1) if n > 1 else np.full(values.shape[1], np.nan)


def participant_interval(values: np.ndarray, *, confidence: float = 0.95) -> np.ndarray:
    """Half width of the confidence interval of the mean over participants (Student's t), for every
    condition by itself.

    The recommended companion of :func:`within_participant_sem`: it speaks about a population of
    participants and does not depend on which conditions stand together. It holds the differences
    between participants, so whether two intervals overlap does not say whether the conditions
    differ; a paired test does.

    Parameters
    ----------
    values : array of shape (n_participants, n_conditions)
    confidence : float

    Returns
    -------
    array of shape (n_conditions,)
        NaN for a single participant.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2:
        raise ValueError(f"Expected participants x conditions, got shape {values.shape}.")
    if len(values) < 2:
        return np.full(values.shape[1], np.nan)
    return stats.sem(values, axis=0) * stats.t.ppf((1 + confidence) / 2, len(values) - 1)


def bootstrap_published(
    a: np.ndarray,
    b: np.ndarray,
    *,
    n_resamples: int = N_RESAMPLES,
    rng: np.random.RandomState | int = 0,
) -> ResamplingTest:
    """Test of "A above B" as published: the mean of resampled B against the fixed mean of A.

    One-sided and unpaired; A is not resampled and so counts as known without error. See
    :func:`bootstrap_paired` for a test that respects the pairing.

    Parameters
    ----------
    a, b : arrays of shape (n_participants,)
    n_resamples : int
    rng : RandomState or int
        A legacy generator, or its seed. The draws are those of ``n_resamples`` calls of
        ``rng.choice(b, size=len(b))``.
    """
    a, b = _pair(a, b, paired=False)
    rng = np.random.RandomState(rng) if isinstance(rng, (int, np.integer)) else rng
    # one bulk draw of indices consumes the generator exactly like n_resamples calls of choice
    means = b[rng.randint(0, b.size, size=(n_resamples, b.size))].mean(axis=1)
    observed = a.mean()
    return ResamplingTest(
        mean_a=float(observed),
        mean_b=float(b.mean()),
        reference=float(means.mean()),
        p=float((means > observed).mean()),
        p_plus_one=float(((means >= observed).sum() + 1) / (n_resamples + 1)),
        n_resamples=n_resamples,
    )


def bootstrap_paired(
    a: np.ndarray,
    b: np.ndarray,
    *,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
    confidence: float = 0.95,
) -> PairedTest:
    """Bootstrap over participants of the mean difference A - B.

    The same participants are drawn for both models.

    The recommended companion of :func:`bootstrap_published`. ``p`` counts the resamples whose mean
    difference is not above 0.
    """
    a, b = _pair(a, b, paired=True)
    difference = a - b
    rows = np.random.default_rng(seed).integers(a.size, size=(n_resamples, a.size))
    means = difference[rows].mean(axis=1)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return PairedTest(
        difference=float(difference.mean()),
        low=float(low),
        high=float(high),
        p=float(((means <= 0).sum() + 1) / (n_resamples + 1)),
        n_resamples=n_resamples,
    )


def sign_flip_test(
    a: np.ndarray,
    b: np.ndarray,
    *,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
    alternative: str = "greater",
) -> float:
    """Paired permutation test of the mean difference over participants (SciPy).

    Exact when all sign patterns number at most ``n_resamples``; otherwise random patterns with ``(b
    + 1) / (m + 1)``.
    """
    a, b = _pair(a, b, paired=True)
    result = stats.permutation_test(
        (a - b,),
        lambda d, axis: d.mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=n_resamples,
        alternative=alternative,
        random_state=np.random.default_rng(seed),
    )
    return float(result.pvalue)


@lru_cache(maxsize=4)
def _legacy_permutations(n: int, n_resamples: int, seed: int) -> np.ndarray:
    """Successive permutations of ``n`` things by a legacy generator.

    Shared by all comparisons of equal size.
    """
    rng = np.random.RandomState(seed)
    drawn = np.stack([rng.permutation(n) for _ in range(n_resamples)])
    drawn.setflags(write=False)
    return drawn


def permutation_published(
    a: np.ndarray, b: np.ndarray, *, n_resamples: int = N_RESAMPLES, seed: int = 0
) -> ResamplingTest:
    """Test of "A above B" on one component as published: shuffle the pooled iteration values.

    The values are re-halvings of the same ten splits, not independent samples: p speaks about the
    variability of the procedure, not about a population of participants or sounds.

    Each shuffle starts from the pooled order (A, then B) and uses one legacy generator throughout.
    Where all values are equal nothing can be tested and p is NaN.

    Parameters
    ----------
    a, b : arrays of shape (n_iterations,)
        Ten each in the paper.
    """
    a, b = _pair(a, b, paired=False)
    pooled = np.concatenate([a, b])
    shuffled = pooled[_legacy_permutations(pooled.size, n_resamples, seed)]
    deltas = shuffled[:, : a.size].mean(axis=1) - shuffled[:, a.size :].mean(axis=1)
    observed = a.mean() - b.mean()
    if np.ptp(pooled) == 0:
        p = p_plus_one = float("nan")
    else:
        p = float((deltas > observed).mean())
        p_plus_one = float(((deltas >= observed - 1e-14).sum() + 1) / (n_resamples + 1))
    return ResamplingTest(
        mean_a=float(a.mean()),
        mean_b=float(b.mean()),
        reference=float(deltas.mean()),
        p=p,
        p_plus_one=p_plus_one,
        n_resamples=n_resamples,
    )


def wilcoxon_signed_rank(a: np.ndarray, b: np.ndarray) -> SignedRank:
    """Two-sided Wilcoxon signed-rank test of paired values, both ways of finding p.

    The published p-values come from the normal approximation without continuity correction, which
    SciPy 1.4 always used; they are kept in ``p``. For few pairs the exact p is the better one: with
    fifteen pairs of one sign the approximation says 0.00065, the exact distribution 0.000061.

    Parameters
    ----------
    a, b : arrays of shape (n_pairs,)
        Zero differences are dropped, tied ranks averaged.
    """
    a, b = _pair(a, b, paired=True)
    difference = a - b
    difference = difference[difference != 0]
    if not difference.size:
        return SignedRank(w=0.0, p=float("nan"), p_exact=float("nan"), n=0)
    approximate = stats.wilcoxon(
        difference, zero_method="wilcox", correction=False, method="approx"
    )
    ranks = stats.rankdata(np.abs(difference))
    if np.unique(ranks).size == ranks.size:
        exact = float(stats.wilcoxon(difference, method="exact").pvalue)
    else:
        # ranks are tied: the tabulated distribution does not hold, the signs are permuted instead
        result = stats.permutation_test(
            (ranks * np.sign(difference),),
            lambda r, axis: r.sum(axis=axis),
            permutation_type="samples",
            vectorized=True,
            n_resamples=2**16,
            alternative="two-sided",
            random_state=np.random.default_rng(0),
        )
        exact = float(result.pvalue)
    return SignedRank(
        w=float(approximate.statistic),
        p=float(approximate.pvalue),
        p_exact=exact,
        n=int(difference.size),
    )


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
    a, b = _pair(a, b, paired=True)
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


def pearson(x: np.ndarray, y: np.ndarray) -> tuple[float, float, int]:
    """Pearson r, its two-sided p and the number of pairs.

    Pairs with a NaN are dropped, NaN if fewer than three remain.
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    if x.size < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan"), float("nan"), int(x.size)
    result = stats.pearsonr(x, y)
    return float(result.statistic), float(result.pvalue), int(x.size)


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

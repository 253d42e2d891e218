"""Statistics on participants, models and iterations.

The published tests, and better ones beside them.

Everything takes arrays and returns arrays or a small record. What SciPy and statsmodels have comes
from there; what is written out here follows the random stream of the published analysis (legacy
NumPy generators) to the last draw.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import stats

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


def pair(a: np.ndarray, b: np.ndarray, *, paired: bool) -> tuple[np.ndarray, np.ndarray]:
    """Two samples as float64, after checking their shapes and values."""
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


STATISTICS = ("published", "recommended")
"""Which error bars and p-values figures show: those of the paper, or the ones to trust.

Recommended means the same on every figure: every mean over participants has its own 95 % interval
(:func:`participant_interval`), noise ceilings are in the measure of the scores, and p-values are
exact.
"""


def check_statistics(statistics: str) -> None:
    """Refuse anything but ``published`` and ``recommended``."""
    if statistics not in STATISTICS:
        raise ValueError(f"statistics must be one of {STATISTICS}, got {statistics!r}.")


def recommended_errors(n_participants: int) -> str:
    """The sentence below every picture with recommended error bars."""
    return (
        f"Recommended: errors are 95 % intervals of the mean over {n_participants} participants "
        "(Student's t)."
    )


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
    a, b = pair(a, b, paired=False)
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
    a, b = pair(a, b, paired=True)
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
    a, b = pair(a, b, paired=True)
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
    a, b = pair(a, b, paired=False)
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
    a, b = pair(a, b, paired=True)
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

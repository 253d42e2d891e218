r"""How sure a score is: over participants, over sounds, and over both.

**Over participants.** Student's t of the mean over participants, of a score or of a paired
difference, and for differences exact sign flips (:func:`sign_flips`), which need no normal
distribution. They speak about other participants who hear the same sounds.

**Over sounds.** A bootstrap that refits nothing: the 165 sounds are drawn with replacement, and
every sound counts as often as it was drawn wherever it is a test sound, in all splits and for all
voxels alike. R² of a split is then the squared (positive) correlation of measured and predicted
responses under these weights; medians over splits and over the voxels of a participant follow as
always. It conditions on the fits (weights, penalties, splits, chosen layers) and on each voxel's
noise correction, so it speaks about other test sounds for the same fitted predictions, and it does
not hold the variance that other training sounds would bring.

**Over both.** Participants and sounds are drawn at once. That counts the noise of measurement
twice, so the variance is too large; Schütt, Kipnis, Diedrichsen & Kriegeskorte (2023, eLife
12:e82566) correct it with the variances of the two one-factor bootstraps,

    σ² = 2 (σ²_participants + σ²_sounds) − σ²_both,

never below the larger of the two nor above σ²_both. Intervals are t; of the variance only the part
of the participants has few degrees of freedom (Welch–Satterthwaite). The variance of the mean over
n participants is the unbiased one (n/(n − 1) times that of the bootstrap), which matters for eight.
In simulations of 8 and 20 participants and given predictions, with an R² of 0.25, equal models are
told apart in 3 to 7 % at 5 %, and 92 to 98 % of the intervals hold the truth
(``tests/methods/test_uncertainty.py``); over participants alone it is 19 and 32 %, because all of
them heard the same sounds. With an R² of 0.05 it is 2 to 3 % over both; where regressions are
fitted anew to other training sounds each time, 5 to 7 % for 8 participants and 8 to 10 % for 20
(``benchmarks/simulated_uncertainty.py``).

**Ranks.** For a set of models, all pairs are tested with Holm's correction. A model's rank lies
between 1 + the number of models that are significantly better, and the number of models minus those
that are significantly worse (Klein, Wright & Wieczorek 2020; Mogstad, Romano, Shaikh & Wilhelm
2024): with 95 % confidence all true ranks lie within.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats as scipy_stats

from aud_dnn.effect_sizes import adjust_p_values

OVER = ("participants", "sounds", "both")
_EXACT_SIGNS = 20  # participants
_PATTERNS_PER_BLOCK = 2**14
_TINY = float(np.finfo(float).tiny)


@dataclass(frozen=True)
class Estimate:
    """A mean over participants with its uncertainty.

    Attributes
    ----------
    value : float
    low, high : float
        The 95 % interval.
    p : float
        Two-sided, of no difference from 0; never 0.
    variance : float
    """

    value: float
    low: float
    high: float
    p: float
    variance: float


def estimate(
    observed: np.ndarray,
    resampled: np.ndarray | None = None,
    *,
    over: str = "participants",
    confidence: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """Mean over participants of a score, or of a difference of scores (see the module).

    Parameters
    ----------
    observed : array of shape (n_participants,)
        With every sound once. For a difference of models, the difference.
    resampled : array of shape (n_resamples, n_participants), optional
        The same in resamples of the sounds; needed but for ``over="participants"``. The same
        resamples must stand behind both sides of a difference.
    over : {"participants", "sounds", "both"}
    confidence : float
    seed : int
        Of the draws of participants for ``over="both"``.

    Raises
    ------
    ValueError
        Fewer than two participants where they are drawn; no resamples where they are needed.
    """
    observed = np.asarray(observed, dtype=np.float64)
    n = len(observed)
    if over not in OVER:
        raise ValueError(f"over must be one of {', '.join(OVER)}; got {over!r}")
    if over != "sounds" and n < 2:
        raise ValueError("an interval over participants needs at least two")
    if over != "participants" and resampled is None:
        raise ValueError(f"an interval over {over} needs resamples of the sounds")
    of_people = observed.var(ddof=1) / n if n > 1 else np.nan
    if over == "participants":
        variance, freedom = of_people, n - 1.0
    else:
        assert resampled is not None
        of_sounds = resampled.mean(axis=1).var(ddof=1)
        if over == "sounds":
            variance, freedom = of_sounds, np.inf
        else:
            drawn = np.random.default_rng(seed).integers(0, n, size=resampled.shape)
            both = np.take_along_axis(resampled, drawn, axis=1).mean(axis=1).var(ddof=1)
            both += of_people / n  # of n drawn with replacement the variance is (n − 1)/n of it
            variance = min(max(2 * (of_people + of_sounds) - both, of_people, of_sounds), both)
            variance = max(variance, of_people, of_sounds)
            # Welch and Satterthwaite: only the share of the participants has few degrees of freedom
            freedom = (n - 1) * (variance / of_people) ** 2 if of_people > 0 else np.inf
    value, error = float(observed.mean()), float(np.sqrt(variance))
    half = error * scipy_stats.t.ppf((1 + confidence) / 2, freedom)
    if error > 0:
        p = float(2 * scipy_stats.t.sf(abs(value) / error, freedom))
    else:
        p = 1.0 if value == 0 else 0.0
    return Estimate(value, value - half, value + half, max(p, _TINY), float(variance))


def sign_flips(differences: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Two-sided p of no mean difference over participants, whatever the distribution.

    Were there none, every difference could as well have the other sign. p is the share of sign
    patterns whose mean is at least as far from 0 as what was found: of all 2ⁿ for up to 20
    participants, else of a million random ones, what was found among them. Never 0: with n
    participants not below 2 / 2ⁿ (0.008 for 8).

    Parameters
    ----------
    differences : array of shape (n_participants, n_comparisons)
        All comparisons get the same patterns.
    seed : int
        Of the random patterns.

    Returns
    -------
    array of shape (n_comparisons,)
    """
    differences = np.asarray(differences, dtype=np.float64)
    n = len(differences)
    reached = np.abs(differences.sum(axis=0)) - 1e-12 * np.abs(differences).sum(axis=0)  # rounding
    beyond, exact = np.zeros(differences.shape[1], dtype=np.int64), n <= _EXACT_SIGNS
    # a pattern and its opposite are equally far, so the sign of the first stays
    n_patterns = 2 ** (n - 1) if exact else 2**_EXACT_SIGNS
    rng = np.random.default_rng(seed)
    for start in range(0, n_patterns, _PATTERNS_PER_BLOCK):
        count = min(_PATTERNS_PER_BLOCK, n_patterns - start)
        if exact:
            bits = (np.arange(start, start + count)[:, None] >> np.arange(n)) & 1
        else:
            bits = rng.integers(0, 2, size=(count, n))
        sums = (1.0 - 2 * bits) @ differences
        beyond += (np.abs(sums) >= reached).sum(axis=0)
    return beyond / n_patterns if exact else (beyond + 1) / (n_patterns + 1)


@dataclass(frozen=True)
class Ranks:
    """Simultaneous intervals of ranks, 1 is the best; arrays of shape (n_models,)."""

    low: np.ndarray
    high: np.ndarray


def rank_intervals(
    observed: np.ndarray,
    resampled: np.ndarray | None = None,
    *,
    over: str = "participants",
    confidence: float = 0.95,
    seed: int = 0,
) -> Ranks:
    """Where each of several models may stand (see the module).

    Parameters
    ----------
    observed : array of shape (n_participants, n_models)
    resampled : array of shape (n_resamples, n_participants, n_models), optional
    over, confidence, seed
        As for :func:`estimate`.
    """
    n_models = observed.shape[1]
    pairs = [(a, b) for a in range(n_models) for b in range(a + 1, n_models)]
    tests = [
        estimate(
            observed[:, a] - observed[:, b],
            None if resampled is None else resampled[..., a] - resampled[..., b],
            over=over,
            seed=seed,
        )
        for a, b in pairs
    ]
    adjusted = adjust_p_values(np.array([test.p for test in tests])) if tests else np.zeros(0)
    better, worse = np.zeros(n_models, dtype=int), np.zeros(n_models, dtype=int)
    for (a, b), test, p in zip(pairs, tests, adjusted):
        if p < 1 - confidence:
            winner, loser = (a, b) if test.value > 0 else (b, a)
            better[loser] += 1
            worse[winner] += 1
    return Ranks(1 + better, n_models - worse)

"""Five ways to compare two RDM triangles, for vectors of pairs of sounds.

With x and y the triangles over m pairs of sounds, x̄ their means and r(x) their ranks, ties
averaged:

* Pearson: cosine of x − x̄ and y − ȳ,
* Spearman: Pearson of the ranks,
* cosine: Σ xy / √(Σx² Σy²),
* rho-a: 12 Σ r(x) r(y) / (m³ − m) − 3 (m + 1) / (m − 1), the mean Spearman correlation over all
  ways to break ties by chance (Schütt et al. 2023, eLife 12: e82566, "Comparing representations"),
* tau-a: (concordant − discordant pairs of pairs) / (m (m − 1) / 2) (Nili et al. 2014).

rho-a and tau-a do not reward a model that predicts ties where the brain has none, as Spearman and
Kendall's tau-b do.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.stats import kendalltau, rankdata

Vectors = tuple[np.ndarray, np.ndarray]


def _cosine(x: np.ndarray, y: np.ndarray) -> float:
    length = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / length) if length > 0 else np.nan


def _pearson(x: np.ndarray, y: np.ndarray) -> float:
    if _constant(x) or _constant(y):
        return np.nan
    return _cosine(x - x.mean(), y - y.mean())


def _spearman(x: np.ndarray, y: np.ndarray) -> float:
    return _pearson(rankdata(x), rankdata(y))


def _rho_a(x: np.ndarray, y: np.ndarray) -> float:
    m = len(x)
    centre = (m + 1) / 2  # centred ranks keep the digits that the difference above loses
    return float(12 * ((rankdata(x) - centre) @ (rankdata(y) - centre)) / (m**3 - m))


def _tau_a(x: np.ndarray, y: np.ndarray) -> float:
    if _constant(x) or _constant(y):
        return 0.0
    n_pairs = len(x) * (len(x) - 1) / 2
    tau_b = kendalltau(x, y, method="asymptotic").statistic
    # tau-b divides by √((pairs − ties of x)(pairs − ties of y)) in place of all pairs
    return float(tau_b * np.sqrt((n_pairs - _ties(x)) * (n_pairs - _ties(y))) / n_pairs)


def _constant(x: np.ndarray) -> bool:
    return bool((x == x[0]).all())


def _ties(x: np.ndarray) -> float:
    counts = np.unique(x, return_counts=True)[1].astype(float)
    return float((counts * (counts - 1) / 2).sum())


RDM_MEASURES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "Pearson": _pearson,
    "Spearman": _spearman,
    "cosine": _cosine,
    "rho-a": _rho_a,
    "tau-a": _tau_a,
}


def rdm_similarity(first: np.ndarray, second: np.ndarray, measure: str) -> float:
    """Similarity of two RDM triangles.

    Parameters
    ----------
    first, second : arrays of shape (n_pairs,)
        Pairs that are NaN in either are left out of both.
    measure : str
        One of :data:`RDM_MEASURES`.

    Returns
    -------
    float
        NaN with fewer than three pairs; for Pearson and Spearman where one does not vary (rho-a and
        tau-a are 0 there), for the cosine where one is zero.

    Raises
    ------
    ValueError
        Other lengths, or an unknown measure.

    Examples
    --------
    >>> import numpy as np
    >>> rdm_similarity(np.array([1.0, 2, 2, 3]), np.array([1.0, 2, 3, 4]), "rho-a")
    0.9
    """
    if measure not in RDM_MEASURES:
        raise ValueError(f"measure must be one of {', '.join(RDM_MEASURES)}; got {measure!r}.")
    first, second = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(
            f"Two triangles of one length are compared; got {first.shape} and {second.shape}."
        )
    both = np.isfinite(first) & np.isfinite(second)
    if np.count_nonzero(both) < 3:
        return np.nan
    if not both.all():
        first, second = first[both], second[both]
    return RDM_MEASURES[measure](first, second)


def alike(triangles: np.ndarray, measure: str) -> np.ndarray:
    """Triangles on one scale before they are averaged: so that all weigh the same in a mean.

    Parameters
    ----------
    triangles : array of shape (n_triangles, n_pairs)
        NaN stays where it is.
    measure : str
        Ranks for the measures of ranks, z-scores for Pearson, unit root mean square for the cosine.
    """
    if measure in ("Spearman", "rho-a", "tau-a"):
        ranks = np.full(np.shape(triangles), np.nan)
        for row, out in zip(triangles, ranks):
            known = np.isfinite(row)
            out[known] = rankdata(row[known]) / max(1, np.count_nonzero(known))
        return ranks
    known = np.isfinite(triangles)
    counts = known.sum(axis=1, keepdims=True)
    counts = np.where(counts, counts, np.nan)  # nothing known stays NaN
    centred = np.where(known, triangles, 0)
    if measure == "Pearson":
        centred = np.where(known, triangles - centred.sum(axis=1, keepdims=True) / counts, 0)
    scale = np.sqrt((centred**2).sum(axis=1, keepdims=True) / counts)
    return np.where(known, centred, np.nan) / np.where(scale > 0, scale, np.nan)

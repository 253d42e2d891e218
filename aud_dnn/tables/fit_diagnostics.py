"""Numbers that tell whether fits went well.

Constant predictions, alphas at the edge, scores above 1 (supplement).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

METRICS = ("r_prior_zero", "r2_test_c", "r2_test", "r2_train", "alphas")
N_SINGLE_FITS = 3


def percent(part: float, whole: float) -> float:
    """Share in per cent, to four decimals, as in the published reports."""
    return round(100 * float(part) / whole, 4)


def _median_over_splits(values: np.ndarray, keep: np.ndarray) -> float:
    """Mean over voxels of the median over the kept splits; voxels without one are left out.

    NaN if none is left.
    """
    kept = np.where(keep, values, np.nan)
    known = ~np.isnan(kept).all(axis=1)
    return float(np.nanmedian(kept[known], axis=1).mean()) if known.any() else float("nan")


def fit_statistics(scores: Mapping[str, np.ndarray], *, corrected: bool = True) -> dict[str, float]:
    """Summary of one layer's fits.

    Unlike the published report, entries are counted (not codes summed, which doubled the
    lower-alpha count) and no value is masked in place.

    Parameters
    ----------
    scores : mapping of str -> array of shape (n_voxels, n_splits)
        The variables of ``ds``.
    corrected : bool
        Whether the target has a noise correction (voxels, not components).

    Returns
    -------
    dict of name -> value
    """
    shape = np.shape(scores["r2_test"])
    cells = shape[0] * shape[1]
    constant = np.asarray(scores["warning_constant_mean"]) > 0
    rows: dict[str, float] = {
        "warning_constant_mean_COUNT": int(constant.sum()),
        "warning_constant_mean_PERC": percent(constant.sum(), cells),
    }
    single = np.asarray(scores["warning_constant_splits"]).sum()
    rows |= {
        "warning_constant_splits_COUNT": int(single),
        "warning_constant_splits_PERC": percent(single, cells * N_SINGLE_FITS),
    }
    for name, code in (("upper", 1), ("lower", 2)):
        count = int((np.asarray(scores["warning_alphas"]) == code).sum())
        rows |= {
            f"warning_alphas_{name}_COUNT": count,
            f"warning_alphas_{name}_PERC": percent(count, cells),
        }
    metrics = [name for name in METRICS if corrected or name != "r2_test_c"]
    for name in [
        metric for metric in ("r_prior_zero", "r2_test_c", "r2_train") if metric in metrics
    ]:
        count = int(np.isnan(scores[name]).sum())
        rows |= {f"nan_{name}_COUNT": count, f"nan_{name}_PERC": percent(count, cells)}
    if corrected:
        values = np.asarray(scores["r2_test_c"])
        above = values[values > 1]
        rows |= {"exceed1_r2_test_c_PERC": percent(above.size, cells)}
        for name, reduce in (("MAX", np.max), ("MEAN", np.mean), ("MEDIAN", np.median)):
            rows[f"exceed1_r2_test_c_{name}"] = float(reduce(above)) if above.size else float("nan")
        n_above = int((np.median(values, axis=1) > 1).sum())
        rows |= {
            "exceed1_median_r2_test_c_COUNT": n_above,
            "exceed1_median_r2_test_c_PERC": percent(n_above, shape[0]),
        }
    for name in metrics:
        values = np.asarray(scores[name], dtype=float)
        rows[f"{name}_no_constant_warning_mean_MEDIAN"] = _median_over_splits(values, ~constant)
        rows[f"{name}_constant_warning_mean_MEDIAN"] = _median_over_splits(values, constant)
    raw = np.asarray(scores["r_prior_zero"])
    negative = raw[raw < 0]
    rows |= {
        "neg_r_test_COUNT": int(negative.size),
        "neg_r_test_PERC": percent(negative.size, cells),
        "neg_r_test_MEAN": float(negative.mean()) if negative.size else float("nan"),
        "neg_r_test_MEDIAN": float(np.median(negative)) if negative.size else float("nan"),
        "neg_r_test_and_constant_COUNT": int(((raw < 0) & constant).sum()),
        "nan_r_prior_zero_and_constant_COUNT": int((np.isnan(raw) & constant).sum()),
    }
    return rows


def alpha_statistics(scores: Mapping[str, np.ndarray], value: str) -> dict[str, float]:
    """How often an alpha lay at the edge of the grid, and the median score of voxels with and
    without such a split.
    """
    warned = np.asarray(scores["warning_alphas"])
    affected = (warned > 0).any(axis=1)
    median = np.median(np.asarray(scores[value]), axis=1)
    row: dict[str, float] = {
        "total": int((warned > 0).sum()),
        "upper": int((warned == 1).sum()),
        "lower": int((warned == 2).sum()),
        "perc": percent((warned > 0).sum(), warned.size),
    }
    for name, chosen in (("affected", affected), ("unaffected", ~affected)):
        row[f"n_voxels_{name}"] = int(chosen.sum())
        row[f"median_{value}_{name}"] = (
            float(np.median(median[chosen])) if chosen.any() else float("nan")
        )
    return row


def known_statistics() -> tuple[str, ...]:
    """Names of all numbers there are for a layer: those of the fits and those of the alphas."""
    nothing = {
        name: np.zeros((1, 1))
        for name in (*METRICS, "warning_constant_mean", "warning_constant_splits", "warning_alphas")
    }
    by_alpha = alpha_statistics(nothing, "r2_test_c") | alpha_statistics(
        nothing, "r2_test"
    )  # voxels, components
    return (*fit_statistics(nothing), *by_alpha)


def voxel_diagnostics(scores: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """How the fits of each voxel went: arrays of shape (n_voxels,).

    Medians over splits of the standard deviation over sounds of actual (``y_…``) and predicted
    (``y_pred_…``) responses and of alpha; number of splits whose prediction is constant (at most
    10), and of constant predictions from single repetitions (at most 30).

    Parameters
    ----------
    scores : mapping of str -> array of shape (n_voxels, n_splits)
        The variables of ``ds``.
    """
    medians = (
        "y_test_std_mean",
        "y_pred_test_std_mean",
        "y_train_std_mean",
        "y_pred_train_std_mean",
        "alphas",
    )
    found = {
        f"median_{name}": np.median(np.asarray(scores[name], dtype=float), axis=1)
        for name in medians
    }
    for name in ("warning_constant_mean", "warning_constant_splits"):
        found[f"n_{name}"] = np.asarray(scores[name]).sum(axis=1).astype(int)
    return found


def functional_overlap(masks: Mapping[str, np.ndarray]) -> dict[str, int]:
    """Voxels in each functional region (NH2015), in each pair of regions, and in any."""
    names = list(masks)
    inside = {name: np.asarray(mask, dtype=float) > 0 for name, mask in masks.items()}
    counts = {name: int(mask.sum()) for name, mask in inside.items()}
    counts |= {
        f"{a} & {b}": int((inside[a] & inside[b]).sum())
        for i, a in enumerate(names)
        for b in names[i + 1 :]
    }
    counts["any"] = int(np.any(list(inside.values()), axis=0).sum()) if names else 0
    return counts

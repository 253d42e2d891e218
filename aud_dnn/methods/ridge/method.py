"""Ridge regression as a method: what it gives, and its two pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from aud_dnn.methods.method import Field, Method
from aud_dnn.methods.ridge.leave_one_out import SplitRidge, alpha_grid, reduce_features
from aud_dnn.methods.ridge.scores import LayerScores, positive_part, r2_of
from aud_dnn.methods.ridge.scoring import decompose_splits, score_responses
from aud_dnn.splits import Splits

_DIMS = ("voxel", "split")
_ALL = ("mean", "median", "std")


def _score(
    name: str, meaning: str, summaries: tuple[str, ...], column: str = "", **derived: Any
) -> Field:
    return Field(name, name, _DIMS, meaning, summaries=summaries, column=column, **derived)


def _count(name: str, meaning: str) -> Field:
    return Field(name, name, _DIMS, meaning, "int64")


def _spread(name: str, of: str) -> Field:
    meaning = f"population standard deviation of the {of}"
    # nothing is computed from it: 7 digits do, and every result holds a million of them
    return Field(name, name, _DIMS, meaning, unit="that of the responses", dtype_on_disk="float32")


FIELDS = (
    _score(
        "r_prior_zero",
        "correlation of predicted and measured test responses; NaN where either is constant",
        ("mean", "median"),
        "r_prior_zero_test",
    ),
    _score(
        "r_test",
        "r_prior_zero; 0 where negative or undefined",
        ("mean", "median"),
        source="r_prior_zero",
        derive=positive_part,
    ),
    _score("r2_test", "r_test squared", _ALL, source="r_prior_zero", derive=r2_of),
    _score(
        "r2_test_c",
        "r2_test, noise-corrected; 0 where the target has no repetitions, NaN where a voxel has "
        "only one of several",
        _ALL,
    ),
    _score("r2_train", "the same as r2_test for the training sounds", _ALL),
    Field(
        "loo_r2_train",
        "loo_r2_train",
        _DIMS,
        "leave-one-out R² of the training sounds at the chosen alpha: 1 - error / variance",
        dtype_on_disk="float32",  # layers are chosen by it; they differ by more than 1e-7
    ),
    _score("alphas", "penalty chosen on the training sounds", ("median", "mean"), "alpha"),
    _spread("y_pred_test_std_mean", "predicted test responses"),
    _spread("y_pred_train_std_mean", "predicted training responses"),
    _spread("y_test_std_mean", "measured test responses"),
    _spread("y_train_std_mean", "measured training responses"),
    _count("warning_constant_mean", "1 where the prediction of the mean response is constant"),
    _count("warning_constant_splits", "how many predictions from single repetitions are constant"),
    _count("warning_alphas", "1 where the largest alpha is chosen, 2 where the smallest, else 0"),
    _count("alpha_on_plateau", "1 where another alpha cannot be distinguished from the chosen one"),
)


@dataclass(frozen=True)
class Prepared:
    """A layer, decomposed for every split.

    Attributes
    ----------
    splits : Splits
    decomposed : sequence of SplitRidge
    """

    splits: Splits
    decomposed: Sequence[SplitRidge]


def prepare(features: np.ndarray, splits: Splits, *, alphalimit: int = 50) -> Prepared:
    """Decompose a layer, (n_sounds, n_units), for every split and the whole grid of penalties."""
    design = reduce_features(features)
    return Prepared(splits, decompose_splits(design, splits, alpha_grid(alphalimit)))


def score(prepared: Prepared, target: np.ndarray) -> LayerScores:
    """Predict responses, (n_sounds, n_voxels, n_repetitions), and score the predictions."""
    scores, _ = score_responses(
        prepared.decomposed, target, prepared.splits, keep_predictions=False
    )
    return scores


METHOD = Method(
    name="Ridge",
    label="R²",
    limits=(0.0, 1.0),
    fields=FIELDS,
    prepare=prepare,
    score=score,
)
"""Ridge regression as published. Its name stands in the names of result folders."""

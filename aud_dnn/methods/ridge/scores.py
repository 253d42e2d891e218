"""What ridge regression gives: scores and predictions of one layer."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np


def positive_part(r: np.ndarray) -> np.ndarray:
    """r; 0 where it is negative or undefined (NaN)."""
    return np.where(r > 0, r, 0.0)


def r2_of(r: np.ndarray) -> np.ndarray:
    """R² of the paper: the square of r, 0 where r is negative or undefined (NaN)."""
    return positive_part(r) ** 2


@dataclass(frozen=True)
class LayerScores:
    """Scores of one layer, every array of shape (n_voxels, n_splits).

    Attributes
    ----------
    r_prior_zero : Pearson correlation of predicted and measured responses to the test sounds; NaN
    where either is constant.
    r_test : the same, 0 where it is negative or undefined.
    r2_test, r2_train : r_test², and its counterpart on the training sounds.
    r2_test_c : noise-corrected r2_test; zeros where the target has no repetitions, NaN for a voxel
    that has only one of
        several.
    loo_r2_train : share of the variance of the training sounds that is predicted when each is left
    out (:func:`aud_dnn.methods.ridge.leave_one_out.leave_one_out_r2`).
    alphas : the chosen alpha of the fit to the mean response.
    y_pred_test_std_mean, y_pred_train_std_mean, y_test_std_mean, y_train_std_mean : population
    standard deviations of the
        predicted and the measured mean responses on the test and on the training sounds.
    warning_constant_mean : 1 where the prediction of the mean response is constant.
    warning_constant_splits : how many of the predictions from single repetitions are constant.
    warning_alphas : 1 where the chosen alpha is the largest of the grid, 2 where it is the
    smallest, else 0.
    alpha_on_plateau : 1 where another alpha of the grid is not distinguishable from the chosen.
    """

    r_prior_zero: np.ndarray
    r_test: np.ndarray
    r2_test: np.ndarray
    r2_test_c: np.ndarray
    r2_train: np.ndarray
    loo_r2_train: np.ndarray
    alphas: np.ndarray
    y_pred_test_std_mean: np.ndarray
    y_pred_train_std_mean: np.ndarray
    y_test_std_mean: np.ndarray
    y_train_std_mean: np.ndarray
    warning_constant_mean: np.ndarray
    warning_constant_splits: np.ndarray
    warning_alphas: np.ndarray
    alpha_on_plateau: np.ndarray

    @classmethod
    def empty(cls, n_voxels: int, n_splits: int) -> LayerScores:
        """Zeros, to be filled."""
        counts = {
            "warning_constant_mean",
            "warning_constant_splits",
            "warning_alphas",
            "alpha_on_plateau",
        }
        return cls(
            **{
                field.name: np.zeros(
                    (n_voxels, n_splits), dtype=np.int64 if field.name in counts else np.float64
                )
                for field in fields(cls)
            }
        )


@dataclass(frozen=True)
class TestPredictions:
    """Predictions of the mean responses to the test sounds.

    Attributes
    ----------
    values : float32 array of shape (n_splits, n_test, n_voxels)
        Predictions of the responses minus their training mean; test sounds in stimulus order. A
        split with fewer test sounds than another ends in NaN.
    train_means : float64 array of shape (n_splits, n_voxels)
        The training means.
    """

    __test__ = False  # not a test case, whatever its name suggests to pytest

    values: np.ndarray
    train_means: np.ndarray

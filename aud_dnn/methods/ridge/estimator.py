"""The ridge regression of the paper as a scikit-learn estimator."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from aud_dnn.methods.ridge.choosing_alpha import select_alphas
from aud_dnn.methods.ridge.leave_one_out import (
    SplitRidge,
    decompose,
    leave_one_out_mse,
    project,
    reduce_features,
)
from aud_dnn.methods.threads import one_blas_thread

try:
    from sklearn.utils.validation import validate_data
except ImportError:  # scikit-learn before 1.6

    def validate_data(estimator: BaseEstimator, **checks: Any) -> Any:
        """What the function of this name does in later releases."""
        return estimator._validate_data(**checks)


class VoxelwiseRidgeCV(MultiOutputMixin, RegressorMixin, BaseEstimator):
    r"""Ridge regression with an alpha for every target (voxel), chosen by exact leave-one-out.

    For features X (sounds × units) and every column y of the targets, minimises ‖y − b − Xw‖² +
    α‖w‖² with a free intercept b, where α is the one of ``alphas`` with the smallest mean squared
    leave-one-out error; of alphas that float64 cannot tell apart, the largest. The features are
    decomposed once for all targets and alphas (:mod:`aud_dnn.methods.ridge.leave_one_out`; Tuckute
    et al. 2023, Methods, "Regression").

    Parameters
    ----------
    alphas : array-like of shape (n_alphas,), default=(0.1, 1.0, 10.0)
        Penalties to choose from, positive, in any order. The paper's grid is ``alpha_grid(50)`` of
        :mod:`aud_dnn.methods.ridge.leave_one_out`.
    alpha_per_target : bool, default=True
        Choose an alpha for each target. Otherwise one for all: the smallest leave-one-out error
        averaged over targets.

    Attributes
    ----------
    alphas_ : float64 array of shape (n_targets,)
        The chosen alphas.
    best_score_ : float64 array of shape (n_targets,)
        Minus the mean squared leave-one-out error at the chosen alpha (unit of the targets,
        squared).
    coef_ : float64 array of shape (n_targets, n_units), or (n_units,) for a one-dimensional ``y``
    intercept_ : float64 array of shape (n_targets,), or float
    n_features_in_ : int

    Notes
    -----
    Leave-one-out operators of all alphas are held in memory: n_alphas × n_sounds² × 8 bytes (22 MB
    for 165 sounds and the 100 alphas of the paper, 800 MB for 1,000 sounds).

    See Also
    --------
    sklearn.linear_model.RidgeCV : the same with ``alpha_per_target=True``, target after target,
    without the plateau rule.

    Examples
    --------
    >>> import numpy as np
    >>> from aud_dnn import VoxelwiseRidgeCV
    >>> rng = np.random.default_rng(0)
    >>> features = rng.standard_normal((60, 200))
    >>> responses = features[:, :3] + 0.1 * rng.standard_normal((60, 3))
    >>> model = VoxelwiseRidgeCV(alphas=[1, 10, 100]).fit(features[:40], responses[:40])
    >>> model.coef_.shape
    (3, 200)
    >>> model.predict(features[40:]).shape
    (20, 3)
    """

    def __init__(self, alphas: Any = (0.1, 1.0, 10.0), *, alpha_per_target: bool = True) -> None:
        self.alphas = alphas
        self.alpha_per_target = alpha_per_target

    @one_blas_thread()
    def fit(self, X: Any, y: Any) -> VoxelwiseRidgeCV:
        """Choose alphas and fit.

        Parameters
        ----------
        X : array-like of shape (n_sounds, n_units)
        y : array-like of shape (n_sounds,) or (n_sounds, n_targets)

        Raises
        ------
        ValueError
            NaN, inf, unequal lengths, fewer than two sounds, alphas that are not positive.
        """
        features, targets = validate_data(
            self,
            X=X,
            y=y,
            multi_output=True,
            y_numeric=True,
            dtype=np.float64,
            ensure_min_samples=2,
        )
        targets = targets.astype(np.float64, copy=False)
        alphas = np.unique(np.asarray(self.alphas, dtype=np.float64).ravel())[::-1]
        if not len(alphas) or not np.isfinite(alphas).all() or alphas[-1] <= 0:
            raise ValueError(f"alphas must be positive and finite; got {self.alphas!r}.")
        columns = targets.reshape(len(targets), -1)
        means = columns.mean(axis=0)
        design = reduce_features(features)
        everything = np.ones(len(features), dtype=bool)
        split = decompose(design, everything, everything, alphas)
        z = project(split, columns - means)
        constant = (columns == columns[:1]).all(axis=0)
        z[:, constant] = 0.0  # centring leaves rounding of it, which is no response
        if self.alpha_per_target:
            chosen = select_alphas(split, z[:, None]).index[0]
            error = np.empty(len(chosen))
            for index in np.unique(chosen):
                error[chosen == index] = _error_at(split, z[:, chosen == index], index)
        else:
            index = int(np.argmin(leave_one_out_mse(split, z).mean(axis=1)))
            chosen = np.full(columns.shape[1], index)
            error = _error_at(split, z, index)
        rank = int(np.count_nonzero(split.singular))
        weights = split.shrinkage[:, chosen] * z * split.prediction_scale[chosen]
        dual = split.basis[:, :rank] @ (weights[:rank] / split.singular[:rank, None])
        centre = features.mean(axis=0)
        coefficients = ((features - centre) / design.scale).T @ dual / design.scale
        self.coef_ = coefficients.T if targets.ndim > 1 else coefficients[:, 0]
        intercept = means - centre @ coefficients
        self.intercept_ = intercept if targets.ndim > 1 else float(intercept[0])
        self.alphas_ = split.alphas[chosen]
        self.best_score_ = -error
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predicted targets, of shape (n_sounds,) or (n_sounds, n_targets) as in ``fit``."""
        check_is_fitted(self)
        features = validate_data(self, X=X, dtype=np.float64, reset=False)
        return features @ self.coef_.T + self.intercept_


def _error_at(split: SplitRidge, z: np.ndarray, index: int) -> np.ndarray:
    """Mean squared leave-one-out error at one alpha of the grid."""
    operator = split.operators[np.searchsorted(split.distinct, index, side="right") - 1]
    return np.sum((operator @ z) ** 2, axis=0) / split.n_train

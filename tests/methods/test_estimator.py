"""The scikit-learn estimator: scikit-learn's own checks, its own RidgeCV, brute force."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.model_selection import GridSearchCV, LeaveOneOut, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from aud_dnn.methods.ridge import estimator
from aud_dnn.methods.ridge.estimator import VoxelwiseRidgeCV

ALPHAS = np.logspace(-2, 4, 13)


@parametrize_with_checks([VoxelwiseRidgeCV(), VoxelwiseRidgeCV(alpha_per_target=False)])
def test_scikit_learn_accepts_it(estimator, check):
    if "readonly_memmap" in str(check) and sklearn.__version__.startswith("1.3."):
        pytest.skip("this check of scikit-learn 1.3 fails with any newer joblib")
    check(estimator)


def made(n_sounds=40, n_units=120, n_targets=7, noise=1.0, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((n_sounds, n_units)) + rng.standard_normal(n_units)
    weights = rng.standard_normal((n_units, n_targets)) / np.sqrt(n_units)
    return features, features @ weights + noise * rng.standard_normal((n_sounds, n_targets)) + 5.0


@pytest.mark.parametrize("n_units", [3, 39, 40, 41, 500])
@pytest.mark.parametrize("alpha_per_target", [True, False])
def test_equals_ridge_cv(n_units, alpha_per_target):
    features, targets = made(n_units=n_units)
    ours = VoxelwiseRidgeCV(ALPHAS, alpha_per_target=alpha_per_target).fit(features, targets)
    theirs = RidgeCV(ALPHAS, alpha_per_target=alpha_per_target).fit(features, targets)
    np.testing.assert_array_equal(ours.alphas_, np.broadcast_to(theirs.alpha_, len(targets.T)))
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-8)
    best = ours.best_score_ if alpha_per_target else ours.best_score_.mean()
    np.testing.assert_allclose(best, theirs.best_score_, rtol=1e-8)
    np.testing.assert_allclose(
        ours.predict(features[:5] + 1), theirs.predict(features[:5] + 1), rtol=1e-8
    )
    assert ours.score(features, targets) == pytest.approx(theirs.score(features, targets), rel=1e-8)


@pytest.mark.parametrize("alpha", [1e-3, 1.0, 1e3])
def test_best_score_is_the_leave_one_out_error_of_refitted_models(alpha):
    features, targets = made(n_sounds=15, n_units=30)
    ours = VoxelwiseRidgeCV([alpha]).fit(features, targets)
    left_out = cross_val_predict(Ridge(alpha), features, targets, cv=LeaveOneOut())
    np.testing.assert_allclose(
        ours.best_score_, -((targets - left_out) ** 2).mean(axis=0), rtol=1e-9
    )


def test_interpolates_as_alpha_goes_to_zero_and_predicts_the_mean_as_it_grows():
    features, targets = made(n_sounds=20, n_units=50)
    np.testing.assert_allclose(
        VoxelwiseRidgeCV([1e-10]).fit(features, targets).predict(features), targets, rtol=1e-8
    )
    flat = VoxelwiseRidgeCV([1e14]).fit(features, targets)
    np.testing.assert_allclose(
        flat.predict(features), np.broadcast_to(targets.mean(axis=0), targets.shape), rtol=1e-8
    )


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_scaling_features_and_alphas_together_changes_no_prediction(scale):
    features, targets = made()
    plain = VoxelwiseRidgeCV(ALPHAS).fit(features, targets)
    scaled = VoxelwiseRidgeCV(ALPHAS * scale**2).fit(features * scale, targets)
    np.testing.assert_allclose(scaled.predict(features * scale), plain.predict(features), rtol=1e-9)
    np.testing.assert_allclose(scaled.alphas_, plain.alphas_ * scale**2)


def test_order_of_alphas_and_of_targets_does_not_matter():
    features, targets = made()
    order = np.random.default_rng(1).permutation(len(targets.T))
    plain = VoxelwiseRidgeCV(ALPHAS).fit(features, targets)
    other = VoxelwiseRidgeCV(ALPHAS[::-1]).fit(features, targets[:, order])
    np.testing.assert_allclose(other.coef_, plain.coef_[order], rtol=1e-12)


def test_a_one_dimensional_target_gives_one_dimensional_results():
    features, targets = made()
    one = VoxelwiseRidgeCV(ALPHAS).fit(features, targets[:, 0])
    many = VoxelwiseRidgeCV(ALPHAS).fit(features, targets)
    assert one.coef_.shape == (features.shape[1],) and one.predict(features).shape == (
        len(features),
    )
    np.testing.assert_allclose(one.coef_, many.coef_[0], rtol=1e-12)


def test_constant_targets_and_features_predict_the_mean():
    features, targets = made()
    targets[:, 2] = 0.1
    fitted = VoxelwiseRidgeCV(ALPHAS).fit(features, targets)
    assert not fitted.coef_[2].any() and fitted.best_score_[2] == 0
    np.testing.assert_allclose(fitted.predict(features)[:, 2], 0.1, rtol=1e-12)
    flat = VoxelwiseRidgeCV(ALPHAS).fit(np.ones_like(features), targets)
    np.testing.assert_allclose(
        flat.predict(features), np.broadcast_to(targets.mean(axis=0), targets.shape), rtol=1e-12
    )


def test_works_in_a_pipeline_a_search_and_cross_validation():
    features, targets = made(n_sounds=60, noise=0.1)
    pipeline = make_pipeline(StandardScaler(), VoxelwiseRidgeCV(ALPHAS))
    predicted = cross_val_predict(pipeline, features, targets, cv=5)
    reference = cross_val_predict(
        make_pipeline(StandardScaler(), RidgeCV(ALPHAS, alpha_per_target=True)),
        features,
        targets,
        cv=5,
    )
    np.testing.assert_allclose(predicted, reference, rtol=1e-8)
    search = GridSearchCV(VoxelwiseRidgeCV(), {"alphas": [(1e-2,), (1e2,)]}, cv=3).fit(
        features, targets
    )
    assert search.best_params_["alphas"] in [(1e-2,), (1e2,)]
    assert clone(VoxelwiseRidgeCV((1, 2), alpha_per_target=False)).get_params() == {
        "alphas": (1, 2),
        "alpha_per_target": False,
    }


@pytest.mark.parametrize("alphas", [[], [0.0, 1.0], [-1.0], [np.nan], [np.inf, 1.0]])
def test_impossible_alphas_are_refused(alphas):
    with pytest.raises(ValueError, match="alphas must be positive and finite"):
        VoxelwiseRidgeCV(alphas).fit(*made())


def test_the_example_runs():
    assert doctest.testmod(estimator).failed == 0

"""The leave-one-out R² of the training sounds, by which layers are chosen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from aud_dnn.methods.ridge.leave_one_out import (
    alpha_grid,
    leave_one_out_r2,
    project,
    reduce_features,
)
from aud_dnn.methods.ridge.scoring import decompose_splits, score_responses
from aud_dnn.splits import Splits, published_splits

SPLITS = published_splits()
TWO = Splits(SPLITS.train[:2], SPLITS.test[:2], SPLITS.seed)


def scored(features: np.ndarray, responses: np.ndarray, splits: Splits = TWO):
    decomposed = decompose_splits(reduce_features(features), splits, alpha_grid(50))
    return score_responses(decomposed, responses, splits, keep_predictions=False)[0]


def simulated(seed: int, n_units: int, n_voxels: int, n_repetitions: int = 3):
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((165, n_units))
    signal = features @ rng.standard_normal((n_units, n_voxels)) / np.sqrt(n_units)
    noise = rng.standard_normal((165, n_voxels, n_repetitions))
    return features, signal[:, :, None] + noise


@pytest.mark.parametrize("n_units", [3, 40, 400])
def test_it_is_that_of_a_fit_for_every_sound(n_units: int) -> None:
    features, responses = simulated(0, n_units, 4)
    scores = scored(features, responses)
    for split, train in enumerate(TWO.train):
        x, y = features[train], responses[train].mean(axis=2)
        for voxel in range(y.shape[1]):
            errors = []
            for left_out in range(len(x)):
                kept = np.arange(len(x)) != left_out
                fitted = Ridge(scores.alphas[voxel, split]).fit(x[kept], y[kept, voxel])
                errors.append(y[left_out, voxel] - fitted.predict(x[[left_out]])[0])
            expected = 1 - np.sum(np.square(errors)) / (len(x) * y[:, voxel].var())
            assert scores.loo_r2_train[voxel, split] == pytest.approx(expected, abs=1e-9)


def test_the_chosen_alpha_has_the_largest() -> None:
    features, responses = simulated(1, 200, 30, 1)
    design = decompose_splits(reduce_features(features), TWO, alpha_grid(50))
    for split, train in zip(design, TWO.train):
        z = project(split, responses[train, :, 0] - responses[train, :, 0].mean(axis=0))
        every = np.stack(
            [leave_one_out_r2(split, z, np.full(30, alpha)) for alpha in range(len(split.alphas))]
        )
        assert np.isfinite(every).all()
        scores = score_responses([split], responses, Splits(train[None], ~train[None], None))[0]
        np.testing.assert_allclose(every.max(axis=0), scores.loo_r2_train[:, 0], atol=1e-12)
        # at the largest alpha every sound is predicted by the mean of the others
        n = int(train.sum())
        np.testing.assert_allclose(every[0], 1 - (n / (n - 1)) ** 2, rtol=1e-9)


def test_what_does_not_vary_is_not_predicted() -> None:
    features, responses = simulated(2, 20, 3)
    responses[:, 1] = 4.0
    scores = scored(features, responses)
    assert (scores.loo_r2_train[1] == 0).all()
    assert (scores.loo_r2_train[[0, 2]] != 0).all()
    constant = scored(np.ones((165, 5)), responses).loo_r2_train
    n = int(TWO.train[0].sum())
    np.testing.assert_allclose(constant[[0, 2]], 1 - (n / (n - 1)) ** 2, rtol=1e-9)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 50), st.sampled_from([1e-3, 1.0, 1e6]), st.sampled_from([2.0**-40, 1.0, 8.0]))
def test_it_does_not_depend_on_units_or_order(seed: int, of_x: float, of_y: float) -> None:
    features, responses = simulated(seed, 30, 5, 1)
    order = np.random.default_rng(seed).permutation(5)
    plain = scored(features, responses).loo_r2_train
    # alphas are powers of ten: scaling features by another moves the grid, not the fits
    other = scored(of_x * features, of_y * responses[:, order]).loo_r2_train
    np.testing.assert_allclose(other, plain[order], atol=1e-9)


def test_test_sounds_do_not_matter() -> None:
    features, responses = simulated(3, 60, 20, 3)
    plain = scored(features, responses).loo_r2_train
    for split in range(2):
        poisoned_x, poisoned_y = features.copy(), responses.copy()
        poisoned_x[TWO.test[split]] *= -1e3
        poisoned_y[TWO.test[split]] = 1e6
        found = scored(poisoned_x, poisoned_y).loo_r2_train[:, split]
        # what is left is the rounding of training responses beside a million
        np.testing.assert_allclose(found, plain[:, split], atol=1e-7)

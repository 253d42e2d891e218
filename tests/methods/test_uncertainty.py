"""Intervals over participants, sounds and both: against repeated sounds, and simulated truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from aud_dnn.methods.resampled_sounds import (
    correction_factors,
    resampled_parts,
    resampled_scores,
    sound_weights,
    unit_resample,
)
from aud_dnn.methods.uncertainty import (
    estimate,
    rank_intervals,
    sign_flips,
)
from aud_dnn.splits import Splits, published_splits
from aud_dnn.stats import sign_flip_test

SPLITS = published_splits()
FEW = Splits(SPLITS.train[:3], SPLITS.test[:3], SPLITS.seed)


def responses_and_predictions(
    seed: int,
    n_people: int,
    n_voxels: int,
    qualities: tuple[float, ...],
    *,
    effect: float = 0.0,
    shared: float = 0.5,
) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """Voxels follow a signal; predictions are that signal (of everybody, and a part of their own)
    with errors that all participants share (``shared`` of their variance), and errors of one.

    Signal, noise and errors have the variance 1, so R² is about 0.25 for a quality of 1. The
    quality of every model differs between participants with the standard deviation ``effect``
    times its mean, so that there is something to learn from other participants.
    """
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(n_people), n_voxels)
    signal = rng.standard_normal((165, 1)) + rng.standard_normal((165, n_people))[:, owner]
    measured = signal / np.sqrt(2) + rng.standard_normal(signal.shape)
    predictions = []
    for quality in qualities:
        common, own = rng.standard_normal((165, 1)), rng.standard_normal((165, n_people))
        errors = np.sqrt(shared) * common + np.sqrt(1 - shared) * own[:, owner]
        if effect:
            quality = quality * (1 + effect * rng.standard_normal(n_people))[owner]
        predicted = quality * signal / np.sqrt(2) + errors
        full = np.repeat(predicted[:, None], len(FEW), axis=1)
        full[FEW.train.T] = np.nan
        predictions.append(full)
    return measured, predictions, owner


# --- arithmetic -----------------------------------------------------------------------------------


def test_weights_count_sounds() -> None:
    measured, (predicted,), owner = responses_and_predictions(0, 3, 4, (1.0,))
    weights = sound_weights(165, 6, seed=1)
    assert (weights.sum(axis=1) == 165).all()
    factors = np.random.default_rng(0).uniform(1, 2, (12, 3))
    found = resampled_scores(measured, predicted, FEW, owner, weights, correction=factors)
    for row, drawn in enumerate(weights):
        r2 = np.empty((12, 3))
        for split, test in enumerate(FEW.test):
            sounds = np.repeat(np.flatnonzero(test), drawn[test])
            for voxel in range(12):
                r = np.corrcoef(measured[sounds, voxel], predicted[sounds, split, voxel])[0, 1]
                r2[voxel, split] = max(r, 0) ** 2 * factors[voxel, split]
        medians = np.minimum(np.median(r2, axis=1), 1)
        expected = [np.median(medians[owner == person]) for person in range(3)]
        np.testing.assert_allclose(found[row], expected, rtol=1e-6)


def test_every_sound_once_gives_the_score_and_threads_change_nothing() -> None:
    measured, (predicted,), owner = responses_and_predictions(1, 2, 300, (1.0,))
    plain = resampled_scores(measured, predicted, FEW, owner, unit_resample(165), n_threads=1)
    r2 = [
        np.corrcoef(measured[test, voxel], predicted[test, split, voxel])[0, 1] ** 2
        for split, test in enumerate(FEW.test)
        for voxel in range(600)
    ]
    medians = np.median(np.reshape(r2, (3, 600)), axis=0)
    expected = [np.median(medians[owner == person]) for person in (0, 1)]
    np.testing.assert_allclose(plain[0], expected, rtol=1e-6)
    weights = sound_weights(165, 5)
    one = resampled_scores(measured, predicted, FEW, owner, weights, n_threads=1)
    two = resampled_scores(measured, predicted, FEW, owner, weights, n_threads=2)
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(sound_weights(165, 5), weights)
    scaled = resampled_scores(measured * 8, predicted * 0.5 + 3, FEW, owner, weights)
    np.testing.assert_allclose(scaled, one, rtol=1e-6)


def test_parts_are_scores_of_some_voxels() -> None:
    measured, (predicted,), owner = responses_and_predictions(6, 3, 8, (1.0,))
    weights = sound_weights(165, 5)
    first, nobody_of_two = owner >= 0, owner != 2
    first[::2] = False
    found = resampled_parts(measured, predicted, FEW, owner, weights, [first, nobody_of_two])
    alone = resampled_scores(measured[:, first], predicted[..., first], FEW, owner[first], weights)
    np.testing.assert_allclose(found[..., 0], alone, rtol=1e-5)
    assert np.isnan(found[:, 2, 1]).all() and np.isfinite(found[:, :2, 1]).all()


def test_means_over_voxels() -> None:
    measured, (predicted,), owner = responses_and_predictions(6, 3, 8, (1.0,))
    weights = sound_weights(165, 5)
    by_voxel = resampled_scores(measured, predicted, FEW, np.arange(24), weights)
    means = resampled_parts(measured, predicted, FEW, owner, weights, [owner >= 0], mean=True)
    np.testing.assert_allclose(means[:, 1, 0], by_voxel[:, owner == 1].mean(axis=1), rtol=1e-5)


def test_order_of_voxels_and_participants_changes_nothing() -> None:
    measured, (predicted,), owner = responses_and_predictions(7, 4, 6, (1.0,))
    weights = sound_weights(165, 5)
    order = np.random.default_rng(0).permutation(24)
    found = resampled_scores(measured, predicted, FEW, owner, weights)
    other = resampled_scores(measured[:, order], predicted[..., order], FEW, owner[order], weights)
    np.testing.assert_allclose(other, found, rtol=1e-5)


def test_sign_flips_are_exact() -> None:
    differences = np.random.default_rng(8).standard_normal((8, 6)) + np.linspace(0, 2, 6)
    expected = [sign_flip_test(one, 0 * one, alternative="two-sided") for one in differences.T]
    np.testing.assert_allclose(sign_flips(differences), expected)
    np.testing.assert_allclose(sign_flips(-3 * differences[::-1]), expected)
    assert sign_flips(np.ones((8, 1))) == 2 / 2**8
    assert sign_flips(np.zeros((8, 1))) == 1
    many = np.random.default_rng(9).standard_normal((24, 3)) + [0, 0.5, 9]
    found = sign_flips(many)
    assert (found > 0).all() and (found == sign_flips(many)).all()
    np.testing.assert_allclose(found, stats.ttest_1samp(many, 0).pvalue, atol=0.02)


def test_a_constant_prediction_scores_nothing() -> None:
    measured, (predicted,), owner = responses_and_predictions(2, 2, 3, (1.0,))
    predicted[np.isfinite(predicted)] = 0.1
    assert (resampled_scores(measured, predicted, FEW, owner, sound_weights(165, 4)) == 0).all()


def test_factors_are_those_of_the_correction() -> None:
    r2 = np.array([[0.2, 0.0, 0.4], [0.0, 0.0, 0.0]])
    found = correction_factors(r2, np.array([[0.4, 0.0, 1.2], [0.0, 0.0, 0.0]]))
    np.testing.assert_allclose(found, [[2, 2.5, 3], [1, 1, 1]])


def test_participants_are_students_t() -> None:
    values = np.random.default_rng(3).standard_normal(8) + 0.4
    found = estimate(values)
    expected = stats.ttest_1samp(values, 0)
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval()))
    for certain in (np.full(8, 0.5), 1e9 + np.arange(8.0)):
        assert 0 < estimate(certain).p < 1e-6
    assert estimate(np.zeros(8)).p == 1.0
    with pytest.raises(ValueError, match="at least two"):
        estimate(np.ones(1))
    with pytest.raises(ValueError, match="needs resamples"):
        estimate(np.ones(4), over="sounds")
    with pytest.raises(ValueError, match="over must be"):
        estimate(np.ones(4), over="voxels")


def test_both_is_at_least_each_and_repeats() -> None:
    rng = np.random.default_rng(4)
    observed, resampled = rng.standard_normal(8), rng.standard_normal((400, 8))
    both = estimate(observed, resampled, over="both")
    assert both == estimate(observed, resampled, over="both")
    of_people = estimate(observed, resampled, over="participants").variance
    of_sounds = estimate(observed, resampled, over="sounds").variance
    assert both.variance >= max(of_people, of_sounds)


def test_ranks_of_models_that_differ_and_of_one_that_does_not() -> None:
    rng = np.random.default_rng(5)
    people = rng.standard_normal((20, 1))
    scores = people + np.array([3.0, 2.0, 2.0, 0.0]) + 0.1 * rng.standard_normal((20, 4))
    found = rank_intervals(scores)
    np.testing.assert_array_equal(found.low, [1, 2, 2, 4])
    np.testing.assert_array_equal(found.high, [1, 3, 3, 4])
    alone = rank_intervals(scores[:, :1])
    assert (alone.low, alone.high) == (1, 1)


# --- simulated truth ------------------------------------------------------------------------------


def simulated(
    n_people: int,
    n_simulations: int,
    over: str,
    n_resamples: int = 200,
    *,
    effect: float = 0.0,
    shared: float = 0.5,
) -> tuple[float, float]:
    """How often two models of equal truth are told apart at 5 %, and how often the interval of a
    difference of unequal ones holds what the mean over all simulations is.
    """
    weights = np.vstack([unit_resample(165), sound_weights(165, n_resamples)])
    rejected, intervals, values = [], [], []
    for seed in range(n_simulations):
        measured, predictions, owner = responses_and_predictions(
            seed, n_people, 6, (1, 1, 1.3), effect=effect, shared=shared
        )
        a, b, c = (
            resampled_scores(measured, one, FEW, owner, weights, n_threads=1) for one in predictions
        )
        rejected.append(estimate((a - b)[0], (a - b)[1:], over=over).p < 0.05)
        difference = estimate((c - a)[0], (c - a)[1:], over=over)
        intervals.append((difference.low, difference.high))
        values.append(difference.value)
    low, high = np.transpose(intervals)
    truth = np.mean(values)
    return float(np.mean(rejected)), float(np.mean((low <= truth) & (truth <= high)))


def test_equal_models_are_seldom_told_apart() -> None:
    rejected, covered = simulated(8, 40, "both", n_resamples=60)
    assert rejected <= 0.15 and covered >= 0.85


@pytest.mark.slow
@pytest.mark.parametrize("n_people", [8, 20])
@pytest.mark.parametrize(
    ("over", "effect", "shared"),
    [
        ("both", 0.0, 0.5),
        ("both", 0.3, 0.5),
        ("sounds", 0.0, 0.5),
        ("participants", 0.3, 0.0),  # other participants, the same sounds: no error is shared
    ],
)
def test_errors_and_coverage_are_as_stated(
    n_people: int, over: str, effect: float, shared: float
) -> None:
    n_simulations = 600 if n_people == 20 else 1500
    rejected, covered = simulated(n_people, n_simulations, over, effect=effect, shared=shared)
    assert 0.03 <= rejected <= 0.07
    assert 0.92 <= covered <= 0.98


@pytest.mark.parametrize("n_people", [8, 12])
def test_sign_flips_reject_no_more_than_they_say(n_people: int) -> None:
    # heavy tails, and participants of different spread
    rng = np.random.default_rng(n_people)
    differences = rng.standard_t(2, (n_people, 2000)) * rng.exponential(size=(n_people, 1))
    assert 0.03 <= (sign_flips(differences) < 0.05).mean() <= 0.055


@pytest.mark.slow
def test_ranks_of_equal_models_overlap() -> None:
    weights = np.vstack([unit_resample(165), sound_weights(165, 100)])
    overlap = []
    for seed in range(200):
        measured, predictions, owner = responses_and_predictions(seed, 8, 4, (1.0,) * 5)
        scores = [
            resampled_scores(measured, one, FEW, owner, weights, n_threads=1) for one in predictions
        ]
        together = np.stack(scores, axis=-1)
        found = rank_intervals(together[0], together[1:], over="both")
        overlap.append((found.low.max() <= found.high.min()).all())
    assert np.mean(overlap) >= 0.95

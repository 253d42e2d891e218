"""What several feature spaces explain, alone and together, against plain ridge and known truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from aud_dnn.methods.ridge.banded import (
    joint_design,
    mixtures,
    parts,
    score_spaces,
    space_factor,
    subsets,
)
from aud_dnn.methods.ridge.leave_one_out import alpha_grid, reduce_features
from aud_dnn.methods.ridge.predicting import predict_spaces
from aud_dnn.methods.ridge.scoring import decompose_splits, score_responses
from aud_dnn.splits import Splits, published_splits

SPLITS = published_splits()
FEW = Splits(SPLITS.train[:3], SPLITS.test[:3], SPLITS.seed)
A, B, AB = (0,), (1,), (0, 1)


def unit_signal(rng: np.random.Generator, n_voxels: int, *spaces: np.ndarray) -> np.ndarray:
    """A random linear readout of the spaces, of variance 1 over the sounds."""
    signal = sum(x @ rng.standard_normal((x.shape[1], n_voxels)) for x in spaces)
    return (signal - signal.mean(axis=0)) / signal.std(axis=0)


def two_spaces(seed: int = 0, n_voxels: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((165, 60)), 7 * rng.standard_normal((165, 8))
    signal = unit_signal(rng, n_voxels, a) + unit_signal(rng, n_voxels, b)
    return a, b, signal[:, :, None] + 0.7 * rng.standard_normal((165, n_voxels, 3))


# --- the grid and the arithmetic ------------------------------------------------------------------


@pytest.mark.parametrize(("n_spaces", "count"), [(2, 21), (3, 37)])
def test_mixtures_sum_to_one_and_hold_every_space_alone(n_spaces: int, count: int) -> None:
    grid = mixtures(n_spaces)
    assert grid.shape == (count, n_spaces)
    np.testing.assert_allclose(grid.sum(axis=1), 1, rtol=1e-15)
    np.testing.assert_array_equal(grid[:n_spaces], np.eye(n_spaces))
    assert len(np.unique(grid.round(12), axis=0)) == count
    np.testing.assert_allclose(  # no space is preferred
        np.sort(grid[:, 0]), np.sort(grid[:, -1]), rtol=1e-12
    )
    with pytest.raises(ValueError, match="two or three"):
        mixtures(4)


def test_inner_products_are_the_mixture_of_kernels() -> None:
    a, b, _ = two_spaces()
    factors = [space_factor(a), space_factor(b)]
    for weights in mixtures(2)[[0, 1, 5, 20]]:
        design = joint_design(factors, weights)
        kernel = design.factor @ design.factor.T * design.scale**2
        expected = np.zeros((165, 165))
        for x, weight in zip((a, b), weights):
            centred = x - x.mean(axis=0)
            expected += weight * centred @ centred.T / centred.var(axis=0).sum()
        np.testing.assert_allclose(kernel, expected, atol=1e-12 * expected.max())


def test_predictions_are_those_that_were_scored() -> None:
    a, b, responses = two_spaces(3, n_voxels=12)
    found = score_spaces([a, b], responses, FEW)
    predicted = predict_spaces(
        [a, b],
        responses,
        FEW,
        {members: one.mixture for members, one in found.items()},
        {members: one.alphas for members, one in found.items()},
    )
    measured = responses.mean(axis=2)
    for members, one in found.items():
        assert np.isnan(predicted[members][FEW.train.T]).all()
        for split, test in enumerate(FEW.test):
            r = [
                np.corrcoef(predicted[members][test, split, voxel], measured[test, voxel])[0, 1]
                for voxel in range(12)
            ]
            np.testing.assert_allclose(
                np.maximum(r, 0) ** 2, one.r2_test[:, split], rtol=1e-5, atol=1e-9
            )


def test_parts_of_two_and_three_spaces() -> None:
    two = parts({A: np.array(0.5), B: np.array(0.4), AB: np.array(0.7)})
    assert two[A] == pytest.approx(0.3) and two[B] == pytest.approx(0.2)
    assert two[AB] == pytest.approx(0.2)
    # areas of a Venn diagram: from its seven parts to the sets and back
    truth = {members: float(2**place) for place, members in enumerate(subsets(3))}
    explained = {
        members: np.array(sum(truth[part] for part in truth if set(part) & set(members)))
        for members in truth
    }
    found = parts(explained)
    assert {members: float(value) for members, value in found.items()} == pytest.approx(truth)


# --- against plain ridge --------------------------------------------------------------------------


def test_one_space_alone_is_plain_ridge() -> None:
    a, b, responses = two_spaces()
    found = score_spaces([a, b], responses, FEW)
    for members, x in ((A, a), (B, b)):
        centred = x - x.mean(axis=0)
        scaled = centred / np.sqrt(centred.var(axis=0).sum())
        decomposed = decompose_splits(reduce_features(scaled), FEW, alpha_grid(50))
        plain, _ = score_responses(decomposed, responses, FEW)
        for name in ("r2_test", "r2_test_c", "loo_r2_train"):
            np.testing.assert_allclose(
                getattr(found[members], name), getattr(plain, name), atol=1e-12, err_msg=name
            )
        np.testing.assert_array_equal(found[members].alphas, plain.alphas)


def test_every_number_is_that_of_scikit_learn() -> None:
    """The chosen mixture and alpha, fitted by scikit-learn to the features side by side."""
    a, b, responses = two_spaces(1, 6)
    found = score_spaces([a, b], responses, FEW)[AB]
    scaled = [x - x.mean(axis=0) for x in (a, b)]
    scaled = [x / np.sqrt(x.var(axis=0).sum()) for x in scaled]
    y = responses.mean(axis=2)
    for split, (train, test) in enumerate(zip(FEW.train, FEW.test)):
        for voxel in range(6):
            weights = mixtures(2)[found.mixture[voxel, split]]
            x = np.hstack([np.sqrt(weight) * one for weight, one in zip(weights, scaled)])
            fit = Ridge(found.alphas[voxel, split]).fit(x[train], y[train, voxel])
            predicted, measured = fit.predict(x[test]), y[test, voxel]
            r = np.corrcoef(predicted, measured)[0, 1]
            assert found.r2_test[voxel, split] == pytest.approx(max(r, 0) ** 2, abs=1e-9)
            left = np.square(measured - predicted).sum()
            total = np.square(measured - y[train, voxel].mean()).sum()
            assert found.explained[voxel, split] == pytest.approx(1 - left / total, abs=1e-5)


def test_mixture_and_alpha_are_the_best_of_the_grid() -> None:
    a, b, responses = two_spaces(2, 5)
    found = score_spaces([a, b], responses, FEW)[AB]
    every = []
    for weights in mixtures(2):
        design = joint_design([space_factor(a), space_factor(b)], weights)
        scores, _ = score_responses(decompose_splits(design, FEW, alpha_grid(50)), responses, FEW)
        every.append(scores.loo_r2_train)
    np.testing.assert_allclose(found.loo_r2_train, np.max(every, axis=0), atol=1e-12)
    np.testing.assert_array_equal(found.mixture, np.argmax(every, axis=0))


# --- known truth ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.1, 0.25, 0.5])
@pytest.mark.parametrize("correlated", [False, True])
def test_planted_shares_are_recovered(noise: float, correlated: bool) -> None:
    """A signal with 0.3 from A alone, 0.2 from B alone and 0.5 from what both have.

    250 sounds of training for spaces of four dimensions: regression itself loses 0.02 at most. The
    noise has this variance relative to the signal, and scores are corrected by the true
    reliability (with as much noise as signal, 0.033 of the shared part is lost). Means over 24 sets
    of sounds: each is far from typical, the spaces being small.
    """
    splits = published_splits(300, 250, 2)
    found: dict[tuple[str, tuple[int, ...]], list[float]] = {}
    for seed in range(24):
        rng = np.random.default_rng(seed)
        only_a, only_b, both = rng.standard_normal((3, 300, 2))
        a, b = np.hstack([only_a, both]), np.hstack([only_b, both])
        if correlated:  # other bases of the same spaces, with correlated and unequal units
            a = a @ rng.standard_normal((4, 30)) * rng.uniform(0.3, 3, 30)
            b = b @ rng.standard_normal((4, 12))
        weights = rng.standard_normal((3, 2, 200))
        weights /= np.linalg.norm(weights, axis=1, keepdims=True)  # of a population variance of 1
        signal = sum(
            np.sqrt(share) * x @ w
            for share, x, w in zip((0.3, 0.2, 0.5), (only_a, only_b, both), weights)
        )
        measured = signal + np.sqrt(noise) * rng.standard_normal(signal.shape)
        sets = score_spaces([a, b], measured[:, :, None], splits, alphalimit=6)
        for measure in ("r2_test", "explained"):
            shares = parts({members: getattr(one, measure) for members, one in sets.items()})
            for members, share in shares.items():
                found.setdefault((measure, members), []).append(share.mean() * (1 + noise))
    for (measure, members), values in found.items():
        truth = {A: 0.3, B: 0.2, AB: 0.5}[members]
        assert np.mean(values) == pytest.approx(truth, abs=0.03), (measure, members)


def test_a_space_of_noise_adds_nothing() -> None:
    rng = np.random.default_rng(4)
    a, noise = rng.standard_normal((165, 30)), rng.standard_normal((165, 200))
    responses = unit_signal(rng, 500, a) + 0.5 * rng.standard_normal((165, 500))
    found = score_spaces([a, noise], responses[:, :, None], FEW)
    for measure in ("r2_test", "explained"):
        shares = parts({members: getattr(one, measure) for members, one in found.items()})
        assert abs(shares[B].mean()) < 0.01, measure


@settings(max_examples=3, deadline=None)
@given(st.integers(0, 100))
def test_a_space_more_never_lowers_leave_one_out(seed: int) -> None:
    rng = np.random.default_rng(seed)
    spaces = [rng.standard_normal((165, rng.integers(2, 30))) for _ in range(3)]
    responses = unit_signal(rng, 6, spaces[0], spaces[1])[:, :, None]
    responses = responses + rng.standard_normal((165, 6, 2))
    found = score_spaces(spaces, responses, Splits(FEW.train[:1], FEW.test[:1], None))
    for members, larger in ((m, n) for m in found for n in found if set(m) < set(n)):
        gained = found[larger].loo_r2_train - found[members].loo_r2_train
        assert (
            gained >= -1e-12
        ).all()  # where nothing is predicted, all are the same but for rounding


# --- invariances ----------------------------------------------------------------------------------


def test_order_and_scale_do_not_matter() -> None:
    a, b, responses = two_spaces(5, 9)
    order = np.random.default_rng(0).permutation(9)
    plain = score_spaces([a, b], responses, FEW, n_threads=1)
    other = score_spaces([b * 1e-4, a + 5.0], responses[:, order] * 4.0, FEW, n_threads=2)
    for members, swapped in ((A, B), (B, A), (AB, AB)):
        for name in ("r2_test", "r2_test_c", "explained", "explained_c", "loo_r2_train"):
            np.testing.assert_allclose(
                getattr(other[swapped], name),
                getattr(plain[members], name)[order],
                atol=1e-6,
                err_msg=name,
            )


def test_missing_repetitions_and_what_does_not_vary() -> None:
    a, b, responses = two_spaces(6, 5)
    responses[:, 1, 2] = np.nan
    responses[:, 2, 1:] = np.nan
    responses[:, 3] = 2.0
    found = score_spaces([a, b], responses, FEW)[AB]
    assert np.isnan(found.r2_test_c[2]).all() and np.isnan(found.explained_c[2]).all()
    assert (found.r2_test[3] == 0).all() and (found.explained[3] == 0).all()
    rest = [0, 1, 4]
    for name in ("r2_test", "r2_test_c", "explained", "explained_c"):
        assert np.isfinite(getattr(found, name)[rest]).all()
    one = score_spaces([a, b], responses[:, [1], :2], FEW)[AB]
    np.testing.assert_allclose(one.r2_test, found.r2_test[[1]], atol=1e-9)
    np.testing.assert_allclose(one.explained_c, found.explained_c[[1]], atol=1e-6)
    with pytest.raises(ValueError, match="no unit"):
        score_spaces([a, np.ones((165, 4))], responses, FEW)

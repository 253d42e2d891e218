"""Other brains as sources: against loops, and whether a planted model is taken for one of them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from aud_dnn.methods.brains import brain_scores, place_among, source_effects
from aud_dnn.methods.ridge.leave_one_out import alpha_grid, reduce_features
from aud_dnn.methods.ridge.scoring import decompose_splits, score_responses
from aud_dnn.splits import Splits, published_splits

SPLITS = published_splits()
FEW = Splits(SPLITS.train[:2], SPLITS.test[:2], SPLITS.seed)
N_DIMENSIONS = 8


def voxels_of(
    rng: np.random.Generator,
    signal: np.ndarray,
    noise: float,
    n_repetitions: int = 1,
    n_voxels: int = 30,
) -> np.ndarray:
    """One participant: voxels that read out the shared signal, each repetition with noise."""
    weights = rng.standard_normal((signal.shape[1], n_voxels)) / np.sqrt(signal.shape[1])
    clean = (signal @ weights)[:, :, None]
    return clean + noise * rng.standard_normal((len(signal), n_voxels, n_repetitions))


def participants(
    seed: int, n: int, noise: float = 0.7, n_repetitions: int = 1, n_voxels: int = 30
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.random.Generator]:
    rng = np.random.default_rng(seed)
    signal = rng.standard_normal((165, N_DIMENSIONS))
    people = [voxels_of(rng, signal, noise, n_repetitions, n_voxels) for _ in range(n)]
    return np.concatenate(people, axis=1), np.repeat(np.arange(n), n_voxels), signal, rng


def test_every_pair_is_a_fit_of_its_own() -> None:
    responses, owner, _, _ = participants(0, 3, n_repetitions=3)
    found = brain_scores(responses, owner, FEW)
    assert np.isnan(found.by_source[owner[None] == np.arange(3)[:, None]]).all()
    for source in range(3):
        features = responses[:, owner == source].mean(axis=2)
        decomposed = decompose_splits(reduce_features(features), FEW, alpha_grid(50))
        for target in set(range(3)) - {source}:
            scores, _ = score_responses(decomposed, responses[:, owner == target], FEW)
            np.testing.assert_allclose(
                found.by_source[source, owner == target],
                np.median(scores.r2_test_c, axis=1),
                rtol=1e-12,
            )
    others = responses[:, owner != 1].mean(axis=2)
    decomposed = decompose_splits(reduce_features(others), FEW, alpha_grid(50))
    scores, _ = score_responses(decomposed, responses[:, owner == 1], FEW)
    np.testing.assert_allclose(
        found.together[owner == 1], np.median(scores.r2_test_c, axis=1), rtol=1e-12
    )


def test_principal_components_of_the_training_half_change_nothing() -> None:
    responses, owner, _, _ = participants(1, 6)
    features, y = responses[:, owner > 0, 0], responses[:, 0, 0]
    train, test = SPLITS.train[0], SPLITS.test[0]
    mean = features[train].mean(axis=0)
    _, _, components = np.linalg.svd(features[train] - mean, full_matrices=False)
    reduced = (features - mean) @ components.T
    plain = Ridge(10.0).fit(features[train], y[train]).predict(features[test])
    np.testing.assert_allclose(
        Ridge(10.0).fit(reduced[train], y[train]).predict(reduced[test]), plain, rtol=1e-9
    )


def test_noise_of_the_source_lowers_its_score() -> None:
    """Fewer repetitions of the source: lower, though the target is the same."""
    responses, owner, signal, rng = participants(2, 2, noise=2.0, n_repetitions=3)
    means = []
    for n_repetitions in (1, 3, 300):
        source = voxels_of(rng, signal, 2.0, n_repetitions).mean(axis=2, keepdims=True)
        decomposed = decompose_splits(reduce_features(source[:, :, 0]), FEW, alpha_grid(50))
        scores, _ = score_responses(decomposed, responses[:, owner == 1], FEW)
        means.append(np.median(scores.r2_test_c, axis=1).mean())
    assert means[0] + 0.1 < means[1] < means[2] - 0.1


def test_effects_are_those_of_a_full_table() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal((2, 6))
    a, b = a - a.mean(), b - b.mean()
    scores = 0.5 + a[:, None] + b[None]
    scores[np.eye(6, dtype=bool)] = np.nan
    level, sources, targets = source_effects(scores)
    assert level == pytest.approx(0.5)
    np.testing.assert_allclose(sources, a, atol=1e-12)
    np.testing.assert_allclose(targets, b, atol=1e-12)
    place = place_among(scores, 0.5 + b + 0.1)
    assert place.difference == pytest.approx(0.1) and place.n_below == int((a < 0.1).sum())
    with pytest.raises(ValueError, match="three participants"):
        place_among(scores[:2, :2], scores[0, :2])


def places(seeds: range, n: int, *, lacks: int = 0, n_voxels: int = 30) -> tuple[float, np.ndarray]:
    """How often a model is taken for a brain: noisy voxels that read out the shared signal, or all
    of its dimensions but some.
    """
    inside, p = [], []
    for seed in seeds:
        responses, owner, signal, rng = participants(seed, n, n_voxels=n_voxels)
        found = brain_scores(responses, owner, FEW, alphalimit=6)
        known = signal[:, : N_DIMENSIONS - lacks]
        model = voxels_of(rng, known, 0.7, 1, n_voxels)[:, :, 0]
        decomposed = decompose_splits(reduce_features(model), FEW, alpha_grid(6))
        scores, _ = score_responses(decomposed, responses, FEW, keep_predictions=False)
        of_model = np.median(scores.r2_test, axis=1)
        matrix = np.array(
            [[np.median(found.by_source[s, owner == t]) for t in range(n)] for s in range(n)]
        )
        place = place_among(matrix, np.array([np.median(of_model[owner == t]) for t in range(n)]))
        inside.append(place.low <= place.difference <= place.high)
        p.append(place.p)
    return float(np.mean(inside)), np.array(p)


def test_a_brain_is_mostly_taken_for_one_and_what_lacks_a_dimension_is_not() -> None:
    assert places(range(10), 8)[0] >= 0.8
    assert places(range(10), 8, lacks=2)[0] <= 0.2


@pytest.mark.slow
@pytest.mark.parametrize("n", [8, 20])
def test_a_noisy_copy_of_the_shared_signal_is_like_a_brain(n: int) -> None:
    share, p = places(range(300 if n == 8 else 150), n)
    assert 0.92 <= share <= 0.98
    assert (p >= 0.05).mean() == share  # interval and p value say the same


@pytest.mark.slow
@pytest.mark.parametrize("n", [8, 20])
def test_a_model_that_lacks_a_dimension_is_told_apart(n: int) -> None:
    # of 60 voxels a participant; with 30 and 8 participants 0.28 are taken for a brain
    assert places(range(60), n, lacks=1, n_voxels=60)[0] <= 0.1

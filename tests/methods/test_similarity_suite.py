"""Ten measures of similarity: against SciPy, scikit-learn and loops; invariances; noise."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.linalg import orthogonal_procrustes
from scipy.spatial import procrustes as scipy_procrustes
from scipy.spatial.distance import cosine, squareform
from sklearn.cross_decomposition import PLSRegression

from aud_dnn.methods.cka import unbiased_cka
from aud_dnn.methods.similarity import maps
from aud_dnn.methods.similarity.rdm_measures import RDM_MEASURES, alike, rdm_similarity
from aud_dnn.methods.similarity.repeated import between_repetitions, crossnobis
from aud_dnn.methods.similarity.suite import (
    MEASURES,
    ceilings,
    geometry,
    layer_scores,
    measures_of,
    null_scores,
    participants_of,
)
from aud_dnn.splits import Splits, published_splits

SPLITS = published_splits()
FEW = Splits(SPLITS.train[:3], SPLITS.test[:3], SPLITS.seed)


def brains(
    seed: int, n_people: int = 4, n_voxels: int = 60, noise: float = 1.0, n_sounds: int = 165
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A signal that all share, read out by every participant's voxels in three repetitions."""
    rng = np.random.default_rng(seed)
    signal = rng.standard_normal((n_sounds, 8)) * np.linspace(2, 0.5, 8)
    weights = rng.standard_normal((8, n_people * n_voxels))
    clean = (signal @ weights)[:, :, None]
    responses = clean + noise * clean.std() * rng.standard_normal((*clean.shape[:2], 3))
    return signal, responses, np.repeat(np.arange(n_people), n_voxels)


# --- triangles ----------------------------------------------------------------------------------


def slowly(x: np.ndarray, y: np.ndarray, measure: str) -> float:
    """SciPy, and loops where it has nothing."""
    if measure == "Pearson":
        return stats.pearsonr(x, y).statistic
    if measure == "Spearman":
        return stats.spearmanr(x, y).statistic
    if measure == "cosine":
        return 1 - cosine(x, y)
    if measure == "tau-a":
        pairs = list(itertools.combinations(range(len(x)), 2))
        signs = [np.sign(x[a] - x[b]) * np.sign(y[a] - y[b]) for a, b in pairs]
        return sum(signs) / len(pairs)
    rng = np.random.default_rng(0)  # rho-a: Spearman with ties broken by chance
    broken = [
        stats.spearmanr(*(np.lexsort((rng.random(len(v)), v)).argsort() for v in (x, y))).statistic
        for _ in range(4000)
    ]
    return float(np.mean(broken))


@pytest.mark.parametrize("measure", RDM_MEASURES)
@pytest.mark.parametrize("ties", [False, True])
def test_measures_of_triangles_are_those_of_scipy(measure: str, ties: bool) -> None:
    rng = np.random.default_rng(1)
    x = rng.standard_normal(40)
    y = x + rng.standard_normal(40) + 0.5
    if ties:
        x, y = np.round(x), np.round(2 * y) / 2
    # chance breaks ties 4,000 times: standard error 0.001
    tolerance = 4e-3 if measure == "rho-a" and ties else 1e-12
    assert rdm_similarity(x, y, measure) == pytest.approx(slowly(x, y, measure), abs=tolerance)
    with_nan, other = np.r_[x, np.nan, 3.0], np.r_[y, 2.0, np.nan]
    assert rdm_similarity(with_nan, other, measure) == rdm_similarity(x, y, measure)


def test_rho_a_is_the_mean_over_all_ways_to_break_ties() -> None:
    """All orders of three tied pairs out of five, exactly."""
    x, y = np.array([1.0, 2, 2, 2, 5]), np.array([3.0, 1, 4, 2, 5])
    orders = [
        stats.spearmanr([1, *order, 5], y).statistic for order in itertools.permutations([2, 3, 4])
    ]
    assert rdm_similarity(x, y, "rho-a") == pytest.approx(np.mean(orders), abs=1e-14)


@pytest.mark.parametrize("measure", RDM_MEASURES)
def test_triangles_that_say_nothing(measure: str) -> None:
    flat, varied = np.ones(10), np.arange(10.0)
    found = rdm_similarity(flat, varied, measure)
    if measure in ("rho-a", "tau-a"):
        assert found == 0
    elif measure != "cosine":
        assert np.isnan(found)
    assert np.isnan(rdm_similarity(np.full(10, np.nan), varied, measure))
    with pytest.raises(ValueError, match="one length"):
        rdm_similarity(flat, varied[:5], measure)
    with pytest.raises(ValueError, match="must be one of"):
        rdm_similarity(flat, varied, "tau-z")


# --- across repetitions -------------------------------------------------------------------------


def test_crossnobis_is_the_mean_over_pairs_of_repetitions() -> None:
    _, responses, _ = brains(2, n_people=1, n_voxels=7, n_sounds=9)
    responses[:, 2, 1] = np.nan  # one voxel lacks a repetition
    responses[:, 4, 1:] = np.nan  # one has a single one: it says nothing
    expected = np.zeros((9, 9))
    voxels = [v for v in range(7) if v != 4]
    for v in voxels:
        there = [a for a in range(3) if np.isfinite(responses[0, v, a])]
        level = responses[:, v, there].mean(axis=0)  # of a repetition: no noise
        noise = (responses[:, v, there] - level).var(axis=1, ddof=1).sum() / 8
        for i, j in itertools.product(range(9), repeat=2):
            steps = responses[i, v] - responses[j, v]
            products = [steps[a] * steps[b] for a, b in itertools.permutations(there, 2)]
            expected[i, j] += np.mean(products) / noise / len(voxels)
    np.testing.assert_allclose(squareform(crossnobis(responses)), expected, atol=1e-10)


def test_crossnobis_is_unbiased_and_distances_are_not() -> None:
    _, responses, _ = brains(3, n_people=1, n_voxels=4000, noise=2.0, n_sounds=30)
    _, clean, _ = brains(3, n_people=1, n_voxels=4000, noise=0.0, n_sounds=30)
    noise = np.full(4000, 1.0)
    true = crossnobis(clean, noise_variance=noise)
    slope, offset = np.polyfit(true, crossnobis(responses, noise_variance=noise), 1)
    assert slope == pytest.approx(1, abs=0.05)
    assert offset / true.mean() == pytest.approx(0, abs=0.05)
    mean = responses.mean(axis=2)
    plain = ((mean[:, None] - mean[None]) ** 2).mean(axis=2)[np.triu_indices(30, 1)]
    assert (plain - true).mean() / true.mean() > 0.5  # 2 σ² / 3 is most of a distance here


def test_levels_of_repetitions_and_copies_are_no_noise() -> None:
    _, responses, _ = brains(17, n_people=1, n_voxels=20, n_sounds=30)
    level = np.zeros((1, 20, 3))
    level[0, ::2] = 50 * np.random.default_rng(0).standard_normal((10, 3))
    np.testing.assert_allclose(crossnobis(responses + level), crossnobis(responses), rtol=1e-9)
    assert np.isnan(crossnobis(np.repeat(responses[:, :, :1], 3, axis=2))).all()


@pytest.mark.parametrize(("n_sounds", "n_units"), [(165, 4000), (40, 1000)])
def test_the_cosine_does_not_take_the_centring_of_the_sounds_for_similarity(
    n_sounds: int, n_units: int
) -> None:
    rng = np.random.default_rng(18)
    half = np.arange(n_sounds) % 2 == 0
    one_split = Splits(half[None], ~half[None], 0)
    people = participants_of(rng.standard_normal((n_sounds, 2000, 1)), np.zeros(2000), one_split)
    scores = [
        layer_scores(
            geometry(rng.standard_normal((n_sounds, n_units))), people, one_split, ["cosine"]
        )
        for _ in range(6)
    ]
    # without the correction 0.14 and 0.5; a standard error is 1 / sqrt(6 pairs) = 0.015 at most
    assert abs(np.mean(scores)) < 0.05


def test_a_constant_participant_does_not_spoil_the_ceilings_of_others() -> None:
    _, responses, owner = brains(19, n_people=3, n_voxels=8)
    responses[:, owner == 2] = 1.0
    found = ceilings(participants_of(responses, owner, FEW), FEW, ["Pearson", "CKA", "PLS"])
    assert np.isfinite(found[:, :2]).all()


def test_correlations_between_repetitions_are_those_of_numpy() -> None:
    _, responses, _ = brains(4, n_people=1, n_voxels=12, n_sounds=8)
    responses[:, 3, 2] = np.nan
    scale = np.nanmean(responses, axis=2).std(axis=0)[:, None]
    z = (responses - responses.mean(axis=0)) / scale
    expected = np.zeros((8, 8))
    for a, b in itertools.permutations(range(3), 2):
        shared = np.isfinite(responses[0, :, a] + responses[0, :, b])
        expected += np.corrcoef(z[:, shared, a], z[:, shared, b])[:8, 8:] / 6
    found = squareform(between_repetitions(responses))
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_noise_of_a_run_is_similarity_only_within_it() -> None:
    """Two sounds share noise in every repetition: means look alike, repetitions do not."""
    rng = np.random.default_rng(5)
    responses = rng.standard_normal((165, 2000, 3))
    responses[1] += 3 * responses[0]
    within = geometry(responses.mean(axis=2)).correlations[0]
    assert within > 0.8
    assert abs(between_repetitions(responses)[0]) < 0.1


def test_one_repetition_has_no_measure_across_repetitions() -> None:
    _, responses, _ = brains(6, n_people=1, n_voxels=5, n_sounds=10)
    assert set(MEASURES) - set(measures_of(responses[:, :, :1])) == {"crossnobis", "cv-correlation"}
    assert np.isnan(crossnobis(responses[:, :, :1])).all()
    assert np.isnan(between_repetitions(responses[:, :, :1])).all()


# --- maps ---------------------------------------------------------------------------------------


def halves(rng: np.random.Generator, n_units: int, n_voxels: int) -> tuple[np.ndarray, np.ndarray]:
    x = rng.standard_normal((165, n_units))
    y = x[:, :5] @ rng.standard_normal((5, n_voxels)) + rng.standard_normal((165, n_voxels))
    return x + 3, y - 1


@pytest.mark.parametrize("n_units", [20, 300])
def test_procrustes_is_scipys_rotation_on_the_test_sounds(n_units: int) -> None:
    x, y = halves(np.random.default_rng(7), n_units, 20)
    for found, train, test in zip(
        zip(*(maps.coordinates(one @ one.T, FEW) for one in (x, y))), FEW.train, FEW.test
    ):
        a, b = x[train] - x[train].mean(axis=0), y[train] - y[train].mean(axis=0)
        c, d = x[test] - x[train].mean(axis=0), y[test] - y[train].mean(axis=0)
        wide = np.zeros((len(b), n_units))
        wide[:, :20] = b
        turn = orthogonal_procrustes(a, wide)[0][:, :20]
        expected = np.sum((c @ turn) * d) / np.linalg.norm(c) / np.linalg.norm(d)
        # the rotation of what the training sounds do not span is free, SciPy's too: only where
        # there is none of it are both the same
        if n_units == 20:
            assert maps.procrustes(*found) == pytest.approx(expected, abs=1e-10)
            fitted = np.linalg.svd(found[0].train.T @ found[1].train)[1].sum()
            norms = np.linalg.norm(a) * np.linalg.norm(b)
            disparity = scipy_procrustes(b, a)[2]
            assert 1 - (fitted / norms) ** 2 == pytest.approx(disparity, abs=1e-10)
        else:
            left, _, right = np.linalg.svd(a.T @ b, full_matrices=False)
            expected = np.sum((c @ left @ right) * d) / np.linalg.norm(c) / np.linalg.norm(d)
            assert maps.procrustes(*found) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("n_units", [12, 400])
def test_pls_is_scikit_learns(n_units: int) -> None:
    x, y = halves(np.random.default_rng(8), n_units, 30)
    sides = [maps.coordinates(one @ one.T, FEW) for one in (x, y)]
    for source, target, train, test in zip(*sides, FEW.train, FEW.test):
        axes = target.back.T @ (y[train] - y[train].mean(axis=0))
        found = maps.pls(source, target, axes, y[test], n_components=4)
        model = PLSRegression(4, scale=False, tol=1e-20, max_iter=100_000).fit(x[train], y[train])
        predicted = model.predict(x[test])
        each = [stats.pearsonr(predicted[:, v], y[test][:, v]).statistic for v in range(30)]
        assert found == pytest.approx(np.mean(each), abs=1e-7)


def test_pls_with_all_components_is_least_squares() -> None:
    rng = np.random.default_rng(9)
    x, y = rng.standard_normal((50, 6)), rng.standard_normal((50, 3))
    expected = np.linalg.lstsq(x, y, rcond=None)[0]
    np.testing.assert_allclose(maps.pls_coefficients(x, y, 10), expected, atol=1e-10)


# --- together -----------------------------------------------------------------------------------


def test_noise_scores_nothing_and_signal_does_by_every_measure() -> None:
    """Independent noise with units and spectrum of a real layer: |mean| at most 0.02."""
    signal, responses, owner = brains(10)
    people = participants_of(responses, owner, SPLITS)
    rng = np.random.default_rng(11)
    spectrum = np.arange(1, 301) ** -0.5
    noise = [
        layer_scores(geometry(rng.standard_normal((165, 300)) * spectrum), people, SPLITS)
        for _ in range(12)
    ]
    worst = dict(zip(MEASURES, np.mean(noise, axis=(0, 2))))
    assert {name: round(value, 3) for name, value in worst.items() if abs(value) > 0.02} == {}
    layer = signal @ rng.standard_normal((8, 300)) + 0.5 * rng.standard_normal((165, 300))
    true = layer_scores(geometry(layer), people, SPLITS)
    assert (true.mean(axis=1) > 0.1).all()
    limits = ceilings(people, SPLITS)
    assert (limits.mean(axis=1) > 0.1).all() and (limits <= 1).all()


def test_the_null_is_the_layer_with_its_sounds_in_random_order() -> None:
    signal, responses, owner = brains(12, n_people=3, n_voxels=20)
    people = participants_of(responses, owner, FEW)
    layers = [geometry(signal), geometry(signal[:, :3])]
    seed = np.random.SeedSequence(3)
    found = null_scores(layers, people, FEW, MEASURES, seed)
    rng = np.random.default_rng(np.random.SeedSequence(3))
    features = (signal, signal[:, :3])[rng.integers(2)][rng.permutation(165)]
    expected = layer_scores(geometry(features), people, FEW).mean(axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-10)


def test_the_ceiling_is_a_participant_against_the_others() -> None:
    _, responses, owner = brains(13, n_people=3, n_voxels=20)
    people = participants_of(responses, owner, FEW)
    found = dict(zip(MEASURES, ceilings(people, FEW)))
    triangles = [geometry(responses[:, owner == one].mean(axis=2)).correlations for one in range(3)]
    others = np.mean(stats.zscore(triangles[1:], axis=1), axis=0)
    assert found["Pearson"][0] == pytest.approx(stats.pearsonr(others, triangles[0]).statistic)
    ranks = np.mean([stats.rankdata(one) for one in triangles[1:]], axis=0)
    assert found["Spearman"][0] == pytest.approx(stats.spearmanr(ranks, triangles[0]).statistic)
    means = [responses[:, owner == one].mean(axis=2) for one in range(3)]
    grams = [(one - one.mean(axis=0)) @ (one - one.mean(axis=0)).T for one in means]
    together = maps.coordinates(sum(one / np.trace(one) for one in grams[1:]), FEW)
    alone = maps.coordinates(grams[0], FEW)
    expected = np.mean([maps.procrustes(*pair) for pair in zip(together, alone)])
    assert found["Procrustes"][0] == pytest.approx(expected, abs=1e-10)
    assert np.isnan(ceilings(people[:1], FEW)).all()


def test_cka_is_the_one_that_there_was() -> None:
    signal, responses, owner = brains(14, n_people=2, n_voxels=20)
    scores = layer_scores(geometry(signal), participants_of(responses, owner, FEW), FEW, ["CKA"])
    expected = unbiased_cka(signal, responses[:, owner == 1].mean(axis=2))
    assert scores[0, 1] == pytest.approx(expected, abs=1e-12)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.01, 100))
def test_what_does_not_matter(seed: int, factor: float) -> None:
    """Order of units and voxels, a common scale and an offset; for CKA, Procrustes and PLS any
    rotation."""
    signal, responses, owner = brains(seed, n_people=2, n_voxels=10)
    rng = np.random.default_rng(seed)
    people = participants_of(responses, owner, FEW)
    layer = signal @ rng.standard_normal((8, 15))
    before = layer_scores(geometry(layer), people, FEW)
    order = rng.permutation(20)
    again = participants_of(factor * responses[:, order], owner[order], FEW)
    moved = factor * layer[:, rng.permutation(15)] + 3
    np.testing.assert_allclose(layer_scores(geometry(moved), again, FEW), before, atol=1e-7)
    rotation, _ = np.linalg.qr(rng.standard_normal((15, 15)))
    kept = [MEASURES.index(name) for name in ("CKA", "Procrustes", "PLS")]
    turned = layer_scores(geometry(layer @ rotation), people, FEW)
    np.testing.assert_allclose(turned[kept], before[kept], atol=1e-7)


def test_triangles_weigh_the_same_in_a_mean() -> None:
    rng = np.random.default_rng(15)
    rows = np.stack([rng.random(20), 1000 * rng.random(20)])
    rows[0, 3] = np.nan
    for measure in RDM_MEASURES:
        assert np.isnan(alike(np.full((1, 5), np.nan), measure)).all()
        scaled = alike(rows, measure)
        assert np.isnan(scaled[0, 3]) and np.isfinite(np.delete(scaled.ravel(), 3)).all()
        assert np.nanstd(scaled[0]) == pytest.approx(np.nanstd(scaled[1]), rel=0.3)


def test_a_participant_measured_once_has_no_distances_across_repetitions() -> None:
    _, responses, owner = brains(16, n_people=3, n_voxels=10)
    responses[:, owner == 1, 1:] = np.nan
    people = participants_of(responses, owner, FEW)
    scores = dict(zip(MEASURES, layer_scores(geometry(responses[:, :, 0]), people, FEW)))
    limits = dict(zip(MEASURES, ceilings(people, FEW)))
    for name, values in scores.items():
        for found in (values, limits[name]):
            across = name in ("crossnobis", "cv-correlation")
            assert np.isnan(found).tolist() == [False, across, False], name

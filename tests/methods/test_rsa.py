"""RSA numerics against SciPy, a slow and obvious implementation, closed cases and invariances."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from aud_dnn.methods import cka, rsa
from aud_dnn.methods.comparing import similarity as sim
from aud_dnn.methods.comparing import triangles as tri
from aud_dnn.methods.comparing.sides import model_side, neural_side, score_model
from aud_dnn.splits import given_splits, published_splits

N_SOUNDS = 14


def some_splits(
    n_splits: int = 3, n_sounds: int = N_SOUNDS, n_train: int = 8, seed: int = 0
) -> np.ndarray:
    return published_splits(n_sounds, n_train, n_splits, seed).train


def features(seed: int = 0, n_units: int = 30, n_sounds: int = N_SOUNDS) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n_sounds, n_units))


# --- a slow and obvious implementation ----------------------------------------------------------


def slow_matrix(values: np.ndarray, statistics_from: np.ndarray) -> np.ndarray:
    """Correlations between rows of ``values``, every column z-scored with another set of rows."""
    columns = []
    for unit in range(values.shape[1]):
        mean, scale = np.mean(statistics_from[:, unit]), np.std(statistics_from[:, unit])
        columns.append((values[:, unit] - mean) / (scale if scale > 0 else 1.0))
    return np.corrcoef(np.array(columns).T)


def slow_triangle(matrix: np.ndarray) -> np.ndarray:
    n = len(matrix)
    return np.array([matrix[i, j] for i in range(n) for j in range(i + 1, n)])


def slow_scores(brain: list[np.ndarray], layers: list[np.ndarray], train: np.ndarray):
    """Similarities on both halves, the layer chosen and its score, participant by participant as
    the paper says it.
    """
    shape = (len(brain), len(train), len(layers))
    on_train, on_test = np.empty(shape), np.empty(shape)
    for p, voxels in enumerate(brain):
        for s, mask in enumerate(train):
            for k, units in enumerate(layers):
                for out, half in ((on_train, mask), (on_test, ~mask)):
                    a = slow_triangle(slow_matrix(voxels[half], voxels[mask]))
                    b = slow_triangle(slow_matrix(units[half], units[mask]))
                    out[p, s, k] = stats.spearmanr(a, b).statistic
    index = np.nanargmax(on_train, axis=2)
    return on_train, on_test, index, np.take_along_axis(on_test, index[..., None], 2)[..., 0]


# --- RDMs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_units", [2, 7, 30, rsa.UNITS_AT_ONCE + 3])
def test_rdms_equal_the_slow_ones(n_units):
    values, train = (
        features(1, n_units) * np.linspace(0.1, 9, n_units) + np.linspace(-5, 5, n_units),
        some_splits(),
    )
    found = rsa.rdm_triangles(values, train)
    np.testing.assert_allclose(
        found.all_sounds, slow_triangle(slow_matrix(values, values)), atol=2e-12
    )
    for split, mask in enumerate(train):
        np.testing.assert_allclose(
            found.train[split], slow_triangle(slow_matrix(values[mask], values[mask])), atol=2e-12
        )
        np.testing.assert_allclose(
            found.test[split], slow_triangle(slow_matrix(values[~mask], values[mask])), atol=2e-12
        )


def test_without_standardisation_rdms_are_plain_correlations():
    values = features(2) + 3.0
    np.testing.assert_allclose(
        rsa.rdm_triangles(values, standardize=False).all_sounds,
        slow_triangle(np.corrcoef(values)),
        atol=2e-12,
    )


def test_float32_features_are_computed_in_float64():
    values = features(3).astype(np.float32)
    np.testing.assert_array_equal(
        rsa.rdm_triangles(values).all_sounds,
        rsa.rdm_triangles(values.astype(np.float64)).all_sounds,
    )


def test_large_offsets_cost_no_digits():
    # the variance by two matrix products would lose eight digits here without the deviations from
    # the mean
    values, train = features(4), some_splits()
    moved = rsa.rdm_triangles(values + 1e6, train)
    np.testing.assert_allclose(moved.test, rsa.rdm_triangles(values, train).test, atol=1e-8)


def test_a_unit_that_hardly_varies_on_the_training_half_keeps_its_digits():
    values, train = features(5), some_splits(1)
    values[train[0], 0] = 1e-9 * np.arange(train[0].sum())
    expected = slow_triangle(slow_matrix(values[train[0]], values[train[0]]))
    np.testing.assert_allclose(rsa.rdm_triangles(values, train).train[0], expected, atol=1e-9)


def test_concatenated_moments_equal_the_layers_side_by_side():
    layers = [features(6, 5), features(7, 40), features(8, 3)]
    moments = [rsa.rdm_triangles(layer).moments for layer in layers]
    together = rsa.rdm_triangle(sum(moments[1:], start=moments[0]))
    np.testing.assert_allclose(
        together, rsa.rdm_triangles(np.hstack(layers)).all_sounds, atol=2e-12
    )


def test_triangle_and_square_are_inverse():
    matrix = np.corrcoef(features(9))
    np.testing.assert_array_equal(tri.upper_triangle(matrix), slow_triangle(matrix))
    np.testing.assert_allclose(tri.square_matrix(tri.upper_triangle(matrix)), matrix, atol=1e-15)
    assert tri.square_matrix(np.zeros((2, 3, 10))).shape == (2, 3, 5, 5)
    with pytest.raises(ValueError, match="not the triangle"):
        tri.square_matrix(np.zeros(11))


@pytest.mark.parametrize(
    ("values", "train", "message"),
    [
        (np.zeros(5), None, "n_sounds, n_units"),
        (np.zeros((1, 5)), None, "two sounds"),
        (np.zeros((5, 0)), None, "one unit"),
        (np.zeros((5, 2)), np.ones((1, 4), bool), r"\(n_splits, 5\)"),
        (np.zeros((5, 2)), np.array([[1, 1, 1, 1, 0]], bool), "two sounds at least in each half"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(values, train, message):
    with pytest.raises(ValueError, match=message):
        rsa.rdm_triangles(values, train)


# --- comparison ---------------------------------------------------------------------------------


@given(st.lists(st.integers(-3, 3), min_size=2, max_size=40))
def test_ranks_equal_scipy_with_ties(values):
    np.testing.assert_array_equal(
        rsa.average_ranks(np.array(values, float)), stats.rankdata(values)
    )


def test_similarities_equal_scipy_pair_by_pair():
    rng = np.random.default_rng(0)
    first, second = (
        rng.integers(0, 9, (3, 45)).astype(float),
        rng.standard_normal((4, 45)),
    )  # ties on one side
    for measure, oracle in (("spearman", stats.spearmanr), ("pearson", stats.pearsonr)):
        found = sim.similarities(rsa.comparable(first, measure), rsa.comparable(second, measure))
        expected = [[oracle(a, b).statistic for b in second] for a in first]
        np.testing.assert_allclose(found, expected, atol=1e-14)
    with pytest.raises(ValueError, match="spearman"):
        rsa.comparable(first, "kendall")


def test_undefined_triangles_give_nan_and_leave_the_others_alone():
    triangles = np.random.default_rng(0).standard_normal((3, 10))
    triangles[1, 4], triangles[2] = np.nan, 0.3
    vectors = rsa.comparable(triangles)
    found = sim.similarities(vectors, vectors)
    assert found[0, 0] == pytest.approx(1)
    assert np.isnan(found[1:]).all() and np.isnan(found[:, 1:]).all()


def test_whole_analysis_equals_the_slow_one():
    train = some_splits(4)
    brain = [features(10 + p, 12) for p in range(3)]
    layers = [features(20 + k, 9) + (brain[k % 3][:, :9] if k else 0) for k in range(4)]
    on_train, on_test, index, value = slow_scores(brain, layers, train)
    sets = [[rsa.rdm_triangles(item, train) for item in group] for group in (brain, layers)]
    found_train, found_test = (
        np.swapaxes(
            sim.similarities(
                *(
                    np.stack([rsa.comparable(getattr(item, half)) for item in group], axis=1)
                    for group in sets
                )
            ),
            0,
            1,
        )
        for half in ("train", "test")
    )
    np.testing.assert_allclose(found_train, on_train, atol=1e-13)
    np.testing.assert_allclose(found_test, on_test, atol=1e-13)
    best = sim.select_layer(found_train, found_test)
    np.testing.assert_array_equal(best.index, index)
    np.testing.assert_allclose(best.value, value, atol=1e-13)
    np.testing.assert_allclose(best.median_value, np.median(value, axis=1), atol=1e-13)
    np.testing.assert_allclose(best.median_index, np.median(index, axis=1))


def test_rsatoolbox_gives_the_same_rdms_and_similarities():
    rsatoolbox = pytest.importorskip("rsatoolbox")
    brain, model = features(30), features(31, 9)
    scaled = [(values - values.mean(0)) / values.std(0) for values in (brain, model)]
    theirs = [
        rsatoolbox.rdm.calc_rdm(rsatoolbox.data.Dataset(values), method="correlation")
        for values in scaled
    ]
    ours = [rsa.rdm_triangles(values).all_sounds[None] for values in (brain, model)]
    for rdm, triangle in zip(theirs, ours):
        np.testing.assert_allclose(1 - triangle, rdm.get_vectors(), atol=1e-10)
    for measure, name in (("spearman", "spearman"), ("pearson", "corr")):
        expected = rsatoolbox.rdm.compare(*theirs, method=name)
        np.testing.assert_allclose(
            sim.similarities(*(rsa.comparable(one, measure) for one in ours)),
            expected,
            atol=1e-10,
        )


# --- invariances --------------------------------------------------------------------------------


def similarity(first: np.ndarray, second: np.ndarray) -> float:
    one, other = (
        rsa.comparable(rsa.rdm_triangles(values).all_sounds[None]) for values in (first, second)
    )
    return sim.similarities(one, other)[0, 0]


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), scale=st.floats(0.01, 100), shift=st.floats(-100, 100))
def test_order_scale_and_offset_of_units_change_nothing(seed, scale, shift):
    rng = np.random.default_rng(seed)
    values, train = rng.standard_normal((N_SOUNDS, 11)), some_splits()
    changed = values.copy()
    changed[:, seed % 11] = changed[:, seed % 11] * scale + shift
    before, after = (
        rsa.rdm_triangles(values, train),
        rsa.rdm_triangles(changed[:, rng.permutation(11)], train),
    )
    for half in ("all_sounds", "train", "test"):
        np.testing.assert_allclose(getattr(after, half), getattr(before, half), atol=1e-10)
        np.testing.assert_allclose(
            rsa.comparable(getattr(after, half)), rsa.comparable(getattr(before, half)), atol=1e-10
        )


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_a_monotone_transform_of_an_rdm_changes_nothing_in_spearman(seed):
    first, second = np.random.default_rng(seed).uniform(-1, 1, (2, 1, 60))
    plain = sim.similarities(rsa.comparable(first), rsa.comparable(second))
    for transform in (np.exp, np.arctanh, lambda r: r**3, lambda r: 5 * r - 2):
        changed = sim.similarities(rsa.comparable(transform(first * 0.999)), rsa.comparable(second))
        np.testing.assert_allclose(changed, plain, atol=1e-12)
    np.testing.assert_allclose(
        sim.similarities(rsa.comparable(-first), rsa.comparable(second)), -plain, atol=1e-12
    )


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_identical_representations_have_similarity_one(seed):
    values = np.random.default_rng(seed).standard_normal((N_SOUNDS, 6))
    assert similarity(values, values) == pytest.approx(1, abs=1e-12)
    assert similarity(values, 3 * values[:, ::-1] + 1) == pytest.approx(1, abs=1e-12)


def test_the_order_of_sounds_does_not_matter_if_it_is_the_same_for_both():
    brain, model, order = features(1), features(2), np.random.default_rng(0).permutation(N_SOUNDS)
    assert similarity(brain[order], model[order]) == pytest.approx(
        similarity(brain, model), abs=1e-12
    )


# --- degenerate representations -----------------------------------------------------------------


def test_units_that_never_vary_carry_nothing_and_are_counted():
    values, train = features(1), some_splits()
    padded = np.hstack([values, np.full((N_SOUNDS, 3), 0.1), np.zeros((N_SOUNDS, 2))])
    zeros = np.hstack([values, np.zeros((N_SOUNDS, 5))])
    found, expected = rsa.rdm_triangles(padded, train), rsa.rdm_triangles(zeros, train)
    np.testing.assert_array_equal(found.all_sounds, expected.all_sounds)
    np.testing.assert_array_equal(found.test, expected.test)
    np.testing.assert_array_equal(found.n_constant, [5, 5, 5, 5])


def test_a_unit_constant_on_the_training_half_only_keeps_its_own_scale_on_the_test_half():
    values, train = features(2), some_splits(1)
    values[train[0], 0] = 0.1  # the mean of equal numbers is not exactly 0.1
    found = rsa.rdm_triangles(values, train)
    np.testing.assert_array_equal(found.n_constant, [0, 1])
    scaled = (values - values[train[0]].mean(0)) / np.r_[1.0, values[train[0]][:, 1:].std(0)]
    np.testing.assert_allclose(
        found.test[0], slow_triangle(np.corrcoef(scaled[~train[0]])), atol=1e-11
    )
    scaled[train[0], 0] = 0.0
    np.testing.assert_allclose(
        found.train[0], slow_triangle(np.corrcoef(scaled[train[0]])), atol=1e-11
    )


def test_sounds_with_the_same_value_in_all_units_make_the_layer_undefined():
    flat = np.ones((N_SOUNDS, 8))
    assert np.isnan(rsa.rdm_triangles(flat, some_splits()).train).all()
    assert np.isnan(
        rsa.rdm_triangles(features(0, 1)).all_sounds
    ).all()  # one unit: nothing to correlate over
    one_flat = features(3)
    one_flat[4] = one_flat.mean(axis=0) * N_SOUNDS / (N_SOUNDS - 1) - one_flat[4] / (
        N_SOUNDS - 1
    )  # the mean of the others
    matrix = tri.square_matrix(rsa.rdm_triangles(one_flat).all_sounds)
    assert (
        np.isnan(matrix[4, :4]).all()
        and np.isfinite(np.delete(np.delete(matrix, 4, 0), 4, 1)).all()
    )


def test_identical_sounds_correlate_perfectly_and_tie_with_every_other_sound():
    values = features(4, 700)
    values[9] = values[2]
    matrix = tri.square_matrix(rsa.rdm_triangles(values).all_sounds)
    assert matrix[2, 9] == 1.0
    others = np.setdiff1d(np.arange(N_SOUNDS), [2, 9])
    np.testing.assert_array_equal(matrix[2, others], matrix[9, others])  # exactly: ranks must tie


def test_a_layer_of_two_units_has_correlations_of_plus_and_minus_one():
    triangle = rsa.rdm_triangles(features(5, 2)).all_sounds
    assert set(triangle) == {-1.0, 1.0}


# --- best layer ---------------------------------------------------------------------------------


def test_the_first_of_equal_layers_wins_and_nan_never_does():
    scores = np.array(
        [[0.1, 0.5, 0.5], [np.nan, -0.2, -0.3], [np.nan, np.nan, np.nan], [-np.inf, np.nan, -1.0]]
    )
    np.testing.assert_array_equal(sim.first_best(scores), [1, 1, -1, 2])


def test_layers_are_chosen_on_training_and_scored_on_test_sounds():
    train = np.array([[[0.1, 0.9], [0.8, 0.2], [np.nan, np.nan]]])
    test = np.array([[[0.7, 0.3], [0.4, 0.6], [0.5, 0.5]]])
    best = sim.select_layer(train, test)
    np.testing.assert_array_equal(best.index, [[1, 0, -1]])
    np.testing.assert_array_equal(best.value, [[0.3, 0.4, np.nan]])
    assert best.median_value == pytest.approx(0.35) and best.median_index == pytest.approx(0.5)


def test_positions_run_from_first_to_last_layer():
    np.testing.assert_array_equal(
        sim.best_layer_position([[3, 2, 1.0], [1, 2, 3], [1, 3, 2], [np.nan] * 3]),
        [0, 1, 0.5, np.nan],
    )
    assert np.isnan(sim.best_layer_position([[0.4], [0.2]])).all()  # a single layer has no position


def test_a_planted_layer_is_found():
    rng, train = np.random.default_rng(0), published_splits().train
    deep = rng.standard_normal((165, 40))
    layers = [rng.standard_normal((165, 40)), deep, rng.standard_normal((165, 40))]
    voxels = deep @ rng.standard_normal((40, 60)) + 2 * rng.standard_normal((165, 60))
    vectors = [[rsa.rdm_triangles(item, train) for item in group] for group in ([voxels], layers)]
    on_train, on_test = (
        np.swapaxes(
            sim.similarities(
                *(
                    np.stack([rsa.comparable(getattr(item, half)) for item in group], 1)
                    for group in vectors
                )
            ),
            0,
            1,
        )
        for half in ("train", "test")
    )
    best = sim.select_layer(on_train, on_test)
    assert (best.index == 1).all() and best.median_value[0] > 0.3


# --- ceiling and regions ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("measure", "oracle"), [("pearson", stats.pearsonr), ("spearman", stats.spearmanr)]
)
def test_ceiling_is_each_participant_against_the_mean_of_the_others(measure, oracle):
    vector = partial(rsa.comparable, measure=measure)
    triangles = np.random.default_rng(0).standard_normal((4, 3, 50))
    found = sim.leave_one_out(triangles, vector)
    for p in range(4):
        others = np.delete(triangles, p, axis=0).mean(axis=0)
        np.testing.assert_allclose(
            found[p], [oracle(a, b).statistic for a, b in zip(triangles[p], others)], atol=1e-13
        )
    np.testing.assert_array_equal(
        sim.leave_one_out(triangles, vector, own=vector(triangles)), found
    )


def test_a_participant_without_an_rdm_does_not_touch_the_others_ceiling():
    triangles = np.random.default_rng(0).standard_normal((4, 50))
    with_gap = np.insert(triangles, 2, np.nan, axis=0)
    found = sim.leave_one_out(with_gap, rsa.comparable)
    assert np.isnan(found[2])
    np.testing.assert_allclose(
        np.delete(found, 2), sim.leave_one_out(triangles, rsa.comparable), atol=1e-14
    )
    assert np.isnan(sim.leave_one_out(triangles[:1], rsa.comparable)).all()


def test_regions_are_compared_within_participants():
    triangles = np.random.default_rng(0).standard_normal((3, 4, 50))
    found = rsa.region_similarity(triangles)
    for p in range(3):
        np.testing.assert_allclose(
            found[p], stats.spearmanr(triangles[p], axis=1).statistic, atol=1e-13
        )


def test_halves_of_several_sizes_and_sounds_in_neither_equal_one_split_at_a_time():
    rng = np.random.default_rng(3)
    train = np.arange(20) < np.array([[8], [12], [10]])
    test = ~train & (np.arange(20) < 19)
    splits = given_splits(train, test)
    participants = np.repeat([0, 1, 2], 6)
    responses = rng.standard_normal((20, 18))
    layers = [(f"l{k}", rng.standard_normal((20, 7)) + responses[:, :7]) for k in range(3)]
    for method in (rsa.METHOD, cka.METHOD):
        neural = neural_side(responses, participants, [0, 1, 2], splits, method)
        found = score_model(neural.vectors, model_side(layers, np.arange(20), splits, method))
        for split in range(3):
            one = given_splits(train[[split]], test[[split]])
            alone = neural_side(responses, participants, [0, 1, 2], one, method)
            expected = score_model(alone.vectors, model_side(layers, np.arange(20), one, method))
            for name in ("layer_train", "layer_test", "best_value"):
                np.testing.assert_allclose(
                    getattr(found, name)[:, split], getattr(expected, name)[:, 0], atol=1e-13
                )
            for name, values in neural.ceilings.items():
                np.testing.assert_allclose(values[:, split], alone.ceilings[name][:, 0], atol=1e-13)

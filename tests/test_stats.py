"""Statistics against closed forms, slow loops, SciPy by another route, and the recorded outputs of
the published code.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aud_dnn import effect_sizes as effect_sizes_module
from aud_dnn import stats

GOLDEN = next(
    (
        folder
        for parent in Path(__file__).resolve().parents[2:4]
        if (folder := parent / "shared" / "golden" / "expected").is_dir()
    ),
    None,
)


@pytest.fixture
def two_models():
    rng = np.random.default_rng(3)
    base = rng.normal(0.5, 0.2, 12)
    return base + 0.03 + rng.normal(0, 0.02, 12), base


def test_sem_of_one_worked_case():
    # participants 0 and 1, conditions (1, 3) and (2, 8): deviations (-1, 1) and (-3, 3); population
    # sd 1, n - 1 = 1
    np.testing.assert_allclose(stats.within_participant_sem([[1, 3], [2, 8]]), [1, 1])


def test_sem_does_not_see_participant_offsets_and_equals_the_usual_sem_without_them():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(7, 4))
    expected = stats.within_participant_sem(values)
    np.testing.assert_allclose(
        stats.within_participant_sem(values + rng.normal(size=(7, 1)) * 100), expected, atol=1e-12
    )
    centred = values - values.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(expected, centred.std(axis=0, ddof=1) / np.sqrt(7))


def test_sem_divisor_is_the_only_thing_that_the_published_rsa_bars_change():
    values = np.random.default_rng(1).normal(size=(8, 36))
    ratio = stats.within_participant_sem(values, n_divisor=36) / stats.within_participant_sem(
        values
    )
    np.testing.assert_allclose(ratio, np.sqrt(7 / 35))


def test_published_bootstrap_draws_what_repeated_choice_draws(two_models):
    a, b = two_models
    rng = np.random.RandomState(0)
    means = np.array([rng.choice(b, size=b.size).mean() for _ in range(2000)])
    found = stats.bootstrap_published(a, b, n_resamples=2000)
    assert found.p == (means > a.mean()).mean()
    assert found.reference == pytest.approx(means.mean(), abs=1e-15)
    assert found.p_plus_one == ((means >= a.mean()).sum() + 1) / 2001


def test_published_bootstrap_gives_the_published_p_values():
    if GOLDEN is None:
        pytest.skip("the recorded outputs are not here")
    for target in ("NH2015", "B2021"):
        table = pd.read_csv(GOLDEN / f"bootstrap__{target}.csv")
        table = table[table.rng_state == "seed_only"]
        assert len(table) > 5
        for row in table.itertuples():
            scores = []
            for model in (row.model1, row.model2):
                # the permuted rows use the trained baseline, which has no permuted version
                condition = "permuted" if row.randnetw and model != "spectemp" else "trained"
                with np.load(GOLDEN / f"rsa__{target}__{model}__{condition}__roi-All.npz") as file:
                    scores.append(file["best_layer_rsa_median"])
            found = stats.bootstrap_published(
                *scores, n_resamples=row.n_bootstrap, rng=int(row.seed)
            )
            assert found.p == pytest.approx(row.p_value, abs=1e-12)


def test_paired_bootstrap_sees_what_the_unpaired_one_cannot(two_models):
    a, b = (
        two_models  # A is above B by 0.03 +- 0.02 in every participant; participants differ by 0.2
    )
    assert stats.bootstrap_published(a, b).p > 0.2
    paired = stats.bootstrap_paired(a, b)
    assert paired.p < 0.01
    assert 0 < paired.low < (a - b).mean() < paired.high
    assert stats.bootstrap_paired(b, a).p > 0.99


def test_paired_bootstrap_p_is_never_zero():
    assert stats.bootstrap_paired(np.ones(5), np.zeros(5), n_resamples=999).p == 1 / 1000


def test_paired_bootstrap_and_sign_flips_keep_their_level_without_an_effect():
    rng = np.random.default_rng(5)
    flips = [stats.sign_flip_test(*rng.normal(size=(2, 8))) for _ in range(300)]
    boots = [
        stats.bootstrap_paired(*rng.normal(size=(2, 20)), n_resamples=500).p for _ in range(300)
    ]
    assert np.mean(np.array(flips) <= 0.05) < 0.09
    assert (
        np.mean(np.array(boots) <= 0.05) < 0.10
    )  # the percentile bootstrap is a little liberal at n = 20


def test_sign_flips_by_enumeration():
    a, b = np.array([3.0, 1, 4, 1, 5]), np.array([2.0, 0, 5, 0, 3])
    difference = a - b
    means = [np.mean(difference * signs) for signs in itertools.product([1, -1], repeat=5)]
    assert stats.sign_flip_test(a, b) == pytest.approx(
        np.mean(np.array(means) >= difference.mean() - 1e-12)
    )


def test_permutation_draws_what_repeated_shuffles_draw():
    rng = np.random.default_rng(2)
    a, b = rng.normal(0.3, 1, 10), rng.normal(0, 1, 10)
    legacy = np.random.RandomState(0)
    deltas = []
    for _ in range(500):
        pooled = np.concatenate([a, b])
        legacy.shuffle(pooled)
        deltas.append(pooled[:10].mean() - pooled[10:].mean())
    found = stats.permutation_published(a, b, n_resamples=500)
    assert found.p == np.mean(np.array(deltas) > a.mean() - b.mean())
    assert found.reference == pytest.approx(np.mean(deltas))


def test_permutation_of_equal_values_is_undefined_rather_than_significant():
    found = stats.permutation_published(np.zeros(10), np.zeros(10), n_resamples=50)
    assert np.isnan(found.p) and np.isnan(found.p_plus_one)


def test_wilcoxon_conformance_vector():
    primary = np.array([0.5555555555555555, 0.625, 0.5416666666666666])
    anterior = np.array([0.611111111111111, 0.6666666666666666, 0.625])
    found = stats.wilcoxon_signed_rank(primary, anterior)
    assert found.w == 0 and found.p == pytest.approx(0.10880943004054568, rel=1e-12)
    assert found.p_exact == 2 / 2**3


def test_wilcoxon_of_fifteen_pairs_of_one_sign():
    found = stats.wilcoxon_signed_rank(np.arange(15.0), np.arange(15.0) + np.linspace(0.1, 0.2, 15))
    assert round(found.p, 5) == 0.00065
    assert found.p_exact == pytest.approx(2 / 2**15)


def test_wilcoxon_with_zeros_and_ties_by_hand():
    # differences 1, 1, -1, 2, 0: the zero goes; ranks 2, 2, 2, 4; W = 2; exact p by the 16 sign
    # patterns
    found = stats.wilcoxon_signed_rank(np.array([1.0, 1, -1, 2, 0]), np.zeros(5))
    ranks = np.array([2, 2, 2, 4])
    sums = np.array([np.dot(ranks, signs) for signs in itertools.product([1, -1], repeat=4)])
    assert (found.w, found.n) == (2, 4)
    assert found.p_exact == pytest.approx(np.mean(np.abs(sums) >= 6))
    variance = 4 * 5 * 9 / 24 - (3**3 - 3) / 48  # tie-corrected
    from scipy.stats import norm

    assert found.p == pytest.approx(2 * norm.sf((5 - 2) / np.sqrt(variance)))


def test_wilcoxon_of_equal_values_is_undefined():
    found = stats.wilcoxon_signed_rank(np.ones(4), np.ones(4))
    assert found.n == 0 and np.isnan(found.p)


def test_effect_sizes_by_hand():
    a, b = np.array([2.0, 4, 6]), np.array([1.0, 5, 3])
    # differences 1, -1, 3 with ranks 1.5, 1.5, 3: favourable 4.5, unfavourable 1.5 of 6
    assert effect_sizes_module.rank_biserial_paired(a, b) == pytest.approx((4.5 - 1.5) / 6)
    assert effect_sizes_module.cohens_d_paired(a, b) == pytest.approx(1 / np.sqrt((4 + 4) / 2))
    # pairs above: 2>1, 4>1, 4>3, 6>1, 6>5, 6>3 of nine
    assert effect_sizes_module.common_language_effect(a, b) == pytest.approx(6 / 9)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=2, max_size=8))
def test_effect_sizes_change_sign_when_the_roles_are_exchanged(pairs):
    a, b = np.array(pairs, dtype=float).T
    assert effect_sizes_module.rank_biserial_paired(a, b) == pytest.approx(
        -effect_sizes_module.rank_biserial_paired(b, a)
    )
    assert effect_sizes_module.common_language_effect(a, b) == pytest.approx(
        1 - effect_sizes_module.common_language_effect(b, a)
    )
    d = effect_sizes_module.cohens_d_paired(a, b)
    assert np.isnan(d) or d == pytest.approx(-effect_sizes_module.cohens_d_paired(b, a))


def test_effect_size_intervals_hold_the_value_and_shrink_with_n():
    rng = np.random.default_rng(0)
    widths = []
    for n in (10, 160):
        b = rng.normal(size=n)
        found = effect_sizes_module.effect_sizes(b + rng.normal(0.8, 0.5, n), b, n_resamples=400)
        assert [effect.name for effect in found] == ["Cohen's d", "rank-biserial", "CLES"]
        assert all(effect.low <= effect.value <= effect.high for effect in found)
        widths.append(found[0].high - found[0].low)
    assert widths[1] < widths[0] / 2


def test_holm_and_fdr_by_hand():
    p = np.array([0.01, 0.04, np.nan, 0.03])
    np.testing.assert_allclose(
        effect_sizes_module.adjust_p_values(p, "holm"), [0.03, 0.06, np.nan, 0.06]
    )
    np.testing.assert_allclose(
        effect_sizes_module.adjust_p_values(p, "fdr_bh"), [0.03, 0.04, np.nan, 0.04]
    )
    with pytest.raises(ValueError, match="Unknown correction"):
        effect_sizes_module.adjust_p_values(p, "bonferonni")


def test_adjustment_by_family():
    table = pd.DataFrame({"comp": ["a", "a", "b"], "p": [0.01, 0.04, 0.04]}, index=[5, 6, 7])
    adjusted = effect_sizes_module.add_adjusted(table, "p", family=["comp"])
    np.testing.assert_allclose(adjusted["p_holm"], [0.02, 0.04, 0.04])
    np.testing.assert_allclose(
        effect_sizes_module.add_adjusted(table, "p")["p_fdr"], [0.03, 0.04, 0.04]
    )


def test_pearson_drops_missing_pairs_and_refuses_too_few():
    r, p, n = stats.pearson([1, 2, np.nan, 4], [2, 4, 5, 8])
    assert (round(r, 12), n) == (1, 3) and p < 1e-6
    assert np.isnan(stats.pearson([1, 2], [1, 2])[0])
    assert np.isnan(stats.pearson([1, 1, 1], [1, 2, 3])[0])


@pytest.mark.parametrize(
    "a, b, message",
    [([1, np.nan], [1, 2], "NaN"), ([], [], "non-empty"), ([1, 2], [1], "equally many")],
)
def test_bad_values_are_refused(a, b, message):
    with pytest.raises(ValueError, match=message):
        stats.bootstrap_paired(a, b)


def test_intervals_over_participants_hold_the_mean_as_often_as_they_say():
    values = np.random.default_rng(0).standard_normal(
        (8, 4_000)
    )  # eight participants, as in NH2015
    inside = np.abs(values.mean(axis=0)) < stats.participant_interval(values)
    assert inside.mean() == pytest.approx(0.95, abs=0.01)  # 3 standard errors of a share of 4,000
    alone = stats.participant_interval(values[:, :2])
    np.testing.assert_array_equal(
        alone, stats.participant_interval(values)[:2]
    )  # others do not matter
    assert np.isnan(stats.participant_interval(values[:1])).all()
    with pytest.raises(ValueError, match="participants x conditions"):
        stats.participant_interval(values[0])

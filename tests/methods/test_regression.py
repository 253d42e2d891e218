"""Scores of one layer against a slow, obvious implementation, and what must never change them."""

from __future__ import annotations

import csv
import warnings
from dataclasses import fields
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ConstantInputWarning, pearsonr
from sklearn.linear_model import RidgeCV

from aud_dnn.methods.ridge import scoring
from aud_dnn.methods.ridge import split_scores as regression
from aud_dnn.methods.ridge.leave_one_out import SplitRidge, alpha_grid, reduce_features
from aud_dnn.methods.ridge.noise_correction import noise_corrected_r2
from aud_dnn.methods.ridge.predicting import predict_mean_responses
from aud_dnn.methods.ridge.scores import LayerScores
from aud_dnn.methods.ridge.scoring import decompose_splits, score_responses
from aud_dnn.paths import ProjectPaths
from aud_dnn.splits import Splits, published_splits
from aud_dnn.store.schema import full_predictions, rescale
from aud_dnn.utils import load_stimuli, load_target, open_activations

ALPHAS = alpha_grid(5)


def simulate(
    n_voxels: int, n_units: int = 120, n_repetitions: int = 3, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = np.maximum(
        rng.standard_normal((165, 10)) @ rng.standard_normal((10, n_units))
        + 0.5 * rng.standard_normal((165, n_units)),
        0,
    )
    signal = X[:, :20] @ rng.standard_normal((20, n_voxels)) + 3
    noise = (
        rng.standard_normal((165, n_voxels, n_repetitions))
        * signal.std()
        * rng.uniform(0.3, 3, n_voxels)[:, None]
    )
    return X, signal[:, :, None] + noise


def slow_scores(
    X: np.ndarray, responses: np.ndarray, splits: Splits, alphas: np.ndarray
) -> dict[str, np.ndarray]:
    """Section 5 of the published analysis, one voxel, split and repetition at a time, with
    scikit-learn and np.corrcoef.
    """
    n_voxels, n_splits, reps = responses.shape[1], len(splits), responses.shape[2]
    out = {
        name: np.zeros((n_voxels, n_splits))
        for name in (
            "r_prior_zero",
            "r2_test",
            "r2_train",
            "r2_test_c",
            "alphas",
            "y_pred_test_std_mean",
            "y_train_std_mean",
        )
    }
    for s, (train, test) in enumerate(zip(splits.train, splits.test)):
        x_train, x_test = X[train] - X[train].mean(axis=0), X[test] - X[train].mean(axis=0)
        for v in range(n_voxels):

            def fit(
                y: np.ndarray, train=train, x_train=x_train, x_test=x_test
            ) -> tuple[np.ndarray, np.ndarray, float]:
                model = RidgeCV(alphas=alphas).fit(x_train, y[train] - y[train].mean())
                return model.predict(x_test), model.predict(x_train), model.alpha_

            y = responses[:, v].mean(axis=1)
            predicted, fitted, out["alphas"][v, s] = fit(y)
            r = np.corrcoef(predicted, y[test])[0, 1]
            out["r_prior_zero"][v, s] = r
            out["r2_test"][v, s] = max(r, 0) ** 2
            out["r2_train"][v, s] = max(np.corrcoef(fitted, y[train])[0, 1], 0) ** 2
            out["y_pred_test_std_mean"][v, s] = predicted.std()
            out["y_train_std_mean"][v, s] = y[train].std()
            if reps > 1:
                single = [fit(responses[:, v, i])[0] for i in range(reps)]
                pairs = [(0, 1), (0, 2), (1, 2)]
                r_v = np.nanmedian(
                    [
                        np.corrcoef(responses[train, v, a], responses[train, v, b])[0, 1]
                        for a, b in pairs
                    ]
                )
                r_hat = np.nanmedian([np.corrcoef(single[a], single[b])[0, 1] for a, b in pairs])
                reliability_v, reliability_hat = (3 * x / (1 + 2 * x) for x in (r_v, r_hat))
                out["r2_test_c"][v, s] = out["r2_test"][v, s] / (
                    max(reliability_v, 0.182) * max(reliability_hat, 0.183)
                )
    return out


@pytest.mark.parametrize("n_repetitions", [1, 3])
def test_scores_equal_a_slow_implementation(n_repetitions: int) -> None:
    X, responses = simulate(5, n_repetitions=n_repetitions)
    splits = published_splits(n_splits=3)
    untouched = responses.copy()
    scores, predictions = score_responses(
        decompose_splits(reduce_features(X), splits, ALPHAS), responses, splits
    )
    assert np.array_equal(responses, untouched)
    for name, expected in slow_scores(X, responses, splits, ALPHAS).items():
        np.testing.assert_allclose(
            getattr(scores, name), expected, rtol=1e-8, atol=1e-9, err_msg=name
        )
    assert predictions is not None
    np.testing.assert_allclose(
        predictions.train_means[0], responses[splits.train[0]].mean(axis=(0, 2)), rtol=1e-12
    )
    np.testing.assert_allclose(
        predictions.values.std(axis=1).T, scores.y_pred_test_std_mean, rtol=1e-5
    )  # float32


def test_predictions_for_all_sounds_agree_with_the_stored_ones() -> None:
    X, responses = simulate(4)
    splits = published_splits(n_splits=2)
    decomposed = decompose_splits(reduce_features(X), splits, ALPHAS)
    scores, predictions = score_responses(decomposed, responses, splits)
    assert predictions is not None
    everything = predict_mean_responses(decomposed, responses, splits)
    for s in range(2):
        stored = predictions.values[s] + predictions.train_means[s]
        np.testing.assert_allclose(everything[s, splits.test[s]], stored, rtol=1e-5)
        y = responses[splits.train[s]].mean(axis=2)
        r = [np.corrcoef(everything[s, splits.train[s], v], y[:, v])[0, 1] for v in range(4)]
        np.testing.assert_allclose(np.square(r), scores.r2_train[:, s], rtol=1e-9)


def assert_same_scores(
    a: LayerScores, b: LayerScores, order: np.ndarray | slice = slice(None)
) -> None:
    for field in fields(LayerScores):
        np.testing.assert_allclose(
            getattr(a, field.name),
            getattr(b, field.name)[order],
            rtol=1e-9,
            atol=1e-12,
            err_msg=field.name,
        )


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    block=st.sampled_from([1, 7, 170, 512]),
    threads=st.integers(1, 3),
)
def test_blocks_threads_and_order_of_voxels_change_nothing(
    seed: int, block: int, threads: int
) -> None:
    X, responses = simulate(180, n_units=90, seed=seed)
    splits = published_splits(n_splits=2)
    decomposed = decompose_splits(reduce_features(X), splits, ALPHAS)
    reference, _ = score_responses(decomposed, responses, splits, n_threads=1)
    order = np.random.default_rng(seed).permutation(180)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoring, "VOXELS_PER_BLOCK", block)
        scores, _ = score_responses(decomposed, responses[:, order], splits, n_threads=threads)
    assert_same_scores(scores, reference, order)


def test_float32_features_shifted_units_and_rescaled_responses() -> None:
    X, responses = simulate(6)
    splits = published_splits(n_splits=2)
    reference, _ = score_responses(
        decompose_splits(reduce_features(X), splits, ALPHAS), responses, splits
    )
    X32 = X.astype(np.float32)
    single, _ = score_responses(
        decompose_splits(reduce_features(X32), splits, ALPHAS), responses, splits
    )
    double, _ = score_responses(
        decompose_splits(reduce_features(X32.astype(np.float64)), splits, ALPHAS), responses, splits
    )
    assert_same_scores(single, double)
    shifted, _ = score_responses(
        decompose_splits(reduce_features(X + 7.5), splits, ALPHAS), 2 * responses - 5, splits
    )
    for name in ("r_prior_zero", "r2_test_c", "alphas"):
        np.testing.assert_allclose(getattr(shifted, name), getattr(reference, name), rtol=1e-8)
    np.testing.assert_allclose(
        shifted.y_pred_test_std_mean, 2 * reference.y_pred_test_std_mean, rtol=1e-8
    )


def test_degenerate_responses_have_stated_scores() -> None:
    """Constant, identical repetitions, and a repetition that is inverted."""
    X, responses = simulate(4)
    responses[:, 0] = 0.3
    responses[:, 1, 1:] = responses[:, 1, :1]
    responses[:, 2, 1] = -responses[:, 2, 0]
    splits = published_splits(n_splits=2)
    scores, _ = score_responses(
        decompose_splits(reduce_features(X), splits, alpha_grid(50)), responses, splits
    )
    assert np.isnan(scores.r_prior_zero[0]).all()
    assert (
        (scores.r2_test[0] == 0).all()
        and (scores.r2_test_c[0] == 0).all()
        and (scores.alphas[0] == 1e49).all()
    )
    assert (scores.warning_constant_mean[0] == 1).all() and (
        scores.warning_constant_splits[0] == 3
    ).all()
    assert (scores.warning_alphas[0] == 1).all() and (scores.alpha_on_plateau[0] == 1).all()
    np.testing.assert_allclose(
        scores.r2_test_c[1], scores.r2_test[1], rtol=1e-9
    )  # both reliabilities are 1
    assert np.isfinite(scores.r2_test_c).all()


# --- what does not vary -------------------------------------------------------------------------

LEVELS = (0.0, 1e-300, 1e-8, -0.1, 1.0, 1e8, 1e300)


@cache
def one_split() -> tuple[Splits, list[SplitRidge]]:
    splits = published_splits(n_splits=1)
    return splits, decompose_splits(
        reduce_features(simulate(1, n_units=60)[0]), splits, alpha_grid(50)
    )


def partly_constant(seed: int, level: float, sparse: bool) -> tuple[np.ndarray, np.ndarray]:
    """Responses (165, 1, 3) as variable as ``level`` is large, and a constant to put in their
    place.
    """
    responses = np.random.default_rng(seed).standard_normal((165, 1, 3))
    if sparse:
        responses = np.maximum(responses - 0.5, 0.0)  # 57 of 83 are 0 on average, never all
    return responses * (abs(level) or 1.0), np.full(3, level)


def demean(responses: np.ndarray, how: str) -> np.ndarray:
    return (
        responses
        - {
            "not": 0.0,
            "per repetition": responses.mean(axis=0),
            "over all": responses.mean(axis=(0, 2)),
            "by another constant": 0.3 * np.abs(responses).max(),
        }[how]
    )


CASES = {
    "seed": st.integers(0, 2**32 - 1),
    "level": st.sampled_from(LEVELS),
    "sparse": st.booleans(),
    "demeaned": st.sampled_from(["not", "per repetition", "over all", "by another constant"]),
}


def scored(responses: np.ndarray) -> dict[str, float]:
    scores, _ = score_responses(one_split()[1], responses, one_split()[0], keep_predictions=False)
    return {field.name: getattr(scores, field.name)[0, 0] for field in fields(LayerScores)}


@settings(max_examples=120, deadline=None)
@given(**CASES)
def test_test_half_that_does_not_vary(seed: int, level: float, sparse: bool, demeaned: str) -> None:
    """r is undefined (as SciPy has it) and every score on the test half 0; the fit is that to any
    other test half.
    """
    test = one_split()[0].test[0]
    varying, constant = partly_constant(seed, level, sparse)
    responses = varying.copy()
    responses[test] = constant
    responses = demean(responses, demeaned)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConstantInputWarning)
        assert np.isnan(pearsonr(np.arange(82.0), responses[test].mean(axis=2)[:, 0]).statistic)
    scores = scored(responses)
    assert np.isnan(scores["r_prior_zero"])
    assert (
        scores["r_test"]
        == scores["r2_test"]
        == scores["r2_test_c"]
        == scores["y_test_std_mean"]
        == 0
    )
    elsewhere = scored(varying)
    for name in ("r2_train", "alphas", "warning_constant_mean", "warning_constant_splits"):
        assert scores[name] == pytest.approx(elsewhere[name], rel=1e-9, abs=1e-12), name


@settings(max_examples=120, deadline=None)
@given(**CASES, also_test=st.booleans())
def test_training_half_that_does_not_vary(
    seed: int, level: float, sparse: bool, demeaned: str, also_test: bool
) -> None:
    """Nothing is fitted: all scores 0, the largest alpha, and the flags say so."""
    train, test = one_split()[0].train[0], one_split()[0].test[0]
    responses, constant = partly_constant(seed, level, sparse)
    responses[train] = constant
    if also_test:
        responses[test] = constant
    scores = scored(demean(responses, demeaned))
    assert np.isnan(scores["r_prior_zero"])
    zero = (
        "r_test",
        "r2_test",
        "r2_test_c",
        "r2_train",
        "y_pred_test_std_mean",
        "y_pred_train_std_mean",
        "y_train_std_mean",
    )
    assert {name: scores[name] for name in zero} == dict.fromkeys(zero, 0.0)
    assert (scores["y_test_std_mean"] == 0) == also_test
    assert scores["alphas"] == 1e49
    flags = (
        "warning_constant_mean",
        "warning_constant_splits",
        "warning_alphas",
        "alpha_on_plateau",
    )
    assert [scores[name] for name in flags] == [1, 3, 1, 1]


@settings(max_examples=60, deadline=None)
@given(**CASES, repetition=st.integers(0, 2))
def test_one_repetition_that_does_not_vary(
    seed: int, level: float, sparse: bool, demeaned: str, repetition: int
) -> None:
    """Only the pair of the other two has correlations, and the published median over pairs ignores
    the undefined ones.
    """
    train = one_split()[0].train[0]
    responses, constant = partly_constant(seed, level, sparse)
    responses[train, :, repetition] = constant[0]
    responses = demean(responses, demeaned)
    scores = scored(responses)
    assert scores["warning_constant_splits"] == 1
    others = np.delete(responses, repetition, axis=2)
    with (
        pytest.MonkeyPatch.context() as patch
    ):  # the correlation of the predictions is not stored anywhere
        patch.setattr(
            regression,
            "noise_corrected_r2",
            lambda r2, response_r, prediction_r, n_repetitions: prediction_r,
        )
        prediction_r = scored(others)["r2_test_c"]
    expected = noise_corrected_r2(
        scores["r2_test"],
        pearsonr(*others[train, 0].T / (abs(level) or 1.0)).statistic,
        prediction_r,
        3,
    )
    assert scores["r2_test_c"] == pytest.approx(expected, rel=1e-9)


def test_repetitions_that_cancel_leave_nothing_but_rounding() -> None:
    responses = np.random.default_rng(0).standard_normal((165, 300, 3)) + 0.1
    responses[:, :, 2] = 0.3 - responses[:, :, 0] - responses[:, :, 1]
    scores, _ = score_responses(one_split()[1], responses, one_split()[0])
    assert np.isnan(scores.r_prior_zero).all()
    assert not scores.r2_test.any() and not scores.r2_test_c.any() and not scores.r2_train.any()
    assert (scores.warning_constant_mean == 1).all() and (scores.warning_constant_splits == 0).all()


@pytest.mark.parametrize("unit", [2.0**-995, 2.0**-600, 2.0**600, 2.0**995])
def test_unit_of_the_responses_changes_no_score(unit: float) -> None:
    _, responses = simulate(20)
    ours, _ = score_responses(one_split()[1], responses, one_split()[0])
    scaled, _ = score_responses(
        one_split()[1], responses * unit, one_split()[0], keep_predictions=False
    )
    for field in fields(LayerScores):
        factor = unit if field.name.startswith("y_") else 1.0
        np.testing.assert_array_equal(
            getattr(scaled, field.name), getattr(ours, field.name) * factor, field.name
        )


def test_prediction_that_is_constant_but_for_rounding_has_no_r() -> None:
    """One unit is far off and the same for all test sounds, the other hardly varies among them nor
    matters.
    """
    splits = published_splits(n_splits=1)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((165, 2))
    X[splits.test[0]] = [100.0, 0.0] + np.outer(rng.standard_normal(82), [0.0, 1e-10])
    responses = (
        X[:, 0, None, None] + 1e-2 * X[:, 1, None, None] + 1e-4 * rng.standard_normal((165, 40, 3))
    )
    scores, _ = score_responses(
        decompose_splits(reduce_features(X), splits, alpha_grid(50)), responses, splits
    )
    assert (scores.warning_constant_mean == 1).all()
    assert np.isnan(scores.r_prior_zero).all()
    assert not scores.r2_test.any() and not scores.r2_test_c.any()


def test_single_voxels_drawn_are_not_fitted_to_rounding() -> None:
    splits, decomposed = one_split()
    responses = np.random.default_rng(0).standard_normal((165, 30, 3))
    responses[splits.train[0]] = -0.1
    drawn = predict_mean_responses(decomposed, responses, splits)
    assert (drawn[0] == drawn[0, 0]).all()


def test_layer_that_does_not_vary_scores_zero() -> None:
    _, responses = simulate(3)
    splits = published_splits(n_splits=2)
    scores, _ = score_responses(
        decompose_splits(reduce_features(np.ones((165, 8))), splits, ALPHAS), responses, splits
    )
    assert (
        (scores.r2_test == 0).all()
        and (scores.r2_test_c == 0).all()
        and (scores.warning_constant_mean == 1).all()
    )


def test_layer_that_varies_over_the_test_sounds_only() -> None:
    _, responses = simulate(3)
    splits = published_splits(n_splits=1)
    X = np.zeros((165, 4))
    X[splits.test[0]] = np.random.default_rng(0).standard_normal((82, 4))
    scores, _ = score_responses(
        decompose_splits(reduce_features(X), splits, ALPHAS), responses, splits
    )
    assert (scores.r2_test == 0).all() and (scores.warning_constant_mean == 1).all()


def test_sounds_of_responses_and_splits_must_agree() -> None:
    X, responses = simulate(2)
    splits = published_splits(n_splits=1)
    with pytest.raises(ValueError, match="164 sounds"):
        score_responses(
            decompose_splits(reduce_features(X), splits, ALPHAS), responses[:164], splits
        )


# --- the published programs' own numbers --------------------------------------------------------


def _reference_runs() -> list[dict[str, str]]:
    index = Path(__file__).resolve().parents[3] / "shared" / "golden" / "expected" / "index.csv"
    return list(csv.DictReader(index.open())) if index.is_file() else []


@pytest.mark.parametrize(
    "run",
    _reference_runs() or [None],
    ids=lambda run: run["file"].removeprefix("ridge__").removesuffix(".npz") if run else "none",
)
def test_scores_equal_the_published_programs(
    run: dict[str, str] | None, golden_expected: Path, golden_root: Path
) -> None:
    """Within the tolerances of the reference: cells of class 0 and 1 (not on a plateau, not lost to
    round-off).
    """
    assert run is not None
    expected = np.load(golden_expected / run["file"])
    paths = ProjectPaths(golden_root)
    stimuli = load_stimuli(paths)
    target = load_target(paths, run["target"], stimuli)
    features = open_activations(
        paths, run["model"], stimuli, randnetw=run["randnetw"] == "True", layers=[run["layer"]]
    ).read(run["layer"])
    splits = published_splits()
    scores, predictions = score_responses(
        decompose_splits(reduce_features(features), splits, alpha_grid(50)),
        target.responses,
        splits,
    )
    assert np.array_equal(target.ids, expected["voxel_id"])
    unique, determined = expected["cell_class"] == 0, expected["cell_class"] < 2
    assert determined.mean() > 0.9
    assert np.array_equal(
        np.round(np.log10(scores.alphas[unique])), expected["alpha_log10"][unique]
    )
    for name in ("r_prior_zero", "r_test", "r2_test", "r2_train"):
        np.testing.assert_allclose(
            getattr(scores, name)[determined],
            expected[name][determined],
            rtol=0,
            atol=1e-6,
            err_msg=name,
        )
    for name in (
        "y_pred_test_std_mean",
        "y_pred_train_std_mean",
        "y_test_std_mean",
        "y_train_std_mean",
    ):
        np.testing.assert_allclose(
            getattr(scores, name)[determined], expected[name][determined], rtol=1e-5, err_msg=name
        )
    for name in ("warning_constant_mean", "warning_alphas"):
        assert np.array_equal(getattr(scores, name)[determined], expected[name][determined]), name
    # outside the determined cells only this is promised
    assert (
        np.isfinite(scores.r2_test).all()
        and (scores.r2_test >= 0).all()
        and (scores.r2_test <= 1).all()
    )
    if "r2_test_c" in expected:
        comparable = expected["cell_class_c"] < 2
        np.testing.assert_allclose(
            scores.r2_test_c[comparable], expected["r2_test_c"][comparable], rtol=1e-4, atol=1e-12
        )
    file = golden_expected / run["file"].replace("ridge__", "preds__")
    if file.is_file():
        reference = np.load(file)
        assert predictions is not None
        difference = np.abs(predictions.values - reference["y_pred_test"]).max(axis=1).T
        spread = reference["y_pred_test"].std(axis=1).T
        assert (difference[determined] <= 1e-5 * spread[determined]).all()
        np.testing.assert_allclose(
            predictions.train_means.T[determined],
            reference["train_mean_added_back"].T[determined],
            rtol=0,
            atol=1e-6,
        )


@pytest.mark.parametrize("layer", ["relu2", "avgpool"])
def test_leave_one_out_curve_equals_the_published_programs(
    layer: str, golden_expected: Path, golden_root: Path
) -> None:
    from aud_dnn.methods.ridge.leave_one_out import decompose, leave_one_out_mse, project

    curve = np.load(golden_expected / f"loo_curve__NH2015__Kell2018word__{layer}.npz")
    paths = ProjectPaths(golden_root)
    stimuli = load_stimuli(paths)
    target = load_target(paths, "NH2015", stimuli)
    features = open_activations(paths, "Kell2018word", stimuli, layers=[layer]).read(layer)
    splits = published_splits()
    split = decompose(reduce_features(features), splits.train[0], splits.test[0], alpha_grid(50))
    columns = [int(np.flatnonzero(target.ids == voxel)[0]) for voxel in curve["voxel_id"]]
    y = target.responses[splits.train[0]][:, columns].mean(axis=2)
    mse = leave_one_out_mse(split, project(split, y - y.mean(axis=0)))
    resolved = curve["log10_alpha"] >= -3
    np.testing.assert_allclose(mse[resolved], curve["loo_mse"].T[resolved], rtol=1e-5)


# --- splits of other sizes, missing repetitions -------------------------------------------------


def uneven_splits() -> Splits:
    """Training halves of 60, 83 and 100 sounds; in the last split 20 sounds are in neither half."""
    rng = np.random.default_rng(1)
    train = np.zeros((3, 165), dtype=bool)
    for mask, size in zip(train, (60, 83, 100)):
        mask[rng.permutation(165)[:size]] = True
    test = ~train
    test[2, np.flatnonzero(test[2])[:20]] = False
    return Splits(train, test, None, "given")


def test_splits_may_be_of_any_sizes():
    X, responses = simulate(4)
    splits = uneven_splits()
    decomposed = decompose_splits(reduce_features(X), splits, ALPHAS)
    scores, predictions = score_responses(decomposed, responses, splits)
    for name, expected in slow_scores(X, responses, splits, ALPHAS).items():
        np.testing.assert_allclose(
            getattr(scores, name), expected, rtol=1e-8, atol=1e-9, err_msg=name
        )
    assert_same_scores(
        scores, score_responses(decomposed, responses, splits, keep_predictions=False)[0]
    )
    assert [np.isfinite(values[:, 0]).sum() for values in predictions.values] == [105, 82, 45]
    full = full_predictions(predictions.values, splits.test)
    np.testing.assert_array_equal(np.isfinite(full[:, :, 0]).T, splits.test)
    everything = predict_mean_responses(decomposed, responses, splits)
    assert np.isnan(everything[2]).all(axis=1).sum() == 20
    stored = rescale(predictions.values, predictions.train_means)
    np.testing.assert_allclose(everything[2, splits.test[2]], stored[2, :45], rtol=1e-4)


def test_a_voxel_is_scored_with_the_repetitions_that_it_has():
    X, responses = simulate(7, n_repetitions=4)
    splits = uneven_splits()
    decomposed = decompose_splits(reduce_features(X), splits, ALPHAS)
    kept = {0: [0, 1, 2, 3], 1: [0, 2], 2: [1, 2, 3], 3: [2], 4: [0, 1, 2, 3], 5: [0, 2], 6: [0]}
    with_gaps = responses.copy()
    for voxel, repetitions in kept.items():
        with_gaps[:, voxel, [r for r in range(4) if r not in repetitions]] = np.nan
    scores, predictions = score_responses(decomposed, with_gaps, splits)
    everything = predict_mean_responses(decomposed, with_gaps, splits)
    for voxel, repetitions in kept.items():
        alone = responses[:, [voxel]][:, :, repetitions]
        expected, values = score_responses(decomposed, alone, splits)
        for field in fields(LayerScores):
            wanted = getattr(expected, field.name)[0]
            if field.name == "r2_test_c" and len(repetitions) == 1:
                wanted = np.full(3, np.nan)
            np.testing.assert_allclose(
                getattr(scores, field.name)[voxel], wanted, rtol=1e-9, err_msg=field.name
            )
        np.testing.assert_allclose(
            predictions.values[:, :, voxel], values.values[:, :, 0], rtol=1e-5, atol=1e-6
        )
        np.testing.assert_allclose(
            everything[:, :, [voxel]], predict_mean_responses(decomposed, alone, splits), rtol=1e-9
        )


@pytest.mark.parametrize("n_repetitions", [2, 4, 5])
def test_the_correction_is_that_of_the_number_of_repetitions(n_repetitions: int):
    X, responses = simulate(3, n_repetitions=n_repetitions)
    splits = published_splits(n_splits=2)
    scores, _ = score_responses(
        decompose_splits(reduce_features(X), splits, ALPHAS), responses, splits
    )
    for s, (train, test) in enumerate(zip(splits.train, splits.test)):
        for v in range(3):
            single = [
                RidgeCV(alphas=ALPHAS).fit(X[train], responses[train, v, i]).predict(X[test])
                for i in range(n_repetitions)
            ]
            pairs = [(a, b) for a in range(n_repetitions) for b in range(a)]
            measured = np.median(
                [
                    np.corrcoef(responses[train, v, a], responses[train, v, b])[0, 1]
                    for a, b in pairs
                ]
            )
            predicted = np.median([np.corrcoef(single[a], single[b])[0, 1] for a, b in pairs])
            reliabilities = [
                n_repetitions * r / (1 + (n_repetitions - 1) * r) for r in (measured, predicted)
            ]
            ceiling = max(reliabilities[0], 0.182) * max(reliabilities[1], 0.183)
            np.testing.assert_allclose(
                scores.r2_test_c[v, s], scores.r2_test[v, s] / ceiling, rtol=1e-7
            )


def test_no_response_at_all_is_refused():
    X, responses = simulate(2)
    responses[:, 1] = np.nan
    splits = published_splits(n_splits=2)
    with pytest.raises(ValueError, match="no response at all"):
        score_responses(decompose_splits(reduce_features(X), splits, ALPHAS), responses, splits)

"""Leave-one-out ridge against closed forms, brute force and scikit-learn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from sklearn.linear_model import Ridge, RidgeCV

from aud_dnn.methods.ridge import choosing_alpha as choosing
from aud_dnn.methods.ridge import leave_one_out as ridge
from aud_dnn.methods.ridge.choosing_alpha import AlphaChoice, select_alphas
from aud_dnn.methods.ridge.leave_one_out import (
    alpha_grid,
    decompose,
    leave_one_out_mse,
    project,
    reduce_features,
)


def split_masks(
    n_sounds: int, n_train: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    train = np.zeros(n_sounds, dtype=bool)
    train[rng.permutation(n_sounds)[:n_train]] = True
    return train, ~train


def fitted(
    X: np.ndarray, train: np.ndarray, test: np.ndarray, alphas: np.ndarray
) -> ridge.SplitRidge:
    return decompose(reduce_features(X), train, test, alphas)


def predict(split: ridge.SplitRidge, z: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Predictions for the test sounds of responses minus their training mean."""
    weights = split.shrinkage[:, index] * z * split.prediction_scale[index]
    return split.test_scores @ weights + split.test_means @ weights


def brute_force_mse(X: np.ndarray, y: np.ndarray, alpha: float) -> float:
    """Leave each sound out, fit scikit-learn's Ridge with an intercept, predict it."""
    errors = []
    for i in range(len(X)):
        keep = np.arange(len(X)) != i
        model = Ridge(alpha=alpha, solver="svd").fit(X[keep], y[keep])
        errors.append(y[i] - model.predict(X[i : i + 1])[0])
    return float(np.mean(np.square(errors)))


def test_grid_runs_from_large_to_small() -> None:
    alphas = alpha_grid(50)
    assert len(alphas) == 100
    assert (alphas[0], alphas[49], alphas[-1]) == (1e49, 1.0, 1e-50)


@pytest.mark.parametrize("n_units", [4, 19, 20, 21, 60, 300])
def test_leave_one_out_error_equals_refitting_without_each_sound(n_units: int) -> None:
    rng = np.random.default_rng(n_units)
    train, test = split_masks(30, 20, rng)
    X, Y = rng.standard_normal((30, n_units)) + 3, rng.standard_normal((30, 3)) + 5
    alphas = alpha_grid(3)
    split = fitted(X, train, test, alphas)
    mse = leave_one_out_mse(split, project(split, Y[train]))
    expected = [[brute_force_mse(X[train], y, alpha) for y in Y[train].T] for alpha in alphas]
    np.testing.assert_allclose(mse, expected, rtol=1e-9)


def test_rank_deficient_features_and_tiny_alphas() -> None:
    """Duplicated units leave the error as it is for twice the penalty; a null space keeps α → 0
    finite.
    """
    rng = np.random.default_rng(1)
    train, test = split_masks(40, 25, rng)
    X, Y = rng.standard_normal((40, 6)), rng.standard_normal((40, 4))
    once, twice = (
        fitted(x, train, test, np.array([8.0, 4.0, 1e-40])) for x in (X, np.hstack([X, X]))
    )
    mse_once, mse_twice = (
        leave_one_out_mse(split, project(split, Y[train])) for split in (once, twice)
    )
    np.testing.assert_allclose(mse_twice[0], mse_once[1], rtol=1e-10)
    ordinary = [
        np.mean([(y[i] - _least_squares_without(X[train], y, i)) ** 2 for i in range(25)])
        for y in Y[train].T
    ]
    np.testing.assert_allclose(mse_twice[2], ordinary, rtol=1e-9)


def _least_squares_without(X: np.ndarray, y: np.ndarray, i: int) -> float:
    keep = np.arange(len(X)) != i
    design = np.hstack([np.ones((len(X), 1)), X])
    return float(design[i] @ np.linalg.lstsq(design[keep], y[keep], rcond=None)[0])


def test_unit_that_only_one_training_sound_drives() -> None:
    """Its sound has leverage 1 as α → 0; left out, the unit is constant and predicts nothing."""
    rng = np.random.default_rng(2)
    train, test = split_masks(40, 25, rng)
    X, y = rng.standard_normal((40, 5)), rng.standard_normal(40)
    X[:, 0] = 0
    X[np.flatnonzero(train)[7], 0] = 1.0
    split = fitted(X, train, test, np.array([1e-6, 1e-12, 1e-30]))
    mse = leave_one_out_mse(split, project(split, y[train][:, None]))[:, 0]
    expected = np.mean(
        [
            (
                y[train][i]
                - _least_squares_without(X[train][:, 1:] if i == 7 else X[train], y[train], i)
            )
            ** 2
            for i in range(25)
        ]
    )
    np.testing.assert_allclose(mse, expected, rtol=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_units=st.sampled_from([1, 5, 19, 20, 21, 40, 200]),
    log_scale=st.integers(-8, 8),
    log_y=st.integers(-8, 8),
    float32=st.booleans(),
)
def test_predictions_equal_scikit_learn(
    seed: int, n_units: int, log_scale: int, log_y: int, float32: bool
) -> None:
    """Alphas of RidgeCV wherever the best is better than the others by 1e-6 (no plateau);
    predictions of Ridge to 1e-8.

    scikit-learn sees the same problem at scale 1 (features over c, alphas over c²) and Ridge with
    ``solver="svd"``: RidgeCV up to release 1.7 adds the intercept to the Gram matrix of the
    features, which drowns small features and moves its own predictions by up to some 1e-7.
    """
    rng = np.random.default_rng(seed)
    train, test = split_masks(34, 20, rng)
    X = (rng.standard_normal((34, n_units)) + rng.standard_normal(n_units)) * 10.0**log_scale
    X = X.astype(np.float32) if float32 else X
    signal = X.astype(np.float64) @ rng.standard_normal((n_units, 6)) / 10.0**log_scale
    Y = (signal + rng.uniform(0, 4) * rng.standard_normal(signal.shape) + 2) * 10.0**log_y
    alphas = alpha_grid(4) * 10.0 ** (2 * log_scale)
    split = fitted(X, train, test, alphas)
    centred = Y - Y[train].mean(axis=0)
    z = project(split, centred[train])
    chosen = select_alphas(split, z[:, None]).index[0]
    mse = np.sort(leave_one_out_mse(split, z), axis=0)
    clear = mse[1] > mse[0] * (1 + 1e-6)
    X64 = X.astype(np.float64) / 10.0**log_scale
    alphas = alphas / 10.0 ** (2 * log_scale)
    reference = RidgeCV(alphas=alphas, alpha_per_target=True).fit(
        X64[train] - X64[train].mean(axis=0), centred[train]
    )
    exact = Ridge(alpha=alphas[chosen], solver="svd").fit(
        X64[train] - X64[train].mean(axis=0), centred[train]
    )
    expected = exact.predict(X64[test] - X64[train].mean(axis=0))
    np.testing.assert_array_equal(alphas[chosen][clear], np.asarray(reference.alpha_)[clear])
    scale = np.abs(expected).max()
    np.testing.assert_allclose(
        predict(split, z, chosen)[:, clear], expected[:, clear], atol=1e-8 * scale, rtol=0
    )


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_units=st.sampled_from([10, 60, 83, 300]),
    noise=st.floats(0, 30),
)
def test_screening_in_single_precision_changes_no_choice(
    seed: int, n_units: int, noise: float
) -> None:
    """Many responses are screened in float32 first; the choice must be that of float64."""
    rng = np.random.default_rng(seed)
    train, test = split_masks(165, 83, rng)
    X = np.maximum(
        rng.standard_normal((165, 12)) @ rng.standard_normal((12, n_units))
        + 0.3 * rng.standard_normal((165, n_units)),
        0,
    )
    Y = X[:, :5] @ rng.standard_normal((5, 200)) + noise * rng.random(200) * rng.standard_normal(
        (3, 165, 200)
    )
    Y[:, :, 0] = 1.0  # constant
    Y[:, :, 1] = X[:, 0]  # exactly linear
    split = fitted(X, train, test, alpha_grid(50))
    z = np.stack([project(split, y[train]) for y in Y], axis=1)
    z[:, :, 0] = 0.0
    z = np.concatenate([z.mean(axis=1, keepdims=True), z], axis=1)
    screened = select_alphas(split, z, average_too=True)
    assert z[0].size >= choosing._SCREEN_FROM
    for start in range(0, 200, 50):  # too few to be screened
        part = z[:, :, start : start + 50]
        assert part[0].size < choosing._SCREEN_FROM
        exact = select_alphas(split, part)
        np.testing.assert_array_equal(screened.index[:, start : start + 50], exact.index)
        np.testing.assert_array_equal(screened.on_plateau[:, start : start + 50], exact.on_plateau)
    flat = z.reshape(len(z), -1)
    error = np.sqrt(83 * leave_one_out_mse(split, flat))
    slack = (
        4 * 83 * 2.0**-53 * split.operator_norms.max() * np.linalg.norm(flat, axis=0)
    )  # rounding of both
    assert (
        error[screened.index.ravel(), np.arange(error.shape[1])] <= error.min(axis=0) + slack
    ).all()


def assert_choice_of_float64(split: ridge.SplitRidge, z: np.ndarray, choice: AlphaChoice) -> None:
    """The largest alpha that float64 cannot tell apart from the best, found by trying every one of
    the grid.

    ``blur`` allows for what two ways of adding the same numbers differ by at the edge of "cannot
    tell apart".
    """
    flat = z.reshape(len(z), -1)
    error = np.sqrt(split.n_train * leave_one_out_mse(split, flat))
    run = np.searchsorted(split.distinct, np.arange(len(split.alphas)), side="right") - 1
    slack = (
        split.n_train * 2.0**-53 * split.operator_norms[run, None] * np.linalg.norm(flat, axis=0)
    )
    lower, best, blur = error - slack, (error + slack).min(axis=0), 0.3 * slack
    chosen = choice.index.ravel()
    columns = np.arange(flat.shape[1])
    assert (lower <= best + blur)[chosen, columns].all()
    for index, surely_as_good, tied, column in zip(
        chosen, (lower <= best - blur).T, choice.on_plateau.ravel(), columns
    ):
        assert not surely_as_good[:index].any(), (column, index)
        surely_as_good[index] = False
        assert tied or not surely_as_good.any(), (column, index)
    perhaps_as_good = lower <= best + blur
    perhaps_as_good[chosen, columns] = False
    assert (~choice.on_plateau.ravel() | perhaps_as_good.any(axis=0)).all()


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_sounds=st.sampled_from([30, 60, 165]),
    n_units=st.sampled_from([1, 5, 82, 84, 600]),
    limit=st.sampled_from([1, 3, 8, 50, None]),
    log_scale=st.integers(-12, 12),
    tiny=st.integers(0, 25),
    average_too=st.booleans(),
)
def test_choice_is_that_of_float64(
    seed: int,
    n_sounds: int,
    n_units: int,
    limit: int | None,
    log_scale: int,
    tiny: int,
    average_too: bool,
) -> None:
    """Layers of any rank and size, the published grid and others, any signal and noise, one
    repetition far smaller.
    """
    rng = np.random.default_rng(seed)
    train, test = split_masks(n_sounds, n_sounds // 2 + 1, rng)
    X = rng.standard_normal((n_sounds, 12)) @ rng.standard_normal((12, n_units))
    X = (X + rng.choice([0, 1e-6, 0.3]) * rng.standard_normal(X.shape)) * 10.0**log_scale
    alphas = (
        alpha_grid(limit)
        if limit
        else np.linalg.norm(X) ** 2 * np.sort(10.0 ** rng.uniform(-20, 20, 30))[::-1]
    )
    split = fitted(X, train, test, alphas)
    signal = X @ rng.standard_normal((n_units, 300))
    Y = signal / np.abs(signal).max() + 10.0 ** rng.uniform(-16, 3, 300) * rng.standard_normal(
        (3, n_sounds, 300)
    )
    Y[1] *= 10.0**-tiny
    z = np.stack([project(split, y[train] - y[train].mean(axis=0)) for y in Y], axis=1)
    if average_too:
        z = np.concatenate([z.mean(axis=1, keepdims=True), z], axis=1)
    assert_choice_of_float64(split, z, select_alphas(split, z, average_too=average_too))


def responses_best_between_the_ends(split: ridge.SplitRidge) -> np.ndarray:
    """Unit responses z whose error has its minimum inside the first run of alphas, as deep as it
    can be or less so.

    With G_k = A_kᵀA_k − A_0ᵀA_0, zᵀG_k z is by how much ‖A_k z‖² exceeds ‖A_0 z‖². The lowest
    eigenvectors of the mixture of G_i and G_i − G_end whose lowest eigenvalue is highest have the
    deepest minima at i; they are turned until the ends are equal, then away from there.
    """
    first, *others = split.operators[: split.screen.runs[0][1]]
    rises = [(other - first).T @ (other + first) for other in others]
    *inner, at_end = [(rise + rise.T) / 2 for rise in rises]
    found, turns = [], np.geomspace(1e-13, 1e-2, 12)
    for rise in inner:
        best = minimize_scalar(
            lambda weight, rise=rise: -np.linalg.eigvalsh(rise - weight * at_end)[0],
            bounds=(0, 1),
            method="bounded",
            options={"xatol": 1e-12},
        )
        vectors = np.linalg.eigh(rise - best.x * at_end)[1]
        for other in vectors.T[1:9]:
            level = [
                x @ at_end @ y
                for x, y in ((other, other), (vectors[:, 0], other), (vectors[:, 0], vectors[:, 0]))
            ]
            equal_ends = np.roots([level[0], 2 * level[1], level[2]])
            if np.isreal(equal_ends).all():
                angle = np.add.outer(np.arctan(equal_ends.real), np.r_[-turns, turns]).ravel()
                z = np.outer(vectors[:, 0], np.cos(angle)) + np.outer(other, np.sin(angle))
                depth = np.minimum(0, np.einsum("jv,jk,kv->v", z, at_end, z)) - np.einsum(
                    "jv,jk,kv->v", z, rise, z
                )
                found.append(z[:, depth > 1e-13])
    return np.hstack(found)


def rectified(rng: np.random.Generator, n_units: int = 400) -> np.ndarray:
    return np.maximum(
        rng.standard_normal((165, 20)) @ rng.standard_normal((20, n_units))
        + 0.5 * rng.standard_normal((165, n_units)),
        0,
    )


NEARLY_ORTHOGONAL = (
    "nearly orthogonal sounds"  # A_α saturates at both ends of the grid: not at all a line in 1/α
)


@pytest.mark.parametrize(
    ("features", "alphas"),
    [
        ("rectified", alpha_grid(50)),
        ("rectified", 3.0 ** np.arange(28, 8, -1)),
        (NEARLY_ORTHOGONAL, alpha_grid(50)),
    ],
)
def test_best_alpha_inside_the_first_run(features: str, alphas: np.ndarray) -> None:
    """Both ends of the run look alike, the error dips between them; only E_α of the module's notes
    knows.
    """
    rng = np.random.default_rng(8)
    train, test = split_masks(165, 83, rng)
    X = (
        rectified(rng)
        if features == "rectified"
        else np.eye(165) + 1e-6 * rng.standard_normal((165, 165))
    )
    split = fitted(X, train, test, alphas)
    n_run = split.screen.runs[0][1]
    assert n_run > 3
    z = responses_best_between_the_ends(split)
    positions = np.searchsorted(split.distinct, select_alphas(split, z[:, None]).index[0])
    assert np.count_nonzero((positions > 0) & (positions < n_run - 1)) > 50
    assert_choice_of_float64(split, z, select_alphas(split, z[:, None]))
    careless = replace(split, screen=replace(split.screen, departure=np.zeros(n_run)))
    with pytest.raises(AssertionError):
        assert_choice_of_float64(careless, z, select_alphas(careless, z[:, None]))


def test_plateau_inside_the_first_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """All alphas so large that the errors along the grid differ by a few roundings."""
    rng = np.random.default_rng(9)
    train, test = split_masks(165, 83, rng)
    X = rectified(rng)
    largest = np.linalg.norm(X[train] - X[train].mean(axis=0), 2) ** 2
    split = fitted(X, train, test, largest * 10.0 ** np.arange(12.6, 10.8, -0.06))
    assert split.screen.runs[0] == (0, len(split.distinct))
    z = rng.standard_normal((82, 3000))
    choice = select_alphas(split, z[:, None])
    assert ((choice.index > 0) & (choice.index < len(split.alphas) - 1)).any()
    assert_choice_of_float64(split, z, choice)
    settled_by_ends = choosing._settled_by_ends
    monkeypatch.setattr(
        choosing,
        "_settled_by_ends",
        lambda *arguments: settled_by_ends(*arguments[:2], 0.0, arguments[3]),
    )
    with pytest.raises(AssertionError):
        assert_choice_of_float64(split, z, select_alphas(split, z[:, None]))


@pytest.mark.parametrize("size", [1e-19, 1e-21, 1e-30])
def test_repetition_that_is_tiny_beside_the_others_is_screened_exactly(size: float) -> None:
    """Its squares vanish in single precision."""
    rng = np.random.default_rng(10)
    train, test = split_masks(165, 83, rng)
    X = rectified(rng)
    split = fitted(X, train, test, alpha_grid(50))
    Y = X[:, :20] @ rng.standard_normal((20, 900)) + 20 * rng.standard_normal((3, 165, 900))
    Y[1] *= size
    z = np.stack([project(split, y[train]) for y in Y], axis=1)
    assert_choice_of_float64(split, z, select_alphas(split, z))


def test_plateaus_take_the_largest_alpha() -> None:
    rng = np.random.default_rng(3)
    train, test = split_masks(165, 83, rng)
    X = rng.standard_normal((165, 300))
    split = fitted(X, train, test, alpha_grid(50))
    noiseless = X @ rng.standard_normal(300)
    against = project(split, -X[train] @ rng.standard_normal(300) * 1e-3 + rng.standard_normal(83))
    constant = np.zeros(82)
    z = np.stack([constant, against, project(split, noiseless[train])], axis=1)
    choice = select_alphas(split, z[:, None])
    assert choice.index[0, 0] == 0 and choice.on_plateau[0, 0]
    mse = leave_one_out_mse(split, z)
    for column, index in enumerate(choice.index[0]):
        not_worse = np.flatnonzero(mse[:, column] <= mse[:, column].min() * (1 + 1e-15))
        assert index <= not_worse[0]


def test_r_of_a_response_without_signal_is_the_limit_for_large_alpha() -> None:
    """Predictions shrink like 1/α but keep their direction: X_test Xᵀy."""
    rng = np.random.default_rng(4)
    train, test = split_masks(165, 83, rng)
    X, y = rng.standard_normal((165, 30)), rng.standard_normal(165)
    split = fitted(X, train, test, alpha_grid(50))
    z = project(split, (y[train] - y[train].mean())[:, None])
    direction = (
        (X[test] - X[train].mean(axis=0))
        @ (X[train] - X[train].mean(axis=0)).T
        @ (y[train] - y[train].mean())
    )
    prediction = predict(split, z, np.array([0]))[:, 0]
    assert np.abs(prediction).max() < 1e-45
    assert np.corrcoef(prediction * 1e49, direction)[0, 1] == pytest.approx(1, abs=1e-12)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), log_c=st.integers(-6, 6))
def test_scaling_features_scales_alpha_by_the_square(seed: int, log_c: int) -> None:
    rng = np.random.default_rng(seed)
    c = 2.0**log_c
    train, test = split_masks(60, 30, rng)
    X, Y = rng.standard_normal((60, 50)), rng.standard_normal((60, 4))
    alphas = alpha_grid(5)
    plain, scaled = fitted(X, train, test, alphas), fitted(c * X, train, test, c**2 * alphas)
    z, z_scaled = project(plain, Y[train]), project(scaled, Y[train])
    np.testing.assert_allclose(
        leave_one_out_mse(plain, z), leave_one_out_mse(scaled, z_scaled), rtol=1e-10
    )
    index = select_alphas(plain, z[:, None]).index[0]
    np.testing.assert_array_equal(index, select_alphas(scaled, z_scaled[:, None]).index[0])
    np.testing.assert_allclose(
        predict(plain, z, index), predict(scaled, z_scaled, index), atol=1e-10
    )


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_units=st.sampled_from([3, 165, 166, 700]),
    chunk=st.sampled_from([100, 200, 4096]),
)
def test_reduced_features_keep_inner_products(seed: int, n_units: int, chunk: int) -> None:
    """Whatever the chunk of units; a shift of a unit changes nothing."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((165, n_units)) * 10.0 ** rng.integers(-3, 3, n_units)
    X[:, 0] = 0.1 + 0.2
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ridge, "_UNITS_PER_PASS", chunk)
        design = reduce_features(X + 10 * rng.standard_normal(n_units))
    centred = X - X.mean(axis=0)
    assert design.factor.shape == (165, min(n_units, 165))
    assert (design.n_units, design.n_constant_units) == (n_units, 1)
    gram = centred @ centred.T
    np.testing.assert_allclose(
        design.factor @ design.factor.T * design.scale**2, gram, atol=1e-11 * np.abs(gram).max()
    )


@pytest.mark.parametrize("magnitude", [1e-200, 1e-30, 1e30, 1e200])
def test_extreme_magnitudes_neither_overflow_nor_vanish(magnitude: float) -> None:
    rng = np.random.default_rng(5)
    train, test = split_masks(60, 30, rng)
    X, y = rng.standard_normal((60, 80)), rng.standard_normal(60)
    grid = alpha_grid(100)
    split = fitted(X * magnitude, train, test, grid)
    z = project(split, y[train][:, None])
    assert np.isfinite(leave_one_out_mse(split, z)).all()
    assert np.isfinite(predict(split, z, select_alphas(split, z[:, None]).index[0])).all()


def test_layer_that_does_not_vary_predicts_nothing() -> None:
    rng = np.random.default_rng(6)
    train, test = split_masks(165, 83, rng)
    design = reduce_features(np.full((165, 40), 0.1, dtype=np.float32))
    assert design.is_constant
    split = decompose(design, train, test, alpha_grid(50))
    z = project(split, rng.standard_normal((83, 1, 2)))
    choice = select_alphas(split, z)
    assert (choice.index == 0).all()
    assert (predict(split, z[:, 0], choice.index[0]) == 0).all()


def test_alphas_must_run_from_large_to_small() -> None:
    rng = np.random.default_rng(7)
    train, test = split_masks(20, 10, rng)
    with pytest.raises(ValueError, match="largest to the smallest"):
        decompose(reduce_features(rng.standard_normal((20, 4))), train, test, np.array([1.0, 2.0]))

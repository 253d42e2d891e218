"""The layer that speaks for a model: chosen within each split by the training sounds alone."""

from __future__ import annotations

import json
from pathlib import Path

import fake_results
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aud_dnn.analyze import AUD_plot_main
from aud_dnn.errors import InputError
from aud_dnn.methods.ridge.leave_one_out import alpha_grid, reduce_features
from aud_dnn.methods.ridge.scores import LayerScores
from aud_dnn.methods.ridge.scoring import decompose_splits, score_responses
from aud_dnn.paths import ProjectPaths
from aud_dnn.splits import published_splits
from aud_dnn.store.regression import read_result
from aud_dnn.store.regression_names import result_folder
from aud_dnn.tables.figure_inputs import (
    collect_components,
    collect_regions,
    collect_scores,
    read_layer_choice,
)
from aud_dnn.tables.halvings import Halvings
from aud_dnn.tables.layer_choice import nested_layers
from aud_dnn.tables.scores import cross_validated_best_layer

SPLITS = published_splits()


def scored(layers: list[np.ndarray], responses: np.ndarray) -> list[LayerScores]:
    return [
        score_responses(
            decompose_splits(reduce_features(features), SPLITS, alpha_grid(50)),
            responses,
            SPLITS,
            keep_predictions=False,
        )[0]
        for features in layers
    ]


def stacked(scores: list[LayerScores]) -> tuple[np.ndarray, np.ndarray]:
    """Leave-one-out R² and test scores, (n_rows, n_layers, n_splits)."""
    return (
        np.stack([one.loo_r2_train for one in scores], axis=1),
        np.stack([one.r2_test for one in scores], axis=1),
    )


# --- simulations with known truth -----------------------------------------------------------------


def test_on_noise_a_nested_choice_is_an_average_layer() -> None:
    """13 layers, 400 voxels, nothing to find: the largest median is 0.022, the published 0.018."""
    rng = np.random.default_rng(0)
    layers = [rng.standard_normal((165, 200)) for _ in range(13)]
    loo_r2, scores = stacked(scored(layers, rng.standard_normal((165, 400, 1))))
    medians = np.median(scores, axis=2)
    average = medians.mean()
    published = cross_validated_best_layer(scores, Halvings(400), clip=False).score.mean()
    assert medians.max(axis=1).mean() == pytest.approx(0.022, abs=0.001)
    assert published == pytest.approx(0.0175, abs=0.001)
    for groups in (None, np.arange(400) % 8, np.zeros(400)):
        nested = nested_layers(loo_r2, scores, groups)
        # 0.002: three standard errors of a mean over 400 voxels; a median over splits of different
        # layers is a little below that of one layer, whose splits are alike
        assert abs(nested.score.mean() - average) < (0.002 if groups is None else 0.003)
    # of each split by itself there is no such difference
    nested = nested_layers(loo_r2, scores)
    difference = (nested.by_split - scores.mean(axis=1)).mean(axis=1)
    assert abs(difference.mean()) < 3 * difference.std(ddof=1) / np.sqrt(400)


@pytest.mark.parametrize(("noise", "found_at_least"), [(0.5, 0.99), (1.0, 0.95), (2.0, 0.65)])
def test_a_planted_layer_is_found(noise: float, found_at_least: float) -> None:
    """Responses are a layer's signal (variance 1) and noise of this standard deviation."""
    rng = np.random.default_rng(1)
    layers = [rng.standard_normal((165, 20)) for _ in range(6)]
    weights = rng.standard_normal((20, 60)) / np.sqrt(20)
    responses = layers[3] @ weights + noise * rng.standard_normal((165, 60))
    loo_r2, scores = stacked(scored(layers, responses[:, :, None]))
    alone = nested_layers(loo_r2, scores)
    assert (alone.index == 3).mean() >= found_at_least
    together = nested_layers(loo_r2, scores, np.zeros(60))
    assert (together.index == 3).all()
    np.testing.assert_array_equal(together.score, np.median(scores[:, 3], axis=1))


def test_poisoned_test_sounds_change_no_choice() -> None:
    rng = np.random.default_rng(2)
    layers = [rng.standard_normal((165, 30)) for _ in range(5)]
    responses = layers[2] @ rng.standard_normal((30, 40)) + 20 * rng.standard_normal((165, 40))
    loo_r2, scores = stacked(scored(layers, responses[:, :, None]))
    plain = nested_layers(loo_r2, scores).index
    assert len(np.unique(plain)) > 2  # a choice that has something to choose
    for split in (0, 7):
        poisoned = responses.copy()
        poisoned[SPLITS.test[split]] = 1e6 * rng.standard_normal((82, 40))
        loo_r2, scores = stacked(scored(layers, poisoned[:, :, None]))
        found = nested_layers(loo_r2, scores).index
        np.testing.assert_array_equal(found[:, split], plain[:, split])


# --- the choice itself ----------------------------------------------------------------------------


def test_of_equal_layers_the_first_is_taken() -> None:
    loo_r2 = np.zeros((2, 3, 4))
    loo_r2[1, 2, 0] = 0.1
    found = nested_layers(loo_r2, np.arange(24.0).reshape(2, 3, 4))
    np.testing.assert_array_equal(found.index, [[0, 0, 0, 0], [2, 0, 0, 0]])
    np.testing.assert_array_equal(found.by_split, [[0, 1, 2, 3], [20, 13, 14, 15]])
    np.testing.assert_array_equal(found.score, [1.5, 14.5])
    np.testing.assert_array_equal(found.relative_position, [0, 0])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 3))
def test_order_of_voxels_and_layers_does_not_matter(seed: int, n_groups: int) -> None:
    rng = np.random.default_rng(seed)
    loo_r2, scores = rng.standard_normal((2, 7, 4, 10))
    groups = rng.integers(0, n_groups, 7)
    voxels, layers = rng.permutation(7), rng.permutation(4)
    plain = nested_layers(loo_r2, scores, groups)
    moved = nested_layers(
        loo_r2[voxels][:, layers], scores[voxels][:, layers], np.array(list("xyz"))[groups][voxels]
    )
    np.testing.assert_array_equal(layers[moved.index], plain.index[voxels])
    np.testing.assert_array_equal(moved.by_split, plain.by_split[voxels])


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        nested_layers(np.zeros((2, 3, 4)), np.zeros((2, 3, 5)))
    with pytest.raises(ValueError, match="NaN"):
        nested_layers(np.full((2, 3, 4), np.nan), np.zeros((2, 3, 4)))


# --- tables and figures ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> ProjectPaths:
    made = ProjectPaths(tmp_path_factory.mktemp("choice"))
    fake_results.write_fake_data(made)
    for model in ("metricGAN", "Kell2018word", "spectemp"):
        fake_results.write_fake_model(made, model, ["NH2015", "NH2015comp"])
    return made


def of_all_layers(paths: ProjectPaths, target: str, name: str) -> np.ndarray:
    from aud_dnn.models.registry import MODELS

    folders = [
        result_folder(paths, "metricGAN", layer, target, False)
        for layer in MODELS["metricGAN"].layer_names
    ]
    return np.stack([read_result(folder).values(name) for folder in folders], axis=1)


def test_the_table_is_what_loops_give(paths: ProjectPaths) -> None:
    table = read_layer_choice(paths, "metricGAN", "NH2015", False)
    loo_r2 = of_all_layers(paths, "NH2015", "loo_r2_train")
    scores = of_all_layers(paths, "NH2015", "r2_test_c")
    metadata = fake_results.fake_metadata("NH2015")
    groups = {
        "nested": metadata["voxel_id"],
        "nested-region": metadata["roi_label_general"].fillna("none"),
        "nested-participant": metadata["subj_idx"],
        "nested-target": metadata["subj_idx"] * 0,
    }
    for choice, labels in groups.items():
        values = np.zeros(len(metadata))
        for voxel, label in enumerate(labels):
            picked = [
                scores[voxel, loo_r2[labels == label][:, :, split].mean(axis=0).argmax(), split]
                for split in range(10)
            ]
            values[voxel] = min(np.median(picked), 1.0)
        expected = pd.Series(values).groupby(metadata["subj_idx"]).median()
        np.testing.assert_allclose(table[choice], expected, rtol=1e-12)
    published = collect_scores(paths, ["metricGAN"], "NH2015", False).scores["metricGAN"]
    np.testing.assert_array_equal(table["published"], published)
    np.testing.assert_allclose(
        table["published_minus_nested"], table["published"] - table["nested"], atol=1e-15
    )
    medians = np.minimum(np.median(scores, axis=2), 1)
    for name, values in (("average", medians.mean(axis=1)), ("median", medians.max(axis=1))):
        expected = pd.Series(values).groupby(metadata["subj_idx"]).median()
        np.testing.assert_allclose(table[name], expected, rtol=1e-12)


def test_figures_take_the_choice(paths: ProjectPaths) -> None:
    table = read_layer_choice(paths, "metricGAN", "NH2015", False)
    for choice in ("nested", "nested-target", "median"):
        data = collect_scores(paths, ["metricGAN"], "NH2015", False, choice)
        np.testing.assert_array_equal(data.scores["metricGAN"], table[choice])
        assert data.aggregation == f"{choice}-layers"
    components = collect_components(paths, ["metricGAN"], False, "nested")
    loo_r2 = of_all_layers(paths, "NH2015comp", "loo_r2_train")
    scores = of_all_layers(paths, "NH2015comp", "r2_test")
    best = loo_r2.argmax(axis=1)
    picked = np.take_along_axis(scores, best[:, None], axis=1)[:, 0]
    order = list(fake_results.fake_metadata("NH2015comp")["comp"])
    np.testing.assert_allclose(components.mean.loc[order, "metricGAN"], np.median(picked, axis=1))
    np.testing.assert_allclose(components.sem.loc[order, "metricGAN"], picked.std(axis=1) / 3)
    np.testing.assert_allclose(components.iterations["metricGAN"][order], picked.T)
    positions = collect_regions(paths, ["metricGAN"], "NH2015", False, "nested")
    found = nested_layers(
        of_all_layers(paths, "NH2015", "loo_r2_train"), of_all_layers(paths, "NH2015", "r2_test_c")
    )
    metadata = fake_results.fake_metadata("NH2015")
    inside = metadata["roi_label_general"] == "Primary"
    expected = (
        pd.Series(found.relative_position[inside]).groupby(metadata["subj_idx"][inside].to_numpy())
    ).median()
    np.testing.assert_allclose(positions.positions["Primary"]["metricGAN"], expected)


def test_pictures_have_names_of_their_own(paths: ProjectPaths, tmp_path: Path) -> None:
    arguments = ["--root", str(paths.root), "--out", str(tmp_path), "--formats", "png"]
    arguments += ["--condition", "trained", "--target", "NH2015", "--jobs", "1"]
    status = AUD_plot_main.main(
        [*arguments, "--figures", "2", "5", "7", "9", "--layer_choice", "nested"]
    )
    assert status == 0
    names = sorted(path.name for path in tmp_path.rglob("*.csv"))
    regression = [name for name in names if "RSA" not in name and "rsa" not in name]
    assert len(regression) > 5
    assert all("nested-layers" in name for name in regression), regression
    bars = pd.read_csv(
        next(tmp_path.rglob("across-models_roi-None_NH2015_nested-layers_*.csv")), index_col=0
    )
    table = read_layer_choice(paths, "metricGAN", "NH2015", False)
    assert bars.loc["metricGAN", "median_r2_test_c_mean"] == pytest.approx(table["nested"].mean())
    assert set(bars["aggregation"]) == {"nested-layers"}


def test_results_without_leave_one_out_say_so(tmp_path: Path) -> None:
    paths = ProjectPaths(tmp_path)
    fake_results.write_fake_model(paths, "spectemp", ["NH2015"], conditions=(False,))
    folder = result_folder(paths, "spectemp", "avgpool", "NH2015", False)
    read_result(folder)
    import h5py

    from aud_dnn.store.regression_writing import write_provenance

    with h5py.File(folder / "ds.nc", "r+") as file:
        del file["loo_r2_train"]
    write_provenance(folder, json.loads((folder / "provenance.json").read_text()))
    assert collect_scores(paths, ["spectemp"], "NH2015", False) is not None
    with pytest.raises(InputError, match=r"loo_r2_train.*AUD_main.*--overwrite"):
        collect_scores(paths, ["spectemp"], "NH2015", False, "nested")


def test_what_a_figure_cannot_show_is_refused(paths: ProjectPaths) -> None:
    with pytest.raises(InputError, match="Figure 7 needs a layer for every voxel"):
        collect_regions(paths, ["metricGAN"], "NH2015", False, "nested-region")
    with pytest.raises(InputError, match="no error bars"):
        collect_components(paths, ["metricGAN"], False, "median")
    with pytest.raises(InputError, match=r"no layer choice nested-participant; there are.*nested"):
        collect_components(paths, ["metricGAN"], False, "nested-participant")

"""Scatter plots of agreement: the points are the means that the other figures show, and what is
missing is said.
"""

from __future__ import annotations

import re
import shutil

import fake_results
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.stats import pearsonr

from aud_dnn.analyze import CONSISTENCY_plot_main, consistency, consistency_layers
from aud_dnn.analyze.figure_options import FigureOptions
from aud_dnn.analyze.plotting.points import Limits
from aud_dnn.analyze.plotting.scatters import value_scatter
from aud_dnn.errors import InputError
from aud_dnn.models.registry import MODELS
from aud_dnn.paths import ProjectPaths
from aud_dnn.store.comparisons import read_analysis
from aud_dnn.store.published_rsa import write_published_rsa
from aud_dnn.tables import every_layer as layer_scores
from aud_dnn.tables.figure_inputs import collect_layers, collect_scores
from aud_dnn.targets.facts import ROIS

FITTED = ("ZeroSpeech2020", "metricGAN", "spectemp")


@pytest.fixture(scope="module")
def paths(tmp_path_factory) -> ProjectPaths:
    """Two small models and the baseline on both voxel data sets; no RSA."""
    made = ProjectPaths(tmp_path_factory.mktemp("fake"))
    fake_results.write_fake_data(made)
    for model in FITTED:
        fake_results.write_fake_model(made, model, ["NH2015", "B2021"])
    return made


def texts(figure) -> str:
    return " ".join("\n".join(text.get_text() for text in figure.findobj(mpl.text.Text)).split())


def test_models_on_both_data_sets(paths):
    drawings = consistency.model_wise(paths, FigureOptions(), ["regression"])
    trained, permuted, against, _ = drawings
    for drawing, randnetw in ((trained, False), (permuted, True)):
        for target in ("NH2015", "B2021"):
            # permuted, too, the errors are those of Figure 2, where the baseline is one of the
            # models
            summary = (
                collect_scores(paths, FITTED, target, randnetw).summary().loc[drawing.table.index]
            )
            np.testing.assert_allclose(drawing.table[target], summary["median_r2_test_c_mean"])
            np.testing.assert_allclose(
                drawing.table[f"{target}_yerr"], summary["median_r2_test_c_yerr"]
            )
    assert set(trained.table.index) == set(FITTED)
    assert (
        set(permuted.table.index) == set(against.table.index) == set(FITTED) - {"spectemp"}
    )  # has no permuted version
    assert trained.table["r"].iloc[0] == pytest.approx(
        np.corrcoef(trained.table["NH2015"], trained.table["B2021"])[0, 1]
    )
    np.testing.assert_allclose(
        against.table["trained"], trained.table.loc[against.table.index, "NH2015"]
    )


def test_what_a_figure_of_agreement_lacks_is_written_on_it(paths):
    for drawing in consistency.model_wise(
        paths, FigureOptions(own_models=("mine",)), ["regression"]
    ):
        said = texts(drawing.figure).split("Incomplete: no results of ")[1]
        assert "CochCNN9-Word" in said and "mine" in said
        assert not any(name in said for name in ("VQ-VAE", "MetricGAN", "SpectroTemporal"))
    drawings = consistency_layers.layer_wise(
        paths, FigureOptions(conditions=(True,)), ["regression"]
    )
    assert "Incomplete" in texts(drawings[0].figure)
    best = consistency_layers.best_layers(paths, FigureOptions(conditions=(False,)))
    assert not best and "best layers by regression in both data sets, trained" in " ".join(
        best.notes
    )


def test_layers_on_both_data_sets(paths):
    [drawing] = consistency_layers.layer_wise(
        paths, FigureOptions(conditions=(False,)), ["regression"]
    )
    layers = [(model, layer) for model in FITTED for layer in MODELS[model].layer_names]
    assert sorted(drawing.table.index) == sorted(layers)
    mean = collect_layers(paths, "metricGAN", "B2021", False)[0].mean()
    np.testing.assert_allclose(drawing.table.loc["metricGAN", "B2021"].loc[mean.index], mean)


def test_an_undefined_model_leaves_the_errors_of_the_others_alone(paths, monkeypatch):
    values = np.random.default_rng(0).uniform(0.1, 0.5, (2, 3, 5))
    values[1, 2] = np.nan  # all permuted layers of the third model are undefined
    names = (
        ["trained", "permuted"],
        ["ZeroSpeech2020", "metricGAN", "mine"],
        [f"participant_{p}" for p in range(5)],
    )
    dataset = xr.Dataset(
        {
            "best_layer_rsa_median_across_splits": (("condition", "model", "participant"), values),
            "available": (("condition", "model"), np.ones((2, 3), dtype=bool)),
        },
        dict(zip(("condition", "model", "participant"), names)),
        {"read_from": "nothing"},
    )
    monkeypatch.setattr(layer_scores, "rsa_dataset", lambda paths, target, roi="All": dataset)
    found = layer_scores.model_scores(paths, names[1], "NH2015", True, "RSA")
    assert list(found) == names[1][:2]
    against = consistency.model_wise(
        paths, FigureOptions(own_models=("mine",), targets=("NH2015",)), ["RSA"]
    )[-1]
    assert np.isfinite(against.table[["trained_yerr", "permuted_yerr"]].to_numpy()).all()
    assert "mine" in texts(against.figure).split("Incomplete")[1]


# --- RSA and regression together ----------------------------------------------------------------

SEEDS = ("ResNet50word", "ResNet50wordSeed2")


@pytest.fixture(scope="module")
def with_rsa(tmp_path_factory) -> ProjectPaths:
    """Two networks with regions, two seeds of one of them, and the baseline, by both methods."""
    made = ProjectPaths(tmp_path_factory.mktemp("both"))
    fake_results.write_fake_data(made)
    models = (*SEEDS, "ResNet50music", "spectemp")
    for model in models:
        fake_results.write_fake_model(made, model, ["NH2015", "B2021"], conditions=(False,))
    fake_results.write_fake_rsa(
        made, {model: MODELS[model].layer_names for model in models}, rois=("All", *ROIS)
    )
    return made


TRAINED = FigureOptions(conditions=(False,))


def test_all_variants_of_limits(with_rsa):
    drawings = consistency_layers.layer_wise(
        with_rsa, TRAINED, limits=("paper", "narrow", "automatic")
    )
    by_stem = {drawing.stem: drawing.figure.axes[0] for drawing in drawings}
    assert len(by_stem) == len(drawings) == 2 + 3 + 3 + 3  # regression has no narrow variant
    for stem, ax in by_stem.items():
        name = stem.rsplit("ylim=")[1]
        low, high = {
            "-0.015_1": (-0.015, 1),
            "-0.015_0.8": (-0.015, 0.8),
            "automatic": ax.get_ylim(),
        }[name]
        assert ax.get_ylim() == (low, high)
        assert ax.get_xlim() == (
            (-0.015, 1) if "RSA-vs-regression" in stem and name != "automatic" else ax.get_xlim()
        )
        if name != "automatic":
            assert np.diff(ax.get_yticks()) == pytest.approx(0.2)


def test_rsa_against_regression_by_hand(with_rsa):
    drawing = next(
        one
        for one in consistency_layers.layer_wise(with_rsa, TRAINED)
        if "RSA-vs-regression_B2021" in one.stem
    )
    regression = pd.concat(
        [
            collect_layers(with_rsa, model, "B2021", False)[0]
            for model in ("ResNet50music", "spectemp")
        ],
        axis=1,
    ).to_numpy()
    regression = np.hstack(
        [collect_layers(with_rsa, "ResNet50word", "B2021", False)[0].to_numpy(), regression]
    )
    centred = regression - regression.mean(
        axis=1, keepdims=True
    )  # all layers of the figure are the conditions
    np.testing.assert_allclose(drawing.table["regression"], regression.mean(axis=0))
    np.testing.assert_allclose(drawing.table["regression_yerr"], centred.std(axis=0) / np.sqrt(19))
    expected = pearsonr(drawing.table["regression"], drawing.table["RSA"])
    assert drawing.table["r"].iloc[0] == pytest.approx(expected.statistic)
    assert drawing.table["p"].iloc[0] == pytest.approx(expected.pvalue)
    assert not [
        line for line in drawing.figure.axes[0].get_lines() if line.get_linestyle() == "--"
    ]  # no identity


def test_best_layers_between_methods_and_how_reliable_each_is(with_rsa):
    table = consistency_layers.best_layer_correlations(with_rsa, TRAINED)
    assert len(table) == (2 + 2) * 5  # two data sets, two methods; all regions and each
    positions = {
        target: layer_scores.best_layer_positions(
            with_rsa, ("ResNet50word", "ResNet50music"), target, False
        )
        for target in ("NH2015", "B2021")
    }
    one = positions["B2021"]
    row = table.query(
        "comparison == 'regression-vs-RSA' and target == 'B2021' and roi == 'all'"
    ).iloc[0]
    assert (row["r"], row["n"]) == (
        pytest.approx(np.corrcoef(one["regression"], one["RSA"])[0, 1]),
        8,
    )
    for method in ("regression", "RSA"):
        row = table.query(
            f"comparison == 'NH2015-vs-B2021' and method == '{method}' and roi == 'all'"
        ).iloc[0]
        expected = np.corrcoef(positions["NH2015"][method], positions["B2021"][method])[0, 1]
        assert (
            row["r"] == pytest.approx(expected) and abs(row["r"]) < 0.999999
        )  # not a file against itself


def test_seeds_are_those_of_figure_2_by_both_methods(with_rsa):
    drawings = consistency.seeds(with_rsa, FigureOptions(targets=("NH2015",), conditions=(False,)))
    assert (
        len(drawings) == 4 and not drawings.notes
    )  # both methods, SEED_PAIRS and the pairs with clean twins
    means = collect_scores(with_rsa, SEEDS, "NH2015", False).scores.mean(axis=0)
    regression = next(one for one in drawings if "seed1-vs-seed2" in one.stem)
    np.testing.assert_allclose(regression.table["median_r2_test_c_mean"], means)
    rsa = next(one for one in drawings if one.stem.startswith("FIG2_SeedModels_NH2015_Trained"))
    assert list(rsa.table.index) == ["ResNet50word"] and list(rsa.table["models2"]) == [
        "ResNet50wordSeed2"
    ]
    assert "too few points to correlate" in texts(rsa.figure) and "nan" not in texts(rsa.figure)
    without = consistency.seeds(
        with_rsa, FigureOptions(targets=("NH2015",), conditions=(True,)), ["regression"]
    )
    assert not without and "no model has results of both seeds" in without.notes[0]


@pytest.mark.slow
def test_methods_on_different_data_are_not_drawn_together(with_rsa, tmp_path):
    shutil.copytree(with_rsa.root, tmp_path / "root")
    paths = ProjectPaths(tmp_path / "root")
    layers = {"ResNet50word": MODELS["ResNet50word"].layer_names}
    fake_results.write_fake_rsa(paths, layers, rois=("All", *ROIS), responses=None)
    drawing = next(
        one
        for one in consistency_layers.layer_wise(paths, TRAINED)
        if "RSA-vs-regression" in one.stem
    )
    assert "do not say which data they came from" in texts(drawing.figure)
    fake_results.write_fake_rsa(paths, layers, rois=("All", *ROIS), responses="f" * 64)
    for draw in (consistency_layers.layer_wise, consistency_layers.best_layers):
        drawings = draw(paths, TRAINED)
        assert drawings and not [
            drawing for drawing in drawings if "RSA-vs-regression" in drawing.stem
        ]
        assert len(drawings.errors) == 2  # two data sets
        assert all(
            "different versions of code or data" in error and "rsa_matrix_calculation" in error
            for error in drawings.errors
        )
    with pytest.raises(InputError, match="different versions of code or data"):
        consistency.correlation_tables(paths, TRAINED)
    flags = [
        "--root",
        str(paths.root),
        "--out",
        str(tmp_path / "out"),
        "--condition",
        "trained",
        "--analyses",
        "layers",
        "--formats",
        "svg",
    ]
    assert CONSISTENCY_plot_main.main(flags) == 1
    assert consistency_layers.layer_wise(paths, TRAINED, ["RSA"])  # one method alone is what it is


@pytest.mark.slow
def test_published_rsa_files_stand_in_for_our_own(with_rsa, tmp_path):
    shutil.copytree(with_rsa.root, tmp_path / "root")
    paths = ProjectPaths(tmp_path / "root")
    ours = {
        (target, roi): read_analysis(paths.rsa_results, target, roi)
        for target in ("NH2015", "B2021")
        for roi in ("All", *ROIS)
    }
    expected = [
        drawing.table for drawing in consistency_layers.best_layers(paths, TRAINED, ["RSA"])
    ]
    expected += [
        drawing.table for drawing in consistency_layers.layer_wise(paths, TRAINED, ["RSA"])
    ]
    write_published_rsa(paths.results / "RSA", ours)
    shutil.rmtree(paths.rsa_results)
    drawings = [
        *consistency_layers.best_layers(paths, TRAINED, ["RSA"]),
        *consistency_layers.layer_wise(paths, TRAINED, ["RSA"]),
    ]
    assert len(drawings) == len(expected) == 2
    for drawing, table in zip(drawings, expected):
        pd.testing.assert_frame_equal(drawing.table, table)
    joint = consistency_layers.layer_wise(paths, TRAINED)[-1]
    assert "do not say which data they came from" in texts(joint.figure)


def test_the_script_says_what_it_wrote(with_rsa, tmp_path, capsys):
    flags = [
        "--root",
        str(with_rsa.root),
        "--out",
        str(tmp_path),
        "--condition",
        "trained",
        "--target",
        "NH2015",
        "--formats",
        "svg",
    ]
    assert CONSISTENCY_plot_main.main(flags) == 0
    printed = capsys.readouterr().out
    assert "seeds: 4 drawing(s)" in printed and "best-layer_correlations.csv" in printed
    assert all(re.fullmatch(r"[\w.=-]+", path.name) for path in tmp_path.iterdir())
    p = pd.read_csv(tmp_path / "df_across_models_regr_rsa_p.csv", index_col=0)
    assert (np.diag(p) == 0).all()


def test_rows_with_a_hole_have_no_point():
    table = pd.DataFrame(
        {"x": [0.1, 0.2, 0.3, np.nan], "y": [0.2, 0.3, 0.1, 0.4]}, index=list("abcd")
    )
    drawing = value_scatter(
        table,
        "x",
        "y",
        ["AST", "DS2", "S2T", "VGGish"],
        stem="s",
        labels=("x", "y"),
        title="t",
        limits=Limits(),
        wanted=["AST", "DS2", "S2T", "VGGish"],
    )
    assert "n=3" in texts(drawing.figure) and "Incomplete: no results of VGGish" in texts(
        drawing.figure
    )
    assert (
        value_scatter(
            table[2:],
            "x",
            "y",
            ["S2T", "VGGish"],
            stem="s",
            labels=("x", "y"),
            title="t",
            limits=Limits(),
        )
        is None
    )

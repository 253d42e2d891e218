"""Scatter plots of agreement: the points are the means that the other figures show, and what is missing is said."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import xarray as xr

sys.path.insert(0, str(Path(__file__).parent))
import fake_results

from aud_dnn.aggregate.figure_inputs import collect_layers, collect_scores
from aud_dnn.analyze import consistency, layer_scores
from aud_dnn.analyze.figures import FigureOptions
from aud_dnn.analyze.plotting.scatters import Limits, value_scatter
from aud_dnn.paths import ProjectPaths
from aud_dnn.resources import MODELS

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
            summary = collect_scores(paths, list(drawing.table.index), target, randnetw).summary()
            np.testing.assert_allclose(drawing.table[target], summary["median_r2_test_c_mean"])
            np.testing.assert_allclose(drawing.table[f"{target}_yerr"], summary["median_r2_test_c_yerr"])
    assert set(trained.table.index) == set(FITTED)
    assert set(permuted.table.index) == set(against.table.index) == set(FITTED) - {"spectemp"}    # has no permuted version
    assert trained.table["r"].iloc[0] == pytest.approx(np.corrcoef(trained.table["NH2015"], trained.table["B2021"])[0, 1])
    np.testing.assert_allclose(against.table["trained"], trained.table.loc[against.table.index, "NH2015"])


def test_what_a_figure_of_agreement_lacks_is_written_on_it(paths):
    for drawing in consistency.model_wise(paths, FigureOptions(own_models=("mine",)), ["regression"]):
        said = texts(drawing.figure).split("Incomplete: no results of ")[1]
        assert "CochCNN9-Word" in said and "mine" in said
        assert not any(name in said for name in ("VQ-VAE", "MetricGAN", "SpectroTemporal"))
    drawings = consistency.layer_wise(paths, FigureOptions(conditions=(True,)), ["regression"])
    assert "Incomplete" in texts(drawings[0].figure)
    best = consistency.best_layers(paths, FigureOptions(conditions=(False,)))
    assert not best and "best layers by regression in both data sets, trained" in " ".join(best.notes)


def test_layers_on_both_data_sets(paths):
    [drawing] = consistency.layer_wise(paths, FigureOptions(conditions=(False,)), ["regression"])
    layers = [(model, layer) for model in FITTED for layer in MODELS[model].layer_names]
    assert sorted(drawing.table.index) == sorted(layers)
    mean = collect_layers(paths, "metricGAN", "B2021", False)[0].mean()
    np.testing.assert_allclose(drawing.table.loc["metricGAN", "B2021"].loc[mean.index], mean)


def test_an_undefined_model_leaves_the_errors_of_the_others_alone(paths, monkeypatch):
    values = np.random.default_rng(0).uniform(0.1, 0.5, (2, 3, 5))
    values[1, 2] = np.nan       # all permuted layers of the third model are undefined
    names = ["trained", "permuted"], ["ZeroSpeech2020", "metricGAN", "mine"], [f"participant_{p}" for p in range(5)]
    dataset = xr.Dataset({"best_layer_rsa_median_across_splits": (("condition", "model", "participant"), values),
                          "available": (("condition", "model"), np.ones((2, 3), dtype=bool))},
                         dict(zip(("condition", "model", "participant"), names)))
    monkeypatch.setattr(layer_scores, "_rsa", lambda paths, target, roi="All": dataset)
    found = layer_scores.model_scores(paths, names[1], "NH2015", True, "RSA")
    assert list(found) == names[1][:2]
    against = consistency.model_wise(paths, FigureOptions(own_models=("mine",), targets=("NH2015",)), ["RSA"])[-1]
    assert np.isfinite(against.table[["trained_yerr", "permuted_yerr"]].to_numpy()).all()
    assert "mine" in texts(against.figure).split("Incomplete")[1]


def test_rows_with_a_hole_have_no_point():
    table = pd.DataFrame({"x": [0.1, 0.2, 0.3, np.nan], "y": [0.2, 0.3, 0.1, 0.4]}, index=list("abcd"))
    drawing = value_scatter(table, "x", "y", ["AST", "DS2", "S2T", "VGGish"], stem="s", labels=("x", "y"), title="t",
                            limits=Limits(), wanted=["AST", "DS2", "S2T", "VGGish"])
    assert "n=3" in texts(drawing.figure) and "Incomplete: no results of VGGish" in texts(drawing.figure)
    assert value_scatter(table[2:], "x", "y", ["S2T", "VGGish"], stem="s", labels=("x", "y"), title="t",
                         limits=Limits()) is None

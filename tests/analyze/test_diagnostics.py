"""Reports on the fits: every number against a slow plain count, what is drawn, and alphas from
logs.
"""

from __future__ import annotations

import fake_results
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aud_dnn.analyze import AUD_plot_main, diagnostics_report
from aud_dnn.analyze.figure_options import FigureOptions
from aud_dnn.errors import InputError
from aud_dnn.methods.ridge.scores import LayerScores
from aud_dnn.models.registry import MODELS
from aud_dnn.paths import ProjectPaths
from aud_dnn.splits import published_splits
from aud_dnn.store.regression_names import result_folder
from aud_dnn.store.regression_writing import write_result
from aud_dnn.tables import alpha_logs, fit_diagnostics

TRAINED = FigureOptions(targets=("NH2015",), conditions=(False,))
LAYERS = MODELS["metricGAN"].layer_names


def random_scores(n_voxels: int, seed: int) -> LayerScores:
    """Fits of every kind: constant, alphas at both ends, negative r, corrected values above 1."""
    rng = np.random.default_rng(seed)
    shape = (n_voxels, 10)
    scores = LayerScores.empty(*shape)
    scores.warning_constant_mean[:] = rng.random(shape) < 0.1
    scores.warning_constant_mean[0] = 1  # one voxel without a single good fit
    scores.warning_constant_splits[:] = rng.integers(0, 4, shape)
    scores.warning_alphas[:] = rng.choice([0, 0, 0, 0, 1, 2], shape) * (
        rng.random((n_voxels, 1)) < 0.5
    )
    scores.alphas[:] = 10.0 ** rng.integers(-50, 50, shape)
    scores.r_prior_zero[:] = np.where(
        scores.warning_constant_mean, np.nan, rng.normal(0.3, 0.4, shape).clip(-1, 1)
    )
    scores.r_test[:] = np.nan_to_num(scores.r_prior_zero).clip(0)
    scores.r2_test[:] = scores.r_test**2
    scores.r2_test_c[:] = scores.r2_test * rng.uniform(1, 8, (n_voxels, 1))
    scores.r2_train[:] = rng.random(shape)
    for name in (
        "y_pred_test_std_mean",
        "y_pred_train_std_mean",
        "y_test_std_mean",
        "y_train_std_mean",
    ):
        getattr(scores, name)[:] = rng.gamma(2, 1, shape)
    return scores


def write_layers(
    paths: ProjectPaths,
    target_name: str,
    layers: tuple[str, ...] = LAYERS,
    model: str = "metricGAN",
    **change: np.ndarray,
) -> dict[str, LayerScores]:
    target = fake_results.fake_target(target_name)
    written = {}
    for place, layer in enumerate(layers):
        scores = random_scores(len(target.ids), place)
        for name, values in change.items():
            getattr(scores, name)[:] = values
        folder = result_folder(paths, model, layer, target_name, False)
        folder.mkdir(parents=True)
        write_result(
            folder,
            scores,
            None,
            target,
            published_splits(),
            model=model,
            layer=layer,
            randnetw=False,
            provenance={
                "numerics": 1,
                "responses": {"sha256": "0" * 64},
                "arguments": {"alphalimit": 50},
            },
        )
        written[layer] = scores
    return written


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[ProjectPaths, dict[str, LayerScores], list, object]:
    """Four layers on voxels and components, their pages and the report."""
    paths = ProjectPaths(tmp_path_factory.mktemp("fits"))
    scores = write_layers(paths, "NH2015")
    write_layers(paths, "NH2015comp")
    pages: list = []
    report = diagnostics_report.diagnostics(
        paths,
        TRAINED,
        each_layer=pages.append,
        statistics=["neg_r_test_PERC", "median_r2_test_c_unaffected"],
    )
    return paths, scores, pages, report


def median(values: list[float]) -> float:
    values = sorted(values)
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


def counted(scores: LayerScores) -> dict[str, float]:
    """One voxel, one split at a time."""
    n_voxels, n_splits = scores.r2_test.shape
    found = dict.fromkeys(
        (
            "constant",
            "single",
            "upper",
            "lower",
            "negative",
            "above",
            "medians_above",
            "nan",
            "negative_constant",
        ),
        0,
    )
    largest, affected, unaffected, train = 0.0, [], [], []
    for v in range(n_voxels):
        at_edge, corrected, good = False, [], []
        for s in range(n_splits):
            found["constant"] += int(scores.warning_constant_mean[v, s])
            found["single"] += int(scores.warning_constant_splits[v, s])
            found["upper"] += scores.warning_alphas[v, s] == 1
            found["lower"] += scores.warning_alphas[v, s] == 2
            at_edge = at_edge or scores.warning_alphas[v, s] != 0
            r = float(scores.r_prior_zero[v, s])
            found["nan"] += r != r
            found["negative"] += r < 0
            found["negative_constant"] += r < 0 and scores.warning_constant_mean[v, s]
            value = float(scores.r2_test_c[v, s])
            corrected.append(value)
            if value > 1:
                found["above"] += 1
                largest = max(largest, value)
            if not scores.warning_constant_mean[v, s]:
                good.append(float(scores.r2_train[v, s]))
        found["medians_above"] += median(corrected) > 1
        (affected if at_edge else unaffected).append(median(corrected))
        if good:
            train.append(median(good))
    fits = n_voxels * n_splits
    return {
        "warning_constant_mean_COUNT": found["constant"],
        "warning_constant_mean_PERC": 100 * found["constant"] / fits,
        "warning_constant_splits_COUNT": found["single"],
        "warning_constant_splits_PERC": 100 * found["single"] / fits / 3,
        "warning_alphas_upper_COUNT": found["upper"],
        "warning_alphas_lower_COUNT": found["lower"],
        "warning_alphas_lower_PERC": 100 * found["lower"] / fits,
        "nan_r_prior_zero_COUNT": found["nan"],
        "neg_r_test_COUNT": found["negative"],
        "neg_r_test_and_constant_COUNT": found["negative_constant"],
        "exceed1_r2_test_c_PERC": 100 * found["above"] / fits,
        "exceed1_r2_test_c_MAX": largest,
        "exceed1_median_r2_test_c_COUNT": found["medians_above"],
        "exceed1_median_r2_test_c_PERC": 100 * found["medians_above"] / n_voxels,
        "r2_train_no_constant_warning_mean_MEDIAN": sum(train) / len(train),
        "total": found["upper"] + found["lower"],
        "upper": found["upper"],
        "lower": found["lower"],
        "perc": 100 * (found["upper"] + found["lower"]) / fits,
        "n_voxels_affected": len(affected),
        "median_r2_test_c_affected": median(affected),
        "median_r2_test_c_unaffected": median(unaffected),
    }


def test_fit_statistics_by_hand():
    zero = np.zeros((2, 3))
    scores = {
        "r_prior_zero": np.array([[0.5, -0.2, np.nan], [0.1, 0.2, 0.3]]),
        "r2_test": zero + 0.2,
        "r2_train": zero + 0.4,
        "r2_test_c": np.array([[1.5, 0.5, 0.2], [0.1, 1.1, 0.3]]),
        "alphas": zero + 10,
        "warning_constant_mean": np.array([[0, 0, 1], [0, 0, 0]]),
        "warning_constant_splits": zero + 1,
        "warning_alphas": np.array([[1, 2, 2], [0, 0, 0]]),
    }
    before = {name: values.copy() for name, values in scores.items()}
    rows = fit_diagnostics.fit_statistics(scores)
    assert (
        rows["warning_alphas_lower_COUNT"] == 2 and rows["warning_alphas_upper_PERC"] == 16.6667
    )  # counted, not summed
    assert rows["warning_constant_splits_PERC"] == 33.3333 and rows["exceed1_r2_test_c_MAX"] == 1.5
    assert rows["nan_r_prior_zero_and_constant_COUNT"] == 1 and rows["neg_r_test_MEAN"] == -0.2
    # medians of the splits without a constant prediction: (1.5 + 0.5) / 2 and 0.3
    assert rows["r2_test_c_no_constant_warning_mean_MEDIAN"] == pytest.approx((1.0 + 0.3) / 2)
    assert all(np.array_equal(scores[name], before[name], equal_nan=True) for name in scores)
    alphas = fit_diagnostics.alpha_statistics(scores, "r2_test_c")
    assert (
        alphas["total"],
        alphas["n_voxels_affected"],
        alphas["median_r2_test_c_unaffected"],
    ) == (3, 1, 0.3)
    overlap = fit_diagnostics.functional_overlap(
        {"pitch": np.array([1, 1, 0]), "music": np.array([0, 1, 0])}
    )
    assert overlap == {"pitch": 2, "music": 1, "pitch & music": 1, "any": 2}


def test_the_numbers_of_every_layer_are_those_counted_one_by_one(made):
    paths, scores, _, report = made
    table = next(
        drawing for drawing in report if drawing.stem == "diagnostics_metricGAN_NH2015"
    ).table
    assert tuple(table.index) == LAYERS
    folder = paths.results / "metricGAN" / "outputs"
    alphas = pd.read_csv(folder / "across-layers_alpha_warnings_NH2015.csv", index_col=0)
    by_alpha = pd.read_csv(folder / "across-layers_stats_alpha_NH2015.csv", index_col=0)
    assert alphas["source"].unique().tolist() == ["warning_alphas"]
    for layer in LAYERS:
        expected = counted(scores[layer])
        assert (
            expected["exceed1_median_r2_test_c_COUNT"] > 0 and expected["n_voxels_affected"] > 0
        )  # a real case
        for name, value in expected.items():
            assert table.loc[layer, name] == pytest.approx(value, abs=5.1e-5), (
                name
            )  # percentages have four decimals
        written = pd.read_csv(folder / f"stats_{layer}_NH2015.csv", index_col="name")["value"]
        for name in written.index.intersection(list(expected)):
            assert written[name] == pytest.approx(expected[name], abs=5.1e-5), name
        for name in ("total", "upper", "lower"):
            assert alphas.loc[layer, name] == expected[name]
        assert by_alpha.loc[layer, "median_r2_test_c_affected"] == pytest.approx(
            expected["median_r2_test_c_affected"]
        )


def test_the_overview_draws_them(made):
    _, scores, _, report = made
    figure = next(
        drawing for drawing in report if drawing.stem == "diagnostics_metricGAN_NH2015"
    ).figure
    axes = {ax.get_title(): ax for ax in figure.axes}
    expected = [counted(scores[layer]) for layer in LAYERS]
    for title, label, name in (
        ("Alpha at the edge (number)", "largest", "upper"),
        ("Alpha at the edge (number)", "smallest", "lower"),
        ("Alpha at the edge (% of voxels × splits)", "both ends", "perc"),
        ("Median score by alpha", "in none", "median_r2_test_c_unaffected"),
        ("Voxels with median corrected $R^2$ above 1", "number", "exceed1_median_r2_test_c_COUNT"),
    ):
        line = next(line for line in axes[title].get_lines() if line.get_label() == label)
        assert line.get_ydata() == pytest.approx([row[name] for row in expected], abs=5.1e-5)
    low, high = axes["Voxels with median corrected $R^2$ above 1 (%)"].get_ylim()
    assert high >= 50 and -2 < low <= 0


def test_a_page_shows_medians_and_counts_of_every_voxel(made):
    _, scores, pages, _ = made
    page = next(page for page in pages if page.stem == f"diagnostics_metricGAN_{LAYERS[2]}_NH2015")
    own = scores[LAYERS[2]]
    titles = {ax.get_title(): ax for ax in page.figure.axes}
    labels = {
        ax.get_xlabel() if "std" in ax.get_xlabel() else ax.get_ylabel(): ax
        for ax in page.figure.axes
    }
    for title, half in (("Test sounds", "test"), ("Training sounds", "train")):
        for color, name in (("blue", f"y_{half}_std_mean"), ("red", f"y_pred_{half}_std_mean")):
            expected = [median(list(row)) for row in getattr(own, name)]
            line = next(line for line in titles[title].get_lines() if line.get_color() == color)
            assert line.get_ydata() == pytest.approx(expected)
            assert page.table[f"median_{name}"].tolist() == pytest.approx(expected)
            polygon = next(
                patch
                for patch in labels[f"Median std of responses, {title.lower()}"].patches
                if patch.get_facecolor()[:3] == ((0, 0, 1) if color == "blue" else (1, 0, 0))
            )
            both = [
                *page.table[f"median_y_{half}_std_mean"],
                *page.table[f"median_y_pred_{half}_std_mean"],
            ]
            edges = [min(both) + (max(both) - min(both)) * place / 500 for place in range(501)]
            counts = [0] * 500
            for value in expected:
                counts[min(sum(edge <= value for edge in edges) - 1, 499)] += 1
            # rounding may put a value on an edge into either bin
            assert np.abs(np.subtract(polygon_counts(*polygon.get_xy().T), counts)).sum() <= 2
    for label, values in (
        ("Median alpha", [median(list(row)) for row in own.alphas]),
        ("Constant predictions (of 10)", [sum(row) for row in own.warning_constant_mean]),
        ("Single repetitions (of 30)", [sum(row) for row in own.warning_constant_splits]),
    ):
        points = labels[label].collections[0].get_offsets()
        assert points[:, 1].tolist() == pytest.approx(values) and set(points[:, 0]) == {0.5}


def polygon_counts(x: np.ndarray, y: np.ndarray) -> list[float]:
    """Heights of the bins of a stepped outline; its upper side runs to the right in level steps."""
    return [y[i] for i in range(len(x) - 1) if x[i + 1] > x[i] and y[i] == y[i + 1]]


def test_components_have_no_reliability_and_no_corrected_scores(made):
    _, _, pages, report = made
    page = next(page for page in pages if page.stem.endswith("_NH2015comp"))
    assert len(page.figure.axes) == 4 and len(page.table) == 6
    overview = next(
        drawing for drawing in report if drawing.stem == "diagnostics_metricGAN_NH2015comp"
    )
    assert not [column for column in overview.table if "r2_test_c_" in column]
    assert "median_r2_test_affected" in overview.table


def test_any_statistic_across_layers(made):
    _, scores, _, report = made
    for name in ("neg_r_test_PERC", "median_r2_test_c_unaffected"):
        drawing = next(
            drawing
            for drawing in report
            if drawing.stem == f"across-layers_{name}_metricGAN_NH2015"
        )
        expected = [
            100 * (scores[layer].r_prior_zero < 0).mean()
            if name.startswith("neg")
            else counted(scores[layer])[name]
            for layer in LAYERS
        ]
        assert drawing.table["trained"].tolist() == pytest.approx(expected, abs=5.1e-5)
        assert (
            drawing.figure.axes[0].get_lines()[0].get_ydata().tolist()
            == drawing.table["trained"].tolist()
        )
    with pytest.raises(
        InputError, match=r"Unknown statistic: 'neg_r_test'\. Did you mean neg_r_test_"
    ):
        diagnostics_report.diagnostics(made[0], TRAINED, statistics=["neg_r_test"])
    assert set(fit_diagnostics.known_statistics()) >= set(report[0].table.columns)


def test_pages_only_of_the_models_asked_for(made):
    pages: list = []
    diagnostics_report.diagnostics(made[0], TRAINED, each_layer=pages.append, page_models=["AST"])
    assert not pages
    with pytest.raises(InputError, match=r"Unknown model: 'metricgan'\. Did you mean metricGAN"):
        diagnostics_report.diagnostics(
            made[0], TRAINED, each_layer=pages.append, page_models=["metricgan"]
        )


@pytest.mark.slow
def test_nan_where_none_may_be_is_an_error_and_costs_only_its_model(tmp_path):
    paths = ProjectPaths(tmp_path)
    write_layers(paths, "NH2015", r2_train=np.where(np.arange(10) == 3, np.nan, 0.5))
    write_layers(paths, "NH2015", MODELS["DCASE2020"].layer_names, "DCASE2020")
    report = diagnostics_report.diagnostics(paths, TRAINED)
    (error,) = report.errors
    assert "LSTM_1-cell" in error and "r2_train holds NaN for 120 voxel" in error
    assert [drawing.stem for drawing in report] == ["diagnostics_DCASE2020_NH2015"]


@pytest.mark.slow
def test_the_script_saves_pages_and_overviews(made, tmp_path, capsys):
    arguments = [
        "--root",
        str(made[0].root),
        "--figures",
        "diagnostics",
        "--target",
        "NH2015",
        "--condition",
        "trained",
        "--out",
        str(tmp_path),
        "--formats",
        "png",
    ]
    assert (
        AUD_plot_main.main([*arguments, "--layer_pages", "metricGAN", "--layer_statistic", "perc"])
        == 0
    )
    names = {path.name for path in (tmp_path / "PLOTS_across-models").iterdir()}
    for stem in (
        *(f"diagnostics_metricGAN_{layer}_NH2015" for layer in LAYERS),
        "diagnostics_metricGAN_NH2015comp",
        "across-layers_perc_metricGAN_NH2015",
    ):
        assert {f"{stem}.png", f"{stem}.csv"} <= names
    assert f"{len(names)} files" in capsys.readouterr().out
    assert (made[0].results / "metricGAN" / "outputs" / f"stats_{LAYERS[0]}_NH2015.csv").is_file()


# --- logs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "alpha", "voxel"),
    [
        ("WARNING: BEST ALPHA 1e+49 for voxel 17", 1e49, 17),
        ("WARNING: BEST ALPHA FOR VOXEL 17 IS 1E-50", 1e-50, 17),
        (f"WARNING: BEST ALPHA: 1{'0' * 49}, vox_idx=3", 1e49, 3),
        ("WARNING: BEST alpha is largest (1e+49), 26791", 1e49, 26791),
        ("WARNING: BEST ALPHA 1e-50 (limit 50) voxel id: 4\n", 1e-50, 4),
    ],
)
def test_lines_of_the_log(line, alpha, voxel):
    log = alpha_logs.parse_alpha_log(
        ["something else", line, " WARNING: BEST ALPHA 1e49 for voxel 1"]
    )
    assert log.alphas.tolist() == [alpha] and log.voxels.tolist() == [voxel] and log.n_unread == 0


@pytest.mark.parametrize(
    "line",
    [
        "WARNING: BEST",
        "WARNING: BEST ALPHA for voxel 3",
        "WARNING: BEST ALPHA 0 for voxel 3",
        f"WARNING: BEST ALPHA {'9' * 400} for voxel 3",
        "WARNING: BEST ALPHA 1e49 voxel 1.5",
        "WARNING: BEST ALPHA 1e49 for voxel 1e999",
    ],
)
def test_lines_that_are_not_understood_are_counted(line):
    log = alpha_logs.parse_alpha_log([line])
    assert len(log.alphas) == 0 and log.n_unread == 1


@given(st.lists(st.tuples(st.integers(-50, 49), st.integers(0, 30_000)), max_size=30), st.text())
def test_counts_from_logs(entries, noise):
    lines = [
        f"WARNING: BEST ALPHA {10.0**exponent:g} IN VOXEL {voxel}" for exponent, voxel in entries
    ]
    row = alpha_logs.log_alpha_statistics(
        alpha_logs.parse_alpha_log([f"_{noise}", *lines]), 50, 1000
    )
    assert row["total"] == len(entries) and row["perc"] == pytest.approx(len(entries) / 10)
    assert row["upper"] == sum(exponent == 49 for exponent, _ in entries)
    assert row["lower"] == sum(exponent == -50 for exponent, _ in entries)
    assert row["n_voxels_affected"] == len({voxel for _, voxel in entries})


@given(st.text())
def test_nothing_in_a_log_makes_it_fail(text):
    log = alpha_logs.parse_alpha_log([f"WARNING: BEST{text}"])
    assert len(log.alphas) + log.n_unread == 1 and np.isfinite(log.alphas).all()


def test_logs_without_scores_give_the_alpha_report_and_say_so(tmp_path):
    paths = ProjectPaths(tmp_path)
    for layer, lines in (
        ("LSTM_1-cell", ["1e+49 for voxel 2", "1e-50 for voxel 2"]),
        ("Linear_2", ["1e+49 for voxel 0"]),
    ):
        folder = result_folder(paths, "metricGAN", layer, "NH2015", False)
        folder.mkdir(parents=True)
        for number, line in enumerate(lines):  # one log each: all of them count
            (folder / f"out-{number}.log").write_text(f"INFO\nWARNING: BEST ALPHA {line}\n")
    (overview,) = diagnostics_report.diagnostics(paths, TRAINED)
    table = pd.read_csv(
        paths.results / "metricGAN" / "outputs" / "across-layers_alpha_warnings_NH2015.csv",
        index_col=0,
    )
    assert table["total"].to_dict() == {"LSTM_1-cell": 2, "Linear_2": 1} and set(
        table["source"]
    ) == {"log"}
    assert table["upper"].tolist() == [1, 1] and table["lower"].tolist() == [1, 0]
    texts = "\n".join(text.get_text() for text in overview.figure.texts)
    assert (
        "From the logs only" in texts
        and "no log of LSTM_2-cell, Linear_1" in texts
        and "No percentages" in texts
    )


def test_scores_win_over_logs_and_a_difference_is_told(tmp_path):
    paths = ProjectPaths(tmp_path)
    scores = write_layers(paths, "NH2015")
    true = int((scores[LAYERS[1]].warning_alphas > 0).sum())
    log = result_folder(paths, "metricGAN", LAYERS[1], "NH2015", False) / "out-1.log"
    log.write_text("WARNING: BEST ALPHA 1e+49 for voxel 2\nWARNING: BEST ALPHA ?\n")
    report = diagnostics_report.diagnostics(paths, TRAINED)
    table = pd.read_csv(
        paths.results / "metricGAN" / "outputs" / "across-layers_alpha_warnings_NH2015.csv",
        index_col=0,
    )
    assert table.loc[LAYERS[1], "total"] == true and table.loc[LAYERS[1], "log_total"] == 1
    assert table["source"].unique().tolist() == ["warning_alphas"] and np.isnan(
        table.loc[LAYERS[0], "log_total"]
    )
    (note,) = [note for note in report.notes if "by warning_alphas" in note]
    assert f"{true} alphas" in note and "1 by the log, 1 line(s) not understood" in note

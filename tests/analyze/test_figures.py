"""Figures: what is drawn is what the tables say, whole files, editable text, and a word on
everything left out.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import fake_results
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import scipy.stats

from aud_dnn import effect_sizes, stats
from aud_dnn.analyze import (
    AUD_plot_main,
    CONSISTENCY_plot_main,
    DIM_plot_main,
    figure_statistics,
    figures,
    supplement,
)
from aud_dnn.analyze import figure_options as figure_options_module
from aud_dnn.analyze import figure_statistics as figure_statistics_module
from aud_dnn.analyze.figure_options import FigureOptions
from aud_dnn.analyze.plotting import bars, responses, scatters, style
from aud_dnn.analyze.plotting import drawings as drawings_module
from aud_dnn.errors import InputError
from aud_dnn.models.figure_sets import (
    FIGURE_2_MODELS,
    FIGURE_7_MODELS,
    FIGURE_8_MODELS,
    PERFORMANCE_ORDER,
)
from aud_dnn.models.registry import MODELS
from aud_dnn.paths import ProjectPaths
from aud_dnn.running import run_script, with_root
from aud_dnn.store.regression_names import result_folder
from aud_dnn.store.regression_writing import write_provenance
from aud_dnn.tables import across_models
from aud_dnn.tables.figure_inputs import collect_components, collect_regions, collect_scores
from aud_dnn.tables.model_files import read_participant_frame, read_table, region_path
from aud_dnn.tables.model_tables import has_every_hemisphere

TRAINED = FigureOptions(targets=("NH2015",), conditions=(False,))
FITTED = ("ZeroSpeech2020", "DCASE2020", "metricGAN", "spectemp")


@pytest.fixture(scope="module")
def paths(tmp_path_factory) -> ProjectPaths:
    """Three small models and the baseline on NH2015 and the components, and a model of the user's
    own.
    """
    made = ProjectPaths(tmp_path_factory.mktemp("fake"))
    fake_results.write_fake_data(made)
    for model in FITTED:
        fake_results.write_fake_model(made, model, ["NH2015", "NH2015comp"])
    fake_results.write_fake_model(
        made, "mine", ["NH2015", "NH2015comp"], conditions=(False,), layers=("conv1", "conv2")
    )
    return made


@pytest.fixture(autouse=True)
def own_layer_order(monkeypatch):
    """The user's model has no activation files here."""
    from aud_dnn.tables import model_results

    monkeypatch.setattr(
        model_results, "_own_layer_order", lambda paths, model, randnetw, found: sorted(found)
    )


def bar_heights(ax) -> list[float]:
    return [
        patch.get_height()
        for container in ax.containers
        if isinstance(container, mpl.container.BarContainer)
        for patch in container
    ]


def texts(figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(mpl.text.Text))


# --- Figure 2 -----------------------------------------------------------------------------------


def test_bars_are_the_means_in_descending_order_with_the_baseline_behind(paths):
    data = collect_scores(paths, FITTED, "NH2015", False)
    drawing = bars.model_bars(data)
    ax = drawing.figure.axes[0]
    means = data.scores.drop(columns="spectemp").mean(axis=0)
    assert bar_heights(ax) == pytest.approx(sorted(means, reverse=True))
    labels = [label.get_text() for label in ax.get_xticklabels()]
    assert labels == [
        style.display_name(model) for model in means.sort_values(ascending=False).index
    ]
    assert ax.get_ylim() == (0, 1) and ax.get_box_aspect() == 0.8
    baseline = next(line for line in ax.get_lines() if line.get_color() == "darkgrey")
    assert baseline.get_ydata() == pytest.approx([data.scores["spectemp"].mean()] * 2)
    assert list(baseline.get_xdata()) == [-0.25, 1.25]
    assert list(drawing.table.index) == sorted(FITTED)  # alphabetical, with the baseline
    np.testing.assert_allclose(
        drawing.table["median_r2_test_c_yerr"],
        stats.within_participant_sem(data.scores[sorted(FITTED)].to_numpy()),
    )
    assert drawing.table["n_models"].unique().tolist() == [4]


def test_participants_are_drawn_and_written_when_asked_for(paths):
    data = collect_scores(paths, FITTED, "NH2015", False)
    drawing = bars.model_bars(data, participants=True)
    points = drawing.figure.axes[0].collections[-1].get_offsets()
    assert len(points) == 8 * 3
    written = drawing.table.filter(like="participant_")
    assert sorted(np.asarray(points)[:, 1]) == pytest.approx(
        sorted(written.drop(index="spectemp").to_numpy().ravel())
    )


def test_figure_2_names_what_it_leaves_out_and_orders_permuted_bars_as_published(paths):
    drawings = figures.figure_2(paths, FigureOptions(own_models=("mine",), targets=("NH2015",)))
    assert len(drawings) == 2
    trained, permuted = (drawing.figure for drawing in drawings)
    assert "Incomplete: no results of CochCNN9-Word" in texts(trained).replace("\n", " ")
    assert "mine" in [label.get_text() for label in trained.axes[0].get_xticklabels()]
    shown = [label.get_text() for label in permuted.axes[0].get_xticklabels()]
    order = [MODELS[model].display_name for model in PERFORMANCE_ORDER["NH2015"] if model in FITTED]
    assert shown == order
    assert any("Seeds not compared" in note for note in drawings.notes)


def test_a_target_without_results_is_a_note_not_an_empty_picture(paths):
    drawings = figures.figure_2(paths, FigureOptions(targets=("B2021",), conditions=(False,)))
    assert not drawings and "Not drawn" in drawings.notes[0]


# --- saving -------------------------------------------------------------------------------------


def test_files_are_whole_editable_and_reproducible(paths, tmp_path):
    drawing = figures.figure_2(paths, TRAINED)[0]
    for folder in ("a", "b"):
        written = drawing.save(tmp_path / folder, ("svg", "png", "pdf"))
        assert {path.suffix for path in written} == {".csv", ".svg", ".png", ".pdf"}
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name
    svg = next((tmp_path / "a").glob("*.svg")).read_text()
    assert ">VQ-VAE</text>" in svg  # text, not outlines
    assert (
        b"/Type42" in next((tmp_path / "a").glob("*.pdf")).read_bytes()
        or b"/CIDFontType2" in next((tmp_path / "a").glob("*.pdf")).read_bytes()
    )
    back = pd.read_csv(next((tmp_path / "a").glob("*.csv")), index_col=0)
    np.testing.assert_allclose(
        back["median_r2_test_c_mean"], drawing.table["median_r2_test_c_mean"], rtol=1e-15
    )


def test_a_failing_save_leaves_the_earlier_file(paths, tmp_path, monkeypatch):
    drawing = figures.figure_2(paths, TRAINED)[0]
    (first,) = drawing.save(tmp_path, ("png",))[1:]
    before = first.read_bytes()

    def fail(target, **_):
        Path(target).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(drawing.figure, "savefig", fail)
    with pytest.raises(OSError, match="disk full"):
        drawing.save(tmp_path, ("png",))
    assert first.read_bytes() == before and not list(tmp_path.glob(".*"))


# --- the other figures --------------------------------------------------------------------------


def test_component_bars_and_their_table(paths):
    data = collect_components(paths, FITTED, False)
    (drawing,) = figures.figure_5(paths, TRAINED)
    assert len(drawing.figure.axes) == 6
    order = [model for model in PERFORMANCE_ORDER["NH2015"] if model in FITTED]
    for ax, component in zip(drawing.figure.axes, data.mean.index):
        assert bar_heights(ax) == pytest.approx(list(data.mean.loc[component, order]))
    assert len(drawing.table) == 4 * 6 and set(drawing.table["source_model"]) == set(FITTED)
    np.testing.assert_allclose(
        drawing.table.query("source_model == 'metricGAN'")["median_r2_test_sem_over_it"],
        data.sem["metricGAN"],
    )


def test_figure_4_shows_sounds_limits_and_two_digits(paths):
    drawings = figures.figure_4(
        paths, FigureOptions(), [("metricGAN", False), ("spectemp", False), ("AST", False)]
    )
    assert len(drawings) == 12 and "AST" in drawings.notes[0]
    drawing = drawings[4]
    ax, table = drawing.figure.axes[0], drawing.table
    assert sum(len(points.get_offsets()) for points in ax.collections) == 165
    low, high = responses.common_limits(table["measured"].to_numpy(), table["predicted"].to_numpy())
    assert ax.get_xlim() == ax.get_ylim() == pytest.approx((low, high))
    value = collect_components(paths, ["metricGAN"], False).mean.loc["speech", "metricGAN"]
    assert f"$R^2$: {value:.2g}" in texts(
        drawing.figure
    ) and 'Component 5: "Speech-selective"' in texts(drawing.figure)
    correlations = figure_statistics.figure_4_statistics(drawings)
    assert len(correlations) == 12 * 18  # 11 categories and 7 broad ones
    row = correlations.query(
        "comp == 'speech' and source_model == 'metricGAN' and category == 'Song'"
    ).iloc[0]
    song = table[table["category"] == "Song"]
    assert row["r"] == pytest.approx(np.corrcoef(song["measured"], song["predicted"])[0, 1])


def test_limits_as_published():
    low, high = responses.common_limits(np.array([0.0, 1.0]), np.array([0.5, 0.7]))
    assert (low, high) == pytest.approx(
        (-0.05, 1 + 0.05 * 1.05)
    )  # the upper margin is reckoned from the widened range


def test_figure_7_points_are_means_and_the_test_is_beside_it(paths):
    models = ["ZeroSpeech2020", "DCASE2020", "metricGAN"]
    drawings = figures.figure_7(paths, TRAINED, models=models)
    assert [drawing.stem.split("general_")[1].split("_NH2015")[0] for drawing in drawings] == [
        "Primary-Anterior",
        "Primary-Lateral",
        "Primary-Posterior",
    ]
    table = drawings[0].table
    markers = [line for line in drawings[0].figure.axes[0].get_lines() if line.get_marker() == "o"]
    assert [line.get_xdata()[0] for line in markers] == pytest.approx(list(table["primary_mean"]))
    assert (
        table["non_primary_mean"] > table["primary_mean"]
    ).all()  # planted: late layers in Anterior
    tests = figure_statistics_module.figure_7_statistics(paths, TRAINED, models=models)
    assert tests["w"].tolist() == [0, 0, 0] and tests["p_exact"].tolist() == [0.25] * 3
    assert tests["p_exact_holm"].tolist() == [0.75] * 3


def test_figure_7_without_primary_cortex_and_for_all_networks(paths):
    drawings = supplement.region_variants(
        paths, TRAINED
    )  # none of the published fifteen has results here
    assert [drawing.stem.split("general_")[1].split("_NH2015")[0] for drawing in drawings] == [
        "Primary-Anterior",
        "Primary-Lateral",
        "Primary-Posterior",
        "Anterior-Lateral",
        "Anterior-Posterior",
        "Lateral-Posterior",
    ]
    assert all(
        drawing.figure.axes[0].get_xlim() == (-0.02, 1.02) for drawing in drawings
    )  # as published for all models
    assert "_3-models_" in drawings[0].stem and "no model of this figure" in drawings.notes[0]
    table = drawings[3].table
    positions = collect_regions(paths, list(table.index), "NH2015", False).positions
    np.testing.assert_allclose(table["primary_mean"], positions["Anterior"].mean())
    np.testing.assert_allclose(table["non_primary_mean"], positions["Lateral"].mean())
    [(stem, tests)] = supplement.supplement_statistics(paths, TRAINED).items()
    assert "all-models" in stem and tests[["primary_roi", "non_primary_roi"]].values.tolist()[
        3
    ] == ["Anterior", "Lateral"]
    assert tests["p_exact_holm"].max() == 1 and len(tests) == 6


def test_all_networks_are_not_drawn_twice_where_they_are_those_of_figure_7(paths):
    own = replace(TRAINED, own_models=("mine",))
    stems = [drawing.stem for drawing in supplement.region_variants(paths, own)]
    assert len(stems) == len(set(stems)) == 9
    only = replace(
        TRAINED, own_models=FITTED[:3]
    )  # the other networks are the user's choice: Figure 7 has them already
    assert len(supplement.region_variants(paths, only)) == 3


def test_published_names_belong_to_the_published_models():
    assert figure_options_module.count_suffix(FIGURE_7_MODELS) == "_good-models"
    assert (
        figure_options_module.count_suffix(
            [model for model in FIGURE_2_MODELS if model != "spectemp"]
        )
        == "_all-models"
    )
    assert figure_options_module.count_suffix([*FIGURE_7_MODELS[1:], "mine"]) == "_15-models"


def test_best_layers_by_hemisphere(paths):
    table, error = read_participant_frame(
        region_path(paths, "metricGAN", "NH2015", False, by_hemisphere=True)
    )
    assert list(table.columns) == [
        f"{roi}_{side}"
        for roi in ("Anterior", "Primary", "Lateral", "Posterior")
        for side in ("rh", "lh")
    ]
    voxels = read_table(region_path(paths, "metricGAN", "NH2015", False, voxels=True), "voxel_id")
    expected = voxels.groupby(["subj_idx", "roi_anat_hemi"])["rel_pos"].median().unstack()
    np.testing.assert_array_equal(table.to_numpy(), expected[table.columns].to_numpy())
    np.testing.assert_allclose(error[table.columns], stats.within_participant_sem(table.to_numpy()))
    stems = [drawing.stem for drawing in supplement.layer_figures(paths, TRAINED)]
    assert region_path(paths, "metricGAN", "NH2015", False, by_hemisphere=True).stem in stems


def test_a_region_in_one_hemisphere_only_gives_no_table_by_hemisphere():
    metadata = fake_results.fake_metadata("NH2015")
    assert has_every_hemisphere(metadata)
    first = metadata["subj_idx"] == 1
    assert not has_every_hemisphere(
        metadata[~(first & (metadata["roi_anat_hemi"] == "Lateral_rh"))]
    )
    unlabelled = metadata.assign(roi_anat_hemi=metadata["roi_anat_hemi"].where(~first))
    assert not has_every_hemisphere(unlabelled)
    assert not has_every_hemisphere(metadata.drop(columns="roi_anat_hemi"))


def test_comparisons_of_participants_and_components(paths):
    data = collect_scores(paths, FITTED, "NH2015", False)
    table = across_models.participant_comparisons(data, ["metricGAN"], [*FITTED, "AST"])
    assert table["model2"].tolist() == [
        "ZeroSpeech2020",
        "DCASE2020",
        "spectemp",
    ]  # no pair with itself, AST is missing
    row = table.iloc[0]
    a, b = data.scores["metricGAN"].to_numpy(), data.scores["ZeroSpeech2020"].to_numpy()
    assert row["p_value"] == stats.bootstrap_published(a, b).p
    assert row["p_paired"] == stats.bootstrap_paired(a, b).p
    np.testing.assert_allclose(
        table["p_paired_holm"], effect_sizes.adjust_p_values(table["p_paired"].to_numpy(), "holm")
    )
    components = collect_components(paths, FITTED, False)
    table = across_models.component_comparisons(
        components, ["metricGAN", "DCASE2020"], ["metricGAN", "DCASE2020"]
    )
    assert len(table) == 12 and table["comp"].tolist()[:2] == [
        "lowfreq",
        "highfreq",
    ]  # components innermost


def test_clean_bars_are_grouped_and_hatched():
    scores = pd.DataFrame(
        np.linspace(0.4, 0.7, 16).reshape(2, 8), columns=FIGURE_8_MODELS, index=["1", "2"]
    )
    data = across_models.AcrossModels("NH2015", False, "median_r2_test_c", scores)
    layout = bars.grouped_layout()
    patches = (
        bars.model_bars(data, FIGURE_8_MODELS, layout=layout).figure.axes[0].containers[-1].patches
    )
    assert [patch.get_x() + patch.get_width() / 2 for patch in patches] == pytest.approx(
        list(bars.GROUPED_CENTERS.values())
    )
    assert [bool(patch.get_hatch()) for patch in patches] == [False, True] * 4


def test_component_pairs_use_the_task_as_shape(paths):
    from aud_dnn.analyze.plotting.scatters import marker_style

    tasks = ("word", "speaker", "music", "audioset", "multitask")
    assert [marker_style(f"Kell2018{task}", "paper").marker for task in tasks] == [
        "s",
        "D",
        "x",
        "+",
        "o",
    ]
    assert not marker_style("Kell2018multitask", "paper").filled
    assert marker_style("Kell2018wordCleanSeed2", "paper") == style.PointStyle(
        "black", "s", filled=False
    )


def test_published_limits_give_way_rather_than_hide_a_point():
    figure = drawings_module.new_figure(4, 4)
    ax = figure.add_subplot()
    ax.scatter([0.1, 0.7], [0.65, 0.7])
    scatters.Limits((0.6, 0.8), (0.6, 0.8)).apply(ax, np.array([0.1, 0.7]), np.array([0.65, 0.7]))
    assert ax.get_xlim()[0] < 0.1 and ax.get_xlim() == ax.get_ylim()
    scatters.Limits((0.6, 0.8), (0.6, 0.8)).apply(ax, np.array([0.61]), np.array([0.7]))
    assert ax.get_xlim() == (0.6, 0.8)


# --- style --------------------------------------------------------------------------------------


def test_own_models_get_a_style_of_their_own():
    styles = style.model_styles(["AST", "mine", "another"])
    assert styles["AST"].color == MODELS["AST"].color
    assert len({entry.color for entry in styles.values()}) == 3
    with pytest.raises(ValueError, match="Unknown palette"):
        style.model_styles(["AST"], "rainbow")


def test_the_safe_palette_tells_models_apart_by_colour_and_shape():
    styles = style.model_styles(
        [model for model in MODELS if not model.endswith("Seed2")], "colorblind"
    )
    assert len(set(styles.values())) == len(styles)
    categories = style.category_styles("colorblind")
    assert len(set(categories.values())) == 11


def test_p_values_are_never_printed_as_zero_by_rounding():
    printed = {
        0.034: "p=0.034",
        0.0004: "p=4.0e-04",
        1e-299: "p=1.0e-299",
        0.0: "p<1e-300",
        float("nan"): "p undefined",
    }
    assert [style.format_p(p) for p in printed] == list(printed.values())
    assert style.format_p(0.0, floor=1e-4) == "p<1e-04"  # none of 10,000 resamples
    same = np.array([0.1, 0.2, 0.4, 0.3])
    assert scatters.correlation_text(same, same) == "$R^2$=1.00, p<1e-300"


def test_notes_break_outside_formulas():
    figure = drawings_module.new_figure(6, 3)
    style.note_below(figure, [f"{'x' * 75} √(participants − 1)."])
    assert figure.texts[0].get_text().split("\n") == ["x" * 75, "√(participants − 1)."]


def test_identity_line_follows_the_limits():
    ax = drawings_module.new_figure(3, 3).add_subplot()
    style.identity_line(ax)
    ax.set(xlim=(0.2, 0.9), ylim=(0.1, 0.6))
    assert list(ax.get_lines()[0].get_xdata()) == [0.2, 0.6]


# --- the script ---------------------------------------------------------------------------------


def test_the_script_draws_tests_and_says_what_is_missing(paths, tmp_path, capsys):
    status = AUD_plot_main.main(
        [
            "--root",
            str(paths.root),
            "--figures",
            "2",
            "surface",
            "--target",
            "NH2015",
            "--condition",
            "trained",
            "--models",
            "mine",
            "--out",
            str(tmp_path),
            "--formats",
            "png",
            "--jobs",
            "1",
            "--palette",
            "colorblind",
        ]
    )
    assert status == 0
    printed = capsys.readouterr().out
    assert "2: 1 drawing(s)" in printed and "Seeds not compared" in printed
    assert list((tmp_path / "PLOTS_across-models").glob("across-models_roi-None_NH2015_CV*.csv"))
    assert list(
        (tmp_path / "PLOTS_SURF_across-models").glob("*PLOTVAL=pos_NH2015_metricGAN_subj-avg.png")
    )


def test_an_unknown_figure_is_refused(paths):
    with pytest.raises(InputError, match="no figure '3'"):
        figures.draw(paths, "3")


# --- published and recommended ------------------------------------------------------------------


def test_recommended_error_bars_are_intervals_over_participants_and_picture_and_table_say_so(paths):
    published, recommended = (
        figures.figure_2(paths, replace(TRAINED, statistics=kind))[0]
        for kind in ("published", "recommended")
    )
    scores = collect_scores(paths, FITTED, "NH2015", False).scores
    row = recommended.table.loc["metricGAN"]
    interval = scipy.stats.ttest_1samp(scores["metricGAN"], 0).confidence_interval(0.95)
    np.testing.assert_allclose(
        [
            row["median_r2_test_c_mean"] - row["median_r2_test_c_yerr"],
            row["median_r2_test_c_mean"] + row["median_r2_test_c_yerr"],
        ],
        interval,
        rtol=1e-12,
    )
    np.testing.assert_allclose(
        published.table["median_r2_test_c_yerr"],
        stats.within_participant_sem(scores[sorted(FITTED)].to_numpy()),
    )
    for drawing, kind, word in (
        (published, "published", "As published"),
        (recommended, "recommended", "95 % intervals"),
    ):
        assert drawing.table["statistics"].unique().tolist() == [kind] and word in texts(
            drawing.figure
        )
    assert (
        recommended.stem.endswith("_recommended") and "within_subject_sem" not in recommended.stem
    )
    assert published.table["median_r2_test_c_mean"].equals(
        recommended.table["median_r2_test_c_mean"]
    )


def test_figure_7_prints_the_test_that_was_asked_for(paths):
    models = ["ZeroSpeech2020", "DCASE2020", "metricGAN"]
    tests = figure_statistics_module.figure_7_statistics(paths, TRAINED, models=models)
    for kind, column in (("published", "p"), ("recommended", "p_exact")):
        drawing = figures.figure_7(paths, replace(TRAINED, statistics=kind), models=models)[0]
        assert f"W=0, {style.format_p(tests[column][0])} (" in texts(drawing.figure)
        assert drawing.table["p"].unique().tolist() == [tests[column][0]]
        assert drawing.table["statistics"].unique().tolist() == [kind]


# --- bars where models are missing --------------------------------------------------------------


def test_pairs_stay_pairs_where_models_are_missing_and_own_models_stand_apart():
    layout = bars.grouped_layout()
    every = [*FIGURE_8_MODELS]
    np.testing.assert_allclose(layout.positions(every), list(bars.GROUPED_CENTERS.values()))
    without_first = layout.positions(
        [*every[1:], "mine"]
    )  # eight again, but not the published eight
    np.testing.assert_allclose(np.diff(without_first), [0.7, 0.35, 0.7, 0.35, 0.7, 0.35, 0.7])
    np.testing.assert_allclose(
        np.diff(layout.positions([every[0], every[3], "a", "b"])), [0.7, 0.7, 0.5]
    )
    gapped = bars.gapped_layout()
    models = list(bars.GAPPED_CENTERS)
    np.testing.assert_allclose(
        gapped.positions(models), [0, 0.4, 1.0, 1.4, 2.0, 2.4, 3.0, 3.4, 4.5, 4.9]
    )
    np.testing.assert_allclose(gapped.ends(models), (-0.2, 5.1))


def test_names_beside_points_do_not_overlap():
    rng = np.random.default_rng(0)
    frames = {
        roi: pd.DataFrame(0.5 + 0.05 * rng.random((8, 15)), columns=FIGURE_7_MODELS)
        for roi in ("Primary", "Anterior")
    }
    data = across_models.RegionPositions("NH2015", False, "median_r2_test_c", frames)
    figure = scatters.region_scatter(data, "Primary", "Anterior", annotate=True).figure
    figure.draw_without_rendering()
    boxes = [
        mpl.text.Text.get_window_extent(text) for text in figure.axes[0].texts
    ]  # without the line to the point
    assert len(boxes) == 15
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[i + 1 :])


# --- file names ---------------------------------------------------------------------------------


def test_file_names_have_no_blanks_brackets_or_quotes(paths, tmp_path):
    assert (
        drawings_module.file_stem("FIG2_19Models_NH2015_Trained: Human-Model RSA")
        == "FIG2_19Models_NH2015_Trained_Human-ModelRSA"
    )
    drawing = replace(
        figures.figure_2(paths, TRAINED)[0], stem="NH2015/my model (v2)_['Primary']_ylim-(0, 1)"
    )
    for path in drawing.save(tmp_path, ("png",)):
        assert path.parent == tmp_path / "NH2015" and not set(path.name) & set(" ()[]'\"{},:")


# --- bad results cost their own pictures --------------------------------------------------------


@pytest.fixture
def broken(paths, tmp_path) -> ProjectPaths:
    """A copy that a test may damage."""
    shutil.copytree(paths.root, tmp_path / "root")
    return ProjectPaths(tmp_path / "root")


def _lose_a_layer(paths):
    shutil.rmtree(result_folder(paths, "metricGAN", "Linear_1", "NH2015", False))
    return "1 of 4 layers have no result: Linear_1"


def _other_grid(paths):
    for layer in MODELS["metricGAN"].layer_names:
        folder = result_folder(paths, "metricGAN", layer, "NH2015", False)
        folder.rename(result_folder(paths, "metricGAN", layer, "NH2015", False, 20))
    return "ALPHALIMIT-20"


def _other_versions(paths):
    for layer in MODELS["metricGAN"].layer_names:
        path = result_folder(paths, "metricGAN", layer, "NH2015", False) / "provenance.json"
        path.write_text(re.sub(r'"numerics": \d+', '"numerics": 99', path.read_text()))
    shutil.rmtree(paths.results / "metricGAN" / "outputs", ignore_errors=True)
    return "different versions of code or data"


def _other_participants(paths):
    target = fake_results.fake_target("NH2015")
    others = replace(
        target, metadata=target.metadata.assign(subj_idx=target.metadata["subj_idx"] + 1)
    )
    for place, layer in enumerate(MODELS["metricGAN"].layer_names):
        shutil.rmtree(result_folder(paths, "metricGAN", layer, "NH2015", False))
        values = fake_results.fake_scores("metricGAN", others, place, 4, randnetw=False)
        fake_results.write_fake_layer(paths, "metricGAN", layer, values, others, randnetw=False)
    # not the others
    return r"metricGAN and \w+ have different participants \(1, 9\).*--source_model metricGAN"


def _not_a_number(paths):
    target = fake_results.fake_target("NH2015")
    values = fake_results.fake_scores("metricGAN", target, 0, 4, randnetw=False)
    values[3, 2] = np.nan
    shutil.rmtree(result_folder(paths, "metricGAN", "Linear_1", "NH2015", False))
    fake_results.write_fake_layer(paths, "metricGAN", "Linear_1", values, target, randnetw=False)
    return "NaN or inf for 1 voxel"


def test_nan_in_the_summaries_alone_is_counted(broken):
    table = result_folder(broken, "metricGAN", "Linear_1", "NH2015", False) / "df_output.parquet"
    values = pd.read_parquet(table)
    values.loc[values.index[3], "median_r2_test_c"] = np.nan
    values.to_parquet(table)
    write_provenance(
        table.parent, json.loads((table.parent / "provenance.json").read_text())
    )  # written so
    assert (
        "median_r2_test_c holds NaN or inf for 1 voxel"
        in figures.figure_2(broken, TRAINED).errors[0]
    )


def test_a_folder_that_cannot_be_written_is_said_in_one_line(paths, tmp_path, capsys):
    (tmp_path / "taken").write_text("a file, not a folder")
    flags = [
        "--root",
        str(paths.root),
        "--figures",
        "5",
        "--out",
        str(tmp_path / "taken"),
        "--jobs",
        "1",
    ]
    with pytest.raises(SystemExit) as end:
        run_script(lambda _: AUD_plot_main.main(flags))
    said = capsys.readouterr().err
    assert end.value.code == 2 and said.count("\n") == 1
    assert re.fullmatch(
        f"error: {re.escape(str(tmp_path / 'taken'))}\\S*( cannot be written)?: Not a directory. A "
        "file stands where a folder is needed.*\\n",
        said,
    )


@pytest.mark.parametrize("script", [AUD_plot_main, CONSISTENCY_plot_main, DIM_plot_main])
def test_a_mistyped_model_and_a_root_without_results_are_refused_at_once(paths, tmp_path, script):
    with pytest.raises(InputError, match=r"Unknown model: 'mien'\. Did you mean mine"):
        script.main(["--root", str(paths.root), "--models", "mien", "--out", str(tmp_path / "out")])
    with pytest.raises(InputError, match=r"no results in .*AUD_main\.py --source_model"):
        script.main(["--root", str(tmp_path)])
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_bad_model_costs_only_the_pictures_it_is_in(broken, tmp_path, capsys):
    expected = _lose_a_layer(broken)
    status = AUD_plot_main.main(
        [
            "--root",
            str(broken.root),
            "--figures",
            "2",
            "5",
            "7",
            "9",
            "--target",
            "NH2015",
            "--models",
            *FITTED[:3],
            "--out",
            str(tmp_path / "out"),
            "--formats",
            "png",
            "--jobs",
            "1",
        ]
    )
    printed = capsys.readouterr()
    drawn = {path.name for path in (tmp_path / "out" / "PLOTS_across-models").glob("*.png")}
    assert status == 1
    errors = [line for line in printed.err.splitlines() if line.startswith("error: ")]
    assert errors and re.search(expected, printed.err)
    assert f"python aud_dnn/AUD_main.py --root {broken.root} --source_model" in printed.err
    assert "--target NH2015" in printed.err
    assert not any(
        name.startswith("across-models_roi-None_NH2015_CV") for name in drawn
    )  # Figure 2, trained
    assert not any("_NH2015_rel_pos" in name for name in drawn)  # Figure 7, trained
    assert any(name.startswith("across-models_roi-None_NH2015_randnetw") for name in drawn)
    assert any("_NH2015_randnetw_rel_pos" in name for name in drawn)
    assert (
        sum(name.startswith("across-models_barplot_components") for name in drawn) == 4
    )  # Figures 5 and 9
    assert len(errors) == len(set(errors))


@pytest.mark.parametrize(
    "damage", [_other_grid, _other_versions, _other_participants, _not_a_number]
)
def test_whatever_is_wrong_with_a_model_costs_only_its_pictures(broken, damage):
    expected = damage(broken)
    drawings = figures.figure_2(
        broken, replace(TRAINED, own_models=FITTED[:3], conditions=(False, True))
    )
    assert any(re.search(expected, f"error: {error}") for error in drawings.errors)
    assert all(
        "python aud_dnn/AUD_main.py --source_model" in error and "--target NH2015" in error
        for error in drawings.errors
    )
    names = [drawing.stem for drawing in drawings]
    assert not any(name.startswith("across-models_roi-None_NH2015_CV") for name in names)  # trained
    assert any(name.startswith("across-models_roi-None_NH2015_randnetw") for name in names)


def test_bad_results_are_raised_where_nobody_keeps_them(broken):
    _lose_a_layer(broken)
    options = replace(TRAINED, own_models=FITTED[:3])
    assert "Linear_1" in figures.figure_2(broken, options).errors[0]
    with pytest.raises(InputError, match="Linear_1"):
        figure_statistics_module.statistics(broken, "7", options)


@pytest.mark.parametrize("number", ["2", "7", "8", "9"])
def test_a_script_that_draws_nothing_says_so(number, tmp_path, capsys):
    root = ProjectPaths(tmp_path / "root")
    fake_results.write_fake_model(root, "spectemp", ["NH2015", "NH2015comp"])
    fake_results.write_fake_model(
        root, "mine", ["NH2015comp"], conditions=(False,), layers=("conv1",)
    )
    arguments = [
        "--root",
        str(root.root),
        "--target",
        "NH2015",
        "--out",
        str(tmp_path / "out"),
        "--formats",
        "svg",
    ]
    assert AUD_plot_main.main([*arguments, "--figures", number, "--jobs", "1"]) == 1
    said = capsys.readouterr()
    assert f"{number}: 0 drawing(s)" in said.out
    assert re.search(
        r"^error: Nothing was drawn: .*results of mine, spectemp\. Add your own: --models mine\. "
        r"Make more: "
        rf"python aud_dnn/AUD_main\.py --root {root.root} --source_model",
        said.err,
    )


@pytest.mark.parametrize("script", [DIM_plot_main, CONSISTENCY_plot_main])
def test_further_scripts_that_draw_nothing_say_so(script, tmp_path, capsys):
    root = ProjectPaths(tmp_path / "root")
    fake_results.write_fake_model(root, "spectemp", ["NH2015"])
    assert script.main(["--root", str(root.root), "--target", "NH2015", "--formats", "svg"]) == 1
    assert "error: Nothing was drawn" in capsys.readouterr().err


# --- RSA panels ---------------------------------------------------------------------------------


def test_figures_name_the_command_where_there_are_no_rsa_results(paths, tmp_path, capsys):
    arguments = [
        "--root",
        str(paths.root),
        "--figures",
        "2",
        "--target",
        "NH2015",
        "--out",
        str(tmp_path),
        "--formats",
        "png",
        "--jobs",
        "1",
    ]
    assert AUD_plot_main.main(arguments) == 0
    printed = capsys.readouterr().out
    assert (
        "RSA panels not drawn" in printed
        and "python aud_dnn/analyze/rsa_matrix_calculation_all_models.py" in printed
    )


def test_a_damaged_rsa_file_costs_the_rsa_panels_only(broken, tmp_path, capsys):
    broken.rsa_results.mkdir(parents=True)
    (broken.rsa_results / "rsa_NH2015_All.nc").write_bytes(b"nothing")
    arguments = [
        "--root",
        str(broken.root),
        "--figures",
        "2",
        "--target",
        "NH2015",
        "--out",
        str(tmp_path / "out"),
        "--formats",
        "png",
        "--jobs",
        "1",
    ]
    assert AUD_plot_main.main(arguments) == 1
    printed = capsys.readouterr()
    assert (
        "rsa_NH2015_All.nc" in printed.err and "rsa_matrix_calculation_all_models.py" in printed.err
    )
    assert "2: 2 drawing(s)" in printed.out


def test_commands_in_messages_carry_the_root():
    message = (
        "Fit it: python aud_dnn/AUD_main.py --source_model AST\n"
        "  `python setup_utils/download_files.py --get_data True`."
    )
    assert with_root(message, None) == message
    assert with_root(message, "my demo") == (
        "Fit it: python aud_dnn/AUD_main.py --root 'my demo' --source_model AST\n"
        "  `python setup_utils/download_files.py --root 'my demo' --get_data True`."
    )


def test_a_script_says_how_to_go_on_in_the_root_it_was_given(tmp_path):
    run = subprocess.run(
        [sys.executable, "aud_dnn/AUD_main.py", f"--root={tmp_path}"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert (
        run.returncode == 2 and f"download_files.py --root {tmp_path} --get_data True" in run.stderr
    )

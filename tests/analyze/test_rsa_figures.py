"""The RSA figures: what they show is what the results say, with the elements of the published
figures.
"""

from __future__ import annotations

import re

import fake_results
import numpy as np
import pytest
import scipy.stats
import xarray as xr

from aud_dnn.analyze.plotting.bars import GROUPED_CENTERS
from aud_dnn.analyze.plotting.rdms import (
    NEURAL_LIMITS,
    best_layer_rdm,
    model_page,
    neural_rdms,
    region_matrix,
)
from aud_dnn.analyze.plotting.rsa_figures import rsa_figures
from aud_dnn.analyze.plotting.rsa_positions import position_scatter
from aud_dnn.analyze.plotting.rsa_scores import clean_speech_bars, rsa_bars, seed_scatter
from aud_dnn.conditions import CONDITIONS
from aud_dnn.methods.comparing.triangles import square_matrix
from aud_dnn.models.figure_sets import FIGURE_2_MODELS, FIGURE_7_MODELS, FIGURE_8_MODELS, SEED_PAIRS
from aud_dnn.models.registry import BASELINE_MODEL, MODELS
from aud_dnn.splits import published_splits
from aud_dnn.store.comparison_parts import Part
from aud_dnn.store.comparisons import ROI_CHOICES, assemble
from aud_dnn.tables.comparison_models import position_table, position_test_table
from aud_dnn.tables.comparison_summaries import performance_order, summarize_scores
from aud_dnn.tables.comparisons import region_table
from aud_dnn.targets.categories import SOUND_CATEGORIES
from aud_dnn.targets.facts import ROIS

N_PARTICIPANTS, N_SPLITS, N_SOUNDS = 6, 10, 22
N_PAIRS = N_SOUNDS * (N_SOUNDS - 1) // 2
CATEGORIES = [name for name in SOUND_CATEGORIES for _ in range(2)]


def scores(model: str, rng: np.random.Generator) -> Part:
    """Made-up scores of one model."""
    layers = MODELS[model].layer_names
    all_sounds = rng.uniform(0.1, 0.6, (N_PARTICIPANTS, len(layers)))
    test = all_sounds[:, None] + rng.normal(0, 0.02, (N_PARTICIPANTS, N_SPLITS, len(layers)))
    return fake_results.rsa_part(layers, all_sounds, test)


def neural(rng: np.random.Generator) -> Part:
    ceiling = rng.uniform(0.6, 0.7, (N_PARTICIPANTS, N_SPLITS))
    return Part(
        {
            "participants": np.array([f"participant_{p}" for p in range(N_PARTICIPANTS)]),
            "rdms": rng.uniform(-0.4, 0.9, (N_PARTICIPANTS, N_PAIRS)),
            "ceiling_pearson": ceiling,
            "ceiling_spearman": ceiling - 0.05,
            "ceiling_pearson_all_sounds": ceiling[:, 0],
            "ceiling_spearman_all_sounds": ceiling[:, 1],
            "n_voxels": np.full(N_PARTICIPANTS, 9),
            "effective_dimensionality": np.ones(3),
        },
        {},
    )


@pytest.fixture(scope="module")
def datasets() -> dict[tuple[str, str], xr.Dataset]:
    """All registered models, both conditions, all regions of one target."""
    rng = np.random.default_rng(0)
    return {
        ("NH2015", roi): assemble(
            "NH2015",
            roi,
            neural(rng),
            {
                (model, condition): scores(model, rng)
                for model in MODELS
                for condition in CONDITIONS
                if (model, condition) != (BASELINE_MODEL, "permuted")
            },
            sounds=[f"sound_{i}" for i in range(N_SOUNDS)],
            categories=CATEGORIES,
            train=published_splits(N_SOUNDS, 11).train,
        )
        for roi in ROI_CHOICES
    }


def bars_of(drawing):
    ax = drawing.figure.axes[0]
    bars = [patch for patch in ax.patches if patch.get_y() == 0 and patch.get_width() < 0.5]
    return (
        ax,
        [label.get_text() for label in ax.get_xticklabels()],
        np.array([bar.get_height() for bar in bars]),
    )


def note_of(drawing) -> str:
    return "\n".join(text.get_text() for text in drawing.figure.texts)


def test_bars_stand_in_the_order_of_the_trained_models_in_both_panels(datasets):
    dataset = datasets["NH2015", "All"]
    trained, permuted = (
        rsa_bars(dataset, condition, FIGURE_2_MODELS, prefix="FIG2_19Models_")
        for condition in CONDITIONS
    )
    (_, names, heights), (_, names_permuted, heights_permuted) = bars_of(trained), bars_of(permuted)
    assert len(names) == 19 and names == names_permuted
    assert (np.diff(heights) <= 0).all() and not (np.diff(heights_permuted) <= 0).all()
    order = performance_order(dataset, FIGURE_2_MODELS)
    expected = (
        dataset["best_layer_rsa_median_across_splits"]
        .sel(condition="permuted")
        .mean("participant")
        .sel(model=order)
    )
    np.testing.assert_allclose(heights_permuted, expected)
    assert trained.stem == "FIG2_19Models_NH2015_Trained_Human-ModelRSA" and trained.formats == (
        "pdf",
        "svg",
    )


def test_bars_show_baseline_and_ceiling(datasets):
    dataset = datasets["NH2015", "All"]
    ax, *_ = bars_of(rsa_bars(dataset, "permuted", FIGURE_2_MODELS))
    levels = {
        line.get_linestyle(): line.get_ydata()[0] for line in ax.lines if len(line.get_ydata()) == 2
    }
    baseline = (
        dataset["best_layer_rsa_median_across_splits"]
        .sel(model=BASELINE_MODEL, condition="trained")
        .mean()
    )
    ceiling = dataset["leave_one_out_neural_r_cv_test_splits"].median("split").mean()
    assert levels["-"] == pytest.approx(float(baseline)) and levels["--"] == pytest.approx(
        float(ceiling)
    )
    assert ax.get_ylim() == (0, 1) and ax.get_ylabel() == "Spearman R Human vs. Model RSA"


def test_recommended_statistics_change_errors_and_ceiling_and_say_so(datasets):
    dataset = datasets["NH2015", "All"]
    published, recommended = (
        summarize_scores(dataset, "trained", FIGURE_2_MODELS, statistics=kind)
        for kind in ("published", "recommended")
    )
    values = dataset["best_layer_rsa_median_across_splits"].sel(condition="trained").values
    spread = (values - values.mean(axis=0)).std(axis=1)[
        dataset["model"].values.tolist().index("AST")
    ]
    assert published.table.loc["AST", "error"] == pytest.approx(spread / np.sqrt(len(MODELS) - 1))
    values = dataset["best_layer_rsa_median_across_splits"].sel(condition="trained", model="AST")
    low, high = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert recommended.table.loc["AST", "error"] == pytest.approx((high - low) / 2, rel=1e-12)
    ceilings = dataset["leave_one_out_neural_spearman_cv_test_splits"].median("split")
    low, high = scipy.stats.ttest_1samp(ceilings, 0).confidence_interval(0.95)
    assert recommended.ceiling[1] == pytest.approx((high - low) / 2, rel=1e-12)
    assert "95 % intervals" in recommended.errors_are
    assert published.ceiling[0] - recommended.ceiling[0] == pytest.approx(0.05)
    drawings = [
        rsa_bars(dataset, "trained", FIGURE_2_MODELS, statistics=kind)
        for kind in ("published", "recommended")
    ]
    assert "Pearson" in note_of(drawings[0]) and "Spearman" in note_of(drawings[1])
    assert drawings[1].stem == drawings[0].stem + "_recommended"
    with pytest.raises(ValueError, match="published"):
        rsa_bars(dataset, "trained", FIGURE_2_MODELS, statistics="both")


def test_clean_speech_bars_stand_in_pairs_with_their_test(datasets):
    drawing = clean_speech_bars(datasets["NH2015", "All"], "trained")
    ax, names, heights = bars_of(drawing)
    np.testing.assert_allclose(ax.get_xticks(), list(GROUPED_CENTERS.values()))
    assert len(names) == len(FIGURE_8_MODELS) == len(heights)
    printed = re.findall(r"p[=<][0-9.e-]+", note_of(drawing))
    assert len(printed) == 4 and not set(printed) & {
        "p=0",
        "p=0.0",
    }  # of 10,000 resamples none is p<1e-04


def test_seed_scatter_shows_all_pairs_and_their_correlation(datasets):
    drawing = seed_scatter(
        datasets["NH2015", "All"], "trained", SEED_PAIRS, prefix="FIG2_SeedModels_"
    )
    ax = drawing.figure.axes[0]
    table = drawing.table
    assert len(ax.containers) == len(SEED_PAIRS) == len(table)
    r = np.corrcoef(table["score1"], table["score2"])[0, 1]
    assert f"$R^2$={r**2:.2f}" in [text.get_text().split(",")[0] for text in ax.texts]
    assert (
        ax.get_xlim() == ax.get_ylim()
        and ax.get_xlim()[0] < table[["score1", "score2"]].min().min()
    )


@pytest.mark.parametrize(
    ("statistics", "column"), [("published", "p_asymptotic"), ("recommended", "p_exact")]
)
def test_position_scatter_shows_every_model_and_the_test(datasets, statistics, column):
    drawing = position_scatter(datasets, "NH2015", "trained", statistics=statistics)
    tests = (
        position_test_table(position_table(datasets, FIGURE_7_MODELS))
        .query("condition == 'trained'")
        .set_index("roi")
    )
    for ax, roi in zip(drawing.figure.axes, ("Anterior", "Lateral", "Posterior")):
        assert len(ax.containers) == len(FIGURE_7_MODELS)
        assert f"p-value: {tests.loc[roi, column]:.5f}" in ax.get_title()
        assert "rank-biserial" in ax.get_title() and ax.get_ylabel().endswith(roi)
    assert drawing.stem.startswith("FIG7_15Models_NH2015_Trained__all_roi_scatter")


def test_single_layer_models_have_no_place_in_the_position_scatter(datasets):
    drawing = position_scatter(datasets, "NH2015", "trained", models=("AST", BASELINE_MODEL))
    assert set(drawing.table.index) == {"AST"}


@pytest.mark.parametrize("names", [False, True])
def test_neural_rdms_show_distances_from_below_with_category_strips(datasets, names):
    drawing = neural_rdms(datasets, "NH2015", names=names)
    panels = drawing.figure.axes[:4]
    for ax, roi in zip(panels, ROIS):
        image, left, below = ax.images
        expected = 1 - square_matrix(
            datasets["NH2015", roi]["all_data_corr_mat_fmri"].values.mean(axis=0)
        )
        np.testing.assert_allclose(image.get_array(), expected)
        assert (
            image.origin == "lower"
            and image.get_clim() == NEURAL_LIMITS
            and image.get_cmap().name == "gray"
        )
        for strip in (left, below):
            colors = np.asarray(strip.get_array()).reshape(N_SOUNDS, 3)
            first = SOUND_CATEGORIES[CATEGORIES[0]].color
            np.testing.assert_allclose(
                colors[0], [int(first[i : i + 2], 16) / 255 for i in (1, 3, 5)]
            )
        assert len(ax.texts) == (2 * N_SOUNDS if names else 0)
        assert all(text.get_fontsize() == 2 for text in ax.texts)
    legend = [text.get_text() for text in drawing.figure.legends[0].get_texts()]
    assert legend == [category.display_name for category in SOUND_CATEGORIES.values()]
    assert ("_with_sound_names" in drawing.stem) is names


def test_region_matrix_is_the_mean_over_participants(datasets):
    drawing = region_matrix(datasets, "NH2015")
    table = region_table(datasets)
    expected = table[(table["roi_a"] == "Primary") & (table["roi_b"] == "Anterior")][
        "similarity"
    ].mean()
    assert drawing.table.loc["Primary", "Anterior"] == pytest.approx(expected)
    image = drawing.figure.axes[0].images[0]
    assert image.get_clim() == (0, 1) and np.allclose(np.diag(image.get_array()), 1)
    assert drawing.stem.endswith("/roi_correlations")


def test_model_page_has_every_layer_with_its_scores_and_frames_the_best(datasets):
    layers = MODELS["sepformer"].layer_names
    part = Part(
        {
            "layers": np.array(layers),
            "rdms": np.random.default_rng(0).uniform(-0.5, 1, (len(layers), N_PAIRS)),
        },
        {"model": "sepformer", "condition": "permuted"},
    )
    dataset = datasets["NH2015", "All"]
    drawing = model_page(part, dataset)
    titles = [ax.get_title() for ax in drawing.figure.axes if ax.get_title()]
    mean = (
        dataset["all_data_rsa_for_best_layer"]
        .sel(model="sepformer", condition="permuted")
        .mean("participant")
        .values
    )
    assert len(titles) == len(layers) == 33
    assert all(f"all {value:.3f}" in title for title, value in zip(titles, mean))
    framed = [
        ax.get_title()
        for ax in drawing.figure.axes
        if ax.get_title() and ax.spines["left"].get_visible()
    ]
    assert framed == [titles[int(mean.argmax())]]
    np.testing.assert_allclose(drawing.table["similarity_all_sounds"], mean)
    labelled = best_layer_rdm(part, dataset)
    np.testing.assert_allclose(
        labelled.figure.axes[0].images[0].get_array(),
        1 - square_matrix(part.arrays["rdms"][mean.argmax()]),
    )


def test_every_figure_is_drawn_once_and_saves_with_editable_text(datasets, tmp_path):
    drawings = list(rsa_figures(datasets))
    stems = [drawing.stem for drawing in drawings]
    assert len(stems) == len(set(stems)) == 2 * 5 + 5 + 2 * 2
    bars = next(drawing for drawing in drawings if drawing.stem.startswith("FIG2_19"))
    written = {path.suffix: path for path in bars.save(tmp_path)}
    assert set(written) == {".pdf", ".svg", ".csv"}
    assert "CochResNet50-MultiTask</text>" in written[".svg"].read_text()
    assert (
        b"/CIDFontType2" in written[".pdf"].read_bytes()
        or b"/TrueType" in written[".pdf"].read_bytes()
    )


def test_incomplete_sets_say_what_is_missing_and_empty_figures_are_left_out(datasets):
    few = {pair: dataset.sel(model=["AST", BASELINE_MODEL]) for pair, dataset in datasets.items()}
    stems = [drawing.stem for drawing in rsa_figures(few)]
    assert not any("Seed" in stem or "FIG8" in stem for stem in stems)
    assert "Incomplete" in note_of(rsa_bars(few["NH2015", "All"], "trained", FIGURE_2_MODELS))


def with_own_model(dataset: xr.Dataset) -> xr.Dataset:
    """A user's model with the scores of AST."""
    return xr.concat(
        [dataset, dataset.sel(model=["AST"]).assign_coords(model=["mine"])],
        dim="model",
        data_vars="minimal",
        coords="minimal",
        compat="override",
        join="override",
    )


def test_own_models_stand_in_the_pictures_of_the_paper(datasets):
    own = {pair: with_own_model(dataset) for pair, dataset in datasets.items()}
    drawings = {
        drawing.stem: drawing
        for drawing in rsa_figures(own, own_models=["mine"], conditions=["trained"])
    }
    for prefix, count in (("FIG2_19Models_", 20), ("FIG8_CleanSpeechModels_", 9)):
        ax, names, heights = bars_of(
            next(drawing for stem, drawing in drawings.items() if stem.startswith(prefix))
        )
        assert "mine" in names and len(heights) == count
    assert "mine" in drawings["FIG7_15Models_NH2015_Trained__all_roi_scatter"].table.index
    ax, names, heights = bars_of(drawings["FIG8_CleanSpeechModels_NH2015_Trained_Human-ModelRSA"])
    np.testing.assert_allclose(
        ax.get_xticks()[:8], list(GROUPED_CENTERS.values())
    )  # pairs stay pairs
    assert names[-1] == "mine" and ax.get_xticks()[8] > ax.get_xticks()[7] + 0.35
    without = next(
        drawing
        for drawing in rsa_figures(own, conditions=["trained"])
        if drawing.stem.startswith("FIG2_19")
    )
    assert "mine" not in bars_of(without)[1]


def test_panels_of_a_figure_come_from_files_with_own_models_and_the_chosen_statistics(
    datasets, tmp_path
):
    from aud_dnn.analyze.figure_options import FigureOptions
    from aud_dnn.analyze.rsa_panels import RSA_PANELS
    from aud_dnn.paths import ProjectPaths
    from aud_dnn.store.comparisons import analysis_path, write_analysis

    paths = ProjectPaths(tmp_path)
    for (target, roi), dataset in datasets.items():
        write_analysis(analysis_path(paths.rsa_results, target, roi), with_own_model(dataset))
    options = FigureOptions(
        own_models=("mine", "other"),
        targets=("NH2015",),
        conditions=(False,),
        statistics="recommended",
    )
    for figure, draw in RSA_PANELS.items():
        drawings = draw(paths, options)
        assert drawings and not drawings.errors, figure
        assert all(drawing.stem.endswith("_recommended") for drawing in drawings), figure
        assert "mine" in drawings[0].table.index
        assert "no trained activations" in " ".join(drawings.notes) and "Incomplete" in note_of(
            drawings[0]
        )
    analysis_path(paths.rsa_results, "NH2015", "Primary").unlink()
    found = RSA_PANELS["7"](paths, options)
    assert not found and "rsa_matrix_calculation_all_models.py" in found.notes[0]


def test_participants_of_bars_are_in_the_table(datasets):
    drawing = rsa_bars(datasets["NH2015", "All"], "trained", FIGURE_2_MODELS, participants=True)
    expected = datasets["NH2015", "All"]["best_layer_rsa_median_across_splits"].sel(
        condition="trained", model="AST"
    )
    np.testing.assert_allclose(
        drawing.table.loc["AST"].filter(like="participant_").astype(float), expected
    )


def test_titles_of_positions_are_the_published_ones_and_no_p_is_printed_as_zero(datasets):
    drawing = position_scatter(datasets, "NH2015", "trained")
    first = drawing.figure.axes[0].get_title().splitlines()
    assert first[0] == "FIG7_15Models_Anterior"
    assert first[1].startswith("Wilcoxon Test ") and ", p-value: " in first[1]
    late = {
        pair: dataset.assign(best_layer_position=0.5 + 0.01 * dataset["best_layer_position"])
        for pair, dataset in datasets.items()
    }
    late["NH2015", "Primary"] = late["NH2015", "Primary"].assign(
        best_layer_position=late["NH2015", "Primary"]["best_layer_position"] - 0.4
    )
    title = (
        position_scatter(late, "NH2015", "trained", models=list(MODELS)).figure.axes[0].get_title()
    )
    assert "p-value: 2.5e-07" in title  # all 35 networks on one side

"""The whole RSA against the numbers of the published programs.

Tolerances as stated with the reference numbers: 1e-5 for similarities (the programs z-scored in
float32, which swaps a few neighbouring ranks), 1e-6 for region matrices, relative 1e-5 for
effective dimensionality. Where the layer is float64 in the published programs, too, we ask for
1e-12.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aud_dnn.analyze.figure_options import FigureOptions
from aud_dnn.analyze.rsa_panels import RSA_PANELS
from aud_dnn.methods.rsa import category_order, rdm_triangles, region_similarity
from aud_dnn.paths import ProjectPaths, find_root
from aud_dnn.runs.comparison_report import ComparisonRun
from aud_dnn.runs.comparisons import run_comparison
from aud_dnn.stats import bootstrap_published
from aud_dnn.store.comparison_parts import model_part_path, read_part
from aud_dnn.store.comparisons import read_analysis
from aud_dnn.store.published_rsa import (
    ALL_VOXELS_FILE,
    BEST_LAYER_FILE,
    read_published_rsa,
    write_published_rsa,
)
from aud_dnn.tables.comparison_dimensionality import neural_dimensionality_table
from aud_dnn.tables.comparison_models import model_table
from aud_dnn.tables.comparisons import ceiling_table
from aud_dnn.targets.categories import SOUND_CATEGORIES
from aud_dnn.targets.facts import ROIS
from aud_dnn.utils import load_stimuli, load_target


@pytest.fixture(scope="module")
def golden_run(
    golden_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, ComparisonRun]:
    root = tmp_path_factory.mktemp("rsa_golden")
    for name in ("data", "model_actv"):
        shutil.copytree(golden_root / name, root / name)
    return root, run_comparison(find_root(root), jobs=1, progress=False)


def reference_files(expected: Path) -> list[tuple[dict, str, str, str, str]]:
    found = []
    for path in sorted(expected.glob("rsa__*.npz")):
        _, target, model, condition, roi = path.stem.split("__")
        found.append((dict(np.load(path)), target, model, condition, roi.removeprefix("roi-")))
    return found


def test_every_reference_file_is_reproduced(golden_run, golden_expected):
    _, run = golden_run
    references = reference_files(golden_expected)
    assert len(references) >= 50
    for reference, target, model, condition, roi in references:
        ours = run.datasets[target, roi].sel(model=model, condition=condition)
        where = f"{target} {model} {condition} {roi}"
        n_layers = len(reference["layers"])
        assert ours["participant"].values.tolist() == reference["participants"].tolist()
        assert ours["model_layers"].values[:n_layers].tolist() == reference["layers"].tolist()
        tolerance = 1e-12 if model == "DCASE2020" else 1e-5
        for name, key in (
            ("all_layer_train_correlations", "layer_train_corr"),
            ("all_layer_test_correlations", "layer_test_corr"),
            ("all_data_rsa_for_best_layer", "all_data_layer_rsa"),
            ("splits_median_distance_all_layers", "layer_test_corr_median"),
        ):
            np.testing.assert_allclose(
                ours[name].values[..., :n_layers],
                reference[key],
                rtol=0,
                atol=tolerance,
                err_msg=f"{where} {name}",
            )
            assert np.isnan(ours[name].values[..., n_layers:]).all()
        for name, key in (
            ("all_model_features_rsa", "all_layers_concat_rsa"),
            ("best_layer_rsa_median_across_splits", "best_layer_rsa_median"),
        ):
            np.testing.assert_allclose(
                ours[name].values, reference[key], rtol=0, atol=tolerance, err_msg=f"{where} {name}"
            )
        np.testing.assert_allclose(
            ours["leave_one_out_neural_r_cv_test_splits"].values,
            reference["leave_one_out_r"],
            rtol=0,
            atol=1e-12,
            err_msg=where,
        )
        ranked = np.sort(reference["layer_train_corr"], axis=-1)
        clear = (
            ranked[..., -1] - ranked[..., -2] > 1e-6
            if n_layers > 1
            else np.ones(ranked.shape[:-1], bool)
        )
        np.testing.assert_array_equal(
            ours["best_layer_idx"].values[clear], reference["best_layer_idx"][clear], where
        )
        np.testing.assert_allclose(
            ours["best_layer_test_value"].values[clear],
            reference["best_layer_test_value"][clear],
            rtol=0,
            atol=tolerance,
            err_msg=where,
        )
        if clear.all():
            np.testing.assert_array_equal(
                ours["splits_median_best_layer_idx"].values, reference["best_layer_idx_median"]
            )
        if "fmri_corr_triu_all_sounds" in reference:
            np.testing.assert_allclose(
                ours["all_data_corr_mat_fmri"].values[:3],
                reference["fmri_corr_triu_all_sounds"],
                rtol=0,
                atol=2e-12,
            )


@pytest.mark.parametrize("target", ["NH2015", "B2021"])
def test_means_error_bars_and_ceilings(golden_run, golden_expected, target):
    _, run = golden_run
    reference = pd.read_csv(golden_expected / f"rsa_summary__{target}.csv")
    models, ceilings = model_table(run.datasets), ceiling_table(run.datasets)
    for row in reference.itertuples():
        ours = models[
            (models["target"] == target)
            & (models["roi"] == "All")
            & (models["model"] == row.source_model)
            & (models["condition"] == ("permuted" if row.randnetw else "trained"))
        ].iloc[0]
        assert ours["score"] == pytest.approx(row.mean_values, abs=1e-5)
        assert ours["sem_published"] == pytest.approx(row.y_err, abs=1e-5)
        ceiling = ceilings[
            (ceilings["target"] == target)
            & (ceilings["roi"] == "All")
            & (ceilings["measure"] == "pearson")
            & (ceilings["sounds"] == ("test" if row.ceiling == "cv" else "all"))
        ].iloc[0]
        assert (ceiling["mean"], ceiling["sem"]) == pytest.approx(
            (row.ceiling_mean, row.ceiling_sem), abs=1e-10
        )


@pytest.mark.parametrize("target", ["NH2015", "B2021"])
@pytest.mark.parametrize("standardize", [True, False])
def test_regions_against_regions(golden_root, golden_expected, target, standardize):
    reference = np.load(golden_expected / f"neural_roi__{target}__zscore-{standardize}.npz")
    stimuli = load_stimuli(find_root(golden_root))
    loaded = load_target(find_root(golden_root), target, stimuli)
    order = category_order(stimuli.categories, list(SOUND_CATEGORIES))
    responses, table = loaded.responses.mean(axis=2)[order], loaded.metadata
    masks = [
        [
            ((table["subj_idx"] == p) & (table["roi_label_general"] == roi)).to_numpy()
            for roi in ROIS
        ]
        for p in sorted(set(table["subj_idx"]))
    ]
    rdms = np.array(
        [
            [rdm_triangles(responses[:, mask], standardize=standardize).all_sounds for mask in own]
            for own in masks
        ]
    )
    np.testing.assert_allclose(region_similarity(rdms), reference["roi_corr"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(
        region_similarity(rdms).mean(axis=0), reference["roi_corr_mean"], rtol=0, atol=1e-6
    )
    np.testing.assert_allclose(
        rdms.mean(axis=0), reference["mean_train_corr_triu"], rtol=0, atol=1e-6
    )


def test_sounds_are_grouped_by_category(golden_root, golden_expected):
    stimuli = load_stimuli(find_root(golden_root))
    np.testing.assert_array_equal(
        category_order(stimuli.categories, list(SOUND_CATEGORIES)),
        np.load(golden_expected / "splits.npz")["category_order_index"],
    )


@pytest.mark.parametrize("target", ["NH2015", "B2021"])
def test_published_bootstrap(golden_run, golden_expected, target):
    """The stored vectors must give p exactly, ours within 0.002; both states of the generator."""
    _, run = golden_run
    stored = {
        (model, condition): reference["best_layer_rsa_median"]
        for reference, name, model, condition, roi in reference_files(golden_expected)
        if name == target and roi == "All"
    }
    rows = pd.read_csv(golden_expected / f"bootstrap__{target}.csv")
    assert len(rows) > 10
    for row in rows.itertuples():
        condition = "permuted" if row.randnetw else "trained"
        models = (row.model1, row.model2)
        pair = [
            stored[model, condition if (model, condition) in stored else "trained"]
            for model in models
        ]
        scores = run.datasets[target, "All"]["best_layer_rsa_median_across_splits"].sel(
            condition=condition
        )
        ours = [scores.sel(model=model).values for model in models]
        for values, tolerance in ((pair, 1e-12), (ours, 0.002)):
            rng = np.random.RandomState(row.seed)
            if row.rng_state == "seed_then_10_splits":
                for _ in range(10):
                    rng.permutation(165)
                    rng.permutation(82)
            assert bootstrap_published(
                *values, n_resamples=row.n_bootstrap, rng=rng
            ).p == pytest.approx(row.p_value, abs=tolerance)


def test_effective_dimensionality(golden_run, golden_expected):
    root, run = golden_run
    variants = {(False, False): 0, (True, False): 1, (True, True): 2}
    for row in pd.read_csv(golden_expected / "effective_dim_models.csv").itertuples():
        part = read_part(
            model_part_path(
                find_root(root).rsa_results, row.model, "permuted" if row.randnetw else "trained"
            )
        )
        variant = variants[row.mean_subtract, row.std_divide]
        value = part.arrays["effective_dimensionality"][part.layers.index(row.layer), variant]
        assert value == pytest.approx(row.effective_dim, rel=1e-5)
    voxels = neural_dimensionality_table(run.datasets).query("roi == 'All'").set_index("target")
    for row in pd.read_csv(golden_expected / "effective_dim_fmri.csv").itertuples():
        name = (
            "effective_dimensionality_standardized"
            if row.std_divide
            else "effective_dimensionality_centered"
        )
        assert voxels.loc[row.target, name] == pytest.approx(row.effective_dim, rel=1e-5)


@pytest.mark.parametrize("name", [ALL_VOXELS_FILE, BEST_LAYER_FILE])
def test_published_pickles_are_read_and_written(golden_run, golden_root, tmp_path, name):
    root, _ = golden_run
    theirs = read_published_rsa(golden_root / "published_pickles" / "results" / "RSA" / name)
    assert theirs
    for (target, roi), dataset in theirs.items():
        ours = read_analysis(find_root(root).rsa_results, target, roi).sel(
            model=dataset["model"].values
        )
        for variable in (
            "best_layer_rsa_median_across_splits",
            "all_layer_test_correlations",
            "all_model_features_rsa",
            "leave_one_out_neural_r_cv_test_splits",
            "best_layer_position",
            "all_data_rsa_for_best_layer",
        ):
            np.testing.assert_allclose(
                ours[variable].values[..., : dataset[variable].shape[-1]],
                dataset[variable].values,
                rtol=0,
                atol=1e-5,
                err_msg=f"{target} {roi} {variable}",
            )
    written = write_published_rsa(tmp_path, theirs)
    assert [path.name for path in written] == [name]
    again = read_published_rsa(written[0])
    for pair, dataset in theirs.items():
        assert again[pair].equals(dataset)


def test_panels_of_the_paper_are_drawn_from_the_published_pickles(golden_root, tmp_path):
    """The downloaded results are enough for the RSA panels; what the files do not hold is said, not
    drawn.
    """
    published = tmp_path / "results" / "RSA"
    published.mkdir(parents=True)
    for name in (ALL_VOXELS_FILE, BEST_LAYER_FILE):
        shutil.copy(golden_root / "published_pickles" / "results" / "RSA" / name, published)
    paths = ProjectPaths(tmp_path)
    for statistics, ceiling in (
        ("published", "ceiling is a Pearson"),
        ("recommended", "Spearman ceiling is not known"),
    ):
        options = FigureOptions(targets=("NH2015",), conditions=(False,), statistics=statistics)
        drawings = RSA_PANELS["2"](paths, options)
        assert len(drawings) == 1 and not drawings.errors
        words = " ".join(text.get_text() for text in drawings[0].figure.texts).replace("\n", " ")
        assert ALL_VOXELS_FILE in words and ceiling in words and "0 participants" not in words
        assert len(RSA_PANELS["7"](paths, options)) == 1

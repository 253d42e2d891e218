"""The RSA panels of Figures 2, 7 and 8, from what ``rsa_matrix_calculation_all_models.py`` left in ``results/``."""

from __future__ import annotations

from collections.abc import Iterable

import xarray as xr

from aud_dnn.analyze.figures import FigureOptions
from aud_dnn.analyze.plotting.rsa_scores import clean_speech_bars, position_scatter, rsa_bars, seed_scatter
from aud_dnn.analyze.plotting.style import Drawing, Drawings
from aud_dnn.errors import MissingDataError
from aud_dnn.paths import ProjectPaths
from aud_dnn.resources import BASELINE_MODEL, FIGURE_2_MODELS, FIGURE_7_MODELS, FIGURE_8_MODELS, ROIS, SEED_PAIRS
from aud_dnn.rsa.results import condition_name, read_analysis

TARGET_ORDER = ("B2021", "NH2015")
"""RSA panels show the larger data set first."""


def _present(dataset: xr.Dataset, condition: str) -> set[str]:
    available = dataset["available"].sel(condition=condition).values
    return {model for model, there in zip(dataset["model"].values.tolist(), available) if there}


def _each(paths: ProjectPaths, options: FigureOptions, drawings: Drawings) -> Iterable[tuple[xr.Dataset, str, set[str]]]:
    """Dataset, condition and models with results; what is missing becomes a note."""
    for target in [name for name in TARGET_ORDER if name in options.targets]:
        try:
            dataset = read_analysis(paths.rsa_results, target)
        except MissingDataError as error:
            drawings.notes.append(f"Not drawn: {error}")
            continue
        for randnetw in options.conditions:
            condition = condition_name(randnetw)
            yield dataset, condition, _present(dataset, condition)


def figure_2_rsa(paths: ProjectPaths, options: FigureOptions | None = None) -> Drawings:
    """RSA scores of all models with ceiling and baseline; then the two seeds.

    Permuted networks stand in the order of the trained ones on the same data set.
    """
    options = options or FigureOptions()
    drawings, seeds = Drawings(), []
    for dataset, condition, present in _each(paths, options, drawings):
        models = options.models(FIGURE_2_MODELS)
        if not present & set(models) - {BASELINE_MODEL}:
            drawings.notes.append(f"Not drawn: no model of this figure has {condition} RSA results on "
                                  f"{dataset.attrs['target']}.")
            continue
        drawings.append(rsa_bars(dataset, condition, models, prefix="FIG2_19Models_", palette=options.palette,
                                 participants=options.participants))
        if any(set(pair) <= present for pair in SEED_PAIRS):
            seeds.append(seed_scatter(dataset, condition, SEED_PAIRS, prefix="FIG2_SeedModels_", palette=options.palette))
    drawings += seeds
    return drawings


def figure_7_rsa(paths: ProjectPaths, options: FigureOptions | None = None) -> Drawings:
    """Relative position of the layer with the highest RSA, primary against each non-primary region."""
    options = options or FigureOptions()
    drawings = Drawings()
    models = options.models(FIGURE_7_MODELS, baseline=False)
    for target in options.targets:
        try:
            datasets = {(target, roi): read_analysis(paths.rsa_results, target, roi) for roi in ROIS}
        except MissingDataError as error:
            drawings.notes.append(f"Not drawn: {error}")
            continue
        for randnetw in options.conditions:
            condition = condition_name(randnetw)
            if _present(datasets[target, ROIS[0]], condition) & set(models):
                drawings.append(position_scatter(datasets, target, condition, models=models, palette=options.palette))
            else:
                drawings.notes.append(f"Not drawn: no model of this figure has {condition} RSA results on {target}.")
    return drawings


def figure_8_rsa(paths: ProjectPaths, options: FigureOptions | None = None) -> Drawings:
    """RSA scores of networks trained on speech in noise and on clean speech."""
    options = options or FigureOptions()
    drawings: Drawings = Drawings()
    found: list[Drawing] = []
    for dataset, condition, present in _each(paths, options, drawings):
        if present & set(FIGURE_8_MODELS):
            found.append(clean_speech_bars(dataset, condition, palette=options.palette, participants=options.participants))
        else:
            drawings.notes.append(f"Not drawn: no model of this figure has {condition} RSA results on "
                                  f"{dataset.attrs['target']}.")
    drawings += found
    return drawings

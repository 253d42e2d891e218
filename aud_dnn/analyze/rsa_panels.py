"""The RSA panels of Figures 2, 7 and 8, from what ``rsa_matrix_calculation_all_models.py`` left in
``results/``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import xarray as xr

from aud_dnn.activations.names import h5_name
from aud_dnn.analyze.figure_options import FigureOptions
from aud_dnn.analyze.plotting.drawings import Drawings
from aud_dnn.analyze.plotting.rsa_figures import models_with_results
from aud_dnn.analyze.plotting.rsa_positions import position_scatter
from aud_dnn.analyze.plotting.rsa_scores import clean_speech_bars, rsa_bars, seed_scatter
from aud_dnn.analyze.plotting.style import display_name
from aud_dnn.conditions import Condition
from aud_dnn.errors import MissingDataError
from aud_dnn.models.figure_sets import (
    FIGURE_2_MODELS,
    FIGURE_7_MODELS,
    FIGURE_8_MODELS,
    RSA_PANEL_TARGETS,
    SEED_PAIRS,
)
from aud_dnn.models.registry import BASELINE_MODEL
from aud_dnn.paths import ProjectPaths
from aud_dnn.runs.comparison_origins import Origins
from aud_dnn.store.comparison_schema import SCRIPT
from aud_dnn.store.comparisons import ALL_VOXELS
from aud_dnn.store.published_rsa import read_rsa
from aud_dnn.tables.own_models import notes_on_activations
from aud_dnn.targets.facts import ROIS, VOXEL_TARGETS
from aud_dnn.utils import activation_files


class _Panel(NamedTuple):
    """What one panel is drawn from."""

    datasets: dict[tuple[str, str], xr.Dataset]
    target: str
    condition: str
    present: set[str]

    @property
    def dataset(self) -> xr.Dataset:
        """The first region asked for."""
        return next(iter(self.datasets.values()))


def _panels(
    paths: ProjectPaths,
    options: FigureOptions,
    models: Sequence[str],
    drawings: Drawings,
    *,
    order: Sequence[str] = RSA_PANEL_TARGETS,
    rois: Sequence[str] = (ALL_VOXELS,),
) -> Iterator[_Panel]:
    """Data set by data set, trained before permuted.

    What is missing becomes a note, what is damaged an error.
    """
    origins = Origins(paths)
    for target in [name for name in order if name in options.targets]:
        with drawings.attempt():
            try:
                datasets = {(target, roi): read_rsa(paths, target, roi) for roi in rois}
            except MissingDataError as error:
                drawings.notes.append(f"RSA panels not drawn: {error}")
                continue
            for dataset in datasets.values():
                drawings.notes += origins.changes(dataset, models)
            for condition in map(Condition.of, options.conditions):
                present = models_with_results(datasets[target, rois[0]], condition)
                absent = [model for model in options.own_models if model not in present]
                if absent:
                    drawings.notes += list(_advice(paths, absent, condition, target))
                drawings.notes += notes_on_activations(
                    paths,
                    [model for model in models if model in present],
                    condition == Condition.PERMUTED,
                    positions=len(rois) > 1,
                )
                if present & set(models) - {BASELINE_MODEL}:
                    yield _Panel(datasets, target, condition, present)
                else:
                    names = ", ".join(display_name(model) for model in models[:4])
                    ready = [
                        model
                        for model in models
                        if model not in absent
                        and activation_files(paths, model, randnetw=condition == Condition.PERMUTED)
                    ]
                    drawings.notes.append(
                        f"RSA panel not drawn: no model of this figure has {condition} RSA results "
                        f"{'by region ' if len(rois) > 1 else ''}on {target} ({names}, …)."
                        + (f" Make some: {SCRIPT} --models {' '.join(ready)}" if ready else "")
                    )


def _advice(
    paths: ProjectPaths, models: Sequence[str], condition: str, target: str
) -> Iterator[str]:
    """What makes the RSA of some models.

    A run of the script, but only where there are activations for it.
    """
    randnetw = condition == Condition.PERMUTED
    ready = [model for model in models if activation_files(paths, model, randnetw=randnetw)]
    if ready:
        yield (
            f"No {condition} RSA results of {', '.join(ready)} on {target}. Make them: "
            f"{SCRIPT} --models {' '.join(ready)}"
        )
    for model in models:
        if model not in ready:
            kind = "with permuted weights " if randnetw else ""
            file = paths.model_activations(model) / h5_name(randnetw)
            yield (
                f"No {condition} RSA results of {model} on {target}, and no {condition} "
                f"activations to make them from. Extract the model {kind}first "
                f"(docs/own_model.md), or write {file}."
            )


def _look(options: FigureOptions) -> dict[str, str]:
    return {"palette": options.palette, "statistics": options.statistics}


def figure_2_rsa(paths: ProjectPaths, options: FigureOptions | None = None) -> Drawings:
    """RSA scores of all models with ceiling and baseline; then the two seeds.

    Permuted networks stand in the order of the trained ones on the same data set.
    """
    options = options or FigureOptions()
    drawings, seeds = Drawings(), Drawings()
    models = options.models(FIGURE_2_MODELS)
    for panel in _panels(paths, options, models, drawings):
        drawings.append(
            rsa_bars(
                panel.dataset,
                panel.condition,
                models,
                prefix="FIG2_19Models_",
                participants=options.participants,
                **_look(options),
            )
        )
        if any(set(pair) <= panel.present for pair in SEED_PAIRS):
            seeds.append(
                seed_scatter(
                    panel.dataset,
                    panel.condition,
                    SEED_PAIRS,
                    prefix="FIG2_SeedModels_",
                    **_look(options),
                )
            )
    drawings.add(seeds)
    return drawings


def figure_7_rsa(paths: ProjectPaths, options: FigureOptions | None = None) -> Drawings:
    """Relative position of the best layer by RSA, primary against each non-primary region."""
    options = options or FigureOptions()
    drawings = Drawings()
    models = options.models(FIGURE_7_MODELS, baseline=False)
    for panel in _panels(paths, options, models, drawings, order=VOXEL_TARGETS, rois=ROIS):
        drawings.append(
            position_scatter(
                panel.datasets, panel.target, panel.condition, models=models, **_look(options)
            )
        )
    return drawings


def figure_8_rsa(paths: ProjectPaths, options: FigureOptions | None = None) -> Drawings:
    """RSA scores of networks trained on speech in noise and on clean speech."""
    options = options or FigureOptions()
    drawings = Drawings()
    models = options.models(FIGURE_8_MODELS, baseline=False)
    for panel in _panels(paths, options, models, drawings):
        drawings.append(
            clean_speech_bars(
                panel.dataset,
                panel.condition,
                models,
                participants=options.participants,
                **_look(options),
            )
        )
    return drawings


RSA_PANELS = {"2": figure_2_rsa, "7": figure_7_rsa, "8": figure_8_rsa}

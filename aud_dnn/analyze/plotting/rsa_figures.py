"""All figures of the RSA, in the order of the published script."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import xarray as xr

from aud_dnn.analyze.plotting.drawings import Drawing
from aud_dnn.analyze.plotting.rdms import best_layer_rdm, model_page, neural_rdms, region_matrix
from aud_dnn.analyze.plotting.rsa_positions import position_scatter
from aud_dnn.analyze.plotting.rsa_scores import clean_speech_bars, rsa_bars, seed_scatter
from aud_dnn.conditions import Condition
from aud_dnn.io.processes import map_in_processes
from aud_dnn.methods.rsa import METHOD as RSA
from aud_dnn.models.figure_sets import (
    CLEAN_SEED_PAIRS,
    FIGURE_2_MODELS,
    FIGURE_7_MODELS,
    FIGURE_8_MODELS,
    SEED_PAIRS,
)
from aud_dnn.models.registry import BASELINE_MODEL
from aud_dnn.store.compared_by import compared_by
from aud_dnn.store.comparisons import ALL_VOXELS, matching_model_part, read_analysis
from aud_dnn.tables.comparisons import regions_in_order
from aud_dnn.targets.facts import ROIS

Datasets = Mapping[tuple[str, str], xr.Dataset]

_WORTH_PROCESSES = 4  # models with fewer pages are drawn before a process has started


def rsa_figures(
    datasets: Datasets,
    *,
    own_models: Sequence[str] = (),
    conditions: Sequence[str] = tuple(Condition),
    statistics: str = "published",
    palette: str = "paper",
    participants: bool = False,
) -> Iterator[Drawing]:
    """Every figure across models that the datasets allow; one with nothing to show is left out.

    Parameters
    ----------
    datasets : mapping from (target, region) to Dataset
    own_models : sequence of str
        Shown beside the models of the paper in Figures 2, 7 and 8.
    conditions : sequence of str
    statistics : {"published", "recommended"}
    palette : {"paper", "colorblind"}
    participants : bool
        Draw every participant as a point on bars.
    """
    targets = list(dict.fromkeys(target for target, _ in datasets))
    look = {"statistics": statistics, "palette": palette}
    for target in targets:
        if (target, ALL_VOXELS) in datasets:
            for condition in conditions:
                yield from _over_models(
                    datasets[target, ALL_VOXELS], condition, own_models, look, participants
                )
    for target in targets:
        if all(
            compared_by(dataset).name == RSA.name
            for (name, _), dataset in datasets.items()
            if name == target
        ):
            yield from _neural(datasets, target, palette)
    for target in targets:
        every = sorted(
            {
                model
                for (name, _), dataset in datasets.items()
                if name == target
                for model in dataset["model"].values.tolist()
            }
            - {BASELINE_MODEL}
        )
        for models, prefix in (
            ((*FIGURE_7_MODELS, *own_models), "FIG7_15Models_"),
            (every, "ALL_MODELS_"),
        ):
            for condition in conditions:
                if _has_positions(datasets, target, condition, models):
                    yield position_scatter(
                        datasets, target, condition, models=models, prefix=prefix, **look
                    )


def models_with_results(dataset: xr.Dataset, condition: str) -> set[str]:
    """The models that have RSA results in a condition."""
    available = dataset["available"].sel(condition=condition).values
    return {model for model, there in zip(dataset["model"].values.tolist(), available) if there}


def _over_models(
    dataset: xr.Dataset,
    condition: str,
    own_models: Sequence[str],
    look: dict[str, str],
    participants: bool,
) -> Iterator[Drawing]:
    present = models_with_results(dataset, condition)
    every = [model for model in dataset["model"].values.tolist() if model in present]
    bars = {"participants": participants, **look}
    if present - {BASELINE_MODEL}:
        yield rsa_bars(dataset, condition, every, prefix="ALL_MODELS_", **bars)
        chosen = (*FIGURE_2_MODELS, *own_models)
        if present & set(chosen) - {BASELINE_MODEL}:
            yield rsa_bars(dataset, condition, chosen, prefix="FIG2_19Models_", **bars)
    for pairs, prefix in ((SEED_PAIRS, "FIG2_SeedModels_"), (CLEAN_SEED_PAIRS, "FIG8_SeedModels_")):
        if any(set(pair) <= present for pair in pairs):
            yield seed_scatter(dataset, condition, pairs, prefix=prefix, **look)
    chosen = (*FIGURE_8_MODELS, *own_models)
    if present & set(chosen):
        yield clean_speech_bars(dataset, condition, chosen, **bars)


def _neural(datasets: Datasets, target: str, palette: str) -> Iterator[Drawing]:
    rois = regions_in_order(datasets, target)
    for names in (False, True):
        if rois:
            yield neural_rdms(datasets, target, rois=rois, names=names, palette=palette)
        if (target, ALL_VOXELS) in datasets:
            yield neural_rdms(datasets, target, rois=(ALL_VOXELS,), names=names, palette=palette)
    if len(rois) > 1:
        yield region_matrix(datasets, target)


def _has_positions(datasets: Datasets, target: str, condition: str, models: Iterable[str]) -> bool:
    primary = datasets.get((target, "Primary"))
    return (
        primary is not None
        and any((target, roi) in datasets for roi in ROIS if roi != "Primary")
        and bool(models_with_results(primary, condition) & set(models))
    )


def save_model_pages(
    folder: Path,
    target: str,
    models: Sequence[tuple[str, str]],
    *,
    own: bool = False,
    palette: str = "paper",
    jobs: int = 1,
) -> Iterator[int]:
    """Draw and save the pages of single models.

    All layers' RDMs with scores, and the best layer's with sound names.

    Parameters
    ----------
    folder : Path
        ``results/rsa_analysis``, where the results are and the pages go.
    target : str
    models : sequence of (model, condition)
    own : bool
        The target is a user's own.
    palette : str
    jobs : int
        Worker processes.

    Yields
    ------
    int
        How many figures were saved for the next model.
    """
    arguments = [(folder, target, *key, own, palette) for key in models]
    yield from map_in_processes(
        _save_pages_of, arguments, jobs if len(models) >= _WORTH_PROCESSES else 1
    )


def _save_pages_of(arguments: tuple[Path, str, str, str, bool, str]) -> int:
    folder, target, model, condition, own, palette = arguments
    dataset = read_analysis(folder, target, ALL_VOXELS)
    there = model in models_with_results(dataset, condition)
    whose = target if own else ""
    part = matching_model_part(folder, dataset, model, condition, whose) if there else None
    if part is None:
        return 0
    pages = [draw(part, dataset, palette=palette) for draw in (model_page, best_layer_rdm)]
    for page in pages:
        page.save(folder)
    return len(pages)

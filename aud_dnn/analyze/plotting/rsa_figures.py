"""All figures of the RSA, in the order of the published script."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import xarray as xr

from aud_dnn.analyze.plotting.rdms import best_layer_rdm, model_page, neural_rdms, region_matrix
from aud_dnn.analyze.plotting.rsa_scores import clean_speech_bars, position_scatter, rsa_bars, seed_scatter
from aud_dnn.analyze.plotting.style import Drawing
from aud_dnn.resources import (
    BASELINE_MODEL,
    CLEAN_SEED_PAIRS,
    FIGURE_2_MODELS,
    FIGURE_7_MODELS,
    FIGURE_8_MODELS,
    ROIS,
    SEED_PAIRS,
)
from aud_dnn.rsa_results import ALL_VOXELS, CONDITIONS, Part, model_part_path, read_part

Datasets = Mapping[tuple[str, str], xr.Dataset]


def rsa_figures(datasets: Datasets, *, conditions: Sequence[str] = CONDITIONS, statistics: str = "published",
                palette: str = "paper", participants: bool = False) -> Iterator[Drawing]:
    """Every figure across models that the datasets allow; one with nothing to show is left out.

    Parameters
    ----------
    datasets : mapping from (target, region) to Dataset
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
                yield from _over_models(datasets[target, ALL_VOXELS], condition, look, participants)
    for target in targets:
        yield from _neural(datasets, target, palette)
    for target in targets:
        every = sorted({model for (name, _), dataset in datasets.items() if name == target
                        for model in dataset["model"].values.tolist()} - {BASELINE_MODEL})
        for models, prefix in ((FIGURE_7_MODELS, "FIG7_15Models_"), (every, "ALL_MODELS_")):
            for condition in conditions:
                if _has_positions(datasets, target, condition, models):
                    yield position_scatter(datasets, target, condition, models=models, prefix=prefix, **look)


def _present(dataset: xr.Dataset, condition: str) -> set[str]:
    available = dataset["available"].sel(condition=condition).values
    return {model for model, there in zip(dataset["model"].values.tolist(), available) if there}


def _over_models(dataset: xr.Dataset, condition: str, look: dict[str, str], participants: bool) -> Iterator[Drawing]:
    present = _present(dataset, condition)
    own = [model for model in dataset["model"].values.tolist() if model in present]
    if present - {BASELINE_MODEL}:
        yield rsa_bars(dataset, condition, own, prefix="ALL_MODELS_", participants=participants, **look)
        if present & set(FIGURE_2_MODELS) - {BASELINE_MODEL}:
            yield rsa_bars(dataset, condition, FIGURE_2_MODELS, prefix="FIG2_19Models_", participants=participants, **look)
    for pairs, prefix in ((SEED_PAIRS, "FIG2_SeedModels_"), (CLEAN_SEED_PAIRS, "FIG8_SeedModels_")):
        if any(set(pair) <= present for pair in pairs):
            yield seed_scatter(dataset, condition, pairs, prefix=prefix, **look)
    if present & set(FIGURE_8_MODELS):
        yield clean_speech_bars(dataset, condition, participants=participants, **look)


def _neural(datasets: Datasets, target: str, palette: str) -> Iterator[Drawing]:
    rois = [roi for roi in ROIS if (target, roi) in datasets]
    for names in (False, True):
        if rois:
            yield neural_rdms(datasets, target, rois=rois, names=names, palette=palette)
        if (target, ALL_VOXELS) in datasets:
            yield neural_rdms(datasets, target, rois=(ALL_VOXELS,), names=names, palette=palette)
    if len(rois) > 1:
        yield region_matrix(datasets, target)


def _has_positions(datasets: Datasets, target: str, condition: str, models: Iterable[str]) -> bool:
    primary = datasets.get((target, "Primary"))
    return primary is not None and any((target, roi) in datasets for roi in ROIS if roi != "Primary") \
        and bool(_present(primary, condition) & set(models))


def model_pages(folder: Path, dataset: xr.Dataset, models: Iterable[tuple[str, str]], *,
                palette: str = "paper") -> Iterator[Drawing]:
    """The pages of single models: all layers' RDMs with scores, and the best layer's with the names of the sounds.

    Parameters
    ----------
    folder : Path
        ``results/rsa_analysis``.
    dataset : Dataset
        All voxels of one target.
    models : iterable of (model, condition)
    palette : str
    """
    for model, condition in models:
        part: Part | None = read_part(model_part_path(folder, model, condition))
        if part is not None and model in _present(dataset, condition):
            yield model_page(part, dataset, palette=palette)
            yield best_layer_rdm(part, dataset, palette=palette)

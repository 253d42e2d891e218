"""Effective dimensionality of every layer.

From our own RSA run, else from the published files in ``results/ED/``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aud_dnn.conditions import Condition
from aud_dnn.errors import InputError
from aud_dnn.io.pickles.safe_pickle import load_pickle
from aud_dnn.methods.comparing.sides import DIMENSIONALITY_VARIANTS
from aud_dnn.models.registry import MODELS
from aud_dnn.paths import ProjectPaths
from aud_dnn.runs.comparison_origins import ACTIVATIONS, Origins, same_origin
from aud_dnn.store.comparison_parts import Part, read_model_part
from aud_dnn.store.comparison_schema import SCRIPT
from aud_dnn.utils import few

_PUBLISHED_CONDITION: dict[str, str] = {Condition.TRAINED: "trained", Condition.PERMUTED: "random"}
_PUBLISHED_VARIANT = {
    "raw": "",
    "centered": "mean_subtract_pca_",
    "standardized": "mean_subtract_std_divide_pca_",
}
_ALL_LAYERS = "all_eff_dim_layer_list"  # the same numbers once more, without names


def published_path(paths: ProjectPaths, condition: str, variant: str) -> Path:
    """Where the published file of one condition and variant lies."""
    return (
        paths.results
        / "ED"
        / (
            f"all_{_PUBLISHED_CONDITION[condition]}_models_{_PUBLISHED_VARIANT[variant]}"
            "effective_dimensionality_165_sounds.pckl"
        )
    )


def read_published_dimensionality(path: Path) -> dict[tuple[str, str], float]:
    """(model, layer) -> effective dimensionality, from one published file, without running what is
    in it.

    Of complex numbers, which the published eigenvalue solver could return, the real part counts.

    Raises
    ------
    InputError
        The file is not one of these, or cannot be opened safely.
    """
    content = load_pickle(path, allow="tensors")
    if not isinstance(content, dict) or not all(
        isinstance(layers, dict) for layers in content.values()
    ):
        raise InputError(
            f"{path} is not a published file of effective dimensionality: a dictionary of models, "
            "each with a dictionary of layers, was expected. Download it again."
        )
    found = {}
    for model, layers in content.items():
        names = (
            {layer.stored_key: layer.name for layer in MODELS[model].layers}
            if model in MODELS
            else {}
        )
        for layer, value in layers.items():
            if layer != _ALL_LAYERS:
                found[str(model), names.get(layer, str(layer))] = _number(path, model, layer, value)
    return found


def _number(path: Path, model: str, layer: str, value: Any) -> float:
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "iufc":
        raise InputError(f"{path}: {model}, {layer} must be one number. Download the file again.")
    number = float(array.reshape(()).real)
    if not math.isfinite(number) or number < 0:
        raise InputError(f"{path}: {model}, {layer} is {number}, which no dimensionality can be.")
    return number


def layer_dimensionality(
    paths: ProjectPaths, models: Sequence[str], condition: str, variant: str
) -> tuple[Mapping[tuple[str, str], float], list[str]]:
    """Effective dimensionality of every layer of some models.

    Parameters
    ----------
    paths : ProjectPaths
    models : sequence of str
    condition : {"trained", "permuted"}
    variant : {"raw", "centered", "standardized"}
        What was done to the units.

    Returns
    -------
    values : mapping of (model, layer) to float
        Models without a file of ours nor a published number are absent.
    notes : list of str
        Whose numbers are the published ones, and whose activations have changed since.

    Raises
    ------
    DamagedFileError
        A file of ours is not as it was written, or another model's.
    """
    column = DIMENSIONALITY_VARIANTS.index(variant)
    found: dict[tuple[str, str], float] = {}
    absent, stale = [], []
    origins = Origins(paths)
    for model in models:
        part = read_model_part(paths.rsa_results, model, condition)
        if part is None:
            absent.append(model)
            continue
        if _has_changed(origins, part, model, condition):
            stale.append(model)
        found |= {
            (model, layer): float(value)
            for layer, value in zip(part.layers, part.arrays["effective_dimensionality"][:, column])
        }
    origins.save()
    notes = (
        [
            f"The activations of {few(stale)} ({condition}) have changed since the effective "
            f"dimensionality was computed. Compute it again: {SCRIPT} --models {' '.join(stale)}"
        ]
        if stale
        else []
    )
    path = published_path(paths, condition, variant)
    if not absent or not path.is_file():
        return found, notes
    published = {
        key: value for key, value in read_published_dimensionality(path).items() if key[0] in absent
    }
    names = list(dict.fromkeys(model for model, _ in published))
    if names:
        notes.append(
            f"Effective dimensionality of {', '.join(names)} ({condition}) is the published one."
        )
    return found | published, notes


def _has_changed(origins: Origins, part: Part, model: str, condition: str) -> bool:
    try:
        now = origins.activations(model, condition)
    except InputError:
        return True
    return bool(same_origin(part.made_from, {ACTIVATIONS: now}))

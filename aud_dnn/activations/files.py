"""The files that hold the activations of a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from aud_dnn.activations.layer_order import (
    LAYER_ORDER_FILE,
)
from aud_dnn.activations.names import h5_name, pickle_ending
from aud_dnn.errors import (
    InputError,
)
from aud_dnn.models.registry import MODELS
from aud_dnn.paths import ProjectPaths

if TYPE_CHECKING:
    pass


GET_ACTIVATIONS = (
    "`python setup_utils/download_files.py --get_model_actv True` brings the published activations."
)


def models_on_disk(paths: ProjectPaths) -> list[str]:
    """Names of the models that have a folder of activations.

    Those of the registry first, in its order.
    """
    found = {
        folder.name
        for name in ("model-actv", "model_actv")
        if (paths.root / name).is_dir()
        for folder in (paths.root / name).iterdir()
        if folder.is_dir() and not folder.name.startswith(".")
    }
    return [model for model in MODELS if model in found] + sorted(found - set(MODELS))


def activation_files(paths: ProjectPaths, model: str, *, randnetw: bool = False) -> list[Path]:
    """All files that decide what :func:`open_activations` gives; none if there are no activations.

    One HDF5 file, or one pickle per sound, by name; then ``layer_order.txt`` where a user's own
    model has one.

    Raises
    ------
    InputError
        Both formats are there.
    """
    found = stored_files(paths, model, randnetw)
    order = paths.model_activations(model) / LAYER_ORDER_FILE
    return [*found, order] if found and model not in MODELS and order.is_file() else found


def stored_files(paths: ProjectPaths, model: str, randnetw: bool) -> list[Path]:
    """The HDF5 file, or the pickles by name; none if there are no activations."""
    folder = paths.model_activations(model)
    path, ending = folder / h5_name(randnetw), pickle_ending(randnetw)
    pickles = (
        sorted(
            p for p in folder.iterdir() if p.name.endswith(ending) and not p.name.startswith(".")
        )
        if folder.is_dir()
        else []
    )
    if path.is_file() and pickles:
        raise InputError(
            f"{folder} holds both {path.name} and {len(pickles)} files *{ending}; keep one of the "
            "two formats."
        )
    return [path] if path.is_file() else pickles

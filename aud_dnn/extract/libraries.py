"""Libraries that not everybody has, and files of checkpoints."""

from __future__ import annotations

import importlib
import importlib.machinery
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aud_dnn.errors import InputError, MissingDataError

SEQUENCE = ("batch", "time", "feature")


def library(name: str, extra: str = "extract") -> Any:
    """Import a library that not everybody has."""
    try:
        return importlib.import_module(name)
    except Exception as error:  # an installed library can fail to import in many ways
        raise InputError(
            f"This model needs the package {name.split('.')[0]}, which cannot be imported here "
            f"({error}). pip install -e '.[{extra}]' brings what it needs."
        ) from error


def files_of(hub_id: str, names: Sequence[str], checkpoint: Path | None, model: str) -> list[Path]:
    """Files of a local copy of a hub repository, or fetched from the hub into its own cache."""
    if checkpoint is not None:
        paths = [Path(checkpoint) / name for name in names]
        if missing := [path.name for path in paths if not path.is_file()]:
            raise MissingDataError(
                f"{checkpoint} lacks {', '.join(missing)}. Copy {hub_id} there, complete."
            )
        return paths
    hub = library("huggingface_hub", "speechbrain")
    try:
        return [Path(hub.hf_hub_download(hub_id, name)) for name in names]
    except Exception as error:  # network, permissions and caches fail in many ways
        raise InputError(no_weights(model, hub_id, hub_id, error)) from error


def no_weights(model: str, source: str, hub_id: str, error: Exception) -> str:
    """Why the weights of a model cannot be had, and where else they are."""
    return (
        f"The weights of {model} cannot be had from {source} ({str(error).splitlines()[0]}). "
        f"Without network, copy {hub_id} to a folder and name it with --checkpoint."
    )

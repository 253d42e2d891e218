"""What a file of activations says about how it was made."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

import aud_dnn
from aud_dnn.io.sounds import Sound

_LIBRARIES = (
    "numpy",
    "scipy",
    "h5py",
    "torch",
    "transformers",
    "speechbrain",
    "soxr",
    "safetensors",
)


def fingerprint(settings: dict[str, Any]) -> str:
    """SHA-256 of everything that decides the values.

    Two runs with the same fingerprint make the same file.
    """
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def library_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that take part, of those that are installed."""
    versions = {"python": platform.python_version(), "aud_dnn": aud_dnn.__version__}
    for name in _LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def make_settings(
    model: str,
    randnetw: bool,
    layers: Sequence[str],
    details: dict[str, Any],
    sounds: Sequence[Sound],
) -> dict[str, Any]:
    """What decides the values.

    Model, condition, layers, the model's own details, and the sounds with their digests.
    """
    settings = {
        "model": model,
        "randnetw": randnetw,
        "layers": list(layers),
        **details,
        "sounds": [[sound.id, sound.digest] for sound in sounds],
    }
    return json.loads(json.dumps(settings))  # tuples become lists, as they will be when read back


def make_provenance(settings: dict[str, Any]) -> str:
    """The JSON text that is stored: settings, their fingerprint, library versions and the time."""
    created = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return json.dumps(
        {
            "fingerprint": fingerprint(settings),
            "created": created,
            "libraries": library_versions(),
            **settings,
        }
    )


def differing_settings(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Names of the settings that two runs do not share."""
    ignored = {"fingerprint", "created", "libraries"}
    return sorted(
        name for name in (set(one) | set(other)) - ignored if one.get(name) != other.get(name)
    )

"""Score audio neural networks against responses of the human auditory cortex.

What is named in ``__all__`` is the front door, for Python and notebooks; it is loaded when it is
first used. The scripts use the rooms behind it: ``docs/code.md`` says what is where.

>>> import aud_dnn
>>> features = aud_dnn.open_activations("Kell2018word").read("relu2")
>>> aud_dnn.score(features, "NH2015comp")["r2_test"].shape
(1, 6, 10)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aud_dnn.api.brains import brain_to_brain
    from aud_dnn.api.questions import kinds_of_sound, uncertainty
    from aud_dnn.api.reading import (
        layer_choices,
        load_target,
        open_activations,
        read_result,
        results,
    )
    from aud_dnn.api.score_model import score_model
    from aud_dnn.api.scoring import compare, score
    from aud_dnn.api.similarity import similarity
    from aud_dnn.api.sweep import sweep
    from aud_dnn.api.unique_variance import unique_variance
    from aud_dnn.methods.ridge.estimator import VoxelwiseRidgeCV
    from aud_dnn.targets.loading import Target
    from aud_dnn.targets.target_files import read_target, write_target

__version__ = "0.1.0"

NUMERICS_VERSION = 2
"""Raised whenever a change moves a stored number; written into the provenance of every result."""

__all__ = [
    "Target",
    "VoxelwiseRidgeCV",
    "brain_to_brain",
    "compare",
    "kinds_of_sound",
    "layer_choices",
    "load_target",
    "open_activations",
    "read_result",
    "read_target",
    "results",
    "score",
    "score_model",
    "similarity",
    "sweep",
    "uncertainty",
    "unique_variance",
    "write_target",
]

_HOMES = {
    "Target": "aud_dnn.targets.loading",
    "VoxelwiseRidgeCV": "aud_dnn.methods.ridge.estimator",
    "brain_to_brain": "aud_dnn.api.brains",
    "compare": "aud_dnn.api.scoring",
    "kinds_of_sound": "aud_dnn.api.questions",
    "layer_choices": "aud_dnn.api.reading",
    "load_target": "aud_dnn.api.reading",
    "open_activations": "aud_dnn.api.reading",
    "read_result": "aud_dnn.api.reading",
    "read_target": "aud_dnn.targets.target_files",
    "results": "aud_dnn.api.reading",
    "score": "aud_dnn.api.scoring",
    "score_model": "aud_dnn.api.score_model",
    "similarity": "aud_dnn.api.similarity",
    "sweep": "aud_dnn.api.sweep",
    "uncertainty": "aud_dnn.api.questions",
    "unique_variance": "aud_dnn.api.unique_variance",
    "write_target": "aud_dnn.targets.target_files",
}


def __getattr__(name: str) -> Any:
    """Load what ``__all__`` names when it is first used; ``--help`` needs none of it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""Which models there are, and how each is built."""

from __future__ import annotations

from aud_dnn.errors import InputError, unknown_name
from aud_dnn.extract.baseline import SpectroTemporalExtractor
from aud_dnn.extract.run import Extractor
from aud_dnn.resources import BASELINE_MODEL

AVAILABLE_MODELS = (BASELINE_MODEL,)
"""Models that can be extracted by name."""


def build_extractor(model: str, *, randnetw: bool = False, pooling: str = "power") -> Extractor:
    """The extractor of a model.

    Raises
    ------
    InputError
        Unknown model, or an option that the model does not have.
    """
    if model == BASELINE_MODEL:
        if randnetw:
            raise InputError(f"{BASELINE_MODEL} has no weights and so no permuted version; the analyses that need one use "
                             "its only version. Leave --randnetw out.")
        return SpectroTemporalExtractor(pooling)
    raise unknown_name("model", model, AVAILABLE_MODELS)

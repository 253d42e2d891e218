"""The SpectroTemporal model as something that :func:`aud_dnn.extract.extract` runs.

NumPy and SciPy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from aud_dnn.errors import unknown_name
from aud_dnn.extract.cochleagram import (
    DURATION,
    N_CHANNELS,
    SAMPLE_RATE,
    cochleagram,
    envelope_floor,
    prepare_waveform,
)
from aud_dnn.extract.spectemp import N_FEATURES, POOLINGS, pool_power, spectrotemporal_features


class SpectroTemporalExtractor:
    """Layers as published.

    The cochleagram, the linear output, the power, and what the analyses use (``avgpool``).

    Parameters
    ----------
    pooling : {"power", "rms", "log"}
        What ``avgpool`` holds; ``power`` is the model of the paper.
    floor : {"none", "published"}
        See :func:`aud_dnn.extract.cochleagram.cochleagram`.
    """

    layers = ("input_after_preproc", "filtered_signal", "spectempfilter_power", "avgpool")
    sample_rate = SAMPLE_RATE
    duration = DURATION
    policy = "crop"
    max_batch = 1

    def __init__(self, pooling: str = "power", floor: str = "none") -> None:
        if pooling not in POOLINGS:
            raise unknown_name("pooling of the SpectroTemporal model", pooling, POOLINGS)
        envelope_floor(floor)
        self._pooling, self._floor = pooling, floor
        self.details: dict[str, Any] = {
            "pooling": pooling,
            "envelope_floor": floor,
            "preprocessing": "first 2 s, polyphase to 20 kHz, RMS 0.1, clipped to [-1, 1], "
            "cochleagram 211 x 390 (float64)",
        }

    def check(self, batch: int = 1) -> str:
        """The layers and their lengths.

        There is nothing here that could go wrong with another sound.
        """
        lengths = (N_CHANNELS, N_FEATURES, N_FEATURES, N_FEATURES)
        return "\n".join(
            f"{layer:22}{length}"
            for layer, length in zip(("tap", *self.layers), ("values", *lengths))
        )

    def prepare(self, samples: np.ndarray, rate: int) -> np.ndarray:
        """The cochleagram of one sound."""
        return cochleagram(prepare_waveform(samples, rate), floor=self._floor)

    def run(self, prepared: Sequence[np.ndarray]) -> list[dict[str, np.ndarray]]:
        """Stored key -> features, for each sound of the batch."""
        rows = []
        # roots and logarithms magnify what single precision leaves of the smallest powers
        dtype = np.float32 if self._pooling == "power" else np.float64
        for image in prepared:
            features = spectrotemporal_features(image, dtype=dtype)
            rows.append(
                {
                    "input_after_preproc": image.mean(axis=1),
                    "filtered_signal": features.filtered.ravel(),
                    "spectempfilter_power": features.power.ravel(),
                    "avgpool": pool_power(features.power, self._pooling).ravel(),
                }
            )
        return rows

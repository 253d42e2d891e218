"""A small network with everything that the tool wants to know about it.

The demo and ``docs/own_model.md`` use it.

Its weights are random, drawn once from a fixed seed: a learned network would be larger, not
otherwise connected.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from aud_dnn.extract.resampling import resample
from aud_dnn.extract.taps import Tap
from aud_dnn.extract.torch_network import TorchModel

SAMPLE_RATE = 16_000


class SmallNetwork(nn.Module):
    """Three stages on the waveform, each a convolution, a batch norm and a rectifier.

    Input (n_sounds, 1, n_samples).
    """

    def __init__(self) -> None:
        super().__init__()
        self.filters = nn.Sequential(
            nn.Conv1d(1, 64, 400, stride=80), nn.BatchNorm1d(64), nn.ReLU()
        )
        self.patterns = nn.Sequential(nn.Conv1d(64, 96, 9, stride=2), nn.BatchNorm1d(96), nn.ReLU())
        self.combinations = nn.Sequential(
            nn.Conv1d(96, 128, 9, stride=2), nn.BatchNorm1d(128), nn.ReLU()
        )

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        return self.combinations(self.patterns(self.filters(waveform)))


def build_network() -> nn.Module:
    """The bare network; ``--taps`` says where to read it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return SmallNetwork()


def build() -> TorchModel:
    """The network with its input and its taps."""

    def prepare(samples: np.ndarray, rate: int) -> torch.Tensor:
        waveform = resample(samples, rate, SAMPLE_RATE, "polyphase")
        return torch.tensor(waveform / np.sqrt(np.mean(waveform**2)), dtype=torch.float32)[
            None, None
        ]

    taps = [
        Tap(name, name, module=name, axes=("batch", "channel", "time"))
        for name in ("filters", "patterns", "combinations")
    ]
    return TorchModel(
        build_network(),
        taps,
        SAMPLE_RATE,
        prepare,
        max_batch=None,
        details={"preprocessing": "polyphase to 16 kHz, RMS 1"},
    )

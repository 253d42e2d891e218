"""What a permuted control leaves alone: parts of a network that were never learned."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from aud_dnn.extract.fixed_parts import described_parts, fixed_parts  # noqa: E402


def fourier(n_samples: int = 128, window: bool = True) -> torch.Tensor:
    """Real and imaginary part, one after the other: (2 * (n / 2 + 1), 1, n)."""
    times = np.arange(n_samples)
    angles = 2 * np.pi * np.outer(np.arange(n_samples // 2 + 1), times) / n_samples
    basis = np.concatenate([np.cos(angles), np.sin(angles)])
    if window:
        basis = basis * np.hanning(n_samples)
    return torch.tensor(basis[:, None], dtype=torch.float32)


def constant_q(n_samples: int = 2048, n_bins: int = 40) -> torch.Tensor:
    """Windows of 17 periods, in the middle of zeros."""
    basis = np.zeros((2, n_bins, n_samples))
    for i, period in enumerate(np.geomspace(100, 6, n_bins)):
        length = int(17 * period)
        start = (n_samples - length) // 2
        times = np.arange(length) / period
        for part, wave in enumerate((np.cos, np.sin)):
            basis[part, i, start : start + length] = np.hanning(length) * wave(2 * np.pi * times)
    return torch.tensor(basis.reshape(-1, 1, n_samples), dtype=torch.float32)


def triangles(n_bands: int = 40, n_bins: int = 257) -> torch.Tensor:
    edges = np.geomspace(4, n_bins - 1, n_bands + 2)
    bins = np.arange(n_bins)
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bands = np.minimum((bins - low) / (middle - low), (high - bins) / (high - middle))
    return torch.tensor(np.maximum(bands, 0), dtype=torch.float32)


def linear(weight: torch.Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight.data = weight.clone()
    return layer


def conv(weight: torch.Tensor) -> nn.Conv1d:
    layer = nn.Conv1d(weight.shape[1], weight.shape[0], weight.shape[2], bias=False)
    layer.weight.data = weight.clone()
    return layer


class Constants(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.5]))
        self.bins = nn.Parameter(torch.randn(20, 30), requires_grad=False)


class Codebook(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("embed", torch.randn(16, 8))
        self.register_buffer("cluster_size", torch.ones(16))


@pytest.mark.parametrize(
    ("part", "entry", "kind"),
    [
        (lambda: conv(fourier()), "weight", "Fourier basis"),
        (lambda: conv(fourier(window=False)), "weight", "Fourier basis"),
        (lambda: conv(fourier()[:65]), "weight", "Fourier basis"),
        (lambda: conv(constant_q()), "weight", "Fourier basis"),
        (lambda: linear(triangles()), "weight", "filter bank"),
        (lambda: linear(triangles().T.contiguous()), "weight", "filter bank"),
        (Constants, "mean", "buffer"),
        (Constants, "bins", "not trained"),
    ],
)
def test_what_was_never_learned_is_recognised(part, entry, kind):
    torch.manual_seed(0)
    network = nn.ModuleDict({"front": part(), "learned": nn.Conv1d(1, 64, 128)})
    assert fixed_parts(network)[f"front.{entry}"].startswith(kind)
    assert not any(name.startswith("learned") for name in fixed_parts(network))


def frozen(layer: nn.Module) -> nn.Module:
    return layer.requires_grad_(False)


@pytest.mark.parametrize(
    "part",
    [
        lambda: nn.Conv1d(1, 64, 128),
        lambda: nn.BatchNorm1d(64),
        lambda: frozen(nn.Conv1d(1, 64, 128)),
        lambda: linear(torch.randn(40, 257).relu()),
        lambda: linear(triangles()[torch.randperm(40)]),
        lambda: conv(fourier()[torch.randperm(130)]),
        Codebook,
        lambda: nn.LSTM(40, 64, 2),
        lambda: nn.Embedding(64, 64),
    ],
)
def test_what_was_learned_is_permuted(part):
    torch.manual_seed(1)
    network = nn.ModuleDict({"part": part(), "head": nn.Linear(8, 8)})
    assert fixed_parts(network) == {}


def test_long_lists_are_shortened():
    assert described_parts({f"w{i}": "buffer" for i in range(9)}).endswith("and 3 more")

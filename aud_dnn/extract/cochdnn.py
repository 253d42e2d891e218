"""CochCNN9 and CochResNet50, the in-house networks, and their cochleagram in PyTorch.

Names of modules and parameters are those of the public checkpoints.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional

from aud_dnn.extract.cochleagram import (
    COMPRESSION_EXPONENT,
    COMPRESSION_OFFSET,
    N_FRAMES,
    N_SAMPLES,
    downsampling_kernel,
    envelope_floor,
    filter_bank,
)

TASK_CLASSES = OrderedDict(
    [("signal/word_int", 794), ("signal/speaker_int", 433), ("noise/labels_binary_via_int", 517)]
)
"""Heads of the multi-task networks, in order, with their numbers of classes."""


class Cochleagram(nn.Module):
    """:func:`aud_dnn.extract.cochleagram.cochleagram` for a batch.

    (n_sounds, 40000) -> (n_sounds, 1, 211, 390), float32.
    """

    def __init__(self, floor: str = "none") -> None:
        super().__init__()
        self.floor = envelope_floor(floor)
        self.register_buffer(
            "filters", torch.tensor(filter_bank(), dtype=torch.float32), persistent=False
        )
        kernel = torch.tensor(downsampling_kernel(), dtype=torch.float32)
        self.register_buffer("kernel", kernel[None, None], persistent=False)

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        spectrum = torch.fft.rfft(waveform.clamp(-1, 1))
        rows = []
        for gains in self.filters.split(16):  # all channels at once would take 70 MB per sound
            analytic = torch.fft.ifft(spectrum[:, None] * gains, n=N_SAMPLES)
            envelope = analytic.abs().clamp(min=self.floor).flatten(0, 1)[:, None]
            rows.append(
                functional.conv1d(envelope, self.kernel, stride=100).view(
                    len(waveform), -1, N_FRAMES
                )
            )
        frames = torch.cat(rows, dim=1)
        return ((frames.clamp(min=0) + COMPRESSION_OFFSET) ** COMPRESSION_EXPONENT)[:, None]


def _same_padding(
    size: tuple[int, int], kernel: tuple[int, int], stride: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Padding of the last axis, then of the one before, such that out = ceil(in / stride).

    The odd one goes behind.
    """
    padding = []
    for n, k, s in zip(size[::-1], kernel[::-1], stride[::-1]):
        total = max((-(-n // s) - 1) * s + k - n, 0)
        padding += [total // 2, total - total // 2]
    return tuple(padding)


class _SameConv2d(nn.Conv2d):
    def __init__(
        self, inputs: int, outputs: int, kernel: tuple[int, int], stride: tuple[int, int] = (1, 1)
    ) -> None:
        super().__init__(inputs, outputs, kernel, stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(
            functional.pad(x, _same_padding(x.shape[-2:], self.kernel_size, self.stride))
        )


class _SameMaxPool2d(nn.MaxPool2d):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        padding = _same_padding(x.shape[-2:], self.kernel_size, self.stride)
        return super().forward(functional.pad(x, padding, value=float("-inf")))


class _SameAvgPool2d(nn.AvgPool2d):
    def forward(self, x: torch.Tensor) -> torch.Tensor:  # padded zeros count in the divisor
        return super().forward(
            functional.pad(x, _same_padding(x.shape[-2:], self.kernel_size, self.stride))
        )


def _head(inputs: int, classes: int | Mapping[str, int]) -> nn.Module:
    if isinstance(classes, int):
        return nn.Linear(inputs, classes)
    return nn.ModuleDict({task: nn.Linear(inputs, n) for task, n in classes.items()})


def _classify(head: nn.Module, x: torch.Tensor) -> torch.Tensor | dict[str, torch.Tensor]:
    if isinstance(head, nn.ModuleDict):
        return {task: linear(x) for task, linear in head.items()}
    return head(x)


class CochCNN9(nn.Module):
    """Nine stages on a cochleagram (n_sounds, 1, 211, 390).

    Parameters
    ----------
    classes : int or mapping
        Number of classes of the one task, or task -> number of classes for several heads.
    """

    def __init__(self, classes: int | Mapping[str, int]) -> None:
        super().__init__()
        self.batchnorm0 = nn.BatchNorm2d(1)
        self.conv0 = _SameConv2d(1, 96, (7, 14), (3, 3))
        self.relu0 = nn.ReLU()
        self.maxpool0 = _SameMaxPool2d((2, 5), (2, 2))
        self.batchnorm1 = nn.BatchNorm2d(96)
        self.conv1 = _SameConv2d(96, 256, (4, 8), (2, 2))
        self.relu1 = nn.ReLU()
        self.maxpool1 = _SameMaxPool2d((2, 5), (2, 2))
        self.batchnorm2 = nn.BatchNorm2d(256)
        self.conv2 = _SameConv2d(256, 512, (2, 5))
        self.relu2 = nn.ReLU()
        self.conv3 = _SameConv2d(512, 1024, (2, 5))
        self.relu3 = nn.ReLU()
        self.conv4 = _SameConv2d(1024, 512, (2, 5))
        self.relu4 = nn.ReLU()
        self.avgpool = _SameAvgPool2d((2, 5), (2, 2))
        self.fullyconnected = nn.Linear(512 * 5 * 9, 4096)
        self.relufc = nn.ReLU()
        self.dropout = nn.Dropout(0.5)
        self.classification = _head(4096, classes)
        if not isinstance(classes, int):
            nn.init.constant_(self.batchnorm0.weight, 0.6180)
            nn.init.constant_(self.batchnorm0.bias, -2.0971)

    def forward(self, x: torch.Tensor) -> torch.Tensor | dict[str, torch.Tensor]:
        for name, module in self.named_children():
            if name == "fullyconnected":
                x = x.flatten(start_dim=1)
            x = _classify(module, x) if name == "classification" else module(x)
        return x


class _Bottleneck(nn.Module):
    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = 4 * width
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = functional.relu(self.bn1(self.conv1(x)))
        x = functional.relu(self.bn2(self.conv2(x)))
        return functional.relu(self.bn3(self.conv3(x)) + shortcut)


def _stage(inputs: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    first = _Bottleneck(inputs, width, stride)
    return nn.Sequential(first, *(_Bottleneck(4 * width, width, 1) for _ in range(blocks - 1)))


class CochResNet50(nn.Module):
    """ResNet-50 (He et al. 2016; stride on the 3 x 3 convolution) with one input channel.

    See :class:`CochCNN9`.

    Several heads come with rectification in place, as in the multi-task network of the paper:
    there, the stored ``bn1`` is the rectified one.
    """

    def __init__(self, classes: int | Mapping[str, int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.conv1_relu1 = nn.ReLU()
        self.maxpool1 = nn.MaxPool2d(3, 2, padding=1)
        self.layer1 = _stage(64, 64, 3, 1)
        self.layer2 = _stage(256, 128, 4, 2)
        self.layer3 = _stage(512, 256, 6, 2)
        self.layer4 = _stage(1024, 512, 3, 2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = _head(2048, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor | dict[str, torch.Tensor]:
        for name, module in self.named_children():
            x = _classify(module, x.flatten(start_dim=1)) if name == "fc" else module(x)
        return x

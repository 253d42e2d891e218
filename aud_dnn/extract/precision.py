"""Arithmetic in 32 bits: kept to, and its breaches found."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch

from aud_dnn.extract.tap_reports import modules_with_hooks

_HALF = (torch.float16, torch.bfloat16)


@contextlib.contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """float32 as on the CPU.

    No autocast from outside, no TensorFloat-32 (19 bits) in convolutions on a GPU.
    """
    cudnn = torch.backends.cudnn
    with (
        torch.autocast(device.type, enabled=False),
        cudnn.flags(
            enabled=cudnn.enabled,
            benchmark=cudnn.benchmark,
            deterministic=cudnn.deterministic,
            allow_tf32=False,
        ),
    ):
        yield


@contextlib.contextmanager
def half_precision(network: torch.nn.Module, device: torch.device) -> Iterator[list[str]]:
    """Fills a list with the modules that compute in 16 bits, while the network runs."""
    names = {module: name or "the network itself" for name, module in modules_with_hooks(network)}
    half: list[str] = []
    probe = torch.ones(1, 1, device=device)

    def look(module: torch.nn.Module, _: Any, output: Any) -> None:
        tensors = [
            *(output if isinstance(output, (tuple, list)) else [output]),
            probe @ probe,
        ]  # in autocast: 16 bits
        if any(isinstance(tensor, torch.Tensor) and tensor.dtype in _HALF for tensor in tensors):
            half.append(names[module])

    handles = [module.register_forward_hook(look) for module in names]
    try:
        yield half
    finally:
        for handle in handles:
            handle.remove()

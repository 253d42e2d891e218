"""Files that hold a network, not only its weights: ONNX and TorchScript."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_ONNX = (".onnx",)
_TORCHSCRIPT = (".pt", ".pth", ".ts", ".jit", ".torchscript")


def is_network_file(source: str) -> bool:
    """Whether a model is named by a file that holds it."""
    return source.lower().endswith((*_ONNX, *_TORCHSCRIPT))


def read_network(path: Path) -> torch.nn.Module:
    """The network in a file.

    Raises
    ------
    InputError
        No such file, or none that holds a network.
    """
    if path.suffix.lower() in _ONNX:
        from aud_dnn.extract.onnx_network import OnnxNetwork

        return OnnxNetwork(path)
    from aud_dnn.extract.torchscript import ScriptNetwork

    return ScriptNetwork(path)

"""The modules of a network that can be tapped.

Names, classes, and the shapes of what they return for one sound.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from aud_dnn.errors import is_memory_error
from aud_dnn.extract.torch_network import TorchModel
from aud_dnn.extract.user_code import describe_error

_MOST_PARTS = 4


def module_table(model: TorchModel) -> str:
    """Run a model on noise of the length that it takes, and list what every module returned, as
    text.

    Parameters
    ----------
    model : TorchModel
        Its taps do not matter. Where the network cannot take its input, modules are listed without
        shapes, and why.
    """
    network = model.network.eval()
    noise = 0.1 * np.random.default_rng(0).standard_normal(
        round(model.sample_rate * (model.duration or 2.0))
    )
    returned: dict[torch.nn.Module, list[str]] = {}

    def note(module: torch.nn.Module, _: Any, output: Any) -> None:
        returned.setdefault(module, []).append(shape_of(output))

    modules = [(name, module) for name, module in network.named_modules() if name]
    handles = [
        module.register_forward_hook(note)
        for _, module in modules
        if not isinstance(module, torch.jit.ScriptModule)
    ]
    problem = ""
    rows = [("module", "class", "returns", "runs")]
    try:
        with torch.inference_mode():
            inputs = model.prepare(noise, model.sample_rate)
            rows.append(("(input)", "-", shape_of(inputs), "-"))
            whole = shape_of(model.run(inputs))
        rows.append(("(the network)", type(network).__name__, whole, "1"))
    except Exception as error:
        if is_memory_error(error):
            raise
        problem = (
            f"\nIt could not be run to the end ({describe_error(error)}); --taps FILE.toml can say "
            "what it takes."
        )
    finally:
        for handle in handles:
            handle.remove()
    for name, module in modules:
        runs = returned.get(module, [])
        rows.append((name, type(module).__name__, runs[0] if runs else "-", str(len(runs))))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return (
        "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
            for row in rows
        )
        + problem
    )


def shape_of(output: Any, path: str = "", depth: int = 0) -> str:
    """``1 x 64 x 396``.

    Of several tensors with the path that ``element`` or ``returned`` takes: ``0: 1 x 64, 1: 1 x
    2``.
    """
    if isinstance(output, torch.Tensor):
        shape = " x ".join(map(str, output.shape)) or "scalar"
        return f"{path}: {shape}" if path else shape
    if depth < 3 and isinstance(output, (Mapping, tuple, list)) and output:
        items = list(output.items() if isinstance(output, Mapping) else enumerate(output))
        parts = [
            shape_of(value, f"{path}.{name}" if path else str(name), depth + 1)
            for name, value in items[:_MOST_PARTS]
        ]
        return ", ".join(parts) + (f", … ({len(items)} in all)" if len(items) > _MOST_PARTS else "")
    return f"{path}: {type(output).__name__}" if path else type(output).__name__

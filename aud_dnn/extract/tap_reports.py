"""What taps of a network give, in words: the table of a dry run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from aud_dnn.errors import InputError
from aud_dnn.extract.taps import FINAL_RULES, Tap, follow_path


@dataclass(frozen=True)
class TapRow:
    """One row of the table of a dry run: what a tap saw, and how long its vector is."""

    tap: Tap
    shape: str
    length: int


def modules_with_hooks(network: torch.nn.Module) -> list[tuple[str, torch.nn.Module]]:
    """Names and modules; those of TorchScript programs take no hooks."""
    return [
        (name, module)
        for name, module in network.named_modules()
        if not isinstance(module, torch.jit.ScriptModule)
    ]


def format_table(rows: Sequence[TapRow]) -> str:
    """The table of a dry run, as text."""
    lines = [("tap", "stored as", "from", "shape", "rule", "values")]
    for row in rows:
        tap = row.tap
        rule = (
            tap.collapse
            + (" (rms)" if tap.pooling == "rms" else "")
            + (f" after {tap.post}" if tap.post else "")
        )
        lines.append(
            (
                tap.name,
                tap.key,
                tap.module or f"returned {tap.returned}",
                row.shape,
                rule,
                str(row.length),
            )
        )
    widths = [max(len(line[column]) for line in lines) for column in range(6)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines
    )


def describe(tap: Tap) -> dict[str, Any]:
    """The fields of a tap that are not at their default; for the provenance."""
    default = Tap("default", "default", module="default", axes=("time",))
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in vars(tap).items()
        if name in ("name", "key") or value != getattr(default, name)
    }


def differ(one: np.ndarray, other: np.ndarray) -> bool:
    """Beyond what another order of summation explains."""
    scale = max(float(np.abs(one).max()), 1e-12)
    return len(one) != len(other) or float(np.abs(one - other).max()) > 1e-4 * scale


def shape_of(output: Any, tap: Tap) -> str:
    """The shape that a tap sees, for the table."""
    if tap.collapse in FINAL_RULES:
        states = output[1] if isinstance(output, tuple) and len(output) == 2 else None
        value = states[-1] if isinstance(states, tuple) else states
    else:
        value = follow_path(output, tap.returned or tap.element, f"tap {tap.name}")
    if isinstance(value, torch.nn.utils.rnn.PackedSequence):
        return f"packed {tuple(value.data.shape)}"
    return (
        " x ".join(map(str, value.shape))
        if isinstance(value, torch.Tensor)
        else type(value).__name__
    )


def wrong_number_of_calls(tap: Tap, calls: int) -> str:
    """What to do about a module that never runs, or runs several times."""
    if calls == 0:
        return (
            f"tap {tap.name}: {tap.module} never runs in a forward pass. Tap the module that does "
            "the work (a container whose parts are called one by one does not fire, nor does a "
            "module that is replaced by a function)."
        )
    return (
        f"tap {tap.name}: {tap.module} runs {calls} times in a forward pass, but {tap.calls} "
        f"declared. Declare calls = {calls} and call = 0 … {calls - 1} for the run that you want."
    )


def device_called(name: str) -> torch.device:
    """The device of this name, after trying it."""
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            f"The device {name!r} is not available here ({str(error).splitlines()[0]}). Use "
            "--device cpu."
        ) from error
    return device

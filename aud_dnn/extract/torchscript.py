"""A TorchScript program as a PyTorch module, as far as it can be looked into.

Such a program runs outside of Python, so that no hook inside of it is called. But where it does
nothing but pass the sound through its parts one after the other, those parts can be called one by
one; whether that is so is tried on every sound, by comparing the end with what the whole returns.
Elsewhere what it returns is all that can be seen.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from aud_dnn.errors import InputError, MissingDataError
from aud_dnn.io.progress import tell

_TOLERANCE = 1e-4


class ScriptPart(torch.nn.Module):
    """What a part of the program returns, for hooks; its class is named after the part's."""

    stage_kind: str = "other"

    def forward(self, value: Any) -> Any:
        """The value itself."""
        return value


class ScriptNetwork(torch.nn.Module):
    """A TorchScript file, ready to be tapped.

    Parameters
    ----------
    file : path

    Raises
    ------
    InputError
        The file holds no such program.
    """

    def __init__(self, file: str | Path) -> None:
        super().__init__()
        self.file = Path(file)
        if not self.file.is_file():
            raise MissingDataError(f"{self.file} is not there.")
        try:
            program = torch.jit.load(str(self.file), map_location="cpu")
        except (RuntimeError, ValueError) as error:
            raise InputError(
                f"{self.file} holds no TorchScript program. If it holds weights, name the function "
                "that builds the network, and the file with --checkpoint."
            ) from error
        self.program = program.eval()
        self._chain: list[tuple[str, Any]] | None = None
        # paths may contain dots, which add_module refuses
        for path, part in program.named_modules():
            if path:
                described = {"stage_kind": _kind(part), "label": path}
                self._modules[path] = type(part.original_name, (ScriptPart,), described)()

    def stage_parts(self) -> tuple[set[str], set[str]]:
        """Parts of the chain that have parts themselves, and those that have none."""
        chain = self._chain or []
        inner = {path for path, part in chain if next(part.children(), None) is not None}
        return inner, {path for path, _ in chain} - inner

    def forward(self, sound: torch.Tensor) -> Any:
        """What the program returns."""
        whole = self.program(sound)
        values = None if self._chain is None else self._values(sound, whole)
        if (
            values is None
        ):  # the first sound, or one before it was silence, which hides what adds up
            self._chain = _chain(self.program, "", sound, whole)
            values = self._values(sound, whole) or {}
            if not values:
                tell(
                    "%s: its parts do not follow one after the other, and a TorchScript program "
                    "cannot be looked into: what it returns is all that can be tapped",
                    self.file,
                )
        for path, value in values.items():
            self._modules[path](value)
        return whole

    def _values(self, sound: torch.Tensor, whole: Any) -> dict[str, Any] | None:
        """What the parts of the chain return; None where the last of it is not ``whole``."""
        values, value = {}, sound
        for path, part in self._chain or ():
            values[path] = value = part(value)
        return values if not values or _same(value, whole) else None


def _chain(program: Any, path: str, given: Any, returned: Any) -> list[tuple[str, Any]]:
    """The parts of a program that follow one after the other; empty where they do not."""
    found: list[tuple[str, Any]] = []
    value = given
    for name, part in program.named_children():
        try:
            result = part(value)
        except Exception:  # a part that takes something else is no link of a chain
            return []
        below = f"{path}.{name}".lstrip(".")
        found += _chain(part, below, value, result) or [(below, part)]
        value = result
    return found if found and _same(value, returned) else []


def _same(one: Any, other: Any) -> bool:
    """Equal but for the order of summation, which the program's optimiser changes."""
    if not (isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor)):
        return False
    if one.shape != other.shape or not one.is_floating_point():
        return False
    return bool((one - other).abs().max() <= _TOLERANCE * other.abs().max())


def _kind(part: Any) -> str:
    """As :func:`aud_dnn.extract.stages.stages_of` counts modules."""
    name = part.original_name
    if "Norm" in name:
        return "norm"
    if any(parameter.ndim > 1 for parameter in part.parameters()):
        return "learned"
    kind = getattr(torch.nn.modules.activation, name, None)
    return "activation" if kind is not None and "Softmax" not in name else "other"

"""Taps for a network that nobody has described yet.

The network runs on one sound, on two, and on a longer or shorter one. What doubles with the number
of sounds is the batch axis, what changes with their length is time; where a network takes one
length only, the axis is time whose two ends follow those of the sound. Nothing is guessed. Of all
modules those are proposed that a reader of the architecture would name: repeated blocks, recurrent
layers, activations behind convolutions and linear layers.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from aud_dnn.errors import InputError
from aud_dnn.extract.stages import Run, Shape, by_run, runs_of, stages_of, time_axes
from aud_dnn.extract.taps import EVERY_CALL, Tap
from aud_dnn.extract.torch_network import TorchModel

MOST_TAPS = 25
_LENGTHS = (1.5, 0.5)
"""Lengths that are tried beside the usual one, as factors; the first that tells an axis counts."""


@dataclass(frozen=True)
class Proposal:
    """Taps, and what was left out.

    Attributes
    ----------
    taps : tuple of Tap
        In the order in which the network runs.
    rows : tuple of (str, str, str)
        Class of the module, shape for one sound, and what was averaged, one per tap.
    open : tuple of str
        Modules with an axis that cannot be told, each with the line to write.
    n_candidates : int
        Stages that were found; :data:`MOST_TAPS` of them are taken.
    """

    taps: tuple[Tap, ...]
    rows: tuple[tuple[str, str, str], ...]
    open: tuple[str, ...]
    n_candidates: int

    def table(self) -> str:
        """The proposal for people."""
        lines = [("tap", "class", "shape of one sound", "axes", "averaged over")]
        for tap, (kind, shape, over) in zip(self.taps, self.rows):
            lines.append((tap.name, kind, shape, " ".join(tap.axes), over))
        widths = [max(len(line[column]) for line in lines) for column in range(5)]
        text = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip()
            for line in lines
        ]
        if self.n_candidates > len(self.taps):
            text.append(f"({len(self.taps)} of {self.n_candidates} stages, spread over the depth.)")
        return "\n".join([*text, *self.open])

    def toml(self, options: Mapping[str, Any]) -> str:
        """The proposal as a taps file, with ``options`` before the taps."""
        lines = ["# Proposed from the network's modules; edit as you like.", ""]
        lines += [f"{name} = {_toml(value)}" for name, value in options.items()]
        for tap in self.taps:
            lines += ["", "[[tap]]"]
            named = tap.module or tap.returned.strip(".") or "output"  # as where it is read
            default = Tap(named, named, module="x", axes=("time",))
            lines += [
                f"{name} = {_toml(value)}"
                for name, value in vars(tap).items()
                if value != getattr(default, name) and value != ""
            ]
        return "\n".join([*lines, *(f"# {line}" for line in self.open)]) + "\n"


def propose(model: TorchModel, *, all_modules: bool = False) -> Proposal:
    """Taps for a network.

    Parameters
    ----------
    model : TorchModel
        Its taps do not matter.
    all_modules : bool
        Every module that returns a tensor with axes that can be told, instead of the stages that
        stand for the architecture.

    Raises
    ------
    InputError
        The network cannot take its input, or no axis of any stage can be told.
    """
    network = model.network.eval()
    usual = runs_of(model, 1, 1.0, required=True)
    double = by_run(runs_of(model, 2, 1.0))
    others = [by_run(runs_of(model, 1, length)) for length in _LENGTHS]
    stages = usual if all_modules else stages_of(network, usual)
    if not stages:  # what the network returns is all that can be seen
        stages = [run for run in usual if not run.module]
    counts = Counter(run.module for run in usual)
    varying = _varying(usual, others)
    ends: dict[tuple[str, int], dict[str, int]] = {}
    if any(_tap(run, double, others, {})[2] for run in stages):  # length alone does not tell
        ends = time_axes(model, {run.module for run in stages})
    found: list[tuple[Tap, tuple[str, str, str]]] = []
    single: list[tuple[Tap, tuple[str, str, str]]] = []  # of one number, such as a probability
    unclear: list[str] = []
    done = set()
    for run in stages:
        if run.module in varying and run.module in done:
            continue
        done.add(run.module)
        tap, shape, problem = _tap(run, double, others, ends.get((run.module, run.call), {}))
        if tap is None:
            if problem:
                unclear.append(problem)
            continue
        if run.module in varying:
            tap = replace(tap, call=EVERY_CALL)
        elif counts[run.module] > 1:
            name = f"{tap.name}.{run.call}"
            tap = replace(tap, name=name, key=name, calls=counts[run.module], call=run.call)
        over = " and ".join(axis for axis in tap.axes if axis == "time") or "nothing"
        over += " and all runs" if tap.call == EVERY_CALL else ""
        row = (run.kind, " x ".join(map(str, shape)), over)
        if run.n_layers > 1 and "time" in tap.axes:
            for layer in range(run.n_layers - 1):
                name = f"{tap.name}.layer{layer}"
                found.append((replace(tap, name=name, key=name, layer=layer), row))
        n_features = math.prod(
            side for side, axis in zip(shape, tap.axes) if axis not in ("batch", "time")
        )
        (found if n_features > 1 or all_modules else single).append((tap, row))
    found = found or single
    if not found:
        raise InputError(
            "No taps can be proposed: "
            + (
                "which axis is time cannot be told, because nothing changes with the length of the "
                "sound. Write a file for --taps with\n" + "\n".join(unclear)
                if unclear
                else "no module returns a tensor of real numbers (docs/own_model.md)."
            )
        )
    chosen = (
        range(len(found))
        if all_modules or len(found) <= MOST_TAPS
        else np.unique(np.linspace(0, len(found) - 1, MOST_TAPS).round().astype(int)).tolist()
    )
    return Proposal(
        tuple(found[i][0] for i in chosen),
        tuple(found[i][1] for i in chosen),
        tuple(unclear),
        len(found),
    )


def _varying(usual: Sequence[Run], others: Sequence[Mapping[tuple[str, int], Run]]) -> set[str]:
    """Modules that run another number of times for a sound of another length: loops over time."""
    counts = Counter(run.module for run in usual)
    different = set()
    for other in others:
        again = Counter(module for module, _ in other)
        different |= {module for module in again if again[module] != counts[module]}
    return different


# --- which axes ---------------------------------------------------------------------------------


def _tap(
    run: Run,
    double: Mapping[tuple[str, int], Run],
    others: Sequence[Mapping[tuple[str, int], Run]],
    ends: Mapping[str, int],
) -> tuple[Tap | None, Shape, str]:
    """A tap, the shape that it sees, and why there is none."""
    key = run.module, run.call
    best: tuple[Tap, Shape] | None = None
    problem = ""
    for element, shape in run.shapes.items():
        two = _shape(double.get(key), element, shape)
        lengths = [_shape(other.get(key), element, shape) for other in others]
        axes, said = _axes(shape, two, [one for one in lengths if one], ends.get(element))
        if axes is None:
            problem = problem or (_question(run, element, shape, two) if said else "")
            continue
        name = run.label or run.module or element or "output"
        tap = Tap(
            name,
            name,
            module=run.module,
            returned="" if run.module else (element or "."),
            element=element if run.module else "",
            axes=axes,
            collapse="time_mean" if "time" in axes else "identity",
        )
        if "time" in axes:
            return tap, shape, ""
        best = best or (tap, shape)
    return (*best, "") if best else (None, (), problem)


def _shape(run: Run | None, element: str, like: Shape) -> Shape | None:
    shape = run.shapes.get(element) if run else None
    return shape if shape and len(shape) == len(like) else None


def _axes(
    shape: Shape, two: Shape | None, lengths: Sequence[Shape], ends: int | None
) -> tuple[tuple[str, ...] | None, bool]:
    """Names of the axes; None if they cannot be told, and whether a person could."""
    positions = range(len(shape))
    grows = {i for other in lengths for i in positions if other[i] != shape[i]}
    if not grows and ends is not None:
        grows = {ends}
    doubles = {i for i in positions if two and two[i] != shape[i]} - grows
    batch = next(iter(doubles), 0 if shape[0] == 1 and 0 not in grows else None)
    if len(grows) > 1 or len(doubles) > 1:
        return None, False  # attention between steps, for example
    kept = [i for i in positions if i != batch and i not in grows]
    if not grows and sum(shape[i] > 1 for i in kept) > 1:
        return None, True
    if len(kept) > 3:
        return None, False
    time = next(iter(grows), len(shape))
    names = (
        ["channel" if kept[0] < time < len(shape) else "feature"]
        if len(kept) == 1
        else ["channel", "frequency", "feature"][: len(kept)]
    )
    named = dict(zip(kept, names))
    return tuple("batch" if i == batch else named.get(i, "time") for i in positions), True


def _question(run: Run, element: str, shape: Shape, two: Shape | None) -> str:
    """The lines to write for a module whose axes cannot be told."""
    batch = next((i for i in range(len(shape)) if two and two[i] != shape[i]), 0)
    axes = ["batch" if i == batch else "?" for i in range(len(shape))]
    lines = [
        f"module = {json.dumps(run.module)}" if run.module else f'returned = "{element or "."}"',
        *([f"element = {json.dumps(element)}"] if element and run.module else []),
        f"axes = {_toml(axes)}",
    ]
    return f"[[tap]]  {'; '.join(lines)}  (shape {' x '.join(map(str, shape))}: which is time?)"


def _toml(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name} = {_toml(one)}" for name, one in value.items()) + "}"
    with contextlib.suppress(AttributeError):
        value = value.item()
    return json.dumps(value, ensure_ascii=False)

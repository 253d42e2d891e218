"""Which modules of a network ran, what they returned, and which of them are its stages.

A stage is what a reader of the architecture would name: one of several blocks of the same class, a
recurrent layer, the activation behind a convolution or a linear layer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from aud_dnn.errors import InputError
from aud_dnn.extract.tap_reports import modules_with_hooks
from aud_dnn.extract.torch_network import TorchModel
from aud_dnn.extract.user_code import describe_error

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_NO_ACTIVATIONS = (nn.MultiheadAttention, nn.Softmax, nn.LogSoftmax)

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Run:
    """One run of a module: which, its class, and the shapes of the tensors that it returned.

    ``n_layers`` is above 1 for stacked recurrent modules.
    """

    module: str
    call: int
    kind: str
    shapes: Mapping[str, Shape]
    n_layers: int = 1


# --- what runs ----------------------------------------------------------------------------------


def runs_of(
    model: TorchModel, n_sounds: int, length: float, *, required: bool = False
) -> list[Run]:
    """Every run of every module, in order; the network itself has an empty name.

    Where the network fails on its way, what ran before; an error where it is ``required``.
    """
    found: list[Run] = []
    calls: Counter[str] = Counter()
    names = {module: name for name, module in modules_with_hooks(model.network)}

    def note(module: nn.Module, _: Any, output: Any) -> None:
        name = names[module]
        layers = module.num_layers if isinstance(module, nn.RNNBase) else 1
        shapes = dict(_tensors(output))
        found.append(Run(name, calls[name], type(module).__name__, shapes, layers))
        calls[name] += 1

    rng = np.random.default_rng(0)
    n_samples = round(model.sample_rate * (model.duration or 2.0) * length)
    handles = [module.register_forward_hook(note) for module in names]
    try:
        with torch.inference_mode(), torch.random.fork_rng(devices=[]):
            inputs = torch.cat(
                [
                    _shorter(model, 0.1 * rng.standard_normal(n_samples), length)
                    for _ in range(n_sounds)
                ]
            )
            run: Callable = model.forward or (lambda network, x: network(x))
            returned = run(model.network, inputs)
        # what `returned` sees: what `forward` makes of it, and of programs that take no hooks, too
        found = [one for one in found if one.module]
        found.append(Run("", 0, type(model.network).__name__, dict(_tensors(returned))))
    except InputError:
        if required:
            raise
    except Exception as error:
        if required:
            raise InputError(
                f"The network cannot take a sound ({describe_error(error)}). Say in a taps file "
                "what goes in (docs/own_model.md)."
            ) from error
    finally:
        for handle in handles:
            handle.remove()
    return found


def _shorter(model: TorchModel, samples: np.ndarray, length: float) -> torch.Tensor:
    """A sound as input; for a network that sees frames, frames of another length."""
    inputs = model.prepare(samples, model.sample_rate)
    if model.frames:
        inputs = inputs[:1]
        if length < 1:
            return inputs[..., : round(inputs.shape[-1] * length)]
        extra = inputs[..., : round(inputs.shape[-1] * (length - 1))]
        return torch.cat([inputs, extra], dim=-1)
    return inputs


def _tensors(output: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, Shape]]:
    """Real tensors in what a module returned: path and shape."""
    if isinstance(output, torch.Tensor):
        if output.is_floating_point() and output.ndim:
            yield path, tuple(output.shape)
    elif isinstance(output, nn.utils.rnn.PackedSequence) or depth == 3:
        return
    elif isinstance(output, Mapping):
        for name, value in output.items():
            yield from _tensors(value, f"{path}.{name}".lstrip("."), depth + 1)
    elif isinstance(output, (tuple, list)):
        for i, value in enumerate(output):
            yield from _tensors(value, f"{path}.{i}".lstrip("."), depth + 1)


def by_run(runs: Sequence[Run]) -> dict[tuple[str, int], Run]:
    """The runs by module and number."""
    return {(run.module, run.call): run for run in runs}


# --- which modules ------------------------------------------------------------------------------


def stages_of(network: nn.Module, runs: Sequence[Run]) -> list[Run]:
    """The runs that stand for the architecture, in order."""
    blocks, leaves = _parts(network, {run.module for run in runs})
    modules = dict(network.named_modules())
    stages: list[Run] = []
    group: list[Run] = []

    def close() -> None:
        if group:
            kinds = [_leaf_kind(modules[run.module]) for run in group]
            if "learned" in kinds or "activation" in kinds or (stages and stages[-1] in behind):
                stages.append(group[-1])
            group.clear()

    behind: list[Run] = []  # blocks, whose closing normalisation counts as a stage
    for run in runs:
        if run.module in blocks:
            close()
            stages.append(run)
            behind.append(run)
        elif run.module in leaves:
            kind = _leaf_kind(modules[run.module])
            if kind == "learned" or (
                kind == "activation"
                and any(_leaf_kind(modules[one.module]) == "activation" for one in group)
            ):
                close()
            if kind == "norm" and group and _leaf_kind(modules[group[-1].module]) == "activation":
                close()  # the first of what follows
            if kind != "other":
                group.append(run)
    close()
    return stages


def _parts(network: nn.Module, ran: set[str]) -> tuple[set[str], set[str]]:
    """Blocks of the same class, and the leaves outside of them."""
    kinds = Counter(
        type(module)
        for module in network.modules()
        if not _is_leaf(module) and not isinstance(module, _CONTAINERS)
    )
    blocks: set[str] = set()
    leaves: set[str] = set()

    def walk(path: str, module: nn.Module) -> None:
        if _is_leaf(module):
            leaves.add(path)
        elif path in ran and kinds[type(module)] > 1 and not _holds_blocks(module):
            blocks.add(path)
        else:
            for name, child in module.named_children():
                walk(f"{path}.{name}".lstrip("."), child)

    walk("", network)
    return blocks, leaves


def _holds_blocks(module: nn.Module) -> bool:
    """Whether a list inside of it repeats one class of blocks (of more than one layer each)."""
    for inner in module.modules():
        if isinstance(inner, _CONTAINERS):
            kinds = Counter(
                type(child)
                for child in inner.children()
                if not isinstance(child, _CONTAINERS) and _n_learned(child) > 1
            )
            if any(count > 1 for count in kinds.values()):
                return True
    return False


def _n_learned(module: nn.Module) -> int:
    """Layers with weights inside of a module."""
    return sum(_is_leaf(inner) and _leaf_kind(inner) == "learned" for inner in module.modules())


def _is_leaf(module: nn.Module) -> bool:
    return (
        next(module.children(), None) is None
        or nn.utils.parametrize.is_parametrized(module)
        or isinstance(module, (nn.RNNBase, nn.MultiheadAttention))
    )


def _leaf_kind(module: nn.Module) -> str:
    """``learned``, ``norm``, ``activation`` or ``other``."""
    if type(module).__module__ == nn.ReLU.__module__ and not isinstance(module, _NO_ACTIVATIONS):
        return "activation"
    if isinstance(module, nn.RNNBase) or any(
        parameter.ndim > 1 for parameter in module.parameters()
    ):
        return "learned"
    return "norm" if "norm" in type(module).__name__.lower() else "other"

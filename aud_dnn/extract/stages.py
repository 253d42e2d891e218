"""Which modules of a network ran, what they returned, and which of them are its stages.

A stage is what a reader of the architecture would name: one of several blocks of the same class, a
recurrent layer, the activation behind a convolution or a linear layer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
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

_LEAST_STEPS = 5  # of an axis, for its ends to be told apart
_CONTRAST = 0.1  # share of the change at one end that the other end may show

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Run:
    """One run of a module: which, its class, and the shapes of the tensors that it returned.

    ``n_layers`` is above 1 for stacked recurrent modules; ``label`` is a name for tables where the
    module's own does not do.
    """

    module: str
    call: int
    kind: str
    shapes: Mapping[str, Shape]
    n_layers: int = 1
    label: str = ""


# --- what runs ----------------------------------------------------------------------------------


def runs_of(
    model: TorchModel, n_sounds: int, length: float, *, required: bool = False
) -> list[Run]:
    """Every run of every module, in order; the network itself has an empty name.

    Where the network fails on its way, what ran before; an error where it is ``required``.
    """
    found: list[Run] = []
    calls: Counter[str] = Counter()
    names = _named(model.network)

    def note(module: nn.Module, _: Any, output: Any) -> None:
        name = names[module]
        layers = module.num_layers if isinstance(module, nn.RNNBase) else 1
        shapes = _shapes(output)
        label = module.label if hasattr(module, "stage_kind") else ""
        found.append(Run(name, calls[name], type(module).__name__, shapes, layers, label))
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
            returned = model.run(inputs)
        # what `returned` sees: what `forward` makes of it, and of programs that take no hooks, too
        found = [one for one in found if one.module]
        found.append(Run("", 0, type(model.network).__name__, _shapes(returned)))
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


def _named(network: nn.Module) -> dict[nn.Module, str]:
    return {module: name for name, module in modules_with_hooks(network)}


def _shorter(model: TorchModel, samples: np.ndarray, length: float) -> torch.Tensor:
    """A sound as input; for a network that sees frames, frames of another length."""
    inputs = model.prepare(samples, model.sample_rate)
    if not model.frames:
        return inputs
    inputs = inputs[:1]
    if length == 1:
        return inputs
    if (axis := _only_axis(inputs)) is None:
        raise InputError("These frames are no waveforms; their length cannot be changed.")
    size = inputs.shape[axis]
    if length < 1:
        return inputs.narrow(axis, 0, round(size * length))
    return torch.cat([inputs, inputs.narrow(axis, 0, round(size * (length - 1)))], dim=axis)


def _only_axis(inputs: torch.Tensor) -> int | None:
    """The axis of a waveform, None where the input has several axes."""
    long = [axis for axis in range(1, inputs.ndim) if inputs.shape[axis] > 1]
    return long[0] if len(long) == 1 else None


def time_axes(model: TorchModel, modules: Collection[str]) -> dict[tuple[str, int], dict[str, int]]:
    """The axes that follow the sound, for networks that take one length only.

    The first and the last third of a sound are replaced, one at a time. An axis is time where the
    one changes its beginning and not its end, and the other its end and not its beginning; of all
    others each third changes everything.

    Parameters
    ----------
    model : TorchModel
    modules : collection of str
        The modules to look at.

    Returns
    -------
    dict
        (module, call) -> path of a tensor in what it returned -> axis; only where exactly one is.
    """
    names = {module: name for module, name in _named(model.network).items() if name in modules}
    seen: list[dict[tuple[str, int], dict[str, torch.Tensor]]] = []

    def note(module: nn.Module, _: Any, output: Any) -> None:
        name, found = names[module], seen[-1]
        call = sum(one == name for one, _ in found)
        found[name, call] = {path: one.float().cpu() for path, one in _tensors(output)}

    handles = [module.register_forward_hook(note) for module in names]
    try:
        with torch.inference_mode(), torch.random.fork_rng(devices=[]):
            for inputs in _thirds_replaced(model):
                seen.append({})
                model.run(inputs)
    except Exception:  # a network that is no use is told of where its features are wanted
        return {}
    finally:
        for handle in handles:
            handle.remove()
    if not seen:
        return {}
    before, begun, ended = seen
    return {
        key: axes
        for key, tensors in before.items()
        if (axes := _local_axes(tensors, begun.get(key, {}), ended.get(key, {})))
    }


def _thirds_replaced(model: TorchModel) -> list[torch.Tensor]:
    """A sound, and with another one in its first and in its last third, as inputs."""
    rng = np.random.default_rng(1)
    n_samples = round(model.sample_rate * (model.duration or 2.0))
    sounds = 0.1 * rng.standard_normal((2, n_samples))

    def mixed(n_first: int, n_last: int = 0) -> torch.Tensor:
        mix = sounds[0].copy()
        mix[:n_first] = sounds[1, :n_first]
        mix[n_samples - n_last :] = sounds[1, n_samples - n_last :]
        return model.prepare(mix, model.sample_rate)

    # The network's own input is changed, not the sound, which may be repeated to make it; where it
    # is a spectrogram, the sound. Of a sound in frames the first one; time is then the axis whose
    # beginning alone changes with the beginning of the sound.
    inputs = mixed(0)[:1] if model.frames else mixed(0)
    axis = _only_axis(inputs)
    if axis is None:
        if not model.frames:
            return [inputs, mixed(n_samples // 3), mixed(0, n_samples // 3)]
        begun = mixed(n_samples // 20)[:1]
        long = [one for one in range(1, inputs.ndim) if inputs.shape[one] >= _LEAST_STEPS]
        axes = [one for one in long if not _changed(inputs, begun, one, "end")]
        if len(axes) != 1:
            return []
        axis = axes[0]
    other, third = mixed(n_samples)[: len(inputs)], inputs.shape[axis] // 3
    parts = torch.tensor_split(inputs, (third, 2 * third), dim=axis)
    others = torch.tensor_split(other, (third, 2 * third), dim=axis)
    return [
        inputs,
        torch.cat([others[0], *parts[1:]], dim=axis),
        torch.cat([*parts[:2], others[2]], dim=axis),
    ]


def _local_axes(
    before: Mapping[str, torch.Tensor],
    begun: Mapping[str, torch.Tensor],
    ended: Mapping[str, torch.Tensor],
) -> dict[str, int]:
    found = {}
    for path, tensor in before.items():
        first, last = begun.get(path), ended.get(path)
        if first is None or last is None or not first.shape == last.shape == tensor.shape:
            continue
        local = [
            axis
            for axis in range(tensor.ndim)
            if tensor.shape[axis] >= _LEAST_STEPS
            and not _changed(tensor, first, axis, "end")
            and not _changed(tensor, last, axis, "beginning")
        ]
        if len(local) == 1:
            found[path] = local[0]
    return found


def _changed(before: torch.Tensor, after: torch.Tensor, axis: int, where: str) -> bool:
    """Whether the end (the beginning) of an axis changed, compared with its other end."""
    n_steps = before.shape[axis] // _LEAST_STEPS
    change = (after - before).abs().movedim(axis, 0)
    ends = {"beginning": change[:n_steps].mean(), "end": change[-n_steps:].mean()}
    other = ends["end" if where == "beginning" else "beginning"]
    return bool(ends[where] >= _CONTRAST * other)


def _tensors(output: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, torch.Tensor]]:
    """Real tensors in what a module returned, with their paths."""
    if isinstance(output, torch.Tensor):
        if output.is_floating_point() and output.ndim:
            yield path, output
    elif isinstance(output, nn.utils.rnn.PackedSequence) or depth == 3:
        return
    elif isinstance(output, Mapping):
        for name, value in output.items():
            yield from _tensors(value, f"{path}.{name}".lstrip("."), depth + 1)
    elif isinstance(output, (tuple, list)):
        for i, value in enumerate(output):
            yield from _tensors(value, f"{path}.{i}".lstrip("."), depth + 1)


def _shapes(output: Any) -> dict[str, Shape]:
    return {path: tuple(tensor.shape) for path, tensor in _tensors(output)}


def by_run(runs: Sequence[Run]) -> dict[tuple[str, int], Run]:
    """The runs by module and number."""
    return {(run.module, run.call): run for run in runs}


# --- which modules ------------------------------------------------------------------------------


def stages_of(network: nn.Module, runs: Sequence[Run]) -> list[Run]:
    """The runs that stand for the architecture, in order."""
    if hasattr(network, "stage_parts"):  # an ONNX graph knows them from its names
        blocks, leaves = network.stage_parts()
    else:
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
    if hasattr(module, "stage_kind"):  # a value of an ONNX graph
        return module.stage_kind
    if type(module).__module__ == nn.ReLU.__module__ and not isinstance(module, _NO_ACTIVATIONS):
        return "activation"
    if isinstance(module, nn.RNNBase) or any(
        parameter.ndim > 1 for parameter in module.parameters()
    ):
        return "learned"
    return "norm" if "norm" in type(module).__name__.lower() else "other"

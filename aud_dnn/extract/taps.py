"""Taps: where in a network a feature vector is taken, and how its axes become one.

Axes have names. A rule names the axes that it averages; whatever else there is (channels,
frequencies) is kept and flattened in the order of the axes. So a stray axis of length one can never
be averaged by mistake.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aud_dnn.errors import InputError, unknown_name

if TYPE_CHECKING:
    import torch

COLLAPSE_RULES = {
    "time_mean": ("time",),
    "token_mean": ("token",),
    "patch_then_time_mean": ("time", "patch"),
    "patch_mean": ("patch",),
    "chunk_mean": ("chunk", "position"),
    "frequency_time_mean": ("frequency", "time"),
    "identity": (),
    "final_hidden": (),
    "final_cell": (),
}
"""Rule -> names of the axes that it averages, in that order.

The ``final`` rules take a recurrent layer's last state.
"""

FINAL_RULES = ("final_hidden", "final_cell")
POOLINGS = ("mean", "rms")
EVERY_CALL = "mean"
POST_FUNCTIONS = ("relu", "leaky_relu")
AXIS_NAMES = (
    "batch",
    "channel",
    "frequency",
    "time",
    "token",
    "patch",
    "chunk",
    "position",
    "feature",
)


@dataclass(frozen=True)
class Tap:
    """One place in a network.

    Attributes
    ----------
    name : str
        For people: tables and messages.
    key : str
        For files: the dataset (HDF5) or the dictionary key (pickle).
    module : str
        Path of a module (``features.0``); the tap sees what its forward pass returns. Empty for
        ``returned``.
    returned : str
        Path in what the model itself returns (``hidden_states.3``, ``logits``; ``.`` for all of
        it), instead of a module.
    element : str
        Path in what the module returns, where that is no single tensor (``0`` for the first of a
        tuple).
    axes : tuple of str
        Names of the axes of the tensor, of :data:`AXIS_NAMES`. Without ``batch`` the model takes
        one sound at a time. Not for the ``final`` rules, whose states have a fixed shape.
    collapse : str
        A rule of :data:`COLLAPSE_RULES`.
    pooling : {"mean", "rms"}
        Average the values, or take the root of the average of their squares.
    layer : int or None
        Which layer of a stacked recurrent module (0 is the first). The ``final`` rules need it
        where there are several; for the others None is the last one, whose sequence the module
        returns.
    calls, call : int
        How often the module runs in one forward pass, and which of these runs is taken (0 is the
        first). ``call = "mean"`` averages the features of all runs, however many there are.
    seconds : tuple of float or None
        Beginning and end of the steps that are averaged, for networks that pad: ``(0, 2)``. Time
        spans the model's ``duration``.
    post : str
        Function applied before averaging: ``relu``, or ``leaky_relu:0.3`` with its slope.
    """

    name: str
    key: str
    module: str = ""
    returned: str = ""
    element: str = ""
    axes: tuple[str, ...] = ()
    collapse: str = "time_mean"
    pooling: str = "mean"
    layer: int | None = None
    calls: int = 1
    call: int | str = 0
    seconds: tuple[float, float] | None = None
    post: str = ""

    def __post_init__(self) -> None:
        where = f"tap {self.name}"
        if bool(self.module) == bool(self.returned):
            raise InputError(
                f'{where}: give either module or returned (returned = "." is all that the '
                "network returns)."
            )
        if self.collapse not in COLLAPSE_RULES:
            raise unknown_name(f"collapse rule of {where}", self.collapse, COLLAPSE_RULES)
        if self.pooling not in POOLINGS:
            raise unknown_name(f"pooling of {where}", self.pooling, POOLINGS)
        if self.call != EVERY_CALL and not (
            isinstance(self.calls, int)
            and isinstance(self.call, int)
            and 0 <= self.call < self.calls
        ):
            raise InputError(
                f"{where}: call must lie between 0 and calls - 1, or be {EVERY_CALL!r}; got call "
                f"{self.call!r} of {self.calls}."
            )
        function, _, slope = self.post.partition(":")
        if self.post and function not in POST_FUNCTIONS:
            raise unknown_name(f"post function of {where}", self.post, POST_FUNCTIONS)
        if slope and (function != "leaky_relu" or not _is_number(slope)):
            raise InputError(
                f"{where}: post = {self.post!r} is not understood. Write relu, leaky_relu or "
                "leaky_relu:0.3."
            )
        if self.collapse in FINAL_RULES:
            if not self.module or self.axes:
                raise InputError(
                    f"{where}: {self.collapse} belongs to a recurrent module and takes no axes."
                )
            return
        if not self.axes:
            raise InputError(
                f'{where}: name the axes of its tensor, for example axes = ["batch", "channel", '
                '"time"].'
            )
        for axis in self.axes:
            if axis not in AXIS_NAMES:
                raise unknown_name(f"axis of {where}", axis, AXIS_NAMES)
        if len(set(self.axes)) != len(self.axes):
            raise InputError(f"{where}: axes must be different; got {', '.join(self.axes)}.")
        if self.seconds is not None and (
            "time" not in self.axes
            or len(self.seconds) != 2
            or not 0 <= self.seconds[0] < self.seconds[1]
        ):
            raise InputError(
                f"{where}: seconds = [0, 2] names the beginning and the end of steps of an axis of "
                f"time; got {list(self.seconds)} for {', '.join(self.axes)}."
            )
        if absent := [axis for axis in COLLAPSE_RULES[self.collapse] if axis not in self.axes]:
            raise InputError(
                f"{where}: {self.collapse} averages over {' and '.join(absent)}, which its axes "
                f"({', '.join(self.axes)}) do not name."
            )
        if {"batch", "patch"} <= set(self.axes) and self.axes.index("batch") != 0:
            raise InputError(f"{where}: batch must be the first axis.")

    @property
    def has_batch(self) -> bool:
        """Whether several sounds can share a forward pass."""
        return self.collapse in FINAL_RULES or "batch" in self.axes

    def collapsed(
        self,
        output: Any,
        module: torch.nn.Module | None = None,
        inputs: tuple[Any, ...] = (),
        duration: float | None = None,
    ) -> torch.Tensor:
        """Features of shape (n_sounds, n_features), float32, on the CPU, sharing no memory with
        ``output``.

        Parameters
        ----------
        output : tensor, tuple, PackedSequence or object
            What the module or the model returned.
        module : torch.nn.Module, optional
            The module itself; the ``final`` rules ask it for its layers and directions.
        inputs : tuple, optional
            What the module was called with; for ``layer`` without a ``final`` rule, which runs the
            module's lower layers again.
        duration : float, optional
            What the axis of time spans, in seconds; ``seconds`` needs it.

        Raises
        ------
        InputError
            No tensor where the tap looks for one, or one with another number of axes than named.
        """
        import torch

        if self.collapse in FINAL_RULES:
            features = self._final_state(output, module)
        else:
            if self.layer is not None:
                output = self._sequence(module, inputs)
            features = self._averaged(self._steps(self._tensor(output, module), duration))
        return features.detach().to(device="cpu", dtype=torch.float32, copy=True)

    def _tensor(self, output: Any, module: torch.nn.Module | None) -> torch.Tensor:
        import torch

        tensor = follow_path(output, self.returned or self.element, f"tap {self.name}")
        if isinstance(tensor, torch.nn.utils.rnn.PackedSequence):
            tensor, _ = torch.nn.utils.rnn.pad_packed_sequence(
                tensor, batch_first=getattr(module, "batch_first", False)
            )
        if not isinstance(tensor, torch.Tensor):
            raise InputError(
                f"tap {self.name}: found {type(tensor).__name__}, not a tensor. Name the one you "
                "want with "
                'element, for example element = "0".'
            )
        if tensor.ndim != len(self.axes):
            raise InputError(
                f"tap {self.name}: its tensor has shape {tuple(tensor.shape)}, but "
                f"{len(self.axes)} axes are named ({', '.join(self.axes)})."
            )
        if tensor.is_complex():
            raise InputError(
                f"tap {self.name}: its values are complex. Tap a module that returns their "
                "magnitude, or give the real and imaginary parts an axis of their own."
            )
        return _post_function(self.post)(tensor) if self.post else tensor

    def _steps(self, tensor: torch.Tensor, duration: float | None) -> torch.Tensor:
        """The steps between ``seconds``, those that they touch included."""
        if self.seconds is None or duration is None:
            return tensor
        axis = self.axes.index("time")
        n_steps = tensor.shape[axis]
        first, last = (share * n_steps / duration for share in self.seconds)
        first = min(math.floor(first), n_steps - 1)
        return tensor.narrow(axis, first, max(1, min(math.ceil(last), n_steps) - first))

    def _averaged(self, tensor: torch.Tensor) -> torch.Tensor:
        axes = list(self.axes)
        tensor = tensor.float()
        if self.pooling == "rms":
            tensor = tensor.square()
        for axis in COLLAPSE_RULES[self.collapse]:
            position = axes.index(axis)
            tensor = tensor.mean(dim=position)
            axes.pop(position)
        if self.pooling == "rms":
            tensor = tensor.sqrt()
        if "batch" in axes:
            return (
                tensor.movedim(axes.index("batch"), 0).flatten(start_dim=1)
                if len(axes) > 1
                else tensor[:, None]
            )
        return tensor.reshape(1, -1)

    def _sequence(self, module: torch.nn.Module | None, inputs: tuple[Any, ...]) -> Any:
        """What the first layers of a stacked recurrent module return."""
        import torch

        if not isinstance(module, torch.nn.RNNBase):
            raise InputError(
                f"tap {self.name}: layer belongs to a recurrent module (RNN, GRU, LSTM); "
                f"{self.module or 'what the network returns'} is none."
            )
        n_layers = (self.layer or 0) + 1
        if not 0 < n_layers <= module.num_layers:
            raise self._no_such_layer(module.num_layers)
        options = {"proj_size": module.proj_size} if module.proj_size else {}
        if isinstance(module, torch.nn.RNN):
            options["nonlinearity"] = module.nonlinearity
        weight = next(module.parameters())
        lower = type(module)(  # on "meta" no random numbers are drawn
            module.input_size,
            module.hidden_size,
            n_layers,
            bias=module.bias,
            batch_first=module.batch_first,
            bidirectional=module.bidirectional,
            device="meta",
            dtype=weight.dtype,
            **options,
        )
        lower = lower.to_empty(device=weight.device).eval()
        state = module.state_dict()
        lower.load_state_dict({name: state[name] for name in lower.state_dict()})
        states = inputs[1] if len(inputs) > 1 else None
        if states is not None:
            first = lower.num_layers * (2 if module.bidirectional else 1)
            states = (
                tuple(one[:first] for one in states)
                if isinstance(states, tuple)
                else states[:first]
            )
        return lower(inputs[0], states)

    def _no_such_layer(self, layers: int) -> InputError:
        return InputError(
            f"tap {self.name}: layer {self.layer} of {layers} does not exist (0 is the first)."
        )

    def _final_state(self, output: Any, module: torch.nn.Module | None) -> torch.Tensor:
        """The last state of one layer, directions side by side.

        The backward direction ends at the first time step.
        """
        layers = getattr(module, "num_layers", None)
        if layers is None or not isinstance(output, tuple) or len(output) != 2:
            raise InputError(
                f"tap {self.name}: {self.collapse} needs a recurrent module (RNN, GRU, LSTM); "
                f"{self.module} is {type(module).__name__}."
            )
        states = output[1]
        if isinstance(states, tuple):
            states = states[0 if self.collapse == "final_hidden" else 1]
        elif self.collapse == "final_cell":
            raise InputError(
                f"tap {self.name}: only an LSTM has a cell state; {self.module} is "
                f"{type(module).__name__}."
            )
        if self.layer is None and layers > 1:
            raise InputError(
                f"tap {self.name}: {self.module} has {layers} layers; say which with layer (0 is "
                "the first)."
            )
        layer = self.layer or 0
        if not 0 <= layer < layers:
            raise self._no_such_layer(layers)
        if states.ndim == 2:  # a sequence without a batch axis
            states = states[:, None]
        directions = states.shape[0] // layers
        return (
            states[layer * directions : (layer + 1) * directions].movedim(0, 1).flatten(start_dim=1)
        )


# of the outputs of transformers' models
_ONLY_IF_ASKED = {"hidden_states": "output_hidden_states", "attentions": "output_attentions"}


def follow_path(value: Any, path: str, where: str) -> Any:
    """``hidden_states.3``: attributes, keys and positions, one after the other.

    An empty path, or a single dot, is the value itself.
    """
    for step in path.split(".") if path not in ("", ".") else ():
        whole = value
        try:
            if isinstance(value, (tuple, list)) and not hasattr(value, step):
                value = value[int(step)]
            elif isinstance(value, dict):
                value = value[step]
            else:
                value = getattr(value, step)
        except (AttributeError, KeyError, IndexError, ValueError) as error:
            raise InputError(
                f"{where}: there is no {step!r} in what the model returns ({type(value).__name__})."
                f"{_ask_for(step)}"
            ) from error
        if value is None:
            raise InputError(
                f"{where}: {step} is None in what the model returns "
                f"({type(whole).__name__}).{_ask_for(step)}"
            )
    return value


def _ask_for(step: str) -> str:
    for name, flag in _ONLY_IF_ASKED.items():
        if step.endswith(name):
            return (
                " A model of transformers returns it only if asked: give from_pretrained, or its "
                f"config, {flag}=True."
            )
    return ""


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _post_function(text: str) -> Any:
    from torch.nn import functional

    name, _, slope = text.partition(":")
    if name == "relu":
        return functional.relu
    return lambda tensor: functional.leaky_relu(tensor, float(slope or 0.01))

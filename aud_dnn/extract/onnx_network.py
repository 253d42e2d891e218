"""An ONNX graph as a PyTorch module, so that it can be tapped, proposed and permuted like one.

onnxruntime computes. Every value of the graph that depends on the sound is a module without
weights, called as in the file, through which the value passes; every weight is an entry of the
state dict. Needs the packages ``onnx`` and ``onnxruntime``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from aud_dnn.errors import InputError, MissingDataError
from aud_dnn.extract.fixed_parts import fixed_parts
from aud_dnn.extract.libraries import library
from aud_dnn.extract.onnx_graph import parts_of_graph, weights_of_graph

_RUNTIME_TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
}
_SHOWN_NAMES = 3


class GraphValue(torch.nn.Module):
    """A value of the graph, for hooks; its class is named after the operator that makes it."""

    stage_kind: str = "other"
    label: str = ""

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        """The value itself."""
        return value


class OnnxNetwork(torch.nn.Module):
    """An ONNX file, ready to be tapped; runs on the CPU.

    Parameters
    ----------
    file : path
    constants : mapping, optional
        Values of inputs other than the sound, by name: arrays, or numbers that fill the shape that
        the file declares (axes of any length have length 1): ``{"state": 0.0, "sr": 16000}``.

    Attributes
    ----------
    sound_shape : tuple of (int or None)
        Declared shape of the input that takes the sound; None for axes of any length.
    sample_rate : int or None
        What the file's metadata say.
    file_weights : frozenset of str
        Entries of the state dict that hold weights: all of them.

    Raises
    ------
    InputError
        The file cannot be read or run, or wants inputs that ``constants`` does not give.
    """

    def __init__(self, file: str | Path, *, constants: Mapping[str, ArrayLike] | None = None):
        super().__init__()
        onnx = library("onnx", "onnx")
        self._runtime = library("onnxruntime", "onnx")
        self.file = Path(file)
        if not self.file.is_file():
            raise MissingDataError(f"{self.file} is not there.")
        try:
            self._model = onnx.load(str(self.file))
            if self._model.functions:
                self._model = onnx.inliner.inline_local_functions(self._model)
        except Exception as error:  # damaged files make the reader fail in many ways
            raise InputError(f"{self.file} cannot be read as an ONNX model ({error}).") from error
        self._tensors = weights_of_graph(self._model.graph)
        self.file_weights = frozenset(self._tensors)
        # names in the file may contain dots, which register_parameter refuses
        for name, tensor in self._tensors.items():
            values = torch.from_numpy(onnx.numpy_helper.to_array(tensor).copy())
            floats = values.is_floating_point()
            self._parameters[name] = torch.nn.Parameter(values, requires_grad=floats)
        self._parts = parts_of_graph(self._model.graph, self.file_weights, fixed_parts(self))
        for part in self._parts:
            described = {"stage_kind": part.kind, "label": part.label}
            self._modules[part.name] = type(part.operator, (GraphValue,), described)()
        self._outputs = tuple(one.name for one in self._model.graph.output)
        self._sessions: dict[tuple[str, ...], Any] = {}
        self._read_inputs(dict(constants or {}))
        metadata = {one.key.lower(): one.value for one in self._model.metadata_props}
        rate = next(
            (metadata[key] for key in ("sample_rate", "sampling_rate") if key in metadata), ""
        )
        self.sample_rate = int(rate) if rate.isdigit() else None

    def _read_inputs(self, constants: dict[str, ArrayLike]) -> None:
        """Which input is the sound, and what the others get."""
        declared = {one.name: one for one in self._session(self._outputs).get_inputs()}
        if unknown := [name for name in constants if name not in declared]:
            raise InputError(
                f"{self.file} has no input {unknown[0]!r}; its inputs: {', '.join(declared)}."
            )
        open_ones = [name for name in declared if name not in constants]
        if len(open_ones) != 1:
            listed = ", ".join(
                f"{name} ({declared[name].type}, {_shape_text(declared[name].shape)})"
                for name in open_ones or declared
            )
            raise InputError(
                f"{self.file} wants {len(open_ones)} inputs: {listed}. One of them is the sound; "
                "say what the others are in a function: OnnxNetwork(FILE, constants={NAME: 0.0}) "
                "(docs/own_model.md)."
            )
        self._sound = declared[open_ones[0]]
        self.sound_shape = tuple(
            side if isinstance(side, int) else None for side in self._sound.shape
        )
        self._constants: dict[str, np.ndarray] = {
            name: np.broadcast_to(
                np.asarray(value, dtype=_RUNTIME_TYPES[declared[name].type]),
                [side if isinstance(side, int) else 1 for side in declared[name].shape]
                if np.ndim(value) == 0
                else np.shape(value),
            )
            for name, value in constants.items()
        }

    def _session(self, wanted: tuple[str, ...]) -> Any:
        """A program that returns these values, with the weights as they are now."""
        if wanted not in self._sessions:
            onnx = library("onnx", "onnx")
            for name, tensor in self._tensors.items():
                values = self._parameters[name].detach().cpu().numpy()
                tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
            model = onnx.ModelProto()
            model.CopyFrom(self._model)
            declared = {one.name: one for one in self._model.graph.output}
            del model.graph.output[:]
            model.graph.output.extend(
                declared.get(name) or onnx.ValueInfoProto(name=name) for name in wanted
            )
            options = self._runtime.SessionOptions()
            options.log_severity_level = 4  # errors are told, or expected
            options.intra_op_num_threads = torch.get_num_threads()
            try:
                self._sessions = {
                    wanted: self._runtime.InferenceSession(
                        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
                    )
                }
            except Exception as error:  # onnxruntime, and protobuf beyond 2 GB
                raise InputError(f"onnxruntime cannot run {self.file} ({error}).") from error
        return self._sessions[wanted]

    def load_state_dict(self, state_dict: Mapping[str, Any], *_: Any, **__: Any) -> Any:
        """Replace the weights; all of them must be given."""
        missing, unknown = self.file_weights - set(state_dict), set(state_dict) - self.file_weights
        if missing or unknown:
            raise InputError(
                f"These are not the weights of {self.file}: {len(missing)} missing, {len(unknown)} "
                f"unknown ({', '.join(sorted(missing | unknown)[:_SHOWN_NAMES])}, …)."
            )
        with torch.no_grad():
            for name, values in state_dict.items():
                self._parameters[name].copy_(values)
        self._sessions.clear()
        return self

    def stage_parts(self) -> tuple[set[str], set[str]]:
        """Values that are the outputs of repeated blocks, and those outside of blocks."""
        blocks = {part.name for part in self._parts if part.closes_block}
        return blocks, {part.name for part in self._parts if not part.in_block}

    def forward(self, sound: torch.Tensor, **others: torch.Tensor) -> dict[str, torch.Tensor]:
        """Run the graph on sounds of the declared shape.

        A graph that takes one sound at a time runs once for each; values are joined along their
        first axis, or along a new one where the graph has no batch axis.

        Parameters
        ----------
        sound : tensor
            With a batch axis in front (also where the graph has none).
        **others : tensors
            Of other inputs, instead of their constants.

        Returns
        -------
        dict
            Output -> tensor.
        """
        hooked = tuple(part.name for part in self._parts if self._modules[part.name]._forward_hooks)
        wanted = tuple(dict.fromkeys((*hooked, *self._outputs)))
        session = self._session(wanted)
        samples = sound.detach().cpu().numpy().astype(_RUNTIME_TYPES[self._sound.type])
        feed = self._constants | {name: value.cpu().numpy() for name, value in others.items()}
        without_batch = len(self.sound_shape) < samples.ndim
        if without_batch:
            runs = list(samples)
        else:
            runs = np.split(samples, len(samples)) if self.sound_shape[0] == 1 else [samples]
        found = [session.run(list(wanted), {**feed, self._sound.name: one}) for one in runs]
        joined = np.stack if without_batch else _joined
        values = dict(zip(wanted, (joined(several) for several in zip(*found))))
        tensors = {
            name: torch.from_numpy(value)
            for name, value in values.items()
            if isinstance(value, np.ndarray) and value.dtype.kind in "fiub"
        }
        for name in hooked:
            if name in tensors:
                tensors[name] = self._modules[name](tensors[name])
        return {name: tensors[name] for name in self._outputs if name in tensors}


def _joined(values: Sequence[Any]) -> Any:
    return values[0] if len(values) == 1 else np.concatenate(values, axis=0)


def _shape_text(shape: Sequence[Any]) -> str:
    return " x ".join("?" if side is None else str(side) for side in shape) or "scalar"

"""A user's own PyTorch model.

A function that builds it, and a TOML file (or a :class:`TorchModel`) that describes it.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import inspect
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from aud_dnn.errors import InputError, unknown_name
from aud_dnn.extract.checkpoints import load_weights, read_checkpoint
from aud_dnn.extract.description import expand_patterns, read_description
from aud_dnn.extract.network_files import is_network_file, read_network
from aud_dnn.extract.network_input import described_network, waveform_options
from aud_dnn.extract.onnx_network import OnnxNetwork
from aud_dnn.extract.proposing import propose
from aud_dnn.extract.torch_network import TorchModel
from aud_dnn.extract.transformers_models import PREFIX, build_transformers
from aud_dnn.extract.user_code import user_code
from aud_dnn.io.digests import file_digest


def _import_builder(reference: str) -> Any:
    module_name, _, function = reference.partition(":")
    if not module_name or module_name.startswith("."):
        raise InputError(f"{reference!r} names no Python module. Write --model mypackage:build.")
    if str(Path.cwd()) not in sys.path:  # a module beside the user, as `python -m` would find it
        sys.path.insert(0, str(Path.cwd()))
    with user_code(f"Importing {module_name}"):
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
                raise
            raise InputError(
                f"There is no Python module {module_name!r} here. Name a module that can be "
                "imported from the current folder, as in --model mypackage:build."
            ) from error
    builder = getattr(module, function, None)
    if not callable(builder):
        names = [
            name
            for name, value in vars(module).items()
            if callable(value) and not name.startswith("_")
        ]
        raise unknown_name(f"function of {module_name}", function, names)
    _require_no_arguments(builder, reference)
    return builder


def _require_no_arguments(builder: Callable, reference: str) -> None:
    try:
        parameters = inspect.signature(builder).parameters.values()
    except (TypeError, ValueError):  # built in, without a signature
        return
    needed = [
        one.name
        for one in parameters
        if one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    ]
    if needed:
        raise InputError(
            f"{reference} needs arguments ({', '.join(needed)}), but is called without any. Name a "
            "function that calls it with them: def build(): return "
            f"{reference.partition(':')[2]}(…)."
        )


def build_own_model(
    reference: str,
    *,
    taps: Path | None = None,
    checkpoint: Path | None = None,
    trust: bool = False,
    entry: str | None = None,
) -> TorchModel:
    """A user's model, ready to run.

    Parameters
    ----------
    reference : str
        ``hf:FOLDER-OR-NAME`` (:mod:`aud_dnn.extract.transformers_models`), a file that holds a
        network (:mod:`aud_dnn.extract.network_files`), or ``module:function``.
        The function takes no arguments and returns a ``torch.nn.Module`` (then
        ``taps`` is needed) or a :class:`aud_dnn.extract.torch_model.TorchModel`.
    taps : Path, optional
        TOML file.
    checkpoint : Path, optional
        A state dict that is loaded into the network, complete.
    trust, entry : bool, str
        See :func:`aud_dnn.extract.checkpoints.read_tensors`.
    """
    if checkpoint is not None and is_network_file(reference):
        raise InputError(f"{reference} holds its weights itself; leave --checkpoint out.")
    made = _made(reference)
    if isinstance(made, TorchModel) and made.taps:
        if taps is not None and reference.startswith(PREFIX):  # modules instead of hidden states
            made = _described(made, taps)
        elif taps is not None:
            raise InputError(f"{reference} describes its taps itself; leave --taps out.")
        model = made
    elif taps is None:
        raise InputError(
            f"{reference} returns a network; say with --taps FILE.toml where to read it. "
            f"--list_layers {reference} shows its modules."
        )
    else:
        model = _described(made, taps)
    for name, tensor in model.network.state_dict().items():
        if tensor.is_meta or torch.nn.parameter.is_lazy(tensor):
            raise InputError(
                f"{reference}: {name} has no values yet (a lazy or meta tensor). Let the function "
                "run the network once, or build it on the CPU."
            )
    weights: dict[str, str] = {}
    if is_network_file(reference):
        weights["file_sha256"] = file_digest(Path(reference))
        reference = Path(reference).name  # wherever it lies, it is the same network
    if checkpoint is not None:
        tensors, weights = read_checkpoint(checkpoint, trust=trust, entry=entry)
        weights |= load_weights(model.network, tensors, str(checkpoint))
    model.details = {
        **model.details,
        "builder": reference,
        "weights": {**weights, "state_sha256": state_digest(model.network)},
    }
    return model


def own_model_to_list(reference: str, taps: Path | None = None) -> TorchModel:
    """A user's model to look at.

    As it describes itself or in ``taps``, else with the first usual input that it takes.
    """
    made = _made(reference)
    if isinstance(made, TorchModel) and (made.taps or taps is None):
        return made
    if taps is not None:
        return _described(made, taps)
    return _undescribed(made, 16_000)[0]


def _undescribed(network: torch.nn.Module, rate: int) -> tuple[TorchModel, dict[str, Any]]:
    """A bare network with an input that it takes, and the options of a taps file that say so."""
    options: dict[str, Any] = {"sample_rate": rate}
    if isinstance(network, OnnxNetwork):
        options |= waveform_options(network.sound_shape, rate, str(network.file))
        return described_network(network.eval(), (), options, str(network.file)), options
    for layout in ("batch channel time", "batch time"):
        # with a channel first: convolutions take sounds without a batch, too
        options["input"] = layout
        model = described_network(network.eval(), (), options, "")
        with contextlib.suppress(Exception), torch.inference_mode():
            network(model.prepare(np.zeros(2 * rate), rate))
            break
    return model, options


def proposed_taps(
    reference: str, *, sample_rate: int | None = None, all_modules: bool = False
) -> tuple[str, str, str] | None:
    """A taps file for a user's network.

    Parameters
    ----------
    reference : str
        See :func:`build_own_model`.
    sample_rate : int, optional
        Of the network's input, in Hz; by default what the network or its configuration says, else
        16000.
    all_modules : bool
        See :func:`aud_dnn.extract.proposing.propose`.

    Returns
    -------
    tuple of str or None
        The file, the table for people, and what was assumed (empty if nothing). None where the
        model describes its taps itself.
    """
    made = _made(reference)
    if isinstance(made, TorchModel):
        if made.taps:
            return None
        proposal = propose(made, all_modules=all_modules)
        return proposal.toml({}), proposal.table(), ""
    rate = sample_rate or _stated_rate(made)
    model, options = _undescribed(made, rate or 16_000)
    proposal = propose(model, all_modules=all_modules)
    assumed = "" if rate else "the network does not say its sampling rate; 16000 Hz was assumed"
    return proposal.toml(options), proposal.table(), assumed


def _stated_rate(network: torch.nn.Module) -> int | None:
    """The sampling rate that a network, or its configuration, names."""
    for holder in (network, getattr(network, "config", None)):
        for name in ("sample_rate", "sampling_rate", "samplerate", "sr", "fs"):
            value = getattr(holder, name, None)
            if isinstance(value, (int, float)) and 1_000 <= value <= 768_000:
                return int(value)
    return None


def _made(reference: str) -> torch.nn.Module | TorchModel:
    """What a user's function returns, a file holds, or the transformers library builds."""
    if reference.startswith(PREFIX):
        return build_transformers(reference.removeprefix(PREFIX))
    if is_network_file(reference):
        return read_network(Path(reference))
    builder = _import_builder(reference)
    with user_code(reference):
        made = builder()
    if not isinstance(made, (torch.nn.Module, TorchModel)):
        raise InputError(
            f"{reference} must return a torch.nn.Module or a TorchModel; it returned "
            f"{type(made).__name__}."
        )
    return made


def _described(made: torch.nn.Module | TorchModel, path: Path) -> TorchModel:
    """A network, or a model without taps, as a file describes it."""
    network = made.network if isinstance(made, TorchModel) else made
    taps, options = read_description(path, taps_only=isinstance(made, TorchModel))
    taps = expand_patterns(taps, [name for name, _ in network.named_modules() if name])
    if isinstance(made, TorchModel):
        return replace(made, taps=taps)
    return described_network(network, taps, options, str(path))


def state_digest(network: torch.nn.Module) -> str:
    """SHA-256 of all weights and buffers with their names."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(
            tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
        )
    return digest.hexdigest()

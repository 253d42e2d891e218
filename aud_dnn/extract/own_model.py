"""A user's own PyTorch model.

A function that builds it, and a TOML file (or a :class:`TorchModel`) that describes it.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from aud_dnn.errors import InputError, MissingDataError, unknown_name
from aud_dnn.extract.checkpoints import load_weights, read_checkpoint
from aud_dnn.extract.resampling import RESAMPLERS, resample
from aud_dnn.extract.taps import Tap
from aud_dnn.extract.torch_network import TorchModel
from aud_dnn.extract.user_code import user_code
from aud_dnn.io.sounds import DURATION_POLICIES

_LARGEST_DESCRIPTION = 1 << 18  # bytes; some thousand taps
_MOST_DOTS, _LONGEST_TEXT, _LARGEST_NUMBER = 16, 1000, 1e12
_QUOTED = re.compile(r"""\"(?:\\.|[^\"\\])*\"|'[^']*'""")
_INPUT_SHAPES = {"batch time": (1, -1), "batch channel time": (1, 1, -1)}
_OPTIONS = {
    "sample_rate": (int, float),
    "duration": (int, float),
    "policy": str,
    "resampler": str,
    "input": str,
    "max_batch": int,
    "fixed_entries": list,
    "stochastic": bool,
    "half_precision": bool,
    "tap": list,
}
_TAP_OPTIONS = {
    "name": str,
    "key": str,
    "module": str,
    "returned": str,
    "element": str,
    "axes": list,
    "collapse": str,
    "pooling": str,
    "layer": int,
    "calls": int,
    "call": int,
    "post": str,
}


def read_description(path: Path) -> tuple[list[Tap], dict[str, Any]]:
    """Taps and options of a TOML file; see ``docs/own_model.md`` for what it can say.

    Raises
    ------
    InputError
        No such file, no TOML, an unknown or missing option, or one of the wrong type.
    """
    try:
        import tomllib
    except ImportError:  # Python 3.10
        import tomli as tomllib

    path = Path(path)
    try:
        content = tomllib.loads(_description_text(path))
    except FileNotFoundError as error:
        raise MissingDataError(f"The description of the taps {path} does not exist.") from error
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror}. Name a TOML file with --taps."
        ) from error
    except InputError:
        raise
    except (
        ValueError,
        RecursionError,
    ) as error:  # also texts that are not UTF-8, numbers of thousands of digits
        raise InputError(f"{path} is not valid TOML: {str(error)[:200]}.") from error
    _check_options(content, _OPTIONS, str(path), required=("sample_rate", "tap"))
    taps = []
    for number, entry in enumerate(content.pop("tap"), 1):
        where = f"{path}, tap {number}"
        if not isinstance(entry, dict):
            raise InputError(f"{where}: begin every tap with a line [[tap]].")
        _check_options(entry, _TAP_OPTIONS, where, required=("name",))
        entry = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in entry.items()
        }
        taps.append(Tap(**{"key": entry["name"], **entry}))
    return taps, content


def _description_text(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(_LARGEST_DESCRIPTION + 1)
    if len(content) > _LARGEST_DESCRIPTION:
        raise InputError(
            f"{path} has more than {_LARGEST_DESCRIPTION >> 10} kB. Name a TOML file that "
            "describes taps."
        )
    text = content.decode("utf-8")
    for number, line in enumerate(text.splitlines(), 1):
        if (
            _QUOTED.sub("", line).partition("#")[0].count(".") > _MOST_DOTS
        ):  # time grows with the square of dotted keys
            raise InputError(
                f"{path}, line {number}: more than {_MOST_DOTS} dots outside of quotes. Taps need "
                "none."
            )
    return text


def _check_size(value: Any, where: str) -> None:
    """Refuse what no option can mean, before it is printed.

    NaN, infinity, numbers and texts of any length.
    """
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, (int, float)) and not abs(one) < _LARGEST_NUMBER:
            raise InputError(f"{where} must be a finite number below {_LARGEST_NUMBER:g}.")
        if isinstance(one, str) and len(one) > _LONGEST_TEXT:
            raise InputError(
                f"{where} is a text of {len(one)} letters; at most {_LONGEST_TEXT} are read."
            )


def _check_options(
    found: dict[str, Any], known: dict[str, Any], where: str, required: tuple[str, ...]
) -> None:
    for name, value in found.items():
        if name not in known:
            raise unknown_name(f"option in {where}", name, known)
        _check_size(value, f"{where}: {name}")
        if not isinstance(value, known[name]) or (
            isinstance(value, bool) and known[name] is not bool
        ):
            raise InputError(f"{where}: {name} is of the wrong type ({type(value).__name__}).")
        if name in ("axes", "fixed_entries") and not all(isinstance(one, str) for one in value):
            raise InputError(f"{where}: {name} must be a list of strings.")
    if missing := [name for name in required if name not in found]:
        raise InputError(f"{where}: {' and '.join(missing)} missing.")


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
        ``module:function``. The function takes no arguments and returns a ``torch.nn.Module`` (then
        ``taps`` is needed) or a :class:`aud_dnn.extract.torch_model.TorchModel`.
    taps : Path, optional
        TOML file.
    checkpoint : Path, optional
        A state dict that is loaded into the network, complete.
    trust, entry : bool, str
        See :func:`aud_dnn.extract.checkpoints.read_tensors`.
    """
    made = _made(reference)
    if isinstance(made, TorchModel):
        if taps is not None:
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
    if isinstance(made, TorchModel):
        return made
    if taps is not None:
        return _described(made, taps)
    for shape in reversed(
        _INPUT_SHAPES.values()
    ):  # with a channel first: convolutions take sounds without a batch, too
        model = TorchModel(
            made.eval(),
            (),
            16_000,
            lambda samples, _, shape=shape: torch.tensor(samples, dtype=_float_type(made)).reshape(
                shape
            ),
        )
        with contextlib.suppress(Exception), torch.inference_mode():
            made(model.prepare(np.zeros(32_000), 16_000))
            return model
    return model


def _made(reference: str) -> torch.nn.Module | TorchModel:
    """What a user's function returns."""
    builder = _import_builder(reference)
    with user_code(reference):
        made = builder()
    if not isinstance(made, (torch.nn.Module, TorchModel)):
        raise InputError(
            f"{reference} must return a torch.nn.Module or a TorchModel; it returned "
            f"{type(made).__name__}."
        )
    return made


def _float_type(network: torch.nn.Module) -> torch.dtype:
    """What a network computes in; in double or half precision it takes nothing else."""
    floats = (tensor.dtype for tensor in network.parameters() if tensor.is_floating_point())
    return next(floats, torch.float32)


def _described(network: torch.nn.Module, path: Path) -> TorchModel:
    taps, options = read_description(path)
    rate = options["sample_rate"]
    if not (1_000 <= rate <= 768_000 and rate == int(rate)):
        raise InputError(
            f"{path}: sample_rate must be a whole number of Hz from 1000 to 768000; got {rate}."
        )
    if not 0 < (duration := options.get("duration", 2.0)) < float("inf"):
        raise InputError(f"{path}: duration must be a positive number of seconds; got {duration}.")
    policy, method = options.get("policy", "exact"), options.get("resampler", "soxr")
    shape = options.get("input", "batch time")
    for kind, value, known in (
        ("policy", policy, DURATION_POLICIES),
        ("resampler", method, RESAMPLERS),
        ("input", shape, _INPUT_SHAPES),
    ):
        if value not in known:
            raise unknown_name(f"{kind} in {path}", value, known)
    if (max_batch := options.get("max_batch", 1)) < 1:
        raise InputError(f"{path}: max_batch must be at least 1; got {max_batch}.")

    dtype = _float_type(network)

    def prepare(samples: np.ndarray, sound_rate: int) -> torch.Tensor:
        waveform = resample(samples, sound_rate, int(rate), method)
        return torch.tensor(waveform, dtype=dtype).reshape(_INPUT_SHAPES[shape])

    return TorchModel(
        network,
        taps,
        int(rate),
        prepare,
        duration=None if policy == "any" else duration,
        policy=policy,
        max_batch=max_batch,
        fixed_entries=tuple(options.get("fixed_entries", ())),
        stochastic=options.get("stochastic", False),
        half_precision=options.get("half_precision", False),
        details={"preprocessing": f"{method} to {int(rate)} Hz, duration {policy}"},
    )


def state_digest(network: torch.nn.Module) -> str:
    """SHA-256 of all weights and buffers with their names."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(
            tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
        )
    return digest.hexdigest()

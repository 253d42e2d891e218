"""What a network takes of a sound: rate, layout, length, pieces, as a taps file says it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from aud_dnn.errors import InputError, unknown_name
from aud_dnn.extract.resampling import RESAMPLERS, resample
from aud_dnn.extract.taps import Tap
from aud_dnn.extract.torch_network import TorchModel
from aud_dnn.io.sounds import DURATION_POLICIES

INPUT_LAYOUTS = ("batch time", "batch channel time", "batch time channel")
_USUAL_DURATION = 2.0  # seconds, of the published sounds


def float_type(network: torch.nn.Module) -> torch.dtype:
    """What a network computes in; in double or half precision it takes nothing else."""
    floats = (tensor.dtype for tensor in network.parameters() if tensor.is_floating_point())
    return next(floats, torch.float32)


def described_network(
    network: torch.nn.Module, taps: Sequence[Tap], options: Mapping[str, Any], where: str
) -> TorchModel:
    """A network with the options of a taps file (:mod:`aud_dnn.extract.description`).

    Parameters
    ----------
    network : torch.nn.Module
    taps : sequence of Tap
    options : mapping
    where : str
        The file, for messages.

    Raises
    ------
    InputError
        A value that an option cannot have.
    """
    rate = options["sample_rate"]
    if not (1_000 <= rate <= 768_000 and rate == int(rate)):
        raise InputError(
            f"{where}: sample_rate must be a whole number of Hz from 1000 to 768000; got {rate}."
        )
    if not 0 < (duration := options.get("duration", 2.0)) < float("inf"):
        raise InputError(f"{where}: duration must be a positive number of seconds; got {duration}.")
    policy, method = options.get("policy", "exact"), options.get("resampler", "soxr")
    shape = options.get("input", "batch time")
    for kind, value, known in (
        ("policy", policy, DURATION_POLICIES),
        ("resampler", method, RESAMPLERS),
        ("input", shape, INPUT_LAYOUTS),
    ):
        if value not in known:
            raise unknown_name(f"{kind} in {where}", value, known)
    if (max_batch := options.get("max_batch", 1)) < 1:
        raise InputError(f"{where}: max_batch must be at least 1; got {max_batch}.")

    axes = shape.split()
    dtype = float_type(network)
    normalize, cut = options.get("normalize", False), _cut(options, int(rate))

    def prepare(samples: np.ndarray, sound_rate: int) -> torch.Tensor:
        waveform = resample(samples, sound_rate, int(rate), method)
        if normalize:  # as the feature extractor of wav2vec 2.0 does
            waveform = (waveform - waveform.mean()) / np.sqrt(waveform.var() + 1e-7)
        pieces = waveform[None] if cut is None else pieces_of(waveform, *cut)
        inputs = torch.tensor(pieces, dtype=dtype)
        return inputs.reshape(
            [len(inputs) if axis == "batch" else -1 if axis == "time" else 1 for axis in axes]
        )

    preprocessing = f"{method} to {int(rate)} Hz, duration {policy}"
    if normalize:
        preprocessing += ", zero mean and unit variance"
    if cut is not None:
        preprocessing += f", pieces of {cut[0]} samples every {cut[1]}"

    return TorchModel(
        network,
        taps,
        int(rate),
        prepare,
        duration=None if policy == "any" else duration,
        policy=policy,
        max_batch=max_batch,
        fixed_entries=tuple(options["fixed_entries"]) if "fixed_entries" in options else None,
        stochastic=options.get("stochastic", False),
        half_precision=options.get("half_precision", False),
        frames=cut is not None,
        details={"preprocessing": preprocessing},
    )


def _cut(options: Mapping[str, Any], rate: int) -> tuple[int, int] | None:
    """Length and step, in samples, of the pieces that the network sees."""
    if frame := options.get("frame"):
        return int(frame["length"]), int(frame["hop"])
    if window := options.get("window"):
        return max(1, round(window["seconds"] * rate)), max(1, round(window["hop"] * rate))
    return None


def pieces_of(waveform: np.ndarray, length: int, hop: int) -> np.ndarray:
    """The pieces of ``length`` samples that begin every ``hop`` samples and fit into the sound.

    Returns
    -------
    array of shape (n_pieces, length)

    Raises
    ------
    InputError
        The sound is shorter than one piece.
    """
    if len(waveform) < length:
        raise InputError(
            f"The sound has {len(waveform)} samples, but the network sees {length} at a time. "
            'Lengthen short sounds: duration and policy = "pad".'
        )
    return np.lib.stride_tricks.sliding_window_view(waveform, length)[::hop]


def waveform_options(shape: Sequence[int | None], rate: int, where: str) -> dict[str, Any]:
    """Options of a taps file for a network whose declared input has this shape (None: any length).

    A fixed length makes pieces: of a length of up to 2 s every half of it; of a longer one a single
    piece, whose end is filled with silence.

    Raises
    ------
    InputError
        No waveform has this shape.

    Examples
    --------
    >>> waveform_options((None, 1, None), 16000, "net.onnx")
    {'input': 'batch channel time'}
    >>> waveform_options((None, 8000), 16000, "net.onnx")
    {'input': 'batch time', 'frame': {'length': 8000, 'hop': 4000}}
    """
    free = [i for i, side in enumerate(shape) if i > 0 and side != 1]
    if len(shape) == 1:
        layout, length = "batch time", shape[0]
    elif len(shape) > 3 or len(free) != 1:
        declared = " x ".join("?" if side is None else str(side) for side in shape) or "a number"
        raise InputError(
            f"{where} takes {declared}, which is no waveform (a spectrogram?). Name a function "
            "that returns a TorchModel, whose prepare makes it of a sound (docs/own_model.md)."
        )
    else:
        layout = "batch time" if len(shape) == 2 else INPUT_LAYOUTS[3 - free[0]]
        length = shape[free[0]]
    if length is None:
        return {"input": layout}
    if length <= _USUAL_DURATION * rate:
        return {"input": layout, "frame": {"length": length, "hop": max(1, length // 2)}}
    return {
        "input": layout,
        "frame": {"length": length, "hop": length},
        # a little more than the piece, for rounding at other sampling rates
        "duration": math.ceil(1000 * length / rate + 1) / 1000,
        "policy": "pad",
    }

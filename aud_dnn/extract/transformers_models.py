"""Audio encoders of the transformers library, from a folder or its hub: ``hf:NAME``.

One adapter for all: the model's own feature extractor and rate, the encoder only, its hidden states
in order. Extractors that pad (Whisper to 30 s, AST to 10.24 s) leave steps of silence in every
layer; only the steps of the sound are averaged.
"""

from __future__ import annotations

import functools
import inspect
import math
from typing import Any

import numpy as np
import torch

from aud_dnn.errors import InputError
from aud_dnn.extract.libraries import SEQUENCE, library
from aud_dnn.extract.proposing import propose
from aud_dnn.extract.resampling import resample
from aud_dnn.extract.taps import Tap
from aud_dnn.extract.torch_network import TorchModel
from aud_dnn.io.progress import tell

PREFIX = "hf:"
_AUDIO_PARTS = ("audio_model", "audio_tower")
_ALIKE = {"mert_model": "HubertModel"}
"""Kinds of models whose code is not in the library, and the class that is built the same way."""


def build_transformers(source: str) -> TorchModel:
    """An audio encoder, ready to run.

    Parameters
    ----------
    source : str
        A folder with a copy of a hub repository, or the name of one.

    Raises
    ------
    InputError
        No such model, one that takes no sound, or one whose code would have to be fetched (code
        from the hub is never run).
    """
    transformers = library("transformers")
    try:
        extractor = transformers.AutoFeatureExtractor.from_pretrained(source)
        whole = _network_class(transformers, source).from_pretrained(source)
    except (OSError, ValueError, KeyError) as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"{source} cannot be loaded by transformers {transformers.__version__} ({said}). "
            "Without network, copy the whole repository to a folder and write hf:FOLDER. Code from "
            "the hub is never run."
        ) from error
    rate = getattr(extractor, "sampling_rate", None)
    if not isinstance(rate, int):
        raise InputError(f"{source} takes no sound: its extractor is {type(extractor).__name__}.")
    network = _encoder(whole).float().eval()
    sound_to_inputs = functools.partial(_inputs, extractor, network, rate)
    own_share = functools.lru_cache(maxsize=64)(functools.partial(_own_share, extractor, rate))

    def prepare(samples: np.ndarray, sound_rate: int) -> torch.Tensor:
        waveform = resample(samples, sound_rate, rate, "soxr")
        return torch.tensor(waveform, dtype=torch.float32)[None]

    def forward(encoder: torch.nn.Module, waveform: torch.Tensor) -> Any:
        inputs = sound_to_inputs(waveform[0].cpu().numpy())
        device = waveform.device
        inputs = {name: value.to(device) for name, value in inputs.items()}
        if hasattr(encoder, "encode"):  # a codec: what its modules return is tapped
            return encoder.encode(**inputs)
        returned = encoder(**inputs, output_hidden_states=True, return_dict=True)
        own, all_steps = own_share(waveform.shape[1])
        return {
            "hidden_states": [
                _own_steps(state, own, all_steps, encoder.config)
                for state in returned.hidden_states or ()
            ]
        }

    details = {
        "class": type(network).__name__,
        "preprocessing": f"soxr to {rate} Hz, {type(extractor).__name__}",
        "revision": getattr(whole.config, "_commit_hash", None),
    }
    model = TorchModel(
        network,
        (),
        rate,
        prepare,
        forward,
        duration=None,
        policy="any",
        details=details,
        # some versions draw a number for every layer, which changes nothing in evaluation mode
        stochastic=hasattr(network.config, "layerdrop")
        or hasattr(network.config, "encoder_layerdrop"),
    )
    if hasattr(network, "encode"):
        model.taps = propose(model).taps
        return model
    noise = 0.1 * np.random.default_rng(0).standard_normal(2 * rate)
    with torch.inference_mode(), torch.random.fork_rng(devices=[]):
        waveform = prepare(noise, rate)
        states = forward(network, waveform)["hidden_states"]
        norm = _closing_norm(network, lambda: forward(network, waveform), states)
    if not states:
        raise InputError(f"{source}: {type(network).__name__} returns no hidden states.")
    model.taps = [
        _tap(i, state, norm if i == len(states) - 1 else "") for i, state in enumerate(states)
    ]
    own, all_steps = own_share(2 * rate)
    details["last_state"] = f"after {norm}" if norm else "as the last block returns it"
    tell("%s: the last hidden state is taken %s", source, details["last_state"])
    if own < all_steps:
        details["padding"] = f"{all_steps} steps, of which {own} are of a sound of 2 s"
        tell("%s pads its input: %s; only those are averaged", source, details["padding"])
    return model


def _network_class(transformers: Any, source: str) -> Any:
    """The class that the configuration names, if it is one of the library's."""
    settings, _ = transformers.PretrainedConfig.get_config_dict(source)
    if not settings:
        raise OSError(f"there is no config.json in {source}")
    names = [*(settings.get("architectures") or ()), _ALIKE.get(settings.get("model_type"), "")]
    for name in names:
        found = getattr(transformers, name, None) if name else None
        if inspect.isclass(found) and issubclass(found, transformers.PreTrainedModel):
            return found
    return transformers.AutoModel


def _encoder(network: Any) -> torch.nn.Module:
    """The part that hears: no decoder, no heads, no tower for text."""
    for part in _AUDIO_PARTS:
        for holder in (network, network.base_model):
            if isinstance(getattr(holder, part, None), torch.nn.Module):
                return getattr(holder, part)
    if network.config.is_encoder_decoder:
        return network.get_encoder()
    return network.base_model


def _inputs(
    extractor: Any, network: torch.nn.Module, rate: int, waveform: np.ndarray
) -> dict[str, torch.Tensor]:
    """What the model's own extractor makes of a sound, as far as the encoder takes it."""
    made = extractor(waveform.astype(np.float32), sampling_rate=rate, return_tensors="pt")
    run = network.encode if hasattr(network, "encode") else network.forward
    taken = inspect.signature(run).parameters
    first = next(iter(taken))
    known = {name: value for name, value in made.items() if name in taken}
    if not known:  # the encoder calls its input something else
        main = next(iter(made))
        known = {first: made[main]}
    return {name: value for name, value in known.items() if isinstance(value, torch.Tensor)}


def _own_share(extractor: Any, rate: int, n_samples: int) -> tuple[int, int]:
    """Steps of the input that hold a sound of ``n_samples``, and all of its steps.

    The rest is padding: what a mask says, or where noise gives the same step over and over.
    """
    noise = 0.1 * np.random.default_rng(0).standard_normal(n_samples).astype(np.float32)
    asked = (
        {"return_attention_mask": True}
        if "return_attention_mask" in inspect.signature(extractor.__call__).parameters
        else {}
    )
    made = extractor(noise, sampling_rate=rate, return_tensors="pt", **asked)
    for name in ("attention_mask", "padding_mask"):
        if name in made:
            mask = made[name].reshape(-1).bool()
            return int(mask.sum()), mask.numel()
    features = next(iter(made.values()))
    if features.ndim != 3:  # samples, or an image of more than one channel
        return 1, 1
    # steps x bands: there are more steps than bands
    steps = features[0] if features.shape[1] > features.shape[2] else features[0].T
    different = (steps != steps[-1]).any(dim=1).nonzero()
    own = int(different.max()) + 1 if len(different) else len(steps)
    return (own if own < len(steps) - 1 else len(steps)), len(steps)


def _own_steps(state: torch.Tensor, own: int, all_steps: int, config: Any) -> torch.Tensor:
    """The part of a hidden state (batch, steps, features) that belongs to the sound."""
    if own == all_steps or state.ndim != 3:
        return state
    n_steps = state.shape[1]
    if n_steps <= all_steps:
        return state[:, : max(1, math.ceil(n_steps * own / all_steps))]
    grid = _patch_grid(config)
    if grid is None or n_steps < math.prod(grid):
        return state
    # patches of all bands, one band after the other, behind tokens that stand for the whole
    bands, times = grid
    patches = state[:, n_steps - bands * times :].reshape(len(state), bands, times, -1)
    stride, size = config.time_stride, config.patch_size
    n_own = min(times, max(1, math.ceil((own - size) / stride) + 1))
    return patches[:, :, :n_own].flatten(1, 2)


def _patch_grid(config: Any) -> tuple[int, int] | None:
    """Bands and times of a transformer over patches of a spectrogram."""
    try:
        bands = (config.num_mel_bins - config.patch_size) // config.frequency_stride + 1
        times = (config.max_length - config.patch_size) // config.time_stride + 1
    except AttributeError:
        return None
    return bands, times


def _tap(i: int, state: torch.Tensor, norm: str) -> Tap:
    name = "embedding" if i == 0 else f"block_{i}" + ("_normed" if norm else "")
    axes: tuple[str, ...] = SEQUENCE
    rule = "time_mean"
    if state.ndim == 4:
        axes, rule = ("batch", "channel", "frequency", "time"), "frequency_time_mean"
    return Tap(name, name, returned=f"hidden_states.{i}", axes=axes, collapse=rule)


def _closing_norm(network: torch.nn.Module, run: Any, states: list[torch.Tensor]) -> str:
    """The normalisation outside of the blocks that made the last hidden state, if one did."""
    found: list[str] = []
    last = states[-1] if states else None

    def look(name: str) -> Any:
        def hook(_module: Any, _inputs: Any, output: Any) -> None:
            if (
                isinstance(output, torch.Tensor)
                and last is not None
                and output.ndim == last.ndim
                and output.shape[1] >= last.shape[1]
                and torch.equal(output[:, : last.shape[1]], last)
            ):
                found.append(name)

        return hook

    handles = [
        module.register_forward_hook(look(name))
        for name, module in network.named_modules()
        if "norm" in type(module).__name__.lower() and not any(map(str.isdigit, name.split(".")))
    ]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    return found[-1] if found else ""

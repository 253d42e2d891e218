"""External networks that come from libraries.

AST, wav2vec 2.0 and S2T from transformers, SepFormer and MetricGAN+ from speechbrain.

Weights come from a local folder (``--checkpoint``) or from the model's hub. The taps name modules
by what they are, not by paths that change with the version of the library.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from aud_dnn.errors import InputError
from aud_dnn.extract.libraries import SEQUENCE, library, no_weights
from aud_dnn.extract.resampling import published_16k
from aud_dnn.extract.speechbrain_models import SPEECHBRAIN, build_speechbrain
from aud_dnn.extract.taps import Tap
from aud_dnn.extract.torch_network import TorchModel
from aud_dnn.io.digests import file_digest
from aud_dnn.models.registry import pickle_key

_WEIGHT_FILES = ("*.safetensors", "*.bin", "*.ckpt")


# --- transformers -------------------------------------------------------------------------------


def _ast_taps(network: nn.Module) -> list[Tap]:
    patches = [path for path, module in network.named_modules() if isinstance(module, nn.Conv2d)]
    blocks = [
        path
        for path, module in network.named_modules()
        if isinstance(module, nn.Linear)
        and (module.in_features, module.out_features) == (3072, 768)
    ]
    taps = [
        Tap(
            "Embedding",
            pickle_key("AST", "Embedding"),
            module=patches[0],
            axes=("batch", "channel", "frequency", "time"),
            collapse="frequency_time_mean",
        )
    ]
    taps += [
        Tap(
            f"Encoder_{i}",
            pickle_key("AST", f"Encoder_{i}"),
            module=path,
            axes=("batch", "token", "feature"),
            collapse="token_mean",
        )
        for i, path in enumerate(blocks, 1)
    ]
    return [
        *taps,
        Tap("Final", "Final", returned="logits", axes=("batch", "feature"), collapse="identity"),
    ]


def _hidden_state_taps(n_layers: int) -> list[Tap]:
    names = ["Embedding", *(f"Encoder_{i}" for i in range(1, n_layers + 1))]
    return [
        Tap(name, name, returned=f"hidden_states.{i}", axes=SEQUENCE)
        for i, name in enumerate(names)
    ]


def _wav2vec_taps(_: nn.Module) -> list[Tap]:
    return [*_hidden_state_taps(12), Tap("Final", "Final", returned="logits", axes=SEQUENCE)]


def _s2t_encoder(network: nn.Module, features: torch.Tensor) -> Any:
    # the published run reached the same states by way of text generation
    return network.model.encoder(features, output_hidden_states=True, return_dict=True)


@dataclass(frozen=True)
class _TransformersModel:
    hub_id: str
    network_class: str
    config_class: str
    config: dict[str, Any]
    extractor_class: str
    extractor: dict[str, Any]
    input_name: str
    taps: Callable[[nn.Module], list[Tap]]
    forward: Callable[[nn.Module, torch.Tensor], Any]
    preprocessing: str


_TRANSFORMERS = {
    "AST": _TransformersModel(
        "MIT/ast-finetuned-audioset-10-10-0.4593",
        "ASTForAudioClassification",
        "ASTConfig",
        {"num_labels": 527},
        "ASTFeatureExtractor",
        {},
        "input_values",
        _ast_taps,
        lambda network, x: network(x, return_dict=True),
        "16 kHz PCM copy, Kaldi filter bank 128 bands, padded to 1024 frames, normalised",
    ),
    "wav2vec": _TransformersModel(
        "facebook/wav2vec2-base-960h",
        "Wav2Vec2ForCTC",
        "Wav2Vec2Config",
        {},
        "Wav2Vec2FeatureExtractor",
        {"do_normalize": True, "return_attention_mask": False},
        "input_values",
        _wav2vec_taps,
        lambda network, x: network(x, output_hidden_states=True, return_dict=True),
        "16 kHz PCM copy, zero mean and unit variance, no attention mask",
    ),
    "S2T": _TransformersModel(
        "facebook/s2t-large-librispeech-asr",
        "Speech2TextForConditionalGeneration",
        "Speech2TextConfig",
        {
            "d_model": 1024,
            "encoder_layers": 12,
            "encoder_attention_heads": 16,
            "encoder_ffn_dim": 4096,
            "decoder_attention_heads": 16,
            "decoder_ffn_dim": 4096,
            "conv_channels": 1024,
        },
        "Speech2TextFeatureExtractor",
        {},
        "input_features",
        lambda _: _hidden_state_taps(12),
        _s2t_encoder,
        "16 kHz PCM copy, scaled by 2^15, Kaldi filter bank 80 bands, mean and variance of the "
        "sound",
    ),
}


def _build_transformers(
    model: str, checkpoint: Path | None, random_weights: bool, seed: int
) -> TorchModel:
    spec = _TRANSFORMERS[model]
    transformers = library("transformers")
    if random_weights:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = getattr(transformers, spec.network_class)(
                getattr(transformers, spec.config_class)(**spec.config)
            )
        weights: dict[str, Any] = {"initialised_with_seed": seed}
    else:
        source = spec.hub_id if checkpoint is None else str(checkpoint)
        try:
            network = getattr(transformers, spec.network_class).from_pretrained(source)
        except (OSError, ValueError) as error:
            raise InputError(no_weights(model, source, spec.hub_id, error)) from error
        weights = (
            _folder_digests(checkpoint)
            if checkpoint
            else {"hub": spec.hub_id, "revision": getattr(network.config, "_commit_hash", None)}
        )
    extractor = getattr(transformers, spec.extractor_class)(**spec.extractor)

    def prepare(samples: np.ndarray, rate: int) -> torch.Tensor:
        sound = published_16k(samples, rate).astype(np.float32)
        return extractor(sound, sampling_rate=16_000, return_tensors="pt")[spec.input_name]

    # some versions draw a number for every layer of wav2vec, in evaluation mode too, where it
    # changes nothing
    return TorchModel(
        network,
        spec.taps(network),
        16_000,
        prepare,
        forward=spec.forward,
        stochastic=model == "wav2vec",
        details={"weights": weights, "preprocessing": spec.preprocessing},
    )


def _folder_digests(folder: Path) -> dict[str, Any]:
    files = sorted(path for pattern in _WEIGHT_FILES for path in Path(folder).glob(pattern))
    return {"folder": Path(folder).name, "sha256": {path.name: file_digest(path) for path in files}}


# --- speechbrain --------------------------------------------------------------------------------


HUB_MODELS = (*_TRANSFORMERS, *SPEECHBRAIN)
"""External models whose code comes from a library."""


def build_hub_model(
    model: str,
    checkpoint: Path | None,
    *,
    trust: bool = False,
    random_weights: bool = False,
    seed: int = 0,
) -> TorchModel:
    """One of the models from a library, ready to run.

    Parameters
    ----------
    model : str
        Of :data:`HUB_MODELS`.
    checkpoint : Path or None
        Folder with a copy of the model's hub repository; None fetches it from there.
    trust : bool
        Of speechbrain's files: see :func:`aud_dnn.extract.checkpoints.read_tensors`.
    random_weights : bool
        The published architecture, initialised at random (``seed``); for trials.
    """
    if checkpoint is not None and not Path(checkpoint).is_dir():
        raise InputError(
            f"{model} takes a folder (a copy of its hub repository) as --checkpoint; {checkpoint} "
            "is none."
        )
    if model in _TRANSFORMERS:
        return _build_transformers(model, checkpoint, random_weights, seed)
    return build_speechbrain(model, checkpoint, trust, random_weights, seed)

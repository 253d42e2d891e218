"""External networks that come from libraries.

AST, wav2vec 2.0 and S2T from transformers, SepFormer and MetricGAN+ from speechbrain.

Weights come from a local folder (``--checkpoint``) or from the model's hub. The taps name modules
by what they are, not by paths that change with the version of the library.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from aud_dnn.errors import InputError, MissingDataError
from aud_dnn.extract.checkpoints import load_weights, read_tensors
from aud_dnn.extract.front_ends import metricgan_spectrogram
from aud_dnn.extract.resampling import halve_rate, published_16k
from aud_dnn.extract.taps import Tap
from aud_dnn.extract.torch_model import TorchModel
from aud_dnn.io.digests import file_digest
from aud_dnn.models.registry import pickle_key

_SEQUENCE = ("batch", "time", "feature")
_WEIGHT_FILES = ("*.safetensors", "*.bin", "*.ckpt")


def _library(name: str, extra: str = "extract") -> Any:
    try:
        return importlib.import_module(name)
    except Exception as error:  # an installed library can fail to import in many ways
        raise InputError(
            f"This model needs the package {name.split('.')[0]}, which cannot be imported here "
            f"({error}). pip install -e '.[{extra}]' brings what it needs."
        ) from error


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
        Tap(name, name, returned=f"hidden_states.{i}", axes=_SEQUENCE)
        for i, name in enumerate(names)
    ]


def _wav2vec_taps(_: nn.Module) -> list[Tap]:
    return [*_hidden_state_taps(12), Tap("Final", "Final", returned="logits", axes=_SEQUENCE)]


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
    transformers = _library("transformers")
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
            raise InputError(_no_weights(model, source, spec.hub_id, error)) from error
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


@contextlib.contextmanager
def _torchaudio_or_nothing() -> Iterator[None]:
    """speechbrain imports torchaudio everywhere; the networks that are read here never call it.

    Where torchaudio cannot be imported (no build of it fits every PyTorch), an empty module stands
    in for it while speechbrain is imported, and is gone afterwards.
    """
    try:
        importlib.import_module("torchaudio")
    except Exception:  # not installed (ImportError), or built for another PyTorch (OSError)
        # halves of an import that failed would spoil the next one
        failed = {"torchaudio"} if "speechbrain" in sys.modules else {"torchaudio", "speechbrain"}
        for name in [name for name in sys.modules if name.split(".")[0] in failed]:
            del sys.modules[name]
    else:
        yield
        return
    stand_in = types.ModuleType("torchaudio")
    stand_in.__version__ = (
        "2.9.0"  # from this version on, speechbrain asks nothing of it while it is imported
    )
    stand_in.__spec__ = importlib.machinery.ModuleSpec("torchaudio", None)
    sys.modules["torchaudio"] = stand_in
    try:
        yield
    finally:
        sys.modules.pop("torchaudio", None)


def _speechbrain(module: str) -> Any:
    with _torchaudio_or_nothing():
        for part in (
            "CNN",
            "RNN",
        ):  # speechbrain itself would import these when they are first used
            _library(f"speechbrain.nnet.{part}", "speechbrain")
        return _library(f"speechbrain.{module}", "speechbrain")


class SepFormer(nn.Module):
    """The parts of a SepFormer that are read; called with 8 kHz waveforms (1, n_samples)."""

    def __init__(self, encoder: nn.Module, masknet: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.masknet = masknet
        self.decoder = decoder  # not run; it belongs to what a permuted control permutes

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        return self.masknet(self.encoder(waveform))


def sepformer_taps() -> list[Tap]:
    """Embedding and the 32 feed-forward branches: for both blocks first within, then across chunks."""
    # the library's convolution rectifies outside of the module; the published value is the
    # rectified one
    taps = [
        Tap(
            "Embedding",
            pickle_key("sepformer", "Embedding"),
            module="encoder.conv1d",
            axes=("batch", "channel", "time"),
            post="relu",
        )
    ]
    paths = [
        f"masknet.dual_mdl.{block}.{part}_mdl.mdl.layers.{layer}.pos_ffn.ffn.3"
        for block in range(2)
        for part in ("intra", "inter")
        for layer in range(8)
    ]
    # chunks of one sound stand where a batch would, so one sound at a time
    return taps + [
        Tap(
            f"Encoder_{i}",
            pickle_key("sepformer", f"Encoder_{i}"),
            module=path,
            axes=("position", "chunk", "feature"),
            collapse="chunk_mean",
        )
        for i, path in enumerate(paths, 1)
    ]


def metricgan_taps() -> list[Tap]:
    """Final states of both LSTM layers, and the two linear layers, the first one rectified as in
    the published run.
    """
    taps = []
    for layer in range(2):
        for suffix, rule in (("", "final_hidden"), ("-cell", "final_cell")):
            name = f"LSTM_{layer + 1}{suffix}"
            taps.append(
                Tap(
                    name,
                    pickle_key("metricGAN", name),
                    module="blstm.rnn",
                    collapse=rule,
                    layer=layer,
                )
            )
    return [
        *taps,
        Tap(
            "Linear_1",
            pickle_key("metricGAN", "Linear_1"),
            module="linear1",
            axes=_SEQUENCE,
            post="leaky_relu:0.3",
        ),
        Tap("Linear_2", pickle_key("metricGAN", "Linear_2"), module="linear2", axes=_SEQUENCE),
    ]


def sepformer_model(network: SepFormer, weights: dict[str, Any]) -> TorchModel:
    """A SepFormer, ready to run."""

    def prepare(samples: np.ndarray, rate: int) -> torch.Tensor:
        return torch.tensor(halve_rate(published_16k(samples, rate)), dtype=torch.float32)[None]

    return TorchModel(
        network,
        sepformer_taps(),
        16_000,
        prepare,
        details={
            "weights": weights,
            "preprocessing": "16 kHz PCM copy, Hann-windowed sinc to 8 kHz",
        },
    )


def metricgan_model(network: nn.Module, weights: dict[str, Any]) -> TorchModel:
    """A MetricGAN+ generator, ready to run."""

    def prepare(samples: np.ndarray, rate: int) -> torch.Tensor:
        return torch.tensor(
            metricgan_spectrogram(published_16k(samples, rate)), dtype=torch.float32
        )[None]

    return TorchModel(
        network,
        metricgan_taps(),
        16_000,
        prepare,
        forward=lambda network, x: network(x, lengths=torch.ones(len(x), device=x.device)),
        details={
            "weights": weights,
            "preprocessing": "16 kHz PCM copy, log(1 + STFT magnitude) 126 x 257",
        },
    )


def random_sepformer(seed: int = 0) -> SepFormer:
    """The published architecture, randomly initialised."""
    dual_path = _speechbrain("lobes.models.dual_path")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)

        def block() -> nn.Module:
            return dual_path.SBTransformerBlock(
                num_layers=8,
                d_model=256,
                nhead=8,
                d_ffn=1024,
                dropout=0,
                use_positional_encoding=True,
                norm_before=True,
            )

        masknet = dual_path.Dual_Path_Model(
            256,
            256,
            block(),
            block(),
            num_layers=2,
            norm="ln",
            K=250,
            num_spks=2,
            skip_around_intra=True,
            linear_layer_after_inter_intra=False,
        )
        return SepFormer(
            dual_path.Encoder(kernel_size=16, out_channels=256),
            masknet,
            dual_path.Decoder(256, 1, 16, stride=8, bias=False),
        )


def random_metricgan(seed: int = 0) -> nn.Module:
    """The published generator, randomly initialised."""
    metricgan = _speechbrain("lobes.models.MetricGAN")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return metricgan.EnhancementGenerator()


# model -> hub repository, its files of weights, and the part of the network that each belongs to
_SPEECHBRAIN = {
    "sepformer": (
        "speechbrain/sepformer-whamr",
        {"encoder.ckpt": "encoder.", "masknet.ckpt": "masknet.", "decoder.ckpt": "decoder."},
    ),
    "metricGAN": ("speechbrain/metricgan-plus-voicebank", {"enhance_model.ckpt": ""}),
}


def _build_speechbrain(
    model: str, checkpoint: Path | None, trust: bool, random_weights: bool, seed: int
) -> TorchModel:
    # the published architecture and its state dicts: the recipes of the hub, which can name any
    # code, are never read
    network = random_sepformer(seed) if model == "sepformer" else random_metricgan(seed)
    if random_weights:
        weights: dict[str, Any] = {"initialised_with_seed": seed}
    else:
        hub_id, parts = _SPEECHBRAIN[model]
        files = _files_of(hub_id, list(parts), checkpoint, model)
        tensors = {
            f"{prefix}{name}": tensor
            for path, prefix in zip(files, parts.values())
            for name, tensor in read_tensors(path, trust=trust).items()
        }
        # positions are sinusoids that are computed, not learned; a checkpoint may do without
        tensors = {
            name: tensor for name, tensor in network.state_dict().items() if name.endswith(".pe")
        } | tensors
        names = load_weights(network, tensors, str(checkpoint or hub_id))
        digests = {path.name: file_digest(path) for path in files}
        weights = {
            **({"folder": Path(checkpoint).name} if checkpoint else {"hub": hub_id}),
            "sha256": digests,
            **names,
        }
    return (
        sepformer_model(network, weights)
        if model == "sepformer"
        else metricgan_model(network, weights)
    )


def _files_of(hub_id: str, names: Sequence[str], checkpoint: Path | None, model: str) -> list[Path]:
    """Files of a local copy of a hub repository, or fetched from the hub into its own cache."""
    if checkpoint is not None:
        paths = [Path(checkpoint) / name for name in names]
        if missing := [path.name for path in paths if not path.is_file()]:
            raise MissingDataError(
                f"{checkpoint} lacks {', '.join(missing)}. Copy {hub_id} there, complete."
            )
        return paths
    hub = _library("huggingface_hub", "speechbrain")
    try:
        return [Path(hub.hf_hub_download(hub_id, name)) for name in names]
    except Exception as error:  # network, permissions and caches fail in many ways
        raise InputError(_no_weights(model, hub_id, hub_id, error)) from error


def _no_weights(model: str, source: str, hub_id: str, error: Exception) -> str:
    return (
        f"The weights of {model} cannot be had from {source} ({str(error).splitlines()[0]}). "
        f"Without network, copy {hub_id} to a folder and name it with --checkpoint."
    )


HUB_MODELS = (*_TRANSFORMERS, *_SPEECHBRAIN)
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
    return _build_speechbrain(model, checkpoint, trust, random_weights, seed)

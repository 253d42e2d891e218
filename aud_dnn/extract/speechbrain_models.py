"""SepFormer and MetricGAN+ of SpeechBrain: taps, weights, random versions."""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from aud_dnn.extract.checkpoints import load_weights, read_tensors
from aud_dnn.extract.front_ends import metricgan_spectrogram
from aud_dnn.extract.libraries import SEQUENCE, files_of, library
from aud_dnn.extract.resampling import halve_rate, published_16k
from aud_dnn.extract.taps import Tap
from aud_dnn.extract.torch_network import TorchModel
from aud_dnn.io.digests import file_digest
from aud_dnn.models.registry import pickle_key


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
            library(f"speechbrain.nnet.{part}", "speechbrain")
        return library(f"speechbrain.{module}", "speechbrain")


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
    """Embedding and the 32 feed-forward branches: in both blocks within, then across chunks."""
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
            axes=SEQUENCE,
            post="leaky_relu:0.3",
        ),
        Tap("Linear_2", pickle_key("metricGAN", "Linear_2"), module="linear2", axes=SEQUENCE),
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
SPEECHBRAIN = {
    "sepformer": (
        "speechbrain/sepformer-whamr",
        {"encoder.ckpt": "encoder.", "masknet.ckpt": "masknet.", "decoder.ckpt": "decoder."},
    ),
    "metricGAN": ("speechbrain/metricgan-plus-voicebank", {"enhance_model.ckpt": ""}),
}


def build_speechbrain(
    model: str, checkpoint: Path | None, trust: bool, random_weights: bool, seed: int
) -> TorchModel:
    """One of the SpeechBrain models, with published or random weights."""
    # the published architecture and its state dicts: the recipes of the hub, which can name any
    # code, are never read
    network = random_sepformer(seed) if model == "sepformer" else random_metricgan(seed)
    if random_weights:
        weights: dict[str, Any] = {"initialised_with_seed": seed}
    else:
        hub_id, parts = SPEECHBRAIN[model]
        files = files_of(hub_id, list(parts), checkpoint, model)
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

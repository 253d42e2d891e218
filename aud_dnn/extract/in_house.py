"""The in-house networks with their taps, heads and checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import nn

from aud_dnn.errors import InputError
from aud_dnn.extract.checkpoints import load_weights, read_checkpoint
from aud_dnn.extract.cochdnn import TASK_CLASSES, CochCNN9, Cochleagram, CochResNet50
from aud_dnn.extract.cochleagram import (
    SAMPLE_RATE,
    downsampling_kernel,
    filter_bank,
    prepare_waveform,
)
from aud_dnn.extract.taps import Tap
from aud_dnn.extract.torch_network import TorchModel

_HEAD_OF_TASK = {
    "word": "signal/word_int",
    "wordClean": "signal/word_int",
    "speaker": "signal/speaker_int",
    "speakerClean": "signal/speaker_int",
    "audioset": "noise/labels_binary_via_int",
}
_TASKS = ("word", "wordClean", "speaker", "speakerClean", "audioset", "multitask")
_ARCHITECTURES = {"Kell2018": CochCNN9, "ResNet50": CochResNet50}

UNTRAINED = {"Kell2018init": "Kell2018", "ResNet50init": "ResNet50"}
"""The same architectures as they are initialised, with the word head; they need no checkpoint."""

IN_HOUSE_MODELS = (
    *(
        f"{architecture}{task}{seed}"
        for architecture in _ARCHITECTURES
        for task in _TASKS
        for seed in ("", "Seed2")
    ),
    *UNTRAINED,
)
"""In-house networks that can be run. The two genre networks exist as stored activations only."""

_CNN_STAGES = (
    "batchnorm0",
    "conv0",
    "relu0",
    "maxpool0",
    "batchnorm1",
    "conv1",
    "relu1",
    "maxpool1",
    "batchnorm2",
    "conv2",
    "relu2",
    "conv3",
    "relu3",
    "conv4",
    "relu4",
    "avgpool",
    "fullyconnected",
    "relufc",
    "dropout",
)
_RESNET_STAGES = (
    "conv1",
    "bn1",
    "conv1_relu1",
    "maxpool1",
    "layer1",
    "layer2",
    "layer3",
    "layer4",
    "avgpool",
)
_FLAT_STAGES = ("fullyconnected", "relufc", "dropout")


class HearingNetwork(nn.Module):
    """Cochleagram and network in one: takes waveforms (n_sounds, 40000)."""

    def __init__(self, network: nn.Module, floor: str = "none") -> None:
        super().__init__()
        self.cochleagram = Cochleagram(floor)
        self.network = network

    def forward(self, waveform: torch.Tensor) -> torch.Tensor | dict[str, torch.Tensor]:
        return self.network(self.cochleagram(waveform))


def _split_name(model: str) -> tuple[str, str]:
    architecture = "Kell2018" if model.startswith("Kell2018") else "ResNet50"
    return architecture, model.removeprefix(architecture).removesuffix("Seed2")


def build_network(model: str) -> nn.Module:
    """The bare network of an in-house model, randomly initialised.

    The word networks have one head; speaker, AudioSet and multi-task networks have all three,
    trained or not.
    """
    architecture, task = _split_name(model)
    single = task in ("word", "wordClean", "init")
    return _ARCHITECTURES[architecture](TASK_CLASSES["signal/word_int"] if single else TASK_CLASSES)


def in_house_taps(model: str) -> list[Tap]:
    """Taps of an in-house model, stored under the published names."""
    architecture, task = _split_name(model)
    image = ("batch", "channel", "frequency", "time")
    flat = ("batch", "feature")
    taps = [Tap("input_after_preproc", "input_after_preproc", module="cochleagram", axes=image)]
    for stage in _CNN_STAGES if architecture == "Kell2018" else _RESNET_STAGES:
        if stage in _FLAT_STAGES:
            taps.append(
                Tap(stage, stage, module=f"network.{stage}", axes=flat, collapse="identity")
            )
            continue
        # the multi-task ResNet rectified in place, right after this was stored
        post = "relu" if stage == "bn1" and task not in ("word", "wordClean", "init") else ""
        taps.append(Tap(stage, stage, module=f"network.{stage}", axes=image, post=post))
    head = "network.classification" if architecture == "Kell2018" else "network.fc"
    if task in ("word", "wordClean", "init"):
        return [*taps, Tap("final", "final", module=head, axes=flat, collapse="identity")]
    trained = list(TASK_CLASSES) if task == "multitask" else [_HEAD_OF_TASK[task]]
    return [
        *taps,
        *(
            Tap(
                f"final/{name}",
                f"final/{name}",
                module=f"{head}.{name}",
                axes=flat,
                collapse="identity",
            )
            for name in trained
        ),
    ]


def network_tensors(tensors: Mapping[str, torch.Tensor], where: str) -> dict[str, torch.Tensor]:
    """The state dict of the bare network, of a published checkpoint or of a bare one.

    A published checkpoint holds the front end as well; it is compared with ours.

    Raises
    ------
    InputError
        The front end in the checkpoint is another one.
    """
    stripped = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    inside = {
        name.removeprefix("model.1."): tensor
        for name, tensor in stripped.items()
        if name.startswith("model.1.")
    }
    if not inside:
        return stripped
    for name, tensor in stripped.items():
        if not name.startswith("model.0."):
            continue
        ours = None
        if name.endswith("coch_filters"):
            ours = np.stack([filter_bank(), np.zeros_like(filter_bank())], axis=-1)
        elif name.endswith("downsample_filter"):
            ours = downsampling_kernel()[None, None]
        if ours is not None and (
            tuple(tensor.shape) != ours.shape or not np.allclose(tensor.numpy(), ours, atol=1e-6)
        ):
            raise InputError(
                f"{where}: its front end ({name}) is not the one of this package; the network was "
                "trained on another input."
            )
    return inside


def build_in_house(
    model: str,
    checkpoint: Path | None,
    *,
    trust: bool = False,
    random_weights: bool = False,
    seed: int = 0,
    floor: str = "none",
    entry: str | None = None,
) -> TorchModel:
    """An in-house network, ready to run.

    Parameters
    ----------
    model : str
        Of :data:`IN_HOUSE_MODELS`.
    checkpoint : Path or None
        ``5_checkpoint.pt`` of the CochDNN archive, or a safetensors file of its tensors; none for
        the untrained ones.
    trust, entry : bool, str
        See :func:`aud_dnn.extract.checkpoints.read_tensors`.
    random_weights : bool
        Initialise at random (``seed``) instead of reading a checkpoint; for trials. Untrained
        networks always are.
    seed : int
    floor : {"none", "published"}
        See :func:`aud_dnn.extract.cochleagram.cochleagram`.
    """
    if model in UNTRAINED and checkpoint is not None:
        raise InputError(f"{model} is untrained and takes no --checkpoint.")
    if random_weights or model in UNTRAINED:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = build_network(model)
        weights = {"initialised_with_seed": seed}
    else:
        if checkpoint is None:
            raise InputError(
                f"{model} needs its weights: --checkpoint {_archive_name(model)}/5_checkpoint.pt "
                "(of the archive of the CochDNN code), or --random_weights True for a trial."
            )
        network = build_network(model)
        tensors, weights = read_checkpoint(checkpoint, trust=trust, entry=entry)
        weights |= load_weights(network, network_tensors(tensors, str(checkpoint)), str(checkpoint))

    def prepare(samples: np.ndarray, rate: int) -> torch.Tensor:
        return torch.tensor(prepare_waveform(samples, rate), dtype=torch.float32)[None]

    return TorchModel(
        HearingNetwork(network, floor),
        in_house_taps(model),
        SAMPLE_RATE,
        prepare,
        policy="crop",
        max_batch=None,
        details={
            "weights": weights,
            "envelope_floor": floor,
            "preprocessing": "first 2 s, polyphase to 20 kHz, RMS 0.1, clipped to [-1, 1], "
            "cochleagram 211 x 390 (float32)",
        },
    )


def _archive_name(model: str) -> str:
    """Name of a model's folder in the archive of public checkpoints."""
    architecture, task = _split_name(model)
    task = {
        "wordClean": "word_clean_speech",
        "speakerClean": "speaker_clean_speech",
        "multitask": "word_speaker_audioset",
    }.get(task, task)
    return f"{architecture.lower()}_{task}{'_seed2' if model.endswith('Seed2') else ''}"

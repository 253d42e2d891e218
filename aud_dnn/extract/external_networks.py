"""Four external networks without a maintained package, written from their published shapes.

Names of parameters are those of the original checkpoints. See ``docs/extraction.md`` for where they
come from.
"""

from __future__ import annotations

import torch
from torch import nn


class _PerFrame(nn.Module):
    """Applies a module to every frame: (time, batch, features) as (time * batch, features)."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.module(x.flatten(0, 1)).unflatten(0, x.shape[:2])


class _RecurrentStage(nn.Module):
    """Batch norm (not in the first stage) and a bidirectional LSTM whose directions are added."""

    def __init__(self, inputs: int, size: int, batch_norm: bool) -> None:
        super().__init__()
        self.batch_norm = _PerFrame(nn.BatchNorm1d(inputs)) if batch_norm else None
        self.rnn = nn.LSTM(inputs, size, bidirectional=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.batch_norm is not None:
            x = self.batch_norm(x)
        outputs, _ = self.rnn(x)
        return outputs.unflatten(2, (2, -1)).sum(dim=2)


class _ConvolutionStage(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        # not in place, so that what a tap sees is the output of the module it names
        self.seq_module = nn.Sequential(
            nn.Conv2d(1, 32, (41, 11), (2, 2), padding=(20, 5)),
            nn.BatchNorm2d(32),
            nn.Hardtanh(0, 20),
            nn.Conv2d(32, 32, (21, 11), (2, 1), padding=(10, 5)),
            nn.BatchNorm2d(32),
            nn.Hardtanh(0, 20),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.seq_module(x)


class DeepSpeech2(nn.Module):
    """Speech recognition (Amodei et al. 2016) as in deepspeech.pytorch V3.

    Input (1, 1, 161 bins, n_frames).
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv = _ConvolutionStage()
        self.rnns = nn.Sequential(
            _RecurrentStage(1312, 1024, False),
            *(_RecurrentStage(1024, 1024, True) for _ in range(4)),
        )
        self.fc = nn.Sequential(
            _PerFrame(nn.Sequential(nn.BatchNorm1d(1024), nn.Linear(1024, 29, bias=False)))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x).flatten(1, 2)  # channel-major
        return self.fc(self.rnns(x.permute(2, 0, 1)))


class PCAQuantiser(nn.Module):
    """What follows VGGish: PCA whitening, clipping to [-2, 2], 8 bits."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("pca_eigen_vectors", torch.eye(128))
        self.register_buffer("pca_means", torch.zeros(128, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        whitened = (self.pca_eigen_vectors @ (x.T - self.pca_means)).T
        return torch.round((whitened.clamp(-2, 2) + 2) * (255 / 4))


class VGGish(nn.Module):
    """Audio classification (Hershey et al. 2017); input (n_patches, 1, 96 frames, 64 bands)."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 1
        for width in (64, "pool", 128, "pool", 256, 256, "pool", 512, 512, "pool"):
            if width == "pool":
                layers.append(nn.MaxPool2d(2, 2))
            else:
                layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU()]
                inputs = width
        self.features = nn.Sequential(*layers)
        self.embeddings = nn.Sequential(
            nn.Linear(12288, 4096),
            nn.ReLU(),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Linear(4096, 128),
            nn.ReLU(),
        )
        self.postprocessor = PCAQuantiser()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.features(x).permute(0, 2, 3, 1).flatten(start_dim=1)  # time, mel, channel
        return self.postprocessor(self.embeddings(x))


class _Codebook(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("embedding", torch.randn(512, 64) / 512)
        self.register_buffer("ema_count", torch.zeros(512))
        self.register_buffer("ema_weight", self.embedding.clone())


class _Jitter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("prob", torch.tensor([0.25, 0.5, 0.25]))


class ZeroSpeechEncoder(nn.Module):
    """Encoder of a vector-quantised autoencoder (van Niekerk et al. 2020).

    Input (n_sounds, 80 bands, n_frames).

    Codebook and jitter only belong to the checkpoint; the stages that are read come before them.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, kernel, stride, padding in (
            (80, 3, 1, 0),
            (768, 3, 1, 1),
            (768, 4, 2, 1),
            (768, 3, 1, 1),
            (768, 3, 1, 1),
        ):
            layers += [
                nn.Conv1d(inputs, 768, kernel, stride, padding, bias=False),
                nn.BatchNorm1d(768),
                nn.ReLU(inplace=True),
            ]
        self.encoder = nn.Sequential(*layers, nn.Conv1d(768, 64, 1))
        self.codebook = _Codebook()
        self.jitter = _Jitter()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.encoder(x)


class _CaptionEncoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru_1 = nn.GRU(64, 256, batch_first=True, bidirectional=True)
        self.gru_2 = nn.GRU(512, 256, batch_first=True, bidirectional=True)
        self.gru_3 = nn.GRU(512, 256, batch_first=True, bidirectional=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x, _ = self.gru_1(x)
        for gru in (self.gru_2, self.gru_3):
            x = x + gru(x)[0]
        return x


class _CaptionDecoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(512, 256, batch_first=True)
        self.classifier = nn.Linear(256, 4367)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.rnn(x)[0])


class CaptionNetwork(nn.Module):
    """Audio captioning, the baseline of DCASE 2020 task 6 (Drossos et al. 2017).

    Input (n_sounds, n_frames, 64 bands).
    """

    n_words = 22

    def __init__(self) -> None:
        super().__init__()
        self.encoder = _CaptionEncoder()
        self.decoder = _CaptionDecoder()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        last = self.encoder(x)[:, -1:]
        return self.decoder(last.expand(-1, self.n_words, -1))

"""Spectrograms as the external models take them, in NumPy, every parameter written out."""

from __future__ import annotations

import numpy as np
import scipy.fft
import scipy.signal


def stft_magnitude(
    samples: np.ndarray, *, n_fft: int, window: int, hop: int, shape: str, centred: bool
) -> np.ndarray:
    """Magnitude of the short-time Fourier transform.

    Parameters
    ----------
    samples : array of shape (n_samples,)
    n_fft, window, hop : int
        Samples per transform, under the window, and from frame to frame. A shorter window is padded
        with zeros, in its middle for ``centred``.
    shape : {"hann", "hamming"}
        Periodic window.
    centred : bool
        Frame k is centred at sample k * hop, the sound is mirrored at its ends; else frame k begins
        there.

    Returns
    -------
    array of shape (n_fft // 2 + 1, n_frames)
    """
    taper = scipy.signal.get_window(shape, window, fftbins=True)
    length = window
    if centred:
        before = (n_fft - window) // 2
        taper = np.pad(taper, (before, n_fft - window - before))
        samples = np.pad(samples, n_fft // 2, mode="reflect")
        length = n_fft
    frames = np.lib.stride_tricks.sliding_window_view(samples, length)[::hop]
    return np.abs(scipy.fft.rfft(frames * taper, n_fft, axis=1)).T


def slaney_mel_filters(rate: int, n_fft: int, n_mels: int, low_hz: float = 0.0) -> np.ndarray:
    """Triangular filters on Slaney's mel scale (linear below 1 kHz), each of unit area.

    Shape (n_mels, n_fft // 2 + 1).
    """
    low, high = _hz_to_slaney(np.array([low_hz, rate / 2]))
    edges = _slaney_to_hz(np.linspace(low, high, n_mels + 2))
    triangles = _triangles(np.linspace(0, rate / 2, n_fft // 2 + 1), edges)
    return triangles * (2 / (edges[2:] - edges[:-2]))[:, None]


def htk_mel_filters(
    rate: int, n_fft: int, n_mels: int, low_hz: float, high_hz: float
) -> np.ndarray:
    """Filters that are triangular on the HTK mel scale itself, not normalised, nothing at 0 Hz.

    (n_mels, n_fft // 2 + 1).
    """
    bins = _hz_to_htk(np.linspace(0, rate / 2, n_fft // 2 + 1))
    filters = _triangles(bins, np.linspace(_hz_to_htk(low_hz), _hz_to_htk(high_hz), n_mels + 2))
    filters[:, 0] = 0
    return filters


def _triangles(points: np.ndarray, edges: np.ndarray) -> np.ndarray:
    lower, centre, upper = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    return np.maximum(
        0, np.minimum((points - lower) / (centre - lower), (upper - points) / (upper - centre))
    )


def _hz_to_htk(hz: np.ndarray | float) -> np.ndarray | float:
    return 1127 * np.log1p(np.asarray(hz) / 700)


def _hz_to_slaney(hz: np.ndarray) -> np.ndarray:
    logarithmic = 15 + 27 * np.log(np.maximum(hz, 1000) / 1000) / np.log(6.4)
    return np.where(hz < 1000, 3 * hz / 200, logarithmic)


def _slaney_to_hz(mel: np.ndarray) -> np.ndarray:
    return np.where(mel < 15, 200 * mel / 3, 1000 * 6.4 ** ((mel - 15) / 27))


def deepspeech_spectrogram(samples: np.ndarray) -> np.ndarray:
    """Standardised log spectrogram for DeepSpeech2: (161, 201) for 2 s at 16 kHz."""
    magnitude = stft_magnitude(
        samples, n_fft=320, window=320, hop=160, shape="hamming", centred=True
    )
    log = np.log1p(magnitude)
    return (log - log.mean()) / log.std(ddof=1)


def vggish_patches(samples: np.ndarray) -> np.ndarray:
    """Log-mel patches of 0.96 s for VGGish: (2 patches, 96 frames, 64 bands) for 2 s at 16 kHz.

    The rest is dropped.
    """
    magnitude = stft_magnitude(samples, n_fft=512, window=400, hop=160, shape="hann", centred=False)
    log_mel = np.log(htk_mel_filters(16_000, 512, 64, 125, 7500) @ magnitude + 0.01).T
    n_patches = len(log_mel) // 96
    return log_mel[: n_patches * 96].reshape(n_patches, 96, 64)


def dcase_log_mel(samples: np.ndarray) -> np.ndarray:
    """Log-mel spectrogram for the DCASE 2020 captioning baseline.

    (173 frames, 64 bands) for 2 s at 44.1 kHz.
    """
    samples = samples / np.abs(samples).max()
    magnitude = stft_magnitude(
        samples, n_fft=1024, window=1024, hop=512, shape="hann", centred=True
    )
    return np.log(slaney_mel_filters(44_100, 1024, 64) @ magnitude + np.finfo(np.float64).eps).T


def zerospeech_log_mel(samples: np.ndarray) -> np.ndarray:
    """Log-mel spectrogram for the VQ-VAE of ZeroSpeech 2020.

    (80 bands, 201 frames) for 2 s at 16 kHz; 80 dB are 1.
    """
    samples = scipy.signal.lfilter([1, -0.97], [1], samples / np.abs(samples).max() * 0.999)
    magnitude = stft_magnitude(samples, n_fft=2048, window=400, hop=160, shape="hann", centred=True)
    decibels = 20 * np.log10(
        np.maximum(slaney_mel_filters(16_000, 2048, 80, 50.0) @ magnitude, 1e-5)
    )
    return np.maximum(decibels, decibels.max() - 80) / 80 + 1


def metricgan_spectrogram(samples: np.ndarray) -> np.ndarray:
    """Log magnitude for MetricGAN+: (126 frames, 257 bins) for 2 s at 16 kHz."""
    # speechbrain pads the ends with zeros
    padded = np.pad(samples, 256)
    return np.log1p(
        stft_magnitude(padded, n_fft=512, window=512, hop=256, shape="hamming", centred=False)
    ).T

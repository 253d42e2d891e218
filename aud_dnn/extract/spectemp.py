"""The SpectroTemporal model.

Linear modulation filters on the cochleagram, squared and averaged over time.

The acoustic baseline of Tuckute, Feather, Boebinger & McDermott (2023), in the tradition of Chi, Ru
& Shamma (2005) and in the form of Norman-Haignere & McDermott (2018), on a cochleagram with
ERB-spaced channels. Nothing in it is trained.

Every filter is an outer product of a temporal and a spectral transfer function, except that the
direction (upward or downward moving patterns) blanks two quadrants. So the time axis is filtered
once per temporal rate and direction, and only then the frequency axis once per filter, for the 390
frames that are kept; the two-dimensional bank is never built.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import scipy

from aud_dnn.errors import InputError, unknown_name
from aud_dnn.extract.cochleagram import FRAME_RATE, N_CHANNELS, N_FRAMES

TEMPORAL_RATES = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
"""Temporal modulation rates, in Hz; the highest one passes everything faster as well."""

SPECTRAL_RATES = (0.0, 0.0625, 0.125, 0.25, 0.5, 1.0, 2.0)
"""Spectral modulation rates, in cycles per ERB; the highest one passes everything finer as well."""

POOLINGS = ("power", "rms", "log")

_CHANNELS_PER_ERB = 6.0  # nominal; the channels really lie 6.1123 per ERB
_INPUT_SCALE = 100.0
_POWER_FLOOR = 1e-8
_N_FREQUENCY_PADDED = 2 * N_CHANNELS
_N_TIME_PADDED = 3 * N_FRAMES

_N_T, _N_S = len(TEMPORAL_RATES), len(SPECTRAL_RATES)
_N_UPWARD = _N_T * _N_S
N_FILTERS = _N_UPWARD + (_N_T - 1) * (_N_S - 1)
"""111: 96 joint filters (two directions), 8 temporal, 6 spectral, the mean of the cochleagram."""

N_FEATURES = N_FILTERS * N_CHANNELS


@dataclass(frozen=True)
class SpectroTemporalFeatures:
    """What the model makes of one sound.

    Every array has shape (111, 211), filter × frequency, float64.

    Attributes
    ----------
    filtered : array
        Time mean of the linear filter output.
    power : array
        Time mean of the squared filter output, the features of the paper.
    """

    filtered: np.ndarray
    power: np.ndarray

    def pooled(self, pooling: str = "power") -> np.ndarray:
        """Features of shape (111, 211).

        The time-averaged power, its root (``rms``) or its natural logarithm (``log``).
        """
        return pool_power(self.power, pooling)


def pool_power(power: np.ndarray, pooling: str) -> np.ndarray:
    """Compress the pooled power.

    ``power`` (as it is, the paper), ``rms`` (its root), ``log`` (its logarithm).
    """
    if pooling == "power":
        return power
    if pooling == "rms":
        return np.sqrt(power)
    if pooling == "log":
        return np.log(power)
    raise unknown_name("pooling of the SpectroTemporal model", pooling, POOLINGS)


def filter_labels() -> np.ndarray:
    """Signed temporal rate (Hz) and spectral rate (cycles per ERB) of the 111 filters, shape (111,
    2).

    Negative temporal rates are the upward direction. First all filters of that direction (the
    spectral rate is the slow index), then those of the downward direction; with a rate of 0 there
    is no direction, and the filter exists once.
    """
    upward = [(-t if t else 0.0, s) for s in SPECTRAL_RATES for t in TEMPORAL_RATES]
    downward = [(t, s) for s in SPECTRAL_RATES[1:] for t in TEMPORAL_RATES[1:]]
    return np.array(upward + downward)


@functools.lru_cache(maxsize=1)
def temporal_transfer_functions() -> np.ndarray:
    """Transfer functions along time, shape (9, 1170), complex, one row per temporal rate."""
    responses = np.zeros((_N_T, _N_TIME_PADDED), complex)
    responses[0, 0] = 1  # rate 0: the mean over time, padding included
    half = _N_TIME_PADDED // 2
    for row, rate in enumerate(TEMPORAL_RATES[1:], 1):
        phase = np.arange(N_FRAMES) * rate / FRAME_RATE
        impulse = np.sin(2 * np.pi * phase) * phase**2 * np.exp(-3.5 * phase)
        response = np.fft.fft(impulse - impulse.mean(), _N_TIME_PADDED)
        gain = np.abs(response)
        unit_phase = response / np.where(gain > 0, gain, 1)
        gain = gain / gain.max()
        if rate == TEMPORAL_RATES[-1]:
            gain[np.argmax(gain[: half + 1]) : half + 1 + np.argmax(gain[half + 1 :])] = 1
        responses[row] = gain * unit_phase
    return responses


@functools.lru_cache(maxsize=1)
def spectral_transfer_functions() -> np.ndarray:
    """Transfer functions along frequency at the non-negative bins, shape (7, 212), real.

    Even in the bin.
    """
    bins = np.arange(_N_FREQUENCY_PADDED // 2 + 1)
    gains = np.zeros((_N_S, len(bins)))
    gains[0, 0] = 1
    for row, rate in enumerate(SPECTRAL_RATES[1:], 1):
        ratio = (_CHANNELS_PER_ERB * bins / _N_FREQUENCY_PADDED / rate) ** 2
        gain = ratio * np.exp(-ratio)
        gain = gain / gain.max()
        if rate == SPECTRAL_RATES[-1]:
            gain[np.argmax(gain) :] = 1
        gains[row] = gain
    return gains


@functools.lru_cache(maxsize=2)
def _back_to_channels(dtype: type) -> np.ndarray:
    """Filter and inverse Fourier transform along frequency, for all spectral rates, as one matrix
    of shape (424, 7 * 211).

    Rows: real, then imaginary parts of the 212 non-negative bins. The padded length is twice a
    prime (2 * 211), where fast Fourier transforms are slow; a matrix product is about four times as
    fast and serves all rates at once.
    """
    bins = np.arange(_N_FREQUENCY_PADDED // 2 + 1)
    weights = np.where((bins == 0) | (bins == bins[-1]), 1.0, 2.0) / _N_FREQUENCY_PADDED
    angles = 2 * np.pi / _N_FREQUENCY_PADDED * np.outer(bins, np.arange(N_CHANNELS))
    inverse = np.concatenate(
        [weights[:, None] * np.cos(angles), -weights[:, None] * np.sin(angles)]
    )
    gains = np.concatenate([spectral_transfer_functions()] * 2, axis=1)
    matrix = inverse[:, None, :] * gains.T[:, :, None]
    return np.ascontiguousarray(matrix.reshape(len(matrix), -1), dtype=dtype)


def spectrotemporal_features(
    cochleagram: np.ndarray, *, dtype: type = np.float32
) -> SpectroTemporalFeatures:
    """Filter a cochleagram with the 111 modulation filters; average output and power over time.

    Parameters
    ----------
    cochleagram : array of shape (211, 390)
        Frequency × time, from :func:`aud_dnn.extract.cochleagram.cochleagram`.
    dtype : numpy dtype
        Precision of the Fourier transforms; sums over time are float64. ``float32`` is the default:
        it halves the time, and features differ from ``float64`` by less than 2e-5.
    """
    cochleagram = np.asarray(cochleagram)
    if cochleagram.shape != (N_CHANNELS, N_FRAMES):
        raise InputError(
            f"The SpectroTemporal model needs a cochleagram of shape ({N_CHANNELS}, {N_FRAMES}) "
            f"(frequency × time); got {cochleagram.shape}."
        )
    scaled = np.asarray(cochleagram, dtype=dtype) * dtype(_INPUT_SCALE)
    # spectral bin × padded time; the sound is real, so the non-negative spectral bins are enough
    spectrum = scipy.fft.rfft(scaled, _N_FREQUENCY_PADDED, axis=0)
    spectrum = scipy.fft.fft(spectrum, _N_TIME_PADDED, axis=1)
    temporal = temporal_transfer_functions().astype(spectrum.dtype)
    back_to_channels = _back_to_channels(dtype)

    filtered = np.empty((N_FILTERS, N_CHANNELS))
    power = np.empty((N_FILTERS, N_CHANNELS))

    def keep(filters: slice, bins: np.ndarray, first_rate: int) -> None:
        """Filter along frequency from a spectral rate on, and average over time.

        Bins has shape (n_frames, 212).
        """
        parts = np.concatenate([bins.real, bins.imag], axis=1)
        outputs = parts @ back_to_channels[:, first_rate * N_CHANNELS :]
        filtered[filters] = outputs.mean(axis=0, dtype=np.float64).reshape(-1, N_CHANNELS)
        np.square(outputs, out=outputs)
        np.maximum(outputs, dtype(_POWER_FLOOR), out=outputs)
        power[filters] = outputs.mean(axis=0, dtype=np.float64).reshape(-1, N_CHANNELS)

    # temporal rate 0 keeps the mean over (padded) time alone: the output does not change, one frame
    # says it all
    keep(slice(0, _N_UPWARD, _N_T), spectrum[None, :, 0] / dtype(_N_TIME_PADDED), 0)
    for t in range(1, _N_T):
        filtered_in_time = spectrum * temporal[t]
        keep(slice(t, _N_UPWARD, _N_T), _along_time(filtered_in_time, -1), 0)
        # spectral rate 0 has no direction either: it is among the upward filters already
        keep(slice(_N_UPWARD + t - 1, None, _N_T - 1), _along_time(filtered_in_time, 1), 1)
    return SpectroTemporalFeatures(filtered, power)


def _along_time(spectrum: np.ndarray, sign: int) -> np.ndarray:
    """Blank the quadrants of the other direction and go back to time.

    (212 bins, 1170) -> (390, 212 bins).

    For positive spectral bins the temporal frequencies of ``sign`` stay; bins on an axis or a
    Nyquist line always stay.
    """
    half = _N_TIME_PADDED // 2
    directed = spectrum.copy()
    directed[1:-1, slice(half + 1, None) if sign > 0 else slice(1, half)] = 0
    return scipy.fft.ifft(directed, axis=1, overwrite_x=True)[:, :N_FRAMES].T

"""The cochleagram: the front end that the in-house networks and the SpectroTemporal model share.

A 2 s waveform at 20 kHz passes a bank of half-cosine filters on the ERB-number scale (Glasberg &
Moore 1990; the layout of McDermott & Simoncelli 2011); the envelope of every channel is brought to
200 Hz and compressed. The parameters are those of the networks of Tuckute, Feather, Boebinger &
McDermott (2023); with another value the public weights would see an input that they were not
trained on, so there is nothing to choose here.
"""

from __future__ import annotations

import functools

import numpy as np
import scipy  # its parts are loaded when they are first used, not for --help

from aud_dnn.errors import InputError, unknown_name

SAMPLE_RATE = 20_000
"""Sampling rate of the waveform, in Hz."""

DURATION = 2.0
"""Length of the waveform, in seconds."""

N_SAMPLES = int(SAMPLE_RATE * DURATION)
FRAME_RATE = 200
"""Frames of the cochleagram per second."""

_RMS = 0.1
_LOW_HZ, _HIGH_HZ, _N_BANDS, _SAMPLE_FACTOR = 50.0, 10_000.0, 50, 4
_N_BANDPASS = _SAMPLE_FACTOR * (_N_BANDS + 1) - 1
N_CHANNELS = _N_BANDPASS + 2 * _SAMPLE_FACTOR
"""Frequency channels: 4 low-pass, 203 band-pass, 4 high-pass."""

_STRIDE = SAMPLE_RATE // FRAME_RATE
_N_TAPS = 1001
_KAISER_BETA = 5.0
N_FRAMES = (N_SAMPLES - _N_TAPS) // _STRIDE + 1
"""Time frames: the kernel has to lie inside the sound, so there are 390, not 400."""

COMPRESSION_OFFSET = 1e-8
COMPRESSION_EXPONENT = 0.3

ENVELOPE_FLOORS = {"none": 0.0, "published": 1e-8}
"""Name -> least value of an envelope before it is brought to 200 Hz.

``published`` is what the training code of the networks did (it limited squared magnitudes to
1e-16).
"""


def hz_to_erb(frequency: np.ndarray | float) -> np.ndarray | float:
    """ERB number of a frequency in Hz (Glasberg & Moore 1990, natural logarithm)."""
    return 9.265 * np.log1p(np.asarray(frequency) / (24.7 * 9.265))


def erb_to_hz(erb: np.ndarray | float) -> np.ndarray | float:
    """Frequency in Hz of an ERB number; the inverse of :func:`hz_to_erb`."""
    return 24.7 * 9.265 * np.expm1(np.asarray(erb) / 9.265)


def band_centres() -> np.ndarray:
    """Centre frequencies of the 203 band-pass filters, in Hz, ascending."""
    return erb_to_hz(_band_centres_erb())


def _band_centres_erb() -> np.ndarray:
    return np.linspace(hz_to_erb(_LOW_HZ), hz_to_erb(_HIGH_HZ), _N_BANDPASS + 2)[1:-1]


@functools.lru_cache(maxsize=1)
def filter_bank() -> np.ndarray:
    """Gains of all channels at the non-negative FFT frequencies of a 2 s sound.

    Returns
    -------
    array of shape (211, 20001), float64, read-only
        Rows: 4 low-pass filters, 203 band-pass filters from low to high, 4 high-pass filters. The
        squared gains sum to 1 at every frequency, so the channels together keep the energy of the
        sound.
    """
    frequencies = np.linspace(0.0, SAMPLE_RATE / 2, N_SAMPLES // 2 + 1)
    erb = hz_to_erb(frequencies)
    centres = _band_centres_erb()
    half_width = _SAMPLE_FACTOR * (centres[1] - centres[0])
    distance = erb - centres[:, None]
    bandpass = np.where(
        np.abs(distance) < half_width, np.cos(np.pi * distance / (2 * half_width)), 0.0
    )
    # what the outermost band-pass filters leave over, below the first and above the last centres
    lowpass = np.stack(
        [
            np.where(frequencies < erb_to_hz(centres[k]), np.sqrt(1 - bandpass[k] ** 2), 0.0)
            for k in range(_SAMPLE_FACTOR)
        ]
    )
    highpass = np.stack(
        [
            np.where(frequencies > erb_to_hz(centres[k]), np.sqrt(1 - bandpass[k] ** 2), 0.0)
            for k in range(_N_BANDPASS - _SAMPLE_FACTOR, _N_BANDPASS)
        ]
    )
    bank = np.concatenate([lowpass, bandpass, highpass]) / np.sqrt(_SAMPLE_FACTOR)
    bank.flags.writeable = False
    return bank


@functools.lru_cache(maxsize=1)
def downsampling_kernel() -> np.ndarray:
    """The 1001 taps that bring the envelopes from 20 kHz to 200 Hz, float64, read-only.

    The sinc lies half a sample beside the middle of its Kaiser window, as in the trained networks.
    """
    times = np.arange(_N_TAPS) - _N_TAPS / 2
    kernel = np.sinc(times / _STRIDE) / _STRIDE * np.kaiser(_N_TAPS, _KAISER_BETA)
    kernel.flags.writeable = False
    return kernel


def normalise_level(waveform: np.ndarray, *, clip: bool = True) -> np.ndarray:
    """Zero mean, RMS 0.1, and samples clipped to [-1, 1].

    Parameters
    ----------
    waveform : array of shape (n_samples,)
    clip : bool
        Clip as the wrapper around the in-house networks does (43 of the 165 sounds have a sample
        that is clipped).

    Raises
    ------
    InputError
        The waveform is silent: its level cannot be set.
    """
    waveform = np.asarray(waveform, dtype=np.float64)
    rms = np.sqrt(np.mean(waveform**2))
    if not rms > 0:
        raise InputError(
            "The sound is silent (all samples are zero); its level cannot be set. Replace it."
        )
    waveform = waveform / rms
    waveform = waveform - waveform.mean()
    rms = np.sqrt(np.mean(waveform**2))
    if not rms > 1e-6:
        raise InputError(
            "The sound is constant (all samples are equal); its level cannot be set. Replace it."
        )
    waveform = waveform / rms * _RMS
    return np.clip(waveform, -1.0, 1.0) if clip else waveform


def prepare_waveform(samples: np.ndarray, rate: int, *, clip: bool = True) -> np.ndarray:
    """The first 2 s of a sound at 20 kHz, with zero mean and RMS 0.1.

    Parameters
    ----------
    samples : array of shape (n_samples,) or (n_samples, n_channels)
        As read from the file, in any scale. Channels are averaged.
    rate : int
        Sampling rate in Hz.
    clip : bool
        See :func:`normalise_level`.

    Returns
    -------
    array of shape (40000,), float64

    Raises
    ------
    InputError
        The sound is shorter than 2 s, or silent.
    """
    samples = np.asarray(samples, dtype=np.float64)
    if samples.ndim == 2:
        samples = samples.mean(axis=1)
    wanted = round(rate * DURATION)
    if len(samples) < wanted:
        raise InputError(
            f"The sound has {len(samples)} samples at {rate} Hz ({len(samples) / rate:.3f} s); "
            f"the cochleagram needs {DURATION:g} s ({wanted} samples)."
        )
    resampled = scipy.signal.resample_poly(samples[:wanted], SAMPLE_RATE, int(rate))
    return normalise_level(resampled[:N_SAMPLES], clip=clip)


def envelope_floor(name: str) -> float:
    """The value of one of :data:`ENVELOPE_FLOORS`; an :class:`InputError` for any other name."""
    if name not in ENVELOPE_FLOORS:
        raise unknown_name("envelope floor of the cochleagram", name, ENVELOPE_FLOORS)
    return ENVELOPE_FLOORS[name]


def cochleagram(
    waveform: np.ndarray, *, dtype: type = np.float64, floor: str = "none"
) -> np.ndarray:
    """The cochleagram of a 2 s sound.

    Parameters
    ----------
    waveform : array of shape (40000,)
        20 kHz, from :func:`prepare_waveform`.
    dtype : numpy dtype
        Precision of the computation. ``float32`` takes about half as long and changes values by
        less than 1e-4 near the floor of the compression and by about 1e-7 elsewhere.
    floor : {"none", "published"}
        Whether envelopes are kept from falling below 1e-8, as in the training code of the networks.
        It matters where a channel is digitally silent: 0.0049 instead of 0.0040, the value of the
        compression's offset alone (a pure tone, the channels above 8 kHz of a 16 kHz sound). The
        features of the 165 sounds are reproduced with either.

    Returns
    -------
    array of shape (211, 390), dtype ``dtype``
        Frequency × time, compressed envelopes; never below ``1e-8 ** 0.3``.
    """
    lowest = dtype(envelope_floor(floor))
    waveform = np.asarray(waveform, dtype=dtype)
    if waveform.shape != (N_SAMPLES,):
        raise InputError(
            f"The cochleagram needs a waveform of shape ({N_SAMPLES},), 2 s at {SAMPLE_RATE} Hz; "
            f"got {waveform.shape}."
        )
    spectrum = scipy.fft.rfft(waveform)
    frames = np.empty((N_CHANNELS, N_FRAMES), dtype)
    block = 16  # channels at a time: stays in a few MB, and is as fast as all at once
    for start in range(0, N_CHANNELS, block):
        gains = filter_bank()[start : start + block].astype(dtype, copy=False)
        analytic = np.zeros((len(gains), N_SAMPLES), spectrum.dtype)
        # one-sided and not doubled: half of the usual Hilbert envelope, which the compression and
        # the networks expect
        np.multiply(gains, spectrum, out=analytic[:, : gains.shape[1]])
        analytic = scipy.fft.ifft(analytic, axis=1, overwrite_x=True)
        frames[start : start + block] = _downsample(np.maximum(np.abs(analytic), lowest))
    return (np.maximum(frames, 0) + dtype(COMPRESSION_OFFSET)) ** dtype(COMPRESSION_EXPONENT)


def _downsample(envelope: np.ndarray) -> np.ndarray:
    """Correlate (n, 40000) with the kernel at every 100th sample, as one matrix product.

    Cut both into pieces of 100.
    """
    n_pieces = -(-_N_TAPS // _STRIDE)
    pieces = np.zeros(n_pieces * _STRIDE, envelope.dtype)
    pieces[:_N_TAPS] = downsampling_kernel()
    products = envelope.reshape(len(envelope), -1, _STRIDE) @ pieces.reshape(n_pieces, _STRIDE).T
    return sum(products[:, k : k + N_FRAMES, k] for k in range(n_pieces))

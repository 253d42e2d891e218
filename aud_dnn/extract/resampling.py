"""Resampling as the models of the paper got it, and for models of your own."""

from __future__ import annotations

import functools
from math import gcd

import numpy as np
import scipy.signal

from aud_dnn.errors import InputError, unknown_name

RESAMPLERS = ("soxr", "kaiser_best", "polyphase")


def resample(samples: np.ndarray, rate: int, target: int, method: str) -> np.ndarray:
    """A mono sound at another sampling rate.

    Parameters
    ----------
    samples : array of shape (n_samples,)
    rate, target : int
        In Hz.
    method : {"soxr", "kaiser_best", "polyphase"}
        ``soxr``: the SoX resampler at its highest quality (a package of its own). ``kaiser_best``:
        the windowed sinc of resampy 0.2 that went by this name, which made the 16 kHz sounds of the
        paper. ``polyphase``: SciPy's ``resample_poly`` with its default window, as for the in-house
        networks.
    """
    if method not in RESAMPLERS:
        raise unknown_name("resampler", method, RESAMPLERS)
    samples = np.asarray(samples, dtype=np.float64)
    if rate == target:
        return samples
    if method == "soxr":
        return _soxr(samples, rate, target)
    divisor = gcd(rate, target)
    up, down = target // divisor, rate // divisor
    if method == "polyphase":
        return scipy.signal.resample_poly(samples, up, down)
    resampled = scipy.signal.resample_poly(samples, up, down, window=_kaiser_best(up, down))
    return resampled[: len(samples) * up // down]


def _soxr(samples: np.ndarray, rate: int, target: int) -> np.ndarray:
    try:
        import soxr
    except ImportError as error:
        raise InputError(
            "The resampler soxr needs the package of that name: pip install -e '.[extract]'; or "
            "choose kaiser_best, which SciPy computes."
        ) from error
    return soxr.resample(samples, rate, target, quality="VHQ")


@functools.lru_cache(maxsize=4)
def _kaiser_best(up: int, down: int) -> np.ndarray:
    """Taps of resampy's ``kaiser_best`` at ``up`` times the input rate.

    A sinc with 64 zero crossings, roll-off 0.9476 and a Kaiser window with beta 14.77, from a table
    of 512 points per crossing. Between neighbouring input samples resampy moves a whole number of
    table points, so that its sinc is slightly too wide when it goes to a lower rate (0.4 % from
    44.1 to 16 kHz); the published sounds have that, and so have these taps.
    """
    n_zeros, rolloff, beta, precision = 64, 0.9475937167399596, 14.769656459379492, 512
    table = rolloff * np.sinc(rolloff * np.arange(n_zeros * precision + 1) / precision)
    table = table * np.kaiser(2 * n_zeros * precision + 1, beta)[n_zeros * precision :]
    scale = min(1.0, up / down)
    step = int(scale * precision)
    reach = int(np.ceil(len(table) / step)) * up
    offset = np.arange(-reach, reach + 1)
    # whole input samples to the output's left begin at 0, to its right at 1
    distance = np.abs(offset)
    whole = np.where(offset >= 0, distance // up, -(-distance // up) - 1)
    position = (distance - whole * up) / up * scale * precision + whole * step
    taps = np.interp(position, np.arange(len(table)), table, right=0.0)
    return scale * taps / up


def halve_rate(samples: np.ndarray) -> np.ndarray:
    """16 to 8 kHz as SepFormer's library does it.

    The Hann-windowed sinc of torchaudio (6 crossings, roll-off 0.99).
    """
    offset = np.arange(-13, 14) * 0.99 / 2
    taps = 0.99 / 2 * np.sinc(offset) * np.cos(np.clip(offset, -6, 6) * np.pi / 12) ** 2
    return scipy.signal.resample_poly(np.asarray(samples, dtype=np.float64), 1, 2, window=taps)


def published_16k(samples: np.ndarray, rate: int) -> np.ndarray:
    """The 16 kHz version of a sound that the external models of the paper read.

    ``kaiser_best``, kept as 16-bit PCM.

    Returns
    -------
    float64 array
        Multiples of 1/32768 in [-1, 1). The paper's file writer rounded downwards.
    """
    resampled = resample(samples, rate, 16_000, "kaiser_best")
    return np.clip(np.floor(resampled * 32768), -32768, 32767) / 32768

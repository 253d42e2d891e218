"""Sound files: which ones, in which order, read and checked before any model sees them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy

from aud_dnn.errors import InputError, MissingDataError, unknown_name

DURATION_POLICIES = ("exact", "crop", "pad", "any")
_LARGEST_FLOAT = (
    10.0  # 20 dB above full scale: beyond that, samples are integers that were stored as floats
)
_UNKNOWN_SIZE = 0xFFFFFFFF
_MOST_CHUNKS = 10_000
_ANY_STIMULUS = re.compile(r"stim(\d+)_")


RATES = (1_000, 768_000)


@dataclass(frozen=True)
class Sound:
    """One sound file.

    Attributes
    ----------
    id : str
        File name without ``.wav``.
    path : Path
    rate : int
        Sampling rate in Hz.
    n_samples, n_channels : int
    n_clipped : int
        Samples that lie in runs of three or more at full scale.
    peak : float
        Half of the distance between the lowest and the highest sample; 1 is full scale.
    digest : str
        SHA-256 of rate and samples; two files with the same digest are the same sound.
    """

    id: str
    path: Path
    rate: int
    n_samples: int
    n_channels: int
    n_clipped: int
    peak: float
    digest: str


def sort_ids(ids: Iterable[str]) -> list[str]:
    """Stimulus order where every id begins with ``stim<integer>_`` (ascending integer), else
    alphabetical order.
    """
    ids = list(ids)
    matches = [_ANY_STIMULUS.match(sound) for sound in ids]
    if ids and all(matches):
        return [
            sound
            for _, sound in sorted((int(match[1]), sound) for match, sound in zip(matches, ids))
        ]
    return sorted(ids)


def find_sounds(folder: Path, wanted: Sequence[str] | None = None) -> dict[str, Path]:
    """Sound ids and files of a folder, in order.

    Parameters
    ----------
    folder : Path
        Holds ``<sound id>.wav``; hidden files are passed over.
    wanted : sequence of str, optional
        Ids in the order to be returned; other files in the folder are left alone. Without it: all,
        see :func:`sort_ids`.

    Raises
    ------
    InputError
        No folder, no sounds, a sound missing, or two files for one id.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise MissingDataError(
            f"The folder of sounds {folder} does not exist. Name a folder of wav files with "
            "--sounds, or put the sounds there."
        )
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() != ".wav" or path.name.startswith(".") or not path.is_file():
            continue
        if path.stem in files:
            raise InputError(
                f"{folder} holds two files for the sound {path.stem}: {files[path.stem].name} and "
                f"{path.name}. Keep one."
            )
        files[path.stem] = path
    if not files:
        raise MissingDataError(
            f"{folder} holds no wav files. Name a folder of wav files with --sounds."
        )
    if wanted is None:
        return {sound: files[sound] for sound in sort_ids(files)}
    missing = [sound for sound in wanted if sound not in files]
    if missing:
        raise MissingDataError(
            f"{folder} lacks {len(missing)} of {len(wanted)} sounds: "
            f"{', '.join(f'{sound}.wav' for sound in missing[:3])}"
            f"{' …' if len(missing) > 3 else ''}. "
            "File names must be the sound ids of data/neural/NH2015/neural_stim_meta.npy."
        )
    return {sound: files[sound] for sound in wanted}


def read_sound(path: Path) -> tuple[np.ndarray, int]:
    """Samples in [-1, 1] and sampling rate of a wav file.

    Returns
    -------
    samples : float64 array of shape (n_samples,)
        Integers are divided by their full scale (32768 for 16 bits); channels are averaged.
    rate : int
        In Hz.

    Raises
    ------
    InputError
        Not a wav file that can be read, cut off, no samples, NaN or inf among them, or samples on
        another scale than their type promises.
    """
    samples, rate = read_raw(path)
    return to_mono(samples), rate


def read_raw(path: Path) -> tuple[np.ndarray, int]:
    """Samples as they are stored, and the sampling rate."""
    path = Path(path)
    try:
        _require_whole(path)
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", scipy.io.wavfile.WavFileWarning
            )  # unknown chunks; short data are found below
            rate, samples = scipy.io.wavfile.read(path)
    except FileNotFoundError as error:
        raise MissingDataError(f"The sound file {path} does not exist.") from error
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    except Exception as error:  # damaged headers make SciPy fail in many ways
        reason = (
            "its header is damaged"
            if isinstance(error, UnboundLocalError)
            else error or type(error).__name__
        )
        raise InputError(
            f"{path} cannot be read as a wav file ({reason}). Save it as PCM or float wav."
        ) from error
    if samples.size == 0 or samples.ndim > 2:
        raise InputError(f"{path} holds no samples.")
    if not RATES[0] <= rate <= RATES[1]:
        raise InputError(f"{path} says that its sampling rate is {rate} Hz; its header is damaged.")
    if samples.dtype.kind == "f" and not np.isfinite(samples).all():
        raise InputError(f"{path} holds NaN or inf among its samples. Save it again.")
    if problem := _wrong_scale(samples):
        raise InputError(f"{path}: {problem}, and save it again.")
    return samples, int(rate)


def _require_whole(path: Path) -> None:
    """Refuse a file that ends before its samples do; SciPy returns what is there."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(12)
        if start[:4] not in (b"RIFF", b"RIFX", b"RF64") or start[8:] != b"WAVE":
            return  # SciPy says what it is instead
        order = "big" if start[:4] == b"RIFX" else "little"
        long_size = None
        for _ in range(_MOST_CHUNKS):
            head = file.read(8)
            if len(head) < 8:
                return
            name, length = head[:4], int.from_bytes(head[4:], order)
            if name == b"ds64":
                long_size = int.from_bytes(
                    file.read(16)[8:], order
                )  # RF64: the sizes of the file and of the samples
                length -= 16
            if name != b"data":
                file.seek(length + length % 2, 1)
                continue
            there = size - file.tell()
            if start[:4] == b"RF64" and length == _UNKNOWN_SIZE and long_size is not None:
                length = long_size
            elif length == _UNKNOWN_SIZE or (length == 0 and there):
                raise InputError(
                    f"{path} does not say how many samples it has (it was written to a pipe, or "
                    "the recording was broken off), so whether it is whole cannot be known. Save "
                    "it again."
                )
            if there < length:
                raise InputError(
                    f"{path} is cut off: it holds {there} of {length} bytes of samples. Copy or "
                    "save it again."
                )
            return
        raise InputError(
            f"{path} is damaged: more than {_MOST_CHUNKS} chunks come before its samples. Save it "
            "again."
        )


def _wrong_scale(samples: np.ndarray) -> str:
    """What is wrong where samples lie on another scale than their type promises.

    Empty if nothing is.
    """
    low, high = float(samples.min()), float(samples.max())
    peak = max(-low, high)
    if samples.dtype.kind == "f":
        if peak <= _LARGEST_FLOAT:
            return ""
        said = f"its samples are floating-point numbers and reach {peak:.6g}, but full scale is 1"
        if low >= 0 and high <= 255:
            return f"{said}. They look like unsigned 8-bit integers: subtract 128, divide by 128"
        bits = next((bits for bits in (16, 24, 32) if peak <= 2 ** (bits - 1)), None)
        if bits is None:
            return f"{said}. Scale them to lie between -1 and 1"
        return f"{said}. They look like {bits}-bit integers: divide them by {2 ** (bits - 1)}"
    if samples.dtype == np.uint8:
        extreme = (
            (samples == 0) | (samples == 255)
        ).mean()  # most of a clipped sound, few of a signed one
        if extreme < 0.5 and _roughness(samples.view(np.int8)) < _roughness(samples) / 2:
            return (
                "its 8-bit samples are signed, but in wav files they are unsigned (silence is "
                "128). Add 128 to each (modulo 256)"
            )
        return ""
    bits = 8 * samples.dtype.itemsize
    if (
        bits > 16 and 0 < peak <= 2 ** (bits // 2 - 1) and (samples % 256).any()
    ):  # 24 bits are read as 32, 8 of them empty
        return (
            f"its samples are {bits}-bit integers and never exceed {peak:.0f}, the scale of "
            f"{bits // 2}-bit integers. Store them as those"
        )
    return ""


def _roughness(samples: np.ndarray) -> float:
    return float(np.abs(np.diff(samples.astype(np.int16), axis=0)).sum())


def to_mono(samples: np.ndarray) -> np.ndarray:
    """Samples as float64 between -1 and 1, channels averaged."""
    if samples.dtype == np.uint8:  # 8-bit wav files are unsigned
        scaled = (samples.astype(np.float64) - 128) / 128
    elif samples.dtype.kind == "i":
        scaled = samples / -float(np.iinfo(samples.dtype).min)
    else:
        scaled = samples.astype(np.float64)
    return scaled.mean(axis=1) if scaled.ndim == 2 else scaled


def fit_duration(
    samples: np.ndarray, rate: int, duration: float | None, policy: str = "exact"
) -> np.ndarray:
    """Bring a sound to the length that the model takes.

    Parameters
    ----------
    samples : array of shape (n_samples,)
    rate : int
    duration : float or None
        In seconds; ``None`` takes every length as it is.
    policy : {"exact", "crop", "pad", "any"}
        ``exact``: another length is an error. ``crop``: a longer sound loses its end. ``pad``: a
        shorter sound gets zeros at its end. ``any``: the length is left as it is.
    """
    if duration is None:
        return samples
    check_length(len(samples), rate, duration, policy, "A sound")
    wanted = round(rate * duration)
    if policy == "crop":
        return samples[:wanted]
    if policy == "pad":
        return np.pad(samples, (0, wanted - len(samples)))
    return samples


def check_length(n_samples: int, rate: int, duration: float, policy: str, where: str) -> None:
    """Refuse a sound that is too short or too long for a policy."""
    wanted = round(rate * duration)
    wrong = {
        "exact": n_samples != wanted,
        "crop": n_samples < wanted,
        "pad": n_samples > wanted,
        "any": False,
    }
    if policy not in wrong:
        raise unknown_name("duration policy", policy, DURATION_POLICIES)
    if wrong[policy]:
        raise InputError(
            f"{where} is {n_samples / rate:.3f} s long ({n_samples} samples at {rate} Hz); the "
            f"model takes {duration:g} s ({wanted} samples; policy {policy!r}). Cut or lengthen "
            "the sound."
        )

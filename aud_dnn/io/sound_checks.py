"""What is doubtful about sounds: length, rate, silence, clipping, repetition."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from aud_dnn.errors import InputError
from aud_dnn.io.sounds import Sound, check_length, read_raw, to_mono

_CLIPPED_RUN = 3


_MUCH_PADDING = 0.05
_QUIET = 1 / 256  # of full scale: what is left of 24 bits in 32, or of 8 bits in 16


def _count_clipped(samples: np.ndarray) -> int:
    """Samples in runs of three or more at full scale; a lone peak at full scale is no clipping."""
    if samples.dtype.kind == "f":
        full = np.abs(samples) == 1 if np.abs(samples).max() <= 1 else np.zeros(samples.shape, bool)
    else:
        limits = np.iinfo(samples.dtype)
        # 24 bits are read as 32 with 8 empty bits at the end
        top = limits.max - 255 if samples.dtype == np.int32 else limits.max
        full = (samples >= top) | (samples <= limits.min + (samples.dtype.kind == "i"))
    full = full.reshape(len(samples), -1).T
    edges = np.diff(full.astype(np.int8), axis=1, prepend=0, append=0)
    lengths = np.flatnonzero(edges.ravel() == -1) - np.flatnonzero(edges.ravel() == 1)
    return int(lengths[lengths >= _CLIPPED_RUN].sum())


def inspect_sound(sound_id: str, path: Path) -> Sound:
    """Read one file and describe it.

    Raises
    ------
    InputError
        See :func:`read_sound`; or the sound is silent.
    """
    samples, rate = read_raw(path)
    if not np.ptp(samples, axis=0).any():
        raise InputError(f"{path} is silent (all samples are equal). Leave it out or replace it.")
    mono = to_mono(samples)
    if not np.any(mono):
        raise InputError(
            f"{path} is silent once its channels are averaged (they cancel). Save it as a mono "
            "file."
        )
    digest = hashlib.sha256(str((rate, samples.shape, samples.dtype.str)).encode())
    digest.update(np.ascontiguousarray(samples).data)
    return Sound(
        sound_id,
        Path(path),
        rate,
        len(samples),
        1 if samples.ndim == 1 else samples.shape[1],
        _count_clipped(samples),
        float(np.ptp(mono)) / 2,
        digest.hexdigest(),
    )


def check_sounds(
    files: dict[str, Path],
    *,
    sample_rate: int | None = None,
    duration: float | None = None,
    policy: str = "exact",
) -> tuple[list[Sound], list[str]]:
    """Look at every sound before the work starts.

    Parameters
    ----------
    files : dict
        Sound id -> file, in order (:func:`find_sounds`).
    sample_rate : int, optional
        The rate that the model works at.
    duration : float, optional
        The duration in seconds that the model wants. ``policy`` says what happens to others
        (:func:`fit_duration`).

    Returns
    -------
    sounds : list of Sound
    remarks : list of str
        What is no error but should be known, with the files named: several channels, clipping,
        duplicates, rates that differ or are below the model's, lengths that will be changed.

    Raises
    ------
    InputError
        A file that cannot be used (unreadable, silent, wrong length); all of them are named.
    """
    sounds, problems = [], []
    for sound_id, path in files.items():
        try:
            sound = inspect_sound(sound_id, path)
            if duration is not None:
                check_length(sound.n_samples, sound.rate, duration, policy, str(path))
            sounds.append(sound)
        except InputError as error:
            problems.append(str(error))
    if problems:
        more = f" And {len(problems) - 5} more." if len(problems) > 5 else ""
        raise InputError(
            f"{len(problems)} of {len(files)} sounds cannot be used. {' '.join(problems[:5])}{more}"
        )
    return sounds, _remarks(sounds, sample_rate, duration)


def _remarks(sounds: Sequence[Sound], sample_rate: int | None, duration: float | None) -> list[str]:
    def named(some: Iterable[Sound]) -> str:
        names = [sound.path.name for sound in some]
        return ", ".join(names[:3]) + (f", … ({len(names)} in all)" if len(names) > 3 else "")

    remarks = []
    if several := [sound for sound in sounds if sound.n_channels > 1]:
        remarks.append(f"More than one channel, averaged: {named(several)}.")
    if clipped := [sound for sound in sounds if sound.n_clipped]:
        remarks.append(f"Clipped (runs of samples at full scale): {named(clipped)}.")
    if loud := [sound for sound in sounds if sound.peak > 1]:
        remarks.append(
            f"Floating-point samples beyond full scale (1), taken as they are: {named(loud)}."
        )
    if quiet := [sound for sound in sounds if sound.peak < _QUIET]:
        remarks.append(
            "Very quiet (below 1/256 of full scale), perhaps stored on the scale of fewer bits: "
            f"{named(quiet)}."
        )
    rates = sorted({sound.rate for sound in sounds})
    if len(rates) > 1:
        odd = min(rates, key=lambda rate: sum(sound.rate == rate for sound in sounds))
        remarks.append(
            f"The sampling rates differ ({', '.join(map(str, rates))} Hz), for example "
            f"{named(sound for sound in sounds if sound.rate == odd)}."
        )
    if sample_rate and (low := [sound for sound in sounds if sound.rate < sample_rate]):
        lowest = min(sound.rate for sound in low)
        doubt = " Is that the rate that it was trained at?" if sample_rate > 2 * lowest else ""
        remarks.append(
            f"Sampled below the {sample_rate} Hz of the model, so what it gets is empty above "
            f"{lowest / 2:.0f} Hz: {named(low)}.{doubt}"
        )
    by_digest: dict[str, list[Sound]] = {}
    for sound in sounds:
        by_digest.setdefault(sound.digest, []).append(sound)
    remarks += [
        f"The same sound under several names: {named(same)}."
        for same in by_digest.values()
        if len(same) > 1
    ]
    if duration is not None:
        changed = [sound for sound in sounds if sound.n_samples != round(sound.rate * duration)]
        if changed:
            remarks.append(f"Not {duration:g} s long, cut or padded as declared: {named(changed)}.")
        filled = [max(0.0, 1 - sound.n_samples / sound.rate / duration) for sound in sounds]
        if (share := float(np.mean(filled))) > _MUCH_PADDING:
            remarks.append(
                f"{share:.0%} of what the model hears is silence behind the sounds (padded to "
                f"{duration:g} s), and its features are averages over that, too."
            )
    return remarks

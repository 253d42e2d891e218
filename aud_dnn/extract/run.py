"""From a folder of sounds and a model to the file of activations that the analyses read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from aud_dnn.errors import InputError
from aud_dnn.extract.provenance import make_settings
from aud_dnn.extract.store import ActivationStore
from aud_dnn.extract.store_files import check_layer_names, exclusive
from aud_dnn.io.progress import progress_bar, tell_finished
from aud_dnn.io.sound_checks import check_sounds
from aud_dnn.io.sounds import find_sounds, fit_duration, read_sound
from aud_dnn.paths import ProjectPaths
from aud_dnn.utils import load_stimuli

log = logging.getLogger("aud_dnn")

_SOUNDS_PER_LINE = 20  # in a log file


class Extractor(Protocol):
    """What a model has to offer to be extracted from.

    Attributes
    ----------
    layers : sequence of str
        Stored keys, in network order.
    sample_rate : int
        In Hz, the rate that the model works at.
    duration : float or None
        In seconds; None takes every length. ``policy`` says what happens to other lengths
        (:func:`aud_dnn.io.sounds.fit_duration`).
    max_batch : int or None
        Most sounds that may share a forward pass; None for any number.
    details : dict
        What else decides the values (weights, preprocessing, permutation), as JSON would hold it.
    """

    layers: Sequence[str]
    sample_rate: int
    duration: float | None
    policy: str
    max_batch: int | None
    details: dict[str, Any]

    def check(self, batch: int = 1) -> str:
        """Try the model on noise, refuse what would spoil activations.

        The table of layers and lengths, as text.
        """

    def prepare(self, samples: np.ndarray, rate: int) -> Any:
        """What the model takes, of one mono sound with samples in [-1, 1]."""

    def run(self, prepared: Sequence[Any]) -> list[dict[str, np.ndarray]]:
        """For each sound of the batch: stored key -> 1-D array."""


@dataclass(frozen=True)
class Extraction:
    """What :func:`extract` did.

    Attributes
    ----------
    path : Path
        The HDF5 file, or the folder with one pickle per sound.
    n_done : int
        Sounds that were run now; the others were there from an earlier run.
    remarks : tuple of str
        What is no error but should be known, about sounds and activations.
    """

    path: Path
    n_done: int
    remarks: tuple[str, ...]


def stimulus_files(paths: ProjectPaths, sounds: Path | None = None) -> dict[str, Path]:
    """Sound ids and files in stimulus order.

    The ids and the order come from ``neural_stim_meta.npy`` where the root has it, else from the
    file names (:func:`aud_dnn.io.sounds.sort_ids`).
    """
    wanted = None
    if (paths.stimulus_file).is_file():
        wanted = load_stimuli(paths).ids
    return find_sounds(paths.stimuli if sounds is None else sounds, wanted)


def check_name(name: str) -> None:
    """Refuse what cannot be a folder below ``model-actv/``."""
    if not name or name != Path(name).name or name.startswith("."):
        raise InputError(
            f"{name!r} cannot be the name of a model: it becomes a folder below model-actv/."
        )


def check_request(extractor: Extractor, name: str, format: str = "h5", batch: int = 1) -> None:
    """What can be said before anything runs; see :func:`extract` for the parameters.

    Raises
    ------
    InputError
        A name that cannot be a folder, layers that the format cannot hold, a batch that is too
        large or too small.
    """
    check_name(name)
    check_layer_names(extractor.layers, format)
    if batch < 1:
        raise InputError(f"--batch {batch} is not possible: at least 1.")
    if extractor.max_batch is not None and batch > extractor.max_batch:
        raise InputError(
            f"--batch {batch} is not possible for {name}: at most {extractor.max_batch}. A larger "
            "batch could change its values (padding or statistics that depend on the batch)."
        )


def extract(
    extractor: Extractor,
    name: str,
    paths: ProjectPaths,
    *,
    sounds: Path | None = None,
    randnetw: bool = False,
    format: str = "h5",
    batch: int = 1,
    overwrite: bool = False,
    progress: bool = True,
    tell: Callable[[str], None] = lambda remark: None,
) -> Extraction:
    """Run a model on all sounds and write its activations.

    What was finished before a stop is kept: the same call goes on with the sounds that are missing.
    Memory does not grow with the number of sounds.

    Parameters
    ----------
    extractor : Extractor
        See :func:`aud_dnn.extract.build_extractor`.
    name : str
        Folder below ``model-actv/``, and the ``--source_model`` of the analyses.
    paths : ProjectPaths
    sounds : Path, optional
        Folder of wav files; ``data/stimuli`` if not given.
    randnetw : bool
        The extractor's weights are permuted: write the ``_randnetw`` files.
    format : {"h5", "pickle"}
    batch : int
        Sounds per forward pass.
    overwrite : bool
        Replace activations that were made with other settings.
    progress : bool
        Show a bar.
    tell : callable
        Gets every remark as soon as it is known: those on the sounds before the first one is run.

    Raises
    ------
    InputError
        Before any model runs: a sound that cannot be used, a result with other settings in the way,
        too large a batch, another process that writes the same activations. After the first sound:
        too little free disk, activations of a model that has changed since.
    """
    check_request(extractor, name, format, batch)
    files = stimulus_files(paths, sounds)
    checked, remarks = check_sounds(
        files,
        sample_rate=extractor.sample_rate,
        duration=extractor.duration,
        policy=extractor.policy,
    )
    for remark in remarks:
        tell(remark)
    settings = make_settings(name, randnetw, extractor.layers, extractor.details, checked)
    with exclusive(paths.model_activations(name), randnetw):
        store = ActivationStore(
            paths.model_activations(name),
            settings,
            list(files),
            extractor.layers,
            randnetw=randnetw,
            format=format,
            overwrite=overwrite,
        )
        missing = store.missing()
        if missing:
            extractor.check(batch)
        if done := [sound for sound in files if sound not in missing]:
            store.compare(
                done[0], extractor.run([prepared_sound(extractor, files[done[0]])])[0], overwrite
            )
            missing = store.missing()
        with progress_bar(
            len(files), "sound", wanted=progress, initial=len(files) - len(missing), desc=name
        ) as bar:
            for start in range(0, len(missing), batch):
                ids = missing[start : start + batch]
                prepared = [prepared_sound(extractor, files[sound]) for sound in ids]
                try:
                    rows = extractor.run(prepared)
                except InputError as error:
                    raise InputError(f"{', '.join(ids)}: {error}") from error
                for sound, vectors in zip(ids, rows, strict=True):
                    store.add(sound, vectors)
                bar.update(len(ids))
                run_now = start + len(ids)
                if run_now // _SOUNDS_PER_LINE > start // _SOUNDS_PER_LINE:
                    tell_finished(
                        "%s: %d of %d sounds", name, len(files) - len(missing) + run_now, len(files)
                    )
        later = store.finish()
        for remark in later:
            tell(remark)
        return Extraction(store.path, len(missing), (*remarks, *later))


def prepared_sound(extractor: Extractor, path: Path, gain: float = 1.0) -> Any:
    """What a model takes, of a sound file.

    Parameters
    ----------
    extractor : Extractor
    path : Path
    gain : float
        By which its samples are multiplied.
    """
    samples, rate = read_sound(path)
    try:
        return extractor.prepare(
            gain * fit_duration(samples, rate, extractor.duration, extractor.policy), rate
        )
    except InputError as error:
        raise InputError(f"{path}: {error}") from error

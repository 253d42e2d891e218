"""Inspect an installation: every file, every target, every model and layer, before anything is fitted.

A *problem* would stop an analysis or make it wrong; a *note* is worth knowing (units that carry nothing, sounds with the
same features). Files are opened by the same functions that the analyses use, and nothing is changed.
"""

from __future__ import annotations

import hashlib
import sys
import wave
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np

from aud_dnn.errors import InputError
from aud_dnn.files import h5_dataset, h5_dataset_names, open_h5, read_mat, read_npy
from aud_dnn.paths import ProjectPaths
from aud_dnn.resources import BASELINE_MODEL, MODELS, TARGETS, h5_key, pickle_key
from aud_dnn.safe_pickle import load_pickle
from aud_dnn.utils import (
    LAYER_LIST_KEY,
    SOUND_IDS_KEY,
    Stimuli,
    few,
    load_stimuli,
    load_target,
    models_on_disk,
    open_activations,
    rows_in_order,
)

PUBLISHED_VOXELS = {"NH2015": (7694, 8), "B2021": (26792, 20)}
"""Voxels and participants of the published data."""
_TARGET_FILES = {"NH2015": {"neural_stim_meta.npy", "voxel_features_array.npy", "voxel_features_meta.npy",
                            "df_roi_meta.pkl"},
                 "B2021": {"stim_info_v4.mat", "voxel_features_array.npy", "voxel_features_meta.npy", "df_roi_meta.pkl"},
                 "NH2015comp": {"components.mat", "df_roi_meta.pkl"}}
_SOUND_RATE, _SOUND_SAMPLES = 44100, 88200


@dataclass(frozen=True)
class Finding:
    """What was found in one place.

    Attributes
    ----------
    where : str
        The target, the layer of a model, the folder.
    what : str
        Shape, type, counts.
    problems, notes : tuple of str
        One sentence each.
    """

    where: str
    what: str
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _first(names: Iterable[object], count: int = 3) -> str:
    return few(list(names), count)


# --- sounds and targets ------------------------------------------------------------------------------------------------

def check_sounds(paths: ProjectPaths, ids: Sequence[str], *, required: bool = False) -> Finding:
    """The wav files: one per stimulus, readable, mono, not silent, none twice; other rates and lengths are noted."""
    folder = paths.stimuli
    files = {path.stem: path for path in sorted(folder.glob("*.wav")) if not path.name.startswith(".")}
    if not files and not required:
        return Finding("stimuli", "no sounds here")
    problems, notes, unusual = [], [], []
    same: dict[bytes, list[str]] = defaultdict(list)
    for sound, path in files.items():
        try:
            channels, rate, samples = _read_wav(path)
        except InputError as error:
            problems.append(str(error))
            continue
        same[hashlib.sha256(samples).digest()].append(sound)
        if channels != 1:
            problems.append(f"{path.name} has {channels} channels; one is expected")
        if not any(samples):
            problems.append(f"{path.name} is silent")
        if rate != _SOUND_RATE or len(samples) != 2 * _SOUND_SAMPLES:
            unusual.append(sound)
    missing, extra = [sound for sound in ids if sound not in files], sorted(set(files) - set(ids))
    if missing:
        problems.append(f"{len(missing)} sounds are missing: {_first(missing)}")
    if extra:
        notes.append(f"{len(extra)} sounds are not among the stimuli: {_first(extra)}")
    if unusual:
        notes.append(f"{len(unusual)} sounds are not 2 s of 16-bit samples at 44.1 kHz: {_first(unusual)}")
    problems += [f"the same sound under {len(twice)} names: {_first(twice)}" for twice in same.values() if len(twice) > 1]
    return Finding("stimuli", f"{len(files)} sounds", tuple(problems), tuple(notes))


def _read_wav(path: Path) -> tuple[int, int, bytes]:
    """Channels, samples per second, raw samples."""
    try:
        with wave.open(str(path)) as sound:
            samples = sound.readframes(sound.getnframes())
            stated = sound.getnframes() * sound.getsampwidth() * sound.getnchannels()
            if not samples or len(samples) != stated:
                raise InputError(f"{path.name} breaks off: {len(samples):,} of {stated:,} bytes of sound are there")
            return sound.getnchannels(), sound.getframerate(), samples
    except (wave.Error, EOFError, OSError, ValueError, RuntimeError, MemoryError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path.name} is no readable wav file ({error or type(error).__name__})") from error


def check_target(paths: ProjectPaths, name: str, stimuli: Stimuli, *, required: bool = False) -> Finding:
    """One target: everything that loading it checks, then counts, voxels that do not vary, sounds that repeat."""
    folder = paths.neural(name)
    present = {path.name for path in folder.iterdir() if not path.name.startswith(".")} if folder.is_dir() else set()
    own = _TARGET_FILES[name] - {"neural_stim_meta.npy"}
    if not present & own and not required:
        return Finding(name, "not here")
    extra = sorted(present - _TARGET_FILES[name])
    notes = [f"files that nothing reads: {_first(extra)}"] if extra else []
    try:
        target = load_target(paths, name, stimuli)
    except InputError as error:
        return Finding(name, "cannot be loaded", (str(error),), tuple(notes))
    problems = []
    n_sounds, n_voxels, n_repetitions = target.responses.shape
    if name == "NH2015comp":
        what = f"{n_sounds} sounds × {n_voxels} components"
    else:
        subjects = target.metadata["subj_idx"].nunique() if "subj_idx" in target.metadata else 0
        what = f"{n_sounds} sounds × {n_voxels:,} voxels × {n_repetitions} repetitions, {subjects} participants"
        if (n_voxels, subjects) != PUBLISHED_VOXELS[name]:
            sentence = "the published data have {:,} voxels of {} participants".format(*PUBLISHED_VOXELS[name])
            (problems if required else notes).append(sentence)
    mean = target.responses.mean(axis=2)
    constant = np.ptp(mean, axis=0) == 0
    if constant.any():
        notes.append(f"constant over sounds: {_count(np.count_nonzero(constant), 'voxel')}, voxel_id "
                     f"{_first(target.ids[constant].tolist())}")
    notes += _repeated_rows(mean, stimuli.ids, "responses")
    return Finding(name, what, tuple(problems), tuple(notes))


def _repeated_rows(array: np.ndarray, ids: Sequence[str], what: str) -> list[str]:
    same: dict[bytes, list[str]] = defaultdict(list)
    for sound, row in zip(ids, array):
        same[hashlib.sha256(np.ascontiguousarray(row)).digest()].append(sound)
    groups = [group for group in same.values() if len(group) > 1]
    if not groups:
        return []
    return [f"{sum(map(len, groups))} sounds share their {what} with another: {' = '.join(groups[0][:3])}"]


# --- activations -------------------------------------------------------------------------------------------------------

def inspect_layer(array: np.ndarray, ids: Sequence[str]) -> tuple[list[str], list[str]]:
    """Problems and notes of one layer.

    Parameters
    ----------
    array : array of shape (n_sounds, n_units)
    ids : sequence of str
        Sound ids of the rows.
    """
    if array.shape[1] == 0:
        return ["no units"], []
    finite = np.isfinite(array) if array.dtype.kind == "f" else np.ones(array.shape, dtype=bool)
    if not finite.all():
        bad = [sound for sound, good in zip(ids, finite.all(axis=1)) if not good]
        return [f"{np.count_nonzero(~finite):,} values are NaN or inf, in {len(bad)} sounds: {_first(bad)}"], []
    notes = [] if array.dtype.kind == "f" else [f"stored as {array.dtype}, not as floating-point numbers"]
    constant = np.count_nonzero(array.max(axis=0) == array.min(axis=0))
    if constant == array.shape[1]:
        notes.append("the layer does not vary over sounds; it will predict nothing")
    elif constant:
        notes.append(f"constant over sounds: {_count(constant, 'unit')}")
    if constant < array.shape[1]:
        notes += _repeated_rows(array, ids, "features")
    return [], notes


def check_model(paths: ProjectPaths, model: str, stimuli: Stimuli, *, required: bool = False) -> list[Finding]:
    """Every layer of a model, trained and permuted, in either format."""
    folder = paths.model_activations(model)
    findings: list[Finding] = []
    if not folder.is_dir():
        return [Finding(model, "not here", (f"{folder} is missing",))]
    known, shapes = set(), {}
    for randnetw in (False, True):
        suffix = "_randnetw" if randnetw else ""
        label = f"{model} (permuted)" if randnetw else model
        h5_file, ending = folder / f"natsound_activations{suffix}.h5", f"_activations{suffix}.pkl"
        pickles = sorted(p for p in folder.glob(f"*{ending}") if not p.name.startswith("."))
        known |= {h5_file.name, f"natsound_activations{suffix}_full.h5", *(path.name for path in pickles)}
        if not h5_file.is_file() and not pickles:
            if not randnetw:
                findings.append(Finding(label, "no activations", (f"neither {h5_file.name} nor <sound id>{ending}",)))
            elif model != BASELINE_MODEL:
                missing = ("the permuted network is missing",)
                findings.append(Finding(label, "not here", missing if required else (), () if required else missing))
            continue
        some = (_check_h5(h5_file, label, model, stimuli) if h5_file.is_file()
                else _check_pickles(pickles, ending, label, model, stimuli))
        if not any(finding.problems for finding in some):
            try:  # the very call that the analyses make
                open_activations(paths, model, stimuli, randnetw=randnetw)
            except InputError as error:
                some.append(Finding(label, "cannot be opened", (str(error),)))
        findings += some
        shapes[randnetw] = {finding.where.removeprefix(label): finding.what for finding in some}
    if len(shapes) == 2 and shapes[False] != shapes[True]:
        different = sorted(name.strip(" :") for name in shapes[False].keys() ^ shapes[True].keys()
                           | {k for k in shapes[False].keys() & shapes[True].keys() if shapes[False][k] != shapes[True][k]})
        findings.append(Finding(model, "trained and permuted", (), (f"layers differ: {_first(different)}",)))
    extra = sorted(p.name for p in folder.iterdir() if not p.name.startswith(".") and p.name not in known)
    if extra:
        findings.append(Finding(model, "other files", (), (f"nothing reads them: {_first(extra)}",)))
    return findings


def _check_h5(path: Path, label: str, model: str, stimuli: Stimuli) -> list[Finding]:
    findings, general = [], []
    ids: Sequence[str] = stimuli.ids
    try:
        with open_h5(path) as file:
            names = [name for name in h5_dataset_names(file) if name not in (LAYER_LIST_KEY, SOUND_IDS_KEY)]
            listed = _h5_strings(file, LAYER_LIST_KEY)
            stored_ids = _h5_strings(file, SOUND_IDS_KEY)
            notes = []
            if stored_ids is not None:
                rows_in_order(stored_ids, stimuli.ids, f"{path.name} ({SOUND_IDS_KEY})")
                ids = stored_ids
            elif model not in MODELS:
                notes.append(f"no dataset {SOUND_IDS_KEY}: the rows must be in stimulus order, which nothing can check")
            if listed is not None:
                general += [f"{LAYER_LIST_KEY} names {name!r}, which is not in the file" for name in listed
                            if not any(stored == name or stored.startswith(f"{name}/") for stored in names)]
            general += _missing_layers(model, names, h5_key)
            names.sort(key=_network_order(listed or []))
            for name in names:
                where = f"{label}: {name}"
                try:
                    dataset = h5_dataset(file, name)
                    if (dataset is None or dataset.ndim != 2 or dataset.shape[0] != len(stimuli)
                            or dataset.dtype.kind not in "fiu"):
                        shape = "nothing" if dataset is None else _shape(dataset)
                        findings.append(Finding(where, shape, (f"expected numbers, {len(stimuli)} sounds × units",)))
                        continue
                    problems, layer_notes = inspect_layer(dataset[()], ids)
                    findings.append(Finding(where, _shape(dataset), tuple(problems), tuple(layer_notes)))
                except InputError as error:
                    findings.append(Finding(where, "cannot be read", (str(error),)))
                except (OSError, RuntimeError, ValueError) as error:
                    findings.append(Finding(where, "cannot be read", (f"{path.name} is damaged here ({error})",)))
            if not names:
                general.append(f"{path.name} holds no layers")
    except InputError as error:
        return [*findings, Finding(label, "cannot be read", (str(error),))]
    if general or notes:
        findings.insert(0, Finding(label, path.name, tuple(general), tuple(notes)))
    return findings


def _h5_strings(file, key: str) -> list[str] | None:
    dataset = h5_dataset(file, key)
    if dataset is None:
        return None
    values = dataset[()]
    if np.ndim(values) != 1:
        raise InputError(f"{file.filename}: {key} must be a list of names; found shape {np.shape(values)}.")
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values]


def _network_order(listed: Sequence[str]) -> Callable[[str], int]:
    """Sort key: the place in the list of layers; what is not listed comes last."""
    places = {name: place for place, name in enumerate(listed)}
    return lambda name: places.get(name, places.get(name.split("/")[0], len(places)))


def _missing_layers(model: str, stored: Collection[str], key_of: Callable[[str, str], str]) -> list[str]:
    registered = MODELS.get(model)
    return [f"layer {layer} (stored as {key_of(model, layer)!r}) is missing"
            for layer in (registered.layer_names if registered else ()) if key_of(model, layer) not in stored]


def _check_pickles(files: list[Path], ending: str, label: str, model: str, stimuli: Stimuli) -> list[Finding]:
    problems = []
    try:
        rows_in_order([path.name.removesuffix(ending) for path in files], stimuli.ids, f"{files[0].parent.name}/*{ending}")
    except InputError as error:
        problems.append(str(error))
    vectors: dict[str, dict[str, np.ndarray]] = {}
    wrong: dict[str, list[str]] = defaultdict(list)
    for path in files:
        sound = path.name.removesuffix(ending)
        try:
            content = load_pickle(path, allow="arrays")
        except InputError as error:
            problems.append(str(error))
            continue
        if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
            problems.append(f"{path.name} is no dict from layer key to array")
            continue
        for key, value in content.items():
            vector = np.asarray(value)
            if vector.ndim != 1 or vector.dtype.kind not in "fiu":
                wrong[key].append(f"{sound} is {vector.dtype} of shape {vector.shape}, not a 1-D array of numbers")
            vectors.setdefault(key, {})[sound] = vector
    problems += _missing_layers(model, vectors, pickle_key)
    findings = [Finding(label, f"{len(files)} files", tuple(problems))]
    for key, of_sound in vectors.items():
        findings.append(_check_vectors(f"{label}: {_layer_name(model, key)}", of_sound, wrong[key], len(files)))
    return findings


def _layer_name(model: str, key: str) -> str:
    registered = MODELS.get(model)
    return next((layer.name for layer in (registered.layers if registered else ()) if layer.stored_key == key), key)


def _check_vectors(where: str, of_sound: dict[str, np.ndarray], wrong: list[str], n_files: int) -> Finding:
    problems = wrong[:3]
    if len(of_sound) != n_files:
        problems.append(f"in {len(of_sound)} of {n_files} files only")
    lengths = defaultdict(list)
    for sound, vector in of_sound.items():
        lengths[vector.shape].append(sound)
    dtypes = sorted({str(vector.dtype) for vector in of_sound.values()})
    if len(lengths) > 1:
        odd = min(lengths.values(), key=len)
        problems.append(f"unequal numbers of units: {sorted(shape[-1] if shape else 0 for shape in lengths)}, e.g. {odd[0]}")
    notes = [f"several types: {', '.join(dtypes)}"] if len(dtypes) > 1 else []
    if problems:
        return Finding(where, f"{len(of_sound)} sounds", tuple(problems), tuple(notes))
    array = np.stack(list(of_sound.values()))
    more_problems, more_notes = inspect_layer(array, list(of_sound))
    return Finding(where, _shape(array), tuple(more_problems), tuple(notes + more_notes))


def _shape(array) -> str:
    return f"{' × '.join(f'{n:,}' for n in array.shape)} {array.dtype}"


# --- other files -------------------------------------------------------------------------------------------------------

def check_other_files(folder: Path, label: str, *, required: bool = False) -> Finding:
    """Files without a reader of their own here (surfaces): not empty, and readable where the format is known."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")) if folder.is_dir() else []
    if not files:
        return Finding(label, "not here", (f"{folder} holds no files",) if required else ())
    problems = []
    for path in files:
        try:
            if path.stat().st_size == 0:
                raise InputError(f"{path} is empty. Download it again.")
            if path.suffix == ".npy":
                read_npy(path)
            elif path.suffix == ".h5" or (path.suffix == ".mat" and _is_h5(path)):
                with open_h5(path) as file:
                    h5_dataset_names(file)
            elif path.suffix == ".mat":
                read_mat(path, ())
        except InputError as error:
            problems.append(str(error))
    n_bytes = sum(path.stat().st_size for path in files)
    return Finding(label, f"{len(files):,} files, {n_bytes / 1e6:,.1f} MB", tuple(problems))


def _is_h5(path: Path) -> bool:
    """MATLAB 7.3 files are HDF5, after 512 bytes of their own."""
    with path.open("rb") as stream:
        return b"\x89HDF\r\n\x1a\n" in (stream.read(8), stream.read(512)[504:])


# --- everything --------------------------------------------------------------------------------------------------------

def check_installation(paths: ProjectPaths, *, models: Collection[str] | None = None,
                       brought: Collection[str] | None = None) -> Iterator[Finding]:
    """Look at everything below a root, or at what a download brought.

    Parameters
    ----------
    paths : ProjectPaths
    models : collection of str, optional
        Look at the activations of these models only (and at nothing but the sound list besides).
    brought : collection of str, optional
        Names of archives that were just unpacked: what they bring must be there, with the published counts; the rest is
        left out.

    Yields
    ------
    Finding
        One by one, as they are made.
    """
    def wanted(*sources: str) -> bool:
        return bool(set(sources) & set(brought)) if brought is not None else models is None

    try:
        stimuli = load_stimuli(paths)
    except InputError as error:
        yield Finding("sound list", "cannot be read", (str(error),))
        stimuli = None
    if stimuli is not None and wanted("data", "stimuli"):
        yield Finding("sound list", f"{len(stimuli)} sounds in {len(set(stimuli.categories))} categories")
        yield check_sounds(paths, stimuli.ids, required=brought is not None)
        for name in TARGETS:
            required = brought is not None and (name == "NH2015comp" or "data" in brought)
            if brought is None or required:
                yield check_target(paths, name, stimuli, required=required)
    if stimuli is not None and (models is not None or wanted("model_actv")):
        yield from _check_models(paths, stimuli, models, required=brought is not None)
    if wanted("fsavg_surf", "vox_matrix"):
        yield check_other_files(paths.surface, "surfaces", required=brought is not None)
    if wanted("results"):
        yield from _check_results(paths, required=brought is not None)


def _check_models(paths: ProjectPaths, stimuli: Stimuli, models: Collection[str] | None,
                  required: bool) -> Iterator[Finding]:
    present = models_on_disk(paths)
    if required and models is None:
        missing = [model for model in MODELS if model not in present]
        yield Finding("models", f"{len(present)} here", () if present else ("no model arrived",),
                      (f"of the paper, {len(missing)} are not here: {_first(missing)}",) if missing else ())
    elif not present and models is None:
        yield Finding("models", "none here")
    for model in models if models is not None else present:
        yield from check_model(paths, model, stimuli, required=required and model in MODELS)


def _check_results(paths: ProjectPaths, required: bool) -> Iterator[Finding]:
    yield check_other_files(paths.results, "results", required=required)


def report(findings: Iterable[Finding], stream: TextIO | None = None) -> int:
    """Print the findings as a table; 1 if there is a problem, else 0."""
    out = stream or sys.stdout
    n_findings = n_problems = n_notes = 0
    print(f"{'where':44} {'what':60} state", file=out)
    for finding in findings:
        state = "PROBLEM" if finding.problems else "note" if finding.notes else "-" if "here" in finding.what else "ok"
        where = finding.where if len(finding.where) <= 44 else finding.where[:43] + "…"
        print(f"{where:44} {finding.what:60} {state}", file=out, flush=True)
        for kind, sentences in (("PROBLEM", finding.problems), ("note", finding.notes)):
            for sentence in sentences:
                print(f"    {kind}: {sentence}", file=out)
        n_findings += 1
        n_problems += len(finding.problems)
        n_notes += len(finding.notes)
    print(f"{_count(n_findings, 'place')} looked at: {_count(n_problems, 'problem')}, {_count(n_notes, 'note')}.", file=out)
    return 1 if n_problems else 0

"""Inspect the activations of a model, in either format, layer by layer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import numpy as np

from aud_dnn.checks.findings import Finding, count, first, repeated_rows
from aud_dnn.errors import InputError
from aud_dnn.files import h5_array, h5_dataset, h5_dataset_names, open_h5
from aud_dnn.paths import ProjectPaths
from aud_dnn.pickles.safe_pickle import load_pickle
from aud_dnn.resources import BASELINE_MODEL, MODELS, h5_key, pickle_key
from aud_dnn.utils import LAYER_LIST_KEY, SOUND_IDS_KEY, Stimuli, models_on_disk, open_activations, rows_in_order


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
        return [f"{np.count_nonzero(~finite):,} values are NaN or inf, in {len(bad)} sounds: {first(bad)}"], []
    notes = [] if array.dtype.kind == "f" else [f"stored as {array.dtype}, not as floating-point numbers"]
    constant = np.count_nonzero(array.max(axis=0) == array.min(axis=0))
    if constant == array.shape[1]:
        notes.append("the layer does not vary over sounds; it will predict nothing")
    elif constant:
        notes.append(f"constant over sounds: {count(constant, 'unit')}")
    if constant < array.shape[1]:
        notes += repeated_rows(array, ids, "features")
    return [], notes


def check_model(paths: ProjectPaths, model: str, stimuli: Stimuli, *, required: bool = False) -> list[Finding]:
    """Every layer of a model, trained and permuted, in either format."""
    folder = paths.model_activations(model)
    findings: list[Finding] = []
    if not folder.is_dir():
        return [Finding(model, "not here", (f"{folder} is missing. Present: {', '.join(models_on_disk(paths)) or 'none'}",))]
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
        findings.append(Finding(model, "trained and permuted", (), (f"layers differ: {first(different)}",)))
    extra = sorted(p.name for p in folder.iterdir() if not p.name.startswith(".") and p.name not in known)
    if extra:
        findings.append(Finding(model, "other files", (), (f"nothing reads them: {first(extra)}",)))
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
                    problems, layer_notes = inspect_layer(h5_array(dataset), ids)
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
    values = h5_array(dataset)
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

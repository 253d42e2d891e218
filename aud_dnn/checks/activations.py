"""Inspect the activations of a model, in either format, layer by layer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import numpy as np

from aud_dnn.activations.arrays import read_sound
from aud_dnn.activations.layer_order import LAYER_ORDER_FILE, in_creation_order
from aud_dnn.activations.layouts import layer_problem, vector_problem
from aud_dnn.activations.names import h5_name, pickle_ending
from aud_dnn.activations.opening import h5_layers
from aud_dnn.activations.row_order import CONFIRMATION_FILE, names_in_h5
from aud_dnn.checks.findings import Finding, count, first, repeated_rows
from aud_dnn.conditions import Condition
from aud_dnn.errors import InputError
from aud_dnn.io.files import h5_dataset, open_h5
from aud_dnn.io.h5_structure import h5_array
from aud_dnn.models.registry import MODELS, h5_key, pickle_key
from aud_dnn.paths import ProjectPaths
from aud_dnn.utils import (
    LAYER_LIST_KEY,
    SOUND_IDS_KEY,
    Stimuli,
    models_on_disk,
    open_activations,
    rows_in_order,
)


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
        return [
            f"{np.count_nonzero(~finite):,} values are NaN or inf, in {len(bad)} sounds: "
            f"{first(bad)}"
        ], []
    notes = []
    constant = np.count_nonzero(array.max(axis=0) == array.min(axis=0))
    if constant == array.shape[1]:
        notes.append("the layer does not vary over sounds; it will predict nothing")
    elif constant:
        notes.append(f"constant over sounds: {count(constant, 'unit')}")
    if constant < array.shape[1]:
        notes += repeated_rows(array, ids, "features")
    return [], notes


def check_model(
    paths: ProjectPaths, model: str, stimuli: Stimuli, *, required: bool = False
) -> list[Finding]:
    """Every layer of a model, trained and permuted, in either format."""
    folder = paths.model_activations(model)
    findings: list[Finding] = []
    if not folder.is_dir():
        return [
            Finding(
                model,
                "not here",
                (f"{folder} is missing. Present: {', '.join(models_on_disk(paths)) or 'none'}",),
            )
        ]
    known, shapes = {LAYER_ORDER_FILE, CONFIRMATION_FILE}, {}
    for randnetw in (False, True):
        label = f"{model} (permuted)" if randnetw else model
        h5_file, ending = folder / h5_name(randnetw), pickle_ending(randnetw)
        pickles = sorted(p for p in folder.glob(f"*{ending}") if not p.name.startswith("."))
        known |= {
            h5_file.name,
            f"{h5_file.stem}_full.h5",
            *(path.name for path in pickles),
        }
        if not h5_file.is_file() and not pickles:
            if not randnetw:
                findings.append(
                    Finding(
                        label, "no activations", (f"neither {h5_file.name} nor <sound id>{ending}",)
                    )
                )
            elif Condition.of(randnetw).exists_for(model):
                missing = ("the permuted network is missing",)
                findings.append(
                    Finding(
                        label, "not here", missing if required else (), () if required else missing
                    )
                )
            continue
        some = (
            _check_h5(h5_file, label, model, stimuli)
            if h5_file.is_file()
            else _check_pickles(pickles, ending, label, model, stimuli)
        )
        findings += _as_the_analyses_see_it(
            paths, model, stimuli, randnetw, label, quiet=any(finding.problems for finding in some)
        )
        findings += some
        shapes[randnetw] = {
            finding.where.removeprefix(label): finding.what
            for finding in some
            if finding.where != label
        }
    if len(shapes) == 2 and shapes[False] != shapes[True]:
        different = sorted(
            name.strip(" :")
            for name in shapes[False].keys() ^ shapes[True].keys()
            | {
                k
                for k in shapes[False].keys() & shapes[True].keys()
                if shapes[False][k] != shapes[True][k]
            }
        )
        findings.append(
            Finding(model, "trained and permuted", (), (f"layers differ: {first(different)}",))
        )
    extra = sorted(
        p.name for p in folder.iterdir() if not p.name.startswith(".") and p.name not in known
    )
    if extra:
        findings.append(Finding(model, "other files", (), (f"nothing reads them: {first(extra)}",)))
    return findings


def _as_the_analyses_see_it(
    paths: ProjectPaths, model: str, stimuli: Stimuli, randnetw: bool, label: str, *, quiet: bool
) -> list[Finding]:
    """The very call that the analyses make.

    Its error (unless ``quiet``: it was found already), else all that it remarks.
    """
    try:
        activations = open_activations(paths, model, stimuli, randnetw=randnetw)
    except InputError as error:
        return [] if quiet else [Finding(label, "cannot be opened", (str(error),))]
    what = (
        f"{count(len(activations.layers), 'layer')}; order: {activations.order.origin}; sounds: "
        f"{activations.sounds_from}"
    )
    return [Finding(label, what, (), tuple(str(remark) for remark in activations.remarks))]


def _check_h5(path: Path, label: str, model: str, stimuli: Stimuli) -> list[Finding]:
    findings, general = [], []
    ids: Sequence[str] = stimuli.ids
    try:
        with open_h5(path) as file:
            names = h5_layers(file)
            listed = names_in_h5(file, LAYER_LIST_KEY)
            stored_ids = names_in_h5(file, SOUND_IDS_KEY)
            if stored_ids is not None:
                rows_in_order(stored_ids, stimuli.ids, f"{path.name} ({SOUND_IDS_KEY})")
                ids = stored_ids
            if listed is not None:
                general += [
                    f"{LAYER_LIST_KEY} names {name!r}, which is not in the file"
                    for name in listed
                    if not any(stored == name or stored.startswith(f"{name}/") for stored in names)
                ]
            general += _missing_layers(model, names, h5_key)
            names.sort(key=_network_order(listed or in_creation_order(file, names)[0]))
            for name in names:
                where = f"{label}: {name}"
                try:
                    dataset = h5_dataset(file, name)
                    if dataset is None:
                        raise InputError(f"{path.name} holds nothing under this name")
                    if problem := layer_problem(dataset.shape, dataset.dtype, len(stimuli)):
                        findings.append(Finding(where, _shape(dataset), (problem,)))
                        continue
                    problems, layer_notes = inspect_layer(h5_array(dataset), ids)
                    findings.append(
                        Finding(where, _shape(dataset), tuple(problems), tuple(layer_notes))
                    )
                except InputError as error:
                    findings.append(Finding(where, "cannot be read", (str(error),)))
                except (OSError, RuntimeError, ValueError) as error:
                    findings.append(
                        Finding(
                            where, "cannot be read", (f"{path.name} is damaged here ({error})",)
                        )
                    )
            if not names:
                general.append(f"{path.name} holds no layers")
    except InputError as error:
        return [*findings, Finding(label, "cannot be read", (str(error),))]
    if general:
        findings.insert(0, Finding(label, path.name, tuple(general)))
    return findings


def _network_order(listed: Sequence[str]) -> Callable[[str], int]:
    """Sort key: the place in the list of layers; what is not listed comes last."""
    places = {name: place for place, name in enumerate(listed)}
    return lambda name: places.get(name, places.get(name.split("/")[0], len(places)))


def _missing_layers(
    model: str, stored: Collection[str], key_of: Callable[[str, str], str]
) -> list[str]:
    registered = MODELS.get(model)
    missing = [
        layer
        for layer in (registered.layer_names if registered else ())
        if key_of(model, layer) not in stored and layer not in stored
    ]
    return [
        f"layer {layer} (stored as {key_of(model, layer)!r}) is missing" for layer in missing[:3]
    ] + (
        [f"{len(missing) - 3} more layers are missing: {', '.join(missing[3:])}"]
        if len(missing) > 3
        else []
    )


def _check_pickles(
    files: list[Path], ending: str, label: str, model: str, stimuli: Stimuli
) -> list[Finding]:
    problems = []
    try:
        rows_in_order(
            [path.name.removesuffix(ending) for path in files],
            stimuli.ids,
            f"{files[0].parent.name}/*{ending}",
        )
    except InputError as error:
        problems.append(str(error))
    vectors: dict[str, dict[str, np.ndarray]] = {}
    wrong: dict[str, list[str]] = defaultdict(list)
    for path in files:
        sound = path.name.removesuffix(ending)
        try:
            content = read_sound(path)
        except InputError as error:
            problems.append(str(error))
            continue
        for key, value in content.items():
            try:
                vector = np.asarray(value)
            except ValueError as error:  # lists of unequal lengths
                wrong[key].append(f"{sound} is no 1-D array of numbers ({error})")
                continue
            if problem := vector_problem(vector):
                wrong[key].append(f"{sound} {problem}")
            vectors.setdefault(key, {})[sound] = vector
    if vectors:
        problems += _missing_layers(model, vectors, pickle_key)
    findings = [Finding(label, f"{len(files)} files", tuple(problems))]
    for key, of_sound in vectors.items():
        findings.append(
            _check_vectors(f"{label}: {_layer_name(model, key)}", of_sound, wrong[key], len(files))
        )
    return findings


def _layer_name(model: str, key: str) -> str:
    registered = MODELS.get(model)
    return next(
        (
            layer.name
            for layer in (registered.layers if registered else ())
            if layer.stored_key == key
        ),
        key,
    )


def _check_vectors(
    where: str, of_sound: dict[str, np.ndarray], wrong: list[str], n_files: int
) -> Finding:
    problems = list(wrong)
    if len(of_sound) != n_files:
        problems.append(f"in {len(of_sound)} of {n_files} files only")
    lengths = defaultdict(list)
    for sound, vector in of_sound.items():
        lengths[vector.shape].append(sound)
    dtypes = sorted({str(vector.dtype) for vector in of_sound.values()})
    if len(lengths) > 1:
        odd = min(lengths.values(), key=len)
        problems.append(
            f"unequal numbers of units: {sorted(shape[-1] if shape else 0 for shape in lengths)}, "
            f"e.g. {odd[0]}"
        )
    notes = [f"several types: {', '.join(dtypes)}"] if len(dtypes) > 1 else []
    if problems:
        return Finding(where, f"{len(of_sound)} sounds", tuple(problems), tuple(notes))
    array = np.stack(list(of_sound.values()))
    more_problems, more_notes = inspect_layer(array, list(of_sound))
    return Finding(where, _shape(array), tuple(more_problems), tuple(notes + more_notes))


def _shape(array) -> str:
    return f"{' × '.join(f'{n:,}' for n in array.shape)} {array.dtype}"

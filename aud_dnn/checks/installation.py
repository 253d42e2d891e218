"""Inspect an installation.

Every file, every target, every model and layer, before anything is fitted.

A *problem* would stop an analysis or make it wrong; a *note* is worth knowing (units that carry
nothing, sounds with the same features). Files are opened by the same functions that the analyses
use, and nothing is changed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np

from aud_dnn.activations.row_order import ASSUMED
from aud_dnn.checks.activations import check_model
from aud_dnn.checks.findings import Finding, count, first, repeated_rows
from aud_dnn.errors import InputError
from aud_dnn.io.files import mat_variables, open_h5, read_npy
from aud_dnn.io.h5_structure import h5_dataset_names
from aud_dnn.io.sound_checks import inspect_sound
from aud_dnn.methods.repetitions import mean_response
from aud_dnn.models.registry import MODELS
from aud_dnn.paths import ProjectPaths
from aud_dnn.targets.facts import COMPONENT_TARGET, TARGETS
from aud_dnn.targets.published_files import FILES, VOXELS_AND_PARTICIPANTS
from aud_dnn.utils import Stimuli, load_stimuli, load_target, models_on_disk, open_activations

_SOUND_RATE, _SOUND_SAMPLES = 44100, 88200


# --- sounds and targets -------------------------------------------------------------------------


def check_sounds(paths: ProjectPaths, ids: Sequence[str], *, required: bool = False) -> Finding:
    """The wav files: one per stimulus, readable, mono, not silent, none twice.

    Other rates and lengths are noted.
    """
    folder = paths.stimuli
    files = {
        path.stem: path for path in sorted(folder.glob("*.wav")) if not path.name.startswith(".")
    }
    if not files and not required:
        return Finding("stimuli", "no sounds here")
    problems, notes, unusual = [], [], []
    same: dict[str, list[str]] = defaultdict(list)
    for sound, path in files.items():
        try:
            found = inspect_sound(sound, path)
        except InputError as error:
            problems.append(str(error))
            continue
        same[found.digest].append(sound)
        if found.n_channels != 1:
            problems.append(f"{path.name} has {found.n_channels} channels; one is expected")
        if (found.rate, found.n_samples) != (_SOUND_RATE, _SOUND_SAMPLES):
            unusual.append(sound)
    missing, extra = [sound for sound in ids if sound not in files], sorted(set(files) - set(ids))
    if missing:
        problems.append(f"{len(missing)} sounds are missing: {first(missing)}")
    if extra:
        notes.append(f"{len(extra)} sounds are not among the stimuli: {first(extra)}")
    if unusual:
        notes.append(f"{len(unusual)} sounds are not 2 s at 44.1 kHz: {first(unusual)}")
    problems += [
        f"the same sound under {len(twice)} names: {first(twice)}"
        for twice in same.values()
        if len(twice) > 1
    ]
    return Finding("stimuli", f"{len(files)} sounds", tuple(problems), tuple(notes))


def check_target(
    paths: ProjectPaths, name: str, stimuli: Stimuli, *, required: bool = False
) -> Finding:
    """One target: everything that loading it checks, then counts, voxels that do not vary, sounds
    that repeat.
    """
    folder = paths.neural(name)
    present = (
        {path.name for path in folder.iterdir() if not path.name.startswith(".")}
        if folder.is_dir()
        else set()
    )
    own = FILES[name] - {"neural_stim_meta.npy"}
    if not present & own and not required:
        return Finding(name, "not here")
    extra = sorted(present - FILES[name])
    notes = [f"files that nothing reads: {first(extra)}"] if extra else []
    try:
        target = load_target(paths, name, stimuli)
    except InputError as error:
        return Finding(name, "cannot be loaded", (str(error),), tuple(notes))
    problems = []
    notes += map(str, target.remarks)
    n_sounds, n_voxels, n_repetitions = target.responses.shape
    if name == COMPONENT_TARGET:
        what = f"{n_sounds} sounds × {n_voxels} components"
    else:
        subjects = target.metadata["subj_idx"].nunique() if "subj_idx" in target.metadata else 0
        what = (
            f"{n_sounds} sounds × {n_voxels:,} voxels × {n_repetitions} repetitions, {subjects} "
            "participants"
        )
        if (n_voxels, subjects) != VOXELS_AND_PARTICIPANTS[name]:
            sentence = "the published data have {:,} voxels of {} participants".format(
                *VOXELS_AND_PARTICIPANTS[name]
            )
            (problems if required else notes).append(sentence)
    mean = mean_response(target.responses)
    constant = np.ptp(mean, axis=0) == 0
    if constant.any():
        notes.append(
            f"constant over sounds: {count(np.count_nonzero(constant), 'voxel')}, voxel_id "
            f"{first(target.ids[constant].tolist())}"
        )
    notes += repeated_rows(mean, stimuli.ids, "responses")
    return Finding(name, what, tuple(problems), tuple(notes))


# --- other files --------------------------------------------------------------------------------


def check_other_files(folder: Path, label: str, *, required: bool = False) -> Finding:
    """Files without a reader of their own here (surfaces).

    Not empty, and readable where the format is known.
    """
    files = (
        sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))
        if folder.is_dir()
        else []
    )
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
                mat_variables(path)
        except InputError as error:
            problems.append(str(error))
        except OSError as error:
            problems.append(f"{path} cannot be read ({error.strerror})")
    n_bytes = sum(path.stat().st_size for path in files)
    return Finding(label, f"{len(files):,} files, {n_bytes / 1e6:,.1f} MB", tuple(problems))


def _is_h5(path: Path) -> bool:
    """MATLAB 7.3 files are HDF5, after 512 bytes of their own."""
    with path.open("rb") as stream:
        return b"\x89HDF\r\n\x1a\n" in (stream.read(8), stream.read(512)[504:])


# --- everything ---------------------------------------------------------------------------------


def check_installation(
    paths: ProjectPaths,
    *,
    models: Collection[str] | None = None,
    brought: Collection[str] | None = None,
) -> Iterator[Finding]:
    """Look at everything below a root, or at what a download brought.

    Parameters
    ----------
    paths : ProjectPaths
    models : collection of str, optional
        Look at the activations of these models only (and at nothing but the sound list besides).
    brought : collection of str, optional
        Names of archives that were just unpacked: what they bring must be there, with the published
        counts; the rest is left out.

    Yields
    ------
    Finding
        One by one, as they are made.
    """

    def wanted(*sources: str) -> bool:
        return bool(set(sources) & set(brought)) if brought is not None else models is None

    stimuli = None
    if models is not None or wanted("data", "stimuli", "model_actv"):
        try:
            stimuli = load_stimuli(paths)
        except InputError as error:
            yield Finding("sound list", "cannot be read", (str(error),))
    if stimuli is not None and wanted("data", "stimuli"):
        yield Finding(
            "sound list", f"{len(stimuli)} sounds in {len(set(stimuli.categories))} categories"
        )
        yield check_sounds(paths, stimuli.ids, required=brought is not None)
        for name in TARGETS:
            required = brought is not None and (name == COMPONENT_TARGET or "data" in brought)
            if brought is None or required:
                yield check_target(paths, name, stimuli, required=required)
    if stimuli is not None and (models is not None or wanted("model_actv")):
        yield from _check_models(paths, stimuli, models, required=brought is not None)
    if wanted("fsavg_surf", "vox_matrix"):
        yield check_other_files(paths.surface, "surfaces", required=brought is not None)
    if wanted("results"):
        yield from check_results(paths, required=brought is not None)


def _check_models(
    paths: ProjectPaths, stimuli: Stimuli, models: Collection[str] | None, required: bool
) -> Iterator[Finding]:
    present = models_on_disk(paths)
    if required and models is None:
        missing = [model for model in MODELS if model not in present]
        yield Finding(
            "models",
            f"{len(present)} here",
            () if present else ("no model arrived",),
            (f"of the paper, {len(missing)} are not here: {first(missing)}",) if missing else (),
        )
    elif not present and models is None:
        yield Finding("models", "none here")
    for model in models if models is not None else present:
        yield from check_model(paths, model, stimuli, required=required and model in MODELS)


def check_results(paths: ProjectPaths, *, required: bool = False) -> Iterator[Finding]:
    """Every file of every regression result, ours or published, one finding per model.

    The files of the RSA.
    """
    from aud_dnn.store.regression import read_result
    from aud_dnn.store.regression_names import find_results, parse_folder

    folder = paths.results
    models = (
        sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
        if folder.is_dir()
        else []
    )
    if not any(models):
        yield Finding("results", "not here", (f"{folder} holds no results",) if required else ())
    for model in models:
        problems, good, whole = [], 0, set()
        assumed: dict[bool, list[str]] = defaultdict(list)
        for key, place in find_results(paths, model.name):
            whole.add(place.name)
            try:
                result = read_result(place)
                if not np.isfinite(result.values("r2_test")).all():
                    problems.append(f"{place.name}: r2_test is not finite everywhere")
                result.files.require_predictions_unchanged()
                good += 1
                if (result.provenance or {}).get("activations", {}).get("sounds_from") == ASSUMED:
                    assumed[key.randnetw].append(f"{key.layer} / {key.target}")
            except InputError as error:
                problems.append(str(error))
        half = [
            p.name
            for p in model.iterdir()
            if p.is_dir() and parse_folder(p) is not None and p.name not in whole
        ]
        notes = [f"{count(len(half), 'result')} not whole: {first(half)}"] if half else []
        notes += [
            _on_assumed_rows(paths, model.name, randnetw, names)
            for randnetw, names in assumed.items()
        ]
        if whole or half:
            yield Finding(
                f"results: {model.name}", count(good, "result"), tuple(problems), tuple(notes)
            )
    yield from _check_rsa(folder)
    yield from _check_rsa_parts(paths.rsa_results)


def _on_assumed_rows(paths: ProjectPaths, model: str, randnetw: bool, names: Sequence[str]) -> str:
    """About results that were fitted when nothing said which sound each row of the activations is
    of.
    """
    found = (
        f"{count(len(names), 'result')}{' (permuted)' if randnetw else ''} fitted while the order "
        "of sounds was assumed"
    )
    try:
        now = open_activations(paths, model, load_stimuli(paths), randnetw=randnetw).sounds_from
    except InputError:
        now = "not known, for the activations cannot be read"
    verdict = (
        f"it still is: {first(names)}"
        if now == ASSUMED
        else f"provenance.json keeps saying so, figures go by what holds now ({now}): "
        f"{first(names)}"
    )
    return f"{found}; {verdict}"


def _check_rsa(folder: Path) -> Iterator[Finding]:
    from aud_dnn.store.comparisons import read_analysis
    from aud_dnn.store.published_rsa import ALL_VOXELS_FILE, BEST_LAYER_FILE, read_published_rsa

    for path in sorted(folder.glob("*/*")) if folder.is_dir() else []:
        try:
            if path.name in (ALL_VOXELS_FILE, BEST_LAYER_FILE):
                what = f"{len(read_published_rsa(path))} targets × regions"
            elif path.match("rsa_*_*.nc"):
                what = count(
                    read_analysis(path.parent, *path.stem.split("_")[1:]).sizes["model"], "model"
                )
            else:
                continue
            yield Finding(f"RSA: {path.name}", what)
        except InputError as error:
            yield Finding(f"RSA: {path.name}", "cannot be read", (str(error),))


def _check_rsa_parts(folder: Path) -> Iterator[Finding]:
    """What the RSA keeps of single models and regions: sealed, and of whom their place says."""
    from aud_dnn.store.comparison_parts import find_parts, read_part

    problems, good, older = [], 0, []
    for path, key in find_parts(folder):
        try:
            if read_part(path, **key) is None:
                older.append(path.name)
            good += 1
        except InputError as error:
            problems.append(str(error))
    notes = (
        [
            f"{count(len(older), 'part')} of another version of the numerics, which the RSA makes "
            f"again: {first(older)}"
        ]
        if older
        else []
    )
    if good or problems:
        yield Finding("RSA: parts", count(good, "part"), tuple(problems), tuple(notes))

"""Run the whole RSA: plan what is missing, share the neural side among worker processes, leave every result on disk.

The unit of work that can be resumed is one (model, condition, target, region). The unit of computation is one model in one
condition: its RDMs serve both targets and all regions. The neural side is computed once per target and region, laid down in
a temporary folder and mapped into every worker's memory, so that it is there once however many workers there are.
"""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr
from tqdm.auto import tqdm

from aud_dnn.digests import array_digest
from aud_dnn.errors import InputError, MissingDataError, unknown_name
from aud_dnn.paths import ProjectPaths
from aud_dnn.resources import BASELINE_MODEL, MODELS, SOUND_CATEGORIES, VOXEL_TARGETS
from aud_dnn.rsa.analysis import Vectors, category_order, neural_side
from aud_dnn.rsa.results import (
    ALL_VOXELS,
    CONDITIONS,
    ROI_CHOICES,
    Part,
    analysis_path,
    assemble,
    neural_arrays,
    neural_part_path,
    read_analysis,
    read_part,
    score_part_path,
    write_analysis,
    write_part,
)
from aud_dnn.rsa.workers import (
    Remarks,
    Shared,
    Tasks,
    digest_of_arrays,
    lay_down,
    notes_on,
    run_here,
    run_in_workers,
    usable_cores,
)
from aud_dnn.splits import published_splits
from aud_dnn.utils import (
    GET_ACTIVATIONS,
    Stimuli,
    Target,
    activation_files,
    load_stimuli,
    load_target,
    open_activations,
)

_ORIGIN = ("neural_digest", "responses_sha256")
"""Attributes of a dataset that say which neural data it came from; files of earlier versions lack the second."""


class Unit(NamedTuple):
    """What can be computed, loaded or missing by itself."""

    model: str
    condition: str
    target: str
    roi: str


@dataclass
class RunReport:
    """What a run did.

    Attributes
    ----------
    computed, loaded : list of Unit
    missing : dict
        (model, condition) without activations -> why.
    failed : dict
        (model, condition) -> the error that its activations gave. Everything else was still computed.
    notes : list of str
        Things to know that are not errors.
    """

    computed: list[Unit] = field(default_factory=list)
    loaded: list[Unit] = field(default_factory=list)
    missing: dict[tuple[str, str], str] = field(default_factory=dict)
    failed: dict[tuple[str, str], str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def summary(self) -> str:
        """The list that the script prints at the end."""
        lines = []
        for title, units in (("computed", self.computed), ("loaded", self.loaded)):
            models = _by_model(dict.fromkeys(unit[:2] for unit in units))
            lines.append(f"{title}: {len(units)} results" + (f" of {models}" if models else ""))
        lines.append(f"missing (no activations on disk, left out): {_by_model(self.missing) or 'none'}")
        lines += [f"FAILED: {model} ({condition}): {why}" for (model, condition), why in self.failed.items()]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


def _by_model(pairs: Iterable[tuple[str, str]]) -> str:
    """``A, B (trained)``: a condition is named where a model has only one."""
    conditions: dict[str, list[str]] = {}
    for model, condition in pairs:
        conditions.setdefault(model, []).append(condition)
    return ", ".join(model if len(found) == len(CONDITIONS) else f"{model} ({found[0]})"
                     for model, found in conditions.items())


@dataclass(frozen=True)
class RSARun:
    """Outcome of :func:`run_rsa`: the report, and the dataset of every (target, region)."""

    report: RunReport
    datasets: dict[tuple[str, str], xr.Dataset]


def run_rsa(paths: ProjectPaths, *, targets: Sequence[str] = VOXEL_TARGETS, rois: Sequence[str] = ROI_CHOICES,
            conditions: Sequence[str] = CONDITIONS, models: Sequence[str] | None = None, overwrite: bool = False,
            jobs: int | None = None, progress: bool = True) -> RSARun:
    """Compute what is missing, load what is there, write one dataset per target and region.

    Parameters
    ----------
    paths : ProjectPaths
    targets, rois, conditions : sequences of str
        Among ``NH2015 B2021``; ``All Primary Lateral Posterior Anterior``; ``trained permuted``.
    models : sequence of str, optional
        Names of the registry or of a user's own models; the whole registry by default. Registered models without
        activations are named in the report and left out.
    overwrite : bool
        Compute again what is there.
    jobs : int, optional
        Worker processes; by default the number of cores this process may use.
    progress : bool
        Show a progress bar.

    Raises
    ------
    InputError
        An unknown name; data missing or damaged. Activations are opened and checked for names before anything is
        computed; numbers (NaN) are checked as they are read, and then only that model is left out (``report.failed``).
    """
    for kind, given, known in (("target", targets, VOXEL_TARGETS), ("ROI", rois, ROI_CHOICES),
                               ("condition", conditions, CONDITIONS)):
        for name in given:
            if name not in known:
                raise unknown_name(kind, name, known)
    for name in models or ():
        if Path(name).name != name:
            raise InputError(f"{name!r} is not the name of a model: give the name of its folder in {paths.activations}.")
    folder = paths.rsa_results
    report = RunReport()
    choices = (dict.fromkeys(names) for names in (MODELS if models is None else models, conditions, targets, rois))
    wanted = [Unit(*names) for names in itertools.product(*choices) if names[:2] != (BASELINE_MODEL, CONDITIONS[1])]
    parts = {} if overwrite else {unit: part for unit in wanted
                                  if (part := read_part(score_part_path(folder, unit.target, unit.roi, unit.model,
                                                                        unit.condition))) is not None}
    neural = {(target, roi): part for target in targets for roi in rois
              if (part := read_part(neural_part_path(folder, target, roi))) is not None}
    parts = {unit: part for unit, part in parts.items() if (unit.target, unit.roi) in neural}
    outdated = _outdated(paths, parts)
    if outdated:
        report.notes.append(f"The activations of {_by_model(dict.fromkeys(unit[:2] for unit in outdated))} are newer than "
                            f"their {len(outdated)} earlier results, which were computed again.")
        parts = {unit: part for unit, part in parts.items() if unit not in outdated}
    to_do = [unit for unit in wanted if unit not in parts]
    if to_do:
        stimuli = load_stimuli(paths)
        report.missing = _check_activations(paths, stimuli, to_do)
        to_do = [unit for unit in to_do if unit[:2] not in report.missing]
    if to_do:
        plan = _NeuralPlan.make(paths, stimuli, wanted, to_do, parts, neural, report)
        _compute(paths, stimuli, plan, report, jobs=jobs, progress=progress)
    report.computed.sort(key=wanted.index)
    report.loaded = [unit for unit in wanted if unit in parts]
    if not (report.computed or report.loaded or report.failed):
        asked = ", ".join(models or ["any registered model"])
        raise MissingDataError(f"There is nothing to analyse: no activations of {asked} below {paths.activations}, and no "
                               f"earlier results in {folder}. {GET_ACTIVATIONS}")
    report.notes += _notes_on_activations(paths, dict.fromkeys(unit[:2] for unit in (*report.computed, *report.loaded)))
    fresh = {(unit.target, unit.roi) for unit in report.computed}
    pairs = list(dict.fromkeys((unit.target, unit.roi) for unit in (*report.computed, *report.loaded)))
    return RSARun(report, {pair: _dataset(folder, *pair, rebuild=pair in fresh) for pair in pairs})


def _notes_on_activations(paths: ProjectPaths, pairs: Iterable[tuple[str, str]]) -> list[str]:
    """What is doubtful about the activations behind the results, each doubt once; nothing where they are gone."""
    places: dict[str, list[str]] = {}
    with contextlib.suppress(InputError):
        stimuli = load_stimuli(paths)
        for model, condition in pairs:
            with contextlib.suppress(InputError):
                for remark in open_activations(paths, model, stimuli, randnetw=condition == CONDITIONS[1]).remarks:
                    places.setdefault(remark.what, []).append(f"{model} ({condition}): {remark.where}")
    return [f"{what}. {len(where)} case(s): {'; '.join(where[:3])}{'; …' if len(where) > 3 else ''}"
            for what, where in places.items()]


def _outdated(paths: ProjectPaths, units: Iterable[Unit]) -> set[Unit]:
    """Results older than the activations of their model. (To compare checksums, all activations would have to be read.)"""
    newest: dict[tuple[str, str], float] = {}
    outdated = set()
    for unit in units:
        if unit[:2] not in newest:
            files = activation_files(paths, unit.model, randnetw=unit.condition == CONDITIONS[1])
            newest[unit[:2]] = max((file.stat().st_mtime for file in files), default=0.0)
        part = score_part_path(paths.rsa_results, unit.target, unit.roi, unit.model, unit.condition)
        if part.stat().st_mtime < newest[unit[:2]]:
            outdated.add(unit)
    return outdated


def _check_activations(paths: ProjectPaths, stimuli: Stimuli, units: Sequence[Unit]) -> dict[tuple[str, str], str]:
    """Open the activations of every model that has something to do; those that are not there, with the reason."""
    missing = {}
    for model, condition in dict.fromkeys(unit[:2] for unit in units):
        try:
            open_activations(paths, model, stimuli, randnetw=condition == CONDITIONS[1])
        except MissingDataError as error:
            missing[model, condition] = str(error)
    return missing


# --- neural side ------------------------------------------------------------------------------------------------------

@dataclass
class _NeuralPlan:
    """What is to be computed, against which neural vectors."""

    to_do: list[Unit]
    vectors: dict[tuple[str, str], Vectors]
    digests: dict[str, str]
    order: np.ndarray
    train: np.ndarray

    @classmethod
    def make(cls, paths: ProjectPaths, stimuli: Stimuli, wanted: Sequence[Unit], to_do: list[Unit],
             parts: dict[Unit, Part], neural: dict[tuple[str, str], Part], report: RunReport) -> _NeuralPlan:
        """Compute the neural side of everything to do. Results that came from other neural data are to do, too."""
        try:
            order = category_order(stimuli.categories, list(SOUND_CATEGORIES))
        except ValueError as error:
            raise InputError(f"{paths.neural('NH2015') / 'neural_stim_meta.npy'}: {error}") from error
        plan = cls([], {}, {}, order, published_splits(len(stimuli)).train)
        for name in dict.fromkeys(unit.target for unit in to_do):
            target = load_target(paths, name, stimuli)
            plan.digests[name] = _digest_of_target(target)
            stale = [unit for unit, part in parts.items()
                     if unit.target == name and part.about["neural_digest"] != plan.digests[name]]
            for unit in stale:
                del parts[unit]
            if stale:
                report.notes.append(f"{len(stale)} earlier results of {name} came from other neural data and were "
                                    "computed again.")
            chosen = [unit for unit in wanted if unit.target == name and (unit in to_do or unit in stale)]
            plan.to_do += chosen
            rois = list(dict.fromkeys(unit.roi for unit in chosen))
            plan._add_target(paths.rsa_results, target, rois, neural, report)
        return plan

    def _add_target(self, folder: Path, target: Target, rois: Sequence[str], neural: dict[tuple[str, str], Part],
                    report: RunReport) -> None:
        for column in ("subj_idx", "roi_label_general"):
            if column not in target.metadata.columns:
                raise InputError(f"df_roi_meta.pkl of {target.name} has no column {column}, which RSA needs.")
        responses_sha256 = array_digest(target.responses)     # as in the provenance of regression results
        responses = target.responses.mean(axis=2)[self.order]
        participant = target.metadata["subj_idx"].to_numpy()
        subjects = np.unique(participant)
        labels = [f"participant_{subject:g}" if isinstance(subject, np.floating) else f"participant_{subject}"
                  for subject in subjects]
        region = target.metadata["roi_label_general"].to_numpy()
        for roi in rois:
            side = neural_side(responses, participant, subjects, self.train,
                               in_region=None if roi == ALL_VOXELS else region == roi)
            self.vectors[target.name, roi] = side.vectors
            without = [label for label, count in zip(labels, side.n_voxels) if count < 2]
            if len(without) == len(labels):
                raise InputError(f"{target.name}: no participant has two voxels labelled {roi} in roi_label_general, so "
                                 "there is nothing to correlate. Leave this ROI out with --roi.")
            if without:
                report.notes.append(f"{target.name}, {roi}: {len(without)} participant(s) have fewer than two voxels here "
                                    f"and no RDM (NaN): {', '.join(without)}.")
            stimuli = target.stimuli
            neural[target.name, roi] = write_part(
                neural_part_path(folder, target.name, roi),
                {**neural_arrays(side, labels), "sounds": np.array(stimuli.ids)[self.order],
                 "categories": np.array(stimuli.categories)[self.order], "train": self.train},
                {"target": target.name, "roi": roi, "neural_digest": self.digests[target.name],
                 "responses_sha256": responses_sha256})


def _digest_of_target(target: Target) -> str:
    labels = np.array(target.metadata["roi_label_general"].fillna("").astype(str).tolist()) \
        if "roi_label_general" in target.metadata else np.array([""])
    participants = np.array(target.metadata["subj_idx"].astype(str).tolist()) \
        if "subj_idx" in target.metadata else np.array([""])
    return digest_of_arrays(target.responses, participants.view(np.uint32), labels.view(np.uint32))


# --- model side ---------------------------------------------------------------------------------------------------------

def _compute(paths: ProjectPaths, stimuli: Stimuli, plan: _NeuralPlan, report: RunReport, *, jobs: int | None,
             progress: bool) -> None:
    tasks: Tasks = {}
    remarks: dict[tuple[str, str], Remarks] = {}
    for unit in plan.to_do:
        tasks.setdefault(unit[:2], []).append((unit.target, unit.roi))
    jobs = min(usable_cores() if jobs is None else max(1, jobs), len(tasks))
    with tempfile.TemporaryDirectory(prefix="aud_dnn_rsa_", ignore_cleanup_errors=True) as folder, \
            tqdm(total=len(plan.to_do), desc="RSA", unit="result", disable=not progress) as bar:
        rows = lay_down(folder, plan.vectors)
        plan.vectors.clear()
        shared = Shared(paths, stimuli, folder, rows, plan.digests, plan.order, plan.train)
        run = run_here if jobs == 1 else partial(run_in_workers, jobs)
        for task, outcome in run(shared, tasks):
            if isinstance(outcome, InputError):
                report.failed[task] = str(outcome)
            else:
                remarks[task] = outcome
                report.computed += [Unit(*task, *pair) for pair in tasks[task]]
            bar.set_postfix_str(f"{task[0]} ({task[1]})", refresh=False)
            bar.update(len(tasks[task]))
    report.notes += notes_on({task: remarks[task] for task in tasks if task in remarks})


# --- one file per target and region -----------------------------------------------------------------------------------

def _dataset(folder: Path, target: str, roi: str, *, rebuild: bool) -> xr.Dataset:
    """The dataset of one target and region with *all* models that have results there, written if it changed."""
    found = {}
    for model in [*MODELS, *sorted(_own_models(folder, target, roi))]:
        for condition in CONDITIONS:
            path = score_part_path(folder, target, roi, model, condition)
            if path.is_file():
                found[model, condition] = path
    if not rebuild:
        with contextlib.suppress(InputError):  # missing or damaged: made again from the parts
            dataset = read_analysis(folder, target, roi)
            if _results_in(dataset) == set(found):
                return dataset
    neural = read_part(neural_part_path(folder, target, roi))
    parts = {key: part for key, path in found.items() if (part := read_part(path)) is not None
             and part.about["neural_digest"] == neural.about["neural_digest"]}
    kept = neural.arrays
    dataset = assemble(target, roi, neural, parts, sounds=kept["sounds"].tolist(), categories=kept["categories"].tolist(),
                       train=kept["train"], about={name: neural.about[name] for name in _ORIGIN if name in neural.about})
    write_analysis(analysis_path(folder, target, roi), dataset)
    return dataset


def _results_in(dataset: xr.Dataset) -> set[tuple[str, str]]:
    """The (model, condition)s that have results of their own."""
    available = dataset["available"].to_series()
    found = {(model, condition) for condition, model in available.index[available]}
    return found - {(BASELINE_MODEL, CONDITIONS[1])}


def _own_models(folder: Path, target: str, roi: str) -> set[str]:
    names = {path.stem.rsplit("_", 1)[0] for path in (folder / "parts" / target / roi).glob("*_*.npz")}
    return {name for name in names if name not in MODELS and not name.startswith(".")}

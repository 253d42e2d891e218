"""Run the whole RSA.

Plan what is missing, share the neural side among worker processes, leave every result on disk.

The unit of work that can be resumed is one (model, condition, target, region). The unit of
computation is one model in one condition: its RDMs serve both targets and all regions. The neural
side is computed once per target and region and shared with the workers.

What an earlier run left is taken over only while it is whole and the data that it was made from are
those that are there (:mod:`aud_dnn.runs.rsa_origins`); the rest is computed again, and the report
says why.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr

from aud_dnn.errors import DamagedFileError, InputError, MissingDataError, unknown_name
from aud_dnn.io.atomic import remove_abandoned_below
from aud_dnn.io.processes import SharedArrays
from aud_dnn.io.progress import progress_bar, tell_finished
from aud_dnn.methods.repetitions import mean_response
from aud_dnn.methods.rsa.analysis import Vectors, category_order, neural_side, participant_labels
from aud_dnn.methods.threads import available_cores, one_blas_thread
from aud_dnn.paths import ProjectPaths
from aud_dnn.resources import BASELINE_MODEL, MODELS, SOUND_CATEGORIES
from aud_dnn.runs.rsa_origins import ACTIVATIONS, Origins, neural_digests, same_origin
from aud_dnn.runs.rsa_workers import (
    Remarks,
    Shared,
    Tasks,
    flat,
    jobs_that_fit,
    memory_needed,
    notes_on,
    score_all,
)
from aud_dnn.splits import published_splits
from aud_dnn.store.rsa import (
    ALL_VOXELS,
    CONDITIONS,
    ROI_CHOICES,
    SCRIPT,
    Part,
    analysis_path,
    assemble,
    assembly_digest,
    canonical_models,
    neural_arrays,
    neural_part_path,
    read_analysis,
    read_model_part,
    read_neural_part,
    read_score_part,
    write_analysis,
    write_part,
)
from aud_dnn.targets.facts import VOXEL_TARGETS
from aud_dnn.utils import GET_ACTIVATIONS, Target, few, load_target, open_activations


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
        (model, condition) -> the error that its activations gave. Everything else was still
        computed.
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
        lines.append(
            f"missing (no activations on disk, left out): {_by_model(self.missing) or 'none'}"
        )
        lines += [
            f"FAILED: {model} ({condition}): {why}"
            for (model, condition), why in self.failed.items()
        ]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


def _by_model(pairs: Iterable[tuple[str, str]]) -> str:
    """``A, B (trained)``: a condition is named where a model has only one."""
    conditions: dict[str, list[str]] = {}
    for model, condition in pairs:
        conditions.setdefault(model, []).append(condition)
    return ", ".join(
        model if len(found) == len(CONDITIONS) else f"{model} ({found[0]})"
        for model, found in conditions.items()
    )


@dataclass(frozen=True)
class RSARun:
    """Outcome of :func:`run_rsa`: the report, and the dataset of every (target, region)."""

    report: RunReport
    datasets: dict[tuple[str, str], xr.Dataset]


def run_rsa(
    paths: ProjectPaths,
    *,
    targets: Sequence[str] = VOXEL_TARGETS,
    rois: Sequence[str] = ROI_CHOICES,
    conditions: Sequence[str] = CONDITIONS,
    models: Sequence[str] | None = None,
    overwrite: bool = False,
    jobs: int | None = None,
    progress: bool = True,
) -> RSARun:
    """Compute what is missing or no longer current, load what is, write one dataset per target and
    region.

    Results do not depend on what else is asked for, nor on ``jobs``: a run in pieces leaves the
    files of a run in one go. Worker processes need no main guard in the calling program.

    Parameters
    ----------
    paths : ProjectPaths
    targets, rois, conditions : sequences of str
        Among ``NH2015 B2021``; ``All Primary Lateral Posterior Anterior``; ``trained permuted``.
    models : sequence of str, optional
        Names of the registry or of a user's own models; the whole registry by default. Registered
        models without activations are named in the report and left out.
    overwrite : bool
        Compute again what is there.
    jobs : int, optional
        Worker processes; by default as many as :func:`aud_dnn.methods.threads.available_cores`.
    progress : bool
        Show a progress bar.

    Raises
    ------
    InputError
        An unknown name; data missing or damaged. Activations are opened and checked for names
        before anything is computed; numbers (NaN) are checked as they are read, and then only that
        model is left out (``report.failed``).
    WorkerEndedError
        Memory ran out; what was finished is kept.
    """
    for kind, given, known in (
        ("target", targets, VOXEL_TARGETS),
        ("ROI", rois, ROI_CHOICES),
        ("condition", conditions, CONDITIONS),
    ):
        for name in given:
            if name not in known:
                raise unknown_name(kind, name, known)
    for name in models or ():
        if Path(name).name != name:
            raise InputError(
                f"{name!r} is not the name of a model: give the name of its folder in "
                f"{paths.activations}."
            )
    plan = _Plan(
        paths,
        models,
        [
            Unit(*names)
            for names in itertools.product(
                canonical_models(MODELS if models is None else models),
                _chosen(CONDITIONS, conditions),
                _chosen(VOXEL_TARGETS, targets),
                _chosen(ROI_CHOICES, rois),
            )
            if names[:2] != (BASELINE_MODEL, CONDITIONS[1])
        ],
    )
    try:
        return _run(plan, overwrite=overwrite, jobs=jobs, progress=progress)
    except MemoryError as error:
        needed = memory_needed(paths, list(dict.fromkeys(unit[:2] for unit in plan.wanted)))
        raise InputError(
            f"There is not enough memory: the RSA needs about {needed / 1e6:.0f} MB for each "
            "process and for itself. What was finished is kept; run the same command again with "
            "more memory."
        ) from error
    finally:
        plan.origins.save()


def _chosen(known: Sequence[str], given: Sequence[str]) -> list[str]:
    return [name for name in known if name in given]


def _run(plan: _Plan, *, overwrite: bool, jobs: int | None, progress: bool) -> RSARun:
    report, folder = plan.report, plan.folder
    current = [] if overwrite else plan.current_units()
    to_do = [unit for unit in plan.wanted if unit not in current]
    report.missing = _check_activations(plan, to_do) if to_do else {}
    to_do = [unit for unit in to_do if unit[:2] not in report.missing]
    if to_do:
        with one_blas_thread():  # one way of computing, however many cores there are
            _compute(plan, _neural_sides(plan, to_do), to_do, jobs=jobs, progress=progress)
    report.computed.sort(key=plan.wanted.index)
    report.loaded = current
    if not (report.computed or report.loaded or report.failed):
        asked = ", ".join(plan.asked or ["any registered model"])
        raise MissingDataError(
            f"There is nothing to analyse: no activations of {asked} below "
            f"{plan.paths.activations}, and no earlier results in {folder}. {GET_ACTIVATIONS}"
        )
    done = {(unit.target, unit.roi) for unit in (*report.computed, *report.loaded)}
    pairs = [pair for pair in itertools.product(VOXEL_TARGETS, ROI_CHOICES) if pair in done]
    datasets = {pair: _dataset(plan, *pair) for pair in pairs}
    report.notes += plan.origin_notes()
    report.notes += _notes_on_activations(
        plan, dict.fromkeys(unit[:2] for unit in (*report.computed, *report.loaded))
    )
    remove_abandoned_below(folder)
    return RSARun(report, datasets)


def _notes_on_activations(plan: _Plan, pairs: Iterable[tuple[str, str]]) -> list[str]:
    """What is doubtful about the activations behind the results, each doubt once.

    Nothing where they are gone.
    """
    places: dict[str, list[str]] = {}
    with contextlib.suppress(InputError):
        stimuli = plan.origins.stimuli()
        for model, condition in pairs:
            with contextlib.suppress(InputError):
                for remark in open_activations(
                    plan.paths, model, stimuli, randnetw=condition == CONDITIONS[1]
                ).remarks:
                    places.setdefault(remark.what, []).append(
                        f"{model} ({condition}): {remark.where}"
                    )
    return [
        f"{what}. {len(where)} case(s): {'; '.join(where[:3])}{'; …' if len(where) > 3 else ''}"
        for what, where in places.items()
    ]


def _check_activations(plan: _Plan, units: Sequence[Unit]) -> dict[tuple[str, str], str]:
    """Open the activations of every model that has something to do.

    Those that are not there, with the reason.
    """
    missing = {}
    stimuli = plan.origins.stimuli()
    for model, condition in dict.fromkeys(unit[:2] for unit in units):
        try:
            open_activations(plan.paths, model, stimuli, randnetw=condition == CONDITIONS[1])
        except MissingDataError as error:
            missing[model, condition] = str(error)
    return missing


# --- what is current ----------------------------------------------------------------------------


class _Plan:
    """What is asked for, what an earlier run left of it, and whether that still holds."""

    def __init__(
        self, paths: ProjectPaths, asked: Sequence[str] | None, wanted: list[Unit]
    ) -> None:
        self.paths, self.asked, self.wanted, self.folder = paths, asked, wanted, paths.rsa_results
        self.report = RunReport()
        self.origins = Origins(paths)
        self._unreadable: dict[str, None] = {}
        self._changed: dict[tuple[str, ...], dict[str, None]] = {}  # what -> whose
        self._absent: dict[str, None] = {}

    def read(self, reader: Callable[..., Part | None], *key: str) -> Part | None:
        """A part, or None if there is none that can be used."""
        try:
            return reader(self.folder, *key)
        except DamagedFileError:
            self._unreadable[" ".join(key)] = None
            return None

    def neural(self, target: str, roi: str) -> Part | None:
        """The participants' side, if it is whole and current."""
        part = self.read(read_neural_part, target, roi)
        now = self.origins.neural(target)
        if now is None:
            self._absent[f"the data of {target}"] = None
            return part
        return None if part is None or self._differs(part, now, target) else part

    def scores(self, unit: Unit, neural: Part) -> Part | None:
        """The scores of a unit, if they are whole and current."""
        part = self.read(read_score_part, unit.target, unit.roi, unit.model, unit.condition)
        if part is None or self._differs(part, neural.made_from, unit.target):
            return None
        activations = self._activations(*unit[:2])
        differs = activations == "" or self._differs(
            part, {ACTIVATIONS: activations}, f"{unit.model} ({unit.condition})"
        )
        return None if differs else part

    def model_is_current(self, model: str, condition: str) -> bool:
        """Whether the model's own side is there, whole and current.

        True as well if it could not be made again.
        """
        part = self.read(read_model_part, model, condition)
        now = {
            ACTIVATIONS: self._activations(model, condition),
            "stimuli": self.origins.stimuli_digest(),
        }
        return now[ACTIVATIONS] is None or (
            part is not None and not same_origin(part.made_from, now)
        )

    def _activations(self, model: str, condition: str) -> str | None:
        """Digest of what is there now; None if nothing is there, and "" if it cannot be read."""
        try:
            found = self.origins.activations(model, condition)
        except InputError:
            return ""  # whoever computes it will say what is wrong
        if found is None:
            self._absent[f"the activations of {model} ({condition})"] = None
        return found

    def _differs(self, part: Part, now: Mapping[str, str | None], whose: str) -> bool:
        changed = same_origin(part.made_from, now)
        if changed:
            self._changed.setdefault(tuple(changed), {})[whose] = None
        return bool(changed)

    def current_units(self) -> list[Unit]:
        """The units asked for that need not be computed."""
        neural = {
            pair: self.neural(*pair)
            for pair in dict.fromkeys((unit.target, unit.roi) for unit in self.wanted)
        }
        scored = [
            unit
            for unit in self.wanted
            if (side := neural[unit.target, unit.roi]) is not None
            and self.scores(unit, side) is not None
        ]
        whole = {
            model: self.model_is_current(*model)
            for model in dict.fromkeys(unit[:2] for unit in scored)
        }
        current = [unit for unit in scored if whole[unit[:2]]]
        again = "and what was made from them is computed again"
        for changed, whose in self._changed.items():
            self.report.notes.append(
                f"The {' and '.join(changed)} of {few(list(whose))} have changed, {again}."
            )
        if self._unreadable:
            self.report.notes.append(
                f"{len(self._unreadable)} earlier result(s) were damaged, another's, or in the "
                "form of an earlier version, and are computed again: "
                f"{few(list(self._unreadable))}."
            )
        self._changed, self._unreadable = {}, {}
        return current

    def origin_notes(self) -> list[str]:
        """What is to be said about results of models that were not asked for."""
        notes = []
        if self._absent and self.report.loaded:
            notes.append(
                f"Not there any longer, so that it cannot be seen whether the results are current: "
                f"{few(list(self._absent))}."
            )
        for changed, whose in self._changed.items():
            models = " ".join(dict.fromkeys(name.split(" ")[0] for name in whose))
            notes.append(
                f"The {' and '.join(changed)} of {few(list(whose))} have changed. Earlier results "
                f"that were made from them are left out; make them again: {SCRIPT}"
                + (f" --models {models}" if ACTIVATIONS in changed else "")
            )
        if self._unreadable:
            notes.append(
                f"{len(self._unreadable)} earlier result(s) are damaged, another's, or in the form "
                f"of an earlier version, and are left out: {few(list(self._unreadable))}. Make "
                f"them again: {SCRIPT}"
            )
        return notes


# --- neural side --------------------------------------------------------------------------------


def _neural_sides(plan: _Plan, to_do: Sequence[Unit]) -> Shared:
    """Compute and write the neural side of everything to do."""
    stimuli = plan.origins.stimuli()
    try:
        order = category_order(stimuli.categories, list(SOUND_CATEGORIES))
    except ValueError as error:
        raise InputError(f"{plan.paths.stimulus_file}: {error}") from error
    train = published_splits(len(stimuli)).train
    vectors: dict[tuple[str, str], Vectors] = {}
    made_from = {}
    for name in dict.fromkeys(unit.target for unit in to_do):
        target = load_target(plan.paths, name, stimuli)
        made_from[name] = neural_digests(target)
        plan.origins.learn(target=name, neural=made_from[name])
        rois = _chosen(ROI_CHOICES, {unit.roi for unit in to_do if unit.target == name})
        vectors |= _neural_side(plan, target, made_from[name], rois, order, train)
    return Shared(plan.paths, stimuli, list(vectors), flat(vectors), made_from, order, train)


def _neural_side(
    plan: _Plan,
    target: Target,
    made_from: dict[str, str],
    rois: Sequence[str],
    order: np.ndarray,
    train: np.ndarray,
) -> dict[tuple[str, str], Vectors]:
    responses = mean_response(target.responses)[order]
    participant = target.metadata["subj_idx"].to_numpy()
    subjects = np.unique(participant)
    labels = participant_labels(subjects)
    region = target.metadata["roi_label_general"].to_numpy()
    vectors = {}
    for roi in rois:
        side = neural_side(
            responses,
            participant,
            subjects,
            train,
            in_region=None if roi == ALL_VOXELS else region == roi,
        )
        without = [label for label, count in zip(labels, side.n_voxels) if count < 2]
        if len(without) == len(labels):
            raise InputError(
                f"{target.name}: no participant has two voxels labelled {roi} in "
                "roi_label_general, so there is nothing to correlate. Leave this ROI out with "
                "--roi."
            )
        if without:
            plan.report.notes.append(
                f"{target.name}, {roi}: {len(without)} participant(s) have fewer than two voxels "
                f"here and no RDM (NaN): {', '.join(without)}."
            )
        vectors[target.name, roi] = side.vectors
        write_part(
            neural_part_path(plan.folder, target.name, roi),
            {
                **neural_arrays(side, labels),
                "sounds": np.array(target.stimuli.ids)[order],
                "categories": np.array(target.stimuli.categories)[order],
                "train": train,
            },
            {"target": target.name, "roi": roi, "made_from": made_from},
        )
    return vectors


# --- model side ---------------------------------------------------------------------------------


def _compute(
    plan: _Plan, shared: Shared, to_do: Sequence[Unit], *, jobs: int | None, progress: bool
) -> None:
    tasks: Tasks = {}
    for unit in to_do:
        tasks.setdefault(unit[:2], []).append((unit.target, unit.roi))
    wanted = min(available_cores() if jobs is None else max(1, jobs), len(tasks))
    jobs = jobs_that_fit(plan.paths, list(tasks), wanted)
    if jobs < wanted:
        plan.report.notes.append(f"Memory has room for {jobs} of {wanted} processes only.")
    if jobs > 1:
        shared = dataclasses.replace(shared, arrays=SharedArrays(shared.arrays))
    remarks: dict[tuple[str, str], Remarks] = {}
    n_done = 0
    with progress_bar(len(to_do), "result", wanted=progress, desc="RSA") as bar:
        for task, outcome in score_all(shared, tasks, jobs):
            if isinstance(outcome, InputError):
                plan.report.failed[task] = str(outcome)
                plan.origins.learn(model=task, activations="")
            else:
                remarks[task] = outcome
                plan.origins.learn(model=task, activations=outcome.activations)
                plan.report.computed += [Unit(*task, *pair) for pair in tasks[task]]
            bar.set_postfix_str(f"{task[0]} ({task[1]})", refresh=False)
            bar.update(len(tasks[task]))
            n_done += len(tasks[task])
            if progress:
                tell_finished("RSA: %s (%s), %d of %d results", *task, n_done, len(to_do))
    plan.report.notes += notes_on({task: remarks[task] for task in tasks if task in remarks})


# --- one file per target and region -------------------------------------------------------------


def _dataset(plan: _Plan, target: str, roi: str) -> xr.Dataset:
    """The dataset of one target and region with *all* models that have current results there.

    Written if it changed.
    """
    neural = plan.neural(target, roi)
    if neural is None:
        raise InputError(
            f"{neural_part_path(plan.folder, target, roi)} was changed while this run went on, by "
            "another run perhaps. Run the same command again."
        )
    found = {}
    for model, condition in itertools.product(
        canonical_models(_models_with_parts(plan.folder, target, roi)), CONDITIONS
    ):
        part = plan.scores(Unit(model, condition, target, roi), neural)
        if part is not None:
            found[model, condition] = part
    with contextlib.suppress(InputError):  # missing or damaged: made again from the parts
        dataset = read_analysis(plan.folder, target, roi)
        if dataset.attrs.get("assembled_from") == assembly_digest(neural, found):
            return dataset
    kept = neural.arrays
    write_analysis(
        analysis_path(plan.folder, target, roi),
        assemble(
            target,
            roi,
            neural,
            found,
            sounds=kept["sounds"].tolist(),
            categories=kept["categories"].tolist(),
            train=kept["train"],
        ),
    )
    return read_analysis(plan.folder, target, roi)


def _models_with_parts(folder: Path, target: str, roi: str) -> set[str]:
    endings = tuple(f"_{condition}.npz" for condition in CONDITIONS)
    return {
        path.stem.rsplit("_", 1)[0]
        for path in (folder / "parts" / target / roi).glob("[!.]*")
        if path.name.endswith(endings)
    }

"""Run a comparison (RSA, CKA) of models with targets: plan, compute what is missing, report.

The unit of work that can be resumed is one (model, condition, target, region). The unit of
computation is one model in one condition: its side serves all targets of the same sounds, and all
regions. The neural side is computed once per target and region and shared with the workers.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from aud_dnn.conditions import CONDITIONS, Condition
from aud_dnn.errors import InputError, MissingDataError
from aud_dnn.io.atomic import remove_abandoned_below
from aud_dnn.io.progress import progress_bar, tell_finished
from aud_dnn.io.shared_arrays import SharedArrays
from aud_dnn.methods.comparing.sides import Vectors, neural_side
from aud_dnn.methods.method import Comparison, find_method
from aud_dnn.methods.threads import available_cores, one_blas_thread
from aud_dnn.paths import ProjectPaths
from aud_dnn.runs.comparison_origins import neural_digests
from aud_dnn.runs.comparison_plan import ComparisonPlan, OnDisk, plan_comparison
from aud_dnn.runs.comparison_report import ComparisonRun, RunReport, Unit
from aud_dnn.runs.comparison_targets import ComparisonTarget, comparison_target, in_order
from aud_dnn.runs.comparison_workers import (
    Remarks,
    Shared,
    Sounds,
    Tasks,
    flat,
    jobs_that_fit,
    memory_needed,
    notes_on,
    score_all,
)
from aud_dnn.runs.own_targets import OwnTarget, known_stimuli
from aud_dnn.store.comparison_parts import neural_arrays, neural_part_path, write_part
from aud_dnn.store.comparisons import (
    analysis_path,
    assemble,
    assembly_digest,
    canonical_models,
    read_analysis,
    write_analysis,
)
from aud_dnn.targets.facts import TARGETS, VOXEL_TARGETS
from aud_dnn.utils import GET_ACTIVATIONS, load_target


def run_comparison(
    paths: ProjectPaths,
    method_name: str = "RSA",
    *,
    targets: Sequence[str] = VOXEL_TARGETS,
    own_targets: Sequence[OwnTarget] = (),
    rois: Sequence[str] | None = None,
    conditions: Sequence[str] = tuple(Condition),
    models: Sequence[str] | None = None,
    overwrite: bool = False,
    jobs: int | None = None,
    progress: bool = True,
) -> ComparisonRun:
    """Compute what is missing or no longer current, load what is.

    One dataset is written per target and region. Results do not depend on what else is asked for,
    nor on ``jobs``: a run in pieces leaves the files of a run in one go. Worker processes need no
    main guard in the calling program.

    Parameters
    ----------
    paths : ProjectPaths
    method_name : str
        A method of comparison, or a file with one (:func:`aud_dnn.methods.method.find_method`).
    targets, conditions : sequences of str
        Among the published voxel data sets; ``trained permuted``.
    own_targets : sequence of OwnTarget
        Targets of one's own, beside the published ones.
    rois : sequence of str, optional
        Regions; by default all voxels and every region of each target.
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
    method = find_method(method_name, Comparison)
    jobs = available_cores() if jobs is None else max(1, jobs)
    plan = plan_comparison(
        paths,
        method,
        targets=targets,
        own_targets=own_targets,
        rois=rois,
        conditions=conditions,
        models=models,
        overwrite=overwrite,
        jobs=jobs,
    )
    try:
        return execute(paths, plan, method_name, own_targets, jobs=jobs, progress=progress)
    except MemoryError as error:
        needed = memory_needed(paths, list(dict.fromkeys(unit[:2] for unit in plan.wanted)))
        raise InputError(
            f"There is not enough memory: the {method.name} needs about {needed / 1e6:.0f} MB for "
            "each process and for itself. What was finished is kept; run the same command again "
            "with more memory."
        ) from error
    finally:
        plan.on_disk.origins.save()


def execute(
    paths: ProjectPaths,
    plan: ComparisonPlan,
    method_name: str,
    own_targets: Sequence[OwnTarget] = (),
    *,
    jobs: int,
    progress: bool,
) -> ComparisonRun:
    """Do what a plan says (:func:`run_comparison`)."""
    report = RunReport(missing=plan.missing, loaded=list(plan.kept), notes=list(plan.reasons))
    if plan.to_do:
        with one_blas_thread():  # one way of computing, however many cores there are
            shared = _neural_sides(paths, plan, method_name, own_targets, report)
            _compute(paths, plan, shared, report, jobs=jobs, progress=progress)
    report.computed.sort(key=plan.wanted.index)
    if not (report.computed or report.loaded or report.failed):
        asked = ", ".join(dict.fromkeys(unit.model for unit in plan.wanted)) or "any model"
        raise MissingDataError(
            f"There is nothing to analyse: no activations of {asked} below {paths.activations}, "
            f"and no earlier results in {plan.on_disk.folder}. {GET_ACTIVATIONS}"
        )
    done = {(unit.target, unit.roi) for unit in (*report.computed, *report.loaded)}
    pairs = dict.fromkeys((unit.target, unit.roi) for unit in plan.wanted)
    datasets = {pair: _dataset(plan, *pair) for pair in pairs if pair in done}
    report.notes += plan.on_disk.left_out(something_loaded=bool(report.loaded))
    report.notes += _notes_on_activations(plan.on_disk, (*report.computed, *report.loaded))
    remove_abandoned_below(plan.on_disk.folder)
    return ComparisonRun(report, datasets)


def _notes_on_activations(on_disk: OnDisk, units: Iterable[Unit]) -> list[str]:
    """What is doubtful about the activations behind the results, each doubt once.

    Nothing where they are gone.
    """
    places: dict[str, dict[str, None]] = {}
    for model, condition, target in dict.fromkeys(unit[:3] for unit in units):
        with contextlib.suppress(InputError):
            for remark in on_disk.origins.open(model, condition, target).remarks:
                where = f"{model} ({condition}): {remark.where}"
                places.setdefault(remark.what, {})[where] = None
    return [
        f"{what}. {len(where)} case(s): {'; '.join(list(where)[:3])}{'; …' * (len(where) > 3)}"
        for what, where in places.items()
    ]


# --- neural side --------------------------------------------------------------------------------


def _neural_sides(
    paths: ProjectPaths,
    plan: ComparisonPlan,
    method_name: str,
    own_targets: Sequence[OwnTarget],
    report: RunReport,
) -> Shared:
    """Compute and write the neural side of everything to do."""
    vectors: dict[tuple[str, str], Vectors] = {}
    made_from, sounds = {}, {}
    names = list(dict.fromkeys(unit.target for unit in plan.to_do))
    published = known_stimuli(paths, needed=any(name in TARGETS for name in names))
    own = {item.target.name: item for item in own_targets}
    for name in names:
        if name in own:
            target, digests = own[name].target, own[name].digests
        else:
            target = load_target(paths, name, published)
            digests = neural_digests(target)
            plan.on_disk.origins.learn_neural(name, digests)
        try:
            ready = comparison_target(target, digests, published)
        except ValueError as error:
            raise InputError(f"{paths.stimulus_file}: {error}") from error
        made_from[name] = digests
        sounds[name] = Sounds(ready.stimuli, ready.order, ready.splits)
        rois = dict.fromkeys(unit.roi for unit in plan.to_do if unit.target == name)
        vectors |= {(name, roi): _neural_side(plan, ready, roi, report) for roi in rois}
    return Shared(
        paths,
        plan.on_disk.folder,
        method_name,
        published,
        list(vectors),
        flat(vectors),
        made_from,
        sounds,
    )


def _neural_side(
    plan: ComparisonPlan, target: ComparisonTarget, roi: str, report: RunReport
) -> Vectors:
    try:
        side = neural_side(
            target.responses,
            target.participant,
            np.unique(target.participant),
            target.splits,
            plan.method,
            in_region=target.regions[roi],
        )
    except ValueError as error:
        raise InputError(f"{target.name}: {error}") from error
    without = [label for label, count in zip(target.labels, side.n_voxels) if count < 2]
    if len(without) == len(target.labels):
        raise InputError(
            f"{target.name}: no participant has two voxels labelled {roi} in "
            "roi_label_general, so there is nothing to correlate. Leave this ROI out with "
            "--roi."
        )
    if without:
        report.notes.append(
            f"{target.name}, {roi}: {len(without)} participant(s) have fewer than two voxels "
            f"here and no {plan.method.name} (NaN): {', '.join(without)}."
        )
    train, test = target.splits.train, target.splits.test
    write_part(
        neural_part_path(plan.on_disk.folder, target.name, roi),
        {
            **neural_arrays(side, target.labels),
            "sounds": in_order(target.stimuli.ids, target.order),
            "categories": in_order(target.categories, target.order),
            "train": train,
            **({} if np.array_equal(test, ~train) else {"test": test}),
        },
        {"target": target.name, "roi": roi, "made_from": dict(target.made_from)},
    )
    return side.vectors


# --- model side ---------------------------------------------------------------------------------


def _compute(
    paths: ProjectPaths,
    plan: ComparisonPlan,
    shared: Shared,
    report: RunReport,
    *,
    jobs: int,
    progress: bool,
) -> None:
    tasks: Tasks = {}
    for unit in plan.to_do:
        tasks.setdefault(unit[:2], []).append((unit.target, unit.roi))
    wanted = min(jobs, len(tasks))
    jobs = jobs_that_fit(paths, list(tasks), wanted)
    if jobs < wanted:
        report.notes.append(f"Memory has room for {jobs} of {wanted} processes only.")
    if jobs > 1:
        shared = dataclasses.replace(shared, arrays=SharedArrays(shared.arrays))
    origins = plan.on_disk.origins
    remarks: dict[tuple[str, str], Remarks] = {}
    n_done, n_all = 0, len(plan.to_do)
    with progress_bar(n_all, "result", wanted=progress, desc=plan.method.name) as bar:
        for task, outcome in score_all(shared, tasks, jobs):
            if isinstance(outcome, InputError):
                report.failed[task] = str(outcome)
                for target in shared.sounds:
                    origins.learn_activations(*task, target, "")
            else:
                remarks[task] = outcome
                for target, digest in outcome.activations.items():
                    origins.learn_activations(*task, target, digest)
                report.computed += [Unit(*task, *pair) for pair in tasks[task]]
            bar.set_postfix_str(f"{task[0]} ({task[1]})", refresh=False)
            bar.update(len(tasks[task]))
            n_done += len(tasks[task])
            if progress:
                name = plan.method.name
                tell_finished("%s: %s (%s), %d of %d results", name, *task, n_done, n_all)
    report.notes += notes_on({task: remarks[task] for task in tasks if task in remarks})


# --- one file per target and region -------------------------------------------------------------


def _dataset(plan: ComparisonPlan, target: str, roi: str) -> xr.Dataset:
    """The dataset of one target and region with *all* models that have current results there.

    Written if it changed.
    """
    on_disk, method = plan.on_disk, plan.method
    folder = on_disk.folder
    neural = on_disk.neural(target, roi)
    if neural is None:
        raise InputError(
            f"{neural_part_path(folder, target, roi)} was changed while this run went on, by "
            "another run perhaps. Run the same command again."
        )
    found = {}
    for model, condition in itertools.product(
        canonical_models(_models_with_parts(folder, target, roi)), CONDITIONS
    ):
        part = on_disk.scores(Unit(model, condition, target, roi), neural)
        if part is not None:
            found[model, condition] = part
    with contextlib.suppress(InputError):  # missing or damaged: made again from the parts
        dataset = read_analysis(folder, target, roi, method)
        if dataset.attrs.get("assembled_from") == assembly_digest(neural, found):
            return dataset
    kept = neural.arrays
    write_analysis(
        analysis_path(folder, target, roi, method),
        assemble(
            target,
            roi,
            neural,
            found,
            sounds=kept["sounds"].tolist(),
            categories=kept["categories"].tolist(),
            train=kept["train"],
            test=kept.get("test"),
            method=method,
        ),
    )
    return read_analysis(folder, target, roi, method)


def _models_with_parts(folder: Path, target: str, roi: str) -> set[str]:
    endings = tuple(f"_{condition}.npz" for condition in CONDITIONS)
    return {
        path.stem.rsplit("_", 1)[0]
        for path in (folder / "parts" / target / roi).glob("[!.]*")
        if path.name.endswith(endings)
    }

"""Fit layers of a model to targets: plan, read and check, fit, write each result whole."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aud_dnn import __version__
from aud_dnn.errors import InputError, describe_os_error, few
from aud_dnn.io.atomic import AlreadyFinishedError, atomic_folder, remove_abandoned_below
from aud_dnn.io.progress import progress_bar, tell_finished
from aud_dnn.methods.ridge.leave_one_out import Design, SplitRidge, alpha_grid, reduce_features
from aud_dnn.methods.ridge.scores import LayerScores
from aud_dnn.methods.ridge.scoring import decompose_splits, score_responses
from aud_dnn.paths import ProjectPaths
from aud_dnn.runs.fit_plan import (
    FitOptions,
    FitPlan,
    Work,
    bytes_needed,
    estimate_fit,
    plan_fit,
    require_disk_space,
)
from aud_dnn.runs.fit_remarks import UsualRemark, layer_remarks, score_remarks
from aud_dnn.runs.fit_report import (
    Outcome,
    log_file,
    medians,
    outcome_on_disk,
    peak_memory_mb,
    provenance_of,
)
from aud_dnn.runs.own_targets import with_equal_splits
from aud_dnn.store.regression import RegressionResult, read_result
from aud_dnn.store.regression_writing import write_result
from aud_dnn.store.schema import PREDICTIONS_FILE, PUBLISHED_PREDICTIONS, PUBLISHED_SCORES
from aud_dnn.store.sources import Sources
from aud_dnn.utils import Activations, Remark, Target

log = logging.getLogger("aud_dnn")

PLOTS_FOLDER = "plots"


@dataclass(frozen=True)
class _Layer:
    """A layer, read, checked and reduced; the activations themselves are not kept."""

    name: str
    design: Design
    provenance: dict[str, Any]
    remarks: tuple[Remark, ...]


def dry_run(paths: ProjectPaths, options: FitOptions) -> str:
    """What :func:`fit_model` would do: what is fitted, kept or stale; time, memory and disk.

    Nothing is written.
    """
    plan = plan_fit(paths, options, tidy=False)
    targets, _ = _read_targets(plan, {})
    return plan.summary(targets, estimate_fit(paths, plan, targets))


Read = dict[str, tuple[Target, dict[str, str]]]
"""Published targets that were read, and the digests of what they were made from."""


def fit_model(
    paths: ProjectPaths, options: FitOptions, *, progress: bool = True, read: Read | None = None
) -> list[Outcome]:
    """Fit every layer to every target and write the results.

    All input is read and checked before the first fit. A result that is already whole is kept
    unless ``options.overwrite``; a layer is decomposed once for all targets.

    Parameters
    ----------
    paths : ProjectPaths
    options : FitOptions
    progress : bool
        Show a progress bar (only where stderr is a terminal).
    read : dict, optional
        Targets of earlier calls are taken from here, those of this call added.

    Returns
    -------
    list of Outcome
        Target after target, layers in the order asked for.

    Raises
    ------
    InputError
        Anything wrong with the input, or a result that is there was made from other input; nothing
        has been fitted or written then.
    """
    plan = plan_fit(paths, options)
    _report_lacking(list(plan.kept.values()), options)
    plan.require_current()
    targets, made_from = _read_targets(plan, {} if read is None else read)
    layers = _read_layers(plan, targets)
    require_disk_space(paths, bytes_needed(plan, targets))

    outcomes: dict[Work, Outcome] = {}
    with progress_bar(
        sum(targets[target].n_voxels for target, _ in plan.to_fit),
        "voxel",
        unit_scale=True,
        wanted=progress and bool(plan.to_fit),
    ) as bar:
        for (_, sounds), layer in layers.items():
            started = time.perf_counter()
            todo = [
                name
                for name in targets
                if (name, layer.name) in plan.to_fit and plan.opened[name].stimulus_ids == sounds
            ]
            for names in with_equal_splits(todo, targets):
                splits = targets[names[0]].splits
                decomposed = decompose_splits(layer.design, splits, alpha_grid(options.alphalimit))
                for name in names:
                    bar.set_postfix_str(f"{layer.name} {name}")
                    outcomes[name, layer.name] = _fit_one(
                        plan.to_fit[name, layer.name],
                        decomposed,
                        layer,
                        targets[name],
                        options,
                        _provenance(plan, layer, targets[name], made_from[name]),
                        started,
                        bar.update,
                    )
                    started = time.perf_counter()
    for work, result in plan.kept.items():
        remarks = plan.opened[work[0]].remarks
        outcomes[work] = outcome_on_disk(*work, result, "already there", remarks)
    plan.memo.save()
    # statements lie beside the activations
    for folder in (paths.results / options.model, paths.model_activations(options.model)):
        remove_abandoned_below(folder)
    return [outcomes[work] for work in plan.wanted]


def _report_lacking(kept: Sequence[RegressionResult], options: FitOptions) -> None:
    """Say so where a result that is kept lacks what this call asks for."""
    for asked, what, names in (
        (options.save_preds, "predictions", (PREDICTIONS_FILE, PUBLISHED_PREDICTIONS)),
        (options.legacy_pickles, "the published pickles", (PUBLISHED_SCORES,)),
        (options.save_plot, "pictures", (PLOTS_FOLDER,)),
    ):
        lacking = [
            result.folder.name
            for result in kept
            if asked and not any((result.folder / name).exists() for name in names)
        ]
        if lacking:
            log.warning(
                "%d result(s) are already there but lack %s; fit them again with --overwrite to "
                "get those: %s",
                len(lacking),
                what,
                few(lacking),
            )


# --- reading ------------------------------------------------------------------------------------


def _read_targets(plan: FitPlan, read: Read) -> tuple[dict[str, Target], dict[str, dict[str, str]]]:
    """The targets that something is fitted to, and the digests of what they were made from."""
    targets, made_from = {}, {}
    needed = {target for target, _ in plan.to_fit}
    for name in plan.options.targets:
        if name in needed and name not in read:
            target, responses, metadata = plan.sources.target(name, values=True)
            digests = {"responses": responses, "metadata": metadata}
            read[name] = target, {**digests, "stimuli": plan.sources.stimuli}
        if name in needed:
            targets[name], made_from[name] = read[name]
    for name, item in plan.own.items():
        if name in needed:
            targets[name], made_from[name] = item.target, item.digests
    return targets, made_from


def _read_layers(
    plan: FitPlan, targets: dict[str, Target]
) -> dict[tuple[str, tuple[str, ...]], _Layer]:
    """Every layer that is fitted, for every set of sounds."""
    return {
        (layer, activations.stimulus_ids): _read_layer(activations, layer, plan.sources)
        for activations in dict.fromkeys(plan.opened.values())
        for layer in activations.layers
        if any((name, layer) in plan.to_fit for name in targets if plan.opened[name] is activations)
    }


def _read_layer(activations: Activations, name: str, sources: Sources) -> _Layer:
    features, digest = sources.layer(activations, name, values=True)
    design = reduce_features(features)
    provenance = {
        "shape": features.shape,
        "dtype": str(features.dtype),
        "sha256": digest,
        **activations.provenance,
    }
    return _Layer(
        name,
        design,
        provenance,
        (*activations.remarks, *layer_remarks(activations, name, features, design)),
    )


# --- fitting ------------------------------------------------------------------------------------


def _provenance(
    plan: FitPlan, layer: _Layer, target: Target, digests: dict[str, str]
) -> dict[str, Any]:
    """Everything that a result records of how it was made, but for what is known afterwards."""
    own = plan.own.get(target.name)
    return {
        **provenance_of(plan.options, layer.name, target.name),
        "activations": layer.provenance,
        "responses": {"shape": target.responses.shape, "sha256": digests["responses"]},
        "metadata": {"sha256": digests["metadata"]},
        "stimuli": {"sha256": digests["stimuli"]},
        **({} if own is None else {"target": own.record()}),
    }


def _fit_one(
    folder: Path,
    decomposed: Sequence[SplitRidge],
    layer: _Layer,
    target: Target,
    options: FitOptions,
    provenance: dict[str, Any],
    started: float,
    advance: Any,
) -> Outcome:
    splits = target.splits
    try:
        with atomic_folder(folder, overwrite=options.overwrite) as staging, log_file(staging):
            log.info(
                "%s %s randnetw=%s, layer %s: %d units, %s: %d columns",
                __version__,
                options.model,
                options.randnetw,
                layer.name,
                layer.design.n_units,
                target.name,
                target.n_voxels,
            )
            scores, predictions = score_responses(
                decomposed,
                target.responses,
                splits,
                keep_predictions=options.save_preds,
                progress=advance,
            )
            remarks = (
                *layer.remarks,
                *target.remarks,
                *score_remarks(scores, target, decomposed[0].alphas),
            )
            for remark in remarks:
                log.log(
                    logging.INFO if isinstance(remark, UsualRemark) else logging.WARNING,
                    "%s / %s: %s",
                    layer.name,
                    target.name,
                    remark,
                    extra={"remark": True},
                )
            provenance = {
                **provenance,
                "remarks": [str(remark) for remark in remarks],
                "split_seed": splits.seed,
                "seconds": round(time.perf_counter() - started, 3),
                "peak_memory_mb": peak_memory_mb(),
            }
            write_result(
                staging,
                scores,
                predictions,
                target,
                splits,
                model=options.model,
                layer=layer.name,
                randnetw=options.randnetw,
                provenance=provenance,
                legacy_pickles=options.legacy_pickles,
            )
            median_r2, median_r2_c = medians(
                np.median(scores.r2_test, axis=1),
                np.median(scores.r2_test_c, axis=1),
                target.has_repetitions,
            )
            log.info("median R2 %.4f; %.1f s", median_r2, provenance["seconds"])
        tell_finished(
            "%s / %s: median R2 %.3f, %.1f s",
            layer.name,
            target.name,
            median_r2,
            provenance["seconds"],
        )
        if options.save_plot:
            _save_pictures(folder, decomposed, target, scores, f"{options.model} {layer.name}")
    except AlreadyFinishedError:
        log.warning(
            "%s was finished by another run in the meantime; its result is kept", folder.name
        )
        return outcome_on_disk(
            target.name, layer.name, read_result(folder), "finished by another run"
        )
    except InputError:
        raise
    except OSError as error:
        raise InputError(describe_os_error(error, "written", folder)) from error
    return Outcome(
        layer.name,
        target.name,
        "fitted",
        folder,
        median_r2,
        median_r2_c,
        tuple(remark for remark in remarks if not isinstance(remark, UsualRemark)),
    )


def _save_pictures(
    folder: Path, decomposed: Sequence[SplitRidge], target: Target, scores: LayerScores, title: str
) -> None:
    """Diagnostic pictures of a result on disk: whatever happens to them, the result stays."""
    try:
        from aud_dnn.analyze.plotting.diagnostics import save_diagnostics

        with atomic_folder(folder / PLOTS_FOLDER, overwrite=True) as staging:
            save_diagnostics(staging, scores, decomposed, target, target.splits, title)
    except Exception as error:  # of whatever kind
        log.warning(
            "%s: the result is whole, but its pictures could not be drawn: %s: %s",
            folder.name,
            type(error).__name__,
            error,
        )

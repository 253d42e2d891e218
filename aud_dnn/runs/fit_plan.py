"""What a run of the regression is asked for, what is there and what is stale, before any fit."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aud_dnn.errors import InputError, describe_os_error, few
from aud_dnn.io.atomic import remove_abandoned, restore_replaced
from aud_dnn.io.digests import DigestMemo
from aud_dnn.methods.ridge.leave_one_out import LARGEST_ALPHALIMIT
from aud_dnn.paths import ProjectPaths
from aud_dnn.runs.estimates import Estimate, fit_estimate
from aud_dnn.runs.own_targets import OwnTarget, known_stimuli, open_for_targets
from aud_dnn.store.regression import RegressionResult, read_result
from aud_dnn.store.regression_names import is_complete, parse_folder, result_folder
from aud_dnn.store.schema import STORED_BYTES
from aud_dnn.store.sources import Sources, describe_changes, is_published
from aud_dnn.utils import Activations, Target

_PER_RESULT = 130_000  # bytes that files of netCDF and Parquet have of their own
_LONGEST_FOLDER_NAME = 255  # bytes, of the usual file systems

Work = tuple[str, str]
"""(target, layer)"""


@dataclass(frozen=True)
class FitOptions:
    """What one call of the regression is to do. Defaults are those of the published script."""

    model: str
    layers: tuple[str, ...] | None  # None: all
    targets: tuple[str, ...]  # published ones
    randnetw: bool = False
    alphalimit: int = 50
    save_plot: bool = False
    save_preds: bool = True
    legacy_pickles: bool = False
    overwrite: bool = False
    own_targets: tuple[OwnTarget, ...] = ()


@dataclass(frozen=True)
class FitPlan:
    """What a run is to do; nothing has been fitted or written yet.

    Attributes
    ----------
    options : FitOptions
    opened : mapping from target to its activations
    to_fit : dict
        (target, layer) -> where the result goes.
    kept : dict
        (target, layer) -> the result that is there already.
    stale : dict
        (target, layer) of those kept that were made from something else than what is there now ->
        what has changed.
    own : mapping from name to OwnTarget
    sources : Sources
    memo : DigestMemo
    """

    options: FitOptions
    opened: Mapping[str, Activations]
    to_fit: dict[Work, Path]
    kept: dict[Work, RegressionResult]
    stale: dict[Work, str]
    own: Mapping[str, OwnTarget]
    sources: Sources
    memo: DigestMemo

    @property
    def wanted(self) -> list[Work]:
        """Everything asked for, target after target, layers in the order asked for."""
        return [
            (target, layer)
            for target, activations in self.opened.items()
            for layer in activations.layers
        ]

    def require_current(self) -> None:
        """Refuse to keep what was made from other numbers than those that are there now.

        Raises
        ------
        InputError
            Something is stale.
        """
        if not self.stale:
            return
        entries = [f"{target} / {layer} ({why})" for (target, layer), why in self.stale.items()]
        older = (
            " Earlier versions did not record all of it."
            if any("not recorded" in entry for entry in entries)
            else ""
        )
        raise InputError(
            f"{len(entries)} result(s) are there but were not made from what is there now: "
            f"{few(entries)}.{older} Fit them again with --overwrite, or give the new activations "
            "a model name of their own."
        )

    def summary(self, targets: Mapping[str, Target], estimate: Estimate) -> str:
        """What ``--dry_run`` prints.

        Parameters
        ----------
        targets : mapping
            Those that something is to be fitted to.
        estimate : Estimate
        """
        lines = [f"{self.options.model}, randnetw={self.options.randnetw}"]
        current = [work for work in self.kept if work not in self.stale]
        for title, works in (
            ("to fit", list(self.to_fit)),
            ("kept", current),
            ("stale, refused without --overwrite", list(self.stale)),
        ):
            for target in dict.fromkeys(target for target, _ in works):
                layers = [layer for name, layer in works if name == target]
                size = f" ({targets[target].n_voxels:,} columns)" if target in targets else ""
                lines.append(f"  {title}: {target}{size}: {', '.join(layers)}")
        lines += [f"  {target} / {layer}: {why}" for (target, layer), why in self.stale.items()]
        lines.append(f"  {estimate}" if self.to_fit else "  nothing to fit")
        return "\n".join(lines)


def plan_fit(paths: ProjectPaths, options: FitOptions, *, tidy: bool = True) -> FitPlan:
    """See what is there, what is current and what is to be fitted.

    Parameters
    ----------
    paths : ProjectPaths
    options : FitOptions
    tidy : bool
        First put back results whose replacement was interrupted, and remove what a killed run left.

    Raises
    ------
    InputError
        Anything wrong with names, activations or the results that are there.
    """
    if not 1 <= options.alphalimit <= LARGEST_ALPHALIMIT:
        raise InputError(
            f"--alphalimit must be between 1 and {LARGEST_ALPHALIMIT} (alphas from 10^(limit-1) to "
            f"10^-limit); got {options.alphalimit}."
        )
    own = {item.target.name: item for item in options.own_targets}
    stimuli = known_stimuli(paths, needed=bool(options.targets))
    sounds = dict.fromkeys(options.targets, stimuli) | {
        name: item.target.stimuli for name, item in own.items()
    }
    opened = open_for_targets(
        paths, options.model, sounds, stimuli, randnetw=options.randnetw, layers=options.layers
    )
    wanted = {
        (target, layer): result_folder(
            paths, options.model, layer, target, options.randnetw, options.alphalimit
        )
        for target, activations in opened.items()
        for layer in activations.layers
    }
    for (_, layer), folder in wanted.items():
        if len(os.fsencode(folder.name)) > _LONGEST_FOLDER_NAME:
            raise InputError(
                f"The name of layer {layer} is too long for a result folder ({folder.name}). Store "
                "the layer under a shorter name."
            )
        if tidy:
            restore_replaced(folder)
            remove_abandoned(folder)
    to_fit = {
        work: folder
        for work, folder in wanted.items()
        if options.overwrite or not is_complete(folder)
    }
    for folder in to_fit.values():
        if folder.exists() and not is_complete(folder) and not options.overwrite:
            raise InputError(
                f"{folder} exists but holds no whole result. Move it away, or use --overwrite."
            )
    memo = DigestMemo(paths.results)
    kept = {
        work: read_result(folder, memo=memo)
        for work, folder in wanted.items()
        if work not in to_fit
    }
    for result in kept.values():
        result.files.require_predictions_unchanged()
    sources = Sources(paths, stimuli, memo, {name: item.digests for name, item in own.items()})
    stale = {}
    for (target, layer), result in kept.items():
        if not is_published(result.provenance):
            now = sources.now(parse_folder(result.folder), opened[target])
            if changes := describe_changes(result.provenance, now):
                stale[target, layer] = changes
    return FitPlan(options, opened, to_fit, kept, stale, own, sources, memo)


def estimate_fit(paths: ProjectPaths, plan: FitPlan, targets: Mapping[str, Target]) -> Estimate:
    """Time, memory and disk of what is to be fitted."""
    return fit_estimate(
        paths,
        plan.options.model,
        randnetw=plan.options.randnetw,
        layers=list(dict.fromkeys(layer for _, layer in plan.to_fit)),
        columns=sum(targets[name].n_voxels for name, _ in plan.to_fit),
        responses=sum(target.responses.nbytes for target in targets.values()),
        disk=bytes_needed(plan, targets),
    )


def bytes_needed(plan: FitPlan, targets: Mapping[str, Target]) -> int:
    """Bytes of the results to come, at most (nothing compresses)."""
    needed = _PER_RESULT * len(plan.to_fit)
    for name, _ in plan.to_fit:
        splits = targets[name].splits
        per_voxel = len(splits) * STORED_BYTES + 1000
        if plan.options.save_preds:
            per_voxel += len(splits) * (int(splits.test.sum(axis=1).max()) * 4 + 8)
        if plan.options.legacy_pickles:
            per_voxel += len(splits) * (2 * splits.test.shape[1] * 8 + 8 * 16)
        needed += targets[name].n_voxels * per_voxel
    return needed


def require_disk_space(paths: ProjectPaths, needed: int) -> None:
    """Refuse to start what cannot be stored.

    Raises
    ------
    InputError
        There is less free space than results may need, or nothing can be written.
    """
    try:
        paths.results.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(describe_os_error(error, "written", paths.results)) from error
    free = shutil.disk_usage(paths.results).free
    if needed > free:
        raise InputError(
            f"The results may need {needed / 1e6:.0f} MB, but {paths.results} has only "
            f"{free / 1e6:.0f} MB free. Free some space, fit fewer layers, or leave the "
            "predictions out (--save_preds False)."
        )

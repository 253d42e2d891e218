"""Fit layers of a model to targets.

Read, reduce and check everything first, then fit, then write each result whole.
"""

from __future__ import annotations

import logging
import os
import platform
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from aud_dnn import NUMERICS_VERSION, __version__
from aud_dnn.errors import InputError, describe_os_error
from aud_dnn.io.atomic import (
    AlreadyFinishedError,
    atomic_folder,
    remove_abandoned,
    remove_abandoned_below,
    restore_replaced,
)
from aud_dnn.io.digests import DigestMemo
from aud_dnn.io.progress import progress_bar, tell_finished
from aud_dnn.methods.ridge.leave_one_out import (
    LARGEST_ALPHALIMIT,
    Design,
    SplitRidge,
    alpha_grid,
    reduce_features,
)
from aud_dnn.methods.ridge.scoring import LayerScores, decompose_splits, score_responses
from aud_dnn.methods.threads import available_cores
from aud_dnn.paths import ProjectPaths
from aud_dnn.runs.own_targets import OwnTarget, known_stimuli, open_for_targets, with_equal_splits
from aud_dnn.store.regression import (
    RegressionResult,
    is_complete,
    parse_folder,
    read_result,
    result_folder,
    write_result,
)
from aud_dnn.store.schema import PREDICTIONS_FILE, PUBLISHED_PREDICTIONS, PUBLISHED_SCORES
from aud_dnn.store.sources import Sources, describe_changes, is_published
from aud_dnn.targets.facts import facts_of
from aud_dnn.utils import Activations, Remark, Target, few

log = logging.getLogger("aud_dnn")

_PACKAGES = ("numpy", "scipy", "pandas", "h5py", "xarray")
PLOTS_FOLDER = "plots"
_LONGEST_FOLDER_NAME = 255  # bytes, of the usual file systems


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
class UsualRemark(Remark):
    """What sound results have, too: it is kept in the files but is no warning."""


# Shares above which a remark is a warning. Sound fits stay below them: of trained networks on
# voxels up to 9 % of the fits (voxel and split) choose the largest alpha, of layers that predict
# next to nothing (permuted, deep) up to half, because the training mean is then the best
# prediction; the smallest is chosen where there is next to no noise, which is rare; below and above
# the eigenvalues of a layer alphas are alike (plateaus), which half of the voxels meet in some
# split; and noise puts a voxel that is explained as far as it is reliable above 1 as often as
# below, but few voxels are explained that far.
_MANY_LARGEST_ALPHAS, _MANY_SMALLEST_ALPHAS, _MANY_PLATEAUS = 0.6, 0.05, 0.5  # of the fits
_MANY_ABOVE_1 = 0.2  # of the voxels
_MANY_CONSTANT_UNITS = 0.5  # of the units; rectified ones are often silent


@dataclass(frozen=True)
class Outcome:
    """One line of the closing table."""

    layer: str
    target: str
    status: str  # "fitted", "already there", "finished by another run"
    folder: Path
    median_r2: float  # over voxels, of the medians over splits
    median_r2_c: float | None  # None where there is no noise correction
    warnings: tuple[Remark, ...] = ()


@dataclass(frozen=True)
class _Layer:
    """A layer, read, checked and reduced; the activations themselves are not kept."""

    name: str
    design: Design
    provenance: dict[str, Any]
    remarks: tuple[Remark, ...]


def fit_model(paths: ProjectPaths, options: FitOptions, *, progress: bool = True) -> list[Outcome]:
    """Fit every layer to every target and write the results.

    All input is read and checked before the first fit. A result that is already whole is kept
    unless ``options.overwrite``; a layer is decomposed once for all targets.

    Parameters
    ----------
    paths : ProjectPaths
    options : FitOptions
    progress : bool
        Show a progress bar (only where stderr is a terminal).

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
    _report_lacking(list(kept.values()), options)
    sources = Sources(paths, stimuli, memo, {name: item.digests for name, item in own.items()})
    _require_same_sources(kept, opened, sources)
    targets, made_from = {}, {}
    for name in options.targets:
        if any(target == name for target, _ in to_fit):
            targets[name], *digests = sources.target(name, values=True)
            made_from[name] = {
                "responses": digests[0],
                "metadata": digests[1],
                "stimuli": sources.stimuli,
            }
    for name, item in own.items():
        if any(target == name for target, _ in to_fit):
            targets[name], made_from[name] = item.target, item.digests
    layers = {
        (layer, activations.stimulus_ids): _read_layer(activations, layer, sources)
        for activations in dict.fromkeys(opened.values())
        for layer in activations.layers
        if any((name, layer) in to_fit for name in targets if opened[name] is activations)
    }
    _check_disk_space(paths, options, to_fit, targets)

    outcomes = {}
    with progress_bar(
        sum(targets[target].n_voxels for target, _ in to_fit),
        "voxel",
        unit_scale=True,
        wanted=progress and bool(to_fit),
    ) as bar:
        for (_, sounds), layer in layers.items():
            started = time.perf_counter()
            todo = [
                name
                for name in targets
                if (name, layer.name) in to_fit and opened[name].stimulus_ids == sounds
            ]
            for names in with_equal_splits(todo, targets):
                splits = targets[names[0]].splits
                decomposed = decompose_splits(layer.design, splits, alpha_grid(options.alphalimit))
                for name in names:
                    target, digests = targets[name], made_from[name]
                    bar.set_postfix_str(f"{layer.name} {name}")
                    provenance = {
                        **_provenance(options, layer.name, name),
                        "activations": layer.provenance,
                        "responses": {
                            "shape": target.responses.shape,
                            "sha256": digests["responses"],
                        },
                        "metadata": {"sha256": digests["metadata"]},
                        "stimuli": {"sha256": digests["stimuli"]},
                    }
                    if name in own:
                        provenance["target"] = own[name].record()
                    outcomes[name, layer.name] = _fit_one(
                        to_fit[name, layer.name],
                        decomposed,
                        layer,
                        target,
                        options,
                        provenance,
                        started,
                        bar.update,
                    )
                    started = time.perf_counter()
    for work, result in kept.items():
        outcomes[work] = _outcome_on_disk(*work, result, "already there", opened[work[0]].remarks)
    memo.save()
    for folder in (
        paths.results / options.model,
        paths.model_activations(options.model),
    ):  # statements lie in the latter
        remove_abandoned_below(folder)
    return [outcomes[work] for work in wanted]


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


def _require_same_sources(
    kept: dict[tuple[str, str], RegressionResult],
    opened: Mapping[str, Activations],
    sources: Sources,
) -> None:
    """Refuse to keep what was made from other numbers than those that are there now."""
    stale = []
    for (target, layer), result in kept.items():
        if is_published(result.provenance):
            continue
        changes = describe_changes(
            result.provenance, sources.now(parse_folder(result.folder), opened[target])
        )
        if changes:
            stale.append(f"{target} / {layer} ({changes})")
    if stale:
        older = (
            " Earlier versions did not record all of it."
            if any("not recorded" in entry for entry in stale)
            else ""
        )
        raise InputError(
            f"{len(stale)} result(s) are there but were not made from what is there now: "
            f"{few(stale)}.{older} Fit them again with --overwrite, or give the new activations a "
            "model name of their own."
        )


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
        (*activations.remarks, *_remarks(activations, name, features, design)),
    )


def _remarks(
    activations: Activations, layer: str, features: np.ndarray, design: Design
) -> Iterator[Remark]:
    """What is odd about a layer but no error."""
    if design.is_constant:
        yield Remark("layer does not vary over the sounds, every r is 0", layer)
    elif design.n_constant_units:
        many = design.n_constant_units > _MANY_CONSTANT_UNITS * design.n_units
        yield (Remark if many else UsualRemark)(
            "units do not vary over the sounds, they carry nothing",
            f"{design.n_constant_units} of {design.n_units} units of {layer}",
        )
    first_with: dict[bytes, str] = {}
    same = []
    for sound, row in zip(activations.stimulus_ids, np.ascontiguousarray(features)):
        other = first_with.setdefault(row.tobytes(), sound)
        if other != sound:
            same.append(f"{sound} = {other}")
    if same and not design.is_constant:
        yield Remark(
            "sounds have the same features as another", f"{len(same)} in {layer}: {few(same)}"
        )


def _check_disk_space(
    paths: ProjectPaths,
    options: FitOptions,
    to_fit: dict[tuple[str, str], Path],
    targets: dict[str, Target],
) -> None:
    """Refuse to start what cannot be stored (upper bound: nothing compresses)."""
    needed = 0
    for name, _ in to_fit:
        splits = targets[name].splits
        per_voxel = len(splits) * 8 * 16 + 1000
        if options.save_preds:
            per_voxel += len(splits) * (int(splits.test.sum(axis=1).max()) * 4 + 8)
        if options.legacy_pickles:
            per_voxel += len(splits) * (2 * splits.test.shape[1] * 8 + 8 * 16)
        needed += targets[name].n_voxels * per_voxel
    try:
        paths.results.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(paths.results, error) from error
    free = shutil.disk_usage(paths.results).free
    if needed > free:
        raise InputError(
            f"The results may need {needed / 1e6:.0f} MB, but {paths.results} has only "
            f"{free / 1e6:.0f} MB free. Free some space, fit fewer layers, or leave the "
            "predictions out (--save_preds False)."
        )


def _unwritable(folder: Path, error: OSError) -> InputError:
    return InputError(describe_os_error(error, "written", folder))


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
        with atomic_folder(folder, overwrite=options.overwrite) as staging, _log_file(staging):
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
                *_score_remarks(scores, target, decomposed[0].alphas),
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
                "peak_memory_mb": _peak_memory_mb(),
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
            median_r2, median_r2_c = _medians(
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
        return _outcome_on_disk(
            target.name, layer.name, read_result(folder), "finished by another run"
        )
    except InputError:
        raise
    except OSError as error:
        raise _unwritable(folder, error) from error
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
    """Diagnostic pictures of a result that is on disk: whatever happens to them, the result stays."""
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


def _score_remarks(scores: LayerScores, target: Target, alphas: np.ndarray) -> Iterator[Remark]:
    """What is odd about the scores, each once with its count and the first ids."""
    unit = f"{target.facts.unit}s"
    largest, smallest, plateau = (
        scores.warning_alphas == 1,
        scores.warning_alphas == 2,
        scores.alpha_on_plateau > 0,
    )
    above_1 = np.median(scores.r2_test_c, axis=1) > 1
    silent = (target.responses == target.responses[:1]).all(axis=(0, 2))
    silent_half = ((scores.y_test_std_mean == 0) | (scores.y_train_std_mean == 0)) & ~silent[
        :, None
    ]
    n_splits = np.count_nonzero(silent_half.any(axis=0))
    for what, odd, is_usual, *more in (
        ("do not vary over the sounds (r = 0, reliability at its floor)", silent, False),
        (
            "do not vary over the training or the test sounds of some split (score 0 there)",
            silent_half.any(axis=1),
            False,
            f"{n_splits} of {silent_half.shape[1]} splits",
        ),
        (
            f"chose the largest alpha ({alphas[0]:.0e}) in some split",
            largest.any(axis=1),
            largest.mean() <= _MANY_LARGEST_ALPHAS,
        ),
        (
            f"chose the smallest alpha ({alphas[-1]:.0e}) in some split",
            smallest.any(axis=1),
            smallest.mean() <= _MANY_SMALLEST_ALPHAS,
        ),
        (
            "have an alpha on a plateau in some split (other alphas give the same error)",
            plateau.any(axis=1),
            (plateau & ~largest).mean() <= _MANY_PLATEAUS,
        ),
        ("have a median noise-corrected R2 above 1", above_1, above_1.mean() <= _MANY_ABOVE_1),
    ):
        if odd.any():
            kind = UsualRemark if is_usual else Remark
            yield kind(
                f"{unit} {what}",
                ", ".join(
                    [
                        f"{np.count_nonzero(odd)} of {target.n_voxels}",
                        *more,
                        f"voxel_id {few(target.ids[odd].tolist())}",
                    ]
                ),
            )


def _medians(r2: np.ndarray, r2_c: np.ndarray, has_repetitions: bool) -> tuple[float, float | None]:
    corrected = r2_c[~np.isnan(r2_c)]  # of a single repetition there is no correction
    return float(np.median(r2)), float(
        np.median(corrected)
    ) if has_repetitions and corrected.size else None


def _outcome_on_disk(
    target: str,
    layer: str,
    result: RegressionResult,
    status: str,
    warnings: tuple[Remark, ...] = (),
) -> Outcome:
    table = result.columns("median_r2_test", "median_r2_test_c")
    medians = _medians(
        table["median_r2_test"].to_numpy(),
        table["median_r2_test_c"].to_numpy(),
        facts_of(target, result.provenance).noise_corrected,
    )
    return Outcome(layer, target, status, result.folder, *medians, warnings)


# --- records of the run -------------------------------------------------------------------------


def _provenance(options: FitOptions, layer: str, target: str) -> dict[str, Any]:
    return {
        "aud_dnn": __version__,
        "numerics": NUMERICS_VERSION,
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in _PACKAGES},
        "platform": platform.platform(),
        "arguments": {
            "source_model": options.model,
            "source_layer": layer,
            "target": target,
            "randnetw": options.randnetw,
            "alphalimit": options.alphalimit,
            "save_preds": options.save_preds,
            "save_plot": options.save_plot,
            "legacy_pickles": options.legacy_pickles,
        },
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "threads": available_cores(),
    }


def _peak_memory_mb() -> float | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3), 1)


@contextmanager
def _log_file(folder: Path) -> Iterator[None]:
    """What is logged meanwhile also goes into ``out-<date>.log`` there."""
    handler = logging.FileHandler(
        folder / f"out-{datetime.now():%Y%m%d-%H%M%S}.log", encoding="utf-8"
    )
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.setLevel(level)
        log.removeHandler(handler)
        handler.close()


def outcome_table(outcomes: Sequence[Outcome]) -> str:
    """The closing table."""
    first = max([9, *(len(outcome.target) for outcome in outcomes)]) + 2
    width = max([5, *(len(outcome.layer) for outcome in outcomes)])
    lines = [
        f"{'target':<{first}}{'layer':<{width + 2}}{'median R2':>10}{'noise-corrected':>17}  status"
    ]
    for outcome in outcomes:
        corrected = "–" if outcome.median_r2_c is None else f"{outcome.median_r2_c:.3f}"
        count = f", {len(outcome.warnings)} warning(s)" if outcome.warnings else ""
        lines.append(
            f"{outcome.target:<{first}}{outcome.layer:<{width + 2}}{outcome.median_r2:>10.3f}{corrected:>17}  "
            f"{outcome.status}{count}"
        )
    first_of = {
        remark.what: (outcome, remark)
        for outcome in reversed(outcomes)
        for remark in outcome.warnings
    }
    counts = Counter(remark.what for outcome in outcomes for remark in outcome.warnings)
    if counts:
        lines.append(
            "Warnings (with all other remarks in provenance.json and the log file of each result):"
        )
        lines += [
            f"  {what}: in {count} result(s), e.g. {first_of[what][0].layer} / "
            f"{first_of[what][0].target}: {first_of[what][1].where}"
            for what, count in counts.items()
        ]
    lines += [
        f"Results in {folder}"
        for folder in dict.fromkeys(outcome.folder.parent for outcome in outcomes)
    ]
    return "\n".join(lines)

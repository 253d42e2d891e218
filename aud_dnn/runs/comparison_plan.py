"""What a comparison is asked for, what an earlier run left of it, and what is to be done.

The unit of work that can be resumed is one (model, condition, target, region). What an earlier run
left is kept only while it is whole and the data that it was made from are those that are there
(:mod:`aud_dnn.runs.comparison_origins`); the rest is computed again, and the plan says why.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aud_dnn.conditions import CONDITIONS, Condition
from aud_dnn.errors import DamagedFileError, InputError, MissingDataError, few, unknown_name
from aud_dnn.methods.method import Comparison
from aud_dnn.models.registry import MODELS
from aud_dnn.paths import ProjectPaths
from aud_dnn.runs.comparison_origins import ACTIVATIONS, Origins, same_origin
from aud_dnn.runs.comparison_report import Unit, by_model
from aud_dnn.runs.comparison_targets import regions_of
from aud_dnn.runs.comparison_workers import memory_needed
from aud_dnn.runs.estimates import Estimate, comparison_estimate
from aud_dnn.runs.own_targets import OwnTarget
from aud_dnn.store.comparison_parts import (
    Part,
    read_model_part,
    read_neural_part,
    read_score_part,
)
from aud_dnn.store.comparisons import ROI_CHOICES, canonical_models, script_for
from aud_dnn.targets.facts import TARGETS, VOXEL_TARGETS


class OnDisk:
    """What earlier runs left, and whether that still holds."""

    def __init__(self, paths: ProjectPaths, method: Comparison, origins: Origins) -> None:
        self.method, self.origins = method, origins
        self.folder = paths.comparison_results(method.name)
        self.unreadable: dict[str, None] = {}
        self.changed: dict[tuple[str, ...], dict[str, None]] = {}  # what -> whose
        self.absent: dict[str, None] = {}

    def _read(self, reader: Callable[..., Part | None], *key: str, **more: object) -> Part | None:
        """A part, or None if there is none that can be used."""
        try:
            return reader(self.folder, *key, **more)
        except DamagedFileError:
            self.unreadable[" ".join(filter(None, key))] = None
            return None

    def neural(self, target: str, roi: str) -> Part | None:
        """The participants' side, if it is whole and current."""
        part = self._read(read_neural_part, target, roi, method=self.method)
        now = self.origins.neural(target)
        if now is None:
            self.absent[f"the data of {target}"] = None
            return part
        return None if part is None or self._differs(part, now, target) else part

    def scores(self, unit: Unit, neural: Part) -> Part | None:
        """The scores of a unit, if they are whole and current."""
        key = unit.target, unit.roi, unit.model, unit.condition
        part = self._read(read_score_part, *key, method=self.method)
        if part is None or self._differs(part, neural.made_from, unit.target):
            return None
        activations = self._activations(unit.model, unit.condition, unit.target)
        differs = activations == "" or self._differs(
            part, {ACTIVATIONS: activations}, f"{unit.model} ({unit.condition})"
        )
        return None if differs else part

    def model_is_current(self, model: str, condition: str, target: str) -> bool:
        """Whether the model's own side is there, whole and current.

        True as well if it could not be made again.
        """
        own = "" if target in TARGETS else target
        part = self._read(read_model_part, model, condition, own)
        now = {
            ACTIVATIONS: self._activations(model, condition, target),
            "stimuli": self.origins.stimuli_digest(target),
        }
        return now[ACTIVATIONS] is None or (
            part is not None and not same_origin(part.made_from, now)
        )

    def _activations(self, model: str, condition: str, target: str) -> str | None:
        """Digest of what is there now; None if nothing is there, and "" if it cannot be read."""
        try:
            found = self.origins.activations(model, condition, target)
        except InputError:
            return ""  # whoever computes it will say what is wrong
        if found is None:
            self.absent[f"the activations of {model} ({condition})"] = None
        return found

    def _differs(self, part: Part, now: Mapping[str, str | None], whose: str) -> bool:
        changed = same_origin(part.made_from, now)
        if changed:
            self.changed.setdefault(tuple(changed), {})[whose] = None
        return bool(changed)

    def current(self, wanted: Sequence[Unit]) -> list[Unit]:
        """The units that need not be computed."""
        neural = {
            pair: self.neural(*pair)
            for pair in dict.fromkeys((unit.target, unit.roi) for unit in wanted)
        }
        scored = [
            unit
            for unit in wanted
            if (side := neural[unit.target, unit.roi]) is not None
            and self.scores(unit, side) is not None
        ]
        whole = {key: self.model_is_current(*key) for key in dict.fromkeys(u[:3] for u in scored)}
        return [unit for unit in scored if whole[unit[:3]]]

    def reasons(self) -> list[str]:
        """Why something is computed again; forgotten then."""
        notes = [
            f"The {' and '.join(changed)} of {few(list(whose))} have changed, and what was made "
            "from them is computed again."
            for changed, whose in self.changed.items()
        ]
        if self.unreadable:
            notes.append(
                f"{len(self.unreadable)} earlier result(s) were damaged, another's, or in the "
                "form of an earlier version, and are computed again: "
                f"{few(list(self.unreadable))}."
            )
        self.changed, self.unreadable = {}, {}
        return notes

    def left_out(self, *, something_loaded: bool) -> list[str]:
        """What is to be said about results of models that were not asked for."""
        notes = []
        script = script_for(self.method)
        if self.absent and something_loaded:
            notes.append(
                f"Not there any longer, so that it cannot be seen whether the results are current: "
                f"{few(list(self.absent))}."
            )
        for changed, whose in self.changed.items():
            models = " ".join(dict.fromkeys(name.split(" ")[0] for name in whose))
            notes.append(
                f"The {' and '.join(changed)} of {few(list(whose))} have changed. Earlier results "
                f"that were made from them are left out; make them again: {script}"
                + (f" --models {models}" if ACTIVATIONS in changed else "")
            )
        if self.unreadable:
            notes.append(
                f"{len(self.unreadable)} earlier result(s) are damaged, another's, or in the form "
                f"of an earlier version, and are left out: {few(list(self.unreadable))}. Make "
                f"them again: {script}"
            )
        return notes


@dataclass(frozen=True)
class ComparisonPlan:
    """What a run is to do; nothing has been computed or written yet.

    Attributes
    ----------
    method : Comparison
    wanted : tuple of Unit
        Everything asked for.
    kept : tuple of Unit
        There already, whole and current.
    to_do : tuple of Unit
    missing : dict
        (model, condition) without activations -> why; left out.
    reasons : tuple of str
        Why something that is there is computed again.
    estimate : Estimate
        Of time, memory and disk for ``to_do``.
    on_disk : OnDisk
    """

    method: Comparison
    wanted: tuple[Unit, ...]
    kept: tuple[Unit, ...]
    to_do: tuple[Unit, ...]
    missing: dict[tuple[str, str], str]
    reasons: tuple[str, ...]
    estimate: Estimate
    on_disk: OnDisk = field(repr=False)

    def summary(self) -> str:
        """What ``--dry_run`` prints."""
        lines = []
        for title, units in (("to compute", self.to_do), ("kept", self.kept)):
            models = by_model(dict.fromkeys(unit[:2] for unit in units))
            lines.append(f"{title}: {len(units)} results" + (f" of {models}" if models else ""))
        lines.append(
            f"missing (no activations on disk, left out): {by_model(self.missing) or 'none'}"
        )
        lines += [f"note: {note}" for note in self.reasons]
        if self.to_do:
            lines.append(str(self.estimate))
        return f"{self.method.name}\n" + "\n".join(f"  {line}" for line in lines)


def plan_comparison(
    paths: ProjectPaths,
    method: Comparison,
    *,
    targets: Sequence[str] = VOXEL_TARGETS,
    own_targets: Sequence[OwnTarget] = (),
    rois: Sequence[str] | None = None,
    conditions: Sequence[str] = tuple(Condition),
    models: Sequence[str] | None = None,
    overwrite: bool = False,
    jobs: int = 1,
) -> ComparisonPlan:
    """See what is there, what is current and what is to be done.

    Parameters
    ----------
    paths, targets, own_targets, rois, conditions, models, overwrite
        See :func:`aud_dnn.runs.comparisons.run_comparison`.
    method : Comparison
    jobs : int
        For the estimate of time and memory.

    Raises
    ------
    InputError
        An unknown name; activations that are damaged.
    """
    for kind, given, known in (
        ("target", targets, VOXEL_TARGETS),
        ("condition", conditions, CONDITIONS),
    ):
        for name in given:
            if name not in known:
                raise unknown_name(kind, name, known)
    regions = _regions(targets, own_targets, rois)
    for name in models or ():
        if Path(name).name != name:
            raise InputError(
                f"{name!r} is not the name of a model: give the name of its folder in "
                f"{paths.activations}."
            )
    wanted = [
        Unit(model, condition, target, roi)
        for model, condition in itertools.product(
            canonical_models(MODELS if models is None else models),
            [name for name in CONDITIONS if name in conditions],
        )
        if Condition(condition).exists_for(model)
        for target, names in regions.items()
        for roi in names
    ]
    on_disk = OnDisk(paths, method, Origins(paths, own_targets))
    kept = [] if overwrite else on_disk.current(wanted)
    reasons = on_disk.reasons()
    to_do = [unit for unit in wanted if unit not in kept]
    missing = _missing(on_disk.origins, to_do)
    to_do = [unit for unit in to_do if unit[:2] not in missing]
    keys = list(dict.fromkeys(unit[:2] for unit in to_do))
    return ComparisonPlan(
        method,
        tuple(wanted),
        tuple(kept),
        tuple(to_do),
        missing,
        tuple(reasons),
        comparison_estimate(
            paths, to_do, jobs=min(jobs, max(len(keys), 1)), memory=memory_needed(paths, keys)
        ),
        on_disk,
    )


def _regions(
    targets: Sequence[str], own_targets: Sequence[OwnTarget], rois: Sequence[str] | None
) -> dict[str, list[str]]:
    """The regions to analyse of every target.

    Raises
    ------
    InputError
        A region that no target has.
    """
    there: dict[str, Sequence[str]] = {
        name: ROI_CHOICES for name in VOXEL_TARGETS if name in targets
    } | {item.target.name: regions_of(item.target) for item in own_targets}
    for roi in rois or ():
        known = list(dict.fromkeys(itertools.chain.from_iterable(there.values())))
        if roi not in known:
            raise unknown_name("ROI", roi, known or ROI_CHOICES)
    return {
        target: [roi for roi in names if rois is None or roi in rois]
        for target, names in there.items()
    }


def _missing(origins: Origins, units: Sequence[Unit]) -> dict[tuple[str, str], str]:
    """Models that have something to do but no activations, with the reason."""
    missing: dict[tuple[str, str], str] = {}
    for model, condition, target in dict.fromkeys(unit[:3] for unit in units):
        if (model, condition) in missing:
            continue
        try:
            origins.open(model, condition, target)
        except MissingDataError as error:
            missing[model, condition] = str(error)
    return missing

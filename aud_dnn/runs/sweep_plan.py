"""Many models, layers and targets at once: what is asked, what is there, who does which part.

A unit is one layer of one model in one condition: it is decomposed once for all targets. Units do
not depend on each other, and what is on disk is done, so any of them may be fitted anywhere, in any
order, again.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from aud_dnn.conditions import Condition
from aud_dnn.errors import InputError, MissingDataError, few
from aud_dnn.methods.threads import available_cores
from aud_dnn.models.registry import MODELS
from aud_dnn.paths import ProjectPaths
from aud_dnn.runs.estimates import Estimate, units_stored
from aud_dnn.runs.fit_plan import FitOptions, estimate_fit, plan_fit
from aud_dnn.runs.own_targets import OwnTarget
from aud_dnn.splits import N_SOUNDS
from aud_dnn.utils import Target, activation_files, models_on_disk

_NOMINAL_RATE = 2e10  # multiplications per second: the same on every node, so that all cut alike
_NOMINAL_COLUMNS = 35_000  # voxels of the published targets


@dataclass(frozen=True, order=True)
class SweepUnit:
    """One layer of one model in one condition."""

    model: str
    randnetw: bool
    position: int
    layer: str

    def command(self, targets: Sequence[str], root: Path) -> str:
        """What fits it by itself."""
        import shlex

        words = ["python", "aud_dnn/AUD_main.py", "--source_model", self.model]
        words += ["--source_layer", self.layer, "--target", *targets]
        words += ["--randnetw", "True"] if self.randnetw else []
        return shlex.join([*words, "--root", str(root)])


@dataclass(frozen=True)
class SweepOptions:
    """What a sweep is asked for.

    Attributes
    ----------
    models : tuple of str
    targets : tuple of str
        Published ones.
    conditions : tuple of Condition
    layers : tuple of str or None
        Only layers of these names; None: all.
    own_targets : tuple of OwnTarget
    save_preds, overwrite : bool
    """

    models: tuple[str, ...]
    targets: tuple[str, ...]
    conditions: tuple[Condition, ...] = tuple(Condition)
    layers: tuple[str, ...] | None = None
    own_targets: tuple[OwnTarget, ...] = ()
    save_preds: bool = False
    overwrite: bool = False

    def fit_options(self, model: str, randnetw: bool, layers: tuple[str, ...] | None) -> FitOptions:
        """Those of one call of the regression."""
        return FitOptions(
            model,
            layers,
            self.targets,
            randnetw=randnetw,
            save_preds=self.save_preds,
            overwrite=self.overwrite,
            own_targets=self.own_targets,
        )

    @property
    def target_arguments(self) -> tuple[str, ...]:
        """All targets, as a command line names them."""
        return (*self.targets, *(str(own.path) for own in self.own_targets))

    @property
    def target_names(self) -> tuple[str, ...]:
        """All targets."""
        return (*self.targets, *(own.target.name for own in self.own_targets))


@dataclass
class SweepPlan:
    """What a sweep is to do; nothing has been fitted or written yet.

    Attributes
    ----------
    options : SweepOptions
    units : list of SweepUnit
        Everything asked for, in order, whatever is there already.
    costs : dict
        Unit -> seconds on a core, by a rate that is the same everywhere.
    to_fit : dict
        Unit -> targets without a result, for those that lack some.
    n_kept : int
        Results that are there and current.
    stale : list of str
        Results that are there and were made from something else.
    missing : list of str
        Models and conditions without activations.
    seconds : float
        What is to be fitted takes on one core of this machine.
    disk, memory : int
        Bytes of results at most, and of one process.
    """

    options: SweepOptions
    units: list[SweepUnit] = field(default_factory=list)
    costs: dict[SweepUnit, float] = field(default_factory=dict)
    to_fit: dict[SweepUnit, list[str]] = field(default_factory=dict)
    n_kept: int = 0
    stale: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    seconds: float = 0.0
    disk: int = 0
    memory: int = 0

    def shard(self, part: int, n_parts: int) -> list[SweepUnit]:
        """The units of one part of all; see :func:`cut`."""
        return cut(self.units, [self.costs[unit] for unit in self.units], n_parts)[part - 1]

    def summary(self, units: Sequence[SweepUnit], jobs: int) -> str:
        """What ``--dry_run`` prints about these units."""
        names = ", ".join(self.options.target_names)
        lines = [f"{len(self.units)} layers x {len(self.options.target_names)} targets ({names})"]
        mine = set(units)
        for model in self.options.models:
            for condition in self.options.conditions:
                asked = [
                    unit
                    for unit in units
                    if (unit.model, unit.randnetw) == (model, condition.randnetw)
                ]
                todo = sum(unit in self.to_fit for unit in asked)
                if asked:
                    lines.append(
                        f"  {model}, {condition.value}: {todo} of {len(asked)} layers to fit"
                    )
        if self.missing:
            lines.append(f"  no activations: {few(self.missing, 6)}")
        if self.n_kept:
            lines.append(f"  {self.n_kept} results are there, and kept")
        if self.stale:
            lines.append(f"  stale, refused without --overwrite: {few(self.stale)}")
        share = sum(unit in mine for unit in self.to_fit) / max(len(self.to_fit), 1)
        seconds = self.seconds * share / max(jobs, 1)
        estimate = Estimate(seconds, self.memory, int(self.disk * share), jobs)
        lines.append(f"  {estimate}" if share else "  nothing to fit")
        return "\n".join(lines)


def cut(units: Sequence[SweepUnit], costs: Sequence[float], n_parts: int) -> list[list[SweepUnit]]:
    """Parts of about equal cost: the most expensive first, each to the part with least so far.

    The same units and costs give the same parts.

    Examples
    --------
    >>> a, b, c = (SweepUnit("net", False, i, f"layer{i}") for i in range(3))
    >>> [[unit.layer for unit in part] for part in cut([a, b, c], [1.0, 3.0, 1.0], 2)]
    [['layer1'], ['layer0', 'layer2']]
    """
    parts: list[list[SweepUnit]] = [[] for _ in range(n_parts)]
    loads = [(0.0, part) for part in range(n_parts)]
    for cost, unit in sorted(zip(costs, units), key=lambda pair: (-pair[0], pair[1])):
        load, part = heapq.heappop(loads)
        parts[part].append(unit)
        heapq.heappush(loads, (load + cost, part))
    return [sorted(part) for part in parts]


def plan_sweep(paths: ProjectPaths, options: SweepOptions, targets: dict[str, Target]) -> SweepPlan:
    """See what is asked, what is there, and what it will take.

    Parameters
    ----------
    paths : ProjectPaths
    options : SweepOptions
    targets : dict
        All targets, by name.

    Raises
    ------
    InputError
        No model has activations; a layer that none of them has; anything wrong with activations or
        results.
    """
    plan = SweepPlan(options)
    found_layers = set()
    for model in options.models:
        asked = [condition for condition in options.conditions if condition.exists_for(model)]
        there = [
            condition
            for condition in asked
            if activation_files(paths, model, randnetw=condition.randnetw)
        ]
        lacking = [f"{model} ({condition.value})" for condition in asked if condition not in there]
        plan.missing += lacking if there else [model]
        for condition in there:
            found_layers |= _plan_model(paths, plan, model, condition, targets)
    if not plan.units:
        raise MissingDataError(
            f"None of the models asked for has activations in {paths.activations}. "
            "setup_utils/download_files.py --get_model_actv True brings the published ones."
        )
    if unknown := [layer for layer in options.layers or () if layer not in found_layers]:
        raise InputError(f"No model has a layer {unknown[0]!r}. AUD_main.py --list_layers MODEL.")
    return plan


def _plan_model(
    paths: ProjectPaths,
    plan: SweepPlan,
    model: str,
    condition: Condition,
    targets: dict[str, Target],
) -> set[str]:
    """Add one model in one condition; its layers."""
    options, randnetw = plan.options, condition.randnetw
    fit = plan_fit(paths, options.fit_options(model, randnetw, None), tidy=False)
    layers = list(dict.fromkeys(layer for _, layer in fit.wanted))
    asked = [layer for layer in layers if options.layers is None or layer in options.layers]
    nominal = units_stored(paths, model, condition) / max(len(layers), 1) * N_SOUNDS**2
    columns = sum(target.n_voxels for target in targets.values())
    for position, layer in enumerate(layers):
        if layer not in asked:
            continue
        unit = SweepUnit(model, randnetw, position, layer)
        plan.units.append(unit)
        plan.costs[unit] = 2 * nominal / _NOMINAL_RATE + columns / _NOMINAL_COLUMNS
        if lacking := [name for name in targets if (name, layer) in fit.to_fit]:
            plan.to_fit[unit] = lacking
    plan.n_kept += sum(layer in asked for work, layer in fit.kept if (work, layer) not in fit.stale)
    plan.stale += [
        f"{model} {layer} / {name} ({condition.value}: {why})"
        for (name, layer), why in fit.stale.items()
        if layer in asked
    ]
    todo = replace(
        fit, to_fit={work: path for work, path in fit.to_fit.items() if work[1] in asked}
    )
    if todo.to_fit:
        estimate = estimate_fit(paths, todo, targets)
        plan.seconds += estimate.seconds * available_cores()  # an estimate is for all cores
        plan.memory = max(plan.memory, estimate.memory)
        plan.disk += estimate.disk
    return set(layers)


def models_of(paths: ProjectPaths, named: Sequence[str]) -> tuple[str, ...]:
    """The models that a command line names; ``all``: those on disk and those of the paper."""
    if "all" not in named:
        return tuple(dict.fromkeys(named))
    return tuple(dict.fromkeys((*MODELS, *models_on_disk(paths))))

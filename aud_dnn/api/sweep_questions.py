"""What a sweep can answer beside scores: one table for all of its models."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from aud_dnn.errors import InputError, MissingDataError
from aud_dnn.models.registry import BASELINE_MODEL
from aud_dnn.paths import ProjectPaths
from aud_dnn.runs.sweep_plan import SweepPlan
from aud_dnn.targets.facts import VOXEL_TARGETS
from aud_dnn.utils import activation_files

if TYPE_CHECKING:
    import pandas as pd

Tables = dict[str, "pd.DataFrame"]


def _networks(plan: SweepPlan) -> list[tuple[str, bool]]:
    """Every model and condition of a sweep."""
    return list(dict.fromkeys((unit.model, unit.randnetw) for unit in plan.units))


def _models(plan: SweepPlan, randnetw: bool) -> list[str]:
    return [model for model, permuted in _networks(plan) if permuted == randnetw]


def _voxels(plan: SweepPlan) -> list[str]:
    return [target for target in plan.options.targets if target in VOXEL_TARGETS]


def _joined(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    import pandas as pd

    return pd.concat([table for table in tables if len(table)], ignore_index=True)


def _similarity(paths: ProjectPaths, plan: SweepPlan, progress: bool) -> Tables:
    from aud_dnn.api.similarity import similarity

    own = [str(one.path) for one in plan.options.own_targets]
    overwrite = plan.options.overwrite
    tables = [
        similarity(
            models, target, randnetw=randnetw, overwrite=overwrite, root=paths.root,
            progress=progress,
        )
        for target in (*_voxels(plan), *own)
        for randnetw in (False, True)
        if (models := _models(plan, randnetw))
    ]  # fmt: skip
    return {"similarity": _joined(tables)}


def _unique_variance(paths: ProjectPaths, plan: SweepPlan, progress: bool) -> Tables:
    from aud_dnn.api.unique_variance import unique_variance

    tables = [
        unique_variance(
            model,
            BASELINE_MODEL,
            plan.options.target_arguments,
            layers=plan.options.layers,
            randnetw=randnetw,
            overwrite=plan.options.overwrite,
            root=paths.root,
            progress=progress,
        )
        for model, randnetw in _networks(plan)
        if model != BASELINE_MODEL
    ]
    return {"unique-variance": _joined(tables)}


def _brains(paths: ProjectPaths, plan: SweepPlan, progress: bool) -> Tables:
    from aud_dnn.api.brains import brain_to_brain

    tables = [
        brain_to_brain(
            target, models=models, randnetw=randnetw, root=paths.root, progress=progress
        ).assign(condition="permuted" if randnetw else "trained")
        for target in _voxels(plan)
        for randnetw in (False, True)
        if (models := _models(plan, randnetw))
    ]
    return {"brains": _joined(tables)}


def _uncertainty(paths: ProjectPaths, plan: SweepPlan, progress: bool) -> Tables:
    from aud_dnn.api.questions import uncertainty

    conditions = [value for value in (False, True) if _models(plan, value)]
    models = list(dict.fromkeys(model for model, _ in _networks(plan)))
    found = {
        target: uncertainty(
            models, target, conditions=conditions, root=paths.root, progress=progress
        )
        for target in _voxels(plan)
    }
    return {
        name: _joined(
            getattr(one, attribute).assign(target=target) for target, one in found.items()
        )
        for name, attribute in (
            ("uncertainty", "scores"),
            ("uncertainty-differences", "differences"),
        )
    }


def _kinds(paths: ProjectPaths, plan: SweepPlan, progress: bool) -> Tables:
    from aud_dnn.api.questions import kinds_of_sound

    return {"kinds": _of_each_network(paths, plan, kinds_of_sound)}


def _layer_choice(paths: ProjectPaths, plan: SweepPlan, progress: bool) -> Tables:
    from aud_dnn.api.reading import layer_choices

    def with_index(*arguments: object, **settings: object) -> pd.DataFrame:
        table: pd.DataFrame = layer_choices(*arguments, **settings)  # type: ignore[arg-type]
        return table.rename_axis("part").reset_index()

    return {"layer-choice": _of_each_network(paths, plan, with_index)}


def _of_each_network(
    paths: ProjectPaths, plan: SweepPlan, table_of: Callable[..., pd.DataFrame]
) -> pd.DataFrame:
    return _joined(
        table_of(model, target, randnetw=randnetw, root=paths.root).assign(
            model=model, target=target, condition="permuted" if randnetw else "trained"
        )
        for model, randnetw in _networks(plan)
        for target in plan.options.targets
    )


QUESTIONS: dict[str, Callable[[ProjectPaths, SweepPlan, bool], Tables]] = {
    "similarity": _similarity,
    "unique-variance": _unique_variance,
    "brains": _brains,
    "uncertainty": _uncertainty,
    "kinds": _kinds,
    "layer-choice": _layer_choice,
}
"""Name -> what answers it: one or two tables."""

FROM_RESULTS = ("brains", "uncertainty", "kinds", "layer-choice")
"""These read the results of the regression, of every layer."""


def require_answerable(paths: ProjectPaths, plan: SweepPlan, question: str) -> None:
    """Refuse before long work what could not be answered after it.

    Raises
    ------
    InputError
        The targets or layers do not suit the question.
    """
    options = plan.options
    own = options.own_targets if question == "similarity" else ()
    if question in ("similarity", "brains", "uncertainty") and not (_voxels(plan) or own):
        raise InputError(f"{question} needs voxels: name NH2015 or B2021 with --target.")
    if question in ("kinds", "layer-choice") and not options.targets:
        raise InputError(f"{question} needs a published target.")
    if question in FROM_RESULTS and options.layers is not None:
        raise InputError(f"{question} needs every layer of a model; leave out --layers.")
    if question == "unique-variance":
        if not activation_files(paths, BASELINE_MODEL, randnetw=False):
            raise MissingDataError(
                f"unique-variance compares with {BASELINE_MODEL}, which has no activations in "
                f"{paths.activations}."
            )
        if all(model == BASELINE_MODEL for model, _ in _networks(plan)):
            raise InputError("unique-variance needs a model other than the baseline.")

"""What the results on disk say about one model on one target, as tables.

Scores at best layers are those of Figures 2 and 5 (chosen on half of the splits, scored on the
others, ten re-halvings); curves are medians over splits, as in the figures of layers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from aud_dnn.conditions import Condition
from aud_dnn.errors import InputError, MissingDataError
from aud_dnn.models.registry import BASELINE_MODEL
from aud_dnn.paths import ProjectPaths
from aud_dnn.stats import participant_interval, within_participant_sem
from aud_dnn.tables.figure_inputs import (
    collect_components,
    collect_layers,
    collect_region_scores,
    collect_scores,
    read_layer_choice,
)
from aud_dnn.tables.model_results import load_model_results
from aud_dnn.tables.parts import ALL
from aud_dnn.targets.facts import COMPONENT_TARGET, COMPONENTS, ROIS

BASELINE = "acoustic baseline"


@dataclass(frozen=True)
class Measured:
    """Rows of the tables of :class:`aud_dnn.analyze.report.content.TargetPart`.

    Attributes
    ----------
    curves : list of dict
        ``part``, ``condition``, ``layer``, ``position``, ``score``, ``error``, ``sem``.
    best : list of dict
        ``part``, ``condition`` (with the acoustic baseline where it has results here), ``score``,
        ``error``, ``sem``.
    layers : dict
        (part, condition) -> the best layer of the curve.
    nested : dict
        part -> score of the trained network where its layer is chosen within each split by the
        training sounds (:mod:`aud_dnn.tables.layer_choice`).
    notes : list of str
    """

    curves: list[dict[str, Any]] = field(default_factory=list)
    best: list[dict[str, Any]] = field(default_factory=list)
    layers: dict[tuple[str, str], str] = field(default_factory=dict)
    nested: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add_curve(
        self,
        part: str,
        condition: Condition,
        scores: pd.Series,
        errors: Iterable[float] | None = None,
        sem: Iterable[float] | None = None,
    ) -> None:
        """Add the scores of all layers (by layer, in their order), and the best of them."""
        nothing = [float("nan")] * len(scores)
        columns = zip(scores.items(), nothing if errors is None else errors, sem or nothing)
        self.curves.extend(
            {
                "part": part,
                "condition": condition.value,
                "layer": layer,
                "position": position,
                "score": float(score),
                "error": float(error),
                "sem": float(published),
            }
            for position, ((layer, score), error, published) in enumerate(columns)
        )
        self.layers[part, condition.value] = str(scores.index[int(np.argmax(scores))])

    def add_participants(self, part: str, tables: Mapping[str, pd.Series]) -> None:
        """Add the scores of all participants, by condition: their mean and both its errors.

        The published error depends on what stands together: here the conditions of this part.
        """
        together = pd.concat(tables, axis=1).dropna()
        sem = np.full(len(tables), np.nan)
        if len(tables) > 1:  # without another one, its own mean is all that could be removed
            sem = within_participant_sem(together.to_numpy())
        for (condition, values), published in zip(tables.items(), sem):
            self.best.append(
                {
                    "part": part,
                    "condition": condition,
                    "score": float(values.mean()),
                    "error": float(participant_interval(values.to_numpy()[:, None])[0]),
                    "sem": float(published),
                }
            )


def _conditions(model: str) -> list[Condition]:
    return [condition for condition in Condition if condition.exists_for(model)]


def measured_components(paths: ProjectPaths, model: str, *, brief: bool = False) -> Measured:
    """The six components.

    Parameters
    ----------
    paths : ProjectPaths
    model : str
    brief : bool
        Without curves and the baseline.

    Raises
    ------
    MissingDataError
        There are no results of the trained network.
    """
    found = Measured()
    for condition in _conditions(model):
        if not _add_components(paths, found, model, condition.value, condition.randnetw):
            if condition is Condition.TRAINED:
                raise MissingDataError(f"There are no results of {model} on {COMPONENT_TARGET}.")
            continue
        if brief:
            continue
        results = load_model_results(paths, model, COMPONENT_TARGET, condition.randnetw)
        for component, medians in zip(COMPONENTS, results.medians):
            found.add_curve(component, condition, pd.Series(medians, list(results.layers)))
    if not brief:
        found.nested.update(_nested(paths, model, COMPONENT_TARGET))
        with contextlib.suppress(InputError):  # damaged or of other data: not worth the report
            _add_components(paths, found, BASELINE_MODEL, BASELINE, False)
    return found


def _add_components(
    paths: ProjectPaths, found: Measured, model: str, condition: str, randnetw: bool
) -> bool:
    """Add the scores at best layers; whether there are any."""
    scores = collect_components(paths, [model], randnetw)
    if scores is None:
        return False
    if condition != BASELINE:
        found.notes.extend(scores.notes)
    for component in COMPONENTS:
        found.best.append(
            {
                "part": component,
                "condition": condition,
                "score": scores.mean.loc[component, model],
                "error": scores.sem.loc[component, model],
                "sem": float("nan"),
            }
        )
    return True


def measured_voxels(
    paths: ProjectPaths, model: str, target: str, *, brief: bool = False
) -> Measured:
    """All voxels of a target, and those of every region where the voxels have labels.

    Parameters
    ----------
    paths : ProjectPaths
    model, target : str
    brief : bool
        Without curves and the baseline.

    Raises
    ------
    MissingDataError
        There are no results of the trained network.
    """
    found = Measured()
    everywhere: dict[str, pd.Series] = {}
    by_region: dict[str, pd.DataFrame] = {}
    for condition in _conditions(model):
        scores = collect_scores(paths, [model], target, condition.randnetw)
        if scores is None:
            if condition is Condition.TRAINED:
                raise MissingDataError(f"There are no results of {model} on {target}.")
            continue
        found.notes.extend(scores.notes)
        everywhere[condition.value] = scores.scores[model]
        by_region[condition.value] = _regions(paths, model, target, condition.randnetw)
        for roi in () if brief else (None, *ROIS):
            try:
                table, sem = collect_layers(paths, model, target, condition.randnetw, roi)
            except MissingDataError:
                continue  # no participant has voxels labelled like this
            found.add_curve(
                roi or ALL,
                condition,
                table.mean(axis=0),
                participant_interval(table.to_numpy()),
                sem.tolist(),
            )
    if not brief and (nested := _nested(paths, model, target)):
        found.nested[ALL] = float(np.mean(list(nested.values())))
    with contextlib.suppress(InputError):  # damaged or of other data: not worth the report
        scores = None if brief else collect_scores(paths, [BASELINE_MODEL], target, False)
        if scores is not None:
            everywhere[BASELINE] = scores.scores[BASELINE_MODEL]
            by_region[BASELINE] = _regions(paths, BASELINE_MODEL, target, False)
    found.add_participants(ALL, everywhere)
    for roi in ROIS:
        values = {name: table[roi] for name, table in by_region.items() if roi in table}
        if Condition.TRAINED.value in values:
            found.add_participants(roi, values)
    return found


def _nested(paths: ProjectPaths, model: str, target: str) -> dict[Any, float]:
    """Component or participant -> score at nested layers; none where results do not tell."""
    with contextlib.suppress(InputError):
        return dict(read_layer_choice(paths, model, target, False)["nested"])
    return {}


def _regions(paths: ProjectPaths, model: str, target: str, randnetw: bool) -> pd.DataFrame:
    try:
        return collect_region_scores(paths, model, target, randnetw)
    except MissingDataError:
        return pd.DataFrame()

"""The numbers of a report, from results on disk.

Scores at best layers are those of Figures 2 and 5 (chosen on half of the splits, scored on the
others, ten re-halvings); curves are medians over splits, as in the figures of layers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from aud_dnn.conditions import Condition
from aud_dnn.errors import InputError, MissingDataError
from aud_dnn.models.published import published_scores
from aud_dnn.models.registry import BASELINE_MODEL
from aud_dnn.paths import ProjectPaths
from aud_dnn.stats import participant_interval
from aud_dnn.tables.figure_inputs import collect_components, collect_layers, collect_scores
from aud_dnn.tables.model_results import load_model_results
from aud_dnn.targets.facts import COMPONENT_TARGET, COMPONENTS, ROIS, TARGETS

ALL_VOXELS = "all voxels"


@dataclass(frozen=True)
class TargetPart:
    """What the report says about one target.

    Attributes
    ----------
    target : str
    curves : DataFrame
        Columns ``part`` (component, region or all voxels), ``condition``, ``layer``, ``position``
        (from 0), ``score``, ``error`` (half a 95 % interval over participants) and
        ``published_error`` (the paper's within-participant standard error); both NaN for
        components, which have neither.
    best : DataFrame
        Columns ``part``, ``condition``, ``score``, ``error``: at the best layer. For components the
        error is the standard error over re-halvings of the splits.
    layers : dict
        (part, condition) -> the layer chosen most often, or the best of the curve.
    baseline : Series
        part -> score of the acoustic baseline.
    baseline_is_read : bool
        From the paper's figure, because there are no results of the baseline here.
    published : DataFrame
        The paper's models (:func:`aud_dnn.models.published.published_scores`).
    notes : tuple of str
    """

    target: str
    curves: pd.DataFrame
    best: pd.DataFrame
    layers: dict[tuple[str, str], str]
    baseline: pd.Series
    baseline_is_read: bool
    published: pd.DataFrame
    notes: tuple[str, ...]

    def score(self, part: str, condition: Condition) -> tuple[float, float]:
        """Score and error at the best layer; NaN where there is none."""
        rows = self.best[(self.best["part"] == part) & (self.best["condition"] == condition)]
        if rows.empty:
            return float("nan"), float("nan")
        return float(rows["score"].iloc[0]), float(rows["error"].iloc[0])

    def region_score(self, part: str, condition: Condition) -> tuple[float, float]:
        """Score and error of a region at the layer that is best for all voxels; NaN where there is
        none.
        """
        layer = self.layers.get((ALL_VOXELS, condition.value))
        rows = self.curves[
            (self.curves["part"] == part)
            & (self.curves["condition"] == condition)
            & (self.curves["layer"] == layer)
        ]
        if rows.empty:
            return float("nan"), float("nan")
        return float(rows["score"].iloc[0]), float(rows["error"].iloc[0])

    @property
    def regions(self) -> list[str]:
        """Regions that every participant has voxels of."""
        found = set(self.curves["part"])
        return [roi for roi in ROIS if roi in found]

    @property
    def parts(self) -> list[str]:
        """Components, or all voxels: what has a score at the best layer."""
        return list(dict.fromkeys(self.best["part"]))


def gather(
    paths: ProjectPaths, model: str, targets: Iterable[str] = TARGETS
) -> tuple[list[TargetPart], list[str]]:
    """What there is about a model, target by target, and what is missing.

    Parameters
    ----------
    paths : ProjectPaths
    model : str
    targets : iterable of str
        Published targets.

    Returns
    -------
    parts : list of TargetPart
        Of the targets with results of the trained network.
    missing : list of str
        Sentences.

    Raises
    ------
    InputError
        Results that do not fit together, or are damaged.
    """
    parts, missing = [], []
    for target in targets:
        try:
            part = _part(paths, model, target)
        except MissingDataError as error:
            missing.append(str(error))
            continue
        parts.append(part)
        if Condition.PERMUTED not in set(part.best["condition"]):
            missing.append(f"There is no permuted control of {model} on {target}.")
    return parts, missing


def _conditions(model: str) -> list[Condition]:
    return [condition for condition in Condition if condition.exists_for(model)]


_Collected = tuple[
    list[dict[str, Any]], list[dict[str, Any]], dict[tuple[str, str], str], list[str]
]
"""Rows of the curves, rows at best layers, layers, notes: see :class:`TargetPart`."""


def _part(paths: ProjectPaths, model: str, target: str) -> TargetPart:
    published = published_scores(target)
    if target == COMPONENT_TARGET:
        curves, best, layers, notes = _components(paths, model, target)
    else:
        curves, best, layers, notes = _voxels(paths, model, target)
        published = published.assign(part=ALL_VOXELS)
    baseline, is_read = _baseline(paths, target, published)
    return TargetPart(
        target,
        pd.DataFrame(curves),
        pd.DataFrame(best),
        layers,
        baseline,
        is_read,
        published,
        tuple(dict.fromkeys(notes)),
    )


def _components(paths: ProjectPaths, model: str, target: str) -> _Collected:
    curves: list[dict[str, Any]] = []
    best: list[dict[str, Any]] = []
    layers: dict[tuple[str, str], str] = {}
    notes: list[str] = []
    for condition in _conditions(model):
        try:
            results = load_model_results(paths, model, target, condition.randnetw)
        except MissingDataError:
            if condition is Condition.TRAINED:
                raise
            continue
        for component, medians in zip(COMPONENTS, results.medians):
            curves += _curve(component, condition, results.layers, medians)
        scores = collect_components(paths, [model], condition.randnetw)
        if scores is None:  # not with the results that were just read
            continue
        notes += scores.notes
        for component in COMPONENTS:
            best.append(
                {
                    "part": component,
                    "condition": condition.value,
                    "score": scores.mean.loc[component, model],
                    "error": scores.sem.loc[component, model],
                }
            )
            medians = dict(zip(COMPONENTS, results.medians))[component]
            layers[component, condition.value] = results.layers[int(np.argmax(medians))]
    return curves, best, layers, notes


def _voxels(paths: ProjectPaths, model: str, target: str) -> _Collected:
    curves: list[dict[str, Any]] = []
    best: list[dict[str, Any]] = []
    layers: dict[tuple[str, str], str] = {}
    notes: list[str] = []
    for condition in _conditions(model):
        scores = collect_scores(paths, [model], target, condition.randnetw)
        if scores is None:
            if condition is Condition.TRAINED:
                raise MissingDataError(f"There are no results of {model} on {target}.")
            continue
        notes += scores.notes
        values = scores.scores[[model]]
        best.append(
            {
                "part": ALL_VOXELS,
                "condition": condition.value,
                "score": float(values.mean().iloc[0]),
                "error": float(participant_interval(values.to_numpy())[0]),
            }
        )
        for roi in (None, *ROIS):
            try:
                table, sem = collect_layers(paths, model, target, condition.randnetw, roi)
            except MissingDataError:
                continue  # no participant has voxels labelled like this
            name = ALL_VOXELS if roi is None else roi
            errors = participant_interval(table.to_numpy())
            means = table.mean(axis=0)
            curves += _curve(name, condition, table.columns, means, errors, sem)
            layers[name, condition.value] = str(table.mean(axis=0).idxmax())
    return curves, best, layers, notes


def _curve(
    part: str,
    condition: Condition,
    layers: Iterable[str],
    scores: Iterable[float],
    errors: Iterable[float] | None = None,
    published: Iterable[float] | None = None,
) -> list[dict[str, object]]:
    layers = list(layers)
    none = [float("nan")] * len(layers)
    return [
        {
            "part": part,
            "condition": condition.value,
            "layer": layer,
            "position": position,
            "score": float(score),
            "error": float(error),
            "published_error": float(sem),
        }
        for position, (layer, score, error, sem) in enumerate(
            zip(
                layers,
                scores,
                none if errors is None else errors,
                none if published is None else published,
            )
        )
    ]


def _baseline(paths: ProjectPaths, target: str, published: pd.DataFrame) -> tuple[pd.Series, bool]:
    """Scores of the baseline by part: from results here, else as read from the paper's figure."""
    try:
        if target == COMPONENT_TARGET:
            here = collect_components(paths, [BASELINE_MODEL], False)
            found = None if here is None else here.mean[BASELINE_MODEL]
        else:
            scores = collect_scores(paths, [BASELINE_MODEL], target, False)
            found = (
                None
                if scores is None
                else pd.Series({ALL_VOXELS: scores.scores[BASELINE_MODEL].mean()})
            )
    except InputError:  # damaged or of other data: not worth the report
        found = None
    if found is not None:
        return found.astype(float), False
    rows = published[published["model"] == BASELINE_MODEL]
    return rows.set_index("part")["value"].astype(float), True


@dataclass(frozen=True)
class Rank:
    """Place among the paper's models, 1 is the best.

    ``low`` and ``high`` bound it: what it is if every value is off by its error.
    """

    place: int
    low: int
    high: int
    n_models: int


def rank_among_published(part: TargetPart, name: str) -> Rank | None:
    """The place of the model's trained network among the paper's trained networks, on one part.

    Parameters
    ----------
    part : TargetPart
    name : str
        A component or all voxels.
    """
    score, error = part.score(name, Condition.TRAINED)
    rows = part.published[
        (part.published["part"] == name) & (part.published["condition"] == Condition.TRAINED)
    ]
    if rows.empty or not np.isfinite(score):
        return None
    error = error if np.isfinite(error) else 0.0
    values, reading = rows["value"].to_numpy(), rows["reading_error"].to_numpy()
    return Rank(
        1 + int((values > score).sum()),
        1 + int((values - reading > score + error).sum()),
        1 + int((values + reading > score - error).sum()),
        len(rows) + 1,
    )


def verdict(model: str, parts: Iterable[TargetPart]) -> list[str]:
    """What the numbers say, a sentence or two for every target."""
    sentences = []
    for part in parts:
        scores = {name: part.score(name, Condition.TRAINED)[0] for name in part.parts}
        permuted = {name: part.score(name, Condition.PERMUTED)[0] for name in part.parts}
        above_twin = sum(scores[name] > permuted[name] for name in scores)
        has_twin = np.isfinite(list(permuted.values())).any()
        above_baseline = sum(scores[name] > part.baseline.get(name, np.inf) for name in scores)
        if part.target == COMPONENT_TARGET:
            low, high = min(scores, key=scores.__getitem__), max(scores, key=scores.__getitem__)
            text = (
                f"On the six response components {model} explains from {scores[low]:.2f} ({low}) "
                f"to {scores[high]:.2f} ({high}) of the variance at its best layers; "
                f"it is above the acoustic baseline on {above_baseline} of {len(scores)}"
            )
            text += (
                f" and above its permuted twin on {above_twin} of {len(scores)}."
                if has_twin
                else "."
            )
        else:
            score, error = part.score(ALL_VOXELS, Condition.TRAINED)
            twin = permuted[ALL_VOXELS]
            text = (
                f"On the voxels of {part.target} it explains {score:.2f} ± {error:.2f} of the "
                "variance that could be explained (95 % interval over participants), "
                f"{'above' if above_baseline else 'not above'} the acoustic baseline "
                f"({part.baseline.get(ALL_VOXELS, float('nan')):.2f})"
            )
            text += f"; its permuted twin explains {twin:.2f}." if has_twin else "."
        sentences.append(text)
    return sentences

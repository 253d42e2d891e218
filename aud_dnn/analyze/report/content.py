"""The numbers of a report: one model on its targets, beside the paper's models."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from aud_dnn.analyze.report.measured import (
    BASELINE,
    measured_components,
    measured_voxels,
)
from aud_dnn.conditions import Condition
from aud_dnn.errors import MissingDataError
from aud_dnn.models.published import published_scores
from aud_dnn.models.registry import BASELINE_MODEL
from aud_dnn.paths import ProjectPaths
from aud_dnn.tables.parts import ALL
from aud_dnn.targets.facts import COMPONENT_TARGET, ROIS, TARGETS


@dataclass(frozen=True)
class TargetPart:
    """What the report says about one target.

    Attributes
    ----------
    target : str
    curves : DataFrame
        Columns ``part`` (component, region or all voxels), ``condition``, ``layer``, ``position``
        (from 0), ``score``, ``error`` (half a 95 % interval over participants; NaN for components,
        which have none), ``sem`` (the paper's standard error within participants, over layers).
    best : DataFrame
        Columns ``part``, ``condition``, ``score``, ``error``, ``sem``: at the best layer. For
        components the error is the standard error over re-halvings of the splits; ``sem`` is the
        paper's within participants, over the conditions of a part and the baseline.
    regions : DataFrame
        The same for the voxels of every region, where every participant has some; else empty.
    layers : dict
        (part, condition) -> the best layer of the curve.
    baselines : DataFrame
        part -> ``condition``, ``score``, ``error``, ``sem`` of the acoustic baseline.
    baseline_is_read : bool
        From the paper's figure, because there are no results of the baseline here.
    published : DataFrame
        The paper's models (:func:`aud_dnn.models.published.published_scores`).
    notes : tuple of str
    nested : dict
        part -> score of the trained network at layers chosen within each split.
    """

    target: str
    curves: pd.DataFrame
    best: pd.DataFrame
    regions: pd.DataFrame
    layers: dict[tuple[str, str], str]
    baselines: pd.DataFrame
    baseline_is_read: bool
    published: pd.DataFrame
    notes: tuple[str, ...]
    nested: dict[str, float] = field(default_factory=dict)

    def score(self, part: str, condition: Condition) -> tuple[float, float]:
        """Score and error at the best layer; NaN where there is none."""
        rows = self.best[(self.best["part"] == part) & (self.best["condition"] == condition)]
        if rows.empty:
            return float("nan"), float("nan")
        return float(rows["score"].iloc[0]), float(rows["error"].iloc[0])

    @property
    def baseline(self) -> pd.Series:
        """Part -> score of the acoustic baseline."""
        return self.baselines["score"].astype(float)

    @property
    def bars(self) -> pd.DataFrame:
        """Every score at a best layer: components, or all voxels and regions; with the baseline.

        Columns ``part``, ``condition``, ``score``, ``error``, ``sem``, parts in their order.
        """
        table = pd.concat([self.best, self.regions, self.baselines.reset_index()])
        parts = list(dict.fromkeys([*self.best["part"], *self.regions.get("part", ())]))
        table = table[table["part"].isin(parts)]
        order = [parts.index(part) for part in table["part"]]
        return table.iloc[np.argsort(order, kind="stable")].reset_index(drop=True)

    @property
    def parts(self) -> list[str]:
        """Components, or all voxels: what has a score at the best layer."""
        return list(dict.fromkeys(self.best["part"]))


def gather(
    paths: ProjectPaths, model: str, targets: Iterable[str] = TARGETS, *, brief: bool = False
) -> tuple[list[TargetPart], list[str]]:
    """What there is about a model, target by target, and what is missing.

    Parameters
    ----------
    paths : ProjectPaths
    model : str
    targets : iterable of str
        Published targets.
    brief : bool
        Scores at best layers alone, as a table over many models needs them: without curves, and
        with the baseline as read from the paper's figures.

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
            part = _part(paths, model, target, brief)
        except MissingDataError as error:
            missing.append(str(error))
            continue
        parts.append(part)
        if Condition.PERMUTED not in set(part.best["condition"]):
            missing.append(f"There is no permuted control of {model} on {target}.")
    return parts, missing


def _part(paths: ProjectPaths, model: str, target: str, brief: bool) -> TargetPart:
    published = published_scores(target)
    if target == COMPONENT_TARGET:
        found = measured_components(paths, model, brief=brief)
    else:
        found = measured_voxels(paths, model, target, brief=brief)
        published = published.assign(part=ALL)
    scores = pd.DataFrame(found.best)
    of_model, in_regions = scores["condition"] != BASELINE, scores["part"].isin(ROIS)
    baseline, is_read = scores[~of_model], False
    if baseline.empty:  # from the paper's figure
        baseline, is_read = published[published["model"] == BASELINE_MODEL], True
        baseline = baseline.assign(score=baseline["value"], error=baseline["reading_error"])
    return TargetPart(
        target,
        pd.DataFrame(found.curves),
        scores[of_model & ~in_regions].reset_index(drop=True),
        scores[of_model & in_regions].reset_index(drop=True),
        found.layers,
        baseline.assign(condition=BASELINE)
        .set_index("part")
        .reindex(columns=["condition", "score", "error", "sem"]),
        is_read,
        published,
        tuple(dict.fromkeys(found.notes)),
        found.nested,
    )


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
            score, error = part.score(ALL, Condition.TRAINED)
            twin = permuted[ALL]
            text = (
                f"On the voxels of {part.target} it explains {score:.2f} ± {error:.2f} of the "
                "variance that could be explained (95 % interval over participants), "
                f"{'above' if above_baseline else 'not above'} the acoustic baseline "
                f"({part.baseline.get(ALL, float('nan')):.2f})"
            )
            text += f"; its permuted twin explains {twin:.2f}." if has_twin else "."
        sentences.append(text)
    return sentences

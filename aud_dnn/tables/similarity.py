"""Layers and models by ten measures of similarity, and how far the measures disagree."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from aud_dnn.conditions import Condition
from aud_dnn.runs.similarity import Similarity
from aud_dnn.tables.parts import mean_and_interval


def layers_table(found: Sequence[Similarity]) -> pd.DataFrame:
    """One row per model, target, part, measure and layer.

    Returns
    -------
    DataFrame
        ``score``, the mean over participants, and ``error``, half its 95 % interval (Student's t);
        ``ceiling``, the mean over participants; ``null`` and ``null_sd``, mean and standard
        deviation of the draws of the null; ``n``, the participants.
    """
    rows = []
    for one in found:
        for row in range(len(one.measures)):
            for place, layer in enumerate(one.layers):
                score, error = mean_and_interval(one.scores[place, row])
                rows.append(
                    {
                        **_about(one, row),
                        "layer": layer,
                        "position": place / (len(one.layers) - 1)
                        if len(one.layers) > 1
                        else np.nan,
                        "score": score,
                        "error": error,
                    }
                )
    return pd.DataFrame(rows)


def models_table(found: Sequence[Similarity]) -> pd.DataFrame:
    """One row per model, target, part and measure: the layer that the other participants choose.

    Every participant's score is that of the layer which is best for the mean of the *others*, so
    that the best of many noisy numbers is not taken for the layer's worth. A single participant
    chooses for itself.

    Returns
    -------
    DataFrame
        The columns of :func:`layers_table` for these scores; ``layer`` is the one that most
        participants got; ``rank`` within the measure, 1 for the best.
    """
    rows = []
    for one in found:
        for row in range(len(one.measures)):
            chosen = layers_of_others(one.scores[:, row])
            values = one.scores[chosen, row, np.arange(len(chosen))]
            score, error = mean_and_interval(values)
            most = np.bincount(chosen).argmax()
            rows.append(
                {**_about(one, row), "layer": one.layers[most], "score": score, "error": error}
            )
    table = pd.DataFrame(rows)
    groups = table.groupby(["target", "part", "condition", "measure"], sort=False)
    return table.assign(rank=groups["score"].rank(ascending=False))


def layers_of_others(scores: np.ndarray) -> np.ndarray:
    """For each participant the layer with the largest mean over the other participants.

    Parameters
    ----------
    scores : array of shape (n_layers, n_participants)
        NaN counts as not measured.

    Returns
    -------
    int array of shape (n_participants,)
    """
    n_participants = scores.shape[1]
    known = np.isfinite(scores)
    values = np.where(known, scores, 0)
    total, counts = values.sum(axis=1, keepdims=True), known.sum(axis=1, keepdims=True)
    if n_participants > 1:
        total, counts = total - values, counts - known
    means = np.where(counts > 0, total / np.maximum(counts, 1), -np.inf)
    return np.broadcast_to(means, (len(scores), n_participants)).argmax(axis=0)


def agreement_table(found: Sequence[Similarity]) -> pd.DataFrame:
    """How far two measures agree on the order of models, and on that of a model's layers.

    Returns
    -------
    DataFrame
        One row per target, part, condition and pair of measures: ``models``, Kendall's tau-b of the
        models' scores (NaN for fewer than three), ``n_models``, and ``layers``, that of the layers
        of a model, mean over the models with three layers or more.
    """
    models = models_table(found)
    rows = []
    groups = models.groupby(["target", "part", "condition"], sort=False)
    for (target, part, condition), inside in groups:
        wide = inside.pivot(index="model", columns="measure", values="score")
        here = [
            one
            for one in found
            if (one.target, one.part, str(Condition.of(one.randnetw))) == (target, part, condition)
        ]
        for first, second in itertools.combinations(here[0].measures, 2):
            within = [
                _tau(
                    *(
                        [mean_and_interval(layer)[0] for layer in one.scores[:, place]]
                        for place in (one.measures.index(first), one.measures.index(second))
                    )
                )
                for one in here
            ]
            known = [value for value in within if np.isfinite(value)]
            rows.append(
                {
                    "target": target,
                    "part": part,
                    "condition": condition,
                    "first": first,
                    "second": second,
                    "models": _tau(wide[first], wide[second]),
                    "n_models": len(wide),
                    "layers": np.mean(known) if known else np.nan,
                }
            )
    return pd.DataFrame(rows)


def _tau(first: Sequence[float], second: Sequence[float]) -> float:
    both = np.isfinite([first, second]).all(axis=0)
    if np.count_nonzero(both) < 3:
        return np.nan
    return float(kendalltau(np.asarray(first)[both], np.asarray(second)[both]).statistic)


def _about(one: Similarity, row: int) -> dict[str, object]:
    ceiling, _ = mean_and_interval(one.ceilings[row])
    return {
        "model": one.model,
        "condition": str(Condition.of(one.randnetw)),
        "target": one.target,
        "part": one.part,
        "measure": one.measures[row],
        "n": int(np.isfinite(one.scores[:, row]).any(axis=0).sum()),
        "ceiling": ceiling,
        "null": float(np.mean(one.null[row])),
        "null_sd": float(np.std(one.null[row], ddof=1)),
    }

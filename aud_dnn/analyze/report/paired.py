"""Two models side by side, on the same participants or the same sounds."""

from __future__ import annotations

import numpy as np
import pandas as pd

from aud_dnn.analyze.report.content import TargetPart
from aud_dnn.conditions import Condition
from aud_dnn.errors import InputError, MissingDataError
from aud_dnn.paths import ProjectPaths
from aud_dnn.stats import participant_interval
from aud_dnn.tables.figure_inputs import collect_scores
from aud_dnn.tables.parts import ALL
from aud_dnn.tables.predicted import predicted_responses
from aud_dnn.targets.facts import COMPONENT_TARGET
from aud_dnn.targets.loading import load_target

N_RESAMPLES = 2_000
_CHUNK = 250  # resamples at once
OVER_PARTICIPANTS = "participants (Student's t)"
OVER_SOUNDS = "sounds (bootstrap)"


def paired_table(
    paths: ProjectPaths, part: TargetPart, other: TargetPart, model: str, other_model: str
) -> pd.DataFrame:
    """Differences between the trained networks of two models on one target, with 95 % intervals.

    Voxels: the mean over participants of the difference of their scores at the best layers, and
    its t-interval. Components: the difference of R² between measured responses and mean held-out
    predictions at each model's best layer, and its bootstrap interval over sounds (the same sounds
    for both models in every resample).

    Returns
    -------
    DataFrame
        Columns ``part``, ``score``, ``other``, ``difference``, ``low``, ``high``, ``over``.

    Raises
    ------
    MissingDataError
        Component results without predictions.
    """
    if part.target == COMPONENT_TARGET:
        return _components(paths, part, other, model, other_model)
    scores = collect_scores(paths, [model, other_model], part.target, False)
    if scores is None or other_model not in scores.scores:
        raise MissingDataError(f"There are no results of {other_model} on {part.target}.")
    values = scores.scores[[model, other_model]].dropna().to_numpy()
    difference = values[:, :1] - values[:, 1:]
    mean, half = float(difference.mean()), float(participant_interval(difference)[0])
    row = (ALL, *values.mean(axis=0), mean, mean - half, mean + half, OVER_PARTICIPANTS)
    return pd.DataFrame([row], columns=_COLUMNS)


_COLUMNS = ["part", "score", "other", "difference", "low", "high", "over"]


def _components(
    paths: ProjectPaths, part: TargetPart, other: TargetPart, model: str, other_model: str
) -> pd.DataFrame:
    target = load_target(paths, COMPONENT_TARGET)
    measured = target.responses.reshape(len(target.stimuli), len(part.parts), -1).mean(axis=2)
    rows = []
    for i, name in enumerate(part.parts):
        predicted = []
        for one, its_part in ((model, part), (other_model, other)):
            layer = its_part.layers[name, Condition.TRAINED.value]
            try:
                predicted.append(predicted_responses(paths, one, layer, False)[:, i])
            except InputError as error:
                raise MissingDataError(
                    f"The results of {one} hold no predictions, which a comparison needs. Fit it "
                    "again: python aud_dnn/AUD_main.py --save_preds True --overwrite True"
                ) from error
        ours, theirs, low, high = bootstrap_difference(measured[:, i], *predicted)
        rows.append((name, ours, theirs, ours - theirs, low, high, OVER_SOUNDS))
    return pd.DataFrame(rows, columns=_COLUMNS)


def bootstrap_difference(
    measured: np.ndarray,
    predicted: np.ndarray,
    other: np.ndarray,
    *,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> tuple[float, float, float, float]:
    """Squared correlations of two predictions with a response, and the 95 % percentile interval of
    their difference over resampled sounds.

    Parameters
    ----------
    measured, predicted, other : array of shape (n_sounds,)
    n_resamples, seed : int

    Returns
    -------
    r2, r2_other, low, high : float
    """
    rng = np.random.default_rng(seed)
    stacked = np.stack([measured, predicted, other]).astype(np.float64)
    differences = []
    for start in range(0, n_resamples, _CHUNK):
        index = rng.integers(len(measured), size=(min(_CHUNK, n_resamples - start), len(measured)))
        squared = _squared_correlations(stacked[:, index])
        differences.append(squared[0] - squared[1])
    low, high = np.nanquantile(np.concatenate(differences), [0.025, 0.975])
    ours, theirs = _squared_correlations(stacked)
    return float(ours), float(theirs), float(low), float(high)


def _squared_correlations(values: np.ndarray) -> np.ndarray:
    """Of the first row with the others; negative correlations count as 0, as in the scores.

    Shape (3, ..., n_sounds) -> (2, ...).
    """
    centred = values - values.mean(axis=-1, keepdims=True)
    products = (centred[:1] * centred[1:]).sum(axis=-1)
    lengths = (centred**2).sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        r = products / np.sqrt(lengths[:1] * lengths[1:])
    return np.clip(r, 0, None) ** 2


def paired_verdict(model: str, other_model: str, target: str, table: pd.DataFrame) -> str:
    """One sentence: where an interval, each by itself at 95 %, does not hold 0."""
    table = table.assign(part=table["part"].replace(ALL, f"the voxels of {target}"))
    better = table[table["low"] > 0]["part"].tolist()
    worse = table[table["high"] < 0]["part"].tolist()
    said = [
        f"{word} on {', '.join(parts)}"
        for word, parts in (("better", better), ("worse", worse))
        if parts
    ]
    if not said:
        return f"{model} and {other_model} do not differ beyond the intervals on {target}."
    return f"Beside {other_model}, {model} is {' and '.join(said)} (95 % interval beyond 0)."

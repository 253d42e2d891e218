"""When a model predicts the responses: scores of every layer over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from aud_dnn.tables.own_targets import OwnScores, over_time


@dataclass(frozen=True)
class Latency:
    """Scores of one model over time.

    Attributes
    ----------
    scores : DataFrame
        Median over neuroids, times × layers.
    peak : Series
        Time of the largest score of each layer, NaN where all are 0; the first of several.
    """

    scores: pd.DataFrame
    peak: pd.Series


def latency(scores: OwnScores) -> Latency:
    """Score over time, and its peak, for every layer.

    Parameters
    ----------
    scores : OwnScores
        Of a target with a time axis.

    Raises
    ------
    ValueError
        The target has no time axis.
    """
    if not scores.facts.has_time:
        raise ValueError(f"{scores.facts.name} has no time axis")
    table = over_time(scores)
    peak = table.idxmax(axis=0).where(table.max(axis=0) > 0, np.nan)
    return Latency(table, peak)

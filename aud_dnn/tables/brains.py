"""Other brains as sources, by target participant and region; models among them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from aud_dnn.errors import InputError, MissingDataError, few
from aud_dnn.methods.brains import place_among
from aud_dnn.paths import ProjectPaths
from aud_dnn.runs.brains import Brains
from aud_dnn.tables.choices import PUBLISHED_CHOICE
from aud_dnn.tables.figure_inputs import collect_region_scores, collect_scores
from aud_dnn.tables.parts import ALL, voxel_parts
from aud_dnn.targets.facts import VOXEL_TARGETS

TOGETHER = "all others"


def _regions(brains: Brains) -> dict[str, np.ndarray]:
    """Name -> its voxels; only parts where every participant has some."""
    people = set(brains.owner)
    parts = voxel_parts(brains.target.metadata).items()
    return {part: inside for part, inside in parts if set(brains.owner[inside]) == people}


def source_matrix(brains: Brains, keep: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sources × target participants, NaN on the diagonal, and the row of all others together.

    Each is the median over the target's voxels among ``keep``; noise-corrected values are limited
    to 1, as those of models are.
    """
    most = 1.0 if brains.target.has_repetitions else np.inf
    participants = brains.scores.participants
    columns = [keep & (brains.owner == participant) for participant in participants]
    by_source = np.full((len(participants), len(participants)), np.nan)
    for place in range(len(participants)):
        for column, voxels in enumerate(columns):
            if column != place:
                values = np.minimum(brains.scores.by_source[place, voxels], most)
                by_source[place, column] = np.nanmedian(values)
    together = np.array(
        [np.nanmedian(np.minimum(brains.scores.together[voxels], most)) for voxels in columns]
    )
    return by_source, together


def brains_table(brains: Brains) -> pd.DataFrame:
    """One row per region, target participant and source: ``part``, ``participant``, ``source``,
    ``n`` voxels, ``score``; the source ``all others`` is all of them together.
    """
    rows = []
    labels = [str(label) for label in brains.scores.participants]
    for part, keep in _regions(brains).items():
        by_source, together = source_matrix(brains, keep)
        for column, participant in enumerate(labels):
            n = int((keep & (brains.owner == brains.scores.participants[column])).sum())
            scores = [*by_source[:, column], together[column]]
            for source, score in zip([*labels, TOGETHER], scores):
                if np.isfinite(score):
                    rows.append((part, participant, source, n, float(score)))
    return pd.DataFrame(rows, columns=["part", "participant", "source", "n", "score"]).assign(
        target=brains.target.name
    )


def places_table(
    paths: ProjectPaths,
    brains: Brains,
    models: Sequence[str],
    *,
    randnetw: bool = False,
    layer_choice: str = PUBLISHED_CHOICE,
) -> pd.DataFrame:
    """Where models stand among the participants as sources: one row per model and region.

    Returns
    -------
    DataFrame
        ``score`` (mean over participants), ``brains`` (the same of one other brain, on average),
        ``together`` (of all others), ``difference`` and the interval ``low`` to ``high`` in which
        one more participant would lie (95 %), ``p``, ``like_a_brain`` (within it), ``n_below``,
        ``n`` (:class:`aud_dnn.methods.brains.Place`). Empty for targets that are not published
        ones or have fewer than three participants.
    """
    target, labels = brains.target.name, [str(label) for label in brains.scores.participants]
    rows = []
    if target in VOXEL_TARGETS and len(labels) > 2:
        regions = _regions(brains)
        for model in models:
            for part, values in _model_scores(paths, model, target, randnetw, layer_choice).items():
                if part not in regions:
                    continue
                if sorted(values.index) != sorted(labels):
                    raise InputError(
                        f"{model} on {target} has results of the participants "
                        f"{few(list(values.index))}, its responses are of {few(labels)}. Fit it "
                        "again to these responses, with --overwrite."
                    )
                by_source, together = source_matrix(brains, regions[part])
                place = place_among(by_source, values[labels].to_numpy(dtype=float))
                rows.append(
                    {
                        "model": model,
                        "target": target,
                        "part": part,
                        "score": float(values.mean()),
                        "brains": float(np.nanmean(by_source)),
                        "together": float(together.mean()),
                        "difference": place.difference,
                        "low": place.low,
                        "high": place.high,
                        "p": place.p,
                        "like_a_brain": place.low <= place.difference <= place.high,
                        "n_below": place.n_below,
                        "n": place.n,
                    }
                )
    return pd.DataFrame(rows)


def _model_scores(
    paths: ProjectPaths, model: str, target: str, randnetw: bool, layer_choice: str
) -> dict[str, pd.Series]:
    """Part -> score of every participant, by label."""
    data = collect_scores(paths, [model], target, randnetw, layer_choice)
    if data is None:
        return {}
    found = {ALL: data.scores[model]}
    if layer_choice == PUBLISHED_CHOICE:
        try:
            table = collect_region_scores(paths, model, target, randnetw)
        except MissingDataError:
            return found
        found |= {roi: table[roi] for roi in table.columns}
    for values in found.values():
        values.index = values.index.astype(str)
    return found

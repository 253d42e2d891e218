"""Every figure that makes sense for a target of one's own; what it lacks is said in a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from aud_dnn.analyze.figure_options import FigureOptions
from aud_dnn.analyze.latency import latency
from aud_dnn.analyze.plotting.drawings import Drawings
from aud_dnn.analyze.plotting.own_target import (
    latency_curves,
    target_layer_curves,
    target_model_bars,
    target_region_bars,
)
from aud_dnn.conditions import Condition
from aud_dnn.errors import MissingDataError
from aud_dnn.paths import ProjectPaths
from aud_dnn.tables.model_results import same_versions
from aud_dnn.tables.own_targets import (
    PARTICIPANT,
    REGION,
    OwnScores,
    load_own_scores,
    over_participants,
    over_regions,
    own_source_notes,
    own_targets,
)


def own_target_figures(paths: ProjectPaths, target: str, options: FigureOptions) -> Drawings:
    """Models, layers, best layers by region, latency: of all models with results on this target.

    Parameters
    ----------
    paths : ProjectPaths
    target : str
        Name of the target.
    options : FigureOptions
        ``conditions``, ``palette``, ``statistics``, ``participants`` and ``own_models`` count.

    Returns
    -------
    Drawings
    """
    drawings = Drawings()
    models = list(dict.fromkeys([*own_targets(paths).get(target, []), *options.own_models]))
    found: dict[bool, list[OwnScores]] = {}
    for randnetw in options.conditions:
        for model in models:
            with drawings.attempt():
                if Condition.of(randnetw).exists_for(model) and (
                    one := _load(paths, model, target, randnetw, drawings)
                ):
                    found.setdefault(randnetw, []).append(one)
    for randnetw, loaded in found.items():
        notes = _notes(loaded)
        drawings.notes += [note for note in notes if note not in drawings.notes]
        if loaded[0].labels(REGION) is None:
            drawings.notes.append(
                f"{target} has no regions (column region): best layers by region are not drawn"
            )
        if not loaded[0].facts.has_time:
            drawings.notes.append(f"{target} has no time axis: there is no latency")
        with drawings.attempt():
            same_versions(
                {scores.model: scores.versions for scores in loaded},
                f"Models on {target}",
                lambda model: f"the layers of {model}",
            )
            drawings.append(
                target_model_bars(
                    _best(loaded),
                    loaded[0].facts,
                    randnetw,
                    palette=options.palette,
                    participants=options.participants,
                    statistics=options.statistics,
                    notes=notes,
                )
            )
        for scores in loaded:
            with drawings.attempt():
                _one_model(drawings, scores, randnetw, options.statistics, notes)
    for model in models:
        with drawings.attempt():
            tables = {
                randnetw: _at_layers(scores)
                for randnetw, loaded in found.items()
                for scores in loaded
                if scores.model == model
            }
            if tables and next(iter(tables.values())).shape[1] > 1:
                facts = next(iter(found.values()))[0].facts
                drawings.append(
                    target_layer_curves(
                        tables,
                        model,
                        facts,
                        palette=options.palette,
                        statistics=options.statistics,
                        notes=_notes(found[next(iter(tables))]),
                    )
                )
    return drawings


def _load(
    paths: ProjectPaths, model: str, target: str, randnetw: bool, drawings: Drawings
) -> OwnScores | None:
    try:
        scores = load_own_scores(paths, model, target, randnetw)
        notes = own_source_notes(paths, model, target, randnetw)
        return replace(scores, notes=(*scores.notes, *notes))
    except MissingDataError as error:
        if not randnetw:
            drawings.notes.append(str(error))
        return None


def _notes(loaded: Sequence[OwnScores]) -> list[str]:
    """What the target lacks, and what that means for its figures."""
    scores = loaded[0]
    name = scores.facts.name
    notes = list(dict.fromkeys(note for one in loaded for note in one.notes))
    if scores.labels(PARTICIPANT) is None:
        notes.append(
            f"{name} has no participants (column participant): medians over all neuroids, "
            "without errors"
        )
    if scores.facts.has_time:
        notes.append(
            f"{name} has a time axis: models, layers and regions show medians over neuroids "
            "and times"
        )
    if scores.scores.shape[2] == 1:
        notes.append(f"{name} has a single split: it both chooses the best layer and scores it")
    return notes


def _best(loaded: Sequence[OwnScores]) -> pd.DataFrame:
    """Score at the best layer: participants × models."""
    columns = {
        scores.model: over_participants(
            scores.best_layer()[0][:, None], scores.labels(PARTICIPANT)
        )[0]
        for scores in loaded
    }
    return pd.DataFrame(columns)


def _at_layers(scores: OwnScores) -> pd.DataFrame:
    """Participants × layers."""
    table = over_participants(scores.medians, scores.labels(PARTICIPANT))
    return table.set_axis(list(scores.layers), axis=1)


def _one_model(
    drawings: Drawings, scores: OwnScores, randnetw: bool, statistics: str, notes: Sequence[str]
) -> None:
    regions = scores.labels(REGION)
    if regions is not None and len(scores.layers) > 1:
        table = over_regions(
            scores.best_layer()[1], scores.labels(PARTICIPANT), np.asarray(regions)
        )
        drawings.append(
            target_region_bars(
                table, scores.model, scores.facts, randnetw, statistics=statistics, notes=notes
            )
        )
    if scores.facts.has_time:
        drawings.append(
            latency_curves(latency(scores), scores.model, scores.facts, randnetw, notes=())
        )

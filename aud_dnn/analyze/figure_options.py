"""What a figure is asked for, and the results that it can be drawn from."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product
from typing import TypeVar

from aud_dnn.analyze.plotting.drawings import Drawing, Drawings
from aud_dnn.analyze.plotting.style import display_name, note_below
from aud_dnn.conditions import Condition
from aud_dnn.models.figure_sets import (
    FIGURE_2_MODELS,
    FIGURE_7_MODELS,
)
from aud_dnn.models.registry import BASELINE_MODEL
from aud_dnn.paths import ProjectPaths
from aud_dnn.stats import STATISTICS, recommended_errors
from aud_dnn.tables.across_models import (
    AcrossModels,
    ComponentScores,
    RegionPositions,
)
from aud_dnn.tables.choices import PUBLISHED_CHOICE, aggregation_name, choice_note
from aud_dnn.tables.figure_inputs import (
    collect_components,
)
from aud_dnn.targets.facts import COMPONENT_TARGET, VOXEL_TARGETS

OTHER_REGIONS = ("Anterior", "Lateral", "Posterior")


PRIMARY_PAIRS = tuple(("Primary", other) for other in OTHER_REGIONS)
"""Regions that Figure 7 sets against each other."""


OTHER_PAIRS = tuple(combinations(OTHER_REGIONS, 2))
"""Pairs without primary cortex (supplement)."""


REFERENCE_MODEL = "ResNet50multitask"


Data = TypeVar("Data", AcrossModels, ComponentScores, RegionPositions)
Collect = Callable[[ProjectPaths, Sequence[str], str, bool, str], "Data | None"]


@dataclass(frozen=True)
class FigureOptions:
    """What can be chosen for any figure.

    Attributes
    ----------
    own_models : tuple of str
        Further models, at the right of every figure in a colour of their own.
    palette : {"paper", "colorblind"}
    participants : bool
        Single participants as points on the bars.
    targets : tuple of str
        Among ``NH2015`` and ``B2021``.
    conditions : tuple of bool
        False trained, True permuted.
    statistics : {"published", "recommended"}
        Which error bars and p-values the pictures show.
    layer_choice : str
        Among :data:`aud_dnn.tables.layer_choice.LAYER_CHOICES`.
    """

    own_models: tuple[str, ...] = ()
    palette: str = "paper"
    participants: bool = False
    targets: tuple[str, ...] = VOXEL_TARGETS
    conditions: tuple[bool, ...] = (False, True)
    statistics: str = STATISTICS[0]
    layer_choice: str = PUBLISHED_CHOICE

    def models(self, published: Sequence[str], *, baseline: bool = True) -> list[str]:
        """The published list and the user's own models, the baseline last."""
        chosen = [model for model in (*published, *self.own_models) if model != BASELINE_MODEL]
        return list(dict.fromkeys(chosen)) + ([BASELINE_MODEL] if baseline else [])

    @classmethod
    def from_arguments(cls, arguments: argparse.Namespace) -> FigureOptions:
        """What a script's flags say (:mod:`aud_dnn.arguments`)."""
        return cls(
            own_models=tuple(arguments.models),
            palette=arguments.palette,
            targets=tuple(arguments.target),
            conditions=tuple(
                Condition(name).randnetw for name in dict.fromkeys(arguments.condition)
            ),
        )


def none_of(models: Sequence[str], target: str, randnetw: bool) -> str:
    """What to say where no model of a figure has results."""
    return (
        f"Not drawn: no model of this figure has {'permuted' if randnetw else 'trained'} results "
        f"on {target} ({', '.join(display_name(model) for model in models[:4])}, …)."
    )


def components(
    paths: ProjectPaths,
    models: Sequence[str],
    target: str,
    randnetw: bool,
    layer_choice: str = PUBLISHED_CHOICE,
) -> ComponentScores | None:
    """Scores of the six components of some models; None where there are none."""
    return collect_components(paths, models, randnetw, layer_choice)


def sets(
    paths: ProjectPaths,
    collect: Collect,
    models: Sequence[str],
    options: FigureOptions,
    found: Drawings | None = None,
    *,
    baseline_alone: bool = False,
) -> Iterator[Data]:
    """What there is to draw or to test, data set by data set, trained before permuted.

    Parameters
    ----------
    collect : function
        One of those of :mod:`aud_dnn.tables.figure_inputs`.
    found : Drawings, optional
        Takes what is missing or doubtful as a note, and bad results as an error; without it they
        are passed over or raised.
    baseline_alone : bool
        The trained baseline without any other model is something, too.
    """
    targets = (COMPONENT_TARGET,) if collect is components else options.targets
    for target, randnetw in product(targets, options.conditions):
        with contextlib.nullcontext() if found is None else found.attempt():
            data = collect(paths, models, target, randnetw, options.layer_choice)
            only_baseline = data is None or set(data.models) <= {BASELINE_MODEL}
            if data is None or (only_baseline and (randnetw or not baseline_alone)):
                if found is not None:
                    found.notes.append(none_of(models, target, randnetw))
            else:
                if found is not None:  # on the terminal, too, not on the picture alone
                    found.note(data.notes)
                yield (
                    data
                    if isinstance(data, ComponentScores)
                    else replace(data, statistics=options.statistics)
                )


def say_which(
    drawing: Drawing,
    data: AcrossModels | RegionPositions,
    lines: Sequence[str] = (),
    **columns: object,
) -> Drawing:
    """Say on the picture and in its csv whether error bars and p-values are the published or the
    recommended ones, and how layers were chosen if not as published.

    The recommended ones have a file name of their own, so that they never take the place of the
    published ones.
    """
    n_participants = len(
        data.scores if isinstance(data, AcrossModels) else next(iter(data.positions.values()))
    )
    published = data.statistics == "published"
    errors = (
        f"As published: errors are SD over {n_participants} participants (within, "
        f"{len(drawing.table)} models) / √(participants − 1)."
        if published
        else recommended_errors(n_participants)
    )
    note_below(drawing.figure, [errors, *choice_note(data.layer_choice), *lines])
    stem = (
        drawing.stem
        if published
        else (
            f"{drawing.stem.replace('within_subject_sem', 'confidence_interval_95')}_"
            f"{data.statistics}"
        )
    )
    table = drawing.table.assign(statistics=data.statistics, **columns)
    return named_by_choice(replace(drawing, stem=stem, table=table), data.layer_choice)


def named_by_choice(drawing: Drawing, layer_choice: str) -> Drawing:
    """Under a file name of its own where layers were not chosen as published."""
    name = aggregation_name(layer_choice)
    if layer_choice == PUBLISHED_CHOICE or name in drawing.stem:
        return drawing
    return replace(drawing, stem=f"{drawing.stem}_{name}")


def count_suffix(models: Sequence[str]) -> str:
    """The published names belong to the published lists; any other set is named by its size."""
    published = {
        "_all-models": set(FIGURE_2_MODELS) - {BASELINE_MODEL},
        "_good-models": set(FIGURE_7_MODELS),
    }
    return next(
        (suffix for suffix, members in published.items() if members == set(models)),
        f"_{len(models)}-models",
    )

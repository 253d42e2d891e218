"""The figures of the paper, one function each: from ``results/`` to drawings.

Notebooks and scripts call these.

All of them take the same options (:class:`FigureOptions`). Models without results are left out and
named below the picture. Figure panels that come from the RSA are drawn by
:mod:`aud_dnn.analyze.plotting.rsa_figures`.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product
from typing import TypeVar

import numpy as np
import pandas as pd

from aud_dnn.analyze.plotting.bars import (
    BarLayout,
    component_bars,
    gapped_layout,
    grouped_layout,
    model_bars,
)
from aud_dnn.analyze.plotting.lines import components_across_models
from aud_dnn.analyze.plotting.responses import category_correlations, response_scatter
from aud_dnn.analyze.plotting.scatters import (
    Limits,
    component_pair_scatter,
    component_seed_scatter,
    region_scatter,
    seed_scatter,
)
from aud_dnn.analyze.plotting.style import Drawing, Drawings, display_name, format_p, note_below
from aud_dnn.errors import InputError, MissingDataError
from aud_dnn.models.figure_sets import (
    CLEAN_SEED_PAIRS,
    COMPONENT_ORDER,
    FIGURE_2_MODELS,
    FIGURE_7_MODELS,
    FIGURE_8_MODELS,
    FIGURE_9_MODELS,
    PERFORMANCE_ORDER,
    SEED_PAIRS,
    seed_limits,
)
from aud_dnn.models.registry import BASELINE_MODEL
from aud_dnn.paths import ProjectPaths
from aud_dnn.stats import add_adjusted, wilcoxon_signed_rank
from aud_dnn.store.comparisons import condition_name
from aud_dnn.tables.across_models import (
    STATISTICS,
    AcrossModels,
    ComponentScores,
    RegionPositions,
    component_comparisons,
    participant_comparisons,
    region_comparison,
)
from aud_dnn.tables.figure_inputs import (
    collect_components,
    collect_regions,
    collect_scores,
    predicted_responses,
)
from aud_dnn.tables.model_results import layer_folders
from aud_dnn.tables.per_model import COMPONENT_TARGET, CV_NAME, VALUE, has_condition
from aud_dnn.tables.scores import most_frequent_layer
from aud_dnn.targets.facts import COMPONENTS, VOXEL_TARGETS
from aud_dnn.utils import load_target

OTHER_REGIONS = ("Anterior", "Lateral", "Posterior")
PRIMARY_PAIRS = tuple(("Primary", other) for other in OTHER_REGIONS)
"""Regions that Figure 7 sets against each other."""
OTHER_PAIRS = tuple(combinations(OTHER_REGIONS, 2))
"""Pairs without primary cortex (supplement)."""
REFERENCE_MODEL = "ResNet50multitask"
RESPONSE_ROWS = ((REFERENCE_MODEL, False), (REFERENCE_MODEL, True), (BASELINE_MODEL, False))
"""Rows of Figure 4: model and whether its weights are permuted."""


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
    """

    own_models: tuple[str, ...] = ()
    palette: str = "paper"
    participants: bool = False
    targets: tuple[str, ...] = VOXEL_TARGETS
    conditions: tuple[bool, ...] = (False, True)
    statistics: str = STATISTICS[0]

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
            conditions=tuple(name == "permuted" for name in dict.fromkeys(arguments.condition)),
        )


def _none_of(models: Sequence[str], target: str, randnetw: bool) -> str:
    return (
        f"Not drawn: no model of this figure has {'permuted' if randnetw else 'trained'} results "
        f"on {target} ({', '.join(display_name(model) for model in models[:4])}, …)."
    )


# --- what several figures share -----------------------------------------------------------------

Data = TypeVar("Data", AcrossModels, ComponentScores, RegionPositions)
Collect = Callable[[ProjectPaths, Sequence[str], str, bool], "Data | None"]


def _components(
    paths: ProjectPaths, models: Sequence[str], target: str, randnetw: bool
) -> ComponentScores | None:
    return collect_components(paths, models, randnetw)


def _sets(
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
    targets = (COMPONENT_TARGET,) if collect is _components else options.targets
    for target, randnetw in product(targets, options.conditions):
        with contextlib.nullcontext() if found is None else found.attempt():
            data = collect(paths, models, target, randnetw)
            only_baseline = data is None or set(data.models) <= {BASELINE_MODEL}
            if data is None or (only_baseline and (randnetw or not baseline_alone)):
                if found is not None:
                    found.notes.append(_none_of(models, target, randnetw))
            else:
                if found is not None:  # on the terminal, too, not on the picture alone
                    found.note(data.notes)
                yield (
                    data
                    if isinstance(data, ComponentScores)
                    else replace(data, statistics=options.statistics)
                )


def _say_which(
    drawing: Drawing,
    data: AcrossModels | RegionPositions,
    lines: Sequence[str] = (),
    **columns: object,
) -> Drawing:
    """Say on the picture and in its csv whether error bars and p-values are the published or the
    recommended ones.

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
        else f"Recommended: errors are 95 % intervals of the mean over {n_participants} "
        "participants (Student's t)."
    )
    note_below(drawing.figure, [errors, *lines])
    stem = (
        drawing.stem
        if published
        else (
            f"{drawing.stem.replace('within_subject_sem', 'confidence_interval_95')}_{data.statistics}"
        )
    )
    return replace(
        drawing, stem=stem, table=drawing.table.assign(statistics=data.statistics, **columns)
    )


# --- Figure 2 -----------------------------------------------------------------------------------


def figure_2(paths: ProjectPaths, options: FigureOptions | None = None) -> Drawings:
    """Predictivity of all models by regression.

    Bars for each data set, trained and permuted, then the two seeds.
    """
    options = options or FigureOptions()
    drawings = Drawings()
    for data in _sets(paths, collect_scores, options.models(FIGURE_2_MODELS), options, drawings):
        order = PERFORMANCE_ORDER[data.target] if data.randnetw else None
        drawing = model_bars(
            data, order, palette=options.palette, participants=options.participants
        )
        drawings.append(_say_which(drawing, data))
    drawings.add(seed_figures(paths, options, SEED_PAIRS, clean=False))
    return drawings


def seed_figures(
    paths: ProjectPaths, options: FigureOptions, pairs: Sequence[tuple[str, str]], *, clean: bool
) -> Drawings:
    """First against second training run by regression."""
    drawings = Drawings()
    models = [model for pair in pairs for model in pair]
    for target, randnetw in product(options.targets, options.conditions):
        low, high = seed_limits(target, randnetw=randnetw, clean=clean)
        suffix = f"{'_clean' if clean else ''}_seed1-vs-seed2_xl={low}-{high}_yl={low}-{high}"
        with drawings.attempt():
            data = collect_scores(paths, models, target, randnetw)
            data = data and replace(data, statistics=options.statistics)
            drawing = data and seed_scatter(
                data,
                pairs,
                limits=Limits((low, high), (low, high)),
                palette=options.palette,
                suffix=suffix,
            )
            if drawing:
                drawings.append(_say_which(drawing, data))
                drawings.note(data.notes)
            else:
                drawings.notes.append(
                    f"Seeds not compared on {target} ({condition_name(randnetw)}): no model has "
                    "results of both seeds."
                )
    return drawings


def figure_2_statistics(
    paths: ProjectPaths, options: FigureOptions | None = None, found: Drawings | None = None
) -> dict[str, pd.DataFrame]:
    """CochResNet50-MultiTask against the in-house networks and the baseline (file stem -> table).

    As in the other statistics, bad results are kept in ``found.errors`` where ``found`` is given,
    and raised otherwise.
    """
    options = options or FigureOptions()
    others = options.models(FIGURE_9_MODELS)
    first = [REFERENCE_MODEL, *options.own_models, BASELINE_MODEL]
    return {
        _statistics_stem("all-models_subject-bootstrap", data.target, data.randnetw): table
        for data in _sets(
            paths, collect_scores, list(dict.fromkeys([REFERENCE_MODEL, *others])), options, found
        )
        if len(table := participant_comparisons(data, first, others))
    }


def _statistics_stem(prefix: str, target: str, randnetw: bool) -> str:
    return f"{prefix}_{CV_NAME}_{target}_{VALUE[target]}{'_randnetw' if randnetw else ''}_stats"


# --- Figure 4 -----------------------------------------------------------------------------------


def figure_4(
    paths: ProjectPaths,
    options: FigureOptions | None = None,
    rows: Sequence[tuple[str, bool]] = RESPONSE_ROWS,
) -> Drawings:
    """Predicted against measured component responses.

    The layer shown is the one chosen in most of the ten iterations; the R² printed is that of
    Figure 5.

    Parameters
    ----------
    rows : sequence of (model, permuted)
        Six panels each. Rows without results are left out and named.
    """
    options = options or FigureOptions()
    rows = [*rows, *((model, False) for model in options.own_models if (model, False) not in rows)]
    drawings = Drawings()
    target = load_target(paths, COMPONENT_TARGET)
    measured, stimuli = target.responses[:, :, 0], target.stimuli
    for model, randnetw in rows:
        with drawings.attempt():
            data = collect_components(paths, [model], randnetw)
            if data is None:
                drawings.notes.append(_none_of([model], COMPONENT_TARGET, randnetw))
                continue
            try:
                layers = list(
                    layer_folders(
                        paths, model, COMPONENT_TARGET, has_condition(model, randnetw) and randnetw
                    )
                )
            except MissingDataError as error:
                drawings.notes.append(f"Not drawn: {error}")
                continue
            drawings.note(data.notes)
            rng = np.random.RandomState(0)
            for column, component in enumerate(COMPONENTS):
                chosen = np.array([0])
                if model in data.layers:
                    chosen = data.layers[model][component].map(layers.index).to_numpy()
                layer = layers[most_frequent_layer(chosen, len(layers), rng, tuple(layers))]
                predicted = predicted_responses(paths, model, layer, randnetw)[:, column]
                drawings.append(
                    response_scatter(
                        measured[:, column],
                        predicted,
                        stimuli.categories,
                        stimuli.ids,
                        component=component,
                        model=model,
                        layer=layer,
                        randnetw=randnetw,
                        r2=float(data.mean.loc[component, model]),
                        value=data.value,
                        palette=options.palette,
                    )
                )
    return drawings


def figure_4_statistics(drawings: Drawings) -> pd.DataFrame:
    """Correlations within sound categories for the panels of :func:`figure_4`."""
    constant = ("comp", "source_model", "source_layer", "randnetw")
    tables = []
    for drawing in drawings:
        panel = drawing.table
        tables.append(
            category_correlations(
                panel["measured"].to_numpy(),
                panel["predicted"].to_numpy(),
                panel["category"].tolist(),
            ).assign(**{name: panel[name].iloc[0] for name in constant})
        )
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


# --- Figure 5 -----------------------------------------------------------------------------------


def figure_5(paths: ProjectPaths, options: FigureOptions | None = None) -> Drawings:
    """Predictivity of the six components, trained and permuted, in the order of Figure 2."""
    options = options or FigureOptions()
    drawings = Drawings()
    for data in _sets(
        paths, _components, options.models(FIGURE_2_MODELS), options, drawings, baseline_alone=True
    ):
        drawings.append(component_bars(data, COMPONENT_ORDER, palette=options.palette))
    return drawings


# --- Figure 7 -----------------------------------------------------------------------------------


def _count_suffix(models: Sequence[str]) -> str:
    """The published names belong to the published lists; any other set is named by its size."""
    published = {
        "_all-models": set(FIGURE_2_MODELS) - {BASELINE_MODEL},
        "_good-models": set(FIGURE_7_MODELS),
    }
    return next(
        (suffix for suffix, members in published.items() if members == set(models)),
        f"_{len(models)}-models",
    )


def figure_7(
    paths: ProjectPaths,
    options: FigureOptions | None = None,
    *,
    models: Sequence[str] = FIGURE_7_MODELS,
    pairs: Sequence[tuple[str, str]] = PRIMARY_PAIRS,
    annotate: bool = False,
) -> Drawings:
    """Position of the best layer in primary against non-primary cortex, by regression (trained
    networks in the paper).

    Parameters
    ----------
    models : sequence of str
        The fifteen networks above the baseline; the supplement has all of them.
    pairs : sequence of (region, region)
        Horizontal and vertical axis of each picture.
    annotate : bool
        Model names beside the points.
    """
    options = options or FigureOptions(conditions=(False,))
    drawings = Drawings()
    narrow = set(models) <= set(FIGURE_7_MODELS)
    for data in _sets(
        paths, collect_regions, options.models(models, baseline=False), options, drawings
    ):
        for x, y in pairs:
            drawing = region_scatter(
                data,
                x,
                y,
                palette=options.palette,
                annotate=annotate,
                narrow=narrow,
                suffix=_count_suffix(data.models),
            )
            test = wilcoxon_signed_rank(
                *drawing.table[["primary_mean", "non_primary_mean"]].to_numpy().T
            )
            p, how = (
                (test.p, "normal approximation")
                if data.statistics == "published"
                else (test.p_exact, "exact")
            )
            drawings.append(
                _say_which(
                    drawing,
                    data,
                    [
                        f"Wilcoxon signed-rank test over {len(drawing.table)} models: "
                        f"W={test.w:g}, {format_p(p)} ({how})."
                    ],
                    w=test.w,
                    p=p,
                )
            )
    return drawings


def figure_7_statistics(
    paths: ProjectPaths,
    options: FigureOptions | None = None,
    found: Drawings | None = None,
    *,
    models: Sequence[str] = FIGURE_7_MODELS,
    pairs: Sequence[tuple[str, str]] = PRIMARY_PAIRS,
) -> pd.DataFrame:
    """Wilcoxon signed-rank tests of the first against the second region over models, adjusted over
    the whole table.
    """
    options = options or FigureOptions(conditions=(False,))
    rows = [
        region_comparison(data, x, y)
        for data in _sets(
            paths, collect_regions, options.models(models, baseline=False), options, found
        )
        for x, y in pairs
    ]
    table = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()
    for column in ("p", "p_exact") if rows else ():
        table = add_adjusted(table, column)
    return table


# --- Figure 8 -----------------------------------------------------------------------------------


def figure_8(
    paths: ProjectPaths, options: FigureOptions | None = None, *, grouped: bool = True
) -> Drawings:
    """Networks trained on speech in noise and on clean speech, by regression.

    Then their two seeds, then components.

    Parameters
    ----------
    grouped : bool
        Stand twins together, as in print; the published notebook drew equally spaced bars.
    """
    options = options or FigureOptions(conditions=(False,))
    drawings = Drawings()
    layout = grouped_layout() if grouped else BarLayout(hatch_clean=True)
    for data in _sets(paths, collect_scores, options.models(FIGURE_8_MODELS), options, drawings):
        drawings.append(
            _say_which(
                model_bars(
                    data,
                    FIGURE_8_MODELS,
                    layout=layout,
                    suffix="_word-speaker-clean-models",
                    palette=options.palette,
                    participants=options.participants,
                ),
                data,
            )
        )
    drawings.add(seed_figures(paths, options, CLEAN_SEED_PAIRS, clean=True))
    return drawings


def clean_speech_components(paths: ProjectPaths, options: FigureOptions | None = None) -> Drawings:
    """Figure 8 for the components (supplement), and the seeds on components."""
    options = options or FigureOptions()
    drawings = Drawings()
    for data in _sets(paths, _components, options.models(FIGURE_8_MODELS), options, drawings):
        drawings.append(
            component_bars(
                data,
                FIGURE_8_MODELS,
                layout=grouped_layout(box_aspect=1),
                suffix="_word-clean-models_seed1",
                palette=options.palette,
            )
        )
    for pairs, low, name in ((SEED_PAIRS, 0.4, ""), (CLEAN_SEED_PAIRS, 0.2, "_clean")):
        for seeds in _sets(
            paths, _components, [model for pair in pairs for model in pair], options, drawings
        ):
            limits = (0, 1) if seeds.randnetw else (low, 1)
            drawing = component_seed_scatter(
                seeds,
                pairs,
                limits=Limits(limits, limits),
                palette=options.palette,
                suffix=f"{name}_seed1-vs-seed2",
            )
            if drawing:
                drawings.append(drawing)
    return drawings


def figure_8_statistics(
    paths: ProjectPaths, options: FigureOptions | None = None, found: Drawings | None = None
) -> dict[str, pd.DataFrame]:
    """All pairs of the eight networks, for each seed, on voxels and on components (file stem ->
    table).
    """
    options = options or FigureOptions()
    tables = {}
    for seed, models in (
        ("_seed1", list(FIGURE_8_MODELS)),
        ("_seed2", [f"{model}Seed2" for model in FIGURE_8_MODELS]),
    ):
        for data in _sets(paths, collect_scores, models, options, found):
            stem = _statistics_stem(
                f"_word-speaker-clean-models_subject-bootstrap{seed}", data.target, data.randnetw
            )
            tables[stem] = participant_comparisons(data, models, models)
        for data in _sets(paths, _components, models, options, found):
            stem = _statistics_stem(
                f"_word-speaker-clean-models{seed}", COMPONENT_TARGET, data.randnetw
            )
            tables[stem] = component_comparisons(data, models, models)
    return {stem: table for stem, table in tables.items() if len(table)}


# --- Figure 9 -----------------------------------------------------------------------------------


def figure_9(paths: ProjectPaths, options: FigureOptions | None = None) -> Drawings:
    """In-house networks on the components.

    Bars (A), overview and music against pitch and speech (B).
    """
    options = options or FigureOptions()
    drawings = Drawings()
    look = {"suffix": "_inhouse-models", "palette": options.palette}
    for data in _sets(paths, _components, options.models(FIGURE_9_MODELS), options, drawings):
        layout = gapped_layout()
        low = float(data.mean.min(axis=None))
        if low < layout.y_limits[0]:  # the published lower limit of 0.2 would hide these bars
            layout = replace(layout, y_limits=(0, 1))
        drawings.append(component_bars(data, FIGURE_9_MODELS, layout=layout, **look))
        drawings.append(components_across_models(data, FIGURE_9_MODELS, **look))
        drawings += [
            component_pair_scatter(data, "music", other, FIGURE_9_MODELS, **look)
            for other in ("pitch", "speech")
        ]
    return drawings


def figure_9_statistics(
    paths: ProjectPaths, options: FigureOptions | None = None, found: Drawings | None = None
) -> dict[str, pd.DataFrame]:
    """All pairs of the in-house networks and the baseline on every component (file stem -> table)."""
    options = options or FigureOptions()
    models = options.models(FIGURE_9_MODELS)
    return {
        _statistics_stem("_inhouse-models", COMPONENT_TARGET, data.randnetw): table
        for data in _sets(paths, _components, models, options, found)
        if len(table := component_comparisons(data, models, models))
    }


FIGURES = {"2": figure_2, "4": figure_4, "5": figure_5, "7": figure_7, "8": figure_8, "9": figure_9}


def draw(
    paths: ProjectPaths,
    number: str,
    options: FigureOptions | None = None,
    *,
    annotate: bool = False,
) -> Drawings:
    """The regression panels of a figure of the paper, by number.

    ``annotate`` names the points of Figure 7.
    """
    if number not in FIGURES:
        raise InputError(f"There is no figure {number!r} here; known: {', '.join(FIGURES)}.")
    if number == "7":
        return figure_7(paths, options, annotate=annotate)
    return FIGURES[number](paths, options)


def statistics(
    paths: ProjectPaths,
    number: str,
    options: FigureOptions | None = None,
    drawings: Drawings | None = None,
    errors: Drawings | None = None,
) -> dict[str, pd.DataFrame]:
    """The statistical tests that go with a figure of the paper: file stem -> table.

    Figure 5 has none.

    Parameters
    ----------
    drawings : Drawings, optional
        What :func:`draw` gave, where that is at hand.
    errors : Drawings, optional
        Keeps bad results in its ``errors``; without it they are raised.
    """
    if number == "4":
        table = figure_4_statistics(figure_4(paths, options) if drawings is None else drawings)
        return (
            {}
            if table.empty
            else {"partial_corrs_comp-all_resp-vs-pred_NH2015comp_median_r2_test": table}
        )
    if number == "7":
        table = figure_7_statistics(paths, options, errors)
        return (
            {}
            if table.empty
            else {"wilcoxon_roi_label_general_rel_pos-median_median_r2_test_c": table}
        )
    by_figure = {"2": figure_2_statistics, "8": figure_8_statistics, "9": figure_9_statistics}
    return by_figure[number](paths, options, errors) if number in by_figure else {}

"""The figures of the paper, one function each: from ``results/`` to drawings.

Notebooks and scripts call these.

All of them take the same options (:class:`FigureOptions`). Models without results are left out and
named below the picture. Figure panels that come from the RSA are drawn by
:mod:`aud_dnn.analyze.plotting.rsa_figures`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from aud_dnn.analyze.figure_options import (
    PRIMARY_PAIRS,
    REFERENCE_MODEL,
    FigureOptions,
    components,
    count_suffix,
    named_by_choice,
    none_of,
    say_which,
    sets,
)
from aud_dnn.analyze.plotting.bars import (
    BarLayout,
    component_bars,
    gapped_layout,
    grouped_layout,
    model_bars,
)
from aud_dnn.analyze.plotting.component_scatters import (
    component_pair_scatter,
    component_seed_scatter,
)
from aud_dnn.analyze.plotting.drawings import Drawings
from aud_dnn.analyze.plotting.lines import components_across_models
from aud_dnn.analyze.plotting.points import Limits
from aud_dnn.analyze.plotting.responses import response_scatter
from aud_dnn.analyze.plotting.scatters import region_scatter, seed_scatter
from aud_dnn.analyze.plotting.style import format_p
from aud_dnn.conditions import Condition
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
from aud_dnn.stats import wilcoxon_signed_rank
from aud_dnn.tables.figure_inputs import (
    collect_components,
    collect_regions,
    collect_scores,
)
from aud_dnn.tables.model_results import layer_folders
from aud_dnn.tables.predicted import predicted_responses
from aud_dnn.tables.scores import most_frequent_layer
from aud_dnn.targets.facts import COMPONENT_TARGET, COMPONENTS
from aud_dnn.utils import load_target

RESPONSE_ROWS = ((REFERENCE_MODEL, False), (REFERENCE_MODEL, True), (BASELINE_MODEL, False))
"""Rows of Figure 4: model and whether its weights are permuted."""


# --- what several figures share -----------------------------------------------------------------


# --- Figure 2 -----------------------------------------------------------------------------------


def figure_2(paths: ProjectPaths, options: FigureOptions | None = None) -> Drawings:
    """Predictivity of all models by regression.

    Bars for each data set, trained and permuted, then the two seeds.
    """
    options = options or FigureOptions()
    drawings = Drawings()
    for data in sets(paths, collect_scores, options.models(FIGURE_2_MODELS), options, drawings):
        order = PERFORMANCE_ORDER[data.target] if data.randnetw else None
        drawing = model_bars(
            data, order, palette=options.palette, participants=options.participants
        )
        drawings.append(say_which(drawing, data))
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
            data = collect_scores(paths, models, target, randnetw, options.layer_choice)
            data = data and replace(data, statistics=options.statistics)
            drawing = data and seed_scatter(
                data,
                pairs,
                limits=Limits((low, high), (low, high)),
                palette=options.palette,
                suffix=suffix,
            )
            if drawing:
                drawings.append(say_which(drawing, data))
                drawings.note(data.notes)
            else:
                drawings.notes.append(
                    f"Seeds not compared on {target} ({Condition.of(randnetw)}): no model has "
                    "results of both seeds."
                )
    return drawings


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
            data = collect_components(paths, [model], randnetw, options.layer_choice)
            if data is None:
                drawings.notes.append(none_of([model], COMPONENT_TARGET, randnetw))
                continue
            try:
                layers = list(
                    layer_folders(
                        paths,
                        model,
                        COMPONENT_TARGET,
                        Condition.of(randnetw).exists_for(model) and randnetw,
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
                drawing = response_scatter(
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
                drawings.append(named_by_choice(drawing, options.layer_choice))
    return drawings


# --- Figure 5 -----------------------------------------------------------------------------------


def figure_5(paths: ProjectPaths, options: FigureOptions | None = None) -> Drawings:
    """Predictivity of the six components, trained and permuted, in the order of Figure 2."""
    options = options or FigureOptions()
    drawings = Drawings()
    for data in sets(
        paths, components, options.models(FIGURE_2_MODELS), options, drawings, baseline_alone=True
    ):
        drawings.append(component_bars(data, COMPONENT_ORDER, palette=options.palette))
    return drawings


# --- Figure 7 -----------------------------------------------------------------------------------


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
    for data in sets(
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
                suffix=count_suffix(data.models),
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
                say_which(
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
    for data in sets(paths, collect_scores, options.models(FIGURE_8_MODELS), options, drawings):
        drawings.append(
            say_which(
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
    for data in sets(paths, components, options.models(FIGURE_8_MODELS), options, drawings):
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
        for seeds in sets(
            paths, components, [model for pair in pairs for model in pair], options, drawings
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


# --- Figure 9 -----------------------------------------------------------------------------------


def figure_9(paths: ProjectPaths, options: FigureOptions | None = None) -> Drawings:
    """In-house networks on the components.

    Bars (A), overview and music against pitch and speech (B).
    """
    options = options or FigureOptions()
    drawings = Drawings()
    look = {"suffix": "_inhouse-models", "palette": options.palette}
    for data in sets(paths, components, options.models(FIGURE_9_MODELS), options, drawings):
        layout = gapped_layout()
        low = float(data.mean.min(axis=None))
        if low < layout.y_limits[0]:  # the published lower limit of 0.2 would hide these bars
            layout = replace(layout, y_limits=(0, 1))
        drawings.append(component_bars(data, FIGURE_9_MODELS, layout=layout, **look))
        drawings.append(components_across_models(data, FIGURE_9_MODELS, **look))
        for other in ("pitch", "speech"):
            drawing = component_pair_scatter(data, "music", other, FIGURE_9_MODELS, **look)
            drawings.append(named_by_choice(drawing, options.layer_choice))
    return drawings


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

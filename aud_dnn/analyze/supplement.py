"""Supplement: scores across layers, best layers by region, clean speech on components."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from aud_dnn.analyze.figure_options import OTHER_PAIRS, PRIMARY_PAIRS, FigureOptions
from aud_dnn.analyze.figure_statistics import figure_7_statistics
from aud_dnn.analyze.figures import clean_speech_components, figure_7
from aud_dnn.analyze.plotting.bars import region_bars
from aud_dnn.analyze.plotting.drawings import Drawings
from aud_dnn.analyze.plotting.lines import across_layers
from aud_dnn.analyze.plotting.style import display_name
from aud_dnn.conditions import Condition
from aud_dnn.errors import MissingDataError
from aud_dnn.models.figure_sets import ALL_SEED1_MODELS, FIGURE_2_MODELS, FIGURE_7_MODELS
from aud_dnn.paths import ProjectPaths
from aud_dnn.tables.current_tables import source_notes
from aud_dnn.tables.figure_inputs import collect_layers
from aud_dnn.tables.model_files import (
    VALUE,
    across_layers_path,
    read_participant_frame,
    region_path,
)
from aud_dnn.targets.facts import ROIS


def layer_figures(paths: ProjectPaths, options: FigureOptions | None = None) -> Drawings:
    """Per model and data set.

    Trained and permuted scores across layers, the same by region, best layers by region.
    """
    options = options or FigureOptions()
    drawings = Drawings()
    for target in options.targets:
        missing = []
        for model in options.models(ALL_SEED1_MODELS, baseline=False):
            curves = {}
            for randnetw in options.conditions:
                try:
                    curves[Condition.of(randnetw)] = collect_layers(paths, model, target, randnetw)
                except MissingDataError:
                    continue
            if not curves:
                missing.append(display_name(model))
                continue
            stem = across_layers_path(paths, model, target, False).stem
            changes = _source_notes(paths, model, target, options.conditions)
            drawings.note(changes)
            absent = [
                Condition.of(randnetw)
                for randnetw in options.conditions
                if Condition.of(randnetw) not in curves
            ]
            drawings.append(
                across_layers(
                    curves,
                    model=model,
                    target=target,
                    value=VALUE[target],
                    stem=stem,
                    palette=options.palette,
                    notes=[
                        *(f"Incomplete: no {condition} results" for condition in absent),
                        *changes,
                    ],
                )
            )
            if Condition.TRAINED in curves:
                drawings += _region_figures(paths, model, target, options.palette)
        if missing:
            drawings.notes.append(f"No results on {target}: {', '.join(missing)}.")
    return drawings


def _source_notes(
    paths: ProjectPaths, model: str, target: str, conditions: Sequence[bool]
) -> list[str]:
    return list(
        dict.fromkeys(
            note
            for randnetw in conditions
            for note in source_notes(paths, [model], target, randnetw)
        )
    )


def _region_figures(paths: ProjectPaths, model: str, target: str, palette: str) -> Drawings:
    drawings = Drawings()
    try:
        regions = {roi: collect_layers(paths, model, target, False, roi) for roi in ROIS}
    except MissingDataError as error:
        drawings.notes.append(f"Not drawn: {error}")
        return drawings
    stem = across_layers_path(paths, model, target, False, "all-regions").stem
    drawings.append(
        across_layers(
            regions,
            model=model,
            target=target,
            value=VALUE[target],
            stem=stem,
            by_region=True,
            palette=palette,
        )
    )
    for by_hemisphere in (False, True):
        path = region_path(paths, model, target, False, by_hemisphere=by_hemisphere)
        if path.is_file():
            table, error = read_participant_frame(path)
            drawings.append(
                region_bars(
                    table,
                    error,
                    model=model,
                    target=target,
                    randnetw=False,
                    stem=path.stem,
                    palette=palette,
                )
            )
    return drawings


REGION_VARIANTS = (
    (FIGURE_7_MODELS, OTHER_PAIRS),
    (FIGURE_2_MODELS, (*PRIMARY_PAIRS, *OTHER_PAIRS)),
)
"""What Figure 7 leaves out.

    Its networks on pairs without primary cortex; all networks, also those below the baseline.
    """


def region_variants(paths: ProjectPaths, options: FigureOptions | None = None) -> Drawings:
    """Figure 7 for the pairs of regions without primary cortex, and for all networks.

    Where no network beyond those of Figure 7 has results, "all networks" would repeat its pictures
    and is left out.
    """
    options = options or FigureOptions()
    drawings = Drawings()
    usual = set(options.models(FIGURE_7_MODELS))
    for models, pairs in REGION_VARIANTS:
        found = figure_7(paths, options, models=models, pairs=pairs)
        drawings += [
            drawing
            for drawing in found
            if models is FIGURE_7_MODELS or not usual.issuperset(drawing.table.index)
        ]
        drawings.add(Drawings(notes=found.notes, errors=found.errors))
    return drawings


def supplement_statistics(
    paths: ProjectPaths, options: FigureOptions | None = None
) -> dict[str, pd.DataFrame]:
    """The Wilcoxon tests that go with :func:`region_variants` (file stem -> table)."""
    tables = {
        f"wilcoxon_{name}_roi_label_general_rel_pos-median_median_r2_test_c": figure_7_statistics(
            paths, options or FigureOptions(), models=models, pairs=pairs
        )
        for name, (models, pairs) in zip(("other-regions", "all-models"), REGION_VARIANTS)
    }
    return {stem: table for stem, table in tables.items() if len(table)}


def supplement(paths: ProjectPaths, options: FigureOptions | None = None) -> Drawings:
    """Across layers, by region, the variants of Figure 7, clean speech and seeds on components."""
    drawings = Drawings()
    for part in (layer_figures, region_variants, clean_speech_components):
        drawings.add(part(paths, options))
    return drawings

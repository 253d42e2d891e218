"""The statistical tests that go with the figures of the paper."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from aud_dnn.analyze.figure_options import (
    PRIMARY_PAIRS,
    REFERENCE_MODEL,
    FigureOptions,
    components,
    sets,
)
from aud_dnn.analyze.figures import figure_4
from aud_dnn.analyze.plotting.drawings import Drawings
from aud_dnn.analyze.plotting.responses import category_correlations
from aud_dnn.conditions import Condition
from aud_dnn.effect_sizes import add_adjusted
from aud_dnn.models.figure_sets import (
    FIGURE_7_MODELS,
    FIGURE_8_MODELS,
    FIGURE_9_MODELS,
)
from aud_dnn.models.registry import BASELINE_MODEL
from aud_dnn.paths import ProjectPaths
from aud_dnn.tables.across_models import (
    AcrossModels,
    ComponentScores,
    component_comparisons,
    participant_comparisons,
    region_comparison,
)
from aud_dnn.tables.choices import PUBLISHED_CHOICE, aggregation_name
from aud_dnn.tables.figure_inputs import (
    collect_regions,
    collect_scores,
)
from aud_dnn.tables.model_files import VALUE
from aud_dnn.targets.facts import COMPONENT_TARGET


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
        _statistics_stem("all-models_subject-bootstrap", data, data.target): table
        for data in sets(
            paths, collect_scores, list(dict.fromkeys([REFERENCE_MODEL, *others])), options, found
        )
        if len(table := participant_comparisons(data, first, others))
    }


def _statistics_stem(prefix: str, data: AcrossModels | ComponentScores, target: str) -> str:
    condition = Condition.of(data.randnetw).suffix
    return f"{prefix}_{data.aggregation}_{target}_{VALUE[target]}{condition}_stats"


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
        for data in sets(
            paths, collect_regions, options.models(models, baseline=False), options, found
        )
        for x, y in pairs
    ]
    table = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()
    for column in ("p", "p_exact") if rows else ():
        table = add_adjusted(table, column)
    return table


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
        for data in sets(paths, collect_scores, models, options, found):
            stem = _statistics_stem(
                f"_word-speaker-clean-models_subject-bootstrap{seed}", data, data.target
            )
            tables[stem] = participant_comparisons(data, models, models)
        for data in sets(paths, components, models, options, found):
            stem = _statistics_stem(f"_word-speaker-clean-models{seed}", data, COMPONENT_TARGET)
            tables[stem] = component_comparisons(data, models, models)
    return {stem: table for stem, table in tables.items() if len(table)}


def figure_9_statistics(
    paths: ProjectPaths, options: FigureOptions | None = None, found: Drawings | None = None
) -> dict[str, pd.DataFrame]:
    """All pairs of in-house networks and the baseline on every component, by file stem."""
    options = options or FigureOptions()
    models = options.models(FIGURE_9_MODELS)
    return {
        _statistics_stem("_inhouse-models", data, COMPONENT_TARGET): table
        for data in sets(paths, components, models, options, found)
        if len(table := component_comparisons(data, models, models))
    }


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
    choice = (options or FigureOptions()).layer_choice
    chosen = "" if choice == PUBLISHED_CHOICE else f"_{aggregation_name(choice)}"
    if number == "4":
        table = figure_4_statistics(figure_4(paths, options) if drawings is None else drawings)
        return (
            {}
            if table.empty
            else {f"partial_corrs_comp-all_resp-vs-pred_NH2015comp_median_r2_test{chosen}": table}
        )
    if number == "7":
        table = figure_7_statistics(paths, options, errors)
        return (
            {}
            if table.empty
            else {f"wilcoxon_roi_label_general_rel_pos-median_median_r2_test_c{chosen}": table}
        )
    by_figure = {"2": figure_2_statistics, "8": figure_8_statistics, "9": figure_9_statistics}
    return by_figure[number](paths, options, errors) if number in by_figure else {}

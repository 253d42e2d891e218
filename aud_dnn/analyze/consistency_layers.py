"""The same by layers: every layer of every model, and the best ones."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import pandas as pd

from aud_dnn import stats
from aud_dnn.analyze.consistency import (
    LABELS,
    POSITIONS,
    add_data_sets,
    add_panel,
    n_models,
    variants,
    with_data,
)
from aud_dnn.analyze.figure_options import FigureOptions
from aud_dnn.analyze.plotting.drawings import Drawings
from aud_dnn.conditions import Condition
from aud_dnn.models.figure_sets import (
    ALL_SEED1_MODELS,
    FIGURE_7_MODELS,
)
from aud_dnn.paths import ProjectPaths
from aud_dnn.tables import every_layer as scores
from aud_dnn.tables.model_files import VALUE
from aud_dnn.targets.facts import ROIS, VOXEL_TARGETS


def layer_wise(
    paths: ProjectPaths,
    options: FigureOptions | None = None,
    methods: Sequence[str] = scores.METHODS,
    *,
    limits: Sequence[str] = ("paper",),
) -> Drawings:
    """Layers of all models as points.

    NH2015 against B2021 by each method, and RSA against regression.

    Errors refer to all layers of the figure.
    """
    options = options or FigureOptions()
    drawings = Drawings()
    models = options.models(ALL_SEED1_MODELS)
    x_target, y_target = VOXEL_TARGETS

    @cache
    def layers(method: str, target: str, randnetw: bool) -> pd.DataFrame:
        return scores.layer_scores(paths, models, target, randnetw, method)

    for randnetw in options.conditions:
        for method in methods:
            with drawings.attempt():
                table = scores.both(
                    layers(method, x_target, randnetw),
                    layers(method, y_target, randnetw),
                    VOXEL_TARGETS,
                )
                stem = (
                    f"across-layers-n={n_models(table)}-models_{x_target}-vs-{y_target}"
                    f"{Condition.of(randnetw).suffix}_scatter_{method}_roi-None_"
                    f"{scores.layer_value(method, x_target)}"
                )
                add_data_sets(
                    drawings,
                    paths,
                    table,
                    method,
                    randnetw,
                    stem,
                    "Layers",
                    models,
                    limits,
                    options,
                )
        for target in options.targets if set(methods) == set(scores.METHODS) else ():
            with drawings.attempt():
                table = scores.both(
                    *(layers(method, target, randnetw) for method in scores.METHODS), scores.METHODS
                )
                _add_methods(drawings, paths, table, target, randnetw, models, limits, options)
    return drawings


def _add_methods(
    drawings: Drawings,
    paths: ProjectPaths,
    table: pd.DataFrame,
    target: str,
    randnetw: bool,
    models: Sequence[str],
    limits: Sequence[str],
    options: FigureOptions,
) -> None:
    """RSA against regression, layers as points, in all variants."""
    condition = Condition.of(randnetw)
    notes = scores.version_notes(
        paths, models, [(method, target, randnetw) for method in scores.METHODS]
    )
    for ending, chosen in variants(limits, scores.METHODS):
        stem = (
            f"across-layers-n={n_models(table)}-models_RSA-vs-regression_{target}{Condition.of(randnetw).suffix}_scatter_"
            f"roi-None_{VALUE[target]}{ending}"
        )
        add_panel(
            drawings,
            table,
            scores.METHODS,
            stem,
            f"Layers, {target}, {condition}",
            tuple(LABELS[method] for method in scores.METHODS),
            chosen,
            options,
            f"layers, RSA against regression on {target}, {condition}",
            with_data(models, randnetw),
            notes,
            identity=False,
        )


def best_layers(
    paths: ProjectPaths,
    options: FigureOptions | None = None,
    methods: Sequence[str] = scores.METHODS,
) -> Drawings:
    """Best-layer positions, regression against RSA (models x regions), and each method's agreement
    between data sets.
    """
    options = options or FigureOptions()
    drawings = Drawings()
    models = options.models(FIGURE_7_MODELS, baseline=False)

    def add(
        table: pd.DataFrame,
        columns: tuple[str, str],
        stem: str,
        title: str,
        what: str,
        sources: list[scores.Source],
    ) -> None:
        randnetw = sources[0][2]
        with drawings.attempt():
            add_panel(
                drawings,
                table,
                columns,
                f"best-layer_{stem}{Condition.of(randnetw).suffix}",
                f"Relative best layer, {title}, {Condition.of(randnetw)}",
                tuple(f"Relative best layer, {column}" for column in columns),
                POSITIONS,
                options,
                f"best layers by {what}, {Condition.of(randnetw)}",
                models,
                scores.version_notes(paths, models, sources, ROIS),
            )

    for randnetw in options.conditions:
        with drawings.attempt():
            tables = {
                target: scores.best_layer_positions(paths, models, target, randnetw)
                for target in VOXEL_TARGETS
            }
            for target in options.targets if set(methods) == set(scores.METHODS) else ():
                add(
                    tables[target].set_index(["source_model", "roi"]),
                    scores.METHODS,
                    f"RSA-vs-regression_{target}",
                    target,
                    f"both methods on {target}",
                    [(method, target, randnetw) for method in methods],
                )
            for method in methods:
                add(
                    _between_data_sets(tables, method),
                    VOXEL_TARGETS,
                    f"{method}_{'-vs-'.join(VOXEL_TARGETS)}",
                    method,
                    f"{method} in both data sets",
                    [(method, target, randnetw) for target in VOXEL_TARGETS],
                )
    return drawings


def _between_data_sets(tables: dict[str, pd.DataFrame], method: str) -> pd.DataFrame:
    """(model, region) x data sets: the positions that one method found."""
    return pd.DataFrame(
        {
            target: table.set_index(["source_model", "roi"])[method]
            for target, table in tables.items()
        }
    )


def best_layer_correlations(
    paths: ProjectPaths,
    options: FigureOptions | None = None,
    methods: Sequence[str] = scores.METHODS,
) -> pd.DataFrame:
    """Pearson r, r², p of best-layer positions, overall and per region.

    ``comparison`` is ``regression-vs-RSA`` (in each data set), or ``NH2015-vs-B2021``: how reliable
    each method is.
    """
    options = options or FigureOptions()
    models = options.models(FIGURE_7_MODELS, baseline=False)
    rows = []
    for randnetw in options.conditions:
        tables = {
            target: scores.best_layer_positions(paths, models, target, randnetw)
            for target in VOXEL_TARGETS
        }
        pairs = [
            (
                "regression-vs-RSA",
                "both",
                target,
                tables[target].set_index(["source_model", "roi"])[[*scores.METHODS]],
            )
            for target in options.targets
            if set(methods) == set(scores.METHODS)
        ]
        pairs += [
            ("-vs-".join(VOXEL_TARGETS), method, "both", _between_data_sets(tables, method))
            for method in methods
        ]
        for comparison, method, target, pair in pairs:
            for roi, part in [("all", pair), *pair.groupby(level="roi", sort=False)]:
                r, p, n = stats.pearson(part.iloc[:, 0], part.iloc[:, 1])
                rows.append(
                    {
                        "comparison": comparison,
                        "method": method,
                        "target": target,
                        "randnetw": str(randnetw),
                        "roi": roi,
                        "r": r,
                        "r2": r**2,
                        "p": p,
                        "n": n,
                    }
                )
    return pd.DataFrame(rows)

"""Do data sets, methods and seeds agree? Scatter plots and correlations (supplement)."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from aud_dnn import stats
from aud_dnn.aggregate.tables import VALUE, has_condition
from aud_dnn.analyze import layer_scores as scores
from aud_dnn.analyze.figures import FigureOptions
from aud_dnn.analyze.plotting.scatters import Limits, value_scatter
from aud_dnn.analyze.plotting.style import Drawing, Drawings
from aud_dnn.paths import ProjectPaths
from aud_dnn.resources import ALL_SEED1_MODELS, FIGURE_2_MODELS, FIGURE_7_MODELS, VOXEL_TARGETS
from aud_dnn.rsa.results import condition_name

_LOW = -0.015
LABELS = {"regression": "Median noise-corrected $R^2$", "RSA": "RSA (Spearman R)"}


def _suffix(randnetw: bool) -> str:
    return "_randnetw" if randnetw else ""


def _with(models: Sequence[str], randnetw: bool) -> list[str]:
    """The models that have this condition: all but the baseline where weights are permuted."""
    return [model for model in models if has_condition(model, randnetw)]


def model_wise(paths: ProjectPaths, options: FigureOptions | None = None,
               methods: Sequence[str] = scores.METHODS) -> Drawings:
    """Models as points: NH2015 against B2021, and permuted against trained within each data set."""
    options = options or FigureOptions()
    drawings = Drawings()
    models = options.models(FIGURE_2_MODELS)
    x_target, y_target = VOXEL_TARGETS
    for method in methods:
        tables = {(target, randnetw): scores.model_scores(paths, models, target, randnetw, method)
                  for target in VOXEL_TARGETS for randnetw in (False, True)}
        for randnetw in options.conditions:
            table = scores.both(tables[x_target, randnetw], tables[y_target, randnetw], (x_target, y_target))
            stem = (f"across-models_{x_target}-vs-{y_target}{_suffix(randnetw)}_scatter_{method}_roi-None_{VALUE[x_target]}_"
                    "mean_ylim-(-0.015, 1)")
            _add(drawings, table, (x_target, y_target), stem, f"{method}, {condition_name(randnetw)}",
                 (f"{LABELS[method]}, {x_target}", f"{LABELS[method]}, {y_target}"), Limits((_LOW, 1), (_LOW, 1)), options,
                 f"{method}: {x_target} against {y_target}, {condition_name(randnetw)}", _with(models, randnetw))
        for target in options.targets:
            table = scores.both(tables[target, False], tables[target, True], ("trained", "permuted"))
            stem = f"permuted-vs-trained-scatter_{method}_{target}_{VALUE[target]}_mean"
            _add(drawings, table, ("trained", "permuted"), stem, f"{method}, {target}",
                 (f"{LABELS[method]}, trained", f"{LABELS[method]}, permuted"), Limits((0, 0.8), (0, 0.8)), options,
                 f"{method}: permuted against trained on {target}", _with(models, True), size=(5, 5))
    return drawings


def _add(drawings: Drawings, table: pd.DataFrame, columns: tuple[str, str], stem: str, title: str, labels: tuple[str, str],
         limits: Limits, options: FigureOptions, what: str, wanted: Sequence[str], *, identity: bool = True,
         size: tuple[float, float] = (7, 7)) -> None:
    """Draw where at least two rows have both values, else leave a note. ``wanted`` are the models that belong there."""
    drawing: Drawing | None = None
    if len(table):
        models = [key[0] if isinstance(key, tuple) else key for key in table.index]
        errors = [f"{column}_yerr" if f"{column}_yerr" in table else None for column in columns]
        if isinstance(table.index, pd.MultiIndex):
            table = table.rename_axis(["source_model", "source_layer"])
        drawing = value_scatter(table, *columns, models, stem=stem, labels=labels, title=title, limits=limits, size=size,
                                palette=options.palette, identity=identity, wanted=wanted, xerr=errors[0], yerr=errors[1])
    if drawing is None:
        drawings.notes.append(f"Not drawn: {what} (fewer than two points with both values).")
    else:
        drawings.append(drawing)


def layer_wise(paths: ProjectPaths, options: FigureOptions | None = None,
               methods: Sequence[str] = scores.METHODS) -> Drawings:
    """Layers of all models as points: NH2015 against B2021 by each method, and RSA against regression."""
    options = options or FigureOptions()
    drawings = Drawings()
    models = options.models(ALL_SEED1_MODELS)
    x_target, y_target = VOXEL_TARGETS
    for randnetw in options.conditions:
        tables = {(method, target): scores.layer_scores(paths, models, target, randnetw, method)
                  for method in methods for target in VOXEL_TARGETS}
        condition = condition_name(randnetw)
        for method in methods:
            table = scores.both(tables[method, x_target], tables[method, y_target], (x_target, y_target))
            n_models = len({key[0] for key in table.index}) if len(table) else 0
            stem = (f"across-layers-n={len(table)}-models-{n_models}_{x_target}-vs-{y_target}{_suffix(randnetw)}_scatter_"
                    f"{method}_roi-None_{VALUE[x_target]}_ylim-(-0.015, 1)")
            _add(drawings, table, (x_target, y_target), stem, f"Layers, {method}, {condition}",
                 (f"{LABELS[method]}, {x_target}", f"{LABELS[method]}, {y_target}"), Limits((_LOW, 1), (_LOW, 1)), options,
                 f"layers, {method}, {condition}", _with(models, randnetw))
        if set(methods) == set(scores.METHODS):
            for target in options.targets:
                table = scores.both(tables["regression", target], tables["RSA", target], ("regression", "RSA"))
                stem = (f"across-layers-n={len(table)}_RSA-vs-regression_{target}{_suffix(randnetw)}_scatter_roi-None_"
                        f"{VALUE[target]}")
                _add(drawings, table, ("regression", "RSA"), stem, f"Layers, {target}, {condition}",
                     (LABELS["regression"], LABELS["RSA"]), Limits(equal=False), options,
                     f"layers, RSA against regression on {target}, {condition}", _with(models, randnetw), identity=False)
    return drawings


def best_layers(paths: ProjectPaths, options: FigureOptions | None = None) -> Drawings:
    """Best-layer positions, regression against RSA (models x regions), and each method's agreement between data sets."""
    options = options or FigureOptions()
    drawings = Drawings()
    models = options.models(FIGURE_7_MODELS, baseline=False)
    for randnetw in options.conditions:
        tables = {target: scores.best_layer_positions(paths, models, target, randnetw) for target in VOXEL_TARGETS}
        condition = condition_name(randnetw)
        for target in options.targets:
            table = tables[target].set_index(["source_model", "roi"])
            _add(drawings, table, ("regression", "RSA"), f"best-layer_RSA-vs-regression_{target}{_suffix(randnetw)}",
                 f"Relative best layer, {target}, {condition}", ("Relative best layer, regression",
                                                                 "Relative best layer, RSA"),
                 Limits((-0.02, 1.02), (-0.02, 1.02)), options, f"best layers by both methods on {target}, {condition}",
                 models)
        for method in scores.METHODS:
            frame = tables[VOXEL_TARGETS[0]].merge(tables[VOXEL_TARGETS[1]], on=["source_model", "roi"], how="outer",
                                                   suffixes=[f"_{target}" for target in VOXEL_TARGETS])
            columns = tuple(f"{method}_{target}" for target in VOXEL_TARGETS)
            _add(drawings, frame.set_index(["source_model", "roi"]), columns,
                 f"best-layer_{method}_{'-vs-'.join(VOXEL_TARGETS)}{_suffix(randnetw)}",
                 f"Relative best layer, {method}, {condition}", (f"{VOXEL_TARGETS[0]}", f"{VOXEL_TARGETS[1]}"),
                 Limits((-0.02, 1.02), (-0.02, 1.02)), options, f"best layers by {method} in both data sets, {condition}",
                 models)
    return drawings


def best_layer_correlations(paths: ProjectPaths, options: FigureOptions | None = None) -> pd.DataFrame:
    """Pearson r, r², p of best-layer positions between methods, overall and per region."""
    options = options or FigureOptions()
    rows = []
    for randnetw in options.conditions:
        for target in options.targets:
            table = scores.best_layer_positions(paths, options.models(FIGURE_7_MODELS, baseline=False), target, randnetw)
            for roi, part in [("all", table), *table.groupby("roi", sort=False)]:
                r, p, n = stats.pearson(part["regression"], part["RSA"])
                rows.append({"target": target, "randnetw": str(randnetw), "roi": roi, "r": r, "r2": r**2, "p": p, "n": n})
    return pd.DataFrame(rows)


def correlation_tables(paths: ProjectPaths, options: FigureOptions | None = None) -> dict[str, pd.DataFrame]:
    """Mean scores of all models by method, data set and condition; Pearson r, r² and p between these columns.

    Pairs are complete pairs. p is 0 on the diagonal, NaN where fewer than three models have both values.
    """
    options = options or FigureOptions()
    means = scores.mean_table(paths, options.models(FIGURE_2_MODELS), VOXEL_TARGETS)
    r = pd.DataFrame(index=means.columns, columns=means.columns, dtype=float)
    p, n = r.copy(), r.copy()
    for a in means:
        for b in means:
            r.loc[a, b], p.loc[a, b], n.loc[a, b] = stats.pearson(means[a], means[b])
            if a == b:
                p.loc[a, b] = 0.0
    stem = "df_across_models_regr_rsa"
    return {stem: means.rename_axis("source_model"), f"{stem}_r": r, f"{stem}_r2": r**2, f"{stem}_p": p, f"{stem}_n": n}

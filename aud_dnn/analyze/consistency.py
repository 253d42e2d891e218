"""Do data sets, methods and seeds agree? Scatter plots and correlations (supplement).

Every figure with ``limits`` comes in the variants asked for: ``paper`` (from -0.015 to 1),
``narrow`` (RSA up to 0.8), ``automatic``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import pandas as pd

from aud_dnn import stats
from aud_dnn.analyze.figure_options import FigureOptions
from aud_dnn.analyze.figures import seed_figures
from aud_dnn.analyze.plotting.drawings import Drawing, Drawings
from aud_dnn.analyze.plotting.points import Limits
from aud_dnn.analyze.plotting.rsa_scores import seed_scatter
from aud_dnn.analyze.plotting.scatters import value_scatter
from aud_dnn.conditions import CONDITIONS, Condition
from aud_dnn.models.figure_sets import (
    CLEAN_SEED_PAIRS,
    FIGURE_2_MODELS,
    SEED_PAIRS,
)
from aud_dnn.paths import ProjectPaths
from aud_dnn.runs.comparison_origins import Origins
from aud_dnn.store.comparisons import published_score
from aud_dnn.tables import every_layer as scores
from aud_dnn.targets.facts import VOXEL_TARGETS

LABELS = {"regression": "Median noise-corrected $R^2$", "RSA": "RSA (Spearman R)"}
_LOW, _HIGH, _NARROW_HIGH, _STEP = -0.015, 1, 0.8, 0.2
POSITIONS = Limits((-0.02, 1.02), (-0.02, 1.02), step=0.2)


def with_data(models: Sequence[str], randnetw: bool) -> list[str]:
    """The models that have this condition: all but the baseline where weights are permuted."""
    return [model for model in models if Condition.of(randnetw).exists_for(model)]


def variants(limits: Sequence[str], methods: tuple[str, str]) -> Iterator[tuple[str, Limits]]:
    """Ending of the file name and limits of each variant.

    ``methods`` gave the horizontal and the vertical axis.
    """
    same = methods[0] == methods[1]
    for name in limits:
        if name == "automatic":
            yield "_ylim=automatic", Limits(equal=same)
        elif name == "paper" or "RSA" in methods:
            tops = [
                _NARROW_HIGH if name == "narrow" and method == "RSA" else _HIGH
                for method in methods
            ]
            yield (
                f"_ylim={_LOW}_{tops[1]}",
                Limits((_LOW, tops[0]), (_LOW, tops[1]), equal=same, step=_STEP),
            )


def model_wise(
    paths: ProjectPaths,
    options: FigureOptions | None = None,
    methods: Sequence[str] = scores.METHODS,
    *,
    limits: Sequence[str] = ("paper",),
) -> Drawings:
    """Models as points: NH2015 against B2021, and permuted against trained within each data set.

    Errors refer to all models of Figure 2, as in that figure. Permuted against trained has the one
    range 0 to 0.8.
    """
    options = options or FigureOptions()
    drawings = Drawings()
    models = options.models(FIGURE_2_MODELS)
    x_target, y_target = VOXEL_TARGETS

    @cache
    def means(method: str, target: str, randnetw: bool) -> pd.DataFrame:
        return scores.model_scores(paths, models, target, randnetw, method)

    for method in methods:
        for randnetw in options.conditions:
            stem = (
                f"across-models_{x_target}-vs-{y_target}{Condition.of(randnetw).suffix}_scatter_{method}_roi-None_"
                f"{scores.model_value(method, x_target)}_mean"
            )
            with drawings.attempt():
                table = _joined(
                    means(method, x_target, randnetw),
                    means(method, y_target, randnetw),
                    VOXEL_TARGETS,
                    randnetw,
                )
                add_data_sets(
                    drawings,
                    paths,
                    table,
                    method,
                    randnetw,
                    stem,
                    "Models",
                    models,
                    limits,
                    options,
                )
        for target in options.targets:
            with drawings.attempt():
                table = _joined(
                    means(method, target, False),
                    means(method, target, True),
                    CONDITIONS,
                    True,
                )
                notes = scores.version_notes(
                    paths, models, [(method, target, False), (method, target, True)]
                )
                add_panel(
                    drawings,
                    table,
                    CONDITIONS,
                    f"permuted-vs-trained-scatter_{method}_{target}_"
                    f"{scores.model_value(method, target)}_mean",
                    f"{method}, {target}",
                    (f"{LABELS[method]}, trained", f"{LABELS[method]}, permuted"),
                    Limits((0, _NARROW_HIGH), (0, _NARROW_HIGH), step=_STEP),
                    options,
                    f"{method}: permuted against trained on {target}",
                    with_data(models, True),
                    notes,
                    size=(5, 5),
                    text_at=(0.05, 0.88),
                )
    return drawings


def _joined(
    first: pd.DataFrame, second: pd.DataFrame, names: tuple[str, str], randnetw: bool
) -> pd.DataFrame:
    """Models that both have, each with the errors of its own set of models."""
    if first.empty or second.empty:
        return pd.DataFrame()
    table = scores.summarize(first, names[0]).join(scores.summarize(second, names[1]), how="inner")
    return scores.with_condition(table, randnetw).rename_axis("source_model")


def add_panel(
    drawings: Drawings,
    table: pd.DataFrame,
    columns: tuple[str, str],
    stem: str,
    title: str,
    labels: tuple[str, str],
    limits: Limits,
    options: FigureOptions,
    what: str,
    wanted: Sequence[str],
    notes: Sequence[str] = (),
    **look,
) -> None:
    """Draw where at least two rows have both values, else leave a note.

    ``wanted`` are the models that belong there.
    """
    drawing: Drawing | None = None
    if len(table):
        models = [key[0] if isinstance(key, tuple) else key for key in table.index]
        errors = [f"{column}_yerr" if f"{column}_yerr" in table else None for column in columns]
        drawing = value_scatter(
            table,
            *columns,
            models,
            stem=stem,
            labels=labels,
            title=title,
            limits=limits,
            palette=options.palette,
            wanted=wanted,
            xerr=errors[0],
            yerr=errors[1],
            notes=notes,
            **{"size": (7, 7), **look},
        )
    if drawing is not None:
        drawings.append(drawing)
        drawings.note(notes)
    else:
        drawings.note([f"Not drawn: {what} (fewer than two points with both values)."])


def add_data_sets(
    drawings: Drawings,
    paths: ProjectPaths,
    table: pd.DataFrame,
    method: str,
    randnetw: bool,
    stem: str,
    points: str,
    models: Sequence[str],
    limits: Sequence[str],
    options: FigureOptions,
) -> None:
    """One data set (NH2015) against the other (B2021) by one method, in all variants.

    ``points`` says what they are.
    """
    condition = Condition.of(randnetw)
    notes = scores.version_notes(
        paths, models, [(method, target, randnetw) for target in VOXEL_TARGETS]
    )
    for ending, chosen in variants(limits, (method, method)):
        add_panel(
            drawings,
            table,
            VOXEL_TARGETS,
            f"{stem}{ending}",
            f"{points}, {method}, {condition}",
            tuple(f"{LABELS[method]}, {target}" for target in VOXEL_TARGETS),
            chosen,
            options,
            f"{points.lower()}, {method}, {' against '.join(VOXEL_TARGETS)}, {condition}",
            with_data(models, randnetw),
            notes,
        )


def n_models(table: pd.DataFrame) -> int:
    """How many models a table of (model, ...) rows is about."""
    return len({key[0] for key in table.index})


def seeds(
    paths: ProjectPaths,
    options: FigureOptions | None = None,
    methods: Sequence[str] = scores.METHODS,
) -> Drawings:
    """First against second training run of the same networks, and of those trained on clean speech.

    Figures 2 and 8.
    """
    options = options or FigureOptions()
    drawings = Drawings()
    groups = ((SEED_PAIRS, False, "FIG2_SeedModels_"), (CLEAN_SEED_PAIRS, True, "FIG8_SeedModels_"))
    for pairs, clean, prefix in groups:
        if "regression" in methods:
            drawings.add(seed_figures(paths, options, pairs, clean=clean))
        for target in options.targets:
            dataset = scores.rsa_dataset(paths, target) if "RSA" in methods else None
            if dataset is not None:
                drawings.notes += Origins(paths).changes(
                    dataset, [model for pair in pairs for model in pair]
                )
            for condition in map(Condition.of, options.conditions) if "RSA" in methods else ():
                present = (
                    set()
                    if dataset is None
                    else set(published_score(dataset, condition)["model"].values.tolist())
                )
                if any(set(pair) <= present for pair in pairs):
                    drawings.append(
                        seed_scatter(
                            dataset, condition, pairs, prefix=prefix, palette=options.palette
                        )
                    )
                else:
                    drawings.notes.append(
                        f"Seeds not compared by RSA on {target} ({condition}): no model has "
                        "results of both seeds."
                    )
    drawings.notes = list(dict.fromkeys(drawings.notes))
    return drawings


def correlation_tables(
    paths: ProjectPaths, options: FigureOptions | None = None
) -> dict[str, pd.DataFrame]:
    """Mean scores of all models by method, data set and condition.

    Pearson r, r² and p between these columns.

    Pairs are complete pairs. p is 0 on the diagonal, NaN where fewer than three models have both
    values.
    """
    options = options or FigureOptions()
    models = options.models(FIGURE_2_MODELS)
    means = scores.mean_table(paths, models, VOXEL_TARGETS)
    scores.version_notes(
        paths,
        models,
        [
            (method, target, randnetw)
            for method in scores.METHODS
            for target in VOXEL_TARGETS
            for randnetw in (False, True)
        ],
    )
    r = pd.DataFrame(index=means.columns, columns=means.columns, dtype=float)
    p, n = r.copy(), r.copy()
    for a in means:
        for b in means:
            r.loc[a, b], p.loc[a, b], n.loc[a, b] = stats.pearson(means[a], means[b])
            if a == b:
                p.loc[a, b] = 0.0
    stem = "df_across_models_regr_rsa"
    return {
        stem: means.rename_axis("source_model"),
        f"{stem}_r": r,
        f"{stem}_r2": r**2,
        f"{stem}_p": p,
        f"{stem}_n": n,
    }

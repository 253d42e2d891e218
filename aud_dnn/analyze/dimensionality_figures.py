"""Effective dimensionality of layers against how well they predict (supplement)."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from aud_dnn import stats
from aud_dnn.analyze.figure_options import FigureOptions
from aud_dnn.analyze.plotting.component_scatters import correlation_matrix
from aud_dnn.analyze.plotting.drawings import Drawing, Drawings
from aud_dnn.analyze.plotting.lines import dimensionality_across_layers
from aud_dnn.analyze.plotting.points import Limits
from aud_dnn.analyze.plotting.scatters import value_scatter
from aud_dnn.conditions import Condition
from aud_dnn.methods.comparing.sides import DIMENSIONALITY_VARIANTS
from aud_dnn.models.figure_sets import ALL_SEED1_MODELS
from aud_dnn.paths import ProjectPaths
from aud_dnn.tables.every_layer import METHODS, dimensionality_scores, layer_value, rsa_dataset

ARCHITECTURES = {
    name: tuple(model for model in ALL_SEED1_MODELS if model.startswith(name))
    for name in ("Kell2018", "ResNet50")
}
"""The seven networks of each in-house architecture: five tasks and two trained on clean speech."""
ARCHITECTURE_NAMES = {"Kell2018": "CochCNN9", "ResNet50": "CochResNet50"}

LABELS = {
    "dimensionality_trained": "Effective dimensionality (trained model)",
    "dimensionality_permuted": "Effective dimensionality (permuted network)",
}
SCORE_LABELS = {"regression": "Neural noise-corrected $R^2$", "RSA": "RSA"}
_AXES = {"regression": ((-1, 70), (-0.015, 1)), "RSA": ((-1, 130), (-0.015, 0.8))}


@dataclass(frozen=True)
class LayerTable:
    """Dimensionality and score of every layer of some models, from
    :func:`.layer_scores.dimensionality_scores`.

    Attributes
    ----------
    table : DataFrame
        One row per layer.
    models : tuple of str
        That belong there, with results or without.
    method, target : str
    suffix : str
        ``_Kell2018`` or ``_ResNet50`` for one architecture alone.
    notes : tuple of str
        For the figures.
    """

    table: pd.DataFrame
    models: tuple[str, ...]
    method: str
    target: str
    suffix: str
    notes: tuple[str, ...]

    @property
    def stem(self) -> str:
        """File name of the table."""
        n_models = self.table["source_model"].nunique() if len(self.table) else 0
        return (
            f"dim_vs_{self.target}_across_layers-n={n_models}-models_roi-None_"
            f"{layer_value(self.method, self.target)}"
            f"{self.suffix}"
        )

    @property
    def labels(self) -> dict[str, str]:
        """Axis labels by column."""
        score = SCORE_LABELS[self.method]
        return {
            **LABELS,
            "score_trained": f"{score} (trained model)",
            "score_permuted": f"{score} (permuted network)",
        }

    def name(self, *words: str) -> str:
        architecture = [ARCHITECTURE_NAMES[self.suffix[1:]]] if self.suffix else []
        return ", ".join([self.method, self.target, *words, *architecture])


def layer_tables(
    paths: ProjectPaths,
    options: FigureOptions | None = None,
    methods: Sequence[str] = METHODS,
    found: Drawings | None = None,
) -> list[LayerTable]:
    """For each method and target.

    All models together, then the seven of each in-house architecture.

    Bad results are kept in ``found.errors`` where ``found`` is given, and raised otherwise.
    """
    options = options or FigureOptions()
    groups = {
        "": tuple(options.models(ALL_SEED1_MODELS)),
        **{f"_{name}": models for name, models in ARCHITECTURES.items()},
    }
    tables = []
    for method in methods:
        for target in options.targets:
            with found.attempt() if found is not None else contextlib.nullcontext():
                whole, notes = dimensionality_scores(paths, groups[""], target, method)
                for suffix, models in groups.items():
                    part = (
                        whole[whole["source_model"].isin(models)].reset_index(drop=True)
                        if len(whole)
                        else whole
                    )
                    tables.append(LayerTable(part, models, method, target, suffix, tuple(notes)))
    return tables


def merged_tables(tables: Sequence[LayerTable]) -> dict[str, pd.DataFrame]:
    """What to write as csv: file stem -> one row per layer. Empty tables are left out."""
    return {
        item.stem: item.table.assign(
            method=item.method,
            target=item.target,
            roi="None",
            value_of_interest=layer_value(item.method, item.target),
        )
        for item in tables
        if len(item.table)
    }


def dimensionality_figures(
    paths: ProjectPaths,
    options: FigureOptions | None = None,
    methods: Sequence[str] = METHODS,
    *,
    limits: Sequence[str] = ("paper",),
    analyses: Sequence[str] = ("scatters",),
    tables: Sequence[LayerTable] | None = None,
) -> Drawings:
    """Dimensionality of layers against score, trained and permuted, for all models and within each
    in-house architecture.

    Parameters
    ----------
    limits : sequence of str
        ``paper``: the published limits; ``automatic``: those of the data.
    analyses : sequence of str
        ``scatters``; and, not in the paper: ``correlations`` (between all columns of the merged
        table), ``argmax`` (the layer of largest dimensionality against the best predicting one),
        ``layers`` (dimensionality across the layers of a model).
    tables : sequence of LayerTable, optional
        From :func:`layer_tables`, if they are at hand.
    """
    options = options or FigureOptions()
    drawings = Drawings()
    conditions = [Condition.of(randnetw) for randnetw in options.conditions]
    tables = layer_tables(paths, options, methods, drawings) if tables is None else tables
    for item in tables:
        if item.table.empty:
            drawings.notes.append(f"Not drawn: {item.name()} (no layer has results).")
            continue
        drawings.note(item.notes)
        for condition in conditions if "scatters" in analyses else ():
            _add(
                drawings,
                [_scatter(item, condition, name, options.palette) for name in limits],
                f"{item.name(condition)} (fewer than two layers with results and dimensionality)",
            )
        if "correlations" in analyses:
            _add(
                drawings,
                [_correlations(item)],
                f"correlations, {item.name('all columns')} (no layer has both)",
            )
        for condition in conditions if "argmax" in analyses else ():
            _add(
                drawings,
                [_argmax_scatter(item, condition, options.palette)],
                f"largest against best layer, {item.name(condition)} (fewer than two models)",
            )
    if "layers" in analyses:
        drawings += _across_layers(
            [item for item in tables if not item.suffix], conditions, drawings.notes
        )
    return drawings


def _add(drawings: Drawings, made: Sequence[Drawing | None], what: str) -> None:
    drawings += [drawing for drawing in made if drawing is not None]
    if None in made:
        drawings.notes.append(f"Not drawn: {what}.")


def _wanted(item: LayerTable, condition: str) -> list[str]:
    return [
        model
        for model in item.models
        if Condition.of(condition == Condition.PERMUTED).exists_for(model)
    ]


def _layer_frame(item: LayerTable, columns: Sequence[str]) -> pd.DataFrame:
    """Rows without a hole in these columns."""
    return item.table.set_index(["source_model", "source_layer"]).dropna(subset=list(columns))


def _scatter(item: LayerTable, condition: str, limits: str, palette: str) -> Drawing | None:
    x, y = f"dimensionality_{condition}", f"score_{condition}"
    table = _layer_frame(item, (x, y))
    models = table.index.get_level_values("source_model")
    fixed = limits == "paper"
    stem = (
        f"layerwise_scatter_dim_{item.target}_roi-None_across_layers-n={models.nunique()}_models_"
        f"{layer_value(item.method, item.target)}_{condition}_vs_ED_{condition}_same_xlim="
        f"{fixed}_same_ylim={fixed}"
        f"{item.suffix}"
    )
    chosen = Limits(*_AXES[item.method], equal=False) if fixed else Limits(equal=False)
    return value_scatter(
        table[[x, y, f"{y}_yerr"]],
        x,
        y,
        models.tolist(),
        stem=stem,
        labels=(item.labels[x], item.labels[y]),
        title=item.name(condition),
        limits=chosen,
        palette=palette,
        identity=False,
        notes=item.notes,
        wanted=_wanted(item, condition),
        corner_size=24,
    )


def _correlations(item: LayerTable) -> Drawing | None:
    """Pearson correlation of all columns with each other, over the layers that have both."""
    columns = [column for column in item.table if column not in ("source_model", "source_layer")]
    found = pd.DataFrame(
        {a: [stats.pearson(item.table[a], item.table[b])[0] for b in columns] for a in columns},
        index=columns,
        dtype=float,
    )
    if not np.isfinite(found.to_numpy()[~np.eye(len(columns), dtype=bool)]).any():
        return None
    score = {"regression": "$R^2$", "RSA": "RSA"}[item.method]
    names = {"dimensionality": "ED", "score": score, "yerr": f"SEM of {score}"}
    labels = [
        f"{names[column.split('_')[-1] if column.endswith('_yerr') else column.split('_')[0]]}, "
        f"{column.split('_')[1]}"
        for column in columns
    ]
    present = set(item.table["source_model"])
    return correlation_matrix(
        found,
        labels,
        stem=f"corr_{item.stem}",
        title=f"Effective dimensionality (ED) and score of layers\n{item.name()}",
        missing=[model for model in item.models if model not in present],
        notes=item.notes,
    )


def _argmax_scatter(item: LayerTable, condition: str, palette: str) -> Drawing | None:
    """Relative position of the layer of largest dimensionality and of the best predicting one.

    The first of equals.
    """
    x, y = f"dimensionality_{condition}", f"score_{condition}"
    rows = {}
    for model, layers in item.table.groupby("source_model", sort=False):
        if len(layers) > 1 and layers[[x, y]].notna().all(axis=None):
            rows[model] = {
                name: layers[name].to_numpy().argmax() / (len(layers) - 1) for name in (x, y)
            }
    if not rows:
        return None
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("source_model")
    stem = (
        f"argmax-layer_scatter_dim_{item.target}_{layer_value(item.method, item.target)}_"
        f"{condition}{item.suffix}"
    )
    return value_scatter(
        table,
        x,
        y,
        list(table.index),
        stem=stem,
        title=item.name(condition),
        labels=(
            "Relative position of the layer of largest ED",
            "Relative position of the best layer",
        ),
        limits=Limits((-0.05, 1.05), (-0.05, 1.05), step=0.2),
        palette=palette,
        notes=item.notes,
        spread=True,
        wanted=[model for model in _wanted(item, condition) if model != "spectemp"],
    )


def _across_layers(
    tables: Sequence[LayerTable], conditions: Sequence[str], notes: list[str]
) -> list[Drawing]:
    """Dimensionality across the layers of each model; the targets share it."""
    drawings = []
    for method, variant in (("regression", "centered"), ("RSA", "standardized")):
        items = [item for item in tables if item.method == method and len(item.table)]
        if not items:
            continue
        found = pd.concat([item.table for item in items]).drop_duplicates(
            ["source_model", "source_layer"]
        )
        for model, layers in found.groupby("source_model", sort=False):
            curves = {
                condition: layers.set_index("source_layer")[f"dimensionality_{condition}"].rename(
                    condition
                )
                for condition in conditions
                if layers[f"dimensionality_{condition}"].notna().all()
            }
            if len(layers) > 1 and curves:
                drawings.append(
                    dimensionality_across_layers(
                        pd.DataFrame(curves),
                        model=model,
                        variant=variant,
                        stem=f"across-layers_effective-dimensionality_{variant}_{model}",
                    )
                )
            elif len(layers) > 1:
                notes.append(f"Not drawn: dimensionality across layers of {model} (none known).")
    return drawings


def neural_dimensionality(
    paths: ProjectPaths, options: FigureOptions | None = None
) -> pd.DataFrame:
    """Effective dimensionality of the fMRI responses.

    Means over repetitions, voxels of all participants together.

    Returns
    -------
    DataFrame
        One row per target: ``n_voxels`` and the dimensionality of raw, centred and z-scored voxels.
        Empty without RSA.
    """
    rows: dict[str, Mapping[str, float]] = {}
    for target in (options or FigureOptions()).targets:
        dataset = rsa_dataset(paths, target)
        if (
            dataset is not None and dataset["effective_dimensionality"].notnull().all()
        ):  # published files lack it
            rows[target] = {
                "n_voxels": int(dataset["n_voxels"].sum()),
                **{
                    variant: float(dataset["effective_dimensionality"].sel(variant=variant))
                    for variant in DIMENSIONALITY_VARIANTS
                },
            }
    return pd.DataFrame.from_dict(rows, orient="index")

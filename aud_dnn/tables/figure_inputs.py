"""What the figures of several models start from.

Tables that are current, read and set side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd

from aud_dnn.conditions import Condition
from aud_dnn.errors import InputError, MissingDataError
from aud_dnn.models.registry import MODELS
from aud_dnn.paths import ProjectPaths
from aud_dnn.store.regression_names import find_results, fit_command
from aud_dnn.tables.across_models import (
    AcrossModels,
    ComponentScores,
    RegionPositions,
    same_participants,
)
from aud_dnn.tables.choices import LAYER_CHOICES, PUBLISHED_CHOICE
from aud_dnn.tables.current_tables import ensure_tables, source_notes
from aud_dnn.tables.model_files import (
    VALUE,
    VERSION_COLUMNS,
    across_layers_path,
    best_layer_path,
    best_layer_regions_path,
    layer_choice_path,
    nested_splits_path,
    read_participant_frame,
    read_table,
    region_path,
)
from aud_dnn.tables.model_results import same_versions
from aud_dnn.tables.own_models import notes_on_activations
from aud_dnn.targets.facts import COMPONENT_TARGET, COMPONENTS, ROIS
from aud_dnn.utils import few


def models_with_results(paths: ProjectPaths) -> tuple[str, ...]:
    """Models that have any whole regression result."""
    folders = sorted(folder.name for folder in paths.results.glob("[!.]*") if folder.is_dir())
    return tuple(name for name in folders if next(find_results(paths, name), None) is not None)


def own_models(paths: ProjectPaths) -> tuple[str, ...]:
    """Models with results that are not in the registry: the user's own."""
    return tuple(name for name in models_with_results(paths) if name not in MODELS)


def nothing_drawn(paths: ProjectPaths, own: Sequence[str]) -> str:
    """What to say where not a single picture could be drawn.

    ``own`` are the models of ``--models``.
    """
    found = models_with_results(paths)
    others = [model for model in own_models(paths) if model not in own]
    add = f"Add your own: --models {' '.join(others)}. " if others else ""
    return (
        f"Nothing was drawn: what was asked for needs results that are not in {paths.results} (see "
        f"the notes above). There are regression results of {few(found) if found else 'no model'}. "
        f"{add}Make more: python aud_dnn/AUD_main.py --source_model Kell2018word --source_layer "
        "all --target all (and --randnetw True for the permuted network)."
    )


def _each(
    models: Sequence[str], read: Callable[[str], pd.DataFrame]
) -> tuple[dict[str, pd.DataFrame], tuple[str, ...]]:
    found, missing = {}, []
    for model in dict.fromkeys(models):
        try:
            found[model] = read(model)
        except MissingDataError:
            missing.append(model)
    return found, tuple(missing)


def score_versions(
    paths: ProjectPaths, models: Iterable[str], target: str, randnetw: bool
) -> dict[str, dict[str, str]]:
    """Versions of code and data behind each model's tables, which must be there
    (:func:`ensure_tables`).

    The tables of regions and layers do not hold them; those of best layers, made in the same go,
    do.
    """
    return _table_versions(
        {
            model: read_table(path, 0)
            for model in models
            if (path := best_layer_path(paths, model, target, randnetw)).is_file()
        }
    )


def _table_versions(tables: dict[str, pd.DataFrame]) -> dict[str, dict[str, str]]:
    return {
        model: {name: str(table[name].iloc[0]) for name in VERSION_COLUMNS if name in table}
        for model, table in tables.items()
    }


def model_fit_command(target: str, randnetw: bool) -> Callable[[str], str]:
    """The command that fits all layers of a model."""
    return lambda model: fit_command(
        model, "all", target, randnetw and Condition.of(True).exists_for(model)
    )


def read_layer_choice(
    paths: ProjectPaths, model: str, target: str, randnetw: bool, choice: str | None = None
) -> pd.DataFrame:
    """Scores of a model under every way to choose a layer (:mod:`aud_dnn.tables.layer_choice`), by
    participant or component.

    Parameters
    ----------
    choice : str, optional
        Among :data:`aud_dnn.tables.layer_choice.LAYER_CHOICES`: must be among them.

    Raises
    ------
    InputError
        The results do not hold what the choice needs.
    MissingDataError
        There are no results.
    """
    ensure_tables(paths, model, target, randnetw)
    path = layer_choice_path(paths, model, target, randnetw)
    if not path.is_file():
        raise InputError(
            f"{model} on {target}: its results do not hold loo_r2_train, by which layers are "
            "chosen. Fit them again: "
            f"{model_fit_command(target, randnetw)(model)} --overwrite"
        )
    index = "comp" if target == COMPONENT_TARGET else "subj_idx"
    table = read_table(path, index, ("published", "nested"))
    if choice is not None and choice not in table:
        raise InputError(
            f"{model} on {target} has no layer choice {choice}; there are "
            f"{', '.join(name for name in LAYER_CHOICES if name in table)}."
        )
    return table


def collect_scores(
    paths: ProjectPaths,
    models: Sequence[str],
    target: str,
    randnetw: bool,
    layer_choice: str = PUBLISHED_CHOICE,
) -> AcrossModels | None:
    """Best-layer scores of every participant (Figures 2 and 8), the layer chosen as
    ``layer_choice`` says.

    None if no model has results.

    The baseline has no permuted version; its trained scores stand in.
    """
    value = VALUE[target]

    def read(model: str) -> pd.DataFrame:
        if layer_choice != PUBLISHED_CHOICE:
            table = read_layer_choice(paths, model, target, randnetw, layer_choice)
            return table.rename(columns={layer_choice: value})
        ensure_tables(paths, model, target, randnetw)
        return read_table(best_layer_path(paths, model, target, randnetw), "subj_idx", (value,))

    tables, missing = _each(models, read)
    if not tables:
        return None
    command = model_fit_command(target, randnetw)
    people = same_participants(
        {model: table.index for model, table in tables.items()}, target, command
    )
    notes = [
        *same_versions(_table_versions(tables), target, command),
        *source_notes(paths, tables, target, randnetw),
        *notes_on_activations(paths, tables, randnetw),
    ]
    scores = pd.DataFrame(
        {model: table[value].to_numpy(dtype=float) for model, table in tables.items()},
        index=pd.Index(people, name="subj_idx"),
    )
    return AcrossModels(
        target, randnetw, value, scores, missing, tuple(notes), layer_choice=layer_choice
    )


def collect_components(
    paths: ProjectPaths,
    models: Sequence[str],
    randnetw: bool,
    layer_choice: str = PUBLISHED_CHOICE,
) -> ComponentScores | None:
    """Best-layer scores of every component (Figures 4, 5 and 9), the layer chosen as
    ``layer_choice`` says.

    None if no model has results.
    """
    value = VALUE[COMPONENT_TARGET]
    error = f"{value}_sem_over_it"
    iterations = {}

    def read(model: str) -> pd.DataFrame:
        if layer_choice == "median":
            raise InputError(
                "The largest median is the score of no split, so it has no error bars; choose "
                "published or nested for components."
            )
        if layer_choice != PUBLISHED_CHOICE:
            table = read_layer_choice(
                paths, model, COMPONENT_TARGET, randnetw, layer_choice
            ).rename(columns={layer_choice: value})
            splits = read_table(
                nested_splits_path(paths, model, randnetw), "comp", (value, "nit", "layer_choice")
            )
            iterations[model] = chosen = splits[splits["layer_choice"] == layer_choice]
            spread = chosen.groupby(level=0)[value]
            table[error] = spread.std(ddof=0) / np.sqrt(spread.size() - 1)
            return table.loc[list(COMPONENTS)]
        ensure_tables(paths, model, COMPONENT_TARGET, randnetw)
        table = read_table(
            best_layer_path(paths, model, COMPONENT_TARGET, randnetw),
            "comp",
            (value, error),
        )
        if sorted(table.index) != sorted(COMPONENTS):
            raise InputError(
                f"{best_layer_path(paths, model, COMPONENT_TARGET, randnetw)} must have the "
                f"components {', '.join(COMPONENTS)}; it has {', '.join(map(str, table.index))}."
            )
        stats_path = best_layer_path(paths, model, COMPONENT_TARGET, randnetw, stats=True)
        iterations[model] = read_table(stats_path, "comp", (value, "nit"))
        return table.loc[list(COMPONENTS)]

    tables, missing = _each(models, read)
    if not tables:
        return None
    notes = [
        *same_versions(
            _table_versions(tables), COMPONENT_TARGET, model_fit_command(COMPONENT_TARGET, randnetw)
        ),
        *source_notes(paths, tables, COMPONENT_TARGET, randnetw),
        *notes_on_activations(paths, tables, randnetw),
    ]
    wide = {
        model: table.reset_index().pivot(index="nit", columns="comp", values=value)
        for model, table in iterations.items()
    }
    layers = {
        model: table.reset_index().pivot(index="nit", columns="comp", values="layer_pos")
        for model, table in iterations.items()
        if "layer_pos" in table
    }
    return ComponentScores(
        randnetw,
        value,
        pd.DataFrame({model: table[value] for model, table in tables.items()}),
        pd.DataFrame({model: table[error] for model, table in tables.items()}),
        wide,
        layers,
        missing,
        tuple(notes),
        layer_choice,
    )


def collect_regions(
    paths: ProjectPaths,
    models: Sequence[str],
    target: str,
    randnetw: bool,
    layer_choice: str = PUBLISHED_CHOICE,
) -> RegionPositions | None:
    """Relative best-layer positions by participant and region (Figure 7).

    None if no model has results. As published, the best layer of a voxel is that of its largest
    median over all splits; its value is not used.
    """
    nested = layer_choice == "nested"
    if not nested and layer_choice not in (PUBLISHED_CHOICE, "median"):
        raise InputError(
            f"Figure 7 needs a layer for every voxel; {layer_choice} chooses for many together. "
            "Choose published or nested."
        )

    def read(model: str) -> pd.DataFrame:
        ensure_tables(paths, model, target, randnetw)
        if nested:
            read_layer_choice(paths, model, target, randnetw)
        path = region_path(paths, model, target, randnetw, nested=nested)
        if not path.is_file():
            raise MissingDataError(
                f"{model} has no best layer by region on {target}: a single layer, or "
                "participants without labelled voxels in every region."
            )
        return read_participant_frame(path)[0]

    tables, missing = _each(models, read)
    if not tables:
        return None
    command = model_fit_command(target, randnetw)
    same_participants({model: table.index for model, table in tables.items()}, target, command)
    notes = [
        *same_versions(score_versions(paths, tables, target, randnetw), target, command),
        *source_notes(paths, tables, target, randnetw),
        *notes_on_activations(paths, tables, randnetw, positions=True, results_on=target),
    ]
    regions = next(iter(tables.values())).columns
    positions = {
        region: pd.DataFrame({model: table[region] for model, table in tables.items()})
        for region in regions
    }
    return RegionPositions(
        target,
        randnetw,
        VALUE[target],
        positions,
        missing,
        tuple(notes),
        layer_choice=layer_choice if nested else PUBLISHED_CHOICE,
    )


def collect_layers(
    paths: ProjectPaths, model: str, target: str, randnetw: bool, roi: str | None = None
) -> tuple[pd.DataFrame, pd.Series]:
    """Participants x layers of one model, and the error of every layer."""
    ensure_tables(paths, model, target, randnetw)
    path = across_layers_path(paths, model, target, randnetw, roi)
    if not path.is_file():
        raise MissingDataError(f"{path} is missing.")
    table, error = read_participant_frame(path)
    if model in MODELS and tuple(table.columns) != MODELS[model].layer_names:
        raise InputError(
            f"{path} must have the layers {', '.join(MODELS[model].layer_names)} in this order. "
            "Remove it; it is made again from results/."
        )
    return table, error


def collect_region_scores(
    paths: ProjectPaths, model: str, target: str, randnetw: bool
) -> pd.DataFrame:
    """Cross-validated best-layer scores by participant and region.

    Raises
    ------
    MissingDataError
        There are no results of the model, or participants without voxels in every region.
    """
    ensure_tables(paths, model, target, randnetw)
    path = best_layer_regions_path(paths, model, target, randnetw)
    by_layer = across_layers_path(paths, model, target, randnetw, ROIS[0])
    if not path.is_file() and by_layer.is_file():  # tables of an earlier version
        ensure_tables(paths, model, target, randnetw, refresh=True)
    if not path.is_file():
        raise MissingDataError(
            f"{model} has no scores by region on {target}: not every participant has labelled "
            "voxels in every region."
        )
    return read_participant_frame(path)[0]

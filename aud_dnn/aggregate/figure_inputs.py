"""What the figures start from: result folders are aggregated where tables are missing or old, then tables are read.

A model without any result on a target is *missing*: it is named and left out. A model with some of its layers only is an
error, since its best layer would be chosen from the wrong set.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from aud_dnn.aggregate.across_models import AcrossModels, ComponentScores, RegionPositions, same_participants
from aud_dnn.aggregate.own_models import notes_on_activations, own_layer_order
from aud_dnn.aggregate.tables import (
    COMPONENT_TARGET,
    SPLIT_VALUE,
    VALUE,
    VERSION_COLUMNS,
    Labels,
    ModelResults,
    across_layers_path,
    best_layer_path,
    has_condition,
    labels_of,
    model_table_paths,
    read_participant_frame,
    read_table,
    region_path,
    write_model_tables,
)
from aud_dnn.errors import InputError, MissingDataError
from aud_dnn.files import h5_array, h5_dataset, open_h5
from aud_dnn.paths import ProjectPaths
from aud_dnn.processes import map_in_processes
from aud_dnn.resources import COMPONENTS, MODELS
from aud_dnn.results import (
    PROVENANCE_FILE,
    SCORES_FILE,
    TABLE_FILE,
    ResultKey,
    find_results,
    is_complete,
    parse_folder,
    read_result,
    result_folder,
)
from aud_dnn.results import read_table as read_result_table

ALPHALIMIT = 50


# --- one model --------------------------------------------------------------------------------------------------------

def _fit_command(model: str, layer: str, target: str, randnetw: bool) -> str:
    return (f"python aud_dnn/AUD_main.py --source_model {model} --source_layer {layer} --target {target} "
            f"--randnetw {randnetw}")


def _fit_again(folder: Path) -> str:
    """The command that makes a result anew."""
    key = parse_folder(folder)
    return f"Fit this layer again: {_fit_command(key.model, key.layer, key.target, key.randnetw)} --overwrite"


def _results_of(paths: ProjectPaths, model: str, target: str, randnetw: bool) -> dict[int, dict[str, Path]]:
    """Whole results by alphalimit and layer."""
    found: dict[int, dict[str, Path]] = {}
    for key, folder in find_results(paths, model):
        if (key.target, key.randnetw) == (target, randnetw):
            found.setdefault(key.alphalimit, {})[key.layer] = folder
    return found


def _own_layer_order(paths: ProjectPaths, model: str, randnetw: bool, found: Iterable[str]) -> list[str]:
    """Layers of a user's own model in network order; those that the order does not have are left out."""
    order = own_layer_order(paths, model, randnetw, found)
    for remark in order.remarks:
        warnings.warn(f"{model}: {remark}", stacklevel=2)
    return list(order.names)


def layer_folders(paths: ProjectPaths, model: str, target: str, randnetw: bool) -> dict[str, Path]:
    """The result folder of every layer, in network order.

    Raises
    ------
    MissingDataError
        The model has no result at all.
    InputError
        Some layers of a registered model are missing; or results exist only for another grid of alphas.
    """
    if model in MODELS:     # a look at the names that are expected is faster than one at all there are
        expected = {layer: result_folder(paths, model, layer, target, randnetw, ALPHALIMIT)
                    for layer in MODELS[model].layer_names}
        if all(is_complete(folder) for folder in expected.values()):
            return expected
    by_limit = _results_of(paths, model, target, randnetw)
    found = by_limit.get(ALPHALIMIT, {})
    condition = f"{model} ({'permuted' if randnetw else 'trained'}) on {target}"
    if model in MODELS:
        layers = list(MODELS[model].layer_names)
    else:
        layers = _own_layer_order(paths, model, randnetw, found) if found else []
    missing = [layer for layer in layers if layer not in found]
    others = sorted(set(by_limit) - {ALPHALIMIT})
    if others and (missing or not found):
        raise InputError(f"{condition}: there are results of ALPHALIMIT-{others[0]}, but figures use "
                         f"ALPHALIMIT-{ALPHALIMIT}. Fit with --alphalimit {ALPHALIMIT}: "
                         f"{_fit_command(model, 'all' if not found else missing[0], target, randnetw)}")
    if not found or len(missing) == len(layers):
        raise MissingDataError(f"There are no results of {condition} in {paths.results / model}. Fit it: "
                               f"{_fit_command(model, layers[0] if layers else '<layer>', target, randnetw)}")
    if missing:
        commands = "\n  ".join(_fit_command(model, layer, target, randnetw) for layer in missing)
        raise InputError(f"{condition}: {len(missing)} of {len(layers)} layers have no result: {', '.join(missing)}. "
                         f"Make them:\n  {commands}")
    return {layer: found[layer] for layer in layers}


def _read_layer(folder: Path, variable: str, median: str, *, metadata: bool
                ) -> tuple[np.ndarray, pd.DataFrame, dict | None]:
    """Scores per split, the per-voxel table, and the provenance of one layer.

    Only what is needed is decoded: a figure of all models opens more than a thousand results.
    """
    if not (folder / SCORES_FILE).is_file():
        result = read_result(folder)
        return result.scores[variable].to_numpy(), result.table, result.provenance
    try:
        with open_h5(folder / SCORES_FILE) as file:     # netCDF-4 is HDF5
            dataset = h5_dataset(file, variable)
            if dataset is None:
                raise KeyError(f"{SCORES_FILE} lacks {variable}")
            scores = h5_array(dataset)
        table = pd.read_parquet(folder / TABLE_FILE, engine="pyarrow", columns=None if metadata else ["voxel_id", median])
        provenance = json.loads((folder / PROVENANCE_FILE).read_text())
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{folder} cannot be read ({error}). {_fit_again(folder)}") from error
    if not {"voxel_id", median} <= set(table) or len(table) != len(scores):
        raise InputError(f"{folder}: scores and table do not belong together. {_fit_again(folder)}")
    return scores, table, provenance


def _versions(provenance: dict | None) -> dict[str, str]:
    """What a figure must not mix: version of the numerics, and a digest of the target's data."""
    if provenance is None:
        return {}
    responses = provenance.get("responses", {})
    return dict(zip(VERSION_COLUMNS, (f"v{provenance.get('numerics', '?')}", str(responses.get("sha256", "?"))[:12])))


def same_versions(versions: Mapping[str, Mapping[str, str]], what: str, command: Callable[[str], str]) -> list[str]:
    """Notes for the figure; an error where two known versions differ, with the ``command`` that makes one of them again.

    Parameters
    ----------
    versions : mapping from a name (of a layer, model or method) to :data:`VERSION_COLUMNS` and their values
        Empty where nothing is known.
    what : str
        Begins the message.
    command : function of a name
    """
    known = {name: tuple(version.items()) for name, version in versions.items() if version}
    if len(set(known.values())) > 1:
        groups: dict[tuple, list[str]] = {}
        for name, version in known.items():
            groups.setdefault(version, []).append(name)
        listing = "; ".join(f"{', '.join(names[:4])}: {dict(version)}" for version, names in groups.items())
        fewest = min(groups.values(), key=len)
        raise InputError(f"{what}: results of different versions of code or data cannot stand in one figure ({listing}). "
                         f"Fit the older ones again, for example: {command(fewest[0])} --overwrite")
    if known and len(known) < len(versions):
        return ["Some of these results (published or older ones) do not say which data they came from; check that all used "
                "the same."]
    return []


def load_model_results(paths: ProjectPaths, model: str, target: str, randnetw: bool) -> ModelResults:
    """All layers of one model on one target in one condition (figures section 2.1 to 2.3).

    Raises
    ------
    MissingDataError, InputError
        See :func:`layer_folders`; also voxels that differ between layers, NaN, layers of different versions.
    """
    folders = layer_folders(paths, model, target, randnetw)
    variable, median = SPLIT_VALUE[target], VALUE[target]
    scores, medians, versions, metadata = [], [], {}, None
    for layer, folder in folders.items():
        values, table, provenance = _read_layer(folder, variable, median, metadata=metadata is None)
        ids = table["voxel_id"].to_numpy()
        if metadata is None:
            metadata = table.reset_index(drop=True)
            if len(set(ids.tolist())) != len(ids) or (np.diff(ids) <= 0).any():
                raise InputError(f"{folder}: voxel ids must be unique and ascending. {_fit_again(folder)}")
        elif not np.array_equal(ids, metadata["voxel_id"]):
            raise InputError(f"{folder}: its voxels are not those of layer {next(iter(folders))}. Both must be fitted to "
                             f"the same data. {_fit_again(folder)}")
        bad = {variable: ~np.isfinite(values).all(axis=1), median: ~np.isfinite(table[median].to_numpy(dtype=float))}
        if wrong := {name: int(rows.sum()) for name, rows in bad.items() if rows.any()}:
            name, count = next(iter(wrong.items()))
            raise InputError(f"{folder}: {name} holds NaN or inf for {count} voxel(s). {_fit_again(folder)}")
        scores.append(values)
        medians.append(table[median].to_numpy(dtype=float))
        versions[layer] = _versions(provenance)
    same_versions(versions, f"{model} on {target}", lambda layer: _fit_command(model, layer, target, randnetw))
    columns = [name for name in metadata.columns if not name.startswith(("mean_", "median_", "std_"))
               and name not in ("source_model", "source_layer", "randnetw", "target")]
    metadata = metadata[columns]
    if target == COMPONENT_TARGET and "comp" not in metadata:
        metadata = metadata.assign(comp=list(COMPONENTS))
    return ModelResults(model, target, randnetw, tuple(folders), metadata, np.stack(scores, axis=1),
                        np.stack(medians, axis=1), next(iter(versions.values())))


@cache
def _labels(file: Path, modified: float) -> Labels:
    """What decides which tables there are; ``modified`` is the time of the file, which may change under its name."""
    return labels_of(read_result_table(file.parent))


def ensure_tables(paths: ProjectPaths, model: str, target: str, randnetw: bool, *, refresh: bool = False) -> None:
    """Make the tables of one model unless they are there and not older than its results.

    Tables without result folders are used as they are: that is what a download of published tables brings.
    """
    randnetw = randnetw and has_condition(model, True)
    needed = [best_layer_path(paths, model, target, randnetw), best_layer_path(paths, model, target, randnetw, stats=True),
              across_layers_path(paths, model, target, randnetw)]
    present = [path for path in needed if path.is_file()]
    try:
        folders = list(layer_folders(paths, model, target, randnetw).values())    # an incomplete set is refused in any case
    except MissingDataError:
        if present and not refresh:
            return
        raise
    newest = max(file.stat().st_mtime for folder in folders for file in folder.iterdir())

    def current(labels: Labels) -> bool:
        expected = model_table_paths(paths, model, target, randnetw, len(folders), labels)
        return all(path.is_file() and path.stat().st_mtime >= newest for path in expected)

    if not refresh and present == needed:
        table = next(path for path in sorted(folders[0].iterdir()) if path.stem == Path(TABLE_FILE).stem)
        if current(Labels(True, True)) or current(_labels(table, table.stat().st_mtime)):
            return
    write_model_tables(paths, load_model_results(paths, model, target, randnetw))


def own_models(paths: ProjectPaths) -> tuple[str, ...]:
    """Models with results that are not in the registry: the user's own."""
    folders = sorted(folder.name for folder in paths.results.iterdir() if folder.is_dir()) if paths.results.is_dir() else []
    return tuple(name for name in folders if name not in MODELS and next(find_results(paths, name), None) is not None)


def _ensure(job: tuple[ProjectPaths, str, str, bool]) -> str | None:
    try:
        ensure_tables(*job)
    except InputError as error:
        return str(error)
    return None


def aggregate_all(paths: ProjectPaths, targets: Sequence[str], *, jobs: int = 1
                  ) -> dict[tuple[str, str, bool], str | None]:
    """Bring the tables of all models with results up to date, several targets at a time.

    Parameters
    ----------
    paths : ProjectPaths
    targets : sequence of str
    jobs : int
        Processes. Each takes whole targets in turn, so that the halvings of a target are drawn once per process.

    Returns
    -------
    dict of (model, target, permuted) -> str or None
        None, or the error that the results of this one gave; the others are aggregated all the same.
    """
    folders = sorted(folder for folder in paths.results.iterdir() if folder.is_dir()) if paths.results.is_dir() else []
    found = dict.fromkeys((key.model, key.target, key.randnetw) for folder in folders
                          for key, _ in find_results(paths, folder.name)
                          if key.target in targets and key.alphalimit == ALPHALIMIT)
    work = [(paths, *job) for job in found]
    n_layers = {model: len(entry.layers) for model, entry in MODELS.items()}
    work.sort(key=lambda job: (targets.index(job[2]), -n_layers.get(job[1], 0)))    # most layers first: halvings drawn once
    outcomes = map_in_processes(_ensure, work, jobs if len(work) >= 8 else 1)
    return {job[1:]: error for job, error in zip(work, outcomes)}


# --- several models ---------------------------------------------------------------------------------------------------

def _each(models: Sequence[str], read: Callable[[str], pd.DataFrame]) -> tuple[dict[str, pd.DataFrame], tuple[str, ...]]:
    found, missing = {}, []
    for model in dict.fromkeys(models):
        try:
            found[model] = read(model)
        except MissingDataError:
            missing.append(model)
    return found, tuple(missing)


def score_versions(paths: ProjectPaths, models: Iterable[str], target: str, randnetw: bool) -> dict[str, dict[str, str]]:
    """Versions of code and data behind each model's tables, which must be there (:func:`ensure_tables`).

    The tables of regions and layers do not hold them; those of best layers, made in the same go, do.
    """
    return _table_versions({model: read_table(path, 0) for model in models
                            if (path := best_layer_path(paths, model, target, randnetw)).is_file()})


def _table_versions(tables: dict[str, pd.DataFrame]) -> dict[str, dict[str, str]]:
    return {model: {name: str(table[name].iloc[0]) for name in VERSION_COLUMNS if name in table}
            for model, table in tables.items()}


def model_fit_command(target: str, randnetw: bool) -> Callable[[str], str]:
    """The command that fits all layers of a model."""
    return lambda model: _fit_command(model, "all", target, randnetw and has_condition(model, True))


def collect_scores(paths: ProjectPaths, models: Sequence[str], target: str, randnetw: bool) -> AcrossModels | None:
    """Cross-validated best-layer scores of every participant (Figures 2 and 8); None if no model has results.

    The baseline has no permuted version; its trained scores stand in.
    """
    value = VALUE[target]

    def read(model: str) -> pd.DataFrame:
        ensure_tables(paths, model, target, randnetw)
        return read_table(best_layer_path(paths, model, target, randnetw), "subj_idx", (value,))

    tables, missing = _each(models, read)
    if not tables:
        return None
    command = model_fit_command(target, randnetw)
    people = same_participants({model: table.index for model, table in tables.items()}, target, command)
    notes = [*same_versions(_table_versions(tables), target, command), *notes_on_activations(paths, tables, randnetw)]
    scores = pd.DataFrame({model: table[value].to_numpy(dtype=float) for model, table in tables.items()},
                          index=pd.Index(people, name="subj_idx"))
    return AcrossModels(target, randnetw, value, scores, missing, tuple(notes))


def collect_components(paths: ProjectPaths, models: Sequence[str], randnetw: bool) -> ComponentScores | None:
    """Cross-validated best-layer scores of every component (Figures 4, 5 and 9); None if no model has results."""
    value = VALUE[COMPONENT_TARGET]
    iterations = {}

    def read(model: str) -> pd.DataFrame:
        ensure_tables(paths, model, COMPONENT_TARGET, randnetw)
        table = read_table(best_layer_path(paths, model, COMPONENT_TARGET, randnetw), "comp",
                           (value, f"{value}_sem_over_it"))
        if sorted(table.index) != sorted(COMPONENTS):
            raise InputError(f"{best_layer_path(paths, model, COMPONENT_TARGET, randnetw)} must have the components "
                             f"{', '.join(COMPONENTS)}; it has {', '.join(map(str, table.index))}.")
        stats_path = best_layer_path(paths, model, COMPONENT_TARGET, randnetw, stats=True)
        iterations[model] = read_table(stats_path, "comp", (value, "nit"))
        return table.loc[list(COMPONENTS)]

    tables, missing = _each(models, read)
    if not tables:
        return None
    notes = [*same_versions(_table_versions(tables), COMPONENT_TARGET, model_fit_command(COMPONENT_TARGET, randnetw)),
             *notes_on_activations(paths, tables, randnetw)]
    wide = {model: table.reset_index().pivot(index="nit", columns="comp", values=value)
            for model, table in iterations.items()}
    layers = {model: table.reset_index().pivot(index="nit", columns="comp", values="layer_pos")
              for model, table in iterations.items() if "layer_pos" in table}
    return ComponentScores(randnetw, value, pd.DataFrame({model: table[value] for model, table in tables.items()}),
                           pd.DataFrame({model: table[f"{value}_sem_over_it"] for model, table in tables.items()}),
                           wide, layers, missing, tuple(notes))


def collect_regions(paths: ProjectPaths, models: Sequence[str], target: str, randnetw: bool) -> RegionPositions | None:
    """Relative best-layer positions by participant and region (Figure 7); None if no model has results."""
    def read(model: str) -> pd.DataFrame:
        ensure_tables(paths, model, target, randnetw)
        path = region_path(paths, model, target, randnetw)
        if not path.is_file():
            raise MissingDataError(f"{model} has no best layer by region on {target}: a single layer, or no region labels.")
        return read_participant_frame(path)[0]

    tables, missing = _each(models, read)
    if not tables:
        return None
    command = model_fit_command(target, randnetw)
    same_participants({model: table.index for model, table in tables.items()}, target, command)
    notes = [*same_versions(score_versions(paths, tables, target, randnetw), target, command),
             *notes_on_activations(paths, tables, randnetw, positions=True, results_on=target)]
    regions = next(iter(tables.values())).columns
    positions = {region: pd.DataFrame({model: table[region] for model, table in tables.items()}) for region in regions}
    return RegionPositions(target, randnetw, VALUE[target], positions, missing, tuple(notes))


def collect_layers(paths: ProjectPaths, model: str, target: str, randnetw: bool, roi: str | None = None
                   ) -> tuple[pd.DataFrame, pd.Series]:
    """Participants x layers of one model, and the error of every layer."""
    ensure_tables(paths, model, target, randnetw)
    path = across_layers_path(paths, model, target, randnetw, roi)
    if not path.is_file():
        raise MissingDataError(f"{path} is missing.")
    table, error = read_participant_frame(path)
    if model in MODELS and tuple(table.columns) != MODELS[model].layer_names:
        raise InputError(f"{path} must have the layers {', '.join(MODELS[model].layer_names)} in this order. Remove it; it "
                         "is made again from results/.")
    return table, error


def predicted_responses(paths: ProjectPaths, model: str, layer: str, randnetw: bool) -> np.ndarray:
    """Predicted component responses, mean over the splits in which a sound was a test sound, shape (n_sounds, 6)."""
    key = ResultKey(model, layer, COMPONENT_TARGET, randnetw and has_condition(model, True), ALPHALIMIT)
    folder = result_folder(paths, key.model, key.layer, key.target, key.randnetw, key.alphalimit)
    predictions = read_result(folder).predictions(rescaled=True)
    tested = np.isfinite(predictions)
    if not tested.any(axis=1).all():
        raise InputError(f"{folder}: some sounds were a test sound in no split; Figure 4 needs the published ten splits.")
    return np.where(tested, predictions, 0).sum(axis=1) / tested.sum(axis=1)

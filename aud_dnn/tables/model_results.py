"""All layers of one model on one target, from its result folders.

A model without any result on a target is *missing*: it is named and left out. A model with some of
its layers only is an error, since its best layer would be chosen from the wrong set.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from aud_dnn.errors import InputError, MissingDataError
from aud_dnn.io.digests import DigestMemo
from aud_dnn.models.registry import MODELS
from aud_dnn.paths import ProjectPaths
from aud_dnn.store.regression import read_result
from aud_dnn.store.regression_names import (
    find_results,
    fit_again,
    fit_command,
    is_complete,
    result_folder,
)
from aud_dnn.tables.model_files import SPLIT_VALUE, VALUE, VERSION_COLUMNS
from aud_dnn.tables.own_models import own_layer_order
from aud_dnn.tables.per_model import ModelResults
from aud_dnn.targets.facts import COMPONENT_TARGET, COMPONENTS

ALPHALIMIT = 50


@lru_cache(maxsize=8)
def digest_memo(paths: ProjectPaths) -> DigestMemo:
    """One for all that a process reads: it looks at the files anew each time it is asked."""
    return DigestMemo(paths.results)


def _results_of(
    paths: ProjectPaths, model: str, target: str, randnetw: bool
) -> dict[int, dict[str, Path]]:
    """Whole results by alphalimit and layer."""
    found: dict[int, dict[str, Path]] = {}
    for key, folder in find_results(paths, model):
        if (key.target, key.randnetw) == (target, randnetw):
            found.setdefault(key.alphalimit, {})[key.layer] = folder
    return found


def _own_layer_order(
    paths: ProjectPaths, model: str, randnetw: bool, found: Iterable[str]
) -> list[str]:
    """Layers of a user's own model in network order.

    Those that the order does not have are left out.
    """
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
        Some layers of a registered model are missing; or results exist only for another grid of
        alphas.
    """
    if model in MODELS:  # a look at the names that are expected is faster than one at all there are
        expected = {
            layer: result_folder(paths, model, layer, target, randnetw, ALPHALIMIT)
            for layer in MODELS[model].layer_names
        }
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
        raise InputError(
            f"{condition}: there are results of ALPHALIMIT-{others[0]}, but figures use "
            f"ALPHALIMIT-{ALPHALIMIT}. Fit with --alphalimit {ALPHALIMIT}: "
            f"{fit_command(model, 'all', target, randnetw)}"
        )
    if not found or len(missing) == len(layers):
        raise MissingDataError(
            f"There are no results of {condition} in {paths.results / model}. Fit it: "
            f"{fit_command(model, 'all', target, randnetw)}"
        )
    if missing:
        raise InputError(
            f"{condition}: {len(missing)} of {len(layers)} layers have no result: "
            f"{', '.join(missing)}. Make them (what is there stays): "
            f"{fit_command(model, 'all', target, randnetw)}"
        )
    return {layer: found[layer] for layer in layers}


def _versions(provenance: dict | None) -> dict[str, str]:
    """What a figure must not mix: version of the numerics, and a digest of the target's data."""
    if provenance is None:
        return {}
    responses = provenance.get("responses", {})
    return dict(
        zip(
            VERSION_COLUMNS,
            (f"v{provenance.get('numerics', '?')}", str(responses.get("sha256", "?"))[:12]),
        )
    )


def same_versions(
    versions: Mapping[str, Mapping[str, str]], what: str, command: Callable[[str], str]
) -> list[str]:
    """Notes for the figure.

    An error where two known versions differ, with the ``command`` that makes one of them again.

    Parameters
    ----------
    versions : mapping from a name (of a layer, model or method) to :data:`VERSION_COLUMNS` and
    their values
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
        listing = "; ".join(
            f"{', '.join(names[:4])}: {dict(version)}" for version, names in groups.items()
        )
        fewest = min(groups.values(), key=len)
        raise InputError(
            f"{what}: results of different versions of code or data cannot stand in one figure "
            f"({listing}). Fit the older ones again, for example: {command(fewest[0])} --overwrite"
        )
    if known and len(known) < len(versions):
        return [
            "Some of these results (published or older ones) do not say which data they came from; "
            "check that all used the same."
        ]
    return []


def load_model_results(
    paths: ProjectPaths, model: str, target: str, randnetw: bool
) -> ModelResults:
    """All layers of one model on one target in one condition (figures section 2.1 to 2.3).

    Raises
    ------
    MissingDataError, InputError
        See :func:`layer_folders`; also voxels that differ between layers, NaN, layers of different
        versions.
    """
    folders = layer_folders(paths, model, target, randnetw)
    variable, median = SPLIT_VALUE[target], VALUE[target]
    scores, medians, loo_r2, versions, metadata = [], [], [], {}, None
    for layer, folder in folders.items():
        result = read_result(folder, memo=digest_memo(paths))
        values, table = (
            result.values(variable),
            result.table if metadata is None else result.columns(median),
        )
        ids = table["voxel_id"].to_numpy()
        if metadata is None:
            metadata = table.reset_index(drop=True)
            if len(set(ids.tolist())) != len(ids) or (np.diff(ids) <= 0).any():
                raise InputError(
                    f"{folder}: voxel ids must be unique and ascending. {fit_again(folder)}"
                )
        elif not np.array_equal(ids, metadata["voxel_id"]):
            raise InputError(
                f"{folder}: its voxels are not those of layer {next(iter(folders))}. Both must be "
                f"fitted to the same data. {fit_again(folder)}"
            )
        bad = {
            variable: ~np.isfinite(values).all(axis=1),
            median: ~np.isfinite(table[median].to_numpy(dtype=float)),
        }
        if wrong := {name: int(rows.sum()) for name, rows in bad.items() if rows.any()}:
            name, count = next(iter(wrong.items()))
            raise InputError(
                f"{folder}: {name} holds NaN or inf for {count} voxel(s). {fit_again(folder)}"
            )
        scores.append(values)
        medians.append(table[median].to_numpy(dtype=float))
        if "loo_r2_train" in result.score_names:
            loo_r2.append(result.values("loo_r2_train").astype(np.float32))  # as it is stored
        versions[layer] = _versions(result.provenance)
    same_versions(
        versions, f"{model} on {target}", lambda layer: fit_command(model, layer, target, randnetw)
    )
    columns = [
        name
        for name in metadata.columns
        if not name.startswith(("mean_", "median_", "std_"))
        and name not in ("source_model", "source_layer", "randnetw", "target")
    ]
    metadata = metadata[columns]
    if target == COMPONENT_TARGET and "comp" not in metadata:
        metadata = metadata.assign(comp=list(COMPONENTS))
    _check_metadata(metadata, target, next(iter(folders.values())))
    return ModelResults(
        model,
        target,
        randnetw,
        tuple(folders),
        metadata,
        np.stack(scores, axis=1),
        np.stack(medians, axis=1),
        next(iter(versions.values())),
        np.stack(loo_r2, axis=1) if len(loo_r2) == len(folders) else None,
    )


def _check_metadata(metadata: pd.DataFrame, target: str, folder: Path) -> None:
    """Refuse metadata without what every table needs.

    Names of the components, or a participant for each voxel.
    """
    if target == COMPONENT_TARGET:
        if metadata["comp"].tolist() != list(COMPONENTS):
            raise InputError(
                f"{folder}: the components must be {', '.join(COMPONENTS)}, in this order. "
                f"{fit_again(folder)}"
            )
        return
    column = metadata.get("subj_idx")
    if (
        column is None
        or column.isna().any()
        or not (
            pd.api.types.is_numeric_dtype(column) or all(isinstance(value, str) for value in column)
        )
    ):
        raise InputError(
            f"{folder}: the metadata column subj_idx must name the participant of every voxel. "
            f"Correct df_roi_meta.pkl. {fit_again(folder)}"
        )

"""The two RSA pickles of the authors' results.

Read them, and write them for programs that expect them.

``ALL_MODELS_all_dataset_rsa.pckl``: target -> condition -> model -> participant -> record (all
voxels). ``ALL_MODELS_best_layer_rsa_analysis_dict.pckl``: ``rsa_analysis_dict_all_rois[_permuted]``
-> target -> region -> model -> participant -> record. Both are read into the datasets of
:mod:`aud_dnn.store.comparisons`.
"""

from __future__ import annotations

from collections.abc import ItemsView, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from aud_dnn.conditions import CONDITIONS
from aud_dnn.errors import InputError, MissingDataError
from aud_dnn.io.atomic import atomic_file
from aud_dnn.io.digests import DigestMemo
from aud_dnn.io.pickles.safe_pickle import load_pickle
from aud_dnn.io.pickles.writing import write_pickle
from aud_dnn.methods.comparing.similarity import best_layer_position
from aud_dnn.methods.comparing.triangles import square_matrix, upper_triangle
from aud_dnn.paths import ProjectPaths
from aud_dnn.splits import published_splits
from aud_dnn.store.comparison_parts import Part
from aud_dnn.store.comparisons import ALL_VOXELS, assemble, read_analysis

ALL_VOXELS_FILE = "ALL_MODELS_all_dataset_rsa.pckl"
BEST_LAYER_FILE = "ALL_MODELS_best_layer_rsa_analysis_dict.pckl"
_SQUARE = "all_data_corr_mat_fmri_square"
_BEST_LAYER_KEYS = dict(
    zip(CONDITIONS, ("rsa_analysis_dict_all_rois", "rsa_analysis_dict_all_rois_permuted"))
)


# --- reading ------------------------------------------------------------------------------------


def read_published_rsa(
    path: Path, *, sounds: Sequence[str] | None = None, categories: Sequence[str] | None = None
) -> dict[tuple[str, str], xr.Dataset]:
    """Read either of the two pickles, without running what is in it.

    Parameters
    ----------
    path : Path
    sounds, categories : sequences of str, optional
        Names of the sounds grouped by category, which the pickles do not hold; numbered if not
        given.

    Returns
    -------
    dict from (target, region) to Dataset
        As written by :func:`aud_dnn.store.comparisons.write_analysis`; what the pickles do not hold
        (similarities on the training sounds, Spearman ceilings, voxel counts) is NaN or -1.

    Raises
    ------
    InputError
        The file is not one of the two, or a record is incomplete.
    """
    content = load_pickle(Path(path), allow="arrays")

    def below(value: Any, what: str) -> ItemsView[str, Any]:
        if not isinstance(value, dict) or not all(
            isinstance(key, str) and key.isprintable() for key in value
        ):
            raise _unexpected(path, f"a dictionary of {what}", value)
        return value.items()

    if not below(content, "targets or conditions"):
        raise _unexpected(path, "a dictionary of targets or conditions", content)
    by_pair: dict[tuple[str, str], dict[tuple[str, str], dict[str, Any]]] = {}
    if set(content) <= set(_BEST_LAYER_KEYS.values()):
        for condition, key in _BEST_LAYER_KEYS.items():
            for target, rois in below(content[key], "targets") if key in content else ():
                for roi, models in below(rois, "regions"):
                    for model, records in below(models, "models"):
                        below(records, "participants")
                        by_pair.setdefault((target, roi), {})[model, condition] = records
    else:
        for target, conditions in content.items():
            if not isinstance(conditions, dict) or not set(conditions) <= set(CONDITIONS):
                raise _unexpected(path, f"'trained' and 'permuted' below {target!r}", conditions)
            for condition, models in conditions.items():
                for model, records in below(models, "models"):
                    below(records, "participants")
                    by_pair.setdefault((target, ALL_VOXELS), {})[model, condition] = records
    return {
        (target, roi): _dataset(Path(path), target, roi, models, sounds, categories)
        for (target, roi), models in by_pair.items()
    }


def read_rsa(paths: ProjectPaths, target: str, roi: str = ALL_VOXELS) -> xr.Dataset:
    """The RSA of one target and region.

    Our own, else that of the published files in ``results/RSA/``.

    Datasets of published files have an attribute ``read_from``. Do not change them: they are kept
    in memory.

    Raises
    ------
    MissingDataError, InputError
        Neither is there, or what is there cannot be read.
    """
    try:
        return read_analysis(paths.rsa_results, target, roi)
    except MissingDataError:
        path = paths.results / "RSA" / (ALL_VOXELS_FILE if roi == ALL_VOXELS else BEST_LAYER_FILE)
        if not path.is_file():
            raise
        memo = DigestMemo(paths.results)
        found = _read_once(path, memo.file(path))
        memo.save()
        if (target, roi) not in found:
            raise
        return found[target, roi]


@lru_cache(maxsize=2)
def _read_once(path: Path, digest: str) -> dict[tuple[str, str], xr.Dataset]:
    """``digest`` is that of the content: another content is read again."""
    return read_published_rsa(path)


def _unexpected(path: Path, wanted: str, found: Any) -> InputError:
    shown = sorted(map(str, found))[:5] if isinstance(found, dict) else type(found).__name__
    return InputError(
        f"{path} is not one of the two published RSA files: expected {wanted}, found {shown}."
    )


def _dataset(
    path: Path,
    target: str,
    roi: str,
    models: Mapping[tuple[str, str], Mapping[str, Any]],
    sounds: Sequence[str] | None,
    categories: Sequence[str] | None,
) -> xr.Dataset:
    parts, neural = {}, None
    for (model, condition), records in models.items():
        try:
            parts[model, condition] = _score_part(records)
            if neural is None:
                neural = _neural_part(records)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise InputError(
                f"{path}: the records of {model} ({condition}, {target}, {roi}) are incomplete or "
                f"of unequal size ({type(error).__name__}: {error})."
            ) from error
        if len(records) != len(neural.arrays["participants"]):
            raise InputError(
                f"{path}: {model} ({condition}, {target}, {roi}) has {len(records)} participants, "
                f"others have {len(neural.arrays['participants'])}."
            )
    n_sounds = square_matrix(neural.arrays["rdms"][0]).shape[0]
    dataset = assemble(
        target,
        roi,
        neural,
        parts,
        train=published_splits(n_sounds).train,
        about={"read_from": path.name},
        sounds=sounds or [f"sound_{index}" for index in range(n_sounds)],
        categories=categories or [""] * n_sounds,
    )
    dataset[_SQUARE] = (
        ("participant", "sound", "other_sound"),
        neural.arrays[_SQUARE],
        {"long_name": "the published correlation matrices, symmetric but for rounding"},
    )
    return dataset


def _splits(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [
        record[f"split_{index}"]
        for index in range(sum(str(key).startswith("split_") for key in record))
    ]


def _score_part(records: Mapping[str, Mapping[str, Any]]) -> Part:
    each = list(records.values())
    test = np.array(
        [[split["all_layer_test_correlations"] for split in _splits(record)] for record in each],
        dtype=float,
    )
    all_sounds = np.array([record["all_data_rsa_for_best_layer"] for record in each], dtype=float)

    def of_splits(key: str, dtype: type) -> np.ndarray:
        return np.array([[split[key] for split in _splits(record)] for record in each], dtype=dtype)

    def of_records(key: str) -> np.ndarray:
        return np.array([record[key] for record in each], dtype=float)

    layers = np.array(each[0]["model_layers"], dtype=str)
    if not all(map(str.isprintable, layers)):
        raise ValueError("names of layers that cannot be printed")
    return Part(
        {
            "layers": layers,
            "layer_test": test,
            "layer_train": np.full_like(test, np.nan),
            "best_index": of_splits("best_layer_idx", np.int64),
            "best_value": of_splits("best_layer_test_value", float),
            "best_median": of_records("best_layer_rsa_median_across_splits"),
            "best_median_index": of_records("splits_median_best_layer_idx"),
            "layer_test_median": of_records("splits_median_distance_all_layers"),
            "layer_all_sounds": all_sounds,
            "concatenated_all_sounds": of_records("all_model_features_rsa"),
            "best_layer_position": best_layer_position(all_sounds),
        },
        {},
    )


def _neural_part(records: Mapping[str, Mapping[str, Any]]) -> Part:
    each = list(records.values())
    ceiling = np.array(
        [record["leave_one_out_neural_r_cv_test_splits"] for record in each], dtype=float
    )
    unknown = np.full(len(each), np.nan)
    matrices = np.stack(
        [np.asarray(record["all_data_corr_mat_fmri"], dtype=float) for record in each]
    )
    return Part(
        {
            "participants": np.array(list(records)),
            "ceiling_pearson": ceiling,
            "rdms": upper_triangle(matrices),
            _SQUARE: matrices,
            "ceiling_spearman": np.full_like(ceiling, np.nan),
            "ceiling_pearson_all_sounds": unknown,
            "ceiling_spearman_all_sounds": unknown,
            "n_voxels": np.full(len(each), -1),
            "effective_dimensionality": np.full(3, np.nan),
        },
        {},
    )


# --- writing ------------------------------------------------------------------------------------


def write_published_rsa(folder: Path, datasets: Mapping[tuple[str, str], xr.Dataset]) -> list[Path]:
    """Write the datasets as the two pickles, in the nesting and with the types of the published
    ones.
    """
    everything: dict[str, Any] = {}
    by_region: dict[str, Any] = {key: {} for key in _BEST_LAYER_KEYS.values()}
    for (target, roi), dataset in datasets.items():
        # one object per participant for all models: the pickle then holds each matrix once
        matrices = list(
            dataset[_SQUARE].values
            if _SQUARE in dataset  # read from a published pickle
            else square_matrix(dataset["all_data_corr_mat_fmri"].values)
        )
        for condition in CONDITIONS:
            models = _records(dataset, condition, matrices)
            if roi == ALL_VOXELS:
                everything.setdefault(target, {})[condition] = models
            else:
                by_region[_BEST_LAYER_KEYS[condition]].setdefault(target, {})[roi] = models
    written = []
    for name, content in ((ALL_VOXELS_FILE, everything), (BEST_LAYER_FILE, by_region)):
        if not content or (name == BEST_LAYER_FILE and not any(content.values())):
            continue
        path = Path(folder) / name
        with atomic_file(path) as staging, staging.open("wb") as file:
            write_pickle(content, file)
        written.append(path)
    return written


def _records(
    dataset: xr.Dataset, condition: str, matrices: Sequence[np.ndarray]
) -> dict[str, dict[str, dict[str, Any]]]:
    """model -> participant -> record."""
    values = {
        name: dataset[name].sel(condition=condition).values
        for name in dataset.data_vars
        if "condition" in dataset[name].dims
    }
    ceiling = dataset["leave_one_out_neural_r_cv_test_splits"].values
    participants = dataset["participant"].values.tolist()
    return {
        model: {
            participant: _record(
                {name: array[m] for name, array in values.items()}, p, matrices[p], ceiling[p]
            )
            for p, participant in enumerate(participants)
        }
        for m, model in enumerate(dataset["model"].values.tolist())
        if values["available"][m]
    }


def _record(
    values: Mapping[str, np.ndarray], p: int, matrix: np.ndarray, ceiling: np.ndarray
) -> dict[str, Any]:
    layers = [str(name) for name in values["model_layers"] if name]
    n_layers = len(layers)
    record: dict[str, Any] = {}
    for split, (index, value) in enumerate(
        zip(values["best_layer_idx"][p], values["best_layer_test_value"][p])
    ):
        record[f"split_{split}"] = {
            "best_layer_test_value": value,
            "best_layer_idx": index,
            "best_layer_name": layers[index] if index >= 0 else None,
            "all_layer_test_correlations": list(
                values["all_layer_test_correlations"][p, split, :n_layers]
            ),
        }
    return record | {
        "best_layer_rsa_median_across_splits": values["best_layer_rsa_median_across_splits"][p],
        "splits_median_distance_all_layers": values["splits_median_distance_all_layers"][
            p, :n_layers
        ].copy(),
        "splits_median_best_layer_idx": values["splits_median_best_layer_idx"][p],
        "all_data_corr_mat_fmri": matrix,
        "leave_one_out_neural_r_cv_test_splits": list(ceiling),
        "all_data_rsa_for_best_layer": list(values["all_data_rsa_for_best_layer"][p, :n_layers]),
        "all_model_features_rsa": values["all_model_features_rsa"][p],
        "model_layers": layers,
    }

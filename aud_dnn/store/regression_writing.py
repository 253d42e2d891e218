"""Write a regression result: table, scores, predictions, provenance, published pickles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aud_dnn.errors import InputError
from aud_dnn.io.digests import file_digest
from aud_dnn.io.netcdf import write_netcdf
from aud_dnn.io.pickles.writing import write_pickle
from aud_dnn.methods.ridge.method import METHOD as RIDGE
from aud_dnn.methods.ridge.scores import LayerScores, TestPredictions
from aud_dnn.splits import Splits
from aud_dnn.store.schema import (
    FIELDS,
    MASKS,
    PREDICTIONS_FILE,
    PROVENANCE_FILE,
    PUBLISHED_PREDICTIONS,
    PUBLISHED_RESCALED,
    PUBLISHED_SCORES,
    PUBLISHED_TABLE,
    SCORES_FILE,
    TABLE_FILE,
    full_predictions,
    rescale,
)
from aud_dnn.utils import Target

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
from aud_dnn.store.regression import RegressionResult

_PACKED = {"zlib": True, "complevel": 1, "shuffle": True}


def _reduce(values: np.ndarray, how: str) -> np.ndarray:
    """Over splits, NaN ignored (a voxel that is constant has no r); NaN where nothing is left."""
    defined = ~np.isnan(values)
    if defined.all():
        return getattr(np, how)(values, axis=1)
    out = np.full(len(values), np.nan)
    some = defined.any(axis=1)
    out[some] = getattr(np, f"nan{how}")(values[some], axis=1)
    return out


def score_table(
    scores: LayerScores, target: Target, model: str, layer: str, randnetw: bool
) -> pd.DataFrame:
    """``df_output``: one row per voxel, columns in the published order (pipeline section 6).

    ``mean_`` and ``median_`` over splits of r_prior_zero_test, r_test, r2_test, r2_test_c, r2_train
    and alpha, ``std_`` (population) of the R²; NaN ignored. Then voxel_id, vox_idx_coord, the
    metadata, and what was fitted.
    """
    import pandas as pd

    columns: dict[str, Any] = {
        column: _reduce(getattr(scores, field.name), how)
        for field in RIDGE.fields
        for how, column in zip(field.summaries, field.columns)
    }
    columns["voxel_id"] = target.ids
    columns["vox_idx_coord"] = np.arange(target.n_voxels)
    metadata = target.metadata.drop(
        columns=[*columns, "source_model", "source_layer", "randnetw", "target"], errors="ignore"
    )
    table = pd.concat([pd.DataFrame(columns), metadata], axis=1)
    named = pd.DataFrame(
        {
            "source_model": model,
            "source_layer": layer,
            "randnetw": str(randnetw),
            "target": target.name,
        },
        index=table.index,
    )
    table = pd.concat([table, named], axis=1)
    return table.set_index(pd.Index(target.ids, name="voxel_id"))


def score_dataset(
    scores: LayerScores, target: Target, splits: Splits, model: str, layer: str, randnetw: bool
) -> xr.Dataset:
    """``ds``: scores per voxel and split.

    The attributes all_train_idxs, all_test_idxs are (n_sounds, n_splits) masks.
    """
    import xarray as xr

    dims = ("vox_idx", "split_idx")
    return xr.Dataset(
        {field.stored: (dims, getattr(scores, field.name)) for field in RIDGE.fields},
        coords={
            "vox_idx": np.arange(target.n_voxels),
            "split_idx": np.arange(len(splits)),
            "voxel_id": ("vox_idx", np.asarray(target.ids)),
            "stimulus": list(target.stimuli.ids),
            "source_model": model,
            "source_layer": layer,
            "randnetw": str(randnetw),
            "target": target.name,
        },
        attrs={
            "all_train_idxs": splits.train.T.astype(np.int8),
            "all_test_idxs": splits.test.T.astype(np.int8),
        },
    )


def write_result(
    folder: Path,
    scores: LayerScores,
    predictions: TestPredictions | None,
    target: Target,
    splits: Splits,
    *,
    model: str,
    layer: str,
    randnetw: bool,
    provenance: dict[str, Any],
    legacy_pickles: bool = False,
) -> None:
    """Write the files of one result into ``folder`` (a staging folder of
    :func:`aud_dnn.io.atomic.atomic_folder`).
    """
    table = score_table(scores, target, model, layer, randnetw)
    dataset = score_dataset(scores, target, splits, model, layer, randnetw)
    _write_table(folder / TABLE_FILE, table)
    _write_dataset(folder / SCORES_FILE, _as_stored(dataset))
    if predictions is not None:
        _write_predictions(folder / PREDICTIONS_FILE, predictions, target, splits)
    if legacy_pickles:
        _write_legacy_pickles(folder, table, dataset, predictions, splits)
    write_provenance(folder, provenance)


def write_provenance(folder: Path, provenance: dict[str, Any]) -> None:
    """Write ``provenance.json``, with the checksums of the result's files, which are compared when
    they are read.
    """
    files = {
        name: file_digest(folder / name)
        for name in (SCORES_FILE, TABLE_FILE, PREDICTIONS_FILE)
        if (folder / name).is_file()
    }
    (folder / PROVENANCE_FILE).write_text(
        json.dumps({**provenance, "files": files}, indent=2) + "\n"
    )


def _write_table(path: Path, table: pd.DataFrame) -> None:
    import pyarrow as pa

    table = table.reset_index(drop=True)  # voxel_id is a column, too
    for name in [name for name in table.columns if table[name].dtype == object]:
        try:
            plain = not pa.types.is_nested(pa.array(table[name], from_pandas=True).type)
        except pa.ArrowException:
            plain = False
        if (
            not plain
        ):  # text and numbers, or lists, in one column of the metadata: keep them as text
            table[name] = table[name].map(str, na_action="ignore")
    # zstd: smaller than the default by a tenth, in half of the time
    table.to_parquet(path, engine="pyarrow", index=False, compression="zstd")


def _as_stored(dataset: xr.Dataset) -> xr.Dataset:
    """Without what :mod:`aud_dnn.store.own_files` derives; digits that nobody needs are dropped."""
    kept = dataset.drop_vars([name for name, field in FIELDS.items() if field.source])
    short = {name: field.dtype_on_disk for name, field in FIELDS.items() if field.dtype_on_disk}
    return kept.assign({name: kept[name].astype(dtype) for name, dtype in short.items()})


def _write_dataset(path: Path, dataset: xr.Dataset) -> None:
    on_disk = dataset.copy()
    on_disk.attrs = {}
    for name, attribute in MASKS.items():
        on_disk[name] = (("stimulus", "split_idx"), dataset.attrs[attribute])
    packed = {name: _PACKED for name, v in on_disk.data_vars.items() if v.ndim}
    write_netcdf(path, on_disk, packed)


def _write_predictions(
    path: Path, predictions: TestPredictions, target: Target, splits: Splits
) -> None:
    import xarray as xr

    dataset = xr.Dataset(
        {
            "y_pred_test": (
                ("split_idx", "test_idx", "vox_idx"),
                predictions.values,
                {
                    "long_name": "predicted response to the test sounds, minus its training mean; "
                    "test sounds in stimulus order"
                },
            ),
            "y_train_mean": (
                ("split_idx", "vox_idx"),
                predictions.train_means,
                {"long_name": "training mean; added back it gives the rescaled prediction"},
            ),
            "test_mask": (("split_idx", "stimulus"), splits.test.astype(np.int8)),
        },
        coords={
            "stimulus": list(target.stimuli.ids),
            "voxel_id": ("vox_idx", np.asarray(target.ids)),
        },
    )
    # not packed: deflating 88 MB of what is nearly noise saves an eighth of them, and takes as long
    # as half of the fit
    write_netcdf(path, dataset, {})


def write_converted(
    folder: Path,
    published: RegressionResult,
    predictions: np.ndarray | None,
    rescaled: np.ndarray | None,
) -> None:
    """Write a published result into ``folder`` in the open formats, all but the provenance.

    Parameters
    ----------
    folder : Path
        A staging folder.
    published : RegressionResult
    predictions, rescaled : float64 array of shape (n_sounds, n_splits, n_voxels), optional
        The published predictions. Both are stored as they are: the training means that tell them
        apart cannot be recovered from their difference to the last bit.

    Raises
    ------
    InputError
        A column of the table holds what Parquet cannot; predictions are not NaN exactly at the
        training sounds.
    """
    import pyarrow
    import xarray as xr

    try:
        _write_table(folder / TABLE_FILE, published.table)
    except (pyarrow.ArrowException, TypeError, ValueError) as error:
        raise InputError(
            f"{published.folder}: df_output.pkl holds a column that Parquet cannot hold ({error})."
        ) from error
    _write_dataset(folder / SCORES_FILE, published.scores)
    given = {"y_pred_test": predictions, "y_pred_test_rescaled": rescaled}
    test = published.scores.attrs["all_test_idxs"].astype(bool).T
    variables: dict[str, Any] = {"test_mask": (("split_idx", "stimulus"), test.astype(np.int8))}
    for name, full in given.items():
        if full is None:
            continue
        expected = (*test.T.shape, published.scores.sizes["vox_idx"])
        if full.shape != expected or not np.array_equal(
            np.isnan(full), np.broadcast_to(~test.T[..., None], expected)
        ):
            raise InputError(
                f"{published.folder}: the predictions must be there for the test sounds of each "
                "split and NaN for the others."
            )
        variables[name] = (
            ("split_idx", "test_idx", "vox_idx"),
            np.stack([full[mask, split] for split, mask in enumerate(test)]),
        )
    if len(variables) > 1:
        dataset = xr.Dataset(
            variables, coords={"voxel_id": ("vox_idx", published.scores["voxel_id"].to_numpy())}
        )
        write_netcdf(
            folder / PREDICTIONS_FILE,
            dataset,
            {name: _PACKED for name in variables if name in given},
        )


def _write_legacy_pickles(
    folder: Path,
    table: pd.DataFrame,
    dataset: xr.Dataset,
    predictions: TestPredictions | None,
    splits: Splits,
) -> None:
    """The four published files, for programs that read those."""

    def dump(name: str, content: object) -> None:
        with (folder / name).open("wb") as file:
            write_pickle(content, file)

    dump(PUBLISHED_TABLE, table)
    dump(PUBLISHED_SCORES, _as_published(dataset))
    if predictions is not None:
        dump(PUBLISHED_PREDICTIONS, full_predictions(predictions.values, splits.test))
        dump(
            PUBLISHED_RESCALED,
            full_predictions(rescale(predictions.values, predictions.train_means), splits.test),
        )


def _as_published(dataset: xr.Dataset) -> xr.Dataset:
    """In the layout of the authors, which :mod:`aud_dnn.store.published` undoes.

    That is: names per voxel, coordinates on dimensions of their own, floats.
    """
    import xarray as xr

    n_voxels, n_splits = dataset.sizes["vox_idx"], dataset.sizes["split_idx"]
    names = {
        name: ("vox_idx_coord", np.full(n_voxels, str(dataset[name].item())))
        for name in ("source_model", "source_layer", "randnetw")
    }
    return xr.Dataset(
        {
            name: (("vox_idx", "split_idx"), dataset[name].to_numpy().astype(np.float64))
            for name in dataset.data_vars
        },
        coords={
            "vox_idx": np.arange(n_voxels),
            "split_idx": np.arange(n_splits),
            "vox_idx_coord": np.arange(n_voxels),
            **names,
            "voxel_id": dataset["voxel_id"].to_numpy(),
            "split_idx_coord": np.arange(n_splits),
        },
        attrs={name: dataset.attrs[name].astype(np.float64) for name in MASKS.values()},
    )

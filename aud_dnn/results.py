"""Regression results on disk: one folder per model, layer, condition, target and grid. Written whole, or not at all.

A folder holds

* ``ds.nc`` (netCDF-4): scores per voxel and split, the split masks;
* ``df_output.parquet``: one row per voxel or component, summaries over splits and the voxel's metadata;
* ``y_preds.nc`` (netCDF-4, compressed): predictions for the test sounds and training means;
* ``provenance.json``: versions, arguments, checksums of what went in, seed, time, memory;
* ``out-<date>.log``, and pictures if asked for.

The authors' folders hold pickles instead (``df_output.pkl``, ``ds.pkl``, ``y_preds_test.pkl``,
``y_preds_test_rescaled.pkl``). :func:`read_result` opens both and gives the same thing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import numpy as np

from aud_dnn.digests import file_digest
from aud_dnn.errors import DamagedFileError, InputError, MissingDataError
from aud_dnn.files import write_netcdf
from aud_dnn.paths import ProjectPaths
from aud_dnn.pickles.safe_pickle import load_pickle
from aud_dnn.pickles.writing import write_pickle
from aud_dnn.regression import LayerScores, TestPredictions
from aud_dnn.splits import Splits
from aud_dnn.utils import Target

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

SCORES_FILE = "ds.nc"
TABLE_FILE = "df_output.parquet"
PREDICTIONS_FILE = "y_preds.nc"
PROVENANCE_FILE = "provenance.json"
_PUBLISHED_SCORES, _PUBLISHED_TABLE = "ds.pkl", "df_output.pkl"
_VOXELS_PER_CHUNK = 512
_SAFE_IN_FOLDER = " ()[],=+-_.&'!@#$;"     # and letters and digits: they stay as they are
_PACKED = {"zlib": True, "complevel": 1, "shuffle": True}
_ALWAYS_STORED = {field.name for field in fields(LayerScores)} - {"alpha_on_plateau"}     # the published runs lack this flag
_MASKS = {"train_mask": "all_train_idxs", "test_mask": "all_test_idxs"}
_IDENTIFIER = re.compile(r"AUD-MAPPING-Ridge_TARGET-(?P<target>[^_]+)_SOURCE-(?P<source>.+)"
                         r"_RANDNETW-(?P<randnetw>True|False)_ALPHALIMIT-(?P<alphalimit>\d+)")


def identifier(model: str, layer: str, target: str, randnetw: bool, alphalimit: int = 50) -> str:
    """Name of the result folder, as published. What a folder's name cannot hold (``/``) is written as in a URL (``%2F``)."""
    return (f"AUD-MAPPING-Ridge_TARGET-{target}_SOURCE-{model}-{quote(layer, safe=_SAFE_IN_FOLDER)}_RANDNETW-{randnetw}"
            f"_ALPHALIMIT-{alphalimit}")


def result_folder(paths: ProjectPaths, model: str, layer: str, target: str, randnetw: bool, alphalimit: int = 50) -> Path:
    """Where the result of one layer lies."""
    return paths.results / model / identifier(model, layer, target, randnetw, alphalimit)


@dataclass(frozen=True)
class ResultKey:
    """What a result folder's name says."""

    model: str
    layer: str
    target: str
    randnetw: bool
    alphalimit: int


def parse_folder(folder: Path) -> ResultKey | None:
    """Read ``<model>/<identifier>`` back; None if the folder is not named like a result."""
    match = _IDENTIFIER.fullmatch(folder.name)
    model = folder.parent.name
    if match is None or not match["source"].startswith(f"{model}-"):
        return None
    layer = unquote(match["source"].removeprefix(f"{model}-"))
    return ResultKey(model, layer, match["target"], match["randnetw"] == "True", int(match["alphalimit"]))


def is_complete(folder: Path) -> bool:
    """A whole result lies there, ours (folders get their name only when whole) or the authors'."""
    return all((folder / name).is_file() for name in (SCORES_FILE, TABLE_FILE, PROVENANCE_FILE)) or all(
        (folder / name).is_file() for name in (_PUBLISHED_SCORES, _PUBLISHED_TABLE))


def find_results(paths: ProjectPaths, model: str) -> Iterator[tuple[ResultKey, Path]]:
    """All whole results of a model."""
    folder = paths.results / model
    for candidate in sorted(folder.iterdir()) if folder.is_dir() else []:
        key = parse_folder(candidate)
        if key is not None and is_complete(candidate):
            yield key, candidate


# --- from scores to tables ---------------------------------------------------------------------------------------------

def _reduce(values: np.ndarray, how: str) -> np.ndarray:
    """Over splits, NaN ignored (a voxel that is constant has no r); NaN where nothing is left."""
    defined = ~np.isnan(values)
    if defined.all():
        return getattr(np, how)(values, axis=1)
    out = np.full(len(values), np.nan)
    some = defined.any(axis=1)
    out[some] = getattr(np, f"nan{how}")(values[some], axis=1)
    return out


def score_table(scores: LayerScores, target: Target, model: str, layer: str, randnetw: bool) -> pd.DataFrame:
    """``df_output``: one row per voxel, columns in the published order (pipeline section 6).

    ``mean_`` and ``median_`` over splits of r_prior_zero_test, r_test, r2_test, r2_test_c, r2_train and alpha, ``std_``
    (population) of the R²; NaN ignored. Then voxel_id, vox_idx_coord, the metadata, and what was fitted.
    """
    import pandas as pd

    columns: dict[str, Any] = {}
    for name, values in (("r_prior_zero_test", scores.r_prior_zero), ("r_test", scores.r_test), ("r2_test", scores.r2_test),
                         ("r2_test_c", scores.r2_test_c), ("r2_train", scores.r2_train)):
        columns[f"mean_{name}"] = _reduce(values, "mean")
        columns[f"median_{name}"] = _reduce(values, "median")
        if name.startswith("r2"):
            columns[f"std_{name}"] = _reduce(values, "std")
    columns["median_alpha"] = _reduce(scores.alphas, "median")
    columns["mean_alpha"] = _reduce(scores.alphas, "mean")
    columns["voxel_id"] = target.ids
    columns["vox_idx_coord"] = np.arange(target.n_voxels)
    metadata = target.metadata.drop(columns=[*columns, "source_model", "source_layer", "randnetw", "target"],
                                    errors="ignore")
    table = pd.concat([pd.DataFrame(columns), metadata], axis=1)
    named = pd.DataFrame({"source_model": model, "source_layer": layer, "randnetw": str(randnetw), "target": target.name},
                         index=table.index)
    table = pd.concat([table, named], axis=1)
    return table.set_index(pd.Index(target.ids, name="voxel_id"))


def score_dataset(scores: LayerScores, target: Target, splits: Splits, model: str, layer: str,
                  randnetw: bool) -> xr.Dataset:
    """``ds``: scores per voxel and split; the attributes all_train_idxs, all_test_idxs are (n_sounds, n_splits) masks."""
    import xarray as xr

    dims = ("vox_idx", "split_idx")
    return xr.Dataset(
        {field.name: (dims, getattr(scores, field.name)) for field in fields(LayerScores)},
        coords={"vox_idx": np.arange(target.n_voxels), "split_idx": np.arange(len(splits)),
                "voxel_id": ("vox_idx", np.asarray(target.ids)), "stimulus": list(target.stimuli.ids),
                "source_model": model, "source_layer": layer, "randnetw": str(randnetw), "target": target.name},
        attrs={"all_train_idxs": splits.train.T.astype(np.int8), "all_test_idxs": splits.test.T.astype(np.int8)})


def _rescaled(values: np.ndarray, train_means: np.ndarray) -> np.ndarray:
    return values + train_means[:, None, :]


def _full_predictions(values: np.ndarray, test: np.ndarray) -> np.ndarray:
    """(n_sounds, n_splits, n_voxels), NaN where the sound was in the training half, from (n_splits, n_test, n_voxels)."""
    full = np.full((test.shape[1], len(test), values.shape[2]), np.nan)
    for split, mask in enumerate(test):
        full[mask, split] = values[split]
    return full


# --- writing -----------------------------------------------------------------------------------------------------------

def write_result(folder: Path, scores: LayerScores, predictions: TestPredictions | None, target: Target, splits: Splits, *,
                 model: str, layer: str, randnetw: bool, provenance: dict[str, Any], legacy_pickles: bool = False) -> None:
    """Write the files of one result into ``folder`` (a staging folder of :func:`aud_dnn.atomic.atomic_folder`)."""
    table = score_table(scores, target, model, layer, randnetw)
    dataset = score_dataset(scores, target, splits, model, layer, randnetw)
    _write_table(folder / TABLE_FILE, table)
    _write_dataset(folder / SCORES_FILE, dataset)
    if predictions is not None:
        _write_predictions(folder / PREDICTIONS_FILE, predictions, target, splits)
    if legacy_pickles:
        _write_legacy_pickles(folder, table, dataset, predictions, splits)
    write_provenance(folder, provenance)


def write_provenance(folder: Path, provenance: dict[str, Any]) -> None:
    """Write ``provenance.json``, with the checksums of the result's files, which are compared when they are read."""
    files = {name: file_digest(folder / name) for name in (SCORES_FILE, TABLE_FILE, PREDICTIONS_FILE)
             if (folder / name).is_file()}
    (folder / PROVENANCE_FILE).write_text(json.dumps({**provenance, "files": files}, indent=2) + "\n")


def read_provenance(folder: Path) -> dict[str, Any]:
    path = folder / PROVENANCE_FILE
    try:
        provenance = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(provenance["files"], dict):
            raise TypeError("files")
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedFileError(f"{path} is damaged ({error}). Run this layer again with --overwrite.") from error
    return provenance


def _require_unchanged(path: Path) -> None:
    """Refuse a file of ours that is not as it was written: HDF5 and Parquet believe damaged files."""
    expected = read_provenance(path.parent)["files"].get(path.name)
    if not path.is_file() or file_digest(path) != expected:
        raise DamagedFileError(f"{path} is not as it was written: its checksum differs from that in {PROVENANCE_FILE}. "
                               "Run this layer again with --overwrite.")


def _write_table(path: Path, table: pd.DataFrame) -> None:
    import pyarrow as pa

    table = table.reset_index(drop=True)        # voxel_id is a column, too
    for name in [name for name in table.columns if table[name].dtype == object]:
        try:
            pa.array(table[name], from_pandas=True)
        except pa.ArrowException:               # text and numbers in one column of the metadata: keep them as text
            table[name] = table[name].map(str, na_action="ignore")
    table.to_parquet(path, engine="pyarrow", index=False)


def _write_dataset(path: Path, dataset: xr.Dataset) -> None:
    on_disk = dataset.copy()
    on_disk.attrs = {}
    for name, attribute in _MASKS.items():
        on_disk[name] = (("stimulus", "split_idx"), dataset.attrs[attribute])
    packed = {name: _PACKED for name, v in on_disk.data_vars.items() if v.ndim}
    write_netcdf(path, on_disk, packed)


def _write_predictions(path: Path, predictions: TestPredictions, target: Target, splits: Splits) -> None:
    import xarray as xr

    _, n_test, n_voxels = predictions.values.shape
    dataset = xr.Dataset(
        {"y_pred_test": (("split_idx", "test_idx", "vox_idx"), predictions.values,
                         {"long_name": "predicted response to the test sounds, minus its training mean; "
                                       "test sounds in stimulus order"}),
         "y_train_mean": (("split_idx", "vox_idx"), predictions.train_means,
                          {"long_name": "training mean; added back it gives the rescaled prediction"}),
         "test_mask": (("split_idx", "stimulus"), splits.test.astype(np.int8))},
        coords={"stimulus": list(target.stimuli.ids), "voxel_id": ("vox_idx", np.asarray(target.ids))})
    write_netcdf(path, dataset, {
        "y_pred_test": {**_PACKED, "chunksizes": (1, n_test, min(_VOXELS_PER_CHUNK, n_voxels))}})


def write_converted(folder: Path, published: RegressionResult, predictions: np.ndarray | None,
                    rescaled: np.ndarray | None) -> None:
    """Write a published result into ``folder`` in the open formats, all but the provenance.

    Parameters
    ----------
    folder : Path
        A staging folder.
    published : RegressionResult
    predictions, rescaled : float64 array of shape (n_sounds, n_splits, n_voxels), optional
        The published predictions. Both are stored as they are: the training means that tell them apart cannot be recovered
        from their difference to the last bit.

    Raises
    ------
    InputError
        A column of the table holds what Parquet cannot; predictions are not NaN exactly at the training sounds.
    """
    import pyarrow
    import xarray as xr

    try:
        _write_table(folder / TABLE_FILE, published.table)
    except (pyarrow.ArrowException, TypeError, ValueError) as error:
        raise InputError(f"{published.folder}: df_output.pkl holds a column that Parquet cannot hold ({error}).") from error
    _write_dataset(folder / SCORES_FILE, published.scores)
    given = {"y_pred_test": predictions, "y_pred_test_rescaled": rescaled}
    test = published.scores.attrs["all_test_idxs"].astype(bool).T
    variables: dict[str, Any] = {"test_mask": (("split_idx", "stimulus"), test.astype(np.int8))}
    for name, full in given.items():
        if full is None:
            continue
        expected = (*test.T.shape, published.scores.sizes["vox_idx"])
        if full.shape != expected or not np.array_equal(np.isnan(full), np.broadcast_to(~test.T[..., None], expected)):
            raise InputError(f"{published.folder}: the predictions must be there for the test sounds of each split and NaN "
                             "for the others.")
        variables[name] = (("split_idx", "test_idx", "vox_idx"), np.stack([full[mask, split]
                                                                           for split, mask in enumerate(test)]))
    if len(variables) > 1:
        dataset = xr.Dataset(variables, coords={"voxel_id": ("vox_idx", published.scores["voxel_id"].to_numpy())})
        write_netcdf(folder / PREDICTIONS_FILE, dataset, {name: _PACKED for name in variables if name in given})


def _write_legacy_pickles(folder: Path, table: pd.DataFrame, dataset: xr.Dataset, predictions: TestPredictions | None,
                          splits: Splits) -> None:
    """The four published files, for programs that read those."""
    def dump(name: str, content: object) -> None:
        with (folder / name).open("wb") as file:
            write_pickle(content, file)

    dump(_PUBLISHED_TABLE, table)
    dump(_PUBLISHED_SCORES, _as_published(dataset))
    if predictions is not None:
        dump("y_preds_test.pkl", _full_predictions(predictions.values, splits.test))
        dump("y_preds_test_rescaled.pkl",
             _full_predictions(_rescaled(predictions.values, predictions.train_means), splits.test))


# --- reading -----------------------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class RegressionResult:
    """One result, ours or published.

    Attributes
    ----------
    folder : Path
    table : DataFrame
        ``df_output``: one row per voxel, index and column ``voxel_id``.
    scores : xarray.Dataset
        ``ds``: variables of shape (vox_idx, split_idx); attributes ``all_train_idxs`` and ``all_test_idxs`` of shape
        (n_sounds, n_splits).
    provenance : dict or None
        None for published results.
    """

    folder: Path
    table: pd.DataFrame
    scores: xr.Dataset
    provenance: dict[str, Any] | None

    def predictions(self, *, rescaled: bool = False) -> np.ndarray:
        """Predicted responses to the test sounds, shape (n_sounds, n_splits, n_voxels); NaN for training sounds.

        Parameters
        ----------
        rescaled : bool
            With the mean response to the training sounds added back.

        Raises
        ------
        MissingDataError
            The result was made without predictions.
        """
        ours = self.folder / PREDICTIONS_FILE
        if ours.is_file():
            return _read_predictions(ours, rescaled)
        published = self.folder / ("y_preds_test_rescaled.pkl" if rescaled else "y_preds_test.pkl")
        if published.is_file():
            return load_pickle(published, allow="arrays")
        raise MissingDataError(f"{self.folder} holds no predictions. Run the layer again with --save_preds True "
                               "--overwrite.")


def read_result(folder: str | Path) -> RegressionResult:
    """Read one result, ours or the authors'.

    Raises
    ------
    MissingDataError
        No whole result lies there.
    DamagedFileError
        A file cannot be read.
    """
    folder = Path(folder)
    if (folder / PROVENANCE_FILE).is_file() and is_complete(folder):
        provenance = read_provenance(folder)
        return RegressionResult(folder, read_table(folder), _read_dataset(folder / SCORES_FILE), provenance)
    if is_complete(folder):
        path = folder / _PUBLISHED_SCORES
        try:
            scores = _published_dataset(load_pickle(path, allow="dataset"))
        except (ValueError, KeyError, IndexError, TypeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path} does not hold what a published ds.pkl holds ({error}). Download it again, or fit the "
                             "layer anew.") from error
        return RegressionResult(folder, read_table(folder), scores, None)
    raise MissingDataError(f"{folder} holds no finished result. Run aud_dnn/AUD_main.py for this model and layer, or "
                           "`python setup_utils/download_files.py --get_results True` for the published ones.")


def read_table(folder: Path) -> pd.DataFrame:
    """Only ``df_output`` of a result."""
    import pandas as pd

    path = folder / TABLE_FILE
    if not path.is_file():
        return load_pickle(folder / _PUBLISHED_TABLE, allow="tables")
    _require_unchanged(path)
    try:
        table = pd.read_parquet(path, engine="pyarrow")
        return table.set_index(pd.Index(table["voxel_id"], name="voxel_id"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> DamagedFileError:
    return DamagedFileError(f"{path} cannot be read ({error}). Run this layer again with --overwrite.")


def _open_dataset(path: Path) -> xr.Dataset:
    import h5py
    import xarray as xr

    _require_unchanged(path)
    try:
        with h5py.File(path, "r"), xr.open_dataset(path, engine="h5netcdf") as dataset:     # h5py refuses without a mess
            return dataset.load()
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, AttributeError) as error:
        raise _damaged(path, error) from error


def _read_dataset(path: Path) -> xr.Dataset:
    on_disk = _open_dataset(path)
    lacking = {*_MASKS, *_ALWAYS_STORED} - set(on_disk.variables)
    if lacking:
        raise _damaged(path, KeyError(*sorted(lacking)))
    dataset = on_disk.drop_vars(list(_MASKS))
    dataset.attrs = {attribute: on_disk[name].to_numpy() for name, attribute in _MASKS.items()}
    return dataset


def _as_published(dataset: xr.Dataset) -> xr.Dataset:
    """The inverse of :func:`_published_dataset`: names per voxel, each coordinate on a dimension of its own, float."""
    import xarray as xr

    n_voxels, n_splits = dataset.sizes["vox_idx"], dataset.sizes["split_idx"]
    names = {name: ("vox_idx_coord", np.full(n_voxels, str(dataset[name].item())))
             for name in ("source_model", "source_layer", "randnetw")}
    return xr.Dataset(
        {name: (("vox_idx", "split_idx"), dataset[name].to_numpy().astype(np.float64)) for name in dataset.data_vars},
        coords={"vox_idx": np.arange(n_voxels), "split_idx": np.arange(n_splits), "vox_idx_coord": np.arange(n_voxels),
                **names, "voxel_id": dataset["voxel_id"].to_numpy(), "split_idx_coord": np.arange(n_splits)},
        attrs={name: dataset.attrs[name].astype(np.float64) for name in _MASKS.values()})


def _published_dataset(published: xr.Dataset) -> xr.Dataset:
    """The published coordinates (one per voxel, on dimensions of their own) in the form of :func:`score_dataset`."""
    lacking = _ALWAYS_STORED - set(published)
    if lacking or not set(_MASKS.values()) <= set(published.attrs):
        raise KeyError(*sorted(lacking), *sorted(set(_MASKS.values()) - set(published.attrs)))
    import xarray as xr

    constants = {name: str(published[name].to_numpy().ravel()[0]) for name in ("source_model", "source_layer", "randnetw")}
    return xr.Dataset({name: (("vox_idx", "split_idx"), variable.to_numpy()) for name, variable in published.items()},
                      coords={"vox_idx": published["vox_idx"].to_numpy(), "split_idx": published["split_idx"].to_numpy(),
                              "voxel_id": ("vox_idx", published["voxel_id"].to_numpy()), **constants},
                      attrs={name: np.asarray(published.attrs[name]).astype(np.int8) for name in _MASKS.values()})


def _read_predictions(path: Path, rescaled: bool) -> np.ndarray:
    stored = _open_dataset(path)
    converted = "y_pred_test_rescaled" if rescaled and "y_pred_test_rescaled" in stored else "y_pred_test"
    if converted not in stored:
        raise MissingDataError(f"{path} holds no {converted}.")
    values = stored[converted].to_numpy().astype(np.float64)
    if rescaled and converted == "y_pred_test":
        values = _rescaled(values, stored["y_train_mean"].to_numpy())
    return _full_predictions(values, stored["test_mask"].to_numpy().astype(bool))

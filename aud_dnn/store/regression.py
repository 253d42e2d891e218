"""Regression results on disk: one folder per model, layer, condition, target and grid.

Written whole, or not at all.

A folder holds

* ``ds.nc`` (netCDF-4): scores per voxel and split, the split masks;
* ``df_output.parquet``: one row per voxel or component, summaries over splits and the voxel's
  metadata;
* ``y_preds.nc`` (netCDF-4, compressed): predictions for the test sounds and training means;
* ``provenance.json``: versions, arguments, digests of what went in, checksums of these files, seed,
  time, memory;
* ``out-<date>.log``, and pictures if asked for.

The authors' folders hold pickles instead (``df_output.pkl``, ``ds.pkl``, ``y_preds_test.pkl``,
``y_preds_test_rescaled.pkl``). :func:`read_result` opens both and gives the same thing; it is the
one way in, and refuses what is damaged, malformed or another result than its folder says
(:mod:`aud_dnn.store.files`).
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import numpy as np

from aud_dnn.errors import InputError, MissingDataError
from aud_dnn.io.digests import DigestMemo, file_digest
from aud_dnn.io.files import write_netcdf
from aud_dnn.io.pickles.writing import write_pickle
from aud_dnn.methods.ridge.method import METHOD as RIDGE
from aud_dnn.methods.ridge.scoring import LayerScores, TestPredictions
from aud_dnn.paths import ProjectPaths
from aud_dnn.splits import Splits
from aud_dnn.store.files import OwnFiles, open_files
from aud_dnn.store.published import PublishedFiles
from aud_dnn.store.schema import (
    MASKS,
    PREDICTIONS_FILE,
    PROVENANCE_FILE,
    PUBLISHED_PREDICTIONS,
    PUBLISHED_RESCALED,
    PUBLISHED_SCORES,
    PUBLISHED_TABLE,
    SCORES_FILE,
    TABLE_FILE,
    ResultKey,
    full_predictions,
    rescale,
)
from aud_dnn.targets.facts import TARGETS
from aud_dnn.utils import Target

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

_VOXELS_PER_CHUNK = 512
_SAFE_IN_FOLDER = " ()[],=+-_.&'!@#$;"  # and letters and digits: they stay as they are
_PACKED = {"zlib": True, "complevel": 1, "shuffle": True}
_IDENTIFIER = re.compile(
    rf"AUD-MAPPING-{RIDGE.name}_TARGET-(?P<target>[^_]+)_SOURCE-(?P<source>.+)"
    r"_RANDNETW-(?P<randnetw>True|False)_ALPHALIMIT-(?P<alphalimit>\d+)"
)


def identifier(model: str, layer: str, target: str, randnetw: bool, alphalimit: int = 50) -> str:
    """Name of the result folder, as published.

    What a folder's name cannot hold (``/``) is written as in a URL (``%2F``).
    """
    return (
        f"AUD-MAPPING-{RIDGE.name}_TARGET-{target}_SOURCE-{model}-{quote(layer, safe=_SAFE_IN_FOLDER)}_RANDNETW-{randnetw}"
        f"_ALPHALIMIT-{alphalimit}"
    )


def result_folder(
    paths: ProjectPaths, model: str, layer: str, target: str, randnetw: bool, alphalimit: int = 50
) -> Path:
    """Where the result of one layer lies."""
    return paths.results / model / identifier(model, layer, target, randnetw, alphalimit)


def parse_folder(folder: Path) -> ResultKey | None:
    """Read ``<model>/<identifier>`` back; None if the folder is not named like a result."""
    match = _IDENTIFIER.fullmatch(folder.name)
    model = folder.parent.name
    if match is None or not match["source"].startswith(f"{model}-"):
        return None
    layer = unquote(match["source"].removeprefix(f"{model}-"))
    return ResultKey(
        model, layer, match["target"], match["randnetw"] == "True", int(match["alphalimit"])
    )


def is_complete(folder: Path) -> bool:
    """A whole result lies there, ours (folders get their name only when whole) or the authors'."""
    return all(
        (folder / name).is_file() for name in (SCORES_FILE, TABLE_FILE, PROVENANCE_FILE)
    ) or all((folder / name).is_file() for name in (PUBLISHED_SCORES, PUBLISHED_TABLE))


def fit_command(model: str, layer: str, target: str, randnetw: bool, alphalimit: int = 50) -> str:
    """The command that fits a layer, or ``all`` of them."""
    if target not in TARGETS:
        target = f"FILE_OF_{target}"  # only its user knows where that lies
    command = (
        f"python aud_dnn/AUD_main.py --source_model {shlex.quote(model)} --source_layer "
        f"{shlex.quote(layer)} --target {target} --randnetw {randnetw}"
    )
    return command if alphalimit == 50 else f"{command} --alphalimit {alphalimit}"


def fit_again(folder: Path) -> str:
    """What to do about a result that cannot be used."""
    key = parse_folder(folder)
    if key is None:
        return "Run this layer again with --overwrite."
    return (
        "Fit this layer again: "
        f"{fit_command(key.model, key.layer, key.target, key.randnetw, key.alphalimit)} "
        "--overwrite; a published result: download or convert it again."
    )


def find_results(paths: ProjectPaths, model: str) -> Iterator[tuple[ResultKey, Path]]:
    """All whole results of a model."""
    folder = paths.results / model
    for candidate in sorted(folder.iterdir()) if folder.is_dir() else []:
        key = parse_folder(candidate)
        if key is not None and is_complete(candidate):
            yield key, candidate


# --- from scores to tables ----------------------------------------------------------------------


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


# --- writing ------------------------------------------------------------------------------------


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
    _write_dataset(folder / SCORES_FILE, dataset)
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
    table.to_parquet(path, engine="pyarrow", index=False)


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

    _, n_test, n_voxels = predictions.values.shape
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
    write_netcdf(
        path,
        dataset,
        {"y_pred_test": {**_PACKED, "chunksizes": (1, n_test, min(_VOXELS_PER_CHUNK, n_voxels))}},
    )


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


# --- reading ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class RegressionResult:
    """One result, ours or published.

    Its files were checked when it was opened; content is read when it is asked for.

    Attributes
    ----------
    folder : Path
    provenance : dict or None
        None for published results.
    """

    folder: Path
    files: OwnFiles | PublishedFiles

    @property
    def provenance(self) -> dict[str, Any] | None:
        return self.files.provenance

    @cached_property
    def table(self) -> pd.DataFrame:
        """``df_output``: one row per voxel, index and column ``voxel_id``."""
        return self.files.table()

    def columns(self, *names: str) -> pd.DataFrame:
        """``voxel_id`` and these columns of the table; quicker than all of them."""
        return self.files.table(list(names))

    @cached_property
    def scores(self) -> xr.Dataset:
        """``ds``: variables of shape (vox_idx, split_idx).

        The attributes ``all_train_idxs`` and ``all_test_idxs`` have the shape (n_sounds, n_splits).
        """
        return self.files.dataset()

    def values(self, name: str) -> np.ndarray:
        """One variable of ``scores``, shape (n_voxels, n_splits); quicker than all of them."""
        return self.files.values(name)

    def predictions(self, *, rescaled: bool = False) -> np.ndarray:
        """Predicted responses to the test sounds, shape (n_sounds, n_splits, n_voxels).

        NaN for training sounds.

        Parameters
        ----------
        rescaled : bool
            With the mean response to the training sounds added back.

        Raises
        ------
        MissingDataError
            The result was made without predictions.
        """
        found = self.files.predictions(rescaled)
        if found is None:
            raise MissingDataError(
                f"{self.folder} holds no predictions. Run the layer again with --save_preds True "
                "--overwrite."
            )
        return found


def read_result(folder: str | Path, *, memo: DigestMemo | None = None) -> RegressionResult:
    """Open one result, ours or the authors', after checking it
    (:func:`aud_dnn.store.files.open_files`).

    Parameters
    ----------
    folder : str or Path
    memo : DigestMemo, optional
        Of ``results/``: spares the checksums of files that nobody has touched since.

    Raises
    ------
    MissingDataError
        No whole result lies there.
    DamagedFileError
        A file is damaged, or not what the file of a result must be.
    InputError
        The folder is named like a result, but its content is another one.
    """
    folder = Path(folder)
    if not is_complete(folder):
        raise MissingDataError(
            f"{folder} holds no finished result. Run aud_dnn/AUD_main.py for this model and layer, "
            "or `python setup_utils/download_files.py --get_results True` for the published ones."
        )
    return RegressionResult(
        folder, open_files(folder, parse_folder(folder), fit_again(folder), memo)
    )


def read_table(folder: Path) -> pd.DataFrame:
    """Only ``df_output`` of a result."""
    return read_result(folder).table

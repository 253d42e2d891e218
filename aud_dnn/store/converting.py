"""Turn a published results tree (pickles) into this project's open formats.

Every number is kept: after a result was written it is read back and compared with the pickles, bit
by bit, before it gets its name. Results that are there already are left alone, so the same command
goes on after a stop. The pickles are opened by :mod:`aud_dnn.io.pickles.safe_pickle` and never
changed.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from aud_dnn import NUMERICS_VERSION, __version__
from aud_dnn.errors import InputError, MissingDataError, describe_os_error
from aud_dnn.io.atomic import (
    AlreadyFinishedError,
    atomic_folder,
    remove_abandoned,
    restore_replaced,
)
from aud_dnn.io.digests import file_digest, outdated
from aud_dnn.store.comparisons import analysis_path, read_analysis, write_analysis
from aud_dnn.store.published_rsa import ALL_VOXELS_FILE, BEST_LAYER_FILE, read_published_rsa
from aud_dnn.store.regression import RegressionResult, read_result
from aud_dnn.store.regression_names import is_complete, parse_folder
from aud_dnn.store.regression_writing import write_converted, write_provenance

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

_PICKLES = ("df_output.pkl", "ds.pkl", "y_preds_test.pkl", "y_preds_test_rescaled.pkl")


@dataclass(frozen=True)
class Outcome:
    """What became of one result: ``converted``, ``already there`` or ``not converted``, and why."""

    name: str
    status: str
    detail: str = ""


def convert_tree(source: Path, destination: Path, *, overwrite: bool = False) -> Iterator[Outcome]:
    """Convert every regression result and both RSA pickles below ``source``.

    Yields one outcome after the other.

    Raises
    ------
    InputError
        The folders cannot be used; a single result that cannot be converted is an outcome, not an
        error.
    """
    source, destination = Path(source), Path(destination)
    if not source.is_dir():
        raise MissingDataError(
            f"{source} is not a folder. Name the published results/ "
            "(`python setup_utils/download_files.py --get_results True` brings it)."
        )
    if (
        source.resolve() == destination.resolve()
        or source.resolve() in destination.resolve().parents
    ):
        raise InputError(
            f"{destination} lies in {source}. Name a folder beside it; the published files stay as "
            "they are."
        )
    folders = sorted(
        {path.parent for path in source.rglob("df_output.pkl")}
        | {p.parent for p in source.rglob("ds.pkl")}
    )
    rsa = sorted(path for name in (ALL_VOXELS_FILE, BEST_LAYER_FILE) for path in source.rglob(name))
    if not folders and not rsa:
        raise MissingDataError(
            f"{source} holds no published results: no df_output.pkl, no ds.pkl, no "
            f"{ALL_VOXELS_FILE}."
        )
    for folder in tqdm(folders, unit="result", disable=None):
        yield _guarded(
            str(folder.relative_to(source)), _convert_result, folder, destination, overwrite
        )
    for path in rsa:
        yield from _convert_rsa(path, source, destination, overwrite)


def _guarded(name: str, convert: Any, *arguments: Any) -> Outcome:
    try:
        return Outcome(name, *convert(*arguments))
    except InputError as error:
        return Outcome(name, "not converted", str(error))


# --- regression ---------------------------------------------------------------------------------


def _convert_result(folder: Path, destination: Path, overwrite: bool) -> tuple[str, str]:
    if parse_folder(folder) is None:
        raise InputError(
            f"{folder} is not named like a result (<model>/AUD-MAPPING-Ridge_TARGET-…)."
        )
    target = destination / folder.parent.name / folder.name
    restore_replaced(target)
    remove_abandoned(target)
    digests = {name: file_digest(folder / name) for name in _PICKLES if (folder / name).is_file()}
    if is_complete(target) and not overwrite:
        earlier = read_result(target)
        earlier.files.require_predictions_unchanged()
        changed = outdated((earlier.provenance or {}).get("converted_from", {}), digests)
        if changed:
            raise InputError(
                f"{target} was not converted from what is there now (other {', '.join(changed)}). "
                "Use --overwrite to convert it again, or another destination."
            )
        return "already there", ""
    if target.exists() and not overwrite:
        raise InputError(
            f"{target} exists but holds no whole result. Move it away, or use --overwrite."
        )
    published = read_result(folder)
    predictions = [
        published.predictions(rescaled=rescaled) if name in digests else None
        for name, rescaled in zip(_PICKLES[2:], (False, True))
    ]
    provenance = {
        "converted_from": digests,
        "aud_dnn": __version__,
        "numerics": NUMERICS_VERSION,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "note": "published result; the numbers are the authors'",
    }
    try:
        with atomic_folder(target, overwrite=overwrite) as staging:
            write_converted(staging, published, *predictions)
            write_provenance(staging, provenance)
            for log in sorted(folder.glob("out-*.log")):
                shutil.copyfile(log, staging / log.name)
            _require_same(read_result(staging), published, predictions)
    except AlreadyFinishedError:
        return "already there", "finished by another run in the meantime"
    except OSError as error:
        raise InputError(describe_os_error(error, "written", target)) from error
    extra = sorted(
        p.name for p in folder.iterdir() if p.name not in _PICKLES and not p.match("out-*.log")
    )
    return "converted", f"left out: {', '.join(extra[:5])}" if extra else ""


def _require_same(
    written: RegressionResult, published: RegressionResult, predictions: list[np.ndarray | None]
) -> None:
    """Refuse a conversion that changed anything."""
    different = list(_table_differences(written.table, published.table))
    different += list(_dataset_differences(written.scores, published.scores))
    for rescaled, expected in zip((False, True), predictions):
        if expected is not None and not _same(written.predictions(rescaled=rescaled), expected):
            different.append("y_preds_test" + ("_rescaled" if rescaled else ""))
    if different:
        raise InputError(
            f"{published.folder}: {', '.join(different[:5])} would not be kept exactly. Nothing "
            "was written; the pickles can be read as they are."
        )


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    """Equal shapes, types and values, bit by bit; NaN equals any NaN."""
    if one.shape != other.shape or one.dtype != other.dtype.newbyteorder("="):
        return False
    if one.dtype.kind != "f":
        return bool(np.array_equal(one, other))
    return bool(
        np.array_equal(one, other, equal_nan=True)
        and (np.isnan(one) | (np.signbit(one) == np.signbit(other))).all()
    )


def _table_differences(written: pd.DataFrame, published: pd.DataFrame) -> Iterator[str]:
    import pandas as pd

    if list(written.columns) != list(published.columns) or not written.index.equals(
        published.index
    ):
        yield "the columns or the index of df_output"
        return
    for name in published.columns:
        one, other = written[name], published[name]
        if pd.api.types.is_numeric_dtype(other):
            same = _same(one.to_numpy(), other.to_numpy())
        else:  # text may come back in another pandas type; None and NaN both mean missing
            missing = one.isna().to_numpy()
            same = np.array_equal(missing, other.isna().to_numpy()) and all(
                type(a) is type(b) and a == b for a, b in zip(one[~missing], other[~missing])
            )
        if not same:
            yield f"column {name} of df_output"


def _dataset_differences(written: xr.Dataset, published: xr.Dataset) -> Iterator[str]:
    if set(written.data_vars) != set(published.data_vars):
        yield "the variables of ds"
        return
    for name in [*published.data_vars, "voxel_id", "vox_idx", "split_idx"]:
        if not _same(written[name].to_numpy(), published[name].to_numpy()):
            yield f"{name} of ds"
    for name in ("source_model", "source_layer", "randnetw"):
        if str(written[name].item()) != str(published[name].item()):
            yield f"{name} of ds"
    for name, mask in published.attrs.items():
        if not np.array_equal(written.attrs[name], mask):
            yield f"{name} of ds"


# --- RSA ----------------------------------------------------------------------------------------


def _convert_rsa(path: Path, source: Path, destination: Path, overwrite: bool) -> Iterator[Outcome]:
    name = str(path.relative_to(source))
    try:
        datasets = read_published_rsa(path)
    except InputError as error:
        yield Outcome(name, "not converted", str(error))
        return
    for (target, roi), dataset in datasets.items():
        yield _guarded(
            f"{name}: {target}, {roi}",
            _convert_analysis,
            dataset,
            destination / "rsa_analysis",
            target,
            roi,
            overwrite,
        )


def _convert_analysis(
    dataset: xr.Dataset, folder: Path, target: str, roi: str, overwrite: bool
) -> tuple[str, str]:
    for part in (target, roi):
        if not part.isalnum():
            raise InputError(f"{part!r} is not the name of a target or region.")
    path = analysis_path(folder, target, roi)
    remove_abandoned(path)
    if path.is_file() and not overwrite:
        read_analysis(folder, target, roi)
        return "already there", ""
    write_analysis(path, dataset)
    written = read_analysis(folder, target, roi)
    different = [
        name
        for name in dataset.variables
        if not _same_variable(written[name].to_numpy(), dataset[name].to_numpy())
    ]
    if different:
        path.unlink()
        raise InputError(
            f"{', '.join(map(str, different[:5]))} would not be kept exactly; nothing was written."
        )
    return "converted", ""


def _same_variable(one: np.ndarray, other: np.ndarray) -> bool:
    if other.dtype.kind in "OU":
        return np.array_equal(one.astype(str), other.astype(str))
    return _same(one, other)

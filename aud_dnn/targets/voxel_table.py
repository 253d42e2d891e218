"""What a table of voxels (``df_roi_meta``) may hold.

What cannot be written again is refused when it is read.

Results carry the table in Parquet, and ids in netCDF. Both take text, whole numbers of 64 bits,
floats, truth values and missing values, in columns of one kind; columns that mix these are kept as
text.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aud_dnn.errors import InputError, few
from aud_dnn.remarks import Remark
from aud_dnn.targets.facts import ROIS

if TYPE_CHECKING:
    import pandas as pd

HEMISPHERES = ("lh", "rh")
_LARGEST_WHOLE_FLOAT = 2.0**53  # beyond it floats skip whole numbers


def require_plain_columns(table: pd.DataFrame, path: Path) -> None:
    """Refuse columns that results cannot hold.

    Raises
    ------
    InputError
        Two columns of a name; a name or a value that is none of text, number, truth value or
        missing; it names the column and the first such row.
    """
    names = [str(name) for name in table.columns]
    for name in names:
        if not _is_text(name):
            raise InputError(
                f"{path}: the name of column {name!a} holds characters that no file can hold. "
                "Rename it."
            )
    table.columns = names
    if not table.columns.is_unique:
        repeated = table.columns[table.columns.duplicated()].tolist()
        raise InputError(
            f"{path} has more than one column {few(repeated)}. Rename or drop all but one."
        )
    for name in table.columns:
        dtype = table[name].dtype
        if isinstance(dtype, np.dtype) and not dtype.isnative:  # pandas cannot count such values
            table[name] = table[name].astype(dtype.newbyteorder("="))
        if table[name].dtype == np.float16:  # not every Parquet writer knows it
            table[name] = table[name].astype(np.float32)
        if (problem := _problem(table[name])) is not None:
            raise InputError(
                f"{path}: column {name} holds {problem}, which results cannot hold. Write text, "
                "numbers, truth values or missing values, or drop the column."
            )


def _problem(column: pd.Series) -> str | None:
    """What a column holds that cannot be written; None if it is plain."""
    import pandas as pd

    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return _problem(pd.Series(dtype.categories))
    if isinstance(dtype, np.dtype) and dtype.kind != "O":
        writable = dtype.kind in "biumM" or (dtype.kind == "f" and dtype.itemsize in (4, 8))
        return None if writable else f"values of type {dtype}"
    if isinstance(dtype, pd.SparseDtype | pd.PeriodDtype | pd.IntervalDtype):
        return f"values of type {dtype}"
    return next(
        (
            f"{shown} (row {row})"
            for row, value in enumerate(column.tolist())
            if (shown := _unwritable(value)) is not None
        ),
        None,
    )


def _unwritable(value: Any) -> str | None:
    """A value that is not plain, for a message; None if it is."""
    if isinstance(value, np.generic) and value.dtype.kind in "biufSU":
        value = value.item()
    if isinstance(value, str):
        return (
            None
            if _is_text(value)
            else f"text with characters that no file can hold, {value[:40]!a}"
        )
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return None if -(2**63) <= value < 2**63 else f"a whole number of {value.bit_length()} bits"
    if (
        value is None
        or isinstance(value, float | bytes)
        or type(value).__name__ in ("NAType", "NaTType")
    ):
        return None
    return f"a value of type {type(value).__name__}"


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def whole_numbers(values: np.ndarray | Sequence[Any], what: str) -> np.ndarray:
    """Ids as integers, one per voxel; floats are taken where they are whole.

    Raises
    ------
    InputError
        They are anything else.
    """
    values = np.asarray(values)
    if values.ndim == 1 and values.dtype.kind in "iu":
        return values
    if values.ndim == 1 and values.dtype.kind == "f":
        if (
            np.array_equal(values, np.round(values))
            and (np.abs(values) < _LARGEST_WHOLE_FLOAT).all()
        ):
            return values.astype(np.int64)
        bad = next(
            row
            for row, value in enumerate(values)
            if not (abs(value) < _LARGEST_WHOLE_FLOAT and value == round(value))
        )
        raise InputError(
            f"{what} must be whole numbers; row {bad} is {values[bad]}. Write integers."
        )
    raise InputError(
        f"{what} must be whole numbers, one per voxel; found {values.dtype} of shape "
        f"{values.shape}. Write integers."
    )


def voxel_remarks(table: pd.DataFrame, where: str) -> list[Remark]:
    """What the table lacks that later steps need."""
    remarks = []
    for column, needed in (
        ("subj_idx", "RSA and figures over participants"),
        ("roi_label_general", "RSA and figures by region"),
    ):
        if column not in table:
            remarks.append(
                Remark(f"voxels have no column {column}: {needed} cannot be made", where)
            )
    if "subj_idx" in table and (n_missing := int(table["subj_idx"].isna().sum())):
        remarks.append(
            Remark(
                "voxels without a participant (subj_idx) are left out wherever participants count",
                f"{n_missing} of {len(table)}",
            )
        )
    for column, known, what in (
        ("roi_label_general", ROIS, "region labels other than {} are in no region"),
        (
            "hemi",
            HEMISPHERES,
            "hemispheres other than {} are on no map of the cortex and in no figure by hemisphere",
        ),
    ):
        labels = table[column].dropna().astype(str) if column in table else []
        unknown = [label for label in labels if label not in (*known, "")]
        if unknown:
            remarks.append(
                Remark(
                    f"{what.format(', '.join(known))} ({column})",
                    f"{few(sorted(set(unknown)))}: {len(unknown)} of {len(table)} voxels",
                )
            )
    return remarks

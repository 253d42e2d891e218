"""A target from arrays: responses of any brain to any sounds, checked, with splits for its sounds.

Every check names the field and the remedy; :mod:`aud_dnn.targets.target_files` reads the same from
files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aud_dnn.errors import InputError, few
from aud_dnn.io.digests import combined_digest
from aud_dnn.remarks import Remark
from aud_dnn.splits import N_SOUNDS, Splits, published_splits, random_splits
from aud_dnn.targets.loading import Target
from aud_dnn.targets.stimuli import Stimuli
from aud_dnn.targets.voxel_table import require_plain_columns

if TYPE_CHECKING:
    import pandas as pd

RESPONSES = "responses"
DIMENSIONS = ("stimulus", "neuroid", "repetition", "time")
ABOUT = ("what", "unit", "source", "licence")
FEWEST_SOUNDS = 10
NAMES_IN_RESULTS = {"participant": "subj_idx", "region": "roi_label_general"}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,60}")
# combined digest of the ids in order
_PUBLISHED_IDS = "8ad9e77484ce0dbaf7509efc110731311cd821bd84920b12b03ef662400d952f"


def target_from_arrays(
    responses: np.ndarray,
    stimuli: Sequence[str],
    *,
    name: str,
    neuroids: pd.DataFrame | Mapping[str, Sequence] | None = None,
    dims: Sequence[str] | None = None,
    times: Sequence[float] | None = None,
    categories: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
    splits: Splits | None = None,
    about: Mapping[str, str] | None = None,
    published: Sequence[str] = (),
    where: str = "target",
) -> Target:
    """A target from arrays.

    Parameters
    ----------
    responses : array of shape (n_sounds, n_neuroids[, n_repetitions][, n_times])
        Numbers. A neuroid that lacks a repetition has NaN there for all sounds (and times).
    stimuli : sequence of str of length n_sounds
        Sound ids, as in the activations of the models.
    name : str
        Names result folders and tables: letters, digits, ``. + -``.
    neuroids : table or mapping from column to values, optional
        One row per neuroid: ``neuroid`` (id), ``participant``, ``region``, anything.
    dims : sequence of str, optional
        Dimensions of ``responses`` in order. If not given: stimulus, neuroid, repetition, time;
        three dimensions with ``times`` are stimulus, neuroid, time.
    times : sequence of float, optional
        Seconds, increasing.
    categories, groups : sequences of str of length n_sounds, optional
        Splits are random halves of every category, or keep groups apart.
    splits : Splits, optional
        If not given: by ``groups``; the published ten where the sounds are the 165 published ones,
        which are then put into the published order; by ``categories``; else random halves.
    about : mapping, optional
        ``what``, ``unit``, ``source``, ``licence``.
    published : sequence of str, optional
        Ids of the published stimuli of this installation, in order, if they are known; the ids of
        the paper are known anyway.
    where : str
        Begins error messages.

    Raises
    ------
    InputError
        Anything that does not fit; it names the field and what to do.
    """
    values, times = _ordered(responses, dims, times, where)
    ids = _text_column(stimuli, "stimulus", len(values), "sounds", where)
    if len(set(ids)) != len(ids):
        repeated = sorted({sound for sound in ids if ids.count(sound) > 1})
        raise InputError(
            f"{where}: stimulus ids must be unique; {len(repeated)} occur more than once: "
            f"{few(repeated)}. Average repetitions of a sound, or store them along the dimension "
            "repetition."
        )
    if len(ids) < FEWEST_SOUNDS:
        raise InputError(
            f"{where}: {len(ids)} sounds are too few to train and test on; at least "
            f"{FEWEST_SOUNDS} are needed."
        )
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{where}: {name!r} cannot name a target: use letters, digits, '.', '+' and '-', no "
            "underscore, at most 61 characters."
        )
    labels = {
        label: None if column is None else _text_column(column, label, len(ids), "sounds", where)
        for label, column in (("category", categories), ("group", groups))
    }
    table = _neuroid_table(neuroids, values.shape[1], where)
    remarks = [
        *_check_values(values, table["neuroid"].tolist(), where),
        *_check_participants(table, where),
    ]
    if splits is not None and splits.train.shape[1] != len(ids):
        raise InputError(
            f"{where}: the splits are of {splits.train.shape[1]} sounds, the responses of "
            f"{len(ids)}."
        )
    order = published_order(ids, published) if splits is None and labels["group"] is None else None
    try:
        if order is not None:
            values, splits = values[order], published_splits()
            ids, labels["category"] = (
                None if column is None else tuple(column[row] for row in order)
                for column in (ids, labels["category"])
            )
        elif splits is None:
            splits = random_splits(len(ids), categories=labels["category"], groups=labels["group"])
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    flat, metadata = _rows(values, table, times)
    return Target(
        name,
        flat,
        np.arange(flat.shape[1]),
        metadata,
        Stimuli(ids, labels["category"] or ("",) * len(ids)),
        tuple(remarks),
        splits,
        {key: str(text) for key, text in (about or {}).items() if key in ABOUT},
    )


def published_order(ids: Sequence[str], published: Sequence[str] = ()) -> list[int] | None:
    """Rows that bring the 165 published sounds into the published order.

    None if these are other sounds.

    The published order is that of the stimulus numbers (``stim5_alarm_clock`` before
    ``stim11_baby_crying``).
    """
    row_of = {sound: row for row, sound in enumerate(ids)}
    if published and set(published) == set(ids):
        return [row_of[sound] for sound in published]
    numbers = [re.match(r"stim(\d+)_", sound) for sound in ids]
    if len(ids) != N_SOUNDS or None in numbers:
        return None
    ordered = sorted(ids, key=lambda sound: (len(sound.split("_")[0]), sound))
    return (
        [row_of[sound] for sound in ordered] if combined_digest(ordered) == _PUBLISHED_IDS else None
    )


# --- checks -------------------------------------------------------------------------------------


def _ordered(
    responses: np.ndarray, dims: Sequence[str] | None, times: Sequence[float] | None, where: str
) -> tuple[np.ndarray, np.ndarray | None]:
    """Responses as float64 of shape (sounds, neuroids, repetitions, times), and the times."""
    values = np.asarray(responses)
    if values.dtype.kind not in "fiu":
        raise InputError(
            f"{where}: {RESPONSES} must hold real numbers; found {values.dtype}. "
            + ("Store magnitude or power." if values.dtype.kind == "c" else "Store floats.")
        )
    if dims is None:
        by_number = {
            2: DIMENSIONS[:2],
            3: DIMENSIONS[:3] if times is None else ("stimulus", "neuroid", "time"),
            4: DIMENSIONS,
        }
        if values.ndim not in by_number:
            raise InputError(
                f"{where}: {RESPONSES} must be sounds × neuroids [× repetitions] [× times]; found "
                f"the shape {values.shape}."
            )
        dims = by_number[values.ndim]
    unknown = [str(dim) for dim in dims if dim not in DIMENSIONS]
    lacking = [dim for dim in DIMENSIONS[:2] if dim not in dims]
    if unknown or lacking or len(set(dims)) != len(dims) or len(dims) != values.ndim:
        raise InputError(
            f"{where}: the dimensions of {RESPONSES} must be stimulus, neuroid[, repetition][, "
            f"time]; found {', '.join(map(str, dims))} of shape {values.shape}. Rename or drop the "
            "others."
        )
    if 0 in values.shape:
        raise InputError(f"{where}: {RESPONSES} is empty: {dict(zip(dims, values.shape))}.")
    values = values.transpose([dims.index(dim) for dim in DIMENSIONS if dim in dims])
    if "repetition" not in dims:
        values = np.expand_dims(values, 2)
    if "time" not in dims:
        if times is not None:
            raise InputError(f"{where}: there are times, but {RESPONSES} has no dimension time.")
        return np.asarray(values[..., None], dtype=np.float64), None
    if times is None:
        raise InputError(
            f"{where}: {RESPONSES} has a dimension time, but no times are given. Add time "
            "(seconds)."
        )
    times = np.asarray(times)
    if times.shape != values.shape[3:] or times.dtype.kind not in "fiu":
        raise InputError(
            f"{where}: time must be {values.shape[3]} numbers; found {times.dtype} of shape "
            f"{times.shape}."
        )
    times = times.astype(np.float64)
    if not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        raise InputError(f"{where}: time must increase from one point to the next.")
    return np.asarray(values, dtype=np.float64), times


def _text_column(
    values: Sequence[Any], field: str, length: int, what: str, where: str
) -> tuple[str, ...]:
    values = np.asarray(values)
    if values.shape != (length,):
        raise InputError(
            f"{where}: {field} must have one entry for each of the {length} {what}; found the "
            f"shape {values.shape}."
        )
    texts = tuple(
        value.decode(errors="replace") if isinstance(value, bytes) else str(value)
        for value in values.tolist()
    )
    empty = sum(text in ("", "nan", "None") for text in texts)
    if empty:
        raise InputError(
            f"{where}: {field} is empty for {empty} of {length} {what}. Fill it in, or leave "
            f"{field} out."
        )
    return texts


def _neuroid_table(
    neuroids: pd.DataFrame | Mapping[str, Sequence] | None, count: int, where: str
) -> pd.DataFrame:
    """One row per neuroid, with the column ``neuroid``."""
    import pandas as pd

    try:
        table = pd.DataFrame({} if neuroids is None else neuroids).reset_index(drop=True)
    except ValueError as error:
        raise InputError(
            f"{where}: the metadata of the neuroids must be columns of one length ({error})."
        ) from error
    if neuroids is not None and len(table) != count:
        raise InputError(
            f"{where}: the metadata has {len(table)} rows, but there are {count} neuroids. One row "
            "per neuroid, in the order of the responses."
        )
    require_plain_columns(table, Path(where))
    taken = sorted({*NAMES_IN_RESULTS.values(), "voxel_id", "time"} & set(table.columns))
    if taken:
        raise InputError(
            f"{where}: the metadata must not have the column(s) {', '.join(taken)}, which results "
            "use. Rename them (participant and region get their names in results by themselves)."
        )
    if "neuroid" not in table:
        table.insert(0, "neuroid", np.arange(count))
    if table["neuroid"].isna().any() or not table["neuroid"].is_unique:
        raise InputError(f"{where}: neuroid must hold a different id for each neuroid.")
    return table


def _check_values(values: np.ndarray, labels: Sequence, where: str) -> list[Remark]:
    """Refuse NaN and inf, except whole repetitions that are missing.

    Constant neuroids are a remark.
    """
    missing = np.isnan(values).all(axis=(0, 3))  # neuroid × repetition
    bad = ~np.isfinite(values).all(axis=(0, 3)) & ~missing
    for what, rows in (
        ("NaN or inf", bad.any(axis=1)),
        ("no response at all", missing.all(axis=1)),
    ):
        if rows.any():
            names = [labels[row] for row in np.flatnonzero(rows)]
            raise InputError(
                f"{where}: {RESPONSES} holds {what} for {len(names)} of {len(rows)} neuroids: "
                f"{few(names)}. Leave these neuroids out; NaN for a whole repetition means that it "
                "is missing."
            )
    remarks = []
    with np.errstate(invalid="ignore"):
        constant = ((values == values[:1]) | np.isnan(values)).all(axis=(0, 2, 3))
    for what, rows in (
        ("neuroids do not vary over the sounds (every r is 0)", constant),
        ("neuroids lack a repetition", missing.any(axis=1)),
    ):
        if rows.any():
            names = [labels[row] for row in np.flatnonzero(rows)]
            remarks.append(Remark(what, f"{len(names)} of {len(rows)}: {few(names)}"))
    return remarks


def _check_participants(table: pd.DataFrame, where: str) -> list[Remark]:
    if "participant" not in table:
        return []
    if table["participant"].isna().any():
        raise InputError(
            f"{where}: participant is missing for {int(table['participant'].isna().sum())} "
            "neuroids."
        )
    spellings: dict[str, set[str]] = {}
    for name in map(str, table["participant"].unique()):
        spellings.setdefault(re.sub(r"[\s_-]+", "", name).casefold(), set()).add(name)
    several = [" / ".join(sorted(names)) for names in spellings.values() if len(names) > 1]
    return (
        [
            Remark(
                "participants whose names differ in spelling only count as different ones",
                few(several),
            )
        ]
        if several
        else []
    )


def _rows(
    values: np.ndarray, table: pd.DataFrame, times: np.ndarray | None
) -> tuple[np.ndarray, pd.DataFrame]:
    """Every neuroid and time point as a row: (sounds, rows, repetitions), and their metadata."""
    n_sounds, n_neuroids, n_repetitions, n_times = values.shape
    flat = np.ascontiguousarray(values.transpose(0, 1, 3, 2)).reshape(
        n_sounds, n_neuroids * n_times, n_repetitions
    )
    metadata = table.rename(columns=NAMES_IN_RESULTS)
    if times is not None:
        metadata = metadata.loc[metadata.index.repeat(n_times)].reset_index(drop=True)
        metadata["time"] = np.tile(times, n_neuroids)
    metadata.insert(0, "voxel_id", np.arange(len(metadata)))
    return flat, metadata

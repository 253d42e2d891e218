"""What any result must be, ours or the authors'.

Names, sizes, and the checks that both have in common.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from aud_dnn.errors import DamagedFileError, InputError, describe_os_error
from aud_dnn.methods.ridge.method import METHOD as RIDGE
from aud_dnn.targets.facts import COMPONENT_TARGET, COMPONENTS

if TYPE_CHECKING:
    import pandas as pd

SCORES_FILE = "ds.nc"
TABLE_FILE = "df_output.parquet"
PREDICTIONS_FILE = "y_preds.nc"
PROVENANCE_FILE = "provenance.json"
PUBLISHED_SCORES, PUBLISHED_TABLE = "ds.pkl", "df_output.pkl"
PUBLISHED_PREDICTIONS, PUBLISHED_RESCALED = "y_preds_test.pkl", "y_preds_test_rescaled.pkl"

MASKS = {"train_mask": "all_train_idxs", "test_mask": "all_test_idxs"}
"""Variables of ``ds.nc``, and the attributes of the dataset that they become."""

N_SOUNDS, N_SPLITS, N_TEST = 165, 10, 82
MOST_ROWS = 50_000  # B2021 has 26,792 voxels
MOST_OWN_ROWS = 500_000  # of a user's own target: neuroids × times
_MOST_SOUNDS, _MOST_SPLITS = 100_000, 1_000
FIELDS = {field.stored: field for field in RIDGE.fields}
"""Variables of ``ds.nc``, by name; those with a ``source`` may be left out."""
STORED_BYTES = sum(
    np.dtype(field.dtype_on_disk or field.dtype).itemsize
    for field in RIDGE.fields
    if not field.source
)
"""Of one voxel and split in ``ds.nc``, before packing."""
# the published runs lack these
ALWAYS_GIVEN = FIELDS.keys() - {"alpha_on_plateau", "loo_r2_train"}
"""What a result gives, whether its file holds it or what it is derived from."""
SUMMARIES = tuple(column for field in RIDGE.fields for column in field.columns)
"""Columns of the table, over splits."""

NAMED = ("source_model", "source_layer", "randnetw", "target")
_FAILURES = (
    OSError,
    ValueError,
    KeyError,
    RuntimeError,
    TypeError,
    AttributeError,
    IndexError,
    NotImplementedError,
)


@dataclass(frozen=True)
class ResultKey:
    """Which result it is: what the folder's name says."""

    model: str
    layer: str
    target: str
    randnetw: bool
    alphalimit: int


@dataclass(frozen=True)
class Check:
    """Raises what is wrong with one file."""

    path: Path
    remedy: str

    def __call__(self, good: bool, what: str) -> None:
        if not good:
            raise DamagedFileError(
                f"{self.path} is not what the file of a result must be: {what}. {self.remedy}"
            )

    def damaged(self, error: BaseException) -> InputError:
        if isinstance(error, OSError) and error.errno not in (None, errno.ENOENT, errno.EINVAL):
            locked = error.errno in (
                errno.EAGAIN,
                errno.EWOULDBLOCK,
                getattr(errno, "ENOLCK", None),
            )
            return InputError(
                f"{self.path} cannot be read: {os.strerror(error.errno)}. It is open for writing "
                "in another program, or lies on a file system without locks (then set "
                "HDF5_USE_FILE_LOCKING=FALSE)."
                if locked
                else describe_os_error(error, "read", self.path)
            )
        return DamagedFileError(
            f"{self.path} cannot be read ({type(error).__name__}: {str(error)[:300]}). "
            f"{self.remedy}"
        )

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Around what other libraries read: whatever they raise names the file."""
        try:
            yield
        except InputError:
            raise
        except RecursionError as error:
            raise self.damaged(ValueError("nested too deep")) from error
        except _FAILURES as error:
            raise self.damaged(error) from error


def check_rows(check: Check, n_rows: int, target: str | None, *, own: bool = False) -> None:
    """As many rows as a target can have."""
    most = MOST_OWN_ROWS if own else MOST_ROWS
    check(0 < n_rows <= most, f"it has {n_rows} rows; 1 to {most:,} are possible")
    check(
        target != COMPONENT_TARGET or n_rows == len(COMPONENTS),
        f"it has {n_rows} rows, but {len(COMPONENTS)} components are expected",
    )


def check_masks(check: Check, train: np.ndarray, test: np.ndarray) -> None:
    """Masks of shape (n_sounds, n_splits)."""
    check(
        bool(
            np.isin(train, (0, 1)).all()
            and np.isin(test, (0, 1)).all()
            and not (train * test).any()
            and (test.sum(axis=0) == N_TEST).all()
        ),
        f"each split must have {N_TEST} test sounds, none of them a training sound",
    )


def check_own_masks(check: Check, train: np.ndarray, test: np.ndarray) -> None:
    """Masks of a user's own target, (n_sounds, n_splits): of any number, and halves of any size."""
    check(
        bool(
            np.isin(train, (0, 1)).all()
            and np.isin(test, (0, 1)).all()
            and not (train * test).any()
            and (test.sum(axis=0) > 1).all()
            and (train.sum(axis=0) > 1).all()
        ),
        "each split must have test and training sounds, none of them both",
    )


def check_counts(check: Check, n_sounds: int, n_splits: int) -> None:
    """Numbers of sounds and splits of a user's own target."""
    check(
        1 < n_sounds <= _MOST_SOUNDS and 0 < n_splits <= _MOST_SPLITS,
        f"it is about {n_sounds:,} sounds and {n_splits:,} splits; up to {_MOST_SOUNDS:,} and "
        f"{_MOST_SPLITS:,} are possible",
    )


def check_ids(check: Check, ids: np.ndarray, listed: np.ndarray, index: np.ndarray) -> None:
    """The voxels of the scores, in their order."""
    check(
        np.array_equal(ids, listed) and np.array_equal(ids, index),
        "it is not about the same voxels in the same order as "
        f"{SCORES_FILE if check.path.suffix != '.pkl' else 'ds.pkl'}",
    )


def check_table(check: Check, table: pd.DataFrame, ids: np.ndarray, named: dict[str, str]) -> None:
    """A whole table: what was written beside the scores, about the same rows."""
    import pandas as pd

    for name in NAMED:
        if name in table and name in named:
            check(
                {str(value) for value in table[name].unique()} == {named[name]},
                f"its {name} is not that of the scores",
            )
    for name in SUMMARIES:
        check(pd.api.types.is_numeric_dtype(table[name]), f"{name} must hold numbers")
    check_ids(check, ids, table["voxel_id"].to_numpy(), table.index.to_numpy())


def require_same(
    folder: Path, found: dict[str, object], expected: dict[str, object], remedy: str
) -> None:
    """What a folder holds must be what its name says."""
    different = [
        f"{name} {found[name]}, not {expected[name]}"
        for name in expected
        if name in found and found[name] != expected[name]
    ]
    if different:
        raise InputError(
            f"{folder} holds another result than its name says ({'; '.join(different)}): it was "
            f"copied or renamed. Move it back to its own place. {remedy}"
        )


def is_on_grid(alphas: np.ndarray, at_edge: np.ndarray, alphalimit: int) -> bool:
    """Whether alphas are of the grid 10^(limit-1), …, 10^-limit, and at its ends exactly where the
    flags say so.
    """
    exponents = np.rint(np.log10(alphas[np.isfinite(alphas) & (alphas > 0)]))
    if exponents.size and not (
        -alphalimit <= exponents.min() and exponents.max() <= alphalimit - 1
    ):
        return False
    return all(
        (np.rint(np.log10(np.maximum(alphas[at_edge == code], 1e-300))) == end).all()
        for code, end in ((1, alphalimit - 1), (2, -alphalimit))
    )


def named_values(key: ResultKey) -> dict[str, object]:
    """What the name of a result folder says, by the names that files use."""
    return {
        "model": key.model,
        "layer": key.layer,
        "condition": str(key.randnetw),
        "target": key.target,
        "alphalimit": key.alphalimit,
    }


def rescale(values: np.ndarray, train_means: np.ndarray) -> np.ndarray:
    """Training means added back: (n_splits, n_test, n_voxels) and (n_splits, n_voxels)."""
    return values + train_means[:, None, :]


def full_predictions(values: np.ndarray, test: np.ndarray) -> np.ndarray:
    """(n_sounds, n_splits, n_voxels), NaN where the sound was in the training half, from (n_splits,
    n_test, n_voxels).
    """
    full = np.full((test.shape[1], len(test), values.shape[2]), np.nan)
    for split, mask in enumerate(test):
        full[mask, split] = values[split][: np.count_nonzero(mask)]  # smaller halves are padded
    return full

"""The files of one result of the authors: pickles, checked as ours are."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from aud_dnn.io.pickles.safe_pickle import load_pickle
from aud_dnn.store.schema import (
    ALWAYS_GIVEN,
    MASKS,
    N_SOUNDS,
    N_SPLITS,
    NAMED,
    PUBLISHED_PREDICTIONS,
    PUBLISHED_RESCALED,
    PUBLISHED_SCORES,
    PUBLISHED_TABLE,
    SUMMARIES,
    Check,
    ResultKey,
    check_masks,
    check_rows,
    check_table,
    is_on_grid,
    named_values,
    require_same,
)

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


class PublishedFiles:
    """The files of a result of the authors."""

    provenance = None

    def __init__(self, folder: Path, remedy: str) -> None:
        self.folder, self._remedy = folder, remedy
        check = Check(folder / PUBLISHED_SCORES, remedy)
        published = load_pickle(check.path, allow="dataset")
        with check.reading():
            self._dataset = _published_dataset(published, check)
        self.ids = self._dataset["voxel_id"].to_numpy()
        self.named = {name: str(self._dataset[name].item()) for name in NAMED[:3]}

    def require(self, key: ResultKey) -> None:
        """Refuse another result than this."""
        found: dict[str, object] = {
            "model": self.named["source_model"],
            "layer": self.named["source_layer"],
            "condition": self.named["randnetw"],
        }
        if not is_on_grid(self.values("alphas"), self.values("warning_alphas"), key.alphalimit):
            found["alphalimit"] = "of another grid"
        if "target" in self._table:
            found["target"] = str(self._table["target"].iloc[0])
        require_same(self.folder, found, named_values(key), self._remedy)
        check_rows(Check(self.folder / PUBLISHED_SCORES, self._remedy), len(self.ids), key.target)

    @property
    def score_names(self) -> list[str]:
        return [str(name) for name in self._dataset.data_vars]

    def values(self, name: str) -> np.ndarray:
        check = Check(self.folder / PUBLISHED_SCORES, self._remedy)
        check(name in self._dataset, f"it lacks {name}")
        return self._dataset[name].to_numpy()

    @cached_property
    def _table(self) -> pd.DataFrame:
        import pandas as pd

        check = Check(self.folder / PUBLISHED_TABLE, self._remedy)
        table = load_pickle(check.path, allow="tables")
        check(isinstance(table, pd.DataFrame), f"it must hold a table, not {type(table).__name__}")
        with check.reading():
            check(table.columns.is_unique, "its columns must have different names")
            lacking = [name for name in (*SUMMARIES, "voxel_id") if name not in table]
            check(not lacking, f"it lacks {', '.join(lacking)}")
            check_table(check, table, self.ids, self.named)
        return table

    def table(self, columns: list[str] | None = None) -> pd.DataFrame:
        return self._table if columns is None else self._table[["voxel_id", *columns]]

    def dataset(self) -> xr.Dataset:
        return self._dataset

    def require_predictions_unchanged(self) -> None:
        """Nothing to compare: no checksums were published."""

    def predictions(self, rescaled: bool, rows: Sequence[int] | None = None) -> np.ndarray | None:
        check = Check(
            self.folder / (PUBLISHED_RESCALED if rescaled else PUBLISHED_PREDICTIONS), self._remedy
        )
        if not check.path.is_file():
            return None
        values = load_pickle(check.path, allow="arrays")
        shape = (N_SOUNDS, N_SPLITS, len(self.ids))
        check(
            isinstance(values, np.ndarray) and values.shape == shape and values.dtype.kind == "f",
            f"it must hold numbers of shape {shape}",
        )
        return values if rows is None else values[:, :, rows]


def _published_dataset(published: xr.Dataset, check: Check) -> xr.Dataset:
    """The published coordinates (one per voxel, on dimensions of their own) in the form of ours."""
    import xarray as xr

    check(
        isinstance(published, xr.Dataset),
        f"it must hold an xarray dataset, not {type(published).__name__}",
    )
    lacking = [
        *sorted(
            (ALWAYS_GIVEN | {"voxel_id", "vox_idx", "split_idx", *NAMED[:3]})
            - {*published.variables}
        ),
        *sorted({*MASKS.values()} - {*published.attrs}),
    ]
    check(not lacking, f"it lacks {', '.join(lacking)}")
    n_rows = published["voxel_id"].size
    check_rows(check, n_rows, None)
    for name, variable in published.items():
        check(
            variable.shape == (n_rows, N_SPLITS) and variable.dtype.kind in "fiub",
            f"{name} must hold numbers of shape {(n_rows, N_SPLITS)}; it has {variable.dtype} of "
            f"shape {variable.shape}",
        )
    for name, length in (("vox_idx", n_rows), ("voxel_id", n_rows), ("split_idx", N_SPLITS)):
        check(published[name].shape == (length,), f"{name} must have {length} values")
    masks = {name: np.asarray(published.attrs[name]) for name in MASKS.values()}
    for name, mask in masks.items():
        check(
            mask.shape == (N_SOUNDS, N_SPLITS) and mask.dtype.kind in "fiub",
            f"{name} must have the shape {(N_SOUNDS, N_SPLITS)}; it has {mask.shape}",
        )
    check_masks(check, *masks.values())
    constants = {}
    for name in NAMED[:3]:
        said = {str(value) for value in published[name].to_numpy().ravel()}
        check(len(said) == 1, f"{name} must be the same for all voxels")
        constants[name] = said.pop()
    return xr.Dataset(
        {
            name: (("vox_idx", "split_idx"), variable.to_numpy())
            for name, variable in published.items()
        },
        coords={
            "vox_idx": published["vox_idx"].to_numpy(),
            "split_idx": published["split_idx"].to_numpy(),
            "voxel_id": ("vox_idx", published["voxel_id"].to_numpy()),
            **constants,
        },
        attrs={name: mask.astype(np.int8) for name, mask in masks.items()},
    )

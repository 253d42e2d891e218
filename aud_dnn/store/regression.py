"""Regression results on disk: one folder per model, layer, condition, target and grid.

Written whole, or not at all.

A folder holds

* ``ds.nc`` (netCDF-4): scores per voxel and split, the split masks;
* ``df_output.parquet``: one row per voxel or component, summaries over splits and the voxel's
  metadata;
* ``y_preds.nc`` (netCDF-4): predictions for the test sounds and training means;
* ``provenance.json``: versions, arguments, digests of what went in, checksums of these files, seed,
  time, memory;
* ``out-<date>.log``, and pictures if asked for.

The authors' folders hold pickles instead (``df_output.pkl``, ``ds.pkl``, ``y_preds_test.pkl``,
``y_preds_test_rescaled.pkl``). :func:`read_result` opens both and gives the same thing; it is the
one way in, and refuses what is damaged, malformed or another result than its folder says
(:mod:`aud_dnn.store.files`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aud_dnn.errors import MissingDataError
from aud_dnn.io.digests import DigestMemo
from aud_dnn.store.files import open_files
from aud_dnn.store.own_files import OwnFiles
from aud_dnn.store.published import PublishedFiles
from aud_dnn.store.regression_names import fit_again, is_complete, parse_folder

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


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

    @property
    def score_names(self) -> list[str]:
        """The variables of ``scores``."""
        return self.files.score_names

    def values(self, name: str) -> np.ndarray:
        """One variable of ``scores``, shape (n_voxels, n_splits); quicker than all of them."""
        return self.files.values(name)

    def predictions(
        self, *, rescaled: bool = False, rows: Sequence[int] | None = None
    ) -> np.ndarray:
        """Predicted responses to the test sounds, shape (n_sounds, n_splits, n_voxels).

        NaN for training sounds. Of a result that was stored without predictions they are made
        again, if the activations and the responses are still what they were.

        Parameters
        ----------
        rescaled : bool
            With the mean response to the training sounds added back.
        rows : sequence of int, optional
            Only these voxels, by their place in the table; quicker than all of them.

        Raises
        ------
        MissingDataError
            There are none, and they cannot be made again.
        """
        found = self.files.predictions(rescaled, rows)
        if found is None:
            from aud_dnn.store.remaking import remade_predictions

            return remade_predictions(self, rescaled=rescaled, rows=rows)
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
        There is no whole result.
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

"""The files of our own results, checked when they are opened, read when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aud_dnn.errors import DamagedFileError, InputError, MissingDataError
from aud_dnn.io.digests import DigestMemo, file_digest
from aud_dnn.io.files import h5_dataset
from aud_dnn.store.h5_results import (
    LARGEST,
    LARGEST_TABLE,
    OWN_FACTOR,
    decoded_size,
    has_fixed_width,
    open_result,
    read_provenance,
    result_variable,
    text_values,
    values_of,
)
from aud_dnn.store.schema import (
    ALWAYS_GIVEN,
    FIELDS,
    MASKS,
    N_SOUNDS,
    N_SPLITS,
    N_TEST,
    NAMED,
    PREDICTIONS_FILE,
    PROVENANCE_FILE,
    SCORES_FILE,
    SUMMARIES,
    TABLE_FILE,
    Check,
    ResultKey,
    check_counts,
    check_ids,
    check_masks,
    check_own_masks,
    check_rows,
    check_table,
    full_predictions,
    is_on_grid,
    named_values,
    require_same,
    rescale,
)
from aud_dnn.targets.facts import TARGETS, facts_of

if TYPE_CHECKING:
    import h5py
    import pandas as pd
    import xarray as xr


_MOST_COLUMNS = 1_000


def _state(path: Path) -> tuple[int, ...]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino


class OwnFiles:
    """The files of a result of ours."""

    def __init__(self, folder: Path, remedy: str, memo: DigestMemo | None = None) -> None:
        self.folder = folder
        self.provenance: dict[str, Any] | None = read_provenance(folder, remedy)
        self._remedy, self._memo = remedy, memo
        self._digest: Callable[[Path], str] = file_digest if memo is None else memo.file
        self._opened: dict[str, tuple[int, ...]] = {}
        self.own = "target" in self.provenance
        self.n_sounds, self.n_splits, self.n_test = N_SOUNDS, N_SPLITS, N_TEST
        for name in (SCORES_FILE, TABLE_FILE):
            self._require_unchanged(name)
        with open_result(self._scores) as file:
            self._check_scores(file)
        self._check_columns()

    def _check(self, name: str) -> Check:
        return Check(self.folder / name, self._remedy)

    @property
    def _scores(self) -> Check:
        return self._check(SCORES_FILE)

    def _require_unchanged(self, name: str) -> None:
        """Refuse a file that is not as it was written: HDF5 and Parquet believe damaged files."""
        check = self._check(name)
        with check.reading():
            check(
                check.path.stat().st_size <= LARGEST[name] * (OWN_FACTOR if self.own else 1),
                "it is far too large",
            )
            self._opened[name] = _state(check.path)
            if self._digest(check.path) != self.provenance["files"].get(name):
                raise DamagedFileError(
                    f"{check.path} is not as it was written: its checksum differs from that in "
                    f"{PROVENANCE_FILE}. {self._remedy}"
                )

    @contextmanager
    def _reading(self, name: str) -> Iterator[Check]:
        """Around reading values: refuse a file that has been replaced since it was checked."""
        check = self._check(name)
        with check.reading():
            if _state(check.path) != self._opened[name]:
                raise InputError(
                    f"{check.path} has been replaced while it was read. Run the same command again."
                )
            yield check

    def require_predictions_unchanged(self) -> None:
        """Refuse predictions that are not as they were written; results may do without."""
        if (self.folder / PREDICTIONS_FILE).is_file():
            self._require_unchanged(PREDICTIONS_FILE)
            with open_result(self._check(PREDICTIONS_FILE)) as file:
                self._check_predictions(file)

    def _check_scores(self, file: h5py.File) -> None:
        check, inside = (
            self._scores,
            set(file),
        )  # names only: a look at what is behind them may lead elsewhere
        ids = result_variable(file, "voxel_id", check, None, "iuO")
        check(ids.ndim == 1, "voxel_id must hold one id per voxel")
        self.named = {}
        for name in NAMED:
            if name in inside:  # converted results do not say their target
                self.named[name] = str(values_of(result_variable(file, name, check, (), "O")))
        check_rows(check, len(ids), self.named.get("target"), own=self.own)
        derivable = {
            name for name, field in FIELDS.items() if field.source in inside and name not in inside
        }
        lacking = sorted((ALWAYS_GIVEN | {*MASKS, *NAMED[:3]}) - inside - derivable)
        check(not lacking, f"it lacks {', '.join(lacking)}")
        if self.own:
            self._take_counts(file, check)
        shape = (len(ids), self.n_splits)
        known = {*MASKS, *NAMED, "voxel_id", "vox_idx", "split_idx", "stimulus"}
        stored = [name for name in file if name not in known]
        for name in stored:
            result_variable(file, name, check, shape, "fiub")
        order = list(FIELDS) if derivable else []  # those of a file are in the order of the file
        self.score_names = [name for name in order if name in derivable or name in stored]
        self.score_names += [name for name in stored if name not in self.score_names]
        result_variable(file, "vox_idx", check, shape[:1], "iu")
        result_variable(file, "split_idx", check, shape[1:], "iu")
        check(
            "stimulus" not in inside or h5_dataset(file, "stimulus").shape == (self.n_sounds,),
            f"it must be about {self.n_sounds} sounds",
        )
        masks = [
            values_of(result_variable(file, name, check, (self.n_sounds, self.n_splits), "iub"))
            for name in MASKS
        ]
        if self.own:
            check_own_masks(check, *masks)
            self.n_test = int(masks[1].sum(axis=0).max())
        else:
            check_masks(check, *masks)
        self.ids = values_of(ids)

    def _take_counts(self, file: h5py.File, check: Check) -> None:
        """The sounds and splits of a user's own target."""
        try:
            facts_of(self.named.get("target", ""), self.provenance)
            record = self.provenance["target"]
            complete = all(
                isinstance(record[name][field], str)
                for name, field in (("splits", "sha256"), ("file", "path"), ("file", "sha256"))
            )
        except (KeyError, TypeError):
            complete = False
        check(complete, f"{PROVENANCE_FILE} does not say what its target is")
        check(
            self.named["target"] not in TARGETS, "it says that a published target is a user's own"
        )
        mask = result_variable(file, next(iter(MASKS)), check, None, "iub")
        check(mask.ndim == 2, "its masks must be of sounds and splits")
        self.n_sounds, self.n_splits = mask.shape
        check_counts(check, self.n_sounds, self.n_splits)

    def _check_columns(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        check = self._check(TABLE_FILE)
        with check.reading(), pq.ParquetFile(check.path) as file:
            self._check_parquet(check, file, pa)

    def _check_parquet(self, check: Check, file: Any, pa: Any) -> None:
        metadata, schema = file.metadata, file.schema_arrow
        check(
            metadata.num_rows == len(self.ids),
            f"it has {metadata.num_rows} rows, {SCORES_FILE} has {len(self.ids)}",
        )
        names = schema.names
        check(
            len(names) <= _MOST_COLUMNS,
            f"it has {len(names)} columns; {_MOST_COLUMNS:,} are possible",
        )
        check(len(set(names)) == len(names), "its columns must have different names")
        lacking = [name for name in (*SUMMARIES, "voxel_id", *NAMED) if name not in names]
        check(not lacking, f"it lacks {', '.join(lacking)}")
        for name in SUMMARIES:
            kind = schema.field(name).type
            check(
                pa.types.is_floating(kind) or pa.types.is_integer(kind),
                f"{name} must hold numbers, not {kind}",
            )
        nested = [name for name in names if pa.types.is_nested(schema.field(name).type)]
        check(not nested, f"{', '.join(nested[:3])} must hold plain values")
        check(
            len((schema.metadata or {}).get(b"pandas", b"")) <= 1 << 20,
            "its description is far too long",
        )
        stored = dict.fromkeys(names, 0)
        for group in range(metadata.num_row_groups):
            for place, name in enumerate(names):
                stored[name] += metadata.row_group(group).column(place).total_uncompressed_size
        check(sum(stored.values()) <= LARGEST_TABLE, "it would take far too much memory")
        texts = [name for name in names if not has_fixed_width(schema.field(name).type)]
        if (
            sum(stored[name] for name in texts) * len(self.ids) > LARGEST_TABLE
        ):  # stored once, it may be meant often
            check(
                sum(decoded_size(check.path, name) for name in texts) <= LARGEST_TABLE,
                "its texts are far too long",
            )

    def require(self, key: ResultKey) -> None:
        """Refuse another result than this."""
        found: dict[str, object] = {
            "model": self.named["source_model"],
            "layer": self.named["source_layer"],
            "condition": self.named["randnetw"],
        }
        if "target" in self.named:
            found["target"] = self.named["target"]
        arguments = self.provenance.get("arguments", {})
        if "alphalimit" in arguments:
            found["alphalimit"] = arguments["alphalimit"]
        elif not is_on_grid(self.values("alphas"), self.values("warning_alphas"), key.alphalimit):
            found["alphalimit"] = "of another grid"
        require_same(self.folder, found, named_values(key), self._remedy)
        check_rows(self._scores, len(self.ids), key.target, own=self.own)

    def values(self, name: str) -> np.ndarray:
        """One variable of the scores, (n_rows, n_splits)."""
        with self._reading(SCORES_FILE) as check, open_result(check) as file:
            return self._score(file, name, check)

    def _score(self, file: h5py.File, name: str, check: Check) -> np.ndarray:
        """One variable of the scores, derived where the file does not hold it."""
        field = FIELDS.get(name)
        if field is not None and field.derive is not None and name not in set(file):
            return field.derive(self._score(file, field.source, check))
        shape = (len(self.ids), self.n_splits)
        variable = result_variable(file, name, check, shape, "fiub")
        values = values_of(variable)
        if variable.attrs.get("dtype") == "bool":  # which netCDF does not know; so does xarray
            return values.astype(bool)
        shortened = field is not None and values.dtype == field.dtype_on_disk
        return values.astype(field.dtype) if field is not None and shortened else values

    def table(self, columns: list[str] | None = None) -> pd.DataFrame:
        """The table, or some of its columns, with ``voxel_id`` as index and as a column."""
        import pandas as pd

        with self._reading(TABLE_FILE) as check:
            table = pd.read_parquet(
                check.path,
                engine="pyarrow",
                columns=None if columns is None else ["voxel_id", *columns],
            )
            table = table.set_index(pd.Index(table["voxel_id"], name="voxel_id"))
            if columns is None:
                check_table(check, table, self.ids, self.named)
            else:
                check_ids(check, self.ids, table["voxel_id"].to_numpy(), table.index.to_numpy())
        return table

    def dataset(self) -> xr.Dataset:
        """All scores as xarray has them."""
        import xarray as xr

        with self._reading(SCORES_FILE) as check, open_result(check) as file:
            scores = {
                name: (("vox_idx", "split_idx"), self._score(file, name, check))
                for name in self.score_names
            }
            coordinates = {name: text_values(file, name) for name in ("vox_idx", "split_idx")}
            if "stimulus" in set(file) and file["stimulus"].dtype.kind == "O":
                coordinates["stimulus"] = text_values(file, "stimulus").tolist()
            masks = {attribute: text_values(file, name) for name, attribute in MASKS.items()}
        return xr.Dataset(
            scores,
            coords={**coordinates, "voxel_id": ("vox_idx", self.ids), **self.named},
            attrs=masks,
        )

    def predictions(self, rescaled: bool, rows: Sequence[int] | None = None) -> np.ndarray | None:
        """(n_sounds, n_splits, n_rows), or of some rows; None if there are none."""
        check = self._check(PREDICTIONS_FILE)
        if not check.path.is_file():
            return None
        self._require_unchanged(PREDICTIONS_FILE)
        with open_result(check) as file:
            self._check_predictions(file)
            inside = set(file)
            name = (
                "y_pred_test_rescaled"
                if rescaled and "y_pred_test_rescaled" in inside
                else "y_pred_test"
            )
            if name not in inside:
                raise MissingDataError(f"{check.path} holds no {name}.")
            stored = h5_dataset(file, name)
            chosen = slice(None) if rows is None else np.unique(rows)
            values = np.asarray(stored[:, :, chosen], dtype=np.float64)
            if rescaled and name == "y_pred_test":
                means = result_variable(
                    file, "y_train_mean", check, (self.n_splits, len(self.ids)), "f"
                )
                values = rescale(values, np.asarray(means[:, chosen]))
            if rows is not None:
                values = values[:, :, np.searchsorted(chosen, rows)]
            return full_predictions(values, text_values(file, "test_mask").astype(bool))

    def _check_predictions(self, file: h5py.File) -> None:
        check = self._check(PREDICTIONS_FILE)
        mask = values_of(
            result_variable(file, "test_mask", check, (self.n_splits, self.n_sounds), "iub")
        )
        if self.own:
            with self._reading(SCORES_FILE), open_result(self._scores) as scores:
                check(
                    np.array_equal(mask.T, values_of(scores["test_mask"])),
                    "its splits are not those of the scores",
                )
        else:
            check_masks(check, 1 - mask.T, mask.T)
        for name in ("y_pred_test", "y_pred_test_rescaled"):
            if name in set(file):
                result_variable(file, name, check, (self.n_splits, self.n_test, len(self.ids)), "f")
        ids = result_variable(file, "voxel_id", check, self.ids.shape, "iuO")
        check(
            np.array_equal(values_of(ids), self.ids),
            f"it is not about the same voxels in the same order as {SCORES_FILE}",
        )

"""Where activations go while they are made, and the file that they become.

Every finished sound is one small file in a hidden folder beside the result, so a stop at any moment
loses at most one sound (or one batch). When all sounds are there, they become one HDF5 file or one
pickle per sound, in the layouts that were published with Tuckute et al. (2023).
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from aud_dnn.activations.names import h5_name, pickle_ending
from aud_dnn.conditions import Condition
from aud_dnn.errors import InputError, unknown_name
from aud_dnn.extract.provenance import differing_settings, fingerprint, make_provenance
from aud_dnn.extract.store_files import (
    check_layer_names,
    read_json,
    read_provenance,
    remarks_on,
    require_room,
    writing,
)
from aud_dnn.io.atomic import STAGING_MARK, atomic_file, remove_abandoned
from aud_dnn.io.files import h5_dataset, open_h5, read_npy
from aud_dnn.io.h5_structure import h5_array
from aud_dnn.io.pickles.safe_pickle import load_pickle
from aud_dnn.io.pickles.writing import write_pickle

FORMATS = ("h5", "pickle")
_RUN_FILE = "run.json"


class ActivationStore:
    """The activations of one model in one condition, sound by sound.

    Parameters
    ----------
    folder : Path
        ``model-actv/<model>``.
    settings : dict
        Everything that decides the values (:func:`aud_dnn.extract.provenance.make_settings`).
    ids : sequence of str
        Sound ids, in the order of the rows.
    layers : sequence of str
        Stored keys, in network order.
    format : {"h5", "pickle"}
    overwrite : bool
        Replace a result, or drop an unfinished run, that was made with other settings.

    Raises
    ------
    InputError
        There is a result or an unfinished run with other settings, and ``overwrite`` is false.
    """

    def __init__(
        self,
        folder: Path,
        settings: dict[str, Any],
        ids: Sequence[str],
        layers: Sequence[str],
        *,
        randnetw: bool = False,
        format: str = "h5",
        overwrite: bool = False,
    ) -> None:
        if format not in FORMATS:
            raise unknown_name("format of activations", format, FORMATS)
        check_layer_names(layers, format)
        self.folder, self.ids, self.layers, self.format = (
            Path(folder),
            list(ids),
            list(layers),
            format,
        )
        suffix = Condition.of(randnetw).suffix
        self._settings = settings
        self._h5 = self.folder / h5_name(randnetw)
        self._ending = pickle_ending(randnetw)
        self._provenance = self.folder / f"provenance{suffix}.json"
        self._staging = self.folder / f".{self._h5.stem}.unfinished"
        self._lengths: list[int] | None = None
        self.complete = self._check_earlier_result(overwrite)
        with writing(self.folder):
            self._remove_half_written()
            if not self.complete:
                self._open_staging(overwrite)
        if self.complete:
            shutil.rmtree(
                self._staging, ignore_errors=True
            )  # a stop right after the last file left it behind

    @property
    def path(self) -> Path:
        """The HDF5 file, or the folder of pickles."""
        return self._h5 if self.format == "h5" else self.folder

    def _pickles(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        return [
            path
            for path in self.folder.iterdir()
            if path.name.endswith(self._ending) and not path.name.startswith(".")
        ]

    def _check_earlier_result(self, overwrite: bool) -> bool:
        """Whether the very result that is asked for is there already."""
        found = [self._h5] if self._h5.is_file() else []
        pickles = self._pickles()
        if not found and not pickles:
            return False
        if overwrite:
            return False
        earlier = None
        if self.format == "h5" and found and not pickles:
            earlier = read_provenance(self._h5)
        elif self.format == "pickle" and not found:
            if len(pickles) < len(self.ids) and self._is_own_staging():
                # a stop between the first and the last pickle; finish() writes them again
                return False
            earlier = read_provenance(self._provenance)
            if {path.name for path in pickles} != {sound + self._ending for sound in self.ids}:
                earlier = None
        if earlier and earlier["fingerprint"] == fingerprint(self._settings):
            return True
        what = " and ".join(
            [path.name for path in found]
            + [f"{len(pickles)} files *{self._ending}"] * bool(pickles)
        )
        if (self.format == "h5") != bool(found):
            why = "activations in the other format"
        elif earlier is None:
            why = "and there is no record of how they were made"
        else:
            why = (
                "made with other settings "
                f"({', '.join(differing_settings(earlier, self._settings))})"
            )
        raise InputError(
            f"{self.folder} holds {what}, {why}. --overwrite replaces them; --name NAME writes "
            "elsewhere."
        )

    def _is_own_staging(self) -> bool:
        run = self._read_run()
        return run is not None and run["settings"] == self._settings

    def _read_run(self) -> dict[str, Any] | None:
        run = read_json(self._staging / _RUN_FILE)
        return (
            run
            if isinstance(run, dict) and isinstance(run.get("settings"), dict) and "lengths" in run
            else None
        )

    def _remove_half_written(self) -> None:
        """What a killed run was writing beside the result when it ended."""
        if self.folder.is_dir() and any(
            STAGING_MARK in path.name for path in self.folder.iterdir()
        ):
            for path in [
                self._h5,
                self._provenance,
                *(self.folder / f"{sound}{self._ending}" for sound in self.ids),
            ]:
                remove_abandoned(path)

    def _open_staging(self, overwrite: bool) -> None:
        run = self._read_run()
        if run is not None and run["settings"] == self._settings:
            self._lengths = run["lengths"]
            return
        if run is not None and not overwrite and any(self._staging.glob("*.npy")):
            raise InputError(
                f"{self.folder} holds an unfinished run with other settings "
                f"({', '.join(differing_settings(run['settings'], self._settings))}). Finish it "
                "with those, or drop it with --overwrite."
            )
        self._start_over()

    def _start_over(self) -> None:
        shutil.rmtree(self._staging, ignore_errors=True)
        self._staging.mkdir(parents=True)
        self._lengths = None
        self._write_run()

    def _write_run(self) -> None:
        with atomic_file(self._staging / _RUN_FILE) as path:
            path.write_text(
                json.dumps({"settings": self._settings, "lengths": self._lengths}), encoding="utf-8"
            )

    def _row_file(self, sound: str) -> Path:
        return self._staging / f"{sound}.npy"

    def missing(self) -> list[str]:
        """Ids of the sounds that are still to be done."""
        if self.complete:
            return []
        return [sound for sound in self.ids if not self._row_file(sound).is_file()]

    def compare(self, sound: str, vectors: Mapping[str, np.ndarray], overwrite: bool) -> None:
        """Make sure that what is there is of this very model.

        The values of a finished sound, computed again.

        Settings cannot tell a change in the code of a network. Other values are an error, or with
        ``overwrite`` all sounds are done again.
        """
        earlier = self._earlier(sound)
        now = np.concatenate(
            [np.asarray(vectors[layer], dtype=np.float32) for layer in self.layers]
        )
        # more than another batch size explains
        if len(now) == len(earlier) and np.abs(now - earlier).max() <= 1e-3 * np.abs(earlier).max():
            return
        if not overwrite:
            what = "activations" if self.complete else "an unfinished run"
            raise InputError(
                f"{self.folder} holds {what}, but the model now gives other values for {sound}: it "
                "has changed since. Replace them with --overwrite, or write elsewhere with --name."
            )
        with writing(self.folder):
            self._start_over()

    def _earlier(self, sound: str) -> np.ndarray:
        """The values of a finished sound, all layers one after the other."""
        if not self.complete:
            return read_npy(self._row_file(sound))
        row = self.ids.index(sound)  # an HDF5 file has the rows of the settings, in their order
        if self.format == "pickle":
            path = self.folder / f"{sound}{self._ending}"
            stored = load_pickle(path)
            vectors = [
                stored.get(layer) if isinstance(stored, dict) else None for layer in self.layers
            ]
        else:
            path = self._h5
            with open_h5(path) as file:
                datasets = [h5_dataset(file, layer) for layer in self.layers]
                vectors = [
                    h5_array(dataset)[row]
                    if dataset is not None and dataset.ndim == 2 and row < len(dataset)
                    else None
                    for dataset in datasets
                ]
        if not all(
            isinstance(vector, np.ndarray) and vector.ndim == 1 and vector.dtype.kind == "f"
            for vector in vectors
        ):
            raise InputError(
                f"{path} no longer holds what was written into it: one vector of {sound} for each "
                "layer. Replace it with --overwrite, or write elsewhere with --name."
            )
        return np.concatenate(vectors)

    def add(self, sound: str, vectors: Mapping[str, np.ndarray]) -> None:
        """Keep one sound's activations: stored key -> 1-D array.

        They are on disk when this returns.

        Raises
        ------
        InputError
            A layer is missing, not 1-D, of another length than for the first sound, or holds NaN or
            inf.
        """
        if set(vectors) != set(self.layers):
            raise InputError(f"{sound}: expected the layers {self.layers}, got {list(vectors)}.")
        arrays = [np.asarray(vectors[layer], dtype=np.float32) for layer in self.layers]
        for layer, array in zip(self.layers, arrays):
            if array.ndim != 1 or array.size == 0:
                raise InputError(
                    f"{sound}: layer {layer} must be a 1-D array with at least one value; got "
                    f"shape {array.shape}."
                )
            if not np.isfinite(array).all():
                raise InputError(
                    f"{sound}: layer {layer} holds NaN or inf. The model cannot take this sound, "
                    "or its weights are damaged."
                )
        lengths = [len(array) for array in arrays]
        if self._lengths is None:
            self._check_disk(sum(lengths))
            self._lengths = lengths
            with writing(self.folder):
                self._write_run()
        for layer, length, wanted in zip(self.layers, lengths, self._lengths):
            if length != wanted:
                raise InputError(
                    f"{sound}: layer {layer} has {length} values, but {wanted} for the sounds "
                    "before. All sounds must give the same units; average over the axis that "
                    "changes with the sound."
                )
        content = io.BytesIO()
        np.save(
            content, np.concatenate(arrays)
        )  # straight to a file, NumPy does not notice when the disk is full
        with writing(self.folder), atomic_file(self._row_file(sound)) as path:
            path.write_bytes(content.getbuffer())

    def _check_disk(self, n_values: int) -> None:
        needed = (
            2 * len(self.ids) * n_values * 4
        )  # the sounds one by one, and the result, before the first are removed
        free = shutil.disk_usage(self._staging).free
        if needed > free:
            raise InputError(
                f"These activations need {needed / 1e6:.0f} MB while they are made, but "
                f"{self.folder} has only {free / 1e6:.0f} MB free. Free some space, or name "
                "another --root."
            )

    def _rows(self) -> Iterator[tuple[str, list[np.ndarray]]]:
        borders = np.cumsum(self._lengths)[:-1]
        for sound in self.ids:
            yield sound, np.split(read_npy(self._row_file(sound)), borders)

    def finish(self) -> list[str]:
        """Turn the finished sounds into the result.

        Returns
        -------
        list of str
            Remarks: layers that are zero throughout, features that do not vary, sounds that no
            layer tells apart.
        """
        if self.complete:
            return []
        if missing := self.missing():
            raise InputError(
                f"{len(missing)} of {len(self.ids)} sounds are not done yet: "
                f"{', '.join(missing[:3])}."
            )
        remarks = remarks_on(self._rows(), self.layers, self._lengths)
        provenance = make_provenance(self._settings)
        with writing(self.folder):
            if self.format == "h5":
                self._finish_h5(provenance)
            else:
                self._finish_pickles(provenance)
            shutil.rmtree(self._staging)
        self.complete = True
        return remarks

    def _finish_h5(self, provenance: str) -> None:
        # a disk that fills while HDF5 writes can crash the process; so the room is taken first
        require_room(
            self._staging / "room",
            4 * len(self.ids) * sum(self._lengths)
            + 4096 * len(self.layers)
            + 2 * len(provenance)
            + sum(map(len, self.ids))
            + 65536,
        )
        with atomic_file(self._h5) as path, h5py.File(path, "w") as file:
            file.attrs["provenance"] = provenance
            file["layer_list"] = np.array([layer.encode() for layer in self.layers])
            file["sound_ids"] = np.array([sound.encode() for sound in self.ids])
            datasets = [
                file.create_dataset(layer, (len(self.ids), length), np.float32)
                for layer, length in zip(self.layers, self._lengths)
            ]
            for row, (_, arrays) in enumerate(self._rows()):
                for dataset, array in zip(datasets, arrays):
                    dataset[row] = array
        # only now: before, a stop left the earlier pickles whole
        for pickled in self._pickles():
            pickled.unlink()
        self._provenance.unlink(missing_ok=True)

    def _finish_pickles(self, provenance: str) -> None:
        # earlier files go first: a stop in between leaves too few files, which every reader
        # refuses, never a mixture
        for path in [self._provenance, *self._pickles(), self._h5]:
            path.unlink(missing_ok=True)
        with atomic_file(self._provenance) as path:
            path.write_text(provenance, encoding="utf-8")
        for sound, arrays in self._rows():
            with (
                atomic_file(self.folder / f"{sound}{self._ending}") as path,
                path.open("wb") as file,
            ):
                write_pickle(dict(zip(self.layers, arrays)), file)

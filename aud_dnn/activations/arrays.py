"""The activations of a model, opened: layer by layer, checked as they are read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aud_dnn.activations.layer_order import (
    LayerOrder,
)
from aud_dnn.activations.layouts import vector_problem
from aud_dnn.errors import (
    DamagedFileError,
    InputError,
    UnsafePickleError,
    few,
)
from aud_dnn.io.files import h5_dataset, open_h5
from aud_dnn.io.h5_structure import h5_array
from aud_dnn.io.pickles.safe_pickle import load_pickle
from aud_dnn.remarks import Remark
from aud_dnn.targets.stimuli import Stimuli

if TYPE_CHECKING:
    pass


_PICKLE_ARRAYS = (
    "Pickle NumPy arrays: pickle.dump({layer: tensor.detach().float().cpu().numpy(), …}, file) for "
    "each sound."
)


class Activations(ABC):
    """The activations of one model in one condition.

    Made by :func:`open_activations`. :meth:`read` and :meth:`items` give arrays of shape (n_sounds,
    n_units), rows in stimulus order, in the floating-point type that they were stored in.

    Attributes
    ----------
    model : str
    randnetw : bool
    layers : tuple of str
        The layers asked for.
    order : LayerOrder
        All layers of the model, and how their order is known.
    sounds_from : str
        How the sound of each row is known.
    remarks : tuple of Remark
        What is odd about the files but no error.
    """

    def __init__(
        self,
        model: str,
        randnetw: bool,
        keys: dict[str, str],
        stimuli: Stimuli,
        order: LayerOrder,
        sounds_from: str,
        remarks: Sequence[Remark] = (),
    ) -> None:
        self.model = model
        self.randnetw = randnetw
        self.layers = tuple(keys)
        self.order = order
        self.sounds_from = sounds_from
        self.remarks = (*order.remarks, *remarks)
        self._keys = keys
        self._stimuli = stimuli

    @property
    def stimulus_ids(self) -> tuple[str, ...]:
        """Sound ids of the rows."""
        return self._stimuli.ids

    @property
    def provenance(self) -> dict[str, Any]:
        """What results record, so that figures know it without the activations."""
        return {
            "layer_order": list(self.order.names),
            "layer_order_from": self.order.origin,
            "sounds_from": self.sounds_from,
            "remarks": [str(remark) for remark in self.remarks],
        }

    def items(self) -> Iterator[tuple[str, np.ndarray]]:
        """Layer after layer, each read when it is asked for."""
        for layer in self.layers:
            yield layer, self.read(layer)

    @abstractmethod
    def read(self, layer: str) -> np.ndarray:
        """One layer."""

    def _checked(self, array: np.ndarray, layer: str, where: str) -> np.ndarray:
        if array.shape[1] == 0:
            raise InputError(f"{where}: layer {layer} has no units.")
        finite = np.isfinite(array).all(axis=1)
        if not finite.all():
            bad = [sound for sound, good in zip(self._stimuli.ids, finite) if not good]
            cause = (
                " float16 holds nothing above 65504; store float32."
                if array.dtype == np.float16
                else ""
            )
            raise InputError(
                f"{where}: layer {layer} holds NaN or inf for {len(bad)} sound(s): {few(bad)}. "
                f"Extract these activations again.{cause}"
            )
        return array


class H5Activations(Activations):
    """One HDF5 file: a dataset of shape (n_sounds, n_units) for each layer."""

    def __init__(self, path: Path, rows: list[int] | None, *described: Any) -> None:
        super().__init__(*described)
        self._path = path
        self._rows = rows

    def read(self, layer: str) -> np.ndarray:
        with open_h5(self._path) as file:
            dataset = h5_dataset(file, self._keys[layer])
            if dataset is None:  # it was there when the file was opened first
                raise InputError(
                    f"{self._path}: layer {layer} has disappeared. Was the file replaced during "
                    "the run?"
                )
            array = h5_array(dataset)
        if array.dtype.kind != "f":
            array = array.astype(np.float64)
        if self._rows is not None:
            array = array[self._rows]
        return self._checked(array, layer, str(self._path))


class PickledActivations(Activations):
    """One pickle per sound: a dictionary from layer to units."""

    def __init__(self, files: list[Path], *described: Any) -> None:
        super().__init__(*described)
        self._files = files  # in stimulus order
        self._arrays: dict[str, np.ndarray] | None = None

    def read(self, layer: str) -> np.ndarray:
        if self._arrays is None:
            self._arrays = self._read_all()
        return self._arrays[layer]

    def _read_all(self) -> dict[str, np.ndarray]:
        """All layers asked for, in one pass over the files."""
        rows: dict[str, list[np.ndarray]] = {layer: [] for layer in self.layers}
        for path in self._files:
            sound = read_sound(path)
            for layer, row in rows.items():
                row.append(self._vector(path, sound, layer, len(row[0]) if row else None))
        return {
            layer: self._checked(np.stack(row), layer, str(self._files[0].parent))
            for layer, row in rows.items()
        }

    def _vector(self, path: Path, sound: dict, layer: str, n_units: int | None) -> np.ndarray:
        key = self._keys[layer]
        if key not in sound:
            raise InputError(
                f"{path} lacks layer {layer} (stored key {key!r}), which {self._files[0].name} "
                "has. Extract this sound again."
            )
        try:
            vector = np.asarray(sound[key])
        except ValueError as error:  # lists of unequal lengths
            raise InputError(
                f"{path}: layer {layer} must be a 1-D array of numbers ({error})."
            ) from error
        if problem := vector_problem(vector):
            raise InputError(f"{path}: layer {layer} {problem}")
        if n_units is not None and len(vector) != n_units:
            raise InputError(
                f"{path}: layer {layer} has {len(vector)} units, but {n_units} in "
                f"{self._files[0].name}. All sounds must have the same units; extract them again."
            )
        return vector if vector.dtype.kind == "f" else vector.astype(np.float64)


def read_sound(path: Path) -> dict[str, Any]:
    """The layers of one sound in a per-sound pickle.

    Keys that are integers are taken as their text.

    Raises
    ------
    InputError
        The file holds anything but a dict of arrays.
    """
    try:
        content = load_pickle(path, allow="arrays")
    except UnsafePickleError as error:
        if "`torch" not in str(error):
            raise
        raise UnsafePickleError(
            f"{path} holds PyTorch tensors, which are not opened. {_PICKLE_ARRAYS}"
        ) from None
    except DamagedFileError:
        with path.open("rb") as file:
            if file.read(2) != b"PK":
                raise
        raise DamagedFileError(
            f"{path} is not a pickle but a zip archive, as written by torch.save and np.savez. "
            f"{_PICKLE_ARRAYS}"
        ) from None
    if not isinstance(content, dict):
        raise InputError(
            f"{path} must be a dict from layer key to a 1-D array; found {type(content).__name__}."
        )
    named: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(key, bool) or not isinstance(key, str | int | np.integer):
            raise InputError(
                f"{path} must be a dict from layer key to a 1-D array; its key {key!r} is of type "
                f"{type(key).__name__}. Write keys as text (or integers)."
            )
        if str(key) in named:
            raise InputError(
                f"{path} holds the layer {str(key)!r} twice, as text and as an integer. Write one "
                "of them."
            )
        named[str(key)] = value
    return named

"""Open the activations of a model, of the paper or a user's own, in either format (pipeline section
4).

What comes out has been checked: rows are sounds in stimulus order, matched by sound id where the
files name the sounds; columns are units; numbers are finite. What is odd but no error is in
:attr:`Activations.remarks`, which every step shows.
"""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aud_dnn.activations.layer_order import (
    LAYER_ORDER_FILE,
    LayerOrder,
    in_creation_order,
    observed,
    read_layer_order,
    stated,
)
from aud_dnn.activations.layouts import layer_problem, type_remarks, vector_problem
from aud_dnn.activations.row_order import (
    ASSUMED,
    LAYER_LIST_KEY,
    SOUND_IDS_KEY,
    h5_rows,
    names_in_h5,
)
from aud_dnn.errors import (
    DamagedFileError,
    InputError,
    MissingDataError,
    UnsafePickleError,
    few,
    unknown_name,
)
from aud_dnn.io.files import h5_array, h5_dataset, h5_dataset_names, open_h5
from aud_dnn.io.pickles.safe_pickle import load_pickle
from aud_dnn.models.registry import BASELINE_MODEL, MODELS, h5_key, pickle_key
from aud_dnn.paths import ProjectPaths
from aud_dnn.remarks import Remark
from aud_dnn.targets.stimuli import Stimuli, rows_in_order

if TYPE_CHECKING:
    import h5py

GET_ACTIVATIONS = (
    "`python setup_utils/download_files.py --get_model_actv True` brings the published activations."
)
_PICKLE_ARRAYS = (
    "Pickle NumPy arrays: pickle.dump({layer: tensor.detach().float().cpu().numpy(), …}, file) for "
    "each sound."
)
_LAYER_LISTS = (LAYER_LIST_KEY, "layer_order")
_ROWS_ASSUMED = Remark(
    "rows are taken to be in stimulus order: the file does not name its sounds (sound_ids), so "
    "nothing can check it. Write sound_ids, or confirm the order once with --assume_stimulus_order "
    "True",
    "",
)


# --- what is there ------------------------------------------------------------------------------


def models_on_disk(paths: ProjectPaths) -> list[str]:
    """Names of the models that have a folder of activations.

    Those of the registry first, in its order.
    """
    found = {
        folder.name
        for name in ("model-actv", "model_actv")
        if (paths.root / name).is_dir()
        for folder in (paths.root / name).iterdir()
        if folder.is_dir() and not folder.name.startswith(".")
    }
    return [model for model in MODELS if model in found] + sorted(found - set(MODELS))


def activation_files(paths: ProjectPaths, model: str, *, randnetw: bool = False) -> list[Path]:
    """All files that decide what :func:`open_activations` gives; none if there are no activations.

    One HDF5 file, or one pickle per sound, by name; then ``layer_order.txt`` where a user's own
    model has one.

    Raises
    ------
    InputError
        Both formats are there.
    """
    found = _stored_files(paths, model, randnetw)
    order = paths.model_activations(model) / LAYER_ORDER_FILE
    return [*found, order] if found and model not in MODELS and order.is_file() else found


def _stored_files(paths: ProjectPaths, model: str, randnetw: bool) -> list[Path]:
    folder = paths.model_activations(model)
    suffix = "_randnetw" if randnetw else ""
    path, ending = folder / f"natsound_activations{suffix}.h5", f"_activations{suffix}.pkl"
    pickles = (
        sorted(
            p for p in folder.iterdir() if p.name.endswith(ending) and not p.name.startswith(".")
        )
        if folder.is_dir()
        else []
    )
    if path.is_file() and pickles:
        raise InputError(
            f"{folder} holds both {path.name} and {len(pickles)} files *{ending}; keep one of the "
            "two formats."
        )
    return [path] if path.is_file() else pickles


# --- what is opened -----------------------------------------------------------------------------


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
        """What results record, so that figures know it where the activations are gone."""
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


class _H5Activations(Activations):
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


class _PickledActivations(Activations):
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


# --- opening ------------------------------------------------------------------------------------


def open_activations(
    paths: ProjectPaths,
    model: str,
    stimuli: Stimuli,
    *,
    randnetw: bool = False,
    layers: Sequence[str] | None = None,
    layer_order: Sequence[str] | None = None,
    subset_of: Sequence[str] | None = None,
) -> Activations:
    """Open the activations of a model, of the registry or a user's own, in either format (pipeline
    section 4).

    Looks for ``model-actv/<model>/natsound_activations[_randnetw].h5``, else for one
    ``<sound id>_activations[_randnetw].pkl`` per sound. An HDF5 file may name its rows in
    ``sound_ids``; without it its rows must be in stimulus order, as in the published files.

    Parameters
    ----------
    paths : ProjectPaths
    model : str
        Folder name.
    stimuli : Stimuli
    randnetw : bool
        The network with permuted weights instead of the trained one.
    layers : sequence of str, optional
        Names of the registry, of the file, or stored keys. All layers if not given: those of the
        registry, in its order; for a user's own model all in the order that
        :mod:`aud_dnn.activations.layer_order` finds.
    layer_order : sequence of str, optional
        The layers of a user's own model in network order, in place of what ``layer_order.txt``
        says.
    subset_of : sequence of str, optional
        Allow files that hold more sounds than ``stimuli``. These are the ids, in order, of a file
        that does not name its sounds; empty where they are not known, so that the file must name
        them.

    Raises
    ------
    InputError
        Unknown model or layer; a file missing; wrong sounds or numbers of rows. Values are checked
        as they are read.
    """
    suffix = "_randnetw" if randnetw else ""
    if Path(model).name != model or model in ("", ".."):
        raise InputError(
            f"{model!r} is not the name of a model: give the name of its folder below "
            f"{paths.activations}, without a path."
        )
    folder = paths.model_activations(model)
    if not folder.is_dir():
        _raise_unknown_model(paths, model)
    ending = f"_activations{suffix}.pkl"
    found = _stored_files(paths, model, randnetw)
    if (
        found
        and layer_order is None
        and model not in MODELS
        and (folder / LAYER_ORDER_FILE).is_file()
    ):
        layer_order = read_layer_order(folder / LAYER_ORDER_FILE)
    if found and found[0].suffix == ".h5":
        return _open_h5_activations(
            found[0], model, randnetw, stimuli, layers, layer_order, subset_of
        )
    if found:
        ids = [path.name.removesuffix(ending) for path in found]
        rows = rows_in_order(
            ids, stimuli.ids, f"{folder}/*{ending}", others_allowed=subset_of is not None
        )
        files = [found[row] for row in rows]
        first = read_sound(files[0])
        order = _order(
            model,
            list(first),
            layer_order,
            None,
            lambda: observed(list(first), f"keys of {files[0].name}"),
        )
        keys = _choose_layers(
            model, layers, list(first), order.names, first.__contains__, pickle_key, str(files[0])
        )
        types = {
            layer: first[key].dtype
            for layer, key in keys.items()
            if isinstance(first[key], np.ndarray)
        }
        return _PickledActivations(
            files, model, randnetw, keys, stimuli, order, "names of the files", type_remarks(types)
        )
    if randnetw and model == BASELINE_MODEL:
        raise MissingDataError(
            f"{BASELINE_MODEL} has no permuted version; use --randnetw False "
            "(the analyses that need one use its trained features)."
        )
    what = "permuted (randnetw) activations" if randnetw else "activations"
    remedy = (
        GET_ACTIVATIONS
        if model in MODELS
        else "Write them in one of the two formats (see model-actv/README.md)."
    )
    others = few(sorted(path.name for path in folder.glob("[!.]*")))
    raise MissingDataError(
        f"{folder} holds no {what} of {model}: neither natsound_activations{suffix}.h5 nor "
        f"<sound id>{ending}{f', but {others}' if others else ''}. {remedy}"
    )


def _raise_unknown_model(paths: ProjectPaths, model: str) -> None:
    present = models_on_disk(paths)
    if model in MODELS:
        raise MissingDataError(
            f"No activations of {model}: the folder {paths.activations / model} is missing. "
            f"{GET_ACTIVATIONS} Present: {', '.join(present) or 'none'}."
        )
    close = difflib.get_close_matches(
        model.lower(), [name.lower() for name in MODELS], n=1, cutoff=0.6
    )
    remedy = f"A model of your own needs a folder {paths.activations / model} (see README)."
    if close or not present:
        raise unknown_name(
            "model", model, [*MODELS, *(name for name in present if name not in MODELS)], remedy
        )
    raise unknown_name(
        "model", model, present, f"{remedy} --list_models shows those of the paper, too."
    )


def _order(
    model: str,
    stored: Sequence[str],
    said: Sequence[str] | None,
    listed: tuple[list[str], str] | None,
    look: Callable[[], LayerOrder],
) -> LayerOrder:
    """The order from the first source that tells it (:mod:`aud_dnn.activations.layer_order`)."""
    if model in MODELS:
        return LayerOrder(MODELS[model].layer_names, "registry")
    if said is not None:
        return stated(said, LAYER_ORDER_FILE, stored, doubtful=False)
    return look() if listed is None else stated(*listed, stored)


def _open_h5_activations(
    path: Path,
    model: str,
    randnetw: bool,
    stimuli: Stimuli,
    layers: Sequence[str] | None,
    layer_order: Sequence[str] | None,
    subset_of: Sequence[str] | None,
) -> Activations:
    with open_h5(path) as file:
        stored = h5_layers(file)
        order = _order(
            model,
            stored,
            layer_order,
            _listed_layers(file),
            lambda: _observed_in_h5(file, path, stored),
        )
        keys = _choose_layers(
            model,
            layers,
            stored,
            order.names,
            lambda key: h5_dataset(file, key) is not None,
            h5_key,
            str(path),
        )
        rows, sounds_from = h5_rows(file, path, model, stimuli, subset_of)
        n_rows = len(stimuli)
        if subset_of is not None:
            n_rows = len(names_in_h5(file, SOUND_IDS_KEY) or subset_of)
        types = {}
        for layer, key in keys.items():
            dataset = h5_dataset(file, key)
            if dataset is None:
                raise InputError(
                    f"{path}: layer {layer} is not a dataset in the file. Extract these "
                    "activations again."
                )
            if problem := layer_problem(dataset.shape, dataset.dtype, n_rows):
                raise InputError(f"{path}: layer {layer} (dataset {key!r}) {problem}")
            types[layer] = dataset.dtype
    remarks = [Remark(_ROWS_ASSUMED.what, path.name)] if sounds_from == ASSUMED else []
    return _H5Activations(
        path,
        rows,
        model,
        randnetw,
        keys,
        stimuli,
        order,
        sounds_from,
        [*remarks, *type_remarks(types)],
    )


def h5_layers(file: h5py.File) -> list[str]:
    """Paths of the datasets of an HDF5 file that are layers, in the order that HDF5 lists them."""
    return [name for name in h5_dataset_names(file) if name not in (*_LAYER_LISTS, SOUND_IDS_KEY)]


def _observed_in_h5(file: h5py.File, path: Path, stored: Sequence[str]) -> LayerOrder:
    names, tracked = in_creation_order(file, stored)
    return observed(names, f"order of creation in {path.name}" if tracked else None)


def _listed_layers(file: h5py.File) -> tuple[list[str], str] | None:
    """The list of layers in the file, and where it is; None where there is none."""
    found = {key: names for key in _LAYER_LISTS if (names := names_in_h5(file, key)) is not None}
    if len(set(map(tuple, found.values()))) > 1:
        raise InputError(
            f"{file.filename}: {' and '.join(found)} contradict each other. Remove one of them."
        )
    return next(
        ((names, f"{key} of {Path(file.filename).name}") for key, names in found.items()), None
    )


def _choose_layers(
    model: str,
    layers: Sequence[str] | None,
    stored: Sequence[str],
    listed: Sequence[str],
    holds: Callable[[str], bool],
    key_of: Callable[[str, str], str],
    where: str,
) -> dict[str, str]:
    """Stored key of each layer asked for, checked against what the file holds.

    A layer that is not stored under its published key may be stored under its own name (a model
    that was extracted anew).
    """
    keys = {}
    for layer in listed if layers is None else layers:
        key = key_of(model, layer)
        if not holds(key) and key != layer and holds(layer):
            key = layer
        if not holds(key):
            if layer in listed:
                raise InputError(
                    f"{where} lacks layer {layer} of {model} (stored key {key!r}); it holds "
                    f"{few(stored, 8)}. Get or extract these activations again, or correct the "
                    "list of layers."
                )
            raise unknown_name(
                f"layer of {model}",
                layer,
                [*listed, *(name for name in stored if name not in listed)],
            )
        keys[layer] = key
    if not keys:
        raise InputError(f"{where} holds no layers.")
    return keys

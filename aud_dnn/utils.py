"""The one door to data on disk: stimuli, targets, activations. What comes out has been checked.

Rows are sounds, always in stimulus order (the order of ``neural_stim_meta.npy``), matched by sound id. The formats are those
published with Tuckute et al. (2023); see ``docs/data.md``.
"""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aud_dnn.errors import InputError, MissingDataError, unknown_name
from aud_dnn.files import (
    h5_dataset,
    h5_dataset_names,
    mat_strings,
    open_h5,
    read_mat,
    read_npy,
    require_file,
)
from aud_dnn.paths import ProjectPaths
from aud_dnn.pickles.safe_pickle import load_pickle
from aud_dnn.resources import BASELINE_MODEL, COMPONENTS, MODELS, TARGETS, h5_key, pickle_key
from aud_dnn.splits import N_SOUNDS

if TYPE_CHECKING:
    import h5py
    import pandas as pd

GET_DATA = "`python setup_utils/download_files.py --get_data True` brings it."
GET_ACTIVATIONS = "`python setup_utils/download_files.py --get_model_actv True` brings the published activations."
N_REPETITIONS = 3
SOUND_IDS_KEY = "sound_ids"
LAYER_LIST_KEY = "layer_list"


def few(names: Sequence[Any], count: int = 3) -> str:
    """The first few of ``names``, for messages."""
    shown = ", ".join(str(name) for name in names[:count])
    return shown + (f", … ({len(names)} in all)" if len(names) > count else "")


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


# --- stimuli -----------------------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Stimuli:
    """The sounds, in the order of the neural data.

    Attributes
    ----------
    ids : tuple of str
        Sound ids: file names without ``.wav``.
    categories : tuple of str
        Sound category of each sound (keys of :data:`aud_dnn.resources.SOUND_CATEGORIES`).
    """

    ids: tuple[str, ...]
    categories: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)


def load_stimuli(paths: ProjectPaths) -> Stimuli:
    """Read the stimulus order and categories from ``data/neural/NH2015/neural_stim_meta.npy``.

    Fields are taken by name (``filename``, ``cat_assignment``) where there is one, else by position (0, 4).

    Raises
    ------
    InputError
        The file is missing or damaged, or its sound ids are not 165 different ones.
    """
    path = require_file(paths.neural("NH2015") / "neural_stim_meta.npy", GET_DATA)
    records = read_npy(path)
    if records.dtype.names is None or len(records.dtype.names) < 5 or records.ndim != 1:
        raise InputError(f"{path} must be a structured array with at least 5 fields, one record per sound; "
                         f"found {records.dtype} of shape {records.shape}. {GET_DATA}")
    fields = records.dtype.names
    filenames = records["filename" if "filename" in fields else fields[0]]
    categories = records["cat_assignment" if "cat_assignment" in fields else fields[4]]
    ids = tuple(_text(name).removesuffix(".wav") for name in filenames)
    if len(ids) != N_SOUNDS or len(set(ids)) != N_SOUNDS:
        raise InputError(f"{path} must name {N_SOUNDS} different sounds; it has {len(ids)} records and {len(set(ids))} "
                         f"different names. {GET_DATA}")
    return Stimuli(ids, tuple(_text(category) for category in categories))


def rows_in_order(ids: Sequence[str], wanted: Sequence[str], where: str) -> list[int]:
    """Row numbers that bring ``ids`` into the order of ``wanted``.

    Raises
    ------
    InputError
        A wanted sound is missing, or an id occurs twice or is not wanted.
    """
    row_of: dict[str, int] = {}
    repeated = []
    for row, sound in enumerate(ids):
        if sound in row_of:
            repeated.append(sound)
        row_of[sound] = row
    if repeated:
        raise InputError(f"{where}: {len(repeated)} sound(s) occur more than once: {few(repeated)}. "
                         "Each sound must be there exactly once.")
    missing = [sound for sound in wanted if sound not in row_of]
    extra = sorted(set(row_of) - set(wanted))
    if missing:
        hint = f" Not known as a stimulus: {few(extra)}." if extra else ""
        raise InputError(f"{where}: {len(missing)} of {len(wanted)} sounds are missing: {few(missing)}.{hint}")
    if extra:
        raise InputError(f"{where}: {len(extra)} sound(s) are not among the {len(wanted)} stimuli: {few(extra)}. "
                         "Move them elsewhere.")
    return [row_of[sound] for sound in wanted]


# --- targets -----------------------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Target:
    """Responses to be predicted.

    Attributes
    ----------
    name : str
        ``NH2015``, ``B2021`` or ``NH2015comp``.
    responses : float64 array of shape (n_sounds, n_voxels, n_repetitions)
        Voxel responses per scan repetition; the components of ``NH2015comp`` have one "repetition".
    ids : array of shape (n_voxels,)
        Voxel or component ids.
    metadata : DataFrame
        One row per voxel, in the same order (``df_roi_meta``).
    stimuli : Stimuli
    """

    name: str
    responses: np.ndarray
    ids: np.ndarray
    metadata: pd.DataFrame
    stimuli: Stimuli

    @property
    def n_voxels(self) -> int:
        return self.responses.shape[1]

    @property
    def has_repetitions(self) -> bool:
        return self.responses.shape[2] > 1


def load_target(paths: ProjectPaths, name: str, stimuli: Stimuli | None = None) -> Target:
    """Read the responses and the metadata of one target (pipeline section 3).

    Parameters
    ----------
    paths : ProjectPaths
    name : str
        ``NH2015`` (voxels with three repetitions), ``B2021`` (its first 165 sounds) or ``NH2015comp``.
    stimuli : Stimuli, optional
        Read from ``paths`` if not given.

    Raises
    ------
    InputError
        Unknown target; a file missing or damaged; sounds that do not match; NaN or inf; metadata in another order.
    """
    if name not in TARGETS:
        raise unknown_name("target", name, TARGETS)
    stimuli = stimuli or load_stimuli(paths)
    folder = paths.neural(name)
    metadata = _read_metadata(folder)
    read = {"NH2015": _read_nh2015, "B2021": _read_b2021, "NH2015comp": _read_components}[name]
    responses, ids = read(folder, stimuli)
    _check_metadata_order(folder, metadata, ids)
    _check_responses(folder, responses, ids)
    return Target(name, responses, ids, metadata, stimuli)


def _read_metadata(folder: Path) -> pd.DataFrame:
    import pandas as pd

    path = folder / "df_roi_meta.pkl"
    if folder.name == "NH2015comp" and not path.exists():     # the components' public repository has no such table
        numbers = np.arange(len(COMPONENTS))
        return pd.DataFrame({"comp": list(COMPONENTS), "comp_idx": numbers, "voxel_id": numbers})
    table = load_pickle(require_file(path, GET_DATA), allow="tables")
    if not isinstance(table, pd.DataFrame) or "voxel_id" not in table.columns:
        raise InputError(f"{path} must be a pandas table with a column voxel_id. {GET_DATA}")
    table.columns = table.columns.map(str)
    if not table.columns.is_unique:
        repeated = table.columns[table.columns.duplicated()].tolist()
        raise InputError(f"{path} has more than one column {few(repeated)}. Rename or drop all but one.")
    return table.reset_index(drop=True)


def _read_repetitions(path: Path, n_sounds: int) -> np.ndarray:
    array = read_npy(require_file(path, GET_DATA))
    if array.ndim != 3 or array.shape[0] != n_sounds or array.shape[2] != N_REPETITIONS or array.dtype.kind != "f":
        raise InputError(f"{path} must hold floats of shape ({n_sounds} sounds, voxels, {N_REPETITIONS} repetitions); "
                         f"found {array.dtype} {array.shape}. {GET_DATA}")
    return array


def _read_nh2015(folder: Path, stimuli: Stimuli) -> tuple[np.ndarray, np.ndarray]:
    array = _read_repetitions(folder / "voxel_features_array.npy", len(stimuli))
    path = require_file(folder / "voxel_features_meta.npy", GET_DATA)
    meta = read_npy(path)
    if meta.dtype.names is None or not {"voxel_id", "n_reps"} <= set(meta.dtype.names) or meta.shape != array.shape[1:2]:
        raise InputError(f"{path} must be a structured array with the fields voxel_id and n_reps and one record for each of "
                         f"the {array.shape[1]} voxels; found {meta.dtype} of shape {meta.shape}. {GET_DATA}")
    keep = meta["n_reps"] == N_REPETITIONS
    return np.ascontiguousarray(array[:, keep], dtype=np.float64), meta["voxel_id"][keep]


def _read_b2021(folder: Path, stimuli: Stimuli) -> tuple[np.ndarray, np.ndarray]:
    path = require_file(folder / "stim_info_v4.mat", GET_DATA)
    info = read_mat(path, ("stim_info",))["stim_info"]
    try:
        names = mat_strings(info["stim_names"].ravel()[0], f"{path}: stim_names")
    except InputError:
        raise
    except (ValueError, IndexError, TypeError) as error:
        raise InputError(f"{path} must hold the struct stim_info with the field stim_names. {GET_DATA}") from error
    first = tuple(name.removesuffix(".wav") for name in names[:len(stimuli)])
    if first != stimuli.ids:
        different = [f"{i}: {a} / {b}" for i, (a, b) in enumerate(zip_longest(first, stimuli.ids)) if a != b]
        raise InputError(f"{path}: the first {len(stimuli)} sounds must be the NH2015 stimuli in the same order; "
                         f"different (position: here / NH2015): {few(different)}. {GET_DATA}")
    array = _read_repetitions(folder / "voxel_features_array.npy", len(names))
    path = require_file(folder / "voxel_features_meta.npy", GET_DATA)
    ids = read_npy(path)
    if ids.shape != array.shape[1:2] or ids.dtype.kind not in "iu":
        raise InputError(f"{path} must hold the ids of the {array.shape[1]} voxels as a plain array of integers; "
                         f"found {ids.dtype} of shape {ids.shape}. {GET_DATA}")
    return np.ascontiguousarray(array[:len(stimuli)], dtype=np.float64), ids


def _read_components(folder: Path, stimuli: Stimuli) -> tuple[np.ndarray, np.ndarray]:
    path = require_file(folder / "components.mat", GET_DATA)
    content = read_mat(path, ("R", "stim_names", "component_names"))
    names = mat_strings(content["stim_names"], f"{path}: stim_names")
    components = mat_strings(content["component_names"], f"{path}: component_names")
    responses = content["R"]
    if responses.shape != (len(names), len(components)) or responses.dtype.kind != "f":
        raise InputError(f"{path}: R must hold floats of shape ({len(names)} sounds, {len(components)} components); "
                         f"found {responses.dtype} {responses.shape}. {GET_DATA}")
    if tuple(components) != COMPONENTS:
        raise InputError(f"{path}: the components must be {', '.join(COMPONENTS)}; found {', '.join(components)}. "
                         f"{GET_DATA}")
    rows = rows_in_order([name.removesuffix(".wav") for name in names], stimuli.ids, str(path))
    return np.ascontiguousarray(responses[rows, :, None], dtype=np.float64), np.arange(len(components))


def _check_metadata_order(folder: Path, metadata: pd.DataFrame, ids: np.ndarray) -> None:
    listed = metadata["voxel_id"].to_numpy()
    if listed.shape != ids.shape or not np.array_equal(listed, ids):
        first = next((i for i, (a, b) in enumerate(zip(listed, ids)) if a != b), min(len(listed), len(ids)))
        raise InputError(f"{folder / 'df_roi_meta.pkl'} must list the {len(ids)} voxels (or components) that are analysed "
                         f"in the order of the data; it lists {len(listed)}, and they differ from row {first} on. "
                         f"{GET_DATA}")


def _check_responses(folder: Path, responses: np.ndarray, ids: np.ndarray) -> None:
    has_repetitions = responses.shape[2] > 1
    path = folder / ("voxel_features_array.npy" if has_repetitions else "components.mat")
    if not len(ids):
        raise InputError(f"{path}: no voxel has {N_REPETITIONS} repetitions (n_reps in voxel_features_meta.npy). {GET_DATA}")
    if len(set(ids.tolist())) != len(ids):
        raise InputError(f"{folder / 'voxel_features_meta.npy'}: voxel ids must be unique; {len(ids)} voxels have "
                         f"{len(set(ids.tolist()))} ids. {GET_DATA}")
    finite = np.isfinite(responses).all(axis=(0, 2))
    if not finite.all():
        what = "voxel(s) hold NaN or inf, voxel_id" if has_repetitions else "component(s) hold NaN or inf, number"
        raise InputError(f"{path}: {np.count_nonzero(~finite)} {what} {few(ids[~finite].tolist())}. "
                         f"Remove them from arrays and metadata, or get the data again. {GET_DATA}")


# --- activations -------------------------------------------------------------------------------------------------------

def models_on_disk(paths: ProjectPaths) -> list[str]:
    """Names of the models that have a folder of activations: those of the registry first, in its order."""
    found = {folder.name for name in ("model-actv", "model_actv") if (paths.root / name).is_dir()
             for folder in (paths.root / name).iterdir() if folder.is_dir() and not folder.name.startswith(".")}
    return [model for model in MODELS if model in found] + sorted(found - set(MODELS))


def activation_files(paths: ProjectPaths, model: str, *, randnetw: bool = False) -> list[Path]:
    """The files with the activations of a model: one HDF5 file, or one pickle per sound, by name; none if there are none.

    Raises
    ------
    InputError
        Both formats are there.
    """
    folder = paths.model_activations(model)
    suffix = "_randnetw" if randnetw else ""
    path, ending = folder / f"natsound_activations{suffix}.h5", f"_activations{suffix}.pkl"
    pickles = sorted(p for p in folder.iterdir() if p.name.endswith(ending) and not p.name.startswith(".")) \
        if folder.is_dir() else []
    if path.is_file() and pickles:
        raise InputError(f"{folder} holds both {path.name} and {len(pickles)} files *{ending}; keep one of the two formats.")
    return [path] if path.is_file() else pickles


class Activations(ABC):
    """The activations of one model in one condition.

    Made by :func:`open_activations`. ``layers`` are the layers asked for; :meth:`read` and :meth:`items` give arrays of
    shape (n_sounds, n_units), rows in stimulus order, in the floating-point type that they were stored in.
    """

    def __init__(self, model: str, randnetw: bool, keys: dict[str, str], stimuli: Stimuli) -> None:
        self.model = model
        self.randnetw = randnetw
        self.layers = tuple(keys)
        self._keys = keys
        self._stimuli = stimuli

    @property
    def stimulus_ids(self) -> tuple[str, ...]:
        """Sound ids of the rows."""
        return self._stimuli.ids

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
            raise InputError(f"{where}: layer {layer} holds NaN or inf for {len(bad)} sound(s): {few(bad)}. "
                             "Extract these activations again.")
        return array


class _H5Activations(Activations):
    def __init__(self, path: Path, model: str, randnetw: bool, keys: dict[str, str], stimuli: Stimuli,
                 rows: list[int] | None) -> None:
        super().__init__(model, randnetw, keys, stimuli)
        self._path = path
        self._rows = rows

    def read(self, layer: str) -> np.ndarray:
        with open_h5(self._path) as file:
            dataset = h5_dataset(file, self._keys[layer])
            if dataset is None:     # it was there when the file was opened first
                raise InputError(f"{self._path}: layer {layer} has vanished. Was the file replaced meanwhile?")
            array = dataset[()]
        if array.dtype.kind != "f":
            array = array.astype(np.float64)
        if self._rows is not None:
            array = array[self._rows]
        return self._checked(array, layer, str(self._path))


class _PickledActivations(Activations):
    def __init__(self, files: list[Path], model: str, randnetw: bool, keys: dict[str, str], stimuli: Stimuli) -> None:
        super().__init__(model, randnetw, keys, stimuli)
        self._files = files         # in stimulus order
        self._arrays: dict[str, np.ndarray] | None = None

    def read(self, layer: str) -> np.ndarray:
        if self._arrays is None:
            self._arrays = self._read_all()
        return self._arrays[layer]

    def _read_all(self) -> dict[str, np.ndarray]:
        """All layers asked for, in one pass over the files."""
        rows: dict[str, list[np.ndarray]] = {layer: [] for layer in self.layers}
        for path in self._files:
            sound = _sound_dict(path)
            for layer, row in rows.items():
                row.append(self._vector(path, sound, layer, len(row[0]) if row else None))
        return {layer: self._checked(np.stack(row), layer, str(self._files[0].parent)) for layer, row in rows.items()}

    def _vector(self, path: Path, sound: dict, layer: str, n_units: int | None) -> np.ndarray:
        key = self._keys[layer]
        if key not in sound:
            raise InputError(f"{path} lacks layer {layer} (stored key {key!r}), which {self._files[0].name} has. "
                             "Extract this sound again.")
        try:
            vector = np.asarray(sound[key])
        except ValueError as error:     # lists of unequal lengths
            raise InputError(f"{path}: layer {layer} must be a 1-D array of numbers ({error}).") from error
        if vector.ndim != 1 or vector.dtype.kind not in "fiu":
            raise InputError(f"{path}: layer {layer} must be a 1-D array of numbers; found {vector.dtype} of shape "
                             f"{vector.shape}. Collapse time and flatten before saving.")
        if n_units is not None and len(vector) != n_units:
            raise InputError(f"{path}: layer {layer} has {len(vector)} units, but {n_units} in {self._files[0].name}. "
                             "All sounds must have the same units; extract them again.")
        return vector if vector.dtype.kind == "f" else vector.astype(np.float64)


def _sound_dict(path: Path) -> dict:
    content = load_pickle(path, allow="arrays")
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise InputError(f"{path} must be a dict from layer key to a 1-D array; found {type(content).__name__}.")
    return content


def open_activations(paths: ProjectPaths, model: str, stimuli: Stimuli, *, randnetw: bool = False,
                     layers: Sequence[str] | None = None) -> Activations:
    """Open the activations of a model, of the registry or a user's own, in either format (pipeline section 4).

    Looks for ``model-actv/<model>/natsound_activations[_randnetw].h5``, else for one
    ``<sound id>_activations[_randnetw].pkl`` per sound. An HDF5 file may name its rows in a dataset ``sound_ids``; without
    one its rows must be in stimulus order, as in the published files.

    Parameters
    ----------
    paths : ProjectPaths
    model : str
        Folder name.
    stimuli : Stimuli
    randnetw : bool
        The network with permuted weights instead of the trained one.
    layers : sequence of str, optional
        Names of the registry, of the file, or stored keys. All layers if not given: those of the registry, in its order;
        for a user's own model those of ``layer_list`` (HDF5) or the keys of the first sound (pickles).

    Raises
    ------
    InputError
        Unknown model or layer; a file missing; wrong sounds or numbers of rows. Values are checked as they are read.
    """
    suffix = "_randnetw" if randnetw else ""
    if Path(model).name != model or model in ("", ".."):
        raise InputError(f"{model!r} is not the name of a model: give the name of its folder below {paths.activations}, "
                         "without a path.")
    folder = paths.model_activations(model)
    if not folder.is_dir():
        _raise_unknown_model(paths, model)
    ending = f"_activations{suffix}.pkl"
    found = activation_files(paths, model, randnetw=randnetw)
    if found and found[0].suffix == ".h5":
        return _open_h5_activations(found[0], model, randnetw, stimuli, layers)
    if found:
        ids = [path.name.removesuffix(ending) for path in found]
        files = [found[row] for row in rows_in_order(ids, stimuli.ids, f"{folder}/*{ending}")]
        stored = list(_sound_dict(files[0]))
        keys = _choose_layers(model, layers, stored, stored, stored.__contains__, pickle_key, str(files[0]))
        return _PickledActivations(files, model, randnetw, keys, stimuli)
    if randnetw and model == BASELINE_MODEL:
        raise MissingDataError(f"{BASELINE_MODEL} has no permuted version; use --randnetw False "
                               "(the analyses that need one use its trained features).")
    what = "permuted (randnetw) activations" if randnetw else "activations"
    remedy = GET_ACTIVATIONS if model in MODELS else "Write them in one of the two formats (see model-actv/README.md)."
    raise MissingDataError(f"{folder} holds no {what} of {model}: neither natsound_activations{suffix}.h5 nor "
                           f"<sound id>{ending}. {remedy}")


def _raise_unknown_model(paths: ProjectPaths, model: str) -> None:
    present = models_on_disk(paths)
    if model in MODELS:
        raise MissingDataError(f"No activations of {model}: the folder {paths.activations / model} is missing. "
                               f"{GET_ACTIVATIONS} Present: {', '.join(present) or 'none'}.")
    close = difflib.get_close_matches(model.lower(), [name.lower() for name in MODELS], n=1, cutoff=0.6)
    remedy = f"A model of your own needs a folder {paths.activations / model} (see README)."
    if close or not present:
        raise unknown_name("model", model, [*MODELS, *(name for name in present if name not in MODELS)], remedy)
    raise unknown_name("model", model, present, f"{remedy} --list_models shows those of the paper, too.")


def _open_h5_activations(path: Path, model: str, randnetw: bool, stimuli: Stimuli,
                         layers: Sequence[str] | None) -> Activations:
    with open_h5(path) as file:
        stored = [name for name in h5_dataset_names(file) if name not in (LAYER_LIST_KEY, SOUND_IDS_KEY)]
        listed = _h5_names(file, LAYER_LIST_KEY)
        keys = _choose_layers(model, layers, stored, stored if listed is None else listed,
                              lambda key: h5_dataset(file, key) is not None, h5_key, str(path))
        ids = _h5_names(file, SOUND_IDS_KEY)
        rows = None if ids is None else rows_in_order(ids, stimuli.ids, f"{path} ({SOUND_IDS_KEY})")
        for layer, key in keys.items():
            dataset = h5_dataset(file, key)
            if dataset is None or dataset.ndim != 2 or dataset.shape[0] != len(stimuli) or dataset.dtype.kind not in "fiu":
                found = "no dataset" if dataset is None else f"{dataset.dtype} of shape {dataset.shape}"
                raise InputError(f"{path}: layer {layer} (dataset {key!r}) must hold numbers of shape "
                                 f"({len(stimuli)} sounds, units); found {found}. Extract these activations again.")
    return _H5Activations(path, model, randnetw, keys, stimuli, rows)


def _h5_names(file: h5py.File, key: str) -> list[str] | None:
    """The names in a dataset of strings; None where there is no such dataset."""
    names = h5_dataset(file, key)
    if names is None:
        return None
    if names.ndim != 1 or names.dtype.kind not in "SO":
        raise InputError(f"{file.filename}: {key} must be a list of names; found {names.dtype} of shape {names.shape}. "
                         "Write it as a 1-D dataset of strings.")
    return [_text(name) for name in names[()]]


def _choose_layers(model: str, layers: Sequence[str] | None, stored: Sequence[str], listed: Sequence[str],
                   holds: Callable[[str], bool], key_of: Callable[[str, str], str], where: str) -> dict[str, str]:
    """Stored key of each layer asked for, checked against what the file holds.

    A layer that is not stored under its published key may be stored under its own name (a model that was extracted anew).
    """
    registered = MODELS.get(model)
    known = list(registered.layer_names if registered else listed)
    keys = {}
    for layer in known if layers is None else layers:
        key = key_of(model, layer)
        if not holds(key) and key != layer and holds(layer):
            key = layer
        if not holds(key):
            if layer in known:
                raise InputError(f"{where} lacks layer {layer} of {model} (stored key {key!r}); it holds {few(stored, 8)}. "
                                 "Get or extract these activations again.")
            raise unknown_name(f"layer of {model}", layer, [*known, *(name for name in stored if name not in known)])
        keys[layer] = key
    if not keys:
        raise InputError(f"{where} holds no layers.")
    return keys

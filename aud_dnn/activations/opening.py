"""Open the activations of a model, of the paper or a user's own, in either format (pipeline section
4).

What comes out has been checked: rows are sounds in stimulus order, matched by sound id where the
files name the sounds; columns are units; numbers are finite. What is odd but no error is in
:attr:`Activations.remarks`, which every step shows.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from aud_dnn.activations.arrays import Activations, H5Activations, PickledActivations, read_sound
from aud_dnn.activations.files import GET_ACTIVATIONS, models_on_disk, stored_files
from aud_dnn.activations.layer_order import (
    LAYER_ORDER_FILE,
    LayerOrder,
    in_creation_order,
    observed,
    read_layer_order,
    stated,
)
from aud_dnn.activations.layouts import layer_problem, type_remarks
from aud_dnn.activations.names import h5_name, pickle_ending
from aud_dnn.activations.row_order import (
    ASSUMED,
    LAYER_LIST_KEY,
    SOUND_IDS_KEY,
    h5_rows,
    names_in_h5,
)
from aud_dnn.conditions import Condition
from aud_dnn.errors import (
    InputError,
    MissingDataError,
    few,
    unknown_name,
)
from aud_dnn.io.files import h5_dataset, open_h5
from aud_dnn.io.h5_structure import h5_dataset_names
from aud_dnn.models.registry import MODELS, h5_key, pickle_key
from aud_dnn.paths import ProjectPaths
from aud_dnn.remarks import Remark
from aud_dnn.targets.stimuli import Stimuli, rows_in_order

if TYPE_CHECKING:
    import h5py

_LAYER_LISTS = (LAYER_LIST_KEY, "layer_order")
_ROWS_ASSUMED = Remark(
    "rows are taken to be in stimulus order: the file does not name its sounds (sound_ids), so "
    "nothing can check it. Write sound_ids, or confirm the order once with --assume_stimulus_order "
    "True",
    "",
)


# --- what is there ------------------------------------------------------------------------------


# --- what is opened -----------------------------------------------------------------------------


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
    if Path(model).name != model or model in ("", ".."):
        raise InputError(
            f"{model!r} is not the name of a model: give the name of its folder below "
            f"{paths.activations}, without a path."
        )
    folder = paths.model_activations(model)
    if not folder.is_dir():
        _raise_unknown_model(paths, model)
    ending = pickle_ending(randnetw)
    found = stored_files(paths, model, randnetw)
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
        return PickledActivations(
            files, model, randnetw, keys, stimuli, order, "names of the files", type_remarks(types)
        )
    if not Condition.of(randnetw).exists_for(model):
        raise MissingDataError(
            f"{model} has no permuted version; use --randnetw False "
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
        f"{folder} holds no {what} of {model}: neither {h5_name(randnetw)} nor "
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
    return H5Activations(
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
    that was extracted again).
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

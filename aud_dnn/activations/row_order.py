"""Which row of an HDF5 file is which sound.

Of a file that does not say so, a user may confirm the order, once.

The confirmation (``--assume_stimulus_order True`` of the scripts) lies beside the activations, in
``stimulus_order.json``. It holds the digest of one dataset of the file that it speaks of, so it
ends when the file is replaced by another.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from aud_dnn.errors import InputError, describe_os_error
from aud_dnn.io.atomic import atomic_file
from aud_dnn.io.digests import array_digest
from aud_dnn.io.files import h5_dataset
from aud_dnn.io.h5_structure import h5_array
from aud_dnn.models.registry import MODELS
from aud_dnn.targets.stimuli import Stimuli, as_text, rows_in_order

if TYPE_CHECKING:
    import h5py

SOUND_IDS_KEY = "sound_ids"
LAYER_LIST_KEY = "layer_list"
ASSUMED = "assumed"
"""How the sound of each row is known where nothing says it (``Activations.sounds_from``)."""
CONFIRMATION_FILE = "stimulus_order.json"
_LARGEST_FILE = 1 << 16  # bytes


def confirm_rows(path: Path, file: h5py.File, layers: Sequence[str]) -> None:
    """Keep the statement that the rows of this very file are in stimulus order.

    Raises
    ------
    InputError
        No layer tells the sounds apart; or the folder cannot be written.
    """
    pinned = _pin(file, layers)
    if pinned is None:
        raise InputError(
            f"{path} holds no layer that varies over the sounds, so there is no order to confirm."
        )
    record = path.with_name(CONFIRMATION_FILE)
    content = {**_read(record), path.name: {"dataset": pinned[0], "sha256": pinned[1]}}
    try:
        with atomic_file(record) as staging:
            staging.write_text(
                json.dumps(
                    {"rows are in stimulus order, by --assume_stimulus_order": content}, indent=1
                ),
                encoding="utf-8",
            )
    except OSError as error:
        raise InputError(
            f"{describe_os_error(error, 'written', record)} It keeps the statement for later "
            "steps; you can also write the dataset sound_ids into the activations."
        ) from error


def rows_confirmed(path: Path, file: h5py.File) -> bool:
    """Whether somebody has confirmed the rows of this very file."""
    entry = _read(path.with_name(CONFIRMATION_FILE)).get(path.name)
    if not isinstance(entry, dict) or not isinstance(entry.get("dataset"), str):
        return False
    dataset = h5_dataset(file, entry["dataset"])
    return (
        dataset is not None
        and _may_pin(dataset)
        and array_digest(h5_array(dataset)) == entry.get("sha256")
    )


def _may_pin(dataset: h5py.Dataset) -> bool:
    return dataset.ndim == 2 and dataset.dtype.kind in "fiu" and dataset.size > 0


def _pin(file: h5py.File, layers: Sequence[str]) -> tuple[str, str] | None:
    """The smallest layer whose rows tell the sounds apart, and its digest.

    No other order of rows has it.
    """
    datasets = {
        name: dataset
        for name in layers
        if (dataset := h5_dataset(file, name)) is not None and _may_pin(dataset)
    }
    for name in sorted(datasets, key=lambda name: datasets[name].size):
        array = h5_array(datasets[name])
        if (array != array[:1]).any():
            return name, array_digest(array)
    return None


def _read(path: Path) -> dict[str, object]:
    try:
        if path.stat().st_size > _LARGEST_FILE:
            return {}
        (content,) = json.loads(path.read_text(encoding="utf-8")).values()
        return content if isinstance(content, dict) else {}
    except (OSError, ValueError, AttributeError, RecursionError):  # lost or damaged: not confirmed
        return {}


# --- which rows are which sounds ----------------------------------------------------------------


def h5_rows(
    file: h5py.File, path: Path, model: str, stimuli: Stimuli, subset_of: Sequence[str] | None
) -> tuple[list[int] | None, str]:
    """Rows in stimulus order (None: they are), and how that is known."""
    ids = names_in_h5(file, SOUND_IDS_KEY)
    if ids is not None:
        where = f"{path} ({SOUND_IDS_KEY})"
        return rows_in_order(
            ids, stimuli.ids, where, others_allowed=subset_of is not None
        ), "sound_ids"
    rows = None
    if subset_of is not None:
        if not subset_of:
            raise InputError(
                f"{path} does not name its sounds, so they cannot be matched with those of the "
                f"target. Write their ids into a dataset {SOUND_IDS_KEY}, one per row."
            )
        where = f"{path} (taken to be in stimulus order; it has no {SOUND_IDS_KEY})"
        rows = rows_in_order(subset_of, stimuli.ids, where, others_allowed=True)
    if (
        model in MODELS
        and MODELS[model].storage == "h5"
        and h5_dataset(file, LAYER_LIST_KEY) is not None
    ):
        return rows, "published layout"
    return rows, "confirmed with --assume_stimulus_order" if rows_confirmed(path, file) else ASSUMED


def names_in_h5(file: h5py.File, key: str) -> list[str] | None:
    """The names in a dataset of strings, or in an attribute of the file.

    None where there is neither.
    """
    dataset = h5_dataset(file, key)
    if dataset is None and key not in file.attrs:
        return None
    names = dataset if dataset is not None else np.asarray(file.attrs[key])
    if names.ndim != 1 or names.dtype.kind not in "SOU":
        raise InputError(
            f"{file.filename}: {key} must be a list of names; found {names.dtype} of shape "
            f"{names.shape}. Write it as a 1-D dataset of strings."
        )
    return [as_text(name) for name in (names if dataset is None else h5_array(dataset))]

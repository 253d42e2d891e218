"""Features that are handed in from Python: checked, rows in the order of a target's sounds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from aud_dnn.errors import InputError, few
from aud_dnn.targets.stimuli import as_text, rows_in_order

if TYPE_CHECKING:
    from aud_dnn.targets.loading import Target

Features = Any
"""An array of shape (n_sounds, n_units), a mapping from layer to such arrays, or Activations."""

ONLY_LAYER = "features"
"""Name of the layer where a single array is given."""


def layers_in_order(
    features: Features, target: Target, ids: Sequence[str] | None
) -> Iterator[tuple[str, np.ndarray]]:
    """Name and array of every layer: finite floats, C-contiguous, rows in the target's order.

    All arrays of a mapping are checked before the first is given; layers of Activations are read
    one at a time.

    Parameters
    ----------
    features : array, mapping or Activations
    target : Target
    ids : sequence of str of length n_sounds, optional
        Sounds of the rows. Those that are not the target's are left out.

    Raises
    ------
    InputError
        No layers; not numbers of shape (sounds, units); another number of rows; sounds missing or
        repeated; NaN or inf.
    """
    from aud_dnn.activations.arrays import Activations

    wanted = target.stimuli.ids
    if isinstance(features, Activations):
        if ids is not None:
            raise InputError("Activations know the sounds of their rows; leave ids out.")
        rows = _rows(features.stimulus_ids, wanted)
        for name, values in features.items():
            yield name, np.ascontiguousarray(values[rows])
        return
    given = features if isinstance(features, Mapping) else {ONLY_LAYER: features}
    if not given:
        raise InputError("There is no layer: features is an empty mapping.")
    if len({str(name) for name in given}) < len(given):
        raise InputError("Two layers have the same name as text. Name them differently.")
    layers = {str(name): _numbers(values, str(name)) for name, values in given.items()}
    rows = None if ids is None else _rows(ids, wanted)
    for name, array in layers.items():
        _check_rows(array, name, target, ids, rows)
    for name, array in layers.items():
        array = array if rows is None else array[rows]
        if array.dtype.kind != "f" or array.dtype.itemsize > 8:
            array = array.astype(np.float64)
        yield name, np.ascontiguousarray(array)  # sums depend on the layout in the last bits


def _numbers(values: Any, layer: str) -> np.ndarray:
    if np.ma.is_masked(values):
        raise InputError(f"features of layer {layer} have masked entries. Fill them in.")
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        raise InputError(
            f"features of layer {layer} cannot be made an array ({error}). Every sound needs the "
            "same number of units."
        ) from error
    if array.dtype.kind not in "fiu" or array.ndim != 2 or array.shape[1] == 0:
        raise InputError(
            f"features of layer {layer} must be real numbers of shape (sounds, units); found "
            f"{array.dtype} of shape {array.shape}. Average over time, then flatten what is left."
        )
    return array


def _rows(ids: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Rows that bring ``ids`` into the order of ``wanted``; other sounds are left out."""
    if isinstance(ids, (str, bytes)) or np.ndim(ids) != 1:
        raise InputError("ids must be a list of sound ids, one for each row of the features.")
    known = set(wanted)
    names = [as_text(sound) for sound in ids]
    names = [name if name in known else name.removesuffix(".wav") for name in names]
    kept = [row for row, name in enumerate(names) if name in known]
    if not kept:  # with all of them the message can say what they look like
        return rows_in_order(names, wanted, "ids")
    rows = rows_in_order([names[row] for row in kept], wanted, "ids")
    return [kept[row] for row in rows]


def _check_rows(
    array: np.ndarray,
    layer: str,
    target: Target,
    ids: Sequence[str] | None,
    rows: Sequence[int] | None,
) -> None:
    sounds = target.stimuli.ids
    if ids is None and len(array) != len(sounds):
        raise InputError(
            f"features of layer {layer} have {len(array)} rows, but {target.name} has "
            f"{len(sounds)} sounds. Say which sounds the rows are: ids=[…]."
        )
    if ids is not None and len(ids) != len(array):
        raise InputError(
            f"There are {len(ids)} ids, but features of layer {layer} have {len(array)} rows."
        )
    finite = np.isfinite(array).all(axis=1)
    finite = finite if rows is None else finite[list(rows)]
    if not finite.all():
        bad = [sound for sound, good in zip(sounds, finite) if not good]
        raise InputError(
            f"features of layer {layer} hold NaN or inf for {len(bad)} sound(s): {few(bad)}."
        )

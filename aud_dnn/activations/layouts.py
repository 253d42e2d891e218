"""Shapes and types of activations: what is wrong with one, and how to fix it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from aud_dnn.errors import few
from aud_dnn.remarks import Remark


def layer_problem(shape: tuple[int, ...], dtype: np.dtype, n_sounds: int) -> str | None:
    """What is wrong with a layer that should be numbers of shape (n_sounds, units), and how to fix
    it.
    """
    if len(shape) == 2 and shape[0] == n_sounds and dtype.kind in "fiu":
        return None
    advice = _type_advice(dtype) or _shape_advice(shape, n_sounds)
    return (
        f"must hold numbers of shape ({n_sounds} sounds, units); found {dtype} of shape {shape}. "
        f"{advice}"
    )


def _shape_advice(shape: tuple[int, ...], n_sounds: int) -> str:
    if n_sounds not in shape:
        return f"All {n_sounds} sounds must be there. Extract these activations again."
    if len(shape) == 1:
        return "One value per sound is one unit: store array[:, None]."
    axis = shape.index(n_sounds)
    if len(shape) == 2:
        return "It is transposed: store array.T."
    forward = (
        f"Bring the sounds to the front (np.moveaxis(array, {axis}, 0)), then" if axis else "Please"
    )
    others = [length for place, length in enumerate(shape) if place != axis]
    if sum(length > 1 for length in others) < 2:
        return f"{forward} drop the axes of length 1: .reshape({n_sounds}, -1)."
    return (
        f"{forward} average over time, for (sounds, time, units) .mean(axis=1), and flatten what "
        f"remains: .reshape({n_sounds}, -1)."
    )


def vector_problem(vector: np.ndarray) -> str | None:
    """What is wrong with one sound's units, which should be a 1-D array of numbers, and how to fix
    it.
    """
    if vector.ndim == 1 and vector.dtype.kind in "fiu":
        return None
    advice = _type_advice(vector.dtype)
    if not advice and vector.ndim == 0:
        advice = "A single unit is an array of length 1: np.atleast_1d."
    elif not advice and sum(length > 1 for length in vector.shape) < 2:
        advice = "Drop the axes of length 1, that is, flatten it: .ravel()."
    elif not advice:
        advice = (
            "Average over time, for (time, units) .mean(axis=0), and flatten what remains: "
            ".ravel()."
        )
    return f"must be a 1-D array of numbers; found {vector.dtype} of shape {vector.shape}. {advice}"


def _type_advice(dtype: np.dtype) -> str:
    if dtype.kind == "V" and dtype.itemsize == 2:
        return (
            "Two bytes that are no NumPy number are perhaps bfloat16: convert before storing "
            "(tensor.float().numpy())."
        )
    return {
        "c": "Complex numbers must become real ones: store the magnitude (np.abs).",
        "b": "Store truth values as numbers: array.astype('float32').",
        "O": "Store one plain array of floats, not an array of objects.",
    }.get(dtype.kind, "" if dtype.kind in "fiu" else "Store float32 numbers.")


def type_remarks(types: Mapping[str, np.dtype]) -> list[Remark]:
    """Remarks on layers that are stored in a type that may have cost something."""
    half = [layer for layer, dtype in types.items() if dtype.kind == "f" and dtype.itemsize < 4]
    whole = [layer for layer, dtype in types.items() if dtype.kind in "iu"]
    remarks = []
    if half:
        remarks.append(
            Remark(
                "layers are stored in 16 bits (3 digits; steps of 6e-8 below 6e-5, nothing above "
                "65504). On the demo data this moves median R2 by < 0.0001 and single voxels by up "
                "to 0.02; small activations lose more. Store float32",
                few(half),
            )
        )
    if whole:
        remarks.append(
            Remark(
                "layers hold whole numbers, taken as they are; if they were quantised or are "
                "indices, store the activations as float32",
                f"{few(whole)} ({', '.join(sorted({str(types[layer]) for layer in whole}))})",
            )
        )
    return remarks

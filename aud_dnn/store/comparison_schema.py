"""What the file of one target and region must hold.

Checked while it is read, before anything is made of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from aud_dnn.conditions import CONDITIONS
from aud_dnn.errors import DamagedFileError, InputError
from aud_dnn.io.files import h5_dataset, open_h5
from aud_dnn.io.h5_structure import h5_array
from aud_dnn.methods.comparing.sides import DIMENSIONALITY_VARIANTS

SCRIPT = "python aud_dnn/analyze/rsa_matrix_calculation_all_models.py"
"""The command that makes everything here."""

_LONGEST_NAME = 10_000
_KINDS = {"number": "f", "count": "iu", "flag": "iub", "text": "O", "label": "U"}


@dataclass(frozen=True)
class Variable:
    """Dimensions, and which kind of values.

    Number, count, flag, text (of any length), or label (NumPy's text).
    """

    dims: tuple[str, ...]
    kind: str = "number"
    optional: bool = False


def read_variables(path: Path, wanted: Mapping[str, Variable]) -> xr.Dataset:
    """The variables of an RSA file, with the attributes of the file and ``long_name`` of the
    variables.

    Only hard links are followed, and nothing is read that is larger than what is stored for it may
    become.

    Raises
    ------
    DamagedFileError
        A variable is missing, or of another shape, size or kind; or they do not belong together.
    InputError
        The file cannot be read.
    """

    def require(good: bool, what: str) -> None:
        if not good:
            raise DamagedFileError(f"{path} is not an RSA result: {what}.")

    sizes: dict[str, int] = {}
    variables: dict[str, tuple[tuple[str, ...], np.ndarray, dict[str, str]]] = {}
    with open_h5(path) as file:
        # netCDF has numbers as arrays of one
        attributes = {
            name: value[0] if isinstance(value, np.ndarray) and value.shape == (1,) else value
            for name, value in file.attrs.items()
            if not name.startswith("_")
        }
        for name, value in attributes.items():
            require(
                isinstance(value, str | np.integer),
                f"the attribute {name!r} must be a text or a whole number",
            )
        for name, variable in wanted.items():
            stored = h5_dataset(file, name)
            if stored is None and variable.optional:
                continue
            require(stored is not None, f"it lacks {name}")
            require(
                stored.shape is not None
                and stored.ndim == len(variable.dims)
                and all(
                    sizes.setdefault(dim, length) == length
                    for dim, length in zip(variable.dims, stored.shape)
                ),
                f"{name} must have the dimensions {', '.join(variable.dims)}, as long as those of "
                f"other variables; it has the shape {stored.shape}",
            )
            require(
                stored.dtype.kind in _KINDS[variable.kind],
                f"{name} must hold a {variable.kind} each, not {stored.dtype}",
            )
            meaning = stored.attrs.get("long_name")
            variables[name] = (
                variable.dims,
                _decoded(h5_array(stored), variable.kind, name, require),
                {"long_name": meaning} if isinstance(meaning, str) else {},
            )
    _require_consistent({name: values for name, (_, values, _) in variables.items()}, require)
    dataset = xr.Dataset(variables, attrs=attributes)
    return dataset.set_coords([name for name in variables if name in sizes])


def _decoded(values: np.ndarray, kind: str, name: str, require: Any) -> np.ndarray:
    if kind == "text":
        texts = [value.decode() for value in values.flat]
        require(
            max(map(len, texts), default=0) <= _LONGEST_NAME,
            f"{name} holds a text that is far too long",
        )
        return np.array(texts, dtype=str).reshape(values.shape)
    if kind == "flag":
        require(bool(np.isin(values, (0, 1)).all()), f"{name} must hold 0 and 1")
        return values.astype(bool)
    return values


def _require_consistent(values: Mapping[str, np.ndarray], require: Any) -> None:
    for name, wanted in (
        ("condition", CONDITIONS),
        ("variant", DIMENSIONALITY_VARIANTS),
        ("split", range(len(values["split"]))),
        ("layer", range(len(values["layer"]))),
    ):
        require(
            values[name].tolist() == list(wanted), f"{name} must be {', '.join(map(str, wanted))}"
        )
    for name in ("model", "participant", "sound"):
        require(
            len(set(values[name].tolist())) == len(values[name]),
            f"each {name} must have a name of its own",
        )
    n_sounds, n_pairs = len(values["sound"]), values["all_data_corr_mat_fmri"].shape[1]
    require(
        n_pairs == n_sounds * (n_sounds - 1) // 2,
        f"{n_sounds} sounds have {n_sounds * (n_sounds - 1) // 2} pairs, not {n_pairs}",
    )
    n_layers = (values["model_layers"] != "").sum(axis=-1)
    require(
        bool(
            (np.cumprod(values["model_layers"] != "", axis=-1).sum(axis=-1) == n_layers).all()
            and ((n_layers > 0) == values["available"]).all()
        ),
        "the models that are available must have layers",
    )
    index = values["best_layer_idx"]
    require(
        bool(((index >= -1) & (index < np.maximum(n_layers, 1)[..., None, None])).all()),
        "best_layer_idx must be the place of a layer",
    )


def wrong_in_part(arrays: Mapping[str, np.ndarray], wanted: Mapping[str, Variable]) -> str | None:
    """What is wrong with the arrays of a part; None if they are what they must be."""
    sizes = {"variant": len(DIMENSIONALITY_VARIANTS)}
    for name, variable in wanted.items():
        array = arrays.get(name)
        if array is None and variable.optional:
            continue
        if array is None:
            return f"it lacks {name}"
        if array.dtype.kind not in _KINDS[variable.kind]:
            return f"{name} must hold a {variable.kind} each, not {array.dtype}"
        if array.ndim != len(variable.dims) or not all(
            sizes.setdefault(dim, length) == length
            for dim, length in zip(variable.dims, array.shape)
        ):
            return (
                f"{name} must have the dimensions {', '.join(variable.dims)}, as long as those of "
                f"other arrays; it has the shape {array.shape}"
            )
    return None


def read_checked(path: Path, wanted: Mapping[str, Variable], remedy: str) -> xr.Dataset:
    """:func:`read_variables`; what is wrong is followed by what to do."""
    try:
        return read_variables(path, wanted)
    except InputError as error:
        raise type(error)(f"{error} {remedy}") from error

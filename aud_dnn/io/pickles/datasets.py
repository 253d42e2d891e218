"""xarray datasets out of pickles: which classes, and what they become."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from aud_dnn.io.pickles.arrow_text import is_call, state_of
from aud_dnn.io.pickles.tables import array_of

from .arrays import dtype_of
from .records import Call, DamageError, RefusalError
from .safe_pickle import Builder

DATASET_NAMES = {
    ("xarray.core.dataset", "Dataset"): "Dataset",
    ("xarray.core.variable", "Variable"): "Variable",
    ("xarray.core.variable", "IndexVariable"): "Variable",
    ("xarray.core.indexing", "PandasIndexAdapter"): "IndexAdapter",
    ("xarray.core.indexing", "PandasIndexingAdapter"): "IndexAdapter",
    ("xarray.core.indexes", "PandasIndex"): "PandasIndex",
}


def _variable(builder: Builder, name: Any, record: Any) -> tuple[tuple[str, ...], Any, dict]:
    if type(name) is not str or not is_call(record, "Variable"):
        raise DamageError("holds a dataset with something other than named variables")
    state = state_of(record)
    dims, values = state.get("_dims"), state.get("_data")
    if type(dims) is not tuple or not all(type(dim) is str for dim in dims):
        raise DamageError(f"holds the variable {name!r} without its dimensions")
    if is_call(values, "IndexAdapter"):
        values = _coordinate(builder, state_of(values))
    else:
        values = array_of(builder, values)
    builder.budget.spend(300)
    return dims, values, dict(builder.build(state.get("_attrs") or {}))


def _coordinate(builder: Builder, state: dict) -> np.ndarray:
    """The values of a coordinate, which xarray keeps as an index.

    Text gets back the fixed width that it had.
    """
    index = builder.build(state.get("array"))
    if not isinstance(index, pd.Index):
        raise DamageError("holds a coordinate without its values")
    values = np.asarray(index)
    recorded = state.get("_dtype", state.get("dtype"))
    if (
        is_call(recorded, "dtype")
        and dtype_of(recorded).kind == "U"
        and all(type(value) is str for value in values)
    ):
        builder.budget.spend(len(values) * max(map(len, values), default=0))
        return values.astype(str)
    return values


def _given(builder: Builder, variables: Any) -> dict:
    """The variables of a dataset that is to be made by its constructor, as
    :mod:`aud_dnn.io.pickles.writing` writes them.
    """
    made = builder.build(variables)
    if type(made) is not dict or not all(
        type(name) is str
        and type(variable) is tuple
        and len(variable) == 2
        and type(variable[0]) is tuple
        and all(type(dim) is str for dim in variable[0])
        and type(variable[1]) is np.ndarray
        for name, variable in made.items()
    ):
        raise DamageError("holds a dataset with something other than named variables")
    builder.budget.spend(300 * len(made))
    return made


def _dataset(builder: Builder, record: Call) -> Any:
    import xarray as xr

    if record.arguments:
        if len(record.arguments) != 3 or record.filled or type(record.arguments[2]) is not dict:
            raise RefusalError(
                f"calls {record.asked} with arguments that plain datasets never need"
            )
        variables, coordinates, attributes = record.arguments
        return xr.Dataset(
            _given(builder, variables),
            coords=_given(builder, coordinates),
            attrs=dict(builder.build(attributes)),
        )
    state = state_of(record)
    variables, coordinates = state.get("_variables"), state.get("_coord_names")
    if type(variables) is not dict or type(coordinates) is not set:
        raise DamageError("holds a dataset without its variables")
    made = {name: _variable(builder, name, variable) for name, variable in variables.items()}
    return xr.Dataset(
        {name: variable for name, variable in made.items() if name not in coordinates},
        coords={name: variable for name, variable in made.items() if name in coordinates},
        attrs=dict(builder.build(state.get("_attrs") or {})),
    )


DATASET_BUILDERS = {"Dataset": _dataset}

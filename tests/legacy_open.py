"""Open pickles with plain ``pickle.load`` and print a checksum of what each holds. Runs under
Python 3.6 and all later ones.

    python legacy_open.py FILE ...

prints the versions of the libraries and, for every file, its checksum or the error. Values, dtypes,
names and order count.
"""

import hashlib
import json
import pickle
import platform
import sys
from pathlib import Path

import numpy as np


def describe(value):
    """Text that is equal for equal content, whatever the versions of Python and the libraries."""
    kind = type(value).__name__
    if isinstance(value, np.generic):
        return f"scalar {value.dtype.str} {value.tobytes().hex()}"
    if isinstance(value, np.ndarray):
        is_object = value.dtype.kind == "O"
        content = (
            describe(value.ravel().tolist())
            if is_object
            else hashlib.sha256(value.tobytes()).hexdigest()
        )
        return f"array {value.dtype.str} {value.shape} {content}"
    if kind == "DataFrame":
        columns = [np.asarray(value.iloc[:, i]) for i in range(value.shape[1])]
        return (
            f"table {list(value.columns)} {value.index.name} {describe(np.asarray(value.index))} "
            f"{describe(columns)}"
        )
    if kind == "Dataset":
        variables = {
            str(name): (tuple(value[name].dims), value[name].values)
            for name in sorted(value.variables)
        }
        return f"dataset {describe(variables)} {sorted(value.coords)} {describe(dict(value.attrs))}"
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(describe(key) + ": " + describe(part) for key, part in value.items())
            + "}"
        )
    if isinstance(value, (list, tuple)):
        return kind + "[" + ", ".join(map(describe, value)) + "]"
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return kind + " " + repr(value)
    raise TypeError(f"a {kind} is not what was written")


def checksum(value):
    return hashlib.sha256(describe(value).encode()).hexdigest()


def opened(path):
    with Path(path).open("rb") as file:
        try:
            return checksum(pickle.load(file))
        except Exception as error:
            return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    import pandas
    import xarray

    libraries = ", ".join(
        f"{library.__name__} {library.__version__}" for library in (np, pandas, xarray)
    )
    versions = f"Python {platform.python_version()}, {libraries}"
    json.dump(
        {"versions": versions, "files": {path: opened(path) for path in sys.argv[1:]}}, sys.stdout
    )

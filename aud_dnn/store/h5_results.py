"""Variables of a result's HDF5 file, and its provenance, checked before they are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aud_dnn.store.schema import (
    PROVENANCE_FILE,
    Check,
)

if TYPE_CHECKING:
    pass
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from aud_dnn.errors import InputError
from aud_dnn.io.files import h5_dataset
from aud_dnn.io.h5_structure import h5_array
from aud_dnn.store.schema import (
    PREDICTIONS_FILE,
    SCORES_FILE,
    TABLE_FILE,
)

if TYPE_CHECKING:
    import h5py


LARGEST = {
    PROVENANCE_FILE: 16 << 20,
    SCORES_FILE: 256 << 20,
    TABLE_FILE: 256 << 20,
    PREDICTIONS_FILE: 3 << 30,
}


OWN_FACTOR = 8  # targets of one's own may have ten times the rows


LARGEST_TABLE = 512 << 20  # bytes, decoded


MEANING_OF_NUMBERS = {
    "scale_factor",
    "add_offset",
    "units",
    "calendar",
}  # attributes that change what values mean


@contextmanager
def open_result(check: Check) -> Iterator[h5py.File]:
    """The HDF5 file of a result; whatever goes wrong with it names the file."""
    import h5py

    with check.reading(), h5py.File(check.path, "r") as file:
        yield file


def result_variable(
    file: h5py.File, name: str, check: Check, shape: tuple[int, ...] | None, kinds: str
) -> h5py.Dataset:
    """A variable of the expected shape and type that lies in this very file.

    Nothing of it is read yet.
    """
    try:
        variable = h5_dataset(file, name)
    except InputError as error:
        raise type(error)(f"{error} {check.remedy}") from error
    check(variable is not None, f"it lacks {name}")
    check(
        shape is None or variable.shape == shape,
        f"{name} must have the shape {shape}; it has {variable.shape}",
    )
    check(variable.dtype.kind in kinds, f"{name} must not be of type {variable.dtype}")
    check(variable.id.get_storage_size() > 0, f"{name} was never written")
    if variable.chunks is not None:
        check(
            all(piece <= length for piece, length in zip(variable.chunks, variable.shape)),
            f"{name} is stored in pieces larger than itself",
        )
        n_pieces = math.prod(
            -(-length // piece) for piece, length in zip(variable.chunks, variable.shape)
        )
        check(variable.id.get_num_chunks() == n_pieces, f"{name} was not written to its end")
    check(
        not MEANING_OF_NUMBERS & set(variable.attrs),
        f"{name} has attributes that change its values",
    )
    return variable


def values_of(variable: h5py.Dataset) -> np.ndarray:
    """All values of a variable that was checked; text as text."""
    values = np.asarray(h5_array(variable))
    if values.dtype.kind == "O":
        values[...] = np.vectorize(bytes.decode, otypes="O")(values)
    return values


def text_values(file: h5py.File, name: str) -> np.ndarray:
    """All values of a variable whose shape and type were checked when the result was opened."""
    return values_of(h5_dataset(file, name))


def has_fixed_width(kind: Any) -> bool:
    """Whether values of an Arrow type take the same number of bytes each."""
    import pyarrow as pa

    return pa.types.is_primitive(kind) or pa.types.is_null(kind)


def decoded_size(path: Path, name: str) -> int:
    """Bytes of a column of text once every value stands for itself."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    size = 0
    for chunk in pq.read_table(path, columns=[name], read_dictionary=[name])[name].chunks:
        if not hasattr(chunk, "dictionary"):
            size += chunk.nbytes
            continue
        lengths = pc.take(pc.binary_length(chunk.dictionary), chunk.indices)
        size += pc.sum(pc.cast(lengths, "int64")).as_py() or 0
    return size


def read_provenance(
    folder: Path, remedy: str = "Run this layer again with --overwrite."
) -> dict[str, Any]:
    """``provenance.json``: a dictionary, with checksums of the result's files under ``files``."""
    check = Check(folder / PROVENANCE_FILE, remedy)
    with check.reading():
        check(check.path.stat().st_size <= LARGEST[PROVENANCE_FILE], "it is far too large")
        provenance = json.loads(check.path.read_text(encoding="utf-8"))
    check(isinstance(provenance, dict), "it must hold a dictionary")
    check(isinstance(provenance.get("files"), dict), "it must list the checksums of the files")
    for name in (
        "arguments",
        "activations",
        "responses",
        "metadata",
        "stimuli",
        "converted_from",
        "target",
    ):
        check(isinstance(provenance.get(name, {}), dict), f"{name} must be a dictionary")
    return provenance

"""The files of an extraction: locks, provenance, room on the disk, names of layers."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from aud_dnn.activations.names import h5_name
from aud_dnn.errors import InputError, describe_os_error, os_error_number
from aud_dnn.io.atomic import LockedError, lock_file


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """A disk that is full, read-only or gone becomes an error that says so."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        if os_error_number(error) is None:
            raise
        raise InputError(describe_os_error(error, "written", folder)) from error


@contextlib.contextmanager
def exclusive(folder: Path, randnetw: bool = False) -> Iterator[None]:
    """Keep other processes from writing the same activations while the block runs.

    Raises
    ------
    InputError
        Another process writes them now, or the folder cannot be written.
    """
    lock = Path(folder) / f".{Path(h5_name(randnetw)).stem}.lock"
    with contextlib.ExitStack() as stack:
        try:
            with writing(folder):
                stack.enter_context(lock_file(lock))
        except LockedError as error:
            raise InputError(
                f"Another process is writing these activations to {folder} now. Wait for it, or "
                "write elsewhere with --name."
            ) from error
        yield


def require_room(path: Path, n_bytes: int) -> None:
    """Try to take this many bytes of the disk with a file that is removed at once.

    :class:`OSError` if not there.
    """
    if not hasattr(os, "posix_fallocate"):
        if shutil.disk_usage(path.parent).free < n_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return
    try:
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, n_bytes)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):  # a file system that cannot say
            raise
    finally:
        path.unlink(missing_ok=True)


def check_layer_names(layers: Sequence[str], format: str) -> None:
    """Refuse layers that have no name, share one, or cannot be stored in this format
    (:class:`InputError`).
    """
    if len(set(layers)) != len(layers):
        repeated = sorted({layer for layer in layers if list(layers).count(layer) > 1})
        raise InputError(f"Layer names must be unique; repeated: {', '.join(repeated)}.")
    if not layers or not all(layers):
        raise InputError(
            "There are no layers to store. Name at least one tap."
            if not layers
            else "A layer has an empty name. Give every tap a key."
        )
    if format != "h5":
        return
    for layer in layers:
        parts = layer.split("/")
        if layer in ("layer_list", "layer_order", "sound_ids") or any(
            part in ("", ".", "..") for part in parts
        ):
            raise InputError(f"{layer!r} cannot be the name of a layer in an HDF5 file. Rename it.")
        for end in range(1, len(parts)):
            if "/".join(parts[:end]) in layers:
                raise InputError(
                    f"The layer {'/'.join(parts[:end])} would be both a dataset and the group of "
                    f"{layer} in an HDF5 file. Rename one of them."
                )


def read_json(path: Path) -> dict[str, Any] | None:
    """The content of a JSON file; None if there is none that can be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError):
        return None


def read_provenance(path: Path) -> dict[str, Any] | None:
    """How a file of activations was made.

    Of an HDF5 file, or of the ``provenance.json`` beside pickles; None if unknown.
    """
    path = Path(path)
    if path.suffix == ".json":
        content = read_json(path)
    else:
        try:
            with h5py.File(path, "r") as file:
                content = json.loads(file.attrs["provenance"])
        except (
            OSError,
            RuntimeError,
            KeyError,
            ValueError,
            TypeError,
        ):  # RecursionError is a RuntimeError
            content = None
    return content if isinstance(content, dict) and "fingerprint" in content else None


def remarks_on(
    rows: Iterable[tuple[str, list[np.ndarray]]], layers: Sequence[str], lengths: Sequence[int]
) -> list[str]:
    """What is odd about finished activations: features that do not vary, sounds that are alike.

    Parameters
    ----------
    rows : iterable of (sound, its vectors, one per layer)
    layers : sequence of str
    lengths : sequence of int
        Units of every layer.
    """
    lowest = highest = None
    by_content: dict[bytes, list[str]] = {}
    for sound, arrays in rows:
        vector = np.concatenate(arrays)
        by_content.setdefault(hashlib.sha256(vector.tobytes()).digest(), []).append(sound)
        lowest = vector if lowest is None else np.minimum(lowest, vector)
        highest = vector if highest is None else np.maximum(highest, vector)
    remarks = []
    borders = np.cumsum(lengths)[:-1]
    for layer, low, high in zip(layers, np.split(lowest, borders), np.split(highest, borders)):
        constant = np.count_nonzero(low == high)
        if not low.any() and not high.any():
            remarks.append(f"Layer {layer} is zero for every sound.")
        elif constant:
            remarks.append(
                f"Layer {layer}: {constant} of {len(low)} features do not vary over sounds."
            )
    remarks += [
        f"No layer tells these sounds apart: {', '.join(same[:3])}{' …' if len(same) > 3 else ''}."
        for same in by_content.values()
        if len(same) > 1
    ]
    return remarks

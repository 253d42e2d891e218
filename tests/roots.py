"""Roots for tests to spoil: everything in them is shared with another root until it is changed."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from aud_dnn.io.digests import MEMO_FILE


def borrow(source: Path, root: Path, *, without: tuple[str, ...] = ()) -> Path:
    """A new root with the files of ``source``, linked where the file system can. Change them only
    through :func:`own`.
    """

    def link(original: str, name: str) -> None:
        try:
            os.link(original, name)
        except OSError:
            shutil.copyfile(original, name)

    shutil.copytree(source, root, copy_function=link, ignore=shutil.ignore_patterns(*without))
    return root


def own(path: Path) -> Path:
    """Make ``path`` a file of its own, so that changing it changes no other root."""
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)
    return path


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file below ``folder``, with its content; the memo of digests, which any run may extend,
    does not count.
    """
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MEMO_FILE
    }


def cut(path: Path, length: float = 0.5) -> None:
    """Leave only the first part of a file."""
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[: int(len(content) * length)])


def change_npy(path: Path, change: Callable[[np.ndarray], np.ndarray | None]) -> None:
    """Change an array in place, or put what ``change`` returns in its place."""
    array = np.load(path)
    changed = change(array)
    path.unlink()
    np.save(path, array if changed is None else changed)


def change_pickle(path: Path, change: Callable) -> None:
    """As :func:`change_npy`, for a pickle."""
    content = pickle.loads(path.read_bytes())
    changed = change(content)
    path.unlink()
    path.write_bytes(pickle.dumps(content if changed is None else changed, protocol=4))


def write_h5(path: Path, layers: dict[str, np.ndarray], **names: list[str]) -> Path:
    """An activation file: a dataset per layer, and lists of names (layer_list, sound_ids)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for key, values in names.items():
            file[key] = np.array([value.encode() for value in values])
        for key, array in layers.items():
            file[key] = array
    return path


def write_pickles(
    folder: Path,
    ids: tuple[str, ...],
    layers: dict[str, np.ndarray],
    ending: str = "_activations.pkl",
) -> Path:
    """Activations as one pickle per sound."""
    folder.mkdir(parents=True, exist_ok=True)
    for row, sound in enumerate(ids):
        content = {key: array[row] for key, array in layers.items()}
        (folder / f"{sound}{ending}").write_bytes(pickle.dumps(content, protocol=4))
    return folder

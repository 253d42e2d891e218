"""Arrays that several processes read, in memory once."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np

from aud_dnn.errors import InputError

_ALIGNMENT = 64


class SharedArrays(Sequence):
    """Arrays for all workers, in memory once.

    They lie in a temporary file without a name, so that nothing stays behind whatever happens. Hand
    :attr:`descriptors` to :func:`aud_dnn.io.processes.run_in_processes` as ``share``. Where
    descriptors cannot be inherited (Windows) every worker gets a copy.

    Raises
    ------
    InputError
        The temporary folder cannot hold them.
    """

    def __init__(self, arrays: Sequence[np.ndarray]) -> None:
        self._arrays: list[np.ndarray] = [np.ascontiguousarray(array) for array in arrays]
        self._file: BinaryIO | None = None
        if os.name != "posix":
            return
        self._shapes = [(array.dtype.str, array.shape) for array in self._arrays]
        size = sum(array.nbytes for array in self._arrays)
        try:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115
            for array, start in zip(self._arrays, self._starts()):
                self._file.seek(start)
                self._file.write(memoryview(array).cast("B"))
            self._file.flush()
        except OSError as error:
            folder = os.environ.get("TMPDIR", "/tmp")
            raise InputError(
                f"The temporary folder ({folder}) cannot hold {size / 1e6:.0f} MB that the "
                f"processes share ({error.strerror or error}). Free some space, point TMPDIR to a "
                "larger disk, or use --jobs 1, which needs none."
            ) from error
        self._arrays = self._mapped(self._file)

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What the workers must inherit."""
        return () if self._file is None else (self._file.fileno(),)

    def __len__(self) -> int:
        return len(self._arrays)

    def __getitem__(self, index: int) -> np.ndarray:
        return self._arrays[index]

    def _starts(self) -> Iterator[int]:
        start = 0
        for dtype, shape in self._shapes:
            yield start
            size = int(np.prod(shape)) * np.dtype(dtype).itemsize
            start += -(-size // _ALIGNMENT) * _ALIGNMENT

    def _mapped(self, file: BinaryIO) -> list[np.ndarray]:
        return [
            np.memmap(file, np.dtype(dtype), "r", start, shape)
            for (dtype, shape), start in zip(self._shapes, self._starts())
        ]

    def __getstate__(self) -> dict[str, Any]:
        if self._file is None:
            return {"_arrays": self._arrays, "_file": None}
        return {"_shapes": self._shapes, "_file": self._file.fileno()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if "_shapes" in state:
            with os.fdopen(os.dup(state["_file"]), "rb") as file:
                self._arrays = self._mapped(file)
            self._file = None

"""Open the file formats of the published data without trusting what is in them.

One function per format; pickles have a package of their own (:mod:`aud_dnn.io.pickles`). Every
function checks that what a file *says* it holds fits into the bytes that it *has* before anything
is allocated, refuses content that could run code or reach other files, and turns a damaged file
into an error that names it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from aud_dnn.errors import DamagedFileError, InputError, MissingDataError, describe_os_error
from aud_dnn.io.h5_structure import (
    LARGEST_UNPACKED,
    MOST_EXPANSION,
    h5_array,
    h5_dataset_names,
    require_modest,
)
from aud_dnn.io.mat_structure import mat_variable_names

if TYPE_CHECKING:
    import h5py

__all__ = [
    "h5_array",
    "h5_dataset",
    "h5_dataset_names",
    "mat_strings",
    "mat_variables",
    "open_h5",
    "read_mat",
    "read_npy",
    "read_npz",
    "require_file",
    "require_seal",
    "seal",
]


def require_file(path: Path, remedy: str) -> Path:
    """``path`` if it is a file, else a :class:`MissingDataError` that says what to do."""
    if not path.is_file():
        raise MissingDataError(f"{path} is missing. {remedy}")
    return path


_REFUSED = {
    getattr(errno, name)
    for name in (
        "EACCES",
        "EPERM",
        "EISDIR",
        "EIO",
        "EMFILE",
        "ENFILE",
        "ENOMEM",
        "ESTALE",
        "ENOTCONN",
        "EHOSTDOWN",
        "ETIMEDOUT",
        "ENXIO",
    )
    if hasattr(errno, name)
}  # no others: on damaged files the HDF5 library asks the system for impossible things
_NO_LOCKS = {
    getattr(errno, name)
    for name in ("ENOLCK", "ENOSYS", "ENOTSUP", "EOPNOTSUPP")
    if hasattr(errno, name)
}
_LOCKED = {errno.EAGAIN, errno.EWOULDBLOCK, errno.EDEADLK}
_UNLOCKED = "set the variable HDF5_USE_FILE_LOCKING=FALSE"


def system_refusal(path: Path, error: BaseException) -> InputError | None:
    """What to say where the system, not the content, keeps a file from being read.

    None where the content is at fault.
    """
    if not isinstance(error, OSError):
        return None
    text = str(error)
    if error.errno in _LOCKED or "already open for" in text or "h5clear" in text:
        return InputError(
            f"{path} is open for writing in another program, or was when that program was killed. "
            "Close it there, or wait. If no program has it open (some network file systems report "
            f"locks wrongly), {_UNLOCKED}; after a program that was killed, `h5clear -s` clears "
            "the mark."
        )
    if error.errno in _NO_LOCKS and "lock" in text:
        return InputError(
            f"{path} lies on a file system without locks, which HDF5 wants. The file is not "
            f"damaged: {_UNLOCKED} and run the same command again."
        )
    if error.errno == errno.ENOENT:
        return MissingDataError(f"{path} is missing.")
    return InputError(describe_os_error(error, "read", path)) if error.errno in _REFUSED else None


def _damaged(path: Path, what: str, error: Exception | None = None) -> InputError:
    if error is not None and (refusal := system_refusal(path, error)) is not None:
        return refusal
    detail = f" ({type(error).__name__}: {error})" if error is not None else ""
    return DamagedFileError(
        f"{path} is damaged, or is not in {what} format{detail}. Get it again, or make it again."
    )


def read_npy(path: Path) -> np.ndarray:
    """An array from a ``.npy`` file that holds no Python objects.

    Raises
    ------
    DamagedFileError
        The header is broken, or the file is shorter or longer than the header says.
    InputError
        The array holds Python objects (opening those can run code).
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read_header = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }.get(version)
            if read_header is None:
                raise ValueError(f"format version {version}")
            shape, fortran_order, dtype = read_header(file)
            if dtype.hasobject:
                raise InputError(
                    f"{path} holds Python objects, which could run code when opened. "
                    "Save it again as a plain numeric or structured array."
                )
            if (
                not all(type(length) is int and length >= 0 for length in shape)
                or dtype.itemsize == 0
            ):
                raise ValueError(f"shape {shape} of {dtype}")
            count = math.prod(shape)
            if count * dtype.itemsize != size - file.tell():
                raise ValueError(
                    f"the header promises {count * dtype.itemsize} bytes, the file has "
                    f"{size - file.tell()}"
                )
            array = np.fromfile(file, dtype=dtype, count=count)
        return array.reshape(shape, order="F" if fortran_order else "C")
    except InputError:
        raise
    except Exception as error:  # NumPy's header parser raises many kinds on garbage
        raise _damaged(path, "npy", error) from error


def read_npz(path: Path, most_bytes: int = LARGEST_UNPACKED) -> dict[str, np.ndarray]:
    """The arrays of a ``.npz`` file that holds no Python objects.

    Parameters
    ----------
    path : Path
    most_bytes : int
        What all arrays together may take in memory, even if the file is smaller than a 16th of it.

    Raises
    ------
    DamagedFileError
        It is damaged, or unpacks to more than that.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if sum(entry.file_size for entry in entries) > max(
                most_bytes, MOST_EXPANSION * path.stat().st_size
            ):
                raise ValueError("it unpacks to far more than its own length")
            arrays = {}
            for entry in entries:
                content = io.BytesIO(archive.read(entry))
                np.lib.format.read_magic(content)
                content.seek(0)
                arrays[entry.filename.removesuffix(".npy")] = np.lib.format.read_array(
                    content, allow_pickle=False
                )
            return arrays
    except Exception as error:  # zipfile, zlib and NumPy raise many kinds on garbage
        raise _damaged(path, "npz", error) from error


def read_mat(path: Path, variables: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The named variables of a MATLAB 5 ``.mat`` file.

    Raises
    ------
    DamagedFileError
        The file cannot be read, or lacks one of ``variables``.
    """
    from scipy.io import loadmat

    try:
        data = path.read_bytes()
        mat_variable_names(data, wanted=variables)
        content = loadmat(io.BytesIO(data), variable_names=variables)
    except Exception as error:  # SciPy's reader raises many kinds on garbage
        raise _damaged(path, "MATLAB 5 .mat", error) from error
    missing = [name for name in variables if name not in content]
    if missing:
        raise DamagedFileError(
            f"{path} lacks the variable(s) {', '.join(missing)}. Get the file again."
        )
    return {name: content[name] for name in variables}


def mat_variables(path: Path) -> tuple[str, ...]:
    """Names of the variables of a MATLAB 5 ``.mat`` file."""
    try:
        return tuple(mat_variable_names(path.read_bytes()))
    except Exception as error:
        raise _damaged(path, "MATLAB 5 .mat", error) from error


def mat_strings(cells: np.ndarray, where: str) -> list[str]:
    """The strings of a MATLAB cell array, however deeply each is wrapped.

    ``where`` is for the error.
    """
    strings = []
    for cell in np.asarray(cells).ravel():
        while isinstance(cell, np.ndarray):
            if cell.size != 1:
                raise InputError(
                    f"{where} must hold one string per MATLAB cell; found an array of shape "
                    f"{cell.shape}."
                )
            cell = cell.ravel()[0]
        strings.append(str(cell))
    return strings


@contextlib.contextmanager
def open_h5(path: Path) -> Iterator[h5py.File]:
    """An HDF5 file, opened for reading; errors while it is open name the file."""
    import h5py

    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise _damaged(path, "HDF5", error) from error
    with file:
        try:
            yield file
        except InputError:
            raise
        except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
            raise _damaged(path, "HDF5", error) from error


def h5_dataset(
    file: h5py.File, key: str, most_bytes: int = LARGEST_UNPACKED
) -> h5py.Dataset | None:
    """The dataset at ``key``, or None if there is none. Read its values with :func:`h5_array`.

    ``most_bytes`` is what it may take in memory even if much less is stored
    (:mod:`aud_dnn.io.h5_structure`).

    Raises
    ------
    InputError
        The key or the dataset's data lie in another file (external link, virtual dataset, external
        storage). It is packed in a way that is not read here.
    DamagedFileError
        It says that it is far larger than the bytes stored for it.
    """
    import h5py

    node: h5py.Group | h5py.Dataset = file
    for part in key.split("/"):
        if not part or not isinstance(node, h5py.Group):
            return None
        link = node.get(part, getlink=True)
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise InputError(
                f"{file.filename}: {key!r} is a link ({type(link).__name__}), which may lead to "
                "another file. Store the data itself."
            )
        node = node[part]
    if not isinstance(node, h5py.Dataset):
        return None
    if node.is_virtual or node.external:
        raise InputError(
            f"{file.filename}: the data of {key!r} lie in another file. Store the data itself."
        )
    require_modest(node, most_bytes)
    return node


_SEAL = b"aud_dnn\n"


def seal(path: Path) -> None:
    """Append the SHA-256 of a file to it. HDF5 does not mind what follows its end."""
    digest = hashlib.sha256(path.read_bytes()).digest()
    with path.open("ab") as file:
        file.write(_SEAL + digest)


def require_seal(path: Path) -> None:
    """Refuse a sealed file that is not as it was written.

    Raises
    ------
    DamagedFileError
        Anything in it has changed, or it was never sealed.
    """
    data = path.read_bytes()
    length = len(_SEAL) + hashlib.sha256().digest_size
    if data[-length:] != _SEAL + hashlib.sha256(data[:-length]).digest():
        raise DamagedFileError(
            f"{path} is not as it was written: its checksum does not match. Make it again."
        )

"""HDF5 files that the system keeps from being read: locked, on a file system without locks, without
permission, damaged.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from aud_dnn.errors import DamagedFileError, InputError, MissingDataError
from aud_dnn.io.files import open_h5, read_mat, read_npy


@pytest.fixture
def h5(tmp_path: Path) -> Path:
    path = tmp_path / "some.h5"
    with h5py.File(path, "w") as file:
        file["a"] = np.arange(4000.0)
    return path


def read(path: Path) -> np.ndarray:
    with open_h5(path) as file:
        return file["a"][()]


def test_a_file_that_is_open_elsewhere_is_locked(h5: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    with h5.open("r+b") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(
            InputError,
            match=r"some\.h5 is open for writing in another program.*Close it there.*"
            r"HDF5_USE_FILE_LOCKING=FALSE",
        ) as error:
            read(h5)
    assert not isinstance(error.value, DamagedFileError) and "again" not in str(error.value)
    np.testing.assert_array_equal(read(h5), np.arange(4000.0))


@pytest.mark.parametrize(
    ("code", "text", "says"),
    [
        (
            errno.ENOLCK,
            "unable to lock file, errno = 37",
            r"without locks.*not damaged.*HDF5_USE_FILE_LOCKING=FALSE",
        ),
        (
            errno.ENOSYS,
            "unable to lock file, errno = 38",
            r"file system without locks.*HDF5_USE_FILE_LOCKING=FALSE",
        ),
        (
            errno.EAGAIN,
            "unable to lock file, errno = 11",
            r"open for writing in another program.*HDF5_USE_FILE_LOCKING=FALSE",
        ),
        (
            None,
            "file is already open for write (may use <h5clear file> to clear file consistency "
            "flags)",
            r"h5clear -s",
        ),
        (
            errno.EACCES,
            "unable to open file",
            r"cannot be read: Permission denied\. Fix the permissions",
        ),
        (errno.EIO, "file read failed", r"cannot be read: .*The disk failed"),
        (errno.EMFILE, "unable to open file", r"cannot be read: .*number of files"),
        (errno.ESTALE, "file read failed", r"cannot be read: .*network file system"),
    ],
)
@pytest.mark.parametrize("when", ["opened", "read"])
def test_what_the_system_refuses_is_not_called_damaged(
    code, text, says, when, h5: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = OSError(code, text) if code is not None else OSError(text)

    def refuse(*asked: object, **how: object) -> None:
        raise error

    if when == "opened":
        monkeypatch.setattr(h5py, "File", refuse)
    else:
        monkeypatch.setattr(h5py.Dataset, "__getitem__", refuse)
    with pytest.raises(InputError, match=rf"some\.h5 .*{says}") as raised:
        read(h5)
    assert not isinstance(raised.value, DamagedFileError)


@pytest.mark.parametrize(
    "spoil", [lambda data: data[:1000], lambda data: b"x" * 3000, lambda data: b""]
)
def test_damaged_files_are_called_damaged(spoil, h5: Path) -> None:
    h5.write_bytes(spoil(h5.read_bytes()))
    with pytest.raises(DamagedFileError, match=r"some\.h5 is damaged, or is not in HDF5 format"):
        read(h5)


def test_folders_and_missing_files_are_neither(tmp_path: Path) -> None:
    (tmp_path / "folder.h5").mkdir()
    with pytest.raises(InputError, match=r"folder\.h5 cannot be read: .*A folder stands"):
        read(tmp_path / "folder.h5")
    with pytest.raises(MissingDataError, match=r"gone\.h5 is missing"):
        read(tmp_path / "gone.h5")


@pytest.mark.parametrize("reader", [read, read_npy, lambda path: read_mat(path, ("a",))])
def test_no_permission_by_any_reader(
    reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.name != "posix":
        pytest.skip("file permissions are those of POSIX")
    path = tmp_path / "secret"
    path.write_bytes(b"x")
    path.chmod(0)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    superuser = os.geteuid() == 0
    if superuser:
        os.seteuid(65534)
    try:
        with pytest.raises(InputError, match=r"secret cannot be read: Permission denied") as error:
            reader(path)
    finally:
        if superuser:
            os.seteuid(0)
    assert not isinstance(error.value, DamagedFileError)

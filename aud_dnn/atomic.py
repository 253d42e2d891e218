"""Write files and folders so that a reader never sees half of one."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

STAGING_MARK = ".partial-"
_REPLACED_MARK = ".replaced-"


class AlreadyFinishedError(FileExistsError):
    """Another run finished the same result first; what it wrote was left as it is."""


def _beside(path: Path, mark: str) -> Path:
    host = socket.gethostname().replace(os.sep, "_")[:40]
    return path.with_name(f"{_hidden(path, mark)}{host}-{os.getpid()}-{uuid.uuid4().hex[:8]}")


def _hidden(path: Path, mark: str) -> str:
    digest = hashlib.sha256(path.name.encode()).hexdigest()[:12]     # names may be too long to carry whole
    return f".{path.name[:60]}-{digest}{mark}"


def _sync(path: Path) -> None:
    """Make sure that what was written is on the disk before it gets its final name."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; it becomes ``path`` only when the block ends well.

    An error, a full disk or a kill inside the block leaves ``path`` as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = _beside(path, STAGING_MARK)
    try:
        yield staging
        _sync(staging)
        staging.replace(path)
    finally:
        staging.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``; it becomes ``path`` only when the block ends well.

    With ``overwrite`` an earlier folder is moved aside first and removed last. A kill between those two renames leaves the
    earlier folder under a hidden name; :func:`restore_replaced` brings it back.

    Raises
    ------
    AlreadyFinishedError
        ``path`` came into being in the meantime (another process) and ``overwrite`` is false.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = _beside(path, STAGING_MARK)
    staging.mkdir()
    try:
        yield staging
        for file in staging.rglob("*"):
            if file.is_file():
                _sync(file)
        replaced = None
        if overwrite and path.exists():
            replaced = _beside(path, _REPLACED_MARK)
            path.rename(replaced)
        try:
            staging.rename(path)
        except OSError as error:
            if path.exists():
                raise AlreadyFinishedError(f"{path} was finished by another run in the meantime; "
                                           "its result is kept, this one is dropped.") from error
            if replaced is not None:
                replaced.rename(path)
            raise
        if replaced is not None:
            shutil.rmtree(replaced, ignore_errors=True)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def restore_replaced(path: Path) -> bool:
    """Bring back the folder that a killed overwrite had moved aside; true if there was one to bring back."""
    path = Path(path)
    if path.exists() or not path.parent.is_dir():
        return False
    prefix = _hidden(path, _REPLACED_MARK)
    for replaced in sorted(candidate for candidate in path.parent.iterdir() if candidate.name.startswith(prefix)):
        replaced.rename(path)
        return True
    return False


def remove_abandoned(path: Path) -> int:
    """Remove what killed runs on this host left half-written for ``path``; returns how many there were.

    What a run that is still alive, or a run on another host, is writing stays.
    """
    path = Path(path)
    if not path.parent.is_dir():
        return 0
    removed = 0
    for mark in (STAGING_MARK, _REPLACED_MARK):
        prefix = f"{_hidden(path, mark)}{socket.gethostname().replace(os.sep, '_')[:40]}-"
        for leftover in path.parent.iterdir():
            process = leftover.name.removeprefix(prefix).split("-")[0]
            if leftover.name.startswith(prefix) and process.isdigit() and not _is_alive(int(process)):
                if leftover.is_dir():
                    shutil.rmtree(leftover, ignore_errors=True)
                else:
                    leftover.unlink(missing_ok=True)
                removed += 1
    return removed


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:         # alive, but somebody else's
        return True
    return True

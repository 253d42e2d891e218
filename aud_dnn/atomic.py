"""Write files and folders so that a reader never sees half of one."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import shutil
import socket
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from aud_dnn.errors import doing

STAGING_MARK = ".partial-"
_REPLACED_MARK = ".replaced-"


class AlreadyFinishedError(FileExistsError):
    """Another run finished the same result first; what it wrote was left as it is."""


def _host() -> str:
    return socket.gethostname().replace(os.sep, "_")[:40]


def _beside(path: Path, mark: str) -> Path:
    return path.with_name(f"{_hidden(path, mark)}{_host()}-{os.getpid()}-{uuid.uuid4().hex[:8]}")


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


def _told_as_writing(steps: Callable[..., Iterator[Path]]) -> Callable[..., Iterator[Path]]:
    """Whatever the system refuses meanwhile is told with the final path, not the temporary one or none."""
    @functools.wraps(steps)
    def told(path: Path, **options: bool) -> Iterator[Path]:
        with doing("written", Path(path)):
            yield from steps(path, **options)

    return told


@contextlib.contextmanager
@_told_as_writing
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
@_told_as_writing
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
        if overwrite:
            aside = _beside(path, _REPLACED_MARK)
            with contextlib.suppress(FileNotFoundError):        # nothing there, or another run has just moved it
                path.rename(aside)
                replaced = aside
        try:
            staging.rename(path)
        except OSError as error:
            if path.exists():
                if replaced is not None:
                    shutil.rmtree(replaced, ignore_errors=True)
                raise AlreadyFinishedError(f"{path} was finished by another run in the meantime; "
                                           "its result is kept, this one is dropped.") from error
            if replaced is not None:
                replaced.rename(path)
            raise
        if replaced is not None:
            shutil.rmtree(replaced, ignore_errors=True)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


class LockedError(Exception):
    """Another process holds the lock."""


@contextlib.contextmanager
def lock_file(path: Path) -> Iterator[None]:
    """Hold a lock while the block runs; the system lets go of it when the process ends, however it ends.

    Raises
    ------
    LockedError
        Another process holds it. File systems without locks let everybody pass.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _lock(descriptor)
        except (BlockingIOError, PermissionError) as error:
            os.close(descriptor)
            raise LockedError(str(path)) from error
        except OSError:
            break
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                break       # still the file that others will open, not one that its last holder removed
        os.close(descriptor)
    try:
        yield
    finally:
        if os.name == "posix":
            path.unlink(missing_ok=True)
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    if os.name == "posix":
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)


def restore_replaced(path: Path) -> bool:
    """Bring back the folder that a killed overwrite had moved aside; true if there was one to bring back.

    What a run that is still alive on this host has moved aside stays: it is about to put the new folder there.
    """
    path = Path(path)
    if path.exists() or not path.parent.is_dir():
        return False
    prefix = _hidden(path, _REPLACED_MARK)
    for replaced in sorted(candidate for candidate in path.parent.iterdir() if candidate.name.startswith(prefix)):
        process = _writer(replaced.name, prefix)
        if process is None or not _is_alive(process):
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
        for leftover in list(path.parent.iterdir()):
            process = _writer(leftover.name, _hidden(path, mark))
            if process is not None and not _is_alive(process):
                if leftover.is_dir():
                    shutil.rmtree(leftover, ignore_errors=True)
                else:
                    leftover.unlink(missing_ok=True)
                removed += 1
    return removed


def _writer(name: str, prefix: str) -> int | None:
    """Process that wrote a folder of :func:`_beside`; None if that was on another host, or the name is not one of ours."""
    here = f"{prefix}{_host()}-"
    process = name.removeprefix(here).split("-")[0]
    return int(process) if name.startswith(here) and process.isdigit() else None


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:         # alive, but somebody else's
        return True
    return True

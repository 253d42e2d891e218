"""Write files and folders so that a reader never sees half of one.

What is being written lies under a hidden name beside its final one and is renamed at the end. The
writer holds a lock (a hidden file beside it) for as long as it lives, which the system takes back
however the process ends. So whoever finds something half-written can tell what is left of a dead
run from what a live one is writing: a process number could not (two containers may share a host
name and count their processes each from 1).

**Without locks.** Some file systems of clusters have no locks: there nothing half-written is ever
removed. Others lock for one machine only, and it cannot be seen that they do: so what another host
left is removed only if, besides, nothing in it was touched for a day.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import socket
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

from aud_dnn.errors import doing, os_error_number

STAGING_MARK = ".partial-"
_REPLACED_MARK = ".replaced-"
_LOCK_MARK = ".writing-"

_OURS = re.compile(
    rf"(?P<name>\..*-[0-9a-f]{{12}})(?P<mark>{re.escape(STAGING_MARK)}|{re.escape(_LOCK_MARK)})(?P<token>.*)",
    re.DOTALL,
)

_OTHER_HOSTS_S = 24 * 3600
_NO_SYNC = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}
_DISK = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG, errno.EIO, errno.EROFS}


class AlreadyFinishedError(FileExistsError):
    """Another run finished the same result first; what it wrote was left as it is."""


# --- names --------------------------------------------------------------------------------------


def _host() -> str:
    return socket.gethostname().replace(os.sep, "_")[:40]


def _hidden(path: Path, mark: str) -> str:
    name = os.fsencode(path.name)  # may be too long to carry whole
    return f".{name[:60].decode(errors='ignore')}-{hashlib.sha256(name).hexdigest()[:12]}{mark}"


def _beside(path: Path, mark: str, token: str) -> Path:
    """The hidden name of what the writer called ``token`` (host and a random word) makes for
    ``path``.
    """
    return path.with_name(f"{_hidden(path, mark)}{token}")


def _leftovers(path: Path) -> dict[str, dict[str, Path]]:
    """Hidden files and folders that belong to ``path``: token -> mark -> where."""
    found: dict[str, dict[str, Path]] = {}
    prefixes = {mark: _hidden(path, mark) for mark in (STAGING_MARK, _REPLACED_MARK, _LOCK_MARK)}
    with (
        contextlib.suppress(FileNotFoundError, NotADirectoryError),
        os.scandir(path.parent) as entries,
    ):
        for entry in entries:
            for mark, prefix in prefixes.items():
                if entry.name.startswith(prefix):
                    found.setdefault(entry.name.removeprefix(prefix), {})[mark] = path.with_name(
                        entry.name
                    )
    return dict(sorted(found.items()))


# --- writing ------------------------------------------------------------------------------------


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path; it becomes ``path`` only when the block ends well.

    An error, a full disk or a kill inside the block leaves ``path`` as it was. The temporary file
    has the final name, in a hidden folder of its own beside it, so that whatever else a library
    makes there goes with it. What dead runs left of the same file is removed first.

    Raises
    ------
    OSError
        Also of a full disk, a quota or a broken device, whoever noticed it: ``filename`` is then
        ``path``.
    """
    path = Path(path)
    with scratch_folder(path) as staging:
        file = staging / path.name
        yield file
        _sync(file)
        file.replace(path)


@contextlib.contextmanager
def atomic_folder(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``; it becomes ``path`` only when the block ends well.

    With ``overwrite`` an earlier folder is moved aside first and removed last. A kill between those
    two renames leaves the earlier folder under a hidden name; :func:`restore_replaced` brings it
    back.

    Raises
    ------
    AlreadyFinishedError
        ``path`` came into being in the meantime (another process) and ``overwrite`` is false.
    OSError
        As for :func:`atomic_file`.
    """
    path = Path(path)
    with scratch_folder(path) as staging:
        yield staging
        for file in staging.rglob("*"):
            if file.is_file():
                _sync(file)
        replaced = None
        if overwrite:
            aside = path.with_name(
                staging.name.replace(_hidden(path, STAGING_MARK), _hidden(path, _REPLACED_MARK))
            )
            with contextlib.suppress(
                FileNotFoundError
            ):  # nothing there, or another run has just moved it
                path.rename(aside)
                replaced = aside
        try:
            staging.rename(path)
        except OSError as error:
            if path.exists():
                if replaced is not None:
                    shutil.rmtree(replaced, ignore_errors=True)
                raise AlreadyFinishedError(
                    f"{path} was finished by another run in the meantime; "
                    "its result is kept, this one is dropped."
                ) from error
            if replaced is not None:
                replaced.rename(path)
            raise
        if replaced is not None:
            shutil.rmtree(replaced, ignore_errors=True)


@contextlib.contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """Yield an empty hidden folder beside ``path``, for what is to become that or to move there.

    It goes at the end.

    What dead runs left of the same name is removed first. Errors as for :func:`atomic_file`.
    """
    with _writing(Path(path)) as staging:
        staging.mkdir()
        try:
            yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[Path]:
    """The hidden path to write to, locked while the block runs.

    Errors of the disk name the file that was to be.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(path)
    token = f"{_host()}-{uuid.uuid4().hex[:16]}"
    staging = _beside(path, STAGING_MARK, token)
    try:
        # wait: who tidies up may be looking at it just now
        with doing("written", path), lock_file(_beside(path, _LOCK_MARK, token), wait=True):
            yield staging
    except RuntimeError as error:  # how HDF5 says what it was told when it closed a file
        if (code := os_error_number(error)) is None:
            raise
        with doing("written", path):
            raise OSError(code, os.strerror(code), str(path)) from error
    except OSError as error:
        if error.filename is None and error.errno in _DISK:
            error.filename = str(path)
        elif isinstance(error.filename, (str, bytes)) and _is_below(
            os.fsdecode(error.filename), path
        ):
            error.filename = str(path)  # the hidden name would help nobody
        raise


def _is_below(name: str, path: Path) -> bool:
    beginnings = tuple(
        str(path.with_name(_hidden(path, mark))) for mark in (STAGING_MARK, _LOCK_MARK)
    )
    return name.startswith(beginnings)


def _sync(path: Path) -> None:
    """Make sure that what was written is on the disk before it gets its final name.

    The file is opened for writing where that is allowed: Windows refuses to sync any other.
    """
    binary = getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, os.O_RDWR | binary)
    except PermissionError:
        descriptor = os.open(path, os.O_RDONLY | binary)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            error.filename = str(path)
            raise
    finally:
        os.close(descriptor)


# --- locks --------------------------------------------------------------------------------------


class LockedError(Exception):
    """Another process holds the lock."""


@contextlib.contextmanager
def lock_file(path: Path, *, wait: bool = False) -> Iterator[bool]:
    """Hold a lock while the block runs.

    The system lets go of it when the process ends, however it ends.

    Parameters
    ----------
    path : Path
        Made if it is not there, and removed at the end.
    wait : bool
        Wait until it is free.

    Yields
    ------
    bool
        False on a file system without locks, which lets everybody pass.

    Raises
    ------
    LockedError
        Another process holds it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    locked = True
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _lock(descriptor, wait)
        except (BlockingIOError, PermissionError) as error:
            os.close(descriptor)
            raise LockedError(str(path)) from error
        except OSError:
            locked = False
            break
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                break  # still the file that others will open, not one that its last holder removed
        os.close(descriptor)
    try:
        yield locked
    finally:
        if os.name == "posix":
            with contextlib.suppress(
                OSError
            ):  # gone already, or a folder that may no longer be written
                path.unlink()
        os.close(descriptor)
        if os.name != "posix":
            with contextlib.suppress(OSError):  # another process has just opened it
                path.unlink()


def _lock(descriptor: int, wait: bool) -> None:
    if os.name == "posix":
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    else:
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)


# --- after a kill -------------------------------------------------------------------------------


def restore_replaced(path: Path) -> bool:
    """Bring back the folder that a killed overwrite had moved aside.

    True if there was one to bring back.

    What a live run has moved aside stays: it is about to put the new folder there.
    """
    path = Path(path)
    if path.exists():
        return False
    for token, places in _leftovers(path).items():
        replaced = places.get(_REPLACED_MARK)
        if replaced is None:
            continue
        with (
            contextlib.suppress(LockedError, FileNotFoundError),
            lock_file(_beside(path, _LOCK_MARK, token)),
        ):
            replaced.rename(path)
            return True
    return False


def remove_abandoned(path: Path) -> int:
    """Remove what dead runs left half-written for ``path``.

    Returns how many files or folders there were.

    What a live run is writing stays, on whatever host (see the module's notes), and so does a
    folder moved aside that has to be brought back first (:func:`restore_replaced`).
    """
    path = Path(path)
    removed = 0
    for token, places in _leftovers(path).items():
        if not path.exists():
            places.pop(_REPLACED_MARK, None)
        removed += _remove_if_abandoned(token, _beside(path, _LOCK_MARK, token), places)
    return removed


def remove_abandoned_below(folder: Path) -> int:
    """:func:`remove_abandoned` for every file and folder below one, whatever its name.

    For the end of a whole run.

    Folders that were moved aside stay: only who knows their name can tell whether they are still
    needed.
    """
    removed = 0
    for parent, folders, files in os.walk(folder):
        found: dict[tuple[str, str], dict[str, Path]] = {}
        for name in (*folders, *files):
            if (ours := _OURS.fullmatch(name)) is not None:
                found.setdefault((ours["name"], ours["token"]), {})[ours["mark"]] = Path(
                    parent, name
                )
        folders[:] = [name for name in folders if _OURS.fullmatch(name) is None]
        for (name, token), places in found.items():
            removed += _remove_if_abandoned(
                token, Path(parent, f"{name}{_LOCK_MARK}{token}"), places
            )
    return removed


def _remove_if_abandoned(token: str, lock: Path, places: dict[str, Path]) -> int:
    if (
        not token.startswith(f"{_host()}-")
        and _touched(places.values()) > time.time() - _OTHER_HOSTS_S
    ):
        return 0
    removed = 0
    with (
        contextlib.suppress(LockedError, OSError),
        lock_file(lock) as locked,
    ):  # takes the lock's own file along
        for mark in (STAGING_MARK, _REPLACED_MARK):
            if mark in places and locked:
                removed += _remove(places[mark])
    return removed


def _remove(leftover: Path) -> bool:
    if leftover.is_dir():
        shutil.rmtree(leftover, ignore_errors=True)
    else:
        leftover.unlink(missing_ok=True)
    return not leftover.exists()


def _touched(places: Iterable[Path]) -> float:
    """When anything in these was last changed."""
    times = [0.0]
    for place in places:
        for item in (place, *(place.rglob("*") if place.is_dir() else ())):
            with contextlib.suppress(FileNotFoundError):
                times.append(item.lstat().st_mtime)
    return max(times)

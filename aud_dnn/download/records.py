"""The record of what has been downloaded and unpacked, beside the downloads."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from aud_dnn.download.archive_members import StoredFile, checked_name
from aud_dnn.errors import InputError, printable
from aud_dnn.io.atomic import LockedError, atomic_file, lock_file, remove_abandoned
from aud_dnn.paths import ProjectPaths

_LARGEST_RECORD = 64 << 20  # bytes; the largest archive has 100,000 members


@dataclass(frozen=True)
class Record:
    """What one archive brought.

    Attributes
    ----------
    origin : str
        Address or path that the archive came from.
    n_bytes, sha256 : int, str
        Of the archive.
    date : str
        Day of the first complete download.
    only : list of str or None
        The models that were taken out of the archive; None: everything.
    files : dict of str -> StoredFile
        What was unpacked, by path below the root.
    made_here : dict of str -> StoredFile
        Small tables that were made from the download.
    """

    origin: str
    n_bytes: int
    sha256: str
    date: str
    only: list[str] | None
    files: dict[str, StoredFile]
    made_here: dict[str, StoredFile] = field(default_factory=dict)


def downloads_folder(paths: ProjectPaths) -> Path:
    """Where archives lie until they are unpacked, and the records for good."""
    return paths.root / "downloads"


def read_record(paths: ProjectPaths, name: str) -> Record | None:
    """What is remembered of an archive; None if it was never unpacked here."""
    path = downloads_folder(paths) / f"{name}.json"
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > _LARGEST_RECORD:
            raise ValueError(f"more than {_LARGEST_RECORD >> 20} MB")
        stored = json.loads(path.read_text(encoding="utf-8"))
        for key in ("files", "made_here"):
            stored[key] = {
                str(checked_name(name)): StoredFile(**entry) for name, entry in stored[key].items()
            }
        record = Record(**stored)
        _check_types(record)
        return record
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{path} is damaged ({printable(error, 200)}). Remove it; the next download writes it "
            "again."
        ) from error


def _check_types(record: Record) -> None:
    texts = [
        record.origin,
        record.sha256,
        record.date,
        *(record.only or []),
        *(stored.sha256 for stored in (*record.files.values(), *record.made_here.values())),
    ]
    numbers = [
        record.n_bytes,
        *(stored.n_bytes for stored in (*record.files.values(), *record.made_here.values())),
    ]
    if not (
        isinstance(record.only, list | None)
        and all(type(text) is str for text in texts)
        and all(type(number) is int and number >= 0 for number in numbers)
    ):
        raise TypeError("a text or a number is none")


def write_record(paths: ProjectPaths, name: str, record: Record) -> None:
    """Write what is known of a download, whole or not at all."""
    path = downloads_folder(paths) / f"{name}.json"
    remove_abandoned(path)
    with atomic_file(path) as staging:
        staging.write_text(json.dumps(asdict(record), indent=1), encoding="utf-8")


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock of a root's downloads while the block runs.

    Raises
    ------
    InputError
        Another process holds it.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(lock_file(path))
        except LockedError as error:
            raise InputError(
                f"Another download into {path.parent.parent} is running (it holds {path}). "
                "Wait for it, or stop it."
            ) from error
        yield

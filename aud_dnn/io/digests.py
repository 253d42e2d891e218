"""Checksums, and the one rule by which something derived is current.

**The rule.** Whatever is made from something else (a regression result, a part of the RSA, a table,
a report) records the digests of what it was made from. It is current only if all of these hold now
(:func:`outdated`). Times of files decide nothing: a copy that keeps its time stamp, an archive that
is unpacked, a clock that is wrong would all be believed.

**Sparing the work.** To digest all activations of a large installation takes minutes.
:class:`DigestMemo` remembers a digest together with size, times (of content and of inode) and inode
number of the files that it came from, and gives it back while *none* of these has changed. Where
one has, the content is read and digested again; so a changed time stamp costs time and never makes
anything stale by itself.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from aud_dnn.io.atomic import atomic_file

if TYPE_CHECKING:
    import pandas as pd

MEMO_FILE = ".digests.json"
_SETTLED_NS = 2_500_000_000  # time stamps of file systems are up to two seconds coarse
_LARGEST_MEMO = 64 << 20  # bytes; more is no memo of ours


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def array_digest(array: np.ndarray) -> str:
    """SHA-256 of an array's values, shape and type."""
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def table_digest(table: pd.DataFrame) -> str:
    """SHA-256 of a table's column names and values, row by row; the index does not count.

    Values count as they print (text, the shortest decimal that gives a number back), so that the
    types that different versions of pandas choose for the same content make no difference.
    """
    digest = hashlib.sha256()
    for name in table.columns:
        column = table[name]
        values = [
            "" if absent else str(value)
            for value, absent in zip(column.tolist(), column.isna().tolist())
        ]
        digest.update(json.dumps([str(name), *values]).encode())
    return digest.hexdigest()


def combined_digest(digests: Iterable[str]) -> str:
    """One digest of several, in the order given."""
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def outdated(recorded: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    """Names of what has changed, or was never recorded; empty where what was derived is current.

    Parameters
    ----------
    recorded : mapping from a name (``"activations"``) to the digest that the derived thing holds
    now : mapping from the same names to the digests of what is there
    """
    return [name for name, digest in now.items() if recorded.get(name) != digest]


class DigestMemo:
    """Digests remembered for as long as the files they came from are untouched (see the module's
    notes).

    Parameters
    ----------
    folder : Path
        Where the memo is kept between runs (``.digests.json``); a folder of results. Losing or
        damaging the file costs time only.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / MEMO_FILE
        self._known = _read_memo(self._path)
        self._fresh: dict[str, dict[str, str]] = {}

    def of(self, files: Iterable[Path], what: str, compute: Callable[[], str]) -> str:
        """The digest called ``what`` of the content of ``files``.

        Computed only if one of them is not as it was.

        Parameters
        ----------
        files : iterable of Path
            Everything that ``compute`` reads.
        what : str
            Tells apart different digests of the same files, for example the layers of one file.
        compute : function without arguments
        """
        files = list(files)
        key = combined_digest(str(path.absolute()) for path in files)
        before, newest = _signature(files)
        entry = self._known.get(key)
        if entry is not None and entry.get("files") == before and what in entry:
            return entry[what]
        digest = compute()
        if _signature(files)[0] == before and newest < time.time_ns() - _SETTLED_NS:
            if entry is None or entry.get("files") != before:
                entry = self._known[key] = {"files": before}
            entry[what] = digest
            self._fresh[key] = entry
        return digest

    def file(self, path: Path) -> str:
        """:func:`file_digest` of one file."""
        return self.of([path], "content", lambda: file_digest(path))

    def save(self) -> None:
        """Keep what was learned for later runs.

        A folder that cannot be written costs them time only.
        """
        if not self._fresh:
            return
        try:
            with atomic_file(self._path) as staging:  # other runs may have learned something since
                known = {**_read_memo(self._path), **self._fresh}
                staging.write_text(
                    json.dumps({"sha256": _memo_digest(known), "known": known}), encoding="utf-8"
                )
        except OSError:
            return
        self._fresh = {}


def _signature(files: Iterable[Path]) -> tuple[str, int]:
    """Size, times and inode of all files in one string, and the latest of the times."""
    newest, parts = 0, []
    for path in files:
        status = path.stat()
        newest = max(newest, status.st_mtime_ns, status.st_ctime_ns)
        parts.append(f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}")
    return parts[0] if len(parts) == 1 else combined_digest(parts), newest


def _memo_digest(known: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


def _read_memo(path: Path) -> dict[str, dict[str, str]]:
    """What earlier runs learned.

    A memo that is not as it was written would make good results look damaged: it is lost.
    """
    try:
        if path.stat().st_size > _LARGEST_MEMO:
            return {}
        content = json.loads(path.read_text(encoding="utf-8"))
        known = content["known"]
        if content["sha256"] != _memo_digest(known):
            return {}
    except (OSError, ValueError, RecursionError, KeyError, TypeError, IndexError):
        return {}
    if not isinstance(known, dict):
        return {}
    return {
        key: entry
        for key, entry in known.items()
        if isinstance(entry, dict) and all(isinstance(value, str) for value in entry.values())
    }

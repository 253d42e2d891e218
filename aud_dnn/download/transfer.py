"""Bring one file from a web server to the disk, whole.

The transport is ``requests``; this module decides what a broken or changed answer means. A file grows under the name
``<name>.part`` and gets its own name only when all of it is there. What identifies the server's copy (ETag or date, and
length) is kept beside it, so that a later run goes on where this one stopped, and starts over when the copy has changed.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import requests
import urllib3
from tqdm import tqdm

from aud_dnn.atomic import atomic_file
from aud_dnn.errors import InputError

ATTEMPTS = 8
"""Failures in a row, without one new byte, before a download gives up."""
TIMEOUT = (15.0, 60.0)
"""Seconds to wait for a connection, and for the next bytes."""
_LONGEST_WAIT = 60.0
_CHUNK = 1 << 16
_TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}
_OTHER_WAYS = "Try again later, name a mirror with --base_url, or bring the archive by hand (--from_dir)."


class DownloadError(InputError):
    """A download did not succeed; the message says why and what to do."""


class _Interrupted(Exception):
    """This attempt failed; the next may succeed."""

    def __init__(self, reason: str, retry_after: float | None = None):
        super().__init__(reason)
        self.retry_after = retry_after


@dataclass(frozen=True)
class _ServerCopy:
    """What tells one version of the file on the server from another."""

    url: str
    validator: str | None  # a strong ETag, else the date of the last change; None: cannot be resumed
    n_bytes: int | None

    @classmethod
    def read(cls, path: Path) -> _ServerCopy | None:
        try:
            return cls(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, path: Path) -> None:
        with atomic_file(path) as staging:
            staging.write_text(json.dumps(asdict(self)))


@dataclass(frozen=True)
class Downloaded:
    """A complete file: where it is, its length in bytes and its SHA-256."""

    path: Path
    n_bytes: int
    sha256: str


def remote_size(url: str, timeout: tuple[float, float] = TIMEOUT) -> int | None:
    """Length in bytes that the server states for ``url``; None when it states none.

    Raises
    ------
    DownloadError
        The server cannot be reached or has no such file.
    """
    try:
        with requests.head(url, allow_redirects=True, timeout=timeout, headers={"Accept-Encoding": "identity"}) as answer:
            answer.raise_for_status()
            return _number(answer.headers.get("Content-Length"))
    except requests.RequestException as error:
        raise DownloadError(f"{url}: {_short(error)}.") from error


def download(url: str, target: Path, *, max_bytes: int, sha256: str | None = None, progress: bool = True,
             attempts: int = ATTEMPTS, timeout: tuple[float, float] = TIMEOUT,
             wait: Callable[[float], None] = time.sleep) -> Downloaded:
    """Download ``url`` to ``target``: resumed after a cut, tried again with growing pauses, compared with its checksum.

    Parameters
    ----------
    url : str
        An http or https address.
    target : Path
        Gets its name only when the file is whole.
    max_bytes : int
        Refuse anything longer.
    sha256 : str, optional
        Expected checksum.
    progress : bool
        Show a bar with rate and time left.
    attempts : int
        Failures in a row, without a new byte, before giving up.
    timeout : (float, float)
        Seconds to wait for the connection and for the next bytes.
    wait : callable
        Called with the seconds to pause.

    Raises
    ------
    DownloadError
        The server refuses, offers another file than expected, or stays out of reach; or the disk is full.
    """
    if not url.startswith(("http://", "https://")):
        raise DownloadError(f"{url!r} is no web address; it must begin with https:// or http://.")
    target.parent.mkdir(parents=True, exist_ok=True)
    one = _Download(url, target, max_bytes, progress, timeout)
    failures, most, mismatched = 0, one.here(), False
    with requests.Session() as session:
        while True:
            try:
                resumed = one.attempt(session)
            except _Interrupted as reason:
                failures = 1 if one.here() > most else failures + 1
                most = max(most, one.here())
                if failures >= attempts:
                    kept = (f" {one.here():,} bytes are kept in {one.part}; the same command goes on from there."
                            if one.here() else "")
                    raise DownloadError(f"{url} failed {failures} times in a row: {reason}.{kept} {_OTHER_WAYS}") from reason
                pause = min(_LONGEST_WAIT, 2.0 ** (failures - 1) * random.uniform(0.75, 1.25))
                if reason.retry_after is not None:
                    pause = min(max(pause, reason.retry_after), 2 * _LONGEST_WAIT)
                if progress:
                    tqdm.write(f"{target.name}: {reason}; trying again in {pause:.0f} s")
                wait(pause)
                continue
            digest = one.digest.hexdigest()
            if sha256 is None or digest == sha256:
                return one.finish(digest)
            n_bytes = one.here()
            one.drop()
            if resumed and not mismatched:  # perhaps two versions were joined: once more, in one piece
                mismatched = True
                continue
            raise DownloadError(f"{url} arrived whole ({n_bytes:,} bytes) but its SHA-256 is {digest}; expected {sha256}. "
                                "The file on the server is not the one that was recorded; it was dropped. If the change is "
                                "announced, --overwrite takes the new file.")


class _Download:
    """The state of one download between its attempts."""

    def __init__(self, url: str, target: Path, max_bytes: int, progress: bool, timeout: tuple[float, float]):
        self.url, self.target, self.max_bytes = url, target, max_bytes
        self.progress, self.timeout = progress, timeout
        self.part = target.with_name(target.name + ".part")
        self.note = target.with_name(target.name + ".part.json")
        self.digest = hashlib.sha256()

    def here(self) -> int:
        """Bytes that are on the disk."""
        return self.part.stat().st_size if self.part.is_file() else 0

    def drop(self) -> None:
        self.part.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def finish(self, digest: str) -> Downloaded:
        n_bytes = self.here()
        with self.part.open("rb") as stream:
            os.fsync(stream.fileno())
        self.part.replace(self.target)
        self.note.unlink(missing_ok=True)
        return Downloaded(self.target, n_bytes, digest)

    def _known(self) -> _ServerCopy | None:
        """What the part on the disk is a part of; a part that cannot be gone on with is dropped."""
        known = _ServerCopy.read(self.note)
        here = self.here()
        if known and known.url == self.url and known.validator and here and (not known.n_bytes or here <= known.n_bytes):
            return known
        self.drop()
        return None

    def _hash_part(self) -> None:
        self.digest = hashlib.sha256()
        if self.part.is_file():
            with self.part.open("rb") as stream:
                while chunk := stream.read(1 << 20):
                    self.digest.update(chunk)

    def attempt(self, session: requests.Session) -> bool:
        """Fetch what is missing; true when the file was put together from more than one answer."""
        known = self._known()
        self._hash_part()
        if known and known.n_bytes == self.here():
            return True
        headers = {"Accept-Encoding": "identity"}
        if known:
            headers |= {"Range": f"bytes={self.here()}-", "If-Range": known.validator}
        try:
            with session.get(self.url, stream=True, timeout=self.timeout, headers=headers) as answer:
                copy, start = self._judge(answer, known)
                self._receive(answer, copy, start)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise _Interrupted(_short(error)) from error
        return start > 0

    def _judge(self, answer: requests.Response, known: _ServerCopy | None) -> tuple[_ServerCopy, int]:
        """Whether the answer can be used; the copy it belongs to, and the byte it starts at."""
        status = answer.status_code
        if self.url.startswith("https:") and not answer.url.startswith("https:"):
            raise DownloadError(f"{self.url} was redirected to an address without encryption ({answer.url}). {_OTHER_WAYS}")
        if status in _TRY_AGAIN:
            raise _Interrupted(f"the server answered {status} {answer.reason}", _number(answer.headers.get("Retry-After")))
        if status == 416 and known:
            self.drop()
            raise _Interrupted("the server's file is shorter than what is here; starting over")
        if status not in (200, 206):
            meaning = {403: "access is refused", 404: "there is no such file", 410: "the file is gone"}.get(status, "")
            raise DownloadError(f"{self.url}: the server answered {status} {answer.reason}{meaning and f' ({meaning})'}. "
                                f"{_OTHER_WAYS}")
        if answer.headers.get("Content-Type", "").startswith("text/html"):
            raise DownloadError(f"{self.url} sent a web page where an archive was expected. {_OTHER_WAYS}")
        start, n_bytes = 0, _number(answer.headers.get("Content-Length"))
        if status == 206:
            match = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", answer.headers.get("Content-Range", ""))
            start, n_bytes = (int(match[1]), int(match[2])) if match else (-1, None)
        copy = _ServerCopy(self.url, _validator(answer), n_bytes)
        if status == 206 and (known is None or start != self.here() or copy.n_bytes != (known.n_bytes or copy.n_bytes)
                              or copy.validator not in (known.validator, None)):
            self.drop()
            raise _Interrupted("the file on the server has changed; starting over")
        if n_bytes is not None and n_bytes > self.max_bytes:
            raise DownloadError(f"{self.url} has {n_bytes:,} bytes; at most {self.max_bytes:,} are stated for it. "
                                "This is not the published file.")
        if status == 206:
            return known if known.n_bytes else copy, start
        self.drop()
        self.digest = hashlib.sha256()
        copy.write(self.note)
        return copy, 0

    def _receive(self, answer: requests.Response, copy: _ServerCopy, start: int) -> None:
        """Append the body of the answer to the part."""
        here = start
        with self.part.open("ab") as out, tqdm(total=copy.n_bytes, initial=start, desc=self.target.name, unit="B",
                                               unit_scale=True, unit_divisor=1000, disable=not self.progress) as bar:
            for chunk in answer.raw.stream(_CHUNK, decode_content=False):
                if here + len(chunk) > (self.max_bytes if copy.n_bytes is None else copy.n_bytes):
                    out.close()
                    self.drop()
                    raise DownloadError(f"{self.url} sends more bytes than are stated for it. {_OTHER_WAYS}")
                try:
                    out.write(chunk)
                    out.flush()
                except OSError as error:
                    if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                        raise
                    missing = f"; {copy.n_bytes - here:,} more are needed" if copy.n_bytes else ""
                    raise DownloadError(f"The disk is full: {here:,} bytes of {self.target.name} are in {self.part}"
                                        f"{missing}. Make room and run the same command again; it goes on from "
                                        "there.") from error
                self.digest.update(chunk)
                here += len(chunk)
                bar.update(len(chunk))
        if copy.n_bytes is not None and here < copy.n_bytes:
            raise _Interrupted(f"the connection broke off after {here:,} of {copy.n_bytes:,} bytes")


def _validator(answer: requests.Response) -> str | None:
    tag = answer.headers.get("ETag")
    if tag and not tag.startswith("W/"):  # a weak tag does not promise the same bytes
        return tag
    return answer.headers.get("Last-Modified")


def _number(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch(r"\d{1,18}", text.strip()) else None


def _short(error: Exception) -> str:
    """One readable reason out of the nested errors of the transport."""
    text = str(error)
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answered {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return "the server did not answer in time"
    if isinstance(error, requests.ConnectionError) and "Max retries" in text:
        return "the server cannot be reached"
    if "IncompleteRead" in text or isinstance(error, urllib3.exceptions.ProtocolError):
        return "the connection broke off"
    return text[:200]

"""Bring one file from a web server to the disk, whole.

The transport is :mod:`aud_dnn.download.exchange`; this module decides what a broken or changed
answer means. A file grows under the name ``<name>.part`` and gets its own name only when all of it
is there. What identifies the server's copy (ETag or date, and length) is kept beside it, so that a
later run goes on where this one stopped. It goes on only where the server names the same copy
again; a part that cannot be matched is dropped, since two versions joined would look whole.

Nothing is waited for without end: see :data:`ATTEMPTS`, :data:`MOST_ATTEMPTS`, :data:`WINDOW` and
:data:`LONGEST`.
"""

from __future__ import annotations

import errno
import hashlib
import os
import random
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import requests
from tqdm import tqdm

from aud_dnn.download.exchange import (
    CHUNK,
    TIMEOUT,
    WINDOW,
    ExchangeError,
    UnreachableError,
    exchange,
)
from aud_dnn.download.server_copies import (
    Downloaded,
    DownloadError,
    Interrupted,
    ServerCopy,
    status_of,
    validator_of,
    whole_number,
)
from aud_dnn.io.atomic import remove_abandoned
from aud_dnn.io.progress import progress_bar

ATTEMPTS = 8
"""Failures in a row, without progress, before a download gives up.

Progress is a chunk, or a thousandth of the file.
"""
UNREACHABLE_ATTEMPTS = 3
"""The same for a server that has not been reached once.

The network here is down, the name is wrong, or the server no longer exists.
"""
MOST_ATTEMPTS = 1000
"""Attempts in all, progress or not."""
LONGEST = 24 * 3600.0
"""Seconds that one download may take in all. The part is kept, so that the same command goes on."""
_LONGEST_WAIT = 60.0
_TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}
_OTHER_WAYS = (
    "Try again later, name a mirror with --base_url, or bring the archive by hand (--from_dir)."
)


def remote_size(
    url: str, timeout: tuple[float, float] = TIMEOUT, window: float = WINDOW
) -> int | None:
    """Length in bytes that the server states for ``url``; None when it states none.

    Raises
    ------
    DownloadError
        The server cannot be reached or has no such file.
    """
    stream = exchange("HEAD", url, {"Accept-Encoding": "identity"}, timeout, window)
    try:
        answer = next(stream)
    except ExchangeError as error:
        raise DownloadError(f"{url}: {error}.") from error
    finally:
        stream.close()
    if answer.status_code >= 400:
        raise DownloadError(f"{url}: {status_of(answer)}.")
    return whole_number(answer.headers.get("Content-Length"))


def download(
    url: str,
    target: Path,
    *,
    max_bytes: int,
    sha256: str | None = None,
    progress: bool = True,
    attempts: int = ATTEMPTS,
    timeout: tuple[float, float] = TIMEOUT,
    window: float = WINDOW,
    longest: float = LONGEST,
    wait: Callable[[float], None] = time.sleep,
) -> Downloaded:
    """Download ``url`` to ``target``.

    Resumed after a cut, tried again with growing pauses, compared with its checksum.

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
        Failures in a row, without progress, before giving up.
    timeout : (float, float)
        Seconds to wait for the connection and for the next bytes.
    window : float
        Seconds within which an answer must begin and each chunk must be there.
    longest : float
        Seconds that the whole may take.
    wait : callable
        Called with the seconds to pause.

    Raises
    ------
    DownloadError
        The server refuses, offers another file than expected, or stays out of reach; or the disk is
        full.
    """
    if not url.startswith(("http://", "https://")):
        raise DownloadError(
            f"{url!r} is not a web address; it must begin with https:// or http://."
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(target.with_name(target.name + ".part.json"))
    one = _Download(url, target, max_bytes, progress, timeout, window)
    begun, failures, most, mismatched, reached = time.monotonic(), 0, one.here(), False, False
    for attempt in range(1, MOST_ATTEMPTS + 1):
        try:
            resumed = one.attempt()
        except Interrupted as reason:
            reached = reached or reason.reached
            advance = one.here() - most
            failures = 1 if advance >= one.least_progress() else failures + 1
            most = max(most, one.here())
            late = time.monotonic() - begun > longest
            if (
                failures >= (attempts if reached else UNREACHABLE_ATTEMPTS)
                or attempt == MOST_ATTEMPTS
                or late
            ):
                kept = (
                    f" {one.here():,} bytes are kept in {one.part}; the same command goes on from "
                    "there."
                    if one.here()
                    else ""
                )
                how_often = (
                    f"was not finished within {longest / 3600:,.0f} hours"
                    if late
                    else f"failed {failures} times in a row"
                    if failures > 1
                    else f"failed {attempt} times"
                )
                raise DownloadError(f"{url} {how_often}: {reason}.{kept} {_OTHER_WAYS}") from reason
            pause = min(_LONGEST_WAIT, 2.0 ** (failures - 1) * random.uniform(0.75, 1.25))
            if reason.retry_after is not None:
                pause = min(max(pause, reason.retry_after), 2 * _LONGEST_WAIT)
            if progress:
                tqdm.write(
                    f"{target.name}: {reason}; trying again in {pause:.0f} s", file=sys.stderr
                )
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
        raise DownloadError(
            f"{url} arrived whole ({n_bytes:,} bytes) but its SHA-256 is {digest}; expected "
            f"{sha256}. The file on the server is not the one that was recorded; it was dropped. "
            "If the change is announced, --overwrite takes the new file."
        )
    raise AssertionError("the last attempt either returns or raises")


class _Download:
    """The state of one download between its attempts."""

    def __init__(
        self,
        url: str,
        target: Path,
        max_bytes: int,
        progress: bool,
        timeout: tuple[float, float],
        window: float = WINDOW,
    ):
        self.url, self.target, self.max_bytes = url, target, max_bytes
        self.progress, self.timeout, self.window = progress, timeout, window
        self.n_bytes: int | None = None  # of the whole file, as the server says
        self.part = target.with_name(target.name + ".part")
        self.note = target.with_name(target.name + ".part.json")
        self.digest = hashlib.sha256()

    def here(self) -> int:
        """Bytes that are on the disk."""
        return self.part.stat().st_size if self.part.is_file() else 0

    def least_progress(self) -> int:
        """New bytes that make an attempt count as one that succeeded in part."""
        return min(CHUNK, max(1, (self.n_bytes or CHUNK * 1000) // 1000))

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

    def _known(self) -> ServerCopy | None:
        """What the part on the disk is a part of; a part that cannot be gone on with is dropped."""
        known = ServerCopy.read(self.note)
        here = self.here()
        if (
            known
            and known.url == self.url
            and known.validator
            and here
            and (not known.n_bytes or here <= known.n_bytes)
        ):
            return known
        self.drop()
        return None

    def _hash_part(self) -> None:
        self.digest = hashlib.sha256()
        if self.part.is_file():
            with self.part.open("rb") as stream:
                while chunk := stream.read(1 << 20):
                    self.digest.update(chunk)

    def attempt(self) -> bool:
        """Fetch what is missing; true when the file was put together from more than one answer."""
        known = self._known()
        self._hash_part()
        if known and known.n_bytes == self.here():
            return True
        headers = {"Accept-Encoding": "identity"}
        if known:
            headers |= {"Range": f"bytes={self.here()}-", "If-Range": known.validator}
        stream = exchange("GET", self.url, headers, self.timeout, self.window)
        try:
            answer = next(stream)
            copy, start = self._judge(answer, known)
            self.n_bytes = copy.n_bytes
            self._receive(stream, copy, start)
        except UnreachableError as error:
            raise Interrupted(str(error), reached=False) from error
        except ExchangeError as error:
            if error.final:
                raise DownloadError(f"{self.url}: {error}. {_OTHER_WAYS}") from error
            raise Interrupted(str(error)) from error
        finally:
            stream.close()
        return start > 0

    def _judge(self, answer: requests.Response, known: ServerCopy | None) -> tuple[ServerCopy, int]:
        """Whether the answer can be used; the copy it belongs to, and the byte it starts at."""
        status = answer.status_code
        if self.url.startswith("https:") and not answer.url.startswith("https:"):
            raise DownloadError(
                f"{self.url} was redirected to an address without encryption ({answer.url}). "
                f"{_OTHER_WAYS}"
            )
        if status in _TRY_AGAIN:
            raise Interrupted(status_of(answer), whole_number(answer.headers.get("Retry-After")))
        if status == 416 and known:
            self.drop()
            raise Interrupted("the server's file is shorter than what is here; starting over")
        if status not in (200, 206):
            meaning = {
                403: "access is refused",
                404: "there is no such file",
                410: "the file no longer exists",
            }.get(status, "")
            raise DownloadError(
                f"{self.url}: {status_of(answer)}{meaning and f' ({meaning})'}. {_OTHER_WAYS}"
            )
        if answer.headers.get("Content-Type", "").startswith("text/html"):
            raise DownloadError(
                f"{self.url} sent a web page where an archive was expected. {_OTHER_WAYS}"
            )
        start, n_bytes = 0, whole_number(answer.headers.get("Content-Length"))
        if status == 206:
            match = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", answer.headers.get("Content-Range", ""))
            start, n_bytes = (int(match[1]), int(match[2])) if match else (-1, None)
        copy = ServerCopy(self.url, validator_of(answer), n_bytes)
        if status == 206 and (
            known is None
            or start != self.here()
            or copy.n_bytes is None
            or copy.n_bytes != (known.n_bytes or copy.n_bytes)
            or copy.validator != known.validator
        ):
            self.drop()
            same = known is not None and copy.validator is None
            raise Interrupted(
                "the server does not say that the rest belongs to what is here; starting over"
                if same
                else "the file on the server has changed; starting over"
            )
        if n_bytes is not None and n_bytes > self.max_bytes:
            raise DownloadError(
                f"{self.url} has {n_bytes:,} bytes; at most {self.max_bytes:,} are stated for it. "
                "This is not the published file."
            )
        if status == 206:
            return known if known.n_bytes else copy, start
        self.drop()
        self.digest = hashlib.sha256()
        copy.write(self.note)
        return copy, 0

    def _receive(self, body: Iterator[bytes], copy: ServerCopy, start: int) -> None:
        """Append the body of the answer to the part."""
        here = start
        with (
            self.part.open("ab") as out,
            progress_bar(
                copy.n_bytes,
                "B",
                wanted=self.progress,
                initial=start,
                desc=self.target.name,
                unit_scale=True,
                unit_divisor=1000,
            ) as bar,
        ):
            for chunk in body:
                if here + len(chunk) > (self.max_bytes if copy.n_bytes is None else copy.n_bytes):
                    out.close()
                    self.drop()
                    raise DownloadError(
                        f"{self.url} sends more bytes than are stated for it. {_OTHER_WAYS}"
                    )
                try:
                    out.write(chunk)
                    out.flush()
                except OSError as error:
                    if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                        raise
                    missing = f"; {copy.n_bytes - here:,} more are needed" if copy.n_bytes else ""
                    raise DownloadError(
                        f"The disk is full: {here:,} bytes of {self.target.name} are in "
                        f"{self.part}{missing}. Free some space and run the same command again; it "
                        "goes on from there."
                    ) from error
                self.digest.update(chunk)
                here += len(chunk)
                bar.update(len(chunk))
        if copy.n_bytes is not None and here < copy.n_bytes:
            raise Interrupted(f"the connection broke off after {here:,} of {copy.n_bytes:,} bytes")

"""One question to a web server and its answer, none of it waited for without end.

The transport is ``requests``. Its timeouts begin again with every byte, so a server that drips, or
that says "100 Continue" for ever, would hold a program as long as it likes; and nothing can
interrupt the look-up of a name. So the exchange runs in a thread of its own, which hands over what
arrives, and is left behind when the next piece does not come in time.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import queue
import socket
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import requests
import urllib3

from aud_dnn.errors import printable

TIMEOUT = (15.0, 60.0)
"""Seconds to wait for a connection, and for the next byte."""
WINDOW = 60.0
"""Seconds within which an answer must begin, and each chunk be complete: about 1 kB a second."""
CHUNK = 1 << 16

_UNREACHABLE = {
    errno.ENETUNREACH: "there is no network",
    errno.EHOSTUNREACH: "there is no way to it from here",
    errno.ECONNREFUSED: "the connection is refused",
}
_ADDRESS_ERRORS = (
    UnicodeError,
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
    urllib3.exceptions.LocationValueError,
)
_NO_NAME = (
    socket.gaierror,
    getattr(urllib3.exceptions, "NameResolutionError", socket.gaierror),  # since urllib3 2.0
)


class ExchangeError(Exception):
    """There is no answer, or it broke off; the message says why.

    ``final``: asking again cannot help.
    """

    def __init__(self, reason: str, final: bool = False):
        super().__init__(printable(reason))
        self.final = final


class UnreachableError(ExchangeError):
    """No connection to the server was made."""


class _LeftBehind(Exception):
    """Nobody waits for this exchange any more."""


def exchange(
    method: str,
    url: str,
    headers: Mapping[str, str],
    timeout: tuple[float, float] = TIMEOUT,
    window: float = WINDOW,
) -> Iterator[Any]:
    """Yield the answer, then its body in chunks, as they are sent.

    Close the iterator when done with it.

    Parameters
    ----------
    method, url, headers
        What to ask; redirects are followed.
    timeout : (float, float)
        Seconds to wait for a connection and for the next byte.
    window : float
        Seconds within which each piece must be complete.

    Raises
    ------
    ExchangeError
        No answer, no proper answer, or not in time.
    """
    pieces: queue.Queue = queue.Queue(maxsize=4)
    left_behind = threading.Event()

    def hand_over(piece: Any) -> None:
        while not left_behind.is_set():
            try:
                return pieces.put(piece, timeout=0.1)
            except queue.Full:
                continue
        raise _LeftBehind

    def run() -> None:
        try:
            with (
                requests.Session() as session,
                session.request(
                    method,
                    url,
                    headers=dict(headers),
                    stream=True,
                    timeout=timeout,
                    allow_redirects=True,
                ) as answer,
            ):
                hand_over(answer)
                for chunk in answer.raw.stream(CHUNK, decode_content=False):
                    hand_over(chunk)
            hand_over(None)
        except _LeftBehind:
            pass
        except Exception as error:  # raised again where somebody waits for it
            with contextlib.suppress(_LeftBehind):
                hand_over(error)

    threading.Thread(target=run, name=f"exchange with {url}", daemon=True).start()
    first = True
    try:
        while True:
            try:
                piece = pieces.get(timeout=window)
            except queue.Empty:
                what = "sent no answer" if first else f"sent less than {CHUNK >> 10} kB"
                raise ExchangeError(f"the server {what} within {window:g} s") from None
            if piece is None:
                return
            if isinstance(piece, BaseException):
                raise _explained(piece) from piece
            yield piece
            first = False
    finally:
        left_behind.set()


def _explained(error: BaseException) -> BaseException:
    """The error that says in one sentence what went wrong.

    What is no fault of the exchange comes back as it is.
    """
    causes = _causes(error)
    if (
        any(isinstance(cause, _ADDRESS_ERRORS) for cause in causes) or type(error) is ValueError
    ):  # of urllib.parse
        return ExchangeError(
            f"this is not a web address, or the server redirects to something that is not one "
            f"({printable(error, 120)})",
            final=True,
        )
    if isinstance(error, requests.exceptions.TooManyRedirects):
        return ExchangeError("the server redirects in a circle", final=True)
    if isinstance(error, requests.exceptions.SSLError):
        return ExchangeError(
            f"no encrypted connection can be made ({printable(causes[-1], 120)})", final=True
        )
    if any(isinstance(cause, _NO_NAME) for cause in causes):
        return UnreachableError("its name cannot be looked up (is there a network here?)")
    if isinstance(error, requests.exceptions.ProxyError):
        return UnreachableError(f"the proxy does not help ({printable(causes[-1], 120)})")
    number = next(
        (
            cause.errno
            for cause in causes
            if isinstance(cause, OSError) and cause.errno in _UNREACHABLE
        ),
        None,
    )
    if number is not None:
        return UnreachableError(f"the server cannot be reached: {_UNREACHABLE[number]}")
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return UnreachableError("the server cannot be reached: no connection in time")
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return ExchangeError("the server did not answer in time")
    if isinstance(error, requests.ConnectionError) and "Max retries" in str(error):
        return UnreachableError("the server cannot be reached")
    if any(
        isinstance(cause, urllib3.exceptions.ProtocolError | http.client.HTTPException)
        for cause in causes
    ):
        return ExchangeError("the connection broke off")
    if isinstance(
        error, requests.RequestException | urllib3.exceptions.HTTPError | OSError | ValueError
    ):
        return ExchangeError(f"{type(error).__name__}: {printable(error, 200)}")
    return error


def _causes(error: BaseException) -> list[BaseException]:
    """The error and all that it wraps, outermost first."""
    found: list[BaseException] = []
    pending: list[BaseException | None] = [error]
    while pending:
        one = pending.pop(0)
        if one is None or one in found:
            continue
        found.append(one)
        inside = [*one.args, getattr(one, "reason", None), one.__cause__, one.__context__]
        pending += [cause for cause in inside if isinstance(cause, BaseException)]
    return found

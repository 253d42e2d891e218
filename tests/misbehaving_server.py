"""A real HTTP server on loopback that serves made files and misbehaves on command."""

from __future__ import annotations

import re
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Page:
    """What the server has under one name, and how it behaves. ``plan`` holds one behaviour per
    request to come.

    Behaviours: an integer status; ``("cut", n)`` closes after n bytes of the body; ``("reset", n)``
    resets the connection; ``("stall", n)`` stops sending after n bytes; ``("slow", seconds)`` waits
    before it answers; ``("longer", n)`` states n bytes more than it sends; ``("shorter", n)``
    states n fewer; ``("swap", bytes)`` serves other contents from now on; ``"garbage"`` is no HTTP;
    ``"html"`` a web page; ``"wrong range"`` another part than asked for; ``"no range"`` the whole;
    ``("untagged", bytes)`` serves other contents, without ETag or date; ``("short range", n)``
    sends n bytes of what was asked for and says so; ``("continue", seconds)`` says "100 Continue"
    for so long; ``("drip", seconds)`` sends a byte every so many seconds; ``("raw", bytes)`` sends
    these bytes and nothing else; ``"endless head"`` drips its header.
    """

    content: bytes
    etag: str | None = '"v1"'
    modified: str | None = None
    ranges: bool = True
    heed_if_range: bool = True
    length: bool = True
    type: str = "application/x-tar"
    plan: list = field(default_factory=list)
    requests: list = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        page = self.server.pages.get(self.path.lstrip("/"))
        if page is None:
            return self._error(404)
        if page.plan and page.plan[0] == ("continue", 2):
            return self._no_answer(*page.plan[0])
        self.send_response(200)
        self.send_header("Content-Length", str(len(page.content)))
        self.end_headers()

    def do_GET(self):
        page = self.server.pages.get(self.path.lstrip("/"))
        if page is None:
            return self._error(404)
        page.requests.append(dict(self.headers))
        act = page.plan.pop(0) if page.plan else None
        kind, value = act if isinstance(act, tuple) else (act, None)
        if kind == "redirect":
            self.send_response(302)
            self.send_header("Location", value)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        if isinstance(kind, int):
            return self._error(kind, value)
        if kind == "swap":
            page.content, page.etag = value, '"v2"' if page.etag else None
        if kind == "slow":
            time.sleep(value)
        if kind == "garbage":
            self.wfile.write(b"\x00\xff not http at all\r\n\r\n")
            self.close_connection = True
            return None
        if kind in ("continue", "raw", "endless head"):
            return self._no_answer(kind, value)
        if kind == "untagged":
            page.content, page.etag, page.modified = value, None, None
        start = self._start(page, kind)
        if start is not None and start >= len(page.content):
            return self._error(416)
        self._send(page, start, kind, value)

    def _start(self, page, kind) -> int | None:
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if not match or not page.ranges or kind == "no range":
            return None
        known = (None, page.etag, page.modified)
        if page.heed_if_range and kind != "untagged" and self.headers.get("If-Range") not in known:
            return None
        return int(match[1])

    def _send(self, page, start, kind, value):
        body = page.content[start or 0 :]
        if kind == "short range" and start is not None:
            body = body[:value]
        stated = len(body) + {"longer": 1, "shorter": -1}.get(kind, 0) * (
            value or 0 if kind in ("longer", "shorter") else 0
        )
        self.send_response(200 if start is None else 206)
        if start is not None:
            first = start + (1 if kind == "wrong range" else 0)
            self.send_header(
                "Content-Range", f"bytes {first}-{start + len(body) - 1}/{len(page.content)}"
            )
        if page.etag:
            self.send_header("ETag", page.etag)
        if page.modified:
            self.send_header("Last-Modified", page.modified)
        self.send_header(
            "Content-Type", "text/html; charset=utf-8" if kind == "html" else page.type
        )
        if page.length:
            self.send_header("Content-Length", str(stated))
        else:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        sent = body[:value] if kind in ("cut", "reset", "stall") else body
        if kind == "drip":
            return self._drip(sent, value)
        if page.length:
            self.wfile.write(sent)
        else:
            for at in range(0, len(sent), 1000):
                piece = sent[at : at + 1000]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            if kind != "cut":
                self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()
        if kind == "stall":
            time.sleep(1.5)
        if kind == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if kind in ("cut", "reset", "stall", "longer", "shorter"):
            self.close_connection = True

    def _no_answer(self, kind, value):
        self.close_connection = True
        until = time.monotonic() + (value if kind == "continue" else 5)
        if kind == "raw":
            self.wfile.write(value)
        elif kind == "endless head":
            self._drip(b"HTTP/1.1 200 " + b"O" * 1000, 0.05)
        while kind == "continue" and time.monotonic() < until:
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            time.sleep(0.01)

    def _drip(self, content, pause):
        self.close_connection = True
        for at in range(min(len(content), int(5 / pause))):
            self.wfile.write(content[at : at + 1])
            self.wfile.flush()
            time.sleep(pause)

    def _error(self, status, retry_after=None):
        self.send_response(status)
        if retry_after:
            self.send_header("Retry-After", retry_after)
        self.send_header("Content-Length", "0")
        self.end_headers()


class MisbehavingServer:
    """Use as a context manager; ``pages`` maps a name to a :class:`Page`."""

    def __init__(self):
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *args: None
        self.pages: dict[str, Page] = {}
        self.server.pages = self.pages
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def put(self, name: str, content: bytes, **behaviour) -> Page:
        self.pages[name] = Page(content, **behaviour)
        return self.pages[name]

    def __enter__(self):
        self.thread = threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.server.shutdown()
        self.server.server_close()

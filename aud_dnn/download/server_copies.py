"""What is known of a file on a server, and errors on the way."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

import requests

from aud_dnn.errors import InputError, printable
from aud_dnn.io.atomic import atomic_file


class DownloadError(InputError):
    """A download did not succeed; the message says why and what to do."""


class Interrupted(Exception):
    """An attempt failed; the next may succeed."""

    def __init__(self, reason: str, retry_after: float | None = None, reached: bool = True):
        super().__init__(printable(reason))
        self.retry_after = retry_after
        self.reached = reached


@dataclass(frozen=True)
class ServerCopy:
    """What tells one version of the file on the server from another."""

    url: str
    validator: (
        str | None
    )  # a strong ETag, else the date of the last change; None: cannot be resumed
    n_bytes: int | None

    @classmethod
    def read(cls, path: Path) -> ServerCopy | None:
        try:
            copy = cls(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError, RecursionError):
            return None
        whole = copy.n_bytes is None or (type(copy.n_bytes) is int and copy.n_bytes >= 0)
        return copy if whole and isinstance(copy.validator, str) else None

    def write(self, path: Path) -> None:
        with atomic_file(path) as staging:
            staging.write_text(json.dumps(asdict(self)))


@dataclass(frozen=True)
class Downloaded:
    """A complete file: where it is, its length in bytes and its SHA-256."""

    path: Path
    n_bytes: int
    sha256: str


def validator_of(answer: requests.Response) -> str | None:
    """What tells one version of a file on a server from another; None if nothing does."""
    tag = answer.headers.get("ETag")
    if tag and not tag.startswith("W/"):  # a weak tag does not promise the same bytes
        return tag
    return answer.headers.get("Last-Modified")


def whole_number(text: str | None) -> int | None:
    """The number that a header holds; None for anything else."""
    return int(text) if text and re.fullmatch(r"\d{1,18}", text.strip()) else None


def status_of(answer: requests.Response) -> str:
    """The answer of a server in words."""
    return f"the server answered {answer.status_code} {printable(answer.reason or '', 60)}".rstrip()

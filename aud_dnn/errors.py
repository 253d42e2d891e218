"""The errors that a user of the scripts can meet and mend."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable

_MOST_COMPARED = 200    # letters of a name that is compared with others; the time grows with the square
_MOST_LISTED = 1000     # a file can name millions
_HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")    # control, direction and other invisible signs, half characters, line ends


def printable(text: object, most: int | None = None) -> str:
    """Text from a file or a server, safe to print: a terminal obeys escape codes, and half characters cannot be encoded.

    Parameters
    ----------
    text : object
        Whatever is neither printable nor a line feed is written as an escape (``\\x1b``).
    most : int, optional
        Cut what is longer than so many letters.
    """
    text = str(text)
    if most is not None and len(text) > most:
        text = text[:most] + "…"
    if text.isprintable():
        return text
    return "".join(letter if letter == "\n" or unicodedata.category(letter) not in _HIDDEN
                   else letter.encode("unicode_escape").decode() for letter in text)


class InputError(ValueError):
    """Something handed to the analysis is wrong; the message says what, where, and what to do.

    Scripts print the message without a traceback and exit with status 2. Messages quote names from files and servers, so
    what a terminal would obey is escaped here, once for all of them.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(printable(message))


class MissingDataError(InputError, FileNotFoundError):
    """A file that the analysis needs is not there; the message names the download that brings it."""

    def __str__(self) -> str:  # FileNotFoundError would format (errno, strerror)
        return str(self.args[0]) if self.args else ""


def unknown_name(kind: str, name: str, known: Iterable[str], remedy: str = "") -> InputError:
    """An :class:`InputError` for a name that is not known, with the nearest known names.

    Parameters
    ----------
    kind : str
        What was asked for, for example ``"layer of Kell2018word"``.
    name : str
        What was given.
    known : iterable of str
        What could have been given.
    remedy : str
        One more sentence on what to do.
    """
    names = [printable(candidate, _MOST_COMPARED) for candidate in known]
    name = printable(name, _MOST_COMPARED)
    folded = {candidate.lower(): candidate for candidate in names[:_MOST_LISTED]}
    nearest = [folded[hit] for hit in difflib.get_close_matches(name.lower(), folded, n=3, cutoff=0.5)]
    hint = f" Did you mean {' or '.join(nearest)}?" if nearest else ""
    listing = ", ".join(names[:_MOST_LISTED]) + (" …" if len(names) > _MOST_LISTED else "") if names else "none"
    return InputError(f"Unknown {kind}: {name!r}.{hint} Known: {listing}. {remedy}".rstrip())


class DamagedFileError(InputError):
    """A file is truncated, corrupt, or not of the format that its name promises."""


class UnsafePickleError(InputError):
    """A pickle asks for something that plain data never need; it was not opened."""

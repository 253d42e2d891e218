"""The errors that a user of the scripts can meet and mend."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any


class InputError(ValueError):
    """Something handed to the analysis is wrong; the message says what, where, and what to do.

    Scripts print the message without a traceback and exit with status 2.
    """


class MissingDataError(InputError, FileNotFoundError):
    """A file that the analysis needs is not there; the message names the download that brings it."""

    def __str__(self) -> str:  # FileNotFoundError would format (errno, strerror)
        return str(self.args[0]) if self.args else ""


def few(names: Sequence[Any], count: int = 3) -> str:
    """The first few of ``names``, for messages."""
    shown = ", ".join(str(name) for name in names[:count])
    return shown + (f", … ({len(names)} in all)" if len(names) > count else "")


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
    names = list(known)
    folded = {candidate.lower(): candidate for candidate in names}
    nearest = [folded[hit] for hit in difflib.get_close_matches(name.lower(), folded, n=3, cutoff=0.5)]
    hint = f" Did you mean {' or '.join(nearest)}?" if nearest else ""
    listing = ", ".join(names) if names else "none"
    return InputError(f"Unknown {kind}: {name!r}.{hint} Known: {listing}. {remedy}".rstrip())


class DamagedFileError(InputError):
    """A file is truncated, corrupt, or not of the format that its name promises."""


class UnsafePickleError(InputError):
    """A pickle asks for something that plain data never need; it was not opened."""

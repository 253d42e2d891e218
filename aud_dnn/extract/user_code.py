"""Errors in code that is not ours (a user's file, a library) as one line that says what was raised,
and where.
"""

from __future__ import annotations

import contextlib
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path

import aud_dnn
from aud_dnn.errors import InputError, is_memory_error

_OURS = str(Path(aud_dnn.__file__).parent)
_LIBRARIES = ("site-packages", "dist-packages", sysconfig.get_paths()["stdlib"])
_MOST_FRAMES = 3
_LONGEST = 300  # characters of an error's own message


@contextlib.contextmanager
def user_code(what: str, remedy: str = "") -> Iterator[None]:
    """Turn what the block raises into an :class:`InputError`.

    ``<what> failed (<error>; <file>, line <n>)``.

    Errors that are told already, and a lack of memory, pass through.

    Parameters
    ----------
    what : str
        The code that runs in the block, for people.
    remedy : str
        One more sentence on what to do.
    """
    try:
        yield
    except InputError:
        raise
    except SystemExit as error:
        raise InputError(
            f"{what} ended the program (sys.exit). Put what a script does when it is run under `if "
            "__name__ == "
            '"__main__":`, so that its functions can be imported.'
        ) from error
    except Exception as error:
        if is_memory_error(error):
            raise
        raise InputError(f"{what} failed ({describe_error(error)}). {remedy}".rstrip()) from error


def of_a_library(file: str) -> bool:
    """Whether a file of Python code belongs to an installed library or to Python itself."""
    return any(place in file for place in _LIBRARIES)


def describe_error(error: BaseException) -> str:
    """Type and message of an error, and the lines of the user's own files that led to it, on one
    line.
    """
    said = " ".join(str(error).split())
    said = said if len(said) <= _LONGEST else said[:_LONGEST] + " …"
    if isinstance(error, SyntaxError):  # its message names file and line
        return f"{type(error).__name__}: {said}"
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((_OURS, "<frozen"))
    ]
    own = [frame for frame in frames if not of_a_library(frame.filename)] or frames[-1:]
    places = [
        f"{frame.filename}, line {frame.lineno}, in {frame.name}"
        + (f": `{frame.line}`" if frame.line else "")
        for frame in own[-_MOST_FRAMES:]
    ]
    return "; ".join(
        [f"{type(error).__name__}: {said}" if said else type(error).__name__, *reversed(places)]
    )

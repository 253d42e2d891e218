"""The errors that a user of the scripts can meet and fix."""

from __future__ import annotations

import contextlib
import difflib
import errno
import os
import re
import sys
import unicodedata
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from aud_dnn import __version__

FAULT = (
    f"This is a fault of auditory_brain_dnn {__version__}, not of your data or your command. "
    "Please report it, with the lines above, your command and the output of `pip list`, as an "
    "issue in the repository that you have the code from."
)
_MOST_COMPARED = (
    200  # letters of a name that is compared with others; the time grows with the square
)
_MOST_LISTED = 1000  # names that are compared; a file can hold millions
_HIDDEN = (
    "Cc",
    "Cf",
    "Cs",
    "Zl",
    "Zp",
)  # control, direction and other invisible signs, half characters, line ends


def printable(text: object, most: int | None = None) -> str:
    """Text from a file or a server, safe to print.

    A terminal obeys escape codes, and half characters cannot be encoded.

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
    return "".join(
        letter
        if letter == "\n" or unicodedata.category(letter) not in _HIDDEN
        else letter.encode("unicode_escape").decode()
        for letter in text
    )


class InputError(ValueError):
    """Something handed to the analysis is wrong; the message says what, where, and what to do.

    Scripts print the message without a traceback and exit with status 2. Messages quote names from
    files and servers, so what a terminal would obey is escaped here, once for all of them.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(printable(message))


class NoControlError(InputError):
    """A network without anything to permute: it has no control."""


class MissingDataError(InputError, FileNotFoundError):
    """A file that the analysis needs is missing; the message names the download that brings it."""

    def __str__(self) -> str:  # FileNotFoundError would format (errno, strerror)
        return str(self.args[0]) if self.args else ""


def few(names: Sequence[Any], count: int = 3) -> str:
    """The first few of ``names``, for messages."""
    shown = ", ".join(str(name) for name in names[:count])
    return shown + (f", … ({len(names)} in all)" if len(names) > count else "")


_FEW_NAMES = 6


def unknown_name(kind: str, name: str, known: Iterable[str], remedy: str = "") -> InputError:
    """An :class:`InputError` for a name that is not known, with the nearest known names.

    Parameters
    ----------
    kind : str
        What was asked for, for example ``"layer of Kell2018word"``.
    name : str
        What was given.
    known : iterable of str
        What could have been given. Of a long list the message has the nearest few.
    remedy : str
        One more sentence on what to do.
    """
    names = list(dict.fromkeys(printable(candidate, _MOST_COMPARED) for candidate in known))
    name = printable(name, _MOST_COMPARED)
    folded = {candidate.lower(): candidate for candidate in names[:_MOST_LISTED]}
    close = [
        folded[hit]
        for hit in difflib.get_close_matches(name.lower(), folded, n=_FEW_NAMES, cutoff=0.5)
    ]
    hint = f" Did you mean {' or '.join(close[:3])}?" if close else ""
    shown = names
    if len(names) > 2 * _FEW_NAMES:
        shown = list(dict.fromkeys([*close, *names]))[:_FEW_NAMES]
    more = ""
    if len(names) > len(shown):
        flag = (
            "; --list_models shows them"
            if kind.startswith("model")
            else f"; --list_layers {kind.removeprefix('layer of ')} shows them"
            if kind.startswith("layer of ")
            else ""
        )
        more = f", … ({len(names)} in all{flag})"
    listing = ", ".join(shown) if names else "none"
    return InputError(f"Unknown {kind}: {name!r}.{hint} Known: {listing}{more}. {remedy}".rstrip())


class MissingPackageError(InputError):
    """A package that the project needs is not installed for the Python that runs."""

    def __init__(self, name: str | None) -> None:
        ready = Path(__file__).resolve().parents[1] / ".venv" / "bin" / "python"  # of make demo
        instead = (
            f"Use {ready}, or install"
            if ready.exists() and str(ready) != sys.executable
            else "Install"
        )
        super().__init__(
            f"{name} is not installed for this Python ({sys.executable}). {instead} what the "
            "project needs: `pip install -e .` in the checkout."
        )


class DamagedFileError(InputError):
    """A file is truncated, corrupt, or not of the format that its name promises."""


class UnsafePickleError(InputError):
    """A pickle asks for something that plain data never need; it was not opened."""


# --- what the system refuses --------------------------------------------------------------------

_AGAIN = "and run the same command again; what was finished is kept."
_ADVICE = {
    errno.ENOSPC: f"Free some space, {_AGAIN}",
    errno.EDQUOT: f"Your quota on that disk is used up. Delete or move some files, {_AGAIN}",
    errno.EFBIG: "Raise the limit on files (`ulimit -f`), or use a file system that takes larger "
    f"ones, {_AGAIN}",
    errno.EROFS: "Make it writable, or put the files elsewhere (--root).",
    errno.EACCES: f"Fix the permissions, {_AGAIN}",
    errno.EPERM: f"Fix the permissions, {_AGAIN}",
    errno.ENAMETOOLONG: "Use a shorter name, or a folder with a shorter path (--root).",
    errno.EMFILE: f"Raise the number of files that a process may open (`ulimit -n 4096`), {_AGAIN}",
    errno.ENFILE: f"The machine has too many files open. Close other programs, {_AGAIN}",
    errno.EAGAIN: f"Start fewer processes (--jobs 1), or raise `ulimit -u`, {_AGAIN}",
    errno.EIO: f"The disk failed. Check it, {_AGAIN}",
    errno.ESTALE: f"The network file system has lost the file. Wait or mount it again, {_AGAIN}",
    errno.ELOOP: "Links lead in a circle there. Make the link point to a real folder.",
    errno.EBUSY: f"Another program uses it. Close that, {_AGAIN}",
    errno.ENOENT: f"Look whether another program has moved or removed it, {_AGAIN}",
    errno.EEXIST: f"A file stands where a folder is needed. Move it away, {_AGAIN}",
    errno.ENOTDIR: "A file stands where a folder is needed. Move it away or name another folder, "
    f"{_AGAIN}",
    errno.EISDIR: f"A folder stands where a file is needed. Move it away, {_AGAIN}",
}
_OTHER_ADVICE = f"Remove the cause, {_AGAIN}"


@contextlib.contextmanager
def doing(what: str, path: Path) -> Iterator[None]:
    """Around work on a file: what the system refuses inside is told as ``<path> cannot be <what>``.

    Parameters
    ----------
    what : str
        A participle: "written", "read".
    path : Path
        What the reader of the message knows the file as, for example not its temporary name.
    """
    try:
        yield
    except OSError as error:
        beside = (
            not isinstance(error.filename, (str, bytes))
            or path.parent in Path(os.fsdecode(error.filename)).parents
        )
        if beside and not hasattr(error, "doing"):  # else it is about another file
            error.doing = (what, path)
        raise


def os_error_number(error: Exception) -> int | None:
    """What the system refused, as a number of :mod:`errno`.

    None if it was not the system or does not say.

    The HDF5 library has the number in its text only, and raises RuntimeError where it notices a
    full disk when it closes a file.
    """
    code = error.errno if isinstance(error, OSError) else None
    if (
        code is None
        and isinstance(error, (OSError, RuntimeError))
        and (found := re.search(r"errno = (\d+)", str(error)))
    ):
        code = int(found[1])
    return code


def describe_os_error(
    error: OSError | RuntimeError, what: str | None = None, path: Path | None = None
) -> str:
    """One line on what the system refused, on which file, and what to do about it.

    Never with a traceback.

    Parameters
    ----------
    error : OSError or RuntimeError
        With or without a number and a file name; libraries leave out either
        (:func:`os_error_number`).
    what, path
        As in :func:`doing`, where that was not around.
    """
    known_what, known_path = getattr(error, "doing", (None, None))
    what, path = what or known_what, path or known_path
    name = getattr(error, "filename", None)
    if path is None and name is not None and not isinstance(name, int):
        path = Path(os.fsdecode(name))
    if path is not None and path.name.startswith("."):  # files being written have hidden names
        path = path.parent
    code = os_error_number(error)
    if code == errno.ENOMEM:
        return describe_memory_error(error)
    reason = (
        os.strerror(code)
        if code is not None
        else " ".join(str(error).split()) or type(error).__name__
    )
    advice = _ADVICE.get(code, _OTHER_ADVICE)
    if path is None:
        return f"The system refused to go on: {reason}. {advice}"
    gone = (
        next(
            (link for link in (path, *path.parents) if link.is_symlink() and not link.exists()),
            None,
        )
        if code in (errno.EEXIST, errno.ENOENT)
        else None
    )
    if gone is not None:
        reason, advice = (
            dangling(gone),
            f"Bring that back, or make the link point elsewhere, {_AGAIN}",
        )
    if gone == path:
        return f"{reason}. {advice}"
    return f"{path} cannot be {what}: {reason}. {advice}" if what else f"{path}: {reason}. {advice}"


def dangling(link: Path) -> str:
    """That a link leads to nothing, and where."""
    return f"{link} is a link to {link.readlink()}, which does not exist (any more)"


def is_memory_error(error: BaseException) -> bool:
    """Whether memory was too small, by whatever name the libraries say so."""
    return (
        isinstance(error, MemoryError)
        or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
        or type(error).__name__ == "OutOfMemoryError"  # of PyTorch, on a GPU; on the processor:
        or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error))
    )


def describe_memory_error(error: BaseException) -> str:
    """One line on a lack of memory, and what to do about it."""
    said = " ".join(str(error).split())
    asked = re.search(r"allocate ([\d.]+ [KMGT]iB)", said)
    asked = f" ({asked[1]} more were asked for)" if asked else ""
    return (
        f"There is not enough memory{asked}. Close other programs, ask the cluster for more "
        "(--mem), or do less at once: --jobs 1, fewer layers, models or targets in one call. What "
        "was finished is kept."
    )


def plain_warnings() -> None:
    """Show what this project warns of as one line, each text once.

    Warnings of libraries as Python shows them.
    """
    package, shown = str(Path(__file__).parent), set()
    others = warnings.showwarning

    def show(
        message: Warning | str, category: type[Warning], filename: str, *rest: Any, **named: Any
    ) -> None:
        text = printable(message)
        if not filename.startswith(package):
            others(message, category, filename, *rest, **named)
        elif text not in shown:
            shown.add(text)
            print(f"warning: {text}", file=sys.stderr)

    warnings.showwarning = show

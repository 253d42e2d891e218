"""How a script meets its surroundings.

Streams that never end a run, Ctrl-C and SIGTERM, pictures without a display.

Nothing here is for sessions and notebooks; :func:`aud_dnn.arguments.run_script` calls it once,
before anything else.
"""

from __future__ import annotations

import codecs
import contextlib
import importlib.util
import io
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from aud_dnn.errors import InputError, MissingPackageError
from aud_dnn.io.memory import mind_address_space

INTERRUPTED = (
    "Stopped. Everything that was finished is on disk; run the same command again to go on."
)
_PLAIN = {
    "–": "-",
    "—": "-",
    "−": "-",
    "…": "...",
    "×": "x",
    "²": "2",
    "α": "alpha",
    "▲": "^",
    "±": "+-",
    "’": "'",
    "‘": "'",
    "“": '"',
    "”": '"',
    "é": "e",
    "ö": "oe",
    "\xa0": " ",
}


class Terminated(BaseException):
    """SIGTERM: raised where the script is, so that what is half-written is removed."""


def _plainer(error: UnicodeError) -> tuple[str, int]:
    """What a terminal shows for a character that it lacks.

    Something alike, else its code (bytes of file names, too).
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    shown = [
        _PLAIN.get(character)
        or (
            f"\\x{ord(character) - 0xDC00:02x}"
            if "\udc80" <= character <= "\udcff"
            else character.encode("ascii", "backslashreplace").decode()
        )
        for character in error.object[error.start : error.end]
    ]
    return "".join(shown), error.end


codecs.register_error("plainer", _plainer)


class SteadyStream(io.TextIOWrapper):
    """A standard stream that raises nothing.

    What cannot be encoded is shown plainer, what cannot be written is dropped.

    Once a write fails (the reader of a pipe has left, the disk is full), the descriptor leads to
    nowhere, so that neither later writes nor the interpreter's end stumble over it. ``failure``
    keeps the reason.
    """

    failure: OSError | None = None

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except (OSError, ValueError) as error:
            self._give_up(error)
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except (OSError, ValueError) as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        if isinstance(error, OSError) and self.failure is None:
            self.failure = error
            with contextlib.suppress(OSError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self.fileno())
                os.close(nowhere)


def steady_streams() -> None:
    """Make standard output and error safe to write to, line by line.

    Leave streams that are not the process's own alone.
    """
    with contextlib.suppress(OSError):
        while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
            pass  # closed ones, which data files would get otherwise, now lead to nowhere
        os.close(descriptor)
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if stream is None:  # it was closed when Python started
            stream = open(number, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        elif stream is not getattr(sys, f"__{name}__") or not isinstance(stream, io.TextIOWrapper):
            continue  # captured by a test or a notebook
        encoding = stream.encoding
        with contextlib.suppress(OSError):
            stream.flush()
        steady = SteadyStream(
            stream.detach(), encoding=encoding, errors="plainer", line_buffering=True
        )
        setattr(sys, name, steady)
        setattr(sys, f"__{name}__", steady)


def lost_output() -> str:
    """A sentence on output that could not be written.

    Empty if all was, or if its reader has left (``| head``).
    """
    failure = getattr(sys.stdout, "failure", None)
    if failure is None or isinstance(failure, BrokenPipeError):
        return ""
    return (
        f"Part of the output could not be written ({os.strerror(failure.errno)}); files and exit "
        "status are not affected."
    )


def draw_without_display() -> None:
    """Pictures go to files, whatever backend the environment names.

    Its configuration needs no home.
    """
    os.environ["MPLBACKEND"] = "agg"
    try:
        Path.home()
    except RuntimeError:  # no HOME, and a user whom the system does not know
        if "MPLCONFIGDIR" not in os.environ:
            import atexit
            import shutil
            import tempfile

            os.environ["MPLCONFIGDIR"] = folder = tempfile.mkdtemp(prefix="matplotlib-")
            atexit.register(shutil.rmtree, folder, ignore_errors=True)


# --- signals ------------------------------------------------------------------------------------

_GRACE_S = 10.0
_received: list[int] = []


def received_signal() -> int | None:
    """The signal that asked the script to stop.

    Imports may have turned its exception into another one.
    """
    return _received[-1] if _received else None


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    _received.append(number)
    signal.signal(number, signal.SIG_DFL)  # a second one ends the process at once
    raise KeyboardInterrupt if number == signal.SIGINT else Terminated


def _stop_anyway(unraisable: Any) -> None:
    """The signal came while Python was in a place that drops exceptions (a weak reference's
    callback): once more, soon.
    """
    if not _received or not issubclass(unraisable.exc_type, (KeyboardInterrupt, Terminated)):
        sys.__unraisablehook__(unraisable)
        return
    import threading

    number = _received[-1]
    signal.signal(number, _stop)
    if hasattr(signal, "pthread_kill"):  # interrupts what the main thread waits for, too
        again = threading.Timer(0.01, signal.pthread_kill, [threading.main_thread().ident, number])
    else:
        import _thread

        again = threading.Timer(0.01, _thread.interrupt_main, [number])
    again.daemon = True
    again.start()


def _end_in_the_end(wakeup: int) -> None:
    """A thread: exceptions do not reach a library that waits or computes for long.

    After a grace time the process ends.
    """
    import time

    while (number := os.read(wakeup, 1)) and number[0] not in (signal.SIGINT, signal.SIGTERM):
        pass
    if not number:  # the script has ended
        os.close(wakeup)
        return
    time.sleep(_GRACE_S)
    with contextlib.suppress(OSError):
        os.write(2, f"{INTERRUPTED}\n".encode())
    os._exit(128 + number[0])


@contextlib.contextmanager
def _watched() -> Iterator[None]:
    import threading

    if os.name != "posix":
        yield
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    except ValueError:  # not the main thread
        os.close(reading)
        os.close(writing)
        yield
        return
    watch = threading.Thread(target=_end_in_the_end, args=(reading,), daemon=True)
    with contextlib.suppress(RuntimeError):  # no more threads allowed
        watch.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(writing)  # ends the thread, unless it is counting already


@contextlib.contextmanager
def stop_on_signals() -> Iterator[None]:
    """Inside, Ctrl-C raises ``KeyboardInterrupt`` and SIGTERM :class:`Terminated`, each once.

    Where that has not ended the process after ten seconds, it is ended from outside Python. Signals
    that whoever started the process wants ignored (``nohup``, jobs in the background) stay ignored.
    """
    _received.clear()
    before, hook_before, sys.unraisablehook = {}, sys.unraisablehook, _stop_anyway
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(ValueError):  # not the main thread
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, _stop)
    try:
        with _watched():
            yield
    finally:
        sys.unraisablehook = hook_before
        for number, handler in before.items():
            if number not in _received:
                signal.signal(number, handler)


def start_script() -> None:
    """The first thing that a program does, before any import that takes time.

    :func:`stop_on_signals` takes over later.

    Nothing is half-written yet, so Ctrl-C and SIGTERM just end it; so do a hopeless limit on memory
    and a Python without the packages of the project, such as that of the system in place of the
    environment's.
    """

    def end(number: int, frame: FrameType | None) -> NoReturn:
        with contextlib.suppress(OSError):
            os.write(2, f"{INTERRUPTED}\n".encode())
        os._exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end)
    try:
        mind_address_space()
        if importlib.util.find_spec("numpy") is None:
            raise MissingPackageError("numpy")
    except InputError as error:
        if not {"-h", "--help"} & set(sys.argv):
            print(f"error: {error}", file=sys.stderr or sys.stdout)
            sys.exit(2)

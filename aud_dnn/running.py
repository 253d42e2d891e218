"""Run a script: logs on the terminal, errors as one line, exit statuses."""

from __future__ import annotations

import importlib
import itertools
import logging
import re
import shlex
import signal
import sys
import traceback
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any, TextIO

from aud_dnn.commands import as_called
from aud_dnn.errors import (
    FAULT,
    InputError,
    MissingPackageError,
    describe_memory_error,
    describe_os_error,
    is_memory_error,
    plain_warnings,
    printable,
)
from aud_dnn.terminal import (
    INTERRUPTED,
    Terminated,
    draw_without_display,
    lost_output,
    received_signal,
    steady_streams,
    stop_on_signals,
)

if TYPE_CHECKING:
    pass


class _TerminalHandler(logging.StreamHandler):
    """Writes to what stderr is at that moment, above a progress bar where there is one."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)  # that of a stream would keep the stream

    @property
    def stream(self) -> TextIO | None:  # type: ignore[override]
        """The present stderr; None where it is closed."""
        return sys.stderr

    def format(self, record: logging.LogRecord) -> str:
        plain = getattr(record, "progress", False) or getattr(record, "told", False)
        return record.getMessage() if plain else f"{record.levelname}: {super().format(record)}"

    def emit(self, record: logging.LogRecord) -> None:
        tqdm = sys.modules.get("tqdm")  # not imported for its own sake: --help must answer at once
        if self.stream is None:
            return
        if tqdm is None:
            super().emit(record)
        else:
            tqdm.tqdm.write(self.format(record), file=self.stream)
            self.flush()


def show_log(*, verbose: bool) -> None:
    """Send the project's log to stderr: everything, or only warnings.

    Remarks on single results (``extra={"remark": True}``) are for the log files; scripts sum them
    up at the end. What is finished (``extra={"progress": True}``) is a line where stderr is a file
    or a pipe; on a terminal the bar says it. What is told in any case (``extra={"told": True}``:
    :func:`aud_dnn.io.progress.tell`) is no warning.
    """
    handler = _TerminalHandler()
    in_a_file = not sys.stderr.isatty()

    def is_for_the_terminal(record: logging.LogRecord) -> bool:
        if getattr(record, "progress", False):
            return in_a_file
        told = getattr(record, "told", False) or record.levelno >= logging.WARNING
        return told and not getattr(record, "remark", False)

    if not verbose:
        handler.addFilter(is_for_the_terminal)
    logger = logging.getLogger("aud_dnn")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


def with_root(text: object, root: str | None) -> str:
    """A message with this call's ``--root`` in the commands that it names, so that they can be
    pasted; as commands of ``aud-dnn`` where that is what runs.
    """
    if root is None:
        return as_called(str(text))
    return as_called(
        re.sub(
            r"python (?:aud_dnn|setup_utils)/[\w/]+\.py",
            lambda command: f"{command[0]} --root {shlex.quote(root)}",
            str(text),
        )
    )


def _given_root() -> str | None:
    words = [word for argument in sys.argv[1:] for word in argument.split("=", 1)]
    return next((value for flag, value in itertools.pairwise(words) if flag == "--root"), None)


def _one_line(error: BaseException) -> tuple[str, int] | None:
    """What to say about an error that is no fault of the program, and the exit status.

    None for any other.
    """
    number = received_signal()
    if number is None and isinstance(error, KeyboardInterrupt):
        number = signal.SIGINT
    if number is not None:
        return INTERRUPTED, 128 + number
    if (
        isinstance(error, ModuleNotFoundError)
        and (error.name or "aud_dnn").split(".")[0] != "aud_dnn"
    ):
        error = MissingPackageError(error.name)
    if isinstance(error, InputError):
        return f"error: {with_root(error, _given_root())}", 2
    if is_memory_error(error):
        return f"error: {describe_memory_error(error)}", 2
    if isinstance(error, OSError):
        return f"error: {describe_os_error(error)}", 2
    return None


def run_script(main: Callable[[list[str] | None], int]) -> None:
    """Run a script's ``main`` and exit with its status.

    An :class:`InputError`, anything that the system refuses (``OSError``) and a lack of memory
    become one line on stderr and exit status 2; Ctrl-C becomes status 130, SIGTERM 143. Any other
    exception is a fault of the program: its traceback is shown, and where to report it; status 3.
    Output that cannot be written or encoded changes nothing.
    """
    steady_streams()
    draw_without_display()
    plain_warnings()
    with stop_on_signals():
        try:
            try:
                status = main(None)
            except SystemExit:
                raise
            except BaseException as error:
                told = _one_line(error)
                if told is None:
                    traceback.print_exc()
                    told = f"error: {FAULT}", 3
                line, status = told
                print(printable(" ".join(line.split("\n"))), file=sys.stderr)
        except (KeyboardInterrupt, Terminated):  # while an error was being told
            status = 128 + (received_signal() or signal.SIGINT)
    if lost := lost_output():
        print(f"warning: {lost}", file=sys.stderr)
    sys.exit(status)


def make_callable(name: str, home: str) -> None:
    """Let a script stand for the function of its name: ``aud_dnn.sweep(…)``, imported or not.

    Parameters
    ----------
    name : str
        ``__name__`` of the script; nothing happens where it is run.
    home : str
        The module with the function, which is imported when it is called.
    """

    class Script(ModuleType):
        def __call__(self, *arguments: Any, **options: Any) -> Any:
            function = getattr(importlib.import_module(home), name.rpartition(".")[2])
            return function(*arguments, **options)

    if name != "__main__":
        sys.modules[name].__class__ = Script

"""What the scripts share on the command line: booleans, the root, errors without tracebacks."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable

from aud_dnn.errors import InputError


def parse_bool(text: str) -> bool:
    """``True``/``False`` in any case, as the published scripts took them (``bool("False")`` would be true)."""
    value = text.strip().lower()
    if value not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"expected True or False, got {text!r}")
    return value == "true"


def add_bool(parser: argparse._ActionsContainer, flag: str, default: bool, help: str) -> None:
    """Add a flag that takes True or False; given bare (``--flag``) it means True."""
    parser.add_argument(flag, type=parse_bool, nargs="?", const=True, default=default, metavar="True|False",
                        help=f"{help} (default: {default})")


def add_root(parser: argparse._ActionsContainer) -> None:
    """Add ``--root``."""
    parser.add_argument("--root", default=None, metavar="DIR",
                        help="folder that holds data/, model-actv/ and results/ "
                             "(default: $AUD_DNN_ROOT, else the repository)")


class _TerminalHandler(logging.StreamHandler):
    """Writes above a progress bar, where there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm = sys.modules.get("tqdm")      # not imported for its own sake: --help must answer at once
        if tqdm is None:
            super().emit(record)
        else:
            tqdm.tqdm.write(self.format(record), file=self.stream)
            self.flush()


def show_log(*, verbose: bool) -> None:
    """Send the project's log to stderr: everything, or only warnings.

    Remarks on single results (``extra={"remark": True}``) are for the log files; scripts sum them up at the end.
    """
    handler = _TerminalHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    if not verbose:
        handler.setLevel(logging.WARNING)
        handler.addFilter(lambda record: not getattr(record, "remark", False))
    logger = logging.getLogger("aud_dnn")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


def run_script(main: Callable[[list[str] | None], int]) -> None:
    """Run a script's ``main``: an :class:`InputError` becomes one line on stderr and exit status 2, Ctrl-C status 130."""
    try:
        status = main(None)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        status = 2
    except KeyboardInterrupt:
        print("Stopped. Everything that was finished is on disk; run the same command again to go on.", file=sys.stderr)
        status = 130
    sys.exit(status)

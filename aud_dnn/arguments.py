"""What the scripts share on the command line: booleans, the root, errors without tracebacks."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import logging
import re
import shlex
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from aud_dnn.errors import (
    FAULT,
    InputError,
    MissingDataError,
    MissingPackageError,
    describe_memory_error,
    describe_os_error,
    is_memory_error,
    plain_warnings,
    printable,
    unknown_name,
)
from aud_dnn.models.registry import MODELS
from aud_dnn.paths import ProjectPaths, find_root
from aud_dnn.targets.facts import VOXEL_TARGETS
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
    from aud_dnn.utils import Stimuli

STATUSES = """\
exit status
  0    done
  1    done as far as possible; the output says what is wrong or missing
  2    nothing (more) could be done: wrong input, or refused by the system (disk, permissions, memory)
  3    a fault of this program
  130  stopped with Ctrl-C (143: with SIGTERM); the same command goes on from there
"""


def script_parser(description: str, prog: str | None = None) -> argparse.ArgumentParser:
    """A parser whose help shows the description as it is written, and the exit statuses."""
    return argparse.ArgumentParser(
        prog=prog,
        description=description,
        epilog=STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def parse_bool(text: str) -> bool:
    """``True``/``False`` in any case, as the published scripts took them (``bool("False")`` would
    be true).
    """
    value = text.strip().lower()
    if value not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"expected True or False, got {text!r}")
    return value == "true"


def add_bool(parser: argparse._ActionsContainer, flag: str, default: bool, help: str) -> None:
    """Add a flag that takes True or False; given bare (``--flag``) it means True."""
    parser.add_argument(
        flag,
        type=parse_bool,
        nargs="?",
        const=True,
        default=default,
        metavar="True|False",
        help=f"{help} (default: {default})",
    )


def with_underscores(arguments: list[str] | None) -> list[str]:
    """The command line with ``--dry-run`` written as ``--dry_run``.

    Flags have underscores, as the published ones.
    """
    given = sys.argv[1:] if arguments is None else arguments
    return [
        re.sub(r"^--[a-z-]+", lambda flag: "--" + flag[0][2:].replace("-", "_"), word)
        for word in given
    ]


def add_root(parser: argparse._ActionsContainer) -> None:
    """Add ``--root``."""
    parser.add_argument(
        "--root",
        default=None,
        metavar="DIR",
        help="folder that holds data/, model-actv/ and results/ "
        "(default: $AUD_DNN_ROOT, else the nearest such folder from here upwards, else the "
        "checkout)",
    )


def add_listing(parser: argparse._ActionsContainer) -> None:
    """Add ``--list_models`` and ``--list_layers``, which :func:`show_listing` answers."""
    parser.add_argument("--list_models", action="store_true", help="print the models, and stop")
    parser.add_argument(
        "--list_layers",
        default=None,
        metavar="MODEL",
        help="print the layers of this model, and stop",
    )


def show_listing(arguments: argparse.Namespace) -> bool:
    """Print what ``--list_models`` or ``--list_layers`` asks for; false if neither does."""
    if not arguments.list_models and arguments.list_layers is None:
        return False
    paths = find_root(arguments.root)
    if arguments.list_models:
        print(model_listing(paths))
    if arguments.list_layers is not None:
        print("\n".join(model_layers(paths, arguments.list_layers)))
    return True


def model_listing(paths: ProjectPaths) -> str:
    """A line for every model of the registry and every other one with activations.

    Name, name in figures, what is here.
    """
    from aud_dnn.utils import activation_files, models_on_disk

    present = models_on_disk(paths)
    lines = [f"{'model':<24}{'in figures':<26}activations in {paths.activations}"]
    for model in [*MODELS, *(name for name in present if name not in MODELS)]:
        here = [
            condition
            for condition, randnetw in (("trained", False), ("permuted", True))
            if activation_files(paths, model, randnetw=randnetw)
        ]
        shown = MODELS[model].display_name if model in MODELS else "(your own)"
        lines.append(f"{model:<24}{shown:<26}{', '.join(here) or '-'}")
    return "\n".join(lines)


def model_layers(
    paths: ProjectPaths, model: str, stimuli: Stimuli | None = None
) -> tuple[str, ...]:
    """The layers of a model in network order: those of the registry, else those of its activations.

    ``stimuli`` are the sounds of a target of one's own, if they are not the published ones.

    Raises
    ------
    InputError
        No such model, or its activations are damaged.
    """
    if model in MODELS:
        return MODELS[model].layer_names
    from aud_dnn.utils import activation_files, load_stimuli, open_activations

    is_folder = Path(model).name == model and paths.model_activations(model).is_dir()
    randnetw = (
        is_folder
        and not activation_files(paths, model)
        and bool(activation_files(paths, model, randnetw=True))
    )
    if stimuli is None:
        return open_activations(paths, model, load_stimuli(paths), randnetw=randnetw).layers
    known: tuple[str, ...] = ()
    with contextlib.suppress(MissingDataError):
        known = load_stimuli(paths).ids
    return open_activations(paths, model, stimuli, randnetw=randnetw, subset_of=known).layers


def add_voxel_targets(parser: argparse._ActionsContainer) -> None:
    """Add ``--target`` and ``--condition`` of scripts that draw voxel data."""
    parser.add_argument(
        "--target",
        nargs="+",
        default=list(VOXEL_TARGETS),
        choices=VOXEL_TARGETS,
        metavar="TARGET",
        help=f"voxel data sets to draw (default: {' '.join(VOXEL_TARGETS)})",
    )
    parser.add_argument(
        "--condition",
        nargs="+",
        default=["trained", "permuted"],
        choices=["trained", "permuted"],
        metavar="CONDITION",
        help="trained, permuted or both (default: both)",
    )


def add_methods(parser: argparse._ActionsContainer) -> None:
    """Add ``--methods``: which scores of a model are drawn."""
    parser.add_argument(
        "--methods",
        nargs="+",
        default=["regression", "RSA"],
        choices=["regression", "RSA"],
        metavar="METHOD",
        help="regression, RSA or both (default: both)",
    )


def add_layer_order(parser: argparse._ActionsContainer) -> None:
    """Add ``--layer_order``."""
    parser.add_argument(
        "--layer_order",
        type=Path,
        default=None,
        metavar="FILE",
        help="a text file with the layers of your own model in network order, one per line; it is "
        "kept beside the activations, so this is said once for all scripts",
    )


def add_stimulus_order(parser: argparse._ActionsContainer) -> None:
    """Add ``--assume_stimulus_order``."""
    add_bool(
        parser,
        "--assume_stimulus_order",
        False,
        "confirm that the rows of HDF5 files without sound_ids are in stimulus order; kept beside "
        "the activations",
    )


def add_choices(
    parser: argparse._ActionsContainer,
    flag: str,
    known: Sequence[str],
    default: Sequence[str],
    help: str,
) -> None:
    """Add a flag that takes some of a few known words."""
    shown = "all" if list(default) == list(known) else " ".join(default)
    parser.add_argument(
        flag,
        nargs="+",
        default=list(default),
        choices=known,
        metavar=flag.strip("-").upper().rstrip("S"),
        help=f"{help}: among {', '.join(known)} (default: {shown})",
    )


def add_look(parser: argparse._ActionsContainer) -> None:
    """Add ``--models``, ``--palette``, ``--formats`` and ``--out`` of scripts that draw across
    models.
    """
    parser.add_argument(
        "--models", nargs="+", default=[], metavar="MODEL", help="further models, e.g. your own"
    )
    parser.add_argument(
        "--palette",
        default="paper",
        choices=["paper", "colorblind"],
        help="colours of the paper, or colours safe for colour-blind readers (default: paper)",
    )
    parser.add_argument(
        "--formats",
        nargs="+",
        default=None,
        choices=["svg", "png", "pdf"],
        help="default: svg and png",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=None,
        metavar="DIR",
        help="(default: results/PLOTS_across-models)",
    )


def find_drawable_root(root: str | None, own_models: Sequence[str]) -> ProjectPaths:
    """The root of a script that draws what is in ``results/``.

    Refuses one without results and models nobody knows.

    Raises
    ------
    MissingDataError
        There is no root, or it has no results.
    InputError
        A model of ``--models`` has neither results nor activations.
    """
    paths = find_root(root)
    results, activations = (
        sorted(path.name for path in parent.glob("[!.]*") if path.is_dir())
        for parent in (paths.results, paths.activations)
    )
    results = [name for name in results if not name.startswith(("PLOTS_", "STATS_"))]
    if not results:
        raise MissingDataError(
            f"There are no results in {paths.results}. Score a model first: python "
            "aud_dnn/AUD_main.py --source_model Kell2018word --source_layer all --target all; or "
            "name another folder with --root."
        )
    rsa_parts = paths.rsa_results / "parts" / "models"
    others = {"RSA", "ED", "notebooks", paths.rsa_results.name}
    known = [
        name for name in dict.fromkeys([*MODELS, *results, *activations]) if name not in others
    ]
    for model in own_models:
        if model not in known and not (rsa_parts / f"{model}_trained.npz").exists():
            raise unknown_name(
                "model",
                model,
                known,
                "Your own has a folder of that name in results/ or model-actv/.",
            )
    return paths


class _TerminalHandler(logging.StreamHandler):
    """Writes to what stderr is at that moment, above a progress bar where there is one."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)  # that of a stream would keep the stream

    @property
    def stream(self) -> TextIO | None:  # type: ignore[override]
        """The present stderr; None where it is closed."""
        return sys.stderr

    def format(self, record: logging.LogRecord) -> str:
        progress = getattr(record, "progress", False)
        return record.getMessage() if progress else f"{record.levelname}: {super().format(record)}"

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
    or a pipe; on a terminal the bar says it.
    """
    handler = _TerminalHandler()
    in_a_file = not sys.stderr.isatty()

    def is_for_the_terminal(record: logging.LogRecord) -> bool:
        if getattr(record, "progress", False):
            return in_a_file
        return record.levelno >= logging.WARNING and not getattr(record, "remark", False)

    if not verbose:
        handler.addFilter(is_for_the_terminal)
    logger = logging.getLogger("aud_dnn")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


def with_root(text: object, root: str | None) -> str:
    """A message with this call's ``--root`` in the commands that it names, so that they can be
    pasted.
    """
    if root is None:
        return str(text)
    return re.sub(
        r"python (?:aud_dnn|setup_utils)/[\w/]+\.py",
        lambda command: f"{command[0]} --root {shlex.quote(root)}",
        str(text),
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

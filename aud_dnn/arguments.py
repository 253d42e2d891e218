"""What the scripts share on the command line: booleans, the root, errors without tracebacks."""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aud_dnn.conditions import CONDITIONS, Condition
from aud_dnn.errors import (
    MissingDataError,
    unknown_name,
)
from aud_dnn.models.registry import MODELS
from aud_dnn.paths import ProjectPaths, find_root
from aud_dnn.targets.facts import VOXEL_TARGETS

if TYPE_CHECKING:
    from aud_dnn.utils import Stimuli

STATUSES = """\
exit status
  0    done
  1    done as far as possible; the output says what is wrong or missing
  2    nothing (more) could be done: wrong input, or the system refused (disk, rights, memory)
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


def add_taps(parser: argparse._ActionsContainer) -> None:
    """Add ``--taps``, ``--all_modules`` and ``--sample_rate``: where a network is read."""
    parser.add_argument(
        "--taps",
        type=Path,
        metavar="TOML",
        help="where to read a model of your own (docs/own_model.md); without it, taps are proposed "
        "and written to model-actv/<name>/taps.toml, where you can edit them",
    )
    add_bool(parser, "--all_modules", False, "propose every module, not 25 stages at most")
    parser.add_argument(
        "--sample_rate",
        type=int,
        metavar="HZ",
        help="of the input of a network whose taps are proposed (default: what the network says)",
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
            for condition in Condition
            if activation_files(paths, model, randnetw=condition.randnetw)
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
        default=list(CONDITIONS),
        choices=CONDITIONS,
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


def add_statistics(parser: argparse._ActionsContainer) -> None:
    """Add ``--statistics``, which means the same on every figure (:mod:`aud_dnn.stats`)."""
    parser.add_argument(
        "--statistics",
        default="published",
        choices=["published", "recommended"],
        help="error bars, ceilings and p-values of the paper, or 95%% intervals over participants, "
        "ceilings in the measure of the scores and exact p; tables hold both "
        "(default: %(default)s)",
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

"""Predict fMRI voxel responses (or response components) from the activations of a model's layers by
ridge regression.

    python aud_dnn/AUD_main.py --source_model Kell2018word --source_layer relu2 --target NH2015
    python aud_dnn/AUD_main.py --source_model AST --source_layer all --target NH2015 B2021
    NH2015comp python aud_dnn/AUD_main.py --source_model AST --source_layer all --target my_ecog.nc

Reads model-actv/<model>/ and data/neural/<target>/, writes results/<model>/AUD-MAPPING-Ridge_…/.
Results that are already there are kept; run the same command again after a stop and it goes on
where it was.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    if not __package__:  # run as a file: import from the repository, not from this folder
        sys.path[0] = str(Path(__file__).resolve().parents[1])
    from aud_dnn.terminal import start_script

    start_script()

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from aud_dnn.activations.statements import keep_statements
from aud_dnn.arguments import (
    add_bool,
    add_layer_order,
    add_listing,
    add_root,
    add_stimulus_order,
    model_layers,
    run_script,
    script_parser,
    show_listing,
    show_log,
)
from aud_dnn.errors import InputError, unknown_name
from aud_dnn.paths import ProjectPaths, find_root
from aud_dnn.targets.facts import DEFAULT_TARGET, TARGETS

if TYPE_CHECKING:
    from aud_dnn.runs.own_targets import OwnTarget

PUBLISHED_LAYER = "relu2"


def build_parser() -> argparse.ArgumentParser:
    """The command line. Flags, meanings and defaults are those of the published script."""
    parser = script_parser(__doc__)
    parser.add_argument(
        "--source_model",
        default="Kell2018word",
        metavar="MODEL",
        help="model: a name of the registry, or the folder of your own model below model-actv/ "
        "(default: Kell2018word)",
    )
    parser.add_argument(
        "--source_layer",
        nargs="+",
        default=None,
        metavar="LAYER",
        help="one or more layers, or `all` (default: relu2; the layer of a model that has only "
        "one)",
    )
    parser.add_argument(
        "--target",
        nargs="+",
        default=[DEFAULT_TARGET],
        metavar="TARGET",
        help=f"one or more of {', '.join(TARGETS)}, `all` of these, or files and folders with "
        "targets of your own (docs/own_target.md; default: NH2015)",
    )
    parser.add_argument(
        "--alphalimit",
        type=int,
        default=50,
        metavar="L",
        help="the grid of ridge penalties is 10^(L-1), …, 10^-L (default: 50, as published)",
    )
    add_bool(parser, "--randnetw", False, "use the network with permuted weights")
    add_bool(
        parser,
        "--save_plot",
        False,
        "also save diagnostic pictures: predicted against measured responses for every "
        "500th voxel, and an overview of scores and alphas",
    )
    add_bool(parser, "--save_preds", True, "save the predictions for the test sounds")
    add_bool(parser, "--verbose", False, "log to the terminal what goes to the log file")
    add_bool(
        parser,
        "--legacy_pickles",
        False,
        "also write df_output.pkl, ds.pkl and y_preds_test*.pkl as published",
    )
    add_bool(parser, "--overwrite", False, "fit again what is already there")
    add_bool(
        parser,
        "--dry_run",
        False,
        "only say what would be fitted, what is kept or stale, and what time, memory and disk it "
        "takes",
    )
    add_layer_order(parser)
    add_stimulus_order(parser)
    add_root(parser)
    add_listing(parser)
    return parser


def chosen_targets(named: Sequence[str]) -> tuple[tuple[str, ...], tuple[Path, ...]]:
    """Published targets, and files or folders with targets of one's own.

    Raises
    ------
    InputError
        Neither a published target nor a file.
    """
    published = [name for name in named if name in TARGETS]
    files = [name for name in dict.fromkeys(named) if name not in (*TARGETS, "all")]
    for name in files:
        if not _is_there(name):
            raise unknown_name(
                "target",
                name,
                [*TARGETS, "all"],
                f"A target of your own is a file or a folder; there is none called {name!r} here.",
            )
    return TARGETS if "all" in named else tuple(dict.fromkeys(published)), tuple(map(Path, files))


def _is_there(name: str) -> bool:
    try:
        return bool(name) and Path(name).exists()  # of no text, it would be the current folder
    except (OSError, ValueError):  # too long for a name, or holding what none can
        return False


def default_layers(
    paths: ProjectPaths, model: str, own: Sequence[OwnTarget] = ()
) -> tuple[str, ...]:
    """What is fitted where no layer is named.

    The published default where the model has it, or its only layer.

    Raises
    ------
    InputError
        The model has several layers and none is called so.
    """
    layers = model_layers(paths, model, own[0].target.stimuli if own else None)
    if PUBLISHED_LAYER in layers:
        return (PUBLISHED_LAYER,)
    if len(layers) > 1:
        raise InputError(
            f"Which layer of {model}? It has {len(layers)}. Name some with --source_layer, or give "
            f"--source_layer all; --list_layers {model} shows them."
        )
    return layers


def main(argv: list[str] | None = None) -> int:
    """Parse the command line, fit, print the closing table."""
    arguments = build_parser().parse_args(argv)
    if show_listing(arguments):
        return 0
    targets, files = chosen_targets(arguments.target)
    paths, named = find_root(arguments.root), arguments.source_layer
    keep_statements(
        paths,
        [arguments.source_model],
        arguments.layer_order,
        assume_stimulus_order=arguments.assume_stimulus_order,
    )
    own: tuple[OwnTarget, ...] = ()
    if files:
        from aud_dnn.runs.own_targets import known_stimuli, read_own_targets

        stimuli = known_stimuli(paths, needed=bool(targets))
        own = read_own_targets(files, () if stimuli is None else stimuli.ids)
    layers = (
        default_layers(paths, arguments.source_model, own)
        if named is None
        else None
        if "all" in named
        else tuple(dict.fromkeys(named))
    )
    show_log(verbose=arguments.verbose)

    # heavy imports only once the command line is understood: --help answers at once
    from aud_dnn.runs.fit import dry_run, fit_model
    from aud_dnn.runs.fit_plan import FitOptions
    from aud_dnn.runs.fit_report import outcome_table

    options = FitOptions(
        arguments.source_model,
        layers,
        targets,
        randnetw=arguments.randnetw,
        alphalimit=arguments.alphalimit,
        save_plot=arguments.save_plot,
        save_preds=arguments.save_preds,
        legacy_pickles=arguments.legacy_pickles,
        overwrite=arguments.overwrite,
        own_targets=own,
    )
    if arguments.dry_run:
        print(dry_run(paths, options))
        return 0
    print(outcome_table(fit_model(paths, options)))
    return 0


if __name__ == "__main__":
    run_script(main)

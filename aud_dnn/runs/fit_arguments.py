"""The command line of AUD_main.py."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from aud_dnn.arguments import (
    add_bool,
    add_layer_order,
    add_listing,
    add_root,
    add_stimulus_order,
    model_layers,
    script_parser,
)
from aud_dnn.errors import InputError
from aud_dnn.paths import ProjectPaths
from aud_dnn.targets.facts import DEFAULT_TARGET, TARGETS

if TYPE_CHECKING:
    from aud_dnn.runs.own_targets import OwnTarget


PUBLISHED_LAYER = "relu2"


def fit_parser(description: str) -> argparse.ArgumentParser:
    """The command line. Flags, meanings and defaults are those of the published script."""
    parser = script_parser(description)
    parser.add_argument(
        "--source_model",
        default="Kell2018word",
        metavar="MODEL",
        help="model: a name of the registry, or the folder of your own model below model-actv/; "
        "brains or brain:PARTICIPANT: other participants in its place (default: Kell2018word)",
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

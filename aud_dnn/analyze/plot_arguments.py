"""The command line of AUD_plot_main.py."""

from __future__ import annotations

import argparse
from pathlib import Path

from aud_dnn.arguments import (
    add_bool,
    add_layer_order,
    add_listing,
    add_root,
    add_statistics,
    script_parser,
)
from aud_dnn.conditions import CONDITIONS
from aud_dnn.tables.choices import LAYER_CHOICES, PUBLISHED_CHOICE
from aud_dnn.targets.facts import VOXEL_TARGETS

PAPER = ("2", "4", "5", "7", "8", "9")


EXTRAS = ("brains", "kinds", "uncertainty", "supplement", "surface", "diagnostics", "aggregate")


def plot_parser(description: str) -> argparse.ArgumentParser:
    """Which figures are drawn, of which models and targets, and how they look."""
    parser = script_parser(description)
    parser.add_argument(
        "--figures",
        nargs="+",
        default=list(PAPER),
        choices=[*PAPER, *EXTRAS, "all"],
        metavar="FIGURE",
        help=f"among {' '.join(PAPER)} (the paper's numbers), {', '.join(EXTRAS)}, all "
        f"(default: {' '.join(PAPER)})",
    )
    parser.add_argument(
        "--models",
        nargs="+",
        default=[],
        metavar="MODEL",
        help="further models, e.g. your own, added to every figure",
    )
    parser.add_argument(
        "--target",
        nargs="+",
        default=list(VOXEL_TARGETS),
        metavar="TARGET",
        help=f"voxel data sets to draw (default: {' '.join(VOXEL_TARGETS)}), or names of targets "
        "of your own that have results: they get bars over models, layers, best layers by region, "
        "latency",
    )
    parser.add_argument(
        "--condition",
        nargs="+",
        default=list(CONDITIONS),
        choices=CONDITIONS,
        metavar="CONDITION",
        help="trained, permuted or both (default: both)",
    )
    parser.add_argument(
        "--palette",
        default="paper",
        choices=["paper", "colorblind"],
        help="colours of the paper, or colours safe for colour-blind readers (default: paper)",
    )
    add_statistics(parser)
    parser.add_argument(
        "--layer_choice",
        default=PUBLISHED_CHOICE,
        choices=LAYER_CHOICES,
        help="how the layer that speaks for a model is chosen: as published, by half of the splits "
        "and read from the other half; nested, within each split by the leave-one-out error of its "
        "training sounds, for every voxel, or for all voxels of a region, participant or target "
        "together; median, the largest median over all splits, which is too good "
        "(default: %(default)s)",
    )
    add_bool(parser, "--participants", False, "draw every participant as a point")
    add_bool(parser, "--annotate", False, "write model names beside the points of Figure 7")
    parser.add_argument(
        "--surface_layer",
        nargs=2,
        action="append",
        default=[],
        metavar=("MODEL", "LAYER"),
        help="map the score of this layer of this model; can be given several times (default: the "
        "layer with the best median)",
    )
    parser.add_argument(
        "--layer_statistic",
        nargs="+",
        default=[],
        metavar="NAME",
        help="diagnostics: draw these numbers of the stats_*.csv tables across layers",
    )
    parser.add_argument(
        "--layer_pages",
        nargs="+",
        default=[],
        metavar="MODEL",
        help="diagnostics: models whose layers get a page each, or all (default: only overviews)",
    )
    add_bool(parser, "--stats", True, "also make the tables of statistical tests")
    parser.add_argument(
        "--formats",
        nargs="+",
        default=None,
        choices=["svg", "png", "pdf"],
        help="file formats (default: those of the paper, svg and mostly png)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=None,
        metavar="DIR",
        help="folder for pictures and tests (default: results/)",
    )
    parser.add_argument(
        "--jobs", type=int, default=2, help="processes that aggregate and draw (default: 2)"
    )
    add_layer_order(parser)
    add_root(parser)
    add_listing(parser)
    return parser

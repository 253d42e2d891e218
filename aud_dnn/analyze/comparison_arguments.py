"""The command line of ``rsa_matrix_calculation_all_models.py``."""

from __future__ import annotations

import argparse

from aud_dnn.arguments import (
    add_bool,
    add_layer_order,
    add_listing,
    add_root,
    add_statistics,
    add_stimulus_order,
    parse_bool,
    script_parser,
)
from aud_dnn.targets.facts import ROIS, VOXEL_TARGETS


def comparison_parser(description: str) -> argparse.ArgumentParser:
    """Which models are compared with which brain, by which methods, and how figures look."""
    parser = script_parser(description)
    parser.add_argument(
        "--methods",
        nargs="+",
        default=["RSA"],
        metavar="METHOD",
        help="RSA, CKA, or files with methods of your own (docs/methods.md; default: RSA)",
    )
    parser.add_argument(
        "--target",
        nargs="+",
        default=list(VOXEL_TARGETS),
        metavar="TARGET",
        help=f"{' '.join(VOXEL_TARGETS)}, `all` of these, or files and folders with targets of "
        "your own (docs/own_target.md; default: all)",
    )
    parser.add_argument(
        "--roi",
        nargs="+",
        default=None,
        metavar="ROI",
        help=f"All (voxels), {' '.join(ROIS)}, or the regions of your target (default: all)",
    )
    parser.add_argument(
        "--randnetw",
        type=parse_bool,
        nargs="+",
        default=[False, True],
        metavar="True|False",
        help="False: trained, True: permuted weights (default: both)",
    )
    parser.add_argument(
        "--models",
        nargs="+",
        default=None,
        metavar="MODEL",
        help="registered models or your own, by folder name (default: every registered model)",
    )
    add_bool(parser, "--overwrite", False, "compute again what is there")
    add_bool(
        parser,
        "--dry_run",
        False,
        "only say what would be computed, what is kept, and what time, memory and disk it takes",
    )
    add_statistics(parser)
    parser.add_argument(
        "--palette",
        choices=["paper", "colorblind"],
        default="paper",
        help="colours (default: %(default)s)",
    )
    add_bool(parser, "--participants", False, "draw every participant as a point on the bars")
    add_bool(parser, "--figures", True, "draw the figures")
    add_bool(
        parser, "--model_pages", True, "draw a page of all layers' RDMs for every model computed"
    )
    add_bool(
        parser, "--legacy_pickles", False, "write the two pickles of the published results, too"
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=None,
        metavar="N",
        help="worker processes (default: one per core)",
    )
    add_bool(parser, "--progress", True, "show progress bars")
    add_layer_order(parser)
    add_stimulus_order(parser)
    add_root(parser)
    add_listing(parser)
    return parser

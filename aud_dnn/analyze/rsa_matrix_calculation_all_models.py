"""All representational similarity analyses of the paper.

Results, tables and figures in ``results/rsa_analysis/``.

    python aud_dnn/analyze/rsa_matrix_calculation_all_models.py

computes every registered model that has activations in ``model-actv/``, trained and permuted, on
NH2015 and B2021, for all voxels and each region. What is there already and still current is loaded,
so an interrupted run goes on where it stopped. ``docs/rsa.md`` says what is computed and what the
files hold.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if __name__ == "__main__":
    if not __package__:  # run as a file: import from the repository, not from this folder
        sys.path[0] = str(Path(__file__).resolve().parents[2])
    from aud_dnn.terminal import start_script

    start_script()

from aud_dnn.activations.statements import keep_statements
from aud_dnn.arguments import (
    add_bool,
    add_layer_order,
    add_listing,
    add_root,
    add_stimulus_order,
    parse_bool,
    run_script,
    script_parser,
    show_listing,
    show_log,
    with_root,
)
from aud_dnn.resources import MODELS, ROIS
from aud_dnn.targets.facts import VOXEL_TARGETS

if TYPE_CHECKING:
    from aud_dnn.runs.rsa import RSARun

_ALL_ROIS = ("All", *ROIS)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = script_parser(__doc__)
    parser.add_argument(
        "--target",
        nargs="+",
        default=list(VOXEL_TARGETS),
        metavar="TARGET",
        help=f"{' '.join(VOXEL_TARGETS)} (default: both)",
    )
    parser.add_argument(
        "--roi",
        nargs="+",
        default=list(_ALL_ROIS),
        metavar="ROI",
        help=f"{' '.join(_ALL_ROIS)} (default: all five)",
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
    parser.add_argument(
        "--statistics",
        choices=["published", "recommended"],
        default="published",
        help="which error bars, ceilings and p-values the figures show; the tables hold both "
        "(default: %(default)s)",
    )
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
    return parser.parse_args(argv)


def _draw(run: RSARun, folder: Path, args: argparse.Namespace) -> int:
    """Draw and save what the run allows; how many figures that was."""
    from aud_dnn.analyze.plotting.rsa_figures import rsa_figures, save_model_pages
    from aud_dnn.io.progress import with_progress
    from aud_dnn.methods.threads import available_cores
    from aud_dnn.store.rsa import ALL_VOXELS, CONDITIONS, condition_name

    conditions = [
        condition for condition in CONDITIONS if condition in map(condition_name, args.randnetw)
    ]
    count = 0
    own_models = [model for model in args.models or () if model not in MODELS]
    drawings = rsa_figures(
        run.datasets,
        own_models=own_models,
        conditions=conditions,
        statistics=args.statistics,
        palette=args.palette,
        participants=args.participants,
    )
    for drawing in with_progress(drawings, "figure", "figures", wanted=args.progress):
        drawing.save(folder)
        count += 1
    computed = list(dict.fromkeys(unit[:2] for unit in run.report.computed))
    for target in dict.fromkeys(
        target for target, roi in run.datasets if roi == ALL_VOXELS and args.model_pages
    ):
        pages = save_model_pages(
            folder, target, computed, palette=args.palette, jobs=args.jobs or available_cores()
        )
        count += sum(
            with_progress(
                pages, "model", f"model pages, {target}", total=len(computed), wanted=args.progress
            )
        )
    return count


def main(argv: list[str] | None = None) -> int:
    args = _arguments(argv)
    if show_listing(args):
        return 0

    # heavy imports only once the command line is understood: --help answers at once, and Ctrl-C is
    # heard
    os.environ.setdefault(
        "OPENBLAS_NUM_THREADS", "1"
    )  # what the RSA uses; every other thread would claim memory
    from aud_dnn.paths import find_root
    from aud_dnn.runs.rsa import run_rsa
    from aud_dnn.store.published_rsa import write_published_rsa
    from aud_dnn.store.rsa import condition_name
    from aud_dnn.tables.rsa import all_tables, model_parts, write_tables

    show_log(verbose=False)
    paths = find_root(args.root)
    folder = paths.rsa_results
    keep_statements(
        paths,
        args.models or list(MODELS),
        args.layer_order,
        assume_stimulus_order=args.assume_stimulus_order,
    )
    run = run_rsa(
        paths,
        targets=args.target,
        rois=args.roi,
        conditions=[condition_name(value) for value in args.randnetw],
        models=args.models,
        overwrite=args.overwrite,
        jobs=args.jobs,
        progress=args.progress,
    )
    written = write_tables(
        folder / "tables", all_tables(run.datasets, model_parts(folder, run.datasets))
    )
    if args.legacy_pickles:
        written += write_published_rsa(folder, run.datasets)
    n_figures = _draw(run, folder, args) if args.figures else 0
    print(with_root(run.report.summary(), args.root))
    print(
        f"written below {folder}: {len(run.datasets)} netCDF files, {len(written)} tables and "
        f"pickles, {n_figures} figures"
    )
    return 1 if run.report.failed else 0


if __name__ == "__main__":
    run_script(main)

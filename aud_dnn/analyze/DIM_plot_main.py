"""Effective dimensionality of layers against how well they predict brain responses (supplement).

    python aud_dnn/analyze/DIM_plot_main.py
    python aud_dnn/analyze/DIM_plot_main.py --methods regression --target NH2015 --models mymodel

Dimensionality (and RSA values) come from rsa_matrix_calculation_all_models.py.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

if __name__ == "__main__" and not __package__:      # run as a file: import from the repository, not from this folder
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from aud_dnn.arguments import add_root, run_script


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=["regression", "RSA"], choices=["regression", "RSA"],
                        metavar="METHOD", help="regression, RSA or both (default: both)")
    parser.add_argument("--target", nargs="+", default=["NH2015", "B2021"], choices=["NH2015", "B2021"], metavar="TARGET",
                        help="voxel data sets (default: both)")
    parser.add_argument("--models", nargs="+", default=[], metavar="MODEL", help="further models, e.g. your own")
    parser.add_argument("--palette", default="paper", choices=["paper", "colorblind"], help="colours (default: paper)")
    parser.add_argument("--formats", nargs="+", default=None, choices=["svg", "png", "pdf"], help="default: svg and png")
    parser.add_argument("--out", type=Path, default=None, metavar="DIR", help="(default: results/PLOTS_across-models)")
    add_root(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Parse the command line, draw, say what was left out."""
    arguments = build_parser().parse_args(argv)
    from aud_dnn.analyze.dimensionality_figures import dimensionality_figures
    from aud_dnn.analyze.figures import FigureOptions
    from aud_dnn.paths import find_root

    paths = find_root(arguments.root)
    options = FigureOptions(own_models=tuple(arguments.models), palette=arguments.palette, targets=tuple(arguments.target))
    out = arguments.out or paths.results / "PLOTS_across-models"
    drawings = dimensionality_figures(paths, options, arguments.methods)
    print(f"{len(drawings)} drawing(s), {len(drawings.save(out, arguments.formats))} files in {out}")
    for note in drawings.notes:
        print(f"  {note}")
    return 0


if __name__ == "__main__":
    run_script(main)

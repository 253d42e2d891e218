"""Do data sets, methods and conditions agree? Scatter plots and correlations (supplement).

    python aud_dnn/analyze/CONSISTENCY_plot_main.py
    python aud_dnn/analyze/CONSISTENCY_plot_main.py --analyses layers --methods regression

NH2015 against B2021, permuted against trained, regression against RSA; over models, layers and best-layer positions.
RSA values come from rsa_matrix_calculation_all_models.py; without them only regression is drawn.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

if __name__ == "__main__" and not __package__:      # run as a file: import from the repository, not from this folder
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from aud_dnn.arguments import add_root, run_script

ANALYSES = ("models", "layers", "best-layers")


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--analyses", nargs="+", default=list(ANALYSES), choices=ANALYSES, metavar="ANALYSIS",
                        help=f"among {', '.join(ANALYSES)} (default: all)")
    parser.add_argument("--methods", nargs="+", default=["regression", "RSA"], choices=["regression", "RSA"],
                        metavar="METHOD", help="regression, RSA or both (default: both)")
    parser.add_argument("--models", nargs="+", default=[], metavar="MODEL", help="further models, e.g. your own")
    parser.add_argument("--palette", default="paper", choices=["paper", "colorblind"], help="colours (default: paper)")
    parser.add_argument("--formats", nargs="+", default=None, choices=["svg", "png", "pdf"], help="default: svg and png")
    parser.add_argument("--out", type=Path, default=None, metavar="DIR", help="(default: results/PLOTS_across-models)")
    add_root(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Parse the command line, draw, say what was left out."""
    arguments = build_parser().parse_args(argv)
    from aud_dnn.aggregate.tables import write_table
    from aud_dnn.analyze import consistency
    from aud_dnn.analyze.figures import FigureOptions
    from aud_dnn.paths import find_root

    paths = find_root(arguments.root)
    options = FigureOptions(own_models=tuple(arguments.models), palette=arguments.palette)
    out = arguments.out or paths.results / "PLOTS_across-models"
    drawn = {"models": lambda: consistency.model_wise(paths, options, arguments.methods),
             "layers": lambda: consistency.layer_wise(paths, options, arguments.methods),
             "best-layers": lambda: consistency.best_layers(paths, options)}
    for name in arguments.analyses:
        drawings = drawn[name]()
        print(f"{name}: {len(drawings)} drawing(s), {len(drawings.save(out, arguments.formats))} files in {out}")
        for note in drawings.notes:
            print(f"  {note}")
    tables = {}
    if "models" in arguments.analyses:
        tables |= consistency.correlation_tables(paths, options)
    if "best-layers" in arguments.analyses:
        tables["best-layer_RSA-vs-regression_correlations"] = consistency.best_layer_correlations(paths, options)
    for stem, table in tables.items():
        print(write_table(out / f"{stem}.csv", table))
    return 0


if __name__ == "__main__":
    run_script(main)

"""Effective dimensionality of layers against how well they predict responses (supplement).

    python aud_dnn/analyze/DIM_plot_main.py
    python aud_dnn/analyze/DIM_plot_main.py --methods regression --target NH2015 --models mymodel
    python aud_dnn/analyze/DIM_plot_main.py --analyses scatters correlations argmax layers

Dimensionality (and RSA values) come from rsa_matrix_calculation_all_models.py; where that has not
run, dimensionality is taken from the published files in results/ED/.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    if not __package__:  # run as a file: import from the repository, not from this folder
        sys.path[0] = str(Path(__file__).resolve().parents[2])
    from aud_dnn.terminal import start_script

    start_script()

import argparse

from aud_dnn.arguments import (
    add_choices,
    add_listing,
    add_look,
    add_methods,
    add_root,
    add_voxel_targets,
    find_drawable_root,
    script_parser,
    show_listing,
)
from aud_dnn.running import run_script, with_root

ANALYSES = ("scatters", "correlations", "argmax", "layers")
LIMITS = ("paper", "automatic")


def build_parser() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    add_choices(
        parser,
        "--analyses",
        ANALYSES,
        ANALYSES[:1],
        "what to draw; only the scatters are in the paper",
    )
    add_choices(
        parser, "--limits", LIMITS, LIMITS[:1], "axis limits of the scatters, a picture for each"
    )
    add_methods(parser)
    add_voxel_targets(parser)
    add_look(parser)
    add_root(parser)
    add_listing(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Parse the command line, draw, write the merged tables, say what was left out."""
    arguments = build_parser().parse_args(argv)
    if show_listing(arguments):
        return 0
    from aud_dnn.analyze import dimensionality_figures as dimensionality
    from aud_dnn.analyze.figure_options import FigureOptions
    from aud_dnn.analyze.plotting.drawings import Drawings
    from aud_dnn.tables.figure_inputs import nothing_drawn
    from aud_dnn.tables.model_files import write_table

    paths = find_drawable_root(arguments.root, arguments.models)
    options = FigureOptions.from_arguments(arguments)
    out = arguments.out or paths.results / "PLOTS_across-models"
    found = Drawings()
    tables = dimensionality.layer_tables(paths, options, arguments.methods, found)
    drawings = dimensionality.dimensionality_figures(
        paths,
        options,
        arguments.methods,
        limits=arguments.limits,
        analyses=arguments.analyses,
        tables=tables,
    )
    print(with_root(drawings.report(out, arguments.formats), arguments.root))
    for stem, table in dimensionality.merged_tables(tables).items():
        print(write_table(out / f"{stem}.csv", table, index=False))
    neural = dimensionality.neural_dimensionality(paths, options)
    if len(neural):
        print(
            "Effective dimensionality of the fMRI responses (mean of the repetitions, voxels of "
            "all participants):"
        )
        print(neural.to_string(float_format="{:.2f}".format))
    if not drawings and not found.errors:
        found.errors.append(nothing_drawn(paths, arguments.models))
    for error in found.errors:
        print(f"error: {with_root(error, arguments.root)}", file=sys.stderr)
    return 1 if found.errors else 0


if __name__ == "__main__":
    run_script(main)

"""Do data sets, methods, seeds and conditions agree? Scatter plots and correlations (supplement).

    python aud_dnn/analyze/CONSISTENCY_plot_main.py
    python aud_dnn/analyze/CONSISTENCY_plot_main.py --analyses layers --limits paper automatic

NH2015 against B2021, permuted against trained, regression against RSA, first against second
training run; over models, layers and best-layer positions. RSA values come from
rsa_matrix_calculation_all_models.py; without them only regression is drawn.
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

ANALYSES = ("models", "layers", "best-layers", "seeds")
LIMITS = ("paper", "narrow", "automatic")


def build_parser() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    add_choices(parser, "--analyses", ANALYSES, ANALYSES, "what to compare")
    add_choices(
        parser,
        "--limits",
        LIMITS,
        LIMITS[:1],
        "axis limits, a picture for each (narrow: RSA only up to 0.8)",
    )
    add_methods(parser)
    add_voxel_targets(parser)
    add_look(parser)
    add_root(parser)
    add_listing(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Parse the command line, draw, say what was left out."""
    arguments = build_parser().parse_args(argv)
    if show_listing(arguments):
        return 0
    from aud_dnn.analyze import consistency, consistency_layers
    from aud_dnn.analyze.figure_options import FigureOptions
    from aud_dnn.analyze.plotting.drawings import Drawings
    from aud_dnn.tables.figure_inputs import nothing_drawn
    from aud_dnn.tables.model_files import write_table

    paths = find_drawable_root(arguments.root, arguments.models)
    options, methods = FigureOptions.from_arguments(arguments), arguments.methods
    out = arguments.out or paths.results / "PLOTS_across-models"
    drawn = {
        "models": lambda: consistency.model_wise(paths, options, methods, limits=arguments.limits),
        "layers": lambda: consistency_layers.layer_wise(
            paths, options, methods, limits=arguments.limits
        ),
        "best-layers": lambda: consistency_layers.best_layers(paths, options, methods),
        "seeds": lambda: consistency.seeds(paths, options, methods),
    }
    found, n_drawn = Drawings(), 0
    for name in dict.fromkeys(arguments.analyses):
        drawings = drawn[name]()
        print(with_root(f"{name}: {drawings.report(out, arguments.formats)}", arguments.root))
        found.add(Drawings(errors=drawings.errors))
        n_drawn += len(drawings)
    tables, positions = {}, "best-layer_correlations"
    with found.attempt():
        if "models" in arguments.analyses:
            tables |= consistency.correlation_tables(paths, options)
    with found.attempt():
        if "best-layers" in arguments.analyses:
            tables[positions] = consistency_layers.best_layer_correlations(paths, options, methods)
    for stem, table in tables.items():
        print(write_table(out / f"{stem}.csv", table, index=stem != positions))
    if not n_drawn and not found.errors:
        found.errors.append(nothing_drawn(paths, arguments.models))
    for error in found.errors:
        print(f"error: {with_root(error, arguments.root)}", file=sys.stderr)
    return 1 if found.errors else 0


if __name__ == "__main__":
    run_script(main)

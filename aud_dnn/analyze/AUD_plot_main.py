"""Draw the figures of the paper, with their statistics, from what is in results/.

    python aud_dnn/analyze/AUD_plot_main.py
        every figure from whatever models there are
    python aud_dnn/analyze/AUD_plot_main.py --figures 2 7 --models mymodel --palette colorblind
    python aud_dnn/analyze/AUD_plot_main.py --figures 7 --statistics recommended
    python aud_dnn/analyze/AUD_plot_main.py --target myecog
        a target of your own (docs/own_target.md)
    python aud_dnn/analyze/AUD_plot_main.py --figures aggregate
        only the tables in results/<model>/outputs/

Pictures (svg, png) and a csv of every plotted number go to results/PLOTS_across-models/, tests to
results/STATS_across-models/, surface maps to results/PLOTS_SURF_across-models/. Models without
results are left out and named, on the figure, too. Bad results (a layer missing, other data, NaN)
cost the pictures that need them; all others are drawn, what is wrong comes last with the command
that fixes it, and the exit status is 1; so it is if there is nothing to draw at all.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    if not __package__:  # run as a file: import from the repository, not from this folder
        sys.path[0] = str(Path(__file__).resolve().parents[2])
    from aud_dnn.terminal import start_script

    start_script()

from aud_dnn.activations.statements import keep_statements
from aud_dnn.analyze.plot_arguments import EXTRAS, PAPER, plot_parser
from aud_dnn.analyze.plot_run import OWN, make, own_names, report
from aud_dnn.arguments import (
    find_drawable_root,
    show_listing,
)
from aud_dnn.conditions import Condition
from aud_dnn.running import run_script, with_root
from aud_dnn.targets.facts import COMPONENT_TARGET


def main(argv: list[str] | None = None) -> int:
    """Parse the command line, aggregate, draw, say what was written and what was missing."""
    arguments = plot_parser(__doc__).parse_args(argv)
    if show_listing(arguments):
        return 0

    # heavy imports only once the command line is understood: --help answers at once
    from aud_dnn.io.atomic import remove_abandoned_below
    from aud_dnn.io.processes import map_in_processes
    from aud_dnn.tables.current_tables import aggregate_all

    paths = find_drawable_root(arguments.root, arguments.models)
    keep_statements(paths, arguments.models, arguments.layer_order)
    chosen = (
        [*PAPER, *EXTRAS] if "all" in arguments.figures else list(dict.fromkeys(arguments.figures))
    )
    own = own_names(paths, arguments.target)
    arguments.target = [target for target in arguments.target if target not in own]
    if not arguments.target:  # the paper's figures are of the paper's targets
        chosen = []
    print("Reading the results …", flush=True)
    made = aggregate_all(
        paths, [*arguments.target, COMPONENT_TARGET] if chosen else [], jobs=arguments.jobs
    )
    errors = [
        error
        for (*_, randnetw), error in made.items()
        if error and Condition.of(randnetw) in arguments.condition
    ]
    if chosen:
        print(
            f"Aggregated {len(made) - len(errors)} sets of results; the tables are in "
            f"{paths.results}/<model>/outputs/.",
            flush=True,
        )
    chosen = [*(name for name in chosen if name != "aggregate"), *(f"{OWN}{name}" for name in own)]
    work = [(paths, name, arguments) for name in chosen]
    errors += report(map_in_processes(make, work, arguments.jobs), paths, arguments)
    remove_abandoned_below(paths.results)
    for error in dict.fromkeys(errors):
        print(f"error: {with_root(error, arguments.root)}", file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    run_script(main)

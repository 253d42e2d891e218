"""Predict brain responses from the activations of a model's layers by ridge regression.

    python aud_dnn/AUD_main.py --source_model Kell2018word --source_layer relu2 --target NH2015
    python aud_dnn/AUD_main.py --source_model AST --source_layer all --target all
    python aud_dnn/AUD_main.py --source_model AST --source_layer all --target my_ecog.nc
    python aud_dnn/AUD_main.py --source_model brains --target NH2015     # participants by others

Reads model-actv/<model>/ and data/neural/<target>/, writes
results/<model>/AUD-MAPPING-Ridge_…/. Results that are already there are kept; run the same command
again after a stop and it goes on where it was.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    if not __package__:  # run as a file: import from the repository, not from this folder
        sys.path[0] = str(Path(__file__).resolve().parents[1])
    from aud_dnn.terminal import start_script

    start_script()

from typing import TYPE_CHECKING

from aud_dnn.activations.statements import keep_statements
from aud_dnn.arguments import show_listing
from aud_dnn.paths import find_root
from aud_dnn.running import run_script, show_log
from aud_dnn.runs.fit_arguments import default_layers, fit_parser
from aud_dnn.targets.choosing import chosen_targets

if TYPE_CHECKING:
    from aud_dnn.runs.own_targets import OwnTarget


def main(argv: list[str] | None = None) -> int:
    """Parse the command line, fit, print the closing table."""
    arguments = fit_parser(__doc__).parse_args(argv)
    if show_listing(arguments):
        return 0
    paths = find_root(arguments.root)
    if arguments.source_model == "brains" or arguments.source_model.startswith("brain:"):
        from aud_dnn.api.brains import brains_report

        show_log(verbose=arguments.verbose)
        print(brains_report(arguments.source_model, arguments.target, paths, arguments.overwrite))
        return 0
    targets, files = chosen_targets(arguments.target)
    named = arguments.source_layer
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

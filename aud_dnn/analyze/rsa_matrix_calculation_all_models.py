"""All comparisons of layers with the brain: RSA as in the paper, and other methods of comparison.

Results, tables and figures in ``results/rsa_analysis/`` (of CKA in ``results/cka_analysis/``, …).

    python aud_dnn/analyze/rsa_matrix_calculation_all_models.py

computes every registered model that has activations in ``model-actv/``, trained and permuted, on
NH2015 and B2021, for all voxels and each region. What is there already and still current is loaded,
so an interrupted run goes on where it stopped. ``docs/rsa.md`` says what is computed and what the
files hold.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

if __name__ == "__main__":
    if not __package__:  # run as a file: import from the repository, not from this folder
        sys.path[0] = str(Path(__file__).resolve().parents[2])
    from aud_dnn.terminal import start_script

    start_script()

from aud_dnn.activations.statements import keep_statements
from aud_dnn.analyze.comparison_arguments import comparison_parser
from aud_dnn.arguments import show_listing
from aud_dnn.conditions import Condition
from aud_dnn.models.registry import MODELS
from aud_dnn.running import run_script, show_log, with_root
from aud_dnn.targets.choosing import chosen_targets
from aud_dnn.targets.facts import VOXEL_TARGETS


def main(argv: list[str] | None = None) -> int:
    args = comparison_parser(__doc__).parse_args(argv)
    if show_listing(args):
        return 0
    targets, files = chosen_targets(args.target, VOXEL_TARGETS)

    # heavy imports only once the command line is understood: --help answers at once, and Ctrl-C is
    # heard; one thread of the linear-algebra library is what a comparison uses
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from aud_dnn.analyze.comparison_figures import Look, draw_comparison
    from aud_dnn.methods.method import Comparison, find_method
    from aud_dnn.methods.threads import available_cores
    from aud_dnn.paths import find_root
    from aud_dnn.runs.comparison_plan import plan_comparison
    from aud_dnn.runs.comparisons import run_comparison
    from aud_dnn.runs.own_targets import known_stimuli, read_own_targets
    from aud_dnn.store.published_rsa import write_published_rsa
    from aud_dnn.tables.comparison_dimensionality import model_parts
    from aud_dnn.tables.comparisons import all_tables, write_tables

    show_log(verbose=False)
    paths = find_root(args.root)
    methods = {name: find_method(name, Comparison) for name in dict.fromkeys(args.methods)}
    stated = args.models or list(MODELS)
    keep_statements(
        paths, stated, args.layer_order, assume_stimulus_order=args.assume_stimulus_order
    )
    stimuli = known_stimuli(paths, needed=bool(targets)) if files else None
    conditions = [Condition.of(value) for value in args.randnetw]
    asked = {
        "targets": targets,
        "own_targets": read_own_targets(files, () if stimuli is None else stimuli.ids),
        "rois": args.roi,
        "conditions": conditions,
        "models": args.models,
        "overwrite": args.overwrite,
    }
    failed = False
    for name, method in methods.items():
        if args.dry_run:
            jobs = args.jobs or available_cores()
            print(plan_comparison(paths, method, **asked, jobs=jobs).summary())
            continue
        run = run_comparison(paths, name, **asked, jobs=args.jobs, progress=args.progress)
        folder = paths.comparison_results(method.name)
        parts = model_parts(folder, run.datasets)
        written = write_tables(folder / "tables", all_tables(run.datasets, parts, method))
        if args.legacy_pickles and method.correlations:
            written += write_published_rsa(folder, run.datasets)
        look = Look(conditions, args.statistics, args.palette, args.participants, args.model_pages)
        models = args.models or ()
        n_figures = (
            draw_comparison(
                run, folder, method, look, models=models, jobs=args.jobs, progress=args.progress
            )
            if args.figures
            else 0
        )
        print(with_root(run.report.summary(), args.root))
        print(
            f"written below {folder}: {len(run.datasets)} netCDF files, {len(written)} tables and "
            f"pickles, {n_figures} figures"
        )
        failed |= bool(run.report.failed)
    return 1 if failed else 0


if __name__ == "__main__":
    run_script(main)

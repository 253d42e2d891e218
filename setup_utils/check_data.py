"""Inspect the data, activations and results below a root: shapes, types, ids, NaN, constant units, duplicated sounds.

Run it after a download, and on activations of your own before any fit::

    python setup_utils/check_data.py
    python setup_utils/check_data.py --models MyModel
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    if not __package__:     # run as a file: import from the repository, not from this folder
        sys.path[0] = str(Path(__file__).resolve().parents[1])
    from aud_dnn.terminal import start_script

    start_script()

from aud_dnn.activations.statements import keep_statements
from aud_dnn.arguments import (
    add_layer_order,
    add_listing,
    add_root,
    add_stimulus_order,
    run_script,
    script_parser,
    show_listing,
)
from aud_dnn.paths import find_root


def main(arguments: list[str] | None = None) -> int:
    parser = script_parser(__doc__)
    add_root(parser)
    parser.add_argument("--models", default="", metavar="MODEL,MODEL",
                        help="look at the activations of these models only (default: everything)")
    add_layer_order(parser)
    add_stimulus_order(parser)
    add_listing(parser)
    args = parser.parse_args(arguments)
    if show_listing(args):
        return 0

    # heavy imports only once the command line is understood: --help answers at once
    from aud_dnn.checks.findings import report
    from aud_dnn.checks.installation import check_installation

    models = [name.strip() for name in args.models.split(",") if name.strip()]
    paths = find_root(args.root)
    keep_statements(paths, models, args.layer_order, assume_stimulus_order=args.assume_stimulus_order)
    return report(check_installation(paths, models=models or None))


if __name__ == "__main__":
    run_script(main)

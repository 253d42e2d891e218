"""Inspect the data, activations and results below a root.

Shapes, types, ids, NaN, constant units, duplicated sounds.

Run it after a download, and on activations of your own before any fit::

    python setup_utils/check_data.py
    python setup_utils/check_data.py --models MyModel
    python setup_utils/check_data.py --target my_ecog.nc
"""

from __future__ import annotations

import contextlib

from aud_dnn.activations.statements import keep_statements
from aud_dnn.arguments import (
    add_layer_order,
    add_listing,
    add_root,
    add_stimulus_order,
    script_parser,
    show_listing,
)
from aud_dnn.errors import InputError
from aud_dnn.paths import find_root


def main(arguments: list[str] | None = None) -> int:
    parser = script_parser(__doc__)
    add_root(parser)
    parser.add_argument(
        "--models",
        nargs="+",
        default=[],
        metavar="MODEL",
        help="look at the activations of these models only (default: everything)",
    )
    parser.add_argument(
        "--target",
        nargs="+",
        default=[],
        metavar="FILE",
        help="look at these targets of your own, files or folders (docs/own_target.md), and at "
        "nothing else",
    )
    add_layer_order(parser)
    add_stimulus_order(parser)
    add_listing(parser)
    args = parser.parse_args(arguments)
    if show_listing(args):
        return 0

    # heavy imports only once the command line is understood: --help answers at once
    from aud_dnn.checks.findings import report
    from aud_dnn.checks.installation import check_installation

    if args.target:
        from aud_dnn.checks.own_targets import check_target_file
        from aud_dnn.utils import load_stimuli

        published: tuple[str, ...] = ()
        with contextlib.suppress(InputError):  # a target needs no installation
            published = load_stimuli(find_root(args.root)).ids
        return report(check_target_file(path, published) for path in args.target)
    models = [name.strip() for word in args.models for name in word.split(",") if name.strip()]
    paths = find_root(args.root)
    keep_statements(
        paths, models, args.layer_order, assume_stimulus_order=args.assume_stimulus_order
    )
    return report(check_installation(paths, models=models or None))

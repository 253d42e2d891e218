"""What a network explains of the brain that other feature spaces do not.

::

    python aud_dnn/unique_variance.py --source_model mynet --against spectemp
    python aud_dnn/unique_variance.py --source_model mynet --source_layer conv3 --target NH2015comp
    python aud_dnn/unique_variance.py --source_model mynet --against spectemp Kell2018word:relu2

Banded ridge regression: every space has a penalty of its own, chosen for every voxel and split by
leave-one-out on the training sounds. Writes the scores of every layer, a table and bars to
results/<model>/unique_variance/. The same command again reads what is there.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    if not __package__:  # run as a file: import from the repository, not from this folder
        sys.path[0] = str(Path(__file__).resolve().parents[1])
    from aud_dnn.terminal import start_script

    start_script()

from aud_dnn.arguments import add_bool, add_root, script_parser
from aud_dnn.running import make_callable, run_script, show_log
from aud_dnn.targets.facts import COMPONENT_TARGET


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    parser = script_parser(__doc__)
    add = parser.add_argument
    add("--source_model", required=True, metavar="MODEL", help="a model with activations")
    for flag, default, meaning in (
        ("--source_layer", ["all"], "its layers (default: all)"),
        ("--against", ["spectemp"], "one or two other spaces: MODEL, or MODEL:LAYER where it has "
         "several (default: spectemp, the acoustic baseline)"),
        ("--target", ["all"], "targets, files with targets of your own, or all (default)"),
    ):  # fmt: skip
        add(flag, nargs="+", metavar="NAME", default=default, help=meaning)
    add_bool(parser, "--randnetw", False, "the network with permuted weights")
    add_bool(parser, "--overwrite", False, "compute again what is there")
    add("--resamples", type=int, default=0, metavar="N", help="draw the sounds N times anew (1000 "
        "are plenty), for intervals and tests over sounds and participants in ..._intervals.csv, "
        "of targets with two or more participants (default: 0, none)")  # fmt: skip
    add_root(parser)
    given = parser.parse_args(argv)
    show_log(verbose=False)
    from aud_dnn.api.unique_variance import unique_variance
    from aud_dnn.paths import find_root
    from aud_dnn.store.shares import shares_folder

    table = unique_variance(
        given.source_model,
        given.against,
        given.target,
        layers=None if given.source_layer == ["all"] else given.source_layer,
        randnetw=given.randnetw,
        overwrite=given.overwrite,
        n_resamples=given.resamples,
        root=given.root,
    )
    shown = table[table["time"].isna() & table["share"].str.startswith(("unique", "shared"))]
    shown = shown[(shown["n"] > 1) | (shown["target"] == COMPONENT_TARGET)]  # not every neuroid
    for target, rows in shown.groupby("target", sort=False):
        measure = "r2_test_c" if "r2_test_c" in set(rows["measure"]) else "r2_test"
        rows = rows[rows["measure"] == measure]
        shares = [  # the layer stands beside it
            row.share.replace(f"{row.model}:{row.layer}", row.model) for row in rows.itertuples()
        ]
        wide = rows.assign(share=shares).pivot_table(
            index=["layer", "share"], columns="part", values="value", sort=False
        )
        print(f"\n{target}, {measure}\n{wide.round(3).to_string()}")
    print(f"\nTables and pictures: {shares_folder(find_root(given.root), given.source_model)}")
    return 0


make_callable(__name__, "aud_dnn.api.unique_variance")

if __name__ == "__main__":
    run_script(main)

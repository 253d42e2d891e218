"""How alike layers and brains are, by ten measures, and whether it matters which one is taken.

::

    python aud_dnn/similarity.py --source_model mynet Kell2018word --target NH2015
    python aud_dnn/similarity.py --source_model all --target B2021 --roi Primary Lateral

RDMs by Pearson, Spearman, cosine, rho-a and tau-a; distances across repetitions (crossnobis, and
correlations); unbiased CKA; orthogonal Procrustes and partial least squares, tested on sounds that
they were not fitted to. Each has a noise ceiling by the same measure and a null (layers with their
sounds in random order). Writes scores, tables and pictures to results/<model>/similarity/, of
several models to results/similarity/. The same command again reads what is there.
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
from aud_dnn.targets.choosing import chosen_targets
from aud_dnn.targets.facts import VOXEL_TARGETS


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    parser = script_parser(__doc__)
    add = parser.add_argument
    add("--source_model", nargs="+", required=True, metavar="MODEL",
        help="models with activations, or all that have some")  # fmt: skip
    add("--target", nargs="+", metavar="NAME", default=["all"],
        help="NH2015, B2021, all (both, the default), or files of your own")  # fmt: skip
    add("--roi", nargs="+", metavar="ROI", help="regions of the targets (default: all voxels)")
    add_bool(parser, "--randnetw", False, "the networks with permuted weights")
    add("--null", type=int, default=20, metavar="N", help="draws of the null (default: 20)")
    add("--seed", type=int, default=0, metavar="N", help="of the null (default: 0)")
    add_bool(parser, "--overwrite", False, "compute again what is there")
    add_root(parser)
    given = parser.parse_args(argv)
    show_log(verbose=False)
    from aud_dnn.activations.files import activation_files, models_on_disk
    from aud_dnn.api.similarity import similarity, similarity_folder
    from aud_dnn.paths import find_root

    paths = find_root(given.root)
    models = list(dict.fromkeys(given.source_model))
    if models == ["all"]:
        models = [
            one
            for one in models_on_disk(paths)
            if activation_files(paths, one, randnetw=given.randnetw)
        ]
    published, files = chosen_targets(given.target, VOXEL_TARGETS)
    for target in [*published, *map(str, files)]:
        table = similarity(
            models,
            target,
            regions=given.roi,
            randnetw=given.randnetw,
            n_null=given.null,
            seed=given.seed,
            overwrite=given.overwrite,
            root=given.root,
        )
        for part, rows in table.groupby("part", sort=False):
            wide = rows.pivot_table(index="measure", columns="model", values="score", sort=False)
            about = rows.groupby("measure", sort=False)[["ceiling", "null"]].mean()
            print(f"\n{rows['target'].iloc[0]}, {part}\n{wide.join(about).round(3).to_string()}")
    print(f"\nTables and pictures: {similarity_folder(paths, models)}")
    return 0


make_callable(__name__, "aud_dnn.api.similarity")

if __name__ == "__main__":
    run_script(main)

"""Fit every layer of many models to every target, on this machine or on a cluster.

::

    python aud_dnn/sweep.py                                   # everything that has activations
    python aud_dnn/sweep.py --models Kell2018word mynet --target NH2015 NH2015comp
    python aud_dnn/sweep.py --dry_run                         # what, how long, how much disk
    python aud_dnn/sweep.py --shard 3/16                      # one of sixteen parts, on any machine
    python aud_dnn/sweep.py --backend slurm --partition main --workers 32

Every layer is decomposed once for all targets; every finished result is on disk at once, as
AUD_main.py writes it. The same command again goes on where it was. Ends with one table,
results/sweep-<name>.parquet and .csv, and the status 1 if a layer could not be fitted.
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
from aud_dnn.errors import InputError
from aud_dnn.running import make_callable, run_script, show_log


def _shard(text: str) -> tuple[int, int]:
    part, _, n_parts = text.partition("/")
    try:
        return int(part), int(n_parts)
    except ValueError as error:
        raise InputError(f"--shard {text} is not understood. Write 3/16.") from error


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    parser = script_parser(__doc__)
    add = parser.add_argument
    for flag, default, meaning in (
        ("--models", ["all"], "models, or all with activations (default)"),
        ("--layers", None, "only layers of these names (default: all)"),
        ("--target", ["all"], "targets, files with targets of your own, or all (default)"),
    ):
        add(flag, nargs="+", metavar="NAME", default=default, help=meaning)
    add("--randnetw", choices=("both", "True", "False"), default="both", help="default: both")
    add(
        "--methods",
        nargs="+",
        default=["regression"],
        metavar="METHOD",
        help="regression (default), RSA, CKA, a file with a comparison of your own, or questions "
        "about all models (docs/methods.md): similarity, unique-variance, brains, uncertainty, "
        "kinds, layer-choice",
    )
    add("--name", help="of the table: results/sweep-NAME.csv (default: all, or the models)")
    add("--shard", metavar="I/N", help="only part I of N, the same on every machine")
    add_bool(parser, "--save_preds", False, "keep predictions, too (about 115 MB for a layer)")
    add_bool(parser, "--overwrite", False, "fit again what is there")
    add_bool(parser, "--dry_run", False, "only say what would be done; prints a job script")
    add_root(parser)
    where = parser.add_argument_group("where it runs")
    add = where.add_argument
    add("--backend", choices=("local", "dask", "slurm"), default="local", help="default: local")
    add("--jobs", type=int, metavar="N", help="processes (default: one per core)")
    add("--address", help="of a Dask scheduler: tcp://host:8786, or a scheduler file")
    add("--cluster", type=Path, metavar="TOML", help="options of SLURM (docs/cluster.md)")
    for flag, kind in (("partition", str), ("account", str), ("time", str), ("memory", str)):
        add(f"--{flag}", type=kind, help="of a SLURM worker")
    add("--workers", type=int, metavar="N", help="SLURM jobs at once (default: 8)")
    given = vars(parser.parse_args(argv))
    show_log(verbose=False)
    from aud_dnn.api.sweep import sweep
    from aud_dnn.runs.cluster import read_slurm_options

    names = ("partition", "account", "time", "memory", "workers")
    slurm = read_slurm_options(given.pop("cluster"), **{name: given.pop(name) for name in names})
    shard = given.pop("shard")
    done = sweep(
        given.pop("models"),
        given.pop("target"),
        shard=None if shard is None else _shard(shard),
        slurm=slurm,
        **given,
    )
    print(done)
    return int(bool(done.failures))


make_callable(__name__, "aud_dnn.api.sweep")

if __name__ == "__main__":
    run_script(main)

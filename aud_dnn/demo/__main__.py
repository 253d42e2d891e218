"""Make the demo data set: ``python -m aud_dnn.demo --root demo``."""

from __future__ import annotations

from pathlib import Path

if __name__ == "__main__":
    from aud_dnn.terminal import start_script

    start_script()

from aud_dnn.arguments import add_bool, script_parser
from aud_dnn.running import run_script


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    parser = script_parser(
        "Make a small data set with known truth, in the published layout (docs/code.md: demo).",
        prog="python -m aud_dnn.demo",
    )
    parser.add_argument(
        "--root",
        type=Path,
        default=Path("demo"),
        metavar="DIR",
        help="folder to make (default: demo)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of everything random (default: 0)")
    add_bool(parser, "--overwrite", False, "replace an earlier demo in the same folder")
    arguments = parser.parse_args(argv)
    from aud_dnn.demo.making import make_demo
    from aud_dnn.demo.targets import OWN_MODEL
    from aud_dnn.demo.truth import NETWORK, TRUTH_FILE

    was_there = not arguments.overwrite and (arguments.root / TRUTH_FILE).is_file()
    truth = make_demo(arguments.root, arguments.seed, overwrite=arguments.overwrite)
    done = "The demo was already there, in" if was_there else "Made the demo in"
    print(
        f"{done} {arguments.root}: "
        + ", ".join(
            f"{target} with {len(voxels.voxel_id)} voxels"
            for target, voxels in truth.voxels.items()
        )
        + f"; models {NETWORK}, DCASE2020, spectemp and {OWN_MODEL}. What was planted is in "
        f"{arguments.root / TRUTH_FILE}."
    )
    return 0


if __name__ == "__main__":
    run_script(main)

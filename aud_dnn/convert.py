"""Turn a published results tree (pickles) into this project's open formats.

``python -m aud_dnn.convert results converted``.

Every number is kept: after a result was written it is read back and compared with the pickles, bit
by bit, before it gets its name. Results that are there already are left alone, so the same command
goes on after a stop. The pickles are opened by :mod:`aud_dnn.io.pickles.safe_pickle` and never
changed.
"""

from __future__ import annotations

import json
from pathlib import Path

if __name__ == "__main__":
    from aud_dnn.terminal import start_script

    start_script()

from aud_dnn.arguments import add_bool, script_parser
from aud_dnn.running import run_script

REPORT_FILE = "conversion.json"


def main(arguments: list[str] | None = None) -> int:
    """Convert, print what was done, write it to ``conversion.json``.

    1 if something could not be converted.
    """
    parser = script_parser(__doc__, prog="python -m aud_dnn.convert")
    parser.add_argument("source", type=Path, help="the published results folder")
    parser.add_argument(
        "destination", type=Path, help="the folder to write to; finished results in it are kept"
    )
    add_bool(parser, "--overwrite", False, "convert again what is there already")
    args = parser.parse_args(arguments)
    from tqdm import tqdm

    from aud_dnn.io.atomic import atomic_file, remove_abandoned_below
    from aud_dnn.store.converting import convert_tree

    outcomes = []
    for outcome in convert_tree(args.source, args.destination, overwrite=args.overwrite):
        outcomes.append(outcome)
        tqdm.write(
            f"{outcome.status:15} {outcome.name}"
            + (f"\n    {outcome.detail}" if outcome.detail else "")
        )
    counts = {
        status: sum(outcome.status == status for outcome in outcomes)
        for status in ("converted", "already there", "not converted")
    }
    print(", ".join(f"{count:,} {status}" for status, count in counts.items()))
    args.destination.mkdir(parents=True, exist_ok=True)
    with atomic_file(args.destination / REPORT_FILE) as staging:
        staging.write_text(json.dumps([vars(outcome) for outcome in outcomes], indent=1) + "\n")
    remove_abandoned_below(args.destination)
    return 1 if counts["not converted"] else 0


if __name__ == "__main__":
    run_script(main)

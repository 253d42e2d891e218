"""All models with results, and those of the paper, in one table: ``python aud_dnn/leaderboard.py``.

Writes ``results/leaderboard.html`` (sort, filter by architecture and task, every component, target
and region) and ``results/leaderboard.csv``, and prints who is where.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    if not __package__:  # run as a file: import from the repository, not from this folder
        sys.path[0] = str(Path(__file__).resolve().parents[1])
    from aud_dnn.terminal import start_script

    start_script()

from aud_dnn.arguments import add_root, script_parser
from aud_dnn.paths import find_root
from aud_dnn.running import run_script, show_log
from aud_dnn.targets.facts import ROIS


def main(argv: list[str] | None = None) -> int:
    """Make the table; print the place of every model that was measured here."""
    parser = script_parser(__doc__)
    add_root(parser)
    arguments = parser.parse_args(argv)
    show_log(verbose=False)
    from aud_dnn.analyze.report.standings import MEASURED, write_standings

    table, page = write_standings(find_root(arguments.root))
    # regions would make a line of a terminal too long; they stand in both files
    here = table[(table["source"] == MEASURED) & ~table["part"].isin(ROIS)]
    places = here.assign(
        place=[f"{row.rank} ({row.rank_low}–{row.rank_high})" for row in here.itertuples()]
    ).pivot(index="label", columns=["target", "part"], values="place")
    print(places.fillna("–").to_string())
    print(f"\nTable: {page} (and {page.with_suffix('.csv').name})")
    return 0


if __name__ == "__main__":
    run_script(main)

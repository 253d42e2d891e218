"""Run the tests on every promised Python, and with the oldest promised dependencies
(``tests/oldest.txt``).

    python tests/matrix.py [--row 3.10-oldest] [tests/methods/test_ridge.py ...]

Makes the environments where they are not there (below ``.matrix_environments``; Pythons by pyenv
or on the PATH) and prints a line for each. ``make test-matrix`` runs all rows with all tests.
"""

from __future__ import annotations

import argparse
import os
import subprocess
from pathlib import Path

from legacy_matrix import environment

REPOSITORY = Path(__file__).resolve().parents[1]
OLDEST = Path(__file__).with_name("oldest.txt")
ROWS: dict[str, tuple[str, Path | None]] = {
    "3.10-oldest": ("3.10", OLDEST),
    "3.10": ("3.10", None),
    "3.11": ("3.11", None),
    "3.12": ("3.12", None),
    "3.13": ("3.13", None),
}
"""Row -> (version of Python, constraints on the dependencies)."""


def _row_environment(home: Path, version: str, constraints: Path | None) -> Path | None:
    wanted = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    packages = ["--editable", f"{REPOSITORY}[test]"]
    if constraints:  # no building from source: an old numpy would take half an hour, or fail
        wanted += constraints.read_text(encoding="utf-8")
        packages += ["--constraint", str(constraints), "--only-binary=:all:"]
    return environment(home, version, wanted, [packages])


def run_tests(python: Path, tests: list[str]) -> tuple[int, str]:
    """Exit status and last line of the tests; the whole output where they fail."""
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    run = subprocess.run(
        [
            str(python),
            "-m",
            "pytest",
            "--numprocesses",
            "auto",
            "--dist",
            "loadfile",
            "--disable-warnings",
            "-p",
            "no:cacheprovider",
            *tests,
        ],
        check=False,
        cwd=REPOSITORY,
        env=environ,
        capture_output=True,
        text=True,
    )
    if run.returncode:
        print(run.stdout[-20_000:], run.stderr[-2_000:], sep="\n")
    lines = run.stdout.strip().splitlines()
    return run.returncode, lines[-1].strip("= ") if lines else "no output"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tests", nargs="*", help="files of tests (default: all)")
    parser.add_argument(
        "--row",
        action="append",
        choices=tuple(ROWS),
        dest="rows",
        help="only this one; may be given several times (default: all)",
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=REPOSITORY / ".matrix_environments",
        help="where the environments lie",
    )
    arguments = parser.parse_args()
    failed = False
    for row in arguments.rows or ROWS:
        version, constraints = ROWS[row]
        python = _row_environment(arguments.folder.resolve() / f"python{row}", version, constraints)
        if python is None:
            print(f"Python {row}: not installed here, left out", flush=True)
            continue
        status, said = run_tests(python, arguments.tests)
        failed |= status != 0
        print(f"Python {row}: {said}", flush=True)
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())

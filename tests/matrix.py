"""Run the tests on every promised Python, and with the oldest promised dependencies (``tests/oldest.txt``).

    python tests/matrix.py [--row 3.10-oldest] [tests/test_ridge.py ...]

Makes the environments where they are not there (below ``.matrix_environments``; Pythons by pyenv
or on the PATH) and prints a line for each. ``make test-matrix`` runs all rows with all tests.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
from pathlib import Path

from legacy_matrix import interpreter

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


def environment(home: Path, version: str, constraints: Path | None) -> Path | None:
    """The Python of the environment, made if it is not there or if what it is made from has changed.

    None where that Python is not installed.
    """
    python, made = home / "bin" / "python", home / ".made"
    wanted = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    wanted += constraints.read_text(encoding="utf-8") if constraints else ""
    if made.is_file() and made.read_text(encoding="utf-8") == wanted:
        return python
    source = interpreter(version)
    if source is None:
        return None
    shutil.rmtree(home, ignore_errors=True)
    subprocess.run([source, "-m", "venv", str(home)], check=True)
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
               "--editable", f"{REPOSITORY}[test]"]
    if constraints:     # no building from source: an old numpy would take half an hour, or fail
        command += ["--constraint", str(constraints), "--only-binary=:all:"]
    subprocess.run(command, check=True)
    made.write_text(wanted, encoding="utf-8")
    return python


def run_tests(python: Path, tests: list[str]) -> tuple[int, str]:
    """Exit status and last line of the tests; the whole output where they fail."""
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    run = subprocess.run(
        [str(python), "-m", "pytest", "--numprocesses", "auto", "--dist", "loadfile",
         "--disable-warnings", "-p", "no:cacheprovider", *tests],
        check=False, cwd=REPOSITORY, env=environ, capture_output=True, text=True)
    if run.returncode:
        print(run.stdout[-20_000:], run.stderr[-2_000:], sep="\n")
    lines = run.stdout.strip().splitlines()
    return run.returncode, lines[-1].strip("= ") if lines else "no output"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tests", nargs="*", help="files of tests (default: all)")
    parser.add_argument("--row", action="append", choices=tuple(ROWS), dest="rows",
                        help="only this one; may be given several times (default: all)")
    parser.add_argument("--folder", type=Path, default=REPOSITORY / ".matrix_environments",
                        help="where the environments lie")
    arguments = parser.parse_args()
    failed = False
    for row in arguments.rows or ROWS:
        version, constraints = ROWS[row]
        python = environment(arguments.folder.resolve() / f"python{row}", version, constraints)
        if python is None:
            print(f"Python {row}: not installed here, left out", flush=True)
            continue
        status, said = run_tests(python, arguments.tests)
        failed |= status != 0
        print(f"Python {row}: {said}", flush=True)
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())

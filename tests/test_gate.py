"""What holds the project together: bounds in three files agree, and a test that nobody runs is
noticed.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
SCRIPT = REPOSITORY / "tests" / "skipped_everywhere.py"

RAN = '<testcase classname="tests.test_a" name="test_x" />'
SKIPPED = '<testcase classname="tests.test_a" name="test_x"><skipped message="{}" /></testcase>'
FILE = (
    '<testcase classname="" name="tests.test_a"><skipped message="collection '
    'skipped">{}</skipped></testcase>'
)
NO_TORCH, NO_GPU = "could not import 'torch': No module named 'torch'", "no GPU here"


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [
        (RAN, RAN, 0),
        (SKIPPED.format(NO_TORCH), RAN, 0),
        (FILE.format(NO_TORCH), RAN, 0),
        (SKIPPED.format(NO_TORCH), SKIPPED.format(NO_TORCH), 1),
        (FILE.format(NO_TORCH), FILE.format(NO_TORCH), 1),
        (FILE.format(NO_TORCH), "", 1),  # the other environment does not run the file at all
        (SKIPPED.format(NO_GPU), SKIPPED.format(NO_GPU), 0),
    ],
)
def test_a_test_that_neither_environment_runs_is_an_error(
    first: str, second: str, status: int, tmp_path: Path
) -> None:
    reports = []
    for name, cases in (("first.xml", first), ("second.xml", second)):
        reports.append(tmp_path / name)
        reports[-1].write_text(
            f"<testsuites><testsuite>{cases}</testsuite></testsuites>", encoding="utf-8"
        )
    run = subprocess.run(
        [sys.executable, SCRIPT, *reports], capture_output=True, text=True, check=False
    )
    assert run.returncode == status, run.stderr
    assert ("Nobody runs" in run.stderr) == bool(status)
    assert ("tests.test_a" in run.stderr) == bool(status)


def release(version: str) -> tuple[int, ...]:
    """``1.24`` and ``1.24.0`` are the same release."""
    numbers = tuple(map(int, version.split(".")))
    return numbers + (0,) * (3 - len(numbers))


def test_the_oldest_dependencies_are_those_that_are_promised() -> None:
    project = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    oldest = (REPOSITORY / "tests" / "oldest.txt").read_text(encoding="utf-8")
    dependencies = re.search(r"^dependencies = \[(.*?)^\]", project, re.MULTILINE | re.DOTALL)
    test = re.search(r"^test = \[(.*)\]", project, re.MULTILINE)
    assert dependencies and test
    promised = dict(re.findall(r'"([\w-]+)>=([\d.]+)"', dependencies[1] + test[1]))
    pinned = dict(re.findall(r"^([\w-]+)==([\d.]+)$", oldest, re.MULTILINE))
    assert {name: release(version) for name, version in pinned.items()} == {
        name: release(version) for name, version in promised.items()
    }


def test_the_gate_runs_both_environments() -> None:
    gate = (REPOSITORY / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert [line for line in gate if line.startswith("make ")] == ["make test", "make test-extract"]


def test_every_path_that_the_pages_for_developers_name_is_there() -> None:
    """Paths in backticks, from the repository or from ``aud_dnn/``."""
    for page in ("CONTRIBUTING.md", "docs/code.md"):
        text = (REPOSITORY / page).read_text(encoding="utf-8")
        named = {
            word
            for word in re.findall(r"`([\w./]+(?:\.py|\.txt|\.md|\.yml|\.toml|/))`", text)
            if "/" in word
        }
        assert len(named) >= 10
        assert [
            word
            for word in sorted(named)
            if not (REPOSITORY / word).exists() and not (REPOSITORY / "aud_dnn" / word).exists()
        ] == []

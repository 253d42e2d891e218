"""Tests that neither ``make test`` nor ``make test-extract`` has run, from the reports (JUnit XML)
that both write.

    python tests/skipped_everywhere.py .reports/test.xml .reports/test-extract.xml

A test may be skipped where something is missing, as long as it runs somewhere. One that is skipped
in every report is an error, unless its reason is one of ``KNOWN``.
"""

from __future__ import annotations

import argparse
import re
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

KNOWN = {
    r"no GPU here|mounting a small disk needs root|not kept elsewhere|text "
    r"elsewhere|SIGKILL|POSIX|/proc"
    r"|signals|not known here": "the machine",
    r"beside the repository|reference outputs are not here|reference set is not here|recorded "
    r"outputs are not here"
    r"|real stimulus list is not here": "data that do not come with the code",
    r"'(torchvision|librosa|resampy)'|(torchvision|librosa|resampy|speechbrain) is not "
    r"installed": "large libraries that only check ours against theirs",
    r"'(rsatoolbox|nilearn)'": "optional, and not installed by the gate",
    r"SCIPY_ARRAY_API is not set": "arrays of other libraries, which nothing here takes",
}
"""Reasons (as patterns) for which nobody need run a test, each with what it is about."""


def outcomes(report: Path) -> dict[str, str | None]:
    """Test -> None where it ran, else why it was skipped. A file skipped as a whole is one test."""
    found: dict[str, str | None] = {}
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        skipped = case.find("skipped")
        name = "::".join(filter(None, (case.get("classname"), case.get("name"))))
        why = None if skipped is None else f"{skipped.get('message', '')} {skipped.text or ''}"
        found[name] = why
    return found


def skipped_everywhere(reports: Sequence[Path]) -> dict[str, str]:
    """Test -> why nobody ran it; what was skipped as a file has run where any test of it has."""
    runs = [outcomes(report) for report in reports]
    ran = {name for run in runs for name, why in run.items() if why is None}
    files = {name.partition("::")[0] for name in ran}
    return {
        name: why
        for run in runs
        for name, why in run.items()
        if why is not None and name not in ran | files
    }


def known(why: str) -> str | None:
    """What a reason is about, if it is one of ``KNOWN``."""
    return next((about for pattern, about in KNOWN.items() if re.search(pattern, why)), None)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("reports", nargs="+", type=Path, help="JUnit XML files")
    skipped = skipped_everywhere(parser.parse_args(arguments).reports)
    counts = Counter(about for why in skipped.values() if (about := known(why)))
    print(
        f"Skipped in every environment: {len(skipped)}"
        + "".join(f"; {count} for {about}" for about, count in counts.items())
    )
    unknown = {name: why for name, why in skipped.items() if known(why) is None}
    for name, why in unknown.items():
        print(f"Nobody runs {name}: {why.strip()[-300:]}", file=sys.stderr)
    if unknown:
        print(
            "Install what they need in one of the two environments (Makefile), or, if nobody need "
            "run them, add the reason to KNOWN in tests/skipped_everywhere.py.",
            file=sys.stderr,
        )
    return int(bool(unknown))


if __name__ == "__main__":
    raise SystemExit(main())

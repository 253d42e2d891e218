"""Which targets a command line names: published ones, or files with targets of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from aud_dnn.errors import unknown_name
from aud_dnn.targets.facts import TARGETS


def chosen_targets(
    named: Sequence[str], published: Sequence[str] = TARGETS
) -> tuple[tuple[str, ...], tuple[Path, ...]]:
    """Published targets, and files or folders with targets of one's own.

    Parameters
    ----------
    named : sequence of str
        ``all`` stands for all published ones.
    published : sequence of str
        Those that will do.

    Raises
    ------
    InputError
        Neither a published target nor a file.
    """
    files = [name for name in dict.fromkeys(named) if name not in (*published, "all")]
    for name in files:
        if not _is_there(name):
            raise unknown_name(
                "target",
                name,
                [*published, "all"],
                f"A target of your own is a file or a folder; there is none called {name!r} here.",
            )
    chosen = published if "all" in named else dict.fromkeys(n for n in named if n in published)
    return tuple(chosen), tuple(map(Path, files))


def _is_there(name: str) -> bool:
    try:
        return bool(name) and Path(name).exists()  # of no text, it would be the current folder
    except (OSError, ValueError):  # too long for a name, or holding what none can
        return False

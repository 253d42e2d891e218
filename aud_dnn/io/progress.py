"""How far a long piece of work is: a bar on a terminal, lines where stderr is a file or a pipe."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from tqdm import tqdm

Item = TypeVar("Item")

log = logging.getLogger("aud_dnn")


@contextmanager
def progress_bar(
    total: int | None, unit: str, *, wanted: bool = True, **settings: Any
) -> Iterator[tqdm]:
    """A bar, drawn only where ``wanted`` and stderr is a terminal.

    Its line ends would fill a log file.
    """
    from tqdm import tqdm

    with tqdm(total=total, unit=unit, disable=None if wanted else True, **settings) as bar:
        yield bar


def tell(message: str, *values: object) -> None:
    """Log something that is no warning but that everybody should read."""
    log.info(message, *values, extra={"told": True})


def tell_finished(line: str, *values: object) -> None:
    """A line about a piece of work that is finished, for log files
    (:func:`aud_dnn.arguments.show_log`).
    """
    log.info(line, *values, extra={"progress": True})


def with_progress(
    items: Iterable[Item], unit: str, what: str, *, total: int | None = None, wanted: bool = True
) -> Iterator[Item]:
    """Hand on ``items`` with a bar, and a line for each one that was dealt with."""
    with progress_bar(total, unit, wanted=wanted, desc=what) as bar:
        for number, item in enumerate(items, 1):
            yield item
            bar.update()
            if wanted:
                tell_finished("%s: %d%s", what, number, "" if total is None else f" of {total}")

"""Drawings: a figure, its file name and its numbers, and how they are saved."""

from __future__ import annotations

import contextlib
import io
import re
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

import aud_dnn
from aud_dnn.analyze.plotting.print_style import paper_style
from aud_dnn.errors import FAULT, InputError
from aud_dnn.io.atomic import atomic_file

_DATES = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None, "ModDate": None}}


class NotedFigure(Figure):
    """A figure that knows the notes written on it (:func:`mark_incomplete`), so that scripts can
    say them, too.
    """

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.notes: list[str] = []


def new_figure(width: float, height: float, layout: str | None = None) -> NotedFigure:
    """A figure outside pyplot: nothing stays open, nothing pops up, no backend is asked for."""
    return NotedFigure(figsize=(width, height), layout=layout)


def file_stem(name: str) -> str:
    """A title or a name as a file name.

    Colons become underscores, blanks go, brackets and quotes become underscores.

    ``/`` stays: it separates folders.
    """
    return re.sub(r"""[][(){}<>'"`*?|&;$!\\,:]+""", "_", "".join(name.split()))


@dataclass(frozen=True, eq=False)
class Drawing:
    """One figure, the file name it is saved under, and the numbers it shows.

    Shown as a picture in notebooks.
    """

    figure: NotedFigure
    stem: str
    table: pd.DataFrame | None = None
    formats: tuple[str, ...] = ("svg", "png")

    def save(self, folder: Path, formats: Sequence[str] | None = None) -> list[Path]:
        """Write the picture and the csv below ``folder``."""
        return save_figure(
            self.figure,
            Path(folder) / file_stem(self.stem),
            self.table,
            formats=formats or self.formats,
        )

    def _repr_png_(self) -> bytes:
        content = io.BytesIO()
        with paper_style():
            self.figure.savefig(
                content, format="png", dpi=72, bbox_inches="tight", metadata={"Software": None}
            )
        return content.getvalue()


class Drawings(list[Drawing]):
    """Several drawings and what there is to say about them.

    A notebook shows one picture after the other.

    ``notes`` say what is left out, ``errors`` which pictures are not there because their results
    are bad.
    """

    def __init__(
        self,
        drawings: Iterable[Drawing] = (),
        notes: Iterable[str] = (),
        errors: Iterable[str] = (),
    ) -> None:
        super().__init__(drawings)
        self.notes, self.errors = list(notes), list(errors)

    @contextlib.contextmanager
    def attempt(self) -> Iterator[None]:
        """Around what one picture needs.

        Whatever is wrong with it costs this picture and is kept in ``errors``.

        A fault of ours is told with its traceback. What the system refuses would cost all others,
        too, and is raised.
        """
        try:
            yield
        except InputError as error:
            if str(error) not in self.errors:
                self.errors.append(str(error))
        except (OSError, MemoryError):
            raise
        except Exception as error:
            traceback.print_exc()
            self.errors.append(
                f"A picture could not be drawn ({type(error).__name__}: {error}). {FAULT}"
            )

    def note(self, notes: Iterable[str]) -> None:
        """Take over notes, each once."""
        self.notes += [note for note in dict.fromkeys(notes) if note not in self.notes]

    def add(self, other: Drawings) -> None:
        """Take over the drawings, notes and errors of another part of the figure."""
        self += other
        self.note(other.notes)
        self.errors += [error for error in other.errors if error not in self.errors]

    def notes_on_pictures(self) -> list[str]:
        """What is written on the pictures about the results behind them, each once."""
        return list(dict.fromkeys(note for drawing in self for note in drawing.figure.notes))

    def save(self, folder: Path, formats: Sequence[str] | None = None) -> list[Path]:
        """Write all of them below ``folder``."""
        return [path for drawing in self for path in drawing.save(folder, formats)]

    def report(self, folder: Path, formats: Sequence[str] | None = None) -> str:
        """Write all of them below ``folder`` and say how many there were and what was left out."""
        lines = [f"{len(self)} drawing(s), {len(self.save(folder, formats))} files in {folder}"]
        return "\n  ".join([*lines, *dict.fromkeys([*self.notes, *self.notes_on_pictures()])])

    def _ipython_display_(self) -> None:
        from IPython.display import display

        for note in (*self.notes, *(f"error: {error}" for error in self.errors)):
            print(note)
        for drawing in self:
            display(drawing)


def save_figure(
    figure: Figure,
    stem: Path,
    table: pd.DataFrame | None = None,
    *,
    formats: Sequence[str] = ("svg", "png"),
    index: bool = True,
) -> list[Path]:
    """Write a figure in every format, and the plotted numbers as a csv beside it.

    Each file is whole or absent.

    Parameters
    ----------
    figure : Figure
    stem : Path
        The file name without ending (dots in it are kept).
    table : DataFrame, optional
        Every plotted number; written to ``{stem}.csv``.
    formats : sequence of str
        Among ``svg``, ``png`` (180 dpi) and ``pdf``. Files carry no date, so equal figures are
        equal files.
    index : bool
        Whether the csv has the table's index.

    Returns
    -------
    list of Path
    """
    stem = Path(stem)
    written = []
    if table is not None:
        path = stem.with_name(f"{stem.name}.csv")
        with atomic_file(path) as staging:
            table.to_csv(staging, index=index)
        written.append(path)
    maker = {"Title": stem.name, "Creator": f"auditory-brain-dnn {aud_dnn.__version__}"}
    for kind in formats:
        path = stem.with_name(f"{stem.name}.{kind}")
        with paper_style(), atomic_file(path) as staging:
            figure.savefig(staging, format=kind, bbox_inches="tight", metadata=maker | _DATES[kind])
        written.append(path)
    return written

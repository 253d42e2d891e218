"""What all figures share: fonts, colours, names, the way they are saved.

Use :func:`paper_style` around drawing *and* saving (:func:`save_figure` does so itself): the
settings that keep text editable are read when a file is written.
"""

from __future__ import annotations

import contextlib
import io
import re
import textwrap
import traceback
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import aud_dnn
from aud_dnn.analyze.plotting.labels import COMPONENT_DISPLAY_NAMES, ROI_COLORS, VALUE_LABELS
from aud_dnn.errors import FAULT, InputError
from aud_dnn.io.atomic import atomic_file
from aud_dnn.models.registry import MODELS
from aud_dnn.targets.categories import SOUND_CATEGORIES

PALETTES = ("paper", "colorblind")
RASTER_DPI = 180
BASELINE_COLOR, BASELINE_BAND, CEILING_BAND, NOTE_COLOR = "darkgrey", "gainsboro", "0.6", "0.35"

# Okabe & Ito (2008), without black
_OKABE_ITO = {
    "orange": "#e69f00",
    "sky": "#56b4e9",
    "green": "#009e73",
    "yellow": "#f0e442",
    "blue": "#0072b2",
    "vermillion": "#d55e00",
    "purple": "#cc79a7",
}
_SAFE_TASKS = {
    "word": "blue",
    "speaker": "vermillion",
    "music": "green",
    "audioset": "sky",
    "multitask": "orange",
}
_SAFE_EXTERNAL = {
    "AST": ("purple", "^"),
    "wav2vec": ("yellow", "^"),
    "DCASE2020": ("blue", "v"),
    "DS2": ("orange", "v"),
    "VGGish": ("green", "^"),
    "ZeroSpeech2020": ("sky", "v"),
    "S2T": ("vermillion", "^"),
    "metricGAN": ("purple", "v"),
    "sepformer": ("sky", "^"),
    "spectemp": (None, "o"),
}
_SAFE_ROIS = {
    "Primary": "green",
    "Anterior": "sky",
    "Lateral": "blue",
    "Posterior": "purple",
    "none": None,
    "any_roi": "orange",
}
# for models without an entry in the registry, away from the published colours as far as that goes
_OWN_MODEL_COLORS = (
    "#008b8b",
    "#00008b",
    "#ff00ff",
    "#8b8000",
    "#000000",
    "#ff4500",
    "#2f4f4f",
    "#7fff00",
)
_OWN_MODEL_MARKERS = ("P", "X", "*", "h", "<", ">", "p", "d")


@dataclass(frozen=True)
class PointStyle:
    """How one model, component, region or sound category is drawn."""

    color: str
    marker: str = "o"
    filled: bool = True


def _matplotlib_defaults() -> dict[str, Any]:
    """Matplotlib's own settings, without those that concern windows and with no regard to the
    user's matplotlibrc.
    """
    defaults = {}
    for key in mpl.rcParamsDefault:
        if not key.startswith(
            ("backend", "interactive", "toolbar", "webagg", "keymap", "tk.", "savefig.directory")
        ):
            with warnings.catch_warnings():
                warnings.simplefilter("error", mpl.MatplotlibDeprecationWarning)
                with contextlib.suppress(mpl.MatplotlibDeprecationWarning):
                    defaults[key] = mpl.rcParamsDefault[key]
    return defaults


_SETTINGS = {
    **_matplotlib_defaults(),
    "font.family": "sans-serif",
    "font.size": 12,
    "xtick.labelsize": "small",
    "ytick.labelsize": "medium",
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "aud_dnn",
    "axes.prop_cycle": mpl.cycler(color=sns.color_palette("pastel").as_hex()),
    "savefig.dpi": RASTER_DPI,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


@contextlib.contextmanager
def paper_style() -> Iterator[None]:
    """Draw and save inside this block.

    Sans-serif, base size 12, editable text in pdf and svg, pastel cycle.

    Everything else is as Matplotlib is shipped, so that a user's own settings do not change the
    figures.
    """
    with mpl.rc_context(_SETTINGS):
        yield


def _check_palette(palette: str) -> None:
    if palette not in PALETTES:
        raise ValueError(f"Unknown palette {palette!r}; known: {', '.join(PALETTES)}.")


def display_name(model: str) -> str:
    """The model's name in figures; a user's own model keeps its own."""
    return MODELS[model].display_name if model in MODELS else model


def layer_legend(model: str, layer: str) -> str:
    """The layer's name in figures.

    ``Cochleagram`` for the excluded input, unknown layers keep their own.
    """
    if layer == "input_after_preproc":
        return "Cochleagram"
    known = (
        {entry.name: entry.display_name for entry in MODELS[model].layers}
        if model in MODELS
        else {}
    )
    return known.get(layer, layer)


def component_name(component: str) -> str:
    """For example ``Component 6: "Music-selective"`` without the number: ``Music-selective``."""
    return f"{COMPONENT_DISPLAY_NAMES.get(component, component)}-selective"


def value_label(value: str) -> str:
    """Axis label of a value such as ``median_r2_test_c``; unknown values keep their name."""
    return VALUE_LABELS.get(value, value)


def _lighter(color: str, amount: float = 0.55) -> str:
    rgb = mpl.colors.to_rgb(color)
    return mpl.colors.to_hex([channel + (1 - channel) * amount for channel in rgb])


def _safe_model_style(model: str) -> PointStyle | None:
    if model in _SAFE_EXTERNAL:
        name, marker = _SAFE_EXTERNAL[model]
        return PointStyle(_OKABE_ITO[name] if name else "#808080", marker)
    for prefix, marker in (("Kell2018", "o"), ("ResNet50", "s")):
        task = model.removeprefix(prefix).removesuffix("Seed2")
        if model in MODELS and model.startswith(prefix):
            color = _OKABE_ITO[_SAFE_TASKS[task.removesuffix("Clean")]]
            return PointStyle(_lighter(color) if task.endswith("Clean") else color, marker)
    return None


def model_styles(models: Iterable[str], palette: str = "paper") -> dict[str, PointStyle]:
    """Colour and marker of every model.

    With ``palette="paper"`` the published colours, all circles. With ``"colorblind"`` colours that
    people with any of the common colour-vision deficiencies can tell apart (Okabe & Ito): colour is
    the training task, the marker is the architecture (circle CochCNN9, square CochResNet50,
    triangles the external models).

    Models without an entry in the registry get a colour and marker of their own, by alphabetical
    order among them.
    """
    _check_palette(palette)
    models = list(dict.fromkeys(models))
    own = sorted(model for model in models if model not in MODELS)
    styles = {}
    for model in models:
        if model in own:
            place = own.index(model)
            styles[model] = PointStyle(
                _OWN_MODEL_COLORS[place % len(_OWN_MODEL_COLORS)],
                _OWN_MODEL_MARKERS[place % len(_OWN_MODEL_MARKERS)],
            )
        elif palette == "paper":
            styles[model] = PointStyle(MODELS[model].color)
        else:
            styles[model] = _safe_model_style(model)
    return styles


def roi_color(roi: str, palette: str = "paper") -> str:
    """Colour of a region.

    ``Primary_rh`` has that of ``Primary``, ``none`` (all voxels) is dark slate blue.
    """
    _check_palette(palette)
    roi = roi.removesuffix("_rh").removesuffix("_lh")
    if palette == "colorblind" and _SAFE_ROIS.get(roi):
        return _OKABE_ITO[_SAFE_ROIS[roi]]
    return ROI_COLORS[roi]


def condition_suffix(randnetw: bool) -> str:
    """The end of file names of the network with permuted weights."""
    return "_randnetw" if randnetw else ""


def category_styles(palette: str = "paper") -> dict[str, PointStyle]:
    """Colour and marker of the eleven sound categories, in plotting order.

    The colour-blind version uses the same colour twice at most, with another marker.
    """
    _check_palette(palette)
    if palette == "paper":
        return {name: PointStyle(category.color) for name, category in SOUND_CATEGORIES.items()}
    colors = [*_OKABE_ITO.values(), "#000000"]
    return {
        name: PointStyle(colors[place % len(colors)], "o" if place < len(colors) else "^")
        for place, name in enumerate(SOUND_CATEGORIES)
    }


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


def identity_line(ax: Axes, **style) -> None:
    """The line y = x from the larger lower limit to the smaller upper limit.

    It follows when limits change.
    """
    (line,) = ax.plot(
        [], [], zorder=0, **{"color": "grey", "linestyle": "--", "linewidth": 1, **style}
    )

    def follow(axis: Axes) -> None:
        (x_low, x_high), (y_low, y_high) = axis.get_xlim(), axis.get_ylim()
        ends = [max(x_low, y_low), min(x_high, y_high)]
        line.set_data(ends, ends)

    ax.callbacks.connect("xlim_changed", follow)
    ax.callbacks.connect("ylim_changed", follow)
    follow(ax)


def baseline_band(
    ax: Axes,
    start: float,
    stop: float,
    mean: float,
    error: float | None,
    *,
    color: str = BASELINE_COLOR,
    band: str = BASELINE_BAND,
    linestyle: str = "-",
    zorder: float = 0.5,
) -> None:
    """A horizontal line from ``start`` to ``stop`` with a band of mean ± error behind it, both
    behind the bars.
    """
    if error is not None:
        ax.add_patch(
            Rectangle(
                (start, mean - error),
                stop - start,
                2 * error,
                facecolor=band,
                edgecolor="none",
                zorder=zorder - 0.1,
            )
        )
    ax.plot([start, stop], [mean, mean], color=color, linestyle=linestyle, zorder=zorder)


def format_p(p: float, *, floor: float = 1e-300) -> str:
    """``p=0.034``; never "p=0.00": two significant digits from 0.001 up, scientific notation below.

    Parameters
    ----------
    p : float
    floor : float
        Smaller p are printed as ``p<1e-300``. Of resampling tests, one over the number of
        resamples.
    """
    if p != p:
        return "p undefined"
    if p < floor:
        return f"p<{floor:.0e}"
    return f"p={p:.2g}" if p >= 0.001 else f"p={p:.1e}"


def mark_incomplete(
    figure: NotedFigure,
    missing: Sequence[str],
    what: str = "results",
    *,
    notes: Sequence[str] = (),
    y: float | None = None,
) -> None:
    """Say below the figure which models it leaves out, and what else must be known.

    Nothing where there is nothing to say.

    Parameters
    ----------
    figure : NotedFigure
        Remembers the notes.
    missing : sequence of str
        Models without results.
    what : str
        What they lack.
    notes : sequence of str
        Further lines.
    y : float, optional
        Upper edge of the text in figure coordinates; just below everything drawn so far if not
        given.
    """
    lines = list(notes)
    figure.notes += lines
    if missing:
        lines.append(
            f"Incomplete: no {what} of {', '.join(display_name(model) for model in missing)}"
        )
    width = max(40, int(11 * figure.get_figwidth()))
    lines = [
        part for line in lines for part in textwrap.wrap(line, width=width, break_on_hyphens=False)
    ]
    if lines:
        if y is None:
            y = (figure.get_tightbbox().y0 - 0.08) / figure.get_figheight()
        figure.text(0.5, y, "\n".join(lines), ha="center", va="top", color="firebrick", fontsize=9)


def note_below(figure: Figure, lines: Sequence[str]) -> None:
    """Below everything drawn so far, small and grey: how the numbers were made."""
    if lines:
        y = (figure.get_tightbbox().y0 - 0.1) / figure.get_figheight()
        width = int(15 * figure.get_figwidth())
        whole = (
            line.replace(" − ", "\N{NO-BREAK SPACE}−\N{NO-BREAK SPACE}") for line in lines
        )  # no break in a formula
        wrapped = [
            part.replace("\N{NO-BREAK SPACE}", " ")
            for line in whole
            for part in textwrap.wrap(line, width=width)
        ]
        figure.text(0.5, y, "\n".join(wrapped), ha="center", va="top", color=NOTE_COLOR, fontsize=8)


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


_DATES = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None, "ModDate": None}}


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

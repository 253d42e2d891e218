"""What all figures share: fonts, colours, names, the way they are saved.

Use :func:`paper_style` around drawing *and* saving (:func:`save_figure` does so itself): the
settings that keep text editable are read when a file is written.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from aud_dnn.analyze.plotting.drawings import NotedFigure
from aud_dnn.analyze.plotting.labels import COMPONENT_DISPLAY_NAMES, ROI_COLORS, VALUE_LABELS
from aud_dnn.models.registry import MODELS
from aud_dnn.targets.categories import SOUND_CATEGORIES

PALETTES = ("paper", "colorblind")
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


def suffix(statistics: str) -> str:
    """Nothing for the published figures, so that the recommended ones never take their place."""
    return "" if statistics == "published" else f"_{statistics}"


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

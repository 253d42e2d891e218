"""Fonts, lines and files of pictures, as in the paper."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
import seaborn as sns

RASTER_DPI = 180


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

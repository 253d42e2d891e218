"""Bars of models with the band in which another brain would lie."""

from __future__ import annotations

from dataclasses import replace

from aud_dnn.analyze.figure_options import FigureOptions, none_of, say_which, sets
from aud_dnn.analyze.plotting.bars import model_bars
from aud_dnn.analyze.plotting.drawings import Drawings
from aud_dnn.analyze.plotting.style import note_below
from aud_dnn.models.figure_sets import FIGURE_2_MODELS
from aud_dnn.paths import ProjectPaths
from aud_dnn.runs.brains import run_brains
from aud_dnn.tables.brains import places_table
from aud_dnn.tables.figure_inputs import collect_scores
from aud_dnn.tables.parts import ALL
from aud_dnn.utils import load_target

_BAND = "#6a994e"
_COLUMNS = ("brains", "together", "difference", "low", "high", "p", "like_a_brain", "n_below", "n")


def figure_brains(paths: ProjectPaths, options: FigureOptions | None = None) -> Drawings:
    """Figure 2 with the range of other participants as sources; trained networks.

    Raises
    ------
    MissingDataError
        The responses of a target are not there.
    """
    options = replace(options or FigureOptions(), conditions=(False,))
    drawings = Drawings()
    models = options.models(FIGURE_2_MODELS)
    for data in sets(paths, collect_scores, models, options, drawings):
        with drawings.attempt():
            brains = run_brains(paths, load_target(paths, data.target))
            places = places_table(
                paths, brains, list(data.scores.columns), layer_choice=options.layer_choice
            )
            everywhere = places[places["part"] == ALL].set_index("model") if len(places) else places
            if everywhere.empty:
                drawings.notes.append(none_of(models, data.target, False))
                continue
            drawing = model_bars(data, palette=options.palette, participants=options.participants)
            ax = drawing.figure.axes[0]
            first = everywhere.iloc[0]
            low, high = first["brains"] + first["low"], first["brains"] + first["high"]
            ax.axhspan(low, min(high, ax.get_ylim()[1]), color=_BAND, alpha=0.18, zorder=0)
            ax.axhline(first["brains"], color=_BAND, linewidth=1.5, zorder=0.5)
            ax.axhline(first["together"], color=_BAND, linewidth=1.5, linestyle=":", zorder=0.5)
            note_below(
                drawing.figure,
                [
                    f"Green: another participant as the source, mean of {int(first['n'])} (line) "
                    "and where one more would lie (band, 95 %); dotted: all others together. Their "
                    "voxels are noisy features, which the correction does not undo."
                ],
            )
            assert drawing.table is not None
            table = drawing.table.join(everywhere[[*_COLUMNS]])
            stem = f"{drawing.stem}_among-brains"
            drawings.append(say_which(replace(drawing, stem=stem, table=table), data))
    return drawings

"""Predicted and measured responses per kind of sound: trained, permuted, acoustic baseline."""

from __future__ import annotations

import numpy as np
import pandas as pd

from aud_dnn.analyze.figure_options import REFERENCE_MODEL, FigureOptions
from aud_dnn.analyze.plotting.drawings import Drawing, Drawings, new_figure
from aud_dnn.analyze.plotting.print_style import paper_style
from aud_dnn.analyze.plotting.style import display_name, note_below
from aud_dnn.conditions import Condition
from aud_dnn.errors import MissingDataError
from aud_dnn.methods.kinds import FEW_SOUNDS
from aud_dnn.models.registry import BASELINE_MODEL
from aud_dnn.paths import ProjectPaths
from aud_dnn.tables.kinds import kinds_table
from aud_dnn.targets.categories import SOUND_CATEGORIES
from aud_dnn.targets.facts import COMPONENT_TARGET

_LOOKS = {
    "trained": ("o", "#ad2338"),
    "permuted": ("s", "#7f7f7f"),
    BASELINE_MODEL: ("^", "#33658a"),
}


def figure_kinds(paths: ProjectPaths, options: FigureOptions | None = None) -> Drawings:
    """One picture per model and target: the models of ``--models``, or CochResNet50-MultiTask."""
    options = options or FigureOptions()
    drawings = Drawings()
    for model in options.own_models or (REFERENCE_MODEL,):
        for target in (COMPONENT_TARGET, *options.targets):
            with drawings.attempt():
                tables = {}
                for name, source, randnetw in (
                    ("trained", model, False),
                    ("permuted", model, True),
                    (BASELINE_MODEL, BASELINE_MODEL, False),
                ):
                    if name == "permuted" and not Condition.of(True).exists_for(model):
                        continue
                    try:
                        tables[name] = kinds_table(paths, source, target, randnetw)
                    except MissingDataError as error:
                        drawings.notes.append(f"Not drawn: {error}")
                if "trained" in tables:
                    drawings.append(_picture(model, target, tables))
    return drawings


def _picture(model: str, target: str, tables: dict[str, pd.DataFrame]) -> Drawing:
    """Means in the upper row, correlations within kinds in the lower; a column for each part."""
    trained = tables["trained"]
    parts = list(dict.fromkeys(trained["part"]))
    kinds = [kind for kind in SOUND_CATEGORIES if kind in set(trained["kind"])]
    kinds += [kind for kind in dict.fromkeys(trained["kind"]) if kind not in kinds]
    places = np.arange(len(kinds))
    offsets = dict(zip(tables, np.linspace(-0.22, 0.22, len(tables)) if len(tables) > 1 else [0]))
    with paper_style():
        figure = new_figure(4.4 * len(parts) + 1.5, 7.5)
        axes = figure.subplots(
            2, len(parts), squeeze=False, sharex=True, gridspec_kw={"wspace": 0.34}
        )
        for column, part in enumerate(parts):
            upper, lower = axes[:, column]
            for name, table in tables.items():
                marker, colour = _LOOKS[name]
                here = table[table["part"] == part].set_index("kind").loc[kinds]
                if name == "trained":
                    upper.bar(
                        places,
                        here["measured"],
                        0.75,
                        color="#dddddd",
                        yerr=here.get("measured_interval"),
                        ecolor="#999999",
                        label="measured",
                    )
                for ax, what in ((upper, "predicted"), (lower, "r")):
                    ax.errorbar(
                        places + offsets[name],
                        here[what],
                        yerr=here.get(f"{what}_interval"),
                        linestyle="none",
                        marker=marker,
                        markersize=5,
                        color=colour,
                        label=name,
                    )
            lower.axhline(0, color="black", linewidth=0.8)
            lower.set_ylim(-1, 1)
            upper.set_title(str(part), fontsize=12)
            few = dict(zip(trained["kind"], trained["few_sounds"]))
            lower.set_xticks(
                places,
                [
                    (SOUND_CATEGORIES[kind].display_name if kind in SOUND_CATEGORIES else kind)
                    + ("*" if few[kind] else "")
                    for kind in kinds
                ],
                rotation=60,
                ha="right",
                rotation_mode="anchor",
                fontsize=9,
            )
        axes[0, 0].set_ylabel("mean response")
        axes[1, 0].set_ylabel("r within the kind")
        axes[0, -1].legend(loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False, fontsize=9)
        figure.suptitle(f"{display_name(model)} on {target}, by kind of sound", y=0.97)
        layers = ", ".join(f"{name}: {one['source_layer'].iloc[0]}" for name, one in tables.items())
        errors = (
            ""
            if target == COMPONENT_TARGET
            else " Medians over voxels, means over participants with 95 % intervals (Student's t)."
        )
        note_below(
            figure,
            [
                f"Layer with the best median score ({layers}); predictions for test sounds, mean "
                f"over splits.{errors}",
                f"* fewer than {FEW_SOUNDS} sounds: a correlation over them says next to nothing."
                if trained["few_sounds"].any()
                else "Correlations are over the sounds of one kind.",
            ],
        )
    table = pd.concat(
        [one.assign(network=name) for name, one in tables.items()], ignore_index=True
    ).set_index("part")
    return Drawing(figure, f"kinds-of-sound_{model}_{target}", table, formats=("png", "svg"))

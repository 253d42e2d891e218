"""Draw what AUD_plot_main.py was asked for, figure by figure, in processes."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aud_dnn.conditions import Condition
from aud_dnn.errors import unknown_name
from aud_dnn.running import with_root
from aud_dnn.targets.facts import VOXEL_TARGETS

if TYPE_CHECKING:
    from aud_dnn.analyze.figure_options import FigureOptions
    from aud_dnn.analyze.plotting.drawings import Drawing, Drawings
    from aud_dnn.paths import ProjectPaths


OWN = "target "  # before the name of a target of one's own; no figure is called so


def own_names(paths: ProjectPaths, named: Sequence[str]) -> list[str]:
    """Those of some names that are targets of one's own.

    Raises
    ------
    InputError
        A name is neither one of the paper's voxel data sets nor of a target that has results.
    """
    chosen = [name for name in dict.fromkeys(named) if name not in VOXEL_TARGETS]
    if not chosen:
        return []
    from aud_dnn.tables.own_targets import own_targets

    known = own_targets(paths)
    for name in chosen:
        if name not in known:
            raise unknown_name(
                "target",
                name,
                [*VOXEL_TARGETS, *known],
                "A target of your own must have results: python aud_dnn/AUD_main.py --target FILE. "
                "It is named here as results name it.",
            )
    return chosen


def report(
    outcomes: Iterable[tuple[list[str], list[str], list[str], int]],
    paths: ProjectPaths,
    arguments: argparse.Namespace,
) -> list[str]:
    """Print what there is to say about each figure as it comes, what is written on several of them
    once, at the end.

    Returns
    -------
    list of str
        The errors of all of them, and whether nothing was drawn at all.
    """
    from aud_dnn.tables.figure_inputs import nothing_drawn

    errors, figures, pictures = [], 0, 0
    on_pictures: dict[str, None] = {}
    said: set[str] = set()
    for lines, noted, wrong, drawn in outcomes:
        print("\n".join(line for line in lines if line not in said), flush=True)
        said |= {line for line in lines if line.startswith("  ")}
        on_pictures |= dict.fromkeys(noted)
        errors += wrong
        figures, pictures = figures + 1, pictures + drawn
    only_there = [note for note in on_pictures if f"  {note}" not in said]
    if only_there:
        print(
            "\n  ".join(
                ["On the pictures:", *(with_root(note, arguments.root) for note in only_there)]
            ),
            flush=True,
        )
    if figures and not pictures and not errors:
        errors.append(nothing_drawn(paths, arguments.models))
    return errors


def make(
    job: tuple[ProjectPaths, str, argparse.Namespace],
) -> tuple[list[str], list[str], list[str], int]:
    """Draw and save one figure, or one of the extras, and its tests.

    Returns
    -------
    lines, notes, errors : list of str
        What there is to say about it, what is written on its pictures besides, and what was wrong.
    n_files : int
        Pictures and their tables.
    """
    from aud_dnn.analyze import figure_statistics, supplement
    from aud_dnn.analyze.figure_options import FigureOptions
    from aud_dnn.analyze.plotting.drawings import Drawings
    from aud_dnn.analyze.rsa_panels import RSA_PANELS
    from aud_dnn.tables.model_files import write_table

    paths, name, arguments = job
    options = FigureOptions(
        own_models=tuple(arguments.models),
        palette=arguments.palette,
        participants=arguments.participants,
        targets=tuple(arguments.target),
        conditions=tuple(Condition(name).randnetw for name in dict.fromkeys(arguments.condition)),
        statistics=arguments.statistics,
        layer_choice=arguments.layer_choice,
    )
    out = arguments.out or paths.results
    folder = out / ("PLOTS_SURF_across-models" if name == "surface" else "PLOTS_across-models")
    drawings, pages = _draw(paths, name, options, folder, arguments)
    panels = RSA_PANELS[name](paths, options) if name in RSA_PANELS else Drawings()
    written = [
        *pages,
        *drawings.save(folder, arguments.formats),
        *panels.save(folder, arguments.formats),
    ]
    said = dict.fromkeys([*drawings.notes, *panels.notes])
    noted = [
        note
        for note in (*drawings.notes_on_pictures(), *panels.notes_on_pictures())
        if note not in said
    ]
    lines = [
        f"{name}: {len(drawings) + len(panels)} drawing(s), {len(written)} files in {folder}",
        *(f"  {note}" for note in said),
    ]
    found = Drawings()
    with found.attempt():
        if not arguments.stats or name.startswith(OWN):
            tables = {}
        elif name == "supplement":
            tables = supplement.supplement_statistics(paths, options)
        else:
            tables = figure_statistics.statistics(paths, name, options, drawings, found)
        for stem, table in tables.items():
            lines.append(
                f"  {write_table(out / 'STATS_across-models' / f'{stem}.csv', table, index=False)}"
            )
    errors = [*drawings.errors, *panels.errors, *found.errors]
    if errors:
        lines.append("  Not everything could be drawn; see the errors at the end.")
    return [with_root(line, arguments.root) for line in lines], noted, errors, len(written)


def _draw(
    paths: ProjectPaths,
    name: str,
    options: FigureOptions,
    folder: Path,
    arguments: argparse.Namespace,
) -> tuple[Drawings, list[Path]]:
    """Draw one figure from the regression, or one of the extras.

    Also the files of pages that were saved at once.
    """
    from aud_dnn.analyze.brains import figure_brains
    from aud_dnn.analyze.diagnostics_report import diagnostics
    from aud_dnn.analyze.figures import draw
    from aud_dnn.analyze.kinds import figure_kinds
    from aud_dnn.analyze.own_target import own_target_figures
    from aud_dnn.analyze.plotting.drawings import Drawings
    from aud_dnn.analyze.supplement import supplement
    from aud_dnn.analyze.surface_maps import surface_figures
    from aud_dnn.analyze.uncertainty import figure_uncertainty

    pages: list[Path] = []

    def save(page: Drawing) -> None:  # one by one: there may be hundreds of layers
        pages.extend(page.save(folder, arguments.formats))

    with (drawings := Drawings()).attempt():
        if name == "surface":
            drawings.add(surface_figures(paths, options, layers=dict(arguments.surface_layer)))
        elif name == "diagnostics":
            models = None if arguments.layer_pages == ["all"] else arguments.layer_pages
            drawings.add(
                diagnostics(
                    paths,
                    options,
                    statistics=arguments.layer_statistic,
                    page_models=models,
                    each_layer=save,
                )
            )
        elif name == "supplement":
            drawings.add(supplement(paths, options))
        elif name == "brains":
            drawings.add(figure_brains(paths, options))
        elif name == "kinds":
            drawings.add(figure_kinds(paths, options))
        elif name == "uncertainty":
            drawings.add(figure_uncertainty(paths, options))
        elif name.startswith(OWN):
            drawings.add(own_target_figures(paths, name.removeprefix(OWN), options))
        else:
            drawings.add(draw(paths, name, options, annotate=arguments.annotate))
    return drawings, pages

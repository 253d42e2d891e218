"""Draw the figures of the paper, with their statistics, from what is in results/.

    python aud_dnn/analyze/AUD_plot_main.py                          every figure from whatever
    models there are python aud_dnn/analyze/AUD_plot_main.py --figures 2 7 --models mymodel
    --palette colorblind python aud_dnn/analyze/AUD_plot_main.py --figures 7 --statistics
    recommended python aud_dnn/analyze/AUD_plot_main.py --target myecog          a target of your
    own (docs/own_target.md) python aud_dnn/analyze/AUD_plot_main.py --figures aggregate      only
    the tables in results/<model>/outputs/

Pictures (svg, png) and a csv of every plotted number go to results/PLOTS_across-models/, tests to
results/STATS_across-models/, surface maps to results/PLOTS_SURF_across-models/. Models without
results are left out and named, on the figure, too. Bad results (a layer missing, other data, NaN)
cost the pictures that need them; all others are drawn, what is wrong comes last with the command
that mends it, and the exit status is 1; so it is if there is nothing to draw at all.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    if not __package__:  # run as a file: import from the repository, not from this folder
        sys.path[0] = str(Path(__file__).resolve().parents[2])
    from aud_dnn.terminal import start_script

    start_script()

import argparse
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from aud_dnn.activations.statements import keep_statements
from aud_dnn.arguments import (
    add_bool,
    add_layer_order,
    add_listing,
    add_root,
    find_drawable_root,
    run_script,
    script_parser,
    show_listing,
    with_root,
)
from aud_dnn.errors import unknown_name
from aud_dnn.targets.facts import COMPONENT_TARGET, VOXEL_TARGETS

if TYPE_CHECKING:
    from aud_dnn.analyze.figures import FigureOptions
    from aud_dnn.analyze.plotting.style import Drawing, Drawings
    from aud_dnn.paths import ProjectPaths

PAPER = ("2", "4", "5", "7", "8", "9")
EXTRAS = ("supplement", "surface", "diagnostics", "aggregate")
STATISTICS = ("published", "recommended")
_OWN = "target "  # before the name of a target of one's own; no figure is called so


def build_parser() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    parser.add_argument(
        "--figures",
        nargs="+",
        default=list(PAPER),
        choices=[*PAPER, *EXTRAS, "all"],
        metavar="FIGURE",
        help=f"among {' '.join(PAPER)} (the paper's numbers), {', '.join(EXTRAS)}, all "
        f"(default: {' '.join(PAPER)})",
    )
    parser.add_argument(
        "--models",
        nargs="+",
        default=[],
        metavar="MODEL",
        help="further models, e.g. your own, added to every figure",
    )
    parser.add_argument(
        "--target",
        nargs="+",
        default=list(VOXEL_TARGETS),
        metavar="TARGET",
        help=f"voxel data sets to draw (default: {' '.join(VOXEL_TARGETS)}), or names of targets "
        "of your own that have results: they get bars over models, layers, best layers by region, "
        "latency",
    )
    parser.add_argument(
        "--condition",
        nargs="+",
        default=["trained", "permuted"],
        choices=["trained", "permuted"],
        metavar="CONDITION",
        help="trained, permuted or both (default: both)",
    )
    parser.add_argument(
        "--palette",
        default="paper",
        choices=["paper", "colorblind"],
        help="colours of the paper, or colours safe for colour-blind readers (default: paper)",
    )
    parser.add_argument(
        "--statistics",
        default=STATISTICS[0],
        choices=STATISTICS,
        help="which error bars and p-values Figures 2, 7 and 8 show; the tables of tests hold both "
        "(default: %(default)s)",
    )
    add_bool(parser, "--participants", False, "draw every participant as a point")
    add_bool(parser, "--annotate", False, "write model names beside the points of Figure 7")
    parser.add_argument(
        "--surface_layer",
        nargs=2,
        action="append",
        default=[],
        metavar=("MODEL", "LAYER"),
        help="map the score of this layer of this model; can be given several times (default: the "
        "layer with the best median)",
    )
    parser.add_argument(
        "--layer_statistic",
        nargs="+",
        default=[],
        metavar="NAME",
        help="diagnostics: draw these numbers of the stats_*.csv tables across layers",
    )
    parser.add_argument(
        "--layer_pages",
        nargs="+",
        default=[],
        metavar="MODEL",
        help="diagnostics: models whose layers get a page each, or all (default: only overviews)",
    )
    add_bool(parser, "--stats", True, "also make the tables of statistical tests")
    parser.add_argument(
        "--formats",
        nargs="+",
        default=None,
        choices=["svg", "png", "pdf"],
        help="file formats (default: those of the paper, svg and mostly png)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=None,
        metavar="DIR",
        help="folder for pictures and tests (default: results/)",
    )
    parser.add_argument(
        "--jobs", type=int, default=2, help="processes that aggregate and draw (default: 2)"
    )
    add_layer_order(parser)
    add_root(parser)
    add_listing(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Parse the command line, aggregate, draw, say what was written and what was missing."""
    arguments = build_parser().parse_args(argv)
    if show_listing(arguments):
        return 0

    # heavy imports only once the command line is understood: --help answers at once
    from aud_dnn.analyze.AUD_plot_main import (
        _make as make,
    )  # workers cannot import what is called __main__
    from aud_dnn.io.atomic import remove_abandoned_below
    from aud_dnn.io.processes import map_in_processes
    from aud_dnn.tables.current_tables import aggregate_all

    paths = find_drawable_root(arguments.root, arguments.models)
    keep_statements(paths, arguments.models, arguments.layer_order)
    chosen = (
        [*PAPER, *EXTRAS] if "all" in arguments.figures else list(dict.fromkeys(arguments.figures))
    )
    own = own_names(paths, arguments.target)
    arguments.target = [target for target in arguments.target if target not in own]
    if not arguments.target:  # the paper's figures are of the paper's targets
        chosen = []
    print("Reading the results …", flush=True)
    made = aggregate_all(
        paths, [*arguments.target, COMPONENT_TARGET] if chosen else [], jobs=arguments.jobs
    )
    errors = [
        error
        for (*_, permuted), error in made.items()
        if error and ("permuted" if permuted else "trained") in arguments.condition
    ]
    if chosen:
        print(
            f"Aggregated {len(made) - len(errors)} sets of results; the tables are in "
            f"{paths.results}/<model>/outputs/.",
            flush=True,
        )
    chosen = [*(name for name in chosen if name != "aggregate"), *(f"{_OWN}{name}" for name in own)]
    work = [(paths, name, arguments) for name in chosen]
    errors += _report(map_in_processes(make, work, arguments.jobs), paths, arguments)
    remove_abandoned_below(paths.results)
    for error in dict.fromkeys(errors):
        print(f"error: {with_root(error, arguments.root)}", file=sys.stderr)
    return 1 if errors else 0


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


def _report(
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


def _make(
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
    from aud_dnn.analyze import figures, supplement
    from aud_dnn.analyze.plotting.style import Drawings
    from aud_dnn.analyze.rsa_panels import RSA_PANELS
    from aud_dnn.tables.per_model import write_table

    paths, name, arguments = job
    options = figures.FigureOptions(
        own_models=tuple(arguments.models),
        palette=arguments.palette,
        participants=arguments.participants,
        targets=tuple(arguments.target),
        conditions=tuple(name == "permuted" for name in dict.fromkeys(arguments.condition)),
        statistics=arguments.statistics,
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
        if not arguments.stats or name.startswith(_OWN):
            tables = {}
        elif name == "supplement":
            tables = supplement.supplement_statistics(paths, options)
        else:
            tables = figures.statistics(paths, name, options, drawings, found)
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
    from aud_dnn.analyze.diagnostics_report import diagnostics
    from aud_dnn.analyze.figures import draw
    from aud_dnn.analyze.own_target import own_target_figures
    from aud_dnn.analyze.plotting.style import Drawings
    from aud_dnn.analyze.supplement import supplement
    from aud_dnn.analyze.surface_maps import surface_figures

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
        elif name.startswith(_OWN):
            drawings.add(own_target_figures(paths, name.removeprefix(_OWN), options))
        else:
            drawings.add(draw(paths, name, options, annotate=arguments.annotate))
    return drawings, pages


if __name__ == "__main__":
    run_script(main)

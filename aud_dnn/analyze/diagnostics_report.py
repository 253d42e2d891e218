"""Reports on the fits of every model (supplement).

Tables, a page for each layer, an overview of the layers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd

from aud_dnn.analyze.figure_options import FigureOptions
from aud_dnn.analyze.plotting.diagnostics_report import fit_overview, layer_page, statistic_lines
from aud_dnn.analyze.plotting.drawings import Drawing, Drawings
from aud_dnn.analyze.plotting.style import display_name
from aud_dnn.conditions import Condition
from aud_dnn.errors import InputError, MissingDataError, unknown_name
from aud_dnn.models.figure_sets import ALL_SEED1_MODELS, FUNCTIONAL_REGIONS_OF
from aud_dnn.models.registry import BASELINE_MODEL, MODELS
from aud_dnn.paths import ProjectPaths
from aud_dnn.splits import published_splits
from aud_dnn.store.regression import RegressionResult, read_result
from aud_dnn.store.regression_names import parse_folder
from aud_dnn.tables.alpha_logs import AlphaLog, log_alpha_statistics, parse_alpha_log
from aud_dnn.tables.current_tables import source_notes
from aud_dnn.tables.fit_diagnostics import (
    alpha_statistics,
    fit_statistics,
    functional_overlap,
    known_statistics,
    voxel_diagnostics,
)
from aud_dnn.tables.model_files import SPLIT_VALUE, outputs_folder, write_table
from aud_dnn.tables.model_results import ALPHALIMIT, digest_memo, layer_folders
from aud_dnn.tables.per_model import numbers_of
from aud_dnn.targets.facts import COMPONENT_TARGET
from aud_dnn.utils import few, load_target

FUNCTIONAL_REGIONS = ("tonotopic", "pitch", "music", "speech")
_NO_NAN = ("r_test", "r2_test", "r2_train", "r2_test_c")
_RELIABILITIES = ("kell_r_reliability", "pearson_r_reliability")
_COUNTS = ["total", "upper", "lower", "perc"]
LOG_NOTE = "From the logs only: the scores, which hold the better warning_alphas, are not here."


@dataclass
class _Case:
    """One model on one target in one condition, and what there is to say about it."""

    paths: ProjectPaths
    model: str
    target: str
    randnetw: bool
    palette: str
    notes: list[str] = field(default_factory=list)

    @property
    def suffix(self) -> str:
        return Condition.of(self.randnetw).suffix

    @property
    def title(self) -> str:
        return f"{display_name(self.model)} ({Condition.of(self.randnetw)}) on {self.target}"

    @property
    def labels(self) -> dict[str, object]:
        return {
            "model": self.model,
            "target": self.target,
            "randnetw": self.randnetw,
            "palette": self.palette,
        }

    def write(self, name: str, table: pd.DataFrame) -> None:
        write_table(
            outputs_folder(self.paths, self.model) / f"{name}{self.suffix}_{self.target}.csv", table
        )


def diagnostics(
    paths: ProjectPaths,
    options: FigureOptions | None = None,
    *,
    statistics: Sequence[str] = (),
    each_layer: Callable[[Drawing], object] | None = None,
    page_models: Sequence[str] | None = None,
) -> Drawings:
    """Report on the fits of every model.

    Csv tables in ``results/{model}/outputs/``, one overview picture per model.

    Parameters
    ----------
    paths : ProjectPaths
    options : FigureOptions, optional
    statistics : sequence of str
        Numbers to draw across layers, each in a picture of its own (names of the ``stats_…csv``
        tables).
    each_layer : callable, optional
        Gets the page of every layer as soon as it is drawn, for example to save it: there may be
        hundreds, so they are not kept. Without it no pages are drawn.
    page_models : sequence of str, optional
        The models whose layers get a page; all if not given.

    Raises
    ------
    InputError
        A statistic or model that is not known. Bad results, for example NaN in the scores of a
        layer, cost the pictures of their model and are among the ``errors``.
    """
    options = options or FigureOptions()
    known = known_statistics()
    for name in statistics:
        if name not in known:
            raise unknown_name("statistic", name, known)
    models = options.models(ALL_SEED1_MODELS)
    for name in page_models or ():
        if name not in models:
            raise unknown_name("model", name, models, "Add it with --models.")
    drawings = Drawings()
    for target in (*options.targets, COMPONENT_TARGET):
        for model in models:
            draw_page = each_layer if page_models is None or model in page_models else None
            tables = {}
            for randnetw in options.conditions:
                if not Condition.of(randnetw).exists_for(model):
                    continue
                case = _Case(paths, model, target, randnetw, options.palette)
                with drawings.attempt():
                    found = _report(case, draw_page)
                    if found is not None:
                        drawings.append(found)
                        tables[Condition.of(randnetw)] = found.table
                drawings.notes += [note for note in case.notes if note not in drawings.notes]
            for name in statistics:
                with_it = {condition: table for condition, table in tables.items() if name in table}
                if with_it:
                    drawings.append(
                        statistic_lines(
                            with_it,
                            name,
                            model=model,
                            target=target,
                            palette=options.palette,
                            stem=f"across-layers_{name}_{model}_{target}",
                        )
                    )
    if not drawings and not drawings.errors:
        drawings.notes.append("There are no results to report on.")
    return drawings


def _report(case: _Case, draw_page: Callable[[Drawing], object] | None) -> Drawing | None:
    """Write the tables of one model and draw its pages and its overview.

    None without results and logs.
    """
    try:
        folders = layer_folders(case.paths, case.model, case.target, case.randnetw)
    except MissingDataError:
        return _report_from_logs(case)
    rows, alphas = {}, {}
    for layer, folder in folders.items():
        result = read_result(folder, memo=digest_memo(case.paths))
        scores = _scores(result)
        rows[layer] = fit_statistics(scores, corrected=case.target != COMPONENT_TARGET)
        alphas[layer] = alpha_statistics(scores, SPLIT_VALUE[case.target]) | {
            "source": "warning_alphas"
        }
        name = layer.replace("/", "--")
        case.write(
            f"stats_{name}", pd.Series(rows[layer], name="value").rename_axis("name").to_frame()
        )
        _compare_with_log(case, layer, folder, alphas[layer])
        if draw_page is not None:
            draw_page(_page(case, layer, result, scores))
    _note_overlap(case, result.table)
    case.notes += [
        f"{case.title}: {note}"
        for note in source_notes(case.paths, [case.model], case.target, case.randnetw)
    ]
    alpha_table = pd.DataFrame(alphas).T.rename_axis("source_layer")
    logged = [column for column in alpha_table if column.startswith("log_")]
    case.write("across-layers_alpha_warnings", alpha_table[[*_COUNTS, "source", *logged]])
    numbers = alpha_table.drop(columns=["source", *logged])
    case.write("across-layers_stats_alpha", numbers.drop(columns=_COUNTS))
    table = pd.DataFrame(rows).T.rename_axis("source_layer").join(numbers.astype(float))
    return fit_overview(
        table, stem=f"diagnostics_{case.model}{case.suffix}_{case.target}", **case.labels
    )


def _scores(result: RegressionResult) -> dict[str, np.ndarray]:
    scores = {name: result.scores[name].to_numpy() for name in result.scores.data_vars}
    for name in _NO_NAN:
        holed = np.isnan(scores[name]).any(axis=1)
        if holed.any():
            raise InputError(
                f"{result.folder}: {name} holds NaN for {int(holed.sum())} voxel(s). Fit this "
                "layer again with --overwrite."
            )
    return scores


def _page(
    case: _Case, layer: str, result: RegressionResult, scores: dict[str, np.ndarray]
) -> Drawing:
    table = pd.DataFrame(
        voxel_diagnostics(scores),
        index=pd.Index(result.table["voxel_id"].to_numpy(), name="voxel_id"),
    )
    reliability = next((name for name in _RELIABILITIES if name in result.table), None)
    if reliability:
        table[reliability] = numbers_of(result.table, reliability, result.folder, holes=True)
    stem = f"diagnostics_{case.model}{case.suffix}_{layer.replace('/', '--')}_{case.target}"
    return layer_page(table, layer=layer, reliability=reliability, stem=stem, **case.labels)


def _note_overlap(case: _Case, table: pd.DataFrame) -> None:
    masks = {
        name: numbers_of(table, name, case.title, holes=True)
        for name in FUNCTIONAL_REGIONS
        if name in table
    }
    if case.target == FUNCTIONAL_REGIONS_OF and masks and case.model != BASELINE_MODEL:
        counts = functional_overlap(masks)
        case.notes.append(
            f"Functional regions of {case.target} (voxels): "
            + ", ".join(f"{name} {count}" for name, count in counts.items())
        )


# --- from logs ----------------------------------------------------------------------------------


def _read_logs(folder: Path) -> AlphaLog:
    """All logs of a layer together (the published report read only the first)."""
    logs = sorted(folder.glob("*.log"))
    return parse_alpha_log(
        chain.from_iterable(
            log.read_text(encoding="utf-8", errors="replace").splitlines() for log in logs
        )
    )


def _compare_with_log(case: _Case, layer: str, folder: Path, row: dict[str, object]) -> None:
    """Where a published log has such lines, too.

    Its counts beside those of the scores, which are the better source.
    """
    log = _read_logs(folder)
    if not len(log.alphas) and not log.n_unread:
        return
    logged = log_alpha_statistics(log, ALPHALIMIT, None)
    row |= {f"log_{name}": logged[name] for name in ("total", "upper", "lower")}
    if logged["total"] != row["total"] or log.n_unread:
        unread = f", {log.n_unread} line(s) not understood" if log.n_unread else ""
        case.notes.append(
            f"{case.title}, {layer}: {row['total']} alphas at the edge by warning_alphas, "
            f"{logged['total']} by the log{unread}; warning_alphas is shown."
        )


def _log_folders(case: _Case) -> dict[str, Path]:
    """Folders with logs, by layer in network order."""
    found = {}
    parent = case.paths.results / case.model
    for folder in sorted(parent.iterdir()) if parent.is_dir() else []:
        key = parse_folder(folder)
        if key and (key.target, key.randnetw, key.alphalimit) == (
            case.target,
            case.randnetw,
            ALPHALIMIT,
        ):
            found[key.layer] = folder
    order = MODELS[case.model].layer_names if case.model in MODELS else sorted(found)
    return {
        layer: found[layer] for layer in order if layer in found and any(found[layer].glob("*.log"))
    }


def _report_from_logs(case: _Case) -> Drawing | None:
    """The alpha report alone, where there are logs but no scores."""
    folders = _log_folders(case)
    if not folders:
        return None
    try:
        n_fits = load_target(case.paths, case.target).n_voxels * len(published_splits())
    except MissingDataError:
        n_fits = None
    rows = {}
    for layer, folder in folders.items():
        log = _read_logs(folder)
        rows[layer] = log_alpha_statistics(log, ALPHALIMIT, n_fits)
        if log.n_unread:
            case.notes.append(
                f"{case.title}, {layer}: {log.n_unread} line(s) of the log were not understood."
            )
    table = pd.DataFrame(rows).T.rename_axis("source_layer")
    case.write("across-layers_alpha_warnings", table[_COUNTS].assign(source="log"))
    notes = [LOG_NOTE]
    absent = (
        [layer for layer in MODELS[case.model].layer_names if layer not in rows]
        if case.model in MODELS
        else []
    )
    if absent:
        notes.append(f"Incomplete: no log of {few(absent)}")
    if n_fits is None:
        table = table.drop(columns="perc")
        notes.append(
            f"No percentages: the number of voxels of {case.target} is not known without its data."
        )
    case.notes.append(f"{case.title}: {LOG_NOTE[0].lower()}{LOG_NOTE[1:]}")
    return fit_overview(
        table,
        stem=f"diagnostics_{case.model}{case.suffix}_{case.target}",
        notes=notes,
        **case.labels,
    )

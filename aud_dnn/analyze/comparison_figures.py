"""Every figure of a comparison (RSA, CKA): across models, layer by layer, RDMs, pages of models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aud_dnn.analyze.plotting.comparison_layers import layer_curves
from aud_dnn.analyze.plotting.rsa_figures import rsa_figures, save_model_pages
from aud_dnn.conditions import Condition
from aud_dnn.io.progress import with_progress
from aud_dnn.methods.method import Comparison
from aud_dnn.methods.threads import available_cores
from aud_dnn.models.registry import MODELS
from aud_dnn.runs.comparison_report import ComparisonRun
from aud_dnn.store.comparisons import ALL_VOXELS
from aud_dnn.targets.facts import TARGETS


@dataclass(frozen=True)
class Look:
    """How figures look.

    Attributes
    ----------
    conditions : sequence of str
    statistics, palette : str
    participants : bool
        Draw every participant as a point on the bars.
    model_pages : bool
        Draw a page of all layers' RDMs for every model computed.
    """

    conditions: Sequence[str] = tuple(Condition)
    statistics: str = "published"
    palette: str = "paper"
    participants: bool = False
    model_pages: bool = True


def draw_comparison(
    run: ComparisonRun,
    folder: Path,
    method: Comparison,
    look: Look,
    *,
    models: Sequence[str] = (),
    jobs: int | None = None,
    progress: bool = True,
) -> int:
    """Draw and save what a run allows; how many figures that was.

    Parameters
    ----------
    run : ComparisonRun
    folder : Path
        Where results and figures of the method are.
    method : Comparison
    look : Look
    models : sequence of str
        Asked for by name: models of one's own among them stand beside those of the paper.
    jobs : int, optional
        Worker processes for the pages.
    progress : bool
    """
    drawings = rsa_figures(
        run.datasets,
        own_models=[model for model in models if model not in MODELS],
        conditions=look.conditions,
        statistics=look.statistics,
        palette=look.palette,
        participants=look.participants,
    )
    count = 0
    for drawing in with_progress(drawings, "figure", "figures", wanted=progress):
        drawing.save(folder)
        count += 1
    computed = list(dict.fromkeys(unit[:2] for unit in run.report.computed))
    names = list(dict.fromkeys(model for model, _ in computed))
    curves = layer_curves(
        run.datasets,
        names,
        conditions=look.conditions,
        statistics=look.statistics,
        palette=look.palette,
    )
    for drawing in with_progress(curves, "figure", "layers", wanted=progress):
        drawing.save(folder)
        count += 1
    if not (look.model_pages and method.correlations):
        return count
    for target in dict.fromkeys(t for t, roi in run.datasets if roi == ALL_VOXELS):
        pages = save_model_pages(
            folder,
            target,
            computed,
            own=target not in TARGETS,
            palette=look.palette,
            jobs=jobs or available_cores(),
        )
        count += sum(
            with_progress(
                pages, "model", f"model pages, {target}", total=len(computed), wanted=progress
            )
        )
    return count

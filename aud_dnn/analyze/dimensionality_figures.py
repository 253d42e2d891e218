"""Effective dimensionality of layers against how well they predict (supplement)."""

from __future__ import annotations

from collections.abc import Sequence

from aud_dnn.aggregate.tables import VALUE, has_condition
from aud_dnn.analyze.figures import FigureOptions
from aud_dnn.analyze.layer_scores import METHODS, dimensionality_scores
from aud_dnn.analyze.plotting.scatters import Limits, value_scatter
from aud_dnn.analyze.plotting.style import Drawings
from aud_dnn.paths import ProjectPaths
from aud_dnn.resources import ALL_SEED1_MODELS
from aud_dnn.rsa.results import condition_name

ARCHITECTURES = ("Kell2018", "ResNet50")
_LABELS = {("dimensionality", False): "Effective dimensionality (trained model)",
           ("dimensionality", True): "Effective dimensionality (permuted network)",
           ("regression", False): "Neural noise-corrected $R^2$ (trained model)",
           ("regression", True): "Neural noise-corrected $R^2$ (permuted network)",
           ("RSA", False): "RSA (trained model)", ("RSA", True): "RSA (permuted network)"}
_LIMITS = {"regression": ((-1, 70), (-0.015, 1)), "RSA": ((-1, 130), (-0.015, 0.8))}


def dimensionality_figures(paths: ProjectPaths, options: FigureOptions | None = None, methods: Sequence[str] = METHODS
                           ) -> Drawings:
    """One point per layer; all models together, then each in-house architecture alone."""
    options = options or FigureOptions()
    drawings = Drawings()
    everyone = options.models(ALL_SEED1_MODELS)
    groups = {"": everyone} | {f"_{name}": [model for model in everyone if model.startswith(name)] for name in ARCHITECTURES}
    for method in methods:
        for target in options.targets:
            for randnetw in options.conditions:
                for suffix, models in groups.items():
                    table = dimensionality_scores(paths, models, target, randnetw, method)
                    what = f"{method}, {target}, {condition_name(randnetw)}{suffix.replace('_', ', ')}"
                    x, y = _LIMITS[method]
                    drawing = None
                    if len(table):
                        n_models = table["source_model"].nunique()
                        stem = (f"layerwise_scatter_dim_{target}_roi-None_across_layers-n={len(table)}_models-{n_models}_"
                                f"{method}{'_randnetw' if randnetw else ''}_{VALUE[target]}{suffix}")
                        drawing = value_scatter(
                            table.set_index(["source_model", "source_layer"]), "dimensionality", "score",
                            table["source_model"].tolist(), stem=stem, yerr="score_yerr", identity=False,
                            labels=(_LABELS["dimensionality", randnetw], _LABELS[method, randnetw]), title=what,
                            limits=Limits(x, y, equal=False), palette=options.palette,
                            wanted=[model for model in models if has_condition(model, randnetw)])
                    if drawing is None:
                        drawings.notes.append(f"Not drawn: {what} (fewer than two layers with results and dimensionality).")
                    else:
                        drawings.append(drawing)
    return drawings

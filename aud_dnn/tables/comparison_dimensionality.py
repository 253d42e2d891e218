"""Effective dimensionality of layers and of voxels, as tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import xarray as xr

from aud_dnn.conditions import CONDITIONS
from aud_dnn.methods.comparing.sides import DIMENSIONALITY_VARIANTS
from aud_dnn.store.comparison_parts import Part
from aud_dnn.store.comparisons import (
    canonical_models,
    matching_model_part,
)
from aud_dnn.tables.comparison_models import Datasets
from aud_dnn.targets.facts import TARGETS


def dimensionality_table(parts: Mapping[tuple[str, str], Part]) -> pd.DataFrame:
    """One row per model x condition x layer.

    Effective dimensionality of raw, centred and z-scored units.
    """
    rows = [
        {
            "model": model,
            "condition": condition,
            "layer": layer,
            "layer_index": index,
            "n_units": int(part.arrays["n_units"][index]),
            **{
                f"effective_dimensionality_{name}": part.arrays["effective_dimensionality"][
                    index, column
                ]
                for column, name in enumerate(DIMENSIONALITY_VARIANTS)
            },
        }
        for (model, condition), part in parts.items()
        for index, layer in enumerate(part.layers)
    ]
    return pd.DataFrame(rows)


def neural_dimensionality_table(datasets: Datasets) -> pd.DataFrame:
    """One row per target x region.

    Effective dimensionality of the voxels of all participants together.
    """
    return pd.DataFrame(
        [
            {
                "target": target,
                "roi": roi,
                "n_voxels": int(dataset["n_voxels"].sum()),
                **{
                    f"effective_dimensionality_{name}": float(
                        dataset["effective_dimensionality"].sel(variant=name)
                    )
                    for name in DIMENSIONALITY_VARIANTS
                },
            }
            for (target, roi), dataset in datasets.items()
        ]
    )


def model_parts(folder: Path, datasets: Datasets) -> dict[tuple[str, str], Part]:
    """The models' own sides that belong to the datasets' scores, in canonical order.

    Of the published sounds; those of users' own targets are not among them.

    Raises
    ------
    DamagedFileError
        One of the files is not as it was written.
    """
    scored: dict[tuple[str, str], xr.Dataset] = {}
    for (target, _), dataset in datasets.items():
        if target not in TARGETS:
            continue
        for c, condition in enumerate(dataset["condition"].values.tolist()):
            for m, model in enumerate(dataset["model"].values.tolist()):
                if dataset["available"].values[c, m]:
                    scored.setdefault((model, condition), dataset)
    keys = [
        (model, condition)
        for model in canonical_models(model for model, _ in scored)
        for condition in CONDITIONS
    ]
    return {
        key: part
        for key in keys
        if key in scored
        and (part := matching_model_part(Path(folder), scored[key], *key)) is not None
    }

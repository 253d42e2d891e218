"""The finished files of a comparison (RSA, CKA): one netCDF-4 file per target and region.

``results/<method>_analysis/<method>_<target>_<roi>.nc`` holds everything about one target and
region (:func:`assemble`), and the digest of the parts that it was assembled from
(:mod:`aud_dnn.store.comparison_parts`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from aud_dnn import NUMERICS_VERSION, __version__
from aud_dnn.conditions import CONDITIONS, Condition
from aud_dnn.errors import DamagedFileError, InputError, MissingDataError
from aud_dnn.io.atomic import atomic_file
from aud_dnn.io.digests import combined_digest
from aud_dnn.io.files import require_seal, seal
from aud_dnn.io.netcdf import write_netcdf
from aud_dnn.methods.comparing.sides import DIMENSIONALITY_VARIANTS
from aud_dnn.methods.method import Comparison
from aud_dnn.methods.rsa import METHOD as RSA
from aud_dnn.models.registry import BASELINE_MODEL, MODELS
from aud_dnn.store.compared_by import method_attributes
from aud_dnn.store.comparison_parts import Part, read_model_part
from aud_dnn.store.comparison_schema import SCRIPT, Variable, read_checked
from aud_dnn.targets.facts import ROIS

ALL_VOXELS = "All"
ROI_CHOICES = (ALL_VOXELS, *ROIS)


def canonical_models(names: Iterable[str]) -> list[str]:
    """Each name once: registered models in the order of the registry, then the others by name."""
    names = set(names)
    return [model for model in MODELS if model in names] + sorted(names - set(MODELS))


def analysis_path(folder: Path, target: str, roi: str, method: Comparison = RSA) -> Path:
    """Where the finished analysis of one region lies."""
    return folder / f"{method.name.lower()}_{target}_{roi}.nc"


def _stored(method: Comparison) -> dict[str, Variable]:
    """Everything that a file may hold: what :func:`assemble` makes.

    And what the published pickles have beside it.
    """
    return {
        **{
            field.stored: Variable(
                ("condition", "model", *field.dims),
                "count" if field.dtype == "int64" else "number",
            )
            for field in method.fields
        },
        "model_layers": Variable(("condition", "model", "layer"), "text"),
        "available": Variable(("condition", "model"), "flag"),
        "activations_sha256": Variable(("condition", "model"), "text"),
        "all_data_corr_mat_fmri": Variable(("participant", "pair")),
        # of the published pickles alone
        "all_data_corr_mat_fmri_square": Variable(
            ("participant", "sound", "other_sound"), optional=True
        ),
        **{item.variable: Variable(("participant", "split")) for item in method.ceilings},
        **{item.variable_all_sounds: Variable(("participant",)) for item in method.ceilings},
        "n_voxels": Variable(("participant",), "count"),
        "effective_dimensionality": Variable(("variant",)),
        "train_sounds": Variable(("split", "sound"), "flag"),
        "test_sounds": Variable(("split", "sound"), "flag", optional=True),
        "category": Variable(("sound",), "text"),
        **{
            name: Variable((name,), "count" if name in ("split", "layer") else "text")
            for name in ("condition", "model", "participant", "split", "layer", "sound", "variant")
        },
    }


# --- one file per target and region -------------------------------------------------------------


def assemble(
    target: str,
    roi: str,
    neural: Part,
    parts: Mapping[tuple[str, str], Part],
    *,
    sounds: Sequence[str],
    categories: Sequence[str],
    train: np.ndarray,
    test: np.ndarray | None = None,
    about: Mapping[str, Any] | None = None,
    method: Comparison = RSA,
) -> xr.Dataset:
    """Everything about one target and region as one dataset, named as in the published record where
    that has a name.

    Parameters
    ----------
    target, roi : str
    neural : Part
    parts : mapping from (model, condition) to Part, in the order of :func:`canonical_models`
        The baseline without a permuted version stands in for it with its trained scores.
    sounds, categories : sequences of str
        In the order of the RDMs (grouped by category).
    train, test : bool arrays of shape (n_splits, n_sounds)
        What is not trained on is tested on, if ``test`` is not given.
    about : mapping, optional
        More attributes.
    method : Comparison

    Returns
    -------
    Dataset
        Dimensions ``condition``, ``model``, ``participant``, ``split``, ``layer`` (padded with NaN
        to the longest model), ``pair`` (upper triangle, row by row), ``sound``.
    """
    assembled_from = assembly_digest(neural, parts)
    parts = dict(parts)
    baseline = parts.get((BASELINE_MODEL, Condition.TRAINED))
    stands_in = baseline is not None and (BASELINE_MODEL, Condition.PERMUTED) not in parts
    if stands_in:
        parts[BASELINE_MODEL, Condition.PERMUTED] = baseline
    models = list(dict.fromkeys(model for model, _ in parts))
    n_layers = max((len(part.layers) for part in parts.values()), default=0)
    sizes = {
        "participant": len(neural.arrays["participants"]),
        "split": len(train),
        "layer": n_layers,
    }
    variables: dict[str, tuple] = {}
    for field in method.fields:
        shape = (len(CONDITIONS), len(models), *(sizes[dim] for dim in field.dims))
        values = np.full(shape, -1 if field.dtype == "int64" else np.nan, dtype=field.dtype)
        for (model, condition), part in parts.items():
            given = part.arrays[field.name]
            place = values[CONDITIONS.index(condition), models.index(model)][..., : given.shape[-1]]
            if place.shape != given.shape:
                raise InputError(
                    f"The {method.name} of {model} ({condition}, {target}, {roi}) has the shape "
                    f"{given.shape} in {field.name}, not {place.shape}: it is about other "
                    "participants or "
                    f"splits. Run {SCRIPT} --overwrite."
                )
            place[...] = given
        variables[field.stored] = (
            ("condition", "model", *field.dims),
            values,
            {"long_name": field.meaning},
        )
    names = np.full((len(CONDITIONS), len(models), n_layers), "", dtype=object)
    available = np.zeros((len(CONDITIONS), len(models)), dtype=bool)
    for (model, condition), part in parts.items():
        place = CONDITIONS.index(condition), models.index(model)
        names[place][: len(part.layers)] = part.layers
        available[place] = True
    variables["model_layers"] = (
        ("condition", "model", "layer"),
        names,
        {"long_name": "names of the layers, in order"},
    )
    variables["available"] = (("condition", "model"), available, {"long_name": "there are results"})
    origins = np.full((len(CONDITIONS), len(models)), "", dtype=object)
    for (model, condition), part in parts.items():
        origins[CONDITIONS.index(condition), models.index(model)] = part.made_from.get(
            "activations", ""
        )
    variables["activations_sha256"] = (
        ("condition", "model"),
        origins,
        {"long_name": "digest of the activations that the scores were made from"},
    )
    kept = neural.arrays
    variables |= {
        "all_data_corr_mat_fmri": (
            ("participant", "pair"),
            kept["rdms"],
            {
                "long_name": "Pearson correlations between all sounds over the participant's "
                "voxels; upper triangle, row by row"
                if method.correlations
                else f"{method.name}: what is compared, of all sounds; upper triangle, row by row"
            },
        ),
        **_ceilings(method, kept),
        "n_voxels": (
            ("participant",),
            kept["n_voxels"],
            {"long_name": "voxels of the participant in this region"},
        ),
        "effective_dimensionality": (
            ("variant",),
            kept["effective_dimensionality"],
            {"long_name": "of the voxels of all participants together"},
        ),
        "train_sounds": (("split", "sound"), train, {"long_name": "sound is in the training half"}),
        "category": (("sound",), np.array(categories, dtype=object)),
    }
    if test is not None and not np.array_equal(test, ~train):
        variables["test_sounds"] = (
            ("split", "sound"),
            test,
            {"long_name": "sound is in the test half"},
        )
    return xr.Dataset(
        variables,
        coords={
            "condition": list(CONDITIONS),
            "model": np.array(models, dtype=object),
            "participant": np.array(kept["participants"].tolist(), dtype=object),
            "split": np.arange(len(train)),
            "layer": np.arange(n_layers),
            "sound": np.array(sounds, dtype=object),
            "variant": list(DIMENSIONALITY_VARIANTS),
        },
        attrs={
            "target": target,
            "roi": roi,
            "numerics_version": NUMERICS_VERSION,
            "version": __version__,
            "baseline_stands_in_for_permuted": int(stands_in),
            "assembled_from": assembled_from,
            **{f"{name}_sha256": digest for name, digest in neural.made_from.items()},
            **({} if method is RSA else method_attributes(method)),
            **(about or {}),
        },
    )


def _ceilings(method: Comparison, kept: Mapping[str, np.ndarray]) -> dict[str, tuple]:
    """The variables of the noise ceilings."""
    variables = {}
    for place, item in enumerate(method.ceilings):
        role = "published" if place < len(method.ceilings) - 1 else "recommended"
        of = "the participant's test triangle and the mean of the others'"
        variables[item.variable] = (
            ("participant", "split"),
            kept[f"ceiling_{item.name}"],
            {"long_name": f"{role} ceiling: {item.label} of {of}"},
        )
        variables[item.variable_all_sounds] = (
            ("participant",),
            kept[f"ceiling_{item.name}_all_sounds"],
            {"long_name": f"{item.label} ceiling with all sounds"},
        )
    return variables


def assembly_digest(neural: Part, parts: Mapping[tuple[str, str], Part]) -> str:
    """Digest of everything that :func:`assemble` makes a dataset from, and of the version that
    makes it.
    """
    return combined_digest(
        [
            f"{NUMERICS_VERSION} {__version__}",
            neural.digest,
            *(f"{model} {condition} {part.digest}" for (model, condition), part in parts.items()),
        ]
    )


def write_analysis(path: Path, dataset: xr.Dataset) -> None:
    """Write a dataset as netCDF-4; whole or not at all."""
    packed = {
        name: {"zlib": True, "complevel": 1}
        for name, variable in dataset.data_vars.items()
        if variable.dtype.kind == "f" and variable.size > 10_000
    }
    with atomic_file(path) as staging:
        write_netcdf(staging, dataset, packed)
        seal(staging)


def read_analysis(
    folder: Path, target: str, roi: str = ALL_VOXELS, method: Comparison = RSA
) -> xr.Dataset:
    """Read ``<method>_<target>_<roi>.nc``.

    Raises
    ------
    MissingDataError, InputError
        The file is not there, or cannot be read.
    """
    path = analysis_path(Path(folder), target, roi, method)
    remedy = f"Run {script_for(method)}."
    if not path.is_file():
        raise MissingDataError(f"{path} is missing. {remedy}")
    try:
        require_seal(path)
    except DamagedFileError as error:
        raise DamagedFileError(f"{error} {remedy}") from error
    dataset = read_checked(path, _stored(method), f"Delete it. {remedy}")
    inside = (
        dataset.attrs.get("method", RSA.name),
        dataset.attrs.get("target"),
        dataset.attrs.get("roi"),
    )
    if inside != (method.name, target, roi):
        raise DamagedFileError(
            f"{path} holds the {inside[0]} of {inside[1]} {inside[2]}, not "
            f"{'' if inside[0] == method.name else f'the {method.name} '}of {target} {roi}: it was "
            f"copied or renamed. Delete it. {remedy}"
        )
    return dataset


def script_for(method: Comparison) -> str:
    """The command that makes the results of a method."""
    return SCRIPT if method is RSA else f"{SCRIPT} --methods {method.name}"


def published_score(dataset: xr.Dataset, condition: str) -> xr.DataArray:
    """The score of the paper, (model, participant), of the models that have results in this
    condition.
    """
    chosen = dataset["best_layer_rsa_median_across_splits"].sel(condition=condition)
    return chosen.isel(model=np.flatnonzero(dataset["available"].sel(condition=condition).values))


def matching_model_part(
    folder: Path, dataset: xr.Dataset, model: str, condition: str, own_target: str = ""
) -> Part | None:
    """The model's own side, if it was made from the activations that the dataset's scores come
    from.

    Raises
    ------
    DamagedFileError
        As :func:`read_part`.
    """
    part = read_model_part(folder, model, condition, own_target)
    scored = str(dataset["activations_sha256"].sel(condition=condition, model=model).item())
    return part if part is not None and part.made_from.get("activations") == scored else None

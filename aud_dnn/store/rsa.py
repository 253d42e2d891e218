"""The files of the RSA.

Parts that a run leaves behind one by one, and one netCDF-4 file per target and region.

Below ``results/rsa_analysis/``::

    parts/<target>/<roi>/neural.npz                  RDMs and ceilings of the participants
    parts/<target>/<roi>/<model>_<condition>.npz     scores of one model in one condition
    parts/models/<model>_<condition>.npz             RDMs and effective dimensionality of the layers
    rsa_<target>_<roi>.nc                            everything about one target and region
    (:func:`assemble`)

Every file is whole or absent, carries its checksum, and says inside whose it is; whoever reads it
checks both. Nothing that is read can run code (``allow_pickle=False``). Parts record the digests of
what they were made from (``made_from``), and the netCDF file the digest of the parts that it was
assembled from (:mod:`aud_dnn.runs.rsa_origins` tells whether they hold).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from aud_dnn import NUMERICS_VERSION, __version__
from aud_dnn.errors import DamagedFileError, InputError, MissingDataError
from aud_dnn.io.atomic import atomic_file
from aud_dnn.io.digests import combined_digest, file_digest
from aud_dnn.io.files import read_npz, require_seal, seal, write_netcdf
from aud_dnn.methods.rsa.analysis import DIMENSIONALITY_VARIANTS, ModelSide, NeuralSide, RSAScores
from aud_dnn.methods.rsa.similarity import BestLayer
from aud_dnn.resources import BASELINE_MODEL, MODELS, ROIS
from aud_dnn.store.rsa_schema import CONDITIONS, Variable, read_checked, wrong_in_part

ALL_VOXELS = "All"
ROI_CHOICES = (ALL_VOXELS, *ROIS)

SCRIPT = "python aud_dnn/analyze/rsa_matrix_calculation_all_models.py"
"""The command that makes everything here."""

_ABOUT = "about"


def condition_name(randnetw: bool) -> str:
    """``trained`` or ``permuted``."""
    return CONDITIONS[int(randnetw)]


def canonical_models(names: Iterable[str]) -> list[str]:
    """Each name once: registered models in the order of the registry, then the others by name."""
    names = set(names)
    return [model for model in MODELS if model in names] + sorted(names - set(MODELS))


# --- parts --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """Arrays by name, what is known about how they were made, and the digest of the file that they
    came from.
    """

    arrays: dict[str, np.ndarray]
    about: dict[str, Any]
    digest: str = ""

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(self.arrays["layers"].tolist())

    @property
    def made_from(self) -> dict[str, str]:
        """Digests of what the part was made from, by name."""
        return self.about.get("made_from", {})


def neural_part_path(folder: Path, target: str, roi: str) -> Path:
    """Where the participants' side of one region lies."""
    return folder / "parts" / target / roi / "neural.npz"


def score_part_path(folder: Path, target: str, roi: str, model: str, condition: str) -> Path:
    """Where the scores of one model for one region lie."""
    return folder / "parts" / target / roi / f"{model}_{condition}.npz"


def model_part_path(folder: Path, model: str, condition: str) -> Path:
    """Where the similarity matrices of one model lie."""
    return folder / "parts" / "models" / f"{model}_{condition}.npz"


def find_parts(folder: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """Every part, and whose it must be by where it lies (the key of :func:`read_part`)."""
    for path in sorted(folder.glob("parts/*/*.npz")):
        if path.parent.name == "models" and not path.name.startswith("."):
            yield path, dict(zip(("model", "condition"), path.stem.rsplit("_", 1)))
    for path in sorted(folder.glob("parts/*/*/*.npz")):
        if not path.name.startswith(".") and not path.parent.name.startswith("."):
            of_model = (
                {}
                if path.stem == "neural"
                else dict(zip(("model", "condition"), path.stem.rsplit("_", 1)))
            )
            yield path, {**of_model, "target": path.parent.parent.name, "roi": path.parent.name}


def analysis_path(folder: Path, target: str, roi: str) -> Path:
    """Where the finished analysis of one region lies."""
    return folder / f"rsa_{target}_{roi}.nc"


def write_part(path: Path, arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> None:
    """Write arrays and a description into one sealed ``.npz``; whole or not at all.

    Equal content makes equal files.
    """
    about = {"numerics_version": NUMERICS_VERSION, "version": __version__, **about}
    with atomic_file(path) as staging:
        with staging.open("wb") as file:
            np.savez(file, **arrays, **{_ABOUT: np.array(json.dumps(about, sort_keys=True))})
        seal(staging)


def read_part(path: Path, wanted: Mapping[str, Variable] | None = None, **key: str) -> Part | None:
    """A part written by :func:`write_part`.

    None if there is none, or if another version of the numerics made it.

    Parameters
    ----------
    path : Path
    wanted : mapping from str to Variable, optional
        The arrays that it must hold.
    **key : str
        Whose it must be: ``model``, ``condition``, ``target``, ``roi``, as far as it has them.

    Raises
    ------
    DamagedFileError
        It is not as it was written, or it is somebody else's.
    """
    if not path.is_file():
        return None
    remedy = f"{SCRIPT} makes it again."
    try:
        require_seal(path)
    except DamagedFileError as error:
        raise DamagedFileError(f"{error} {remedy}") from error
    try:
        arrays = read_npz(path)
        about = json.loads(str(arrays.pop(_ABOUT)))
        current = about["numerics_version"] == NUMERICS_VERSION
        inside = {name: about.get(name) for name in key}
        made_from = about.get("made_from", {})
        if not isinstance(made_from, dict) or not all(
            isinstance(value, str) for value in made_from.values()
        ):
            raise ValueError("made_from must hold digests")
        if current and (wrong := wrong_in_part(arrays, wanted or {})) is not None:
            raise ValueError(wrong)
    except Exception as error:  # NumPy's header parser and zipfile raise many kinds on garbage
        raise DamagedFileError(
            f"{path} is damaged ({type(error).__name__}: {error}). {remedy}"
        ) from error
    if inside != key:
        raise DamagedFileError(
            f"{path} holds the results of {_named(inside)}, not of {_named(key)}: it was copied or "
            f"renamed. Delete it; {remedy}"
        )
    return Part(arrays, about, file_digest(path)) if current else None


def _named(key: Mapping[str, Any]) -> str:
    return ", ".join(map(str, key.values()))


def read_neural_part(folder: Path, target: str, roi: str) -> Part | None:
    """:func:`read_part` of the participants' side."""
    return read_part(neural_part_path(folder, target, roi), _NEURAL_PART, target=target, roi=roi)


def read_score_part(folder: Path, target: str, roi: str, model: str, condition: str) -> Part | None:
    """:func:`read_part` of the scores of one model."""
    return read_part(
        score_part_path(folder, target, roi, model, condition),
        _SCORE_PART,
        model=model,
        condition=condition,
        target=target,
        roi=roi,
    )


def read_model_part(folder: Path, model: str, condition: str) -> Part | None:
    """:func:`read_part` of the model's own side."""
    return read_part(
        model_part_path(folder, model, condition), _MODEL_PART, model=model, condition=condition
    )


def neural_arrays(side: NeuralSide, participants: Sequence[str]) -> dict[str, np.ndarray]:
    """What is kept of the neural side (the vectors are not: they are made from the data in a
    second).
    """
    kept = {
        field.name: getattr(side, field.name)
        for field in dataclasses.fields(side)
        if field.name != "vectors"
    }
    return {"participants": np.array(participants), **kept}


def model_arrays(side: ModelSide) -> dict[str, np.ndarray]:
    """What is kept of the model side."""
    return {
        "layers": np.array(side.layers),
        "rdms": side.rdms,
        "concatenated_rdm": side.concatenated_rdm,
        "n_units": side.n_units,
        "n_constant_units": side.n_constant_units,
        "n_constant_units_train": side.n_constant_units_train,
        "effective_dimensionality": side.effective_dimensionality,
    }


# name in the published record -> value, dimensions after (condition, model); None where the record
# does not have it
_SCORE_VARIABLES: dict[str, tuple[str, tuple[str, ...], str]] = {
    "all_layer_train_correlations": (
        "layer_train",
        ("participant", "split", "layer"),
        "Spearman similarity of each layer on the training sounds",
    ),
    "all_layer_test_correlations": (
        "layer_test",
        ("participant", "split", "layer"),
        "Spearman similarity of each layer on the test sounds",
    ),
    "best_layer_idx": (
        "best_index",
        ("participant", "split"),
        "layer chosen on the training sounds, from 0; -1 for none",
    ),
    "best_layer_test_value": (
        "best_value",
        ("participant", "split"),
        "test similarity of the layer chosen",
    ),
    "best_layer_rsa_median_across_splits": (
        "best_median",
        ("participant",),
        "the score: median over splits of best_layer_test_value",
    ),
    "splits_median_best_layer_idx": (
        "best_median_index",
        ("participant",),
        "median over splits of best_layer_idx",
    ),
    "splits_median_distance_all_layers": (
        "layer_test_median",
        ("participant", "layer"),
        "median over splits of all_layer_test_correlations",
    ),
    "all_data_rsa_for_best_layer": (
        "layer_all_sounds",
        ("participant", "layer"),
        "Spearman similarity of each layer, all 165 sounds",
    ),
    "all_model_features_rsa": (
        "concatenated_all_sounds",
        ("participant",),
        "Spearman similarity of all layers concatenated, all 165 sounds",
    ),
    "best_layer_position": (
        "best_layer_position",
        ("participant",),
        "argmax of all_data_rsa_for_best_layer / (number of layers - 1); undefined for one layer",
    ),
}


_STORED: dict[str, Variable] = {
    **{
        name: Variable(
            ("condition", "model", *dims), "count" if name == "best_layer_idx" else "number"
        )
        for name, (_, dims, _) in _SCORE_VARIABLES.items()
    },
    "model_layers": Variable(("condition", "model", "layer"), "text"),
    "available": Variable(("condition", "model"), "flag"),
    "activations_sha256": Variable(("condition", "model"), "text"),
    "all_data_corr_mat_fmri": Variable(("participant", "pair")),
    # of the published pickles alone
    "all_data_corr_mat_fmri_square": Variable(
        ("participant", "sound", "other_sound"), optional=True
    ),
    "leave_one_out_neural_r_cv_test_splits": Variable(("participant", "split")),
    "leave_one_out_neural_spearman_cv_test_splits": Variable(("participant", "split")),
    "leave_one_out_neural_r_all_sounds": Variable(("participant",)),
    "leave_one_out_neural_spearman_all_sounds": Variable(("participant",)),
    "n_voxels": Variable(("participant",), "count"),
    "effective_dimensionality": Variable(("variant",)),
    "train_sounds": Variable(("split", "sound"), "flag"),
    "category": Variable(("sound",), "text"),
    **{
        name: Variable((name,), "count" if name in ("split", "layer") else "text")
        for name in ("condition", "model", "participant", "split", "layer", "sound", "variant")
    },
}
"""Everything that a file may hold: what :func:`assemble` makes, and what the published pickles have beside it."""


_NEURAL_PART: dict[str, Variable] = {
    "participants": Variable(("participant",), "label"),
    "rdms": Variable(("participant", "pair")),
    "n_voxels": Variable(("participant",), "count"),
    "ceiling_pearson": Variable(("participant", "split")),
    "ceiling_spearman": Variable(("participant", "split")),
    "ceiling_pearson_all_sounds": Variable(("participant",)),
    "ceiling_spearman_all_sounds": Variable(("participant",)),
    "effective_dimensionality": Variable(("variant",)),
    "sounds": Variable(("sound",), "label"),
    "categories": Variable(("sound",), "label"),
    "train": Variable(("split", "sound"), "flag"),
}
_SCORE_PART: dict[str, Variable] = {
    "layers": Variable(("layer",), "label"),
    **{
        key: Variable(dims, "count" if key == "best_index" else "number")
        for key, dims, _ in _SCORE_VARIABLES.values()
    },
}
_MODEL_PART: dict[str, Variable] = {
    "layers": Variable(("layer",), "label"),
    "rdms": Variable(("layer", "pair")),
    "concatenated_rdm": Variable(("pair",)),
    "n_units": Variable(("layer",), "count"),
    "n_constant_units": Variable(("layer",), "count"),
    "n_constant_units_train": Variable(("layer", "split"), "count"),
    "effective_dimensionality": Variable(("layer", "variant")),
}


def score_arrays(scores: RSAScores) -> dict[str, np.ndarray]:
    """All scores by the name that parts give them; the first axis of each is the participant."""
    best: BestLayer = scores.best
    return {
        "layer_train": scores.layer_train,
        "layer_test": scores.layer_test,
        "best_index": best.index,
        "best_value": best.value,
        "best_median": best.median_value,
        "best_median_index": best.median_index,
        "layer_test_median": scores.layer_test_median,
        "layer_all_sounds": scores.layer_all_sounds,
        "concatenated_all_sounds": scores.concatenated_all_sounds,
        "best_layer_position": scores.best_layer_position,
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
    about: Mapping[str, Any] | None = None,
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
    train : bool array of shape (n_splits, n_sounds)
    about : mapping, optional
        More attributes.

    Returns
    -------
    Dataset
        Dimensions ``condition``, ``model``, ``participant``, ``split``, ``layer`` (padded with NaN
        to the longest model), ``pair`` (upper triangle, row by row), ``sound``.
    """
    assembled_from = assembly_digest(neural, parts)
    parts = dict(parts)
    baseline = parts.get((BASELINE_MODEL, CONDITIONS[0]))
    stands_in = baseline is not None and (BASELINE_MODEL, CONDITIONS[1]) not in parts
    if stands_in:
        parts[BASELINE_MODEL, CONDITIONS[1]] = baseline
    models = list(dict.fromkeys(model for model, _ in parts))
    n_layers = max((len(part.layers) for part in parts.values()), default=0)
    sizes = {
        "participant": len(neural.arrays["participants"]),
        "split": len(train),
        "layer": n_layers,
    }
    variables: dict[str, tuple] = {}
    for name, (key, dims, meaning) in _SCORE_VARIABLES.items():
        integer = name == "best_layer_idx"
        values = np.full(
            (len(CONDITIONS), len(models), *(sizes[dim] for dim in dims)),
            -1 if integer else np.nan,
            dtype=np.int64 if integer else np.float64,
        )
        for (model, condition), part in parts.items():
            given = part.arrays[key]
            place = values[CONDITIONS.index(condition), models.index(model)][..., : given.shape[-1]]
            if place.shape != given.shape:
                raise InputError(
                    f"The RSA of {model} ({condition}, {target}, {roi}) has the shape "
                    f"{given.shape} in {key}, not {place.shape}: it is about other participants or "
                    f"splits. Run {SCRIPT} --overwrite."
                )
            place[...] = given
        variables[name] = (("condition", "model", *dims), values, {"long_name": meaning})
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
                "long_name": "Pearson correlations between all 165 sounds over the participant's "
                "voxels; upper triangle, row by row"
            },
        ),
        "leave_one_out_neural_r_cv_test_splits": (
            ("participant", "split"),
            kept["ceiling_pearson"],
            {
                "long_name": "published ceiling: PEARSON of the participant's test RDM and the "
                "mean of the others'"
            },
        ),
        "leave_one_out_neural_spearman_cv_test_splits": (
            ("participant", "split"),
            kept["ceiling_spearman"],
            {"long_name": "recommended ceiling: the same in Spearman, the measure of the scores"},
        ),
        "leave_one_out_neural_r_all_sounds": (
            ("participant",),
            kept["ceiling_pearson_all_sounds"],
            {"long_name": "Pearson ceiling with all 165 sounds"},
        ),
        "leave_one_out_neural_spearman_all_sounds": (
            ("participant",),
            kept["ceiling_spearman_all_sounds"],
            {"long_name": "Spearman ceiling with all 165 sounds"},
        ),
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
            **(about or {}),
        },
    )


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


def read_analysis(folder: Path, target: str, roi: str = ALL_VOXELS) -> xr.Dataset:
    """Read ``rsa_<target>_<roi>.nc``.

    Raises
    ------
    MissingDataError, InputError
        The file is not there, or cannot be read.
    """
    path = analysis_path(Path(folder), target, roi)
    remedy = f"Run {SCRIPT}."
    if not path.is_file():
        raise MissingDataError(f"{path} is missing. {remedy}")
    try:
        require_seal(path)
    except DamagedFileError as error:
        raise DamagedFileError(f"{error} {remedy}") from error
    dataset = read_checked(path, _STORED, f"Delete it. {remedy}")
    inside = dataset.attrs.get("target"), dataset.attrs.get("roi")
    if inside != (target, roi):
        raise DamagedFileError(
            f"{path} holds the RSA of {' '.join(map(str, inside))}, not of {target} {roi}: it was "
            f"copied or renamed. Delete it. {remedy}"
        )
    return dataset


def published_score(dataset: xr.Dataset, condition: str) -> xr.DataArray:
    """The score of the paper, (model, participant), of the models that have results in this
    condition.
    """
    chosen = dataset["best_layer_rsa_median_across_splits"].sel(condition=condition)
    return chosen.isel(model=np.flatnonzero(dataset["available"].sel(condition=condition).values))


def matching_model_part(
    folder: Path, dataset: xr.Dataset, model: str, condition: str
) -> Part | None:
    """The model's own side, if it was made from the activations that the dataset's scores come
    from.

    Raises
    ------
    DamagedFileError
        As :func:`read_part`.
    """
    part = read_model_part(folder, model, condition)
    scored = str(dataset["activations_sha256"].sel(condition=condition, model=model).item())
    return part if part is not None and part.made_from.get("activations") == scored else None


__all__ = [
    "ALL_VOXELS",
    "CONDITIONS",
    "DIMENSIONALITY_VARIANTS",
    "ROI_CHOICES",
    "SCRIPT",
    "Part",
    "analysis_path",
    "assemble",
    "assembly_digest",
    "canonical_models",
    "condition_name",
    "find_parts",
    "matching_model_part",
    "model_arrays",
    "model_part_path",
    "neural_arrays",
    "neural_part_path",
    "published_score",
    "read_analysis",
    "read_model_part",
    "read_neural_part",
    "read_part",
    "read_score_part",
    "score_arrays",
    "score_part_path",
    "write_analysis",
    "write_part",
]

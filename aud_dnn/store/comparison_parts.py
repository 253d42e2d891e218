"""The parts that a run of a comparison (RSA, CKA) leaves behind one by one.

Below ``results/<method>_analysis/parts/``::

    <target>/<roi>/neural.npz                triangles and ceilings of the participants
    <target>/<roi>/<model>_<condition>.npz   scores of one model in one condition
    models/<model>_<condition>.npz           triangles and effective dimensionality of the layers;
                                             for a user's own target in models/<target>/

Every file is whole or absent, carries its checksum, and says inside whose it is; whoever reads it
checks both. Nothing that is read can run code (``allow_pickle=False``). Parts record the digests of
what they were made from (``made_from``); :mod:`aud_dnn.runs.comparison_origins` tells whether they
hold.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aud_dnn import NUMERICS_VERSION, __version__
from aud_dnn.errors import DamagedFileError
from aud_dnn.io.atomic import atomic_file
from aud_dnn.io.digests import file_digest
from aud_dnn.io.files import read_npz, require_seal, seal
from aud_dnn.methods.comparing.sides import ComparisonScores, ModelSide, NeuralSide
from aud_dnn.methods.method import Comparison
from aud_dnn.methods.rsa import METHOD as RSA
from aud_dnn.store.comparison_schema import SCRIPT, Variable, wrong_in_part

_ABOUT = "about"
MODELS_FOLDER = "models"
"""Beside the targets; no target can have this name."""


_BY_SPLIT, _BY_PARTICIPANT = Variable(("participant", "split")), Variable(("participant",))
_NEURAL_PART: dict[str, Variable] = {
    "participants": Variable(("participant",), "label"),
    "rdms": Variable(("participant", "pair")),
    "n_voxels": Variable(("participant",), "count"),
    "effective_dimensionality": Variable(("variant",)),
    "sounds": Variable(("sound",), "label"),
    "categories": Variable(("sound",), "label"),
    "train": Variable(("split", "sound"), "flag"),
    "test": Variable(("split", "sound"), "flag", optional=True),
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


def model_part_path(folder: Path, model: str, condition: str, own_target: str = "") -> Path:
    """Where the triangles of one model lie: for the published sounds, or those of a target."""
    return folder / "parts" / MODELS_FOLDER / own_target / f"{model}_{condition}.npz"


def find_parts(folder: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """Every part, and whose it must be by where it lies (the key of :func:`read_part`)."""
    parts = folder / "parts"
    for path in sorted(parts.glob("*/*.npz")) + sorted(parts.glob("*/*/*.npz")):
        above = path.parent.relative_to(parts).parts
        if path.name.startswith(".") or any(name.startswith(".") for name in above):
            continue
        of_model = dict(zip(("model", "condition"), path.stem.rsplit("_", 1)))
        if above[0] == MODELS_FOLDER:
            yield path, of_model | dict(zip(("target",), above[1:]))
        elif len(above) == 2:
            whose = {} if path.stem == "neural" else of_model
            yield path, {**whose, "target": above[0], "roi": above[1]}


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


def read_neural_part(folder: Path, target: str, roi: str, method: Comparison = RSA) -> Part | None:
    """:func:`read_part` of the participants' side."""
    wanted = {
        **_NEURAL_PART,
        **{f"ceiling_{item.name}": _BY_SPLIT for item in method.ceilings},
        **{f"ceiling_{item.name}_all_sounds": _BY_PARTICIPANT for item in method.ceilings},
    }
    return read_part(neural_part_path(folder, target, roi), wanted, target=target, roi=roi)


def read_score_part(
    folder: Path, target: str, roi: str, model: str, condition: str, method: Comparison = RSA
) -> Part | None:
    """:func:`read_part` of the scores of one model."""
    wanted = {"layers": Variable(("layer",), "label")} | {
        field.name: Variable(field.dims, "count" if field.dtype == "int64" else "number")
        for field in method.fields
    }
    return read_part(
        score_part_path(folder, target, roi, model, condition),
        wanted,
        model=model,
        condition=condition,
        target=target,
        roi=roi,
    )


def read_model_part(folder: Path, model: str, condition: str, own_target: str = "") -> Part | None:
    """:func:`read_part` of the model's own side."""
    target = {"target": own_target} if own_target else {}
    return read_part(
        model_part_path(folder, model, condition, own_target),
        _MODEL_PART,
        model=model,
        condition=condition,
        **target,
    )


def neural_arrays(side: NeuralSide, participants: Sequence[str]) -> dict[str, np.ndarray]:
    """What is kept of the neural side.

    The vectors are not: they are made from the data in a second.
    """
    return {
        "participants": np.array(participants),
        "rdms": side.rdms,
        "n_voxels": side.n_voxels,
        **{f"ceiling_{name}": values for name, values in side.ceilings.items()},
        **{f"ceiling_{name}_all_sounds": v for name, v in side.ceilings_all_sounds.items()},
        "effective_dimensionality": side.effective_dimensionality,
    }


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


def score_arrays(scores: ComparisonScores) -> dict[str, np.ndarray]:
    """All scores by the name that parts give them; the first axis of each is the participant."""
    return {item.name: getattr(scores, item.name) for item in dataclasses.fields(scores)}

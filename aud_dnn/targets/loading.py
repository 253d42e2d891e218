"""What is predicted.

Voxel responses and response components, with their metadata (pipeline section 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aud_dnn.errors import InputError, few, unknown_name
from aud_dnn.io.files import mat_strings, read_mat, read_npy, require_file
from aud_dnn.io.pickles.safe_pickle import load_pickle
from aud_dnn.paths import ProjectPaths
from aud_dnn.remarks import Remark
from aud_dnn.splits import Splits, published_splits
from aud_dnn.targets.facts import COMPONENTS, PUBLISHED, TARGETS, VOXEL_TARGETS, TargetFacts
from aud_dnn.targets.stimuli import GET_DATA, Stimuli, load_stimuli, rows_in_order
from aud_dnn.targets.voxel_table import require_plain_columns, voxel_remarks, whole_numbers

if TYPE_CHECKING:
    import pandas as pd

N_REPETITIONS = 3
_LARGEST_RESPONSE = 1e30


@dataclass(frozen=True)
class Target:
    """Responses to be predicted.

    Attributes
    ----------
    name : str
        ``NH2015``, ``B2021``, ``NH2015comp``, or the name of a user's own.
    responses : float64 array of shape (n_sounds, n_voxels, n_repetitions)
        Voxel responses per scan repetition; the components of ``NH2015comp`` have one "repetition".
        Of a target with a time axis every neuroid and time point is a "voxel". NaN for all sounds
        where a voxel lacks a repetition.
    ids : array of shape (n_voxels,)
        Voxel or component ids.
    metadata : DataFrame
        One row per voxel, in the same order (``df_roi_meta``).
    stimuli : Stimuli
    remarks : tuple of Remark
        What is odd about it but no error.
    splits : Splits
        The published ten, if nothing else is given.
    about : dict of str to str
        What was measured, unit, source, licence, as far as a target's file says.
    """

    name: str
    responses: np.ndarray
    ids: np.ndarray
    metadata: pd.DataFrame
    stimuli: Stimuli
    remarks: tuple[Remark, ...] = ()
    splits: Splits = field(default_factory=published_splits)
    about: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_arrays(
        cls, responses: np.ndarray, stimuli: Sequence[str], *, name: str, **described: Any
    ) -> Target:
        """A target of your own from arrays: responses of any brain to any sounds.

        Parameters
        ----------
        responses : array of shape (n_sounds, n_neuroids[, n_repetitions][, n_times])
        stimuli : sequence of str of length n_sounds
            Sound ids.
        name : str
            Names results: letters, digits, ``. + -``.
        **described
            ``neuroids``, ``dims``, ``times``, ``categories``, ``groups``, ``splits``, ``about``:
            see :func:`aud_dnn.targets.arrays.target_from_arrays`, which makes and checks it.

        Raises
        ------
        InputError
            Anything that does not fit; the message names the field and what to do.

        Examples
        --------
        >>> import aud_dnn, numpy as np
        >>> responses = np.random.default_rng(0).standard_normal((40, 12, 2))
        >>> sounds = [f"sound{i}" for i in range(40)]
        >>> target = aud_dnn.Target.from_arrays(responses, sounds, name="electrodes")
        >>> target.splits.kind
        'random halves'
        """
        from aud_dnn.targets.arrays import target_from_arrays

        return target_from_arrays(responses, stimuli, name=name, **described)

    @property
    def n_voxels(self) -> int:
        return self.responses.shape[1]

    @property
    def has_repetitions(self) -> bool:
        return self.responses.shape[2] > 1

    @property
    def facts(self) -> TargetFacts:
        """What results record of it."""
        own = TargetFacts(
            self.name,
            "neuroid",
            noise_corrected=self.has_repetitions,
            has_time="time" in self.metadata,
        )
        return PUBLISHED.get(self.name, own)


def load_target(paths: ProjectPaths, name: str, stimuli: Stimuli | None = None) -> Target:
    """Read the responses and the metadata of one target (pipeline section 3).

    Parameters
    ----------
    paths : ProjectPaths
    name : str
        ``NH2015`` (voxels with three repetitions), ``B2021`` (its first 165 sounds) or
        ``NH2015comp``.
    stimuli : Stimuli, optional
        Read from ``paths`` if not given.

    Raises
    ------
    InputError
        Unknown target; a file missing or damaged; sounds that do not match; NaN or inf; metadata in
        another order.
    """
    if name not in TARGETS:
        raise unknown_name("target", name, TARGETS)
    stimuli = stimuli or load_stimuli(paths)
    folder = paths.neural(name)
    metadata = _read_metadata(folder)
    read = {"NH2015": _read_nh2015, "B2021": _read_b2021, "NH2015comp": _read_components}[name]
    responses, ids = read(folder, stimuli)
    _check_metadata_order(folder, metadata, ids)
    _check_responses(folder, responses, ids)
    remarks = voxel_remarks(metadata, f"df_roi_meta.pkl of {name}") if name in VOXEL_TARGETS else ()
    return Target(name, responses, ids, metadata, stimuli, tuple(remarks))


def _read_metadata(folder: Path) -> pd.DataFrame:
    import pandas as pd

    path = folder / "df_roi_meta.pkl"
    if (
        folder.name == "NH2015comp" and not path.exists()
    ):  # the components' public repository has no such table
        numbers = np.arange(len(COMPONENTS))
        return pd.DataFrame({"comp": list(COMPONENTS), "comp_idx": numbers, "voxel_id": numbers})
    table = load_pickle(require_file(path, GET_DATA), allow="tables")
    if not isinstance(table, pd.DataFrame) or "voxel_id" not in table.columns:
        raise InputError(f"{path} must be a pandas table with a column voxel_id. {GET_DATA}")
    require_plain_columns(table, path)
    table["voxel_id"] = whole_numbers(table["voxel_id"].tolist(), f"{path}: voxel_id")
    return table.reset_index(drop=True)


def _read_repetitions(path: Path, n_sounds: int) -> np.ndarray:
    array = read_npy(require_file(path, GET_DATA))
    if (
        array.ndim != 3
        or array.shape[0] != n_sounds
        or array.shape[2] != N_REPETITIONS
        or array.dtype.kind != "f"
    ):
        raise InputError(
            f"{path} must hold floats of shape ({n_sounds} sounds, voxels, {N_REPETITIONS} "
            f"repetitions); found {array.dtype} {array.shape}. {GET_DATA}"
        )
    return array


def _read_nh2015(folder: Path, stimuli: Stimuli) -> tuple[np.ndarray, np.ndarray]:
    array = _read_repetitions(folder / "voxel_features_array.npy", len(stimuli))
    path = require_file(folder / "voxel_features_meta.npy", GET_DATA)
    meta = read_npy(path)
    if (
        meta.dtype.names is None
        or not {"voxel_id", "n_reps"} <= set(meta.dtype.names)
        or meta.shape != array.shape[1:2]
    ):
        raise InputError(
            f"{path} must be a structured array with the fields voxel_id and n_reps and one record "
            f"for each of the {array.shape[1]} voxels; found {meta.dtype} of shape {meta.shape}. "
            f"{GET_DATA}"
        )
    keep = whole_numbers(meta["n_reps"], f"{path}: n_reps") == N_REPETITIONS
    ids = whole_numbers(meta["voxel_id"], f"{path}: voxel_id")[keep]
    return np.ascontiguousarray(array[:, keep], dtype=np.float64), ids


def _read_b2021(folder: Path, stimuli: Stimuli) -> tuple[np.ndarray, np.ndarray]:
    path = require_file(folder / "stim_info_v4.mat", GET_DATA)
    info = read_mat(path, ("stim_info",))["stim_info"]
    try:
        names = mat_strings(info["stim_names"].ravel()[0], f"{path}: stim_names")
    except InputError:
        raise
    except (ValueError, IndexError, TypeError) as error:
        raise InputError(
            f"{path} must hold the struct stim_info with the field stim_names. {GET_DATA}"
        ) from error
    first = tuple(name.removesuffix(".wav") for name in names[: len(stimuli)])
    if first != stimuli.ids:
        different = [
            f"{i}: {a} / {b}" for i, (a, b) in enumerate(zip_longest(first, stimuli.ids)) if a != b
        ]
        raise InputError(
            f"{path}: the first {len(stimuli)} sounds must be the NH2015 stimuli in the same "
            f"order; different (position: here / NH2015): {few(different)}. {GET_DATA}"
        )
    array = _read_repetitions(folder / "voxel_features_array.npy", len(names))
    path = require_file(folder / "voxel_features_meta.npy", GET_DATA)
    ids = whole_numbers(read_npy(path), f"{path}: voxel ids")
    if ids.shape != array.shape[1:2]:
        raise InputError(
            f"{path} must hold the ids of the {array.shape[1]} voxels as a plain array of "
            f"integers; found {ids.dtype} of shape {ids.shape}. {GET_DATA}"
        )
    return np.ascontiguousarray(array[: len(stimuli)], dtype=np.float64), ids


def _read_components(folder: Path, stimuli: Stimuli) -> tuple[np.ndarray, np.ndarray]:
    path = require_file(folder / "components.mat", GET_DATA)
    content = read_mat(path, ("R", "stim_names", "component_names"))
    names = mat_strings(content["stim_names"], f"{path}: stim_names")
    components = mat_strings(content["component_names"], f"{path}: component_names")
    responses = content["R"]
    if responses.shape != (len(names), len(components)) or responses.dtype.kind != "f":
        raise InputError(
            f"{path}: R must hold floats of shape ({len(names)} sounds, {len(components)} "
            f"components); found {responses.dtype} {responses.shape}. {GET_DATA}"
        )
    if tuple(components) != COMPONENTS:
        raise InputError(
            f"{path}: the components must be {', '.join(COMPONENTS)}; found "
            f"{', '.join(components)}. {GET_DATA}"
        )
    rows = rows_in_order([name.removesuffix(".wav") for name in names], stimuli.ids, str(path))
    return np.ascontiguousarray(responses[rows, :, None], dtype=np.float64), np.arange(
        len(components)
    )


def _check_metadata_order(folder: Path, metadata: pd.DataFrame, ids: np.ndarray) -> None:
    if (
        folder.name == "NH2015comp"
        and "comp" in metadata
        and metadata["comp"].tolist() != list(COMPONENTS)
    ):
        raise InputError(
            f"{folder / 'df_roi_meta.pkl'}: column comp must list {', '.join(COMPONENTS)}, in this "
            f"order; found {few(metadata['comp'].tolist(), 6)}. {GET_DATA}"
        )
    listed = metadata["voxel_id"].to_numpy()
    if listed.shape != ids.shape or not np.array_equal(listed, ids):
        first = next(
            (i for i, (a, b) in enumerate(zip(listed, ids)) if a != b), min(len(listed), len(ids))
        )
        raise InputError(
            f"{folder / 'df_roi_meta.pkl'} must list the {len(ids)} voxels (or components) that "
            f"are analysed in the order of the data; it lists {len(listed)}, and they differ from "
            f"row {first} on. {GET_DATA}"
        )


def _check_responses(folder: Path, responses: np.ndarray, ids: np.ndarray) -> None:
    has_repetitions = responses.shape[2] > 1
    path = folder / ("voxel_features_array.npy" if has_repetitions else "components.mat")
    if not len(ids):
        raise InputError(
            f"{path}: no voxel has {N_REPETITIONS} repetitions (n_reps in "
            f"voxel_features_meta.npy). {GET_DATA}"
        )
    if len(set(ids.tolist())) != len(ids):
        raise InputError(
            f"{folder / 'voxel_features_meta.npy'}: voxel ids must be unique; {len(ids)} voxels "
            f"have {len(set(ids.tolist()))} ids. {GET_DATA}"
        )
    finite = np.isfinite(responses).all(axis=(0, 2))
    if not finite.all():
        what = (
            "voxel(s) hold NaN or inf, voxel_id"
            if has_repetitions
            else "component(s) hold NaN or inf, number"
        )
        raise InputError(
            f"{path}: {np.count_nonzero(~finite)} {what} {few(ids[~finite].tolist())}. "
            f"Remove them from arrays and metadata, or get the data again. {GET_DATA}"
        )
    huge = (np.abs(responses) > _LARGEST_RESPONSE).any(axis=(0, 2))
    if huge.any():
        what = "voxel(s) respond, voxel_id" if has_repetitions else "component(s) respond, number"
        raise InputError(
            f"{path}: {np.count_nonzero(huge)} {what} {few(ids[huge].tolist())}, with more than "
            f"{_LARGEST_RESPONSE:.0e}; predictions are stored as 32-bit numbers, which end soon "
            "after. Divide their responses by a constant (scores do not depend on it), or get the "
            f"data again. {GET_DATA}"
        )

"""Every participant predicts every other: read, check, score, write."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aud_dnn import NUMERICS_VERSION
from aud_dnn.errors import InputError
from aud_dnn.io.digests import array_digest, combined_digest
from aud_dnn.io.progress import progress_bar
from aud_dnn.methods.brains import BrainScores, brain_scores
from aud_dnn.paths import ProjectPaths
from aud_dnn.store.brains import brains_folder, read_brains, write_brains
from aud_dnn.utils import Target

_SCHEME = "brain to brain 1"


@dataclass(frozen=True)
class Brains:
    """What other brains predict of one target.

    Attributes
    ----------
    target : Target
    owner : array of shape (n_voxels,)
        The participant of each voxel.
    scores : BrainScores
    path : Path
    computed : bool
        False if it was there already.
    """

    target: Target
    owner: np.ndarray
    scores: BrainScores
    path: Path
    computed: bool


def run_brains(
    paths: ProjectPaths, target: Target, *, overwrite: bool = False, progress: bool = True
) -> Brains:
    """Score all pairs of participants of a target, or read what is there and current.

    Raises
    ------
    InputError
        The target has no participants, or one.
    """
    stored = None if overwrite else stored_brains(paths, target)
    if stored is not None:
        return stored
    owner = _participants(target)
    with progress_bar(2 * len(np.unique(owner)), "brain", wanted=progress) as bar:
        found = brain_scores(target.responses, owner, target.splits, progress=bar.update)
    path = _path(paths, target)
    write_brains(path, found, target.ids, _made_from(target, owner))
    return Brains(target, owner, found, path, True)


def stored_brains(paths: ProjectPaths, target: Target) -> Brains | None:
    """What :func:`run_brains` would read; None where it would compute.

    Raises
    ------
    InputError
        As :func:`run_brains`, or the file is damaged.
    """
    owner, path = _participants(target), _path(paths, target)
    found = read_brains(path, owner, _made_from(target, owner))
    return None if found is None else Brains(target, owner, found, path, False)


def _path(paths: ProjectPaths, target: Target) -> Path:
    return brains_folder(paths) / f"{target.name}.nc"


def _participants(target: Target) -> np.ndarray:
    column = target.metadata.get("subj_idx")
    if column is None or column.isna().any():
        raise InputError(
            f"{target.name} does not say which participant a row belongs to, so no brain can "
            "predict another. Components have none; a target of your own needs the column "
            "participant."
        )
    owner = column.to_numpy()
    if len(np.unique(owner)) < 2:
        raise InputError(f"{target.name} has one participant; brain to brain needs two.")
    return owner


def _made_from(target: Target, owner: np.ndarray) -> str:
    return combined_digest(
        [
            _SCHEME,
            str(NUMERICS_VERSION),
            array_digest(target.responses),
            array_digest(target.splits.train),
            array_digest(target.splits.test),
            *map(str, owner),
        ]
    )

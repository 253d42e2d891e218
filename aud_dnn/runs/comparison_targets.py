"""A target as comparisons need it: whose voxels, which regions, which sounds in which order."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from aud_dnn.errors import InputError, few
from aud_dnn.methods.comparing.sides import participant_labels
from aud_dnn.methods.repetitions import mean_response
from aud_dnn.methods.rsa import category_order
from aud_dnn.splits import Splits
from aud_dnn.store.comparisons import ALL_VOXELS
from aud_dnn.targets.categories import SOUND_CATEGORIES
from aud_dnn.targets.facts import ROIS, VOXEL_TARGETS
from aud_dnn.targets.loading import Target
from aud_dnn.targets.stimuli import Stimuli

PARTICIPANT, REGION = "subj_idx", "roi_label_general"
"""Columns of the metadata."""

EVERYBODY = "all"
"""The participant of a target that does not say whose its voxels are."""

_REGION_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 .+()-]{0,60}")


@dataclass(frozen=True)
class ComparisonTarget:
    """What layers are compared with.

    Attributes
    ----------
    name : str
    responses : array of shape (n_sounds, n_voxels)
        Mean over repetitions; sounds in the order of ``order``. Neuroids at time points count as
        voxels: what is compared is the pattern over both.
    participant : array of shape (n_voxels,)
    labels : tuple of str
        Names of the participants, in the order of ``numpy.unique(participant)``.
    regions : mapping from region to bool array of shape (n_voxels,)
        :data:`aud_dnn.store.comparisons.ALL_VOXELS` first.
    splits : Splits
        Over the sounds in the order of ``order``.
    stimuli : Stimuli
    order : int array of shape (n_sounds,)
        From the order of ``stimuli`` to that of the splits. The published analysis groups the
        sounds by category before it applies the splits.
    categories : tuple of str
        In the order of ``stimuli``; empty texts where they are not known.
    made_from : mapping
        Digests of what it was made from.
    """

    name: str
    responses: np.ndarray
    participant: np.ndarray
    labels: tuple[str, ...]
    regions: Mapping[str, np.ndarray]
    splits: Splits
    stimuli: Stimuli
    order: np.ndarray
    categories: tuple[str, ...]
    made_from: Mapping[str, str]


def comparison_target(
    target: Target, made_from: Mapping[str, str], published: Stimuli | None = None
) -> ComparisonTarget:
    """A target, published or a user's own, as comparisons need it.

    Parameters
    ----------
    target : Target
    made_from : mapping
        Digests of what it was made from.
    published : Stimuli, optional
        The published sounds of this installation, for their categories.

    Raises
    ------
    InputError
        Its categories are not known; a region cannot name a file; no participant has two voxels; a
        half of a split has fewer than four sounds.
    """
    fewest = int(min(target.splits.train.sum(axis=1).min(), target.splits.test.sum(axis=1).min()))
    if fewest < 4:
        raise InputError(
            f"{target.name}: comparisons of sounds need four sounds at least in each half of a "
            f"split; one half has {fewest}. Give other splits, or more sounds."
        )
    categories = _categories(target, published)
    grouped = target.splits.kind == "published"
    order = (
        category_order(categories, list(SOUND_CATEGORIES))
        if grouped
        else np.arange(len(target.stimuli))
    )
    owner = target.metadata.get(PARTICIPANT)
    participant = np.zeros(target.n_voxels) if owner is None else owner.to_numpy()
    participants, counts = np.unique(participant, return_counts=True)
    if counts.max() < 2:
        raise InputError(
            f"{target.name}: no participant has two voxels, so there is nothing to correlate."
        )
    return ComparisonTarget(
        target.name,
        mean_response(target.responses)[order],
        participant,
        tuple(participant_labels(participants)) if owner is not None else (EVERYBODY,),
        {roi: region_mask(target, roi) for roi in regions_of(target)},
        target.splits,
        target.stimuli,
        order,
        categories,
        made_from,
    )


def _categories(target: Target, published: Stimuli | None) -> tuple[str, ...]:
    """Of every sound; those of the paper where it must be."""
    categories = tuple(target.stimuli.categories)
    if target.splits.kind != "published" or set(categories) <= set(SOUND_CATEGORIES):
        return categories
    if published is None or published.ids != target.stimuli.ids:
        unknown = sorted(set(filter(None, categories)) - set(SOUND_CATEGORIES))
        raise InputError(
            f"{target.name}: the published splits are of sounds grouped by category, so every "
            "sound needs one of the published categories"
            + (f" (unknown: {few(unknown)})" if unknown else "")
            + f". Give the target categories ({', '.join(SOUND_CATEGORIES)}), or a root with "
            "data/."
        )
    return tuple(published.categories)


def regions_of(target: Target) -> tuple[str, ...]:
    """All voxels, then every region: those of the paper, or those that a user's own target names.

    Raises
    ------
    InputError
        The name of a region cannot be that of a file.
    """
    if target.name in VOXEL_TARGETS:
        return (ALL_VOXELS, *ROIS)
    column = target.metadata.get(REGION)
    names = [] if column is None else sorted({str(name) for name in column.dropna()} - {""})
    for name in names:
        if not _REGION_NAME.fullmatch(name) or name.casefold() == ALL_VOXELS.casefold():
            raise InputError(
                f"{target.name}: the region {name!r} cannot name a result: use letters, digits, "
                f"blanks and . + ( ) -, at most 61 characters, and not {ALL_VOXELS!r}, which "
                "stands for all voxels."
            )
    return (ALL_VOXELS, *names)


def region_mask(target: Target, roi: str) -> np.ndarray:
    """The voxels of a region, bool array of shape (n_voxels,)."""
    if roi == ALL_VOXELS:
        return np.ones(target.n_voxels, dtype=bool)
    return (target.metadata[REGION] == roi).to_numpy(dtype=bool)


def in_order(names: Sequence[str], order: np.ndarray) -> np.ndarray:
    """Names of the sounds in the order of the splits."""
    return np.array(names)[order]

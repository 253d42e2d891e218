"""Train/test splits of the sounds.

The published ten, random halves of any other sounds, or splits somebody gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aud_dnn.errors import InputError, few

N_SOUNDS = 165
N_SPLITS = 10
N_TRAIN = 83
N_TEST = 82
SPLIT_SEED = 0


@dataclass(frozen=True)
class Splits:
    """Train and test masks over the sounds, shared by all voxels, layers and models.

    Attributes
    ----------
    train, test : bool array of shape (n_splits, n_sounds)
        A sound is in at most one of the two halves of a split; in exactly one, unless the splits
        were given.
    seed : int or None
        Seed of the generator that drew them; None where they were given.
    kind : str
        How they were made: ``"published"``, ``"random halves"``, ``"random halves, stratified by
        category"``, ``"random halves of groups"`` or ``"given"``.
    """

    train: np.ndarray
    test: np.ndarray
    seed: int | None
    kind: str = "published"

    def __len__(self) -> int:
        return len(self.train)


def published_splits(
    n_sounds: int = N_SOUNDS,
    n_train: int = N_TRAIN,
    n_splits: int = N_SPLITS,
    seed: int = SPLIT_SEED,
) -> Splits:
    """Draw the splits exactly as the published analysis did.

    The legacy generator (``numpy.random.RandomState``) draws ``n_train`` of the sounds without
    replacement for training, then draws *all* of the others for testing. The second draw changes
    nothing but the state of the generator, so it must be made: ``train = rs.permutation(165)[:83];
    rs.permutation(82)``, ten times.

    Parameters
    ----------
    n_sounds, n_train, n_splits : int
        165, 83 and 10 in the paper.
    seed : int
        0 in the paper.

    Returns
    -------
    Splits
    """
    rng = np.random.RandomState(seed)
    train = np.zeros((n_splits, n_sounds), dtype=bool)
    for mask in train:
        mask[rng.permutation(n_sounds)[:n_train]] = True
        rng.permutation(n_sounds - n_train)
    return Splits(train=train, test=~train, seed=seed)


def random_splits(
    n_sounds: int,
    *,
    categories: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
    n_splits: int = N_SPLITS,
    seed: int = SPLIT_SEED,
) -> Splits:
    """Random halves of sounds other than the published ones.

    With an odd number the larger half trains.

    Parameters
    ----------
    n_sounds : int
    categories : sequence of str of length n_sounds, optional
        Each category is halved by itself (an odd sound goes to the half that has fewer so far), so
        that both halves hold the same mixture.
    groups : sequence of str of length n_sounds, optional
        Sounds of one group are never on both sides (for example excerpts of one recording). Groups,
        in random order, go to the half that has fewer sounds. Takes the place of ``categories``.
    n_splits, seed : int
        Ten splits from seed 0; the generator is ``numpy.random.default_rng``.

    Raises
    ------
    InputError
        Fewer than two sounds in a category; fewer than two groups; fewer than two sounds.
    """
    rng = np.random.default_rng(seed)
    if n_sounds < 2:
        raise InputError(f"{n_sounds} sound(s) cannot be split into two halves.")
    train = np.zeros((n_splits, n_sounds), dtype=bool)
    if groups is not None:
        labels, owner = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
        if len(labels) < 2:
            raise InputError(
                "All sounds are of one group, so no split can keep groups apart. Leave the groups "
                "out."
            )
        size = np.bincount(owner)
        for mask in train:
            in_train, n_train, n_test = [], 0, 0
            for group in rng.permutation(len(labels)):
                if n_train <= n_test:
                    in_train.append(group)
                    n_train += size[group]
                else:
                    n_test += size[group]
            mask[np.isin(owner, in_train)] = True
        if min(train.sum(axis=1).min(), (~train).sum(axis=1).min()) < 2:
            raise InputError(
                "Halves of whole groups would leave a single sound on one side. Leave the groups "
                "out."
            )
        return Splits(train, ~train, seed, "random halves of groups")
    strata = [np.arange(n_sounds)]
    if categories is not None:
        labels, owner = np.unique(np.asarray(categories, dtype=str), return_inverse=True)
        strata = [np.flatnonzero(owner == label) for label in range(len(labels))]
        lonely = [str(labels[i]) for i, members in enumerate(strata) if len(members) < 2]
        if lonely:
            raise InputError(
                f"{len(lonely)} categories have a single sound and cannot be on both sides of a "
                f"split: {few(lonely)}. Merge categories, or leave them out."
            )
    for mask in train:
        surplus = 0  # sounds that the training half has more than the test half
        for members in strata:
            n_train = (len(members) + (surplus <= 0)) // 2
            surplus += 2 * n_train - len(members)
            mask[rng.permutation(members)[:n_train]] = True
    return Splits(
        train,
        ~train,
        seed,
        "random halves" + (", stratified by category" if categories is not None else ""),
    )


def given_splits(train: np.ndarray, test: np.ndarray | None = None) -> Splits:
    """Splits that somebody chose.

    Parameters
    ----------
    train : bool (or 0/1) array of shape (n_splits, n_sounds)
    test : array of the same shape, optional
        All sounds that do not train, if not given.

    Raises
    ------
    InputError
        Other shapes or values; a half with fewer than two sounds; a sound on both sides.
    """
    train, test = _mask(train, "train"), None if test is None else _mask(test, "test")
    test = ~train if test is None else test
    if test.shape != train.shape:
        raise InputError(
            f"train has the shape {train.shape}, test {test.shape}; both must be (splits, sounds)."
        )
    overlapping = np.flatnonzero((train & test).any(axis=1))
    if overlapping.size:
        raise InputError(
            f"Splits {few(overlapping.tolist())} have sounds that train and test, for example "
            f"sound {int(np.flatnonzero(train[overlapping[0]] & test[overlapping[0]])[0])}."
        )
    for name, half in (("train", train), ("test", test)):
        small = np.flatnonzero(half.sum(axis=1) < 2)
        if small.size:
            raise InputError(f"Splits {few(small.tolist())} have fewer than two {name} sounds.")
    return Splits(train, test, None, "given")


def _mask(values: np.ndarray, name: str) -> np.ndarray:
    values = np.asarray(values)
    if (
        values.ndim != 2
        or not len(values)
        or values.dtype.kind not in "biuf"
        or not np.isin(values, (0, 1)).all()
    ):
        raise InputError(
            f"{name} must be a mask of 0 and 1 of shape (splits, sounds); found {values.dtype} of "
            f"shape {values.shape}."
        )
    return values.astype(bool)

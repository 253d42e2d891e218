"""The published train/test splits of the 165 sounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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
        A sound is in exactly one of the two halves of a split.
    seed : int
        Seed of the legacy NumPy generator that drew them.
    """

    train: np.ndarray
    test: np.ndarray
    seed: int

    def __len__(self) -> int:
        return len(self.train)


def published_splits(n_sounds: int = N_SOUNDS, n_train: int = N_TRAIN, n_splits: int = N_SPLITS,
                     seed: int = SPLIT_SEED) -> Splits:
    """Draw the splits exactly as the published analysis did.

    The legacy generator (``numpy.random.RandomState``) draws ``n_train`` of the sounds without replacement for training,
    then draws *all* of the others for testing. The second draw changes nothing but the state of the generator, so it must
    be made: ``train = rs.permutation(165)[:83]; rs.permutation(82)``, ten times.

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

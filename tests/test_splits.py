"""The published splits."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from aud_dnn.splits import published_splits


def test_halves_partition_the_sounds() -> None:
    splits = published_splits()
    assert splits.train.shape == splits.test.shape == (10, 165)
    assert (splits.train.sum(axis=1) == 83).all()
    assert (splits.test == ~splits.train).all()


def test_first_split_and_coverage_are_the_published_ones() -> None:
    splits = published_splits()
    assert np.flatnonzero(splits.train[0])[:15].tolist() == [
        2,
        5,
        7,
        8,
        10,
        16,
        18,
        19,
        22,
        24,
        26,
        27,
        30,
        33,
        37,
    ]
    times_tested = np.bincount(splits.test.sum(axis=0))
    assert times_tested.tolist() == [0, 1, 7, 25, 25, 43, 39, 20, 4, 1]


def test_drawing_leaves_the_global_generator_alone() -> None:
    np.random.seed(3)
    before = np.random.get_state()[1].copy()
    published_splits()
    assert (np.random.get_state()[1] == before).all()


def test_masks_equal_the_reference(golden_expected: Path) -> None:
    reference = np.load(golden_expected / "splits.npz")
    splits = published_splits()
    assert (reference["is_train"] == splits.train).all()
    assert (reference["is_test"] == splits.test).all()

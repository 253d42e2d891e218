"""One layer against all voxels of a target.

Predictions, scores, noise correction (Tuckute et al. 2023, Methods).

The same ten splits, the same decomposition of the layer per split, for every voxel, repetition and
alpha.

**What does not vary.** Responses to one half of a split do not vary if they are all equal, whatever
their level, or if they differ by no more than rounding: by n·eps of the voxel's largest response.
Taking a mean out of equal numbers leaves equal numbers, so this does not depend on what was
subtracted before. Such responses are fitted by nothing (training half) and predicted by nothing
(test half): r is NaN, every score 0, the standard deviation exactly 0.

**Missing repetitions.** Voxels that have the same repetitions are scored together, with those only:
means are over them, and the noise correction is that of their number.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from aud_dnn.methods.repetitions import measured_repetitions
from aud_dnn.methods.ridge.leave_one_out import (
    Design,
    SplitRidge,
    decompose,
)
from aud_dnn.methods.ridge.scores import LayerScores, TestPredictions
from aud_dnn.methods.ridge.split_scores import score_block
from aud_dnn.methods.threads import available_cores, one_blas_thread
from aud_dnn.splits import Splits

VOXELS_PER_BLOCK = 512  # their responses and residuals stay in a core's cache


@contextmanager
def busy_threads() -> Iterator[None]:
    """One BLAS thread per worker.

    Workers hand over at once (the default of 5 ms is as long as a whole step here).
    """
    interval = sys.getswitchinterval()
    sys.setswitchinterval(2e-4)
    try:
        with one_blas_thread():
            yield
    finally:
        sys.setswitchinterval(interval)


def decompose_splits(
    design: Design, splits: Splits, alphas: np.ndarray, n_threads: int | None = None
) -> list[SplitRidge]:
    """Decompose a layer for every split; serves all targets.

    Parameters
    ----------
    design : Design
        From :func:`aud_dnn.methods.ridge.leave_one_out.reduce_features`.
    splits : Splits
    alphas : array of shape (n_alphas,)
    n_threads : int, optional
        All available cores if not given.
    """
    with busy_threads(), ThreadPoolExecutor(n_threads or available_cores()) as threads:
        return list(
            threads.map(
                lambda halves: decompose(design, *halves, alphas), zip(splits.train, splits.test)
            )
        )


def score_responses(
    decomposed: Sequence[SplitRidge],
    responses: np.ndarray,
    splits: Splits,
    *,
    keep_predictions: bool = True,
    cells: np.ndarray | None = None,
    n_threads: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> tuple[LayerScores, TestPredictions | None]:
    """Predict and score all voxels.

    Parameters
    ----------
    decomposed : sequence of SplitRidge
        From :func:`decompose_splits`.
    responses : array of shape (n_sounds, n_voxels, n_repetitions)
        With one repetition (components) there is no noise correction. A repetition that a voxel
        lacks is NaN for all sounds.
    splits : Splits
        Halves may differ in size; sounds in neither are left out.
    keep_predictions : bool
        Also return the predictions for the test sounds.
    cells : bool array of shape (n_voxels, n_splits), optional
        Only these; the others are left 0 (predictions NaN). All if not given.
    n_threads : int, optional
        All available cores if not given. The results do not depend on it.
    progress : callable, optional
        Called with the number of voxels of each block that is done.

    Returns
    -------
    LayerScores, TestPredictions or None
    """
    n_sounds, n_voxels, _ = responses.shape
    every = range(len(splits))
    if cells is None:
        work = [(block, every) for block in _blocks(responses)]
    else:
        work = [
            (block, range(split, split + 1))
            for split in every
            for block in _blocks(responses, np.flatnonzero(cells[:, split]))
        ]
    if n_sounds != splits.train.shape[1]:
        raise ValueError(f"responses have {n_sounds} sounds, the splits {splits.train.shape[1]}")
    scores = LayerScores.empty(n_voxels, len(splits))
    predictions = None
    if keep_predictions:
        n_test = int(splits.test.sum(axis=1).max())
        predictions = TestPredictions(
            np.full((len(splits), n_test, n_voxels), np.nan, dtype=np.float32),
            np.empty((len(splits), n_voxels)),
        )

    def run(job: tuple[_Block, range]) -> int:
        block, on = job
        measured = responses[:, block.voxels][:, :, block.repetitions]
        score_block(decomposed, measured, splits, block.voxels, scores, predictions, on)
        if (
            measured.shape[2] == 1 < responses.shape[2]
        ):  # zeros would count as scores beside those of the others
            scores.r2_test_c[block.voxels] = np.nan
        return measured.shape[1]

    with busy_threads(), ThreadPoolExecutor(n_threads or available_cores()) as threads:
        try:
            for done in threads.map(run, work):
                if progress is not None:
                    progress(done)
        except BaseException:
            threads.shutdown(cancel_futures=True)
            raise
    return scores, predictions


@dataclass(frozen=True)
class _Block:
    """Voxels that are scored together, and the repetitions that they have."""

    voxels: slice | np.ndarray
    repetitions: slice | np.ndarray


def _blocks(responses: np.ndarray, members: np.ndarray | None = None) -> list[_Block]:
    """All voxels, or some of them, in blocks that have the same repetitions."""
    n_voxels = responses.shape[1]
    there = measured_repetitions(responses)
    if there.all():
        if members is None:
            starts = range(0, n_voxels, VOXELS_PER_BLOCK)
            return [
                _Block(slice(start, min(start + VOXELS_PER_BLOCK, n_voxels)), slice(None))
                for start in starts
            ]
        return [
            _Block(members[start : start + VOXELS_PER_BLOCK], slice(None))
            for start in range(0, len(members), VOXELS_PER_BLOCK)
        ]
    chosen = np.arange(n_voxels) if members is None else members
    patterns, pattern_of = np.unique(there[chosen], axis=0, return_inverse=True)
    blocks = []
    for number, pattern in enumerate(patterns):
        if not pattern.any():
            raise ValueError("a voxel has no response at all")
        alike = chosen[pattern_of.ravel() == number]
        blocks += [
            _Block(alike[start : start + VOXELS_PER_BLOCK], np.flatnonzero(pattern))
            for start in range(0, len(alike), VOXELS_PER_BLOCK)
        ]
    return blocks

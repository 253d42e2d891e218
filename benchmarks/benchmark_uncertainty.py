"""1,000 resamples of the sounds, 13 models, 20 participants, and all differences over both factors.

    python benchmarks/benchmark_uncertainty.py [--voxels 26792] [--models 13] [--measured 2]

Random responses and predictions of B2021's size. Scores of ``--measured`` models are resampled and
the time is scaled up to all of them; the differences are those of all.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np

from aud_dnn.methods.resampled_sounds import (
    resampled_scores,
    sound_weights,
    unit_resample,
)
from aud_dnn.methods.uncertainty import (
    estimate,
    rank_intervals,
)
from aud_dnn.splits import published_splits

SPLITS = published_splits()
N_PARTICIPANTS, N_RESAMPLES = 20, 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--voxels", type=int, default=26_792)
    parser.add_argument("--models", type=int, default=13)
    parser.add_argument("--measured", type=int, default=2)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    owner = np.arange(arguments.voxels) % N_PARTICIPANTS
    measured = rng.standard_normal((165, arguments.voxels))
    weights = np.vstack([unit_resample(165), sound_weights(165, N_RESAMPLES)])
    seconds = processor = 0.0
    scores = []
    for _ in range(arguments.measured):
        predicted = np.repeat(
            (measured + 1.5 * rng.standard_normal(measured.shape))[:, None], len(SPLITS), axis=1
        )
        predicted[SPLITS.train.T] = np.nan
        began, busy = time.perf_counter(), time.process_time()
        scores.append(resampled_scores(measured, predicted, SPLITS, owner, weights))
        seconds += time.perf_counter() - began
        processor += time.process_time() - busy
    each, processor = seconds / arguments.measured, processor / arguments.measured
    every = np.stack([scores[i % len(scores)] for i in range(arguments.models)], axis=-1)
    every = every + 1e-3 * rng.standard_normal(every.shape)
    began = time.perf_counter()
    ranks = rank_intervals(every[0], every[1:], over="both")
    for model in range(arguments.models):
        estimate(every[0, :, model], every[1:, :, model], over="both")
    pairs = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(f"{arguments.voxels} voxels, {N_PARTICIPANTS} participants, {N_RESAMPLES} resamples")
    whole = each * arguments.models
    print(
        f"  scores of one model: {each:.1f} s ({processor:.1f} s of processor time); "
        f"of {arguments.models}: {whole:.0f} s ({arguments.models * processor:.0f} s)"
    )
    print(f"  all differences over both: {pairs:.1f} s (rank {ranks.low[0]}-{ranks.high[0]})")
    print(f"  {peak:.0f} MB at most in the process, predictions included")


if __name__ == "__main__":
    main()

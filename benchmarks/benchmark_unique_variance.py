"""Banded ridge regression of two feature spaces at full size, beside himalaya's.

    python benchmarks/benchmark_unique_variance.py [--voxels 7694] [--compared 2000]

Random features (8,192 + 111 units) and responses that follow both, three repetitions, ten splits.
himalaya's multiple-kernel ridge gets the same kernels, mixtures and leave-one-out folds, and 16 of
the 100 alphas; it fits the mean response alone, of some voxels on one split, and is scaled up. For
the comparison of values both have 16 alphas.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np

from aud_dnn.methods.ridge.banded import mixtures, score_spaces, space_factor
from aud_dnn.methods.ridge.leave_one_out import alpha_grid
from aud_dnn.splits import Splits, published_splits

SPLITS = published_splits()
_LIMIT = 8  # 16 alphas for himalaya, whose eigenvalues below rounding are not those of 1e-50


def made(n_voxels: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Two spaces that share directions, and voxels that follow both to different degrees."""
    rng = np.random.default_rng(0)
    common = rng.standard_normal((165, 20))
    spaces = [
        np.hstack([common, rng.standard_normal((165, 40))]) @ rng.standard_normal((60, n_units))
        for n_units in (8192, 111)
    ]
    signal = 0.0
    for space in spaces:
        factor = space_factor(space)
        part = factor @ rng.standard_normal((factor.shape[1], n_voxels))
        signal = signal + rng.random(n_voxels) * part / part.std(axis=0)
    noise = rng.standard_normal((165, n_voxels, 3))
    return spaces, signal[:, :, None] + 1.2 * noise


def himalaya_r2(spaces: list[np.ndarray], measured: np.ndarray, splits: Splits) -> np.ndarray:
    """Test r² of the first split by himalaya, shape (n_voxels,)."""
    from himalaya.kernel_ridge import solve_multiple_kernel_ridge_random_search
    from himalaya.scoring import l2_neg_loss
    from sklearn.model_selection import KFold

    train, test = splits.train[0], splits.test[0]
    factors = [space_factor(space) for space in spaces]
    factors = [factor - factor[train].mean(axis=0) for factor in factors]
    kernels = np.stack([factor @ factor.T for factor in factors])
    deltas, weights, _, _ = solve_multiple_kernel_ridge_random_search(
        kernels[:, train][:, :, train],
        measured[train],
        n_iter=mixtures(2),
        alphas=alpha_grid(_LIMIT)[::-1].copy(),
        score_func=l2_neg_loss,
        cv=KFold(int(train.sum())),  # leaves one out
        return_weights="dual",
        n_targets_batch=512,
        n_alphas_batch=10,
        fit_intercept=True,  # in every fold; centred before, a sound is minus the sum of the others
        jitter_alphas=False,
        progress_bar=False,
    )
    across = kernels[:, test][:, :, train]
    predicted = np.einsum("kv,kit,tv->iv", np.exp(deltas), across, weights)
    r = [np.corrcoef(a, b)[0, 1] for a, b in zip(predicted.T, measured[test].T)]
    return np.maximum(np.nan_to_num(r), 0) ** 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--voxels", type=int, default=7694)
    parser.add_argument("--compared", type=int, default=2000, help="voxels that himalaya fits")
    arguments = parser.parse_args()
    spaces, responses = made(arguments.voxels)
    began = time.perf_counter()
    score_spaces(spaces, responses, SPLITS)
    ours = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(f"{arguments.voxels} voxels x 3 repetitions x 10 splits, {len(mixtures(2))} mixtures")
    print(f"  this project: {ours:.1f} s, all scores; {peak:.0f} MB at most in the process")
    few = responses[:, : arguments.compared].mean(axis=2)
    began = time.perf_counter()
    theirs = himalaya_r2(spaces, few, SPLITS)
    seconds = (time.perf_counter() - began) * arguments.voxels / arguments.compared * len(SPLITS)
    one = Splits(SPLITS.train[:1], SPLITS.test[:1], SPLITS.seed)
    same = score_spaces(spaces, few[:, :, None], one, alphalimit=_LIMIT)[0, 1]
    difference = np.abs(theirs - same.r2_test[:, 0])
    print(f"  himalaya, leave-one-out: {seconds:.0f} s, scaled up; {seconds / ours:.0f} times ours")
    print(
        f"  r2 of the test sounds differs by {np.median(difference):.1e} (median), "
        f"{np.quantile(difference, 0.95):.1e} (95 %), {difference.max():.1e} (most)"
    )


if __name__ == "__main__":
    main()

"""How often two models of equal truth are told apart at 5 %, over participants, sounds and both.

    python benchmarks/simulated_uncertainty.py [--participants 8] [--simulations 500] [--fits]

Signal, noise and the errors of predictions have the variance 1 (``--noise`` is the standard
deviation of the noise). Predictions are given, with half of the variance of their errors shared by
all participants, and the quality of a model differs between participants by ``--effect``; or, with
``--fits``, two feature spaces that see the same signal with noise of their own are fitted by ridge
regression, to new sounds in every simulation, so that training sounds vary, too.
"""

from __future__ import annotations

import argparse

import numpy as np

from aud_dnn.methods.resampled_sounds import resampled_scores, sound_weights, unit_resample
from aud_dnn.methods.uncertainty import OVER, estimate
from aud_dnn.splits import Splits, published_splits

N_VOXELS, N_LATENT, N_UNITS = 6, 30, 100


def given(
    rng: np.random.Generator, owner: np.ndarray, splits: Splits, effect: float, noise: float
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Measured responses, and predictions of two models that are not fitted."""
    n = owner.max() + 1
    signal = rng.standard_normal((165, 1)) + rng.standard_normal((165, n))[:, owner]
    signal /= np.sqrt(2)
    measured = signal + noise * rng.standard_normal(signal.shape)
    models = []
    for _ in range(2):
        quality = (1 + effect * rng.standard_normal(n))[owner]
        errors = rng.standard_normal((165, 1)) + rng.standard_normal((165, n))[:, owner]
        full = np.repeat((quality * signal + errors / np.sqrt(2))[:, None], len(splits), axis=1)
        full[splits.train.T] = np.nan
        models.append(full)
    return measured, models


def fitted(
    rng: np.random.Generator, owner: np.ndarray, splits: Splits, effect: float, noise: float
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Measured responses, and predictions by ridge regression on two feature spaces."""
    n = owner.max() + 1
    latent = rng.standard_normal((165, N_LATENT))
    readout = rng.standard_normal((N_LATENT, 1)) + rng.standard_normal((N_LATENT, n))[:, owner]
    signal = latent @ (readout + rng.standard_normal((N_LATENT, len(owner))))
    signal /= signal.std(axis=0)
    measured = signal + noise * rng.standard_normal(signal.shape)
    models = []
    for _ in range(2):
        features = latent + rng.standard_normal(latent.shape)
        features = features @ rng.standard_normal((N_LATENT, N_UNITS))
        full = np.full((165, len(splits), len(owner)), np.nan)
        for s, (train, test) in enumerate(zip(splits.train, splits.test)):
            x, y = features - features[train].mean(axis=0), measured[train]
            kernel = x[train] @ x[train].T
            kernel += np.trace(kernel) / (train.sum() - 1) * np.eye(train.sum())
            full[test, s] = x[test] @ x[train].T @ np.linalg.solve(kernel, y - y.mean(axis=0))
        models.append(full)
    return measured, models


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--participants", type=int, default=8)
    parser.add_argument("--simulations", type=int, default=500)
    parser.add_argument("--resamples", type=int, default=200)
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--effect", type=float, default=0.0)
    parser.add_argument("--noise", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fits", action="store_true")
    asked = parser.parse_args()
    splits = published_splits(n_splits=asked.splits)
    owner = np.repeat(np.arange(asked.participants), N_VOXELS)
    weights = np.vstack([unit_resample(165), sound_weights(165, asked.resamples)])
    rejected: dict[str, list[bool]] = {over: [] for over in OVER}
    values, variances, scores = [], [], []
    for number in range(asked.simulations):
        rng = np.random.default_rng([asked.seed, number])
        made = fitted if asked.fits else given
        measured, models = made(rng, owner, splits, asked.effect, asked.noise)
        a, b = (
            resampled_scores(measured, one, splits, owner, weights, n_threads=1) for one in models
        )
        for over in OVER:
            found = estimate((a - b)[0], (a - b)[1:], over=over)
            rejected[over].append(found.p < 0.05)
        values.append(found.value)
        variances.append(found.variance)  # over both, which comes last
        scores.append(a[0].mean())
    print(f"{asked.participants} participants, R2 {np.mean(scores):.2f}, {asked.simulations} times")
    for over, all_of_them in rejected.items():
        share = np.mean(all_of_them)
        error = np.sqrt(share * (1 - share) / asked.simulations)
        print(f"  over {over}: told apart in {100 * share:.1f} ± {100 * error:.1f} %")
    print(f"  variance over both / true variance: {np.mean(variances) / np.var(values):.2f}")


if __name__ == "__main__":
    main()

"""RSA of one model at full size: this project against the published way of doing it, and against
the floor, in one run.

    python benchmarks/benchmark_rsa.py [--units 4096] [--layers 9] [--threads 1] [--skip_published]

Random arrays of the published shapes (NH2015: 7,694 voxels of 8 participants, B2021: 26,792 of 20).
The published way makes the neural RDMs anew for every model and calls ``scipy.stats.spearmanr`` for
every participant, layer and split. The floor is the matrix products that no implementation can
avoid (products of the standardised sounds of every half, done once, with the same linear-algebra
library and number of threads). Both results are compared before anything is reported.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable

import numpy as np
import scipy
from scipy import stats
from threadpoolctl import threadpool_limits

from aud_dnn.methods.comparing.sides import Vectors, model_side, neural_side, score_model
from aud_dnn.methods.dimensionality import raw_and_centered_dimensionality
from aud_dnn.methods.rsa import METHOD as RSA
from aud_dnn.splits import N_SOUNDS, published_splits
from aud_dnn.store.comparisons import ROI_CHOICES
from aud_dnn.targets.facts import ROIS

SHAPES = {"NH2015": (7694, 8), "B2021": (26792, 20)}


def best_of(function: Callable, repeats: int = 3) -> tuple[float, object]:
    """Shortest of a few runs, in seconds, and the result."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = function()
        times.append(time.perf_counter() - start)
    return min(times), result


def made_up_data(units: int, layers: int, rng: np.random.Generator):
    common = rng.standard_normal((N_SOUNDS, 20))
    targets = {}
    for name, (n_voxels, n_participants) in SHAPES.items():
        responses = common @ rng.standard_normal((20, n_voxels)) + 4 * rng.standard_normal(
            (N_SOUNDS, n_voxels)
        )
        # a third of the voxels lie in one of the four regions, as in the published data
        region = np.where(rng.random(n_voxels) < 1 / 3, rng.choice(ROIS, n_voxels), "")
        targets[name] = responses, rng.integers(0, n_participants, n_voxels), region
    model = [
        (
            f"layer_{index}",
            np.maximum(
                common @ rng.standard_normal((20, units))
                + 4 * rng.standard_normal((N_SOUNDS, units)),
                0,
            ).astype(np.float32),
        )
        for index in range(layers)
    ]
    return targets, model


def published_way(
    responses: np.ndarray, participant: np.ndarray, model: list, train: np.ndarray
) -> np.ndarray:
    """Test similarities, (n_participants, n_splits, n_layers), by loops; the training halves are
    compared as well.
    """

    def triangle(values: np.ndarray, rows: np.ndarray, mask: np.ndarray) -> np.ndarray:
        scale = values[mask].std(axis=0)
        scaled = (values[rows] - values[mask].mean(axis=0)) / np.where(scale == 0, 1, scale)
        return np.corrcoef(scaled)[np.triu_indices(rows.sum(), 1)]

    labels = np.unique(participant)
    found = np.empty((len(labels), len(train), len(model)))
    for s, mask in enumerate(train):
        units = [[triangle(values, half, mask) for half in (mask, ~mask)] for _, values in model]
        for p, label in enumerate(labels):
            voxels = responses[:, participant == label]
            for half, rows in enumerate((mask, ~mask)):
                brain = triangle(voxels, rows, mask)
                for k in range(len(model)):
                    found[p, s, k] = stats.spearmanr(brain, units[k][half]).statistic
    return found


def floor(model: list, train: np.ndarray) -> None:
    """The matrix products of one model, on numbers that are there already, without standardising or
    ranking anything.
    """
    for _, values in model:
        values = values.astype(np.float64)
        values @ values.T
        for mask in train:
            first, second = values[: mask.sum()], values[mask.sum() :]
            first @ first.T
            second @ second.T


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--units", type=int, default=4096)
    parser.add_argument("--layers", type=int, default=9)
    parser.add_argument(
        "--threads", type=int, default=1, help="threads of the linear-algebra library"
    )
    parser.add_argument("--skip_published", action="store_true", help="leave the slow loops out")
    args = parser.parse_args()
    splits, order = published_splits(), np.arange(N_SOUNDS)
    train = splits.train
    targets, model = made_up_data(args.units, args.layers, np.random.default_rng(0))
    print(
        f"Python {platform.python_version()}, NumPy {np.__version__}, SciPy {scipy.__version__}, "
        f"{platform.machine()}, {args.threads} BLAS thread(s); {args.layers} layers of "
        f"{args.units} units"
    )
    with threadpool_limits(args.threads):
        sides, pairs = [], []
        for name, (responses, participant, region) in targets.items():
            labels = np.unique(participant)
            for roi in (None, *ROIS):
                mask = None if roi is None else region == roi
                seconds, side = best_of(
                    lambda r=responses, p=participant, n=labels, m=mask: neural_side(
                        r, p, n, splits, RSA, in_region=m
                    ),
                    2,
                )
                sides.append(side)
                pairs.append((name, roi))
                if roi in (None, ROIS[0]):
                    print(
                        f"neural side, {name}, {roi or 'all voxels'} (once for all models): "
                        f"{seconds:.2f} s"
                    )
        vectors = Vectors(
            *(
                np.concatenate([getattr(side.vectors, half) for side in sides], axis=-2)
                for half in ("all_sounds", "train", "test")
            )
        )
        model_seconds, ours = best_of(lambda: model_side(model, order, splits, RSA))
        compare_seconds, scores = best_of(lambda: score_model(vectors, ours))
        floor_seconds, _ = best_of(lambda: floor(model, train))
        extra_seconds, _ = best_of(
            lambda: [raw_and_centered_dimensionality(values) for _, values in model]
        )
        print(
            f"model side, one model: {model_seconds:.3f} s ({extra_seconds:.3f} s of it for "
            "effective dimensionality, which the published loop does not have); compared with "
            f"both targets and all five regions: {1000 * compare_seconds:.1f} ms"
        )
        print(
            f"floor (matrix products alone): {floor_seconds:.3f} s; we take "
            f"{(model_seconds + compare_seconds) / floor_seconds:.2f} times that"
        )
        if args.skip_published:
            return
        start, published = 0, {}
        for (name, roi), side in zip(pairs, sides):
            rows = slice(start, start + len(side.rdms))
            start = rows.stop
            if roi is not None:
                continue
            responses, participant, _ = targets[name]
            seconds, theirs = best_of(
                lambda r=responses, p=participant: published_way(r, p, model, train), 1
            )
            difference = np.abs(theirs - scores.layer_test[rows]).max()
            if not difference < 1e-6:
                raise SystemExit(
                    f"The two results differ by {difference:.2g}; the times mean nothing."
                )
            alone = Vectors(
                *(getattr(vectors, half)[..., rows, :] for half in ("all_sounds", "train", "test"))
            )
            compare_alone, _ = best_of(lambda v=alone: score_model(v, ours))
            published[name] = seconds
            print(
                f"published way, {name}, all voxels: {seconds:.2f} s; "
                f"ratio {seconds / (model_seconds + compare_alone):.0f} (largest difference "
                f"{difference:.1e})"
            )
        ratio = len(ROI_CHOICES) * sum(published.values()) / (model_seconds + compare_seconds)
        print(
            f"published way, both targets and {len(ROI_CHOICES)} regions, if each region takes as "
            f"long: {len(ROI_CHOICES) * sum(published.values()):.0f} s; ratio {ratio:.0f}"
        )


if __name__ == "__main__":
    main()

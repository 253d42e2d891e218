"""Time one layer against all voxels of a target, and compare with what else there is.

    python benchmarks/benchmark_ridge.py
        random arrays of the published shapes
    python benchmarks/benchmark_ridge.py --root FULLSIZE --target B2021
        data on disk

This project, the libraries, one voxel at a time, and the floor. Every contestant fits the mean
response and the three single repetitions of every voxel (four fits), on ten splits, with the
published grid of 100 alphas chosen per voxel by leave-one-out. Contestants that would take long are
run on part of the splits or voxels and scaled up; the table says so. Each runs in a process of its
own, one after the other, so that peak memory is its own: "extra memory" is the peak less what the
process held once the input was loaded.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from aud_dnn.methods.ridge.leave_one_out import alpha_grid, reduce_features
from aud_dnn.methods.ridge.scoring import VOXELS_PER_BLOCK, decompose_splits, score_responses
from aud_dnn.methods.threads import available_cores
from aud_dnn.runs.fit_report import peak_memory_mb
from aud_dnn.splits import published_splits

SHAPES = {"NH2015": 7694, "B2021": 26792}
N_UNITS = 8192
ALPHAS = alpha_grid(50)
Measurement = dict[str, float | str]


def random_input(target: str) -> tuple[np.ndarray, np.ndarray]:
    """Rectified low-dimensional features and responses that they explain in part, in the published
    shapes.
    """
    rng = np.random.default_rng(0)
    X = np.maximum(
        rng.standard_normal((165, 40)) @ rng.standard_normal((40, N_UNITS))
        + 0.5 * rng.standard_normal((165, N_UNITS)),
        0,
    ).astype(np.float32)
    n_voxels = SHAPES[target]
    signal = X[:, :20].astype(np.float64) @ rng.standard_normal((20, n_voxels))
    noise = signal.std() * rng.uniform(0.5, 2, n_voxels)
    responses = np.empty((165, n_voxels, 3))
    for repetition in range(3):
        responses[:, :, repetition] = signal + noise * rng.standard_normal((165, n_voxels))
    return X, responses


def read_input(root: str, target: str, layer: str) -> tuple[np.ndarray, np.ndarray]:
    """A layer of Kell2018word and a target from disk."""
    from aud_dnn.paths import find_root
    from aud_dnn.utils import load_stimuli, load_target, open_activations

    paths = find_root(root)
    stimuli = load_stimuli(paths)
    return (
        open_activations(paths, "Kell2018word", stimuli, layers=[layer]).read(layer),
        load_target(paths, target, stimuli).responses,
    )


def four_fits(responses: np.ndarray) -> np.ndarray:
    """Mean and repetitions as columns, (n_sounds, 4 * n_voxels)."""
    return np.concatenate([responses.mean(axis=2), *responses.transpose(2, 0, 1)], axis=1)


def run_ours(X: np.ndarray, responses: np.ndarray) -> Measurement:
    """Everything between features and scores: reduction, decompositions, choice of alpha,
    predictions, all scores.
    """
    splits = published_splits()
    times = []
    for _ in range(3):
        start = time.perf_counter()
        score_responses(decompose_splits(reduce_features(X), splits, ALPHAS), responses, splits)
        times.append(time.perf_counter() - start)
    return {"seconds": min(times), "how": "best of 3, scores included"}


def run_floor(X: np.ndarray, responses: np.ndarray) -> Measurement:
    """The matrix products of our own algorithm alone, on the same blocks and threads."""
    return _matrix_products(X, responses, all_alphas=False)


def run_plain_floor(X: np.ndarray, responses: np.ndarray) -> Measurement:
    """The same, but every alpha that float64 can tell apart is screened, without triangles and
    groups.
    """
    return _matrix_products(X, responses, all_alphas=True)


def _matrix_products(X: np.ndarray, responses: np.ndarray, all_alphas: bool) -> Measurement:
    """Projection and prediction in float64, screening in float32."""
    from threadpoolctl import threadpool_limits

    splits = published_splits()
    decomposed = decompose_splits(reduce_features(X), splits, ALPHAS)
    n_voxels = responses.shape[1]
    rng = np.random.default_rng(0)

    def block(start: int) -> None:
        n = min(VOXELS_PER_BLOCK, n_voxels - start)
        y, z, z32 = inputs[n]
        for split in decomposed:
            split.basis.T @ y
            if all_alphas:
                for operator in split.operators.astype(np.float32):
                    operator @ z32
            else:
                for rows, first in zip(split.screen.row_blocks, split.screen.row_starts):
                    rows @ z32[first:]
            split.test_scores @ z

    sizes = {
        min(VOXELS_PER_BLOCK, n_voxels - start) for start in range(0, n_voxels, VOXELS_PER_BLOCK)
    }
    inputs = {
        n: (
            rng.standard_normal((83, 3 * n)),
            rng.standard_normal((82, 4 * n)),
            rng.standard_normal((82, 3 * n)).astype(np.float32),
        )
        for n in sizes
    }
    times = []
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(available_cores()) as threads:
        for _ in range(3):
            start = time.perf_counter()
            list(threads.map(block, range(0, n_voxels, VOXELS_PER_BLOCK)))
            times.append(time.perf_counter() - start)
    n_screened = np.mean(
        [len(split.operators if all_alphas else split.screen.runs) for split in decomposed]
    )
    return {"seconds": min(times), "how": f"{n_screened:.0f} alphas screened per split, best of 3"}


def run_sklearn(X: np.ndarray, responses: np.ndarray) -> Measurement:
    """RidgeCV(alpha_per_target=True), best of three block sizes tried on a part of the voxels; one
    split, scaled up.
    """
    import sklearn
    from sklearn.linear_model import RidgeCV

    train = published_splits().train[0]
    x = X[train].astype(np.float64)
    x -= x.mean(axis=0)
    Y = four_fits(responses)[train]
    sample, rates = Y[:, :1024], {}
    for size in (64, 256, 1024):
        start = time.perf_counter()
        for first in range(0, sample.shape[1], size):
            RidgeCV(alphas=ALPHAS, alpha_per_target=True).fit(x, sample[:, first : first + size])
            if time.perf_counter() - start > 60:
                break
        rates[size] = (time.perf_counter() - start) / min(first + size, sample.shape[1])
    size = min(rates, key=rates.get)
    start, fitted = time.perf_counter(), 0
    for first in range(0, Y.shape[1], size):
        block = Y[:, first : first + size]
        RidgeCV(alphas=ALPHAS, alpha_per_target=True).fit(x, block)
        fitted += block.shape[1]
        if time.perf_counter() - start > 60:
            break
    seconds = (time.perf_counter() - start) * Y.shape[1] / fitted * 10
    return {
        "seconds": seconds,
        "how": f"scikit-learn {sklearn.__version__}, fit only, blocks of {size}, "
        f"{fitted} of {Y.shape[1]} columns of one split, scaled up",
    }


def run_himalaya(X: np.ndarray, responses: np.ndarray) -> Measurement:
    """KernelRidgeCV with 5 folds (it has no leave-one-out): another analysis, for comparison of
    speed.
    """
    import himalaya
    from himalaya.kernel_ridge import KernelRidgeCV

    train = published_splits().train[0]
    x = X[train].astype(np.float64)
    x -= x.mean(axis=0)
    kernel = x @ x.T
    Y = four_fits(responses)[train]
    Y -= Y.mean(axis=0)
    start = time.perf_counter()
    KernelRidgeCV(
        alphas=ALPHAS,
        kernel="precomputed",
        cv=5,
        solver_params={"n_targets_batch": 4096, "n_alphas_batch": 10},
    ).fit(kernel, Y)
    return {
        "seconds": (time.perf_counter() - start) * 10,
        "how": f"himalaya {himalaya.__version__}, fit only, 5 folds, one split, scaled up",
    }


def run_one_voxel_at_a_time(X: np.ndarray, responses: np.ndarray) -> Measurement:
    """RidgeCV one column after the other, as the published code did; a few columns, scaled up."""
    from sklearn.linear_model import RidgeCV

    train = published_splits().train[0]
    x = X[train] - X[train].mean(axis=0)
    Y = four_fits(responses)[train]
    n = 12
    RidgeCV(alphas=ALPHAS).fit(x, Y[:, 0])
    start = time.perf_counter()
    for column in range(n):
        RidgeCV(alphas=ALPHAS).fit(x, Y[:, column])
    return {
        "seconds": (time.perf_counter() - start) / n * Y.shape[1] * 10,
        "how": f"fit only, {n} columns, scaled up",
    }


CONTESTANTS: dict[str, tuple[str, Callable[[np.ndarray, np.ndarray], Measurement]]] = {
    "floor": ("our matrix products alone", run_floor),
    "plain_floor": ("matrix products, every distinct alpha", run_plain_floor),
    "ours": ("this project", run_ours),
    "himalaya": ("himalaya KernelRidgeCV", run_himalaya),
    "sklearn": ("scikit-learn RidgeCV, alpha_per_target", run_sklearn),
    "loop": ("scikit-learn, one voxel at a time", run_one_voxel_at_a_time),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--root", help="a root with full-size data; random arrays of the same shapes if not given"
    )
    parser.add_argument("--target", default="NH2015", choices=SHAPES)
    parser.add_argument(
        "--layer", default="relu2", help="layer of Kell2018word below --root (default: relu2)"
    )
    parser.add_argument("--only", nargs="+", default=list(CONTESTANTS), choices=CONTESTANTS)
    parser.add_argument(
        "--measure", choices=CONTESTANTS, help=argparse.SUPPRESS
    )  # one contestant, in this process
    arguments = parser.parse_args()
    if arguments.measure:
        X, responses = (
            read_input(arguments.root, arguments.target, arguments.layer)
            if arguments.root
            else random_input(arguments.target)
        )
        before = peak_memory_mb() or 0.0
        result = CONTESTANTS[arguments.measure][1](X, responses)
        print(
            json.dumps(
                {
                    **result,
                    "memory": (peak_memory_mb() or 0.0) - before,
                    "shape": f"{X.shape[1]} units, {responses.shape[1]} voxels",
                }
            )
        )
        return
    rows = {}
    for name in arguments.only:
        command = [
            sys.executable,
            __file__,
            "--target",
            arguments.target,
            "--layer",
            arguments.layer,
            "--measure",
            name,
        ]
        run = subprocess.run(
            command + (["--root", arguments.root] if arguments.root else []),
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])},
            check=False,
        )
        if run.returncode:
            print(f"{name}: not run ({run.stderr.strip().splitlines()[-1]})")
            continue
        rows[name] = json.loads(run.stdout.strip().splitlines()[-1])
    ours = rows.get("ours", {}).get("seconds")
    print(
        f"{arguments.target}, {next(iter(rows.values()))['shape']}, 4 fits x 10 splits x 100 "
        f"alphas; {available_cores()} cores, Python {platform.python_version()}, NumPy "
        f"{np.__version__}\n"
    )
    print("| | seconds | times ours | extra memory (MB) | how |\n|---|---|---|---|---|")
    for name, row in rows.items():
        ratio = f"{row['seconds'] / ours:.3g}" if ours else "–"
        print(
            f"| {CONTESTANTS[name][0]} | {row['seconds']:.3g} | {ratio} | {row['memory']:.0f} | "
            f"{row['how']} |"
        )


if __name__ == "__main__":
    main()

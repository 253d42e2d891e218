"""The similarity suite at full size: 13 layers, 20 participants, all measures, ceilings and nulls.

    python benchmarks/benchmark_similarity.py [--root FULL_SIZE_ROOT]

Without a root the responses are invented: 165 sounds, 20 participants with 1,340 voxels, three
repetitions; the layers have 8,192 units. Prints the seconds of every measure for one layer and all
participants, and of the whole.
"""

from __future__ import annotations

import argparse
import resource
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from aud_dnn.methods.similarity.suite import (
    MEASURES,
    ceilings,
    geometry,
    layer_scores,
    null_scores,
    participants_of,
)
from aud_dnn.methods.threads import available_cores, one_blas_thread
from aud_dnn.splits import published_splits

N_LAYERS, N_PEOPLE, N_VOXELS, N_UNITS, N_NULL = 13, 20, 1340, 8192, 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", help="take the responses of B2021 from here")
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    signal = rng.standard_normal((165, 12))
    if given.root:
        from aud_dnn.paths import find_root
        from aud_dnn.utils import load_target

        target = load_target(find_root(given.root), "B2021")
        responses, owner = target.responses, target.metadata["subj_idx"].to_numpy()
        splits = target.splits
    else:
        clean = signal @ rng.standard_normal((12, N_PEOPLE * N_VOXELS))
        noise = 3 * rng.standard_normal((*clean.shape, 3))
        responses, owner = clean[:, :, None] + noise, np.repeat(np.arange(N_PEOPLE), N_VOXELS)
        splits = published_splits()
    layers = [
        signal @ rng.standard_normal((12, N_UNITS)) + place * rng.standard_normal((165, N_UNITS))
        for place in range(N_LAYERS)
    ]
    begun = time.perf_counter()
    people = participants_of(responses, owner, splits)
    print(f"participants made ready: {time.perf_counter() - begun:.2f} s")
    one = geometry(layers[0])
    for measure in MEASURES:
        start = time.perf_counter()
        layer_scores(one, people, splits, [measure])
        print(f"{measure:15} {time.perf_counter() - start:.3f} s for a layer")
    start = time.perf_counter()
    ceilings(people, splits)
    print(f"ceilings: {time.perf_counter() - start:.2f} s")
    start = time.perf_counter()
    seeds = np.random.SeedSequence(0).spawn(N_NULL)
    with one_blas_thread(), ThreadPoolExecutor(available_cores()) as threads:
        seen = list(threads.map(geometry, layers))
        list(threads.map(lambda each: layer_scores(each, people, splits), seen))
        list(threads.map(lambda seed: null_scores(seen, people, splits, MEASURES, seed), seeds))
    now = time.perf_counter()
    print(f"{N_LAYERS} layers and {N_NULL} draws of the null: {now - start:.1f} s")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"all but the first measures alone: {now - begun:.1f} s, {memory:.2f} GB")


if __name__ == "__main__":
    main()

"""All figures of the paper from existing results at full size: aggregation from nothing, then
drawing.

    python benchmarks/benchmark_figures.py ROOT [--jobs 2] [--fraction 0.2]

ROOT is filled first, where it is not filled yet: invented results of all registered models, trained
and permuted, every layer, in the sizes of the paper (NH2015 7,694 voxels of 8 participants, B2021
26,792 of 20, six components), and RSA results. That takes some 4 GB and, with two cores, some
minutes. Then three things are timed:

* the tables of all models, from nothing;
* ``AUD_plot_main.py --figures 2 4 5 7 8 9`` with these tables, and once more from nothing to the
  last picture;
* the random halvings of B2021 by our routine, and by the published loop, one shuffle per layer and
  voxel on a stated
  fraction of them. The two must agree.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests")]

import fake_results  # noqa: E402

from aud_dnn.conditions import CONDITIONS  # noqa: E402
from aud_dnn.methods.comparing.similarity import best_layer_position  # noqa: E402
from aud_dnn.methods.ridge.scores import LayerScores  # noqa: E402
from aud_dnn.models.figure_sets import PERFORMANCE_ORDER  # noqa: E402
from aud_dnn.models.registry import BASELINE_MODEL, MODELS  # noqa: E402
from aud_dnn.paths import ProjectPaths  # noqa: E402
from aud_dnn.splits import published_splits  # noqa: E402
from aud_dnn.store.comparison_parts import Part  # noqa: E402
from aud_dnn.store.comparisons import ROI_CHOICES, analysis_path, assemble, write_analysis  # noqa: E402
from aud_dnn.store.regression_names import result_folder  # noqa: E402
from aud_dnn.store.regression_writing import write_result  # noqa: E402
from aud_dnn.tables.halvings import legacy_halvings  # noqa: E402
from aud_dnn.targets.categories import SOUND_CATEGORIES  # noqa: E402
from aud_dnn.utils import Target  # noqa: E402

SIZES = {"NH2015": (7694, 8, 1945), "B2021": (26792, 20, 2500)}
"""Voxels, participants, places on the grid."""

_ROW = 50  # places in a row of the grid
_PARCELS = (("Primary", 10, 15), ("Lateral", 15, 19), ("Anterior", 4, 8), ("Posterior", 21, 25))
_PEAK = {"Primary": 0.38, "Lateral": 0.55, "Posterior": 0.55, "Anterior": 0.62}


# --- invented results ---------------------------------------------------------------------------


@lru_cache(maxsize=3)
def full_size_target(name: str) -> Target:
    """Voxels of the published number, each participant on a random part of a common grid, a fifth
    of them in a region.
    """
    if name == "NH2015comp":
        return fake_results.fake_target(name)
    n_voxels, n_participants, n_places = SIZES[name]
    rng = np.random.default_rng(n_voxels)
    chosen = [
        np.sort(rng.choice(n_places, len(own), replace=False))
        for own in np.array_split(np.arange(n_voxels), n_participants)
    ]
    place = np.concatenate(chosen)
    column, row = place % _ROW, place // _ROW
    left = column < _ROW // 2
    depth = np.where(left, _ROW // 2 - 1 - column, column - _ROW // 2)
    region = np.full(n_voxels, None, dtype=object)
    for roi, first, last in _PARCELS:
        region[(depth >= first) & (depth < last) & (row >= 10) & (row < 28)] = roi
    hemi = np.where(left, "lh", "rh")
    x, y = np.where(left, -30 - 2 * depth, 30 + 2 * depth), 2 * row
    metadata = pd.DataFrame(
        {
            "subj_idx": np.repeat(np.arange(1, n_participants + 1), [len(own) for own in chosen]),
            "hemi": hemi,
            "x_ras": x,
            "y_ras": y,
            "voxel_id": np.arange(n_voxels),
            "coord_id": [f"{a}_{b}" for a, b in zip(x, y)],
            "shared_by": np.bincount(place, minlength=n_places)[place],
            "kell_r_reliability": rng.uniform(0.3, 0.9, n_voxels),
            "pearson_r_reliability": rng.uniform(0.3, 0.9, n_voxels),
            "roi_label_general": region,
            "roi_anat_hemi": [
                None if roi is None else f"{roi}_{side}" for roi, side in zip(region, hemi)
            ],
        }
    )
    return Target(
        name,
        np.zeros((1, n_voxels, 3)),
        metadata["voxel_id"].to_numpy(),
        metadata,
        fake_results.fake_stimuli(),
    )


def quality(model: str, target: str, randnetw: bool) -> float:
    """Height of a model's scores: the published order, clean twins lower, second seeds next to the
    first.
    """
    if model == BASELINE_MODEL:
        return 0.54
    twin = model.removesuffix("Seed2").removesuffix("Clean")
    order = PERFORMANCE_ORDER["B2021" if target == "B2021" else "NH2015"]
    height = 0.76 - 0.42 * (order.index(twin) / len(order)) ** 1.4
    height += (
        -0.1 * ("Clean" in model)
        + 0.012 * np.random.default_rng(sum(map(ord, model + target))).standard_normal()
    )
    return 0.2 + 0.35 * height if randnetw else height


@lru_cache(maxsize=4)
def _voxels(target: str) -> tuple[np.ndarray, np.ndarray]:
    """Depth at which each voxel is predicted best, and how far it is above or below the others."""
    rng = np.random.default_rng(len(target))
    made = full_size_target(target)
    if target == "NH2015comp":
        return np.linspace(0.3, 0.8, 6), np.array([0.08, 0.0, -0.12, -0.02, 0.06, -0.03])
    people = made.metadata["subj_idx"].to_numpy()
    peak = np.array([_PEAK.get(roi, 0.5) for roi in made.metadata["roi_label_general"]])
    peak = (
        peak
        + 0.12 * rng.standard_normal(peak.size)
        + 0.05 * rng.standard_normal(people.max() + 1)[people]
    )
    return peak, 0.15 * rng.standard_normal(peak.size) + 0.04 * rng.standard_normal(
        people.max() + 1
    )[people]


def invented_scores(model: str, target: str, layer: int, randnetw: bool) -> np.ndarray:
    """Scores per voxel and split, in [0, 1.3]; early layers are best in Primary; some voxels of
    permuted networks are 0.
    """
    peak, offset = _voxels(target)
    rng = np.random.default_rng([sum(map(ord, model)), layer, int(randnetw), len(target)])
    n_layers = len(MODELS[model].layers)
    shift = 0.12 * np.random.default_rng(sum(map(ord, model))).standard_normal()
    depth = layer / max(n_layers - 1, 1)
    height = quality(model, target, randnetw)
    tuning = (
        height * (1 - 0.5 * (np.clip(peak + shift, 0, 1) - (0.5 if randnetw else depth)) ** 2)
        + offset
    )
    if target != "NH2015comp":  # participants differ in which models suit them
        people = full_size_target(target).metadata["subj_idx"].to_numpy()
        tuning += (
            0.03
            * np.random.default_rng(sum(map(ord, model))).standard_normal(people.max() + 1)[people]
        )
    scores = np.float32(tuning[:, None]) + np.float32(0.05) * rng.standard_normal(
        (len(peak), 10), dtype=np.float32
    )
    return np.clip(scores, 0, 1.3).astype(np.float64) * (
        1 + 1e-12 * layer
    )  # float64 that does not compress well


def _write_results(job: tuple[ProjectPaths, str, str, bool]) -> int:
    """All layers of one model on one target in one condition; those that are there are kept."""
    paths, model, name, randnetw = job
    target, written = full_size_target(name), 0
    for place, layer in enumerate(MODELS[model].layer_names):
        folder = result_folder(paths, model, layer, name, randnetw)
        if folder.is_dir():
            continue
        values = invented_scores(model, name, place, randnetw)
        if name == "NH2015comp":
            fake_results.write_fake_layer(paths, model, layer, values, target, randnetw=randnetw)
        else:
            scores = LayerScores.empty(
                *values.shape
            )  # figures read r2_test_c only; the rest compresses to nothing
            scores.r2_test_c[:] = values
            staging = folder.with_name(f".{folder.name}")
            shutil.rmtree(staging, ignore_errors=True)
            staging.mkdir(parents=True)
            write_result(
                staging,
                scores,
                None,
                target,
                published_splits(),
                model=model,
                layer=layer,
                randnetw=randnetw,
                provenance={"numerics": 1, "responses": {"sha256": "0" * 64}},
            )
            staging.rename(folder)
        written += 1
    return written


def _rsa_part(model: str, condition: str, target: str, roi: str, n_participants: int) -> Part:
    layers = MODELS[model].layer_names
    rng = np.random.default_rng(
        [sum(map(ord, model + target)), CONDITIONS.index(condition), ROI_CHOICES.index(roi)]
    )
    height = 0.65 * quality(model, target, condition == "permuted")
    people = 0.04 * np.random.default_rng(len(target)).standard_normal(n_participants)
    depth = np.linspace(0, 1, len(layers))
    peak = (
        _PEAK.get(roi, 0.5)
        + 0.15 * rng.standard_normal()
        + 0.1 * rng.standard_normal((n_participants, 1))
    )
    whole = height * (1 - 0.5 * (peak - depth) ** 2) + people[:, None]
    whole += 0.03 * rng.standard_normal((n_participants, 1)) + 0.005 * rng.standard_normal(
        whole.shape
    )
    test = whole[:, None] + 0.02 * rng.standard_normal((n_participants, 10, len(layers)))
    index = (test + 0.02 * rng.standard_normal(test.shape)).argmax(axis=2)
    value = np.take_along_axis(test, index[..., None], 2)[..., 0]
    return Part(
        {
            "layers": np.array(layers),
            "layer_train": test,
            "layer_test": test,
            "best_index": index,
            "best_value": value,
            "best_median": np.median(value, axis=1),
            "best_median_index": np.median(index, axis=1),
            "layer_test_median": np.median(test, axis=1),
            "layer_all_sounds": whole,
            "concatenated_all_sounds": whole.mean(axis=1),
            "best_layer_position": best_layer_position(whole),
        },
        {},
    )


def _write_rsa(paths: ProjectPaths, target: str, roi: str) -> None:
    _, n_participants, _ = SIZES[target]
    rng = np.random.default_rng(1)
    categories = np.sort(np.arange(165) % len(SOUND_CATEGORIES))
    same = (categories[:, None] == categories[None, :])[np.triu_indices(165, 1)]
    ceiling = 0.66 + 0.04 * rng.standard_normal((n_participants, 10))
    neural = Part(
        {
            "participants": np.array(
                [f"participant_{person}" for person in range(1, n_participants + 1)]
            ),
            "rdms": 0.2 + 0.4 * same + 0.1 * rng.standard_normal((n_participants, same.size)),
            "ceiling_pearson": ceiling,
            "ceiling_spearman": ceiling - 0.02,
            "ceiling_pearson_all_sounds": ceiling[:, 0],
            "ceiling_spearman_all_sounds": ceiling[:, 1],
            "n_voxels": np.full(n_participants, 900),
            "effective_dimensionality": np.ones(3),
        },
        {},
    )
    parts = {
        (model, condition): _rsa_part(model, condition, target, roi, n_participants)
        for model in MODELS
        for condition in CONDITIONS
        if (model, condition) != (BASELINE_MODEL, CONDITIONS[1])
    }
    names = list(SOUND_CATEGORIES)
    write_analysis(
        analysis_path(paths.rsa_results, target, roi),
        assemble(
            target,
            roi,
            neural,
            parts,
            sounds=[f"sound_{index}" for index in range(165)],
            categories=[names[place] for place in categories],
            train=published_splits().train,
        ),
    )


def fill(paths: ProjectPaths, jobs: int) -> int:
    """Write what is not there yet; how many results that was."""
    fake_results.write_fake_data(paths)
    for target in SIZES:
        for roi in ROI_CHOICES:
            if not analysis_path(paths.rsa_results, target, roi).is_file():
                paths.rsa_results.mkdir(parents=True, exist_ok=True)
                _write_rsa(paths, target, roi)
    work = [
        (paths, model, target, randnetw)
        for target in ("B2021", "NH2015", "NH2015comp")
        for model in MODELS
        for randnetw in (False, True)
        if (model, randnetw) != (BASELINE_MODEL, True)
    ]
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        return sum(pool.map(_write_results, work))


# --- what is timed ------------------------------------------------------------------------------


def drop_tables(paths: ProjectPaths) -> None:
    """As if nothing had ever been aggregated."""
    for folder in paths.results.glob("*/outputs"):
        shutil.rmtree(folder)


def run_script(paths: ProjectPaths, figures: list[str], jobs: int) -> tuple[float, float]:
    """Seconds and processor seconds that ``AUD_plot_main.py`` takes."""
    command = [
        sys.executable,
        str(REPOSITORY / "aud_dnn" / "analyze" / "AUD_plot_main.py"),
        "--root",
        str(paths.root),
        "--jobs",
        str(jobs),
        "--figures",
        *figures,
    ]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, processor


def published_loop(seed: int, n_shuffles: int) -> np.ndarray:
    """One shuffle after the other, as published; the pattern of every one as ten bits."""
    rng = np.random.RandomState(seed)
    bits = 1 << np.arange(10)
    masks = np.empty(n_shuffles, dtype=np.uint16)
    for place in range(n_shuffles):
        pattern = [0, 1] * 5
        rng.shuffle(pattern)
        masks[place] = bits @ pattern
    return masks


def time_halvings(fraction: float) -> tuple[tuple[float, float], tuple[float, float], int]:
    """Seconds and processor seconds for the longest model on B2021, one iteration: ours, and the
    published loop scaled up; how many it drew.
    """

    def timed(function: Callable, *arguments: int) -> tuple[np.ndarray, np.ndarray]:
        before = np.array([time.perf_counter(), time.process_time()])
        found = function(*arguments)
        return found, np.array([time.perf_counter(), time.process_time()]) - before

    n_shuffles = SIZES["B2021"][0] * max(len(model.layers) for model in MODELS.values())
    legacy_halvings(0, 10)  # its tables
    ours, ours_seconds = timed(legacy_halvings, 0, n_shuffles)
    drawn = int(fraction * n_shuffles)
    loop, loop_seconds = timed(published_loop, 0, drawn)
    if not np.array_equal(ours[:drawn], loop):
        raise SystemExit("The two ways of drawing the halvings differ.")
    return tuple(ours_seconds), tuple(loop_seconds * n_shuffles / drawn), drawn


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", type=Path)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument(
        "--fraction", type=float, default=0.2, help="of the halvings, for the published loop"
    )
    parser.add_argument("--fill_only", action="store_true", help="only write the invented results")
    arguments = parser.parse_args()
    paths = ProjectPaths(arguments.root.resolve())
    start = time.perf_counter()
    print(
        f"{fill(paths, arguments.jobs)} results written in {time.perf_counter() - start:.0f} s",
        flush=True,
    )
    if arguments.fill_only:
        return
    load = os.getloadavg()[0]
    ours, loop, drawn = time_halvings(arguments.fraction)
    paper = ["2", "4", "5", "7", "8", "9"]
    drop_tables(paths)
    rows = [
        ("tables of all models, from nothing", *run_script(paths, ["aggregate"], arguments.jobs)),
        ("all figures and tests, tables there", *run_script(paths, paper, arguments.jobs)),
    ]
    drop_tables(paths)
    rows += [
        (
            "**from result folders to all figures and tests**",
            *run_script(paths, paper, arguments.jobs),
        ),
        ("halvings of one iteration, 33 layers × 26,792 voxels", *ours),
        (
            f"the same by the published loop ({drawn:,} of them, scaled up; "
            f"{loop[1] / ours[1]:,.0f} times ours)",
            *loop,
        ),
    ]
    print(f"load average before: {load:.1f}\n\n| | seconds | processor seconds |\n|---|---|---|")
    for label, seconds, processor in rows:
        print(f"| {label} | {seconds:.3g} | {processor:.3g} |")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"\npeak memory of the largest process: {peak:,.0f} MB")


if __name__ == "__main__":
    main()

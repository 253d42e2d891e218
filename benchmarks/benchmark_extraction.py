"""Sounds per second and memory of the extraction, beside the plain way, for every model that can be
built here.

The plain way: a forward hook on every module, whole tensors kept for all sounds, averaged at the
end; for the baseline the full two-dimensional filter bank. Weights are random, sounds are noise,
preprocessing counts. Time is processor time on one core, so that other work on the machine does not
count much; the two ways take turns, and the faster of their runs counts. Every run has a process of
its own; memory is what the process holds after the sounds beyond what it held after a first one
(Linux).

    python benchmarks/benchmark_extraction.py [--models spectemp VGGish] [--sounds 4] [--repeats 2]

``--flat`` measures something else: the largest memory of a whole extraction (sounds read from disk,
activations written) with 20 and with 165 sounds.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy.io.wavfile

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from aud_dnn.errors import InputError
from aud_dnn.extract.registry import FROM_LIBRARIES, UNTRAINED, WRITTEN_HERE, build_extractor
from aud_dnn.extract.run import Extractor, extract
from aud_dnn.paths import ProjectPaths

MODELS = ("spectemp", *UNTRAINED, *WRITTEN_HERE, *FROM_LIBRARIES)


def noises(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [0.1 * rng.standard_normal(88200) for _ in range(count)]


def ours(extractor: Extractor, sounds: list[np.ndarray]) -> list:
    for sound in sounds:
        extractor.run([extractor.prepare(sound, 44100)])
    return []


def plain_baseline(extractor: Extractor, sounds: list[np.ndarray]) -> list:
    from aud_dnn.extract.spectemp import (
        SPECTRAL_RATES,
        TEMPORAL_RATES,
        filter_labels,
        spectral_transfer_functions,
        temporal_transfer_functions,
    )

    f_s, f_t = np.fft.fftfreq(422)[:, None], np.fft.fftfreq(1170)[None, :]
    gains = spectral_transfer_functions()
    gains = np.concatenate([gains, gains[:, -2:0:-1]], axis=1)
    bank = [
        np.where(
            (f_s * f_t == 0)
            | (f_s == -0.5)
            | (f_t == -0.5)
            | (f_s * f_t * (1 if rate > 0 else -1) > 0),
            gains[SPECTRAL_RATES.index(scale)][:, None]
            * temporal_transfer_functions()[TEMPORAL_RATES.index(abs(rate))],
            0,
        )
        for rate, scale in filter_labels()
    ]
    kept = []
    for sound in sounds:
        spectrum = np.fft.fft2(100 * extractor.prepare(sound, 44100), (422, 1170))
        outputs = np.stack([np.fft.ifft2(spectrum * filter_)[:211, :390].real for filter_ in bank])
        kept.append(np.maximum(outputs**2, 1e-8))
    for outputs in kept:
        outputs.mean(axis=2)
    return kept


def plain_network(extractor: Extractor, sounds: list[np.ndarray]) -> list:
    import torch

    network, kept = extractor._network, []

    def keep(module: torch.nn.Module, _: object, output: object) -> None:
        if isinstance(output, torch.Tensor):
            kept.append(output.detach().clone())

    for module in network.modules():
        module.register_forward_hook(keep)
    forward = extractor._model.forward
    with torch.no_grad():
        for sound in sounds:
            inputs = extractor.prepare(sound, 44100)
            network(inputs) if forward is None else forward(network, inputs)
    for tensor in kept:
        tensor.float().mean(dim=-1)
    return kept


def held_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def measure(model: str, way: str, n_sounds: int) -> None:
    """Print seconds per sound, and by how many MB this process has grown."""
    random_weights = model in (*WRITTEN_HERE, *FROM_LIBRARIES)
    extractor = build_extractor(model, random_weights=random_weights)
    take: Callable = (
        ours if way == "ours" else (plain_baseline if model == "spectemp" else plain_network)
    )
    extractor.run([extractor.prepare(noises(1)[0], 44100)])  # tables and caches
    before = held_mb()
    start = time.process_time()
    kept = take(extractor, noises(n_sounds))
    seconds = (time.process_time() - start) / n_sounds
    print(f"{seconds:.4f} {max(held_mb() - before, 0):.0f} {len(kept)}")


def measure_extraction(model: str, n_sounds: int) -> None:
    """Print the largest memory (MB) of this process while it extracts from files on disk."""
    with tempfile.TemporaryDirectory() as folder:
        stimuli = Path(folder) / "data" / "stimuli"
        stimuli.mkdir(parents=True)
        rng = np.random.default_rng(0)
        for i in range(n_sounds):
            scipy.io.wavfile.write(
                stimuli / f"stim{i + 1}_noise.wav",
                44100,
                np.int16(3000 * rng.standard_normal(88200)),
            )
        extractor = build_extractor(model, random_weights=model != "spectemp")
        start = time.perf_counter()
        extract(extractor, "benchmark", ProjectPaths(Path(folder)), progress=False)
        seconds = time.perf_counter() - start
    print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} {seconds:.1f}")


def run(*arguments: str) -> list[float] | str:
    """Measure in a process of its own, on one core: the numbers, or why there are none."""
    done = subprocess.run(
        [sys.executable, __file__, *arguments],
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        },
    )
    return (
        done.stderr.strip().splitlines()[-1]
        if done.returncode
        else list(map(float, done.stdout.split()))
    )


def speed_row(model: str, n_sounds: int, repeats: int) -> str:
    results: dict[str, list[list[float]]] = {"ours": [], "plain": []}
    for _ in range(repeats):
        for way, found in results.items():
            numbers = run("--measure", model, way, "--sounds", str(n_sounds))
            if isinstance(numbers, str):
                return f"| {model} | {numbers} | | | |"
            found.append(numbers)
    speeds = [f"{1 / min(seconds for seconds, *_ in found):.2f}" for found in results.values()]
    memory = [
        f"{min(megabytes for _, megabytes, _ in found) / n_sounds:.0f}"
        for found in results.values()
    ]
    return f"| {model} | {' | '.join([*speeds, *memory])} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=MODELS, choices=MODELS)
    parser.add_argument("--sounds", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument(
        "--flat",
        action="store_true",
        help="measure the memory of extractions of 20 and of 165 sounds",
    )
    parser.add_argument("--measure", nargs=2, metavar=("MODEL", "WAY"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        model, way = options.measure
        try:
            if way == "extraction":
                measure_extraction(model, options.sounds)
            else:
                measure(model, way, options.sounds)
        except InputError as error:
            sys.exit(f"skipped: {error}")
        return
    if options.flat:
        print(
            "| model | 20 sounds, MB | 165 sounds, MB | 165 sounds, seconds |\n| --- | --- | --- | "
            "--- |"
        )
        for model in options.models:
            few, many = (
                run("--measure", model, "extraction", "--sounds", str(count)) for count in (20, 165)
            )
            print(f"| {model} | {few[0]:.0f} | {many[0]:.0f} | {many[1]:.0f} |", flush=True)
        return
    print("| model | sounds per second | plain way | memory for a sound more, MB | plain way |")
    print("| --- | --- | --- | --- | --- |")
    for model in options.models:
        print(speed_row(model, options.sounds, options.repeats), flush=True)


if __name__ == "__main__":
    main()

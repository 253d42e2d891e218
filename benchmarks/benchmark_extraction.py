"""Sounds per second and memory of the extraction, beside the plain way, for every model that can be built here.

The plain way: a forward hook on every module, whole tensors kept for all sounds, averaged at the end; for the baseline the
full two-dimensional filter bank. Weights are random, sounds are noise, preprocessing counts. Time is processor time on one
core, so that other work on the machine does not count. Every way runs in a process of its own; memory is what the process
holds after the sounds beyond what it held after a first one (Linux).

    python benchmarks/benchmark_extraction.py [--models spectemp VGGish] [--sounds 4]
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from aud_dnn.errors import InputError
from aud_dnn.extract.registry import FROM_LIBRARIES, UNTRAINED, WRITTEN_HERE, build_extractor
from aud_dnn.extract.run import Extractor

MODELS = ("spectemp", *UNTRAINED, *WRITTEN_HERE, *FROM_LIBRARIES)


def noises(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [0.1 * rng.standard_normal(88200) for _ in range(count)]


def ours(extractor: Extractor, sounds: list[np.ndarray]) -> list:
    for sound in sounds:
        extractor.run([extractor.prepare(sound, 44100)])
    return []


def plain_baseline(extractor: Extractor, sounds: list[np.ndarray]) -> list:
    from aud_dnn.spectemp import (
        SPECTRAL_RATES,
        TEMPORAL_RATES,
        filter_labels,
        spectral_transfer_functions,
        temporal_transfer_functions,
    )

    f_s, f_t = np.fft.fftfreq(422)[:, None], np.fft.fftfreq(1170)[None, :]
    gains = spectral_transfer_functions()
    gains = np.concatenate([gains, gains[:, -2:0:-1]], axis=1)
    bank = [np.where((f_s * f_t == 0) | (f_s == -0.5) | (f_t == -0.5) | (f_s * f_t * (1 if rate > 0 else -1) > 0),
                     gains[SPECTRAL_RATES.index(scale)][:, None]
                     * temporal_transfer_functions()[TEMPORAL_RATES.index(abs(rate))], 0)
            for rate, scale in filter_labels()]
    kept = []
    for sound in sounds:
        spectrum = np.fft.fft2(100 * extractor.prepare(sound, 44100), (422, 1170))
        outputs = np.stack([np.fft.ifft2(spectrum * filter_)[:211, :390].real for filter_ in bank])
        kept.append(np.maximum(outputs ** 2, 1e-8))
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
    run: Callable = ours if way == "ours" else (plain_baseline if model == "spectemp" else plain_network)
    extractor.run([extractor.prepare(noises(1)[0], 44100)])  # tables and caches
    before = held_mb()
    start = time.process_time()
    kept = run(extractor, noises(n_sounds))
    seconds = (time.process_time() - start) / n_sounds
    print(f"{seconds:.4f} {max(held_mb() - before, 0):.0f} {len(kept)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=MODELS, choices=MODELS)
    parser.add_argument("--sounds", type=int, default=4)
    parser.add_argument("--measure", nargs=2, metavar=("MODEL", "WAY"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        try:
            measure(*options.measure, options.sounds)
        except InputError as error:
            sys.exit(f"skipped: {error}")
        return
    print("| model | sounds per second | plain way | memory for a sound more, MB | plain way |")
    print("| --- | --- | --- | --- | --- |")
    for model in options.models:
        cells = []
        for way in ("ours", "plain"):
            command = [sys.executable, __file__, "--measure", model, way, "--sounds", str(options.sounds)]
            done = subprocess.run(command, capture_output=True, text=True, env={
                **os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"})
            if done.returncode:
                cells = [done.stderr.strip().splitlines()[-1]]
                break
            seconds, megabytes, _ = map(float, done.stdout.split())
            cells.append((f"{1 / seconds:.2f}", f"{megabytes / options.sounds:.0f}"))
        if len(cells) == 2:
            (speed, memory), (plain_speed, plain_memory) = cells
            print(f"| {model} | {speed} | {plain_speed} | {memory} | {plain_memory} |", flush=True)
        else:
            print(f"| {model} | {cells[0]} | | | |", flush=True)


if __name__ == "__main__":
    main()

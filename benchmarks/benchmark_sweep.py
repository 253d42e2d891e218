"""The sweep at full size: one process against two, against a call of AUD_main.py for every layer,
and what the whole paper would take.

    python benchmarks/benchmark_sweep.py ROOT [--layers 20] [--save_preds]

ROOT holds the three targets at their published size and at least one model (it is only read; the
model is taken several times under other names, so that there are enough layers). Everything is
written below a temporary folder, files included in the times. The calls for single layers are timed
on a few of them.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from aud_dnn.arguments import model_layers
from aud_dnn.paths import ProjectPaths
from aud_dnn.utils import models_on_disk

REPOSITORY = Path(__file__).resolve().parents[1]
PAPER = 636  # layers of the paper, trained and permuted
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}


def scratch_root(root: Path, folder: Path, n_layers: int) -> tuple[Path, list[str]]:
    """A root with the data of ``root``, and its first model under as many names as are needed."""
    (folder / "model-actv").mkdir(parents=True)
    (folder / "data").symlink_to((root / "data").resolve())
    model = models_on_disk(ProjectPaths(root))[0]
    source = (root / "model-actv" / model).resolve()
    per_copy = len(model_layers(ProjectPaths(root), model))
    names = [f"copy{i}" for i in range(-(-n_layers // per_copy))]
    for name in names:
        (folder / "model-actv" / name).mkdir()
        for file in source.glob("natsound_activations.h5"):
            (folder / "model-actv" / name / file.name).symlink_to(file)
    return folder, names


def run(script: str, *words: str) -> float:
    """Seconds that a script takes, start included."""
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, str(REPOSITORY / "aud_dnn" / script), *words],
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - started


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--layers", type=int, default=20, help="fitted by each way of the sweep")
    parser.add_argument("--save_preds", action="store_true")
    arguments = parser.parse_args()
    preds = ["--save_preds", str(arguments.save_preds)]
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        n_layers, single = 0, 0
        for jobs in (1, 2):
            root, models = scratch_root(arguments.root, Path(scratch) / f"{jobs}", arguments.layers)
            words = ["--models", *models, "--randnetw", "False", "--jobs", str(jobs)]
            took = run("sweep.py", *words, "--root", str(root), *preds)
            n_layers = len(list((root / "results").glob("*/*NH2015comp*")))
            seconds[f"sweep, {jobs} process(es)"] = took / n_layers
        bytes_per_layer = size_of(root / "results") / n_layers
        root, models = scratch_root(arguments.root, Path(scratch) / "single", 1)
        for layer in model_layers(ProjectPaths(root), models[0])[:3]:
            words = ["--source_model", models[0], "--source_layer", layer, "--target", "all"]
            seconds["AUD_main.py for every layer"] = seconds.get(
                "AUD_main.py for every layer", 0.0
            ) + run("AUD_main.py", *words, "--root", str(root), *preds)
            single += 1
        seconds["AUD_main.py for every layer"] /= single
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3
    one = seconds["sweep, 1 process(es)"]
    print(f"{n_layers} layers x 3 targets, all files written, one thread per process")
    for name, value in seconds.items():
        whole = value * PAPER / 60
        print(f"  {name}: {value:.2f} s a layer ({value / one:.2f}); {PAPER}: {whole:.0f} min")
    print(f"  two processes: {one / 2 / seconds['sweep, 2 process(es)']:.2f} of twice one")
    print(
        f"  {bytes_per_layer / 1e6:.1f} MB a layer; {PAPER}: {bytes_per_layer * PAPER / 1e9:.1f} GB"
    )
    print(f"  largest memory of a process: {peak:.0f} MB")


if __name__ == "__main__":
    main()

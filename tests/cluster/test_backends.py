"""The same sweep here, with Dask, on a real SLURM, and as an array job: the same numbers.

``make test-cluster`` (root; Debian's ``slurm-wlm`` and ``munge``).
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import roots
from one_node_slurm import OneNodeSlurm, missing_programs

import aud_dnn
from aud_dnn.api.sweep import sweep
from aud_dnn.errors import InputError
from aud_dnn.paths import ProjectPaths
from aud_dnn.store.regression import read_result
from aud_dnn.store.regression_names import find_results

pytestmark = pytest.mark.slow
REPOSITORY = Path(aud_dnn.__file__).parents[1]
MODELS = ["DCASE2020", "Kell2018word"]
TARGETS = ["NH2015", "NH2015comp"]
N_LAYERS = 2 * (5 + 9)


@pytest.fixture(autouse=True)
def _installed() -> None:
    pytest.importorskip("dask_jobqueue")


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory):
    if lacking := missing_programs():
        pytest.skip(f"SLURM is not here: {', '.join(lacking)}")
    cluster = OneNodeSlurm(tmp_path_factory.mktemp("slurm"))
    cluster.start()
    os.environ.update(cluster.environment)
    yield cluster
    cluster.stop()


@pytest.fixture
def root(demo_root: Path, tmp_path: Path) -> Path:
    root = roots.borrow(demo_root, tmp_path / "demo", without=("results",))
    (root / "results").mkdir(exist_ok=True)
    return root


def numbers(root: Path) -> dict[str, np.ndarray]:
    """All scores of all results, by name."""
    return {
        f"{key} {name}": values.to_numpy()
        for model in MODELS
        for key, folder in find_results(ProjectPaths(root), model)
        for name, values in read_result(folder).scores.data_vars.items()
    }


def assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name], err_msg=name)


@pytest.fixture(scope="module")
def here(demo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    root = roots.borrow(demo_root, tmp_path_factory.mktemp("here") / "demo", without=("results",))
    (root / "results").mkdir(exist_ok=True)
    assert sweep(MODELS, TARGETS, jobs=2, root=root, progress=False).failures == ()
    return numbers(root)


def script(root: Path, *more: str) -> list[str]:
    words = [sys.executable, str(REPOSITORY / "aud_dnn" / "sweep.py"), "--models", *MODELS]
    return [*words, "--target", *TARGETS, "--root", str(root), *more]


def on_slurm(root: Path, *more: str) -> list[str]:
    options = root / "cluster.toml"
    options.write_text('partition = "main"\ninterface = "lo"\nmemory = "1GB"\nworkers = 2\n')
    return script(root, "--backend", "slurm", "--cluster", str(options), *more)


def test_dask_workers_of_this_machine(root: Path, here):
    done = sweep(MODELS, TARGETS, backend="dask", jobs=2, root=root, progress=False)
    assert done.failures == ()
    assert_same(numbers(root), here)


def test_no_scheduler_at_the_address(root: Path):
    with pytest.raises(InputError, match="There is no Dask scheduler at"):
        sweep(MODELS, TARGETS, backend="dask", address="tcp://127.0.0.1:1", root=root)


def test_jobs_of_slurm(root: Path, here, slurm: OneNodeSlurm):
    done = subprocess.run(on_slurm(root), capture_output=True, text=True, cwd=root, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "everything in" in done.stdout
    assert_same(numbers(root), here)


def test_the_printed_array_job_with_a_part_missing_and_one_repeated(
    root: Path, here, slurm: OneNodeSlurm
):
    """The script of the dry run as it stands, but for Python and the number of parts."""
    dry = subprocess.run(
        script(root, "--dry_run", "True"), capture_output=True, text=True, cwd=root
    )
    job = dry.stdout[dry.stdout.index("#!/bin/bash") :]
    n_parts = int(job.split("--array=1-")[1].split()[0])
    job = job.replace("python aud_dnn/", f"{sys.executable} {REPOSITORY}/aud_dnn/")
    job = job.replace(f"_ID/{n_parts}", "_ID/4")
    file = root / "job.sh"
    file.write_text(job, encoding="utf-8")
    for parts in ("1-3", "2", "4"):
        slurm.run("sbatch", "--wait", f"--array={parts}", f"--output={root}/%A_%a.out", str(file))
    assert_same(numbers(root), here)
    assert not slurm.jobs()


def test_twenty_killed_workers_lose_nothing(root: Path, here, slurm: OneNodeSlurm):
    rng, kills = np.random.default_rng(0), 0
    for _ in range(12):
        command = on_slurm(root, "--overwrite", "True")
        running = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=root
        )
        end = time.monotonic() + 120
        while running.poll() is None and time.monotonic() < end:
            time.sleep(0.5 + rng.random())
            if kills < 20 and (jobs := slurm.jobs()):
                slurm.run("scancel", *(["--signal=KILL"] if kills % 2 else []), rng.choice(jobs))
                kills += 1
        assert running.wait(60) in (0, 1)
        if kills == 20:
            break
    assert kills == 20
    # whatever failed is named and whole; a last call completes it, and fits nothing twice
    done = subprocess.run(script(root, "--jobs", "2"), capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr
    assert_same(numbers(root), here)
    again = subprocess.run(script(root, "--jobs", "2"), capture_output=True, text=True, cwd=root)
    assert "nothing to fit" in again.stdout


def test_a_requeued_task_starts_again(root: Path, here, slurm: OneNodeSlurm):
    """SLURM waits up to two minutes before it does."""
    command = " ".join(script(root, "--jobs", "1"))
    job = slurm.run(
        "sbatch", "--parsable", "--requeue", f"--output={root}/job.out", f"--wrap={command}"
    ).strip()
    end = time.monotonic() + 60
    while not numbers(root) and time.monotonic() < end:
        time.sleep(0.2)
    slurm.run("scontrol", "requeue", job)
    end = time.monotonic() + 300
    while slurm.jobs() and time.monotonic() < end:
        time.sleep(1)
    assert "are there, and kept" in (root / "job.out").read_text()
    assert_same(numbers(root), here)


def test_a_disk_that_fills_in_the_middle_is_told_and_a_rerun_completes(root: Path, here):
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    results = root / "results"
    mount = ["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(results)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    filler = results / "filler"
    try:
        running = subprocess.Popen(
            script(root, "--jobs", "2"), stdout=subprocess.PIPE, text=True, cwd=root
        )
        end = time.monotonic() + 60
        while not list(results.glob("*/*/ds.nc")) and time.monotonic() < end:
            time.sleep(0.05)
        with filler.open("wb", buffering=0) as file:  # all that is left
            try:
                while True:
                    file.write(bytes(1 << 16))
            except OSError:
                pass
        said, _ = running.communicate(timeout=200)
        assert running.returncode == 1
        assert "python aud_dnn/AUD_main.py" in said and "--source_layer" in said
        some = numbers(root)
        assert some.keys() < here.keys()
        for name, values in some.items():
            np.testing.assert_array_equal(values, here[name], err_msg=name)
        filler.unlink()
        done = subprocess.run(script(root, "--jobs", "2"), capture_output=True, text=True, cwd=root)
        assert done.returncode == 0, done.stdout + done.stderr
        assert_same(numbers(root), here)
    finally:
        subprocess.run(["umount", "-l", str(results)], check=True)


def test_two_sweeps_of_the_same_root_at_once(root: Path, here):
    both = [subprocess.Popen(script(root, "--jobs", "1"), cwd=root) for _ in range(2)]
    assert [one.wait(300) for one in both] == [0, 0]
    assert_same(numbers(root), here)
    assert not list((root / "results").rglob(".*partial*"))

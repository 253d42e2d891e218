"""The sweep: the numbers of AUD_main.py, parts of the whole, and what happens to failures."""

from __future__ import annotations

import functools
import os
import signal
import time
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import roots
from hypothesis import given, settings
from hypothesis import strategies as st

import aud_dnn
from aud_dnn.api.sweep import sweep
from aud_dnn.AUD_main import main as fit_by_itself
from aud_dnn.errors import InputError, MissingDataError
from aud_dnn.io.processes import WorkerEndedError, outcomes_in_processes
from aud_dnn.paths import ProjectPaths
from aud_dnn.runs import sweep as runs
from aud_dnn.runs.cluster import SlurmOptions, read_slurm_options
from aud_dnn.runs.sweep_plan import SweepUnit, cut
from aud_dnn.store.regression import read_result
from aud_dnn.store.regression_names import find_results, result_folder
from aud_dnn.sweep import main
from aud_dnn.tables.figure_inputs import collect_layers

MODELS = ["DCASE2020", "mymodel"]
TARGETS = ["NH2015", "NH2015comp"]


@pytest.fixture
def root(demo_root: Path, tmp_path: Path) -> Path:
    """The demo without results; activations of its own, which may be damaged."""
    root = roots.borrow(demo_root, tmp_path / "demo", without=("results", "mymodel"))
    (root / "results").mkdir(exist_ok=True)
    source = demo_root / "model-actv" / "mymodel" / "natsound_activations.h5"
    (root / "model-actv" / "mymodel").mkdir(parents=True, exist_ok=True)
    (root / "model-actv" / "mymodel" / source.name).write_bytes(source.read_bytes())
    return root


def numbers(root: Path) -> dict[str, np.ndarray]:
    """All scores of all results, by name."""
    found = {}
    for model in MODELS:
        for key, folder in find_results(ProjectPaths(root), model):
            for name, values in read_result(folder).scores.data_vars.items():
                found[f"{key} {name}"] = values.to_numpy()
    return found


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(
        np.array_equal(one[name], other[name], equal_nan=True) for name in one
    )


@pytest.fixture(scope="module")
def serial(demo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """One call of AUD_main.py for every model and condition."""
    root = roots.borrow(demo_root, tmp_path_factory.mktemp("serial") / "demo", without=("results",))
    (root / "results").mkdir(exist_ok=True)
    for model, randnetw in (("DCASE2020", "False"), ("DCASE2020", "True"), ("mymodel", "False")):
        words = ["--source_model", model, "--source_layer", "all", "--randnetw", randnetw]
        assert fit_by_itself([*words, "--target", *TARGETS, "--root", str(root)]) == 0
    return numbers(root)


def test_workers_give_the_numbers_of_single_calls_and_a_table_of_them(root: Path, serial):
    done = sweep(MODELS, TARGETS, jobs=2, root=root, progress=False, name="two")
    assert done.failures == () and same(numbers(root), serial)
    table = pd.read_parquet(root / "results" / "sweep-two.parquet")
    pd.testing.assert_frame_equal(table, done.table)
    assert len(pd.read_csv(root / "results" / "sweep-two.csv")) == len(table)
    layers = 5 + 5 + 3
    assert table["layer"].groupby([table["model"], table["condition"]]).nunique().sum() == layers
    # components: the medians of the result; voxels: as the figures of layers draw them
    paths = ProjectPaths(root)
    own = table[(table["model"] == "mymodel") & (table["layer"] == "recurrent")]
    result = read_result(result_folder(paths, "mymodel", "recurrent", "NH2015comp", False))
    np.testing.assert_array_equal(
        own[own["target"] == "NH2015comp"]["score"], result.table["median_r2_test"]
    )
    for roi, part in ((None, "all"), ("Primary", "Primary")):
        drawn, _ = collect_layers(paths, "mymodel", "NH2015", False, roi)
        row = own[(own["target"] == "NH2015") & (own["part"] == part)].iloc[0]
        assert row["score"] == pytest.approx(drawn["recurrent"].mean(), abs=1e-12)
        assert row["n"] == len(drawn) and row["noise_corrected"] and row["error"] > 0
    # again: nothing is fitted
    before = roots.snapshot(root / "results")
    again = sweep(MODELS, TARGETS, jobs=2, root=root, progress=False, name="two")
    assert "nothing to fit" in again.plan
    assert roots.snapshot(root / "results") == before


def test_rsa_comes_with_it_if_asked_for(root: Path, capsys):
    words = ["--models", "mymodel", "--target", "NH2015", "--root", str(root), "--jobs", "1"]
    assert main([*words, "--methods", "RSA"]) == 0
    assert "RSA: computed: " in capsys.readouterr().out
    assert not list(find_results(ProjectPaths(root), "mymodel"))  # no regression
    assert list(ProjectPaths(root).comparison_results("RSA").rglob("*.nc"))
    with pytest.raises(InputError, match="needs voxels"):
        main([*words[:2], "--target", "NH2015comp", *words[4:], "--methods", "RSA"])
    with pytest.raises(InputError, match="backend local"):
        main([*words, "--methods", "RSA", "--backend", "dask"])


def test_parts_on_several_machines_make_the_whole(root: Path, serial):
    for part in (2, 3, 1, 2):
        sweep(MODELS, TARGETS, jobs=1, shard=(part, 3), root=root, progress=False)
    assert same(numbers(root), serial)


@given(
    costs=st.lists(st.floats(0.1, 10), min_size=1, max_size=40),
    n_parts=st.integers(1, 12),
    data=st.data(),
)
@settings(deadline=None, max_examples=60)
def test_a_cut_is_a_partition_that_does_not_depend_on_the_order(costs, n_parts, data):
    units = [SweepUnit("net", False, i, f"layer{i}") for i in range(len(costs))]
    parts = cut(units, costs, n_parts)
    assert sorted(unit for part in parts for unit in part) == units
    order = data.draw(st.permutations(range(len(units))))
    assert cut([units[i] for i in order], [costs[i] for i in order], n_parts) == parts
    # no part has more than its share and one unit
    loads = [sum(costs[unit.position] for unit in part) for part in parts]
    assert max(loads) <= sum(costs) / n_parts + max(costs) + 1e-9


def test_a_dry_run_writes_nothing_and_prints_a_job(root: Path, capsys):
    before = roots.snapshot(root)
    words = ["--models", *MODELS, "--target", *TARGETS, "--root", str(root)]
    assert main([*words, "--dry_run", "True"]) == 0
    said = capsys.readouterr().out
    assert "DCASE2020, permuted: 5 of 5 layers to fit" in said
    assert "no activations: mymodel (permuted)" in said
    assert "#SBATCH --array=1-1" in said and "--shard $SLURM_ARRAY_TASK_ID/1" in said
    assert roots.snapshot(root) == before


def test_a_layer_that_fails_is_named_with_its_command_and_the_others_are_kept(root: Path, capsys):
    with h5py.File(root / "model-actv" / "mymodel" / "natsound_activations.h5", "a") as file:
        file["recurrent"][3] = np.nan
    words = ["--models", "mymodel", "--target", "NH2015comp", "--root", str(root), "--jobs", "1"]
    assert main(words) == 1
    said = capsys.readouterr().out
    assert "failed: mymodel recurrent: InputError" in said
    assert "AUD_main.py --source_model mymodel --source_layer recurrent" in said
    paths = ProjectPaths(root)
    layers = {key.layer for key, _ in find_results(paths, "mymodel")}
    assert layers == {"convolution", "embedding"}


def test_what_is_stale_is_refused_before_anything_is_fitted(root: Path):
    sweep(["mymodel"], ["NH2015comp"], layers=["embedding"], jobs=1, root=root, progress=False)
    with h5py.File(root / "model-actv" / "mymodel" / "natsound_activations.h5", "a") as file:
        file["embedding"][...] += 1.0
    with pytest.raises(InputError, match=r"1 result.*other activations.*--overwrite"):
        sweep(["mymodel"], ["NH2015comp"], jobs=1, root=root, progress=False)
    assert len(list(find_results(ProjectPaths(root), "mymodel"))) == 1


def _once(folder: Path, number: int) -> int:
    """Number 3 ends its process the first time, number 5 every time; number 7 raises."""
    mark = folder / str(number)
    first = not mark.exists()
    mark.touch()
    if number == 5 or (number == 3 and first):
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 7:
        raise ValueError("seven")
    return number**2


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
@pytest.mark.parametrize("jobs", [1, 3])
def test_a_killed_worker_costs_its_item_a_second_try(jobs: int, tmp_path: Path):
    work = functools.partial(_once, tmp_path)
    outcomes = dict(outcomes_in_processes(work, list(range(10)), jobs))
    assert isinstance(outcomes.pop(5), WorkerEndedError)
    assert isinstance(outcomes.pop(7), ValueError)
    assert outcomes == {i: i**2 for i in (0, 1, 2, 3, 4, 6, 8, 9)}


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_workers_that_are_killed_now_and_then_lose_nothing(root: Path, serial):
    import subprocess
    import sys

    command = [sys.executable, "-m", "aud_dnn.sweep", "--models", *MODELS, "--target", *TARGETS]
    running = subprocess.Popen(
        [*command, "--jobs", "2", "--root", str(root)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(Path(aud_dnn.__file__).parents[1])},
    )
    rng, kills = np.random.default_rng(0), 0
    while running.poll() is None and kills < 2:
        time.sleep(0.5 + rng.random())
        children = Path(f"/proc/{running.pid}/task/{running.pid}/children")
        workers = children.read_text().split() if children.is_file() else []
        if workers:
            os.kill(int(rng.choice(workers)), signal.SIGKILL)
            kills += 1
    assert running.wait(120) in (0, 1)
    sweep(MODELS, TARGETS, jobs=1, root=root, progress=False)
    assert same(numbers(root), serial)


@pytest.mark.parametrize(
    "options, error, words",
    [
        ({"models": ["nosuch"]}, MissingDataError, "None of the models"),
        ({"layers": ["nosuch"]}, (InputError, MissingDataError), "None|No model has a layer"),
        ({"jobs": 0}, InputError, "jobs must be at least 1"),
        ({"shard": (3, 2)}, InputError, "a shard i/n"),
        ({"backend": "cloud"}, InputError, "backend must be one of"),
        ({"name": "a/b"}, InputError, "part of a file name"),
        ({"targets": ["nosuch"]}, InputError, "nosuch"),
    ],
)
def test_what_is_refused(root: Path, options, error, words):
    with pytest.raises(error, match=words):
        sweep(**{"models": ["mymodel"], "root": root, "progress": False, **options})


def test_options_of_slurm_come_from_a_file_and_from_flags(tmp_path: Path):
    file = tmp_path / "cluster.toml"
    file.write_text('partition = "gpu"\ncores = 2\ndirectives = ["--constraint=avx"]\n')
    expected = SlurmOptions("main", cores=2, directives=("--constraint=avx",))
    assert read_slurm_options(file, partition="main", account=None) == expected
    for text, words in (
        ("cores = true", "of type int"),
        ("cores = 0", "at least 1"),
        ("setup = [1]", "list of texts"),
        ("queue = 'x'", "queue"),
        ("cores =", "cannot be read"),
    ):
        file.write_text(text)
        with pytest.raises(InputError, match=words):
            read_slurm_options(file)


def test_no_more_processes_than_memory_has_room_for(monkeypatch):
    said: list[str] = []
    monkeypatch.setattr(runs.log, "warning", lambda text, *values: said.append(text % values))
    monkeypatch.setattr(runs, "available_memory", lambda: 2_500_000_000)
    assert runs._jobs_that_fit(2, 10**9) == 2 and not said
    assert runs._jobs_that_fit(8, 10**9) == 2 and "2 are used" in said[0]
    assert runs._jobs_that_fit(8, 10**10) == 1

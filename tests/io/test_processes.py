"""Work in several processes: outcomes, errors, ends; no worker and no file outlives the parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from aud_dnn.errors import InputError, MissingDataError
from aud_dnn.io.memory import available_memory
from aud_dnn.io.processes import WorkerEndedError, map_in_processes, run_in_processes
from aud_dnn.io.shared_arrays import SharedArrays

REPOSITORY = Path(__file__).resolve().parents[2]
posix = pytest.mark.skipif(os.name != "posix", reason="signals")


def double(number: int) -> int:
    print("a library prints")
    return 2 * number


def late(number: int) -> tuple[int, int]:
    time.sleep(0.5 * (number == 0))
    return number, os.getpid()


def fail(how: str) -> None:
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "exit":
        os._exit(3)
    raise {
        "input": InputError("a file"),
        "missing": MissingDataError("no file"),
        "memory": MemoryError(),
        "disk": OSError(28, "No space left", "x.npz"),
        "other": LookupError(double),
    }[how]


def add(arrays: SharedArrays, index: int) -> tuple[float, bool]:
    return float(arrays[index].sum()), isinstance(arrays[index], np.memmap)


def test_outcomes_come_in_order_or_as_they_are_finished():
    assert list(map_in_processes(double, range(5), 2)) == [0, 2, 4, 6, 8]
    outcomes = list(run_in_processes(late, range(4), 2))
    assert sorted(index for index, _ in outcomes) == [0, 1, 2, 3] and outcomes[-1][0] == 0
    assert all(index == number and process != os.getpid() for index, (number, process) in outcomes)
    assert [process for _, process in map_in_processes(late, range(2), 1)] == [os.getpid()] * 2
    assert list(map_in_processes(double, [], 2)) == []


@pytest.mark.parametrize("how", ["input", "missing", "disk"])
def test_errors_of_the_work_arrive_as_they_are(how):
    with pytest.raises(Exception) as here:
        fail(how)
    with pytest.raises(type(here.value)) as there:
        list(run_in_processes(fail, [how, how], 2))
    assert type(there.value) is type(here.value) and str(there.value) == str(here.value)
    assert getattr(there.value, "filename", None) == getattr(here.value, "filename", None)
    assert "in a worker process" in str(there.value.__cause__) and "test_processes.py" in str(
        there.value.__cause__
    )


@pytest.mark.parametrize(
    ("how", "jobs", "said"),
    [
        ("killed", 2, r"SIGKILL.*memory.*kept.*--jobs 1.*these were 2.*about 7 MB"),
        ("exit", 2, "status 3.*kept"),
        ("memory", 2, "not enough memory.*--jobs 1.*about 7 MB"),
        ("memory", 1, "not enough memory.*with more memory"),
    ],
)
@posix
def test_an_end_for_want_of_memory_says_what_to_do(how, jobs, said):
    with pytest.raises(WorkerEndedError, match=said) as caught:
        list(run_in_processes(fail, [how, how], jobs, needs="about 7 MB for each process"))
    assert "\n" not in str(caught.value)


def test_arrays_are_shared_and_read_only():
    arrays = SharedArrays(
        [np.arange(12.0).reshape(3, 4), np.zeros((1, 3)), np.arange(5, dtype=np.int16)]
    )
    outcomes = (
        list(map_in_processes(partial(add, arrays), range(3), 2))
        if not arrays.descriptors
        else [
            outcome
            for _, outcome in sorted(
                run_in_processes(partial(add, arrays), range(3), 2, share=arrays.descriptors)
            )
        ]
    )
    assert [total for total, _ in outcomes] == [66, 0, 10]
    if os.name == "posix":
        assert outcomes[0][1] and not arrays[0].flags.writeable


def test_a_full_temporary_folder_is_named(monkeypatch, tmp_path):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(
        InputError, match=f"{tmp_path}.*cannot hold 8 MB.*No space.*TMPDIR.*--jobs 1"
    ):
        SharedArrays([np.zeros(1_000_000)])


def test_free_memory_respects_limits():
    resource = pytest.importorskip("resource")
    free = available_memory()
    if free is None:
        pytest.skip("not known here")
    before = resource.getrlimit(resource.RLIMIT_AS)
    try:
        resource.setrlimit(resource.RLIMIT_AS, (1 << 40, before[1]))
        assert available_memory() <= free * 1.5
        pages = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (pages + (50 << 20), before[1]))
        assert available_memory() <= 50 << 20
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


# --- ends ---------------------------------------------------------------------------------------

PROGRAM = """
import os, sys, time
from functools import partial
import numpy as np
sys.path.insert(0, {tests!r})
import test_processes
from aud_dnn.io.processes import run_in_processes
from aud_dnn.io.shared_arrays import SharedArrays

arrays = SharedArrays([np.arange(4.0)])
announce = partial(test_processes.announce, arrays)
for _ in run_in_processes(announce, range(2), 2, share=arrays.descriptors):
    pass
"""


def announce(arrays: SharedArrays, number: int) -> None:
    sys.stderr.write(f"{os.getpid()}\n")
    sys.stderr.flush()
    time.sleep(60)


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(condition: Callable[[], bool], seconds: float = 15) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    "name", ["SIGKILL", pytest.param("SIGTERM", marks=pytest.mark.slow), "SIGINT"]
)
def test_workers_end_with_their_parent_and_leave_nothing(tmp_path, name):
    """A plain script without a main guard; Ctrl-C reaches the whole process group, as from a
    terminal.
    """
    number = signal.Signals[name]
    script = tmp_path / "script.py"
    script.write_text(PROGRAM.format(tests=str(Path(__file__).parent)))
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    parent = subprocess.Popen(
        [sys.executable, str(script)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "TMPDIR": str(temporary)},
    )
    with parent:
        workers = [int(parent.stderr.readline()) for _ in range(2)]
        assert all(map(alive, workers))
        (os.killpg if number == signal.SIGINT else os.kill)(parent.pid, number)
        assert wait_for(lambda: not any(map(alive, workers)))
        said = parent.stderr.read()
    assert list(temporary.iterdir()) == []
    assert said.count("Traceback") == (
        number == signal.SIGINT
    )  # that of the parent, which a script would catch


@posix
@pytest.mark.parametrize("source", ["file", "-c", "stdin"])
def test_no_main_guard_is_needed(tmp_path, source):
    program = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from aud_dnn.io.processes import map_in_processes\nfrom test_processes import double\n"
        "print(list(map_in_processes(double, [1, 2, 3], 2)))\n"
    )
    (tmp_path / "script.py").write_text(program)
    command = {"file": [str(tmp_path / "script.py")], "-c": ["-c", program], "stdin": ["-"]}[source]
    done = subprocess.run(
        [sys.executable, *command],
        input=program if source == "stdin" else None,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        timeout=60,
    )
    assert done.stdout == "[2, 4, 6]\n" and done.returncode == 0 and "Traceback" not in done.stderr

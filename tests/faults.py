"""Break runs on purpose and look at what is left: ``python tests/faults.py --kills 300``.

Whatever happens to a run, a folder that has the name of a result holds the whole result, bit by bit
what an undisturbed run writes; and the next run finishes the work and leaves nothing half-written
behind.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import logging
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1])]

import made_data  # noqa: E402
import numpy as np  # noqa: E402

from aud_dnn.io.atomic import restore_replaced  # noqa: E402
from aud_dnn.paths import ProjectPaths  # noqa: E402
from aud_dnn.runs import fit as fitting  # noqa: E402
from aud_dnn.runs.fit import fit_model  # noqa: E402
from aud_dnn.runs.fit_plan import FitOptions  # noqa: E402
from aud_dnn.runs.fit_report import Outcome  # noqa: E402
from aud_dnn.store.regression import read_result  # noqa: E402
from aud_dnn.store.regression_names import is_complete, parse_folder  # noqa: E402

LAYERS = ("relu0", "relu1", "relu2")


class Laboratory:
    """A small root, what an undisturbed run makes of it, and the checks after a disturbed one."""

    def __init__(self, folder: Path):
        self.source = folder / "source"
        made_data.write_tree(self.source, made_data.data_files(10, 10, sounds=False))
        made_data.write_tree(self.source, made_data.activation_files(("Kell2018word",)))
        self.folder = folder
        paths = self.undisturbed = self.new_root("reference")
        self.fit(paths)
        self.reference = {path.name: self.contents(path) for path in self.results(paths)}
        assert len(self.reference) == len(LAYERS)

    def new_root(self, name: str) -> ProjectPaths:
        root = self.folder / name
        root.mkdir()
        (root / "data").symlink_to(self.source / "data")
        (root / "model-actv").symlink_to(self.source / "model_actv")
        return ProjectPaths(root)

    def finished_root(self, name: str, n_results: int = len(LAYERS)) -> ProjectPaths:
        """A root in which some results are finished already."""
        paths = self.new_root(name)
        for folder in self.results(self.undisturbed)[:n_results]:
            shutil.copytree(folder, paths.results / "Kell2018word" / folder.name)
        return paths

    @staticmethod
    def fit(
        paths: ProjectPaths, layers: tuple[str, ...] = LAYERS, overwrite: bool = False
    ) -> list[Outcome]:
        return fit_model(
            paths,
            FitOptions("Kell2018word", layers, ("NH2015comp",), overwrite=overwrite),
            progress=False,
        )

    @staticmethod
    def results(paths: ProjectPaths) -> list[Path]:
        folder = paths.results / "Kell2018word"
        return (
            [path for path in sorted(folder.iterdir()) if parse_folder(path)]
            if folder.is_dir()
            else []
        )

    @staticmethod
    def contents(folder: Path) -> bytes:
        result = read_result(folder)
        arrays = [result.scores[name].to_numpy() for name in sorted(result.scores)]
        arrays += [result.predictions(), result.predictions(rescaled=True)]
        return pickle.dumps([result.table.to_csv(), *map(np.ascontiguousarray, arrays)])

    def require_whole(self, paths: ProjectPaths) -> int:
        """Everything that is named like a result is whole and right; the number of results."""
        found = self.results(paths)
        for folder in found:
            assert is_complete(folder), (
                f"{folder.name} is not whole: {sorted(p.name for p in folder.iterdir())}"
            )
            assert self.contents(folder) == self.reference[folder.name], (
                f"{folder.name} holds other numbers"
            )
        return len(found)

    def require_recovery(self, paths: ProjectPaths) -> None:
        """The next run finishes the work, changes nothing that was finished, and tidies up."""
        self.fit(paths)
        assert self.require_whole(paths) == len(LAYERS)
        hidden = [
            path.name
            for path in (paths.results / "Kell2018word").iterdir()
            if path.name.startswith(".")
        ]
        assert not hidden, hidden


# --- the n-th file operation fails --------------------------------------------------------------


class NthOperationFails:
    """Lets the n-th file operation that changes the disk fail with a given error; counts them when
    ``nth`` is 0.

    Works on everything that Python does (files opened for writing, folders made, names changed or
    removed); what HDF5 and Parquet write inside their files is broken by :func:`small_disk`
    instead.
    """

    _current: NthOperationFails | None = None
    _hooked = False

    def __init__(self, nth: int, below: Path, error: int = errno.EIO):
        self.nth, self.below, self.error, self.count = nth, str(below), error, 0

    def __enter__(self) -> NthOperationFails:
        if not NthOperationFails._hooked:
            sys.addaudithook(NthOperationFails._hook)
            NthOperationFails._hooked = True
        NthOperationFails._current = self
        return self

    def __exit__(self, *exc) -> None:
        NthOperationFails._current = None

    @staticmethod
    def _hook(event: str, arguments: tuple) -> None:
        self = NthOperationFails._current
        if self is None or event not in ("open", "os.rename", "os.mkdir"):
            return
        if event == "open":
            _, mode, flags = arguments
            writes = (
                set(mode) & set("wax+")
                if isinstance(mode, str)
                else (flags or 0) & (os.O_WRONLY | os.O_RDWR)
            )
            if not writes:
                return
        if not str(arguments[0]).startswith(self.below):
            return
        self.count += 1
        if self.count == self.nth:
            raise OSError(self.error, os.strerror(self.error), str(arguments[0]))


# --- a disk that is too small -------------------------------------------------------------------


@contextlib.contextmanager
def small_disk(folder: Path, n_bytes: int) -> Iterator[None]:
    """Mount a tmpfs of this size on ``folder``. Needs root; :class:`PermissionError` without."""
    folder.mkdir(parents=True, exist_ok=True)
    if os.name != "posix" or os.geteuid() != 0 or shutil.which("mount") is None:
        raise PermissionError("mounting needs root")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={n_bytes}", "tmpfs", str(folder)], capture_output=True
    )
    if done.returncode:
        raise PermissionError(done.stderr.decode())
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextlib.contextmanager
def small_files(n_bytes: int) -> Iterator[None]:
    """No file may grow beyond this size: what stands in for a full disk without root."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@contextlib.contextmanager
def no_forecast() -> Iterator[None]:
    """Without the check of the free disk at the start, so that the disk fills in the middle of
    writing.
    """
    check = fitting.require_disk_space
    fitting.require_disk_space = lambda *arguments: None
    try:
        yield
    finally:
        fitting.require_disk_space = check


# --- processes that are killed, or in each other's way ------------------------------------------


def child(work: Callable[[], object], report: int | None = None) -> int:
    """Run ``work`` in a forked process (which needs no time to start); its process id."""
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        done = work()
        if report is not None:
            os.write(report, pickle.dumps(done))
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def kill_at_random(
    laboratory: Laboratory, kills: int, seed: int, overwrite: bool
) -> tuple[int, int]:
    """Kill runs at random moments; (runs that were killed in time, results that were there when
    looked at).
    """
    rng = random.Random(seed)
    paths = laboratory.finished_root(f"killed-{seed}-{overwrite}", len(LAYERS) if overwrite else 0)
    start = time.monotonic()
    laboratory.fit(laboratory.new_root(f"timed-{seed}-{overwrite}"))
    whole = time.monotonic() - start
    killed = seen = 0
    for _ in range(kills):
        process = child(lambda: laboratory.fit(paths, overwrite=overwrite))
        time.sleep(rng.uniform(0, 1.1 * whole))
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        killed += os.WIFSIGNALED(os.waitpid(process, 0)[1])
        # a kill between two renames leaves the earlier result under a hidden name; the next run
        # finds it
        if overwrite:
            for name in laboratory.reference:
                restore_replaced(paths.results / "Kell2018word" / name)
            assert laboratory.require_whole(paths) == len(LAYERS), "a finished result was lost"
        seen += laboratory.require_whole(paths)
        if not overwrite and len(laboratory.results(paths)) == len(LAYERS):
            for folder in rng.sample(laboratory.results(paths), 2):
                shutil.rmtree(folder)
    laboratory.require_recovery(paths)
    return killed, seen


def two_at_once(laboratory: Laboratory, number: int, overwrite: bool = False) -> list[list[str]]:
    """Two processes fit the same layer at the same moment; the statuses that each reports."""
    paths = laboratory.new_root(f"two-{number}-{overwrite}")
    gate_out, gate_in = os.pipe()
    pipes, processes = [], []

    def work() -> list[str]:
        os.read(gate_out, 1)
        return [outcome.status for outcome in laboratory.fit(paths, ("relu2",), overwrite)]

    for _ in range(2):
        out, report = os.pipe()
        processes.append(child(work, report))
        os.close(report)
        pipes.append(out)
    os.write(gate_in, b"go")
    statuses = []
    for out, process in zip(pipes, processes):
        with os.fdopen(out, "rb") as stream:
            text = stream.read()
        assert os.waitpid(process, 0)[1] == 0
        statuses.append(pickle.loads(text))
    os.close(gate_out)
    os.close(gate_in)
    assert laboratory.require_whole(paths) == 1
    laboratory.require_recovery(paths)
    return statuses


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--pairs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        logging.disable(logging.CRITICAL)
        laboratory = Laboratory(Path(folder))
        for overwrite in (False, True):
            killed, seen = kill_at_random(laboratory, args.kills // 2, args.seed, overwrite)
            print(
                f"{args.kills // 2} runs{' with --overwrite' if overwrite else ''}: {killed} "
                f"killed in the middle, {seen} results looked at, all whole and right; none lost",
                flush=True,
            )
        statuses = [
            sorted(status for (status,) in two_at_once(laboratory, number))
            for number in range(args.pairs)
        ]
        print(
            f"{args.pairs} pairs at once:", {str(pair): statuses.count(pair) for pair in statuses}
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())


@contextlib.contextmanager
def within(seconds: float, megabytes: float | None = None) -> Iterator[None]:
    """The block takes at most this much processor time and, where the system says so (POSIX), more
    memory.
    """
    try:
        import resource
    except ImportError:
        resource = None
    peak = (
        (lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        if resource
        else (lambda: 0.0)
    )
    begun, before = time.process_time(), peak()
    yield
    assert time.process_time() - begun < seconds
    assert megabytes is None or peak() - before < megabytes

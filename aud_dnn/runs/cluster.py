"""Workers on a cluster: Dask, started here, found by address, or as jobs of SLURM.

Nothing is invented here: ``distributed`` hands out the work and notices workers that die,
``dask-jobqueue`` submits them as jobs. Both come with the extra ``cluster``.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from aud_dnn.errors import InputError, MissingDataError, unknown_name
from aud_dnn.io.progress import tell
from aud_dnn.io.toml import parse_toml

log = logging.getLogger("aud_dnn")

_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_PACKAGE_HOME = Path(__file__).resolve().parents[2]
_PATIENCE_S = 120  # for the first worker job, before a word is said about it
_LOOK_S = 5  # between looks at the queue
_LOST_WORKERS = 1  # that a unit may cost before it counts as failed


@dataclass(frozen=True)
class SlurmOptions:
    """What people set about their jobs.

    Attributes
    ----------
    partition, account : str or None
    time : str
        Longest time of one worker, ``hours:minutes:seconds``.
    memory : str
        Of one worker.
    cores : int
        Of one worker; one unit is fitted at a time, with as many threads.
    workers : int
        How many jobs.
    adaptive : bool
        Submit jobs while there is work for them, and replace those that end.
    directives : tuple of str
        More lines ``#SBATCH …``, without that word: ``"--constraint=avx512"``.
    setup : tuple of str
        Lines that a job runs first: ``"module load python"``.
    interface : str or None
        Network interface of scheduler and workers, where the usual one is wrong.
    """

    partition: str | None = None
    account: str | None = None
    time: str = "04:00:00"
    memory: str = "2GB"
    cores: int = 1
    workers: int = 8
    adaptive: bool = True
    directives: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()
    interface: str | None = None


def read_slurm_options(path: Path | None, **given: Any) -> SlurmOptions:
    """Options of a TOML file, and those that were given beside it (which count).

    Raises
    ------
    InputError
        No such file, no TOML, an unknown option, or one of the wrong type.
    """
    found: dict[str, Any] = {}
    if path is not None:
        try:
            found = parse_toml(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise MissingDataError(f"There is no file {path}.") from error
        except (OSError, ValueError) as error:
            raise InputError(f"{path} cannot be read as TOML ({str(error)[:200]}).") from error
    kinds = {one.name: type(one.default) for one in fields(SlurmOptions)}
    for name, value in found.items():
        if name not in kinds:
            raise unknown_name(f"option in {path}", name, list(kinds))
        kind = {tuple: list, type(None): str}.get(kinds[name], kinds[name])
        right = isinstance(value, kind) and isinstance(value, bool) == (kind is bool)
        if not right or (kind is list and not all(isinstance(one, str) for one in found[name])):
            wanted = "list of texts" if kind is list else kind.__name__
            raise InputError(f"{path}: {name} must be of type {wanted}; got {value!r}.")
        found[name] = tuple(found[name]) if kind is list else value
    options = SlurmOptions(
        **found | {name: value for name, value in given.items() if value is not None}
    )
    for name in ("cores", "workers"):
        if getattr(options, name) < 1:
            raise InputError(f"{name} must be at least 1; got {getattr(options, name)}.")
    return options


@contextlib.contextmanager
def dask_workers(address: str | None, jobs: int) -> Iterator[Any]:
    """A client of the Dask scheduler at an address, or of workers that are started here.

    Parameters
    ----------
    address : str or None
        ``tcp://host:8786``, or a scheduler file (``….json``).
    jobs : int
        Workers that are started here, with one thread each.
    """
    distributed = _package("distributed")
    _configure()
    if address is None:
        with (
            distributed.LocalCluster(
                n_workers=jobs,
                threads_per_worker=1,
                dashboard_address=None,
                env=dict.fromkeys(_ONE_THREAD, "1"),
            ) as cluster,
            distributed.Client(cluster) as client,
        ):
            yield client
        return
    place = {"scheduler_file": address} if address.endswith(".json") else {"address": address}
    try:
        client = distributed.Client(**place, timeout=10)
    except (OSError, ValueError, TimeoutError) as error:
        raise InputError(
            f"There is no Dask scheduler at {address} ({str(error)[:200]}). Start one with `dask "
            "scheduler`, or leave the address out to have workers started here."
        ) from error
    with client:
        yield client


@contextlib.contextmanager
def slurm_workers(options: SlurmOptions) -> Iterator[Any]:
    """A client of workers that run as jobs of SLURM, one job each; they end with the block."""
    jobqueue = _package("dask_jobqueue")
    distributed = _package("distributed")
    _configure()
    threads = [f"export {name}={options.cores}" for name in _ONE_THREAD]
    # the package may be a folder that nobody has installed
    path = f'export PYTHONPATH="{_PACKAGE_HOME}${{PYTHONPATH:+:$PYTHONPATH}}"'
    with (
        jobqueue.SLURMCluster(
            queue=options.partition,
            account=options.account,
            walltime=options.time,
            memory=options.memory,
            cores=1,  # units at a time
            processes=1,
            job_cpu=options.cores,
            python=sys.executable,
            job_extra_directives=list(options.directives),
            job_script_prologue=[*options.setup, path, *threads],
            interface=options.interface,
            scheduler_options={"dashboard_address": None},
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        if options.adaptive:
            cluster.adapt(minimum=1, maximum=options.workers)
        else:
            cluster.scale(options.workers)
        with _lost_jobs_replaced(cluster, options):
            tell("waiting for the first of %d worker jobs", options.workers)
            try:
                client.wait_for_workers(1, timeout=_PATIENCE_S)
            except TimeoutError:
                log.warning(
                    "no worker job has started within %d s; it is waited for. `squeue --me` says "
                    "why, and this is the job:\n%s",
                    _PATIENCE_S,
                    cluster.job_script(),
                )
            yield client


@contextlib.contextmanager
def _lost_jobs_replaced(cluster: Any, options: SlurmOptions) -> Iterator[None]:
    """Look now and then for jobs that SLURM no longer knows, and have others submitted.

    ``distributed`` notices a worker that it loses, but waits for ever for one whose job was ended
    before it came.
    """
    stopped = threading.Event()

    def look() -> None:
        while not stopped.wait(_LOOK_S):
            try:
                known = subprocess.run(
                    ["squeue", "--me", "--noheader", "--format=%A"],
                    capture_output=True,
                    text=True,
                    timeout=60,
                    check=True,
                ).stdout.split()
                lost = [
                    name
                    for name, job in dict(cluster.workers).items()
                    if getattr(job, "job_id", None) and str(job.job_id) not in known
                ]
                if lost:
                    tell("%d worker job(s) ended; others take their place", len(lost))
                    cluster.sync(cluster.scale_down, lost)
                    if not options.adaptive:
                        cluster.scale(options.workers)
            except (OSError, subprocess.SubprocessError) as error:  # a busy controller: next time
                log.debug("squeue: %s", error)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join(_LOOK_S)


def run_on_dask(
    client: Any, work: Callable[[Any], Any], items: Sequence[Any]
) -> Iterator[tuple[int, Any]]:
    """Work on every item; (index of the item, outcome or exception) as they are finished.

    An item whose worker dies is given to another worker, once.

    Parameters
    ----------
    client : distributed.Client
    work : function of one argument
        Of a module that can be imported.
    items : sequence
    """
    distributed = _package("distributed")
    futures = {client.submit(work, item, pure=False): i for i, item in enumerate(items)}
    for future in distributed.as_completed(futures):
        index = futures.pop(future)
        error = future.exception()
        yield index, future.result() if error is None else error
        future.release()


def _configure() -> None:
    dask = _package("dask")
    dask.config.set(
        {
            "distributed.scheduler.allowed-failures": _LOST_WORKERS,
            "distributed.worker.memory.terminate": False,  # the cluster's own limit decides
            "distributed.worker.memory.pause": False,
            "distributed.worker.memory.spill": False,
            "distributed.worker.memory.target": False,
        }
    )


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(
            f"This backend needs the package {name}: pip install -e '.[cluster]'."
        ) from error

"""Fit all units of a sweep, here or on a cluster."""

from __future__ import annotations

import contextlib
import functools
import logging
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aud_dnn.errors import InputError, few
from aud_dnn.io.memory import available_memory
from aud_dnn.io.processes import outcomes_in_processes
from aud_dnn.io.progress import progress_bar, tell_finished
from aud_dnn.paths import ProjectPaths
from aud_dnn.runs.cluster import SlurmOptions, dask_workers, run_on_dask, slurm_workers
from aud_dnn.runs.estimates import duration
from aud_dnn.runs.fit import Read, fit_model
from aud_dnn.runs.fit_plan import require_disk_space
from aud_dnn.runs.fit_report import Outcome
from aud_dnn.runs.sweep_plan import SweepOptions, SweepPlan, SweepUnit

log = logging.getLogger("aud_dnn")

BACKENDS = ("local", "dask", "slurm")
_UNITS_PER_LINE = 10  # in a log file

_READ: dict[str, Read] = {}
"""Sweep -> published targets; a worker reads them with its first unit and keeps them for the rest,
but not for the next sweep, before which they may have been replaced.
"""


@dataclass(frozen=True)
class Backend:
    """Where units are fitted.

    Attributes
    ----------
    name : str
        Of :data:`BACKENDS`.
    jobs : int
        Worker processes of ``local``, and of ``dask`` without an address.
    address : str or None
        Of a Dask scheduler.
    slurm : SlurmOptions
    """

    name: str = "local"
    jobs: int = 1
    address: str | None = None
    slurm: SlurmOptions = field(default_factory=SlurmOptions)

    @property
    def n_workers(self) -> int:
        """For estimates."""
        return self.slurm.workers if self.name == "slurm" else self.jobs


@dataclass(frozen=True)
class Failure:
    """A unit that was not fitted, and why."""

    unit: SweepUnit
    why: str


def fit_unit(root: Path, options: SweepOptions, sweep: str, unit: SweepUnit) -> list[Outcome]:
    """Fit one unit to all targets: what a worker does.

    Results that are there are kept, whoever made them in the meantime. ``sweep`` tells one sweep
    from another.
    """
    if sweep not in _READ:
        _READ.clear()
    return fit_model(
        ProjectPaths(root),
        options.fit_options(unit.model, unit.randnetw, (unit.layer,)),
        progress=False,
        read=_READ.setdefault(sweep, {}),
    )


def run_sweep(
    paths: ProjectPaths,
    plan: SweepPlan,
    units: Sequence[SweepUnit],
    backend: Backend,
    *,
    progress: bool = True,
) -> list[Failure]:
    """Fit those of ``units`` that lack a result; whatever happens to some, the others are kept.

    Parameters
    ----------
    paths : ProjectPaths
    plan : SweepPlan
    units : sequence of SweepUnit
        The whole sweep, or a part of it (:meth:`SweepPlan.shard`).
    backend : Backend
    progress : bool

    Returns
    -------
    list of Failure

    Raises
    ------
    InputError
        Results are there that were made from something else, or there is no room for those to
        come: nothing has been fitted then. A cluster cannot be reached.
    """
    if plan.stale:
        raise InputError(
            f"{len(plan.stale)} result(s) are there but were not made from what is there now: "
            f"{few(plan.stale)}. Fit them again with --overwrite."
        )
    todo = [unit for unit in units if unit in plan.to_fit]
    share = len(todo) / max(len(plan.to_fit), 1)
    require_disk_space(paths, int(plan.disk * share))
    failures: list[Failure] = []
    if not todo:
        return failures
    if backend.name == "local":
        backend = replace(backend, jobs=_jobs_that_fit(backend.jobs, plan.memory))
    started = time.monotonic()
    work = functools.partial(fit_unit, paths.root.resolve(), plan.options, uuid.uuid4().hex)
    with (
        _outcomes(work, todo, backend) as outcomes,
        progress_bar(len(todo), "layer", wanted=progress) as bar,
    ):
        for number, (index, outcome) in enumerate(outcomes, 1):
            unit = todo[index]
            bar.set_postfix_str(f"{unit.model} {unit.layer}")
            bar.update()
            if isinstance(outcome, Exception):
                failures.append(Failure(unit, f"{type(outcome).__name__}: {outcome}"))
                log.warning("%s %s failed: %s", unit.model, unit.layer, outcome)
            if progress and number % _UNITS_PER_LINE == 0:
                left = (time.monotonic() - started) / number * (len(todo) - number)
                tell_finished(
                    "%d of %d layers fitted; about %s left", number, len(todo), duration(left)
                )
    return sorted(failures, key=lambda failure: failure.unit)


def _jobs_that_fit(jobs: int, memory: int) -> int:
    """No more processes than there is memory for; they would be killed, and cost their layers."""
    free = available_memory()
    if free is None or jobs * memory <= free:
        return jobs
    fitting = max(1, free // memory)
    log.warning(
        "%d processes may need %.1f GB, and %.1f GB are free: %d are used",
        jobs,
        jobs * memory / 1e9,
        free / 1e9,
        fitting,
    )
    return fitting


@contextlib.contextmanager
def _outcomes(
    work: Callable[[Any], Any], units: Sequence[SweepUnit], backend: Backend
) -> Iterator[Iterator[tuple[int, Any]]]:
    """(index, outcome or exception) of every unit, as they are finished."""
    if backend.name == "local":
        with contextlib.closing(outcomes_in_processes(work, units, backend.jobs)) as outcomes:
            yield outcomes
        return
    workers = (
        dask_workers(backend.address, backend.jobs)
        if backend.name == "dask"
        else slurm_workers(backend.slurm)
    )
    with workers as client:
        yield run_on_dask(client, work, units)


_JOB_SCRIPT = """\
#!/bin/bash
#SBATCH --array=1-{n_parts}
#SBATCH --cpus-per-task=1
#SBATCH --mem={memory}M
#SBATCH --time={time}
# one part of the sweep each; parts that are missing or repeated do no harm
export OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK
{command} --shard $SLURM_ARRAY_TASK_ID/{n_parts}
"""


def job_script(plan: SweepPlan, command: str, n_parts: int) -> str:
    """An array job for SLURM that does this very sweep.

    Parameters
    ----------
    plan : SweepPlan
    command : str
        What makes it, without ``--shard`` and ``--dry_run``.
    n_parts : int
    """
    hours = max(1, round(3 * plan.seconds / n_parts / 3600 + 0.5))  # three times the estimate
    return _JOB_SCRIPT.format(
        n_parts=n_parts,
        memory=max(1000, 200 * round(plan.memory / 1e8)),  # twice the estimate
        time=f"{hours:02d}:00:00",
        command=command,
    )

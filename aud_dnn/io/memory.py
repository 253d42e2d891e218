"""How much memory there is.

Imports nothing, so that it can be asked before anything large is imported.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from aud_dnn.errors import InputError

_LEAST_ADDRESS_SPACE, _PER_CORE = (
    1_000_000_000,
    250_000_000,
)  # bytes; measured with the demo: 0.75 GB with one thread


def available_memory() -> int | None:
    """Bytes that may still be allocated before the system or a limit objects.

    None where that is not known.
    """
    found = []
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            found.append(limit - pages * resource.getpagesize())
    with contextlib.suppress(OSError, ValueError, KeyError, IndexError):
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        found.append(int(lines["MemAvailable"].split()[0]) << 10)
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        with contextlib.suppress(OSError, ValueError):  # "max" is no number
            group = Path("/sys/fs/cgroup")
            found.append(int((group / limit).read_text()) - int((group / used).read_text()))
    return max(0, min(found)) if found else None


def mind_address_space() -> None:
    """Under a tight limit on address space (``ulimit -v``) ask the libraries to reserve little.

    Refuse a hopeless one.

    Numerical libraries that get less than they reserve end in segmentation faults or wait for ever,
    so this is looked at before they are imported.

    Raises
    ------
    InputError
        The limit is too low for any work.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    n_cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    if limit == resource.RLIM_INFINITY or limit > 2 * _LEAST_ADDRESS_SPACE + n_cores * _PER_CORE:
        return
    if limit < _LEAST_ADDRESS_SPACE:
        raise InputError(
            f"This process may use {limit / 1e9:.1f} GB of address space (`ulimit -v`); it needs "
            f"at least {_LEAST_ADDRESS_SPACE / 1e9:.0f} GB. Raise the limit (`ulimit -v "
            "unlimited`), or ask the cluster for more memory."
        )
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")

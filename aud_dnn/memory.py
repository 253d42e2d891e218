"""How much memory there is. Imports nothing, so that it can be asked before anything large is imported."""

from __future__ import annotations

import contextlib
from pathlib import Path

from aud_dnn.errors import InputError


def available_memory() -> int | None:
    """Bytes that may still be allocated before the system or a limit objects; None where that is not known."""
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
    for limit, used in (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes")):
        with contextlib.suppress(OSError, ValueError):      # "max" is no number
            group = Path("/sys/fs/cgroup")
            found.append(int((group / limit).read_text()) - int((group / used).read_text()))
    return max(0, min(found)) if found else None


def require_address_space(n_bytes: int, what: str) -> None:
    """Refuse to start under a limit (``ulimit -v``) that libraries do not survive: some wait without end, others crash.

    Raises
    ------
    InputError
        ``what`` needs more than the limit allows.
    """
    with contextlib.suppress(ImportError):
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY and limit < n_bytes:
            raise InputError(f"This process may use {limit / 1e6:,.0f} MB of memory (ulimit -v); {what} needs about "
                             f"{n_bytes / 1e6:,.0f} MB at least. Raise the limit, or ask for more memory.")

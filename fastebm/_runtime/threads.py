"""How many threads a call uses.

Results have the same bits for any number of threads: sums go over fixed ranges of states, added in
order (csrc, `parallel.h`).
"""

import os

import numpy as np

from ..errors import InvalidChainError

# libgomp hangs in a child process that was forked after the parent had used threads, so a forked
# child computes with one thread.
_IMPORT_PID = os.getpid()


def available_cpus() -> int:
    """The number of CPUs that this process may use (affinity and cgroup quota), at least 1."""
    try:
        cpus = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows lack it
        cpus = os.cpu_count() or 1
    try:
        with open("/sys/fs/cgroup/cpu.max") as file:
            quota, period = file.read().split()
        if quota != "max":
            cpus = min(cpus, max(1, round(int(quota) / int(period))))
    except (OSError, ValueError):  # no cgroup v2
        pass
    return max(1, cpus)


def resolve_threads(num_threads: int | None) -> int:
    """The number of threads to use. None: all CPUs that this process may use, but no more than
    OMP_NUM_THREADS."""
    if num_threads is not None:
        if isinstance(num_threads, bool) or not isinstance(num_threads, (int, np.integer)):
            raise TypeError(f"num_threads must be an int or None, not {type(num_threads).__name__}")
        if num_threads < 1:
            raise InvalidChainError(f"num_threads must be at least 1, got {num_threads}")
    if os.getpid() != _IMPORT_PID:
        return 1
    if num_threads is not None:
        return int(num_threads)
    cpus = available_cpus()
    limit = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return min(cpus, int(limit)) if limit.isdigit() and int(limit) > 0 else cpus

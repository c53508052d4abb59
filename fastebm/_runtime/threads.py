"""How many threads a call uses.

Results have the same bits for any number of threads: sums go over fixed ranges of states, added in
order (csrc, `parallel.h`).
"""

import os
import re
import threading

import numpy as np

from ..errors import InvalidChainError
from .control_groups import cpu_quotas
from .memory import address_space, soft_limit

# libgomp hangs in a child process that was forked after the parent had used threads, so a forked
# child computes with one thread.
_IMPORT_PID = os.getpid()

# More threads than this, or than four times the CPUs, only wait for each other; libgomp keeps the
# records of a team on the stack, and tens of thousands overflow it.
MOST_THREADS = 1024

# The largest team that the limits of the system were found to allow.
_allowed = 1


def available_cpus() -> int:
    """The number of CPUs that this process may use (affinity and quotas of control groups), at
    least 1."""
    try:
        cpus = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows lack it
        cpus = os.cpu_count() or 1
    return min([cpus, *(max(1, round(quota)) for quota in cpu_quotas())])


def resolve_threads(num_threads: int | None) -> int:
    """The number of threads to use. None: all CPUs that this process may use, but no more than
    OMP_NUM_THREADS. Never more than the system allows."""
    if num_threads is not None:
        if isinstance(num_threads, bool) or not isinstance(num_threads, (int, np.integer)):
            raise TypeError(f"num_threads must be an int or None, not {type(num_threads).__name__}")
        if num_threads < 1:
            raise InvalidChainError(f"num_threads must be at least 1, got {num_threads}")
        most = max(MOST_THREADS, 4 * (os.cpu_count() or 1))
        if num_threads > most:
            raise InvalidChainError(f"num_threads must be at most {most}, got {num_threads}")
    if os.getpid() != _IMPORT_PID:
        return 1
    if num_threads is None:
        num_threads = available_cpus()
        limit = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
        if re.fullmatch("[0-9]{1,9}", limit) and int(limit):
            num_threads = min(num_threads, int(limit))
    return _startable(int(num_threads))


def _startable(num_threads: int) -> int:
    """`num_threads`, or fewer where the system does not allow a team of that size: libgomp ends the
    process if it cannot start a thread.

    Where the address space is limited, stacks may take half of what is left of it; arrays need the
    rest. Otherwise the threads are started here once (limits of processes and of control groups).
    """
    global _allowed
    room = address_space()
    if room is not None:
        return min(num_threads, 1 + room // (2 * _stack_size()))
    if num_threads <= _allowed:
        return num_threads
    started, done = list[threading.Thread](), threading.Event()
    try:
        while len(started) < num_threads - 1:
            thread = threading.Thread(target=done.wait, daemon=True)
            thread.start()
            started.append(thread)
        _allowed = num_threads
    except RuntimeError:  # "can't start new thread"
        num_threads = max(1, len(started) // 2)  # Python may have to start others
    finally:
        done.set()
        for thread in started:
            thread.join()
    return num_threads


def _stack_size() -> int:
    """Bytes of address space that the stack of a thread of libgomp takes, at least 1 MB."""
    size = soft_limit("RLIMIT_STACK") or 2**23  # the usual limit
    asked = re.fullmatch("([0-9]{1,9}) *([bkmg]?)", os.environ.get("OMP_STACKSIZE", "").lower())
    if asked:
        size = int(asked[1]) << {"b": 0, "k": 10, "": 10, "m": 20, "g": 30}[asked[2]]
    return max(size, 2**20)

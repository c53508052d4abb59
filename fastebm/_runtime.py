"""Threads, random keys, progress, interruption and the memory forecast: one place each."""

import os
import time
from contextlib import contextmanager

import numpy as np

from .errors import Interrupted, InvalidChainError, MemoryForecastError

# libgomp hangs in a child that was forked after the parent used threads; such a child computes with one.
_IMPORT_PID = os.getpid()

# One call into the core does at most about 0.2 s of work, so that Ctrl-C is answered well within a second. At the
# slowest measured rate (random gathers, 4 ns an entry on one core) that is this many entries.
ENTRIES_PER_CALL = 50_000_000

# What is cut by the clock instead: the first call of a long run of calls gets this many entries (5 ms of searching, which waits
# for the memory at every entry), every other as many as let it last this long.
FIRST_ENTRIES = 50_000
SECONDS_PER_CALL = 0.1


class Pace:
    """The sizes of a long run of calls. How the work is cut changes no result, so it may follow the clock: a busy machine, a
    slow pass and a small cache all lead to shorter calls.

    ``size`` is what the next call gets; say ``with pace:`` around each call.
    """

    def __init__(self, size=FIRST_ENTRIES):
        self.size = size

    def __enter__(self):
        self._begin = time.perf_counter()

    def __exit__(self, *_):
        elapsed = max(time.perf_counter() - self._begin, 1e-9)
        self.size = max(1, min(int(self.size * min(4.0, SECONDS_PER_CALL / elapsed)), 2**40))  # short calls, many times


def available_cpus():
    """CPUs that this process may use: affinity and cgroup quota, at least 1."""
    try:
        cpus = len(os.sched_getaffinity(0))
    except AttributeError:  # not offered on macOS and Windows
        cpus = os.cpu_count() or 1
    try:
        with open("/sys/fs/cgroup/cpu.max") as file:
            quota, period = file.read().split()
        if quota != "max":
            cpus = min(cpus, max(1, round(int(quota) / int(period))))
    except (OSError, ValueError):  # no cgroup v2
        pass
    return max(1, cpus)


def resolve_threads(num_threads):
    """The number of threads to use; None: the CPUs this process may use, capped by OMP_NUM_THREADS."""
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


def philox_key(rng):
    """Two 64-bit words that key every random stream of a call, drawn from `rng` (SPEC 7)."""
    return np.random.default_rng(rng).integers(0, 2**64, size=2, dtype=np.uint64)


def free_memory():
    """Bytes that can still be allocated, or None where the system does not tell."""
    try:
        with open("/proc/meminfo") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    free = int(line.split()[1]) * 1024
                    break
            else:
                return None
    except OSError:
        return None
    try:
        with open("/sys/fs/cgroup/memory.max") as limit, open("/sys/fs/cgroup/memory.current") as current:
            free = min(free, int(limit.read()) - int(current.read()))
    except (OSError, ValueError):  # no cgroup v2, or no limit
        pass
    return free


def forecast_memory(n_bytes, purpose):
    """Raise `MemoryForecastError` before an allocation that cannot succeed."""
    free = free_memory()
    if free is not None and n_bytes > free:
        raise MemoryForecastError(
            f"{purpose} needs {n_bytes:,} bytes and {free:,} are free; use a smaller chain or a machine with more memory"
        )


class Monitor:
    """Progress of one long call: an optional tqdm bar on stderr and an optional callback(info).

    Call it after every piece of work with keyword values; they reach the callback as a dict and the bar as its postfix.
    """

    def __init__(self, description, *, total=None, progress=False, callback=None):
        self._callback = callback
        self._bar = None
        self._done = 0
        self._begin = time.perf_counter()
        if progress:
            from tqdm import tqdm  # imported only when a bar is wanted

            self._bar = tqdm(total=total, desc=description, leave=False)

    @property
    def wall_s(self):
        """Seconds since the call began."""
        return time.perf_counter() - self._begin

    def __call__(self, done, **info):
        if self._bar is not None:
            self._bar.update(done - self._done)
            self._bar.set_postfix({k: f"{v:.3g}" for k, v in info.items() if isinstance(v, float)}, refresh=False)
        self._done = done
        if self._callback is not None:
            self._callback({"done": done, "wall_s": self.wall_s, **info})

    def close(self):
        if self._bar is not None:
            self._bar.close()


@contextmanager
def interruptible(description, partial, *, total=None, progress=False, callback=None):
    """Yield a `Monitor`; turn Ctrl-C into `Interrupted` carrying `partial()`, the result so far or None."""
    monitor = Monitor(description, total=total, progress=progress, callback=callback)
    try:
        yield monitor
    except Interrupted:
        raise
    except KeyboardInterrupt as error:
        raise Interrupted(f"{description} was interrupted", partial()) from error
    finally:
        monitor.close()

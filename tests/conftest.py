"""How the tests run: on every CPU, one thread a worker; tests marked `threads` run alone.

Without pytest-xdist, or with `-n 0`, everything runs in one process.
"""

import contextlib
import os
import signal
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

try:
    import fcntl
except ImportError:  # Windows: tests marked `threads` run next to others
    fcntl = None  # type: ignore[assignment]  # typeshed has no type for an absent module

WORKER = "PYTEST_XDIST_WORKER" in os.environ

if WORKER:
    # libgomp and OpenBLAS read this when they are loaded: set it before NumPy and fastebm are
    # imported. Waiting threads sleep, because spinning takes the CPUs of the other workers.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # Shells start background jobs with the signal ignored; tests of Ctrl-C need it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples on every run and machine. No deadline: builds under sanitizers are slow.
settings.register_profile("fastebm", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("fastebm")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Make `-n auto --dist worksteal` the default.

    Set here and not in `addopts`, which the benchmarks share: they need one process. Work stealing
    gives a worker neighbouring tests, which share fixtures.
    """
    if WORKER or not config.pluginmanager.hasplugin("xdist"):
        return
    if config.option.numprocesses is None:
        config.option.numprocesses = "auto"
        if config.option.dist == "no":
            config.option.dist = "worksteal"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """`-n auto`: the CPUs this process may use; xdist with psutil ignores the CPU affinity."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None  # xdist reads it
    from fastebm._runtime.threads import available_cpus

    return available_cpus()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """A test marked `threads` waits until the other workers are idle, and they wait for it."""
    if not WORKER or fcntl is None:
        return (yield)
    kind = fcntl.LOCK_SH if item.get_closest_marker("threads") is None else fcntl.LOCK_EX
    with contextlib.ExitStack() as machine:
        # A test that waits for the second lock holds the first one, so that tests that come later
        # cannot start before it.
        with locked(Path(__file__), kind):
            machine.enter_context(locked(Path(__file__).parent, kind))
        return (yield)


@contextlib.contextmanager
def locked(path: Path, kind: int) -> Iterator[None]:
    """Hold an advisory lock on a file or folder; the system drops it if the process dies."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems have no locks
            fcntl.flock(descriptor, kind)
        yield
    finally:
        os.close(descriptor)

"""Signals that end a command early: Ctrl-C, and what batch systems send before they kill a job.

The first such signal raises `Stop` in the main thread, as Ctrl-C raises KeyboardInterrupt, so that
the call that is running saves its checkpoint and hands over its partial result. While that is
handled further signals are ignored, so that none of them interrupts the saving and the printing.
"""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

# SIGTERM: Slurm, PBS, Kubernetes, kill. SIGUSR1: Slurm (--signal) and Grid Engine. SIGUSR2: Grid
# Engine before SIGKILL. SIGXCPU: a limit on CPU time. SIGHUP: a terminal that was closed.
NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")
# Python drops an exception that a handler raises inside a destructor, and a module whose import is
# interrupted cannot be imported again. So the signal is raised again until it has an effect.
RETRY_S = 0.2
ALARM: int | None = getattr(signal, "SIGALRM", None)  # Windows has none


class Stop(KeyboardInterrupt):
    """A signal asked the command to end."""


class Signals:
    """The signals that a command receives: held back until its work begins, raised as `Stop` while
    it works, ignored when it is done.

    Attributes
    ----------
    received : int or None
        The first signal.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._is_working = False
        self._is_done = False
        self._before: dict[int, Any] = {}

    @property
    def status(self) -> int:
        """The exit status of an interrupted command, as shells count it."""
        return 128 + (self.received or signal.SIGINT)

    @property
    def name(self) -> str:
        """The name of the first signal; SIGINT after a KeyboardInterrupt without a signal."""
        return signal.Signals(self.received or signal.SIGINT).name

    def begin(self) -> None:
        """From now on a signal raises `Stop`; now if there was one."""
        self._is_working = True
        if self.received is not None:
            raise Stop

    def finish(self) -> None:
        """From now on signals have no effect: only saving and printing are left."""
        self._is_done = True
        if ALARM in self._before:
            signal.setitimer(signal.ITIMER_REAL, 0.0)

    def ignore(self) -> None:
        """Ignore the signals until the process has ended: when it finalizes, Python replaces its
        handlers by those of the system, which would kill it."""
        self.finish()
        for number in self._before:
            signal.signal(number, signal.SIG_IGN)

    def install(self) -> None:
        """Handle the signals. Those that the process was started to ignore (by nohup, or as a
        background job) stay ignored. In other threads than the main one, where Python cannot
        install handlers, nothing changes."""
        if threading.current_thread() is threading.main_thread():
            for name in NAMES:
                number = getattr(signal, name, None)  # Windows lacks some
                if number is not None and signal.getsignal(number) != signal.SIG_IGN:
                    self._install(number)

    def restore(self) -> None:
        """Give the signals the handlers that they had before."""
        self.finish()
        for number, handler in self._before.items():
            # None: a handler that was not installed from Python and cannot be restored
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _install(self, number: int) -> None:
        self._before[number] = signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._is_done:
            return
        if self.received is None:
            self.received = number
        if not self._is_working:
            return
        if ALARM is not None:
            if ALARM not in self._before:
                self._install(ALARM)
            signal.setitimer(signal.ITIMER_REAL, RETRY_S)
        if not _is_stopping(sys.exc_info()[1]) and not _is_importing(frame):
            raise Stop


def _is_stopping(error: BaseException | None) -> bool:
    """Whether the exception that is being handled is a `Stop`, or was raised after one."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, KeyboardInterrupt):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


@contextmanager
def handled_signals() -> Iterator[Signals]:
    """Signals that are handled within the block."""
    signals = Signals()
    try:
        signals.install()
        yield signals
    finally:
        signals.restore()

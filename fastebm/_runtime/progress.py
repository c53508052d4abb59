"""Threads, random keys, progress, interruption and the memory forecast: one place each."""

import time
from contextlib import contextmanager

from ..errors import Interrupted


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
            self._bar.set_postfix(
                {k: f"{v:.3g}" for k, v in info.items() if isinstance(v, float)}, refresh=False
            )
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

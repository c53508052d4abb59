"""Progress of a long call, and Ctrl-C as an error with the partial result."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import Interrupted
from .types import Callback

# Ctrl-C while the partial result is made begins it again, at most so many times in all.
MOST_PARTIALS = 3


class Monitor:
    """Progress of one long call: an optional tqdm bar on stderr and an optional callback(info).

    Call it after every piece of work. The keyword values reach the callback in a dict, and the
    floats among them are shown after the bar.
    """

    def __init__(
        self,
        description: str,
        *,
        total: int | None = None,
        progress: bool = False,
        callback: Callback | None = None,
    ) -> None:
        self._callback = callback
        self._bar: Any = None
        self._done = 0
        self._begin = time.perf_counter()
        if progress:
            from tqdm import tqdm  # imported only when a bar is wanted

            self._bar = tqdm(total=total, desc=description, leave=False)

    @property
    def wall_s(self) -> float:
        """Seconds since the call began."""
        return time.perf_counter() - self._begin

    def __call__(self, done: int, **info: Any) -> None:
        if self._bar is not None:
            self._bar.update(done - self._done)
            self._bar.set_postfix(
                {k: f"{v:.3g}" for k, v in info.items() if isinstance(v, float)}, refresh=False
            )
        self._done = done
        if self._callback is not None:
            self._callback({"done": done, "wall_s": self.wall_s, **info})

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


@contextmanager
def interruptible(
    description: str,
    partial: Callable[[], Any],
    *,
    total: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
) -> Iterator[Monitor]:
    """Yield a `Monitor`. Ctrl-C becomes an `Interrupted` with `partial()`, the result so far or
    None. A further Ctrl-C does not keep the result back, and an error in partial() not the
    `Interrupted`."""
    monitor = Monitor(description, total=total, progress=progress, callback=callback)
    try:
        yield monitor
    except KeyboardInterrupt as error:  # or the Interrupted of a call within this one
        raise _interrupted(description, partial) from error
    finally:
        monitor.close()


def _interrupted(description: str, partial: Callable[[], Any]) -> Interrupted:
    text = f"{description} was interrupted"
    for _ in range(MOST_PARTIALS):
        try:
            return Interrupted(text, partial())
        except KeyboardInterrupt:
            continue
        except Exception as error:
            return Interrupted(
                f"{text}; it has no partial result ({type(error).__name__}: {error})"
            )
    return Interrupted(text)

"""Progress of a long call, and Ctrl-C as an error with the partial result."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ..errors import Interrupted
from .types import Callback

# Where stderr is a file, progress is one line in so many seconds.
LINE_EVERY_S = 30.0
# Ctrl-C while the partial result is made begins it again, at most so many times in all.
MOST_PARTIALS = 3


class Monitor:
    """Progress of one long call on stderr, and an optional callback(info).

    Call it after every piece of work. The keyword values reach the callback in a dict, and the
    floats among them are shown. On a terminal progress is a bar of tqdm; elsewhere, as in the log
    of a batch job, it is a plain line from time to time. If stderr accepts no more text, the work
    goes on without.
    """

    def __init__(
        self,
        description: str,
        *,
        total: int | None = None,
        progress: bool = False,
        callback: Callback | None = None,
    ) -> None:
        self._description, self._total = description, total
        self._callback = callback
        self._bar: Any = None
        self._done = 0
        self._begin = time.perf_counter()
        self._next_line_s = float("inf")
        if progress and sys.stderr is not None:
            if _is_terminal(sys.stderr):
                from tqdm import tqdm  # imported only when a bar is wanted

                with suppress(OSError):
                    self._bar = tqdm(total=total, desc=description, leave=False)
            else:
                self._next_line_s = LINE_EVERY_S

    @property
    def wall_s(self) -> float:
        """Seconds since the call began."""
        return time.perf_counter() - self._begin

    def __call__(self, done: int, **info: Any) -> None:
        if self._bar is not None:
            self._move_bar(done, info)
        elif (wall_s := self.wall_s) >= self._next_line_s:
            self._next_line_s = wall_s + LINE_EVERY_S
            with suppress(OSError, ValueError):  # a full disk; a file that was closed
                print(self._line(done, info, wall_s), file=sys.stderr, flush=True)
        self._done = done
        if self._callback is not None:
            self._callback({"done": done, "wall_s": self.wall_s, **info})

    def _move_bar(self, done: int, info: dict[str, Any]) -> None:
        try:
            self._bar.update(done - self._done)
            self._bar.set_postfix(dict(_numbers(info)), refresh=False)
        except (OSError, ValueError):  # the terminal is gone
            self._bar.disable = True  # or its destructor writes again
            self._bar = None

    def _line(self, done: int, info: dict[str, Any], wall_s: float) -> str:
        of = "" if self._total is None else f" of {self._total:,}"
        facts = [f"{done:,}{of}", *(f"{name} {value}" for name, value in _numbers(info))]
        return f"fastebm: {self._description}: {', '.join([*facts, f'{wall_s:,.0f} s'])}"

    def close(self) -> None:
        if self._bar is not None:
            with suppress(OSError, ValueError):
                self._bar.close()


def _is_terminal(stream: Any) -> bool:
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):  # a replacement of stderr; a file that was closed
        return False


def _numbers(info: dict[str, Any]) -> Iterator[tuple[str, str]]:
    return ((name, f"{value:.3g}") for name, value in info.items() if isinstance(value, float))


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

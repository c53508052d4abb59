"""Long work cut into calls that are short enough for Ctrl-C.

How the work is cut changes no result, because every row is a function of its own. So the cut may
follow the clock: a busy machine, a slow pass and a small cache all lead to shorter calls.
"""

import time
from collections.abc import Callable, Iterator
from types import TracebackType

import numpy as np

from .types import IntArray

# One call into the core does at most about 0.2 s of work, so that Ctrl-C is answered well within a
# second. At the slowest measured rate (random gathers, 4 ns an entry on one core) that is this many
# entries.
ENTRIES_PER_CALL = 50_000_000

# Where sizes follow the clock, the first call gets this many entries (5 ms of a graph search, which
# waits for memory at every entry). Later calls are sized to last SECONDS_PER_CALL.
FIRST_ENTRIES = 50_000
SECONDS_PER_CALL = 0.1


class Pacer:
    """How much work each of a long series of calls gets: `size` for the next one. Wrap each call in
    ``with pacer:``, which times it.

    Parameters
    ----------
    first : int
        Size of the first call.
    seconds_per_call : float
    growth : float
        The largest factor between one size and the next.
    largest : int
        No size is larger.

    Attributes
    ----------
    size : int
    seconds : float
        Time spent in all calls.
    """

    def __init__(
        self,
        first: int = FIRST_ENTRIES,
        *,
        seconds_per_call: float = SECONDS_PER_CALL,
        growth: float = 4.0,
        largest: int = 2**40,
    ) -> None:
        self.size, self.seconds, self._largest = first, 0.0, largest
        self._first, self._seconds_per_call, self._growth = first, seconds_per_call, growth

    def restart(self) -> None:
        """Give the next call the size of the first one."""
        self.size = self._first

    def __enter__(self) -> None:
        self._begin = time.perf_counter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        elapsed = max(time.perf_counter() - self._begin, 1e-9)
        self.seconds += elapsed
        factor = min(self._growth, self._seconds_per_call / elapsed)
        self.size = max(1, min(int(self.size * factor), self._largest))


def paced_ranges(
    n: int, pacer: Pacer | None = None, *, offsets: IntArray | None = None
) -> Iterator[tuple[int, int]]:
    """Ranges (begin, end) that cover 0..n in order. The time of one sets the size of the next.

    With `offsets` (n + 1,), item i consists of offsets[i + 1] - offsets[i] entries, and `size`
    limits the entries of a range as well as its items. A range has at least one item.
    """
    pacer, begin = pacer or Pacer(), 0
    while begin < n:
        end = min(begin + pacer.size, n)
        if offsets is not None:
            last = int(np.searchsorted(offsets, int(offsets[begin]) + pacer.size, side="right")) - 1
            end = min(max(last, begin + 1), end)
        with pacer:
            yield begin, end
        begin = end


def run_paced(expand: Callable[[int], bool], pacer: Pacer | None = None) -> None:
    """Call expand(size) until it returns True."""
    pacer, done = pacer or Pacer(), False
    while not done:
        with pacer:
            done = expand(pacer.size)

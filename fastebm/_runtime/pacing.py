"""Long work cut into calls that are short enough for Ctrl-C."""

import time

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
        self.size = max(
            1, min(int(self.size * min(4.0, SECONDS_PER_CALL / elapsed)), 2**40)
        )  # short calls, many times

"""The walkers of one `simulate_hitting_times` call: rounds, interruption and checkpoints."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import _core
from .._runtime.resumable import Resumable, State
from .._runtime.types import BoolArray, IntArray
from ..chains.chain import MarkovChain
from ..equilibrium.structure import hits_almost_surely, reachable
from .statistics import HittingStatistics
from .walkers import WALKERS_PER_ROUND, Starts, Words, advance, bit_set, step_pacer

# Arrivals from which a sequential stop trusts the normal approximation. It still misses starts of
# mass below 3 / hits.
HITS_BEFORE_STOP = 1_000


class Reached(NamedTuple):
    """Progress of a run. Replaced as a whole, so that an interruption sees it before or after a
    call to the core, never between."""

    statistics: HittingStatistics  # of finished rounds
    step: int = 0  # of the current round
    states: IntArray | None = None  # of its walkers; None between rounds
    stop_time: IntArray | None = None


class HittingRun:
    """The walkers of one call, in rounds, and the statistics of all of them at any moment.

    A round ends only when all its walkers have: to stop as soon as enough have arrived would favour
    the fast ones.

    Parameters
    ----------
    mask : ndarray bool (n_states,)
        The target.
    rel_ci : float or None
        Stop early once the interval is that narrow.

    Attributes
    ----------
    all_hit_surely : bool
        The target is hit almost surely from every start used so far.
    n_steps_before : int
        Steps that were restored from a checkpoint.
    """

    def __init__(
        self,
        chain: MarkovChain,
        mask: BoolArray,
        starts: Starts,
        key: Words,
        max_steps: int,
        rel_ci: float | None,
        num_threads: int,
    ) -> None:
        alive = reachable(chain, mask)
        self.hits_surely = alive if alive.all() else hits_almost_surely(chain, mask)
        self.kernel = chain._scaled.walker(num_threads)
        self.key, self.num_threads = key, num_threads
        self.mask, self.bits = mask, bit_set(mask | ~alive)
        self.targets = np.flatnonzero(mask)
        self.starts, self.max_steps, self.rel_ci = starts, max_steps, rel_ci
        self.pacer, self.n_steps_before = step_pacer(), 0
        self.all_hit_surely = True
        self.reached = Reached(HittingStatistics(len(self.targets)))

    @property
    def n_finished(self) -> int:
        """Walkers of finished rounds."""
        return self.reached.statistics.n

    def run(self, n_walkers: int, progress: Resumable) -> None:
        """Run rounds until n_walkers are done, or the interval is narrow enough."""
        while self.n_finished < n_walkers and not (
            self.rel_ci is not None
            and self.n_finished
            and self.is_converged(self.reached.statistics)
        ):
            size = WALKERS_PER_ROUND
            if self.rel_ci is not None:
                size = max(HITS_BEFORE_STOP, self.n_finished // 4)
            self._round(min(size, WALKERS_PER_ROUND, n_walkers - self.n_finished), progress)

    def _round(self, size: int, progress: Resumable) -> None:
        """Run the next `size` walkers, or the round restored from a checkpoint, until each has
        stopped or made max_steps."""
        statistics, step, states, stop_time = self.reached
        if states is None or stop_time is None:
            states = self.starts.take(statistics.n, size)
            stop_time = np.full(size, -1, dtype=np.int64)
            self.all_hit_surely = self.all_hit_surely and bool(self.hits_surely[states].all())
        n_walking = int(np.count_nonzero(stop_time < 0))
        while n_walking and step < self.max_steps:
            states, stop_time = states.copy(), stop_time.copy()

            def walk(
                begin: int, end: int, states: IntArray = states, stop_time: IntArray = stop_time
            ) -> None:
                _core.walk_hit(
                    self.kernel,
                    self.key,
                    self.bits,
                    self.num_threads,
                    statistics.n,
                    begin,
                    end,
                    states,
                    stop_time,
                )

            step = advance(self.pacer, walk, step, self.max_steps)
            self.reached = Reached(statistics, step, states, stop_time)
            n_walking = int(np.count_nonzero(stop_time < 0))
            progress.save()
            progress(statistics.n + len(states) - n_walking, step=step, walking=n_walking)
        self.reached = Reached(self.statistics())

    def statistics(self) -> HittingStatistics:
        """Of all walkers begun; those still walking count as censored at their step."""
        statistics, step, states, stop_time = self.reached
        if states is None or stop_time is None:
            return statistics
        walking = stop_time < 0
        number = np.full(len(states), -1, dtype=np.int64)
        arrived = ~walking & self.mask[states]
        number[arrived] = np.searchsorted(self.targets, states[arrived])
        return statistics.plus(np.where(walking, step, stop_time), number, walking)

    def is_converged(self, statistics: HittingStatistics) -> bool:
        """Whether nobody was censored and, with `rel_ci`, the interval is narrow and rests on
        enough arrivals."""
        if statistics.n_censored:
            return False
        if self.rel_ci is None or not self.all_hit_surely:
            return True
        mean, ci, _ = statistics.moments()
        return bool(statistics.n_arrived >= HITS_BEFORE_STOP and ci[1] - mean <= self.rel_ci * mean)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays of a checkpoint."""
        statistics, step, states, stop_time = self.reached
        none = np.empty(0, dtype=np.int64)
        return statistics.state() | {
            "all_sure": np.array(self.all_hit_surely),
            "step": np.array(step),
            "states": none if states is None else states,
            "stop_time": none if stop_time is None else stop_time,
        }

    def restore(self, state: State) -> None:
        """Continue from the arrays that `state` returned."""
        self.all_hit_surely = bool(state["all_sure"])
        statistics = HittingStatistics.from_state(state)
        if len(state["states"]):
            self.reached = Reached(
                statistics, int(state["step"]), state["states"], state["stop_time"]
            )
        else:
            self.reached = Reached(statistics)
        self.n_steps_before = self.statistics().total

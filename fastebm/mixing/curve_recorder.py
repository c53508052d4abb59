"""The distances of a mixing curve as they are found, with the state of a checkpoint."""

import numpy as np

from .. import _core
from .._runtime.resumable import Resumable, State
from .._runtime.types import IntArray
from .evolution import DensityEvolution


class CurveRecorder:
    """tv, kl, chi2, separation and l2 at the recorded steps: `values` (5, n_starts, n_recorded) and
    bounds on their `errors`, found group by group of starts; `n_complete` steps are known for all
    starts."""

    def __init__(self, recorded: IntArray, n_starts: int) -> None:
        self.recorded = recorded
        self.groups = range(0, n_starts, _core.EVOLVE_WIDTH)
        self.values = np.full((5, n_starts, len(recorded)), np.nan)
        self.errors = np.full((5, n_starts, len(recorded)), np.nan)
        self.n_complete = 0
        self._reached: State | None = None  # after the last step
        self._resumed: State | None = None

    @property
    def group(self) -> int:
        """The number of the group under way when a checkpoint was saved."""
        return 0 if self._resumed is None else int(self._resumed["at"][0])

    def state(self) -> State | None:
        """Arrays from which `restore` goes on with the same bits."""
        if self._reached is None:
            return None
        return {**self._reached, "values": self.values, "bounds": self.errors}

    def restore(self, state: State) -> None:
        """Go on from `state()`."""
        self.values, self.errors = state["values"], state["bounds"]
        self._resumed = self._reached = state

    def run(self, first: int, evolution: DensityEvolution, monitor: Resumable) -> None:
        """The distances of the starts from the number `first` on, all steps."""
        width, last = _core.EVOLVE_WIDTH, int(self.recorded[-1])
        at = begin = 0
        if self._resumed is not None:
            _, begin, at, self.n_complete = self._resumed["at"].tolist()
            evolution.restore(self._resumed)
            self._resumed = None
        for t in range(begin, last + 1):
            wanted = t == self.recorded[at]
            if t:
                evolution.step(measured=wanted)
            info = {}
            if wanted:
                self.values[:4, first : first + width, at] = evolution.distances
                self.values[4, first : first + width, at] = evolution.l2
                self.errors[:4, first : first + width, at] = evolution.error.distances
                self.errors[4, first : first + width, at] = evolution.error.l2
                at += 1
                # a partial result has all starts, so only the last group advances it
                self.n_complete = at if first == self.groups[-1] else 0
                info["kl"] = float(evolution.distances[1, 0])
            place = np.array([first // width, t + 1, at, self.n_complete])
            self._reached = {**evolution.state(), "at": place}
            monitor.save()
            monitor(first // width * last + t, **info)

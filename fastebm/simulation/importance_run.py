"""The walkers of one `importance_hitting` call, and the weighted sums that are kept of them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .._runtime.checkpoint import fingerprint
from .._runtime.random import philox_key
from .._runtime.resumable import Resumable, State
from .._runtime.types import RNG, FloatArray, States
from ..chains.tilt import TiltedChain
from .statistics import skew_interval
from .walkers import WALKERS_PER_ROUND, ScoredWalks, Starts, require_stop, stop_sets


class WeightedSums:
    """Power sums of a weighted quantity over walkers; immutable.

    Attributes
    ----------
    sums : ndarray (3,)
        Of the values, their squares and their cubes.
    largest : float
        The largest value.
    """

    def __init__(
        self, sums: FloatArray | tuple[float, float, float] = (0.0, 0.0, 0.0), largest: float = 0.0
    ) -> None:
        self.sums: FloatArray = np.array(sums)
        self.largest = float(largest)

    def plus(self, values: FloatArray) -> "WeightedSums":
        """With more values."""
        powers = [values.sum(), (values**2).sum(), (values**3).sum()]
        return WeightedSums(self.sums + powers, max(self.largest, values.max(initial=0.0)))

    def mean(self, n: int) -> float:
        """Of n values."""
        return float(self.sums[0] / n)

    def error(self, n: int) -> float:
        """Standard error of the mean of n values."""
        if n == 1:
            return np.inf
        return float(np.sqrt(max(self.sums[1] - self.sums[0] ** 2 / n, 0.0) / (n - 1) / n))

    def interval(self, n: int) -> tuple[float, float]:
        """95 % interval of the mean of n values."""
        mean, error = self.mean(n), self.error(n)
        if not np.isfinite(error):
            return 0.0, np.inf
        std = error * n**0.5
        if std == 0.0:
            return mean, mean
        third = self.sums[2] / n - 3 * mean * self.sums[1] / n + 2 * mean**3
        low, high = skew_interval(mean, std, float(third / std**3), n)
        return max(low, 0.0), high


class FinishedRounds(NamedTuple):
    """Finished rounds; replaced as a whole, so that an interruption never sees a part."""

    n_walkers: int = 0
    n_censored: int = 0
    n_steps: int = 0
    arrived: WeightedSums = WeightedSums()  # weights of the walkers on the target
    weights: WeightedSums = WeightedSums()  # of all walkers
    steps: WeightedSums = WeightedSums()  # weights times steps


class ImportanceRun:
    """The checked arguments of a call, and its finished rounds.

    Attributes
    ----------
    warm : TiltedChain
        The chain on which walkers step.
    log_z : ndarray (n_states,)
        log Z' - log Z, of the warm chain and of the chain in question.
    log_weight : ndarray (n_states,)
        What a step into each state adds to the log of a walker's weight.
    """

    def __init__(
        self,
        chain: TiltedChain,
        reward: FloatArray,
        start: npt.ArrayLike | None,
        target: States,
        avoid: States | None,
        beta: float,
        n_walkers: int,
        max_steps: int,
        rng: RNG,
        num_threads: int,
    ) -> None:
        self.chain, self.n_walkers, self.max_steps = chain, n_walkers, max_steps
        self.key = philox_key(rng)
        self.target, self.avoid = stop_sets(target, avoid, chain)
        self.stop = self.target | self.avoid
        self.warm = chain.with_beta(beta, num_threads=num_threads)
        self.starts = Starts(chain, start, self.key, num_threads)
        for walked in (chain, self.warm):
            require_stop(walked, self.stop, self.starts)
        self.log_z = self.warm.log_partition - chain.log_partition
        self.log_weight = (
            self.log_z + reward / chain.beta - (0.0 if beta == np.inf else reward / beta)
        )
        self.walks = ScoredWalks(
            self.warm._scaled.walker(num_threads), self.key, self.stop, num_threads
        )
        self.finished = FinishedRounds()

    def run(self, progress: Resumable) -> None:
        """Run rounds until all walkers are done."""

        def report() -> None:
            progress(self.finished.n_walkers, steps=self.walks.n_steps)

        while (done := self.finished.n_walkers) < self.n_walkers:
            self._round(min(WALKERS_PER_ROUND, self.n_walkers - done), report)
            progress.save()
            report()

    def _round(self, size: int, report: Callable[[], None]) -> None:
        """Run the next `size` walkers to their end."""
        done = self.finished
        start = self.starts.take(done.n_walkers, size)
        walking = ~self.stop[start]
        last, steps, log_weight = start.copy(), np.zeros(size, dtype=np.int64), np.zeros(size)
        total = np.zeros(np.count_nonzero(walking))
        last[walking], steps[walking] = self.walks.run(
            start[walking],
            done.n_walkers + np.flatnonzero(walking),
            report,
            self.max_steps,
            weight=self.log_weight,
            sum=total,
        )
        log_weight[walking] = total + self.log_z[start[walking]] - self.log_z[last[walking]]
        stopped = steps >= 0
        with np.errstate(over="ignore"):
            weight = np.where(stopped, np.exp(log_weight), 0.0)
            self.finished = FinishedRounds(
                done.n_walkers + size,
                done.n_censored + int(np.count_nonzero(~stopped)),
                self.walks.n_steps,
                done.arrived.plus(weight * self.target[last]),
                done.weights.plus(weight),
                done.steps.plus(weight * np.maximum(steps, 0)),
            )

    def identity(self) -> str:
        """The fingerprint of everything that the result depends on."""
        return fingerprint(
            self.chain.fingerprint(),
            self.warm.fingerprint(),
            self.target,
            self.avoid,
            *self.starts.identity,
            self.n_walkers,
            self.max_steps,
            self.key,
        )

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays of a checkpoint."""
        n_walkers, n_censored, n_steps, *sums = self.finished
        parts: dict[str, npt.NDArray[Any]] = {
            name: np.append(part.sums, part.largest)
            for name, part in zip(("arrived", "weights", "steps"), sums, strict=True)
        }
        return parts | {"done": np.array([n_walkers, n_censored, n_steps])}

    def restore(self, state: State) -> None:
        """Continue from the arrays that `state` returned."""
        n_walkers, n_censored, n_steps = (int(value) for value in state["done"])
        sums = (WeightedSums(v[:3], v[3]) for v in (state[n] for n in FinishedRounds._fields[3:]))
        self.walks.restore(n_steps)
        self.finished = FinishedRounds(n_walkers, n_censored, n_steps, *sums)

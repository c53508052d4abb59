"""The Chapman-Kolmogorov test: does a chain predict the transitions between sets that are seen at
longer lags (Prinz et al. 2011)?"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from .._runtime import validate
from .._runtime.checkpoint import remembered_seed
from .._runtime.memory import forecast_memory
from .._runtime.results import Result, result
from .._runtime.resumable import resumable, stage
from .._runtime.threads import resolve_threads
from .._runtime.time_unit import checked_time_unit
from .._runtime.types import RNG, Callback, FloatArray, IntArray, Path, States
from .._runtime.warn import shortfalls, warn_unconverged
from ..chains.chain import MarkovChain
from ..coarse_graining.metastable import metastable_sets
from ..errors import InvalidChainError
from .estimate import LaggedCounts, Resampling, TrajectoriesLike, resampling_number
from .sets import memberships_of


@result
class ChapmanKolmogorovTest(Result):
    """Transitions between sets, as the chain at the shortest lag predicts them and as they are
    estimated at longer lags.

    Attributes
    ----------
    lag : int
    steps : ndarray int (n_steps,)
        Multiples of the lag.
    predicted, estimated : ndarray (n_steps, k, k)
        Entry (i, j): probability of being in set j after ``steps * lag`` steps of the data, from
        the stationary law at `lag` within set i. Rows sum to 1 if the sets cover all states.
    predicted_lower, predicted_upper, estimated_lower, estimated_upper : ndarray or None
        Percentile intervals over the bootstrap replicates.
    level : float
    largest_difference : float
        Over all entries, |predicted - estimated|.
    memberships : ndarray (n_states, k)
        Of the states of the data, zero outside the connected set at `lag`.
    start_fraction : ndarray (n_steps, k)
        Share of the starting law of each set that lies in the connected set at the longer lag. The
        estimate starts from this part.
    n_failed : ndarray int (n_steps,)
        Replicates without an estimate, because a set had no connected state in them.
    time_unit : str or None
        The physical time of one step of the data.
    converged : bool
        Every fit, and the metastable sets if they were computed.
    """

    lag: int
    steps: IntArray
    predicted: FloatArray
    estimated: FloatArray
    predicted_lower: FloatArray | None
    predicted_upper: FloatArray | None
    estimated_lower: FloatArray | None
    estimated_upper: FloatArray | None
    level: float
    largest_difference: float
    memberships: FloatArray
    start_fraction: FloatArray
    n_failed: IntArray
    time_unit: str | None
    converged: bool


def chapman_kolmogorov(
    trajectories: TrajectoriesLike,
    lag: int,
    sets: int | Sequence[States] | FloatArray,
    steps: int | Sequence[int],
    *,
    reversible: bool = True,
    bootstrap: int = 0,
    level: float = 0.95,
    time_unit: str | None = None,
    rng: RNG = None,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> ChapmanKolmogorovTest:
    """Compare P(lag)^m with P(m lag) on sets of states.

    Parameters
    ----------
    trajectories : list of int arrays, one int array, or path
        As in `implied_timescales`.
    lag : int
        Of the chain that predicts.
    sets : int, list of sets of states, or memberships (n_states, k)
        A number: that many metastable sets of the chain at `lag`. Sets of state numbers of the data
        are disjoint and need not cover all states.
    steps : int or sequence of int
        Multiples m of the lag; a number M stands for 1, ..., M.
    reversible : bool
        Estimate reversible chains.
    bootstrap : int
        Replicates of whole trajectories for the intervals; 0 for none. The sets and the starting
        laws are those of the data.
    level : float
        Of the percentile intervals.
    time_unit : str, optional
        The physical time of one step of the data, such as "0.2 ns".
    rng : seed or Generator, optional
    num_threads, progress, callback, checkpoint
        As in `simulate_hitting_times`. The checkpoint keeps the multiples that are done.

    Returns
    -------
    ChapmanKolmogorovTest

    Raises
    ------
    InvalidChainError
        A set is empty, overlaps with another or holds no connected state; a lag is not shorter
        than the longest trajectory; or fewer than two trajectories are resampled.
    Interrupted
        Ctrl-C; `partial` is None.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> chain = fe.MarkovChain(np.array([[0.99, 0.01], [0.02, 0.98]]))
    >>> paths = fe.simulate(chain, 20_000, n_walkers=4, rng=0)
    >>> test = fe.chapman_kolmogorov(list(paths), 1, [[0], [1]], 5)
    >>> test.largest_difference < 0.05  # a Markov process
    True
    """
    lag, multiples = validate.count(lag, "lag"), _checked_steps(steps)
    n = resampling_number(bootstrap)
    level = validate.number(level, "level", above=0.0, below=1.0)
    reversible, threads = validate.flag(reversible, "reversible"), resolve_threads(num_threads)
    rng = remembered_seed(rng, checkpoint)
    seed = int(np.random.default_rng(rng).integers(2**63))
    how = Resampling(n, level, reversible, seed, threads)
    lags = {lag, *(lag * m for m in multiples)}
    data = LaggedCounts(trajectories, lags, checked_time_unit(time_unit))
    if not isinstance(sets, (int, np.integer)):
        sets = memberships_of(sets, data.counts[lag].counts.shape[0], data.counts[lag].labels)
    identity = sets if isinstance(sets, np.ndarray) else int(sets)
    with (
        shortfalls() as reasons,
        resumable(
            "chapman_kolmogorov",
            checkpoint,
            lambda: data.identity(lag, multiples, identity, *how[:4]),
            partial=lambda: None,
            total=len(multiples),
            progress=progress,
            callback=callback,
            seed=rng,
        ) as monitor,
    ):
        test = _Test(data, lag, sets, how)
        if n:
            data.require_resampling(n, 32 * len(multiples) * test.k**2)
        predicted = stage("prediction", lambda: test.predict(multiples))
        estimated = []
        for m in multiples:
            estimated.append(stage(f"lag {m * lag}", partial(test.estimate, m * lag)))
            monitor(len(estimated), lag=m * lag)
    for text in reasons:
        warn_unconverged(f"chapman_kolmogorov: {text}")
    return test.result(multiples, predicted, estimated, time_unit, not reasons)


def _checked_steps(steps: object) -> list[int]:
    if isinstance(steps, np.ndarray):
        steps = steps.tolist()
    if isinstance(steps, (list, tuple, range)):
        if len(steps) == 0:
            raise InvalidChainError("steps is empty; give a number or at least one multiple")
        return [validate.count(m, "each of steps") for m in steps]
    most = validate.count(steps, "steps")
    forecast_memory(100 * most, f"steps = {most:,}", "lower steps")
    return list(range(1, most + 1))


class _Test:
    """The chain at the shortest lag, its sets and the law that each of them starts from.

    Attributes
    ----------
    memberships, start : ndarray (n_states, k)
        By the states of the data. Columns of `start` sum to one.
    """

    def __init__(
        self, data: LaggedCounts, lag: int, sets: int | npt.NDArray[Any], how: Resampling
    ) -> None:
        self.data, self.lag, self.how = data, lag, how
        kept = data.connected[lag]
        self.chain = data.chain(lag, how.reversible, how.threads)
        if isinstance(sets, np.ndarray):
            inside = sets[kept.states]
        else:
            found = metastable_sets(self.chain, sets, rng=how.seed, num_threads=how.threads)
            inside = found.memberships
        self.k = inside.shape[1]
        mass = self.chain._law.take(how.threads).pi @ inside
        if not (mass > 0.0).all():
            raise InvalidChainError(
                f"set {int(np.argmin(mass))} holds no state of the connected set at lag {lag}; "
                "drop it, or give more data"
            )
        self.memberships = np.zeros((data.counts[lag].counts.shape[0], self.k))
        self.memberships[kept.states] = inside
        self.start = np.zeros_like(self.memberships)
        self.start[kept.states] = inside * self.chain._law.take(how.threads).pi[:, None] / mass

    def predict(self, multiples: list[int]) -> tuple[FloatArray, FloatArray, int]:
        """(matrices, ends of their intervals, failed replicates) of powers of the chain."""

        def statistic(chain: MarkovChain) -> FloatArray:
            return self._between(chain, multiples)[0]

        return self._with_ends(self.lag, statistic, statistic(self.chain))

    def estimate(self, lag: int) -> tuple[FloatArray, FloatArray, int, FloatArray]:
        """The same of the chain at a lag, and the share of each start that is in it."""

        def statistic(chain: MarkovChain) -> FloatArray:
            found: FloatArray = self._between(chain, [1])[0][0]
            return found

        chain = self.data.chain(lag, self.how.reversible, self.how.threads)
        matrices, share = self._between(chain, [1])
        return *self._with_ends(lag, statistic, matrices[0]), share

    def _with_ends(
        self, lag: int, statistic: Any, found: FloatArray
    ) -> tuple[FloatArray, FloatArray, int]:
        if not self.how.n:
            return found, np.empty((0, *found.shape)), 0
        drawn = self.data.resampled(lag, statistic, self.how)
        return found, np.array([drawn.lower, drawn.upper]), drawn.n_failed

    def _between(self, chain: MarkovChain, multiples: list[int]) -> tuple[FloatArray, FloatArray]:
        """(transitions between the sets after each multiple of the chain's step, (n, k, k); the
        share of each start that lies within the chain)."""
        states = np.asarray(chain.labels, dtype=np.int64)
        known = states < len(self.start)
        start, block = np.zeros((len(states), self.k)), np.zeros((len(states), self.k))
        start[known] = self.start[states[known]]
        block[known] = self.memberships[states[known]]
        share: FloatArray = start.sum(axis=0)
        if not (share > 0.0).all():
            raise InvalidChainError(
                f"set {int(np.argmin(share))} has no connected state at lag {chain.lag}; "
                "give more data or a shorter lag"
            )
        start /= share
        found = np.empty((len(multiples), self.k, self.k))
        done = 0
        for place in np.argsort(multiples, kind="stable").tolist():
            for _ in range(multiples[place] - done):
                block = chain._scaled.apply(block, num_threads=self.how.threads)
            done = multiples[place]
            found[place] = start.T @ block
        return found, share

    def result(
        self,
        multiples: list[int],
        predicted: Any,
        estimated: list[Any],
        time_unit: str | None,
        converged: bool,
    ) -> ChapmanKolmogorovTest:
        at = np.array([item[0] for item in estimated])
        ends = np.array([item[1] for item in estimated])
        has_ends = self.how.n > 0
        return ChapmanKolmogorovTest(
            lag=self.lag,
            steps=np.array(multiples, dtype=np.int64),
            predicted=predicted[0],
            estimated=at,
            predicted_lower=predicted[1][0] if has_ends else None,
            predicted_upper=predicted[1][1] if has_ends else None,
            estimated_lower=ends[:, 0] if has_ends else None,
            estimated_upper=ends[:, 1] if has_ends else None,
            level=self.how.level,
            largest_difference=float(np.abs(predicted[0] - at).max()),
            memberships=self.memberships,
            start_fraction=np.array([item[3] for item in estimated]),
            n_failed=np.array([item[2] for item in estimated], dtype=np.int64),
            time_unit=time_unit,
            converged=converged,
        )

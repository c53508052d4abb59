"""What every simulation needs: where walkers start, targets as bit sets, short calls to the core.

The random words of a walker are a function of its number and its step. So the cut of the work into
calls, batches and threads changes no result, any walk can be repeated from its stream, and no
trajectory has to be stored. The step of a stored chain costs its cache misses (the row's offset,
then a cell); csrc therefore interleaves four small batches and prefetches the next cells. An
AVX-512 Philox was measured and was slower next to these misses.
"""

from collections.abc import Callable
from functools import cached_property

import numpy as np
import numpy.typing as npt

from .. import _core
from .._runtime import validate
from .._runtime.pacing import Pacer
from .._runtime.types import BoolArray, FloatArray, IntArray, States
from ..chains.chain import MarkovChain
from ..chains.law import DEFAULT_LAW_TOL, StationaryLaw
from ..equilibrium.structure import hits_almost_surely
from ..errors import InvalidChainError

# Walkers that run together: enough for the threads, few enough that the first call, 16 steps of
# all, takes far below a second.
WALKERS_PER_ROUND = 65_536

#: The key of a Philox generator, shape (2,); or a bit set.
Words = npt.NDArray[np.uint64]


def step_pacer() -> Pacer:
    """Paces calls that advance walkers: the first makes 16 steps, none lasts much more than 0.2 s.

    Walkers only drop out after step 0, so a call takes at most as long per step as the one before:
    doubling the number of steps at most doubles the time.
    """
    return Pacer(16, seconds_per_call=0.2, growth=2.0)


def advance(pacer: Pacer, walk: Callable[[int, int], None], begin: int, end: int) -> int:
    """Call walk(begin, stop) for some begin < stop <= end and return stop."""
    if begin == 0:
        pacer.restart()
    stop = min(end, begin + pacer.size)
    with pacer:
        walk(begin, stop)
    return stop


def bit_set(mask: BoolArray) -> Words:
    """A bool mask in the form that the core reads: state x is bit x % 64 of word x // 64."""
    return (
        np.packbits(np.pad(mask, (0, -len(mask) % 64)), bitorder="little")
        .view("<u8")
        .astype(np.uint64)
    )


def uniforms(key: Words, purpose: int, first: int, n: int, lane: int = 0) -> FloatArray:
    """Numbers first..first+n-1 of a stream of uniform variates in [0, 1).

    The walkers' own words have the Philox counters (walker, block, 0, 0). These have
    (number // 4 + 1, lane, 0, purpose) with purpose >= 1, so no word is used twice.
    """
    bits = np.random.Philox(
        key=key, counter=np.array([first // 4, lane, 0, purpose], dtype=np.uint64)
    )
    return np.random.Generator(bits).random(first % 4 + n)[first % 4 :]


class Starts:
    """The starting states of walkers 0, 1, 2, ...; computed for any range of walkers, never stored.

    Parameters
    ----------
    chain : MarkovChain
    start : state, states, float array (n_states,) or None
        States are assigned to walkers round robin; floats are the distribution to draw from; None
        draws from pi.
    key : ndarray uint64 (2,)
        The walkers' Philox key.

    Attributes
    ----------
    given : ndarray int64 or None
        The states that are assigned round robin.
    """

    def __init__(
        self, chain: MarkovChain, start: npt.ArrayLike | None, key: Words, num_threads: int
    ) -> None:
        self.key, self.is_pi, self._threads = key, start is None, num_threads
        self._law_of = chain._law
        self.given: IntArray | None = None
        self._drawn_from: FloatArray | None = None
        if start is None:
            pass
        elif np.ndim(start) == 1 and np.size(start) and np.asarray(start).dtype.kind == "f":
            self._drawn_from = validate.distribution(start, chain.n_states, "start", chain.labels)
        else:
            self.given = validate.state_array(start, chain.n_states, "start", chain.labels)

    @property
    def identity(self) -> tuple[object, ...]:
        """Parts of a `fingerprint`. pi is that of the chain, and not yet found."""
        return self.is_pi, self._drawn_from, self.given

    @cached_property
    def _law(self) -> StationaryLaw:
        known = self._law_of.within(DEFAULT_LAW_TOL)
        return self._law_of.take(self._threads) if known is None else known

    @property
    def converged(self) -> bool:
        """Whether pi did, if starts are drawn from it."""
        return self._law.converged if self.is_pi else True

    @cached_property
    def distribution(self) -> FloatArray | None:
        """The distribution that starts are drawn from; pi is found at the first use."""
        return self._law.pi if self.is_pi else self._drawn_from

    @cached_property
    def _cdf(self) -> FloatArray:
        assert self.distribution is not None
        cdf = np.cumsum(self.distribution)
        cdf /= cdf[-1]  # then u < 1 finds a state, and never one of mass zero
        return cdf

    @property
    def support(self) -> IntArray:
        """The states in which a walker may start."""
        if self.distribution is not None:
            return np.flatnonzero(self.distribution)
        assert self.given is not None
        return self.given

    def take(self, first: int, n: int) -> IntArray:
        """The starts of walkers first..first+n-1, int64 (n,)."""
        if self.given is not None:
            return self.given[(first + np.arange(n)) % len(self.given)]
        u = uniforms(self.key, 1, first, n)
        return np.searchsorted(self._cdf, u, side="right").astype(np.int64)

    def unseen_mass(self, n: int) -> float:
        """The mass of the states of mass below 3 / n: each is the start of none of n walkers with
        probability 5 % or more. For given starts, the share that no walker was assigned."""
        if self.distribution is not None:
            return float(self.distribution[self.distribution < 3.0 / n].sum())
        assert self.given is not None
        return max(0.0, 1.0 - n / len(self.given))

    def blind_mass(self, n: int) -> float:
        """A set of starts of smaller mass is missed as a whole with probability 5 % or more."""
        return 0.0 if self.distribution is None else 1.0 - 0.05 ** (1.0 / n)


def stop_sets(
    target: States, avoid: States | None, chain: MarkovChain
) -> tuple[BoolArray, BoolArray]:
    """The masks (n_states,) of the target and of the states to avoid, which must be disjoint."""
    n_states, labels = chain.n_states, chain.labels
    target_mask, avoid_mask = (
        validate.target_mask(target, n_states, labels),
        np.zeros(n_states, dtype=bool),
    )
    if avoid is not None:
        avoid_mask[validate.state_array(avoid, n_states, "avoid", labels)] = True
    both = np.flatnonzero(target_mask & avoid_mask)
    if len(both):
        raise InvalidChainError(
            f"state {both[0]} is in both `target` and `avoid`; remove it from one of them"
        )
    return target_mask, avoid_mask


def require_stop(chain: MarkovChain, stop: BoolArray, starts: Starts) -> None:
    """Raise unless walkers from every start reach `stop` (bool mask) almost surely."""
    surely, used = hits_almost_surely(chain, stop), starts.support
    lost = used[~surely[used]]
    if len(lost):
        raise InvalidChainError(
            f"with positive probability a walker from start {lost[0]} never reaches the target or "
            "`avoid`; add to `avoid` a state of every closed class that it can enter"
        )


class ScoredWalks:
    """Walks that record a score or add up weights on their way.

    Each runs on a random stream of its own until it reaches `stop` (bool mask) or exceeds a level.

    Attributes
    ----------
    n_steps : int
        Steps of all walks so far, those before a checkpoint included.
    """

    def __init__(self, kernel: _core.Kernel, key: Words, stop: BoolArray, num_threads: int) -> None:
        self.kernel, self.key, self.num_threads = kernel, key, num_threads
        self.bits, self.pacer, self.n_steps, self._steps_before = bit_set(stop), step_pacer(), 0, 0

    def restore(self, n_steps: int) -> None:
        """Continue to count from the steps before a checkpoint."""
        self.n_steps = self._steps_before = n_steps

    @property
    def steps_per_second(self) -> float:
        """Of this call: the steps since the checkpoint."""
        seconds = self.pacer.seconds
        return (self.n_steps - self._steps_before) / seconds if seconds else 0.0

    def run(
        self,
        states: IntArray,
        streams: IntArray,
        report: Callable[[], None],
        max_steps: int = 2**62,
        **recorded: FloatArray,
    ) -> tuple[IntArray, IntArray]:
        """Walk until all have stopped or made max_steps.

        Parameters
        ----------
        states, streams : ndarray int64 (k,)
            Where each walk begins, and the number of its random stream.
        report : callable
            Called after every call to the core.
        recorded
            `score`, `level` and `best`, or `weight` and `sum`, as in `_core.walk_watch`; `best` and
            `sum` are updated in place.

        Returns
        -------
        states : ndarray int64 (k,)
            Where each walk ended.
        steps : ndarray int64 (k,)
            Its length; -1 where max_steps came first.
        """
        states, stop_time, step = states.copy(), np.full(len(states), -1, dtype=np.int64), 0

        def walk(begin: int, end: int) -> None:
            _core.walk_watch(
                self.kernel,
                self.key,
                self.bits,
                self.num_threads,
                streams,
                begin,
                end,
                states,
                stop_time,
                **recorded,
            )

        while step < max_steps and (stop_time < 0).any():
            step = advance(self.pacer, walk, step, max_steps)
            report()
        self.n_steps += int(np.where(stop_time < 0, step, stop_time).sum())
        return states, stop_time

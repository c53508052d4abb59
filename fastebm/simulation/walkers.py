"""What every simulation shares: where walkers start, targets as bit sets, and calls short enough for Ctrl-C."""

import time

import numpy as np

from .. import _core
from .._runtime import validate
from ..equilibrium.stationary import stationary
from ..equilibrium.structure import hits_almost_surely
from ..errors import InvalidChainError

SECONDS_PER_CALL = 0.2


class Pace:
    """Cuts steps into calls of about SECONDS_PER_CALL. The cut changes no result, so it may follow the clock."""

    def __init__(self):
        self.seconds, self.span = 0.0, 16

    def __call__(self, walk, begin, end):
        """walk(begin, stop) for the stop that it returns. From step 0 on walkers only drop out, so that a call takes at most
        as long per step as the one before, and doubling the span at most doubles the time."""
        self.span = 16 if begin == 0 else self.span
        stop = min(end, begin + self.span)
        clock = time.perf_counter()
        walk(begin, stop)
        elapsed = time.perf_counter() - clock
        self.seconds += elapsed
        self.span = max(1, int(self.span * min(2.0, SECONDS_PER_CALL / max(elapsed, 1e-9))))
        return stop


def bit_set(mask):
    """A bool mask as the core reads it: state x at bit x % 64 of word x / 64."""
    return (
        np.packbits(np.pad(mask, (0, -len(mask) % 64)), bitorder="little")
        .view("<u8")
        .astype(np.uint64)
    )


def uniforms(key, purpose, first, n, lane=0):
    """Numbers first..first+n-1 of a stream of uniform variates in [0, 1). The walkers' own words have the Philox counters
    (walker, block, 0, 0); these have (number // 4 + 1, lane, 0, purpose), purpose >= 1."""
    bits = np.random.Philox(
        key=key, counter=np.array([first // 4, lane, 0, purpose], dtype=np.uint64)
    )
    return np.random.Generator(bits).random(first % 4 + n)[first % 4 :]


class Starts:
    """The starting states of walkers 0, 1, 2, ...: any of them can be asked for, none is stored.

    Parameters
    ----------
    start : state, states (dealt round robin), float array (n_states,) with their distribution, or None for pi
    key : the walkers' Philox key

    Attributes
    ----------
    law : ndarray (n_states,) or None
        The distribution that starts are drawn from.
    given : ndarray int64 or None
        The states that are dealt.
    """

    def __init__(self, chain, start, key, num_threads):
        self.key, self.law, self.given = key, None, None
        if start is None:
            self.law = (
                chain.pi if chain.pi is not None else stationary(chain, num_threads=num_threads).pi
            )
        elif np.ndim(start) == 1 and np.size(start) and np.asarray(start).dtype.kind == "f":
            self.law = validate.distribution(start, chain.n_states, "start")
        else:
            self.given = validate.state_array(start, chain.n_states, "start")
        if self.law is not None:
            self._cdf = np.cumsum(self.law)
            self._cdf /= self._cdf[-1]  # then u < 1 finds a state, and never one of mass zero

    def take(self, first, n):
        """The starts of walkers first..first+n-1, int64 (n,)."""
        if self.given is not None:
            return self.given[(first + np.arange(n)) % len(self.given)]
        return np.searchsorted(self._cdf, uniforms(self.key, 1, first, n), side="right").astype(
            np.int64
        )

    def unseen_mass(self, n):
        """The mass of starts that n walkers may well have missed one by one: each of mass below 3 / n, hence missed with a
        chance of 5 % or more; of given starts the share that was not dealt."""
        return (
            max(0.0, 1.0 - n / len(self.given))
            if self.law is None
            else float(self.law[self.law < 3.0 / n].sum())
        )

    def blind_mass(self, n):
        """A set of starts of smaller mass is missed as a whole with a chance of 5 % or more."""
        return 0.0 if self.law is None else 1.0 - 0.05 ** (1.0 / n)


def stops_for_certain(chain, stop, starts):
    """Raise where a walker may never come to `stop` (bool mask) from a start."""
    sure = hits_almost_surely(chain, stop)
    used = np.flatnonzero(starts.law) if starts.given is None else starts.given
    lost = used[~sure[used]]
    if len(lost):
        raise InvalidChainError(
            f"from start {lost[0]} a walker may never come to the target or to a state to avoid; add to `avoid` the states from "
            "which there is no way back"
        )


class Watched:
    """Walks on streams of one's own, run until all have stopped on `stop` (bool mask) or above their level."""

    def __init__(self, kernel, key, stop, num_threads):
        self.kernel, self.key, self.num_threads = kernel, key, num_threads
        self.bits, self.pace, self.n_steps, self._steps_before = bit_set(stop), Pace(), 0, 0

    def resume(self, n_steps):
        """Count on from an earlier session."""
        self.n_steps = self._steps_before = n_steps

    @property
    def steps_per_second(self):
        """Of this session."""
        return (self.n_steps - self._steps_before) / self.pace.seconds if self.pace.seconds else 0.0

    def run(self, states, streams, tick, max_steps=2**62, **watch):
        """(last states, steps; -1 where max_steps came first); watch as in `_core.walk_watch`, in place; tick() after calls."""
        states, stop_time, step = states.copy(), np.full(len(states), -1, dtype=np.int64), 0

        def walk(begin, end):
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
                **watch,
            )

        while step < max_steps and (stop_time < 0).any():
            step = self.pace(walk, step, max_steps)
            tick()
        self.n_steps += int(np.where(stop_time < 0, step, stop_time).sum())
        return states, stop_time

"""Powers of a small dense transition matrix by repeated squaring, and the mixing time from them.

This is the one module in which a sparse chain becomes a dense matrix. t_mix depends on all n
starts, n^2 numbers whatever the method. log2(t_mix) products find it; single steps would need up to
1e12 of them.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .._runtime.memory import free_memory
from .._runtime.types import FloatArray, IntArray
from ..chains.chain import MarkovChain
from ..equilibrium.law_error import relative_law_error
from ..linalg.rounding import UNIT

# Up to this size the powers P^(2^k) are formed: 0.1 s a product at this size, and 8 MB each.
MAX_DENSE, MAX_DOUBLINGS = 1024, 62
#: The multiples of the mixing time at which the cutoff profile is evaluated.
PROFILE = (0.25, 0.5, 0.75, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0)


def profile_steps(own: int) -> IntArray:
    """The steps of the cutoff profile for a start whose own mixing time is `own`."""
    return np.unique(np.ceil(np.array(PROFILE) * own).astype(np.int64))


class Crossing(NamedTuple):
    """The first step t at which all starts are within a threshold (inf if none was found), the
    largest distances at t - 1 and at t, and the start that attains the former."""

    step: int | float
    before: float
    after: float
    worst: int


class DenseMixingTime(NamedTuple):
    """Bounds on t_mix, which agree unless a distance is as near to the threshold as rounding; the
    worst start and its own mixing time, None and inf if it was not found."""

    lower: int | float
    upper: int | float
    worst: int | None
    worst_steps: int | float


class DensePowers:
    """The rows of P^t of the starts from the powers P^(2^k), k < len(self.powers).

    Rows are divided by their sums after every product, so that a product is a stochastic matrix
    whose entries are right up to a relative r, even tiny ones that lead out of a well. For the
    indicator h of a set, such a change of a matrix X changes X h by at most r times the standard
    deviation of h in a step of X. Along the m steps that follow, the variances of the conditional
    probability of the set add up to at most 1/4 (orthogonal increments of a martingale). So total
    variation is off by at most r sqrt(m) / 2, to first order in that, and by
    ``sum_k r sqrt(t / 2^k) / 2 < 2 r sqrt(t)`` after all squarings, not by r t.

    Parameters
    ----------
    chain : MarkovChain
    log_pi : ndarray (n_states,)
    states : ndarray int64 or None
        The starts; None for all states.
    report : callable
        Reports progress by keywords.
    threads : int
    """

    def __init__(
        self,
        chain: MarkovChain,
        log_pi: FloatArray,
        states: IntArray | None,
        report: Callable[..., None],
        threads: int,
    ) -> None:
        self.chain, self.pi, self.states, self._report = chain, np.exp(log_pi), states, report
        self.rows: slice | IntArray = slice(None) if states is None else states
        self.powers: list[FloatArray] = []
        # of an entry: the sum of a product, those of the rows of both factors, and of its own row
        self._entry_rounding = 4.0 * UNIT * (chain.n_states + 4)
        # of pi, and of the sum of a distance
        self._law_rounding = relative_law_error(chain, log_pi, threads) + UNIT * chain.n_states

    def rounding(self, doublings: int) -> float:
        """A bound on the error of a total variation after at most 2^doublings steps, found by at
        most MAX_DOUBLINGS products besides the squarings."""
        grown = 2.0 * math.sqrt(2.0**doublings) + MAX_DOUBLINGS
        return self._entry_rounding * grown + self._law_rounding

    def fit(self, eps: float) -> bool:
        """Whether memory and accuracy allow to form the powers."""
        if 8 * self.chain.n_states**2 * (MAX_DOUBLINGS + 6) >= free_memory():
            return False
        return self.rounding(0) <= 1e-3 * eps

    def mixing_time(self, threshold: float) -> DenseMixingTime:
        """The first step at which the distance of every start is at most `threshold`."""
        P = self.chain.to_scipy().toarray()
        self.powers = [P / P.sum(axis=1, keepdims=True)]
        while len(self.powers) < MAX_DOUBLINGS and self._distance(
            self.powers[-1][self.rows]
        ).max() > threshold - 2.0 * self.rounding(len(self.powers) - 1):
            self.powers.append(self._product(self.powers[-1], self.powers[-1]))
            self._report(doubled=len(self.powers))
        t, before, after, at = self._crossing(threshold)
        low = high = t
        rounding = self.rounding(len(self.powers) - 1)
        if after > threshold - rounding or before <= threshold + rounding:
            low = self._crossing(threshold + rounding).step
            high = self._crossing(threshold - rounding).step
        if low == math.inf:
            low = 2 ** (len(self.powers) - 1) + 1
        if t == math.inf:
            return DenseMixingTime(low, high, None, math.inf)
        return DenseMixingTime(low, high, int(at if self.states is None else self.states[at]), t)

    def profile(self, start: int, own: int) -> tuple[IntArray, FloatArray]:
        """(steps, tv) of the cutoff profile of a start whose own mixing time is `own`."""
        steps = profile_steps(own)
        return steps, np.array([self._distance(self._row(start, int(s)))[0] for s in steps])

    def _product(self, X: FloatArray, Y: FloatArray) -> FloatArray:
        Z: FloatArray = X @ Y
        Z = Z / Z.sum(axis=1, keepdims=True)
        return Z

    def _distance(self, X: FloatArray) -> FloatArray:
        distance: FloatArray = 0.5 * np.abs(X - self.pi).sum(axis=1)
        return distance

    def _crossing(self, threshold: float) -> Crossing:
        """By bisection over the powers: total variation never rises."""
        at_once = 1.0 - self.pi[self.rows]
        if at_once.max() <= threshold:
            return Crossing(0, math.inf, float(at_once.max()), int(at_once.argmax()))
        last = self._distance(self.powers[-1][self.rows])
        if last.max() > threshold:
            return Crossing(math.inf, float(last.max()), -math.inf, int(last.argmax()))
        X, t, before, after = None, 0, at_once, last
        for k in range(len(self.powers) - 2, -1, -1):
            trial = self.powers[k][self.rows] if X is None else self._product(X, self.powers[k])
            distance = self._distance(trial)
            self._report(tv=float(distance.max()))
            if distance.max() > threshold:
                X, t, before = trial, t + 2**k, distance
            else:
                after = distance
        return Crossing(t + 1, float(before.max()), float(after.max()), int(before.argmax()))

    def _row(self, state: int, t: int) -> FloatArray:
        """P^t(state, .) as a block of one row."""
        x = np.zeros((1, len(self.pi)))
        x[0, state] = 1.0
        for k in range(len(self.powers) - 1, -1, -1):
            while t >= 2**k:
                x, t = self._product(x, self.powers[k]), t - 2**k
        return x

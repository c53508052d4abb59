"""The inverse of I - S + sigma, S = D^(1/2) P D^(-1/2) of a reversible chain, by elimination.

An eigenvalue 1 - r of S becomes sigma / (r + sigma) of sigma (I - S + sigma)^-1, whose norm is
one. The elimination takes no difference: every entry of the inverse, all of them non-negative, has
a relative error that depends neither on sigma nor on the chain. So has its norm, and r is
known to that error times (r + sigma)^2 / (r sigma): rates some orders of magnitude around
sigma keep their digits, however small they are.
"""

import math

import numpy as np

from .._runtime.types import FloatArray
from .elimination import FLOPS_PER_ENTRY, SparseElimination
from .operator import Operator
from .restriction import Report, Restriction, ScaledMatrix
from .rounding import EPS, UNIT

# exp(log_pi / 2) and its reciprocal, times a solution, must fit a double.
MIN_LOG_PI = -700.0
# Solves that the search for a few pairs usually takes.
USUAL_SOLVES = 100


class ShiftedInverse(Operator):
    """sigma (I - S + sigma)^-1 on blocks of vectors (width, n_states); counts its solves as
    `n_matvecs`.

    Parameters
    ----------
    scaled : ScaledPattern
        P.
    log_pi : ndarray (n_states,)
    threads : int

    Attributes
    ----------
    sigma : float
        Set by `factorise`.
    """

    def __init__(self, scaled: ScaledMatrix, log_pi: FloatArray, threads: int) -> None:
        self.symmetric, self.threads, self.per_vector, self.n_matvecs = True, threads, 1, 0
        self.n_states, self.sigma = scaled.n_states, math.nan
        self._restriction = Restriction(scaled, np.ones(scaled.n_states, bool), threads)
        self._elimination = SparseElimination(self._restriction)
        self._lowest = float(log_pi.min())
        self._root: FloatArray = np.exp(0.5 * log_pi)[:, None]

    def use_copy(self) -> None:
        """Eliminate in a stored copy where P is computed; without effect after `cost`."""
        self._restriction.uses_copy = True

    def cost(self, report: Report) -> float:
        """What the elimination and the usual number of solves cost, in products with P; inf where
        time, memory or the range of doubles do not allow them. Orders the elimination at the first
        call."""
        elimination = self._elimination
        if self._lowest < MIN_LOG_PI or not elimination.is_feasible(report):
            return math.inf
        flops = elimination.n_flops + 4.0 * elimination.n_entries * USUAL_SOLVES
        return flops / (FLOPS_PER_ENTRY * self._restriction.entries_per_product)

    def factorise(self, sigma: float, report: Report) -> bool:
        """Eliminate all states for this sigma > 0; returns whether solves are possible."""
        self.sigma = sigma
        return self._elimination.factorise(report, leak=sigma)

    def apply(self, x: FloatArray, y: FloatArray) -> None:
        """Write the images of the rows of x into y, both (width, n_states)."""
        block = self._elimination.solve_inside(np.ascontiguousarray(x.T / self._root))
        block *= self.sigma * self._root
        y[:] = block.T
        self.n_matvecs += len(x)

    def error(self, failure: float) -> float:
        """The norm of the error of the operator, where rounding errors are independent and of mean
        zero: the bound of the elimination counts m half-ulps, of which then only sqrt(m) times a
        factor adds up, but for a failure probability (Higham & Mary 2019, theorem 2.4). A rate that
        underflows is an absolute change of I - P, which the coordinates magnify by the root of a
        ratio of pi. They add the rounding of sqrt(pi)."""
        rounding = self._elimination.rounding
        m = max(rounding / UNIT, 1.0)
        factor = math.sqrt(2.0 * math.log(2.0 * m / failure))
        underflow = self._elimination.underflow * math.exp(-0.5 * self._lowest) / self.sigma
        coordinates = EPS * (8.0 + abs(self._lowest))
        return min(rounding, factor * UNIT * math.sqrt(m)) + underflow + coordinates

"""The stationary law by sparse elimination without subtractions, with a proven componentwise error.

One state, the ground g, has y(g) = 1, and the others are eliminated. With M = I - P_BB, B all
states but g, the law is proportional to y, y_B M = p_gB: sums, products and quotients of
non-negative numbers only, so every component keeps a small relative error whatever the coupling
(Grassmann, Taksar & Heyman 1985; O'Cinneide 1993).

The error is proven afterwards. The residual of y is evaluated in twice the working precision, and y
is refined by it. If the residual is at most kappa b, b > 0, and w satisfies w M >= (1 - theta) b,
then |y - exact| <= kappa b M^-1 <= kappa w / (1 - theta), because M^-1 >= 0. So one more solve
proves an error, however y and w were found: the bound does not rest on the accuracy of the
elimination, and it covers products that underflowed. With b = the flow out of each state, max w / y
is the largest mean hitting time of g of the time-reversed chain, in jumps: about 1 / coupling.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from .. import _core
from .._runtime.memory import forecast_memory
from .._runtime.types import FloatArray
from ..errors import MemoryForecastError
from .aggregation import AggregationSolver, blocks
from .elimination import SparseElimination
from .restriction import Report, Restriction, ScaledMatrix
from .rounding import UNIT

# Rounds of refinement, each of which halves the residual: one is the rule after an elimination, ten
# to thirty by aggregation.
MAX_ROUNDS = 60
# The unit of a wide number's exponent (see wide.h), as a power of two and as a log.
WIDE_BITS = 512
WIDE_LOG = WIDE_BITS * math.log(2.0)
# What a transition, or a digit of one, that underflowed is at most.
LOG_SMALLEST = math.log(5e-324)


@dataclass(frozen=True, eq=False)
class EliminatedLaw:
    """A law found by elimination.

    Attributes
    ----------
    log_pi : ndarray (n_states,)
    error : float
        Proven bound of the relative error of every component of pi, for the transition
        probabilities between different states as doubles. inf: none is proven. log_pi has its own
        rounding on top where pi is below 1e-308.
    """

    log_pi: FloatArray
    error: float


@dataclass(frozen=True, eq=False)
class _Solution:
    """y = (hi + lo) 2^(512 exponent), all (n_states,).

    r: the residual, on B; flow: the probability flow through each state, which the rounding of r is
    relative to. Both are in units of 2^(512 exponent)."""

    hi: FloatArray
    lo: FloatArray
    exponent: npt.NDArray[np.int32]
    r: FloatArray
    flow: FloatArray

    @property
    def log(self) -> FloatArray:
        return _log(self.hi, self.exponent)

    @property
    def size(self) -> float:
        """The largest residual, relative to the flow."""
        return float((np.abs(self.r) / self.flow).max())


class LawElimination:
    """The elimination of all states but one.

    Parameters
    ----------
    scaled : ScaledPattern
        P, irreducible, with two states or more.
    ground : int
        g. The heavier, the smaller the error that is proven.
    threads : int

    Attributes
    ----------
    sparse : SparseElimination
        Decides whether the elimination is feasible, and when it pays.
    """

    def __init__(self, scaled: ScaledMatrix, ground: int, threads: int) -> None:
        inside = np.ones(scaled.n_states, bool)
        inside[ground] = False
        self.ground, self._loses = ground, scaled.pattern.loses_transitions
        self._M = Restriction(scaled, inside, threads)
        self.sparse = SparseElimination(self._M)
        self._solver: AggregationSolver | SparseElimination = self.sparse

    @cached_property
    def _degree(self) -> FloatArray:
        """Entries in each state's row and column."""
        matrix, transpose = self._M.matrix, self._M.scaled.pattern.transpose
        assert matrix is not None
        return np.diff(matrix.indptr) + np.diff(transpose.indptr).astype(np.float64)

    def find(self, report: Report) -> EliminatedLaw | None:
        """The law, or None where the elimination is not feasible or a state is not reached through
        transitions that a double can hold."""
        if not (self.sparse.is_feasible(report) and self.sparse.factorise(report)):
            return None
        first, y = self._law_and_first()
        law = self._proven(y)
        # Without underflow the relative error of M^-1 b is `rounding`. The left solve uses each
        # stored entry twice, with three half-ulps a use: a third of that. Twice for the ratio of a
        # component and the sum.
        if law is not None and not self.sparse.underflow and not self._loses:
            before = (8.0 / 3.0) * self.sparse.rounding
            if before < law.error:
                return EliminatedLaw(_normalised(first.log), before)
        return law

    def find_by_aggregation(self, guess: FloatArray) -> EliminatedLaw | None:
        """The law of a nearly decomposable chain, refined by rough solves, if they suffice; `guess`
        is about pi."""
        if self._M.matrix is None:
            return None
        try:
            forecast_memory(100 * self._M.matrix.nnz, "the aggregation of the chain")
        except MemoryForecastError:
            return None
        labels = blocks(self._M)
        if labels is None:
            return None
        with np.errstate(all="ignore"):
            self._solver = AggregationSolver(self._M, labels, guess)
        _, y = self._law_and_first()
        return self._proven(y)

    def _law_and_first(self) -> tuple[_Solution, _Solution]:
        n = self._M.n_states
        return self._solve(1.0, np.zeros(n), np.zeros(n, np.int32))

    def _proven(self, y: _Solution) -> EliminatedLaw | None:
        """The law y with its error; None if a component is not a positive number."""
        with np.errstate(all="ignore"):
            if not (np.isfinite(y.log).all() and np.isfinite(y.r).all()):
                return None
            log_pi = _normalised(y.log)
            depth = min(float(np.abs(log_pi).max()), -LOG_SMALLEST)
            return EliminatedLaw(log_pi, self._error(y) + (3.0 * depth + 16.0) * UNIT)

    @np.errstate(all="ignore")
    def _error(self, y: _Solution) -> float:
        """The relative error of y, normalised."""
        b = 0.5 * y.flow
        _, w = self._solve(0.0, b, y.exponent)
        log_b = _log(b, y.exponent)
        kappa, theta = (self._relative_residual(s, log_b) for s in (y, w))
        if not (theta < 1.0 and kappa < 1.0):
            return math.inf
        inside = self._M.inside
        largest = math.exp(min(float((w.log - y.log)[inside].max()), 700.0)) / (1.0 - theta)
        bound = kappa * largest
        return 2.02 * bound / (1.0 - bound) if bound < 0.5 else math.inf

    def _relative_residual(self, at: _Solution, log_b: FloatArray) -> float:
        """max over B of (residual, its rounding and what transitions lost) / b."""
        M = self._M
        rounding = 2.0 * (8.0 + self._degree) ** 2 * UNIT**2 * at.flow
        size = np.exp(_log(np.abs(at.r) + rounding, at.exponent) - log_b)
        if self._loses:
            # at most 5e-324 a pair of states: what flows in, and what flows out
            total, log = _log_sum(at.log), at.log
            size += np.exp(LOG_SMALLEST + total - log_b)
            size += np.exp(LOG_SMALLEST + math.log(M.n_states) + log - log_b)
        return float(size[M.inside].max())

    @np.errstate(all="ignore")
    def _solve(
        self, at_ground: float, b: FloatArray, exponent: npt.NDArray[np.int32]
    ) -> tuple[_Solution, _Solution]:
        """y on B of y M = b 2^(512 exponent) + at_ground p_gB, as found first and as refined."""
        inside, n = self._M.inside, self._M.n_states

        def solution(hi: FloatArray, lo: FloatArray, unit: npt.NDArray[np.int32]) -> _Solution:
            M = self._M
            assert M.matrix is not None
            scaled, T = M.scaled, M.scaled.pattern.transpose
            r, flow = _core.residual_balance(
                M.matrix, T, scaled.row, scaled.col, hi, lo, unit, M.threads
            )
            return _Solution(
                hi, lo, unit, np.where(inside, r + _in_unit(b, exponent, unit), 0.0), flow
            )

        hi, unit = np.zeros(n), exponent.copy()
        hi[self.ground], unit[self.ground] = at_ground, 0
        start = solution(hi, np.zeros(n), unit)
        hi, unit = hi.copy(), unit.copy()
        hi[inside], unit[inside] = self._left(start.r, start.exponent)
        first = best = solution(hi, np.zeros(n), unit)
        for _ in range(MAX_ROUNDS):
            hi, lo = best.hi.copy(), best.lo.copy()
            for sign in (1.0, -1.0):  # the parts of the residual of each sign
                step, wide = np.zeros(n), np.zeros(n, np.int32)
                step[inside], wide[inside] = self._left(np.maximum(sign * best.r, 0.0), unit)
                _core.residual_add(sign * _in_unit(step, wide, unit), hi, lo, self._M.threads)
            at = solution(hi, lo, unit)
            if not at.size < best.size:
                break
            best, before = at, best.size
            if not at.size < 0.5 * before:
                break
        return first, best

    def _left(
        self, b: FloatArray, exponent: npt.NDArray[np.int32]
    ) -> tuple[FloatArray, npt.NDArray[np.int32]]:
        inside = self._M.inside
        return self._solver.solve_left_inside(b[inside], exponent[inside])


def _log(value: FloatArray, exponent: npt.NDArray[np.int32]) -> FloatArray:
    logs: FloatArray = np.log(value) + WIDE_LOG * exponent
    return logs


def _in_unit(
    value: FloatArray, exponent: npt.NDArray[np.int32], unit: npt.NDArray[np.int32]
) -> FloatArray:
    """value 2^(512 exponent) in units of 2^(512 unit)."""
    # beyond 3 units a double overflows or underflows
    scaled: FloatArray = np.ldexp(value, WIDE_BITS * np.clip(exponent - unit, -3, 3))
    return scaled


def _log_sum(logs: FloatArray) -> float:
    top = float(logs.max())
    return top + math.log(float(np.exp(logs - top).sum()))


def _normalised(logs: FloatArray) -> FloatArray:
    normalised: FloatArray = logs - _log_sum(logs)
    return normalised

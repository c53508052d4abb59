"""Sparse elimination of M = I - P_BB without subtractions, and when it pays.

Elimination competes with iteration by cost. After FIRST_PRODUCTS products the elimination is
ordered and its operations are counted: its fill is known before any arithmetic. The iteration goes
on until it has cost as much as the elimination would; then elimination takes over. So a solve never
costs more than twice the better of the two.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core
from .._runtime.memory import forecast_memory
from .._runtime.pacing import ENTRIES_PER_CALL, paced_ranges
from .._runtime.types import FloatArray, Int32Array, IntArray
from ..errors import InvalidChainError, MemoryForecastError
from .restriction import Report, Restriction
from .rounding import UNIT

# Products before an elimination is ordered, which costs about as much (torus 256: 0.2 s).
FIRST_PRODUCTS = 200
# A stored entry in a product costs about as much as this many operations of an elimination (torus
# 512, Mistral network).
FLOPS_PER_ENTRY = 8
# Limits of an elimination: more operations would take two minutes and more, at 7e9 a second (one
# core, torus 512); more entries are factors of over 8 GB.
MAX_FLOPS, MAX_ENTRIES = 1e12, 500_000_000
# Visits to an entry, on average, in the search for an order: 3 on a torus, 20 on a random graph.
# States with very many neighbours take hundreds (trigram model: minutes), and fill the factors.
MAX_VISITS = 100
# The smallest number that is not rounded to fewer digits.
TINY = float(np.finfo(np.float64).tiny)
# Pivots ordered in one call.
PIVOTS_PER_CALL = 20_000


class SparseElimination:
    """The factorisation of M, found in three stages: order, arithmetic, solves.

    Parameters
    ----------
    matrix : Restriction
        M.

    Attributes
    ----------
    pause : float
        Before this many products `pays` returns False at once.
    """

    def __init__(self, matrix: Restriction) -> None:
        self.matrix, self.pause = matrix, float(FIRST_PRODUCTS)
        self._was_ordered = False
        self._n_leaks = 0  # entries of P from B to other states
        self._rates_underflow = False
        self._rates: tuple[Any, ...] | None = None
        self._symbolic: tuple[Any, ...] | None = None
        self._factor: _core.Elimination | None = None
        self._leak = 0.0

    @property
    def is_factorised(self) -> bool:
        return self._factor is not None

    @property
    def n_flops(self) -> float:
        """Operations of the elimination, once it is ordered."""
        return self._fill["n_flops"]

    @property
    def n_entries(self) -> int:
        """Entries of a triangular factor, once it is ordered; a solve makes four operations with
        each."""
        return int(self._fill["n_entries"])

    @property
    def n_factor(self) -> int:
        """Entries of the factors, once they are ordered."""
        return 0 if self._symbolic is None else int(self._symbolic[-1]["n_factor"])

    @property
    def n_products(self) -> float:
        """What the elimination costs, in products, once it is ordered."""
        return self.n_flops / (FLOPS_PER_ENTRY * self.matrix.entries_per_product)

    @property
    def _fill(self) -> dict[str, float]:
        if self._symbolic is None:
            raise RuntimeError("order first")
        fill: dict[str, float] = self._symbolic[-1]
        return fill

    def pays(self, n_products: int, left: float, report: Report) -> bool:
        """Whether elimination is cheaper than to go on with an iteration.

        Parameters
        ----------
        n_products : int
            Products so far.
        left : float
            Products that the iteration still expects to need, NaN if it cannot tell.
        """
        if n_products < self.pause:
            return False
        if left < FIRST_PRODUCTS:  # ordering the elimination would cost more
            self.pause = n_products + FIRST_PRODUCTS
            return False
        self.pause = math.inf
        if not self.is_feasible(report):
            return False
        cost = self.n_products
        if n_products >= cost or cost < left < math.inf:
            return True
        self.pause = cost
        return False

    def is_feasible(self, report: Report, max_flops: float = MAX_FLOPS) -> bool:
        """Whether time, at most `max_flops` operations, and memory allow the elimination; orders it
        at the first call."""
        if not self._was_ordered:
            self._was_ordered = True
            self._order(report)
        return self._symbolic is not None and self._symbolic[-1]["n_flops"] <= max_flops

    def _order(self, report: Report) -> None:
        M = self.matrix
        if M.matrix is None:
            return
        try:  # the rates both ways, the lists of the order and its work space
            forecast_memory(40 * M.matrix.nnz + 150 * M.n_inside, "the order of an elimination")
        except MemoryForecastError:
            return
        number = np.where(M.inside, np.cumsum(M.inside) - 1, -1).astype(np.int32)
        self._rates = _core.rates(
            M.matrix,
            M.scaled.pattern.transpose,
            M.scaled.row,
            M.scaled.col,
            number,
            M.n_inside,
            1,
            M.threads,
        )
        self._require_both_ways(*self._rates[:2])
        self._examine_rates()
        search = _core.MinimumDegree(*self._rates[:2])
        while not search.expand(PIVOTS_PER_CALL):
            report(M.n_products)
            if search.n_visited > MAX_VISITS * (M.matrix.nnz + M.n_states):
                return
        symbolic = search.supernodes(MAX_ENTRIES)
        if symbolic is None or symbolic[-1]["n_flops"] > MAX_FLOPS:
            return
        n_numbers = symbolic[-1]["n_factor"] + symbolic[-1]["n_stack"]
        try:
            forecast_memory(8 * n_numbers, "the elimination")
        except MemoryForecastError:
            return
        self._symbolic = symbolic

    def _require_both_ways(self, indptr: IntArray, indices: Int32Array) -> None:
        """Every rate has a place both ways if the transpose is one. That of a chain loaded from a
        folder is only claimed (a symmetric pattern is its own), and the elimination would write
        beyond its arrays."""
        task, n = _core.Transposition(_core.Csr(indptr, indices, None)), len(indptr) - 1
        for begin, end in paced_ranges(n, offsets=indptr):
            task.count(begin, end, self.matrix.threads)
        task.place()
        for begin, end in paced_ranges(n, offsets=indptr):
            task.fill(begin, end, self.matrix.threads)
        back = task.result
        if not (np.array_equal(back.indptr, indptr) and np.array_equal(back.indices, indices)):
            raise InvalidChainError(
                "the chain was saved as symmetric and is not; make it again and save it"
            )

    def _examine_rates(self) -> None:
        """Count the entries that leave B, and see whether a rate may have underflowed."""
        M = self.matrix
        assert M.matrix is not None and self._rates is not None
        degree = np.diff(M.matrix.indptr)
        self._n_leaks = int(degree[M.inside].sum() - np.count_nonzero(self._rates[2]))
        values = M.matrix.values
        parts = [part for part in (values, M.scaled.row, M.scaled.col) if part is not None]
        with np.errstate(under="ignore"):
            least = math.prod(float(part.min()) for part in parts)
        self._rates_underflow = least < TINY

    def factorise(self, report: Report, *, leak: float = 0.0) -> bool:
        """Eliminate B, where it is feasible; returns whether M, or M + leak I, is factorised."""
        if self._factor is not None and self._leak == leak:
            return True
        if self._symbolic is None or self._rates is None:
            return False
        self._factor, self._leak = None, leak
        indptr, indices, out_rate, in_rate, away = self._rates
        leaks = np.ascontiguousarray(away[:, 0]) + leak
        factor = _core.Elimination(indptr, indices, out_rate, in_rate, leaks, self._symbolic)
        try:
            while not factor.expand(ENTRIES_PER_CALL * FLOPS_PER_ENTRY, self.matrix.threads):
                report(self.matrix.n_products)
        except ArithmeticError:
            # all transitions out of a state underflowed to zero: nothing is known there
            self._symbolic = None
            return False
        self._factor = factor
        return True

    def solve_inside(self, b: FloatArray) -> FloatArray:
        """M^-1 b for a block (n_inside, width), on the states of B alone."""
        if self._factor is None:
            raise RuntimeError("factorise first")
        return self._factor.solve(b)

    def solve(self, b: FloatArray) -> FloatArray:
        """M^-1 b for b (n_states,), zero outside B."""
        inside, x = self.matrix.inside, np.zeros(self.matrix.n_states)
        x[inside] = self.solve_inside(np.ascontiguousarray(b[inside])[:, None])[:, 0]
        return x

    def solve_left_inside(
        self, b: FloatArray, exponent: npt.NDArray[np.int32]
    ) -> tuple[FloatArray, npt.NDArray[np.int32]]:
        """b M^-1 on the states of B alone, for wide numbers b 2^(512 exponent) >= 0."""
        if self._factor is None:
            raise RuntimeError("factorise first")
        return self._factor.solve_left(b, exponent)

    @property
    def underflow(self) -> float:
        """The sum of what products of the factorisation lost by underflow, at most.

        Each such loss changes a rate by at most 5e-324, and a change of rates by d moves the
        solution of M x = b at state i by at most d, times the mean time in B from i, times the
        largest entry of x (from x - x' = M^-1 (M' - M) x')."""
        if self._factor is None:
            raise RuntimeError("factorise first")
        if not (self._factor.underflow or self._rates_underflow):
            return 0.0
        return 1e-323 * (self.n_flops + float(self.matrix.n_inside) ** 2)

    @property
    def rounding(self) -> float:
        """The relative error of M^-1 b if nothing underflowed: six half-ulps, twice, for each row
        next to a pivot, and the entries' own (see the C header of the elimination); a sum of rates
        out of B, one half-ulp an entry, twice."""
        n_rounded = 12.0 * (self.n_entries + 2.0 * self.matrix.n_inside)
        first_order = UNIT * (n_rounded + 2.0 * self._n_leaks)
        return first_order / (1.0 - first_order) if first_order < 1.0 else math.inf

    def bound(self, largest: float) -> float:
        """The relative error of the x >= 0 that elimination finds; `largest` is the largest entry
        of x.

        `rounding`, and `underflow`: where x >= M^-1 1 up to a factor that moves x by a relative
        error, and elsewhere the caller has to add the absolute one."""
        return float(self.rounding + self.underflow * largest)

"""Sparse elimination of M = I - P_BB without subtractions, and when it pays.

Elimination competes with iteration by cost. After FIRST_PRODUCTS products the elimination is
ordered and its operations are counted: its fill is known before any arithmetic. The iteration goes
on until it has cost as much as the elimination would; then elimination takes over. So a solve never
costs more than twice the better of the two.
"""

import math
from typing import Any

import numpy as np

from .. import _core
from .._runtime.memory import forecast_memory
from .._runtime.pacing import ENTRIES_PER_CALL
from .._runtime.types import FloatArray
from ..errors import MemoryForecastError
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
        self._rates: tuple[Any, ...] | None = None
        self._symbolic: tuple[Any, ...] | None = None
        self._factor: _core.Elimination | None = None

    @property
    def is_factorised(self) -> bool:
        return self._factor is not None

    @property
    def n_factor(self) -> int:
        """Entries of the factors, once they are ordered."""
        return 0 if self._symbolic is None else int(self._symbolic[-1]["n_factor"])

    @property
    def n_products(self) -> float:
        """What the elimination costs, in products, once it is ordered."""
        assert self._symbolic is not None
        flops_per_product = FLOPS_PER_ENTRY * self.matrix.entries_per_product
        return float(self._symbolic[-1]["n_flops"] / flops_per_product)

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

    def is_feasible(self, report: Report) -> bool:
        """Whether time and memory allow the elimination; orders it at the first call."""
        if not self._was_ordered:
            self._was_ordered = True
            self._order(report)
        return self._symbolic is not None

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
        search = _core.MinimumDegree(*self._rates[:2])
        while not search.expand(PIVOTS_PER_CALL):
            report(M.n_products)
        symbolic = search.supernodes(MAX_ENTRIES)
        if symbolic is None or symbolic[-1]["n_flops"] > MAX_FLOPS:
            return
        n_numbers = symbolic[-1]["n_factor"] + symbolic[-1]["n_stack"]
        try:
            forecast_memory(8 * n_numbers, "the elimination")
        except MemoryForecastError:
            return
        self._symbolic = symbolic

    def factorise(self, report: Report) -> bool:
        """Eliminate B, where it is feasible; returns whether M is factorised."""
        if self._factor is not None:
            return True
        if self._symbolic is None or self._rates is None:
            return False
        indptr, indices, out_rate, in_rate, leak = self._rates
        factor = _core.Elimination(
            indptr, indices, out_rate, in_rate, np.ascontiguousarray(leak[:, 0]), self._symbolic
        )
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

    def bound(self, largest: float) -> float:
        """The relative error, to first order, of the x >= 0 that elimination finds; `largest` is
        the largest entry of x.

        Rounding: six half-ulps, twice, for each row next to a pivot, and the entries' own (see the
        C header of the elimination). Underflow: a product that underflows is off by 5e-324. Like
        any absolute change of a rate it moves x by at most that, times the time spent at the rate's
        state, times the largest x; times n^2 for all products. (As x >= M^-1 1 up to a factor this
        is a relative error, or an absolute one.)
        """
        if self._symbolic is None or self._factor is None:
            raise RuntimeError("factorise first")
        n_inside = self.matrix.n_inside
        rounding = 12.0 * UNIT * (self._symbolic[-1]["n_entries"] + 2.0 * n_inside)
        underflow = 1e-323 * float(n_inside) ** 2 * largest if self._factor.underflow else 0.0
        return float(rounding + underflow)

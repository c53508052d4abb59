"""The matrix M = I - P_BB of a chain restricted to a set B of states, and one solve with it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeAlias

import numpy as np

from .. import _core
from .._runtime.checkpoint import fingerprint
from .._runtime.types import BoolArray, FloatArray
from .rounding import UNIT

# Up to this many states a computed pattern is written out, and elimination comes first: 0.3 s where
# nothing is sparse.
MAX_SMALL = 1000

#: monitor(n_products, **info): called after every piece of work.
Report: TypeAlias = Callable[..., None]


class SparsePattern(Protocol):
    """A `Pattern`, for linear systems."""

    @property
    def is_stored(self) -> bool: ...
    @property
    def matrix(self) -> _core.Csr: ...
    @property
    def transpose(self) -> _core.Csr: ...
    @property
    def potential(self) -> FloatArray | None: ...
    @property
    def nnz(self) -> int: ...
    @property
    def loses_transitions(self) -> bool: ...
    @property
    def log_entries(self) -> Callable[[], FloatArray] | None: ...
    @property
    def max_degree(self) -> int: ...


class ScaledMatrix(Protocol):
    """A `ScaledPattern` diag(row) A diag(col) + diag(shift), for linear systems."""

    @property
    def pattern(self) -> SparsePattern: ...
    @property
    def row(self) -> FloatArray | None: ...
    @property
    def col(self) -> FloatArray | None: ...
    @property
    def operator(self) -> _core.Scaled: ...
    @property
    def log_measure(self) -> FloatArray: ...
    @property
    def identity(self) -> tuple[object, ...]: ...
    @property
    def n_states(self) -> int: ...


@dataclass(frozen=True)
class SolveTask:
    """One solve of M x = b.

    Attributes
    ----------
    b : ndarray (n_states,)
        Zero outside B.
    tol : float
        The size of the residual, relative to `scale`, that is wanted.
    scale : float or ndarray (n_states,)
        What the residual is measured against.
    least : float
        No solution is smaller on B.
    monitor : callable
    support : ndarray bool (n_states,), optional
        Where x is positive. If given, the residual is measured against x itself.
    """

    b: FloatArray
    tol: float
    scale: float | FloatArray
    least: float
    monitor: Report
    support: BoolArray | None = None

    @property
    def absolute(self) -> float:
        """The smallest entry that the residual is measured against, 0 if it is not known."""
        return float(np.min(self.scale)) if self.support is None else 0.0

    def measured(self, size: FloatArray, x: FloatArray) -> float:
        """The largest entry of `size` >= 0, a residual or its rounding error at x, relative to what
        it is measured against; inf where that is unknown or zero."""
        with np.errstate(over="ignore", invalid="ignore"):
            if self.support is None:
                largest = float((size / self.scale).max(initial=0.0))
            elif (x[self.support] <= 0.0).any():
                return math.inf
            else:
                largest = float((size[self.support] / x[self.support]).max(initial=0.0))
        return largest if math.isfinite(largest) else math.inf


class Restriction:
    """M = I - P_BB.

    Parameters
    ----------
    scaled : ScaledPattern
        P.
    inside : ndarray bool (n_states,)
        B.
    threads : int

    Attributes
    ----------
    n_products : int
        Products with P so far.
    uses_copy : bool
        Whether entries are read from a stored copy where P is computed. Set before the first use.
    """

    uses_copy = False

    def __init__(self, scaled: ScaledMatrix, inside: BoolArray, threads: int) -> None:
        self.scaled, self.inside, self.threads = scaled, inside, threads
        self.n_inside = int(np.count_nonzero(inside))
        self.n_products = 0
        self.mask = inside.view(np.uint8)

    @property
    def n_states(self) -> int:
        return self.scaled.n_states

    @cached_property
    def identity(self) -> str:
        """A text that changes with any bit of P or B, for the stages of a checkpoint."""
        return fingerprint(*self.scaled.identity, self.inside)

    @property
    def is_reversible(self) -> bool:
        """Whether P satisfies detailed balance."""
        return self.scaled.pattern.potential is not None

    @property
    def is_small(self) -> bool:
        """Whether elimination comes first."""
        return self.n_inside <= MAX_SMALL

    @property
    def entries_per_product(self) -> int:
        """The cost of a product: entries of P, and eight for the vectors at every state."""
        return self.scaled.pattern.nnz + 8 * self.n_states

    @cached_property
    def matrix(self) -> _core.Csr | None:
        """The stored pattern of P, or None where P is computed and large."""
        pattern = self.scaled.pattern
        is_used = pattern.is_stored or self.uses_copy or self.n_states <= MAX_SMALL
        return pattern.matrix if is_used else None

    @property
    def max_degree(self) -> int:
        """The largest number of entries in a row."""
        return self.scaled.pattern.max_degree

    @cached_property
    def exit_rate(self) -> FloatArray:
        """The probability of a step to another state, from each state, where P is stored; else one.
        Only the speed of the iterations depends on it."""
        if self.matrix is None:
            return np.ones(self.n_states)
        rate = _core.exit_rate(self.matrix, self.scaled.row, self.scaled.col, self.threads)
        return np.where(rate > 0.0, rate, 1.0)

    def residual(self, hi: FloatArray, lo: FloatArray, b: FloatArray) -> FloatArray:
        """b - M (hi + lo) on B, 0 elsewhere; hi and lo are zero outside B.

        Evaluated in twice the working precision where P is stored."""
        self.n_products += 1
        r = np.empty_like(hi)
        row, col, threads = self.scaled.row, self.scaled.col, self.threads
        if self.matrix is not None:
            _core.residual(self.matrix, row, col, self.mask, hi, lo, b, r, threads)
            return r
        self.difference(hi, r)
        low = np.empty_like(hi)
        self.difference(lo, low)
        return np.where(self.inside, (b - r) - low, 0.0)

    def difference(self, x: FloatArray, out: FloatArray) -> None:
        """(I - P) x, as sums of differences."""
        _core.scaled_difference(self.scaled.operator, x, out, 1, self.threads)

    def _underflow(self) -> float:
        """What products that underflow add to the error of `residual`, at most."""
        row = 1.0 if self.scaled.row is None else max(1.0, float(self.scaled.row.max()))
        return 1e-323 * (self.max_degree + 2.0) * row

    def _rounding(self, hi: FloatArray) -> FloatArray:
        """Bound of the rounding error of `residual` at every state where P is computed: that of a
        sum of differences, which are exact to a relative error. The sum over j of
        P[i, j] |x[i] - x[j]| is at most the root of that of P[i, j] (x[i] - x[j])^2."""
        squares = np.empty_like(hi)
        _core.scaled_difference(self.scaled.operator, hi, squares, 2, self.threads)
        self.n_products += 1
        lows = 2.0 * UNIT * float(np.abs(hi).max(initial=0.0))
        rounding: FloatArray = (self.max_degree + 8.0) * UNIT * (np.sqrt(squares) + lows)
        return rounding

    def floor(self, hi: FloatArray) -> float:
        """Bound of the rounding error of `residual` but for one ulp of itself, for hi + lo of any
        sign."""
        if self.matrix is None:
            largest = float(self._rounding(hi)[self.inside].max(initial=0.0))
        else:
            rounding = ((self.max_degree + 8.0) * UNIT) ** 2
            largest = 2.0 * rounding * float(np.abs(hi).max(initial=0.0))
        return largest + self._underflow()

    def floor_at(self, hi: FloatArray, r: FloatArray) -> FloatArray:
        """The same at every state for hi >= 0 with residual r of a right-hand side b >= 0: there
        P hi = hi - b + r <= hi + |r|, which bounds sums of P[i, j] |x[i] - x[j]|."""
        if self.matrix is None:
            return self._rounding(hi) + self._underflow()
        rounding = ((self.max_degree + 8.0) * UNIT) ** 2
        return rounding * (2.0 * hi + np.abs(r)) + self._underflow()

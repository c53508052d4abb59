"""The matrix M = I - P_BB of a chain restricted to a set B of states, and one solve with it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeAlias

import numpy as np

from .. import _core
from .._runtime.types import BoolArray, FloatArray
from .rounding import UNIT

# Up to this many states a computed pattern is written out, and elimination comes first: 0.3 s where
# nothing is sparse.
MAX_SMALL = 1000
# Entries in a row that a computed pattern is assumed to have at most.
COMPUTED_DEGREE = 1000

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
    def n_states(self) -> int: ...


def largest_degree(pattern: SparsePattern) -> int:
    """The largest number of entries in a row, for bounds on rounding."""
    return int(np.diff(pattern.matrix.indptr).max()) if pattern.is_stored else COMPUTED_DEGREE


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
    """

    b: FloatArray
    tol: float
    scale: float | FloatArray
    least: float
    monitor: Report

    @property
    def absolute(self) -> float:
        """The smallest entry of `scale`."""
        return float(np.min(self.scale))


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
    """

    def __init__(self, scaled: ScaledMatrix, inside: BoolArray, threads: int) -> None:
        self.scaled, self.inside, self.threads = scaled, inside, threads
        self.n_inside = int(np.count_nonzero(inside))
        self.n_products = 0
        self.mask = inside.view(np.uint8)

    @property
    def n_states(self) -> int:
        return self.scaled.n_states

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
        return pattern.matrix if pattern.is_stored or self.n_states <= MAX_SMALL else None

    @cached_property
    def max_degree(self) -> int:
        """The largest number of entries in a row."""
        return COMPUTED_DEGREE if self.matrix is None else int(np.diff(self.matrix.indptr).max())

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

    def floor(self, hi: FloatArray) -> float:
        """Bound of the rounding error of `residual`."""
        largest = float(np.abs(hi).max(initial=0.0))
        if self.matrix is None:
            return 8.0 * UNIT * largest
        return 2.0 * (8.0 + self.max_degree) ** 2 * UNIT**2 * largest

"""Left solves with M = I - P_BB of a nearly decomposable chain, roughly: steps within the blocks of
strongly joined states, and the masses of the blocks from the chain between them
(aggregation-disaggregation: Takahashi 1975; Koury, McAllister & Stewart 1984)."""

import numpy as np
import numpy.typing as npt
import scipy.linalg
import scipy.sparse as sp

from .._runtime.types import FloatArray
from .restriction import Restriction

# Blocks at the most: their chain is solved densely, in a second.
MAX_BLOCKS = 3000
# Transitions of less than these probabilities are cut, one after the other, until there are few
# enough blocks.
CUTS = 10.0 ** -np.arange(1.0, 16.0)
# Cycles a solve, and damped steps a cycle.
CYCLES, STEPS, DAMPING = 2, 12, 0.8


class AggregationSolver:
    """x ~ b M^-1 by two cycles of aggregation-disaggregation.

    Parameters
    ----------
    matrix : Restriction
        M, stored.
    labels : ndarray (n_states,)
        The block of each state.
    guess : ndarray (n_states,)
        About pi: how the mass of a block is shared among its states.
    """

    def __init__(
        self, matrix: Restriction, labels: npt.NDArray[np.int32], guess: FloatArray
    ) -> None:
        inside = matrix.inside
        P = _between_states(matrix)
        self._exit = np.asarray(P.sum(axis=1)).ravel()[inside]
        leak = np.asarray(P[:, ~inside].sum(axis=1)).ravel()[inside]
        P = P[inside][:, inside]
        self._from: sp.csr_array = sp.csr_array(P.T)
        _, self._block = np.unique(labels[inside], return_inverse=True)
        m, n = int(self._block.max()) + 1, len(self._block)
        mass = np.bincount(self._block, guess[inside], m)
        self._share = guess[inside] / mass[self._block]
        sums = sp.csr_array((np.ones(n), (np.arange(n), self._block)), shape=(n, m))
        spread = sp.csr_array((self._share, (self._block, np.arange(n))), shape=(m, n))
        between = (spread @ P @ sums).toarray()
        np.fill_diagonal(between, 0.0)
        out = between.sum(axis=1) + np.bincount(self._block, self._share * leak, m)
        self._coarse = scipy.linalg.lu_factor(np.diag(out) - between)

    def solve_left_inside(
        self, b: FloatArray, exponent: npt.NDArray[np.int32]
    ) -> tuple[FloatArray, npt.NDArray[np.int32]]:
        """As `SparseElimination.solve_left_inside`, roughly, for numbers in the range of a
        double."""
        b = np.ldexp(b, 512 * np.clip(exponent, -3, 3))
        x = np.zeros_like(b)
        for _ in range(CYCLES):
            x = self._steps(x, b)
            r = b - (self._exit * x - self._from @ x)
            masses = np.bincount(self._block, r)
            x = x + scipy.linalg.lu_solve(self._coarse, masses, trans=1)[self._block] * self._share
        return self._steps(x, b), np.zeros(len(b), np.int32)

    def _steps(self, x: FloatArray, b: FloatArray) -> FloatArray:
        for _ in range(STEPS):
            x = (1.0 - DAMPING) * x + DAMPING * (self._from @ x + b) / self._exit
        return x


def blocks(matrix: Restriction) -> npt.NDArray[np.int32] | None:
    """The block of each state, or None if no cut makes between 2 and MAX_BLOCKS blocks."""
    from scipy.sparse.csgraph import connected_components  # slow to import

    P = _between_states(matrix)
    for cut in CUTS:
        kept = P.copy()
        kept.data[kept.data < cut] = 0.0
        kept.eliminate_zeros()
        n_blocks, labels = connected_components(kept, connection="strong")
        if n_blocks <= MAX_BLOCKS:
            return labels if n_blocks > 1 else None
    return None


def _between_states(matrix: Restriction) -> sp.csr_array:
    """P without its diagonal."""
    A, n = matrix.matrix, matrix.n_states
    assert A is not None
    x = np.repeat(np.arange(n, dtype=np.int64), np.diff(A.indptr))
    values = np.ones(len(x)) if A.values is None else A.values.astype(np.float64)
    row, col = matrix.scaled.row, matrix.scaled.col
    values = values if row is None else values * row[x]
    values = values if col is None else values * col[A.indices]
    off = x != A.indices
    return sp.csr_array((values[off], (x[off], A.indices[off])), shape=(n, n))

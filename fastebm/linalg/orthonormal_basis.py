"""Orthonormal vectors in the rows of one array, which the eigenvalue iterations extend in place.

The basis is vector-contiguous: full orthogonalisation reads it several times a step and streams it
at full width, for one vector or for a block. The block product of a chain wants (n_states, width)
instead; the pass that scales its operand changes the layout.
"""

import numpy as np

from .. import _core
from .._runtime.pacing import ENTRIES_PER_CALL
from .._runtime.types import FloatArray, IntArray
from .operator import RandomVectors
from .rounding import EPS

# A unit vector that projections leave shorter than this has no direction of its own: the rest is
# rounding.
NULL_NORM = 64 * EPS
# A vector that its projections leave shorter than this is projected once more: scaling it to unit
# length magnifies the rounding of the projection, EPS / length.
PROJECT_AGAIN = 0.1
# Attempts to draw a random direction: near the full dimension little is left of a random vector.
MAX_DRAWS = 3
# Vectors beyond the wanted ones that a basis grows to before it restarts: at least MIN_EXTRA (on
# large chains), at most MAX_EXTRA (without symmetry MAX_EXTRA_GENERAL), and MAX_EXTRA_NUMBERS
# numbers (256 MB). Restarts cost products; a large basis costs dense eigenproblems, above all
# without symmetry. Chains of fewer than MAX_EXTRA states are spanned as a whole.
MIN_EXTRA, MAX_EXTRA, MAX_EXTRA_GENERAL, MAX_EXTRA_NUMBERS = 24, 120, 48, 2**25


def n_rows(count: int, n_states: int, width: int, symmetric: bool) -> int:
    """Rows of work space of a search for `count` pairs: the deflated vector, the pairs, the vectors
    beyond them, and two blocks."""
    most = MAX_EXTRA if symmetric else MAX_EXTRA_GENERAL
    extra = max(MIN_EXTRA, 5 * width, count, min(most, MAX_EXTRA_NUMBERS // n_states))
    return min(1 + count + extra, n_states) + 2 * width


class OrthonormalBasis:
    """The rows of an array: the first `fixed` stay, and the others are work space.

    Parameters
    ----------
    rows : ndarray (n_rows, n_states)
        The first `fixed` rows are orthonormal.
    fixed : int
        The rows that everything else is orthogonal to.
    random : RandomVectors
    threads : int
    """

    def __init__(self, rows: FloatArray, fixed: int, random: RandomVectors, threads: int) -> None:
        self.rows, self.fixed, self.random, self.threads = rows, fixed, random, threads

    @property
    def n_states(self) -> int:
        """Length of the vectors."""
        return int(self.rows.shape[1])

    def __len__(self) -> int:
        return len(self.rows)

    def grow(self, n_rows: int) -> None:
        """Extend the array to `n_rows` rows."""
        rows = np.empty((n_rows, self.n_states))
        rows[: len(self.rows)] = self.rows
        self.rows = rows

    # --- products of blocks of vectors ------------------------------------------------------------

    def project(self, V: FloatArray, W: FloatArray) -> FloatArray:
        """V W^T."""
        return _core.basis_project(V, W, self.threads)

    def remove(self, V: FloatArray, C: FloatArray, W: FloatArray) -> FloatArray:
        """W -= C^T V in place; returns V W^T of the new W."""
        return _core.basis_remove(V, C, W, self.threads)

    def norms(self, W: FloatArray) -> FloatArray:
        """The lengths of the rows of W."""
        lengths: FloatArray = np.sqrt(np.diag(self.project(W, W)))
        return lengths

    def rotate(self, size: int, Q: FloatArray, done: IntArray) -> None:
        """Replace the `size` rows V after the fixed ones by Q^T V, in place.

        The work is cut into calls short enough for Ctrl-C; done[0] counts the columns that are
        finished, and the same call continues from there."""
        V = self.rows[self.fixed : self.fixed + size]
        # streaming the basis takes a quarter of the time of a gather
        per_call = max(1, 4 * ENTRIES_PER_CALL // Q.size)
        while done[0] < self.n_states:
            _core.basis_rotate(V, Q, done, per_call, self.threads)

    # --- one row ----------------------------------------------------------------------------------

    def norm(self, at: int) -> float:
        """The length of row `at`."""
        row = self.rows[at : at + 1]
        return float(np.sqrt(self.project(row, row)[0, 0]))

    def scale(self, at: int, factor: float) -> None:
        """Multiply row `at`."""
        np.multiply(self.rows[at], factor, out=self.rows[at])

    def clear(self, first: int, at: int) -> FloatArray:
        """Remove from row `at` its part along the rows first..at-1, by two projections; returns the
        coefficients."""
        V, row = self.rows[first:at], self.rows[at : at + 1]
        c = self.project(V, row)
        more = self.remove(V, c, row)
        self.remove(V, more, row)
        coefficients: FloatArray = (c + more)[:, 0]
        return coefficients

    def draw(self, at: int) -> bool:
        """Make row `at` a random unit vector orthogonal to all rows before it; False if there is
        none."""
        if at >= self.n_states:
            return False
        for _ in range(MAX_DRAWS):
            self.random.fill(self.rows[at])
            self.scale(at, 1.0 / self.norm(at))
            self.clear(0, at)
            norm = self.norm(at)
            if norm > NULL_NORM:
                self.scale(at, 1.0 / norm)
                self.clear(0, at)
                self.scale(at, 1.0 / self.norm(at))
                return True
        return False

    def draw_block(self, at: int, width: int) -> int:
        """Make the rows from `at` on random and orthonormal, at most `width`; returns how many."""
        found = 0
        while found < width and self.draw(at + found):
            found += 1
        return found

    def is_direction(self, at: int, norm: float) -> bool:
        """Make row `at`, of length `norm`, a unit vector; False if it was only the rounding of its
        projections."""
        if norm <= NULL_NORM or at >= self.n_states:
            return False
        self.scale(at, 1.0 / norm)
        if norm < PROJECT_AGAIN:
            self.clear(0, at)
            rest = self.norm(at)
            if rest < 0.5:
                return False
            self.scale(at, 1.0 / rest)
        return True

    def orthonormalise(self, first: int, width: int) -> FloatArray:
        """Make the rows first..first+width-1 orthonormal in place.

        They must already be orthogonal to all rows before them. Rows without a direction of their
        own are replaced by random ones; fewer than `width` are found only where the space ends.

        Returns
        -------
        R : ndarray (found, width)
            The former rows are R^T times the new ones.
        """
        R = np.zeros((width, width))
        found = 0
        for j in range(width):
            at = first + found
            if found < j:  # a row before this one had no direction
                self.rows[at] = self.rows[first + j]
            if found:
                R[:found, j] = self.clear(first, at)
            norm = self.norm(at)
            if self.is_direction(at, norm):
                R[found, j] = norm
                found += 1
            else:
                # the random row is coupled to nothing, and may bring another copy of an eigenvalue
                found += self.draw(at)
        return R[:found]

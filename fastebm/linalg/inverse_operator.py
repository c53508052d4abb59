"""The inverse of I - S on the complement of its null vector, by sparse elimination.

S = D^(1/2) P D^(-1/2) with D = diag(pi). The eigenvalues of S nearest to 1 are the largest of the
inverse, and far apart there: Krylov spaces of the inverse find in some ten solves what those of S
find in thousands of products. As |S| <= 1, the field of values of the inverse lies in Re >= 1/2,
and every Ritz value mu stands for a number 1 - 1 / mu of the unit disc.
"""

import math

import numpy as np

from .._runtime.types import FloatArray
from .elimination import SparseElimination
from .operator import Operator
from .restriction import Report, Restriction, ScaledMatrix
from .rounding import EPS

# sqrt(pi) is divided by, and its inverse multiplied by vectors of unit length.
LEAST_ROOT = 1e-150
# The squares of its images, which are hitting times, are summed.
LARGEST_TIME = 1e150
# Solves that a few eigenvalues take.
SOLVES = 30


class InverseOperator:
    """The inverse of I - S, or of its transpose, applied to blocks of vectors (width, n_states).

    A vector b with pi b = 0 has the solutions x of (I - P) x = b up to a constant. The one that is
    zero in the heaviest state g solves M x = b on the other states, M = I - P_BB. The positive and
    the negative part of b are solved for separately, without subtractions. What both solutions have
    in common cancels, so they are refined. Then the mean is removed.

    Parameters
    ----------
    scaled : ScaledPattern
        P, or for the transpose the reversed chain.
    root : ndarray (n_states,)
        sqrt(pi), of unit length.
    direct : Operator
        S or its transpose; the solves count there as products of the same cost.
    """

    is_inverse, symmetric = True, False

    def __init__(self, scaled: ScaledMatrix, root: FloatArray, direct: Operator) -> None:
        self.direct, self.root, self.threads = direct, root, direct.threads
        self.n_states = direct.n_states
        self._heaviest = int(np.argmax(root))
        inside = np.ones(self.n_states, bool)
        inside[self._heaviest] = False
        self._M = Restriction(scaled, inside, self.threads)
        self._elimination = SparseElimination(self._M)

    @property
    def n_matvecs(self) -> int:
        return self.direct.n_matvecs

    @n_matvecs.setter
    def n_matvecs(self, count: int) -> None:
        self.direct.n_matvecs = count

    @property
    def per_vector(self) -> int:
        """What one application costs, in products: two parts, each solved and refined once."""
        entries = 8.0 * self._elimination.n_factor
        return 2 + int(entries // self._M.entries_per_product)

    def prepare(self, report: Report, worth: float = math.inf) -> bool:
        """Factorise M; returns whether time, memory and range of doubles allow it, and whether it
        costs with some solves no more than `worth` products."""
        if self.root.min() < LEAST_ROOT or not self._elimination.is_feasible(report):
            return False
        if self._elimination.n_products + SOLVES * self.per_vector > worth:
            return False
        if not self._elimination.factorise(report):
            return False
        times = self._eliminate(np.where(self._M.inside, 1.0, 0.0)[None])
        return bool(times.max() < LARGEST_TIME)

    def apply(self, x: FloatArray, y: FloatArray) -> None:
        """Write the images of the rows of x into y."""
        _, found, steps = self._solve(x)
        width = len(x)
        y[:] = found[:width] - found[width:]
        y += steps[:width] - steps[width:]
        y *= self.root
        y -= np.outer(y @ self.root, self.root)
        self.n_matvecs += width * self.per_vector

    def _solve(self, z: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """(loads, solutions, one step of refinement) of M x = b for the positive parts of the rows
        of z, then for their negative parts."""
        b = (z - np.outer(z @ self.root, self.root)) / self.root
        loads = np.concatenate([np.maximum(b, 0.0), np.maximum(-b, 0.0)])
        loads[:, self._heaviest] = 0.0
        x = self._eliminate(loads)
        r = self._residuals(x, np.zeros_like(x), loads)
        return loads, x, self._eliminate(np.maximum(r, 0.0)) - self._eliminate(np.maximum(-r, 0.0))

    def _eliminate(self, loads: FloatArray) -> FloatArray:
        """M^-1 of every row, which is not negative, without subtractions."""
        inside, x = self._M.inside, np.zeros_like(loads)
        x[:, inside] = self._elimination.solve_inside(np.ascontiguousarray(loads[:, inside].T)).T
        return x

    def _residuals(self, hi: FloatArray, lo: FloatArray, loads: FloatArray) -> FloatArray:
        """The residual of every row, evaluated in twice the working precision."""
        return np.array([self._M.residual(*rows) for rows in zip(hi, lo, loads, strict=True)])

    def solve_error(self, z: FloatArray) -> FloatArray:
        """A bound of the error of `apply` for each row of z, in the norm of S.

        That of x is at most M^-1 |r|, r its residual, or what rounding allows the elimination; the
        smaller bound counts."""
        loads, x, steps = self._solve(z)
        r = np.abs(self._residuals(x, steps, loads))
        r += np.array([[self._M.floor(row)] for row in x])
        r[:, self._heaviest] = 0.0
        by_residual = self._norms(self._eliminate(r))
        relative = np.array([self._elimination.bound(float(row.max())) for row in x])
        a_priori = relative * self._norms(x) + self._norms(steps)
        # the mean that is removed carries the same error
        error = 2.0 * (np.minimum(by_residual, a_priori) + 4.0 * EPS * self._norms(x))
        found: FloatArray = error[: len(z)] + error[len(z) :]
        return found

    def _norms(self, x: FloatArray) -> FloatArray:
        """The norm of every row in pi."""
        norms: FloatArray = np.linalg.norm(x * self.root, axis=1)
        return norms

"""Lanczos without a stored basis: three vectors."""

import numpy as np

from .. import _core
from .rounding import EPS

# A check costs a dense eigenproblem of the basis, about 1 ms, more than a step of a chain with fewer states than this: then
# one in four steps is followed by one. A large basis grows by a quarter between two, for the same reason.
CHECK_EVERY_STEP = 20_000


class ThreeTerm:
    """The Lanczos recurrence without a basis on a symmetric operator, one known unit eigenvector deflated: five vectors.

    As in `_core.Lanczos`, copies of converged Ritz values appear and none of them is false (Paige 1972); `expand` has the
    same meaning.
    """

    def __init__(self, operator, deflate, start):
        self.operator = operator
        self.rows = np.zeros(
            (3, len(start))
        )  # the deflated vector, and the last two of the recurrence by turns
        self.new = np.empty((1, len(start)))
        self.rows[0] = deflate
        self.new[0] = start
        self.slot = 1
        c = _core.basis_project(self.rows[:1], self.new, operator.threads)
        _core.basis_remove(self.rows[:1], c, self.new, operator.threads)
        self._turn()

    def _turn(self):
        """The new vector, of unit length, takes the older slot; -> its length before."""
        norm = float(np.sqrt(_core.basis_project(self.new, self.new, self.operator.threads)[0, 0]))
        self.slot = 3 - self.slot
        np.multiply(self.new[0], 1.0 / norm if norm > 0.0 else 0.0, out=self.rows[self.slot])
        return norm

    def expand(self, n_steps, combine=None, ritz=None):
        """-> (alpha, beta) of the steps done, fewer than n_steps where the subspace is invariant."""
        alpha, beta = [], []
        for j in range(n_steps):
            v = self.rows[self.slot : self.slot + 1]
            if ritz is not None:
                ritz += combine[j] * v[0]
            self.operator.apply(v, self.new)
            h = _core.basis_project(self.rows, self.new, self.operator.threads)
            more = _core.basis_remove(self.rows, h, self.new, self.operator.threads)
            if np.abs(more).max() > EPS * EPS:
                _core.basis_remove(self.rows, more, self.new, self.operator.threads)
            alpha.append(h[self.slot, 0] + more[self.slot, 0])
            beta.append(self._turn())
            if beta[-1] <= 16 * EPS:
                break
        return np.array(alpha), np.array(beta)

"""Leading eigenpairs of slow reversible chains: the block Davidson method, each residual preconditioned by a multigrid cycle
(Crouzeix, Philippe & Sadkane 1994). The number of steps does not grow as the gap shrinks."""

import numpy as np

from .. import _core
from .krylov_schur import KrylovSchur
from .ritz import RitzPairs

# Products with P on the finest level of a cycle.
PRODUCTS = 2
# Blocks that V grows to, and those of Ritz vectors that are kept when it is full: between 3 and 8 the steps hardly change, but not what a
# step costs (benchmarks, 4 eigenpairs).
BLOCKS, KEPT = 5, 2


class Davidson(KrylovSchur):
    """An orthonormal basis V of rows and ``H = V A V^T`` of a symmetric operator A, grown by preconditioned residuals of the leading Ritz
    vectors. There is no recurrence: residuals are products made for the purpose.

    Parameters
    ----------
    operator, rows, fixed, width, random
        As of `KrylovSchur`; two blocks of rows behind V are work space.
    precondition : callable
        Of vectors (width, n_states), in place: about ``(1 - A)^-1`` times them.
    """

    def __init__(self, operator, rows, fixed, width, random, precondition):
        self.precondition = precondition
        self.ends = None  # the ends of the run under way
        self.before = np.empty(
            (0, 0)
        )  # the targets of the step before, in the coordinates of V then
        super().__init__(operator, rows, fixed, width, random)

    @classmethod
    def after(cls, basis, ends, precondition):
        """Goes on from the leading Ritz vectors of a Krylov basis, whose rows it takes over."""
        basis.restart(basis.ritz(), ends)
        new = cls(
            basis.operator, basis.rows, basis.fixed, basis.full_width, basis.random, precondition
        )
        new.H, new.size, new.is_new = basis.H, basis.size, False
        new.H[new.size :] = new.H[:, new.size :] = 0.0
        return new

    @property
    def capacity(self):
        return min(super().capacity, BLOCKS * self.full_width)

    @property
    def is_exhausted(self):
        return self.fixed + self.size >= self.operator.n_states

    def state(self):
        return {**super().state(), "before": self.before}

    def load(self, state):
        self.before = state["before"]
        super().load(state)

    def _start(self):
        counts = self._counts
        super()._start()
        found, self.width = self.width, 0
        self.is_new, self._counts = (
            True,
            counts,
        )  # until V holds something: an interrupt draws the same again
        self._take(found)
        self.is_new = False

    def _take(self, found):
        """The rows behind V, orthonormal and orthogonal to all before, join it."""
        threads, size = self.operator.threads, self.size + found
        end = self.fixed + size
        images = self.rows[end : end + found]
        self.operator.apply(self.rows[end - found : end], images)
        h = _core.basis_project(self.rows[self.fixed : end], images, threads)
        self.H[:size, self.size : size] = h
        self.H[self.size : size, :size] = h.T
        # both or none: Ctrl-C comes at calls
        self.size, self._counts = size, (self.random.drawn, self.operator.n_matvecs)

    def ritz(self):
        """The Ritz pairs, with the residuals of the targets, a block of the best; those of the others are not known, and infinite. The
        vectors A x - value x of the targets are in the second block of rows behind V."""
        self.finish_restart()
        ritz = RitzPairs(self.H[: self.size, : self.size], np.zeros((0, self.size)), True)
        ritz.residuals[:] = np.inf
        if self.ends is None:
            return ritz
        targets = np.concatenate(self.ends.grown(self.full_width).choose(ritz.values))[
            : self.full_width
        ]
        x, r = self._behind(0, len(targets)), self._behind(1, len(targets))
        x[:] = 0.0
        _core.basis_remove(
            self.rows[self.fixed : self.fixed + self.size],
            np.ascontiguousarray(-ritz.vectors[:, targets]),
            x,
            self.operator.threads,
        )
        self.operator.apply(x, r)
        for row, vector, value in zip(r, x, ritz.values[targets]):
            row -= value * vector
        ritz.residuals[targets] = np.sqrt(np.diag(_core.basis_project(r, r, self.operator.threads)))
        return ritz

    def _behind(self, block, count):
        first = self.fixed + self.size + block * self.full_width
        return self.rows[first : first + count]

    def expand(self, ritz):
        """V takes in the preconditioned residuals of the targets."""
        targets = np.isfinite(ritz.residuals)
        n_targets = np.count_nonzero(targets)
        threads, end = self.operator.threads, self.fixed + self.size
        new, residuals = self._behind(0, n_targets), self._behind(1, n_targets)
        known = self.rows[:end]
        # what rounding left along slow vectors of V, the preconditioner would magnify by 1 / gap
        _core.basis_remove(
            known, _core.basis_project(known, residuals, threads), residuals, threads
        )
        self.precondition(residuals)
        self.operator.n_matvecs += PRODUCTS * n_targets
        sizes = np.sqrt(np.diag(_core.basis_project(residuals, residuals, threads)))
        for row, residual, size in zip(new, residuals, sizes):
            np.multiply(residual, 1.0 / size if size > 0.0 else 0.0, out=row)
        h = _core.basis_project(known, new, threads)
        more = _core.basis_remove(known, h, new, threads)
        _core.basis_remove(known, more, new, threads)
        if found := len(self._orthonormalise(end, n_targets)):
            self.before = ritz.vectors[:, targets]
            self._take(found)

    def restart(self):
        """Keep leading Ritz vectors and the targets as they were a step ago, which hold the last direction of conjugate gradients
        (Stathopoulos & Saad 1998); without them every restart costs a step."""
        values, vectors = np.linalg.eigh(self.H[: self.size, : self.size])
        kept = np.concatenate(self.ends.grown(KEPT * self.full_width).choose(values))
        before = np.vstack(
            [self.before, np.zeros((self.size - len(self.before), self.before.shape[1]))]
        )
        Q, _ = np.linalg.qr(np.hstack([vectors[:, kept], before]))
        T = Q.T @ self.H[: self.size, : self.size] @ Q
        self._begin_restart(Q, 0.5 * (T + T.T))
        self.finish_restart()

    def lock(self, ritz, chosen):
        """The chosen Ritz vectors join the fixed rows; the better half of the others remains."""
        order = np.concatenate(self.ends.grown(self.size).choose(ritz.values))
        others = order[~np.isin(order, chosen)]
        kept = np.append(chosen, others[: len(others) // 2]).astype(np.intp)
        self._begin_restart(ritz.vectors[:, kept], np.diag(ritz.values[kept]))
        self.finish_restart()
        locked, rest = len(chosen), ritz.values[kept[len(chosen) :]]
        self.H[:] = 0.0
        self.H[: len(rest), : len(rest)] = np.diag(rest)
        self.fixed, self.size, self.before = self.fixed + locked, len(rest), np.empty((0, 0))
        self._commit()
        if not self.size:
            self.begin(self.fixed)
        return ritz.values[chosen]

    def run(self, ends, settled, limit, step_done):
        self.ends = ends
        if self.is_new:
            self._start()
        while True:
            if self.is_full:
                self.restart()
            ritz = self.ritz()
            done, exhausted = settled(ritz), self.is_exhausted
            step_done(ritz)
            n_targets = np.count_nonzero(np.isfinite(ritz.residuals))
            if done or exhausted or self.operator.n_matvecs + (2 + PRODUCTS) * n_targets > limit:
                return ritz, bool(done or exhausted)
            self.expand(ritz)

"""Block Davidson iteration: each residual is preconditioned (Crouzeix, Philippe & Sadkane 1994).

With a multigrid cycle as the preconditioner the number of steps for the leading eigenpairs of a
slow reversible chain does not grow as its gap shrinks.

It is preferred to LOBPCG because it shares rows, restarts, locking and checkpoints with the Krylov
methods. A restart keeps the targets of the step before, the directions that make LOBPCG fast.
"""

from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np

from .._runtime.types import FloatArray, IntArray
from .eigenvalue_selection import EigenvalueSelection
from .krylov_schur import KrylovSchur
from .operator import Operator
from .orthonormal_basis import OrthonormalBasis
from .ritz import NumberArray, RitzPairs

# Products with P on the finest level of a cycle.
PRODUCTS = 2
# Blocks that V grows to, and blocks of Ritz vectors that a restart keeps. Between 3 and 8 blocks
# the number of steps hardly changes, but the cost of a step does (benchmarks, 4 eigenpairs).
BLOCKS, KEPT = 5, 2


class BlockDavidson:
    """An orthonormal basis V and ``H = V A V^T`` of a symmetric operator A. It grows by the
    preconditioned residuals of the leading Ritz vectors, the targets.

    There is no recurrence: residuals are products made for the purpose. Two blocks of rows behind V
    are work space.

    Parameters
    ----------
    operator : Operator
    basis : OrthonormalBasis
    width : int
        Targets at most.
    precondition : callable
        Replaces vectors (width, n_states), in place, by about ``(1 - A)^-1`` times them.
    """

    def __init__(
        self,
        operator: Operator,
        basis: OrthonormalBasis,
        width: int,
        precondition: Callable[[FloatArray], None],
    ) -> None:
        self.operator, self.basis, self.full_width = operator, basis, width
        self.precondition = precondition
        self.H: FloatArray = np.zeros((len(basis), len(basis)))
        self._selection: EigenvalueSelection | None = None  # of the run under way
        # the targets of the step before, in the coordinates of V then
        self.before: FloatArray = np.empty((0, 0))
        # (Q, T, columns done, rows to lock, rows to keep behind them) of the restart under way
        self._restart: tuple[FloatArray, FloatArray, IntArray, int, int] | None = None
        self.size, self.is_new = 0, True
        # as of `KrylovSchur`
        self.committed = self.counts

    @classmethod
    def take_over(cls, krylov: KrylovSchur, precondition: Callable[[FloatArray], None]) -> Self:
        """Continue from a Krylov basis after its last restart; the basis is used up."""
        operator = krylov.operator
        assert isinstance(operator, Operator)
        new = cls(operator, krylov.basis, krylov.full_width, precondition)
        new.H, new.size, new.is_new = krylov.H, krylov.size, False
        new.H[new.size :] = new.H[:, new.size :] = 0.0
        return new

    @property
    def counts(self) -> tuple[int, int]:
        """Random vectors and products so far."""
        return self.basis.random.drawn, self.operator.n_matvecs

    def _start(self) -> None:
        self.basis.random.drawn, _ = self.committed
        self.H[:] = 0.0
        self._take(self.basis.draw_block(self.basis.fixed, self.full_width))

    @property
    def capacity(self) -> int:
        """The largest size of V."""
        free = len(self.basis) - self.basis.fixed - 2 * self.full_width
        return min(free, BLOCKS * self.full_width)

    @property
    def is_full(self) -> bool:
        return self.size > self.capacity

    @property
    def is_exhausted(self) -> bool:
        """Whether V spans the whole complement of the fixed rows."""
        return self.basis.fixed + self.size >= self.operator.n_states

    def forget(self) -> None:
        """Begin again from random vectors, with the fixed rows as they are."""
        self.size, self.is_new, self.before = 0, True, np.empty((0, 0))

    def grow(self, n_rows: int) -> None:
        """Extend the work space to `n_rows` rows."""
        self.basis.grow(n_rows)
        H = np.zeros((n_rows, n_rows))
        H[: len(self.H), : len(self.H)] = self.H
        self.H = H

    def state(self) -> dict[str, Any]:
        """Arrays from which `restore` goes on with the same bits."""
        self.finish_restart()
        numbers = [self.basis.fixed, self.size, self.is_new, *self.committed]
        return {
            "rows": self.basis.rows[: self.basis.fixed + self.size],
            "H": self.H,
            "numbers": np.array(numbers, dtype=np.int64),
            "before": self.before,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state()`."""
        numbers = [int(number) for number in state["numbers"]]
        self.basis.fixed, self.size = numbers[:2]
        self.is_new = bool(numbers[2])
        self.basis.random.drawn, self.operator.n_matvecs = numbers[3:]
        self.basis.rows[: len(state["rows"])] = state["rows"]
        self.H, self.before = state["H"], state["before"]
        self.committed = self.counts

    # --- steps ------------------------------------------------------------------------------------

    def _take(self, found: int) -> None:
        """Add to V the `found` rows behind it, which are orthonormal and orthogonal to all
        before."""
        basis, size = self.basis, self.size + found
        end = basis.fixed + size
        images = basis.rows[end : end + found]
        self.operator.apply(basis.rows[end - found : end], images)
        h = basis.project(basis.rows[basis.fixed : end], images)
        self.H[:size, self.size : size] = h
        self.H[self.size : size, :size] = h.T
        counts = self.counts
        self.size, self.is_new, self.committed = size, False, counts

    def _behind(self, block: int, count: int) -> FloatArray:
        """The first `count` rows of a block of work space."""
        first = self.basis.fixed + self.size + block * self.full_width
        return self.basis.rows[first : first + count]

    def ritz(self) -> RitzPairs:
        """The Ritz pairs, with the residuals of the targets, a block of the best; after a restart
        where V is full. The residuals of the others are not known, and infinite.

        Leaves the vectors A x - value x of the targets in the second block of rows behind V."""
        self.finish_restart()
        if self._selection is not None and self.is_full:
            self.restart(self._selection)
        ritz = RitzPairs(self.H[: self.size, : self.size], np.zeros((0, self.size)), True)
        ritz.residuals[:] = np.inf
        if self._selection is None:
            return ritz
        basis, width = self.basis, self.full_width
        targets = self._selection.grown(width).positions(ritz.values)[:width]
        x, r = self._behind(0, len(targets)), self._behind(1, len(targets))
        x[:] = 0.0
        V = basis.rows[basis.fixed : basis.fixed + self.size]
        basis.remove(V, np.ascontiguousarray(-ritz.vectors[:, targets].real), x)
        self.operator.apply(x, r)
        for row, vector, value in zip(r, x, ritz.values[targets], strict=True):
            row -= value * vector
        ritz.residuals[targets] = basis.norms(r)
        return ritz

    def expand(self, ritz: RitzPairs) -> None:
        """Add the preconditioned residuals of the targets to V."""
        targets = np.isfinite(ritz.residuals)
        n_targets = int(np.count_nonzero(targets))
        basis, end = self.basis, self.basis.fixed + self.size
        new, residuals = self._behind(0, n_targets), self._behind(1, n_targets)
        known = basis.rows[:end]
        # the preconditioner would magnify by 1 / gap what rounding left along slow vectors of V
        basis.remove(known, basis.project(known, residuals), residuals)
        self.precondition(residuals)
        self.operator.n_matvecs += PRODUCTS * n_targets
        for row, residual, size in zip(new, residuals, basis.norms(residuals), strict=True):
            np.multiply(residual, 1.0 / size if size > 0.0 else 0.0, out=row)
        h = basis.project(known, new)
        more = basis.remove(known, h, new)
        basis.remove(known, more, new)
        if found := len(basis.orthonormalise(end, n_targets)):
            self.before = ritz.vectors[:, targets].real
            self._take(found)

    def restart(self, selection: EigenvalueSelection) -> None:
        """Keep leading Ritz vectors and the targets of the step before.

        These hold the last direction of conjugate gradients (Stathopoulos & Saad 1998); without
        them every restart costs a step."""
        H = self.H[: self.size, : self.size]
        values, vectors = np.linalg.eigh(H)
        kept = selection.grown(KEPT * self.full_width).positions(values)
        missing = np.zeros((self.size - len(self.before), self.before.shape[1]))
        before = np.vstack([self.before, missing])
        Q, _ = np.linalg.qr(np.hstack([vectors[:, kept], before]))
        T = Q.T @ H @ Q
        restart = self._prepared(Q, 0.5 * (T + T.T))
        self._restart = restart
        self.finish_restart()

    def lock(
        self,
        ritz: RitzPairs,
        chosen: IntArray,
        announce: Callable[[NumberArray], None] | None = None,
        *,
        forgets: bool = False,
    ) -> None:
        """Add the chosen Ritz vectors to the fixed rows; the better half of the others remains in
        V, unless it `forgets`. `announce` is that of `KrylovSchur.lock`."""
        assert self._selection is not None  # a run came before
        order = self._selection.grown(self.size).positions(ritz.values)
        others = order[~np.isin(order, chosen)]
        kept = np.append(chosen, others[: len(others) // 2]).astype(np.intp)
        rest = 0 if forgets else len(kept) - len(chosen)
        restart = self._prepared(
            ritz.vectors[:, kept].real, np.diag(ritz.values[kept].real), len(chosen), rest
        )
        if announce is not None:
            announce(ritz.values[chosen])
        self._restart = restart
        self.finish_restart()

    def _prepared(
        self, Q: FloatArray, T: FloatArray, locked: int = 0, rest: int | None = None
    ) -> tuple[FloatArray, FloatArray, IntArray, int, int]:
        done = np.zeros(1, dtype=np.int64)
        return np.ascontiguousarray(Q), T, done, locked, len(T) if rest is None else rest

    def finish_restart(self) -> None:
        """Complete a restart that Ctrl-C interrupted."""
        if self._restart is None:
            return
        Q, T, done, locked, rest = self._restart
        self.basis.rotate(self.size, Q, done)
        kept = slice(locked, locked + rest)
        self.H[:] = 0.0
        self.H[:rest, :rest] = T[kept, kept]
        if not locked:
            self.size, self._restart = rest, None
            return
        counts, fixed, before = self.counts, self.basis.fixed + locked, np.empty((0, 0))
        self.size, self.is_new, self.before = rest, rest == 0, before
        self.basis.fixed, self.committed, self._restart = fixed, counts, None

    # --- the loop ---------------------------------------------------------------------------------

    def run(
        self,
        selection: EigenvalueSelection,
        is_settled: Callable[[RitzPairs], bool],
        limit: int,
        step_done: Callable[[RitzPairs], None],
    ) -> tuple[RitzPairs, bool]:
        """Expand and restart until `is_settled(ritz)`, `limit` products or the whole space; the
        parameters and results are those of `KrylovSchur.run`."""
        self._selection = selection
        if self.is_new:
            self._start()
        while True:
            ritz = self.ritz()
            done, exhausted = is_settled(ritz), self.is_exhausted
            step_done(ritz)
            n_targets = int(np.count_nonzero(np.isfinite(ritz.residuals)))
            over = self.operator.n_matvecs + (2 + PRODUCTS) * n_targets > limit
            if done or exhausted or over:
                return ritz, bool(done or exhausted)
            self.expand(ritz)

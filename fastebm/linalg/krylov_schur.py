"""Krylov-Schur iteration on an operator that is applied and never formed.

`KrylovSchur` keeps a short orthonormal basis and restarts it with the wanted part (Stewart 2001);
on a symmetric operator this is the thick-restart Lanczos method (Wu & Simon 2000).
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy.linalg import schur
from scipy.linalg.lapack import dtrsen

from .._runtime.types import FloatArray, IntArray
from .check_schedule import EAGER_STATES
from .eigenvalue_selection import EigenvalueSelection
from .inverse_operator import InverseOperator
from .operator import Operator
from .orthonormal_basis import OrthonormalBasis
from .ritz import NumberArray, RitzPairs
from .rounding import EPS

# Where a check costs more than a step: steps between two checks of a small basis. A large basis
# grows by a quarter between two checks, for the same reason.
STEPS_PER_CHECK = 4
# Stands for an infinite Ritz value in distances: their differences and squares stay in range.
FARTHEST = 1e150


class KrylovSchur:
    """The decomposition ``A V = V H + W B`` of an operator A.

    The rows of the basis are, in this order: the fixed vectors, which span an invariant subspace of
    A and which everything else is orthogonal to; `size` vectors V; `width` vectors W, the next
    block; and free rows for one block more. A width of 0 means that V spans the whole complement.

    Parameters
    ----------
    operator : Operator or InverseOperator
        The Ritz pairs are those of S for both.
    basis : OrthonormalBasis
        Its work space decides how large V grows before a restart.
    width : int
        Vectors of a block: as many copies of an eigenvalue can be found at once.

    Attributes
    ----------
    H : ndarray (n_rows, n_rows)
        Holds H and, below it, B.
    is_new : bool
        Whether the first block is still to be drawn.
    """

    def __init__(
        self, operator: Operator | InverseOperator, basis: OrthonormalBasis, width: int
    ) -> None:
        self.operator, self.basis, self.full_width = operator, basis, width
        self.H: FloatArray = np.zeros((len(basis), len(basis)))
        # (Q, T, B, columns done, whether it locks) of the restart under way
        self._restart: tuple[FloatArray, FloatArray, FloatArray, IntArray, bool] | None = None
        self.size, self.checked, self.width, self.is_new = 0, 0, 0, True
        # whether the restart was made for another method, which takes over
        self.is_last = False
        # Ctrl-C is raised at calls. So the assignments that complete a step are one statement
        # without calls: only then do its random vectors and products count, too, and an interrupted
        # step is repeated.
        self.committed = self.counts

    @property
    def counts(self) -> tuple[int, int]:
        """Random vectors and products so far."""
        return self.basis.random.drawn, self.operator.n_matvecs

    def _start(self) -> None:
        self.basis.random.drawn, _ = self.committed
        self.H[:] = 0.0
        width = self.basis.draw_block(self.basis.fixed, self.full_width)
        counts = self.counts
        self.width, self.is_new, self.committed = width, False, counts

    @property
    def capacity(self) -> int:
        """The largest size of V."""
        return len(self.basis) - self.basis.fixed - 2 * self.full_width

    @property
    def is_full(self) -> bool:
        return self.size + self.width > self.capacity

    @property
    def is_exhausted(self) -> bool:
        """Whether V spans the whole complement of the fixed rows."""
        return not self.width

    def forget(self) -> None:
        """Begin again from random vectors, with the fixed rows as they are."""
        self.size, self.checked, self.width, self.is_new = 0, 0, 0, True

    def grow(self, n_rows: int) -> None:
        """Extend the work space to `n_rows` rows."""
        self.basis.grow(n_rows)
        H = np.zeros((n_rows, n_rows))
        H[: len(self.H), : len(self.H)] = self.H
        self.H = H

    def state(self) -> dict[str, Any]:
        """Arrays from which `restore` goes on with the same bits."""
        self.finish_restart()
        fixed, size, width = self.basis.fixed, self.size, self.width
        numbers = [fixed, size, width, self.checked, self.is_new, *self.committed]
        return {
            "rows": self.basis.rows[: fixed + size + width],
            "H": self.H,
            "numbers": np.array(numbers, dtype=np.int64),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state()`."""
        numbers = [int(number) for number in state["numbers"]]
        self.basis.fixed, self.size, self.width, self.checked = numbers[:4]
        self.is_new = bool(numbers[4])
        self.basis.random.drawn, self.operator.n_matvecs = numbers[5:]
        self.basis.rows[: len(state["rows"])] = state["rows"]
        self.H = state["H"]
        self.committed = self.counts

    # --- steps ------------------------------------------------------------------------------------

    def expand(self) -> None:
        """One block step: W joins V, and the new W is the part of A W outside of all rows."""
        basis, width = self.basis, self.width
        old = basis.fixed + self.size + width
        known, new = basis.rows[:old], basis.rows[old : old + width]
        self.operator.apply(basis.rows[old - width : old], new)
        h = basis.project(known, new)
        more = basis.remove(known, h, new)
        if (np.abs(more).max(axis=0) > 4.0 * EPS * basis.norms(new)).any():
            basis.remove(known, more, new)
            h += more
        R = basis.orthonormalise(old, width)
        found, size = len(R), self.size + width
        self.H[:size, self.size : size] = h[basis.fixed :]
        self.H[size : size + found, self.size : size] = R
        counts = self.counts
        self.size, self.width, self.committed = size, found, counts

    def ritz(self) -> RitzPairs:
        """The Ritz pairs of V."""
        self.finish_restart()
        s = self.size
        B = self.H[s : s + self.width, :s]
        return RitzPairs(self.H[:s, :s], B, self.operator.symmetric, self.operator.is_inverse)

    def _subspace(self, ritz: RitzPairs, chosen: IntArray) -> tuple[FloatArray, FloatArray]:
        """(Q, T): an orthonormal basis of the span of the chosen Ritz vectors and the operator on
        it; of a symmetric operator the vectors themselves."""
        if self.operator.symmetric:
            return ritz.vectors[:, chosen].real, np.diag(ritz.values[chosen].real)
        T, Z = schur(ritz.H, output="real")
        # LAPACK's order on the diagonal of T is its own: an entry is chosen if it is nearer to a
        # chosen value than to the others
        diagonal = ritz.schur_values(T)
        dropped = np.delete(ritz.values, chosen)
        if len(dropped):
            near, far = (
                np.abs(diagonal[:, None] - values).min(axis=1)
                for values in (ritz.values[chosen], dropped)
            )
            wanted = near <= far
            if np.count_nonzero(wanted) != len(chosen):
                wanted = np.isin(_matched(diagonal, ritz.values), chosen)
            T, Z, _, _, count, *_ = dtrsen(wanted.astype(np.int32), T, Z, job="N")
        else:
            count = len(T)
        # a failed reordering may end within a conjugate pair
        if 0 < count < len(T) and T[count, count - 1] != 0.0:
            count += 1
        return Z[:, :count], T[:count, :count]

    def restart(
        self, ritz: RitzPairs, selection: EigenvalueSelection, *, is_last: bool = False
    ) -> None:
        """Keep the wanted Ritz vectors and the better half of the others, whose convergence so far
        is then not lost."""
        most = self.size - self.width
        wanted = sum(len(chosen) for chosen in selection.choose(ritz.values))
        # two fewer, because two conjugate pairs may have to be completed
        total = max(1, min(wanted + (self.size - wanted) // 2, most - 2))
        Q, T = self._subspace(ritz, selection.grown(total).positions(ritz.values))
        restart = self._prepared(Q, T, locks=False)
        self._restart, self.is_last = restart, is_last
        self.finish_restart()

    def lock(
        self,
        ritz: RitzPairs,
        chosen: IntArray,
        announce: Callable[[NumberArray], None] | None = None,
    ) -> None:
        """Add the span of the chosen Ritz vectors to the fixed rows and forget the rest. Before
        anything changes, announce(values) is called with their eigenvalues, one for each row.

        The fixed rows count as invariant from now on, which is wrong by the residuals of the chosen
        vectors."""
        Q, T = self._subspace(ritz, chosen)
        restart = self._prepared(Q, T, locks=True)
        if announce is not None:
            announce(ritz.schur_values(T))
        self._restart = restart
        self.finish_restart()

    def _prepared(
        self, Q: FloatArray, T: FloatArray, *, locks: bool
    ) -> tuple[FloatArray, FloatArray, FloatArray, IntArray, bool]:
        B = self.H[self.size : self.size + self.width, : self.size] @ Q
        return np.ascontiguousarray(Q), T, B, np.zeros(1, dtype=np.int64), locks

    def finish_restart(self) -> None:
        """Complete a restart that Ctrl-C interrupted.

        What follows the rotation may be done twice, because the block W moves to rows that it does
        not come from."""
        if self._restart is None:
            return
        Q, T, B, done, locks = self._restart
        self.basis.rotate(self.size, Q, done)
        k, w, fixed = len(T), self.width, self.basis.fixed
        source = fixed + self.size
        self.basis.rows[fixed + k : fixed + k + w] = self.basis.rows[source : source + w]
        self.H[:] = 0.0
        self.H[:k, :k] = T
        self.H[k : k + w, :k] = B
        if locks:  # the next run starts from random vectors
            counts, fixed = self.counts, fixed + k
            self.size, self.checked, self.width, self.is_new = 0, 0, 0, True
            self.basis.fixed, self.committed, self._restart = fixed, counts, None
        else:
            self.size, self.checked, self._restart = k, k, None

    # --- the loop ---------------------------------------------------------------------------------

    def run(
        self,
        selection: EigenvalueSelection,
        is_settled: Callable[[RitzPairs], bool],
        limit: int,
        step_done: Callable[[RitzPairs], None],
    ) -> tuple[RitzPairs, bool]:
        """Expand and restart until `is_settled(ritz)`, `limit` products or the whole space.

        Parameters
        ----------
        selection : EigenvalueSelection
            What a restart keeps.
        is_settled : callable
        limit : int
            Products of the operator in total.
        step_done : callable
            Called with the Ritz pairs after every check. It may raise KeyboardInterrupt: `state()`
            is then valid.

        Returns
        -------
        ritz : RitzPairs
        settled : bool
        """
        if self.is_new:
            self._start()
        self.finish_restart()
        steps = 1 if self.operator.n_states >= EAGER_STATES else STEPS_PER_CHECK
        every = self.full_width * steps
        while True:
            over = self.operator.n_matvecs + self.width * self.operator.per_vector > limit
            exhausted = self.is_exhausted
            grown = self.size - self.checked
            is_due = grown >= max(every, self.size // 4) or self.is_full or over
            if (grown and is_due) or exhausted:
                ritz = self.ritz()
                done = is_settled(ritz)
                step_done(ritz)
                if done or exhausted or over:
                    return ritz, bool(done or exhausted)
                if self.is_full:
                    self.restart(ritz, selection)
                else:
                    self.checked = self.size
            self.expand()


def _matched(found: NumberArray, values: NumberArray) -> IntArray:
    """The positions in `values` of the numbers `found`, each taken once: rounding may have moved
    both, as it turns two nearly defective real ones into a conjugate pair. Of an inverse, numbers
    near 0 stand for infinite ones, which have no distances."""
    from scipy.optimize import linear_sum_assignment  # slow to import, and needed here alone

    rows, columns = (
        np.nan_to_num(numbers, nan=FARTHEST, posinf=FARTHEST, neginf=-FARTHEST)
        for numbers in (found, values)
    )
    positions: IntArray = linear_sum_assignment(np.abs(rows[:, None] - columns))[1]
    return positions

"""Krylov iterations on an operator that is applied and never formed: restarts, orthogonalisation and the small dense problems.

`KrylovSchur` keeps a short orthonormal basis and restarts it with the part that is wanted (Stewart 2001); on a symmetric
operator this is the thick-restart Lanczos method (Wu & Simon 2000). `ThreeTerm` keeps no basis at all.
"""

import numpy as np
from scipy.linalg import schur
from scipy.linalg.lapack import dtrsen

from .. import _core
from .._runtime.pacing import ENTRIES_PER_CALL
from .ritz import RitzPairs, _diagonal_values
from .rounding import EPS, RITZ_ROUNDING
from .three_term import CHECK_EVERY_STEP

# Below this length a projected vector is worth another projection: its rounding, EPS / length, is magnified with it.
SHORT = 0.1


class KrylovSchur:
    """The decomposition ``A V = V H + W B`` of an operator A, its vectors being rows of one array.

    rows : the `fixed` vectors that everything else is orthogonal to, an invariant subspace of A; `size` vectors V; `width`
    vectors W, the next block; and room for one block more. A width of 0 means that V spans all there is.

    Parameters
    ----------
    operator : Operator
    rows : ndarray (n_rows, n_states)
        Work space; the first `fixed` rows hold orthonormal vectors.
    width : int
        Vectors of a block: as many copies of an eigenvalue can be found at once.
    random : RandomVectors
    """

    def __init__(self, operator, rows, fixed, width, random):
        self.operator, self.rows, self.random = operator, rows, random
        self.full_width = width
        self.H = np.zeros((len(rows), len(rows)))
        self._restart = None
        self.begin(fixed)

    def begin(self, fixed):
        """A new decomposition, from random vectors in the complement of the first `fixed` rows when it first runs."""
        self.fixed, self.size, self.kept, self.checked, self.width, self.is_new = (
            fixed,
            0,
            0,
            0,
            0,
            True,
        )
        self._commit()

    def _commit(self):
        """What an interrupted step drew and multiplied does not count: it is done again."""
        self._counts = self.random.drawn, self.operator.n_matvecs

    def _start(self):
        self.random.drawn, _ = self._counts
        self.H[:] = 0.0
        width = 0
        while width < self.full_width and self._draw(self.fixed + width):
            width += 1
        self.width, self.is_new = width, False
        self._commit()

    @property
    def capacity(self):
        """The largest size of V."""
        return len(self.rows) - self.fixed - 2 * self.full_width

    @property
    def is_full(self):
        return self.size + self.width > self.capacity

    @property
    def is_exhausted(self):
        """Whether V spans all there is."""
        return not self.width

    def state(self):
        """Arrays from which `load` goes on with the same bits."""
        self.finish_restart()
        used = self.fixed + self.size + self.width
        numbers = [
            self.fixed,
            self.size,
            self.width,
            self.kept,
            self.checked,
            self.is_new,
            *self._counts,
        ]
        return {"rows": self.rows[:used], "H": self.H, "numbers": np.array(numbers, dtype=np.int64)}

    def load(self, state):
        numbers = map(int, state["numbers"])
        (
            self.fixed,
            self.size,
            self.width,
            self.kept,
            self.checked,
            is_new,
            self.random.drawn,
            self.operator.n_matvecs,
        ) = numbers
        self.is_new = bool(is_new)
        self.rows[: len(state["rows"])] = state["rows"]
        self.H = state["H"]
        self._commit()

    # --- orthogonalisation ------------------------------------------------------------------------------------------------

    def _norm(self, at):
        row = self.rows[at : at + 1]
        return float(np.sqrt(_core.basis_project(row, row, self.operator.threads)[0, 0]))

    def _scale(self, at, factor):
        np.multiply(self.rows[at], factor, out=self.rows[at])

    def _clear(self, first, at):
        """Row `at` without its part along the rows first..at-1, projected twice; -> the coefficients."""
        threads, row = self.operator.threads, self.rows[at : at + 1]
        c = _core.basis_project(self.rows[first:at], row, threads)
        more = _core.basis_remove(self.rows[first:at], c, row, threads)
        _core.basis_remove(self.rows[first:at], more, row, threads)
        return (c + more)[:, 0]

    def _draw(self, at):
        """Row `at` becomes a random unit vector orthogonal to all before; False where there is none."""
        if at >= self.operator.n_states:
            return False
        for _ in range(3):  # near the full dimension little is left of a random vector
            self.random.fill(self.rows[at])
            self._scale(at, 1.0 / self._norm(at))
            self._clear(0, at)
            norm = self._norm(at)
            if norm > RITZ_ROUNDING:
                self._scale(at, 1.0 / norm)
                self._clear(0, at)
                self._scale(at, 1.0 / self._norm(at))
                return True
        return False

    def _is_direction(self, at, norm):
        """Make row `at`, of that length, a unit vector; False where it was the rounding of its projections."""
        if norm <= RITZ_ROUNDING or at >= self.operator.n_states:
            return False
        self._scale(at, 1.0 / norm)
        if norm < SHORT:
            self._clear(0, at)
            rest = self._norm(at)
            if rest < 0.5:
                return False
            self._scale(at, 1.0 / rest)
        return True

    def _orthonormalise(self, first, width):
        """The rows first..first+width-1, already clear of those before them, become orthonormal in place, fewer only where the space
        ends; -> R (found, width), by which they were made of the new ones."""
        R = np.zeros((width, width))
        found = 0
        for j in range(width):
            at = first + found
            if found < j:  # a direction before this one was none
                self.rows[at] = self.rows[first + j]
            if found:
                R[:found, j] = self._clear(first, at)
            norm = self._norm(at)
            if self._is_direction(at, norm):
                R[found, j] = norm
                found += 1
            else:
                # nothing is left of it: a random one goes on, coupled to nothing, and may bring another copy of an eigenvalue
                found += self._draw(at)
        return R[:found]

    def expand(self):
        """One block step: V takes W over, and W becomes what A W has outside of all rows."""
        threads, width = self.operator.threads, self.width
        old = self.fixed + self.size + width
        known, new = self.rows[:old], self.rows[old : old + width]
        self.operator.apply(self.rows[old - width : old], new)
        h = _core.basis_project(known, new, threads)
        more = _core.basis_remove(known, h, new, threads)
        sizes = np.sqrt(np.diag(_core.basis_project(new, new, threads)))
        if (np.abs(more).max(axis=0) > 4.0 * EPS * sizes).any():
            _core.basis_remove(known, more, new, threads)
            h += more
        R = self._orthonormalise(old, width)
        found = len(R)
        size = self.size + width
        self.H[:size, self.size : size] = h[self.fixed :]
        self.H[size : size + found, self.size : size] = R
        self.size, self.width = size, found
        self._commit()

    # --- the projected problem -----------------------------------------------------------------------------------------------

    def ritz(self):
        self.finish_restart()
        s = self.size
        return RitzPairs(self.H[:s, :s], self.H[s : s + self.width, :s], self.operator.symmetric)

    def _subspace(self, ritz, chosen):
        """(Q, T): an orthonormal basis of the span of the chosen Ritz vectors and the operator on it; the vectors themselves
        where the operator is symmetric."""
        if self.operator.symmetric:
            return ritz.vectors[:, chosen], np.diag(ritz.values[chosen])
        T, Z = schur(ritz.H, output="real")
        # LAPACK's order on the diagonal of T is its own: an entry is chosen where it is nearer to a chosen value
        diagonal = _diagonal_values(T)
        dropped = np.delete(ritz.values, chosen)
        if len(dropped):
            near, far = (
                np.abs(diagonal[:, None] - values).min(axis=1)
                for values in (ritz.values[chosen], dropped)
            )
            T, Z, _, _, count, *_ = dtrsen((near <= far).astype(np.int32), T, Z, job="N")
        else:
            count = len(T)
        if (
            count < len(T) and T[count, count - 1] != 0.0
        ):  # a reordering that failed may end within a pair
            count += 1
        return Z[:, :count], T[:count, :count]

    def restart(self, ritz, ends):
        """Keep the wanted Ritz vectors and about half of the others, the best ones, whose part is then not lost."""
        room = self.size - self.width
        wanted = sum(len(c) for c in ends.choose(ritz.values))
        total = max(
            1, min(wanted + (self.size - wanted) // 2, room - 2)
        )  # two conjugate pairs may be completed
        kept = np.concatenate(ends.grown(total).choose(ritz.values))
        Q, T = self._subspace(ritz, kept)
        self._begin_restart(Q, T)
        self.finish_restart()

    def lock(self, ritz, chosen):
        """The span of the chosen Ritz vectors joins the fixed rows, the rest is forgotten; -> their eigenvalues.

        The fixed rows count as invariant from now on: what they miss of that is the residuals of the chosen."""
        Q, T = self._subspace(ritz, chosen)
        self._begin_restart(Q, T)
        self.finish_restart()
        self.begin(self.fixed + len(T))
        return _diagonal_values(T)

    def _begin_restart(self, Q, T):
        B = self.H[self.size : self.size + self.width, : self.size] @ Q
        self._restart = np.ascontiguousarray(Q), T, B, np.zeros(1, dtype=np.int64)

    def finish_restart(self):
        """Ctrl-C may come between any two calls of the rotation; what is left of it is done here. All that follows the
        rotation may be done twice: the block lands in rows that it does not come from."""
        if self._restart is None:
            return
        Q, T, B, done = self._restart
        vectors = self.rows[self.fixed : self.fixed + self.size]
        per_call = max(
            1, 4 * ENTRIES_PER_CALL // Q.size
        )  # streaming: a quarter of the time of a gather
        while done[0] < self.operator.n_states:
            _core.basis_rotate(vectors, Q, done, per_call, self.operator.threads)
        k, w, source = len(T), self.width, self.fixed + self.size
        self.rows[self.fixed + k : self.fixed + k + w] = self.rows[source : source + w]
        self.H[:] = 0.0
        self.H[:k, :k] = T
        self.H[k : k + w, :k] = B
        self.size, self.kept, self.checked, self._restart = k, k, k, None

    # --- the loop ---------------------------------------------------------------------------------------------------------------

    def run(self, ends, settled, limit, step_done):
        """Expand and restart until `settled(ritz)`, `limit` products or the whole space; -> (RitzPairs, whether settled).

        step_done(ritz) is called after every check; it may raise KeyboardInterrupt, and the state is then whole.
        """
        if self.is_new:
            self._start()
        self.finish_restart()
        every = self.full_width * (1 if self.operator.n_states >= CHECK_EVERY_STEP else 4)
        while True:
            over = self.operator.n_matvecs + self.width * self.operator.per_vector > limit
            exhausted = self.is_exhausted
            grown = self.size - self.checked
            if grown and (grown >= max(every, self.size // 4) or self.is_full or over) or exhausted:
                ritz = self.ritz()
                done = settled(ritz)
                step_done(ritz)
                if done or exhausted or over:
                    return ritz, bool(done or exhausted)
                self.checked = self.size
                if self.is_full:
                    self.restart(ritz, ends)
            self.expand()

"""The leading eigenpairs of an operator with every copy of a multiple eigenvalue.

A Krylov space of a block of b vectors holds b copies of an eigenvalue at most. So the search goes in rounds: what has
converged is locked and deflated, and the next round starts from random vectors in the complement. The last round finds
nothing that belongs before the pairs wanted: it verifies them, and its leading value is the one that follows them.
"""

import numpy as np

from .davidson import Davidson
from .eigenvalue_selection import EigenvalueSelection
from .krylov_schur import KrylovSchur
from .ritz import Projection
from .rounding import RITZ_ROUNDING

# The value that follows the wanted ones is settled once its residual is this part of its distance from them. A missed copy
# stays hidden in such a Ritz vector with about this probability a random vector of the block, 1e-6 for the four of a block; less
# would cost most of the products where a bulk of eigenvalues follows (benchmarks, family sets).
CLEAR = 0.03
# Vectors of a block: csr products of four vectors cost what two single ones do, and four copies are found at once.
BLOCK = 4
# Vectors beyond the wanted ones that a basis grows to before it restarts: the least, which large chains have, and within so
# many numbers (256 MB) the most. Restarts cost products and a large basis costs dense eigenproblems, by far the dearer ones
# without symmetry. Chains of fewer states than the most allows are spanned as a whole.
ROOM, MAX_ROOM, MAX_ROOM_GENERAL, ROOM_NUMBERS = 24, 120, 48, 2**25
# The search gives way to a preconditioned one after this many products, if at its rate it needs more than these besides: about what
# that one takes for a block of pairs (benchmarks, 4 eigenpairs).
TRIAL, WORTH = 100, 400


def n_rows(count, n_states, width, symmetric):
    """Rows of work space of a search for `count` pairs: the deflated vector, the pairs, the room, and two blocks."""
    most = MAX_ROOM if symmetric else MAX_ROOM_GENERAL
    room = max(ROOM, 5 * width, count, min(most, ROOM_NUMBERS // n_states))
    return min(1 + count + room, n_states) + 2 * width


class EigenpairSearch:
    """Find `count` pairs at the ends `which`, beside the known one.

    Parameters
    ----------
    operator : Operator
    known : ndarray (n_states,)
        The unit vector that is a left and a right eigenvector of the operator.
    accuracy : callable
        value -> the residual at which a pair has converged.
    preconditioner : callable, optional
        -> what `Davidson` wants, or None; asked once, where the search is slow.
    """

    def __init__(
        self, operator, known, which, count, accuracy, random, *, width=BLOCK, preconditioner=None
    ):
        self.operator, self.accuracy, self.preconditioner = operator, accuracy, preconditioner
        self.ends = EigenvalueSelection.of(which, count)
        rows = np.empty(
            (n_rows(count, operator.n_states, width, operator.symmetric), operator.n_states)
        )
        rows[0] = known
        self.basis = KrylovSchur(operator, rows, 1, width, random)
        self.values = np.empty(0)  # of the locked rows 1..fixed-1
        self.following, self.verified, self.stopped = None, False, False

    # --- state ----------------------------------------------------------------------------------------------------------------

    @property
    def is_done(self):
        return self.stopped or self.verified

    def state(self):
        nothing = np.nan if self.following is None else self.following
        flags = [self.verified, self.stopped, self.is_preconditioned, self.preconditioner is None]
        return {
            "values": self.values,
            "following": np.array(nothing),
            "flags": np.array(flags),
            **self.basis.state(),
        }

    def load(self, state):
        self.values = state["values"]
        self.following = None if np.isnan(state["following"]) else state["following"][()]
        self.verified, self.stopped, preconditioned, asked = map(bool, state["flags"])
        rows = len(state["H"])
        if rows > len(self.basis.rows):
            self._grow(rows)
        if preconditioned:
            basis = self.basis
            self.basis = Davidson(
                self.operator,
                basis.rows,
                basis.fixed,
                basis.full_width,
                basis.random,
                self.preconditioner(),
            )
        if asked:
            self.preconditioner = None
        self.basis.load(state)

    @property
    def is_preconditioned(self):
        return isinstance(self.basis, Davidson)

    def _grow(self, n_rows):
        rows = np.empty((n_rows, self.operator.n_states))
        rows[: len(self.basis.rows)] = self.basis.rows
        self.basis.rows, self.basis.H = rows, np.zeros((n_rows, n_rows))

    # --- rounds -----------------------------------------------------------------------------------------------------------------

    def run(self, limit, step_done):
        """Rounds until the pairs are verified, or `limit` products are made. step_done(value, residual) after every check."""
        while not self.is_done:
            if (
                self.basis.fixed >= self.operator.n_states
            ):  # nothing is left that could have been missed
                self.verified = True
            elif (missing := self._missing()) is not None:
                self._fill(missing, limit, step_done)
            else:
                self._verify(limit, step_done)

    def _missing(self):
        """EigenvalueSelection with the numbers of pairs that are still to be found, or None."""
        if len(self.values) >= sum(self.ends.counts):
            return None
        found = [len(chosen) for chosen in self.ends.choose(self.values)]
        return self.ends.with_counts(
            [max(count - n, 0) for count, n in zip(self.ends.counts, found)]
        )

    def converged(self, ritz, ends):
        """(positions of the leading Ritz values that have converged at each end, whether they are all that `ends` wants, or hold
        as many copies of one value as a block can find)."""
        found, complete, saturated = [], True, False
        for count, chosen in zip(ends.counts, ends.choose(ritz.values)):
            good = [ritz.residuals[i] <= self.accuracy(ritz.values[i]) for i in chosen]
            prefix = chosen[: good.index(False)] if False in good else chosen
            if (
                len(prefix) and np.imag(ritz.values[prefix[-1]]) > 0.0
            ):  # a conjugate pair stays whole
                prefix = prefix[:-1]
            complete &= len(prefix) >= count
            width = self.basis.full_width
            for i in range(len(prefix) - width + 1):
                saturated |= width > 1 and abs(
                    ritz.values[prefix[i]] - ritz.values[prefix[i + width - 1]]
                ) <= self.same(ritz.values[prefix[i]])
            found.append(prefix)
        return np.concatenate(found), bool(complete or saturated)

    def same(self, value):
        """Distance up to which another value counts as a copy."""
        return 2.0 * self.accuracy(value) + RITZ_ROUNDING

    def _lock(self, ritz, chosen):
        if len(chosen) == 0:
            return
        self.values = np.append(self.values, self.basis.lock(ritz, chosen))
        if self._missing() is None:
            self.basis.begin(self.basis.fixed)  # what verifies knows nothing of the search before
        if (
            self.basis.capacity < 3 * self.basis.full_width
            and self.basis.fixed < self.operator.n_states
        ):
            self._grow(len(self.basis.rows) + ROOM)

    def _is_slow(self, ritz, ends):
        """Whether the residuals wanted are far, had they fallen evenly so far."""
        done = self.operator.n_matvecs
        if self.preconditioner is None or self.is_preconditioned or done < TRIAL:
            return False
        chosen = np.concatenate(ends.choose(ritz.values))
        last = chosen[np.argmax(ritz.residuals[chosen])]
        left, wanted = ritz.residuals[last], self.accuracy(ritz.values[last])
        if (
            1.0 - max(np.real(ritz.values).max(), np.real(self.values).max(initial=-1.0))
            < RITZ_ROUNDING
        ):
            return False  # the inverse of 1 - value is rounding
        return bool(left > wanted and np.log(left / wanted) * done > WORTH * np.log(1.0 / left))

    def _precondition(self, ends):
        """A preconditioned search takes over, if there is one."""
        precondition = self.preconditioner()
        if precondition is None:
            self.preconditioner = None
        else:
            self.basis = Davidson.after(self.basis, ends, precondition)

    def _fill(self, ends, limit, step_done):
        if self.is_preconditioned:  # it follows one block of vectors at a time
            ends = ends.with_counts([min(count, self.basis.full_width) for count in ends.counts])

        def told(ritz):
            chosen = np.concatenate(ends.choose(ritz.values))
            step_done(ritz.values[chosen[0]], float(ritz.residuals[chosen].max()))

        ritz, done = self.basis.run(
            ends,
            lambda ritz: self.converged(ritz, ends)[1] or self._is_slow(ritz, ends),
            limit,
            told,
        )
        chosen, complete = self.converged(ritz, ends)
        exhausted = self.basis.is_exhausted
        if done and not complete and not exhausted:
            self._precondition(ends)
            return
        if not complete and not exhausted:  # the limit: what there is, with its residuals
            chosen = np.concatenate(ends.choose(ritz.values))
            self.stopped = True
        elif exhausted:
            chosen = np.concatenate(ends.choose(ritz.values))
        self._lock(ritz, chosen)

    def _verify(self, limit, step_done):
        wanted = self.ends.choose(self.values)
        leaders = self.ends.with_counts([min(count, 1) for count in self.ends.counts])
        top = self.ends.with_counts([self.basis.full_width * count for count in leaders.counts])

        def judge(ritz):
            """(positions of Ritz values that belong before a wanted one, whether every end is settled)."""
            before, settled = [], True
            for key, chosen, mine in zip(self.ends.keys, top.choose(ritz.values), wanted):
                if not len(mine):
                    continue
                bar = self.values[mine[-1]]
                margin = key(ritz.values[chosen]) - key(bar) - self.same(bar)
                ahead = chosen[margin > ritz.residuals[chosen]]
                before.extend(ahead)
                for i in ahead if len(ahead) else chosen[:1]:
                    enough = self.accuracy(ritz.values[i])
                    if not len(ahead):
                        enough = max(enough, CLEAR * -margin[0])
                    settled &= bool(ritz.residuals[i] <= enough)
            return np.array(before, dtype=np.intp), settled

        def told(ritz):
            chosen = np.concatenate(leaders.choose(ritz.values))
            step_done(ritz.values[chosen[0]], float(ritz.residuals[chosen].max()))

        ritz, settled = self.basis.run(leaders, lambda ritz: judge(ritz)[1], limit, told)
        before, _ = judge(ritz)
        if not settled:
            self.stopped = True
        elif len(before):
            self._lock(ritz, before)
        else:
            following = np.concatenate(leaders.choose(ritz.values))
            self.following, self.verified = ritz.values[following[0]], True

    # --- the result ---------------------------------------------------------------------------------------------------------------

    def lock_converged(self):
        """What has converged since the last round joins what is locked (after an interrupt)."""
        missing = self._missing()
        if missing is None or self.basis.is_new:
            return
        self.basis.finish_restart()
        if self.basis.size:
            ritz = self.basis.ritz()
            self._lock(ritz, self.converged(ritz, missing)[0])

    def span(self):
        """(locked vectors (p, n_states), their `Projection`)."""
        basis = self.basis
        X = basis.rows[1 : basis.fixed]
        room = basis.rows[basis.fixed : basis.fixed + len(X)]
        images = room if len(room) == len(X) else np.empty_like(X)
        return X, Projection(self.operator, X, images)

    def parts(self, values):
        """Whether a locked value that is not among `values` is a copy of one of them."""
        left_out = len(self.values) - len(values)
        return left_out > 0 and any(
            np.count_nonzero(np.abs(self.values - v) <= self.same(v))
            > np.count_nonzero(np.abs(values - v) <= self.same(v))
            for v in values
        )

    @property
    def is_cut(self):
        """Whether the value that follows is a copy of a locked one."""
        return self.following is not None and bool(
            (np.abs(self.values - self.following) <= self.same(self.following)).any()
        )

"""The leading eigenpairs of an operator with every copy of a multiple eigenvalue.

A Krylov space of a block of b vectors holds at most b copies of an eigenvalue. So the search goes
in rounds: converged pairs are locked and deflated, and the next round starts from random vectors in
their complement. The last round finds no pair that precedes a wanted one. This verifies the wanted
pairs, and the leading value of that round is the one that follows them.

The search for the pairs changes over from Krylov-Schur to block Davidson where it expects to be
slow, which shows in the convergence of a case and not in its size. The search for missed copies
starts from new random vectors, with the method that found the pairs.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from .._runtime.types import FloatArray, IntArray
from .davidson import BlockDavidson
from .eigen_iteration import EigenIteration, reporter
from .eigenvalue_selection import EigenvalueSelection
from .krylov_schur import KrylovSchur
from .operator import Operator, RandomVectors
from .orthonormal_basis import OrthonormalBasis
from .ritz import NumberArray, Projection, RitzPairs
from .rounding import RITZ_ROUNDING

# The value that follows the wanted ones is settled once its residual is this part of its distance
# from them. A missed copy then stays hidden in such a Ritz vector with about this probability for
# each random vector of the block: 1e-6 for the four of a block. A smaller part would cost most of
# the products where a bulk of eigenvalues follows (benchmarks, family sets).
CLEAR = 0.03
# Vectors of a block: products of a stored chain with four vectors cost what two single ones do, and
# four copies are found at once.
BLOCK = 4
# Vectors beyond the wanted ones that a basis grows to before it restarts: at least MIN_EXTRA (on
# large chains), at most MAX_EXTRA (without symmetry MAX_EXTRA_GENERAL), and MAX_EXTRA_NUMBERS
# numbers (256 MB). Restarts cost products. A large basis costs dense eigenproblems, which are far
# more expensive without symmetry. Chains of fewer than MAX_EXTRA states are spanned as a whole.
MIN_EXTRA, MAX_EXTRA, MAX_EXTRA_GENERAL, MAX_EXTRA_NUMBERS = 24, 120, 48, 2**25
# A preconditioned search takes over after PRECONDITION_AFTER products if, at the rate so far, more
# than PRECONDITIONED_COST would still be needed: about what the preconditioned search takes for a
# block of pairs (benchmarks, 4 eigenpairs).
PRECONDITION_AFTER, PRECONDITIONED_COST = 100, 400

#: Replaces vectors (width, n_states) in place by about (1 - A)^-1 times them.
Precondition: TypeAlias = Callable[[FloatArray], None]
#: value -> the residual at which a pair has converged.
Accuracy: TypeAlias = Callable[[Any], float]


def n_rows(count: int, n_states: int, width: int, symmetric: bool) -> int:
    """Rows of work space of a search for `count` pairs: the deflated vector, the pairs, the vectors
    beyond them, and two blocks."""
    most = MAX_EXTRA if symmetric else MAX_EXTRA_GENERAL
    extra = max(MIN_EXTRA, 5 * width, count, min(most, MAX_EXTRA_NUMBERS // n_states))
    return min(1 + count + extra, n_states) + 2 * width


class EigenpairSearch:
    """Find `count` pairs at the ends `which` of the spectrum, in addition to a known one.

    Parameters
    ----------
    operator : Operator
    known : ndarray (n_states,)
        The unit vector that is a left and a right eigenvector of the operator.
    which, count
        As in `EigenvalueSelection.of`.
    accuracy : callable
        value -> the residual at which a pair has converged.
    random : RandomVectors
    width : int
        Vectors of a block.
    preconditioner : callable, optional
        -> what `BlockDavidson` takes as `precondition`, or None. Called once, if the search is
        slow.

    Attributes
    ----------
    values : ndarray
        Eigenvalues of the locked pairs.
    following : float or complex or None
        The value that follows the wanted ones, where it was found.
    verified, stopped : bool
        Whether the last round found nothing more; whether the limit of products ended the search.
    """

    def __init__(
        self,
        operator: Operator,
        known: FloatArray,
        which: str,
        count: int,
        accuracy: Accuracy,
        random: RandomVectors,
        *,
        width: int = BLOCK,
        preconditioner: Callable[[], Precondition | None] | None = None,
    ) -> None:
        self.operator, self.accuracy, self.random = operator, accuracy, random
        self.preconditioner = preconditioner
        self.selection = EigenvalueSelection.of(which, count)
        n_states = operator.n_states
        rows = np.empty((n_rows(count, n_states, width, operator.symmetric), n_states))
        rows[0] = known
        self._basis = OrthonormalBasis(rows, 1, random, operator.threads)
        self._iteration: EigenIteration = KrylovSchur(operator, self._basis, width)
        self.values: NumberArray = np.empty(0)
        self.following: float | complex | None = None
        self.verified, self.stopped = False, False
        # (number of fixed rows, eigenvalues, stopped) after the lock under way
        self._locking: tuple[int, NumberArray, bool] | None = None
        # what the preconditioned search under way, or about to begin, takes
        self._cycle: Precondition | None = None

    # --- state ------------------------------------------------------------------------------------

    @property
    def is_done(self) -> bool:
        return self.stopped or self.verified

    @property
    def is_preconditioned(self) -> bool:
        return isinstance(self._iteration, BlockDavidson)

    def state(self) -> dict[str, Any]:
        """Arrays from which `restore` goes on with the same bits."""
        self._complete()
        following = np.nan if self.following is None else self.following
        flags = [self.verified, self.stopped, self.is_preconditioned, self.preconditioner is None]
        return {
            "values": self.values,
            "following": np.array(following),
            "flags": np.array(flags),
            **self._iteration.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state()`."""
        self.values = state["values"]
        self.following = None if np.isnan(state["following"]) else state["following"][()]
        self.verified, self.stopped, preconditioned, was_asked = map(bool, state["flags"])
        rows = len(state["H"])
        if rows > len(self._basis):
            self._iteration.grow(rows)
        if preconditioned:
            precondition = self.preconditioner() if self.preconditioner is not None else None
            assert precondition is not None  # it was made before, from the same chain
            width = self._iteration.full_width
            self._iteration = BlockDavidson(self.operator, self._basis, width, precondition)
        if was_asked:
            self.preconditioner = None
        self._iteration.restore(state)

    def _complete(self) -> None:
        """Complete a lock or a change of method that Ctrl-C interrupted after it had begun."""
        run = self._iteration
        run.finish_restart()
        if isinstance(run, KrylovSchur) and run.is_last and self._cycle is not None:
            self._iteration = BlockDavidson.take_over(run, self._cycle)
        if self._locking is not None:
            fixed, values, stopped = self._locking
            if self._basis.fixed == fixed:  # else it had not begun, and is done again
                self.values, self.stopped = values, stopped
            self._locking = None

    # --- rounds -----------------------------------------------------------------------------------

    def run(self, limit: int, step_done: Callable[[Any, float], None]) -> None:
        """Rounds until the pairs are verified, or `limit` products are made.

        step_done(value, residual) is called after every check."""
        while not self.is_done:
            self._extend_basis()
            # else nothing is left that could have been missed
            if self._basis.fixed >= self.operator.n_states:
                self.verified = True
            elif (missing := self._missing()) is not None:
                self._fill(missing, limit, step_done)
            else:
                self._verify(limit, step_done)

    def _missing(self, values: NumberArray | None = None) -> EigenvalueSelection | None:
        """How many pairs are still to be found at each end, or None, once those with `values` (by
        default the locked ones) are locked."""
        values = self.values if values is None else values
        if len(values) >= sum(self.selection.counts):
            return None
        found = [len(chosen) for chosen in self.selection.choose(values)]
        counts = zip(self.selection.counts, found, strict=True)
        return self.selection.with_counts([max(count - n, 0) for count, n in counts])

    def converged(self, ritz: RitzPairs, selection: EigenvalueSelection) -> tuple[IntArray, bool]:
        """Which leading Ritz values have converged at each end.

        Returns
        -------
        chosen : ndarray int
            Their positions.
        complete : bool
            Whether they are all that `selection` wants, or hold as many copies of one value as a
            block can find.
        """
        found, complete, saturated = [], True, False
        width = self._iteration.full_width
        for count, chosen in zip(selection.counts, selection.choose(ritz.values), strict=True):
            good = [ritz.residuals[i] <= self.accuracy(ritz.values[i]) for i in chosen]
            prefix = chosen[: good.index(False)] if False in good else chosen
            # a conjugate pair is kept whole
            if len(prefix) and np.imag(ritz.values[prefix[-1]]) > 0.0:
                prefix = prefix[:-1]
            complete &= len(prefix) >= count
            for i in range(len(prefix) - width + 1):
                first, last = ritz.values[prefix[i]], ritz.values[prefix[i + width - 1]]
                saturated |= width > 1 and abs(first - last) <= self.same(first)
            found.append(prefix)
        return np.concatenate(found), bool(complete or saturated)

    def same(self, value: Any) -> float:
        """The distance up to which another value counts as a copy."""
        return 2.0 * self.accuracy(value) + RITZ_ROUNDING

    def _extend_basis(self) -> None:
        """More rows after locks that left too few for a search."""
        run = self._iteration
        is_small = len(self.values) > 0 and run.capacity < 3 * run.full_width
        if is_small and self._basis.fixed < self.operator.n_states:
            run.grow(len(self._basis) + MIN_EXTRA)

    def _lock(self, ritz: RitzPairs, chosen: IntArray, *, stops: bool = False) -> None:
        if len(chosen) == 0:
            if stops:
                self._end(stopped=True)
            return
        stops = stops or self.stopped

        def announce(values: NumberArray) -> None:
            fixed, values = self._basis.fixed + len(values), np.append(self.values, values)
            self._locking = fixed, values, stops

        run = self._iteration
        if isinstance(run, BlockDavidson):
            # the verification must not depend on the search before it
            values = np.append(self.values, ritz.values[chosen])
            run.lock(ritz, chosen, announce, forgets=self._missing(values) is None)
        elif isinstance(run, KrylovSchur):
            run.lock(ritz, chosen, announce)
        self._complete()

    def _end(
        self,
        *,
        following: float | complex | None = None,
        verified: bool = False,
        stopped: bool = False,
    ) -> None:
        """The search is over, and all products so far count."""
        run, counts = self._iteration, self._iteration.counts
        self.following, self.verified, self.stopped = following, verified, stopped
        run.committed = counts

    def _is_slow(self, ritz: RitzPairs, selection: EigenvalueSelection) -> bool:
        """Whether many products are still needed, if the residuals fall as they fell so far."""
        done = self.operator.n_matvecs
        if self.preconditioner is None or self.is_preconditioned or done < PRECONDITION_AFTER:
            return False
        chosen = selection.positions(ritz.values)
        last = chosen[np.argmax(ritz.residuals[chosen])]
        left, wanted = ritz.residuals[last], self.accuracy(ritz.values[last])
        top = max(np.real(ritz.values).max(), np.real(self.values).max(initial=-1.0))
        if 1.0 - top < RITZ_ROUNDING:
            return False  # the inverse of 1 - value is rounding
        digits_left, digits_done = np.log(left / wanted), np.log(1.0 / left)
        return bool(left > wanted and digits_left * done > PRECONDITIONED_COST * digits_done)

    def _precondition(self, selection: EigenvalueSelection) -> None:
        """Change over to a preconditioned search, if a preconditioner can be made."""
        krylov = self._iteration
        assert self.preconditioner is not None and isinstance(krylov, KrylovSchur)
        precondition = self.preconditioner()
        if precondition is None:
            self.preconditioner = None
        else:
            self._cycle = precondition
            krylov.restart(krylov.ritz(), selection, is_last=True)
            self._complete()

    def _fill(
        self, selection: EigenvalueSelection, limit: int, step_done: Callable[[Any, float], None]
    ) -> None:
        """A round that searches for missing pairs."""
        if self.is_preconditioned:  # it follows one block of vectors at a time
            width = self._iteration.full_width
            selection = selection.with_counts([min(count, width) for count in selection.counts])

        def is_settled(ritz: RitzPairs) -> bool:
            return self.converged(ritz, selection)[1] or self._is_slow(ritz, selection)

        ritz, done = self._iteration.run(
            selection, is_settled, limit, reporter(selection, step_done)
        )
        chosen, complete = self.converged(ritz, selection)
        exhausted = self._iteration.is_exhausted
        if done and not complete and not exhausted:
            self._precondition(selection)
            return
        if not complete and not exhausted:  # the limit: lock what there is, with its residuals
            self._lock(ritz, selection.positions(ritz.values), stops=True)
        else:
            self._lock(ritz, selection.positions(ritz.values) if exhausted else chosen)

    def _verify(self, limit: int, step_done: Callable[[Any, float], None]) -> None:
        """A round that searches for pairs that were missed."""
        leaders = self.selection.with_counts([min(count, 1) for count in self.selection.counts])

        def is_settled(ritz: RitzPairs) -> bool:
            return self._ahead(ritz, leaders)[1]

        ritz, settled = self._iteration.run(
            leaders, is_settled, limit, reporter(leaders, step_done)
        )
        ahead, _ = self._ahead(ritz, leaders)
        if not settled:
            self._end(stopped=True)
        elif len(ahead):
            self._lock(ritz, ahead)
        else:
            following = ritz.values[leaders.positions(ritz.values)[0]]
            self._end(following=following, verified=True)

    def _ahead(self, ritz: RitzPairs, leaders: EigenvalueSelection) -> tuple[IntArray, bool]:
        """(positions of Ritz values that precede a wanted one, whether each end is
        settled)."""
        width = self._iteration.full_width
        top = leaders.with_counts([width * count for count in leaders.counts]).choose(ritz.values)
        wanted = self.selection.choose(self.values)
        found, settled = [], True
        for key, chosen, mine in zip(self.selection.keys, top, wanted, strict=True):
            if not len(mine):
                continue
            last = self.values[mine[-1]]
            margin = key(ritz.values[chosen]) - key(last) - self.same(last)
            ahead = chosen[margin > ritz.residuals[chosen]]
            found.extend(ahead)
            for i in ahead if len(ahead) else chosen[:1]:
                enough = self.accuracy(ritz.values[i])
                if not len(ahead):
                    enough = max(enough, CLEAR * -margin[0])
                settled &= bool(ritz.residuals[i] <= enough)
        return np.array(found, dtype=np.intp), settled

    # --- the result -------------------------------------------------------------------------------

    def lock_converged(self) -> None:
        """Lock what has converged since the last round (after an interrupt)."""
        self._complete()
        missing = self._missing()
        if missing is None or self._iteration.is_new:
            return
        if self._iteration.size:
            ritz = self._iteration.ritz()
            self._lock(ritz, self.converged(ritz, missing)[0])

    def span(self) -> tuple[FloatArray, Projection]:
        """(the locked vectors (p, n_states), their `Projection`)."""
        rows, fixed = self._basis.rows, self._basis.fixed
        X = rows[1:fixed]
        free = rows[fixed : fixed + len(X)]
        images = free if len(free) == len(X) else np.empty_like(X)
        return X, Projection(self.operator, X, images)

    def splits(self, values: NumberArray) -> bool:
        """Whether a locked value that is not among `values` is a copy of one of them."""
        left_out = len(self.values) - len(values)
        return left_out > 0 and any(
            np.count_nonzero(np.abs(self.values - v) <= self.same(v))
            > np.count_nonzero(np.abs(values - v) <= self.same(v))
            for v in values
        )

    @property
    def is_cut(self) -> bool:
        """Whether the value that follows is a copy of a locked one."""
        return self.following is not None and bool(
            (np.abs(self.values - self.following) <= self.same(self.following)).any()
        )

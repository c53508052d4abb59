"""The leading eigenpairs of an operator with every copy of a multiple eigenvalue.

A Krylov space of a block of b vectors holds at most b copies of an eigenvalue. So the search goes
in rounds: converged pairs are locked and deflated, and the next round starts from random vectors in
their complement. The last round finds no pair that precedes a wanted one. This verifies the wanted
pairs, and the leading value of that round is the one that follows them.

A slow search changes over: with a symmetric operator to block Davidson, otherwise as `change_over`
describes. The search for missed copies starts from new random vectors, with the same method.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from .._runtime.types import FloatArray, IntArray
from .change_over import ChangeOver
from .davidson import BlockDavidson
from .eigen_iteration import Accuracy, EigenIteration, converged_pairs, reporter
from .eigenvalue_selection import EigenvalueSelection
from .inverse_operator import InverseOperator
from .krylov_schur import KrylovSchur
from .operator import Operator, RandomVectors
from .orthonormal_basis import MIN_EXTRA, OrthonormalBasis, n_rows
from .ritz import InverseProjection, NumberArray, Projection, RitzPairs
from .rounding import RITZ_ROUNDING

# The value that follows the wanted ones is settled once its residual is this part of its distance
# from them. A missed copy then stays hidden in such a Ritz vector with about this probability for
# each random vector of the block: 1e-6 for the four of a block. A smaller part would cost most of
# the products where a bulk of eigenvalues follows (benchmarks, family sets).
CLEAR = 0.03
# Vectors of a block: products of a stored chain with four vectors cost what two single ones do, and
# four copies are found at once.
BLOCK = 4
# A preconditioned search takes over after PRECONDITION_AFTER products if, at the rate so far, more
# than PRECONDITIONED_COST would still be needed: about its own cost (benchmarks, 4 eigenpairs).
PRECONDITION_AFTER, PRECONDITIONED_COST = 100, 400
# With a pair of a smaller rate locked, the search leaves the inverse of I - S for S: what such a
# pair adds to a product of the inverse is removed, but its rounding would hide the other pairs.
HIDING = 1e-6

#: Replaces vectors (width, n_states) in place by about (1 - A)^-1 times them.
Precondition: TypeAlias = Callable[[FloatArray], None]


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
        -> what `BlockDavidson` takes as `precondition`, or None. Called once, if it is slow.
    inverse : callable, optional
        As in `ChangeOver`, for an operator that is not symmetric.
    gives_way : callable, optional
        -> whether the search stops with what it has, as something else takes over.

    Attributes
    ----------
    values : ndarray
        Eigenvalues of the locked pairs.
    following : float or complex or None
        The value that follows the wanted ones, where it was found.
    change : ChangeOver
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
        inverse: Callable[[float], InverseOperator | None] | None = None,
        gives_way: Callable[[], bool] | None = None,
    ) -> None:
        self.operator, self.accuracy, self.random = operator, accuracy, random
        self.preconditioner, self.change = preconditioner, ChangeOver(inverse)
        self._gives_way = gives_way or (lambda: False)
        self.selection = EigenvalueSelection.of(which, count)
        n_states = operator.n_states
        rows = np.empty((n_rows(count, n_states, width, operator.symmetric), n_states))
        rows[0] = known
        self._width, self._basis = width, OrthonormalBasis(rows, 1, random, operator.threads)
        self._iteration: EigenIteration = KrylovSchur(operator, self._basis, width)
        self.values: NumberArray = np.empty(0)
        self.following: float | complex | None = None
        self.verified, self.stopped = False, False
        # (number of fixed rows, eigenvalues, stopped, verified, following) after the lock under way
        self._locking: tuple[int, NumberArray, bool, bool, float | complex | None] | None = None
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
        flags = [self.verified, self.stopped, self.is_preconditioned, self.preconditioner is None]
        flags += [
            self.change.inverse is not None,
            self._iteration.operator.is_inverse,
            self.change.is_grown,
        ]
        return {
            "values": self.values,
            "following": np.array(np.nan if self.following is None else self.following),
            "flags": np.array(flags),
            **self._iteration.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state()`."""
        self.values = state["values"]
        self.following = None if np.isnan(state["following"]) else state["following"][()]
        flags = [bool(flag) for flag in state["flags"]]
        self.verified, self.stopped, preconditioned, was_asked, *inverted, grown = flags
        rows = len(state["H"])
        if rows > len(self._basis):
            self._iteration.grow(rows)
        if preconditioned:
            precondition = self.preconditioner() if self.preconditioner is not None else None
            assert precondition is not None  # it was made before, from the same chain
            self._iteration = BlockDavidson(self.operator, self._basis, self._width, precondition)
        if was_asked:
            self.preconditioner = None
        if inverted[0] and isinstance(self._iteration, KrylovSchur):
            self._iteration = self.change.take(self._iteration)
            if not inverted[1]:
                self._iteration = KrylovSchur(self.operator, self._basis, self._width)
        self.change.is_grown = grown
        self._iteration.restore(state)

    def _complete(self) -> None:
        """Complete a lock or a change of method that Ctrl-C interrupted after it had begun."""
        run = self._iteration
        run.finish_restart()
        if isinstance(run, KrylovSchur) and run.is_last and self._cycle is not None:
            self._iteration = BlockDavidson.take_over(run, self._cycle)
        if self._locking is not None:
            fixed, values, stopped, verified, following = self._locking
            if self._basis.fixed == fixed:  # else it had not begun, and is done again
                self.values, self.stopped = values, stopped
                self.verified, self.following = verified, following
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
        """As `converged_pairs`."""
        return converged_pairs(ritz, selection, self.accuracy, self.same, self._width)

    def same(self, value: Any) -> float:
        """The distance at which another value counts as a copy."""
        return 2.0 * self.accuracy(value) + RITZ_ROUNDING

    def _extend_basis(self) -> None:
        """More rows after locks that left too few for a search."""
        run = self._iteration
        is_small = len(self.values) > 0 and run.capacity < 3 * run.full_width
        if is_small and self._basis.fixed < self.operator.n_states:
            run.grow(len(self._basis) + MIN_EXTRA)

    def _lock(
        self,
        ritz: RitzPairs,
        chosen: IntArray,
        *,
        stops: bool = False,
        following: float | complex | None = None,
    ) -> None:
        """Lock pairs; with `following` all are known, and none was missed."""
        if len(chosen) == 0:
            if stops:
                self._end(stopped=True)
            return
        stops = stops or self.stopped

        def announce(values: NumberArray) -> None:
            fixed, values = self._basis.fixed + len(values), np.append(self.values, values)
            self._locking = fixed, values, stops, following is not None, following

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
        """Whether another method should take over: many products are still needed, if the residuals
        fall as they fell so far."""
        if isinstance(self._iteration, KrylovSchur) and not self.operator.symmetric:
            chosen = selection.positions(ritz.values)
            goals = np.array([self.accuracy(value) for value in ritz.values[chosen]])
            return self.change.is_due(self._iteration, ritz.residuals[chosen], goals)
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

    def _change_over(self, selection: EigenvalueSelection) -> None:
        """Change over to another method, if it is possible."""
        krylov = self._iteration
        assert isinstance(krylov, KrylovSchur)
        if not self.operator.symmetric:
            self._iteration = self.change.take(krylov)
            return
        assert self.preconditioner is not None
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
        rates = np.abs(1.0 - self.values)
        if self._iteration.operator.is_inverse and rates.min(initial=1.0) < HIDING:
            self._iteration = KrylovSchur(self.operator, self._basis, self._width)
        if self.is_preconditioned:  # it follows one block of vectors at a time
            most = [min(count, self._width) for count in selection.counts]
            selection = selection.with_counts(most)

        def is_settled(ritz: RitzPairs) -> bool:
            is_over = self.converged(ritz, selection)[1] or self._gives_way()
            return is_over or self._is_slow(ritz, selection)

        ritz, done = self._iteration.run(
            selection, is_settled, limit, reporter(selection, step_done)
        )
        chosen, complete = self.converged(ritz, selection)
        exhausted = self._iteration.is_exhausted
        changes = not complete and not exhausted
        if not self.operator.symmetric:
            changes = self._is_slow(ritz, selection)
        gives_way = self._gives_way()
        if done and changes and not gives_way:
            self._change_over(selection)
            return
        exhausted &= not (ritz.inverse and len(chosen))  # others may be hidden
        if exhausted and not self.operator.symmetric:
            # the Ritz values are all eigenvalues
            chosen, following = selection.positions(ritz.values), None
            if len(rest := np.delete(ritz.values, chosen)):
                following = rest[self._leaders.positions(rest)[0]]
            self._lock(ritz, chosen, following=following)
        elif not done or (changes and gives_way):  # lock what there is, with its residuals
            self._lock(ritz, selection.positions(ritz.values), stops=True)
        else:
            self._lock(ritz, selection.positions(ritz.values) if exhausted else chosen)

    @property
    def _leaders(self) -> EigenvalueSelection:
        """The best eigenvalue at each end."""
        return self.selection.with_counts([min(count, 1) for count in self.selection.counts])

    def _verify(self, limit: int, step_done: Callable[[Any, float], None]) -> None:
        """A round that searches for pairs that were missed."""
        leaders = self._leaders

        def is_settled(ritz: RitzPairs) -> bool:
            return self._ahead(ritz, leaders)[1] or self._gives_way()

        ritz, settled = self._iteration.run(
            leaders, is_settled, limit, reporter(leaders, step_done)
        )
        ahead, _ = self._ahead(ritz, leaders)
        if not settled or self._gives_way():
            self._end(stopped=True)
        elif len(ahead):
            self._lock(ritz, ahead)
        else:
            following = ritz.values[leaders.positions(ritz.values)[0]]
            self._end(following=following, verified=True)

    def _ahead(self, ritz: RitzPairs, leaders: EigenvalueSelection) -> tuple[IntArray, bool]:
        """(positions of Ritz values that precede a wanted one, whether each end is
        settled)."""
        counts = [self._width * count for count in leaders.counts]
        top = leaders.with_counts(counts).choose(ritz.values)
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

    def look_again(self) -> None:
        """Have `run` search for missed pairs once more, from new random vectors."""
        self.verified, self.following = False, None
        self._iteration.forget()

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
        if self.change.inverse is not None:
            return X, InverseProjection(self.operator, self.change.inverse, X, images)
        return X, Projection(self.operator, X, images)

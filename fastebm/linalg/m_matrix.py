"""Linear systems M x = b >= 0 with M = I - P_BB, B a set of states that a chain leaves almost
surely.

All hitting times, probabilities and moments are such systems. M is an M-matrix: its inverse is
non-negative. So any x with ``M x >= b`` is an upper bound, and ``|b - M x| <= delta b`` encloses
the solution between x / (1 + delta) and x / (1 - delta).

Iterates are sums of two doubles, and residuals are evaluated in twice the working precision. The
residual is the certificate: in plain doubles it would be lost in the rounding of x at means of 1e8.
Its own error is about u^2 max x, u = 2^-53, instead of u max x. What iteration cannot solve is
eliminated without subtractions.

The iterations are in `cg`, the elimination and its competition with iteration in `elimination`.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import _core
from .._runtime.checkpoint import fingerprint
from .._runtime.resumable import State, has_checkpoint, save, stage
from .._runtime.types import BoolArray, FloatArray
from .cg import SWEEP_GAIN, FluxConjugateGradients, Splitting, bicgstab_correction
from .elimination import SparseElimination
from .iterate import Iterate, Round
from .restriction import Report, Restriction, ScaledMatrix, SolveTask
from .rounding import UNIT

# Fixed-point sweeps after a round of iteration at most.
MAX_SWEEPS = 50
# Rounds in a row that do not halve the residual before the refinement stops.
MAX_STALLED = 3
# Scale of b in an elimination where entries of any size count: no product of it underflows.
POSITIVE_SCALE = 2.0**900


class MMatrixSystem:
    """M = I - P_BB and its solves.

    Parameters
    ----------
    scaled : ScaledPattern
        P.
    inside : ndarray bool (n_states,)
        B. From each of its states the chain leaves B with probability one.
    limit : int
        Largest number of products; `n_iter` counts them.
    threads : int

    Attributes
    ----------
    best : Iterate or None
        The best of the last solve; an interrupted solve leaves what it had.
    method : str
    """

    def __init__(self, scaled: ScaledMatrix, inside: BoolArray, limit: int, threads: int) -> None:
        self._M = Restriction(scaled, inside, threads)
        self.limit, self.method = limit, "graph"
        self.best: Iterate | None = None
        self._elimination = SparseElimination(self._M)
        self._cg = FluxConjugateGradients(self._M, self._elimination, limit)
        self._splitting = Splitting(self._M)
        self._round: Round | None = None  # of the refinement under way
        # a checkpoint: where the refinement is, and whether B was eliminated before it was resumed
        self._reached: State | None = None
        self._saved: State | None = None
        self._was_factorised = False
        self._flag: float | None = None  # of multigrid, as `context` has it

    # --- the matrix -------------------------------------------------------------------------------

    @property
    def inside(self) -> BoolArray:
        """B."""
        return self._M.inside

    @property
    def n_inside(self) -> int:
        """States of B."""
        return self._M.n_inside

    @property
    def n_iter(self) -> int:
        """Products with P so far."""
        return self._M.n_products

    @property
    def matrix(self) -> _core.Csr | None:
        """The stored pattern of P, or None where P is computed and large."""
        return self._M.matrix

    @property
    def max_degree(self) -> int:
        """The largest number of entries in a row."""
        return self._M.max_degree

    def floor(self, hi: FloatArray) -> float:
        """Bound of the rounding error of the residual of x = hi + lo."""
        return self._M.floor(hi)

    def use_copy(self) -> None:
        """Read the entries from a stored copy where P is computed. Called before the first use."""
        self._M.uses_copy = True

    # --- solving ----------------------------------------------------------------------------------

    def solve(
        self,
        b: FloatArray,
        tol: float,
        monitor: Report,
        *,
        start: FloatArray | None = None,
        scale: FloatArray | None = None,
        least: float = 0.0,
        relative: bool = False,
        support: BoolArray | None = None,
    ) -> Iterate:
        """Solve M x = b.

        Parameters
        ----------
        b, start : ndarray (n_states,)
            Zero outside B. The start is optional.
        tol : float
            The size of the residual that is wanted.
        monitor : callable
            monitor(n_iter, residual=) is called after every piece of work.
        scale : ndarray (n_states,), optional
            What the residual is measured against; by default its absolute size counts.
        least : float
            No solution is smaller on B.
        relative : bool
            Keep what elimination finds as it is: its `bound` holds for entries of any size.
        support : bool mask (n_states,), optional
            The states where the solution is positive; it is zero elsewhere, exactly. If given, the
            residual is measured against the iterate itself, and x may have entries of any size.
            Implies `relative`.

        Returns
        -------
        Iterate
            With size <= tol, or the best that was reached.
        """
        measure = 1.0 if scale is None else np.where(self.inside, scale, 1.0)
        task = SolveTask(b, tol, measure, least, monitor, support)
        self._task, self._relative = task, relative or support is not None
        self.best, self._round, self._reached = None, None, None
        start = np.zeros(self._M.n_states) if start is None else start
        if not has_checkpoint():
            return self._solve(start)
        parts = (self.limit, b, start, tol, scale, least, relative, support, self.context)
        saved: list[State] = []
        return stage(
            f"solve {fingerprint(self._M.identity, *parts)}",
            lambda: self._solve(start, *saved),
            pack=self._packed,
            unpack=self._unpacked,
            state=lambda: self._reached,
            restore=saved.append,
        )

    def _solve(self, start: FloatArray, saved: State | None = None) -> Iterate:
        self._settle()
        self._accept(start, np.zeros_like(start))
        if saved is not None:
            self._go_on_from(saved)
        self._report()
        tol, monitor = self._task.tol, self._task.monitor
        if self._best.size <= tol or self.n_inside == 0:
            return self._best
        elimination = self._elimination
        comes_first = elimination.is_factorised or (
            self._M.is_small and elimination.is_feasible(monitor)
        )
        if comes_first or self._iterate():
            self._eliminate(self._relative)
        return self._best

    @property
    def _best(self) -> Iterate:
        assert self.best is not None
        return self.best

    def _report(self) -> None:
        self._task.monitor(self.n_iter, residual=self._best.size)

    def _accept(self, hi: FloatArray, lo: FloatArray, bound: float = math.inf) -> Iterate:
        """The candidate as an Iterate, which becomes the best if its error is the smallest so
        far."""
        task = self._task
        low = self.inside & (hi < task.least)
        if low.any():
            hi, lo = np.where(low, task.least, hi), np.where(low, 0.0, lo)
        if task.support is not None:
            hi, lo = np.where(task.support, hi, 0.0), np.where(task.support, lo, 0.0)
        r = self._M.residual(hi, lo, task.b)
        floor = (
            self._M.floor_at(hi, r)
            if task.least >= 0.0
            else np.where(self.inside, self._M.floor(hi), 0.0)
        )
        size, rounding = (task.measured(part, hi) for part in (np.abs(r), floor))
        found = Iterate(hi, lo, r, size, rounding, bound)
        if self.best is None or self.error(found) < self.error(self.best):
            self.best = found
        return found

    def error(self, iterate: Iterate) -> float:
        """The delta of the module docstring, by the residual with its rounding or by `bound`."""
        own = (4.0 + self.max_degree) * UNIT  # the sum that divides a row is rounded at every entry
        return min(iterate.size + iterate.rounding, iterate.bound) + own

    def _moved(self, at: Iterate, step: FloatArray) -> Iterate:
        hi, lo = at.hi.copy(), at.lo.copy()
        _core.residual_add(np.ascontiguousarray(step), hi, lo, self._M.threads)
        return self._accept(hi, lo)

    # --- iteration --------------------------------------------------------------------------------

    def _iterate(self) -> bool:
        """Refine the best iterate; returns whether elimination is to go on."""
        if not self._refine():
            return True
        is_short = self._best.size > self._task.tol and self.n_iter < self.limit
        return is_short and self._elimination.is_feasible(self._task.monitor)

    def _refine(self) -> bool:
        """Iterative refinement; False if elimination is cheaper than to go on."""
        tol = self._task.tol
        now = self._round or Round(self._best, 0, math.nan)
        at, stalled, before = now.at, now.stalled, now.before
        while self._best.size > tol and self.n_iter < self.limit and stalled < MAX_STALLED:
            before = self._best.size if math.isnan(before) else before
            self._round = Round(at, stalled, before)
            last = at.largest
            # squares of small residuals would underflow
            unit = 2.0 ** math.frexp(last)[1] if self._task.support is not None else 1.0
            step = self._correction(at.r / unit)
            if step is None:
                return False
            at = self._swept(self._moved(at, step * unit))
            gained = self._best.size < math.inf and self._best.size <= 0.5 * before
            if self._task.support is not None:  # small entries come after the large ones
                gained |= at.largest <= 0.5 * last
            stalled, before = 0 if gained else stalled + 1, math.nan
            self._round = Round(at, stalled, before)
            self._note()
        self._round = None
        return True

    def _correction(self, r: FloatArray) -> FloatArray | None:
        """M^-1 r roughly, or None if elimination is cheaper."""
        if self._M.is_reversible:
            self.method = self._cg.method
            return self._cg.correction(r, self._task, self._should_eliminate, self._note)
        self.method = "bicgstab"
        saved, self._saved = self._saved, None
        own = (self._splitting, r, self._task, self.limit)
        return bicgstab_correction(self._M, *own, self._should_eliminate, saved, self._note)

    def _should_eliminate(self, left: float) -> bool:
        """Report; whether elimination costs less than `left` more products, or than all so far."""
        self._report()
        return self._elimination.pays(self.n_iter, left, self._task.monitor)

    def _swept(self, at: Iterate) -> Iterate:
        """Fixed-point sweeps from an iterate, as long as they pay."""
        n_sweeps = 0
        while n_sweeps < MAX_SWEEPS:
            last = at.size
            if last <= self._task.tol or self.n_iter >= self.limit:
                break
            step, n = self._splitting.sweeps(at, self._task, MAX_SWEEPS - n_sweeps, self.limit)
            at, n_sweeps = self._moved(at, step), n_sweeps + n
            self._report()
            if at.size > SWEEP_GAIN * last:
                break
        return at

    # --- state ------------------------------------------------------------------------------------

    def _note(self, recurrence: Callable[[], dict[str, Any]] = dict) -> None:
        """Save the state of the iteration if it is due: between rounds, or within a round with the
        recurrence of conjugate gradients."""
        if not has_checkpoint() or self._round is None:
            return
        now, best = self._round, self._best
        flag, pause = self._cg.multigrid_flag, self._elimination.pause
        numbers = np.array([self.n_iter, now.stalled, now.before, pause, flag])
        own = {"numbers": numbers, "method": np.array(self.method), **recurrence()}
        places = {"hi": now.at.hi, "lo": now.at.lo, "best_hi": best.hi, "best_lo": best.lo}
        self._reached = places | own
        save()

    @property
    def context(self) -> FloatArray:
        """What earlier solves leave for the next one: its bits depend on it."""
        is_factorised = self._elimination.is_factorised or self._was_factorised
        flag = self._cg.multigrid_flag if self._flag is None else self._flag
        return np.array([self.n_iter, self._elimination.pause, flag, is_factorised])

    @context.setter
    def context(self, numbers: FloatArray) -> None:
        n_iter, pause, flag, is_factorised = (float(number) for number in numbers)
        self._M.n_products, self._elimination.pause = int(n_iter), pause
        self._flag = flag
        self._was_factorised = bool(is_factorised) and not self._elimination.is_factorised

    def _settle(self) -> None:
        """Make again what `context` says that there is."""
        flag, self._flag = self._flag, None
        if flag is not None and flag != self._cg.multigrid_flag:
            self._cg.restore(flag, None)
        if self._was_factorised:
            self._was_factorised = False
            self.prepare(lambda *_, **__: None)

    def _packed(self, found: Iterate) -> State:
        arrays = {"hi": found.hi, "lo": found.lo, "bound": np.array(found.bound)}
        return arrays | {"context": self.context, "method": np.array(self.method)}

    def _unpacked(self, state: State) -> Iterate:
        self.best = None
        found = self._accept(state["hi"], state["lo"], float(state["bound"]))
        self.context, self.method = state["context"], str(state["method"])
        return found

    def _go_on_from(self, state: State) -> None:
        n_iter, stalled, before, pause, flag = state["numbers"]
        self.method = str(state["method"])
        self._cg.restore(float(flag), state if "x" in state else None)
        self._saved = state
        self._accept(state["best_hi"], state["best_lo"])
        at = self._accept(state["hi"], state["lo"])
        self._M.n_products, self._elimination.pause = int(n_iter), float(pause)
        self._round = Round(at, int(stalled), float(before))

    # --- elimination ------------------------------------------------------------------------------

    def prepare(self, monitor: Report) -> bool:
        """Eliminate B where time and memory allow; returns whether it is eliminated."""
        elimination = self._elimination
        if not elimination.is_factorised and elimination.is_feasible(monitor):
            self._factorise(monitor)
        return elimination.is_factorised

    def _factorise(self, monitor: Report) -> bool:
        done = self._elimination.factorise(monitor)
        if done:
            self.method = "elimination"
        return done

    def _eliminate(self, relative: bool) -> None:
        task, elimination = self._task, self._elimination
        if not self._factorise(task.monitor):
            return
        for scale in (POSITIVE_SCALE, 1.0) if task.support is not None else (1.0,):
            with np.errstate(over="ignore"):
                x = elimination.solve(task.b * scale) / scale
            if np.isfinite(x).all():
                break
        else:
            return
        at = self._accept(x, np.zeros_like(x), elimination.bound(float(x.max())))
        if relative:
            self.best = at
            return
        # refine what rounding left over, as long as the residual shrinks
        while self.error(self._best) > task.tol and at.size > task.tol:
            before = at.size
            at = self._moved(at, elimination.solve(at.r))
            self._report()
            if not at.size < 0.5 * before:
                break

    def eliminate(self, b: FloatArray) -> FloatArray:
        """M^-1 b for a block (n_inside, width) on the states of B alone, after `prepare`."""
        self._settle()
        return self._elimination.solve_inside(b)

    @property
    def underflow(self) -> float:
        """See `SparseElimination.underflow`; 0 if nothing was eliminated."""
        self._settle()
        return self._elimination.underflow if self._elimination.is_factorised else 0.0

    def elimination_bound(self, largest: float) -> float:
        """The relative error, to first order, of the x >= 0 that elimination finds; `largest` is
        its largest entry (see `SparseElimination.bound`)."""
        self._settle()
        return self._elimination.bound(largest)

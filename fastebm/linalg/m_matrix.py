"""Linear systems M x = b >= 0 with M = I - P_BB, B the states from which a chain leaves B with probability one.

All hitting times, probabilities and moments are such systems. M is an M-matrix: its inverse is non-negative, so that any x
with ``M x >= b`` is an upper bound, and ``|b - M x| <= delta b`` encloses the solution between x / (1 + delta) and
x / (1 - delta). Iterates are kept as sums of two doubles and residuals are evaluated in twice the working precision: what
the iteration cannot see is then u^2 max x, not u max x. What iteration cannot solve is eliminated without subtractions.
"""

import math
from functools import cached_property

import numpy as np

from .. import _core
from .._runtime.memory import forecast_memory
from .._runtime.pacing import ENTRIES_PER_CALL, Pacer
from ..errors import MemoryForecastError
from .multigrid import hierarchy
from .rounding import UNIT

# Up to this many states elimination comes first: 0.3 s where nothing is sparse.
MAX_SMALL = 1000
# Products before an elimination is looked into, which costs about as much (torus 256: 0.2 s).
FIRST_PRODUCTS = 200
# Products after which conjugate gradients change over to a multigrid preconditioner, if they expect to need more than so many again.
MULTIGRID_AFTER, MULTIGRID_WORTH = 60, 60
# Products of a cycle on the finest level and of the step around it.
MULTIGRID_PRODUCTS = 3
# A stored entry in a product costs about as much as this many operations of an elimination (torus 512, Mistral network).
FLOPS_PER_ENTRY = 8
# Beyond: two minutes and more at 7e9 operations a second (one core, torus 512), or factors of 8 GB.
MAX_FLOPS, MAX_ENTRIES = 1e12, 500_000_000
# A round of conjugate gradients reduces the weighted residual by this factor before the unsymmetrised one is looked at.
ROUND_REDUCTION = 1e-7
# Fixed-point sweeps after a round: they repair states of tiny pi, which the weighted norm does not see, as long as they pay.
MAX_SWEEPS, SWEEP_GAIN = 50, 0.9
# Rounds in a row that do not halve the residual.
MAX_STALLED = 3


class _Eliminate(Exception):
    """Iteration has cost as much as elimination would, or has stalled where elimination can go on."""


class Iterate:
    """x = hi + lo with its residual r, `size` = max |r| / scale, and `bound`, a relative error that is known without it."""

    def __init__(self, hi, lo, r, size, bound=math.inf):
        self.hi, self.lo, self.r, self.size, self.bound = hi, lo, r, size, bound


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
    keep : callable(dict of arrays), optional
        Is handed the state of the iteration whenever it is one that `restore` can go on from with the same bits.
    """

    def __init__(self, scaled, inside, limit, threads, keep=None):
        self.scaled, self.inside, self.limit, self.threads = scaled, inside, limit, threads
        self.n_inside = int(np.count_nonzero(inside))
        self.n_iter, self.method, self.best = 0, "graph", None
        self._mask = inside.view(np.uint8)
        self._pause = FIRST_PRODUCTS
        self._keep, self._saved, self._loop, self._inner = keep, None, None, None
        self._elimination, self._searched, self._symbolic = None, False, None
        self._sweep_pace = Pacer()
        self._cycle = None  # not looked into; False: this chain is not for it

    @property
    def is_reversible(self):
        """Whether P satisfies detailed balance."""
        return self.scaled.pattern.potential is not None

    @cached_property
    def matrix(self):
        """The stored pattern, or None: a chain that is computed is written out for this only where it is small."""
        pattern = self.scaled.pattern
        return pattern.matrix if self.scaled.n_states <= MAX_SMALL else vars(pattern).get("matrix")

    # --- residuals ------------------------------------------------------------------------------------------------------

    def residual(self, hi, lo, b):
        """b - M (hi + lo) on B, 0 elsewhere; hi and lo are zero outside B."""
        self.n_iter += 1
        r = np.empty_like(hi)
        if self.matrix is not None:
            _core.residual(
                self.matrix,
                self.scaled.row,
                self.scaled.col,
                self._mask,
                hi,
                lo,
                b,
                r,
                self.threads,
            )
            return r
        _core.scaled_difference(self.scaled.operator, hi, r, 1, self.threads)
        low = np.empty_like(hi)
        _core.scaled_difference(self.scaled.operator, lo, low, 1, self.threads)
        return np.where(self.inside, (b - r) - low, 0.0)

    def floor(self, hi):
        """What the evaluation of a residual may be off by."""
        largest = float(np.abs(hi).max(initial=0.0))
        if self.matrix is None:
            return 8.0 * UNIT * largest
        return 2.0 * (8.0 + self.max_degree) ** 2 * UNIT**2 * largest

    @cached_property
    def max_degree(self):
        """The largest number of entries in a row; a computed chain is taken to have a thousand."""
        return 1000 if self.matrix is None else int(np.diff(self.matrix.indptr).max())

    @cached_property
    def exit_rate(self):
        """The rate at which each state is left, where it is stored; else one, of which only speed depends."""
        if self.matrix is None:
            return np.ones(self.scaled.n_states)
        out = _core.leaving(self.matrix, self.scaled.row, self.scaled.col, self.threads)
        return np.where(out > 0.0, out, 1.0)

    # --- solving --------------------------------------------------------------------------------------------------------

    def solve(self, b, tol, monitor, *, start=None, scale=None, least=0.0, relative=False):
        """An `Iterate` for M x = b with size <= tol, or the best that was reached.

        b, start: (n_states,), zero outside B. scale: the residual is measured against it (default: in absolute size); least:
        no solution is smaller on B. relative: what elimination finds is kept as it is, whose `bound` holds for entries of
        any size. The iterate is also kept as `self.best` for whom an interruption leaves with it.
        """
        scale = 1.0 if scale is None else np.where(self.inside, scale, 1.0)
        self._task = (b, tol, scale, least, monitor)
        self.best = None
        start = np.zeros(self.scaled.n_states) if start is None else start
        self._accept(start, np.zeros_like(start))
        self._loop = None
        if self._saved is not None:
            self._go_on_from(self._saved)
            self._saved = None
        monitor(self.n_iter, residual=self.best.size)
        if self.best.size <= tol or self.n_inside == 0:
            return self.best
        try:
            if self._elimination is not None or self.n_inside <= MAX_SMALL and self._feasible():
                raise _Eliminate
            self._refine(self._conjugate_gradients if self.is_reversible else self._bicgstab)
            if self.best.size > tol and self.n_iter < self.limit and self._feasible():
                raise _Eliminate
        except _Eliminate:
            self._eliminate(relative)
        return self.best

    def _accept(self, hi, lo, bound=math.inf):
        """The candidate as an Iterate, which becomes the best where its residual is the smallest yet."""
        b, _, scale, least, _ = self._task
        low = self.inside & (hi < least)
        if low.any():
            hi, lo = np.where(low, least, hi), np.where(low, 0.0, lo)
        r = self.residual(hi, lo, b)
        size = float((np.abs(r) / scale).max())
        found = Iterate(hi, lo, r, size if math.isfinite(size) else math.inf, bound)
        if self.best is None or self.error(found) < self.error(self.best):
            self.best = found
        return found

    def error(self, iterate):
        """delta of the module's text: what the residual, with its rounding, or the elimination's own bound shows."""
        _, _, scale, _, _ = self._task
        return (
            min(iterate.size + self.floor(iterate.hi) / float(np.min(scale)), iterate.bound)
            + 4.0 * UNIT
        )

    def _moved(self, at, step):
        hi, lo = at.hi.copy(), at.lo.copy()
        _core.residual_add(np.ascontiguousarray(step), hi, lo, self.threads)
        return self._accept(hi, lo)

    def _refine(self, correction):
        _, tol, _, _, monitor = self._task
        at, stalled, before = self._loop or (self.best, 0, math.nan)
        while self.best.size > tol and self.n_iter < self.limit and stalled < MAX_STALLED:
            before = self.best.size if math.isnan(before) else before
            self._loop = (at, stalled, before)
            at = self._moved(at, correction(at.r))
            for _ in range(MAX_SWEEPS):
                last = at.size
                if last <= tol or self.n_iter >= self.limit:
                    break
                at = self._moved(at, self._sweep(at.r))
                monitor(self.n_iter, residual=self.best.size)
                if at.size > SWEEP_GAIN * last:
                    break
            stalled, before = stalled + 1 if self.best.size > 0.5 * before else 0, math.nan
            self._loop = (at, stalled, before)
            self._note()
        self._loop = None

    def _note(self, cg=None, least=0.0, begun=0):
        """Hands on where the iteration stands: between rounds, or within one where the recurrence is given."""
        if self._keep is None:
            return
        at, stalled, before = self._loop
        state = {
            "hi": at.hi,
            "lo": at.lo,
            "best_hi": self.best.hi,
            "best_lo": self.best.lo,
            "numbers": np.array(
                [
                    self.n_iter,
                    stalled,
                    before,
                    self._pause,
                    -1.0 if self._cycle is None else bool(self._cycle),
                ]
            ),
        }
        if cg is not None:
            x, r, p, energy, worst = cg.state()
            state |= {"x": x, "r": r, "p": p, "inner": np.array([energy, worst, least, begun])}
        self._keep(state)

    def restore(self, state):
        """Makes the next `solve`, which must be the one that handed on `state`, go on from there."""
        self._saved = state

    def _go_on_from(self, state):
        n_iter, stalled, before, pause, cycle = state["numbers"]
        self._cycle = None if cycle < 0 else self._multigrid() if cycle else False
        self._accept(state["best_hi"], state["best_lo"])
        at = self._accept(state["hi"], state["lo"])
        self.n_iter, self._pause, self._loop = (
            int(n_iter),
            float(pause),
            (at, int(stalled), float(before)),
        )
        if "x" in state:
            self._inner = (
                [state[name] for name in ("x", "r", "p")],
                [float(number) for number in state["inner"]],
            )

    def _spend(self, left=math.nan):
        """Called after every piece of iteration, with the products it still expects to need where it can tell: raises
        _Eliminate once that would have been cheaper, or will be."""
        self._task[-1](self.n_iter, residual=self.best.size)
        if self.n_iter < self._pause:
            return
        if left < FIRST_PRODUCTS:  # to look into an elimination would cost more
            self._pause = self.n_iter + FIRST_PRODUCTS
            return
        self._pause = math.inf
        if self._feasible():
            worth = self._symbolic[-1]["n_flops"] / (
                FLOPS_PER_ENTRY * (self.scaled.pattern.nnz + 8 * self.scaled.n_states)
            )
            if self.n_iter >= worth or worth < left < math.inf:
                raise _Eliminate
            self._pause = worth

    @cached_property
    def _flux(self):
        """(weight, F, Jacobi preconditioner) of D - F = diag(weight) M."""
        log_measure = (
            self.scaled.log_measure
        )  # not log pi: the classes of a reversible chain may be several
        weight = np.where(self.inside, np.exp(log_measure - log_measure[self.inside].max()), 0.0)
        row = weight if self.scaled.row is None else weight * self.scaled.row
        return (
            weight,
            _core.Scaled(self.scaled.operator.kernel, row, self.scaled.col),
            _core.Jacobi(weight * self.exit_rate),
        )

    def _multigrid(self):
        """The multigrid preconditioner of D - F, or False where aggregation does not pay."""
        if self.matrix is None:
            return False
        weight, F, _ = self._flux
        mask, leak = self.inside.astype(np.float64), np.empty(self.scaled.n_states)
        _core.scaled_difference(
            F, mask, leak, 1, self.threads
        )  # what flows from the indicator of B to its complement
        right = mask if self.scaled.col is None else mask * self.scaled.col
        try:
            made = hierarchy(
                _core.Flow(self.matrix, F.row, right),
                np.where(self.inside, leak, 0.0),
                self.threads,
            )
        except MemoryForecastError:
            return False
        return made or False

    def _conjugate_gradients(self, r):
        """M^-1 r to ROUND_REDUCTION in the weighted norm, or until the unsymmetrised residual is small."""
        self.method = "conjugate gradients with multigrid" if self._cycle else "conjugate gradients"
        tol, scale = self._task[1:3]
        weight, F, jacobi = self._flux
        cg = _core.ConjugateGradients(F, self._cycle or jacobi, weight, weight * r, self.threads)
        target, least = 0.3 * tol * float(np.min(scale)), cg.energy * ROUND_REDUCTION**2
        begun = self.n_iter
        if self._inner is not None:
            (vectors, (energy, worst, least, begun)), self._inner = self._inner, None
            cg.restore(*vectors, energy, worst)
            self._spend(self._expected(cg, least, begun))
        each = MULTIGRID_PRODUCTS if self._cycle else 1
        per_call = max(
            1, ENTRIES_PER_CALL // (each * (self.scaled.pattern.nnz + 8 * self.scaled.n_states))
        )
        while cg.worst > target and cg.energy > least and self.n_iter < self.limit:
            until = min(self.limit, max(self._pause, self.n_iter + 1))
            if self._cycle is None:
                until = min(until, max(MULTIGRID_AFTER, self.n_iter + 1))
            steps = cg.expand(
                int(min(per_call, max(1, (until - self.n_iter) // each))), target, least
            )
            self.n_iter += steps * each
            expected = self._expected(cg, least, begun)
            if self._cycle is None and self.n_iter >= MULTIGRID_AFTER:
                self._cycle = self._multigrid() if expected > MULTIGRID_WORTH else False
                if self._cycle:
                    break  # what was found is kept; the next round goes on from its residual
            self._note(cg, least, begun)
            self._spend(expected)
            if steps == 0:
                break
        return cg.x

    def _expected(self, cg, least, begun):
        """Products to the end of the round that began with so many if it goes on as it went: the logarithm of the energy
        falls by equal steps. Infinite where it has not fallen yet, as happens at first: no forecast."""
        if cg.energy <= least:
            return 0.0
        whole = -2.0 * math.log(ROUND_REDUCTION)
        gained = whole if least == 0.0 else whole + math.log(least) - math.log(cg.energy)
        return (self.n_iter - begun) * (whole / gained - 1.0) if gained > 0.0 else math.inf

    @cached_property
    def _order(self):
        """The Gauss-Seidel sweep of a stored chain without detailed balance; None where Jacobi's is used."""
        if self.matrix is None or self.is_reversible:
            return None
        forecast_memory(16 * self.scaled.n_states, "the order of a Gauss-Seidel sweep")
        sweep = _core.Sweep(
            self.matrix, self.scaled.row, self.scaled.col, self._mask, self.exit_rate
        )
        pace, done = Pacer(), False
        while not done:
            with pace:
                done = sweep.expand(pace.size)
            self._task[-1](self.n_iter)
        return sweep

    def _sweep(self, r):
        """T^-1 r, with T the part of M that is solved directly: its diagonal, or a triangle by Gauss-Seidel."""
        if self._order is None:
            return r / self.exit_rate
        self.n_iter += 1
        x, begin, pace = np.zeros_like(r), 0, self._sweep_pace
        while begin < self.n_inside:
            end = min(begin + pace.size, self.n_inside)
            with pace:
                self._order.apply(r, x, begin, end)
            begin = end
            self._task[-1](self.n_iter)
        return x

    def _bicgstab(self, r):
        """M^-1 r by BiCGSTAB, preconditioned by a sweep from the right."""
        from scipy.sparse.linalg import LinearOperator, bicgstab

        self.method = "bicgstab"
        n, out = self.scaled.n_states, np.empty(self.scaled.n_states)

        def apply(x):
            self.n_iter += 1
            self._spend()
            x = self._sweep(np.where(self.inside, np.ravel(x), 0.0))
            _core.scaled_difference(self.scaled.operator, x, out, 1, self.threads)
            return np.where(self.inside, out, 0.0)

        operator = LinearOperator((n, n), matvec=apply, dtype=np.float64)
        steps = (self.limit - self.n_iter) // (2 if self._order is None else 4)
        with np.errstate(
            all="ignore"
        ):  # a recurrence that leaves the range of a double has nothing to offer: below
            x, _ = bicgstab(
                operator, r, rtol=ROUND_REDUCTION, atol=0.0, maxiter=max(1, min(2000, steps))
            )
        return self._sweep(x) if np.isfinite(x).all() else np.zeros(n)

    # --- elimination ----------------------------------------------------------------------------------------------------

    def prepare(self, monitor):
        """Eliminates B where time and memory allow, whatever iteration would do; whether it did."""
        if self._elimination is None and self._feasible(monitor):
            self._factorize(monitor)
        return self._elimination is not None

    def _feasible(self, monitor=None):
        """Whether B can be eliminated in time and memory; orders it at the first call."""
        if self._searched:
            return self._symbolic is not None
        self._searched = True
        if self.matrix is None:
            return False
        try:  # the rates both ways, the lists of the order and its work space
            forecast_memory(
                40 * self.matrix.nnz + 150 * self.n_inside, "the order of an elimination"
            )
        except MemoryForecastError:
            return False
        monitor = self._task[-1] if monitor is None else monitor
        number = np.where(self.inside, np.cumsum(self.inside) - 1, -1).astype(np.int32)
        self._rates = _core.rates(
            self.matrix,
            self.scaled.pattern.transpose,
            self.scaled.row,
            self.scaled.col,
            number,
            self.n_inside,
            1,
            self.threads,
        )
        search = _core.MinimumDegree(*self._rates[:2])
        while not search.expand(20_000):
            monitor(self.n_iter)
        symbolic = search.supernodes(MAX_ENTRIES)
        if symbolic is None or symbolic[-1]["n_flops"] > MAX_FLOPS:
            return False
        try:
            forecast_memory(
                8 * (symbolic[-1]["n_factor"] + symbolic[-1]["n_stack"]), "the elimination"
            )
        except MemoryForecastError:
            return False
        self._symbolic = symbolic
        return True

    def _factorize(self, monitor):
        indptr, indices, out_rate, in_rate, leak = self._rates
        elimination = _core.Elimination(
            indptr, indices, out_rate, in_rate, np.ascontiguousarray(leak[:, 0]), self._symbolic
        )
        try:
            while not elimination.expand(ENTRIES_PER_CALL * FLOPS_PER_ENTRY, self.threads):
                monitor(self.n_iter)
        except (
            ArithmeticError
        ):  # a state whose transitions out underflowed to zero: nothing can be told
            self._symbolic = None
            return
        self._elimination, self.method = elimination, "elimination"

    def _eliminate(self, relative):
        b, tol, _, _, monitor = self._task
        if self._elimination is None:
            self._factorize(monitor)
        if self._elimination is None:
            return
        self.method = "elimination"
        x = self._eliminated(b)
        if not np.isfinite(x).all():
            return
        at = self._accept(x, np.zeros_like(x), self.elimination_bound(float(x.max())))
        if relative:
            self.best = at
            return
        while (
            self.error(self.best) > tol and at.size > tol
        ):  # what rounding left over; ends where it does not shrink
            before = at.size
            at = self._moved(at, self._eliminated(at.r))
            monitor(self.n_iter, residual=self.best.size)
            if not at.size < 0.5 * before:
                break

    def eliminate(self, b):
        """M^-1 b for a block (n_inside, width) on the states of B alone."""
        return self._elimination.solve(b)

    def _eliminated(self, b):
        x = np.zeros(self.scaled.n_states)
        x[self.inside] = self.eliminate(np.ascontiguousarray(b[self.inside])[:, None])[:, 0]
        return x

    def elimination_bound(self, largest):
        """The relative error, to first order, of the x >= 0 that elimination finds, `largest` its largest entry.

        Six half-ulps, twice, for each row next to a pivot, and the entries' own rounding (eliminate.h). A product that
        underflows is off by 5e-324: like any absolute change of a rate it moves x by at most that, times the time spent at
        the rate's state, times the largest x; times n^2 for all products (x >= M^-1 1 up to a factor, or absolute error).
        """
        rounding = 12.0 * UNIT * (self._symbolic[-1]["n_entries"] + 2.0 * self.n_inside)
        return rounding + (
            1e-323 * float(self.n_inside) ** 2 * largest if self._elimination.underflow else 0.0
        )

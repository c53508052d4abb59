"""Corrections M^-1 r for the refinement of M x = b, M = I - P_BB: conjugate gradients for
reversible chains, BiCGSTAB for others.

Conjugate gradients run on D - F = diag(weight) M in flux form (`ebm_precond_t` in the C core):
weight r is a flux, and a correction is one of the solution itself. They are flexible: a
preconditioner needs to be symmetric only up to rounding. They change over to a multigrid
preconditioner when they expect to be slow, which shows in the convergence of a case and not in its
size.

Without detailed balance one Gauss-Seidel sweep, in depth-first postorder, preconditions BiCGSTAB:
one sweep solves exactly for the states to which no transition leads back.
"""

import math
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from .. import _core
from .._runtime.memory import forecast_memory
from .._runtime.pacing import ENTRIES_PER_CALL, Pacer, paced_ranges, run_paced
from .._runtime.types import FloatArray
from ..errors import MemoryForecastError
from .bicgstab import BicgstabState, bicgstab
from .elimination import SparseElimination
from .iterate import Iterate
from .multigrid import hierarchy
from .restriction import Restriction, SolveTask

# Conjugate gradients change over to a multigrid preconditioner after this many products if they
# expect to need at least so many more.
MULTIGRID_AFTER, MULTIGRID_MIN_LEFT = 60, 60
# Products of a cycle on the finest level and of the step around it.
MULTIGRID_PRODUCTS = 3
# A round of conjugate gradients reduces the weighted residual by this factor before the residual of
# the unsymmetrised system is evaluated.
ROUND_REDUCTION = 1e-7
# BiCGSTAB ends a round earlier, at this part of the wanted residual: sweeps do the rest.
BICGSTAB_GOAL = 1e-2
# Fixed-point sweeps repair states of tiny stationary mass, which have little weight in the weighted
# norm. They go on as long as one reduces the residual to the first part, and end at the second part
# of the wanted residual: they are in plain doubles, and its certificate has rounding of its own.
SWEEP_GAIN, SWEEP_GOAL = 0.9, 0.5
# Steps of BiCGSTAB in a round at most.
MAX_BICGSTAB = 2000

#: should_stop(left): reports progress; returns whether elimination is cheaper than `left` more
#: products.
ShouldStop: TypeAlias = Callable[[float], bool]
#: Called wherever the recurrence can be saved, with a function that returns its arrays.
Save: TypeAlias = Callable[[Callable[[], dict[str, Any]]], None]


class FluxForm(NamedTuple):
    """D - F = diag(weight) M."""

    weight: FloatArray
    F: _core.Scaled
    jacobi: _core.Jacobi


class FluxConjugateGradients:
    """M^-1 r of a reversible chain by conjugate gradients on D - F.

    Parameters
    ----------
    matrix : Restriction
        M.
    elimination : SparseElimination
        Its `pause` limits each call into the core, so that elimination is considered in time.
    limit : int
        Products at most.
    """

    def __init__(self, matrix: Restriction, elimination: SparseElimination, limit: int) -> None:
        self.matrix, self.elimination, self.limit = matrix, elimination, limit
        self._multigrid: _core.Multigrid | None = None
        self._was_coarsened = False  # whether a hierarchy was tried
        self._saved: Mapping[str, Any] | None = None  # the recurrence to go on from

    @property
    def method(self) -> str:
        return "conjugate gradients" + (" with multigrid" if self._multigrid is not None else "")

    @property
    def multigrid_flag(self) -> float:
        """For a checkpoint: -1 before a hierarchy was tried, then whether there is one."""
        return float(self._multigrid is not None) if self._was_coarsened else -1.0

    def restore(self, multigrid_flag: float, saved: Mapping[str, Any] | None) -> None:
        """Go on with the same preconditioner, and within a recurrence if one was saved."""
        self._was_coarsened, self._multigrid = multigrid_flag >= 0, None
        if multigrid_flag > 0:
            self._multigrid = self._coarsen()
        self._saved = saved

    @cached_property
    def _flux(self) -> FluxForm:
        M = self.matrix
        # not log pi: a reversible chain may have several classes
        log_measure = M.scaled.log_measure
        # states outside may have a far larger measure
        weight = np.exp(np.where(M.inside, log_measure - log_measure[M.inside].max(), -np.inf))
        row = weight if M.scaled.row is None else weight * M.scaled.row
        F = _core.Scaled(M.scaled.operator.kernel, row, M.scaled.col)
        return FluxForm(weight, F, _core.Jacobi(weight * M.exit_rate))

    def _coarsen(self) -> _core.Multigrid | None:
        """The multigrid preconditioner of D - F, or None where aggregation does not pay."""
        M, F = self.matrix, self._flux.F
        if M.matrix is None:
            return None
        mask, leak = M.inside.astype(np.float64), np.empty(M.n_states)
        # the flow from the indicator function of B to its complement
        _core.scaled_difference(F, mask, leak, 1, M.threads)
        right = mask if M.scaled.col is None else mask * M.scaled.col
        try:
            flow = _core.Flow(M.matrix, F.row, right)
            return hierarchy(flow, np.where(M.inside, leak, 0.0), M.threads)
        except MemoryForecastError:
            return None

    def correction(
        self, r: FloatArray, task: SolveTask, should_stop: ShouldStop, save: Save
    ) -> FloatArray | None:
        """M^-1 r to ROUND_REDUCTION in the weighted norm, or until the unsymmetrised residual is
        small; None if should_stop ended it, zero if it left the range of a double."""
        try:
            return self._correction(r, task, should_stop, save)
        except ArithmeticError:
            return np.zeros_like(r)

    def _correction(
        self, r: FloatArray, task: SolveTask, should_stop: ShouldStop, save: Save
    ) -> FloatArray | None:
        M, limit = self.matrix, self.limit
        weight, F, jacobi = self._flux
        precond = self._multigrid if self._multigrid is not None else jacobi
        cg = _core.ConjugateGradients(F, precond, weight, weight * r, M.threads)
        target, least = 0.3 * task.tol * task.absolute, cg.energy * ROUND_REDUCTION**2
        begun: float = M.n_products
        if self._saved is not None:
            saved, self._saved = self._saved, None
            energy, worst, least, begun = [float(number) for number in saved["inner"]]
            cg.restore(saved["x"], saved["r"], saved["p"], energy, worst)
            if should_stop(self._expected(cg, least, begun)):
                return None
        each = MULTIGRID_PRODUCTS if self._multigrid is not None else 1
        per_call = max(1, ENTRIES_PER_CALL // (each * M.entries_per_product))

        def recurrence() -> dict[str, Any]:
            x, r, p, energy, worst = cg.state()
            return {"x": x, "r": r, "p": p, "inner": np.array([energy, worst, least, begun])}

        while cg.worst > target and cg.energy > least and M.n_products < limit:
            until = min(limit, max(self.elimination.pause, M.n_products + 1))
            if not self._was_coarsened:
                until = min(until, max(MULTIGRID_AFTER, M.n_products + 1))
            n_steps = int(min(per_call, max(1, (until - M.n_products) // each)))
            steps = cg.expand(n_steps, target, least)
            M.n_products += steps * each
            expected = self._expected(cg, least, begun)
            if not self._was_coarsened and M.n_products >= MULTIGRID_AFTER:
                self._multigrid = self._coarsen() if expected > MULTIGRID_MIN_LEFT else None
                self._was_coarsened = True
                if self._multigrid is not None:
                    break  # what was found is kept; the next round goes on from its residual
            save(recurrence)
            if should_stop(expected):
                return None
            if steps == 0:
                break
        return cg.x

    def _expected(self, cg: _core.ConjugateGradients, least: float, begun: float) -> float:
        """Products to the end of the round, which began after `begun` products, if the logarithm of
        the energy goes on to fall by equal steps. Infinite where it has not fallen yet, as happens
        at first: no forecast."""
        if cg.energy <= least:
            return 0.0
        whole = -2.0 * math.log(ROUND_REDUCTION)
        gained = whole if least == 0.0 else whole + math.log(least) - math.log(cg.energy)
        done = self.matrix.n_products - begun
        return done * (whole / gained - 1.0) if gained > 0.0 else math.inf


class Splitting:
    """T^-1 r, with T the part of M that is solved for directly: the diagonal, or for a stored chain
    without detailed balance a triangle (Gauss-Seidel)."""

    def __init__(self, matrix: Restriction) -> None:
        self.matrix, self._pacer = matrix, Pacer()
        self._sweep: _core.Sweep | None = None

    @property
    def is_gauss_seidel(self) -> bool:
        return self.matrix.matrix is not None and not self.matrix.is_reversible

    def _ordered(self, task: SolveTask) -> _core.Sweep:
        """The sweep, whose order is found at the first call."""
        if self._sweep is None:
            M = self.matrix
            assert M.matrix is not None
            forecast_memory(16 * M.n_states, "the order of a Gauss-Seidel sweep")
            sweep = _core.Sweep(M.matrix, M.scaled.row, M.scaled.col, M.mask, M.exit_rate)

            def expand(n_entries: int) -> bool:
                done = sweep.expand(n_entries)
                task.monitor(M.n_products)
                return done

            run_paced(expand)
            self._sweep = sweep
        return self._sweep

    def solve(self, r: FloatArray, task: SolveTask) -> FloatArray:
        """T^-1 r; a sweep counts as a product."""
        M = self.matrix
        if not self.is_gauss_seidel:
            solved: FloatArray = r / M.exit_rate
            return solved
        sweep = self._ordered(task)
        M.n_products += 1
        x = np.zeros_like(r)
        for begin, end in paced_ranges(M.n_inside, self._pacer):
            sweep.apply(r, x, begin, end)
            task.monitor(M.n_products)
        return x

    def sweeps(self, at: Iterate, task: SolveTask, most: int, limit: int) -> tuple[FloatArray, int]:
        """The sum of up to `most` sweeps from an iterate, within `limit` products, and their
        number. The first one starts from its certified residual; the others are for what is left of
        that, in plain doubles."""
        M, step, left = self.matrix, self.solve(at.r, task), np.empty_like(at.r)
        last, n = at.size, 1
        while n < most and M.n_products < limit:
            M.difference(step, left)
            M.n_products += 1
            with np.errstate(over="ignore", invalid="ignore"):  # then its size is inf
                left = np.where(M.inside, at.r - left, 0.0)
                size = task.measured(np.abs(left), at.hi + step)
            if size <= SWEEP_GOAL * task.tol or size > SWEEP_GAIN * last:
                break
            step += self.solve(left, task)
            last, n = size, n + 1
            task.monitor(M.n_products)
        return step, n


def bicgstab_correction(
    matrix: Restriction,
    splitting: Splitting,
    r: FloatArray,
    task: SolveTask,
    limit: int,
    should_stop: ShouldStop,
    saved: Mapping[str, Any] | None,
    save: Save,
) -> FloatArray | None:
    """M^-1 r by BiCGSTAB, preconditioned by a sweep from the right; None if should_stop ended it.
    It goes on from what `save` was called with, if that is `saved`."""
    out = np.empty(matrix.n_states)

    def apply(x: FloatArray) -> FloatArray | None:
        matrix.n_products += 1
        if should_stop(math.nan):
            return None
        x = splitting.solve(np.where(matrix.inside, x, 0.0), task)
        matrix.difference(x, out)
        return np.where(matrix.inside, out, 0.0)

    state = None if saved is None else BicgstabState.of(saved)
    if saved is None or state is None:
        state = BicgstabState.begin(r)
        steps = (limit - matrix.n_products) // (4 if splitting.is_gauss_seidel else 2)
        steps = max(1, min(MAX_BICGSTAB, steps))
    else:
        steps = int(saved["max_steps"])

    def step_done(state: BicgstabState) -> None:
        save(lambda: state.arrays() | {"max_steps": np.array(steps)})

    reduction = max(ROUND_REDUCTION, BICGSTAB_GOAL * min(task.tol, 1.0))
    # a recurrence that leaves the range of a double finds nothing: see below
    with np.errstate(all="ignore"):
        x = bicgstab(state, apply, reduction * float(np.linalg.norm(r)), steps, step_done)
    if x is None:
        return None
    return splitting.solve(x, task) if np.isfinite(x).all() else np.zeros(matrix.n_states)

"""Soft policy iteration: Newton's method for the fixed point of T on a set B of states that the
policy leaves, and for the Perron vector of M.

T is convex, and its derivative at v is the policy P_v. So ``v + (I - P_v)^-1 (T v - v)`` is the
value of P_v, which is below the optimum: from the first step on the iterates increase to it,
quadratically at the end (Howard 1960; Puterman & Brumelle 1979). Each step is a linear system of
hitting-time type (`linalg.m_matrix`); no iterate, and no accuracy of a solve, is a claim: bounds
are computed from the last iterate in `certificate`.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .._runtime.resumable import forget_stages
from .._runtime.types import BoolArray, FloatArray
from ..linalg.iterate import Iterate
from ..linalg.m_matrix import MMatrixSystem
from ..linalg.restriction import MAX_SMALL
from ..patterns.scaled_pattern import ScaledPattern
from .log_kernel import LogKernel
from .perron_cycles import Report, improve

# A computed pattern of up to so many entries is written out: then a slow solve can be by
# elimination, and conjugate gradients by multigrid.
MAX_WRITTEN_OUT = 5_000_000
# Newton steps at most.
MAX_STEPS = 100
# Relative residual of a solve. Elimination, where it comes first, finds more.
STEP_TOL = 1e-6
# After a step of this size, times the root of the largest log below one, the next one ends the
# iteration where every solve is by elimination: its error is about the square, times the mean time
# to the exit.
LAST_STEP = 1e-9
# Steps above this size need not shrink: far from the optimum a better policy may have a larger one.
SETTLED = 1e-3
# Sweeps v <- T v before the first Newton step, and at most, as long as they pay.
FIRST_SWEEPS, MAX_SWEEPS = 16, 1000
# Cycles that do not halve the width of the ends before the power steps and cycles end.
MAX_IDLE = 6
# Newton steps before which the anchored state of a Perron vector is chosen anew.
ANCHORED = (0, 1, 3, 6)


@dataclass(eq=False)
class PolicyStep:
    """An iterate with its policy.

    Attributes
    ----------
    v, Tv : ndarray (n_states,)
    rho : ndarray (n_states,)
        T v - v.
    policy : ScaledPattern
        P_v.
    system : MMatrixSystem
        I - P_v on B.
    rounding : float
        See `LogKernel.rounding`.
    """

    v: FloatArray
    Tv: FloatArray
    rho: FloatArray
    policy: ScaledPattern
    system: MMatrixSystem
    rounding: float

    def solve(self, b: FloatArray, tol: float, report: Report) -> FloatArray | None:
        """(I - P_BB)^-1 b, see `solve_signed`."""
        return solve_signed(self.system, b, tol, report)


def solve_signed(
    system: MMatrixSystem, b: FloatArray, tol: float, report: Report
) -> FloatArray | None:
    """M^-1 b, zero outside B, as accurate as `tol` asks or elimination gives; None if nothing is
    known of it. Where elimination comes first, both signs are solved for alone: it then takes no
    difference."""
    size = float(np.abs(b[system.inside]).max(initial=0.0))
    if size == 0.0:
        return np.zeros(len(b))
    scaled = np.where(system.inside, b / size, 0.0)
    if system.n_inside > MAX_SMALL:
        found = system.solve(scaled, tol, _quiet(report), least=-math.inf)
        return size * found.hi if _is_useful(found) else None
    total = np.zeros(len(b))
    for sign in (1.0, -1.0):
        part = np.maximum(sign * scaled, 0.0)
        if part.any():
            found = system.solve(part, tol, _quiet(report))
            if not _is_useful(found):
                return None
            total += sign * size * found.hi
    return total


def exit_times(system: MMatrixSystem, tol: float, report: Report) -> FloatArray | None:
    """M^-1 1, the mean times to leave B; None if nothing is known of them."""
    ones = np.where(system.inside, 1.0, 0.0)
    found = system.solve(ones, tol, _quiet(report), start=ones, least=1.0)
    return found.hi if found.size < 1.0 or math.isfinite(found.bound) else None


def _is_useful(found: Iterate) -> bool:
    return bool(np.isfinite(found.hi).all() and found.hi.any())


def _quiet(report: Report) -> Report:
    """A report without the residual of a solve, which is none of the value."""
    return lambda done, **_: report()


def policy_system(
    policy: ScaledPattern, inside: BoolArray, limit: int, threads: int
) -> MMatrixSystem:
    """I - P_BB of a policy."""
    system = MMatrixSystem(policy, inside, limit, threads)
    if policy.pattern.nnz <= MAX_WRITTEN_OUT:
        system.use_copy()
    return system


def step_at(kernel: LogKernel, v: FloatArray, inside: BoolArray, limit: int) -> PolicyStep:
    """The iterate v with its policy, to be improved on the states `inside`."""
    Tv = kernel.apply(v)
    policy = kernel.policy(v)
    system = policy_system(policy, inside, limit, kernel.threads)
    return PolicyStep(v, Tv, Tv - v, policy, system, kernel.rounding(v, Tv))


@dataclass(frozen=True, eq=False)
class _Place:
    """Where a search is: its iterate, steps, smallest size of a step so far, the widths of the
    sweeps, and what a search needs besides (whether the next step is the last one; the state that
    is anchored, or -1)."""

    v: FloatArray
    n_steps: int = 0
    before: float = math.inf
    widths: tuple[float, ...] = ()
    sweeps: bool = True
    mark: int = -1
    n_products: int = 0

    def state(self) -> dict[str, Any]:
        """Arrays for a checkpoint."""
        numbers = [self.n_steps, self.before, float(self.sweeps), self.mark, self.n_products]
        return {"v": self.v, "numbers": np.array(numbers), "widths": np.array(self.widths)}

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> "_Place":
        n_steps, before, sweeps, mark, products = state["numbers"].tolist()
        widths = tuple(state["widths"].tolist())
        return cls(state["v"], int(n_steps), before, widths, bool(sweeps), int(mark), int(products))


class PolicySearch:
    """Base of the searches: `at` is where one is, and changes in one assignment, so that Ctrl-C
    leaves a state from which `restore` goes on with the same bits.

    Parameters
    ----------
    kernel : LogKernel
    v : ndarray (n_states,)
        The start.
    tol : float
    limit : int
        Largest number of products of a linear solve.
    """

    def __init__(self, kernel: LogKernel, v: FloatArray, tol: float, limit: int) -> None:
        self.kernel, self.tol, self.limit = kernel, tol, limit
        self.at = _Place(v)

    def state(self) -> dict[str, Any]:
        """Arrays from which `restore` goes on."""
        return self.at.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state()`."""
        self.at = _Place.of(state)
        self.kernel.n_products = self.at.n_products

    def _move(self, place: _Place) -> None:
        self.at = replace(place, n_products=self.kernel.n_products)


class FixedPointSearch(PolicySearch):
    """v = T v on B; outside, v is given."""

    def run(self, inside: BoolArray, report: Report, check: Callable[[int], None]) -> PolicyStep:
        """Newton steps until one is below `tol`, or they no longer shrink. check(n_steps) is called
        after each, and may raise where there is no fixed point."""
        while True:
            at = self.at
            if at.n_steps:  # here, so that a call that continues checks, too
                check(at.n_steps)
            step = step_at(self.kernel, at.v, inside, self.limit)
            d = step.solve(step.rho, STEP_TOL, report)
            if d is None:  # the policy is trapped, to the precision of a double: sweep
                size, d = math.inf, np.where(inside, step.rho, 0.0)
            else:
                size = float(np.abs(d).max(initial=0.0))
            report(step=size)
            is_exact = step.system.method == "elimination"
            is_stalled = at.n_steps > 6 and at.before <= size < SETTLED
            if at.mark == 1 or size == 0.0 or is_stalled or at.n_steps >= MAX_STEPS:
                return step
            if size <= self.tol and not is_exact:
                return step
            scale = math.sqrt(min(1.0, float(np.abs(at.v).max())))
            last = 1 if is_exact and size <= LAST_STEP * scale else -1
            self._move(_Place(at.v + d, at.n_steps + 1, min(at.before, size), mark=last))
            forget_stages()  # the new place covers the solves before it


class PerronSearch(PolicySearch):
    """v with M exp(v) = lambda exp(v) on an irreducible chain, zero at one state, B all others.

    Power steps and Krylov cycles (`perron_cycles`), as long as they pay; then Newton steps, which
    need no gap."""

    def run(
        self,
        report: Report,
        save: Callable[[], None] = lambda: None,
        is_decided: Callable[[float, float], bool] = lambda low, high: False,
    ) -> PolicyStep:
        """The last iterate; is_decided(low, high) says whether the ends of log lambda are
        enough."""
        while self.at.sweeps:
            self._sweep(report, is_decided)
            save()
        while True:
            at = self.at
            anchor = at.mark
            if at.n_steps in ANCHORED or anchor < 0:
                anchor = frequent_state(self.kernel, at.v)
            v = at.v - at.v[anchor]
            inside = np.arange(self.kernel.n_states) != anchor
            step = step_at(self.kernel, v, inside, self.limit)
            low, high = float(step.rho.min()), float(step.rho.max())
            report(width=high - low)
            is_exact = step.system.n_inside <= MAX_SMALL
            goal = max(0.0 if is_exact else self.tol, 4.0 * step.rounding)
            is_stalled = at.n_steps > 6 and SETTLED > high - low >= 0.9 * at.before
            is_stalled |= at.n_steps >= MAX_STEPS
            if high - low <= goal or is_decided(low, high) or is_stalled:
                return step
            d = self._correction(step, anchor, report)
            v = np.logaddexp(step.Tv, v + high) if d is None else v + d
            self._move(_Place(v, at.n_steps + 1, min(at.before, high - low), (), False, anchor))
            save()

    def _correction(self, step: PolicyStep, anchor: int, report: Report) -> FloatArray | None:
        """The change of v by which P_v, evaluated, has the value v + d up to a constant: the
        solution of Poisson's equation d = rho - g + P d, d(anchor) = 0."""
        rho = step.rho - 0.5 * float(step.rho.max() + step.rho.min())
        drift = step.solve(rho, STEP_TOL, report)
        times = exit_times(step.system, STEP_TOL, report)
        if drift is None or times is None:
            return None
        after = (step.policy.apply(x, num_threads=self.kernel.threads) for x in (drift, times))
        up, down = (float(x[anchor]) for x in after)
        change: FloatArray = drift - float(rho[anchor] + up) / (1.0 + down) * times
        return change

    def _sweep(self, report: Report, is_decided: Callable[[float, float], bool]) -> None:
        """A power step; of a periodic chain one of (M + lambda I) / 2. After every FIRST_SWEEPS of
        them that would not suffice soon, a Krylov cycle."""
        at, kernel = self.at, self.kernel
        Tv = kernel.apply(at.v)
        rho = Tv - at.v
        low, high = float(rho.min()), float(rho.max())
        widths, n = (*at.widths, high - low), len(at.widths) + 1
        report(width=high - low)
        done = high - low <= max(self.tol, 4.0 * kernel.rounding(at.v, Tv))
        done |= is_decided(low, high)
        is_periodic = bool((kernel.chain._scaled.classes[2] != 1).any())
        v = np.logaddexp(Tv, at.v + 0.5 * (low + high)) if is_periodic else Tv
        if not done and n > FIRST_SWEEPS and n % FIRST_SWEEPS == 1:
            before = widths[-1 - FIRST_SWEEPS]
            rate = (widths[-1] / before) ** (1.0 / FIRST_SWEEPS)
            left = math.log(self.tol / widths[-1]) / math.log(rate) if rate < 1.0 else math.inf
            is_idle = n > MAX_SWEEPS or (
                n > MAX_IDLE * FIRST_SWEEPS
                and min(widths[-MAX_IDLE * FIRST_SWEEPS :])
                > 0.5 * min(widths[: -MAX_IDLE * FIRST_SWEEPS])
            )
            done = kernel.n_states <= MAX_SMALL or is_idle
            if not done and left > FIRST_SWEEPS:
                v = v + improve(kernel, v, report)
        if done:
            self._move(replace(at, widths=widths, sweeps=False))
        else:
            self._move(replace(at, v=v - v.max(), widths=widths))


def frequent_state(kernel: LogKernel, v: FloatArray) -> int:
    """A state that the policy P_v visits often: the most frequent one where its law is in closed
    form, else after some steps from the uniform law."""
    policy = kernel.policy(v)
    if policy.pattern.potential is not None:
        return int(np.argmax(policy.log_measure))
    pi = np.full(kernel.n_states, 1.0 / kernel.n_states)
    for _ in range(FIRST_SWEEPS):
        pi = 0.5 * (pi + policy.apply(pi, transposed=True, num_threads=kernel.threads))
    return int(np.argmax(pi))

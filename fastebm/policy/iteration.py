"""Soft policy iteration: Newton's method for the fixed point of T on a set B of states that the
policy leaves, and for the Perron vector of M.

T is convex, and its derivative at v is the policy P_v. So ``v + (I - P_v)^-1 (T v - v)`` is the
value of P_v, which is below the optimum: from the first step on the iterates increase to it,
quadratically at the end (Howard 1960; Puterman & Brumelle 1979). Each step is a linear system of
hitting-time type (`linalg.m_matrix`); no iterate, and no accuracy of a solve, is a claim: bounds
are computed from the last iterate in `certificate`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .._runtime.types import BoolArray, FloatArray
from ..linalg.m_matrix import MMatrixSystem
from ..patterns.scaled_pattern import ScaledPattern
from .log_kernel import LogKernel

# Newton steps at most.
MAX_STEPS = 200
# Relative residual of a solve. Elimination, where it comes first, finds more.
STEP_TOL = 1e-6
# After a step of this size the next one ends the iteration where every solve is by elimination:
# convergence is quadratic.
LAST_STEP = 1e-7
# Sweeps v <- T v before the first Newton step, and at most, as long as they pay.
FIRST_SWEEPS, MAX_SWEEPS = 16, 400

#: report(width): called after every piece of work.
Report = Callable[..., None]


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
    known of it."""
    total = np.zeros(len(b))
    for sign in (1.0, -1.0):
        part = np.where(system.inside, np.maximum(sign * b, 0.0), 0.0)
        size = float(part.max(initial=0.0))
        if size == 0.0:
            continue
        found = system.solve(part / size, tol, _quiet(report))
        if not np.isfinite(found.hi).all() or not found.hi.any():
            return None
        total += sign * size * found.hi
    return total


def _quiet(report: Report) -> Report:
    """A report without the residual of a solve, which is none of the value."""
    return lambda done, **_: report()


def step_at(
    kernel: LogKernel, v: FloatArray, inside: BoolArray, limit: int
) -> PolicyStep:
    """The iterate v with its policy, to be improved on the states `inside`."""
    Tv = kernel.apply(v)
    policy = kernel.policy(v)
    system = MMatrixSystem(policy, inside, limit, kernel.threads)
    return PolicyStep(v, Tv, Tv - v, policy, system, kernel.rounding(v, Tv))


def to_fixed_point(
    kernel: LogKernel,
    v: FloatArray,
    inside: BoolArray,
    tol: float,
    limit: int,
    report: Report,
    check: Callable[[int, FloatArray], None],
) -> PolicyStep:
    """v = T v on B; outside, v is given. Stops when a Newton step is below `tol`, or no longer
    shrinks. check(n_steps, v) is called after each step, and may raise where there is no fixed
    point."""
    before, last = np.inf, False
    for n_steps in range(MAX_STEPS):
        step = step_at(kernel, v, inside, limit)
        d = step.solve(step.rho, STEP_TOL, report)
        if d is None:  # the policy is trapped to the precision of a double: sweep
            v = np.where(inside, step.Tv, v)
            check(n_steps, v)
            continue
        size = float(np.abs(d).max(initial=0.0))
        report(step=size)
        exact = step.system.method == "elimination" or not inside.any()
        if last or size == 0.0 or (size <= tol and not exact):
            break
        if size <= LAST_STEP and exact:
            last = True
        if n_steps > 8 and size >= before and size < 1e-3:
            break
        before, v = min(before, size), v + d
        check(n_steps, v)
    return step


def perron_vector(
    kernel: LogKernel,
    v: FloatArray,
    tol: float,
    limit: int,
    report: Report,
    keep: Callable[[FloatArray], None] = lambda v: None,
    decided: Callable[[float, float], bool] = lambda low, high: False,
) -> PolicyStep:
    """v with M exp(v) = lambda exp(v) on an irreducible chain, zero at one state, B all others.

    decided(low, high): whether the ends of log lambda at hand are enough.
    """
    v, width = _swept(kernel, v, tol, report, keep, decided)
    anchor, before = None, np.inf
    for n_steps in range(MAX_STEPS):
        if anchor is None or n_steps in (1, 3, 6):
            anchor = _frequent_state(kernel, v)
        v = v - v[anchor]
        inside = np.arange(kernel.n_states) != anchor
        step = step_at(kernel, v, inside, limit)
        low, high = float(step.rho.min()), float(step.rho.max())
        width = high - low
        report(width=width)
        is_exact = step.system.n_inside <= 1000
        goal = 4.0 * step.rounding if is_exact else max(tol, 4.0 * step.rounding)
        if width <= goal or decided(low, high) or (n_steps > 6 and width >= 0.9 * before):
            break
        d = _perron_correction(kernel, step, anchor, report)
        if d is None:
            v = np.logaddexp(step.Tv, v + high)
            continue
        before, v = min(before, width), v + d
        keep(v)
    return step


def _perron_correction(
    kernel: LogKernel, step: PolicyStep, anchor: int, report: Report
) -> FloatArray | None:
    """The change of v by which P_v, evaluated, has the value v + d up to a constant: the solution
    of Poisson's equation d = rho - g + P d, d(anchor) = 0."""
    middle = 0.5 * float(step.rho.max() + step.rho.min())
    rho = step.rho - middle
    drift = step.solve(rho, STEP_TOL, report)
    ones = np.where(step.system.inside, 1.0, 0.0)
    times = step.solve(ones, STEP_TOL, report)
    if drift is None or times is None:
        return None
    threads = kernel.threads
    gain = (rho[anchor] + _row(step.policy, drift, anchor, threads)) / (
        1.0 + _row(step.policy, times, anchor, threads)
    )
    return drift - gain * times


def _row(policy: ScaledPattern, x: FloatArray, at: int, threads: int) -> float:
    return float(policy.apply(x, num_threads=threads)[at])


def _swept(
    kernel: LogKernel,
    v: FloatArray,
    tol: float,
    report: Report,
    keep: Callable[[FloatArray], None],
    decided: Callable[[float, float], bool],
) -> tuple[FloatArray, float]:
    """Power steps as long as they pay; of a periodic chain those of (M + lambda I) / 2."""
    widths: list[float] = []
    is_periodic = bool((kernel.chain._scaled.classes[2] != 1).any())
    for n_sweeps in range(MAX_SWEEPS):
        Tv = kernel.apply(v)
        rho = Tv - v
        low, high = float(rho.min()), float(rho.max())
        widths.append(high - low)
        report(width=widths[-1])
        if widths[-1] <= max(tol, 4.0 * kernel.rounding(v, Tv)) or decided(low, high):
            break
        if n_sweeps >= FIRST_SWEEPS and n_sweeps % FIRST_SWEEPS == 0:
            rate = (widths[-1] / widths[-1 - FIRST_SWEEPS]) ** (1.0 / FIRST_SWEEPS)
            left = np.log(tol / widths[-1]) / np.log(rate) if rate < 1.0 else np.inf
            if kernel.n_states <= 1000 or left > MAX_SWEEPS - n_sweeps:
                break
        v = np.logaddexp(Tv, v + 0.5 * (low + high)) if is_periodic else Tv
        v = v - v.max()
        keep(v)
    return v, widths[-1]


def _frequent_state(kernel: LogKernel, v: FloatArray) -> int:
    """A state that the policy P_v visits often: the most frequent one where its law is in closed
    form, else after some steps from the uniform law."""
    policy = kernel.policy(v)
    if policy.pattern.potential is not None:
        return int(np.argmax(policy.log_measure))
    pi = np.full(kernel.n_states, 1.0 / kernel.n_states)
    for _ in range(FIRST_SWEEPS):
        after = policy.apply(pi, transposed=True, num_threads=kernel.threads)
        pi = 0.5 * (pi + after)
    return int(np.argmax(pi))

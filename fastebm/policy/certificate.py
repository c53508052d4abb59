"""Proven ends of values, path KLs and rates, from the last iterate of a policy iteration.

Let z = exp(v) h be the solution of ``z = M_BB z + b``, P = P_v and rho = T v - v. Then
``h - 1 = E P_BB (h - 1) + (E - 1)`` on B with E = exp(rho), and N = I - E P_BB is an M-matrix
if some t > 0 has s = N t > 0 (which also proves that the spectral radius of M_BB is below one: it
is similar to E P_BB). So ``-max((1 - E) / s) t <= h - 1 <= max((E - 1) / s) t``: the certificate of
hitting times, in logs. t is found by one more solve, and s is evaluated for it.

The entries of the optimal policy differ from those of P by a factor exp(eta) at most, eta from the
bounds on log h. What is summed along paths of P, such as a KL, is enclosed by its residual for the
optimal policy with the same t.
"""

import math
from dataclasses import dataclass

import numpy as np

from .. import _core
from .._runtime.types import FloatArray
from ..chains.law import KnownLaw
from ..linalg.m_matrix import MMatrixSystem
from ..linalg.restriction import MAX_SMALL
from ..linalg.rounding import UNIT
from ..patterns.scaled_pattern import ScaledPattern
from .iteration import PolicyStep, exit_times, frequent_state, solve_signed, step_at
from .log_kernel import LogKernel
from .perron_cycles import Report

# Relative residual of the solve for t: only signs are needed of it.
CRUDE = 0.1
# -p log(p / q) summed over a row is at most this where p < q.
ENTROPY_SLACK = 2.0 / math.e
# Relative residual of the solves of Poisson's equation, and how often they are repeated for what is
# left.
RATE_TOL, MAX_REFINED = 1e-8, 5
# A policy whose entries may change by more than a factor exp of this is not known at all.
MAX_CHANGE = 700.0


@dataclass(frozen=True, eq=False)
class FixedPointBounds:
    """Ends ``v - below <= log z <= v + above``.

    Attributes
    ----------
    below, above : ndarray (n_states,)
        Zero outside B; inf where nothing is proven.
    change : float
        eta: no log of an entry of the optimal policy differs by more from that of P_v.
    times : ndarray (n_states,)
        t.
    """

    below: FloatArray
    above: FloatArray
    change: float
    times: FloatArray

    def relative_error(self, v: FloatArray) -> float:
        """The largest error of log z relative to max(1, |v|)."""
        worst = np.maximum(self.below, self.above) / np.maximum(1.0, np.abs(v))
        return float(worst.max(initial=0.0))

    @property
    def is_proven(self) -> bool:
        """Whether there are ends at all."""
        return math.isfinite(self.change)


def enclose(
    kernel: LogKernel,
    step: PolicyStep,
    report: Report,
    *,
    low: float = 0.0,
    high: float = 0.0,
    tol: float = CRUDE,
) -> FixedPointBounds:
    """The ends of log z; for a Perron vector, `low` and `high` enclose log lambda, and z is that of
    M / lambda with the state outside B as exit. `tol` is for t."""
    inside, n = step.system.inside, kernel.n_states
    rho, error = step.rho, step.rounding
    most, least = (rho - low) + error, (rho - high) - error
    times = exit_times(step.system, tol, report)
    infinite = np.where(inside, np.inf, 0.0)
    unknown = FixedPointBounds(infinite, infinite, math.inf, np.zeros(n))
    if not inside.any():
        change = kernel.entry_rounding(error) + float(np.abs(rho).max(initial=0.0))
        return FixedPointBounds(np.zeros(n), np.zeros(n), change, np.zeros(n))
    if times is None or (times[inside] <= 0.0).any():
        return unknown
    entry = kernel.entry_rounding(error)
    slack = _slack(step.policy, times, max(float(most[inside].max()), 0.0) + entry, kernel.threads)
    if not (slack[inside] > 0.0).all():
        return unknown
    with np.errstate(over="ignore"):
        up = float((np.expm1(np.maximum(most, 0.0)[inside]) / slack[inside]).max())
    down = float((-np.expm1(np.minimum(least, 0.0)[inside]) / slack[inside]).max())
    outward = 1.0 + 8.0 * UNIT
    above = np.where(inside, np.log1p(up * outward * times) * outward, 0.0)
    with np.errstate(divide="ignore"):
        below = -np.log1p(-np.minimum(down * outward * times, 1.0)) * outward
    below = np.where(inside, below, 0.0)
    change = float(above.max() + below.max()) + entry
    change += max(float(most[inside].max()), -float(least[inside].min()), 0.0)
    return FixedPointBounds(below, above, change, times)


def _slack(policy: ScaledPattern, times: FloatArray, growth: float, threads: int) -> FloatArray:
    """(I - exp(growth) P) t, rounded down."""
    if not growth < MAX_CHANGE:
        return np.full(len(times), -np.inf)
    degree = policy.pattern.max_degree + 8.0
    after, slack = policy.apply(times, num_threads=threads), np.empty_like(times)
    _core.scaled_difference(policy.operator, times, slack, 1, threads)
    slack -= after * math.expm1(growth) * (1.0 + degree * UNIT)
    return np.asarray(slack - degree * UNIT * spread(policy, times, threads), np.float64)


@dataclass(frozen=True, eq=False)
class Summed:
    """What a policy earns along its paths, or a step: the value of an iterate with its ends."""

    value: FloatArray
    lower: FloatArray
    upper: FloatArray


def path_divergence(
    kernel: LogKernel, step: PolicyStep, bounds: FixedPointBounds, report: Report, tol: float
) -> Summed:
    """KL(path law of the optimal policy || path law of q) from every state until it leaves B."""
    inside, policy, threads = step.system.inside, step.policy, kernel.threads
    k, k_error = kernel.divergence(policy, step.v, step.Tv)
    K = step.solve(np.where(inside, k, 0.0), min(1e-3 * tol, 1e-9), report)
    K = np.zeros(kernel.n_states) if K is None else np.maximum(K, 0.0)
    K = np.where(inside, K, 0.0)
    off = residual_bound(policy, K, k, k_error, bounds.change, threads)
    if bounds.is_proven and inside.any():
        slack = _slack(policy, bounds.times, bounds.change, threads)
        if (slack[inside] > 0.0).all():
            reach = float((off / np.where(inside, slack, 1.0))[inside].max())
            reach *= 1.0 + 8.0 * UNIT
            error = np.where(inside, reach * bounds.times, 0.0) + 4.0 * UNIT * K
            return Summed(K, np.maximum(K - error, 0.0), K + error)
    unknown = np.where(inside, np.inf, 0.0)
    return Summed(K, np.zeros(kernel.n_states), K + unknown)


def residual_bound(
    policy: ScaledPattern,
    f: FloatArray,
    k: FloatArray,
    k_error: float,
    change: float,
    threads: int,
    rate: float | FloatArray = 0.0,
    discount: float = 1.0,
) -> FloatArray:
    """Bound of |k* + gamma P* f - f - rate| in every row, P* a policy whose entries differ from
    those of `policy` by a factor exp(change) at most, k* its KL from q, k that of `policy`."""
    if not change < MAX_CHANGE:
        return np.full(len(f), np.inf)
    degree = policy.pattern.max_degree + 8.0
    off = np.empty_like(f)
    _core.scaled_difference(policy.operator, f, off, 1, threads)  # (I - P) f
    moved = spread(policy, f, threads)
    res = np.abs(k - discount * off - (1.0 - discount) * f - rate)
    grown = math.expm1(change)
    extra = grown * (moved + k + ENTROPY_SLACK) + (1.0 + grown) * change
    rounding = degree * UNIT * (moved + k + np.abs(rate) + (1.0 - discount) * np.abs(f))
    return np.asarray((res + extra + rounding + k_error) * (1.0 + 8.0 * UNIT), np.float64)


def spread(policy: ScaledPattern, f: FloatArray, threads: int) -> FloatArray:
    """Bound of sum_y P(x, y) |f(y) - f(x)|."""
    squares = np.empty_like(f)
    _core.scaled_difference(policy.operator, f, squares, 2, threads)
    return np.sqrt(squares) * (1.0 + 1e-6)


@dataclass(frozen=True, eq=False)
class Rate:
    """A mean a step with its proven ends."""

    value: float
    lower: float
    upper: float


def law_mean(
    policy: ScaledPattern,
    earned: FloatArray,
    error: float,
    threads: int,
    *,
    change: float,
    is_divergence: bool = False,
) -> Rate:
    """`mean_rate` by the stationary law of the policy.

    Where it is reversible, so is the policy whose entries differ by a factor exp(change) at most,
    and its law is a measure in closed form with one such factor squared in every state: h P_v h of
    `enclose`, or the partition function of a tilt. Otherwise a law is a ratio of sums of products
    with one factor a row (Markov chain tree theorem)."""
    law = KnownLaw(policy, None).take(threads)
    factors = 2.0 if policy.pattern.potential is not None else 2.0 * policy.n_states
    pi = law.pi
    total = float(pi.sum())
    mean = float((pi * earned).sum()) / total
    exponent = math.log1p(law.error) + factors * change
    if not (law.converged and exponent < MAX_CHANGE):
        return Rate(mean, -math.inf, math.inf)
    spread = float(pi @ np.abs(earned - mean)) / total
    off = math.expm1(exponent) * spread * (1.0 + 1e-6) + error
    # each product, and two of NumPy's pairwise sums: 16 + 3 units in a block, one a level above
    sums = 2.0 * (24.0 + math.log2(len(pi)))
    off += (8.0 + sums) * UNIT * (float(np.abs(earned).max()) + abs(mean))
    if is_divergence:
        off += math.expm1(change) * (mean + off + ENTROPY_SLACK) + math.exp(change) * change
    return Rate(mean, mean - off, mean + off)


def mean_rate(
    policy: ScaledPattern,
    system: MMatrixSystem,
    earned: FloatArray,
    error: float,
    tol: float,
    report: Report,
    threads: int,
    *,
    times: FloatArray | None = None,
    change: float = 0.0,
    is_divergence: bool = False,
    largest: float = 0.0,
) -> Rate:
    """The stationary mean of `earned`, a number of each state, by Poisson's equation
    ``earned + P f - f = g``: whatever f is, g is between the smallest and the largest value of the
    left side. With `change`, that of a policy whose entries differ by a factor exp(change) at most,
    for which a KL (`is_divergence`), or the mean over a row of numbers up to `largest`, changes
    too. `times` are the mean times to the state outside B, if known.
    """
    anchor = int(np.argmin(system.inside))
    times = exit_times(system, RATE_TOL, report) if times is None else times
    f, rate = np.zeros_like(earned), 0.0
    best = None
    for _ in range(MAX_REFINED):
        off = np.empty_like(f)
        _core.scaled_difference(policy.operator, f, off, 1, threads)
        left, moved = earned - off, spread(policy, f, threads)
        slack = (policy.pattern.max_degree + 8.0) * UNIT * (moved + np.abs(earned)) + error
        width = float((left + slack).max() - (left - slack).min())
        if best is not None and not width < 0.9 * best[0]:
            break
        best = width, rate, left, moved, slack
        if width <= tol and f.any() and system.n_inside > MAX_SMALL:
            break
        rest = left - rate
        step = None if times is None else solve_signed(system, rest, RATE_TOL, report)
        if step is None or times is None:
            break
        up, down = (float(policy.apply(x, num_threads=threads)[anchor]) for x in (step, times))
        moved_by = (rest[anchor] + up) / (1.0 + down)
        f, rate = f + step - moved_by * times, rate + moved_by
    assert best is not None
    _, rate, left, moved, slack = best
    if change >= MAX_CHANGE:
        return Rate(float(rate), -math.inf, math.inf)
    grown = math.expm1(change)
    slack = slack + grown * (moved + largest)
    if is_divergence:
        slack = slack + grown * (earned + ENTROPY_SLACK) + (1.0 + grown) * change
    low, high = float((left - slack).min()), float((left + slack).max())
    return Rate(float(min(max(rate, low), high)), low, high)


def has_law(kernel: LogKernel) -> bool:
    """Whether means are taken by the laws of policies in closed form. On a small chain, solves by
    elimination are more accurate."""
    is_reversible = kernel.is_on_states and kernel.chain._scaled.pattern.potential is not None
    return is_reversible and kernel.n_states > MAX_SMALL


def gain_of_tilt(kernel: LogKernel, limit: int, tol: float, report: Report) -> Rate:
    """The gain / beta of the one-step tilt: the mean of log Z under its own law."""
    zero, threads = np.zeros(kernel.n_states), kernel.threads
    inside = np.arange(kernel.n_states) != frequent_state(kernel, zero)
    tilted = step_at(kernel, zero, inside, limit)
    policy, earned, error = tilted.policy, tilted.Tv, tilted.rounding
    entry = kernel.entry_rounding(error)

    def is_known(rate: Rate) -> bool:
        return rate.upper - rate.lower <= tol * max(1.0, abs(rate.value))

    by_law = None
    if has_law(kernel):
        by_law = law_mean(policy, earned, error, threads, change=entry)
        if is_known(by_law):
            return by_law
    found = mean_rate(
        policy, tilted.system, earned, error, 0.1 * tol, report, threads, change=entry
    )
    if by_law is None and not is_known(found) and kernel.n_states <= MAX_SMALL:
        # a tilt that escapes from some states with probabilities below the range of a double
        by_law = law_mean(policy, earned, error, threads, change=entry)
    if by_law is None or not by_law.upper - by_law.lower < found.upper - found.lower:
        return found
    return by_law

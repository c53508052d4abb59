"""Checks of hitting times, probabilities, moments and distributions, and of their bounds."""

import contextlib

import elimination
import mpmath
import numpy as np

import fastebm as fe

from .registry import analysis
from .truth import DIGITS
from .verdicts import END, between, holds, near

TOL = 1e-8  # the default of the analyses


def _relative(truth):
    return TOL + truth.slack


@analysis()
def hitting_times(case):
    truth, target = case.truth, case.some_states()
    gap = None
    if truth.has_one_law and case.rng.random() < 0.3:
        gap = fe.spectral_gap(case.chain, kind="additive", rng=case.index)
    found = fe.hitting_times(case.chain, target, gap=gap)
    want = truth.times(target)
    yield near("mean", found.mean, want, _relative(truth), converged=found.converged)
    yield between("mean", found.lower, want, found.upper, truth.slack)
    infinite = int(np.isinf(want.astype(float)).sum()) if _finite(want) else found.n_infinite
    yield holds("n_infinite", found.n_infinite == infinite, found.n_infinite)
    if not truth.has_one_law:
        yield holds("mean_from_pi", np.isnan(found.mean_from_pi), found.mean_from_pi)
        return
    inside = truth.closed[0]
    mean = (truth.pi[inside] * want[inside]).sum()
    yield near(
        "mean_from_pi",
        found.mean_from_pi,
        mean,
        _relative(truth) + 1e-12,
        converged=found.converged,
    )
    yield near("target_mass", found.target_mass, truth.pi[target].sum(), truth.slack + 1e-12)
    if gap is not None and mean < np.inf:
        yield holds(
            "bound_from_gap",
            found.bound_from_gap >= float(mean) * (1 - truth.slack),
            f"{found.bound_from_gap} below {float(mean)}",
            END,
        )


def _finite(values):
    """No finite value beyond the range of doubles."""
    return not any(1e290 < value < mpmath.inf for value in values)


@analysis()
def hitting_probabilities(case):
    truth, sets = case.truth, case.disjoint_sets()
    if sets is None:
        return
    target, avoid = sets
    if case.rng.random() < 0.5:
        avoid = None
    if avoid is not None and case.rng.random() < 0.3:
        found = fe.committor(case.chain, avoid, target)
    else:
        found = fe.hitting_probabilities(case.chain, target, avoid=avoid)
    first, never, _ = truth.first_of([target] if avoid is None else [target, avoid])
    u = first[:, 0]
    v = never if avoid is None else never + first[:, 1]
    yield near(
        "probability", found.probability, u, _relative(truth), 1e-300, converged=found.converged
    )
    yield near(
        "complement", found.complement, v, _relative(truth), 1e-300, converged=found.converged
    )
    yield between("probability", found.lower, u, found.upper, truth.slack)


@analysis()
def absorption_probabilities(case):
    truth, sets = case.truth, case.disjoint_sets()
    if sets is None:
        return
    found = fe.absorption_probabilities(case.chain, sets)
    first, never, time = truth.first_of(list(sets))
    rel = _relative(truth)
    yield near("probability", found.probability, first, rel, 1e-300, converged=found.converged)
    yield near("never", found.never, never, rel, 1e-300, converged=found.converged)
    yield near("mean_time", found.mean_time, time, rel, converged=found.converged)
    yield between("probability", found.lower, first, found.upper, truth.slack)


@analysis()
def hitting_moments(case):
    truth, target = case.truth, case.some_states()
    found = fe.hitting_moments(case.chain, target)
    with mpmath.workdps(2 * DIGITS):  # the variance is a difference
        exact = truth.exact
        mean = exact.times(target)
        finite = np.array([value < mpmath.inf for value in mean])
        right = 2 * np.where(finite, mean, 1) - 1
        second = exact.times(target, right)
        variance = np.where(finite, second - np.where(finite, mean, 0) ** 2, mpmath.inf)
        std = np.array([float(mpmath.sqrt(abs(value))) for value in variance])
    rel = _relative(truth)
    yield near("mean", found.mean, mean, rel, converged=found.converged)
    yield near("second", found.second, second, rel, converged=found.converged)
    yield between("mean", found.mean_lower, mean, found.mean_upper, truth.slack)
    yield between("second", found.second_lower, second, found.second_upper, truth.slack)
    # Rounding of the entries moves a variance by that part of the second moment.
    moved = np.sqrt(4 * truth.slack * second.astype(float)) if _finite(second) else np.inf
    floor = np.where(std < np.inf, moved, 0.0)
    below = found.std_lower <= std + floor
    above = found.std_upper >= std - floor
    yield holds("std", (below & above).all(), f"{std} outside", END)
    yield near(
        "std", found.std, np.where(std < 1e-40, 0.0, std), 1e-6, floor, converged=found.converged
    )


@analysis()
def hitting_distribution(case):
    truth, target = case.truth, case.some_states()
    n_steps = int(case.rng.integers(1, 20))
    start = int(case.rng.integers(case.n))
    found = fe.hitting_distribution(case.chain, target, n_steps, start=start)
    with mpmath.workdps(DIGITS):
        alive = np.where(target, 0 * truth.P[0], 0 * truth.P[0] + 1)
        hit = target.astype(float) + 0 * truth.P[0]
        survival, probability = [alive[start]], [hit[start]]
        for _ in range(n_steps):
            alive = np.where(target, 0, truth.P @ alive)
            hit = np.where(target, 0, truth.P @ hit)
            survival.append(alive[start])
            probability.append(hit[start])
    slack = (n_steps + 1) * truth.slack
    yield near("survival", found.survival[0], np.array(survival), slack, 1e-300)
    yield near("probability", found.probability[0], np.array(probability), slack, 1e-300)


@analysis()
def commute_times(case):
    truth = case.truth
    x, y = case.rng.integers(case.n, size=2)
    found = fe.commute_times(case.chain, x, y)
    at = np.arange(case.n)
    forward, backward = truth.times(at == y)[x], truth.times(at == x)[y]
    rel = _relative(truth)
    want = np.array([forward + backward])
    yield near("forward", found.forward, np.array([forward]), rel, converged=found.converged)
    yield near("backward", found.backward, np.array([backward]), rel, converged=found.converged)
    yield near("commute", found.commute, want, rel, converged=found.converged)
    yield between("commute", found.lower, want, found.upper, truth.slack)


@analysis("one law")
def kemeny_constant(case):
    truth = case.truth
    tol = float(case.rng.choice([1e-10, 1e-10, 1e-4, 0.3]))
    found = fe.kemeny_constant(case.chain, tol=tol)
    yield near("value", found.value, truth.kemeny, tol + 2 * truth.slack, converged=found.converged)
    yield between("value", found.lower, truth.kemeny, found.upper, 2 * truth.slack)


@analysis("one law")
def hitting_bounds(case):
    truth, target = case.truth, case.some_states()
    inside = truth.closed[0]
    if truth.unsure(target).any():
        with contextlib.suppress(fe.InvalidChainError):
            fe.hitting_bounds(case.chain, target)
            yield holds("refusal", False, "a target that may be missed was accepted")
        return
    found = fe.hitting_bounds(case.chain, target)
    mean = truth.times(target)
    mass = float(truth.pi[target].sum())
    from_pi = float((truth.pi[inside] * mean[inside]).sum())
    slack = truth.slack + 1e-12
    yield near("mean", found.mean, mean, 1e-6 + slack, converged=found.converged)
    yield near("mean_from_pi", found.mean_from_pi, from_pi, 1e-6 + slack, converged=found.converged)
    yield near("target_mass", found.target_mass, mass, slack)
    if mass > 1e-290:
        yield near("return_time_kac", found.return_time_kac, 1 / mass, slack)
        yield near(
            "return_time", found.return_time, 1 / mass, 2e-6 + slack, converged=found.converged
        )
    yield holds(
        "bound_from_gap",
        found.bound_from_gap >= from_pi * (1 - slack),
        f"{found.bound_from_gap} below {from_pi}",
        END,
    )
    rate = _exit_rate(truth, target)
    if rate is not None:
        yield between("exit_rate", found.exit_rate_lower, rate, found.exit_rate_upper, slack)
        if found.exit_rate_bound is not None:
            yield holds(
                "exit_rate_bound",
                found.exit_rate_bound <= rate * (1 + slack),
                f"{found.exit_rate_bound} above {rate}",
                END,
            )
    if found.mean_bound is not None:
        outside = np.argwhere(~(found.mean_bound >= mean.astype(float) * (1 - slack)))
        yield holds("mean_bound", not len(outside), f"at {outside[:1]}", END)


def _exit_rate(truth, target):
    """1 - lambda_B on the closed class to about 1e-12, or None where it is not found."""
    core, inside = truth.core, target[truth.closed[0]] if not truth.is_irreducible else target
    if inside.all():
        return None
    B = ~inside
    leak = core.P[np.ix_(B, inside)].sum(axis=1)
    with mpmath.workdps(DIGITS):
        N = elimination.inverse(core.off[np.ix_(B, B)], leak)
        v = N.sum(axis=1)
        for _ in range(60):
            w = N @ v
            w = w / w.max()
            quotient = (N @ w) / w
            if quotient.max() <= quotient.min() * (1 + 1e-12):
                return float(1 / quotient.max())
            v = w
    return None

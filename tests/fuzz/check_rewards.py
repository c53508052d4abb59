"""Checks of expected rewards, visits, long-run averages and bounded until."""

import mpmath
import numpy as np

import fastebm as fe

from .registry import analysis
from .truth import DIGITS
from .verdicts import between, holds, near

TOL = 1e-8  # the default of the analyses


@analysis()
def expected_reward(case):
    truth, target = case.truth, case.some_states()
    reward = case.rng.integers(0, 3, case.n) * 10.0 ** case.rng.integers(-3, 4)
    reward = np.maximum(reward, 0.0)
    found = fe.expected_reward(case.chain, reward, target)
    with mpmath.workdps(DIGITS):
        right = np.array([mpmath.mpf(r) for r in reward])
        want = truth.exact.times(target, right)
    finite = np.array([x != mpmath.inf for x in want])
    yield holds("infinite", (np.isinf(found.mean) == ~finite).all(), found.mean)
    got = (x[finite] for x in (found.mean, found.lower, found.upper))
    mean, lower, upper = got
    exact = want[finite].astype(float)
    yield near("mean", mean, exact, TOL + truth.slack, converged=found.converged)
    yield between("mean", lower, exact, upper, truth.slack)


@analysis()
def long_run_average(case):
    truth = case.truth
    if not truth.has_one_law:
        return
    reward = case.rng.integers(-2, 4, case.n).astype(float)
    found = fe.long_run_average(case.chain, reward)
    want = float(mpmath.fsum(p * r for p, r in zip(truth.pi, reward, strict=True)))
    size = float(mpmath.fsum(p * abs(r) for p, r in zip(truth.pi, reward, strict=True)))
    slack = truth.slack * size
    exact = np.full(case.n, want)
    yield near("mean", found.mean, exact, 0.0, TOL * size + slack, converged=found.converged)
    yield between("mean", found.lower - slack, exact, found.upper + slack, 0.0)


@analysis()
def bounded_until(case):
    sets = case.disjoint_sets()
    if sets is None:
        return
    target, avoid = sets
    n_steps = int(case.rng.integers(0, 30))
    found = fe.hitting_probabilities(case.chain, target, avoid=avoid, within=n_steps)
    with mpmath.workdps(DIGITS):
        P, u = case.truth.exact.P, np.array([mpmath.mpf(int(x)) for x in target])
        c = 1 - u  # evolved by itself: it may be 1e-200
        for _ in range(n_steps):
            u = np.array([mpmath.fsum(row * u) for row in P])
            u[target], u[avoid] = mpmath.mpf(1), mpmath.mpf(0)
            c = np.array([mpmath.fsum(row * c) for row in P])
            c[target], c[avoid] = mpmath.mpf(0), mpmath.mpf(1)
        slack = case.truth.slack * (n_steps + 1)
        for name, want, value in (
            ("probability", u, (found.probability, found.lower, found.upper)),
            ("complement", c, (found.complement, found.complement_lower, found.complement_upper)),
        ):
            exact = np.array([float(x) for x in want])
            yield between(name, value[1], exact, value[2], slack)
            yield near(name, value[0], exact, slack + 1e-8, converged=found.converged)

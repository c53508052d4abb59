"""Checks of policies that look ahead: their values in multiprecision."""

import elimination
import mpmath
import numpy as np

import fastebm as fe

from .registry import analysis
from .truth import DIGITS
from .verdicts import between, near

TOL = 1e-10  # the default of the policies
_exp, _log, _log1p = (np.frompyfunc(f, 1, 1) for f in (mpmath.exp, mpmath.log, mpmath.log1p))


def _strength(rng):
    return float(10.0 ** rng.uniform(-1.5, 1.5))


@analysis()
def finite_horizon(case):
    truth, rng = case.truth, case.rng
    reward = rng.normal(size=case.n) * 10.0 ** rng.uniform(-1, 1)
    beta, horizon = _strength(rng), int(rng.integers(1, 5))
    found = fe.policy.finite_horizon(case.chain, reward, beta, horizon=horizon)
    with mpmath.workdps(DIGITS):
        M = truth.exact.P * _exp(elimination.precise(reward) / beta)
        z, kl = elimination.precise(np.ones(case.n)), elimination.precise(np.zeros(case.n))
        for _ in range(horizon):
            policy = M * z / M.dot(z)[:, None]
            ratio = np.where(policy > 0, policy / np.where(M > 0, truth.exact.P, 1), 1)
            z, kl = M.dot(z), (policy * _log(ratio)).sum(axis=1) + policy.dot(kl)
        value = beta * _log(z)
    # a relative change of the entries by `slack` moves log z, and with it the weights of a KL
    spread = float(np.ptp(reward)) / beta + 1
    for name, want, pad in (
        ("value", value, beta * horizon * truth.slack),
        ("path_kl", kl, horizon**2 * truth.slack * spread),
    ):
        got, low, high = (getattr(found, name + end)[0] for end in ("", "_lower", "_upper"))
        yield near(name, got, want, 1e-12, pad + 1e-12 * (beta if name == "value" else spread))
        yield between(name, low - pad, want, high + pad, 1e-15)


@analysis()
def verifiable_policy(case):
    truth, sets, beta = case.truth, case.disjoint_sets(), _strength(case.rng)
    if sets is None:
        return
    correct, wrong = sets
    wrong = None if case.rng.random() < 0.5 else wrong
    found = fe.policy.verifiable(case.chain, correct, beta, wrong=wrong)
    first, never, _ = truth.first_of([correct] if wrong is None else [correct, wrong])
    with mpmath.workdps(DIGITS):
        u = elimination.precise(first[:, 0])
        v = elimination.precise(never if wrong is None else never + first[:, 1])
        grown = u * mpmath.exp(1 / mpmath.mpf(beta))
        success = grown / (v + grown)
        value = beta * _log1p(u * mpmath.expm1(1 / mpmath.mpf(beta)))
    rel = 4 * (truth.slack + TOL)
    for name, want in (("success", success), ("value", value)):
        got, low, high = (getattr(found, name + end) for end in ("", "_lower", "_upper"))
        yield near(name, got, want, rel, 1e-300, converged=found.converged)
        yield between(name, low, want, high, 4 * truth.slack)


@analysis()
def first_exit_policy(case):
    """Costs on the way, so that the value is finite wherever an exit can be reached."""
    truth, rng = case.truth, case.rng
    exits, beta = case.some_states(), _strength(rng)
    reward = -rng.random(case.n) * 10.0 ** rng.uniform(-2, 1)
    found = fe.policy.first_exit(case.chain, reward, beta, exit=np.flatnonzero(exits))
    inner = truth.adjacent & ~exits[:, None]
    reaching = _reaching(inner, exits)
    inside = reaching & ~exits
    with mpmath.workdps(DIGITS):
        P, grown = truth.exact.P, _exp(elimination.precise(reward) / beta)
        M = P * grown
        z = elimination.precise(exits.astype(float))
        if inside.any():
            off = M[np.ix_(inside, inside)].copy()
            np.fill_diagonal(off, mpmath.mpf(0))
            leak = P[inside][:, ~inside].sum(axis=1)
            leak = leak + (P[inside] * (1 - grown))[:, inside].sum(axis=1)
            right = M[np.ix_(inside, exits)].sum(axis=1)
            z[inside] = elimination.solve(off, leak, right)
        want = np.full(case.n, -np.inf)
        want[reaching] = (beta * _log(z[reaching])).astype(float)
    known = reaching
    pad = beta * truth.slack * (1 + np.abs(want[known]) / beta)
    yield near("unreached", found.value[~known], want[~known], 0.0)
    yield near(
        "value",
        found.value[known],
        want[known],
        1e-9,
        beta * (truth.slack + 1e-9),
        converged=found.converged,
    )
    low, high = found.value_lower[known] - pad, found.value_upper[known] + pad
    yield between("value", low, want[known], high, 1e-15)


def _reaching(inner, exits):
    """States from which an exit can be reached."""
    reach = exits.copy()
    while True:
        more = reach | inner[:, reach].any(axis=1)
        if (more == reach).all():
            return reach
        reach = more

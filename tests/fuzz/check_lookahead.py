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


@analysis("irreducible", weight=0.5)
def average_policy(case):
    rng = case.rng
    reward = rng.normal(size=case.n) * 10.0 ** rng.uniform(-1, 2)
    beta = _strength(rng)
    found = fe.policy.average(case.chain, reward, beta)
    size = float(np.abs(reward).max()) / beta

    def solve(M):
        perron = _perron(M)
        if perron is None:
            return None
        v, rho, policy = perron
        pi = elimination.stationary(_off_diagonal(policy))
        log_lambda = (rho.max() + rho.min()) / 2
        kl = pi.dot(policy).dot(elimination.precise(reward)) / beta - log_lambda
        return {"gain": log_lambda * beta, "kl_rate": kl, "value": beta * (v - v[found.anchor])}

    want, moved = _with_a_moved_one(case, reward, beta, solve)
    if not moved:
        return
    moved["gain"] = beta * case.truth.slack  # the most that it can be
    yield near(
        "gain",
        found.gain,
        want["gain"],
        TOL,
        moved["gain"] + beta * (TOL + 1e-15 * size),
        converged=found.converged,
    )
    yield from _enclosed(found, want, moved)


@analysis(weight=0.5)
def discounted_policy(case):
    rng = case.rng
    discount = float(rng.choice([0.1, 0.9, 0.999, 1 - 1e-6]))
    reward = rng.normal(size=case.n) * 10.0 ** rng.uniform(-1, 2)
    beta = _strength(rng)
    found = fe.policy.discounted(case.chain, reward, beta, discount=discount)

    def solve(M):
        g, v = mpmath.mpf(discount), elimination.precise(np.zeros(len(M)))
        leak = elimination.precise(np.full(len(M), 1)) - g
        for _ in range(200):
            Tv, policy = _weighted(M, g * v)
            step = _signed(g * _off_diagonal(policy), leak, Tv - v)
            v = v + step
            if max(abs(step)) < mpmath.mpf(10) ** -(DIGITS // 2):
                break
        else:
            raise AssertionError("policy iteration did not converge")
        Tv, policy = _weighted(M, g * v)
        k = policy.dot(elimination.precise(reward) / beta + g * v) - Tv
        kl = _signed(g * _off_diagonal(policy), leak, k)
        return {"value": beta * v, "path_kl": kl}

    want, moved = _with_a_moved_one(case, reward, beta, solve)
    moved["value"] = beta * case.truth.slack / (1 - discount)  # the most that it can be
    yield near(
        "value",
        found.value,
        want["value"],
        TOL,
        moved["value"] + beta * TOL,
        converged=found.converged,
    )
    yield from _enclosed(found, want, moved)


def _with_a_moved_one(case, reward, beta, solve):
    """The solution for the kernel, and how far its numbers move, times 100, where each entry of the
    kernel is moved at random by as much as rounding may."""
    slack = max(case.truth.slack, 1e-15)
    with mpmath.workdps(6 * DIGITS):  # rare transitions make values of what is left of differences
        P = case.truth.exact.P
        grown = _exp(elimination.precise(reward) / beta)
        want = solve(P * grown)
        near_one = 1 + elimination.precise(case.rng.uniform(-slack, slack, P.shape))
        other = solve(P * near_one * grown)
    if want is None or other is None:
        return None, {}
    return want, {name: 100 * float(np.max(np.abs(want[name] - other[name]))) for name in want}


def _enclosed(found, want, moved):
    for name, exact in want.items():
        pad = moved[name]
        low, high = (getattr(found, name + end) for end in ("_lower", "_upper"))
        yield between(name, low - pad, exact, high + pad, 1e-15)


def _weighted(M, v):
    """(log M exp(v), the rows of M o exp(v) divided by their sums)."""
    weights = M * _exp(v - max(v))
    total = weights.sum(axis=1)
    return _log(total) + max(v), weights / total[:, None]


def _off_diagonal(policy):
    off = policy.copy()
    np.fill_diagonal(off, mpmath.mpf(0))
    return off


def _signed(off, leak, right):
    """elimination.solve of both signs of the right side."""
    zero = mpmath.mpf(0)
    parts = np.column_stack([np.maximum(right, zero), np.maximum(-right, zero)])
    found = elimination.solve(off, leak, parts)
    return found[:, 0] - found[:, 1]


def _perron(M):
    """(log v, log (M v / v), the policy) by policy iteration, which needs no gap; from power steps,
    without which its values may exceed all bounds. None where it does not converge."""
    v, width, lost = elimination.precise(np.zeros(len(M))), np.inf, 0
    while lost < 10:
        Tv, policy = _weighted(M, v)
        rho = Tv - v
        last, width = width, max(rho) - min(rho)
        if width < mpmath.mpf(10) ** -(DIGITS // 2):
            return v, rho, policy
        if width > 0.1 and not width < 0.5 * last:
            for _ in range(2 * len(M)):
                v = _weighted(M, v)[0]
            _, policy = _weighted(M, v)
            rho = _weighted(M, v)[0] - v
        off = _off_diagonal(policy)
        pi = elimination.stationary(off)
        anchor = int(np.argmax(pi))  # of a rare state the values would be large
        rest, right = np.arange(len(M)) != anchor, rho - pi.dot(rho)
        step = elimination.precise(np.zeros(len(M)))
        step[rest] = _signed(off[np.ix_(rest, rest)], off[rest, anchor], right[rest])
        if max(abs(step)) < 1e4:
            v = v - v[anchor] + step
        lost += not width < 0.5 * last
    return None


def _reaching(inner, exits):
    """States from which an exit can be reached."""
    reach = exits.copy()
    while True:
        more = reach | inner[:, reach].any(axis=1)
        if (more == reach).all():
            return reach
        reach = more

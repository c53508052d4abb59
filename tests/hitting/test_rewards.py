"""Expected rewards, visits and long-run averages against rational arithmetic."""

from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse as sp
from rational import random_chain, reach, solve

import fastebm as fe


def accumulated(P, r, target):
    """E sum of r until the target, for states that hit it or a class without r > 0 surely; None
    elsewhere."""
    n = len(P)
    stopped = P.copy()
    stopped[target] = np.eye(n)[target]
    R = reach(stopped)
    recurrent = np.array([all(R[y, x] for y in range(n) if R[x, y]) for x in range(n)])
    endless = recurrent & ~np.isin(np.arange(n), target) & (r != 0)
    infinite = (R & endless).any(axis=1)
    inside = np.flatnonzero(~recurrent & ~infinite)
    value = [None if infinite[x] else Fraction(0) for x in range(n)]
    if len(inside):
        M = [[int(x == y) - Fraction(stopped[x, y]) for y in inside] for x in inside]
        found = solve(M, [Fraction(r[x]) for x in inside])
        for x, h in zip(inside, found, strict=True):
            value[x] = h
    return value


def misses(P, target):
    stopped = P.copy()
    stopped[target] = np.eye(len(P))[target]
    R = reach(stopped)
    can = R[:, target].any(axis=1)
    return (R & ~can).any(axis=1)


def check(found, want):
    for x, exact in enumerate(want):
        if exact is None:
            assert found.lower[x] == found.mean[x] == found.upper[x] == np.inf
        else:
            assert Fraction(found.lower[x]) <= exact <= Fraction(found.upper[x]), x
    assert found.converged and found.n_infinite == sum(exact is None for exact in want)


@pytest.mark.parametrize("seed", range(40))
def test_rewards_until_a_target(seed):
    P = random_chain(seed)
    n = len(P)
    rng = np.random.default_rng(seed)
    target = np.unique(rng.integers(0, n, 2))
    chain = fe.MarkovChain(P)
    r = rng.integers(0, 4, n).astype(float)
    missing = misses(P, target)
    want = [None if m else v for m, v in zip(missing, accumulated(P, r, target), strict=True)]
    check(fe.expected_reward(chain, r, target), want)
    signed = rng.integers(-3, 4, n).astype(float)
    sums = accumulated(P, np.where(missing, 0, signed), target)
    found = fe.expected_reward(chain, signed, target)
    check(found, [None if m else v for m, v in zip(missing, sums, strict=True)])
    R = sp.random_array((n, n), density=0.5, rng=rng)
    step = (P * R.toarray()).sum(axis=1)
    each = fe.expected_reward(chain, R, target)
    same = fe.expected_reward(chain, step, target)
    np.testing.assert_allclose(each.mean, same.mean, rtol=1e-12)


@pytest.mark.parametrize("seed", range(40))
def test_visits(seed):
    P = random_chain(seed)
    n = len(P)
    rng = np.random.default_rng(seed)
    chain, states = fe.MarkovChain(P), np.unique(rng.integers(0, n, 2))
    counted = np.isin(np.arange(n), states).astype(float)
    found = fe.expected_visits(chain, states)
    check(found, accumulated(P, counted, []))
    target = [int(rng.integers(n))]
    counted[target] = 0.0
    check(fe.expected_visits(chain, states, target=target), accumulated(P, counted, target))


@pytest.mark.parametrize("seed", range(40))
def test_long_run_averages(seed):
    P = random_chain(seed)
    n = len(P)
    r = np.random.default_rng(seed).integers(-3, 4, n).astype(float)
    found = fe.long_run_average(fe.MarkovChain(P), r)
    R = reach(P)
    recurrent = np.array([all(R[y, x] for y in range(n) if R[x, y]) for x in range(n)])
    gain = [None] * n
    for x in np.flatnonzero(recurrent):
        members = np.flatnonzero(R[x])
        A = [[Fraction(P[y, z]) - (y == z) for y in members] for z in members[:-1]]
        law = solve([*A, [1] * len(members)], [0] * (len(members) - 1) + [1])
        gain[x] = sum(p * Fraction(r[y]) for p, y in zip(law, members, strict=True))
    inside = np.flatnonzero(~recurrent)
    if len(inside):
        M = [[int(x == y) - Fraction(P[x, y]) for y in inside] for x in inside]
        b = [sum(Fraction(P[x, y]) * gain[y] for y in np.flatnonzero(recurrent)) for x in inside]
        for x, g in zip(inside, solve(M, b), strict=True):
            gain[x] = g
    for x in range(n):
        assert Fraction(found.lower[x]) <= gain[x] <= Fraction(found.upper[x])
    assert found.converged and found.error <= 1e-8
    closed = fe.structure(fe.MarkovChain(P)).closed
    assert found.gain.shape == (closed.sum(),)


def test_rewards_of_any_scale():
    coin = fe.MarkovChain([[0.75, 0.25], [0.0, 1.0]])
    for scale in (1e-300, 1e300):
        found = fe.expected_reward(coin, [scale, 0.0], [1])
        np.testing.assert_allclose(found.mean, [4 * scale, 0.0], rtol=1e-12)
        np.testing.assert_allclose(fe.long_run_average(coin, [0, scale]).mean, scale, rtol=1e-12)
    with pytest.warns(fe.ConvergenceWarning, match="expected_reward"):
        found = fe.expected_reward(coin, [1e308, 0.0], [1])
    assert found.upper[0] == np.inf and not found.converged  # 4e308 is none of the doubles


def test_a_rare_reward_has_a_relative_error():
    """A reward that is collected with probability 1e-30."""
    P = [[0.0, 1e-30, 1 - 1e-30], [0.0, 0.5, 0.5], [0.0, 0.0, 1.0]]
    found = fe.expected_reward(fe.MarkovChain(P), [0.0, 1.0, 0.0], [2])
    np.testing.assert_allclose(found.mean, [2e-30, 2.0, 0.0], rtol=1e-12)
    assert found.lower[0] <= 2e-30 <= found.upper[0] < 2.1e-30


def test_a_large_chain_is_iterated():
    n = 4000
    rng = np.random.default_rng(0)
    x = np.arange(n)
    edges = np.r_[x, x, x], np.r_[(x + 1) % n, (7 * x + 3) % n, rng.integers(0, n, n)]
    chain = fe.MarkovChain.from_edges(*edges, rng.uniform(0.1, 1.0, 3 * n))
    r = rng.normal(size=n)
    found = fe.expected_reward(chain, r, [0])
    P = chain.to_scipy().tocsr()[1:, 1:]
    want = sp.linalg.spsolve((sp.eye_array(n - 1) - P).tocsc(), r[1:])
    assert found.converged
    assert np.all((found.lower[1:] <= want + 1e-6) & (want - 1e-6 <= found.upper[1:]))
    average = fe.long_run_average(chain, r)
    pi = fe.stationary(chain).pi
    assert average.lower[5] - 1e-12 <= pi @ r <= average.upper[5] + 1e-12


@pytest.mark.parametrize(
    ("call", "fragment"),
    [
        (lambda c: fe.expected_reward(c, [1.0, np.nan], [1]), r"reward\[1\] is nan"),
        (lambda c: fe.expected_reward(c, [1.0], [1]), "reward must have shape"),
        (lambda c: fe.expected_reward(c, sp.eye_array(3), [1]), r"shape \(2, 2\)"),
        (
            lambda c: fe.expected_reward(c, sp.csr_array([[np.inf, 0], [0, 0]]), [1]),
            "0 -> 0 is inf",
        ),
        (lambda c: fe.expected_reward(c, [1.0, 1.0], []), "target is empty"),
        (lambda c: fe.expected_visits(c, []), "states is empty"),
        (lambda c: fe.expected_visits(c, [2]), "not a state"),
        (lambda c: fe.expected_reward(c, [1.0, 1.0], [1], tol=0.0), "tol must be"),
        (lambda c: fe.long_run_average(c, [1.0, np.inf]), r"reward\[1\] is inf"),
    ],
)
def test_refusals(call, fragment):
    with pytest.raises(fe.InvalidChainError, match=fragment):
        call(fe.MarkovChain([[0.5, 0.5], [0.0, 1.0]]))


def test_an_unconverged_solve_says_so():
    walk = fe.Torus((60, 60))
    with pytest.warns(fe.ConvergenceWarning, match="expected_reward"):
        found = fe.expected_reward(walk, np.ones(3600), [0], max_iter=1)
    exact = fe.hitting_times(walk, [0]).mean
    assert not found.converged and (found.lower <= exact).all() and (exact <= found.upper).all()
    with pytest.warns(fe.ConvergenceWarning, match="long_run_average"):
        average = fe.long_run_average(walk, np.arange(3600.0), max_iter=1)
    assert not average.converged and average.lower[0] <= 1799.5 <= average.upper[0]


def test_transitions_that_underflowed_are_not_ignored():
    """The chain stays in state 0 or 1 for e^1000 steps: which, only the lost entries know."""
    chain = fe.tilt(
        fe.MarkovChain([[0.5, 0.5], [0.5, 0.5]]), sp.csr_array([[1e3, 0], [0, 2e3]]), 1.0
    )
    with pytest.raises(fe.InvalidChainError, match="underflowed"):
        fe.long_run_average(chain, [1.0, 0.0])

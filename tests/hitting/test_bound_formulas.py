"""The bounds of `hitting_bounds` are as tight as their formulas say, on a chain with uneven pi."""

import math
from dataclasses import replace
from types import SimpleNamespace

import mpmath as mp
import numpy as np
import pytest
from numpy.testing import assert_allclose

import fastebm as fe
from fastebm.hitting import bounds

WEIGHTS = np.array([5.0, 0.3, 2.0, 0.01, 7.0])
CHAIN = fe.MarkovChain.from_edges(np.arange(5), np.arange(1, 6), WEIGHTS, symmetric=True)
PI = np.append(WEIGHTS, 0) + np.append(0, WEIGHTS)
PI /= PI.sum()


@pytest.mark.parametrize("target", [[0], [2, 5], [4]])
def test_every_formula(target):
    P = CHAIN.to_scipy().toarray()
    rest = np.setdiff1d(np.arange(6), target)
    root = np.sqrt(PI[rest])
    top = np.linalg.eigvalsh(root[:, None] * P[np.ix_(rest, rest)] / root).max()
    found = fe.hitting_bounds(CHAIN, target, gap=0.004, tol=1e-9)
    mass = PI[target].sum()
    assert_allclose(found.bound_from_gap, (1 - mass) / (0.004 * mass), rtol=1e-12)
    assert_allclose(found.exit_rate_bound, 0.004 * mass, rtol=1e-12)
    assert found.exit_rate_bound < 0.004 * mass < 0.004 * (1 - PI[rest].sum()) * (1 + 1e-14)
    assert_allclose(found.exit_rate, 1 - top, rtol=1e-8)
    K = np.sqrt(PI[rest].sum() / PI[rest])
    assert_allclose(
        found.mean_bound[rest], 1 + np.log(K) / -math.log(top) + 1 / (1 - top), rtol=1e-8
    )
    assert (found.mean_bound[target] == 0).all()
    # from its lower end, not from the estimate
    low = found.exit_rate_lower
    assert_allclose(found.mean_bound[rest], 1 + np.log(K) / -math.log1p(-low) + 1 / low, rtol=1e-12)


def test_a_gap_counts_by_its_lower_end():
    gap = replace(fe.spectral_gap(CHAIN), gap=0.01, gap_lower=0.003)
    found = fe.hitting_bounds(CHAIN, [0], gap=gap)
    assert found.gap == 0.003
    assert_allclose(found.bound_from_gap, (1 - PI[0]) / (0.003 * PI[0]), rtol=1e-12)


@pytest.mark.parametrize("target", [[0], [2, 5], [4], [1, 3]])
def test_first_enclosure_is_that_of_collatz_and_dirichlet(target):
    """A loose tol is met by the means g alone: 1 / g encloses the exit rate (Collatz & Wielandt),
    and above it also do sum pi g / sum pi g^2 (Dirichlet) and the quotients of g cut to the states
    where g is large."""
    rest = np.setdiff1d(np.arange(6), target)
    P = CHAIN.to_scipy().toarray()[np.ix_(rest, rest)]
    g = np.linalg.solve(np.eye(len(rest)) - P, np.ones(len(rest)))
    form = (PI[rest] @ g) / (PI[rest] @ g**2)
    kept = g >= g.max() / 1.5
    cut = np.where(kept, g, 0.0)
    upper = min(form, ((cut - P @ cut)[kept] / cut[kept]).max())
    assert upper < 1.0 / g.min()
    found = fe.hitting_bounds(CHAIN, target, gap=0.004, tol=0.999)
    assert_allclose(found.exit_rate_lower, 1.0 / g.max(), rtol=1e-12)
    assert_allclose(found.exit_rate_upper, upper, rtol=1e-10)
    assert found.exit_rate == found.exit_rate_upper
    assert_allclose(found.quasi_stationary_mean, 1.0 / upper, rtol=1e-10)


def test_states_that_lead_away_do_not_loosen_the_upper_end():
    """State 1 stays with 0.99, state 2 goes on from it to the target at once: 1 - lambda_B is 0.01,
    and the largest quotient f / g, of state 2, is 1 in every iteration."""
    chain = fe.MarkovChain([[0.0, 1.0, 0.0], [0.0, 0.99, 0.01], [1.0, 0.0, 0.0]])
    found = fe.hitting_bounds(chain, [0], gap=0.001)
    assert found.exit_rate_lower <= 0.01 * (1 + 1e-12) and 0.01 <= found.exit_rate_upper
    assert_allclose(found.exit_rate_upper, 0.01, rtol=2e-6)
    assert_allclose(found.exit_rate, math.sqrt(found.exit_rate_lower * found.exit_rate_upper))


def test_mean_bound_is_rounded_up():
    """Evaluated with the reported exit rate, the formula never exceeds the bound by which the
    error of log pi is allowed for, and not by much less."""
    weights = np.exp(-np.linspace(0.0, 30.0, 200))
    chain = fe.MarkovChain.from_edges(np.arange(200), np.arange(1, 201), weights, symmetric=True)
    found = fe.hitting_bounds(chain, [0], gap=0.001)
    logs, low = chain.log_pi[1:], mp.mpf(found.exit_rate_lower)
    outside = mp.log(mp.fsum(mp.exp(mp.mpf(float(x))) for x in logs))
    error = 8 * 2.0**-53 * (2 - float(chain.log_pi.min()) + math.sqrt(200))
    exact = [
        1 + ((outside - mp.mpf(float(x))) / 2 + error) / -mp.log1p(-low) + 1 / low
        for x in logs.tolist()
    ]
    parts = [float(b / e - 1) for b, e in zip(found.mean_bound[1:], exact, strict=True)]
    assert 0.0 <= min(parts) and max(parts) < 16 * 2.0**-53


@pytest.mark.parametrize("underflow", (0.0, 1e-5))
def test_errors_that_are_absolute_in_a_solve(underflow):
    """A residual of LEAST, and an underflow in units of the largest g, enter times the mean time;
    a g below LEAST counts as that."""
    seen = np.array([True, True, True, False])
    mean, g = np.array([3.0, 5e7, 2.0, 9e99]), np.array([4.0, 1e-290, 1e-305, 0.0])
    solve = SimpleNamespace(
        mean=mean, recurrent_inside=seen, system=SimpleNamespace(underflow=underflow)
    )
    found = bounds._ExitRateSolve._with_absolute(solve, g, 0.125)
    worst = 2.0 / bounds.LEAST
    assert_allclose(found, 0.125 + (bounds.LEAST + 8 * underflow) * worst, rtol=1e-14)


def test_partial_result_after_the_means():
    """An interrupt before the means are known leaves nothing; after it, the ends so far."""
    chain = fe.MarkovChain.from_edges(np.arange(5), np.arange(1, 6), WEIGHTS, symmetric=True)
    solve = bounds._ExitRateSolve(chain, np.arange(6) == 0, 0.004, None, 1e-9, 10_000, 1)
    assert solve.partial() is None
    solve.mean, solve.error = np.ones(6), 1.0  # nothing is known of the means
    assert solve.partial() is None
    solve.error = 0.999
    assert solve.partial().exit_rate_lower == 0.0 and solve.partial().exit_rate_upper == 1.0


def test_known_means_keep_their_stated_error():
    """hitting_times states ends; the farther one is the error of the means."""
    known = fe.hitting_times(CHAIN, [0])
    found = fe.hitting_bounds(CHAIN, [0], gap=0.004, hitting=known)
    part = float((known.mean[1:] / known.lower[1:] - 1.0).max()) + 1e-15
    assert found.error == part
    loose = replace(known, lower=0.75 * known.mean)
    found = fe.hitting_bounds(CHAIN, [0], gap=0.004, hitting=loose, tol=0.5)
    assert_allclose(found.error, 1.0 / 3.0, rtol=1e-12)
    assert_allclose(found.exit_rate_lower, (2.0 / 3.0) / known.mean.max(), rtol=1e-9)


@pytest.mark.parametrize("error, imbalance", [(0.0, 0.0), (0.01, 0.0), (0.0, 0.02), (0.01, 0.02)])
def test_dirichlet_end_counts_the_error_and_the_imbalance(error, imbalance):
    """Of g, squared over the lower end of the variance; of a law that is balanced up to a part."""
    solve = bounds._ExitRateSolve(CHAIN, np.arange(6) == 0, 0.004, None, 1e-9, 10_000, 1)
    solve.imbalance = imbalance
    solve._without_fast_states = lambda quotient, g: math.inf
    P = CHAIN.to_scipy().toarray()[1:, 1:]
    f, g = np.r_[0.0, np.ones(5)], np.zeros(6)
    g[1:] = np.linalg.solve(np.eye(5) - P, np.ones(5))
    solve._enclose(f, g, error)
    form = (PI @ (f * g)) / (PI @ g**2) * (1 + error) ** 2 / (1 - error) / (1 - imbalance)
    assert form < 1.0 / g[1:].min()
    assert_allclose(solve.high, form, rtol=1e-9)
    assert_allclose(solve.low, (1.0 - error) / g.max(), rtol=1e-12)

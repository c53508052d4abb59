"""Confidence intervals of means in [0, 1]: they hold with the probability that they state.

FASTEBM_REPETITIONS sets the number of repetitions, 300 by default. The number of misses has at
most the binomial law of the stated failure; a right interval fails a test here with a probability
below FALSE_ALARM."""

import os

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.special import stdtrit
from scipy.stats import binom

import fastebm as fe
from fastebm.mixing.bounded_mean import lower_end, upper_end
from fastebm.mixing.information import _ends

N = int(os.environ.get("FASTEBM_REPETITIONS", "300"))
FALSE_ALARM = 1e-9


def most_misses(failure):
    return binom.isf(FALSE_ALARM, N, failure)


@pytest.mark.parametrize("values, weights", [
    ([0.0, 1.0], [0.99, 0.01]),
    ([0.0, 1.0], [0.5, 0.5]),
    ([0.3], [1.0]),
    ([0.01, 0.02, 0.9], [0.5, 0.49, 0.01]),
])  # fmt: skip
def test_each_end_holds(values, weights):
    rng = np.random.default_rng(0)
    mean = np.dot(values, weights)
    low = high = 0
    for _ in range(N):
        draws = rng.choice(values, 60, p=weights)
        low += lower_end(draws, 0.05) > mean
        high += upper_end(draws, 0.05) < mean
    assert max(low, high) <= most_misses(0.05)


def test_the_ends_are_as_sharp_as_draws_allow():
    """Without variance some 6 / n, as the rule of three has 3.7 / n for such a failure."""
    for x in (0.0, 0.3, 1.0):
        draws = np.full(1000, x)
        low, high = lower_end(draws, 0.025), upper_end(draws, 0.025)
        assert 0.0 <= low <= x <= high <= 1.0 and high - low < 0.025
    coins = np.random.default_rng(1).integers(0, 2, 1000).astype(float)
    low, high = lower_end(coins, 0.025), upper_end(coins, 0.025)
    assert 0.05 < high - low < 0.09  # 2 x 1.96 standard errors are 0.062


def test_the_information_of_a_sample_covers_that_of_all_states():
    """A chain with popular states, where few states have most of the information at large lags, and
    where a t interval fails this test."""
    rng, n, lags = np.random.default_rng(5), 300, [1, 4, 16]
    popular = 1 / np.arange(1, n + 1)
    P = 0.02 * np.eye(n)[(np.arange(n) + 1) % n]
    for x in range(n):
        P[x, rng.choice(n, 4, p=popular / popular.sum())] += rng.gamma(0.3, size=4)
    chain = fe.MarkovChain(P, normalize=True)
    pi = fe.stationary(chain).pi
    kl = fe.mixing_curve(chain, np.arange(n), steps=lags, distances="kl").kl
    exact = fe.information_curve(chain, lags)
    np.testing.assert_allclose(exact.information, pi @ kl, rtol=1e-10)
    most = -np.log(pi)
    entropy, misses, t_misses = pi @ most, np.zeros(3), np.zeros(3)
    for _ in range(N):
        ratios = (kl / most[:, None])[rng.choice(n, 48, p=pi * most / (pi @ most))]
        low, high = _ends(ratios, np.zeros_like(ratios), 0.025)
        misses += (pi @ kl < entropy * low) | (entropy * high < pi @ kl)
        plain = kl[rng.choice(n, 48, p=pi)]
        half = plain.std(axis=0, ddof=1) / np.sqrt(48) * stdtrit(47, 0.975)
        t_misses += np.abs(plain.mean(axis=0) - pi @ kl) > half
    assert misses.max() <= most_misses(0.05)
    assert t_misses.max() > most_misses(0.05)


def test_a_call_returns_these_ends():
    rng = np.random.default_rng(3)
    P = rng.random((300, 300)) ** 6
    chain = fe.MarkovChain(P, normalize=True)
    exact = fe.information_curve(chain, [1, 2, 5])
    found = fe.information_curve(chain, [1, 2, 5], n_starts=200, level=0.99, rng=4)
    assert found.kind == "sample" and found.level == 0.99 and found.pi_kind == "proven"
    assert np.all((found.lower < exact.lower) & (exact.upper < found.upper))
    again = fe.information_curve(chain, [1, 2, 5], n_starts=200, level=0.5, rng=4)
    np.testing.assert_array_equal(again.information, found.information)
    assert np.all((found.lower <= again.lower) & (again.upper <= found.upper))
    assert np.all(np.abs(found.information - exact.information) < 5 * found.standard_error)


def test_a_pi_without_a_proven_error_is_said():
    rng, n = np.random.default_rng(6), 20_000
    i, j = np.repeat(np.arange(n), 3), rng.integers(0, n, 3 * n)
    matrix = sp.coo_array((rng.random(3 * n), (i, j)), shape=(n, n)) + sp.eye_array(n).tocsr()
    chain = fe.MarkovChain(matrix, normalize=True)
    law = fe.stationary(chain)
    found = fe.information_curve(chain, [1, 3], n_starts=64, rng=0)
    assert law.converged and found.converged
    assert found.pi_kind == ("converged" if np.isinf(law.error) else "proven")
    assert np.all((found.lower < found.information) & (found.information < found.upper))
    assert np.all((0.0 < found.lower) & (found.upper < np.inf))

"""Preferences and the best of n answers, against exact optima, enumeration and brute force."""

from itertools import product

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_expit

from fastebm import InvalidChainError, fit_reward, rlvr


def problem(seed, n=7):
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(n)), 3 * rng.normal(size=n), rng


@pytest.mark.parametrize("seed, beta", [(0, 0.1), (1, 1.0), (2, 7.0)])
def test_preferences_that_follow_a_reward_give_the_kl_optimum(seed, beta):
    reference, reward, rng = problem(seed)
    asked = np.triu(rng.integers(1, 50, (7, 7)), 1)
    asked = asked + asked.T  # any design of comparisons
    wins = asked / (1 + np.exp(reward - reward[:, None]))
    found = rlvr.preference_policy(reference, wins, beta)
    optimum = rlvr.optimal_policy(reference, reward, beta)
    np.testing.assert_allclose(found.log_policy, optimum.log_policy, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.implied_reward, reward - reward.mean(), atol=1e-9)
    assert found.converged and found.gradient < 1e-12


def test_no_policy_has_a_larger_likelihood():
    """Counts that no reward explains, sparse comparisons: against a general optimiser in the
    logits."""
    reference, _, rng = problem(3, 5)
    beta, wins = 0.6, rng.poisson(3, (5, 5)).astype(float)
    wins[0, 1:3] = wins[1:3, 0] = 0.0  # not every pair was compared

    def loss(logits):
        s = beta * (logits - np.log(reference))
        return -np.sum((wins - np.diag(np.diag(wins))) * log_expit(s[:, None] - s))

    best = minimize(loss, np.zeros(5), method="BFGS", options={"gtol": 1e-9})
    found = rlvr.preference_policy(reference, wins, beta)
    logits = best.x - np.log(np.exp(best.x).sum())
    np.testing.assert_allclose(found.log_policy, logits, atol=1e-5)
    total = wins.sum() - np.trace(wins)
    assert found.loss <= best.fun / total + 1e-12
    for _ in range(200):
        assert loss(found.log_policy + 0.1 * rng.normal(size=5)) >= found.loss * total
    np.testing.assert_allclose(found.implied_reward, fit_reward(wins).reward, atol=1e-8)


def test_extreme_preferences_stay_finite():
    wins = np.array([[0.0, 1e6, 1e6], [1e-6, 0.0, 1.0], [1e-6, 1.0, 0.0]])
    found = rlvr.preference_policy([0.2, 0.3, 0.5], wins, 0.01)
    assert found.converged and found.policy[0] == 1.0
    np.testing.assert_allclose(found.implied_reward[0] - found.implied_reward[1], np.log(1e12))


@pytest.mark.parametrize("wins, message", [
    ([[0, 1, 1], [0, 0, 1], [0, 1, 0]], "answers 0 and 1"),
    ([[0, 1, 0], [1, 0, 0], [0, 0, 0]], "answers 0 and 2"),
    ([[0, 1], [1, 0]], r"shape \(3, 3\)"),
    ([[0, -1, 1], [1, 0, 1], [1, 1, 0]], r"preferences\[0, 1\] is -1"),
])  # fmt: skip
def test_preferences_are_checked(wins, message):
    with pytest.raises(InvalidChainError, match=message):
        rlvr.preference_policy([0.2, 0.3, 0.5], wins, 1.0)
    with pytest.raises(ValueError, match="beta"):
        rlvr.preference_policy([0.5, 0.5], [[0, 1], [1, 0]], 0.0)


# ---- best of n


def test_best_of_n_by_enumeration():
    reference, reward = np.array([0.1, 0.25, 0.3, 0.35]), np.array([2.0, 1.0, 2.0, -1.0])
    for n in (1, 2, 3, 5):
        exact = np.zeros(4)
        for answers in product(range(4), repeat=n):
            chance = np.prod(reference[list(answers)])
            best = [x for x in answers if reward[x] == reward[list(answers)].max()]
            for x in best:
                exact[x] += chance / len(best)
        found = rlvr.best_of_n(reference, reward, n)
        np.testing.assert_allclose(found.policy, exact, rtol=1e-12)
        assert found.kl == pytest.approx(np.sum(exact * np.log(exact / reference)), abs=1e-13)


def test_verified_best_of_n_is_the_kl_optimum_of_its_accuracy():
    reference, correct = np.array([0.01, 0.04, 0.45, 0.5]), np.array([1.0, 1, 0, 0])
    for n in (2, 8, 64):
        found = rlvr.best_of_n(reference, correct, n)
        accuracy = rlvr.pass_at_k(0.05, n)
        assert found.mean_reward == pytest.approx(accuracy, rel=1e-12, abs=0.0)
        assert found.kl == pytest.approx(rlvr.kl_spent(accuracy, 0.05), rel=1e-11, abs=0.0)
        beta = rlvr.beta_for_accuracy(0.05, accuracy)
        optimum = rlvr.optimal_policy(reference, correct, beta)
        np.testing.assert_allclose(found.policy, optimum.policy, rtol=1e-10)


def test_graded_rewards_cost_more_kl_than_the_optimum():
    for seed in range(5):
        reference, reward, _ = problem(seed, 30)
        found = rlvr.best_of_n(reference, reward, 8)
        assert 0 < found.kl < found.kl_bound
        low, high = 1e-3, 1e3
        for _ in range(100):  # the beta of the same KL
            beta = np.sqrt(low * high)
            optimum = rlvr.optimal_policy(reference, reward, beta)
            low, high = (beta, high) if optimum.divergence > found.kl else (low, beta)
        assert optimum.policy @ reward > found.mean_reward
        forward = rlvr.optimal_policy(reference, reward, 1.0, divergence="forward_kl").policy
        low, high = 1e-3, 1e3
        for _ in range(100):  # the reverse KL of the same reward is the least of all
            beta = np.sqrt(low * high)
            least = rlvr.optimal_policy(reference, reward, beta)
            low, high = (beta, high) if least.policy @ reward > forward @ reward else (low, beta)
        assert least.divergence < np.sum(forward * np.log(forward / reference))


def test_repeated_rounds_multiply_n():
    reference, reward, _ = problem(6)
    twice = rlvr.best_of_n(rlvr.best_of_n(reference, reward, 3).policy, reward, 4)
    np.testing.assert_allclose(
        twice.policy, rlvr.best_of_n(reference, reward, 12).policy, rtol=1e-11
    )


def test_best_of_n_keeps_small_numbers():
    reference = np.array([1e-18, 1e-9, 1 - 1e-9])
    found = rlvr.best_of_n(reference, [2.0, 1.0, 0.0], 1000)
    np.testing.assert_allclose(found.policy[:2], [1e-15, 1e-6], rtol=1e-6)
    middle = np.array([1e-18, 0.5, 1e-18, 0.5, 1e-18])
    np.testing.assert_allclose(rlvr.best_of_n(middle, np.arange(5), 1).policy, middle, rtol=1e-12)
    third = rlvr.best_of_n(middle, np.arange(5), 3).policy  # 3 F^2 times the mass
    np.testing.assert_allclose(third[[0, 2, 4]], [1e-54, 0.75e-18, 3e-18], rtol=1e-12)
    huge = rlvr.best_of_n(reference, [2.0, 1.0, 0.0], 1e30)
    assert huge.policy[0] == pytest.approx(1.0, abs=1e-9) and huge.mean_reward == pytest.approx(2.0)
    assert rlvr.best_of_n(reference, np.ones(3), 5).kl < 1e-15
    for bad in (0.5, np.inf, np.nan):
        with pytest.raises(ValueError, match="n"):
            rlvr.best_of_n(reference, np.ones(3), bad)

"""Optimal policies against dense multiprecision solves on random chains: values, policy rows, KL,
rewards, and the ends of each.

POLICY_CHAINS sets how many chains of up to POLICY_STATES states are taken.
"""

import os

import numpy as np
import pytest
import scipy.sparse as sp
from policy_truth import PolicyTruth, assert_no_better, assert_value, number, numbers, random_chain

import fastebm as fe
from fastebm import policy

N_CHAINS = int(os.environ.get("POLICY_CHAINS", "12"))
MAX_STATES = int(os.environ.get("POLICY_STATES", "24"))
BETAS = (1.0, 0.1, 10.0, 0.02, 1e5)


def problem(seed, *, sign=0):
    """(rng, chain, reward, beta); sign -1: no reward is positive."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, MAX_STATES + 1))
    P = random_chain(rng, n, reversible=bool(seed % 3 == 0))
    reward = rng.normal(size=n) * 10.0 ** rng.integers(-2, 2)
    reward = -np.abs(reward) if sign < 0 else reward
    beta = BETAS[seed % len(BETAS)]
    return rng, fe.MarkovChain(P, normalize=True), reward, beta


def assert_rows(chain, rows, tol=1e-12, scale=1.0, states=None):
    P = chain.to_scipy().toarray()
    for i in range(len(P)) if states is None else states:
        exact = np.zeros(len(P))
        for j, p in rows[i].items():
            exact[j] = float(p)
        np.testing.assert_allclose(P[i], exact, rtol=0, atol=tol * max(1.0, scale))


@pytest.mark.parametrize("seed", range(N_CHAINS))
def test_average(seed):
    rng, chain, reward, beta = problem(seed)
    found = policy.average(chain, reward, beta)
    truth = PolicyTruth(chain, reward, beta)
    log_lambda, v, pi, kl = truth.average(found.value)
    size = float(np.abs(reward).max()) / beta
    gain = truth.beta * log_lambda
    assert_value(found.gain, found.gain_lower, found.gain_upper, gain)
    assert_value(found.kl_rate, found.kl_rate_lower, found.kl_rate_upper, kl, scale=size)
    mean = truth.beta * (log_lambda + kl)
    assert_value(
        found.mean_reward,
        found.mean_reward_lower,
        found.mean_reward_upper,
        mean,
        scale=np.abs(reward).max(),
    )
    V = [truth.beta * (x - v[found.anchor]) for x in v]
    assert_value(found.value, found.value_lower, found.value_upper, V)
    rows, _ = truth.policy(v)
    assert_rows(found.chain, rows, scale=size)
    other = truth.gain_along(*truth.another_policy(rows, rng))
    assert_no_better([other], found.gain_upper, truth.beta)
    myopic = fe.tilt(chain, reward, beta)
    law = fe.stationary(myopic).pi
    gain = float(gain)
    price = gain - beta * float(law @ myopic.log_partition)  # in doubles
    slack = 1e-11 * max(1.0, abs(gain), 1e-3 * beta)
    low, high = found.price_of_myopia_lower, found.price_of_myopia_upper
    assert abs(found.price_of_myopia - price) <= slack
    assert low - slack <= price <= high + slack and low <= found.price_of_myopia <= high
    assert found.converged
    if chain.is_reversible:
        assert found.chain.is_reversible
        np.testing.assert_allclose(
            found.chain.pi, numbers(pi), rtol=1e-9 * max(1.0, size), atol=1e-300
        )
        assert fe.spectral_gap(found.chain).converged


@pytest.mark.parametrize("seed", range(N_CHAINS))
def test_first_exit(seed):
    rng, chain, reward, beta = problem(seed, sign=-1)
    exits = rng.choice(chain.n_states, 2, replace=False)
    at_exit = rng.normal(size=2) * np.abs(reward).max()
    found = policy.first_exit(chain, reward, beta, exit=exits, exit_reward=at_exit)
    truth, ends = PolicyTruth(chain, reward, beta), dict(zip(exits.tolist(), at_exit, strict=True))
    v, kl = truth.first_exit(ends, found.value)
    V = [number(float(ends[i])) if i in ends else truth.beta * x for i, x in enumerate(v)]
    size = float(np.abs(numbers(v)).max())
    assert_value(found.value, found.value_lower, found.value_upper, V)
    assert_value(found.path_kl, found.path_kl_lower, found.path_kl_upper, kl, scale=size)
    mean = [truth.beta * (a + b) for a, b in zip(v, kl, strict=True)]
    assert_value(
        found.mean_reward, found.mean_reward_lower, found.mean_reward_upper, mean, scale=beta * size
    )
    rows, _ = truth.policy(v)
    inside = np.setdiff1d(np.arange(chain.n_states), exits)
    assert_rows(found.chain, rows, scale=size, states=inside)
    other = truth.value_along(*truth.another_policy(rows, rng), ends)
    assert_no_better(other, found.value_upper, truth.beta)
    kept = chain.to_scipy().toarray()[exits]
    np.testing.assert_allclose(found.chain.to_scipy().toarray()[exits], kept, rtol=1e-14)
    assert found.converged


@pytest.mark.parametrize("seed", range(N_CHAINS))
def test_verifiable(seed):
    rng, chain, _, beta = problem(seed)
    right, wrong = rng.choice(chain.n_states, 2, replace=False)
    found = policy.verifiable(chain, [right], beta, wrong=[wrong] if seed % 4 else None)
    if seed % 4 == 0:  # nothing is wrong: the path ends correctly
        ones = [number(1)] * chain.n_states
        assert_value(found.value, found.value_lower, found.value_upper, ones)
        return
    truth = PolicyTruth(chain, np.zeros(chain.n_states), beta)
    v, kl = truth.first_exit({int(right): 1.0, int(wrong): 0.0}, found.value)
    V = [truth.beta * x for x in v]
    assert_value(found.value, found.value_lower, found.value_upper, V)
    size = 1.0 / beta
    assert_value(found.path_kl, found.path_kl_lower, found.path_kl_upper, kl, scale=size)
    success = [truth.beta * (a + b) for a, b in zip(v, kl, strict=True)]
    assert_value(
        found.success,
        found.success_lower,
        found.success_upper,
        success,
        tol=1e-11 if beta > 1e3 else 1e-12,
    )
    rows, _ = truth.policy(v)
    inside = np.setdiff1d(np.arange(chain.n_states), [right, wrong])
    assert_rows(found.chain, rows, scale=size, states=inside)
    general = policy.first_exit(
        chain, np.zeros(chain.n_states), beta, exit=[right, wrong], exit_reward=[1.0, 0.0]
    )
    np.testing.assert_allclose(found.value, general.value, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("seed", range(N_CHAINS))
def test_discounted(seed):
    rng, chain, reward, beta = problem(seed)
    discount = (0.5, 0.9, 0.99, 0.9999)[seed % 4]
    found = policy.discounted(chain, reward, beta, discount=discount)
    truth = PolicyTruth(chain, reward, beta)
    v, kl = truth.discounted(discount, found.value)
    V = [truth.beta * x for x in v]
    assert_value(found.value, found.value_lower, found.value_upper, V)
    size = float(np.abs(numbers(v)).max())
    assert_value(found.path_kl, found.path_kl_lower, found.path_kl_upper, kl, scale=size)
    mean = [truth.beta * (a + b) for a, b in zip(v, kl, strict=True)]
    assert_value(
        found.mean_reward, found.mean_reward_lower, found.mean_reward_upper, mean, scale=beta * size
    )
    rows, _ = truth.policy([number(discount) * x for x in v])
    assert_rows(found.chain, rows, scale=size)
    other = truth.value_along(*truth.another_policy(rows, rng), None, discount)
    assert_no_better(other, found.value_upper, truth.beta)


@pytest.mark.parametrize("seed", range(0, N_CHAINS, 2))
def test_finite_horizon(seed):
    rng, chain, reward, beta = problem(seed)
    final = rng.normal(size=chain.n_states)
    found = policy.finite_horizon(chain, reward, beta, horizon=6, final=final)
    truth = PolicyTruth(chain, reward, beta)
    v = [number(float(x)) / truth.beta for x in final]
    kl = [number(0)] * truth.n
    for t in range(5, -1, -1):
        rows, own = truth.policy(v)
        assert_rows(found.chain(t), rows, scale=float(np.abs(numbers(v)).max()))
        kl = [own[i] + sum(p * kl[j] for j, p in rows[i].items()) for i in range(truth.n)]
        v = truth.bellman(v)
        V = [truth.beta * x for x in v]
        assert_value(found.value[t], found.value_lower[t], found.value_upper[t], V)
        size = float(np.abs(numbers(v)).max())
        assert_value(
            found.path_kl[t], found.path_kl_lower[t], found.path_kl_upper[t], kl, scale=size
        )


@pytest.mark.parametrize("seed", range(0, N_CHAINS, 3))
def test_a_reward_of_transitions(seed):
    rng, chain, _, beta = problem(seed)
    dense = chain.to_scipy().toarray()
    reward = np.where(dense > 0, -rng.random(dense.shape), 0.0)
    sparse = sp.csr_array(reward)
    truth = PolicyTruth(chain, reward, beta)
    found = policy.average(chain, sparse, beta)
    log_lambda, v, _, kl = truth.average(found.value)
    assert_value(found.gain, found.gain_lower, found.gain_upper, truth.beta * log_lambda)
    assert_value(found.kl_rate, found.kl_rate_lower, found.kl_rate_upper, kl, scale=1.0 / beta)
    assert_rows(found.chain, truth.policy(v)[0], scale=1.0 / beta)
    exit_ = policy.first_exit(chain, sparse, beta, exit=[0])
    v, kl = truth.first_exit({0: 0.0}, exit_.value)
    V = [truth.beta * x for x in v]
    assert_value(exit_.value, exit_.value_lower, exit_.value_upper, V)
    assert_value(
        exit_.path_kl,
        exit_.path_kl_lower,
        exit_.path_kl_upper,
        kl,
        scale=float(np.abs(numbers(v)).max()),
    )


@pytest.mark.parametrize("size", [1e3, 1e5])
def test_values_of_many_nats(size):
    rng = np.random.default_rng(4)
    chain = fe.MarkovChain(random_chain(rng, 15))
    reward = -rng.random(15) * size
    truth = PolicyTruth(chain, reward, 1.0)
    found = policy.first_exit(chain, reward, 1.0, exit=[0], exit_reward=-size)
    v, _ = truth.first_exit({0: -size}, found.value)
    assert_value(found.value, found.value_lower, found.value_upper, v)
    assert found.converged and np.abs(found.value).max() > size
    best = policy.average(chain, reward, 1.0)
    log_lambda, v, _, _ = truth.average(best.value)
    assert_value(best.gain, best.gain_lower, best.gain_upper, log_lambda)
    off = policy.discounted(chain, reward, 1.0, discount=0.9)
    v, _ = truth.discounted(0.9, off.value)
    assert_value(off.value, off.value_lower, off.value_upper, v)

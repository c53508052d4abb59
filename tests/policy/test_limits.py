"""Limits, existence, refusals and long calls of optimal policies."""

import dataclasses
import json
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from policy_truth import random_chain

import fastebm as fe
from fastebm import policy
from fastebm.rlvr.kl import kl_peak

RNG = np.random.default_rng(11)
N = 12
P = random_chain(RNG, N)
Q = fe.MarkovChain(P)
R = RNG.normal(size=N)


def path_kl(rows, reference):
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(rows > 0, rows * np.log(rows / reference), 0.0).sum(axis=1)


def perturbed(chain, rng, size):
    rows = chain.to_scipy().toarray()
    rows = rows * np.exp(size * rng.normal(size=rows.shape))
    return rows / rows.sum(axis=1, keepdims=True)


# ------------------------------------------------------------------------------------- optimality


@pytest.mark.parametrize("size", [1e-3, 0.1, 2.0])
def test_no_perturbed_policy_is_better(size):
    rng, beta = np.random.default_rng(1), 0.5
    exits = np.arange(N) < 2
    inside, cost = ~exits, -np.abs(R)
    best = policy.first_exit(Q, cost, beta, exit=exits, exit_reward=[1.0, -1.0])
    mean, off = policy.average(Q, R, beta), policy.discounted(Q, R, beta, discount=0.9)
    for _ in range(20):
        rows = perturbed(best.chain, rng, size)
        earned = rows @ (cost + np.where(exits, [1.0, -1.0] + [0.0] * (N - 2), 0.0))
        earned -= beta * path_kl(rows, P)
        value = np.linalg.solve(np.eye(N - 2) - rows[inside][:, inside], earned[inside])
        assert (value <= best.value_upper[inside]).all()
        rows = perturbed(mean.chain, rng, size)
        pi = fe.stationary(fe.MarkovChain(rows)).pi
        assert pi @ (rows @ R - beta * path_kl(rows, P)) <= mean.gain_upper
        rows = perturbed(off.chain, rng, size)
        earned = rows @ R - beta * path_kl(rows, P)
        assert (np.linalg.solve(np.eye(N) - 0.9 * rows, earned) <= off.value_upper).all()


def test_one_step_of_policy_iteration_does_not_change_the_optimum():
    """Evaluating the policy returned, by a dense solve, gives its value and KL."""
    beta = 0.3
    off = policy.discounted(Q, R, beta, discount=0.95)
    rows = off.chain.to_scipy().toarray()
    earned = rows @ R - beta * path_kl(rows, P)
    value = np.linalg.solve(np.eye(N) - 0.95 * rows, earned)
    np.testing.assert_allclose(off.value, value, rtol=1e-11, atol=1e-11)
    kl = np.linalg.solve(np.eye(N) - 0.95 * rows, path_kl(rows, P))
    np.testing.assert_allclose(off.path_kl, kl, rtol=1e-11, atol=1e-11)
    mean = policy.average(Q, R, beta)
    rows = mean.chain.to_scipy().toarray()
    pi = fe.stationary(mean.chain).pi
    assert mean.mean_reward == pytest.approx(pi @ rows @ R, rel=1e-11)
    assert mean.kl_rate == pytest.approx(pi @ path_kl(rows, P), rel=1e-10)


# ----------------------------------------------------------------------------------------- limits


def test_a_long_horizon_is_the_average_and_the_discounted_optimum():
    beta = 0.7
    mean, long = policy.average(Q, R, beta), policy.finite_horizon(Q, R, beta, horizon=400)
    assert long.value[0, 0] - long.value[1, 0] == pytest.approx(mean.gain, rel=1e-11)
    np.testing.assert_allclose(
        long.chain(0).to_scipy().toarray(), mean.chain.to_scipy().toarray(), atol=1e-11
    )
    off = policy.discounted(Q, R, beta, discount=1.0 - 1e-7)
    np.testing.assert_allclose(1e-7 * off.value, mean.gain, rtol=1e-5)
    np.testing.assert_allclose(
        off.chain.to_scipy().toarray(), mean.chain.to_scipy().toarray(), atol=1e-5
    )


def test_a_small_beta_is_doobs_transform():
    u = fe.hitting_probabilities(Q, [0], avoid=[1]).probability
    found = policy.verifiable(Q, [0], 1e-4, wrong=[1])
    rows = found.chain.to_scipy().toarray()[2:]
    np.testing.assert_allclose(rows, P[2:] * u / u[2:, None], rtol=1e-11, atol=1e-300)
    np.testing.assert_allclose(found.path_kl[2:], -np.log(u[2:]), rtol=1e-10)
    np.testing.assert_array_equal(found.success[2:], 1.0)


def test_a_large_beta_is_the_reference():
    pi = fe.stationary(Q).pi
    mean = policy.average(Q, R, 1e9)
    assert mean.gain == pytest.approx(pi @ R, rel=1e-8)
    np.testing.assert_allclose(mean.chain.to_scipy().toarray(), P, rtol=1e-7)
    off = policy.discounted(Q, R, 1e9, discount=0.9)
    np.testing.assert_allclose(off.value, np.linalg.solve(np.eye(N) - 0.9 * P, P @ R), atol=1e-7)
    u = fe.hitting_probabilities(Q, [0], avoid=[1]).probability
    for beta in (1e12, np.inf):
        found = policy.verifiable(Q, [0], beta, wrong=[1])
        np.testing.assert_allclose(found.value, u, rtol=1e-11)
        np.testing.assert_allclose(found.chain.to_scipy().toarray(), P, rtol=1e-11)


def two_rare_steps(first, second):
    """State 0 leads to 1 and 1 to the correct state 2 with these probabilities, otherwise to 3."""
    rows = np.zeros((4, 4))
    rows[0, [1, 3]], rows[1, [2, 3]] = (first, 1.0), (second, 1.0)
    rows[2, 2] = rows[3, 3] = 1.0
    return fe.MarkovChain(rows, normalize=True)


def test_a_value_is_no_product_that_underflows():
    """At beta = 1e300 the value is u, but log z is below the range of doubles."""
    for beta in (1e15, 1e300, 1.7e308):
        found = policy.verifiable(two_rare_steps(1e-20, 1e-30), [2], beta, wrong=[3])
        np.testing.assert_allclose(found.value[:2], [1e-50, 1e-30], rtol=1e-13)
        assert (found.value_lower[:2] <= found.success_reference[:2]).all()
        assert (found.success_reference[:2] <= found.value_upper[:2]).all()


def test_a_success_below_the_range_of_doubles_has_true_ends():
    with pytest.warns(fe.ConvergenceWarning):
        found = policy.verifiable(two_rare_steps(1e-200, 1e-200), [2], 1e-3, wrong=[3])
    assert found.success_upper[0] == 1.0 and found.path_kl_upper[0] >= -np.log(1e-200) * 2
    near = found.with_beta(0.5)
    assert near.success_lower[0] == 0.0 < near.success_upper[0]
    assert near.success_upper[3] == near.value_upper[3] == near.path_kl_upper[3] == 0.0
    cold = policy.verifiable(two_rare_steps(0.5, 0.5), [2], 6e-309, wrong=[3])
    for field in ("success", "value", "path_kl"):
        low, high = getattr(cold, field + "_lower"), getattr(cold, field + "_upper")
        assert (low <= getattr(cold, field)).all() and (getattr(cold, field) <= high).all()
        assert (high - low < 1e-12).all()


@pytest.mark.parametrize("s", [1e-4, 0.02, 1.0, 30.0, 600.0])
def test_the_largest_kl(s):
    u, most = kl_peak(s)
    others = np.exp(np.linspace(-1e-3, 1e-3, 201)) * u
    logits = np.log(others) - np.log1p(-others)
    spent = fe.rlvr.kl_spent(logits + s, logits, logit=True)
    assert spent.max() <= most <= spent.max() * (1.0 + 1e-5)
    assert abs(int(np.argmax(spent)) - 100) <= 1


def test_rewards_over_beta_below_the_normal_range():
    """Denormal numbers have few digits; the ends allow for it."""
    for beta in (1e307, 1.7e308):
        pi = fe.stationary(Q).pi
        mean = policy.average(Q, 1e-4 * R, beta)
        assert mean.gain_lower <= 1e-4 * pi @ R <= mean.gain_upper
        off = policy.discounted(Q, 1e-4 * R, beta, discount=0.9)
        exact = 1e-4 * np.linalg.solve(np.eye(N) - 0.9 * P, P @ R)
        assert (off.value_lower <= exact).all() and (exact <= off.value_upper).all()
        exit_ = policy.first_exit(Q, np.zeros(N), beta, exit=[0, 1], exit_reward=[-1e-4, 0.0])
        u = fe.hitting_probabilities(Q, [0], avoid=[1]).probability
        assert (exit_.value_lower <= -1e-4 * u).all() and (-1e-4 * u <= exit_.value_upper).all()
        assert exit_.value[0] == exit_.value_lower[0] == -1e-4
    with pytest.raises(fe.InvalidChainError, match="overflows; raise beta"):
        policy.first_exit(Q, np.zeros(N), 1e-5, exit=[0], exit_reward=1e305)


def test_the_flow_leads_from_the_reference_to_the_optimum():
    best = policy.verifiable(Q, [0], 0.5, wrong=[1])
    start, end = (best.flow(t).to_scipy().toarray() for t in (0.0, np.inf))
    np.testing.assert_allclose(start, P, rtol=1e-14)
    np.testing.assert_array_equal(end, best.chain.to_scipy().toarray())
    strength = -np.expm1(-0.5 * 3.0) / 0.5
    other = best.with_beta(1.0 / strength)
    np.testing.assert_allclose(
        best.flow(3.0).to_scipy().toarray(), other.chain.to_scipy().toarray(), rtol=1e-13
    )
    accuracy = fe.rlvr.flow(best.success_reference, 0.5, 3.0)
    np.testing.assert_allclose(other.success, accuracy, rtol=1e-12)


def test_a_path_that_never_stops_is_wrong_or_forbidden():
    """States 3 and 4 never leave each other."""
    rows = np.zeros((5, 5))
    rows[0, 0] = rows[1, 1] = rows[3, 4] = rows[4, 3] = 1.0
    rows[2, [0, 1, 3]] = 0.25, 0.25, 0.5
    chain = fe.MarkovChain(rows)
    found = policy.verifiable(chain, [0], 1.0, wrong=[1])
    z = 0.75 + 0.25 * np.e
    np.testing.assert_allclose(found.value, [1.0, 0.0, np.log(z), 0.0, 0.0], rtol=1e-14)
    np.testing.assert_array_equal(found.chain.to_scipy().toarray()[3:], rows[3:])
    exit_ = policy.first_exit(chain, np.zeros(5), 1.0, exit=[0, 1], exit_reward=[1.0, 0.0])
    np.testing.assert_array_equal(np.isneginf(exit_.value), [0, 0, 0, 1, 1])
    assert np.isinf(exit_.path_kl[3:]).all()
    assert exit_.value[2] == pytest.approx(np.log(0.25 + 0.25 * np.e), rel=1e-14)
    after = exit_.chain.to_scipy().toarray()
    np.testing.assert_allclose(after[2], [np.e / (1 + np.e), 1 / (1 + np.e), 0, 0, 0], rtol=1e-14)
    np.testing.assert_array_equal(after[3:], rows[3:])


# -------------------------------------------------------------------------------------- existence


def loop(hold):
    """State 0 holds, and leaves for the exit 2; state 1 leads to 0."""
    rows = np.array([[hold, 0.0, 1.0 - hold], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    return fe.MarkovChain(rows)


def test_the_class_that_makes_the_value_infinite_is_named():
    reward = np.array([1.0, 0.0, 0.0])
    chain, edge = loop(0.5), 1.0 / np.log(2.0)  # 0.5 exp(1 / edge) = 1
    found = policy.first_exit(chain, reward, edge * 1.001, exit=[2])
    z = 0.5 / (1.0 - 0.5 * np.exp(1.0 / (edge * 1.001)))
    assert found.value[0] == pytest.approx(edge * 1.001 * np.log(z), rel=1e-9)
    assert found.value_lower[0] <= edge * 1.001 * np.log(z) * (1 + 1e-12)
    for beta in (edge * 0.999, 0.01):
        with pytest.raises(
            fe.InvalidChainError, match=r"class of state 0 \(1 states\).*raise beta"
        ):
            policy.first_exit(chain, reward, beta, exit=[2])
    with pytest.raises((fe.ConvergenceError, fe.InvalidChainError), match="class of state 0"):
        policy.first_exit(chain, reward, edge, exit=[2])


def test_costs_have_a_finite_value_however_rare_the_exit():
    """The spectral radius is one to the last bit, and the exit is never proven: no false error."""
    rows = np.array([[1.0 - 1e-17, 1e-17], [0.0, 1.0]])
    chain = fe.MarkovChain(rows)
    with pytest.warns(fe.ConvergenceWarning, match="first_exit"):
        found = policy.first_exit(chain, [0.0, -1.0], 1.0, exit=[1])
    assert found.value_lower[0] <= -1.0 <= found.value_upper[0] or found.converged


def test_a_class_that_cannot_reach_the_exit_does_not_matter():
    rows = np.array([[0.0, 0.5, 0.5], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    found = policy.first_exit(fe.MarkovChain(rows), [0.0, 5.0, 0.0], 1.0, exit=[2])
    np.testing.assert_allclose(found.value, [np.log(0.5), -np.inf, 0.0])


# ---------------------------------------------------------------------------------- forbidden, bad


def test_forbidden_states_and_transitions():
    reward = np.where(np.arange(N) == 5, -np.inf, R)
    keep = np.arange(N) != 5
    with pytest.raises(fe.ReducibleChainError, match=r"states \d+ and \d+ do not communicate"):
        policy.average(Q, reward, 1.0)
    off = policy.discounted(Q, reward, 1.0, discount=0.9)
    near = policy.discounted(Q, np.where(keep, R, -1e3), 1.0, discount=0.9)
    np.testing.assert_allclose(off.value, near.value, rtol=1e-11)
    assert (off.chain.to_scipy().toarray()[:, 5] == 0.0).all()
    x, y = np.nonzero(P)
    entry = sp.csr_array((np.where((x == 0) & (y == y[0]), -np.inf, 0.1), (x, y)), shape=P.shape)
    best = policy.average(Q, entry, 1.0)
    rows = P.copy()
    rows[0, y[0]] = 0.0
    exact = 0.1 + np.log(np.abs(np.linalg.eigvals(rows)).max())
    assert best.gain == pytest.approx(exact, rel=1e-12)
    assert best.chain.to_scipy().toarray()[0, y[0]] == 0.0


@pytest.mark.parametrize("on_transitions", [False, True])
def test_a_reward_may_forbid_every_transition_of_an_exit(on_transitions):
    """Exit 4 leads to state 3 alone, which is forbidden; its row does not matter."""
    rows = random_chain(np.random.default_rng(5), 5)
    rows[4] = [0.0, 0.0, 0.0, 1.0, 0.0]
    chain = fe.MarkovChain(rows)
    dense = np.broadcast_to(np.array([-0.2, -0.1, -0.4, -np.inf, -0.3]), (5, 5))
    x, y = np.nonzero(rows)
    reward = sp.csr_array((dense[x, y], (x, y)), shape=(5, 5)) if on_transitions else dense[0]
    found = policy.first_exit(chain, reward, 0.5, exit=[4], exit_reward=0.7)
    M = rows * np.exp(dense / 0.5)
    z = np.linalg.solve(np.eye(4) - M[:4, :4], M[:4, 4] * np.exp(0.7 / 0.5))
    np.testing.assert_allclose(found.value, [*(0.5 * np.log(z)), 0.7], rtol=1e-12)
    after = found.chain.to_scipy().toarray()
    np.testing.assert_array_equal(after[4], rows[4])
    assert (after[:4, 3] == 0.0).all()
    with pytest.raises(fe.InvalidChainError, match="row 4: the reward forbids every transition"):
        policy.first_exit(chain, reward, 0.5, exit=[0])


@pytest.mark.parametrize("beta", [0.0, -1.0, np.nan])
def test_beta_must_be_positive(beta):
    for call in (
        lambda: policy.verifiable(Q, [0], beta),
        lambda: policy.first_exit(Q, -np.abs(R), beta, exit=[0]),
        lambda: policy.discounted(Q, R, beta, discount=0.5),
        lambda: policy.average(Q, R, beta),
        lambda: policy.finite_horizon(Q, R, beta, horizon=2),
    ):
        with pytest.raises(fe.InvalidChainError, match="beta"):
            call()


def test_bad_arguments_are_named():
    with pytest.raises(fe.InvalidChainError, match="exit_reward must be a number or have shape"):
        policy.first_exit(Q, R, 1.0, exit=[0, 1], exit_reward=[1.0, 2.0, 3.0])
    with pytest.raises(fe.InvalidChainError, match="listed twice"):
        policy.first_exit(Q, R, 1.0, exit=[0, 0], exit_reward=[1.0, 2.0])
    with pytest.raises(fe.InvalidChainError, match="discount"):
        policy.discounted(Q, R, 1.0, discount=1.0)
    with pytest.raises(fe.InvalidChainError, match="below the horizon"):
        policy.finite_horizon(Q, R, 1.0, horizon=2).chain(2)
    with pytest.raises(fe.InvalidChainError, match="two of the sets"):
        policy.verifiable(Q, [0, 1], 1.0, wrong=[1])
    with pytest.raises(fe.InvalidChainError, match=r"reward\[3\] is nan"):
        policy.average(Q, np.where(np.arange(N) == 3, np.nan, R), 1.0)
    with pytest.raises(TypeError, match="reference"):
        policy.average(P, R, 1.0)


# ------------------------------------------------------------------------------------ rate function


def test_the_rate_function_of_independent_draws_is_a_divergence():
    p = 0.3
    coin = fe.MarkovChain(np.array([[1 - p, p], [1 - p, p]]))
    levels = np.array([0.9, 0.3, 0.05, 1.5, -0.1])
    found = policy.rate_function(coin, [0.0, 1.0], levels)
    exact = fe.rlvr.kl_spent(levels[:3], p)
    assert (found.rate_lower[:3] <= exact + 1e-15).all()
    assert (exact <= found.rate_upper[:3] + 1e-15).all()
    np.testing.assert_allclose(found.rate[:3], exact, atol=1e-8)
    np.testing.assert_array_equal(found.rate[3:], np.inf)
    assert found.converged and found.mean_reward == pytest.approx(p, rel=1e-12)


def test_the_rate_function_is_the_transform_of_the_perron_root():
    found = policy.rate_function(Q, R, [0.0, 0.3])
    theta = np.linspace(-3.0, 3.0, 601)
    logs = [np.log(np.abs(np.linalg.eigvals(P * np.exp(t * R))).max()) for t in theta]
    for i, a in enumerate(found.levels):
        assert found.rate_upper[i] >= np.max(theta * a - logs) - 1e-12
        assert found.rate_lower[i] <= np.max(theta * a - logs) + 1e-4
    best = policy.average(Q, R, 1.0 / found.theta[1])
    assert best.mean_reward == pytest.approx(0.3, abs=1e-4)


def test_a_level_at_the_largest_mean_of_a_cycle():
    """The rate is -log of the spectral radius on the transitions that keep the mean."""
    coin = fe.MarkovChain(np.full((2, 2), 0.5))
    found = policy.rate_function(coin, [0.0, 1.0], [0.0, 1.0])
    assert (found.rate_lower <= np.log(2.0)).all() and (np.log(2.0) <= found.rate_upper).all()
    assert found.converged and found.theta.tolist() == [-np.inf, np.inf]
    # the best cycles are 0-1 (mean 0.5 exactly) and the loop of 3; the chain prefers the loop
    rows = np.zeros((4, 4))
    rows[0, 1], rows[1, 0], rows[1, 2], rows[2, 3], rows[3, 3], rows[3, 0] = (
        1,
        0.5,
        0.5,
        1,
        0.9,
        0.1,
    )
    reward = np.array([1.0, 0.0, -4.0, 0.5])
    found = policy.rate_function(fe.MarkovChain(rows), reward, 0.5)
    assert found.rate_lower[0] <= -np.log(0.9) <= found.rate_upper[0] and found.converged


def test_a_level_that_a_cycle_has_is_not_called_impossible():
    """For transitions, where a bound of the means was rounded the wrong way."""
    rows = np.array([[0.678, 0.322], [1.0, 0.0]])
    found = policy.rate_function(
        fe.MarkovChain(rows), sp.csr_array([[0.5, 0.75], [0.5, 0.0]]), [0.5]
    )
    assert found.rate_lower[0] <= -np.log(0.678) <= found.rate_upper[0] and found.converged


def test_a_level_beyond_every_cycle_to_rounding_has_no_upper_end():
    coin = fe.MarkovChain(np.full((2, 2), 0.5))
    with pytest.warns(
        fe.ConvergenceWarning, match=r"the level 1\.0000000000000002 has a lower end"
    ):
        found = policy.rate_function(coin, [0.0, 1.0], np.nextafter(1.0, 2.0))
    assert found.rate_upper[0] == np.inf and found.rate_lower[0] <= np.log(2.0)
    found = policy.rate_function(coin, [0.1, 0.1], [0.1, np.nextafter(0.1, 1.0)])
    assert found.rate.tolist() == [0.0, np.inf]  # a constant reward


# --------------------------------------------------------------------------------------- long calls

CALLS = {
    "average": lambda chain, reward, **o: policy.average(chain, reward, 0.5, **o),
    "first_exit": lambda chain, reward, **o: policy.first_exit(
        chain, -np.abs(reward), 0.5, exit=[0], **o
    ),
    "discounted": lambda chain, reward, **o: policy.discounted(
        chain, reward, 0.5, discount=0.97, **o
    ),
}


def same(first, second):
    for field in dataclasses.fields(first):
        if not field.name.startswith("_") and field.name not in ("n_iter", "hit"):
            np.testing.assert_array_equal(
                getattr(first, field.name), getattr(second, field.name), err_msg=field.name
            )


@pytest.mark.parametrize("name", CALLS)
def test_a_large_chain_iterates_and_continues_with_the_same_bits(name, tmp_path):
    chain = fe.Torus((40, 40), holding=0.1)
    reward = np.random.default_rng(2).normal(size=chain.n_states)
    call, file = CALLS[name], tmp_path / "state"
    whole = call(chain, reward, num_threads=1)
    assert whole.converged
    same(whole, call(chain, reward, num_threads=2))
    calls = [0]

    def stop(info):
        calls[0] += 1
        if calls[0] == 30:
            raise KeyboardInterrupt

    with pytest.raises(fe.Interrupted):
        call(chain, reward, num_threads=1, checkpoint=file, callback=stop)
    assert file.exists()
    same(whole, call(chain, reward, num_threads=1, checkpoint=file))
    assert not file.exists()


def test_a_discount_near_one_on_a_slow_chain(tmp_path):
    """The best states are far away: policy iteration alone improves one more state a step."""
    n, beta, gamma = 1500, 1.0, 0.9999
    ring = fe.MarkovChain.from_edges(np.arange(n), (np.arange(n) + 1) % n, symmetric=True)
    reward = np.random.default_rng(0).normal(size=n)
    found = policy.discounted(ring, reward, beta, discount=gamma)
    logs = (reward + gamma * found.value) / beta
    again = beta * (np.logaddexp(np.roll(logs, 1), np.roll(logs, -1)) - np.log(2.0))
    error = float(np.abs(again - found.value).max()) / (1.0 - gamma)  # of the fixed point
    assert found.converged and error <= 2e-10 * np.abs(found.value).min()
    assert (found.value_upper - found.value_lower <= 2e-10 * np.abs(found.value)).all()
    calls, file = [0], tmp_path / "state"

    def stop(info):
        calls[0] += 1
        if calls[0] == 300:
            raise KeyboardInterrupt

    with pytest.raises(fe.Interrupted) as caught:
        policy.discounted(ring, reward, beta, discount=gamma, checkpoint=file, callback=stop)
    partial = caught.value.partial
    assert not partial.converged
    assert (partial.value_lower <= found.value).all() and (found.value <= partial.value_upper).all()
    same(found, policy.discounted(ring, reward, beta, discount=gamma, checkpoint=file))


@pytest.mark.parametrize("name", ["average", "first_exit"])
@pytest.mark.parametrize("n_calls", [5, 30, 80])
def test_an_interrupted_call_says_what_is_known(name, n_calls):
    chain = fe.Torus((40, 40), holding=0.1)
    reward = np.random.default_rng(2).normal(size=chain.n_states)
    whole, left = CALLS[name](chain, reward), [n_calls]

    def stop(info):
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt

    with pytest.raises(fe.Interrupted) as caught:
        CALLS[name](chain, reward, callback=stop)
    partial = caught.value.partial
    if name == "first_exit" and n_calls == 5:  # the first solve is under way
        assert partial is None
        return
    assert type(partial) is type(whole) and not partial.converged
    json.dumps(partial.to_dict(), allow_nan=False)
    names = {"average": ("gain", "kl_rate", "mean_reward", "price_of_myopia")}
    for field in names.get(name, ("value", "path_kl", "mean_reward")):
        low, high = (np.asarray(getattr(partial, field + end)) for end in ("_lower", "_upper"))
        exact = np.asarray(getattr(whole, field))
        assert (low <= exact).all() and (exact <= high).all(), field
    if name == "average":
        assert np.isfinite([partial.gain_upper, partial.kl_rate_upper]).all()
        assert partial.value[partial.anchor] == 0.0


def interrupted(n_calls, call):
    """The partial result of a call that is interrupted at its report number `n_calls`."""
    left = [n_calls]

    def stop(info):
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt

    with pytest.raises(fe.Interrupted) as caught:
        call(callback=stop)
    return caught.value.partial


def test_an_interrupted_horizon_has_its_last_steps():
    def call(**o):
        return policy.finite_horizon(Q, R, 0.5, horizon=9, final=-R, **o)

    whole, partial = call(), interrupted(4, call)
    assert not partial.converged and partial.horizon == 9
    json.dumps(partial.to_dict(), allow_nan=False)
    for field in ("value", "path_kl", "mean_reward"):
        known, exact = getattr(partial, field), getattr(whole, field)
        np.testing.assert_array_equal(known[5:], exact[5:])
        assert np.isnan(known[:5]).all()
        low, high = getattr(partial, field + "_lower"), getattr(partial, field + "_upper")
        assert (low <= exact).all() and (exact <= high).all()
        np.testing.assert_array_equal(low[5:], getattr(whole, field + "_lower")[5:])
        assert np.isposinf(high[:5]).all()
    np.testing.assert_array_equal(
        partial.chain(4).to_scipy().toarray(), whole.chain(4).to_scipy().toarray()
    )
    with pytest.raises(fe.InvalidChainError, match=r"time 4.*interrupted"):
        partial.chain(3)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9])
def test_an_interrupted_rate_function_encloses_every_level(share):
    levels = [0.4, 0.1, 9.0]

    def call(**o):
        return policy.rate_function(Q, R, levels, **o)

    reports = []
    whole = call(callback=reports.append)
    partial = interrupted(1 + int(share * len(reports)), call)
    if share == 0.0:  # log lambda is not known anywhere
        assert partial is None
        return
    json.dumps(partial.to_dict(), allow_nan=False)
    assert not partial.converged and 0 < partial.n_iter <= whole.n_iter
    assert (partial.rate_lower <= whole.rate).all() and (whole.rate <= partial.rate_upper).all()
    done = ~np.isnan(partial.rate)
    np.testing.assert_array_equal(partial.rate[done], whole.rate[done])
    np.testing.assert_array_equal(np.isnan(partial.theta), ~done)
    assert not done.all() and done.any() == (share >= 0.5)


@pytest.mark.parametrize("level", [0.5, 0.25])
def test_every_path_has_one_mean(level):
    """The rate of a cycle's mean is zero, and no other one has a finite rate."""
    flip = fe.MarkovChain(np.array([[0.0, 1.0], [1.0, 0.0]]))
    found = policy.rate_function(flip, [0.0, 1.0], level)
    exact = 0.0 if level == 0.5 else np.inf
    assert found.rate_lower[0] <= exact <= found.rate_upper[0] and found.converged


@pytest.mark.parametrize("name", CALLS)
def test_results_are_json_and_a_sweep_is_single_calls(name):
    found = CALLS[name](Q, R)
    json.dumps(found.to_dict(), allow_nan=False)
    assert "_problem" not in found.to_dict() and name in policy.__all__
    for other in found.sweep([0.5, 2.0]):
        again = found.with_beta(other.beta)
        value = "gain" if name == "average" else "value"
        np.testing.assert_allclose(getattr(other, value), getattr(again, value), rtol=1e-12)
    near = found.sweep([0.5])[0]
    np.testing.assert_allclose(near.value, found.value, rtol=1e-12, atol=1e-13)


def test_the_chain_has_scalings_only():
    chain = fe.Torus((20, 20))
    reward = np.random.default_rng(3).normal(size=400)
    mean = policy.average(chain, reward, 1.0)
    off = policy.discounted(chain, reward, 1.0, discount=0.9)
    horizon = policy.finite_horizon(chain, reward, 1.0, horizon=2)
    for found in (mean.chain, off.chain, horizon.chain(0)):
        assert found._scaled.pattern is chain._scaled.pattern
        assert found.is_reversible and found.pi is not None
    line = np.zeros((4, 4))
    line[0, 0] = line[3, 3] = 1.0
    line[1, [0, 2]] = line[2, [1, 3]] = 0.5
    absorbing = fe.MarkovChain(line)
    for found in (
        policy.verifiable(absorbing, [3], 0.1, wrong=[0]),
        policy.first_exit(absorbing, -np.ones(4), 0.1, exit=[0, 3]),
    ):
        assert found.chain._scaled.pattern is absorbing._scaled.pattern


def test_periodic_and_tiny_chains():
    flip = fe.MarkovChain(np.array([[0.0, 1.0], [1.0, 0.0]]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = policy.average(flip, [0.0, 1.0], 0.3)
        one = policy.average(fe.MarkovChain(np.ones((1, 1))), [2.0], 0.3)
    assert found.gain == pytest.approx(0.5, rel=1e-14) and found.kl_rate < 1e-14
    assert one.gain == pytest.approx(2.0, rel=1e-14) and one.price_of_myopia < 1e-13

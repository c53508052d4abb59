"""Potentials and rewards: exact on reversible chains, minimisers against a general optimiser,
standard errors against resampling, existence."""

import warnings

import gallery
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from scipy.optimize import minimize
from strategies import reversible_chains, strongly_connected_counts

import fastebm as fe
from fastebm import MarkovChain, ReducibleChainError, fit_potential, fit_reward
from fastebm import _core as core
from fastebm.counts.cluster_shift import cluster_balance
from fastebm.counts.matrix import CountMatrix
from fastebm.inference import sandwich

K = {"logistic": lambda d: np.logaddexp(0.0, -d), "exponential": lambda d: np.exp(-d / 2)}


def centred(V, weights):
    return V - (weights * V).sum() / weights.sum()


# --- the minimiser --------------------------------------------------------------------------------


@given(reversible_chains(max_states=15, decades=6))
def test_minus_log_pi_of_a_reversible_chain_by_every_method(P_and_pi):
    P, pi = P_and_pi
    for options in ({}, {"action": "exponential"}, {"method": "least-squares"}):
        fit = fit_potential(MarkovChain(P), **options)
        np.testing.assert_allclose(fit.potential, centred(-np.log(pi), np.ones(len(pi))), atol=1e-8)
        assert (
            fit.converged
            and fit.gradient_fraction > 1 - 1e-10
            and fit.std_error is None
            and fit.n_components == 1
        )


@pytest.mark.parametrize("action", K)
@pytest.mark.parametrize("seed", range(3))
def test_equals_a_general_optimiser(action, seed):
    rng = np.random.default_rng(seed)
    counts = rng.poisson(4, (7, 7)) + np.roll(np.eye(7), 1, axis=1)
    T = counts / counts.sum(axis=1, keepdims=True)
    found = minimize(
        lambda V: (T * K[action](V[:, None] - V)).sum(),
        np.zeros(7),
        method="BFGS",
        options={"gtol": 1e-10},
    )
    fit = fit_potential(counts, action=action)
    np.testing.assert_allclose(fit.potential, centred(found.x, counts.sum(axis=1)), atol=1e-5)
    assert (T * K[action](fit.potential[:, None] - fit.potential)).sum() <= found.fun + 1e-14


def test_least_squares_equals_lstsq():
    rng = np.random.default_rng(1)
    counts = rng.poisson(6, (8, 8))
    T = counts / counts.sum(axis=1, keepdims=True)
    rows, values = [], []
    for x in range(8):
        for y in range(x + 1, 8):
            if counts[x, y] and counts[y, x]:
                w = np.sqrt(1 / (1 / counts[x, y] + 1 / counts[y, x]))
                rows.append(w * (np.eye(8)[x] - np.eye(8)[y]))
                values.append(w * np.log(T[x, y] / T[y, x]))
    V = np.linalg.lstsq(np.array(rows), np.array(values))[0]
    fit = fit_potential(counts, method="least-squares")
    np.testing.assert_allclose(fit.potential, centred(V, counts.sum(axis=1)), atol=1e-9)
    off = np.array(values) - np.array(rows) @ V
    assert fit.gradient_fraction == pytest.approx(
        1 - (off @ off) / np.dot(values, values), rel=1e-9
    )


@given(strongly_connected_counts(max_states=6))
def test_the_gradient_vanishes_for_any_connected_counts(counts):
    fit = fit_potential(counts, std_error=False)
    T = counts / counts.sum(axis=1, keepdims=True)
    share = 1 / (1 + np.exp(fit.potential[:, None] - fit.potential))  # -K'
    np.testing.assert_allclose((T * share).sum(axis=1), (T * share).sum(axis=0), atol=1e-9)
    assert abs((fit.potential * counts.sum(axis=1)).sum()) < 1e-6 * counts.sum()


def test_a_potential_over_many_nats():
    case = gallery.random_reversible(60, 0.1, 3)
    R = np.random.default_rng(4).uniform(-12, 12, 60)
    chain = fe.tilt(MarkovChain(case.P), R, 1.0)
    for action in K:
        fit = fit_potential(chain, action=action)
        assert np.ptp(fit.potential) > 20
        np.testing.assert_allclose(fit.potential, centred(-chain.log_pi, np.ones(60)), atol=1e-6)


# --- existence and gauge --------------------------------------------------------------------------


def test_one_way_edges_have_no_finite_potential():
    counts = np.array([[5, 3, 0], [2, 5, 4], [0, 0, 6]])
    with pytest.raises(
        ReducibleChainError, match=r"from state 1 to state 2 but never back.*2 strongly connected"
    ):
        fit_potential(counts)
    with pytest.raises(
        ReducibleChainError,
        match="from state b to state c".replace("b", r"1 \(b\)").replace("c", r"2 \(c\)"),
    ):
        fit_potential(counts, labels=["a", "b", "c"])
    fit = fit_potential(counts, method="least-squares")
    assert (
        fit.n_components == 2
        and fit.n_one_way_pairs == 1
        and fit.components.tolist() in ([0, 0, 1], [1, 1, 0])
    )
    total = counts.sum(axis=1)
    assert fit.potential[0] - fit.potential[1] == pytest.approx(
        np.log((3 / total[0]) / (2 / total[1]))
    )


def test_each_component_has_its_own_gauge():
    ring = np.array([[0, 6, 4], [2, 0, 6], [6, 4, 0]])
    both = sp.block_diag([ring, 3 * ring]).tocsr()
    alone, fit = fit_potential(ring), fit_potential(both)
    assert fit.n_components == 2
    np.testing.assert_allclose(fit.potential, np.r_[alone.potential, alone.potential], atol=1e-10)
    np.testing.assert_allclose(
        fit.std_error, np.r_[alone.std_error, alone.std_error / np.sqrt(3)], rtol=1e-8
    )


# --- standard errors ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", ({}, {"action": "exponential"}, {"method": "least-squares"}), ids=str
)
def test_standard_errors_equal_the_spread_over_resampled_rows(options):
    """400 count matrices drawn from a chain that is NOT reversible estimate a ratio of standard
    errors to 3.5 %."""
    rng = np.random.default_rng(5)
    P = rng.gamma(1.0, size=(6, 6)) + 0.2
    P /= P.sum(axis=1, keepdims=True)
    n = np.array([2000, 3000, 4000, 2500, 6000, 1000])
    gauge = n / n.sum()
    fits = [
        fit_potential(
            np.array([rng.multinomial(m, p) for m, p in zip(n, P, strict=True)]),
            std_error=False,
            **options,
        ).potential
        for _ in range(400)
    ]
    assert np.abs(np.array(fits) @ gauge).max() < 1e-9
    fit = fit_potential(n[:, None] * P, **options)
    assert fit.std_error_kind == "exact"
    np.testing.assert_allclose(np.std(fits, axis=0), fit.std_error, rtol=0.15)  # 4 standard errors


@pytest.mark.parametrize("method", ("least-action", "least-squares"))
def test_probes_estimate_the_exact_errors(monkeypatch, method):
    rng = np.random.default_rng(6)
    counts = rng.poisson(5, (40, 40)) + 1
    exact = fit_potential(counts, method=method)
    monkeypatch.setattr(sandwich, "EXACT_STATES", 10)
    probed = [
        fit_potential(counts, method=method, rng=7, num_threads=threads) for threads in (1, 2)
    ]
    assert probed[0].std_error_kind == "200 probes" and np.array_equal(
        probed[0].std_error, probed[1].std_error
    )
    ratio = probed[0].std_error / exact.std_error
    assert np.abs(ratio - 1).max() < 0.2 and abs(ratio.mean() - 1) < 0.05  # 5 % each


def test_a_known_potential_from_a_million_transitions():
    """99 % of the states with 100 or more visits lie within three standard errors of the truth."""
    case = gallery.random_reversible(300, 0.03, 8)
    chain = MarkovChain(case.P)
    paths = fe.simulate(chain, 10_000, n_walkers=100, rng=9)
    counts = fe.connected_set(fe.count_transitions(list(paths), n_states=300))
    fit = fit_potential(counts.counts)
    visits = np.asarray(counts.counts.sum(axis=1)).ravel()
    truth = centred(-np.log(case.pi[counts.states]), visits)
    well_seen = visits >= 100
    inside = np.abs(fit.potential - truth) < 3 * fit.std_error
    assert visits.sum() > 990_000 and well_seen.sum() > 200 and inside[well_seen].mean() >= 0.99


# --- preferences ----------------------------------------------------------------------------------


def test_rewards_of_expected_preferences():
    reward = np.random.default_rng(0).normal(size=30)
    games = np.triu(np.random.default_rng(1).integers(0, 5, (30, 30)), 1)
    games += games.T
    fit = fit_reward(games / (1 + np.exp(reward - reward[:, None])))
    np.testing.assert_allclose(fit.reward, reward - reward.mean(), atol=1e-9)


def test_reward_errors_equal_the_spread_over_redrawn_preferences():
    rng = np.random.default_rng(2)
    reward, games = np.array([0.0, 0.5, -0.7, 1.0, 0.2]), 200
    p = 1 / (1 + np.exp(reward - reward[:, None]))
    fits = []
    for _ in range(300):
        wins = np.triu(rng.binomial(games, p), 1)
        wins = wins + np.tril((games - wins).T, -1)
        fits.append(fit_reward(wins, std_error=False).reward)
    fit = fit_reward(games * p)
    np.testing.assert_allclose(np.std(fits, axis=0), fit.std_error, rtol=0.17)  # 4 standard errors
    with pytest.raises(ReducibleChainError, match="0 to state 1"):
        fit_reward(np.array([[0, 5], [0, 0]]))


@pytest.mark.parametrize("coupling", [1e-2, 1e-5, 1e-8, 1e-11, 1e-13, 1e-15])
@pytest.mark.parametrize("method", ["least-action", "least-squares"])
def test_blocks_that_hardly_exchange(coupling, method):
    """Rounding inside the blocks hides their balance from a Newton step."""
    for seed in range(6):
        W = np.zeros((8, 8))
        W[:4, :4], W[4:, 4:] = np.random.default_rng(seed).random((2, 4, 4))
        W[0, 4] = coupling
        W = W + W.T
        want = -np.log(W.sum(axis=1) / W.sum())
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            fit = fit_potential(MarkovChain(W / W.sum(axis=1)[:, None]), method=method)
        error = np.abs(centred(fit.potential, np.ones(8)) - centred(want, np.ones(8))).max()
        assert fit.converged and not told and error < 1e-9


def test_the_shift_of_an_unbalanced_cluster():
    """Of one block against another by 1e-3, known to that order; none when it is balanced."""
    flux = np.array([[0, 1, 1e-9, 0], [1, 0, 0, 0], [1e-9, 0, 0, 2], [0, 0, 2, 0.0]])
    data = CountMatrix(sp.csr_array(flux))
    newton = core.PairNewton(data.graph, "logistic", False, 1e-12, 50, 1)
    newton.run(1000)
    balanced = cluster_balance(newton, "logistic")
    assert balanced.shift <= balanced.rounding
    newton.v[2:] += 1e-3
    found = cluster_balance(newton, "logistic")
    np.testing.assert_allclose(found.shift, 1e-3, rtol=1e-6)
    np.testing.assert_allclose(found.step[2:] - found.step[0], -1e-3, rtol=1e-6)


def test_the_same_bits_for_any_number_of_threads():
    rng = np.random.default_rng(5)
    n, m = 9_000, 60_000
    counts = sp.coo_array(
        (rng.poisson(5, m) + 1.0, (rng.integers(0, n, m), rng.integers(0, n, m))), shape=(n, n)
    ).tocsr()
    counts = (
        counts
        + counts.T
        + sp.csr_array((np.ones(n), (np.arange(n), (np.arange(n) + 1) % n)), shape=(n, n))
    )
    one, two = (fit_potential(counts, std_error=False, num_threads=threads) for threads in (1, 2))
    assert np.array_equal(one.potential, two.potential) and one.converged


@pytest.mark.parametrize(
    "options, text",
    (({"method": "x"}, "method"), ({"action": "x"}, "action"), ({"tol": 0.0}, "tol")),
)
def test_bad_arguments(options, text):
    with pytest.raises(ValueError, match=text):
        fit_potential(np.ones((2, 2)), **options)

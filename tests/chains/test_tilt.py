"""Tilted chains compared with the naive twin in the log domain, with elimination, and with the
variational principle that defines them."""

import pickle

import gallery
import numpy as np
import pytest
import reference
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from small_chains import dense
from strategies import betas, reversible_chains, rewards
from tilt_references import CHAINS, assert_same_kernel

import fastebm as fe
from fastebm import InvalidChainError, MarkovChain, tilt

SCALES = {"mild": 1.0, "strong": 100.0, "beyond doubles": 1000.0}  # of reward / beta

every_chain = pytest.mark.parametrize("reference_chain", CHAINS.values(), ids=CHAINS)
every_scale = pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES)


def sparse_reward(q, scale, rng, share=0.6):
    """A random reward on some of the transitions of q."""
    x, y = np.nonzero(dense(q))
    some = rng.random(x.size) < share
    return sp.csr_array(
        (rng.normal(scale=scale, size=some.sum()), (x[some], y[some])), shape=q.shape
    )


# --- the kernel -----------------------------------------------------------------------------------


@every_chain
@every_scale
def test_reward_of_the_state_reached(reference_chain, scale):
    R = np.random.default_rng(3).uniform(-scale, scale, size=40)
    chain = tilt(reference_chain, R, 1.0)
    P, log_Z = reference.tilt(dense(reference_chain), R, 1.0)
    assert_same_kernel(chain, P, scale)
    np.testing.assert_allclose(chain.log_partition, log_Z, rtol=1e-14, atol=1e-14 * scale)
    assert (
        chain.reference is reference_chain and chain.beta == 1.0 and np.array_equal(chain.reward, R)
    )


@every_chain
@every_scale
def test_reward_of_the_transition(reference_chain, scale):
    r = sparse_reward(reference_chain, scale, np.random.default_rng(4))
    chain = tilt(reference_chain, r, 2.0)
    P, log_Z = reference.tilt(dense(reference_chain), r.toarray(), 2.0)
    assert_same_kernel(chain, P, scale)
    np.testing.assert_allclose(chain.log_partition, log_Z, rtol=1e-14, atol=1e-14 * scale)


@pytest.mark.parametrize("form", (sp.coo_array, sp.csc_matrix, sp.csr_matrix, sp.lil_array))
def test_forms_of_a_sparse_reward(form):
    q, r = CHAINS["reversible"], sparse_reward(CHAINS["reversible"], 1.0, np.random.default_rng(5))
    assert np.array_equal(dense(tilt(q, form(r), 0.5)), dense(tilt(q, r, 0.5)))


def test_duplicates_of_a_sparse_reward_add_up_and_stay_where_they_are():
    q = MarkovChain(np.array([[0.25, 0.75], [0.5, 0.5]]))
    r = sp.csr_array(
        (np.array([1.0, 2.0, 3.0]), np.array([1, 1, 0]), np.array([0, 3, 3])), shape=(2, 2)
    )
    before = pickle.dumps(r)
    chain = tilt(q, r, 1.0)
    assert_same_kernel(chain, reference.tilt(dense(q), np.array([[3.0, 3.0], [0, 0]]), 1.0)[0])
    assert pickle.dumps(r) == before
    r.data[:] = 0.0  # the chain is immutable
    assert np.array_equal(dense(chain.with_beta(1.0)), dense(chain))


def test_a_sparse_reward_where_states_times_states_exceeds_32_bits():
    n = 70_000
    x = np.arange(n)
    q = MarkovChain.from_edges(np.r_[x, x], np.r_[(x + 1) % n, (x + 7) % n])
    chain = tilt(q, sp.coo_array(([np.log(3.0)], ([n - 2], [n - 1])), shape=(n, n)), 1.0)
    P = chain.to_scipy()
    assert P[n - 2, n - 1] == pytest.approx(0.75, rel=1e-15, abs=0.0) and P[
        n - 2, 5
    ] == pytest.approx(0.25, rel=1e-15, abs=0.0)
    assert np.count_nonzero(P.data != 0.5) == 2


@every_chain
@every_scale
def test_opposite_rewards_on_neighbouring_states_stay_finite(reference_chain, scale):
    R = np.where(np.arange(40) % 2, scale, -scale)
    chain = tilt(reference_chain, R, 1.0)
    P = dense(chain)
    assert np.isfinite(P).all() and np.isfinite(chain.log_partition).all()
    np.testing.assert_allclose(P.sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(chain @ np.ones(40), 1.0, rtol=1e-12)
    if chain.is_reversible:
        assert np.isfinite(chain.log_pi).all()
    assert chain.is_reversible == reference_chain.is_reversible


@every_chain
def test_a_difference_of_rewards_gives_the_same_kernel(reference_chain):
    R = np.random.default_rng(6).normal(size=40)
    x, y = np.nonzero(dense(reference_chain))
    gradient = sp.csr_array((R[y] - R[x], (x, y)), shape=reference_chain.shape)
    one, other = tilt(reference_chain, R, 0.2), tilt(reference_chain, gradient, 0.2)
    assert_same_kernel(one, dense(other), 10.0)
    np.testing.assert_allclose(one.log_partition, other.log_partition + R / 0.2, atol=1e-13)


@every_chain
def test_a_constant_reward_changes_nothing_but_the_value(reference_chain):
    chain = tilt(reference_chain, np.full(40, 7.0), 0.01)
    assert_same_kernel(chain, dense(reference_chain), 700.0)
    np.testing.assert_allclose(chain.log_partition, 700.0, rtol=1e-14)
    np.testing.assert_allclose(chain.reference_kl(), 0.0, atol=1e-12)


@every_chain
def test_infinite_beta_is_the_reference_itself(reference_chain):
    for reward in (np.arange(40.0), sparse_reward(reference_chain, 1.0, np.random.default_rng(7))):
        chain = tilt(reference_chain, reward, np.inf)
        assert (
            np.array_equal(dense(chain), dense(reference_chain))
            and chain._scaled.pattern is reference_chain._scaled.pattern
        )
        assert (
            not chain.log_partition.any()
            and not chain.reference_kl().any()
            and chain.beta == np.inf
        )
        assert np.array_equal(
            dense(chain.with_beta(0.5)), dense(tilt(reference_chain, reward, 0.5))
        )


@every_chain
def test_tilts_compose(reference_chain):
    rng = np.random.default_rng(8)
    R, T = rng.normal(size=(2, 40))
    twice = tilt(tilt(reference_chain, R, 0.5), T, 0.25)
    once = tilt(reference_chain, R / 0.5 + T / 0.25, 1.0)
    assert_same_kernel(twice, dense(once), 20.0)
    back = tilt(tilt(reference_chain, R, 0.1), -R, 0.1)
    assert_same_kernel(back, dense(reference_chain), 50.0)


def test_rows_sum_to_one_however_cold():
    """To the last digits, because a row is divided by the sum of its stored entries and not scaled
    by exp(-log Z)."""
    for scale in (1e3, 1e6, 1e12):
        R = scale * np.random.default_rng(3).normal(size=40)
        for q in CHAINS.values():
            chain = tilt(q, R[: q.n_states], 1.0)
            np.testing.assert_allclose(dense(chain).sum(axis=1), 1.0, rtol=4e-15)


def test_a_tilt_that_lost_entries_cannot_be_tilted_further():
    """Transitions of probability exp(-2000) are stored as zero, and a second tilt could not raise
    them again."""
    q, R = CHAINS["reversible"], np.where(np.arange(40) % 2, 1000.0, -1000.0)
    hot = tilt(q, R, 1.0)
    assert not dense(hot)[dense(q) > 0].all()
    for chain in (hot, hot.lazy(0.5)):
        for reward in (-R, sparse_reward(q, 1.0, np.random.default_rng(9))):
            with pytest.raises(InvalidChainError, match="underflowed"):
                tilt(chain, reward, 1.0)
    assert_same_kernel(hot.with_beta(1e4), reference.tilt(dense(q), R, 1e4)[0])


def test_a_vector_shares_the_pattern_and_costs_one_number_a_state():
    q = MarkovChain(gallery.torus((30, 40)).P)
    family = tilt(q, np.random.default_rng(10).normal(size=1200), 1.0)
    for chain in (family, family.with_beta(0.1), family.with_beta(50)):
        assert chain._scaled.pattern is q._scaled.pattern and "without values" in chain.storage
        assert isinstance(chain, fe.TiltedChain)


@given(reversible_chains(max_states=20), st.data())
def test_rows_and_pi_of_any_tilt(P_and_pi, data):
    """R / beta up to 700, entries over twelve decades."""
    P, mu = P_and_pi
    R, beta = data.draw(rewards(P.shape[0])), data.draw(betas())
    chain = tilt(MarkovChain(P), R, beta)
    log_pi = np.log(mu) + chain.log_partition + (0 if beta == np.inf else R / beta)
    np.testing.assert_allclose(
        chain.log_pi, log_pi - np.logaddexp.reduce(log_pi), rtol=1e-12, atol=1e-11
    )
    np.testing.assert_allclose(chain @ np.ones(chain.n_states), 1.0, rtol=1e-12)
    np.testing.assert_allclose(chain.pi @ chain, chain.pi, rtol=1e-9, atol=1e-300)


# --- forbidden transitions ------------------------------------------------------------------------


@every_chain
def test_forbidden_states_are_never_reached(reference_chain):
    R = np.random.default_rng(11).normal(size=40)
    R[[3, 17]] = -np.inf
    q = dense(reference_chain)
    if (q[:, R > -np.inf].sum(axis=1) == 0).any():
        pytest.skip("forbidding them empties a row")
    chain = tilt(reference_chain, R, 0.5)
    P, log_Z = reference.tilt(q, R, 0.5)
    assert_same_kernel(chain, P, 10.0)
    np.testing.assert_allclose(chain.log_partition, log_Z, atol=1e-13)
    assert not fe.structure(chain).is_irreducible and chain.to_scipy()[:, [3, 17]].nnz == 0
    edge = P > 0
    kl = np.where(edge, P * np.log(np.where(edge, P, 1) / np.where(edge, q, 1)), 0).sum(axis=1)
    np.testing.assert_allclose(chain.reference_kl(), kl, atol=1e-12)


def test_forbidden_transitions():
    q = CHAINS["general"]
    r = sparse_reward(q, 1.0, np.random.default_rng(12))
    row = int(np.argmax(np.diff(r.indptr) > 1))
    r.data[r.indptr[row]] = -np.inf
    chain = tilt(q, r, 0.5)
    P, _ = reference.tilt(dense(q), r.toarray(), 0.5)
    assert_same_kernel(chain, P, 10.0)
    assert chain.nnz == q.nnz - 1  # no edge any more, not an edge of probability zero
    edge = P > 0
    kl = np.where(edge, P * np.log(np.where(edge, P, 1) / np.where(edge, dense(q), 1)), 0).sum(
        axis=1
    )
    np.testing.assert_allclose(chain.reference_kl(), kl, atol=1e-13)


def test_holding_can_be_all_that_is_left():
    q = MarkovChain(gallery.path(3).P).lazy(0.5)
    chain = tilt(q, [0.0, -np.inf, 0.0], 1.0)
    np.testing.assert_allclose(dense(chain), [[1, 0, 0], [0.5, 0, 0.5], [0, 0, 1]], rtol=1e-15)


# --- the principle that defines it ----------------------------------------------------------------


@every_chain
@pytest.mark.parametrize("beta", (0.05, 1.0, 30.0))
@pytest.mark.parametrize("kind", ("vector", "sparse"))
def test_no_other_kernel_has_a_larger_value(reference_chain, beta, kind):
    """value(P) - value(g) = beta KL(g || P) at each state, value(g) = E_g r - beta KL(g || q), and
    value(P) = beta log Z."""
    rng, q = np.random.default_rng(13), dense(reference_chain)
    reward = rng.normal(size=40) if kind == "vector" else sparse_reward(reference_chain, 1.0, rng)
    r = np.broadcast_to(reward, q.shape) if kind == "vector" else reward.toarray()
    chain = tilt(reference_chain, reward, beta)
    P, edge = dense(chain), q > 0

    def kl(a, b):
        return np.where(
            edge, a * np.log(np.where(edge & (a > 0), a, 1) / np.where(edge & (a > 0), b, 1)), 0
        ).sum(axis=1)

    def value(g):
        return (g * r).sum(axis=1) - beta * kl(g, q)

    g = np.where(edge, rng.exponential(size=q.shape), 0)
    g /= g.sum(axis=1)[:, None]
    np.testing.assert_allclose(value(P), beta * chain.log_partition, atol=1e-12)
    np.testing.assert_allclose(value(P) - value(g), beta * kl(g, P), atol=1e-12)
    np.testing.assert_allclose(chain.reference_kl(), kl(P, q), atol=1e-13 * (1 + 5 / beta))

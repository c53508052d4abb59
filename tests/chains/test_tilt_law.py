"""The stationary law of tilted chains, in closed form."""

import gallery
import numpy as np
import pytest
import reference
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from small_chains import dense
from strategies import irreducible_chains, rewards
from tilt_references import CHAINS, assert_same_kernel

import fastebm as fe
from fastebm import MarkovChain, tilt


@pytest.mark.parametrize("n, density", ((50, 0.1), (500, 0.02), (1000, 0.006)))
def test_pi_of_every_state_against_elimination(n, density):
    case = gallery.random_reversible(n, density, n)
    R = np.random.default_rng(n).normal(size=n)
    chain = tilt(MarkovChain(case.P), R, 0.5)
    P, _ = reference.tilt(case.P, R, 0.5)
    assert chain.is_reversible
    np.testing.assert_allclose(chain.pi, reference.gth(P), rtol=1e-12)


@pytest.mark.parametrize(
    "name",
    (
        "reversible",
        "value-free",
        "lazy",
        "lazy value-free",
        "tilted",
        "lazy tilted",
        "repeated edges",
    ),
)
def test_pi_of_every_kind_of_reference(name):
    q, R = CHAINS[name], np.random.default_rng(14).normal(size=40)
    chain = tilt(q, R, 0.3)
    np.testing.assert_allclose(
        chain.pi, reference.gth(reference.tilt(dense(q), R, 0.3)[0]), rtol=1e-12
    )
    np.testing.assert_allclose(chain.lazy(0.25).pi, chain.pi, rtol=1e-13)


@pytest.mark.parametrize("largest", (170.0, 250.0, 900.0), ids=lambda r: f"R / beta to {r:.0f}")
def test_pi_beyond_two_hundred_decades(largest):
    """Against elimination in the log domain: the logs, of size up to 4 `largest`, agree to
    rounding."""
    case = gallery.random_reversible(60, 0.05, 3)
    R = np.random.default_rng(15).uniform(-largest, largest, size=60)
    chain = tilt(MarkovChain(case.P), R, 1.0)
    log_P = gallery.energy_tilt(case.P, case.pi, R, 1.0).extra["log_P"]
    assert np.ptp(chain.log_pi) > 460  # 1e-200
    np.testing.assert_allclose(chain.log_pi, reference.gth_log(log_P), atol=4e-15 * largest + 2e-12)
    whole = chain.restrict(np.arange(60))
    assert whole.is_reversible
    np.testing.assert_allclose(whole.log_pi, chain.log_pi, rtol=1e-12)


def test_a_reward_potential_on_transitions():
    """r = s + phi(y) - phi(x), s symmetric: pi ∝ mu Z exp(2 phi / beta)."""
    case, rng, beta = gallery.random_reversible(50, 0.1, 4), np.random.default_rng(16), 0.7
    phi, s = rng.normal(size=50), rng.normal(size=(50, 50))
    x, y = case.P.nonzero()
    r = sp.csr_array(((s + s.T)[x, y] + phi[y] - phi[x], (x, y)), shape=(50, 50))
    chain = tilt(MarkovChain(case.P), r, beta)
    log_pi = np.log(case.pi) + chain.log_partition + 2 * phi / beta
    assert chain.is_reversible
    np.testing.assert_allclose(chain.log_pi, log_pi - np.logaddexp.reduce(log_pi), atol=1e-12)
    curl = tilt(
        MarkovChain(case.P), sp.csr_array((rng.normal(size=x.size), (x, y)), shape=(50, 50)), beta
    )
    assert not curl.is_reversible and curl.pi is None


@given(irreducible_chains(max_states=10), st.data())
def test_a_tilt_is_as_reversible_as_its_reference(P, data):
    """Rewards of states cancel along cycles."""
    q = MarkovChain(P)
    chain = tilt(q, data.draw(rewards(q.n_states, largest=3.0)), 0.5)
    assert chain.is_reversible == q.is_reversible
    np.testing.assert_allclose(fe.stationary(chain).pi, reference.gth(dense(chain)), rtol=1e-10)


def test_float32_references_have_exact_rows_and_their_own_pi():
    case = gallery.random_reversible(80, 0.1, 5)
    stored = case.P.astype(np.float32)
    q = stored.toarray().astype(float)
    q /= q.sum(axis=1)[:, None]
    R = np.random.default_rng(17).normal(size=80)
    chain = tilt(MarkovChain(stored), R, 0.5)
    assert chain.dtype == np.float32
    assert_same_kernel(chain, reference.tilt(q, R, 0.5)[0])
    np.testing.assert_allclose(fe.stationary(chain).pi, reference.gth(dense(chain)), rtol=1e-12)

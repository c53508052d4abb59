"""The additive reversibilisation, and chains stored in float32."""

import gallery
import numpy as np
import pytest
import reference
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from small_chains import dense
from strategies import irreducible_chains

import fastebm as fe
from fastebm import (
    InvalidChainError,
    MarkovChain,
    ReducibleChainError,
    detailed_balance,
    reversibilize,
)


def stored(chain):
    """A as a dense array."""
    matrix = chain._scaled.pattern.matrix
    return sp.csr_array((matrix.values, matrix.indices, matrix.indptr), shape=chain.shape).toarray()


@given(irreducible_chains(max_states=15))
def test_additive_reversibilisation_of_any_chain(P):
    pi, chain = reference.gth(P), reversibilize(MarkovChain(P))
    np.testing.assert_allclose(
        dense(chain), (P.toarray() + reference.reverse(P, pi)) / 2, rtol=1e-10
    )
    np.testing.assert_allclose(chain @ np.ones(chain.n_states), 1.0, rtol=1e-14)
    np.testing.assert_allclose(chain.pi, pi, rtol=1e-10)
    assert chain.is_reversible


@pytest.mark.parametrize("case", [c for c in gallery.cases() if not c.reversible], ids=str)
def test_the_stored_matrix_is_symmetric_to_the_bit(case):
    chain = reversibilize(MarkovChain(case.P))
    assert np.array_equal(stored(chain), stored(chain).T) and chain.is_reversible
    assert detailed_balance(chain).flux_violation < 1e-13
    assert reversibilize(chain) is chain


@pytest.mark.parametrize("seed", range(3))
def test_its_gap_bounds_that_of_every_quotient(seed):
    """P and (P + P*) / 2 have the same Dirichlet form: every quotient of P is at least the gap, and
    the eigenvector's is it."""
    case = gallery.random_chain(40, 0.05, seed)
    chain, pi = reversibilize(MarkovChain(case.P)), reference.gth(case.P)
    gap, _ = reference.gap(dense(chain), pi)
    rng = np.random.default_rng(seed)
    assert (
        min(reference.dirichlet_quotient(case.P, pi, f) for f in rng.normal(size=(50, 40))) >= gap
    )
    S = reference.symmetrized(dense(chain), pi)
    f = np.linalg.eigh((S + S.T) / 2)[1][:, -2] / np.sqrt(pi)
    assert reference.dirichlet_quotient(case.P, pi, f) == pytest.approx(gap, rel=1e-10, abs=0.0)


@pytest.mark.parametrize(
    "make",
    (
        lambda P: MarkovChain(P).lazy(0.3),
        lambda P: fe.tilt(MarkovChain(P).lazy(0.3), np.arange(30.0), 5.0),
        lambda P: MarkovChain.from_generator(7 * (P - sp.eye_array(30))),
        lambda P: MarkovChain(P.astype(np.float32)),
    ),
    ids=("lazy", "tilted lazy", "generator", "float32"),
)
def test_reversibilisation_of_scaled_chains(make):
    chain = make(gallery.random_chain(30, 0.1, 9).P)
    P = dense(chain)
    pi, found = reference.gth(P), reversibilize(chain)
    np.testing.assert_allclose(
        dense(found), (P + reference.reverse(P, pi)) / 2, rtol=1e-11, atol=1e-300
    )
    np.testing.assert_allclose(found.pi, pi, rtol=1e-11)
    np.testing.assert_allclose(found @ np.ones(30), 1.0, rtol=1e-14)


@pytest.mark.parametrize("decades", (100, 400))
def test_reversibilisation_where_pi_is_tiny(decades):
    """A biased ring that climbs against a slope: pi falls to 10^-decades, and each entry keeps its
    relative accuracy."""
    n = 60
    down = 10.0 ** (-2 * decades / n)
    up = np.where(np.arange(n) < n // 2, down, 1.0) * np.random.default_rng(10).uniform(0.3, 0.4, n)
    back = np.where(np.arange(n) < n // 2 + 1, 1.0, down) * np.random.default_rng(11).uniform(
        0.3, 0.4, n
    )
    x = np.arange(n)
    P = np.zeros((n, n))
    P[x, (x + 1) % n], P[x, (x - 1) % n] = up, back
    P[x, x] = 1 - up - back
    chain = reversibilize(MarkovChain(P))
    log_pi = reference.gth_log(np.log(P, where=P > 0, out=np.full_like(P, -np.inf)))
    assert np.ptp(log_pi) > 0.9 * decades * np.log(10)
    np.testing.assert_allclose(chain.log_pi, log_pi, atol=1e-10)
    a, b = np.nonzero(P)
    back_flow = np.exp(np.log(P[b, a]) + log_pi[b] - log_pi[a])
    np.testing.assert_allclose(dense(chain)[a, b], (P[a, b] + back_flow) / 2, rtol=1e-9)
    assert np.array_equal(stored(chain), stored(chain).T)


def test_reversibilisation_lives_on_the_closed_class():
    P = np.zeros((4, 4))
    P[0] = [0.5, 0.5, 0, 0]
    P[1:, 1:] = gallery.biased_cycle(3, 0.7, 0.3).P.toarray()
    chain = reversibilize(MarkovChain(P, labels=list("abcd")))
    np.testing.assert_allclose(dense(chain), (1 - np.eye(3)) / 2, rtol=1e-14)
    assert chain.labels == list("bcd")
    with pytest.raises(ReducibleChainError):
        reversibilize(MarkovChain(sp.block_diag([P[1:, 1:], P[1:, 1:]]).tocsr()))
    with pytest.raises(InvalidChainError, match="kind"):
        reversibilize(chain, kind="square")
    square = dense(reversibilize(chain, kind="multiplicative"))
    np.testing.assert_allclose(square, dense(chain) @ dense(chain), rtol=1e-14)


@given(st.floats(0, 0.9), irreducible_chains(max_states=8))
def test_reversibilisation_commutes_with_holding(h, P):
    one, other = reversibilize(MarkovChain(P).lazy(h)), reversibilize(MarkovChain(P)).lazy(h)
    np.testing.assert_allclose(dense(one), dense(other), rtol=1e-10, atol=1e-300)


# --- float32 --------------------------------------------------------------------------------------


def conductances(n=300):
    rng = np.random.default_rng(5)
    x, y = (
        np.r_[rng.integers(n, size=4 * n), np.arange(n)],
        np.r_[rng.integers(n, size=4 * n), (np.arange(n) + 1) % n],
    )
    return x, y, rng.lognormal(size=x.size).astype(np.float32)


def test_float32_conductances_make_a_reversible_chain():
    """Symmetric in float32, whatever the rounding: the law is the degree of what is stored."""
    x, y, weight = conductances()
    edges = fe.MarkovChain.from_edges(x, y, weight, symmetric=True)
    assert edges.dtype == np.float32 and edges.is_reversible
    A = edges._scaled.pattern.matrix
    W = sp.csr_array((A.values.copy(), A.indices.copy(), A.indptr.copy()), shape=edges.shape)
    for chain in (edges, fe.MarkovChain(W, normalize=True)):
        degree = W.astype(float).sum(axis=1)
        assert chain.dtype == np.float32 and chain.is_reversible
        np.testing.assert_allclose(chain.pi, degree / degree.sum(), rtol=1e-13)
        assert fe.detailed_balance(chain).flux_violation < 1e-15


def test_rounded_probabilities_are_a_chain_of_their_own_near_the_reversible_one():
    """Rounding each P[x, y] to float32 violates Kolmogorov's criterion by 1e-7 a cycle. The flux
    violation shows it, and the additive reversibilisation is the nearest reversible chain."""
    exact = fe.MarkovChain.from_edges(*conductances(), symmetric=True)
    rounded = fe.MarkovChain(exact.to_scipy().astype(np.float32))
    assert not rounded.is_reversible
    found = fe.detailed_balance(rounded)
    assert 1e-10 < found.flux_violation < 2.0**-24
    assert fe.stationary(rounded).residual < 1e-14
    repaired = fe.reversibilize(rounded)
    assert repaired.is_reversible and abs(repaired.to_scipy() - rounded.to_scipy()).max() < 2.0**-24
    np.testing.assert_allclose(fe.stationary(repaired).pi, exact.pi, rtol=1e-6)
    np.testing.assert_allclose(fe.spectral_gap(repaired).gap, fe.spectral_gap(exact).gap, rtol=1e-6)

"""Metastable sets against deeptime's PCCA+, planted sets and exact eigenvalues; lumpability by brute force."""

import fastebm as fe
import gallery
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from strategies import irreducible_chains


def planted(sizes, coupling, seed):
    """Blocks of random conductances, joined by weak ones."""
    rng, n = np.random.default_rng(seed), sum(sizes)
    sets = np.repeat(np.arange(len(sizes)), sizes)
    A = rng.lognormal(size=(n, n)) * np.where(sets[:, None] == sets, 1.0, coupling)
    A = A + A.T
    return A / A.sum(axis=1, keepdims=True), A.sum(axis=1) / A.sum(), sets


@pytest.mark.parametrize("sizes", [(20, 12), (15, 12, 9), (14, 12, 10, 8, 6)])
def test_planted_sets_are_found(sizes):
    P, pi, sets = planted(sizes, 1e-3, 3)
    k = len(sizes)
    found = fe.metastable_sets(fe.MarkovChain(P), k, rng=0)
    chi = found.memberships
    assert len(set(zip(found.assignment.tolist(), sets.tolist()))) == k
    assert (chi >= 0).all() and found.converged
    assert_allclose(chi.sum(axis=1), 1)
    exact = np.sort(np.linalg.eigvals(P).real)[::-1][:k]
    assert_allclose(np.sort(np.linalg.eigvals(found.coarse).real)[::-1], exact, atol=1e-9)
    D = np.diag(pi)
    assert_allclose(found.coarse, np.linalg.solve(chi.T @ D @ chi, chi.T @ D @ P @ chi), atol=1e-8)
    assert_allclose(found.metastability, exact.sum())
    assert found.crisp_metastability <= found.metastability * (1 + 1e-12)
    member = (found.assignment[:, None] == np.arange(k)).astype(float)
    assert_allclose(found.chain.to_scipy().toarray(), (member.T @ D @ P @ member) / (pi @ member)[:, None], atol=1e-13)
    assert_allclose(found.mass, pi @ chi, atol=1e-9)
    assert_allclose(found.crispness, np.mean((pi @ chi**2) / (pi @ chi)), rtol=1e-8)


@pytest.mark.parametrize("k", [2, 3, 4])
def test_memberships_are_at_least_as_crisp_as_those_of_deeptime(k):
    """For k = 2 the memberships are unique, and the same."""
    deeptime = pytest.importorskip("deeptime.markov")
    P, pi, _ = planted((12, 10, 9, 8)[:k], 0.02, 5)
    theirs = deeptime.pcca(P, k, stationary_distribution=pi).memberships
    found = fe.metastable_sets(fe.MarkovChain(P), k, rng=0)
    assert found.crispness >= np.mean((pi @ theirs**2) / (pi @ theirs)) - 1e-6
    assert len(set(zip(found.assignment.tolist(), theirs.argmax(axis=1).tolist()))) == k
    if k == 2:
        assert_allclose(np.sort(found.memberships, axis=1), np.sort(theirs, axis=1), atol=1e-7)


def test_errors_of_metastable_sets():
    with pytest.raises(fe.NotReversibleError, match="reversibilize"):
        fe.metastable_sets(fe.MarkovChain(gallery.biased_cycle(9, 0.7, 0.3).P), 2)
    with pytest.raises(fe.ReducibleChainError):
        fe.metastable_sets(fe.MarkovChain(np.eye(2)), 2)
    chain = fe.MarkovChain(gallery.two_state(0.3, 0.1).P)
    with pytest.raises(fe.InvalidChainError, match="at most"):
        fe.metastable_sets(chain, 3)
    with pytest.raises(fe.InvalidChainError, match="at least 2"):
        fe.metastable_sets(chain, 1)


@settings(max_examples=60, deadline=None)
@given(irreducible_chains(max_states=9, decades=4), st.data())
def test_defect_by_brute_force(P, data):
    n = P.shape[0]
    labels = np.unique(data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)), return_inverse=True)[1]
    found = fe.lumpability(fe.MarkovChain(P), labels)
    L = P.toarray() @ (labels[:, None] == np.arange(labels.max() + 1))
    worst = max(np.ptp(L[labels == s], axis=0).max() for s in range(labels.max() + 1))
    assert_allclose(found.defect, worst, atol=1e-14)
    x, y = found.states
    assert labels[x] == labels[y] == found.set
    assert_allclose(abs(L[x, found.into] - L[y, found.into]), worst, atol=1e-14)


def test_the_weights_of_a_hypercube_lump_to_ehrenfest():
    """Hamming weight of the walk on the m-cube: the Ehrenfest chain (Levin & Peres, section 2.3)."""
    m = 8
    weight = np.array([bin(x).count("1") for x in range(2**m)])
    found = fe.lumpability(fe.Hypercube(m, holding=0.5), weight)
    assert found.is_lumpable
    w = np.arange(m + 1)
    exact = np.diag(np.full(m + 1, 0.5)) + np.diag(w[1:] / 2 / m, -1) + np.diag((m - w[:-1]) / 2 / m, 1)
    assert_allclose(found.chain.to_scipy().toarray(), exact, atol=1e-14)
    assert not fe.lumpability(fe.Hypercube(m, holding=0.5), (np.arange(2**m) < 7).astype(int)).is_lumpable


def test_errors_of_lumpability():
    chain = fe.MarkovChain(gallery.cycle(4).P)
    for bad, text in [([0, 1], "shape"), ([0, 0, 2, 2], "empty"), ([0, -1, 0, 0], r"partition\[1\]")]:
        with pytest.raises(fe.InvalidChainError, match=text):
            fe.lumpability(chain, bad)
    with pytest.raises(TypeError):
        fe.lumpability(chain, [0.0, 1, 0, 1])
    with pytest.raises(fe.ReducibleChainError):
        fe.lumpability(fe.MarkovChain(np.eye(2)), [0, 0])

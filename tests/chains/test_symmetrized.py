"""S = D^(1/2) P D^(-1/2) entry by entry, for every way in which a chain is stored."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import fastebm as fe
from fastebm.chains.symmetrized import balanced_pattern, symmetrized

N = 9


def metropolis(seed):
    """Reversible, stored as a matrix that is not symmetric: it has a potential."""
    rng = np.random.default_rng(seed)
    pi = np.exp(2.0 * rng.standard_normal(N))
    P = np.minimum(1.0, pi[None, :] / pi[:, None]) / N
    np.fill_diagonal(P, 0.0)
    np.fill_diagonal(P, 1.0 - P.sum(axis=1))
    return fe.MarkovChain(P)


def walk(seed):
    rng = np.random.default_rng(seed)
    i, j = np.triu_indices(N)
    return fe.MarkovChain.from_edges(i, j, rng.exponential(size=len(i)), symmetric=True)


def drift(seed):
    return fe.MarkovChain(np.random.default_rng(seed).dirichlet(np.ones(N), size=N))


ENERGY = np.linspace(0.0, 1.0, N) ** 2
REVERSIBLE = {
    "walk": lambda: walk(0),
    "lazy walk": lambda: walk(1).lazy(0.25),
    "tilted walk": lambda: fe.tilt(walk(2), ENERGY, 0.3),
    "metropolis": lambda: metropolis(3),
    "tilted metropolis": lambda: fe.tilt(metropolis(4), ENERGY, 0.3),
    "lazy tilted metropolis": lambda: fe.tilt(metropolis(5), ENERGY, 0.3).lazy(0.4),
}
GENERAL = {
    "drift": lambda: drift(6),
    "tilted drift": lambda: fe.tilt(drift(7), ENERGY, 0.3),
    "lazy tilted drift": lambda: fe.tilt(drift(8), ENERGY, 0.3).lazy(0.4),
}


def dense(scaled):
    return np.array([scaled.apply(column, num_threads=1) for column in np.eye(N)]).T


def expected(chain):
    root = np.exp(0.5 * fe.stationary(chain).log_pi)
    return root[:, None] * chain.to_scipy().toarray() / root


@pytest.mark.parametrize("name", REVERSIBLE)
def test_symmetrized(name):
    chain = REVERSIBLE[name]()
    S = dense(symmetrized(chain))
    assert_allclose(S, expected(chain), rtol=1e-12, atol=1e-15)
    assert_allclose(S, S.T, rtol=1e-13, atol=1e-16)


@pytest.mark.parametrize("name", [*REVERSIBLE, *GENERAL])
def test_balanced_pattern(name):
    chain = {**REVERSIBLE, **GENERAL}[name]()
    S = dense(balanced_pattern(chain, fe.stationary(chain).log_pi))
    assert_allclose(S, expected(chain), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("name", GENERAL)
def test_only_reversible_chains_are_symmetrized(name):
    with pytest.raises(ValueError, match="reversible"):
        symmetrized(GENERAL[name]())


def test_unknown_pi_is_refused():
    chain = drift(6)
    log_pi = fe.stationary(chain).log_pi.copy()
    log_pi[3] = -np.inf
    with pytest.raises(fe.InvalidChainError, match="unknown in 1 states, the first of them 3"):
        balanced_pattern(chain, log_pi)

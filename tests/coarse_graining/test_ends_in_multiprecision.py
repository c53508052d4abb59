"""The coarse matrix of metastable sets, their memberships and the numbers of a lumping, on small
random chains of every kind against definitions at 60 digits.

FASTEBM_ENDS_CHAINS=5000 tries more chains.
"""

import os
import warnings

import ends_chains as exact
import mpmath
import numpy as np
import pytest

import fastebm as fe
from fastebm.coarse_graining import galerkin

N_CHAINS = int(os.environ.get("FASTEBM_ENDS_CHAINS", "240"))


@pytest.fixture(autouse=True)
def _digits():
    with mpmath.workdps(exact.DIGITS), warnings.catch_warnings():
        warnings.simplefilter("ignore", fe.ConvergenceWarning)
        yield


def tree(rng):
    """Random conductances over twelve decades on a tree, with some loops."""
    n = int(rng.integers(3, 8))
    W = np.diag(1.0 * (rng.random(n) < 0.3))
    for x in range(1, n):
        y = rng.integers(0, x)
        W[x, y] = W[y, x] = 10.0 ** -rng.uniform(0, 12)
    return W / W.sum(axis=1, keepdims=True)


def projection(A, pi, chi):
    """(chi^T D chi)^-1 chi^T D P chi by definition."""
    chi = exact.number(chi)
    G = mpmath.matrix((chi.T @ (pi[:, None] * chi)).tolist())
    H = mpmath.matrix((chi.T @ (pi[:, None] * (A @ chi))).tolist())
    return np.array((G**-1 * H).tolist(), dtype=object)


def test_coarse_matrices_and_memberships():
    kinds = [kind for kind in exact.KINDS if "reversible" in kind] + ["tree"]
    n_converged = n_sharp = n_chains = 0
    for i in range(N_CHAINS // 2):
        rng, kind = np.random.default_rng([14, i]), kinds[i % len(kinds)]
        P = tree(rng) if kind == "tree" else exact.random_chain(kind, rng)
        chain, k = fe.MarkovChain(P), int(rng.integers(2, len(P) + 1))
        if not chain.is_reversible:
            continue
        A, pi, _ = exact.exact(P)
        found, name = fe.metastable_sets(chain, k, rng=0), f"{kind}, chain {i}, k = {k}"
        exact_coarse = projection(A, pi, found.memberships)
        off = abs(exact.number(found.coarse) - exact_coarse)
        assert (off <= exact.number(found.coarse_error)).all(), (name, off, found.coarse_error)
        assert not np.isnan(found.error) and (found.error <= 1e-4 or not found.converged), name
        n_chains += 1
        n_sharp += found.coarse_error.max() < 1e-9
        mass = (pi[:, None] * exact.number(found.memberships)).sum(axis=0)
        assert (abs(exact.number(found.mass) - mass) <= 1e-12 * mass).all(), name
        if not found.converged:
            continue
        n_converged += 1
        rates, X = exact.symmetric_eigenpairs(A, pi)
        if k == len(P) or rates[k] - rates[k - 1] > 1e-14:
            X = X[:, :k]
            chi = exact.number(found.memberships)
            outside = abs(chi - X @ (X.T @ (pi[:, None] * chi))).max()
            assert outside <= found.error, (name, float(outside), found.error)
    assert n_sharp > 0.9 * n_chains and n_converged > 0.9 * n_chains


def test_a_coarse_matrix_does_not_depend_on_its_eigenvectors():
    """Any memberships, in any basis: the projection is that of the functions themselves."""
    for i in range(30):
        rng = np.random.default_rng([15, i])
        P = exact.random_chain("reversible decades", rng, 8)
        A, pi, _ = exact.exact(P)
        k = int(rng.integers(1, len(P) + 1))
        chi = rng.random((len(P), k)) + 3 * (np.arange(len(P))[:, None] % k == np.arange(k))
        chi /= chi.sum(axis=1, keepdims=True)
        root = np.sqrt(pi.astype(float))
        basis = np.linalg.qr(root[:, None] * chi)[1]
        found = galerkin.project(fe.MarkovChain(P), chi, basis, 1e-14, 1)
        off = abs(np.eye(k) - exact.number(found.rates) - projection(A, pi, chi))
        # the true one rounds besides where 1 is subtracted
        assert (off <= exact.number(found.error + 1e-15)).all(), (i, off, found.error)
        assert found.error.max() < 1e-9, i


def test_lumpings():
    for i in range(N_CHAINS):
        kind, rng = exact.KINDS[i % len(exact.KINDS)], np.random.default_rng([16, i])
        P = exact.random_chain(kind, rng)
        A, pi, _ = exact.exact(P)
        labels = np.arange(len(P)) % max(1, len(P) // 2)
        found = fe.lumpability(fe.MarkovChain(P), labels)
        sets = range(labels.max() + 1)
        into = A @ exact.number(1.0 * (labels[:, None] == np.array(sets)))
        defect = max(
            max(into[labels == s, j]) - min(into[labels == s, j]) for s in sets for j in sets
        )
        assert abs(found.defect - defect) <= 2e-15, (kind, i)
        coarse = found.chain.to_scipy().toarray()
        for s in sets:
            own = labels == s
            mass = pi[own].sum()
            assert abs(found.mass[s] - mass) <= 1e-12 * mass, (kind, i)
            if mass > 0:
                row = (pi[own, None] * into[own]).sum(axis=0) / mass
                # each entry is a sum of non-negative terms
                assert (abs(exact.number(coarse[s]) - row) <= 1e-12 * row).all(), (kind, i)

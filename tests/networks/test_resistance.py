"""Effective resistances against the pseudo-inverse of the Laplacian."""

import numpy as np
import pytest
import scipy.sparse as sp

import fastebm as fe


@pytest.mark.parametrize("seed", range(15))
def test_resistances(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 9))
    W = np.triu((rng.random((n, n)) < 0.5) * rng.uniform(0.1, 4.0, (n, n)))
    W = W + np.triu(W, 1).T  # self-loops, several components, isolated nodes
    x, y = (a.ravel() for a in np.meshgrid(np.arange(n), np.arange(n)))
    found = fe.effective_resistances(sp.csr_array(W), x, y)
    A = W - np.diag(np.diag(W))
    L = np.diag(A.sum(axis=1)) - A
    G = np.linalg.pinv(L)
    want = np.diag(G)[x] + np.diag(G)[y] - 2 * G[x, y]
    joined = np.linalg.matrix_power(A + np.eye(n), n)[x, y] > 0
    want = np.where(joined, want, np.inf)
    np.testing.assert_allclose(found.resistance, want, rtol=1e-9, atol=1e-12)
    assert found.converged
    inside = np.isfinite(want)
    assert (found.lower[inside] <= want[inside] + 1e-10).all()
    assert (want[inside] - 1e-10 <= found.upper[inside]).all()
    assert np.isinf(found.lower[~inside]).all() and not found.upper[x == y].any()


def test_a_long_path_and_a_grid():
    n = 3000
    path = sp.diags_array([np.full(n - 1, 0.5), np.full(n - 1, 0.5)], offsets=[-1, 1])
    found = fe.effective_resistances(path, [0, 10], [n - 1, 20])
    np.testing.assert_allclose(found.resistance, [2.0 * (n - 1), 20.0], rtol=1e-9)
    assert (found.lower <= found.resistance).all() and (found.resistance <= found.upper).all()


def test_what_is_refused():
    with pytest.raises(fe.InvalidChainError, match=r"not symmetric: the weight of 0 -> 1 is 2"):
        fe.effective_resistances(np.array([[0, 2.0], [1, 0]]), 0, 1)
    with pytest.raises(fe.InvalidChainError, match="one target for each source"):
        fe.effective_resistances(np.ones((3, 3)), [0, 1], [1])
    with pytest.raises(fe.InvalidChainError, match="not a state"):
        fe.effective_resistances(np.ones((3, 3)), 0, 3)
    none = fe.effective_resistances(np.eye(3), [0, 1], [1, 1])
    assert none.resistance.tolist() == [np.inf, 0.0] and none.converged

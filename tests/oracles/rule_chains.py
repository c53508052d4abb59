"""Chains of users' rules, each with a stored chain of the same rows."""

from functools import lru_cache

import example_rules
import numpy as np
import scipy.sparse as sp

import fastebm as fe

N = 1100  # hitting times store chains of up to 1000 states


def arrays(*matrices):
    return tuple(a for A in matrices for a in (A.indptr, A.indices, A.data))


@lru_cache
def random_matrix():
    """Irreducible, with one-way edges and weights over many decades."""
    rng = np.random.default_rng(0)
    x, y = (
        np.append(np.arange(N), rng.integers(N, size=3 * N)),
        np.append((np.arange(N) + 1) % N, rng.integers(N, size=3 * N)),
    )
    return sp.csr_array((rng.lognormal(sigma=2, size=x.size), (x, y)), shape=(N, N))


def general(incoming=True):
    A = random_matrix()
    rule = (
        {"data": arrays(A, A.T.tocsr()), "incoming": example_rules.listed_columns}
        if incoming
        else {"data": arrays(A)}
    )
    return fe.row_kernel(example_rules.listed, N, 20, **rule), fe.MarkovChain(A, normalize=True)


def symmetric():
    A = (random_matrix() + random_matrix().T).tocsr()
    return fe.row_kernel(
        example_rules.listed, N, 40, data=arrays(A), symmetric=True
    ), fe.MarkovChain(A, normalize=True)


def reversible():
    """Weights in detailed balance that are not symmetric."""
    A = (
        sp.diags_array(np.exp(np.sin(np.arange(N)))) @ (random_matrix() + random_matrix().T)
    ).tocsr()
    return fe.row_kernel(example_rules.listed, N, 40, data=arrays(A)), fe.MarkovChain(
        A, normalize=True
    )

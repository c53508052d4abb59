"""Chains of three states, one of each kind of storage, and what the tests of chains compare."""

from itertools import pairwise

import gallery
import numpy as np
import pytest
import scipy.sparse as sp

import fastebm as fe
from fastebm import MarkovChain

P = np.array([[0.0, 0.25, 0.75], [0.5, 0.5, 0.0], [0.2, 0.3, 0.5]])
UNIFORM = np.array([[0.0, 0.5, 0.5], [1.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3]])


def biased_ring(n, up, down):
    return fe.MarkovChain(gallery.biased_cycle(n, up, down).P)


def joined(first, second, rate):
    """Two matrices joined at one state of each: probability `rate` one way, three times that on the
    way back."""
    n, m = first.shape[0], second.shape[0]
    P = sp.block_diag([first, second]).tolil()
    P[0], P[n + 1] = P[[0]] * (1 - rate), P[[n + 1]] * (1 - 3 * rate)
    P[0, n], P[n + 1, m // 2] = rate, 3 * rate
    return P.tocsr()


def dense(chain):
    return chain.to_scipy().toarray()


def mapped(array, path):
    np.save(path, array)
    return np.load(path, mmap_mode="r")


def unsorted(A):
    """The same csr matrix with the entries of each row in reverse order."""
    A = sp.csr_array(A)
    order = np.concatenate([np.arange(end - 1, begin - 1, -1) for begin, end in pairwise(A.indptr)])
    return sp.csr_array((A.data[order], A.indices[order], A.indptr), shape=A.shape)


def assert_same_chain(one, other):
    """Same operator to the bit, and the same attributes."""
    assert np.array_equal(dense(one), dense(other)) and one.storage == other.storage
    x = np.random.default_rng(0).normal(size=one.n_states)
    assert np.array_equal(one @ x, other @ x) and np.array_equal(x @ one, x @ other)
    assert type(one) is type(other) and one.rate == other.rate
    for name in ("pi", "labels", "reward"):
        first, second = getattr(one, name), getattr(other, name)
        assert (first is None) == (second is None)
        if sp.issparse(first):
            first, second = first.toarray(), second.toarray()
        assert first is None or np.array_equal(first, second)


def as_tuple(A, index=np.int32):
    A = sp.csr_array(A)
    return A.indptr.astype(index), A.indices.astype(index), A.data


def chains():
    """One of each kind of storage."""
    valued, uniform = MarkovChain(P), MarkovChain(UNIFORM)
    rates = 10 * (P - np.eye(3))
    return {
        "valued": valued,
        "float32": MarkovChain(P.astype(np.float32)),
        "uniform": uniform,
        "lazy": valued.lazy(0.3),
        "lazy uniform": uniform.lazy(0.3),
        "tilted": fe.tilt(valued, [0.0, 1.0, -1.0], 0.5),
        "tilted lazy": fe.tilt(uniform.lazy(0.2), [0.0, 1.0, -1.0], 0.5),
        "hot": fe.tilt(valued, [0.0, 1000.0, -1000.0], 1.0),
        "lazy tilt": fe.tilt(valued, [0.0, 1.0, -1.0], 0.5).lazy(0.1),
        "reverse": valued.reverse(),
        "generator": MarkovChain.from_generator(rates),
        "sparse": fe.tilt(valued, sp.csr_array(P), 0.1),
        "edges": MarkovChain.from_edges([0, 1, 1], [1, 2, 1], [1.0, 2.5, 3.0], symmetric=True),
    }


every_chain = pytest.mark.parametrize("name", chains())

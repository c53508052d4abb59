"""Hypothesis strategies: small chains over many decades, rewards and temperatures. They shrink
towards few states, no extra edges and equal weights."""

import numpy as np
import scipy.sparse
from hypothesis import strategies as st


def _csr(n, edges):
    """Row-stochastic CSR array from {(x, y): weight}, columns ascending."""
    x, y = np.transpose(sorted(edges))
    weight = np.array([edges[edge] for edge in sorted(edges)])
    degree = np.bincount(x, weight, minlength=n)
    return scipy.sparse.coo_array((weight / degree[x], (x, y)), shape=(n, n)).tocsr(), degree


def _weights(decades):
    return st.floats(-decades / 2, decades / 2).map(lambda exponent: 10.0**exponent)


def _extra_edges(n):
    return st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=2 * n)


@st.composite
def reversible_chains(draw, max_states=30, decades=12):
    """(P, pi) of a walk on a connected graph, self-loops allowed, with conductances log-uniform
    over so many decades. It may be periodic; pi is the weighted degree, right to rounding in every
    component."""
    n = draw(st.integers(2, max_states))
    tree = [(draw(st.integers(0, x - 1)), x) for x in range(1, n)]
    edges = {}
    for x, y in tree + draw(_extra_edges(n)):
        edges[x, y] = edges[y, x] = draw(_weights(decades))
    P, degree = _csr(n, edges)
    return P, degree / degree.sum()


@st.composite
def irreducible_chains(draw, max_states=30, decades=12, aperiodic=False):
    """P of a directed cycle through all states in any order with extra edges; almost surely not
    reversible."""
    n = draw(st.integers(2, max_states))
    order = draw(st.permutations(range(n)))
    loop = [(0, 0)] if aperiodic else []
    cycle = list(zip(order, order[1:] + order[:1], strict=True))
    return _csr(
        n, {edge: draw(_weights(decades)) for edge in cycle + loop + draw(_extra_edges(n))}
    )[0]


def rewards(n, largest=7.0):
    """Reward vectors (n,). With `betas` down to 0.01, R / beta reaches 700, the edge of the range
    of exp."""
    return st.lists(st.floats(-largest, largest), min_size=n, max_size=n).map(np.array)


def betas(low=0.01, high=100.0, infinite=True):
    """Temperatures log-uniform between low and high; infinity is the reference chain."""
    finite = st.floats(np.log(low), np.log(high)).map(
        lambda x: float(np.clip(np.exp(x), low, high))
    )
    return finite | st.just(np.inf) if infinite else finite


def strongly_connected_counts(max_states=8, largest=50):
    def build(n):
        cells = st.lists(st.integers(0, largest), min_size=n * n, max_size=n * n)
        cycle = np.roll(np.eye(n), 1, axis=1)
        return cells.map(lambda values: np.array(values, float).reshape(n, n) + cycle)

    return st.integers(2, max_states).flatmap(build)

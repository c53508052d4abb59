"""How far clusters of states are from the values that balance them with the other states.

A Newton step solves with a Laplacian by conjugate gradients, whose residuals at single states are
rounding of the largest weights. Inside a cluster that is joined to the rest by weights of 1e-13 of
these, such residuals hide a net slope across the weak pairs, and with it the common value of the
cluster, to three digits only. The net slope itself is known: as a sum over the pairs that leave the
cluster, in which nothing else enters.
"""

import numpy as np

from .. import _core
from .._runtime.types import FloatArray, Int32Array
from ..linalg.rounding import UNIT

# Clusters are the components of the pairs with a curvature of at least 2^(-STEP k), for each k. A
# cluster whose pairs to the others are not weaker than its own by this factor loses no more digits.
STEP = 10
# Rounding of a slope relative to its terms, in units of UNIT (1 + |d|).
SLOPE_ROUNDING = 16.0


def largest_shift(fit: _core.PairNewton, kind: str) -> tuple[float, float]:
    """(the largest |net slope| / curvature over all clusters and single states, its rounding): to
    first order the shift of a cluster that would balance it, the other states fixed. It is at most
    twice the error of the values."""
    graph, n = fit.graph, fit.graph.n_states
    rows = np.repeat(np.arange(n, dtype=np.int32), np.diff(graph.indptr))
    h = np.asarray(fit.weight)[: graph.nnz]
    used = (h > 0.0) & (rows != graph.indices)
    if not used.any():
        return 0.0, 0.0
    x, y, h = rows[used], graph.indices[used], h[used]
    slope = _slopes(fit, kind)[used]
    rounding = SLOPE_ROUNDING * UNIT * (1.0 + float(np.abs(fit.v[x] - fit.v[y]).max()))
    band = np.frexp(h)[1] // STEP
    top = _shift(x, slope, h, n)
    for level in np.unique(band)[:0:-1]:
        number, labels = _components(x[band >= level], y[band >= level], n)
        x, y = labels[x], labels[y]  # clusters are the states of the next level
        left = x != y
        x, y, slope, h, band, n = x[left], y[left], slope[left], h[left], band[left], number
        top = max(top, _shift(x, slope, h, n))
    return top, rounding


def _slopes(fit: _core.PairNewton, kind: str) -> FloatArray:
    """The slope of each entry in v(x) - v(y), with that of its mirror image."""
    graph = fit.graph
    if kind != "least-squares":
        own = graph.forward * fit.slopes()
        return own - own[graph.mirror]
    rows = np.repeat(np.arange(graph.n_states), np.diff(graph.indptr))
    h = np.asarray(fit.weight)[: graph.nnz]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log(graph.forward) - np.log(graph.backward)
        return np.where(h > 0.0, h * (fit.v[rows] - fit.v[graph.indices] - ratio), 0.0)


def _shift(x: Int32Array, slope: FloatArray, h: FloatArray, n: int) -> float:
    curvature = np.bincount(x, h, minlength=n)
    net = np.abs(np.bincount(x, slope, minlength=n))
    return float((net[curvature > 0.0] / curvature[curvature > 0.0]).max(initial=0.0))


def _components(x: Int32Array, y: Int32Array, n: int) -> tuple[int, Int32Array]:
    import scipy.sparse as sp
    from scipy.sparse.csgraph import connected_components  # slow to import

    graph = sp.coo_array((np.ones(len(x), dtype=np.int8), (x, y)), shape=(n, n))
    number, labels = connected_components(graph, directed=False)
    return int(number), labels

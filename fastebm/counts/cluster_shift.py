"""How far clusters of states are from the values that balance them with the other states.

A Newton step solves with a Laplacian by conjugate gradients, whose residuals at single states are
rounding of the largest weights. Inside a cluster that is joined to the rest by weights of 1e-13 of
these, such residuals hide a net slope across the weak pairs, and with it the common value of the
cluster, to three digits only. The net slope itself is known: as a sum over the pairs that leave the
cluster, in which nothing else enters.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from .. import _core
from .._runtime.types import FloatArray, Int32Array
from ..linalg.rounding import UNIT

# Clusters are the components of the pairs with a curvature of at least 2^(-STEP k), for each k. A
# cluster whose pairs to the others are not weaker than its own by this factor loses no more digits.
STEP = 10
# Rounding of a slope relative to its terms, in units of UNIT (1 + |d|).
SLOPE_ROUNDING = 16.0


# Clusters up to which their values are solved for.
MAX_CLUSTERS = 20_000


class ClusterBalance(NamedTuple):
    """How far the clusters of a fit are from balance.

    Attributes
    ----------
    shift : float
        The largest |net slope| / curvature over all clusters and single states: to first order the
        shift of one that would balance it, the others fixed. At most twice the error of the values.
    rounding : float
        Of `shift`.
    step : ndarray (n_states,)
        Added to the values, it balances the clusters to first order, level by level. Zero where
        there are too many to solve for.
    """

    shift: float
    rounding: float
    step: FloatArray


def cluster_balance(fit: _core.PairNewton, kind: str) -> ClusterBalance:
    """The balance of the clusters of a finished fit, from the strongest to the weakest pairs."""
    graph, n = fit.graph, fit.graph.n_states
    rows = np.repeat(np.arange(n, dtype=np.int32), np.diff(graph.indptr))
    h = np.asarray(fit.weight)[: graph.nnz]
    used = (h > 0.0) & (rows != graph.indices)
    step = np.zeros(n)
    if not used.any():
        return ClusterBalance(0.0, 0.0, step)
    x, y, h = rows[used], graph.indices[used], h[used]
    slope = _slopes(fit, kind)[used]
    rounding = SLOPE_ROUNDING * UNIT * (1.0 + float(np.abs(fit.v[x] - fit.v[y]).max()))
    band = np.frexp(h)[1] // STEP
    shift, moved = _shift(x, slope, h, n), slope.copy()
    cluster = np.arange(n, dtype=np.int32)
    levels = np.unique(band)[::-1]
    for level, following in pairwise(levels):
        number, labels = _components(x[band >= level], y[band >= level], n)
        x, y, cluster = labels[x], labels[y], labels[cluster]  # states of the next level
        left = x != y
        x, y, h, band, n = x[left], y[left], h[left], band[left], number
        slope, moved = slope[left], moved[left]
        shift = max(shift, _shift(x, slope, h, n))
        strong = band >= following
        if strong.any() and n <= MAX_CLUSTERS:
            own = _solve(x[strong], y[strong], moved[strong], h[strong], n)
            moved += h * (own[x] - own[y])
            step += own[cluster]
    return ClusterBalance(shift, rounding, _proven(step, rows[used], graph.indices[used]))


def _solve(x: Int32Array, y: Int32Array, slope: FloatArray, h: FloatArray, n: int) -> FloatArray:
    """The values whose Laplacian is minus the net slopes, zero at one cluster of each component."""
    import scipy.sparse as sp
    from scipy.sparse.linalg import spsolve  # slow to import and rarely needed

    _, labels = _components(x, y, n)
    largest = h.max()
    h, net = h / largest, np.bincount(x, slope / largest, minlength=n)
    diagonal = np.bincount(x, h, minlength=n)
    first = np.unique(labels, return_index=True)[1]
    fixed = np.where(diagonal > 0.0, diagonal, 1.0)
    fixed[first] += fixed[first]  # the sum over a component is zero, so this moves nothing
    at = np.arange(n)
    entries = (np.concatenate([fixed, -h]), (np.concatenate([at, x]), np.concatenate([at, y])))
    found: FloatArray = spsolve(sp.csc_array(entries, shape=(n, n)), -net)
    return found if np.isfinite(found).all() else np.zeros(n)


def _proven(step: FloatArray, x: Int32Array, y: Int32Array) -> FloatArray:
    """The step, shortened as Newton's steps are where it stretches a pair by more than one."""
    stretch = float(np.abs(step[x] - step[y]).max())
    return step if stretch <= 1.0 else step * (np.log1p(stretch) / stretch)


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

"""Sets of states whose flows a Gibbs sampler moves together: the smaller part of every merger, when
pairs of states are joined in descending order of their counts."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from .. import _core
from .._runtime.types import FloatArray, Int32Array, IntArray


class Clusters(NamedTuple):
    """Sets of at least two states: cluster i is order[ranges[i, 0] : ranges[i, 1]].

    A state is in at most log2(n_states) of them, because each is the smaller part.
    """

    ranges: IntArray
    order: Int32Array
    place: IntArray


def clusters_of(graph: _core.PairGraph, factor: FloatArray | None = None) -> Clusters:
    """The clusters of a connected graph of pairs of states; `factor` (nnz,) multiplies the
    counts."""
    from scipy.sparse.csgraph import minimum_spanning_tree  # slow to import

    n = graph.n_states
    counts = (graph.forward + graph.backward) * (1.0 if factor is None else factor)
    weight = sp.csr_array((-counts, graph.indices, graph.indptr), shape=(n, n))
    tree = minimum_spanning_tree(weight).tocoo()
    order = np.argsort(tree.data, kind="stable")
    joined = list(range(n))  # union-find with path halving

    def root(x: int) -> int:
        while joined[x] != x:
            joined[x] = joined[joined[x]]
            x = joined[x]
        return x

    size, last, following = [1] * n, list(range(n)), [-1] * n
    parts: list[tuple[int, int]] = []  # (first state, size)
    for x, y in zip(tree.row[order].tolist(), tree.col[order].tolist(), strict=True):
        large, small = root(x), root(y)
        if size[large] < size[small]:
            large, small = small, large
        if size[small] > 1:
            parts.append((small, size[small]))
        joined[small] = large
        following[last[large]], last[large] = small, last[small]
        size[large] += size[small]
    # a part begins with its root and is followed through as it was when it was joined
    listed, at = [], root(0)
    while at >= 0:
        listed.append(at)
        at = following[at]
    states: npt.NDArray[np.int32] = np.array(listed, dtype=np.int32)
    place = np.empty(n, dtype=np.int64)
    place[states] = np.arange(n)
    ranges = np.array([(place[x], place[x] + k) for x, k in parts], dtype=np.int64).reshape(-1, 2)
    return Clusters(ranges, states, place)

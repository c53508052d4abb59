"""Dominant pathways of a net flux: repeatedly the widest path, of which every part is as wide as
possible, with its capacity taken away (Metzner, Schuette & Vanden-Eijnden 2009, section 3.4)."""

from typing import Any

import numpy as np
import scipy.sparse as sp

from .._runtime.results import Result, result
from .._runtime.types import BoolArray, FloatArray, IntArray

# Paths below this share of the total flux are rounding errors of the net flux.
SMALLEST_SHARE = 1e-12
# Edges that are tried first in the search for the narrowest edge of a path.
FIRST_EDGES = 64


@result
class Pathways(Result):
    """Paths from the source to the target, in the order in which they were taken from the net flux.

    Attributes
    ----------
    paths : list of int arrays
        State numbers, from the source to the target.
    capacities : ndarray (n_paths,)
        Flux of each path: the smallest remaining net flux along it. Descending up to rounding.
    shares : ndarray (n_paths,)
        Of the total flux.
    bottlenecks : ndarray int (n_paths, 2)
        The edge of each path with the smallest remaining net flux.
    """

    paths: list[IntArray]
    capacities: FloatArray
    shares: FloatArray
    bottlenecks: IntArray


class _Edges:
    """Edges by capacity, largest first.

    Attributes
    ----------
    source, target : ndarray int (n_edges,)
    number : ndarray int (n_edges,)
        Of each edge in the net flux.
    """

    def __init__(self, source: IntArray, target: IntArray, number: IntArray) -> None:
        self.source, self.target, self.number = source, target, number

    def __len__(self) -> int:
        return len(self.source)

    def kept(self, mask: BoolArray) -> "_Edges":
        return _Edges(self.source[mask], self.target[mask], self.number[mask])

    def reached(self, start: IntArray, n_edges: int, *, backward: bool = False) -> IntArray:
        """The states that the first n edges lead to from `start`, or from which they lead there,
        ascending."""
        from scipy.sparse.csgraph import breadth_first_order  # slow to import

        tail, head = self.source[:n_edges], self.target[:n_edges]
        if backward:
            tail, head = head, tail
        states, place = np.unique(np.concatenate([start, tail, head]), return_inverse=True)
        n, first, own = len(states), len(start), place[len(start) :]
        rows = np.concatenate([np.full(first, n), own[: len(tail)]])
        columns = np.concatenate([place[:first], own[len(tail) :]])
        graph = sp.csr_array((np.ones(len(rows)), (rows, columns)), shape=(n + 1, n + 1))
        order = breadth_first_order(graph, n, return_predecessors=False)
        found: IntArray = states[np.sort(order[order < n])]
        return found

    def connects(self, start: IntArray, goal: IntArray, n_edges: int) -> bool:
        """Whether the first n edges lead from `start` to `goal`."""
        return bool(np.isin(goal, self.reached(start, n_edges)).any())

    def fewest(self, start: IntArray, goal: IntArray) -> int:
        """The smallest number of first edges that lead from `start` to `goal`, 0 if all do not."""
        known, tried = 0, min(FIRST_EDGES, len(self))
        while not self.connects(start, goal, tried):
            if tried == len(self):
                return 0
            known, tried = tried, min(2 * tried, len(self))
        while tried - known > 1:
            middle = (known + tried) // 2
            if self.connects(start, goal, middle):
                tried = middle
            else:
                known = middle
        return tried

    def between(self, start: IntArray, goal: IntArray, n_edges: int) -> "_Edges":
        """The edges among the first n that lie on a walk from `start` to `goal`."""
        on = np.intersect1d(
            self.reached(start, n_edges), self.reached(goal, n_edges, backward=True)
        )
        first = _Edges(self.source[:n_edges], self.target[:n_edges], self.number[:n_edges])
        return first.kept(np.isin(first.source, on) & np.isin(first.target, on))


def _widest(edges: _Edges, start: IntArray, goal: IntArray) -> tuple[list[int], int]:
    """(numbers of the edges of the widest path, that of its narrowest); empty and -1 if there is no
    path. The narrowest edge is known first; both parts beside it are widest paths themselves."""
    path: list[int] = []
    narrowest = -1
    left: list[tuple[Any, ...]] = [("search", edges, start, goal)]
    while left:
        task = left.pop()
        if task[0] == "edge":
            path.append(task[1])
            continue
        _, edges, start, goal = task
        if np.isin(start, goal).any():
            continue
        n = edges.fewest(start, goal)
        if n == 0:
            return [], -1
        x, y, number = edges.source[n - 1], edges.target[n - 1], int(edges.number[n - 1])
        narrowest = number if narrowest < 0 else narrowest
        x, y = np.array([x]), np.array([y])
        # last in, first out: the part before the edge is searched first
        left.append(("search", edges.between(y, goal, n - 1), y, goal))
        left.append(("edge", number))
        left.append(("search", edges.between(start, x, n - 1), start, x))
    return path, narrowest


def find_pathways(
    net: sp.csr_array, source: IntArray, target: IntArray, k: int, total: float
) -> Pathways:
    """At most k pathways of the net flux."""
    rows = np.repeat(np.arange(net.shape[0]), np.diff(net.indptr))
    columns, capacity = net.indices.astype(np.int64), net.data.copy()
    order = np.argsort(-capacity, kind="stable")
    paths, capacities, bottlenecks = [], [], []
    for _ in range(k):
        order = order[np.argsort(-capacity[order], kind="stable")]
        order = order[capacity[order] > SMALLEST_SHARE * total]
        if len(order) == 0:
            break
        numbers, narrowest = _widest(_Edges(rows[order], columns[order], order), source, target)
        if not numbers:
            break
        size = float(capacity[narrowest])
        capacity[numbers] = np.maximum(capacity[numbers] - size, 0.0)
        paths.append(np.append(rows[numbers], columns[numbers[-1]]))
        capacities.append(size)
        bottlenecks.append((rows[narrowest], columns[narrowest]))
    sizes = np.array(capacities, dtype=np.float64)
    return Pathways(
        paths=paths,
        capacities=sizes,
        shares=sizes / total,
        bottlenecks=np.array(bottlenecks, dtype=np.int64).reshape(-1, 2),
    )

"""Values of the prefixes of a tree under the optimal policy, with the frontier at either end."""

import itertools
from collections.abc import Iterator

import numpy as np

from .._runtime.types import FloatArray, IntArray
from ..linalg.rounding import UNIT
from .expansion import TreeOptions
from .masses import STEP_ROUNDING
from .prefix_tree import PrefixTree
from .tilt_bounds import Weights


class TreeValues:
    """The weights ``z = E exp(strength (score - highest score))`` of all prefixes.

    Parameters
    ----------
    tree : PrefixTree
    options : TreeOptions
    strength : float
        1 / beta.

    Attributes
    ----------
    log_low, log_high : ndarray (n_nodes,)
        Ends of log z, rounding included.
    worst : float
        log z of the lowest score.
    slack : float
        The rounding of log z that the ends allow for.
    """

    def __init__(self, tree: PrefixTree, options: TreeOptions, strength: float) -> None:
        self.tree = tree
        low, high = options.score_range
        nodes = tree.nodes
        self.worst = -strength * (high - low)
        known = strength * (nodes["score"] - high)
        is_known = tree.is_decided()
        self.log_low = self._backward(np.where(is_known, known, self.worst), self.worst)
        self.log_high = self._backward(np.where(is_known, known, 0.0), 0.0)
        steps = float(nodes["depth"].max()) + 1.0
        width = float(tree.rows["n_kept"].max(initial=0)) + 2.0
        self.slack = steps * (width * UNIT + 2.0 * STEP_ROUNDING) - 16.0 * UNIT * self.worst
        is_exact = ~tree.is_expanded() & np.isin(self.log_low, (0.0, self.worst))
        slack = np.where(is_exact | (strength == 0.0), 0.0, self.slack)
        self.log_low = np.clip(self.log_low - slack, self.worst, 0.0)
        self.log_high = np.clip(self.log_high + slack, self.worst, 0.0)

    def _backward(self, log_z: FloatArray, frontier: float) -> FloatArray:
        """log z of all nodes, from those that were not expanded."""
        nodes, outside = self.tree.nodes, self.tree.outside()
        with np.errstate(divide="ignore"):
            log_q, log_outside = np.log(nodes["q"]), np.log(outside)
        is_expanded = self.tree.is_expanded()
        for parents, children in self._levels():
            parents = parents[is_expanded[parents]]
            if not parents.size:
                continue
            place = nodes["parent"][children]
            term = log_q[children] + log_z[children]
            most = np.full(len(nodes), -np.inf)
            most[parents] = log_outside[parents] + frontier
            np.maximum.at(most, place, term)
            total = np.bincount(place, np.exp(term - most[place]), len(nodes))[parents]
            total += np.exp(log_outside[parents] + frontier - most[parents])
            log_z[parents] = most[parents] + np.log(total)
        return log_z

    def _levels(self) -> Iterator[tuple[IntArray, IntArray]]:
        """(nodes of a depth, nodes of the next depth), the deepest first."""
        depth = self.tree.nodes["depth"]
        order = np.argsort(depth, kind="stable")
        begin = np.searchsorted(depth[order], np.arange(int(depth.max()) + 2))
        level = [order[a:b] for a, b in itertools.pairwise(begin)]
        yield from zip(level[-2::-1], level[:0:-1], strict=True)

    def weights(self, nodes: IntArray, q: FloatArray, outside: FloatArray) -> Weights:
        """These nodes as items, and masses of which nothing is known."""
        n = np.count_nonzero(outside)
        return Weights(
            np.concatenate([q, outside[outside > 0.0]]),
            np.concatenate([self.log_low[nodes], np.full(n, self.worst)]),
            np.concatenate([self.log_high[nodes], np.zeros(n)]),
        )

    def leaves(self) -> Weights:
        """The law of the whole answers, as far as it is known."""
        (ends, inner), reach = self.tree.leaves(), self.tree.nodes["reach"]
        return self.weights(ends, reach[ends], reach[inner] * self.tree.outside()[inner])

    def next_tokens(self, node: int) -> tuple[IntArray, Weights]:
        """The children of an expanded node, and their law with what is outside of them last."""
        tree = self.tree
        row = int(tree.last_rows()[node])
        children = tree.children(row)
        record = tree.rows[row]
        outside = np.array([record["tail"] + record["cut"]])
        return children, self.weights(children, tree.nodes["q"][children], outside)

    def first_tokens(self, n_tokens: int) -> Weights:
        """The law of the first `n_tokens` tokens: prefixes of that length, and the shorter ones
        that were not expanded."""
        tree = self.tree
        nodes, depth = tree.nodes, tree.nodes["depth"]
        is_expanded = tree.is_expanded()
        chosen = np.flatnonzero((depth == n_tokens) | ((depth < n_tokens) & ~is_expanded))
        outside = nodes["reach"] * tree.outside() * (depth < n_tokens)
        return self.weights(chosen, nodes["reach"][chosen], outside)

"""Graphs of networkx and igraph, and the .graphml files that they and most programs for networks
write.

Neither package is imported to read its objects. They are recognised by their attributes, so that
subclasses are treated alike.
"""

from typing import Any, NamedTuple, TypeAlias

import numpy as np
import scipy.sparse as sp

from .._runtime.types import IntArray
from ..errors import InvalidChainError
from .opening import damage_named, opened

#: The edge attribute that packages for graphs read as the weight.
WEIGHT = "weight"


class GraphWeights(NamedTuple):
    """The edges of a graph as a matrix, its nodes numbered in their order.

    Attributes
    ----------
    matrix : csr_array (n_nodes, n_nodes)
        The weight of the edge x -> y. Parallel edges are added up; an undirected edge is there in
        both directions, a self-loop once.
    labels : tuple or None
        The nodes; None if they are 0, 1, ....
    is_directed : bool
    """

    matrix: sp.csr_array
    labels: tuple[Any, ...] | None
    is_directed: bool


def is_graph(value: Any) -> bool:
    """Whether `value` is a graph of networkx or igraph."""
    return _is_networkx(value) or _is_igraph(value)


def _is_networkx(value: Any) -> bool:
    return hasattr(value, "adj") and hasattr(value, "is_multigraph")


def _is_igraph(value: Any) -> bool:
    return hasattr(value, "get_edgelist") and hasattr(value, "vs") and hasattr(value, "es")


def graph_weights(graph: Any, weight: str | None = WEIGHT) -> GraphWeights:
    """The edges of a graph of networkx or igraph.

    An edge without the attribute `weight` has weight one; with None all have.

    Raises
    ------
    InvalidChainError
        There is no node, a weight is no number, or no edge has the attribute `weight` and it is
        not the default.
    """
    read = _of_networkx if _is_networkx(graph) else _of_igraph
    nodes, source, target, values = read(graph, weight)
    if not nodes:
        raise InvalidChainError("the graph has no nodes; give one with at least one")
    known = [value for value in values if value is not None]
    if values and not known and weight not in (None, WEIGHT):
        raise InvalidChainError(
            f"no edge of the graph has the attribute {weight!r}; pass the name of the weights, or "
            "weight=None for weights of one"
        )
    data = np.ones(len(values))
    try:
        data[[value is not None for value in values]] = known
    except (TypeError, ValueError, OverflowError):
        _refuse_words(nodes, source, target, values)
        raise
    n = len(nodes)
    matrix = sp.coo_array((data, (source, target)), shape=(n, n)).tocsr()
    labels = None if nodes == list(range(n)) else tuple(nodes)
    return GraphWeights(matrix, labels, graph.is_directed())


def _refuse_words(nodes: list[Any], source: IntArray, target: IntArray, values: list[Any]) -> None:
    for x, y, value in zip(source, target, values, strict=True):
        try:
            float(1 if value is None else value)
        except (TypeError, ValueError, OverflowError):
            raise InvalidChainError(
                f"the edge {nodes[x]!r} -> {nodes[y]!r} has the weight {value!r:.100}, which is no"
                " number of double precision"
            ) from None


#: Nodes, sources and targets in both directions if undirected, and weights or None.
_Read: TypeAlias = tuple[list[Any], IntArray, IntArray, list[Any]]


def _of_networkx(graph: Any, weight: str | None) -> _Read:
    """By rows: several times as fast as networkx's own conversion, whose edges are tuples."""
    nodes = list(graph)
    number = {node: i for i, node in enumerate(nodes)}
    degree, targets, values = np.zeros(len(nodes), np.int64), [], list[Any]()
    for i, (_, neighbours) in enumerate(graph.adjacency()):
        edges: Any = neighbours.values()
        if graph.is_multigraph():  # parallel edges by key
            neighbours = [node for node, parallel in neighbours.items() for _ in parallel]
            edges = [edge for parallel in edges for edge in parallel.values()]
        degree[i] = len(neighbours)
        targets.append(np.fromiter(map(number.__getitem__, neighbours), np.int64, len(neighbours)))
        values += [None if weight is None else edge.get(weight) for edge in edges]
    target = np.concatenate(targets) if targets else np.empty(0, np.int64)
    return nodes, np.repeat(np.arange(len(nodes)), degree), target, values


def _of_igraph(graph: Any, weight: str | None) -> _Read:
    named = "name" in graph.vs.attributes()
    nodes = list(graph.vs["name"]) if named else list(range(graph.vcount()))
    ends = np.array(graph.get_edgelist(), np.int64).reshape(-1, 2)
    known = weight is not None and weight in graph.es.attributes()
    values = list(graph.es[weight]) if known else [None] * len(ends)
    source, target = ends[:, 0], ends[:, 1]
    if not graph.is_directed():
        other = source != target
        source, target = np.append(source, target[other]), np.append(target, source[other])
        values += [value for value, is_other in zip(values, other, strict=True) if is_other]
    return nodes, source, target, values


def read_graphml(path: str) -> tuple[sp.csr_array, tuple[str, ...] | None]:
    """The weights of the edges, by networkx."""
    try:
        from networkx import read_graphml as read
    except ImportError as error:
        raise ImportError(
            "reading .graphml needs the package networkx: pip install networkx"
        ) from error
    with damage_named(path, "write the file again"), opened(path) as file:
        found = graph_weights(read(file))
    return found.matrix, None if found.labels is None else tuple(map(str, found.labels))

"""Graphs of networkx and igraph, and the .graphml files that they and most programs for networks
write.

Neither package is imported to read its objects. They are recognised by their attributes, so that
subclasses are treated alike.
"""

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from .._runtime.types import FloatArray, IntArray, Labels
from ..errors import InvalidChainError
from .opening import damage_named, opened

#: The edge attribute that packages for graphs read as the weight.
WEIGHT = "weight"


class GraphEdges(NamedTuple):
    """The edges of a graph, its nodes numbered in their order.

    Attributes
    ----------
    source, target : ndarray (n_edges,)
    weight : ndarray (n_edges,)
    n_nodes : int
    labels : list or None
        The nodes; None if they are 0, 1, ....
    symmetric : bool
        The graph is undirected: each edge is listed once and goes both ways.
    """

    source: IntArray
    target: IntArray
    weight: FloatArray
    n_nodes: int
    labels: Labels | None
    symmetric: bool


def is_graph(value: Any) -> bool:
    """Whether `value` is a graph of networkx or igraph."""
    return _is_networkx(value) or _is_igraph(value)


def _is_networkx(value: Any) -> bool:
    return hasattr(value, "adj") and hasattr(value, "is_multigraph")


def _is_igraph(value: Any) -> bool:
    return hasattr(value, "get_edgelist") and hasattr(value, "vs") and hasattr(value, "es")


def graph_edges(graph: Any, weight: str | None = WEIGHT) -> GraphEdges:
    """The edges of a graph of networkx or igraph.

    An edge without the attribute `weight` has weight one; with None all have.

    Raises
    ------
    InvalidChainError
        There is no node, a weight is no number, or no edge has the attribute `weight` and it is
        not the default.
    """
    read = _networkx_edges if _is_networkx(graph) else _igraph_edges
    nodes, ends, weights = read(graph, weight)
    if not nodes:
        raise InvalidChainError("the graph has no nodes; a chain needs at least one state")
    if ends and weight not in (None, WEIGHT) and all(value is None for value in weights):
        raise InvalidChainError(
            f"no edge of the graph has the attribute {weight!r}; pass the name of the weights, or "
            "weight=None for weights of one"
        )
    number = np.ones(len(ends))
    for i, value in enumerate(weights):
        if value is None:
            continue
        try:
            number[i] = value
        except (TypeError, ValueError):
            x, y = (nodes[node] for node in ends[i])
            raise InvalidChainError(
                f"the edge {x!r} -> {y!r} has the {weight} {value!r}, which is no number"
            ) from None
    pairs = np.array(ends, np.int64).reshape(-1, 2)
    labels = None if nodes == list(range(len(nodes))) else nodes
    return GraphEdges(pairs[:, 0], pairs[:, 1], number, len(nodes), labels, not graph.is_directed())


def _networkx_edges(
    graph: Any, weight: str | None
) -> tuple[list[Any], list[tuple[int, int]], list[Any]]:
    nodes = list(graph.nodes)
    position = {node: i for i, node in enumerate(nodes)}
    edges = (
        list(graph.edges(data=weight))
        if weight is not None
        else [(x, y, None) for x, y, *_ in graph.edges]
    )
    ends = [(position[x], position[y]) for x, y, _ in edges]
    return nodes, ends, [value for _, _, value in edges]


def _igraph_edges(
    graph: Any, weight: str | None
) -> tuple[list[Any], list[tuple[int, int]], list[Any]]:
    named = "name" in graph.vs.attributes()
    nodes = list(graph.vs["name"]) if named else list(range(graph.vcount()))
    ends = graph.get_edgelist()
    known = weight is not None and weight in graph.es.attributes()
    return nodes, ends, list(graph.es[weight]) if known else [None] * len(ends)


def read_graphml(path: str) -> tuple[sp.csr_array, tuple[str, ...] | None]:
    """The weights of the edges, by networkx; an undirected edge goes both ways."""
    try:
        from networkx import read_graphml as read
    except ImportError as error:
        raise ImportError(
            "reading .graphml needs the package networkx: pip install networkx"
        ) from (error)
    with damage_named(path, "write the file again"), opened(path) as file:
        edges = graph_edges(read(file))
    shape = (edges.n_nodes, edges.n_nodes)
    matrix = sp.coo_array((edges.weight, (edges.source, edges.target)), shape=shape).tocsr()
    if edges.symmetric:
        matrix = (matrix + matrix.T - sp.diags_array(matrix.diagonal())).tocsr()
    labels = edges.labels
    return matrix, None if labels is None else tuple(map(str, labels))

"""Graphs of other packages and adjacency matrices, as weights of the directed edges x -> y."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp

from .._runtime import validate
from .._runtime.labelled import named_matrix
from .._runtime.types import FloatArray, Labels
from ..errors import InvalidChainError
from ..io.graphs import graph_weights, is_graph

#: (weights as CSR with ascending rows and without zeros, names of the nodes or None).
NamedWeights = tuple[Any, Labels | None]


def weights_of(graph: Any) -> NamedWeights:
    """The edge weights of a graph in the order of its nodes; rows may be empty.

    Parameters
    ----------
    graph : sparse or dense (n, n), DataFrame, networkx graph, igraph.Graph
        An undirected edge counts in both directions, a self-loop once; parallel edges add up.
        Weights of networkx and igraph are the edge attribute "weight", 1 where it is missing.

    Raises
    ------
    InvalidChainError
        The matrix is not square or has no row, or a weight is negative, NaN or infinite.
    TypeError
        It is no graph, or its weights are no real numbers.
    """
    names: Labels | None
    if is_graph(graph):
        found = graph_weights(graph)
        weights, names = found.matrix, found.labels
    else:
        weights, names = named_matrix(graph, None, "graph")
    if not sp.issparse(weights):
        weights = validate.real_array(weights, "graph")
        if weights.ndim != 2:
            raise InvalidChainError(
                f"graph must be a square matrix of weights, got shape {weights.shape}"
            )
        weights = sp.csr_array(weights.astype(np.float64))
    if weights.shape[0] != weights.shape[1] or weights.shape[0] == 0:
        raise InvalidChainError(
            f"graph must be square with at least one node, got shape {weights.shape}"
        )
    csr = validate.sparse_float64(weights, "graph")
    bad = ~(np.isfinite(csr.data) & (csr.data >= 0.0))
    if bad.any():
        at = int(np.argmax(bad))
        row = int(np.searchsorted(csr.indptr, at, side="right")) - 1
        raise InvalidChainError(
            f"row {_name(row, names)}: the weight of the edge to {_name(csr.indices[at], names)} "
            f"is {csr.data[at]}; weights are finite and not negative"
        )
    csr.eliminate_zeros()
    return csr, names


def node_weights(
    values: Any, n_nodes: int, names: Labels | None, name: str, remedy: str
) -> FloatArray:
    """Weights of the nodes divided by their sum, from one number for each node or a mapping from
    nodes to numbers, in which nodes that are not listed have the weight 0.

    Raises
    ------
    InvalidChainError
        A node is unknown, names of nodes repeat, a weight is negative, NaN or infinite, or all are
        zero.
    """
    if isinstance(values, Mapping):
        number = {node: i for i, node in enumerate(range(n_nodes) if names is None else names)}
        listed = np.zeros(n_nodes)
        if len(number) < n_nodes:
            raise InvalidChainError(
                f"names of nodes repeat, so that {name} cannot name them; give an array with one "
                "number for each node"
            )
        for node, weight in values.items():
            if node not in number:
                raise InvalidChainError(f"{name} has a weight for {node!r}, which is no node")
            listed[number[node]] = validate.number(weight, f"{name}[{node!r}]", above=-np.inf)
        values = listed
    weights = validate.vector(values, n_nodes, name, names)
    if (weights < 0.0).any():
        at = int(np.argmax(weights < 0.0))
        raise InvalidChainError(f"{name}[{at}] is {weights[at]}; weights are not negative")
    largest = float(weights.max())
    if largest == 0.0:
        raise InvalidChainError(f"{name} is zero everywhere; {remedy}")
    weights = weights / largest  # the sum of huge weights would overflow
    normalised: FloatArray = weights / weights.sum()
    return normalised


def _name(row: int, names: Labels | None) -> str:
    return f"{row}" if names is None else f"{row} ({names[row]})"

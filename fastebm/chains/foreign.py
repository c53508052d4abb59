"""Chains and graphs of other packages, into a chain and out of one.

None of these packages is imported to read its objects. They are recognised by their attributes, so
that subclasses and packages with the same interface are treated alike.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from .._runtime.labelled import is_table
from .._runtime.memory import forecast_memory
from .._runtime.types import FloatArray, IntArray, Labels
from ..errors import InvalidChainError

if TYPE_CHECKING:
    from .operator import ChainOperator

#: The edge attribute that packages for graphs read as the weight.
WEIGHT = "weight"
# Bytes of an edge of a networkx.DiGraph: entries of two dictionaries and the attributes they share.
_BYTES_A_GRAPH_EDGE = 500


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


class ForeignChain(NamedTuple):
    """The matrix of a chain of another package, the names of its states and its lag if known."""

    matrix: Any
    labels: Labels | None = None
    lag: int | None = None


def unwrapped(chain: Any) -> ForeignChain:
    """What a chain of another package holds; anything else is returned as the matrix.

    Known are `deeptime` and PyEMMA models (transition_matrix, lagtime or lag), kernels of CellRank
    (transition_matrix, and the names of the cells), `quantecon.MarkovChain` (P, state_values),
    `pydtmc.MarkovChain` (p, states), and dense or sparse tensors of PyTorch.
    """
    if isinstance(chain, (np.ndarray, tuple, list)) or sp.issparse(chain) or is_table(chain):
        return ForeignChain(chain)  # columns of a table are attributes, too
    if hasattr(chain, "transition_matrix"):
        lag = getattr(chain, "lagtime", getattr(chain, "lag", None))
        names = getattr(getattr(chain, "adata", None), "obs_names", None)
        return ForeignChain(
            chain.transition_matrix,
            names,
            int(lag) if isinstance(lag, (int, np.integer)) and lag >= 1 else None,
        )
    if hasattr(chain, "P") and hasattr(chain, "state_values"):
        values = chain.state_values
        return ForeignChain(chain.P, None if values is None else list(values))
    if hasattr(chain, "p") and hasattr(chain, "states"):
        return ForeignChain(chain.p, list(chain.states))
    if hasattr(chain, "detach") and hasattr(chain, "layout"):
        return ForeignChain(_from_torch(chain.detach().cpu()))
    return ForeignChain(chain)


def _from_torch(tensor: Any) -> Any:
    if hasattr(tensor, "is_sparse") and tensor.is_sparse:
        tensor = tensor.coalesce()
        rows, columns = tensor.indices().numpy()
        return sp.coo_array((tensor.values().numpy(), (rows, columns)), shape=tuple(tensor.shape))
    if str(tensor.layout) == "torch.sparse_csr":
        arrays = tensor.values(), tensor.col_indices(), tensor.crow_indices()
        return sp.csr_array(tuple(part.numpy() for part in arrays), shape=tuple(tensor.shape))
    if str(tensor.layout) == "torch.strided":
        return tensor.numpy()
    raise InvalidChainError(
        f"P is a tensor of layout {tensor.layout}; call P.to_sparse_csr() or P.to_dense() first"
    )


def to_pandas(chain: "ChainOperator") -> Any:
    """The matrix as a pandas.DataFrame, named by the states; see `MarkovChain.to_pandas`."""
    pandas = _imported("pandas")
    n = chain.n_states
    forecast_memory(
        16 * n**2, f"a table of {n:,} x {n:,} probabilities", "use to_scipy(), which is sparse"
    )
    names = None if chain.labels is None else list(chain.labels)
    return pandas.DataFrame(chain.to_scipy().toarray(), index=names, columns=names)


def to_networkx(chain: "ChainOperator") -> Any:
    """The transitions as a networkx.DiGraph; see `MarkovChain.to_networkx`."""
    networkx = _imported("networkx")
    forecast_memory(_BYTES_A_GRAPH_EDGE * chain.nnz, "a graph of all transitions", "use to_scipy()")
    nodes = range(chain.n_states) if chain.labels is None else list(chain.labels)
    if len(set(nodes)) < chain.n_states:
        raise InvalidChainError(
            "labels repeat, and nodes of a graph must differ; make the chain with other labels"
        )
    graph = networkx.DiGraph()
    graph.add_nodes_from(nodes)
    entries = chain.to_scipy().tocoo()
    graph.add_weighted_edges_from(
        (nodes[x], nodes[y], probability)
        for x, y, probability in zip(
            entries.row.tolist(), entries.col.tolist(), entries.data.tolist(), strict=True
        )
    )
    return graph


def _imported(package: str) -> Any:
    from importlib import import_module

    try:
        return import_module(package)
    except ImportError as error:
        raise ImportError(f"this needs the package {package}: pip install {package}") from error

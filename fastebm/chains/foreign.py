"""Chains and graphs of other packages, into a chain and out of one.

None of these packages is imported to read its objects. They are recognised by their attributes, so
that subclasses and packages with the same interface are treated alike.
"""

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from .._runtime.labelled import is_table
from .._runtime.memory import forecast_memory
from .._runtime.types import Labels
from ..errors import InvalidChainError

# Bytes of an edge of a networkx.DiGraph: entries of two dictionaries and the attributes they share.
_BYTES_A_GRAPH_EDGE = 500


class ForeignChain(NamedTuple):
    """The matrix of a chain of another package, the names of its states and its lag if known."""

    matrix: Any
    labels: Labels | None = None
    lag: int | None = None


def unwrapped(chain: Any) -> ForeignChain:
    """What a chain of another package holds; anything else is returned as the matrix.

    Known are `deeptime` and PyEMMA models (transition_matrix, lagtime or lag, and the numbers of
    the states in the data where some are left out), kernels of CellRank (transition_matrix, and the
    names of the cells), `quantecon.MarkovChain` (P, state_values), `pydtmc.MarkovChain` (p,
    states), and dense or sparse tensors of PyTorch.
    """
    if isinstance(chain, (np.ndarray, tuple, list)) or sp.issparse(chain) or is_table(chain):
        return ForeignChain(chain)  # columns of a table are attributes, too
    if hasattr(chain, "transition_matrix"):
        lag = getattr(chain, "lagtime", getattr(chain, "lag", None))
        names = getattr(getattr(chain, "adata", None), "obs_names", None)
        if names is None:
            names = _symbols(getattr(chain, "count_model", None))
        return ForeignChain(
            chain.transition_matrix,
            names,
            int(lag) if isinstance(lag, (int, np.integer)) and lag >= 1 else None,
        )
    if hasattr(chain, "P") and hasattr(chain, "state_values"):
        values = chain.state_values
        return ForeignChain(chain.P, None if values is None else [_hashable(x) for x in values])
    if hasattr(chain, "p") and hasattr(chain, "states"):
        return ForeignChain(chain.p, list(chain.states))
    if hasattr(chain, "detach") and hasattr(chain, "layout"):
        return ForeignChain(_from_torch(chain.detach().cpu()))
    return ForeignChain(chain)


def _symbols(counts: Any) -> list[int] | None:
    """The numbers in the data of the states of a counts' model of deeptime, unless 0, 1, ...."""
    symbols = getattr(counts, "state_symbols", None)
    if symbols is None or np.array_equal(symbols, np.arange(len(symbols))):
        return None
    found: list[int] = np.asarray(symbols).tolist()
    return found


def _hashable(name: Any) -> Any:
    """A state of several numbers as a tuple."""
    return tuple(name.tolist()) if isinstance(name, np.ndarray) else name


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


def data_frame(matrix: sp.csr_array, labels: Labels | None) -> Any:
    """A matrix as a dense pandas.DataFrame whose rows and columns are named by the labels."""
    pandas = _imported("pandas")
    n = matrix.shape[0]
    forecast_memory(
        16 * n**2, f"a table of {n:,} x {n:,} probabilities", "use to_scipy(), which is sparse"
    )
    names = None if labels is None else list(labels)
    return pandas.DataFrame(matrix.toarray(), index=names, columns=names)


def directed_graph(matrix: sp.csr_array, labels: Labels | None) -> Any:
    """The entries of a matrix as edges of a networkx.DiGraph on the labels."""
    networkx = _imported("networkx")
    forecast_memory(
        _BYTES_A_GRAPH_EDGE * matrix.nnz, "a graph of all transitions", "use to_scipy()"
    )
    n = matrix.shape[0]
    nodes = range(n) if labels is None else list(labels)
    if len(set(nodes)) < n:
        raise InvalidChainError(
            "labels repeat, and nodes of a graph must differ; make the chain with other labels"
        )
    graph = networkx.DiGraph()
    graph.add_nodes_from(nodes)
    entries = matrix.tocoo()
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

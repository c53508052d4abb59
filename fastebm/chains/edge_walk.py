"""Random walks along weighted edges, whose step probabilities are proportional to the weights."""

from typing import Any

import numpy.typing as npt
import scipy.sparse as sp

from .._runtime.labelled import state_labels
from .._runtime.types import Labels
from ..io.graphs import graph_weights
from ..patterns.build import edges_to_csr
from ..patterns.pattern import Pattern
from ..patterns.scaled_pattern import ScaledPattern


def edge_walk(
    source: npt.ArrayLike,
    target: npt.ArrayLike,
    weight: npt.ArrayLike | None,
    n_states: int | None,
    symmetric: bool,
    labels: Labels | None,
) -> ScaledPattern:
    """The scaled pattern of the walk along weighted edges; see `MarkovChain.from_edges`."""
    matrix, row, symmetric = edges_to_csr(source, target, weight, n_states, symmetric, labels)
    return ScaledPattern(Pattern(matrix, symmetric=symmetric), row)


def graph_walk(
    graph: Any, weight: str | None, labels: Labels | None
) -> tuple[ScaledPattern, Labels | None]:
    """(scaled pattern, labels) of the walk on a graph; see `MarkovChain.from_graph`."""
    found = graph_weights(graph, weight)
    labels = found.labels if labels is None else state_labels(labels)
    symmetric = not found.is_directed
    edges = (sp.triu(found.matrix) if symmetric else found.matrix).tocoo()
    n = found.matrix.shape[0]
    return edge_walk(edges.row, edges.col, edges.data, n, symmetric, labels), labels

"""The edges and cycles of counts that break detailed balance most, with false discovery rates."""

from typing import Any

import numpy as np
from scipy.special import erfc

from .._runtime.types import BoolArray, FloatArray
from ..counts.cycles import rank_cycles
from ..counts.matrix import CountMatrix
from .balance_bootstrap import FittedCounts
from .p_values import q_values

# Cycles and edges that are listed.
LISTED = 20


def worst_edges(fitted: FittedCounts, variance: FloatArray) -> list[dict[str, Any]]:
    """Edges by |n - m| in standard deviations; variance (nnz,) of n - m."""
    graph, data = fitted.data.graph, fitted.data
    tested = np.flatnonzero(
        fitted.upper & fitted.inside & (variance > 1e-12 * (1.0 + fitted.expected))
    )
    if not len(tested):
        return []
    z = (graph.forward - fitted.expected)[tested] / np.sqrt(variance[tested])
    order = np.argsort(-np.abs(z), kind="stable")
    p = erfc(np.abs(z[order]) / np.sqrt(2.0))
    q = q_values(p, len(p))
    return [
        {
            "source": data.label(fitted.rows[k]),
            "target": data.label(graph.indices[k]),
            "count": float(graph.forward[k]),
            "reverse_count": float(graph.backward[k]),
            "expected": float(fitted.expected[k]),
            "z": float(z[i]),
            "p_value": float(p[at]),
            "q_value": float(q[at]),
        }
        for at, (i, k) in enumerate(zip(order[:LISTED], tested[order[:LISTED]], strict=True))
    ]


def worst_cycles(data: CountMatrix, inside: BoolArray) -> list[dict[str, Any]]:
    """Cycles by |affinity| in standard errors, from pairs that were seen in both directions."""
    graph = data.graph
    two_way = inside & (graph.forward > 0) & (graph.backward > 0)
    if not two_way.any():
        return []
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(two_way, np.log(graph.forward) - np.log(graph.backward), np.nan)
        variance = np.where(two_way, 1.0 / graph.forward + 1.0 / graph.backward, np.inf)
    found, totals = rank_cycles(graph, ratio, variance, LISTED)
    if not found:
        return []
    p = erfc(np.array([score for _, _, _, score in found]) / np.sqrt(2.0))
    q = q_values(p, totals["n_triangles"] + totals["n_longer"])
    return [
        {
            "states": [data.label(x) for x in states],
            "affinity": affinity,
            "std_error": float(np.sqrt(spread)),
            "z": affinity / float(np.sqrt(spread)),
            "p_value": float(p[i]),
            "q_value": float(q[i]),
        }
        for i, (states, affinity, spread, _) in enumerate(found)
    ]

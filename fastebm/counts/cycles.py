"""Cycles of counts, ranked by how much they violate Kolmogorov's criterion."""

from typing import Any, TypeAlias

import numpy as np

from .. import _core
from .._runtime.pacing import paced_ranges
from .._runtime.types import FloatArray

#: (states, affinity, variance, score) of a cycle.
Cycle: TypeAlias = tuple[list[int], float, float, float]


def rank_cycles(
    graph: _core.PairGraph, ratio: FloatArray, variance: FloatArray | None, n_keep: int
) -> tuple[list[Cycle], dict[str, Any]]:
    """(the n_keep cycles of largest score, totals over all cycles) by `_core.CycleRanking`.

    Parameters
    ----------
    ratio, variance : ndarray (graph.nnz,)
        Log ratios of the two directions of each pair, and their variances if the score divides by
        the standard error.
    """
    ranking = _core.CycleRanking(graph.indptr, graph.indices, ratio, variance, n_keep)
    n = graph.n_states
    degree = np.diff(graph.indptr)
    rows = np.repeat(np.arange(n), degree)
    # an edge costs the sum of both degrees
    per_state = np.bincount(rows, degree[rows] + degree[graph.indices], minlength=n)
    work = np.concatenate([[0], np.cumsum(per_state)])
    for begin, end in paced_ranges(n, offsets=work):
        ranking.expand(begin, end)
    return ranking.found

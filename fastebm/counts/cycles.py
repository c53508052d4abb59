"""Cycles of counts ranked by how much they break Kolmogorov's criterion."""

import numpy as np

from .. import _core
from .._runtime.pacing import ENTRIES_PER_CALL


def rank_cycles(graph, ratio, variance, n_keep):
    """What `_core.CycleRanking` finds, in pieces."""
    ranking = _core.CycleRanking(graph.indptr, graph.indices, ratio, variance, n_keep)
    n = graph.n_states
    degree = np.diff(graph.indptr)
    rows = np.repeat(np.arange(n), degree)
    per_state = np.bincount(
        rows, degree[rows] + degree[graph.indices], minlength=n
    )  # an edge costs the sum of both degrees
    work = np.concatenate([[0], np.cumsum(per_state)])
    begin = 0
    while begin < n:
        end = max(
            begin + 1, int(np.searchsorted(work, work[begin] + ENTRIES_PER_CALL, side="right")) - 1
        )
        ranking.expand(begin, min(end, n))
        begin = end
    return ranking.found

"""Multigrid hierarchies: a reversible chain, the chain of its aggregates, the chain of theirs, down to one that LAPACK would call tiny.

The mathematics and the sources are in csrc/flow.h and csrc/multigrid.h; here is the policy: how far and how fast to coarsen, and when
to give up because a chain is too well connected to be aggregated (there Krylov methods need few steps anyway).
"""

import numpy as np

from .. import _core
from .._runtime.memory import forecast_memory
from .._runtime.pacing import ENTRIES_PER_CALL

# The coarsest level is eliminated densely: n^2 multiplications a visit, of which the K-cycle makes some fifty.
MAX_COARSEST = 96
# Rounds of pairing a level: aggregates of up to 4 states, so that the K-cycle's two visits cost less than half the level above.
ROUNDS = 2
# Coarse levels may hold this many times the entries of the finest. Meshes reach 0.4, word networks 0.5; random regular graphs of
# degree 16, whose aggregates know one another all, 1.2 (20,000 states) and 1.8 (200,000).
MAX_FILL = 1.0
MIN_SHRINK = 0.8


def hierarchy(flow, leak, num_threads):
    """A `_core.Multigrid` for L = D - F of a `_core.Flow` with a leak (n_states,) or None, or None where coarsening does not pay."""
    levels, budget = [], MAX_FILL * flow.matrix.nnz
    forecast_memory(40 * flow.n_states + 12 * flow.matrix.nnz, "the multigrid hierarchy")
    while True:
        n = flow.n_states
        diag = flow.diagonal(leak, num_threads)
        if n <= MAX_COARSEST:
            levels.append(
                (flow, diag, flow.eliminate(np.zeros(n) if leak is None else leak.copy()))
            )
            return _core.Multigrid(levels)
        aggregate, coarse, mass, coarse_leak = _coarsened(flow, diag, leak, num_threads)
        for _ in range(1, ROUNDS):
            if coarse is None:
                return None
            further, coarse, mass, coarse_leak = _coarsened(coarse, mass, coarse_leak, num_threads)
            aggregate = np.where(aggregate >= 0, further[aggregate], np.int32(-1))
        if coarse is None or coarse.n_states > MIN_SHRINK * n:
            return None
        budget -= coarse.matrix.nnz
        if budget < 0:
            return None
        levels.append((flow, diag, aggregate, *_core.flow_members(aggregate, coarse.n_states)))
        flow, leak = coarse, coarse_leak


def _coarsened(flow, mass, leak, num_threads):
    """(aggregate, coarse flow, coarse mass, coarse leak) of one round of pairing; the flow is None where no state takes part."""
    n, n_coarse = flow.n_states, 0
    aggregate = np.full(n, -1, np.int32)
    rows = max(1, int(ENTRIES_PER_CALL / 2 / max(flow.matrix.nnz / n, 1.0)))
    for begin in range(0, n, rows):
        n_coarse = flow.pair(mass, begin, min(begin + rows, n), n_coarse, aggregate)
    if n_coarse == 0:
        return aggregate, None, None, None
    coarse = flow.coarse(aggregate, n_coarse, *_core.flow_members(aggregate, n_coarse), num_threads)
    inside = slice(None) if aggregate.min() >= 0 else aggregate >= 0

    def summed(values):
        return None if values is None else np.bincount(aggregate[inside], values[inside], n_coarse)

    return aggregate, coarse, summed(mass), summed(leak)

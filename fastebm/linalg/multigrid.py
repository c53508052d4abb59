"""Multigrid hierarchies: a reversible chain, the chain of its aggregates, the chain of their
aggregates, and so on down to a coarsest one that is eliminated densely.

The mathematics and the sources are in the C headers (csrc, `dirichlet_flow.h` and `multigrid.h`).
This module decides how far and how fast to coarsen. It gives up where a chain is too well connected
to be aggregated; Krylov methods need few steps on such chains.

States are aggregated in pairs (after Notay 2010). PyAMG's smoothed aggregation is not used, because
only plain aggregates keep every coarse level a flux with non-negative entries and a Dirichlet form
of its own, from which nothing is subtracted. The benchmarks compare the two.
"""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .. import _core
from .._runtime.memory import forecast_memory
from .._runtime.pacing import ENTRIES_PER_CALL
from .._runtime.types import FloatArray

# The coarsest level is eliminated densely: n^2 multiplications a visit, and the K-cycle makes some
# fifty visits.
MAX_COARSEST = 96
# Rounds of pairing on a level: aggregates of up to 4 states, so that the K-cycle's two visits cost
# less than half of the level above.
ROUNDS = 2
# Entries of the coarse levels, at most, as a multiple of the entries of the finest. Meshes reach
# 0.4, word networks 0.5; random regular graphs of degree 16, in which every aggregate is connected
# to every other, 1.2 (20,000 states) and 1.8 (200,000).
MAX_FILL = 1.0
# A coarse level has at most this part of the states of the level above.
MIN_SHRINK = 0.8

Aggregates: TypeAlias = npt.NDArray[np.int32]


def hierarchy(
    flow: _core.Flow, leak: FloatArray | None, num_threads: int
) -> _core.Multigrid | None:
    """A hierarchy for L = D - F of a `_core.Flow`, or None where coarsening does not pay.

    Parameters
    ----------
    flow : _core.Flow
    leak : ndarray (n_states,) or None
        Added to the diagonal of L.
    num_threads : int
    """
    levels: list[tuple[Any, ...]] = []
    budget = MAX_FILL * flow.matrix.nnz
    forecast_memory(40 * flow.n_states + 12 * flow.matrix.nnz, "the multigrid hierarchy")
    while True:
        n = flow.n_states
        diag = flow.diagonal(leak, num_threads)
        if n <= MAX_COARSEST:
            factor = flow.eliminate(np.zeros(n) if leak is None else leak.copy())
            levels.append((flow, diag, factor))
            return _core.Multigrid(levels)
        aggregate, coarse, mass, coarse_leak = _coarsened(flow, diag, leak, num_threads)
        for _ in range(1, ROUNDS):
            if coarse is None or mass is None:
                return None
            further, coarse, mass, coarse_leak = _coarsened(coarse, mass, coarse_leak, num_threads)
            aggregate = np.where(aggregate >= 0, further[aggregate], np.int32(-1))
        if coarse is None or mass is None or coarse.n_states > MIN_SHRINK * n:
            return None
        if leak is None and coarse.n_states <= MAX_COARSEST:
            aggregate, coarse = _heaviest_first(flow, aggregate, coarse.n_states, mass, num_threads)
        budget -= coarse.matrix.nnz
        if budget < 0:
            return None
        levels.append((flow, diag, aggregate, *_core.flow_members(aggregate, coarse.n_states)))
        flow, leak = coarse, coarse_leak


def _heaviest_first(
    flow: _core.Flow, aggregate: Aggregates, n_coarse: int, mass: FloatArray, num_threads: int
) -> tuple[Aggregates, _core.Flow]:
    """The coarsest level with its heaviest aggregate as number 0, where the solution without a leak
    is set to zero: grounded at a light one, it has rounding errors of the size of the light mode on
    all others, and the cycle misses modes."""
    number = np.arange(n_coarse, dtype=np.int32)
    heaviest = int(np.argmax(mass))
    number[[0, heaviest]] = number[[heaviest, 0]]
    renumbered = np.where(aggregate >= 0, number[aggregate], np.int32(-1))
    members = _core.flow_members(renumbered, n_coarse)
    return renumbered, flow.coarse(renumbered, n_coarse, *members, num_threads)


def _coarsened(
    flow: _core.Flow, mass: FloatArray, leak: FloatArray | None, num_threads: int
) -> tuple[Aggregates, _core.Flow | None, FloatArray | None, FloatArray | None]:
    """(aggregate, coarse flow, coarse mass, coarse leak) of one round of pairing; the flow is None
    where no state takes part."""
    n, n_coarse = flow.n_states, 0
    aggregate = np.full(n, -1, np.int32)
    rows = max(1, int(ENTRIES_PER_CALL / 2 / max(flow.matrix.nnz / n, 1.0)))
    for begin in range(0, n, rows):
        n_coarse = flow.pair(mass, begin, min(begin + rows, n), n_coarse, aggregate)
    if n_coarse == 0:
        return aggregate, None, None, None
    coarse = flow.coarse(aggregate, n_coarse, *_core.flow_members(aggregate, n_coarse), num_threads)
    inside = slice(None) if aggregate.min() >= 0 else aggregate >= 0

    def summed(values: FloatArray) -> FloatArray:
        sums = np.bincount(aggregate[inside], values[inside], n_coarse)
        return np.asarray(sums, np.float64)

    return aggregate, coarse, summed(mass), None if leak is None else summed(leak)

"""Sweep cuts: the states are cut in the order of a vector.

The running sum of flows subtracts, so it only ranks the cuts: a flow of 1e-18 is below its
rounding. The flow of the best cut, and of the cut at the vector's change of sign, is then evaluated
as the Dirichlet form of an indicator, a sum of non-negative terms.
"""

import math
from typing import NamedTuple

import numpy as np

from .. import _core
from .._runtime.types import BoolArray, FloatArray, Int32Array
from ..chains.chain import MarkovChain
from ..equilibrium.law_error import relative_law_error
from ..linalg.rounding import UNIT
from ..patterns.passes import by_rows

# Rounding of two of NumPy's pairwise sums, of their terms and of the quotient.
SUM_ROUNDING = 200 * UNIT


class Cut(NamedTuple):
    """A set S with pi(S) <= 1/2, its mass pi(S), flow F(S, S^c) and conductance flow / mass, and a
    bound on the relative error of the conductance."""

    conductance: float
    states: BoolArray
    mass: float
    flow: float
    error: float


def best_cut(chain: MarkovChain, vector: FloatArray, threads: int) -> Cut:
    """The sweep cut of least conductance of a reversible, irreducible chain."""
    order = np.argsort(vector, kind="stable")
    rank = np.empty(chain.n_states, np.int32)
    rank[order] = np.arange(chain.n_states, dtype=np.int32)
    scaled, pi = chain._scaled, chain._law.take(threads).pi
    step = cut_steps(scaled.pattern.matrix, scaled.col, rank, threads)
    gain = ((pi if scaled.row is None else pi * scaled.row) * step)[order]
    pi = pi[order]
    below, above = np.cumsum(pi)[:-1], np.cumsum(pi[::-1])[::-1][1:]
    # summed from the lighter end, so that rounding is small against the mass of that side
    flow = np.where(below <= above, np.cumsum(gain)[:-1], -np.cumsum(gain[::-1])[::-1][1:])
    small = np.minimum(below, above)
    with np.errstate(divide="ignore", invalid="ignore"):
        phi = np.where(small > 0.0, np.maximum(flow, 0.0) / small, np.inf)
    change = int(np.clip(np.searchsorted(vector[order], 0.0), 1, chain.n_states - 1))
    error = SUM_ROUNDING + 2.0 * UNIT * scaled.pattern.max_degree
    error += 2.0 * relative_law_error(chain, chain._law.take(threads).log_pi, threads)
    candidates = {int(np.argmin(phi)) + 1, change}
    return min(
        (_evaluated(chain, rank < first, error, threads) for first in sorted(candidates)),
        key=lambda found: found.conductance,
    )


def _evaluated(chain: MarkovChain, states: BoolArray, error: float, threads: int) -> Cut:
    """The cut of a set or its complement, all numbers from sums of non-negative terms."""
    square = np.empty(chain.n_states)
    _core.scaled_difference(chain._scaled.operator, states.astype(np.float64), square, 2, threads)
    pi = chain._law.take(threads).pi
    mass, rest = float(pi[states].sum()), float(pi[~states].sum())
    if rest < mass:
        states, mass = ~states, rest
    flow = float((pi[states] * square[states]).sum())
    return Cut(flow / mass if mass > 0.0 else math.inf, states, mass, flow, error)


def cut_steps(
    matrix: _core.Csr, col: FloatArray | None, rank: Int32Array, threads: int
) -> FloatArray:
    """What each state adds to the flow of ``A diag(col)`` across a cut when it joins the states of
    lower rank."""
    step = np.empty(matrix.n_states)
    by_rows(
        "the sweep of cuts",
        matrix,
        lambda begin, end: _core.cut_steps(matrix, col, rank, begin, end, threads, step),
    )
    return step

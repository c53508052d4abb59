"""Effective resistances of an undirected weighted graph, by commute times with bounds."""

import math
from typing import Any

import numpy as np
import scipy.sparse as sp

from .._runtime import validate
from .._runtime.results import Result, result
from .._runtime.types import Callback, FloatArray, IntArray, Path, States
from ..chains.chain import MarkovChain
from ..errors import InvalidChainError
from ..hitting.returns import commute_times
from ..linalg.rounding import UNIT
from .graphs import weights_of


@result
class ResistanceResult(Result):
    """Effective resistances between pairs of nodes.

    Attributes
    ----------
    resistance, lower, upper : ndarray (n_pairs,)
        With bounds; inf between nodes that no path connects, 0 between a node and itself.
    converged : bool
        All solves met their tolerance.
    """

    resistance: FloatArray
    lower: FloatArray
    upper: FloatArray
    converged: bool


def effective_resistances(
    graph: Any,
    source: States,
    target: States,
    *,
    tol: float = 1e-8,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> ResistanceResult:
    """The effective resistance between each source and its target, where edges are conductances.

    Parameters
    ----------
    graph : sparse or dense symmetric (n, n), DataFrame, undirected networkx or igraph graph
        Conductances, as in `pagerank`; nodes may be isolated. Self-loops have no effect.
    source, target : int or int array (n_pairs,)
        Numbers of the nodes.
    tol : float
        Relative accuracy.
    num_threads, progress, callback, checkpoint
        As in `simulate_hitting_times`.

    Returns
    -------
    ResistanceResult
        From one solve with error bounds for each distinct node among the pairs.

    Raises
    ------
    InvalidChainError
        The matrix is not symmetric, a weight is negative, NaN or infinite, a node is out of range,
        or the arrays differ in length.
    Interrupted
        Ctrl-C.

    Notes
    -----
    The commute time of the random walk is the resistance times the sum of the degrees in the
    component of the pair (Levin & Peres, prop. 10.7).

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> path = np.array([[0, 1, 0], [1, 0, 2], [0, 2, 0]])
    >>> fe.effective_resistances(path, 0, 2).resistance.round(12).tolist()
    [1.5]
    """
    weights, names = weights_of(graph)
    weights.setdiag(0.0)
    weights.eliminate_zeros()
    _require_symmetric(weights)
    n = weights.shape[0]
    sources = validate.state_array(source, n, "source", names)
    targets = validate.state_array(target, n, "target", names)
    if sources.shape != targets.shape:
        raise InvalidChainError(
            f"source has {sources.size} nodes and target {targets.size}; they are pairs, so give "
            "one target for each source"
        )
    if weights.nnz == 0:
        apart = np.where(sources == targets, 0.0, math.inf)
        return ResistanceResult(
            resistance=apart, lower=apart.copy(), upper=apart.copy(), converged=True
        )
    alone = np.diff(weights.indptr) == 0
    walk = MarkovChain(weights + sp.diags_array(alone.astype(np.float64)), normalize=True)
    found = commute_times(
        walk,
        sources,
        targets,
        tol=tol,
        num_threads=num_threads,
        progress=progress,
        callback=callback,
        checkpoint=checkpoint,
    )
    volume = _volumes(weights, sources)
    slack = 8.0 * UNIT
    with np.errstate(invalid="ignore", divide="ignore"):
        values = [x / volume for x in (found.commute, found.lower, found.upper)]
    for array in values:
        array[sources == targets] = 0.0
    return ResistanceResult(
        resistance=values[0],
        lower=values[1] * (1.0 - slack),
        upper=values[2] * (1.0 + slack),
        converged=found.converged,
    )


def _require_symmetric(weights: sp.csr_array) -> None:
    other = (weights - weights.T).tocoo()
    other.eliminate_zeros()
    if other.nnz:
        at = int(np.argmax(np.abs(other.data)))
        x, y = int(other.row[at]), int(other.col[at])
        raise InvalidChainError(
            f"graph is not symmetric: the weight of {x} -> {y} is {weights[x, y]}, that of "
            f"{y} -> {x} is {weights[y, x]}; resistances need an undirected graph, (A + A.T) / 2"
        )


def _volumes(weights: sp.csr_array, nodes: IntArray) -> FloatArray:
    """The sum of the degrees in the component of each node, rounded once; 1 of an isolated one."""
    from scipy.sparse.csgraph import connected_components

    _, label = connected_components(weights, directed=False)
    row = np.repeat(label, np.diff(weights.indptr))
    sums = {
        int(own): math.fsum(weights.data[row == own].tolist()) or 1.0
        for own in np.unique(label[nodes])
    }
    return np.array([sums[int(own)] for own in label[nodes]])

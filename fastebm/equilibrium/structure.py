"""Communicating classes, periods and reachability: what a chain can and cannot answer, before any arithmetic."""

import numpy as np

from .._runtime.results import Result, result
from ..chains.chain import is_chain
from ..errors import PeriodicChainError
from ..patterns.graph import only_closed_class


@result
class StructureResult(Result):
    """The classes of a chain.

    Attributes
    ----------
    n_classes : int
        Communicating classes.
    labels : ndarray int32 (n_states,)
        The class of each state; every transition leads to a class of the same or a lower number.
    closed : ndarray bool (n_classes,)
        Classes that the chain cannot leave.
    size : ndarray int64 (n_classes,)
    class_period : ndarray int64 (n_classes,)
        Greatest common divisor of the cycle lengths; 0 for a transient state without a cycle.
    period : int
        Least common multiple of the periods of the closed classes: 1 means that the law converges from every start.
    is_irreducible, is_aperiodic : bool
    """

    n_classes: int
    labels: np.ndarray
    closed: np.ndarray
    size: np.ndarray
    class_period: np.ndarray
    period: int
    is_irreducible: bool
    is_aperiodic: bool


def structure(chain, *, num_threads=None):
    """Communicating classes and periods of `chain`, in O(n_states + nnz) (Tarjan 1972; Denardo 1977).

    The facts belong to the pattern and are found once for all chains that share it. `num_threads` is accepted for uniformity;
    the search is sequential.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> s = fe.structure(fe.MarkovChain(np.array([[0.5, 0.5], [0.0, 1.0]])))
    >>> s.n_classes, s.is_irreducible, s.closed.tolist()
    (2, False, [True, False])
    """
    is_chain(chain)
    labels, closed, period, size = chain._scaled.classes
    overall = int(np.lcm.reduce(period[closed]))
    return StructureResult(
        n_classes=len(closed),
        labels=labels,
        closed=closed,
        size=size,
        class_period=period,
        period=overall,
        is_irreducible=len(closed) == 1,
        is_aperiodic=overall == 1,
    )


def closed_class(chain):
    """The mask of the only closed class, or None where it is everything; raises where there are several."""
    return only_closed_class(chain._scaled.classes)


def require_aperiodic(chain, purpose):
    """Raise `PeriodicChainError` where the law of the chain does not converge."""
    period = structure(chain).period
    if period != 1:
        raise PeriodicChainError(
            f"{purpose} needs an aperiodic chain, this one has period {period}; use chain.lazy(0.5)"
        )


def reachable(chain, target, avoid=None):
    """The states from which `target` (bool mask, not empty) is reached with positive probability, bool (n_states,); with `avoid`
    (bool mask) on paths that neither start nor pass there."""
    if (
        avoid is None and len(chain._scaled.pattern.classes[1]) == 1
    ):  # found once for all chains of the pattern, and asked by their laws anyway
        return np.ones(chain.n_states, bool)
    reached = target.astype(np.uint8)
    chain._scaled.pattern.extend_back(reached, None if avoid is None else avoid.view(np.uint8))
    return reached.view(bool)


def hits_almost_surely(chain, target):
    """The states from which `target` (bool mask) is reached with probability one, bool (n_states,).

    The others are those that can reach, without passing through the target, a state that cannot reach it.
    """
    uncertain = (~reachable(chain, target)).astype(np.uint8)
    if not uncertain.any():
        return np.ones(chain.n_states, bool)
    chain._scaled.pattern.extend_back(uncertain, target.view(np.uint8))
    return ~uncertain.view(bool)

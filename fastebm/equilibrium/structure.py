"""Communicating classes, periods and reachability, found without floating-point arithmetic."""

import numpy as np

from .._runtime.results import Result, result
from .._runtime.types import BoolArray, Int32Array, IntArray
from ..chains.chain import MarkovChain, require_chain
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
        States of each class.
    class_period : ndarray int64 (n_classes,)
        Greatest common divisor of the cycle lengths; 0 for a transient state without a cycle.
    period : int
        Least common multiple of the periods of the closed classes. 1 means that the law converges
        from every start.
    is_irreducible, is_aperiodic : bool
    """

    n_classes: int
    labels: Int32Array
    closed: BoolArray
    size: IntArray
    class_period: IntArray
    period: int
    is_irreducible: bool
    is_aperiodic: bool


def structure(chain: MarkovChain, *, num_threads: int | None = None) -> StructureResult:
    """Communicating classes and periods of `chain`, in O(n_states + nnz) (Tarjan 1972; Denardo
    1977).

    They belong to the pattern and are found once for all chains that share it.

    Parameters
    ----------
    chain : MarkovChain
    num_threads : int, optional
        Has no effect; every analysis accepts it.

    Returns
    -------
    StructureResult

    Raises
    ------
    TypeError
        `chain` is not a MarkovChain.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> s = fe.structure(fe.MarkovChain(np.array([[0.5, 0.5], [0.0, 1.0]])))
    >>> s.n_classes, s.is_irreducible, s.closed.tolist()
    (2, False, [True, False])
    """
    require_chain(chain)
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


def closed_class(chain: MarkovChain) -> BoolArray | None:
    """The mask of the only closed class, or None if it holds every state; raises
    `ReducibleChainError` if there are several."""
    return only_closed_class(chain._scaled.classes)


def on_closed_class(chain: MarkovChain) -> MarkovChain:
    """The chain on its only closed class; raises `ReducibleChainError` if there are several."""
    inside = closed_class(chain)
    return chain if inside is None else chain.restrict(inside)


def require_aperiodic(chain: MarkovChain, purpose: str) -> None:
    """Raise `PeriodicChainError` if the law of the chain does not converge."""
    period = structure(chain).period
    if period != 1:
        raise PeriodicChainError(
            f"{purpose} needs an aperiodic chain, this one has period {period}; use chain.lazy(0.5)"
            f", or cyclic_classes(chain).power(0), P^{period} on a cyclic class"
        )


def reachable(chain: MarkovChain, target: BoolArray, avoid: BoolArray | None = None) -> BoolArray:
    """The states from which the chain reaches `target` with positive probability.

    Parameters
    ----------
    target : ndarray bool (n_states,)
        Not empty.
    avoid : ndarray bool (n_states,), optional
        Only paths that neither start in these states nor pass through them count.

    Returns
    -------
    ndarray bool (n_states,)
    """
    pattern = chain._scaled.pattern
    # The classes are found once for all chains of the pattern, and their laws need them anyway.
    if avoid is None and len(pattern.classes[1]) == 1:
        return np.ones(chain.n_states, bool)
    reached = target.astype(np.uint8)
    pattern.extend_back(reached, None if avoid is None else avoid.view(np.uint8))
    return reached.view(bool)


def hits_almost_surely(chain: MarkovChain, target: BoolArray) -> BoolArray:
    """The states from which the chain reaches `target` (bool mask) with probability one, bool
    (n_states,).

    All states do, except those from which a path that does not pass through the target leads to a
    state that cannot reach it.
    """
    can_miss = (~reachable(chain, target)).astype(np.uint8)
    if not can_miss.any():
        return np.ones(chain.n_states, bool)
    chain._scaled.pattern.extend_back(can_miss, target.view(np.uint8))
    return ~can_miss.view(bool)

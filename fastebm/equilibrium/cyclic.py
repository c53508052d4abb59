"""Cyclic classes of a periodic chain, and the chain of d steps on one of them."""

import numpy as np
import scipy.sparse as sp

from .._runtime import validate
from .._runtime.memory import forecast_memory
from .._runtime.results import Result, result
from .._runtime.types import Int32Array, IntArray
from ..chains.chain import MarkovChain, require_chain
from ..errors import InvalidChainError, ReducibleChainError


@result
class CyclicResult(Result):
    """The cyclic classes of a chain.

    Attributes
    ----------
    period : int
        d; the least common multiple of the periods of the closed classes.
    phase : ndarray int32 (n_states,)
        A step leads from phase k to phase k + 1, modulo the period of the closed class; the state
        of lowest number in each has phase 0. -1 for transient states.
    size : ndarray int64 (period,)
        Recurrent states of each phase.
    """

    period: int
    phase: Int32Array
    size: IntArray
    _chain: MarkovChain

    def power(self, phase: int = 0) -> MarkovChain:
        """The chain of `period` steps on the states of one phase, in ascending order: irreducible
        and aperiodic, with `lag` times the period.

        Parameters
        ----------
        phase : int
            From 0 to period - 1.

        Returns
        -------
        MarkovChain

        Raises
        ------
        InvalidChainError
            There is no such phase.
        ReducibleChainError
            The chain has several closed classes; restrict it to one first.
        MemoryForecastError
            The matrix of so many steps has too many entries.

        Examples
        --------
        >>> import fastebm as fe
        >>> ring = fe.Torus((4,))
        >>> fe.cyclic_classes(ring).power(0).to_scipy().toarray().tolist()
        [[0.5, 0.5], [0.5, 0.5]]
        """
        phase = validate.count(phase, "phase", minimum=0)
        if phase >= self.period:
            raise InvalidChainError(f"phase must be below the period {self.period}, got {phase}")
        if int(self._chain._scaled.classes[1].sum()) > 1:
            raise ReducibleChainError(
                "the chain has several closed classes, whose phases have nothing to do with each "
                "other; restrict it to one with chain.restrict(labels == c), c from "
                "structure(chain)"
            )
        P = self._chain.to_scipy()
        steps = sp.eye_array(int(self.size[phase]), format="csr")
        for k in range(self.period):
            here, there = ((phase + k + i) % self.period for i in range(2))
            block = P[self.phase == here][:, self.phase == there]
            entries = int(np.diff(block.indptr)[steps.indices].sum())
            forecast_memory(24 * entries, f"the chain of {self.period} steps")
            steps = (steps @ block).tocsr()
        inside = np.flatnonzero(self.phase == phase)
        labels = self._chain.labels
        return MarkovChain(
            steps,
            labels=inside.tolist() if labels is None else [labels[x] for x in inside.tolist()],
            lag=self._chain.lag * self.period,
        )


def cyclic_classes(chain: MarkovChain, *, num_threads: int | None = None) -> CyclicResult:
    """The cyclic classes of the closed classes of a chain: the sets that it visits in turn.

    Parameters
    ----------
    chain : MarkovChain
    num_threads : int, optional
        Has no effect; every analysis accepts it.

    Returns
    -------
    CyclicResult
        `power(k)` is the chain of as many steps as the period on one of them, which has what a
        periodic chain has not: an absolute gap and mixing times.

    Raises
    ------
    TypeError
        `chain` is not a MarkovChain.

    Notes
    -----
    The length of any path from a fixed state gives the phase, modulo the period of its class.

    Examples
    --------
    >>> import fastebm as fe
    >>> found = fe.cyclic_classes(fe.MarkovChain([[0, 1, 0], [0.5, 0, 0.5], [0, 1, 0]]))
    >>> found.period, found.phase.tolist()
    (2, [0, 1, 0])
    """
    require_chain(chain)
    labels, closed, period, _ = chain._scaled.classes
    recurrent = closed[labels]
    phase = np.full(chain.n_states, -1, np.int32)
    overall = int(np.lcm.reduce(period[closed]))
    if overall == 1:
        phase[recurrent] = 0
    else:
        _, first = np.unique(labels, return_index=True)
        steps = _distances(chain, first[closed[labels[first]]])
        phase[recurrent] = steps[recurrent] % period[labels[recurrent]]
    size = np.bincount(phase[recurrent], minlength=overall).astype(np.int64)
    return CyclicResult(period=overall, phase=phase, size=size, _chain=chain)


def _distances(chain: MarkovChain, starts: IntArray) -> IntArray:
    """The length of a path to each state from the nearest of `starts`; 0 where there is none."""
    from scipy.sparse.csgraph import dijkstra

    P = chain.to_scipy()
    found = dijkstra(P, indices=starts, unweighted=True, min_only=True)
    return np.where(np.isfinite(found), found, 0.0).astype(np.int64)

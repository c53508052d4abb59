"""Samplers of the posterior of chains given counts: independent rows, and Gibbs steps of reversible
flows."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core
from .._runtime.resumable import State
from .._runtime.types import Int32Array, IntArray
from ..counts.matrix import CountMatrix
from ..errors import InvalidChainError
from .clusters import clusters_of

# Independent chains of Gibbs steps.
N_CHAINS = 4
# Samples from which it can be told whether they are independent.
FEWEST = 40
# Hierarchies of sets of states, which the sweeps take in turn.
N_TREES = 8
# Flows that one call of the core updates, at about a microsecond each.
FLOWS_AT_ONCE = 100_000


class DirichletRows:
    """Independent rows.

    Attributes
    ----------
    values : ndarray (n, nnz)
        Probabilities on the pattern of `indptr` and `indices`.
    """

    def __init__(
        self, data: CountMatrix, n: int, key: npt.NDArray[np.uint64], threads: int
    ) -> None:
        self.indptr, self.indices = data.matrix.indptr, data.matrix.indices
        self.counts, self.key, self.threads = data.values, key, threads
        self.values, self.n_done = np.empty((n, len(self.indices))), 0

    def step(self) -> None:
        """Draw one more sample."""
        i = self.n_done
        self.values[i] = _core.posterior_rows(self.indptr, self.counts, self.key, i, self.threads)
        self.n_done += 1

    def autocorrelation_time(self) -> float:
        return 1.0

    def state(self) -> State:
        return {"values": self.values[: self.n_done]}

    def restore(self, state: State) -> None:
        self.n_done = len(state["values"])
        self.values[: self.n_done] = state["values"]


class GibbsFlows:
    """Chains of Gibbs steps. After `burn_in` sweeps every thin-th one gives a sample of each chain.

    Attributes
    ----------
    values : ndarray (n, nnz)
        Symmetric flows on the pattern of `indptr` and `indices`.
    logs : ndarray (n, n_states)
        log pi.
    """

    def __init__(
        self,
        data: CountMatrix,
        n: int,
        burn_in: int,
        thin: int,
        key: npt.NDArray[np.uint64],
        threads: int,
    ) -> None:
        self.n, self.burn_in, self.thin = n, burn_in, thin
        graph, stay = data.graph, data.scipy().diagonal()
        self.flow = np.tile(graph.forward + graph.backward, (N_CHAINS, 1))
        self.stay_flow = np.tile(2.0 * stay, (N_CHAINS, 1))
        # sets of the counts, and of counts with random factors, so that their borders move
        draw = np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, 2]))
        self._sweeps: list[list[tuple[Any, list[tuple[int, int]]]]] = []
        for number in range(N_TREES):
            factor = None if number == 0 else draw.exponential(size=graph.nnz)
            groups = clusters_of(graph, factor)
            posterior = _core.Posterior(
                graph, stay, data.total, *groups, self.flow, self.stay_flow, key, threads
            )
            self._sweeps.append(
                [
                    (lambda *_, posterior=posterior: posterior.rescale(), [(0, 0)]),
                    (posterior.flows, _pieces(np.diff(graph.indptr))),
                    (posterior.clusters, _pieces(_volumes(graph, *groups))),
                ]
            )
        # the flows with those of staying, in the order of a matrix
        x, held = np.arange(data.n_states), np.flatnonzero(stay > 0.0)
        rows = np.concatenate([np.repeat(x, np.diff(graph.indptr)), held])
        columns = np.concatenate([graph.indices, held])
        self._entry, self._held = np.lexsort((columns, rows)), held
        self.indices = columns[self._entry].astype(np.int32)
        self.indptr = np.searchsorted(rows[self._entry], np.arange(data.n_states + 1))
        self.indptr = self.indptr.astype(np.int64)
        self.values = np.empty((n, len(self.indices)))
        self.logs = np.empty((n, data.n_states))
        self._least = float(data.values[data.values > 0.0].min())
        self.sweep, self.n_done = 0, 0
        self._state = self._kept()

    def step(self) -> None:
        """One sweep, and the samples that it gives."""
        for update, pieces in self._sweeps[self.sweep % N_TREES]:
            for begin, end in pieces:
                update(self.sweep, begin, end)
        n_done, since = self.n_done, self.sweep - self.burn_in
        if since >= 0 and since % self.thin == 0:
            for chain in range(min(N_CHAINS, self.n - n_done)):
                both = np.concatenate([self.flow[chain], self.stay_flow[chain, self._held]])
                if not (both.min() > 0.0 and np.isfinite(both).all()):
                    raise InvalidChainError(
                        "flows left the range of doubles, because counts are too small: the "
                        f"smallest is {self._least:.3g}; leave such counts out, or make them larger"
                    )
                self.values[n_done] = both[self._entry]
                sums = np.add.reduceat(self.values[n_done], self.indptr[:-1])
                self.logs[n_done] = np.log(sums / sums.sum())
                n_done += 1
        self.sweep, self.n_done = self.sweep + 1, n_done
        self._state = self._kept()

    def autocorrelation_time(self) -> float:
        """By the means of the halves of the chains; NaN for too few samples."""
        if self.n < FEWEST:
            return math.nan
        length = self.n // N_CHAINS // 2
        halves = self.logs[: 2 * length * N_CHAINS].reshape(2, length, N_CHAINS, -1)
        within = halves.var(axis=1, ddof=1).mean(axis=(0, 1))
        means = halves.mean(axis=1).reshape(2 * N_CHAINS, -1)
        moves = within > 1e-28  # of a state that the others determine, nothing is random
        if not moves.any():
            return 1.0
        return float((length * means.var(axis=0, ddof=1)[moves] / within[moves]).max())

    def _kept(self) -> dict[str, Any]:
        return {
            "flow": self.flow.copy(),
            "stay": self.stay_flow.copy(),
            "numbers": np.array([self.sweep, self.n_done]),
        }

    def state(self) -> State:
        """The state after the last whole sweep."""
        n_done = int(self._state["numbers"][1])
        return {**self._state, "values": self.values[:n_done], "logs": self.logs[:n_done]}

    def restore(self, state: State) -> None:
        self.sweep, self.n_done = (int(number) for number in state["numbers"])
        self.flow[:], self.stay_flow[:] = state["flow"], state["stay"]
        self.values[: self.n_done], self.logs[: self.n_done] = state["values"], state["logs"]
        self._state = self._kept()


def _volumes(
    graph: _core.PairGraph, ranges: IntArray, order: Int32Array, place: IntArray
) -> IntArray:
    """Entries in the rows of the members of each cluster."""
    total = np.concatenate([[0], np.cumsum(np.diff(graph.indptr)[order])])
    volumes: IntArray = total[ranges[:, 1]] - total[ranges[:, 0]]
    return volumes


def _pieces(sizes: IntArray) -> list[tuple[int, int]]:
    """Consecutive ranges of the items, of a total size of about FLOWS_AT_ONCE each."""
    if len(sizes) == 0:
        return []
    number = np.cumsum(sizes) * N_CHAINS // FLOWS_AT_ONCE
    ends = np.append(np.flatnonzero(np.diff(number)) + 1, len(sizes)).tolist()
    return list(zip([0, *ends[:-1]], ends, strict=True))

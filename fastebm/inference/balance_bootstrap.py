"""Counts with their reversible fit, and the parametric bootstrap of the fit.

Data and replicates must be judged by one statistic, and replicates have zeros where the data have
none. So the cycle statistic is the score form, not the Wald form.

Pairs between strongly connected components are not tested: they are one-way, fitted exactly in the
limit, and on no cycle. Replicates that are not strongly connected are treated in the same way, so
every replicate has a finite fit.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from .. import _core
from .._runtime.checkpoint import fingerprint
from .._runtime.memory import forecast_memory
from .._runtime.pacing import ENTRIES_PER_CALL
from .._runtime.resumable import Resumable, State
from .._runtime.types import BoolArray, FloatArray
from ..counts.matrix import CountMatrix
from ..counts.newton import newton
from ..patterns import passes

# A replicate costs about this many passes over the pairs (draws, five Newton steps), as measured by
# benchmarks/null_calibration.py.
PASSES_PER_REPLICATE = 100
# Passes over pairs per thread: with fewer, starting the thread costs more than it saves
# (benchmarks/null_calibration.py).
WORK_PER_THREAD = 5_000_000
# Doubles that the deviations of all replicates of a batch may take (128 MB).
DEVIATIONS_AT_ONCE = 16_000_000


class FittedCounts:
    """Counts with their reversible fit in every strongly connected component.

    Per-entry arrays have one element per entry of `data.graph`: each pair of states appears twice,
    once for either direction.

    Attributes
    ----------
    rows : ndarray int64 (nnz,)
        Source state of each entry.
    upper, inside : ndarray bool (nnz,)
        Entries above the diagonal; entries within one component.
    dof : int
        Independent cycles.
    ratio, score : float
        Likelihood ratio and score statistic of the data.
    expected : ndarray (nnz,)
        Counts expected under the fit.
    potential : ndarray (n_states,)
        -log pi of the fit; +inf for a state without departures.
    """

    def __init__(self, data: CountMatrix, threads: int) -> None:
        self.data, graph = data, data.graph
        labels, _ = data.classes
        rows = np.repeat(np.arange(data.n_states), np.diff(graph.indptr))
        self.rows, self.upper = rows, graph.indices > rows
        self.inside = labels[rows] == labels[graph.indices]
        both = graph.forward + graph.backward
        one_way = self.upper & ((graph.forward == 0) | (graph.backward == 0))
        self.n_one_way, self.one_way_counts = int(one_way.sum()), float(both[one_way].sum())
        tested = self.upper & self.inside
        # a component of k states has a spanning tree of k - 1 edges
        self.dof = int(tested.sum() - (np.bincount(labels) - 1).sum())
        self.counts_per_pair = float(both[tested].mean()) if tested.any() else 0.0
        self.within = data.graph if self.inside.all() else _pairs(data, self.inside)
        fit = newton(self.within, "logistic", 1e-9, threads, "the reversible fit")
        self.v = fit.v
        self.ratio, self.score, self.expected = _core.balance_statistics(graph, labels, fit.v)
        with np.errstate(divide="ignore"):
            self.potential: FloatArray = fit.v - np.log(data.total)

    def wald(self, threads: int) -> float | None:
        """The residual of the weighted least squares of log n(x, y) / n(y, x) on gradients; None if
        one of these logs is not finite."""
        graph, tested = self.data.graph, self.upper & self.inside
        if not tested.any() or not (np.minimum(graph.forward, graph.backward)[tested] > 0).all():
            return None
        fit = newton(
            self.within, "least-squares", 1e-9, threads, "the least squares of the log ratios"
        )
        n, m = graph.forward[tested], graph.backward[tested]
        off = np.log(n / m) - (fit.v[self.rows[tested]] - fit.v[graph.indices[tested]])
        return float((off**2 / (1.0 / n + 1.0 / m)).sum())


def _pairs(data: CountMatrix, keep: BoolArray) -> _core.PairGraph:
    """The PairGraph of the counts of the pairs with keep[k]."""
    graph = data.graph
    rows = np.repeat(np.arange(data.n_states), np.diff(graph.indptr))
    keep = keep & (graph.forward > 0)
    counts = sp.csr_array(
        (graph.forward[keep], (rows[keep], graph.indices[keep])), shape=(data.n_states,) * 2
    )
    matrix = _core.Csr(counts.indptr.astype(np.int64), counts.indices.astype(np.int32), counts.data)
    return _core.PairGraph(matrix, passes.transpose(matrix))


class FinishedReplicates(NamedTuple):
    """Finished replicates; replaced as a whole, so that an interruption never sees a part."""

    n: int
    squares: FloatArray  # (nnz,): sum of the squared deviations n - m


class BalanceBootstrap:
    """Replicates drawn from the reversible fit, each refitted.

    Attributes
    ----------
    ratios, scores : ndarray (n_bootstrap,)
        Statistics of the replicates; nan where a fit did not converge.
    """

    def __init__(
        self, fitted: FittedCounts, n_bootstrap: int, key: npt.NDArray[np.uint64], threads: int
    ) -> None:
        self.fitted, self.n_bootstrap, self.key, self.threads = fitted, n_bootstrap, key, threads
        self.ratios, self.scores = np.full(n_bootstrap, np.nan), np.full(n_bootstrap, np.nan)
        self.finished = FinishedReplicates(0, np.zeros(fitted.data.graph.nnz))

    @property
    def variance(self) -> FloatArray:
        """Variance of n - m for every entry, (nnz,)."""
        n_good = int(np.isfinite(self.ratios).sum())
        return self.finished.squares / max(n_good, 1)

    def skip(self) -> None:
        """There is no cycle to test: all statistics are zero."""
        self.ratios, self.scores = np.zeros(self.n_bootstrap), np.zeros(self.n_bootstrap)

    def run(self, progress: Resumable) -> None:
        """Draw and fit the remaining replicates."""
        fitted, graph, threads = self.fitted, self.fitted.data.graph, self.threads
        batch = max(
            threads,
            min(
                self.n_bootstrap,
                ENTRIES_PER_CALL * threads // (PASSES_PER_REPLICATE * graph.nnz),
                DEVIATIONS_AT_ONCE // graph.nnz,
            ),
        )
        forecast_memory(8 * graph.nnz * (batch + 4 * threads), "the bootstrap's replicates")
        while (done := self.finished.n) < self.n_bootstrap:
            size = min(batch, self.n_bootstrap - done)
            work = size * graph.nnz * PASSES_PER_REPLICATE
            slots = max(1, min(threads, size, work // WORK_PER_THREAD))
            ratio, score, off = _core.balance_bootstrap(
                graph,
                fitted.expected,
                fitted.data.total,
                fitted.v,
                self.key,
                done,
                size,
                slots,
                True,
            )
            assert off is not None
            squares = self.finished.squares.copy()
            for r in np.flatnonzero(np.isfinite(ratio)):  # one by one: the same sum for any batch
                squares += off[r] ** 2
            self.ratios[done : done + size], self.scores[done : done + size] = ratio, score
            self.finished = FinishedReplicates(done + size, squares)
            progress.save()
            progress(done + size)

    def identity(self) -> str:
        """The fingerprint of everything that the replicates depend on."""
        matrix = self.fitted.data.matrix
        return fingerprint(matrix.indptr, matrix.indices, matrix.values, self.n_bootstrap, self.key)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays of a checkpoint."""
        n, squares = self.finished
        return {
            "done": np.array(n),
            "ratios": self.ratios,
            "scores": self.scores,
            "squares": squares,
        }

    def restore(self, state: State) -> None:
        """Continue from the arrays that `state` returned."""
        self.ratios, self.scores = state["ratios"], state["scores"]
        self.finished = FinishedReplicates(int(state["done"]), state["squares"])

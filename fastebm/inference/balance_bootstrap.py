"""Counts with their reversible fit, and tables drawn from the exact law of such counts.

Given the sums n(x, y) + n(y, x) and the row totals, the law of the counts of a reversible chain has
no parameter, and the reversible fit is the same for all tables with these sums. The replicates are
such tables, made from the data by a random walk (`csrc/fastebm/counts/balance_walk.h`): from the
data to a hub, and from there to each replicate. As every step is reversible, the data and the
replicates are exchangeable, however short the walks are (Besag & Clifford 1989).

Pairs between strongly connected components are not tested: they are one-way, the same in all such
tables, and on no cycle.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.special import xlogy

from .. import _core
from .._runtime.checkpoint import fingerprint
from .._runtime.memory import forecast_memory
from .._runtime.pacing import ENTRIES_PER_CALL
from .._runtime.resumable import Resumable, State
from .._runtime.types import BoolArray, FloatArray
from ..counts.matrix import CountMatrix
from ..counts.newton import newton
from ..patterns import passes

# Moves of the walk to the hub, and from it to a replicate: this many per independent cycle, and
# some more. Fewer cost power, not size (benchmarks/null_calibration.py).
MOVES_PER_CYCLE = 4
MOVES_AT_LEAST = 50
# A walk is cut into legs of at most this many moves, about 0.1 s, so that Ctrl-C is answered.
MOVES_PER_LEG = 200_000
# A move costs about as much as this many passes over an entry.
ENTRIES_PER_MOVE = 50
# Steps that a tree of the law of trajectories may cost, and more for each state. It costs more if
# the chain moves rarely between parts of the states.
TREE_STEPS = 100_000
TREE_STEPS_PER_STATE = 100
# Moves per thread: with fewer, starting the thread costs more than it saves.
MOVES_PER_THREAD = 20_000
# Doubles that the tables of a batch may take (128 MB).
TABLES_AT_ONCE = 16_000_000


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
    within : PairGraph
        The pairs within components: the entries of `data.graph` with `inside`.
    dof : int
        Independent cycles.
    converged : bool
        Whether the fit reached its tolerance.
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
        fit, self.converged = newton(self.within, "logistic", 1e-9, threads, "the reversible fit")
        self.v = fit.v
        self.expected = _core.balance_expected(graph, labels, fit.v)
        self.ratio, self.score = statistics(self.within.forward, self.expected[self.inside])
        with np.errstate(divide="ignore"):
            self.potential: FloatArray = fit.v - np.log(data.total)

    def wald(self, threads: int) -> float | None:
        """The residual of the weighted least squares of log n(x, y) / n(y, x) on gradients; None if
        one of these logs is not finite."""
        graph, tested = self.data.graph, self.upper & self.inside
        if not tested.any() or not (np.minimum(graph.forward, graph.backward)[tested] > 0).all():
            return None
        fit, converged = newton(
            self.within, "least-squares", 1e-9, threads, "the least squares of the log ratios"
        )
        n, m = graph.forward[tested], graph.backward[tested]
        self.converged &= converged
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


def statistics(n: FloatArray, m: FloatArray) -> tuple[float, float]:
    """The likelihood ratio 2 sum n log(n / m) and its score form sum (n - m)^2 / m."""
    ratio = 2.0 * float(xlogy(n, n / m).sum())
    return max(ratio, 0.0), float(((n - m) ** 2 / m).sum())


def balance_walk(fitted: FittedCounts, sampling: str) -> _core.BalanceWalk:
    """The walk over tables with the sums of the data.

    Its cycles are closed by a spanning forest of least resistance: the steps that are possible
    along a cycle are limited by sum 1 / m over its arcs.
    """
    from scipy.sparse.csgraph import dijkstra  # slow to import

    graph, labels, n = fitted.within, fitted.data.classes[0], fitted.data.n_states
    rows, m = fitted.rows[fitted.inside], fitted.expected[fitted.inside]
    by_class = np.lexsort((fitted.data.total, labels))
    roots = by_class[np.diff(labels[by_class], append=-1) != 0]  # heaviest of their components
    with np.errstate(over="ignore", divide="ignore"):
        resistance = np.minimum(1.0 / m + 1.0 / (graph.forward + graph.backward - m), 1e300)
    _, parent, _ = dijkstra(
        sp.csr_array((resistance, graph.indices, graph.indptr), shape=(n, n)),
        indices=roots,
        min_only=True,
        return_predecessors=True,
    )
    child = np.flatnonzero(parent >= 0)
    entry = rows * n + graph.indices
    up = np.full(n, -1, dtype=np.int64)
    up[child] = np.searchsorted(entry, child * n + parent[child])
    depth, jump = (parent >= 0).astype(np.int32), np.where(parent >= 0, parent, np.arange(n))
    while depth[jump].any():  # depth counts the steps to jump, which doubles
        depth, jump = depth + depth[jump], jump[jump]
    is_chord = graph.indices > rows
    is_chord[up[child]] = is_chord[np.searchsorted(entry, parent[child] * n + child)] = False

    excess = np.bincount(rows, graph.forward - graph.backward, n).astype(np.float64)
    starts = np.flatnonzero(excess > 0)
    starts = starts[np.argsort(labels[starts], kind="stable")]
    start_range = np.searchsorted(labels[starts], np.arange(fitted.data.classes[1] + 1))
    start_sum = np.cumsum(excess[starts])
    before = np.concatenate(([0.0], start_sum))[start_range[labels[starts]]]
    return _core.BalanceWalk(
        graph,
        m,
        up,
        depth,
        np.flatnonzero(is_chord),
        labels,
        np.maximum(-excess, 0.0) if sampling == "trajectories" else None,
        start_range,
        starts,
        start_sum - before,
    )


class FinishedReplicates(NamedTuple):
    """Finished replicates; replaced as a whole, so that an interruption never sees a part."""

    n: int
    sums: FloatArray  # (2, nnz): of the deviations n - m and of their squares


class BalanceBootstrap:
    """Replicates of the data under detailed balance.

    Attributes
    ----------
    ratios, scores : ndarray (n_bootstrap,)
        Statistics of the replicates.
    asked, sampling : str
        The law that was asked for, and the one used: "rows" if that of trajectories costs too much.
    """

    def __init__(
        self,
        fitted: FittedCounts,
        n_bootstrap: int,
        key: npt.NDArray[np.uint64],
        threads: int,
        sampling: str,
    ) -> None:
        self.fitted, self.n_bootstrap, self.key, self.threads = fitted, n_bootstrap, key, threads
        self.asked = self.sampling = sampling
        forecast_memory(48 * n_bootstrap, f"{n_bootstrap:,} replicates", "lower n_bootstrap")
        self.ratios, self.scores = np.zeros(n_bootstrap), np.zeros(n_bootstrap)
        self.finished = FinishedReplicates(0, np.zeros((2, fitted.within.nnz)))

    @property
    def variance(self) -> FloatArray:
        """Variance of n for every entry of `data.graph`, (nnz,). It is taken about the mean of the
        replicates: where the data are far from the fit, all are still on one side of it."""
        mean, square = self.finished.sums / max(self.finished.n, 1)
        variance = np.zeros(self.fitted.data.graph.nnz)
        variance[self.fitted.inside] = np.maximum(square - mean**2, 0.0)
        return variance

    def run(self, progress: Resumable) -> None:
        """Draw the remaining replicates."""
        fitted, graph, threads = self.fitted, self.fitted.within, self.threads
        n_moves = MOVES_PER_CYCLE * fitted.dof + MOVES_AT_LEAST
        n_legs = -(-n_moves // MOVES_PER_LEG)
        n_moves = -(-n_moves // n_legs)
        batch = max(
            threads,
            min(
                self.n_bootstrap,
                ENTRIES_PER_CALL * threads // (ENTRIES_PER_MOVE * n_moves),
                TABLES_AT_ONCE // graph.nnz,
            ),
        )
        forecast_memory(
            8 * graph.nnz * (batch + 4),
            f"{batch} tables of counts at a time",
            "lower num_threads or n_bootstrap",
        )
        walk = balance_walk(fitted, self.sampling)
        most = TREE_STEPS + TREE_STEPS_PER_STATE * fitted.data.n_states
        if self.sampling == "trajectories" and walk.tree_steps(self.key, most) > most:
            self.sampling = "rows"
            walk = balance_walk(fitted, self.sampling)
        # the numbers of the replicates begin with 1
        hub = graph.forward[np.newaxis].copy()
        for leg in range(n_legs):
            walk.run(hub, n_moves, self.key, leg, 0, 1)
        while (done := self.finished.n) < self.n_bootstrap:
            size = min(batch, self.n_bootstrap - done)
            slots = max(1, min(threads, size, size * n_moves // MOVES_PER_THREAD))
            tables = np.repeat(hub, size, axis=0)
            for leg in range(n_legs):
                walk.run(tables, n_moves, self.key, leg, done + 1, slots)
            expected, sums = fitted.expected[fitted.inside], self.finished.sums.copy()
            for r, table in enumerate(tables):  # one by one: the same sum for any batch
                self.ratios[done + r], self.scores[done + r] = statistics(table, expected)
                deviation = table - expected
                sums += deviation, deviation**2
            self.finished = FinishedReplicates(done + size, sums)
            progress.save()
            progress(done + size)

    def identity(self) -> str:
        """The fingerprint of everything that the replicates depend on."""
        matrix = self.fitted.data.matrix
        return fingerprint(
            matrix.indptr,
            matrix.indices,
            matrix.values,
            self.n_bootstrap,
            self.key,
            [self.asked, MOVES_PER_CYCLE],
        )

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays of a checkpoint."""
        n, sums = self.finished
        return {"done": np.array(n), "ratios": self.ratios, "scores": self.scores, "sums": sums}

    def restore(self, state: State) -> None:
        """Continue from the arrays that `state` returned."""
        self.ratios, self.scores = state["ratios"], state["scores"]
        self.finished = FinishedReplicates(int(state["done"]), state["sums"])

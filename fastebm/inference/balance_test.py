"""Does the process behind transition counts satisfy detailed balance? Tests whose p-values hold on sparse counts.

Both statistics compare the counts with their reversible fit; neither has a known law when counts are few, so both p-values come
from one parametric bootstrap: rows drawn anew from the fit, each refitted. A rejection speaks of reversibility only if the process
is Markov at the resolution of the states: see `markov_test`.
"""

import numpy as np
import scipy.sparse as sp
from scipy.special import chdtrc, erfc

from .. import _core
from .._runtime import validate
from .._runtime.checkpoint import Checkpoint, fingerprint
from .._runtime.memory import forecast_memory
from .._runtime.pacing import ENTRIES_PER_CALL
from .._runtime.progress import interruptible
from .._runtime.random import philox_key
from .._runtime.results import Result, result
from .._runtime.threads import resolve_threads
from ..counts.cycles import rank_cycles
from ..counts.matrix import CountMatrix
from ..counts.newton import newton
from ..patterns import passes

# A replicate costs about this many passes over the pairs (draws, five Newton steps): benchmarks/null_calibration.py.
PASSES_PER_REPLICATE = 100
# Passes over pairs that are worth a thread: below, starting it costs more (benchmarks/null_calibration.py).
WORK_PER_THREAD = 5_000_000
# Doubles that the replicates' deviations may take at once (128 MB).
DEVIATIONS_AT_ONCE = 16_000_000
# Cycles and edges that are listed.
LISTED = 20
# Mean count a pair (both directions) below which the bootstrap itself is off: sizes at nominal 5 % are 5 to 6.5 % from here on, 8 to 9 % at
# half of it, above 15 % at a quarter (benchmarks/null_calibration.py).
SPARSE_COUNT = 8.0


@result
class BalanceTest(Result):
    """What the counts say about detailed balance.

    Attributes
    ----------
    method : str
    statistic, p_value : float
        method "reversible": the likelihood ratio 2 sum n log(n / m) of free against reversible rows and its bootstrap p-value
        (1 + number of replicates at least as large) / (1 + n_bootstrap). "pairs", "triangles": the chi-square of that method.
    dof : int
        Independent cycles among the pairs that can break detailed balance (0: nothing to test, p = 1); for the other methods
        the number of terms, which those methods take for the degrees of freedom.
    asymptotic_p_value : float
        From the chi-square law of dof degrees; wrong where counts are sparse.
    cycle_statistic, cycle_p_value : float or None
        The score form sum (n - m)^2 / m, and its bootstrap p-value.
    wald_statistic : float or None
        Residual of the weighted least squares of the log ratios on gradients, which equals the cycle-space chi-square; None where
        a pair was seen in one direction only.
    worst_edges : list of dict
        source, target, count, reverse_count, expected, z (deviation over its bootstrap standard deviation), p_value, q_value.
    worst_cycles : list of dict
        states, affinity (log product of forward over backward counts), std_error, z, q_value. Triangles and the cycles that
        close a breadth-first tree. Q-values are Benjamini-Yekutieli's, which hold for dependent terms (cycles share edges).
    potential : ndarray (n_states,)
        -log pi of the reversible fit, constant free within each strongly connected component.
    n_bootstrap, n_failed : int
        Replicates, and those whose fit did not converge, left out.
    n_components : int
        Strongly connected components. Pairs between two of them are one-way and tell nothing.
    n_one_way_pairs, one_way_counts : int, float
        Pairs seen in one direction only, and their counts.
    counts_per_pair : float
        Mean n(x, y) + n(y, x) over the pairs tested.
    is_sparse : bool
        Fewer than 8 counts a pair: even the bootstrap's p-values are too small then (half of that: size 9 % at nominal 5 %).
    seed_key : ndarray uint64 (2,)
        Key of the random streams.
    """

    method: str
    statistic: float
    p_value: float
    dof: int
    asymptotic_p_value: float
    cycle_statistic: float | None
    cycle_p_value: float | None
    wald_statistic: float | None
    worst_edges: list
    worst_cycles: list
    potential: np.ndarray
    n_bootstrap: int
    n_failed: int
    n_components: int
    n_one_way_pairs: int
    one_way_counts: float
    counts_per_pair: float
    is_sparse: bool
    seed_key: np.ndarray


def balance_test(
    counts,
    *,
    n_bootstrap=999,
    method="reversible",
    labels=None,
    rng=None,
    num_threads=None,
    progress=False,
    callback=None,
    checkpoint=None,
):
    """Test detailed balance on transition counts.

    Parameters
    ----------
    counts : sparse or dense (n_states, n_states) of whole numbers, or TransitionCounts
    n_bootstrap : int
        Replicates of the parametric bootstrap.
    method : "reversible" | "pairs" | "triangles"
        "pairs" and "triangles" are the chi-squares that the published code of arXiv 2512.10047 takes, for comparison only. Pairs: the sum
        of squares (not weighted) of log T(x, y) / T(y, x) - V(x) + V(y), V the least action of the same data, over pairs with two
        counts or more each way, their number taken for the degrees of freedom. Triangles: squared log ratios of both
        directions over a variance that counts the row totals (which cancel), triangles that share an edge taken for independent.
    labels : sequence of length n_states, optional
    rng : seed or Generator, optional
    checkpoint : path, optional
        Where the replicates done so far are kept; a later call goes on with the same outcome.

    Returns
    -------
    BalanceTest

    Raises
    ------
    InvalidChainError
        Counts that are not whole numbers (nothing could be drawn anew), negative, or all zero.
    Interrupted
        Ctrl-C; `partial` is None, and `checkpoint` keeps the replicates.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> ring = np.array([[0, 60, 40], [40, 0, 60], [60, 40, 0]])
    >>> test = fe.balance_test(ring, n_bootstrap=199, rng=0)
    >>> test.dof, round(test.statistic, 3), test.p_value
    (1, 12.081, 0.005)
    """
    validate.choice(method, "method", ("reversible", "pairs", "triangles"))
    n_bootstrap = validate.count(n_bootstrap, "n_bootstrap")
    threads = resolve_threads(num_threads)
    data = CountMatrix(
        counts,
        labels=labels,
        whole="the bootstrap draws whole counts; round them, or use fit_potential or from_counts",
    )
    if method != "reversible":
        return _published(data, method, threads)
    key = philox_key(rng)
    tested = _Tested(data, threads)
    ratios, scores, variance = _replicates(
        tested,
        n_bootstrap,
        key,
        threads,
        progress,
        callback,
        Checkpoint(
            checkpoint,
            "balance_test",
            lambda: fingerprint(
                data.matrix.indptr, data.matrix.indices, data.matrix.values, n_bootstrap, key
            ),
        ),
    )
    good = np.isfinite(ratios)
    return BalanceTest(
        method=method,
        statistic=tested.ratio,
        p_value=_p_value(ratios[good], tested.ratio),
        dof=tested.dof,
        asymptotic_p_value=float(chdtrc(tested.dof, tested.ratio)) if tested.dof else 1.0,
        cycle_statistic=tested.score,
        cycle_p_value=_p_value(scores[good], tested.score),
        wald_statistic=tested.wald(threads),
        worst_edges=_worst_edges(tested, variance),
        worst_cycles=_worst_cycles(data, tested.inside),
        potential=tested.potential,
        n_bootstrap=n_bootstrap,
        n_failed=int((~good).sum()),
        n_components=int(data.classes[1]),
        n_one_way_pairs=tested.n_one_way,
        one_way_counts=tested.one_way_counts,
        counts_per_pair=tested.counts_per_pair,
        is_sparse=bool(tested.dof and tested.counts_per_pair < SPARSE_COUNT),
        seed_key=key,
    )


class _Tested:
    """Counts with their reversible fit in every strongly connected component."""

    def __init__(self, data, threads):
        self.data, graph = data, data.graph
        labels, _ = data.classes
        rows = np.repeat(np.arange(data.n_states), np.diff(graph.indptr))
        self.rows, self.upper = rows, graph.indices > rows
        self.inside = labels[rows] == labels[graph.indices]
        both = graph.forward + graph.backward
        one_way = self.upper & ((graph.forward == 0) | (graph.backward == 0))
        self.n_one_way, self.one_way_counts = int(one_way.sum()), float(both[one_way].sum())
        tested = self.upper & self.inside
        sizes = np.bincount(labels)
        self.dof = int(
            tested.sum() - (sizes - 1).sum()
        )  # a component of k states has a spanning tree of k - 1 edges
        self.counts_per_pair = float(both[tested].mean()) if tested.any() else 0.0
        self.within = data.graph if self.inside.all() else _pairs(data, self.inside)
        fit = newton(self.within, "logistic", 1e-9, threads, "the reversible fit")
        self.v = fit.v
        self.ratio, self.score, self.expected = _core.reversible_statistics(graph, labels, fit.v)
        with np.errstate(divide="ignore"):
            self.potential = fit.v - np.log(data.total)  # +inf for a state that was never left

    def wald(self, threads):
        """The residual of the weighted least squares of log n(x, y) / n(y, x) on gradients, None where one is not finite."""
        graph, tested = self.data.graph, self.upper & self.inside
        if not tested.any() or not (np.minimum(graph.forward, graph.backward)[tested] > 0).all():
            return None
        v = newton(
            self.within, "least-squares", 1e-9, threads, "the least squares of the log ratios"
        ).v
        n, m = graph.forward[tested], graph.backward[tested]
        off = np.log(n / m) - (v[self.rows[tested]] - v[graph.indices[tested]])
        return float((off**2 / (1.0 / n + 1.0 / m)).sum())


def _pairs(data, keep):
    """The PairGraph of the counts of the pairs with keep[k]."""
    graph = data.graph
    rows = np.repeat(np.arange(data.n_states), np.diff(graph.indptr))
    keep = keep & (graph.forward > 0)
    counts = sp.csr_array(
        (graph.forward[keep], (rows[keep], graph.indices[keep])), shape=(data.n_states,) * 2
    )
    matrix = _core.Csr(counts.indptr.astype(np.int64), counts.indices.astype(np.int32), counts.data)
    return _core.PairGraph(matrix, passes.transpose(matrix))


def _replicates(tested, n_bootstrap, key, threads, progress, callback, checkpoint):
    """(likelihood ratios, scores, variance of n - m per entry) of the bootstrap."""
    graph, nnz = tested.data.graph, tested.data.graph.nnz
    if nnz == 0 or tested.dof == 0:
        return np.zeros(n_bootstrap), np.zeros(n_bootstrap), np.zeros(nnz)
    batch = max(
        threads,
        min(
            n_bootstrap,
            ENTRIES_PER_CALL * threads // (PASSES_PER_REPLICATE * nnz),
            DEVIATIONS_AT_ONCE // nnz,
        ),
    )
    forecast_memory(8 * nnz * (batch + 4 * threads), "the bootstrap's replicates")
    state = checkpoint.load() or {
        "done": np.array(0),
        "ratios": np.full(n_bootstrap, np.nan),
        "scores": np.full(n_bootstrap, np.nan),
        "squares": np.zeros(nnz),
    }
    done, ratios, scores, squares = (
        int(state["done"]),
        state["ratios"],
        state["scores"],
        state["squares"],
    )

    def reached():
        return {"done": np.array(done), "ratios": ratios, "scores": scores, "squares": squares}

    try:
        with interruptible(
            "balance_test", lambda: None, total=n_bootstrap, progress=progress, callback=callback
        ) as monitor:
            while done < n_bootstrap:
                size = min(batch, n_bootstrap - done)
                slots = max(
                    1, min(threads, size, size * nnz * PASSES_PER_REPLICATE // WORK_PER_THREAD)
                )
                lr, score, off = _core.reversible_bootstrap(
                    graph,
                    tested.expected,
                    tested.data.total,
                    tested.v,
                    key,
                    done,
                    size,
                    slots,
                    True,
                )
                for r in np.flatnonzero(np.isfinite(lr)):  # one by one: the same sum for any batch
                    squares += off[r] ** 2
                ratios[done : done + size], scores[done : done + size] = lr, score
                done += size
                checkpoint.save(reached)
                monitor(done)
    except KeyboardInterrupt:
        checkpoint.save(reached, now=True)
        raise
    checkpoint.discard()
    return ratios, scores, squares / max(np.isfinite(ratios).sum(), 1)


def _p_value(replicates, observed):
    """Share of the replicates, the data among them, at least as large; equal up to rounding counts as equal."""
    return float(
        (1 + (replicates >= observed - 1e-9 * (1.0 + observed)).sum()) / (1 + len(replicates))
    )


def q_values(p, n_terms):
    """Benjamini & Yekutieli's (2001) adjusted p-values of ascending p, the smallest of n_terms; valid under any dependence."""
    p = np.asarray(p, dtype=float)
    harmonic = (
        np.log(n_terms) + np.euler_gamma + 0.5 / n_terms
        if n_terms > 100
        else (1.0 / np.arange(1, n_terms + 1)).sum()
    )
    adjusted = p * n_terms * harmonic / np.arange(1, len(p) + 1)
    return np.minimum(1.0, np.minimum.accumulate(adjusted[::-1])[::-1])


def _worst_edges(tested, variance):
    graph, data = tested.data.graph, tested.data
    tested_pairs = np.flatnonzero(
        tested.upper & tested.inside & (variance > 1e-12 * (1.0 + tested.expected))
    )
    if not len(tested_pairs):
        return []
    z = (graph.forward - tested.expected)[tested_pairs] / np.sqrt(variance[tested_pairs])
    order = np.argsort(-np.abs(z), kind="stable")
    p = erfc(np.abs(z[order]) / np.sqrt(2.0))
    q = q_values(p, len(p))
    return [
        {
            "source": data.label(tested.rows[k]),
            "target": data.label(graph.indices[k]),
            "count": float(graph.forward[k]),
            "reverse_count": float(graph.backward[k]),
            "expected": float(tested.expected[k]),
            "z": float(z[i]),
            "p_value": float(p[at]),
            "q_value": float(q[at]),
        }
        for at, (i, k) in enumerate(zip(order[:LISTED], tested_pairs[order[:LISTED]]))
    ]


def _worst_cycles(data, inside):
    """Cycles by |affinity| in standard errors, from pairs seen in both directions."""
    graph = data.graph
    two_way = inside & (graph.forward > 0) & (graph.backward > 0)
    if not two_way.any():
        return []
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(two_way, np.log(graph.forward) - np.log(graph.backward), np.nan)
        variance = np.where(two_way, 1.0 / graph.forward + 1.0 / graph.backward, np.inf)
    found, totals = rank_cycles(graph, ratio, variance, LISTED)
    p = erfc(np.array([score for _, _, _, score in found]) / np.sqrt(2.0))
    q = q_values(p, totals["n_triangles"] + totals["n_longer"]) if found else []
    return [
        {
            "states": [data.label(x) for x in states],
            "affinity": affinity,
            "std_error": float(np.sqrt(spread)),
            "z": affinity / float(np.sqrt(spread)),
            "p_value": float(p[i]),
            "q_value": float(q[i]),
        }
        for i, (states, affinity, spread, _) in enumerate(found)
    ]


def _published(data, method, threads):
    """The chi-squares of arXiv 2512.10047 as its published code takes them: see `balance_test`."""
    graph = data.graph
    rows = np.repeat(np.arange(data.n_states), np.diff(graph.indptr))
    upper, n, m = graph.indices > rows, graph.forward, graph.backward
    two_way = (n > 0) & (m > 0)
    potential, statistic, dof = np.zeros(data.n_states), 0.0, 0
    with np.errstate(divide="ignore", invalid="ignore"):
        log_total = np.log(data.total)
        ratio = np.where(
            two_way, np.log(n) - log_total[rows] - np.log(m) + log_total[graph.indices], np.nan
        )
        variance = np.where(
            two_way,
            1.0 / n + 1.0 / m + (1.0 / data.total)[rows] + (1.0 / data.total)[graph.indices],
            np.inf,
        )
    if method == "pairs":
        potential = newton(
            data.probabilities(data.total), "logistic", 1e-9, threads, "the least action"
        ).v
        used = upper & (np.minimum(n, m) > 1)
        statistic, dof = (
            float(((ratio - potential[rows] + potential[graph.indices])[used] ** 2).sum()),
            int(used.sum()),
        )
    elif two_way.any():
        totals = rank_cycles(graph, ratio, variance, 1)[1]
        statistic, dof = totals["triangle_square"], totals["n_triangles"]
    tail = float(chdtrc(dof, statistic)) if dof else 1.0
    pairs, one_way = (n + m)[upper], upper & ~two_way
    return BalanceTest(
        method=method,
        statistic=statistic,
        p_value=tail,
        dof=dof,
        asymptotic_p_value=tail,
        cycle_statistic=None,
        cycle_p_value=None,
        wald_statistic=None,
        worst_edges=[],
        worst_cycles=[],
        potential=potential,
        n_bootstrap=0,
        n_failed=0,
        n_components=int(data.classes[1]),
        n_one_way_pairs=int(one_way.sum()),
        one_way_counts=float((n + m)[one_way].sum()),
        counts_per_pair=float(pairs.mean()) if len(pairs) else 0.0,
        is_sparse=False,
        seed_key=np.zeros(2, np.uint64),
    )

"""Does the process behind transition counts satisfy detailed balance?

Both statistics compare the counts with their reversible fit. Neither has a known distribution when
counts are few or uneven, so both p-values compare the data with tables from the law of the counts
under detailed balance, given the sums n(x, y) + n(y, x) and the row totals. That law has no unknown
parameter. A rejection speaks of reversibility only if the process is Markov at the resolution of
the states: see `markov_test`.
"""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.special import chdtrc

from .._runtime import validate
from .._runtime.checkpoint import remembered_seed
from .._runtime.random import philox_key
from .._runtime.results import Result, result
from .._runtime.resumable import resumable
from .._runtime.threads import resolve_threads
from .._runtime.types import RNG, Callback, FloatArray, Labels, Path
from .._runtime.warn import warn_unconverged
from ..counts.cycles import rank_cycles
from ..counts.matrix import CountMatrix, CountsLike, TransitionCounts
from ..counts.newton import newton
from .balance_bootstrap import BalanceBootstrap, FittedCounts
from .p_values import p_value
from .violations import worst_cycles, worst_edges

# Mean count per pair (both directions) below which the chi-square law is inaccurate: its size at
# nominal 5 % is 13 % here and 8 % at twice as many (benchmarks/null_calibration.py).
SPARSE_COUNT = 8.0


@result
class BalanceTest(Result):
    """Evidence in the counts for or against detailed balance.

    Attributes
    ----------
    method : str
    statistic, p_value : float
        Method "reversible": the likelihood ratio 2 sum n log(n / m) of free against reversible
        rows, and its p-value (1 + number of replicates at least as large) / (1 + n_bootstrap).
        "pairs", "triangles": the chi-square of that method, whose size is not known to hold. nan if
        no size is known at all, with the reason in `shortfall`.
    dof : int
        Independent cycles among the pairs that can break detailed balance (0: nothing to test,
        p = 1). For the other methods the number of terms, which they use as degrees of freedom.
    asymptotic_p_value : float
        From the chi-square distribution with dof degrees of freedom; wrong if counts are sparse or
        uneven.
    cycle_statistic, cycle_p_value : float or None
        The score form sum (n - m)^2 / m, and its p-value from the same replicates.
    wald_statistic : float or None
        Residual of the weighted least squares of the log ratios on gradients, which equals the
        cycle-space chi-square. None if a pair was seen in one direction only.
    worst_edges : list of dict
        source, target, count, reverse_count, expected, z (deviation over its standard deviation
        among the replicates), p_value, q_value. These and those of the cycles take z as normal,
        which is approximate and wrong for pairs of few counts: they rank, they do not test.
    worst_cycles : list of dict
        states, affinity (log product of forward over backward counts), std_error, z, p_value,
        q_value. Triangles, and the cycles that close a breadth-first tree. Q-values are
        Benjamini-Yekutieli's, which hold for dependent terms (cycles share edges).
    potential : ndarray (n_states,)
        -log pi of the reversible fit, with a free constant in each strongly connected component.
    n_bootstrap, n_failed : int
        Replicates, and those left out (none: they need no fit of their own).
    n_components : int
        Strongly connected components. Pairs between two of them are one-way and uninformative.
    n_one_way_pairs, one_way_counts : int, float
        Pairs seen in one direction only, and their counts.
    counts_per_pair : float
        Mean n(x, y) + n(y, x) over the pairs tested.
    is_sparse : bool
        Fewer than 8 counts per pair: `asymptotic_p_value` is then too small. `p_value` and
        `cycle_p_value` hold at any density.
    seed_key : ndarray uint64 (2,)
        Key of the random streams.
    sampling : str
        The law of the replicates: "trajectories" or "rows". "rows" with converged=False: that of
        trajectories cost too much, as the chain moves rarely between parts of the states.
    converged : bool
        Whether the reversible fit reached its tolerance, and the p-values with it.
    shortfall : str
        Why there is no p-value or why it does not hold; empty if it holds.
    """

    method: str
    statistic: float
    p_value: float
    dof: int
    asymptotic_p_value: float
    cycle_statistic: float | None
    cycle_p_value: float | None
    wald_statistic: float | None
    worst_edges: list[dict[str, Any]]
    worst_cycles: list[dict[str, Any]]
    potential: FloatArray
    n_bootstrap: int
    n_failed: int
    n_components: int
    n_one_way_pairs: int
    one_way_counts: float
    counts_per_pair: float
    is_sparse: bool
    seed_key: npt.NDArray[np.uint64]
    sampling: str = "trajectories"
    converged: bool = True
    shortfall: str = ""


def balance_test(
    counts: CountsLike,
    *,
    n_bootstrap: int = 999,
    method: Literal["reversible", "pairs", "triangles"] = "reversible",
    sampling: Literal["trajectories", "rows"] = "trajectories",
    labels: Labels | None = None,
    rng: RNG = None,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> BalanceTest:
    """Test detailed balance on transition counts.

    Parameters
    ----------
    counts : sparse or dense (n_states, n_states) of whole numbers, or TransitionCounts
    n_bootstrap : int
        Replicates: tables drawn under detailed balance. No p-value is below 1 / (1 + n_bootstrap).
    method : "reversible" | "pairs" | "triangles"
        "pairs" and "triangles" are the chi-squares of the published code of arXiv 2512.10047, for
        comparison only. Pairs: the unweighted sum of squares of log T(x, y) / T(y, x) - V(x) + V(y)
        over pairs with two counts or more each way, where V is the least action of the same data;
        the number of pairs is used as the degrees of freedom. Triangles: squared log ratios of both
        directions over a variance that includes the row totals (which cancel); triangles that share
        an edge are taken as independent.
    sampling : "trajectories" | "rows"
        How the counts came about. "rows": the departures of each state were drawn independently of
        all others, as by sampling successors of given states. "trajectories": they were counted
        along trajectories.
    labels : sequence of length n_states, optional
    rng : seed or Generator, optional
    num_threads, progress, callback
        As in `simulate_hitting_times`.
    checkpoint : path, optional
        A file for the replicates done so far, from which a later call resumes with the same
        result (with ``rng=None`` on the same random numbers).

    Returns
    -------
    BalanceTest

    Notes
    -----
    Given the sums n(x, y) + n(y, x), the row totals, and the first states of trajectories, the law
    of the counts under detailed balance has no unknown parameter. The p-values are computed from
    that conditional law by Besag & Clifford's (1989) Monte Carlo test. P(p <= a) <= a for every a
    then holds, up to rounding and the tolerance of the fit, whatever the number of states and
    counts and however uneven they are,

    - for independent rows with sampling="rows";
    - for one trajectory with sampling="trajectories": its conditional law is uniform over the
      Eulerian trails, and the last state is determined by the sums;
    - for several trajectories that start in distinct states from those where others end, and whose
      lengths are random by a constant chance to end at each step.

    For several trajectories of fixed lengths, and for independent rows tested with the default, the
    law is an approximation. The sizes that were measured at nominal 5 % are 0.05 or less within
    three standard errors of 0.007 to 0.011 (benchmarks/null_calibration.py). Independent rows are
    the wrong law for trajectories of slow chains with few counts: sizes up to 0.08. Overlapping
    windows (`mode="sliding"` with a lag above 1) are not Markov counts, and give no p-value.

    Raises
    ------
    InvalidChainError
        Counts that are not whole numbers (they could not be resampled), negative, or all zero.
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
    validate.choice(sampling, "sampling", ("trajectories", "rows"))
    n_bootstrap = validate.count(n_bootstrap, "n_bootstrap")
    threads = resolve_threads(num_threads)
    data = CountMatrix(
        counts,
        labels=labels,
        whole="the test draws whole counts; round them, or use fit_potential or from_counts",
    )
    if method != "reversible":
        return _published(data, method, threads)
    rng = remembered_seed(rng, checkpoint)
    key = philox_key(rng)
    fitted = FittedCounts(data, threads)
    bootstrap = BalanceBootstrap(fitted, n_bootstrap, key, threads, sampling)
    if fitted.dof > 0:
        with resumable(
            "balance_test",
            checkpoint,
            bootstrap.identity,
            state=bootstrap.state,
            restore=bootstrap.restore,
            partial=lambda: None,
            total=n_bootstrap,
            progress=progress,
            callback=callback,
            seed=rng,
        ) as monitor:
            bootstrap.run(monitor)
    shortfall = _overlap(counts)
    p_values = [1.0, 1.0]
    if shortfall:
        p_values = [np.nan, np.nan]
    elif fitted.dof > 0:
        p_values = [
            p_value(bootstrap.ratios, fitted.ratio),
            p_value(bootstrap.scores, fitted.score),
        ]
    wald = fitted.wald(threads)
    if not fitted.converged:
        shortfall = shortfall or "the reversible fit did not converge, so the p-values may be off"
    if bootstrap.sampling != sampling and not shortfall:
        shortfall = _warn(
            "the counts lead so rarely from one part of the states to another that the law of "
            "trajectories was not drawn from; the p-values are those of independent rows, and may "
            'be too small unless the rows are independent (say so by sampling="rows")'
        )
    return BalanceTest(
        method=method,
        statistic=fitted.ratio,
        p_value=p_values[0],
        dof=fitted.dof,
        asymptotic_p_value=float(chdtrc(fitted.dof, fitted.ratio)) if fitted.dof else 1.0,
        cycle_statistic=fitted.score,
        cycle_p_value=p_values[1],
        wald_statistic=wald,
        worst_edges=worst_edges(fitted, bootstrap.variance),
        worst_cycles=worst_cycles(data, fitted.inside),
        potential=fitted.potential,
        n_bootstrap=n_bootstrap,
        n_failed=0,
        n_components=int(data.classes[1]),
        n_one_way_pairs=fitted.n_one_way,
        one_way_counts=fitted.one_way_counts,
        counts_per_pair=fitted.counts_per_pair,
        is_sparse=bool(fitted.dof and fitted.counts_per_pair < SPARSE_COUNT),
        seed_key=key,
        sampling=bootstrap.sampling,
        converged=fitted.converged and not shortfall,
        shortfall=shortfall,
    )


def _overlap(counts: CountsLike) -> str:
    """Why counts of overlapping windows give no p-value: their steps depend on each other."""
    if not (isinstance(counts, TransitionCounts) and counts.mode == "sliding" and counts.lag > 1):
        return ""
    reason = (
        f"the transitions at lag {counts.lag} overlap, so they are not independent and no p-value "
        'holds; count them with count_transitions(..., mode="sample")'
    )
    return _warn(reason)


def _warn(reason: str) -> str:
    warn_unconverged(f"balance_test: {reason}")
    return reason


def _published(data: CountMatrix, method: str, threads: int) -> BalanceTest:
    """The chi-squares of the published code of arXiv 2512.10047: see `balance_test`."""
    graph = data.graph
    rows = np.repeat(np.arange(data.n_states), np.diff(graph.indptr))
    upper, n, m = graph.indices > rows, graph.forward, graph.backward
    two_way = (n > 0) & (m > 0)
    potential, statistic, dof, converged = np.zeros(data.n_states), 0.0, 0, True
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
        fit, converged = newton(
            data.probabilities(data.total), "logistic", 1e-9, threads, "the least action"
        )
        potential = fit.v
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
        converged=converged,
        shortfall="the chi-square law of the published statistic is not known to hold",
    )

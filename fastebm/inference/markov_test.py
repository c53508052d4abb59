"""Is a process Markov at the resolution of its states?

Order 1 against order 2, and consistency across lags, tested on trajectories.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.special import chdtrc

from .._runtime import validate
from .._runtime.checkpoint import fingerprint, remembered_seed
from .._runtime.memory import forecast_memory
from .._runtime.random import generator_state, restore_generator
from .._runtime.results import Result, result
from .._runtime.resumable import State, resumable
from .._runtime.threads import resolve_threads
from .._runtime.types import RNG, Callback, IntArray, Path
from ..chains.chain import MarkovChain
from ..counts.transitions import as_trajectories, count_transitions
from ..errors import InvalidChainError
from ..simulation.simulate import simulate
from .p_values import p_value

#: State numbers of any integer type, one array per trajectory.
Trajectories = Sequence[npt.NDArray[Any]]


@result
class MarkovTest(Result):
    """Order 1 against order 2, and consistency across lags.

    Both p-values come from trajectories that are simulated from the first-order chain.

    Attributes
    ----------
    statistic, p_value : float
        2 sum n(x, y, z) log(n(x, y, z) n(y) / (n(x, y) n(y, z))), the likelihood ratio of order 2
        against 1, and the share of simulated data sets (of the same lengths and starts) that reach
        it.
    dof : int
        sum over y of (predecessors - 1)(successors - 1).
    asymptotic_p_value : float
        From the chi-square distribution; wrong if triples are sparse.
    lags : list of dict
        lag, distance (sum_x of the share of x times the total variation between row x of P^lag and
        of the transitions counted at that lag), expected (its mean over the simulated data sets),
        p_value.
    n_triples, n_trajectories, n_bootstrap : int
    """

    statistic: float
    p_value: float
    dof: int
    asymptotic_p_value: float
    lags: list[dict[str, Any]]
    n_triples: int
    n_trajectories: int
    n_bootstrap: int


def markov_test(
    trajectories: Iterable[npt.ArrayLike],
    *,
    lags: Sequence[int] = (2, 3),
    n_bootstrap: int = 199,
    rng: RNG = None,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> MarkovTest:
    """Test whether trajectories are first-order Markov.

    If they are not, the p-values of `balance_test` say nothing about detailed balance.

    Parameters
    ----------
    trajectories : list of int arrays
    lags : sequence of int
        Lags at which P^lag is compared with the transitions counted at that lag.
    n_bootstrap : int
        Data sets simulated from the first-order chain.
    rng : seed or Generator, optional
    num_threads, progress, callback, checkpoint
        As in `simulate_hitting_times`. The checkpoint keeps
        the replicates so far.

    Returns
    -------
    MarkovTest

    Raises
    ------
    InvalidChainError
        No trajectory of three points.
    Interrupted
        Ctrl-C; `partial` is None.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> rng = np.random.default_rng(0)
    >>> coin = rng.integers(0, 2, (20, 100))                       # independent: Markov
    >>> copied = np.repeat(coin, 2, axis=1)                        # every value twice: not Markov
    >>> fe.markov_test(list(copied), n_bootstrap=99, rng=1).p_value
    0.01
    """
    n_bootstrap = validate.count(n_bootstrap, "n_bootstrap")
    lags = [validate.count(lag, "lags", 2) for lag in lags]
    threads = resolve_threads(num_threads)
    data = [np.asarray(x) for x in as_trajectories(trajectories)]
    lengths = np.array([len(x) for x in data])
    if not (lengths >= 3).any():
        raise InvalidChainError(
            "no trajectory has three points, so order 2 cannot be tested; pass longer trajectories"
        )
    counts = count_transitions(data).counts
    n = counts.shape[0]
    statistic, dof, n_triples = _order_statistic(data, n)
    distances = _lag_distances(data, counts, lags)
    chain = _first_order(counts)
    starts = np.array([x[0] for x in data if len(x)])
    used = lengths[lengths > 0]
    forecast_memory(16 * len(used) * int(used.max()), "the simulated trajectories")
    rng = remembered_seed(rng, checkpoint)
    generator = np.random.default_rng(rng)
    start = generator_state(generator)
    # replaced as a whole, so that an interruption never sees a part
    reached: tuple[list[float], list[list[float]], str] = ([], [], start)

    def state() -> State:
        simulated, each, random = reached
        table = np.array(each).reshape(len(each), len(lags))
        return {"simulated": np.array(simulated), "distances": table, "rng": np.array(random)}

    def restore(saved: State) -> None:
        nonlocal reached
        reached = saved["simulated"].tolist(), saved["distances"].tolist(), str(saved["rng"])
        restore_generator(generator, reached[2])

    with resumable(
        "markov_test",
        checkpoint,
        lambda: fingerprint(*data, lags, n_bootstrap, start),
        state=state,
        restore=restore,
        partial=lambda: None,
        total=n_bootstrap,
        progress=progress,
        callback=callback,
        seed=rng,
    ) as monitor:
        for replicate in range(len(reached[0]), n_bootstrap):
            paths = simulate(
                chain,
                int(used.max()) - 1,
                start=starts,
                n_walkers=len(starts),
                rng=generator,
                num_threads=threads,
            )
            drawn = [path[:length] for path, length in zip(paths, used, strict=True)]
            order = _order_statistic(drawn, n)[0]
            drawn_counts = count_transitions(drawn, n_states=n).counts
            each = _lag_distances(drawn, drawn_counts, lags)
            simulated, before, _ = reached
            reached = [*simulated, order], [*before, each], generator_state(generator)
            monitor.save()
            monitor(replicate + 1)
    simulated, found = reached[0], np.array(reached[1])
    return MarkovTest(
        statistic=statistic,
        p_value=p_value(simulated, statistic),
        dof=dof,
        asymptotic_p_value=float(chdtrc(dof, statistic)) if dof else 1.0,
        lags=[
            {
                "lag": lag,
                "distance": distances[i],
                "expected": float(np.nanmean(found[:, i])),
                "p_value": p_value(found[:, i], distances[i]),
            }
            for i, lag in enumerate(lags)
            if np.isfinite(distances[i])
        ],
        n_triples=n_triples,
        n_trajectories=len(data),
        n_bootstrap=n_bootstrap,
    )


def _first_order(counts: sp.csr_array) -> MarkovChain:
    """The chain of the counts. A state seen only at the ends of trajectories has no departures; in
    a simulated trajectory it stays."""
    n = counts.shape[0]
    never_left = np.flatnonzero(np.asarray(counts.sum(axis=1)).ravel() == 0)
    stay = sp.csr_array((np.ones(len(never_left)), (never_left, never_left)), shape=(n, n))
    return MarkovChain.from_counts(counts + stay)


def _order_statistic(trajectories: Trajectories, n: int) -> tuple[float, int, int]:
    """(likelihood ratio, degrees of freedom, triples) of order 2 against 1."""
    x, y, z = (
        np.concatenate(
            [np.asarray(t[i : len(t) - 2 + i], np.int64) for t in trajectories if len(t) >= 3]
        )
        for i in range(3)
    )

    def grouped(*parts: IntArray) -> tuple[IntArray, npt.NDArray[np.float64]]:
        code = parts[0]
        for part in parts[1:]:
            # renumbered before each product, so that codes stay below 2^63 whatever n is
            code = np.unique(code, return_inverse=True)[1].astype(np.int64) * n + part
        _, first, count = np.unique(code, return_index=True, return_counts=True)
        return first, count.astype(float)

    _, triple = grouped(x, y, z)
    first_before, before = grouped(x, y)
    first_after, after = grouped(y, z)
    at = np.bincount(y, minlength=n).astype(float)
    total = sum((c * np.log(c)).sum() for c in (triple, at[at > 0])) - sum(
        (c * np.log(c)).sum() for c in (before, after)
    )
    predecessors = np.bincount(y[first_before], minlength=n)
    successors = np.bincount(y[first_after], minlength=n)
    seen = at > 0
    dof = int(((predecessors - 1) * (successors - 1))[seen].sum())
    return max(0.0, 2.0 * float(total)), dof, len(x)


def _lag_distances(
    trajectories: Trajectories, counts: sp.csr_array, lags: Sequence[int]
) -> list[float]:
    """Mean total variation between P^lag and the transitions at that lag; nan if no trajectory is
    long enough."""
    total = np.asarray(counts.sum(axis=1)).ravel()
    P = sp.diags_array(1.0 / np.where(total > 0, total, 1.0)) @ counts
    power, at, found = P, 1, []
    for lag in lags:
        long = [t for t in trajectories if len(t) > lag]
        if not long:
            found.append(np.nan)
            continue
        while at < lag:
            power, at = (power @ P).tocsr(), at + 1
        direct = count_transitions(long, lag=lag, n_states=counts.shape[0]).counts
        weight = np.asarray(direct.sum(axis=1)).ravel()
        rows = sp.diags_array(1.0 / np.where(weight > 0, weight, 1.0)) @ direct
        each = 0.5 * np.asarray(abs(rows - power).sum(axis=1)).ravel()
        found.append(float((weight * each).sum() / weight.sum()))
    return found

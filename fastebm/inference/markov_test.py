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
from ..counts.trajectories import TrajectoryPieces
from ..counts.transitions import count_transitions
from ..errors import InvalidChainError
from .p_values import p_value
from .same_counts import SameCounts

#: State numbers of any integer type, one array per trajectory.
Trajectories = Sequence[npt.NDArray[Any]]


@result
class MarkovTest(Result):
    """Order 1 against order 2, and consistency across lags.

    Both p-values come from random trajectories with the starts, lengths and transition counts of
    the data. Under a first-order chain all of these are equally likely, so that the size of the
    test holds however sparse the triples are.

    Attributes
    ----------
    statistic, p_value : float
        2 sum n(x, y, z) log(n(x, y, z) n(y) / (n(x, y) n(y, z))), the likelihood ratio of order 2
        against 1, and the share of the random data sets that reach it. It is 1 where no other data
        set has the same counts.
    dof : int
        sum over y of (predecessors - 1)(successors - 1).
    asymptotic_p_value : float
        From the chi-square distribution; wrong if triples are sparse.
    lags : list of dict
        lag, distance (sum_x of the share of x times the total variation between row x of P^lag and
        of the transitions counted at that lag), expected (its mean over the random data sets),
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
        Random data sets.
    rng : seed or Generator, optional
    num_threads
        Has no effect: the random data sets are drawn by one thread.
    progress, callback, checkpoint
        As in `simulate_hitting_times`. The checkpoint keeps the replicates so far.

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
    resolve_threads(num_threads)
    data = [np.asarray(x) for x in TrajectoryPieces(trajectories)]
    lengths = np.array([len(x) for x in data])
    if not (lengths >= 3).any():
        raise InvalidChainError(
            "no trajectory has three points, so order 2 cannot be tested; pass longer trajectories"
        )
    counts = count_transitions(data).counts
    n = counts.shape[0]
    statistic, dof, n_triples = _order_statistic(data, n)
    powers = _powers(counts, lags, int(lengths.max()))
    distances = _lag_distances(data, powers)
    forecast_memory(
        64 * int(lengths.sum()) + 200 * int(lengths.max()) + n_bootstrap * (64 + 48 * len(lags)),
        f"{n_bootstrap:,} sets of random trajectories",
        "lower n_bootstrap, or pass fewer or shorter trajectories",
    )
    rng = remembered_seed(rng, checkpoint)
    generator = np.random.default_rng(rng)
    way_back = int(generator.integers(2**63))
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
        lambda: fingerprint("same counts", *data, lags, n_bootstrap, start),
        state=state,
        restore=restore,
        partial=lambda: None,
        total=n_bootstrap,
        progress=progress,
        callback=callback,
        seed=rng,
    ) as monitor:
        sets = SameCounts(data, np.random.default_rng(way_back))
        for replicate in range(len(reached[0]), n_bootstrap):
            drawn = sets.draw(generator)
            order = _order_statistic(drawn, n)[0]
            each = _lag_distances(drawn, powers)
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


def _powers(
    counts: sp.csr_array, lags: Sequence[int], longest: int
) -> list[tuple[int, sp.csr_array]]:
    """Each lag with P^lag; of lags that no trajectory has, the power does not matter."""
    total = np.asarray(counts.sum(axis=1)).ravel()
    P = sp.csr_array(sp.diags_array(1.0 / np.where(total > 0, total, 1.0)) @ counts)
    power, at, found = P, 1, {}
    for lag in sorted(lags):
        while at < min(lag, longest):
            power, at = sp.csr_array(power @ P), at + 1
        found[lag] = power
    return [(lag, found[lag]) for lag in lags]


def _lag_distances(
    trajectories: Trajectories, powers: Sequence[tuple[int, sp.csr_array]]
) -> list[float]:
    """Mean total variation between P^lag and the transitions at that lag; nan if no trajectory is
    long enough."""
    found = []
    for lag, power in powers:
        long = [t for t in trajectories if len(t) > lag]
        if not long:
            found.append(np.nan)
            continue
        direct = count_transitions(long, lag=lag, n_states=power.shape[0]).counts
        weight = np.asarray(direct.sum(axis=1)).ravel()
        rows = sp.diags_array(1.0 / np.where(weight > 0, weight, 1.0)) @ direct
        each = 0.5 * np.asarray(abs(rows - power).sum(axis=1)).ravel()
        found.append(float((weight * each).sum() / weight.sum()))
    return found

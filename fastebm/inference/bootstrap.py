"""Sampling error of any statistic of an estimated chain, from resampled data.

Either whole trajectories are resampled, or rows of counts are drawn from multinomials.
"""

from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeGuard

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from .. import _core
from .._runtime import validate
from .._runtime.checkpoint import fingerprint, remembered_seed
from .._runtime.labelled import is_table
from .._runtime.memory import forecast_memory
from .._runtime.packing import pack, unpack
from .._runtime.random import philox_key
from .._runtime.results import Result, result
from .._runtime.resumable import State, resumable
from .._runtime.threads import resolve_threads
from .._runtime.time_unit import Clock
from .._runtime.types import RNG, Callback, Path
from .._runtime.warn import shortfalls, warn_unconverged
from ..chains.chain import MarkovChain
from ..counts.connected_set import connected_set
from ..counts.matrix import CountMatrix, CountsLike, NamedCounts
from ..counts.trajectories import TrajectoryPieces
from ..counts.transitions import count_transitions
from ..errors import FastebmError, InvalidChainError

Key = npt.NDArray[np.uint64]
Statistic = Callable[[MarkovChain], npt.ArrayLike]
#: The counts of a replicate, by its number.
Draw = Callable[[int], sp.csr_array]


@result
class BootstrapResult(Result):
    """A statistic with its sampling error.

    Attributes
    ----------
    estimate : float or ndarray
        The statistic of the data.
    std_error, lower, upper : float or ndarray
        Standard deviation and percentile interval over the replicates.
    level : float
    kind : "trajectories" | "rows"
    n : int
        Replicates requested.
    n_failed : int
        Replicates that were left out because the statistic raised an error, or returned NaN or
        another shape. `failures` counts the reasons.
    failures : dict str -> int
    n_reduced : int
        Replicates whose chain lost states, because they were not drawn or no path led back from
        them; the statistic was computed on the largest strongly connected set.
    replicates : ndarray (n - n_failed, ...)
    converged : bool
        No fit of a chain and no statistic issued a `ConvergenceWarning`.
    """

    estimate: float | npt.NDArray[Any]
    std_error: float | npt.NDArray[Any]
    lower: float | npt.NDArray[Any]
    upper: float | npt.NDArray[Any]
    level: float
    kind: str
    n: int
    n_failed: int
    failures: dict[str, int]
    n_reduced: int
    replicates: npt.NDArray[Any]
    converged: bool


def bootstrap(
    trajectories_or_counts: Iterable[npt.ArrayLike] | CountsLike,
    statistic: Statistic,
    *,
    n: int = 999,
    level: float = 0.95,
    reversible: bool = False,
    lag: int = 1,
    mode: Literal["sliding", "sample"] = "sliding",
    rng: RNG = None,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> BootstrapResult:
    """Interval for a statistic of the chain that is estimated from data.

    Parameters
    ----------
    trajectories_or_counts : list of int arrays, or counts
        Trajectories (at least two) are resampled whole, with replacement, which respects the
        dependence of their transitions. Counts are drawn row by row from multinomials, which
        assumes independent transitions.
    statistic : callable
        statistic(chain) -> float or array, for example
        ``lambda chain: fe.spectral_gap(chain).gap``. The labels of the chain are the numbers of its
        states in the data.
    n : int
        Replicates.
    level : float
        Of the percentile interval.
    reversible : bool
        Estimate the reversible chain each time.
    lag, mode
        As in `count_transitions`, for trajectories.
    rng : seed or Generator, optional
    num_threads, progress, callback, checkpoint
        As in `simulate_hitting_times`. The checkpoint keeps
        the replicates so far; that `statistic` is the same function is up to the caller.

    Returns
    -------
    BootstrapResult

    Raises
    ------
    InvalidChainError
        Fewer than two trajectories, counts that are not whole numbers, or a statistic that failed
        on all replicates but one.
    Interrupted
        Ctrl-C; `partial` is the BootstrapResult of the finished replicates, None if there are fewer
        than two.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> counts = np.array([[80, 20], [30, 70]])
    >>> found = fe.bootstrap(counts, lambda chain: chain.pi[0], n=199, rng=0)
    >>> round(found.estimate, 3), bool(found.lower < 0.6 < found.upper)
    (0.6, True)
    """
    n = validate.count(n, "n", 2)
    level = validate.number(level, "level", above=0.0, below=1.0)
    threads = resolve_threads(num_threads)
    rng = remembered_seed(rng, checkpoint)
    key = philox_key(rng)
    if _is_counts(trajectories_or_counts):
        kind = "rows"
        data = CountMatrix(
            trajectories_or_counts, whole="rows are drawn as whole counts; round them"
        )
        draw, lag = _rows(data, key, threads), data.lag
        parts: list[npt.ArrayLike] = []
    else:
        kind = "trajectories"
        parts = list(TrajectoryPieces(trajectories_or_counts))
        draw, data = _trajectories(parts, lag, mode, key)
    replicates = _Replicates({"lag": lag, "time_unit": data.time_unit})

    def so_far() -> BootstrapResult | None:
        if len(replicates.reached["values"]) < 2:
            return None
        return replicates.summary(level, kind, n)

    def identity() -> str:
        P = data.scipy()
        return fingerprint(
            P.indptr,
            P.indices,
            P.data,
            *map(np.asarray, parts),
            [n, reversible, lag, kind, mode],
            key,
        )

    with resumable(
        "bootstrap",
        checkpoint,
        identity,
        state=replicates.state,
        restore=replicates.restore,
        partial=so_far,
        total=n,
        progress=progress,
        callback=callback,
        seed=rng,
    ) as monitor:
        replicates.begin(data.scipy(), statistic, reversible)
        size = 16 * np.size(replicates.reached["estimate"]) + 128
        forecast_memory(n * size, f"{n:,} replicates of the statistic", "lower n")
        for replicate in range(replicates.n_done, n):
            replicates.add(draw(replicate), statistic, reversible)
            monitor.save()
            monitor(replicate + 1)
    found = so_far()
    if replicates.reached["reasons"]:
        reason = replicates.reached["reasons"][0]
        warn_unconverged(f"bootstrap: the estimate or a replicate: {reason}")
    if found is None:
        failures = replicates.reached["failures"]
        raise InvalidChainError(
            f"the statistic failed on {sum(failures.values())} of {n} replicates: {failures}"
        )
    return found


def _is_counts(data: object) -> TypeGuard[CountsLike]:
    """Whether these are counts, not trajectories."""
    return (
        sp.issparse(data)
        or isinstance(data, NamedCounts)
        or is_table(data)
        or (isinstance(data, np.ndarray) and data.ndim == 2 and data.shape[0] == data.shape[1])
    )


class _Replicates:
    """Values of the statistic on the replicates so far, and why others have none.

    Attributes
    ----------
    reached : dict
        The estimate from the data, the values, the reasons why something did not converge, the
        numbers of failures, and n_reduced; replaced as a whole, so that an interruption never sees
        a part.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.reached: dict[str, Any] = {"values": []}

    @property
    def n_done(self) -> int:
        values, failures = self.reached["values"], self.reached["failures"]
        return len(values) + int(sum(failures.values()))

    @property
    def estimate(self) -> npt.ArrayLike:
        """The statistic of the data."""
        found: npt.ArrayLike = self.reached["estimate"]
        return found

    def begin(self, counts: sp.csr_array, statistic: Statistic, reversible: bool) -> None:
        """Evaluate the statistic on the data, unless a checkpoint has its value."""
        if "estimate" in self.reached:
            return
        with shortfalls() as reasons:
            estimate, _ = _evaluate(counts, statistic, reversible, self.clock)
        self.reached = {
            "estimate": estimate,
            "values": [],
            "reasons": list(reasons),
            "failures": {},
            "n_reduced": 0,
        }

    def state(self) -> State | None:
        """The arrays of a checkpoint."""
        return pack(self.reached) if "estimate" in self.reached else None

    def restore(self, state: State) -> None:
        """Go on from `state()`."""
        self.reached = unpack(state)

    def add(self, counts: sp.csr_array, statistic: Statistic, reversible: bool) -> None:
        now = self.reached
        try:
            with shortfalls() as reasons:
                value, reduced = _evaluate(counts, statistic, reversible, self.clock)
            now = now | {"reasons": [*now["reasons"], *reasons]}
            now = now | {"n_reduced": now["n_reduced"] + reduced}
            if np.shape(value) != np.shape(self.estimate):
                raise InvalidChainError(
                    f"shape {np.shape(value)}, not {np.shape(self.estimate)}: states are missing"
                )
            if not np.isfinite(value).all():
                raise InvalidChainError("not finite")
            now = now | {"values": [*now["values"], value]}
        except FastebmError as error:
            reason = type(error).__name__
            if isinstance(error, InvalidChainError):
                reason = f"{reason}: {error}"
            failures = now["failures"]
            now = now | {"failures": failures | {reason: failures.get(reason, 0) + 1}}
        self.reached = now

    def summary(self, level: float, kind: str, n: int) -> BootstrapResult:
        replicates = np.array(self.reached["values"])
        lower, upper = np.quantile(replicates, [(1 - level) / 2, (1 + level) / 2], axis=0)
        spread = replicates.std(axis=0, ddof=1)
        is_scalar = np.ndim(self.estimate) == 0

        def plain(value: Any) -> float | npt.NDArray[Any]:
            return float(value) if is_scalar else np.asarray(value)

        return BootstrapResult(
            estimate=plain(self.estimate),
            std_error=plain(spread),
            lower=plain(lower),
            upper=plain(upper),
            level=level,
            kind=kind,
            n=n,
            n_failed=sum(self.reached["failures"].values()),
            failures=dict(self.reached["failures"]),
            n_reduced=self.reached["n_reduced"],
            replicates=replicates,
            converged=not self.reached["reasons"],
        )


def _evaluate(
    counts: sp.csr_array, statistic: Statistic, reversible: bool, clock: Clock
) -> tuple[npt.ArrayLike, bool]:
    """(the statistic of the chain of `counts`, whether states were lost)."""
    kept = connected_set(counts)
    labels = kept.states.tolist()
    chain = MarkovChain.from_counts(kept, reversible=reversible, labels=labels, **clock)
    return statistic(chain), kept.fraction_states < 1.0


def _rows(data: CountMatrix, key: Key, threads: int) -> Draw:
    """Rows drawn from multinomials."""
    matrix, values = data.matrix, np.asarray(data.matrix.values, dtype=np.float64)

    def draw(replicate: int) -> sp.csr_array:
        drawn = _core.resample_rows(matrix.indptr, values, data.total, key, replicate, threads)
        return sp.csr_array((drawn, matrix.indices, matrix.indptr), shape=(data.n_states,) * 2)

    return draw


def _trajectories(
    trajectories: list[npt.ArrayLike], lag: int, mode: Literal["sliding", "sample"], key: Key
) -> tuple[Draw, CountMatrix]:
    """(draw(replicate), counts of all). Each trajectory is counted once; a replicate is a weighted
    sum of these counts."""
    if len(trajectories) < 2:
        raise InvalidChainError(
            "resampling whole trajectories needs at least two; pass counts to draw rows instead"
        )
    whole = count_transitions(trajectories, lag=lag, mode=mode)
    n_states = whole.counts.shape[0]
    pattern = whole.counts.tocoo()
    code = pattern.row.astype(np.int64) * n_states + pattern.col
    order = np.argsort(code)
    stride = 1 if mode == "sliding" else lag
    rows = []
    for trajectory in trajectories:
        x = np.asarray(trajectory, np.int64)
        source, target = x[:-lag:stride], x[lag::stride]
        found, times = np.unique(source * n_states + target, return_counts=True)
        at = order[np.searchsorted(code, found, sorter=order)]
        entries = (times.astype(float), (np.zeros(len(at), np.int64), at))
        rows.append(sp.csr_array(entries, shape=(1, len(code))))
    table = sp.vstack(rows).tocsr()

    def draw(replicate: int) -> sp.csr_array:
        generator = np.random.Generator(np.random.Philox(key=key, counter=[0, 0, replicate, 0]))
        times = np.bincount(generator.integers(0, len(rows), len(rows)), minlength=len(rows))
        return sp.csr_array((times @ table, (pattern.row, pattern.col)), shape=(n_states, n_states))

    return draw, CountMatrix(whole)

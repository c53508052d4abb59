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
from .._runtime.labelled import is_table
from .._runtime.memory import forecast_memory
from .._runtime.progress import interruptible
from .._runtime.random import philox_key
from .._runtime.results import Result, result
from .._runtime.threads import resolve_threads
from .._runtime.types import RNG, Callback
from .._runtime.warn import shortfalls, warn_unconverged
from ..chains.chain import MarkovChain
from ..counts.connected_set import connected_set
from ..counts.matrix import CountMatrix, CountsLike, NamedCounts
from ..counts.transitions import as_trajectories, count_transitions
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
    num_threads, progress, callback
        As in `simulate_hitting_times`.

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
    key = philox_key(rng)
    if _is_counts(trajectories_or_counts):
        kind = "rows"
        data = CountMatrix(
            trajectories_or_counts, whole="rows are drawn as whole counts; round them"
        )
        draw, lag = _rows(data, key, threads), data.lag
    else:
        kind = "trajectories"
        draw, data = _trajectories(list(as_trajectories(trajectories_or_counts)), lag, mode, key)
    with shortfalls() as reasons:
        estimate, _ = _evaluate(data.scipy(), statistic, reversible, lag)
    forecast_memory(
        n * (16 * np.size(estimate) + 128), f"{n:,} replicates of the statistic", "lower n"
    )
    replicates = _Replicates(estimate, reasons, lag)

    def so_far() -> BootstrapResult | None:
        return replicates.summary(level, kind, n) if len(replicates.values) >= 2 else None

    with interruptible(
        "bootstrap", so_far, total=n, progress=progress, callback=callback
    ) as monitor:
        for replicate in range(n):
            replicates.add(draw(replicate), statistic, reversible)
            monitor(replicate + 1)
    found = so_far()
    if replicates.reasons:
        warn_unconverged(f"bootstrap: the estimate or a replicate: {replicates.reasons[0]}")
    if found is None:
        failures = replicates.failures
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
    """Values of the statistic on the replicates so far, and why others have none."""

    def __init__(self, estimate: npt.ArrayLike, reasons: list[str], lag: int) -> None:
        self.estimate, self.lag = estimate, lag
        self.reasons = reasons  # why something did not converge
        self.values: list[npt.ArrayLike] = []
        self.failures: dict[str, int] = {}
        self.n_reduced = 0

    def add(self, counts: sp.csr_array, statistic: Statistic, reversible: bool) -> None:
        try:
            with shortfalls() as reasons:
                value, reduced = _evaluate(counts, statistic, reversible, self.lag)
            self.reasons += reasons
            self.n_reduced += reduced
            if np.shape(value) != np.shape(self.estimate):
                raise InvalidChainError(
                    f"shape {np.shape(value)}, not {np.shape(self.estimate)}: states are missing"
                )
            if not np.isfinite(value).all():
                raise InvalidChainError("not finite")
            self.values.append(value)
        except FastebmError as error:
            reason = type(error).__name__
            if isinstance(error, InvalidChainError):
                reason = f"{reason}: {error}"
            self.failures[reason] = self.failures.get(reason, 0) + 1

    def summary(self, level: float, kind: str, n: int) -> BootstrapResult:
        replicates = np.array(self.values)
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
            n_failed=sum(self.failures.values()),
            failures=dict(self.failures),
            n_reduced=self.n_reduced,
            replicates=replicates,
            converged=not self.reasons,
        )


def _evaluate(
    counts: sp.csr_array, statistic: Statistic, reversible: bool, lag: int
) -> tuple[npt.ArrayLike, bool]:
    """(the statistic of the chain of `counts`, whether states were lost)."""
    kept = connected_set(counts)
    labels = kept.states.tolist()
    chain = MarkovChain.from_counts(kept, reversible=reversible, labels=labels, lag=lag)
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

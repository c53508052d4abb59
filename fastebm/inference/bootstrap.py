"""Sampling error of anything computed from counts: whole trajectories resampled, or rows drawn anew."""

import numpy as np
import scipy.sparse as sp

from .. import _core
from .._runtime import validate
from .._runtime.progress import interruptible
from .._runtime.random import philox_key
from .._runtime.results import Result, result
from .._runtime.threads import resolve_threads
from ..chains.chain import MarkovChain
from ..counts.connected_set import connected_set
from ..counts.matrix import CountMatrix, TransitionCounts
from ..counts.transitions import as_trajectories, count_transitions
from ..errors import FastebmError, InvalidChainError


@result
class BootstrapResult(Result):
    """A statistic with its sampling error.

    Attributes
    ----------
    estimate : float or ndarray
        The statistic of the data themselves.
    std_error, lower, upper : float or ndarray
        Standard deviation and percentile interval over the replicates.
    level : float
    kind : "trajectories" | "rows"
    n : int
        Replicates asked for.
    n_failed : int
        Replicates on which the statistic raised, or gave NaN or another shape; they are left out. `failures` counts the reasons.
    failures : dict str -> int
    n_reduced : int
        Replicates whose chain lost states, because they were not drawn or no longer led back; the statistic saw the largest
        strongly connected set.
    replicates : ndarray (n - n_failed, ...)
    """

    estimate: object
    std_error: object
    lower: object
    upper: object
    level: float
    kind: str
    n: int
    n_failed: int
    failures: dict
    n_reduced: int
    replicates: np.ndarray


def bootstrap(
    trajectories_or_counts,
    statistic,
    *,
    n=999,
    level=0.95,
    reversible=False,
    lag=1,
    mode="sliding",
    rng=None,
    num_threads=None,
    progress=False,
    callback=None,
):
    """Interval for a statistic of the chain estimated from data.

    Parameters
    ----------
    trajectories_or_counts : list of int arrays, or counts
        Trajectories are resampled whole, with replacement, which respects that their transitions depend on one another (at least
        two are needed). Counts are drawn row by row from multinomials, which takes transitions for independent.
    statistic : callable
        statistic(chain) -> float or array, for example ``lambda chain: fe.spectral_gap(chain).gap``. The chain's labels number its
        states in the data.
    n : int
        Replicates.
    level : float
        Of the percentile interval.
    reversible : bool
        Estimate the reversible chain each time.

    Returns
    -------
    BootstrapResult

    Raises
    ------
    Interrupted
        Ctrl-C; `partial` is the BootstrapResult of the replicates done.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> found = fe.bootstrap(np.array([[80, 20], [30, 70]]), lambda chain: chain.pi[0], n=199, rng=0)
    >>> round(found.estimate, 3), bool(found.lower < 0.6 < found.upper)
    (0.6, True)
    """
    n = validate.count(n, "n", 2)
    level = validate.number(level, "level", above=0.0, below=1.0)
    threads = resolve_threads(num_threads)
    key = philox_key(rng)
    is_counts = (
        sp.issparse(trajectories_or_counts)
        or isinstance(trajectories_or_counts, TransitionCounts)
        or (
            isinstance(trajectories_or_counts, np.ndarray)
            and trajectories_or_counts.ndim == 2
            and trajectories_or_counts.shape[0] == trajectories_or_counts.shape[1]
        )
    )
    if is_counts:
        data = CountMatrix(
            trajectories_or_counts, whole="rows are drawn as whole counts; round them"
        )
        draw = _rows(data, key, threads)
    else:
        draw, data = _trajectories(list(as_trajectories(trajectories_or_counts)), lag, mode, key)
    kind = "rows" if is_counts else "trajectories"
    estimate, reduced = _evaluate(data.scipy(), statistic, reversible)
    values, failures, n_reduced = [], {}, 0

    def so_far():
        return (
            _summary(estimate, values, level, kind, n, failures, n_reduced)
            if len(values) >= 2
            else None
        )

    with interruptible(
        "bootstrap", so_far, total=n, progress=progress, callback=callback
    ) as monitor:
        for replicate in range(n):
            try:
                value, reduced = _evaluate(draw(replicate), statistic, reversible)
                n_reduced += reduced
                if np.shape(value) != np.shape(estimate):
                    raise InvalidChainError(
                        f"shape {np.shape(value)}, not {np.shape(estimate)}: states are missing"
                    )
                if not np.isfinite(value).all():
                    raise InvalidChainError("not finite")
                values.append(value)
            except FastebmError as error:
                reason = (
                    f"{type(error).__name__}: {error}"
                    if isinstance(error, InvalidChainError)
                    else type(error).__name__
                )
                failures[reason] = failures.get(reason, 0) + 1
            monitor(replicate + 1)
    if len(values) < 2:
        raise InvalidChainError(
            f"the statistic failed on {sum(failures.values())} of {n} replicates: {failures}"
        )
    return so_far()


def _summary(estimate, values, level, kind, n, failures, n_reduced):
    replicates = np.array(values)
    lower, upper = np.quantile(replicates, [(1 - level) / 2, (1 + level) / 2], axis=0)
    spread = replicates.std(axis=0, ddof=1)
    scalar = np.ndim(estimate) == 0
    plain = (lambda value: float(value)) if scalar else np.asarray
    return BootstrapResult(
        estimate=plain(estimate),
        std_error=plain(spread),
        lower=plain(lower),
        upper=plain(upper),
        level=level,
        kind=kind,
        n=n,
        n_failed=sum(failures.values()),
        failures=dict(failures),
        n_reduced=n_reduced,
        replicates=replicates,
    )


def _evaluate(counts, statistic, reversible):
    """(the statistic of the chain of `counts`, whether states were lost)."""
    kept = connected_set(counts)
    chain = MarkovChain.from_counts(kept.counts, reversible=reversible, labels=kept.states.tolist())
    return statistic(chain), kept.fraction_states < 1.0


def _rows(data, key, threads):
    matrix = data.matrix

    def draw(replicate):
        drawn = _core.resample_rows(
            matrix.indptr, matrix.values, data.total, key, replicate, threads
        )
        return sp.csr_array((drawn, matrix.indices, matrix.indptr), shape=(data.n_states,) * 2)

    return draw


def _trajectories(trajectories, lag, mode, key):
    """(draw(replicate), CountMatrix of all): each trajectory's counts once, then weighted sums of them."""
    if len(trajectories) < 2:
        raise InvalidChainError(
            "resampling whole trajectories needs at least two; pass counts to draw rows instead"
        )
    whole = count_transitions(trajectories, lag=lag, mode=mode)
    n_states = whole.counts.shape[0]
    pattern = whole.counts.tocoo()
    code = pattern.row.astype(np.int64) * n_states + pattern.col
    order = np.argsort(code)
    rows = []
    for x in trajectories:
        x = np.asarray(x, np.int64)
        source, target = (
            x[: -lag : 1 if mode == "sliding" else lag],
            x[lag :: 1 if mode == "sliding" else lag],
        )
        found, times = np.unique(source * n_states + target, return_counts=True)
        at = order[np.searchsorted(code, found, sorter=order)]
        rows.append(
            sp.csr_array(
                (times.astype(float), (np.zeros(len(at), np.int64), at)), shape=(1, len(code))
            )
        )
    table = sp.vstack(rows).tocsr()

    def draw(replicate):
        generator = np.random.Generator(np.random.Philox(key=key, counter=[0, 0, replicate, 0]))
        times = np.bincount(generator.integers(0, len(rows), len(rows)), minlength=len(rows))
        return sp.csr_array((times @ table, (pattern.row, pattern.col)), shape=(n_states, n_states))

    return draw, CountMatrix(whole)

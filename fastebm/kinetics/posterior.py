"""Chains drawn from their posterior given counts, for error bars of anything (Noe 2008;
Trendelkamp-Schroer, Wu, Paul & Noe 2015)."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core
from .._runtime import validate
from .._runtime.checkpoint import fingerprint, remembered_seed
from .._runtime.memory import forecast_memory
from .._runtime.random import philox_key
from .._runtime.results import Result, result
from .._runtime.resumable import resumable
from .._runtime.threads import resolve_threads
from .._runtime.time_unit import Clock
from .._runtime.types import RNG, Callback, FloatArray, Int32Array, IntArray, Labels, Path
from .._runtime.warn import shortfalls, warn_unconverged
from ..chains.chain import MarkovChain
from ..counts.matrix import CountMatrix, CountsLike
from ..errors import FastebmError, InvalidChainError
from ..inference.bootstrap import Statistic
from ..patterns.pattern import Pattern
from .samplers import FEWEST, DirichletRows, GibbsFlows

# The variance of the means of half chains over that of independent samples: up to about 5 it is
# what independent samples have in the worst of many states.
MAX_CORRELATION = 10.0


@result
class PosteriorEstimate(Result):
    """A statistic over the posterior.

    Attributes
    ----------
    mean, std : float or ndarray
    lower, upper : float or ndarray
        Quantiles: the statistic lies between them with probability `level`.
    level : float
    values : ndarray (n - n_failed, ...)
    n_failed : int
        Samples whose statistic raised an error or was not finite. `failures` counts the reasons.
    failures : dict str -> int
    converged : bool
        The samples', and no statistic issued a `ConvergenceWarning`.
    """

    mean: float | npt.NDArray[Any]
    std: float | npt.NDArray[Any]
    lower: float | npt.NDArray[Any]
    upper: float | npt.NDArray[Any]
    level: float
    values: npt.NDArray[Any]
    n_failed: int
    failures: dict[str, int]
    converged: bool


@result
class PosteriorSample(Result):
    """Chains drawn from the posterior; iterate over it, or ask for `chain(i)`.

    Attributes
    ----------
    n : int
    reversible : bool
    autocorrelation_time : float
        Largest over the states: variance of the mean of log pi over half chains, over that of
        independent samples; 1 for samples that are independent, NaN for fewer than 40 others.
    burn_in, thin : int
        Sweeps before the first sample of a chain, and from one to the next.
    lag : int
    time_unit : str or None
        Of the counts.
    converged : bool
        The samples are independent, or autocorrelation_time is at most 10. It does not show a part
        of the posterior that no chain has reached.
    """

    n: int
    reversible: bool
    autocorrelation_time: float
    burn_in: int
    thin: int
    lag: int
    time_unit: str | None
    converged: bool
    _values: FloatArray
    _indptr: IntArray
    _indices: Int32Array
    _labels: Labels | None

    def __len__(self) -> int:
        return self.n

    def __iter__(self) -> Iterator[MarkovChain]:
        return (self.chain(i) for i in range(self.n))

    def chain(self, i: int) -> MarkovChain:
        """The i-th chain.

        Parameters
        ----------
        i : int
            From 0 to n - 1.

        Returns
        -------
        MarkovChain

        Raises
        ------
        InvalidChainError
            There is no such sample.
        """
        i = validate.count(i, "i", minimum=0)
        if i >= self.n:
            raise InvalidChainError(f"i must be below the number of samples, {self.n}, got {i}")
        matrix = _core.Csr(self._indptr, self._indices, self._values[i])
        row = 1.0 / np.add.reduceat(self._values[i], self._indptr[:-1])
        clock: Clock = {"lag": self.lag, "time_unit": self.time_unit}
        pattern = Pattern(matrix, symmetric=self.reversible)
        return MarkovChain._from_parts(pattern, row, labels=self._labels, **clock)

    def estimate(self, statistic: Statistic, *, level: float = 0.95) -> PosteriorEstimate:
        """Mean, deviation and interval of a statistic.

        Parameters
        ----------
        statistic : callable
            statistic(chain) -> float or array, for example
            ``lambda chain: fe.spectral_gap(chain).gap``.
        level : float

        Returns
        -------
        PosteriorEstimate

        Raises
        ------
        InvalidChainError
            The statistic failed on all samples but one.

        Examples
        --------
        >>> import numpy as np, fastebm as fe
        >>> sample = fe.sample_posterior(np.array([[80, 20], [30, 70]]), 400, rng=0)
        >>> found = sample.estimate(lambda chain: chain.pi[0])
        >>> bool(found.lower < 0.6 < found.upper)
        True
        """
        level = validate.number(level, "level", above=0.0, below=1.0)
        values, failures = [], dict[str, int]()
        with shortfalls() as reasons:
            for chain in self:
                try:
                    value = np.asarray(statistic(chain))
                    if not np.isfinite(value).all():
                        raise InvalidChainError("not finite")
                    values.append(value)
                except FastebmError as error:
                    reason = f"{type(error).__name__}: {error}"
                    failures[reason] = failures.get(reason, 0) + 1
        if len(values) < 2:
            raise InvalidChainError(
                f"the statistic failed on {self.n - len(values)} of {self.n} samples: {failures}"
            )
        for text in reasons:
            warn_unconverged(f"estimate: {text}")
        found = np.array(values)
        ends = np.quantile(found, [(1 - level) / 2, (1 + level) / 2], axis=0)

        def plain(value: Any) -> float | npt.NDArray[Any]:
            return float(value) if found.ndim == 1 else np.asarray(value)

        return PosteriorEstimate(
            mean=plain(found.mean(axis=0)),
            std=plain(found.std(axis=0, ddof=1)),
            lower=plain(ends[0]),
            upper=plain(ends[1]),
            level=level,
            values=found,
            n_failed=self.n - len(values),
            failures=failures,
            converged=self.converged and not reasons,
        )


def sample_posterior(
    counts: CountsLike,
    n: int,
    *,
    reversible: bool = True,
    burn_in: int = 100,
    thin: int = 10,
    labels: Labels | None = None,
    rng: RNG = None,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> PosteriorSample:
    """Draw n chains from the posterior given counts.

    Parameters
    ----------
    counts : sparse or dense (n_states, n_states), TransitionCounts or ConnectedSet
        Not negative. Transitions should be independent: of sliding counts at a lag, divide by the
        lag (`mode="sample"` counts none twice), or error bars are too narrow.
    n : int
        Samples.
    reversible : bool
        Reversible chains; the counts must then be strongly connected.
    burn_in, thin : int
        Sweeps before the first reversible sample, and from one to the next.
    labels : sequence, optional
        Names of the states; default those of the counts.
    rng : seed or Generator, optional
        The samples depend on it and the arguments, not on the number of threads.
    num_threads, progress, callback, checkpoint
        As in `simulate_hitting_times`. The checkpoint keeps the samples so far.

    Returns
    -------
    PosteriorSample
        A warning is given if it is not converged.

    Raises
    ------
    ReducibleChainError
        With reversible=True: the counts are not strongly connected (`connected_set` keeps the
        largest part that is).
    InvalidChainError
        A state without departures, or counts so small (below 0.01) that the flows of a reversible
        sample leave the range of doubles.
    MemoryForecastError
        The samples do not fit.
    Interrupted
        Ctrl-C; `partial` is None.

    Notes
    -----
    Without detailed balance rows are independent Dirichlet laws with the counts as parameters. The
    reversible posterior has the density ``prod_{x <= y} X(x, y)^(n(x, y) + n(y, x) - 1) / prod_x
    X(x)^n(x)`` of the flows X on the pattern of the counts: the sparse prior, under which means are
    those of the counts. Four chains of Gibbs steps draw single flows, and all flows inside of sets
    of states, from their exact conditional laws; the sets are those that join first in descending
    order of counts, so that metastable sets move as wholes.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> counts = np.array([[90, 10, 0], [8, 80, 12], [0, 9, 91]])
    >>> sample = fe.sample_posterior(counts, 200, rng=0)
    >>> all(chain.is_reversible for chain in sample), sample.converged
    (True, True)
    >>> gap = sample.estimate(lambda chain: fe.spectral_gap(chain).gap)
    >>> best = fe.MarkovChain.from_counts(counts, reversible=True)
    >>> bool(gap.lower < fe.spectral_gap(best).gap < gap.upper)
    True
    """
    n, burn_in = validate.count(n, "n"), validate.count(burn_in, "burn_in", minimum=0)
    thin, reversible = validate.count(thin, "thin"), validate.flag(reversible, "reversible")
    threads = resolve_threads(num_threads)
    data = CountMatrix(counts, labels=labels)
    if not (data.total > 0.0).all():
        raise InvalidChainError(
            f"state {data.name(int(np.argmin(data.total)))} has no departure; keep the part that "
            "has with connected_set(counts)"
        )
    if reversible:
        data.require_strongly_connected("the reversible posterior")
    forecast_memory(8 * n * (2 * data.matrix.nnz + data.n_states), f"n = {n:,} samples", "lower n")
    rng = remembered_seed(rng, checkpoint)
    key = philox_key(rng)
    draw: DirichletRows | GibbsFlows
    if reversible and data.n_states > 1:
        draw = GibbsFlows(data, n, burn_in, thin, key, threads)
    else:
        draw = DirichletRows(data, n, key, threads)
    with resumable(
        "sample_posterior",
        checkpoint,
        lambda: fingerprint(
            data.matrix.indptr,
            data.matrix.indices,
            data.values,
            [n, reversible, burn_in, thin],
            key,
        ),
        state=draw.state,
        restore=draw.restore,
        partial=lambda: None,
        total=n,
        progress=progress,
        callback=callback,
        seed=rng,
    ) as monitor:
        while draw.n_done < n:
            draw.step()
            monitor.save()
            monitor(draw.n_done)
    correlation = draw.autocorrelation_time()
    converged = correlation <= MAX_CORRELATION
    if not converged:
        warn_unconverged(
            f"sample_posterior: {n} samples are too few to tell whether they are independent; "
            f"raise n to {FEWEST} or more"
            if math.isnan(correlation)
            else f"sample_posterior: samples are correlated over {correlation:.3g} of them; raise "
            "thin and burn_in"
        )
    return PosteriorSample(
        n=n,
        reversible=reversible,
        autocorrelation_time=correlation,
        burn_in=burn_in,
        thin=thin,
        lag=data.lag,
        time_unit=data.time_unit,
        converged=converged,
        _values=draw.values,
        _indptr=draw.indptr,
        _indices=draw.indices,
        _labels=data.labels,
    )

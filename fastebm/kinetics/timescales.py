"""Implied timescales of chains estimated at several lags, which are constant where the states make
a Markov process (Swope, Pitera & Suits 2004)."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .._runtime import validate
from .._runtime.checkpoint import remembered_seed
from .._runtime.packing import pack, unpack
from .._runtime.results import Result, result
from .._runtime.resumable import resumable, stage
from .._runtime.threads import resolve_threads
from .._runtime.time_unit import checked_time_unit
from .._runtime.types import RNG, Callback, FloatArray, IntArray, Path
from .._runtime.warn import shortfalls, warn_unconverged
from ..chains.chain import MarkovChain
from ..errors import InvalidChainError
from ..linalg.ritz import NumberArray
from ..spectral.eigenpairs import eigenpairs
from .estimate import LaggedCounts, Resampling, TrajectoriesLike, resampling_number


@result
class ImpliedTimescales(Result):
    """Timescales ``-lag / log(eigenvalue)`` against the lag, slowest first.

    Attributes
    ----------
    lags : ndarray int (n_lags,)
    timescales : ndarray (n_lags, k)
        In steps of the data, without the stationary process. NaN where there is none; `undefined`
        says why.
    lower, upper : ndarray (n_lags, k) or None
        Percentile interval over the bootstrap replicates in which the timescale is defined.
    level : float
        Of the interval.
    eigenvalues : ndarray (n_lags, k)
        Of largest real part, without 1; complex if one of them is; NaN if there is none.
    n_states : ndarray int (n_lags,)
        Size of the largest connected set at each lag.
    fraction_counts : ndarray (n_lags,)
        Share of all counts that it holds.
    n_undefined : ndarray int (n_lags, k)
        Replicates without this timescale: the statistic failed, or the eigenvalue was negative or
        complex.
    undefined : list of str
        The reason for each NaN of `timescales`.
    time_unit : str or None
        The physical time of one step of the data.
    converged : bool
        Every fit and every eigenvalue.
    """

    lags: IntArray
    timescales: FloatArray
    lower: FloatArray | None
    upper: FloatArray | None
    level: float
    eigenvalues: NumberArray
    n_states: IntArray
    fraction_counts: FloatArray
    n_undefined: IntArray
    undefined: list[str]
    time_unit: str | None
    converged: bool


class _AtLag(NamedTuple):
    """What is known at one lag; `replicates` are eigenvalues, (n_good, k)."""

    values: npt.NDArray[np.complex128]
    rates: npt.NDArray[np.complex128]
    n_states: int
    fraction_counts: float
    replicates: npt.NDArray[np.complex128]


def implied_timescales(
    trajectories: TrajectoriesLike,
    lags: Sequence[int] | npt.NDArray[np.integer],
    *,
    k: int,
    reversible: bool = True,
    bootstrap: int = 0,
    level: float = 0.95,
    time_unit: str | None = None,
    rng: RNG = None,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> ImpliedTimescales:
    """The k slowest implied timescales of the chains that are estimated at several lags.

    Parameters
    ----------
    trajectories : list of int arrays, one int array, or path
        As in `count_transitions`. Transitions are counted at every step of the data ("sliding"),
        and each chain lives on the largest connected set of its counts.
    lags : sequence of int
    k : int
        Timescales, without the stationary process.
    reversible : bool
        Estimate reversible chains.
    bootstrap : int
        Replicates of whole trajectories for the interval; 0 for none. At every lag the same
        trajectories are drawn.
    level : float
        Of the percentile interval.
    time_unit : str, optional
        The physical time of one step of the data, such as "0.2 ns".
    rng : seed or Generator, optional
    num_threads, progress, callback, checkpoint
        As in `simulate_hitting_times`. The checkpoint keeps the lags that are done and the
        replicates of the one under way.

    Returns
    -------
    ImpliedTimescales
        A timescale is the decay time of a process, so that a negative or complex eigenvalue has
        none: NaN, and the reason in `undefined`.

    Raises
    ------
    InvalidChainError
        A lag is not shorter than the longest trajectory, k + 1 states are connected at no lag, or
        fewer than two trajectories are resampled.
    Interrupted
        Ctrl-C; `partial` is None.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> chain = fe.MarkovChain(np.array([[0.99, 0.01], [0.02, 0.98]]))
    >>> paths = fe.simulate(chain, 20_000, n_walkers=4, rng=0)
    >>> found = fe.implied_timescales(list(paths), [1, 2, 5], k=1, time_unit="0.1 ns")
    >>> bool((abs(found.timescales[:, 0] * np.log(1 / 0.97) - 1) < 0.1).all())  # in steps
    True
    """
    lags = _checked_lags(lags)
    k, n = validate.count(k, "k"), resampling_number(bootstrap)
    level = validate.number(level, "level", above=0.0, below=1.0)
    reversible, threads = validate.flag(reversible, "reversible"), resolve_threads(num_threads)
    rng = remembered_seed(rng, checkpoint)
    seed = int(np.random.default_rng(rng).integers(2**63))
    data = LaggedCounts(trajectories, lags, checked_time_unit(time_unit))
    largest = max(len(kept.states) for kept in data.connected.values())
    if largest <= k:
        raise InvalidChainError(
            f"k = {k} timescales need {k + 1} connected states, and there are at most "
            f"{largest}; lower k or give more data"
        )
    if n:
        data.require_resampling(n, 32 * k + 128)
    how = Resampling(n, level, reversible, seed, threads)
    found: list[_AtLag] = []
    with (
        shortfalls() as reasons,
        resumable(
            "implied_timescales",
            checkpoint,
            lambda: data.identity(lags, k, *how[:4]),
            partial=lambda: None,
            total=len(lags),
            progress=progress,
            callback=callback,
            seed=rng,
        ) as monitor,
    ):
        for lag in lags:
            found.append(
                stage(
                    f"lag {lag}",
                    partial(_at_lag, data, lag, k, how),
                    pack=lambda value: pack(tuple(value)),
                    unpack=lambda arrays: _AtLag(*unpack(arrays)),
                )
            )
            monitor(len(found), lag=lag)
    for text in reasons:
        warn_unconverged(f"implied_timescales: {text}")
    return _packed(lags, found, how, time_unit, not reasons)


def _checked_lags(lags: object) -> list[int]:
    values = lags.tolist() if isinstance(lags, np.ndarray) else lags
    if not isinstance(values, (list, tuple, range)) or len(values) == 0:
        raise InvalidChainError("lags must be a list of at least one lag, such as [1, 2, 5, 10]")
    return [validate.count(lag, "each of lags") for lag in values]


def _at_lag(data: LaggedCounts, lag: int, k: int, how: Resampling) -> _AtLag:
    kept = data.connected[lag]
    chain = data.chain(lag, how.reversible, how.threads)
    values, rates = _leading(chain, k, how)
    replicates = np.empty((0, k), complex)
    if how.n:

        def statistic(drawn: MarkovChain) -> FloatArray:
            if drawn.n_states <= 1:
                raise InvalidChainError("one connected state has no timescale")
            leading = np.nan_to_num(_leading(drawn, k, how)[0], nan=-1.0)  # states are missing
            return np.stack([leading.real, leading.imag])

        drawn = data.resampled(lag, statistic, how).replicates
        replicates = drawn[:, 0] + 1j * drawn[:, 1]
    return _AtLag(values, rates, chain.n_states, kept.fraction_counts, replicates)


def _leading(
    chain: MarkovChain, k: int, how: Resampling
) -> tuple[npt.NDArray[np.complex128], npt.NDArray[np.complex128]]:
    """(eigenvalues, rates 1 - eigenvalue) after the first, (k,), NaN where there are fewer."""
    values, rates = np.full(k, np.nan, complex), np.full(k, np.nan, complex)
    if chain.n_states > 1:
        pairs = eigenpairs(chain, min(k + 1, chain.n_states), rng=how.seed, num_threads=how.threads)
        found = pairs.eigenvalues[1 : k + 1]
        values[: len(found)], rates[: len(found)] = found, pairs.rates[1 : k + 1]
    return values, rates


def _packed(
    lags: list[int], found: list[_AtLag], how: Resampling, time_unit: str | None, converged: bool
) -> ImpliedTimescales:
    values = np.array([each.values for each in found])
    times = np.array(
        [lag * _decay(each.values, each.rates) for lag, each in zip(lags, found, strict=True)]
    )
    lower = upper = None
    n_undefined = np.zeros(times.shape, dtype=np.int64)
    if how.n:
        ends = np.full((2, *times.shape), np.nan)
        for i, (lag, each) in enumerate(zip(lags, found, strict=True)):
            drawn = lag * _decay(each.replicates, 1.0 - each.replicates)
            good = ~np.isnan(drawn)
            n_undefined[i] = how.n - good.sum(axis=0)
            for j in np.flatnonzero(good.any(axis=0)):
                share = [(1 - how.level) / 2, (1 + how.level) / 2]
                ends[:, i, j] = np.quantile(drawn[good[:, j], j], share)
        lower, upper = ends
    return ImpliedTimescales(
        lags=np.array(lags, dtype=np.int64),
        timescales=times,
        lower=lower,
        upper=upper,
        level=how.level,
        eigenvalues=values if np.nanmax(np.abs(values.imag)) > 0.0 else values.real,
        n_states=np.array([each.n_states for each in found], dtype=np.int64),
        fraction_counts=np.array([each.fraction_counts for each in found]),
        n_undefined=n_undefined,
        undefined=[
            f"lag {lag}, timescale {j + 1}: {_reason(each.values[j], each.n_states)}"
            for row, lag, each in zip(times, lags, found, strict=True)
            for j in np.flatnonzero(np.isnan(row)).tolist()
        ],
        time_unit=time_unit,
        converged=converged,
    )


def _decay(values: npt.NDArray[np.complex128], rates: npt.NDArray[np.complex128]) -> FloatArray:
    """-1 / log(eigenvalue) of real eigenvalues in (0, 1), NaN of all others."""
    defined = (values.imag == 0.0) & (values.real > 0.0) & (values.real < 1.0)
    near_one = rates.real < 0.5  # there the rate holds more digits
    with np.errstate(all="ignore"):
        logs = np.where(near_one, np.log1p(-rates.real), np.log(values.real))
        return np.where(defined, -1.0 / logs, np.nan)


def _reason(value: complex, n_states: int) -> str:
    """Why an eigenvalue has no timescale."""
    if np.isnan(value):
        return f"no eigenvalue was found; {n_states} states are connected"
    if value.imag != 0.0:
        return f"the eigenvalue {value:.3g} is complex: an oscillation, which has no single decay"
    if value.real >= 1.0:
        return "the eigenvalue rounds to 1: the process does not relax within double precision"
    return f"the eigenvalue {value.real:.3g} is not positive: at this lag the process has decayed"

"""Targets too rare for plain Monte Carlo, by adaptive multilevel splitting (Cerou & Guyader 2007).

The results and the public functions; `splitting_run` holds the algorithm.
"""

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from .._runtime import validate
from .._runtime.results import Result, StepsResult, result
from .._runtime.types import RNG, Callback, FloatArray, Path, States
from .._runtime.warn import warn_unconverged
from ..chains.chain import MarkovChain, require_chain
from ..equilibrium.structure import hits_almost_surely, reachable
from ..errors import InvalidChainError
from .splitting_run import SplittingRun
from .statistics import skew_interval
from .walkers import require_stop

# A result is converged if its standard error is at most this share of the value: the interval then
# extends to about half the value on both sides.
MAX_REL_ERROR = 0.25


@result
class SplittingResult(Result):
    """The probability of a rare event from independent replicas of a splitting.

    Attributes
    ----------
    probability : float
        Mean of the replicas: unbiased, for every score and number of particles.
    ci : tuple of two floats
        95 % interval from the spread of the replicas, corrected for their skewness; asymptotic in
        `n_replicas`.
    std_error : float
    replicas : ndarray float64 (n_replicas,)
        Independent unbiased estimates; 0 where a replica lost all its particles.
    n_extinct : int
        Replicas that lost all their particles.
    n_levels : float
        Mean number of levels.
    n_particles, n_replicas, n_steps_total : int
    steps_per_second : float
    converged : bool
        The standard error is at most a quarter of the probability; and pi converged, if starts are
        drawn from it (otherwise `ci` is from 0 to 1).
    """

    probability: float
    ci: tuple[float, float]
    std_error: float
    replicas: FloatArray
    n_extinct: int
    n_levels: float
    n_particles: int
    n_replicas: int
    n_steps_total: int
    steps_per_second: float
    converged: bool


@result
class SplittingTimeResult(StepsResult):
    """A mean hitting time: the mean length of an excursion over the probability that it arrives.

    Attributes
    ----------
    mean : float
        ``cycle_mean / escape.probability``, in steps: consistent, not unbiased (the bias is of
        order 1 / n_replicas).
    ci : tuple of two floats
        95 % interval from the jackknife over the replicas, on the logarithm.
    std_error : float
    cycle_mean : float
        Mean steps of an excursion from the start until it is back or on the target. Long excursions
        that do not arrive and are rarer than one in n_particles * n_replicas are missed.
    escape : SplittingResult
        The probability that an excursion ends on the target.
    converged : bool
        The standard error is at most a quarter of the mean.
    """

    mean: float
    ci: tuple[float, float]
    std_error: float
    cycle_mean: float
    escape: SplittingResult
    converged: bool


def splitting_probability(
    chain: MarkovChain,
    start: npt.ArrayLike,
    target: States,
    avoid: States,
    *,
    score: npt.ArrayLike | None = None,
    n_particles: int = 1000,
    n_replicas: int = 32,
    rng: RNG = None,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> SplittingResult:
    """P(hit `target` before `avoid`) by adaptive multilevel splitting, for probabilities of 1e-12
    and far below.

    Parameters
    ----------
    chain : MarkovChain
    start : int or float array (n_states,)
        A state, or the distribution that starts are drawn from.
    target, avoid : bool mask (n_states,) or state numbers
        Disjoint. A walker must reach one of them with probability one.
    score : array_like (n_states,), optional
        A function that rises on the way to the target. The committor is optimal; the default is the
        chain's reward. It affects the variance only.
    n_particles : int
        Trajectories of a replica. The relative variance of a replica is about
        -log(probability) / n_particles at best.
    n_replicas : int
        Independent estimates, at least 2; the interval comes from them.
    rng : Generator, BitGenerator, SeedSequence, int or None
        The result depends on it and on the arguments, bit for bit, and not on `num_threads`.
    num_threads, progress, callback, checkpoint
        As in `simulate_hitting_times`; the checkpoint keeps finished groups of replicas, and the
        levels of the one under way.

    Returns
    -------
    SplittingResult

    Raises
    ------
    InvalidChainError
        A state out of range, overlapping sets, no score, or a start from which a walker may never
        reach `target` or `avoid`.
    Interrupted
        After Ctrl-C; ``.partial`` is the result of the finished replicas, None if there are fewer
        than two.

    Warns
    -----
    ConvergenceWarning
        The standard error exceeds a quarter of the probability; see `converged`.

    Notes
    -----
    Each trajectory is ranked by its highest score. In every iteration the trajectories at or below
    the k-th lowest rank, ties included, are replaced: a replacement follows a random survivor until
    it first exceeds that level and continues independently. The estimate is multiplied by the share
    of survivors (Brehier, Lelievre & Rousset 2015; ties and unbiasedness: Brehier, Gazeau,
    Goudenege, Lelievre & Rousset 2016). No trajectory is stored: a survivor's is walked again from
    its random numbers.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> up, n = 0.2, 16
    >>> P = np.diag([up] * n, 1) + np.diag([1 - up] * n, -1)
    >>> P[0, :2], P[n, n - 1:] = [1, 0], [0, 1]
    >>> chain, height = fe.MarkovChain(P), np.arange(n + 1)
    >>> found = fe.splitting_probability(chain, 1, [n], [0], score=height, rng=1)
    >>> exact = 3 / (4.0**n - 1)  # gambler's ruin, 7e-10
    >>> bool(found.ci[0] < exact < found.ci[1])
    True
    """
    run = SplittingRun(
        "splitting_probability",
        chain,
        start,
        target,
        avoid,
        score,
        n_particles,
        n_replicas,
        rng,
        checkpoint,
        num_threads,
        score_starts=True,
    )
    require_stop(chain, run.target | run.avoid, run.starts)
    known = _known_probability(run)
    if known is not None:
        return known
    found = run.run(progress, callback, lambda: _probability(run))
    if not found.converged and run.starts.converged:
        _warn(run.name, found.std_error, found.probability, found)
    return found


def splitting_hitting_time(
    chain: MarkovChain,
    start: int | npt.ArrayLike,
    target: States,
    *,
    score: npt.ArrayLike | None = None,
    n_particles: int = 1000,
    n_replicas: int = 32,
    rng: RNG = None,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> SplittingTimeResult:
    """The mean hitting time of a rare target from one state, by splitting excursions from it.

    Parameters
    ----------
    start : int
        One state outside the target, best one that is visited often. Several states would need the
        distribution of the visits among them, which is unknown.
    chain, target, score, n_particles, n_replicas, rng, num_threads, progress, callback, checkpoint
        As in `splitting_probability`.

    Returns
    -------
    SplittingTimeResult

    Raises
    ------
    InvalidChainError
        As in `splitting_probability`. Also if the target is missed with positive probability, so
        that the mean is infinite.
    Interrupted
        After Ctrl-C; ``.partial`` as in `splitting_probability`.

    Warns
    -----
    ConvergenceWarning
        The standard error exceeds a quarter of the mean; see `converged`.

    Notes
    -----
    An excursion ends back at the start or on the target, after sigma steps. Excursions are
    independent, so by Wald's identity ``E tau = E sigma / P(it ends on the target)``. E sigma is
    the mean over the initial trajectories of the splitting.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> chain = fe.MarkovChain(np.array([[0.9, 0.1, 0], [0.8, 0.1, 0.1], [0, 0.5, 0.5]]))
    >>> found = fe.splitting_hitting_time(chain, 0, [2], score=np.arange(3.0), rng=1)
    >>> bool(found.ci[0] < 100.0 < found.ci[1])
    True
    """
    require_chain(chain)
    states = validate.state_array(start, chain.n_states, "start", chain.labels)
    if len(states) != 1:
        raise InvalidChainError(
            f"start has {len(states)} states and splitting_hitting_time needs one: excursions from "
            "a set are not independent"
        )
    if validate.target_mask(target, chain.n_states, chain.labels)[states[0]]:
        raise InvalidChainError(
            f"start {states[0]} is on the target: its hitting time is 0; start elsewhere"
        )
    run = SplittingRun(
        "splitting_hitting_time",
        chain,
        states,
        target,
        states,
        score,
        n_particles,
        n_replicas,
        rng,
        checkpoint,
        num_threads,
        score_starts=False,
    )
    if not hits_almost_surely(chain, run.target)[states[0]]:
        raise InvalidChainError(
            f"from start {states[0]} the target is missed with positive probability, so the mean "
            "hitting time is infinite; use splitting_probability for the chance to reach it"
        )
    found = run.run(progress, callback, lambda: _mean_time(run))
    if not found.converged:
        _warn(run.name, found.std_error, found.mean, found.escape)
    return found


def _warn(name: str, std_error: float, value: float, found: SplittingResult) -> None:
    warn_unconverged(
        f"{name}: the standard error is {std_error:.3g} of {value:.3g} ({found.n_extinct} of "
        f"{found.n_replicas} replicas lost all particles); raise n_particles, or pass a score that "
        "rises steadily towards the target"
    )


def _known_probability(run: SplittingRun) -> SplittingResult | None:
    """The result if the graph determines it: 0 or 1; else None."""
    used = run.starts.support
    for goal, other, value in ((run.target, run.avoid, 0.0), (run.avoid, run.target, 1.0)):
        if not reachable(run.chain, goal, other)[used].any():
            return SplittingResult(
                probability=value,
                ci=(value, value),
                std_error=0.0,
                replicas=np.full(run.n_replicas, value),
                n_extinct=0,
                n_levels=0.0,
                n_particles=run.n_particles,
                n_replicas=run.n_replicas,
                n_steps_total=0,
                steps_per_second=0.0,
                converged=True,
            )
    return None


def _probability(run: SplittingRun) -> SplittingResult:
    """Of the finished replicas, at least two."""
    values, _, levels = run.finished.table.T
    n, mean, std = len(values), float(values.mean()), float(values.std(ddof=1))
    low, high = 0.0, 1.0
    if std > 0.0:
        low, high = skew_interval(mean, std, float(((values - mean) ** 3).mean()) / std**3, n)
    elif mean > 0.0:
        low = high = mean
    error = std / n**0.5
    if not run.starts.converged:
        low, high = 0.0, 1.0
    return SplittingResult(
        probability=mean,
        ci=(max(low, 0.0), min(high, 1.0)),
        std_error=error,
        replicas=values.copy(),
        n_extinct=int(np.count_nonzero(values == 0.0)),
        n_levels=float(levels.mean()),
        n_particles=run.n_particles,
        n_replicas=n,
        n_steps_total=run.finished.n_steps,
        steps_per_second=run.walks.steps_per_second,
        converged=bool(mean > 0.0 and error <= MAX_REL_ERROR * mean) and run.starts.converged,
    )


def _mean_time(run: SplittingRun) -> SplittingTimeResult:
    """Of the finished replicas, at least two."""
    escape, cycles = _probability(run), run.finished.table[:, 1]
    cycle, n = float(cycles.mean()), len(cycles)
    if escape.probability == 0.0:
        return SplittingTimeResult(
            lag=run.chain.lag,
            mean=np.inf,
            ci=(0.0, np.inf),
            std_error=np.inf,
            cycle_mean=cycle,
            escape=escape,
            converged=False,
        )
    mean = cycle / escape.probability
    with np.errstate(divide="ignore"):
        left_out = np.log((cycles.sum() - cycles) / (escape.replicas.sum() - escape.replicas))
    relative = np.inf
    if np.isfinite(left_out).all():
        relative = float(np.sqrt((n - 1) * np.mean((left_out - left_out.mean()) ** 2)))
    with np.errstate(over="ignore"):
        factor = float(np.exp(stdtrit(n - 1, 0.975) * relative))
    return SplittingTimeResult(
        lag=run.chain.lag,
        mean=mean,
        ci=(mean / factor, mean * factor),
        std_error=mean * relative,
        cycle_mean=cycle,
        escape=escape,
        converged=bool(relative <= MAX_REL_ERROR),
    )

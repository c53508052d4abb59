"""Hitting times by simulation. Every walker is counted, also those that did not arrive."""

import numpy as np
import numpy.typing as npt

from .._runtime import validate
from .._runtime.checkpoint import fingerprint, remembered_seed
from .._runtime.random import philox_key
from .._runtime.results import StepsResult, result
from .._runtime.resumable import resumable
from .._runtime.threads import resolve_threads
from .._runtime.types import RNG, Callback, Path, States
from .._runtime.warn import warn_unconverged
from ..chains.chain import MarkovChain, require_chain
from .hitting_run import HITS_BEFORE_STOP, HittingRun
from .statistics import Survival
from .walkers import Starts

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@result
class HittingSample(StepsResult):
    """Hitting times of simulated walkers, in steps; a walker that starts on the target counts 0.

    Attributes
    ----------
    mean : float
        Infinite if and only if some start that was used reaches the target with probability below
        one, whether or not a walker failed. Censored walkers count with the steps they made; the
        mean is then a lower bound in expectation.
    ci : tuple of two floats
        95 % interval of the mean, asymptotic: Student's quantiles corrected for the skewness of the
        times (Hall 1992), so that it extends further up where few walkers contribute most of the
        sum. With censored walkers its upper end is infinite and its lower end remains valid. 0 and
        inf if starts are drawn from a pi that did not converge.
    std : float
        Standard deviation of one hitting time (nan for one walker, infinite with an infinite mean).
    mean_given_hit : float
        Mean of the walkers that arrived, nan if none did; too small if walkers were censored.
    quantiles : dict float -> float
        From `survival`, for 5, 25, 50, 75 and 95 %: infinite where that share never arrives, nan
        where it had not arrived by the limit of steps. Exact for this sample if
        ``survival.time_resolution`` is 0.
    survival : Survival
        ``.times``, ``.probability``, ``.lower``, ``.upper``, ``.arrivals``: the Kaplan-Meier curve
        with its band, and the histogram.
    hit_states, hit_counts : ndarray int64 (k,)
        The target states that were hit first, and by how many walkers each.
    n_censored : int
        Walkers stopped by `max_steps` (or by an interruption) before they arrived.
    n_never : int
        Walkers stopped on a state from which no path leads to the target.
    mean_is_lower_bound : bool
    unseen_mass : float
        With starts drawn from a distribution: the mass of the states of mass below 3 / n_walkers,
        each of which is no walker's start with probability 5 % or more. Near 1 on a large chain
        without heavy states. With given starts: the share that no walker was assigned.
    blind_mass : float
        With starts drawn from a distribution: a set of slow starts of smaller mass is missed as a
        whole with probability 5 % or more (about 3 / n_walkers). 0 with given starts.
    n_steps_total, n_walkers, max_steps : int
        What was run.
    steps_per_second : float
        Of all walkers together, without tables, graph searches and what a checkpoint restored.
    converged : bool
        No walker was censored and, with `rel_ci`, the interval is that narrow; and pi converged, if
        starts are drawn from it.
    """

    mean: float
    ci: tuple[float, float]
    std: float
    mean_given_hit: float
    quantiles: dict[float, float]
    survival: Survival
    hit_states: npt.NDArray[np.int64]
    hit_counts: npt.NDArray[np.int64]
    n_censored: int
    n_never: int
    mean_is_lower_bound: bool
    unseen_mass: float
    blind_mass: float
    n_steps_total: int
    steps_per_second: float
    n_walkers: int
    max_steps: int
    converged: bool


def simulate_hitting_times(
    chain: MarkovChain,
    target: States,
    *,
    start: npt.ArrayLike | None = None,
    n_walkers: int = 10_000,
    max_steps: int = 1_000_000,
    rel_ci: float | None = None,
    rng: RNG = None,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> HittingSample:
    """Hitting times of a target by Monte Carlo: mean with interval, quantiles, survival curve.

    Walkers stop on the target, on a state from which no path leads to it (found by a graph search),
    or after `max_steps`. Each step draws one 64-bit word of the walker's own Philox4x64 stream; a
    probability below 2^-64 is never drawn. Neither paths nor walkers are kept: any `n_walkers`
    takes the same memory.

    Parameters
    ----------
    chain : MarkovChain
    target : bool mask (n_states,) or state numbers
    start : int, array_like of states, float array (n_states,), or None
        Where walkers start. Several states are assigned round robin; floats are the distribution
        that starts are drawn from. None: drawn from pi, which is computed if unknown.
    n_walkers : int
        With `rel_ci`, the upper limit.
    max_steps : int
        A walker that makes this many steps without arriving is censored: it is counted, and the
        mean becomes a lower bound.
    rel_ci : float, optional
        Stop once the upper half of the 95 % interval is at most this share of the mean and 1000
        walkers have arrived, or once the mean is known to be infinite. Checked after rounds of 1000
        walkers or a quarter of those done. Asymptotic: the coverage tends to 95 % as rel_ci tends
        to 0 (Chow & Robbins 1965). Like any sample it may miss rare slow starts.
    rng : Generator, BitGenerator, SeedSequence, int or None
        The result depends on it and on the arguments, bit for bit, and not on `num_threads`.
    num_threads, progress, callback
        Threads; a bar on stderr; a function called with a dict (done, step, walking, wall_s)
        several times a second.
    checkpoint : path, optional
        A file to which the progress is written every half a minute and at Ctrl-C. The same call
        resumes from it with the same bits (with ``rng=None`` on the same random numbers) and
        removes it when it is done. If it cannot be written later, a `CheckpointWarning` says so and
        the call goes on.

    Returns
    -------
    HittingSample

    Raises
    ------
    InvalidChainError
        A target, start or count out of range, or a checkpoint of another call.
    ReducibleChainError
        `start` is None and the stationary distribution is not unique.
    Interrupted
        After Ctrl-C; ``.partial`` is the HittingSample of the walkers so far, with the unfinished
        ones censored at their step.

    OSError
        No checkpoint can be written at that path.

    Warns
    -----
    ConvergenceWarning
        Walkers were censored, or the interval is wider than `rel_ci`; see `converged`.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> chain = fe.MarkovChain(np.array([[0.9, 0.1], [0.4, 0.6]]))
    >>> sample = fe.simulate_hitting_times(chain, [1], start=0, rng=1)
    >>> bool(sample.ci[0] < 10.0 < sample.ci[1])
    True
    """
    require_chain(chain)
    mask = validate.target_mask(target, chain.n_states, chain.labels)
    n_walkers = validate.count(n_walkers, "n_walkers")
    max_steps = validate.count(max_steps, "max_steps")
    rel_ci = None if rel_ci is None else validate.number(rel_ci, "rel_ci", above=0.0)
    num_threads = resolve_threads(num_threads)
    rng = remembered_seed(rng, checkpoint)
    key = philox_key(rng)
    starts = Starts(chain, start, key, num_threads)
    run = HittingRun(chain, mask, starts, key, max_steps, rel_ci, num_threads)

    def identity() -> str:
        return fingerprint(
            chain.fingerprint(), mask, *starts.identity, n_walkers, max_steps, rel_ci, key
        )

    with resumable(
        "simulate_hitting_times",
        checkpoint,
        identity,
        state=run.state,
        restore=run.restore,
        partial=lambda: _sample(run, chain.lag) if run.statistics().n else None,
        total=n_walkers,
        progress=progress,
        callback=callback,
        seed=rng,
    ) as monitor:
        run.run(n_walkers, monitor)
        sample = _sample(run, chain.lag)
    if not run.is_converged(run.statistics()):
        _warn(sample, rel_ci)
    return sample


def _sample(run: HittingRun, lag: int) -> HittingSample:
    """The result of all walkers begun so far, at least one."""
    statistics = run.statistics()
    n = statistics.n
    mean, ci, std = np.inf, (np.inf, np.inf), np.inf
    if run.all_hit_surely:
        mean, ci, std = statistics.moments()
    if not run.starts.converged:
        ci = (0.0, np.inf)
    survival = statistics.survival()
    hit = np.flatnonzero(statistics.hits)
    seconds, n_arrived = run.pacer.seconds, statistics.n_arrived
    return HittingSample(
        lag=lag,
        mean=mean,
        ci=(ci[0], np.inf) if statistics.n_censored else ci,
        std=std,
        mean_given_hit=statistics.total_arrived / n_arrived if n_arrived else np.nan,
        quantiles={
            q: np.inf if statistics.n_never > (1.0 - q) * n else survival.quantile(q)
            for q in QUANTILES
        },
        survival=survival,
        hit_states=run.targets[hit],
        hit_counts=statistics.hits[hit],
        n_censored=statistics.n_censored,
        n_never=statistics.n_never,
        mean_is_lower_bound=statistics.n_censored > 0 and run.all_hit_surely,
        unseen_mass=run.starts.unseen_mass(n),
        blind_mass=run.starts.blind_mass(n),
        n_steps_total=statistics.total,
        steps_per_second=(statistics.total - run.n_steps_before) / seconds if seconds else 0.0,
        n_walkers=n,
        max_steps=run.max_steps,
        converged=run.is_converged(statistics) and run.starts.converged,
    )


def _warn(sample: HittingSample, rel_ci: float | None) -> None:
    if sample.n_censored:
        text = (
            f"{sample.n_censored} of {sample.n_walkers} walkers had not arrived after "
            f"max_steps={sample.max_steps}: a finite mean is a lower bound, and the survival curve "
            "is valid up to there; raise max_steps to estimate the mean"
        )
    else:
        half = (sample.ci[1] - sample.mean) / sample.mean if sample.mean > 0 else 0.0
        text = (
            f"after {sample.n_walkers} walkers the upper half of the interval is {half:.3g} of the "
            f"mean; rel_ci={rel_ci:.3g} also needs {HITS_BEFORE_STOP} arrivals; raise n_walkers"
        )
    warn_unconverged(text)

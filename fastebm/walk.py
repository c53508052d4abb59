"""Monte Carlo: walkers that step through a chain until they hit a target, and recorded trajectories."""

import time
import warnings

import numpy as np
from scipy.special import stdtrit

from . import _core, _validate
from ._runtime import forecast_memory, interruptible, philox_key, resolve_threads
from .chain import is_chain
from .errors import ConvergenceWarning
from .results import Result, result
from .stationary import stationary
from .structure import certain, reachable

# Walkers that run together: many for the threads, few enough that 16 steps of all, the first call, take far below a second.
WALKERS_PER_ROUND = 65_536
SECONDS_PER_CALL = 0.2
# From here on a sequential stop believes the normal approximation (still blind to starts of mass below 3 / hits).
HITS_BEFORE_STOP = 1_000
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@result
class Survival(Result):
    """The Kaplan-Meier estimate of P(tau > t): right-continuous, constant between the times.

    Attributes
    ----------
    times : ndarray int64 (k,)
        0 and the steps at which walkers arrived, ascending.
    probability : ndarray float64 (k,)
        The share that has not arrived after that many steps; levels off at the share that never arrives.
    """

    times: np.ndarray
    probability: np.ndarray

    def quantile(self, q):
        """The first time t with P(tau <= t) >= q; nan where the curve does not come down that far."""
        below = self.probability <= 1.0 - q + 1e-9  # a product of rounded factors, one for each time
        return float(self.times[np.argmax(below)]) if below.any() else np.nan


@result
class HittingSample(Result):
    """Hitting times of simulated walkers, in steps; a walker that starts on the target counts 0.

    Attributes
    ----------
    mean : float
        Infinite exactly where a start that was used has a positive probability never to arrive, observed or not. With
        censored walkers, who count with the steps they made, a lower bound in expectation.
    ci : tuple of two floats
        95 % interval of the mean, ``mean -+ t std / sqrt(n_walkers)``: asymptotic. With censored walkers its upper end is
        infinite and its lower end remains valid.
    std : float
        Standard deviation of one hitting time (nan for one walker, infinite with an infinite mean).
    mean_given_hit : float
        Mean of the walkers that arrived, nan where none did; too small where walkers were censored.
    quantiles : dict float -> float
        From `survival`, for 5, 25, 50, 75 and 95 %: infinite where that share never arrives, nan where the limit of steps
        came first.
    survival : Survival
        ``.times``, ``.probability``: the Kaplan-Meier curve.
    n_censored : int
        Walkers stopped by `max_steps` (or by an interruption) before they arrived.
    n_never : int
        Walkers stopped on a state from which no path leads to the target.
    mean_is_lower_bound : bool
    unseen_mass : float
        With starts drawn from pi, the mass of the states of mass below 3 / n_walkers, each with a chance of 5 % or more to be
        no walker's start: near 1 on a large chain without heavy states. With given starts, the share that was not dealt.
    blind_mass : float
        With starts drawn from pi: a set of slow starts of smaller mass is missed as a whole with a probability of 5 % or
        more (about 3 / n_walkers). 0 with given starts.
    n_steps_total, n_walkers, max_steps : int
        What was run.
    steps_per_second : float
        Of all walkers together; tables and graph searches are not counted.
    converged : bool
        No walker was censored and, with `rel_ci`, the interval is that narrow.
    """

    mean: float
    ci: tuple
    std: float
    mean_given_hit: float
    quantiles: dict
    survival: Survival
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


def superior_states(score, level):
    """The states whose score reaches a level, the set A of the theory: ``score >= level``.

    Parameters
    ----------
    score : array_like (n_states,)
        Real numbers; -inf is allowed, NaN is not.
    level : float

    Returns
    -------
    ndarray bool (n_states,)

    Examples
    --------
    >>> import fastebm as fe
    >>> fe.superior_states([0.1, 0.9, 0.5], 0.5).tolist()
    [False, True, True]
    """
    score = _validate.real_array(score, "score")
    return _validate.vector(score, score.size, "score", allow_minus_inf=True) >= _validate.number(level, "level")


class _Pace:
    """Cuts steps into calls of about SECONDS_PER_CALL. The cut changes no result, so it may follow the clock."""

    def __init__(self):
        self.seconds = 0.0

    def __call__(self, walk, begin, end):
        """walk(begin, stop) for the stop that it returns. From step 0 on walkers only drop out, so that a call takes at most
        as long per step as the one before, and doubling the span at most doubles the time."""
        self.span = 16 if begin == 0 else self.span
        stop = min(end, begin + self.span)
        clock = time.perf_counter()
        walk(begin, stop)
        elapsed = time.perf_counter() - clock
        self.seconds += elapsed
        self.span = max(1, int(self.span * min(2.0, SECONDS_PER_CALL / max(elapsed, 1e-9))))
        return stop


class _Run:
    """The walkers of one call, run in rounds, and what a result needs at any moment.

    A round ends when all its walkers have: stopping as soon as enough have arrived would favour the fast ones.
    """

    def __init__(self, kernel, key, stop, states, max_steps, num_threads):
        self.kernel, self.key, self.max_steps, self.num_threads = kernel, key, max_steps, num_threads
        self.bits = np.packbits(np.pad(stop, (0, -len(stop) % 64)), bitorder="little").view("<u8").astype(np.uint64)
        self.states = states
        self.stop_time = np.full(len(states), -1, dtype=np.int64)
        self.done = 0  # walkers of finished rounds
        self.begun = 0  # those of the current round included
        self.step = 0  # of the current round
        self.pace = _Pace()

    def round(self, size, monitor):
        """Run the next `size` walkers until each has stopped or made max_steps."""
        own = slice(self.done, self.done + size)
        states, stop_time = self.states[own], self.stop_time[own]
        self.begun = own.stop

        def walk(begin, end):
            _core.walk_hit(self.kernel, self.key, self.bits, self.num_threads, own.start, begin, end, states, stop_time)

        walking = size
        while walking and self.step < self.max_steps:
            self.step = self.pace(walk, self.step, self.max_steps)
            walking = int(np.count_nonzero(stop_time < 0))
            monitor(own.stop - walking, step=self.step, walking=walking)
        self.done, self.step = own.stop, 0

    def times(self):
        """(steps made, stopped) of every walker begun. What an interrupted call did after `step` is left out: its arrivals
        without its survivors would bias the curve."""
        limit = np.full(self.begun, self.max_steps)
        limit[self.done :] = self.step
        steps = self.stop_time[: self.begun]
        stopped = (steps >= 0) & (steps <= limit)
        return np.where(stopped, steps, limit), stopped


def _starts(chain, start, n_walkers, rng, num_threads):
    """(key of the walkers' streams, starts int64 (n_walkers,), pi or None, the number of given starts)."""
    generator = np.random.default_rng(rng)
    key = philox_key(generator)
    if start is not None:
        given = _validate.state_array(start, chain.n_states, "start")
        return key, np.resize(given, n_walkers), None, len(given)
    pi = chain.pi if chain.pi is not None else stationary(chain, num_threads=num_threads).pi
    cdf = np.cumsum(pi)
    cdf /= cdf[-1]  # then u < 1 finds a state, and never one of mass zero
    return key, np.searchsorted(cdf, generator.random(n_walkers), side="right").astype(np.int64), pi, 0


def _survival(steps, arrived, never):
    """Kaplan & Meier (1958): at each arrival, the share of those still walking that did not arrive."""
    times, deaths = np.unique(steps[arrived], return_counts=True)
    left = np.sort(steps[~never])
    at_risk = len(left) - np.searchsorted(left, times) + np.count_nonzero(never)
    probability = np.cumprod(1.0 - deaths / at_risk)
    if len(times) == 0 or times[0] > 0:
        times, probability = np.append(0, times), np.append(1.0, probability)
    return Survival(times=times, probability=probability)


def _moments(steps, n_censored, is_infinite):
    """(mean, ci, std)."""
    if is_infinite:
        return np.inf, (np.inf, np.inf), np.inf
    n, mean = len(steps), float(steps.mean())
    if n == 1:
        return mean, (0.0, np.inf), np.nan
    std = float(steps.std(ddof=1))
    half = float(stdtrit(n - 1, 0.975) * std / np.sqrt(n))
    return mean, (max(0.0, mean - half), np.inf if n_censored else mean + half), std


def _sample(run, mask, sure, starts, pi, n_given, rel_ci):
    """The result of all walkers begun so far. sure: the states from which the target is hit with probability one."""
    steps, stopped = run.times()
    n = len(steps)
    arrived = stopped & mask[run.states[:n]]
    never = stopped & ~arrived
    n_censored, n_never = int(n - np.count_nonzero(stopped)), int(np.count_nonzero(never))
    mean, ci, std = _moments(steps, n_censored, not sure[starts[:n]].all())
    survival = _survival(steps, arrived, never)
    total, seconds = int(steps.sum()), run.pace.seconds
    narrow = rel_ci is None or np.isinf(mean) or ci[1] - mean <= rel_ci * mean
    enough = rel_ci is None or np.isinf(mean) or np.count_nonzero(arrived) >= HITS_BEFORE_STOP
    return HittingSample(
        mean=mean, ci=ci, std=std, mean_given_hit=float(steps[arrived].mean()) if arrived.any() else np.nan,
        quantiles={q: np.inf if n_never > (1.0 - q) * n else survival.quantile(q) for q in QUANTILES},
        survival=survival, n_censored=n_censored, n_never=n_never,
        mean_is_lower_bound=n_censored > 0 and bool(np.isfinite(mean)),
        unseen_mass=max(0.0, 1.0 - n / n_given) if pi is None else float(pi[pi < 3.0 / n].sum()),
        blind_mass=0.0 if pi is None else 1.0 - 0.05 ** (1.0 / n),
        n_steps_total=total, steps_per_second=total / seconds if seconds else 0.0, n_walkers=n,
        max_steps=run.max_steps, converged=n_censored == 0 and bool(narrow and enough),
    )


def simulate_hitting_times(
    chain, target, *, start=None, n_walkers=10_000, max_steps=1_000_000, rel_ci=None, rng=None, num_threads=None,
    progress=False, callback=None,
):
    """Hitting times of a target by Monte Carlo: mean with its interval, quantiles and the survival curve.

    Walkers stop on the target, on a state from which no path leads to it (a graph search finds these), or after `max_steps`.
    Each step draws one 64-bit word of the walker's own Philox4x64 stream; a probability below 2^-64 is never drawn.

    Parameters
    ----------
    chain : MarkovChain
    target : bool mask (n_states,) or state numbers
    start : int, array_like of states, or None
        Where walkers start; several states are dealt round robin. None: drawn from pi, which is computed where unknown.
    n_walkers : int
        With `rel_ci` the upper limit.
    max_steps : int
        A walker that makes this many steps without arriving is censored: counted, and the mean becomes a lower bound.
    rel_ci : float, optional
        Stop once the half width of the 95 % interval is at most this share of the mean and 1000 walkers have arrived,
        or the mean is known to be infinite; looked at after rounds of 1000 walkers or a quarter of those done. Asymptotic:
        the coverage approaches 95 % as rel_ci goes to 0 (Chow & Robbins 1965), blind to rare slow starts like any sample.
    rng : Generator, BitGenerator, SeedSequence, int or None
        The result depends on it and on the arguments, bit for bit, and not on `num_threads`.
    num_threads, progress, callback
        Threads; a bar on stderr; a function called with a dict (done, step, walking, wall_s) several times a second.

    Returns
    -------
    HittingSample

    Raises
    ------
    InvalidChainError
        A target, start or count out of range.
    ReducibleChainError
        `start` is None and the stationary distribution is not unique.
    Interrupted
        After Ctrl-C; ``.partial`` is the HittingSample of the walkers so far, the unfinished ones censored at their step.

    Warns
    -----
    ConvergenceWarning
        Walkers were censored, or the interval is wider than `rel_ci`; the result says so in `converged`.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> chain = fe.MarkovChain(np.array([[0.9, 0.1], [0.4, 0.6]]))
    >>> sample = fe.simulate_hitting_times(chain, [1], start=0, rng=1)
    >>> bool(sample.ci[0] < 10.0 < sample.ci[1])
    True
    """
    is_chain(chain)
    mask = _validate.target_mask(target, chain.n_states)
    n_walkers, max_steps = _validate.count(n_walkers, "n_walkers"), _validate.count(max_steps, "max_steps")
    rel_ci = None if rel_ci is None else _validate.number(rel_ci, "rel_ci", above=0.0)
    num_threads = resolve_threads(num_threads)
    key, starts, pi, n_given = _starts(chain, start, n_walkers, rng, num_threads)
    alive = reachable(chain, mask)
    sure = alive if alive.all() else certain(chain, mask)
    run = _Run(chain._alias(num_threads), key, mask | ~alive, starts.copy(), max_steps, num_threads)

    def sample():
        return _sample(run, mask, sure, starts, pi, n_given, rel_ci) if run.begun else None

    with interruptible("simulate_hitting_times", sample, total=n_walkers, progress=progress, callback=callback) as monitor:
        while run.done < n_walkers:
            size = WALKERS_PER_ROUND if rel_ci is None else max(HITS_BEFORE_STOP, run.done // 4)
            run.round(min(size, WALKERS_PER_ROUND, n_walkers - run.done), monitor)
            if rel_ci is not None and sample().converged:
                break
    found = sample()
    if not found.converged:
        _warn(found, rel_ci)
    return found


def _warn(sample, rel_ci):
    if sample.n_censored:
        text = (f"{sample.n_censored} of {sample.n_walkers} walkers had not arrived after max_steps={sample.max_steps}: a "
                "finite mean is a lower bound, the survival curve holds up to there; raise max_steps for the mean")
    else:
        half = (sample.ci[1] - sample.mean) / sample.mean if sample.mean > 0 else 0.0
        text = (f"after {sample.n_walkers} walkers the interval is the mean -+ {half:.3g} of it, rel_ci={rel_ci:.3g} and "
                f"{HITS_BEFORE_STOP} arrivals were asked for; raise n_walkers")
    warnings.warn(text, ConvergenceWarning, stacklevel=3)


def simulate(chain, n_steps, *, start=None, n_walkers=1, rng=None, num_threads=None, progress=False, callback=None):
    """Trajectories of independent walkers.

    Parameters
    ----------
    chain : MarkovChain
    n_steps : int
    start : int, array_like of states, or None
        As in `simulate_hitting_times`: several states are dealt round robin over the walkers, None draws from pi.
    n_walkers : int
    rng, num_threads, progress, callback
        As in `simulate_hitting_times`, where the same `rng` and starts walk the same paths.

    Returns
    -------
    ndarray int32 (int64 from 2^31 states on), shape (n_walkers, n_steps + 1)
        The state of each walker after 0, 1, ..., n_steps steps.

    Raises
    ------
    InvalidChainError
        A start or count out of range.
    MemoryForecastError
        The trajectories do not fit into free memory.
    Interrupted
        After Ctrl-C; ``.partial`` is the array with -1 for what was not reached.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> chain = fe.MarkovChain(np.array([[0.0, 1.0], [1.0, 0.0]]))
    >>> fe.simulate(chain, 4, start=[0, 1], n_walkers=2, rng=0).tolist()
    [[0, 1, 0, 1, 0], [1, 0, 1, 0, 1]]
    """
    is_chain(chain)
    n_steps, n_walkers = _validate.count(n_steps, "n_steps", 0), _validate.count(n_walkers, "n_walkers")
    num_threads = resolve_threads(num_threads)
    dtype = np.dtype(np.int32 if chain.n_states < 2**31 else np.int64)
    forecast_memory(n_walkers * ((n_steps + 1) * dtype.itemsize + 16), f"{n_walkers} trajectories of {n_steps} steps")
    key, states, _, _ = _starts(chain, start, n_walkers, rng, num_threads)
    kernel = chain._alias(num_threads)
    paths = np.empty((n_walkers, n_steps + 1), dtype=dtype)
    paths[:, 0] = states
    pace, first, step = _Pace(), 0, 0  # what has been done: all steps of the walkers below `first`, `step` of the next group

    def partial():
        paths[first : first + WALKERS_PER_ROUND, step + 1 :] = -1
        paths[first + WALKERS_PER_ROUND :, 1:] = -1
        return paths

    with interruptible("simulate", partial, total=n_walkers * n_steps, progress=progress, callback=callback) as monitor:
        while first < n_walkers:
            own = slice(first, first + WALKERS_PER_ROUND)

            def walk(begin, end, own=own):
                _core.walk_paths(kernel, key, num_threads, own.start, begin, end, states[own], paths[own])

            while step < n_steps:
                step = pace(walk, step, n_steps)
                monitor(first * n_steps + len(states[own]) * step, step=step)
            first, step = own.stop, 0
    return paths

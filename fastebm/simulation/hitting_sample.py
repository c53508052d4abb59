"""Hitting times by simulation: every walker counted, the censored ones too."""

import warnings
from typing import NamedTuple

import numpy as np

from .. import _core
from .._runtime import validate
from .._runtime.checkpoint import Checkpoint, fingerprint
from .._runtime.progress import interruptible
from .._runtime.random import philox_key
from .._runtime.results import Result, result
from .._runtime.threads import resolve_threads
from ..chains.chain import is_chain
from ..equilibrium.structure import hits_almost_surely, reachable
from ..errors import ConvergenceWarning
from .simulate import WALKERS_PER_ROUND
from .statistics import Survival, Tally
from .walkers import Pace, Starts, bit_set

# From here on a sequential stop believes the normal approximation (still blind to starts of mass below 3 / hits).
HITS_BEFORE_STOP = 1_000
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@result
class HittingSample(Result):
    """Hitting times of simulated walkers, in steps; a walker that starts on the target counts 0.

    Attributes
    ----------
    mean : float
        Infinite exactly where a start that was used has a positive probability never to arrive, observed or not. With
        censored walkers, who count with the steps they made, a lower bound in expectation.
    ci : tuple of two floats
        95 % interval of the mean, from Student's quantiles corrected for the skewness of the times (Hall 1992), so that it
        reaches further up where few walkers bring most of the sum: asymptotic. With censored walkers its upper end is
        infinite and its lower end remains valid.
    std : float
        Standard deviation of one hitting time (nan for one walker, infinite with an infinite mean).
    mean_given_hit : float
        Mean of the walkers that arrived, nan where none did; too small where walkers were censored.
    quantiles : dict float -> float
        From `survival`, for 5, 25, 50, 75 and 95 %: infinite where that share never arrives, nan where the limit of steps
        came first. Exact of this sample where ``survival.time_resolution`` is 0.
    survival : Survival
        ``.times``, ``.probability``, ``.lower``, ``.upper``, ``.arrivals``: the Kaplan-Meier curve with its band, and the
        histogram.
    hit_states, hit_counts : ndarray int64 (k,)
        The target states that were hit first, and by how many walkers each.
    n_censored : int
        Walkers stopped by `max_steps` (or by an interruption) before they arrived.
    n_never : int
        Walkers stopped on a state from which no path leads to the target.
    mean_is_lower_bound : bool
    unseen_mass : float
        With starts drawn from a distribution, the mass of the states of mass below 3 / n_walkers, each with a chance of 5 %
        or more to be no walker's start: near 1 on a large chain without heavy states. With given starts, the share that was
        not dealt.
    blind_mass : float
        With starts drawn from a distribution: a set of slow starts of smaller mass is missed as a whole with a probability
        of 5 % or more (about 3 / n_walkers). 0 with given starts.
    n_steps_total, n_walkers, max_steps : int
        What was run.
    steps_per_second : float
        Of all walkers together; tables and graph searches are not counted, nor what a checkpoint brought.
    converged : bool
        No walker was censored and, with `rel_ci`, the interval is that narrow.
    """

    mean: float
    ci: tuple
    std: float
    mean_given_hit: float
    quantiles: dict
    survival: Survival
    hit_states: np.ndarray
    hit_counts: np.ndarray
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


class _Reached(NamedTuple):
    """Where a run stands, replaced as a whole: an interruption finds it before or after a call into the core."""

    tally: Tally  # of finished rounds
    step: int = 0  # of the current round, whose walkers these are; none between rounds
    states: np.ndarray | None = None
    stop_time: np.ndarray | None = None


class _Run:
    """The walkers of one call, run in rounds, and what a result needs at any moment.

    A round ends when all its walkers have: stopping as soon as enough have arrived would favour the fast ones.
    """

    def __init__(self, chain, mask, starts, key, max_steps, rel_ci, num_threads):
        alive = reachable(chain, mask)
        self.sure = alive if alive.all() else hits_almost_surely(chain, mask)
        self.kernel, self.key, self.num_threads = (
            chain._scaled.walker(num_threads),
            key,
            num_threads,
        )
        self.mask, self.bits = mask, bit_set(mask | ~alive)
        self.targets = np.flatnonzero(mask)
        self.starts, self.max_steps, self.rel_ci = starts, max_steps, rel_ci
        self.pace, self.steps_before = Pace(), 0
        self.all_sure = True
        self.at = _Reached(Tally(len(self.targets)))

    @property
    def done(self):
        """Walkers of finished rounds."""
        return self.at.tally.n

    def round(self, size, monitor):
        """Run the next `size` walkers, or the round that a checkpoint left, until each has stopped or made max_steps."""
        tally, step, states, stop_time = self.at
        if states is None:
            states, stop_time = self.starts.take(tally.n, size), np.full(size, -1, dtype=np.int64)
            self.all_sure = self.all_sure and bool(self.sure[states].all())
        walking = np.count_nonzero(stop_time < 0)
        while walking and step < self.max_steps:
            states, stop_time = states.copy(), stop_time.copy()

            def walk(begin, end, states=states, stop_time=stop_time):
                _core.walk_hit(
                    self.kernel,
                    self.key,
                    self.bits,
                    self.num_threads,
                    tally.n,
                    begin,
                    end,
                    states,
                    stop_time,
                )

            step = self.pace(walk, step, self.max_steps)
            self.at = _Reached(tally, step, states, stop_time)
            walking = int(np.count_nonzero(stop_time < 0))
            monitor(tally.n + len(states) - walking, step=step, walking=walking)
        self.at = _Reached(self.tally())

    def tally(self):
        """Of all walkers begun; the unfinished ones count as censored at their step."""
        tally, step, states, stop_time = self.at
        if states is None:
            return tally
        walking = stop_time < 0
        number = np.full(len(states), -1, dtype=np.int64)
        arrived = ~walking & self.mask[states]
        number[arrived] = np.searchsorted(self.targets, states[arrived])
        return tally.plus(np.where(walking, step, stop_time), number, walking)

    def converged(self, tally):
        """Whether nobody was censored and, where asked for, the interval is narrow and rests on enough arrivals."""
        if tally.n_censored:
            return False
        if self.rel_ci is None or not self.all_sure:
            return True
        mean, ci, _ = tally.moments()
        return bool(tally.n_arrived >= HITS_BEFORE_STOP and ci[1] - mean <= self.rel_ci * mean)

    def sample(self):
        """The result of all walkers begun so far, or None."""
        tally = self.tally()
        n = tally.n
        if n == 0:
            return None
        mean, ci, std = tally.moments() if self.all_sure else (np.inf, (np.inf, np.inf), np.inf)
        survival = tally.survival()
        hit = np.flatnonzero(tally.hits)
        seconds = self.pace.seconds
        return HittingSample(
            mean=mean,
            ci=(ci[0], np.inf) if tally.n_censored else ci,
            std=std,
            mean_given_hit=tally.total_arrived / tally.n_arrived if tally.n_arrived else np.nan,
            quantiles={
                q: np.inf if tally.n_never > (1.0 - q) * n else survival.quantile(q)
                for q in QUANTILES
            },
            survival=survival,
            hit_states=self.targets[hit],
            hit_counts=tally.hits[hit],
            n_censored=tally.n_censored,
            n_never=tally.n_never,
            mean_is_lower_bound=tally.n_censored > 0 and self.all_sure,
            unseen_mass=self.starts.unseen_mass(n),
            blind_mass=self.starts.blind_mass(n),
            n_steps_total=tally.total,
            steps_per_second=(tally.total - self.steps_before) / seconds if seconds else 0.0,
            n_walkers=n,
            max_steps=self.max_steps,
            converged=self.converged(tally),
        )

    def state(self):
        tally, step, states, stop_time = self.at
        none = np.empty(0, dtype=np.int64)
        return tally.state() | {
            "key": self.key,
            "all_sure": np.array(self.all_sure),
            "step": np.array(step),
            "states": none if states is None else states,
            "stop_time": none if states is None else stop_time,
        }

    def load(self, state):
        self.key[:], self.all_sure = state["key"], bool(state["all_sure"])
        tally = Tally.from_state(state)
        inside = len(state["states"]) > 0
        self.at = (
            _Reached(tally, int(state["step"]), state["states"], state["stop_time"])
            if inside
            else _Reached(tally)
        )
        self.steps_before = self.tally().total


def simulate_hitting_times(
    chain,
    target,
    *,
    start=None,
    n_walkers=10_000,
    max_steps=1_000_000,
    rel_ci=None,
    rng=None,
    num_threads=None,
    progress=False,
    callback=None,
    checkpoint=None,
):
    """Hitting times of a target by Monte Carlo: mean with its interval, quantiles and the survival curve.

    Walkers stop on the target, on a state from which no path leads to it (a graph search finds these), or after `max_steps`.
    Each step draws one 64-bit word of the walker's own Philox4x64 stream; a probability below 2^-64 is never drawn. No path
    and no list of walkers is kept: any `n_walkers` takes the same memory.

    Parameters
    ----------
    chain : MarkovChain
    target : bool mask (n_states,) or state numbers
    start : int, array_like of states, float array (n_states,), or None
        Where walkers start; several states are dealt round robin; floats are the distribution that starts are drawn from.
        None: drawn from pi, which is computed where unknown.
    n_walkers : int
        With `rel_ci` the upper limit.
    max_steps : int
        A walker that makes this many steps without arriving is censored: counted, and the mean becomes a lower bound.
    rel_ci : float, optional
        Stop once the upper half of the 95 % interval is at most this share of the mean and 1000 walkers have arrived,
        or the mean is known to be infinite; looked at after rounds of 1000 walkers or a quarter of those done. Asymptotic:
        the coverage approaches 95 % as rel_ci goes to 0 (Chow & Robbins 1965), blind to rare slow starts like any sample.
    rng : Generator, BitGenerator, SeedSequence, int or None
        The result depends on it and on the arguments, bit for bit, and not on `num_threads`.
    num_threads, progress, callback
        Threads; a bar on stderr; a function called with a dict (done, step, walking, wall_s) several times a second.
    checkpoint : path, optional
        A file that keeps what was reached, every half a minute and at Ctrl-C; the same call goes on from it with the same
        bits (with ``rng=None`` on the same random numbers) and removes it when it is done.

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
    mask = validate.target_mask(target, chain.n_states)
    n_walkers, max_steps = (
        validate.count(n_walkers, "n_walkers"),
        validate.count(max_steps, "max_steps"),
    )
    rel_ci = None if rel_ci is None else validate.number(rel_ci, "rel_ci", above=0.0)
    num_threads = resolve_threads(num_threads)
    key = philox_key(rng)
    starts = Starts(chain, start, key, num_threads)
    run = _Run(chain, mask, starts, key, max_steps, rel_ci, num_threads)
    keeper = Checkpoint(
        checkpoint,
        "simulate_hitting_times",
        lambda: fingerprint(
            chain.fingerprint(),
            mask,
            starts.law,
            starts.given,
            n_walkers,
            max_steps,
            rel_ci,
            None if rng is None else [int(word) for word in key],
        ),
    )

    def partial():
        keeper.save(run.state, now=True)
        return run.sample()

    with interruptible(
        "simulate_hitting_times", partial, total=n_walkers, progress=progress, callback=callback
    ) as monitor:
        saved = keeper.load()
        if saved is not None:
            run.load(saved)

        def called(done, **info):
            keeper.save(run.state)
            monitor(done, **info)

        while run.done < n_walkers and not (
            rel_ci is not None and run.done and run.converged(run.at.tally)
        ):
            size = WALKERS_PER_ROUND if rel_ci is None else max(HITS_BEFORE_STOP, run.done // 4)
            run.round(min(size, WALKERS_PER_ROUND, n_walkers - run.done), called)
        found = run.sample()
    keeper.discard()
    if not found.converged:
        _warn(found, rel_ci)
    return found


def _warn(sample, rel_ci):
    if sample.n_censored:
        text = (
            f"{sample.n_censored} of {sample.n_walkers} walkers had not arrived after max_steps={sample.max_steps}: a "
            "finite mean is a lower bound, the survival curve holds up to there; raise max_steps for the mean"
        )
    else:
        half = (sample.ci[1] - sample.mean) / sample.mean if sample.mean > 0 else 0.0
        text = (
            f"after {sample.n_walkers} walkers the interval is the mean -+ {half:.3g} of it, rel_ci={rel_ci:.3g} and "
            f"{HITS_BEFORE_STOP} arrivals were asked for; raise n_walkers"
        )
    warnings.warn(text, ConvergenceWarning, stacklevel=3)

"""Targets too rare for plain Monte Carlo: adaptive multilevel splitting of trajectories (Cerou & Guyader 2007)."""

import warnings

import numpy as np
from scipy.special import stdtrit

from .._runtime import validate
from .._runtime.checkpoint import Checkpoint, fingerprint
from .._runtime.progress import interruptible
from .._runtime.random import philox_key
from .._runtime.results import Result, result
from .._runtime.threads import resolve_threads
from ..chains.chain import is_chain
from ..equilibrium.structure import hits_almost_surely, reachable
from ..errors import ConvergenceWarning, InvalidChainError
from .statistics import skew_interval
from .walkers import Starts, Watched, stops_for_certain, uniforms

# The share of particles that a level removes. Fewer would save 5 % of the variance at a tenth, but leave the threads
# without walkers.
KILLED = 0.1
# Replicas advanced side by side, which feeds the threads; a replica's numbers do not depend on its company.
TOGETHER = 16
# A wider interval than the value -+ half of it is called not converged.
MAX_REL_ERROR = 0.25


@result
class SplittingResult(Result):
    """The probability of a rare event from independent replicas of a splitting.

    Attributes
    ----------
    probability : float
        Mean of the replicas: unbiased, for every score and number of particles.
    ci : tuple of two floats
        95 % interval from the spread of the replicas, corrected for their skewness; asymptotic in `n_replicas`.
    std_error : float
    replicas : ndarray float64 (n_replicas,)
        Independent unbiased estimates; 0 where a replica lost all its particles.
    n_extinct : int
        Replicas that did.
    n_levels : float
        Mean number of levels.
    n_particles, n_replicas, n_steps_total : int
    steps_per_second : float
    converged : bool
        The standard error is at most a quarter of the probability.
    """

    probability: float
    ci: tuple
    std_error: float
    replicas: np.ndarray
    n_extinct: int
    n_levels: float
    n_particles: int
    n_replicas: int
    n_steps_total: int
    steps_per_second: float
    converged: bool


@result
class SplittingTimeResult(Result):
    """A mean hitting time as the mean length of an excursion over the probability that it arrives.

    Attributes
    ----------
    mean : float
        ``cycle_mean / escape.probability``, in steps: consistent, not unbiased (the bias is of order 1 / n_replicas).
    ci : tuple of two floats
        95 % interval from the jackknife over the replicas, on the logarithm.
    std_error : float
    cycle_mean : float
        Mean steps of an excursion from the start until it is back or on the target. Blind to long excursions that are rarer
        than one in n_particles * n_replicas and do not arrive.
    escape : SplittingResult
        The probability that an excursion ends on the target.
    converged : bool
        The standard error is at most a quarter of the mean.
    """

    mean: float
    ci: tuple
    std_error: float
    cycle_mean: float
    escape: SplittingResult
    converged: bool


def splitting_probability(
    chain,
    start,
    target,
    avoid,
    *,
    score=None,
    n_particles=1000,
    n_replicas=32,
    rng=None,
    num_threads=None,
    progress=False,
    callback=None,
    checkpoint=None,
):
    """P(hit `target` before `avoid`) by adaptive multilevel splitting, for probabilities of 1e-12 and far below.

    Parameters
    ----------
    chain : MarkovChain
    start : int or float array (n_states,)
        A state, or the distribution that starts are drawn from.
    target, avoid : bool mask (n_states,) or state numbers
        Disjoint. A walker must come to one of them with probability one.
    score : array_like (n_states,), optional
        What rises on the way to the target; the committor is best, the chain's reward the default. It decides about the
        variance only.
    n_particles : int
        Trajectories of a replica. The relative variance of a replica is about -log(probability) / n_particles at best.
    n_replicas : int
        Independent estimates, at least 2; the interval comes from them.
    rng : Generator, BitGenerator, SeedSequence, int or None
        The result depends on it and on the arguments, bit for bit, and not on `num_threads`.
    num_threads, progress, callback, checkpoint
        As in `simulate_hitting_times`; the checkpoint keeps finished groups of replicas.

    Returns
    -------
    SplittingResult

    Raises
    ------
    InvalidChainError
        A state out of range, overlapping sets, no score, or a start from which a walker may never stop.
    Interrupted
        After Ctrl-C; ``.partial`` is the result of the finished replicas, None where there are fewer than two.

    Warns
    -----
    ConvergenceWarning
        The standard error exceeds a quarter of the probability; the result says so in `converged`.

    Notes
    -----
    Every trajectory is worth its highest score. Again and again those at or below the k-th lowest worth, ties included, are
    replaced by trajectories that follow a random survivor until it first exceeds that level and go on by themselves; the
    estimate is multiplied by the share of survivors (Brehier, Lelievre & Rousset 2015; ties and unbiasedness: Brehier,
    Gazeau, Goudenege, Lelievre & Rousset 2016). No trajectory is stored: a survivor's is walked again from its random
    numbers.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> up, n = 0.2, 16
    >>> P = np.diag([up] * n, 1) + np.diag([1 - up] * n, -1)
    >>> P[0, :2], P[n, n - 1:] = [1, 0], [0, 1]
    >>> found = fe.splitting_probability(fe.MarkovChain(P), 1, [n], [0], score=np.arange(n + 1), rng=1)
    >>> exact = 3 / (4.0**n - 1)  # gambler's ruin, 7e-10
    >>> bool(found.ci[0] < exact < found.ci[1])
    True
    """
    call = _Call(
        "splitting_probability",
        chain,
        start,
        target,
        avoid,
        score,
        n_particles,
        n_replicas,
        rng,
        num_threads,
        looks=True,
    )
    stops_for_certain(chain, call.target | call.avoid, call.starts)
    known = call.known()
    if known is not None:
        return known
    found = call.run(progress, callback, checkpoint, call.probability)
    if not found.converged:
        _warn(call.name, found.std_error, found.probability, found)
    return found


def splitting_hitting_time(
    chain,
    start,
    target,
    *,
    score=None,
    n_particles=1000,
    n_replicas=32,
    rng=None,
    num_threads=None,
    progress=False,
    callback=None,
    checkpoint=None,
):
    """The mean hitting time of a rare target from one state, by splitting the excursions from that state.

    Parameters
    ----------
    start : int
        One state outside the target, best one that is visited often; with several the ratio would need the law of the
        visits, which is not known.
    chain, target, score, n_particles, n_replicas, rng, num_threads, progress, callback, checkpoint
        As in `splitting_probability`.

    Returns
    -------
    SplittingTimeResult

    Raises
    ------
    InvalidChainError
        As in `splitting_probability`; also where the target is missed with positive probability: the mean is infinite.
    Interrupted
        After Ctrl-C; ``.partial`` as there.

    Notes
    -----
    An excursion ends back at the start or on the target, after sigma steps. Excursions are independent, so by Wald's identity
    ``E tau = E sigma / P(it ends on the target)``. E sigma is the mean over the first trajectories of the splitting.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> chain = fe.MarkovChain(np.array([[0.9, 0.1, 0], [0.8, 0.1, 0.1], [0, 0.5, 0.5]]))
    >>> found = fe.splitting_hitting_time(chain, 0, [2], score=np.arange(3.0), rng=1)
    >>> bool(found.ci[0] < 100.0 < found.ci[1])
    True
    """
    is_chain(chain)
    start = validate.state_array(start, chain.n_states, "start")
    if len(start) != 1:
        raise InvalidChainError(
            "splitting_hitting_time needs one state as start: excursions from a set are not independent"
        )
    if validate.target_mask(target, chain.n_states)[start[0]]:
        raise InvalidChainError(
            f"start {start[0]} is on the target: its hitting time is 0; start elsewhere"
        )
    call = _Call(
        "splitting_hitting_time",
        chain,
        start,
        target,
        start,
        score,
        n_particles,
        n_replicas,
        rng,
        num_threads,
        looks=False,
    )
    if not hits_almost_surely(chain, call.target)[start[0]]:
        raise InvalidChainError(
            f"from start {start[0]} the target may be missed for ever: the mean hitting time is infinite"
        )
    found = call.run(progress, callback, checkpoint, call.time)
    if not found.converged:
        _warn(call.name, found.std_error, found.mean, found.escape)
    return found


def _warn(name, std_error, value, found):
    warnings.warn(
        f"{name}: the standard error is {std_error:.3g} of {value:.3g} ({found.n_extinct} of {found.n_replicas} replicas lost "
        "all particles); raise n_particles, or give a score that rises steadily towards the target",
        ConvergenceWarning,
        stacklevel=3,
    )


class _Call:
    """The checked arguments of a call, and the replicas that are done."""

    def __init__(
        self,
        name,
        chain,
        start,
        target,
        avoid,
        score,
        n_particles,
        n_replicas,
        rng,
        num_threads,
        *,
        looks,
    ):
        is_chain(chain)
        self.name, self.chain, self.looks = name, chain, looks
        self.target, self.avoid = (
            validate.target_mask(target, chain.n_states),
            _mask(avoid, chain.n_states),
        )
        both = np.flatnonzero(self.target & self.avoid)
        if len(both):
            raise InvalidChainError(
                f"state {both[0]} is in the target and is to be avoided; take it out of one of them"
            )
        self.n_particles = validate.count(n_particles, "n_particles", 2)
        self.n_replicas = validate.count(n_replicas, "n_replicas", 2)
        self.num_threads = resolve_threads(num_threads)
        if score is None and not isinstance(chain.reward, np.ndarray):
            raise InvalidChainError(
                "this chain has no reward vector to climb; pass score=, one number a state"
            )
        score = validate.vector(
            chain.reward if score is None else score, chain.n_states, "score", allow_minus_inf=True
        )
        # an arrival is above every level; a failure is not, even where its score is high
        self.score = np.where(self.target, np.inf, np.where(self.avoid, -np.inf, score))
        self.seeded, self.key = rng is not None, philox_key(rng)
        self.starts = Starts(chain, start, self.key, self.num_threads)
        if self.starts.given is not None and len(self.starts.given) != 1:
            raise InvalidChainError(
                "start must be one state or a distribution; give several states as a float array (n_states,)"
            )
        self.done = (
            np.empty((0, 3)),
            0,
        )  # (estimate, mean excursion, levels) of replicas, and steps: replaced as a whole
        self.walks = Watched(
            chain._scaled.walker(self.num_threads),
            self.key,
            self.target | self.avoid,
            self.num_threads,
        )

    def known(self):
        """The result where the graph knows it: 0 or 1; else None."""
        used = np.flatnonzero(self.starts.law) if self.starts.given is None else self.starts.given
        for goal, other, value in ((self.target, self.avoid, 0.0), (self.avoid, self.target, 1.0)):
            if not reachable(self.chain, goal, other)[used].any():
                return SplittingResult(
                    probability=value,
                    ci=(value, value),
                    std_error=0.0,
                    replicas=np.full(self.n_replicas, value),
                    n_extinct=0,
                    n_levels=0.0,
                    n_particles=self.n_particles,
                    n_replicas=self.n_replicas,
                    n_steps_total=0,
                    steps_per_second=0.0,
                    converged=True,
                )
        return None

    def run(self, progress, callback, checkpoint, summary):
        keeper = Checkpoint(
            checkpoint,
            self.name,
            lambda: fingerprint(
                self.chain.fingerprint(),
                self.target,
                self.avoid,
                self.score,
                self.starts.law,
                self.starts.given,
                self.n_particles,
                self.n_replicas,
                [int(word) for word in self.key] if self.seeded else None,
            ),
        )

        def partial():
            keeper.save(self.state, now=True)
            return summary() if len(self.done[0]) > 1 else None

        with interruptible(
            self.name, partial, total=self.n_replicas, progress=progress, callback=callback
        ) as monitor:
            saved = keeper.load()
            if saved is not None:
                self.load(saved)
            while (first := len(self.done[0])) < self.n_replicas:
                group = _Group(self, range(first, min(first + TOGETHER, self.n_replicas)))
                group.run(lambda: monitor(first, level=group.level, steps=self.walks.n_steps))
                self.done = np.append(self.done[0], group.outcome(), axis=0), self.walks.n_steps
                keeper.save(self.state)
                monitor(len(self.done[0]), steps=self.walks.n_steps)
        keeper.discard()
        return summary()

    def state(self):
        return {"key": self.key, "replicas": self.done[0], "n_steps": np.array(self.done[1])}

    def load(self, saved):
        self.key[:], self.done = saved["key"], (saved["replicas"], int(saved["n_steps"]))
        self.walks.resume(self.done[1])

    def probability(self):
        values, _, levels = self.done[0].T
        n, mean, std = len(values), float(values.mean()), float(values.std(ddof=1))
        low, high = 0.0, 1.0
        if std > 0.0:
            low, high = skew_interval(mean, std, float(((values - mean) ** 3).mean()) / std**3, n)
        elif mean > 0.0:
            low = high = mean
        error = std / n**0.5
        return SplittingResult(
            probability=mean,
            ci=(max(low, 0.0), min(high, 1.0)),
            std_error=error,
            replicas=values.copy(),
            n_extinct=int(np.count_nonzero(values == 0.0)),
            n_levels=float(levels.mean()),
            n_particles=self.n_particles,
            n_replicas=n,
            n_steps_total=self.done[1],
            steps_per_second=self.walks.steps_per_second,
            converged=bool(mean > 0.0 and error <= MAX_REL_ERROR * mean),
        )

    def time(self):
        escape, cycles = self.probability(), self.done[0][:, 1]
        cycle, n = float(cycles.mean()), len(cycles)
        if escape.probability == 0.0:
            return SplittingTimeResult(
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
        relative = (
            float(np.sqrt((n - 1) * np.mean((left_out - left_out.mean()) ** 2)))
            if np.isfinite(left_out).all()
            else np.inf
        )
        with np.errstate(over="ignore"):
            factor = float(np.exp(stdtrit(n - 1, 0.975) * relative))
        return SplittingTimeResult(
            mean=mean,
            ci=(mean / factor, mean * factor),
            std_error=mean * relative,
            cycle_mean=cycle,
            escape=escape,
            converged=bool(relative <= MAX_REL_ERROR),
        )


def _mask(states, n_states):
    mask = np.zeros(n_states, dtype=bool)
    mask[validate.state_array(states, n_states, "avoid")] = True
    return mask


class _Group:
    """Some replicas side by side, each a row of particles. A particle is where its own part of the trajectory begins, the
    stream that it walked from there, and the highest score on the way."""

    def __init__(self, call, replicas):
        self.call, self.replicas = call, np.array(replicas, dtype=np.int64)
        shape = len(self.replicas), call.n_particles
        self.kill = max(1, int(KILLED * call.n_particles))
        self.begin = np.array(
            [call.starts.take(int(r) * call.n_particles, call.n_particles) for r in self.replicas]
        )
        self.stream, self.used = np.empty(shape, dtype=np.int64), np.zeros(shape[0], dtype=np.int64)
        self.best, self.picks = np.empty(shape), np.zeros(shape[0], dtype=np.int64)
        self.estimate, self.n_levels = np.ones(shape[0]), np.zeros(shape[0])
        self.level = -np.inf

    def run(self, tick):
        self.tick = tick
        every = np.ones(self.best.shape, dtype=bool)
        steps = np.zeros(self.best.shape, dtype=np.int64)
        steps[every] = self.walk(every, look=self.call.looks)
        self.cycle = steps.mean(axis=1)
        alive = np.ones(len(self.replicas), dtype=bool)
        while alive.any():
            level = np.partition(self.best, self.kill - 1, axis=1)[:, self.kill - 1]
            alive &= level < np.inf
            killed = (self.best <= level[:, None]) & alive[:, None]
            n_killed = killed.sum(axis=1)
            self.estimate *= 1.0 - n_killed / self.best.shape[1]
            alive &= n_killed < self.best.shape[1]
            killed &= alive[:, None]
            self.n_levels += alive
            if alive.any():
                self.level = float(level[alive].min())
                self.branch(killed, level)
        self.estimate *= (self.best == np.inf).mean(axis=1)

    def outcome(self):
        """(estimate, mean steps of the first trajectories, levels) of each replica."""
        return np.stack([self.estimate, self.cycle, self.n_levels], axis=1)

    def walk(self, which, look):
        """Walk the chosen particles from their beginnings on new streams to the end; returns their steps."""
        row = np.nonzero(which)[0]
        number = np.cumsum(which, axis=1)[which] - 1 + self.used[row]
        self.used += which.sum(axis=1)
        stream, begin = (self.replicas[row] << 32) + number, self.begin[which]
        best = self.call.score[begin] if look else np.full(len(row), -np.inf)
        going = (
            ~(self.call.target | self.call.avoid)[begin] if look else np.ones(len(row), dtype=bool)
        )
        reached, steps = best[going], np.zeros(len(row), dtype=np.int64)
        _, steps[going] = self.call.walks.run(
            begin[going],
            stream[going],
            self.tick,
            score=self.call.score,
            level=np.full(len(reached), np.inf),
            best=reached,
        )
        best[going] = reached
        self.stream[which], self.best[which] = stream, best
        return steps

    def branch(self, killed, level):
        """Replace the killed by branches of random survivors at their first state above the level."""
        parent = np.empty(killed.shape, dtype=np.int64)  # as an index into all particles
        for r in np.flatnonzero(killed.any(axis=1)):
            survivors, n = np.flatnonzero(~killed[r]), int(killed[r].sum())
            u = uniforms(self.call.key, 2, int(self.picks[r]), n, lane=int(self.replicas[r]))
            self.picks[r] += n
            parent[r, killed[r]] = (
                r * killed.shape[1] + survivors[(u * len(survivors)).astype(np.int64)]
            )
        parents, place = np.unique(parent[killed], return_inverse=True)
        self.begin[killed] = self.crossing(parents, level[parents // killed.shape[1]])[place]
        self.walk(killed, look=True)

    def crossing(self, particles, level):
        """The first states above the level of particles that exceed it: their walks once more, on the same streams."""
        state = self.begin.ravel()[particles].copy()
        below = ~(self.call.score[state] > level)
        scratch = np.full(np.count_nonzero(below), -np.inf)
        state[below], _ = self.call.walks.run(
            state[below],
            self.stream.ravel()[particles[below]],
            self.tick,
            score=self.call.score,
            level=level[below],
            best=scratch,
        )
        return state

"""Rare targets by importance sampling: walkers of a warmer tilt, weighted back to the chain in question."""

import warnings

import numpy as np

from .._runtime import validate
from .._runtime.checkpoint import Checkpoint, fingerprint
from .._runtime.progress import interruptible
from .._runtime.random import philox_key
from .._runtime.results import Result, result
from .._runtime.threads import resolve_threads
from ..chains.chain import is_chain
from ..chains.tilt import TiltedChain
from ..errors import ConvergenceWarning, InvalidChainError
from .statistics import skew_interval
from .walkers import Starts, ScoredWalks, stops_for_certain

WALKERS_PER_ROUND = 65_536
# Fewer effective walkers than this, and the weights' own spread is not known well enough for an interval.
MIN_EFFECTIVE = 100.0
# The mean weight is one. Further off than so many standard errors, weights that matter were not seen.
MAX_DEVIATION = 4.0


@result
class ImportanceResult(Result):
    """A probability and a mean time under a cold chain from weighted walkers of a warmer one.

    Attributes
    ----------
    probability : float
        P(hit the target before the states to avoid): unbiased where nobody was censored.
    ci : tuple of two floats
        95 % interval, corrected for the skewness of the weights. (0, 1), saying nothing, where the weights collapsed.
    std_error : float
    mean_steps : float
        Mean number of steps until the target or a state to avoid is hit.
    mean_steps_ci : tuple of two floats
        (0, inf) where the weights collapsed.
    effective_sample_size : float
        (sum w)^2 / sum w^2 over the walkers that arrived (Kong 1992).
    largest_share : float
        Of the estimate, what the heaviest walker brings.
    mean_weight, mean_weight_error : float
        Mean of the weights of all walkers, whose expectation is one, with its standard error.
    collapsed : bool
        Fewer than 100 effective walkers, or a mean weight more than 4 standard errors off one, or censored walkers: the
        value is not to be relied on.
    beta, proposal_beta : float
        Of the chain and of the walkers.
    n_censored, n_walkers, n_steps_total, max_steps : int
    steps_per_second : float
    converged : bool
        Not collapsed.
    """

    probability: float
    ci: tuple
    std_error: float
    mean_steps: float
    mean_steps_ci: tuple
    effective_sample_size: float
    largest_share: float
    mean_weight: float
    mean_weight_error: float
    collapsed: bool
    beta: float
    proposal_beta: float
    n_censored: int
    n_walkers: int
    n_steps_total: int
    max_steps: int
    steps_per_second: float
    converged: bool


class _Weighted:
    """Power sums of a weighted quantity."""

    def __init__(self, sums=(0.0, 0.0, 0.0), largest=0.0):
        self.sums, self.largest = np.array(sums), float(largest)

    def plus(self, values):
        powers = [values.sum(), (values**2).sum(), (values**3).sum()]
        return _Weighted(self.sums + powers, max(self.largest, values.max(initial=0.0)))

    def mean(self, n):
        return float(self.sums[0] / n)

    def error(self, n):
        return (
            float(np.sqrt(max(self.sums[1] - self.sums[0] ** 2 / n, 0.0) / (n - 1) / n))
            if n > 1
            else np.inf
        )

    def interval(self, n):
        mean, error = self.mean(n), self.error(n)
        if not np.isfinite(error):
            return 0.0, np.inf
        std = error * n**0.5
        if std == 0.0:
            return mean, mean
        third = self.sums[2] / n - 3 * mean * self.sums[1] / n + 2 * mean**3
        low, high = skew_interval(mean, std, float(third / std**3), n)
        return max(low, 0.0), high


def importance_hitting(
    chain,
    start,
    target,
    *,
    beta,
    avoid=None,
    n_walkers=10_000,
    max_steps=1_000_000,
    rng=None,
    num_threads=None,
    progress=False,
    callback=None,
    checkpoint=None,
):
    """P(hit `target` before `avoid`) and the mean number of steps, by importance sampling with a warmer tilt.

    Parameters
    ----------
    chain : TiltedChain
        Made by `tilt` from a reward vector.
    start : int, array_like of states, or float array (n_states,)
        As in `simulate_hitting_times`; None draws from pi.
    target : bool mask (n_states,) or state numbers
    beta : float
        Of the walkers: above the chain's, inf for the reference itself. The less they have to be weighted the better, so not
        much above it.
    avoid : bool mask or state numbers, optional
        Short excursions keep the weights together: without it the probability is one and the mean hitting time is asked for.
    n_walkers, max_steps, rng, num_threads, progress, callback, checkpoint
        As in `simulate_hitting_times`. The checkpoint keeps finished rounds of walkers.

    Returns
    -------
    ImportanceResult

    Raises
    ------
    TypeError
        Not a TiltedChain.
    InvalidChainError
        A sparse reward, a beta that is not warmer, a start from which a walker may never stop.
    Interrupted
        After Ctrl-C; ``.partial`` is the result of finished rounds of walkers, None before.

    Warns
    -----
    ConvergenceWarning
        The weights collapsed; the result says so in `collapsed` and its intervals say nothing.

    Notes
    -----
    With f = log Z' - log Z + R / beta - R / beta' the likelihood ratio of a path x_0 .. x_tau is
    ``exp(sum_{t=1..tau} f(x_t) + (log Z' - log Z)(x_0) - (log Z' - log Z)(x_tau))``, primes for the warmer chain.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> q = fe.MarkovChain(np.diag([1.0] + [0.5] * 6, 1) + np.diag([0.5] * 6 + [1.0], -1))
    >>> cold = fe.tilt(q, -np.arange(8.0), beta=1.0)
    >>> found = fe.importance_hitting(cold, 1, [7], avoid=[0], beta=8.0, rng=1)
    >>> exact = np.expm1(2.0) / np.expm1(14.0)  # gambler's ruin with odds e^2 against: 5e-6
    >>> bool(found.ci[0] < exact < found.ci[1])
    True
    """
    is_chain(chain)
    if not isinstance(chain, TiltedChain):
        raise TypeError(
            "importance_hitting needs a TiltedChain, whose warmer tilts are known; tilt(reference, reward, beta) makes one"
        )
    if not isinstance(chain.reward, np.ndarray):
        raise InvalidChainError("importance_hitting needs a reward vector, one number a state")
    beta = validate.number(beta, "beta", closed=True)
    if beta <= chain.beta:
        raise InvalidChainError(
            f"beta must be above the chain's own, {chain.beta}, got {beta}: the walkers are to be warmer"
        )
    n_walkers, max_steps = (
        validate.count(n_walkers, "n_walkers", 2),
        validate.count(max_steps, "max_steps"),
    )
    run = _Run(
        chain, start, target, avoid, beta, n_walkers, max_steps, rng, resolve_threads(num_threads)
    )
    found = run.all(progress, callback, checkpoint, rng is not None)
    if found.collapsed:
        warnings.warn(
            f"importance_hitting: the weights collapsed: {found.effective_sample_size:.3g} effective walkers of {n_walkers}, mean "
            f"weight {found.mean_weight:.3g} (error {found.mean_weight_error:.3g}; it must be 1), {found.n_censored} censored. "
            f"Take a beta nearer to {chain.beta}, shorter excursions (avoid=), more walkers, or splitting_probability",
            ConvergenceWarning,
            stacklevel=2,
        )
    return found


class _Run:
    """The walkers of one call and the sums that are left of them."""

    SUMS = ("arrived", "weights", "steps")

    def __init__(self, chain, start, target, avoid, beta, n_walkers, max_steps, rng, num_threads):
        n = chain.n_states
        self.chain, self.n_walkers, self.max_steps, self.key = (
            chain,
            n_walkers,
            max_steps,
            philox_key(rng),
        )
        self.target, self.avoid = validate.target_mask(target, n), np.zeros(n, dtype=bool)
        if avoid is not None:
            self.avoid[validate.state_array(avoid, n, "avoid")] = True
        both = np.flatnonzero(self.target & self.avoid)
        if len(both):
            raise InvalidChainError(
                f"state {both[0]} is in the target and is to be avoided; take it out of one of them"
            )
        self.stop = self.target | self.avoid
        self.warm = chain.with_beta(beta, num_threads=num_threads)
        self.starts = Starts(chain, start, self.key, num_threads)
        for walked in (chain, self.warm):
            stops_for_certain(walked, self.stop, self.starts)
        self.log_z = self.warm.log_partition - chain.log_partition
        self.weight = (
            self.log_z
            + chain.reward / chain.beta
            - (0.0 if beta == np.inf else chain.reward / beta)
        )
        self.walks = ScoredWalks(
            self.warm._scaled.walker(num_threads), self.key, self.stop, num_threads
        )
        self.done = (
            0,
            0,
            0,
            *(_Weighted() for _ in self.SUMS),
        )  # walkers, censored, steps, sums: replaced as a whole

    def all(self, progress, callback, checkpoint, seeded):
        keeper = Checkpoint(
            checkpoint,
            "importance_hitting",
            lambda: fingerprint(
                self.chain.fingerprint(),
                self.warm.fingerprint(),
                self.target,
                self.avoid,
                self.starts.law,
                self.starts.given,
                self.n_walkers,
                self.max_steps,
                [int(word) for word in self.key] if seeded else None,
            ),
        )

        def partial():
            keeper.save(self.state, now=True)
            return self.result() if self.done[0] else None

        with interruptible(
            "importance_hitting",
            partial,
            total=self.n_walkers,
            progress=progress,
            callback=callback,
        ) as monitor:
            saved = keeper.load()
            if saved is not None:
                self.load(saved)
            while self.done[0] < self.n_walkers:
                self.round(
                    min(WALKERS_PER_ROUND, self.n_walkers - self.done[0]),
                    lambda: monitor(self.done[0], steps=self.walks.n_steps),
                )
                keeper.save(self.state)
                monitor(self.done[0], steps=self.walks.n_steps)
        keeper.discard()
        return self.result()

    def round(self, size, tick):
        first = self.done[0]
        start = self.starts.take(first, size)
        going = ~self.stop[start]
        last, steps, log_weight = start.copy(), np.zeros(size, dtype=np.int64), np.zeros(size)
        total = np.zeros(np.count_nonzero(going))
        last[going], steps[going] = self.walks.run(
            start[going],
            first + np.flatnonzero(going),
            tick,
            self.max_steps,
            weight=self.weight,
            sum=total,
        )
        log_weight[going] = total + self.log_z[start[going]] - self.log_z[last[going]]
        stopped = steps >= 0
        with np.errstate(over="ignore"):
            weight = np.where(stopped, np.exp(log_weight), 0.0)
            parts = (weight * self.target[last], weight, weight * np.maximum(steps, 0))
            self.done = (
                first + size,
                self.done[1] + int(np.count_nonzero(~stopped)),
                self.walks.n_steps,
                *(old.plus(values) for old, values in zip(self.done[3:], parts)),
            )

    def result(self):
        n, n_censored, n_steps, arrived, weights, steps = self.done
        first, second, _ = arrived.sums
        effective = float(first / second * first) if second > 0 and np.isfinite(second) else 0.0
        mean_weight, weight_error = weights.mean(n), weights.error(n)
        is_one = abs(mean_weight - 1.0) <= MAX_DEVIATION * weight_error + 1e-9
        collapsed = bool(n_censored or effective < MIN_EFFECTIVE or not is_one)
        low, high = arrived.interval(n)
        return ImportanceResult(
            probability=arrived.mean(n),
            ci=(0.0, 1.0) if collapsed else (low, min(high, 1.0)),
            std_error=arrived.error(n),
            mean_steps=steps.mean(n),
            mean_steps_ci=(0.0, np.inf) if collapsed else steps.interval(n),
            effective_sample_size=effective,
            largest_share=arrived.largest / first if first > 0 else 0.0,
            mean_weight=mean_weight,
            mean_weight_error=weight_error,
            collapsed=collapsed,
            beta=self.chain.beta,
            proposal_beta=self.warm.beta,
            n_censored=n_censored,
            n_walkers=n,
            n_steps_total=n_steps,
            max_steps=self.max_steps,
            steps_per_second=self.walks.steps_per_second,
            converged=not collapsed,
        )

    def state(self):
        parts = {
            name: np.append(part.sums, part.largest) for name, part in zip(self.SUMS, self.done[3:])
        }
        return parts | {"key": self.key, "done": np.array(self.done[:3])}

    def load(self, saved):
        self.key[:] = saved["key"]
        self.walks.resume(int(saved["done"][2]))
        self.done = (
            *(int(v) for v in saved["done"]),
            *(_Weighted(saved[name][:3], saved[name][3]) for name in self.SUMS),
        )

"""Rare targets by importance sampling: walkers of a warmer tilt, reweighted to the cold chain.

The result and the public function; `importance_run` holds the walkers and their weights.
"""

import numpy as np
import numpy.typing as npt

from .._runtime import validate
from .._runtime.checkpoint import remembered_seed
from .._runtime.results import Result, result
from .._runtime.resumable import resumable
from .._runtime.threads import resolve_threads
from .._runtime.types import RNG, Callback, Path, States
from .._runtime.warn import warn_unconverged
from ..chains.chain import require_chain
from ..chains.tilt import TiltedChain
from ..errors import InvalidChainError
from .importance_run import ImportanceRun

# With fewer effective walkers the spread of the weights is not known well enough for an interval.
MIN_EFFECTIVE = 100.0
# The expected weight is one. If the mean weight is further off than this many standard errors,
# walkers with large weights were not seen.
MAX_DEVIATION = 4.0


@result
class ImportanceResult(Result):
    """A probability and a mean time under a cold chain, from weighted walkers of a warmer one.

    Attributes
    ----------
    probability : float
        P(hit the target before the states to avoid): unbiased if no walker was censored.
    ci : tuple of two floats
        95 % interval, corrected for the skewness of the weights. The uninformative (0, 1) if the
        weights collapsed.
    std_error : float
    mean_steps : float
        Mean number of steps until the target or a state to avoid is hit.
    mean_steps_ci : tuple of two floats
        (0, inf) if the weights collapsed.
    effective_sample_size : float
        (sum w)^2 / sum w^2 over the walkers that arrived (Kong 1992).
    largest_share : float
        The share of the heaviest walker in the estimate.
    mean_weight, mean_weight_error : float
        Mean of the weights of all walkers, whose expectation is one, with its standard error.
    collapsed : bool
        Fewer than 100 effective walkers, or a mean weight more than 4 standard errors away from
        one, or censored walkers: do not rely on the values.
    beta, proposal_beta : float
        Of the chain and of the walkers.
    n_censored, n_walkers, n_steps_total, max_steps : int
    steps_per_second : float
    converged : bool
        Not collapsed.
    """

    probability: float
    ci: tuple[float, float]
    std_error: float
    mean_steps: float
    mean_steps_ci: tuple[float, float]
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


def importance_hitting(
    chain: TiltedChain,
    start: npt.ArrayLike | None,
    target: States,
    *,
    beta: float,
    avoid: States | None = None,
    n_walkers: int = 10_000,
    max_steps: int = 1_000_000,
    rng: RNG = None,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> ImportanceResult:
    """P(hit `target` before `avoid`) and the mean steps, by importance sampling from a warmer tilt.

    Parameters
    ----------
    chain : TiltedChain
        Made by `tilt` from a reward vector.
    start : int, array_like of states, or float array (n_states,)
        As in `simulate_hitting_times`; None draws from pi.
    target : bool mask (n_states,) or state numbers
    beta : float
        Of the walkers: above the chain's, inf for the reference itself. Weights spread with the
        distance between the two, so choose it not much above the chain's.
    avoid : bool mask or state numbers, optional
        Ends excursions early, which keeps the weights close to each other. Without it the
        probability is one, and the mean number of steps is the mean hitting time.
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
        A sparse reward, a beta that is not warmer, a start from which a walker may never reach
        `target` or `avoid`.
    Interrupted
        After Ctrl-C; ``.partial`` is the result of finished rounds of walkers, None before.

    Warns
    -----
    ConvergenceWarning
        The weights collapsed: `collapsed` is True and the intervals are uninformative.

    Notes
    -----
    Write Z' and beta' for the warmer chain and f = log Z' - log Z + R / beta - R / beta'. The
    likelihood ratio of a path x_0 .. x_tau is
    ``exp(sum_{t=1..tau} f(x_t) + (log Z' - log Z)(x_0) - (log Z' - log Z)(x_tau))``.

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
    require_chain(chain)
    if not isinstance(chain, TiltedChain):
        raise TypeError(
            "importance_hitting needs a TiltedChain, which has warmer tilts; "
            "tilt(reference, reward, beta) makes one"
        )
    reward = chain.reward
    if not isinstance(reward, np.ndarray):
        raise InvalidChainError("importance_hitting needs a reward vector, one number per state")
    beta = validate.number(beta, "beta", closed=True)
    if beta <= chain.beta:
        raise InvalidChainError(
            f"beta must be above that of the chain, {chain.beta}, got {beta}: walkers step on a "
            "warmer chain"
        )
    n_walkers = validate.count(n_walkers, "n_walkers", 2)
    max_steps = validate.count(max_steps, "max_steps")
    threads = resolve_threads(num_threads)
    rng = remembered_seed(rng, checkpoint)
    run = ImportanceRun(
        chain, reward, start, target, avoid, beta, n_walkers, max_steps, rng, threads
    )
    with resumable(
        "importance_hitting",
        checkpoint,
        run.identity,
        state=run.state,
        restore=run.restore,
        partial=lambda: _result(run) if run.finished.n_walkers else None,
        total=n_walkers,
        progress=progress,
        callback=callback,
        seed=rng,
    ) as monitor:
        run.run(monitor)
    found = _result(run)
    if found.collapsed:
        warn_unconverged(
            f"importance_hitting: the weights collapsed: {found.effective_sample_size:.3g} "
            f"effective walkers of {n_walkers}, mean weight {found.mean_weight:.3g} (error "
            f"{found.mean_weight_error:.3g}; must be 1), {found.n_censored} censored. Choose a "
            f"beta nearer to {chain.beta}, shorter excursions (avoid=) or more walkers, or use "
            "splitting_probability"
        )
    return found


def _result(run: ImportanceRun) -> ImportanceResult:
    """Of the finished rounds, at least one."""
    n, n_censored, n_steps, arrived, weights, steps = run.finished
    first, second, _ = arrived.sums
    effective = float(first / second * first) if second > 0 and np.isfinite(second) else 0.0
    mean_weight, weight_error = weights.mean(n), weights.error(n)
    is_one = abs(mean_weight - 1.0) <= MAX_DEVIATION * weight_error + 1e-9
    collapsed = bool(n_censored or effective < MIN_EFFECTIVE or not is_one)
    low, high = arrived.interval(n)
    converged = run.starts.converged and not collapsed
    return ImportanceResult(
        probability=arrived.mean(n),
        ci=(low, min(high, 1.0)) if converged else (0.0, 1.0),
        std_error=arrived.error(n),
        mean_steps=steps.mean(n),
        mean_steps_ci=steps.interval(n) if converged else (0.0, np.inf),
        effective_sample_size=effective,
        largest_share=arrived.largest / first if first > 0 else 0.0,
        mean_weight=mean_weight,
        mean_weight_error=weight_error,
        collapsed=collapsed,
        beta=run.chain.beta,
        proposal_beta=run.warm.beta,
        n_censored=n_censored,
        n_walkers=n,
        n_steps_total=n_steps,
        max_steps=run.max_steps,
        steps_per_second=run.walks.steps_per_second,
        converged=converged,
    )

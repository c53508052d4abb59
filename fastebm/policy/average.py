"""The policy of the largest mean reward a step minus beta times the KL rate."""

import math
from collections.abc import Iterable
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from .._runtime import validate
from .._runtime.checkpoint import fingerprint
from .._runtime.results import Result, result
from .._runtime.resumable import forget_stages, resumable
from .._runtime.threads import resolve_threads
from .._runtime.types import Callback, FloatArray, Path
from .._runtime.warn import warn_unconverged
from ..chains.chain import MarkovChain, require_chain
from ..chains.tilt import checked_reward
from ..errors import ReducibleChainError
from ..linalg.rounding import UNIT
from .certificate import CRUDE, RATE_TOL, Rate, enclose, gain_of_tilt, has_law, law_mean, mean_rate
from .iteration import PerronSearch, PolicyStep, frequent_state
from .log_kernel import LogKernel, log_kernel
from .perron_cycles import Report
from .result import MAX_ITER, Problem, lower_end, policy_chain, reward_parts, upper_end


@result
class AveragePolicy(Result):
    """The policy that maximises mean reward a step - beta KL rate.

    Attributes
    ----------
    beta : float
    gain, gain_lower, gain_upper : float
        beta log lambda, lambda the Perron root of q exp(r / beta), with the ends of Collatz and
        Wielandt: mean_reward - beta kl_rate.
    mean_reward, mean_reward_lower, mean_reward_upper : float
        Of a step, in the long run.
    kl_rate, kl_rate_lower, kl_rate_upper : float
        KL of the policy from the reference a step, in nats.
    price_of_myopia, price_of_myopia_lower, price_of_myopia_upper : float
        gain minus that of the one-step tilt by the same reward, >= 0.
    value, value_lower, value_upper : ndarray (n_states,)
        V = beta log v with M v = lambda v: what a start there is worth, relative to the state
        `anchor`, where V = 0. The ends are infinite where nothing is proven.
    anchor : int
        A state that the policy visits often.
    log_v : ndarray (n_states,)
    residual : float
        max - min of log (M v / v): the width of the ends of log lambda but for rounding.
    n_iter : int
        Products with the reference or a policy.
    converged : bool
        The ends of gain / beta are within tol max(1, |gain / beta|), and all others are finite; how
        far apart these are, they show themselves.
    """

    beta: float
    gain: float
    gain_lower: float
    gain_upper: float
    mean_reward: float
    mean_reward_lower: float
    mean_reward_upper: float
    kl_rate: float
    kl_rate_lower: float
    kl_rate_upper: float
    price_of_myopia: float
    price_of_myopia_lower: float
    price_of_myopia_upper: float
    value: FloatArray
    value_lower: FloatArray
    value_upper: FloatArray
    anchor: int
    log_v: FloatArray
    residual: float
    n_iter: int
    converged: bool
    _problem: Problem

    @cached_property
    def chain(self) -> MarkovChain:
        """The policy ``q(x, y) exp(r(x, y) / beta) v(y) / (lambda v(x))``, each row divided by its
        sum. With a reward vector it is scalings of the shared pattern. If the reference is
        reversible, so is it, with the law ``mu exp(R / beta) v (M v)`` in closed form: that of this
        very chain, whatever the error of v."""
        return policy_chain(self._problem, self.log_v)

    def with_beta(self, beta: float) -> "AveragePolicy":
        """The optimum at another beta; the search starts at this one.

        Parameters
        ----------
        beta : float
            > 0.

        Returns
        -------
        AveragePolicy

        Examples
        --------
        >>> import fastebm as fe
        >>> walk = fe.MarkovChain.from_edges([0, 1, 2, 3], [1, 2, 3, 0], symmetric=True)
        >>> best = fe.policy.average(walk, [0.0, 0.0, 0.0, 1.0], 1.0)
        >>> round(best.with_beta(0.1).gain, 4)
        0.4653
        """
        p = self._problem
        return _average(p.reference, p.reward, beta, start=self.value / beta, **p.options)

    def sweep(self, betas: Iterable[float]) -> "list[AveragePolicy]":
        """The optimum at each beta, each search started at the one before.

        Parameters
        ----------
        betas : sequence of float

        Returns
        -------
        list of AveragePolicy

        Examples
        --------
        >>> import fastebm as fe
        >>> walk = fe.MarkovChain.from_edges([0, 1, 2, 3], [1, 2, 3, 0], symmetric=True)
        >>> best = fe.policy.average(walk, [0.0, 0.0, 0.0, 1.0], 1.0)
        >>> [round(p.gain, 4) for p in best.sweep([10.0, 0.1])]
        [0.2562, 0.4653]
        """
        found: list[AveragePolicy] = []
        for beta in betas:
            found.append((found[-1] if found else self).with_beta(float(beta)))
        return found


def average(
    reference: MarkovChain,
    reward: npt.ArrayLike | sp.sparray | sp.spmatrix,
    beta: float,
    *,
    tol: float = 1e-10,
    max_iter: int | None = None,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> AveragePolicy:
    """The optimal policy for the mean reward a step, and what it gains over the one-step tilt.

    Parameters
    ----------
    reference : MarkovChain
        The pretrained kernel q, irreducible.
    reward : array_like (n_states,) or scipy sparse (n_states, n_states)
        R(y) of the state entered, or r(x, y) on transitions of the reference, zero if nothing is
        stored. -inf forbids a state or transition.
    beta : float
        The KL coefficient, > 0.
    tol : float
        Wanted accuracy of log lambda, relative to max(1, |log lambda|); rounding sets a floor. Up
        to a thousand states the answer is as accurate as rounding allows, whatever tol is.
    max_iter : int, optional
        Largest number of products of a linear solve.
    num_threads, progress, callback
        As in `simulate_hitting_times`.
    checkpoint : path, optional
        A file from which an interrupted call continues with the same bits.

    Returns
    -------
    AveragePolicy

    Raises
    ------
    ReducibleChainError
        The states do not communicate, so that the gain depends on the start.
    InvalidChainError
        beta is not positive; a reward is NaN or +inf, or set where the reference has no transition;
        or every transition of a row is forbidden.
    Interrupted
        Ctrl-C. `partial` has the ends of one product, and NaN for values that are not known yet.

    Notes
    -----
    Power steps, as long as they pay, then soft policy iteration, which converges quadratically
    whatever the gap. The ends ``min M v / v <= lambda <= max M v / v`` hold for any v > 0.

    Examples
    --------
    >>> import fastebm as fe
    >>> walk = fe.MarkovChain.from_edges([0, 1, 2, 3], [1, 2, 3, 0], symmetric=True)
    >>> best = fe.policy.average(walk, [0.0, 0.0, 0.0, 1.0], beta=0.5)
    >>> round(best.gain, 4), round(best.mean_reward, 4), round(best.price_of_myopia, 4)
    (0.3584, 0.4404, 0.0)
    """
    require_chain(reference, "reference")
    return _average(
        reference,
        reward,
        beta,
        tol=tol,
        max_iter=max_iter,
        num_threads=num_threads,
        progress=progress,
        callback=callback,
        checkpoint=checkpoint,
    )


def _average(
    reference: MarkovChain,
    reward: Any,
    beta: float,
    *,
    tol: float,
    max_iter: int | None,
    num_threads: int | None,
    start: FloatArray | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> AveragePolicy:
    beta = validate.number(beta, "beta", above=0.0)
    tol = validate.number(tol, "tol", above=0.0, below=1.0)
    limit = MAX_ITER if max_iter is None else validate.count(max_iter, "max_iter")
    threads = resolve_threads(num_threads)
    kernel = log_kernel(reference, reward, beta, threads)
    require_irreducible(kernel)
    options = {"tol": tol, "max_iter": max_iter, "num_threads": num_threads}
    problem = Problem(reference, checked_reward(reward, reference), beta, None, options, threads)
    first = np.zeros(kernel.n_states) if start is None else start
    search = PerronSearch(kernel, first, tol / 4.0, limit)
    with resumable(
        "policy.average",
        checkpoint,
        lambda: fingerprint(
            reference.fingerprint(), *reward_parts(problem.reward), beta, tol, limit, first
        ),
        state=search.state,
        restore=search.restore,
        partial=lambda: _partial(search, problem),
        progress=progress,
        callback=callback,
        keeps=True,
    ) as run:

        def report(**info: float) -> None:
            run(kernel.n_products, **info)

        def save() -> None:
            forget_stages()  # the state of the search covers its solves
            run.save()

        step = search.run(report, save)
        found = _result(kernel, step, problem, tol, limit, report)
    if not found.converged:
        warn_unconverged(
            f"policy.average: gain / beta is known to "
            f"{(found.gain_upper - found.gain_lower) / beta:.3g}, the KL rate to "
            f"{found.kl_rate_upper - found.kl_rate_lower:.3g} (tol = {tol:.3g}); the ends still "
            "hold; raise tol or max_iter"
        )
    return found


def require_irreducible(kernel: LogKernel) -> None:
    """Raise `ReducibleChainError` if the states do not communicate."""
    labels, closed, _, _ = kernel.chain._scaled.classes
    if len(closed) > 1:
        first, second = (int(np.argmax(labels == c)) for c in (0, 1))
        raise ReducibleChainError(
            f"states {first} and {second} do not communicate (of {len(closed)} classes), so the "
            "optimal gain depends on the start; take each class alone with "
            "chain.restrict(labels == c), labels from structure(chain)"
        )


def _result(
    kernel: LogKernel, step: PolicyStep, problem: Problem, tol: float, limit: int, report: Report
) -> AveragePolicy:
    beta, threads, e = problem.beta, kernel.threads, step.rounding
    low, high = float(step.rho.min()) - e, float(step.rho.max()) + e
    anchor = int(np.argmin(step.system.inside))
    log_lambda = 0.5 * (low + high)
    by_law = has_law(kernel)
    bounds = enclose(kernel, step, report, low=low, high=high, tol=CRUDE if by_law else RATE_TOL)
    k, k_error = kernel.divergence(step.policy, step.v, step.Tv)
    if by_law:
        kl = law_mean(step.policy, k, k_error, threads, change=bounds.change, is_divergence=True)
    else:
        kl = mean_rate(
            step.policy,
            step.system,
            k,
            k_error,
            0.1 * tol,
            report,
            threads,
            times=bounds.times if bounds.is_proven else None,
            change=bounds.change,
            is_divergence=True,
        )
    kl = Rate(max(kl.value, 0.0), max(kl.lower, 0.0), kl.upper)
    myopic = gain_of_tilt(kernel, limit, tol, report)
    gain = (beta * log_lambda, _down(beta * low), _up(beta * high))
    mean = (
        gain[0] + beta * kl.value,
        _down(gain[1] + beta * kl.lower, gain[0]),
        _up(gain[2] + beta * kl.upper, gain[0]),
    )
    price = (
        max(beta * (log_lambda - myopic.value), 0.0),
        max(_down(beta * (low - myopic.upper), gain[0]), 0.0),
        max(_up(beta * (high - myopic.lower), gain[0]), 0.0),
    )
    is_within = high - low <= tol * max(1.0, abs(log_lambda)) and bounds.is_proven
    return AveragePolicy(
        beta,
        *gain,
        *mean,
        *(kl.value, kl.lower, kl.upper),
        *price,
        value=beta * step.v,
        value_lower=lower_end(beta * (step.v - bounds.below)),
        value_upper=upper_end(beta * (step.v + bounds.above)),
        anchor=anchor,
        log_v=step.v,
        residual=float(np.ptp(step.rho)),
        n_iter=kernel.n_products + step.system.n_iter,
        converged=bool(is_within),
        _problem=problem,
    )


def _partial(search: PerronSearch, problem: Problem) -> AveragePolicy:
    """The last iterate with what one product proves: log lambda by Collatz and Wielandt. The KL
    rate is the mean of r / beta, at most its largest value, minus log lambda; the tilt gains its
    smallest log Z at least."""
    kernel, v, beta = search.kernel, search.at.v, problem.beta
    zero = np.zeros(kernel.n_states)
    Tv, Z = kernel.apply(v), kernel.apply(zero)
    rho, error = Tv - v, kernel.rounding(v, Tv)
    low, high = float(rho.min()) - error, float(rho.max()) + error
    most = kernel.largest_reward * (1.0 + 4.0 * UNIT * math.copysign(1.0, kernel.largest_reward))
    price = high - (float(Z.min()) - kernel.rounding(zero, Z))
    anchor = frequent_state(kernel, v)
    unknown = np.where(np.arange(kernel.n_states) == anchor, 0.0, np.inf)
    return AveragePolicy(
        beta,
        *(0.5 * beta * (low + high), _down(beta * low), _up(beta * high)),
        *(math.nan, _down(beta * low), _up(beta * most)),
        *(math.nan, 0.0, max(_up(most - low, low), 0.0)),
        *(math.nan, 0.0, max(_up(beta * price, beta * high), 0.0)),
        value=beta * (v - v[anchor]),
        value_lower=-unknown,
        value_upper=unknown,
        anchor=anchor,
        log_v=v - v[anchor],
        residual=float(np.ptp(rho)),
        n_iter=kernel.n_products,
        converged=False,
        _problem=problem,
    )


def _down(x: float, size: float = 0.0) -> float:
    return x - 8.0 * UNIT * (abs(x) + abs(size)) if math.isfinite(x) else x


def _up(x: float, size: float = 0.0) -> float:
    return x + 8.0 * UNIT * (abs(x) + abs(size)) if math.isfinite(x) else x

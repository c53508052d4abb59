"""The optimal policy for discounted rewards, where the KL is discounted, too."""

from collections.abc import Iterable
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from .._runtime import validate
from .._runtime.checkpoint import fingerprint
from .._runtime.results import Result, result
from .._runtime.resumable import resumable
from .._runtime.threads import resolve_threads
from .._runtime.types import Callback, FloatArray, Path
from .._runtime.warn import warn_unconverged
from ..chains.chain import MarkovChain, require_chain
from ..chains.tilt import checked_reward
from ..linalg.rounding import UNIT
from .certificate import residual_bound
from .discounted_search import DiscountSearch
from .discounted_system import DiscountedSystem
from .log_kernel import log_kernel
from .result import Problem, lower_end, policy_chain, reward_parts, swept, upper_end


@result
class DiscountedPolicy(Result):
    """The policy that maximises the expected sum of gamma^t (reward - beta KL) over the steps t.

    Every quantity is one of the state in which the path starts.

    Attributes
    ----------
    beta, discount : float
    value, value_lower, value_upper : ndarray (n_states,)
        V = mean_reward - beta path_kl, in units of the reward, with proven ends.
    path_kl, path_kl_lower, path_kl_upper : ndarray (n_states,)
        Discounted sum of the KL of each step from the reference, in nats.
    mean_reward, mean_reward_lower, mean_reward_upper : ndarray (n_states,)
        Expected discounted sum of rewards.
    log_v : ndarray (n_states,)
        V / beta.
    error : float
        The largest error of V / beta that is possible, relative to max(1, |V / beta|).
    n_iter : int
        Products with the reference.
    converged : bool
        error <= tol.
    """

    beta: float
    discount: float
    value: FloatArray
    value_lower: FloatArray
    value_upper: FloatArray
    path_kl: FloatArray
    path_kl_lower: FloatArray
    path_kl_upper: FloatArray
    mean_reward: FloatArray
    mean_reward_lower: FloatArray
    mean_reward_upper: FloatArray
    log_v: FloatArray
    error: float
    n_iter: int
    converged: bool
    _problem: Problem

    @cached_property
    def chain(self) -> MarkovChain:
        """The policy ``P(x, y) ∝ q(x, y) exp((r(x, y) + gamma V(y)) / beta)``; with a reward
        vector, scalings of the shared pattern."""
        return policy_chain(self._problem, self.discount * self.log_v)

    def with_beta(self, beta: float) -> "DiscountedPolicy":
        """The optimum at another beta; the search starts at this one.

        Parameters
        ----------
        beta : float
            > 0.

        Returns
        -------
        DiscountedPolicy

        Examples
        --------
        >>> import fastebm as fe
        >>> walk = fe.MarkovChain.from_edges([0, 1, 2, 3], [1, 2, 3, 0], symmetric=True)
        >>> best = fe.policy.discounted(walk, [0.0, 0.0, 0.0, 1.0], 1.0, discount=0.9)
        >>> best.with_beta(0.1).value.round(3).tolist()
        [4.898, 4.409, 4.898, 4.409]
        """
        p = self._problem
        return _discounted(p.reference, p.reward, beta, start=self.value / beta, **p.options)

    def sweep(self, betas: Iterable[float]) -> "list[DiscountedPolicy]":
        """`with_beta` of each beta.

        Parameters
        ----------
        betas : sequence of float

        Returns
        -------
        list of DiscountedPolicy

        Examples
        --------
        >>> import fastebm as fe
        >>> walk = fe.MarkovChain.from_edges([0, 1, 2, 3], [1, 2, 3, 0], symmetric=True)
        >>> best = fe.policy.discounted(walk, [0.0, 0.0, 0.0, 1.0], 1.0, discount=0.9)
        >>> [round(float(p.path_kl[0]), 3) for p in best.sweep([10.0, 0.1])]
        [0.007, 3.646]
        """
        found: list[DiscountedPolicy] = swept(self, betas)
        return found


def discounted(
    reference: MarkovChain,
    reward: npt.ArrayLike | sp.sparray | sp.spmatrix,
    beta: float,
    *,
    discount: float,
    tol: float = 1e-10,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> DiscountedPolicy:
    """The optimal policy for discounted rewards; the KL of a step is discounted like its reward.

    Parameters
    ----------
    reference : MarkovChain
        The pretrained kernel q.
    reward : array_like (n_states,) or scipy sparse (n_states, n_states)
        R(y) of the state entered, or r(x, y) on transitions of the reference, zero if nothing is
        stored. -inf forbids a state or transition.
    beta : float
        The KL coefficient, > 0.
    discount : float
        gamma, strictly between 0 and 1: of a step at time t, gamma^t counts.
    tol : float
        Wanted accuracy of V / beta, relative to max(1, |V / beta|); rounding sets a floor. Up to a
        thousand states the answer is as accurate as rounding allows, whatever tol is.
    num_threads, progress, callback
        As in `simulate_hitting_times`.
    checkpoint : path, optional
        A file from which an interrupted call continues with the same bits.

    Returns
    -------
    DiscountedPolicy

    Raises
    ------
    InvalidChainError
        A bad argument, or every transition of a row is forbidden.
    Interrupted
        Ctrl-C.

    Notes
    -----
    V is the fixed point of a contraction, ``T V(x) = beta log sum_y q exp((r + gamma V(y)) /
    beta)``, and ``T V + gamma / (1 - gamma) min (T V - V) <= V* <= T V + gamma / (1 - gamma) max
    (T V - V)`` for any V (MacQueen 1966).

    Examples
    --------
    >>> import fastebm as fe
    >>> walk = fe.MarkovChain.from_edges([0, 1, 2, 3], [1, 2, 3, 0], symmetric=True)
    >>> best = fe.policy.discounted(walk, [0.0, 0.0, 0.0, 1.0], beta=0.5, discount=0.9)
    >>> best.value.round(4).tolist()
    [3.7731, 3.3958, 3.7731, 3.3958]
    """
    require_chain(reference, "reference")
    return _discounted(
        reference,
        reward,
        beta,
        discount=discount,
        tol=tol,
        num_threads=num_threads,
        progress=progress,
        callback=callback,
        checkpoint=checkpoint,
    )


def _discounted(
    reference: MarkovChain,
    reward: Any,
    beta: float,
    *,
    discount: float,
    tol: float,
    num_threads: int | None,
    start: FloatArray | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> DiscountedPolicy:
    beta = validate.number(beta, "beta", above=0.0)
    discount = validate.number(discount, "discount", above=0.0, below=1.0)
    tol = validate.number(tol, "tol", above=0.0, below=1.0)
    threads = resolve_threads(num_threads)
    kernel = log_kernel(reference, reward, beta, threads)
    options = {"discount": discount, "tol": tol, "num_threads": num_threads}
    problem = Problem(reference, checked_reward(reward, reference), beta, None, options, threads)
    first = np.zeros(kernel.n_states) if start is None else start
    search = DiscountSearch(kernel, discount, first, tol)
    with resumable(
        "policy.discounted",
        checkpoint,
        lambda: fingerprint(
            reference.fingerprint(), *reward_parts(problem.reward), beta, discount, tol, first
        ),
        state=search.state,
        restore=search.restore,
        partial=lambda: _result(search, problem),
        progress=progress,
        callback=callback,
        keeps=True,
    ) as run:

        def report(**info: float) -> None:
            run(kernel.n_products, **info)

        search.run(report, run.save)
        found = _result(search, problem)
    if not found.converged:
        warn_unconverged(
            f"policy.discounted: V / beta is known to {found.error:.3g} relative to max(1, |V / "
            f"beta|), above tol = {tol:.3g}; the ends still hold; raise tol"
        )
    return found


def _result(search: DiscountSearch, problem: Problem) -> DiscountedPolicy:
    discount, kernel, beta = search.discount, search.kernel, problem.beta
    w, ends = search.at.w, search.ends()
    v = ends.Tw + (ends.offset + 0.5 * (ends.low + ends.high))
    below, above = ends.Tw + (ends.offset + ends.low), ends.Tw + (ends.offset + ends.high)
    size = 8.0 * UNIT * (np.abs(ends.Tw) + abs(ends.offset))
    value, below, above = beta * v, beta * (below - size), beta * (above + size)
    below, above = lower_end(below), upper_end(above)
    half = 0.5 * (ends.high - ends.low)
    error = float(((half + 2.0 * size) / np.maximum(1.0, np.abs(v))).max())
    continued = discount * w
    policy, after = kernel.policy(continued), kernel.apply(continued)
    k, k_error = kernel.divergence(policy, continued, after)
    system = DiscountedSystem(policy, discount, kernel.threads)
    kl = np.maximum(system.solve(k, lambda *_, **__: None), 0.0)
    # P_v for the w of the last iterate: that of the optimum differs by the error of w
    change = 2.0 * ends.distance + kernel.entry_rounding(kernel.rounding(continued, after))
    off = residual_bound(policy, kl, k, k_error, change, kernel.threads, discount=discount)
    kl_error = float(off.max()) / (1.0 - discount) * (1.0 + 8.0 * UNIT)
    kl_low, kl_high = np.maximum(kl - kl_error, 0.0), kl + kl_error
    return DiscountedPolicy(
        beta,
        discount,
        value,
        below,
        above,
        kl,
        kl_low,
        kl_high,
        mean_reward=value + beta * kl,
        mean_reward_lower=lower_end(below + beta * kl_low, value),
        mean_reward_upper=upper_end(above + beta * kl_high, value),
        log_v=v,
        error=error,
        n_iter=kernel.n_products,
        converged=bool(error <= search.tol),
        _problem=problem,
    )

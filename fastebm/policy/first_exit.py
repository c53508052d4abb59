"""The optimal policy until the first exit, with rewards on the way and at the exit."""

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
from .._runtime.resumable import Resumable, resumable
from .._runtime.threads import resolve_threads
from .._runtime.types import BoolArray, Callback, FloatArray, Path, States
from .._runtime.warn import warn_unconverged
from ..chains.chain import MarkovChain, require_chain
from ..chains.tilt import checked_reward, over_beta
from ..equilibrium.structure import reachable
from ..errors import InvalidChainError
from ..linalg.rounding import UNIT
from .certificate import FixedPointBounds, Summed, enclose, path_divergence
from .existence import require_finite
from .iteration import FixedPointSearch, policy_system, solve_signed
from .log_kernel import LogKernel, log_kernel
from .perron_cycles import Report
from .result import MAX_ITER, Problem, lower_end, policy_chain, reward_parts, swept, upper_end

# Steps of the policy iteration after which the classes are examined: it does not end where the
# value is infinite.
EXAMINED = (12, 40, 120)
# Relative residual of the first solve, whose result is only a start.
START_TOL = 1e-3


@result
class FirstExitPolicy(Result):
    """The policy that maximises the expected rewards until the first exit, minus beta times the KL
    of the path.

    Every quantity is one of the state in which the path starts.

    Attributes
    ----------
    beta : float
    value, value_lower, value_upper : ndarray (n_states,)
        V = mean_reward - beta path_kl, in units of the reward, with proven ends. The reward of the
        exit on exits; -inf where no exit can be reached, because a path without an exit is
        forbidden.
    path_kl, path_kl_lower, path_kl_upper : ndarray (n_states,)
        KL of the law of the path from that of the reference, in nats; 0 on exits, inf where no exit
        can be reached.
    mean_reward, mean_reward_lower, mean_reward_upper : ndarray (n_states,)
        Expected sum of the rewards, that of the exit included.
    log_z : ndarray (n_states,)
        V / beta.
    error : float
        The largest error of log z that is possible, relative to max(1, |log z|); inf if nothing is
        proven.
    n_iter : int
        Products with the reference or a policy.
    converged : bool
        error <= tol.
    """

    beta: float
    value: FloatArray
    value_lower: FloatArray
    value_upper: FloatArray
    path_kl: FloatArray
    path_kl_lower: FloatArray
    path_kl_upper: FloatArray
    mean_reward: FloatArray
    mean_reward_lower: FloatArray
    mean_reward_upper: FloatArray
    log_z: FloatArray
    error: float
    n_iter: int
    converged: bool
    _problem: Problem

    @cached_property
    def chain(self) -> MarkovChain:
        """The policy ``q(x, y) exp(r(x, y) / beta) z(y) / z(x)``. Rows of exits, and of states that
        cannot reach one, are the reference's. With a reward vector and absorbing exits it is
        scalings of the shared pattern; otherwise it stores new values."""
        return policy_chain(self._problem, self.log_z)

    def with_beta(self, beta: float) -> "FirstExitPolicy":
        """The optimum at another beta.

        Parameters
        ----------
        beta : float
            > 0.

        Returns
        -------
        FirstExitPolicy

        Examples
        --------
        >>> import fastebm as fe
        >>> walk = fe.MarkovChain.from_edges([0, 1, 2, 3], [1, 2, 3, 4], symmetric=True)
        >>> slow = fe.policy.first_exit(walk, [-0.1] * 5, 0.5, exit=[4])
        >>> slow.with_beta(0.1).value.round(3).tolist()
        [-0.594, -0.494, -0.331, -0.166, 0.0]
        """
        p = self._problem
        return first_exit(p.reference, p.reward, beta, **p.options)

    def sweep(self, betas: Iterable[float]) -> "list[FirstExitPolicy]":
        """`with_beta` of each beta.

        Parameters
        ----------
        betas : sequence of float

        Returns
        -------
        list of FirstExitPolicy

        Examples
        --------
        >>> import fastebm as fe
        >>> walk = fe.MarkovChain.from_edges([0, 1, 2, 3], [1, 2, 3, 4], symmetric=True)
        >>> slow = fe.policy.first_exit(walk, [-0.1] * 5, 0.5, exit=[4])
        >>> [round(float(p.path_kl[0]), 3) for p in slow.sweep([1.0, 0.1])]
        [0.26, 1.635]
        """
        found: list[FirstExitPolicy] = swept(self, betas)
        return found


def first_exit(
    reference: MarkovChain,
    reward: npt.ArrayLike | sp.sparray | sp.spmatrix,
    beta: float,
    *,
    exit: States,
    exit_reward: npt.ArrayLike = 0.0,
    tol: float = 1e-10,
    max_iter: int | None = None,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> FirstExitPolicy:
    """The optimal policy until the first exit.

    Parameters
    ----------
    reference : MarkovChain
        The pretrained kernel q.
    reward : array_like (n_states,) or scipy sparse (n_states, n_states)
        R(y) of the state entered, exits included, or r(x, y) on transitions of the reference, zero
        if nothing is stored. -inf forbids a state or transition. Rows of exits do not matter.
    beta : float
        The KL coefficient, > 0.
    exit : bool mask (n_states,) or state numbers
    exit_reward : float or array_like (n_exits,)
        The reward of ending there: a number, or one for each exit in the order given, of a mask
        in ascending order.
    tol : float
        Wanted accuracy of V / beta, relative to max(1, |V / beta|); rounding sets a floor. Up to a
        thousand states the answer is as accurate as rounding allows, whatever tol is.
    max_iter : int, optional
        Largest number of products of a linear solve.
    num_threads, progress, callback
        As in `simulate_hitting_times`.
    checkpoint : path, optional
        A file from which an interrupted call continues.

    Returns
    -------
    FirstExitPolicy

    Raises
    ------
    InvalidChainError
        The value is infinite, because the spectral radius of q exp(r / beta) on a class of states
        that can reach the exit is one or more; the text names the class. Or a bad argument.
    ConvergenceError
        Whether the value is finite is not decided to the precision of a double.
    Interrupted
        Ctrl-C. `partial` is None before the first iterate, then has its values; the ends are
        infinite and the KL NaN where nothing is known yet.

    Notes
    -----
    z = exp(V / beta) is the minimal solution of ``z = (q o exp(r / beta)) z``, with
    exp(exit_reward / beta) on exits. It is found in logs, by soft policy iteration, and enclosed by
    the certificate of an M-matrix.

    Examples
    --------
    >>> import fastebm as fe
    >>> walk = fe.MarkovChain.from_edges([0, 1, 2, 3], [1, 2, 3, 4], symmetric=True)
    >>> best = fe.policy.first_exit(walk, [-0.1] * 5, beta=0.5, exit=[4])
    >>> best.value.round(4).tolist()
    [-0.9636, -0.8636, -0.6211, -0.3197, 0.0]
    """
    require_chain(reference, "reference")
    beta = validate.number(beta, "beta", above=0.0)
    tol = validate.number(tol, "tol", above=0.0, below=1.0)
    limit = MAX_ITER if max_iter is None else validate.count(max_iter, "max_iter")
    n, threads = reference.n_states, resolve_threads(num_threads)
    members = validate.state_array(exit, n, "exit", reference.labels)
    at_exit = _exit_rewards(exit_reward, members, n)
    is_exit = np.zeros(n, bool)
    is_exit[members] = True
    options: dict[str, Any] = {
        "exit": members,
        "exit_reward": at_exit[members],
        "tol": tol,
        "max_iter": max_iter,
        "num_threads": num_threads,
    }
    checked = checked_reward(reward, reference)
    on_the_way = _allowed_at_exits(checked, reference, is_exit)
    kernel = log_kernel(reference, on_the_way, beta, threads)
    reaching = reachable(kernel.chain, is_exit)
    problem = Problem(reference, checked, beta, is_exit | ~reaching, options, threads)
    search = _ExitSearch(kernel, is_exit, reaching, over_beta(at_exit, beta), tol, limit)
    with resumable(
        "policy.first_exit",
        checkpoint,
        lambda: fingerprint(
            reference.fingerprint(),
            *reward_parts(problem.reward),
            *(beta, members, at_exit, tol, limit),
        ),
        state=search.state,
        restore=search.restore,
        partial=lambda: search.partial(problem),
        progress=progress,
        callback=callback,
        keeps=True,
    ) as run:
        search.run(run)
        found = search.result(problem)
    if not found.converged:
        warn_unconverged(
            f"policy.first_exit: log z is known to {found.error:.3g} relative to max(1, |log z|), "
            f"above tol = {tol:.3g}; the ends still hold; raise tol or max_iter"
        )
    return found


def _exit_rewards(exit_reward: npt.ArrayLike, members: Any, n: int) -> FloatArray:
    given = validate.real_array(np.asarray(exit_reward), "exit_reward").astype(np.float64)
    if given.shape not in ((), (len(members),)):
        raise InvalidChainError(
            f"exit_reward must be a number or have shape ({len(members)},), one for each exit, got "
            f"shape {given.shape}"
        )
    if not np.isfinite(given).all():
        raise InvalidChainError(
            "exit_reward is not finite; leave an exit that is forbidden out, and forbid its state "
            "by a reward of -inf"
        )
    at_exit = np.zeros(n)
    at_exit[members] = given
    if given.ndim and not np.array_equal(at_exit[members], given):
        raise InvalidChainError("a state is listed twice in exit, with different exit_reward")
    return at_exit


def _allowed_at_exits(reward: Any, reference: MarkovChain, is_exit: BoolArray) -> Any:
    """A checked reward that forbids nothing in the rows of exits, which do not matter; the reward
    itself where it leaves each of them a transition."""
    if isinstance(reward, np.ndarray):
        allowed = ~np.isneginf(reward)
        if allowed.all() or (reference._scaled.apply(allowed.astype(np.float64)))[is_exit].all():
            return reward
        rows: Any = reference.to_scipy()
        reward = sp.csr_array((reward[rows.indices], rows.indices, rows.indptr), shape=rows.shape)
    x = np.repeat(np.arange(reference.n_states), np.diff(reward.indptr))
    gone = is_exit[x] & np.isneginf(reward.data)
    if gone.any():
        reward = reward.copy()
        reward.data[gone] = 0.0
    return reward


class _ExitSearch:
    """v = log z, on the exits and the states that reach one."""

    def __init__(
        self,
        kernel: LogKernel,
        is_exit: BoolArray,
        reaching: BoolArray,
        log_exit: FloatArray,
        tol: float,
        limit: int,
    ) -> None:
        self.reaching, self.tol, self.limit = reaching, tol, limit
        self.kernel = kernel.restrict(reaching)
        self.inside = ~is_exit[reaching]
        self.given = np.where(is_exit, log_exit, 0.0)[reaching]
        self.search: FixedPointSearch | None = None

    def state(self) -> dict[str, Any] | None:
        return None if self.search is None else self.search.state()

    def restore(self, state: Any) -> None:
        self.search = FixedPointSearch(self.kernel, self.given, self.tol / 8.0, self.limit)
        self.search.restore(state)

    def run(self, run: Resumable) -> None:
        kernel, inside = self.kernel, self.inside

        def report(**info: float) -> None:
            run(kernel.n_products, **info)

        def check(n_steps: int) -> None:
            run.save()
            if n_steps in EXAMINED:
                require_finite(kernel, inside, self.reaching, report)

        if self.search is None:
            start = self._value_of_chain(report)
            self.search = FixedPointSearch(kernel, start, self.tol / 8.0, self.limit)
        self.step = self.search.run(inside, report, check)
        self.bounds = enclose(kernel, self.step, report)
        if not self.bounds.is_proven:
            require_finite(kernel, inside, self.reaching, report)
        self.kl = path_divergence(kernel, self.step, self.bounds, report, self.tol)

    def _value_of_chain(self, report: Report) -> FloatArray:
        """The value of the chain itself, which reaches an exit from everywhere: no more than the
        optimum."""
        scaled, threads = self.kernel.chain._scaled, self.kernel.threads
        earned = self.kernel.mean_log_reward() + scaled.apply(self.given, num_threads=threads)
        system = policy_system(scaled, self.inside, self.limit, threads)
        found = solve_signed(system, np.where(self.inside, earned, 0.0), START_TOL, report)
        return self.given if found is None else self.given + found

    def partial(self, problem: Problem) -> FirstExitPolicy | None:
        """The last iterate, if there is one. Ends cost a linear solve: without it, only that
        costs on the way leave no more than the best exit is proven."""
        if self.search is None:
            return None
        inside, v = self.inside, self.search.at.v
        unknown = np.where(inside, np.inf, 0.0)
        above = unknown
        if self.kernel.largest_reward <= 0.0:
            above = np.where(inside, np.max(self.given[~inside]) - v, 0.0)
            above += 4.0 * UNIT * (np.abs(v) + np.abs(above))
        bounds = FixedPointBounds(unknown, above, math.inf, unknown)
        kl = np.where(inside, np.nan, 0.0)
        return self._policy(problem, v, bounds, Summed(kl, np.zeros_like(v), unknown))

    def result(self, problem: Problem) -> FirstExitPolicy:
        """The policy with its ends."""
        return self._policy(problem, self.step.v, self.bounds, self.kl, self.step.system.n_iter)

    def _policy(
        self, problem: Problem, v: FloatArray, bounds: FixedPointBounds, kl: Summed, n_iter: int = 0
    ) -> FirstExitPolicy:
        beta = problem.beta
        value, error = beta * v, bounds.relative_error(v)
        low, high = lower_end(beta * (v - bounds.below)), upper_end(beta * (v + bounds.above))
        given = np.zeros(len(self.reaching))
        given[problem.options["exit"]] = problem.options["exit_reward"]
        value, low, high = (
            np.where(self.inside, x, given[self.reaching]) for x in (value, low, high)
        )
        whole, out = self._everywhere, -math.inf
        return FirstExitPolicy(
            beta=beta,
            value=whole(value, out),
            value_lower=whole(low, out),
            value_upper=whole(high, out),
            path_kl=whole(kl.value, math.inf),
            path_kl_lower=whole(kl.lower, math.inf),
            path_kl_upper=whole(kl.upper, math.inf),
            mean_reward=whole(value + beta * kl.value, out),
            mean_reward_lower=whole(lower_end(low + beta * kl.lower, value), out),
            mean_reward_upper=whole(upper_end(high + beta * kl.upper, value), out),
            log_z=whole(v, out),
            error=error,
            n_iter=self.kernel.n_products + n_iter,
            converged=bool(error <= self.tol),
            _problem=problem,
        )

    def _everywhere(self, x: FloatArray, unreached: float) -> FloatArray:
        whole = np.full(len(self.reaching), unreached)
        whole[self.reaching] = x
        return whole

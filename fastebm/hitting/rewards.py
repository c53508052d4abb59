"""Expected accumulated rewards and visits until a target is hit, with bounds."""

import math
from typing import Any

import numpy as np
import scipy.sparse as sp

from .._runtime import validate
from .._runtime.checkpoint import fingerprint
from .._runtime.results import StepsResult, result
from .._runtime.resumable import resumable
from .._runtime.threads import resolve_threads
from .._runtime.types import BoolArray, Callback, FloatArray, Path, States
from .._runtime.warn import warn_unconverged
from ..chains.chain import MarkovChain, require_chain
from ..equilibrium.structure import hits_almost_surely, reachable
from ..errors import InvalidChainError
from ..linalg.m_matrix import MMatrixSystem
from ..linalg.restriction import Report
from .relative_solve import RelativeSolver
from .times import MAX_ITER

LARGEST = float(np.finfo(np.float64).max)


@result
class RewardResult(StepsResult):
    """The expected reward that is accumulated until a target is hit, from every state.

    Attributes
    ----------
    mean : ndarray (n_states,)
        0 on the target.
    lower, upper : ndarray (n_states,)
        Componentwise bounds.
    error : float
        The largest error that the bounds allow, relative to the expected sum of the absolute
        rewards; inf if nothing is known of a mean but that it is small.
    n_infinite : int
        States whose mean is infinite.
    residual : float
    method : str
    n_iter : int
        Products with P.
    converged : bool
        error <= tol.
    """

    mean: FloatArray
    lower: FloatArray
    upper: FloatArray
    error: float
    n_infinite: int
    residual: float
    method: str
    n_iter: int
    converged: bool


def expected_reward(
    chain: MarkovChain,
    reward: Any,
    target: States,
    *,
    tol: float = 1e-8,
    max_iter: int | None = None,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> RewardResult:
    """The expected sum of rewards until `target` is hit, from every state.

    Parameters
    ----------
    chain : MarkovChain
    reward : array_like (n_states,), Series or sparse (n_states, n_states)
        Of a state x: earned at every step out of x. Of a transition x -> y: earned by it; entries
        without a transition have no effect. Rewards may be negative.
    target : bool mask (n_states,) or state numbers
    tol : float
        Accuracy relative to the expected sum of the absolute rewards.
    max_iter : int, optional
        Largest number of products.
    num_threads, progress, callback, checkpoint
        As in `simulate_hitting_times`.

    Returns
    -------
    RewardResult
        A mean is infinite where the target may be missed, whatever the rewards: this is the
        convention of PRISM and Storm (``R=? [ F target ]``). `expected_visits` has another.

    Raises
    ------
    InvalidChainError
        An empty target, a state out of range, or a reward that is NaN or infinite.
    Interrupted
        Ctrl-C. `partial` is the result so far, bounds included.

    Notes
    -----
    The means solve ``(I - P_BB) h = r`` on the states B outside the target, where r is the expected
    reward of a step. Positive and negative rewards are solved for separately, so that the bounds of
    `hitting_probabilities` apply to each.

    Examples
    --------
    >>> import fastebm as fe
    >>> coin = fe.MarkovChain([[0.75, 0.25], [0.0, 1.0]])  # 4 steps on average
    >>> fe.expected_reward(coin, [2.0, 0.0], [1]).mean.round(12).tolist()
    [8.0, 0.0]
    """
    require_chain(chain)
    mask = validate.target_mask(target, chain.n_states, chain.labels)
    earned = step_rewards(chain, reward, num_threads)
    missed = ~hits_almost_surely(chain, mask)
    sums = [Accumulation(chain, part, mask, missed, tol, max_iter, num_threads) for part in earned]
    return _run("expected_reward", sums, progress, callback, checkpoint)


def expected_visits(
    chain: MarkovChain,
    states: States,
    *,
    target: States | None = None,
    tol: float = 1e-8,
    max_iter: int | None = None,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> RewardResult:
    """The expected number of visits to `states` from every state, before `target` is hit if that is
    given: a sum of columns of the fundamental matrix of an absorbing chain.

    Parameters
    ----------
    chain : MarkovChain
    states : bool mask (n_states,) or state numbers
        Being there at time 0 is a visit.
    target : bool mask (n_states,) or state numbers, optional
        Visits are counted until it is hit; none in it. Default: for ever.
    tol : float
        Componentwise relative accuracy.
    max_iter, num_threads, progress, callback, checkpoint
        As in `expected_reward`.

    Returns
    -------
    RewardResult
        The mean is infinite where a class that is never left, and has one of `states`, can be
        reached; where the target is missed otherwise it is finite.

    Raises
    ------
    InvalidChainError
        An empty set, or a state out of range.
    Interrupted
        Ctrl-C. `partial` is the result so far, bounds included.

    Examples
    --------
    >>> import fastebm as fe
    >>> walk = fe.MarkovChain([[1, 0, 0, 0], [0.5, 0, 0.5, 0], [0, 0.5, 0, 0.5], [0, 0, 0, 1]])
    >>> fe.expected_visits(walk, [1]).mean.round(12).tolist()
    [0.0, 1.333333333333, 0.666666666667, 0.0]
    """
    require_chain(chain)
    n, labels = chain.n_states, chain.labels
    counted = np.zeros(n)
    counted[validate.state_array(states, n, "states", labels)] = 1.0
    mask = np.zeros(n, bool) if target is None else validate.target_mask(target, n, labels)
    counted[mask] = 0.0
    visits = Accumulation(chain, counted, mask, np.zeros(n, bool), tol, max_iter, num_threads)
    return _run("expected_visits", [visits], progress, callback, checkpoint)


def step_rewards(
    chain: MarkovChain, reward: Any, num_threads: int | None
) -> tuple[FloatArray, FloatArray]:
    """The expected positive part, and negative part, of the reward of a step from each state."""
    if not sp.issparse(reward):
        earned = validate.vector(reward, chain.n_states, "reward", chain.labels)
        return np.maximum(earned, 0.0), np.maximum(-earned, 0.0)
    matrix = validate.sparse_float64(reward, "reward")
    if matrix.shape != chain.shape:
        raise InvalidChainError(
            f"reward must have shape {chain.shape}, one entry a transition, got {matrix.shape}"
        )
    if not np.isfinite(matrix.data).all():
        at = int(np.argmin(np.isfinite(matrix.data)))
        row = int(np.searchsorted(matrix.indptr, at, side="right")) - 1
        raise InvalidChainError(
            f"reward of the transition {row} -> {matrix.indices[at]} is {matrix.data[at]}; rewards "
            "are finite"
        )
    parts = [np.asarray(chain.to_scipy().multiply(part).sum(axis=1)).ravel() for part in
             (matrix.maximum(0), (-matrix).maximum(0))]  # fmt: skip
    return parts[0], parts[1]


class Accumulation:
    """The expected sum of rewards that are not negative, until a target is hit.

    Parameters
    ----------
    earned : ndarray (n_states,)
        Of a step from each state; without effect on the target.
    target : bool mask (n_states,)
        May be empty.
    infinite : bool mask (n_states,)
        States whose mean is infinite in any case.
    """

    def __init__(
        self,
        chain: MarkovChain,
        earned: FloatArray,
        target: BoolArray,
        infinite: BoolArray,
        tol: float,
        max_iter: int | None,
        num_threads: int | None,
    ) -> None:
        self.chain, self.target = chain, target
        self.tol = validate.number(tol, "tol", above=0.0, below=1.0)
        limit = MAX_ITER if max_iter is None else validate.count(max_iter, "max_iter")
        self.earned = np.where(target, 0.0, earned)
        recurrent = _recurrent(chain, target)
        endless = recurrent & (self.earned > 0.0)
        self.infinite = infinite.copy()
        if endless.any():
            self.infinite |= reachable(chain, endless, target)
        inside = ~(recurrent | target | self.infinite)
        self.system = MMatrixSystem(chain._scaled, inside, limit, resolve_threads(num_threads))
        self._solver = RelativeSolver(self.system, self.tol)
        self._b = np.where(inside, self.earned, 0.0)
        self.support = np.zeros_like(inside)
        if self._b.any():
            self.support = reachable(chain, self._b > 0.0, ~inside) & inside
        # powers of two, so that tiny and huge rewards are solved for like those of order one
        self._unit = 2.0 ** (math.frexp(float(self._b.max(initial=0.0)))[1] - 1)
        self.mean = np.zeros(chain.n_states)
        self.bound = np.where(self.support, math.inf, 0.0)
        self.residual = math.inf if self.support.any() else 0.0

    def identity(self) -> str:
        parts = (self.earned, self.target, self.infinite, self.tol, self.system.limit)
        return fingerprint(self.chain.fingerprint(), *parts)

    def run(self, monitor: Report) -> None:
        if not self.support.any() or not self._solver.solve_times(monitor):
            return
        found = self._solver.solve(self._b / self._unit, self.support, monitor)
        with np.errstate(over="ignore"):
            mean = np.where(self.support, found.value * self._unit, 0.0)
            self.bound = np.where(self.support, found.bound * self._unit, 0.0)
        self.mean = np.minimum(mean, LARGEST)
        self.bound[mean > LARGEST] = math.inf
        self.residual = found.residual * self._unit


def _recurrent(chain: MarkovChain, target: BoolArray) -> BoolArray:
    """The states of the closed classes without a target."""
    labels, closed, _, _ = chain._scaled.classes
    closed = closed.copy()
    closed[np.unique(labels[target])] = False
    inside: BoolArray = closed[labels]
    return inside


def _run(
    call: str,
    sums: list[Accumulation],
    progress: bool,
    callback: Callback | None,
    checkpoint: Path | None,
) -> RewardResult:
    with resumable(
        call,
        checkpoint,
        lambda: fingerprint(*[part.identity() for part in sums]),
        partial=lambda: _result(sums),
        progress=progress,
        callback=callback,
    ) as monitor:
        for part in sums:
            part.run(monitor)
        found = _result(sums)
    if not found.converged:
        warn_unconverged(
            f"{call}: relative error of up to {found.error:.3g} after {found.n_iter} products, "
            f"above tol = {sums[0].tol:.3g}; lower and upper still enclose the means"
        )
    return found


def _result(sums: list[Accumulation]) -> RewardResult:
    """The first sum less the second, if there is one."""
    infinite, n = sums[0].infinite, len(sums[0].mean)
    mean, bound, size = np.zeros(n), np.zeros(n), np.zeros(n)
    with np.errstate(over="ignore"):
        for part, sign in zip(sums, (1.0, -1.0), strict=False):
            infinite = infinite | part.infinite
            mean += sign * part.mean
            bound += part.bound
            size += part.mean
    bound += 2.0**-52 * np.abs(mean)  # of the difference, and of the ends below
    is_open = (bound > 0.0) & ~infinite
    with np.errstate(divide="ignore", invalid="ignore"):
        error = float(np.where(size > 0.0, bound / size, math.inf)[is_open].max(initial=0.0))
    lower, upper = mean - bound, mean + bound
    if len(sums) == 1 or not sums[1].support.any():
        lower = np.maximum(lower, 0.0)
    for array in (mean, lower, upper):
        array[infinite] = math.inf
    solved = max(sums, key=lambda part: part.system.n_iter)
    return RewardResult(
        lag=sums[0].chain.lag,
        mean=mean,
        lower=lower,
        upper=upper,
        error=error,
        n_infinite=int(infinite.sum()),
        residual=max(part.residual for part in sums),
        method=solved.system.method,
        n_iter=sum(part.system.n_iter for part in sums),
        converged=bool(error <= sums[0].tol),
    )

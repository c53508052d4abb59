"""Beyond the mean of a hitting time: its spread, by a second certified solve, and its law up to a horizon, exactly."""

import math
import warnings

import numpy as np

from .. import _core
from .._runtime import validate
from .._runtime.checkpoint import Checkpoint, fingerprint
from .._runtime.progress import interruptible
from .._runtime.results import Result, result
from .._runtime.threads import resolve_threads
from ..chains.chain import is_chain
from ..equilibrium.stationary import stationary
from ..equilibrium.structure import certain
from ..errors import ConvergenceWarning, InvalidChainError
from ..linalg.m_matrix import MMatrixSystem
from .times import MAX_ITER, enclosure


@result
class MomentsResult(Result):
    """Mean, second moment and standard deviation of a hitting time, from every state.

    Attributes
    ----------
    mean, mean_lower, mean_upper : ndarray (n_states,)
        E_x tau with its componentwise bounds; inf where the target may be missed, as all that follows.
    second, second_lower, second_upper : ndarray (n_states,)
        E_x tau^2.
    std, std_lower, std_upper : ndarray (n_states,)
        Standard deviation. Its value solves its own system, in which nothing cancels; its bounds are those of the variance
        second - mean^2, which say little where the spread is far below the mean.
    error : float
        The larger relative error of mean and second moment.
    method : str
    n_iter : int
        Products with P.
    converged : bool
        error <= tol.
    """

    mean: np.ndarray
    mean_lower: np.ndarray
    mean_upper: np.ndarray
    second: np.ndarray
    second_lower: np.ndarray
    second_upper: np.ndarray
    std: np.ndarray
    std_lower: np.ndarray
    std_upper: np.ndarray
    error: float
    method: str
    n_iter: int
    converged: bool


def hitting_moments(
    chain, target, *, tol=1e-8, max_iter=None, num_threads=None, progress=False, callback=None
):
    """Mean, second moment and standard deviation of the number of steps to reach `target`.

    Parameters
    ----------
    chain : MarkovChain
    target : bool mask (n_states,) or state numbers
    tol : float
        Componentwise relative accuracy of both moments.
    max_iter : int, optional
        Largest number of products in all.

    Returns
    -------
    MomentsResult

    Raises
    ------
    InvalidChainError
        An empty target or a state out of range.
    Interrupted
        Ctrl-C; `partial` is the result so far, bounds included.

    Notes
    -----
    With M = I - P_BB and h the means, ``M E tau^2 = 2 h - 1`` and ``M Var tau = sum_y P(x, y) (h(y) - h(x))^2 - 1``; the first
    has a positive right-hand side, so that the certificate of `hitting_times` holds for it too.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> coin = fe.MarkovChain(np.array([[0.75, 0.25], [0.0, 1.0]]))  # a geometric time: mean 4, variance 12
    >>> found = fe.hitting_moments(coin, [1])
    >>> found.mean.tolist(), (found.std**2).round(12).tolist()
    ([4.0, 0.0], [12.0, 0.0])
    """
    is_chain(chain)
    tol = validate.number(tol, "tol", above=0.0, below=1.0)
    limit = MAX_ITER if max_iter is None else validate.count(max_iter, "max_iter")
    mask = validate.target_mask(target, chain.n_states)
    problem = _Moments(chain, mask, tol, limit, resolve_threads(num_threads))
    with interruptible(
        "hitting_moments", problem.result, progress=progress, callback=callback
    ) as monitor:
        problem.solve(monitor)
        found = problem.result()
    if not found.converged:
        warnings.warn(
            f"hitting_moments: known to a relative {found.error:.3g} only after {found.n_iter} products, wanted {tol:.3g}; "
            "the bounds still hold",
            ConvergenceWarning,
            stacklevel=2,
        )
    return found


class _Moments:
    def __init__(self, chain, mask, tol, limit, threads):
        sure = certain(chain, mask)
        self.chain, self.inside, self.never, self.tol, self.threads = (
            chain,
            sure & ~mask,
            ~sure,
            tol,
            threads,
        )
        self.system = MMatrixSystem(chain._scaled, self.inside, limit, threads)
        ones = self.inside.astype(np.float64)
        done = not self.inside.any()
        self.mean, self.second, self.variance = ones, ones, np.zeros(chain.n_states)
        self.mean_error = self.second_error = 0.0 if done else math.inf

    def solve(self, monitor):
        if not self.inside.any():
            return
        ones = self.inside.astype(np.float64)
        found = self.system.solve(ones, 0.2 * self.tol, monitor, start=ones, least=1.0)
        self.mean, self.mean_error = found.hi, self.system.error(found)
        b = np.where(self.inside, 2.0 * self.mean - 1.0, 0.0)
        found = self.system.solve(
            b, 0.2 * self.tol, monitor, start=self.mean**2, scale=b, least=1.0
        )
        self.second, self.second_error = found.hi, self.system.error(found)
        square = np.empty(self.chain.n_states)
        _core.scaled_difference(self.chain._scaled.operator, self.mean, square, 2, self.threads)
        b = np.where(self.inside, np.maximum(square - 1.0, 0.0), 0.0)
        found = self.system.solve(b, 0.2 * self.tol, monitor, scale=1.0 + b)
        self.variance = found.hi

    def result(self):
        mean, mean_lower, mean_upper = enclosure(self.mean, self.mean_error)
        second, second_lower, second_upper = enclosure(self.second, self.second_error)
        if (
            self.mean_error < 1.0
        ):  # the right-hand side 2 h - 1 >= h moves by twice the relative error of h at most
            second_lower = second_lower * max(1.0 - 2.0 * self.mean_error, 0.0)
            second_upper = second_upper * (1.0 + 2.0 * self.mean_error / (1.0 - self.mean_error))
            error = (1.0 + self.second_error) * (
                1.0 + 2.0 * self.mean_error / (1.0 - self.mean_error)
            ) - 1.0
        else:
            second_lower, error = np.where(self.inside, 1.0, 0.0), math.inf
            second_upper = np.where(self.inside, math.inf, 0.0)
        mean_lower = np.where(self.inside, np.maximum(mean_lower, 1.0), 0.0)
        second_lower = np.maximum(second_lower, mean_lower**2)
        with np.errstate(invalid="ignore"):
            std_lower = np.sqrt(np.maximum(second_lower - mean_upper**2, 0.0))
            std_upper = np.sqrt(np.maximum(second_upper - mean_lower**2, 0.0))
        std_lower = np.where(np.isfinite(std_lower), std_lower, 0.0)
        std = np.clip(np.sqrt(self.variance), std_lower, std_upper)
        arrays = [
            mean,
            mean_lower,
            mean_upper,
            second,
            second_lower,
            second_upper,
            std,
            std_lower,
            std_upper,
        ]
        for array in arrays:
            array[self.never] = math.inf
        return MomentsResult(
            *arrays,
            error=error,
            method=self.system.method,
            n_iter=self.system.n_iter,
            converged=bool(max(error, self.mean_error) <= self.tol),
        )


@result
class DistributionResult(Result):
    """The law of a hitting time up to a horizon.

    Attributes
    ----------
    steps : ndarray int64 (n_steps + 1,)
    probability : ndarray (n_starts, n_steps + 1)
        P(tau = t).
    survival : ndarray (n_starts, n_steps + 1)
        P(tau > t), evolved for itself and not one minus a sum: its digits stay however small it becomes.
    n_steps : int
        The horizon that was reached.
    """

    steps: np.ndarray
    probability: np.ndarray
    survival: np.ndarray
    n_steps: int


def hitting_distribution(
    chain,
    target,
    n_steps,
    *,
    start=None,
    num_threads=None,
    progress=False,
    callback=None,
    checkpoint=None,
):
    """The exact law of the number of steps to reach `target`, up to `n_steps`.

    Parameters
    ----------
    chain : MarkovChain
    target : bool mask (n_states,) or state numbers
    n_steps : int
    start : int, int array (n_starts,), float array (n_states,) or (n_starts, n_states), or None
        States, initial laws, or None for the stationary law.
    checkpoint : path, optional
        A file from which an interrupted call goes on with the same bits.

    Returns
    -------
    DistributionResult

    Raises
    ------
    InvalidChainError
        An empty target, a state out of range, a law that is none.
    ReducibleChainError
        No start given and the stationary law is not unique.
    Interrupted
        Ctrl-C; `partial` has the steps so far.

    Notes
    -----
    One product a step, whatever the number of starts: ``P_x(tau = t) = (P_BB^(t-1) P_BA 1)(x)`` and
    ``P_x(tau > t) = (P_BB^t 1)(x)`` are evolved backwards, from all states at once.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> coin = fe.MarkovChain(np.array([[0.5, 0.5], [0.0, 1.0]]))
    >>> law = fe.hitting_distribution(coin, [1], 3, start=0)
    >>> law.probability.tolist(), law.survival.tolist()
    ([[0.0, 0.5, 0.25, 0.125]], [[1.0, 0.5, 0.25, 0.125]])
    """
    is_chain(chain)
    n_steps = validate.count(n_steps, "n_steps", minimum=0)
    mask = validate.target_mask(target, chain.n_states)
    threads = resolve_threads(num_threads)
    pick, given = _starts(chain, start, threads)
    file = Checkpoint(
        checkpoint,
        "hitting_distribution",
        lambda: fingerprint(chain.fingerprint(), mask, n_steps, given),
    )
    x = np.stack([mask, ~mask], axis=1).astype(np.float64)
    values, done = np.zeros((n_steps + 1, 2, pick(x).shape[1])), 0
    values[0] = pick(x)
    if (state := file.load()) is not None:
        x, done = state["x"], int(state["done"])
        values[: done + 1] = state["values"]
    now = {"x": x, "done": done}

    def partial():
        last = now["done"]
        return DistributionResult(
            np.arange(last + 1),
            *np.ascontiguousarray(values[: last + 1].transpose(1, 2, 0)),
            n_steps=last,
        )

    def state_of():
        return {"x": now["x"], "done": np.int64(now["done"]), "values": values[: now["done"] + 1]}

    with interruptible(
        "hitting_distribution", partial, total=n_steps, progress=progress, callback=callback
    ) as monitor:
        try:
            for t in range(done + 1, n_steps + 1):
                x = chain._scaled.apply(now["x"], num_threads=threads)
                x[mask] = 0.0
                values[t] = pick(x)
                now.update(x=x, done=t)
                monitor(t)
                file.save(state_of)
        except KeyboardInterrupt:
            file.save(state_of, now=True)
            raise
    file.discard()
    return partial()


def _starts(chain, start, threads):
    """(a function that averages a block (n_states, 2) over each start, -> (2, n_starts); the starts as an array)."""
    if start is None:
        laws = stationary(chain, num_threads=threads).pi[None]
    elif np.asarray(start).dtype.kind == "f":
        rows = np.asarray(start)
        if rows.ndim > 2:
            raise InvalidChainError(
                f"start must hold one law or a list of laws, got shape {rows.shape}"
            )
        laws = np.array(
            [validate.distribution(row, chain.n_states, "start") for row in np.atleast_2d(rows)]
        )
    else:
        states = validate.state_array(start, chain.n_states, "start")
        return (lambda x: x[states].T), states

    def average(x):
        columns = [np.ascontiguousarray(column) for column in x.T]
        return np.array(
            [[_core.vec_dot(law, column, threads) for law in laws] for column in columns]
        )

    return average, laws

"""Second moment and standard deviation of a hitting time, by further solves with error bounds."""

import math

import numpy as np

from .._runtime import validate
from .._runtime.checkpoint import fingerprint
from .._runtime.results import StepsResult, result
from .._runtime.resumable import Resumable, resumable
from .._runtime.threads import resolve_threads
from .._runtime.types import BoolArray, Callback, FloatArray, Path, States
from .._runtime.warn import warn_unconverged
from ..chains.chain import MarkovChain, require_chain
from ..equilibrium.structure import hits_almost_surely, reachable
from ..linalg.m_matrix import MMatrixSystem
from ..linalg.rounding import UNIT
from .times import MAX_ITER, enclosure

# Squares of larger means may leave the range of a double.
MAX_SQUARED = 1e150
LARGEST = float(np.finfo(np.float64).max)


@result
class MomentsResult(StepsResult):
    """Mean, second moment and standard deviation of a hitting time, from every state.

    Attributes
    ----------
    mean, mean_lower, mean_upper : ndarray (n_states,)
        E_x tau with componentwise bounds. This and all other arrays are inf where the target may be
        missed.
    second, second_lower, second_upper : ndarray (n_states,)
        E_x tau^2.
    std, std_lower, std_upper : ndarray (n_states,)
        Standard deviation. Its value solves a system of its own without cancellation. Its bounds
        are those of the variance second - mean^2, which are wide where the standard deviation is
        far below the mean.
    error : float
        The larger relative error of mean and second moment.
    method : str
    n_iter : int
        Products with P.
    converged : bool
        error <= tol.
    """

    mean: FloatArray
    mean_lower: FloatArray
    mean_upper: FloatArray
    second: FloatArray
    second_lower: FloatArray
    second_upper: FloatArray
    std: FloatArray
    std_lower: FloatArray
    std_upper: FloatArray
    error: float
    method: str
    n_iter: int
    converged: bool


def hitting_moments(
    chain: MarkovChain,
    target: States,
    *,
    tol: float = 1e-8,
    max_iter: int | None = None,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> MomentsResult:
    """Mean, second moment and standard deviation of the number of steps to reach `target`.

    Parameters
    ----------
    chain : MarkovChain
    target : bool mask (n_states,) or state numbers
    tol : float
        Componentwise relative accuracy of both moments.
    max_iter : int, optional
        Largest number of products in all.
    num_threads, progress, callback, checkpoint
        As in `simulate_hitting_times`. The checkpoint keeps
        every solve that is done and the iteration of the one under way.

    Returns
    -------
    MomentsResult

    Raises
    ------
    InvalidChainError
        An empty target or a state out of range.
    Interrupted
        Ctrl-C. `partial` is the result so far, bounds included.

    Notes
    -----
    With M = I - P_BB and h the means, ``M E tau^2 = 2 h - 1`` and
    ``M Var tau = sum_y P(x, y) (h(y) - h(x) + 1)^2``, the variance of h after one step. The first
    has a positive right-hand side, so the error bound of `hitting_times` applies to it, too.

    Examples
    --------
    >>> import fastebm as fe
    >>> coin = fe.MarkovChain([[0.75, 0.25], [0.0, 1.0]])  # geometric: mean 4, variance 12
    >>> found = fe.hitting_moments(coin, [1])
    >>> found.mean.tolist(), (found.std**2).round(12).tolist()
    ([4.0, 0.0], [12.0, 0.0])
    """
    require_chain(chain)
    tol = validate.number(tol, "tol", above=0.0, below=1.0)
    limit = MAX_ITER if max_iter is None else validate.count(max_iter, "max_iter")
    mask = validate.target_mask(target, chain.n_states, chain.labels)
    solve = _MomentsSolve(chain, mask, tol, limit, resolve_threads(num_threads))
    with resumable(
        "hitting_moments",
        checkpoint,
        lambda: fingerprint(chain.fingerprint(), mask, tol, limit),
        partial=solve.result,
        progress=progress,
        callback=callback,
    ) as monitor:
        solve.run(monitor)
        found = solve.result()
    if not found.converged:
        warn_unconverged(
            f"hitting_moments: relative error of up to {found.error:.3g} after {found.n_iter} "
            f"products, above tol = {tol:.3g}; the bounds still hold"
        )
    return found


class _MomentsSolve:
    """Mean, second moment and variance, one solve of M = I - P_BB each.

    Second moments are in units of `unit`, a power of four, and variances of its square, where
    squares of the means leave the range of a double; otherwise unit = 1.
    """

    def __init__(
        self, chain: MarkovChain, mask: BoolArray, tol: float, limit: int, threads: int
    ) -> None:
        sure = hits_almost_surely(chain, mask)
        self.chain, self.tol, self.threads = chain, tol, threads
        self.inside, self.never = sure & ~mask, ~sure
        self.system = MMatrixSystem(chain._scaled, self.inside, limit, threads)
        ones = self.inside.astype(np.float64)
        done = not self.inside.any()
        self.mean, self.second, self.variance = ones, ones, np.zeros(chain.n_states)
        self.unit = 1.0
        self.mean_error = self.second_error = 0.0 if done else math.inf
        self.is_solved = done  # whether `variance` is known, too

    def run(self, monitor: Resumable) -> None:
        if not self.inside.any():
            return
        ones = self.inside.astype(np.float64)
        found = self.system.solve(ones, 0.2 * self.tol, monitor, start=ones, least=1.0)
        self.mean, self.mean_error = found.hi, self.system.error(found)
        largest = float(self.mean.max())
        if largest > MAX_SQUARED:
            self.unit = 4.0 ** (math.frexp(largest)[1] // 2)
        unit = self.unit
        b = np.where(self.inside, (2.0 * self.mean - 1.0) / unit, 0.0)
        start = self.mean * (self.mean / unit)
        found = self.system.solve(
            b, 0.2 * self.tol, monitor, start=start, scale=b, least=1.0 / unit
        )
        self.second, self.second_error = found.hi, self.system.error(found)
        b = self._step_variance()
        if b.any():
            support = self.inside & reachable(self.chain, b > 0.0, ~self.inside)
            found = self.system.solve(b, 0.2 * self.tol, monitor, support=support)
            self.variance = found.hi
        self.is_solved = True

    def _step_variance(self) -> FloatArray:
        """The variance of h(X_1) from each state of B, where E_x h(X_1) = h(x) - 1."""
        scaled, variance = self.chain._scaled, np.zeros(self.chain.n_states)
        h, one = self.mean / self.unit, 1.0 / self.unit
        for begin, end in scaled.pattern.row_ranges():
            P = scaled.row_range(begin, end)
            here = np.repeat(h[begin:end], np.diff(P.indptr))
            P.data *= (h[P.indices] - here + one) ** 2
            variance[begin:end] = P.sum(axis=1)
        return np.where(self.inside, variance, 0.0)

    def result(self) -> MomentsResult:
        mean, mean_lower, mean_upper = enclosure(self.mean, self.mean_error)
        mean_lower = np.where(self.inside, np.maximum(mean_lower, 1.0), 0.0)
        second, second_lower, second_upper, error = self._second_moment()
        with np.errstate(over="ignore", invalid="ignore"):
            least, most = (end * (end / self.unit) for end in (mean_lower, mean_upper))
            second_lower = np.maximum(second_lower, least * (1.0 - 4.0 * UNIT))
            spread = second_lower - most * (1.0 + 4.0 * UNIT)
            std_lower = math.sqrt(self.unit) * np.sqrt(np.where(spread > 0.0, spread, 0.0))
            spread = second_upper - least * (1.0 - 4.0 * UNIT)
            std_upper = math.sqrt(self.unit) * np.sqrt(np.where(spread >= 0.0, spread, math.inf))
            second, second_lower, second_upper = (
                end * self.unit for end in (second, second_lower, second_upper)
            )
        std_upper[~self.inside] = 0.0
        if not np.isfinite(second).all():  # beyond a double
            error = math.inf
        std = np.clip(np.sqrt(self.variance) * self.unit, std_lower, std_upper)
        arrays = {
            "mean": mean,
            "mean_lower": mean_lower,
            "mean_upper": mean_upper,
            "second": second,
            "second_lower": np.minimum(second_lower, LARGEST),
            "second_upper": second_upper,
            "std": std,
            "std_lower": std_lower,
            "std_upper": std_upper,
        }
        for array in arrays.values():
            array[self.never] = math.inf
        return MomentsResult(
            lag=self.chain.lag,
            **arrays,
            error=error,
            method=self.system.method,
            n_iter=self.system.n_iter,
            converged=bool(self.is_solved and max(error, self.mean_error) <= self.tol),
        )

    def _second_moment(self) -> tuple[FloatArray, FloatArray, FloatArray, float]:
        """(E tau^2, lower, upper, relative error), in units of `unit`. An error of the means moves
        the right-hand side 2 h - 1 >= h by at most twice the relative error of h."""
        second, lower, upper = enclosure(self.second, self.second_error)
        if self.mean_error >= 1.0:
            lower = np.where(self.inside, 1.0 / self.unit, 0.0)
            return second, lower, np.where(self.inside, math.inf, 0.0), math.inf
        lower = lower * max(1.0 - 2.0 * self.mean_error, 0.0)
        upper = upper * (1.0 + 2.0 * self.mean_error / (1.0 - self.mean_error))
        error = (1.0 + self.second_error) * (
            1.0 + 2.0 * self.mean_error / (1.0 - self.mean_error)
        ) - 1.0
        return second, lower, upper, error

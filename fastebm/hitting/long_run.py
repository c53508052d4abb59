"""The long-run average of a reward, from every state, with bounds."""

import numpy as np

from .._runtime import validate
from .._runtime.checkpoint import fingerprint
from .._runtime.results import StepsResult, result
from .._runtime.resumable import resumable
from .._runtime.threads import resolve_threads
from .._runtime.types import BoolArray, Callback, FloatArray, Int32Array, IntArray, Path
from .._runtime.warn import warn_unconverged
from ..chains.chain import MarkovChain, require_chain
from ..errors import InvalidChainError
from ..linalg.restriction import Report
from ..linalg.rounding import UNIT
from .rewards import Accumulation, step_rewards

# Lazy steps of the uniform law after which the anchor of a class is its most probable state.
ANCHOR_STEPS = 20


@result
class LongRunResult(StepsResult):
    """The long-run average reward of a step.

    Attributes
    ----------
    mean, lower, upper : ndarray (n_states,)
        From each state, with bounds.
    gain, gain_lower, gain_upper : ndarray (n_closed,)
        Of each closed class, in the order of their numbers in `structure`.
    error : float
        The largest error that the bounds allow, relative to the average of the absolute rewards.
    n_iter : int
        Products with P.
    converged : bool
        error <= tol.
    """

    mean: FloatArray
    lower: FloatArray
    upper: FloatArray
    gain: FloatArray
    gain_lower: FloatArray
    gain_upper: FloatArray
    error: float
    n_iter: int
    converged: bool


def long_run_average(
    chain: MarkovChain,
    reward: object,
    *,
    tol: float = 1e-8,
    max_iter: int | None = None,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> LongRunResult:
    """The long-run average reward a step, from every state; chains may have several closed classes,
    transient states and periods.

    Parameters
    ----------
    chain : MarkovChain
    reward : array_like (n_states,), Series or sparse (n_states, n_states)
        As in `expected_reward`. The indicator of a set gives the fraction of the time in it.
    tol : float
        Accuracy relative to the average of the absolute rewards.
    max_iter : int, optional
        Largest number of products of each solve.
    num_threads, progress, callback, checkpoint
        As in `simulate_hitting_times`.

    Returns
    -------
    LongRunResult

    Raises
    ------
    InvalidChainError
        A reward is NaN or infinite, or transitions of a tilted chain underflowed: a state that is
        hardly ever left may be where the time is spent.
    Interrupted
        Ctrl-C. `partial` is None.

    Notes
    -----
    In a closed class, the average is the reward of a cycle from one state back to it, over the mean
    length of the cycle (renewal reward theorem). Both are sums of positive numbers with the bounds
    of `expected_reward`; no stationary law is needed. From a transient state it is the average of
    the classes' gains by the probability to end in them, one more solve with bounds.

    Examples
    --------
    >>> import fastebm as fe
    >>> chain = fe.MarkovChain([[0, 1, 0, 0], [1, 0, 0, 0], [0.5, 0, 0, 0.5], [0, 0, 0, 1]])
    >>> fe.long_run_average(chain, [1.0, 0.0, 5.0, 3.0]).mean.round(12).tolist()
    [0.5, 0.5, 1.75, 3.0]
    """
    require_chain(chain)._scaled.require_transitions("the long-run average")
    earned = step_rewards(chain, reward, num_threads)
    solve = _LongRun(chain, earned, tol, max_iter, num_threads)
    with resumable(
        "long_run_average",
        checkpoint,
        lambda: fingerprint(solve.lengths.identity(), *earned),
        partial=lambda: None,
        progress=progress,
        callback=callback,
    ) as monitor:
        solve.run(monitor)
    found = solve.result()
    if not found.converged:
        warn_unconverged(
            f"long_run_average: relative error of up to {found.error:.3g} after {found.n_iter} "
            f"products, above tol = {solve.tol:.3g}; lower and upper still enclose the averages"
        )
    return found


class _LongRun:
    """Cycles through one anchor in each closed class, then the way there."""

    def __init__(
        self,
        chain: MarkovChain,
        earned: tuple[FloatArray, FloatArray],
        tol: float,
        max_iter: int | None,
        num_threads: int | None,
    ) -> None:
        self.chain, self.earned, self._limit = chain, earned, max_iter
        self.threads = resolve_threads(num_threads)
        labels, closed, _, _ = chain._scaled.classes
        self.transient: BoolArray = ~closed[labels]
        self.number = np.cumsum(closed) - 1  # of the closed classes among themselves
        self.labels = labels
        self.anchors = _anchors(chain, labels, closed, self.threads)
        self.tol = validate.number(tol, "tol", above=0.0, below=1.0)
        self.lengths = self._cycle(np.ones(chain.n_states))
        self.n_iter = 0
        self.parts: list[tuple[FloatArray, FloatArray]] = []  # of states: (value, bound) by sign
        self.gains: list[tuple[FloatArray, FloatArray]] = []  # of closed classes

    def _cycle(self, earned: FloatArray) -> Accumulation:
        target = np.zeros(self.chain.n_states, bool)
        target[self.anchors] = True
        return self._sums(earned, target, self.transient)

    def _sums(self, earned: FloatArray, target: BoolArray, infinite: BoolArray) -> Accumulation:
        """To a quarter of the tolerance: three of them enter a result."""
        own = (self.chain, earned, target, infinite)
        return Accumulation(*own, 0.25 * self.tol, self._limit, self.threads)

    def run(self, monitor: Report) -> None:
        length, length_error = self._around(self.lengths, np.ones(self.chain.n_states), monitor)
        for earned in self.earned:
            sums = self._cycle(earned)
            total, error = self._around(sums, earned, monitor)
            with np.errstate(invalid="ignore"):
                gain = total / length
                # (1 + a) / (1 - b) - 1
                relative = np.where(
                    length_error < 1.0, (error + length_error) / (1.0 - length_error), np.inf
                )
                bound = np.where(
                    gain > 0.0, gain * relative, np.where(relative < 1.0, 0.0, relative)
                )
            self._spread(gain, bound + 4.0 * UNIT * gain, monitor)

    def _around(
        self, sums: Accumulation, earned: FloatArray, monitor: Report
    ) -> tuple[FloatArray, FloatArray]:
        """The sum over a cycle from each anchor, and its relative error."""
        sums.run(monitor)
        self.n_iter += sums.system.n_iter
        both = np.stack([sums.mean, sums.bound], axis=1)
        both[self.transient] = 0.0
        way, bound = self.chain._scaled.apply(both, num_threads=self.threads)[self.anchors].T
        total = earned[self.anchors] + way
        with np.errstate(invalid="ignore"):
            error = np.where(bound > 0.0, bound / total, 0.0)
        error = np.where(np.isnan(error), np.inf, error)
        return total, error + (sums.system.max_degree + 8.0) * UNIT

    def _spread(self, gain: FloatArray, bound: FloatArray, monitor: Report) -> None:
        """From the closed classes to all states."""
        of_class = self.number[self.labels]
        value = np.where(self.transient, 0.0, gain[of_class])
        error = np.where(self.transient, 0.0, bound[of_class])
        if len(gain) == 1:
            value, error = np.full_like(value, gain[0]), np.full_like(error, bound[0])
        elif self.transient.any() and (not np.isfinite(error).all()):
            error[self.transient] = np.inf
        elif self.transient.any():
            relative = float(np.divide(bound, gain, out=np.zeros_like(gain), where=gain > 0).max())
            b = np.where(self.transient, self.chain._scaled.apply(value), 0.0)
            sums = self._sums(b, ~self.transient, ~self.transient)
            sums.run(monitor)
            self.n_iter += sums.system.n_iter
            value = np.where(self.transient, sums.mean, value)
            own = sums.bound * (1.0 + relative) + relative * sums.mean
            error = np.where(self.transient, own, error)
        self.parts.append((value, error))
        self.gains.append((gain, bound))

    def result(self) -> LongRunResult:
        mean, lower, upper, error = _difference(self.parts)
        gain, gain_lower, gain_upper, _ = _difference(self.gains)
        return LongRunResult(
            lag=self.chain.lag,
            mean=mean,
            lower=lower,
            upper=upper,
            gain=gain,
            gain_lower=gain_lower,
            gain_upper=gain_upper,
            error=error,
            n_iter=self.n_iter,
            converged=bool(error <= self.tol),
        )


def _difference(
    parts: list[tuple[FloatArray, FloatArray]],
) -> tuple[FloatArray, FloatArray, FloatArray, float]:
    """(value, lower, upper, largest relative error) of the first part less the second."""
    (gains, own), (losses, other) = parts
    value, bound, size = gains - losses, own + other, gains + losses
    bound = bound + 2.0**-52 * np.abs(value)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(bound > 0.0, np.where(size > 0.0, bound / size, np.inf), 0.0)
    return value, value - bound, value + bound, float(relative.max())


def _anchors(chain: MarkovChain, labels: Int32Array, closed: BoolArray, threads: int) -> IntArray:
    """A state of every closed class, one of much mass: cycles through it are short."""
    n = chain.n_states
    x = np.full(n, 1.0 / n)
    try:
        for _ in range(ANCHOR_STEPS):
            x = 0.5 * (x + chain._scaled.apply(x, transposed=True, num_threads=threads))
    except InvalidChainError:  # a rule without left products: any state will do
        pass
    order = np.lexsort((-x, labels))
    first = order[np.append(True, labels[order][1:] != labels[order][:-1])]
    anchors: IntArray = first[closed[labels[first]]]
    return anchors

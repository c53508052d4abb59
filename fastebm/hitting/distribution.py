"""The exact distribution of a hitting time up to a horizon, by one product a step."""

from collections.abc import Callable

import numpy as np

from .. import _core
from .._runtime import validate
from .._runtime.checkpoint import fingerprint
from .._runtime.results import StepsResult, result
from .._runtime.resumable import Resumable, State, resumable
from .._runtime.threads import resolve_threads
from .._runtime.types import BoolArray, Callback, FloatArray, IntArray, Path, States
from ..chains.chain import MarkovChain, require_chain

# What is evolved is multiplied by 2^SHIFT, so that small probabilities times small weights do not
# underflow before the row scaling. Scalings are below e^300, half of `pattern.MAX_LOG_SPAN`.
SHIFT = 500


@result
class DistributionResult(StepsResult):
    """The distribution of a hitting time up to a horizon.

    Attributes
    ----------
    steps : ndarray int64 (n_steps + 1,)
    probability : ndarray (n_starts, n_steps + 1)
        P(tau = t).
    survival : ndarray (n_starts, n_steps + 1)
        P(tau > t), evolved separately and not one minus a sum: it keeps its relative accuracy
        down to the smallest double of full precision, 2.2e-308, below which it is rounded
        absolutely and ends as zero.
    n_steps : int
        The horizon that was reached.
    converged : bool
        The stationary distribution did, if the starts are drawn from it.
    """

    steps: IntArray
    probability: FloatArray
    survival: FloatArray
    n_steps: int
    converged: bool


def hitting_distribution(
    chain: MarkovChain,
    target: States,
    n_steps: int,
    *,
    start: States | FloatArray | None = None,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> DistributionResult:
    """The exact distribution of the number of steps to reach `target`, up to `n_steps`.

    Parameters
    ----------
    chain : MarkovChain
    target : bool mask (n_states,) or state numbers
    n_steps : int
    start : int, int array (n_starts,), float array (n_states,) or (n_starts, n_states), or None
        States, initial distributions, or None for the stationary distribution.
    num_threads, progress, callback
        As in `simulate_hitting_times`.
    checkpoint : path, optional
        A file from which an interrupted call resumes with the same bits.

    Returns
    -------
    DistributionResult

    Raises
    ------
    InvalidChainError
        An empty target, a state out of range, or a start that is not a distribution.
    ReducibleChainError
        No start is given and the stationary distribution is not unique.
    Interrupted
        Ctrl-C. `partial` has the steps so far; None while pi is searched for.

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
    require_chain(chain)
    n_steps = validate.count(n_steps, "n_steps", minimum=0)
    mask = validate.target_mask(target, chain.n_states, chain.labels)
    threads = resolve_threads(num_threads)
    if start is not None:
        _starts(chain, start, threads)  # check it
    evolution: _BackwardEvolution | None = None
    with resumable(
        "hitting_distribution",
        checkpoint,
        lambda: fingerprint(
            chain.fingerprint(),
            mask,
            n_steps,
            None if start is None else _starts(chain, start, threads)[1],
        ),
        partial=lambda: None if evolution is None else evolution.result(),
        total=n_steps,
        progress=progress,
        callback=callback,
    ) as run:
        average, _, converged = _starts(chain, start, threads)
        evolution = _BackwardEvolution(chain, mask, n_steps, average, converged, threads)
        run.restore(evolution.state, evolution.restore)
        evolution.run(run)
    return evolution.result()


class _BackwardEvolution:
    """The columns P_x(tau = t) and P_x(tau > t), times 2^SHIFT, at all states x after `done` steps,
    and their averages over the starts at every step so far, without that factor."""

    def __init__(
        self,
        chain: MarkovChain,
        mask: BoolArray,
        n_steps: int,
        average: Callable[[FloatArray], FloatArray],
        converged: bool,
        threads: int,
    ) -> None:
        self.chain, self.mask, self.n_steps = chain, mask, n_steps
        self.average, self.converged, self.threads = average, converged, threads
        self.x = np.ldexp(np.stack([mask, ~mask], axis=1).astype(np.float64), SHIFT)
        first = self._averages(self.x)
        self.values, self.done = np.zeros((n_steps + 1, 2, first.shape[1])), 0
        self.values[0] = first

    def _averages(self, x: FloatArray) -> FloatArray:
        return np.ldexp(self.average(x), -SHIFT)

    def state(self) -> State:
        return {"x": self.x, "done": np.int64(self.done), "values": self.values[: self.done + 1]}

    def restore(self, state: State) -> None:
        self.x, self.done = state["x"], int(state["done"])
        self.values[: self.done + 1] = state["values"]

    def run(self, run: Resumable) -> None:
        for t in range(self.done + 1, self.n_steps + 1):
            x = self.chain._scaled.apply(self.x, num_threads=self.threads)
            x[self.mask] = 0.0
            self.values[t] = self._averages(x)
            self.x, self.done = x, t
            run(t)
            run.save()

    def result(self) -> DistributionResult:
        values = self.values[: self.done + 1]
        probability, survival = np.ascontiguousarray(values.transpose(1, 2, 0))
        return DistributionResult(
            np.arange(self.done + 1),
            probability,
            survival,
            self.done,
            self.converged,
            lag=self.chain.lag,
        )


def _starts(
    chain: MarkovChain, start: States | FloatArray | None, threads: int
) -> tuple[Callable[[FloatArray], FloatArray], FloatArray | IntArray, bool]:
    """(a function that averages a block (n_states, 2) over each start and returns (2, n_starts),
    the starts as an array, whether they converged)."""
    converged = True
    if start is None:
        law = chain._law.take(threads)
        laws, converged = law.pi[None], law.converged
    elif (given := validate.start_laws(start, chain.n_states, chain.labels)) is not None:
        laws = np.array(given)
    else:
        states = validate.state_array(start, chain.n_states, "start", chain.labels)
        return (lambda x: x[states].T), states, True

    def average(x: FloatArray) -> FloatArray:
        columns = [np.ascontiguousarray(column) for column in x.T]
        return np.array(
            [[_core.vec_dot(law, column, threads) for law in laws] for column in columns]
        )

    return average, laws, converged

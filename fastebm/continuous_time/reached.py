"""Time-bounded reachability of a continuous-time chain, with a proven error."""

import numpy as np

from .._runtime import validate
from .._runtime.checkpoint import fingerprint
from .._runtime.results import Result, result
from .._runtime.resumable import resumable
from .._runtime.threads import resolve_threads
from .._runtime.types import BoolArray, Callback, FloatArray, Path, States
from .._runtime.warn import warn_unconverged
from ..chains.chain import MarkovChain
from ..equilibrium.structure import reachable
from ..errors import InvalidChainError
from ..linalg.rounding import UNIT
from .exponential import Exponential
from .generator import mean_steps, off_diagonal
from .law import is_squared, unmet
from .steps import MixedSteps


@result
class ReachedResult(Result):
    """The probability of reaching a target by a time.

    Attributes
    ----------
    probability, lower, upper : ndarray (n_states,)
        In [0, 1], with proven bounds; 1 on the target, 0 where it is out of reach.
    time : float
    error : float
        The largest difference of a probability from the exact one that the bounds allow.
    method : str
        "uniformisation", or "squaring" of a small chain in fixed point.
    n_iter : int
        Steps of the uniformised chain, or squarings.
    converged : bool
        error <= tol.
    """

    probability: FloatArray
    lower: FloatArray
    upper: FloatArray
    time: float
    error: float
    method: str
    n_iter: int
    converged: bool


def reached_by(
    chain: MarkovChain,
    target: States,
    t: float,
    *,
    avoid: States | None = None,
    tol: float = 1e-12,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> ReachedResult:
    """The probability that a continuous-time chain reaches `target` by time t, before `avoid` if
    that is given, from every state (time-bounded until).

    Parameters
    ----------
    chain : MarkovChain
        With a `rate`, as `MarkovChain.from_generator` makes it.
    target, avoid : bool mask (n_states,) or state numbers
        Disjoint.
    t : float
        Not negative and finite, in units of time.
    tol : float
        The absolute error that is wanted.
    num_threads, progress, callback, checkpoint
        As in `simulate_hitting_times`.

    Returns
    -------
    ReachedResult

    Raises
    ------
    InvalidChainError
        The chain has no rate, t is negative, NaN or infinite, a set is empty, or a state is out of
        range or in both sets.
    Interrupted
        Ctrl-C. `partial` is the result so far with its bounds.

    Notes
    -----
    ``exp(Q t) 1_target`` with the target and the avoided states absorbing, computed as in `law_at`.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> chain = fe.MarkovChain.from_generator(np.array([[-2.0, 2.0], [1.0, -1.0]]))
    >>> fe.reached_by(chain, [1], 0.5).probability.round(12).tolist()  # 1 - exp(-1)
    [0.632120558829, 1.0]
    """
    mean = mean_steps(chain, t)
    tol = validate.number(tol, "tol", above=0.0)
    n, labels = chain.n_states, chain.labels
    members = validate.target_mask(target, n, labels)
    avoided = np.zeros(n, bool)
    if avoid is not None:
        avoided[validate.state_array(avoid, n, "avoid", labels)] = True
    if (members & avoided).any():
        raise InvalidChainError(
            f"state {int(np.argmax(members & avoided))} is in target and avoid; they must be "
            "disjoint"
        )
    lost = ~reachable(chain, members, avoided)
    threads = resolve_threads(num_threads)
    steps: MixedSteps | Exponential
    if is_squared(chain, float(mean), tol):
        off = off_diagonal(chain).toarray()
        off[members | lost] = 0.0
        steps = Exponential(off, mean)
    else:

        def step(x: FloatArray) -> FloatArray:
            y = chain._scaled.apply(x, num_threads=threads)
            y[members], y[lost] = 1.0, 0.0
            return y

        rounding = (chain._scaled.pattern.max_degree + 16.0) * UNIT
        start = members.astype(np.float64)
        steps = MixedSteps(step, start, _largest, mean, tol, lambda _: rounding)

    def pack() -> ReachedResult:
        return _result(steps, members, lost, float(t), tol)

    with resumable(
        "reached_by",
        checkpoint,
        lambda: fingerprint(chain.fingerprint(), chain.rate, members, lost, float(t), tol),
        state=steps.state,
        restore=steps.restore,
        partial=pack,
        progress=progress,
        callback=callback,
    ) as monitor:
        steps.run(monitor)
        found = pack()
    if not found.converged:
        warn_unconverged(unmet("reached_by", found.error, found.n_iter, tol))
    return found


def _largest(x: FloatArray) -> float:
    return float(np.abs(x).max())


def _result(
    steps: MixedSteps | Exponential, members: BoolArray, lost: BoolArray, t: float, tol: float
) -> ReachedResult:
    if isinstance(steps, MixedSteps):
        value, error = steps.mixture.copy(), steps.error
    elif steps.is_done:
        value, error = steps.columns(members.astype(np.float64))
    else:
        value, error = members.astype(np.float64), 1.0
    value = np.clip(value, 0.0, 1.0)
    lower, upper = np.maximum(value - error, 0.0), np.minimum(value + error, 1.0)
    for array in (value, lower, upper):
        array[members], array[lost] = 1.0, 0.0
    largest = float(np.maximum(upper - value, value - lower).max())
    return ReachedResult(
        probability=value,
        lower=lower,
        upper=upper,
        time=t,
        error=largest,
        method="squaring" if isinstance(steps, Exponential) else "uniformisation",
        n_iter=steps.done,
        converged=bool(largest <= tol),
    )

"""Return times (Kac) and commute times."""

import math
from functools import partial

import numpy as np

from .._runtime import validate
from .._runtime.checkpoint import fingerprint
from .._runtime.results import StepsResult, result
from .._runtime.resumable import resumable, stage
from .._runtime.threads import resolve_threads
from .._runtime.types import Callback, FloatArray, Path, States
from ..chains.chain import MarkovChain, require_chain
from ..errors import InvalidChainError
from .times import mean_times


@result
class ReturnResult(StepsResult):
    """Mean return times.

    Attributes
    ----------
    mean : ndarray (n_states,)
        1 / pi(x), the mean of min{t > 0: X_t = x} from x (Kac); inf on transient states.
    log_mean : ndarray (n_states,)
        Its logarithm, which does not overflow.
    to_target : float or None
        1 / pi(A): the mean return time to the target A from pi conditioned on A. None without a
        target.
    converged : bool
        The stationary distribution did.
    """

    mean: FloatArray
    log_mean: FloatArray
    to_target: float | None
    converged: bool


def return_times(
    chain: MarkovChain, target: States | None = None, *, num_threads: int | None = None
) -> ReturnResult:
    """Mean return times of a chain with one closed class: of every state, and of a set.

    Parameters
    ----------
    chain : MarkovChain
        With one closed class.
    target : bool mask (n_states,) or state numbers, optional
    num_threads : int, optional
        As in `simulate_hitting_times`.

    Returns
    -------
    ReturnResult

    Raises
    ------
    ReducibleChainError
        More than one closed class.
    InvalidChainError
        An empty target or a state out of range.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> chain = fe.MarkovChain(np.array([[0.75, 0.25], [0.75, 0.25]]))
    >>> fe.return_times(chain).mean.round(9).tolist()
    [1.333333333, 4.0]
    """
    require_chain(chain)
    mask = None if target is None else validate.target_mask(target, chain.n_states, chain.labels)
    law = chain._law.take(resolve_threads(num_threads))
    with np.errstate(over="ignore"):
        mean = np.exp(-law.log_pi)
    to_target = None
    if mask is not None:
        mass = min(float(law.pi[mask].sum()), 1.0)
        to_target = 1.0 / mass if mass > 0 else math.inf
    return ReturnResult(
        mean=mean, log_mean=-law.log_pi, to_target=to_target, converged=law.converged, lag=chain.lag
    )


@result
class CommuteResult(StepsResult):
    """Commute times of pairs of states.

    Attributes
    ----------
    commute, lower, upper : ndarray (n_pairs,)
        E_x tau_y + E_y tau_x with bounds.
    forward, backward : ndarray (n_pairs,)
        E_x tau_y and E_y tau_x.
    converged : bool
        All solves met their tolerance.
    """

    commute: FloatArray
    lower: FloatArray
    upper: FloatArray
    forward: FloatArray
    backward: FloatArray
    converged: bool


def commute_times(
    chain: MarkovChain,
    source: States,
    target: States,
    *,
    tol: float = 1e-8,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> CommuteResult:
    """Mean times from each source to its target and back.

    Parameters
    ----------
    chain : MarkovChain
    source, target : int or int array (n_pairs,)
    tol : float
        Relative accuracy.
    num_threads, progress, callback, checkpoint
        As in `simulate_hitting_times`. The checkpoint keeps
        the solves that are done and the iteration of the one under way.

    Returns
    -------
    CommuteResult
        From one solve with error bounds for each distinct state among the pairs. On a weighted
        graph the commute time is the total weight of all directed edges times the effective
        resistance (Levin & Peres, prop. 10.7).

    Raises
    ------
    InvalidChainError
        A state out of range, or arrays of different lengths.
    Interrupted
        Ctrl-C.

    Examples
    --------
    >>> import fastebm as fe
    >>> path = fe.MarkovChain.from_edges([0, 1, 2], [1, 2, 3], symmetric=True)
    >>> fe.commute_times(path, 0, 3).commute.round(9).tolist()
    [18.0]
    """
    require_chain(chain)
    sources = validate.state_array(source, chain.n_states, "source", chain.labels)
    targets = validate.state_array(target, chain.n_states, "target", chain.labels)
    if sources.shape != targets.shape:
        raise InvalidChainError(
            f"source has {sources.size} states and target {targets.size}; they are pairs, so give "
            "one target for each source"
        )
    times = np.zeros((2, 3, sources.size))  # there, back; mean, lower, upper
    converged = True

    def solve(state: int, progress: bool) -> tuple[FloatArray, bool]:
        """(mean, lower, upper) of the way to `state` from each partner in a pair, converged."""
        found = mean_times(
            chain,
            [state],
            tol=tol,
            num_threads=num_threads,
            progress=progress,
            callback=callback,
            averaged=False,
        )
        partners = np.concatenate([sources[targets == state], targets[sources == state]])
        bounds = np.array([found.mean, found.lower, found.upper])[:, partners]
        return bounds, found.converged

    with resumable(
        "commute_times",
        checkpoint,
        lambda: fingerprint(chain.fingerprint(), sources, targets, tol),
        partial=lambda: None,
    ):
        for state in np.unique([sources, targets]).tolist():
            bounds, has_converged = stage(f"state {state}", partial(solve, state, progress))
            converged &= has_converged
            there = targets == state
            times[0][:, there], times[1][:, sources == state] = np.split(
                bounds, [np.count_nonzero(there)], axis=1
            )
    commute, lower, upper = times.sum(axis=0)
    return CommuteResult(
        commute=commute,
        lower=lower,
        upper=upper,
        forward=times[0, 0],
        backward=times[1, 0],
        lag=chain.lag,
        converged=converged,
    )

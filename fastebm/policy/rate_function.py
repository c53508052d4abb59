"""The large-deviation rate of the mean reward of a chain."""

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
from ..errors import InvalidChainError
from .legendre import LegendreSearch
from .result import reward_parts


@result
class RateFunctionResult(Result):
    """I(a) = sup over real theta of theta a - log lambda(theta): the probability that the mean
    reward of n steps of the chain is near a falls like exp(-n I(a)).

    Attributes
    ----------
    levels : ndarray (n_levels,)
        a.
    rate, rate_lower, rate_upper : ndarray (n_levels,)
        I(a) in nats a step, with proven ends; inf where no cycle of the chain has that mean. An
        interrupted call leaves levels of which only the ends are known, and NaN as the rate.
    theta : ndarray (n_levels,)
        Where the supremum is reached, up to the tolerance: the average-reward policy at
        beta = 1 / theta has the mean reward a. +-inf where the rate is infinite, and at the largest
        and the smallest mean of a cycle, where it is reached in the limit; NaN where the rate is.
    mean_reward : float
        That of the chain itself, where the rate is zero.
    n_iter : int
        Values of theta at which log lambda was found.
    converged : bool
        All ends are within tol of each other.
    """

    levels: FloatArray
    rate: FloatArray
    rate_lower: FloatArray
    rate_upper: FloatArray
    theta: FloatArray
    mean_reward: float
    n_iter: int
    converged: bool


def rate_function(
    reference: MarkovChain,
    reward: npt.ArrayLike | sp.sparray | sp.spmatrix,
    levels: npt.ArrayLike,
    *,
    tol: float = 1e-8,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> RateFunctionResult:
    """The large-deviation rate of the mean reward of `reference` at each level.

    Parameters
    ----------
    reference : MarkovChain
        Irreducible.
    reward : array_like (n_states,) or scipy sparse (n_states, n_states)
        R(y) of the state entered, or r(x, y) on its transitions; finite.
    levels : float or array_like (n_levels,)
    tol : float
        Wanted distance of the ends of a rate.
    num_threads, progress, callback
        As in `simulate_hitting_times`.
    checkpoint : path, optional
        A file from which an interrupted call continues with the same bits.

    Returns
    -------
    RateFunctionResult

    Raises
    ------
    ReducibleChainError
        The states do not communicate.
    InvalidChainError
        A reward or level is not finite.
    Interrupted
        Ctrl-C. `partial` is None before log lambda is known at 0, where the rate is zero; then it
        has what is known of each level.

    Notes
    -----
    Every theta gives a lower end. An upper end follows from the tangents of the convex function
    log lambda at a theta on either side; their slopes are mean rewards with proven ends. At the
    largest mean of a cycle it is -log of the spectral radius of the chain on transitions whose
    cycles all have that mean, which is decided in exact arithmetic.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> coin = fe.MarkovChain(np.full((2, 2), 0.5))
    >>> found = fe.policy.rate_function(coin, [0.0, 1.0], [0.5, 0.75, 2.0])
    >>> (found.rate.round(6) + 0.0).tolist()
    [0.0, 0.130812, inf]
    """
    require_chain(reference, "reference")
    tol = validate.number(tol, "tol", above=0.0, below=1.0)
    wanted = np.atleast_1d(validate.real_array(levels, "levels")).astype(np.float64)
    if wanted.ndim != 1 or not np.isfinite(wanted).all():
        raise InvalidChainError("levels must be one finite number or a vector of them")
    checked = checked_reward(reward, reference)
    numbers = checked if isinstance(checked, np.ndarray) else checked.data
    if not np.isfinite(numbers).all():
        raise InvalidChainError(
            "the reward is -inf somewhere; remove these transitions by tilt(reference, reward, "
            "beta), and take the rate function of that chain for the finite rewards"
        )
    search = LegendreSearch(reference, checked, tol, resolve_threads(num_threads))
    order = np.argsort(wanted, kind="stable")
    with resumable(
        "policy.rate_function",
        checkpoint,
        lambda: fingerprint(reference.fingerprint(), *reward_parts(checked), wanted, tol),
        state=search.state,
        restore=search.restore,
        partial=lambda: _result(search, wanted),
        progress=progress,
        callback=callback,
        keeps=True,
    ) as run:
        search.run(wanted[order], run)
    found = _result(search, wanted)
    assert found is not None
    if not found.converged:
        with np.errstate(invalid="ignore"):
            width = found.rate_upper - found.rate_lower
        worst = int(np.nanargmax(width))  # nan: both ends are inf
        what = f"the rate of the level {wanted[worst]:.17g} is known to {width[worst]:.3g}"
        if width[worst] == np.inf:
            what = (
                f"the rate of the level {wanted[worst]:.17g} has a lower end only: no cycle with "
                "such a mean reward was found, and none that is further out is excluded"
            )
        warn_unconverged(
            f"policy.rate_function: {what} (tol = {tol:.3g}); the ends still hold; raise tol"
        )
    return found


def _result(search: LegendreSearch, wanted: FloatArray) -> RateFunctionResult | None:
    """What is known of the levels; None before the first point."""
    points, done, _ = search.at
    if not points:
        return None
    order = np.argsort(wanted, kind="stable")
    rest = [search.known(a) for a in wanted[order][len(done) :].tolist()]
    found = np.empty((4, len(wanted)))
    found[:, order] = np.array([*done, *rest]).T
    rate, low, high, theta = found
    with np.errstate(invalid="ignore"):
        width = np.where(low == high, 0.0, high - low)
    converged = bool((width <= search.tol).all()) and not rest
    mean = search.points[0.0].mean
    return RateFunctionResult(wanted, rate, low, high, theta, mean, len(points), converged)

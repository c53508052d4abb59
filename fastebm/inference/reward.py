"""Rewards from pairwise preferences, by the convex fit that gives potentials from counts."""

import numpy as np

from .._runtime import validate
from .._runtime.checkpoint import fingerprint
from .._runtime.results import Result, result
from .._runtime.resumable import resumable
from .._runtime.threads import resolve_threads
from .._runtime.types import RNG, Callback, FloatArray, Int32Array, Labels, Path
from ..counts.matrix import CountMatrix, CountsLike
from ..counts.newton import newton
from .potential import require_minimum
from .sandwich import binomial_errors, centered


@result
class RewardFit(Result):
    """Bradley-Terry rewards: P(x is preferred to y) = 1 / (1 + exp(reward(y) - reward(x))).

    Attributes
    ----------
    reward : ndarray (n_items,)
        Mean zero in each component.
    std_error : ndarray (n_items,) or None
        Sandwich standard errors; None with ``std_error=False``.
    std_error_kind : str
        "exact" or "none".
    labels : sequence or None
    components : ndarray int32 (n_items,)
        Rewards are comparable within a component only.
    n_components, n_newton, n_products : int
    last_step : float
        Largest change of a reward in the last Newton step.
    converged : bool
    """

    reward: FloatArray
    std_error: FloatArray | None
    std_error_kind: str
    labels: Labels | None
    components: Int32Array
    n_components: int
    n_newton: int
    n_products: int
    last_step: float
    converged: bool


def fit_reward(
    preferences: CountsLike,
    *,
    labels: Labels | None = None,
    std_error: bool = True,
    tol: float = 1e-10,
    rng: RNG = None,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> RewardFit:
    """Rewards from pairwise preferences: the Bradley-Terry model (Bradley & Terry 1952).

    Fitted by maximum likelihood.

    Parameters
    ----------
    preferences : sparse or dense (n_items, n_items)
        preferences[x, y]: how often x was preferred to y. The diagonal has no effect.
    labels : sequence of length n_items, optional
    std_error : bool
        Whether to compute standard errors: memory n_items^2, time n_items^3.
    tol : float
        Newton's method stops when no reward changes by more.
    rng
        Not used; accepted for uniformity with `fit_potential`.
    num_threads, progress, callback, checkpoint
        As in `simulate_hitting_times`. The checkpoint keeps
        the vectors of Newton's method.

    Returns
    -------
    RewardFit

    Raises
    ------
    ReducibleChainError
        Some group of items won every comparison with the rest: its rewards would be infinite (Ford
        1957).

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> fit = fe.fit_reward(np.array([[0, 30], [10, 0]]))
    >>> round(float(fit.reward[0] - fit.reward[1]), 12) == round(float(np.log(3)), 12)
    True
    """
    tol = validate.number(tol, "tol", above=0.0)
    data = CountMatrix(preferences, labels=labels, name="preferences")
    components, n_components = data.weak_components
    require_minimum(data)
    matrix, threads = data.matrix, resolve_threads(num_threads)
    with resumable(
        "fit_reward",
        checkpoint,
        lambda: fingerprint(matrix.indptr, matrix.indices, matrix.values, tol),
        partial=lambda: None,
    ):
        fit, converged = newton(
            data.graph, "logistic", tol, threads, "fit_reward", progress=progress, callback=callback
        )
    gauge = np.ones(data.n_states)
    errors, kind = None, "none"
    if std_error:
        errors, kind = binomial_errors(fit, components, n_components, gauge), "exact"
    return RewardFit(
        reward=centered(fit.v, components, n_components, gauge),
        std_error=errors,
        std_error_kind=kind,
        labels=data.labels,
        components=components,
        n_components=int(n_components),
        n_newton=fit.n_newton,
        n_products=fit.n_products,
        last_step=fit.step_size,
        converged=converged,
    )

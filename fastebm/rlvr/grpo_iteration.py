"""GRPO's optimum, iterated: the advantages are standardised under the policy of the previous
iteration (Mroueh, arXiv 2503.06639)."""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from .._runtime import validate
from .._runtime.memory import forecast_memory
from .._runtime.types import BoolArray, FloatArray
from .elementwise import checked
from .grpo import logit_of, stopping_shift

MAX_ITERATIONS = 20_000


def grpo_recurrence(
    p_ref: npt.ArrayLike,
    beta: npt.ArrayLike,
    n: int,
    *,
    p_old: npt.ArrayLike | None = None,
    beta_old: npt.ArrayLike = 0.0,
) -> FloatArray:
    """Accuracies of the iterated optimum of GRPO's objective.

    Each iteration maximises E A - beta KL(pi || pi_ref) - beta_old KL(pi || pi_old) with the
    advantages A standardised under the policy before it (Mroueh, arXiv 2503.06639):

        logit p_n = w logit p_ref + (1 - w) logit p_(n-1) + 1 / ((beta + beta_old) sigma_(n-1)),
        w = beta / (beta + beta_old).

    beta_old = 0 is the KL to the reference, beta = 0 is mirror descent.

    Parameters
    ----------
    p_ref, beta : array_like
        Accuracy of the reference policy, in [0, 1]; coefficient of the KL to it, in [0, inf).
    n : int
        Number of iterations, >= 0.
    p_old : array_like, optional
        Accuracy of the policy that the recurrence starts from; None: p_ref.
    beta_old : array_like
        Coefficient of the KL to the policy of the previous iteration, in [0, inf).

    Returns
    -------
    ndarray (n + 1, ...)
        p_0 = p_old to p_n, of the broadcast shape. Without any KL one iteration arrives at 1.

    Raises
    ------
    ValueError
        An argument lies outside its domain.

    Examples
    --------
    >>> from fastebm import rlvr
    >>> rlvr.grpo_recurrence(0.2, 2.0, 3).round(4)
    array([0.2   , 0.466 , 0.4052, 0.4091])
    """
    n = validate.count(n, "n", 0)
    x, x_ref, beta, beta_old = _recurrence_arguments(p_ref, beta, p_old, beta_old)
    forecast_memory(16 * (n + 1) * x.size, f"the accuracies of n = {n:,} iterations", "lower n")
    logits = np.empty((n + 1, *x.shape))
    logits[0] = x
    for i in range(n):
        logits[i + 1] = _iterate(logits[i], x_ref, beta, beta_old)
    return np.asarray(expit(logits), np.float64)


def grpo_fixed_point(
    p_ref: npt.ArrayLike,
    beta: npt.ArrayLike,
    *,
    p_old: npt.ArrayLike | None = None,
    beta_old: npt.ArrayLike = 0.0,
) -> Any:
    """The accuracy to which `grpo_recurrence` converges.

    Parameters
    ----------
    p_ref, beta, p_old, beta_old
        See `grpo_recurrence`.

    Returns
    -------
    float or ndarray
        The lower solution of logit p = logit p_ref + 1 / (beta sigma(p)), which exceeds p_ref and
        does not depend on beta_old; 1 where the recurrence grows without bound; NaN where it does
        not settle, as in a cycle: give more of beta_old.

    Raises
    ------
    ValueError
        An argument lies outside its domain.

    Notes
    -----
    The map is convex in the logit. An iterate above the upper solution grows without bound. One
    below the upper solution, where the map rises, converges monotonically to the lower one. Other
    iterates are followed; a limit is claimed only within 1e-9 of a solution of slope above -1.

    Examples
    --------
    >>> from fastebm import rlvr
    >>> p = rlvr.grpo_fixed_point([0.2, 0.2], [2.0, 0.5])
    >>> p.round(4)
    array([0.4087, 1.    ])
    >>> float(rlvr.grpo_recurrence(0.2, 2.0, 50)[-1].round(4))
    0.4087
    """
    x, x_ref, beta, beta_old = _recurrence_arguments(p_ref, beta, p_old, beta_old)
    shape, (x, x_ref, beta, beta_old) = x.shape, (v.ravel() for v in (x, x_ref, beta, beta_old))
    p = np.full(x.shape, np.nan)
    fixed = np.isinf(x)
    p[fixed] = expit(x[fixed])
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        lower = x_ref + stopping_shift(np.where(np.isfinite(x_ref), x_ref, 0.0), beta)
        # Above the upper solution: past the minimum of h, and h > 0.
        past = 2 * np.arcsinh(beta)
        for _ in range(MAX_ITERATIONS):
            open_ = np.isnan(p)
            if not open_.any():
                break
            h = 2 * np.cosh(x / 2) - beta * (x - x_ref)
            grows = (h > 0) & ((x > past) | ~np.isfinite(lower)) | (x == np.inf)
            slope = (beta_old + np.sinh(x / 2)) / (beta + beta_old)
            at_lower = (beta_old + np.sinh(lower / 2)) / (beta + beta_old)
            near = (np.abs(x - lower) <= 1e-9 * np.maximum(1, np.abs(lower))) & (at_lower > -1)
            settles = ~grows & np.isfinite(lower) & ((slope >= 0) | near)
            p = np.where(open_ & grows, 1.0, np.where(open_ & settles, expit(lower), p))
            x = np.where(np.isnan(p), _iterate(x, x_ref, beta, beta_old), x)
    found = p.reshape(shape)
    return float(found) if found.ndim == 0 else found


def _recurrence_arguments(
    p_ref: npt.ArrayLike, beta: npt.ArrayLike, p_old: npt.ArrayLike | None, beta_old: npt.ArrayLike
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """(logit p_old, logit p_ref, beta, beta_old), checked and of one shape."""
    beta, beta_old = checked("beta", beta), checked("beta", beta_old)
    for name, values in (("beta", beta), ("beta_old", beta_old)):
        if np.isinf(values).any():
            raise ValueError(f"{name} is infinite: the policy would not move; give a finite one")
    p_ref = checked("p0", p_ref)
    p_old = p_ref if p_old is None else checked("p0", p_old)
    with np.errstate(divide="ignore"):
        found = np.broadcast_arrays(logit_of(p_old), logit_of(p_ref), beta, beta_old)
    return found[0], found[1], found[2], found[3]


def _iterate(
    x: FloatArray, x_ref: FloatArray, beta: FloatArray, beta_old: FloatArray
) -> FloatArray:
    """The next logits. Without variance (p in {0, 1}) there is no advantage, and p stays."""
    both = beta + beta_old
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        weight = np.where(both > 0, beta / both, 0.0)
        pulled = np.where(weight > 0, weight * x_ref, 0.0)
        kept = np.where(weight < 1, (1 - weight) * x, 0.0)
        moved = pulled + kept + 2 * np.cosh(x / 2) / both
    stays: BoolArray = np.isinf(x)
    return np.where(stays, x, np.where(np.isnan(moved), np.inf, moved))

"""GRPO: policy gradients with standardised advantages, for one prompt of accuracy p.

GRPO divides the advantages by the standard deviation sigma(p) = sqrt(p (1 - p)) of the rewards of a
group; in the limit of large groups its natural gradient flow is, with l = logit p - logit p0,

    dl/dt = 1 / sigma(p) - beta l.

Without KL (beta = 0) that is dp/dt = sigma(p), so p(t) = sin^2(arcsin sqrt(p0) + t / 2), which
arrives at p = 1 in finite time. With KL it is integrated in the angle a = arcsin sqrt(p), in which
the velocity is bounded and smooth:

    da/dt = 1/2 - beta sin(2 a) l / 4,      l = 2 log1p(sin(a - a0) / (cos a sin a0)).

The flow stops where beta l = 1 / sigma(p). With x = logit p, 1 / sigma = 2 cosh(x / 2) is convex,
so there are two such points or none: the flow from the reference policy arrives at the lower one,
or at p = 1 if there is none.
"""

from typing import Any, overload

import numpy as np
import numpy.typing as npt
from scipy.integrate import solve_ivp

from .._runtime import validate
from .._runtime.types import FloatArray
from .elementwise import checked, closed_form
from .laws import tilted

OBJECTIVES = ("reinforce", "rejection_sampling", "grpo", "maximum_likelihood")
# Values integrated in one call. The integrator bounds the root mean square of their errors, so its
# tolerance is TOLERANCE / sqrt(n) for each of n values to meet TOLERANCE.
BLOCK, TOLERANCE = 400, 1e-12
# The flow is within l* exp(-rate t) of its limit l*, and nothing is left of exp(-50) l*.
SETTLED = 50.0
# Gauss-Legendre rule of `arrival_time`, and the factor beyond which a flow has surely arrived.
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(120)
ARRIVED = 1.001


def logit_of(p: FloatArray) -> FloatArray:
    """log(p / (1 - p)); 1 - p is exact for p >= 1/2."""
    return np.log(p) - np.log1p(-p)


def _angle(p: FloatArray) -> FloatArray:
    return np.arctan2(np.sqrt(p), np.sqrt(1 - p))


def stopping_shift(x0: FloatArray, beta: FloatArray) -> FloatArray:
    """The smallest l > 0 with beta l = 1 / sigma at logit x0 + l; inf where there is none.

    Arguments have one shape, x0 is finite. h(l) = 2 cosh((x0 + l) / 2) - beta l is convex with its
    minimum where sinh((x0 + l) / 2) = beta. Left of it h falls, and has a root if h <= 0 there.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        low = np.zeros_like(x0)
        high = 2 * np.arcsinh(beta) - x0
        exists = (beta > 0) & (high > 0)
        high = np.where(exists, high, 1.0)
        exists &= 2 * np.hypot(1.0, beta) <= beta * high

        def excess(shift: FloatArray) -> FloatArray:
            return 2 * np.cosh((x0 + shift) / 2) - beta * shift

        for _ in range(60):
            middle = (low + high) / 2
            is_left = excess(middle) > 0
            low, high = np.where(is_left, middle, low), np.where(is_left, high, middle)
        # Newton from the left of the root of a convex falling function does not pass it: relative
        # accuracy also for roots far below the width of the bracket.
        for _ in range(80):
            slope = np.sinh((x0 + low) / 2) - beta
            step = -excess(low) / np.where(slope < 0, slope, -np.inf)
            low = np.where(exists & np.isfinite(step), np.maximum(low + step, low), low)
    return np.where(exists, low, np.inf)


def arrival_time(x0: FloatArray, beta: FloatArray) -> FloatArray:
    """The time at which the flow from logit x0 arrives at p = 1, to about 1e-6, where it does (no
    stopping shift): the integral of 1 / h over l.

    x = c + w sinh(v) resolves the narrow passage that h has at its minimum c for beta near the
    largest that lets the flow through. 1 / h falls like exp(-x / 2).
    """
    with np.errstate(over="ignore", invalid="ignore"):
        c = np.maximum(2 * np.arcsinh(beta), x0)
        h = 2 * np.cosh(c / 2) - beta * (c - x0)
        w = np.sqrt(np.maximum(h, 0.0) / (np.cosh(c / 2) / 2))
        first, last = np.arcsinh((x0 - c) / w), np.arcsinh(80 / w)
        half, middle = (last - first) / 2, (last + first) / 2
        v = middle[:, None] + half[:, None] * _NODES
        x = c[:, None] + w[:, None] * np.sinh(v)
        h = 2 * np.cosh(x / 2) - beta[:, None] * (x - x0[:, None])
        time: FloatArray = ((w * half)[:, None] * np.cosh(v) / h) @ _WEIGHTS
    return time


def velocity(angle: FloatArray, angle0: FloatArray, beta: FloatArray) -> FloatArray:
    """da/dt. Beyond an end of [0, pi/2] it stays 1/2, the value at the ends."""
    inside = (angle > 0) & (angle < np.pi / 2)
    a = np.where(inside, angle, np.pi / 4)
    with np.errstate(divide="ignore", over="ignore"):
        ratio = np.sin(a - angle0) / (np.cos(a) * np.sin(angle0))
        shift = 2 * np.log1p(np.maximum(ratio, -1.0))
    pull = np.where(inside & np.isfinite(shift), np.sin(2 * a) * shift, 0.0)
    return 0.5 - beta / 4 * pull


def grpo_accuracy(
    p0: FloatArray, beta: FloatArray, t: FloatArray, tolerance: float = TOLERANCE
) -> FloatArray:
    """`grpo_flow` of checked arguments of one shape (n,): beta of any sign, finite times, p0 inside
    (0, 1)."""
    angle0 = _angle(p0)
    shift = stopping_shift(logit_of(p0), beta)
    p = np.empty_like(p0)
    with np.errstate(over="ignore", invalid="ignore"):
        # h is convex, so |h(l)| >= |h'(l*)| (l* - l): the distance decays at this rate or faster.
        rate = beta - np.sinh((logit_of(p0) + shift) / 2)
        settled = np.isfinite(shift) & (rate * t > SETTLED)
        p[settled] = tilted(p0[settled], shift[settled])[0]
        free = ~settled & (beta == 0)
        p[free] = np.sin(np.clip(angle0[free] + t[free] / 2, 0.0, np.pi / 2)) ** 2
        # The velocity has a kink at p = 1, which slows the integrator down.
        arrived = ~np.isfinite(shift) & ~free
        arrived[arrived] = t[arrived] > ARRIVED * arrival_time(logit_of(p0[arrived]), beta[arrived])
        p[arrived] = 1.0
    (rest,) = np.nonzero(~settled & ~free & ~arrived)
    for begin in range(0, rest.size, BLOCK):
        at = rest[begin : begin + BLOCK]
        p[at] = _integrated(angle0[at], beta[at], t[at], tolerance)
    return p


def _integrated(
    angle0: FloatArray, beta: FloatArray, t: FloatArray, tolerance: float
) -> FloatArray:
    """All values at once, each in its own time u = time / t from 0 to 1."""

    def slope(_: float, moved: FloatArray) -> FloatArray:
        return t * velocity(angle0 + moved, angle0, beta)

    rtol = max(tolerance / np.sqrt(angle0.size), 3e-14)
    found = solve_ivp(
        slope,
        (0.0, 1.0),
        np.zeros_like(angle0),
        method="DOP853",
        rtol=rtol,
        # Relative to the distance from the ends; squares of errors over it stay in range.
        atol=rtol * np.maximum(np.minimum(angle0, np.pi / 2 - angle0), 1e-100),
        t_eval=[1.0],
    )
    if not found.success:
        raise ArithmeticError(f"the integrator stopped: {found.message}")
    angle = np.clip(angle0 + found.y[:, -1], 0.0, np.pi / 2)
    return np.sin(angle) ** 2


@overload
def grpo_flow(p0: float, beta: float, t: float) -> float: ...
@overload
def grpo_flow(p0: npt.ArrayLike, beta: npt.ArrayLike, t: npt.ArrayLike) -> FloatArray: ...
@closed_form(arrays=6)
def grpo_flow(p0: npt.ArrayLike, beta: npt.ArrayLike, t: npt.ArrayLike) -> Any:
    """Accuracy at time `t` of the natural gradient flow with standardised advantages (GRPO).

    dl/dt = 1 / sqrt(p (1 - p)) - beta l with logit p = logit p0 + l. Without KL this is
    p(t) = sin^2(arcsin sqrt(p0) + t / 2), and 1 from t = pi - 2 arcsin sqrt(p0) on.

    Parameters
    ----------
    p0, beta : array_like
        Accuracy of the reference policy, in [0, 1]; KL coefficient in [0, inf], where inf keeps p0.
    t : array_like
        Flow time in [0, inf]; inf gives the limit.

    Returns
    -------
    float or ndarray
        Accuracy in [0, 1], of the broadcast shape. The closed form is accurate to rounding. With KL
        the absolute error is below 1e-10 (the integrator's tolerance is 1e-12; tested against
        mpmath).

    Raises
    ------
    ValueError
        An argument lies outside its domain.

    Notes
    -----
    Prompts of p0 = 0 or 1 have no variance, so they do not move. For small beta no policy below
    p = 1 balances the KL, since the advantages of a nearly solved prompt are scaled up without
    bound: the flow then arrives at 1 in finite time.

    Examples
    --------
    >>> from fastebm import rlvr
    >>> rlvr.grpo_flow(0.2, 0.0, [0.0, 1.0, 2.0, 3.0]).round(4)
    array([0.2   , 0.6745, 0.9886, 1.    ])
    >>> rlvr.grpo_flow(0.2, 2.0, [0.0, 1.0, float("inf")]).round(4)
    array([0.2   , 0.384 , 0.4087])
    """
    p0, beta, t = np.broadcast_arrays(checked("p0", p0), checked("beta", beta), checked("t", t))
    p = np.array(p0, dtype=np.float64)
    moves = (p0 > 0) & (p0 < 1) & (t > 0) & np.isfinite(beta)
    endless = moves & np.isinf(t)
    p[endless] = _limit(p0[endless], beta[endless])
    moves &= ~endless
    p[moves] = grpo_accuracy(p0[moves], beta[moves], t[moves])
    return p


def _limit(p0: FloatArray, beta: FloatArray) -> FloatArray:
    """The limit of the flow from p0 in (0, 1)."""
    shift = stopping_shift(logit_of(p0), beta)
    return np.where(np.isfinite(shift), tilted(p0, np.where(np.isfinite(shift), shift, 0.0))[0], 1)


@closed_form(arrays=2)
def objective_weights(p: npt.ArrayLike, objective: str) -> Any:
    """The weight of a prompt's score function grad log p in the gradient of an objective.

    The expected gradient of each of these objectives is a weight times grad log p (arXiv
    2509.22637), so the weight decides which prompts it favours.

    Parameters
    ----------
    p : array_like
        Accuracy on the prompt, in [0, 1].
    objective : "reinforce" | "rejection_sampling" | "grpo" | "maximum_likelihood"
        The mean reward; the log likelihood of accepted answers (with as many proposals for each
        prompt); the mean standardised advantage; log p.

    Returns
    -------
    float or ndarray
        p, p, sqrt(p / (1 - p)) and 1; inf for "grpo" at p = 1.

    Raises
    ------
    ValueError
        An accuracy outside [0, 1], or an unknown objective.

    Examples
    --------
    >>> from fastebm import rlvr
    >>> [float(rlvr.objective_weights(0.2, o)) for o in ("reinforce", "grpo")]
    [0.2, 0.5]
    """
    objective = validate.choice(objective, "objective", OBJECTIVES)
    p = checked("p", p)
    if objective == "grpo":
        return np.sqrt(p) / np.sqrt(1 - p)
    return np.ones_like(p) if objective == "maximum_likelihood" else p.copy()

"""The law of a small chain from the logs of its transition probabilities, some of which are beyond
the range of a double: dense elimination without subtractions (Grassmann, Taksar & Heyman 1985) in
numbers m 2^e, e an integer of its own.

The mantissas m are long doubles: where these have 64 bits, the bound of the error is small enough
for 600 states. Where they are doubles, the bound is larger and says so.
"""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from .._runtime.types import FloatArray
from .rounding import UNIT

_LongArray = npt.NDArray[np.longdouble]
_Wide = tuple[_LongArray, npt.NDArray[np.int64]]

# log 2 in two parts; the first has 33 bits, so that its products with integers are exact
LN2_HIGH, LN2_LOW = (
    np.longdouble(6.93147180369123816490e-01),
    np.longdouble("1.9082149292705877e-10"),
)
# The exponent of zero, and more than any shift that leaves a digit.
NOTHING, FAR = -(2**40), 40_000


def eliminate_logs(logs: FloatArray, tick: Callable[[], None]) -> tuple[FloatArray, float]:
    """(log_pi, error) of an irreducible chain.

    Parameters
    ----------
    logs : ndarray (n_states, n_states)
        log P(x, y); -inf where there is no transition. The diagonal is not used.
    tick : callable
        Called once a state.

    Returns
    -------
    log_pi : ndarray (n_states,)
        -inf in states that are not reached.
    error : float
        Bound of the relative error of exp(log_pi), to first order, for log P as given; the rounding
        of log_pi itself comes on top where pi is below 1e-308.
    """
    n = len(logs)
    m, e = _from_logs(logs)
    for k in range(n - 1, 0, -1):
        tick()
        leave, unit = _sums((m[None, k, :k], e[None, k, :k]))
        if leave[0] == 0.0:
            return np.full(n, -np.inf), math.inf
        m[:k, k], e[:k, k] = _normal(m[:k, k] / leave[0], e[:k, k] - unit[0])
        m[:k, :k], e[:k, :k] = _sum(
            (m[:k, :k], e[:k, :k]), (m[:k, k, None] * m[k, :k], e[:k, k, None] + e[k, :k])
        )
    y, unit = np.ones(n, np.longdouble), np.zeros(n, np.int64)
    for k in range(1, n):
        column = (y[None, :k] * m[:k, k], unit[None, :k] + e[:k, k])
        (y[k : k + 1], unit[k : k + 1]) = _sums(column)
    with np.errstate(divide="ignore"):
        log_y = np.log(y) + unit * (LN2_HIGH + LN2_LOW)
    top = log_y.max()
    log_pi = np.asarray(log_y - top - np.log(np.exp(log_y - top).sum()), np.float64)
    return log_pi, _error(logs, log_pi)


def _error(logs: FloatArray, log_pi: FloatArray) -> float:
    """Six half-ulps, twice, for each of the rows next to each pivot, a third of it for the law, and
    twice for the ratio of a component and the sum; then the exponentials of `logs`."""
    n, half_ulp = len(logs), float(np.finfo(np.longdouble).eps) / 2.0
    rounding = 32.0 * half_ulp * (0.5 * n * n + 2.0 * n)
    largest = float(np.abs(logs[np.isfinite(logs)]).max(initial=0.0))
    depth = float(np.abs(log_pi[np.isfinite(log_pi)]).max(initial=0.0))
    return rounding + 4.0 * n * (largest + 8.0) * half_ulp + (3.0 * min(depth, 745.0) + 16.0) * UNIT


def _from_logs(logs: FloatArray) -> _Wide:
    whole = np.where(np.isfinite(logs), np.rint(logs / math.log(2.0)), 0.0).astype(np.longdouble)
    m = np.exp((logs - whole * LN2_HIGH) - whole * LN2_LOW)
    return _normal(m, whole.astype(np.int64))


def _normal(m: _LongArray, e: npt.NDArray[np.int64]) -> _Wide:
    """m in [0.5, 1), or zero."""
    m, shift = np.frexp(m)
    return m, np.where(m > 0.0, e + shift, NOTHING)


def _sum(x: _Wide, y: _Wide) -> _Wide:
    top = np.maximum(x[1], y[1])
    parts = [np.ldexp(m, np.maximum(e - top, -FAR)) for m, e in (x, y)]
    return _normal(parts[0] + parts[1], top)


def _sums(x: _Wide) -> _Wide:
    """The sums along the last axis."""
    top = x[1].max(axis=-1)
    return _normal(np.ldexp(x[0], np.maximum(x[1] - top[..., None], -FAR)).sum(axis=-1), top)

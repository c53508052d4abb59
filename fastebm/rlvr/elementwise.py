"""Shared by the closed forms of RLVR: the domains of their arguments, infinite answers, and core
calls cut into short pieces."""

import functools
import math
from collections.abc import Callable
from typing import Any, ParamSpec

import numpy as np
import numpy.typing as npt

from .._runtime import validate
from .._runtime.memory import forecast_memory
from .._runtime.pacing import paced_ranges
from .._runtime.types import BoolArray, FloatArray

P = ParamSpec("P")

# (lowest value, largest value, remedy)
_ACCURACY = (
    0.0,
    1.0,
    "an accuracy lies in [0, 1]; divide percentages by 100, drop prompts without samples",
)
_ENTROPY = (
    0.0,
    float(np.finfo(float).max),
    "an entropy is finite and >= 0 nats wherever its event has positive probability",
)
_LOGIT = (-np.inf, np.inf, "a logit is a number or +-inf; drop prompts without samples")
_DOMAINS = {
    "p": _ACCURACY,
    "p0": _ACCURACY,
    "h_correct": _ENTROPY,
    "h_wrong": _ENTROPY,
    "beta": (0.0, np.inf, "a KL coefficient is >= 0; inf keeps the reference policy"),
    "t": (0.0, np.inf, "a flow time is >= 0; inf gives the target"),
    "k": (1.0, np.inf, "at least k = 1 attempt is needed"),
    "kl": (0.0, np.inf, "a KL budget is >= 0 nats; inf allows any accuracy"),
    "alpha": (
        -1e6,
        1e6,
        "the order of a divergence lies in [-1e6, 1e6]; 1 is KL(pi || pi_ref), "
        "0 is KL(pi_ref || pi)",
    ),
}

# What callers compute, and may have rounded past an end of its range (`validate.END_ROUNDING`).
_COMPUTED = {"p", "p0", "h_correct", "h_wrong", "t", "kl"}

# beta = 0 is computed with this value: the results equal the limit to rounding, and no product
# 0 * inf occurs.
COLDEST = 1e-100


def checked(name: str, values: npt.ArrayLike, logit: bool = False) -> FloatArray:
    """`values` as float64, every entry inside the domain of the argument `name`; with `logit` the
    entries are logits."""
    if np.ma.is_masked(values):
        raise ValueError(
            f"{name} has masked entries; leave them out, or replace them by numbers with .filled()"
        )
    array: FloatArray = np.asarray(validate.real_array(values, name), dtype=np.float64)
    low, high, remedy = _LOGIT if logit else _DOMAINS[name]
    bad = ~((low <= array) & (array <= high))  # also true for NaN
    if not logit and name in _COMPUTED and bad.any():
        array = validate.clipped(array, low, high)
        bad = ~((low <= array) & (array <= high))
    if bad.any():
        index = tuple(int(i) for i in np.argwhere(bad)[0])
        where = f"[{', '.join(map(str, index))}]" if index else ""
        raise ValueError(f"{name}{where} = {array[index]}: {remedy}")
    return array


def closed_form(*, arrays: int) -> Callable[[Callable[P, npt.ArrayLike]], Callable[P, Any]]:
    """Decorator: arguments whose broadcast shape does not fit into memory are refused. Infinite
    results are valid here, so they raise no warnings; zero-dimensional results become floats.

    Parameters
    ----------
    arrays : int
        The function holds at least this many arrays of the broadcast shape at a time.
    """

    def decorate(function: Callable[P, npt.ArrayLike]) -> Callable[P, Any]:
        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> Any:
            _forecast(arrays, *args, *kwargs.values())
            with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
                result: Any = function(*args, **kwargs)
            return float(result) if np.ndim(result) == 0 else result

        return wrapper

    return decorate


def _forecast(arrays: int, *arguments: Any) -> None:
    try:
        shape = np.broadcast_shapes(*map(np.shape, arguments))
    except ValueError:  # the function itself names the argument
        return
    forecast_memory(
        8 * arrays * math.prod(shape),
        f"values of shape {shape}",
        "pass shorter arrays, or the grid in pieces",
    )


def times(weight: Any, value: Any) -> Any:
    """weight * value, and 0 where the weight is 0 even if the value is infinite or NaN."""
    product, zero = weight * value, weight == 0
    return np.where(zero, 0.0, product) if np.any(zero) else product


def sigmoid(x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(p, 1 - p) of a logit, each to full relative precision."""
    small: FloatArray = np.exp(-np.abs(x))
    right: BoolArray = x >= 0
    large = 1 / (1 + small)
    small *= large
    return np.where(right, large, small), np.where(right, small, large)


def log_sigmoid(x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(log p, log(1 - p)) of a logit, each to full relative precision."""
    rest = np.log1p(np.exp(-np.abs(x)))
    return np.minimum(x, 0.0) - rest, -np.maximum(x, 0.0) - rest


def in_pieces(kernel: Callable[..., None], *arguments: FloatArray | None) -> FloatArray:
    """Evaluate kernel(*arguments, out) of the core over the broadcast shape of the arguments, in
    calls between which Ctrl-C is answered.

    An argument of None stays None. Arguments of one number are not copied, nor are contiguous ones
    of the whole shape.
    """
    shape = np.broadcast_shapes(*(argument.shape for argument in arguments if argument is not None))
    out: FloatArray = np.empty(math.prod(shape))
    flat = [
        argument
        if argument is None
        else argument.reshape(1)
        if argument.size == 1
        else np.ascontiguousarray(np.broadcast_to(argument, shape)).reshape(-1)
        for argument in arguments
    ]
    for begin, end in paced_ranges(out.size):
        kernel(*(x if x is None or x.size == 1 else x[begin:end] for x in flat), out[begin:end])
    return out.reshape(shape)

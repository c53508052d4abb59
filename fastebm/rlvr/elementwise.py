"""What the closed forms of RLVR share: the domains of their arguments, infinite answers, and calls of the core in pieces."""

import functools
import math

import numpy as np

from .._runtime import validate
from .._runtime.pacing import Pacer

_ACCURACY = (
    0.0,
    1.0,
    "an accuracy lies in [0, 1]; divide percentages by 100, drop prompts without samples",
)
_REAL = np.finfo(float).max
_ENTROPY = (
    0.0,
    _REAL,
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
    "kl": (0.0, np.inf, "a KL budget is >= 0 nats; inf buys any accuracy"),
    "alpha": (
        -1e6,
        1e6,
        "the order of a divergence lies in [-1e6, 1e6]; 1 is KL(pi || pi_ref), 0 is KL(pi_ref || pi)",
    ),
}

# beta = 0 is computed as this: its results equal the limit to rounding, and no product 0 * inf arises.
COLDEST = 1e-100


def checked(name, values, logit=False):
    """`values` as float64, every entry inside the domain of the argument `name`, or (logit) a logit of one."""
    if np.ma.is_masked(values):
        raise ValueError(
            f"{name} has masked entries; leave them out, or replace them by numbers with .filled()"
        )
    values = np.asarray(validate.real_array(values, name), dtype=float)
    low, high, remedy = _LOGIT if logit else _DOMAINS[name]
    bad = ~((low <= values) & (values <= high))  # also true for NaN
    if bad.any():
        index = tuple(int(i) for i in np.argwhere(bad)[0])
        where = f"[{', '.join(map(str, index))}]" if index else ""
        raise ValueError(f"{name}{where} = {values[index]}: {remedy}")
    return values


def closed_form(function):
    """Infinities are answers here, so they raise no warnings; zero-dimensional results become floats."""

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            result = function(*args, **kwargs)
        return float(result) if np.ndim(result) == 0 else result

    return wrapper


def times(weight, value):
    """weight * value, where a zero weight wins over any value: infinite, or NaN for undefined."""
    product, zero = weight * value, weight == 0
    return np.where(zero, 0.0, product) if np.any(zero) else product


def sigmoid(x):
    """(p, 1 - p) of a logit, each to full relative precision."""
    small, right = np.exp(-np.abs(x)), x >= 0
    large = 1 / (1 + small)
    small *= large
    return np.where(right, large, small), np.where(right, small, large)


def log_sigmoid(x):
    """(log p, log(1 - p)) of a logit, each to full relative precision."""
    rest = np.log1p(np.exp(-np.abs(x)))
    return np.minimum(x, 0.0) - rest, -np.maximum(x, 0.0) - rest


def in_pieces(kernel, *arguments):
    """kernel(*arguments, out) of the core over the broadcast shape of arguments (None stays None), in calls between which Ctrl-C is
    answered. Arguments of one number are not copied, nor are contiguous ones of the whole shape."""
    shape = np.broadcast_shapes(*(argument.shape for argument in arguments if argument is not None))
    out, begin, pace = np.empty(math.prod(shape)), 0, Pacer()
    flat = [
        argument
        if argument is None
        else argument.reshape(1)
        if argument.size == 1
        else np.ascontiguousarray(np.broadcast_to(argument, shape)).reshape(-1)
        for argument in arguments
    ]
    while begin < out.size:
        end = min(begin + pace.size, out.size)
        with pace:
            kernel(*(x if x is None or x.size == 1 else x[begin:end] for x in flat), out[begin:end])
        begin = end
    return out.reshape(shape)

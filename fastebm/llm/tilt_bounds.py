"""Rigorous intervals of what a tilt does, where only intervals of its weights are known.

A law q on items is tilted to P proportional to q z, and of each z only an interval is known. An
item may stand for many whose single laws are not known.
"""

from typing import NamedTuple

import numpy as np

from .._runtime.types import FloatArray
from ..linalg.rounding import UNIT
from .masses import Interval

_BISECTIONS = 40
# Below this sum the weights underflow, and the crude upper end is taken.
_TINY = 1e-250


class Weights(NamedTuple):
    """Items of a law and the intervals of the logarithms of their weights, (n_items,) each."""

    q: FloatArray
    log_low: FloatArray
    log_high: FloatArray


def smallest_mean(items: Weights, values: FloatArray) -> float:
    """The smallest mean of the values under P, over all weights in their intervals.

    The mean is linear-fractional in the weights. So at its minimum each weight is at an end: at the
    upper one for values below the mean, and at the lower one for those above it.
    """
    order = np.argsort(values, kind="stable")
    shift = items.log_high.max()
    low, high = (
        np.exp(log[order] - shift) * items.q[order] for log in (items.log_low, items.log_high)
    )
    value = values[order]
    # the first j at their upper ends
    below = [np.concatenate([[0.0], np.cumsum(part)]) for part in (high, high * value)]
    above = [np.concatenate([np.cumsum(part[::-1])[::-1], [0.0]]) for part in (low, low * value)]
    mass, moment = below[0] + above[0], below[1] + above[1]
    usable = mass > 0.0
    found = float((moment[usable] / mass[usable]).min())
    size = float(np.abs(value).max())
    return found - _rounding(len(value)) * size


def largest_mean(items: Weights, values: FloatArray) -> float:
    """The largest mean of the values under P."""
    return -smallest_mean(items, -values)


def divergence(items: Weights) -> Interval:
    """The ends of KL(P || q) in nats.

    They also hold for the KL of the single laws within items, whatever these are: the lower one by
    the data processing inequality, and the upper one because it is that of chords, which are linear
    in the mass of an item.
    """
    q = items.q / items.q.sum()
    items = Weights(q, items.log_low, items.log_high)
    if (items.log_low == items.log_high).all() and np.ptp(items.log_high) == 0.0:
        return 0.0, 0.0  # nothing is tilted
    upper = _largest_divergence(items)
    return min(max(_smallest_divergence(items), 0.0), upper), upper


def _smallest_divergence(items: Weights) -> float:
    """By Gibbs' inequality ``KL(P || q) >= E_P f`` for every f with ``E_q exp(f) = 1``. The best f
    is the logarithm of the density at the minimum, where every weight is the one in its interval
    next to a common level."""
    q, log_low, log_high = items
    below, above = float(log_low.min()), float(log_high.max())
    for _ in range(_BISECTIONS):
        level = (below + above) / 2
        log_z = np.clip(level, log_low, log_high)
        tilted = q * np.exp(log_z - log_z.max())
        if float(tilted @ log_z) > level * float(tilted.sum()):
            below = level
        else:
            above = level
    log_z = np.clip((below + above) / 2, log_low, log_high)
    shift = log_z.max()
    log_density = log_z - (shift + np.log(float(q @ np.exp(log_z - shift))))
    # log_density is a difference of numbers as large as log_z
    size = 1.0 + float(np.abs(log_z).max())
    return smallest_mean(items, log_density) - _rounding(len(q)) * size


def _largest_divergence(items: Weights) -> float:
    """``KL = S / Z - log Z`` with Z = sum q z and S = sum q z log z. On its interval z log z is
    below its chord, so for given Z the sum S is at most that of a knapsack filled in the order of
    the slopes of the chords. It is piecewise linear in Z, and ``(A + B Z) / Z - log Z`` is largest
    at an end of the piece or at Z = -A."""
    q, log_low, log_high = items
    shift = float(log_high.max())
    log_low, log_high = log_low - shift, log_high - shift
    low, high = np.exp(log_low), np.exp(log_high)
    mass = float(q @ low)
    if mass < _TINY:
        top = float(log_low.max())
        return -(top + float(np.log(q @ np.exp(log_low - top)))) + _rounding(len(q)) * (1.0 - top)
    entropy_low, entropy_high = low * log_low, high * log_high
    width = high - low
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.where(width > 0.0, (entropy_high - entropy_low) / width, -np.inf)
    order = np.argsort(-slope, kind="stable")
    Z = mass + np.concatenate([[0.0], np.cumsum((q * width)[order])])
    S = float(q @ entropy_low) + np.concatenate(
        [[0.0], np.cumsum((q * (entropy_high - entropy_low))[order])]
    )
    found = float((S / Z - np.log(Z)).max())
    B = slope[order][width[order] > 0.0]
    A = S[: B.size] - B * Z[: B.size]
    inside = (Z[: B.size] < -A) & (-A < Z[1 : B.size + 1])
    if inside.any():
        found = max(found, float((B[inside] - 1.0 - np.log(-A[inside])).max()))
    size = 2.0 + float(np.abs(S / Z).max()) + float(np.abs(np.log(Z)).max())
    return found + _rounding(len(q)) * size


def _rounding(n_items: int) -> float:
    """Relative rounding of sums over the items, and of the rows of the model."""
    return (n_items + 256.0) * UNIT


def next_law(items: Weights) -> tuple[FloatArray, FloatArray]:
    """The ends of the probability of each item under P."""
    shift = items.log_high.max()
    low, high = (items.q * np.exp(log - shift) for log in (items.log_low, items.log_high))
    rounding = 4.0 * _rounding(len(low))
    others_low, others_high = (np.maximum(part.sum() - part, 0.0) for part in (low, high))
    # the difference has the rounding of the sum
    slack_low, slack_high = (rounding * part.sum() for part in (low, high))
    with np.errstate(divide="ignore", invalid="ignore"):
        lower = low / (low + others_high + slack_high) * (1.0 - rounding)
        upper = high / (high + np.maximum(others_low - slack_low, 0.0)) * (1.0 + rounding)
    return np.nan_to_num(lower), np.where(high > 0.0, np.minimum(upper, 1.0), 0.0)

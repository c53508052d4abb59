"""Poisson probabilities, to one rounding each, between truncation points with proven tails.

Fox & Glynn (1988) multiply ratios from the mode on in floating point, which loses a relative
error of about sqrt(mean) roundings. Here the ratios are multiplied in integers of some hundred
bits, for a mean that is a rational number: rate times time as they are, not rounded.
"""

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from .._runtime.memory import forecast_memory
from .._runtime.types import FloatArray

# Of the integers: the probability of the mode has so many bits.
BITS = 256
# Terms are left out below 2^-DEPTH of the mode.
DEPTH = 110


class PoissonWeights(NamedTuple):
    """Probabilities of first, first + 1, ..., each to a relative error of 2^-52.

    Attributes
    ----------
    first : int
    weight : ndarray (n,)
    tail : float
        A bound of the probability of all other numbers.
    """

    first: int
    weight: FloatArray
    tail: float


def poisson_weights(mean: Fraction) -> PoissonWeights:
    """The probabilities of the Poisson law with this mean, down to 2^-DEPTH of the largest."""
    if mean == 0:
        return PoissonWeights(0, np.ones(1), 0.0)
    width = 30 * math.isqrt(math.ceil(mean)) + 200
    forecast_memory(200 * width, f"the Poisson law of mean {float(mean):.3g}", "lower t")
    first, integers, beyond = integer_weights(mean, BITS, DEPTH)
    total = sum(integers)
    # the smallest integers have BITS - DEPTH bits and are wrong by one unit for each step from the
    # mode, less than 2^-60 of themselves: only the ratio is rounded
    weight = np.array([float(Fraction(w, total)) for w in integers])
    return PoissonWeights(first, weight, float(Fraction(beyond, total)) + 2.0**-140)


def integer_weights(mean: Fraction, bits: int, depth: int) -> tuple[int, list[int], int]:
    """(first, weights relative to 2^bits at the mode, bound of the sum of all others)."""
    top, bottom, mode = mean.numerator, mean.denominator, math.floor(mean)
    least = 1 << (bits - depth)
    up, k, w = [1 << bits], mode, 1 << bits
    while w > least:
        k += 1
        w = w * top // (bottom * k)
        up.append(w)
    # the ratios beyond are below mean / (k + 1) < 1; a weight is cut off by one unit in each step
    after = math.ceil((w + len(up)) / (1 - mean / (k + 1)))
    down, k, w = list[int](), mode, 1 << bits
    while k > 0 and w > least:
        w = w * bottom * k // top
        k -= 1
        down.append(w)
    before = math.ceil((w + len(down)) / (1 - k / mean)) if k > 0 else 0
    return k, [*reversed(down), *up], after + before

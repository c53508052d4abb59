"""Stochastic matrices in fixed point of 160 bits, for exponentials of stiff generators.

A matrix is a stack of digits to the base 2^BASE, whole numbers in float64, the integers first. A
product of two digits' matrices is exact in any order of its sums, so BLAS computes it; sums of
products are exact, too, and then carried. Only the digits beyond the last one are cut off. So a
product of stochastic matrices has a known absolute error, and squaring doubles the error of before.
"""

import math
from fractions import Fraction

import numpy as np

from .._runtime.types import FloatArray

BASE, DIGITS = 20, 8
# Sums of (DIGITS + 1) products of digits' matrices of this size are below 2^53.
MAX_SIZE = 512
RADIX = 2.0**BASE
# A bound of what one product loses in an entry, relative to the matrices' size: the pairs of digits
# beyond the last one are (DIGITS + 1) at the first such place, and the places below add less than
# that once more.
_LOST = 2 * (DIGITS + 1) * RADIX**2 * RADIX ** -(DIGITS + 1)


def lost(size: int) -> float:
    """A bound of what one product of stochastic matrices loses in the sum over a row."""
    return size * size * _LOST


def carried(digits: FloatArray) -> FloatArray:
    """The same numbers with every digit but the first in [0, 2^BASE), in place."""
    for place in range(len(digits) - 1, 0, -1):
        carry = np.floor(digits[place] / RADIX)
        digits[place] -= carry * RADIX
        digits[place - 1] += carry
    return digits


def product(left: FloatArray, right: FloatArray) -> FloatArray:
    """The digits of the matrix product, cut off after the last."""
    out = np.zeros_like(left)
    for i in range(DIGITS + 1):
        for j in range(DIGITS + 1 - i):
            out[i + j] += left[i] @ right[j]
    return carried(out)


def digits_of(numbers: FloatArray) -> FloatArray:
    """The digits of numbers in [0, 1], cut off after the last."""
    rest, out = numbers.copy(), np.empty((DIGITS + 1, *numbers.shape))
    for place in range(DIGITS + 1):
        out[place] = np.floor(rest)
        rest = (rest - out[place]) * RADIX
    return out


def scalar_digits(number: Fraction) -> list[float]:
    """The digits of one number in [0, 1]."""
    scaled, out = math.floor(number * (1 << BASE * DIGITS)), list[float]()
    for _ in range(DIGITS):
        scaled, digit = divmod(scaled, 1 << BASE)
        out.append(float(digit))
    return [float(scaled), *reversed(out)]


def multiply_add(total: FloatArray, scalar: Fraction, digits: FloatArray) -> FloatArray:
    """total + scalar digits, in place; exact but for the digits that are cut off."""
    for i, digit in enumerate(scalar_digits(scalar)):
        for j in range(DIGITS + 1 - i):
            total[i + j] += digit * digits[j]
    return carried(total)


def stochastic(off_diagonal: FloatArray) -> FloatArray:
    """The digits of the matrix with these entries and rows of sum one, exactly."""
    digits = digits_of(off_diagonal)
    states = np.arange(len(off_diagonal))
    digits[:, states, states] = 0.0
    rest = -digits.sum(axis=2)
    rest[0] += 1.0
    digits[:, states, states] = carried(rest)
    return digits


def numbers_of(digits: FloatArray) -> FloatArray:
    """The numbers in float64, to two roundings."""
    out = np.zeros(digits.shape[1:])
    for place in range(DIGITS, -1, -1):
        out = out + digits[place] * RADIX**-place
    return out

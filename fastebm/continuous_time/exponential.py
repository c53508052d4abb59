"""exp(Q t) of a small chain by scaling and squaring in fixed point: any stiffness, proven error."""

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from .._runtime.resumable import Resumable
from .._runtime.types import FloatArray
from ..linalg.rounding import UNIT
from . import fixed_point
from .fixed_point import BASE, DIGITS
from .poisson import integer_weights

# The mean number of steps in the first exponential is at most 2^-START_BITS, so that its series
# takes some 25 terms.
START_BITS = 2


class Exponential:
    """exp(Q t) = exp(Q t / 2^s)^(2^s), the first one as a Poisson mixture of powers of the
    uniformised chain, then s squarings.

    Parameters
    ----------
    off_diagonal : ndarray (n, n)
        Transition probabilities P(x, y) of different states of the uniformised chain.
    mean : Fraction
        Rate times time.

    Attributes
    ----------
    error : float
        A bound of the sum over a row of the absolute errors.
    """

    def __init__(self, off_diagonal: FloatArray, mean: Fraction) -> None:
        self._P, self._mean = off_diagonal, mean
        self.n_squarings = max(0, math.frexp(float(mean))[1] + START_BITS) if mean else 0
        self.done = 0
        self._digits: FloatArray | None = None
        self._error = 2.0

    @property
    def error(self) -> float:
        return min(self._error, 2.0)

    @property
    def is_done(self) -> bool:
        return self._digits is not None and self.done >= self.n_squarings

    def state(self) -> dict[str, Any] | None:
        if self._digits is None:
            return None
        return {"digits": self._digits, "numbers": np.array([self.done, self._error])}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._digits = state["digits"]
        self.done, self._error = int(state["numbers"][0]), float(state["numbers"][1])

    def run(self, monitor: Resumable) -> None:
        if self._digits is None:
            self._start()
        while self.done < self.n_squarings:
            assert self._digits is not None
            self._digits = fixed_point.product(self._digits, self._digits)
            before = self._error
            self._error = 2.0 * before + before * before + fixed_point.lost(len(self._P))
            self.done += 1
            monitor(self.done, error=self.error)
            monitor.save()

    def _start(self) -> None:
        """The mixture. Weights and powers below the last digit are cut off."""
        n, mean = len(self._P), self._mean / (1 << self.n_squarings)
        bits = BASE * DIGITS
        _, weights, beyond = (0, [1], 0) if mean == 0 else integer_weights(mean, bits, bits - 8)
        total, P = sum(weights), fixed_point.stochastic(self._P)
        power = fixed_point.stochastic(np.zeros_like(self._P))
        digits = np.zeros_like(P)
        for k, weight in enumerate(weights):
            power = fixed_point.product(power, P) if k else power
            fixed_point.multiply_add(digits, Fraction(weight, total), power)
        # of a term: its power has lost k products, its weight and itself their last digits
        terms = len(weights)
        cut = (terms + 2.0) * n * 2.0**-bits * (DIGITS + 2.0)
        of_P = float(mean) * 2.0 * n * 2.0**-bits
        lost = terms * fixed_point.lost(n)
        self._digits = digits
        self._error = cut + of_P + lost + float(Fraction(beyond, total)) * 2.0

    def rows(self, weights: FloatArray) -> tuple[FloatArray, float]:
        """(weights exp(Q t), bound of the L1 error) for a law on the starting states."""
        assert self._digits is not None
        matrix = fixed_point.numbers_of(self._digits)
        return weights @ matrix, self.error + (len(matrix) + 8.0) * UNIT

    def columns(self, indicator: FloatArray) -> tuple[FloatArray, float]:
        """(exp(Q t) indicator, bound of the largest error) for an indicator of states."""
        assert self._digits is not None
        matrix = fixed_point.numbers_of(self._digits)
        return matrix @ indicator, self.error + (len(matrix) + 8.0) * UNIT

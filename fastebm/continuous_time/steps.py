"""Uniformisation: a Poisson mixture of the steps of a large chain, with a proven error."""

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from .._runtime.resumable import Resumable
from .._runtime.types import FloatArray
from ..linalg.rounding import UNIT
from .poisson import poisson_weights


class MixedSteps:
    """sum_k Poisson(k) x_k with x_(k + 1) = step(x_k).

    Parameters
    ----------
    step : callable
        A product that does not increase `norm`.
    x : ndarray
        Not negative, of norm at most 1.
    norm : callable
        Of a difference, for each column of x the same.
    mean : Fraction
        Rate times time.
    tol : float
        The steps end where all that follow together change the mixture by less than a quarter, or
        where only rounding changes it, which is too large for the tolerance.
    rounding : callable
        The x of a step -> a bound of the norm of its rounding errors.

    Attributes
    ----------
    error : float
        A bound of the norm of the error.
    """

    def __init__(
        self,
        step: Callable[[FloatArray], FloatArray],
        x: FloatArray,
        norm: Callable[[FloatArray], float],
        mean: Fraction,
        tol: float,
        rounding: Callable[[FloatArray], float],
    ) -> None:
        self._step, self._norm, self._tol, self._rounding = step, norm, tol, rounding
        self._weights = poisson_weights(mean)
        self._last = self._weights.first + len(self._weights.weight) - 1
        self._x, self.mixture, self.done = x, np.zeros_like(x), 0
        # the weight that was mixed in; bounds of the rounding, and of the steps left out
        self._used = self._rounded = self._rest = 0.0
        self._mix()

    @property
    def error(self) -> float:
        # no step increases the norm of the errors before it; the mixture is a sum with a product
        # for each weight
        mixing = (len(self._weights.weight) + 8.0) * UNIT
        return min(
            1.01 * (self._rounded + mixing + self._rest) + self._weights.tail + self._left, 2.0
        )

    @property
    def _left(self) -> float:
        """The weight of the steps to come."""
        return 0.0 if self.is_done else max(1.0 - self._used, 0.0)

    @property
    def is_done(self) -> bool:
        return self.done >= self._last

    def state(self) -> dict[str, Any]:
        numbers = [self.done, self._used, self._rounded, self._rest, self._last]
        return {"x": self._x, "mixture": self.mixture, "numbers": np.array(numbers)}

    def restore(self, state: Mapping[str, Any]) -> None:
        numbers = [float(number) for number in state["numbers"]]
        done, self._used, self._rounded, self._rest, last = numbers
        self._x, self.mixture, self.done = state["x"], state["mixture"], int(done)
        self._last = int(last)

    def run(self, monitor: Resumable) -> None:
        while not self.is_done:
            after = self._step(self._x)
            rounding = self._rounding(after)
            self._rounded += rounding
            change = self._norm(after - self._x)
            self._x, self.done = after, self.done + 1
            self._mix()
            # an exact step changes `after` by at most this: by step(after - x), and by what `after`
            # differs from step(x)
            left = self._last - self.done
            rest = left * 1.01 * (change + rounding)
            # where x rests, the bound of the rounding of more steps would be half this rest or more
            is_vain = change <= rounding and left * rounding > self._tol
            if rest <= 0.25 * self._tol or is_vain:
                self._rest = rest
                self._mix_rest()
            monitor(self.done)
            monitor.save()

    def _mix(self) -> None:
        at = self.done - self._weights.first
        if 0 <= at < len(self._weights.weight):
            weight = float(self._weights.weight[at])
            self.mixture = self.mixture + weight * self._x
            self._used += weight

    def _mix_rest(self) -> None:
        """Take the present step for all that follow."""
        after = self._weights.weight[max(self.done + 1 - self._weights.first, 0) :]
        weight = float(after.sum())
        self.mixture = self.mixture + weight * self._x
        self._used += weight
        self._last = self.done

"""What a slow search without symmetry changes over to: the inverse of I - S, or a larger basis."""

import math
from collections.abc import Callable

from .._runtime.memory import forecast_memory
from .._runtime.types import FloatArray
from ..errors import MemoryForecastError
from .inverse_operator import InverseOperator
from .krylov_schur import KrylovSchur
from .rounding import RITZ_ROUNDING

# The search changes over after SLOW_AFTER products if, at the rate so far, more than SLOW_COST
# would still be needed.
SLOW_AFTER, SLOW_COST = 100, 400
# Residuals below which the Ritz values tell whether rounding hides the wanted accuracy.
CLEAR = 0.03
# Where the inverse cannot be had or does not help, the basis grows to all of up to MAX_GROWN states
# (100 MB, and LAPACK needs half a minute), or to MAX_ROWS.
MAX_GROWN, MAX_ROWS = 2500, 1000


def products_left(done: int, left: float, wanted: float) -> float:
    """Products that a search still needs which reached the residual `left` in `done` products, if
    it goes on at that rate; 0 before a forecast is possible."""
    if done < SLOW_AFTER or left <= wanted:
        return 0.0
    return math.log(left / wanted) * done / -math.log(min(left, 0.99))


class ChangeOver:
    """The methods that are left for a search by Krylov-Schur on S.

    Parameters
    ----------
    invert : callable or None
        products -> the inverse of I - S, or None where it costs more.

    Attributes
    ----------
    inverse : InverseOperator or None
        Once the search has changed over to it.
    is_grown : bool
        Whether the basis has grown: no other method is left.
    """

    def __init__(self, invert: Callable[[float], InverseOperator | None] | None) -> None:
        self._invert, self.is_grown = invert, False
        self.inverse: InverseOperator | None = None
        self._left = math.inf  # products that S would still take

    def is_due(self, iteration: KrylovSchur, residuals: FloatArray, wanted: FloatArray) -> bool:
        """Whether the wanted pairs need many more products, or an accuracy that rounding hides."""
        if self.is_grown or iteration.operator.is_inverse:
            return False
        hidden = wanted.min() <= RITZ_ROUNDING and (residuals < CLEAR).all()
        if hidden and self._invert is not None:
            self._left = math.inf
            return True
        last = residuals.argmax()
        done = iteration.operator.n_matvecs
        self._left = products_left(done, float(residuals[last]), float(wanted[last]))
        return self._left > SLOW_COST

    def take(self, iteration: KrylovSchur) -> KrylovSchur:
        """The iteration that goes on."""
        inverse = None if self._invert is None else self._invert(self._left)
        self._invert, n = None, iteration.operator.n_states
        if inverse is not None:
            self.inverse = inverse
            return KrylovSchur(inverse, iteration.basis, iteration.full_width)
        most = n + 2 * iteration.full_width if n <= MAX_GROWN else MAX_ROWS
        rows = min(2 * len(iteration.basis), most)
        self.is_grown = rows == most
        try:
            forecast_memory(8 * rows * n, "a larger basis")
        except MemoryForecastError:
            self.is_grown = True
            return iteration
        if rows > len(iteration.basis):
            iteration.grow(rows)
        return iteration

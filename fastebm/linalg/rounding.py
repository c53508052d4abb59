"""Rounding errors that several modules bound: of a number, and of a Ritz value.

Constants that concern one module only are defined there, under a name that says what they bound.
"""

from typing import Final

import numpy as np

#: Distance from 1.0 to the next double.
EPS: Final = float(np.finfo(np.float64).eps)
#: Unit roundoff: the largest relative error of one rounding to nearest.
UNIT: Final = 2.0**-53
#: Absolute rounding error of a Ritz value of an operator of norm one, from the products and the
#: recurrence. Observed up to 8e-15 (dumbbells of 400 states, whose rows are long).
RITZ_ROUNDING: Final = 64 * EPS


def block_sum_terms(n: int) -> float:
    """The additions that a term of a sum over n states passes through at most: the core sums over
    blocks of at most max(8192, n / 512 + 1) states, and these in order."""
    return min(float(n), 8192.0 + 513.0 + n / 512.0)

"""The Dirichlet form of a reversible chain: its Rayleigh quotient is minimal at the gap, and an
upper bound of it for every function.
 The form is a sum of squares of differences, which the core evaluates as such: computed from
products P f it would lose every digit in metastable chains.
"""

from typing import Protocol

import numpy as np

from .. import _core
from .._runtime.types import FloatArray
from .rounding import EPS

# The form sums non-negative terms whose weights carry the rounding of log pi.
SLACK = 1e-12
# A function of size one carries a rounding error of some ulp at every state, whose own energy this
# bounds: no iteration can get below. Observed up to 1.2e-28 (double wells of 1,200 states and a gap
# of 1e-20).
NOISE = (64 * EPS) ** 2
# A value says something about the range of a function where its weighted size is at least this part
# of the largest.
TELLING = 1e-8


class HasOperator(Protocol):
    """A `ScaledPattern`, for this module."""

    @property
    def operator(self) -> _core.Scaled: ...


def quotient(scaled: HasOperator, pi: FloatArray, f: FloatArray, num_threads: int) -> float:
    """E(f, f) / Var_pi(f) of P: an upper bound of the gap of a reversible chain for any f that is
    not constant (Levin & Peres, lemma 13.7).

    Parameters
    ----------
    scaled : ScaledPattern
        P.
    pi : ndarray (n_states,)
        Its stationary distribution.
    f : ndarray (n_states,)
    """
    centred = np.ascontiguousarray(f - _core.vec_dot(pi, f, num_threads))
    square = np.empty(len(pi))
    _core.scaled_difference(scaled.operator, centred, square, 2, num_threads)
    energy = 0.5 * _core.vec_dot(pi, square, num_threads)
    mean = _core.vec_dot(pi, centred, num_threads)
    return energy / (_core.vec_dot(pi * centred, centred, num_threads) - mean * mean)


def trimmed(f: FloatArray, weight: FloatArray) -> FloatArray:
    """f without its rounding: where weight * f is small, f is clipped to the range that it has
    elsewhere, zero included as f changes sign. That lowers its energy, and any f gives an upper
    bound. NaN where nothing of f is known."""
    with np.errstate(all="ignore"):
        size = np.abs(weight * f)
        known = f[size > TELLING * np.nanmax(size)]
        if not known.size:  # pi is beyond a double's range: no bound
            return np.full_like(f, np.nan)
        return np.clip(f, min(known.min(), 0.0), max(known.max(), 0.0))

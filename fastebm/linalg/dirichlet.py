"""The Dirichlet form of a reversible chain. Its Rayleigh quotient is an upper bound of the gap for
every function, and equal to the gap for the slowest mode.

The form is a sum of squares of differences, and the core evaluates it as such: computed from
products P f it would lose every digit in metastable chains.
"""

import math
from typing import Protocol

import numpy as np

from .. import _core
from .._runtime.types import FloatArray
from .rounding import EPS

# The form sums non-negative terms whose weights carry the rounding of log pi.
SLACK = 1e-12
# A function of size one has a rounding error of some ulp at every state. This bounds the energy of
# that error, below which no iteration can get. Observed up to 1.2e-28 (double wells of 1,200 states
# and a gap of 1e-20).
NOISE = (64 * EPS) ** 2
# A value is more than rounding where its weighted size is at least this part of the largest.
SIGNIFICANT = 1e-8


class HasOperator(Protocol):
    """A `ScaledPattern`, for this module."""

    @property
    def operator(self) -> _core.Scaled: ...


def energy(scaled: HasOperator, pi: FloatArray, f: FloatArray, num_threads: int) -> float:
    """E(f, f) = 1/2 sum pi(x) P(x, y) (f(x) - f(y))^2."""
    square = np.empty(len(pi))
    _core.scaled_difference(scaled.operator, np.ascontiguousarray(f), square, 2, num_threads)
    return 0.5 * _core.vec_dot(pi, square, num_threads)


def centred(pi: FloatArray, f: FloatArray, num_threads: int) -> FloatArray:
    """f less its mean in pi."""
    return np.ascontiguousarray(f - _core.vec_dot(pi, f, num_threads))


def variance(pi: FloatArray, f: FloatArray, num_threads: int) -> float:
    """Var_pi of a centred f, whose mean is only rounding."""
    mean = _core.vec_dot(pi, f, num_threads)
    return _core.vec_dot(pi * f, f, num_threads) - mean * mean


def quotient(scaled: HasOperator, pi: FloatArray, f: FloatArray, num_threads: int) -> float:
    """E(f, f) / Var_pi(f) of P: an upper bound of the gap of a reversible chain for any f that is
    not constant (Levin & Peres, lemma 13.7); inf where the variance leaves the range of a double.

    Parameters
    ----------
    scaled : ScaledPattern
        P.
    pi : ndarray (n_states,)
        Its stationary distribution.
    f : ndarray (n_states,)
    """
    f = centred(pi, f, num_threads)
    below = variance(pi, f, num_threads)
    return energy(scaled, pi, f, num_threads) / below if below > 0.0 else math.inf


def trimmed(f: FloatArray, weight: FloatArray) -> FloatArray:
    """f without its rounding: where weight * f is small, f is clipped to the range that it has
    elsewhere, zero included as f changes sign. Clipping lowers the energy, and every f gives an
    upper bound. NaN everywhere if no value of f is known."""
    with np.errstate(all="ignore"):
        size = np.abs(weight * f)
        known = f[size > SIGNIFICANT * np.nanmax(size)]
        if not known.size:  # pi is beyond a double's range: no bound
            return np.full_like(f, np.nan)
        return np.clip(f, min(known.min(), 0.0), max(known.max(), 0.0))

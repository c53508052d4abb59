"""Iterates of the refinement of a linear system, and where the refinement is."""

import math
from dataclasses import dataclass

import numpy as np

from .._runtime.types import FloatArray


@dataclass(frozen=True, eq=False)
class Iterate:
    """x = hi + lo with its residual.

    Attributes
    ----------
    hi, lo : ndarray (n_states,)
    r : ndarray (n_states,)
        b - M x.
    size : float
        max |r| / scale; inf where it is not finite.
    rounding : float
        Bound of the rounding error of r on the same scale.
    bound : float
        A relative error that is known without the residual, up to `underflow` of the elimination.
    """

    hi: FloatArray
    lo: FloatArray
    r: FloatArray
    size: float
    rounding: float
    bound: float = math.inf

    @property
    def largest(self) -> float:
        """max |r|."""
        return float(np.abs(self.r).max(initial=0.0))


@dataclass(frozen=True, eq=False)
class Round:
    """Where the refinement is: its iterate, rounds in a row without progress, and the residual
    before the round under way (NaN between rounds)."""

    at: Iterate
    stalled: int
    before: float

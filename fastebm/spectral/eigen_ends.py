"""Ends of ordered eigenvalues, from the Ritz values of some vectors and the spectrum of their
complement.

In an orthonormal basis that begins with the vectors, a symmetric operator is [[H, R^T], [R, C]].
Its i-th largest eigenvalue is at least theta_i, the i-th largest one of H (Cauchy). An x above the
largest eigenvalue mu of C has as many eigenvalues above it as the Schur complement
``H - x + R^T (x - C)^-1 R`` has positive ones (Haynsworth 1968), and these are at most those of
``H - x + |R|^2 / (x - mu)``. So the i-th largest eigenvalue lambda satisfies
``(lambda - theta_i) (lambda - mu) <= |R|^2``, or is at most mu. It is the i-th one whatever the
vectors missed, because what they missed is below mu.
"""

import math
from dataclasses import dataclass

import numpy as np

from .._runtime.types import BoolArray, FloatArray, IntArray


def reach(theta: FloatArray, coupling: float, mu: float) -> FloatArray:
    """How far the i-th largest eigenvalue may lie above the i-th largest Ritz value theta_i.

    Parameters
    ----------
    theta : ndarray (k,)
    coupling : float
        |R|, or an end of it.
    mu : float
        An end that the eigenvalues of the complement do not exceed.
    """
    if mu == -math.inf:
        return np.zeros_like(theta)
    eta = theta - mu
    size = np.hypot(eta, 2.0 * coupling)
    with np.errstate(invalid="ignore"):
        # without the difference of nearly equal numbers where eta is positive
        near = 2.0 * coupling * coupling / (np.maximum(eta, 0.0) + size)
    found: FloatArray = np.where(eta > 0.0, near, 0.5 * (size - eta))
    return found


@dataclass
class Rates:
    """Rates 1 - lambda of the wanted eigenvalues with ends that hold them.

    Attributes
    ----------
    value, lower, upper : ndarray (k,)
    """

    value: FloatArray
    lower: FloatArray
    upper: FloatArray

    @classmethod
    def unknown(cls, value: FloatArray) -> "Rates":
        """Values without ends."""
        return cls(value.copy(), np.zeros(len(value)), np.full(len(value), 2.0))

    def narrow(self, at: slice | IntArray, lower: FloatArray, upper: FloatArray) -> None:
        """Use further ends of the rates `at`."""
        self.lower[at] = np.maximum(self.lower[at], lower)
        self.upper[at] = np.minimum(self.upper[at], upper)

    def widen(self, relative: float) -> None:
        """Move the ends relatively farther away."""
        self.lower *= 1.0 - min(relative, 1.0)
        self.upper *= 1.0 + relative

    def settle(self, estimate: FloatArray) -> None:
        """Take the estimates that are within their ends, and the middle of the ends else."""
        inside = (self.lower <= estimate) & (estimate <= self.upper)
        middle = 0.5 * (self.lower + self.upper)
        self.value = np.where(inside, estimate, np.where(self.lower > 0.0, middle, self.upper))

    @property
    def errors(self) -> FloatArray:
        """The largest errors that the ends leave in the values."""
        return np.maximum(self.value - self.lower, self.upper - self.value)

    @property
    def distance(self) -> FloatArray:
        """1 - |lambda|."""
        found: FloatArray = np.minimum(self.value, 2.0 - self.value)
        return found

    def are_known(self, tol: float) -> BoolArray:
        """Whether the errors are at most this part of the distance, and so those of the rates and
        of the timescales."""
        known: BoolArray = (self.errors <= tol * self.distance) & (self.lower > 0.0)
        return known

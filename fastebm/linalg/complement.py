"""Ends of the spectrum of a symmetric operator on the complement of vectors that were found."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh_tridiagonal

from .._runtime.types import FloatArray
from .operator import Operator
from .proven_top import proven_top, start_component
from .three_term import NULL_COUPLING, ThreeTerm

# A start that spans an invariant subspace shows no more. Several together prove more, because all
# would have to lack the same eigenvector.
MAX_STARTS = 8
# The eigenvalue that follows is known once its ends are this part of its distance apart.
CLEAR = 0.03


@dataclass(frozen=True)
class Follower:
    """The eigenvalue that follows those of some vectors.

    Attributes
    ----------
    value : float
    is_copy : bool
        Whether it is a copy of the last one of them, as far as `slack` tells.
    """

    value: float
    is_copy: bool


class ComplementSpectrum:
    """Lanczos recurrences on the complement of orthonormal vectors, from random starts.

    Parameters
    ----------
    operator : Operator
        Symmetric, of norm one.
    known : ndarray (n_known, n_states)
        The vectors.
    rng : Generator
    failure : float
        The failure probability of the proven ends.
    rounding : callable
        steps -> the size of a local error of the recurrence, and of the error of an end.

    Attributes
    ----------
    is_exhausted : bool
        Whether more steps cannot show more.
    """

    def __init__(
        self,
        operator: Operator,
        known: FloatArray,
        rng: np.random.Generator,
        failure: float,
        rounding: Callable[[int], float],
    ) -> None:
        self.operator, self.known, self.rng = operator, known, rng
        self.failure, self._rounding = failure, rounding
        self.dimension = operator.n_states - len(known)
        self._starts: list[ThreeTerm] = []
        self.is_exhausted = self.dimension <= 0

    @property
    def n_steps(self) -> int:
        """Steps of all starts."""
        return sum(len(start.alpha) for start in self._starts)

    @property
    def rounding(self) -> float:
        """The error of an end after the steps so far."""
        return self._rounding(self.n_steps)

    def expand(self, n_steps: int) -> None:
        """Take at most n_steps more steps; a new start follows one that spans an invariant
        subspace."""
        if self.is_exhausted:
            return
        starts = self._starts
        if not starts or starts[-1].beta[-1:].min(initial=1.0) <= NULL_COUPLING:
            start = self.rng.standard_normal(self.operator.n_states)
            starts.append(ThreeTerm(self.operator, self.known, start))
        invariant = starts[-1].expand(n_steps)
        self.is_exhausted = invariant and len(starts) == MAX_STARTS

    def ritz(self, sign: float) -> tuple[float, float]:
        """(the largest Ritz value of sign times the operator, its residual)."""
        found = (-math.inf, 0.0)
        for start in self._starts:
            k = len(start.alpha) - 1
            values, vectors = eigh_tridiagonal(
                sign * start.alpha, start.beta[:-1], select="i", select_range=(k, k)
            )
            found = max(found, (float(values[0]), float(start.beta[-1] * abs(vectors[-1, 0]))))
        return found

    def top(self, sign: float) -> float:
        """An end that the largest eigenvalue of sign times the operator does not exceed, but for
        the failure probability, and at most the norm; -inf where the complement is empty.

        With s starts each end may fail with the s-th root of the probability: all fail with their
        product. The probabilities of one, two, ... starts add up to `failure`."""
        if self.dimension <= 0:
            return -math.inf
        ends, theta, found = self._starts, self.ritz(sign)[0], math.inf
        for n_starts in range(1, len(ends) + 1):
            failure = (self.failure * 2.0**-n_starts) ** (1.0 / n_starts)
            component = start_component(self.dimension, failure)
            end = max(self._end(start, sign, component) for start in ends[:n_starts])
            found = min(found, end)
        return min(max(found, theta), 1.0) + self.rounding

    def follower(
        self, sign: float, last: float, others: FloatArray, slack: float
    ) -> Follower | None:
        """The eigenvalue of sign times the operator that follows `last`, or None if it is not yet
        known to a part of its distance from `last`.

        others : ndarray
            Further eigenvalues, of the vectors.
        slack : float
            Up to this distance it is a copy of `last`.
        """
        if self.dimension <= 0 and not len(others):
            return None
        top = max([self.ritz(sign)[0], *others])
        if top >= last - slack:
            return Follower(top, True)
        is_known = max(self.top(sign), top) - top <= CLEAR * (last - top)
        return Follower(top, False) if is_known else None

    def _end(self, start: ThreeTerm, sign: float, component: float) -> float:
        alpha, beta = sign * start.alpha, start.beta
        k = len(alpha) - 1
        theta = eigh_tridiagonal(
            alpha, beta[:-1], eigvals_only=True, select="i", select_range=(k, k)
        )
        return proven_top(alpha, beta, float(theta[0]), 1.0, component, self.rounding)

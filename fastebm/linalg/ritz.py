"""Ritz pairs of a projected operator."""

import math
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from .. import _core
from .._runtime.types import FloatArray
from .inverse_operator import InverseOperator
from .operator import Operator
from .rounding import EPS

#: Real where all numbers are, complex otherwise.
NumberArray: TypeAlias = npt.NDArray[np.float64 | np.complex128]

# Vectors multiplied at a time: products of a stored chain with four cost what two single ones do.
AT_ONCE = 4
# Rates are taken from the inverse where they are at most SMALL_RATE, and at most SMALL_RATIO times
# the smallest.
SMALL_RATE, SMALL_RATIO = 0.1, 1e5


def rates_of(values: NumberArray, inverse: bool) -> NumberArray:
    """1 - lambda for the eigenvalues lambda of S, or from those of the inverse of I - S."""
    return np.reciprocal(values) if inverse else np.subtract(1.0, values)


class RitzPairs:
    """Eigenpairs of a projected operator ``A V = V H + W B``.

    Parameters
    ----------
    H : ndarray (size, size)
    B : ndarray (width, size)
        The coupling to the next block of vectors; it determines the residuals.
    symmetric : bool
        Whether the operator is; H is then symmetrised.
    inverse : bool
        Whether the operator is the inverse of I - S, and the pairs are those of S.

    Attributes
    ----------
    values : ndarray (size,)
    rates : ndarray (size,)
        1 - values; of the inverse without the rounding of that difference.
    vectors : ndarray (size, size)
        Unit columns.
    residuals : ndarray (size,)
        |A x - value x| of the lifted vectors x. Of the inverse a bound for S: the residual r of
        a Ritz value 1 / rate is |(I - S) rate r| for S, and |I - S| <= 2.
    moves : ndarray (size,)
        What the residuals move the rates by, to first order and before the condition numbers: a
        change r of the inverse moves a rate by |rate|^2 r.
    """

    def __init__(
        self, H: FloatArray, B: FloatArray, symmetric: bool, inverse: bool = False
    ) -> None:
        self.symmetric, self.inverse = symmetric, inverse
        self.H: FloatArray = 0.5 * (H + H.T) if symmetric else np.ascontiguousarray(H)
        self.values: NumberArray
        self.vectors: NumberArray
        self.values, self.vectors = np.linalg.eigh(self.H) if symmetric else np.linalg.eig(self.H)
        self.residuals: FloatArray = np.linalg.norm(B @ self.vectors, axis=0)
        self.moves = self.residuals
        self.rates = rates_of(self.values, inverse)
        if inverse:
            self.values = np.subtract(1.0, self.rates)
            self.moves = np.abs(self.rates) ** 2 * self.residuals
            self.residuals = 2.0 * np.abs(self.rates) * self.residuals + self.hidden

    @property
    def hidden(self) -> FloatArray:
        """Of the inverse: the residuals that the rounding of its largest eigenvalue hides."""
        size = np.abs(self.rates)
        found: FloatArray = 2.0 * EPS * size / size.min(initial=np.inf)
        return found

    @cached_property
    def conditions(self) -> FloatArray:
        """1 / |y^H x| of the unit left and right vectors of the projected matrix, an estimate of
        the condition numbers of the operator's eigenvalues."""
        if self.symmetric:
            return np.ones(len(self.values))
        try:
            rows: FloatArray = np.linalg.norm(np.linalg.inv(self.vectors), axis=1)
            return rows
        except np.linalg.LinAlgError:  # two vectors are the same
            return np.full(len(self.values), np.inf)

    def schur_values(self, T: FloatArray) -> NumberArray:
        """The eigenvalues of a Schur form of H, in the order of its diagonal."""
        found = schur_eigenvalues(T)
        return np.subtract(1.0, rates_of(found, True)) if self.inverse else found


def schur_eigenvalues(T: FloatArray) -> NumberArray:
    """The eigenvalues of a real Schur form in the order of its diagonal, real where all are."""
    if not np.diag(T, -1).any():
        return np.diag(T).copy()
    values = np.diag(T).astype(complex)
    for i in np.flatnonzero(np.diag(T, -1)):
        pair = np.linalg.eigvals(T[i : i + 2, i : i + 2])
        values[i : i + 2] = pair
    return values


class Projection:
    """The operator on the span of some vectors, from products made here and not from a recurrence.

    The residual of any vector c X and a value is exact, because both of its parts are known: the
    part in the span, and the part outside of it.

    Parameters
    ----------
    operator : Operator or InverseOperator
        The values and residuals are those of the operator itself.
    X : ndarray (p, n_states)
        Orthonormal rows.
    images : ndarray (p, n_states)
        Work space, free again afterwards.

    Attributes
    ----------
    values, rates : ndarray (p,)
        rates are 1 - values.
    vectors : ndarray (p, p)
        The eigenvectors are the rows ``vectors.T @ X``, of unit length.
    work : ndarray (p, n_states)
        `images`.
    """

    def __init__(
        self, operator: Operator | InverseOperator, X: FloatArray, images: FloatArray
    ) -> None:
        for first in range(0, len(X), AT_ONCE):
            operator.apply(X[first : first + AT_ONCE], images[first : first + AT_ONCE])
        ritz = RitzPairs(
            _core.basis_project(X, images, operator.threads),
            np.zeros((0, len(X))),
            operator.symmetric,
        )
        self.values, self.vectors, self.rates = ritz.values, ritz.vectors, ritz.rates
        self._H = ritz.H
        _core.basis_remove(X, np.ascontiguousarray(ritz.H), images, operator.threads)
        self._square = _core.basis_project(images, images, operator.threads)
        self.work = images

    @property
    def coupling(self) -> float:
        """The norm of the part of the images that is outside of the span."""
        return math.sqrt(max(float(np.linalg.norm(self._square, 2)), 0.0))

    def residuals(self, coefficients: NumberArray, values: NumberArray) -> FloatArray:
        """|A x - value x| / |x| for the columns of `coefficients` (p, k) and the values (k,)."""
        inside = self._H @ coefficients - coefficients * values
        outside = np.real(np.sum(coefficients.conj() * (self._square @ coefficients), axis=0))
        size = np.sqrt(np.sum(np.abs(inside) ** 2, axis=0) + np.maximum(outside, 0.0))
        found: FloatArray = size / np.linalg.norm(coefficients, axis=0)
        return found

    def moves(self, coefficients: NumberArray, rates: NumberArray) -> FloatArray:
        """What the residuals move the rates by (see `RitzPairs`)."""
        return self.residuals(coefficients, np.subtract(1.0, rates))


class InverseProjection(Projection):
    """A `Projection` of S. Pairs of small rates are those of the inverse of I - S on the same span,
    which hold their digits; but the largest eigenvalues of the inverse hide the small ones.

    Parameters
    ----------
    operator : Operator
        S.
    inverse : InverseOperator
    """

    def __init__(
        self, operator: Operator, inverse: InverseOperator, X: FloatArray, images: FloatArray
    ) -> None:
        super().__init__(operator, X, images)
        self._inverse = Projection(inverse, X, images)
        self._errors = inverse.solve_error(X)
        rates = rates_of(self._inverse.values, True)
        size = np.abs(rates)
        small = np.flatnonzero(size <= min(SMALL_RATE, SMALL_RATIO * size.min()))
        others = np.argsort(np.abs(self.rates))[len(small) :]
        self.rates = np.append(rates[small], self.rates[others])
        self.vectors = np.hstack([self._inverse.vectors[:, small], self.vectors[:, others]])
        self.values = np.subtract(1.0, self.rates)
        self._limit = 1.001 * size[small].max(initial=0.0)

    def moves(self, coefficients: NumberArray, rates: NumberArray) -> FloatArray:
        """What the residuals move the rates by; of small rates the residuals of the inverse, with
        the errors of its solves."""
        residuals = self._inverse.residuals(coefficients, rates_of(rates, True))
        solves = self._errors @ np.abs(coefficients) / np.linalg.norm(coefficients, axis=0)
        size = np.abs(rates)
        small = size**2 * (residuals + solves) + 8.0 * EPS * size
        found: FloatArray = np.where(size <= self._limit, small, super().moves(coefficients, rates))
        return found

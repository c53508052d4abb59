"""Ritz pairs of a projected operator."""

from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from .. import _core
from .._runtime.types import FloatArray
from .operator import Operator

#: Real where all numbers are, complex otherwise.
NumberArray: TypeAlias = npt.NDArray[np.float64 | np.complex128]

# Vectors multiplied at a time: products of a stored chain with four cost what two single ones do.
AT_ONCE = 4


class RitzPairs:
    """Eigenpairs of a projected operator ``A V = V H + W B``.

    Parameters
    ----------
    H : ndarray (size, size)
    B : ndarray (width, size)
        The coupling to the next block of vectors; it determines the residuals.
    symmetric : bool
        Whether the operator is; H is then symmetrised.

    Attributes
    ----------
    values : ndarray (size,)
    vectors : ndarray (size, size)
        Unit columns.
    residuals : ndarray (size,)
        |A x - value x| of the lifted vectors x.
    """

    def __init__(self, H: FloatArray, B: FloatArray, symmetric: bool) -> None:
        self.symmetric = symmetric
        self.H: FloatArray = 0.5 * (H + H.T) if symmetric else np.ascontiguousarray(H)
        self.values: NumberArray
        self.vectors: NumberArray
        self.values, self.vectors = np.linalg.eigh(self.H) if symmetric else np.linalg.eig(self.H)
        self.residuals: FloatArray = np.linalg.norm(B @ self.vectors, axis=0)

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
    operator : Operator
    X : ndarray (p, n_states)
        Orthonormal rows.
    images : ndarray (p, n_states)
        Work space, free again afterwards.

    Attributes
    ----------
    values : ndarray (p,)
    vectors : ndarray (p, p)
        The eigenvectors are the rows ``vectors.T @ X``, of unit length.
    work : ndarray (p, n_states)
        `images`.
    """

    def __init__(self, operator: Operator, X: FloatArray, images: FloatArray) -> None:
        for first in range(0, len(X), AT_ONCE):
            operator.apply(X[first : first + AT_ONCE], images[first : first + AT_ONCE])
        ritz = RitzPairs(
            _core.basis_project(X, images, operator.threads),
            np.zeros((0, len(X))),
            operator.symmetric,
        )
        self.values, self.vectors, self._H = ritz.values, ritz.vectors, ritz.H
        _core.basis_remove(X, np.ascontiguousarray(ritz.H), images, operator.threads)
        self._square = _core.basis_project(images, images, operator.threads)
        self.work = images

    def residuals(self, coefficients: NumberArray, values: NumberArray) -> FloatArray:
        """|A x - value x| / |x| for the columns of `coefficients` (p, k) and the values (k,)."""
        inside = self._H @ coefficients - coefficients * values
        outside = np.real(np.sum(coefficients.conj() * (self._square @ coefficients), axis=0))
        size = np.sqrt(np.sum(np.abs(inside) ** 2, axis=0) + np.maximum(outside, 0.0))
        found: FloatArray = size / np.linalg.norm(coefficients, axis=0)
        return found

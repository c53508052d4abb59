"""Ritz pairs of a projected operator."""

from functools import cached_property

import numpy as np

from .. import _core


class RitzPairs:
    """Eigenpairs of the projected operator: `values`, unit `vectors`, and `residuals` |A x - value x| of the lifted vectors."""

    def __init__(self, H, B, symmetric):
        self.symmetric = symmetric
        self.H = 0.5 * (H + H.T) if symmetric else np.ascontiguousarray(H)
        self.values, self.vectors = np.linalg.eigh(self.H) if symmetric else np.linalg.eig(self.H)
        self.residuals = np.linalg.norm(B @ self.vectors, axis=0)

    @cached_property
    def conditions(self):
        """1 / |y^H x| of the unit left and right vectors of the projected matrix, an estimate of the operator's."""
        if self.symmetric:
            return np.ones(len(self.values))
        try:
            return np.linalg.norm(np.linalg.inv(self.vectors), axis=1)
        except np.linalg.LinAlgError:  # two vectors are the same
            return np.full(len(self.values), np.inf)


def _diagonal_values(T):
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

    X (p, n_states), orthonormal rows; images (p, n_states): work space, holds the residuals A X - X H afterwards. With a
    vector c of coefficients the residual of c X and a value is exact: both parts of it are known.

    Attributes
    ----------
    values (p,), vectors (p, p) : the eigenvectors are the rows ``vectors.T @ X``, of unit length
    """

    def __init__(self, operator, X, images):
        for first in range(0, len(X), 4):
            operator.apply(X[first : first + 4], images[first : first + 4])
        ritz = RitzPairs(
            _core.basis_project(X, images, operator.threads),
            np.zeros((0, len(X))),
            operator.symmetric,
        )
        self.values, self.vectors, self._H = ritz.values, ritz.vectors, ritz.H
        _core.basis_remove(X, np.ascontiguousarray(ritz.H), images, operator.threads)
        self._square = _core.basis_project(images, images, operator.threads)

    def residuals(self, coefficients, values):
        """|A x - value x| / |x| for the columns of `coefficients` (p, k) and the values (k,)."""
        inside = self._H @ coefficients - coefficients * values
        outside = np.real(np.sum(coefficients.conj() * (self._square @ coefficients), axis=0))
        return np.sqrt(
            np.sum(np.abs(inside) ** 2, axis=0) + np.maximum(outside, 0.0)
        ) / np.linalg.norm(coefficients, axis=0)

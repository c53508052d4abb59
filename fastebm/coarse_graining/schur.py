"""Schur vectors of the leading eigenvalues of a chain without detailed balance (Reuter, Fackeldey &
Weber 2019, GPCCA)."""

import math

import numpy as np

from .._runtime.types import FloatArray
from ..chains.chain import MarkovChain
from ..errors import InvalidChainError
from ..spectral.eigen_result import EigenResult
from .eigenvector_extension import VECTOR_ROUNDING

# Columns of a block of products.
COLUMNS = 16


def schur_vectors(
    chain: MarkovChain, pairs: EigenResult, threads: int
) -> tuple[FloatArray, FloatArray]:
    """(X, error): real vectors (n_states, k), orthonormal in pi, the first 1, whose leading columns
    span the leading right eigenvectors; and an estimate of the largest error of each column at any
    state, (k,).

    They are the Q of a QR decomposition of the eigenvectors in the coordinates of
    S = D^(1/2) P D^(-1/2), a conjugate pair as its real and imaginary part. The error is what
    ``S Q - Q Q^T S Q`` and rounding may move the space by, to first order, divided by the smallest
    sqrt(pi).

    Raises
    ------
    InvalidChainError
        k separates a conjugate pair.
    """
    values, k = pairs.eigenvalues, len(pairs.eigenvalues)
    upper = np.imag(values) > 0.0
    if np.count_nonzero(np.imag(values)) % 2:
        raise InvalidChainError(
            f"k = {k} separates a conjugate pair of eigenvalues, {values[-1]:.6g}; "
            f"take k = {k + 1}{f' or {k - 1}' if k > 2 else ''}"
        )
    root: FloatArray = np.exp(0.5 * chain._law.take(threads).log_pi)
    columns = np.empty((chain.n_states, k), order="F")
    for j in range(k):
        lower = not upper[j] and np.imag(values[j]) != 0.0
        part = pairs.right[:, j].imag if lower else pairs.right[:, j].real
        np.multiply(root, part, out=columns[:, j])
    Q, R = np.linalg.qr(columns)
    Q *= np.where(np.diag(R) < 0.0, -1.0, 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        X: FloatArray = np.ascontiguousarray(Q / root[:, None])
        X[:, 0] = 1.0
        reach = float(root.min())
        moved = _moved(chain, X, root, threads) if reach > 0.0 else math.inf
        size = float(pairs.conditions.max()) * (moved + VECTOR_ROUNDING * k)
        own = size / (_separation(pairs) * reach) if reach > 0.0 else math.inf
    error = np.full(k, own if math.isfinite(own) else math.inf)
    error[0] = 0.0
    return X, error


def _moved(chain: MarkovChain, X: FloatArray, root: FloatArray, threads: int) -> float:
    """The norm of S Q - Q Q^T S Q."""
    square = 0.0
    for first in range(0, X.shape[1], COLUMNS):
        image = chain._scaled.apply(X[:, first : first + COLUMNS], num_threads=threads)
        image *= root[:, None]
        # twice is enough (Kahan)
        for _ in range(2):
            image -= root[:, None] * (X @ (X.T @ (root[:, None] * image)))
        square += float((image**2).sum())
    return math.sqrt(square)


def _separation(pairs: EigenResult) -> float:
    """The distance of the k values from the one that follows; from 0 if none is known."""
    following = 0.0 if pairs.next_eigenvalue is None else pairs.next_eigenvalue
    if len(pairs.eigenvalues) == len(pairs.right):  # the whole space
        return 1.0
    return max(float(np.abs(pairs.eigenvalues - following).min()), VECTOR_ROUNDING)

"""Memberships of largest crispness: PCCA+ (Deuflhard & Weber 2005; Roeblitz & Weber 2013)."""

import math
from typing import Any

import numpy as np

from .._runtime.types import FloatArray, IntArray
from ..errors import InvalidChainError

# During the optimisation the memberships are bounded at the states that are extreme in so many
# random directions. The result is bounded at all states.
N_DIRECTIONS = 500
# Rows in a block of products with all directions: 32 MB.
ROWS = 8192
# Condition number of chi_1 / sqrt(mass_1), ..., above which the memberships count as linearly
# dependent. Crispness alone may choose k sets of which some coincide, and the coarse matrix is then
# rounding error.
MAX_CONDITION = 1e4
# Runs of the search at most, and the gain of crispness in one below which it ends.
MOST_RUNS, LEAST_GAIN = 5, 1e-5


def _crispness(A: FloatArray) -> float:
    """Mean of <chi_i, chi_i> / <chi_i, 1>, with X^T D X = I (Roeblitz & Weber 2013, eq. 16)."""
    return float(np.mean((A**2).sum(axis=0) / A[0]))


def _are_independent(A: FloatArray) -> bool:
    """Whether the memberships, each divided by the root of its mass, are far from linearly
    dependent."""
    return bool(np.linalg.cond(A / np.sqrt(A[0])) <= MAX_CONDITION)


def _filled(inner: FloatArray, X: FloatArray) -> FloatArray:
    """The A whose free block is `inner`, made feasible on the rows of X (Deuflhard & Weber 2005,
    algorithm "fill")."""
    k = X.shape[1]
    A = np.empty((k, k))
    A[1:, 1:] = inner
    A[1:, 0] = -inner.sum(axis=1)
    A[0] = -(X[:, 1:] @ A[1:]).min(axis=0)
    return A / float(A[0].sum())


def _simplex(X: FloatArray) -> list[int]:
    """Rows of X that span a large simplex (Weber & Galliat 2002)."""
    Y = X[:, 1:].copy()
    first = int(np.argmax(np.einsum("xi,xi->x", Y, Y)))
    chosen = [first]
    Y -= Y[first]
    for _ in range(X.shape[1] - 1):
        size = np.einsum("xi,xi->x", Y, Y)
        at = int(np.argmax(size))
        chosen.append(at)
        direction = Y[at] / np.sqrt(size[at])
        Y -= np.outer(Y @ direction, direction)
    return chosen


def _extremes(X: FloatArray) -> IntArray:
    """Rows of X that are farthest in at least one of N_DIRECTIONS random directions."""
    directions = np.random.default_rng(0).normal(size=(X.shape[1] - 1, N_DIRECTIONS))
    best, at = np.full(N_DIRECTIONS, -np.inf), np.zeros(N_DIRECTIONS, np.int64)
    for begin in range(0, len(X), ROWS):
        reach = X[begin : begin + ROWS, 1:] @ directions
        top = reach.argmax(axis=0)
        farther = reach[top, np.arange(N_DIRECTIONS)] > best
        at[farther] = begin + top[farther]
        best = np.maximum(best, reach[top, np.arange(N_DIRECTIONS)])
    return at


def _first(X: FloatArray) -> tuple[list[int], FloatArray | None]:
    """(rows of X that span a large simplex, the free block of A that makes them corners; None if
    they are linearly dependent up to rounding). Columns of different scales, as eigenvectors have
    at states of tiny mass, are tried with the same scale too."""
    for scale in (np.ones(X.shape[1]), np.abs(X).max(axis=0)):
        corners = _simplex(X / scale)
        try:
            inner = np.linalg.inv(X[corners] / scale)[1:, 1:] / scale[1:, None]
        except np.linalg.LinAlgError:
            continue
        if np.isfinite(inner).all():
            return corners, inner
    return corners, None


def undetermined(X: FloatArray) -> InvalidChainError:
    k = X.shape[1]
    return InvalidChainError(
        f"the {k} leading eigenvectors do not tell {k} sets apart in double precision (their "
        f"entries reach {np.abs(X).max():.2g} where the stationary mass is tiny); take a smaller k "
        "or restrict the chain to its likelier states"
    )


def transformation(X: FloatArray) -> FloatArray:
    """The feasible A of largest crispness found."""
    k = X.shape[1]
    corners, start = _first(X)
    if start is None:
        raise undetermined(X)
    if k == 2:  # the one free number is a scale, which cancels: the solution is unique
        return _filled(start, X)
    from scipy.optimize import minimize  # slow to import and needed only here

    bounding = X[np.unique(np.concatenate([corners, _extremes(X)]))]
    scale = np.abs(start).max()

    def loss(flat: FloatArray) -> float:
        A = _filled(flat.reshape(k - 1, k - 1), bounding)
        return -_crispness(A) if (A[0] > 1e-12).all() and _are_independent(A) else 0.0

    best: Any = (start / scale).ravel()
    least = math.inf
    options: Any = {"maxiter": 2000, "maxfev": 4000, "adaptive": True}
    options |= {"xatol": 1e-6, "fatol": 1e-10}
    for _ in range(MOST_RUNS):  # a simplex may collapse before the optimum: begin again from there
        found = minimize(loss, best, method="Nelder-Mead", options=options)
        gain, best, least = least - found.fun, found.x, found.fun
        if gain < LEAST_GAIN:
            break
    candidates = [_filled(start, X), _filled(best.reshape(k - 1, k - 1), X)]
    feasible = [A for A in candidates if np.isfinite(A).all() and (A[0] > 0.0).all()]
    if not feasible:
        raise undetermined(X)
    return max(feasible, key=lambda A: (_are_independent(A), _crispness(A)))

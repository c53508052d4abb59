"""Small chains whose entries are exact as doubles, and linear systems in rational arithmetic."""

from fractions import Fraction

import numpy as np


def random_chain(seed):
    """Rows in 64ths: exact as doubles. Several classes, and periods."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 8))
    P = np.zeros((n, n))
    for x in range(n):
        targets = rng.choice(n, size=rng.integers(1, min(n, 4) + 1), replace=False)
        if seed % 2:  # mostly upwards: transient states
            targets = np.unique(np.maximum(targets, min(x + 1, n - 1)))
        cuts = np.sort(rng.choice(np.arange(1, 64), len(targets) - 1, replace=False))
        P[x, targets] = np.diff(np.r_[0, cuts, 64]) / 64
    return P


def solve(A, b):
    """Rational elimination with a search for pivots."""
    n = len(b)
    A = [[Fraction(x) for x in row] + [Fraction(y)] for row, y in zip(A, b, strict=True)]
    for k in range(n):
        pivot = next(i for i in range(k, n) if A[i][k])
        A[k], A[pivot] = A[pivot], A[k]
        for i in range(n):
            if i != k and A[i][k]:
                factor = A[i][k] / A[k][k]
                A[i] = [x - factor * y for x, y in zip(A[i], A[k], strict=True)]
    return [A[k][n] / A[k][k] for k in range(n)]


def reach(P):
    closure = np.linalg.matrix_power((P > 0) + np.eye(len(P)), len(P)) > 0
    return closure

"""Small random chains of every kind for the tests of stated ends, and what is true of them at 60
digits, each by its definition."""

from itertools import combinations

import mpmath
import numpy as np
import reference

DIGITS = 60
KINDS = (
    "dense",
    "sparse",
    "decades",
    "near reducible",
    "periodic",
    "transient",
    "reversible",
    "reversible decades",
    "reversible near reducible",
    "reversible periodic",
    "sticky",
    "equal rows",
)
number = np.frompyfunc(mpmath.mpf, 1, 1)


def _weights(kind, n, rng):
    """Non-negative weights (n, n) of a connected graph."""
    A = rng.random((n, n)) + 0.05
    if "decades" in kind:
        A = np.exp(-25 * rng.random((n, n)))
    if kind == "sparse":
        A *= rng.random((n, n)) < 0.4
        A[np.arange(n), (np.arange(n) + 1) % n] += 0.1 + rng.random(n)
    if "near reducible" in kind:
        side = np.arange(n) < rng.integers(1, n)
        A *= np.where(side[:, None] == side, 1.0, 10.0 ** -rng.uniform(3, 15))
    return A


def random_chain(kind, rng, largest=6):
    """P (n, n) of a chain with one closed class."""
    n = int(rng.integers(2, largest + 1))
    A = _weights(kind, n, rng)
    if kind == "sticky":  # 1 - P(x, x) may be far below the rounding of P(x, x)
        A *= 10.0 ** -rng.uniform(0, 25, (n, 1))
        np.fill_diagonal(A, 0.0)
        np.fill_diagonal(A, np.maximum(1.0 - A.sum(axis=1), 0.0))
    if kind == "equal rows":
        A = np.tile(A[:1], (n, 1))
    if "reversible" in kind:
        A = A + A.T
    if "periodic" in kind and n > 2:
        side = np.arange(n) % 2
        A = np.where(side[:, None] != side, A, 0.0)
    if kind == "periodic" and n == 2:
        A = 1.0 - np.eye(2)
    if kind == "transient":
        n_transient = int(rng.integers(0, n - 1))
        A[n_transient:, :n_transient] = 0.0
    return A / A.sum(axis=1, keepdims=True)


def exact(P):
    """(P, pi) in mpmath: rows divided by their sums; pi by elimination without subtractions on the
    closed class, 0 elsewhere."""
    A = number(np.asarray(P, float))
    A = A / A.sum(axis=1)[:, None]
    labels, closed = reference.scc(P)
    inside = np.isin(labels, np.flatnonzero(closed))
    pi = number(np.zeros(len(A)))
    pi[inside] = reference.gth(A[np.ix_(inside, inside)])
    return A, pi, inside


def distances(mu, pi):
    """tv, kl, chi2, separation and l2 by definition."""
    kl = sum((m * mpmath.log(m / p) for m, p in zip(mu, pi, strict=True) if m > 0), mpmath.mpf(0))
    chi2 = ((mu - pi) ** 2 / pi).sum()
    return {
        "tv": abs(mu - pi).sum() / 2,
        "kl": kl,
        "chi2": chi2,
        "separation": max(1 - mu / pi),
        "l2": mpmath.sqrt(chi2),
    }


def dobrushin(A):
    return max(abs(A[x] - A[y]).sum() / 2 for x, y in combinations(range(len(A)), 2))


def mixing_time(A, pi, eps, limit):
    """The first t with all TV at most eps, or None beyond `limit`; by squaring and bisection."""
    powers = [A]

    def distance(X):
        return abs(X - pi).sum(axis=1).max() / 2

    if (1 - pi).max() <= eps:
        return 0
    while distance(powers[-1]) > eps:
        if 2 ** len(powers) > limit:
            return None
        powers.append(powers[-1] @ powers[-1])
    X, t = None, 0
    for k in range(len(powers) - 2, -1, -1):
        Y = powers[k] if X is None else X @ powers[k]
        if distance(Y) > eps:
            X, t = Y, t + 2**k
    return t + 1


def asymptotic_variance(A, pi, f):
    n, g = len(A), number(np.asarray(f, float))
    if n == 1:
        return mpmath.mpf(0)
    g = g - (pi * g).sum()
    B = A.copy()
    np.fill_diagonal(B, mpmath.mpf(0))
    M = -B[1:, 1:]
    np.fill_diagonal(M, B[1:].sum(axis=1))
    h = np.array(
        [mpmath.mpf(0), *mpmath.lu_solve(mpmath.matrix(M.tolist()), mpmath.matrix(g[1:].tolist()))]
    )
    return 2 * (pi * g * h).sum() - (pi * g * g).sum()


def conductance(A, pi):
    """(the least conductance of all cuts, that of each cut by its mask)."""
    n, F = len(A), pi[:, None] * A

    def of(S):
        S = np.asarray(S)
        return F[np.ix_(S, ~S)].sum() / min(pi[S].sum(), pi[~S].sum())

    cuts = (
        np.isin(np.arange(n), chosen)
        for size in range(1, n)
        for chosen in combinations(range(n), size)
    )
    return min(of(S) for S in cuts), of


def symmetric_eigenpairs(A, pi):
    """(rates 1 - lambda ascending, right eigenvectors orthonormal in pi as columns) of a reversible
    chain."""
    n = len(A)
    S = mpmath.matrix(n, n)
    for x in range(n):
        for y in range(n):
            if x != y:
                S[x, y] = -mpmath.sqrt(A[x, y] * A[y, x])
                S[x, x] += A[x, y]
    values, vectors = mpmath.eigsy(S)
    order = sorted(range(n), key=lambda i: values[i])
    rates = np.array([values[i] for i in order], dtype=object)
    X = np.array([[vectors[x, i] for i in order] for x in range(n)], dtype=object)
    return rates, X / np.array([mpmath.sqrt(p) for p in pi], dtype=object)[:, None]


def holds(low, value, high):
    """Whether low <= value <= high, doubles against a number in multiprecision, whose own rounding
    is granted."""
    granted = mpmath.mpf(10) ** (5 - DIGITS) * max(1, abs(value))
    return mpmath.mpf(float(low)) - granted <= value <= mpmath.mpf(float(high)) + granted

"""Elimination without subtractions, in doubles or in multiprecision, and the eigenvalues that it
makes accurate.

Every function takes the off-diagonal entries as an array of floats or of mpmath numbers and returns
numbers of that type. Each result of `solve` is made of sums, products and quotients of non-negative
numbers, so in doubles its relative error is a small multiple of n eps, however small it is
(O'Cinneide 1993).
"""

import mpmath
import numpy as np
import scipy.linalg

EPS = np.finfo(float).eps
# Below this a product of two entries may underflow, so that doubles are no oracle.
SMALL = 1e-120

_number = np.frompyfunc(mpmath.mpf, 1, 1)
_sqrt = np.frompyfunc(mpmath.sqrt, 1, 1)
_log = np.frompyfunc(mpmath.log, 1, 1)


def precise(values):
    """The same numbers in multiprecision."""
    return _number(np.asarray(values))


def log(values):
    """Natural logarithms as floats, -inf at zero, whatever the type of the numbers."""
    out = np.full(np.shape(values), -np.inf)
    positive = np.asarray(values > 0, dtype=bool)
    chosen = values[positive]
    out[positive] = np.log(chosen) if values.dtype != object else _log(chosen).astype(float)
    return out


def solve(off, leak, right):
    """x with (leak + sum of the row of off) x - off x = right, for right >= 0.

    off (n, n) has a zero diagonal; every state reaches one with a positive leak. right is (n,) or
    (n, k).
    """
    A, leak, b = off.copy(), leak.copy(), right.copy()
    out = np.zeros_like(leak)
    for k in range(len(A) - 1, -1, -1):
        out[k] = A[k, :k].sum() + leak[k]
        share = A[:k, k] / out[k]
        A[:k, :k] += share[:, None] * A[k, :k]
        A[np.arange(k), np.arange(k)] = 0
        leak[:k] += share * leak[k]
        b[:k] += share * b[k] if b.ndim == 1 else share[:, None] * b[k]
    x = b
    for k in range(len(A)):
        x[k] = (b[k] + A[k, :k] @ x[:k]) / out[k]
    return x


def stationary(off):
    """The stationary vector of an irreducible chain: expected visits between two visits to state
    0, normalised."""
    n = len(off)
    visits = np.zeros_like(off[0])
    visits[0] = 1
    if n > 1:
        into = off[1:, 0]
        rest = off[1:, 1:]
        # The system of the visits is the transpose; rows scaled so that it is one of columns.
        visits[1:] = solve_left(rest, into, off[0, 1:])
    return visits / visits.sum()


def solve_left(off, leak, right):
    """x with x (diag(leak + row sums of off) - off) = right, for right >= 0."""
    return right @ inverse(off, leak)


def inverse(off, leak):
    """The inverse of diag(leak + row sums of off) - off."""
    n = len(off)
    one = np.zeros_like(off)
    one[np.arange(n), np.arange(n)] = 1
    return solve(off, leak, one)


def symmetric_rates(off, pi, dps=60):
    """(ascending eigenvalues of diag(row sums) - off, bounds on their relative errors), where off
    is in detailed balance with pi; both float.

    Small eigenvalues come from the inverse on the complement of sqrt(pi), whose entries are
    accurate, large ones from the matrix itself. In multiprecision where neither is accurate to
    1e-10.
    """
    n = len(off)
    if n == 1:
        return np.zeros(1), np.zeros(1)
    if off.dtype != object and pi.dtype != object and off.sum(axis=1).min() > SMALL:
        values, errors = _rates_in_doubles(off, pi)
        if (errors[1:] < 1e-10).all():
            return values, errors
    return _rates_in_multiprecision(off, dps)


def _rates_in_doubles(off, pi):
    n = len(off)
    root = np.sqrt(pi)
    L = np.diag(off.sum(axis=1)) - off * (root[:, None] / root)
    L = (L + L.T) / 2
    direct = np.linalg.eigvalsh(L)
    errors = 4 * n * EPS * np.abs(direct).max() / np.maximum(np.abs(direct), 1e-300)
    ground = int(np.argmax(pi))
    rest = np.arange(n) != ground
    N = np.zeros((n, n))
    with np.errstate(over="ignore", invalid="ignore"):
        N[np.ix_(rest, rest)] = inverse(off[np.ix_(rest, rest)], off[rest, ground])
        N *= root[:, None] / root
        N = (N + N.T) / 2
        largest = np.abs(N).max()
        if not np.isfinite(largest):
            return direct, errors
        project = np.eye(n) - np.outer(root, root)
        times = np.linalg.eigvalsh(project @ N @ project)[::-1]
    inverted = np.append(0.0, 1 / np.maximum(times[:-1], 1e-300))
    inverse_errors = 8 * n * n * EPS * largest * inverted
    better = inverse_errors < errors
    values = np.where(better, inverted, direct)
    values[0] = 0.0
    return values, np.where(better, inverse_errors, errors)


def _rates_in_multiprecision(off, dps):
    n = len(off)
    with mpmath.workdps(dps):
        off = precise(off)
        L = mpmath.matrix(n, n)
        for x in range(n):
            L[x, x] = off[x].sum()
            for y in range(n):
                if y != x:
                    L[x, y] = -mpmath.sqrt(off[x, y] * off[y, x])
        values = sorted(mpmath.eigsy(L, eigvals_only=True))
        floor = mpmath.mpf(10) ** (20 - dps) * values[-1]  # above it 14 digits are right
        rates = np.array([float(value) if value > floor else 0.0 for value in values])
    # A rate below the floor is zero: its chain falls apart, or needs more digits.
    if (rates[1:] == 0).any() and dps < 400:
        return _rates_in_multiprecision(off, 400)
    return rates, np.full(n, 1e-13)


def general_rates(off, pi, dps=60, wanted=1e-10):
    """(rates 1 - lambda, 1 - |lambda|, bounds on the absolute errors of both) of an irreducible
    chain with off-diagonal entries off and stationary vector pi, its rows summing to one; sorted by
    the modulus of the rate, complex.

    By LAPACK, with bounds of the first order, where that leaves `wanted` relative to the rate, to
    its real part and to 1 - |lambda|; otherwise in multiprecision.
    """
    n = len(off)
    if off.dtype != object and pi.dtype != object:
        root = np.sqrt(pi)
        L = np.diag(off.sum(axis=1)) - off * (root[:, None] / root)
        if np.isfinite(L).all():
            values, left, right = scipy.linalg.eig(L, left=True)
            condition = 1 / np.maximum(np.abs((left.conj() * right).sum(axis=0)), 1e-300)
            errors = 8 * n * EPS * max(1.0, np.linalg.norm(L, 2)) * condition
            order = np.argsort(np.abs(values))
            values, errors = values[order], errors[order]
            values[0] = errors[0] = 0
            moduli = 1 - np.abs(1 - values)
            least = np.minimum(np.abs(values.real), np.abs(moduli))
            if n == 1 or (errors[1:] <= wanted * least[1:]).all():
                return values, moduli, errors
    with mpmath.workdps(dps):
        off = precise(off)
        root = _sqrt(precise(pi))
        L = -off * root[:, None] / root
        for x in range(n):
            L[x, x] = off[x].sum()
        exact = sorted(_eigenvalues(L, dps), key=abs)
        exact[0] = mpmath.mpf(0)
        least = min((abs(value) for value in exact[1:]), default=mpmath.mpf(1))
        if least < mpmath.mpf(10) ** (-dps // 2) and dps < 200:
            return general_rates(off, pi, dps=200)
        moduli = np.array([float(1 - abs(1 - value)) for value in exact])
        values = np.array([complex(value) for value in exact])
    # A defective eigenvalue of multiplicity m keeps 1/m of the digits.
    return values, moduli, 1e-13 * np.abs(values) + 10.0 ** (-dps // 2) * np.abs(values).max()


def _eigenvalues(L, dps):
    """In multiprecision. QR steps may not end on cycles, whose eigenvalues have equal moduli; they
    end from another basis, here in twice as many digits."""
    try:
        return mpmath.eig(mpmath.matrix(L.tolist()), left=False, right=False)
    except RuntimeError:
        with mpmath.workdps(2 * dps):
            v = precise(np.random.default_rng(0).normal(size=len(L)))
            H = precise(np.eye(len(L))) - np.outer(v, v) * (2 / (v @ v))
            reflected = mpmath.matrix((H @ L @ H).tolist())
            return mpmath.eig(reflected, left=False, right=False)

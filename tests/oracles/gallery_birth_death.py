"""Birth and death chains. See gallery.py for the references."""

from dataclasses import replace

import mpmath
import numpy as np
from gallery_case import Case, csr
from gallery_walks import descents


def _smallest_eigenvalue(diagonal, squares, index, dps):
    """Eigenvalue number `index` from below of a positive semidefinite tridiagonal matrix given by
    its diagonal and squared off-diagonal: Sturm counts and bisection on a logarithmic scale, at
    `dps` digits."""

    def n_below(x):
        pivot, count = mpmath.mpf(1), 0
        for d, s in zip(diagonal, [0, *squares], strict=True):
            pivot = d - x - s / pivot or mpmath.mpf(10) ** -dps
            count += pivot < 0
        return count

    with mpmath.workdps(dps):
        low, high = mpmath.mpf(10) ** (5 - dps), mpmath.mpf(4)
        while high > low * (1 + mpmath.mpf(10) ** -17):
            middle = mpmath.sqrt(low * high)
            low, high = (low, middle) if n_below(middle) > index else (middle, high)
        return float(high)


def birth_death(p, q, *, gap=True, name=None, dps=60):
    """Up with p[i], down with q[i] (p[-1] = q[0] = 0), else hold (LP ch. 2); target of the hitting
    times: the top state. gap=True bisects for both gaps at dps digits, in time proportional to
    n."""
    p, q = np.asarray(p, dtype=float), np.asarray(q, dtype=float)
    n, x = len(p), np.arange(len(p))
    hold = (1 - p - q) * (p + q < 1 - 1e-15)  # none where p + q is one but for rounding
    log_pi = np.cumsum(
        np.log(np.concatenate([[1], p[:-1]]) / np.longdouble(np.concatenate([[1], q[1:]])))
    )
    log_pi = np.asarray(log_pi - np.logaddexp.reduce(log_pi), dtype=float)
    climb = np.zeros(n)  # E_{i -> i+1} = (1 + q_i E_{i-1 -> i}) / p_i
    for i in range(n - 1):
        climb[i] = (1 + q[i] * climb[i - 1]) / p[i]
    period = 1 if hold.any() else 2
    spectral = absolute = None
    if gap:
        with mpmath.workdps(dps):
            up, down = ([mpmath.mpf(a) for a in rate.tolist()] for rate in (p, q))
            leave = [a + b for a, b in zip(up, down, strict=True)]
            off = [a * b for a, b in zip(up[:-1], down[1:], strict=True)]
        spectral = _smallest_eigenvalue(leave, off, 1, dps)
        absolute = (
            0.0
            if period == 2
            else min(spectral, _smallest_eigenvalue([2 - d for d in leave], off, 0, dps))
        )
    P = csr(
        n, [x, x, x], [x, np.minimum(x + 1, n - 1), np.maximum(x - 1, 0)], [hold, p, q]
    )  # p[-1] = q[0] = 0
    return Case(
        name or f"birth_death({n})",
        P,
        np.exp(log_pi),
        None,
        ([n - 1], np.cumsum(climb[::-1])[::-1]),
        spectral,
        absolute,
        period,
        {"log_pi": log_pi},
    )


def double_well(n, depth):
    """Lazy Metropolis walk in the potential depth (1 - s^2)^2, s from -1 to 1; the gap falls like
    exp(-depth)."""
    barrier = np.diff(depth * (1 - np.linspace(-1, 1, n) ** 2) ** 2)
    up, down = np.exp(-np.maximum([barrier, -barrier], 0)) / 4
    return birth_death([*up, 0], [0, *down], name=f"double_well({n}, {depth})")


def ehrenfest(n):
    """Weight of the walk on the n-cube, no holding: eigenvalues 1 - 2 k / n, pi binomial (LP ch.
    2)."""
    k = np.arange(n + 1)
    case = birth_death((n - k) / n, k / n, gap=False, name=f"ehrenfest({n})")
    return replace(
        case, eigenvalues=1 - 2 * k / n, hitting=([0], descents(n)), gap=2 / n, absolute_gap=0.0
    )


def bernoulli_laplace(n, k):
    """Two urns with k and n - k of n balls exchange one each; state: the number of the first urn's
    balls that are in the second. Eigenvalues 1 - i (n - i + 1) / (k (n - k)), pi hypergeometric
    (Diaconis 3F)."""
    i = np.arange(min(k, n - k) + 1)
    values = np.sort(1 - i * (n - i + 1) / (k * (n - k)))[::-1]
    gap = n / (k * (n - k))
    p, q = (k - i) * (n - k - i) / (k * (n - k)), i * i / (k * (n - k))
    case = birth_death(p, q, gap=False, name=f"bernoulli_laplace({n}, {k})")
    return replace(case, eigenvalues=values, gap=gap, absolute_gap=min(gap, 1 + values[-1]))

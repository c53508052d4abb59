"""The residuals of a fit to a training log: their memory, the standard errors of the parameters,
and the lack of fit.

A fit has several curves with residuals r (n,). Each has regressors X (n, k), whose estimating
equations are X^T r = 0, and tangents: the derivatives of r by every parameter of all stages.
Residuals minus their projection on the tangents are, to first order, free of the errors of the
parameters: what is left has the memory and the spread of the noise. Without this projection an
error of the first stage would bend the whole KL curve, and would be taken for a law that fails, and
for memory of the noise.

The noise is modelled as an autoregression, and the regressors are filtered by it. The covariance is
then a sum of squares, where averaged autocovariances next to squared scores could make a variance
negative.
"""

from collections.abc import Sequence

import numpy as np
from scipy.linalg import solve_banded, solve_toeplitz
from scipy.special import betainc

from .._runtime.types import BoolArray, FloatArray

# The largest sum of autoregressive coefficients, so that the memory of the noise is shorter than a
# log of tens of steps.
MOST_MEMORY = 0.97


def directions(tangents: FloatArray) -> FloatArray:
    """Orthonormal basis (n, rank) of the columns of tangents (n, k)."""
    length = np.linalg.norm(tangents, axis=0)
    u, s, _ = np.linalg.svd(tangents[:, length > 0] / length[length > 0], full_matrices=False)
    return u[:, s > 1e-9 * s.max(initial=0.0)]


def cleaned(residual: FloatArray, basis: FloatArray) -> FloatArray:
    """The residual without the part that errors of the parameters can explain."""
    return residual - basis @ (basis.T @ residual)


def memory(residual: FloatArray, basis: FloatArray, most: int) -> FloatArray:
    """Autoregressive coefficients of the noise behind a cleaned residual; the BIC chooses their
    number, at most `most`.

    Yule-Walker equations. Cleaning removes the slow part of the noise, so sample autocovariances
    are too small, by the long-run variance times sum_t H[t, t + k] / n with the projection
    H = basis basis^T where the basis is smooth. This is added back. As the long-run variance is
    that of the fitted recursion, the two are computed in turn.
    """
    n = residual.size
    most = min(most, max(0, n // 4 - 1))
    lost = np.array([np.sum(basis[k:] * basis[: n - k]) for k in range(most + 1)]) / n
    seen = np.array([residual[k:] @ residual[: n - k] for k in range(most + 1)]) / n
    if not seen[0] > 0:
        return np.zeros(0)

    def coefficients(order: int) -> FloatArray:
        found, spread = np.zeros(order), seen[0]
        for _ in range(8 if order else 0):
            gamma = seen + spread / (1 - found.sum()) ** 2 * lost
            found = solve_toeplitz(gamma[:order], gamma[1 : order + 1])
            if found.sum() > MOST_MEMORY:
                found *= MOST_MEMORY / found.sum()
            spread = gamma[0] - found @ gamma[1 : order + 1]
        return found

    def criterion(found: FloatArray) -> float:
        spread = np.mean(innovations(residual, found) ** 2)
        return float(n * np.log(spread) + found.size * np.log(n))

    return min((coefficients(order) for order in range(most + 1)), key=criterion)


def innovations(residual: FloatArray, coefficients: FloatArray) -> FloatArray:
    """e[t] = r[t] - sum_k a[k] r[t - k], with zeros before the first step."""
    e = residual.copy()
    for k, a in enumerate(coefficients, 1):
        e[k:] -= a * residual[:-k]
    return e


def filtered(X: FloatArray, coefficients: FloatArray) -> FloatArray:
    """Z with X^T r = Z^T e for the innovations e of r: each innovation has the weight of all steps
    that remember it."""
    order = coefficients.size
    bands = np.ones((order + 1, len(X)))  # Z[t] - sum_k a[k] Z[t + k] = X[t]
    bands[:-1] = -coefficients[::-1, None]
    return solve_banded((0, order), bands, X)


def covariance(
    blocks: Sequence[tuple[FloatArray, FloatArray, FloatArray, BoolArray]],
    slope: FloatArray,
    lag: int,
) -> tuple[FloatArray, int]:
    """(sandwich A^-1 S A^-T of the stacked equations, the longest memory used).

    Blocks are (X, residual, basis, rows), A = slope; `rows` are the steps of the log that the block
    has, True for each of its residuals. S is the sum over the innovations of the noise
    (autoregressive prewhitening: den Haan & Levin 1997) of their squared scores: it allows for
    memory and for a noise whose spread changes along the run, and is never negative. Every
    innovation is divided by 1 - its leverage (HC3, MacKinnon & White 1985): a few steps determine
    p0, and the fit follows their noise.
    """
    blocks_of_scores, longest = [], 0
    for X, residual, basis, rows in blocks:
        residual = cleaned(residual, basis)
        coefficients = memory(residual, basis, lag)
        free = np.maximum(1 - np.sum(basis**2, axis=1), 1e-3)
        scores = np.zeros((rows.size, X.shape[1]))
        scores[rows] = (
            filtered(X, coefficients) * (innovations(residual, coefficients) / free)[:, None]
        )
        blocks_of_scores.append(scores)
        longest = max(longest, coefficients.size)
    scores, inverse = np.hstack(blocks_of_scores), np.linalg.pinv(slope)
    return (scores @ inverse.T).T @ (scores @ inverse.T), longest


def von_neumann(residual: FloatArray, basis: FloatArray) -> tuple[float, float]:
    """(ratio, p-value): the sum of squared differences over the sum of squares of a cleaned
    residual, and the probability of a ratio as small in noise without memory.

    Durbin & Watson (1951): the mean and variance of the ratio over normal noise are exact given the
    projection, and the distribution of ratio / 4 is taken to be the Beta distribution with these.
    """
    n, rank = residual.size, basis.shape[1]
    total = residual @ residual
    if not total > 0 or n - rank < 3:
        return 2.0, 1.0
    ratio = np.sum(np.diff(residual) ** 2) / total
    second = np.vstack(
        [
            basis[:1] - basis[1:2],
            2 * basis[1:-1] - basis[:-2] - basis[2:],
            basis[-1:] - basis[-2:-1],
        ]
    )
    # Q^T A Q with A the differences squared, tr A = 2 n - 2, tr A^2 = 6 n - 8
    inner = basis.T @ second
    first = 2 * n - 2 - np.trace(inner)
    square = 6 * n - 8 - 2 * np.sum(second**2) + np.sum(inner * inner.T)
    free = n - rank
    mean, variance = first / free, 2 * (square - first**2 / free) / (free * (free + 2))
    m, v = mean / 4, variance / 16
    shape = m * (1 - m) / v - 1
    p_value = betainc(m * shape, (1 - m) * shape, min(float(ratio) / 4, 1.0))
    return float(ratio), float(p_value)

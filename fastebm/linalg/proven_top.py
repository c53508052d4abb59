"""An upper end of the largest eigenvalue of a symmetric operator, from the coefficients of a
Lanczos recurrence alone. It assumes nothing of the other eigenvalues, and copies of the largest are
no obstacle.

Let e be a unit eigenvector of the largest eigenvalue mu. Its components y_k = <e, v_k> in the
vectors of the recurrence ``beta_k v_(k+1) = A v_k - alpha_k v_k - beta_(k-1) v_(k-1)`` satisfy the
same recurrence, ``beta_k y_(k+1) = (mu - alpha_k) y_k - beta_(k-1) y_(k-1)``. So y_(k+1) is
p_k(mu) y_1, with p_k the Lanczos polynomial, and |y_(k+1)| <= 1. Hence |p_k(mu)| <= 1 / |y_1|, and
above the Ritz values p_k grows: only mu up to some end are possible. For a start that is uniform on
the sphere, |y_1| is below c with a probability of at most c sqrt(2 m / pi), m the dimension (van
Dorsselaer, Hochstenbach & van der Vorst 2000). The event concerns the start only: one failure
probability covers every number of steps at which the end is computed.

Rounding: a local error f_k of the recurrence has the same effect as a change of y_1 by some eta,
because the recurrence of the y_k is linear. The density of y_1 is largest at 0 (from three dimensions on). So
|y_1 + eta| is below c with no larger probability, if eta does not depend on y_1. Rounding errors
are taken to be so; that they could conspire with the one component of the start that nobody knows
is not excluded by proof. The couplings count as at least `rounding`, the size of a local error: a
smaller one may be nothing else. The caller adds what rounding does to the eigenvalues themselves.
"""

import math

import numpy as np

from .._runtime.types import BoolArray, FloatArray
from .rounding import EPS

# Distances from the largest Ritz value that are tried at a time, and rounds of refinement: the
# distance is found to a relative 1e-5.
N_TRIED, ROUNDS = 32, 5
# |y| <= 1 holds for vectors of length one; those of a recurrence have it to rounding.
LENGTH = 1.0 + 1e-6
# The polynomials are scaled down beyond this size.
LARGE = 2.0**500


def start_component(dimension: int, failure: float) -> float:
    """c such that a start uniform on the sphere has a component below c along a given direction
    with a probability of at most `failure`."""
    return failure / math.sqrt(2.0 * max(dimension, 1) / math.pi)


def proven_top(
    alpha: FloatArray,
    beta: FloatArray,
    theta: float,
    limit: float,
    component: float,
    rounding: float,
) -> float:
    """An end that the largest eigenvalue of A does not exceed, but for the failure probability of
    `component`; inf if the steps do not exclude `limit`.

    Parameters
    ----------
    alpha, beta : ndarray (n_steps,)
        Diagonal of the tridiagonal matrix, and the coupling of each vector to the next.
    theta : float
        The largest Ritz value.
    limit : float
        No larger end is looked for: the norm of A, or a multiple of theta.
    component : float
        c, see `start_component`.
    rounding : float
        The size of a local error.
    """
    if not theta < limit < math.inf:
        return math.inf
    beta = np.maximum(beta, rounding)
    near, far = EPS * max(abs(theta), limit - theta), limit - theta
    found = math.inf
    for _ in range(ROUNDS):
        distances = np.geomspace(near, far, N_TRIED)
        possible = np.flatnonzero(~_excluded(alpha, beta, theta + distances, component))
        first = int(possible[-1]) + 1 if len(possible) else 0
        if first == N_TRIED:
            break
        found = theta + float(distances[first])
        if first == 0:
            break
        near, far = float(distances[first - 1]), float(distances[first])
    return found


def _excluded(alpha: FloatArray, beta: FloatArray, mu: FloatArray, component: float) -> BoolArray:
    """Whether c p_j(mu) > 1 after some step j up to which mu is above all Ritz values: then the
    polynomials are positive."""
    p, before, one = np.ones_like(mu), np.zeros_like(mu), np.ones_like(mu)
    above, excluded, coupling = np.ones(len(mu), bool), np.zeros(len(mu), bool), 0.0
    for a, b in zip(alpha.tolist(), beta.tolist(), strict=True):
        p, before = ((mu - a) * p - coupling * before) / b, p
        coupling = b
        above &= p > 0.0
        excluded |= above & (component * p > LENGTH * one)
        large = p > LARGE
        if large.any():
            scale = np.where(large, 1.0 / LARGE, 1.0)
            p, before, one = p * scale, before * scale, one * scale
    return excluded

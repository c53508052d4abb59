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
because the recurrence of the y_k is linear. The density of y_1 is largest at 0 (from three
dimensions on). So
|y_1 + eta| is below c with no larger probability, if eta does not depend on y_1. Rounding errors
are taken to be so; that they could conspire with the one component of the start that nobody knows
is not excluded by proof. The couplings count as at least `rounding`, the size of a local error: a
smaller one may be nothing else. The caller adds what rounding does to the eigenvalues themselves.
"""

import math

import numpy as np

from .._runtime.types import FloatArray
from .rounding import EPS

# The distance of the end from the largest Ritz value is bisected to this relative width.
WIDTH = 1e-3
# |y| <= 1 holds for vectors of length one; those of a recurrence have it to rounding.
LENGTH = 1.0 + 1e-6


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
    diagonal, couplings = alpha.tolist(), np.maximum(beta, rounding).tolist()
    if not _is_excluded(diagonal, couplings, limit, component):
        return math.inf
    # logs of a distance that is excluded, and of one that is not or is rounding
    far, near = math.log(limit - theta), math.log(EPS * max(abs(theta), 1e-300))
    while far - near > WIDTH:
        middle = 0.5 * (far + near)
        if _is_excluded(diagonal, couplings, theta + math.exp(middle), component):
            far = middle
        else:
            near = middle
    return theta + math.exp(far)


def _is_excluded(alpha: list[float], beta: list[float], mu: float, component: float) -> bool:
    """Whether c p_j(mu) > 1 after some step j up to which mu is above all Ritz values: then the
    polynomials are positive."""
    p, before, coupling = component, 0.0, 0.0
    for a, b in zip(alpha, beta, strict=True):
        p, before = ((mu - a) * p - coupling * before) / b, p
        if p > LENGTH:
            return True
        if not p > 0.0:
            return False
        coupling = b
    return False

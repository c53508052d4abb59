"""Krylov cycles for the Perron vector of M, in the coordinates h = exp(change of v).

From an iterate v, ``exp(-v) M exp(v) = diag(exp(rho)) P_v`` has the Perron vector h by which exp(v)
is to be multiplied. If the reference is reversible and the reward one of states, this matrix is
self-adjoint in the inner product of ``pi_v exp(-rho)``, pi_v the law of P_v. Then the Lanczos
recurrence, run twice, takes three vectors, and errors fall with the root of the relative gap;
single states of little mass are left to power steps. It may find the wrong vector where the law
of P_v has hardly any mass in the states where the right one lives. There, and for other chains, a
short cycle of Arnoldi's method separates the few eigenvalues near lambda.
"""

import math
from collections.abc import Callable

import numpy as np
from scipy.linalg import eigh_tridiagonal

from .. import _core
from .._runtime.types import FloatArray
from .log_kernel import LogKernel

# Vectors of a cycle of Arnoldi's method, and what counts as no new direction.
CYCLE, BREAKDOWN = 16, 1e-13
# Lanczos steps between two looks at the residual, and at most.
LOOK, MAX_STEPS = 10, 150
# The residual, relative to lambda, at which the recurrence ends: further steps would only add
# copies of the top pair, and rounding.
RESIDUAL = 1e-13
# A Lanczos cycle is kept if so many power steps after it make the width of the ends so much
# smaller.
SETTLE_STEPS, GAIN = 16, 0.1

#: report(width): called after every piece of work.
Report = Callable[..., None]


def improve(kernel: LogKernel, v: FloatArray, report: Report) -> FloatArray:
    """log h, the change of v that a cycle finds; zero in states where it finds none."""
    is_reversible = kernel.is_on_states and kernel.chain._scaled.pattern.potential is not None
    change = _lanczos_cycle(kernel, v, report) if is_reversible else None
    if change is not None:
        goal, x = GAIN * float(np.ptp(kernel.apply(v) - v)), v + change
        for _ in range(SETTLE_STEPS):
            Tx = kernel.apply(x)
            report()
            if float(np.ptp(Tx - x)) <= goal:
                return np.asarray(Tx - v, np.float64)
            x = Tx - Tx.max()
    return _arnoldi_cycle(kernel, v, report)


def _lanczos_cycle(kernel: LogKernel, v: FloatArray, report: Report) -> FloatArray | None:
    """log h by Lanczos steps from h = 1; None if numbers leave the range of a double."""
    Tv, policy, threads = kernel.apply(v), kernel.policy(v), kernel.threads
    rho, potential = Tv - v, policy.pattern.potential
    assert potential is not None
    rho -= 0.5 * float(rho.max() + rho.min())
    growth = np.exp(rho)
    row = growth if policy.row is None else policy.row * growth
    shift = None if policy.shift is None else policy.shift * growth
    col = np.ones(kernel.n_states) if policy.col is None else policy.col
    operator = policy.pattern.scaled(row, policy.col, shift)
    # the core runs in the coordinates col h, with the weights exp(potential) / (row col)
    ratio = np.exp(potential - potential.max()) if potential.any() else None

    def begin() -> _core.Lanczos:  # nothing is deflated: the size of the known top vector is 0
        return _core.Lanczos(operator, ratio, 0.0, col.copy(), threads)

    try:
        steps, alpha, beta = begin(), np.empty(0), np.empty(0)
        while True:
            a, b = steps.expand(LOOK)
            alpha, beta = np.append(alpha, a), np.append(beta, b)
            kernel.n_products += len(a)
            report()
            theta, y = eigh_tridiagonal(alpha, beta[:-1])
            left = beta[-1] * abs(y[-1, -1])
            if len(a) < LOOK or left <= RESIDUAL * abs(theta[-1]) or len(alpha) >= MAX_STEPS:
                break
        steps, w = begin(), np.zeros(kernel.n_states)
        for first in range(0, len(alpha), LOOK):
            weights = np.array(y[first : first + LOOK, -1], np.float64)
            steps.expand(len(weights), weights, w)
            kernel.n_products += len(weights)
            report()
    except ArithmeticError:
        return None
    return _log_of(w / col)


def _arnoldi_cycle(kernel: LogKernel, v: FloatArray, report: Report) -> FloatArray:
    """log of the leading Ritz vector of M in the coordinates exp(v), from the start exp(v): the
    change of v; zero in the states where it is not positive."""
    Tv, policy = kernel.apply(v), kernel.policy(v)
    rho = Tv - v
    scale = np.exp(rho - rho.max())
    n, width = kernel.n_states, min(CYCLE, kernel.n_states - 1)
    basis, H = np.empty((width + 1, n)), np.zeros((width + 1, width))
    basis[0] = 1.0 / math.sqrt(n)
    for k in range(width):
        w = scale * policy.apply(basis[k], num_threads=kernel.threads)
        kernel.n_products += 1
        report()
        for _ in range(2):  # twice is enough (Kahan)
            c = np.array([_core.vec_dot(b, w, kernel.threads) for b in basis[: k + 1]])
            for share, b in zip(c, basis, strict=False):
                w -= share * b
            H[: k + 1, k] += c
        H[k + 1, k] = math.sqrt(_core.vec_dot(w, w, kernel.threads))
        if H[k + 1, k] <= BREAKDOWN:
            width = k + 1
            break
        basis[k + 1] = w / H[k + 1, k]
    values, vectors = np.linalg.eig(H[:width, :width])
    y = vectors[:, int(np.argmax(values.real))].real
    h = np.zeros(n)
    for share, b in zip(y, basis, strict=False):
        h += share * b
    return _log_of(h)


def _log_of(h: FloatArray) -> FloatArray:
    """log h, divided by its median, in the states where that is positive; else zero."""
    middle = float(np.median(h)) or 1.0
    known, out = h / middle > 0.0, np.zeros(len(h))
    out[known] = np.log(h[known] / middle)
    return out

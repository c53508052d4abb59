"""Checks of laws at a time and time-bounded reachability, on the cases given by their rates."""

import mpmath
import numpy as np

import fastebm as fe

from .registry import analysis
from .truth import DIGITS
from .verdicts import between, holds


def _exponential(Q, t):
    """exp(Q t) by squaring, for any t."""
    n = len(Q)
    with mpmath.workdps(DIGITS):
        largest = max(abs(Q[x, x]) for x in range(n)) * mpmath.mpf(t)
        squarings = max(0, int(mpmath.log(largest + 1, 2)) + 8)
    with mpmath.workdps(DIGITS + squarings):
        A, term = mpmath.matrix(Q.tolist()) * mpmath.mpf(t) / 2**squarings, mpmath.eye(n)
        E = mpmath.eye(n)
        for k in range(1, 45):
            term = term * A / k
            E += term
        for _ in range(squarings):
            E = E * E
        return np.array([[E[x, y] for y in range(n)] for x in range(n)])


def _rates(case, absorbing=()):
    """The generator in multiprecision, of the chain as it is stored: P is known to rounding."""
    with mpmath.workdps(DIGITS):
        P = case.truth.exact.P
        Q = np.array([[mpmath.mpf(0)] * case.n for _ in range(case.n)])
        for x in set(range(case.n)) - set(absorbing):
            for y in range(case.n):
                Q[x, y] = P[x, y] * mpmath.mpf(case.chain.rate) if x != y else Q[x, y]
            Q[x, x] = -mpmath.fsum(Q[x])
        return Q


@analysis()
def transient_law(case):
    if case.chain.rate is None:
        return
    t = float(10.0 ** case.rng.uniform(-3, 4)) / case.chain.rate
    target, start = case.some_states(), int(case.rng.integers(case.n))
    # a relative error of the rates is felt at every move at the most
    slack = 4 * case.truth.slack * (1.0 + t * case.chain.rate)
    want = _exponential(_rates(case), t)[start]
    found = fe.law_at(case.chain, t, start)
    error = float(sum(abs(x - y) for x, y in zip(found.law, want, strict=True)))
    yield holds("law_at", error <= found.error + slack, f"{found.error}, not {error}")
    yield holds("law_at", found.converged, found)
    hit = fe.reached_by(case.chain, target, t)
    mask = np.zeros(case.n, bool)
    mask[target] = True
    E = _exponential(_rates(case, np.flatnonzero(mask)), t)
    want = np.array([float(mpmath.fsum(row[mask])) for row in E])
    yield between("reached_by", hit.lower - slack, want, hit.upper + slack, slack)
    yield holds("reached_by", hit.converged, hit)

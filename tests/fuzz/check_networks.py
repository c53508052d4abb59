"""Checks of PageRank and its proven error."""

import mpmath
import numpy as np

import fastebm as fe

from .registry import analysis
from .truth import DIGITS
from .verdicts import END, holds, near


@analysis()
def pagerank(case):
    truth, rng, n = case.truth, case.rng, case.n
    damping = float(rng.choice([0.0, 0.5, 0.85, 0.99]))
    start = rng.integers(0, 3, n).astype(float) if rng.random() < 0.5 else None
    if start is not None:
        start[rng.integers(n)] += 1.0
    found = fe.pagerank(case.chain, damping, personalization=start)
    with mpmath.workdps(DIGITS):
        weights = np.ones(n) if start is None else start
        v = mpmath.matrix([mpmath.mpf(x) / mpmath.mpf(weights.sum()) for x in weights])
        P = mpmath.matrix(truth.exact.P.tolist())
        pi = mpmath.lu_solve(mpmath.eye(n) - damping * P.T, (1 - mpmath.mpf(damping)) * v)
        error = float(mpmath.fsum(abs(x - y) for x, y in zip(found.pi, pi, strict=True)))
        want = np.array([float(x) for x in pi])
    # the entries of a chain are known to eps only
    slack = (truth.slack + n * 1e-16) / (1 - damping)
    yield holds("error", error <= found.error + slack, f"{found.error}, not {error}", END)
    yield near("pi", found.pi, want, 0.0, 1e-10 + slack, converged=found.converged)

"""Checks of the reactive flux against multiprecision."""

import mpmath
import numpy as np

import fastebm as fe

from .registry import analysis
from .truth import DIGITS, Truth
from .verdicts import between, holds, near

TOL = 1e-8  # the default of the analysis
SMALLEST = 1e-290  # fluxes below may leave the range of doubles on the way


def _exact(truth, source, target):
    """(q+, q-, gross flux, total flux, sum pi q-) in multiprecision."""
    with mpmath.workdps(DIGITS):
        exact = truth.exact
        pi, P = exact.pi, exact.P
        forward = exact.first_of([target, source])[0][:, 0]
        reverse = Truth(P.T * pi / pi[:, None], truth.eps)
        backward = reverse.first_of([source, target])[0][:, 0]
        gross = (pi * backward)[:, None] * P * forward
        gross[np.arange(truth.n), np.arange(truth.n)] = 0
        total = gross[source].sum()
        return forward, backward, gross, total, (pi * backward).sum()


@analysis("irreducible")
def reactive_flux(case):
    truth, sets = case.truth, case.disjoint_sets()
    if sets is None:
        sets = np.arange(truth.n) == 0, np.arange(truth.n) == truth.n - 1
        if truth.n == 1 or not truth.is_irreducible:
            return
    source, target = sets
    if not truth.is_irreducible:
        fe.reactive_flux(case.chain, source, target)
        return
    forward, backward, gross, total, mass = _exact(truth, source, target)
    try:
        found = fe.reactive_flux(case.chain, source, target)
    except fe.InvalidChainError as error:
        yield holds("refusal", total < SMALLEST or "underflow" in str(error), str(error))
        return
    # pi of the package is accurate to 1e-12, and enters the reversed chain
    rel = TOL + 2 * truth.slack + (1e-12 if found.is_reversible else 1e-9)
    options = {"converged": found.converged}
    yield near("forward", found.forward_committor, forward, rel, 1e-300, **options)
    yield near("backward", found.backward_committor, backward, rel, 1e-300, **options)
    if total < SMALLEST:
        return
    yield near("total_flux", found.total_flux, total, 2 * rel, **options)
    ends = found.total_flux_lower, total, found.total_flux_upper
    yield between("total_flux", *ends, 4 * truth.slack)
    rate = total / mass
    yield near("rate", found.rate, rate, 3 * rel, **options)
    yield between("rate", found.rate_lower, rate, found.rate_upper, 6 * truth.slack)
    yield near("gross", found.gross_flux.toarray(), gross, 3 * rel, 1e-290, **options)
    size = (gross + gross.T).astype(float)
    off = np.abs(found.net_flux.toarray() - np.maximum(gross - gross.T, 0).astype(float))
    yield holds("net", not found.converged or (off <= 4 * rel * size + 1e-290).all(), off.max())
    paths = found.pathways(4 * truth.n**2)
    shares = float(paths.shares.sum())
    yield holds("pathways", shares <= 1 + 1e-6 and (shares > 0 or not found.converged), shares)
    if found.is_reversible and found.converged:  # the net flux has no cycle: it is all in paths
        yield holds("all pathways", shares > 1 - 1e-4, shares)

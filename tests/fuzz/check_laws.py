"""Checks of the equilibrium: structure, stationary law, fluxes, coarse chains."""

import mpmath
import numpy as np
import reference

import fastebm as fe

from .registry import analysis
from .truth import DIGITS, EPS
from .verdicts import REFUSED, RIGHT, Verdict, holds, near


@analysis()
def structure(case):
    truth, found = case.truth, fe.structure(case.chain)
    classes = truth.classes
    yield holds("n_classes", found.n_classes == len(classes), found.n_classes)
    order = [found.labels[np.flatnonzero(mask)[0]] for mask in classes]
    same = sorted(order) == list(range(len(classes))) and all(
        ((found.labels == label) == mask).all() for label, mask in zip(order, classes, strict=True)
    )
    yield holds("labels", same, found.labels)
    if not same:
        return
    x, y = np.nonzero(truth.adjacent)
    yield holds("order", (found.labels[y] <= found.labels[x]).all(), found.labels)
    closed = [any(mask is other for other in truth.closed) for mask in classes]
    yield holds("closed", found.closed[order].tolist() == closed, found.closed)
    yield holds("size", found.size[order].tolist() == [mask.sum() for mask in classes], found.size)
    yield holds("class_period", found.class_period[order].tolist() == truth.periods, found)
    yield holds("period", found.period == truth.period, found.period)
    yield holds("is_irreducible", found.is_irreducible == truth.is_irreducible)
    yield holds("is_aperiodic", found.is_aperiodic == (truth.period == 1))


@analysis("one law")
def stationary(case):
    truth, found = case.truth, fe.stationary(case.chain)
    tol = 1e-12 + truth.slack
    inside = np.isfinite(truth.log_pi)
    yield holds("log_pi", (np.isneginf(found.log_pi) == ~inside).all(), found.log_pi)
    yield near(
        "log_pi",
        found.log_pi[inside],
        truth.log_pi[inside],
        4 * EPS,
        tol,
        converged=found.converged,
    )
    yield near("pi", found.pi, truth.pi, tol, 1e-300, converged=found.converged)
    P = truth.P.astype(float)
    residual = float(np.abs(found.pi @ P - found.pi).sum())
    yield holds(
        "residual",
        residual <= found.residual + 8 * case.n * EPS,
        f"{found.residual}, not {residual}",
    )


@analysis("one law")
def detailed_balance(case):
    truth, found = case.truth, fe.detailed_balance(case.chain)
    slack = 2 * truth.slack + 2e-12
    with mpmath.workdps(DIGITS):
        F = truth.flux.astype(float)
    most, total, one_way = reference.flux_violation(F, np.ones(case.n))
    yield near("max_violation", found.max_violation, most, slack, slack)
    yield near("flux_violation", found.flux_violation, total, slack, slack)
    if truth.flux[truth.flux > 0].min() < 1e-290:
        return
    yield near("one_way_flux", found.one_way_flux, one_way, slack, slack)
    lone = int(((F > 0) & (F.T == 0)).sum())
    yield holds("n_one_way", found.n_one_way == lone, f"{found.n_one_way}, not {lone}")
    if not lone:
        x, y = np.nonzero(F)
        ratio = np.abs(np.log(F[x, y] / F[y, x]))
        error = slack * ((F[x, y] + F[y, x]) * (1 + ratio)).sum()
        yield near(
            "entropy_production",
            found.entropy_production,
            reference.entropy_production(F, np.ones(case.n)),
            slack,
            error,
        )
    else:
        yield holds(
            "entropy_production", found.entropy_production == np.inf, found.entropy_production
        )


@analysis("one law", "range")
def reversibilize(case):
    truth = case.truth
    want = truth.reversed_pair("additive")
    try:
        found = fe.reversibilize(case.chain)
    except fe.InvalidChainError as error:
        if "underflow" in str(error) and want.similar[want.adjacent].min() < 1e-300:
            yield Verdict("reversibilize", REFUSED)
            return
        raise
    got = found.to_scipy().toarray()
    if truth.is_reversible and truth.is_irreducible and got.shape != want.P.shape:
        want = truth
    yield near("P", got, want.P, 2 * truth.slack + 2e-12, 1e-300)
    yield holds("is_reversible", found.is_reversible)


@analysis("one law")
def return_times(case):
    truth, target = case.truth, case.some_states()
    found = fe.return_times(case.chain, target)
    tol = 1e-12 + truth.slack
    inside = np.isfinite(truth.log_pi)
    yield near("log_mean", found.log_mean[inside], -truth.log_pi[inside], 4 * EPS, tol)
    yield holds("log_mean", np.isposinf(found.log_mean[~inside]).all(), found.log_mean)
    mass = float(truth.pi[target].sum())
    if mass > 1e-290 or mass == 0:
        yield near("to_target", found.to_target, 1 / mass if mass else np.inf, tol)


@analysis()
def operator(case):
    """Products with the chain, its rows, its reversal's rows."""
    truth, chain = case.truth, case.chain
    P = truth.P.astype(float)
    yield near("to_scipy", chain.to_scipy().toarray(), P, truth.slack, 1e-300)
    x = np.exp(case.rng.normal(size=case.n))
    yield near("P x", chain @ x, P @ x, truth.slack)
    yield near("x P", x @ chain, x @ P, truth.slack, 1e-300)
    is_reversible = truth.has_one_law and truth.is_reversible
    if truth.has_one_law and is_reversible is False:
        yield holds("is_reversible", not chain.is_reversible)
    if truth.is_irreducible:
        back = (truth.P.T * truth.pi / truth.pi[:, None]).astype(float)
        got = chain.reverse().to_scipy().toarray()
        yield near("reverse", got, back, 2 * truth.slack + 2e-12, 1e-300)


@analysis("strong components")
def fit_potential(case):
    truth, found = case.truth, fe.fit_potential(case.chain)
    if not truth.is_irreducible or not truth.is_reversible or np.ptp(truth.log_pi) > 30:
        return  # not the minimiser in closed form, or a potential that Newton steps cannot see
    want = -truth.log_pi
    got = found.potential - found.potential.mean() + want.mean()
    yield near("potential", got, want, 1e-6, 1e-6, converged=found.converged)


@analysis("one law")
def lumpability(case):
    truth = case.truth
    sets = case.rng.integers(0, max(1, case.n // 2), size=case.n)
    sets = np.unique(sets, return_inverse=True)[1]
    found = fe.lumpability(case.chain, sets)
    member = sets[:, None] == np.arange(sets.max() + 1)
    into = truth.P @ member.astype(float)
    inside = [into[column].astype(float) for column in member.T]
    defect = max(np.ptp(rows, axis=0).max() for rows in inside)
    yield near("defect", found.defect, defect, truth.slack, truth.slack)
    mass = truth.pi @ member.astype(float)
    yield near("mass", found.mass, mass, truth.slack + 1e-12, 1e-300)
    if (mass > 0).all() and truth.log_pi[truth.closed[0]].min() > -600:
        coarse = (member.T * truth.pi) @ into / mass[:, None]
        got = found.chain.to_scipy().toarray()
        yield near("coarse", got, coarse, 2 * truth.slack + 2e-12, 1e-300)
    yield Verdict("lumpability", RIGHT)


@analysis()
def dobrushin(case):
    truth, found = case.truth, fe.dobrushin(case.chain)
    P = truth.P.astype(float)
    want = max(np.abs(row - P).sum(axis=1).max() / 2 for row in P)
    rounding = 4 * truth.slack
    yield holds(
        "ends",
        found.lower <= want + rounding and want - rounding <= found.upper,
        f"{want} outside [{found.lower}, {found.upper}]",
        "end",
    )
    yield holds("is_exact", found.is_exact and found.coefficient is not None)
    yield near("coefficient", found.coefficient, want, 0.0, rounding)
    x, y = found.pair
    apart = np.abs(P[x] - P[y]).sum() / 2
    yield holds("pair", apart >= found.lower - rounding, f"{apart} below {found.lower}")

"""Checks of what happens on the way to equilibrium: curves, times, cuts, correlations, sets."""

import mpmath
import numpy as np

import fastebm as fe

from .check_spectral import true_gap
from .registry import analysis
from .truth import DIGITS, Truth
from .verdicts import END, REFUSED, Verdict, between, holds, near

DISTANCES = ("tv", "kl", "chi2", "separation", "l2")
_log = np.frompyfunc(mpmath.log, 1, 1)


def _distances(mu, pi):
    """Of a law from pi, both in multiprecision; the separation over all states, and over those
    which it is sure to see."""
    g = mu / pi - 1
    seen = np.asarray(pi > mpmath.exp(-1400), dtype=bool)
    chi2 = (pi * g * g).sum()
    kl = sum(m * mpmath.log(m / p) for m, p in zip(mu, pi, strict=True) if m > 0)
    return {
        "tv": abs(mu - pi).sum() / 2,
        "kl": kl,
        "chi2": chi2,
        "separation": max(-g),
        "separation seen": max(-g[seen]),
        "l2": mpmath.sqrt(chi2),
    }


@analysis("one law", "range")
def mixing_curve(case):
    truth = case.truth
    inside = np.flatnonzero(truth.closed[0])
    start, n_steps = int(case.rng.choice(inside)), int(case.rng.integers(1, 12))
    gap = None
    if case.rng.random() < 0.3:
        gap = fe.spectral_gap(case.chain, kind="multiplicative", rng=case.index)
    found = fe.mixing_curve(case.chain, start, n_steps, distances=DISTANCES, gap=gap)
    # The divergence is a sum of terms of the first order in what cancels to the second.
    digits = 3 * DIGITS + int(-truth.log_pi[inside].min() / 2.3)
    with mpmath.workdps(digits):
        core = Truth(truth.core.exact.P)
        mu = core.P[0] * 0 + (inside == start)
        want = []
        for _ in range(n_steps + 1):
            want.append(_distances(mu, core.pi))
            mu = mu @ core.P
        want = {name: np.array([float(row[name]) for row in want]) for name in want[0]}
    core = truth.core
    floors = _floors(core, want, n_steps)
    for name in DISTANCES:
        got = getattr(found, name)[0]
        if name == "separation":
            want[name] = np.clip(got, want["separation seen"], want[name])
        known = want[name] < 1e290
        yield near(name, got[known], want[name][known], 1e-9, floors[name][known] + 1e-280)
        off = np.abs(got - want[name])[known]
        allowed = found.error[name][0, known] + floors[name][known] + core.slack * want[name][known]
        yield holds("error", (off <= allowed + 1e-300).all(), f"{name}: {off}, {allowed}", END)
        if gap is not None and name in found.bounds:
            bound = found.bounds[name][0]
            low = bound < want[name] * (1 - 1e-9) - floors[name]
            yield holds("bounds", not low.any(), f"{name}: {bound} below {want[name]}", END)
    yield holds("kl_is_monotone", found.kl_is_monotone, found.kl_largest_increase)


def _floors(core, want, n_steps):
    """What entries that are off by their rounding make of each distance.

    A step from a law at distance d is off by slack d; the steps after it contract that as they
    contract the norm of L2(pi).
    """
    S = core.similar
    top, least = np.exp(core.log_pi / 2), float(np.exp(core.log_pi.min() / 2))
    contraction, power = [], np.eye(core.n)
    for _ in range(n_steps):
        contraction.append(np.linalg.norm(power - np.outer(top, top), 2) + core.slack)
        power = S @ power
    l2 = np.zeros(n_steps + 1)
    for t in range(n_steps + 1):
        l2[t] = core.slack * sum((want["l2"][s] + l2[s]) * contraction[t - 1 - s] for s in range(t))
        l2[t] += core.slack * want["l2"][t]
    chi2 = l2 * (2 * want["l2"] + l2)
    return {"tv": l2, "l2": l2, "chi2": chi2, "kl": chi2, "separation": l2 / max(least, 1e-150)}


@analysis("one law", "aperiodic")
def mixing_time(case):
    truth = case.truth
    eps = float(case.rng.choice([0.25, 0.1, 0.5, 1e-3, 0.9]))
    found = fe.mixing_time(case.chain, eps=eps)
    yield holds(
        "order", found.lower <= found.steps <= found.upper or found.steps == found.upper, found
    )
    for end in (found.lower_kind, found.upper_kind):
        yield holds("kind", end in ("rigorous", "probabilistic", "none"), end, END)
    at = [t for t in (found.lower - 1, found.upper) if 0 <= t < 1e18]
    distance = dict(zip(at, _tv_at(truth, at), strict=True))
    before, after = distance.get(found.lower - 1), distance.get(found.upper)
    rounding = 1e-9 + 10 * truth.slack
    if before is not None and found.lower > 0:
        yield holds(
            "lower", before > eps * (1 - rounding), f"TV({found.lower - 1}) = {before}", END
        )
    if after is not None:
        yield holds("upper", after <= eps * (1 + rounding), f"TV({found.upper}) = {after}", END)


def _tv_at(truth, steps):
    """max_x TV(P^t(x, .), pi) for each t, as floats."""
    core = truth.core
    if max(steps, default=0) > 1000 or core.P.dtype == object:
        core = core.exact
    out = []
    with mpmath.workdps(40):
        P, pi = core.P, core.pi
        squares = [P]
        for t in steps:
            at, power, k = np.eye(core.n) + 0 * P, int(t), 0
            while power:
                if k == len(squares):
                    square = squares[-1] @ squares[-1]
                    squares.append(square / square.sum(axis=1)[:, None])
                if power & 1:
                    at = at @ squares[k]
                power, k = power >> 1, k + 1
            out.append(float(max(abs(row - pi).sum() / 2 for row in at)))
    return out


def least_conductance(core):
    """Phi* over all sets of states."""
    n = core.n
    member = (np.arange(1, 2**n - 1)[:, None] >> np.arange(n) & 1).astype(float)
    F, pi = core.flux.astype(float), core.pi.astype(float)
    flow = ((member @ F) * (1 - member)).sum(axis=1)
    mass = np.minimum(member @ pi, (1 - member) @ pi)
    return float((flow / mass).min())


@analysis("one law", "reversible")
def conductance(case):
    truth = case.truth
    if truth.has_one_law and truth.core.n < 2:
        return
    found = fe.conductance(case.chain, rng=case.index)
    if truth.core.log_pi.min() < -600:
        return
    core, inside = truth.core, truth.closed[0]
    least = least_conductance(core)
    slack = truth.slack + 1e-12
    yield between("Phi*", found.lower, least, found.upper, slack)
    cut = found.cut[inside]
    F, pi = core.flux.astype(float), core.pi.astype(float)
    flow, mass = F[np.ix_(cut, ~cut)].sum(), pi[cut].sum()
    yield near("flow", found.flow, flow, slack)
    yield near("mass", found.mass, mass, slack)
    yield near("conductance", found.conductance, flow / min(mass, pi[~cut].sum()), 2 * slack)
    want, error = true_gap(truth, "spectral")
    yield holds("gap_lower", found.gap_lower <= want * (1 + slack) + error, found.gap_lower, END)
    yield holds("gap_upper", found.gap_upper >= want * (1 - slack) - error, found.gap_upper, END)
    for end in (found.lower_kind, found.upper_kind):
        yield holds("kind", end in ("rigorous", "probabilistic", "none"), end, END)


@analysis("one law", "reversible")
def modified_log_sobolev(case):
    truth = case.truth
    if truth.has_one_law and truth.core.n < 2:
        return
    found = fe.modified_log_sobolev(case.chain, rng=case.index)
    core = truth.core
    if core.log_pi.min() < -300:
        return
    with mpmath.workdps(DIGITS):
        exact = core.exact
        P, pi = exact.P, exact.pi
        densities = [case.rng.random(core.n) ** power + 1e-6 for power in (1, 8)]
        densities += [1.0 + 1e3 * (np.arange(core.n) == y) for y in range(core.n)]
        quotients, rates = [], []
        for f in densities:
            f = f / (pi * f).sum()
            log_f = _log(f)
            entropy = (pi * f * log_f).sum()
            form = (pi * f * (exact.off * (log_f[:, None] - log_f)).sum(axis=1)).sum()
            if entropy > mpmath.mpf(10) ** -40:
                quotients.append(float(form / (2 * entropy)))
                g = P @ f  # of mu P, for a reversible chain
                later = (pi * g * _log(g)).sum()
                if later > mpmath.mpf(10) ** -40:
                    rates.append(float(mpmath.log(entropy / later) / 2))
    gap, error = true_gap(truth, "spectral")
    least = min([*quotients, gap + error])
    slack = truth.slack + 1e-12
    yield holds("lower", found.lower <= least * (1 + slack), f"{found.lower} > {least}", END)
    yield holds("order", found.lower <= found.upper * (1 + slack), found, END)
    if rates:
        yield holds(
            "discrete_rate",
            found.discrete_rate <= min(rates) * (1 + slack) + 1e-15,
            f"{found.discrete_rate} > {min(rates)}",
            END,
        )
    yield near("log_pi_min", found.log_pi_min, core.log_pi.min(), slack, slack)


@analysis("one law")
def autocorrelation(case):
    truth = case.truth
    core, inside = truth.core, truth.closed[0]
    f = case.rng.normal(size=case.n) if case.rng.random() < 0.7 else 1.0 * case.some_states()
    n_lags = int(case.rng.integers(0, 5))
    found = fe.autocorrelation(case.chain, f, n_lags=n_lags)
    digits = DIGITS + int(-2 * core.log_pi.min() / 2.3)
    with mpmath.workdps(digits):
        exact = Truth(core.exact.P)
        P, pi = exact.P, exact.pi
        g = f[inside] - (pi * f[inside]).sum()
        variance = (pi * g * g).sum()
        at, covariance = g, []
        for _ in range(n_lags + 1):
            covariance.append((pi * g * at).sum())
            at = P @ at
        sigma2 = variance
        if core.n > 1:
            # h, 0 at the likeliest state, by elimination for both signs of g.
            zero = np.arange(core.n) == np.argmax(core.log_pi)
            h = exact.times(zero, np.where(g > 0, g, 0 * g)) - exact.times(
                zero, np.where(g < 0, -g, 0 * g)
            )
            sigma2 = 2 * (pi * g * h).sum() - variance
        size = float(max(abs(f[inside])))
        want = float(sigma2)
        # What rounding of pi f leaves.
        floor = 4 * truth.slack * size**2
        scale = float(variance) if variance > 0 else 0.0
        correlation = [float(c / variance) if variance else np.nan for c in covariance]
    yield near("variance", found.variance, scale, 1e-10, floor)
    spread = 1e-10 + truth.slack
    yield holds(
        "ends",
        _encloses(found, want, spread * abs(want) + floor * 10),
        f"{want} outside [{found.lower}, {found.upper}]",
        END,
    )
    if scale > 1e6 * floor:
        yield near(
            "autocorrelation",
            found.autocorrelation,
            np.array(correlation),
            1e-9,
            1e-9 + floor / scale,
        )
        yield near(
            "asymptotic_variance",
            found.asymptotic_variance,
            want,
            1e-6,
            1e-6 * scale + floor,
            converged=found.converged,
        )


def _encloses(found, want, allowed):
    below = found.lower <= want + allowed
    # beyond the range of doubles, an allowance that is infinite too leaves no number
    return below and (found.upper >= want - allowed or found.upper == want == np.inf)


@analysis("irreducible")
def metastable_sets(case):
    truth = case.truth
    if case.n < 2:
        return
    k = int(case.rng.integers(2, min(case.n, 4) + 1))
    try:
        found = fe.metastable_sets(case.chain, k, rng=case.index)
    except fe.InvalidChainError as error:
        if "in double precision" in str(error) and truth.log_pi.min() < -90:
            yield Verdict("metastable_sets", REFUSED)
            return
        if "conjugate pair" in str(error) and truth.is_reversible is not True:
            yield Verdict("metastable_sets", REFUSED)
            return
        raise
    chi, pi = found.memberships, truth.pi.astype(float)
    yield holds("memberships", (chi >= 0).all() and np.allclose(chi.sum(axis=1), 1, atol=1e-12))
    if truth.log_pi.min() < -300:
        return
    rates = truth.spectrum[0].real
    converged = found.converged
    if truth.is_reversible is True:  # others are checked with eigenpairs
        yield near(
            "eigenvalues",
            np.sort(found.eigenvalues)[::-1],
            1 - rates[:k],
            0.0,
            1e-8,
            converged=converged,
        )
    yield near("mass", found.mass, pi @ chi, 1e-9, 1e-12)
    yield near("rows", found.coarse.sum(axis=1), np.ones(k), 0.0, 1e-8, converged=converged)
    with mpmath.workdps(DIGITS):
        exact = truth.exact
        member = exact.P[0, 0] * 0 + chi
        weight = member.T * exact.pi
        gram = mpmath.matrix((weight @ member).tolist())
        # Of 1 - coarse: (chi^T D chi)^-1 chi^T D (1 - P) chi
        right = np.array(
            [
                [(exact.off[x] * (member[x, j] - member[:, j])).sum() for j in range(k)]
                for x in range(case.n)
            ]
        )
        try:
            coarse = np.array((gram**-1 * mpmath.matrix((weight @ right).tolist())).tolist())
        except ZeroDivisionError:
            return
        coarse = coarse.astype(float)
    got = np.eye(k) - found.coarse
    if np.isfinite(found.error) and found.error < 1e-6:
        yield near("coarse", got, coarse, 1e-6, 1e-8, converged=converged)
    # These memberships as they are, with rows that sum to one up to rounding.
    slack = truth.slack * (np.abs(coarse) + 1e-300) + 1e-15
    outside = np.abs(got - coarse) > found.coarse_error + slack
    yield holds("coarse_error", not outside.any(), f"{got - coarse}, {found.coarse_error}", END)

"""Checks of gaps and eigenpairs: values, ends, and what `converged` claims."""

import numpy as np
import scipy.linalg
from scipy.optimize import linear_sum_assignment

import fastebm as fe

from .registry import analysis
from .verdicts import END, WRONG, holds, near

TOL = 1e-8
ROUNDING = 64 * 2.3e-16  # of a residual, for each state
KINDS_OF_ENDS = ("rigorous", "probabilistic", "none")


def true_gap(truth, kind):
    """(the gap of that kind, a bound on the error of this number); exactly 0 where it is."""
    core = truth.core
    if core.n == 1:
        return 1.0, 0.0
    if kind in ("additive", "multiplicative"):
        pair = core.reversed_pair(kind)
        if not pair.is_irreducible:
            return 0.0, 0.0
        if kind == "additive" and core.is_reversible:
            pair = core
        rates, _, errors = pair.spectrum
        return float(rates[1]), float(errors[1])
    rates, moduli, errors = core.spectrum
    if kind == "absolute":
        if core.period > 1:
            return 0.0, 0.0
        at = int(np.argmin(moduli[1:])) + 1
        return float(moduli[at]), float(errors[1:].max() if not core.is_reversible else errors[at])
    at = int(np.argmin(rates.real[1:])) + 1
    return float(rates.real[at]), float(errors[at])


def _gap(case, kind):
    truth = case.truth
    tol = float(case.rng.choice([1e-8, 1e-8, 1e-8, 1e-11, 1e-4, 0.01]))
    options = {"certify": bool(case.rng.random() < 0.3)}
    if truth.has_one_law and truth.is_reversible and kind == "spectral":
        options["method"] = str(case.rng.choice(["auto", "auto", "lanczos"]))
    found = fe.spectral_gap(case.chain, kind=kind, tol=tol, rng=case.index, **options)
    want, error = true_gap(truth, kind)
    # The gap of a chain that is not reversible may move by more than its entries do.
    normal = truth.is_reversible or kind in ("additive", "multiplicative")
    rounding = truth.slack * want + error
    if getattr(found, "criterion", None) == "residual":
        yield from _backward_error(truth, found, kind, tol, want)
    else:
        if not normal:
            rounding += found.rounding
        yield near("gap", found.gap, want, tol, rounding, converged=found.converged)
    for name in ("lower_kind", "upper_kind"):
        end = getattr(found, name)
        yield holds(name, end in KINDS_OF_ENDS, f"an end that is {end!r}", END)
    yield holds("gap_lower", found.gap_lower <= want + rounding, f"{found.gap_lower} > {want}", END)
    yield holds("gap_upper", found.gap_upper >= want - rounding, f"{found.gap_upper} < {want}", END)
    inside = found.gap_lower <= found.gap <= found.gap_upper
    yield holds("ends", inside, f"{found.gap} not in [{found.gap_lower}, {found.gap_upper}]", END)
    time = {
        "spectral": found.relaxation_time,
        "additive": found.relaxation_time,
        "absolute": found.absolute_relaxation_time,
    }.get(kind)
    if time is not None:
        yield near("time", time, 1 / found.gap if found.gap > 0 else np.inf, 1e-12)


def _backward_error(truth, found, kind, tol, want):
    """A residual says that the eigenvalue is one of a chain nearby; and the gap is near the true
    one by the condition of its eigenvalue."""
    core = truth.core
    if core.n == 1:
        return
    allowed = tol * found.gap + ROUNDING * core.n
    least = least_singular(core.similar - found.eigenvalue * np.eye(core.n))
    yield holds("residual", least <= allowed or not found.converged, f"{least} > {allowed}")
    at = int(np.argmin(np.abs(1 - core.spectrum[0] - found.eigenvalue)))
    reach = movable(core, allowed)[0][at]
    yield near("gap", found.gap, want, 0.0, reach, converged=found.converged)


def least_singular(A):
    return np.linalg.svd(A, compute_uv=False)[-1]


def movable(core, size):
    """(what a change of S of norm `size` can move each eigenvalue by: by its condition, or where
    that is large by Elsner's theorem; the conditions)."""
    S, values = core.similar, 1 - core.spectrum[0]
    found, left, right = scipy.linalg.eig(S, left=True)
    condition = 1 / np.maximum(np.abs((left.conj() * right).sum(axis=0)), 1e-300)
    condition = condition[linear_sum_assignment(np.abs(values[:, None] - found))[1]]
    n, norm = len(S), np.linalg.norm(S, 2)
    elsner = (2 * norm + size) ** (1 - 1 / n) * size ** (1 / n)
    moves = np.where(condition < 1e6, np.minimum(4 * condition * size, elsner), elsner)
    return moves, condition


@analysis("one law")
def gap_spectral(case):
    yield from _gap(case, "spectral")


@analysis("one law")
def gap_absolute(case):
    yield from _gap(case, "absolute")


@analysis("one law")
def gap_additive(case):
    yield from _gap(case, "additive")


@analysis("one law")
def gap_multiplicative(case):
    yield from _gap(case, "multiplicative")


def _in_order(truth, which):
    """The places of the eigenvalues in the order of `which`, but 1, which is first; None if a
    near-tie of the order leaves it open."""
    rates, moduli, _ = truth.spectrum
    key = {"largest": rates.real, "smallest": -rates.real, "modulus": moduli}[which]
    others = np.argsort(key[1:], kind="stable") + 1
    return np.append(0, others), key


@analysis("irreducible")
def eigenpairs(case):
    truth = case.truth
    which = str(case.rng.choice(["largest", "largest", "modulus", "smallest"]))
    k = int(case.rng.integers(1, min(case.n, 5) + 1))
    found = fe.eigenpairs(case.chain, k, which=which, tol=TOL, rng=case.index)
    got = len(found.eigenvalues)
    yield holds("converged", not found.converged or (got == k and found.converged_each.all()))
    order, key = _in_order(truth, which)
    rates, moduli, errors = truth.spectrum
    each = np.asarray(found.converged_each)
    floor = errors[order[:got]] + truth.slack
    if truth.is_reversible:
        # Where the chain is slow the timescale is what is promised.
        want = rates[order[:got]].real
        floor = errors[order[:got]] + truth.slack * want
        floor = floor + np.where(moduli[order[:got]] > 1e-5, 6e-14, 0.0)
    floor[0] = 1e-14
    got_key = {
        "largest": np.real(found.rates),
        "smallest": -np.real(found.rates),
        "modulus": 1 - np.abs(found.eigenvalues),
    }[which]
    if which == "modulus":
        floor = floor + 8 * case.n * 2.3e-16
    spread = np.zeros(len(order))
    if not truth.is_reversible:
        S = truth.similar
        # that of a vector of the inverse of I - S is larger in S than the backward error
        wanted = TOL * np.maximum(moduli[order[:got]], 0)
        accepted = np.minimum(found.residuals, wanted) + ROUNDING * case.n
        for i in np.flatnonzero(each):
            least = least_singular(S - found.eigenvalues[i] * np.eye(case.n))
            yield holds("backward error", least <= accepted[i], f"{least} > {accepted[i]}")
            if found.method != "shift-invert":
                yield holds("residual", found.residuals[i] <= accepted[i], found.residuals[i])
        moves, condition = movable(truth, 2 * max(accepted[each]))
        moves = np.where(condition > 100, moves, 0)[order]
        apart = np.abs(key[order][:, None] - key[order])
        # values that can pass each other take each other's places
        spread = np.where(apart <= moves[:, None] + moves, moves, 0).max(axis=1)
    for i in range(got):
        allowed = TOL * abs(moduli[order[i]]) + floor[i] + spread[i]
        wrong = not abs(got_key[i] - key[order[i]]) <= allowed
        yield holds(
            "rate",
            not (wrong and each[i]),
            f"number {i} of {which}: {got_key[i]!r}, not {key[order[i]]!r}",
        )
        if wrong or not each[i]:
            return  # what follows an unconverged pair may be shifted by one
    scale = np.abs(moduli[order[1:got]])
    sure = (np.abs(key[order[1:got]]) > 0) & (scale > 1e-280) & (scale < 1 - 1e-6) & each[1:]
    if truth.is_reversible:
        time = -1 / np.log1p(-scale[sure])
        yield near("timescale", found.timescales[1:][sure], time, 2 * TOL, 0.0)
    yield from _vectors(case, found)


def _vectors(case, found):
    """The residuals that are stated, and that the two families of vectors are dual."""
    truth = case.truth
    if truth.log_pi.min() < -500:
        return
    P, pi = truth.P.astype(float), truth.pi.astype(float)
    with np.errstate(all="ignore"):
        for i, value in enumerate(found.eigenvalues):
            f = found.right[:, i]
            r = P @ f - value * f
            residual = np.sqrt((pi * abs(r) ** 2).sum() / (pi * abs(f) ** 2).sum())
            yield holds(
                "residual",
                residual <= found.residuals[i] * 1.01 + 1e-13,
                f"{found.residuals[i]}, not {residual}",
                WRONG,
            )
        if found.converged and truth.is_reversible:
            dual = found.left.T @ found.right
            yield near("dual", dual, np.eye(len(dual)), 0.0, 1e-9)

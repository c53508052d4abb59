"""What every bound on the mixing of a chain must satisfy, against dense arithmetic in wider
precision, LAPACK, and brute force over cuts and pairs.

Bounds include their own rounding; `GRANTED` and `LAPACK` are the rounding of the references. A
bound that says nothing must be of kind "none".
"""

import math
from itertools import combinations

import numpy as np
import pytest
import reference
from numpy.testing import assert_allclose
from scipy.spatial.distance import cdist

import fastebm as fe
from fastebm.mixing import curve, time_search

# Rounding of the references: of sums of some hundred terms in doubles, and of LAPACK's eigenvalues
# of matrices of norm one.
GRANTED, LAPACK = 1e-11, 1e-13


def t_mix(P, pi, eps):
    """The exact mixing time by squaring and bisection in long doubles. Rows are divided by their
    sums, so that entries keep their relative accuracy."""
    powers, pi = [P / P.sum(axis=1, keepdims=True)], np.asarray(pi)
    reached = eps * (1 + time_search.TIE)

    def distance(X):
        return np.abs(X - pi).sum(axis=1).max() / 2

    if (1 - pi).max() <= reached:
        return 0
    while distance(powers[-1]) > reached:
        X = powers[-1] @ powers[-1]
        powers.append(X / X.sum(axis=1, keepdims=True))
    X, t = np.eye(len(P), dtype=P.dtype), 0
    for k in range(len(powers) - 2, -1, -1):
        Y = X @ powers[k]
        if distance(Y) > reached:
            X, t = Y / Y.sum(axis=1, keepdims=True), t + 2**k
    return t + 1


def check_mixing_time(found, exact, name):
    for bound in found.bounds["lower"].values():
        assert bound <= exact, (name, found)
    for bound in found.bounds["upper"].values():
        assert bound >= exact, (name, found)
    assert found.lower <= exact <= found.upper == found.steps, name
    for value, nothing, kind, method in (
        (found.lower, 0, found.lower_kind, found.lower_method),
        (found.upper, math.inf, found.upper_kind, found.upper_method),
    ):
        assert kind in ("rigorous", "probabilistic", "none")
        assert (kind == "none") == (method == "none") and (kind != "none" or value == nothing), name
        assert value != nothing or kind == "none" or exact == nothing, name


def check_curve(chain, P, starts, n_steps, name):
    """The bounds from either gap against the distances, recorded and by definition."""
    P = P.astype(np.longdouble)
    P /= P.sum(axis=1)[:, None]
    pi = reference.gth(P)
    mu, exact = np.eye(len(P), dtype=np.longdouble)[starts], []
    for _ in range(n_steps + 1):
        g = mu / pi - 1
        with np.errstate(divide="ignore", invalid="ignore"):
            kl = np.where(mu > 0, mu * np.log(mu / pi), 0).sum(axis=1)
        chi2 = (pi * g * g).sum(axis=1)
        exact.append([np.abs(mu - pi).sum(axis=1) / 2, kl, chi2, (-g).max(axis=1), np.sqrt(chi2)])
        mu = mu @ P
    exact = dict(zip(curve.ALL_DISTANCES, np.moveaxis(np.array(exact), 0, -1), strict=True))
    for kind in ("absolute", "multiplicative"):
        gap = fe.spectral_gap(chain, kind=kind, rng=0)
        found = fe.mixing_curve(chain, starts, n_steps, gap=gap, distances=curve.ALL_DISTANCES)
        assert found.bounds_kind == gap.lower_kind and (
            gap.gap_lower > 0 or found.bounds_kind in ("none", "rigorous")
        ), name
        for distance, bound in found.bounds.items():
            where = (name, kind, distance)
            # 1e-17: the definition cancels at that size
            assert (exact[distance] <= bound * (1 + GRANTED) + 1e-17).all(), where
            assert (getattr(found, distance) <= bound * (1 + GRANTED) + 1e-30).all(), where
        assert (found.bounds["tv"] <= 1).all() and (found.bounds["separation"] <= 1).all()


def conductance_of(F, pi, S):
    return F[S][:, ~S].sum() / min(pi[S].sum(), pi[~S].sum())


def all_cuts(n):
    for size in range(1, n // 2 + 1):
        for S in combinations(range(n), size):
            yield np.isin(np.arange(n), S)


def check_conductance(found, F, pi, least, gap, name):
    """`least` is the conductance of the best cut, or of the best one known."""
    S = found.cut
    assert found.conductance == pytest.approx(conductance_of(F, pi, S), rel=1e-9, abs=0.0), name
    assert_allclose([found.flow, found.mass], [F[S][:, ~S].sum(), pi[S].sum()], rtol=1e-9)
    assert found.lower <= least * (1 + GRANTED), name
    assert (
        found.conductance * (1 + GRANTED) >= least
        and found.gap_upper * (1 + GRANTED) >= gap - LAPACK
    ), name
    assert found.gap_lower <= gap + LAPACK and found.lower <= 0.5 * gap + LAPACK
    assert (found.lower_kind == "none") == (found.lower == 0) and found.upper_kind == "rigorous", (
        name
    )


def check_log_sobolev(m, chain, P, F, pi, densities, name):
    assert (m.lower_kind == "none") == (m.lower == 0) and (m.discrete_kind == "none") <= (
        m.discrete_rate == 0
    ), name
    assert m.lower <= m.upper and m.upper_kind == "rigorous", name
    for logs in densities:
        f = np.exp(logs - logs.max())
        f /= pi @ f
        with np.errstate(divide="ignore", invalid="ignore"):
            entropy = pi @ np.where(f > 0, f * np.log(f) - f + 1, 1)
            form = 0.5 * np.where(f > 0, F * (f[:, None] - f) * (logs[:, None] - logs), 0).sum()
        assert 2 * m.lower * entropy <= form * (1 + GRANTED) + 1e-16 * pi @ f, name
        law = f * pi / (f @ pi)
        kl = fe.mixing_curve(chain, law[None] / law.sum(), 3, distances="kl").kl[0]
        assert (
            kl <= np.exp(-2 * m.discrete_rate * np.arange(4)) * kl[0] * (1 + GRANTED) + 1e-16
        ).all(), name


def check_dobrushin(found, P, name):
    distance = 0.5 * cdist(P, P, "cityblock")
    assert found.lower <= distance.max() + 1e-15 and distance.max() <= found.upper + 1e-15, name
    assert found.lower == pytest.approx(distance[found.pair], abs=1e-13), name
    assert (found.lower_kind == "none") == (found.lower == 0 and not found.is_exact), name
    assert (found.upper_kind == "none") == (found.upper == 1 and not found.is_exact), name


def check_autocorrelation(chain, exact, f, name, granted):
    found = fe.autocorrelation(chain, f)
    assert found.lower <= exact * (1 + granted) and exact * (1 - granted) <= found.upper, (
        name,
        exact,
        found,
    )
    assert (found.lower_kind == "none") == (found.lower == 0) and (found.upper_kind == "none") == (
        found.upper == math.inf
    ), name

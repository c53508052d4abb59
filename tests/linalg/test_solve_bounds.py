"""The bounds of a solve with M = I - P_BB hold against multiprecision: of the elimination a priori,
of the residual's rounding, and of the relative error of small solutions."""

import mpmath as mp
import multiprecision_hitting as exact
import numpy as np
import pytest
import scipy.sparse as sp

import fastebm as fe
from fastebm.linalg import elimination, restriction
from fastebm.linalg.m_matrix import MMatrixSystem
from fastebm.linalg.rounding import UNIT


def quiet(*_, **__):
    """A monitor that does nothing."""


def nasty(kind, rng, n=50):
    """Dense-ish rows over many decades."""
    W = rng.random((n, n)) * (rng.random((n, n)) < 0.7)
    if kind == "decades":
        W = np.exp(-25 * rng.random((n, n)))
    elif kind == "coupled":
        W[: n // 2, n // 2 :] *= 1e-12
        W[n // 2 :, : n // 2] *= 1e-12
    elif kind == "sparse decades":
        W *= np.exp(-60 * rng.random((n, n))) * (rng.random((n, n)) < 0.2)
    W[np.arange(n), (np.arange(n) + 1) % n] += 1e-6
    return W / W.sum(axis=1)[:, None]


@pytest.mark.parametrize("kind", ["dense", "decades", "coupled", "sparse decades"])
@pytest.mark.parametrize("seed", range(2))
def test_the_bound_of_an_elimination(kind, seed):
    rng = np.random.default_rng(seed)
    P = nasty(kind, rng)
    # rows of one sum to the last bit: nothing is divided
    chain, inside = fe.MarkovChain(P, normalize=True), np.arange(len(P)) >= 2
    system = MMatrixSystem(chain._scaled, inside, 1000, 1)
    assert system.prepare(quiet)
    with mp.workdps(exact.DIGITS):
        row = chain._scaled.row
        A = [
            [mp.mpf(p) * mp.mpf(1.0 if row is None else row[x]) for p in P[x].tolist()]
            for x in range(len(P))
        ]
        N = exact.green(A, [int(x) for x in np.flatnonzero(inside)])
        worst = 0.0
        for b in (np.ones(len(N)), 1e-200 * rng.random(len(N)), np.eye(len(N))[3]):
            x = system.eliminate(np.ascontiguousarray(b[:, None]))[:, 0]
            for i, row in enumerate(N):
                truth = mp.fsum(a * float(e) for a, e in zip(row, b, strict=True))
                worst = max(worst, float(abs(mp.mpf(float(x[i])) - truth) / truth))
    bound = system.elimination_bound(1.0)
    assert worst <= bound
    assert bound <= 30 * UNIT * len(N) ** 2  # n^2 / 2 entries of each factor


def test_the_bound_of_an_elimination_counts_long_rows():
    """One state inside and 3000 outside: all but two of the numbers that are summed to the rate out
    are just below half an ulp of the sum."""
    n = 3001
    weights = np.r_[0.5, np.full(n - 3, 2.0**-54 * 0.999), 0.5]
    assert sum(weights.tolist()) == 1.0
    others = np.arange(1, n)
    P = sp.csr_array(
        (
            np.r_[weights, np.ones(n - 1)],
            (np.r_[np.zeros(n - 1, int), others], np.r_[others, others]),
        ),
        shape=(n, n),
    )
    system = MMatrixSystem(fe.MarkovChain(P)._scaled, np.arange(n) < 1, 10, 1)
    assert system.prepare(quiet)
    found = float(system.eliminate(np.ones((1, 1)))[0, 0])
    with mp.workdps(40):
        error = float(abs(found * mp.fsum(weights.tolist()) - 1))
    assert 1000 * UNIT < error <= system.elimination_bound(found)


@pytest.mark.parametrize("kind", ["dense", "decades", "sparse decades"])
@pytest.mark.parametrize("spread", [0, 30, 200])
def test_the_rounding_of_the_residual(kind, spread):
    """At x over many decades, whose residual is cancelled to its last bits."""
    rng = np.random.default_rng(spread)
    P = nasty(kind, rng, 30)
    chain, inside = fe.MarkovChain(P, normalize=True), np.arange(30) >= 2
    M = restriction.Restriction(chain._scaled, inside, 1)
    hi = np.where(inside, 10.0 ** (-spread * rng.random(30)), 0.0)
    lo = hi * rng.uniform(-1, 1, 30) * UNIT
    row = np.ones(30) if chain._scaled.row is None else chain._scaled.row
    with mp.workdps(60 + 2 * spread):
        x = [mp.mpf(float(a)) + mp.mpf(float(b)) for a, b in zip(hi, lo, strict=True)]
        product = [
            mp.mpf(float(row[i]))
            * mp.fsum(mp.mpf(float(P[i, j])) * (x[i] - x[j]) for j in range(30))
            for i in range(30)
        ]
        b = np.where(inside, [max(float(p), 0.0) for p in product], 0.0)
        r = M.residual(hi, lo, b)
        errors = [
            float(abs(b[i] - product[i] - mp.mpf(float(r[i])))) if inside[i] else 0.0
            for i in range(30)
        ]
    assert (errors <= M.floor_at(hi, r) + 2 * UNIT * np.abs(r)).all()
    assert M.floor_at(hi, r).max() <= M.floor(hi) + 1e-28 * np.abs(r).max()
    assert M.floor(hi) < 1e-28


@pytest.mark.parametrize("reversible", [True, False])
@pytest.mark.parametrize("scale", [1e-3, 1e-30, 1e-200])
def test_iteration_on_small_solutions_is_relative(reversible, scale, monkeypatch):
    """One rare way to state 0: a solution of the size of `scale`, and converged only if it is
    known relative to itself."""
    monkeypatch.setattr(restriction, "MAX_SMALL", 0)
    monkeypatch.setattr(elimination, "MAX_FLOPS", -1.0)
    rng = np.random.default_rng(7)
    n = 40
    W = rng.random((n, n)) * (rng.random((n, n)) < 0.2) + np.roll(np.eye(n), 1, axis=1)
    W = W + W.T if reversible else W
    W[:, 0] *= scale
    W[0, :] = W[:, 0] if reversible else W[0, :]
    chain = fe.MarkovChain(W, normalize=True)
    found = fe.hitting_probabilities(chain, [0], avoid=[1])
    with mp.workdps(exact.DIGITS):
        truth = exact.first_hits(W, [[0]], [1])[0][0]
        for x in range(n):
            assert found.lower[x] <= truth[x] <= found.upper[x]
            assert abs(mp.mpf(float(found.probability[x])) - truth[x]) <= 1e-8 * truth[x]
    assert found.converged and found.probability[2:].max() < 1e3 * scale

"""The recurrences of `lanczos` are those of S from a start uniform on the sphere, and the ends that
follow are what their formulas say."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.linalg import eigh_tridiagonal

import fastebm as fe
from fastebm.linalg.proven_top import proven_top, start_component
from fastebm.linalg.rounding import EPS, RITZ_ROUNDING
from fastebm.spectral.gap_lanczos import LanczosGap
from fastebm.spectral.lanczos import (
    LanczosRecurrence,
    ProvenEnds,
    TridiagonalRitz,
    WideRecurrence,
    fits_doubles,
)

SEED = 5


def graph(seed, n=12, spread=2.0):
    rng = np.random.default_rng(seed)
    i, j = np.nonzero(np.triu(rng.random((n, n)) < 0.5))
    i, j = np.r_[i, np.arange(n - 1)], np.r_[j, np.arange(1, n)]
    return fe.MarkovChain.from_edges(
        i, j, np.exp(spread * rng.standard_normal(len(i))), symmetric=True
    )


def metropolis(seed, n=12):
    """A matrix that is not symmetric, given as such."""
    rng = np.random.default_rng(seed)
    pi = np.exp(rng.standard_normal(n))
    P = np.minimum(1.0, pi[None, :] / pi[:, None]) / n
    np.fill_diagonal(P, 0.0)
    np.fill_diagonal(P, 1.0 - P.sum(axis=1))
    return fe.MarkovChain(P)


CHAINS = {
    "torus": lambda: fe.Torus((3, 5)).lazy(0.3),
    "graph": lambda: graph(0),
    "tilted": lambda: fe.tilt(graph(1), np.linspace(0.0, 1.0, 12) ** 2, 0.4),
    "tilted torus": lambda: fe.tilt(fe.Torus((3, 4)), np.linspace(0.0, 1.0, 12) ** 2, 0.3),
    "metropolis": lambda: metropolis(2),
}


def lanczos(chain, n_steps):
    """(alpha, beta, vectors, sqrt(pi)) of S from the standard normal vector of SEED without its
    part along sqrt(pi), fully orthogonalised."""
    P = chain.to_scipy().toarray()
    log_pi = fe.stationary(chain).log_pi
    root = np.exp(0.5 * log_pi)
    S = root[:, None] * P / root
    basis, alpha, beta = [root / np.linalg.norm(root)], [], []
    v = np.random.default_rng(SEED).standard_normal(len(P))
    v -= (basis[0] @ v) * basis[0]
    basis.append(v / np.linalg.norm(v))
    for _ in range(n_steps):
        w = S @ basis[-1]
        alpha.append(basis[-1] @ w)
        for _ in range(2):
            w -= np.array(basis).T @ (np.array(basis) @ w)
        beta.append(np.linalg.norm(w))
        basis.append(w / beta[-1])
    return np.array(alpha), np.array(beta), np.array(basis[1:]), root


@pytest.mark.parametrize("kind", [LanczosRecurrence, WideRecurrence])
@pytest.mark.parametrize("name", CHAINS)
def test_recurrence_is_that_of_a_uniform_start(name, kind):
    """The start is isotropic where S is symmetric: the proof of the lower end takes it to be so,
    and no eigenvalue would tell a start of another law."""
    chain = CHAINS[name]()
    alpha, beta, _, _ = lanczos(chain, 4)
    found = kind(chain, SEED, 1)
    while len(found.alpha) < 4:
        found.expand(4 - len(found.alpha))
    assert_allclose(found.alpha, alpha, rtol=1e-10, atol=1e-12)
    assert_allclose(found.beta, beta, rtol=1e-10)


@pytest.mark.parametrize("name", CHAINS)
def test_vector_is_the_function_of_the_ritz_vector(name):
    chain = CHAINS[name]()
    _, _, basis, root = lanczos(chain, 4)
    found = LanczosRecurrence(chain, SEED, 1)
    while len(found.alpha) < 4:
        found.expand(4 - len(found.alpha))
    weights, steps = np.array([0.5, -0.3, 0.2, 0.7]), []
    f = found.vector(weights, steps.append)
    expected = (weights @ basis[:4]) / root
    assert_allclose(f / f[0], expected / expected[0], rtol=1e-8, atol=1e-9)
    assert steps[-1] == 4


def wide_path(n, depth):
    """log pi from 0 down to -depth; a state is left towards the heavier one with a probability of
    its own, so that the eigenvalues are well apart."""
    x, pi = np.arange(n), np.exp(-np.linspace(0.0, depth, n))
    w = pi[1:] * np.random.default_rng(0).permutation(np.linspace(0.1, 0.9, n - 1))
    loops = pi - np.append(w, 0.0) - np.append(0.0, w)
    return fe.MarkovChain.from_edges(
        np.r_[x[:-1], x], np.r_[x[1:], x], np.r_[w, loops], symmetric=True
    )


@pytest.mark.parametrize("depth", [100.0, 320.0, 650.0])
def test_wide_recurrence_deflates_the_known_pair(depth):
    """sqrt(pi) is taken out: the Ritz values are the other eigenvalues, all of them at the end."""
    chain = wide_path(9, depth)
    P = chain.to_scipy().toarray()
    values = np.sort(np.linalg.eigvalsh(np.sqrt(P) * np.sqrt(P.T)))[:-1]
    found = WideRecurrence(chain, SEED, 1)
    while len(found.alpha) < 8 and not found.is_exhausted:
        found.expand(8 - len(found.alpha))
    ritz = eigh_tridiagonal(found.alpha, found.beta[:-1], eigvals_only=True)
    assert_allclose(ritz, values, atol=1e-9)


@pytest.mark.parametrize("holding", [1e-3, 0.25, 0.5])
@pytest.mark.parametrize("stored", [True, False])
def test_the_least_holding_probability_is_rounded_down(holding, stored):
    """As a diagonal of the matrix, where it is what the other entries of the row leave of one; and
    as a shift, which is what it is."""
    chain = graph(SEED).lazy(holding)
    if stored:
        chain = fe.MarkovChain(chain.to_scipy())
        chain.is_reversible  # noqa: B018  # finds its potential
    least = np.diag(chain.to_scipy().toarray()).min()
    gap = SimpleNamespace(chain=chain, options=SimpleNamespace(threads=1))
    found = LanczosGap._holding.func(gap)
    rounding = 2 * RITZ_ROUNDING if stored else 0.0
    assert least - rounding <= found <= least - (0.4 * rounding)


def test_range_of_doubles_decides():
    for depth, fits in ((290.0, True), (310.0, False)):
        chain = wide_path(20, depth)
        assert fits_doubles(chain, fe.stationary(chain).log_pi) == fits
    chain = graph(SEED)
    for log_col, fits in ((-140.0, True), (140.0, True), (-160.0, False), (160.0, False)):
        scaled = replace(chain._scaled, col=np.full(12, math.exp(log_col)))
        held = SimpleNamespace(_scaled=scaled, n_states=12)
        assert fits_doubles(held, np.zeros(12)) == fits
    wide = fe.spectral_gap(wide_path(20, 400.0), method="lanczos", tol=1e-6, rng=0)
    P = wide_path(20, 400.0).to_scipy().toarray()
    exact = 1.0 - np.sort(np.linalg.eigvalsh(np.sqrt(P) * np.sqrt(P.T)))[-2]
    assert wide.converged and wide.gap_lower - 1e-12 <= exact <= wide.gap_upper + 1e-12
    assert wide.gap == pytest.approx(exact, rel=1e-9, abs=0.0)


# --- the ends -----------------------------------------------------------------------------------


def ritz_of(seed, n_steps, n=60):
    rng = np.random.default_rng(seed)
    values = np.r_[0.95, -0.9, rng.uniform(-0.8, 0.85, n - 2)]
    q, before, b = rng.standard_normal(n), 0.0, 0.0
    q /= np.linalg.norm(q)
    alpha, beta = [], []
    for _ in range(n_steps):
        w = values * q - b * before
        alpha.append(q @ w)
        w -= alpha[-1] * q
        b = np.linalg.norm(w)
        beta.append(b)
        before, q = q, w / b
    return TridiagonalRitz(np.array(alpha), np.array(beta))


def expected_end(ritz, sign, failure, rounding, dimension):
    theta = eigh_tridiagonal(sign * ritz.alpha, ritz.beta[:-1], eigvals_only=True)[-1]
    component = start_component(dimension, failure)
    top = proven_top(sign * ritz.alpha, ritz.beta, theta, 1.0, component, rounding)
    return top, 1.0 - theta


@pytest.mark.parametrize("n_steps", [14, 25, 40])
@pytest.mark.parametrize("end", ["top", "bottom"])
def test_proven_distance_by_its_formula(end, n_steps):
    """Each end of the spectrum may fail with half the probability."""
    ends, ritz = ProvenEnds(61, 9, 1e-6, 1e-6), ritz_of(0, n_steps)
    sign = 1.0 if end == "top" else -1.0
    rounding = ends.rounding(n_steps)
    step = 3 + 64 / np.sqrt(60)
    assert rounding == pytest.approx((64 + 8 * 3 + step * n_steps) * EPS, rel=1e-14, abs=0.0)
    top, value = expected_end(ritz, sign, 1e-6, rounding, 60)
    found = ends.distance(ritz, end)
    assert ritz.distance(end) == pytest.approx(value, rel=1e-12, abs=0.0)
    assert found.value == pytest.approx(value, rel=1e-12, abs=0.0)
    assert found.upper - found.value == pytest.approx(rounding, rel=0.01, abs=0.0)
    assert found.lower == pytest.approx(max(1.0 - top - rounding, 0.0), rel=1e-9, abs=1e-15)
    assert found.upper_kind == "probabilistic"
    assert found.lower_kind == ("none" if found.lower == 0.0 else "probabilistic")
    assert found.lower <= (0.05 if end == "top" else 0.1) <= found.upper + 1e-14


@pytest.mark.parametrize("n_steps", [8, 14, 20])
def test_second_start_lets_each_fail_with_the_root(n_steps):
    ends, one, two = ProvenEnds(61, 9, 1e-6, 1e-6), ritz_of(0, n_steps), ritz_of(1, n_steps)
    rounding = ends.rounding(n_steps)
    alone, value = expected_end(one, 1.0, 1e-6, rounding, 60)
    both = [expected_end(ritz, 1.0, 1e-3, rounding, 60) for ritz in (one, two)]
    reach = min(alone, max(top for top, _ in both))
    found = ends.distance(one, "top", two)
    assert found.value == pytest.approx(min(value, both[1][1]), rel=1e-12, abs=0.0)
    assert found.lower == pytest.approx(max(1.0 - reach - rounding, 0.0), rel=1e-9, abs=1e-15)
    assert both[0][0] <= alone
    assert found.lower >= ends.distance(one, "top").lower


def test_growth_that_a_proof_needs():
    """log of 1 / (c tol)."""
    growth = ProvenEnds(61, 9, 1e-6, 1e-6).growth(1e-4)
    assert growth == pytest.approx(
        -math.log(1e-6 / math.sqrt(120 / math.pi) * 1e-4), rel=1e-14, abs=0.0
    )


def test_end_that_leads():
    ritz = ritz_of(0, 30)  # 0.05 below 1, 0.1 above -1
    assert ritz.leading("spectral") == ritz.leading("absolute") == "top"
    mirrored = TridiagonalRitz(-ritz.alpha, ritz.beta)
    assert mirrored.leading("spectral") == mirrored.leading("additive") == "top"
    assert mirrored.leading("absolute") == mirrored.leading("multiplicative") == "bottom"
    assert mirrored.distance("bottom") == pytest.approx(0.05, rel=1e-9, abs=0.0)

"""Bounds of contraction against brute force over all cuts and pairs, closed forms, and the decay that they promise."""

import sys
from itertools import combinations

import gallery
import numpy as np
import pytest
from hypothesis import given, settings
from numpy.testing import assert_allclose
from strategies import irreducible_chains, reversible_chains

import fastebm as fe
from fastebm.linalg import dirichlet
from fastebm.spectral.gap import slowest_mode

# Rounding of gaps and eigenvectors of small chains: LAPACK's, on matrices of norm one.
SLACK = 1e-9


def test_conductance_of_cycles_and_a_dumbbell():
    """A cycle of even n is cut into halves, 2 edges of n / 2 states."""
    for n in (8, 50):
        found = fe.conductance(
            fe.MarkovChain(gallery.cycle(n, 0.5).P),
            vector=np.sin(2 * np.pi * (np.arange(n) + 0.5) / n),
        )
        assert_allclose(found.conductance, 1 / n)
        assert found.lower <= 1 / n <= found.upper and found.cut.sum() == n // 2
    case = gallery.dumbbell(40)
    found = fe.conductance(fe.MarkovChain(case.P), rng=0)
    assert found.lower <= found.conductance <= np.sqrt(2 * case.gap) and found.gap_upper >= case.gap
    deep = gallery.double_well(100, 40)
    found = fe.conductance(fe.MarkovChain(deep.P), rng=0)
    assert 0.5 * deep.gap <= found.conductance * (1 + SLACK) and found.conductance < 1e-15


def test_conductance_of_a_chain_with_transient_states_and_its_errors():
    P = np.array([[0.2, 0.8, 0, 0], [0, 0.5, 0.5, 0], [0, 0.25, 0.5, 0.25], [0, 0, 0.5, 0.5]])
    found = fe.conductance(fe.MarkovChain(P))
    assert not found.cut[0] and found.cut.shape == (4,)
    with pytest.raises(fe.NotReversibleError, match="reversibilize"):
        fe.conductance(fe.MarkovChain(gallery.biased_cycle(9, 0.7, 0.3).P))
    with pytest.raises(fe.ReducibleChainError):
        fe.conductance(fe.MarkovChain(np.eye(2)))
    with pytest.raises(fe.InvalidChainError, match="two states"):
        fe.conductance(fe.MarkovChain(np.ones((1, 1))))
    with pytest.raises(fe.InvalidChainError, match="shape"):
        fe.conductance(fe.MarkovChain(P), vector=[1.0])
    with pytest.raises(TypeError):
        fe.conductance(P)


def test_the_sweep_has_the_same_bits_for_any_number_of_threads():
    rng = np.random.default_rng(1)
    ring = np.arange(20_000)
    x, y = rng.integers(20_000, size=(2, 60_000))
    chain = fe.MarkovChain.from_edges(
        np.append(x, ring), np.append(y, (ring + 1) % 20_000), symmetric=True
    )
    gap = fe.spectral_gap(chain, tol=1e-2, rng=0)
    one, two = (fe.conductance(chain, vector=np.sin(ring), gap=gap, num_threads=k) for k in (1, 2))
    assert one.conductance == two.conductance and np.array_equal(one.cut, two.cut)


@settings(max_examples=50, deadline=None)
@given(irreducible_chains(max_states=8))
def test_dobrushin_is_the_largest_distance_and_contracts(P):
    found, P = fe.dobrushin(fe.MarkovChain(P)), P.toarray()
    largest = max(
        (0.5 * np.abs(P[x] - P[y]).sum() for x, y in combinations(range(len(P)), 2)), default=0.0
    )
    assert found.is_exact
    assert_allclose(found.coefficient, largest, atol=1e-14)
    assert_allclose(0.5 * np.abs(P[found.pair[0]] - P[found.pair[1]]).sum(), largest, atol=1e-14)


def test_dobrushin_of_large_chains(monkeypatch):
    found = fe.dobrushin(fe.Torus((40, 40)))
    assert found.coefficient == 1 and found.method == "disjoint rows"
    P = fe.Torus((40, 40)).to_scipy()
    assert P[[found.pair[0]]].multiply(P[[found.pair[1]]]).nnz == 0
    monkeypatch.setattr(sys.modules["fastebm.mixing.dobrushin"], "MAX_PAIRS", 1)
    rng = np.random.default_rng(0)
    A = rng.random((30, 30)) + 0.1
    exact = max(
        0.5 * np.abs(a - b).sum() for a, b in combinations(A / A.sum(axis=1, keepdims=True), 2)
    )
    found = fe.dobrushin(fe.MarkovChain(A, normalize=True))
    assert not found.is_exact and found.coefficient is None and found.method == "bounds"
    assert 0 < found.lower <= exact <= found.upper < 1


def test_log_sobolev_of_the_uniform_two_state_chain_is_its_gap():
    """f = 1 + g: E(f, log f) >= 2 gap Ent(f) with equality as g -> 0, as alpha = gap / 2 (Diaconis & Saloff-Coste 1996)."""
    found = fe.modified_log_sobolev(fe.MarkovChain(gallery.two_state(0.3, 0.3).P))
    assert_allclose([found.lower, found.upper], 0.6, rtol=1e-9)
    cube = fe.modified_log_sobolev(fe.MarkovChain(gallery.hypercube(6, 0.5).P), rng=0)
    assert cube.lower <= 1 / 6 <= cube.upper * (1 + SLACK)  # products keep the constant of a factor
    periodic = fe.modified_log_sobolev(fe.MarkovChain(gallery.cycle(8).P), rng=0)
    assert periodic.discrete_rate == 0 and periodic.lower > 0


@settings(max_examples=30, deadline=None)
@given(reversible_chains(max_states=12, decades=4))
def test_any_cut_bounds_the_gap(case):
    P, pi = case
    chain = fe.MarkovChain(P)
    vector = np.cos(np.arange(len(pi)) * 1.7)
    found = fe.conductance(chain, vector=vector, rng=0)
    assert found.gap.gap <= found.gap_upper * (1 + SLACK) + 1e-13
    assert (
        found.gap.gap
        <= dirichlet.quotient(chain._scaled, chain.pi, found.cut.astype(float), 1) * (1 + SLACK)
        + 1e-13
    )


def test_cuts_of_tiny_mass_are_ranked_by_their_digits():
    """A path whose pi falls to 1e-100: every cut of its order has one edge, and sums of like terms on its lighter side."""
    rng = np.random.default_rng(4)
    weight = 10.0 ** (-np.linspace(0, 100, 200) + rng.uniform(-1, 1, 200))
    chain = fe.MarkovChain.from_edges(np.arange(200), np.arange(1, 201), weight, symmetric=True)
    degree = np.append(weight, 0) + np.append(0, weight)
    above = np.cumsum(degree[::-1])[::-1][1:]
    exact = (weight / np.minimum(np.cumsum(degree)[:-1], above)).min()
    for vector in (np.arange(201.0), -np.arange(201.0)):
        assert_allclose(fe.conductance(chain, vector=vector, rng=0).conductance, exact, rtol=1e-9)


@pytest.mark.parametrize(
    "case",
    [
        gallery.two_state(0.3, 0.1),
        gallery.double_well(60, 8),
        gallery.double_well(100, 40),
        gallery.double_well(400, 20),
        gallery.random_reversible(300, 0.05, 1),
    ],
    ids=str,
)
def test_the_slowest_mode_is_the_function_of_the_gaps_upper_end(case):
    """Dense, Lanczos and multigrid; its Dirichlet quotient by definition."""
    chain = fe.MarkovChain(case.P)
    gap, f = slowest_mode(chain, rng=0)
    P, pi = case.P.tocoo(), chain.pi
    energy = 0.5 * (pi[P.row] * P.data * (f[P.row] - f[P.col]) ** 2).sum()
    assert_allclose(energy / (pi @ (f - pi @ f) ** 2), gap.gap_upper, rtol=1e-7)
    assert gap.gap_upper == pytest.approx(gap.gap, rel=1e-6) and gap.upper_kind == "rigorous"


def test_dobrushin_interrupted_keeps_its_bounds(monkeypatch):
    """Rows with common columns only: the passes after the first raise lower and leave upper."""
    monkeypatch.setattr(sys.modules["fastebm.mixing.dobrushin"], "MAX_PAIRS", 1)
    A = np.random.default_rng(0).random((300, 300)) + 0.1
    chain, seen = fe.MarkovChain(A, normalize=True), []

    def callback(info):
        seen.append(info["upper"])
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.raises(fe.Interrupted) as caught:
        fe.dobrushin(chain, callback=callback)
    whole = fe.dobrushin(chain)
    assert (
        caught.value.partial.lower == 0 < whole.lower
        and caught.value.partial.upper == whole.upper < 1
    )

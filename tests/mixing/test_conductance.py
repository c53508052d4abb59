"""Conductance of sweep cuts against closed forms and exact sums, and the slowest mode."""

import gallery
import numpy as np
import pytest
from hypothesis import given, settings
from numpy.testing import assert_allclose
from strategies import reversible_chains

import fastebm as fe
from fastebm.linalg import dirichlet
from fastebm.spectral.gap import slowest_mode

# Rounding of gaps and eigenvectors of small chains: that of LAPACK, on matrices of norm one.
SLACK = 1e-9


def test_conductance_of_cycles_and_a_dumbbell():
    """The best cut of a cycle of even n has two edges and n / 2 states."""
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


@settings(max_examples=30)
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
    """A path on which pi falls to 1e-100: every cut in its order has one edge, and its mass is a
    sum of non-negative terms on the lighter side."""
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
    """By dense, Lanczos and multigrid solves; its Dirichlet quotient by definition."""
    chain = fe.MarkovChain(case.P)
    gap, f = slowest_mode(chain, rng=0)
    P, pi = case.P.tocoo(), chain.pi
    energy = 0.5 * (pi[P.row] * P.data * (f[P.row] - f[P.col]) ** 2).sum()
    assert_allclose(energy / (pi @ (f - pi @ f) ** 2), gap.gap_upper, rtol=1e-7)
    assert (
        gap.gap_upper == pytest.approx(gap.gap, rel=1e-6, abs=0.0) and gap.upper_kind == "rigorous"
    )

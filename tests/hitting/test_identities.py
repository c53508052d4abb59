"""Identities and bounds of the theory that mean hitting times must satisfy."""

import gallery
import numpy as np
import pytest
import reference
from hitting_checks import ULP, quietly
from numpy.testing import assert_allclose

import fastebm as fe


@pytest.mark.parametrize("seed", range(30))
def test_the_gap_bounds_the_mean_from_equilibrium(seed):
    rng = np.random.default_rng(seed)
    for case in (gallery.random_reversible(40, 0.1, rng), gallery.random_chain(40, 0.1, rng)):
        chain, target = fe.MarkovChain(case.P), rng.choice(40, size=3, replace=False)
        gap = fe.spectral_gap(chain, kind="additive")
        for given_gap in (gap, gap.gap_lower):
            found = fe.hitting_times(chain, target, gap=given_gap)
            assert found.bound_from_gap >= found.mean_from_pi


def test_the_gap_bound_is_attained_by_the_complete_graph():
    """E_pi tau_A = (1 - pi(A)) / (gap pi(A)) with equality (Aldous & Fill, ch. 3)."""
    case = gallery.complete(50)
    found = fe.hitting_times(
        fe.MarkovChain(case.P), [0], gap=fe.spectral_gap(fe.MarkovChain(case.P))
    )
    assert_allclose(found.bound_from_gap, found.mean_from_pi, rtol=1e-12)
    assert found.bound_from_gap >= found.mean_from_pi * (1 - ULP)


@pytest.mark.parametrize(
    "case, kind, allowed",
    [
        (gallery.cycle(7), "spectral", True),
        (gallery.cycle(7), "absolute", True),
        (gallery.cycle(7), "multiplicative", False),
        (gallery.biased_cycle(9, 0.7, 0.3), "spectral", False),
        (gallery.biased_cycle(9, 0.7, 0.3), "absolute", False),
        (gallery.biased_cycle(9, 0.7, 0.3), "additive", True),
    ],
    ids=str,
)
def test_gaps_of_a_kind_that_bounds_nothing_are_refused(case, kind, allowed):
    chain = fe.MarkovChain(case.P)
    gap = fe.spectral_gap(chain, kind=kind)
    if allowed:
        found = fe.hitting_times(chain, [0], gap=gap)
        assert found.bound_from_gap >= found.mean_from_pi
    else:
        with pytest.raises(fe.InvalidChainError, match=kind):
            fe.hitting_times(chain, [0], gap=gap)


def test_transient_states_do_not_refuse_the_gap_of_a_reversible_class():
    P = np.zeros((8, 8))
    P[:7, :7], P[7, [7, 0]] = gallery.cycle(7).P.toarray(), 0.5
    chain = fe.MarkovChain(P)
    found = fe.hitting_times(chain, [0], gap=fe.spectral_gap(chain))
    assert found.bound_from_gap >= found.mean_from_pi


@pytest.mark.parametrize("seed", range(5))
def test_kac(seed, method):
    """From pi conditioned on A the mean return time is 1 / pi(A)."""
    case = gallery.random_chain(60, 0.05, seed)
    pi, target = reference.gth(case.P), [3, 11, 40]
    h = quietly(case.P, target, tol=1e-10).mean
    inside = pi[target] / pi[target].sum()
    assert_allclose(1 + inside @ (case.P @ h)[target], 1 / pi[target].sum(), rtol=1e-9)


def test_random_target_lemma(method):
    """sum_y pi(y) E_x tau_y is the same for every x."""
    case = gallery.random_chain(20, 0.2, 1)
    pi = reference.gth(case.P)
    H = np.column_stack([quietly(case.P, [y]).mean for y in range(20)])
    assert_allclose(H @ pi, reference.kemeny(case.P), rtol=1e-8)


def test_holding_stretches_time(method):
    case = gallery.random_reversible(50, 0.1, 8)
    plain, lazy = (
        fe.hitting_times(chain, [7]).mean
        for chain in (fe.MarkovChain(case.P), fe.MarkovChain(case.P).lazy(0.75))
    )
    assert_allclose(lazy, 4 * plain, rtol=1e-8)

"""States from which the target may be missed, targets of zero mass, and targets with all states."""

import gallery
import numpy as np
import pytest
import reference
import scipy.sparse.linalg
from hitting_checks import assert_encloses, quietly
from numpy.testing import assert_allclose, assert_array_equal

import fastebm as fe


def random_digraph(n, seed):
    """About 1.3 edges per state: has transient states, traps and unreachable targets."""
    rng = np.random.default_rng(seed)
    P = np.zeros((n, n))
    for x in range(n):
        P[x, rng.integers(n, size=rng.integers(1, 3))] = rng.random() + 0.1
    return P / P.sum(axis=1)[:, None]


@pytest.mark.parametrize("seed", range(40))
def test_infinite_exactly_where_the_target_can_be_missed(seed, method):
    P = random_digraph(14, seed)
    truth = reference.hitting_times(P, [seed % 14])
    found = quietly(P, [seed % 14])
    assert_encloses(found, truth)
    assert_allclose(found.mean, truth, rtol=1e-8)
    assert found.n_infinite == np.isinf(truth).sum()
    if found.n_infinite:
        assert np.isinf(truth[found.unreachable_example])
    assert np.isnan(found.mean_from_pi) == (reference.scc(P)[1].sum() > 1)


def test_a_trap_within_reach_is_infinite_and_the_rest_is_not(method):
    """0 <- 1 <-> 2 -> 3 (absorbing), 4 -> 0, 5 apart."""
    P = np.zeros((6, 6))
    P[[0, 3, 4, 5], [4, 3, 0, 5]] = 1
    P[1, [0, 2]], P[2, [1, 3]] = 0.5, (1 - 1e-12, 1e-12)
    found = fe.hitting_times(fe.MarkovChain(P), [0])
    assert_array_equal(found.mean, [0, np.inf, np.inf, np.inf, 1, np.inf])
    assert found.n_infinite == 4 and np.isnan(found.mean_from_pi)


def test_a_trap_behind_the_target_does_not_count(method):
    P = np.array([[0.5, 0.5, 0], [0, 0, 1.0], [0, 0, 1]])
    found = fe.hitting_times(fe.MarkovChain(P), [1])
    assert_allclose(found.mean, [2, 0, np.inf])
    assert found.target_mass == 0 and found.mean_from_pi == np.inf


def test_disconnected_components(method):
    block = gallery.cycle(7).P
    found = fe.hitting_times(fe.MarkovChain(scipy.sparse.block_diag([block, block]).tocsr()), [0])
    d = np.arange(7)
    assert_allclose(found.mean, [*d * (7 - d), *[np.inf] * 7])


def test_everything_is_the_target(method):
    found = fe.hitting_times(fe.MarkovChain(gallery.cycle(7).P), np.ones(7, bool), gap=0.3)
    assert_array_equal(found.mean, 0)
    assert (found.mean_from_pi, found.converged) == (0, True)
    assert 0 <= found.bound_from_gap < 1e-12  # 1 - pi(A), where pi(A) must not exceed 1

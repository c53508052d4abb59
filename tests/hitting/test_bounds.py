"""Theoretical bounds next to the computed values: never violated, attained where theory says so,
and exact where a closed form is known."""

import gallery
import numpy as np
import pytest
import reference
from numpy.testing import assert_allclose

import fastebm as fe


def check(found, P, target, pi):
    """Everything that must hold, against LAPACK."""
    P = reference.dense(P)
    rest = np.setdiff1d(np.arange(len(P)), target)
    top = np.abs(np.linalg.eigvals(P[np.ix_(rest, rest)])).max()
    h = reference.hitting_times(P, target)
    assert_allclose(found.exit_rate, 1 - top, rtol=1e-5, atol=1e-14)
    assert found.exit_rate_upper - found.exit_rate_lower <= 1e-5 * found.exit_rate
    assert (
        found.exit_rate_lower <= (1 - top) * (1 + 1e-9) + 1e-14
        and (1 - top) * (1 - 1e-9) <= found.exit_rate_upper + 1e-14
    )
    assert found.mean_from_pi <= found.bound_from_gap * (1 + 1e-9)
    assert_allclose(found.mean_from_pi, pi @ h, rtol=1e-6)
    assert_allclose(found.return_time, found.return_time_kac, rtol=1e-6)
    assert_allclose(found.return_time_kac, 1 / pi[target].sum(), rtol=1e-9)
    assert_allclose(found.quasi_stationary_mean * found.exit_rate, 1)
    return h


@pytest.mark.parametrize("seed", range(8))
def test_reversible_chains(seed, method):
    case = gallery.random_reversible(50, 0.1, seed)
    target = np.random.default_rng(seed).choice(50, size=1 + seed % 4, replace=False)
    found = fe.hitting_bounds(fe.MarkovChain(case.P), target)
    h = check(found, case.P, target, case.pi)
    assert found.converged
    assert found.exit_rate_bound <= found.exit_rate * (1 + 1e-9)
    assert (h <= found.mean_bound * (1 + 1e-9)).all() and (found.mean_bound[target] == 0).all()


@pytest.mark.parametrize("seed", range(8))
def test_general_chains(seed, method):
    case = gallery.random_chain(50, 0.1, seed)
    found = fe.hitting_bounds(fe.MarkovChain(case.P), [3])
    check(found, case.P, [3], reference.gth(case.P))
    assert found.converged and found.mean_bound is None and found.exit_rate_bound is None


def test_the_cycle_in_closed_form():
    """P without a state of the n-cycle is a path with two open ends: lambda_B = cos(pi / n)."""
    found = fe.hitting_bounds(fe.MarkovChain(gallery.cycle(31).P), [0], tol=1e-9)
    assert_allclose(found.exit_rate, 2 * np.sin(np.pi / 62) ** 2, rtol=1e-9)
    assert found.converged


def test_the_complete_graph_attains_the_bound():
    found = fe.hitting_bounds(fe.MarkovChain(gallery.complete(50).P), [0])
    assert_allclose(found.bound_from_gap, found.mean_from_pi, rtol=1e-8)
    assert_allclose(found.exit_rate_bound, found.target_mass * 50 / 49, rtol=1e-8)
    assert_allclose(found.exit_rate, 1 / 49, rtol=1e-9)


def test_an_exit_rate_far_below_rounding():
    """A barrier of 50 nats: 1 - lambda_B is 1e-22 and accurate to the tolerance, as are the
    means."""
    case = gallery.double_well(100, 50)
    found = fe.hitting_bounds(fe.MarkovChain(case.P), case.hitting[0], gap=case.gap)
    assert found.exit_rate < 1e-20
    assert_allclose(found.quasi_stationary_mean, case.hitting[1][0], rtol=1e-6)
    assert (
        found.converged and found.exit_rate_upper - found.exit_rate_lower <= 1e-6 * found.exit_rate
    )
    assert found.mean_from_pi <= found.bound_from_gap and found.exit_rate_bound <= found.exit_rate
    assert (case.hitting[1] <= found.mean_bound * (1 + 1e-9)).all()


def test_two_separate_parts_outside_the_target():
    """Removing the middle of a path leaves two paths; the slower one sets the rate."""
    case = gallery.path(41)
    found = fe.hitting_bounds(fe.MarkovChain(case.P), [10])
    P = np.delete(np.delete(case.P.toarray(), 10, 0), 10, 1)
    top = np.abs(np.linalg.eigvals(P)).max()
    assert found.exit_rate_lower <= 1 - top <= found.exit_rate_upper * (1 + 1e-12)
    assert_allclose(found.exit_rate, 1 - top, rtol=1e-5)


def test_a_walk_that_must_arrive_has_no_eigenvalue_to_find():
    """P_BB of the clockwise cycle is nilpotent, lambda_B = 0: the bounds converge slowly, and
    hold."""
    found = fe.hitting_bounds(fe.MarkovChain(gallery.biased_cycle(6, 1.0).P), [0])
    assert (
        0.9 < found.exit_rate_lower <= 1 <= found.exit_rate_upper * (1 + 1e-12) and found.converged
    )


def test_means_that_are_known_already_are_not_solved_again():
    case = gallery.random_reversible(50, 0.1, 3)
    chain = fe.MarkovChain(case.P)
    known = fe.hitting_times(chain, [4])
    found, alone = fe.hitting_bounds(chain, [4], hitting=known), fe.hitting_bounds(chain, [4])
    assert_allclose(found.exit_rate, alone.exit_rate, rtol=1e-5)
    assert found.mean_from_pi == pytest.approx(alone.mean_from_pi, abs=0.0)
    with pytest.raises(fe.InvalidChainError, match="another"):
        fe.hitting_bounds(chain, [5], hitting=known)


def test_everything_is_the_target():
    found = fe.hitting_bounds(fe.MarkovChain(gallery.cycle(7).P), np.ones(7, bool))
    assert (
        found.mean_from_pi == 0 and found.exit_rate == 1 and found.return_time == pytest.approx(1)
    )


def test_what_has_no_bound_is_refused():
    P = np.array([[1, 0, 0], [0.5, 0, 0.5], [0, 0, 1.0]])
    with pytest.raises(fe.ReducibleChainError):
        fe.hitting_bounds(fe.MarkovChain(P), [0])
    chain = fe.MarkovChain(np.array([[0, 1.0, 0], [0, 0.5, 0.5], [0, 0.5, 0.5]]))
    with pytest.raises(fe.InvalidChainError, match="from state 1"):
        fe.hitting_bounds(chain, [0])
    walk = fe.MarkovChain(gallery.biased_cycle(9, 0.7, 0.3).P)
    with pytest.raises(fe.InvalidChainError, match="spectral"):
        fe.hitting_bounds(walk, [0], gap=fe.spectral_gap(walk))
    with pytest.raises(fe.InvalidChainError):
        fe.hitting_bounds(walk, [])


def test_transient_states_have_bounds_of_what_applies():
    P = np.zeros((8, 8))
    P[:7, :7], P[7, [7, 0]] = gallery.cycle(7).P.toarray(), 0.5
    found = fe.hitting_bounds(fe.MarkovChain(P), [0])
    assert found.mean_from_pi <= found.bound_from_gap and found.mean_bound[7] == np.inf
    assert found.converged and found.exit_rate_lower <= 2 * np.sin(np.pi / 14) ** 2 * (
        1 + 1e-9
    ) <= found.exit_rate_upper * (1 + 2e-9)


def test_interrupt():
    def callback(info):
        raise KeyboardInterrupt

    with pytest.raises(fe.Interrupted):
        fe.hitting_bounds(
            fe.MarkovChain(gallery.double_well(60, 8).P), [59], gap=0.1, callback=callback
        )


def test_a_target_of_nearly_all_mass():
    """B has mass 1e-20, and one of its states 1e-40: 1 - pi(A) is zero in doubles, and the bound
    for every start needs pi(B)."""
    rare = 1e-20
    edges = fe.MarkovChain.from_edges(
        [0, 0, 1, 1, 2],
        [0, 1, 1, 2, 2],
        [1.0, rare / 4, rare, rare**2 / 4, rare**2],
        symmetric=True,
    )
    found = fe.hitting_bounds(edges, [0], gap=0.1)
    assert (found.mean <= found.mean_bound).all()
    inside = edges.log_pi[1:]
    log_k = 0.5 * (np.logaddexp(*inside) - inside[1])
    expected = 1 + log_k / -np.log1p(-found.exit_rate_lower) + 1 / found.exit_rate_lower
    assert_allclose(found.mean_bound[2], expected, rtol=1e-12)
    assert log_k > 20
    assert_allclose(found.bound_from_gap, np.exp(inside).sum() / 0.1, rtol=1e-12)


def test_the_mean_is_not_bounded_on_transient_states():
    """One step hits from the closed class, so that lambda_B = 0, and two lead from state 0."""
    P = np.array([[0, 1.0, 0], [0, 0, 1.0], [0, 0, 1.0]])
    found = fe.hitting_bounds(fe.MarkovChain(P), [2])
    assert_allclose(found.mean, [2, 1, 0])
    assert found.mean_bound.tolist() == [np.inf, np.inf, 0]


@pytest.mark.parametrize("seed", range(20))
def test_the_bound_from_a_gap_covers_the_rounding_of_pi(seed):
    """Of two states it is attained, and log pi of 100 rounds to 1e-14."""
    a, b = 10.0 ** -np.random.default_rng(seed).uniform(30, 130, size=2)
    chain = fe.MarkovChain(np.array([[1, a], [b, 1]]), normalize=True)
    found = fe.hitting_times(chain, [1], gap=fe.spectral_gap(chain, kind="additive"))
    exact = 1 / (a * (1 + a / b)) if a < b else b / a / (a + b)  # pi(0) / a
    assert found.bound_from_gap >= exact * (1 - 4e-16)
    assert_allclose(found.bound_from_gap, exact, rtol=1e-12)

"""Return times, commute times and Kemeny's constant against closed forms; the estimate covers the
exact value."""

import gallery
import numpy as np
import pytest
import reference
from numpy.testing import assert_allclose, assert_array_equal

import fastebm as fe
from fastebm.hitting import kemeny
from fastebm.linalg import elimination, restriction


def test_return_times_are_one_over_pi():
    case = gallery.star(20)
    found = fe.return_times(fe.MarkovChain(case.P), [1, 2])
    assert_allclose(found.mean, np.r_[2, np.full(19, 38)])
    assert_allclose(found.to_target, 19)
    P = np.zeros((3, 3))
    P[0, 1], P[1:, 1:] = 1, 0.5
    found = fe.return_times(fe.MarkovChain(P), [0])
    assert_array_equal(np.isinf(found.mean), [True, False, False])
    assert found.to_target == np.inf and fe.return_times(fe.MarkovChain(P)).to_target is None


def test_return_times_beyond_a_double_are_known_by_their_log():
    chain = fe.tilt(fe.MarkovChain(gallery.path(5).P), [0, 0, 0, 0, 30.0], 0.02)
    found = fe.return_times(chain)
    assert found.log_mean[0] > 720 and np.isinf(found.mean[0])


def test_commute_times_are_resistances():
    """Total weight of directed edges times the effective resistance (Levin & Peres, prop. 10.7) on
    a path, a cycle and a complete graph."""
    for case, resistance, weight in [
        (gallery.path(9), lambda d: d, 16),
        (gallery.cycle(9), lambda d: d * (9 - d) / 9, 18),
        (gallery.complete(9), lambda d: 2 / 9, 72),
    ]:
        found = fe.commute_times(fe.MarkovChain(case.P), np.zeros(8, int), np.arange(1, 9))
        assert_allclose(found.commute, [weight * resistance(d) for d in range(1, 9)], rtol=1e-9)
        assert (
            (found.lower <= found.commute).all()
            and (found.commute <= found.upper).all()
            and found.converged
        )
        assert_allclose(found.forward + found.backward, found.commute)


def test_commute_times_of_a_general_chain():
    case = gallery.random_chain(30, 0.1, 4)
    found = fe.commute_times(fe.MarkovChain(case.P), [3, 3, 8, 5], [4, 8, 3, 5])
    H = np.column_stack([reference.hitting_times(case.P, [y]) for y in range(30)])
    assert_allclose(found.forward, [H[3, 4], H[3, 8], H[8, 3], 0], rtol=1e-8)
    assert_allclose(
        found.commute, [H[3, 4] + H[4, 3], H[3, 8] + H[8, 3], H[3, 8] + H[8, 3], 0], rtol=1e-8
    )
    with pytest.raises(fe.InvalidChainError, match="pairs"):
        fe.commute_times(fe.MarkovChain(case.P), [1, 2], [3])


CLOSED = [
    case
    for case in gallery.cases()
    if case.eigenvalues is not None and case.P.shape[0] <= 200 and case.gap > 1e-6
]


@pytest.mark.parametrize("case", CLOSED, ids=str)
def test_kemeny_is_the_sum_over_the_spectrum(case):
    exact = float(np.real(sum(1 / (1 - np.delete(case.eigenvalues, 0)))))
    found = fe.kemeny_constant(fe.MarkovChain(case.P))
    assert_allclose(found.value, exact, rtol=1e-9)
    assert found.lower <= exact * (1 + 1e-12) and exact * (1 - 1e-12) <= found.upper
    assert found.converged and found.std_error == 0 and found.n_probes == 0


@pytest.mark.parametrize("seed", range(4))
def test_kemeny_of_general_chains(seed):
    case = gallery.random_chain(40, 0.1, seed)
    assert_allclose(
        fe.kemeny_constant(fe.MarkovChain(case.P)).value, reference.kemeny(case.P), rtol=1e-8
    )


def test_kemeny_of_a_metastable_chain_is_its_relaxation_time():
    case = gallery.double_well(100, 50)
    found = fe.kemeny_constant(fe.MarkovChain(case.P))
    assert found.value > 1e20 and found.value * case.gap > 1
    assert_allclose(found.value * case.gap, 1, rtol=1e-9)


@pytest.mark.parametrize("iterate", [False, True])
def test_the_estimate_covers_the_exact_value(iterate, monkeypatch):
    """A cycle, whose constant is (n^2 - 1) / 6. Of 30 intervals of 95 %, fewer than 24 cover it
    once in 10^4 runs."""
    monkeypatch.setattr(kemeny, "MAX_EXACT", 1)
    if iterate:
        monkeypatch.setattr(restriction, "MAX_SMALL", 0)
        monkeypatch.setattr(elimination, "MAX_FLOPS", -1.0)
    n, hits = 41, 0
    chain = fe.MarkovChain(gallery.cycle(n).P)
    for seed in range(30):
        found = fe.kemeny_constant(chain, rng=seed, n_probes=8)
        hits += found.lower <= (n * n - 1) / 6 <= found.upper
        assert found.method.startswith("stochastic") and found.n_probes == 8
    assert hits >= 24
    assert (
        fe.kemeny_constant(chain, rng=3).value
        == fe.kemeny_constant(chain, rng=3, num_threads=3).value
    )


def test_kemeny_of_one_state_and_of_a_reducible_chain():
    assert fe.kemeny_constant(fe.MarkovChain(np.ones((1, 1)))).value == 0
    P = np.zeros((3, 3))
    P[0, 1], P[1:, 1:] = 1, 0.5  # one transient state
    assert_allclose(fe.kemeny_constant(fe.MarkovChain(P)).value, 1)
    with pytest.raises(fe.ReducibleChainError):
        fe.kemeny_constant(fe.MarkovChain(np.eye(2)))
    with pytest.raises(fe.InvalidChainError):
        fe.kemeny_constant(fe.MarkovChain(P), n_probes=1)


def test_an_interrupted_estimate_has_the_probes_so_far(monkeypatch):
    monkeypatch.setattr(kemeny, "MAX_EXACT", 1)
    monkeypatch.setattr(restriction, "MAX_SMALL", 0)
    monkeypatch.setattr(elimination, "MAX_FLOPS", -1.0)
    left = [12]

    def callback(info):
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt

    with pytest.raises(fe.Interrupted) as caught:
        fe.kemeny_constant(fe.MarkovChain(gallery.cycle(20).P), rng=0, callback=callback)
    assert caught.value.partial is None or caught.value.partial.n_probes < 30


def test_the_bounds_of_kemeny_hold_at_a_loose_tolerance():
    """sum 1 / (1 - lambda) by hand: the trace of (I - P) without state 0 inverted, less
    E_pi tau_0."""
    P = np.array([[0, 0.5, 0.5], [0.8, 0.2, 0], [0.8, 0, 0.2]])
    exact = 2 / 0.8 - (1 / 1.8 * 1.25 * 1.25 / 1.25)
    for tol in (0.3, 1e-10):
        found = fe.kemeny_constant(fe.MarkovChain(P), tol=tol)
        assert found.lower <= exact <= found.upper and found.converged
        assert_allclose(found.value, exact, rtol=1e-14)


@pytest.mark.parametrize("iterate", [False, True])
def test_the_estimate_includes_the_errors_of_its_solves(iterate, monkeypatch):
    """At tol = 0.3 the means are off by up to a third, and the interval says so."""
    monkeypatch.setattr(kemeny, "MAX_EXACT", 1)
    if iterate:
        monkeypatch.setattr(restriction, "MAX_SMALL", 0)
        monkeypatch.setattr(elimination, "MAX_FLOPS", -1.0)
    P = np.array([[0, 0.5, 0.5], [0.8, 0.2, 0], [0.8, 0, 0.2]])
    exact = 2 / 0.8 - 1.25 / 1.8
    for seed in range(10):
        found = fe.kemeny_constant(fe.MarkovChain(P), tol=0.3, n_probes=4, rng=seed)
        assert found.lower <= exact <= found.upper

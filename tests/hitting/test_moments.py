"""Second moments and standard deviations of hitting times against closed forms and dense linear
algebra.
"""

import warnings

import gallery
import numpy as np
import pytest
import reference
from hitting_checks import ladder
from numpy.testing import assert_allclose, assert_array_equal

import fastebm as fe
from fastebm.linalg import elimination, restriction


def dense_moments(P, target):
    """E tau and E tau^2 by LAPACK: M m2 = 2 h - 1."""
    P = reference.dense(P)
    rest = np.setdiff1d(np.arange(len(P)), target)
    M = np.eye(len(rest)) - P[np.ix_(rest, rest)]
    h, m2 = np.zeros(len(P)), np.zeros(len(P))
    h[rest] = np.linalg.solve(M, np.ones(len(rest)))
    m2[rest] = np.linalg.solve(M, 2 * h[rest] - 1)
    return h, m2


@pytest.mark.parametrize("p", [0.5, 0.01, 1e-6])
def test_sums_of_geometric_times(p, method):
    n, left = 12, np.arange(11, -1, -1)
    found = fe.hitting_moments(fe.MarkovChain(ladder(n, p)), [n - 1])
    assert_allclose(found.mean, left / p, rtol=1e-8)
    assert_allclose(found.std, np.sqrt(left * (1 - p)) / p, rtol=1e-7)
    assert_allclose(found.second, left * (1 - p) / p**2 + (left / p) ** 2, rtol=1e-8)
    assert found.converged


def test_a_time_that_is_certain_has_no_spread(method):
    found = fe.hitting_moments(fe.MarkovChain(gallery.biased_cycle(40, 1.0).P), [0])
    assert_allclose(found.mean, np.r_[0, np.arange(39, 0, -1)])
    assert_allclose(found.std, 0, atol=1e-5)


@pytest.mark.parametrize(
    "case",
    [
        gallery.random_chain(80, 0.1, 2),
        gallery.random_reversible(80, 0.1, 3),
        gallery.cycle(30, 0.2),
        gallery.double_well(40, 6),
    ],
    ids=str,
)
def test_against_lapack(case, method):
    h, m2 = dense_moments(case.P, [0])
    found = fe.hitting_moments(fe.MarkovChain(case.P), [0])
    assert found.converged
    assert_allclose(found.mean, h, rtol=1e-7)
    assert_allclose(found.second, m2, rtol=1e-7)
    assert_allclose(found.std, np.sqrt(m2 - h**2), rtol=1e-6)
    assert (found.second_lower <= m2 * (1 + 1e-9)).all() and (
        m2 * (1 - 1e-9) <= found.second_upper
    ).all()
    assert (found.std_lower <= found.std).all() and (found.std <= found.std_upper).all()


def test_metastable_times_are_exponential():
    """From the far well the time is exponential after a short relaxation, so its standard deviation
    is its mean."""
    case = gallery.double_well(120, 35)
    found = fe.hitting_moments(fe.MarkovChain(case.P), case.hitting[0])
    assert_allclose(found.mean, case.hitting[1], rtol=1e-8)
    assert_allclose(found.std[0], found.mean[0], rtol=1e-6)


def test_moments_are_infinite_where_the_target_can_be_missed():
    P = np.array([[1, 0, 0], [0.5, 0, 0.5], [0, 0, 1.0]])
    found = fe.hitting_moments(fe.MarkovChain(P), [0])
    assert_array_equal(found.mean, [0, np.inf, np.inf])
    assert_array_equal(found.std, [0, np.inf, np.inf])
    assert_array_equal(found.second_lower, [0, np.inf, np.inf])


def test_stops_at_max_iter_with_bounds_that_hold(monkeypatch):
    monkeypatch.setattr(restriction, "MAX_SMALL", 0)
    monkeypatch.setattr(elimination, "MAX_FLOPS", -1.0)
    case = gallery.cycle(60)
    h, m2 = dense_moments(case.P, [0])
    for limit in (1, 10, 40):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", fe.ConvergenceWarning)
            found = fe.hitting_moments(fe.MarkovChain(case.P), [0], max_iter=limit)
        assert (found.mean_lower <= h * (1 + 1e-12)).all() and (
            h * (1 - 1e-12) <= found.mean_upper
        ).all()
        assert (found.second_lower <= m2 * (1 + 1e-12)).all() and (
            m2 * (1 - 1e-12) <= found.second_upper
        ).all()


def test_a_partial_result_without_the_variance_is_not_converged():
    """Ctrl-C in the third solve comes after both moments have converged."""
    chain, reports = fe.MarkovChain(gallery.random_chain(60, 0.1, 1).P), []
    assert fe.hitting_moments(chain, [0], callback=reports.append).converged

    def callback(info):
        reports.pop()
        if not reports:
            raise KeyboardInterrupt

    with pytest.raises(fe.Interrupted) as caught:
        fe.hitting_moments(chain, [0], callback=callback)
    assert caught.value.partial.error <= 1e-8 and not caught.value.partial.converged


@pytest.mark.parametrize("rare", [1e-3, 1e-10, 1e-60])
def test_a_time_that_is_nearly_certain_has_a_small_spread(rare, method):
    """One step, or with probability `rare` one more: the variance is rare (1 - rare). It must not
    come from a difference with one."""
    P = np.array([[0, 1 - rare, rare], [0, 1, 0], [0, 1, 0]])
    chain = fe.MarkovChain(P, normalize=True)
    found = fe.hitting_moments(chain, [1])
    assert_allclose(found.std, [np.sqrt(rare * (1 - rare)), 0, 0], rtol=1e-7)
    assert (found.std_lower <= found.std).all() and (found.std <= found.std_upper).all()

"""Asymptotic variances against the group inverse, closed forms and brute-force correlations."""

import gallery
import numpy as np
import pytest
import reference
from numpy.testing import assert_allclose

import fastebm as fe
from fastebm.chains.law import StationaryLaw


@pytest.mark.parametrize(
    "case",
    [
        gallery.two_state(0.3, 0.1),
        gallery.cycle(8),
        gallery.biased_cycle(9, 0.7, 0.3),
        gallery.random_reversible(30, 0.1, 1),
        gallery.random_chain(30, 0.1, 2),
        gallery.double_well(60, 8),
    ],
    ids=str,
)
def test_autocorrelation_against_the_group_inverse(case):
    P, n = case.P.toarray(), case.P.shape[0]
    pi = np.linalg.lstsq(
        np.vstack([P.T - np.eye(n), np.ones(n)]), np.append(np.zeros(n), 1), rcond=None
    )[0]
    f = np.random.default_rng(5).normal(size=n)
    g = f - pi @ f
    h = np.linalg.solve(np.eye(n) - P + np.outer(np.ones(n), pi), g)
    exact = 2 * pi @ (g * h) - pi @ g**2
    found = fe.autocorrelation(fe.MarkovChain(case.P), f, n_lags=4)
    assert found.converged and found.lower <= found.asymptotic_variance <= found.upper
    assert_allclose(found.asymptotic_variance, exact, rtol=1e-7, atol=1e-12)
    assert found.lower - 1e-9 * abs(exact) <= exact <= found.upper + 1e-9 * abs(exact)
    assert found.upper - found.lower <= 1e-4 * abs(exact) + 1e-12
    assert_allclose(found.poisson, h, rtol=1e-6, atol=1e-8 * np.abs(h).max())
    wanted = [pi @ (g * (np.linalg.matrix_power(P, t) @ g)) / (pi @ g**2) for t in range(5)]
    assert_allclose(found.autocorrelation, wanted, atol=1e-12)


@pytest.mark.parametrize("n", [50, 1500])
def test_integrated_time_of_an_eigenvector_is_its_relaxation(n):
    """1 + 2 sum lambda^t = (1 + lambda) / (1 - lambda). 1500 states are too many for the
    elimination of small chains."""
    lam = 0.5 + 0.5 * np.cos(2 * np.pi / n)
    found = fe.autocorrelation(
        fe.MarkovChain(gallery.cycle(n, 0.5).P), np.cos(2 * np.pi * np.arange(n) / n)
    )
    assert_allclose(found.integrated_time, (1 + lam) / (1 - lam), rtol=1e-5)
    assert found.lower <= found.variance * (1 + lam) / (1 - lam) * (1 + 1e-9) and found.converged


def test_autocorrelation_of_constants_transients_and_bad_input():
    chain = fe.MarkovChain(np.array([[0.2, 0.8, 0], [0, 0.5, 0.5], [0, 0.5, 0.5]]))
    found = fe.autocorrelation(chain, [9.0, 1.0, -1.0])
    assert_allclose([found.mean, found.asymptotic_variance], [0, 1], atol=1e-12)
    assert np.isnan(found.poisson[0]) and np.isfinite(found.poisson[1:]).all()
    assert np.isnan(fe.autocorrelation(chain, np.ones(3)).integrated_time)
    with pytest.raises(fe.InvalidChainError, match=r"f\[1\]"):
        fe.autocorrelation(chain, [0, np.nan, 1])
    with pytest.raises(fe.ReducibleChainError):
        fe.autocorrelation(fe.MarkovChain(np.eye(2)), [0, 1])


@pytest.mark.filterwarnings("ignore::fastebm.ConvergenceWarning")  # a residual above tol
@pytest.mark.parametrize(
    "case, orders, width",
    [
        (gallery.birth_death([0.05] * 25 + [0], [0] + [0.5] * 25, gap=False), 24.9, 1e-10),
        (
            gallery.birth_death(
                [0.9] * 15 + [0.05] * 14 + [0], [0] + [0.05] * 15 + [0.9] * 14, gap=False
            ),
            18,
            1e-10,
        ),
        (gallery.double_well(40, 24), 9, 0.01),
    ],
    ids=str,
)
def test_bounds_include_the_rounding_of_pi(case, orders, width):
    """pi over 9 to 25 orders of magnitude, observables on probable, on rare and on all states,
    against 60 digits."""
    P, n = case.P.toarray(), case.P.shape[0]
    assert np.log10(case.pi.max() / case.pi.min()) > orders
    rng = np.random.default_rng(8)
    rare, common = np.arange(n) == np.argmin(case.pi), np.arange(n) == np.argmax(case.pi)
    for seen, f in (
        (True, rng.normal(size=n)),
        (True, common + 1.0),
        (False, np.sqrt(1 / case.pi)),
        (False, 1.0 * rare),
    ):
        found, exact = fe.autocorrelation(fe.MarkovChain(P), f), reference.asymptotic_variance(P, f)
        assert found.lower <= exact <= found.upper < np.inf and found.upper_kind == "rigorous"
        assert found.lower_kind == ("rigorous" if found.lower > 0 else "none")
        assert (
            not seen or found.upper - found.lower <= width * exact
        )  # else f is on states of small mass, but the error of pi is on all states


@pytest.mark.parametrize(
    "case", [gallery.random_chain(20, 0.1, 1), gallery.random_reversible(20, 0.1, 1)], ids=str
)
def test_bounds_hold_for_a_pi_that_is_inexact(case):
    """A relative error of 3e-9 in each component of pi. Bounds that ignore it would be 1e-12 wide
    and wrong."""
    P, rng = case.P.toarray(), np.random.default_rng(9)
    missed = 0
    for _ in range(20):
        pi = reference.gth(P) * (1 + 3e-9 * rng.normal(size=20))
        f = rng.normal(size=20)
        chain = fe.MarkovChain(P)
        chain._law.keep(StationaryLaw(np.log(pi / pi.sum())))
        found, exact = fe.autocorrelation(chain, f), reference.asymptotic_variance(P, f)
        assert found.lower <= exact <= found.upper and found.upper - found.lower < 1e-4 * exact
        missed += abs(found.asymptotic_variance - exact) > 1e-11 * exact
    assert missed > 10


@pytest.mark.parametrize("tol", [0.5, 0.1, 1e-2])
def test_bounds_include_the_residual_of_a_loose_solve(tol):
    """The variance of an eigenvector of the cycle is known; the solve stops far from it."""
    n = 1500
    lam = 0.5 + 0.5 * np.cos(2 * np.pi / n)
    found = fe.autocorrelation(
        fe.MarkovChain(gallery.cycle(n, 0.5).P), np.cos(2 * np.pi * np.arange(n) / n), tol=tol
    )
    exact = 0.5 * (1 + lam) / (1 - lam)
    assert abs(found.asymptotic_variance - exact) > 1e-9 * exact  # more than rounding
    assert found.lower <= exact <= found.upper and found.residual <= tol


@pytest.mark.filterwarnings("ignore::fastebm.ConvergenceWarning")
@pytest.mark.parametrize(
    "P, f, variance",
    [
        ([[1 - 1e-25, 1e-25], [1e-25, 1]], [0.0, 1.0], 2.5e24),
        ([[1, 1e-200], [1e-200, 1]], [0.0, 1.0], 2.5e199),
        ([[1, 1e-320], [1e-320, 1]], [0.0, 1.0], np.inf),
        ([[0.9, 0.1], [0.3, 0.7]], [1e200, -1e200], np.inf),  # 3e400
        ([[0.9, 0.1], [0.3, 0.7]], [1e-170, -1e-170], 5e-324),  # 3e-340
        ([[0.9, 0.1], [0.3, 0.7]], [1.7e308, -1.7e308], np.inf),
        ([[0.9, 0.1], [0.3, 0.7]], [1.0, 1 + 2.0**-52], 0.75 * 2.0**-104),
    ],
)
def test_ends_at_the_edges_of_the_range(P, f, variance):
    """No end is NaN; 0 and inf are ends, and f that differ in the last digit are not constant."""
    found = fe.autocorrelation(fe.MarkovChain(np.array(P)), f)
    assert found.lower <= variance <= found.upper
    assert (found.lower_kind == "none") == (found.lower == 0)
    assert (found.upper_kind == "none") == (found.upper == np.inf)
    assert found.converged == (found.residual <= 1e-10 and found.upper < np.inf)

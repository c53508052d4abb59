"""The error bounds of `mixing` are what their formulas say: with errors set by hand, so large that
rounding does not hide a term."""

import math
import sys
from types import SimpleNamespace

import gallery
import mpmath as mp
import numpy as np
import pytest
from numpy.testing import assert_allclose

import fastebm as fe
from fastebm.equilibrium.law_error import relative_law_error
from fastebm.linalg.rounding import UNIT
from fastebm.mixing import log_sobolev
from fastebm.mixing.dobrushin import ENTRY_ROUNDING

# their functions hide these modules
variances = sys.modules["fastebm.mixing.autocorrelation"]
coefficients = sys.modules["fastebm.mixing.dobrushin"]

TWO = fe.MarkovChain(gallery.two_state(0.3, 0.1).P)  # pi = (1/4, 3/4), gap 0.4
THREE = np.array([[0.5, 0.3, 0.2], [0.1, 0.6, 0.3], [0.4, 0.1, 0.5]])  # not reversible


def silent(*args, **info):
    """No progress."""


# --- the asymptotic variance --------------------------------------------------------------------


@pytest.mark.parametrize("reversible", [False, True])
def test_error_of_the_asymptotic_variance(reversible, monkeypatch):
    """From a law that is off by some 1e-3, a residual of 0.02 and times known to 1/4: both bounds
    of the error of a mean, and every term of the sum that follows from them."""
    chain = TWO if reversible else fe.MarkovChain(THREE)
    n, P = chain.n_states, chain.to_scipy().toarray()
    log_pi = fe.stationary(chain).log_pi + 1e-3 * np.array([1.0, -0.5, 0.25])[:n]
    f = np.array([1.0, -0.4, -0.3])[:n]
    solve = variances._PoissonSolve(chain, log_pi, f, 1)
    solve.h, solve.residual = np.array([2.0, -1.0, 0.5])[:n], 0.02
    solve._times, solve._slack = np.array([3.0, 1.5, 0.0])[:n], 0.25
    times, pi, h = solve._times / 0.75, np.exp(log_pi), solve.h
    general = np.abs(pi @ P - pi) @ times
    unnormalized = abs(pi.sum() - 1.0)
    each = 1e-4
    monkeypatch.setattr(variances, "relative_law_error", lambda *args: each)

    def off(q):
        mean = pi @ q
        found = general * np.abs(q - mean).max() / (1.0 - general)
        if reversible:
            found = min(found, each * (pi @ np.abs(q - mean)))
        return found + unnormalized * abs(mean)

    exact = solve._law_error(times)
    for q in (f, h, np.ones(n), f**2):
        assert_allclose(exact(q), off(q), rtol=1e-8)

    def above(q):
        return pi @ q + off(q)

    mean_off = off(f) + abs(pi @ f)
    expected = off(2 * f * h - f**2) + 2 * mean_off * above(np.abs(h)) + mean_off**2
    expected += 2 * (0.02 + mean_off) * above((np.abs(f) + mean_off) * times)
    error = solve.error(0.7, 0.3)
    assert_allclose(error, expected, rtol=1e-8)
    assert error >= expected
    # what P does not tell of the law is infinite
    solve._slack = 1.0
    assert solve.error(0.7, 0.3) == math.inf


def test_error_of_the_asymptotic_variance_bounds_what_a_wrong_law_does():
    """The variance from perturbed laws and solutions lies within its error of the truth, which is
    exceeded by a moderate factor only."""
    rng, P = np.random.default_rng(1), THREE
    chain = fe.MarkovChain(P)
    law, factors = fe.stationary(chain), []
    pi = law.pi
    for _ in range(200):
        log_pi = law.log_pi + 1e-4 * rng.normal(size=3)
        f = rng.normal(size=3)
        f -= np.exp(log_pi) @ f / np.exp(log_pi).sum()
        f /= np.abs(f).max()
        solve = variances._PoissonSolve(chain, log_pi, f, 1)
        solve.run(1e-10, silent)
        value = float(solve.pi @ (2 * f * solve.h)) - solve._mean(f**2)
        error = solve.error(value, solve._mean(f**2))
        g = f - pi @ f
        h = np.linalg.solve(np.eye(3) - P + np.outer(np.ones(3), pi), g)
        factors.append(abs(value - (2 * pi @ (g * h) - pi @ g**2)) / error)
    assert 0.02 < max(factors) <= 1.0


def test_residual_of_the_poisson_equation_counts():
    """A solution that is off by d (I - P) d' has the residual, and E tau_z times it bounds d."""
    chain = fe.MarkovChain(THREE)
    f = np.array([1.0, -0.5, 0.25])
    law = fe.stationary(chain)
    f -= law.pi @ f
    f /= np.abs(f).max()
    solve = variances._PoissonSolve(chain, law.log_pi, f, 1)
    solve.run(1e-10, silent)
    value = float(law.pi @ (2 * f * solve.h)) - solve._mean(f**2)
    assert solve.error(value, solve._mean(f**2)) < 1e-10 * value
    z = int(np.argmax(law.pi))
    inside = np.arange(3) != z
    M = np.eye(2) - THREE[np.ix_(inside, inside)]
    solve.residual = 1e-3
    worst = np.zeros(3)
    worst[inside] = np.linalg.solve(M, 1e-3 * np.sign(f[inside]))
    change = abs(2 * law.pi @ (f * worst))
    assert change <= solve.error(value, solve._mean(f**2)) <= 4.5 * change


@pytest.mark.parametrize("size, exponent", [(1.0, 0), (0.75, 3), (0.75, -600), (0.75, 500)])
def test_ends_of_the_asymptotic_variance(size, exponent):
    lower, upper = variances._ends(0.5, 0.125, size, exponent)
    scale = mp.mpf(size) ** 2 * mp.mpf(2) ** (2 * exponent)
    for end, exact in ((lower, 0.375 * scale), (upper, 0.625 * scale)):
        assert abs(end - exact) <= 1e-14 * exact + mp.mpf(1e-323)
    assert lower <= 0.375 * scale and upper >= 0.625 * scale


def test_ends_of_an_unknown_variance():
    assert variances._ends(0.5, 1.0, 1.0, 0)[0] == 0.0
    assert variances._ends(-0.5, 0.25, 1.0, 0) == (0.0, 5e-324)
    for value, error in ((math.nan, 0.1), (0.1, math.nan), (0.1, math.inf), (math.inf, 0.1)):
        assert variances._ends(value, error, 1.0, 0) == (0.0, math.inf)
    lower, upper = variances._ends(0.5, 0.25, 1.0, 600)
    assert lower == sys.float_info.max and upper == math.inf


def test_a_constant_has_variance_zero():
    found = fe.autocorrelation(TWO, [2.5, 2.5], n_lags=2)
    assert (found.mean, found.variance, found.asymptotic_variance) == (2.5, 0.0, 0.0)
    assert (found.lower, found.upper, found.residual, found.n_iter) == (0.0, 0.0, 0.0, 0)
    assert found.lower_kind == found.upper_kind == "rigorous" and found.converged
    assert np.isnan(found.autocorrelation).all() and len(found.autocorrelation) == 3
    assert math.isnan(found.integrated_time) and not found.poisson.any()


# --- Dobrushin's coefficient --------------------------------------------------------------------


def test_dobrushin_by_all_pairs_has_ends_of_rounding():
    rng = np.random.default_rng(0)
    P = rng.dirichlet(np.ones(40), size=40)
    found = fe.dobrushin(fe.MarkovChain(P))
    rounding = ENTRY_ROUNDING + (2 * 40 + 40) * UNIT
    assert found.method == "all pairs" and found.is_exact
    assert_allclose(found.upper - found.coefficient, rounding, rtol=0.02)
    assert_allclose(found.coefficient - found.lower, rounding, rtol=0.02)
    x, y = found.pair
    assert_allclose(found.coefficient, 0.5 * np.abs(P[x] - P[y]).sum(), rtol=1e-14)


def test_dobrushin_of_equal_and_of_disjoint_rows():
    equal = fe.dobrushin(fe.MarkovChain(np.full((3, 3), 1 / 3)))
    assert equal.lower == 0.0 == equal.coefficient and 0.0 < equal.upper < 1e-13
    assert equal.lower_kind == equal.upper_kind == "rigorous" and equal.is_exact
    apart = fe.dobrushin(fe.MarkovChain(np.eye(3)))
    assert apart.upper == 1.0 == apart.coefficient and 1.0 - 1e-13 < apart.lower < 1.0
    # rows whose entries sum to one only up to rounding are no farther apart than 1
    thirds = np.zeros((6, 6))
    thirds[:3, :3] = thirds[3:, 3:] = 1 / 3
    thirds[0, :3], thirds[5, 3:] = [0.7, 0.2, 0.1], [0.7, 0.2, 0.1]
    assert fe.dobrushin(fe.MarkovChain(thirds)).coefficient <= 1.0


def test_dobrushin_bounds_are_doeblins_and_that_of_their_pair(monkeypatch):
    monkeypatch.setattr(coefficients, "MAX_PAIRS", 1)
    for seed in range(5):
        P = np.random.default_rng(seed).dirichlet(np.full(30, 5.0), size=30)
        found = fe.dobrushin(fe.MarkovChain(P))
        rounding = ENTRY_ROUNDING + 60 * UNIT
        assert found.method == "bounds" and not found.is_exact
        assert_allclose(found.upper, 1 - P.min(axis=0).sum() + rounding, atol=4 * UNIT)
        x, y = found.pair
        distances = 0.5 * np.abs(P[[x, y]][:, None, :] - P[None]).sum(axis=2)
        assert_allclose(found.lower, distances[0, y] - rounding, atol=8 * UNIT)
        # the search ends where neither row has a farther one
        assert distances.max() <= distances[0, y] * (1 + 1e-12)
        assert found.lower_kind == found.upper_kind == "rigorous"


def test_dobrushin_bounds_that_say_nothing(monkeypatch):
    """No column is in all rows, and no two rows are disjoint: the upper end is 1."""
    monkeypatch.setattr(coefficients, "MAX_PAIRS", 1)
    P = np.array([[0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.0, 0.5, 0.5]])
    found = fe.dobrushin(fe.MarkovChain(P))
    assert found.upper == 1.0 and found.upper_kind == "none"
    assert_allclose(found.lower, 0.5, rtol=1e-13)
    equal = fe.dobrushin(fe.MarkovChain(np.full((3, 3), 1 / 3)))
    assert equal.lower == 0.0 and equal.lower_kind == "none" and equal.upper_kind == "rigorous"


def test_dobrushin_numbers_rows_across_pieces(monkeypatch):
    monkeypatch.setattr(coefficients, "MAX_PAIRS", 1)
    chain = fe.MarkovChain(gallery.path(40).P)
    pattern = chain._scaled.pattern
    pieces = [(0, 7), (7, 29), (29, 40)]
    monkeypatch.setattr(type(pattern), "row_ranges", lambda self: pieces)
    # every state of the first eight shares a column with all of them but the far ones
    found = fe.dobrushin(chain)
    x, y = (chain.to_scipy()[[i]].toarray()[0] for i in found.pair)
    assert found.coefficient == 1.0 and not (x * y).any()
    full = np.full((40, 40), 1.0)
    full[0, 20:], full[33, :20] = 0.01, 0.01
    found = fe.dobrushin(fe.MarkovChain(full, normalize=True))
    assert sorted(found.pair) == [0, 33]


# --- the modified log-Sobolev constant ----------------------------------------------------------


def test_comparison_is_lowered_by_the_error_of_the_law():
    for log_p in (-5.0, -1.0):
        value = log_sobolev._comparison(log_p, 0.0)
        assert log_sobolev._comparison(log_p, 0.125) == pytest.approx(
            0.875 * value, rel=1e-11, abs=0.0
        )
        assert log_sobolev._comparison(log_p, 2.0) == 0.0


def test_error_of_the_forms_has_the_law_twice(monkeypatch):
    seen = []

    def best_trial(chain, upper, v, error, threads):
        seen.append(error)
        return upper, 0.0

    monkeypatch.setattr(log_sobolev, "relative_law_error", lambda *args: 0.01)
    monkeypatch.setattr(log_sobolev, "_best_trial", best_trial)
    fe.modified_log_sobolev(TWO)
    rounding = 200 * UNIT + 2 * UNIT * 2
    assert seen[0] == pytest.approx(0.02 + rounding, rel=1e-14, abs=0.0) and seen[0] > 0.02


@pytest.mark.parametrize("error", [1e-3, 1e-2])
@pytest.mark.parametrize("size", [0.1, 1.0, 4.0])
def test_functional_is_raised_by_the_error_of_its_forms(error, size):
    """Every weight may be off by `error`: that of the form enters |log f| (|u| + P |u|), that of
    the entropy lowers it."""
    pi, P = np.array([0.25, 0.75]), TWO.to_scipy().toarray()
    logs = size * np.array([1.0, -0.7])
    f = np.exp(logs) / (pi @ np.exp(logs))
    logs, u = np.log(f), f - 1.0
    form = pi @ (logs * (f - P @ f))
    norms = math.sqrt(pi @ logs**2) * math.sqrt(pi @ u**2)
    form += error * (pi @ np.abs(logs * u) + norms)
    entropy = (pi @ (f * logs - u)) * (1 - error) - error**2
    value = log_sobolev._entropy_quotient(TWO, logs, error, 1)
    if entropy > 0.0:
        assert_allclose(value, form / entropy, rtol=1e-6)
    else:
        assert value == math.inf


# --- the law ------------------------------------------------------------------------------------


def test_relative_law_error_by_its_terms(monkeypatch):
    """n times the mismatch of an edge, twice the rounding of the logs, and what a given law differs
    by."""
    symmetric = fe.MarkovChain(gallery.cycle(7).P)
    log_pi = symmetric.log_pi
    assert relative_law_error(symmetric, log_pi, 1) <= 100 * UNIT
    for shift in (1e-6, -1e-6):
        moved = log_pi.copy()
        moved[3] += shift
        assert_allclose(relative_law_error(symmetric, moved, 1), math.expm1(1e-6), rtol=1e-8)
    assert relative_law_error(symmetric, log_pi - 1.0 + 1e-9, 1) == pytest.approx(
        math.expm1(1 - 1e-9), rel=1e-9, abs=0.0
    )
    assert relative_law_error(symmetric, log_pi - 1.0, 1) == math.inf


def test_relative_law_error_counts_a_mismatch_at_every_state():
    P = gallery.birth_death([0.3] * 9 + [0.0], [0.0] + [0.2] * 9, gap=False).P.toarray()
    chain = fe.MarkovChain(P)
    scaled = chain._scaled
    pattern = SimpleNamespace(
        is_symmetric=False, mismatch=1e-5, potential=np.linspace(-30.0, 5.0, 10), log_span=2.0
    )
    fake = SimpleNamespace(
        pattern=pattern,
        log_row=np.linspace(-4.0, 1.0, 10),
        log_col=None,
        log_measure=scaled.log_measure,
    )
    stub = SimpleNamespace(is_reversible=True, n_states=10, _scaled=fake)
    own = chain.log_pi
    assert_allclose(relative_law_error(stub, own, 1), math.expm1(10 * 1e-5), rtol=1e-8)
    pattern.mismatch = 0.0
    rounding = 8 * UNIT * (1 + 2 + 30 + 4)
    assert_allclose(relative_law_error(stub, own, 1), 12 * rounding, rtol=0.05)
    pattern.is_symmetric, pattern.mismatch = True, 1.0
    assert_allclose(relative_law_error(stub, own, 1), 2 * rounding, rtol=0.2)


def test_relative_law_error_of_a_chain_that_is_not_reversible():
    """It is that of the law."""
    stub = SimpleNamespace(
        is_reversible=False, _law=SimpleNamespace(take=lambda threads: SimpleNamespace(error=0.125))
    )
    assert relative_law_error(stub, np.zeros(3), 1) == 0.125 + 8 * UNIT

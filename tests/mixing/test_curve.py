"""Distances from the stationary distribution against closed forms, dense powers and multiprecision,
and the inequalities between them.
"""

import gallery
import numpy as np
import pytest
import reference
import strategies
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import fastebm as fe
from fastebm.mixing.curve import ALL_DISTANCES

SMALL = [case for case in gallery.cases() if case.P.shape[0] <= 60]
WITH_TV = [case for case in gallery.cases() if "tv_from0" in case.extra]


def curve(P, start, n_steps=None, **options):
    return fe.mixing_curve(
        P if isinstance(P, fe.MarkovChain) else fe.MarkovChain(P), start, n_steps, **options
    )


def by_powers(P, starts, n_steps):
    """(tv, kl, chi2), each (n_starts, n_steps + 1), from dense powers of P, by definition."""
    P, pi = reference.dense(P), reference.gth(P)
    mu, out = np.array([np.eye(len(P))[s] if np.ndim(s) == 0 else s for s in starts]), []
    for _ in range(n_steps + 1):
        with np.errstate(divide="ignore", invalid="ignore"):
            kl = np.where(mu > 0, mu * np.log(mu / pi), 0.0).sum(axis=1)
        out.append((np.abs(mu - pi).sum(axis=1) / 2, kl, ((mu - pi) ** 2 / pi).sum(axis=1)))
        mu = mu @ P
    return np.moveaxis(np.array(out), 0, -1)


@pytest.mark.parametrize("case", WITH_TV, ids=str)
def test_total_variation_of_the_gallery(case):
    found = curve(case.P, 0, 40)
    exact = [case.extra["tv_from0"](t) for t in range(41)]
    # the rounding error of 1 does not decay
    assert_allclose(found.tv[0], exact, rtol=1e-12, atol=1e-15)
    assert_array_equal(found.steps, np.arange(41))
    assert found.kl_is_monotone


def test_two_states_in_all_three_distances():
    """From state 0, mu_t / pi - 1 is lam^t pi(1) / pi(0) at state 0 and -lam^t at state 1."""
    a, b = 0.3, 0.1
    pi, decay = np.array([b, a]) / (a + b), (1 - a - b) ** np.arange(30.0)
    found = curve(gallery.two_state(a, b).P, 0, 29)
    assert_allclose(found.tv[0], pi[1] * decay, rtol=1e-9)
    assert_allclose(found.chi2[0], pi[1] / pi[0] * decay**2, rtol=1e-11)
    assert_allclose(found.kl[0, 0], -np.log(pi[0]), rtol=1e-14)
    # the plain formula, at steps where it does not cancel
    density = np.array([1 + decay * pi[1] / pi[0], 1 - decay])[:, 1:4]
    assert_allclose(found.kl[0, 1:4], pi @ (density * np.log(density)), rtol=1e-13)


@pytest.mark.parametrize(
    "case",
    [
        gallery.hypercube(6, 0.1),
        gallery.hypercube(10),
        gallery.cycle(50, 0.5),
        gallery.complete(50),
    ],
    ids=str,
)
def test_closed_forms_to_1e_minus_12(case):
    found = curve(case.P, 0, 150)
    exact = np.array([case.extra["tv_from0"](t) for t in range(151)])
    seen = exact > 1e-13  # the closed form cancels: an absolute accuracy only
    assert np.abs(found.tv[0] - exact).max() < 1e-12
    assert_allclose(found.tv[0][seen], exact[seen], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("case", SMALL, ids=str)
def test_against_multiprecision(case):
    """Rounding errors along constants in the first steps, 1e-16 of the density, do not decay: an
    error of 1e-16 in TV, and of less than 1e-30 in KL and chi-square, which are sums of squares."""
    start, n = int(case.P.shape[0] > 5) * 3, 60
    found = curve(case.P, start, n)
    tv, kl, chi2 = reference.mixing_curves(case.P, start, n)
    assert_allclose(found.tv[0], tv, rtol=1e-11, atol=2e-15)
    for ours, exact in ((found.kl[0], kl), (found.chi2[0], chi2)):
        assert_allclose(ours, exact, rtol=1e-10, atol=1e-30)
    assert found.kl_is_monotone


def test_divergence_of_1e_minus_25_keeps_its_digits():
    case = gallery.two_state(0.3, 0.1)
    found = curve(case.P, 0, 58)
    _, kl, chi2 = reference.mixing_curves(case.P, 0, 58)
    assert 1e-26 < kl[-1] < 1e-25
    assert_allclose(found.kl[0], kl, rtol=1e-5)
    assert_allclose(found.chi2[0], chi2, rtol=1e-5)


@pytest.mark.parametrize(
    "case", [gallery.random_reversible(200, 0.02, 1), gallery.random_chain(200, 0.02, 1)], ids=str
)
def test_against_powers(case):
    rng = np.random.default_rng(0)
    laws = rng.dirichlet(np.ones(200), size=3)
    laws[0, :100] = 0
    laws[0] /= laws[0].sum()
    for starts, given_as in (
        ([5], 5),
        (list(range(0, 200, 5)), np.arange(0, 200, 5)),
        (list(laws), laws),
        ([laws[1]], laws[1]),
    ):
        found = curve(case.P, given_as, 12)
        assert found.tv.shape == (len(starts), 13)
        distances = (found.tv, found.kl, found.chi2)
        for ours, exact in zip(distances, by_powers(case.P, starts, 12), strict=True):
            assert_allclose(ours, exact, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize(
    "case", [gallery.random_reversible(50, 0.1, 5), gallery.random_chain(50, 0.1, 5)], ids=str
)
def test_separation_and_l2_by_powers(case):
    P, pi = reference.dense(case.P), reference.gth(case.P)
    found = curve(case.P, np.arange(20), 15, distances=("separation", "l2"))
    assert found.tv is None and found.kl_is_monotone is None
    mu = np.eye(50)[:20]
    for t in range(16):
        assert_allclose(found.separation[:, t], (1 - mu / pi).max(axis=1), rtol=1e-9, atol=1e-13)
        assert_allclose(
            found.l2[:, t], np.sqrt(((mu - pi) ** 2 / pi).sum(axis=1)), rtol=1e-9, atol=1e-13
        )
        mu = mu @ P


@pytest.mark.parametrize("n_starts", [1, 15, 16, 17, 33])
def test_a_start_does_not_depend_on_the_others(n_starts):
    case = gallery.random_chain(40, 0.1, 4)
    starts = np.arange(n_starts)
    together = curve(case.P, starts, 7)
    for x in starts:
        alone = curve(case.P, [x], 7)
        for name in ("tv", "kl", "chi2"):
            assert_array_equal(getattr(alone, name)[0], getattr(together, name)[x])


def test_from_equilibrium_nothing_happens():
    case = gallery.random_reversible(30, 0.1, 1)
    found = curve(case.P, case.pi, 5)
    assert_allclose(found.tv, 0, atol=1e-14)
    assert_allclose(found.kl, 0, atol=1e-28)
    assert found.kl_is_monotone


def test_a_state_and_its_point_mass_are_one_start():
    case = gallery.random_chain(30, 0.1, 1)
    states, laws = curve(case.P, [4, 7], 5), curve(case.P, np.eye(30)[[4, 7]], 5)
    assert_allclose(states.kl, laws.kl, rtol=1e-13)


@pytest.mark.parametrize(
    "case", [c for c in gallery.cases() if c.period > 1 and c.P.shape[0] <= 60], ids=str
)
def test_periodic_chains_do_not_converge(case):
    found = curve(case.P, 0, 2000)
    assert found.tv[0, -1] >= 0.5 - 1e-9
    assert found.kl[0, -1] == pytest.approx(np.log(case.period), rel=0.2, abs=0.0)
    assert found.kl_is_monotone


def assert_inequalities(found):
    slack = 1 + 1e-12
    assert (found.tv <= np.sqrt(found.kl / 2) * slack + 1e-15).all()
    assert (found.kl <= np.log1p(found.chi2) * slack + 1e-30).all()
    assert (found.tv <= np.sqrt(found.chi2) / 2 * slack + 1e-15).all()
    assert (found.tv <= slack).all() and (found.tv >= 0).all() and (found.kl >= 0).all()
    assert found.kl_is_monotone
    assert found.kl_largest_increase <= 1e-12 * found.kl.max() + 1e-26


@given(strategies.irreducible_chains(max_states=10, decades=6), st.data())
def test_inequalities_on_any_chain(P, data):
    start = data.draw(st.integers(0, P.shape[0] - 1))
    assert_inequalities(curve(P, start, 30))


@given(strategies.irreducible_chains(max_states=8, decades=4), st.integers(0, 10**6))
def test_data_processing(P, seed):
    """No distance between two distributions rises under a kernel; the largest increases are
    recorded."""
    start = np.random.default_rng(seed).dirichlet(np.full(P.shape[0], 0.3))
    found = curve(P, start, 25, distances=ALL_DISTANCES)
    assert set(found.largest_increase) == set(ALL_DISTANCES)
    for name, increase in found.largest_increase.items():
        assert increase == np.diff(getattr(found, name)).max()
        assert increase <= 1e-12 * max(getattr(found, name)[0, 0], 1e-14), name


@pytest.mark.parametrize("seed", range(20))
def test_bounds_from_the_gap(seed):
    rng = np.random.default_rng(seed)
    reversible, general = (
        gallery.random_reversible(40, 0.1, rng),
        gallery.random_chain(40, 0.1, rng),
    )
    for case, kind in (
        (reversible, "absolute"),
        (reversible, "multiplicative"),
        (general, "multiplicative"),
    ):
        chain = fe.MarkovChain(case.P)
        found = curve(
            chain, [0, 20], 60, gap=fe.spectral_gap(chain, kind=kind), distances=ALL_DISTANCES
        )
        assert set(found.bounds) == set(ALL_DISTANCES)
        for name, bound in found.bounds.items():
            assert bound.shape == (2, 61)
            assert (getattr(found, name) <= bound * (1 + 1e-12) + 1e-15).all(), name
        assert (found.bounds["tv"] < 1).all() and (found.bounds["separation"] <= 1).all()
        assert_inequalities(found)


def test_the_gap_bound_is_attained_by_one_eigenfunction():
    case = gallery.two_state(0.3, 0.1)
    chain = fe.MarkovChain(case.P)
    found = curve(chain, 0, 20, gap=fe.spectral_gap(chain, kind="absolute"))
    assert_allclose(found.bounds["chi2"], found.chi2, rtol=1e-10)


def test_the_absolute_gap_of_a_chain_that_is_not_reversible_is_refused():
    """Its rate is only asymptotic: here chi-square would exceed the bound by far."""
    P = np.full((8, 8), 1e-3)
    P[np.arange(8), np.maximum(np.arange(8) - 1, 0)] += 1 - 8e-3
    P[0] = 1 / 8
    chain = fe.MarkovChain(P)
    gap = fe.spectral_gap(chain, kind="absolute")
    chi2 = curve(chain, 7, 7).chi2[0]
    assert (chi2 > chi2[0] * (1 - gap.gap) ** (2 * np.arange(8)) * 1.01).any()
    with pytest.raises(fe.InvalidChainError, match="multiplicative"):
        curve(chain, 7, 7, gap=gap)

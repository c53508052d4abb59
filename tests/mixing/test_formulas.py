"""Each bound is as tight as its formula says: from a gap whose ends are set by hand, every number
is recomputed from the formula, or is attained by a chain."""

import math
from dataclasses import replace

import gallery
import mpmath as mp
import numpy as np
import pytest
from numpy.testing import assert_allclose

import fastebm as fe
from fastebm.mixing import curve, dense_powers, log_sobolev, time_search
from fastebm.mixing.curve import ALL_DISTANCES, rate_of

TWO = fe.MarkovChain(gallery.two_state(0.3, 0.1).P)  # pi = (1/4, 3/4), gap 0.4
FAILURE = 3e-7


def gap_of(chain, kind, lower, upper=1.0, kinds=("probabilistic", "probabilistic")):
    return replace(
        fe.spectral_gap(chain, kind=kind, rng=0),
        gap_lower=lower,
        gap_upper=upper,
        lower_kind=kinds[0],
        upper_kind=kinds[1],
        failure_probability=FAILURE,
    )


# --- curves -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind, lower, rate", [("absolute", 0.4, 0.6), ("multiplicative", 0.64, 0.6)]
)
def test_a_chain_of_two_states_attains_the_bounds_of_chi_square(kind, lower, rate):
    gap = gap_of(TWO, kind, lower)
    assert rate_of(gap) == pytest.approx(rate, rel=1e-14, abs=0.0) and rate_of(gap) >= rate
    found = fe.mixing_curve(TWO, 0, 40, gap=gap, distances=ALL_DISTANCES)
    assert_allclose(found.bounds["chi2"], found.chi2, rtol=1e-12)
    assert_allclose(found.bounds["l2"], found.l2, rtol=1e-12)
    # the least probable start has the largest separation, at the other state: 1 - pi_min squared
    attained = found.bounds["separation"][0] < 1
    assert_allclose(found.bounds["separation"][0, attained], found.l2[0, attained] * math.sqrt(3))
    chi2 = 3.0 * rate ** (2.0 * found.steps)
    assert_allclose(found.bounds["kl"][0], np.log1p(chi2), rtol=1e-12)
    tv = np.where(chi2 <= 1, np.sqrt(chi2) / 2, chi2 / (1 + chi2))
    assert_allclose(found.bounds["tv"][0], tv, rtol=1e-12)
    assert found.bounds_kind == "probabilistic" and found.failure_probability == FAILURE


@pytest.mark.parametrize("kind", ["absolute", "multiplicative"])
@pytest.mark.parametrize("lower", [1e-3, 0.1234567, 0.64])
def test_the_bounds_of_a_curve_are_rounded_up(kind, lower):
    """Each formula from l2 at the first step, without rounding, is not above its bound, and not by
    much below."""
    gap = gap_of(TWO, kind, lower)
    steps = np.unique(np.geomspace(1, 5000, 60).astype(int))
    l2 = np.array([[3.0], [1e-7], [0.1]])
    found = curve._bounds(steps, l2, ALL_DISTANCES, gap, math.log(0.3), 0.0)
    with mp.workdps(60):
        for i, k in np.ndindex(found["l2"].shape):
            norm = mp.mpf(float(l2[i, 0])) * mp.mpf(rate_of(gap)) ** int(steps[k] - steps[0])
            chi2 = norm**2
            exact = {
                "tv": norm / 2 if chi2 <= 1 else chi2 / (1 + chi2),
                "kl": mp.log1p(chi2),
                "chi2": chi2,
                "separation": min(norm * mp.sqrt(1 / mp.exp(math.log(0.3)) - 1), 1),
                "l2": norm,
            }
            for name, value in exact.items():
                ours = found[name][i, k]
                assert value <= ours <= value * (1 + 48 * 2.0**-53) + 1e-320


def test_separation_attains_its_bound_on_two_equal_states():
    chain = fe.MarkovChain(gallery.two_state(0.2, 0.2).P)
    gap = fe.spectral_gap(chain, kind="absolute")
    found = fe.mixing_curve(chain, 0, 20, gap=gap, distances="separation")
    assert_allclose(found.bounds["separation"], found.separation, rtol=1e-12)
    assert found.bounds_kind == "rigorous" and found.failure_probability is None


def test_bounds_begin_at_the_first_step_that_is_recorded():
    gap = fe.spectral_gap(TWO, kind="absolute")
    found = fe.mixing_curve(TWO, 0, steps=[5, 9], gap=gap, distances="chi2")
    assert_allclose(found.bounds["chi2"], found.chi2, rtol=1e-12)


def test_bounds_do_not_underflow_before_the_distances_do():
    gap = fe.spectral_gap(TWO, kind="absolute")
    found = fe.mixing_curve(TWO, 0, steps=[0, 1000], gap=gap, distances=("tv", "l2"))
    exact = math.sqrt(3) * 0.6**1000  # chi2, its square, underflows
    assert exact <= found.bounds["l2"][0, 1] <= 1.01 * exact < 1e-200
    assert 0 < found.tv[0, 1] <= found.bounds["tv"][0, 1]


@pytest.mark.parametrize("eps", [1e-20, 1e-10, 1e-3, 0.4])
def test_the_first_distance_of_a_state_that_has_nearly_all_mass(eps):
    """pi = (1, 2 eps) / (1 + 2 eps): TV = 1 - pi, a number that 1 - pi in doubles would lose."""
    found = fe.mixing_curve(
        fe.MarkovChain(np.array([[1 - eps, eps], [0.5, 0.5]])), 0, 0, distances=ALL_DISTANCES
    )
    x = 2 * eps
    exact = [x / (1 + x), math.log1p(x), x, 1.0, math.sqrt(x)]
    for name, value in zip(ALL_DISTANCES, exact, strict=True):
        assert_allclose(getattr(found, name), value, rtol=1e-12, err_msg=name)


# --- conductance --------------------------------------------------------------------------------


def test_cheegers_bounds_from_the_ends_of_a_gap():
    """With a poor cut, `upper` is sqrt(2 gap)."""
    chain = fe.MarkovChain(gallery.cycle(12, 0.5).P)
    poor = np.array([1.0, -1.0] * 6)
    gap = gap_of(chain, "spectral", 0.01, 0.02)
    found = fe.conductance(chain, gap=gap, vector=poor)
    assert_allclose([found.lower, found.upper], [0.005, 0.2], rtol=1e-14)
    assert_allclose([found.gap_lower, found.gap_upper], [0.005**2 / 2, 2 * found.conductance])
    assert found.lower_kind == found.upper_kind == "probabilistic"
    assert found.failure_probability == FAILURE
    rigorous = gap_of(chain, "spectral", 0.01, 0.02, ("rigorous", "rigorous"))
    assert fe.conductance(chain, gap=rigorous, vector=poor).failure_probability is None


# --- the modified log-Sobolev constant ----------------------------------------------------------


@pytest.mark.parametrize("p", [1e-300, 1e-9, 0.05, 0.0999, 0.1, 0.3, 0.499])
def test_the_comparison_with_the_gap(p):
    value = log_sobolev._comparison(math.log(p), 0.0)
    exact = (1 - 2 * p) / math.log(1 / p - 1)
    assert exact * (1 - 2e-12) <= value <= exact * (1 + 1e-13)
    assert log_sobolev._comparison(math.log(0.5), 0.0) == pytest.approx(0.5, rel=1e-11, abs=0.0)


def test_the_constants_from_the_ends_of_the_gaps(monkeypatch):
    """rho >= 2 alpha, r = -log(1 - alpha(P P*)) / 2, alpha = comparison gap."""
    gap, step = fe.spectral_gap(TWO), fe.spectral_gap(TWO, kind="multiplicative")
    found = fe.modified_log_sobolev(TWO)
    comparison = 0.5 / math.log(3)
    assert_allclose(found.comparison, comparison, rtol=1e-11)
    assert_allclose(found.lower, 2 * comparison * gap.gap_lower, rtol=1e-11)
    assert_allclose(found.discrete_rate, -math.log(1 - comparison * step.gap_lower) / 2, rtol=1e-11)
    probable = replace(step, lower_kind="probabilistic", failure_probability=FAILURE)
    monkeypatch.setattr(log_sobolev, "spectral_gap", lambda *_, **__: probable)
    assert fe.modified_log_sobolev(TWO).failure_probability == FAILURE


@pytest.mark.parametrize("size", [1e-7, 1e-5, 1e-3])
def test_the_functional_of_a_density_near_one_is_its_dirichlet_quotient(size):
    """E(f, log f) / Ent(f) tends to 2 E(v, v) / Var(v) for f = 1 + size v; of two states, twice the
    gap."""
    value = log_sobolev._entropy_quotient(TWO, size * np.array([3.0, -1.0]), 1e-14, 1)
    assert value == pytest.approx(2 * 0.4, rel=10 * size + 1e-6, abs=0.0) and value > 0.8 * (
        1 - 10 * size
    )


# --- mixing times -------------------------------------------------------------------------------


def search(chain, eps, gap=None, states=None, max_steps=50):
    return time_search.MixingTimeSearch(chain, states, eps, gap, max_steps, 1)


@pytest.mark.parametrize("eps", [1e-6, 0.01, 0.25, 0.49])
@pytest.mark.parametrize("gap", [1e-9, 0.03, 0.4])
def test_the_spectral_bounds_on_a_mixing_time(eps, gap):
    """The least t with (1 - gap)^t / 2 <= eps, and with rate^t b / 2 <= eps."""
    one = search(TWO, eps)
    exact = math.log(1 / (2 * eps * (1 + time_search.TIE))) / -math.log1p(-gap)
    assert exact * (1 - 1e-9) <= one._below(gap) <= math.ceil(exact)
    exact = (math.log(7.0) - math.log(2 * eps)) / -math.log1p(-gap)
    assert exact <= one._after(math.log(7.0), 1 - gap) <= exact * (1 + 1e-6) + 1
    assert one._after(math.log(2 * eps) - 1e-6, 1 - gap) == 0
    assert one._below(1.0) == 0 and one._below(0.0) == math.inf


@pytest.mark.parametrize("eps, mass", [(0.25, 0.5), (0.01, 0.3), (1e-9, 1e-4), (0.3, 0.999)])
def test_the_blocks_of_a_minorisation(eps, mass):
    blocks = time_search.blocks_needed(eps, mass)
    assert (1 - mass) ** blocks <= eps < (1 - mass) ** (blocks - 1) or blocks == 1
    assert time_search.blocks_needed(0.25, 0.5) == 2
    assert time_search.blocks_needed(0.25, 1.0) == 1 and time_search.blocks_needed(0.25, 0.0) > 1e99
    assert time_search._log(0.0) == -math.inf and time_search._log(1.0) == 0.0


def test_spectral_ends_carry_the_failure_probability_of_their_gap(monkeypatch):
    monkeypatch.setattr(time_search, "MAX_DENSE", 0)
    chain = fe.MarkovChain(gallery.cycle(40, 0.5).P)
    gap = gap_of(chain, "absolute", 0.006, 0.0062)
    found = fe.mixing_time(chain, gap=gap, max_steps=5)
    assert found.lower_kind == found.upper_kind == "probabilistic"
    assert found.failure_probability == 2 * FAILURE and not found.is_exact
    assert found.bounds["lower"]["spectral"] == math.ceil(math.log(2 / (1 + 1e-9)) / 0.0062193)
    b = math.sqrt(39)
    steps = math.ceil(math.log(2 * b) / -math.log(0.994))
    assert found.bounds["upper"]["spectral"] == steps
    rigorous = replace(gap, lower_kind="rigorous", upper_kind="rigorous")
    assert fe.mixing_time(chain, gap=rigorous, max_steps=5).failure_probability is None


@pytest.mark.parametrize("depth", [300, 900, 1350, 2000])
def test_the_spectral_bound_where_pi_underflows(monkeypatch, depth):
    monkeypatch.setattr(time_search, "MAX_DENSE", 0)
    walk = fe.MarkovChain(gallery.path(12).P).lazy(0.5)
    chain = fe.tilt(walk, np.linspace(0, 1, 12), 2.0 / depth)
    gap = gap_of(walk, "absolute", 0.05, 0.06)
    found = fe.mixing_time(chain, gap=gap, max_steps=1)
    log_b = -0.5 * chain.log_pi.min()
    steps = math.ceil((log_b + math.log(2)) / -math.log(0.95))
    assert chain.log_pi.min() < -0.8 * depth
    assert found.bounds["upper"]["spectral"] in (steps, steps + 1)


def test_the_averaged_bound_by_its_recursion(monkeypatch):
    """b <- min(rate b, P b): a rare state leads to frequent ones."""
    monkeypatch.setattr(time_search, "MAX_DENSE", 0)
    chain = fe.MarkovChain(gallery.birth_death([0.7] * 9 + [0], [0] + [0.2] * 9, gap=False).P)
    for lower in (0.02, 0.05, 0.1):
        gap, P = gap_of(chain, "absolute", lower, 0.2), chain.to_scipy().toarray()
        b, rate, eps = np.sqrt(1 / chain.pi - 1), 1 - lower, 0.01
        bounds = []
        for t in range(200):
            bounds.append(t + max(math.ceil(math.log(b.max() / (2 * eps)) / -math.log(rate)), 0))
            b = np.minimum(rate * b, P @ b)
        found = fe.mixing_time(chain, eps=eps, gap=gap, max_steps=1)
        assert found.bounds["upper"]["spectral"] == bounds[0]
        assert found.bounds["upper"]["averaged"] == min(bounds) < bounds[0]


@pytest.mark.parametrize("doublings", [0, 10, 40])
def test_the_rounding_of_powers_grows_with_the_root_of_the_steps(doublings):
    powers = dense_powers.DensePowers(TWO, TWO.log_pi, None, lambda **_: None, 1)
    entry = 4 * 6 * 2.0**-53
    grown = entry * (2 * 2 ** (doublings / 2) + dense_powers.MAX_DOUBLINGS)
    assert grown < powers.rounding(doublings) < grown + 1e-13

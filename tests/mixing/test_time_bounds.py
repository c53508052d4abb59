"""Bounds on a mixing time against the exact one."""

import math

import gallery
import numpy as np
import pytest
from mixing_times import by_powers, by_stepping, chain_of, first_below, lazy_weight
from numpy.testing import assert_array_equal

import fastebm as fe
from fastebm.mixing import dense_powers, time_search


@pytest.fixture
def bracket(monkeypatch):
    """mixing_time without dense powers."""
    monkeypatch.setattr(time_search, "MAX_DENSE", 0)
    return fe.mixing_time


def assert_bounds_hold(found, exact):
    """All bounds hold, not only the best ones. A bound that says nothing is of kind "none"."""
    for bound in found.bounds["lower"].values():
        assert bound <= exact
    for bound in found.bounds["upper"].values():
        assert bound >= exact
    assert found.lower <= exact <= found.upper and found.steps == found.upper
    assert (
        (found.upper == math.inf) == (found.upper_kind == "none") == (found.upper_method == "none")
    )
    if found.lower == 0:
        assert found.lower_kind == "none" or exact == 0
    assert found.lower == max(found.bounds["lower"].values())
    assert not found.is_exact or found.lower == found.upper == exact


def test_the_bounds_are_near_each_other(bracket):
    """On chains that mix fast. See also test_bounds_on_random_chains.py."""
    rng = np.random.default_rng(11)
    ratios, averaged = [], 0
    for _ in range(200):
        n = int(rng.integers(2, 13))
        A = rng.lognormal(sigma=1.5, size=(n, n)) * (rng.random((n, n)) < 0.3)
        A = np.triu(A) + np.diag(rng.random(n - 1) + 0.1, 1)
        A += A.T + np.diag(0.2 * rng.random(n) + 1e-3)
        P = A / A.sum(axis=1, keepdims=True)
        eps = float(rng.choice([0.05, 0.25, 0.45]))
        exact, _ = by_stepping(P, eps)
        found = bracket(chain_of(P), eps=eps)
        assert_bounds_hold(found, exact)
        assert (
            found.lower_kind == "rigorous" and found.upper < math.inf
        )  # a positive gap always bounds
        ratios.append(found.upper / max(found.lower, 1))
        averaged += found.bounds["upper"]["averaged"] < found.bounds["upper"]["spectral"]
    assert np.median(ratios) < 3 and averaged > 20


def test_every_bound_holds_without_reversibility(bracket):
    rng = np.random.default_rng(12)
    vacuous = 0
    for _ in range(150):
        n = int(rng.integers(2, 11))
        P = rng.lognormal(sigma=1.5, size=(n, n)) * (rng.random((n, n)) < 0.4)
        P[np.arange(n), (np.arange(n) + 1) % n] += rng.random(n) + 0.1
        P[0, 0] += 0.1
        P /= P.sum(axis=1, keepdims=True)
        exact, _ = by_stepping(P, 0.25)
        found = bracket(chain_of(P))
        assert_bounds_hold(found, exact)
        vacuous += found.bounds["upper"]["spectral"] == math.inf
    assert vacuous > 0  # the gap of P P* is 0: minorisation bounds such chains


def test_a_chain_that_no_bound_reaches(bracket):
    """A lazy biased cycle: the absolute gap gives no upper bound, and 50 steps do not lead from
    every state to the probes, so that there is no minorisation."""
    chain = fe.MarkovChain(gallery.biased_cycle(300, 0.5, 0.2).P, pi=np.full(300, 1 / 300))
    found = bracket(
        chain, gap=fe.spectral_gap(chain, kind="absolute", tol=1e-3, rng=0), max_steps=50
    )
    assert (
        found.upper == found.steps == math.inf and found.upper_method == found.upper_kind == "none"
    )
    assert found.lower > 1000 and not found.is_exact  # from the eigenvalues
    assert found.profile_steps is None and np.isinf(found.start_steps).any()


@pytest.mark.parametrize("m", [11, 12])
def test_the_hypercube_beyond_dense_powers(m):
    case = gallery.hypercube(10)
    exact = first_below(
        lambda t: fe.mixing_curve(chain_of(lazy_weight(m).P), 0, t, steps=[t]).tv[0, 0], 0.25
    )
    walk = fe.Hypercube(m)
    found = fe.mixing_time(walk)
    assert found.method == "bounds" and found.lower == exact and found.lower_method == "evolution"
    assert exact <= found.upper <= 5 * exact and found.gap.gap == pytest.approx(1 / m)
    one = fe.mixing_time(walk, start=[3, 2**m - 1])
    assert one.is_exact and one.steps == exact and one.method == "evolution"
    assert_array_equal(one.start_steps, [exact, exact])
    assert case.gap == 0.1


@pytest.mark.parametrize("error", (fe.MemoryForecastError, fe.InvalidChainError, ArithmeticError))
def test_no_gap_leaves_the_other_bounds(bracket, monkeypatch, error):
    """A gap that memory or the range of doubles does not allow."""

    def refuse(*_, **__):
        raise error("no gap")

    monkeypatch.setattr(time_search, "spectral_gap", refuse)
    P = np.random.default_rng(0).random((20, 20)) + 0.1
    P /= P.sum(axis=1)[:, None]
    found = bracket(fe.MarkovChain(P), eps=0.01)
    assert_bounds_hold(found, by_powers(P, 0.01))
    assert found.upper_method == "minorisation" and "spectral" not in found.bounds["upper"]


def test_few_steps_leave_a_bracket(bracket):
    case = gallery.double_well(60, 8)
    exact = fe.mixing_time(chain_of(case.P), start=0, max_steps=10)
    assert exact.lower == 11 and exact.lower_method == "evolution" and not exact.is_exact
    assert (
        exact.upper_method in ("spectral", "averaged")
        and np.isinf(exact.start_steps).all()
        and exact.profile_tv is None
    )
    full = by_powers(case.P, 0.25)
    assert exact.lower <= full <= exact.upper


@pytest.mark.parametrize("kind", ["absolute", "multiplicative"])
def test_a_given_gap_is_used(bracket, kind):
    case = gallery.random_reversible(40, 0.1, 2)
    gap = fe.spectral_gap(chain_of(case.P), kind=kind)
    found = bracket(chain_of(case.P), gap=gap)
    assert found.gap is gap and ("spectral" in found.bounds["lower"]) == (kind == "absolute")
    assert_bounds_hold(found, by_stepping(case.P, 0.25)[0])
    with pytest.raises(fe.InvalidChainError, match="absolute"):
        bracket(chain_of(case.P), gap=fe.spectral_gap(chain_of(case.P)))


def test_states_too_deep_to_evolve_are_bounded(bracket):
    reward = np.linspace(0, 1, 30)
    chain = fe.tilt(fe.MarkovChain(gallery.path(30).P).lazy(0.5), reward, 1 / 690)
    assert -1400 < chain.log_pi[0] < -1350
    found = bracket(chain)
    assert 26 <= found.lower <= found.upper < math.inf and 0 not in found.starts


def test_bounds_where_dense_powers_exceed_memory(monkeypatch):
    monkeypatch.setattr(dense_powers, "free_memory", lambda: 1000)
    found = fe.mixing_time(chain_of(gallery.cycle(50, 0.5).P))
    assert found.method == "bounds" and found.lower == first_below(
        gallery.cycle(50, 0.5).extra["tv_from0"], 0.25
    )


@pytest.mark.parametrize("dense", [True, False])
def test_interrupt_has_the_bounds_so_far(dense, monkeypatch):
    left = [25]

    def callback(info):
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt

    if not dense:
        monkeypatch.setattr(time_search, "MAX_DENSE", 0)
    case = gallery.double_well(60, 8)
    with pytest.raises(fe.Interrupted) as caught:
        fe.mixing_time(chain_of(case.P), callback=callback)
    partial = caught.value.partial
    assert isinstance(partial, fe.MixingTimeResult) and not partial.is_exact
    assert dense or partial.upper < math.inf
    assert partial.lower <= by_powers(case.P, 0.25) <= partial.upper

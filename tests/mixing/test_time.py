"""Mixing times against closed forms, plain stepping and Aldous' limit of the hypercube; every bound against the exact time."""

import math

import gallery
import numpy as np
import pytest
import reference
import strategies
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import erf, erfinv

import fastebm as fe
from fastebm.mixing import dense_powers, time_search

TIE = 1 + time_search.TIE


@pytest.fixture
def bracket(monkeypatch):
    """mixing_time without dense powers."""
    monkeypatch.setattr(time_search, "MAX_DENSE", 0)
    return fe.mixing_time


def chain_of(P):
    return P if isinstance(P, fe.MarkovChain) else fe.MarkovChain(P)


def by_stepping(P, eps, states=None, limit=100_000):
    """(t_mix, mixing time of each start) by the definition: P^t one step after the other."""
    P, pi = reference.dense(P), reference.gth(P)
    mu = np.eye(len(P))[slice(None) if states is None else states]
    own = np.full(len(mu), -1)
    for t in range(limit):
        own[(np.abs(mu - pi).sum(axis=1) / 2 <= eps * TIE) & (own < 0)] = t
        if (own >= 0).all():
            return own.max(), own
        mu = mu @ P
    raise AssertionError("the test's chain is too slow")


def first_below(tv, eps):
    return next(t for t in range(10**6) if tv(t) <= eps * TIE)


def lazy_weight(m):
    """The weight of the lazy walk on the m-cube: from the corner its TV is that of the walk."""
    k = np.arange(m + 1)
    return gallery.birth_death((m - k) / m / 2, k / m / 2, gap=False)


# ------------------------------------------------------------------------------------------------ closed forms


@pytest.mark.parametrize("eps", [0.01, 0.25, 0.4])
@pytest.mark.parametrize(
    "case",
    [
        gallery.hypercube(6),
        gallery.hypercube(9, 0.1),
        gallery.cycle(7),
        gallery.cycle(50, 0.5),
        gallery.torus((5, 3, 2), 0.25),
        gallery.complete(3),
        gallery.complete(4),
        gallery.complete(50),
    ],
    ids=str,
)
def test_walks_on_groups(case, eps):
    """All starts are alike, so that the closed form of one decides. On K4 TV is 1/4 after one step: a tie counts."""
    found = fe.mixing_time(chain_of(case.P), eps=eps)
    assert found.steps == first_below(case.extra["tv_from0"], eps) == found.lower == found.upper
    assert found.is_exact and found.method == "dense powers" and type(found.steps) is int
    assert_allclose(
        found.profile_tv,
        [case.extra["tv_from0"](t) for t in found.profile_steps],
        rtol=1e-9,
        atol=1e-13,
    )


@pytest.mark.parametrize("a, b", [(0.3, 0.1), (1e-9, 1e-7), (1e-3, 0.9)])
def test_two_states(a, b):
    """max_x TV = max(pi) |1 - a - b|^t."""
    found = fe.mixing_time(chain_of(gallery.two_state(a, b).P), eps=0.1)
    exact = math.ceil(math.log(max(a, b) / (a + b) / (0.1 * TIE)) / -math.log1p(-a - b))
    assert (
        found.is_exact and found.steps == exact and found.worst_start == int(b > a)
    )  # the rare one
    other = fe.mixing_time(chain_of(gallery.two_state(a, b).P), eps=0.1, start=0)
    assert other.steps == max(
        math.ceil(math.log(a / (a + b) / (0.1 * TIE)) / -math.log1p(-a - b)), 0
    )


@pytest.mark.parametrize("n, depth", [(60, 8), (30, 20)])
def test_a_symmetric_double_well(n, depth):
    """The slowest function is +1 in one well and -1 in the other: TV = (1 - gap)^t / 2, the gap from multiprecision bisection."""
    case = gallery.double_well(n, depth)
    found = fe.mixing_time(chain_of(case.P), eps=0.1)
    assert found.steps == pytest.approx(math.log(5) / case.gap, rel=0.02)
    if depth == 20:  # the walk inside a well is far faster
        assert found.steps == pytest.approx(math.log(5) / case.gap, rel=1e-3)
    assert found.upper - found.lower <= 1e-8 * found.steps
    assert found.is_exact == (found.upper == found.lower)


def test_a_time_that_rounding_leaves_open_has_both_ends():
    case = gallery.double_well(50, 24)
    found = fe.mixing_time(chain_of(case.P))
    assert not found.is_exact and found.steps == found.upper and found.steps > 10**10
    assert 0 < found.upper - found.lower < 1e-9 * found.steps
    assert found.lower_kind == found.upper_kind == "rigorous"


# --------------------------------------------------------------------------------------------------- cutoff


@pytest.mark.parametrize("m", [64, 256, 1000])
def test_cutoff_of_the_lazy_hypercube(m):
    """TV at m log(m) / 2 + c m tends to erf(exp(-c) / sqrt 8) (Aldous 1983; Diaconis, Graham & Morrison 1990)."""
    chain = chain_of(lazy_weight(m).P)
    times = {eps: fe.mixing_time(chain, eps=eps, start=0).steps for eps in (0.05, 0.25, 0.75, 0.95)}
    for eps, steps in times.items():
        limit = 0.5 * m * math.log(m) - m * math.log(math.sqrt(8) * erfinv(eps))
        assert abs(steps - limit) <= 0.015 * m + 6, eps  # of the next order
    found = fe.mixing_time(chain, start=0)
    c = found.profile_steps / m - 0.5 * math.log(m)
    assert_allclose(found.profile_tv, erf(np.exp(-c) / math.sqrt(8)), atol=0.02)
    # ever more abrupt: the window is of order m, the time of order m log m
    assert times[0.05] - times[0.95] < 3.5 * m and found.steps > 0.5 * m * math.log(m)


def test_the_profile_of_a_cycle_has_no_cutoff():
    """TV at twice the mixing time is that of one mode, whatever the length: no window closes."""
    tails = [
        fe.mixing_time(chain_of(gallery.cycle(n, 0.5).P)).profile_tv[-1] for n in (50, 200, 800)
    ]
    assert_allclose(tails, tails[0], rtol=0.02)
    assert 0.05 < tails[0] < 0.15


# ------------------------------------------------------------------------------------------------ by definition


@given(
    strategies.irreducible_chains(max_states=9, decades=2, aperiodic=True),
    st.sampled_from([0.02, 0.25, 0.6]),
)
def test_exact_on_any_chain(P, eps):
    found = fe.mixing_time(chain_of(P), eps=eps)
    t, own = by_stepping(P, eps)
    assert found.is_exact and found.steps == t
    assert own[found.worst_start] == t
    assert_array_equal(found.start_steps, [t])


@pytest.mark.parametrize(
    "case", [gallery.random_reversible(60, 0.1, 3), gallery.random_chain(60, 0.05, 3)], ids=str
)
@pytest.mark.parametrize("dense", [True, False])
def test_given_starts(case, dense, monkeypatch):
    states = np.array([5, 17, 40, *range(20, 38)])
    t, own = by_stepping(case.P, 0.25, states)
    if not dense:
        monkeypatch.setattr(time_search, "MAX_DENSE", 0)
    found = fe.mixing_time(chain_of(case.P), start=states)
    assert (
        found.is_exact
        and found.steps == t
        and found.method == ("dense powers" if dense else "evolution")
    )
    assert own[np.flatnonzero(states == found.worst_start)[0]] == t
    if not dense:
        assert_array_equal(found.starts, states)
        assert_array_equal(found.start_steps, own)
    curve = fe.mixing_curve(chain_of(case.P), found.worst_start, 2 * t)
    assert_array_equal(found.profile_steps, np.unique(np.ceil(np.array(dense_powers.PROFILE) * t)))
    assert_allclose(found.profile_tv, curve.tv[0, found.profile_steps], rtol=1e-9)


# ---------------------------------------------------------------------------------------------------- the bounds


def assert_bounds_hold(found, exact):
    """All of them, not the best only; and one that says nothing says so."""
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
    """That they hold is for test_bounds_hold.py; here on chains that mix fast."""
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
    assert vacuous > 0  # gaps of P P* that are 0: minorisation bounds such chains


def test_a_chain_that_no_bound_reaches(bracket):
    """A lazy biased cycle: the absolute gap bounds nothing from above, and the probes are not reached from everywhere in 50 steps."""
    chain = fe.MarkovChain(gallery.biased_cycle(300, 0.5, 0.2).P, pi=np.full(300, 1 / 300))
    found = bracket(
        chain, gap=fe.spectral_gap(chain, kind="absolute", tol=1e-3, rng=0), max_steps=50
    )
    assert (
        found.upper == found.steps == math.inf and found.upper_method == found.upper_kind == "none"
    )
    assert found.lower > 1000 and not found.is_exact  # of the eigenvalues
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


def by_powers(P, eps):
    """t_mix by squaring and bisection with plain matrix powers (small, not metastable)."""
    P, pi = reference.dense(P), reference.gth(P)
    low, high = 0, 1

    def distance(t):
        return np.abs(np.linalg.matrix_power(P, t) - pi).sum(axis=1).max() / 2

    while distance(high) > eps:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if distance(middle) > eps else (low, middle)
    return high


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


# ------------------------------------------------------------------------------------------- structure, arguments


def test_periodic_chains_have_none():
    with pytest.raises(fe.PeriodicChainError, match="mixing_time.*period 2"):
        fe.mixing_time(chain_of(gallery.cycle(8).P))
    assert fe.mixing_time(chain_of(gallery.cycle(8).P).lazy(0.5)).is_exact


def test_classes():
    with pytest.raises(fe.ReducibleChainError):
        fe.mixing_time(chain_of(np.eye(2)))
    P = np.zeros((4, 4))
    P[1:, 1:] = [[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.1, 0.2, 0.7]]
    P[0, [0, 1]] = 0.5
    inside, alone = (
        fe.mixing_time(chain_of(P), eps=0.01),
        fe.mixing_time(chain_of(P[1:, 1:].copy()), eps=0.01),
    )
    assert inside.steps == alone.steps and inside.worst_start == alone.worst_start + 1
    assert fe.mixing_time(chain_of(P), eps=0.01, start=[2]).worst_start == 2
    with pytest.raises(fe.InvalidChainError, match="state 0 is transient"):
        fe.mixing_time(chain_of(P), start=[1, 0])


def test_one_state_and_starts_that_are_there_already():
    assert fe.mixing_time(chain_of(np.ones((1, 1)))).steps == 0
    found = fe.mixing_time(chain_of(gallery.two_state(1e-3, 0.9).P), start=0)
    assert found.steps == 0 and found.is_exact and found.profile_steps is None


@pytest.mark.parametrize(
    "options, error",
    [
        ({"eps": 0.0}, fe.InvalidChainError),
        ({"eps": 1.0}, fe.InvalidChainError),
        ({"eps": math.nan}, fe.InvalidChainError),
        ({"eps": "0.1"}, TypeError),
        ({"start": "best"}, fe.InvalidChainError),
        ({"start": 7}, fe.InvalidChainError),
        ({"start": []}, fe.InvalidChainError),
        ({"start": 0.5}, TypeError),
        ({"max_steps": 0}, fe.InvalidChainError),
        ({"max_steps": 2.0}, TypeError),
        ({"gap": 0.1}, fe.InvalidChainError),
        ({"num_threads": 0}, ValueError),
    ],
    ids=str,
)
def test_bad_arguments(options, error):
    with pytest.raises(error):
        fe.mixing_time(chain_of(gallery.cycle(7).P), **options)
    with pytest.raises(TypeError):
        fe.mixing_time(gallery.cycle(7).P)


def test_without_memory_there_are_bounds(monkeypatch):
    monkeypatch.setattr(dense_powers, "free_memory", lambda: 1000)
    found = fe.mixing_time(chain_of(gallery.cycle(50, 0.5).P))
    assert found.method == "bounds" and found.lower == first_below(
        gallery.cycle(50, 0.5).extra["tv_from0"], 0.25
    )


@pytest.mark.parametrize("dense", [True, False])
def test_interrupt_carries_the_bounds_so_far(dense, monkeypatch):
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


def test_results_are_json():
    document = fe.mixing_time(chain_of(gallery.cycle(50, 0.5).P)).to_dict()
    assert (
        document["steps"] == document["lower"]
        and document["gap"] is None
        and document["is_exact"] is True
    )

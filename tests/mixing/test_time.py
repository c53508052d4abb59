"""Mixing times against closed forms, plain stepping and Aldous' limit on the hypercube."""

import math

import gallery
import numpy as np
import pytest
import strategies
from hypothesis import given
from hypothesis import strategies as st
from mixing_times import TIE, by_stepping, chain_of, first_below, lazy_weight
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import erf, erfinv

import fastebm as fe
from fastebm.mixing import dense_powers, time_search


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
    """All starts are equivalent, so the closed form for one start decides. On K4 TV is 1/4 after
    one step: a tie counts as reached."""
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
    """The slowest function is +1 in one well and -1 in the other: TV = (1 - gap)^t / 2, with the
    gap from multiprecision bisection."""
    case = gallery.double_well(n, depth)
    found = fe.mixing_time(chain_of(case.P), eps=0.1)
    assert found.steps == pytest.approx(math.log(5) / case.gap, rel=0.02, abs=0.0)
    if depth == 20:  # the walk inside a well is far faster
        assert found.steps == pytest.approx(math.log(5) / case.gap, rel=1e-3, abs=0.0)
    # a total variation of 0.1 may be off by some n 1e-16 sqrt(t), and falls by 0.16 / t in a step
    assert found.upper - found.lower <= 1 + 3e-14 * n * found.steps**1.5
    assert found.is_exact == (found.upper == found.lower)


def test_a_time_that_rounding_leaves_open_has_both_ends():
    case = gallery.double_well(50, 24)
    found = fe.mixing_time(chain_of(case.P))
    assert not found.is_exact and found.steps == found.upper and found.steps > 10**10
    assert 0 < found.upper - found.lower < 3e-14 * 50 * found.steps**1.5
    assert found.lower_kind == found.upper_kind == "rigorous"


@pytest.mark.parametrize("m", [64, 256, 600])
def test_cutoff_of_the_lazy_hypercube(m):
    """TV at m log(m) / 2 + c m tends to erf(exp(-c) / sqrt 8) (Aldous 1983; Diaconis, Graham &
    Morrison 1990)."""
    chain = chain_of(lazy_weight(m).P)
    times = {eps: fe.mixing_time(chain, eps=eps, start=0).steps for eps in (0.05, 0.25, 0.75, 0.95)}
    for eps, steps in times.items():
        limit = 0.5 * m * math.log(m) - m * math.log(math.sqrt(8) * erfinv(eps))
        assert abs(steps - limit) <= 0.015 * m + 6, eps  # the next order
    found = fe.mixing_time(chain, start=0)
    c = found.profile_steps / m - 0.5 * math.log(m)
    assert_allclose(found.profile_tv, erf(np.exp(-c) / math.sqrt(8)), atol=0.02)
    # cutoff: the window is of order m, the mixing time of order m log m
    assert times[0.05] - times[0.95] < 3.5 * m and found.steps > 0.5 * m * math.log(m)


def test_the_profile_of_a_cycle_has_no_cutoff():
    """TV at twice the mixing time is that of one mode for any length: the window does not
    shrink."""
    tails = [
        fe.mixing_time(chain_of(gallery.cycle(n, 0.5).P)).profile_tv[-1] for n in (50, 200, 800)
    ]
    assert_allclose(tails, tails[0], rtol=0.02)
    assert 0.05 < tails[0] < 0.15


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


def test_periodic_chains_have_none():
    with pytest.raises(fe.PeriodicChainError, match=r"mixing_time.*period 2"):
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


def test_results_are_json():
    document = fe.mixing_time(chain_of(gallery.cycle(50, 0.5).P)).to_dict()
    assert (
        document["steps"] == document["lower"]
        and document["gap"] is None
        and document["is_exact"] is True
    )


@pytest.mark.filterwarnings("ignore::fastebm.ConvergenceWarning")
def test_an_unknown_error_of_pi():
    """A holding probability of e^-900 underflows, after which no error of pi is proven: no bound,
    and no failure. In fact the chain swaps state 0 and state 2 for e^430 steps."""
    walk = np.array([[0.3, 0.3, 0.4], [1, 0, 0], [1, 0, 0]])
    found = fe.mixing_time(fe.tilt(fe.MarkovChain(walk), [-15.0, -7.2, 0.0], 0.0167))
    assert found.lower < 1e180 and found.upper > 1e180 and not found.converged


@pytest.mark.filterwarnings("ignore::fastebm.ConvergenceWarning")
def test_a_state_too_rare_to_start_from():
    """log pi = -1439 at one of three states, of which all are likely enough to be probes."""
    walk = np.array([[0.5, 0.4, 0.1]] * 3)
    found = fe.mixing_time(fe.tilt(fe.MarkovChain(walk), [0.0, 0.0, -24.0], 0.0167))
    assert found.lower <= 1 <= found.upper

"""Hitting probabilities, committors and absorption probabilities: in [0, 1], rows that sum to one,
and accurate down to probabilities of 1e-130."""

import warnings
from fractions import Fraction

import gallery
import numpy as np
import pytest
import reference
import strategies
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import fastebm as fe
from fastebm.linalg import cg, elimination, restriction


def quietly(function, *args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fe.ConvergenceWarning)
        return function(*args, **options)


def assert_encloses(found, truth, slack=1e-14):
    assert (found.lower <= truth + slack).all() and (truth - slack <= found.upper).all()
    assert (0 <= found.lower).all() and (found.lower <= found.probability).all()
    assert (found.probability <= found.upper).all() and (found.upper <= 1).all()


# --- closed forms -------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [3, 10, 400, 1500])
def test_fair_ruin_is_linear(n, method):
    found = fe.hitting_probabilities(fe.MarkovChain(gallery.path(n).P), [n - 1], avoid=[0])
    assert_allclose(found.probability, np.arange(n) / (n - 1), atol=1e-8)
    assert_allclose(found.complement, 1 - np.arange(n) / (n - 1), atol=1e-8)
    assert_encloses(found, np.arange(n) / (n - 1))
    assert found.converged and found.error <= 1e-8


@pytest.mark.parametrize("up, n", [(0.3, 20), (0.7, 20), (0.05, 60), (0.001, 50)])
def test_biased_ruin_keeps_every_digit(up, n):
    """(1 - s^x) / (1 - s^n), s = down / up: probabilities down to 1e-147, and complements as small
    (gambler's ruin, Levin & Peres ch. 2)."""
    s = Fraction(1 - up) / Fraction(up)
    p, q = np.full(n + 1, up), np.full(n + 1, float(1 - Fraction(up)))
    p[-1] = q[0] = 0
    chain = fe.MarkovChain(gallery.birth_death(p, q, gap=False).P)
    found = fe.committor(chain, [0], [n])
    exact = [float((1 - s**x) / (1 - s**n)) for x in range(n + 1)]
    assert_allclose(found.probability, exact, rtol=1e-12)
    assert_allclose(
        found.complement, [float((s**x - s**n) / (1 - s**n)) for x in range(n + 1)], rtol=1e-12
    )
    assert_encloses(found, np.array(exact))


@pytest.mark.parametrize("seed", range(20))
def test_general_chains(seed, method):
    case = gallery.random_chain(60, 0.08, seed)
    target, avoid = [1, 5], [2, 9, 30]
    truth = reference.hitting_probabilities(case.P, target, avoid)
    found = quietly(fe.hitting_probabilities, fe.MarkovChain(case.P), target, avoid=avoid)
    assert_allclose(found.probability, truth, atol=1e-8)
    assert_encloses(found, truth)
    assert found.converged


@pytest.mark.parametrize("seed", range(30))
def test_digraphs_with_traps(seed, method):
    rng = np.random.default_rng(seed)
    P = np.zeros((14, 14))
    for x in range(14):
        P[x, rng.integers(14, size=rng.integers(1, 3))] = rng.random() + 0.1
    P /= P.sum(axis=1)[:, None]
    truth = reference.hitting_probabilities(P, [seed % 14])
    found = fe.hitting_probabilities(fe.MarkovChain(P), [seed % 14])
    assert_allclose(found.probability, truth, atol=1e-8)
    assert_array_equal(found.probability == 0, truth == 0)  # out of reach: exactly zero
    several = fe.absorption_probabilities(fe.MarkovChain(P), [[seed % 14], [(seed + 5) % 14]])
    for k, (one, other) in enumerate([(seed % 14, (seed + 5) % 14), ((seed + 5) % 14, seed % 14)]):
        assert_allclose(
            several.probability[:, k], reference.hitting_probabilities(P, [one], [other]), atol=1e-8
        )
    assert_allclose(several.probability.sum(axis=1) + several.never, 1, rtol=0, atol=1e-12)


@given(strategies.irreducible_chains(max_states=8, decades=24), st.data())
def test_probabilities_and_rows_hold_in_exact_arithmetic(P, data):
    """Entries over 24 decades and up to three sets, against exact fractions of the same
    off-diagonal entries."""
    n = P.shape[0]
    states = data.draw(st.permutations(range(n)))
    k = data.draw(st.integers(1, min(3, n)))
    sets = [[x] for x in states[:k]]
    chain = fe.MarkovChain(P)
    A, rest = chain.to_scipy().toarray(), states[k:]
    exact = exact_absorption(A, sets, rest)
    for iterate in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            if iterate:
                patch.setattr(restriction, "MAX_SMALL", 0)
                patch.setattr(elimination, "MAX_FLOPS", -1.0)
            found = quietly(fe.absorption_probabilities, chain, sets, max_iter=500)
        assert (found.probability >= 0).all() and (found.never >= 0).all()
        # iterations end at the default tol
        assert_allclose(
            found.probability.sum(axis=1) + found.never, 1, atol=1e-8 if iterate else 1e-12, rtol=0
        )
        for x in rest:
            for j in range(k):
                assert found.lower[x, j] - 1e-15 <= exact[x][j] <= found.upper[x, j] + 1e-15


def exact_absorption(P, sets, rest):
    rows = []
    for x in rest:
        out = [Fraction(float(p)) if y != x else Fraction(0) for y, p in enumerate(P[x])]
        rows.append(
            [sum(out) if y == x else -out[y] for y in rest]
            + [sum(out[y] for y in members) for members in sets]
        )
    m = len(rest)
    for i in range(m):
        rows[i] = [a / rows[i][i] for a in rows[i]]
        for j in range(m):
            if j != i:
                rows[j] = [a - rows[j][i] * b for a, b in zip(rows[j], rows[i], strict=True)]
    return {x: row[m:] for x, row in zip(rest, rows, strict=True)}


# --- extreme entries ----------------------------------------------------------------------------


@pytest.mark.parametrize("small", [1e-130, 1e-200, 1e-300])
def test_entries_near_the_end_of_the_range(small, method):
    """Other software returns negative probabilities here (R's markovchain at 1e-130)."""
    P = np.array(
        [
            [1, 0, 0, 0, 0],
            [small, 1 - 2 * small, small, 0, 0],
            [0, 0.5, 0, 0.5, 0],
            [0, 0, 0.5, 0.5 - small, small],
            [0, 0, 0, 0, 1],
        ]
    )
    found = quietly(fe.absorption_probabilities, fe.MarkovChain(P, normalize=True), [[0], [4]])
    assert (found.probability >= 0).all()
    assert_allclose(found.probability.sum(axis=1) + found.never, 1, rtol=0, atol=1e-12)
    assert found.lower.min() >= 0 and found.upper.max() <= 1
    if (
        method == "elimination"
    ):  # from 2 the walk ends in 4 with probability 4 small, and from 1 half as often
        assert_allclose(found.probability[1:4, 0], 1, rtol=1e-12)
        assert_allclose(found.probability[1:4, 1], [2 * small, 4 * small, 6 * small], rtol=1e-12)
        assert found.converged


def test_a_cold_tilt(method):
    base = gallery.random_reversible(60, 0.1, 4)
    chain = fe.tilt(fe.MarkovChain(base.P), np.random.default_rng(4).normal(size=60), 0.02)
    assert chain.pi.min() < 1e-40
    target, avoid = [int(chain.log_pi.argmax())], [int(chain.log_pi.argmin())]
    truth = reference.hitting_probabilities(chain.to_scipy(), target, avoid)
    found = quietly(fe.hitting_probabilities, chain, target, avoid=avoid)
    assert_encloses(found, truth)
    if found.converged:
        assert_allclose(found.probability, truth, atol=1e-8)
    if method == "elimination":
        assert found.converged
        assert_allclose(found.probability, truth, rtol=1e-10)


# --- arguments and limits -----------------------------------------------------------------------


def test_sets_that_cover_all_states():
    P = gallery.cycle(5).P
    found = fe.absorption_probabilities(fe.MarkovChain(P), [[0, 1], [2, 3, 4]])
    assert_array_equal(found.probability, [[1, 0], [1, 0], [0, 1], [0, 1], [0, 1]])
    assert found.converged and found.error == 0 and (found.mean_time == 0).all()


def test_the_avoided_set_may_enclose_the_start():
    """0 - 1 - 2 - 3: from 0 the target 3 is out of reach when 1 and 2 are avoided."""
    found = fe.hitting_probabilities(fe.MarkovChain(gallery.path(4).P), [3], avoid=[1, 2])
    assert_array_equal(found.probability, [0, 0, 0, 1])


def test_bad_sets():
    chain = fe.MarkovChain(gallery.cycle(5).P)
    with pytest.raises(fe.InvalidChainError, match="state 1 is in two"):
        fe.hitting_probabilities(chain, [0, 1], avoid=[1])
    with pytest.raises(fe.InvalidChainError, match="at least one set"):
        fe.absorption_probabilities(chain, [])
    for bad in ([[]], [[7]], [[0], [-1]]):
        with pytest.raises(fe.InvalidChainError):
            fe.absorption_probabilities(chain, bad)
    with pytest.raises(TypeError):
        fe.committor(chain, [0.5], [1])
    with pytest.raises(fe.InvalidChainError):
        fe.committor(chain, [0], [1], tol=0)


def test_not_converging_says_so_and_still_encloses(monkeypatch):
    monkeypatch.setattr(restriction, "MAX_SMALL", 0)
    monkeypatch.setattr(elimination, "MAX_FLOPS", -1.0)
    with pytest.warns(fe.ConvergenceWarning, match="still enclose"):
        found = fe.hitting_probabilities(
            fe.MarkovChain(gallery.path(1500).P), [1499], avoid=[0], max_iter=20
        )
    assert not found.converged
    assert_encloses(found, np.arange(1500) / 1499)


@pytest.mark.parametrize("calls", [1, 2, 5])
def test_interrupt_has_bounds_that_hold(calls, monkeypatch):
    monkeypatch.setattr(cg, "ENTRIES_PER_CALL", 1)
    monkeypatch.setattr(elimination, "ENTRIES_PER_CALL", 1)
    left = [calls]

    def callback(info):
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt

    with pytest.raises(fe.Interrupted) as caught:
        fe.committor(fe.MarkovChain(gallery.path(1500).P), [0], [1499], callback=callback)
    assert_encloses(caught.value.partial, np.arange(1500) / 1499)
    assert not caught.value.partial.converged


@pytest.mark.parametrize("reversible", [True, False])
def test_same_bits_for_any_number_of_threads(reversible, monkeypatch):
    monkeypatch.setattr(elimination, "MAX_FLOPS", -1.0 if reversible else 1e12)
    n, rng = 9001, np.random.default_rng(1)
    chain = fe.MarkovChain.from_edges(
        np.r_[np.arange(n), np.arange(n)],
        np.r_[(np.arange(n) + 1) % n, (np.arange(n) + 2) % n],
        rng.random(2 * n) + 0.1,
        symmetric=reversible,
    )
    one, four = (
        fe.absorption_probabilities(
            chain, [np.arange(0, n, 40), np.arange(7, n, 40)], num_threads=k
        )
        for k in (1, 4)
    )
    assert_array_equal(one.probability, four.probability)
    assert_array_equal(one.upper, four.upper)
    assert one.converged


# --- small probabilities --------------------------------------------------------------------------


def test_a_probability_of_1e_12_is_not_zero():
    """Within 1e-12 of (1/3, 1) times 1e-12 / (7/12): solved by hand for the two inner states."""
    rare = 1e-12
    P = [[1, 0, 0, 0], [0.5, 0.25, 0.25, 0], [0.25, 0.5, 0.25 - rare, rare], [0, 0, 0, 1]]
    found = fe.hitting_probabilities(fe.MarkovChain(P), [3])
    assert_allclose(found.probability[1:3], [4 / 7 * 1e-12, 12 / 7 * 1e-12], rtol=1e-11)
    assert found.converged and (found.lower[1:3] > 5e-13).all()
    other = fe.hitting_probabilities(fe.MarkovChain(P), [0])
    assert_allclose(other.complement[1:3], found.probability[1:3], rtol=1e-12)
    assert (other.complement_lower[1:3] > 5e-13).all()


@pytest.mark.parametrize("rate", [1e-3, 1e-100, 1e-300])
def test_mean_times_of_absorption(rate, method):
    """From 1 at rate `rate` to each side; from 2 by way of 1 or directly."""
    P = [[1, 0, 0, 0], [rate, 1 - 2 * rate, 0, rate], [0.45, 0.05, 0.05, 0.45], [0, 0, 0, 1]]
    found = quietly(fe.absorption_probabilities, fe.MarkovChain(P), [[0], [3]])
    from_1 = 0.5 / rate
    if method == "iteration" and rate < 1e-50:  # 1e-100 is nothing next to the rates from 2
        assert not found.converged and (found.mean_time_upper[1:3] >= from_1 / 20).all()
        return
    assert_allclose(found.mean_time, [0, from_1, (1 + 0.05 * from_1) / 0.95, 0], rtol=1e-8)
    assert (found.mean_time_lower <= found.mean_time).all() and found.mean_time_error <= 1e-8
    assert (found.mean_time <= found.mean_time_upper).all() and found.converged
    assert_allclose(found.probability[1:3], 0.5, rtol=1e-12)


def test_what_underflows_is_not_converged():
    """(2/3)^2999 is 1e-528."""
    n, x = 3000, np.arange(1, 3000)
    source, target = np.r_[x, x, 0, n], np.r_[x + 1, x - 1, 0, n]
    weight = np.r_[np.full(n - 1, 0.4), np.full(n - 1, 0.6), 1.0, 1.0]
    chain = fe.MarkovChain.from_edges(source, target, weight)
    found = quietly(fe.hitting_probabilities, chain, [n], avoid=[0])
    assert found.probability[1] == found.lower[1] == 0 < found.upper[1] < 1e-300
    assert found.error == np.inf and not found.converged
    assert_allclose(found.probability[n - 1], 2 / 3, rtol=1e-12)

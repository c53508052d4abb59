"""The proven error of a stationary law, against multiprecision and closed forms; laws that users
give; transitions that underflow."""

import pickle

import gallery
import mpmath as mp
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import poisson
from small_chains import joined
from strategies import irreducible_chains

import fastebm as fe
import fastebm.chains.law
import fastebm.linalg.elimination
from fastebm import ConvergenceWarning, InvalidChainError, MarkovChain, stationary
from fastebm.linalg.law_elimination import LawElimination
from fastebm.linalg.wide_elimination import eliminate_logs


def exact_law(P, dps=60):
    """pi in multiprecision: GTH on the doubles between different states."""
    with mp.workdps(dps):
        A = [[mp.mpf(float(p)) for p in row] for row in np.asarray(P)]
        n = len(A)
        for k in range(n - 1, 0, -1):
            leave = mp.fsum(A[k][:k])
            for i in range(k):
                A[i][k] /= leave
                for j in range(k):
                    A[i][j] += A[i][k] * A[k][j]
        pi = [mp.mpf(1)]
        for k in range(1, n):
            pi.append(mp.fsum(pi[i] * A[i][k] for i in range(k)))
        total = mp.fsum(pi)
        return [p / total for p in pi]


def largest_error(found, exact):
    """The largest relative error of pi, and of log_pi to its own rounding, in multiprecision."""
    with mp.workdps(60):
        of_pi = [abs(mp.mpf(p) / x - 1) for p, x in zip(found.pi.tolist(), exact, strict=True)]
        return float(max(e for e, x in zip(of_pi, exact, strict=True) if x > 1e-300))


def courtois(eps, sizes=(3, 4, 5), seed=0):
    """Blocks whose states are all joined, and a transition of probability about eps from each state
    to one of another block."""
    rng, n = np.random.default_rng(seed), sum(sizes)
    block = np.repeat(np.arange(len(sizes)), sizes)
    P = rng.random((n, n)) * (block[:, None] == block)
    P /= P.sum(axis=1, keepdims=True)
    weak = eps * rng.random((n, n)) * (block[:, None] != block)
    P *= (1.0 - weak.sum(axis=1))[:, None]
    return P + weak


def departures(n, load):
    """M/D/1 queue with n places at departures: the number left behind."""
    rows = []
    for i in range(n):
        first = max(i - 1, 0)
        arrivals = poisson.pmf(np.arange(n - first), load)
        arrivals[-1] += poisson.sf(n - first - 1, load)
        rows.append(np.r_[np.zeros(first), arrivals])
    P = sp.csr_array(np.array(rows))
    return sp.csr_array(sp.diags_array(1.0 / P.sum(axis=1)) @ P)


@pytest.mark.parametrize("eps", [1e-3, 1e-6, 1e-9, 1e-12, 1e-15, 1e-30, 1e-100])
def test_the_error_of_nearly_decomposable_chains_is_proven(eps):
    P = courtois(eps)
    found = stationary(MarkovChain(P), tol=1e-10)
    assert found.converged and found.criterion == "error" and found.method == "elimination"
    assert largest_error(found, exact_law(P, 250)) <= found.error <= 1e-12


@given(irreducible_chains(max_states=12))
@settings(max_examples=40)
def test_the_error_holds_on_any_chain(P):
    chain = MarkovChain(P)
    found = stationary(chain)
    if chain.is_reversible:
        assert found.error < 1e-8
    else:
        assert found.criterion == "error" and found.error <= 1e-12
    assert largest_error(found, exact_law(chain.to_scipy().toarray())) <= found.error


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_the_error_holds_where_probabilities_span_many_decades(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 10))
    P = np.exp(-rng.uniform(0, 60) * rng.random((n, n)))
    P /= P.sum(axis=1, keepdims=True)
    chain = MarkovChain(P)
    exact = exact_law(chain.to_scipy().toarray(), 150)
    found = stationary(chain)
    assert found.converged and largest_error(found, exact) <= found.error


def test_an_error_that_refinement_cannot_prove_is_that_of_the_elimination():
    """Hitting times of 1e100 amplify a residual of 1e-32 beyond use."""
    P = courtois(1e-100)
    law = LawElimination(MarkovChain(P)._scaled, 0, 1)
    found = law.find(lambda *_: None)
    assert found.error == pytest.approx(8.0 / 3.0 * law.sparse.rounding, abs=0.0)
    ground_in_a_light_state = LawElimination(MarkovChain(departures(60, 0.3))._scaled, 59, 1)
    assert ground_in_a_light_state.find(lambda *_: None).error < 1e-8


def test_a_wrong_factor_is_not_certified(monkeypatch):
    """The bound does not rest on the accuracy of the elimination: with a transition changed in the
    factor, refinement repairs the law; without refinement the error says so."""
    P = gallery.random_chain(60, 0.1, 3).P
    exact = exact_law(P.toarray())
    chain = MarkovChain(P)
    rates = fastebm._core.rates

    def wrong(*arguments):
        indptr, indices, out, into, leak = rates(*arguments)
        return indptr, indices, out * np.linspace(0.9, 1.1, out.size), into, leak

    monkeypatch.setattr(fastebm.linalg.elimination._core, "rates", wrong)
    for rounds in (40, 0):
        monkeypatch.setattr(fastebm.linalg.law_elimination, "MAX_ROUNDS", rounds)
        law = LawElimination(chain._scaled, 0, 1)
        assert law.find(lambda *_: None) is not None
        _, y = law._solve(1.0, np.zeros(60), np.zeros(60, np.int32))
        pi = np.exp(y.log) / np.exp(y.log).sum()
        with np.errstate(divide="ignore"):
            error = law._error(y)
        off = max(abs(mp.mpf(p) / x - 1) for p, x in zip(pi.tolist(), exact, strict=True))
        assert (error < 1e-9 and off <= error + 1e-14) if rounds else (off > 1e-4 and error > off)


@pytest.mark.parametrize("n, load", [(1000, 0.8), (1000, 0.3), (3000, 0.9)])
def test_a_queue_of_a_thousand_places(n, load):
    """Pollaczek-Khinchine: an infinite queue is empty with probability 1 - load, and cut at n the
    law has the same ratios up to n - 2."""
    chain = MarkovChain(departures(n, load))
    found = stationary(chain)
    assert found.method == "elimination" and found.converged and found.error <= 1e-12
    x = found.pi[:40]
    a = poisson.pmf(np.arange(42), load)
    exact = [1.0]  # pi_(j+1) a_0 = pi_j - pi_0 a_j - sum_(i=1..j) pi_i a_(j-i+1)
    for j in range(39):
        flow = [exact[i] * poisson.sf(j - i + 1, load) for i in range(1, j + 1)]
        exact.append((exact[0] * poisson.sf(j, load) + sum(flow)) / a[0])
    np.testing.assert_allclose(x / x[0], exact, rtol=1e-11)
    if load < 0.9:
        np.testing.assert_allclose(x[0], 1 - load, rtol=1e-9)
    assert np.isfinite(found.log_pi).all()
    assert fe.hitting_times(chain, [0]).mean_from_pi > 0


def blocks_of(n_blocks, size, eps, seed=0):
    """Blocks of states with three transitions each, and one of probability eps from each state to
    any other: elimination would fill in."""
    rng, n = np.random.default_rng(seed), n_blocks * size
    x = np.arange(n)
    first = x // size * size
    to = [first + (x + 1) % size, *(first + rng.integers(0, size, (2, n))), rng.integers(0, n, n)]
    weight = np.vstack([rng.random((3, n)), np.zeros((1, n))])
    weight[:3] *= (1.0 - eps) / weight[:3].sum(axis=0)
    weight[3] = eps
    P = sp.coo_array((weight.ravel(), (np.tile(x, 4), np.concatenate(to))), shape=(n, n)).tocsr()
    return sp.csr_array(sp.diags_array(1.0 / P.sum(axis=1)) @ P)


@pytest.mark.parametrize("eps", [1e-3, 1e-8, 1e-12])
def test_aggregation_proves_the_law_that_elimination_finds(eps, request):
    P = blocks_of(30, 50, eps)
    exact = stationary(MarkovChain(P))
    assert exact.method == "elimination"
    request.getfixturevalue("no_elimination")
    found = stationary(MarkovChain(P))
    assert found.method == "aggregation" and found.converged and found.error <= 1e-12
    assert np.abs(found.pi / exact.pi - 1).max() <= found.error + exact.error


def test_the_law_of_blocks_too_large_for_elimination():
    """20,000 states with 20,000 transitions between the blocks: a dense factor."""
    found = stationary(MarkovChain(blocks_of(100, 200, 1e-9)))
    assert found.method == "aggregation" and found.converged and found.criterion == "error"
    assert found.error <= 1e-12


# --- transitions that underflow -------------------------------------------------------------------


def tilted_law(q, reward, beta):
    """log pi of the tilted chain in multiprecision."""
    with mp.workdps(60):
        weight = [mp.exp(mp.mpf(r) / mp.mpf(beta)) for r in reward]
        P = [[mp.mpf(float(p)) * w for p, w in zip(row, weight, strict=True)] for row in q]
        P = [[p / mp.fsum(row) for p in row] for row in P]
        n = len(P)
        for k in range(n - 1, 0, -1):
            leave = mp.fsum(P[k][:k])
            for i in range(k):
                P[i][k] /= leave
                for j in range(k):
                    P[i][j] += P[i][k] * P[k][j]
        pi = [mp.mpf(1)]
        for k in range(1, n):
            pi.append(mp.fsum(pi[i] * P[i][k] for i in range(k)))
        return np.array([float(mp.log(p / mp.fsum(pi))) for p in pi])


def test_a_strong_tilt_of_a_chain_that_is_not_reversible():
    q = np.array([[0.3, 0.1, 0.6], [0.4, 0.3, 0.3], [0.5, 0.2, 0.3]])
    chain = fe.tilt(MarkovChain(q), [44.0, 5.0, -7.0], 0.01)
    exact = tilted_law(q, [44.0, 5.0, -7.0], 0.01)
    for one in (chain, chain.lazy(0.5), chain.restrict([0, 1, 2])):
        found = stationary(one)
        np.testing.assert_allclose(found.log_pi, exact, rtol=1e-15, atol=1e-15)
        assert found.converged and found.criterion == "error" and found.error < 1e-12


@given(st.integers(0, 2**32 - 1), st.sampled_from([1.0, 30.0, 300.0, 3000.0]))
@settings(max_examples=30)
def test_strong_tilts_of_any_chain(seed, largest):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 9))
    q = rng.random((n, n)) * (rng.random((n, n)) < 0.6)
    q[np.arange(n), (np.arange(n) + 1) % n] = 0.5
    q /= q.sum(axis=1, keepdims=True)
    chain = MarkovChain(q)
    reward = rng.uniform(-largest, largest, n)
    found = stationary(fe.tilt(chain, reward, 1.0))
    exact = tilted_law(chain.to_scipy().toarray(), reward, 1.0)
    # log P is rounded to an ulp of its size, which adds up along the n factors of a component
    np.testing.assert_allclose(found.log_pi, exact, rtol=2e-15 * n, atol=1e-13 * n)
    assert found.converged


def test_transient_states_of_a_strong_tilt():
    q = np.zeros((4, 4))
    q[:3, :3] = [[0.3, 0.1, 0.6], [0.4, 0.3, 0.3], [0.5, 0.2, 0.3]]
    q[3] = [0.25, 0.25, 0.0, 0.5]
    found = stationary(fe.tilt(MarkovChain(q), [44.0, 5.0, -7.0, 1.0], 0.01))
    np.testing.assert_allclose(
        found.log_pi[:3], tilted_law(q[:3, :3], [44.0, 5.0, -7.0], 0.01), rtol=1e-15, atol=1e-15
    )
    assert np.isneginf(found.log_pi[3])


def test_a_large_chain_that_lost_transitions_is_not_called_converged():
    q = MarkovChain(gallery.random_chain(700, 0.01, 0).P)
    hot = fe.tilt(q, np.where(np.arange(700) % 2, 1000.0, -1000.0), 1.0)
    with pytest.warns(ConvergenceWarning, match="underflowed to zero: raise beta"):
        found = stationary(hot)
    assert not found.converged and np.isfinite(found.log_pi).all()
    assert hot.pi is None


def test_a_chain_whose_lost_transitions_are_not_known_is_refused():
    """A chain that was made from the doubles of a tilted one."""
    q = np.array([[0.3, 0.1, 0.6], [0.4, 0.3, 0.3], [0.5, 0.2, 0.3]])
    tilted = fe.tilt(MarkovChain(q), [44.0, 5.0, -7.0], 0.01)
    lost = MarkovChain._from_scaled(
        type(tilted._scaled)(type(tilted._scaled.pattern)(tilted._scaled.pattern.matrix))
    )
    with pytest.raises(InvalidChainError, match=r"underflowed to zero; raise beta"):
        stationary(lost)


@pytest.mark.parametrize("n", [1, 2, 40])
def test_elimination_in_logs_has_the_error_it_states(n):
    P = gallery.random_chain(40, 0.2, 1).P.toarray()[:n, :n]
    P /= P.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore"):
        log_pi, error = eliminate_logs(np.log(P), lambda: None)
    exact = exact_law(P)
    off = max(abs(mp.mpf(p) / x - 1) for p, x in zip(np.exp(log_pi).tolist(), exact, strict=True))
    assert off <= error < 1e-12


# --- what power steps claim -----------------------------------------------------------------------


@pytest.mark.parametrize("coupling", [1e-6, 1e-11, 1e-13, 1e-15])
def test_two_states_tied_to_each_other_are_not_missed(coupling, power_steps_alone):
    """A change of 1e-13 a step looks like noise; the probe shows that it is a slow mode."""
    P = gallery.random_chain(700, 0.01, 4).P.tolil()
    P[:, [300, 400]] = P[:, [300, 400]] * coupling
    for a, b in ((300, 400), (400, 300)):
        P[a] = 0.0
        P[a, b], P[a, a], P[a, 5] = 0.5, 0.5 - coupling, coupling
    chain = MarkovChain(sp.csr_array(P), normalize=True)
    with pytest.warns(ConvergenceWarning):
        found = stationary(chain)
    assert not found.converged and found.error == np.inf
    power_steps_alone.undo()
    found = stationary(chain)
    assert found.method == "elimination" and found.error < 1e-12


# --- laws that users give -------------------------------------------------------------------------

WELLS = courtois(1e-9, (2, 2), 1)


def test_a_small_residual_does_not_make_a_given_law_right():
    exact = np.array([float(x) for x in exact_law(WELLS)])
    wrong = np.repeat([0.9, 0.1], 2) * exact / np.repeat([exact[:2].sum(), exact[2:].sum()], 2)
    assert np.abs(wrong @ WELLS - wrong).sum() < 1e-8
    with pytest.raises(InvalidChainError, match=r"pi\[\d\] is off by .* although the L1 norm"):
        MarkovChain(WELLS, pi=wrong)
    np.testing.assert_allclose(MarkovChain(WELLS, pi=exact).pi, exact, rtol=1e-15)
    symmetric = np.full((4, 4), 0.0)  # reversible: compared with the closed form
    symmetric[:2, :2] = symmetric[2:, 2:] = 0.5 - 0.5e-9
    symmetric[[0, 1, 2, 3], [2, 3, 0, 1]] = 1e-9
    with pytest.raises(InvalidChainError, match="off by"):
        MarkovChain(symmetric, pi=[0.45, 0.45, 0.05, 0.05])


def test_small_components_of_a_given_law_are_replaced():
    """Tail components three times too large pass a test of the norm: two blocks coupled by
    1e-18 and 1e-8."""
    P = courtois(1e-8, (30, 30), 2)
    P[:30, 30:] *= 1e-10  # the second block is light
    P = sp.csr_array(P / P.sum(axis=1, keepdims=True))
    exact = stationary(MarkovChain(P)).pi
    wrong = exact * np.repeat([1.0, 3.0], 30)
    given = MarkovChain(P, pi=wrong / wrong.sum())
    np.testing.assert_allclose(given.pi, exact, rtol=1e-12)
    assert stationary(given).error < 1e-12


@pytest.mark.parametrize("factor", [1.0, 3.0])
def test_a_given_law_that_is_not_compared_is_not_called_known(factor, monkeypatch):
    P = joined(gallery.random_chain(400, 0.02, 1).P, gallery.random_chain(400, 0.02, 2).P, 1e-11)
    exact = stationary(MarkovChain(P)).pi
    guess = exact * np.repeat([1.0, factor], 400)
    guess /= guess.sum()
    monkeypatch.setattr(fastebm.chains.law, "CHEAP_FLOPS", 0.0)
    chain = MarkovChain(P, pi=guess)
    assert chain.pi is None and chain.lazy(0.5).pi is None
    found = stationary(chain)
    assert found.method == "elimination"
    np.testing.assert_allclose(found.pi, exact, rtol=1e-12)
    np.testing.assert_allclose(chain.pi, exact, rtol=1e-12)


def test_a_given_law_of_a_fast_chain_starts_the_search(monkeypatch):
    P = gallery.random_chain(700, 0.01, 700).P
    exact = stationary(MarkovChain(P)).pi
    monkeypatch.setattr(fastebm.chains.law, "CHEAP_FLOPS", 0.0)
    found = stationary(MarkovChain(P, pi=exact))
    assert found.converged and found.method == "power" and found.criterion == "residual"
    np.testing.assert_allclose(found.pi, exact, rtol=2e-12)


def test_a_given_law_with_transient_states():
    P = np.zeros((5, 5))
    P[:4, :4], P[4, 0], P[4, 4] = WELLS, 0.5, 0.5
    exact = np.array([*(float(x) for x in exact_law(WELLS)), 0.0])
    np.testing.assert_allclose(MarkovChain(P, pi=exact).pi, exact, rtol=1e-15)
    with pytest.raises(InvalidChainError, match="off by"):
        MarkovChain(P, pi=exact * [1.5, 1.5, 0.1, 0.1, 0.0] / (exact @ [1.5, 1.5, 0.1, 0.1, 0.0]))


def test_a_given_law_of_several_closed_classes_is_not_called_known():
    P = sp.block_diag([gallery.cycle(3).P, gallery.complete(4).P]).tocsr()
    assert MarkovChain(P, pi=np.full(7, 1 / 7)).pi is None


def test_what_was_known_of_a_law_survives_saving(tmp_path):
    chain = MarkovChain(departures(300, 0.7))
    found = stationary(chain)
    chain.save(tmp_path / "queue")
    for again in (fe.load(tmp_path / "queue"), pickle.loads(pickle.dumps(chain))):
        known = stationary(again)
        assert known.method == "known" and known.error == found.error > 0.0
        np.testing.assert_array_equal(known.log_pi, found.log_pi)

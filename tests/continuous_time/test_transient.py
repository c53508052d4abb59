"""Laws at a time and time-bounded reachability against expm in multiprecision."""

from fractions import Fraction

import mpmath
import numpy as np
import pytest
import scipy.sparse as sp

import fastebm as fe
from fastebm.continuous_time import fixed_point, law, poisson


def generator(seed, stiff=False, n=None):
    rng = np.random.default_rng(seed)
    n = n or int(rng.integers(2, 8))
    Q = (rng.random((n, n)) < 0.6) * (10.0 ** rng.uniform(-6, 6, (n, n)) if stiff else 1.0)
    Q *= rng.uniform(0.5, 2.0, (n, n))
    np.fill_diagonal(Q, 0.0)
    Q[rng.random(n) < 0.15] = 0.0  # absorbing states
    if not Q.any():
        Q[0, 1] = 1.0
    return Q - np.diag(Q.sum(axis=1))


def exact(Q, t, absorbing=()):
    """exp(Q t) in multiprecision; the diagonal is minus the sum of the rates as they are."""
    n = len(Q)
    with mpmath.workdps(60):
        M = mpmath.matrix(n, n)
        for x in set(range(n)) - set(absorbing):
            for y in range(n):
                if x != y:
                    M[x, y] = mpmath.mpf(Q[x, y])
            M[x, x] = -mpmath.fsum(M[x, y] for y in range(n) if y != x)
        # by squaring: expm of mpmath scales too little where Q t is 1e12
        norm = max(1, int(mpmath.log(1 + mpmath.mnorm(M, "inf") * t, 2)) + 8)
    with mpmath.workdps(60 + norm):
        E, term = mpmath.eye(n), mpmath.eye(n)
        A = M * mpmath.mpf(t) / 2**norm
        for k in range(1, 40):
            term = term * A / k
            E += term
        for _ in range(norm):
            E = E * E
        return np.array([[E[x, y] for y in range(n)] for x in range(n)])


@pytest.mark.parametrize("stiff", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_laws_and_reachability(seed, stiff):
    Q = generator(seed, stiff)
    n = len(Q)
    chain = fe.MarkovChain.from_generator(Q)
    rng = np.random.default_rng(seed)
    for t in (1e-3, 1.0, 1e6) if stiff else (0.3, 5.0):
        P = exact(Q, t)
        start = int(rng.integers(n))
        found = fe.law_at(chain, t, start)
        assert found.converged and found.error <= 1e-12
        # the rates of the chain are rounded twice, which the law may feel as often as it moves
        assert float(sum(abs(found.law - P[start]))) <= found.error + 1e-14
        mixed = fe.law_at(chain, t, rng.dirichlet(np.ones(n)))
        assert mixed.converged and abs(mixed.law.sum() - 1) < 1e-12
        target = [int(rng.integers(n))]
        avoid = [x for x in range(n) if x not in target][: seed % 2]
        hit = exact(Q, t, [*target, *avoid])[:, target[0]]
        hit = fe.reached_by(chain, target, t, avoid=avoid or None), hit
        assert hit[0].converged and float(max(abs(hit[0].probability - hit[1]))) <= 1e-12
        assert all(hit[0].lower - 1e-14 <= hit[1]) and all(hit[1] <= hit[0].upper + 1e-14)


def test_a_long_time_at_a_stiff_chain():
    Q = np.array([[-1e6, 1e6, 0], [1e6, -1e6 - 1e-6, 1e-6], [0, 1e-7, -1e-7]])
    chain = fe.MarkovChain.from_generator(Q)
    for t in (1e3, 1e9, 1e12):
        found = fe.law_at(chain, t, 0)
        assert found.converged and found.method == "squaring"
        assert float(sum(abs(found.law - exact(Q, t)[0]))) < 1e-12


@pytest.mark.parametrize("mean", [1e-300, 1e-3, 0.5, 1.0, 7.25, 1e3, 123456.789])
def test_poisson_weights(mean):
    found = poisson.poisson_weights(Fraction(mean))
    with mpmath.workdps(60):
        k = np.arange(found.first, found.first + len(found.weight))
        step = max(1, len(k) // 50)
        for i, w in zip(k[::step], found.weight[::step], strict=True):
            p = mpmath.exp(
                -mpmath.mpf(mean) + int(i) * mpmath.log(mean) - mpmath.loggamma(int(i) + 1)
            )
            assert abs(w - p) <= p * 2.0**-51 + 2.0**-140
    assert abs(found.weight.sum() - 1.0) < 1e-12 and found.tail < 1e-30


@pytest.mark.parametrize("method", ["steps", "squaring"])
def test_both_methods_agree_where_both_apply(method, monkeypatch):
    Q = generator(1, n=12)
    chain = fe.MarkovChain.from_generator(Q)
    monkeypatch.setattr(law, "is_squared", lambda *args: method == "squaring")
    found = fe.law_at(chain, 3.0, 0, tol=1e-11)
    assert found.method == {"steps": "uniformisation"}.get(method, method)
    assert float(sum(abs(found.law - exact(Q, 3.0)[0]))) <= found.error + 1e-14 < 1e-11


def test_a_large_chain_comes_to_rest():
    """The steps end long before the last one where the law does not change any more."""
    n = 2000
    x = np.arange(n)
    rates = sp.coo_array(
        (1.0 + np.arange(2 * n) % 3, (np.r_[x, x], np.r_[(x + 1) % n, (7 * x + 3) % n]))
    )
    Q = (rates - sp.diags_array(np.asarray(rates.sum(axis=1)).ravel())).tocsr()
    chain = fe.MarkovChain.from_generator(Q)
    found = fe.law_at(chain, 1e5, 0, tol=1e-6)
    assert found.method == "uniformisation" and found.converged and found.n_iter < 2000
    assert np.abs(found.law - fe.stationary(chain).pi).sum() <= found.error + 1e-11
    short = fe.law_at(chain, 2.0, 0)
    P = fe.law_at(chain, 1.0, fe.law_at(chain, 1.0, 0).law)
    assert np.abs(short.law - P.law).sum() <= short.error + 2 * P.error + 1e-12


def test_a_large_periodic_chain_comes_to_rest():
    """From one part of a bipartite graph to the other and back, the law of a step never rests."""
    n, half = 600, 300
    x = np.arange(half)
    there = (np.tile(x, 3), half + np.concatenate([x, (x + 1) % half, (7 * x + 5) % half]))
    edges = np.r_[there[0], there[1]], np.r_[there[1], there[0]]
    chain = fe.MarkovChain.from_rates(sp.coo_array((np.ones(6 * half), edges), shape=(n, n)))
    assert fe.cyclic_classes(chain).period == 2
    found = fe.law_at(chain, 1e4, 0, tol=1e-9)
    assert found.converged and found.n_iter < 3000
    assert np.abs(found.law - 1 / n).sum() <= found.error


def test_steps_end_where_the_tolerance_is_out_of_reach():
    n = 600
    x = np.arange(n)
    edges = np.r_[x, x], np.r_[(x + 1) % n, (7 * x + 3) % n]
    chain = fe.MarkovChain.from_rates(sp.coo_array((np.ones(2 * n), edges)))
    with pytest.warns(fe.ConvergenceWarning, match="rounding"):
        found = fe.law_at(chain, 1e6, 0)
    assert not found.converged and found.n_iter < 2000
    assert np.abs(found.law - 1 / n).sum() <= found.error < 1e-7


def test_a_large_queue_within_its_proven_error():
    n = 200_000
    x = np.arange(n - 1)
    rates = sp.coo_array(
        (np.r_[np.full(n - 1, 1.0), np.full(n - 1, 2.0)], (np.r_[x, x + 1], np.r_[x + 1, x]))
    )
    rates = rates.tocsr()
    Q = rates - sp.diags_array(np.asarray(rates.sum(axis=1)).ravel())
    chain = fe.MarkovChain.from_generator(Q)
    found = fe.law_at(chain, 10.0, 0)
    assert found.converged and found.error < 1e-12
    small = fe.MarkovChain.from_generator(Q.tocsr()[:300, :300] + sp.diags_array(
        np.r_[np.zeros(299), 1.0]))  # fmt: skip
    assert np.abs(found.law[:250] - fe.law_at(small, 10.0, 0).law[:250]).max() < 1e-12


def test_fixed_point():
    rng = np.random.default_rng(0)
    A = rng.dirichlet(np.ones(50), 50)
    digits = fixed_point.stochastic(A)
    square = fixed_point.numbers_of(fixed_point.product(digits, digits))
    B = A - np.diag(np.diag(A))
    B = B + np.diag(1 - B.sum(axis=1))
    np.testing.assert_allclose(square, B @ B, atol=1e-15)
    total = sum(Fraction(d) / 2 ** (20 * k) for k in range(9) for d in digits[k, 3].tolist())
    assert total == 1


def test_the_ends_of_the_range():
    Q = generator(3)
    chain = fe.MarkovChain.from_generator(Q)
    n = chain.n_states
    law_0 = fe.law_at(chain, 0.0, 1)
    assert law_0.law.tolist() == np.eye(n)[1].tolist() and law_0.converged
    hit = fe.reached_by(chain, [0], 0)
    assert hit.probability.tolist() == np.eye(n)[0].tolist()
    everywhere = fe.reached_by(chain, range(n), 2.0)
    assert everywhere.probability.tolist() == [1.0] * n and everywhere.error == 0.0
    still = fe.MarkovChain.from_generator(np.array([[0.0, 0.0], [1.0, -1.0]]))
    assert fe.reached_by(still, [1], 1e12).probability.tolist() == [0.0, 1.0]
    for t, fragment in ((-1.0, "t must be"), (np.nan, "t must be"), (np.inf, "t must be finite")):
        with pytest.raises(fe.InvalidChainError, match=fragment):
            fe.law_at(chain, t, 0)
    fast = fe.MarkovChain.from_generator(1e300 * Q)
    with pytest.raises(fe.InvalidChainError, match="too long"):
        fe.law_at(fast, 1e300, 0)
    with pytest.raises(fe.InvalidChainError, match="has no rate"):
        fe.law_at(fe.Torus((3, 3)), 1.0, 0)
    with pytest.raises(fe.InvalidChainError, match="2 states"):
        fe.law_at(chain, 1.0, [0, 1])
    with pytest.raises(fe.InvalidChainError, match="disjoint"):
        fe.reached_by(chain, [0], 1.0, avoid=[0])


def test_lazy_chains_have_the_same_law():
    chain = fe.MarkovChain.from_generator(generator(4))
    first, second = fe.law_at(chain, 1.5, 0), fe.law_at(chain.lazy(0.3), 1.5, 0)
    assert np.abs(first.law - second.law).sum() < 1e-12


def test_holding_times_keep_the_digits_of_rare_exits():
    Q = np.array([[-1e-9, 1e-9, 0.0], [1e6, -1e6 - 3.0, 3.0], [0.0, 0.0, 0.0]])
    found = fe.holding_times(fe.MarkovChain.from_generator(Q))
    np.testing.assert_allclose(found.mean, [1e9, 1 / (1e6 + 3), np.inf], rtol=1e-14)
    np.testing.assert_allclose(found.exit_rate, [1e-9, 1e6 + 3, 0.0], rtol=1e-14)


def test_an_interrupted_call_has_a_bound():
    def stop(info):
        if info["done"] == 5:
            raise KeyboardInterrupt

    n = 1000
    chain = fe.MarkovChain.from_generator(
        sp.diags_array([np.ones(n - 1), np.r_[-np.ones(n - 1), 0.0]], offsets=[1, 0])
    )
    with pytest.raises(fe.Interrupted) as info:
        fe.law_at(chain, 20.0, 0, callback=stop)
    partial, whole = info.value.partial, fe.law_at(chain, 20.0, 0)
    assert not partial.converged
    assert np.abs(partial.law - whole.law).sum() <= partial.error + whole.error

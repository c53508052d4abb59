"""The proof of the eigenpairs of reversible chains: closed forms over many orders of magnitude,
LAPACK, counts of eigenvalues by inertia; searches that miss pairs."""

import contextlib

import hard_chains
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from spectral_checks import pairs_of

import fastebm as fe
from fastebm.linalg import complement
from fastebm.linalg.complement import ComplementSpectrum
from fastebm.linalg.eigensearch import EigenpairSearch
from fastebm.linalg.operator import Operator
from fastebm.linalg.shifted_inverse import ShiftedInverse
from fastebm.spectral import eigen_inverse
from fastebm.spectral.eigen_ends import Rates, reach
from fastebm.spectral.eigen_proof import ReversibleProof

TOL = 1e-8


def product_of_flips(rates):
    """(chain, all rates 1 - lambda ascending): one of m bits is chosen and set anew with the
    probability m rates[j]. The rates of the chain are the sums of those of all sets of bits (Levin
    & Peres, lemma 12.12)."""
    m = len(rates)
    x = np.arange(2**m)
    P = np.zeros((2**m, 2**m))
    for j, rate in enumerate(rates):
        P[x, x ^ (1 << j)] = rate / 2
    sums = np.array([sum(r for j, r in enumerate(rates) if s >> j & 1) for s in x])
    P[x, x] = 1.0 - P.sum(axis=1)
    return fe.MarkovChain(P), np.sort(sums)


def weighted(graph):
    return fe.MarkovChain.from_edges(
        graph.source, graph.target, graph.weight, n_states=graph.n, symmetric=True
    )


def check_rates(found, exact, tol=TOL, rounding=1e-14):
    """All rates known to tol, and within the errors that are stated."""
    assert found.converged and found.verified and found.criterion == "error"
    assert (found.rate_errors[1:] <= tol * exact[1 : len(found.rates)]).all()
    assert (np.abs(found.rates - exact) <= found.rate_errors + rounding * exact).all()


# --- closed forms ---------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("k", [2, 3, 5, 9, 17])
@pytest.mark.parametrize(
    "rates",
    [
        [1e-4, 1e-9, 1e-14, 1e-19, 1e-24, 0.1],
        [1e-30, 1e-30 * (1 + 1e-9), 1e-18, 1e-3, 0.05, 0.1],
        [1e-20] * 6,
        [1e-250, 1e-120, 1e-60, 1e-8, 0.01, 0.1],
        [1e-6, 2e-6, 3e-6, 4e-6, 5e-6, 0.1],
    ],
    ids=["decades", "near copies", "copies", "far apart", "harmonics"],
)
def test_rates_of_all_sizes(rates, k, seed):
    chain, exact = product_of_flips(rates)
    found = pairs_of(chain, k, rng=seed)
    check_rates(found, exact[:k])
    assert_allclose(found.timescales[1:], -1 / np.log1p(-exact[1:k]), rtol=2 * TOL)
    assert_allclose(found.left.T @ found.right, np.eye(k), atol=1e-12)
    distance = exact[k] - exact[k - 1]
    assert found.is_cut == (distance <= 1e-12 * exact[k]) or distance < TOL * exact[k]


def test_vectors_of_small_rates():
    """The vector of the slowest mode is the sign of its bit, which S cannot tell from the others of
    rates below 1e-16."""
    rates = [1e-24, 1e-20, 1e-17, 0.2]
    chain, _ = product_of_flips(rates)
    found = pairs_of(chain, 4)
    bits = (np.arange(16)[:, None] >> np.arange(4)) & 1
    for i, j in ((1, 0), (2, 1)):
        assert_allclose(np.abs(found.right[:, i] @ (1 - 2 * bits[:, j])), 16, rtol=1e-6)


def test_an_eigenvalue_of_minus_one_is_exact():
    cycle = fe.MarkovChain.from_edges(np.arange(8), (np.arange(8) + 1) % 8, symmetric=True)
    found = pairs_of(cycle, 3, which="smallest")
    assert found.converged and found.verified
    assert found.rates[1] == 2.0 and found.rate_errors[1] == 0.0
    assert found.timescales[1] == np.inf


# --- hard chains ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(hard_chains.FAMILIES))
@pytest.mark.parametrize("k", [2, 4, 6])
def test_rates_of_hard_chains_against_inertia(name, k):
    graph = hard_chains.FAMILIES[name](np.random.default_rng([k, 5]))
    found = pairs_of(weighted(graph), k)
    assert found.converged and found.verified
    slack = 1e-9  # of the counts
    for i in range(1, k):
        rate, error = found.rates[i], found.rate_errors[i]
        assert error <= TOL * rate
        assert graph.inertia.count((rate - error) * (1 - slack))[0] <= i
        assert graph.inertia.count((rate + error) * (1 + slack))[1] > i


# --- what is not known is not claimed -------------------------------------------------------------


def test_without_elimination_small_rates_are_not_known(monkeypatch):
    """Rounding hides 1e-14 and 1e-19 from S; the ends are right, and nothing is claimed."""
    monkeypatch.setattr(ShiftedInverse, "cost", lambda *_: np.inf)
    chain, exact = product_of_flips([1e-4, 1e-14, 1e-19, 0.1, 0.1, 0.1])
    with pytest.warns(fe.ConvergenceWarning):
        found = pairs_of(chain, 5)
    assert_array_equal(found.converged_each, [True, False, False, False, True])
    assert not found.converged
    assert (np.abs(found.rates - exact[:5]) <= found.rate_errors + 1e-14 * exact[:5]).all()


@pytest.mark.parametrize("max_matvecs", [5, 60, 120])
def test_too_few_products(max_matvecs):
    chain = fe.MarkovChain.from_edges(np.arange(99), np.arange(1, 100), symmetric=True).lazy(0.5)
    exact = 0.5 * (1 - np.cos(np.pi * np.arange(4) / 99))
    with pytest.warns(fe.ConvergenceWarning, match="raise max_matvecs"):
        found = pairs_of(chain, 4, max_matvecs=max_matvecs)
    assert not found.converged
    count = len(found.rates)
    assert (np.abs(found.rates - exact[:count]) <= found.rate_errors + 1e-15).all()


class Missing:
    """`EigenpairSearch._verify` that finds no missed pair in its first calls."""

    def __init__(self, calls, monkeypatch):
        self.calls, self.verify = calls, EigenpairSearch._verify
        monkeypatch.setattr(EigenpairSearch, "_verify", lambda *args: self(*args))

    def __call__(self, search, *args):
        self.calls -= 1
        if self.calls >= 0:
            search._end(verified=True)
        else:
            self.verify(search, *args)


def disordered():
    """A chain and its rates."""
    rng = np.random.default_rng(8)
    A = rng.random((400, 400)) ** 40
    chain = fe.MarkovChain.from_edges(*np.nonzero(A + A.T), (A + A.T)[np.nonzero(A + A.T)])
    S = chain.to_scipy().toarray() * np.sqrt(chain.pi[:, None] / chain.pi)
    return chain, 1 - np.linalg.eigvalsh((S + S.T) / 2)[::-1]


@pytest.mark.parametrize("calls, finds", [(1, True), (100, False)])
@pytest.mark.parametrize("inverse", [True, False])
def test_a_missed_pair_is_found_or_the_result_says_so(calls, finds, inverse, monkeypatch):
    """The search in S takes lambda_4 for lambda_2: the proof sees that others precede it. (The
    inverse then finds the pair.)"""
    chain, exact = disordered()
    if not inverse:
        monkeypatch.setattr(ShiftedInverse, "cost", lambda *_: np.inf)
    Missing(calls, monkeypatch)
    first = []

    def converged(search, ritz, selection):
        if search is first[0]:  # the third Ritz vector instead of the first
            third = np.argsort(-ritz.values)[2:3]
            return third, bool(ritz.residuals[third] <= 1e-12)
        return old(search, ritz, selection)

    old = EigenpairSearch.converged
    init = EigenpairSearch.__init__
    monkeypatch.setattr(
        EigenpairSearch,
        "__init__",
        lambda search, *args, **options: first.append(search) or init(search, *args, **options),
    )
    monkeypatch.setattr(EigenpairSearch, "converged", converged)
    is_known = finds or inverse
    with contextlib.nullcontext() if is_known else pytest.warns(fe.ConvergenceWarning):
        found = pairs_of(chain, 2)
    assert abs(found.rates[1] - exact[1]) <= found.rate_errors[1] + 1e-13
    assert found.converged == found.verified == is_known


@pytest.mark.parametrize("which", ["largest", "both", "modulus", "smallest"])
@pytest.mark.parametrize("searches", [1, 3])
def test_all_that_may_fail_in_a_call_fails_with_the_probability_that_was_asked_for(
    which, searches, monkeypatch
):
    """By the union bound: each end of each complement by any number of starts together, and the
    rounding of the solves for each sigma."""
    spent, ends, failure = [], set(), 3e-5
    top, error = ComplementSpectrum.top, ShiftedInverse.error
    component = complement.start_component

    def recorded_top(spectrum, sign):
        ends.add((spectrum, sign))
        starts = []
        monkeypatch.setattr(
            complement, "start_component", lambda n, part: starts.append(part) or component(n, part)
        )
        found = top(spectrum, sign)
        shares = [part**k for k, part in enumerate(starts, 1)]
        assert sum(shares) <= spectrum.failure
        return found

    monkeypatch.setattr(ComplementSpectrum, "top", recorded_top)
    monkeypatch.setattr(
        ShiftedInverse, "error", lambda self, part: spent.append(part) or error(self, part)
    )
    again = iter([True] * (searches - 1))
    missed, prove = ReversibleProof._is_missed, eigen_inverse._Complement.prove
    once_more = iter([True] * (searches - 1))
    monkeypatch.setattr(
        eigen_inverse._Complement, "prove", lambda *args: prove(*args) or next(once_more, False)
    )
    monkeypatch.setattr(
        ReversibleProof, "_is_missed", lambda *args: next(again, False) or missed(*args)
    )
    chain, _ = product_of_flips([1e-250, 1e-120, 1e-60, 1e-8, 0.01, 0.1])
    fe.eigenpairs(chain, 8, which=which, failure_probability=failure, rng=0)
    assert len({spectrum for spectrum, _ in ends}) >= searches
    spent += [spectrum.failure for spectrum, _ in ends]
    assert 0.1 * failure < sum(spent) <= failure * (1 + 1e-12)


# --- the parts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(30))
def test_reach_holds(seed):
    """Against LAPACK, with vectors that miss leading eigenvalues in half of the cases."""
    rng = np.random.default_rng(seed)
    p, n = 4, 12
    coupling = 10.0 ** rng.uniform(-6, 0)
    H, C = np.diag(rng.random(p)), np.diag(rng.random(n - p) * rng.choice([0.5, 1.5]))
    R = rng.standard_normal((n - p, p))
    R *= coupling / np.linalg.norm(R, 2)
    exact = np.sort(np.linalg.eigvalsh(np.block([[H, R.T], [R, C]])))[::-1][:p]
    theta = np.sort(np.diag(H))[::-1]
    assert (exact <= theta + reach(theta, coupling, C.max()) + 1e-14).all()
    assert (exact >= theta - 1e-14).all()


@pytest.mark.parametrize("theta, mu", [(0.7, 0.2), (0.2, 0.7), (0.4, 0.4)])
@pytest.mark.parametrize("coupling", [0.0, 1e-9, 0.1])
def test_reach_is_the_eigenvalue_of_two_states(theta, mu, coupling):
    exact = np.linalg.eigvalsh([[theta, coupling], [coupling, mu]])[1]
    assert_allclose(theta + reach(np.array([theta]), coupling, mu), exact, rtol=1e-15)
    small = reach(np.array([0.5]), 1e-12, 0.0)  # without cancellation
    assert_allclose(small, 2e-24, rtol=1e-12)


def test_rates_settle_within_their_ends():
    rates = Rates.unknown(np.array([0.1, 0.2, 0.3]))
    assert not rates.are_known(0.5).any()
    rates.narrow(np.arange(2), np.array([0.1, 0.15]), np.array([0.11, 0.25]))
    rates.settle(np.array([0.105, 0.3, 0.3]))
    assert_allclose(rates.value, [0.105, 0.2, 0.3])
    assert_allclose(rates.errors, [0.005, 0.05, 1.7])
    assert_array_equal(rates.are_known(0.1), [True, False, False])


def _complement(chain, n_known, seed, failure=1e-6):
    S = chain.to_scipy().toarray()
    values, vectors = np.linalg.eigh(S)
    known = np.ascontiguousarray(vectors[:, ::-1][:, :n_known].T)
    operator = Operator(chain._scaled.operator, "right", symmetric=True, threads=1)
    rng = np.random.default_rng(seed)
    spectrum = ComplementSpectrum(operator, known, rng, failure, lambda n: 1e-14)
    return spectrum, values[::-1][n_known:]


@pytest.mark.parametrize("seed", range(5))
def test_ends_of_a_complement_hold_and_close(seed):
    rng = np.random.default_rng(seed)
    x = np.arange(60)
    weight = 10.0 ** rng.uniform(-1, 0, 60)
    A = np.zeros((60, 60))
    A[x, (x + 1) % 60] = weight / 4
    A += A.T
    A[x, x] = 1 - A.sum(axis=1)
    spectrum, exact = _complement(fe.MarkovChain(A), 3, seed)
    for steps in (4, 8, 16, 32, 56, 70):
        spectrum.expand(steps - spectrum.n_steps)
        for sign, value in ((1.0, exact[0]), (-1.0, -exact[-1])):
            assert spectrum.ritz(sign)[0] - 1e-14 <= value <= spectrum.top(sign)
    assert spectrum.top(1.0) - exact[0] < 1e-7


def test_starts_in_an_invariant_subspace_are_joined():
    """The complete graph: one step exhausts a start, which alone proves 1e-8 sqrt(n) only."""
    n = 300
    spectrum, exact = _complement(fe.MarkovChain(np.full((n, n), 1 / n)).lazy(0.5), 1, 0)
    spectrum.expand(5)
    alone = spectrum.top(1.0) - exact[0]
    while not spectrum.is_exhausted:
        spectrum.expand(5)
    assert 0.0 <= spectrum.top(1.0) - exact[0] < 1e-11 < 1e-9 < alone


def test_nothing_is_left_of_a_whole_space():
    spectrum, _ = _complement(fe.MarkovChain(np.full((3, 3), 1 / 3)), 3, 0)
    assert spectrum.is_exhausted and spectrum.top(1.0) == -np.inf


@pytest.mark.parametrize("sigma", [1e-3, 1e-18, 1e-40])
def test_the_shifted_inverse_keeps_its_digits(sigma):
    """sigma / (r + sigma) for the rates of a product, on its known vectors."""
    chain, _ = product_of_flips([1e-3, 1e-18, 1e-40])
    inverse = ShiftedInverse(chain._scaled, chain.log_pi, 1)
    assert inverse.cost(lambda *_, **__: None) < np.inf
    assert inverse.factorise(sigma, lambda *_, **__: None)
    bits = (np.arange(8)[:, None] >> np.arange(3)) & 1
    x = np.ascontiguousarray((1.0 - 2.0 * bits).T) / np.sqrt(8)
    y = np.empty_like(x)
    inverse.apply(x, y)
    exact = sigma / (np.array([1e-3, 1e-18, 1e-40]) + sigma)
    error = np.linalg.norm(y - exact[:, None] * x, axis=1).max()
    assert error <= inverse.error(1e-6) < 1e-13 and inverse.n_matvecs == 3


def test_failure_probability_is_checked():
    chain = fe.MarkovChain(np.full((3, 3), 1 / 3))
    for wrong in (0.0, 1.0, -1.0):
        with pytest.raises(fe.InvalidChainError, match="failure_probability"):
            pairs_of(chain, 2, failure_probability=wrong)
    careful, bold = (pairs_of(chain, 2, failure_probability=f) for f in (1e-12, 1e-2))
    assert careful.rate_errors[1] >= bold.rate_errors[1]

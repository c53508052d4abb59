"""The reversible maximum likelihood, against the fixed point of Bowman et al., deeptime and its own
optimality conditions."""

import gallery
import numpy as np
import pytest
import reference
import scipy.sparse as sp
from hypothesis import given
from reference import fixed_point
from strategies import strongly_connected_counts

import fastebm as fe
from fastebm import MarkovChain, ReducibleChainError, reversible_fit


@given(strongly_connected_counts())
def test_any_counts_satisfy_the_likelihood_equations(counts):
    """P is reversible, its expected symmetric counts are the observed ones, and no reversible chain
    nearby has a larger likelihood."""
    fit = reversible_fit(counts)
    P, pi = fit.chain.to_scipy().toarray(), fit.chain.pi
    assert fit.converged and fit.row_sum_error < 1e-11
    np.testing.assert_allclose(P.sum(axis=1), 1.0, rtol=1e-14)
    F = pi[:, None] * P
    np.testing.assert_allclose(F, F.T, rtol=1e-12, atol=1e-300)
    n = counts.sum(axis=1)
    np.testing.assert_allclose(
        n[:, None] * P + (n[:, None] * P).T, counts + counts.T, rtol=1e-9, atol=1e-12
    )
    seen = counts > 0
    likelihood = (counts[seen] * np.log(P[seen])).sum()
    assert fit.log_likelihood == pytest.approx(likelihood, rel=1e-10, abs=1e-10)
    rng = np.random.default_rng(0)
    for size in (1e-3, 0.1):
        X = F * np.exp(size * (noise := rng.normal(size=F.shape)) + size * noise.T)
        other = X / X.sum(axis=1, keepdims=True)
        assert (counts[seen] * np.log(other[seen])).sum() <= likelihood + 1e-9 * abs(likelihood)


@pytest.mark.parametrize("seed", range(4))
def test_equals_the_fixed_point(seed):
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rng.gamma(0.5, 6.0, (7, 7))) + np.roll(np.eye(7), 1, axis=1)
    P, pi = fixed_point(counts)
    chain = MarkovChain.from_counts(counts, reversible=True)
    np.testing.assert_allclose(chain.to_scipy().toarray(), P, rtol=1e-8, atol=1e-15)
    np.testing.assert_allclose(chain.pi, pi, rtol=1e-8)


def test_equals_deeptime():
    markov = pytest.importorskip("deeptime.markov")
    rng = np.random.default_rng(0)
    case = gallery.random_reversible(60, 0.1, 1)
    counts = sp.csr_array(
        rng.poisson(2000 * case.P.toarray() * case.pi[:, None] * 60).astype(float)
    )
    counts = fe.connected_set(counts).counts
    model = (
        markov.msm.MaximumLikelihoodMSM(reversible=True, maxerr=1e-14, maxiter=10**7)
        .fit(markov.TransitionCountModel(counts.toarray()))
        .fetch_model()
    )
    chain = MarkovChain.from_counts(counts, reversible=True)
    np.testing.assert_allclose(
        chain.to_scipy().toarray(), model.transition_matrix, rtol=0, atol=1e-8
    )
    np.testing.assert_allclose(chain.pi, model.stationary_distribution, rtol=1e-8)


def test_counts_of_a_reversible_chain_give_it_back():
    """Expected counts of a reversible chain under any starting weights are fitted exactly."""
    case = gallery.random_reversible(40, 0.1, 2)
    weights = np.random.default_rng(3).uniform(0.1, 10.0, 40)
    chain = MarkovChain.from_counts(case.P.multiply(weights[:, None]), reversible=True)
    np.testing.assert_allclose(chain.to_scipy().toarray(), case.P.toarray(), rtol=1e-9)
    np.testing.assert_allclose(chain.pi, case.pi, rtol=1e-9)
    assert chain.is_reversible and chain._scaled.pattern.transpose is chain._scaled.pattern.matrix


def test_two_states_are_reversible_anyway():
    counts = np.array([[3, 2], [1e-3, 1e6]])
    np.testing.assert_allclose(
        MarkovChain.from_counts(counts, reversible=True).to_scipy().toarray(),
        counts / counts.sum(axis=1, keepdims=True),
        rtol=1e-13,
    )


def test_a_law_over_hundreds_of_decades():
    """pi falls by a factor of 1e-300 along a path; the fit starts at the least-squares solution,
    which is exact here."""
    n = 100
    x = np.arange(n - 1)
    counts = np.zeros((n, n))
    counts[x, x + 1], counts[x + 1, x] = 1.0, 1000.0
    fit = reversible_fit(counts)
    assert fit.converged and fit.n_newton <= 4
    expected = np.log(
        np.r_[
            1.0,
            np.cumprod(
                counts[x, x + 1]
                / counts.sum(axis=1)[:-1]
                / (counts[x + 1, x] / counts.sum(axis=1)[1:])
            ),
        ]
    )
    np.testing.assert_allclose(fit.chain.log_pi - fit.chain.log_pi[0], expected, rtol=1e-10)
    assert fit.chain.log_pi.min() < -600


def test_one_way_edges_inside_a_class_are_no_obstacle():
    ring = sp.csr_array(
        (np.full(50, 10.0), (np.arange(50), (np.arange(50) + 1) % 50)), shape=(50, 50)
    )
    chain = MarkovChain.from_counts(ring, reversible=True)
    np.testing.assert_allclose(
        chain.to_scipy().toarray(), gallery.cycle(50).P.toarray(), atol=1e-12
    )


def test_what_has_no_maximum_is_refused():
    for counts, text in (
        (np.array([[1, 1], [0, 1]]), "1 was reached from 0"),
        (np.eye(3), "no counts connect"),
    ):
        with pytest.raises(ReducibleChainError, match=text):
            reversible_fit(counts)
    with pytest.raises(ReducibleChainError, match=r"b.*a"):
        reversible_fit(np.array([[1, 1], [0, 1]]), labels=["a", "b"])


def test_the_same_bits_for_any_number_of_threads():
    rng = np.random.default_rng(5)
    n, m = 9_000, 60_000
    i, j = rng.integers(0, n, m), rng.integers(0, n, m)
    counts = sp.coo_array((rng.poisson(5, m) + 1.0, (i, j)), shape=(n, n)).tocsr()
    counts = (
        counts
        + counts.T
        + sp.csr_array((np.ones(n), (np.arange(n), (np.arange(n) + 1) % n)), shape=(n, n))
    )
    one, two = (reversible_fit(counts, num_threads=threads) for threads in (1, 2))
    assert np.array_equal(one.chain.log_pi, two.chain.log_pi) and one.n_products == two.n_products
    assert one.converged and one.row_sum_error < 1e-12


def test_interrupted_between_pieces():
    counts = np.random.default_rng(0).poisson(3, (20, 20)) + 1

    def stop(info):
        raise KeyboardInterrupt

    with pytest.raises(fe.Interrupted):
        reversible_fit(counts, callback=stop)


def test_stationary_law_from_an_independent_solver():
    counts = np.random.default_rng(9).poisson(3, (15, 15)) + 1
    chain = MarkovChain.from_counts(counts, reversible=True)
    np.testing.assert_allclose(chain.pi, reference.gth(chain.to_scipy()), rtol=1e-10)


# --- with a known stationary distribution ---------------------------------------------------------


@given(strongly_connected_counts(max_states=6))
def test_the_law_of_the_free_fit_gives_the_free_fit(counts):
    free = reversible_fit(counts)
    known = reversible_fit(counts, pi=free.chain.pi)
    np.testing.assert_allclose(
        known.chain.to_scipy().toarray(), free.chain.to_scipy().toarray(), atol=1e-8
    )
    assert known.log_likelihood == pytest.approx(free.log_likelihood, rel=1e-8, abs=1e-8)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("stays", (True, False))
def test_a_known_law_against_a_general_optimiser(seed, stays):
    """Symmetric flows with given row sums, by SciPy's SLSQP, which may violate them by 1e-7 and
    gain 1e-6 in likelihood. Without counts on the diagonal some state may need holding."""
    from scipy.optimize import minimize

    rng = np.random.default_rng(seed)
    n = 4
    counts = rng.poisson(8, (n, n)) + 1.0
    if not stays:
        np.fill_diagonal(counts, 0.0)
    pi = rng.dirichlet(np.full(n, 3.0))
    x, y = np.triu_indices(n)
    both = np.where(x == y, counts[x, y], counts[x, y] + counts[y, x])
    pairs = list(zip(x, y, strict=True))
    row_sums = np.array([[1.0 if i in pair else 0.0 for pair in pairs] for i in range(n)])
    found = minimize(
        lambda f: -(both[both > 0] * np.log(f[both > 0])).sum(),
        np.where(x == y, pi[x] ** 2, pi[x] * pi[y]),
        method="SLSQP",
        bounds=[(1e-12, 1.0)] * len(x),
        constraints={"type": "eq", "fun": lambda f: row_sums @ f - pi},
        options={"ftol": 1e-14, "maxiter": 2000},
    )
    fit = reversible_fit(counts, pi=pi)
    P = fit.chain.to_scipy().toarray()
    assert fit.converged
    np.testing.assert_allclose(fit.chain.pi, pi, rtol=1e-9)
    np.testing.assert_allclose(pi[:, None] * P, (pi[:, None] * P).T, atol=1e-14)
    likelihood = (counts[counts > 0] * np.log(P[counts > 0])).sum()
    optimum = -found.fun - (counts.sum(axis=1) * np.log(pi)).sum()
    assert likelihood == pytest.approx(
        fit.log_likelihood, rel=1e-10
    ) and likelihood >= optimum - 1e-6 * abs(optimum)


def test_a_known_law_needs_connected_counts_and_positive_probabilities():
    with pytest.raises(ReducibleChainError, match="no counts connect"):
        reversible_fit(np.eye(3), pi=np.full(3, 1 / 3))
    with pytest.raises(fe.InvalidChainError, match=r"pi\[1\] is 0"):
        reversible_fit(np.ones((2, 2)), pi=[1.0, 0.0])
    with pytest.raises(fe.InvalidChainError, match="reversible=True"):
        MarkovChain.from_counts(np.ones((2, 2)), pi=[0.5, 0.5])
    # with pi known, one-way counts suffice
    one_way = reversible_fit(np.array([[5.0, 3.0], [0.0, 0.0]]), pi=[0.25, 0.75])
    P = one_way.chain.to_scipy().toarray()
    assert P[0, 1] * 0.25 == pytest.approx(P[1, 0] * 0.75) and P[0, 1] == pytest.approx(3 / 8)

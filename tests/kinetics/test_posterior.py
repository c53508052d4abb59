"""Chains from the posterior: laws in closed form, deeptime, and what is refused."""

import numpy as np
import pytest
from scipy import stats

import fastebm as fe
from fastebm import _core
from fastebm.counts.matrix import CountMatrix
from fastebm.kinetics.clusters import clusters_of

# A path: detailed balance holds for every chain on it, so that rows of reversible samples are
# Dirichlet, too. Two sets that exchange few counts.
PATH = np.array(
    [
        [1000, 400, 0, 0, 0],
        [410, 900, 3, 0, 0],
        [0, 2, 5000, 700, 0],
        [0, 0, 720, 800, 40],
        [0, 0, 0, 45, 70],
    ]
).astype(float)
DENSE = np.array([[9, 3, 1, 0], [4, 20, 0, 7], [2, 5, 30, 1], [1, 3, 2, 12]], dtype=float)


def matrices(sample):
    return np.array([chain.to_scipy().toarray() for chain in sample])


@pytest.mark.parametrize("reversible", [True, False])
def test_rows_on_a_path_are_dirichlet(reversible):
    n = 3000
    sample = fe.sample_posterior(PATH, n, reversible=reversible, rng=5)
    assert sample.converged
    P = matrices(sample)
    for x, row in enumerate(PATH):
        for y in np.flatnonzero(row):
            law = stats.beta(row[y], row.sum() - row[y])
            # samples of a chain of Gibbs steps are correlated over about 1.5 of them
            thinned = P[:, x, y] if not reversible else P[: n // 2, x, y]
            assert stats.kstest(thinned, law.cdf).pvalue > 1e-4, (x, y)
    assert np.abs(P[:, PATH == 0]).max() == 0.0


def test_sets_that_hardly_exchange_move_as_wholes():
    """The mass of a set is free by a factor of about exp(1 / sqrt(5)), each flow by far less."""
    sample = fe.sample_posterior(PATH * np.array([[1e3]] * 5) + 0.0, 400, rng=1, thin=2)
    assert sample.autocorrelation_time < 6
    few = PATH.copy()
    few[:2, :2] *= 1e6
    few[2:, 2:] *= 1e6
    sample = fe.sample_posterior(few, 400, rng=1, thin=2)
    assert sample.autocorrelation_time < 6
    ratio = sample.estimate(lambda chain: np.log(chain.pi[:2].sum() / chain.pi[2:].sum()))
    # log of a ratio of two gamma variates of shapes 3 and 2, times what is known exactly
    spread = np.sqrt(sum(stats.loggamma(a).var() for a in (3, 2)))
    assert ratio.std == pytest.approx(spread, rel=0.2)


def test_samples_are_in_detailed_balance():
    sample = fe.sample_posterior(DENSE, 40, rng=0, burn_in=5, thin=1)
    for chain in sample:
        assert chain.is_reversible
        P, pi = chain.to_scipy().toarray(), chain.pi
        np.testing.assert_allclose(P.sum(axis=1), 1.0)
        np.testing.assert_allclose(pi[:, None] * P, (pi[:, None] * P).T, rtol=1e-12)
        assert ((P > 0) == ((DENSE + DENSE.T) > 0)).all()


@pytest.mark.parametrize("reversible", [True, False])
def test_the_same_bits_for_any_number_of_threads(reversible):
    options = {"reversible": reversible, "burn_in": 7, "thin": 3, "rng": 11}
    with pytest.warns(fe.ConvergenceWarning) if reversible else _no_warning():
        one, two = (
            matrices(fe.sample_posterior(DENSE, 13, num_threads=t, **options)) for t in (1, 2)
        )
    np.testing.assert_array_equal(one, two)
    assert (np.ptp(one, axis=0)[DENSE > 0] > 0).all()


class _no_warning:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        return False


def test_means_without_detailed_balance():
    sample = fe.sample_posterior(DENSE, 4000, reversible=False, rng=2)
    P, total = matrices(sample), DENSE.sum(axis=1, keepdims=True)
    share = DENSE / total
    spread = np.sqrt(share * (1 - share) / (total + 1))
    assert (np.abs(P.mean(axis=0) - share) <= 5 * spread / np.sqrt(4000)).all()
    np.testing.assert_allclose(P.std(axis=0), spread, rtol=0.06, atol=1e-12)
    assert sample.autocorrelation_time == 1.0 and not any(
        c.is_reversible for c in [sample.chain(0)]
    )


def test_counts_that_are_no_whole_numbers():
    """Small parameters: probabilities down to the smallest double, none of them zero."""
    rows = np.full((3, 3), 1e-4)
    values = matrices(fe.sample_posterior(rows, 50, reversible=False, rng=0))
    assert (values > 0.0).all() and values.min() < 1e-100
    np.testing.assert_allclose(values.sum(axis=2), 1.0)


def test_labels_and_units():
    found = fe.count_transitions(
        [[0, 1, 1, 0, 1, 0, 0, 1]], lag=2, time_unit="ps", labels=["a", "b"]
    )
    sample = fe.sample_posterior(found, 50, rng=0)
    assert (sample.lag, sample.time_unit, len(sample)) == (2, "ps", 50)
    chain = sample.chain(49)
    assert (chain.lag, chain.time_unit, chain.labels) == (2, "ps", ["a", "b"])
    assert sample.to_dict()["n"] == 50 and "_values" not in sample.to_dict()


def test_estimates():
    sample = fe.sample_posterior(DENSE, 60, rng=0)
    found = sample.estimate(lambda chain: chain.pi, level=0.9)
    assert found.values.shape == (60, 4) and found.converged and found.n_failed == 0
    np.testing.assert_allclose(found.lower, np.quantile(found.values, 0.05, axis=0))
    np.testing.assert_allclose(found.std, found.values.std(axis=0, ddof=1))

    def sometimes(chain):
        if chain.pi[0] > found.mean[0]:
            raise fe.InvalidChainError("no")
        return 1.0

    half = sample.estimate(sometimes)
    assert 0 < half.n_failed < 60 and half.failures == {"InvalidChainError: no": half.n_failed}
    with pytest.raises(fe.InvalidChainError, match="failed on 60 of 60"):
        sample.estimate(lambda chain: np.nan)


def test_samples_that_are_not_known_to_be_independent():
    with pytest.warns(fe.ConvergenceWarning, match="too few to tell"):
        assert not fe.sample_posterior(DENSE, 8, rng=0).converged
    with pytest.warns(fe.ConvergenceWarning, match="correlated over"):
        ring = 1e6 * (np.roll(np.eye(200), 1, axis=1) + np.roll(np.eye(200), 1, axis=0))
        slow = fe.sample_posterior(ring, 80, burn_in=0, thin=1, rng=0)
    assert not slow.converged and not slow.estimate(lambda chain: chain.pi[0]).converged


def test_clusters():
    """Every state is in the smaller part of at most log2(n) mergers, contiguous in the order."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.4, (40, 40)) + np.roll(np.eye(40), 1, axis=1)
    groups = clusters_of(CountMatrix(counts).graph)
    assert sorted(groups.order.tolist()) == list(range(40))
    np.testing.assert_array_equal(groups.order[groups.place], np.arange(40))
    inside = [set(groups.order[a:b].tolist()) for a, b in groups.ranges]
    assert all(len(part) >= 2 for part in inside)
    assert max(sum(x in part for part in inside) for x in range(40)) <= 5
    blocks = np.kron(np.eye(3), np.full((4, 4), 50.0)) + 1.0
    groups = clusters_of(CountMatrix(blocks).graph)
    found = {frozenset(groups.order[a:b].tolist()) for a, b in groups.ranges}
    assert len(found & {frozenset(range(4 * i, 4 * i + 4)) for i in range(3)}) >= 2


@pytest.mark.parametrize(
    ("counts", "options", "error", "text"),
    [
        ([[1, 1], [0, 1]], {}, fe.ReducibleChainError, "connected_set"),
        ([[1, 1], [0, 0]], {"reversible": False}, fe.InvalidChainError, "state 1 has no departure"),
        ([[1, -1], [1, 1]], {}, fe.InvalidChainError, "not negative"),
        ([[1, 2], [1, 1]], {"n": 0}, fe.InvalidChainError, "n must be at least 1"),
        ([[1, 2], [1, 1]], {"thin": 0}, fe.InvalidChainError, "thin must be at least 1"),
        ([[1, 2], [1, 1]], {"burn_in": -1}, fe.InvalidChainError, "burn_in must be at least 0"),
        ([[1, 2], [1, 1]], {"reversible": 1}, TypeError, "reversible must be True or False"),
    ],
)
def test_refusals(counts, options, error, text):
    with pytest.raises(error, match=text):
        fe.sample_posterior(np.array(counts), **({"n": 50} | options))


@pytest.mark.parametrize("small", [1e-5, 1e-4])
def test_counts_whose_flows_leave_the_range_of_doubles(small):
    """Such samples had NaN entries, or transitions of probability zero."""
    counts = np.array([[small, small, 0.0], [small, 1.0, 1e-3], [0.0, 1e-3, 1.0]])
    with pytest.raises(fe.InvalidChainError, match=f"smallest is {small:.3g}"):
        fe.sample_posterior(counts, 200, rng=0)


def test_two_states_that_always_move():
    """Nothing is random where each row has one entry."""
    sample = fe.sample_posterior(np.array([[0, 5], [4, 0]]), 50, rng=0)
    np.testing.assert_array_equal(matrices(sample), np.tile([[0.0, 1.0], [1.0, 0.0]], (50, 1, 1)))
    lone = fe.sample_posterior(np.array([[3]]), 50, rng=0)
    assert lone.chain(0).to_scipy().toarray().tolist() == [[1.0]]


def test_posterior_in_c_checks_sizes():
    graph = CountMatrix(DENSE).graph
    with pytest.raises(ValueError):
        _core.Posterior(
            graph,
            np.ones(3),
            np.ones(4),
            np.empty((0, 2), np.int64),
            np.arange(4, dtype=np.int32),
            np.arange(4),
            np.ones((1, graph.nnz)),
            np.ones((1, 4)),
            np.zeros(2, np.uint64),
            1,
        )


def test_deeptimes_sampler():
    """Means and deviations of probabilities and of the slowest timescale."""
    tools = pytest.importorskip("deeptime.markov.tools.estimation", reason="deeptime is the oracle")
    n = 2000
    theirs = tools.tmatrix_sampler(DENSE, reversible=True, nsteps=30)
    want = np.array([theirs.sample() for _ in range(n)])
    got = matrices(fe.sample_posterior(DENSE, n, rng=3))
    for statistic in (lambda P: P, lambda P: np.sort(np.linalg.eigvals(P).real)[:, -2]):
        x, y = statistic(want), statistic(got)
        spread = x.std(axis=0) + 1e-12
        assert (np.abs(x.mean(axis=0) - y.mean(axis=0)) / spread < 5 * np.sqrt(4 / n)).all()
        assert (np.abs(y.std(axis=0) / spread - 1.0)[x.std(axis=0) > 1e-9] < 0.15).all()

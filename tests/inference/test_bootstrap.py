"""Resampling and the Markov test: coverage against known distributions, counted failures,
reproducible streams."""

import numpy as np
import pytest
from scipy import stats

import fastebm as fe
from fastebm import bootstrap, markov_test

P = np.array([[0.8, 0.2], [0.4, 0.6]])


def paths(P, n_walkers, n_steps, seed):
    return list(fe.simulate(fe.MarkovChain(P), n_steps, n_walkers=n_walkers, rng=seed))


def test_rows_have_the_binomial_error():
    """The error of a transition probability is sqrt(p (1 - p) / n); 600 replicates estimate it to
    3 %."""
    found = bootstrap(
        np.array([[80, 20], [30, 70]]), lambda chain: chain.to_scipy()[0, 1], n=600, rng=1
    )
    assert found.kind == "rows" and found.estimate == 0.2 and found.n_failed == found.n_reduced == 0
    assert found.std_error == pytest.approx(np.sqrt(0.2 * 0.8 / 100), rel=0.12)
    assert found.lower == pytest.approx(
        0.2 - 1.96 * 0.04, abs=0.02
    ) and found.upper == pytest.approx(0.2 + 1.96 * 0.04, abs=0.02)


def test_whole_trajectories_are_resampled():
    """Each trajectory repeats one of two behaviours, so the error is that of 10 trajectories, not
    of 5,000 transitions."""
    trajectories = [np.tile([0, 1], 250) if i % 2 else np.repeat([0, 1], 250) for i in range(10)]
    whole = bootstrap(trajectories, lambda chain: chain.to_scipy()[0, 1], n=300, rng=2)
    rows = bootstrap(
        fe.count_transitions(trajectories), lambda chain: chain.to_scipy()[0, 1], n=300, rng=2
    )
    assert whole.kind == "trajectories" and whole.std_error > 5 * rows.std_error


def test_vectors_and_analyses():
    found = bootstrap(paths(P, 40, 200, 3), lambda chain: chain.pi, n=200, rng=4, reversible=True)
    assert (
        found.estimate.shape == found.lower.shape == (2,)
        and (found.lower < [2 / 3, 1 / 3]).all()
        and (found.upper > [2 / 3, 1 / 3]).all()
    )
    gap = bootstrap(
        paths(P, 40, 200, 3), lambda chain: fe.spectral_gap(chain).gap, n=50, rng=4, reversible=True
    )
    assert abs(gap.estimate - 0.6) < 4 * gap.std_error and gap.lower < gap.estimate < gap.upper


def test_lost_states_and_failures_are_counted():
    counts = np.array([[5, 1, 1], [1, 5, 0], [1, 0, 0]])
    found = bootstrap(counts, lambda chain: float(chain.n_states), n=100, rng=5)
    assert found.n_reduced == (found.replicates < 3).sum() > 10 and found.n_failed == 0
    found = bootstrap(
        counts, lambda chain: chain.largest_class().to_scipy().diagonal(), n=100, rng=5
    )
    assert (
        found.n_failed > 10
        and sum(found.failures.values()) == found.n_failed
        and "states are missing" in str(found.failures)
    )
    with pytest.raises(fe.InvalidChainError, match="failed on 10 of 10"):
        bootstrap(counts, lambda chain: np.nan, n=10, rng=5)


def test_repeatable_and_interruptible():
    data = paths(P, 10, 30, 6)
    one, two = (
        bootstrap(
            data,
            lambda chain: chain.pi[0] if chain.pi is not None else fe.stationary(chain).pi[0],
            n=20,
            rng=7,
        )
        for _ in range(2)
    )
    assert np.array_equal(one.replicates, two.replicates)

    def stop(info):
        if info["done"] == 5:
            raise KeyboardInterrupt

    with pytest.raises(fe.Interrupted) as caught:
        bootstrap(data, lambda chain: chain.to_scipy()[0, 1], n=20, rng=7, callback=stop)
    assert len(caught.value.partial.replicates) == 5
    with pytest.raises(fe.InvalidChainError, match="at least two"):
        bootstrap(data[:1], lambda chain: 0.0, n=3)


# --- the Markov test ------------------------------------------------------------------------------


def test_order_statistic_by_hand():
    rng = np.random.default_rng(0)
    x = [rng.integers(0, 3, 60), rng.integers(0, 3, 2), rng.integers(0, 3, 30)]
    triples = np.zeros((3, 3, 3))
    for t in x:
        for a, b, c in zip(t, t[1:], t[2:], strict=False):
            triples[a, b, c] += 1
    total, dof = 0.0, 0
    for b in range(3):
        table = triples[:, b]
        expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
        total += 2 * (table[table > 0] * np.log(table[table > 0] / expected[table > 0])).sum()
        dof += ((table.sum(axis=1) > 0).sum() - 1) * ((table.sum(axis=0) > 0).sum() - 1)
    test = markov_test(x, n_bootstrap=1, rng=0)
    assert (
        test.statistic == pytest.approx(total, rel=1e-10)
        and test.dof == dof
        and test.n_triples == 86
    )


def test_p_values_under_the_null():
    """Kolmogorov-Smirnov on 40 Markov data sets; false-alarm rate 1e-3."""
    chain = np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.3, 0.3, 0.4]])
    found = [
        markov_test(paths(chain, 5, 40, seed), lags=(2,), n_bootstrap=29, rng=seed, num_threads=1)
        for seed in range(40)
    ]
    spread = np.random.default_rng(1).uniform(-1 / 30, 0, 40)
    for p in ([t.p_value for t in found], [t.lags[0]["p_value"] for t in found]):
        assert stats.kstest(np.array(p) + spread, "uniform").pvalue > 1e-3


def test_memory_is_found():
    """A persistent walk is of second order: both the order and the lags detect it."""
    rng = np.random.default_rng(2)
    x = [0, 1]
    for _ in range(800):
        direction = (x[-1] - x[-2]) % 5
        x.append(
            (
                x[-1]
                + (direction if rng.random() < 0.8 and direction in (1, 4) else rng.choice([1, 4]))
            )
            % 5
        )
    test = markov_test([np.array(x)], n_bootstrap=99, rng=3)
    assert (
        test.p_value == 0.01
        and test.lags[0]["p_value"] == 0.01
        and test.lags[0]["distance"] > 2 * test.lags[0]["expected"]
    )


def test_what_cannot_be_tested():
    with pytest.raises(fe.InvalidChainError, match="three points"):
        markov_test([[0, 1], [1, 0]])
    # state 2 has no departures; lag 50 is too long
    ends = markov_test([[0, 1, 0, 1, 0, 2], [1]], lags=(2, 50), n_bootstrap=9, rng=0)
    assert [entry["lag"] for entry in ends.lags] == [2] and ends.n_trajectories == 2

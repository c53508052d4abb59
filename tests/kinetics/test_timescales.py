"""Implied timescales and the Chapman-Kolmogorov test: known chains, deeptime, refusals."""

import json

import numpy as np
import pytest
from deeptime_models import deeptime_chain

import fastebm as fe

P = np.array([[0.90, 0.08, 0.02], [0.04, 0.94, 0.02], [0.05, 0.05, 0.90]])
CYCLE = np.array([[0.1, 0.8, 0.1], [0.1, 0.1, 0.8], [0.8, 0.1, 0.1]])
FLIP = np.array([[0.1, 0.9], [0.8, 0.2]])


def walks(matrix, n_steps=3000, n_walkers=6):
    return list(fe.simulate(fe.MarkovChain(matrix), n_steps, n_walkers=n_walkers, rng=3))


def eigenvalues(trajectories, lag, n_states):
    """Of the counted chain, by numpy, largest real part first."""
    counts = np.zeros((n_states, n_states))
    for x in trajectories:
        np.add.at(counts, (x[:-lag], x[lag:]), 1.0)
    values = np.linalg.eigvals(counts / counts.sum(axis=1, keepdims=True))
    return values[np.argsort(-values.real)]


def test_timescales_of_counts():
    paths = walks(P)
    found = fe.implied_timescales(paths, [1, 4, 2], k=2, reversible=False, time_unit="ps")
    for row, lag in enumerate([1, 4, 2]):
        values = eigenvalues(paths, lag, 3)[1:].real
        np.testing.assert_allclose(found.eigenvalues[row], values, rtol=1e-8)
        np.testing.assert_allclose(found.timescales[row], -lag / np.log(values), rtol=1e-7)
    assert found.converged and found.undefined == [] and found.lower is None
    assert found.n_states.tolist() == [3, 3, 3] and found.fraction_counts.tolist() == [1.0] * 3
    plain = json.loads(json.dumps(found.to_dict()))
    assert plain["time_unit"] == "ps" and plain["lags"] == [1, 4, 2]


def test_slow_processes_keep_their_digits():
    """Two states that interchange once in 1e6 steps: 1 - lambda is 2e-6 to its last digits."""
    path = np.repeat([0, 1], 10**6)
    path = np.concatenate([path, [0]])
    found = fe.implied_timescales(path, [1], k=1)
    rate = 1e-6 + 1e-6  # 10^6 steps from each state, of which one leaves
    np.testing.assert_allclose(found.timescales[0, 0], -1.0 / np.log1p(-rate), rtol=1e-12)


def test_negative_and_complex_eigenvalues_have_no_timescale():
    found = fe.implied_timescales(walks(FLIP), [1], k=1)
    assert np.isnan(found.timescales).all() and found.eigenvalues[0, 0] < 0.0
    assert "lag 1, timescale 1" in found.undefined[0] and "not positive" in found.undefined[0]
    found = fe.implied_timescales(walks(CYCLE), [1, 2], k=2, reversible=False)
    assert np.isnan(found.timescales).all() and np.iscomplexobj(found.eigenvalues)
    assert len(found.undefined) == 4 and "complex" in found.undefined[0]
    assert fe.implied_timescales(walks(CYCLE), [1], k=2).eigenvalues.dtype == float


def test_states_that_are_not_connected_at_a_lag():
    path = np.array([0, 1, 0, 1, 1, 2, 0, 0, 1, 2, 2, 1, 0, 1])
    found = fe.implied_timescales(path, [1, 12], k=2)
    assert found.n_states[0] == 3 and found.n_states[1] < 3
    assert np.isnan(found.timescales[1, 1]) and "states are connected" in found.undefined[-1]
    with pytest.raises(fe.InvalidChainError, match="k = 3 timescales need 4 connected states"):
        fe.implied_timescales(path, [1], k=3)


def test_bootstrap_of_timescales():
    paths = walks(P)
    found = fe.implied_timescales(paths, [1, 3], k=2, bootstrap=20, rng=1)
    assert (found.lower < found.timescales).all() and (found.timescales < found.upper).all()
    assert not found.n_undefined.any()
    again = fe.implied_timescales(paths, [3], k=2, bootstrap=20, rng=1, num_threads=2)
    np.testing.assert_array_equal(again.lower[0], found.lower[1])
    known = fe.bootstrap(
        paths,
        lambda chain: -3.0 / np.log(fe.eigenpairs(chain, 2).eigenvalues[1]),
        n=60,
        lag=3,
        reversible=True,
        rng=2,
    )
    width = found.upper[1, 0] - found.lower[1, 0]
    assert 0.4 < width / (known.upper - known.lower) < 2.0
    flips = fe.implied_timescales(walks(FLIP), [1], k=1, bootstrap=5, rng=1)
    assert flips.n_undefined.tolist() == [[5]] and np.isnan(flips.lower).all()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"lags": []}, "lags must be a list"),
        ({"lags": [0]}, "each of lags must be at least 1"),
        ({"lags": [1, 5000]}, "lag = 5000"),
        ({"k": 0}, "k must be at least 1"),
        ({"bootstrap": 1}, "bootstrap must be 0 or at least 2"),
        ({"time_unit": "-1 ns"}, "time_unit must be"),
        ({"trajectories": [walks(P)[0]], "bootstrap": 5}, "at least two"),
    ],
)
def test_refusals_of_timescales(options, text):
    given = {"trajectories": walks(P), "lags": [1], "k": 1} | options
    with pytest.raises(fe.InvalidChainError, match=text):
        fe.implied_timescales(given.pop("trajectories"), given.pop("lags"), **given)


def test_powers_against_estimates():
    """Predictions and estimates of crisp sets, from their definitions."""
    paths = walks(P)
    test = fe.chapman_kolmogorov(paths, 2, [[0], [2, 1]], [3, 1], reversible=False)

    def chain(lag):
        counts = np.zeros((3, 3))
        for x in paths:
            np.add.at(counts, (x[:-lag], x[lag:]), 1.0)
        return counts / counts.sum(axis=1, keepdims=True)

    first = chain(2)
    pi = fe.stationary(fe.MarkovChain(first)).pi
    chi = np.array([[1, 0], [0, 1], [0, 1]], float)
    start = (pi[:, None] * chi) / (pi @ chi)
    for i, m in enumerate([3, 1]):
        power = np.linalg.matrix_power(first, m)
        np.testing.assert_allclose(test.predicted[i], start.T @ power @ chi, rtol=1e-12)
        np.testing.assert_allclose(test.estimated[i], start.T @ chain(2 * m) @ chi, rtol=1e-12)
    assert test.largest_difference == np.abs(test.predicted - test.estimated).max()
    np.testing.assert_array_equal(test.predicted[1], test.estimated[1])
    np.testing.assert_allclose(test.start_fraction, 1.0)


def test_memberships_and_sets_that_leave_states_out():
    paths = walks(P)
    given = np.array([[0.9, 0.1], [0.2, 0.8], [0.0, 1.0]])
    test = fe.chapman_kolmogorov(paths, 1, given, 2)
    np.testing.assert_allclose(test.predicted.sum(axis=2), 1.0)
    np.testing.assert_array_equal(test.memberships, given)
    assert (fe.chapman_kolmogorov(paths, 1, [[0], [1]], 2).predicted.sum(axis=2) < 1.0).all()
    found = fe.chapman_kolmogorov(paths, 1, 2, 2, time_unit="ns")
    assert found.predicted.shape == (2, 2, 2) and found.time_unit == "ns"


def test_memory_is_seen():
    """Copying each of two steps hides half of the transitions: not Markov at lag 1."""
    path = np.repeat(fe.simulate(fe.MarkovChain(FLIP), 20_000, rng=0)[0], 2)
    assert fe.chapman_kolmogorov(path, 1, [[0], [1]], 4).largest_difference > 0.2
    assert fe.chapman_kolmogorov(path[::2], 1, [[0], [1]], 4).largest_difference < 0.05


def test_bootstrap_of_the_test():
    test = fe.chapman_kolmogorov(walks(P), 1, [[0], [1, 2]], 3, bootstrap=12, rng=0)
    for name in ("predicted", "estimated"):
        low, high = getattr(test, f"{name}_lower"), getattr(test, f"{name}_upper")
        value = getattr(test, name)
        assert (low < high).all() and ((low < value) & (value < high)).mean() > 0.8
    assert not test.n_failed.any()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"sets": []}, "sets is empty"),
        ({"sets": [[]]}, "target is empty"),
        ({"sets": [[0], [0, 1]]}, "state 0 is in two"),
        ({"sets": [[7]]}, "7"),
        ({"sets": np.full((3, 2), 0.7)}, "row 0 of the memberships"),
        ({"sets": np.full((2, 2), 0.5)}, r"shape \(n_states, k\)"),
        ({"sets": 1}, "k must be at least 2"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"steps": [1, 0]}, "each of steps"),
        ({"steps": []}, "steps is empty"),
        ({"steps": 5000}, "lag = "),
        ({"lag": 0}, "lag must be at least 1"),
    ],
)
def test_refusals_of_the_test(options, text):
    given = {"lag": 1, "sets": [[0], [1]], "steps": 2} | options
    with pytest.raises(fe.InvalidChainError, match=text):
        fe.chapman_kolmogorov(walks(P, 300), given["lag"], given["sets"], given["steps"])


def test_a_set_that_is_not_connected():
    path = np.array([0, 1, 0, 1, 1, 0, 2])
    with pytest.raises(fe.InvalidChainError, match="set 1 holds no state of the connected set"):
        fe.chapman_kolmogorov(path, 1, [[0, 1], [2]], 1)


def test_deeptimes_double_well(double_well):
    path, _ = double_well
    lags = [1, 5, 20]
    models = [deeptime_chain(path, lag) for lag in lags]
    found = fe.implied_timescales(path, lags, k=5)
    for row, values, model in zip(found.timescales, found.eigenvalues, models, strict=True):
        want = np.sort(model.eigenvalues())[::-1][1:]
        np.testing.assert_allclose(values, want, rtol=1e-8, atol=1e-12)
        defined = want > 0.0  # deeptime takes the modulus of negative eigenvalues
        np.testing.assert_allclose(row[defined], model.timescales(k=5)[: defined.sum()], rtol=1e-8)
        assert np.isnan(row[~defined]).all() and defined.sum() >= 3
    models = [deeptime_chain(path, 10 * m) for m in (1, 2, 4)]
    want = models[0].ck_test(models, 2, include_lag0=False)
    test = fe.chapman_kolmogorov(path, 10, models[0].pcca(2).memberships, [1, 2, 4])
    np.testing.assert_allclose(test.predicted, want.predictions, atol=1e-10)
    np.testing.assert_allclose(test.estimated, want.estimates, atol=1e-10)

"""Hitting times by simulation against closed forms."""

import json
import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
from walks import (
    N_SIGMA,
    assert_mean,
    assert_survival,
    comparable,
    cycle,
    random_chain,
    ruin,
    two_states,
)

import fastebm as fe
from fastebm.simulation.walkers import WALKERS_PER_ROUND

# --- closed forms ---------------------------------------------------------------------------------


@pytest.mark.parametrize("a", [0.9, 0.3, 0.01])
def test_two_states_have_the_geometric_law(a):
    sample = fe.simulate_hitting_times(two_states(a, 0.5), [1], start=0, n_walkers=20_000, rng=1)
    assert_mean(sample, 1 / a)
    assert_survival(sample, lambda t: (1 - a) ** t)
    assert sample.n_steps_total == round(sample.mean * 20_000)
    exact = {q: np.ceil(np.log1p(-q) / np.log1p(-a) - 1e-9) for q in sample.quantiles}
    assert all(abs(value - exact[q]) <= 0.1 * exact[q] + 1 for q, value in sample.quantiles.items())


@pytest.mark.parametrize(
    ("n", "d", "holding"), [(30, 1, 0.0), (30, 15, 0.0), (30, 7, 0.6), (201, 20, 0.25)]
)
def test_cycle(n, d, holding):
    sample = fe.simulate_hitting_times(cycle(n, holding), [0], start=d, n_walkers=5_000, rng=d)
    assert_mean(sample, d * (n - d) / (1 - holding))


def test_lazy_chain_walks_by_its_shift():
    sample = fe.simulate_hitting_times(two_states(0.4, 0.2).lazy(0.75), [1], start=0, rng=3)
    assert_mean(sample, 1 / (0.4 * 0.25))


def test_tilted_chain_walks_by_its_scalings():
    chain = fe.tilt(random_chain(60, 5, np.random.default_rng(4)), np.linspace(0, 1, 60), 0.2)
    P = chain.to_scipy().toarray()
    mean = np.linalg.solve(np.eye(59) - P[:59, :59], np.ones(59))
    sample = fe.simulate_hitting_times(chain, [59], start=0, n_walkers=5_000, rng=5)
    assert_mean(sample, mean[0])


def test_random_chain_from_pi():
    chain = random_chain(50, 4, np.random.default_rng(6))
    P, pi = chain.to_scipy().toarray(), fe.stationary(chain).pi
    mean = np.append(0, np.linalg.solve(np.eye(49) - P[1:, 1:], np.ones(49)))
    sample = fe.simulate_hitting_times(chain, [0], rng=7)
    assert_mean(sample, pi @ mean)
    assert sample.unseen_mass == pytest.approx(pi[pi < 3e-4].sum(), abs=0.0)
    assert sample.blind_mass == pytest.approx(3e-4, rel=0.01, abs=0.0)


def test_starting_on_the_target_takes_no_step():
    sample = fe.simulate_hitting_times(cycle(10), [3, 4], start=[3, 4], n_walkers=7, rng=0)
    assert (sample.mean, sample.n_steps_total, sample.std, sample.ci) == (0.0, 0, 0.0, (0.0, 0.0))
    assert sample.survival.times.tolist() == [0] and sample.survival.probability.tolist() == [0.0]


def test_one_walker_has_no_spread():
    sample = fe.simulate_hitting_times(cycle(10), [0], start=5, n_walkers=1, rng=0)
    assert np.isnan(sample.std) and sample.ci == (0.0, np.inf)


# --- censoring, and walkers that never arrive -----------------------------------------------------


def test_censored_walkers_are_counted_and_bound_the_mean():
    with pytest.warns(fe.ConvergenceWarning, match="max_steps=50"):
        sample = fe.simulate_hitting_times(two_states(0.01, 0.5), [1], start=0, max_steps=50, rng=8)
    alive = 0.99**50
    assert abs(sample.n_censored - 10_000 * alive) < N_SIGMA * np.sqrt(10_000 * alive * (1 - alive))
    assert sample.mean_is_lower_bound and not sample.converged
    restricted = sum(0.99**t for t in range(50))
    assert abs(sample.mean - restricted) < N_SIGMA * sample.std / 100
    assert sample.ci[0] < restricted and sample.ci[1] == np.inf
    assert_survival(sample, lambda t: 0.99**t)
    assert sample.survival.times[-1] <= 50
    assert sample.quantiles[0.25] == pytest.approx(29, abs=3) and np.isnan(sample.quantiles[0.5])
    json.dumps(sample.to_dict(), allow_nan=False)


def test_limit_of_exactly_the_distance_censors_nobody():
    chain = fe.MarkovChain(sp.csr_array(np.roll(np.eye(6), 1, axis=1)))
    assert (
        fe.simulate_hitting_times(chain, [5], start=0, n_walkers=9, max_steps=5, rng=0).mean == 5.0
    )
    with pytest.warns(fe.ConvergenceWarning):
        assert (
            fe.simulate_hitting_times(
                chain, [5], start=0, n_walkers=9, max_steps=4, rng=0
            ).n_censored
            == 9
        )


def test_ruined_walkers_never_arrive():
    """From x the walk reaches n before 0 with probability x/n, and then in (n^2 - x^2)/3 steps on
    average (LP, exercises 2.1 and 3.1)."""
    n, x = 12, 4
    sample = fe.simulate_hitting_times(ruin(n), [n], start=x, n_walkers=20_000, rng=9)
    assert abs(sample.n_never / 20_000 - (1 - x / n)) < N_SIGMA * np.sqrt(
        x / n * (1 - x / n) / 20_000
    )
    assert sample.mean == np.inf and sample.ci == (np.inf, np.inf) and sample.converged
    n_hits = 20_000 - sample.n_never
    assert abs(sample.mean_given_hit - (n**2 - x**2) / 3) < N_SIGMA * 40 / np.sqrt(n_hits)
    assert sample.survival.probability[-1] == pytest.approx(sample.n_never / 20_000, abs=1e-12)
    assert sample.quantiles[0.95] == np.inf and np.isfinite(sample.quantiles[0.25])


def test_walkers_without_a_path_are_not_simulated():
    sample = fe.simulate_hitting_times(ruin(5), [5], start=0, n_walkers=10, rng=0)
    assert (sample.n_never, sample.n_steps_total, sample.mean) == (10, 0, np.inf)
    assert np.isnan(sample.mean_given_hit) and sample.survival.probability.tolist() == [1.0]


def test_mean_is_infinite_where_failure_is_possible_but_was_not_seen():
    sample = fe.simulate_hitting_times(ruin(40, up=0.9), [40], start=39, n_walkers=100, rng=0)
    assert sample.n_never == 0 and sample.mean == np.inf and np.isfinite(sample.mean_given_hit)


def test_first_hits_follow_the_ruin():
    """Both ends are targets: the walk from x of n arrives at n with probability x / n."""
    sample = fe.simulate_hitting_times(ruin(9), [0, 9], start=[3, 6], n_walkers=20_000, rng=27)
    assert sample.hit_states.tolist() == [0, 9] and sample.hit_counts.sum() == 20_000
    assert abs(sample.hit_counts[1] - 10_000) < N_SIGMA * np.sqrt(10_000)
    only = fe.simulate_hitting_times(ruin(9), [4, 9], start=3, rng=27)
    assert only.hit_states.tolist() == [4] and only.hit_counts[0] == 10_000 - only.n_never


# --- rounds, stopping, threads --------------------------------------------------------------------


def test_rel_ci_stops_early_and_says_when_it_could_not():
    chain = cycle(20)
    sample = fe.simulate_hitting_times(chain, [0], start=10, n_walkers=10**6, rel_ci=0.02, rng=10)
    assert 1000 <= sample.n_walkers < 30_000 and sample.converged
    assert sample.ci[1] - sample.mean <= 0.02 * sample.mean
    assert_mean(sample, 100)
    with pytest.warns(fe.ConvergenceWarning, match="rel_ci=0.001"):
        sample = fe.simulate_hitting_times(
            chain, [0], start=10, n_walkers=1500, rel_ci=0.001, rng=10
        )
    assert sample.n_walkers == 1500 and not sample.converged


@pytest.mark.parametrize("rel_ci", [None, 0.05])
def test_bits_do_not_depend_on_threads(rel_ci):
    chain = random_chain(300, 6, np.random.default_rng(11))
    arguments = {"n_walkers": 3001, "rel_ci": rel_ci, "rng": 12}
    samples = [
        comparable(fe.simulate_hitting_times(chain, [0, 17], num_threads=k, **arguments))
        for k in (1, 2, 4)
    ]
    assert samples[0] == samples[1] == samples[2]
    paths = [fe.simulate(chain, 37, n_walkers=3001, rng=12, num_threads=k) for k in (1, 2, 4)]
    assert np.array_equal(paths[0], paths[1]) and np.array_equal(paths[0], paths[2])


def test_more_walkers_than_a_round():
    sample = fe.simulate_hitting_times(
        two_states(0.5, 0.5), [1], start=0, n_walkers=WALKERS_PER_ROUND + 77, rng=13
    )
    assert sample.n_walkers == WALKERS_PER_ROUND + 77
    assert_mean(sample, 2.0)
    paths = fe.simulate(two_states(0.5, 0.5), 20, start=0, n_walkers=WALKERS_PER_ROUND + 77, rng=13)
    first = np.argmax(np.pad(paths, ((0, 0), (0, 1)), constant_values=1) == 1, axis=1)
    assert first.mean() == sample.mean  # the same walks


def test_memory_does_not_grow_with_the_walkers():
    chain, peaks = two_states(0.5, 0.5), []
    fe.simulate_hitting_times(chain, [1], start=0, n_walkers=WALKERS_PER_ROUND, rng=0)
    for n_rounds in (2, 10):
        tracemalloc.start()
        fe.simulate_hitting_times(
            chain, [1], start=0, n_walkers=n_rounds * WALKERS_PER_ROUND, rng=0
        )
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0] < 1e7


# --- arguments ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"target": [5]}, fe.InvalidChainError),
        ({"target": []}, fe.InvalidChainError),
        ({"target": np.zeros(5, dtype=bool)}, fe.InvalidChainError),
        ({"start": 5}, fe.InvalidChainError),
        ({"start": -1}, fe.InvalidChainError),
        ({"start": 0.5}, TypeError),
        ({"start": []}, fe.InvalidChainError),
        ({"n_walkers": 0}, ValueError),
        ({"n_walkers": 10.0}, TypeError),
        ({"max_steps": 0}, ValueError),
        ({"rel_ci": 0.0}, ValueError),
        ({"rel_ci": np.nan}, ValueError),
        ({"num_threads": 0}, ValueError),
        ({"rng": "seed"}, TypeError),
    ],
)
def test_bad_arguments(arguments, error):
    arguments = {"target": [0], **arguments}
    with pytest.raises(error):
        fe.simulate_hitting_times(cycle(5), arguments.pop("target"), **arguments)


def test_several_closed_classes_have_no_pi_to_start_from():
    with pytest.raises(fe.ReducibleChainError):
        fe.simulate_hitting_times(ruin(5), [5], rng=0)

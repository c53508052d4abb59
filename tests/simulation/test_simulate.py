"""Walkers against closed forms. Seeds are fixed, so nothing here is flaky; the stated false-alarm rates say how likely a
correct program was to fail for the seed at hand: 4 standard errors 6e-5 a comparison, the DKW bands 1e-6 a curve."""

import json
import shutil
import signal
import threading
import tracemalloc
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import fastebm as fe
from fastebm import _core
from fastebm.simulation.simulate import WALKERS_PER_ROUND
from fastebm.simulation.statistics import Survival
from fastebm.simulation.walkers import bit_set, uniforms

N_SIGMA = 4.0


def two_states(a, b):
    return fe.MarkovChain(sp.csr_array(np.array([[1 - a, a], [b, 1 - b]])))


def cycle(n, holding=0.0):
    step = sp.diags_array([0.5, 0.5, 0.5, 0.5], offsets=[1, -1, n - 1, 1 - n], shape=(n, n))
    return fe.MarkovChain(sp.csr_array((1 - holding) * step + holding * sp.eye_array(n)))


def ruin(n, up=0.5):
    """The gambler's walk on 0..n, absorbed at both ends."""
    P = sp.lil_array((n + 1, n + 1))
    P[0, 0] = P[n, n] = 1.0
    for x in range(1, n):
        P[x, x + 1], P[x, x - 1] = up, 1 - up
    return fe.MarkovChain(sp.csr_array(P))


def random_chain(n, degree, rng):
    P = sp.random_array(
        (n, n), density=degree / n, rng=rng, data_sampler=lambda size: rng.random(size) ** 3
    )
    P = P + sp.diags_array(np.ones(n - 1), offsets=1, shape=(n, n)) + sp.eye_array(n)
    return fe.MarkovChain(sp.csr_array(P), normalize=True)


def assert_mean(sample, exact):
    assert sample.n_censored == 0 and sample.converged and not sample.mean_is_lower_bound
    assert abs(sample.mean - exact) < N_SIGMA * sample.std / np.sqrt(sample.n_walkers)


def assert_survival(sample, exact):
    """Dvoretzky-Kiefer-Wolfowitz (constant of Massart 1990): P(sup |S - exact| > e) <= 2 exp(-2 n e^2)."""
    band = np.sqrt(np.log(2 / 1e-6) / (2 * sample.n_walkers))
    t = np.arange(sample.survival.times[-1] + 1)
    curve = sample.survival.probability[np.searchsorted(sample.survival.times, t, side="right") - 1]
    assert np.abs(curve - exact(t)).max() < band


def comparable(sample):
    fields = sample.to_dict()
    del fields["steps_per_second"]
    return json.dumps(fields)


# --- random numbers and tables -----------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(0, 2**64 - 1), min_size=2, max_size=2),
    st.lists(st.integers(0, 2**64 - 1), min_size=4, max_size=4),
)
def test_philox_is_numpys(key, counter):
    key, before = (
        np.array(key, dtype=np.uint64),
        (sum(c << 64 * i for i, c in enumerate(counter)) - 1) % 2**256,
    )
    words = np.array([before >> 64 * i & 2**64 - 1 for i in range(4)], dtype=np.uint64)
    expected = np.random.Philox(key=key, counter=words).random_raw(4)
    assert np.array_equal(_core.philox_block(key, np.array(counter, dtype=np.uint64)), expected)


def alias_table(A, values=None, row=None, col=None, shift=None):
    matrix = _core.Csr(A.indptr.astype(np.int64), A.indices.astype(np.int32), values)
    return _core.AliasKernel(_core.Scaled(_core.CsrKernel(matrix, None), row, col, shift), 2)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(1, 40),
    st.sampled_from([np.float64, np.float32, None]),
    st.booleans(),
)
def test_alias_cells_hold_the_chain(seed, n, dtype, scaled):
    """Summed by target, the cells of a row are the row; nothing absent has a share."""
    rng = np.random.default_rng(seed)
    A = sp.csr_array(sp.random_array((n, n), density=0.3, rng=rng) + sp.eye_array(n))
    values = None if dtype is None else (A.data * 10.0 ** rng.integers(-30, 1, A.nnz)).astype(dtype)
    row = col = shift = None
    if scaled:
        row, col, shift = (
            rng.random(n) + 0.1,
            10.0 ** rng.uniform(-60, 0, n),
            rng.random(n) * (rng.random(n) < 0.5),
        )
    table = alias_table(A, values, row, col, shift)
    if values is None and not scaled:
        assert table.cells is None and table.nbytes == (
            0 if table.indptr is None else table.indptr.nbytes
        )
        return
    P = A.copy()
    P.data = np.ones(A.nnz) if values is None else values.astype(np.float64)
    P = P.toarray()
    if scaled:
        P = row[:, None] * (P * col) + np.diag(shift)
    P /= P.sum(axis=1, keepdims=True)
    degree = np.diff(A.indptr) + (0 if shift is None else shift > 0)
    n_cells = degree.sum()
    if table.indptr is None:  # all rows with the cells of the longest
        degree = np.full(n, degree.max())
        assert 16 * (degree.sum() - n_cells) <= 4 * n
    cells = table.cells.ravel().view([("threshold", "u8"), ("target", "i4"), ("alias", "i4")])
    state = np.repeat(np.arange(n), degree)
    keep = np.where(cells["alias"] == cells["target"], 1.0, cells["threshold"] * 2.0**-64)
    drawn = np.zeros((n, n))
    np.add.at(drawn, (state, cells["target"]), keep / degree[state])
    np.add.at(drawn, (state, cells["alias"]), (1 - keep) / degree[state])
    assert np.abs(drawn - P).max() < 1e-14
    assert not drawn[P == 0].any()
    assert table.cells.nbytes == 16 * degree.sum()


@pytest.mark.parametrize("rows", ["even", "nearly", "uneven"])
def test_equally_likely_entries_walk_without_a_table_as_they_would_with_one(rows):
    rng = np.random.default_rng(30)
    degree = rng.integers(1, 7, 50) if rows == "uneven" else np.full(50, 4)
    degree[7] -= rows == "nearly"
    A = sp.csr_array(
        (np.ones(degree.sum()), rng.integers(0, 50, degree.sum()), np.append(0, np.cumsum(degree))),
        shape=(50, 50),
    )
    plain, tabled = alias_table(A), alias_table(A, col=np.ones(50))
    assert plain.cells is None and tabled.cells is not None
    assert (plain.indptr is None, tabled.indptr is None) == (rows == "even", rows != "uneven")
    paths = np.zeros((2, 70, 91), dtype=np.int32)
    for kernel, out in zip((plain, tabled), paths):
        _core.walk_paths(
            kernel, np.array([1, 2], dtype=np.uint64), 2, 0, 0, 90, np.arange(70) % 50, out
        )
    if rows != "nearly":  # there the row with an empty cell reads the same words in another way
        assert np.array_equal(paths[0], paths[1])
    edges = set(zip(np.repeat(np.arange(50), degree), A.indices))
    assert all(
        set(zip(out[:, :-1].ravel(), out[:, 1:].ravel())) <= edges for out in paths[:, :, 1:]
    )


# --- hitting times -----------------------------------------------------------------------------------------------------


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
    assert sample.unseen_mass == pytest.approx(pi[pi < 3e-4].sum())
    assert sample.blind_mass == pytest.approx(3e-4, rel=0.01)


def test_starting_on_the_target_takes_no_step():
    sample = fe.simulate_hitting_times(cycle(10), [3, 4], start=[3, 4], n_walkers=7, rng=0)
    assert (sample.mean, sample.n_steps_total, sample.std, sample.ci) == (0.0, 0, 0.0, (0.0, 0.0))
    assert sample.survival.times.tolist() == [0] and sample.survival.probability.tolist() == [0.0]


def test_one_walker_knows_no_spread():
    sample = fe.simulate_hitting_times(cycle(10), [0], start=5, n_walkers=1, rng=0)
    assert np.isnan(sample.std) and sample.ci == (0.0, np.inf)


# --- censoring and walkers that never arrive ----------------------------------------------------------------------------


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
    """From x of n the walk reaches n first with probability x/n, then in (n^2 - x^2)/3 steps (LP, exercise 2.1 and 3.1)."""
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


# --- rounds, stopping, threads --------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("cuts", [[], [1], [3, 4, 5], [2, 30, 31, 57]])
def test_splitting_steps_and_walkers_changes_nothing(cuts):
    chain = random_chain(100, 5, np.random.default_rng(14))
    kernel, key = chain._scaled.walker(2), np.array([1, 2], dtype=np.uint64)
    target = bit_set(np.arange(100) % 25 == 0)

    def run(cuts, parts):
        states, hit_time = np.resize(np.arange(100), 333), np.full(333, -1)
        for begin, end in zip([0, *cuts], [*cuts, 60]):
            for low, high in zip([0, *parts], [*parts, 333]):
                _core.walk_hit(
                    kernel, key, target, 2, low, begin, end, states[low:high], hit_time[low:high]
                )
        return np.concatenate([states, hit_time])

    assert np.array_equal(run([], []), run(cuts, [1, 40, 200]))


# --- trajectories ---------------------------------------------------------------------------------------------------------


def test_paths_follow_the_edges_and_their_probabilities():
    chain = random_chain(40, 4, np.random.default_rng(15))
    P = chain.to_scipy().toarray()
    paths = fe.simulate(chain, 500, start=np.arange(40), n_walkers=400, rng=16)
    assert paths.dtype == np.int32 and paths.shape == (400, 501)
    assert np.array_equal(paths[:, 0], np.resize(np.arange(40), 400))
    counts = np.zeros((40, 40))
    np.add.at(counts, (paths[:, :-1].ravel(), paths[:, 1:].ravel()), 1)
    assert not counts[P == 0].any()
    expected = counts.sum(axis=1, keepdims=True) * P
    large = expected > 20
    chi2 = ((counts - expected)[large] ** 2 / expected[large]).sum()
    assert stats.chi2.sf(chi2, large.sum() - 1) > 1e-6  # false alarm 1e-6


def test_hitting_times_are_those_of_the_recorded_paths():
    chain = random_chain(80, 5, np.random.default_rng(17))
    paths = fe.simulate(chain, 4000, n_walkers=150, rng=18)
    sample = fe.simulate_hitting_times(chain, [9, 71], n_walkers=150, rng=18)
    on_target = np.isin(paths, [9, 71])
    assert on_target.any(axis=1).all()
    hits = on_target.argmax(axis=1)
    assert sample.mean == hits.mean()
    assert np.array_equal(sample.survival.times[1:], np.unique(hits[hits > 0]))


def test_no_steps_and_one_state():
    assert fe.simulate(cycle(5), 0, start=3, rng=0).tolist() == [[3]]
    assert fe.simulate(fe.MarkovChain(sp.csr_array(np.ones((1, 1)))), 3, rng=0).tolist() == [
        [0, 0, 0, 0]
    ]


def test_starts_follow_pi():
    chain = two_states(0.3, 0.1)
    starts = fe.simulate(chain, 0, n_walkers=20_000, rng=19)[:, 0]
    assert abs(starts.mean() - 0.75) < N_SIGMA * np.sqrt(0.75 * 0.25 / 20_000)
    longer = fe.simulate(chain, 0, n_walkers=30_000, rng=19)[:20_000, 0]
    assert np.array_equal(starts, longer)


def test_starts_never_have_mass_zero():
    chain = fe.MarkovChain(
        sp.csr_array(
            np.array([[0.5, 0.5, 0, 0], [0, 0.5, 0.5, 0], [0, 0.25, 0.75, 0], [0.5, 0, 0.5, 0]])
        )
    )
    assert set(np.unique(fe.simulate(chain, 0, n_walkers=5000, rng=20))) == {1, 2}


def test_starts_follow_a_distribution():
    chain, law = cycle(12), np.append([0.0, 0.5, 0.0, 0.3, 0.0, 0.0, 0.2], np.zeros(5))
    starts = fe.simulate(chain, 0, start=law, n_walkers=20_000, rng=25)[:, 0]
    assert (
        np.abs(np.bincount(starts, minlength=12) - 20_000 * law)
        < N_SIGMA * np.sqrt(20_000 * law * (1 - law)) + 1e-9
    ).all()
    sample = fe.simulate_hitting_times(chain, [0], start=law, rng=26)
    d = np.arange(12)
    assert_mean(sample, law @ (d * (12 - d)))
    assert sample.unseen_mass == 0.0 and sample.blind_mass == pytest.approx(3e-4, rel=0.01)
    for bad in (law * 0.5, law[:-1], -law):
        with pytest.raises(fe.InvalidChainError, match="start"):
            fe.simulate_hitting_times(chain, [0], start=bad)


@pytest.mark.parametrize("first", [0, 1, 6, 4096])
def test_uniforms_are_one_stream_wherever_it_is_entered(first):
    key = np.array([3, 4], dtype=np.uint64)
    assert np.array_equal(uniforms(key, 1, first, 9), uniforms(key, 1, 0, first + 9)[first:])
    assert not np.array_equal(uniforms(key, 1, first, 9), uniforms(key, 2, first, 9))
    assert not np.array_equal(uniforms(key, 1, first, 9), uniforms(key, 1, first, 9, lane=1))


def test_given_starts_that_no_walker_was_dealt():
    sample = fe.simulate_hitting_times(cycle(10), [0], start=[1, 2, 3, 4], n_walkers=3, rng=0)
    assert sample.unseen_mass == 0.25 and sample.blind_mass == 0.0


# --- arguments ------------------------------------------------------------------------------------------------------------


def test_rng_follows_spec_7():
    chain = cycle(12)
    by_int, by_generator, by_sequence, by_bits = (
        fe.simulate(chain, 30, n_walkers=5, rng=rng)
        for rng in (5, np.random.default_rng(5), np.random.SeedSequence(5), np.random.PCG64(5))
    )
    assert (
        np.array_equal(by_int, by_generator)
        and np.array_equal(by_int, by_sequence)
        and np.array_equal(by_int, by_bits)
    )
    for rng in (np.random.default_rng(5), None):
        first, second = (fe.simulate(chain, 30, n_walkers=5, rng=rng) for _ in range(2))
        assert not np.array_equal(first, second)


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


def test_bad_arguments_of_simulate():
    for arguments in ({"n_steps": -1}, {"n_steps": 1, "n_walkers": 0}, {"n_steps": 1, "start": 9}):
        with pytest.raises(ValueError):
            fe.simulate(cycle(5), **arguments)
    with pytest.raises(TypeError, match="MarkovChain"):
        fe.simulate(np.eye(3), 1)
    with pytest.raises(fe.MemoryForecastError):
        fe.simulate(cycle(5), 10**9, n_walkers=10**9)


def test_several_closed_classes_have_no_pi_to_start_from():
    with pytest.raises(fe.ReducibleChainError):
        fe.simulate_hitting_times(ruin(5), [5], rng=0)


def test_superior_states():
    assert fe.superior_states([1.0, 3.0, -np.inf, 2.0], 2.0).tolist() == [False, True, False, True]
    assert fe.superior_states(np.arange(4), 9).tolist() == [False] * 4
    with pytest.raises(ValueError, match="nan"):
        fe.superior_states([1.0, np.nan], 0.0)
    with pytest.raises(ValueError, match="shape"):
        fe.superior_states(np.ones((2, 2)), 0.0)


def test_survival_quantile():
    def survival(times, probability):
        none = np.zeros(len(times))
        return Survival(np.array(times), np.array(probability), none, none, none, 0.0)

    curve = survival([0, 2, 5], [1.0, 0.5, 0.0])
    assert [curve.quantile(q) for q in (0.0, 0.3, 0.5, 0.51, 1.0)] == [0.0, 2.0, 2.0, 5.0, 5.0]
    assert np.isnan(survival([0], [1.0]).quantile(0.5))


# --- bindings, progress, interruption -----------------------------------------------------------------------------------


def test_core_checks_lengths_and_states():
    kernel, key, target = (
        cycle(70)._scaled.walker(1),
        np.zeros(2, dtype=np.uint64),
        np.zeros(2, dtype=np.uint64),
    )
    states, hit_time = np.zeros(3, dtype=np.int64), np.full(3, -1)
    for bad in (
        {"key": key[:1]},
        {"target_bits": target[:1]},
        {"hit_time": hit_time[:2]},
        {"t_end": -1},
        {"num_threads": 0},
    ):
        arguments = {
            "key": key,
            "target_bits": target,
            "t_end": 3,
            "hit_time": hit_time,
            "num_threads": 1,
            **bad,
        }
        with pytest.raises(ValueError):
            _core.walk_hit(kernel, first_walker=0, t_begin=0, states=states, **arguments)
    with pytest.raises(fe.InvalidChainError, match="walker"):
        _core.walk_hit(kernel, key, target, 1, 0, 0, 3, np.array([0, 70, 1]), hit_time)
    with pytest.raises(ValueError, match="paths"):
        _core.walk_paths(kernel, key, 1, 0, 0, 3, states, np.zeros((3, 3), dtype=np.int32))
    wide, narrow = np.zeros((3, 9), dtype=np.int64), np.zeros((3, 9), dtype=np.int32)
    for paths in (wide, narrow):
        _core.walk_paths(kernel, key, 1, 0, 0, 8, states.copy(), paths)
    assert np.array_equal(wide, narrow)
    watch = {
        "streams": np.arange(3),
        "t_begin": 0,
        "t_end": 3,
        "states": states,
        "stop_time": hit_time,
    }
    score, place = np.zeros(70), np.zeros(3)
    for bad in (
        {"streams": np.arange(2)},
        {"streams": np.array([0, -1, 2])},
        {"score": score},
        {"weight": score},
        {"score": score[:9], "level": place, "best": place},
        {"score": score, "level": place[:2], "best": place},
        {"weight": score, "sum": place[:2]},
        {"sum": place},
    ):
        with pytest.raises(ValueError):
            _core.walk_watch(kernel, key, target, 1, **{**watch, **bad})
    with pytest.raises(NotImplementedError):
        plain = _core.CsrKernel(cycle(70)._scaled.pattern.matrix, None)
        _core.walk_hit(plain, key, target, 1, 0, 0, 3, states, hit_time)


class StopAfter:
    """A callback that raises KeyboardInterrupt at its n-th call."""

    def __init__(self, n):
        self.left = n

    def __call__(self, info):
        assert info["wall_s"] >= 0 and info["step"] >= 0
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def test_interrupted_sample_is_censored_where_it_stood():
    with pytest.raises(fe.Interrupted) as caught:
        fe.simulate_hitting_times(
            two_states(0.002, 0.5), [1], start=0, rng=21, callback=StopAfter(3)
        )
    partial = caught.value.partial
    assert partial.n_walkers == 10_000 and 0 < partial.n_censored < 10_000
    assert partial.mean_is_lower_bound and not partial.converged
    assert_survival(partial, lambda t: 0.998**t)


def test_interruption_between_walking_and_noting_it_leaves_no_bias(monkeypatch):
    """The signal arrives after the core's second call, before its last step is known: arrivals beyond the first are left out."""
    walk_hit, stop, ends = _core.walk_hit, StopAfter(2), []

    def interrupted(*arguments):
        walk_hit(*arguments)
        ends.append(arguments[6])
        stop({"wall_s": 0, "step": 0})

    monkeypatch.setattr(_core, "walk_hit", interrupted)
    with pytest.raises(fe.Interrupted) as caught:
        fe.simulate_hitting_times(two_states(0.02, 0.5), [1], start=0, rng=24)
    partial = caught.value.partial
    assert ends[0] < ends[1] and partial.survival.times[-1] == ends[0]
    assert_survival(partial, lambda t: 0.98**t)


@pytest.mark.parametrize("arguments", [{}, {"rel_ci": 0.05}, {"max_steps": 100}], ids=str)
@pytest.mark.parametrize("calls", [1, 4, 7])
def test_resume_gives_the_same_bits(arguments, calls, tmp_path, monkeypatch):
    """Interrupted within rounds and between them, more than once."""
    monkeypatch.setattr("fastebm.simulation.hitting_run.WALKERS_PER_ROUND", 1000)
    path, n_pieces = tmp_path / "state.npz", 0

    def call(**more):
        return fe.simulate_hitting_times(
            cycle(20), [0, 3], start=[10, 5], n_walkers=3500, rng=28, **arguments, **more
        )

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fe.ConvergenceWarning)
        whole = call()
        resumed = None
        while resumed is None:
            try:
                resumed = call(checkpoint=path, callback=StopAfter(calls))
            except fe.Interrupted as caught:
                assert path.exists() and caught.partial.n_walkers <= 3500
                n_pieces += 1
    assert n_pieces > 0 and comparable(resumed) == comparable(whole) and not path.exists()


def test_a_signal_within_the_core_is_resumed_to_the_same_bits(tmp_path, monkeypatch):
    walk_hit, path = _core.walk_hit, tmp_path / "state.npz"

    def call(**more):
        return fe.simulate_hitting_times(two_states(0.02, 0.5), [1], start=0, rng=29, **more)

    stop = StopAfter(2)

    def interrupted(*arguments):
        walk_hit(*arguments)
        stop({"wall_s": 0, "step": 0})

    with monkeypatch.context() as patch, pytest.raises(fe.Interrupted):
        patch.setattr(_core, "walk_hit", interrupted)
        call(checkpoint=path)
    assert comparable(call(checkpoint=path)) == comparable(call())


def test_without_a_seed_a_resumed_run_goes_on_with_its_own_numbers(tmp_path):
    path, other = tmp_path / "state.npz", tmp_path / "copy.npz"
    with pytest.raises(fe.Interrupted):
        fe.simulate_hitting_times(cycle(20), [0], checkpoint=path, callback=StopAfter(2))
    shutil.copy(path, other)
    first, second = (fe.simulate_hitting_times(cycle(20), [0], checkpoint=p) for p in (path, other))
    assert comparable(first) == comparable(second)


def test_a_checkpoint_of_other_arguments_is_refused(tmp_path):
    path = tmp_path / "state.npz"
    with pytest.raises(fe.Interrupted):
        fe.simulate_hitting_times(cycle(20), [0], rng=1, checkpoint=path, callback=StopAfter(2))
    for chain, arguments in (
        (cycle(21), {}),
        (cycle(20), {"rng": 2}),
        (cycle(20), {"n_walkers": 5}),
        (cycle(20), {"start": 3}),
    ):
        with pytest.raises(fe.InvalidChainError, match="another call"):
            fe.simulate_hitting_times(chain, [0], checkpoint=path, **{"rng": 1, **arguments})


def test_interrupted_paths_are_marked_where_nobody_has_been():
    with pytest.raises(fe.Interrupted) as caught:
        fe.simulate(cycle(9), 300, n_walkers=WALKERS_PER_ROUND + 5, rng=22, callback=StopAfter(2))
    partial = caught.value.partial
    reached = (partial[0] >= 0).sum()
    assert (
        16 < reached < 301
        and (partial[:WALKERS_PER_ROUND, :reached] >= 0).all()
        and (partial[:, reached:] == -1).all()
    )
    assert (partial[WALKERS_PER_ROUND:, 0] >= 0).all() and (
        partial[WALKERS_PER_ROUND:, 1:] == -1
    ).all()


def test_ctrl_c_is_answered():
    timer = threading.Timer(0.5, signal.raise_signal, [signal.SIGINT])
    timer.start()
    try:
        with pytest.raises(fe.Interrupted) as caught:
            fe.simulate_hitting_times(
                two_states(1e-12, 0.5), [1], start=0, max_steps=10**12, rng=23
            )
    finally:
        timer.cancel()
    assert caught.value.partial.n_censored > 0


def test_progress_counts_all_walkers(capsys):
    infos = []
    fe.simulate_hitting_times(
        cycle(9), [0], start=4, n_walkers=500, rng=0, progress=True, callback=infos.append
    )
    seen = [info["done"] for info in infos]
    assert seen == sorted(seen) and seen[-1] == 500
    assert "simulate_hitting_times" in capsys.readouterr().err

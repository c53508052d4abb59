"""Recorded trajectories."""

import numpy as np
import pytest
import scipy.sparse as sp
from interruptions import StopAfter
from scipy import stats
from walks import cycle, random_chain

import fastebm as fe
from fastebm.simulation.walkers import WALKERS_PER_ROUND


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


def test_bad_arguments_of_simulate():
    for arguments in ({"n_steps": -1}, {"n_steps": 1, "n_walkers": 0}, {"n_steps": 1, "start": 9}):
        with pytest.raises(ValueError):
            fe.simulate(cycle(5), **arguments)
    with pytest.raises(TypeError, match="MarkovChain"):
        fe.simulate(np.eye(3), 1)
    with pytest.raises(fe.MemoryForecastError):
        fe.simulate(cycle(5), 10**9, n_walkers=10**9)


def test_superior_states():
    assert fe.superior_states([1.0, 3.0, -np.inf, 2.0], 2.0).tolist() == [False, True, False, True]
    assert fe.superior_states(np.arange(4), 9).tolist() == [False] * 4
    with pytest.raises(ValueError, match="nan"):
        fe.superior_states([1.0, np.nan], 0.0)
    with pytest.raises(ValueError, match="shape"):
        fe.superior_states(np.ones((2, 2)), 0.0)


def test_interrupted_paths_are_marked_where_no_walker_has_been():
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


def test_a_resumed_walk_goes_on_from_where_the_walkers_were(tmp_path):
    # on a cycle walkers with the same random numbers never meet, unlike on most chains
    options = {"start": [0, 100], "n_walkers": 4, "rng": 5}
    expected = fe.simulate(cycle(301), 30_000, **options)
    checkpoint = tmp_path / "walk"

    def stop(info):
        if info["step"] < 30_000:
            raise KeyboardInterrupt

    with pytest.raises(fe.Interrupted) as caught:
        fe.simulate(cycle(301), 30_000, **options, checkpoint=checkpoint, callback=stop)
    assert (caught.value.partial == -1).any()
    assert np.array_equal(
        fe.simulate(cycle(301), 30_000, **options, checkpoint=checkpoint), expected
    )

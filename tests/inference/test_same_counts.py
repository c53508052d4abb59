"""Random trajectories with the transition counts of given ones, and `markov_test`."""

from collections import Counter
from itertools import pairwise, permutations

import numpy as np
import pytest
from scipy import stats

import fastebm as fe
from fastebm.inference.same_counts import SameCounts, same_counts


def transitions(trajectories):
    return Counter((int(a), int(b)) for x in trajectories for a, b in pairwise(x))


def equally_likely(x):
    """All trajectories with the start and the transitions of `x`, by enumeration."""
    wanted = transitions([x])
    rest = set(permutations(x[1:]))
    return {(x[0], *y) for y in rest if transitions([(x[0], *y)]) == wanted}


@pytest.mark.parametrize(
    "x", [(0, 0, 1, 0, 1, 1, 2, 0), (0, 1, 2, 0, 2, 1, 0), (2, 2, 0, 2, 1, 1, 2, 1)]
)
def test_every_trajectory_with_the_counts_is_equally_likely(x):
    """Chi-square test with 4,000 draws; false-alarm rate 1e-3."""
    every, random = equally_likely(x), np.random.default_rng(1)
    found = Counter(tuple(same_counts(np.array(x), random).tolist()) for _ in range(4000))
    assert set(found) == every and len(every) > 2
    assert stats.chisquare([found[y] for y in every]).pvalue > 1e-3


def test_starts_lengths_and_counts_are_kept():
    rng = np.random.default_rng(2)
    data = [rng.integers(3, 7, length) for length in (1, 2, 9, 9, 9, 30, 30, 3)]
    sets = SameCounts(data, rng)
    for _ in range(5):
        drawn = sets.draw(rng)
        assert transitions(drawn) == transitions(data)
        starts = [sorted((len(x), int(x[0])) for x in y) for y in (drawn, data)]
        assert starts[0] == starts[1]
    assert not all(np.array_equal(x, y) for x, y in zip(drawn, sorted(data, key=len), strict=True))


@pytest.mark.parametrize("n_walkers, n_steps", [(60, 25), (1, 1500)])
def test_size_where_triples_are_sparse(n_walkers, n_steps):
    """Less than one triple per degree of freedom: of 30 Markov data sets, a test of size 1/10
    rejects more than 10 with probability 1e-4. Data sets simulated from the fitted chain have fewer
    transitions than the data, and rejected all 30."""
    n, i = 15, np.arange(15)
    rejected = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        weights = np.exp(-abs(i[:, None] - i) / 3) * rng.uniform(0.5, 1.5, (n, n))
        chain = fe.MarkovChain(weights, normalize=True)
        data = list(fe.simulate(chain, n_steps, n_walkers=n_walkers, rng=seed))
        test = fe.markov_test(data, lags=(2,), n_bootstrap=9, rng=seed)
        assert test.n_triples < test.dof
        rejected += test.p_value <= 0.1
    assert rejected <= 10


def test_memory_is_found_across_short_trajectories():
    """Steps that go on in one direction; each trajectory is too short to show it."""
    rng = np.random.default_rng(3)
    data = []
    for _ in range(300):
        steps = np.where(rng.random(6) < 0.8, rng.choice([1, 4]), rng.choice([1, 4], 6))
        data.append(np.cumsum(np.r_[rng.integers(5), steps]) % 5)
    assert fe.markov_test(data, lags=(2,), n_bootstrap=99, rng=0).p_value == 0.01


def test_lags_in_any_order():
    """The distance at a lag does not depend on the other lags."""
    data = [np.random.default_rng(4).integers(0, 3, 200)]
    both, one = (fe.markov_test(data, lags=x, n_bootstrap=1, rng=0) for x in ((3, 2), (2,)))
    assert both.lags[1]["distance"] == one.lags[0]["distance"]

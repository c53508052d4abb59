"""Walkers on computed lattices."""

import numpy as np
import pytest
import reference

import fastebm as fe
from fastebm import _core


def test_untilted_walkers_take_the_step_chosen_by_the_random_word():
    """The moves are numbered by axis, the last axis first, down before up. The high product of word
    and degree chooses one, without a table."""
    chain, key = fe.Torus((5, 7)), np.array([11, 12], np.uint64)
    kernel, paths = chain._scaled.walker(1), np.zeros((9, 101), np.int32)
    states = np.arange(9)
    paths[:, 0] = states
    _core.walk_paths(kernel, key, 1, 0, 0, 100, states, paths)
    for w in range(9):
        i, j = divmod(w, 7)
        for t, word in enumerate(reference.walker_words(key, w, 100)):
            k = word * 4 >> 64
            i, j = (i, (j + 2 * k - 1) % 7) if k < 2 else ((i + 2 * k - 5) % 5, j)
            assert paths[w, t + 1] == 7 * i + j


@pytest.mark.parametrize(
    "chain",
    [
        fe.Hypercube(4, holding=0.3),
        fe.tilt(fe.Hypercube(4, self_loop=True), np.arange(16) / 4, 1.0),
        fe.Torus((3, 4), self_loop=True),
        fe.tilt(fe.Torus((2, 1, 4)), np.sin(np.arange(8)), 0.5),
        fe.HammingGraph(2, 4, holding=0.1),
        fe.tilt(fe.HammingGraph(2, 4), np.arange(16) % 5, 2.0),
    ],
    ids=[
        "cube, holding",
        "tilted cube",
        "torus, self-loop",
        "tilted flat torus",
        "hamming, holding",
        "tilted hamming",
    ],
)
def test_walkers_step_with_the_probabilities_of_P(chain):
    """Pearson's statistic of 20,000 first steps from each of two states; a correct walk fails
    once in 10^6 tests."""
    from scipy.stats import chi2

    P, n = chain.to_scipy().toarray(), 20_000
    for start in (0, chain.n_states - 3):
        first = fe.simulate(chain, 1, start=start, n_walkers=n, rng=5)[:, 1]
        count = np.bincount(first, minlength=chain.n_states)
        assert not count[P[start] == 0].any()
        mean = n * P[start][P[start] > 0]
        assert ((count[P[start] > 0] - mean) ** 2 / mean).sum() < chi2.isf(5e-7, len(mean) - 1)


def test_walkers_do_not_depend_on_threads_and_meet_the_solution():
    chain = fe.tilt(fe.Torus((9, 9)), np.cos(np.arange(81)), 1.0)
    found = [
        fe.simulate_hitting_times(
            chain, [40], start=0, n_walkers=4000, max_steps=10**6, rng=2, num_threads=k
        )
        for k in (1, 2, 4)
    ]
    assert found[0].mean == found[1].mean == found[2].mean
    # 5 standard errors: a correct walk fails once in 10^6 tests
    assert abs(found[0].mean - fe.hitting_times(chain, [40]).mean[0]) < 5 * found[0].std / np.sqrt(
        4000
    )


def test_long_rows_are_walked_by_tables():
    chain = fe.tilt(fe.HammingGraph(1, 2100), np.zeros(2100), 1.0)
    paths = fe.simulate(chain, 30, start=0, n_walkers=50, rng=0)
    assert "stored copy" in chain.storage and (paths[:, 1:] != paths[:, :-1]).all()
    assert "stored copy" not in (plain := fe.HammingGraph(1, 2100)).storage
    assert (
        fe.simulate(plain, 3, start=0, rng=0).shape == (1, 4) and "stored copy" not in plain.storage
    )

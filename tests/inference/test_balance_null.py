"""The law of the counts under detailed balance that `balance_test` draws from, against enumeration,
and the size of its p-values where counts are few, uneven, or counted along trajectories."""

from collections import Counter
from itertools import product
from math import factorial, prod

import numpy as np
import pytest
from scipy import stats

import fastebm as fe
from fastebm import balance_test
from fastebm.counts.matrix import CountMatrix
from fastebm.inference.balance_bootstrap import FittedCounts, balance_walk

KEY = np.array([3, 5], np.uint64)


def tables_with_the_sums_of(counts):
    """All tables with the row totals and the pair sums of the counts."""
    n = len(counts)
    pairs = [(x, y) for x in range(n) for y in range(x + 1, n) if counts[x, y] + counts[y, x]]
    sums = counts + counts.T
    for up in product(*(range(int(sums[pair]) + 1) for pair in pairs)):
        table = np.zeros((n, n), int)
        for (x, y), count in zip(pairs, up, strict=True):
            table[x, y], table[y, x] = count, sums[x, y] - count
        if (table.sum(axis=1) == counts.sum(axis=1)).all():
            yield table


def number_of_trajectories(table, first, length):
    """By recursion over all of them, in exact integers."""
    if length == 0:
        return 1
    found = 0
    for y in np.flatnonzero(table[first]):
        table[first, y] -= 1
        found += number_of_trajectories(table, y, length - 1)
        table[first, y] += 1
    return found


CLOSED = np.array([[0, 2, 1, 1], [1, 0, 2, 0], [2, 1, 0, 1], [0, 1, 1, 0]])
OPEN = CLOSED + np.array([[0, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]])
ROWS = np.array([[0, 2, 1, 1], [1, 0, 2, 1], [0, 3, 0, 2], [2, 0, 1, 0]])


@pytest.mark.parametrize(
    "counts, sampling",
    ((ROWS, "rows"), (CLOSED, "rows"), (CLOSED, "trajectories"), (OPEN, "trajectories")),
)
def test_tables_have_the_conditional_law(counts, sampling):
    """Chi-square of 20,000 tables against the multinomial weights of rows, or the number of
    trajectories with these counts; false-alarm rate 1e-4."""
    weight, length = {}, int(counts.sum())
    first = 2 if counts is OPEN else 0
    for table in tables_with_the_sums_of(counts):
        weight[tuple(table.ravel())] = (
            1.0 / prod(factorial(c) for c in table.ravel().tolist())
            if sampling == "rows"
            else float(number_of_trajectories(table, first, length))
        )
    weight = {table: w for table, w in weight.items() if w > 0}
    assert len(weight) > 8
    fitted = FittedCounts(CountMatrix(counts), 1)
    walk, graph, n_tables = balance_walk(fitted, sampling), fitted.within, 20_000
    drawn = np.repeat(graph.forward[np.newaxis], n_tables, axis=0)
    walk.run(drawn, 200, KEY, 0, 0, 2)
    entries = fitted.rows * len(counts) + graph.indices
    full = np.zeros((n_tables, counts.size), int)
    full[:, entries] = drawn
    seen = Counter(map(tuple, full))
    assert set(seen) <= set(weight)
    expected = n_tables * np.array(list(weight.values())) / sum(weight.values())
    observed = np.array([seen[table] for table in weight])
    assert stats.chi2.sf(((observed - expected) ** 2 / expected).sum(), len(expected) - 1) > 1e-4, (
        observed,
        expected,
    )


@pytest.mark.parametrize("scale", (1, 1000, 10**9))
def test_one_cycle_of_any_number_of_counts(scale):
    """On a ring of three the law is one-dimensional: its standard deviation at any scale, from a
    start far away. Within five standard errors of the estimate."""
    counts = scale * np.array([[0, 9, 6], [6, 0, 9], [9, 6, 0]])
    fitted = FittedCounts(CountMatrix(counts), 1)
    walk, drawn = balance_walk(fitted, "rows"), np.tile(fitted.within.forward, (4000, 1))
    walk.run(drawn, 60, KEY, 0, 0, 2)
    sums = 15 * scale
    if scale == 1:
        z = np.arange(16)
        weight = stats.binom.pmf(z, sums, 0.5) ** 3
        deviation = np.sqrt((weight * (z - 7.5) ** 2).sum() / weight.sum())
    else:
        deviation = np.sqrt(sums / 4 / 3)
    assert (drawn == np.rint(drawn)).all() and (drawn >= 0).all()
    assert abs(drawn[:, 0].std() / deviation - 1) < 5 / np.sqrt(2 * 4000)
    assert abs(drawn[:, 0].mean() - sums / 2) < 5 * deviation / np.sqrt(4000)


# --- size -----------------------------------------------------------------------------------------


def reversible(rng, n, spread, density=1.0):
    """A reversible chain of weights exp(spread * normal), and its law."""
    weight = np.exp(spread * rng.normal(size=(n, n))) * (rng.random((n, n)) < density)
    weight = np.triu(weight, 1) + 0.05 * np.eye(n, k=1)
    weight[0, n - 1] += 0.05
    weight += weight.T
    return weight / weight.sum(axis=1, keepdims=True), weight.sum(axis=1) / weight.sum()


def rows_of(rng, P, per_row):
    return np.array([rng.multinomial(k, row) for k, row in zip(per_row, P, strict=True)])


def walked(rng, P, lengths, start=None):
    """Transition counts of trajectories of these lengths, from random states."""
    n, edges, trajectories = len(P), P.cumsum(axis=1), []
    for length in lengths:
        x = [rng.integers(n) if start is None else start]
        for u in rng.random(length):
            x.append(min(int(np.searchsorted(edges[x[-1]], u)), n - 1))
        trajectories.append(np.array(x))
    return fe.count_transitions(trajectories, n_states=n)


def torus(side):
    P, x = np.zeros((side * side, side * side)), np.arange(side * side)
    for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        P[x, ((x // side + dx) % side) * side + (x % side + dy) % side] += 0.25
    return P


def uneven(rng):
    P, pi = reversible(rng, 20, 1.5)
    return rows_of(rng, P, rng.multinomial(3000, pi))


def sparse(rng):
    P, _ = reversible(rng, 20, 0.5)
    return rows_of(rng, P, np.full(20, 8))


def uneven_law(rng):
    height = np.exp(-np.linspace(0.0, np.log(1e4), 12) / 2)
    weight = np.outer(height, height) * rng.gamma(2.0, size=(12, 12))
    weight += weight.T
    pi = weight.sum(axis=1) / weight.sum()
    return rows_of(rng, weight / weight.sum(axis=1, keepdims=True), rng.multinomial(3000, pi))


def one_trajectory(rng):
    P, _ = reversible(rng, 20, 1.0, 0.4)
    return walked(rng, P, [400], 0)


NULLS = {
    "uneven": (uneven, "rows"),
    "uneven, by default": (uneven, "trajectories"),
    "sparse": (sparse, "rows"),
    "uneven law": (uneven_law, "rows"),
    "one trajectory": (one_trajectory, "trajectories"),
    "slow trajectory": (lambda rng: walked(rng, torus(5), [150], 0), "trajectories"),
    "short trajectories": (lambda rng: walked(rng, torus(4), [10] * 20), "trajectories"),
}


@pytest.mark.parametrize("name", NULLS)
def test_size_under_the_null(name):
    """Both tests reject at most 5 % of 300 data sets under detailed balance, up to 3.3 standard
    errors: each fails for a correct program with probability 1e-3 at most (binomial). The bootstrap
    of the fit, which this replaced, rejected 24 % of the uneven ones.
    benchmarks/null_calibration.py has 2,000 of each."""
    make, sampling = NULLS[name]
    rng, n_sets = np.random.default_rng(11), 300
    p = np.array(
        [
            (test.p_value, test.cycle_p_value)
            for test in (
                balance_test(make(rng), n_bootstrap=39, rng=i, sampling=sampling)
                for i in range(n_sets)
            )
        ]
    )
    for column in p.T:
        rejected = int((column <= 0.05).sum())
        assert stats.binom.sf(rejected - 1, n_sets, 0.05) > 1e-3, rejected
        # and not for want of moves: the p-values are spread over (0, 1)
        assert 0.3 < (column <= 0.5).mean() < 0.62


def test_counts_that_cannot_circulate_give_p_one():
    """Two states have no cycle. A ring of one-way pairs is the only table with its sums but the one
    reversed, so it cannot be rejected."""
    assert balance_test([[3, 9], [8, 2]], n_bootstrap=19, rng=0).p_value == 1.0
    ring = np.roll(np.eye(4, dtype=int), 1, axis=1)
    test = balance_test(ring, n_bootstrap=99, rng=0)
    assert test.dof == 1 and test.p_value == test.cycle_p_value == 1.0
    # but three times around, it is one of the rarest
    assert balance_test(30 * ring, n_bootstrap=99, rng=0, sampling="rows").p_value == 0.01


def test_overlapping_windows_give_no_p_value():
    rng = np.random.default_rng(0)
    trajectory = rng.integers(0, 4, 400)
    overlapping = fe.count_transitions(trajectory, lag=3)
    with pytest.warns(fe.ConvergenceWarning, match='overlap.*mode="sample"'):
        test = balance_test(overlapping, n_bootstrap=19, rng=0)
    assert np.isnan(test.p_value) and np.isnan(test.cycle_p_value)
    assert not test.converged and "overlap" in test.shortfall
    apart = balance_test(fe.count_transitions(trajectory, lag=3, mode="sample"), n_bootstrap=19)
    assert apart.p_value > 0 and apart.converged and apart.shortfall == ""


def test_a_chain_that_hardly_moves_between_its_parts_says_which_law_it_used():
    """Two rings of three that were crossed once each way among 6e8 transitions."""
    counts = np.zeros((6, 6), int)
    for block in (slice(0, 3), slice(3, 6)):
        counts[block, block] = 10**8 * (1 - np.eye(3, dtype=int))
    counts[0, 3] = counts[3, 0] = 1
    with pytest.warns(fe.ConvergenceWarning, match="rarely"):
        test = balance_test(counts, n_bootstrap=19, rng=0)
    assert test.sampling == "rows" and not test.converged and "too small" in test.shortfall
    told = balance_test(counts, n_bootstrap=19, rng=0, sampling="rows")
    assert told.converged and told.p_value == test.p_value

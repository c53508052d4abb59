"""Tests of detailed balance on counts: statistics against dense linear algebra, p-values under the
null hypothesis, power, ranking."""

from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from reference import fixed_point
from scipy import stats
from strategies import strongly_connected_counts

import fastebm as fe
from fastebm import balance_test
from fastebm.inference import balance_bootstrap
from fastebm.inference.balance_bootstrap import statistics
from fastebm.inference.p_values import q_values


def reversible_rows(n, seed, concentration=2.0):
    rng = np.random.default_rng(seed)
    X = rng.gamma(concentration, size=(n, n))
    X += X.T
    return X / X.sum(axis=1, keepdims=True)


def drawn(P, per_row, rng):
    return np.array([rng.multinomial(per_row, row) for row in P])


# --- the statistics -------------------------------------------------------------------------------


@given(strongly_connected_counts(max_states=6))
def test_statistics_of_any_connected_counts(counts):
    test = balance_test(counts, n_bootstrap=1, rng=0)
    P, _ = fixed_point(counts, 20_000)
    m = counts.sum(axis=1, keepdims=True) * P
    seen = counts > 0
    assert test.statistic == pytest.approx(
        2 * (counts[seen] * np.log(counts[seen] / m[seen])).sum(), rel=1e-5, abs=1e-5
    )
    fitted = m > 0
    assert test.cycle_statistic == pytest.approx(
        (((counts - m) ** 2)[fitted] / m[fitted]).sum(), rel=1e-5, abs=1e-5
    )
    pairs = np.triu(counts + counts.T > 0, 1).sum()
    assert test.dof == pairs - len(counts) + 1 and test.n_components == 1


def test_the_wald_statistic_is_the_cycle_space_chi_square():
    """Independent derivation: log ratios of a cycle basis, with their full covariance under
    multinomial rows."""
    rng = np.random.default_rng(0)
    n = 5
    counts = drawn(reversible_rows(n, 1), 300, rng)
    assert (counts > 0).all()
    pairs = [(x, y) for x in range(n) for y in range(x + 1, n)]
    number = {pair: i for i, pair in enumerate(pairs)}
    basis = []
    for x in range(1, n):
        for y in range(x + 1, n):  # the triangle (0, x, y)
            row = np.zeros(len(pairs))
            row[number[0, x]], row[number[x, y]], row[number[0, y]] = 1, 1, -1
            basis.append(row)
    basis = np.array(basis)
    ratio = np.array([np.log(counts[x, y] / counts[y, x]) for x, y in pairs])
    jacobian = np.zeros((len(pairs), n * n))  # of the log ratios in log n
    for i, (x, y) in enumerate(pairs):
        jacobian[i, x * n + y], jacobian[i, y * n + x] = 1, -1
    total = counts.sum(axis=1)
    log_cov = (
        np.diag(1 / counts.ravel().astype(float))
        - sp.block_diag([np.full((n, n), 1 / t) for t in total]).toarray()
    )
    cov = basis @ jacobian @ log_cov @ jacobian.T @ basis.T
    expected = (basis @ ratio) @ np.linalg.solve(cov, basis @ ratio)
    test = balance_test(counts, n_bootstrap=1, rng=0)
    assert test.wald_statistic == pytest.approx(expected, rel=1e-9) and test.dof == len(basis)


def test_one_way_pairs_between_components_are_in_no_cycle():
    """Two rings and a one-way bridge: the bridge changes nothing, and each component is tested
    inside."""
    ring = np.array([[0, 60, 40], [40, 0, 60], [60, 40, 0]])
    both = np.zeros((6, 6), int)
    both[:3, :3] = both[3:, 3:] = ring
    apart = balance_test(both, n_bootstrap=99, rng=0)
    both[0, 3] = 17
    bridged = balance_test(both, n_bootstrap=99, rng=0)
    assert bridged.dof == apart.dof == 2 and bridged.n_components == 2
    assert bridged.statistic == pytest.approx(
        apart.statistic, rel=1e-12
    ) and apart.statistic == pytest.approx(2 * 12.08130813, rel=1e-8)
    assert bridged.n_one_way_pairs == 1 and bridged.one_way_counts == 17 and bridged.p_value == 0.01


def test_without_cycles_there_is_nothing_to_test():
    star = np.zeros((5, 5))
    star[0, 1:], star[1:, 0] = [5, 3, 2, 9], [40, 2, 7, 1]
    test = balance_test(star, n_bootstrap=19, rng=0)
    assert test.dof == 0 and test.p_value == test.cycle_p_value == 1.0 and test.statistic < 1e-9
    assert test.worst_edges == [] and test.worst_cycles == []
    assert balance_test(np.array([[5]]), n_bootstrap=3).p_value == 1.0


# --- p-values -------------------------------------------------------------------------------------


def test_p_values_are_uniform_under_the_null():
    """Kolmogorov-Smirnov on 200 reversible data sets, for both tests. Each fails for a correct
    program with probability 1e-3. benchmarks/null_calibration.py has 1,000 data sets with 999
    replicates each."""
    rng, p = np.random.default_rng(0), []
    for seed in range(200):
        test = balance_test(drawn(reversible_rows(6, seed), 150, rng), n_bootstrap=99, rng=seed)
        p.append((test.p_value, test.cycle_p_value))
    spread = np.random.default_rng(1).uniform(-0.01, 0, (200, 2))  # p-values are multiples of 0.01
    for column in (np.array(p) + spread).T:
        assert stats.kstest(column, "uniform").pvalue > 1e-3


def circulating_ring(n, size):
    """Steps of one circulate with an excess of `size`; rare steps of two are symmetric."""
    P = np.zeros((n, n))
    x = np.arange(n)
    for step, probability in ((1, 0.45 + size), (-1, 0.45 - size), (2, 0.05), (-2, 0.05)):
        P[x, (x + step) % n] = probability
    return P


def test_power_against_uniform_circulation_exceeds_the_published_tests():
    """Each statistic at the 95 % point of its own null, on 200 data sets: the cycle statistic
    rejects far more often than the pairs statistic, which weights rare and frequent pairs equally
    (0.77 against 0.09 on the larger ring of benchmarks/null_calibration.py)."""
    rng, n, per_row = np.random.default_rng(2), 12, 150

    def found(size):
        cycle, pairs = [], []
        for _ in range(200):
            counts = drawn(circulating_ring(n, size), per_row, rng)
            cycle.append(balance_test(counts, n_bootstrap=1, rng=0).cycle_statistic)
            pairs.append(balance_test(counts, method="pairs").statistic)
        return np.array(cycle), np.array(pairs)

    null, other = found(0.0), found(0.04)
    power = [(b > np.quantile(a, 0.95)).mean() for a, b in zip(null, other, strict=True)]
    assert power[0] > power[1] + 0.2, power


def test_the_pairs_statistic_is_the_published_sum():
    counts = np.random.default_rng(7).poisson(3.0, (9, 9)) + np.roll(
        np.eye(9, dtype=int), 1, axis=1
    )
    V = fe.fit_potential(counts).potential
    T = counts / counts.sum(axis=1, keepdims=True)
    pairs = [
        (x, y) for x in range(9) for y in range(x + 1, 9) if min(counts[x, y], counts[y, x]) > 1
    ]
    test = balance_test(counts, method="pairs")
    assert test.dof == len(pairs)
    assert test.statistic == pytest.approx(
        sum((np.log(T[x, y] / T[y, x]) - V[x] + V[y]) ** 2 for x, y in pairs), rel=1e-8
    )


def test_a_strong_circulation_is_found_where_it_is():
    """One triangle of a complete graph circulates: the triangle and its three edges are ranked
    first, and no other edge is significant."""
    P = reversible_rows(12, 3)
    triangle = [(2, 5), (5, 9), (9, 2)]
    for x, y in triangle:
        P[x, y] += 0.06
        P[y, x] = max(P[y, x] - 0.03, 0.01)
    P /= P.sum(axis=1, keepdims=True)
    test = balance_test(drawn(P, 2000, np.random.default_rng(4)), n_bootstrap=199, rng=5)
    assert test.p_value == 0.005 and sorted(test.worst_cycles[0]["states"]) == [2, 5, 9]
    assert {frozenset((e["source"], e["target"])) for e in test.worst_edges[:3]} == {
        frozenset(edge) for edge in triangle
    }
    assert (
        all(e["q_value"] < 1e-3 for e in test.worst_edges[:3])
        and test.worst_edges[4]["q_value"] > 0.05
    )
    assert (
        test.worst_cycles[0]["affinity"]
        * (1 if test.worst_cycles[0]["states"] == [2, 5, 9] else -1)
        > 0
    )


def test_q_values_are_benjamini_yekutieli():
    p = np.sort(np.random.default_rng(0).random(30) ** 3)
    np.testing.assert_allclose(
        q_values(p, 30), stats.false_discovery_control(p, method="by"), rtol=1e-12
    )
    assert (
        q_values(p[:10], 30) >= stats.false_discovery_control(p, method="by")[:10] - 1e-15
    ).all()
    big = np.sort(np.random.default_rng(1).random(500) ** 4)
    np.testing.assert_allclose(
        q_values(big, 500), stats.false_discovery_control(big, method="by"), rtol=1e-5
    )


def test_triangles_are_all_found():
    """The published triangle statistic, against three nested loops."""
    rng = np.random.default_rng(6)
    counts = rng.poisson(2.0, (14, 14))
    total, terms = 0.0, 0
    for x in range(14):
        for y in range(x + 1, 14):
            for z in range(y + 1, 14):
                six = np.array(
                    [
                        counts[x, y],
                        counts[y, z],
                        counts[z, x],
                        counts[y, x],
                        counts[z, y],
                        counts[x, z],
                    ],
                    float,
                )
                if six.all():
                    total += np.log(six[:3] / six[3:]).sum() ** 2 / (
                        (1 / six).sum() + 2 * (1 / counts.sum(axis=1)[[x, y, z]]).sum()
                    )
                    terms += 1
    test = balance_test(counts, method="triangles")
    assert test.dof == terms and test.statistic == pytest.approx(total, rel=1e-12)


def test_cycles_of_the_forest_span_the_cycle_space():
    """On a grid (no triangles) there are m - n + 1 cycles; each is closed and has the affinity of
    its own edges."""
    side = 5
    x = np.arange(side * side).reshape(side, side)
    counts = np.zeros((25, 25))
    rng = np.random.default_rng(7)
    pairs = [*zip(x[:, 1:].ravel(), x[:, :-1].ravel(), strict=True)]
    pairs += zip(x[1:].ravel(), x[:-1].ravel(), strict=True)
    for a, b in pairs:
        counts[a, b], counts[b, a] = rng.integers(1, 9, 2)
    test = balance_test(counts, n_bootstrap=1, rng=0)
    assert test.dof == 40 - 25 + 1 == len(test.worst_cycles)
    for cycle in test.worst_cycles:
        states = cycle["states"]
        steps = list(pairwise([*states, states[0]]))
        assert len(set(states)) == len(states) >= 4
        assert cycle["affinity"] == pytest.approx(
            sum(np.log(counts[a, b] / counts[b, a]) for a, b in steps), abs=1e-12
        )
        assert cycle["std_error"] ** 2 == pytest.approx(
            sum(1 / counts[a, b] + 1 / counts[b, a] for a, b in steps)
        )


# --- interruption ---------------------------------------------------------------------------------


def stop_at(n):
    """A callback that raises KeyboardInterrupt at its n-th call, and the list of its progress."""
    calls = []

    def stop(info):
        calls.append(info["done"])
        if len(calls) == n:
            raise KeyboardInterrupt

    return stop, calls


@pytest.fixture
def batched(tmp_path, monkeypatch):
    """call(**more), in batches of seven replicates, with a checkpoint unless more has one."""
    counts = drawn(reversible_rows(8, 9), 50, np.random.default_rng(10))
    monkeypatch.setattr(balance_bootstrap, "TABLES_AT_ONCE", 7 * 56)

    def call(**more):
        more = {"checkpoint": tmp_path / "state", "num_threads": 1, **more}
        return balance_test(counts, n_bootstrap=50, rng=11, **more)

    return call


def test_reproducible_for_any_threads_and_batches(batched):
    counts = drawn(reversible_rows(8, 9), 50, np.random.default_rng(10))
    one, two = (
        balance_test(counts, n_bootstrap=50, rng=11, num_threads=threads) for threads in (1, 2)
    )
    assert one.to_dict() == two.to_dict() == batched(checkpoint=None).to_dict()
    assert (
        balance_test(counts, n_bootstrap=50, rng=12).p_value != one.p_value
        or balance_test(counts, n_bootstrap=50, rng=13).p_value != one.p_value
    )


def test_an_interrupted_test_resumes_with_the_same_bits(batched, tmp_path):
    whole = batched(checkpoint=None)
    stop, calls = stop_at(3)
    with pytest.raises(fe.Interrupted):
        batched(callback=stop)
    assert calls == [7, 14, 21] and (tmp_path / "state").exists()
    resumed = batched(callback=stop)
    assert calls[3] == 28 and resumed.to_dict() == whole.to_dict()
    assert not (tmp_path / "state").exists()


def test_ctrl_c_while_a_batch_is_added_up_leaves_a_consistent_checkpoint(batched, monkeypatch):
    """The signal arrives after three of the seven replicates of the second batch."""
    whole = batched(checkpoint=None)
    calls = []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == 1 + 7 + 4:  # the data, the first batch, three replicates
            raise KeyboardInterrupt
        return statistics(*arguments)

    with monkeypatch.context() as patch, pytest.raises(fe.Interrupted):
        patch.setattr(balance_bootstrap, "statistics", interrupted)
        batched()
    assert batched().to_dict() == whole.to_dict()


def test_a_walk_of_many_legs_is_interrupted_between_them(batched, monkeypatch):
    """A replicate of several legs is a function of its number alone, and Ctrl-C is answered before
    it is complete."""
    monkeypatch.setattr(balance_bootstrap, "MOVES_PER_LEG", 30)
    whole = batched(checkpoint=None)
    assert whole.to_dict() == batched(checkpoint=None, num_threads=2).to_dict()
    legs, made = [], balance_bootstrap.balance_walk

    class Walk:
        def __init__(self, *arguments):
            self.walk = made(*arguments)
            self.tree_steps = self.walk.tree_steps

        def run(self, tables, n_moves, key, leg, *more):
            legs.append(leg)
            if len(legs) == 5 + 5 + 4:  # the hub, the first batch
                raise KeyboardInterrupt
            self.walk.run(tables, n_moves, key, leg, *more)

    with monkeypatch.context() as patch, pytest.raises(fe.Interrupted):
        patch.setattr(balance_bootstrap, "balance_walk", Walk)
        batched()
    assert legs == [0, 1, 2, 3, 4] * 2 + [0, 1, 2, 3]
    assert batched().to_dict() == whole.to_dict()


@pytest.mark.parametrize("method", ("reversible", "pairs", "triangles"))
def test_fractional_counts_cannot_be_drawn_anew(method):
    with pytest.raises(fe.InvalidChainError, match=r"row 0: counts\[0, 1\] is 1.5; .*round"):
        balance_test(np.array([[1.0, 1.5], [2.0, 1.0]]), method=method)
    assert (
        balance_test(np.array([[1.0, 2.0], [2.0, 1.0]]), n_bootstrap=3, method=method).p_value
        <= 1.0
    )


def test_sparse_counts_say_so():
    counts = np.array([[0, 1, 0], [0, 0, 1], [1, 1, 0]])
    test = balance_test(counts, n_bootstrap=19, rng=0)
    assert (
        test.is_sparse
        and test.counts_per_pair == pytest.approx(4 / 3)
        and test.wald_statistic is None
    )
    with pytest.raises(ValueError, match="method"):
        balance_test(counts, method="guess")

"""Parallel decoding: mutual information, costs and schedules against the joint law of all
positions, and against all schedules."""

from itertools import product

import numpy as np
import pytest

import fastebm as fe


def chain_of(seed, n=3):
    rng = np.random.default_rng(seed)
    P = rng.random((n, n)) ** 3 + 0.05
    return P / P.sum(axis=1, keepdims=True)


def law_of(P):
    values, vectors = np.linalg.eig(P.T)
    pi = vectors[:, np.argmax(values.real)].real
    return pi / pi.sum()


def exact_information(P, k):
    pi, power = law_of(P), np.linalg.matrix_power(P, k)
    return float(np.sum(pi[:, None] * power * np.log(power / pi)))


def joint_law(P, length):
    """(n, ..., n), one axis for each position."""
    joint = law_of(P)
    for _ in range(length - 1):
        joint = joint[..., None] * P
    return joint


def divergence(joint, rounds):
    """KL(joint || decoded), the decoded law by conditioning the joint one."""
    decoded, known = np.ones_like(joint), ()
    for batch in rounds:
        for i in batch:
            axes = tuple(x for x in range(joint.ndim) if x not in (*known, i))
            with_i = joint.sum(axis=axes, keepdims=True)
            decoded = decoded * with_i / with_i.sum(axis=i, keepdims=True)
        known = (*known, *batch)
    return float(np.sum(joint * np.log(joint / decoded)))


@pytest.mark.parametrize("seed", [0, 1])
def test_information_and_costs_are_those_of_the_joint_law(seed):
    P = chain_of(seed)  # without detailed balance
    curve = fe.information_curve(fe.MarkovChain(P), 4)
    exact = [exact_information(P, k) for k in range(1, 5)]
    np.testing.assert_allclose(curve.information, exact, rtol=1e-10)
    assert np.all((curve.lower <= exact) & (exact <= curve.upper + 1e-15))
    assert curve.kind == "all states" and curve.converged and curve.n_starts == 3
    joint = joint_law(P, 5)
    for rounds in (
        [[0, 1, 2, 3, 4]],
        [[2], [0, 1, 3, 4]],
        [[0, 4], [2], [1, 3]],
        [[1], [3], [0, 2, 4]],
        [[0], [1], [2], [3], [4]],
        [[0, 1], [2, 3], [4]],
    ):
        assert fe.decoding_cost(curve.information, rounds) == pytest.approx(
            divergence(joint, rounds), abs=1e-12
        )


def test_the_schedule_is_the_best_of_all():
    for seed, length, n_rounds in ((2, 6, 2), (3, 6, 3), (4, 7, 2), (5, 1, 2), (6, 2, 1)):
        P = chain_of(seed, 4)
        information = [exact_information(P, k) for k in range(1, max(length, 2))]
        least = min(
            fe.decoding_cost(
                information, [[i for i in range(length) if plan[i] == r] for r in range(n_rounds)]
            )
            for plan in product(range(n_rounds), repeat=length)
        )
        found = fe.decoding_schedule(information, length, n_rounds)
        assert found.cost == pytest.approx(least, abs=1e-12)
        assert len(found.rounds) <= n_rounds
        assert sorted(np.concatenate(found.rounds)) == list(range(length))


def test_rounds_that_halve_every_gap_cost_nothing():
    information = fe.information_curve(fe.MarkovChain(chain_of(7, 6)), 30).information
    costs = [fe.decoding_schedule(information, 31, rounds).cost for rounds in range(1, 7)]
    assert np.all(np.diff(costs) <= 1e-12) and costs[3] > 1e-7
    assert abs(costs[4]) < 1e-12 and abs(costs[5]) < 1e-12  # 2^5 - 1 = 31
    assert costs[0] == pytest.approx(30 * information[0], rel=1e-12, abs=0.0)


def test_a_sample_encloses_the_sum_over_all_states():
    chain = fe.Torus((9, 9)).lazy(0.3)
    exact = fe.information_curve(chain, [1, 4, 20])
    single = fe.information_curve(chain, [1, 4, 20], n_starts=8, rng=0)
    np.testing.assert_allclose(single.information, exact.information, rtol=1e-12)  # all alike
    rough = fe.MarkovChain(chain_of(8, 40))
    exact, missed = fe.information_curve(rough, 3), 0
    for seed in range(60):
        found = fe.information_curve(rough, 3, n_starts=40, rng=seed)
        assert found.kind == "sample" and np.all(found.standard_error > 0)
        missed += np.any((exact.information < found.lower) | (exact.information > found.upper))
    assert missed <= 12  # 3 correlated intervals of 95 %


def test_the_spectrum_bounds_the_information():
    rng = np.random.default_rng(9)
    weights = rng.random((8, 8)) ** 4
    chain = fe.MarkovChain(weights + weights.T, normalize=True)
    exact = fe.information_curve(chain, 12)
    P = chain.to_scipy().toarray()
    values = np.linalg.eigvals(P).real
    values = values[np.argsort(-np.abs(values))]
    for m in (2, 4, 8):
        bound = fe.information_bound(values[:m], exact.lags, n_states=8)
        assert np.all(exact.information <= bound * (1 + 1e-12))
    full = fe.information_bound(values, exact.lags, n_states=8)
    assert exact.information[-1] == pytest.approx(full[-1] / 2, rel=0.05)  # KL = chi2 / 2


@pytest.mark.parametrize("call, message", [
    (lambda: fe.decoding_cost([0.1, 0.1], [[0], [2]]), "each position"),
    (lambda: fe.decoding_cost([0.1], [[0], [1], [2]]), "I_1 to I_2"),
    (lambda: fe.decoding_cost([-0.1, 0.0], [[0, 1, 2]]), r"information\[0\] is -0.1"),
    (lambda: fe.decoding_schedule([0.1], 3, 2), "I_1 to I_2"),
    (lambda: fe.information_curve(fe.Torus((3, 3)), [0, 1]), "lags"),
    (lambda: fe.information_curve(fe.Torus((3, 3)), [2, 1]), "lags"),
    (lambda: fe.information_bound([1.0], [1], n_states=3), "eigenvalues"),
    (lambda: fe.information_bound([1.2, 0.1], [1], n_states=3), "eigenvalues"),
])  # fmt: skip
def test_errors(call, message):
    with pytest.raises(fe.InvalidChainError, match=message):
        call()


def test_transient_states_do_not_count():
    P = np.zeros((4, 4))
    P[:3, :3], P[3] = chain_of(10), [0.2, 0.3, 0.0, 0.5]
    with_transient = fe.information_curve(fe.MarkovChain(P), 3)
    assert with_transient.n_starts == 3
    np.testing.assert_allclose(
        with_transient.information,
        fe.information_curve(fe.MarkovChain(P[:3, :3]), 3).information,
        rtol=1e-12,
    )

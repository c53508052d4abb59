"""Closed forms of RLVR against multiprecision, an explicit toy policy, and the laws they must
obey."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from multiprecision import close
from scipy.integrate import solve_ivp
from scipy.optimize import minimize

from fastebm import rlvr

INF, NAN = float("inf"), float("nan")
ULP_BELOW_1 = 1 - 2**-53
ACCURACIES = [5e-324, 3e-320, 1e-300, 1e-30, 1e-9, 0.013, 0.3, 0.5, 0.77, 1 - 1e-9, ULP_BELOW_1]
BETAS = [1e-300, 1e-4, 1.4e-3, 0.02, 0.3, 1.0, 7.0, 1e5, 1e12]

inner = st.floats(1e-12, 1 - 1e-12)
coefficient = st.floats(1e-2, 1e2)
nats = st.floats(0, 50)


@pytest.fixture(autouse=True)
def multiprecision():
    with mp.workdps(720):  # 1 - 5e-324, and its logarithm, to 70 digits
        yield


def exact_kl(p, log_q, log_not_q):
    p = mp.mpf(p)
    return (p * (mp.log(p) - log_q) if p else 0) + (
        (1 - p) * (mp.log(1 - p) - log_not_q) if p < 1 else 0
    )


def exact_target(p0, shift):
    """(log p, log(1 - p)) after tilting by the shift, and log Z."""
    p0 = mp.mpf(p0)
    log_z = shift + mp.log(p0 + (1 - p0) * mp.exp(-shift))
    return mp.log(p0) + shift - log_z, mp.log(1 - p0) - log_z, log_z


# ---- multiprecision


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("p0", ACCURACIES)
def test_target_and_log_partition_match_multiprecision(p0, beta):
    shift = 1 / mp.mpf(beta)
    log_p, _, log_z = exact_target(p0, shift)
    # The relative error of the double 1 / beta is magnified by 1 / beta itself, up to saturation.
    rel = 1e-15 * min(4 + 1 / beta, 1500)
    assert close(rlvr.target_accuracy(p0, beta), mp.exp(log_p), rel)
    assert close(rlvr.log_partition(p0, beta), log_z, rel)


@pytest.mark.parametrize("beta", [0.0, 1e-12, 0.02, 1.0, 30.0])
@pytest.mark.parametrize("t", [0.0, 1e-12, 0.4, 3.0, 600.0])
@pytest.mark.parametrize("p0", ACCURACIES)
def test_flow_matches_multiprecision(p0, beta, t):
    length = mp.mpf(t) if beta == 0 else -mp.expm1(-mp.mpf(beta) * mp.mpf(t)) / mp.mpf(beta)
    log_p, _, _ = exact_target(p0, length)
    assert close(rlvr.flow(p0, beta, t), mp.exp(log_p), 1e-15 * (4 + float(length)))


@pytest.mark.parametrize("p0", ACCURACIES)
def test_kl_spent_matches_multiprecision(p0):
    a = mp.mpf(p0)
    for p in [0.0, 1.0, *ACCURACIES]:
        assert close(rlvr.kl_spent(p, p0), exact_kl(p, mp.log(a), mp.log(1 - a)), 1e-12)


@pytest.mark.parametrize("p0", [1e-300, 1e-12, 1e-3, 0.3, 0.5, 0.9, 1 - 1e-6])
@pytest.mark.parametrize("distance", [1e-15, 1e-9, -1e-9, 1e-4, 0.3])
def test_kl_spent_has_no_cancellation_where_the_accuracies_nearly_agree(p0, distance):
    p = p0 + distance * min(p0, 1 - p0)
    a = mp.mpf(p0)
    assert close(rlvr.kl_spent(p, p0), exact_kl(p, mp.log(a), mp.log(1 - a)), 1e-13)


def test_kl_spent_at_an_absolute_distance_of_1e_minus_9():
    p0 = np.linspace(0.01, 0.99, 50)
    p = p0 + 1e-9
    for value, a, b in zip(rlvr.kl_spent(p, p0), p, p0, strict=True):
        assert close(value, exact_kl(a, mp.log(mp.mpf(b)), mp.log(1 - mp.mpf(b))), 1e-14)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("p0", ACCURACIES)
def test_suboptimality_matches_multiprecision(p0, beta):
    log_q, log_not_q, _ = exact_target(p0, 1 / mp.mpf(beta))
    for p in [0.0, 1.0, p0, *ACCURACIES]:
        if beta < 1 and abs(p - mp.exp(log_q)) < 1e-3 * mp.exp(min(log_q, log_not_q)):
            continue  # there the rounding of p itself decides: see the next test
        exact = mp.mpf(beta) * exact_kl(p, log_q, log_not_q)
        assert close(rlvr.suboptimality(p, p0, beta), exact, 1e-11, max(1e-320, 1e-320 * beta))


@pytest.mark.parametrize("beta", [0.01, 0.1, 0.5, 2.0])
@pytest.mark.parametrize("p0", [1e-20, 0.01, 0.4, 0.9])
def test_suboptimality_near_the_target_is_right_up_to_the_rounding_of_the_accuracy(p0, beta):
    log_q, log_not_q, _ = exact_target(p0, 1 / mp.mpf(beta))
    q = mp.exp(log_q)
    for step in (1e-3, 1e-6):
        p = float(q * (1 - mp.mpf(step) * mp.exp(log_not_q)))
        if p == 1:
            continue
        exact = mp.mpf(beta) * exact_kl(p, log_q, log_not_q)
        spacing = mp.mpf(2e-15) * (q if q < 0.5 else mp.exp(log_not_q)) * (1 + 1 / mp.mpf(beta))
        assert close(rlvr.suboptimality(p, p0, beta), exact, 1e-11 + 4 * spacing / abs(p - q))


def test_a_target_whose_complement_underflows_still_has_a_finite_suboptimality():
    # 1 - p* = e^-1000 is no double, yet beta kl(p, p*) = (1 - p) + beta (log-odds and entropy
    # terms).
    p, beta = 0.3, 1e-3
    expected = (1 - p) + beta * (p * np.log(p) + (1 - p) * np.log(1 - p))  # p0 = 1/2
    assert rlvr.suboptimality(p, 0.5, beta) == pytest.approx(expected, rel=1e-14, abs=0.0)


def test_entropy_and_pass_at_k_match_multiprecision():
    for p in ACCURACIES:
        x = mp.mpf(p)
        binary = -x * mp.log(x) - (1 - x) * mp.log(1 - x)
        assert close(rlvr.entropy(p, 0.5, 0.7, 0.0), binary + x * mp.mpf(0.7), 1e-14)
        for k in (1, 3, 1000):
            assert close(rlvr.pass_at_k(p, k), 1 - (1 - x) ** k, 1e-14)


@pytest.mark.parametrize("p0", ACCURACIES)
def test_beta_for_accuracy_matches_multiprecision(p0):
    a = mp.mpf(p0)
    for p in [*ACCURACIES, min(p0 * (1 + 1e-9), ULP_BELOW_1)]:
        if p > p0:
            x = mp.mpf(p)
            exact = 1 / (mp.log(x * (1 - a)) - mp.log(a * (1 - x)))
            assert close(rlvr.beta_for_accuracy(p0, p), exact, 1e-13)


# ---- an explicit policy over a finite answer set


class ToyPolicy:
    """Softmax policy over seven answers, three of them correct; uses none of the closed
    forms."""

    reward = np.array([1.0, 0, 1, 0, 0, 1, 0])
    reference = np.array([0.02, 0.3, 0.05, 0.25, 0.2, 0.08, 0.1])
    p0 = float(reference @ reward)

    @staticmethod
    def policy(logits):
        weights = np.exp(logits - logits.max())
        return weights / weights.sum()

    def kl(self, pi):
        return float(pi @ np.log(pi / self.reference))

    def objective(self, pi, beta):
        return float(pi @ self.reward) - beta * self.kl(pi)

    def gradient(self, logits, beta):
        pi = self.policy(logits)
        gain = self.reward - beta * (np.log(pi / self.reference) + 1)
        return pi * (gain - pi @ gain)

    def natural_gradient(self, logits, beta):
        pi = self.policy(logits)
        fisher = np.diag(pi) - np.outer(pi, pi)
        return np.linalg.lstsq(fisher, self.gradient(logits, beta), rcond=1e-12)[0]

    @staticmethod
    def entropy(pi):
        return float(-pi @ np.log(pi))

    def conditional_entropy(self, correct):
        part = self.reference[self.reward == correct]
        return self.entropy(part / part.sum())


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.5])
def test_natural_gradient_flow_of_a_softmax_policy(beta):
    toy, times = ToyPolicy(), np.array([0.0, 0.5, 1.0, 3.0, 8.0])
    solution = solve_ivp(
        lambda _, logits: toy.natural_gradient(logits, beta),
        (0, times[-1]), np.log(toy.reference), t_eval=times, rtol=1e-10, atol=1e-12,
    )  # fmt: skip
    policies = [toy.policy(logits) for logits in solution.y.T]
    p = np.array([pi @ toy.reward for pi in policies])
    h_correct, h_wrong = toy.conditional_entropy(1), toy.conditional_entropy(0)
    np.testing.assert_allclose(rlvr.flow(toy.p0, beta, times), p, rtol=1e-7)
    np.testing.assert_allclose(
        rlvr.kl_spent(p, toy.p0), [toy.kl(pi) for pi in policies], rtol=1e-7, atol=1e-14
    )
    np.testing.assert_allclose(
        rlvr.entropy(p, toy.p0, h_correct, h_wrong), [toy.entropy(pi) for pi in policies], rtol=1e-7
    )
    np.testing.assert_allclose(
        rlvr.objective(p, toy.p0, beta), [toy.objective(pi, beta) for pi in policies], rtol=1e-7
    )
    for pi, accuracy in zip(
        policies, p, strict=True
    ):  # the flow stays in the family pi_ref exp(l r)
        tilt = np.log(accuracy / (1 - accuracy)) - np.log(toy.p0 / (1 - toy.p0))
        np.testing.assert_allclose(
            pi, toy.policy(np.log(toy.reference) + tilt * toy.reward), rtol=1e-6
        )


@pytest.mark.parametrize("beta", [0.2, 0.7, 4.0])
def test_numerical_maximum_of_the_objective_over_all_policies(beta):
    toy = ToyPolicy()
    best = minimize(
        lambda logits: -toy.objective(toy.policy(logits), beta),
        np.zeros(7), jac=lambda logits: -toy.gradient(logits, beta), options={"gtol": 1e-9},
    )  # fmt: skip
    assert toy.policy(best.x) @ toy.reward == pytest.approx(
        rlvr.target_accuracy(toy.p0, beta), abs=1e-6
    )
    assert -best.fun == pytest.approx(beta * rlvr.log_partition(toy.p0, beta), abs=1e-10)


def test_suboptimality_is_the_gap_of_the_toy_objective():
    toy, beta = ToyPolicy(), 0.4
    family = [
        toy.policy(np.log(toy.reference) + tilt * toy.reward) for tilt in (-1.0, 0.0, 0.5, 2.5, 4.0)
    ]
    optimum = toy.policy(np.log(toy.reference) + toy.reward / beta)
    gaps = [toy.objective(optimum, beta) - toy.objective(pi, beta) for pi in family]
    values = rlvr.suboptimality([pi @ toy.reward for pi in family], toy.p0, beta)
    np.testing.assert_allclose(values, gaps, rtol=1e-10, atol=1e-14)
    assert values[3] < 1e-14 < values.max()


def test_kl_spent_is_the_least_divergence_at_that_accuracy():
    toy, rng = ToyPolicy(), np.random.default_rng(3)
    for pi in rng.dirichlet(np.ones(7), size=200):
        assert toy.kl(pi) >= rlvr.kl_spent(pi @ toy.reward, toy.p0)


# ---- laws


@given(st.floats(0, 1), st.floats(0, 1e3), st.lists(st.floats(0, 1e4), min_size=2, max_size=8))
def test_accuracy_rises_from_p0_to_the_target(p0, beta, times):
    path = rlvr.flow(p0, beta, [0.0, *sorted(times), INF])
    # exp and expm1 may be off by an ulp on either side of a step
    assert np.all(np.diff(path) >= -4e-16 * path[1:] * (1 + 1 / max(beta, 1e-3)))
    assert path[0] == p0
    assert path[-1] == rlvr.target_accuracy(p0, beta)


@given(inner, st.floats(0.05, 20))
def test_the_flow_arrives_at_the_target_with_rate_beta(p0, beta):
    assert rlvr.flow(p0, beta, 50 / beta) == pytest.approx(
        rlvr.target_accuracy(p0, beta), rel=1e-12, abs=0.0
    )
    half_way = rlvr.flow(p0, beta, np.log(2) / beta)  # in logits
    assert half_way == pytest.approx(rlvr.target_accuracy(p0, 2 * beta), rel=1e-12, abs=0.0)


@given(inner, st.lists(st.floats(0, 1e4), min_size=2, max_size=6))
def test_target_falls_with_beta(p0, betas):
    assert np.all(np.diff(rlvr.target_accuracy(p0, sorted(betas))) <= 0)


@given(inner, inner)
def test_beta_for_accuracy_inverts_target_accuracy(p0, p):
    assume(p > p0)
    beta = rlvr.beta_for_accuracy(p0, p)
    assert 0 < beta
    assert rlvr.target_accuracy(p0, beta) == pytest.approx(p, rel=1e-13, abs=0.0)


@given(inner, st.floats(0, 1), coefficient)
def test_suboptimality_is_the_gap_of_the_objective(p0, p, beta):
    best = rlvr.objective(rlvr.target_accuracy(p0, beta), p0, beta)
    gap = best - rlvr.objective(p, p0, beta)
    assert rlvr.suboptimality(p, p0, beta) == pytest.approx(
        gap, rel=1e-11, abs=1e-13 * (1 + 30 * beta)
    )
    assert best == pytest.approx(beta * rlvr.log_partition(p0, beta), rel=1e-12, abs=0.0)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1e6))
def test_divergences_are_nonnegative_and_symmetric_under_exchange_of_right_and_wrong(p, p0, beta):
    spent = rlvr.kl_spent(p, p0)
    assert spent >= 0
    assert rlvr.suboptimality(p, p0, beta) >= 0
    assert (spent == 0) == (p == p0) or abs(p - p0) < 1e-150
    if 1 - (1 - p) == p and 1 - (1 - p0) == p0:
        assert rlvr.kl_spent(1 - p, 1 - p0) == pytest.approx(spent, rel=1e-12, abs=1e-300)


@given(inner, coefficient, st.lists(st.floats(0, 100), min_size=2, max_size=6))
def test_suboptimality_falls_and_the_kl_budget_grows_along_the_flow(p0, beta, times):
    p = rlvr.flow(p0, beta, sorted(times))
    floor = 1e-13 * (1 + beta)
    assert np.all(np.diff(rlvr.suboptimality(p, p0, beta)) <= floor)
    assert np.all(np.diff(rlvr.kl_spent(p, p0)) >= -floor)


@given(st.floats(0.02, 0.98), nats, nats)
def test_entropy_has_the_stated_slope(p, h_correct, h_wrong):
    step = 1e-5
    high, low = rlvr.entropy([p + step, p - step], 0.5, h_correct, h_wrong)
    slope = np.log((1 - p) / p) + h_correct - h_wrong
    assert (high - low) / (2 * step) == pytest.approx(slope, abs=1e-5)


@given(st.floats(0, 8), st.floats(0, 8))
def test_entropy_peaks_where_stated(h_correct, h_wrong):
    peak = rlvr.peak_entropy_accuracy(h_correct, h_wrong)
    assert np.log(peak / (1 - peak)) == pytest.approx(h_correct - h_wrong, abs=1e-11)
    grid = np.linspace(0, 1, 101)
    top = rlvr.entropy(peak, 0.5, h_correct, h_wrong)
    assert top >= rlvr.entropy(grid, 0.5, h_correct, h_wrong).max() - 1e-13
    assert top == pytest.approx(np.logaddexp(h_correct, h_wrong), rel=1e-12, abs=0.0)


@given(st.floats(0, 1), st.integers(1, 500))
def test_pass_at_k_satisfies_its_recursion(p, k):
    one_more = rlvr.pass_at_k(p, k) + (1 - rlvr.pass_at_k(p, k)) * p
    assert rlvr.pass_at_k(p, k + 1) == pytest.approx(one_more, rel=1e-13, abs=0.0)

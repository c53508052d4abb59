"""The laws in logits against multiprecision, the inverse questions, and expectations over
prompts."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multiprecision import close
from scipy.special import expit, logit

from fastebm import Interrupted, InvalidChainError, rlvr

INF, NAN = float("inf"), float("nan")
LOGITS = [-2000.0, -700.0, -40.0, -3.0, 0.0, 0.7, 5.0, 38.0, 300.0, 2000.0]
BETAS = [1e-3, 0.04, 0.5, 3.0, 1e6]

logits = st.floats(-60, 60)
coefficient = st.floats(1e-2, 1e2)


@pytest.fixture(autouse=True)
def multiprecision():
    with mp.workdps(60):
        yield


def bit(x):
    """(p, 1 - p, log p, log(1 - p)) of a logit."""
    x = mp.mpf(x)
    log_p, log_wrong = -mp.log1p(mp.exp(-x)), -mp.log1p(mp.exp(x))
    return mp.exp(log_p), mp.exp(log_wrong), log_p, log_wrong


def exact_kl(x, y):
    p, wrong, log_p, log_wrong = bit(x)
    return p * (log_p - bit(y)[2]) + wrong * (log_wrong - bit(y)[3])


@pytest.mark.parametrize("x0", LOGITS)
def test_divergences_match_multiprecision(x0):
    for x in [*LOGITS, x0 + 1e-9, x0 + 0.3, x0 - 1e-5]:
        assert close(rlvr.kl_spent(x, x0, logit=True), exact_kl(x, x0), 1e-12)
        for beta in BETAS:
            far = abs(mp.mpf(x) - mp.mpf(x0) - 1 / mp.mpf(beta))
            if far > 1e-3:  # nearer, the rounding of the logits themselves decides
                exact = mp.mpf(beta) * exact_kl(x, mp.mpf(x0) + 1 / mp.mpf(beta))
                assert close(
                    rlvr.suboptimality(x, x0, beta, logit=True), exact, 1e-11 + 1e-12 / float(far)
                )


@pytest.mark.parametrize("x", LOGITS)
def test_entropy_partition_and_pass_at_k_match_multiprecision(x):
    p, wrong, log_p, log_wrong = bit(x)
    exact = -p * log_p - wrong * log_wrong + p * mp.mpf(0.25) + wrong * mp.mpf(2)
    assert close(rlvr.entropy(x, 0.0, 0.25, 2.0, logit=True), exact, 1e-14)
    for k in (1, 2, 1000):
        failed = k * log_wrong
        assert close(
            rlvr.pass_at_k(x, k, logit=True), mp.log(-mp.expm1(failed)) - failed, 1e-14, 1e-14
        )
    for beta in BETAS:
        exact = mp.log1p(p * mp.expm1(1 / mp.mpf(beta)))
        assert close(rlvr.log_partition(x, beta, logit=True), exact, 1e-12)


def test_the_complement_is_kept_where_an_accuracy_would_be_1():
    x = rlvr.flow(2.0, 0.01, [1.0, 50.0, INF], logit=True)
    length = -np.expm1(-0.01 * np.array([1.0, 50.0, INF])) / 0.01
    np.testing.assert_allclose(x, 2.0 + length, rtol=1e-15)
    assert expit(x[1]) == 1 and rlvr.suboptimality(x[1], 2.0, 0.01, logit=True) > 1e-20
    # 1 - p = e^-x there, and J* - J is beta (1 - p) (e^-g - 1 + g) with the gap g in logits to the
    # target
    gap = float(x[2] - x[1])
    expected = mp.mpf(0.01) * mp.exp(-mp.mpf(float(x[1]))) * (mp.exp(-gap) - 1 + gap)
    assert close(rlvr.suboptimality(x[1], 2.0, 0.01, logit=True), expected, 1e-12)


@settings(max_examples=60)
@given(st.floats(-25, 25), st.floats(-25, 25), coefficient, st.floats(0, 50))
def test_both_scales_agree_where_both_can(x, x0, beta, t):
    p, p0 = expit(x), expit(x0)
    near = {"rel": 1e-7, "abs": 1e-13}
    assert expit(rlvr.flow(x0, beta, t, logit=True)) == pytest.approx(
        rlvr.flow(p0, beta, t), rel=1e-12, abs=0.0
    )
    assert expit(rlvr.target_accuracy(x0, beta, logit=True)) == pytest.approx(
        rlvr.target_accuracy(p0, beta), rel=1e-12, abs=0.0
    )
    laws = (
        (rlvr.objective, (beta,)),
        (rlvr.suboptimality, (beta,)),
        (rlvr.kl_spent, ()),
        (rlvr.entropy, (1.0, 2.0)),
    )
    for function, arguments in laws:
        assert function(x, x0, *arguments, logit=True) == pytest.approx(
            function(p, p0, *arguments), **near
        )
    assert rlvr.log_partition(x0, beta, logit=True) == pytest.approx(
        rlvr.log_partition(p0, beta), rel=1e-10, abs=0.0
    )


@settings(max_examples=60)
@given(st.floats(0, 700), st.floats(0, 700))
def test_the_peak_in_logits(h_correct, h_wrong):
    x = rlvr.peak_entropy_accuracy(h_correct, h_wrong, logit=True)
    top = rlvr.entropy(x, 0.0, h_correct, h_wrong, logit=True)
    assert top == pytest.approx(np.logaddexp(h_correct, h_wrong), rel=1e-13, abs=0.0)
    assert top >= rlvr.entropy(
        x + np.linspace(-3, 3, 7), 0.0, h_correct, h_wrong, logit=True
    ).max() - 1e-12 * (1 + top)


@pytest.mark.filterwarnings("error")
def test_infinite_logits_are_answered_and_never_nan():
    x = np.array([-INF, *LOGITS, INF])
    p, p0, beta = x[:, None, None], x[:, None], np.array([0.0, 1e-320, 0.5, 1e300, INF])
    answers = [
        rlvr.flow(p0, beta, 3.0, logit=True), rlvr.target_accuracy(p0, beta, logit=True),
        rlvr.suboptimality(p, p0, beta, logit=True), rlvr.kl_spent(p, p0, logit=True),
        rlvr.objective(p, p0, beta, logit=True),
        rlvr.log_partition(p0, beta, logit=True), rlvr.entropy(p, p0, 1, 2, logit=True),
        rlvr.beta_for_accuracy(p0, p, logit=True),
        rlvr.pass_at_k(p, [1, 3, INF], logit=True),
        rlvr.time_to_accuracy(p0, p, beta, logit=True), rlvr.beta_for_kl(p0, [0.0, 1e-9, 2.0, INF],
        logit=True),
        rlvr.accuracy_for_kl(p0, [0.0, 1e-9, 2.0, INF], logit=True),
    ]  # fmt: skip
    assert [i for i, answer in enumerate(answers) if np.isnan(answer).any()] == []
    assert np.array_equal(
        answers[0][[0, -1]], np.repeat([[-INF], [INF]], 5, axis=1)
    )  # certain prompts do not move
    assert rlvr.target_accuracy(-5.0, 0.0, logit=True) == INF
    assert rlvr.kl_spent(INF, 3.0, logit=True) == pytest.approx(
        np.log1p(np.exp(-3)), rel=1e-14, abs=0.0
    )
    assert rlvr.kl_spent(3.0, INF, logit=True) == INF == -rlvr.objective(3.0, INF, 1.0, logit=True)
    assert rlvr.suboptimality(1.5, 0.2, 0.0, logit=True) == pytest.approx(
        expit(-1.5), rel=1e-14, abs=0.0
    )


@pytest.mark.parametrize("call, message", [
    (lambda: rlvr.flow([0.0, NAN], 1, 1, logit=True), r"^p0\[1\] = nan: a logit"),
    (lambda: rlvr.accuracy_for_kl(0.5, -1), r"^kl = -1\.0: .*>= 0"),
    (lambda: rlvr.beta_for_kl(2, 1), r"^p0 = 2\.0"),
    (lambda: rlvr.time_to_accuracy(0.5, 0.6, -1), r"^beta = -1\.0"),
    (lambda: rlvr.beta_for_mean([0.5], accuracy=2), r"^p = 2\.0"),
    (lambda: rlvr.beta_for_mean([0.5]), "give one of accuracy and kl"),
    (lambda: rlvr.beta_for_mean([0.5], accuracy=0.6, kl=1), "give one of accuracy and kl"),
    (lambda: rlvr.expectation([]), "no prompts"),
    (lambda: rlvr.expectation([1, 2], [1, 2, 3]), r"shape \(2,\).*\(3,\)"),
    (lambda: rlvr.expectation([1, 2], [1, -1]), r"weights\[1\] is -1"),
    (lambda: rlvr.expectation([1, 2], [1, NAN]), r"weights\[1\] is nan"),
    (lambda: rlvr.expectation([1, 2], [0, 0]), "sum to 0"),
    (lambda: rlvr.flow_curve([0.5], 1, [0, -1]), r"^t\[1\] = -1\.0"),
    (lambda: rlvr.flow_curve([0.5], 1, [0], h_correct=1), "both"),
])  # fmt: skip
def test_errors_name_the_entry_and_the_remedy(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# ---- inverse questions


@settings(max_examples=60)
@given(logits, st.floats(1e-8, 1 - 1e-9))
def test_a_kl_budget_is_spent_to_the_last_digit(x0, share):
    budget = share * float(np.logaddexp(0, -x0))  # of -log p0, all that can be spent
    x = rlvr.accuracy_for_kl(x0, budget, logit=True)
    assert x >= x0
    # the logit is rounded: d kl / dx = (x - x0) p (1 - p)
    slope = (x - x0) * expit(x) * expit(-x)
    assert rlvr.kl_spent(x, x0, logit=True) == pytest.approx(
        budget, rel=1e-12, abs=4e-16 * abs(x) * slope * 4
    )
    beta = rlvr.beta_for_kl(x0, budget, logit=True)
    assert rlvr.target_accuracy(x0, beta, logit=True) == pytest.approx(x, rel=1e-12, abs=1e-12)
    p0 = expit(x0)
    if 1e-3 < p0 < 0.999:
        assert rlvr.accuracy_for_kl(p0, budget) == pytest.approx(expit(x), rel=1e-12, abs=0.0)


def test_budgets_at_the_ends():
    assert rlvr.accuracy_for_kl([0.0, 0.3, 1.0], 0.0).tolist() == [0.0, 0.3, 1.0]
    assert rlvr.accuracy_for_kl([0.0, 0.3, 1.0], INF).tolist() == [0.0, 1.0, 1.0]
    assert rlvr.accuracy_for_kl(0.5, np.log(2)) == 1
    assert rlvr.beta_for_kl([0.0, 0.3, 1.0], 0.0).tolist() == [INF] * 3
    assert rlvr.beta_for_kl([0.0, 0.3, 1.0], 9.0).tolist() == [INF, 0.0, INF]


@settings(max_examples=60)
@given(st.floats(-20, 20), st.floats(1e-6, 0.999), coefficient)
def test_time_to_accuracy_inverts_the_flow(x0, share, beta):
    wanted = x0 + share / beta
    t = rlvr.time_to_accuracy(x0, wanted, beta, logit=True)
    rise = wanted - x0
    assert rlvr.flow(x0, beta, t, logit=True) == pytest.approx(
        wanted, rel=1e-12, abs=1e-12 * (1 + rise)
    )
    p, p0 = expit(wanted), expit(x0)
    if p - p0 > 1e-3 and p < 0.99 and share < 0.9:
        assert rlvr.flow(p0, beta, rlvr.time_to_accuracy(p0, p, beta)) == pytest.approx(
            p, rel=1e-10, abs=0.0
        )


def test_times_at_the_ends():
    assert rlvr.time_to_accuracy(0.5, [0.0, 0.3, 0.5], 0.7).tolist() == [0, 0, 0]
    assert rlvr.time_to_accuracy(0.5, rlvr.target_accuracy(0.5, 0.5) + 1e-9, 0.5) == INF
    assert rlvr.time_to_accuracy(0.0, [0.0, 0.5], 0.5).tolist() == [0, INF]
    assert rlvr.time_to_accuracy(0.2, 1.0, [0.0, 0.5]).tolist() == [INF, INF]
    assert rlvr.time_to_accuracy(0.5, 0.9, 0.0) == pytest.approx(np.log(9), rel=1e-14, abs=0.0)
    assert rlvr.time_to_accuracy(0.5, 0.9, INF) == INF


# ---- many prompts

P0 = np.array([0.0, 1e-6, 0.03, 0.2, 0.55, 0.97, 1.0])
WEIGHTS = np.array([1.0, 2, 3, 4, 3, 2, 1])


def test_expectation_is_a_weighted_mean_along_an_axis():
    values = np.arange(14.0).reshape(2, 7)
    np.testing.assert_allclose(
        rlvr.expectation(values, WEIGHTS), np.average(values, axis=1, weights=WEIGHTS), rtol=1e-15
    )
    np.testing.assert_allclose(rlvr.expectation(values, axis=0), values.mean(axis=0), rtol=1e-15)
    assert rlvr.expectation([INF, 1.0, 3.0], [0, 1, 1]) == 2
    assert rlvr.expectation([INF, 1.0], [1, 1]) == INF


@pytest.mark.parametrize(
    "wanted", [{"accuracy": 0.5}, {"accuracy": 0.85}, {"kl": 0.02}, {"kl": 0.9}]
)
def test_one_coefficient_for_a_wanted_mean(wanted):
    beta = rlvr.beta_for_mean(P0, weights=WEIGHTS, **wanted)
    target = P0 * np.exp(1 / beta) / (1 - P0 + P0 * np.exp(1 / beta))
    if "kl" in wanted:
        with np.errstate(divide="ignore", invalid="ignore"):
            kl = np.nan_to_num(target * np.log(target / P0)) + np.nan_to_num(
                (1 - target) * np.log((1 - target) / (1 - P0))
            )
        assert np.average(kl, weights=WEIGHTS) == pytest.approx(wanted["kl"], rel=1e-9, abs=0.0)
    else:
        assert np.average(target, weights=WEIGHTS) == pytest.approx(
            wanted["accuracy"], rel=1e-11, abs=0.0
        )
    assert rlvr.beta_for_mean(logit(P0), weights=WEIGHTS, logit=True, **wanted) == pytest.approx(
        beta, rel=1e-9, abs=0.0
    )


def test_means_out_of_reach():
    assert rlvr.beta_for_mean(P0, accuracy=0.1) == INF  # has more already
    assert rlvr.beta_for_mean(P0, accuracy=0.999) == 0  # one prompt of seven never moves
    assert rlvr.beta_for_mean(P0, kl=0.0) == INF
    assert rlvr.beta_for_mean(P0, kl=50.0) == 0


@pytest.mark.parametrize("scale", ["accuracy", "logit"])
def test_curve_over_prompts_against_sums_of_the_textbook_formulas(scale):
    p0, weight, beta, t, k = (
        P0[1:-1],
        WEIGHTS[1:-1] / WEIGHTS[1:-1].sum(),
        0.4,
        np.array([0.0, 0.7, 3.0, 20.0]),
        (1, 4, 64),
    )
    hc, hw = np.linspace(1, 2, p0.size), np.linspace(3, 0, p0.size)
    seen = []
    arguments = (p0, False) if scale == "accuracy" else (logit(p0), True)
    curve = rlvr.flow_curve(
        arguments[0],
        beta,
        t,
        weights=weight,
        h_correct=hc,
        h_wrong=hw,
        k=k,
        logit=arguments[1],
        callback=lambda info: seen.append(info["done"]),
    )
    assert seen == [1, 2, 3, 4]
    length = (1 - np.exp(-beta * t[:, None])) / beta
    p = p0 * np.exp(length) / (1 - p0 + p0 * np.exp(length))
    star = p0 * np.exp(1 / beta) / (1 - p0 + p0 * np.exp(1 / beta))

    def kl(a, b):
        return a * np.log(a / b) + (1 - a) * np.log((1 - a) / (1 - b))

    np.testing.assert_allclose(curve.accuracy, p @ weight, rtol=1e-12)
    np.testing.assert_allclose(curve.kl, kl(p, p0) @ weight, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(
        curve.suboptimality, beta * kl(p, star) @ weight, rtol=1e-6, atol=1e-14
    )
    binary = -p * np.log(p) - (1 - p) * np.log(1 - p)
    np.testing.assert_allclose(curve.entropy, (binary + p * hc + (1 - p) * hw) @ weight, rtol=1e-12)
    np.testing.assert_allclose(
        curve.pass_at_k, [(1 - (1 - p) ** j) @ weight for j in k], rtol=1e-10
    )
    assert set(curve.to_dict()) >= {"accuracy", "pass_at_k"}
    # joint convexity: many prompts spend at least what one of the mean accuracy would
    assert np.all(curve.kl >= rlvr.kl_spent(curve.accuracy, p0 @ weight) - 1e-15)


def test_an_interrupted_curve_keeps_what_it_has():
    def stop(info):
        if info["done"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        rlvr.flow_curve([0.2, 0.5], 0.5, [0.0, 1.0, 2.0], callback=stop)
    assert caught.value.partial.t.tolist() == [0, 1] and caught.value.partial.accuracy[
        0
    ] == pytest.approx(0.35)


def test_a_curve_without_entropies_or_k():
    curve = rlvr.flow_curve(0.2, 0.5, 1.0, k=8)
    assert curve.entropy is None and curve.k == (8,)
    assert curve.pass_at_k[0, 0] == pytest.approx(
        1 - (1 - curve.accuracy[0]) ** 8, rel=1e-14, abs=0.0
    )
    with pytest.raises(InvalidChainError):
        rlvr.flow_curve([], 0.5, [1.0])

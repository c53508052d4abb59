"""GRPO's flow, iterated optimum and weights, against closed forms, mpmath and exact policies."""

from itertools import pairwise

import mpmath as mp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq

from fastebm import ConvergenceWarning, rlvr
from fastebm.rlvr.grpo import arrival_time, stopping_shift


def error_of_flow(p0, beta, t):
    """The error of p(t), from the integral of dt = dx / (2 cosh(x / 2) - beta (x - x0)) up to the
    logit of p."""
    p = rlvr.grpo_flow(p0, beta, t)
    with mp.workdps(30):
        x0, x = (mp.log(mp.mpf(q)) - mp.log(1 - mp.mpf(q)) for q in (p0, p))

        def velocity(x):
            return 2 * mp.cosh(x / 2) - mp.mpf(beta) * (x - x0)

        time = mp.quad(lambda x: 1 / velocity(x), mp.linspace(x0, x, 9))
        return float((time - t) * velocity(x) * mp.mpf(p) * (1 - mp.mpf(p)))


@pytest.mark.parametrize("p0, beta, t", [
    (0.2, 2.0, 1.0), (0.2, 0.5, 1.0), (0.01, 3.0, 2.0), (0.6, 1.8, 5.0), (0.9, 4.0, 1.0),
    (1e-4, 30.0, 0.5), (0.5, 1e-3, 1.0), (1e-12, 1e5, 1e-6),
])  # fmt: skip
def test_flow_with_kl_agrees_with_the_integral_of_its_time(p0, beta, t):
    assert abs(error_of_flow(p0, beta, t)) < 1e-12 * rlvr.grpo_flow(p0, beta, t)


def test_flow_of_many_prompts_at_once_keeps_the_stated_error():
    rng = np.random.default_rng(3)
    p0, beta, t = (
        rng.uniform(0.02, 0.98, 500),
        np.exp(rng.normal(size=500)),
        rng.exponential(1, 500),
    )
    together = rlvr.grpo_flow(p0, beta, t)
    for i in range(0, 500, 25):
        assert together[i] == pytest.approx(rlvr.grpo_flow(p0[i], beta[i], t[i]), abs=1e-11)
        if together[i] < 1 - 1e-9:
            assert abs(error_of_flow(p0[i], beta[i], t[i])) < 1e-10


def test_flow_without_kl_is_the_closed_form():
    p0, t = np.array([1e-300, 1e-9, 0.3, 0.5, 1 - 1e-9])[:, None], np.array([0.0, 0.1, 1.0, 2.0, 4])
    found = rlvr.grpo_flow(p0, 0.0, t)
    with mp.workdps(40):
        exact = [
            [
                float(mp.sin(min(mp.asin(mp.sqrt(mp.mpf(p))) + mp.mpf(s) / 2, mp.pi / 2)) ** 2)
                for s in t.tolist()
            ]
            for p in p0[:, 0].tolist()
        ]
    np.testing.assert_allclose(found, exact, rtol=4e-15)
    arrives = np.pi - 2 * np.arcsin(np.sqrt(0.3))
    assert rlvr.grpo_flow(0.3, 0.0, arrives * (1 + 1e-12)) == 1.0
    assert rlvr.grpo_flow(0.3, 0.0, arrives - 1e-3) < 1.0


def test_little_kl_is_the_limit_of_none():
    t = np.linspace(0, 2, 9)
    np.testing.assert_allclose(
        rlvr.grpo_flow(0.3, 1e-13, t), rlvr.grpo_flow(0.3, 0.0, t), rtol=1e-11
    )


def test_edges():
    times = [0.0, 1.0, 1e300, np.inf]
    for p0 in (0.0, 1.0):
        for beta in (0.0, 1.0, np.inf):
            assert np.all(rlvr.grpo_flow(p0, beta, times) == p0)
    assert np.all(rlvr.grpo_flow(0.3, np.inf, times) == 0.3)
    assert rlvr.grpo_flow(0.3, 5.0, 0.0) == 0.3
    assert rlvr.grpo_flow(0.3, 0.0, np.inf) == 1.0
    # Beyond every beta that a policy below 1 balances, and below.
    assert rlvr.grpo_flow(0.2, 0.5, np.inf) == 1.0 and rlvr.grpo_flow(0.2, 2.0, np.inf) < 0.5
    assert rlvr.grpo_flow(0.2, 2.0, 1e300) == rlvr.grpo_flow(0.2, 2.0, np.inf)
    assert rlvr.grpo_flow(5e-324, 1.0, 1.0) >= 0 and rlvr.grpo_flow(5e-324, 1e200, 1.0) == 5e-324
    for bad in ((-0.1, 1, 1), (0.5, -1, 1), (0.5, 1, -1), (np.nan, 1, 1)):
        with pytest.raises(ValueError):
            rlvr.grpo_flow(*bad)


def test_the_flow_settles_at_the_lower_stopping_point():
    for p0, beta in [(0.2, 2.0), (1e-12, 1e7), (0.7, 3.0), (0.999, 80.0)]:
        x0 = np.log(p0) - np.log1p(-p0)
        bottom = 2 * np.arcsinh(beta)
        root = brentq(
            lambda x, x0=x0, beta=beta: 2 * np.cosh(x / 2) - beta * (x - x0), x0, bottom, xtol=1e-14
        )
        assert rlvr.grpo_flow(p0, beta, np.inf) == pytest.approx(
            1 / (1 + np.exp(-root)), rel=1e-11, abs=0.0
        )
        rate = beta - np.sinh(root / 2)
        late = rlvr.grpo_flow(p0, beta, 30 / rate)
        assert late == pytest.approx(rlvr.grpo_flow(p0, beta, np.inf), rel=1e-10, abs=0.0)


def test_it_arrives_at_one_when_the_integral_says_so():
    """Next to the critical beta, where the flow passes a narrow place."""
    x0 = -1.0
    critical = brentq(
        lambda beta: 2 * np.sqrt(1 + beta**2) - beta * (2 * np.arcsinh(beta) - x0), 0.1, 10
    )
    for gap in (0.5, 1e-2, 1e-4):
        beta = critical * (1 - gap)
        bottom = 2 * np.arcsinh(beta)
        ends = [x0, bottom - 0.1, bottom, bottom + 0.1, bottom + 5, 90]
        exact = sum(
            quad(lambda x, b=beta: 1 / (2 * np.cosh(x / 2) - b * (x - x0)), *pair, epsabs=0)[0]
            for pair in pairwise(ends)
        )
        found = arrival_time(np.array([x0]), np.array([beta]))[0]
        assert found == pytest.approx(exact, rel=1e-6, abs=0.0)
        assert np.isinf(stopping_shift(np.array([x0]), np.array([beta]))[0])
        p0 = 1 / (1 + np.exp(-x0))
        assert rlvr.grpo_flow(p0, beta, exact * 1.0002) == 1.0
        assert rlvr.grpo_flow(p0, beta, exact * 0.98) < 1.0
    assert np.isfinite(stopping_shift(np.array([x0]), np.array([critical * 1.01]))[0])


def test_the_flow_is_that_of_simulated_gradients():
    """Small steps along the expected standardised advantages of an exact softmax policy."""
    reference, correct, beta = np.array([0.1, 0.15, 0.25, 0.5]), np.array([1.0, 1, 0, 0]), 1.5
    logits, steps, h = np.log(reference), 2000, 5e-4
    for _ in range(steps):
        policy = np.exp(logits) / np.exp(logits).sum()
        p = policy @ correct
        advantage = (correct - p) / np.sqrt(p * (1 - p))
        logits = logits + h * (advantage - beta * np.log(policy / reference))
    policy = np.exp(logits) / np.exp(logits).sum()
    assert policy @ correct == pytest.approx(rlvr.grpo_flow(0.25, beta, steps * h), abs=2e-3)


# ---- the iterated optimum


def test_recurrence_is_the_optimum_of_a_finite_policy():
    """Each iterate maximises E A - beta KL(reference) - beta_old KL(old): mixed in the logs."""
    rng = np.random.default_rng(0)
    reference = rng.dirichlet(np.ones(6))
    correct = np.array([1.0, 0, 1, 0, 0, 0])
    beta, beta_old, old = 1.3, 0.8, reference
    p_ref, found = reference @ correct, [reference @ correct]
    for _ in range(5):
        p = old @ correct
        advantage = (correct - p) / np.sqrt(p * (1 - p))
        log = (beta * np.log(reference) + beta_old * np.log(old) + advantage) / (beta + beta_old)
        old = np.exp(log) / np.exp(log).sum()
        found.append(old @ correct)
    np.testing.assert_allclose(
        rlvr.grpo_recurrence(p_ref, beta, 5, beta_old=beta_old), found, rtol=1e-12
    )
    mirror = rlvr.grpo_recurrence(0.3, 0.0, 2, beta_old=2.0)
    x = np.log(0.3 / 0.7) + 1 / (2 * np.sqrt(0.21))
    assert mirror[1] == pytest.approx(1 / (1 + np.exp(-x)), rel=1e-14, abs=0.0)


def test_fixed_point_is_the_limit_of_the_recurrence():
    rng = np.random.default_rng(1)
    p_ref, beta = rng.uniform(0.01, 0.99, 300), np.exp(rng.normal(size=300))
    beta_old = rng.choice([0.0, 0.5, 5.0], 300)
    limit = rlvr.grpo_fixed_point(p_ref, beta, beta_old=beta_old)
    last = rlvr.grpo_recurrence(p_ref, beta, 4000, beta_old=beta_old)
    known = ~np.isnan(limit)
    np.testing.assert_allclose(last[-1][known], limit[known], rtol=1e-6)
    assert known.mean() > 0.9 and (limit[known] > p_ref[known]).all()
    # What does not settle is still moving.
    assert np.all(np.abs(last[-1] - last[-2])[~known] > 1e-6)
    inside = known & (limit < 1)
    x, x_ref = (np.log(v[inside] / (1 - v[inside])) for v in (limit, p_ref))
    sigma = np.sqrt(limit[inside] * (1 - limit[inside]))
    np.testing.assert_allclose(x, x_ref + 1 / (beta[inside] * sigma), rtol=1e-10, atol=1e-10)


def test_fixed_point_edges():
    assert np.array_equal(rlvr.grpo_fixed_point([0.0, 1.0], 1.0), [0.0, 1.0])
    assert rlvr.grpo_fixed_point(0.2, 0.0) == 1.0  # no KL at all: one step
    assert rlvr.grpo_fixed_point(0.2, 0.0, beta_old=1.0) == 1.0  # mirror descent
    low = rlvr.grpo_fixed_point(0.2, 2.0)
    assert low < 0.5 and rlvr.grpo_fixed_point(0.2, 2.0, p_old=0.999) == 1.0
    assert rlvr.grpo_fixed_point(0.2, 2.0, p_old=0.45) == low
    assert np.array_equal(rlvr.grpo_recurrence([0.0, 1.0], 1.0, 2), [[0, 1], [0, 1], [0, 1]])
    for bad in ({"beta": np.inf}, {"beta": 1.0, "beta_old": np.inf}, {"beta": -1.0}):
        with pytest.raises(ValueError):
            rlvr.grpo_fixed_point(0.2, **bad)


# ---- weights


def test_weights_are_those_of_the_expected_gradients():
    """By finite differences of the objectives in the logit; grad log p = 1 - p."""
    p, h = np.array([0.02, 0.3, 0.5, 0.97]), 1e-6
    x = np.log(p / (1 - p))
    up, down = (1 / (1 + np.exp(-(x + d))) for d in (h, -h))
    score = (np.log(up) - np.log(down)) / (2 * h)
    mean = (up - down) / (2 * h)  # of the reward, d p
    sigma = np.sqrt(p * (1 - p))
    for objective, gradient in {
        "reinforce": mean,
        "rejection_sampling": p * score,
        "grpo": mean / sigma,
        "maximum_likelihood": score,
    }.items():
        np.testing.assert_allclose(
            rlvr.objective_weights(p, objective) * score, gradient, rtol=1e-8
        )
    assert rlvr.objective_weights(1.0, "grpo") == np.inf and rlvr.objective_weights(0, "grpo") == 0
    with pytest.raises(ValueError, match="objective"):
        rlvr.objective_weights(0.5, "dpo")


# ---- the law in fits


def noisy(law, seed, n=250, noise=0.02):
    steps = np.arange(1.0, n + 1)
    p = (
        rlvr.flow(0.45, 0.5, 0.02 * steps)
        if law == "natural"
        else rlvr.grpo_flow(0.45, 2.2, 0.012 * steps)
    )
    return steps, p + noise * np.random.default_rng(seed).normal(size=n)


def test_the_law_of_grpo_comes_back_from_its_curve():
    steps, accuracy = noisy("grpo", 0, noise=0.0)
    found = rlvr.fit_curve(steps, accuracy, law="grpo")
    assert found.law == "grpo" and found.comparison is None and found.converged
    np.testing.assert_allclose([found.p0, found.speed, found.beta], [0.45, 0.012, 2.2], rtol=1e-6)
    assert found.target == pytest.approx(rlvr.grpo_flow(0.45, 2.2, np.inf), rel=1e-6, abs=0.0)
    noise = rlvr.fit_curve(*noisy("grpo", 1), law="grpo")
    for name, value in {"p0": 0.45, "speed": 0.012, "beta": 2.2}.items():
        error = getattr(noise, name) - value
        assert abs(error) < 4 * getattr(noise, name + "_se")


def test_the_comparison_finds_the_law_that_made_the_curve():
    for law, seed in (("natural", 2), ("grpo", 3)):
        steps, accuracy = noisy(law, seed, n=120, noise=0.0005)
        found = rlvr.fit_curve(steps, accuracy, law="auto")
        chosen = found.comparison
        assert found.law == chosen.favoured == law and chosen.converged
        assert np.sign(chosen.aic_difference) == (1 if law == "grpo" else -1) == np.sign(chosen.z)
        assert chosen.aic_difference == pytest.approx(
            chosen.aic_natural - chosen.aic_grpo, rel=1e-12, abs=0.0
        )
        # Without memory it is n log of the ratio of the residual variances.
        if chosen.order == 0:
            sd = {
                name: rlvr.fit_curve(steps, accuracy, law=name).accuracy_law.residual_sd
                for name in ("natural", "grpo")
            }
            assert chosen.aic_difference == pytest.approx(
                2 * steps.size * np.log(sd["natural"] / sd["grpo"]), rel=1e-9, abs=0.0
            )


def test_fits_that_did_not_converge_favour_no_law():
    steps = np.arange(1.0, 101)
    with pytest.warns(ConvergenceWarning):
        found = rlvr.fit_curve(steps, (steps > 50).astype(float), law="auto")
    assert not found.converged and not found.comparison.converged
    assert found.comparison.favoured is None


def test_laws_that_cannot_be_told_apart_are_not():
    steps, accuracy = noisy("grpo", 4, n=40, noise=0.05)
    assert rlvr.fit_curve(steps, accuracy, law="auto").comparison.favoured is None

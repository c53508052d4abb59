"""Fits to training logs: known parameters come back with honest errors, failures of the laws show,
real runs are fitted."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import curve_fit

from fastebm import InvalidChainError, rlvr

STEPS = np.arange(1.0, 251.0)
P0, SPEED, BETA, H_CORRECT, H_WRONG = 0.45, 0.02, 0.5, 1.2, 3.0


def log_of_a_run(rng, *, noise=0.02, memory=0.0, kl_scale=1.0, beta=BETA, h_scale=1.0):
    """(accuracy, kl, entropy) of the laws plus Gaussian noise; written out here, not taken from
    fastebm."""
    x0, shift = (
        np.log(P0 / (1 - P0)),
        SPEED * STEPS if beta == 0 else -np.expm1(-beta * SPEED * STEPS) / beta,
    )
    p = 1 / (1 + np.exp(-x0 - shift))
    kl = p * np.log(p / P0) + (1 - p) * np.log((1 - p) / (1 - P0))
    h = -p * np.log(p) - (1 - p) * np.log(1 - p)
    errors = rng.normal(size=(3, STEPS.size))
    for t in range(1, STEPS.size):
        errors[:, t] = memory * errors[:, t - 1] + np.sqrt(1 - memory**2) * errors[:, t]
    entropy = h_scale * h + p * H_CORRECT + (1 - p) * H_WRONG
    return p + noise * errors[0], kl_scale * kl + noise * errors[1], entropy + noise * errors[2]


def test_without_noise_every_parameter_comes_back():
    accuracy, kl, entropy = log_of_a_run(np.random.default_rng(0), noise=0.0, kl_scale=0.7)
    found = rlvr.fit_curve(STEPS, accuracy, kl=kl, entropy=entropy)
    values = [
        found.p0,
        found.speed,
        found.beta,
        found.kl_scale,
        found.h_correct,
        found.h_wrong,
        found.h_scale,
    ]
    np.testing.assert_allclose(values, [P0, SPEED, BETA, 0.7, H_CORRECT, H_WRONG, 1.0], rtol=1e-6)
    assert found.converged and found.n_steps == 250 and found.n_dropped == 0
    assert found.target == pytest.approx(rlvr.target_accuracy(P0, BETA), rel=1e-6, abs=0.0)
    assert found.peak_accuracy == pytest.approx(
        1 / (1 + np.exp(H_WRONG - H_CORRECT)), rel=1e-6, abs=0.0
    )
    assert found.free_difference == pytest.approx(H_CORRECT - H_WRONG, rel=1e-5, abs=0.0)
    for law in (found.accuracy_law, found.kl_law, found.entropy_law):
        assert law.r_squared == pytest.approx(1, abs=1e-10)
    np.testing.assert_allclose(found.accuracy, accuracy, atol=1e-8)
    np.testing.assert_allclose(found.kl, kl, atol=1e-7)
    np.testing.assert_allclose(found.entropy, entropy, atol=1e-6)


@pytest.mark.parametrize("beta", [0.0, -0.3, 2.0])
def test_other_coefficients_come_back(beta):
    found = rlvr.fit_curve(STEPS, log_of_a_run(np.random.default_rng(0), noise=0.0, beta=beta)[0])
    assert found.beta == pytest.approx(beta, abs=1e-6)
    assert found.target == pytest.approx(rlvr.target_accuracy(P0, max(beta, 0)), abs=1e-5)


@pytest.mark.parametrize("memory", [0.0, 0.5])
def test_standard_errors_are_those_of_repetitions(memory):
    """z scores of 150 runs. Their sd has relative error 1/sqrt(2 * 150) = 0.058; 0.25 is 4.3 of
    these (false alarm 2e-5 each, of ten); the mean's error is 0.082, and 0.35 is 4.3 of these."""
    rng = np.random.default_rng(20_261_129)
    truth = {
        "p0": P0,
        "speed": SPEED,
        "beta": BETA,
        "kl_scale": 1.0,
        "h_difference": H_CORRECT - H_WRONG,
    }
    z = []
    for _ in range(150):
        accuracy, kl, entropy = log_of_a_run(rng, memory=memory)
        found = rlvr.fit_curve(STEPS, accuracy, kl=kl, entropy=entropy)
        z.append(
            [
                (getattr(found, name) - value) / getattr(found, name + "_se")
                for name, value in truth.items()
            ]
        )
    assert np.all(np.abs(np.std(z, axis=0) - 1) < 0.25), np.std(z, axis=0)
    assert np.all(np.abs(np.mean(z, axis=0)) < 0.35), np.mean(z, axis=0)


def test_accuracy_fit_agrees_with_an_independent_least_squares():
    accuracy = log_of_a_run(np.random.default_rng(3))[0]

    def model(s, x0, speed, beta):
        return 1 / (1 + np.exp(-x0 - (1 - np.exp(-beta * speed * s)) / beta))

    best, covariance = curve_fit(
        model, STEPS, accuracy, p0=[0.0, 0.01, 1.0], xtol=1e-14, ftol=1e-14
    )
    found = rlvr.fit_curve(STEPS, accuracy, lag=0)
    assert found.speed == pytest.approx(best[1], rel=1e-5, abs=0.0) and found.beta == pytest.approx(
        best[2], rel=1e-5, abs=0.0
    )
    assert found.beta_se == pytest.approx(
        np.sqrt(covariance[2, 2]), rel=0.25, abs=0.0
    )  # that one takes residuals for homoscedastic


def test_noise_and_misfit_are_separated():
    rng = np.random.default_rng(5)
    accuracy, kl, entropy = log_of_a_run(rng)
    good = rlvr.fit_curve(STEPS, accuracy, kl=kl, entropy=entropy)
    for law in (good.accuracy_law, good.kl_law, good.entropy_law):
        # an sd from 250 steps has relative error 0.045 (0.055 from differences); 0.2 is beyond 3.6
        # of these
        assert law.noise_sd == pytest.approx(
            0.02, rel=0.2, abs=0.0
        ) and law.residual_sd == pytest.approx(0.02, rel=0.2, abs=0.0)
        assert (
            law.p_value > 1e-4 and abs(law.durbin_watson - 2) < 0.5
        )  # sd of the ratio: 2 / sqrt(250) = 0.13
    bent = accuracy - 0.1 * np.sin(STEPS / 20)
    bad = rlvr.fit_curve(STEPS, bent).accuracy_law
    assert bad.p_value < 1e-10 and bad.misfit > 0.03 and bad.noise_sd < 0.03


def test_p_values_are_uniform_where_the_law_holds():
    """100 runs: the mean of uniform numbers has sd 0.029; 0.13 is 4.5 of these (false alarm 7e-6
    each, of three). The KL has little noise of its own here, so that errors of the fitted
    accuracies dominate its residuals: no failure of the law."""
    rng = np.random.default_rng(8)
    p = []
    for _ in range(100):
        accuracy, kl, entropy = log_of_a_run(rng)
        truth = log_of_a_run(rng, noise=0.0)[1]
        fit = rlvr.fit_curve(STEPS, accuracy, kl=truth + 0.1 * (kl - truth), entropy=entropy)
        p.append([fit.accuracy_law.p_value, fit.kl_law.p_value, fit.entropy_law.p_value])
    assert np.all(np.abs(np.mean(p, axis=0) - 0.5) < 0.13), np.mean(p, axis=0)


def test_other_units_show_in_the_scales():
    accuracy, kl, entropy = log_of_a_run(np.random.default_rng(1), noise=0.005)
    found = rlvr.fit_curve(STEPS, accuracy, kl=kl / 100, entropy=entropy / 100)
    assert (
        found.kl_scale == pytest.approx(0.01, abs=5 * found.kl_scale_se)
        and found.kl_scale_se < 0.003
    )
    assert found.h_correct < 0  # impossible: the log cannot be in nats an answer
    assert abs(found.h_scale - 1) > 5 * found.h_scale_se


def test_a_missing_value_drops_its_step():
    accuracy, kl, _ = log_of_a_run(np.random.default_rng(2))
    holes = accuracy.copy()
    holes[[3, 77]] = np.nan
    found = rlvr.fit_curve(STEPS, holes, kl=kl)
    steps, p, kl = (np.delete(x, [3, 77]) for x in (STEPS, accuracy, kl))
    without = rlvr.fit_curve(steps, p, kl=kl)
    assert (
        (found.n_steps, found.n_dropped) == (248, 2)
        and found.beta == without.beta
        and found.kl_scale == without.kl_scale
    )
    assert (
        found.entropy is None
        and found.h_difference is None
        and found.to_dict()["entropy_law"] is None
    )


@pytest.mark.parametrize("call, message", [
    (lambda: rlvr.fit_curve([], []), "0 complete steps"),
    (lambda: rlvr.fit_curve(np.arange(7), np.linspace(0.1, 0.2, 7)), "7 complete steps"),
    (lambda: rlvr.fit_curve(np.arange(9), np.full(9, 0.5)), "never changes"),
    (lambda: rlvr.fit_curve(np.arange(9), np.linspace(0, 90, 9)), r"accuracy\[1\] is 11\.25"),
    (lambda: rlvr.fit_curve(np.arange(9), np.linspace(0, 1, 8)),
    r"accuracy must have shape \(9,\)"),
    (lambda: rlvr.fit_curve(np.arange(9), np.linspace(0, 1, 9), kl=np.full(9, np.inf)),
    r"kl\[0\] is inf"),
    (lambda: rlvr.fit_curve(np.zeros(9), np.linspace(0, 1, 9)), "strictly increasing"),
    (lambda: rlvr.fit_curve(np.arange(9) - 1.0, np.linspace(0, 1, 9)), ">= 0"),
    (lambda: rlvr.fit_curve(np.eye(3), np.eye(3)), "one-dimensional"),
])  # fmt: skip
def test_errors(call, message):
    with pytest.raises(InvalidChainError, match=message):
        call()


def test_nothing_but_numbers():
    with pytest.raises(TypeError, match="accuracy"):
        rlvr.fit_curve(np.arange(3), ["a", "b", "c"])


# ---- real training curves


def real_runs():
    path = Path(os.environ.get("FASTEBM_SHARED_DATA", "")) / "rlvr_gsm8k_training_curves.csv"
    if not path.is_file():
        pytest.skip(f"{path.name} not found; set FASTEBM_SHARED_DATA to its folder")
    runs = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            runs.setdefault(row["run"], []).append(
                [float(row[k] or "nan") for k in ("step", "reward", "kl", "entropy")]
            )
    return {run: np.array(rows).T for run, rows in runs.items()}


def test_the_claims_of_the_documentation_about_real_runs():
    """The claims of docs/rlvr-of-real-runs.md."""
    fits = {
        run: rlvr.fit_curve(steps, p, kl=kl, entropy=h)
        for run, (steps, p, kl, h) in real_runs().items()
    }
    assert len(fits) == 14
    for fit in fits.values():
        assert fit.converged and fit.beta > 2 * fit.beta_se  # all saturate
        assert (
            fit.accuracy_law.misfit < 0.01 and fit.accuracy_law.r_squared > 0.5
        )  # the shape fits to a point of accuracy
        assert (
            fit.kl_scale + 5 * fit.kl_scale_se < 1
        )  # less than any policy of that accuracy spends: other units
        assert fit.h_correct < 0  # neither can the entropies be nats an answer
    fast = [
        fits[run].beta for run in ("dapo-lr1e5", "grpo-lr1e5", "dapo-sft-lr1e5", "grpo-sft-lr1e5")
    ]
    assert np.ptp(fast) < 0.02


def test_the_claims_of_the_documentation_about_the_law_of_grpo():
    """The runs of the largest differences for each law."""
    runs = real_runs()
    for run, difference, favoured in [
        ("grpo-sft-lr5e6", -14.3, "natural"),
        ("dapo-lr1e5", 2.2, None),
    ]:
        steps, accuracy = runs[run][:2]
        found = rlvr.fit_curve(steps, accuracy, law="auto").comparison
        assert found.aic_difference == pytest.approx(difference, abs=0.1)
        assert found.favoured == favoured and found.order == 0 and found.converged


def test_real_prompts_are_not_of_one_difficulty():
    """Of prompts of one accuracy, a share of (1 - p)^4 at most would be all wrong in groups of four
    attempts or more."""
    path = Path(os.environ.get("FASTEBM_SHARED_DATA", "")) / "rlvr_gsm8k_training_curves.csv"
    if not path.is_file():
        pytest.skip(f"{path.name} not found; set FASTEBM_SHARED_DATA to its folder")
    with path.open(newline="") as file:
        rows = [
            [float(row[k]) for k in ("reward", "frac_all_correct", "frac_all_wrong")]
            for row in csv.DictReader(file)
            if row["reward"] and float(row["step"]) <= 20
        ]
    p, right, wrong = np.array(rows).mean(axis=0)
    assert wrong > 2 * (1 - p) ** 4 and right > p**4
